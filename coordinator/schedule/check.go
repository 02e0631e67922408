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

// Kind says what keeps an instance from starting.
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
	// Frozen: by hand, or because its node is paused (RULES R6, R9).
	Frozen
	// Gate: an earlier date of its group, Pos, has not succeeded (RULES R4.3).
	Gate
	// Upstream: Instance of Plan, which may be another one, has not succeeded
	// (RULES R5.2, R5.3).
	Upstream
	// Predecessor: the node depends on itself, and Instance of Plan, the cycle
	// before, has not succeeded (RULES R5.4, R5.5).
	Predecessor
	// Overlap: Instance of Plan is the same cycle and goes first (RULES R5.8).
	Overlap
	// Due: it may not start before AtMs (RULES R3.3).
	Due
	// Retry: it failed and is tried again at AtMs (RULES R9).
	Retry
	// Window: its plan's execution period opens at AtMs (RULES R3.4).
	Window
	// Conflict: backfill and schedule want the same node, and Instance of Plan
	// goes first or still runs (RULES R5.6).
	Conflict
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
	return newLook(s, nowMs).check(p, at)
}

// look is one look at the facts at a moment. It remembers what it has found
// out about nodes, since every instance of a node asks the same.
type look struct {
	st      *state.State
	nowMs   int64
	against map[string]contender
	autos   []*state.Plan   // of the schedule, in which something runs or could start
	listed  bool            // whether autos has been filled in
	room    map[string]bool // by the name of a spot: whether there is room
}

// contender is the auto instance that keeps backfills off a node, if any.
type contender struct {
	block Block
	spot  *spot // in which it could get its slots; nil: it runs
}

func newLook(st *state.State, nowMs int64) *look { return &look{st: st, nowMs: nowMs} }

func (l *look) check(p *state.Plan, at plan.Place) Block {
	instance := p.Instance(at)
	switch status := p.Status(instance); {
	case status.Frozen():
		return Block{Kind: Frozen}
	case !status.Waits():
		return Block{Kind: Ended}
	default:
		if b := l.checkApart(p, at, instance, status); b.Kind != Nothing {
			return b
		}
	}
	return l.checkConflict(p, at)
}

// checkApart asks everything but whether backfill and schedule want the same
// node. A forced start asks for none of what it would have to wait for in its
// own right (RULES R9), a dry run for nothing that only processes share
// (RULES R6).
func (l *look) checkApart(p *state.Plan, at plan.Place, instance uint64, status state.Status) Block {
	if p.Blocked(instance) {
		return Block{Kind: blockedPlan(p)}
	}
	free, dry := p.Forced(instance), isDry(p, at)
	if !free {
		if b := l.checkOrder(p, at, instance); b.Kind != Nothing {
			return b
		}
	}
	if !dry {
		if b := l.checkOverlap(p, at); b.Kind != Nothing {
			return b
		}
	}
	if free {
		return Block{}
	}
	return l.checkTime(p, at, status, dry)
}

// checkMissed is what would keep a frozen instance from starting if it were
// not frozen: whether it ever could have decides what an unfreeze does (RULES
// R9). What only postpones a start, a slot or another plan, does not count.
func (l *look) checkMissed(p *state.Plan, at plan.Place, instance uint64) Block {
	if p.Blocked(instance) {
		return Block{Kind: blockedPlan(p)}
	}
	if b := l.checkOrder(p, at, instance); b.Kind != Nothing {
		return b
	}
	return l.checkTime(p, at, state.Frozen, isDry(p, at))
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

// checkOrder asks for the gate, the upstreams and the cycles before, in the
// plan and outside it.
func (l *look) checkOrder(p *state.Plan, at plan.Place, instance uint64) (out Block) {
	if before, holds := gateHolds(p, at); holds {
		return Block{Kind: Gate, Plan: p.ID, Pos: before}
	}
	p.Upstreams(at, func(up int, from, to uint64) bool {
		i, waits := p.FirstUnsuccessful(from, to)
		if waits && !p.Removed(instance, p.Nodes[up].Spec.Id) {
			out = Block{Kind: Upstream, Plan: p.ID, Instance: i}
			if up == at.Node {
				out.Kind = Predecessor
			}
		}
		return out.Kind == Nothing
	})
	if out.Kind != Nothing {
		return out
	}
	p.Abroad(at, func(n plan.Need) bool {
		if q, i, waits := l.checkNeed(p, n); waits && !p.Removed(instance, n.Node) {
			out = Block{Kind: Upstream, Plan: q, Instance: i}
			if n.Node == p.Nodes[at.Node].Spec.Id {
				out.Kind = Predecessor
			}
		}
		return out.Kind == Nothing
	})
	return out
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

// checkNeed asks for a cycle outside the plan. For a backfill its newest run
// counts (RULES R5.5). The schedule's dates are one schedule: its own instance
// of the cycle must succeed, or, once that has failed, a repair of it.
func (l *look) checkNeed(p *state.Plan, n plan.Need) (planID, instance uint64, waits bool) {
	if !n.Schedule {
		return l.newestRun(p, n)
	}
	q, ok := l.st.AutoPlan(n.Date)
	if !ok {
		return 0, 0, false
	}
	i, ok := q.Find(n.Node, n.Date, n.Unix)
	if !ok || q.Status(i).Success() {
		return 0, 0, false
	}
	if q.Status(i).Failure() {
		if repair, j, waits := l.newestRun(p, n); repair > 0 {
			return repair, j, waits
		}
	}
	return q.ID, i, true
}

// newestRun finds the newest finished or running instance of a cycle outside a
// plan, and whether it has not succeeded. None: nothing to wait for. One that is
// to run again after this plan's own instance of the cycle does not count: in
// descending order that comes later, and each would wait for the other.
func (l *look) newestRun(p *state.Plan, n plan.Need) (planID, instance uint64, waits bool) {
	newest, found := uint64(0), false
	l.st.Elsewhere(p.ID, n.Node, n.Date, n.Unix, func(q *state.Plan, i uint64) bool {
		status := q.Status(i)
		if status.Waits() && followsOwn(p, q, n) {
			return true
		}
		if fence, ran := lastRun(l.st, q, i, status); ran && (!found || fence > newest) {
			newest, found = fence, true
			planID, instance, waits = q.ID, i, !status.Success()
		}
		return true
	})
	return planID, instance, waits
}

// followsOwn says that of a cycle which two plans have q's waiting instance goes
// after p's (RULES R5.8).
func followsOwn(p, q *state.Plan, n plan.Need) bool {
	if q.Auto || q.ID < p.ID {
		return false
	}
	own, has := p.Find(n.Node, n.Date, n.Unix)
	return has && p.Holds(own)
}

// lastRun is the fence with which an instance runs or ran last; false when it
// never did. Runs of one cycle do not overlap, so fences tell their order,
// which agents' clocks do not. A dry run has written nothing: it comes before
// everything that really ran.
func lastRun(s *state.State, q *state.Plan, instance uint64, status state.Status) (fence uint64, ran bool) {
	if l, ok := s.Lease(q.ID, instance); ok {
		return l.Fence, true
	}
	if status == state.Pending {
		return 0, false
	}
	if a := s.Attempts(q, instance); len(a) > 0 {
		return a[len(a)-1].Fence, true
	}
	return 0, status.Success()
}

// checkOverlap applies RULES R5.8: the later accepted waits for the earlier,
// and whatever runs now for nobody. The schedule waits only for what runs, and
// for backfills that keep off its nodes by RULES R5.6, whatever the cycle.
func (l *look) checkOverlap(p *state.Plan, at plan.Place) (out Block) {
	if l.alone(p, at) {
		return Block{}
	}
	l.st.Elsewhere(p.ID, p.Nodes[at.Node].Spec.Id, p.Dates[at.Pos], p.Cycle(at).Unix, func(q *state.Plan, instance uint64) bool {
		runs := q.Status(instance) == state.Running
		if p.Auto {
			runs = runs && q.Request.OnConflict == wire.Request_ALLOW
		}
		if runs || !p.Auto && q.ID < p.ID && q.Holds(instance) {
			out = Block{Kind: Overlap, Plan: q.ID, Instance: instance}
		}
		return out.Kind == Nothing
	})
	return out
}

// alone says that no other plan has an instance's node and date.
func (l *look) alone(p *state.Plan, at plan.Place) bool {
	backfills := len(l.st.PlansOf(p.Nodes[at.Node].Spec.Id))
	if p.Auto {
		return backfills == 0
	}
	if backfills > 1 {
		return false
	}
	_, scheduled := l.st.AutoPlan(p.Dates[at.Pos])
	return !scheduled
}

func isDry(p *state.Plan, at plan.Place) bool { return p.Dry(at) != wire.DryRun_DRY_RUN_NONE }

// checkTime asks for the retry's delay, the due time and the window.
func (l *look) checkTime(p *state.Plan, at plan.Place, status state.Status, dry bool) Block {
	if status == state.Retrying {
		if next, of, due := p.Retry(at); due > l.nowMs {
			return Block{Kind: Retry, AtMs: due, Next: next, Of: of}
		}
	}
	if due := p.DueMs(at); due > l.nowMs {
		return Block{Kind: Due, AtMs: due}
	}
	if !dry && p.Request.Period != nil {
		if opens := p.WindowOpens(l.nowMs); opens > l.nowMs {
			return Block{Kind: Window, AtMs: opens}
		}
	}
	return Block{}
}
