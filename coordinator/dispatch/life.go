package dispatch

import (
	"container/heap"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"backfleet/coordinator/state"
	"backfleet/pkg/wire"
)

// Contact is what the leader knows of an agent beyond the facts.
type Contact struct {
	Connected bool
	Heard     time.Time // the last message of it; zero: none since this coordinator leads
}

// Contacts tells of every agent of which there is something to tell. One that
// is connected nowhere, and is neither lost nor gone, is silent.
func (c *Core) Contacts() map[string]Contact {
	out := make(map[string]Contact, len(c.workers))
	for id, w := range c.workers {
		if w.session != nil || !w.heard.IsZero() {
			out[id] = Contact{Connected: w.session != nil, Heard: w.heard}
		}
	}
	return out
}

// refuses says why an agent may not have its id, empty when it may. One process
// at a time has it; another one gets it only when what the former runs has
// ended for certain: its keeper was replaced on the same host, or the host was
// restarted, or all its leases are over.
func (c *Core) refuses(w *worker, a *wire.Agent, now time.Time) string {
	if s := w.session; s != nil {
		if s.agent.Incarnation == a.Incarnation || restarted(s.agent, a) {
			return ""
		}
		return fmt.Sprintf("agent %q is connected already, from host %q; this one is on host %q: give each agent an id of its own", w.id, s.agent.Host, a.Host)
	}
	known, ok := c.st.Agent(w.id)
	if !ok || known.Incarnation == a.Incarnation || known.Host == a.Host {
		return ""
	}
	held := 0
	for _, g := range w.grips {
		if !g.lost && !g.taken {
			held++
		}
	}
	if held == 0 {
		return ""
	}
	wait := max(0, w.deadline.Sub(now)).Truncate(time.Second) + time.Second
	return fmt.Sprintf("agent %q holds %d attempts on host %q, and this one is on host %q: it gets the id in %s at the latest, when their leases are over; if both hosts are to work, give each agent an id of its own",
		w.id, held, known.Host, a.Host, wait)
}

// restarted says whether a host was restarted since an agent of it said hello:
// nothing of what ran there runs any more.
func restarted(before, now *wire.Agent) bool {
	return before.Host == now.Host && before.Boot != "" && now.Boot != "" && before.Boot != now.Boot
}

// whyLost says what became of what an agent does not hold any more when it says
// hello.
func whyLost(before *state.Agent, now *wire.Agent) string {
	switch {
	case before == nil || before.Incarnation == now.Incarnation:
		return "the agent does not hold it any more"
	case restarted(before.Agent, now):
		return fmt.Sprintf("host %q of agent %q was restarted", now.Host, now.Id)
	}
	return fmt.Sprintf("agent %q has another keeper, and the former one's attempts have ended with it", now.Id)
}

// leave takes in that an agent ends. What it has no result for does not run.
func (c *Core) leave(s *session, seq uint64) {
	told := map[instance]uint64{}
	for _, list := range [][]result{c.failed, c.inbox.results} {
		for _, r := range list {
			if ref := r.r.GetRef(); r.conn == s.conn && ref != nil {
				told[instance{ref.Plan, ref.Instance}] = ref.Fence
			}
		}
	}
	w := c.worker(s.agent.Id)
	for _, g := range w.grips {
		if told[g.instance] != g.fence {
			c.lose(g, fmt.Sprintf("agent %q has ended", w.id))
		}
	}
	s.says(wire.Agent_GONE)
	c.register(s.agent)
	c.inbox.verify = append(c.inbox.verify, Message{To: s.conn, Body: ack(&wire.Ack{Seq: seq})})
	c.Gone(s.conn)
}

// says notes in what state an agent says it is.
func (s *session) says(st wire.Agent_State) {
	s.agent = proto.CloneOf(s.agent)
	s.agent.State = st
}

// expire ends the leases of agents that have not renewed them in time.
func (c *Core) expire(turn *wire.Turn, now time.Time) {
	for range maxSilent {
		w := c.next()
		if w == nil || !now.After(w.deadline) {
			return
		}
		heap.Pop(&c.deadlines)
		if a, ok := c.st.Agent(w.id); ok && a.Lives() {
			lost := proto.CloneOf(a.Agent)
			lost.State = wire.Agent_LOST
			turn.Agents = append(turn.Agents, lost)
		}
		cause := "agent " + w.id + " was silent until the lease ended"
		for _, g := range w.grips {
			c.lose(g, cause)
		}
		c.touch(w)
		if s := w.session; s != nil {
			c.Gone(s.conn)
			c.inbox.verify = append(c.inbox.verify, Message{To: s.conn, Close: "the lease of agent " + w.id + " ended: say hello again"})
		}
	}
}

// drains is when agents are to be empty that a person drains, by agent.
type drains struct {
	at    map[string]time.Time
	first time.Time // of them; zero: to be found
}

// follow takes in what the facts say of an agent's drain.
func (d *drains) follow(id string, a *state.Agent) {
	ms := int64(0)
	if a != nil {
		ms = a.Drain.GetDeadlineMs()
	}
	if _, known := d.at[id]; !known && ms == 0 {
		return
	}
	d.first = time.Time{}
	if ms == 0 {
		delete(d.at, id)
		return
	}
	d.at[id] = time.UnixMilli(ms)
}

// next is when the first of them comes; false: none does.
func (d *drains) next() (time.Time, bool) {
	if len(d.at) > 0 && d.first.IsZero() {
		d.first = slices.MinFunc(slices.Collect(maps.Values(d.at)), time.Time.Compare)
	}
	return d.first, len(d.at) > 0
}

// endDrains names in the turn those agents whose drain is over and that hold
// something still: by that it is a fact that it is to be stopped. As long as the
// facts do not say so, it is tried again.
func (c *Core) endDrains(turn *wire.Turn, now time.Time) {
	at, ok := c.drains.next()
	if !ok || at.After(now) {
		return
	}
	for _, id := range slices.Sorted(maps.Keys(c.drains.at)) {
		if c.drains.at[id].After(now) || len(turn.Agents) >= maxSilent {
			continue
		}
		a, known := c.st.Agent(id)
		if w := c.workers[id]; !known || w == nil || !slices.ContainsFunc(w.grips, c.runsOn) {
			delete(c.drains.at, id)
			c.drains.first = time.Time{}
			continue
		}
		turn.Agents = append(turn.Agents, a.Agent)
	}
}

// runsOn says whether nobody has asked yet for the end of an attempt.
func (c *Core) runsOn(g *grip) bool {
	l, ok := c.st.Lease(g.plan, g.number)
	return ok && !l.Stopping && !l.Yielding && !l.Draining
}

// shutOut ends the sessions that a join token let in which does not any more.
func (c *Core) shutOut(changes []state.Change, now time.Time) (out []Message) {
	if !slices.ContainsFunc(changes, func(ch state.Change) bool { return ch.Kind == state.TokensChanged }) {
		return nil
	}
	for _, conn := range slices.Sorted(maps.Keys(c.sessions)) {
		a := c.sessions[conn].agent
		if a.StartedBy == "" {
			continue
		}
		if err := c.st.Admits(a.StartedBy, a.Groups, now.UnixMilli()); err != nil {
			c.Gone(conn)
			out = append(out, Message{To: conn, Close: err.Error()})
		}
	}
	return out
}
