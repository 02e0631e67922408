package state

import (
	"bytes"
	"crypto/sha256"
	"slices"

	"google.golang.org/protobuf/proto"

	iradix "github.com/hashicorp/go-immutable-radix/v2"

	"backfleet/pkg/fault"
	"backfleet/pkg/node"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// MaxGroups is the default of the setting limits.groups (RULES R4.1).
const MaxGroups = plan.DefaultGroups

// requestAge is how long an answer is kept for retries of its request.
const requestAge = 24 * 3600 * 1000 // milliseconds

// Result is what applying a command gave.
type Result struct {
	Err     error // a *fault.Error: refused, nothing changed
	Answer  *wire.Answer
	Changes []Change
	Refused []Refused // of a turn
}

// Refused is a grant that the facts did not allow any more when it was
// applied.
type Refused struct {
	Plan, Instance uint64
	Err            error
}

// Apply gives the State after a command. A command that it does not know, or
// that was decided under newer rules, is an error of code Corrupt: the caller
// must stop, since going on would make this coordinator differ from others.
func (s *State) Apply(index uint64, c *wire.Command) (*State, Result) {
	if err := s.mayFollow(index, c); err != nil {
		if fault.Is(err, fault.Corrupt) {
			return s, Result{Err: err}
		}
		next, _ := s.Edit(index, c.NowMs).Done()
		return next, Result{Err: err}
	}
	e := s.Edit(index, c.NowMs)
	if answer, err := e.repeated(c); answer != nil || err != nil {
		next, _ := s.Edit(index, c.NowMs).Done()
		return next, Result{Answer: answer, Err: err}
	}
	what := subjectOf(c)
	r := e.carry(c, what)
	if fault.Is(r.Err, fault.Corrupt) {
		return s, r
	}
	if r.Err != nil {
		next, _ := s.Edit(index, c.NowMs).Done()
		next.recorded(c, s, what, r)
		return next, r
	}
	e.retag(what)
	e.remember(c, r.Answer)
	next, changes := e.Done()
	r.Changes = changes
	next.recorded(c, s, what, r)
	return next, r
}

// carry does what a command says.
func (e *Edit) carry(c *wire.Command, what subject) (r Result) {
	if r.Err = e.matches(c, what); r.Err != nil {
		return r
	}
	switch b := c.Body.(type) {
	case *wire.Command_Turn:
		r.Refused = e.Turn(b.Turn)
	case *wire.Command_ApplyNodes:
		r.Answer, r.Err = e.applyNodes(b.ApplyNodes)
	case *wire.Command_Submit:
		r.Answer, r.Err = e.submit(c, b.Submit)
	case *wire.Command_Operate:
		r.Answer, r.Err = e.operate(c, b.Operate)
	case *wire.Command_EditPlan:
		r.Answer, r.Err = e.editPlan(c, b.EditPlan)
	case *wire.Command_Generate:
		r.Answer, r.Err = e.generate(b.Generate)
	case *wire.Command_Expire:
		r.Answer, r.Err = e.expire(b.Expire)
	case *wire.Command_PutResourceGroup:
		r.Answer, r.Err = e.putResourceGroup(b.PutResourceGroup)
	case *wire.Command_PutWorkspace:
		r.Answer, r.Err = e.putWorkspace(b.PutWorkspace)
	case *wire.Command_PutRegion:
		r.Answer, r.Err = e.putRegion(b.PutRegion)
	case *wire.Command_OperateAgents:
		r.Answer, r.Err = e.operateAgents(c, b.OperateAgents)
	case *wire.Command_PutJoinToken:
		r.Answer, r.Err = e.putJoinToken(c, b.PutJoinToken)
	case *wire.Command_RevokeJoinToken:
		r.Answer, r.Err = e.revokeJoinToken(b.RevokeJoinToken)
	case *wire.Command_PutDataSource:
		r.Answer, r.Err = e.putDataSource(b.PutDataSource.GetSource())
	case *wire.Command_RemoveDataSource:
		r.Answer, r.Err = e.removeDataSource(b.RemoveDataSource.GetName())
	case *wire.Command_PutChannel:
		r.Answer, r.Err = e.putChannel(b.PutChannel.GetChannel())
	case *wire.Command_RemoveChannel:
		r.Answer, r.Err = e.removeChannel(b.RemoveChannel.GetName())
	case *wire.Command_Notify:
		r.Answer, r.Err = e.notify(b.Notify)
	case *wire.Command_Delivery:
		r.Answer, r.Err = e.deliver(b.Delivery)
	case *wire.Command_RetryNotifications:
		r.Answer, r.Err = e.retryNotifications(b.RetryNotifications)
	case *wire.Command_PutServer:
		e.putServer(b.PutServer)
	case *wire.Command_RemoveServer:
		e.removeServer(b.RemoveServer.Id)
	case *wire.Command_RaiseBehaviour:
		r.Answer, r.Err = e.raise(b.RaiseBehaviour)
	default:
		r.Answer, r.Err = e.people(c)
	}
	return r
}

// people does what a command says of users.
func (e *Edit) people(c *wire.Command) (*wire.Answer, error) {
	switch b := c.Body.(type) {
	case *wire.Command_PutUser:
		return e.putUser(c, b.PutUser.GetUser())
	case *wire.Command_RemoveUser:
		return e.removeUser(c, b.RemoveUser.GetName())
	case *wire.Command_PutToken:
		return e.putUserToken(c, b.PutToken)
	case *wire.Command_RevokeToken:
		return e.revokeUserToken(b.RevokeToken.GetId())
	case *wire.Command_ForgetTokens:
		return e.forgetTokens(b.ForgetTokens)
	case *wire.Command_Refusals:
		e.refusals(b.Refusals)
		return &wire.Answer{}, nil
	}
	return nil, fault.New(fault.Corrupt, "log entry %d is of a kind that this binary does not know: start the version that the other coordinators run", e.s.index)
}

// Turn applies the dispatcher's decisions in their order and says which grants
// the facts refused.
func (e *Edit) Turn(t *wire.Turn) []Refused {
	for _, a := range t.Agents {
		e.PutAgent(a)
	}
	e.endDrains(t.Agents)
	ends := len(t.Finishes) + len(t.Losses)
	e.noted = slices.Grow(e.noted, ends)
	e.changes = slices.Grow(e.changes, ends+len(t.Grants)+len(t.Started))
	for _, f := range t.Finishes {
		e.Finish(f)
	}
	for _, l := range t.Losses {
		e.Lose(l)
	}
	for _, s := range t.Started {
		e.Start(s)
	}
	for _, y := range t.Yields {
		e.Yield(y)
	}
	for _, m := range t.Missed {
		for _, i := range m.Instances {
			e.Miss(m.Plan, i)
		}
	}
	for _, o := range t.Opens {
		e.Open(o)
	}
	for _, d := range t.DryRuns {
		for _, i := range d.Instances {
			e.DryRun(d.Plan, i)
		}
	}
	var refused []Refused
	for _, g := range t.Grants {
		if err := e.Grant(g); err != nil {
			refused = append(refused, Refused{g.Plan, g.Instance, err})
		}
	}
	return refused
}

// repeated answers a request that was answered before. The same id with
// another body is refused.
func (e *Edit) repeated(c *wire.Command) (*wire.Answer, error) {
	if c.RequestId == "" {
		return nil, nil
	}
	r, ok := e.s.requests.Get([]byte(c.RequestId))
	switch {
	case !ok:
		return nil, nil
	case !bytes.Equal(r.hash, c.RequestHash):
		return nil, fault.New(fault.Conflict, "idempotency key %q was used for another request: use a new key", c.RequestId)
	}
	return r.answer, nil
}

func (e *Edit) remember(c *wire.Command, answer *wire.Answer) {
	if c.RequestId == "" || answer == nil {
		return
	}
	answer.Index = e.s.index
	ids, ages := e.s.requests.Txn(), e.s.requestAges.Txn()
	e.s.requestAges.Root().Walk(func(k []byte, id string) bool {
		if r, _ := ids.Get([]byte(id)); r.atMs+requestAge > e.s.nowMs {
			return true
		}
		ids.Delete([]byte(id))
		ages.Delete(k)
		return false
	})
	ids.Insert([]byte(c.RequestId), &request{hash: c.RequestHash, atMs: e.s.nowMs, answer: answer})
	ages.Insert(key2(uint64(e.s.nowMs), e.s.index), c.RequestId)
	e.s.requests, e.s.requestAges = ids.Commit(), ages.Commit()
}

// HashRequest is the hash kept under an idempotency key: of the body alone, so
// that a retry with a newer clock is the same request.
func HashRequest(body proto.Message) []byte {
	b, _ := proto.MarshalOptions{Deterministic: true}.Marshal(body)
	h := sha256.Sum256(b)
	return h[:16]
}

// applyNodes checks again what the proposer checked: other nodes may have been
// applied in between.
func (e *Edit) applyNodes(a *wire.ApplyNodes) (*wire.Answer, error) {
	change, err := node.Apply(liveNodes(e.s.nodes), a.Nodes, a.Remove)
	if err != nil {
		return nil, err
	}
	answer, nodes := &wire.Answer{}, e.s.nodes.Txn()
	e.s.growNodes(e.mark, uint64(e.s.nodes.Len()+len(change.Added)))
	slots := uint32(e.s.nodes.Len())
	put := func(id string, n *Node) uint64 {
		nodes.Insert([]byte(id), n)
		*e.s.bySlot.at(e.mark, uint64(n.slot)) = n
		return n.Version
	}
	note := func(kind wire.NodeChange_Kind, ids []string, version func(id string, old *Node) uint64) {
		for _, id := range ids {
			old, _ := nodes.Get([]byte(id))
			answer.Nodes = append(answer.Nodes, &wire.NodeChange{Id: id, Kind: kind, Version: version(id, old)})
		}
	}
	next := func(id string, old *Node) uint64 {
		i, _ := change.Graph.Index(id)
		if old == nil {
			old = &Node{Removed: true, slot: slots}
			slots++
		}
		n := &Node{Node: change.Graph.Node(i), Version: old.Version + 1, slot: old.slot}
		switch {
		case !n.Spec.Auto:
		case !old.Removed && old.Spec.Auto:
			n.AutoSinceMs = old.AutoSinceMs
		default:
			n.AutoSinceMs = e.s.nowMs
		}
		return put(id, n)
	}
	note(wire.NodeChange_ADDED, change.Added, next)
	note(wire.NodeChange_CHANGED, change.Changed, next)
	note(wire.NodeChange_UNCHANGED, change.Unchanged, func(_ string, old *Node) uint64 { return old.Version })
	note(wire.NodeChange_REMOVED, change.Removed, func(id string, old *Node) uint64 {
		return put(id, &Node{Node: old.Node, Version: old.Version, Removed: true, slot: old.slot})
	})
	e.s.nodes, e.s.graph = nodes.Commit(), change.Graph
	e.changes = append(e.changes, Change{Kind: NodesChanged})
	return answer, nil
}

// growNodes makes room for nodes in the columns by slot.
func (s *State) growNodes(m *mark, n uint64) {
	s.bySlot.grow(m, n)
	s.backfills.grow(m, n)
	s.past.nodes.grow(m, n)
}

func liveNodes(nodes *iradix.Tree[*Node]) []*node.Node {
	var live []*node.Node
	nodes.Root().Walk(func(_ []byte, n *Node) bool {
		if !n.Removed {
			live = append(live, n.Node)
		}
		return false
	})
	return live
}

func (e *Edit) putServer(v *wire.PutServer) {
	e.s.servers, _, _ = e.s.servers.Insert([]byte(v.Id), v)
	e.changes = append(e.changes, Change{Kind: ServersChanged})
}

func (e *Edit) removeServer(id string) {
	e.s.servers, _, _ = e.s.servers.Delete([]byte(id))
	e.changes = append(e.changes, Change{Kind: ServersChanged})
}
