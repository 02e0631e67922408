package service

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	v1 "backfleet/api/v1"
	"backfleet/pkg/calendar"
	"backfleet/pkg/node"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// missing names the upstreams that a plan does not wait for because they are
// outside it, and whose partition was never written or last failed (RULES
// R2.7): one warning for each upstream and cause. It looks at a bounded number
// of partitions, and says so when there are more.
func (a *ahead) missing() {
	seen, gaps := map[partition]bool{}, map[gap][]calendar.Date{}
	whole := true
	for n := range a.p.Nodes {
		if a.p.DryNode(n) != wire.DryRun_DRY_RUN_NONE {
			continue
		}
		for pos := range a.p.Dates {
			a.p.Outside(pos, n, func(upstream string, d calendar.Date) bool {
				if whole = a.spend(); !whole {
					return false
				}
				at := partition{upstream, d}
				if seen[at] {
					return true
				}
				seen[at] = true
				i, ok := a.st.Graph().Index(upstream)
				if !ok {
					return true
				}
				written, failed := a.written(a.st.Graph().Node(i), d)
				if written {
					return true
				}
				g := gap{upstream, failed, onlyPrevious(&a.p.Nodes[n], upstream)}
				gaps[g] = append(gaps[g], d)
				if len(a.out.MissingUpstreams) < mostNamed {
					a.out.MissingUpstreams = append(a.out.MissingUpstreams, v1.MissingUpstream{
						Node: upstream, Date: d.String(), Failed: failed, NeededBy: a.p.Nodes[n].Spec.Id,
					})
				}
				return true
			})
			if !whole {
				break
			}
		}
	}
	a.out.Warnings = append(a.out.Warnings, missingWarnings(gaps)...)
	if !whole {
		a.warn("missingUpstream", "", "only the first {partitions} partitions outside the backfill were looked at: preview fewer dates for the rest", "partitions", aheadLooks)
	}
}

type partition struct {
	node string
	date calendar.Date
}

// gap is an upstream whose partitions are missing for one cause.
type gap struct {
	node     string
	failed   bool
	previous bool // only previous cycles of it are needed
}

// onlyPrevious says that a node needs an upstream's previous cycles alone.
func onlyPrevious(n *plan.Node, upstream string) bool {
	return !slices.ContainsFunc(n.Spec.Upstreams, func(u *wire.Upstream) bool { return u.Node == upstream && !u.Previous })
}

// warning says what a gap means for the backfill: a previous cycle that last
// failed is waited for, wherever it ran (RULES R5.3, R5.5).
func (g gap) warning(dates string) v1.Warning {
	text := "upstream {node} is outside the backfill and not waited for, and was never written for {dates}"
	switch {
	case g.previous && g.failed:
		text = "the previous cycle of {node} is outside the backfill and last failed for {dates}: what needs it waits until it succeeds"
	case g.previous:
		text = "the previous cycle of {node} is outside the backfill, was never written for {dates}, and is not waited for"
	case g.failed:
		text = "upstream {node} is outside the backfill and not waited for, and last failed for {dates}"
	}
	return warning("missingUpstream", text, "node", g.node, "dates", dates, "failed", g.failed, "previous", g.previous)
}

// written says whether every cycle of a node's date last succeeded; if not,
// whether one failed. On a day that is none of its schedule nothing is written,
// and by a virtual node never.
func (a *ahead) written(n *node.Node, d calendar.Date) (written, failed bool) {
	if n.Spec.Type == node.Virtual || !n.Schedule.Occurs(d) {
		return true, false
	}
	zone := a.zone(n, d)
	written = true
	for c := range n.Schedule.Count(d, zone) {
		o, _, ran := a.st.LastOutcome(n.Spec.Id, d, n.Schedule.Cycle(d, c, zone).Unix)
		ok := o == wire.Outcome_SUCCEEDED
		written = written && ran && ok
		failed = failed || ran && !ok
	}
	return written, failed
}

// predecessors warns of nodes that depend on themselves and whose cycle before
// the first of a group, outside the group, last came to nothing: they do not
// start before it succeeds (RULES R5.5).
func (a *ahead) predecessors() {
	for n := range a.p.Nodes {
		if a.p.DryNode(n) != wire.DryRun_DRY_RUN_NONE {
			continue
		}
		id := a.p.Nodes[n].Spec.Id
		for _, span := range a.p.Groups {
			if from, to := a.p.NodeRange(span.From, n); from == to || !a.spend() {
				continue
			}
			pre := a.p.Predecessor(plan.Place{Pos: span.From, Node: n})
			if !pre.Exists || pre.InPlan {
				continue
			}
			if o, _, ran := a.st.LastOutcome(id, pre.Date, pre.Unix); ran && o != wire.Outcome_SUCCEEDED {
				w := warning("selfDependency", "node {node} depends on itself, and on {before} it last failed outside the backfill: its cycle of {date} waits until that one succeeds",
					"node", id, "before", pre.Date, "date", a.p.Dates[span.From])
				w.Node, w.Date = id, a.p.Dates[span.From].String()
				a.out.Warnings = append(a.out.Warnings, w)
				break // one is enough to know
			}
		}
	}
}

// zone gives the rules of a node's time zone around a date and the plan's.
func (a *ahead) zone(n *node.Node, d calendar.Date) *calendar.Zone {
	name := cmp.Or(n.Spec.Schedule.GetZone(), a.s.Zone)
	if z, ok := a.zones[name]; ok {
		return z
	}
	z := calendar.UTC()
	if loc, err := a.s.LoadZone(name); err == nil {
		first, last := slices.Min(a.p.Dates), max(slices.Max(a.p.Dates), calendar.Date(a.endMs/dayMs))
		z = calendar.ResolveZone(loc, min(first, d)-node.MaxWindowDays, max(last, d))
	}
	if a.zones == nil {
		a.zones = map[string]*calendar.Zone{}
	}
	a.zones[name] = z
	return z
}

// datesNamed is how many dates a warning names.
const datesNamed = 5

func missingWarnings(gaps map[gap][]calendar.Date) []v1.Warning {
	var out []v1.Warning
	for k, dates := range gaps {
		slices.Sort(dates)
		var named []string
		for _, d := range dates[:min(datesNamed, len(dates))] {
			named = append(named, d.String())
		}
		text := strings.Join(named, ", ")
		if more := len(dates) - len(named); more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		w := k.warning(text)
		w.Node, w.Date = k.node, named[0]
		out = append(out, w)
	}
	slices.SortFunc(out, func(a, b v1.Warning) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Message, b.Message))
	})
	return out
}
