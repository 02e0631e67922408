package service

import (
	"cmp"
	"fmt"
	"iter"
	"slices"

	"backfleet/api/convert"
	v1 "backfleet/api/v1"
	"backfleet/coordinator/state"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// acts adds to an instance what people did to it, and how often it made way.
func (r *reading) acts(p *state.Plan, at plan.Place, i uint64, out *v1.InstanceDetail) {
	out.Yields = p.Yields(i)
	out.RemovedUpstreams = p.RemovedOf(i)
	if set := p.PriorityOf(at); set != p.Priority(at) {
		out.PriorityOverride = int(set)
	}
	for _, m := range p.Marks(i) {
		if o, ok := p.Operation(m.Operation); ok {
			out.Marks = append(out.Marks, v1.Mark{
				Number: o.Number, Operation: convert.OperationKind(o), At: moment(o.AtMs), Actor: o.Actor, Why: o.Why, Detail: o.Detail,
				Text: markText(o),
			})
		}
	}
}

// chances says of each operation whether it can be done to an instance as it
// stands, by the checks of the operation itself.
func (r *reading) chances(p *state.Plan, at plan.Place) (out []v1.OperationChance) {
	for _, word := range []v1.InstanceOperation{
		v1.InstanceOperationStop, v1.InstanceOperationRerun, v1.InstanceOperationSetToSuccess, v1.InstanceOperationFreeze,
		v1.InstanceOperationUnfreeze, v1.InstanceOperationForceRun, v1.InstanceOperationRemoveUpstream, v1.InstanceOperationSetPriority,
	} {
		kind, err := convert.ReadInstanceOperation(word)
		if err != nil {
			panic(err) // it is a word of the contract
		}
		why := r.st.InTheWay(kind, p, at)
		out = append(out, v1.OperationChance{Operation: word, Possible: why.Text == "", Code: obstacleWords[why.Kind], Why: why.Text, Agent: why.Agent})
	}
	return out
}

var obstacleWords = [...]v1.ObstacleCode{
	state.Runs: v1.ObstacleCodeRuns, state.RunsAlready: v1.ObstacleCodeRunsAlready, state.IsFrozen: v1.ObstacleCodeFrozen,
	state.IsNotFrozen: v1.ObstacleCodeNotFrozen, state.HasNotFailed: v1.ObstacleCodeNotFailed, state.WaitsAlready: v1.ObstacleCodeWaitsAlready,
	state.HasFailed: v1.ObstacleCodeFailed, state.HasSucceeded: v1.ObstacleCodeSucceeded, state.IsBeingStopped: v1.ObstacleCodeStopping,
	state.QueuedAtAgent: v1.ObstacleCodeQueuedAtAgent, state.NoUpstream: v1.ObstacleCodeNoUpstream,
}

var markTexts = map[wire.Operate_Kind]string{
	wire.Operate_STOP: "stopped", wire.Operate_PAUSE: "paused", wire.Operate_RESUME: "resumed", wire.Operate_RERUN: "run again",
	wire.Operate_RERUN_FAILED: "run again", wire.Operate_SET_TO_SUCCESS: "set to success", wire.Operate_FREEZE: "frozen",
	wire.Operate_UNFREEZE: "unfrozen", wire.Operate_FORCE_RUN: "forced to run",
}

// markText says an operation in a sentence: set to success by ann at
// 2021-08-24 12:00:00 UTC (checked by hand).
func markText(o *wire.Operation) string {
	what := markTexts[o.Kind]
	switch {
	case o.Edit:
		what = "changed with its backfill"
	case o.Kind == wire.Operate_REMOVE_UPSTREAM:
		what = fmt.Sprintf("dependency on %s removed", o.Detail)
	case o.Kind == wire.Operate_SET_PRIORITY:
		what = "priority set to " + o.Detail
	}
	return cmp.Or(what, "changed") + " by " + deed(o)
}

// lastMark is the last operation of a kind that changed an instance; nil when
// there was none.
func lastMark(p *state.Plan, i uint64, kind wire.Operate_Kind) *wire.Operation {
	for _, m := range slices.Backward(p.Marks(i)) {
		if o, ok := p.Operation(m.Operation); ok && !o.Edit && o.Kind == kind {
			return o
		}
	}
	return nil
}

// ended says what a person did that ended an instance after so many attempts;
// empty when its last attempt did.
func ended(p *state.Plan, i uint64, attempts int) string {
	marks := p.Marks(i)
	if len(marks) == 0 {
		return ""
	}
	last := marks[len(marks)-1]
	o, ok := p.Operation(last.Operation)
	if !ok || o.Edit || int(last.Attempts) < attempts {
		return ""
	}
	switch o.Kind {
	case wire.Operate_STOP:
		return "stopped by " + deed(o)
	case wire.Operate_UNFREEZE:
		return "it could have started while it was frozen; unfrozen by " + deed(o)
	default:
		return ""
	}
}

// operationsOf is how many lines a plan's log has. They are numbered from 1
// without a gap, so that it takes a few looks and not one at each.
func operationsOf(p *state.Plan) uint64 {
	over := uint64(1)
	for {
		if _, ok := p.Operation(over); !ok {
			break
		}
		over *= 2
	}
	below := over / 2 // is there, or 0
	for below+1 < over {
		middle := (below + over) / 2
		if _, ok := p.Operation(middle); ok {
			below = middle
		} else {
			over = middle
		}
	}
	return below
}

// newestFirst gives a plan's operations, those below a number (0: all),
// without reading the others.
func newestFirst(p *state.Plan, below uint64) iter.Seq[*wire.Operation] {
	return func(yield func(*wire.Operation) bool) {
		number := operationsOf(p)
		if below > 0 {
			number = min(number, below-1)
		}
		for ; number > 0; number-- {
			if o, ok := p.Operation(number); !ok || !yield(o) {
				return
			}
		}
	}
}
