package plan

import (
	"fmt"
	"sort"
	"strings"

	"backfleet/pkg/calendar"
	"backfleet/pkg/wire"
)

// Warning is what somebody should know although it is no error: a sentence, and
// for who says it in another language its code and what the sentence names.
// Codes and names are append-only: clients match on them.
type Warning struct {
	Code, Text string
	Args       map[string]string
}

// Warn makes a warning: each {name} of the text becomes the value that follows
// the name.
func Warn(code, text string, named ...any) Warning {
	args := make(map[string]string, len(named)/2)
	var values []string
	for i := 0; i+1 < len(named); i += 2 {
		name, value := fmt.Sprint(named[i]), fmt.Sprint(named[i+1])
		args[name] = value
		values = append(values, "{"+name+"}", value)
	}
	return Warning{Code: code, Text: strings.NewReplacer(values...).Replace(text), Args: args}
}

// Texts are the sentences of warnings alone.
func Texts(list []Warning) (out []string) {
	for _, w := range list {
		out = append(out, w.Text)
	}
	return out
}

// Warnings are what a submitter should know although it is no error.
func (p *Plan) Warnings() []Warning {
	var out []Warning
	say := func(code, text string, named ...any) { out = append(out, Warn(code, text, named...)) }
	// of is a warning about the nodes of which something is true; false: there are none.
	of := func(code, text string, is func(n int) bool) bool {
		first, more := p.which(is)
		switch {
		case first == "":
		case more == 0:
			say(code, strings.Replace(text, "{who}", "node {node}", 1), "node", first)
		default:
			say(code, strings.Replace(text, "{who}", "node {node} (and {more} more)", 1), "node", first, "more", more)
		}
		return first != ""
	}
	if p.descending() {
		of("descendingSelf", "{who} depends on itself: in descending order a date does not wait for the one before it in this backfill, only for what ran outside it (RULES R5.5)",
			func(n int) bool { return p.Nodes[n].Spec.DependsOnSelf })
		of("descendingPrevious", "{who} needs the previous cycle of another node: in descending order its dates still wait for the earlier ones (RULES R5.3)", p.needsPlanned)
	}
	future := 0
	for _, d := range p.Dates {
		if d >= p.Generated {
			future++
		}
	}
	if future > 0 && !p.Request.RunFutureEarly && !p.Auto {
		say("future", "{future} of {dates} dates lie in the future: their instances wait for their scheduled time", "future", future, "dates", len(p.Dates))
	}
	if g := p.Request.Groups; int(g) > len(p.Dates) {
		say("groups", "{groups} groups for {dates} dates: one group for each date", "groups", g, "dates", len(p.Dates))
	}
	if w, ok := p.crossing(); ok {
		out = append(out, w)
	}
	virtual := func(n int) bool { return p.DryNode(n) == wire.DryRun_VIRTUAL }
	runs := func(n int) bool { return p.DryNode(n) == wire.DryRun_DRY_RUN_NONE }
	if first, _ := p.which(runs); first == "" {
		of("virtual", "nothing of it runs: {who} is virtual and there for the order alone; choose what comes after it as well (RULES R6)", virtual)
	}
	of("neverScheduled", "{who} is not scheduled on any of the dates, so that all its instances are dry runs: D is the day before the scheduled one (RULES R1.3)", p.neverOccurs)
	if !p.Auto {
		of("pausedNode", "{who} is paused and stays so: its instances are frozen and hold what comes after them (RULES R6)", p.FrozenNode)
	}
	of("askerMayNot", "{who} may not be run by who asks, so that its instances are dry runs (RULES R2.9)", func(n int) bool { return p.Nodes[n].DryRun == wire.DryRun_NOT_PERMITTED })
	if p.Auto {
		if c := p.circleOfDate(); c != nil {
			say("circle", "these instances can never start: {circle}: take a previous-cycle dependency out of one of their nodes (RULES R5.7)", "circle", c)
		}
	}
	return out
}

// which names the first node of which something is true, empty when there is
// none, and says of how many more it is.
func (p *Plan) which(is func(n int) bool) (first string, more int) {
	for i := range p.Nodes {
		switch {
		case !is(i):
		case first == "":
			first = p.Nodes[i].Spec.Id
		default:
			more++
		}
	}
	return first, more
}

// needsPlanned says whether a node needs previous cycles of a node of the plan.
func (p *Plan) needsPlanned(n int) bool {
	for i := range p.Nodes[n].prior {
		if p.Nodes[n].prior[i].node >= 0 {
			return true
		}
	}
	return false
}

// neverOccurs says whether no date is a day of a node's schedule.
func (p *Plan) neverOccurs(n int) bool {
	s := p.Nodes[n].Schedule
	if everyDay(s) || p.DryNode(n) != wire.DryRun_DRY_RUN_NONE || p.Auto {
		return false
	}
	for _, d := range p.Dates {
		if s.Occurs(d) {
			return false
		}
	}
	return true
}

// crossing warns of groups that windows of dates or previous cycles chain
// together: a group that cannot pass its first date before the one before it is
// almost done.
func (p *Plan) crossing() (Warning, bool) {
	if p.descending() || p.Request.Gate != wire.Request_DAY {
		return Warning{}, false
	}
	for _, g := range p.Groups[1:] {
		d := p.Dates[g.From]
		for i := range p.Nodes {
			up, pos := p.reachesInto(i, d, g.From)
			if up >= 0 {
				return Warn("crossing", "node {node} on {date} waits for {upstream} on {before}, in the group before: such dependencies make the groups run one after another (gate node lets the nodes early in the graph run ahead)",
					"node", p.Nodes[i].Spec.Id, "date", d, "upstream", p.Nodes[up].Spec.Id, "before", p.Dates[pos]), true
			}
		}
	}
	return Warning{}, false
}

// reachesInto finds a node and a position before another that a node waits for
// on a date; -1 when there is none.
func (p *Plan) reachesInto(n int, d calendar.Date, before int) (up, pos int) {
	for _, e := range p.Nodes[n].Up {
		if e.Window == nil {
			continue
		}
		from, to := window(e.Window, d)
		if pos = sort.Search(before, func(i int) bool { return p.Dates[i] >= from }); pos < before && p.Dates[pos] <= to {
			return e.Node, pos
		}
	}
	if pos, ok := p.Position(d - 1); ok && p.needsPlanned(n) {
		for i := range p.Nodes[n].prior {
			if up := p.Nodes[n].prior[i].node; up >= 0 {
				return up, pos
			}
		}
	}
	return -1, 0
}

// DefaultName is the first part of a backfill's default name, for the nodes that
// it has; the number of that day is appended in the log (RULES R11).
func (p *Plan) DefaultName() string {
	base := p.Request.Root
	switch p.Request.Mode {
	case wire.Request_CHAIN:
		base += ".." + p.Request.End
	case wire.Request_ADVANCED:
		first, chosen := "", 0
		for i := range p.Nodes {
			if n := &p.Nodes[i]; n.DryRun == wire.DryRun_DRY_RUN_NONE || n.DryRun == wire.DryRun_REQUESTED {
				if chosen++; first == "" || n.Spec.Id < first {
					first = n.Spec.Id
				}
			}
		}
		base = first
		if chosen > 1 {
			base += fmt.Sprintf("+%d", chosen-1)
		}
	}
	return base + "_" + p.Generated.Compact() + "_"
}
