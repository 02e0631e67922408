package state

import (
	"slices"
	"strconv"

	iradix "github.com/hashicorp/go-immutable-radix/v2"

	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

const (
	maxListed = 100    // instances that a line of a plan's log lists
	maxTold   = 10_000 // changes of instances that an operation tells one by one
)

// carryOut does an operation to one plan, and writes it down: a line in the
// plan's log, and a mark for every instance that it changed.
func (e *Edit) carryOut(c *wire.Command, o *wire.Operate, t *target) (changed uint64) {
	p := t.p
	line := e.newLine(c, p)
	line.Kind, line.Dates = o.Kind, t.dates
	switch o.Kind {
	case wire.Operate_REMOVE_UPSTREAM:
		line.Detail = o.Upstream
	case wire.Operate_SET_PRIORITY:
		line.Detail = strconv.Itoa(int(o.Priority))
	}
	e.untold = len(t.list) > maxTold
	if t.whole {
		changed = e.toPlan(p, o.Kind, line)
	}
	var was before
	for _, i := range t.list {
		if e.toInstance(p, i, o, line, &was) {
			changed++
		}
	}
	e.untold = false
	if !t.whole && len(t.dates) == 0 {
		line.Instances = slices.Clone(t.list[:min(len(t.list), maxListed)]) // not the rest of it
	}
	line.Count = changed
	e.write(c, p, line)
	return changed
}

// newLine begins the next line of a plan's log.
func (e *Edit) newLine(c *wire.Command, p *Plan) *wire.Operation {
	return &wire.Operation{Number: uint64(p.log.Len()) + 1, AtMs: e.s.nowMs, Actor: c.Actor, Why: c.Why}
}

// write ends a change that a person made to a plan.
func (e *Edit) write(c *wire.Command, p *Plan, line *wire.Operation) {
	p.log, _, _ = p.log.Insert(key1(line.Number), line)
	p.ChangedMs, p.ChangedBy = e.s.nowMs, c.Actor
	e.changes = append(e.changes, Change{Kind: PlanChanged, Plan: p.ID})
}

// markBy notes in an instance's history that a line of the log is about it.
func (e *Edit) markBy(p *Plan, i uint64, line *wire.Operation) {
	p.status.at(e.mark, i) // a snapshot writes no history without it
	e.record(p, i, recordRoom, func(b []byte, slot uint64) []byte { return appendMark(b, slot, line.Number) })
}

// toPlan does what bears on the plan as a whole.
func (e *Edit) toPlan(p *Plan, k wire.Operate_Kind, line *wire.Operation) (changed uint64) {
	switch k {
	case wire.Operate_STOP:
		return e.stop(p, line)
	case wire.Operate_PAUSE:
		p.Paused = true
		e.recallAll(p, byWhom("paused", line))
	case wire.Operate_RESUME:
		p.Paused, p.Stopped, p.Halted, p.Failures = false, false, false, 0
		p.named = iradix.New[struct{}]()
	}
	return 0
}

// stop lets nothing new start, marks what runs to be stopped and cancels
// retries.
func (e *Edit) stop(p *Plan, line *wire.Operation) (changed uint64) {
	p.Stopped, p.Paused = true, false
	p.named = iradix.New[struct{}]()
	var live []*Lease
	e.leases.eachOf(p.ID, func(l *Lease) { live = append(live, l) })
	for _, l := range live {
		e.stopLease(l, line)
		e.markBy(p, l.Instance, line)
	}
	changed = uint64(len(live))
	p.EachRetrying(func(i uint64) {
		at, _ := p.Locate(i)
		e.set(p, at, i, Failed)
		e.markBy(p, i, line)
		changed++
	})
	return changed
}

func (e *Edit) stopLease(l *Lease, line *wire.Operation) {
	next := *l
	next.Stopping, next.Cause = true, byWhom("stopped", line)
	next.Recalled, next.Freezing = false, false
	e.leases.put(&next)
	e.changes = append(e.changes, Change{Kind: LeaseEnding, Plan: l.Plan, Instance: l.Instance})
}

// byWhom says who did what to an attempt, and in whose words why.
func byWhom(what string, line *wire.Operation) string {
	text := what + " by " + line.Actor
	if line.Why != "" {
		text += ": " + line.Why
	}
	return clip(text)
}

// toInstance does an operation to an instance that was found to allow it; false
// when the operation on its plan has seen to it already.
func (e *Edit) toInstance(p *Plan, i uint64, o *wire.Operate, line *wire.Operation, was *before) bool {
	at, _ := p.Locate(i)
	switch o.Kind {
	case wire.Operate_STOP:
		if l, ok := e.leases.get(p.ID, i); ok {
			if l.Stopping {
				return false
			}
			e.stopLease(l, line)
		} else if p.Status(i).Waits() {
			e.set(p, at, i, Stopped)
		}
	case wire.Operate_RERUN, wire.Operate_RERUN_FAILED:
		e.again(p, at, i)
	case wire.Operate_SET_TO_SUCCESS:
		r := e.ended(p, at)
		r.outcome = uint8(wire.Outcome_SUCCEEDED)
		e.noted = append(e.noted, r)
		e.set(p, at, i, SetToSuccess)
	case wire.Operate_FREEZE:
		if l, ok := e.leases.get(p.ID, i); ok {
			e.recall(l, byWhom("frozen", line), true)
		} else {
			e.set(p, at, i, Frozen)
		}
	case wire.Operate_UNFREEZE:
		if l, ok := e.leases.get(p.ID, i); ok {
			e.keepWaiting(l)
		} else {
			e.unfreeze(p, at, i, was)
		}
	case wire.Operate_FORCE_RUN:
		p.forced, _, _ = p.forced.Insert(key1(i), struct{}{})
	case wire.Operate_REMOVE_UPSTREAM:
		ids := p.RemovedOf(i)
		p.removed, _, _ = p.removed.Insert(key1(i), append(ids[:len(ids):len(ids)], o.Upstream))
	case wire.Operate_SET_PRIORITY:
		p.priority, _, _ = p.priority.Insert(key1(i), o.Priority)
	}
	e.markBy(p, i, line)
	return true
}

// again has an instance run again; one that never started is only named.
func (e *Edit) again(p *Plan, at plan.Place, i uint64) {
	if p.Status(i) != Pending {
		e.record(p, i, recordRoom, appendRerun)
		e.set(p, at, i, Again)
	}
	if p.Stopped {
		p.named, _, _ = p.named.Insert(key1(i), struct{}{})
	}
}

// unfreeze lets an instance go on as before it was frozen, unless it could have
// started meanwhile: then it has failed (RULES R9).
func (e *Edit) unfreeze(p *Plan, at plan.Place, i uint64, was *before) {
	if p.Status(i) == Missed {
		e.set(p, at, i, Failed)
		return
	}
	e.set(p, at, i, was.of(p, i))
}
