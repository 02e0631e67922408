// Package sim runs a whole fleet in one goroutine and in virtual time: the
// coordinators' state machines, the leader's dispatcher and the agents'
// session cores are the real ones; the log's consensus, the network, the
// keepers and their processes are models that fail in every way that the rules
// allow for. A run is a function of its seed. See DESIGN.md.
package sim

import (
	"container/heap"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/fnv"
	"math/rand/v2"
	"time"

	agenda "backfleet/coordinator/cycle"
	"backfleet/coordinator/dispatch"
	"backfleet/coordinator/schedule"
	"backfleet/coordinator/state"
	"backfleet/integration/history"
)

// Options of a run. The zero value, completed, is a run as the tests make it.
type Options struct {
	Seed  uint64
	Terms dispatch.Terms // default: dispatch.DefaultTerms
	// Drift bounds how much faster or slower than true time a clock may run;
	// default 0.04. Two clocks then differ by less than margin/lease.
	Drift float64
	// Wait moves the caller's own clock on, so that one which looks at it by
	// mistake sees virtual time; nil: there is none.
	Wait func(time.Duration)
	// Note is given every event; nil: none is told.
	Note func(line string)
	// Break is a mutation of the system under test. A run with one must find
	// a violation, sooner or later.
	Break Break
	// Schedule is the scheduler's settings; default: its own.
	Schedule schedule.Settings
	// Record is given the run's history, as clients and processes saw it; nil:
	// none is recorded.
	Record func(*history.History)
	// Blind lets a run go on for two minutes after a violation, and not tell of
	// it: its history is to show what was wrong.
	Blind bool
	// Days makes the run a season: so many days, in which everything but the
	// network takes longer. 0: twelve minutes.
	Days int
	// Crowd makes those twelve minutes dense: agents with many slots, backfills
	// of many dates, mostly of nodes that take milliseconds.
	Crowd bool
}

// Break is one way to break a promise on purpose.
type Break uint8

const (
	// Sound breaks nothing.
	Sound Break = iota
	// Unverified lets a leader send what must wait for Verify at once.
	Unverified
	// AnyFence takes a result of an instance's former attempt for the live one's.
	AnyFence
	// NoDeadline lets keepers forget the ends of leases.
	NoDeadline
	// Eager adds grants that no scheduler gave.
	Eager
	// LostEntry lets a restarted coordinator miss an entry.
	LostEntry
	// NewKeys lets clients repeat a request under a new idempotency key.
	NewKeys
	// Deaf lets a dispatcher miss what others write to the log.
	Deaf
	// Hurried lets clients be told of a pause or a stop before it is committed.
	Hurried
	// Rude adds grants of what the schedule keeps from starting.
	Rude
	// Skipping lets the schedule leave out dates.
	Skipping
	// Hasty lets plans be forgotten in half their time.
	Hasty
	// Keeping lets no plan be forgotten.
	Keeping
	// Holding lets keepers ignore that work is wanted back.
	Holding
	// Reviving lets keepers start what they have given back.
	Reviving
	// Greedy lets a leader grant ahead without bound.
	Greedy
	// Trusting lets a leader take every machine for the one it knows.
	Trusting
)

// Sizes of a run, in virtual time; a season's by the day and its slowness.
const (
	faultsEnd = 6 * time.Minute  // then everything is repaired
	restAfter = 12 * time.Minute // no due time and no retry lies later
	quietFor  = 45 * time.Second // without an entry: the fleet is at rest
	patience  = 3 * time.Hour    // a fleet that is not at rest then never will be
	slowness  = 120              // of a season
)

// world is one run.
type world struct {
	Options
	rnd    *rand.Rand
	now    time.Duration // true time
	events eventHeap
	seq    uint64
	trace  hash.Hash64
	report Report
	calm   bool           // faults are over
	side   map[string]int // of the network's cut, by host; all 0: none

	log    *replicas
	hosts  []*host
	model  *model
	client *client
	table  *processTable
	pipes  []*pipe
	// witness is nil unless somebody wants the history.
	witness *witness

	epoch time.Time                       // true time 0
	work  func(*state.Plan) time.Duration // how long an attempt takes; nil: it is drawn
	slow  time.Duration                   // by how much everything but the network takes longer
	cycle agenda.Settings
	keep  time.Duration // of plans
	zones map[string]*time.Location
}

// Run lives through one seed.
func Run(o Options) Report {
	w := newWorld(o)
	w.log = newReplicas(w, []int{1, 3, 3, 3, 5}[w.rnd.IntN(5)])
	for i := range 1 + w.rnd.IntN(3) {
		w.hosts = append(w.hosts, newHost(w, i))
	}
	if w.oneIn(4) {
		w.hosts = append(w.hosts, newImpostor(pick(w, w.hosts)))
		w.report.Faults[impostor]++
	}
	w.client = newClient(w)
	if o.Record != nil {
		w.witness = newWitness(w)
		defer func() { o.Record(w.witness.end()) }()
	}
	w.plague()
	faults, rest := w.ends()
	w.at(faults, func() {
		w.repair()
		if w.Days > 0 {
			w.client.retire()
		}
	})
	w.at(rest, w.rest)
	if w.Days > 0 {
		w.hourly()
	}
	w.live(0)
	for _, p := range w.model.order {
		w.report.Instances += len(p.keys)
	}
	w.report.Trace = hex.EncodeToString(w.trace.Sum(nil))
	w.report.Took = w.now
	return w.report
}

// newWorld makes a world in which nobody is yet.
func newWorld(o Options) *world {
	w := &world{
		Options: o, rnd: rand.New(rand.NewPCG(o.Seed, 0x5eed)), trace: fnv.New64a(), side: map[string]int{}, slow: 1,
		zones: map[string]*time.Location{},
		// 00:02: some of the cycles of yesterday's data are still to come.
		epoch: time.Date(2021, 8, 24, 0, 2, 0, 0, time.UTC),
	}
	if o.Days > 0 {
		w.season()
	} else {
		w.cycle = agenda.Defaults
		w.cycle.Zone = "UTC"
		w.keep = w.cycle.KeepInstances
		if w.oneIn(4) {
			w.keep = w.between(3*time.Minute, 8*time.Minute)
		}
	}
	w.cycle.KeepInstances = w.keep
	if w.Drift == 0 {
		w.Drift = 0.04
	}
	w.Terms.Complete()
	w.table = newProcessTable(w)
	w.model = newModel(w)
	return w
}

// season makes the run one of months. A lease lasts half an hour, an attempt
// minutes or hours: leases are renewed and faults strike as often as days have
// work, so that months pass in seconds. Clocks are set right from outside, or
// they would be days apart at the end.
func (w *world) season() {
	w.epoch = time.Date(2021, 10, 25, 15, 2, 0, 0, time.UTC)
	w.slow = slowness
	w.Drift = 1e-7
	w.Terms = dispatch.Terms{Lease: 15 * time.Second * slowness, Grace: 10 * time.Second}
	w.cycle = agenda.Defaults
	w.cycle.KeepAgents = 12 * time.Hour
	w.cycle.Zone = pick(w, []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"})
	w.keep = w.cycle.KeepInstances
}

// zone finds a time zone; empty: the cluster's.
func (w *world) zone(name string) *time.Location {
	if name == "" {
		name = w.cycle.Zone
	}
	if w.zones[name] == nil {
		loc, err := time.LoadLocation(name)
		if err != nil {
			panic(err)
		}
		w.zones[name] = loc
	}
	return w.zones[name]
}

// ends is when faults end, and when the fleet may be at rest.
func (w *world) ends() (faults, rest time.Duration) {
	if w.Days == 0 {
		return faultsEnd, restAfter
	}
	end := time.Duration(w.Days) * 24 * time.Hour
	return end, end + 3*24*time.Hour // what the schedule has generated ahead is over
}

// live goes on until nothing is left to happen, or until a time.
func (w *world) live(until time.Duration) {
	for w.report.Err == nil && len(w.events) > 0 && (until == 0 || w.events[0].at <= until) {
		e := heap.Pop(&w.events).(event)
		if w.Wait != nil && e.at > w.now {
			w.Wait(e.at - w.now)
		}
		w.now = e.at
		w.report.Events++
		e.f()
	}
}

func (w *world) hourly() {
	w.model.hour()
	w.after(time.Hour, w.hourly)
}

// rest looks whether the fleet has come to rest, and if so whether it should
// have.
func (w *world) rest() {
	switch {
	case w.client.busy() || w.now-w.log.lastEntry < quietFor*w.slow:
		if faults, _ := w.ends(); w.now > faults+patience*w.slow {
			w.violated("liveness", "the fleet has not come to rest %s after the faults were over", w.now-faults)
		}
		w.after(5*time.Second*w.slow, w.rest)
	default:
		w.model.atRest()
		if !w.client.again() {
			w.events = nil
			return
		}
		w.after(5*time.Second*w.slow, w.rest)
	}
}

// violated ends the run with its first violation.
func (w *world) violated(rule, format string, args ...any) {
	if w.Blind {
		if w.witness.broken == "" {
			w.after(2*time.Minute*w.slow, func() { w.events = nil })
		}
		w.witness.broken = rule
		return
	}
	if w.report.Err == nil {
		w.report.Err = fmt.Errorf("seed %d, at %s: %s: %s", w.Seed, w.now, rule, fmt.Sprintf(format, args...))
		w.note("VIOLATION %v", w.report.Err)
	}
}

// note makes an event part of the trace.
func (w *world) note(format string, args ...any) {
	line := fmt.Sprintf("%12s ", w.now) + fmt.Sprintf(format, args...)
	w.trace.Write([]byte(line))
	if w.Note != nil {
		w.Note(line)
	}
}

type event struct {
	at  time.Duration
	seq uint64
	f   func()
}

type eventHeap []event

func (h eventHeap) Len() int { return len(h) }
func (h eventHeap) Less(i, j int) bool {
	if h[i].at != h[j].at {
		return h[i].at < h[j].at
	}
	return h[i].seq < h[j].seq
}
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *eventHeap) Push(x any)   { *h = append(*h, x.(event)) }
func (h *eventHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

func (w *world) at(t time.Duration, f func()) {
	w.seq++
	heap.Push(&w.events, event{max(t, w.now), w.seq, f})
}

func (w *world) after(d time.Duration, f func()) { w.at(w.now+d, f) }

// between draws a duration.
func (w *world) between(from, to time.Duration) time.Duration {
	return from + time.Duration(w.rnd.Int64N(int64(to-from)+1))
}

// delay draws the time of one step through the network: mostly short.
func (w *world) delay() time.Duration {
	if !w.calm && w.oneIn(40) {
		return w.between(10*time.Millisecond, 2*time.Second)
	}
	return w.between(200*time.Microsecond, 5*time.Millisecond)
}

// seldom is how often something is done that takes long when there is much: in
// a season or a crowd less often.
func (w *world) seldom(n int) int {
	if w.Days > 0 {
		n *= 8
	}
	return w.many(24, n)
}

// many is n, in a crowd so many times as much.
func (w *world) many(times, n int) int {
	if w.Crowd {
		return times * n
	}
	return n
}

func (w *world) oneIn(n int) bool { return w.rnd.IntN(n) == 0 }

func pick[T any](w *world, all []T) T { return all[w.rnd.IntN(len(all))] }

// clock is a host's own: a rate that is never quite right, and a wall clock
// that is off.
type clock struct {
	w      *world
	rate   float64
	offset time.Duration
}

func (w *world) newClock() clock {
	return clock{w: w, rate: 1 + (2*w.rnd.Float64()-1)*w.Drift, offset: w.between(-2*time.Second, 2*time.Second)}
}

// mono reads the monotonic clock.
func (c *clock) mono() time.Duration { return time.Duration(float64(c.w.now) * c.rate) }

// when is the first true time at which the monotonic clock shows at.
func (c *clock) when(at time.Duration) time.Duration {
	t := time.Duration(float64(at) / c.rate)
	for time.Duration(float64(t)*c.rate) < at {
		t++
	}
	return t
}

// wall reads the wall clock.
func (c *clock) wall() time.Time { return c.w.epoch.Add(c.offset + c.mono()) }

// whenWall is the first true time at which the wall clock shows t.
func (c *clock) whenWall(t time.Time) time.Duration { return c.when(t.Sub(c.w.epoch) - c.offset) }
