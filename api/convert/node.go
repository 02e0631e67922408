package convert

import (
	"fmt"
	"math/bits"
	"strconv"

	v1 "backfleet/api/v1"
	"backfleet/pkg/calendar"
	"backfleet/pkg/wire"
)

// Node writes a node for the API.
func Node(n *wire.Node) v1.Node {
	out := v1.Node{
		ID: n.Id, Name: n.Name, Workspace: n.Workspace, Owner: n.Owner, Type: n.Type,
		Description: n.Description, Dialect: n.Dialect, Params: Assignments(n.Params),
		Schedule: schedule(n), Baseline: n.Baseline, Priority: n.Priority, Mode: nodeModes.word(n.Mode),
		ResourceGroup: n.ResourceGroup, Upstreams: upstreams(n.Upstreams), DependsOnSelf: n.DependsOnSelf,
		DependsOnChildren: n.DependsOnChildren,
		TimeoutMs:         n.TimeoutMs, Retries: n.Retries, RetryDelayMs: n.RetryDelayMs,
		Environment: Assignments(n.Environment), Code: n.Code,
		Requires: Assignments(n.Requires), Slots: int32(n.Slots), User: n.User, Limits: limits(n.Limits),
		ExitCodes: exitCodes(n.ExitCodes), Secrets: n.Secrets, Notify: subscriptions(n.Notify),
	}
	blocks(&out, n)
	return out
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
			DependsOnChildren: n.DependsOnChildren, Auto: n.Schedule != nil && n.Schedule.Auto,
			Mode:      nodeModes.number(&f, path+".mode", n.Mode),
			TimeoutMs: n.TimeoutMs, Retries: n.Retries, RetryDelayMs: n.RetryDelayMs,
			Environment: readAssignments(n.Environment), Code: n.Code,
			Requires: readAssignments(n.Requires), Slots: readSlots(&f, path+".slots", n.Slots), User: n.User, Limits: readLimits(n.Limits),
			ExitCodes: readExitCodes(&f, path+".exitCodes", n.ExitCodes), Secrets: n.Secrets, Notify: readSubscriptions(&f, path+".notify", n.Notify),
		}
		readBlocks(read[i], &n)
	}
	if err := f.err("the list of nodes"); err != nil {
		return nil, err
	}
	return read, nil
}

var exitMeanings = words[v1.ExitMeaning, wire.ExitCode_Meaning]{
	v1.ExitMeaningRetry: wire.ExitCode_RETRY, v1.ExitMeaningFail: wire.ExitCode_FAIL, v1.ExitMeaningSkip: wire.ExitCode_SKIP,
}

func limits(l *wire.Limits) *v1.Limits {
	if l == nil {
		return nil
	}
	return &v1.Limits{
		MemoryBytes: l.MemoryBytes, CPUMilli: l.CpuMilli, Processes: l.Processes, OpenFiles: l.OpenFiles, CoreBytes: l.CoreBytes, Nice: l.Nice,
	}
}

func readLimits(l *v1.Limits) *wire.Limits {
	if l == nil {
		return nil
	}
	return &wire.Limits{
		MemoryBytes: l.MemoryBytes, CpuMilli: l.CPUMilli, Processes: l.Processes, OpenFiles: l.OpenFiles, CoreBytes: l.CoreBytes, Nice: l.Nice,
	}
}

func exitCodes(list []*wire.ExitCode) []v1.ExitCode {
	var out []v1.ExitCode
	for _, e := range list {
		out = append(out, v1.ExitCode{Code: e.Code, Meaning: exitMeanings.word(e.Meaning)})
	}
	return out
}

func readExitCodes(f *findings, path string, list []v1.ExitCode) []*wire.ExitCode {
	var out []*wire.ExitCode
	for _, e := range list {
		meaning := exitMeanings.number(f, path+"."+strconv.Itoa(int(e.Code)), e.Meaning)
		out = append(out, &wire.ExitCode{Code: e.Code, Meaning: meaning})
	}
	return out
}

func readSlots(f *findings, path string, n int32) uint32 {
	if n < 0 {
		f.add(path, "%d: expected 1 or more, or 0 for one", n)
		return 0
	}
	return uint32(n)
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

func schedule(n *wire.Node) *v1.Schedule {
	s := n.Schedule
	if s == nil {
		return nil
	}
	out := &v1.Schedule{Kind: kinds.word(s.Kind), Zone: s.Zone, Auto: n.Auto}
	if s.Kind == wire.Schedule_HOURLY || s.Kind == wire.Schedule_MINUTELY {
		out.From, out.To = calendar.Clock(s.From).String(), calendar.Clock(s.To).String()
		out.EveryMinutes = s.Every
		return out
	}
	out.At = calendar.Clock(s.At).String()
	for _, d := range bitNumbers(s.Weekdays) {
		out.Weekdays = append(out.Weekdays, weekdays.word(d))
	}
	for _, d := range bitNumbers(s.Days &^ 1) {
		out.Days = append(out.Days, v1.MonthDay(d))
	}
	if s.Days&1 != 0 { // after the others, as people write it
		out.Days = append(out.Days, v1.LastDay)
	}
	out.Months = bitNumbers(s.Months)
	return out
}

// bitNumbers lists the bits that are set, from the lowest.
func bitNumbers(set uint32) (out []int32) {
	for ; set != 0; set &= set - 1 {
		out = append(out, int32(bits.TrailingZeros32(set)))
	}
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
	out := &wire.Schedule{
		Kind: kinds.number(f, path+".kind", s.Kind),
		At:   clock("at", s.At), From: clock("from", s.From), To: clock("to", s.To),
		Every: s.EveryMinutes, Zone: s.Zone,
	}
	for i, word := range s.Weekdays {
		out.Weekdays |= 1 << weekdays.number(f, fmt.Sprintf("%s.weekdays[%d]", path, i), word)
	}
	for i, d := range s.Days {
		out.Days |= bit(f, fmt.Sprintf("%s.days[%d]", path, i), int32(d), 0, 31, `a day of the month from 1 to 31, or "last"`)
	}
	for i, m := range s.Months {
		out.Months |= bit(f, fmt.Sprintf("%s.months[%d]", path, i), m, 1, 12, "a month from 1 to 12")
	}
	return out
}

// bit is a set of one number that must lie in [from, to].
func bit(f *findings, field string, n, from, to int32, expected string) uint32 {
	if n < from || n > to {
		f.add(field, "%d: expected %s", n, expected)
		return 0
	}
	return 1 << n
}

func upstreams(list []*wire.Upstream) []v1.Upstream {
	var out []v1.Upstream
	for _, u := range list {
		up := v1.Upstream{Node: u.Node, Previous: u.Previous, Fields: u.Fields}
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
		up := &wire.Upstream{Node: u.Node, Previous: u.Previous, Fields: u.Fields}
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

// GraphNode writes of a node what stands in the graph.
func GraphNode(n *wire.Node) v1.GraphNode {
	return v1.GraphNode{
		ID: n.Id, Name: n.Name, Type: n.Type, Workspace: n.Workspace, Owner: n.Owner, Priority: int(n.Priority),
		ResourceGroup: n.ResourceGroup, Baseline: n.Baseline, Auto: n.Auto, ScheduleKind: ScheduleKind(n), Mode: nodeModes.word(n.Mode),
	}
}
