// Package schedule decides what starts next, and says why something does not.
// It reads the facts and never changes them: its decisions become facts
// through the log. Time comes in as an argument, so the same code runs in
// production, in forecasts and in simulations.
package schedule

import (
	"backfleet/coordinator/state"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// Kind says what keeps an instance from starting, in the order in which the
// rules ask (RULES R5.1).
type Kind uint8

const (
	// Nothing: it could start, given a slot.
	Nothing Kind = iota
	// Ended: it runs or has finished.
	Ended
	// PlanStopped, PlanPaused, PlanHalted: nothing in the plan starts.
	PlanStopped
	PlanPaused
	PlanHalted
	// Frozen by hand.
	Frozen
	// Gate: an earlier date of its group, Pos, has not succeeded (RULES R4.3).
	Gate
	// Upstream: Instance of the same plan has not succeeded (RULES R5.2, R5.3).
	Upstream
	// Predecessor: the node depends on itself, and Instance of Plan, the cycle
	// before, has not succeeded (RULES R5.4, R5.5).
	Predecessor
	// Overlap: Instance of Plan, accepted earlier, is the same cycle and has
	// not finished (RULES R5.8).
	Overlap
	// Due: it may not start before AtMs (RULES R3.3).
	Due
	// Retry: it failed and is tried again at AtMs (RULES R9).
	Retry
	// MaxRunning: the plan runs as many instances as it allows (RULES R4.8).
	MaxRunning
)

// Block is what keeps an instance from starting: the first thing, of several.
type Block struct {
	Kind     Kind
	Plan     uint64
	Instance uint64
	Pos      int
	AtMs     int64
	Next, Of int32 // of Retry
}

// Check finds what keeps an instance from starting. It is the one place that
// knows the conditions: the scheduler waits for exactly what a person is shown
// as the reason (RULES R5.1, R8).
func Check(s *state.State, p *state.Plan, at plan.Place, nowMs int64) Block {
	instance := p.Instance(at)
	status := p.Status(instance)
	switch {
	case status == state.Frozen:
		return Block{Kind: Frozen}
	case !status.Waits():
		return Block{Kind: Ended}
	case p.Blocked(instance):
		return Block{Kind: blockedPlan(p)}
	}
	if before, holds := gateHolds(p, at); holds {
		return Block{Kind: Gate, Plan: p.ID, Pos: before}
	}
	if up, waits := firstUpstream(p, at); waits {
		return Block{Kind: Upstream, Plan: p.ID, Instance: up}
	}
	if b := checkPredecessor(s, p, at); b.Kind != Nothing {
		return b
	}
	dry := p.Nodes[at.Node].DryRun != wire.DryRun_DRY_RUN_NONE
	if !dry {
		if b := checkOverlap(s, p, at); b.Kind != Nothing {
			return b
		}
	}
	if status == state.Retrying {
		if next, of, due := p.Retry(at); due > nowMs {
			return Block{Kind: Retry, AtMs: due, Next: next, Of: of}
		}
	}
	if due := p.DueMs(at); due > nowMs {
		return Block{Kind: Due, AtMs: due}
	}
	return Block{}
}

func blockedPlan(p *state.Plan) Kind {
	switch {
	case p.Stopped:
		return PlanStopped
	case p.Paused:
		return PlanPaused
	default:
		return PlanHalted
	}
}

// gateHolds applies RULES R4.3 and R4.5.
func gateHolds(p *state.Plan, at plan.Place) (before int, holds bool) {
	from, to, before := p.Gate(at)
	if from == to || p.IsOpened(at.Pos) {
		return before, false
	}
	if p.Request.Gate == wire.Request_DAY {
		return before, !p.DateSucceeded(before)
	}
	_, holds = p.FirstUnsuccessful(from, to)
	return before, holds
}

func firstUpstream(p *state.Plan, at plan.Place) (up uint64, waits bool) {
	p.Upstreams(at, func(from, to uint64) bool {
		up, waits = p.FirstUnsuccessful(from, to)
		return !waits
	})
	return up, waits
}

// checkPredecessor applies RULES R5.5: the plan's own, else the newest finished
// or running instance of that cycle elsewhere, else none.
func checkPredecessor(s *state.State, p *state.Plan, at plan.Place) Block {
	pre := p.Predecessor(at)
	switch {
	case !pre.Exists:
		return Block{}
	case pre.InPlan:
		if p.Status(pre.Instance).Success() {
			return Block{}
		}
		return Block{Kind: Predecessor, Plan: p.ID, Instance: pre.Instance}
	}
	var out Block
	newest, found := uint64(0), false
	s.Elsewhere(p.ID, p.Nodes[at.Node].Spec.Id, pre.Date, pre.Unix, func(q *state.Plan, instance uint64) bool {
		status := q.Status(instance)
		if fence, ran := lastRun(s, q, instance, status); ran && (!found || fence > newest) {
			newest, found = fence, true
			out = Block{}
			if !status.Success() {
				out = Block{Kind: Predecessor, Plan: q.ID, Instance: instance}
			}
		}
		return true
	})
	return out
}

// lastRun is the fence with which an instance runs or ran last; false when it
// never did. Runs of one cycle do not overlap, so fences tell their order,
// which agents' clocks do not. A dry run has written nothing: it comes before
// everything that really ran.
func lastRun(s *state.State, q *state.Plan, instance uint64, status state.Status) (fence uint64, ran bool) {
	if l, ok := s.Lease(q.ID, instance); ok {
		return l.Fence, true
	}
	if a := s.Attempts(q, instance); len(a) > 0 {
		return a[len(a)-1].Fence, true
	}
	return 0, status.Success()
}

// checkOverlap applies RULES R5.8: the later accepted waits for the earlier,
// and whatever runs now for nobody.
func checkOverlap(s *state.State, p *state.Plan, at plan.Place) Block {
	id := p.Nodes[at.Node].Spec.Id
	if len(s.PlansOf(id)) < 2 {
		return Block{}
	}
	var out Block
	s.Elsewhere(p.ID, id, p.Dates[at.Pos], p.Cycle(at).Unix, func(q *state.Plan, instance uint64) bool {
		if q.ID < p.ID && q.Holds(instance) || q.Status(instance) == state.Running {
			out = Block{Kind: Overlap, Plan: q.ID, Instance: instance}
		}
		return out.Kind == Nothing
	})
	return out
}
