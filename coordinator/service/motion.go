package service

import (
	"iter"

	v1 "backfleet/api/v1"
	"backfleet/coordinator/schedule"
	"backfleet/coordinator/state"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// motion finds out what of one plan will go on by itself, and rolls dates and
// the plan up (RULES R8). What it has found it remembers, for a date may be
// held by the one before it, that by the one before, and so on: without memory
// each step back would multiply the work.
type motion struct {
	*reading
	p      *state.Plan
	moving map[uint64]bool // by instance
	still  map[int]bool    // by position: quiet (RULES R0)
}

func (r *reading) motion(p *state.Plan) *motion {
	return &motion{reading: r, p: p, moving: map[uint64]bool{}, still: map[int]bool{}}
}

// date is the state shown of a position.
func (m *motion) date(pos int) v1.State {
	return m.rollUp(m.p.DateCounts(pos), func(yield func(int) bool) { yield(pos) })
}

// plan is the state shown of the whole plan.
func (m *motion) plan() v1.State { return m.rollUp(m.p.Total(), m.open(0, len(m.p.Groups))) }

// group is the state shown of a group, given its counts.
func (m *motion) group(g int, c state.Counts) v1.State { return m.rollUp(c, m.open(g, g+1)) }

func (m *motion) rollUp(c state.Counts, positions iter.Seq[int]) v1.State {
	waits := c[state.Pending] + c[state.Retrying] + c[state.Again]
	switch {
	case c[state.Running] > 0:
		return v1.StateRunning
	case c.Success() == c.Started()+uint64(c[state.Pending]):
		return v1.StateSucceeded
	case c.Started() == 0:
		for pos := range positions {
			if m.timed(pos) > 0 {
				return v1.StateWaitingTime
			}
		}
		return v1.StateNotRunning
	case waits > 0 && m.any(positions):
		return v1.StateRunning
	case c[state.Failed]+c[state.Stopped] > 0:
		return v1.StateFailed
	case c[state.Frozen] > 0:
		return v1.StateFrozen
	default:
		return v1.StateNotRunning
	}
}

// open gives the positions of some groups where something can start. Under
// gate day all after a group's first unfinished date are held by it.
func (m *motion) open(from, to int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for _, span := range m.p.Groups[from:to] {
			for pos := span.From; pos < span.To; pos++ {
				if m.p.DateSucceeded(pos) {
					continue
				}
				if m.held(pos) {
					break
				}
				if !yield(pos) {
					return
				}
			}
		}
	}
}

// held says that gate day keeps a whole position from starting.
func (m *motion) held(pos int) bool {
	if m.p.Request.Gate != wire.Request_DAY || m.p.IsOpened(pos) {
		return false
	}
	from, to, before := m.p.Gate(plan.Place{Pos: pos})
	return from < to && !m.p.DateSucceeded(before)
}

// quiet says that nothing in the plan moves without a person's act.
func (m *motion) quiet() bool {
	switch {
	case m.p.Active() > 0:
		return false
	case !m.p.Unfinished():
		return true
	default:
		return !m.any(m.open(0, len(m.p.Groups)))
	}
}

// any finds something at the positions that will start by itself.
func (m *motion) any(positions iter.Seq[int]) bool {
	if m.p.Stopped {
		found := false
		m.p.EachNamed(func(i uint64) { found = found || m.moves(i) })
		return found
	}
	if m.p.Paused || m.p.Halted {
		return false
	}
	for pos := range positions {
		if !m.quietDate(pos) {
			return true
		}
	}
	return false
}

func (m *motion) quietDate(pos int) bool {
	if quiet, ok := m.still[pos]; ok {
		return quiet
	}
	m.still[pos] = true // ends a walk in a circle
	quiet := true
	from, to := m.p.Range(pos)
	for i := from; i < to && quiet; i++ {
		quiet = !m.moves(i)
	}
	m.still[pos] = quiet
	return quiet
}

// moves says whether an instance runs or will start by itself, sooner or later.
// One that was not looked at is taken to.
func (m *motion) moves(instance uint64) bool {
	switch status := m.p.Status(instance); {
	case status == state.Running:
		return true
	case !status.Waits():
		return false
	}
	if moves, ok := m.moving[instance]; ok {
		return moves
	}
	if !m.spend() {
		return true
	}
	m.moving[instance] = false // ends a walk in a circle
	place, _ := m.p.Locate(instance)
	moves := m.blockMoves(place, schedule.Check(m.st, m.p, place, m.nowMs))
	m.moving[instance] = moves
	return moves
}

func (m *motion) blockMoves(at plan.Place, b schedule.Block) bool {
	switch b.Kind {
	case schedule.Nothing, schedule.Due, schedule.Retry, schedule.Overlap, schedule.MaxRunning:
		return true
	case schedule.Gate:
		if m.p.Request.OnFailure == wire.Request_CONTINUE {
			return true // opened as soon as the date before is quiet
		}
		if m.p.Request.Gate == wire.Request_NODE {
			first, waits := m.p.FirstUnsuccessful(m.p.NodeRange(b.Pos, at.Node))
			return waits && m.moves(first)
		}
		return !m.quietDate(b.Pos)
	case schedule.Upstream:
		return m.moves(b.Instance)
	case schedule.Predecessor:
		if b.Plan == m.p.ID {
			return m.moves(b.Instance)
		}
		_, running := m.st.Lease(b.Plan, b.Instance)
		return running
	default:
		return false
	}
}

const dayMs = 24 * 3600 * 1000

// dueLater says whether something of a data timestamp may still be to come: T
// is on the day after it, in some zone.
func (m *motion) dueLater(pos int) bool {
	return m.nowMs < max((int64(m.p.Dates[pos])+3)*dayMs, m.p.Request.NotBeforeMs)
}

// timed counts the instances of a position that wait for nothing but their
// time, as far as they are looked at.
func (m *motion) timed(pos int) (n int64) {
	later := m.dueLater(pos)
	if c := m.p.DateCounts(pos); c[state.Retrying] == 0 && (!later || c[state.Pending]+c[state.Again] == 0) {
		return 0
	}
	if m.held(pos) || (m.p.Paused || m.p.Halted) && !m.p.Stopped {
		return 0
	}
	from, to := m.p.Range(pos)
	for i := from; i < to; i++ {
		status := m.p.Status(i)
		if status != state.Retrying && !(later && status.Waits()) {
			continue
		}
		if !m.spend() {
			break
		}
		place, _ := m.p.Locate(i)
		if k := schedule.Check(m.st, m.p, place, m.nowMs).Kind; k == schedule.Due || k == schedule.Retry {
			n++
		}
	}
	return n
}

// timedIn counts as timed does, over a range of positions.
func (m *motion) timedIn(from, to int) (n int64) {
	retrying := m.p.Total()[state.Retrying] > 0
	ends := max(m.p.Dates[from], m.p.Dates[to-1])
	if pos, _ := m.p.Position(ends); !retrying && !m.dueLater(pos) {
		return 0
	}
	for pos := from; pos < to; pos++ {
		n += m.timed(pos)
	}
	return n
}

// shownCounts counts by the state shown.
func shownCounts(c state.Counts, timed int64) v1.StateCounts {
	waits := int64(c[state.Pending]) + int64(c[state.Retrying]) + int64(c[state.Again])
	out := v1.StateCounts{
		Running: int64(c[state.Running]), Succeeded: int64(c.Success()),
		Failed: int64(c[state.Failed]) + int64(c[state.Stopped]), Frozen: int64(c[state.Frozen]),
		WaitingTime: timed, NotRunning: waits - timed,
	}
	out.Total = waits + out.Running + out.Succeeded + out.Failed + out.Frozen
	return out
}
