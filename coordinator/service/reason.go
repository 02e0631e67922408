package service

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	v1 "backfleet/api/v1"
	"backfleet/coordinator/schedule"
	"backfleet/coordinator/state"
	"backfleet/pkg/calendar"
	"backfleet/pkg/node"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// reason says what keeps an instance from running, exactly (RULES R8); nil for
// one that runs or has finished. The place in line is added by who can ask the
// scheduler.
func (s *Service) reason(r *reading, p *state.Plan, at plan.Place, b schedule.Block) *v1.Reason {
	switch b.Kind {
	case schedule.Ended:
		return nil
	case schedule.PlanStopped, schedule.PlanPaused, schedule.PlanHalted:
		return heldReason(p, b.Kind)
	case schedule.Frozen:
		return frozenReason(p, at)
	case schedule.Gate:
		return gateReason(p, at, b)
	case schedule.Upstream:
		return r.upstreamReason(p, at, b)
	case schedule.Predecessor:
		return r.waitsFor(p, v1.ReasonCodeSelfDependency, "its own cycle before,", b)
	case schedule.Overlap:
		return r.overlapReason(p, b)
	case schedule.Due:
		return dueReason(p, at, b)
	case schedule.Retry:
		return &v1.Reason{Code: v1.ReasonCodeRetry, Until: maybe(b.AtMs), Used: int(b.Next), Limit: int(b.Of),
			Text: fmt.Sprintf("retry %d of %d at %s", b.Next, b.Of, momentText(b.AtMs))}
	case schedule.Window:
		return &v1.Reason{Code: v1.ReasonCodeWindow, Backfill: plan.FormatID(p.ID), Until: maybe(b.AtMs),
			Text: fmt.Sprintf("outside its execution period, %s: it opens at %s", s.periodText(p.Request), momentText(b.AtMs))}
	case schedule.Conflict:
		return s.conflictReason(r, p, at, b)
	default: // Nothing, MaxRunning
		return r.capacity(p, at)
	}
}

// queuedReason is the reason of one that was granted ahead of a free slot and
// waits at its agent; nil for every other.
func (r *reading) queuedReason(p *state.Plan, i uint64) *v1.Reason {
	l := r.queued(p, i)
	if l == nil {
		return nil
	}
	out := &v1.Reason{
		Code: v1.ReasonCodeQueuedAtAgent, Agent: l.Agent, ResourceGroup: l.Group, Since: maybe(l.GrantedMs),
		Text: fmt.Sprintf("queued at agent %s, which starts it as soon as a slot of resource group %q is free there, or gives it back", l.Agent, l.Group),
	}
	switch {
	case l.Freezing:
		out.Text = fmt.Sprintf("queued at agent %s and called back, to be frozen (%s): it runs on only if it has started meanwhile", l.Agent, l.Cause)
	case l.Recalled:
		out.Text = fmt.Sprintf("queued at agent %s and called back (%s): it runs on only if it has started meanwhile", l.Agent, l.Cause)
	case l.Stopping, l.Draining:
		out.Text = fmt.Sprintf("queued at agent %s, which is told not to start it (%s)", l.Agent, l.Cause)
	}
	return out
}

// periodText says when instances may start: daily 22:00 to 06:00, UTC.
func (s *Service) periodText(req *wire.Request) string {
	day := "daily"
	if req.Period.Cycle == wire.Period_WEEKEND {
		day = "weekend"
	}
	end := calendar.Clock(req.Period.End).String()
	if req.Period.End == 24*3600 {
		end = "midnight"
	}
	return fmt.Sprintf("%s %s to %s, %s", day, calendar.Clock(req.Period.Start), end, cmp.Or(req.Zone, s.Zone))
}

// heldReason says who holds the whole plan and since when.
func heldReason(p *state.Plan, kind schedule.Kind) *v1.Reason {
	id := plan.FormatID(p.ID)
	out := &v1.Reason{Backfill: id}
	switch kind {
	case schedule.PlanHalted:
		out.Code, out.Limit, out.Used = v1.ReasonCodeHalted, int(p.Request.StopAfter), int(p.Failures)
		out.Text = fmt.Sprintf("backfill %s starts nothing new: %s failed, and it was to stop after %d; resume it to go on",
			id, count(uint64(p.Failures), "instance"), p.Request.StopAfter)
		return out
	case schedule.PlanStopped:
		out.Code = v1.ReasonCodeStopped
		by := blame(out, newest(p, wire.Operate_STOP))
		out.Text = fmt.Sprintf("backfill %s is stopped%s: resume it, or run this instance again", id, by)
	default:
		out.Code = v1.ReasonCodePaused
		by := blame(out, newest(p, wire.Operate_PAUSE))
		out.Text = fmt.Sprintf("backfill %s is paused%s: resume it to go on", id, by)
	}
	return out
}

// newest is the last operation of a kind on a plan as a whole; nil when its log
// has none.
func newest(p *state.Plan, kind wire.Operate_Kind) *wire.Operation {
	for o := range newestFirst(p, 0) {
		if o.Kind == kind && !o.Edit && len(o.Instances) == 0 {
			return o
		}
	}
	return nil
}

// blame notes in a reason who did an operation and when, and gives it in words.
func blame(out *v1.Reason, o *wire.Operation) string {
	if o == nil {
		return ""
	}
	out.By, out.Since = o.Actor, maybe(o.AtMs)
	return " by " + deed(o)
}

// deed says who did something, when and why: ann at 2021-08-24 12:00:00 UTC,
// because of a broken source.
func deed(o *wire.Operation) string {
	text := o.Actor + " at " + momentText(o.AtMs)
	if o.Why != "" {
		text += " (" + o.Why + ")"
	}
	return text
}

// frozenReason says who froze an instance and when, or that its node is paused.
func frozenReason(p *state.Plan, at plan.Place) *v1.Reason {
	i := p.Instance(at)
	out := &v1.Reason{Code: v1.ReasonCodeFrozen}
	if o := lastMark(p, i, wire.Operate_FREEZE); o != nil {
		out.Text = "frozen" + blame(out, o)
	} else {
		keeps := "the backfill keeps it so"
		if p.Auto {
			keeps = "the schedule does not run it"
		}
		out.Text = fmt.Sprintf("frozen: node %s is paused, and %s", p.Nodes[at.Node].Spec.Id, keeps)
	}
	if p.Status(i) == state.Missed {
		out.Text += "; it could have started meanwhile, so that unfreezing makes it failed, to be run again"
	} else {
		out.Text += ": unfreeze it to go on"
	}
	return out
}

// gateReason names the date before, and how much of it has not succeeded.
func gateReason(p *state.Plan, at plan.Place, b schedule.Block) *v1.Reason {
	before := p.Dates[b.Pos].String()
	out := &v1.Reason{Code: v1.ReasonCodeGate, Date: before, Backfill: plan.FormatID(p.ID)}
	group := p.Group(at.Pos) + 1
	if p.Request.Gate == wire.Request_NODE {
		from, to := p.NodeRange(b.Pos, at.Node)
		c := countRange(p, from, to)
		out.Text = fmt.Sprintf("node %s on %s, the date before it in group %d, has not finished: %s",
			p.Nodes[at.Node].Spec.Id, before, group, outstanding(c, to-from))
		return out
	}
	out.Text = fmt.Sprintf("%s, the date before it in group %d, has not finished: %s", before, group, outstanding(p.DateCounts(b.Pos), p.DateSize(b.Pos)))
	return out
}

// outstanding says how many have not succeeded, and what of them has failed.
func outstanding(c state.Counts, size uint64) string {
	text := fmt.Sprintf("%d of %s not succeeded", size-c.Success(), count(size, "instance"))
	if failed := c[state.Failed] + c[state.Stopped]; failed > 0 {
		text += fmt.Sprintf(" (%d failed)", failed)
	}
	return text
}

func countRange(p *state.Plan, from, to uint64) (c state.Counts) {
	for i := from; i < to; i++ {
		c[p.Status(i)]++
	}
	return c
}

// waitsFor is the reason of one that waits for another instance.
func (r *reading) waitsFor(p *state.Plan, code v1.ReasonCode, what string, b schedule.Block) *v1.Reason {
	q, ok := r.st.Plan(b.Plan)
	if !ok {
		return &v1.Reason{Code: code, Backfill: plan.FormatID(b.Plan), Text: what + " of a backfill that is gone by now"}
	}
	return &v1.Reason{Code: code, Instance: plan.FormatInstance(b.Plan, b.Instance), Backfill: plan.FormatID(b.Plan),
		Text: fmt.Sprintf("%s %s %s", what, describeIn(p, q, b.Instance), standing(q, b.Instance))}
}

// upstreamReason tells an upstream of the same date or window from a previous
// cycle, and from the schedule's other dates.
func (r *reading) upstreamReason(p *state.Plan, at plan.Place, b schedule.Block) *v1.Reason {
	if b.Plan != p.ID {
		if p.Auto {
			return r.waitsFor(p, v1.ReasonCodeSchedule, "the schedule's", b)
		}
		return r.waitsFor(p, v1.ReasonCodePreviousCycle, "previous cycle", b)
	}
	up, _ := p.Locate(b.Instance)
	upID := p.Nodes[up.Node].Spec.Id
	same := slices.ContainsFunc(p.Nodes[at.Node].Spec.Upstreams, func(u *wire.Upstream) bool { return u.Node == upID && !u.Previous })
	if !same {
		return r.waitsFor(p, v1.ReasonCodePreviousCycle, "previous cycle", b)
	}
	return r.waitsFor(p, v1.ReasonCodeUpstream, "upstream", b)
}

// describe names an instance for people: b12.3 (node a, 2021-01-11 02:00).
func describe(p *state.Plan, i uint64) string {
	place, _ := p.Locate(i)
	n := &p.Nodes[place.Node]
	when := p.Dates[place.Pos].String()
	if n.Schedule.SubDaily() {
		when += ", cycle " + p.Cycle(place).Wall.String()
	}
	return fmt.Sprintf("%s (node %s, %s)", plan.FormatInstance(p.ID, i), n.Spec.Id, when)
}

// describeIn also names the plan where it is another one.
func describeIn(p, q *state.Plan, i uint64) string {
	if p.ID == q.ID {
		return describe(q, i)
	}
	return describe(q, i) + " of " + planText(q) + ","
}

// planText names a plan: backfill b12 (a_20210824_1).
func planText(p *state.Plan) string {
	what := "backfill"
	if p.Auto {
		what = "day"
	}
	return fmt.Sprintf("%s %s (%s)", what, plan.FormatID(p.ID), p.Name)
}

var standings = map[state.Status]string{
	state.Pending: "has not started", state.Running: "runs", state.Failed: "has failed", state.Stopped: "was stopped",
	state.Frozen: "is frozen", state.Missed: "is frozen", state.Retrying: "waits for its retry", state.Again: "waits to run again",
}

func standing(p *state.Plan, i uint64) string { return cmp.Or(standings[p.Status(i)], "has succeeded") }

func (r *reading) overlapReason(p *state.Plan, b schedule.Block) *v1.Reason {
	q, ok := r.st.Plan(b.Plan)
	if !ok {
		return r.waitsFor(p, v1.ReasonCodeOverlap, "the same cycle", b)
	}
	why := "was accepted earlier"
	if q.Status(b.Instance) == state.Running {
		why = "runs it now"
	}
	return &v1.Reason{Code: v1.ReasonCodeOverlap, Instance: plan.FormatInstance(b.Plan, b.Instance), Backfill: plan.FormatID(b.Plan),
		Text: fmt.Sprintf("the same cycle in %s, which %s: %s %s", planText(q), why, describe(q, b.Instance), standing(q, b.Instance))}
}

func dueReason(p *state.Plan, at plan.Place, b schedule.Block) *v1.Reason {
	text := "due at " + momentText(b.AtMs)
	switch {
	case b.AtMs == p.Request.NotBeforeMs:
		text += ", before which the backfill was asked not to run"
	case b.AtMs == p.Cycle(at).Unix*1000:
		text += ", its scheduled time"
	}
	return &v1.Reason{Code: v1.ReasonCodeNotDue, Until: maybe(b.AtMs), Text: text}
}

// capacity is the reason of one that could start if there were room.
func (r *reading) capacity(p *state.Plan, at plan.Place) *v1.Reason {
	if p.Dry(at) != wire.DryRun_DRY_RUN_NONE {
		return &v1.Reason{Code: v1.ReasonCodeQueued, Text: "about to succeed as a dry run"}
	}
	if limit := int(p.Request.MaxRunning); limit > 0 && p.Active() >= limit {
		return &v1.Reason{Code: v1.ReasonCodeMaxRunning, Backfill: plan.FormatID(p.ID), Used: p.Active(), Limit: limit,
			Text: fmt.Sprintf("backfill %s runs %d of at most %d instances", plan.FormatID(p.ID), p.Active(), limit)}
	}
	group := p.ResourceGroup(at.Node)
	c, use := agentsOf(r.st, group), r.st.GroupUse(group)
	out := &v1.Reason{ResourceGroup: group, Used: use.Used, Limit: use.Slots, Code: v1.ReasonCodeNoAgent}
	switch {
	case c.agents == 0:
		out.Text = fmt.Sprintf("no agent is in resource group %q: start one with slots in it", group)
	case c.ready == 0:
		out.Text = fmt.Sprintf("none of the %s of resource group %q takes work: %d draining, %d lost or gone",
			count(uint64(c.agents), "agent"), group, c.draining, c.agents-c.draining)
	default:
		r.lacksSlots(p, at, use, out)
	}
	return out
}

// lacksSlots says what is missing where agents take work: labels, an agent that
// is large enough, what backfills may have, or free slots (RULES R7.5, R7.7,
// R7.8).
func (r *reading) lacksSlots(p *state.Plan, at plan.Place, use state.GroupUse, out *v1.Reason) {
	group, spec := out.ResourceGroup, p.Nodes[at.Node].Spec
	f, set := schedule.FitOf(r.st, group, spec), r.st.ResourceGroup(group)
	limit := schedule.BackfillLimit(use.Slots, set)
	if lack := f.Lack(group, spec); lack != "" {
		out.Text = lack + ": start such an agent, or change the node"
		return
	}
	out.Code = v1.ReasonCodeSlot
	what := fmt.Sprintf("a slot of resource group %q", group)
	if f.Needs > 1 {
		what = fmt.Sprintf("%d free slots of resource group %q at one agent", f.Needs, group)
	}
	if len(spec.Requires) > 0 {
		what += " with " + node.LabelText(spec.Requires)
	}
	switch {
	case !p.Auto && f.Needs > limit && limit < use.Slots:
		out.Used, out.Limit = use.Backfills, limit
		out.Text = fmt.Sprintf("waits for %s, and backfills may use %d in all (%s)", what, limit, capText(use.Slots, set))
	case !p.Auto && f.Now() && use.Backfills+f.Needs > limit:
		out.Used, out.Limit = use.Backfills, limit
		out.Text = fmt.Sprintf("waits for %s that backfills may use: %d of %d used (%s)", what, use.Backfills, limit, capText(use.Slots, set))
	case f.Now():
		out.Text = fmt.Sprintf("waits for %s: there is room, %d of %d used; it is given out in a moment, or kept for work that asks for more and has waited for long",
			what, use.Used, use.Slots)
	case !schedule.Plain(spec):
		out.Text = fmt.Sprintf("waits for %s: of %s that could run it, the one with the most has %d free; %d of %d used in all",
			what, count(uint64(f.Able), "agent"), f.Free, use.Used, use.Slots)
	default:
		out.Text = fmt.Sprintf("waits for %s: %d of %d used", what, use.Used, use.Slots)
	}
}

// warnUnheld warns of nodes that no agent there is could ever run: agents may
// come, so it is no error.
func (a *ahead) warnUnheld() {
	for n := range a.p.Nodes {
		spec, group := a.p.Nodes[n].Spec, a.p.ResourceGroup(n)
		if schedule.Plain(spec) || a.p.DryNode(n) != wire.DryRun_DRY_RUN_NONE {
			continue
		}
		if lack := schedule.FitOf(a.st, group, spec).Lack(group, spec); lack != "" {
			a.warn("agents", spec.Id, "no agent could run it now: {lack}", "lack", lack)
		}
	}
}

// capText says what bounds backfills in a resource group (RULES R7.5).
func capText(slots int, g *wire.PutResourceGroup) string {
	text := count(uint64(slots), "slot") + " in all"
	if g.ReserveForAuto > 0 {
		text += fmt.Sprintf(", %d reserved for the schedule", g.ReserveForAuto)
	}
	if g.BackfillMaxShare > 0 {
		text += fmt.Sprintf(", backfills have at most %d %%", g.BackfillMaxShare)
	}
	return text
}

// crew is how many agents a resource group has, and how they are.
type crew struct{ agents, ready, draining int }

func agentsOf(st *state.State, group string) (c crew) {
	st.Agents(func(a *state.Agent) {
		if !slices.ContainsFunc(a.Groups, func(g *wire.GroupSlots) bool { return g.Group == group }) {
			return
		}
		c.agents++
		switch a.State {
		case wire.Agent_READY:
			c.ready++
		case wire.Agent_DRAINING:
			c.draining++
		}
	})
	return c
}

func momentText(ms int64) string { return moment(ms).Format("2006-01-02 15:04:05 MST") }

func count(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.FormatUint(n, 10) + " " + what + "s"
}

// ordinal writes a place in line: 1st, 2nd, 3rd, 4th, 11th.
func ordinal(n int) string {
	suffix := "th"
	if n%100 < 11 || n%100 > 13 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return strconv.Itoa(n) + suffix
}
