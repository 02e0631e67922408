package state

import (
	"slices"
	"strconv"
	"strings"

	iradix "github.com/hashicorp/go-immutable-radix/v2"

	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/node"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// BuildPlan expands a submission against the present nodes, without accepting
// it: the same function serves the preview and the log.
func (s *State) BuildPlan(actor string, nowMs int64, sub *wire.Submit) (*plan.Plan, error) {
	if sub.Request == nil {
		return nil, fault.Field("request", "there is none: expected what to run and for which dates")
	}
	p, err := plan.Build(plan.Input{
		ID: s.nextPlan, Name: sub.Request.Name, Actor: actor, NowMs: nowMs, Today: calendar.Date(sub.Today),
		ClusterZone: sub.ClusterZone, Zones: sub.Zones, Request: sub.Request, Graph: s.graph, MaxGroups: sub.MaxGroups,
		Version: s.version, Scope: s.Scope(sub.Restricted, sub.Workspaces), Known: s.known,
	})
	if err != nil {
		return nil, err
	}
	if p.Name == "" {
		p.Name = s.defaultName(p)
	}
	if err := s.refuseOverlaps(p); err != nil {
		return nil, err
	}
	return p, nil
}

// knownMost is how many plans a new one is compared with: they may be of
// several parts of the graph in turn.
const knownMost = 4

// known gives the newest backfills that have a node.
func (s *State) known(nodeID string) []*plan.Plan {
	var out []*plan.Plan
	ids := s.PlansOf(nodeID)
	for _, id := range slices.Backward(ids[max(0, len(ids)-knownMost):]) {
		if p, ok := s.Plan(id); ok {
			out = append(out, p.Plan)
		}
	}
	return out
}

// refuseOverlaps applies overlap: refuse (RULES R5.8).
func (s *State) refuseOverlaps(p *plan.Plan) error {
	if p.Request.Overlap != wire.Request_OVERLAP_REFUSE {
		return nil
	}
	if found := s.Overlaps(p); len(found) > 0 {
		return fault.New(fault.Conflict, "overlap: refuse: %s", strings.Join(plan.Texts(found), "; "))
	}
	return nil
}

// Scope is what an actor may run: everything, or if restricted the nodes of
// some workspaces (RULES R2.9).
func (s *State) Scope(restricted bool, workspaces []string) node.Scope {
	allowed := make(map[string]bool, len(workspaces))
	for _, id := range workspaces {
		allowed[id] = true
	}
	return node.Scope{Workspace: s.Workspace, Restricted: restricted, Allowed: allowed}
}

// version is that of a node that exists.
func (s *State) version(id string) uint64 {
	n, _ := s.nodes.Get([]byte(id))
	return n.Version
}

func (e *Edit) submit(c *wire.Command, sub *wire.Submit) (*wire.Answer, error) {
	built, err := e.s.BuildPlan(c.Actor, e.s.nowMs, sub)
	if err != nil {
		return nil, err
	}
	answer := &wire.Answer{Plan: built.ID, Warnings: plan.Texts(append(built.Warnings(), e.s.Overlaps(built)...)), Instances: built.Size()}
	p := e.accept(built)
	p.ChangedMs, p.ChangedBy = e.s.nowMs, c.Actor
	e.s.list(e.mark, p)
	return answer, nil
}

// accept takes in a new plan.
func (e *Edit) accept(built *plan.Plan) *Plan {
	p := newPlan(built)
	p.slots = e.s.slots(built)
	p.ChangedMs = e.s.nowMs
	e.s.nextPlan++
	e.put(p)
	e.freezePaused(p, 0)
	e.changes = append(e.changes, Change{Kind: PlanAccepted, Plan: p.ID})
	return p
}

// freezePaused freezes the instances of paused nodes that the plan keeps so
// (RULES R6): those with numbers from first on.
func (e *Edit) freezePaused(p *Plan, first uint64) {
	e.untold = true // the plan is new, or said to have changed
	for n := range p.Nodes {
		if !p.FrozenNode(n) {
			continue
		}
		for pos := range p.Dates {
			from, to := p.NodeRange(pos, n)
			for i := max(from, first); i < to; i++ {
				at, _ := p.Locate(i)
				e.set(p, at, i, Frozen)
			}
		}
	}
	e.untold = false
}

// slots finds where the pasts of a plan's nodes are kept. Plans that share
// their nodes share this too.
func (s *State) slots(p *plan.Plan) []uint32 {
	ids := s.PlansOf(p.Nodes[0].Spec.Id)
	for _, id := range slices.Backward(ids[max(0, len(ids)-knownMost):]) {
		if q, ok := s.Plan(id); ok && &q.Nodes[0] == &p.Nodes[0] {
			return q.slots
		}
	}
	out := make([]uint32, len(p.Nodes))
	for i := range p.Nodes {
		n, _ := s.nodes.Get([]byte(p.Nodes[i].Spec.Id))
		out[i] = n.slot
	}
	return out
}

func newPlan(built *plan.Plan) *Plan {
	size := built.Size()
	return &Plan{
		Plan: built, named: iradix.New[struct{}](), retries: iradix.New[struct{}](), forced: iradix.New[struct{}](),
		priority: iradix.New[int32](), removed: iradix.New[[]string](), log: iradix.New[*wire.Operation](),
		status: newColumn[Status](size), history: newColumn[history](size >> chunkBits),
		dates: newColumn[Counts](uint64(len(built.Dates))), perNode: newColumn[Counts](uint64(len(built.Nodes))),
	}
}

// list enters a backfill under its nodes, in the order of the plans' ids.
// Neighbours that had the same list share the new one: nobody writes to a list.
func (s *State) list(m *mark, p *Plan) {
	var was, is []uint64
	for _, slot := range p.slots {
		ids := s.backfills.get(uint64(slot))
		at, listed := slices.BinarySearch(ids, p.ID)
		if listed {
			continue
		}
		if is == nil || !sameList(was, ids) {
			was, is = ids, slices.Insert(slices.Clip(ids), at, p.ID)
		}
		*s.backfills.at(m, uint64(slot)) = is
	}
}

// sameList says that two lists are one.
func sameList(a, b []uint64) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// unlist is the opposite of list.
func (s *State) unlist(m *mark, p *Plan) {
	var was, is []uint64
	for _, slot := range p.slots {
		cell := s.backfills.at(m, uint64(slot))
		if was == nil || !sameList(was, *cell) {
			was, is = *cell, slices.DeleteFunc(slices.Clone(*cell), func(id uint64) bool { return id == p.ID })
		}
		*cell = is
	}
}

// defaultName is a plan's default name with its number of the day (RULES R11).
func (s *State) defaultName(built *plan.Plan) string {
	base := built.DefaultName()
	last := 0
	s.Plans(0, func(p *Plan) bool {
		if tail, ok := strings.CutPrefix(p.Name, base); ok && !p.Auto && p.Request.Name == "" {
			last, _ = strconv.Atoi(tail)
		}
		return last == 0 && p.Generated >= built.Generated
	})
	return base + strconv.Itoa(last+1)
}
