package naive

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"backfleet/coordinator/schedule"
	"backfleet/pkg/wire"
)

// trial is one log that both sides read.
type trial struct {
	*draw
	w     *world
	e     *engine
	note  func(format string, args ...any)
	seen  tally
	steps int
}

// TestR1_9_EngineAndRulesAgree: for random nodes, requests, operations and
// times, the engine and the naive rules agree on what may start, what is settled
// without running, what yields, and what is shown.
func TestR1_9_EngineAndRulesAgree(t *testing.T) {
	if *oneSeed != 0 {
		seen := tally{}
		if err := try(*oneSeed, *nSteps, seen, func(format string, args ...any) { fmt.Printf(format+"\n", args...) }); err != nil {
			t.Fatal(err)
		}
		t.Log(seen)
		return
	}
	seen, bad := tally{}, 0
	for seed := *first; seed < *first+*nSeeds && bad < 5; seed++ {
		if err := try(seed, *nSteps, seen, nil); err != nil {
			bad++
			t.Errorf("%v\nreproduce with: go test ./integration/naive -run EngineAndRulesAgree -naive.seed %d", err, seed)
		}
	}
	t.Log(seen)
	for _, what := range []string{
		"accepted", "refused", "generated", "grant", "dry run", "opened", "missed", "yielded", "succeeded", "failed", "lost", "edited", "operated", "not operated",
		"gate", "upstream", "away", "retry", "due", "window", "overlap", "conflict", "patience", "ahead", "started", "recalled",
		"heavy", "labelled", "typed", "nothing to do",
	} {
		if seen[what] < int(*nSeeds)/100 && bad == 0 {
			t.Errorf("only %d times %q: these logs test too little", seen[what], what)
		}
	}
	if seen["kept"] < int(*nSeeds)/1000 && bad == 0 {
		t.Errorf("only %d times something kept others waiting: these logs test too little", seen["kept"])
	}
}

func try(seed uint64, steps int, seen tally, note func(string, ...any)) (err error) {
	d, now := newDraw(seed)
	terms := terms{patience: 60_000, yields: 1 + d.IntN(3)}
	t := &trial{draw: d, w: newWorld(terms), e: newEngine(terms, now), note: note, seen: seen}
	if note == nil {
		t.note = func(string, ...any) {}
	}
	clear(known)
	t.w.pass(now)
	defer func() {
		if err != nil {
			err = fmt.Errorf("seed %d, step %d, entry %d: %w", seed, t.steps, t.e.index, err)
		}
	}()
	if err := t.applyNodes(t.ids); err != nil {
		return err
	}
	if err := t.turn(&wire.Turn{Agents: []*wire.Agent{t.agent("x"), t.agent("y")}}); err != nil {
		return err
	}
	for t.steps = 1; t.steps <= steps; t.steps++ {
		if err := t.step(); err != nil {
			return err
		}
	}
	return nil
}

// step lets one thing happen, and then what follows from it.
func (t *trial) step() error {
	if err := t.happen(); err != nil {
		return err
	}
	if err := t.settle(); err != nil {
		return err
	}
	if err := t.e.same(t.w); err != nil {
		return err
	}
	t.count()
	if t.chance(20) {
		if err := t.e.sameWholes(t.w); err != nil {
			return err
		}
	}
	if t.chance(10) { // a new leader
		t.e.sched = schedule.New(t.e.set)
		t.e.sched.Load(t.e.st, t.w.now)
		clear(t.w.waits)
		clear(t.w.first)
		clear(t.w.floor)
		clear(t.w.floorMaybe)
		clear(t.w.asked)
		t.w.notice()
	}
	if t.chance(70) {
		return t.start()
	}
	return nil
}

// settle takes every turn that decides something without slots.
func (t *trial) settle() error {
	t.e.sched.Tick(t.w.now)
	t.w.notice() // before conflicts are decided: the engine queues what is ready for a moment
	for range 1000 {
		turn := &wire.Turn{Opens: t.e.sched.Opens(), DryRuns: t.e.sched.DryRuns(), Missed: t.e.sched.Missed(), Yields: t.e.sched.Yields()}
		if len(turn.Opens)+len(turn.DryRuns)+len(turn.Missed)+len(turn.Yields) == 0 {
			t.w.notice()
			return errors.Join(t.w.undone(), t.w.closed())
		}
		if err := t.turn(turn); err != nil {
			return err
		}
	}
	return errors.New("turns without an end")
}

// start fills the slots, in as many turns as it takes: what fills one may let
// another start that the schedule kept off its node.
func (t *trial) start() error {
	for more := true; more; {
		grants := t.e.sched.Fill(t.e.offers(), 1+t.IntN(20))
		for _, g := range grants {
			r := t.w.at(g.Plan, g.Instance)
			if g.Ahead {
				t.seen["ahead"]++
			}
			if r.weight() > 1 {
				t.seen["heavy"]++
			}
			if len(r.spec().Requires) > 0 {
				t.seen["labelled"]++
			}
			if r.spec().Type == "python" {
				t.seen["typed"]++
			}
		}
		if more = len(grants) > 0; more && t.chance(10) {
			return t.lose(grants)
		}
		if err := t.turn(&wire.Turn{Grants: grants}); err != nil {
			return err
		}
		if err := t.settle(); err != nil {
			return err
		}
	}
	kept, err := t.w.idle()
	if err != nil {
		return err
	}
	t.seen["kept"] += kept
	return t.e.same(t.w)
}

// lose has grants that never reach the log.
func (t *trial) lose(grants []*wire.Grant) error {
	t.note("%d grants are lost", len(grants))
	var plans []uint64
	for _, g := range grants { // patience may have given one of them its slot; they begin to wait anew
		plans = append(plans, g.Plan)
		t.w.floorMaybe[g.ResourceGroup] = t.w.now
		delete(t.w.waits, t.w.at(g.Plan, g.Instance))
	}
	t.e.sched.Reload(t.e.st, plans...)
	return t.settle()
}

// turn makes a turn a fact on both sides.
func (t *trial) turn(turn *wire.Turn) error {
	if len(turn.String()) > 0 {
		t.note("%d: turn %v", t.e.index+1, turn)
	}
	t.begin(turn)
	r := t.e.apply(t.w.now, &wire.Command{Body: &wire.Command_Turn{Turn: turn}})
	if r.Err != nil || len(r.Refused) > 0 {
		return fmt.Errorf("R13.2: the state refuses what the scheduler decided: %s", fmt.Sprint(r.Err, r.Refused))
	}
	t.seen["grant"] += len(turn.Grants)
	t.seen["opened"] += len(turn.Opens)
	t.seen["missed"] += len(turn.Missed)
	t.seen["yielded"] += len(turn.Yields)
	t.seen["dry run"] += len(turn.DryRuns)
	t.seen["lost"] += len(turn.Losses)
	for _, f := range turn.Finishes {
		if f.Outcome == wire.Outcome_SUCCEEDED {
			t.seen["succeeded"]++
		} else {
			t.seen["failed"]++
		}
	}
	before := len(t.w.floor)
	err := t.w.turn(t.e.index, turn)
	t.seen["patience"] += len(t.w.floor) - before
	return err
}

// begin has the first of what waits at an agent start where a slot becomes free.
func (t *trial) begin(turn *wire.Turn) {
	gone := map[*row]bool{}
	for _, f := range turn.Finishes {
		gone[t.w.at(f.Plan, f.Instance)] = true
	}
	for _, l := range turn.Losses {
		gone[t.w.at(l.Plan, l.Instance)] = true
	}
	agents := maps.Clone(t.w.agents)
	for _, a := range turn.Agents {
		agents[a.Id] = a
	}
	type place struct{ agent, group string }
	used := map[place]int{}
	for _, p := range t.w.order {
		for _, r := range p.rows {
			if r.status == running && !r.ahead && !gone[r] {
				used[place{r.agent, r.group}] += r.weight()
			}
		}
	}
	for _, p := range t.w.order {
		for _, r := range p.rows {
			at := place{r.agent, r.group}
			if r.ahead && !gone[r] && used[at] < t.w.capacity(agents[r.agent], r.group) {
				used[at] += r.weight()
				t.seen["started"]++
				turn.Started = append(turn.Started, &wire.Started{Plan: p.id, Instance: r.number, Fence: r.fence})
			}
		}
	}
}

// count notes what keeps rows from starting.
func (t *trial) count() {
	names := map[string]string{gate: "gate", upstream: "upstream", away: "away", later: "retry", early: "due", shut: "window", overlap: "overlap", conflict: "conflict"}
	for _, p := range t.w.order {
		for _, r := range p.rows {
			if o := t.w.obstacles(r); len(o) == 1 && names[o[0].kind] != "" {
				t.seen[names[o[0].kind]]++
			}
		}
	}
}

// happen draws what happens next.
func (t *trial) happen() error {
	switch k := t.IntN(100); {
	case len(t.w.plans) == 0 || len(t.w.plans) < 7 && k < 12:
		if t.chance(t.draw.autos / 2) {
			return t.generate()
		}
		return t.accept()
	case k < 45:
		return t.finish()
	case k < 70:
		return t.pass()
	case k < 88:
		return t.operate()
	case k < 92:
		return t.edit()
	case k < 94:
		return t.applyNodes([]string{t.id()})
	case k < 95 && t.chance(50):
		return t.expire()
	case k < 97:
		return t.agents()
	default:
		return t.settings()
	}
}

// pass lets time pass: a little, a lot, or exactly until something is due.
func (t *trial) pass() error {
	next, ok := t.e.sched.NextMs()
	switch {
	case ok && t.chance(50):
		t.w.pass(next - int64(t.IntN(2)))
	case t.chance(60):
		t.w.pass(t.w.now + t.Int64N(90)*1000)
	default:
		t.w.pass(t.w.now + t.Int64N(20*60)*minute)
	}
	t.note("   now %d", t.w.now)
	return nil
}

func (t *trial) applyNodes(ids []string) error {
	a := &wire.ApplyNodes{}
	for _, id := range ids {
		a.Nodes = append(a.Nodes, t.node(slices.Index(t.ids, id)))
	}
	for _, n := range a.Nodes {
		t.note("   node %v", n)
	}
	r := t.e.apply(t.w.now, &wire.Command{Body: &wire.Command_ApplyNodes{ApplyNodes: a}})
	if r.Err != nil {
		return fmt.Errorf("nodes are refused: %w", r.Err)
	}
	t.w.applyNodes(a)
	return nil
}

func (t *trial) accept() error {
	sub := t.draw.submit(t.w.now)
	t.note("%d: submit %v", t.e.index+1, sub.Request)
	p, want := t.w.submit(t.w.nextID(), sub)
	r := t.e.apply(t.w.now, &wire.Command{Body: &wire.Command_Submit{Submit: sub}})
	if err := agree(r.Err, want, sub.Request); err != nil || want != nil {
		t.seen["refused"]++
		return err
	}
	t.seen["accepted"]++
	p.id = r.Answer.Plan
	t.w.accept(p)
	return t.e.bind(p)
}

func (t *trial) generate() error {
	g := &wire.Generate{Date: t.today - 2 + t.Int32N(4), Zones: t.zones(), ClusterZone: t.cluster, Today: t.today}
	t.note("%d: generate %v", t.e.index+1, utcDay(g.Date).Format("2006-01-02"))
	id := t.w.nextID()
	r := t.e.apply(t.w.now, &wire.Command{Body: &wire.Command_Generate{Generate: g}})
	if r.Err != nil {
		return fmt.Errorf("generate is refused: %w", r.Err)
	}
	p, grown := t.w.generate(id, g)
	if !grown {
		return nil
	}
	t.seen["generated"]++
	if q, ok := t.e.st.AutoPlan(calendarDate(g.Date)); !ok || q.ID != p.id {
		return fmt.Errorf("generate: the schedule has no plan b%d of that date", p.id)
	}
	t.w.accept(p)
	return t.e.bind(p)
}

func (t *trial) operate() error {
	o := t.draw.operate(t.w)
	if o == nil {
		return nil
	}
	t.note("%d: operate %v", t.e.index+1, o)
	r := t.e.apply(t.w.now, &wire.Command{Body: &wire.Command_Operate{Operate: o}})
	want := t.w.operate(o)
	if want != nil {
		t.seen["not operated"]++
	} else {
		t.seen["operated"]++
		t.seen[o.Kind.String()]++
	}
	return agree(r.Err, want, o)
}

func (t *trial) edit() error {
	e := t.draw.edit(t.w)
	if e == nil {
		return nil
	}
	t.note("%d: edit %v", t.e.index+1, e)
	r := t.e.apply(t.w.now, &wire.Command{Body: &wire.Command_EditPlan{EditPlan: e}})
	p, want := t.w.edit(e)
	if err := agree(r.Err, want, e); err != nil || want != nil {
		return err
	}
	t.seen["edited"]++
	return t.e.bind(p)
}

// expire forgets plans in which nothing runs (RULES R10.1), any of them.
func (t *trial) expire() error {
	x := &wire.Expire{}
	for _, p := range t.w.order {
		if t.chance(20) {
			x.Plans = append(x.Plans, p.id)
		}
	}
	if len(x.Plans) == 0 {
		return nil
	}
	t.note("%d: expire %v", t.e.index+1, x)
	r := t.e.apply(t.w.now, &wire.Command{Body: &wire.Command_Expire{Expire: x}})
	want := t.w.expire(x)
	if want == nil {
		t.seen["expired"]++
	}
	return agree(r.Err, want, x)
}

// finish ends some attempts.
func (t *trial) finish() error {
	turn, most := &wire.Turn{}, 1+t.IntN(4)
	for _, p := range t.w.order {
		for _, r := range p.rows {
			if r.status != running || !r.wanted() && t.IntN(3) == 0 || most == 0 {
				continue
			}
			most--
			o := pick(t.draw, wire.Outcome_SUCCEEDED, wire.Outcome_SUCCEEDED, wire.Outcome_SUCCEEDED, wire.Outcome_FAILED, wire.Outcome_TIMED_OUT)
			switch {
			case (r.stopping || r.yielding) && t.chance(70):
				o = wire.Outcome_STOPPED
			case r.ahead && t.chance(80), r.started && t.chance(5): // and some started and ended since they were last heard of
				o = wire.Outcome_RECALLED
				t.seen["recalled"]++
				if r.icing {
					t.seen["recalled to be frozen"]++
				}
			}
			code := pick[int32](t.draw, 1, hopeless, nothingToDo)
			if o == wire.Outcome_FAILED && r.means(code) == wire.ExitCode_SKIP {
				t.seen["nothing to do"]++
			}
			turn.Finishes = append(turn.Finishes, &wire.Finish{Plan: p.id, Instance: r.number, Fence: r.fence, Outcome: o, ExitCode: code, StartedMs: t.w.now - t.takes(r.node), EndedMs: t.w.now})
		}
	}
	return t.turn(turn)
}

// takes is how long an attempt of a node takes: of some too long for any of them
// to be granted ahead.
func (t *trial) takes(node string) int64 {
	if node[len(node)-1]%3 == 0 {
		return 41 + t.Int64N(1000)
	}
	return t.Int64N(41)
}

// agents lets one come or go; the attempts of one that is silent are lost.
func (t *trial) agents() error {
	a := t.agent(pick(t.draw, "x", "y"))
	turn := &wire.Turn{Agents: []*wire.Agent{a}}
	for _, p := range t.w.order {
		for _, r := range p.rows {
			if r.status == running && r.agent == a.Id && a.State == wire.Agent_LOST {
				turn.Losses = append(turn.Losses, &wire.Loss{Plan: p.id, Instance: r.number, Fence: r.fence})
			}
		}
	}
	return t.turn(turn)
}

func (t *trial) settings() error {
	c := &wire.Command{}
	switch t.IntN(3) {
	case 0:
		g := &wire.PutResourceGroup{Name: pick(t.draw, "default", "big"), ReserveForAuto: t.Uint32N(3), BackfillMaxShare: pick[uint32](t.draw, 0, 30, 50)}
		c.Body = &wire.Command_PutResourceGroup{PutResourceGroup: g}
	case 1:
		s := &wire.PutWorkspace{Id: pick(t.draw, "wa", "wb", "wc"), Region: pick(t.draw, "", "east")}
		if t.chance(30) {
			s.AdvancedMode = new(bool)
		}
		c.Body = &wire.Command_PutWorkspace{PutWorkspace: s}
	default:
		c.Body = &wire.Command_PutRegion{PutRegion: &wire.PutRegion{Id: "east", AdvancedMode: t.chance(60)}}
	}
	t.note("%d: put %v", t.e.index+1, c.Body)
	r := t.e.apply(t.w.now, c)
	return agree(r.Err, t.w.put(c), c)
}
