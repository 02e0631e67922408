package service

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	v1 "backfleet/api/v1"
	"backfleet/coordinator/schedule"
	"backfleet/coordinator/schedule/forecast"
	"backfleet/coordinator/state"
	"backfleet/pkg/calendar"
	"backfleet/pkg/node"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// ahead finds out what a plan that is not accepted yet will meet.
type ahead struct {
	s *Service
	*reading
	p     *plan.Plan
	out   *v1.Preview
	endMs int64 // until when conflicts with the schedule are looked for
	zones map[string]*calendar.Zone
}

// aheadLooks bounds each part of what a preview finds out.
const aheadLooks = 100_000

// mostNamed is how many of a kind a preview lists.
const mostNamed = 100

// look fills in everything but the instances. Only the first page comes with a
// forecast, which takes the longest.
func (a *ahead) look(ctx context.Context, sub *wire.Submit, first bool) {
	a.out.MissingUpstreams, a.out.Conflicts, a.out.DueTimes = []v1.MissingUpstream{}, []v1.PreviewConflict{}, []v1.DueTime{}
	a.endMs = a.nowMs + dayMs
	a.notPermitted()
	a.demand()
	if first {
		a.forecast(ctx, sub)
	}
	a.warnOfDemand()
	a.warnUnheld()
	a.warnSources()
	a.out.Warnings = append(a.out.Warnings, unknownChannels(a.st, "notify", a.p.Request.Notify)...)
	for _, part := range []func(){a.missing, a.predecessors, a.conflicts, a.dueTimes} {
		a.left = aheadLooks // so that none keeps the next from looking
		part()
	}
}

// Bounds of a forecast: what it tries, and how far ahead conflicts are looked
// for.
const (
	forecastSteps = 60_000
	conflictDays  = 31
)

// forecast lets the scheduler play the plan through on a copy of the facts in
// which it is accepted. One at a time: it takes a core for some tenths of a
// second.
func (a *ahead) forecast(ctx context.Context, sub *wire.Submit) {
	select {
	case a.s.forecasting <- struct{}{}:
		defer func() { <-a.s.forecasting }()
	case <-ctx.Done():
		return
	}
	st, r := a.st.Apply(a.st.Index()+1, &wire.Command{NowMs: a.nowMs, Body: &wire.Command_Submit{Submit: sub}})
	if r.Err != nil {
		return // others were faster: the submission will say
	}
	f := forecast.Run(st, r.Answer.Plan, a.nowMs, forecast.Options{MaxSteps: forecastSteps, Settings: a.s.Settings})
	for _, d := range f.Demand {
		for i := range a.out.Demand {
			if g := &a.out.Demand[i]; g.ResourceGroup == d.Group && (!d.AtLeast || int64(d.Peak) > g.Peak) {
				g.Peak = int64(d.Peak)
			}
		}
	}
	seconds := func(ms int64) float64 { return float64(max(0, ms-a.nowMs)) / 1000 }
	out := &v1.Forecast{Complete: f.Complete, Why: f.Why}
	a.out.Forecast = out
	if f.FinishMs.Mid == 0 {
		a.warn("forecast", "", "how long it will take cannot be said: {why}", "why", f.Why)
		return
	}
	out.Low, out.Mid, out.High = seconds(f.FinishMs.Low), seconds(f.FinishMs.Mid), seconds(f.FinishMs.High)
	a.endMs = min(f.FinishMs.High, a.nowMs+conflictDays*dayMs)
	if f.FinishMs.Mid-a.nowMs > dayMs {
		about := "about"
		if !f.Complete {
			about = "at least"
		}
		a.warn("forecast", "", "it is expected to take "+about+" {mid} ({low} to {high}), more than 24 h", "mid", hours(out.Mid), "low", hours(out.Low), "high", hours(out.High), "complete", f.Complete)
	}
}

func hours(seconds float64) string { return fmt.Sprintf("%.1f h", seconds/3600) }

// warn is plan.Warn, about a node if one is given.
func (a *ahead) warn(code v1.WarningCode, node, text string, named ...any) {
	w := warning(code, text, named...)
	w.Node = node
	a.out.Warnings = append(a.out.Warnings, w)
}

func warning(code v1.WarningCode, text string, named ...any) v1.Warning {
	return warnings([]plan.Warning{plan.Warn(string(code), text, named...)})[0]
}

// notPermitted names the nodes that who asks may not run and that only keep
// the order (RULES R2.9).
func (a *ahead) notPermitted() {
	a.out.NotPermitted = []string{}
	for i := range a.p.Nodes {
		if a.p.Nodes[i].DryRun == wire.DryRun_NOT_PERMITTED {
			a.out.NotPermitted = append(a.out.NotPermitted, a.p.Nodes[i].Spec.Id)
		}
	}
	if n := len(a.out.NotPermitted); n > 0 {
		a.warn("notPermitted", "", "you may not run {nodes}: it is a dry run that keeps the order", "nodes", some(slices.Clone(a.out.NotPermitted)))
	}
}

// demand says for each resource group how many slots could be used at once, and
// how many slots backfills may use of it now. Nodes at the same depth of the
// graph do not wait for each other, and dates of different groups neither: so
// many instances at least could run at once.
func (a *ahead) demand() {
	type use struct {
		instances, heaviest uint64
		depths              map[int]uint64
	}
	groups := map[string]*use{}
	depth := depths(a.p)
	for n := range a.p.Nodes {
		if a.p.DryNode(n) != wire.DryRun_DRY_RUN_NONE {
			continue
		}
		u := groups[a.p.ResourceGroup(n)]
		if u == nil {
			u = &use{depths: map[int]uint64{}}
			groups[a.p.ResourceGroup(n)] = u
		}
		weight := uint64(node.Weight(a.p.Nodes[n].Spec))
		u.instances += a.p.NodeSize(n)
		u.heaviest = max(u.heaviest, weight)
		u.depths[depth[n]] += a.beside(n) * weight
	}
	a.out.Demand = []v1.GroupDemand{}
	for name, u := range groups {
		peak := uint64(0)
		for _, n := range u.depths {
			peak = max(peak, n)
		}
		if most := uint64(a.p.Request.MaxRunning); most > 0 {
			peak = min(peak, most*u.heaviest)
		}
		slots := schedule.BackfillLimit(a.st.GroupUse(name).Slots, a.st.ResourceGroup(name))
		a.out.Demand = append(a.out.Demand, v1.GroupDemand{ResourceGroup: name, Peak: int64(peak), Slots: slots, Instances: int64(u.instances)})
	}
	slices.SortFunc(a.out.Demand, func(x, y v1.GroupDemand) int { return cmp.Compare(x.ResourceGroup, y.ResourceGroup) })
}

func (a *ahead) warnOfDemand() {
	for _, d := range a.out.Demand {
		if d.Peak > int64(d.Slots) {
			a.warn("demand", "", `up to {peak} slots of resource group "{resourceGroup}" could be used at once, and backfills may use {slots} of it now: the rest waits`,
				"peak", d.Peak, "resourceGroup", d.ResourceGroup, "slots", d.Slots)
		}
	}
}

// beside is how many instances of a node could run at once: those of the first
// date of each group, or of all dates without gates; one in each group where
// they wait for each other.
func (a *ahead) beside(n int) (beside uint64) {
	self := a.p.Nodes[n].Spec.DependsOnSelf
	if a.p.Request.Gate == wire.Request_NONE && !self {
		return a.p.NodeSize(n)
	}
	for _, span := range a.p.Groups {
		from, to := a.p.NodeRange(span.From, n)
		if self {
			to = min(to, from+1)
		}
		beside += to - from
	}
	return beside
}

// depths is the longest way of each node from one without upstreams.
func depths(p *plan.Plan) []int {
	out := make([]int, len(p.Nodes))
	for n := range p.Nodes { // upstreams come first
		for _, e := range p.Nodes[n].Up {
			out[n] = max(out[n], out[e.Node]+1)
		}
	}
	return out
}

// dueTimes lists the moments to come at which instances become due, the
// earliest first. T lies on the day after D in some zone.
func (a *ahead) dueTimes() {
	positions := make([]int, len(a.p.Dates))
	for pos := range positions {
		positions[pos] = pos
	}
	slices.SortFunc(positions, func(x, y int) int { return cmp.Compare(a.p.Dates[x], a.p.Dates[y]) })
	counts := map[int64]int64{}
	for _, pos := range positions {
		start := int64(a.p.Dates[pos]) * dayMs
		if max(start+3*dayMs, a.p.Request.NotBeforeMs) <= a.nowMs {
			continue
		}
		if len(counts) >= mostNamed && start > latest(counts) || a.left <= 0 {
			break
		}
		a.dueOn(pos, counts)
	}
	for ms, n := range counts {
		a.out.DueTimes = append(a.out.DueTimes, v1.DueTime{At: moment(ms), Instances: n})
	}
	slices.SortFunc(a.out.DueTimes, func(x, y v1.DueTime) int { return x.At.Compare(y.At) })
	a.out.DueTimes = a.out.DueTimes[:min(mostNamed, len(a.out.DueTimes))]
}

// latest is the hundredth moment.
func latest(counts map[int64]int64) int64 {
	all := make([]int64, 0, len(counts))
	for ms := range counts {
		all = append(all, ms)
	}
	slices.Sort(all)
	return all[mostNamed-1]
}

func (a *ahead) dueOn(pos int, counts map[int64]int64) {
	for n := range a.p.Nodes {
		from, to := a.p.NodeRange(pos, n)
		for c := range int(to - from) {
			if !a.spend() {
				return
			}
			if due := a.p.DueMs(plan.Place{Pos: pos, Node: n, Cycle: c}); due > a.nowMs {
				counts[due]++
			}
		}
	}
}

// conflicts lists the auto instances of the plan's nodes that are ready or
// become due until the plan's end is expected, and with which it may have to
// share the node (RULES R5.6): those that are there, and those still to be
// generated.
func (a *ahead) conflicts() {
	if a.p.Request.OnConflict == wire.Request_ALLOW {
		return
	}
	var found []v1.PreviewConflict
	nodes := map[string]bool{}
	for n := range a.p.Nodes {
		if a.p.DryNode(n) == wire.DryRun_DRY_RUN_NONE && a.scheduled(a.p.Nodes[n].Spec.Id) {
			nodes[a.p.Nodes[n].Spec.Id] = true
		}
	}
	if len(nodes) == 0 {
		return
	}
	a.st.AutoPlans(func(q *state.Plan) { found = append(found, a.generated(q, nodes)...) })
	for id := range nodes {
		found = append(found, a.coming(id)...)
	}
	slices.SortFunc(found, func(x, y v1.PreviewConflict) int {
		return cmp.Or(x.At.Compare(y.At), cmp.Compare(x.Node, y.Node), cmp.Compare(x.Instance, y.Instance))
	})
	if len(found) == 0 {
		return
	}
	least := ""
	if a.left <= 0 {
		least = "at least "
	}
	onConflict, way := v1.OnConflictYield, "they go first, and what runs of the backfill makes way for them"
	if a.p.Request.OnConflict == wire.Request_WAIT {
		onConflict, way = v1.OnConflictWait, "they go first unless the backfill runs the node already"
	}
	n := uint64(len(found))
	a.warn("conflict", "", least+count(n, "instance")+" of the schedule "+isAre(n)+" due until {until} on nodes of the backfill, {at} of node {node} the first: "+way,
		"instances", n, "until", momentText(a.endMs), "at", found[0].At.Format("2006-01-02 15:04:05 MST"), "node", found[0].Node, "complete", a.left > 0, "onConflict", onConflict)
	a.out.Conflicts = found[:min(mostNamed, len(found))]
}

// scheduled says whether the schedule runs a node.
func (a *ahead) scheduled(id string) bool {
	n, ok := a.st.Node(id)
	return ok && n.Spec.Auto && n.Spec.Mode == wire.Node_NORMAL
}

// generated lists the auto instances of a day that are there.
func (a *ahead) generated(q *state.Plan, nodes map[string]bool) (out []v1.PreviewConflict) {
	for n := range q.Nodes {
		if !nodes[q.Nodes[n].Spec.Id] {
			continue
		}
		for pos := range q.Dates {
			from, to := q.NodeRange(pos, n)
			for i := from; i < to; i++ {
				if status := q.Status(i); !status.Waits() && status != state.Running || !a.spend() {
					continue
				}
				at, _ := q.Locate(i)
				if due := q.DueMs(at); due <= a.endMs && q.Dry(at) == wire.DryRun_DRY_RUN_NONE {
					out = append(out, v1.PreviewConflict{
						Node: q.Nodes[n].Spec.Id, Date: q.Dates[pos].String(), At: moment(due), Instance: plan.FormatInstance(q.ID, i),
					})
				}
			}
		}
	}
	return out
}

// coming lists the cycles of a node until the plan's end that the schedule has
// not generated yet.
func (a *ahead) coming(id string) (out []v1.PreviewConflict) {
	i, _ := a.st.Graph().Index(id)
	n := a.st.Graph().Node(i)
	through, ok := a.st.GeneratedThrough()
	for d := a.p.Generated - 2; int64(d)*dayMs <= a.endMs; d++ {
		if ok && d <= through || !n.Schedule.Occurs(d) {
			continue
		}
		zone := a.zone(n, d)
		for c := range n.Schedule.Count(d, zone) {
			at := n.Schedule.Cycle(d, c, zone).Unix * 1000
			if at < a.nowMs || at > a.endMs {
				continue
			}
			if !a.spend() {
				return out
			}
			out = append(out, v1.PreviewConflict{Node: id, Date: d.String(), At: moment(at)})
		}
	}
	return out
}
