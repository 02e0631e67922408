package state

import (
	"backfleet/pkg/wire"
)

// What is granted ahead waits at its agent for a slot (RULES R9). In the facts
// it is a lease like any other, but no slot is used for it, and what people do
// to instances that wait is done to it: it is called back.

// MaxAhead is how many instances an agent may hold for a resource group beyond
// its slots there.
const MaxAhead = 256

// Room is how many more instances of a group the agent could be granted ahead
// now: none where it has no slot, or takes no new work.
func (a *Agent) Room(group string) int {
	if a.State != wire.Agent_READY {
		return 0
	}
	for i, g := range a.Groups {
		if g.Group == group && g.Slots > 0 {
			return max(0, int(g.Slots)+MaxAhead-int(a.Used[i])-int(a.Ahead[i]))
		}
	}
	return 0
}

// Start records that what was granted ahead runs now, and uses a slot: nobody
// waits for it to come back any more. False when it is not the live attempt, or
// none that is known to wait.
func (e *Edit) Start(s *wire.Started) bool {
	l, ok := e.leases.get(s.Plan, s.Instance)
	if !ok || l.Fence != s.Fence || !l.Ahead {
		return false
	}
	next := *l
	next.Ahead, next.Started, next.Recalled, next.Freezing = false, true, false, false
	if !next.Ending() {
		next.Cause = ""
	}
	agent, _ := e.agent(l.Agent)
	agent.use(l, -1)
	agent.use(&next, 1)
	e.leases.put(&next)
	e.changes = append(e.changes, Change{Kind: LeaseStarted, Plan: l.Plan, Instance: l.Instance})
	return true
}

// recallAll calls back everything of a plan that was granted ahead.
func (e *Edit) recallAll(p *Plan, cause string) {
	var ahead []*Lease
	e.leases.eachOf(p.ID, func(l *Lease) {
		if l.Ahead && !l.Ending() {
			ahead = append(ahead, l)
		}
	})
	for _, l := range ahead {
		e.recall(l, cause, false)
	}
}

// recall wants back what was granted ahead, and maybe has it frozen then. One
// whose agent is to stop it comes back anyway.
func (e *Edit) recall(l *Lease, cause string, freeze bool) {
	next := *l
	next.Freezing = l.Freezing || freeze
	if !l.Ending() {
		next.Recalled, next.Cause = true, cause
		e.changes = append(e.changes, Change{Kind: LeaseEnding, Plan: l.Plan, Instance: l.Instance})
	}
	e.leases.put(&next)
}

// recallDropped calls back an instance that a change of its plan has dropped,
// if it has not started; false when it has none to call back.
func (e *Edit) recallDropped(p *Plan, instance uint64, st Status) bool {
	if st != Running {
		return false
	}
	l, ok := e.leases.get(p.ID, instance)
	if !ok || !l.Ahead || l.Stopping {
		return false
	}
	next := *l
	next.Freezing = false // a dry run that is frozen would hold the rest for ever
	e.recall(&next, "dropped from its backfill", false)
	return true
}

// keepWaiting takes back that a lease's instance is frozen when it comes back.
func (e *Edit) keepWaiting(l *Lease) {
	next := *l
	next.Freezing = false
	e.leases.put(&next)
}

// allows says whether what was granted ahead can be frozen, or unfrozen.
func (l *Lease) allows(k wire.Operate_Kind) bool {
	return l.Ahead && !l.Stopping && l.Freezing == (k == wire.Operate_UNFREEZE)
}

// inTheWay says why an operation cannot be done to an instance that was granted
// ahead.
func (l *Lease) inTheWay(k wire.Operate_Kind) Obstacle {
	switch k {
	case wire.Operate_STOP:
		return Obstacle{}
	case wire.Operate_FREEZE, wire.Operate_UNFREEZE:
		switch {
		case l.allows(k):
			return Obstacle{}
		case l.Stopping:
			return Obstacle{Kind: IsBeingStopped, Text: "it is being stopped: wait for its end"}
		case k == wire.Operate_FREEZE:
			return present(Frozen, k)
		}
		return Obstacle{Kind: IsNotFrozen, Text: "it is not frozen"}
	}
	return Obstacle{
		Kind: QueuedAtAgent, Agent: l.Agent,
		Text: "it is queued at agent " + l.Agent + " and starts as soon as a slot is free there: stop or freeze it first, or wait for its end",
	}
}
