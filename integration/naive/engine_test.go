package naive

import (
	"fmt"
	"slices"

	"backfleet/coordinator/schedule"
	"backfleet/coordinator/state"
	"backfleet/pkg/wire"
)

// engine is the real thing, driven entry by entry.
type engine struct {
	st    *state.State
	sched *schedule.Scheduler
	index uint64
	set   schedule.Settings
}

func newEngine(t terms, now int64) *engine {
	e := &engine{st: state.New(), set: schedule.Settings{PatienceMs: t.patience, Yields: t.yields}}
	e.sched = schedule.New(e.set)
	e.sched.Load(e.st, now)
	return e
}

func (e *engine) apply(now int64, c *wire.Command) state.Result {
	e.index++
	c.NowMs, c.Behaviour, c.Actor = now, state.First, "ann"
	next, r := e.st.Apply(e.index, c)
	e.st = next
	e.sched.Observe(next, r.Changes, now)
	return r
}

// bind gives a plan's rows the engine's numbers.
func (e *engine) bind(p *program) error {
	q, ok := e.st.Plan(p.id)
	if !ok {
		return fmt.Errorf("R13.1: b%d is not there", p.id)
	}
	return bind(q.Plan, p)
}

// same compares everything that is shown of every row.
func (e *engine) same(w *world) error {
	for _, p := range w.order {
		q, ok := e.st.Plan(p.id)
		if !ok {
			return fmt.Errorf("R10: b%d is gone", p.id)
		}
		var counts state.Counts
		for _, r := range p.rows {
			if err := e.sameRow(w, q, r); err != nil {
				return err
			}
			counts[q.Status(r.number)]++
		}
		if total := q.Total(); total != counts {
			return fmt.Errorf("R13.6: b%d counts %v, and has %v", p.id, total, counts)
		}
		if q.Paused != p.paused || q.Stopped != p.stopped || q.Halted != p.halted {
			return fmt.Errorf("R9: b%d is paused, stopped, halted: %v %v %v, by the rules %v %v %v", p.id, q.Paused, q.Stopped, q.Halted, p.paused, p.stopped, p.halted)
		}
	}
	return nil
}

// sameWholes compares what is shown and counted of dates, nodes and plans.
func (e *engine) sameWholes(w *world) error {
	moving, exact := w.moving(false), true
	for r := range moving {
		exact = exact && r.status.good()
	}
	for _, p := range w.order {
		q, _ := e.st.Plan(p.id)
		if got, want := shownNames[schedule.Plan(e.st, q, w.now)], w.together(p.rows, moving, exact); !slices.Contains(want, got) {
			return fmt.Errorf("R8: b%d is shown as %s, by the rules as %v: %s", p.id, got, want, lines(w, p.rows))
		}
		for pos, date := range q.Dates {
			var rows []*row
			var counts state.Counts
			for _, r := range p.rows {
				if r.date == int32(date) {
					rows = append(rows, r)
					counts[statuses[r.status]]++
				}
			}
			if got := q.DateCounts(pos); got != counts {
				return fmt.Errorf("R13.6: %s of b%d counts %v, and has %v", date, p.id, got, counts)
			}
			if got, want := shownNames[schedule.Date(e.st, q, pos, w.now)], w.together(rows, moving, exact); len(rows) > 0 && !slices.Contains(want, got) {
				return fmt.Errorf("R8: %s of b%d is shown as %s, by the rules as %v: %s", date, p.id, got, want, lines(w, rows))
			}
		}
		for n := range q.Nodes {
			var counts state.Counts
			for _, r := range p.byNode[q.Nodes[n].Spec.Id] {
				counts[statuses[r.status]]++
			}
			if got := q.NodeCounts(n); got != counts {
				return fmt.Errorf("R13.6: node %s of b%d counts %v, and has %v", q.Nodes[n].Spec.Id, p.id, got, counts)
			}
		}
	}
	return nil
}

var shownNames = map[schedule.Shown]string{
	schedule.NotRunning: "Not Running", schedule.WaitingTime: "Waiting time", schedule.Running: "Running",
	schedule.Succeeded: "Succeeded", schedule.RunFailed: "Run failed", schedule.Freeze: "Freeze",
}

var statuses = map[status]state.Status{
	pending: state.Pending, again: state.Again, retrying: state.Retrying, running: state.Running, succeeded: state.Succeeded, dried: state.DryRun,
	forgiven: state.SetToSuccess, failed: state.Failed, halt: state.Stopped, frozen: state.Frozen, missed: state.Missed,
}

func (e *engine) sameRow(w *world, q *state.Plan, r *row) error {
	at, _ := q.Locate(r.number)
	if got, want := q.Status(r.number), statuses[r.status]; got != want {
		return fmt.Errorf("R8: %s has status %d, by the rules %s (%d)", r, got, r.status, want)
	}
	if got, want := q.Dry(at), r.dry(); got != wire.DryRun_DRY_RUN_NONE && !slices.Contains(want, got) || got == wire.DryRun_DRY_RUN_NONE && len(want) > 0 {
		return fmt.Errorf("R6: %s is a dry run because of %v, by the rules %v", r, got, want)
	}
	if got, want := q.DueMs(at), r.due(); got != want {
		return fmt.Errorf("R3.3: %s is due at %d, by the rules at %d", r, got, want)
	}
	if got, want := q.PriorityOf(at), r.urgency(); got != want {
		return fmt.Errorf("R7.2: %s has priority %d, by the rules %d", r, got, want)
	}
	shown, b := schedule.Instance(e.st, q, at, w.now)
	if want := w.shown(r); !slices.Contains(want, shownNames[shown]) {
		return fmt.Errorf("R8: %s is shown as %s (%+v), by the rules as %v: %s", r, shownNames[shown], b, want, told(w.obstacles(r)))
	}
	if o := w.obstacles(r); (b.Kind == schedule.Nothing) != (len(o) == 0) {
		return fmt.Errorf("R5.1: what keeps %s is %+v, by the rules %s", r, b, told(o))
	}
	if err := e.sameLease(q, r); err != nil {
		return err
	}
	if got, want := q.Yields(r.number), r.yields; got != want {
		return fmt.Errorf("R5.6: %s has yielded %d times, by the rules %d", r, got, want)
	}
	return nil
}

// sameLease compares what is known of a row's attempt.
func (e *engine) sameLease(q *state.Plan, r *row) error {
	l, live := e.st.Lease(q.ID, r.number)
	if live != (r.status == running) {
		return fmt.Errorf("R13.2: %s has a lease: %v, by the rules it is %s", r, live, r.status)
	}
	if !live {
		return nil
	}
	got := [...]bool{l.Ahead, l.Started, l.Recalled, l.Freezing, l.Stopping, l.Yielding}
	if want := [...]bool{r.ahead, r.started, r.recalled, r.icing, r.stopping, r.yielding}; got != want {
		return fmt.Errorf("R9: the lease of %s is ahead, started, recalled, freezing, stopping, yielding: %v, by the rules %v", r, got, want)
	}
	return nil
}

// told is obstacles in words.
func told(list []obstacle) string {
	if len(list) == 0 {
		return "nothing"
	}
	out := ""
	for _, o := range list {
		out += fmt.Sprint(o.kind, o.on, "; ")
	}
	return out
}

// offers is what agents could take: free slots, and some work ahead where all
// are taken or about to be.
func (e *engine) offers() *schedule.Offers {
	out := schedule.NewOffers()
	e.st.Agents(func(a *state.Agent) {
		for i, g := range a.Groups {
			*out.Use(g.Group) = e.st.GroupUse(g.Group)
			room := min(a.Room(g.Group), 5-int(a.Ahead[i]))
			out.Set(g.Group, schedule.Offer{
				Agent: a.Id, Slots: int(g.Slots), Free: max(0, a.Free(g.Group)-int(a.Ahead[i])), Ahead: room, AheadMs: 40 * room, Labels: a.Labels,
			})
		}
	})
	return out
}

// lines tells what keeps each of some rows.
func lines(w *world, rows []*row) (out string) {
	for _, r := range rows {
		out += fmt.Sprintf("\n%s: %s", r, told(w.obstacles(r)))
	}
	return out
}
