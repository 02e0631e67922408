package service

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/coordinator/state"
	"backfleet/pkg/fault"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// Edit implements server.Writes. The difference is told of the change as it was
// decided, on the facts at hand: it is tried on them first, so that what the
// log would refuse is refused without it.
func (s *Service) Edit(ctx context.Context, w server.Write, edit *wire.EditPlan, dryRun bool) (*v1.EditResult, error) {
	if dryRun {
		st := s.Machine.State()
		c := command(w)
		out, err := s.difference(st, w, edit, c)
		if err != nil {
			return nil, err
		}
		out.Index = st.Index()
		return out, nil
	}
	var out *v1.EditResult
	answer, err := s.once(ctx, w, func(st *state.State, c *wire.Command) (err error) {
		out, err = s.difference(st, w, edit, c)
		return err
	})
	if err != nil {
		return nil, err
	}
	if out == nil {
		if out, err = s.edited(w, edit.Plan); err != nil {
			return nil, err
		}
	}
	out.Applied, out.Index = true, answer.Index
	return out, nil
}

// edited tells again of an edit that was made and answered before: what the
// plan's log says of it.
func (s *Service) edited(w server.Write, planID uint64) (*v1.EditResult, error) {
	p, err := s.read().plan(planID)
	if err != nil {
		return nil, err
	}
	out := &v1.EditResult{Backfill: plan.FormatID(planID), Changes: []v1.EditChange{}, Warnings: []v1.Warning{}}
	for o := range newestFirst(p, 0) {
		if o.Edit && o.Actor == w.Actor && o.Why == w.Why {
			out.Changes = append(out.Changes, v1.EditChange{Field: "all", After: o.Detail})
			break
		}
	}
	return out, nil
}

// difference resolves what the log cannot know of an edit into the command, and
// tries it.
func (s *Service) difference(st *state.State, w server.Write, edit *wire.EditPlan, c *wire.Command) (*v1.EditResult, error) {
	p, ok := st.Plan(edit.Plan)
	if !ok {
		return nil, fault.New(fault.NotFound, "there is no backfill %s", plan.FormatID(edit.Plan))
	}
	if err := mayEdit(st, w, edit); err != nil {
		return nil, err
	}
	today, err := s.today()
	if err != nil {
		return nil, err
	}
	if edit.Zones, err = plan.EditZones(p.Plan, edit, st.Graph(), today, s.LoadZone); err != nil {
		return nil, err
	}
	edit.Today, edit.MaxGroups = int32(today), s.MaxGroups
	edit.Restricted, edit.Workspaces = w.Restricted, w.Workspaces
	c.Body = &wire.Command_EditPlan{EditPlan: edit}
	nowMs := max(st.NowMs(), s.Now().UnixMilli())
	after, diff, err := st.TryEdit(edit, nowMs)
	if err != nil {
		return nil, err
	}
	_, r := st.Apply(st.Index()+1, &wire.Command{NowMs: nowMs, Body: c.Body})
	if r.Err != nil {
		return nil, r.Err
	}
	return &v1.EditResult{
		Backfill: plan.FormatID(p.ID), Changes: changes(p.Plan, after, &diff),
		AddedInstances: int64(diff.Added), DroppedInstances: int64(r.Answer.Instances - diff.Added),
		Warnings: append(news(p.Warnings(), after.Warnings()), news(st.Overlaps(p.Plan), st.Overlaps(after))...),
	}, nil
}

// news are the warnings that a plan has after an edit and had not before.
func news(before, after []plan.Warning) []v1.Warning {
	known := plan.Texts(before)
	return warnings(slices.DeleteFunc(after, func(w plan.Warning) bool { return slices.Contains(known, w.Text) }))
}

// changes lists what an edit changes: fields of the request, then how the dates
// lie in the groups, and the nodes.
func changes(before, after *plan.Plan, d *plan.Difference) []v1.EditChange {
	out := []v1.EditChange{}
	note := func(field, before, after string) {
		if before != after {
			out = append(out, v1.EditChange{Field: field, Before: before, After: after})
		}
	}
	for _, c := range d.Changes {
		note(c.Field, c.From, c.To)
	}
	note("dates", groupsText(before), groupsText(after))
	note("nodes", nodesText(before), nodesText(after))
	return out
}

// groupsNamed is how many groups a text names one by one.
const groupsNamed = 20

// groupsText says which dates run in which group, and which were dropped.
func groupsText(p *plan.Plan) string {
	var out []string
	for g, span := range p.Groups[:min(groupsNamed, len(p.Groups))] {
		n := span.To - span.From
		text := fmt.Sprintf("group %d: %s", g+1, p.Dates[span.From])
		if n > 1 {
			text += fmt.Sprintf(" to %s (%d dates)", p.Dates[span.To-1], n)
		}
		out = append(out, text)
	}
	if more := len(p.Groups) - len(out); more > 0 {
		out = append(out, fmt.Sprintf("and %d more groups", more))
	}
	dropped := 0
	for pos := range p.Dates {
		if p.DateDropped(pos) {
			dropped++
		}
	}
	if dropped > 0 {
		out = append(out, count(uint64(dropped), "date")+" dropped")
	}
	return strings.Join(out, "; ")
}

// nodesText names the nodes of a plan, those that were dropped apart.
func nodesText(p *plan.Plan) string {
	var in, dropped []string
	pos := 0
	for pos+1 < len(p.Dates) && p.DateDropped(pos) { // one is left
		pos++
	}
	for n := range p.Nodes {
		id := p.Nodes[n].Spec.Id
		if p.Dropped(plan.Place{Pos: pos, Node: n}) {
			dropped = append(dropped, id)
		} else {
			in = append(in, id)
		}
	}
	text := some(in)
	if len(dropped) > 0 {
		text += "; dropped: " + some(dropped)
	}
	return text
}

// some names the first of a list and counts the rest.
func some(list []string) string {
	const named = 20
	slices.Sort(list)
	text := strings.Join(list[:min(named, len(list))], ", ")
	if more := len(list) - named; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
