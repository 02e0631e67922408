package dispatch

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"backfleet/coordinator/schedule"
	"backfleet/coordinator/state"
	"backfleet/pkg/params"
	"backfleet/pkg/plan"
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
	turn.Grants = c.sched.Grants(c.freeSlots(try.st))
	try.step(&wire.Turn{Grants: turn.Grants})
	c.proposed = &proposal{turn: turn, acks: acks}
	if empty(turn) {
		return nil
	}
	return turn
}

func empty(t *wire.Turn) bool {
	return len(t.Agents)+len(t.Finishes)+len(t.Losses)+len(t.Yields)+len(t.Missed)+len(t.Opens)+len(t.DryRuns)+len(t.Grants) == 0
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
	turn := &wire.Turn{Agents: c.inbox.agents, Losses: c.lost}
	c.inbox.agents, c.lost = nil, nil
	c.expire(turn, now)
	slices.SortFunc(turn.Losses, func(a, b *wire.Loss) int { // they come from maps
		return cmp.Or(cmp.Compare(a.Plan, b.Plan), cmp.Compare(a.Instance, b.Instance))
	})
	results := append(c.failed, c.inbox.results...)
	c.failed = nil
	n := min(len(results), maxFinishes)
	acks := results[:n:n]
	c.inbox.results = results[n:]
	for _, r := range acks {
		ref := r.r.Ref
		if l, ok := c.st.Lease(ref.GetPlan(), ref.GetInstance()); ok && l.Fence == ref.Fence {
			turn.Finishes = append(turn.Finishes, &wire.Finish{
				Plan: ref.Plan, Instance: ref.Instance, Fence: ref.Fence, Outcome: r.r.Outcome, ExitCode: r.r.ExitCode,
				StartedMs: r.r.StartedMs, EndedMs: r.r.EndedMs, Cause: r.r.Cause,
			})
		}
	}
	return turn, acks
}

// expire ends the leases of agents that have not renewed them in time.
func (c *Core) expire(turn *wire.Turn, now time.Time) {
	for _, id := range slices.Sorted(maps.Keys(c.deadline)) {
		if !now.After(c.deadline[id]) {
			continue
		}
		delete(c.deadline, id)
		if a, ok := c.st.Agent(id); ok && a.State != wire.Agent_SILENT {
			silent := &wire.Agent{
				Id: a.Id, Incarnation: a.Incarnation, Host: a.Host, Version: a.Version, Groups: a.Groups, Labels: a.Labels,
				State: wire.Agent_SILENT,
			}
			turn.Agents = append(turn.Agents, silent)
		}
		for i := range c.held[id] {
			if l, ok := c.st.Lease(i.plan, i.number); ok {
				turn.Losses = append(turn.Losses, &wire.Loss{
					Plan: i.plan, Instance: i.number, Fence: l.Fence, Cause: "agent " + id + " was silent until the lease ended",
				})
			}
		}
		if s := c.byAgent[id]; s != nil {
			c.Gone(s.conn)
			c.inbox.verify = append(c.inbox.verify, Message{To: s.conn, Close: "the lease of agent " + id + " ended: say hello again"})
		}
	}
}

// freeSlots lists what every connected agent could take, by resource group.
func (c *Core) freeSlots(st *state.State) map[string][]schedule.Slots {
	out := map[string][]schedule.Slots{}
	st.Agents(func(a *state.Agent) {
		if c.byAgent[a.Id] == nil {
			return
		}
		for _, g := range a.Groups {
			if n := a.Free(g.Group); n > 0 {
				out[g.Group] = append(out[g.Group], schedule.Slots{Agent: a.Id, Free: min(n, maxGrants)})
			}
		}
	})
	return out
}

// Committed takes in the turn that Turn gave, as the log applied it, and gives
// the messages that follow. For a nil turn it is called with the state at
// hand.
func (c *Core) Committed(st *state.State, changes []state.Change, refused []state.Refused, now time.Time) []Message {
	done := c.proposed
	c.proposed = nil
	c.st = st
	c.track(changes)
	c.sched.Observe(st, nil, now.UnixMilli())
	// What the scheduler foresaw and what others did meanwhile may not fit.
	refusedSet := map[instance]struct{}{}
	for _, r := range refused {
		refusedSet[instance{r.Plan, r.Instance}] = struct{}{}
		done.others = append(done.others, r.Plan)
	}
	slices.Sort(done.others)
	c.sched.Reload(st, slices.Compact(done.others)...)
	out := append(c.acknowledge(done.acks), c.stops(changes)...)
	work := map[Conn]*wire.Assign{}
	for _, g := range done.turn.Grants {
		if _, no := refusedSet[instance{g.Plan, g.Instance}]; !no {
			c.handOut(work, g, now)
		}
	}
	for _, conn := range slices.Sorted(maps.Keys(work)) {
		out = append(out, Message{To: conn, Body: assign(work[conn])})
	}
	return out
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

// handOut adds a granted instance to the message for its agent. When the agent
// is not connected now, its next hello shows that it does not hold the lease.
func (c *Core) handOut(work map[Conn]*wire.Assign, g *wire.Grant, now time.Time) {
	l, ok := c.st.Lease(g.Plan, g.Instance)
	s := c.byAgent[g.Agent]
	if !ok || s == nil {
		return
	}
	p, _ := c.st.Plan(g.Plan)
	at, _ := p.Locate(g.Instance)
	values, err := p.Values(at)
	if err != nil {
		c.failed = append(c.failed, result{s.conn, &wire.AttemptResult{
			Ref: l.Ref(), Outcome: wire.Outcome_FAILED, ExitCode: -1, StartedMs: now.UnixMilli(), EndedMs: now.UnixMilli(),
			Cause: "its parameters cannot be rendered: " + err.Error(),
		}})
		return
	}
	a := work[s.conn]
	if a == nil {
		a = &wire.Assign{}
		work[s.conn] = a
	}
	s.granted[instance{g.Plan, g.Instance}] = now
	t := p.Cycle(at)
	a.Work = append(a.Work, &wire.Work{
		Ref: l.Ref(), Definition: c.define(s, a, p, at, l), DataTimestamp: int32(p.Dates[at.Pos]),
		ScheduledDate: int32(t.Wall.Date), ScheduledClock: int32(t.Wall.Clock), Values: wireValues(values),
	})
}

// define gives the number of what all attempts of a node version in a plan
// share, and adds it to the message when the session does not know it yet.
func (c *Core) define(s *session, a *wire.Assign, p *state.Plan, at plan.Place, l *state.Lease) uint64 {
	pinned := &p.Nodes[at.Node]
	key := definition{plan: p.ID, node: at.Node, version: l.Version, generated: p.Context(at).Generated}
	if id, ok := s.defs[key]; ok {
		return id
	}
	id := uint64(len(s.defs) + 1)
	s.defs[key] = id
	spec := pinned.Spec
	if l.Version != pinned.Version {
		if n, ok := c.st.Node(spec.Id); ok {
			spec = withCode(spec, n.Spec.Code)
		}
	}
	a.Definitions = append(a.Definitions, &wire.Definition{
		Id: id, Node: spec, CodeVersion: l.Version, Generated: int32(key.generated),
		ResourceGroup: l.Group, PlanName: p.Name,
	})
	return id
}

// withCode is a pinned spec with newer code (RULES R1.6).
func withCode(spec *wire.Node, code string) *wire.Node {
	return &wire.Node{
		Id: spec.Id, Name: spec.Name, Workspace: spec.Workspace, Owner: spec.Owner, Type: spec.Type, Dialect: spec.Dialect,
		Params: spec.Params, Schedule: spec.Schedule, Baseline: spec.Baseline, Priority: spec.Priority,
		ResourceGroup: spec.ResourceGroup, DependsOnSelf: spec.DependsOnSelf, TimeoutMs: spec.TimeoutMs,
		Environment: spec.Environment, Code: code,
	}
}

func wireValues(values []params.Assignment) []*wire.Assignment {
	out := make([]*wire.Assignment, len(values))
	for i, v := range values {
		out[i] = &wire.Assignment{Name: v.Name, Value: v.Value}
	}
	return out
}
