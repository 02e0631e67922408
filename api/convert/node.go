package convert

import (
	"fmt"
	"strconv"

	v1 "backfleet/api/v1"
	"backfleet/pkg/calendar"
	"backfleet/pkg/wire"
)

// Node writes a node for the API.
func Node(n *wire.Node) v1.Node {
	return v1.Node{
		ID: n.Id, Name: n.Name, Workspace: n.Workspace, Owner: n.Owner, Type: n.Type,
		Description: n.Description, Dialect: n.Dialect, Params: Assignments(n.Params),
		Schedule: schedule(n.Schedule), Baseline: n.Baseline, Priority: n.Priority,
		ResourceGroup: n.ResourceGroup, Upstreams: upstreams(n.Upstreams), DependsOnSelf: n.DependsOnSelf,
		TimeoutMs: n.TimeoutMs, Retries: n.Retries, RetryDelayMs: n.RetryDelayMs,
		Environment: Assignments(n.Environment), Code: n.Code,
	}
}

// ReadNodes reads nodes as the API has them. What it refuses is what has no
// form in the model (an unknown kind of schedule, a time that is none); whether
// a node makes sense is for pkg/node. Fields in the error are those of
// pkg/node: nodes["id"].schedule.at.
func ReadNodes(nodes []v1.Node) ([]*wire.Node, error) {
	var f findings
	read := make([]*wire.Node, len(nodes))
	for i, n := range nodes {
		path := "nodes[" + strconv.Quote(n.ID) + "]"
		read[i] = &wire.Node{
			Id: n.ID, Name: n.Name, Workspace: n.Workspace, Owner: n.Owner, Type: n.Type,
			Description: n.Description, Dialect: n.Dialect, Params: readAssignments(n.Params),
			Schedule: readSchedule(&f, path+".schedule", n.Schedule), Baseline: n.Baseline, Priority: n.Priority,
			ResourceGroup: n.ResourceGroup, Upstreams: readUpstreams(&f, path, n.Upstreams), DependsOnSelf: n.DependsOnSelf,
			TimeoutMs: n.TimeoutMs, Retries: n.Retries, RetryDelayMs: n.RetryDelayMs,
			Environment: readAssignments(n.Environment), Code: n.Code,
		}
	}
	if err := f.err("the list of nodes"); err != nil {
		return nil, err
	}
	return read, nil
}

// Assignments writes names and values for the API.
func Assignments(list []*wire.Assignment) []v1.Assignment {
	var out []v1.Assignment
	for _, a := range list {
		out = append(out, v1.Assignment{Name: a.Name, Value: a.Value})
	}
	return out
}

func readAssignments(list []v1.Assignment) []*wire.Assignment {
	var out []*wire.Assignment
	for _, a := range list {
		out = append(out, &wire.Assignment{Name: a.Name, Value: a.Value})
	}
	return out
}

func schedule(s *wire.Schedule) *v1.Schedule {
	if s == nil {
		return nil
	}
	out := &v1.Schedule{Kind: kinds.word(s.Kind), Zone: s.Zone}
	if s.Kind == wire.Schedule_DAILY {
		out.At = calendar.Clock(s.At).String()
		return out
	}
	out.From, out.To = calendar.Clock(s.From).String(), calendar.Clock(s.To).String()
	out.EveryMinutes = s.Every
	return out
}

func readSchedule(f *findings, path string, s *v1.Schedule) *wire.Schedule {
	if s == nil {
		return nil
	}
	clock := func(name string, text v1.TimeOfDay) int32 {
		if text == "" {
			return 0
		}
		c, err := calendar.ParseClock(text)
		f.refused(path+"."+name, err)
		return int32(c)
	}
	return &wire.Schedule{
		Kind: kinds.number(f, path+".kind", s.Kind),
		At:   clock("at", s.At), From: clock("from", s.From), To: clock("to", s.To),
		Every: s.EveryMinutes, Zone: s.Zone,
	}
}

func upstreams(list []*wire.Upstream) []v1.Upstream {
	var out []v1.Upstream
	for _, u := range list {
		up := v1.Upstream{Node: u.Node}
		if u.Window {
			up.Window = &v1.DateWindow{From: u.From, To: u.To, FromMonthStart: u.FromMonthStart}
		}
		out = append(out, up)
	}
	return out
}

func readUpstreams(f *findings, path string, list []v1.Upstream) []*wire.Upstream {
	var out []*wire.Upstream
	for i, u := range list {
		up := &wire.Upstream{Node: u.Node}
		if w := u.Window; w != nil {
			if w.FromMonthStart && w.From != 0 {
				f.add(fmt.Sprintf("%s.upstreams[%d].window.from", path, i), "the window begins at the start of the month: leave out from or fromMonthStart")
			}
			up.Window, up.From, up.To, up.FromMonthStart = true, w.From, w.To, w.FromMonthStart
		}
		out = append(out, up)
	}
	return out
}
