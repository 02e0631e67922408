package schedule

import (
	"backfleet/coordinator/state"
	"backfleet/pkg/plan"
)

// Shown is the state of an instance, a date or a plan as people see it (RULES
// R8).
type Shown uint8

const (
	NotRunning Shown = iota
	WaitingTime
	Running
	Succeeded
	RunFailed
	Freeze
)

// Instance is the state shown of an instance, and what keeps it from starting.
func Instance(st *state.State, p *state.Plan, at plan.Place, nowMs int64) (Shown, Block) {
	switch status := p.Status(p.Instance(at)); {
	case status == state.Running:
		return Running, Block{Kind: Ended}
	case status.Success():
		return Succeeded, Block{Kind: Ended}
	case status.Failure():
		return RunFailed, Block{Kind: Ended}
	case status.Frozen():
		return Freeze, Block{Kind: Frozen}
	}
	b := Check(st, p, at, nowMs)
	if b.Kind.timed() {
		return WaitingTime, b
	}
	return NotRunning, b
}

// timed says that nothing but time is in the way.
func (k Kind) timed() bool { return k == Due || k == Retry || k == Window }

// Date is the state shown of a position.
func Date(st *state.State, p *state.Plan, pos int, nowMs int64) Shown {
	return NewMotion(st, p, nowMs, nil).Date(pos)
}

// Plan is the state shown of a whole plan.
func Plan(st *state.State, p *state.Plan, nowMs int64) Shown {
	return NewMotion(st, p, nowMs, nil).Plan()
}
