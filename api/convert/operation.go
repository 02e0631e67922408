package convert

import (
	"cmp"

	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// ReadBackfillOperation reads the name of an operation on backfills.
func ReadBackfillOperation(word v1.BackfillOperation) (wire.Operate_Kind, error) {
	var f findings
	kind := backfillOperations.number(&f, "operation", word)
	return kind, f.err("the request")
}

// ReadInstanceOperation reads the name of an operation on instances.
func ReadInstanceOperation(word v1.InstanceOperation) (wire.Operate_Kind, error) {
	var f findings
	kind := instanceOperations.number(&f, "operation", word)
	return kind, f.err("the request")
}

// OperationKind names an operation for the API; edits have no kind of their own
// in the log.
func OperationKind(o *wire.Operation) v1.OperationKind {
	if o.Edit {
		return v1.OperationKindEdit
	}
	return cmp.Or(v1.OperationKind(instanceOperations.word(o.Kind)), v1.OperationKind(backfillOperations.word(o.Kind)))
}

// Operation writes a line of a plan's log for the API.
func Operation(plan uint64, o *wire.Operation) v1.OperationRecord {
	out := v1.OperationRecord{
		Number: o.Number, At: moment(o.AtMs), Actor: o.Actor, Why: o.Why, Operation: OperationKind(o),
		Count: int64(o.Count), Dates: DateRanges(o.Dates), Detail: o.Detail,
	}
	for _, number := range o.Instances {
		out.Instances = append(out.Instances, InstanceID(plan, number))
	}
	return out
}

// ReadEdit reads a change of a plan as the API has it. It refuses what has no
// form in the model and a change that changes nothing; whether it makes sense
// for the plan is for pkg/plan.
func ReadEdit(plan uint64, e v1.BackfillEdit) (*wire.EditPlan, error) {
	var f findings
	out := &wire.EditPlan{
		Plan: plan, Groups: e.Groups, MaxRunning: e.MaxRunning, ResourceGroup: e.ResourceGroup, Priority: e.Priority,
		Period: readPeriod(&f, "period", e.Period), AnyTime: e.AnyTime,
		AddDates: readDateRanges(&f, "addDates", e.AddDates), DropDates: readDateRanges(&f, "dropDates", e.DropDates),
		AddNodes: e.AddNodes, DropNodes: e.DropNodes,
	}
	if e.Period != nil && e.AnyTime {
		f.add("anyTime", "a period is given too: leave one of them out")
	}
	for _, one := range []struct {
		field string
		n     *int32
	}{{"groups", e.Groups}, {"maxRunning", e.MaxRunning}, {"priority", e.Priority}} {
		if one.n != nil && *one.n < 0 {
			f.add(one.field, "%d: expected no less than 0", *one.n)
		}
	}
	if err := f.err("the change"); err != nil {
		return nil, err
	}
	nothing := e.Groups == nil && e.MaxRunning == nil && e.ResourceGroup == nil && e.Priority == nil && e.Period == nil && !e.AnyTime &&
		len(e.AddDates)+len(e.DropDates)+len(e.AddNodes)+len(e.DropNodes) == 0
	if nothing {
		return nil, fault.New(fault.Invalid, "the change is empty: expected at least one of groups, maxRunning, resourceGroup, "+
			"priority, period, anyTime, addDates, dropDates, addNodes or dropNodes")
	}
	return out, nil
}
