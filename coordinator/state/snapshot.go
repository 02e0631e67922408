package state

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"io"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"backfleet/pkg/fault"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// Format is the snapshot format that this binary writes, and the only one that
// it reads.
const Format = 1

// WriteTo writes a snapshot: one zstd stream of length-delimited records, as
// pkg/wire/snapshot.proto has them. It reads an immutable value, so it may take
// its time beside later entries. The count is of compressed bytes; an error is
// the writer's.
func (s *State) WriteTo(w io.Writer) (int64, error) {
	count := &countingWriter{w: w}
	z, err := zstd.NewWriter(count, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return 0, fault.Wrap(err, fault.Internal, "snapshot: starting to compress")
	}
	enc := newEncoder(z)
	enc.state(s)
	enc.put(&wire.SnapshotRecord{Body: &wire.SnapshotRecord_Footer{
		Footer: &wire.SnapshotFooter{Records: enc.records, Hash: enc.sum.Sum(nil)},
	}})
	if enc.err != nil {
		return count.n, enc.err
	}
	return count.n, z.Close()
}

// Hash is a digest of all facts: equal for two States exactly when their
// snapshots hold the same records. It takes time in proportion to what has
// happened, not to the size of the plans.
func (s *State) Hash() [32]byte {
	enc := newEncoder(io.Discard)
	enc.state(s)
	return [32]byte(enc.sum.Sum(nil))
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// encoder writes records, framed as protodelim does, and sums them up. After
// an error it does nothing more.
type encoder struct {
	w       io.Writer
	sum     hash.Hash
	records uint64
	buf     []byte
	err     error
}

func newEncoder(w io.Writer) *encoder { return &encoder{w: w, sum: sha256.New()} }

func (enc *encoder) put(r *wire.SnapshotRecord) {
	if enc.err != nil {
		return
	}
	opt := proto.MarshalOptions{Deterministic: true}
	enc.buf = protowire.AppendVarint(enc.buf[:0], uint64(opt.Size(r)))
	opt.UseCachedSize = true
	if enc.buf, enc.err = opt.MarshalAppend(enc.buf, r); enc.err != nil {
		enc.err = fault.Wrap(enc.err, fault.Internal, "snapshot: record %d", enc.records)
		return
	}
	enc.sum.Write(enc.buf)
	enc.records++
	_, enc.err = enc.w.Write(enc.buf)
}

// state writes all but the footer. Every order in it is fixed, so that equal
// States give equal bytes.
func (enc *encoder) state(s *State) {
	enc.put(&wire.SnapshotRecord{Body: &wire.SnapshotRecord_Header{Header: &wire.SnapshotHeader{
		Format: Format, Behaviour: s.behaviour, Index: s.index, NowMs: s.nowMs, NextPlan: s.nextPlan, AgentNames: s.agentNames.list(),
		GeneratedThrough: int32(s.generated), Generates: s.generates, NextNotification: s.outbox.header(), NextAudit: s.audit.next(),
	}}})
	written := enc.nodes(s)
	s.plans.Root().Walk(func(_ []byte, p *Plan) bool {
		enc.pinned(p, written)
		enc.plan(p)
		return enc.err != nil
	})
	s.Leases(func(l *Lease) {
		enc.put(&wire.SnapshotRecord{Body: &wire.SnapshotRecord_Lease{Lease: &wire.SnapshotLease{
			Plan: l.Plan, Instance: l.Instance, Attempt: l.Attempt, Fence: l.Fence, Agent: l.Agent, ResourceGroup: l.Group,
			GrantedMs: l.GrantedMs, CodeVersion: l.Version, Stopping: l.Stopping, Cause: l.Cause, Yielding: l.Yielding,
			Ahead: l.Ahead, Recalled: l.Recalled, Freezing: l.Freezing, Started: l.Started, Draining: l.Draining,
		}}})
	})
	s.Servers(func(v *wire.PutServer) {
		enc.put(&wire.SnapshotRecord{Body: &wire.SnapshotRecord_Server{Server: v}})
	})
	s.Agents(func(a *Agent) {
		enc.put(&wire.SnapshotRecord{Body: &wire.SnapshotRecord_Agent{Agent: &wire.SnapshotAgent{
			Agent: a.Agent, Number: a.Number, ReadyMs: a.ReadyMs, Drain: a.Drain, HeardMs: a.HeardMs,
		}}})
	})
	s.ResourceGroups(func(g *wire.PutResourceGroup) {
		enc.put(&wire.SnapshotRecord{Body: &wire.SnapshotRecord_ResourceGroup{ResourceGroup: g}})
	})
	s.Workspaces(func(w *wire.PutWorkspace) {
		enc.put(&wire.SnapshotRecord{Body: &wire.SnapshotRecord_Workspace{Workspace: w}})
	})
	s.Regions(func(r *wire.PutRegion) {
		enc.put(&wire.SnapshotRecord{Body: &wire.SnapshotRecord_Region{Region: r}})
	})
	s.JoinTokens(func(t *wire.SnapshotJoinToken) {
		enc.put(&wire.SnapshotRecord{Body: &wire.SnapshotRecord_JoinToken{JoinToken: t}})
	})
	s.DataSources(func(d *wire.DataSource) {
		enc.put(&wire.SnapshotRecord{Body: &wire.SnapshotRecord_DataSource{DataSource: d}})
	})
	enc.notifications(s)
	enc.people(s)
	enc.pasts(s)
	s.requests.Root().Walk(func(id []byte, r *request) bool {
		enc.put(&wire.SnapshotRecord{Body: &wire.SnapshotRecord_Request{Request: &wire.SnapshotRequest{
			Id: string(id), Hash: r.hash, AtMs: r.atMs, Answer: r.answer,
		}}})
		return enc.err != nil
	})
}

// people writes users, their tokens, what they did, and the tags of settings.
func (enc *encoder) people(s *State) {
	s.Users(func(u *wire.SnapshotUser) {
		enc.put(&wire.SnapshotRecord{Body: &wire.SnapshotRecord_User{User: u}})
	})
	s.UserTokens(func(t *wire.SnapshotToken) {
		enc.put(&wire.SnapshotRecord{Body: &wire.SnapshotRecord_Token{Token: t}})
	})
	s.AuditFrom(0, func(r *wire.AuditRecord) bool {
		enc.put(&wire.SnapshotRecord{Body: &wire.SnapshotRecord_Audit{Audit: r}})
		return enc.err == nil
	})
	s.tags.Root().Walk(func(of []byte, index uint64) bool {
		enc.put(&wire.SnapshotRecord{Body: &wire.SnapshotRecord_Tag{Tag: &wire.SnapshotTag{Of: string(of), Index: index}}})
		return enc.err != nil
	})
}

// pasts writes what the nodes' cycles last came to.
func (enc *encoder) pasts(s *State) {
	past := s.past.settled()
	s.nodes.Root().Walk(func(id []byte, n *Node) bool {
		np := past.nodes.get(uint64(n.slot))
		if np == nil {
			return enc.err != nil
		}
		for _, sp := range np.spans {
			for i, text := range sp.blocks {
				if text != "" {
					enc.put(&wire.SnapshotRecord{Body: &wire.SnapshotRecord_Outcomes{Outcomes: &wire.SnapshotOutcomes{
						Node: string(id), Kind: uint32(sp.key.kind), Block: sp.key.block + int64(i), Cells: []byte(text),
					}}})
				}
			}
		}
		if len(np.durations) > 0 {
			enc.put(&wire.SnapshotRecord{Body: &wire.SnapshotRecord_Durations{Durations: &wire.SnapshotDurations{Node: string(id), Ms: np.durations}}})
		}
		return enc.err != nil
	})
}

// nodeVersion names the definition of a node at some time.
type nodeVersion struct {
	id      string
	version uint64
}

// nodes writes the nodes as they stand, and says which versions those are.
func (enc *encoder) nodes(s *State) map[nodeVersion]bool {
	written := make(map[nodeVersion]bool, s.nodes.Len())
	s.nodes.Root().Walk(func(id []byte, n *Node) bool {
		written[nodeVersion{string(id), n.Version}] = true
		enc.put(&wire.SnapshotRecord{Body: &wire.SnapshotRecord_Node{Node: &wire.SnapshotNode{
			Spec: n.Spec, Version: n.Version, Removed: n.Removed, AutoSinceMs: n.AutoSinceMs,
		}}})
		return enc.err != nil
	})
	return written
}

// pinned writes the older versions of nodes that a plan has (RULES R1.6) and
// that were not written yet.
func (enc *encoder) pinned(p *Plan, written map[nodeVersion]bool) {
	for i := range p.Nodes {
		n := &p.Nodes[i]
		if k := (nodeVersion{n.Spec.Id, n.Version}); !written[k] {
			written[k] = true
			enc.put(&wire.SnapshotRecord{Body: &wire.SnapshotRecord_Node{Node: &wire.SnapshotNode{
				Spec: n.Spec, Version: n.Version, Pinned: true,
			}}})
		}
	}
}

// plan writes a plan and what happened in it.
func (enc *encoder) plan(p *Plan) {
	rec := p.Record()
	for _, n := range rec.Nodes {
		n.Spec = &wire.Node{Id: n.Spec.Id}
	}
	head := &wire.SnapshotPlan{
		Record: rec, Paused: p.Paused, Stopped: p.Stopped, Halted: p.Halted, Failures: p.Failures,
		Opened: p.Opened, ChangedMs: p.ChangedMs, ChangedBy: p.ChangedBy,
	}
	p.EachNamed(func(i uint64) { head.Named = append(head.Named, i) })
	p.EachForced(func(i uint64) { head.Forced = append(head.Forced, i) })
	p.priority.Root().Walk(func(k []byte, v int32) bool {
		head.Priorities = append(head.Priorities, &wire.Assigned{Instance: binary.BigEndian.Uint64(k), Number: uint32(v)})
		return false
	})
	numbers := map[string]uint32{}
	p.removed.Root().Walk(func(k []byte, ids []string) bool {
		for _, id := range ids {
			n, ok := numbers[id]
			if !ok {
				n = uint32(len(numbers))
				numbers[id], head.NodeIds = n, append(head.NodeIds, id)
			}
			head.Removed = append(head.Removed, &wire.Assigned{Instance: binary.BigEndian.Uint64(k), Number: n})
		}
		return false
	})
	head.Operations = p.Operations()
	enc.put(&wire.SnapshotRecord{Body: &wire.SnapshotRecord_Plan{Plan: head}})
	leaf := &wire.SnapshotLeaf{Plan: p.ID, Status: make([]byte, chunkSize)}
	record := &wire.SnapshotRecord{Body: &wire.SnapshotRecord_Leaf{Leaf: leaf}}
	p.status.each(func(n uint64, cells *[chunkSize]Status) {
		for i, st := range cells {
			leaf.Status[i] = byte(st)
		}
		leaf.Leaf, leaf.Attempts = uint32(n), p.history.get(n).bytes
		enc.put(record)
	})
}

// Read builds the State that WriteTo wrote, beside whatever State there is. A
// stream that is cut off, damaged, of another format or at odds with itself is
// an error of code Corrupt that says what was found. Nothing in the stream is
// interpreted before the hash of all of it has been verified.
func Read(r io.Reader) (*State, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "snapshot: starting to decompress")
	}
	defer z.Close()
	d := &decoder{in: z, sum: sha256.New()}
	if err := d.stream(); err != nil {
		return nil, err
	}
	return d.restore()
}

// corrupt says what is wrong with a snapshot.
func corrupt(format string, args ...any) error {
	return fault.New(fault.Corrupt, "snapshot: "+format+": restore an older one, or join anew", args...)
}

// newer says what a snapshot of a later version has.
func newer(format string, args ...any) error {
	return fault.New(fault.Corrupt, "snapshot: "+format+": upgrade this binary", args...)
}

// badPlan is corrupt for one plan.
func badPlan(id uint64, format string, args ...any) error {
	return corrupt("backfill "+plan.FormatID(id)+": "+format, args...)
}
