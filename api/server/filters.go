package server

import (
	"cmp"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"backfleet/api/convert"
	v1 "backfleet/api/v1"
	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
)

// NodeQuery keeps nodes that agree with all that is set. A set that is empty
// lets everything pass, any other what equals one of its members.
type NodeQuery struct {
	IDs, Types, Owners, Workspaces, ResourceGroups, Baselines []string

	Contains   string // lower-case; in the id or the name
	Name       string // lower-case; in the name
	Owner      string // who asks for what is theirs; empty: does not matter
	Kinds      []v1.ScheduleKind
	Modes      []v1.NodeMode
	Priorities []int
	Auto       *bool
}

// PlanQuery keeps backfills, and days of the schedule, that agree with all that
// is set.
type PlanQuery struct {
	Kind        v1.PlanFilter // empty: all
	IDs         []uint64
	Contains    string // lower-case; in the id or the name
	CreatedBy   []string
	Creator     string // who asks for what is theirs; empty: does not matter
	CreatedFrom *time.Time
	CreatedTo   *time.Time
	States      []v1.State
	From, To    *calendar.Date // it has a data timestamp between them
	Nodes       *NodeQuery     // it has a node that agrees with it; nil: does not matter
	Sort        v1.BackfillSort
}

// InstanceFilter keeps instances that agree with all that is set.
type InstanceFilter struct {
	Nodes    *NodeQuery     // nil: of all nodes
	From, To *calendar.Date // data timestamps, inclusive
	States   []v1.State
	Agents   []string // that hold or held the newest attempt
	Failure  string   // id of a group of failures; empty: whatever
	// Sort is no filter, and previews and receipts never set it. Empty: by number.
	Sort v1.InstanceSort
}

// DateFilter keeps what matches all that is set.
type DateFilter struct {
	Group    int // from 1; 0: all
	From, To *calendar.Date
	State    v1.State
}

// OneNode keeps a node by its id; nil for an empty one.
func OneNode(id string) *NodeQuery {
	if id == "" {
		return nil
	}
	return &NodeQuery{IDs: []string{id}}
}

// facets are what every list that is about nodes can be asked for.
type facets struct {
	ids                             []string
	contains                        string
	types, owners, workspaces, pool []string
	mine                            bool
}

// filter is nil when nothing is asked for, so that whoever has no need to look at
// nodes does not.
func (f facets) filter(c *gin.Context) *NodeQuery {
	out := &NodeQuery{
		IDs: f.ids, Types: f.types, Owners: f.owners, Workspaces: f.workspaces, ResourceGroups: f.pool, Contains: strings.ToLower(f.contains),
	}
	if f.mine {
		out.Owner = c.GetString(keyActor)
	}
	if !f.mine && out.Contains == "" && len(f.ids)+len(f.types)+len(f.owners)+len(f.workspaces)+len(f.pool) == 0 {
		return nil
	}
	return out
}

// creator is who asks, if they ask for what is theirs.
func creator(c *gin.Context, mine bool) string {
	if !mine {
		return ""
	}
	return c.GetString(keyActor)
}

func planIDs(field string, ids []v1.BackfillID) (out []uint64, err error) {
	for _, id := range ids {
		n, err := convert.ParsePlanID(id)
		if err != nil {
			return nil, fault.Field(field, "%s", messageOf(err))
		}
		out = append(out, n)
	}
	return out, nil
}

// moments reads the bounds of a filter on when something was asked for.
func moments(from, to v1.MomentOrDate) (first, last *time.Time, err error) {
	first, errFrom := instant("created_from", from, 0)
	last, errTo := instant("created_to", to, 24*time.Hour-time.Millisecond)
	return first, last, cmp.Or(errFrom, errTo)
}

// instant reads a moment, or a date to whose start it adds; nil: not given.
func instant(field, text string, add time.Duration) (*time.Time, error) {
	if text == "" {
		return nil, nil
	}
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		t = t.Add(add)
		return &t, nil
	}
	t, err := time.Parse(time.RFC3339, strings.ToUpper(text))
	if err != nil {
		return nil, fault.Field(field, "%q is no moment: expected one as in 2026-11-22T03:14:15Z, or a date as in 2026-11-22", clip(text))
	}
	return &t, nil
}
