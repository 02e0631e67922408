package server

import (
	"cmp"
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"backfleet/api/convert"
	v1 "backfleet/api/v1"
	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
)

// Explorer answers what one asks on the way from a list to one thing in it. What
// is not there is fault.NotFound.
type Explorer interface {
	// Date is one date of a plan.
	Date(ctx context.Context, plan uint64, date calendar.Date) (*v1.DateProgress, error)
	// ScheduleDay is one day of the schedule.
	ScheduleDay(ctx context.Context, date calendar.Date) (*v1.ScheduleDay, error)
	// SearchInstances lists instances of many plans, the newest plan first, and in
	// each by number; the filter's Sort is never set.
	SearchInstances(ctx context.Context, plans PlanQuery, filter InstanceFilter, page Page) ([]v1.Instance, Next, error)
	// Attempts of an instance, oldest first, the live one among them.
	Attempts(ctx context.Context, plan, number uint64) ([]v1.Attempt, error)
	// Relatives are the instances next to one in the graph: those it waits for, or
	// with down those that wait for it. By number.
	Relatives(ctx context.Context, plan, number uint64, down bool, page Page) (*v1.RelativePage, error)
	// Render shows a node as it is now in its cycles of a date.
	Render(ctx context.Context, id string, date calendar.Date, page Page) (*v1.NodeRenderingPage, error)
}

func (h handlers) GetDate(c *gin.Context, id v1.BackfillID, day v1.Date, _ v1.GetDateParams) {
	plan, errID := convert.ParsePlanID(id)
	d, errDate := date("date", day)
	if err := cmp.Or(errID, errDate); err != nil {
		h.fail(c, err)
		return
	}
	result, err := h.Backend.Date(c.Request.Context(), plan, *d)
	h.reply(c, http.StatusOK, result, err)
}

func (h handlers) GetScheduleDay(c *gin.Context, day v1.Date, _ v1.GetScheduleDayParams) {
	d, err := date("date", day)
	if err != nil {
		h.fail(c, err)
		return
	}
	result, err := h.Backend.ScheduleDay(c.Request.Context(), *d)
	h.reply(c, http.StatusOK, result, err)
}

func (h handlers) SearchInstances(c *gin.Context, p v1.SearchInstancesParams) {
	from, to, errDates := dates(p.DateFrom, p.DateTo)
	first, last, errMoments := moments(p.CreatedFrom, p.CreatedTo)
	ids, errIDs := planIDs("backfill", p.Backfill)
	pg, errPage := page(p.Cursor, p.Limit)
	if err := cmp.Or(errDates, errMoments, errIDs, errPage); err != nil {
		h.fail(c, err)
		return
	}
	nodes := facets{p.Node, p.NodeContains, p.Type, p.Owner, p.Workspace, p.ResourceGroup, p.MyNodes}.filter(c)
	plans := PlanQuery{
		Kind: p.Kind, IDs: ids, Contains: strings.ToLower(p.Contains), CreatedBy: p.CreatedBy, Creator: creator(c, p.Mine),
		CreatedFrom: first, CreatedTo: last, From: from, To: to,
	}
	filter := InstanceFilter{Nodes: nodes, From: from, To: to, States: p.State, Agents: p.Agent}
	items, next, err := h.Backend.SearchInstances(c.Request.Context(), plans, filter, pg)
	h.reply(c, http.StatusOK, &v1.InstancePage{Items: items, Next: next, Incomplete: short(items, pg, next)}, err)
}

func (h handlers) ListAttempts(c *gin.Context, id v1.InstanceID, p v1.ListAttemptsParams) {
	plan, number, errID := convert.ParseInstanceID(id)
	pg, errPage := page(p.Cursor, p.Limit)
	if err := cmp.Or(errID, errPage); err != nil {
		h.fail(c, err)
		return
	}
	all, err := h.Backend.Attempts(c.Request.Context(), plan, number)
	var result v1.AttemptPage
	if err == nil {
		result.Items, result.Next, err = attemptsPage(all, pg)
	}
	h.reply(c, http.StatusOK, &result, err)
}

// attemptsPage is a page of attempts, whose numbers ascend.
func attemptsPage(all []v1.Attempt, pg Page) ([]v1.Attempt, Next, error) {
	after, err := 0, error(nil)
	if pg.Cursor != "" {
		if after, err = strconv.Atoi(pg.Cursor); err != nil || after < 1 {
			return nil, "", fault.Field("cursor", "it is not of this list: expected the next of an earlier page, or none")
		}
	}
	for len(all) > 0 && all[0].Number <= after {
		all = all[1:]
	}
	if len(all) > pg.Limit {
		all = all[:pg.Limit]
		return all, strconv.Itoa(all[pg.Limit-1].Number), nil
	}
	return all, "", nil
}

func (h handlers) GetAttempt(c *gin.Context, id v1.InstanceID, attempt int, _ v1.GetAttemptParams) {
	plan, number, err := convert.ParseInstanceID(id)
	if err != nil {
		h.fail(c, err)
		return
	}
	all, err := h.Backend.Attempts(c.Request.Context(), plan, number)
	if err != nil {
		h.fail(c, err)
		return
	}
	for i := range all {
		if all[i].Number == attempt {
			h.reply(c, http.StatusOK, &all[i], nil)
			return
		}
	}
	h.fail(c, fault.New(fault.NotFound, "instance %s has no attempt %d: it has %d, numbered from 1", id, attempt, len(all)))
}

func (h handlers) ListUpstreams(c *gin.Context, id v1.InstanceID, p v1.ListUpstreamsParams) {
	h.relatives(c, id, p.Cursor, p.Limit, false)
}

func (h handlers) ListDownstreams(c *gin.Context, id v1.InstanceID, p v1.ListDownstreamsParams) {
	h.relatives(c, id, p.Cursor, p.Limit, true)
}

func (h handlers) relatives(c *gin.Context, id v1.InstanceID, cursor string, limit int, down bool) {
	plan, number, errID := convert.ParseInstanceID(id)
	pg, errPage := page(cursor, limit)
	if err := cmp.Or(errID, errPage); err != nil {
		h.fail(c, err)
		return
	}
	result, err := h.Backend.Relatives(c.Request.Context(), plan, number, down, pg)
	if err == nil {
		result.Incomplete = short(result.Items, pg, result.Next)
	}
	h.reply(c, http.StatusOK, result, err)
}

func (h handlers) RenderNode(c *gin.Context, id string, p v1.RenderNodeParams) {
	d, errDate := date("date", p.Date)
	pg, errPage := page(p.Cursor, p.Limit)
	if err := cmp.Or(errDate, errPage); err != nil {
		h.fail(c, err)
		return
	}
	if d == nil {
		h.fail(c, fault.Field("date", "it is missing: expected the data timestamp to render the node for, as in 2026-11-22"))
		return
	}
	result, err := h.Backend.Render(c.Request.Context(), id, *d, pg)
	if err == nil {
		result.Incomplete = short(result.Items, pg, result.Next)
	}
	h.reply(c, http.StatusOK, result, err)
}
