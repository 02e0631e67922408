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
	"math"

	iradix "github.com/hashicorp/go-immutable-radix/v2"

	"backfleet/pkg/calendar"
	"backfleet/pkg/node"
	"backfleet/pkg/wire"
)

// State is the facts after some entry of the log. Its methods do not change
// it and may be called at the same time.
type State struct {
	index       uint64
	nowMs       int64
	behaviour   uint32
	nextPlan    uint64
	nodes       *iradix.Tree[*Node]
	graph       *node.Graph
	plans       *iradix.Tree[*Plan]
	bySlot      column[*Node]          // the same nodes
	backfills   column[[]uint64]       // those that have a node, by its slot; ascending
	autos       *iradix.Tree[uint64]   // the schedule's plans, by date
	autosOpen   *iradix.Tree[struct{}] // those that are unfinished, by id
	generated   calendar.Date          // last date of the schedule
	generates   bool                   // whether there is one
	past        past
	leases      leases
	agents      *iradix.Tree[*Agent]
	agentNames  agentNames
	servers     *iradix.Tree[*wire.PutServer]
	requests    *iradix.Tree[*request]
	requestAges *iradix.Tree[string] // request ids by age
	groups      *iradix.Tree[*wire.PutResourceGroup]
	workspaces  *iradix.Tree[*wire.PutWorkspace]
	regions     *iradix.Tree[*wire.PutRegion]
	tokens      *iradix.Tree[*wire.SnapshotJoinToken]
	sources     *iradix.Tree[*wire.DataSource]
	channels    *iradix.Tree[*wire.Channel]
	outbox      outbox
	users       *iradix.Tree[*wire.SnapshotUser]
	userTokens  *iradix.Tree[*wire.SnapshotToken]
	ownTokens   *iradix.Tree[struct{}] // the same by user and id
	audit       auditLog
	tags        *iradix.Tree[uint64] // of settings, by what they are of
}

// Node is a node as it stands, or a trace of one that was removed.
type Node struct {
	*node.Node
	Version     uint64 // counts the changes of this node, from 1
	Removed     bool
	AutoSinceMs int64  // when the schedule was switched on for it, last; 0: it is not
	slot        uint32 // its place in columns by node; not a fact, a restored State numbers anew
}

// Lease is the right of an agent to run one attempt.
type Lease struct {
	Plan, Instance uint64
	Attempt        uint32
	Fence          uint64
	Agent          string
	Group          string // resource group whose slots it uses
	Weight         uint32 // how many of them, by the node that its plan pins (RULES R7.8)
	GrantedMs      int64
	Auto           bool   // of the schedule's own plan
	Version        uint64 // of the node whose code it runs
	Stopping       bool   // by a person
	Yielding       bool   // for an auto instance of its node (RULES R5.6)
	Draining       bool   // because its agent is to be empty
	Cause          string // of any of these
	// Ahead: granted beyond the agent's slots, and not known to have started.
	// It counts against every cap as one that runs, and is shown as waiting.
	Ahead    bool
	Recalled bool // granted ahead and wanted back: the agent gives it back unless its process runs
	Freezing bool // of one that is Ahead: it is frozen when it comes back
	Started  bool // granted ahead, and its process is known to run
}

// Ending says whether its agent has been, or is to be, told to stop the
// attempt or to give it back. A stop outdoes a recall: Recalled is no longer
// set then.
func (l *Lease) Ending() bool { return l.Stopping || l.Yielding || l.Draining || l.Recalled }

// Ref is the lease's attempt as the agent protocol names it.
func (l *Lease) Ref() *wire.AttemptRef {
	return &wire.AttemptRef{Plan: l.Plan, Instance: l.Instance, Attempt: l.Attempt, Fence: l.Fence}
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
		behaviour: First, nextPlan: 1,
		nodes: iradix.New[*Node](), graph: g,
		plans: iradix.New[*Plan](), bySlot: newColumn[*Node](0), backfills: newColumn[[]uint64](0),
		autos: iradix.New[uint64](), autosOpen: iradix.New[struct{}](),
		past:   past{nodes: newColumn[*nodePast](0)},
		groups: iradix.New[*wire.PutResourceGroup](), workspaces: iradix.New[*wire.PutWorkspace](), regions: iradix.New[*wire.PutRegion](),
		leases: newLeases(), agents: iradix.New[*Agent](), agentNames: namesOf(nil), tokens: iradix.New[*wire.SnapshotJoinToken](),
		sources:  iradix.New[*wire.DataSource](),
		channels: iradix.New[*wire.Channel](), outbox: newOutbox(),
		users: iradix.New[*wire.SnapshotUser](), userTokens: iradix.New[*wire.SnapshotToken](), ownTokens: iradix.New[struct{}](),
		audit: auditLog{records: iradix.New[*wire.AuditRecord]()}, tags: iradix.New[uint64](),
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

// LeasesOf calls f for every lease of a plan, by instance.
func (s *State) LeasesOf(planID uint64, f func(*Lease)) { s.leases.eachOf(planID, f) }

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

// PlansOf lists the backfills that have a node, oldest first. The schedule's
// own plans are not among them: see AutoPlan.
func (s *State) PlansOf(nodeID string) []uint64 {
	n, ok := s.nodes.Get([]byte(nodeID))
	if !ok {
		return nil
	}
	return s.backfills.get(uint64(n.slot))
}

// AutoPlan finds the schedule's plan of a date.
func (s *State) AutoPlan(d calendar.Date) (*Plan, bool) {
	id, ok := s.autos.Get(keyDate(d))
	if !ok {
		return nil, false
	}
	return s.Plan(id)
}

// AutoPlans calls f for every plan of the schedule that is unfinished, oldest
// first.
func (s *State) AutoPlans(f func(*Plan)) {
	eachKey(s.autosOpen, func(id uint64) {
		p, _ := s.Plan(id)
		f(p)
	})
}

// GeneratedThrough is the last date for which the schedule's instances were
// generated; false before the first.
func (s *State) GeneratedThrough() (calendar.Date, bool) { return s.generated, s.generates }

// Attempts lists an instance's finished attempts, oldest first.
func (s *State) Attempts(p *Plan, instance uint64) []Attempt {
	var out []Attempt
	p.records(instance, func(r *historyRecord) {
		if !r.rerun && r.mark == 0 {
			r.attempt.Agent = s.agentNames.cells.get(r.agent)
			out = append(out, r.attempt)
		}
	})
	return out
}

// Elsewhere finds the instances of a node's cycle in other plans than self,
// the schedule's among them: f is called for each from the newest plan to the
// oldest, until it returns false (RULES R5.5, R5.8).
func (s *State) Elsewhere(self uint64, nodeID string, d calendar.Date, unix int64, f func(p *Plan, instance uint64) bool) {
	n, ok := s.nodes.Get([]byte(nodeID))
	if !ok {
		return
	}
	s.others(self, n.slot, d, func(id uint64) bool {
		p, ok := s.Plan(id)
		if !ok {
			return true
		}
		inst, ok := p.Find(nodeID, d, unix)
		return !ok || f(p, inst)
	})
}

// others calls f for the plans other than self that may have a node on a date,
// from the newest to the oldest: the backfills that have the node, and the
// schedule's plan of the date.
func (s *State) others(self uint64, slot uint32, d calendar.Date, f func(id uint64) bool) {
	ids := s.backfills.get(uint64(slot))
	auto, ok := uint64(0), false
	if s.autos.Len() > 0 {
		auto, ok = s.autos.Get(keyDate(d))
	}
	for i := len(ids) - 1; i >= 0; i-- {
		if ok && auto > ids[i] {
			ok = false
			if auto != self && !f(auto) {
				return
			}
		}
		if ids[i] != self && !f(ids[i]) {
			return
		}
	}
	if ok && auto != self {
		f(auto)
	}
}

func key1(a uint64) []byte { return binary.BigEndian.AppendUint64(nil, a) }

func key2(a, b uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(make([]byte, 0, 16), a), b)
}

// keyDate orders dates, those before 1970 too.
func keyDate(d calendar.Date) []byte { return key1(uint64(int64(d) - math.MinInt32)) }
