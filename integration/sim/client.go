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
	w           *world
	requests    int
	open        int // requests without an answer
	version     int // of the nodes
	stage       int // of the finale
	accepted    []accepted
	failRate    int  // of processes, in percent
	calmed      bool // every process succeeds
	conflicting bool // plans may overlap
}

// accepted is a backfill whose acceptance was answered.
type accepted struct {
	name  string
	plan  uint64
	index uint64
}

var today = calendar.DateOf(2021, 8, 24)

func newClient(w *world) *client {
	c := &client{w: w, failRate: []int{0, 3, 10, 35}[w.rnd.IntN(4)], conflicting: w.oneIn(2)}
	w.after(0, func() { c.request(c.nodes(), c.begin) })
	return c
}

// begin goes on when there are nodes.
func (c *client) begin(state.Result, uint64) {
	for range 2 + c.w.rnd.IntN(5) {
		c.w.after(c.w.between(0, faultsEnd*2/3), c.submit)
	}
	c.w.recur(1+c.w.rnd.IntN(3), 4*time.Second, 40*time.Second, c.operate)
}

// request asks until it is answered.
func (c *client) request(m *wire.Command, answered func(r state.Result, index uint64)) {
	c.requests++
	c.open++
	m.Actor, m.RequestId = "user", fmt.Sprint("key", c.requests)
	m.RequestHash = state.HashRequest(m)
	c.try(m, func(r state.Result, index uint64) {
		c.open--
		answered(r, index)
	})
}

// try asks once, and again after a silence or an error that leaves the outcome
// unknown.
func (c *client) try(m *wire.Command, answered func(r state.Result, index uint64)) {
	w, over := c.w, false
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
	w.after(5*time.Second, again)
	at := pick(w, w.log.all)
	w.after(w.delay(), func() {
		if at.term == 0 && w.log.leader != nil && w.reach(at.id, w.log.leader.id) {
			at = w.log.leader // forwarded
		}
		at.do(func() {
			at.propose(proto.CloneOf(m), 0, func(index uint64, err error) {
				if err != nil {
					w.after(w.between(50*time.Millisecond, time.Second), again)
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

func (c *client) busy() bool { return c.open > 0 }

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
			Schedule: &wire.Schedule{Kind: wire.Schedule_DAILY, At: int32(60 * w.rnd.IntN(8))},
		}
		if w.oneIn(3) {
			n.Schedule = &wire.Schedule{Kind: wire.Schedule_MINUTELY, From: int32(60 * w.rnd.IntN(3)), To: int32(60 * (3 + w.rnd.IntN(5))), Every: int32(1 + w.rnd.IntN(3))}
		}
		if w.oneIn(2) {
			n.RetryDelayMs = w.between(0, 15*time.Second).Milliseconds()
		}
		if w.oneIn(3) {
			n.TimeoutMs = w.between(3*time.Second, 20*time.Second).Milliseconds()
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

// submit draws a backfill.
func (c *client) submit() {
	w := c.w
	r := &wire.Request{
		Name: fmt.Sprint("r", c.requests+1), Mode: wire.Request_DESCENDANTS, Root: fmt.Sprint("n", w.rnd.IntN(2)),
		Groups: int32(1 + w.rnd.IntN(10)), Gate: wire.Request_Gate(w.rnd.IntN(3)), OnFailure: wire.Request_OnFailure(w.rnd.IntN(2)),
		StopAfter: int32(max(0, w.rnd.IntN(8)-5)), MaxRunning: int32(max(0, w.rnd.IntN(6)-3)), DryRun: w.oneIn(12), PinCode: w.oneIn(2),
	}
	if w.oneIn(2) {
		r.Groups = int32(1 + w.rnd.IntN(2))
	}
	if w.oneIn(3) {
		r.Order = wire.Request_DESCENDING
	}
	if w.oneIn(4) {
		r.NotBeforeMs = epoch.Add(w.now + w.between(0, time.Minute)).UnixMilli()
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
	if !c.conflicting { // dates of its own
		last -= calendar.Date(10 * len(w.model.plans))
	}
	for range 1 + w.rnd.IntN(2) {
		from := last - calendar.Date(w.rnd.IntN(6))
		r.Dates = append(r.Dates, &wire.DateRange{From: int32(from), To: int32(min(last, from+calendar.Date(w.rnd.IntN(4))))})
	}
	zone := plan.WireZone(calendar.ResolveZone(time.UTC, today-100, today+1))
	zone.Name = "UTC"
	m := &wire.Command{Body: &wire.Command_Submit{Submit: &wire.Submit{Request: r, Today: int32(today), ClusterZone: "UTC", Zones: []*wire.Zone{zone}}}}
	c.request(m, func(res state.Result, index uint64) {
		if res.Err != nil {
			return
		}
		c.accepted = append(c.accepted, accepted{r.Name, res.Answer.Plan, index})
	})
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

// remembers checks that a coordinator still has what was accepted up to where
// it is (RULES R13.1).
func (c *client) remembers(at *coordinator) {
	for _, a := range c.accepted {
		if p, ok := at.st.Plan(a.plan); a.index <= at.applied && (!ok || p.Name != a.name) {
			c.w.violated("R13.1", "%s does not have backfill %s, accepted as b%d at %d", at.id, a.name, a.plan, a.index)
		}
	}
}

// operate does something to some plan.
func (c *client) operate() {
	w := c.w
	if w.oneIn(8) {
		c.request(c.nodes(), ignore)
		return
	}
	if len(w.model.order) == 0 {
		return
	}
	p := pick(w, w.model.order)
	switch w.rnd.IntN(8) {
	case 0:
		c.request(operation(p.id, wire.Operate_STOP), ignore)
	case 1:
		c.request(operation(p.id, wire.Operate_PAUSE), ignore)
	case 2, 3, 4:
		c.request(operation(p.id, wire.Operate_RESUME), ignore)
	case 5, 6:
		c.request(rerun(p.id), ignore)
	default:
		var list []uint64
		for range 1 + w.rnd.IntN(3) {
			list = append(list, uint64(w.rnd.IntN(len(p.keys))))
		}
		c.request(rerun(p.id, list...), ignore)
	}
}

func ignore(state.Result, uint64) {}

func operation(id uint64, kind wire.Operate_Kind, list ...uint64) *wire.Command {
	return &wire.Command{Body: &wire.Command_Operate{Operate: &wire.Operate{Kind: kind, Targets: []*wire.Target{{Plan: id, Instances: list}}}}}
}

func rerun(id uint64, list ...uint64) *wire.Command {
	if len(list) > 0 {
		return operation(id, wire.Operate_RERUN, list...)
	}
	return operation(id, wire.Operate_RERUN_FAILED)
}

// again lets a fleet at rest go on once more: most plans are resumed and what
// failed runs again, and succeeds. False when that is done.
func (c *client) again() bool {
	if c.stage > 0 {
		return false
	}
	c.stage, c.calmed = 1, true
	for _, p := range c.w.model.order {
		if c.w.oneIn(5) {
			continue
		}
		c.request(operation(p.id, wire.Operate_RESUME), func(state.Result, uint64) { c.request(rerun(p.id), ignore) })
	}
	return true
}
