package convert

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// words pairs the API's spelling of an enumeration with the model's number.
type words[A ~string, W ~int32] map[A]W

var (
	kinds = words[v1.ScheduleKind, wire.Schedule_Kind]{
		v1.ScheduleKindDaily: wire.Schedule_DAILY, v1.ScheduleKindHourly: wire.Schedule_HOURLY,
		v1.ScheduleKindMinutely: wire.Schedule_MINUTELY, v1.ScheduleKindWeekly: wire.Schedule_WEEKLY,
		v1.ScheduleKindMonthly: wire.Schedule_MONTHLY, v1.ScheduleKindYearly: wire.Schedule_YEARLY,
	}
	nodeModes = words[v1.NodeMode, wire.Node_Mode]{
		v1.NodeModeNormal: wire.Node_NORMAL, v1.NodeModeDryRun: wire.Node_DRY_RUN, v1.NodeModePaused: wire.Node_PAUSED,
	}
	weekdays = words[v1.Weekday, int32]{ // the numbers of their bits
		v1.WeekdayMon: 0, v1.WeekdayTue: 1, v1.WeekdayWed: 2, v1.WeekdayThu: 3, v1.WeekdayFri: 4, v1.WeekdaySat: 5, v1.WeekdaySun: 6,
	}
	modes = words[v1.Mode, wire.Request_Mode]{
		v1.ModeCurrent: wire.Request_CURRENT, v1.ModeDescendants: wire.Request_DESCENDANTS, v1.ModeMassive: wire.Request_MASSIVE,
		v1.ModeAdvanced: wire.Request_ADVANCED, v1.ModeChain: wire.Request_CHAIN,
	}
	orders = words[v1.Order, wire.Request_Order]{
		v1.OrderAscending: wire.Request_ASCENDING, v1.OrderDescending: wire.Request_DESCENDING,
	}
	gates = words[v1.Gate, wire.Request_Gate]{
		v1.GateDay: wire.Request_DAY, v1.GateNode: wire.Request_NODE, v1.GateNone: wire.Request_NONE,
	}
	onFailures = words[v1.OnFailure, wire.Request_OnFailure]{
		v1.OnFailureHold: wire.Request_HOLD, v1.OnFailureContinue: wire.Request_CONTINUE,
	}
	overlaps = words[v1.Overlap, wire.Request_Overlap]{
		v1.OverlapWait: wire.Request_OVERLAP_WAIT, v1.OverlapRefuse: wire.Request_OVERLAP_REFUSE,
	}
	onConflicts = words[v1.OnConflict, wire.Request_OnConflict]{
		v1.OnConflictYield: wire.Request_YIELD, v1.OnConflictWait: wire.Request_WAIT, v1.OnConflictAllow: wire.Request_ALLOW,
	}
	switches = words[v1.NodeSwitch, wire.Request_Switch]{
		v1.NodeSwitchRun: wire.Request_RUN, v1.NodeSwitchKeep: wire.Request_KEEP,
	}
	cycles = words[v1.PeriodCycle, wire.Period_Cycle]{
		v1.PeriodCycleDaily: wire.Period_EVERY_DAY, v1.PeriodCycleWeekend: wire.Period_WEEKEND,
	}
	groupKinds = words[v1.ResourceGroupKind, wire.PutResourceGroup_Kind]{
		v1.ResourceGroupKindShared: wire.PutResourceGroup_SHARED, v1.ResourceGroupKindExclusive: wire.PutResourceGroup_EXCLUSIVE,
	}
	backfillOperations = words[v1.BackfillOperation, wire.Operate_Kind]{
		v1.BackfillOperationStop: wire.Operate_STOP, v1.BackfillOperationPause: wire.Operate_PAUSE,
		v1.BackfillOperationResume: wire.Operate_RESUME, v1.BackfillOperationRerunFailed: wire.Operate_RERUN_FAILED,
		v1.BackfillOperationFreeze: wire.Operate_FREEZE, v1.BackfillOperationUnfreeze: wire.Operate_UNFREEZE,
	}
	instanceOperations = words[v1.InstanceOperation, wire.Operate_Kind]{
		v1.InstanceOperationStop: wire.Operate_STOP, v1.InstanceOperationRerun: wire.Operate_RERUN,
		v1.InstanceOperationSetToSuccess: wire.Operate_SET_TO_SUCCESS, v1.InstanceOperationFreeze: wire.Operate_FREEZE,
		v1.InstanceOperationUnfreeze: wire.Operate_UNFREEZE, v1.InstanceOperationForceRun: wire.Operate_FORCE_RUN,
		v1.InstanceOperationRemoveUpstream: wire.Operate_REMOVE_UPSTREAM, v1.InstanceOperationSetPriority: wire.Operate_SET_PRIORITY,
	}
)

// number gives the model's number of a word. An absent word is 0, the default,
// where the model has one there.
func (w words[A, W]) number(findings *findings, field string, word A) W {
	n, ok := w[word]
	if !ok && (word != "" || !w.has(0)) {
		findings.add(field, "%s is not known here: expected %s", quoted(string(word)), w.list())
	}
	return n
}

// word gives the API's word for a number, empty for one without.
func (w words[A, W]) word(number W) A {
	for a, n := range w {
		if n == number {
			return a
		}
	}
	return ""
}

func (w words[A, W]) has(number W) bool { return w.word(number) != "" }

// list names the words in the model's order.
func (w words[A, W]) list() string {
	var all []string
	for a := range w {
		all = append(all, string(a))
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Compare(w[A(a)], w[A(b)]) })
	last := len(all) - 1
	return strings.Join(all[:last], ", ") + " or " + all[last]
}

func quoted(s string) string {
	if s == "" {
		return "an empty word"
	}
	return strconv.Quote(clip(s))
}

// findings collects everything wrong with a message, so that a person mends it in
// one go.
type findings struct {
	details []fault.Detail
	more    int // beyond mostFindings
}

// mostFindings is how many mistakes one error names.
const mostFindings = 100

func (f *findings) add(field, format string, args ...any) {
	if len(f.details) == mostFindings {
		f.more++
		return
	}
	e := fault.Field(field, format, args...)
	f.details = append(f.details, fault.Detail{Field: field, Message: e.Message})
}

// refused adds err, if any, under a field.
func (f *findings) refused(field string, err error) {
	if err != nil {
		f.add(field, "%s", err.Error())
	}
}

// err is nil without findings; a single one is told as the error itself.
func (f *findings) err(what string) error {
	mistakes := len(f.details) + f.more
	switch mistakes {
	case 0:
		return nil
	case 1:
		return fault.Field(f.details[0].Field, "%s", f.details[0].Message)
	}
	if f.more > 0 {
		f.details = append(f.details, fault.Detail{Message: fmt.Sprintf("and %d more", f.more)})
	}
	return fault.New(fault.Invalid, "%s has %d mistakes", what, mistakes).WithDetails(f.details...)
}

func moment(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// NodeMode is the word for a node's own mode.
func NodeMode(n *wire.Node) v1.NodeMode { return nodeModes.word(n.Mode) }

// ScheduleKind is the word for the kind of a node's schedule; a node without one
// runs daily.
func ScheduleKind(n *wire.Node) v1.ScheduleKind {
	if n.Schedule == nil {
		return v1.ScheduleKindDaily
	}
	return kinds.word(n.Schedule.Kind)
}
