package service

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	v1 "backfleet/api/v1"
	"backfleet/coordinator/state"
	"backfleet/pkg/calendar"
	"backfleet/pkg/node"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// missingUpstreams names the upstreams that a plan does not wait for because
// they are outside it, and whose partition was never written or last failed
// (RULES R2.7): one warning for each upstream and cause. It looks at a bounded
// number of partitions, and says so when there are more.
func (s *Service) missingUpstreams(r *reading, p *plan.Plan) []v1.Warning {
	m := &missing{s: s, reading: r, p: p, zones: map[string]*calendar.Zone{}, seen: map[partition]bool{}, gaps: map[gap][]calendar.Date{}}
	for i := range p.Nodes {
		n := &p.Nodes[i]
		if n.DryRun != wire.DryRun_DRY_RUN_NONE {
			continue
		}
		for _, u := range n.Spec.Upstreams {
			if !m.upstream(n, u) {
				return append(m.warnings(), v1.Warning{Code: "missingUpstream",
					Message: fmt.Sprintf("only the first %d partitions outside the backfill were looked at: preview fewer dates for the rest", lookAtMost)})
			}
		}
	}
	return m.warnings()
}

type partition struct {
	node string
	date calendar.Date
}

// gap is an upstream whose partitions are missing for one cause.
type gap struct {
	node   string
	failed bool
}

type missing struct {
	s *Service
	*reading
	p     *plan.Plan
	zones map[string]*calendar.Zone
	seen  map[partition]bool
	gaps  map[gap][]calendar.Date
}

// upstream looks at what one node needs of one upstream; false when too much
// was looked at.
func (m *missing) upstream(n *plan.Node, u *wire.Upstream) bool {
	i, ok := m.st.Graph().Index(u.Node)
	if !ok {
		return true
	}
	up := m.st.Graph().Node(i)
	_, inPlan := m.p.NodeIndex(u.Node)
	for _, d := range m.p.Dates {
		from, to := d, d
		if u.Window {
			from, to = d+calendar.Date(u.From), d+calendar.Date(u.To)
			if u.FromMonthStart {
				from = d.MonthStart()
			}
		}
		for ; from <= to; from++ {
			if _, ok := m.p.Position(from); ok && inPlan {
				continue
			}
			at := partition{u.Node, from}
			if m.seen[at] {
				continue
			}
			m.seen[at] = true
			if !m.spend() {
				return false
			}
			if written, failed := m.written(up, from); !written {
				k := gap{u.Node, failed}
				m.gaps[k] = append(m.gaps[k], from)
			}
		}
	}
	return true
}

// written says whether every cycle of a node's date last succeeded; if not,
// whether one failed.
func (m *missing) written(n *node.Node, d calendar.Date) (written, failed bool) {
	if len(m.st.PlansOf(n.Spec.Id)) == 0 {
		return false, false
	}
	zone := m.zone(n, d)
	written = true
	for c := range n.Schedule.Count(d, zone) {
		ran, ok := lastOutcome(m.st, n.Spec.Id, d, n.Schedule.Cycle(d, c, zone).Unix)
		written = written && ok
		failed = failed || ran && !ok
	}
	return written, failed
}

// zone gives the rules of a node's time zone around a date.
func (m *missing) zone(n *node.Node, d calendar.Date) *calendar.Zone {
	name := cmp.Or(n.Spec.Schedule.GetZone(), m.s.Zone)
	if z, ok := m.zones[name]; ok {
		return z
	}
	z := calendar.UTC()
	if loc, err := m.s.LoadZone(name); err == nil {
		first, last := slices.Min(m.p.Dates), slices.Max(m.p.Dates)
		z = calendar.ResolveZone(loc, min(first, d)-node.MaxWindowDays, last)
	}
	m.zones[name] = z
	return z
}

// lastOutcome is what the newest execution of a cycle came to, in any plan:
// whether there was one, and whether it succeeded. A dry run is none: it writes
// nothing, and has no attempt.
func lastOutcome(st *state.State, nodeID string, d calendar.Date, unix int64) (ran, ok bool) {
	newest := int64(-1)
	st.Elsewhere(0, nodeID, d, unix, func(q *state.Plan, i uint64) bool {
		status := q.Status(i)
		if status == state.SetToSuccess && q.ChangedMs > newest {
			newest, ran, ok = q.ChangedMs, true, true
		}
		if status == state.Pending {
			return true
		}
		if a := st.Attempts(q, i); len(a) > 0 && a[len(a)-1].SettledMs > newest {
			last := a[len(a)-1]
			newest, ran, ok = last.SettledMs, true, last.Outcome == wire.Outcome_SUCCEEDED
		}
		return true
	})
	return ran, ok
}

// datesNamed is how many dates a warning names.
const datesNamed = 5

func (m *missing) warnings() []v1.Warning {
	var out []v1.Warning
	for k, dates := range m.gaps {
		slices.Sort(dates)
		var named []string
		for _, d := range dates[:min(datesNamed, len(dates))] {
			named = append(named, d.String())
		}
		text := strings.Join(named, ", ")
		if more := len(dates) - len(named); more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		what := "was never written for"
		if k.failed {
			what = "last failed for"
		}
		out = append(out, v1.Warning{Code: "missingUpstream", Node: k.node, Date: named[0],
			Message: fmt.Sprintf("upstream %s is outside the backfill and not waited for, and %s %s", k.node, what, text)})
	}
	slices.SortFunc(out, func(a, b v1.Warning) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Message, b.Message))
	})
	return out
}
