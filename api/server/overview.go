package server

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"backfleet/api/convert"
	v1 "backfleet/api/v1"
	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
)

// Overview answers what shows very much at once, or one node over all plans. What
// is not there is fault.NotFound.
type Overview interface {
	// Graph is nodes and what depends on what; one that is too large is
	// fault.Invalid and says what to ask for instead.
	Graph(ctx context.Context, q GraphQuery) (*v1.Graph, error)
	// Map is the states of a plan, node by date.
	Map(ctx context.Context, plan uint64, w MapWindow) (*v1.BackfillMap, error)
	// Failures groups what failed in a plan by what it has in common, and tells of
	// so many groups.
	Failures(ctx context.Context, plan uint64, most int) (*v1.Failures, error)
	// Coverage tells of a node's data timestamps in [from, to] what became of them;
	// nil: the last year.
	Coverage(ctx context.Context, node string, from, to *calendar.Date) (*v1.Coverage, error)
	// Runs of a node that have ended, those of the newest plan first.
	Runs(ctx context.Context, node string, page Page) ([]v1.Run, Next, error)
	// NextRuns are the next scheduled times of a node, from a moment on (nil: now).
	NextRuns(ctx context.Context, node string, from *time.Time, count int) (*v1.NextRuns, error)
}

// GraphQuery says which nodes.
type GraphQuery struct {
	Roots    []string // empty: all nodes
	Up, Down *int     // levels from the roots; nil: all
	Nodes    *NodeQuery
}

// MapWindow says which part of a plan is shown, and how large. From and count are
// of the plan's order; a count of 0 is all from there on.
type MapWindow struct {
	NodeFrom, NodeCount, DateFrom, DateCount int
	Rows, Columns                            int // at most; more than 0
}

func (h handlers) GetGraph(c *gin.Context, p v1.GetGraphParams) {
	for _, level := range []struct {
		name string
		n    *int
	}{{"up", p.Up}, {"down", p.Down}} {
		switch {
		case level.n == nil:
		case len(p.Root) == 0:
			h.fail(c, fault.Field(level.name, "levels are counted from roots, and none is named: expected root too"))
			return
		case *level.n < 0:
			h.fail(c, fault.Field(level.name, "%d levels were asked for: expected 0 or more", *level.n))
			return
		}
	}
	nodes := facets{types: p.Type, owners: p.Owner, workspaces: p.Workspace, pool: p.ResourceGroup}.filter(c)
	result, err := h.Backend.Graph(c.Request.Context(), GraphQuery{Roots: p.Root, Up: p.Up, Down: p.Down, Nodes: nodes})
	h.reply(c, http.StatusOK, result, err)
}

// What a map has, unless it is asked for something else, and at most.
const (
	mapSide     = 512
	mapSideMost = 4096
	mapMost     = 4_000_000
)

func (h handlers) GetMap(c *gin.Context, id v1.BackfillID, p v1.GetMapParams) {
	plan, err := convert.ParsePlanID(id)
	for _, n := range []struct {
		name  string
		value int
	}{{"nodeFrom", p.NodeFrom}, {"nodeCount", p.NodeCount}, {"dateFrom", p.DateFrom}, {"dateCount", p.DateCount}, {"rows", p.Rows}, {"columns", p.Columns}} {
		if err == nil && n.value < 0 {
			err = fault.Field(n.name, "%d is negative: expected 0 or more", n.value)
		}
	}
	w := MapWindow{NodeFrom: p.NodeFrom, NodeCount: p.NodeCount, DateFrom: p.DateFrom, DateCount: p.DateCount,
		Rows: cmp.Or(p.Rows, mapSide), Columns: cmp.Or(p.Columns, mapSide)}
	switch {
	case err != nil:
	case w.Rows > mapSideMost:
		err = fault.Field("rows", "%d rows were asked for: expected at most %d", w.Rows, mapSideMost)
	case w.Columns > mapSideMost:
		err = fault.Field("columns", "%d columns were asked for: expected at most %d", w.Columns, mapSideMost)
	case w.Rows*w.Columns > mapMost:
		err = fault.Field("rows", "%d rows of %d columns are more than %d cells: ask for fewer rows or columns", w.Rows, w.Columns, mapMost)
	}
	if err != nil {
		h.fail(c, err)
		return
	}
	result, err := h.Backend.Map(c.Request.Context(), plan, w)
	h.reply(c, http.StatusOK, result, err)
}

func (h handlers) GetFailures(c *gin.Context, id v1.BackfillID, p v1.GetFailuresParams) {
	plan, errID := convert.ParsePlanID(id)
	pg, errPage := page("", p.Limit)
	if err := cmp.Or(errID, errPage); err != nil {
		h.fail(c, err)
		return
	}
	result, err := h.Backend.Failures(c.Request.Context(), plan, pg.Limit)
	h.reply(c, http.StatusOK, result, err)
}

func (h handlers) GetCoverage(c *gin.Context, node string, p v1.GetCoverageParams) {
	from, to, err := dates(p.DateFrom, p.DateTo)
	if err != nil {
		h.fail(c, err)
		return
	}
	result, err := h.Backend.Coverage(c.Request.Context(), node, from, to)
	h.reply(c, http.StatusOK, result, err)
}

func (h handlers) ListRuns(c *gin.Context, node string, p v1.ListRunsParams) {
	pg, err := page(p.Cursor, p.Limit)
	if err != nil {
		h.fail(c, err)
		return
	}
	items, next, err := h.Backend.Runs(c.Request.Context(), node, pg)
	h.reply(c, http.StatusOK, &v1.RunPage{Items: items, Next: next, Incomplete: short(items, pg, next)}, err)
}

func (h handlers) ListNextRuns(c *gin.Context, node string, p v1.ListNextRunsParams) {
	const standard, most = 10, 100
	if p.Count < 0 || p.Count > most {
		h.fail(c, fault.Field("count", "%d runs were asked for: expected 1 to %d", p.Count, most))
		return
	}
	result, err := h.Backend.NextRuns(c.Request.Context(), node, p.From, cmp.Or(p.Count, standard))
	h.reply(c, http.StatusOK, result, err)
}
