package schedule

import (
	"backfleet/coordinator/state"
	"backfleet/pkg/plan"
)

// Shown is the state of an instance, a date or a plan as people see it (RULES
// R8).
type Shown uint8

const (
	NotRunning Shown = iota
	WaitingTime
	Running
	Succeeded
	RunFailed
	Freeze
)

// Instance is the state shown of an instance, and what keeps it from starting.
func Instance(st *state.State, p *state.Plan, at plan.Place, nowMs int64) (Shown, Block) {
	switch status := p.Status(p.Instance(at)); {
	case status == state.Running:
		return Running, Block{Kind: Ended}
	case status.Success():
		return Succeeded, Block{Kind: Ended}
	case status.Failure():
		return RunFailed, Block{Kind: Ended}
	case status == state.Frozen:
		return Freeze, Block{Kind: Frozen}
	}
	b := Check(st, p, at, nowMs)
	if b.Kind == Due || b.Kind == Retry {
		return WaitingTime, b
	}
	return NotRunning, b
}

// Date rolls a position up.
func Date(st *state.State, p *state.Plan, pos int, nowMs int64) Shown {
	c := p.DateCounts(pos)
	return rollUp(st, p, c, []int{pos}, nowMs)
}

// Plan rolls a whole plan up. Only the dates that its gates have let start are
// looked at, since all others are held by those.
func Plan(st *state.State, p *state.Plan, nowMs int64) Shown {
	return rollUp(st, p, p.Total(), frontier(p), nowMs)
}

func rollUp(st *state.State, p *state.Plan, c state.Counts, positions []int, nowMs int64) Shown {
	switch {
	case c[state.Running] > 0:
		return Running
	case c.Success() == c.Started()+uint64(c[state.Pending]):
		return Succeeded
	}
	moves, waitsForTime := survey(st, p, positions, nowMs)
	switch {
	case c.Started() == 0 && waitsForTime:
		return WaitingTime
	case c.Started() == 0:
		return NotRunning
	case moves:
		return Running
	case c[state.Failed]+c[state.Stopped] > 0:
		return RunFailed
	case c[state.Frozen] > 0:
		return Freeze
	default:
		return NotRunning
	}
}

// survey looks for an instance that will start by itself, and for one that
// waits for nothing but its time.
func survey(st *state.State, p *state.Plan, positions []int, nowMs int64) (moves, waitsForTime bool) {
	m := mover{st: st, p: p, nowMs: nowMs, known: map[uint64]bool{}}
	for _, pos := range positions {
		from, to := p.Range(pos)
		for i := from; i < to; i++ {
			if !p.Status(i).Waits() {
				continue
			}
			at, _ := p.Locate(i)
			if k := Check(st, p, at, nowMs).Kind; k == Due || k == Retry {
				return true, true
			}
			moves = moves || m.moves(i)
		}
	}
	return moves, false
}

// frontier is, for each group, the first position that has not succeeded.
func frontier(p *state.Plan) []int {
	var out []int
	for _, span := range p.Groups {
		for pos := span.From; pos < span.To; pos++ {
			if !p.DateSucceeded(pos) {
				out = append(out, pos)
				break
			}
		}
	}
	return out
}

// Quiet says whether nothing in a date moves without a person's act (RULES
// R0).
func Quiet(st *state.State, p *state.Plan, pos int, nowMs int64) bool {
	if c := p.DateCounts(pos); c[state.Running]+c[state.Retrying] > 0 {
		return false
	}
	m := mover{st: st, p: p, nowMs: nowMs, known: map[uint64]bool{}}
	from, to := p.Range(pos)
	for i := from; i < to; i++ {
		if m.moves(i) {
			return false
		}
	}
	return true
}

// mover finds instances that will start by themselves, sooner or later.
type mover struct {
	st    *state.State
	p     *state.Plan
	nowMs int64
	known map[uint64]bool
}

func (m *mover) moves(instance uint64) bool {
	switch status := m.p.Status(instance); {
	case status == state.Running:
		return true
	case !status.Waits():
		return false
	}
	if moves, ok := m.known[instance]; ok {
		return moves
	}
	m.known[instance] = false // dependencies have no circle; this ends a wrong walk
	at, _ := m.p.Locate(instance)
	b := Check(m.st, m.p, at, m.nowMs)
	moves := b.movable()
	switch {
	case b.Kind == Gate:
		moves = !Quiet(m.st, m.p, b.Pos, m.nowMs)
	case (b.Kind == Upstream || b.Kind == Predecessor) && b.Plan == m.p.ID:
		moves = m.moves(b.Instance)
	case b.Kind == Predecessor:
		_, running := m.st.Lease(b.Plan, b.Instance)
		moves = running
	}
	m.known[instance] = moves
	return moves
}
