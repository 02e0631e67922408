package service

import (
	"time"

	v1 "backfleet/api/v1"
	"backfleet/coordinator/schedule"
	"backfleet/coordinator/state"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

var shownWords = map[schedule.Shown]v1.State{
	schedule.NotRunning: v1.StateNotRunning, schedule.WaitingTime: v1.StateWaitingTime, schedule.Running: v1.StateRunning,
	schedule.Succeeded: v1.StateSucceeded, schedule.RunFailed: v1.StateFailed, schedule.Freeze: v1.StateFrozen,
}

// statusWord is the state shown of a status alone: what waits is Not Running,
// unless it waits for its retry.
func statusWord(s state.Status) v1.State {
	switch {
	case s == state.Running:
		return v1.StateRunning
	case s.Success():
		return v1.StateSucceeded
	case s.Failure():
		return v1.StateFailed
	case s.Frozen():
		return v1.StateFrozen
	case s == state.Retrying:
		return v1.StateWaitingTime
	default:
		return v1.StateNotRunning
	}
}

var dryRunWords = map[wire.DryRun]v1.DryRunReason{
	wire.DryRun_OFF_SCHEDULE: v1.DryRunReasonOffSchedule, wire.DryRun_BLACKLISTED: v1.DryRunReasonBlacklisted,
	wire.DryRun_NOT_CHOSEN: v1.DryRunReasonNotChosen, wire.DryRun_CURRENT_NODE_CLEARED: v1.DryRunReasonCurrentNodeCleared,
	wire.DryRun_NODE_IS_DRY_RUN: v1.DryRunReasonNodeIsDryRun, wire.DryRun_REQUESTED: v1.DryRunReasonRequested,
	wire.DryRun_NOT_PERMITTED: v1.DryRunReasonNotPermitted, wire.DryRun_DROPPED: v1.DryRunReasonDropped,
	wire.DryRun_BEFORE_SWITCHED_ON: v1.DryRunReasonBeforeSwitchedOn, wire.DryRun_VIRTUAL: v1.DryRunReasonVirtual,
}

// dryRunTexts says why an instance succeeds without running.
var dryRunTexts = map[wire.DryRun]string{
	wire.DryRun_OFF_SCHEDULE: "not a scheduled day of the node", wire.DryRun_BLACKLISTED: "the node is on the blacklist",
	wire.DryRun_NOT_CHOSEN:           "the node was not chosen and only keeps the order between chosen ones",
	wire.DryRun_CURRENT_NODE_CLEARED: "the root was left out", wire.DryRun_NODE_IS_DRY_RUN: "the node is set to dry runs",
	wire.DryRun_REQUESTED: "the backfill asked for it", wire.DryRun_NOT_PERMITTED: "the user may not run the node",
	wire.DryRun_DROPPED:            "its date or node was dropped from the running backfill",
	wire.DryRun_BEFORE_SWITCHED_ON: "its scheduled time was before the schedule had the node",
	wire.DryRun_VIRTUAL:            "nothing to run, the node is there for the order",
}

var outcomeWords = map[wire.Outcome]v1.AttemptState{
	wire.Outcome_SUCCEEDED: v1.AttemptStateSucceeded, wire.Outcome_FAILED: v1.AttemptStateFailed,
	wire.Outcome_TIMED_OUT: v1.AttemptStateTimedOut, wire.Outcome_STOPPED: v1.AttemptStateStopped,
	wire.Outcome_LOST: v1.AttemptStateLost, wire.Outcome_YIELDED: v1.AttemptStateYielded,
	wire.Outcome_RECALLED: v1.AttemptStateRecalled, wire.Outcome_SKIPPED: v1.AttemptStateSkipped,
	wire.Outcome_DRAINED: v1.AttemptStateDrained,
}

var agentWords = map[wire.Agent_State]v1.AgentState{
	wire.Agent_READY: v1.AgentStateReady, wire.Agent_DRAINING: v1.AgentStateDraining, wire.Agent_LOST: v1.AgentStateLost,
	wire.Agent_GONE: v1.AgentStateGone,
}

var changeWords = map[wire.NodeChange_Kind]v1.Change{
	wire.NodeChange_ADDED: v1.ChangeAdded, wire.NodeChange_CHANGED: v1.ChangeChanged,
	wire.NodeChange_UNCHANGED: v1.ChangeUnchanged, wire.NodeChange_REMOVED: v1.ChangeRemoved,
}

func moment(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// maybe is a moment that may not be known: 0.
func maybe(ms int64) *time.Time {
	if ms == 0 {
		return nil
	}
	t := moment(ms)
	return &t
}

// warnings are those of plans.
func warnings(list []plan.Warning) []v1.Warning {
	out := make([]v1.Warning, 0, len(list))
	for _, w := range list {
		out = append(out, v1.Warning{Code: w.Code, Message: w.Text, Args: w.Args})
	}
	return out
}

// sentences are the sentences that the log keeps of an answer.
func sentences(texts []string) []v1.Warning {
	out := make([]v1.Warning, 0, len(texts))
	for _, t := range texts {
		out = append(out, v1.Warning{Message: t})
	}
	return out
}
