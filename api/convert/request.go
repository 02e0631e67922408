package convert

import (
	"fmt"
	"strings"
	"time"

	v1 "backfleet/api/v1"
	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// Request writes a backfill request for the API.
func Request(r *wire.Request) v1.BackfillRequest {
	out := v1.BackfillRequest{
		Name: r.Name, Mode: modes.word(r.Mode), Root: r.Root, Nodes: r.Nodes,
		WithoutRoot: r.WithoutRoot, NameFilter: r.NameFilter, MaxLevel: r.MaxLevel,
		Dates: []v1.DateRangeText{}, Groups: r.Groups, Order: orders.word(r.Order),
		Gate: gates.word(r.Gate), OnFailure: onFailures.word(r.OnFailure),
		StopAfter: r.StopAfter, MaxRunning: r.MaxRunning, RunFutureEarly: r.RunFutureEarly,
		DryRun: r.DryRun, PinCode: r.PinCode, ResourceGroup: r.ResourceGroup, Overlap: overlaps.word(r.Overlap),
		Workspaces: r.Workspaces, Whitelist: r.Whitelist, Blacklist: r.Blacklist, End: r.End,
		OnConflict: onConflicts.word(r.OnConflict), Period: period(r.Period), Zone: r.Zone,
		PausedNodes: switches.word(r.PausedNodes), DryRunNodes: switches.word(r.DryRunNodes), Priority: r.Priority, Notify: subscriptions(r.Notify),
	}
	out.Dates = append(out.Dates, DateRanges(r.Dates)...)
	for _, n := range r.Filters {
		out.Filters = append(out.Filters, v1.NodeSelector{
			Workspace: n.Workspace, Owner: n.Owner, Priority: n.Priority, Name: n.Name, ID: n.Id, Type: n.Type, ResourceGroup: n.ResourceGroup,
		})
	}
	if t := r.TimeOfDay; t != nil {
		out.TimeOfDay = &v1.TimeRange{From: calendar.Clock(t.From).String(), To: calendar.Clock(t.To).String()}
	}
	for _, p := range r.Params {
		out.Params = append(out.Params, v1.ParamOverride{Node: p.Node, Name: p.GetParam().GetName(), Value: p.GetParam().GetValue()})
	}
	for _, c := range r.Fields {
		out.Fields = append(out.Fields, v1.FieldChoice{Node: c.Node, Fields: c.Fields})
	}
	if r.NotBeforeMs != 0 {
		t := time.UnixMilli(r.NotBeforeMs).UTC()
		out.NotBefore = &t
	}
	return out
}

// ReadRequest reads a backfill request as the API has it. It refuses what has
// no form in the model; whether the request makes sense is for pkg/plan.
func ReadRequest(r v1.BackfillRequest) (*wire.Request, error) {
	var f findings
	out := &wire.Request{
		Name: r.Name, Mode: modes.number(&f, "mode", r.Mode), Root: r.Root, Nodes: r.Nodes,
		WithoutRoot: r.WithoutRoot, NameFilter: r.NameFilter, MaxLevel: r.MaxLevel,
		Groups: r.Groups, Order: orders.number(&f, "order", r.Order),
		Gate: gates.number(&f, "gate", r.Gate), OnFailure: onFailures.number(&f, "onFailure", r.OnFailure),
		StopAfter: r.StopAfter, MaxRunning: r.MaxRunning, RunFutureEarly: r.RunFutureEarly,
		DryRun: r.DryRun, PinCode: r.PinCode, ResourceGroup: r.ResourceGroup, Overlap: overlaps.number(&f, "overlap", r.Overlap),
		Workspaces: r.Workspaces, Whitelist: r.Whitelist, Blacklist: r.Blacklist, End: r.End,
		OnConflict: onConflicts.number(&f, "onConflict", r.OnConflict), Period: readPeriod(&f, "period", r.Period), Zone: r.Zone,
		PausedNodes: switches.number(&f, "pausedNodes", r.PausedNodes), DryRunNodes: switches.number(&f, "dryRunNodes", r.DryRunNodes),
		Priority: r.Priority, Dates: readDateRanges(&f, "dates", r.Dates),
		Notify: readSubscriptions(&f, "notify", r.Notify),
	}
	for _, n := range r.Filters {
		out.Filters = append(out.Filters, &wire.NodeFilter{
			Workspace: n.Workspace, Owner: n.Owner, Priority: n.Priority, Name: n.Name, Id: n.ID, Type: n.Type, ResourceGroup: n.ResourceGroup,
		})
	}
	if t := r.TimeOfDay; t != nil {
		from, errFrom := calendar.ParseClock(t.From)
		to, errTo := calendar.ParseClock(t.To)
		f.refused("timeOfDay.from", errFrom)
		f.refused("timeOfDay.to", errTo)
		out.TimeOfDay = &wire.TimeRange{From: int32(from), To: int32(to)}
	}
	for _, p := range r.Params {
		out.Params = append(out.Params, &wire.Override{Node: p.Node, Param: &wire.Assignment{Name: p.Name, Value: p.Value}})
	}
	for _, c := range r.Fields {
		out.Fields = append(out.Fields, &wire.FieldChoice{Node: c.Node, Fields: c.Fields})
	}
	if r.NotBefore != nil {
		out.NotBeforeMs = r.NotBefore.UnixMilli()
	}
	if err := f.err("the request"); err != nil {
		return nil, err
	}
	return out, nil
}

// midnight ends a day, in seconds of it.
const midnight = 24 * 60 * 60

// period leaves midnight out: that is what an absent end means.
func period(p *wire.Period) *v1.Period {
	if p == nil {
		return nil
	}
	out := &v1.Period{Cycle: cycles.word(p.Cycle), Start: calendar.Clock(p.Start).String()}
	if p.End != midnight {
		out.End = calendar.Clock(p.End).String()
	}
	return out
}

func readPeriod(f *findings, path string, p *v1.Period) *wire.Period {
	if p == nil {
		return nil
	}
	start, err := calendar.ParseClock(p.Start)
	f.refused(path+".start", err)
	out := &wire.Period{Cycle: cycles.number(f, path+".cycle", p.Cycle), Start: int32(start), End: midnight}
	if p.End != "" {
		end, err := calendar.ParseClock(p.End)
		f.refused(path+".end", err)
		out.End = int32(end)
	}
	return out
}

// DateRanges writes ranges as people do.
func DateRanges(list []*wire.DateRange) []v1.DateRangeText {
	var out []v1.DateRangeText
	for _, d := range list {
		out = append(out, DateRange(d))
	}
	return out
}

// ReadDateRanges reads what DateRanges writes; field is theirs.
func ReadDateRanges(field string, list []v1.DateRangeText) ([]*wire.DateRange, error) {
	var f findings
	out := readDateRanges(&f, field, list)
	if err := f.err("the request"); err != nil {
		return nil, err
	}
	return out, nil
}

func readDateRanges(f *findings, field string, list []v1.DateRangeText) []*wire.DateRange {
	var out []*wire.DateRange
	for i, text := range list {
		d, err := ReadDateRange(text)
		f.refused(fmt.Sprintf("%s[%d]", field, i), err)
		out = append(out, d)
	}
	return out
}

// DateRange writes a range as people do: one date, or two with dots between.
func DateRange(d *wire.DateRange) string {
	if d.From == d.To {
		return calendar.Date(d.From).String()
	}
	return calendar.Date(d.From).String() + ".." + calendar.Date(d.To).String()
}

// ReadDateRange reads what DateRange writes. An end before its start is refused
// (RULES R3.1).
func ReadDateRange(s string) (*wire.DateRange, error) {
	first, last, isRange := strings.Cut(s, "..")
	if !isRange {
		last = first
	}
	from, err := calendar.ParseDate(first)
	if err != nil {
		return nil, err
	}
	to, err := calendar.ParseDate(last)
	if err != nil {
		return nil, err
	}
	if to < from {
		return nil, fault.New(fault.Invalid, "%s..%s ends before it starts: expected the earlier date first", from, to)
	}
	return &wire.DateRange{From: int32(from), To: int32(to)}, nil
}
