package plan_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"backfleet/pkg/node"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// fataler is what a test and a drawn one have in common.
type fataler interface{ Fatal(args ...any) }

// values are the parameters of an instance as "a=1 b=2".
func values(t fataler, p *plan.Plan, place plan.Place) string {
	all, err := p.Values(place)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, a := range all {
		out = append(out, a.Name+"="+a.Value)
	}
	return strings.Join(out, " ")
}

func TestR1_6_ValuesAreTheSameOnEachCall(t *testing.T) {
	g := graphOf(t, hourly("a", "00:00", "23:00", 1,
		param("bizdate", "${yyyymmdd}"), param("hour", "$[yyyymmddhh24]"), param("before", "${yyyymmdd-1}")))
	p := build(t, g, backfill("a", "2021-01-11..2021-01-12"))
	place := find(t, p, "a 01-11 05:00")
	const want = "bizdate=20210111 hour=2021011205 before=20210110"
	for range 3 {
		if got := values(t, p, place); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	c := p.Context(place)
	if c.PlanID != "b12" || c.NodeID != "a" || c.InstanceID != "b12.5" || c.Generated != date("2021-08-24") {
		t.Errorf("context %+v", c)
	}
}

func TestR2_8_OverridesStandWhereTheParameterStood(t *testing.T) {
	g := graphOf(t, daily("a", param("x", "1"), param("day", "${yyyymmdd}")), daily("b", up("a"), param("x", "1")))
	p := build(t, g, backfill("a", "2021-01-11", override("a", "x", "$[yyyy]"), override("a", "more", "new")))
	for on, want := range map[string]string{"a 01-11": "x=2021 day=20210111 more=new", "b 01-11": "x=1"} {
		if got := values(t, p, find(t, p, on)); got != want {
			t.Errorf("%s: got %s, want %s", on, got, want)
		}
	}
}

func TestR2_8_OverridesAreChecked(t *testing.T) {
	g := graphOf(t, daily("a", param("x", "1")), daily("b", up("a")), daily("elsewhere"))
	refused(t, g, backfill("a", "2021-01-11", override("a", "x", "2"), override("elsewhere", "x", "1")), "params[1]", `"elsewhere" is not in the backfill`)
	refused(t, g, backfill("a", "2021-01-11", override("a", "x", "${yyyymmdd")), "params", "x", "column")
	refused(t, g, backfill("a", "2021-01-11", override("a", "x", "1"), override("a", "x", "2")), "params", "x", "twice")
	refused(t, g, backfill("a", "2021-01-11", override("a", "", "1")), "params", "not a parameter name")
	refused(t, g, backfill("a", "0001-01-01", override("a", "x", "${yyyymmdd-400}")), "params[0]", "parameter x")
	nameless := backfill("a", "2021-01-11")
	nameless.Params = []*wire.Override{{Node: "b"}} // a client that leaves the parameter out
	refused(t, g, nameless, "params", "not a parameter name")
}

// sample is a plan with something of everything.
func sample(t testing.TB) (*node.Graph, *wire.Request) {
	g := graphOf(t,
		daily("root", priority(5), in("Asia/Shanghai")),
		hourly("h", "00:00", "23:00", 1, up("root"), in(newYork), self),
		minutely("m", "04:00", "08:00", 20, up("h"), priority(8)),
		daily("n", window("h", -6, 0), sinceMonthStart("m"), self, param("day", "${yyyymmdd}")),
		daily("last", up("n"), at("02:30"), in(newYork)),
	)
	r := backfill("root", "2021-03-01..2021-03-20 2021-08-20..2021-08-26 2021-11-01..2021-11-10",
		groups(3), timeOfDay("01:00", "06:00"), only("h", "m", "last"), override("n", "day", "$[yyyymmdd]"))
	return g, r
}

func TestR13_7_SameInputSamePlan(t *testing.T) {
	g, r := sample(t)
	first, again := build(t, g, r), build(t, g, proto.CloneOf(r))
	if !proto.Equal(first.Record(), again.Record()) {
		t.Fatal("the same input gave two records")
	}
	if a, b := describe(t, first), describe(t, again); a != b {
		t.Errorf("the same input gave two plans: %s", difference(a, b))
	}
}

func TestR13_7_ARecordExpandsToTheSamePlan(t *testing.T) {
	g, r := sample(t)
	p := build(t, g, r)
	stored, err := proto.Marshal(p.Record())
	if err != nil {
		t.Fatal(err)
	}
	var read wire.PlanRecord
	if err := proto.Unmarshal(stored, &read); err != nil {
		t.Fatal(err)
	}
	again, err := plan.Expand(&read, func(i int) (*node.Node, error) {
		n, _, err := node.Compile(read.Nodes[i].Spec)
		return n, err
	})
	if err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(p.Record(), again.Record()) {
		t.Error("the record of the plan made of a record differs")
	}
	if a, b := describe(t, p), describe(t, again); a != b {
		t.Errorf("the plan made of a record differs: %s", difference(a, b))
	}
}

// describe writes down all that a plan says, a line for each instance.
func describe(t fataler, p *plan.Plan) string {
	var b strings.Builder
	fmt.Fprintln(&b, p.ID, p.Name, p.Actor, p.AcceptedMs, p.Generated, p.Dates, p.Groups, p.Size(), plan.Texts(p.Warnings()))
	for i := range p.Nodes {
		n := &p.Nodes[i]
		fmt.Fprintln(&b, n.Spec.Id, n.Version, n.DryRun, n.Level, n.Zone, n.Cycles, p.NodeSize(i), p.ResourceGroup(i))
	}
	for i := range p.Size() {
		place, _ := p.Locate(i)
		fmt.Fprint(&b, label(p, i), " ", place, p.Cycle(place), p.DueMs(place), p.Priority(place), p.Predecessor(place))
		from, to, before := p.Gate(place)
		fmt.Fprint(&b, " ", from, to, before)
		p.Upstreams(place, func(_ int, from, to uint64) bool { fmt.Fprint(&b, " ", from, "-", to); return true })
		p.Abroad(place, func(n plan.Need) bool { fmt.Fprint(&b, " ", n); return true })
		fmt.Fprint(&b, " ", p.Dry(place))
		fmt.Fprintln(&b, " ", values(t, p, place))
	}
	return b.String()
}

// difference is the first line in which two texts differ.
func difference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return fmt.Sprintf("%q and %q", x[i], y[i])
		}
	}
	return "one is longer"
}

func TestR11_IDsReadWhatTheyWrite(t *testing.T) {
	for _, n := range []uint64{0, 1, 12, 1<<64 - 1} {
		if got, err := plan.ParseID(plan.FormatID(n)); err != nil || got != n {
			t.Errorf("%s read as %d, %v", plan.FormatID(n), got, err)
		}
		p, i, err := plan.ParseInstance(plan.FormatInstance(n, n/2))
		if err != nil || p != n || i != n/2 {
			t.Errorf("%s read as %d and %d, %v", plan.FormatInstance(n, n/2), p, i, err)
		}
	}
	for _, wrong := range []string{"", "b", "12", "B12", "b012", "b+1", "b-1", " b1", "b1 ", "b18446744073709551616", "b1.2"} {
		if got, err := plan.ParseID(wrong); err == nil {
			t.Errorf("%q read as %d", wrong, got)
		}
	}
	for _, wrong := range []string{"", "b1", "b1.", ".1", "b1.01", "1.1", "b1.1.1", "b1.-1"} {
		if p, i, err := plan.ParseInstance(wrong); err == nil {
			t.Errorf("%q read as %d and %d", wrong, p, i)
		}
	}
}

func TestWarningsOfWhatIsNoError(t *testing.T) {
	g := graphOf(t, daily("a", self), daily("n", window("a", -6, 0)))
	for _, c := range []struct {
		name    string
		dates   string
		options []requestOption
		want    string
	}{
		{"R5.5 descending", "2021-01-01..2021-01-03", []requestOption{descending, gateNode}, "node a depends on itself: in descending order"},
		{"R3.3 future", "2021-08-22..2021-08-25", nil, "2 of 4 dates lie in the future"},
		{"R4.2 fewer dates than groups", "2021-01-01..2021-01-03", []requestOption{groups(4), gateNode}, "4 groups for 3 dates"},
		{"R5.3 windows over groups", "2021-01-01..2021-01-30", []requestOption{groups(3)}, "node n on 2021-01-11 waits for a on 2021-01-05"},
	} {
		p := build(t, g, backfill("a", c.dates, c.options...))
		if w := p.Warnings(); len(w) != 1 || !strings.HasPrefix(w[0].Text, c.want) {
			t.Errorf("%s: got %q, want one that begins %q", c.name, w, c.want)
		}
	}
	for name, o := range map[string][]requestOption{
		"nothing": nil, "one group": {groups(1)}, "gate node": {groups(3), gateNode},
	} {
		if w := build(t, g, backfill("a", "2021-01-01..2021-01-30", o...)).Warnings(); len(w) != 0 {
			t.Errorf("%s: needless warnings %q", name, w)
		}
	}
	keep := func(r *wire.Request) { r.PausedNodes = wire.Request_KEEP }
	for want, p := range map[string]*plan.Plan{
		"node n needs the previous cycle of another node: in descending order": build(t, graphOf(t, daily("u"), daily("n", previous("u"))),
			func() *wire.Request { r := both("2021-01-01", "u", "n"); r.Order = wire.Request_DESCENDING; return r }()),
		"node n on 2021-01-02 waits for u on 2021-01-01, in the group before": build(t, graphOf(t, daily("u"), daily("n", previous("u"))),
			func() *wire.Request { r := both("2021-01-01..2021-01-02", "u", "n"); r.Groups = 2; return r }()),
		"node m is not scheduled on any of the dates": build(t,
			graphOf(t, scheduled("m", &wire.Schedule{Kind: wire.Schedule_MONTHLY, Days: 1 << 1})), backfill("m", "2021-01-01..2021-01-30")),
		"node p (and 1 more) is paused and stays so": build(t,
			graphOf(t, daily("p", mode(wire.Node_PAUSED)), daily("q", up("p"), mode(wire.Node_PAUSED))), backfill("p", "2021-01-01", keep)),
	} {
		if w := p.Warnings(); len(w) != 1 || !strings.HasPrefix(w[0].Text, want) {
			t.Errorf("got %q, want one that begins %q", w, want)
		}
	}
	if w := build(t, g, backfill("a", "2021-08-22..2021-08-25", early)).Warnings(); len(w) != 0 {
		t.Errorf("run early: needless warnings %q", w)
	}
}
