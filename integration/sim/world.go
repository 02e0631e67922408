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

	"backfleet/coordinator/dispatch"
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
)

// epoch is true time 0 of every run, 2021-08-24 00:02 UTC: some of the cycles of
// yesterday's data are still to come.
var epoch = time.Date(2021, 8, 24, 0, 2, 0, 0, time.UTC)

// Phases of a run, in virtual time.
const (
	faultsEnd = 6 * time.Minute  // then everything is repaired
	restAfter = 12 * time.Minute // no due time and no retry lies later
	quietFor  = 45 * time.Second // without an entry: the fleet is at rest
	patience  = 3 * time.Hour    // a fleet that is not at rest then never will be
)

// Report is what a run came to.
type Report struct {
	Err       error  // the first violation
	Trace     string // hash of everything that happened
	Events    int
	Entries   int
	Plans     int
	Processes int
	Leaders   int
	Lost      int // attempts whose lease ended without a result
	Took      time.Duration
}

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
}

// Run lives through one seed.
func Run(o Options) Report {
	if o.Drift == 0 {
		o.Drift = 0.04
	}
	o.Terms.Complete()
	w := &world{
		Options: o, rnd: rand.New(rand.NewPCG(o.Seed, 0x5eed)), trace: fnv.New64a(), side: map[string]int{},
	}
	w.table = newProcessTable(w)
	w.model = newModel(w)
	w.log = newReplicas(w, []int{1, 3, 3, 3, 5}[w.rnd.IntN(5)])
	for i := range 1 + w.rnd.IntN(3) {
		w.hosts = append(w.hosts, newHost(w, i))
	}
	w.client = newClient(w)
	w.plague()
	w.loop()
	w.report.Trace = hex.EncodeToString(w.trace.Sum(nil))
	w.report.Took = w.now
	return w.report
}

func (w *world) loop() {
	w.at(faultsEnd, w.repair)
	w.at(restAfter, w.rest)
	for w.report.Err == nil && len(w.events) > 0 {
		e := heap.Pop(&w.events).(event)
		if w.Wait != nil && e.at > w.now {
			w.Wait(e.at - w.now)
		}
		w.now = e.at
		w.report.Events++
		e.f()
	}
}

// rest looks whether the fleet has come to rest, and if so whether it should
// have.
func (w *world) rest() {
	switch {
	case w.client.busy() || w.now-w.log.lastEntry < quietFor:
		if w.now > patience {
			w.violated("liveness", "the fleet has not come to rest %s after the faults were over", w.now-faultsEnd)
		}
		w.after(5*time.Second, w.rest)
	default:
		w.model.atRest()
		if !w.client.again() {
			w.events = nil
			return
		}
		w.after(5*time.Second, w.rest)
	}
}

// violated ends the run with its first violation.
func (w *world) violated(rule, format string, args ...any) {
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
func (c *clock) wall() time.Time { return epoch.Add(c.offset + c.mono()) }

// whenWall is the first true time at which the wall clock shows t.
func (c *clock) whenWall(t time.Time) time.Duration { return c.when(t.Sub(epoch) - c.offset) }
