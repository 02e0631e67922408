package sim

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"backfleet/coordinator/state"
	"backfleet/pkg/calendar"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// client is everybody who writes: it applies nodes, submits backfills and
// operates on them, and repeats a request under its idempotency key until it
// has an answer.
type client struct {
	w        *world
	requests int
	open     int // requests without an answer
	version  int // of the nodes
	stage    int // of the finale
	accepted []accepted
	failRate int // of processes, in percent
	held     map[uint64]hold
	// How often somebody asked for something of a plan to start again, and is
	// still without an answer.
	asks, unanswered map[uint64]int
	draining         int  // agents that somebody is yet to resume
	calmed           bool // every process succeeds
	conflicting      bool // plans may overlap
}

// accepted is a backfill whose acceptance was answered.
type accepted struct {
	name  string
	plan  uint64
	index uint64
}

// today is the calendar's, in the cluster's zone.
func (c *client) today() calendar.Date {
	return calendar.DateOf(c.w.epoch.Add(c.w.now).In(c.w.zone("")).Date())
}

func newClient(w *world) *client {
	c := &client{w: w, failRate: []int{0, 3, 10, 35}[w.rnd.IntN(4)], conflicting: w.oneIn(2), held: map[uint64]hold{}, asks: map[uint64]int{}, unanswered: map[uint64]int{}}
	if w.Days > 0 || w.Crowd {
		c.failRate /= 4
	}
	w.after(0, func() { c.request(c.nodes(), c.begin) })
	return c
}

// begin goes on when there are nodes.
func (c *client) begin(state.Result, uint64) {
	w := c.w
	if w.Days > 0 {
		w.recur(1+w.rnd.IntN(2), 6*time.Hour, 48*time.Hour, c.submit)
		w.recur(1+w.rnd.IntN(3), time.Hour, 8*time.Hour, c.operate)
		w.recur(1, 12*time.Hour, 36*time.Hour, c.mend)
		w.recur(w.rate(), 12*time.Hour, 96*time.Hour, c.drain)
		return
	}
	for range 2 + w.rnd.IntN(5) {
		w.after(w.between(0, faultsEnd*2/3), c.submit)
	}
	w.recur(1+w.rnd.IntN(3), 3*time.Second, 30*time.Second, c.operate)
	if w.Crowd {
		w.recur(1, 5*time.Second, 15*time.Second, c.mend)
	}
	w.recur(w.rate(), 5*time.Second, 60*time.Second, c.drain)
}

// request asks until it is answered.
func (c *client) request(m *wire.Command, answered func(r state.Result, index uint64)) {
	c.requests++
	c.open++
	m.Actor, m.RequestId = "user", fmt.Sprint("key", c.requests)
	told := c.w.asked(m)
	m.RequestHash = state.HashRequest(m)
	c.try(m, func(r state.Result, index uint64) {
		c.open--
		told(r, index)
		answered(r, index)
	})
}

// try asks once, and again after a silence or an error that leaves the outcome
// unknown.
func (c *client) try(m *wire.Command, answered func(r state.Result, index uint64)) {
	w, over := c.w, false
	w.tried(m)
	again := func() {
		if over {
			return
		}
		over = true
		if w.Break == NewKeys {
			c.requests++
			m.RequestId = fmt.Sprint("key", c.requests)
		}
		c.try(m, answered)
	}
	w.after(5*time.Second*w.slow, again)
	at := pick(w, w.log.all)
	w.after(w.delay(), func() {
		if at.term == 0 && w.log.leader != nil && w.reach(at.id, w.log.leader.id) {
			at = w.log.leader // forwarded
		}
		at.do(func() {
			if w.Break == Hurried && holds(m) {
				over = true
				answered(state.Result{}, uint64(len(w.log.entries)))
			}
			at.propose(proto.CloneOf(m), 0, func(index uint64, err error) {
				if err != nil {
					w.after(w.between(50*time.Millisecond, time.Second)*w.slow, again)
					return
				}
				r := w.log.results[index-1]
				w.after(w.delay(), func() {
					if !over {
						over = true
						answered(r, index)
					}
				})
			})
		})
	})
}

func (c *client) busy() bool { return c.open+c.draining > 0 }

// nodes draws a graph.
func (c *client) nodes() *wire.Command {
	w := c.w
	c.version++
	var all []*wire.Node
	for i := range 2 + w.rnd.IntN(5) {
		priority := pick(w, []int32{1, 3, 5, 7, 8})
		n := &wire.Node{
			Id: fmt.Sprint("n", i), Type: "shell", Code: fmt.Sprint("echo ", c.version), Baseline: fmt.Sprint("b", priority), Priority: priority,
			DependsOnSelf: w.oneIn(3), ResourceGroup: pick(w, []string{"default", "default", "big"}), Retries: int32(max(0, w.rnd.IntN(4)-1)),
			Schedule: c.schedule(), Auto: w.oneIn(2),
		}
		if w.oneIn(2) || w.Crowd && !w.oneIn(3) {
			n.Owner = quick
		}
		if w.oneIn(8) {
			n.Slots = 2
		}
		if w.oneIn(10) {
			n.Requires = gpu
		}
		if w.oneIn(3) {
			n.ExitCodes = []*wire.ExitCode{{Code: hopeless, Meaning: wire.ExitCode_FAIL}, {Code: nothingToDo, Meaning: wire.ExitCode_SKIP}}
		}
		if w.oneIn(2) {
			n.RetryDelayMs = (w.between(0, 15*time.Second) * w.slow).Milliseconds()
		}
		if w.oneIn(3) {
			n.TimeoutMs = (w.between(3*time.Second, 20*time.Second) * w.slow).Milliseconds()
		}
		for j := range i {
			if !w.oneIn(3) && j < i-2 {
				continue
			}
			u := &wire.Upstream{Node: fmt.Sprint("n", j)}
			if w.oneIn(4) {
				u.Window, u.From = true, -int32(1+w.rnd.IntN(3))
				if w.oneIn(3) {
					u.From, u.FromMonthStart = 0, true
				}
			}
			n.Upstreams = append(n.Upstreams, u)
		}
		all = append(all, n)
	}
	return &wire.Command{Body: &wire.Command_ApplyNodes{ApplyNodes: &wire.ApplyNodes{Nodes: all}}}
}

// gpu are the labels that some agents have and some nodes require.
var gpu = []*wire.Assignment{{Name: "gpu", Value: "true"}}

// Exit codes that mean something to some nodes.
const hopeless, nothingToDo = 64, 99

// quick is the owner of nodes whose attempts take milliseconds.
const quick = "quick"

// schedule draws when a node occurs: in the first minutes of the day, in which
// a short run takes place, or at any time.
func (c *client) schedule() *wire.Schedule {
	w := c.w
	if w.Days == 0 {
		if w.oneIn(3) || w.Crowd {
			return &wire.Schedule{Kind: wire.Schedule_MINUTELY, From: int32(60 * w.rnd.IntN(3)), To: int32(60 * (3 + w.rnd.IntN(5))), Every: int32(1 + w.rnd.IntN(3))}
		}
		return &wire.Schedule{Kind: wire.Schedule_DAILY, At: int32(60 * w.rnd.IntN(8))}
	}
	s := &wire.Schedule{Kind: wire.Schedule_DAILY, At: int32(60 * w.rnd.IntN(24*60))}
	if w.oneIn(2) {
		s.Zone = pick(w, []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Shanghai"})
	}
	if w.oneIn(2) {
		s.At = int32(60 * (60 + w.rnd.IntN(150))) // when clocks change
	}
	from := int32(3600 * w.rnd.IntN(12))
	switch w.rnd.IntN(8) {
	case 0, 1:
		s.Kind, s.At, s.From, s.To, s.Every = wire.Schedule_HOURLY, 0, from, from+3600*int32(1+w.rnd.IntN(10)), 60*int32(1+w.rnd.IntN(2))
	case 2:
		s.Kind, s.At, s.From, s.To, s.Every = wire.Schedule_MINUTELY, 0, from, from+60*int32(1+w.rnd.IntN(150)), 15+int32(w.rnd.IntN(30))
	case 3:
		s.Kind, s.Weekdays = wire.Schedule_WEEKLY, 1+uint32(w.rnd.IntN(127))
	case 4:
		s.Kind, s.Days = wire.Schedule_MONTHLY, 1|1<<(1+w.rnd.IntN(28))|1<<(1+w.rnd.IntN(31))
	case 5:
		s.Kind, s.Days, s.Months = wire.Schedule_YEARLY, 1|1<<(1+w.rnd.IntN(31)), 1<<11|1<<1|1<<3
	}
	return s
}

// submit draws a backfill.
func (c *client) submit() {
	w, today := c.w, c.today()
	r := &wire.Request{
		Name: fmt.Sprint("r", c.requests+1), Mode: wire.Request_DESCENDANTS, Root: fmt.Sprint("n", w.rnd.IntN(2)),
		Groups: int32(1 + w.rnd.IntN(10)), Gate: wire.Request_Gate(w.rnd.IntN(3)), OnFailure: wire.Request_OnFailure(w.rnd.IntN(2)),
		StopAfter: int32(max(0, w.rnd.IntN(8)-5)), MaxRunning: int32(w.many(4, max(0, w.rnd.IntN(6)-3))), DryRun: w.oneIn(12), PinCode: w.oneIn(2),
		OnConflict: wire.Request_OnConflict(max(0, w.rnd.IntN(4)-1)),
	}
	if w.oneIn(2) {
		r.Groups = int32(1 + w.rnd.IntN(2))
	}
	if w.oneIn(3) {
		r.Order = wire.Request_DESCENDING
	}
	if w.oneIn(4) {
		r.NotBeforeMs = w.epoch.Add(w.now + w.between(0, time.Minute)*w.slow).UnixMilli()
	}
	if w.oneIn(4) {
		r.ResourceGroup = "big"
	}
	if w.oneIn(4) {
		r.Mode = wire.Request_CURRENT
	} else {
		c.narrow(r)
	}
	last := today - 1
	if !c.conflicting && w.Days == 0 { // dates of its own
		last -= calendar.Date(w.many(50, 10*len(w.model.plans)))
	}
	for range 1 + w.rnd.IntN(2) {
		from := last - calendar.Date(w.many(40, w.rnd.IntN(6)))
		r.Dates = append(r.Dates, &wire.DateRange{From: int32(from), To: int32(min(last, from+calendar.Date(w.many(40, w.rnd.IntN(4)))))})
	}
	zones, err := plan.Zones(r, w.log.truth().Graph(), w.cycle.Zone, today, load(w))
	if err != nil {
		return // there is no such node
	}
	m := &wire.Command{Body: &wire.Command_Submit{Submit: &wire.Submit{Request: r, Today: int32(today), ClusterZone: w.cycle.Zone, Zones: zones}}}
	c.request(m, func(res state.Result, index uint64) {
		if res.Err != nil {
			return
		}
		c.accepted = append(c.accepted, accepted{r.Name, res.Answer.Plan, index})
	})
}

func load(w *world) func(name string) (*time.Location, error) {
	return func(name string) (*time.Location, error) { return w.zone(name), nil }
}

// narrow draws which descendants are wanted.
func (c *client) narrow(r *wire.Request) {
	r.WithoutRoot = c.w.oneIn(5)
	if c.w.oneIn(3) {
		for id := range 6 {
			if _, ok := c.w.model.nodes[fmt.Sprint("n", id)]; ok && c.w.oneIn(2) && r.Root != fmt.Sprint("n", id) {
				r.Nodes = append(r.Nodes, fmt.Sprint("n", id))
			}
		}
	}
}
