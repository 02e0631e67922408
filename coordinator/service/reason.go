package service

import (
	"cmp"
	"fmt"
	"strconv"

	v1 "backfleet/api/v1"
	"backfleet/coordinator/schedule"
	"backfleet/coordinator/state"
	"backfleet/pkg/calendar"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// reason says what keeps an instance from running, exactly (RULES R8); nil for
// one that runs or has finished. The place in line is added by who can ask the
// scheduler.
func (r *reading) reason(p *state.Plan, at plan.Place, b schedule.Block) *v1.Reason {
	id := plan.FormatID(p.ID)
	switch b.Kind {
	case schedule.Ended:
		return nil
	case schedule.PlanStopped:
		return &v1.Reason{Code: v1.ReasonCodeStopped, Backfill: id,
			Text: fmt.Sprintf("backfill %s is stopped: resume it, or run this instance again", id)}
	case schedule.PlanPaused:
		return &v1.Reason{Code: v1.ReasonCodePaused, Backfill: id, Text: fmt.Sprintf("backfill %s is paused: resume it to go on", id)}
	case schedule.PlanHalted:
		return &v1.Reason{Code: v1.ReasonCodeHalted, Backfill: id, Limit: int(p.Request.StopAfter), Used: int(p.Failures),
			Text: fmt.Sprintf("backfill %s starts nothing new: %s failed, and it was to stop after %d; resume it to go on",
				id, count(uint64(p.Failures), "instance"), p.Request.StopAfter)}
	case schedule.Frozen:
		return &v1.Reason{Code: v1.ReasonCodeFrozen, Text: "it is frozen: unfreeze it to go on"}
	case schedule.Gate:
		return gateReason(p, at, b)
	case schedule.Upstream:
		return r.waitsFor(v1.ReasonCodeUpstream, "upstream", b)
	case schedule.Predecessor:
		return r.waitsFor(v1.ReasonCodeSelfDependency, "its own cycle before,", b)
	case schedule.Overlap:
		return r.overlapReason(p, b)
	case schedule.Due:
		return dueReason(p, at, b)
	case schedule.Retry:
		return &v1.Reason{Code: v1.ReasonCodeRetry, Until: maybe(b.AtMs), Used: int(b.Next), Limit: int(b.Of),
			Text: fmt.Sprintf("retry %d of %d at %s", b.Next, b.Of, momentText(b.AtMs))}
	default: // Nothing, MaxRunning
		return r.capacity(p, at)
	}
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
	from, to := p.Range(b.Pos)
	out.Text = fmt.Sprintf("%s, the date before it in group %d, has not finished: %s", before, group, outstanding(p.DateCounts(b.Pos), to-from))
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
func (r *reading) waitsFor(code v1.ReasonCode, what string, b schedule.Block) *v1.Reason {
	q, _ := r.st.Plan(b.Plan)
	return &v1.Reason{Code: code, Instance: plan.FormatInstance(b.Plan, b.Instance), Backfill: plan.FormatID(b.Plan),
		Text: fmt.Sprintf("%s %s %s", what, describe(q, b.Instance), standing(q, b.Instance))}
}

// describe names an instance for people: b12.3 (node a, 2021-01-11 02:00).
func describe(p *state.Plan, i uint64) string {
	place, _ := p.Locate(i)
	n := &p.Nodes[place.Node]
	when := p.Dates[place.Pos].String()
	if n.Schedule.Kind != calendar.Daily {
		when += ", cycle " + p.Cycle(place).Wall.String()
	}
	return fmt.Sprintf("%s (node %s, %s)", plan.FormatInstance(p.ID, i), n.Spec.Id, when)
}

var standings = map[state.Status]string{
	state.Pending: "has not started", state.Running: "runs", state.Failed: "has failed", state.Stopped: "was stopped",
	state.Frozen: "is frozen", state.Retrying: "waits for its retry", state.Again: "waits to run again",
}

func standing(p *state.Plan, i uint64) string { return cmp.Or(standings[p.Status(i)], "has succeeded") }

func (r *reading) overlapReason(p *state.Plan, b schedule.Block) *v1.Reason {
	q, _ := r.st.Plan(b.Plan)
	why := "was accepted earlier"
	if b.Plan > p.ID {
		why = "runs it now"
	}
	return &v1.Reason{Code: v1.ReasonCodeOverlap, Instance: plan.FormatInstance(b.Plan, b.Instance), Backfill: plan.FormatID(b.Plan),
		Text: fmt.Sprintf("the same cycle in backfill %s (%s), which %s: %s %s",
			plan.FormatID(b.Plan), q.Name, why, describe(q, b.Instance), standing(q, b.Instance))}
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
	if p.Nodes[at.Node].DryRun != wire.DryRun_DRY_RUN_NONE {
		return &v1.Reason{Code: v1.ReasonCodeQueued, Text: "about to succeed as a dry run"}
	}
	if limit := int(p.Request.MaxRunning); limit > 0 && p.Active() >= limit {
		return &v1.Reason{Code: v1.ReasonCodeMaxRunning, Backfill: plan.FormatID(p.ID), Used: p.Active(), Limit: limit,
			Text: fmt.Sprintf("backfill %s runs %d of at most %d instances", plan.FormatID(p.ID), p.Active(), limit)}
	}
	group := p.ResourceGroup(at.Node)
	c := r.groupOf(group)
	out := &v1.Reason{ResourceGroup: group, Used: c.used, Limit: c.slots, Code: v1.ReasonCodeNoAgent}
	switch {
	case c.agents == 0:
		out.Text = fmt.Sprintf("no agent is in resource group %q: start one with slots in it", group)
	case c.ready == 0:
		out.Text = fmt.Sprintf("none of the %s of resource group %q takes work: %d draining, %d silent",
			count(uint64(c.agents), "agent"), group, c.draining, c.agents-c.draining)
	default:
		out.Code = v1.ReasonCodeSlot
		out.Text = fmt.Sprintf("waits for a slot of resource group %q: %d of %d used", group, c.used, c.slots)
	}
	return out
}

// groupUse is how full a resource group is. Slots and used are those of agents
// that take work.
type groupUse struct{ agents, ready, draining, used, slots int }

func (r *reading) groupOf(group string) (u groupUse) {
	r.st.Agents(func(a *state.Agent) {
		for i, g := range a.Groups {
			if g.Group != group {
				continue
			}
			u.agents++
			switch a.State {
			case wire.Agent_READY:
				u.ready++
				u.used += int(a.Used[i])
				u.slots += int(g.Slots)
			case wire.Agent_DRAINING:
				u.draining++
			}
		}
	})
	return u
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
