package cycle

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"backfleet/coordinator/state"
	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// world is facts, and a log that applies at once.
type world struct {
	t        testing.TB
	mu       sync.Mutex
	st       *state.State
	index    uint64
	clock    func() time.Time
	commands []*wire.Command // of the loop
	refuse   func(*wire.Command) error
}

func newWorld(t testing.TB, clock func() time.Time) *world {
	return &world{t: t, st: state.New(), clock: clock}
}

func (w *world) state() *state.State {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.st
}

// Propose implements Log.
func (w *world) Propose(_ context.Context, c *wire.Command) (uint64, *state.Result, error) {
	if w.refuse != nil {
		if err := w.refuse(c); err != nil {
			return 0, nil, err
		}
	}
	w.commands = append(w.commands, c)
	return w.write(c)
}

func (w *world) write(c *wire.Command) (uint64, *state.Result, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.index++
	c.NowMs, c.Behaviour = w.clock().UnixMilli(), state.First
	next, r := w.st.Apply(w.index, c)
	w.st = next
	return w.index, &r, r.Err
}

func (w *world) must(c *wire.Command) *wire.Answer {
	w.t.Helper()
	_, r, err := w.write(c)
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Answer
}

func (w *world) apply(nodes ...*wire.Node) {
	w.t.Helper()
	w.must(&wire.Command{Body: &wire.Command_ApplyNodes{ApplyNodes: &wire.ApplyNodes{Nodes: nodes}}})
}

// turn applies what a dispatcher would have decided.
func (w *world) turn(t *wire.Turn) {
	w.t.Helper()
	w.must(&wire.Command{Body: &wire.Command_Turn{Turn: t}})
}

// due lists all that is due, generating each.
func (w *world) due(set Settings) (dates []string) {
	w.t.Helper()
	for {
		c, err := View(w.st, set, w.clock())
		if err != nil {
			w.t.Fatal(err)
		}
		d, ok := c.Due(func(calendar.Date) bool { return false })
		if !ok {
			return dates
		}
		if dates = append(dates, d.String()[5:]); len(dates) > 100 {
			w.t.Fatal("there is no end of dates", dates)
		}
		g, err := c.Generate(d)
		if err != nil {
			w.t.Fatal(err)
		}
		w.must(&wire.Command{Body: &wire.Command_Generate{Generate: g}})
	}
}

func daily(id, at, zone string) *wire.Node {
	clock, err := calendar.ParseClock(at)
	if err != nil {
		panic(err)
	}
	return &wire.Node{Id: id, Code: "true", Auto: true, Schedule: &wire.Schedule{Kind: wire.Schedule_DAILY, At: int32(clock), Zone: zone}}
}

func hourly(id, zone string) *wire.Node {
	return &wire.Node{Id: id, Code: "true", Auto: true, Schedule: &wire.Schedule{
		Kind: wire.Schedule_HOURLY, From: 0, To: 23 * 3600, Every: 60, Zone: zone,
	}}
}

func moment(text string) time.Time {
	t, err := time.Parse("2006-01-02 15:04", text)
	if err != nil {
		panic(err)
	}
	return t
}

func date(t testing.TB, text string) calendar.Date {
	t.Helper()
	d, err := calendar.ParseDate(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestR1_DatesAreGeneratedAheadAtTheSetHour(t *testing.T) {
	for _, c := range []struct {
		name, zone string
		at         time.Duration
		node       *wire.Node
		before     string // nothing new is due then
		then       string // and then the date is
		want       string
	}{
		{"at 22:00 of D", "UTC", 22 * time.Hour, daily("a", "02:00", ""), "2026-03-10 21:59", "2026-03-10 22:00", "03-10"},
		{"at another hour", "UTC", 6 * time.Hour, daily("a", "02:00", ""), "2026-03-10 05:59", "2026-03-10 06:00", "03-10"},
		{"of the cluster's zone", "Asia/Shanghai", 22 * time.Hour, daily("a", "02:00", ""), "2026-03-10 13:59", "2026-03-10 14:00", "03-10"},
		{"an hour before a T that is earlier", "UTC", 23*time.Hour + 30*time.Minute, daily("a", "00:10", ""), "2026-03-10 23:09", "2026-03-10 23:10", "03-10"},
		{"in a zone ahead, in its summer", "UTC", 22 * time.Hour, daily("a", "00:00", "Pacific/Auckland"), "2026-03-10 09:59", "2026-03-10 10:00", "03-10"},
		{"in a zone ahead, in its winter", "UTC", 22 * time.Hour, daily("a", "00:00", "Pacific/Auckland"), "2026-07-10 10:59", "2026-07-10 11:00", "07-10"},
		{"a day ahead", "Pacific/Pago_Pago", 22 * time.Hour, daily("a", "00:00", "Pacific/Kiritimati"), "2026-03-10 08:59", "2026-03-10 09:00", "03-10"},
		{"in a zone behind, no earlier", "UTC", 22 * time.Hour, daily("a", "00:00", "America/Los_Angeles"), "2026-03-10 21:59", "2026-03-10 22:00", "03-10"},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := moment(c.before).AddDate(0, 0, -3)
			w := newWorld(t, func() time.Time { return now })
			set := Settings{GenerateAt: c.at, CatchUp: 7 * 24 * time.Hour, Zone: c.zone}
			w.apply(c.node)
			w.due(set)
			now = moment(c.before)
			w.due(set)
			view, err := View(w.st, set, now)
			if err != nil {
				t.Fatal(err)
			}
			if next, ok := view.Next(); !ok || !next.Equal(moment(c.then)) {
				t.Errorf("the next is due at %v, want %s", next, c.then)
			}
			if got := w.due(set); len(got) > 0 {
				t.Errorf("due before its time: %v", got)
			}
			now = moment(c.then)
			if got := w.due(set); fmt.Sprint(got) != "["+c.want+"]" {
				t.Errorf("due %v, want %s", got, c.want)
			}
		})
	}
}

func TestR1_MissedDatesAreGeneratedAsFarBackAsIsSet(t *testing.T) {
	for _, c := range []struct {
		out     time.Duration
		catchUp time.Duration
		want    string
	}{
		{0, 7 * 24 * time.Hour, "[]"},
		{24 * time.Hour, 7 * 24 * time.Hour, "[03-10]"},
		{5 * 24 * time.Hour, 7 * 24 * time.Hour, "[03-10 03-11 03-12 03-13 03-14]"},
		{31 * 24 * time.Hour, 7 * 24 * time.Hour, "[04-02 04-03 04-04 04-05 04-06 04-07 04-08 04-09]"},
		{31 * 24 * time.Hour, 36 * time.Hour, "[04-08 04-09]"}, // scheduled on the 9th and later
		{31 * 24 * time.Hour, 0, "[04-09]"},                    // whose T are today
		{400 * 24 * time.Hour, 0, "[04-13]"},
	} {
		now := moment("2026-03-10 12:00")
		w := newWorld(t, func() time.Time { return now })
		set := Settings{GenerateAt: 22 * time.Hour, CatchUp: c.catchUp}
		w.apply(daily("a", "02:00", ""))
		w.due(set)
		now = now.Add(c.out)
		if got := fmt.Sprint(w.due(set)); got != c.want {
			t.Errorf("after %v, catching up %v: %s, want %s", c.out, c.catchUp, got, c.want)
		}
	}
}

func TestR1_WhatIsSwitchedOnRunsTheSameDay(t *testing.T) {
	now := moment("2026-03-10 22:30")
	w := newWorld(t, func() time.Time { return now })
	w.apply(&wire.Node{Id: "off", Code: "true"})
	if got := w.due(Defaults); len(got) > 0 {
		t.Fatalf("nothing is switched on, but %v are due", got)
	}
	w.apply(daily("a", "23:00", ""))
	if got := fmt.Sprint(w.due(Defaults)); got != "[03-09 03-10]" {
		t.Fatalf("due %s, want the day that runs and the next", got)
	}
	// Another one, late: the dates that there are get it at once.
	now = moment("2026-03-10 22:45")
	w.apply(hourly("b", ""), daily("c", "01:00", "Pacific/Auckland"))
	if got := fmt.Sprint(w.due(Defaults)); got != "[03-09 03-10]" {
		t.Fatalf("due %s, want both dates again", got)
	}
	p, _ := w.st.AutoPlan(date(t, "2026-03-09"))
	pos, _ := p.Position(date(t, "2026-03-09"))
	n, ok := p.NodeIndex("b")
	if !ok {
		t.Fatal("the node that was switched on is not in the day's plan")
	}
	from, to := p.NodeRange(pos, n)
	var dry []string
	for i := from; i < to; i++ {
		at, _ := p.Locate(i)
		dry = append(dry, p.Dry(at).String())
	}
	if len(dry) != 24 || dry[23] != "DRY_RUN_NONE" || dry[22] != "BEFORE_SWITCHED_ON" || dry[0] != "BEFORE_SWITCHED_ON" {
		t.Errorf("of the running day's cycles %v, want the last alone to run", dry)
	}
	// Changed, it is not due again; switched off and on, neither: it is there.
	changed := hourly("b", "")
	changed.Code = "false"
	w.apply(changed)
	off := hourly("b", "")
	off.Auto = false
	w.apply(off)
	w.apply(hourly("b", ""))
	if got := w.due(Defaults); len(got) > 0 {
		t.Errorf("due %v after changes", got)
	}
	// One that is switched on after a long while does not bring its past back.
	now = moment("2026-03-20 12:00")
	w.due(Defaults)
	w.apply(daily("d", "23:00", ""))
	if got := fmt.Sprint(w.due(Defaults)); got != "[03-19 03-20]" {
		t.Errorf("due %s, want the running day and what there is ahead", got)
	}
}

func TestR10_1_ForgottenDatesDoNotComeBack(t *testing.T) {
	now := moment("2026-03-10 12:00")
	w := newWorld(t, func() time.Time { return now })
	set := Settings{GenerateAt: 22 * time.Hour, CatchUp: 7 * 24 * time.Hour, KeepInstances: 24 * time.Hour}
	w.apply(daily("a", "02:00", ""))
	w.due(set)
	for range 5 {
		now = now.Add(24 * time.Hour)
		w.due(set)
	}
	d := date(t, "2026-03-11")
	p, _ := w.st.AutoPlan(d)
	w.must(&wire.Command{Body: &wire.Command_Expire{Expire: &wire.Expire{Plans: []uint64{p.ID}}}})
	if got := w.due(set); len(got) > 0 {
		t.Errorf("due %v: a date whose plan is forgotten", got)
	}
}

func TestR1_5_WeeksOfTheScheduleOverDaylightSaving(t *testing.T) {
	for _, begin := range []string{"2026-03-10 09:00", "2026-10-10 09:00"} { // Berlin and Auckland change in both
		t.Run(begin, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(moment(begin))) //nolint:forbidigo // virtual
				w := newWorld(t, time.Now)
				w.apply(hourly("h", "Europe/Berlin"), daily("d", "02:30", "Europe/Berlin"), daily("w", "00:00", "Pacific/Auckland"))
				var told []calendar.Date
				var at []time.Time
				l := New(Config{
					Settings: Defaults, Log: w, State: w.state, Changed: make(chan struct{}),
					Generated: func(d calendar.Date, _ uint64) { told, at = append(told, d), append(at, time.Now()) },
				})
				ctx, cancel := context.WithTimeout(t.Context(), 30*24*time.Hour)
				defer cancel()
				l.Lead(ctx)
				first := calendar.DateOf(moment(begin).Date()) - 1
				if len(told) != 31 || len(w.commands) != 31 {
					t.Fatalf("%d dates by %d commands in 30 days", len(told), len(w.commands))
				}
				auckland, _ := time.LoadLocation("Pacific/Auckland")
				for i, d := range told {
					if d != first+calendar.Date(i) {
						t.Fatalf("generated %v: out of order or twice", told[:i+1])
					}
					y, m, day := d.YMD()
					earliest := time.Date(y, m, day+1, 0, 0, 0, 0, auckland)
					if i > 0 && !at[i].Equal(earliest.Add(-lead)) {
						t.Errorf("%s generated at %v, want an hour before %v", d, at[i], earliest.UTC())
					}
				}
			})
		})
	}
}

func TestR1_5_TheDaysOfTheChangeHaveTheirCycles(t *testing.T) {
	for d, want := range map[string]uint64{"2026-03-27": 25, "2026-03-28": 24, "2026-10-23": 25, "2026-10-24": 25} {
		now := moment(d + " 22:30")
		w := newWorld(t, func() time.Time { return now })
		w.apply(hourly("h", "Europe/Berlin"), daily("d", "02:30", "Europe/Berlin"))
		w.due(Defaults)
		p, ok := w.st.AutoPlan(date(t, d))
		if !ok || p.Size() != want {
			t.Errorf("%s: %v, want %d instances", d, p, want)
		}
	}
}

func TestTheLoopLooksWhenNodesChangeAndWhenSomethingIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, time.Now) // midnight
		changed := make(chan struct{}, 1)
		var down atomic.Bool
		w.refuse = func(*wire.Command) error {
			if down.Load() {
				return fault.New(fault.Unavailable, "no leader")
			}
			return nil
		}
		l := New(Config{Settings: Defaults, Log: w, State: w.state, Changed: changed})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { l.Lead(ctx); close(done) }()
		synctest.Wait()
		if len(w.commands) > 0 {
			t.Fatalf("nothing is switched on, but %v", w.commands)
		}
		w.apply(daily("a", "02:00", ""))
		changed <- struct{}{}
		synctest.Wait()
		if len(w.commands) != 1 {
			t.Fatalf("%d commands after a node was switched on, want one at once", len(w.commands))
		}
		down.Store(true)
		time.Sleep(22*time.Hour + time.Second) //nolint:forbidigo // virtual
		synctest.Wait()
		if len(w.commands) != 1 {
			t.Fatal("a command went through while there was no leader")
		}
		down.Store(false)
		time.Sleep(retryAfter) //nolint:forbidigo // virtual
		synctest.Wait()
		if len(w.commands) != 2 {
			t.Fatalf("%d commands a minute after the leader was back, want 2", len(w.commands))
		}
		cancel()
		<-done
	})
}

func TestARefusedDateDoesNotHoldUpTheOthers(t *testing.T) {
	now := moment("2026-03-10 12:00")
	w := newWorld(t, func() time.Time { return now })
	w.apply(daily("a", "02:00", ""))
	w.due(Defaults)
	now = now.AddDate(0, 0, 3)
	bad := date(t, "2026-03-11")
	w.refuse = func(c *wire.Command) error {
		if calendar.Date(c.GetGenerate().GetDate()) == bad {
			return fault.New(fault.Conflict, "a circle")
		}
		return nil
	}
	l := New(Config{Settings: Defaults, Log: w, State: w.state, Now: func() time.Time { return now }})
	next, err := l.generate(t.Context(), now)
	if err != nil || next != now.Add(retryAfter) {
		t.Fatalf("next look %v, %v; want in a minute", next, err)
	}
	var got []string
	for _, c := range w.commands {
		got = append(got, calendar.Date(c.GetGenerate().Date).String()[5:])
	}
	if fmt.Sprint(got) != "[03-10 03-12]" {
		t.Fatalf("generated %v, want the two others", got)
	}
	if _, err := l.generate(t.Context(), now.Add(time.Second)); err != nil || len(w.commands) != 2 {
		t.Fatal("tried again before its time")
	}
	w.refuse = nil
	// The log has gone past it: what was refused is not lost.
	if _, err := l.generate(t.Context(), now.Add(2*retryAfter)); err != nil || len(w.commands) != 3 {
		t.Fatalf("%d commands (%v), want the refused date at last", len(w.commands), err)
	}
}

func TestUnknownZonesAreNamed(t *testing.T) {
	w := newWorld(t, func() time.Time { return moment("2026-03-10 12:00") })
	w.apply(daily("a", "02:00", "Europe/Berlin"))
	set := Defaults
	set.LoadZone = func(name string) (*time.Location, error) {
		if name == "UTC" {
			return time.UTC, nil
		}
		return nil, fmt.Errorf("not found")
	}
	if _, err := View(w.st, set, w.clock()); err == nil || !strings.Contains(err.Error(), "Europe/Berlin") {
		t.Errorf("got %v", err)
	}
}

// backfill submits one of a node over the days before today.
func (w *world) backfill(root string, days int, change func(*wire.Request)) uint64 {
	w.t.Helper()
	today := calendar.DateOf(w.clock().Date())
	r := &wire.Request{Mode: wire.Request_CURRENT, Root: root, Groups: 1, Dates: []*wire.DateRange{{From: int32(today) - int32(days), To: int32(today) - 1}}}
	if change != nil {
		change(r)
	}
	zones, err := plan.Zones(r, w.st.Graph(), "UTC", today, time.LoadLocation)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.must(&wire.Command{Actor: "ann", Body: &wire.Command_Submit{Submit: &wire.Submit{Request: r, Zones: zones, Today: int32(today), ClusterZone: "UTC"}}}).Plan
}

// run runs an instance to an end.
func (w *world) run(id, instance uint64, o wire.Outcome) {
	w.t.Helper()
	w.turn(&wire.Turn{Grants: []*wire.Grant{{Plan: id, Instance: instance, Agent: "x", ResourceGroup: "default"}}})
	w.turn(&wire.Turn{Finishes: []*wire.Finish{{Plan: id, Instance: instance, Fence: w.index, Outcome: o}}})
}

// forgotten gives what one pass over the plans would forget.
func (w *world) forgotten(set Settings) (ids []uint64) {
	e := NewExpiry(w.st, set, w.clock())
	for more := true; more; {
		var some []uint64
		some, more = e.Round(w.st)
		ids = append(ids, some...)
	}
	return ids
}

func TestR10_1_PlansGoThirtyDaysAfterTheirLastChangeWhenTheyAreQuiet(t *testing.T) {
	now := moment("2026-03-10 12:00")
	w := newWorld(t, func() time.Time { return now })
	w.apply(&wire.Node{Id: "a", Code: "true"}, &wire.Node{Id: "b", Code: "true"})
	w.turn(&wire.Turn{Agents: []*wire.Agent{{Id: "x", Incarnation: "1", State: wire.Agent_READY, Groups: []*wire.GroupSlots{{Group: "default", Slots: 9}}}}})
	finished := w.backfill("a", 1, nil)
	w.run(finished, 0, wire.Outcome_SUCCEEDED)
	failed := w.backfill("b", 2, nil) // its first date fails and holds the second
	w.run(failed, 0, wire.Outcome_FAILED)
	waiting := w.backfill("a", 1, nil) // could start at any moment
	paused := w.backfill("b", 1, nil)
	w.must(operate(wire.Operate_PAUSE, paused))
	later := w.backfill("a", 1, func(r *wire.Request) { r.NotBeforeMs = now.AddDate(0, 2, 0).UnixMilli() })
	frozen := w.backfill("a", 1, func(r *wire.Request) { r.Dates = []*wire.DateRange{{From: 10_000, To: 10_000}} })
	w.must(operate(wire.Operate_FREEZE, frozen))

	begin := now
	now = begin.Add(30*24*time.Hour - time.Second)
	if got := w.forgotten(Settings{}); len(got) > 0 {
		t.Errorf("forgotten before their time: %v", got)
	}
	now = begin.Add(30 * 24 * time.Hour)
	want := []uint64{finished, failed, paused, frozen}
	if got := w.forgotten(Settings{}); !slices.Equal(got, want) {
		t.Errorf("forgotten %v, want %v, and not %d, which waits, nor %d, which is due later", got, want, waiting, later)
	}
	if got := w.forgotten(Settings{KeepInstances: 31 * 24 * time.Hour}); len(got) > 0 {
		t.Errorf("with 31 days: %v", got)
	}
	// Any operation restarts the count.
	w.must(operate(wire.Operate_RESUME, paused))
	w.must(operate(wire.Operate_PAUSE, paused))
	if got := w.forgotten(Settings{}); !slices.Equal(got, []uint64{finished, failed, frozen}) {
		t.Errorf("after an operation on one: %v", got)
	}
	w.must(&wire.Command{Body: &wire.Command_Expire{Expire: &wire.Expire{Plans: []uint64{finished, failed, frozen}}}})
	if _, ok := w.st.Plan(finished); ok {
		t.Error("a forgotten plan is still there")
	}
}

func operate(k wire.Operate_Kind, id uint64) *wire.Command {
	return &wire.Command{Actor: "ann", Body: &wire.Command_Operate{Operate: &wire.Operate{Kind: k, Targets: []*wire.Target{{Plan: id}}}}}
}

// TestR10_1_WhatChangesDuringAPassIsKept: by the round that looks at it, and by
// the command that was made before.
func TestR10_1_WhatChangesDuringAPassIsKept(t *testing.T) {
	now := moment("2026-03-10 12:00")
	w := newWorld(t, func() time.Time { return now })
	w.apply(&wire.Node{Id: "a", Code: "true"})
	early, late, rest := w.backfill("a", 1, nil), w.backfill("a", 2, nil), w.backfill("a", 3, nil)
	for _, id := range []uint64{early, late, rest} {
		w.must(operate(wire.Operate_PAUSE, id))
	}
	now = now.Add(31 * 24 * time.Hour)
	e := NewExpiry(w.st, Defaults, now)
	w.must(operate(wire.Operate_PAUSE, early))
	ids, _ := e.Round(w.st)
	if !slices.Equal(ids, []uint64{late, rest}) {
		t.Fatalf("a pass forgets %v, expected %v", ids, []uint64{late, rest})
	}
	w.must(operate(wire.Operate_PAUSE, late))
	c := &wire.Command{NowMs: now.UnixMilli(), Body: &wire.Command_Expire{Expire: e.Forget(ids)}}
	if _, r := w.st.Apply(w.index+1, c); fault.CodeOf(r.Err) != fault.Conflict {
		t.Errorf("what was paused a moment ago is forgotten: %v", r.Err)
	}
}

func TestR10_1_ManyPlansAreForgottenInRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, time.Now)
		w.apply(&wire.Node{Id: "a", Code: "true"})
		for range maxExpired*2 + 5 {
			w.must(operate(wire.Operate_PAUSE, w.backfill("a", 1, nil)))
		}
		forgotten := 0
		l := New(Config{
			Settings: Defaults, Log: w, State: w.state, Changed: make(chan struct{}),
			Expired: func(n int) { forgotten += n },
		})
		ctx, cancel := context.WithTimeout(t.Context(), 31*24*time.Hour)
		defer cancel()
		l.Lead(ctx)
		left := 0
		w.st.Plans(0, func(*state.Plan) bool { left++; return true })
		if left > 0 || forgotten != maxExpired*2+5 || len(w.commands) != 3 {
			t.Errorf("%d plans left, %d forgotten by %d commands", left, forgotten, len(w.commands))
		}
	})
}

// TestR10_1_PlansKeptForMinutesGoInMinutes: passes lie closer together the
// shorter plans are kept.
func TestR10_1_PlansKeptForMinutesGoInMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, time.Now)
		w.apply(&wire.Node{Id: "a", Code: "true"})
		w.must(operate(wire.Operate_PAUSE, w.backfill("a", 1, nil)))
		var at []time.Duration
		begin := time.Now()
		l := New(Config{
			Settings: Settings{KeepInstances: 10 * time.Minute}, Log: w, State: w.state, Changed: make(chan struct{}),
			Expired: func(int) { at = append(at, time.Since(begin)) },
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		time.AfterFunc(7*time.Minute, func() { w.must(operate(wire.Operate_PAUSE, w.backfill("a", 1, nil))) })
		l.Lead(ctx)
		if len(at) != 2 || at[0] > 12*time.Minute || at[1] < 17*time.Minute || at[1] > 19*time.Minute {
			t.Errorf("forgotten after %v, want the first after 10 minutes and the second after 17, at most 2 later", at)
		}
	})
}
