package sim

import (
	"slices"
	"time"

	"backfleet/coordinator/schedule"
	"backfleet/coordinator/state"
	"backfleet/pkg/wire"
)

// atRest judges a fleet in which nothing happens any more: nothing may be left
// that could happen, and everything must be shown as it is.
func (m *model) atRest() {
	st := m.w.log.truth()
	nowMs := m.w.log.leader.clock.wall().UnixMilli()
	if n := st.LeaseCount(); n > 0 || len(m.w.table.live) > 0 {
		m.w.violated("liveness", "%d leases and %d processes are left at rest", n, len(m.w.table.live))
	}
	for _, c := range m.w.log.all {
		c.catchUp(uint64(len(m.w.log.entries)))
		c.compare()
	}
	for _, p := range m.order {
		m.receipt(st, p)
		m.missed(st, p, nowMs)
		across := false
		for n := range p.keys {
			if m.status(st, p, uint64(n)).Waits() {
				across = m.excused(st, p, uint64(n), nowMs) || across
			}
		}
		m.rolledUp(st, p, nowMs, across)
	}
	for _, a := range m.w.client.accepted {
		if m.plans[a.plan] == nil && m.expired[a.plan] == 0 {
			m.w.violated("R13.1", "accepted backfill %s is lost", a.name)
		}
	}
}

// excused follows what an instance waits for to its end: a failure, or a plan
// that a person holds. It says whether another plan is in between.
func (m *model) excused(st *state.State, p *planModel, n uint64, nowMs int64) (across bool) {
	first, at := p, n
	type step struct{ plan, instance uint64 }
	var path []step
	for {
		o := m.blocked(st, p, n, nowMs, true)
		facts, _ := st.Plan(p.id)
		place, _ := facts.Locate(n)
		shown := schedule.Check(st, facts, place, nowMs)
		switch {
		case o.kind == "" || shown.Kind == schedule.Nothing || shown.Kind == schedule.Due || shown.Kind == schedule.Retry || shown.Kind == schedule.Conflict:
			m.w.violated("liveness", "b%d.%d %v could start and does not: in its way is %q, shown as %+v (b%d.%d waits for it)",
				p.id, n, p.keys[n], o.kind, shown, first.id, at)
			return across
		case o.rule == "R9":
			return across
		case o.rule == "R4.3" && p.stopped:
			return across // it was named by a rerun, and no date is opened before the plan is resumed
		case o.rule == "R4.3" && p.req.OnFailure == wire.Request_CONTINUE:
			if !m.holdsDate(st, p, o.pos, nowMs) {
				m.w.violated("R4.5", "the date after position %d of b%d has not been opened, and that is quiet", o.pos, p.id)
			}
			return true
		}
		across = across || o.plan != p.id
		p, n = m.plans[o.plan], o.instance
		if slices.Contains(path, step{p.id, n}) {
			m.w.violated("R5.7", "b%d.%d %v waits in a circle: %v", p.id, n, p.keys[n], path)
			return across
		}
		path = append(path, step{p.id, n})
		if !m.status(st, p, n).Waits() {
			return across
		}
	}
}

// holdsDate says whether something in a date waits for another plan, and so is
// not quiet.
func (m *model) holdsDate(st *state.State, p *planModel, pos int, nowMs int64) bool {
	if date := [2]int{int(p.id), pos}; m.asked[date] {
		return false // in a circle: nothing outside it holds the date
	} else {
		m.asked[date] = true
		defer delete(m.asked, date)
	}
	for _, n := range p.ofDate[p.dates[pos]] {
		if m.status(st, p, n).Waits() && m.excused(st, p, n, nowMs) {
			return true
		}
	}
	return false
}

// receipt adds up (RULES R13.6).
func (m *model) receipt(st *state.State, p *planModel) {
	facts, _ := st.Plan(p.id)
	var total state.Counts
	dates, nodes := make([]state.Counts, len(facts.Dates)), make([]state.Counts, len(facts.Nodes))
	for n := range p.keys {
		s := facts.Status(uint64(n))
		at, _ := facts.Locate(uint64(n))
		total[s]++
		dates[at.Pos][s]++
		nodes[at.Node][s]++
	}
	if got := facts.Total(); got != total {
		m.w.violated("R13.6", "b%d counts %v, has %v", p.id, got, total)
	}
	for pos := range dates {
		if got := facts.DateCounts(pos); got != dates[pos] {
			m.w.violated("R13.6", "b%d position %d counts %v, has %v", p.id, pos, got, dates[pos])
		}
	}
	for i := range nodes {
		if got := facts.NodeCounts(i); got != nodes[i] {
			m.w.violated("R13.6", "b%d node %d counts %v, has %v", p.id, i, got, nodes[i])
		}
	}
}

// rolledUp compares the states shown (RULES R8). A plan that waits for another
// one may still be shown as running.
func (m *model) rolledUp(st *state.State, p *planModel, nowMs int64, across bool) {
	facts, _ := st.Plan(p.id)
	total := facts.Total()
	want := schedule.NotRunning
	switch {
	case total.Success() == facts.Size():
		want = schedule.Succeeded
	case total[state.Failed]+total[state.Stopped] > 0:
		want = schedule.RunFailed
	case total.Frozen() > 0:
		want = schedule.Freeze
	}
	if got := schedule.Plan(st, facts, nowMs); got != want && !across {
		m.w.violated("R8", "b%d is shown as %d, expected %d: %v", p.id, got, want, total)
	}
	for pos := range facts.Dates {
		c := facts.DateCounts(pos)
		if got := schedule.Date(st, facts, pos, nowMs); (got == schedule.Succeeded) != facts.DateSucceeded(pos) ||
			!across && (got == schedule.Running || (got == schedule.RunFailed) != (c[state.Failed]+c[state.Stopped] > 0)) {
			m.w.violated("R8", "position %d of b%d is shown as %d: %v", pos, p.id, got, c)
		}
	}
	for range 5 {
		n := m.w.rnd.Uint64N(facts.Size())
		at, _ := facts.Locate(n)
		if got, _ := schedule.Instance(st, facts, at, nowMs); (got == schedule.Succeeded) != facts.Status(n).Success() {
			m.w.violated("R8", "b%d.%d is shown as %d", p.id, n, got)
		}
	}
}

// missed judges frozen instances: one that could have started is marked so
// (RULES R9, unfreeze).
func (m *model) missed(st *state.State, p *planModel, nowMs int64) {
	if p.stopped || p.paused || p.halted {
		return
	}
	for n := range p.frozen {
		free := m.dependencies(st, p, n).kind == "" && m.untimely(st, p, n, nowMs, false).kind == ""
		if m.status(st, p, n) == state.Frozen && free {
			m.w.violated("R9", "b%d.%d %v is frozen and could have started, which nothing tells", p.id, n, p.keys[n])
		}
	}
}

// expire judges that a plan is forgotten (RULES R10.1): not before its time, and
// only when nothing in it moves by itself.
func (m *model) expire(before, after *state.State, id uint64) {
	p := m.plans[id]
	if p == nil {
		m.w.violated("R10.1", "b%d is forgotten twice", id)
		return
	}
	if since := time.Duration(after.NowMs()-p.changedMs) * time.Millisecond; since < m.w.keep {
		m.w.violated("R10.1", "b%d is forgotten %s after its last change", id, since)
	}
	if _, there := after.Plan(id); there {
		m.w.violated("R10.1", "b%d is forgotten and still there", id)
	}
	for node := range p.nodes {
		if slices.Contains(after.PlansOf(node), id) {
			m.w.violated("R10.1", "b%d is forgotten and still listed under %s", id, node)
		}
	}
	for i := range p.keys {
		n := uint64(i)
		switch s := m.status(before, p, n); {
		case s == state.Running:
			m.w.violated("R10.1", "b%d is forgotten while b%d.%d runs", id, id, n)
		case s.Waits():
			o := m.blocked(before, p, n, after.NowMs(), true)
			held := o.rule == "R9" && o.kind != retryLater
			if o.kind == "" || !held && o.plan == 0 || o.plan > 0 && m.status(before, m.plans[o.plan], o.instance) == state.Running {
				m.w.violated("R10.1", "b%d is forgotten while b%d.%d %v goes on by itself: %q", id, id, n, p.keys[n], o.kind)
			}
		}
	}
}

func (m *model) forget(index, id uint64) {
	p := m.plans[id]
	if p == nil {
		return
	}
	m.order = slices.DeleteFunc(m.order, func(q *planModel) bool { return q == p })
	delete(m.plans, id)
	delete(m.added, id)
	m.expired[id] = index
	if p.auto {
		delete(m.autos, p.dates[0])
	}
	m.w.report.Expired++
}

// hour is judged every hour of a fleet's life: receipts add up (RULES R13.6),
// and if somebody has led for long enough, the schedule is complete (RULES R1)
// and no plan outlives its time (RULES R10.1).
func (m *model) hour() {
	st := m.w.log.truth()
	for _, p := range m.order {
		if facts, _ := st.Plan(p.id); m.added[p.id] != facts {
			m.receipt(st, p)
			m.added[p.id] = facts
		}
		m.w.report.Receipts++
	}
	if !m.w.log.led(2 * time.Hour) {
		return
	}
	now := m.w.epoch.Add(m.w.now)
	for id, n := range m.nodes {
		if m.since[id] == 0 {
			continue
		}
		from := dayOf(now) - 9
		for d := from; d <= dayOf(now)+1; d++ {
			for _, c := range m.cycles(n, d) {
				if c.t*1000 >= m.since[id] && c.t < now.Add(30*time.Minute).Unix() && !m.made[made{id, d}] {
					m.w.violated("R1", "the schedule has no instance %v at %s", c, now.Format(time.RFC3339))
				}
			}
		}
	}
	for _, p := range m.order {
		facts, _ := st.Plan(p.id)
		if over := now.Add(-m.w.keep - 3*time.Hour); p.changedMs < over.UnixMilli() && !facts.Unfinished() {
			m.w.violated("R10.1", "b%d is still there, finished at %s", p.id, time.UnixMilli(p.changedMs).UTC().Format(time.RFC3339))
		}
	}
}

func dayOf(t time.Time) int32 { return int32(t.Unix() / daySeconds) }
