package naive

import (
	"fmt"
	"math"
	"slices"

	"backfleet/pkg/wire"
)

// A turn of the dispatcher: what took place, and what it decided. Decisions are
// held against the rules one by one, and then against what it left undone.

// turn gives the first decision that no rule allows.
func (w *world) turn(index uint64, t *wire.Turn) error {
	defer w.touch()
	w.touch()
	for _, a := range t.Agents {
		w.agents[a.Id] = a
	}
	for _, f := range t.Finishes {
		if r := w.at(f.Plan, f.Instance); r != nil && r.status == running && r.fence == f.Fence {
			w.finish(r, f.Outcome, f.ExitCode)
		}
	}
	for _, l := range t.Losses {
		if r := w.at(l.Plan, l.Instance); r != nil && r.status == running && r.fence == l.Fence {
			w.finish(r, wire.Outcome_LOST, 0)
		}
	}
	for _, s := range t.Started {
		if r := w.at(s.Plan, s.Instance); r != nil && r.ahead && r.fence == s.Fence {
			r.start()
		}
	}
	for _, step := range []func(uint64, *wire.Turn) error{w.opens, w.dryRuns, w.misses, w.yieldsOf, w.grants} {
		if err := step(index, t); err != nil {
			return err
		}
		w.touch()
	}
	return nil
}

func (w *world) at(plan, number uint64) *row {
	if p := w.plans[plan]; p != nil {
		for _, r := range p.rows {
			if r.number == number {
				return r
			}
		}
	}
	return nil
}

func (w *world) opens(_ uint64, t *wire.Turn) error {
	if len(t.Opens) == 0 {
		return nil
	}
	moving, strictly := w.moving(false), w.moving(true)
	for _, o := range t.Opens {
		p := w.plans[o.Plan]
		date := p.dates()[o.Position]
		circle := !slices.ContainsFunc(p.rows, func(r *row) bool { return has(w.obstacles(r), gate) && p.mayOpen(r.date, moving) })
		switch {
		case p.req.OnFailure != wire.Request_CONTINUE:
			return fmt.Errorf("R4.5: date %s of b%d is opened, and on failure it holds", utcDay(date).Format("2006-01-02"), p.id)
		case !p.mayOpen(date, moving) && !(circle && p.mayOpen(date, strictly)):
			return fmt.Errorf("R4.5: date %s of b%d is opened before the one before it is quiet: %s", utcDay(date).Format("2006-01-02"), p.id, w.stirring(p, date, moving))
		}
	}
	for _, o := range t.Opens {
		p := w.plans[o.Plan]
		p.opened[p.dates()[o.Position]] = true
	}
	return nil
}

func (w *world) dryRuns(_ uint64, t *wire.Turn) error {
	for _, d := range t.DryRuns {
		for _, i := range d.Instances {
			r := w.at(d.Plan, i)
			if r.status == dried {
				continue // said twice
			}
			if o := w.obstacles(r); !r.isDry() || len(o) > 0 {
				return fmt.Errorf("R6: %s succeeds as a dry run: dry %v, in the way %s", r, r.dry(), told(o))
			}
			r.status, r.forced = dried, false
			w.touch()
		}
	}
	return nil
}

func (w *world) misses(_ uint64, t *wire.Turn) error {
	for _, m := range t.Missed {
		for _, i := range m.Instances {
			r := w.at(m.Plan, i)
			if r.status == missed {
				continue // said twice
			}
			if !w.couldStart(r) {
				return fmt.Errorf("R9: %s could not have started: %s", r, told(w.obstacles(r)))
			}
			r.status = missed
			w.touch()
		}
	}
	return nil
}

func (w *world) yieldsOf(_ uint64, t *wire.Turn) error {
	for _, y := range t.Yields {
		r, a := w.at(y.Plan, y.Instance), w.at(y.ToPlan, y.ToInstance)
		must := w.yielding()
		if must[r] == nil || a == nil || !a.p.auto || a.node != r.node || !w.ready(a) {
			return fmt.Errorf("R5.6: %s yields to %s without cause: %s", r, a, told(w.obstacles(a)))
		}
		r.yielding = true
		w.touch()
	}
	return nil
}

// grants holds each grant against what may start at that moment, and against
// what else could.
func (w *world) grants(index uint64, t *wire.Turn) error {
	given := map[string]map[*program]int{} // by level: grants in this turn
	waited := map[*row]bool{}
	for _, r := range w.candidates() {
		waited[r] = true
	}
	for _, g := range t.Grants {
		r := w.at(g.Plan, g.Instance)
		if r == nil {
			return fmt.Errorf("a grant for b%d.%d, which is not there", g.Plan, g.Instance)
		}
		if err := w.lawful(index, r, g); err != nil {
			return err
		}
		patient, err := w.inTurn(r, given, waited)
		if err != nil {
			return err
		}
		level := r.level()
		if given[level] == nil {
			given[level] = map[*program]int{}
		}
		if !patient {
			given[level][r.p]++
		}
		r.status, r.fence, r.agent, r.group, r.ahead = running, index, g.Agent, g.ResourceGroup, g.Ahead
		if !r.plain() {
			w.asked[r.ask()] = w.now
		}
		w.touch()
	}
	return nil
}

// lawful says whether a row may be granted at all.
func (w *world) lawful(index uint64, r *row, g *wire.Grant) error {
	a := w.agents[g.Agent]
	o := slices.DeleteFunc(slices.Clone(w.obstacles(r)), func(o obstacle) bool {
		return o.kind == away && !slices.ContainsFunc(o.on, func(u *row) bool { return u.status != running || u.fence != index }) // side by side
	})
	switch {
	case len(o) > 0 || r.isDry():
		return fmt.Errorf("R5.1: %s is granted: dry %v, in the way %s", r, r.dry(), told(o))
	case g.ResourceGroup != r.resourceGroup():
		return fmt.Errorf("R7.4: %s is granted in group %s, not %s", r, g.ResourceGroup, r.resourceGroup())
	case a == nil || !r.mayRunAt(a):
		return fmt.Errorf("R7.7: %s is granted to %s, which has not its labels", r, g.Agent)
	case g.Ahead && (w.capacity(a, g.ResourceGroup) == 0 || !r.p.below()):
		return fmt.Errorf("R4.8: %s is granted ahead to %s above a cap, or there are no slots", r, g.Agent)
	case g.Ahead && !r.plain():
		return fmt.Errorf("R9: %s is granted ahead, and asks for more than one slot anywhere", r)
	case g.Ahead:
	case w.capacity(a, g.ResourceGroup)-w.uses(g.ResourceGroup, g.Agent, false) < r.weight():
		return fmt.Errorf("R7.8: %s is granted to %s, which has not %d slots", r, g.Agent, r.weight())
	case !w.roomy(r):
		return fmt.Errorf("R4.8, R7.5: %s is granted above a cap", r)
	}
	return nil
}

// level names those among whom the fair turn decides.
func (r *row) level() string { return fmt.Sprint(r.resourceGroup(), " ", r.urgency(), " ", r.p.auto) }

// candidates are the rows that lack nothing but a slot.
func (w *world) candidates() (out []*row) {
	for _, p := range w.order {
		for _, r := range p.rows {
			if r.status.waits() && !r.isDry() && len(w.obstacles(r)) == 0 {
				out = append(out, r)
			}
		}
	}
	return out
}

// inTurn says whether it is a row's turn, or nobody's because it has waited too
// long (RULES R7.3, R7.5).
func (w *world) inTurn(r *row, given map[string]map[*program]int, waited map[*row]bool) (patient bool, err error) {
	g := r.resourceGroup()
	var rivals []*row
	for _, o := range w.candidates() {
		if o.resourceGroup() == g && o != r && waited[o] && w.roomy(o) && !w.excused(o) { // a grant of this turn may have freed others
			rivals = append(rivals, o)
		}
	}
	if o := w.patient(append(rivals, r), w.waits); o != nil && w.now-w.floorMaybe[g] >= w.terms.patience && w.known(r) > w.waits[o] {
		return false, fmt.Errorf("R7.5: %s starts, and %s has waited longest", r, o)
	}
	if w.patient([]*row{r}, w.first) != nil && w.now-w.floor[g] >= w.terms.patience {
		w.floorMaybe[g] = w.now
		defer func() {
			if err != nil {
				w.floor[g], patient, err = w.now, true, nil
			}
		}()
	}
	for _, o := range rivals {
		switch {
		case o.urgency() > r.urgency():
			return false, fmt.Errorf("R7.3: %s (priority %d) starts before %s (%d)", r, r.urgency(), o, o.urgency())
		case o.urgency() < r.urgency():
		case o.p.auto && !r.p.auto:
			return false, fmt.Errorf("R7.3: %s starts before the schedule's %s", r, o)
		case o.p.auto != r.p.auto:
		case o.p == r.p && (o.due() < r.due() || o.due() == r.due() && o.number < r.number):
			return false, fmt.Errorf("R7.3: %s (due %d) starts before %s (due %d)", r, r.due(), o, o.due())
		case o.p != r.p && given[r.level()][r.p] > given[r.level()][o.p]+1:
			return false, fmt.Errorf("R7.3: %s starts, and it is the turn of b%d", r, o.p.id)
		}
	}
	return false, nil
}

// patient is the backfill row that has waited longest, if it has waited long
// (RULES R7.5).
func (w *world) patient(rows []*row, waits map[*row]int64) (oldest *row) {
	for _, r := range rows {
		since, is := waits[r]
		if !r.p.auto && is && w.now-since >= w.terms.patience && (oldest == nil || since < waits[oldest]) {
			oldest = r
		}
	}
	return oldest
}

// known is since when a backfill row may count as waiting.
func (w *world) known(r *row) int64 {
	if since, is := w.first[r]; is && !r.p.auto {
		return since
	}
	return math.MaxInt64
}

// notice keeps account of since when rows wait for nothing but a slot, and since
// when they first did: the engine may not notice that one was held in between.
func (w *world) notice() {
	ready := map[*row]bool{}
	for _, r := range w.candidates() {
		ready[r] = true
		if _, known := w.asked[r.ask()]; !known && !r.plain() {
			w.asked[r.ask()] = w.now
		}
		if _, known := w.waits[r]; !known {
			w.waits[r] = w.now
		}
		if _, known := w.first[r]; !known {
			w.first[r] = w.now
		}
	}
	for r := range w.waits {
		if !ready[r] {
			delete(w.waits, r)
		}
	}
	for r := range w.first {
		if !r.status.waits() {
			delete(w.first, r)
		}
	}
}

// undone is what the rules ask for now and no turn has done, slots aside.
func (w *world) undone() error {
	for _, p := range w.order {
		for _, r := range p.rows {
			switch {
			case r.status.waits() && r.isDry() && len(w.obstacles(r)) == 0:
				return fmt.Errorf("R6: dry run %s may succeed and does not", r)
			case w.couldStart(r):
				return fmt.Errorf("R9: %s could start if it were not frozen, and is not marked", r)
			}
		}
	}
	return nil
}

// idle is a slot that stays empty and that some row could use, now or when a
// backfill makes way. Where backfills may not have all slots, what waits at
// agents may count as having one. It counts the rows for which that is so because
// an agent may be kept for others.
func (w *world) idle() (kept int, err error) {
	for _, r := range w.candidates() {
		g := r.resourceGroup()
		share := w.share(g)
		switch {
		case !w.roomy(r) || !r.p.auto && share < w.slots(g) && w.uses(g, "", true)+w.held(g)+r.weight() > share:
		case w.excused(r):
			kept++
		default:
			return 0, fmt.Errorf("R5.1: %s may start and does not", r)
		}
	}
	for b, a := range w.yielding() {
		return 0, fmt.Errorf("R5.6: %s does not yield to %s", b, a)
	}
	return kept, nil
}

// excused says whether a row may be denied its slots because they are kept for
// others: what asks for more has waited for a long time, maybe, and all agents
// that have room for the row could hold that; or backfills would have too little
// left for it (RULES R7.9).
func (w *world) excused(r *row) bool {
	g := r.resourceGroup()
	var long []*row // one of each that asks for something else
	for _, p := range w.order {
		for _, x := range p.rows {
			if x.plain() || !x.status.waits() || x.isDry() || x.resourceGroup() != g || x.ask() == r.ask() {
				continue
			}
			if since, known := w.asked[x.ask()]; known && w.now-since >= w.terms.patience {
				long = append(long, x)
			}
		}
	}
	spare := false // an agent that is kept for nobody
	for id, a := range w.agents {
		could := slices.ContainsFunc(long, func(x *row) bool { return x.mayRunAt(a) && w.capacity(a, g) >= x.weight() })
		spare = spare || w.fits(r, id) && !could
	}
	short := slices.ContainsFunc(long, func(x *row) bool {
		return !r.p.auto && !x.p.auto && x.weight() <= w.share(g) && w.uses(g, "", true)+r.weight()+x.weight() > w.share(g)
	})
	return !spare || short
}

// held counts the slots for which rows wait at an agent of a group.
func (w *world) held(group string) (n int) {
	for _, p := range w.order {
		for _, r := range p.rows {
			if r.ahead && r.group == group {
				n += r.weight()
			}
		}
	}
	return n
}

// closed says whether dates stay closed although nothing moves any more (RULES
// R4.5).
func (w *world) closed() error {
	moving := w.moving(false)
	for r := range moving {
		if !r.status.good() {
			return nil
		}
	}
	for _, p := range w.order {
		if p.req.OnFailure != wire.Request_CONTINUE || p.paused || p.stopped || p.halted {
			continue
		}
		for _, r := range p.rows {
			o := w.obstacles(r)
			if r.status.waits() && has(o, gate) && p.mayOpen(r.date, moving) {
				return fmt.Errorf("R4.5: %s waits for its gate, and the date before it is quiet: %s", r, stuck(w, o))
			}
		}
	}
	return nil
}

// stirring tells what moves on the date before one.
func (w *world) stirring(p *program, date int32, moving map[*row]bool) (out string) {
	for _, r := range p.rows {
		for _, o := range p.waits(r).behind {
			if r.date == date && moving[o] && !o.status.good() {
				out += fmt.Sprint(o, ": ", told(w.obstacles(o)))
			}
		}
	}
	return out
}

// stuck tells what keeps the rows that others wait for.
func stuck(w *world, list []obstacle) (out string) {
	for _, o := range list {
		for _, r := range o.on {
			out += fmt.Sprint(r, ": ", told(w.obstacles(r)))
		}
	}
	return out
}
