package dispatch

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"backfleet/coordinator/state"
	"backfleet/pkg/wire"
)

// Turn decides what happens next and gives it to be proposed; nil when there
// is nothing. It tries its decisions on an edit of the facts, so that the
// completion of an upstream and the start of what waits for it meet in one
// entry. Until Committed, no other Turn may begin.
func (c *Core) Turn(now time.Time) *wire.Turn {
	nowMs := now.UnixMilli()
	c.sched.Tick(nowMs)
	turn, acks := c.takeIn(now)
	try := trial{c: c, st: c.st, nowMs: nowMs}
	try.step(turn)
	c.more = false
	for others := 0; !c.more; c.more = others >= maxOthers {
		next := &wire.Turn{Yields: c.sched.Yields(), Missed: c.sched.Missed(), Opens: c.sched.Opens(), DryRuns: c.sched.DryRuns()}
		if empty(next) {
			break
		}
		try.step(next)
		turn.Yields = append(turn.Yields, next.Yields...)
		turn.Missed = append(turn.Missed, next.Missed...)
		turn.Opens = append(turn.Opens, next.Opens...)
		turn.DryRuns = append(turn.DryRuns, next.DryRuns...)
		others += transitions(next)
	}
	c.settle(try.st, now, c.terms.Ahead > 0)
	turn.Grants = c.sched.Fill(c.offers, maxGrants)
	c.more = c.more || len(turn.Grants) == maxGrants
	c.proposed = &proposal{turn: turn, acks: acks}
	if empty(turn) {
		return nil
	}
	return turn
}

func empty(t *wire.Turn) bool {
	return len(t.Agents)+len(t.Finishes)+len(t.Losses)+len(t.Started)+len(t.Yields)+len(t.Missed)+len(t.Opens)+len(t.DryRuns)+len(t.Grants) == 0
}

// transitions counts what a round of a turn decides.
func transitions(t *wire.Turn) int {
	n := len(t.Opens) + len(t.Yields)
	for _, m := range t.Missed {
		n += len(m.Instances)
	}
	for _, d := range t.DryRuns {
		n += len(d.Instances)
	}
	return n
}

// trial carries the facts that a turn's decisions would lead to.
type trial struct {
	c     *Core
	st    *state.State
	nowMs int64
}

func (t *trial) step(turn *wire.Turn) {
	if empty(turn) {
		return
	}
	e := t.st.Edit(t.st.Index()+1, t.nowMs)
	e.Turn(turn)
	st, changes := e.Done()
	t.st = st
	t.c.sched.Observe(st, changes, t.nowMs)
}

// takeIn turns what came in into the first part of a turn. The results that
// are not of a live lease are final as they are and only acknowledged.
func (c *Core) takeIn(now time.Time) (*wire.Turn, []result) {
	turn := &wire.Turn{}
	c.endDrains(turn, now) // first: what agents say of themselves is newer
	turn.Agents = append(turn.Agents, c.inbox.agents...)
	c.inbox.agents = nil
	c.expire(turn, now)
	for _, a := range turn.Agents {
		c.foresee(c.worker(a.Id))
	}
	results := c.inbox.results
	if len(c.failed) > 0 {
		results = append(c.failed, results...)
		c.failed = nil
	}
	n := min(len(results), maxFinishes)
	acks := results[:n:n]
	c.inbox.results = results[n:]
	ends := make([]wire.Finish, n)
	turn.Finishes = make([]*wire.Finish, 0, n)
	for k, r := range acks {
		if s := c.sessions[r.conn]; s != nil {
			s.waiting--
		}
		if c.ends(&ends[k], r, now) {
			turn.Finishes = append(turn.Finishes, &ends[k])
		}
	}
	n = min(len(c.inbox.started), maxFinishes)
	for _, g := range c.inbox.started[:n] {
		if c.grips[g.instance] == g && g.ahead && !g.taken {
			turn.Started = append(turn.Started, &wire.Started{Plan: g.plan, Instance: g.number, Fence: g.fence})
			c.starts(g)
			c.foresee(g.w)
		}
	}
	c.inbox.started = c.inbox.started[n:]
	turn.Losses = c.losses()
	return turn, acks
}

// ends makes a result of a live lease of its sender a finish; false when it is
// of none.
func (c *Core) ends(f *wire.Finish, said result, now time.Time) bool {
	r := said.r
	g := c.own(said.w, r.Ref)
	if g == nil || g.taken {
		return false
	}
	switch r.Outcome {
	case wire.Outcome_SUCCEEDED, wire.Outcome_FAILED, wire.Outcome_TIMED_OUT:
		if r.StartedMs > 0 {
			g.pace.Add(r.EndedMs - r.StartedMs)
		}
		if r.SlotMs > 0 {
			g.load.took(r.SlotMs, g.pace)
		}
	case wire.Outcome_RECALLED:
		if s := g.w.session; g.told == wantsNothing && s != nil && s.agent.State == wire.Agent_READY {
			g.w.patient = now.Add(backOff)
		}
	default:
	}
	g.taken = true
	c.lift(g)
	c.foresee(g.w)
	f.Plan, f.Instance, f.Fence, f.Outcome, f.ExitCode = g.plan, g.number, g.fence, r.Outcome, r.ExitCode
	f.StartedMs, f.EndedMs, f.Cause, f.Metrics = r.StartedMs, r.EndedMs, state.KeptCause(r.Cause), state.KeptMetrics(r.Metrics)
	return true
}

// losses takes the leases that end without a result, as many as fit in a turn.
func (c *Core) losses() (out []*wire.Loss) {
	slices.SortFunc(c.lost, func(a, b *grip) int { // they come agent by agent
		return cmp.Or(cmp.Compare(a.plan, b.plan), cmp.Compare(a.number, b.number))
	})
	n := min(len(c.lost), maxFinishes)
	for _, g := range c.lost[:n] {
		if !g.taken {
			g.taken = true
			c.lift(g)
			c.foresee(g.w)
			out = append(out, &wire.Loss{Plan: g.plan, Instance: g.number, Fence: g.fence, Cause: g.cause})
		}
	}
	c.lost = c.lost[n:]
	return out
}

// Committed takes in the turn that Turn gave, as the log applied it, and gives
// the messages that follow. For a nil turn it is called with the state at
// hand.
func (c *Core) Committed(st *state.State, changes []state.Change, refused []state.Refused, now time.Time) []Message {
	done := c.proposed
	c.st = st
	c.track(changes)
	c.decided()
	c.sched.Observe(st, granted(changes), now.UnixMilli())
	// What the scheduler foresaw and what others did meanwhile may not fit.
	for _, r := range refused {
		done.others = append(done.others, r.Plan)
	}
	slices.Sort(done.others)
	c.sched.Reload(st, slices.Compact(done.others)...)
	c.Prepare()
	c.proposed = nil
	work := map[Conn]*wire.Assign{}
	for i, g := range done.turn.Grants {
		c.touch(c.worker(g.Agent))
		c.handOut(work, g, &done.prepared[i], now)
	}
	out := append(c.acknowledge(done.acks), c.stops(changes)...)
	for _, conn := range slices.Sorted(maps.Keys(work)) {
		out = append(out, Message{To: conn, Body: assign(work[conn])})
	}
	return out
}

// granted is what the scheduler has not seen tried: the grants, which come last
// of what a turn changes.
func granted(changes []state.Change) []state.Change {
	n := len(changes)
	for n > 0 && changes[n-1].Kind == state.InstanceChanged && changes[n-1].To == state.Running {
		n--
	}
	return changes[n:]
}

// acknowledge tells agents that their results are final.
func (c *Core) acknowledge(acks []result) []Message {
	refs := map[Conn][]*wire.AttemptRef{}
	for _, r := range acks {
		refs[r.conn] = append(refs[r.conn], r.r.Ref)
	}
	var out []Message
	for _, conn := range slices.Sorted(maps.Keys(refs)) {
		// A seq of 0 renews nothing: renewals are acknowledged apart.
		out = append(out, Message{To: conn, Body: ack(&wire.Ack{Results: refs[conn]})})
	}
	return out
}
