package state

import (
	"fmt"
	"slices"
	"testing"

	"backfleet/pkg/calendar"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// model is the rules once more, in maps and without any sharing or counting: what
// the state must say after every entry. How a request becomes instances is
// pkg/plan's business, so an accepted plan is taken from the state.
type model struct {
	plans  map[uint64]*modelPlan
	leases map[ref]*modelLease
	agents map[string]*wire.Agent
	fences map[ref]uint64 // highest ever, by instance
	last   map[modelCycle]modelOutcome
	groups map[string]*wire.PutResourceGroup
	drains map[string]*wire.Drain // by agent
	tokens map[string]*wire.PutJoinToken
	modelSources
	people modelPeople
	newest calendar.Date // generated; 0: none
}

type modelCycle struct {
	node string
	d    calendar.Date
	unix int64
}

type modelOutcome struct {
	outcome wire.Outcome
	version uint64
}

type ref struct{ plan, instance uint64 }

type modelLease struct {
	fence    uint64
	agent    string
	group    string
	version  uint64
	stopping bool
	yielding bool
	draining bool
	ahead    bool
	recalled bool
	freezing bool
	started  bool
}

// ending says whether its agent is to let go of it.
func (l *modelLease) ending() bool { return l.stopping || l.yielding || l.draining || l.recalled }

type modelPlan struct {
	p        *plan.Plan
	status   map[uint64]Status
	attempts map[uint64]int
	metrics  map[uint64][]string // of each attempt that has ended
	used     map[uint64]int32    // retries
	named    map[uint64]bool
	was      map[uint64]Status // of what is frozen, before
	yields   map[uint64]int
	forced   map[uint64]bool
	removed  map[uint64][]string
	priority map[uint64]int32
	marks    map[uint64]int
	lines    int
	capped   bool // an edit has changed maxRunning
	paused   bool
	stopped  bool
	halted   bool
	failures int32
}

func newModel() *model {
	return &model{
		plans: map[uint64]*modelPlan{}, leases: map[ref]*modelLease{}, agents: map[string]*wire.Agent{}, fences: map[ref]uint64{},
		last: map[modelCycle]modelOutcome{}, groups: map[string]*wire.PutResourceGroup{},
		drains: map[string]*wire.Drain{}, tokens: map[string]*wire.PutJoinToken{},
		modelSources: modelSources{all: map[string]*wire.DataSource{}, named: map[string]string{}},
		people:       modelPeople{users: map[string]*wire.User{}, own: map[string]*wire.PutToken{}, tagged: map[string]uint64{}},
	}
}

// accept takes in a plan that is new, or that has grown from a size on.
func (m *model) accept(p *plan.Plan) {
	own, first := m.plans[p.ID], uint64(0)
	if own == nil {
		own = &modelPlan{
			status: map[uint64]Status{}, attempts: map[uint64]int{}, used: map[uint64]int32{}, named: map[uint64]bool{},
			was: map[uint64]Status{}, yields: map[uint64]int{}, forced: map[uint64]bool{}, removed: map[uint64][]string{},
			priority: map[uint64]int32{}, marks: map[uint64]int{}, metrics: map[uint64][]string{},
		}
		m.plans[p.ID] = own
	} else {
		first = own.p.Size()
	}
	own.p = p
	for i := first; i < p.Size(); i++ {
		if at, _ := p.Locate(i); p.FrozenNode(at.Node) {
			own.status[i], own.was[i] = Frozen, Pending
		}
	}
}

// cycle names what must never run twice at once (RULES R5.8).
func (p *modelPlan) cycle(i uint64) string {
	at, _ := p.p.Locate(i)
	return fmt.Sprint(p.p.Nodes[at.Node].Spec.Id, p.p.Dates[at.Pos], p.p.Cycle(at).Unix)
}

func (p *modelPlan) dry(i uint64) bool {
	at, _ := p.p.Locate(i)
	return p.p.Dry(at) != wire.DryRun_DRY_RUN_NONE
}

func (p *modelPlan) blocked(i uint64) bool {
	if p.stopped {
		return !p.named[i]
	}
	return p.paused || p.halted
}

func (p *modelPlan) count(s Status) int {
	n := 0
	for _, have := range p.status {
		if have == s {
			n++
		}
	}
	return n
}

// apply follows a command that the state accepted.
func (m *model) apply(index uint64, c *wire.Command, after *State, r Result) error {
	m.people.apply(index, after.NowMs(), c)
	switch b := c.Body.(type) {
	case *wire.Command_Submit:
		p, ok := after.Plan(r.Answer.Plan)
		if !ok {
			return fmt.Errorf("plan %d was accepted and is not there", r.Answer.Plan)
		}
		m.accept(p.Plan)
	case *wire.Command_Turn:
		return m.turn(index, b.Turn, after, r)
	case *wire.Command_Generate:
		d := calendar.Date(b.Generate.Date)
		if p, ok := after.AutoPlan(d); ok {
			m.accept(p.Plan)
		}
		if m.newest == 0 || d > m.newest {
			m.newest = d
		}
	case *wire.Command_EditPlan:
		p, _ := after.Plan(b.EditPlan.Plan)
		m.edit(b.EditPlan, p.Plan)
	case *wire.Command_Expire:
		for _, id := range b.Expire.Plans {
			delete(m.plans, id)
		}
	case *wire.Command_PutResourceGroup:
		m.groups[b.PutResourceGroup.Name] = b.PutResourceGroup
	case *wire.Command_Operate:
		m.operate(b.Operate)
	case *wire.Command_OperateAgents:
		m.operateAgents(b.OperateAgents, after.NowMs())
	case *wire.Command_PutJoinToken:
		m.tokens[b.PutJoinToken.Id] = b.PutJoinToken
	case *wire.Command_RevokeJoinToken:
		delete(m.tokens, b.RevokeJoinToken.Id)
	default:
		m.modelSources.apply(c)
	}
	return nil
}

func (m *model) turn(index uint64, t *wire.Turn, after *State, r Result) error {
	for _, a := range t.Agents {
		m.agents[a.Id] = a
	}
	for _, a := range t.Agents {
		if d := m.drains[a.Id]; d.GetDeadlineMs() > 0 && d.DeadlineMs <= after.NowMs() {
			m.drain(a.Id, after.NowMs())
		}
	}
	for _, f := range t.Finishes {
		m.end(f.Plan, f.Instance, f.Fence, f.Outcome, f.ExitCode, f.Metrics)
	}
	for _, l := range t.Losses {
		m.end(l.Plan, l.Instance, l.Fence, wire.Outcome_LOST, 0, nil)
	}
	for _, s := range t.Started {
		if l := m.leases[ref{s.Plan, s.Instance}]; l != nil && l.fence == s.Fence && l.ahead {
			l.started, l.ahead, l.recalled, l.freezing = true, false, false, false
		}
	}
	for _, y := range t.Yields {
		l, p := m.leases[ref{y.Plan, y.Instance}], m.plans[y.Plan]
		if l != nil && l.fence == y.Fence && !l.ending() && !p.p.Auto && p.p.Request.OnConflict == wire.Request_YIELD {
			l.yielding = true
		}
	}
	for _, missed := range t.Missed {
		for _, i := range missed.Instances {
			if p := m.plans[missed.Plan]; p != nil && p.status[i] == Frozen {
				p.status[i] = Missed
			}
		}
	}
	for _, d := range t.DryRuns {
		p := m.plans[d.Plan]
		for _, i := range d.Instances {
			if p != nil && i < p.p.Size() && p.dry(i) && p.status[i].Waits() && !p.blocked(i) {
				p.status[i] = DryRun
				delete(p.forced, i)
			}
		}
	}
	refused := 0
	for _, g := range t.Grants {
		if !m.mayGrant(g) {
			refused++
			continue
		}
		k := ref{g.Plan, g.Instance}
		if index <= m.fences[k] {
			return fmt.Errorf("fence %d of %v is not above %d (R13.3)", index, k, m.fences[k])
		}
		m.fences[k] = index
		l, ok := after.Lease(g.Plan, g.Instance)
		if !ok {
			return fmt.Errorf("%v was granted and has no lease", k)
		}
		m.leases[k] = &modelLease{fence: index, agent: g.Agent, group: g.ResourceGroup, version: l.Version, ahead: g.Ahead}
		m.plans[g.Plan].status[g.Instance] = Running
	}
	if refused != len(r.Refused) {
		return fmt.Errorf("%d grants refused, expected %d: %v", len(r.Refused), refused, r.Refused)
	}
	return nil
}

func (m *model) mayGrant(g *wire.Grant) bool {
	p, a := m.plans[g.Plan], m.agents[g.Agent]
	if p == nil || g.Instance >= p.p.Size() || !m.ready(g.Agent) || p.dry(g.Instance) {
		return false
	}
	free := 0
	for _, s := range a.Groups {
		if s.Group == g.ResourceGroup {
			free = int(s.Slots)
		}
	}
	if g.Ahead && free > 0 {
		free += MaxAhead
	}
	for k, l := range m.leases {
		if l.agent == g.Agent && l.group == g.ResourceGroup && (g.Ahead || !l.ahead) {
			free -= m.weight(k)
		}
		if m.plans[k.plan].cycle(k.instance) == p.cycle(g.Instance) {
			return false
		}
	}
	requires := p.spec(g.Instance).Requires // RULES R7.7
	if p.spec(g.Instance).Type == "sql" {
		requires = append(slices.Clone(requires), &wire.Assignment{Name: "backfleet/sql", Value: "true"})
	}
	for _, want := range requires {
		has := false
		for _, l := range a.Labels {
			has = has || l.Name == want.Name && l.Value == want.Value
		}
		if !has {
			return false
		}
	}
	limit := int(p.p.Request.MaxRunning)
	return free >= m.weight(ref{g.Plan, g.Instance}) && p.status[g.Instance].Waits() && !p.blocked(g.Instance) && (limit == 0 || p.count(Running) < limit)
}

// weight is how many slots an instance takes (RULES R7.8).
func (m *model) weight(k ref) int {
	if n := m.plans[k.plan].spec(k.instance).Slots; n > 0 {
		return int(n)
	}
	return 1
}

// spec is an instance's node, as its plan pins it.
func (p *modelPlan) spec(i uint64) *wire.Node {
	at, _ := p.p.Locate(i)
	return p.p.Nodes[at.Node].Spec
}

// end follows the end of an attempt; one that is not live is nothing.
func (m *model) end(planID, i, fence uint64, o wire.Outcome, code int32, metrics []*wire.Metric) {
	k := ref{planID, i}
	l := m.leases[k]
	if l == nil || l.fence != fence {
		return
	}
	delete(m.leases, k)
	p := m.plans[planID]
	p.attempts[i]++
	p.metrics[i] = append(p.metrics[i], modelMetrics(metrics))
	waits := Again
	if l.freezing {
		waits = Frozen
		p.was[i] = Again
	}
	if o == wire.Outcome_RECALLED && !l.stopping && !l.started { // nothing ran
		p.wait(i, waits)
		return
	}
	hopeless := false // RULES R9: what the exit code means
	for _, e := range p.spec(i).ExitCodes {
		if o == wire.Outcome_FAILED && e.Code == code {
			hopeless = e.Meaning == wire.ExitCode_FAIL
			if e.Meaning == wire.ExitCode_SKIP {
				o = wire.Outcome_SUCCEEDED
			}
		}
	}
	switch {
	case o == wire.Outcome_SUCCEEDED:
	case l.stopping:
		o = wire.Outcome_STOPPED
	case l.yielding:
		o = wire.Outcome_YIELDED
	case l.draining:
		o = wire.Outcome_DRAINED
	case o == wire.Outcome_RECALLED:
		o = wire.Outcome_LOST
	case o < wire.Outcome_SUCCEEDED || o > wire.Outcome_LOST:
		o = wire.Outcome_FAILED
	}
	m.last[p.where(i)] = modelOutcome{o, l.version}
	switch o {
	case wire.Outcome_SUCCEEDED:
		p.end(i, Succeeded)
	case wire.Outcome_STOPPED:
		p.end(i, Stopped)
	case wire.Outcome_LOST, wire.Outcome_DRAINED:
		p.wait(i, waits)
	case wire.Outcome_YIELDED:
		p.wait(i, waits)
		p.yields[i]++
	default:
		if p.used[i]++; !hopeless && p.used[i] <= p.spec(i).Retries {
			p.status[i] = Retrying
			return
		}
		p.end(i, Failed)
		p.failures++
		if n := p.p.Request.StopAfter; n > 0 && p.failures >= n {
			p.halted = true
			m.recall(planID)
		}
	}
}

// recall calls back what was granted ahead of a plan.
func (m *model) recall(planID uint64) {
	for k, l := range m.leases {
		l.recalled = l.recalled || k.plan == planID && l.ahead && !l.ending()
	}
}

// wait has an instance wait again, or be frozen.
func (p *modelPlan) wait(i uint64, st Status) {
	p.status[i] = st
	if st == Frozen {
		p.end(i, st)
	}
}

// end gives an instance a status in which a force to run it is spent.
func (p *modelPlan) end(i uint64, st Status) {
	p.status[i] = st
	delete(p.forced, i)
}

func (p *modelPlan) where(i uint64) modelCycle {
	at, _ := p.p.Locate(i)
	return modelCycle{p.p.Nodes[at.Node].Spec.Id, p.p.Dates[at.Pos], p.p.Cycle(at).Unix}
}

// check compares everything with the state, and the state with itself.
func (m *model) check(t testing.TB, s *State) {
	t.Helper()
	if s.LeaseCount() != len(m.leases) {
		t.Fatalf("%d leases, expected %d", s.LeaseCount(), len(m.leases))
	}
	cycles := map[string]ref{}
	slots, ahead := map[[2]string]uint32{}, map[[2]string]uint32{}
	s.Leases(func(l *Lease) {
		k := ref{l.Plan, l.Instance}
		if want := m.leases[k]; want == nil || want.fence != l.Fence || want.agent != l.Agent || want.stopping != l.Stopping ||
			want.yielding != l.Yielding || want.draining != l.Draining || want.ahead != l.Ahead || want.recalled != l.Recalled || want.freezing != l.Freezing || want.started != l.Started || want.version != l.Version || l.Auto != m.plans[l.Plan].p.Auto {
			t.Fatalf("R13.2: lease %+v, expected %+v", l, want)
		}
		cycle := m.plans[l.Plan].cycle(l.Instance)
		if other, twice := cycles[cycle]; twice {
			t.Fatalf("R5.8: %v and %v of the same cycle run at once", other, k)
		}
		cycles[cycle] = k
		if l.Ahead {
			ahead[[2]string{l.Agent, l.Group}] += uint32(m.weight(k))
		} else {
			slots[[2]string{l.Agent, l.Group}] += uint32(m.weight(k))
		}
	})
	s.Agents(func(a *Agent) {
		for i, g := range a.Groups {
			k := [2]string{a.Id, g.Group}
			if a.Used[i] != slots[k] || a.Ahead[i] != ahead[k] {
				t.Fatalf("agent %s uses %d slots of %s and holds %d ahead, expected %d and %d", a.Id, a.Used[i], g.Group, a.Ahead[i], slots[k], ahead[k])
			}
		}
	})
	for id, want := range m.plans {
		m.checkPlan(t, s, id, want)
	}
	m.checkAgents(t, s)
	m.modelSources.check(t, s)
	m.people.check(t, s)
	m.checkRest(t, s)
}

func (m *model) checkPlan(t testing.TB, s *State, id uint64, want *modelPlan) {
	t.Helper()
	p, ok := s.Plan(id)
	if !ok {
		t.Fatalf("R13.1: plan %d is gone", id)
	}
	if p.Paused != want.paused || p.Stopped != want.stopped || p.Halted != want.halted || p.Failures != uint32(want.failures) {
		t.Fatalf("plan %d: paused %v stopped %v halted %v failures %d, expected %+v", id, p.Paused, p.Stopped, p.Halted, p.Failures, want)
	}
	var total Counts
	dates, nodes := make([]Counts, len(p.Dates)), make([]Counts, len(p.Nodes))
	for i := range p.Size() {
		st := p.Status(i)
		if st != want.status[i] {
			t.Fatalf("instance %d.%d has status %d, expected %d", id, i, st, want.status[i])
		}
		at, _ := p.Locate(i)
		total[st]++
		dates[at.Pos][st]++
		nodes[at.Node][st]++
		attempts := s.Attempts(p, i)
		if len(attempts) != want.attempts[i] {
			t.Fatalf("R13.4: instance %d.%d has %d finished attempts, expected %d", id, i, len(attempts), want.attempts[i])
		}
		for k, a := range attempts {
			if a.Number != uint32(k+1) || k > 0 && a.Fence <= attempts[k-1].Fence {
				t.Fatalf("R13.3: instance %d.%d: attempts are not in order: %+v", id, i, attempts)
			}
			if got := metricText(a.Metrics); got != want.metrics[i][k] {
				t.Fatalf("instance %d.%d, attempt %d: metrics %s, expected %s", id, i, a.Number, got, want.metrics[i][k])
			}
		}
		m.checkInstance(t, p, want, i, at)
		if p.Named(i) != want.named[i] {
			t.Fatalf("instance %d.%d: named %v, expected %v", id, i, p.Named(i), want.named[i])
		}
	}
	if p.Total() != total {
		t.Fatalf("R13.6: plan %d counts %v, its instances %v", id, p.Total(), total)
	}
	for pos, c := range dates {
		if p.DateCounts(pos) != c {
			t.Fatalf("R13.6: plan %d position %d counts %v, its instances %v", id, pos, p.DateCounts(pos), c)
		}
	}
	for n, c := range nodes {
		if p.NodeCounts(n) != c {
			t.Fatalf("R13.6: plan %d node %d counts %v, its instances %v", id, n, p.NodeCounts(n), c)
		}
	}
	retrying := 0
	p.EachRetrying(func(i uint64) {
		retrying++
		if p.Status(i) != Retrying {
			t.Fatalf("instance %d.%d is listed as retrying with status %d", id, i, p.Status(i))
		}
	})
	if retrying != int(total[Retrying]) {
		t.Fatalf("plan %d lists %d retrying instances, expected %d", id, retrying, total[Retrying])
	}
	// stop, pause and a smaller maxRunning cannot exist after the fact: what runs was granted under the cap
	if limit := p.Request.MaxRunning; limit > 0 && !want.capped && p.Active() > int(limit) {
		t.Fatalf("R4.8: plan %d runs %d instances, its maxRunning is %d", id, p.Active(), limit)
	}
}
