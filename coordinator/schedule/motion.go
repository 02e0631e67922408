package schedule

import (
	"iter"
	"maps"
	"math"

	"backfleet/coordinator/state"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// Motion finds out what of one plan will go on by itself, and rolls dates and
// the plan up (RULES R8). It is of one moment and not safe for concurrent use.
// What it has found it remembers, for a date may be held by the one before it,
// that by the one before, and so on: without memory each step back would
// multiply the work.
type Motion struct {
	*walk
	p      *state.Plan
	moving map[uint64]finding // by instance: whether it moves
	still  map[int]finding    // by position: whether it is quiet (RULES R0)
}

// walk is one search over all the plans that it leads to.
type walk struct {
	look    *look
	spend   func() bool
	gates   bool // what a quiet date holds back does not move, even if it would be opened
	motions map[uint64]*Motion
	broken  bool // something was taken not to move while it was asked for, and does
}

// finding is what is known so far. Whoever is asked for again while it is being
// looked at, because things wait in a circle, is taken not to move.
type finding uint8

const (
	asked  finding = iota + 1
	leaned         // asked for, and others have built on that it does not move
	yes
	no
)

// NewMotion looks at a plan as it stands. spend is asked before each instance
// is looked at, and ends the search when it says false: what was not looked at
// counts as still moving. nil: look at everything.
func NewMotion(st *state.State, p *state.Plan, nowMs int64, spend func() bool) *Motion {
	if spend == nil {
		spend = func() bool { return true }
	}
	w := &walk{look: newLook(st, nowMs), spend: spend, motions: map[uint64]*Motion{}}
	return w.of(p)
}

// of is the motion of a plan at the same moment.
func (w *walk) of(p *state.Plan) *Motion {
	m := w.motions[p.ID]
	if m == nil {
		m = &Motion{walk: w, p: p, moving: map[uint64]finding{}, still: map[int]finding{}}
		w.motions[p.ID] = m
	}
	return m
}

// settle repeats a search as long as it has built on what turned out wrong.
// That something moves is never wrong, so each time more is known.
func (w *walk) settle(find func() bool) bool {
	for {
		w.broken = false
		if found := find(); !w.broken {
			return found
		}
		for _, m := range w.motions {
			maps.DeleteFunc(m.moving, func(_ uint64, f finding) bool { return f == no })
			maps.DeleteFunc(m.still, func(_ int, f finding) bool { return f == yes })
		}
	}
}

// Date is the state shown of a position.
func (m *Motion) Date(pos int) Shown {
	return m.rollUp(m.p.DateCounts(pos), func(yield func(int) bool) { yield(pos) })
}

// Plan is the state shown of the whole plan.
func (m *Motion) Plan() Shown { return m.rollUp(m.p.Total(), m.open(0, len(m.p.Groups))) }

// Group is the state shown of a group, given its counts.
func (m *Motion) Group(g int, c state.Counts) Shown { return m.rollUp(c, m.open(g, g+1)) }

func (m *Motion) rollUp(c state.Counts, positions iter.Seq[int]) Shown {
	waits := c[state.Pending] + c[state.Retrying] + c[state.Again]
	frozen := c.Frozen()
	begun := c.Started() > frozen
	switch {
	case c[state.Running] > 0:
		return Running
	case c.Success() == c.Started()+uint64(c[state.Pending]):
		return Succeeded
	case !begun && m.anyTimed(positions):
		return WaitingTime
	case !begun && frozen == 0:
		return NotRunning
	case waits > 0 && m.any(positions):
		if !begun {
			return NotRunning
		}
		return Running
	case c[state.Failed]+c[state.Stopped] > 0:
		return RunFailed
	case frozen > 0:
		return Freeze
	default:
		return NotRunning
	}
}

func (m *Motion) anyTimed(positions iter.Seq[int]) bool {
	for pos := range positions {
		if m.timed(pos, 1) > 0 {
			return true
		}
	}
	return false
}

// open gives the positions of some groups where something can start. Under
// gate day each is held by the one directly before it alone, which may have
// succeeded before those before it: it was forced, or they run again.
func (m *Motion) open(from, to int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for _, span := range m.p.Groups[from:to] {
			for pos := span.From; pos < span.To; pos++ {
				if m.p.DateSucceeded(pos) || m.Held(pos) {
					continue
				}
				if !yield(pos) {
					return
				}
			}
		}
	}
}

// Held says that gate day keeps a whole position from starting.
func (m *Motion) Held(pos int) bool {
	if m.p.Request.Gate != wire.Request_DAY || m.p.IsOpened(pos) {
		return false
	}
	from, to, before := m.p.Gate(plan.Place{Pos: pos})
	return from < to && !m.p.DateSucceeded(before)
}

// Quiet says that nothing in the plan moves without a person's act.
func (m *Motion) Quiet() bool {
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
func (m *Motion) any(positions iter.Seq[int]) bool {
	if m.p.Stopped {
		found := false
		m.p.EachNamed(func(i uint64) { found = found || m.Moves(i) })
		return found
	}
	if m.p.Paused || m.p.Halted {
		return false
	}
	for pos := range positions {
		if !m.QuietDate(pos) {
			return true
		}
	}
	found := false // a forced start does not wait for its date
	m.p.EachForced(func(i uint64) { found = found || m.Moves(i) })
	return found
}

// QuietDate says that nothing of a position moves without a person's act.
func (m *Motion) QuietDate(pos int) bool {
	return m.settle(func() bool { return m.quiet(pos) })
}

func (m *Motion) quiet(pos int) bool {
	switch m.still[pos] {
	case yes:
		return true
	case no:
		return false
	case asked, leaned:
		m.still[pos] = leaned
		return true
	}
	m.still[pos] = asked
	quiet := m.p.DateCounts(pos)[state.Running] == 0
	for from, to := range m.p.Ranges(pos) {
		for i := from; quiet && i < to; i++ {
			quiet = !m.moves(i)
		}
	}
	m.broken = m.broken || !quiet && m.still[pos] == leaned
	m.still[pos] = known(quiet)
	return quiet
}

func known(is bool) finding {
	if is {
		return yes
	}
	return no
}

// quietButForGates says that a position is quiet, or waits only for dates that
// are held back by quiet ones, itself perhaps. A window that reaches a later
// position of its own group does that (RULES R5.3), and two groups can to each
// other.
func quietButForGates(st *state.State, p *state.Plan, pos int, nowMs int64) bool {
	if c := p.DateCounts(pos); c[state.Running]+c[state.Retrying] > 0 {
		return false
	}
	m := NewMotion(st, p, nowMs, nil)
	m.gates = true
	return m.QuietDate(pos)
}

// Moves says whether an instance runs or will start by itself, sooner or later.
// One that was not looked at is taken to.
func (m *Motion) Moves(instance uint64) bool {
	return m.settle(func() bool { return m.moves(instance) })
}

func (m *Motion) moves(instance uint64) bool {
	switch status := m.p.Status(instance); {
	case status == state.Running:
		return true
	case !status.Waits():
		return false
	}
	switch m.moving[instance] {
	case yes:
		return true
	case no:
		return false
	case asked, leaned:
		m.moving[instance] = leaned
		return false
	}
	if !m.spend() {
		return true
	}
	m.moving[instance] = asked
	place, _ := m.p.Locate(instance)
	moves := m.blockMoves(place, m.look.check(m.p, place))
	m.broken = m.broken || moves && m.moving[instance] == leaned
	m.moving[instance] = known(moves)
	return moves
}

func (m *Motion) blockMoves(at plan.Place, b Block) bool {
	switch b.Kind {
	case Nothing, Due, Retry, Window, Conflict, MaxRunning:
		return true
	case Gate:
		if m.p.Request.OnFailure == wire.Request_CONTINUE && !m.gates && !m.p.Stopped {
			return true // opened as soon as the date before is quiet
		}
		if m.p.Request.Gate == wire.Request_NODE && !m.gates {
			first, waits := m.p.FirstUnsuccessful(m.p.NodeRange(b.Pos, at.Node))
			return waits && m.moves(first)
		}
		return !m.quiet(b.Pos)
	case Upstream, Predecessor, Overlap:
		q := m.p
		if b.Plan != q.ID {
			q, _ = m.look.st.Plan(b.Plan)
		}
		return m.of(q).moves(b.Instance)
	default:
		return false
	}
}

const dayMs = 24 * 3600 * 1000

// DueLater says whether something of a data timestamp may still be to come: T
// is on the day after it, in some zone, and windows open again and again.
func (m *Motion) DueLater(pos int) bool {
	return m.p.Request.Period != nil || m.look.nowMs < max((int64(m.p.Dates[pos])+3)*dayMs, m.p.Request.NotBeforeMs)
}

// Timed counts the instances of a position that wait for nothing but their
// time, as far as they are looked at.
func (m *Motion) Timed(pos int) int64 { return m.timed(pos, math.MaxInt64) }

// timed counts as Timed does, but no further than a number.
func (m *Motion) timed(pos int, most int64) (n int64) {
	later := m.DueLater(pos)
	if c := m.p.DateCounts(pos); c[state.Retrying] == 0 && (!later || c[state.Pending]+c[state.Again] == 0) {
		return 0
	}
	if m.Held(pos) || (m.p.Paused || m.p.Halted) && !m.p.Stopped {
		return 0
	}
	for from, to := range m.p.Ranges(pos) {
		for i := from; i < to; i++ {
			status := m.p.Status(i)
			if status != state.Retrying && !(later && status.Waits()) {
				continue
			}
			if !m.spend() {
				return n
			}
			place, _ := m.p.Locate(i)
			if m.look.check(m.p, place).Kind.timed() {
				if n++; n == most {
					return n
				}
			}
		}
	}
	return n
}

// TimedIn counts as Timed does, over a range of positions.
func (m *Motion) TimedIn(from, to int) (n int64) {
	retrying := m.p.Total()[state.Retrying] > 0
	ends := max(m.p.Dates[from], m.p.Dates[to-1])
	if pos, _ := m.p.Position(ends); !retrying && !m.DueLater(pos) {
		return 0
	}
	for pos := from; pos < to; pos++ {
		n += m.Timed(pos)
	}
	return n
}

// AnyTimed says whether something of the plan waits for nothing but its time.
func (m *Motion) AnyTimed() bool { return m.anyTimed(m.open(0, len(m.p.Groups))) }
