package plan_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the tests do not depend on the host's zone files

	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/node"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

type nodeOption func(*wire.Node)

func daily(id string, options ...nodeOption) *wire.Node {
	return spec(id, &wire.Schedule{Kind: wire.Schedule_DAILY}, options)
}

// hourly is `[from, to] every h hours`.
func hourly(id, from, to string, h int32, options ...nodeOption) *wire.Node {
	return spec(id, &wire.Schedule{Kind: wire.Schedule_HOURLY, From: clock(from), To: clock(to), Every: h * 60}, options)
}

func minutely(id, from, to string, minutes int32, options ...nodeOption) *wire.Node {
	return spec(id, &wire.Schedule{Kind: wire.Schedule_MINUTELY, From: clock(from), To: clock(to), Every: minutes}, options)
}

func spec(id string, s *wire.Schedule, options []nodeOption) *wire.Node {
	n := &wire.Node{Id: id, Code: "true", Schedule: s}
	for _, o := range options {
		o(n)
	}
	return n
}

func at(t string) nodeOption       { return func(n *wire.Node) { n.Schedule.At = clock(t) } }
func in(zone string) nodeOption    { return func(n *wire.Node) { n.Schedule.Zone = zone } }
func self(n *wire.Node)            { n.DependsOnSelf = true }
func priority(p int32) nodeOption  { return func(n *wire.Node) { n.Baseline, n.Priority = "b", p } }
func group(name string) nodeOption { return func(n *wire.Node) { n.ResourceGroup = name } }
func param(name, v string) nodeOption {
	return func(n *wire.Node) { n.Params = append(n.Params, assign(name, v)) }
}

func up(ids ...string) nodeOption {
	return func(n *wire.Node) {
		for _, id := range ids {
			n.Upstreams = append(n.Upstreams, &wire.Upstream{Node: id})
		}
	}
}

func window(id string, from, to int32) nodeOption {
	return func(n *wire.Node) {
		n.Upstreams = append(n.Upstreams, &wire.Upstream{Node: id, Window: true, From: from, To: to})
	}
}

func previous(id string) nodeOption {
	return func(n *wire.Node) {
		n.Upstreams = append(n.Upstreams, &wire.Upstream{Node: id, Previous: true})
	}
}

func children(n *wire.Node) { n.DependsOnChildren = true }
func on(n *wire.Node)       { n.Auto = true }

func sinceMonthStart(id string) nodeOption {
	return func(n *wire.Node) {
		n.Upstreams = append(n.Upstreams, &wire.Upstream{Node: id, Window: true, FromMonthStart: true})
	}
}

func assign(name, value string) *wire.Assignment { return &wire.Assignment{Name: name, Value: value} }

func graphOf(t testing.TB, specs ...*wire.Node) *node.Graph {
	t.Helper()
	nodes := make([]*node.Node, len(specs))
	for i, s := range specs {
		n, _, err := node.Compile(s)
		if err != nil {
			t.Fatal(err)
		}
		nodes[i] = n
	}
	g, err := node.BuildGraph(nodes)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

type requestOption func(*wire.Request)

// backfill asks for a root and all its descendants on dates such as
// "2021-01-11..2021-01-13 2021-02-01".
func backfill(root, dates string, options ...requestOption) *wire.Request {
	r := &wire.Request{Mode: wire.Request_DESCENDANTS, Root: root}
	for word := range strings.FieldsSeq(dates) {
		from, to, isRange := strings.Cut(word, "..")
		if !isRange {
			to = from
		}
		r.Dates = append(r.Dates, &wire.DateRange{From: int32(date(from)), To: int32(date(to))})
	}
	for _, o := range options {
		o(r)
	}
	return r
}

func groups(n int32) requestOption     { return func(r *wire.Request) { r.Groups = n } }
func descending(r *wire.Request)       { r.Order = wire.Request_DESCENDING }
func gateNode(r *wire.Request)         { r.Gate = wire.Request_NODE }
func gateNone(r *wire.Request)         { r.Gate = wire.Request_NONE }
func early(r *wire.Request)            { r.RunFutureEarly = true }
func only(ids ...string) requestOption { return func(r *wire.Request) { r.Nodes = ids } }

func timeOfDay(from, to string) requestOption {
	return func(r *wire.Request) { r.TimeOfDay = &wire.TimeRange{From: clock(from), To: clock(to)} }
}

func override(id, name, value string) requestOption {
	return func(r *wire.Request) {
		r.Params = append(r.Params, &wire.Override{Node: id, Param: assign(name, value)})
	}
}

// accepted is when the tests' backfills are accepted, unless they say.
const accepted = "2021-08-24 12:00:00"

// buildAt expands a request that is accepted at a moment of UTC, the cluster's
// zone, as the leader does.
func buildAt(g *node.Graph, now string, r *wire.Request) (*plan.Plan, error) {
	w, err := calendar.ParseWall(now)
	if err != nil {
		panic(err)
	}
	zones, err := plan.Zones(r, g, "UTC", w.Date, time.LoadLocation)
	if err != nil {
		return nil, err
	}
	return plan.Build(plan.Input{
		ID: 12, Name: "test", Actor: "ann", NowMs: calendar.UTC().Instant(w) * 1000, Today: w.Date,
		ClusterZone: "UTC", Zones: zones, Request: r, Graph: g, MaxGroups: 10,
		Version: func(id string) uint64 { return uint64(len(id)) },
	})
}

func build(t testing.TB, g *node.Graph, r *wire.Request) *plan.Plan {
	t.Helper()
	p, err := buildAt(g, accepted, r)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// refused expects a request to be refused with a field and words.
func refused(t *testing.T, g *node.Graph, r *wire.Request, field string, words ...string) {
	t.Helper()
	_, err := buildAt(g, accepted, r)
	var e *fault.Error
	if !errors.As(err, &e) {
		t.Fatalf("%v: got %v, want a refusal", r, err)
	}
	if e.Field != field || (e.Code != fault.Invalid && e.Code != fault.TooLarge) {
		t.Errorf("refused with %s on field %q, want field %q: %v", e.Code, e.Field, field, err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q says nothing of %q", err, w)
		}
	}
}

// label names an instance: "a 01-11" or, of a sub-daily node, "a 01-11 03:00"
// with the time of T.
func label(p *plan.Plan, instance uint64) string {
	l, ok := p.Locate(instance)
	if !ok {
		return fmt.Sprintf("no instance %d", instance)
	}
	n := &p.Nodes[l.Node]
	s := n.Spec.Id + " " + p.Dates[l.Pos].String()[5:]
	if n.Schedule.SubDaily() {
		s += " " + p.Cycle(l).Wall.Clock.String()
	}
	return s
}

// find is the place that a label names.
func find(t testing.TB, p *plan.Plan, l string) plan.Place {
	t.Helper()
	for i := range p.Size() {
		if label(p, i) == l {
			place, _ := p.Locate(i)
			return place
		}
	}
	t.Fatalf("no instance %q", l)
	return plan.Place{}
}

func labels(p *plan.Plan, from, to uint64) []string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, label(p, i))
	}
	return out
}

// waits is what an instance waits for through its upstreams, as one string.
func waits(t testing.TB, p *plan.Plan, l string) string {
	t.Helper()
	var out []string
	p.Upstreams(find(t, p, l), func(_ int, from, to uint64) bool {
		if from >= to {
			t.Errorf("%s: an empty range %d to %d", l, from, to)
		}
		out = append(out, labels(p, from, to)...)
		return true
	})
	return strings.Join(out, ", ")
}

func clock(s string) int32 {
	c, err := calendar.ParseClock(s)
	if err != nil {
		panic(err)
	}
	return int32(c)
}

func date(s string) calendar.Date {
	d, err := calendar.ParseDate(s)
	if err != nil {
		panic(err)
	}
	return d
}

// utc reads unix milliseconds as UTC.
func utc(ms int64) string { return calendar.UTC().WallAt(ms / 1000).String() }
