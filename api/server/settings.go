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
	"backfleet/pkg/wire"
)

func (h handlers) ListSchedule(c *gin.Context, p v1.ListScheduleParams) {
	from, to, errDates := dates(p.DateFrom, p.DateTo)
	pg, errPage := page(p.Cursor, p.Limit)
	if err := cmp.Or(errDates, errPage); err != nil {
		h.fail(c, err)
		return
	}
	filter := PlanQuery{
		States: p.State, From: from, To: to,
		Nodes: facets{p.Node, p.NodeContains, p.Type, p.Owner, p.Workspace, p.ResourceGroup, p.MyNodes}.filter(c),
	}
	result, err := h.Backend.Schedule(c.Request.Context(), filter, pg)
	if err == nil {
		result.Incomplete = short(result.Items, pg, result.Next)
	}
	h.reply(c, http.StatusOK, result, err)
}

func (h handlers) ListResourceGroups(c *gin.Context, p v1.ListResourceGroupsParams) {
	named[v1.ResourceGroupPage](h, c, p.Cursor, p.Limit, p.Contains, h.Backend.ResourceGroups)
}

func (h handlers) GetResourceGroup(c *gin.Context, name string, _ v1.GetResourceGroupParams) {
	result, err := h.Backend.ResourceGroup(c.Request.Context(), name)
	h.reply(c, http.StatusOK, result, err)
}

func (h handlers) PutResourceGroup(c *gin.Context, name string, p v1.PutResourceGroupParams) {
	put(h, c, p.Why, name, convert.ReadResourceGroup, h.Backend.PutResourceGroup)
}

func (h handlers) ListWorkspaces(c *gin.Context, p v1.ListWorkspacesParams) {
	named[v1.WorkspacePage](h, c, p.Cursor, p.Limit, p.Contains, h.Backend.Workspaces)
}

func (h handlers) GetWorkspace(c *gin.Context, id string, _ v1.GetWorkspaceParams) {
	result, err := h.Backend.Workspace(c.Request.Context(), id)
	h.reply(c, http.StatusOK, result, err)
}

func (h handlers) PutWorkspace(c *gin.Context, id string, p v1.PutWorkspaceParams) {
	put(h, c, p.Why, id, convert.ReadWorkspace, h.Backend.PutWorkspace)
}

func (h handlers) ListRegions(c *gin.Context, p v1.ListRegionsParams) {
	named[v1.RegionPage](h, c, p.Cursor, p.Limit, p.Contains, h.Backend.Regions)
}

func (h handlers) GetRegion(c *gin.Context, id string, _ v1.GetRegionParams) {
	result, err := h.Backend.Region(c.Request.Context(), id)
	h.reply(c, http.StatusOK, result, err)
}

func (h handlers) PutRegion(c *gin.Context, id string, p v1.PutRegionParams) {
	put(h, c, p.Why, id, convert.ReadRegion, h.Backend.PutRegion)
}

func (h handlers) ListDataSources(c *gin.Context, p v1.ListDataSourcesParams) {
	named[v1.DataSourcePage](h, c, p.Cursor, p.Limit, p.Contains, h.Backend.DataSources)
}

func (h handlers) GetDataSource(c *gin.Context, name string, _ v1.GetDataSourceParams) {
	result, err := h.Backend.DataSource(c.Request.Context(), name)
	h.reply(c, http.StatusOK, result, err)
}

func (h handlers) PutDataSource(c *gin.Context, name string, p v1.PutDataSourceParams) {
	put(h, c, p.Why, name, convert.ReadDataSource, h.Backend.PutDataSource)
}

func (h handlers) RemoveDataSource(c *gin.Context, name string, p v1.RemoveDataSourceParams) {
	w, err := operatorsWrite(c, p.Why, "what is set for all")
	h.remove(c, w, err, name, h.Backend.RemoveDataSource)
}

// named answers with a page of things that have a name.
func named[P ~struct {
	Items []T  `json:"items"`
	Next  Next `json:"next,omitempty"`
}, T any](h handlers, c *gin.Context, cursor string, limit int, contains string, list func(context.Context, string, Page) ([]T, Next, error)) {
	pg, err := page(cursor, limit)
	if err != nil {
		h.fail(c, err)
		return
	}
	items, next, err := list(c.Request.Context(), strings.ToLower(contains), pg)
	h.reply(c, http.StatusOK, &P{Items: items, Next: next}, err)
}

// remove removes what has an id, unless there is an error already, and answers so.
func (h handlers) remove(c *gin.Context, w Write, err error, id string, remove func(context.Context, Write, string) (uint64, error)) {
	var index uint64
	if err == nil {
		index, err = remove(c.Request.Context(), w, id)
	}
	h.written(c, index, &v1.Removal{ID: id, Index: index}, err)
}

// written answers with what an entry of the log made of something.
func (h handlers) written(c *gin.Context, index uint64, result any, err error) {
	if err == nil {
		setIndex(c, index)
	}
	h.reply(c, http.StatusOK, result, err)
}

// put reads a setting from the body, sets it and answers with it.
func put[B any, W *wire.PutResourceGroup | *wire.PutWorkspace | *wire.PutRegion | *wire.DataSource | *wire.Channel, A any](h handlers, c *gin.Context, why, id string,
	read func(id string, body B) (W, error), set func(context.Context, Write, W) (A, uint64, error)) {
	body, err := decode[B](c)
	if err != nil {
		h.fail(c, err)
		return
	}
	value, err := read(id, body)
	if err != nil {
		h.fail(c, err)
		return
	}
	w, err := operatorsWrite(c, why, "what is set for all")
	if err != nil {
		h.fail(c, err)
		return
	}
	result, index, err := set(c.Request.Context(), w, value)
	if err == nil {
		c.Header(headerTag, strconv.Quote(strconv.FormatUint(index, 10)))
	}
	h.written(c, index, result, err)
}
