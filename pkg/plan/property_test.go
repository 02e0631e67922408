package plan_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/node"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// drawnZones have gaps and doubled hours in March, April, October and November
// 2021, one of them of half an hour.
var drawnZones = []string{"", "UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Shanghai"}

// around are dates near those changes, and one at the end of a month.
var around = []string{"2021-03-12", "2021-03-26", "2021-04-01", "2021-10-01", "2021-10-28", "2021-11-04", "2021-08-27"}

func drawNode(t *rapid.T, i int) *wire.Node {
	id := string(rune('a' + i))
	s := &wire.Schedule{Kind: rapid.SampledFrom([]wire.Schedule_Kind{wire.Schedule_DAILY, wire.Schedule_HOURLY, wire.Schedule_MINUTELY}).Draw(t, id)}
	s.Zone = rapid.SampledFrom(drawnZones).Draw(t, id+" zone")
	clock := rapid.Custom(func(t *rapid.T) int32 {
		return 900 * rapid.SampledFrom([]int32{0, 4, 7, 8, 9, 10, 12, 15, 95}).Draw(t, "quarter")
	})
	if s.Kind == wire.Schedule_DAILY {
		s.At = clock.Draw(t, id+" at")
	} else {
		a, b := clock.Draw(t, id+" from"), clock.Draw(t, id+" to")
		s.From, s.To = min(a, b), max(a, b)
		s.Every = rapid.SampledFrom([]int32{60, 120, 300}).Draw(t, id+" every")
		if s.Kind == wire.Schedule_MINUTELY {
			s.To = min(s.To, s.From+2*3600)
			s.Every = rapid.SampledFrom([]int32{15, 30, 45, 60}).Draw(t, id+" every")
		}
	}
	n := spec(id, s, []nodeOption{priority(rapid.SampledFrom([]int32{1, 3, 5, 7, 8}).Draw(t, id+" priority"))})
	n.DependsOnSelf = rapid.Bool().Draw(t, id+" self")
	for j := range i {
		u := string(rune('a' + j))
		kind := rapid.IntRange(0, 5).Draw(t, id+" on "+u)
		if j == i-1 && len(n.Upstreams) == 0 {
			kind = max(kind, 2) // every node comes after the root
		}
		switch kind {
		case 0, 1:
		case 2, 3:
			up(u)(n)
		case 4:
			to := rapid.Int32Range(-2, 0).Draw(t, "to")
			window(u, to-rapid.Int32Range(0, 3).Draw(t, "days"), to)(n)
		case 5:
			sinceMonthStart(u)(n)
		}
	}
	return n
}

func drawRequest(t *rapid.T, nodes int) *wire.Request {
	r := backfill("a", "")
	for range rapid.IntRange(1, 3).Draw(t, "ranges") {
		from := date(rapid.SampledFrom(around).Draw(t, "around")) + calendar.Date(rapid.IntRange(0, 4).Draw(t, "day"))
		r.Dates = append(r.Dates, &wire.DateRange{From: int32(from), To: int32(from) + rapid.Int32Range(0, 4).Draw(t, "more")})
	}
	r.Groups = rapid.Int32Range(0, 5).Draw(t, "groups")
	r.Order = wire.Request_Order(rapid.IntRange(0, 1).Draw(t, "order"))
	r.Gate = wire.Request_Gate(rapid.IntRange(0, 2).Draw(t, "gate"))
	r.DryRun = rapid.IntRange(0, 4).Draw(t, "dry run") == 0
	r.RunFutureEarly = rapid.Bool().Draw(t, "early")
	for i := 1; i < nodes; i++ {
		if rapid.Bool().Draw(t, "choose") {
			r.Nodes = append(r.Nodes, string(rune('a'+i)))
		}
	}
	if rapid.IntRange(0, 2).Draw(t, "time of day") == 0 {
		from := rapid.Int32Range(0, 20).Draw(t, "from") * 900
		r.TimeOfDay = &wire.TimeRange{From: from, To: from + rapid.Int32Range(0, 30).Draw(t, "for")*900}
	}
	return r
}

func TestPlanAgreesWithTheNaiveModel(t *testing.T) {
	built, _ := checkAgainstModel(t, func(*wire.Request) {})
	if built == 0 {
		t.Error("no plan was built: the draw tests nothing")
	}
}

func TestR5_7_RefusedPlansHaveACircleAndAcceptedOnesNone(t *testing.T) {
	built, circles := checkAgainstModel(t, func(r *wire.Request) { r.Order, r.Gate = wire.Request_DESCENDING, wire.Request_DAY })
	if built == 0 || circles == 0 {
		t.Errorf("%d plans were built and %d had a circle: the draw tests nothing", built, circles)
	}
}

// checkAgainstModel compares drawn plans, changed by force, with the model. It
// counts those that were accepted and those refused for a circle.
func checkAgainstModel(t *testing.T, force func(*wire.Request)) (built, circles int) {
	rapid.Check(t, func(t *rapid.T) {
		var compiled []*node.Node
		count := rapid.IntRange(1, 4).Draw(t, "nodes")
		for i := range count {
			n, _, err := node.Compile(drawNode(t, i))
			if err != nil {
				t.Fatal(err)
			}
			compiled = append(compiled, n)
		}
		g, err := node.BuildGraph(compiled)
		if err != nil {
			t.Fatal(err)
		}
		req := drawRequest(t, count)
		force(req)
		now := rapid.SampledFrom(around).Draw(t, "now") + rapid.SampledFrom([]string{" 00:00:00", " 03:30:00", " 17:00:00"}).Draw(t, "clock")
		p, err := buildAt(g, now, req)
		var e *fault.Error
		switch {
		case err == nil:
			built++
			agree(t, p, newModel(req, p.Nodes))
		case errors.As(err, &e) && e.Field == "order":
			circles++
			open := proto.CloneOf(req)
			open.Gate = wire.Request_NODE
			if p, err = buildAt(g, now, open); err != nil {
				t.Fatalf("gate node is refused: %v", err)
			}
			if newModel(req, p.Nodes).finishes() {
				t.Fatalf("refused although it can finish: %v", e)
			}
		case errors.As(err, &e) && (e.Field == "timeOfDay" || e.Field == "dates"):
			if !nothingLeft(g, req) {
				t.Fatalf("refused although every node has a cycle: %v", err)
			}
		default:
			t.Fatal(err)
		}
	})
	return built, circles
}

// nothingLeft says that some node has no cycle in the time of day, or that the
// clocks skip every one.
func nothingLeft(g *node.Graph, req *wire.Request) bool {
	plain := &model{req: req}
	lost, some := false, false
	for i := range g.Len() {
		s := g.Node(i).Spec
		utc := proto.CloneOf(s)
		utc.Schedule.Zone = "UTC"
		lost = lost || len(plain.cycles(utc, 0, true)) == 0
		for _, r := range req.Dates {
			for d := r.From; d <= r.To; d++ {
				some = some || len(plain.cycles(s, calendar.Date(d), true)) > 0
			}
		}
	}
	return lost || !some
}

// agree compares all that a plan says with the model's rows and edges.
func agree(t *rapid.T, p *plan.Plan, m *model) {
	if !m.finishes() {
		t.Fatal("an accepted plan has a circle")
	}
	agreeOnDates(t, p, m)
	if p.Size() != uint64(len(m.rows)) {
		t.Fatalf("%d instances, want %d", p.Size(), len(m.rows))
	}
	perNode := make([]uint64, len(p.Nodes))
	for i, r := range m.rows {
		perNode[r.node]++
		agreeOnRow(t, p, m, i, r)
	}
	agreeOnTotals(t, p, m)
	for n, want := range perNode {
		if got := p.NodeSize(n); got != want {
			t.Fatalf("node %d has %d instances, want %d", n, got, want)
		}
	}
	for _, beyond := range []uint64{p.Size(), p.Size() + 1, 1 << 63, 1<<64 - 1} {
		if _, ok := p.Locate(beyond); ok {
			t.Fatalf("there is an instance %d of %d", beyond, p.Size())
		}
	}
	for i := range p.Nodes {
		for _, e := range p.Nodes[i].Up {
			if e.Node >= i {
				t.Fatalf("node %d comes before its upstream %d", i, e.Node)
			}
		}
	}
}

func agreeOnDates(t *rapid.T, p *plan.Plan, m *model) {
	if !slices.Equal(p.Dates, m.dates) {
		t.Fatalf("dates %v, want %v", p.Dates, m.dates)
	}
	next := 0
	for g, s := range p.Groups {
		size := s.To - s.From
		if s.From != next || size < 1 || (g > 0 && size > p.Groups[g-1].To-p.Groups[g-1].From) || p.Groups[0].To-size > 1 {
			t.Fatalf("%d dates in groups %v", len(p.Dates), p.Groups)
		}
		next = s.To
	}
	if next != len(p.Dates) || len(p.Groups) != min(len(p.Dates), int(max(1, p.Request.Groups))) {
		t.Fatalf("%d dates in groups %v", len(p.Dates), p.Groups)
	}
	for d := slices.Min(p.Dates) - 3; d <= slices.Max(p.Dates)+3; d++ {
		want := slices.Index(p.Dates, d)
		if pos, ok := p.Position(d); ok != (want >= 0) || (ok && pos != want) {
			t.Fatalf("position of %s is %d, %v; want %d", d, pos, ok, want)
		}
	}
	for pos := range p.Dates {
		from, to := p.Range(pos)
		for n := range p.Nodes {
			first, end := p.NodeRange(pos, n)
			if first != from || end < first {
				t.Fatalf("node %d on position %d has %d to %d, want from %d", n, pos, first, end, from)
			}
			from = end
		}
		if from != to {
			t.Fatalf("position %d ends at %d, its nodes at %d", pos, to, from)
		}
	}
}

// agreeOnTotals counts one by one what the plan counts by arithmetic.
func agreeOnTotals(t *rapid.T, p *plan.Plan, m *model) {
	want := plan.Totals{Priority: map[int32]uint64{}}
	for i := range m.rows {
		at, _ := p.Locate(uint64(i))
		want.Instances++
		want.Priority[p.Priority(at)]++
		switch p.Nodes[at.Node].DryRun {
		case wire.DryRun_NOT_CHOSEN:
			want.Bridges++
			want.DryRun++
		case wire.DryRun_REQUESTED:
			want.DryRun++
		}
		if p.DueMs(at) > p.AcceptedMs {
			want.DueLater++
		}
	}
	if got := p.Totals(); !reflect.DeepEqual(got, want) {
		t.Fatalf("totals %+v, want %+v", got, want)
	}
}

func agreeOnRow(t *rapid.T, p *plan.Plan, m *model, i int, r row) {
	want := plan.Place{Pos: r.pos, Node: r.node, Cycle: r.cycle}
	at, ok := p.Locate(uint64(i))
	if !ok || at != want || p.Instance(at) != uint64(i) {
		t.Fatalf("instance %d is at %v, %v, which is %d; want %v", i, at, ok, p.Instance(at), want)
	}
	s := m.specs[r.node]
	if found, ok := p.Find(s.Id, r.date, r.unix); !ok || found != uint64(i) {
		t.Fatalf("%s is found as %d, %v; want %d", label(p, uint64(i)), found, ok, i)
	}
	c := p.Cycle(at)
	wall := time.Unix(r.unix, 0).In(location(s))
	if c.Unix != r.unix || c.Wall.String() != wall.Format(time.DateTime) || p.Group(at.Pos) != m.group[r.date] {
		t.Fatalf("instance %d has T %v in group %d; want %v in %d", i, c, p.Group(at.Pos), wall, m.group[r.date])
	}

	var ups []int
	p.Upstreams(at, func(_ int, from, to uint64) bool {
		for u := from; u < to; u++ {
			ups = append(ups, int(u))
		}
		return true
	})
	slices.Sort(ups)
	if !slices.Equal(ups, m.upstreams(i)) {
		t.Fatalf("%s waits for %v, want %v", label(p, uint64(i)), ups, m.upstreams(i))
	}
	if pre, _ := m.predecessor(i); p.Predecessor(at) != pre {
		t.Fatalf("%s comes after %+v, want %+v", label(p, uint64(i)), p.Predecessor(at), pre)
	}
	from, to, before := p.Gate(at)
	var gate []int
	for j := from; j < to; j++ {
		gate = append(gate, int(j))
		if l, _ := p.Locate(j); l.Pos != before {
			t.Fatalf("%s: its gate is at position %d, and said to be at %d", label(p, uint64(i)), l.Pos, before)
		}
	}
	if !slices.Equal(gate, m.gate(i)) {
		t.Fatalf("%s waits behind its gate for %v, want %v", label(p, uint64(i)), gate, m.gate(i))
	}

	now := time.UnixMilli(p.AcceptedMs)
	due := r.unix * 1000
	if due > p.AcceptedMs && p.Request.RunFutureEarly {
		midnight, _ := instant(s, r.date, 0)
		due = midnight * 1000
	}
	if got := p.DueMs(at); got != due {
		t.Fatalf("%s is due at %s, want %s", label(p, uint64(i)), utc(got), utc(due))
	}
	y, mon, day := now.In(location(s)).Date()
	priority := s.Priority
	if r.date < calendar.DateOf(y, mon, day-1) {
		priority = map[int32]int32{8: 3, 7: 3, 5: 2, 3: 2, 1: 1}[priority]
	}
	if got := p.Priority(at); got != priority {
		t.Fatalf("%s has priority %d, want %d", label(p, uint64(i)), got, priority)
	}
}

func TestR4_2_SplitsOfManyDates(t *testing.T) {
	g := graphOf(t, daily("a"))
	for dates := 1; dates <= 40; dates++ {
		for k := int32(1); k <= 10; k++ {
			from := date("2021-01-01")
			p := build(t, g, backfill("a", fmt.Sprintf("%s..%s", from, from+calendar.Date(dates-1)), groups(k)))
			smallest, largest, next := dates, 0, 0
			for _, s := range p.Groups {
				if s.From != next {
					t.Fatalf("%d dates, %d groups: %v", dates, k, p.Groups)
				}
				size := s.To - s.From
				if size > smallest {
					t.Fatalf("%d dates, %d groups: a larger group after a smaller one: %v", dates, k, p.Groups)
				}
				smallest, largest, next = min(smallest, size), max(largest, size), s.To
			}
			if next != dates || largest-smallest > 1 || len(p.Groups) != min(dates, int(k)) {
				t.Fatalf("%d dates, %d groups: %v", dates, k, p.Groups)
			}
		}
	}
}
