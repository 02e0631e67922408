package service

import (
	"fmt"

	v1 "backfleet/api/v1"
	"backfleet/coordinator/machine"
	"backfleet/coordinator/state"
	"backfleet/pkg/plan"
)

// entryLooks bounds how many instances are looked at to describe one entry.
const entryLooks = 2000

// describeEntry tells what an entry changed, the same on every coordinator: it
// goes by the facts and the entry's own time. Instances are told one by one
// unless there are many; every plan that changed is told once, with its counts,
// and every date that was completed.
func describeEntry(before *state.State, a machine.Applied) []told {
	d := &entry{before: before, reading: &reading{st: a.State, nowMs: a.State.NowMs(), left: entryLooks}, moved: map[uint64]int{}, done: map[[2]uint64]bool{}}
	for _, c := range a.Changes {
		if c.Kind == state.InstanceChanged {
			d.moved[c.Plan]++
		}
	}
	for _, c := range a.Changes {
		d.change(c)
	}
	for _, id := range d.order {
		d.plan(id)
	}
	return d.out
}

type entry struct {
	*reading
	before *state.State
	moved  map[uint64]int // instances changed, by plan
	done   map[[2]uint64]bool
	order  []uint64          // plans touched
	texts  map[uint64]string // what was done to them
	out    []told
}

func (d *entry) add(planID uint64, merge bool, e *v1.Event) {
	e.At = moment(d.nowMs)
	if planID > 0 {
		e.Backfill = plan.FormatID(planID)
	}
	d.out = append(d.out, told{event: e, plan: planID, merge: merge})
}

func (d *entry) touch(planID uint64, text string) {
	if d.texts == nil {
		d.texts = map[uint64]string{}
	}
	if _, ok := d.texts[planID]; !ok {
		d.order = append(d.order, planID)
	}
	if text != "" || d.texts[planID] == "" {
		d.texts[planID] = text
	}
}

func (d *entry) change(c state.Change) {
	switch c.Kind {
	case state.PlanAccepted:
		d.touch(c.Plan, "accepted")
	case state.PlanChanged:
		p, _ := d.st.Plan(c.Plan)
		d.touch(c.Plan, "changed by "+p.ChangedBy)
	case state.PlanHalted:
		d.touch(c.Plan, "halted: too many instances failed")
	case state.InstanceChanged:
		d.touch(c.Plan, "")
		d.instance(c)
	case state.DateOpened:
		p, _ := d.st.Plan(c.Plan)
		d.add(c.Plan, false, &v1.Event{Type: v1.EventTypeDate, Date: p.Dates[c.Instance].String(),
			Text: "may start although the date before it has not succeeded"})
	case state.AgentChanged:
		if a, ok := d.st.Agent(c.Agent); ok {
			d.add(0, false, &v1.Event{Type: v1.EventTypeAgent, Agent: a.Id, AgentState: agentWords[a.State]})
		}
	case state.NodesChanged:
		d.add(0, false, &v1.Event{Type: v1.EventTypeNode, Text: "nodes were applied"})
	case state.ServersChanged:
		d.add(0, false, &v1.Event{Type: v1.EventTypeCluster, Text: "the coordinators or their addresses changed"})
	}
}

func (d *entry) instance(c state.Change) {
	p, _ := d.st.Plan(c.Plan)
	place, _ := p.Locate(c.Instance)
	if d.moved[c.Plan] <= burst {
		e := &v1.Event{
			Type: v1.EventTypeInstance, Instance: plan.FormatInstance(c.Plan, c.Instance), Node: p.Nodes[place.Node].Spec.Id,
			Date: p.Dates[place.Pos].String(), State: statusWord(c.To),
		}
		if l, ok := d.st.Lease(c.Plan, c.Instance); ok && c.To == state.Running {
			e.Agent = l.Agent
		}
		d.add(c.Plan, false, e)
	}
	key := [2]uint64{c.Plan, uint64(place.Pos)}
	if d.done[key] || !p.DateSucceeded(place.Pos) {
		return
	}
	d.done[key] = true
	if old, ok := d.before.Plan(c.Plan); ok && old.DateSucceeded(place.Pos) {
		return
	}
	d.add(c.Plan, false, &v1.Event{Type: v1.EventTypeDate, Date: p.Dates[place.Pos].String(), State: v1.StateSucceeded,
		Text: fmt.Sprintf("every instance of %s has succeeded", p.Dates[place.Pos])})
}

// plan tells where a plan stands after the entry.
func (d *entry) plan(id uint64) {
	p, _ := d.st.Plan(id)
	counts := shownCounts(p.Total(), int64(p.Total()[state.Retrying]))
	text := d.texts[id]
	d.add(id, text == "", &v1.Event{Type: v1.EventTypeBackfill, State: d.motion(p).plan(), Counts: &counts, Text: text})
}
