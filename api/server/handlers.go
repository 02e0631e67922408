package server

import (
	"cmp"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"backfleet/api/convert"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// handlers implements the generated interface of the contract's operations.
type handlers struct{ *Server }

var _ ServerInterface = handlers{}

func (h handlers) ApplyNodes(c *gin.Context, _ v1.ApplyNodesParams) {
	body, err := decode[v1.NodeApplication](c)
	if err != nil {
		h.fail(c, err)
		return
	}
	nodes, err := convert.ReadNodes(body.Nodes)
	if err != nil {
		h.fail(c, err)
		return
	}
	if len(nodes) == 0 && len(body.Remove) == 0 {
		h.fail(c, fault.Field("nodes", "nothing to apply: expected nodes, ids to remove, or both"))
		return
	}
	result, err := h.Backend.ApplyNodes(c.Request.Context(), write(c), nodes, body.Remove, body.DryRun)
	if err == nil {
		setIndex(c, result.Index)
	}
	h.reply(c, http.StatusOK, result, err)
}

func (h handlers) ListNodes(c *gin.Context, p v1.ListNodesParams) {
	pg, err := page(p.Cursor, p.Limit)
	if err != nil {
		h.fail(c, err)
		return
	}
	filter := NodeQuery{
		IDs: p.ID, Types: p.Type, Owners: p.Owner, Workspaces: p.Workspace, ResourceGroups: p.ResourceGroup, Baselines: p.Baseline,
		Contains: strings.ToLower(p.Contains), Name: strings.ToLower(p.Name), Owner: creator(c, p.Mine),
		Kinds: p.ScheduleKind, Modes: p.Mode, Priorities: p.Priority,
	}
	if p.Auto != "" {
		auto := p.Auto == v1.YesOrNoTrue
		filter.Auto = &auto
	}
	nodes, next, err := h.Backend.Nodes(c.Request.Context(), filter, p.Sort, pg)
	result := v1.NodePage{Next: next}
	for _, n := range nodes {
		node := convert.Node(n)
		node.Code = ""
		result.Items = append(result.Items, node)
	}
	h.reply(c, http.StatusOK, &result, err)
}

func (h handlers) GetNode(c *gin.Context, id string, _ v1.GetNodeParams) {
	record, err := h.Backend.Node(c.Request.Context(), id)
	if err != nil {
		h.fail(c, err)
		return
	}
	h.reply(c, http.StatusOK, &v1.NodeDetail{
		Node: convert.Node(record.Node), CodeVersion: record.CodeVersion, Downstreams: record.Downstreams,
	}, nil)
}

func (h handlers) request(c *gin.Context) (*wire.Request, error) {
	body, err := decode[v1.BackfillRequest](c)
	if err != nil {
		return nil, err
	}
	return convert.ReadRequest(body)
}

func (h handlers) PreviewBackfill(c *gin.Context, p v1.PreviewBackfillParams) {
	request, err := h.request(c)
	if err != nil {
		h.fail(c, err)
		return
	}
	day, errDate := date("date", p.Date)
	pg, errPage := page(p.Cursor, p.Limit)
	if err := cmp.Or(errDate, errPage); err != nil {
		h.fail(c, err)
		return
	}
	result, err := h.Backend.Preview(c.Request.Context(), write(c), request, InstanceFilter{Nodes: OneNode(p.Node), From: day, To: day}, pg)
	h.reply(c, http.StatusOK, result, err)
}

func (h handlers) SubmitBackfill(c *gin.Context, _ v1.SubmitBackfillParams) {
	request, err := h.request(c)
	if err != nil {
		h.fail(c, err)
		return
	}
	w := write(c)
	if request.Priority != 0 {
		if err := w.operators("priority", "setting a priority"); err != nil {
			h.fail(c, err)
			return
		}
	}
	result, err := h.Backend.Submit(c.Request.Context(), w, request)
	if err == nil {
		c.Header("Location", "/v1/backfills/"+result.ID)
		setIndex(c, result.Index)
	}
	h.reply(c, http.StatusCreated, result, err)
}

func (h handlers) ListBackfills(c *gin.Context, p v1.ListBackfillsParams) {
	from, to, errDates := dates(p.DateFrom, p.DateTo)
	first, last, errMoments := moments(p.CreatedFrom, p.CreatedTo)
	ids, errIDs := planIDs("id", p.ID)
	pg, errPage := page(p.Cursor, p.Limit)
	if err := cmp.Or(errDates, errMoments, errIDs, errPage); err != nil {
		h.fail(c, err)
		return
	}
	filter := PlanQuery{
		Kind: cmp.Or(p.Kind, v1.PlanFilterBackfill), IDs: ids, Contains: strings.ToLower(p.Contains), CreatedBy: p.CreatedBy,
		Creator: creator(c, p.Mine), CreatedFrom: first, CreatedTo: last, States: p.State, From: from, To: to,
		Nodes: facets{p.Node, p.NodeContains, p.Type, p.Owner, p.Workspace, p.ResourceGroup, p.MyNodes}.filter(c), Sort: p.Sort,
	}
	items, next, err := h.Backend.Backfills(c.Request.Context(), filter, pg)
	h.reply(c, http.StatusOK, &v1.BackfillPage{Items: items, Next: next, Incomplete: short(items, pg, next)}, err)
}

func (h handlers) GetBackfill(c *gin.Context, id v1.BackfillID, _ v1.GetBackfillParams) {
	plan, err := convert.ParsePlanID(id)
	if err != nil {
		h.fail(c, err)
		return
	}
	result, err := h.Backend.Backfill(c.Request.Context(), plan)
	h.reply(c, http.StatusOK, result, err)
}

func (h handlers) GetReceipt(c *gin.Context, id v1.BackfillID, p v1.GetReceiptParams) {
	plan, errID := convert.ParsePlanID(id)
	from, to, errDates := dates(p.DateFrom, p.DateTo)
	pg, errPage := page(p.Cursor, p.Limit)
	if err := cmp.Or(errID, errDates, errPage, word("by", p.By)); err != nil {
		h.fail(c, err)
		return
	}
	filter := InstanceFilter{Nodes: OneNode(p.Node), From: from, To: to}
	result, err := h.Backend.Receipt(c.Request.Context(), plan, cmp.Or(p.By, v1.ReceiptByNode), filter, pg)
	if err == nil {
		result.Incomplete = short(result.Rows, pg, result.Next)
	}
	h.reply(c, http.StatusOK, result, err)
}

func (h handlers) ListDates(c *gin.Context, id v1.BackfillID, p v1.ListDatesParams) {
	plan, errID := convert.ParsePlanID(id)
	from, to, errDates := dates(p.DateFrom, p.DateTo)
	pg, errPage := page(p.Cursor, p.Limit)
	var errGroup error
	if p.Group < 0 {
		errGroup = fault.Field("group", "%d is no group: they are counted from 1", p.Group)
	}
	if err := cmp.Or(errID, errDates, errPage, errGroup, word("state", p.State)); err != nil {
		h.fail(c, err)
		return
	}
	items, next, err := h.Backend.Dates(c.Request.Context(), plan, DateFilter{Group: p.Group, From: from, To: to, State: p.State}, pg)
	h.reply(c, http.StatusOK, &v1.DatePage{Items: items, Next: next, Incomplete: short(items, pg, next)}, err)
}

func (h handlers) ListInstances(c *gin.Context, id v1.BackfillID, p v1.ListInstancesParams) {
	plan, errID := convert.ParsePlanID(id)
	from, to, errDates := dates(p.DateFrom, p.DateTo)
	pg, errPage := page(p.Cursor, p.Limit)
	if err := cmp.Or(errID, errDates, errPage); err != nil {
		h.fail(c, err)
		return
	}
	switch {
	case p.Order != "" && p.Sort != "":
		h.fail(c, fault.Field("order", "sort is given too: leave one of them out"))
		return
	case p.Order == v1.OrderDescending:
		p.Sort = v1.InstanceSortMinusNumber
	case p.Sort == v1.InstanceSortNumber:
		p.Sort = ""
	}
	nodes := facets{p.Node, p.NodeContains, p.Type, p.Owner, p.Workspace, p.ResourceGroup, p.MyNodes}.filter(c)
	filter := InstanceFilter{Nodes: nodes, From: from, To: to, States: p.State, Agents: p.Agent, Failure: p.Failure, Sort: p.Sort}
	items, next, err := h.Backend.Instances(c.Request.Context(), plan, filter, pg)
	h.reply(c, http.StatusOK, &v1.InstancePage{Items: items, Next: next, Incomplete: short(items, pg, next)}, err)
}

func (h handlers) GetInstance(c *gin.Context, id v1.InstanceID, _ v1.GetInstanceParams) {
	plan, number, err := convert.ParseInstanceID(id)
	if err != nil {
		h.fail(c, err)
		return
	}
	result, err := h.Backend.Instance(c.Request.Context(), plan, number)
	h.reply(c, http.StatusOK, result, err)
}

// short says that a page ended before it was full and not at its list's end: so
// much was looked at.
func short[T any](items []T, pg Page, next Next) bool { return next != "" && len(items) < pg.Limit }

func (h handlers) GetCluster(c *gin.Context, p v1.GetClusterParams) {
	result, err := h.Backend.Cluster(c.Request.Context(), p.Standing)
	h.reply(c, http.StatusOK, result, err)
}

func (h handlers) TransferLeadership(c *gin.Context, _ v1.TransferLeadershipParams) {
	body, err := decode[v1.TransferRequest](c)
	if err != nil {
		h.fail(c, err)
		return
	}
	leader, err := h.Backend.TransferLeadership(c.Request.Context(), write(c), body.To)
	setIndex(c, h.Backend.AppliedIndex())
	h.reply(c, http.StatusOK, &v1.Transfer{Leader: leader}, err)
}
