package sim

import (
	"fmt"
	"slices"

	"backfleet/agent/attempt"
	"backfleet/coordinator/state"
	"backfleet/pkg/wire"
)

// model is what the rules say, written down once more as plainly as can be: it
// follows the committed entries, expands requests and the schedule row by row,
// and judges every start against them.
type model struct {
	w        *world
	off      bool // it judges nothing
	nodes    map[string]*wire.Node
	since    map[string]int64 // when the schedule was switched on for a node; 0: it is not
	plans    map[uint64]*planModel
	order    []*planModel
	autos    map[int32]*planModel        // the schedule's, by date
	made     map[made]bool               // also of plans that are forgotten
	expired  map[uint64]uint64           // index of the entry, by plan
	answered map[string]bool             // request ids that had their effect
	asked    map[[2]int]bool             // plan and position of dates about which holdsDate is being asked
	runs     map[cycle]map[uint64]uint64 // when each plan last ran it, as an order
	added    map[uint64]*state.Plan      // as it was when its receipt was added up last
	briefest map[string]int64            // in ms, by node: of all attempts that have ended
	cyclesOf map[nodeDay][]cycle
	drains   map[string]int64 // agents that are drained, until when, in ms; 0: without end
}

// cycle is one T of a node on a D.
type cycle struct {
	node string
	d    int32
	t    int64 // unix seconds
}

// planModel is one accepted backfill, or a date of the schedule.
type planModel struct {
	id                      uint64
	auto                    bool
	req                     *wire.Request // as it was changed since
	nodes                   map[string]*wire.Node
	outside                 map[string]*wire.Node // other nodes, of which the schedule waits for other dates
	bridge                  map[string]bool       // nodes that are in it to keep the order
	since                   map[string]int64      // in ms: what was to run before it is a dry run
	droppedDates            map[int32]bool
	droppedNodes            map[string]bool
	dates                   []int32 // in order
	group                   []int   // by position
	keys                    []cycle // by instance number
	number                  map[cycle]uint64
	ofDate                  map[int32][]uint64 // instances
	paused, stopped, halted bool
	operated                uint64 // index of the last entry that changed it otherwise than a turn
	changedMs               int64
	failures                int32
	named                   map[uint64]bool
	opened                  map[int32]bool // dates
	frozen, forced          map[uint64]bool
	removed                 map[uint64][]string // upstreams that a person took from an instance
	tries                   map[uint64]*tries
}

// tries counts the attempts of an instance.
type tries struct {
	attempts     uint32 // finished
	used, yields int32  // since a person last asked for it
}

func (p *planModel) of(n uint64) *tries {
	if p.tries[n] == nil {
		p.tries[n] = &tries{}
	}
	return p.tries[n]
}

func newModel(w *world) *model {
	return &model{
		w: w, nodes: map[string]*wire.Node{}, since: map[string]int64{}, plans: map[uint64]*planModel{}, autos: map[int32]*planModel{},
		made: map[made]bool{}, expired: map[uint64]uint64{}, answered: map[string]bool{},
		runs: map[cycle]map[uint64]uint64{}, asked: map[[2]int]bool{}, added: map[uint64]*state.Plan{},
		briefest: map[string]int64{}, drains: map[string]int64{}, cyclesOf: map[nodeDay][]cycle{},
	}
}

// cycleOf is the cycle of an instance; of a plan that is forgotten it is not
// known any more.
func (m *model) cycleOf(i attempt.Instance) (cycle, bool) {
	p := m.plans[i.Plan]
	if p == nil {
		return cycle{}, false
	}
	return p.keys[i.Instance], true
}

// quick says whether an instance is of a node whose attempts are short.
func (m *model) quick(i attempt.Instance) bool {
	p := m.plans[i.Plan]
	return p != nil && p.nodes[p.keys[i.Instance].node].Owner == quick
}

// committed takes in an entry; a turn was decided from the facts after basis.
func (m *model) committed(index, basis uint64, c *wire.Command, before, after *state.State, r state.Result) {
	if m.off || r.Err != nil {
		return
	}
	if c.RequestId != "" {
		if m.answered[c.RequestId] {
			if len(r.Changes) > 0 {
				m.w.violated("R13.1", "request %s has had its effect twice, again at entry %d", c.RequestId, index)
			}
			return
		}
		m.answered[c.RequestId] = true
	}
	switch b := c.Body.(type) {
	case *wire.Command_ApplyNodes:
		m.apply(b.ApplyNodes, after.NowMs())
	case *wire.Command_Submit:
		m.accept(after, r.Answer.Plan, b.Submit.Request)
	case *wire.Command_Generate:
		m.generate(after, b.Generate)
		if p := m.autos[b.Generate.Date]; p != nil {
			p.operated = index
		}
	case *wire.Command_EditPlan:
		m.edit(after, b.EditPlan)
		m.plans[b.EditPlan.Plan].operated, m.plans[b.EditPlan.Plan].changedMs = index, after.NowMs()
	case *wire.Command_Expire:
		for _, id := range b.Expire.Plans {
			m.expire(before, after, id)
		}
		for _, id := range b.Expire.Plans {
			m.forget(index, id)
		}
	case *wire.Command_Operate:
		for _, t := range b.Operate.Targets {
			m.operate(before, after, b.Operate, t)
			m.plans[t.Plan].operated, m.plans[t.Plan].changedMs = index, after.NowMs()
		}
	case *wire.Command_OperateAgents:
		m.operateAgents(before, b.OperateAgents)
		m.agents(after, b.OperateAgents.Agents)
	case *wire.Command_Turn:
		var named []string
		for _, a := range b.Turn.Agents {
			named = append(named, a.Id)
		}
		m.agents(after, named)
		for _, o := range b.Turn.Opens {
			m.open(after, o)
		}
		for _, ch := range r.Changes {
			if ch.Kind == state.InstanceChanged {
				m.changed(index, basis, c.NowMs, before, after, ch)
				m.plans[ch.Plan].changedMs = after.NowMs()
			}
		}
		m.caps(after, b.Turn)
	}
}

func (m *model) apply(a *wire.ApplyNodes, nowMs int64) {
	for _, n := range a.Nodes {
		switch old := m.nodes[n.Id]; {
		case !n.Auto:
			m.since[n.Id] = 0
		case old == nil || !old.Auto:
			m.since[n.Id] = nowMs
		}
		m.nodes[n.Id] = n
	}
}

// operate applies RULES R9.
func (m *model) operate(before, after *state.State, o *wire.Operate, t *wire.Target) {
	p := m.plans[t.Plan]
	m.w.report.Operations++
	whole := len(t.Instances)+len(t.Dates) == 0
	switch {
	case o.Kind == wire.Operate_STOP && whole:
		p.stopped, p.paused, p.named = true, false, map[uint64]bool{}
	case o.Kind == wire.Operate_PAUSE:
		p.paused = true
	case o.Kind == wire.Operate_RESUME:
		p.stopped, p.paused, p.halted, p.failures, p.named = false, false, false, 0, map[uint64]bool{}
	}
	if whole && (o.Kind == wire.Operate_STOP || o.Kind == wire.Operate_PAUSE) {
		after.LeasesOf(p.id, func(l *state.Lease) {
			if !l.Ending() && (l.Ahead || o.Kind == wire.Operate_STOP) {
				m.w.violated("R9", "after %s of the plan its b%d.%d is not called back: %+v", o.Kind, p.id, l.Instance, l)
			}
		})
	}
	for i, k := range p.keys {
		n := uint64(i)
		was, is := m.status(before, p, n), m.status(after, p, n)
		dated := slices.ContainsFunc(t.Dates, func(r *wire.DateRange) bool { return r.From <= k.d && k.d <= r.To })
		if !whole && !dated && !slices.Contains(t.Instances, n) {
			continue
		}
		if o.Kind == wire.Operate_STOP && whole {
			continue // what runs ends in its own time
		}
		if want, fixed := m.operated(p, n, o, was); fixed && is != want {
			m.w.violated("R9", "%s makes b%d.%d %v, which was %d, %d: expected %d", o.Kind, p.id, n, k, was, is, want)
		}
		if l, ahead := before.Lease(p.id, n); o.Kind == wire.Operate_FREEZE && ahead && l.Ahead && !l.Stopping {
			if now, ok := after.Lease(p.id, n); !ok || !now.Freezing {
				m.w.violated("R9", "%s of b%d.%d, which waits at an agent, is not remembered: %+v", o.Kind, p.id, n, now)
			}
		}
		facts, _ := after.Plan(p.id)
		if at, _ := facts.Locate(n); o.Kind == wire.Operate_SET_PRIORITY && facts.PriorityOf(at) != o.Priority {
			m.w.violated("R7.6", "b%d.%d %v has priority %d, expected %d", p.id, n, k, facts.PriorityOf(at), o.Priority)
		}
	}
}

// operated is what an operation makes of an instance that it is meant for, when
// the rules leave no choice.
func (m *model) operated(p *planModel, n uint64, o *wire.Operate, was state.Status) (want state.Status, fixed bool) {
	switch o.Kind {
	case wire.Operate_STOP:
		if was.Waits() {
			delete(p.forced, n)
		}
		return state.Stopped, was.Waits()
	case wire.Operate_RERUN, wire.Operate_RERUN_FAILED:
		if o.Kind == wire.Operate_RERUN_FAILED && !was.Failure() {
			return was, true
		}
		p.of(n).used, p.of(n).yields = 0, 0
		if p.stopped {
			p.named[n] = true
		}
		return state.Again, was != state.Pending
	case wire.Operate_SET_TO_SUCCESS:
		return state.SetToSuccess, true
	case wire.Operate_FREEZE:
		if was.Waits() {
			p.frozen[n] = true
			delete(p.forced, n)
			return state.Frozen, true
		}
	case wire.Operate_UNFREEZE:
		delete(p.frozen, n)
		return state.Failed, was == state.Missed
	case wire.Operate_FORCE_RUN:
		p.forced[n] = true
	case wire.Operate_REMOVE_UPSTREAM:
		p.removed[n] = append(p.removed[n], o.Upstream)
	}
	return was, false
}

func (m *model) status(st *state.State, p *planModel, n uint64) state.Status {
	facts, _ := st.Plan(p.id)
	return facts.Status(n)
}

// open judges the decision to start a date although the one before failed
// (RULES R4.5).
func (m *model) open(after *state.State, o *wire.OpenDate) {
	p := m.plans[o.Plan]
	if p == nil {
		return // forgotten meanwhile
	}
	p.opened[p.dates[o.Position]] = true
	if p.paused || p.stopped || p.halted {
		m.w.violated("R4.5", "date %d of b%d is opened while the plan is held: what waits in it is not quiet for ever", o.Position, p.id)
	}
	if p.req.OnFailure != wire.Request_CONTINUE {
		m.w.violated("R4.5", "date %d of b%d is opened although the plan holds on failure", o.Position, p.id)
	}
	for n, k := range p.keys {
		if k.d == p.dates[o.Position-1] && m.status(after, p, uint64(n)) == state.Running {
			m.w.violated("R4.5", "date %d of b%d is opened while %v runs", o.Position, p.id, k)
		}
	}
}

// changed judges one change of an instance.
func (m *model) changed(index, basis uint64, nowMs int64, before, after *state.State, ch state.Change) {
	p, n := m.plans[ch.Plan], ch.Instance
	key := p.keys[n]
	if ch.From == state.Running {
		m.ended(before, after, p, n, ch.To)
	}
	if ch.To == state.Running || ch.To == state.DryRun {
		// A person's act may come between a turn and its entry. It then holds
		// for the next turn, unless it stops, pauses or freezes.
		if why := m.blocked(after, p, n, nowMs, false); why.kind != "" && (why.plan == 0 || why.running || m.plans[why.plan].operated <= basis) {
			m.w.violated(why.rule, "b%d.%d %v starts at entry %d although %s", p.id, n, key, index, why)
		}
		if p.dry(key) != (ch.To == state.DryRun) {
			m.w.violated("R6", "b%d.%d %v: dry run %v, started as %d", p.id, n, key, p.dry(key), ch.To)
		}
	}
	if ch.To == state.Running {
		l, ok := after.Lease(p.id, n)
		if !ok || l.Fence != index || l.Attempt != p.of(n).attempts+1 {
			m.w.violated("R13.3", "b%d.%d is granted at entry %d as %+v after %d attempts", p.id, n, index, l, p.of(n).attempts)
		}
		m.w.client.granted(p.id, n, index)
		if _, drained := m.drains[l.Agent]; drained {
			m.w.violated("R14.2", "b%d.%d is granted at entry %d to %s, which is drained", p.id, n, index, l.Agent)
		}
	}
	if ch.To == state.Failed {
		p.failures++
		p.halted = p.halted || p.req.StopAfter > 0 && p.failures >= p.req.StopAfter
	}
	if !ch.To.Waits() && ch.To != state.Running {
		delete(p.forced, n)
	}
	if ch.From == state.Running && ch.To == state.Frozen {
		p.frozen[n] = true // it was, while it waited at its agent
	}
	if m.runs[key] == nil {
		m.runs[key] = map[uint64]uint64{}
	}
	if ch.To == state.Running || ch.From == state.Running {
		m.runs[key][p.id] = index + 1
	} else if ch.To == state.DryRun {
		m.runs[key][p.id] = 1 // before all that really ran
	}
}

// ended judges the end of a lease: its process must have ended before, what is
// recorded must be what happened, once (RULES R13.2, R13.4), and only a failure
// uses a retry (RULES R9, R5.6).
func (m *model) ended(before, after *state.State, p *planModel, n uint64, to state.Status) {
	l, _ := before.Lease(p.id, n)
	key := attempt.Key{Plan: p.id, Instance: n, Attempt: l.Attempt, Fence: l.Fence}
	if live := m.w.table.live[key.Of()]; live != nil && live.key == key {
		m.w.violated("R13.2", "the lease of %s with fence %d ends while its process runs on %s", key, key.Fence, live.k.h.id)
	}
	t := p.of(n)
	t.attempts++
	facts, _ := after.Plan(p.id)
	all := after.Attempts(facts, n)
	if uint32(len(all)) != t.attempts {
		m.w.violated("R13.4", "b%d.%d has %d finished attempts, %d are recorded", p.id, n, t.attempts, len(all))
		return
	}
	a := all[len(all)-1]
	if took, node := a.EndedMs-a.StartedMs, p.keys[n].node; a.StartedMs > 0 {
		if least, known := m.briefest[node]; !known || took < least {
			m.briefest[node] = took
		}
	}
	if a.Fence != l.Fence {
		m.w.violated("R13.3", "%s had fence %d, recorded is %d", key, l.Fence, a.Fence)
	}
	m.consequence(p, n, l, &a, to)
	if got := facts.Yields(n); got != int(t.yields) {
		m.w.violated("R5.6", "%s has yielded %d times, recorded are %d", key, t.yields, got)
	}
	really, ran := m.w.table.ended[key]
	if a.Outcome == wire.Outcome_SKIPPED {
		m.w.report.Skipped++
		a.Outcome = wire.Outcome_FAILED // as its agent saw it
	}
	switch a.Outcome {
	case wire.Outcome_LOST:
		m.w.report.Lost++
	case wire.Outcome_STOPPED, wire.Outcome_YIELDED, wire.Outcome_DRAINED:
	default:
		if a.Outcome != really && ran || a.Outcome == wire.Outcome_SUCCEEDED && !ran {
			m.w.violated("R13.4", "%s is recorded as %s, and ended as %s", key, a.Outcome, really)
		}
	}
}

// consequence judges what becomes of an instance whose attempt has ended.
func (m *model) consequence(p *planModel, n uint64, l *state.Lease, a *state.Attempt, to state.Status) {
	t, o := p.of(n), a.Outcome
	want, meaning := state.Succeeded, means(p.nodes[p.keys[n].node], a.ExitCode)
	switch {
	case o == wire.Outcome_SUCCEEDED:
	case o == wire.Outcome_SKIPPED, o == wire.Outcome_FAILED && meaning == wire.ExitCode_SKIP:
		if o != wire.Outcome_SKIPPED || meaning != wire.ExitCode_SKIP {
			m.w.violated("R9", "an attempt of b%d.%d with exit code %d is recorded as %s", p.id, n, a.ExitCode, o)
		}
	case o == wire.Outcome_RECALLED && !l.Stopping:
		if want = state.Again; l.Started || !l.Ahead {
			m.w.violated("R9", "an attempt of b%d.%d is recorded as given back, and was not granted ahead or runs: %+v", p.id, n, l)
		}
	case l.Stopping:
		o, want = wire.Outcome_STOPPED, state.Stopped
	case l.Yielding:
		o, want = wire.Outcome_YIELDED, state.Again
		t.yields++
		m.w.report.Yields++
		if p.auto || p.req.OnConflict != wire.Request_YIELD || t.yields > maxYields {
			m.w.violated("R5.6", "b%d.%d makes way for the schedule, for the %d. time: onConflict %s", p.id, n, t.yields, p.req.OnConflict)
		}
	case l.Draining:
		if want = state.Again; o != wire.Outcome_DRAINED {
			m.w.violated("R14.2", "an attempt of b%d.%d, which was to end for a drain, is recorded as %s", p.id, n, o)
		}
		m.w.report.Drained++
	case o == wire.Outcome_LOST:
		want = state.Again
	case o == wire.Outcome_STOPPED: // by the agent's own end
		want = state.Stopped
	default:
		t.used++
		if want = state.Failed; t.used <= p.nodes[p.keys[n].node].Retries && (o != wire.Outcome_FAILED || meaning != wire.ExitCode_FAIL) {
			want = state.Retrying
		}
	}
	if l.Freezing && want == state.Again {
		want = state.Frozen
	}
	if to != want {
		m.w.violated("R9", "an attempt of b%d.%d ends as %s after %d used retries: it is %d, expected %d", p.id, n, o, t.used, to, want)
	}
}

// maxYields is the setting that the fleets run with (RULES R5.6).
const maxYields = 3

// obstacle is what keeps an instance from starting.
type obstacle struct {
	rule, kind string
	plan       uint64 // of the instance in the way, when there is one
	instance   uint64
	pos        int  // of the date in the way, of the gate
	running    bool // it runs, which no act of a person excuses
}

func (o obstacle) String() string {
	return fmt.Sprintf("%s (b%d.%d, position %d)", o.kind, o.plan, o.instance, o.pos)
}

// blocked finds an obstacle by the rules; kind is empty when there is none.
// With waits, retries and instances that do not wait at all count too.
func (m *model) blocked(st *state.State, p *planModel, n uint64, nowMs int64, waits bool) obstacle {
	key := p.keys[n]
	switch {
	case p.frozen[n]:
		return obstacle{rule: "R9", kind: "it is frozen"}
	case p.stopped && !p.named[n], !p.stopped && (p.paused || p.halted):
		return obstacle{rule: "R9", kind: "the plan is held"}
	}
	if !p.forced[n] {
		if o := m.dependencies(st, p, n); o.kind != "" {
			return o
		}
	}
	if !p.dry(key) {
		if o := m.overlap(st, p, key); o.kind != "" {
			return o
		}
		if o := m.conflict(st, p, key); o.kind != "" {
			return o
		}
	}
	if p.forced[n] {
		return obstacle{}
	}
	return m.untimely(st, p, n, nowMs, waits)
}

const retryLater = "its retry is not due"

// untimely applies RULES R3.3 and R9 on retries.
func (m *model) untimely(st *state.State, p *planModel, n uint64, nowMs int64, waits bool) obstacle {
	if p.keys[n].t*1000 > nowMs || p.req.NotBeforeMs > nowMs {
		return obstacle{rule: "R3.3", kind: "it is not due"}
	}
	if facts, _ := st.Plan(p.id); waits && facts.Status(n) == state.Retrying {
		at, _ := facts.Locate(n)
		if _, _, due := facts.Retry(at); due > nowMs {
			return obstacle{rule: "R9", kind: retryLater}
		}
	}
	return obstacle{}
}

// dependencies asks for the gate, and for all that must have succeeded.
func (m *model) dependencies(st *state.State, p *planModel, n uint64) obstacle {
	if o := m.gated(st, p, n); o.kind != "" {
		return o
	}
	own, others := m.upstreams(p, p.keys[n], p.removed[n])
	for _, up := range own {
		if u := p.number[up]; !m.status(st, p, u).Success() {
			return obstacle{rule: "R5.2", kind: "an upstream has not succeeded", plan: p.id, instance: u}
		}
	}
	for _, up := range others {
		if o := m.scheduled(st, p, up); o.kind != "" {
			return o
		}
	}
	return m.predecessor(st, p, n)
}

// gated applies RULES R4.3: a date waits for the one before it in its group that
// has instances.
func (m *model) gated(st *state.State, p *planModel, n uint64) obstacle {
	key := p.keys[n]
	if p.req.Gate == wire.Request_NONE || p.opened[key.d] {
		return obstacle{}
	}
	pos := slices.Index(p.dates, key.d)
	for before := pos - 1; before >= 0 && p.group[before] == p.group[pos]; before-- {
		some := false
		facts, _ := st.Plan(p.id)
		for _, i := range p.ofDate[p.dates[before]] {
			if p.req.Gate == wire.Request_NODE && p.keys[i].node != key.node {
				continue
			}
			some = true
			if !facts.Status(i).Success() {
				return obstacle{rule: "R4.3", kind: "the date before has not succeeded", plan: p.id, instance: i, pos: before}
			}
		}
		if some {
			break
		}
	}
	return obstacle{}
}

// predecessor applies RULES R5.4 and R5.5.
func (m *model) predecessor(st *state.State, p *planModel, i uint64) obstacle {
	key := p.keys[i]
	n := p.nodes[key.node]
	if !n.DependsOnSelf || slices.Contains(p.removed[i], key.node) {
		return obstacle{}
	}
	all := slices.Concat(m.cycles(n, key.d-1), m.cycles(n, key.d))
	k := slices.Index(all, key)
	if k == 0 {
		return obstacle{}
	}
	pre := all[k-1]
	pos, was := slices.Index(p.dates, key.d), slices.Index(p.dates, pre.d)
	u, has := p.number[pre]
	switch {
	case has && was <= pos && p.group[was] == p.group[pos]:
		if !m.status(st, p, u).Success() {
			return obstacle{rule: "R5.4", kind: "the cycle before has not succeeded", plan: p.id, instance: u}
		}
		return obstacle{}
	case p.auto:
		return m.scheduled(st, p, pre)
	}
	q := m.newest(st, p, pre)
	if q == nil || m.status(st, q, q.number[pre]).Success() {
		return obstacle{}
	}
	if l, runs := st.Lease(q.id, q.number[pre]); runs && l.Fence == st.Index() {
		return obstacle{} // granted by the same entry: neither was before the other
	}
	return obstacle{rule: "R5.5", kind: "the cycle before has not succeeded elsewhere", plan: q.id, instance: q.number[pre]}
}

// newest is the plan that ran a cycle last, but for one.
func (m *model) newest(st *state.State, but *planModel, c cycle) (newest *planModel) {
	last := uint64(0)
	for _, q := range m.order {
		n, has := q.number[c]
		if !has || q == but {
			continue
		}
		if own, both := but.number[c]; both && m.status(st, q, n).Waits() && !q.auto && q.id > but.id && m.holdsLater(st, but, own) {
			continue // it goes after the plan's own (R5.8)
		}
		good := m.status(st, q, n).Success()
		when := m.runs[c][q.id]
		if good {
			when = max(when, 1)
		} else if when == 1 {
			when = 0 // was a dry run, and has never really run
		}
		if when > last {
			newest, last = q, when
		}
	}
	return newest
}

// scheduled asks for a cycle of another date of the schedule, whose dates are
// one: if there is an instance of it, it must have succeeded, or else a repair
// of it.
func (m *model) scheduled(st *state.State, p *planModel, c cycle) obstacle {
	q := m.autos[c.d]
	if q == nil {
		return obstacle{}
	}
	n, has := q.number[c]
	if !has || m.status(st, q, n).Success() {
		return obstacle{}
	}
	if m.status(st, q, n).Failure() {
		if r := m.newest(st, p, c); r != nil && m.status(st, r, r.number[c]).Success() {
			return obstacle{}
		}
	}
	return obstacle{rule: "R5.5", kind: "the schedule's cycle before has not succeeded", plan: q.id, instance: n}
}

// overlap applies RULES R5.8.
func (m *model) overlap(st *state.State, p *planModel, key cycle) obstacle {
	for _, q := range m.order {
		n, ok := q.number[key]
		if !ok || q == p || q.dry(key) {
			continue
		}
		runs := m.status(st, q, n) == state.Running
		if runs || !p.auto && q.id < p.id && m.holdsLater(st, q, n) {
			return obstacle{rule: "R5.8", kind: "the same cycle is another plan's first", plan: q.id, instance: n, running: runs}
		}
	}
	return obstacle{}
}

// holdsLater says whether an instance keeps its cycle from plans accepted later.
func (m *model) holdsLater(st *state.State, q *planModel, n uint64) bool {
	s := m.status(st, q, n)
	return !q.dry(q.keys[n]) && (s == state.Running || s.Frozen() && !q.auto || s.Waits() && (!q.stopped || q.named[n]))
}

// conflict applies as much of RULES R5.6 as is true at any moment: backfill and
// schedule never run a node both.
func (m *model) conflict(st *state.State, p *planModel, key cycle) (out obstacle) {
	st.Leases(func(l *state.Lease) {
		q := m.plans[l.Plan]
		backfill := p
		if p.auto {
			backfill = q
		}
		if q.auto != p.auto && q.keys[l.Instance].node == key.node && backfill.req.OnConflict != wire.Request_ALLOW {
			out = obstacle{rule: "R5.6", kind: "backfill and schedule run a node both", plan: l.Plan, instance: l.Instance, running: true}
		}
	})
	return out
}
