package service

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/coordinator/machine"
	"backfleet/coordinator/state"
	"backfleet/pkg/fault"
)

const (
	// eventsKept is how many events can be resumed from.
	eventsKept = 10_000
	// burst is how many instances of one plan may change in one entry and
	// still be told one by one; more are told as the plan's counts alone.
	burst = 50
	// breath is the pause between two batches to one follower, so that a
	// thousand entries a second do not become a thousand messages.
	breath = 100 * time.Millisecond
	// batchMost is how many events a follower takes at once.
	batchMost = 1000
)

// place is where an event stands: the log index of its entry and its number
// in that entry. It is the same on every coordinator, so that a follower can
// go on at another one.
type place struct {
	index   uint64
	ordinal int
}

func (p place) before(q place) bool {
	return p.index < q.index || p.index == q.index && p.ordinal < q.ordinal
}

func (p place) id() string { return strconv.FormatUint(p.index, 10) + "-" + strconv.Itoa(p.ordinal) }

func parsePlace(s string) (place, bool) {
	a, b, ok := strings.Cut(s, "-")
	index, errA := strconv.ParseUint(a, 10, 64)
	ordinal, errB := strconv.Atoi(b)
	return place{index, ordinal}, ok && errA == nil && errB == nil
}

// told is one event as it is kept. The many, of instances and of plans'
// progress, are kept as a few numbers and made into words only for who reads
// them: most coordinators are followed by nobody most of the time.
type told struct {
	at    place
	kind  v1.EventType
	event *v1.Event // nil: to be made by render
	plan  uint64
	merge bool // a newer one of the same plan says all that it does
	local bool // not of the log: it bears the place of what was told before it

	// What an event is made of: of an instance, or of a plan's counts.
	atMs     int64
	instance uint64
	to       state.Status
	agent    string
	ahead    bool // it waits at the agent for a slot
	counts   *state.Counts
}

// hub keeps the newest events and wakes who follows them.
type hub struct {
	mu      sync.Mutex
	changed chan struct{} // closed and replaced at the next change
	awaited bool          // somebody waits on changed
	events  []told
	first   uint64 // number of events[0] since the beginning
	floor   place  // events up to here are not kept any more
	last    place  // the newest place known
	reset   uint64 // number of the newest reset
	state   *state.State
	done    bool
}

func newHub() *hub { return &hub{changed: make(chan struct{})} }

func (h *hub) begin(st *state.State) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.done, h.state = false, st
	h.first += uint64(len(h.events))
	h.events = nil
	h.floor = place{index: st.Index() + 1}
	h.last = h.floor
	h.reset = h.first
}

func (h *hub) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.done = true
	h.wake()
}

func (h *hub) wake() {
	if !h.awaited {
		return
	}
	close(h.changed)
	h.changed, h.awaited = make(chan struct{}), false
}

// news is closed at the next change.
func (h *hub) news() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.awaited = true
	return h.changed
}

func (h *hub) ended() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.done
}

// observe takes in one entry.
func (h *hub) observe(a machine.Applied) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if a.Reset {
		h.first += uint64(len(h.events))
		h.events = h.events[:0]
		h.floor = place{index: a.Index + 1}
		h.last, h.state, h.reset = h.floor, a.State, h.first
		h.add(told{at: h.floor, kind: v1.EventTypeReset, local: true, event: resetEvent(a.State.NowMs())})
		h.wake()
		return
	}
	list := describeEntry(h.state, a)
	h.state = a.State
	for i := range list {
		list[i].at = place{index: a.Index, ordinal: i + 1}
		h.add(list[i])
	}
	h.last = place{index: a.Index + 1}
	h.wake()
}

func (h *hub) add(t told) {
	if t.event != nil {
		t.event.ID = t.at.id()
	}
	h.events = append(h.events, t)
	if h.last.before(t.at) {
		h.last = t.at
	}
	if extra := len(h.events) - eventsKept; extra >= eventsKept/10 {
		h.floor = h.events[extra-1].at
		h.events = slices.Delete(h.events, 0, extra) // in place: followers take copies
		h.first += uint64(extra)
	}
}

// leader tells who leads, which is no entry of the log.
func (h *hub) leader(id string, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	text := "no leader is known"
	if id != "" {
		text = "coordinator " + id + " leads"
	}
	h.add(told{at: h.last, kind: v1.EventTypeCluster, local: true, event: &v1.Event{Type: v1.EventTypeCluster, At: now.UTC(), Leader: id, Text: text}})
	h.wake()
}

func resetEvent(ms int64) *v1.Event {
	return &v1.Event{Type: v1.EventTypeReset, At: moment(ms), Text: "what happened before is not known here any more: read the state again"}
}

// join finds where a follower begins: the number of its next event, the place
// up to which it knows everything, and whether it must first be told a reset.
func (h *hub) join(after string) (next uint64, known place, lost bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	next = h.first + uint64(len(h.events))
	if after == "" {
		return next, place{}, false
	}
	known, ok := parsePlace(after)
	if !ok || known.before(h.floor) {
		return next, place{}, true
	}
	for next > h.first && known.before(h.events[next-1-h.first].at) {
		next--
	}
	return next, known, false
}

// batch is what a follower takes at once.
type batch struct {
	events []told
	after  uint64          // number of the event after them
	state  *state.State    // newer than all of them
	news   <-chan struct{} // to wait on when there are none
}

// take gives a batch of events from a number on.
func (h *hub) take(next uint64) (batch, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.done {
		return batch{}, errStopping()
	}
	if next < h.reset {
		next = h.reset
	}
	if next < h.first {
		return batch{}, fault.New(fault.Overloaded, "events come faster than they are read: go on from the last one that came")
	}
	from := next - h.first
	to := min(uint64(len(h.events)), from+batchMost)
	h.awaited = h.awaited || from == to
	return batch{slices.Clone(h.events[from:to]), next + to - from, h.state, h.changed}, nil
}

func errStopping() error {
	return fault.New(fault.Unavailable, "the coordinator is shutting down: go on at another")
}

// Events implements server.Backend.
func (s *Service) Events(ctx context.Context, f server.EventFilter, after string, send func(*v1.Event) error) error {
	next, known, lost := s.hub.join(after)
	if lost {
		e := resetEvent(s.Now().UnixMilli())
		e.ID = s.hub.newest()
		if err := send(e); err != nil {
			return err
		}
	}
	for {
		b, err := s.hub.take(next)
		if err != nil {
			return err
		}
		next = b.after
		sent, err := deliver(b, f, known, send)
		if err != nil {
			return err
		}
		wait := b.news
		var pause *time.Timer
		if len(b.events) > 0 {
			wait = nil
		}
		if sent > 0 {
			pause = time.NewTimer(breath)
		}
		if err := rest(ctx, wait, pause); err != nil {
			return err
		}
	}
}

// rest waits for the pause to pass, or else for news; without either it goes
// on at once.
func rest(ctx context.Context, news <-chan struct{}, pause *time.Timer) error {
	switch {
	case pause != nil:
		defer pause.Stop()
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
	case news != nil:
		select {
		case <-news:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

func (h *hub) newest() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last.id()
}

// deliver sends what a filter keeps of a batch, and of the progress of each
// plan only the newest.
func deliver(b batch, f server.EventFilter, known place, send func(*v1.Event) error) (sent int, err error) {
	newest := map[uint64]int{}
	for i := range b.events {
		if t := &b.events[i]; t.merge {
			newest[t.plan] = i
		}
	}
	for i := range b.events {
		t := &b.events[i]
		if t.merge && newest[t.plan] != i || !wanted(t, f) || !t.local && !known.before(t.at) {
			continue
		}
		e := t.render(b.state)
		if e == nil {
			continue
		}
		if err := send(e); err != nil {
			return sent, err
		}
		sent++
	}
	return sent, nil
}

func wanted(t *told, f server.EventFilter) bool {
	kind := t.kind
	switch {
	case kind == v1.EventTypeReset:
		return true
	case len(f.Types) > 0 && !slices.Contains(f.Types, kind):
		return false
	default:
		return f.Plan == 0 || t.plan == f.Plan || kind == v1.EventTypeCluster
	}
}
