package server

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"

	"backfleet/api/convert"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// Most things that one call may name: it is one entry of the log.
const (
	mostBackfills = 1000
	mostInstances = 10_000
)

// operate does an operation and answers with all that it touched.
func (h handlers) operate(c *gin.Context, why string, o BatchOperation) {
	result, err := h.done(c, why, o)
	h.reply(c, http.StatusOK, result, err)
}

// operateOne does an operation of one plan and answers with that.
func (h handlers) operateOne(c *gin.Context, why string, o BatchOperation) {
	result, err := h.done(c, why, o)
	if err == nil && len(result.Backfills) != 1 {
		err = fault.New(fault.Internal, "an operation on one backfill was answered with %d", len(result.Backfills))
	}
	if err != nil {
		h.fail(c, err)
		return
	}
	h.reply(c, http.StatusOK, &result.Backfills[0], nil)
}

func (h handlers) done(c *gin.Context, why string, o BatchOperation) (*v1.OperationBatch, error) {
	w, err := writeFor(c, why)
	if err == nil && o.Kind == wire.Operate_SET_PRIORITY {
		err = w.operators("priority", "changing a priority")
	}
	if err != nil {
		return nil, err
	}
	result, err := h.Backend.Operate(c.Request.Context(), w, o)
	if err != nil {
		return nil, err
	}
	setIndex(c, result.Index)
	return result, nil
}

// steer does an operation of a whole plan.
func (h handlers) steer(c *gin.Context, id string, kind wire.Operate_Kind) {
	plan, err := convert.ParsePlanID(id)
	if err != nil {
		h.fail(c, err)
		return
	}
	body, err := decodeOptional[v1.Reasoned](c)
	if err != nil {
		h.fail(c, err)
		return
	}
	h.operateOne(c, body.Why, BatchOperation{Operate: &wire.Operate{Kind: kind, Targets: []*wire.Target{{Plan: plan}}}})
}

func (h handlers) StopBackfill(c *gin.Context, id v1.BackfillID, _ v1.StopBackfillParams) {
	h.steer(c, id, wire.Operate_STOP)
}

func (h handlers) PauseBackfill(c *gin.Context, id v1.BackfillID, _ v1.PauseBackfillParams) {
	h.steer(c, id, wire.Operate_PAUSE)
}

func (h handlers) ResumeBackfill(c *gin.Context, id v1.BackfillID, _ v1.ResumeBackfillParams) {
	h.steer(c, id, wire.Operate_RESUME)
}

// ofDates does an operation of some dates of a plan, or of all of it.
func (h handlers) ofDates(c *gin.Context, id string, kind wire.Operate_Kind) {
	plan, err := convert.ParsePlanID(id)
	if err != nil {
		h.fail(c, err)
		return
	}
	body, err := decodeOptional[v1.DatesOperation](c)
	if err != nil {
		h.fail(c, err)
		return
	}
	dates, err := convert.ReadDateRanges("dates", body.Dates)
	if err != nil {
		h.fail(c, err)
		return
	}
	h.operateOne(c, body.Why, BatchOperation{Operate: &wire.Operate{Kind: kind, Targets: []*wire.Target{{Plan: plan, Dates: dates}}}})
}

func (h handlers) FreezeBackfill(c *gin.Context, id v1.BackfillID, _ v1.FreezeBackfillParams) {
	h.ofDates(c, id, wire.Operate_FREEZE)
}

func (h handlers) UnfreezeBackfill(c *gin.Context, id v1.BackfillID, _ v1.UnfreezeBackfillParams) {
	h.ofDates(c, id, wire.Operate_UNFREEZE)
}

func (h handlers) RerunBackfill(c *gin.Context, id v1.BackfillID, _ v1.RerunBackfillParams) {
	plan, err := convert.ParsePlanID(id)
	if err != nil {
		h.fail(c, err)
		return
	}
	body, err := decode[v1.RerunRequest](c)
	if err != nil {
		h.fail(c, err)
		return
	}
	o, err := rerun(plan, body)
	if err != nil {
		h.fail(c, err)
		return
	}
	h.operateOne(c, body.Why, o)
}

// rerun checks that the request names instances of this plan, or asks for the
// failed ones.
func rerun(plan uint64, r v1.RerunRequest) (BatchOperation, error) {
	if r.Failed == (len(r.Instances) > 0) {
		return BatchOperation{}, fault.Field("instances", "expected either instances or failed: true")
	}
	if r.Failed {
		if r.Descendants != nil {
			return BatchOperation{}, fault.Field("descendants", "failed: true runs again what the failed ones blocked, too: leave descendants out")
		}
		return BatchOperation{Operate: &wire.Operate{Kind: wire.Operate_RERUN_FAILED, Targets: []*wire.Target{{Plan: plan}}}}, nil
	}
	o := BatchOperation{Operate: &wire.Operate{Kind: wire.Operate_RERUN}}
	var err error
	if o.Targets, err = targets("instances", r.Instances); err != nil {
		return o, err
	}
	if err = o.descend(r.Descendants); err != nil {
		return o, err
	}
	for field, list := range map[string][]*wire.Target{"instances": o.Targets, "descendants": o.Descendants} {
		for _, t := range list {
			if t.Plan != plan {
				return o, fault.Field(field, "%s is not of this backfill: expected instances of %s",
					convert.InstanceID(t.Plan, t.Instances[0]), convert.PlanID(plan))
			}
		}
	}
	return o, nil
}

// descend reads which descendants run again.
func (o *BatchOperation) descend(set *v1.Descendants) (err error) {
	if set == nil {
		return nil
	}
	o.AllDescendants = set.All
	if len(set.IDs) > 0 {
		o.Descendants, err = targets("descendants", set.IDs)
	}
	return err
}

// targets reads ids of instances, by plan in the order in which plans are first
// named. One that is named twice counts once.
func targets(field string, ids []v1.InstanceID) ([]*wire.Target, error) {
	if len(ids) == 0 || len(ids) > mostInstances {
		return nil, fault.Field(field, "%d instances are named: expected 1 to %d", len(ids), mostInstances)
	}
	var list []*wire.Target
	byPlan := map[uint64]*wire.Target{}
	seen := map[[2]uint64]bool{}
	for i, id := range ids {
		plan, number, err := convert.ParseInstanceID(id)
		if err != nil {
			return nil, fault.Field(fmt.Sprintf("%s[%d]", field, i), "%s", messageOf(err))
		}
		if seen[[2]uint64{plan, number}] {
			continue
		}
		seen[[2]uint64{plan, number}] = true
		t := byPlan[plan]
		if t == nil {
			t = &wire.Target{Plan: plan}
			byPlan[plan] = t
			list = append(list, t)
		}
		t.Instances = append(t.Instances, number)
	}
	return list, nil
}

func (h handlers) OperateBackfills(c *gin.Context, _ v1.OperateBackfillsParams) {
	body, err := decode[v1.BackfillsOperation](c)
	if err != nil {
		h.fail(c, err)
		return
	}
	kind, err := convert.ReadBackfillOperation(body.Operation)
	if err != nil {
		h.fail(c, err)
		return
	}
	if n := len(body.Backfills); n == 0 || n > mostBackfills {
		h.fail(c, fault.Field("backfills", "%d backfills are named: expected 1 to %d", n, mostBackfills))
		return
	}
	o := BatchOperation{Operate: &wire.Operate{Kind: kind}}
	var seen []uint64
	for i, id := range body.Backfills {
		plan, err := convert.ParsePlanID(id)
		if err != nil {
			h.fail(c, fault.Field(fmt.Sprintf("backfills[%d]", i), "%s", messageOf(err)))
			return
		}
		if !slices.Contains(seen, plan) {
			seen = append(seen, plan)
			o.Targets = append(o.Targets, &wire.Target{Plan: plan})
		}
	}
	h.operate(c, body.Why, o)
}

func (h handlers) OperateInstances(c *gin.Context, _ v1.OperateInstancesParams) {
	body, err := decode[v1.InstancesOperation](c)
	if err != nil {
		h.fail(c, err)
		return
	}
	o, err := ofInstances(body)
	if err != nil {
		h.fail(c, err)
		return
	}
	h.operate(c, body.Why, o)
}

// ofInstances reads an operation on instances and refuses what does not belong
// to its kind.
func ofInstances(body v1.InstancesOperation) (BatchOperation, error) {
	kind, err := convert.ReadInstanceOperation(body.Operation)
	if err != nil {
		return BatchOperation{}, err
	}
	o := BatchOperation{Operate: &wire.Operate{Kind: kind, Upstream: body.Upstream, Priority: body.Priority}}
	for _, one := range []struct {
		field string
		of    wire.Operate_Kind
		set   bool
		must  string // what is expected where the kind needs it; empty: it may be left out
	}{
		{"upstream", wire.Operate_REMOVE_UPSTREAM, body.Upstream != "", "the id of the node that is no longer waited for"},
		{"priority", wire.Operate_SET_PRIORITY, body.Priority != 0, "1, 2, 3, 5, 7 or 8"},
		{"descendants", wire.Operate_RERUN, body.Descendants != nil, ""},
	} {
		switch {
		case one.set && kind != one.of:
			return o, fault.Field(one.field, "it has no meaning for %s: leave it out", body.Operation)
		case !one.set && kind == one.of && one.must != "":
			return o, fault.Field(one.field, "it is missing: expected %s", one.must)
		}
	}
	if kind == wire.Operate_SET_PRIORITY && !slices.Contains([]int32{1, 2, 3, 5, 7, 8}, body.Priority) {
		return o, fault.Field("priority", "%d is no priority: expected 1, 2, 3, 5, 7 or 8", body.Priority)
	}
	if body.Failure != nil {
		return o, o.ofFailure(body)
	}
	if o.Targets, err = targets("instances", body.Instances); err != nil {
		return o, err
	}
	return o, o.descend(body.Descendants)
}

// ofFailure reads an operation on a group of failures.
func (o *BatchOperation) ofFailure(body v1.InstancesOperation) error {
	switch {
	case o.Kind != wire.Operate_RERUN && o.Kind != wire.Operate_SET_TO_SUCCESS:
		return fault.Field("failure", "it has no meaning for %s: name instances", body.Operation)
	case len(body.Instances) > 0:
		return fault.Field("failure", "instances are named, too: leave one of them out")
	case body.Descendants != nil:
		return fault.Field("descendants", "it has no meaning for a group of failures: leave it out")
	case body.Failure.Failure == "":
		return fault.Field("failure.failure", "it is empty: expected the id of a group, as the backfill's failures tell it")
	}
	plan, err := convert.ParsePlanID(body.Failure.Backfill)
	if err != nil {
		return fault.Field("failure.backfill", "%s", messageOf(err))
	}
	o.Targets, o.Failure = []*wire.Target{{Plan: plan}}, body.Failure.Failure
	return nil
}

func (h handlers) EditBackfill(c *gin.Context, id v1.BackfillID, p v1.EditBackfillParams) {
	plan, err := convert.ParsePlanID(id)
	if err != nil {
		h.fail(c, err)
		return
	}
	body, err := decode[v1.BackfillEdit](c)
	if err != nil {
		h.fail(c, err)
		return
	}
	edit, err := convert.ReadEdit(plan, body)
	if err != nil {
		h.fail(c, err)
		return
	}
	w, err := writeFor(c, body.Why)
	if err == nil && edit.Priority != nil {
		err = w.operators("priority", "changing a priority")
	}
	if err != nil {
		h.fail(c, err)
		return
	}
	result, err := h.Backend.Edit(c.Request.Context(), w, edit, p.DryRun)
	if err == nil {
		setIndex(c, result.Index)
	}
	h.reply(c, http.StatusOK, result, err)
}

func (h handlers) ListOperations(c *gin.Context, id v1.BackfillID, p v1.ListOperationsParams) {
	plan, err := convert.ParsePlanID(id)
	if err != nil {
		h.fail(c, err)
		return
	}
	pg, err := page(p.Cursor, p.Limit)
	if err != nil {
		h.fail(c, err)
		return
	}
	items, next, err := h.Backend.Operations(c.Request.Context(), plan, pg)
	h.reply(c, http.StatusOK, &v1.OperationPage{Items: items, Next: next}, err)
}
