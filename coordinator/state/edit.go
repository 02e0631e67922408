package state

import (
	"cmp"
	"math"
	"slices"
	"strings"

	iradix "github.com/hashicorp/go-immutable-radix/v2"

	"backfleet/pkg/fault"
	"backfleet/pkg/node"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// Edit makes the next State. It copies what it changes, once, and leaves the
// State it began with alone; an Edit that is dropped has had no effect. The
// dispatcher uses one to see what its own decisions lead to before it proposes
// them, the log another to make them facts.
type Edit struct {
	s       *State
	mark    *mark
	plans   map[uint64]*Plan
	touched []uint64 // keys of plans, in order
	leases  leaseEdit
	agents  *iradix.Txn[*Agent]
	noted   []ended
	changes []Change
	untold  bool // changes of instances are too many to be told one by one
	// The plan and the agent last asked for: the next ones are likely the same.
	lastPlan  *Plan
	lastAgent *Agent
	room      []Lease // for the next leases
}

// ChangeKind says what changed.
type ChangeKind uint8

const (
	// PlanAccepted: Plan is new.
	PlanAccepted ChangeKind = iota + 1
	// PlanChanged: an operation on Plan; anything in it may be different.
	PlanChanged
	// PlanHalted: stopAfter was reached.
	PlanHalted
	// InstanceChanged: Instance of Plan went From one status To another.
	InstanceChanged
	// DateOpened: Instance is the position that was opened.
	DateOpened
	// AgentChanged, NodesChanged, ServersChanged: what the name says.
	AgentChanged
	NodesChanged
	ServersChanged
	// LeaseEnding: the attempt of Instance of Plan is to be stopped, for a
	// person, for an auto instance or because its agent is to be empty, or was
	// granted ahead and is wanted back.
	LeaseEnding
	// PlanExpired: Plan is forgotten (RULES R10.1).
	PlanExpired
	// SettingsChanged: a resource group, a workspace or a region.
	SettingsChanged
	// TokensChanged: a join token.
	TokensChanged
	// LeaseStarted: Instance of Plan was granted ahead, and runs now.
	LeaseStarted
	// SourcesChanged: a data source.
	SourcesChanged
	// UsersChanged: a user, or a token of one.
	UsersChanged
	// ChannelsChanged: a channel of notifications.
	ChannelsChanged
	// NotificationChanged: Instance is the id of a notification, Plan that which it
	// is about.
	NotificationChanged
)

// Change is one thing that an entry changed, for those who follow the facts.
type Change struct {
	Kind     ChangeKind
	From, To Status
	Plan     uint64
	Instance uint64
	Agent    string
}

// Edit begins the State after an entry.
func (s *State) Edit(index uint64, nowMs int64) *Edit {
	next := *s
	next.index = index
	next.nowMs = max(s.nowMs, nowMs)
	m := new(mark)
	return &Edit{
		s: &next, mark: m, plans: map[uint64]*Plan{},
		leases: s.leases.edit(m), agents: s.agents.Txn(),
	}
}

// Done gives the State made, and what changed, in order. The Edit must not be
// used again.
func (e *Edit) Done() (*State, []Change) {
	e.s.leases = e.leases.done()
	e.s.agents = e.agents.Commit()
	e.s.past.add(e.mark, e.noted)
	if len(e.touched) > 0 {
		t := e.s.plans.Txn()
		for _, id := range e.touched {
			t.Insert(key1(id), e.plans[id])
			e.indexAuto(e.plans[id])
		}
		e.s.plans = t.Commit()
	}
	return e.s, e.changes
}

// indexAuto keeps the list of the schedule's unfinished plans.
func (e *Edit) indexAuto(p *Plan) {
	if !p.Auto {
		return
	}
	k := key1(p.ID)
	switch _, listed := e.s.autosOpen.Get(k); {
	case listed && !p.Unfinished():
		e.s.autosOpen, _, _ = e.s.autosOpen.Delete(k)
	case !listed && p.Unfinished():
		e.s.autosOpen, _, _ = e.s.autosOpen.Insert(k, struct{}{})
	}
}

// plan gives a plan that this edit may change.
func (e *Edit) plan(id uint64) (*Plan, bool) {
	if e.lastPlan != nil && e.lastPlan.ID == id {
		return e.lastPlan, true
	}
	if p, ok := e.plans[id]; ok {
		e.lastPlan = p
		return p, true
	}
	old, ok := e.s.plans.Get(key1(id))
	if !ok {
		return nil, false
	}
	p := *old
	e.put(&p)
	return &p, true
}

// peek gives a plan as it stands in this edit, to read.
func (e *Edit) peek(id uint64) (*Plan, bool) {
	if p, ok := e.plans[id]; ok {
		return p, true
	}
	return e.s.Plan(id)
}

func (e *Edit) put(p *Plan) {
	e.plans[p.ID], e.lastPlan = p, p
	e.touched = append(e.touched, p.ID)
}

// agent gives an agent that this edit may change.
func (e *Edit) agent(id string) (*Agent, bool) {
	if e.lastAgent != nil && e.lastAgent.Id == id {
		return e.lastAgent, true
	}
	old, ok := e.agents.Get([]byte(id))
	if !ok {
		return nil, false
	}
	if old.owner == e.mark {
		e.lastAgent = old
		return old, true
	}
	a := *old
	a.Used, a.Backfills, a.Ahead = slices.Clone(a.Used), slices.Clone(a.Backfills), slices.Clone(a.Ahead)
	e.putAgent(&a)
	return &a, true
}

func (e *Edit) putAgent(a *Agent) {
	a.owner, e.lastAgent = e.mark, a
	e.agents.Insert([]byte(a.Id), a)
}

// set moves an instance to a status and keeps every counter in step.
func (e *Edit) set(p *Plan, at plan.Place, instance uint64, to Status) {
	cell := p.status.at(e.mark, instance)
	from := *cell
	if from == to {
		return
	}
	*cell = to
	for _, c := range []*Counts{&p.total, p.dates.at(e.mark, uint64(at.Pos)), p.perNode.at(e.mark, uint64(at.Node))} {
		if from != Pending {
			c[from]--
		}
		if to != Pending {
			c[to]++
		}
	}
	if from == Retrying {
		p.retries, _, _ = p.retries.Delete(key1(instance))
	} else if to == Retrying {
		p.retries, _, _ = p.retries.Insert(key1(instance), struct{}{})
	}
	if p.forced.Len() > 0 && !to.Waits() && to != Running {
		p.forced, _, _ = p.forced.Delete(key1(instance)) // once
	}
	p.ChangedMs = e.s.nowMs
	if !e.untold {
		e.changes = append(e.changes, Change{Kind: InstanceChanged, Plan: p.ID, Instance: instance, From: from, To: to})
	}
}

// record adds to an instance's history. room is how many bytes that may take.
func (e *Edit) record(p *Plan, instance uint64, room int, add func(b []byte, slot uint64) []byte) {
	h := p.history.at(e.mark, instance>>chunkBits)
	h.own(e.mark, room)
	h.bytes = add(h.bytes, instance&chunkMask)
}

// use counts the slots of a lease as used (1) or free again (-1).
func (a *Agent) use(l *Lease, by int32) {
	by *= int32(l.Weight)
	for i, g := range a.Groups {
		switch {
		case g.Group != l.Group:
		case l.Ahead:
			a.Ahead[i] = uint32(int32(a.Ahead[i]) + by)
		default:
			a.Used[i] = uint32(int32(a.Used[i]) + by)
			if !l.Auto {
				a.Backfills[i] = uint32(int32(a.Backfills[i]) + by)
			}
		}
	}
}

// Free is the number of slots of a group that the agent could take work for
// now: those that no lease is known to use. What it holds ahead will take them
// first, so whoever wants a slot to itself leaves as many free as Ahead says.
func (a *Agent) Free(group string) int {
	if a.State != wire.Agent_READY {
		return 0
	}
	for i, g := range a.Groups {
		if g.Group == group {
			return max(0, int(g.Slots)-int(a.Used[i]))
		}
	}
	return 0
}

// Grant leases an instance to an agent. It refuses what would break a promise:
// a second live attempt of the cycle (RULES R13.2, R5.8), a start in a stopped
// or paused plan, more than the agent's slots or the plan's maxRunning.
func (e *Edit) Grant(g *wire.Grant) error {
	p, ok := e.plan(g.Plan)
	if !ok {
		return fault.New(fault.NotFound, "there is no backfill %s", plan.FormatID(g.Plan))
	}
	at, ok := p.Locate(g.Instance)
	if !ok {
		return fault.New(fault.NotFound, "there is no instance %s", plan.FormatInstance(g.Plan, g.Instance))
	}
	agent, ok := e.agent(g.Agent)
	spec := p.Nodes[at.Node].Spec
	weight := node.Weight(spec)
	switch {
	case !ok:
		return fault.New(fault.NotFound, "there is no agent %q", g.Agent)
	case !node.Labelled(agent.Labels, node.Requires(spec)):
		return fault.New(fault.Conflict, "agent %q has not all labels that node %q requires: %s", g.Agent, spec.Id, node.LabelText(node.Requires(spec)))
	case p.Dry(at) != wire.DryRun_DRY_RUN_NONE:
		return fault.New(fault.Conflict, "instance %s is a dry run: it needs no agent", plan.FormatInstance(g.Plan, g.Instance))
	case g.Ahead && agent.Room(g.ResourceGroup) < int(weight):
		return fault.New(fault.Conflict, "agent %q holds all of %q ahead that it may, or has no slot there", g.Agent, g.ResourceGroup)
	case !g.Ahead && agent.Free(g.ResourceGroup) < int(weight):
		return fault.New(fault.Conflict, "agent %q has %d free slots in %q, and node %q needs %d", g.Agent, agent.Free(g.ResourceGroup), g.ResourceGroup, spec.Id, weight)
	case !p.Status(g.Instance).Waits():
		return fault.New(fault.Conflict, "instance %s does not wait to start", plan.FormatInstance(g.Plan, g.Instance))
	case p.Blocked(g.Instance):
		return fault.New(fault.Conflict, "backfill %s is stopped, paused or halted", plan.FormatID(g.Plan))
	case p.Request.MaxRunning > 0 && p.Active() >= int(p.Request.MaxRunning):
		return fault.New(fault.Conflict, "backfill %s runs its %d instances already", plan.FormatID(g.Plan), p.Request.MaxRunning)
	}
	if other, found := e.liveElsewhere(p, at); found {
		return fault.New(fault.Conflict, "the same cycle of node %q runs in %s", spec.Id, other)
	}
	attempt := uint32(1)
	if p.Status(g.Instance) != Pending {
		attempt += p.tally(g.Instance).attempts
	}
	l := e.newLease()
	*l = Lease{
		Plan: g.Plan, Instance: g.Instance, Attempt: attempt, Fence: e.s.index,
		Agent: agent.Id, Group: g.ResourceGroup, Weight: weight, GrantedMs: e.s.nowMs, Version: p.Nodes[at.Node].Version, Auto: p.Auto,
		Ahead: g.Ahead,
	}
	if n := e.s.bySlot.get(uint64(p.slots[at.Node])); !n.Removed && !p.Request.PinCode && Renews(spec, n.Spec) {
		l.Version = n.Version // the newest code (RULES R1.6)
	}
	e.leases.put(l)
	agent.use(l, 1)
	agent.Leases++
	e.set(p, at, g.Instance, Running)
	return nil
}

// Renews says whether an attempt may run newer code than its plan has pinned
// (RULES R1.6): code of the same type, for which its agent was chosen, and of a
// logical node in the same units, from which the plan has chosen (R12.2).
func Renews(pinned, newer *wire.Node) bool {
	return pinned.Type == newer.Type && slices.EqualFunc(pinned.Logical.GetUnits(), newer.Logical.GetUnits(), func(a, b *wire.Unit) bool {
		return a.Id == b.Id
	})
}

// newLease gives room for a lease. A few that are granted together share a
// piece of memory, which stays as long as the last of them.
func (e *Edit) newLease() *Lease {
	const together = 16
	if len(e.room) == 0 {
		e.room = make([]Lease, together)
	}
	l := &e.room[0]
	e.room = e.room[1:]
	return l
}

// liveElsewhere finds a running instance of the same cycle in another plan.
func (e *Edit) liveElsewhere(p *Plan, at plan.Place) (other string, found bool) {
	d := p.Dates[at.Pos]
	e.s.others(p.ID, p.slots[at.Node], d, func(planID uint64) bool {
		q, ok := e.peek(planID)
		if !ok || q.Active() == 0 {
			return true
		}
		i, ok := q.Find(p.Nodes[at.Node].Spec.Id, d, p.Cycle(at).Unix)
		if found = ok && q.Status(i) == Running; found {
			other = plan.FormatInstance(q.ID, i)
		}
		return !found
	})
	return other, found
}

// Finish ends a lease with a result; false when the report is not of the live
// attempt, and then nothing changes (RULES R13.3, R13.4).
func (e *Edit) Finish(f *wire.Finish) bool {
	l, ok := e.leases.get(f.Plan, f.Instance)
	if !ok || l.Fence != f.Fence {
		return false
	}
	p, _ := e.plan(f.Plan)
	at, _ := p.Locate(f.Instance)
	e.leases.remove(l)
	agent, _ := e.agent(l.Agent)
	agent.use(l, -1)
	agent.Leases--
	meaning := wire.ExitCode_RETRY
	if f.Outcome == wire.Outcome_FAILED {
		meaning = node.Meaning(p.Nodes[at.Node].Spec, f.ExitCode)
	}
	a := Attempt{
		Number: l.Attempt, Outcome: l.outcome(f.Outcome, meaning), Fence: l.Fence, GrantedMs: l.GrantedMs,
		StartedMs: f.StartedMs, EndedMs: f.EndedMs, ExitCode: f.ExitCode, Version: l.Version, Cause: clip(f.Cause),
		SettledMs: e.s.nowMs, Metrics: KeptMetrics(f.Metrics),
	}
	switch {
	case a.Outcome == wire.Outcome_SUCCEEDED, a.Outcome == wire.Outcome_SKIPPED:
	case l.Stopping, l.Yielding, l.Draining, a.Outcome == wire.Outcome_RECALLED:
		a.Cause = cmp.Or(l.Cause, a.Cause)
	case f.Outcome == wire.Outcome_RECALLED:
		a.Cause = "its agent gave it back as not started, after it had said that it runs: taken for lost"
	}
	e.record(p, f.Instance, recordRoom+metricsRoom(a.Metrics), func(b []byte, slot uint64) []byte {
		return appendAttempt(b, slot, &a, agent.Number, p.AcceptedMs)
	})
	if a.Outcome != wire.Outcome_RECALLED { // of which nothing ran
		e.noteAttempt(p, at, &a)
	}
	e.settle(p, at, l, a.Outcome, meaning)
	return true
}

func (e *Edit) noteAttempt(p *Plan, at plan.Place, a *Attempt) {
	r := e.ended(p, at)
	r.outcome, r.version = uint8(a.Outcome), a.Version
	if a.Outcome == wire.Outcome_SKIPPED { // of how long the work takes it says nothing
		r.outcome = uint8(wire.Outcome_SUCCEEDED)
	}
	if a.Outcome == wire.Outcome_SUCCEEDED && a.StartedMs > 0 {
		r.ran, r.took = true, uint32(min(max(0, a.EndedMs-a.StartedMs), math.MaxUint32))
	}
	e.noted = append(e.noted, r)
}

// ended names an instance's cycle for the past of its node.
func (e *Edit) ended(p *Plan, at plan.Place) ended {
	r := ended{node: p.slots[at.Node]}
	unix := int64(0)
	sc := p.Nodes[at.Node].Schedule
	if sc.SubDaily() {
		unix = p.Cycle(at).Unix
	}
	r.kind, r.cycle = cycleOf(sc, p.Dates[at.Pos], unix)
	return r
}

// outcome is what an attempt came to of which its agent reports o. A report of
// none, or of one that is newer than this binary, is a failure: the attempt has
// ended, and not in a way known to be good. That it was stopped, yielded or
// drained is for the lease to say, not for the agent; that it never started is believed
// unless the agent has said that it runs. What a failure's exit code means to
// the node (RULES R9) comes first: one that had nothing to do has ended well.
func (l *Lease) outcome(o wire.Outcome, meaning wire.ExitCode_Meaning) wire.Outcome {
	never := o == wire.Outcome_RECALLED && !l.Started
	switch {
	case o == wire.Outcome_SUCCEEDED:
		return o
	case o == wire.Outcome_FAILED && meaning == wire.ExitCode_SKIP:
		return wire.Outcome_SKIPPED
	case l.Stopping:
		return wire.Outcome_STOPPED
	case never:
		return o
	case l.Yielding:
		return wire.Outcome_YIELDED
	case l.Draining:
		return wire.Outcome_DRAINED
	case o == wire.Outcome_RECALLED:
		return wire.Outcome_LOST
	case o < wire.Outcome_SUCCEEDED || o > wire.Outcome_LOST:
		return wire.Outcome_FAILED
	}
	return o
}

// settle gives an instance the status that follows from its attempt's outcome
// (RULES R9, retries and exit codes).
func (e *Edit) settle(p *Plan, at plan.Place, l *Lease, outcome wire.Outcome, meaning wire.ExitCode_Meaning) {
	instance := l.Instance
	switch outcome {
	case wire.Outcome_SUCCEEDED, wire.Outcome_SKIPPED:
		e.set(p, at, instance, Succeeded)
	case wire.Outcome_STOPPED:
		e.set(p, at, instance, Stopped)
	case wire.Outcome_LOST, wire.Outcome_YIELDED, wire.Outcome_RECALLED, wire.Outcome_DRAINED:
		if l.Freezing {
			e.set(p, at, instance, Frozen)
			return
		}
		e.set(p, at, instance, Again)
	default:
		if meaning != wire.ExitCode_FAIL && p.tally(instance).retriesUsed <= p.Nodes[at.Node].Spec.Retries {
			e.set(p, at, instance, Retrying)
			return
		}
		e.set(p, at, instance, Failed)
		p.Failures++
		if n := p.Request.StopAfter; n > 0 && p.Failures >= uint32(n) && !p.Halted {
			p.Halted = true
			e.changes = append(e.changes, Change{Kind: PlanHalted, Plan: p.ID})
			e.recallAll(p, "its backfill was halted")
		}
	}
}

// Lose ends a lease whose agent can no longer hold it; false when it is not
// the live one.
func (e *Edit) Lose(l *wire.Loss) bool {
	return e.Finish(&wire.Finish{
		Plan: l.Plan, Instance: l.Instance, Fence: l.Fence, Outcome: wire.Outcome_LOST, EndedMs: e.s.nowMs, Cause: l.Cause,
	})
}

// Open records that a position may start although the one before it failed.
func (e *Edit) Open(o *wire.OpenDate) bool {
	p, ok := e.plan(o.Plan)
	if !ok || int(o.Position) >= len(p.Dates) || p.IsOpened(int(o.Position)) {
		return false
	}
	i, _ := slices.BinarySearch(p.Opened, o.Position)
	p.Opened = slices.Insert(slices.Clone(p.Opened), i, o.Position)
	e.changes = append(e.changes, Change{Kind: DateOpened, Plan: p.ID, Instance: uint64(o.Position)})
	return true
}

// DryRun lets an instance succeed without running; false when it cannot.
func (e *Edit) DryRun(planID, instance uint64) bool {
	p, ok := e.plan(planID)
	if !ok {
		return false
	}
	at, ok := p.Locate(instance)
	if !ok || p.Dry(at) == wire.DryRun_DRY_RUN_NONE || !p.Status(instance).Waits() || p.Blocked(instance) {
		return false
	}
	e.set(p, at, instance, DryRun)
	return true
}

// Yield has a backfill's attempt stopped, so that an auto instance of its node
// can run (RULES R5.6); false when the attempt is not the live one, ends
// already, or belongs to a plan that does not make way.
func (e *Edit) Yield(y *wire.Yield) bool {
	l, ok := e.leases.get(y.Plan, y.Instance)
	if !ok || l.Fence != y.Fence || l.Ending() {
		return false
	}
	if p, _ := e.peek(y.Plan); p.Auto || p.Request.OnConflict != wire.Request_YIELD {
		return false
	}
	next := *l
	next.Yielding, next.Cause = true, "made way for the schedule's "+plan.FormatInstance(y.ToPlan, y.ToInstance)
	e.leases.put(&next)
	e.changes = append(e.changes, Change{Kind: LeaseEnding, Plan: y.Plan, Instance: y.Instance})
	return true
}

// Miss records that a frozen instance could have started (RULES R9); false when
// it is not frozen.
func (e *Edit) Miss(planID, instance uint64) bool {
	p, ok := e.peek(planID)
	if !ok {
		return false
	}
	at, ok := p.Locate(instance)
	if !ok || p.Status(instance) != Frozen {
		return false
	}
	p, _ = e.plan(planID)
	e.set(p, at, instance, Missed)
	return true
}

// maxCause bounds what is kept of a failure's text.
const maxCause = 1024

// clip shortens a text and never cuts a character in two: what is not UTF-8
// cannot be sent.
func clip(s string) string {
	if len(s) <= maxCause {
		return s
	}
	return strings.ToValidUTF8(s[:maxCause-len("…")], "") + "…"
}
