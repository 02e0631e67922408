// Package state is the facts: nodes, plans, instances, leases, agents and
// coordinators, as the replicated log has made them. A State is an immutable
// value; applying an entry gives a new one that shares all that did not
// change. Readers need no lock, a snapshot is a pointer, and the same log
// gives the same State on every coordinator (RULES R13.7).
//
// The package records what happened and refuses what may not happen: a second
// live attempt, a report with an old fence, a start in a stopped plan. Which
// instance to start next is not its business.
package state

import (
	"encoding/binary"
	"slices"

	iradix "github.com/hashicorp/go-immutable-radix/v2"

	"backfleet/pkg/calendar"
	"backfleet/pkg/node"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// Behaviour is the newest version of the rules that this binary knows. A
// command of a newer one stops it.
const Behaviour = 1

// State is the facts after some entry of the log. Its methods do not change
// it and may be called at the same time.
type State struct {
	index       uint64
	nowMs       int64
	nextPlan    uint64
	nodes       *iradix.Tree[*Node]
	graph       *node.Graph
	plans       *iradix.Tree[*Plan]
	byNode      *iradix.Tree[[]uint64] // plans that have a node, as accepted
	leases      leases
	agents      *iradix.Tree[*Agent]
	agentNames  []string // by number
	servers     *iradix.Tree[*wire.PutServer]
	requests    *iradix.Tree[*request]
	requestAges *iradix.Tree[string] // request ids by age
}

// Node is a node as it stands, or a trace of one that was removed.
type Node struct {
	*node.Node
	Version uint64 // counts the changes of this node, from 1
	Removed bool
}

// Plan is an accepted plan and what happened in it.
type Plan struct {
	*plan.Plan
	Paused    bool
	Stopped   bool
	Halted    bool   // by stopAfter (RULES R4.5)
	Failures  uint32 // since it was accepted or resumed
	ChangedMs int64
	ChangedBy string
	Opened    []uint32 // positions opened although the one before failed, sorted
	named     *iradix.Tree[struct{}]
	retries   *iradix.Tree[struct{}]
	status    column[Status]
	history   column[history] // one cell for each chunk of status
	total     Counts
	dates     column[Counts]
	perNode   column[Counts]
}

// Lease is the right of an agent to run one attempt.
type Lease struct {
	Plan, Instance uint64
	Attempt        uint32
	Fence          uint64
	Agent          string
	Group          string // resource group whose slot it uses
	GrantedMs      int64
	Version        uint64 // of the node whose code it runs
	Stopping       bool
	Cause          string // of the stop
}

// Ref is the lease's attempt as the agent protocol names it.
func (l *Lease) Ref() *wire.AttemptRef {
	return &wire.AttemptRef{Plan: l.Plan, Instance: l.Instance, Attempt: l.Attempt, Fence: l.Fence}
}

// Agent is a registered agent.
type Agent struct {
	*wire.Agent
	Number  uint64
	Used    []uint32 // slots used, parallel to Groups; leases in a group it left count nowhere
	ReadyMs int64
}

type request struct {
	hash   []byte
	atMs   int64
	answer *wire.Answer
}

// New is the state before the first entry.
func New() *State {
	g, _ := node.BuildGraph(nil)
	return &State{
		nextPlan: 1,
		nodes:    iradix.New[*Node](), graph: g,
		plans: iradix.New[*Plan](), byNode: iradix.New[[]uint64](),
		leases: newLeases(), agents: iradix.New[*Agent](),
		servers:  iradix.New[*wire.PutServer](),
		requests: iradix.New[*request](), requestAges: iradix.New[string](),
	}
}

// Index is the log index of the last entry applied.
func (s *State) Index() uint64 { return s.index }

// NowMs is the time of the last entry, by its leader's clock; it never goes
// back.
func (s *State) NowMs() int64 { return s.nowMs }

// Graph is the nodes that exist.
func (s *State) Graph() *node.Graph { return s.graph }

// Node finds a node by id; false also when it was removed.
func (s *State) Node(id string) (*Node, bool) {
	n, ok := s.nodes.Get([]byte(id))
	return n, ok && !n.Removed
}

// Plan finds a plan.
func (s *State) Plan(id uint64) (*Plan, bool) { return s.plans.Get(key1(id)) }

// Plans calls f for every plan from newest to oldest, beginning below an id (0:
// the newest), until f returns false.
func (s *State) Plans(below uint64, f func(*Plan) bool) {
	it := s.plans.Root().ReverseIterator()
	if below > 0 {
		it.SeekReverseLowerBound(key1(below - 1))
	}
	for _, p, ok := it.Previous(); ok; _, p, ok = it.Previous() {
		if !f(p) {
			return
		}
	}
}

// Lease finds the lease of an instance.
func (s *State) Lease(planID, instance uint64) (*Lease, bool) {
	return s.leases.get(planID, instance)
}

// Leases calls f for every lease.
func (s *State) Leases(f func(*Lease)) { s.leases.each(f) }

// LeaseCount is the number of leases.
func (s *State) LeaseCount() int { return s.leases.n }

// Agent finds an agent.
func (s *State) Agent(id string) (*Agent, bool) { return s.agents.Get([]byte(id)) }

// Agents calls f for every agent, by id.
func (s *State) Agents(f func(*Agent)) {
	s.agents.Root().Walk(func(_ []byte, a *Agent) bool { f(a); return false })
}

// Servers calls f for every coordinator, by id.
func (s *State) Servers(f func(*wire.PutServer)) {
	s.servers.Root().Walk(func(_ []byte, v *wire.PutServer) bool { f(v); return false })
}

// Server finds a coordinator.
func (s *State) Server(id string) (*wire.PutServer, bool) { return s.servers.Get([]byte(id)) }

// PlansOf lists the plans that have a node, oldest first.
func (s *State) PlansOf(nodeID string) []uint64 {
	ids, _ := s.byNode.Get([]byte(nodeID))
	return ids
}

// Status is an instance's status.
func (p *Plan) Status(instance uint64) Status { return p.status.get(instance) }

// Total counts the plan's instances; Pending is filled in.
func (p *Plan) Total() Counts { return fill(p.total, p.Size()) }

// DateCounts counts the instances of a position; Pending is filled in.
func (p *Plan) DateCounts(pos int) Counts {
	from, to := p.Range(pos)
	return fill(p.dates.get(uint64(pos)), to-from)
}

// NodeCounts counts the instances of a node; Pending is filled in.
func (p *Plan) NodeCounts(n int) Counts { return fill(p.perNode.get(uint64(n)), p.NodeSize(n)) }

func fill(c Counts, size uint64) Counts {
	c[Pending] = uint32(size - c.Started())
	return c
}

// DateSucceeded says whether every instance of a position has succeeded.
func (p *Plan) DateSucceeded(pos int) bool {
	from, to := p.Range(pos)
	c := p.dates.get(uint64(pos))
	return c.Success() == to-from
}

// Succeeded says whether the whole plan has.
func (p *Plan) Succeeded() bool { return p.total.Success() == p.Size() }

// Active is the number of instances that run.
func (p *Plan) Active() int { return int(p.total[Running]) }

// FirstUnsuccessful finds the first instance in a half-open range that has not
// succeeded.
func (p *Plan) FirstUnsuccessful(from, to uint64) (uint64, bool) {
	for i := from; i < to; i++ {
		if !p.status.get(i).Success() {
			return i, true
		}
	}
	return 0, false
}

// IsOpened says whether a position was opened by a decision (RULES R4.5).
func (p *Plan) IsOpened(pos int) bool {
	_, found := slices.BinarySearch(p.Opened, uint32(pos))
	return found
}

// Blocked says whether the plan as a whole lets nothing new start: paused,
// halted, or stopped and the instance not named by a rerun since (RULES R9).
func (p *Plan) Blocked(instance uint64) bool {
	if p.Stopped {
		return !p.Named(instance)
	}
	return p.Paused || p.Halted
}

// Named says whether a rerun named the instance since the plan was stopped.
func (p *Plan) Named(instance uint64) bool {
	_, ok := p.named.Get(key1(instance))
	return ok
}

// EachNamed calls f for every instance that a rerun named since the stop.
func (p *Plan) EachNamed(f func(uint64)) { eachKey(p.named, f) }

// EachRetrying calls f for every instance that waits to be tried again.
func (p *Plan) EachRetrying(f func(uint64)) { eachKey(p.retries, f) }

func eachKey(t *iradix.Tree[struct{}], f func(uint64)) {
	t.Root().Walk(func(k []byte, _ struct{}) bool {
		f(binary.BigEndian.Uint64(k))
		return false
	})
}

// Attempts lists an instance's finished attempts, oldest first.
func (s *State) Attempts(p *Plan, instance uint64) []Attempt {
	var out []Attempt
	p.records(instance, func(r *historyRecord) {
		if !r.rerun {
			r.attempt.Agent = s.agentNames[r.agent]
			out = append(out, r.attempt)
		}
	})
	return out
}

func (p *Plan) records(instance uint64, f func(*historyRecord)) {
	eachRecord(p.history.get(instance>>chunkBits).bytes, instance&chunkMask, p.AcceptedMs, f)
}

// tally sums up what the history says of an instance.
type tally struct {
	attempts    uint32 // finished ones
	retriesUsed int32  // since a person last asked for it
	settledMs   int64  // of the last attempt
}

func (p *Plan) tally(instance uint64) tally {
	var t tally
	p.records(instance, func(r *historyRecord) {
		if r.rerun {
			t.retriesUsed = 0
			return
		}
		t.attempts = r.attempt.Number
		t.settledMs = r.attempt.SettledMs
		if o := r.attempt.Outcome; o == wire.Outcome_FAILED || o == wire.Outcome_TIMED_OUT {
			t.retriesUsed++
		}
	})
	return t
}

// Retry describes the wait of a Retrying instance: which retry comes next, of
// how many, and when (unix milliseconds). The delay counts from when the failure
// was recorded: the agent's clock may be wrong.
func (p *Plan) Retry(at plan.Place) (next, of int32, dueMs int64) {
	t := p.tally(p.Instance(at))
	spec := p.Nodes[at.Node].Spec
	return t.retriesUsed, spec.Retries, t.settledMs + spec.RetryDelayMs
}

// Elsewhere finds the instance of a node's cycle in another plan that matters
// to one of plan self: f is called for each from the newest plan to the
// oldest, until it returns false (RULES R5.5, R5.8).
func (s *State) Elsewhere(self uint64, nodeID string, d calendar.Date, unix int64, f func(p *Plan, instance uint64) bool) {
	ids := s.PlansOf(nodeID)
	for i := len(ids) - 1; i >= 0; i-- {
		if ids[i] == self {
			continue
		}
		p, ok := s.Plan(ids[i])
		if !ok {
			continue
		}
		if inst, ok := p.Find(nodeID, d, unix); ok && !f(p, inst) {
			return
		}
	}
}

func key1(a uint64) []byte { return binary.BigEndian.AppendUint64(nil, a) }

func key2(a, b uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(make([]byte, 0, 16), a), b)
}
