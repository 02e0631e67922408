package dispatch

import (
	"slices"
	"time"

	"backfleet/coordinator/state"
	"backfleet/pkg/calendar"
	"backfleet/pkg/params"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// prepared is what an agent is told of a grant, as far as it is known before
// the log has it.
type prepared struct {
	p         *state.Plan
	at        plan.Place
	generated calendar.Date
	work      *wire.Work
	err       error // its parameters cannot be rendered
}

// Prepare renders what the grants of the turn under way will say, so that it is
// done while the entry is on its way. Committed does what is left.
func (c *Core) Prepare() {
	done := c.proposed
	if done == nil {
		return
	}
	grants := done.turn.Grants[len(done.prepared):]
	done.prepared = slices.Grow(done.prepared, len(grants))
	works, refs := make([]wire.Work, len(grants)), make([]wire.AttemptRef, len(grants))
	for i, g := range grants {
		work := &works[i]
		work.Ref = &refs[i]
		done.prepared = append(done.prepared, c.prepare(g, work))
	}
}

func (c *Core) prepare(g *wire.Grant, work *wire.Work) prepared {
	p, ok := c.st.Plan(g.Plan)
	if !ok {
		return prepared{}
	}
	at, ok := p.Locate(g.Instance)
	if !ok {
		return prepared{}
	}
	out := prepared{p: p, at: at, generated: p.Context(at).Generated, work: work}
	var values []params.Assignment
	values, out.err = p.Values(at)
	t := p.Cycle(at)
	work.Ref.Plan, work.Ref.Instance = g.Plan, g.Instance
	work.DataTimestamp = int32(p.Dates[at.Pos])
	work.ScheduledDate, work.ScheduledClock = int32(t.Wall.Date), int32(t.Wall.Clock)
	work.Values, work.Ahead = wireValues(values), g.Ahead
	work.Priority = 2 * p.PriorityOf(at) // as the scheduler orders them
	if p.Auto {
		work.Priority++
	}
	return out
}

func wireValues(values []params.Assignment) []*wire.Assignment {
	out, all := make([]*wire.Assignment, len(values)), make([]wire.Assignment, len(values))
	for i, v := range values {
		all[i].Name, all[i].Value = v.Name, v.Value
		out[i] = &all[i]
	}
	return out
}

// handOut takes in a grant that is a fact and adds it to the message for its
// agent. When the agent is not connected now, its next hello shows that it does
// not hold the lease.
func (c *Core) handOut(work map[Conn]*wire.Assign, g *wire.Grant, as *prepared, now time.Time) {
	i := instance{g.Plan, g.Instance}
	l, ok := c.st.Lease(g.Plan, g.Instance)
	if !ok || l.Fence != c.st.Index() || c.grips[i] != nil {
		return // refused
	}
	own := c.hold(l, c.sched.Pace(as.p, as.at.Node))
	s := own.w.session
	if s == nil {
		return
	}
	if as.err != nil {
		c.failed = append(c.failed, result{s.conn, own.w, &wire.AttemptResult{
			Ref: l.Ref(), Outcome: wire.Outcome_FAILED, ExitCode: -1, StartedMs: now.UnixMilli(), EndedMs: now.UnixMilli(),
			Cause: "its parameters cannot be rendered: " + as.err.Error(),
		}})
		return
	}
	a := work[s.conn]
	if a == nil {
		a = &wire.Assign{}
		work[s.conn] = a
	}
	own.seen, own.since = false, now
	as.work.Ref.Attempt, as.work.Ref.Fence = l.Attempt, l.Fence
	as.work.Definition = c.define(s, a, as, l)
	a.Work = append(a.Work, as.work)
}

// withCode is a pinned spec with newer code: all that says what runs. When it
// runs, where and as whom stays as it was (RULES R1.6).
func withCode(spec, code *wire.Node) *wire.Node {
	return &wire.Node{
		Id: spec.Id, Name: spec.Name, Workspace: spec.Workspace, Owner: spec.Owner, Type: spec.Type, Dialect: spec.Dialect,
		Params: spec.Params, Schedule: spec.Schedule, Baseline: spec.Baseline, Priority: spec.Priority,
		ResourceGroup: spec.ResourceGroup, DependsOnSelf: spec.DependsOnSelf, TimeoutMs: spec.TimeoutMs,
		Environment: spec.Environment,
		Code:        code.Code, Source: code.Source, Sql: code.Sql, Python: code.Python, Http: code.Http, Check: code.Check,
		Integration: code.Integration, Logical: code.Logical,
		Requires: spec.Requires, Slots: spec.Slots, User: spec.User, Limits: spec.Limits, ExitCodes: spec.ExitCodes, Secrets: spec.Secrets,
	}
}
