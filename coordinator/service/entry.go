package service

import (
	"fmt"
	"strings"

	"backfleet/api/convert"
	v1 "backfleet/api/v1"
	"backfleet/coordinator/machine"
	"backfleet/coordinator/state"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
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
		text := "accepted"
		if p, ok := d.st.Plan(c.Plan); ok && p.Auto {
			text = fmt.Sprintf("the schedule's instances of %s were generated", p.Dates[0])
		}
		d.touch(c.Plan, text)
	case state.PlanChanged:
		d.planChanged(c.Plan)
	case state.PlanHalted:
		d.touch(c.Plan, "halted: too many instances failed")
	case state.PlanExpired:
		d.expired(c.Plan)
	case state.InstanceChanged:
		d.touch(c.Plan, "")
		d.instance(c)
	case state.LeaseEnding:
		d.yielding(c)
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
	case state.SettingsChanged:
		d.add(0, false, &v1.Event{Type: v1.EventTypeCluster, Text: "a resource group, a workspace or a region was set"})
	}
}

// planChanged tells the operations that an entry added to a plan's log; without
// any, the schedule's day got more instances.
func (d *entry) planChanged(id uint64) {
	p, ok := d.st.Plan(id)
	if !ok {
		return
	}
	known := 0
	if old, ok := d.before.Plan(id); ok {
		known = len(old.Operations())
	}
	log := p.Operations()
	if len(log) == known {
		d.touch(id, "extended: the schedule got more nodes")
		return
	}
	d.touch(id, "changed by "+p.ChangedBy)
	for _, o := range log[known:] {
		e := &v1.Event{Type: v1.EventTypeOperation, Operation: convert.OperationKind(o), Actor: o.Actor,
			Text: fmt.Sprintf("%s by %s: %s", convert.OperationKind(o), deed(o), operationText(o))}
		if o.Count == 1 && len(o.Instances) == 1 {
			e.Instance = plan.FormatInstance(id, o.Instances[0])
		}
		d.add(id, false, e)
	}
}

// operationText says what an operation changed.
func operationText(o *wire.Operation) string {
	text := count(o.Count, "instance")
	if o.Detail != "" {
		text += ", " + o.Detail
	}
	return text
}

// yielding tells that an attempt makes way for the schedule (RULES R5.6). That
// one is stopped is told with the operation.
func (d *entry) yielding(c state.Change) {
	l, ok := d.st.Lease(c.Plan, c.Instance)
	if !ok || !l.Yielding || l.Stopping {
		return
	}
	p, _ := d.st.Plan(c.Plan)
	at, _ := p.Locate(c.Instance)
	d.add(c.Plan, false, &v1.Event{
		Type: v1.EventTypeConflict, Instance: plan.FormatInstance(c.Plan, c.Instance), Node: p.Nodes[at.Node].Spec.Id,
		Date: p.Dates[at.Pos].String(), Other: madeWayFor(l), Text: fmt.Sprintf("attempt %d is stopped: it %s", l.Attempt, l.Cause),
	})
}

// madeWayFor is the auto instance that a lease's cause names at its end.
func madeWayFor(l *state.Lease) v1.InstanceID {
	id := l.Cause[strings.LastIndexByte(l.Cause, ' ')+1:]
	if _, _, err := plan.ParseInstance(id); err != nil {
		return ""
	}
	return id
}

func (d *entry) expired(id uint64) {
	if p, ok := d.before.Plan(id); ok {
		d.add(id, false, &v1.Event{Type: v1.EventTypeBackfill, Text: fmt.Sprintf("%s has expired: its instances are forgotten", planText(p))})
	}
}

func (d *entry) instance(c state.Change) {
	p, ok := d.st.Plan(c.Plan)
	if !ok {
		return // it expired in the same entry
	}
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
	p, ok := d.st.Plan(id)
	if !ok {
		return
	}
	counts := shownCounts(p.Total(), int64(p.Total()[state.Retrying]))
	text := d.texts[id]
	d.add(id, text == "", &v1.Event{Type: v1.EventTypeBackfill, State: d.motion(p).plan(), Counts: &counts, Text: text})
}
