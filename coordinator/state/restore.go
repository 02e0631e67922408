package state

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"hash"
	"io"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	iradix "github.com/hashicorp/go-immutable-radix/v2"

	"backfleet/pkg/calendar"
	"backfleet/pkg/node"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// maxRecord bounds one record: a stopped plan that names all of its instances
// is the largest.
const maxRecord = 1 << 30

// decoder takes a stream apart into records, and then makes a State of them.
type decoder struct {
	in     io.Reader
	sum    hash.Hash
	header *wire.SnapshotHeader
	nodes  []*wire.SnapshotNode
	plans  []*planRecords
	leases []*wire.SnapshotLease
	others []*wire.SnapshotRecord // servers, agents, requests, settings, pasts

	state    *State
	compiled map[nodeVersion]*node.Node
	known    map[string]*Plan // the newest so far by its first node: the next may share what it pins
}

// planRecords is a plan and the leaves that follow it.
type planRecords struct {
	*wire.SnapshotPlan
	leaves []leaf
}

// leaf is what was read of one, in the form in which the plan will have it: so
// there is never a second copy of what all instances came to.
type leaf struct {
	number   uint32
	status   *chunk[Status] // nil: it has another size
	attempts []byte
}

// stream reads records up to the footer and verifies it.
func (d *decoder) stream() error {
	in := bufio.NewReaderSize(d.in, 1<<16)
	var frame bytes.Buffer
	for n := uint64(0); ; n++ {
		size, err := binary.ReadUvarint(in)
		if err != nil {
			return d.broken(err, n)
		}
		if size > maxRecord {
			return corrupt("record %d claims %d bytes, more than any has", n, size)
		}
		frame.Reset()
		// Copied piece by piece: a damaged size must not make us allocate it.
		if _, err := io.CopyN(&frame, in, int64(size)); err != nil {
			return d.broken(err, n)
		}
		var rec wire.SnapshotRecord
		if err := proto.Unmarshal(frame.Bytes(), &rec); err != nil {
			return corrupt("record %d is damaged: %v", n, err)
		}
		if f := rec.GetFooter(); f != nil {
			return d.footer(f, n, in)
		}
		d.sum.Write(protowire.AppendVarint(nil, size))
		d.sum.Write(frame.Bytes())
		if err := d.take(&rec, n); err != nil {
			return err
		}
	}
}

// broken tells a stream that ends early from one that cannot be decompressed.
func (d *decoder) broken(err error, n uint64) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return corrupt("it is cut off: it ends in record %d, expected a footer", n)
	}
	return corrupt("it cannot be read on at record %d: %v", n, err)
}

func (d *decoder) footer(f *wire.SnapshotFooter, n uint64, in *bufio.Reader) error {
	switch _, err := in.ReadByte(); {
	case f.Records != n:
		return corrupt("it has %d records, its footer says %d", n, f.Records)
	case !bytes.Equal(f.Hash, d.sum.Sum(nil)):
		return corrupt("the hash of its %d records is %x, its footer says %x", n, d.sum.Sum(nil), f.Hash)
	case err == nil:
		return corrupt("there is more after its footer")
	case !errors.Is(err, io.EOF):
		return corrupt("it cannot be read to its end: %v", err)
	case d.header == nil:
		return corrupt("it has no header")
	}
	return nil
}

// take files a record. What it does not know is refused: to leave a fact out
// would make this coordinator differ from others.
func (d *decoder) take(rec *wire.SnapshotRecord, n uint64) error {
	switch b := rec.Body.(type) {
	case *wire.SnapshotRecord_Header:
		if h := b.Header; h.Format != Format {
			return newer("it is of format %d, this binary reads %d", h.Format, Format)
		} else if h.Behaviour > Newest {
			return newer("it follows rules of version %d, this binary knows %d", h.Behaviour, Newest)
		}
		d.header = b.Header
	case *wire.SnapshotRecord_Node:
		d.nodes = append(d.nodes, b.Node)
	case *wire.SnapshotRecord_Plan:
		d.plans = append(d.plans, &planRecords{SnapshotPlan: b.Plan})
	case *wire.SnapshotRecord_Leaf:
		if len(d.plans) == 0 || d.plans[len(d.plans)-1].GetRecord().GetId() != b.Leaf.Plan {
			return corrupt("record %d belongs to backfill %s, which is not the one before it", n, plan.FormatID(b.Leaf.Plan))
		}
		p := d.plans[len(d.plans)-1]
		p.leaves = append(p.leaves, takeLeaf(b.Leaf))
		if len(b.Leaf.ProtoReflect().GetUnknown())+len(rec.ProtoReflect().GetUnknown()) > 0 {
			return newer("record %d has an unknown field", n)
		}
		return nil
	case *wire.SnapshotRecord_Lease:
		d.leases = append(d.leases, b.Lease)
	case *wire.SnapshotRecord_Server, *wire.SnapshotRecord_Agent, *wire.SnapshotRecord_Request, *wire.SnapshotRecord_ResourceGroup,
		*wire.SnapshotRecord_Workspace, *wire.SnapshotRecord_Region, *wire.SnapshotRecord_JoinToken, *wire.SnapshotRecord_Outcomes,
		*wire.SnapshotRecord_Durations, *wire.SnapshotRecord_DataSource, *wire.SnapshotRecord_User, *wire.SnapshotRecord_Token,
		*wire.SnapshotRecord_Audit, *wire.SnapshotRecord_Tag,
		*wire.SnapshotRecord_Channel, *wire.SnapshotRecord_Notification:
		d.others = append(d.others, rec)
	default:
		return newer("record %d is of an unknown kind", n)
	}
	if hasUnknown(rec.ProtoReflect()) {
		return newer("record %d has an unknown field", n)
	}
	return nil
}

func takeLeaf(l *wire.SnapshotLeaf) leaf {
	out := leaf{number: l.Leaf, attempts: l.Attempts}
	if len(l.Status) == chunkSize {
		out.status = &chunk[Status]{}
		for i, st := range l.Status {
			out.status.cells[i] = Status(st)
		}
	}
	return out
}

// hasUnknown looks for fields of a newer format, at any depth.
func hasUnknown(m protoreflect.Message) bool {
	found := len(m.GetUnknown()) > 0
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Message() == nil:
		case f.IsList():
			for i := 0; i < v.List().Len() && !found; i++ {
				found = hasUnknown(v.List().Get(i).Message())
			}
		default:
			found = found || hasUnknown(v.Message())
		}
		return !found
	})
	return found
}

// restore makes the State. What follows from other facts is not in the records
// but computed again: counters, retries, slots used, the graph.
func (d *decoder) restore() (*State, error) {
	s := New()
	s.index, s.nowMs, s.nextPlan, s.agentNames = d.header.Index, d.header.NowMs, d.header.NextPlan, namesOf(d.header.AgentNames)
	s.behaviour = max(First, d.header.Behaviour)
	s.generated, s.generates = calendar.Date(d.header.GeneratedThrough), d.header.Generates
	s.audit.newest = max(d.header.NextAudit, 1) - 1
	s.outbox.next = max(1, d.header.NextNotification)
	d.state = s
	for _, step := range []func() error{d.restoreNodes, d.restorePlans, d.restoreOthers, d.restorePeople, d.restorePasts, d.restoreLeases} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (d *decoder) restoreNodes() error {
	d.compiled = make(map[nodeVersion]*node.Node, len(d.nodes))
	d.known = map[string]*Plan{}
	t, slots := d.state.nodes.Txn(), uint32(0)
	var all []*Node
	for _, n := range d.nodes {
		id := n.GetSpec().GetId()
		c, _, err := node.Compile(n.GetSpec())
		if err != nil {
			return corrupt("node %q, version %d: %v", id, n.Version, err)
		}
		d.compiled[nodeVersion{id, n.Version}] = c
		if !n.Pinned {
			own := &Node{Node: c, Version: n.Version, Removed: n.Removed, AutoSinceMs: n.AutoSinceMs, slot: slots}
			t.Insert([]byte(id), own)
			all = append(all, own)
			slots++
		}
	}
	d.state.nodes = t.Commit()
	d.state.growNodes(nil, uint64(slots))
	for own := new(mark); len(all) > 0; all = all[1:] {
		*d.state.bySlot.at(own, uint64(all[0].slot)) = all[0]
	}
	g, err := node.BuildGraph(liveNodes(d.state.nodes))
	if err != nil {
		return corrupt("%v", err)
	}
	d.state.graph = g
	return nil
}

func (d *decoder) restorePlans() error {
	s := d.state
	t, own := s.plans.Txn(), new(mark)
	for _, r := range d.plans {
		p, err := d.restorePlan(r)
		if err != nil {
			return err
		}
		t.Insert(key1(p.ID), p)
		if p.Auto {
			s.autos, _, _ = s.autos.Insert(keyDate(p.Dates[0]), p.ID)
			if p.Unfinished() {
				s.autosOpen, _, _ = s.autosOpen.Insert(key1(p.ID), struct{}{})
			}
		} else {
			s.list(own, p)
		}
		r.leaves = nil // a large plan's are as large as itself
	}
	s.plans = t.Commit()
	return nil
}

func (d *decoder) restorePlan(r *planRecords) (*Plan, error) {
	id := r.GetRecord().GetId()
	if r.Record.GetRequest() == nil || id >= d.state.nextPlan {
		return nil, badPlan(id, "its record is not complete")
	}
	var known []*plan.Plan
	first := ""
	if len(r.Record.Nodes) > 0 {
		first = r.Record.Nodes[0].GetSpec().GetId()
	}
	like := d.known[first]
	if like != nil {
		known = append(known, like.Plan)
	}
	built, err := plan.Expand(r.Record, func(i int) (*node.Node, error) {
		k := nodeVersion{r.Record.Nodes[i].GetSpec().GetId(), r.Record.Nodes[i].Version}
		if c, ok := d.compiled[k]; ok {
			return c, nil
		}
		return nil, badPlan(id, "version %d of its node %q is missing", k.version, k.id)
	}, known...)
	if err != nil {
		return nil, badPlan(id, "%v", err)
	}
	p := newPlan(built)
	if like != nil && &like.Nodes[0] == &p.Nodes[0] {
		p.slots = like.slots
	} else {
		for i := range p.Nodes {
			if _, ok := d.state.nodes.Get([]byte(p.Nodes[i].Spec.Id)); !ok {
				return nil, badPlan(id, "its node %q is missing", p.Nodes[i].Spec.Id)
			}
		}
		p.slots = d.state.slots(built)
	}
	d.known[first] = p
	p.Paused, p.Stopped, p.Halted, p.Failures = r.Paused, r.Stopped, r.Halted, r.Failures
	p.ChangedMs, p.ChangedBy, p.Opened = r.ChangedMs, r.ChangedBy, r.Opened
	if err := p.restoreOperations(r.SnapshotPlan); err != nil {
		return nil, err
	}
	return p, p.restoreLeaves(r.leaves)
}

// restoreOperations takes in what people have said of the plan's instances.
func (p *Plan) restoreOperations(r *wire.SnapshotPlan) error {
	p.named, p.forced = setOf(r.Named), setOf(r.Forced)
	priority, removed, log := p.priority.Txn(), p.removed.Txn(), p.log.Txn()
	for _, a := range r.Priorities {
		priority.Insert(key1(a.Instance), int32(a.Number))
	}
	for _, a := range r.Removed {
		if int(a.Number) >= len(r.NodeIds) {
			return badPlan(p.ID, "node %d, taken from %s, has no name", a.Number, plan.FormatInstance(p.ID, a.Instance))
		}
		ids, _ := removed.Get(key1(a.Instance))
		removed.Insert(key1(a.Instance), append(ids, r.NodeIds[a.Number]))
	}
	for i, o := range r.Operations {
		if o.Number != uint64(i)+1 {
			return badPlan(p.ID, "line %d of its log has number %d", i+1, o.Number)
		}
		log.Insert(key1(o.Number), o)
	}
	p.priority, p.removed, p.log = priority.Commit(), removed.Commit(), log.Commit()
	return nil
}

func setOf(list []uint64) *iradix.Tree[struct{}] {
	t := iradix.New[struct{}]().Txn()
	for _, i := range list {
		t.Insert(key1(i), struct{}{})
	}
	return t.Commit()
}

// restoreLeaves fills the columns and counts what is in them.
func (p *Plan) restoreLeaves(leaves []leaf) error {
	own := new(mark)
	at, end := plan.Place{}, uint64(0) // of the node whose range of a date ends at end
	retries := p.retries.Txn()
	for k, leaf := range leaves {
		first := uint64(leaf.number) << chunkBits
		if leaf.status == nil || first >= p.Size() || k > 0 && leaf.number <= leaves[k-1].number {
			return badPlan(p.ID, "leaf %d does not fit in", leaf.number)
		}
		p.status.put(own, uint64(leaf.number), leaf.status)
		for slot, st := range leaf.status.cells {
			i := first + uint64(slot)
			if st == Pending {
				continue
			}
			if st >= nStatus || i >= p.Size() {
				return badPlan(p.ID, "leaf %d: slot %d has status %d, which there is not", leaf.number, slot, st)
			}
			if i >= end {
				at, _ = p.Locate(i)
				_, end = p.NodeRange(at.Pos, at.Node)
			}
			p.total[st]++
			p.dates.at(own, uint64(at.Pos))[st]++
			p.perNode.at(own, uint64(at.Node))[st]++
			if st == Retrying {
				retries.Insert(key1(i), struct{}{})
			}
		}
		if len(leaf.attempts) > 0 {
			p.history.at(own, uint64(leaf.number)).bytes = leaf.attempts
		}
	}
	p.retries = retries.Commit()
	return nil
}

func (d *decoder) restoreOthers() error {
	s := d.state
	agents, servers, requests, ages := s.agents.Txn(), s.servers.Txn(), s.requests.Txn(), s.requestAges.Txn()
	for _, rec := range d.others {
		switch b := rec.Body.(type) {
		case *wire.SnapshotRecord_Server:
			servers.Insert([]byte(b.Server.Id), b.Server)
		case *wire.SnapshotRecord_Agent:
			a := b.Agent
			id := a.GetAgent().GetId()
			if a.Number >= s.agentNames.n || s.agentNames.cells.get(a.Number) != id {
				return corrupt("agent %q has number %d, which is not its own", id, a.Number)
			}
			own := newAgent(a.Agent, a.ReadyMs)
			own.Number, own.HeardMs = a.Number, a.HeardMs
			own.drained(a.Drain)
			agents.Insert([]byte(id), own)
		case *wire.SnapshotRecord_Request:
			r := b.Request
			requests.Insert([]byte(r.Id), &request{hash: r.Hash, atMs: r.AtMs, answer: r.Answer})
			ages.Insert(key2(uint64(r.AtMs), r.GetAnswer().GetIndex()), r.Id)
		case *wire.SnapshotRecord_ResourceGroup:
			s.groups, _, _ = s.groups.Insert([]byte(b.ResourceGroup.Name), b.ResourceGroup)
		case *wire.SnapshotRecord_Workspace:
			s.workspaces, _, _ = s.workspaces.Insert([]byte(b.Workspace.Id), b.Workspace)
		case *wire.SnapshotRecord_Region:
			s.regions, _, _ = s.regions.Insert([]byte(b.Region.Id), b.Region)
		case *wire.SnapshotRecord_JoinToken:
			s.tokens, _, _ = s.tokens.Insert([]byte(b.JoinToken.GetToken().GetId()), b.JoinToken)
		case *wire.SnapshotRecord_DataSource:
			s.sources, _, _ = s.sources.Insert([]byte(b.DataSource.Name), b.DataSource)
		case *wire.SnapshotRecord_Channel:
			s.channels, _, _ = s.channels.Insert([]byte(b.Channel.Name), b.Channel)
		case *wire.SnapshotRecord_Notification:
			if err := d.restoreNotification(b.Notification); err != nil {
				return err
			}
		}
	}
	s.agents, s.servers, s.requests, s.requestAges = agents.Commit(), servers.Commit(), requests.Commit(), ages.Commit()
	return nil
}

// restorePeople puts back users, their tokens, what they did, and tags.
func (d *decoder) restorePeople() error {
	s := d.state
	records, tags := s.audit.records.Txn(), s.tags.Txn()
	for _, rec := range d.others {
		switch b := rec.Body.(type) {
		case *wire.SnapshotRecord_User:
			s.users, _, _ = s.users.Insert([]byte(b.User.GetUser().GetName()), b.User)
		case *wire.SnapshotRecord_Token:
			t := b.Token.GetToken()
			if _, ok := s.User(t.GetUser()); !ok {
				return corrupt("token %q is of user %q, but there is no such user", t.GetId(), t.GetUser())
			}
			s.userTokens, _, _ = s.userTokens.Insert([]byte(t.Id), b.Token)
			s.ownTokens, _, _ = s.ownTokens.Insert(ownKey(t.User, t.Id), struct{}{})
		case *wire.SnapshotRecord_Audit:
			if b.Audit.Number == 0 || b.Audit.Number > s.audit.newest {
				return corrupt("record %d of the audit is newer than the newest, %d", b.Audit.Number, s.audit.newest)
			}
			records.Insert(key1(b.Audit.Number), b.Audit)
			s.audit.bytes += proto.Size(b.Audit)
		case *wire.SnapshotRecord_Tag:
			tags.Insert([]byte(b.Tag.Of), b.Tag.Index)
		}
	}
	s.audit.records, s.tags = records.Commit(), tags.Commit()
	return nil
}

// restorePasts puts back what the nodes' cycles last came to.
func (d *decoder) restorePasts() error {
	past, own := &d.state.past, new(mark)
	of := func(id string) (*nodePast, error) {
		n, ok := d.state.nodes.Get([]byte(id))
		if !ok {
			return nil, corrupt("there is a past of node %q, but no such node", id)
		}
		cell := past.nodes.at(own, uint64(n.slot))
		*cell = (*cell).own(own)
		return *cell, nil
	}
	for _, rec := range d.others {
		switch b := rec.Body.(type) {
		case *wire.SnapshotRecord_Outcomes:
			np, err := of(b.Outcomes.Node)
			if err != nil {
				return err
			}
			if !soundOutcomes(b.Outcomes.Cells) {
				return corrupt("block %d of the past of node %q is damaged", b.Outcomes.Block, b.Outcomes.Node)
			}
			*np.block(own, blockKey{calendar.Kind(b.Outcomes.Kind), b.Outcomes.Block}) = string(b.Outcomes.Cells)
		case *wire.SnapshotRecord_Durations:
			np, err := of(b.Durations.Node)
			if err != nil {
				return err
			}
			np.durations = b.Durations.Ms
		}
	}
	return nil
}

// restoreLeases puts the leases back and counts the slots that they use. There
// is exactly one for every instance that runs (RULES R13.2).
func (d *decoder) restoreLeases() error {
	s := d.state
	t := s.leases.edit(new(mark))
	running := make(map[uint64]int, len(d.plans))
	for _, l := range d.leases {
		p, ok := s.Plan(l.Plan)
		a, known := s.Agent(l.Agent)
		if !ok || !known || l.Instance >= p.Size() || p.Status(l.Instance) != Running {
			return corrupt("the lease of %s at agent %q has no running instance or no agent", plan.FormatInstance(l.Plan, l.Instance), l.Agent)
		}
		at, _ := p.Locate(l.Instance)
		own := &Lease{
			Plan: l.Plan, Instance: l.Instance, Attempt: l.Attempt, Fence: l.Fence, Agent: l.Agent, Group: l.ResourceGroup,
			Weight:    node.Weight(p.Nodes[at.Node].Spec),
			GrantedMs: l.GrantedMs, Auto: p.Auto, Version: l.CodeVersion, Stopping: l.Stopping, Yielding: l.Yielding, Cause: l.Cause,
			Ahead: l.Ahead, Recalled: l.Recalled, Freezing: l.Freezing, Started: l.Started, Draining: l.Draining,
		}
		t.put(own)
		a.use(own, 1)
		a.Leases++
		running[l.Plan]++
	}
	s.leases = t.done()
	var err error
	s.Plans(0, func(p *Plan) bool {
		if p.Active() != running[p.ID] {
			err = badPlan(p.ID, "%d instances run, but there are %d leases", p.Active(), running[p.ID])
		}
		return err == nil
	})
	return err
}
