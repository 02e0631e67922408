package sim

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"backfleet/coordinator/schedule"
	"backfleet/coordinator/state"
	"backfleet/pkg/calendar"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// busy is a fleet of three coordinators and two agents with two slots each, in
// which attempts take as long as is said, streams break and leaders change.
func busy(o Options, work func(*state.Plan) time.Duration) *world {
	o.Drift = 1e-6 // clocks are set right from outside: within the hour they would be minutes apart
	w := newWorld(o)
	w.work, w.model.off = work, true
	w.cycle.KeepInstances = 24 * time.Hour
	w.log = newReplicas(w, 3)
	w.client = &client{w: w, calmed: true, held: map[uint64]hold{}}
	for i := range 2 {
		h := newHost(w, i)
		h.slots = []*wire.GroupSlots{{Group: "default", Slots: 2}}
		w.hosts = append(w.hosts, h)
	}
	w.recur(1, 4*time.Minute, 6*time.Minute, w.log.transfer)
	w.recur(1, time.Minute, 5*time.Minute, func() { pick(w, w.hosts).breakStream() })
	return w
}

func always(d time.Duration) func(*state.Plan) time.Duration {
	return func(*state.Plan) time.Duration { return d }
}

// everyMinute is a node that occurs each minute.
func everyMinute(id string, priority int32, auto bool) *wire.Node {
	return &wire.Node{
		Id: id, Type: "shell", Code: "true", Baseline: fmt.Sprint("b", priority), Priority: priority, ResourceGroup: "default", Auto: auto,
		Schedule: &wire.Schedule{Kind: wire.Schedule_MINUTELY, To: 86340, Every: 1},
	}
}

func (w *world) ask(commands ...*wire.Command) {
	if len(commands) > 0 {
		w.client.request(commands[0], func(r state.Result, _ uint64) {
			if r.Err != nil {
				w.violated("setup", "%v", r.Err)
			}
			w.ask(commands[1:]...)
		})
	}
}

func nodes(all ...*wire.Node) *wire.Command {
	return &wire.Command{Body: &wire.Command_ApplyNodes{ApplyNodes: &wire.ApplyNodes{Nodes: all}}}
}

// backfill is of dates up to the day before yesterday.
func backfill(w *world, node string, dates int) *wire.Command {
	last := int32(w.client.today()) - 2
	zone := plan.WireZone(calendar.UTC())
	return &wire.Command{Body: &wire.Command_Submit{Submit: &wire.Submit{
		Request: &wire.Request{
			Mode: wire.Request_CURRENT, Root: node, Name: node, Gate: wire.Request_NONE, Groups: 1,
			Dates: []*wire.DateRange{{From: last - int32(dates) + 1, To: last}},
		},
		Today: last + 2, ClusterZone: "UTC", Zones: []*wire.Zone{zone},
	}}}
}

func group(reserve uint32) *wire.Command {
	return &wire.Command{Body: &wire.Command_PutResourceGroup{PutResourceGroup: &wire.PutResourceGroup{Name: "default", ReserveForAuto: reserve}}}
}

// waited is the longest time from when an auto instance is due to its start, of
// those due between two moments; one that has not started has waited until now.
func (w *world) waited(from, to time.Duration) (longest time.Duration, seen int) {
	st := w.log.truth()
	p, _ := st.AutoPlan(w.client.today() - 1)
	for i := range p.Size() {
		at, _ := p.Locate(i)
		due := time.Unix(p.Cycle(at).Unix, 0)
		if due.Before(w.epoch.Add(from)) || due.After(w.epoch.Add(to)) {
			continue
		}
		seen++
		start := w.epoch.Add(w.now)
		if all := st.Attempts(p, i); len(all) > 0 {
			start = time.UnixMilli(all[0].GrantedMs)
		} else if l, ok := st.Lease(p.ID, i); ok {
			start = time.UnixMilli(l.GrantedMs)
		}
		longest = max(longest, start.Sub(due))
	}
	return longest, seen
}

// TestR7_5_AMillionInstancesDelayNoAutoInstance: where a slot is reserved, one
// instance of the schedule each minute starts within the length of a running
// one, whatever a backfill of a million more urgent instances does, and over
// changes of the leader. Without a reserve it does not start at all.
func TestR7_5_AMillionInstancesDelayNoAutoInstance(t *testing.T) {
	const length = 20 * time.Second
	run := func(t *testing.T, reserve uint32) (longest time.Duration, seen int, backfills uint64) {
		synctest.Test(t, func(t *testing.T) {
			w := busy(Options{Seed: 75, Wait: time.Sleep}, always(length))
			w.ask(nodes(everyMinute("auto", 1, true), everyMinute("big", 8, false)), group(reserve), backfill(w, "big", 700))
			w.live(40 * time.Minute)
			if w.report.Err != nil {
				t.Fatal(w.report.Err)
			}
			longest, seen = w.waited(2*time.Minute, 39*time.Minute)
			w.log.truth().Plans(0, func(p *state.Plan) bool {
				if !p.Auto {
					if p.Size() < 1_000_000 {
						t.Errorf("the backfill has %d instances", p.Size())
					}
					c := p.Total()
					backfills = c.Success()
				}
				return true
			})
		})
		return longest, seen, backfills
	}
	longest, seen, backfills := run(t, 1)
	t.Logf("%d instances of the schedule waited %s at most; %d of the backfill succeeded", seen, longest, backfills)
	const slack = 6 * time.Second // clocks, and changes of the leader
	if longest > length+slack || seen < 30 || backfills < 200 {
		t.Errorf("expected at most %s, and work for both", length)
	}
	if longest, _, _ := run(t, 0); longest < 10*length {
		t.Errorf("without a reserve the schedule waited %s at most: this test shows nothing", longest)
	}
}

// TestR7_5_ABusyScheduleStopsNoBackfill: six urgent nodes of the schedule ask
// for more than all slots, and a backfill of the lowest priority goes on, one
// instance at a time. Without patience it does not.
func TestR7_5_ABusyScheduleStopsNoBackfill(t *testing.T) {
	const length, patience = 50 * time.Second, time.Minute
	run := func(t *testing.T, patience time.Duration) (longest time.Duration, done uint64) {
		synctest.Test(t, func(t *testing.T) {
			o := Options{Seed: 57, Wait: time.Sleep, Schedule: schedule.Settings{PatienceMs: patience.Milliseconds()}}
			w := busy(o, always(length))
			all := []*wire.Node{everyMinute("low", 1, false)}
			for i := range 6 {
				all = append(all, everyMinute(fmt.Sprint("auto", i), 8, true))
			}
			w.ask(nodes(all...))
			w.at(5*time.Minute, func() { w.ask(backfill(w, "low", 10)) }) // by then all slots are taken
			w.live(60 * time.Minute)
			if w.report.Err != nil {
				t.Fatal(w.report.Err)
			}
			longest, done = w.gaps("low", 5*time.Minute)
		})
		return longest, done
	}
	longest, done := run(t, patience)
	t.Logf("%d instances of the backfill started, %s apart at most", done, longest)
	// A new leader counts anew, and a slot becomes free when an instance ends.
	const slack = 10 * time.Second
	if longest > 2*patience+length+slack || done < 25 {
		t.Errorf("expected a start every %s, or %s when the leader changes", patience+length, 2*patience+length)
	}
	if longest, _ := run(t, 24*time.Hour); longest < 20*time.Minute {
		t.Errorf("without patience the backfill waited %s at most: this test shows nothing", longest)
	}
}

// gaps is the longest time in which nothing of a backfill started.
func (w *world) gaps(name string, from time.Duration) (longest time.Duration, starts uint64) {
	st, last := w.log.truth(), w.epoch.Add(from)
	st.Plans(0, func(p *state.Plan) bool {
		if p.Name != name {
			return true
		}
		var all []int64
		for i := range p.Size() {
			for _, a := range st.Attempts(p, i) {
				all = append(all, a.GrantedMs)
			}
			if l, ok := st.Lease(p.ID, i); ok {
				all = append(all, l.GrantedMs)
			}
		}
		starts = uint64(len(all))
		slices.Sort(all)
		for _, ms := range all {
			longest = max(longest, time.UnixMilli(ms).Sub(last))
			last = time.UnixMilli(ms)
		}
		return true
	})
	return max(longest, w.epoch.Add(w.now).Sub(last)), starts
}

// TestR5_6_YieldsThreeTimesThenGoesOn: each minute an auto instance of the node
// becomes ready, and a backfill of it needs longer than that. Each of its
// attempts makes way three times, which uses none of its retries, and is then
// waited for.
func TestR5_6_YieldsThreeTimesThenGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const length = 100 * time.Second
		w := busy(Options{Seed: 56, Wait: time.Sleep}, func(p *state.Plan) time.Duration {
			if p.Auto {
				return 5 * time.Second
			}
			return length
		})
		n := everyMinute("n", 5, true)
		n.Schedule.To = 40 * 60
		w.ask(nodes(n), backfill(w, "n", 1))
		w.live(70 * time.Minute)
		if w.report.Err != nil {
			t.Fatal(w.report.Err)
		}
		thrice := 0
		st := w.log.truth()
		st.Plans(0, func(p *state.Plan) bool {
			if c := p.Total(); c.Success() != p.Size() {
				t.Errorf("%s has not succeeded: %v", p.Name, c)
			}
			for i := range p.Size() {
				count := map[wire.Outcome]int{}
				for _, a := range st.Attempts(p, i) {
					count[a.Outcome]++
				}
				yields := count[wire.Outcome_YIELDED]
				if p.Auto && yields > 0 || yields > 3 || count[wire.Outcome_FAILED]+count[wire.Outcome_STOPPED]+count[wire.Outcome_TIMED_OUT] > 0 {
					t.Errorf("%s: instance %d ended %v", p.Name, i, count)
				}
				if yields == 3 {
					thrice++
				}
			}
			return true
		})
		longest, seen := w.waited(2*time.Minute, 40*time.Minute)
		t.Logf("%d instances of the backfill made way three times; %d of the schedule waited %s at most", thrice, seen, longest)
		if thrice == 0 || longest > length+10*time.Second || longest < length/2 {
			t.Errorf("expected some that make way three times, and are then waited for")
		}
	})
}
