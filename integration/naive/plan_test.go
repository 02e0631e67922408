package naive

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"testing"

	"backfleet/pkg/calendar"
	"backfleet/pkg/node"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

var (
	nSeeds  = flag.Uint64("naive.seeds", seedsByDefault, "how many logs to try")
	first   = flag.Uint64("naive.first", 1, "the first of their seeds")
	oneSeed = flag.Uint64("naive.seed", 0, "try this seed only, and tell every entry")
	nSteps  = flag.Int("naive.steps", 60, "how many steps each log has")
)

// TestR1_5_PlansAndRulesAgree: for random nodes and requests, and the schedule's
// dates, plans and the naive rules agree on which instances there are, when they
// are due, why they are dry runs, how urgent they are and what each waits for.
func TestR1_5_PlansAndRulesAgree(t *testing.T) {
	seen, bad := tally{}, 0
	for seed := *first; seed < *first+4**nSeeds && bad < 5; seed++ {
		if *oneSeed != 0 {
			seed = *oneSeed
		}
		if err := comparePlans(seed, seen); err != nil {
			bad++
			t.Errorf("seed %d: %v\nreproduce with: go test ./integration/naive -run PlansAndRulesAgree -naive.seed %d", seed, err, seed)
		}
		if *oneSeed != 0 {
			return
		}
	}
	t.Log(seen)
	for _, what := range []string{"accepted", "refused", "schedule", "edited", "not edited", "waits", "abroad", "gates"} {
		if seen[what] < int(*nSeeds)/20 && bad == 0 {
			t.Errorf("only %d times %q: these plans test too little", seen[what], what)
		}
	}
}

// tally is what took place, so that a test of nothing is noticed.
type tally map[string]int

func comparePlans(seed uint64, seen tally) error {
	clear(known)
	d, now := newDraw(seed)
	w := newWorld(terms{})
	w.pass(now)
	graph, err := d.graph(w, d.ids)
	if err != nil {
		return err
	}
	for range 3 {
		if graph, err = compareBackfill(d, w, graph, seen); err != nil {
			return err
		}
	}
	return compareSchedule(d, w, graph, seen)
}

// graph draws nodes anew.
func (d *draw) graph(w *world, ids []string) (*node.Graph, error) {
	a := &wire.ApplyNodes{}
	for _, id := range ids {
		a.Nodes = append(a.Nodes, d.node(slices.Index(d.ids, id)))
	}
	w.applyNodes(a)
	change, err := node.Apply(nil, slices.Collect(maps.Values(w.nodes)), nil)
	if err != nil {
		return nil, err
	}
	return change.Graph, nil
}

func scope(w *world, restricted bool, workspaces []string) node.Scope {
	s := node.Scope{Restricted: restricted, Allowed: map[string]bool{}, Workspace: func(id string) node.Workspace {
		return node.Workspace{Region: w.region(id), Advanced: w.advanced(id)}
	}}
	for _, id := range workspaces {
		s.Allowed[id] = true
	}
	return s
}

func version(string) uint64 { return 1 }

func compareBackfill(d *draw, w *world, graph *node.Graph, seen tally) (*node.Graph, error) {
	sub := d.submit(w.now)
	p, want := w.submit(1, sub)
	got, err := plan.Build(plan.Input{
		ID: 1, NowMs: w.now, Today: calendar.Date(sub.Today), ClusterZone: sub.ClusterZone, Zones: sub.Zones, Request: sub.Request,
		Graph: graph, Version: version, Scope: scope(w, sub.Restricted, sub.Workspaces),
	})
	if err := agree(err, want, sub.Request); err != nil || want != nil {
		seen["refused"]++
		return graph, err
	}
	seen["accepted"]++
	if err := comparePlan(got, p, w, seen); err != nil {
		return graph, fmt.Errorf("%w: %v", err, sub.Request)
	}
	w.accept(p)
	defer func() { w.plans, w.order = map[uint64]*program{}, nil }()
	for range 3 {
		if d.chance(30) {
			if graph, err = d.graph(w, []string{d.id()}); err != nil {
				return graph, err
			}
		}
		w.pass(w.now + d.Int64N(3*24*60)*minute)
		e := d.edit(w)
		if e == nil {
			return graph, nil
		}
		changed, want := w.edit(e)
		next, _, err := got.Edit(e, plan.EditInput{NowMs: w.now, Graph: graph, Version: version, Scope: scope(w, false, nil)})
		if err := agree(err, want, e); err != nil {
			return graph, fmt.Errorf("%w: %v", err, sub.Request)
		}
		if want != nil {
			seen["not edited"]++
			continue
		}
		seen["edited"]++
		got, p = next, changed
		if err := comparePlan(got, p, w, seen); err != nil {
			return graph, fmt.Errorf("after %v: %w: %v", e, err, sub.Request)
		}
	}
	return graph, nil
}

func compareSchedule(d *draw, w *world, graph *node.Graph, seen tally) error {
	date := d.today - 2 + d.Int32N(4)
	var got *plan.Plan
	for range 2 {
		in := plan.AutoInput{
			ID: 2, NowMs: w.now, Today: calendar.Date(d.today), Date: calendar.Date(date), ClusterZone: d.cluster, Zones: d.zones(), Graph: graph, Version: version,
			SinceMs: func(id string) int64 { return w.since[id] },
		}
		p, grown := w.generate(2, &wire.Generate{Date: date, ClusterZone: d.cluster})
		var err error
		if got == nil {
			got, err = plan.BuildAuto(in)
		} else {
			got, _, err = got.Extend(in)
		}
		switch {
		case err != nil:
			return err
		case got == nil && grown:
			return fmt.Errorf("R1: the schedule has no plan of %s, by the rules %d instances", utcDay(date), len(p.rows))
		case got == nil:
			return nil
		}
		seen["schedule"]++
		w.accept(p)
		if err := comparePlan(got, p, w, seen); err != nil {
			return err
		}
		w.pass(w.now + d.Int64N(24*60)*minute)
		if graph, err = d.graph(w, []string{d.id(), d.id()}[:1]); err != nil {
			return err
		}
	}
	return nil
}

func comparePlan(q *plan.Plan, p *program, w *world, seen tally) error {
	if err := bind(q, p); err != nil {
		return err
	}
	group := p.group()
	for _, r := range p.rows {
		at, _ := q.Locate(r.number)
		if got, want := q.Dry(at), r.dry(); got != wire.DryRun_DRY_RUN_NONE && !slices.Contains(want, got) || got == wire.DryRun_DRY_RUN_NONE && len(want) > 0 {
			return fmt.Errorf("R6: %s is a dry run because of %v, by the rules %v", r, got, want)
		}
		if got, want := q.FrozenNode(at.Node), r.p.keepsFrozen(r.node); got != want {
			return fmt.Errorf("R6: %s is frozen: %v, by the rules %v", r, got, want)
		}
		if got, want := q.DueMs(at), r.due(); got != want {
			return fmt.Errorf("R3.3: %s is due at %d, by the rules at %d", r, got, want)
		}
		if got, want := q.Priority(at), r.urgency(); got != want {
			return fmt.Errorf("R7.2: %s has priority %d, by the rules %d", r, got, want)
		}
		if got, want := q.ResourceGroup(at.Node), r.resourceGroup(); got != want {
			return fmt.Errorf("R7.4: %s is in group %s, by the rules in %s", r, got, want)
		}
		if err := compareWaits(q, at, r, group, seen); err != nil {
			return err
		}
	}
	for ms := w.now; ms < w.now+9*24*60*minute; ms += 37*minute + 11_000 {
		if opens := q.WindowOpens(ms); (opens == ms) != p.open(ms) || !p.open(opens) {
			return fmt.Errorf("R3.4: at %d the period %v opens at %d; open by the rules: then %v, now %v", ms, p.req.Period, opens, p.open(opens), p.open(ms))
		}
	}
	return nil
}

// compareWaits holds what an instance waits for against the rules: in the plan,
// outside it, and behind its gate.
func compareWaits(q *plan.Plan, at plan.Place, r *row, group map[int32]int, seen tally) error {
	own, outside := r.p.needs(r, group)
	want, got := map[uint64]bool{}, map[uint64]bool{}
	for _, o := range own {
		want[o.number] = true
	}
	q.Upstreams(at, func(_ int, from, to uint64) bool {
		for i := from; i < to; i++ {
			got[i] = true
		}
		return true
	})
	if !maps.Equal(got, want) {
		return fmt.Errorf("R5.2, R5.3: %s waits for %v, by the rules for %v", r, slices.Sorted(maps.Keys(got)), own)
	}
	away, needed := map[need]bool{}, map[need]bool{}
	for _, n := range outside {
		needed[n] = true
	}
	q.Abroad(at, func(n plan.Need) bool {
		away[need{day{n.Node, int32(n.Date)}, n.Unix}] = true
		return n.Schedule == r.p.auto
	})
	if !maps.Equal(away, needed) {
		return fmt.Errorf("R5.3, R5.5: %s waits outside its plan for %v, by the rules for %v", r, away, needed)
	}
	gates, behind := map[uint64]bool{}, map[uint64]bool{}
	for _, o := range r.p.behind(r, group) {
		behind[o.number] = true
	}
	if from, to, before := q.Gate(at); from < to {
		list := [][2]uint64{{from, to}}
		if r.p.req.Gate == wire.Request_DAY {
			list = nil
			for from, to := range q.Ranges(before) {
				list = append(list, [2]uint64{from, to})
			}
		}
		for _, x := range list {
			for i := x[0]; i < x[1]; i++ {
				gates[i] = true
			}
		}
	}
	if !maps.Equal(gates, behind) {
		return fmt.Errorf("R4.3: the gate of %s is %v, by the rules %v", r, slices.Sorted(maps.Keys(gates)), slices.Sorted(maps.Keys(behind)))
	}
	for _, o := range own {
		if o.date == r.date && o.block == r.block && o.unix <= r.unix && o.node != r.node && o.number > r.number && !r.previously(o) {
			return fmt.Errorf("R7.3: %s comes before %s, which it waits for", r, o)
		}
	}
	seen["waits"] += len(want)
	seen["abroad"] += len(away)
	seen["gates"] += len(gates)
	return nil
}

// bind gives a plan's rows the engine's numbers, and says which instances only
// one of the two has.
func bind(q *plan.Plan, p *program) error {
	if q.Size() != uint64(len(p.rows)) {
		return fmt.Errorf("R2, R3: b%d has %d instances, by the rules %d", p.id, q.Size(), len(p.rows))
	}
	var dates []int32
	for _, d := range q.Dates {
		dates = append(dates, int32(d))
	}
	if !slices.Equal(dates, p.dates()) {
		return fmt.Errorf("R3.1: b%d has the dates %v, by the rules %v", p.id, dates, p.dates())
	}
	for i := range q.Size() {
		at, _ := q.Locate(i)
		id, date, unix := q.Nodes[at.Node].Spec.Id, int32(q.Dates[at.Pos]), q.Cycle(at).Unix
		r := p.find(id, date, unix)
		switch {
		case r == nil:
			return fmt.Errorf("R1, R2: b%d.%d (%s %s T%d) is no instance by the rules", p.id, i, id, utcDay(date).Format("2006-01-02"), unix)
		case r.number != i && r.number != unnumbered:
			return fmt.Errorf("R1.6: %s has the number %d as well", r, i)
		}
		r.number = i
	}
	group := p.group()
	for _, r := range p.rows {
		if r.number == unnumbered {
			return fmt.Errorf("R1, R2: b%d has no %s", p.id, r)
		}
		at, _ := q.Locate(r.number)
		if g := q.Group(at.Pos); g != group[r.date] {
			return fmt.Errorf("R4.2: %s is in group %d, by the rules in %d", r, g, group[r.date])
		}
	}
	return nil
}

// unnumbered is the number of a row that is not bound yet.
const unnumbered = 1<<64 - 1

// agree holds an answer against the rules'.
func agree(engine, rules error, what any) error {
	if (engine == nil) != (rules == nil) {
		return errors.New(fmt.Sprint("the engine says ", engine, ", the rules say ", rules, ": ", what))
	}
	return nil
}
