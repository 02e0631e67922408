// Package forecast says when a plan will have finished: it lets the real
// scheduler run on a copy of the facts, with agents that only exist on paper
// and a clock that jumps from event to event. What an attempt takes is what the
// node took lately. The facts and the scheduler in charge are not touched.
package forecast

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"backfleet/coordinator/schedule"
	"backfleet/coordinator/state"
	"backfleet/pkg/wire"
)

// Options are what a forecast assumes.
type Options struct {
	Slots    map[string]int // of resource groups; one that is not in it has those of its agents that take work
	MaxSteps int            // bound of all that is tried, in starts and ends of instances; 0: 200,000
	Settings schedule.Settings
}

const defaultSteps = 200_000

// Band is a value with what it may well be instead.
type Band struct{ Low, Mid, High int64 }

// Result is a forecast for a plan.
type Result struct {
	FinishMs  Band     // unix milliseconds; Low and High by the quartiles of past durations
	Instances uint64   // that have not succeeded yet
	Steps     int      // what was tried
	Complete  bool     // the plan was followed to its end; else FinishMs is a lower bound, or 0 when it would not end
	Why       string   // what limits the forecast; empty when nothing does
	Demand    []Demand // by resource group
}

// Demand is how many slots instances of the plan wanted to have in a resource
// group at once, at most, beside those that backfills may have there.
type Demand struct {
	Group       string
	Slots, Peak int
	AtLeast     bool // it was not followed to the end, or dates were opened bit by bit: there may be more
}

// Run forecasts a plan from the facts at a moment: what else is unfinished
// competes with it, everything succeeds, and nothing new is submitted. The
// plan may have been accepted on trial.
func Run(st *state.State, planID uint64, nowMs int64, o Options) Result {
	o.MaxSteps = cmp.Or(o.MaxSteps, defaultSteps)
	p, ok := st.Plan(planID)
	if !ok {
		return Result{Why: "there is no such plan"}
	}
	total := p.Total()
	out := Result{Instances: p.Size() - total.Success()}
	past := newPast(st, p)
	slots := limits(st, p, o.Slots)
	if out.Instances == 0 {
		out.FinishMs, out.Complete = Band{nowMs, nowMs, nowMs}, true
		return out
	}
	if text := unheld(st, p); text != "" {
		out.Why = text
		return out
	}
	var why []string
	if text := past.guessed(); text != "" {
		why = append(why, text)
	}
	follow := 2*out.Instances <= uint64(o.MaxSteps/quantiles) // each starts and ends
	for q := range quantiles {
		if !follow {
			break
		}
		m := newRun(st, p, nowMs, o, slots, past, quantile(q))
		end, stuck := m.run()
		out.Steps += m.steps
		if q == int(mid) {
			out.Demand = m.demand()
		}
		switch {
		case stuck != "":
			out.Why = strings.Join(append(why, stuck), "; ")
			out.FinishMs = Band{}
			return out
		case end == 0:
			follow = false
		default:
			*out.FinishMs.of(quantile(q)) = end
		}
	}
	out.Complete = follow
	if follow {
		out.FinishMs.Low, out.FinishMs.High = min(out.FinishMs.Low, out.FinishMs.Mid), max(out.FinishMs.Mid, out.FinishMs.High)
	} else {
		out.FinishMs = bound(st, p, nowMs, slots, past)
		out.Demand = width(st, p, slots)
		why = append(why, fmt.Sprintf("the plan and what runs beside it are too large to be followed in %d steps: it is a lower bound from the work, the slots and the longest chain", o.MaxSteps))
	}
	out.Why = strings.Join(why, "; ")
	return out
}

// unheld says of which of the plan's nodes something is left to run that no
// agent that takes work could hold; empty when there is none. A resource group
// without agents has slots on paper alone, and then all that it takes.
func unheld(st *state.State, p *state.Plan) string {
	for n := range p.Nodes {
		spec := p.Nodes[n].Spec
		if p.DryNode(n) != wire.DryRun_DRY_RUN_NONE || schedule.Plain(spec) {
			continue
		}
		if c := p.NodeCounts(n); c.Success() == p.NodeSize(n) {
			continue
		}
		if f := schedule.FitOf(st, p.ResourceGroup(n), spec); f.Agents > 0 && !f.Ever() {
			return fmt.Sprintf("no agent that takes work could hold node %s: %s", spec.Id, f.Lack(p.ResourceGroup(n), spec))
		}
	}
	return ""
}

func (b *Band) of(q quantile) *int64 {
	return []*int64{mid: &b.Mid, low: &b.Low, high: &b.High}[q]
}

// limits are the slots that each resource group of the plan, and of the
// options, has.
func limits(st *state.State, p *state.Plan, asked map[string]int) map[string]int {
	out := map[string]int{}
	st.Plans(0, func(q *state.Plan) bool {
		if q.ID != p.ID && !q.Unfinished() {
			return true
		}
		for n := range q.Nodes {
			g := q.ResourceGroup(n)
			if _, known := out[g]; !known {
				out[g] = st.GroupUse(g).Slots
			}
		}
		return true
	})
	for g, n := range asked {
		out[g] = n
	}
	return out
}

// ours are the slots of a group that the plan's instances may use.
func ours(st *state.State, p *state.Plan, group string, slots int) int {
	if p.Auto {
		return slots
	}
	return schedule.BackfillLimit(slots, st.ResourceGroup(group))
}

// quantile says which of the past durations is taken. The middle one goes
// first.
type quantile int

const (
	mid quantile = iota
	low
	high
	quantiles = 3
)

// past is how long nodes take, in milliseconds.
type past struct {
	st      *state.State
	p       *state.Plan
	known   map[string][quantiles]int64
	typical [quantiles]int64 // of a node that never ran
	unknown int              // nodes of the plan that never ran
	nodes   int              // that ever ran
}

// fallbackMs is taken when nothing ever ran.
const fallbackMs = 60_000

func newPast(st *state.State, p *state.Plan) *past {
	d := &past{st: st, p: p, known: map[string][quantiles]int64{}}
	for n := range p.Nodes {
		id := p.Nodes[n].Spec.Id
		if ms := st.Durations(id); len(ms) > 0 {
			d.known[id] = spread(ms)
		} else if p.DryNode(n) == wire.DryRun_DRY_RUN_NONE {
			d.unknown++
		}
	}
	d.typical = [quantiles]int64{fallbackMs, fallbackMs, fallbackMs}
	if d.unknown > 0 {
		var medians []uint32
		g := st.Graph()
		for i := range g.Len() {
			if ms := st.Durations(g.Node(i).Spec.Id); len(ms) > 0 {
				medians = append(medians, uint32(spread(ms)[mid]))
			}
		}
		if d.nodes = len(medians); d.nodes > 0 {
			d.typical = spread(medians)
		}
	}
	return d
}

// spread is the median of some durations, and their quartiles, or when they
// are few the least and the greatest.
func spread(ms []uint32) [quantiles]int64 {
	s := slices.Sorted(slices.Values(ms))
	n := len(s)
	first, last := 0, n-1
	if n >= 4 {
		first, last = n/4, n-1-n/4
	}
	return [quantiles]int64{mid: (int64(s[(n-1)/2]) + int64(s[n/2])) / 2, low: int64(s[first]), high: int64(s[last])}
}

func (d *past) of(nodeID string, q quantile) int64 {
	ms, ok := d.known[nodeID]
	if !ok {
		ms = d.typical
		if list := d.st.Durations(nodeID); len(list) > 0 { // of another plan's
			ms = spread(list)
		}
		d.known[nodeID] = ms
	}
	return ms[q]
}

func (d *past) guessed() string {
	switch {
	case d.unknown == 0:
		return ""
	case d.nodes == 0:
		return fmt.Sprintf("%d of %d nodes never ran: %d s were assumed", d.unknown, len(d.p.Nodes), fallbackMs/1000)
	default:
		return fmt.Sprintf("%d of %d nodes never ran: %.1f s were assumed, what a node takes here in the middle",
			d.unknown, len(d.p.Nodes), float64(d.typical[mid])/1000)
	}
}
