package service

import (
	"fmt"
	"slices"
	"strings"

	"backfleet/api/convert"
	v1 "backfleet/api/v1"
	"backfleet/coordinator/machine"
	"backfleet/coordinator/state"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// entryLooks bounds how many instances are looked at to say how a plan stands.
const entryLooks = 2000

// describeEntry tells what an entry changed, the same on every coordinator: it
// goes by the facts and the entry's own time. Instances are told one by one
// unless there are many; every plan that changed is told once, with its counts,
// and every date that was completed. It runs for every entry whether somebody
// listens or not, so what is frequent is only noted here.
func describeEntry(before *state.State, a machine.Applied) []told {
	d := &entry{before: before, st: a.State, nowMs: a.State.NowMs()}
	for i := range a.Changes {
		if c := &a.Changes[i]; c.Kind == state.InstanceChanged || c.Kind == state.LeaseStarted {
			d.of(c.Plan).moved++
		}
	}
	for i := range a.Changes {
		d.change(&a.Changes[i])
	}
	for _, t := range d.order {
		d.plan(t)
	}
	return d.out
}

type entry struct {
	st, before *state.State
	nowMs      int64
	plans      map[uint64]*touched
	last       *touched   // asked for last: changes of a plan come together
	order      []*touched // in which they are told
	out        []told
}

// touched is a plan that an entry changed something of.
type touched struct {
	id       uint64
	now, was *state.Plan // nil: it is gone, or new
	moved    int         // instances changed
	told     bool
	text     string // what was done to it
	asked    int    // position whose end was asked for last, -1: none
	done     []int  // positions that ended
}

// of gives a plan's place in the entry.
func (d *entry) of(id uint64) *touched {
	if d.last != nil && d.last.id == id {
		return d.last
	}
	t := d.plans[id]
	if t == nil {
		if d.plans == nil {
			d.plans = map[uint64]*touched{}
		}
		t = &touched{id: id, asked: -1}
		t.now, _ = d.st.Plan(id)
		t.was, _ = d.before.Plan(id)
		d.plans[id] = t
	}
	d.last = t
	return t
}

func (d *entry) add(planID uint64, e *v1.Event) {
	e.At = moment(d.nowMs)
	if planID > 0 {
		e.Backfill = plan.FormatID(planID)
	}
	d.out = append(d.out, told{kind: e.Type, event: e, plan: planID})
}

func (d *entry) touch(planID uint64, text string) {
	t := d.of(planID)
	if !t.told {
		t.told = true
		d.order = append(d.order, t)
	}
	if text != "" {
		t.text = text
	}
}

func (d *entry) change(c *state.Change) {
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
	case state.LeaseStarted: // it waited at its agent until now
		d.touch(c.Plan, "")
		d.instance(&state.Change{Plan: c.Plan, Instance: c.Instance, To: state.Running})
	case state.LeaseEnding:
		d.yielding(c)
	case state.DateOpened:
		p, _ := d.st.Plan(c.Plan)
		d.add(c.Plan, &v1.Event{Type: v1.EventTypeDate, Date: p.Dates[c.Instance].String(),
			Text: "may start although the date before it has not succeeded"})
	case state.AgentChanged:
		d.agent(c.Agent)
	case state.NodesChanged:
		d.add(0, &v1.Event{Type: v1.EventTypeNode, Text: "nodes were applied"})
	case state.ServersChanged:
		d.add(0, &v1.Event{Type: v1.EventTypeCluster, Text: "the coordinators or their addresses changed"})
	case state.TokensChanged:
		d.add(0, &v1.Event{Type: v1.EventTypeCluster, Text: "a join token was made or revoked"})
	case state.UsersChanged: // for admins alone
	case state.SourcesChanged:
		d.add(0, &v1.Event{Type: v1.EventTypeCluster, Text: "a data source was set or removed"})
	case state.ChannelsChanged:
		d.add(0, &v1.Event{Type: v1.EventTypeCluster, Text: "a channel of notifications was set or removed"})
	case state.NotificationChanged:
		d.notification(c.Plan, c.Instance)
	case state.SettingsChanged:
		d.add(0, &v1.Event{Type: v1.EventTypeCluster, Text: "a resource group, a workspace or a region was set"})
	}
}

// planChanged tells the operations that an entry added to a plan's log; without
// any, the schedule's day got more instances.
func (d *entry) planChanged(id uint64) {
	p, ok := d.st.Plan(id)
	if !ok {
		return
	}
	known := uint64(0)
	if old, ok := d.before.Plan(id); ok {
		known = operationsOf(old)
	}
	last := operationsOf(p)
	if last == known {
		d.touch(id, "extended: the schedule got more nodes")
		return
	}
	d.touch(id, "changed by "+p.ChangedBy)
	for number := known + 1; number <= last; number++ {
		o, _ := p.Operation(number)
		e := &v1.Event{Type: v1.EventTypeOperation, Operation: convert.OperationKind(o), Actor: o.Actor,
			Text: fmt.Sprintf("%s by %s: %s", convert.OperationKind(o), deed(o), operationText(o))}
		if o.Count == 1 && len(o.Instances) == 1 {
			e.Instance = plan.FormatInstance(id, o.Instances[0])
		}
		d.add(id, e)
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
func (d *entry) yielding(c *state.Change) {
	l, ok := d.st.Lease(c.Plan, c.Instance)
	if !ok || !l.Yielding || l.Stopping {
		return
	}
	p, _ := d.st.Plan(c.Plan)
	at, _ := p.Locate(c.Instance)
	d.add(c.Plan, &v1.Event{
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

// agent tells how an agent stands, and what a person did to it.
func (d *entry) agent(id string) {
	e := &v1.Event{Type: v1.EventTypeAgent, Agent: id}
	was := (*wire.Drain)(nil)
	if before, ok := d.before.Agent(id); ok {
		was = before.Drain
	}
	switch a, ok := d.st.Agent(id); {
	case !ok:
		e.Text = "forgotten"
	case a.Drain != nil && a.Drain != was:
		e.AgentState, e.Text = agentWords[a.State], drainDeed(a.Drain)
	case a.Drain == nil && was != nil:
		e.AgentState, e.Text = agentWords[a.State], "resumed"
	default:
		e.AgentState = agentWords[a.State]
	}
	d.add(0, e)
}

// drainDeed says a drain in a sentence.
func drainDeed(drain *wire.Drain) string {
	text := "drained by " + drain.Actor + " at " + momentText(drain.SinceMs)
	if drain.DeadlineMs > 0 {
		text += ", to be empty at " + momentText(drain.DeadlineMs)
	}
	if drain.Why != "" {
		text += " (" + drain.Why + ")"
	}
	return text
}

func (d *entry) expired(id uint64) {
	if p, ok := d.before.Plan(id); ok {
		d.add(id, &v1.Event{Type: v1.EventTypeBackfill, Text: fmt.Sprintf("%s has expired: its instances are forgotten", planText(p))})
	}
}

// instance notes what became of an instance, and tells that its date is
// complete.
func (d *entry) instance(c *state.Change) {
	t := d.of(c.Plan)
	p := t.now
	if p == nil {
		return // it expired in the same entry
	}
	if t.moved <= burst {
		one := told{kind: v1.EventTypeInstance, plan: c.Plan, atMs: d.nowMs, instance: c.Instance, to: c.To}
		if c.To == state.Running {
			if l, ok := d.st.Lease(c.Plan, c.Instance); ok {
				one.agent, one.ahead = l.Agent, l.Ahead
			}
		}
		d.out = append(d.out, one)
	}
	if !c.To.Success() {
		return // the date has not ended by this one
	}
	place, _ := p.Locate(c.Instance)
	if place.Pos == t.asked {
		return
	}
	t.asked = place.Pos
	if !p.DateSucceeded(place.Pos) || slices.Contains(t.done, place.Pos) || t.was != nil && t.was.DateSucceeded(place.Pos) {
		return
	}
	t.done = append(t.done, place.Pos)
	d.add(c.Plan, &v1.Event{Type: v1.EventTypeDate, Date: p.Dates[place.Pos].String(), State: v1.StateSucceeded,
		Text: fmt.Sprintf("every instance of %s has succeeded", p.Dates[place.Pos])})
}

// plan tells where a plan stands after the entry.
func (d *entry) plan(t *touched) {
	if t.now == nil {
		return
	}
	counts := t.now.Total()
	one := told{kind: v1.EventTypeBackfill, plan: t.id, atMs: d.nowMs, counts: &counts, merge: t.text == ""}
	if t.text != "" { // seldom, and of this moment
		one.event = one.progress(d.st)
		one.event.Text = t.text
	}
	d.out = append(d.out, one)
}

// render makes an event of what was kept of it, for somebody who reads it now;
// nil when its plan is forgotten. What is told of an instance is what it was
// told then. How a plan stands is told as of now where the numbers kept do not
// tell it alone: whoever reads it wants to know the newest.
func (t *told) render(st *state.State) *v1.Event {
	if t.event != nil {
		return t.event
	}
	var e *v1.Event
	if t.kind == v1.EventTypeInstance {
		e = t.change(st)
	} else {
		e = t.progress(st)
	}
	if e != nil {
		e.ID = t.at.id()
	}
	return e
}

func (t *told) change(st *state.State) *v1.Event {
	p, ok := st.Plan(t.plan)
	if !ok {
		return nil
	}
	at, ok := p.Locate(t.instance)
	if !ok {
		return nil
	}
	e := &v1.Event{
		Type: v1.EventTypeInstance, At: moment(t.atMs), Backfill: plan.FormatID(t.plan), Instance: plan.FormatInstance(t.plan, t.instance),
		Node: p.Nodes[at.Node].Spec.Id, Date: p.Dates[at.Pos].String(), State: statusWord(t.to), Agent: t.agent,
	}
	if t.ahead {
		e.State, e.Text = v1.StateNotRunning, "queued at agent "+t.agent
	}
	return e
}

func (t *told) progress(st *state.State) *v1.Event {
	p, ok := st.Plan(t.plan)
	if !ok {
		return nil
	}
	e := &v1.Event{Type: v1.EventTypeBackfill, At: moment(t.atMs), Backfill: plan.FormatID(t.plan), State: v1.StateRunning}
	c := *t.counts
	switch {
	case c[state.Running] > 0:
	case c.Success() == p.Size():
		e.State = v1.StateSucceeded
	default:
		c = p.Total()
		r := &reading{st: st, nowMs: st.NowMs(), left: entryLooks}
		e.State = r.motion(p).plan()
	}
	counts := shownCounts(c, int64(c[state.Retrying]))
	e.Counts = &counts
	return e
}
