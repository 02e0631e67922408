package sim

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"backfleet/coordinator/dispatch"
	"backfleet/coordinator/schedule"
	"backfleet/coordinator/state"
	"backfleet/pkg/wire"
)

// dispatcher drives a dispatch.Core as dispatch.Server does: one turn at a
// time, everything that waits in the next one.
type dispatcher struct {
	c       *coordinator
	core    *dispatch.Core
	st      *state.State // as the core saw it last
	events  []func(now time.Time) []dispatch.Message
	feed    []applied
	streams map[dispatch.Conn]*stream
	busy    bool
	ended   bool
	waking  time.Duration
}

// applied is an entry as the coordinator's state machine took it.
type applied struct {
	index  uint64
	st     *state.State
	result state.Result
}

func newDispatcher(c *coordinator) *dispatcher {
	return &dispatcher{
		c: c, core: dispatch.NewCore(c.w.Terms, c.w.Schedule, c.st, c.clock.wall()), st: c.st, streams: map[dispatch.Conn]*stream{},
	}
}

// end closes the scope and every stream in it.
func (d *dispatcher) end() {
	d.ended = true
	if d.c.scope == d {
		d.c.scope = nil
	}
	for conn := dispatch.Conn(0); conn <= dispatch.Conn(d.c.lastConn); conn++ {
		if s := d.streams[conn]; s != nil {
			s.closedByLeader()
		}
	}
}

func (d *dispatcher) applied(a applied) { d.feed = append(d.feed, a) }

func (d *dispatcher) post(ev func(now time.Time) []dispatch.Message) {
	d.events = append(d.events, ev)
	d.poke()
}

// poke runs turns until there is nothing to do.
func (d *dispatcher) poke() {
	if d.ended || d.busy || !d.c.awake() {
		return
	}
	for _, ev := range d.events {
		d.send(ev(d.c.clock.wall()))
	}
	d.events = nil
	d.turn()
}

func (d *dispatcher) turn() {
	d.observe(0)
	now := d.c.clock.wall()
	turn := d.core.Turn(now)
	switch d.c.w.Break {
	case Eager:
		turn = d.addGrant(turn)
	case Rude:
		turn = d.addConflict(turn)
	case Greedy:
		turn = d.addAhead(turn)
	}
	if d.c.w.Break == Unverified {
		d.send(d.core.Verified())
	}
	d.busy = true
	switch {
	case turn != nil:
		d.c.propose(&wire.Command{Body: &wire.Command_Turn{Turn: turn}}, d.st.Index(), func(index uint64, err error) {
			if d.ended {
				return
			}
			if err != nil {
				d.restart()
				return
			}
			d.send(d.core.Verified())
			d.observe(index)
			d.next()
		})
	case d.core.Unverified():
		d.c.verify(func(ok bool) {
			if d.ended {
				return
			}
			if !ok {
				d.restart()
				return
			}
			d.send(d.core.Verified())
			d.send(d.core.Committed(d.st, nil, nil, now))
			d.next()
		})
	default:
		d.send(d.core.Committed(d.st, nil, nil, now))
		d.next()
	}
}

// restart begins anew from the facts, as after a failed proposal.
func (d *dispatcher) restart() {
	d.end()
	if d.c.term > 0 {
		d.c.lead()
	}
}

// next goes on after a turn.
func (d *dispatcher) next() {
	d.busy = false
	if d.core.Busy() || len(d.events) > 0 || len(d.feed) > 0 {
		d.c.later(0, d.poke)
		return
	}
	at, ok := d.core.NextWake()
	if !ok {
		return
	}
	t := max(d.c.clock.whenWall(at), d.c.w.now+time.Millisecond)
	if d.waking > d.c.w.now && d.waking <= t {
		return // woken before that; the timer is set again then
	}
	d.waking = t
	d.c.later(t-d.c.w.now, d.poke)
}

// observe hands over what the log applied; own is the index of the turn.
func (d *dispatcher) observe(own uint64) {
	feed := d.feed
	d.feed = nil
	for _, a := range feed {
		d.st = a.st
		switch {
		case a.index == own:
			d.send(d.core.Committed(a.st, a.result.Changes, a.result.Refused, d.c.clock.wall()))
		case d.c.w.Break == Deaf:
		default:
			d.send(d.core.Observe(a.st, a.result.Changes, d.c.clock.wall()))
		}
	}
}

func (d *dispatcher) send(messages []dispatch.Message) {
	for _, m := range messages {
		s := d.streams[m.To]
		switch {
		case s == nil:
		case m.Close != "":
			s.closedByLeader()
		default:
			s.toAgent(proto.CloneOf(m.Body))
		}
	}
}

// hello takes a stream in: its first message.
func (d *dispatcher) hello(s *stream, h *wire.Hello) {
	d.streams[s.conn] = s
	if d.c.w.Break == Trusting {
		h.Agent.Host = "any"
	}
	d.post(func(now time.Time) []dispatch.Message { return d.core.Hello(s.conn, h, now) })
}

func (d *dispatcher) heard(s *stream, r *wire.Report) {
	if d.c.w.Break == AnyFence {
		for _, res := range r.Results {
			if l, ok := d.c.st.Lease(res.Ref.Plan, res.Ref.Instance); ok {
				res.Ref.Fence = l.Fence
			}
		}
	}
	d.post(func(now time.Time) []dispatch.Message { d.core.Report(s.conn, r, now); return nil })
}

func (d *dispatcher) gone(s *stream) {
	delete(d.streams, s.conn)
	d.post(func(time.Time) []dispatch.Message { d.core.Gone(s.conn); return nil })
}

// addGrant is the mutation Eager: it starts what happens to be first.
func (d *dispatcher) addGrant(turn *wire.Turn) *wire.Turn {
	if turn == nil || !d.c.w.oneIn(3) {
		return turn
	}
	d.st.Plans(0, func(p *state.Plan) bool {
		i := d.c.w.rnd.Uint64N(p.Size())
		at, _ := p.Locate(i)
		turn.Grants = append(turn.Grants, &wire.Grant{Plan: p.ID, Instance: i, Agent: "a0", ResourceGroup: p.ResourceGroup(at.Node)})
		return false
	})
	return turn
}

// addAhead is the mutation Greedy: whatever could start is granted ahead, to
// some agent.
func (d *dispatcher) addAhead(turn *wire.Turn) *wire.Turn {
	if turn == nil || len(turn.Grants) > 0 {
		return turn
	}
	nowMs := d.c.clock.wall().UnixMilli()
	d.st.Plans(0, func(p *state.Plan) bool {
		for i := range p.Size() {
			at, _ := p.Locate(i)
			if schedule.Check(d.st, p, at, nowMs).Kind == schedule.Nothing && p.Dry(at) == wire.DryRun_DRY_RUN_NONE {
				turn.Grants = append(turn.Grants, &wire.Grant{Plan: p.ID, Instance: i, Agent: "a0", ResourceGroup: p.ResourceGroup(at.Node), Ahead: true})
			}
		}
		return len(turn.Grants) == 0
	})
	return turn
}

// addConflict is the mutation Rude: it starts what waits for the schedule.
func (d *dispatcher) addConflict(turn *wire.Turn) *wire.Turn {
	if turn == nil || len(turn.Losses)+len(turn.Grants) > 0 {
		return turn
	}
	nowMs := d.c.clock.wall().UnixMilli()
	d.st.Plans(0, func(p *state.Plan) bool {
		for i := range p.Size() {
			at, _ := p.Locate(i)
			b := schedule.Check(d.st, p, at, nowMs)
			if b.Kind != schedule.Conflict {
				continue
			}
			ends := slices.ContainsFunc(turn.Finishes, func(f *wire.Finish) bool { return f.Plan == b.Plan && f.Instance == b.Instance })
			if q, _ := d.st.Plan(b.Plan); q.Auto && q.Status(b.Instance) == state.Running && !ends {
				turn.Grants = append(turn.Grants, &wire.Grant{Plan: p.ID, Instance: i, Agent: "a0", ResourceGroup: p.ResourceGroup(at.Node)})
				return false
			}
		}
		return true
	})
	return turn
}
