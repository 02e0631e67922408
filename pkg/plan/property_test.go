package plan_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
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

// allKinds are the kinds of schedules; half of what is drawn is sub-daily.
var allKinds = []wire.Schedule_Kind{
	wire.Schedule_DAILY, wire.Schedule_DAILY, wire.Schedule_WEEKLY, wire.Schedule_MONTHLY, wire.Schedule_YEARLY,
	wire.Schedule_HOURLY, wire.Schedule_HOURLY, wire.Schedule_HOURLY, wire.Schedule_MINUTELY, wire.Schedule_MINUTELY,
}

func drawSchedule(t *rapid.T, id string, kinds []wire.Schedule_Kind) *wire.Schedule {
	s := &wire.Schedule{Kind: rapid.SampledFrom(kinds).Draw(t, id)}
	s.Zone = rapid.SampledFrom(drawnZones).Draw(t, id+" zone")
	clock := rapid.Custom(func(t *rapid.T) int32 {
		return 900 * rapid.SampledFrom([]int32{0, 4, 7, 8, 9, 10, 12, 15, 95}).Draw(t, "quarter")
	})
	if s.Kind != wire.Schedule_HOURLY && s.Kind != wire.Schedule_MINUTELY {
		s.At = clock.Draw(t, id+" at")
		bits := func(lo, hi int) (out uint32) {
			for range 2 {
				out |= 1 << rapid.IntRange(lo, hi).Draw(t, id+" bit")
			}
			return out
		}
		switch s.Kind {
		case wire.Schedule_WEEKLY:
			s.Weekdays = bits(0, 6)
		case wire.Schedule_MONTHLY:
			s.Days = bits(0, 31)
		case wire.Schedule_YEARLY:
			s.Days, s.Months = bits(0, 5), bits(3, 4)
		}
		return s
	}
	a, b := clock.Draw(t, id+" from"), clock.Draw(t, id+" to")
	s.From, s.To = min(a, b), max(a, b)
	s.Every = rapid.SampledFrom([]int32{60, 120, 300}).Draw(t, id+" every")
	if s.Kind == wire.Schedule_MINUTELY {
		s.To = min(s.To, s.From+2*3600)
		s.Every = rapid.SampledFrom([]int32{15, 30, 45, 60}).Draw(t, id+" every")
	}
	return s
}

func drawNode(t *rapid.T, i int, kinds []wire.Schedule_Kind) *wire.Node {
	id := string(rune('a' + i))
	n := spec(id, drawSchedule(t, id, kinds), []nodeOption{priority(rapid.SampledFrom([]int32{1, 3, 5, 7, 8}).Draw(t, id+" priority"))})
	n.DependsOnSelf = rapid.Bool().Draw(t, id+" self")
	n.DependsOnChildren = rapid.IntRange(0, 3).Draw(t, id+" children") == 0
	n.Mode = wire.Node_Mode(max(0, rapid.IntRange(-3, 2).Draw(t, id+" mode")))
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

// drawGraph has previous-cycle dependencies in every direction.
func drawGraph(t *rapid.T, count int, kinds []wire.Schedule_Kind) (*node.Graph, []*wire.Node) {
	var specs []*wire.Node
	for i := range count {
		specs = append(specs, drawNode(t, i, kinds))
	}
	for i := range count * count {
		n, u := specs[i/count], specs[i%count].Id
		listed := slices.ContainsFunc(n.Upstreams, func(w *wire.Upstream) bool { return w.Node == u })
		if n.Id != u && !listed && rapid.IntRange(0, 4).Draw(t, n.Id+" previous "+u) == 0 {
			previous(u)(n)
		}
	}
	var compiled []*node.Node
	for _, s := range specs {
		n, _, err := node.Compile(s)
		if err != nil {
			t.Fatal(err)
		}
		compiled = append(compiled, n)
	}
	g, err := node.BuildGraph(compiled)
	if err != nil {
		t.Fatal(err)
	}
	specs = nil
	for i := range g.Len() {
		specs = append(specs, g.Node(i).Spec)
	}
	return g, specs
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
	r.DryRunNodes = wire.Request_Switch(rapid.IntRange(0, 1).Draw(t, "dry run nodes"))
	r.PausedNodes = wire.Request_Switch(rapid.IntRange(0, 1).Draw(t, "paused nodes"))
	if rapid.IntRange(0, 5).Draw(t, "with a priority") == 0 {
		r.Priority = 2
	}
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
	built, _ := checkAgainstModel(t, 4, allKinds, func(*wire.Request) {})
	if built == 0 {
		t.Error("no plan was built: the draw tests nothing")
	}
}

func TestR5_7_RefusedPlansHaveACircleAndAcceptedOnesNone(t *testing.T) {
	for name, gate := range map[string]wire.Request_Gate{"gate day": wire.Request_DAY, "gate node": wire.Request_NODE} {
		t.Run(name, func(t *testing.T) {
			built, circles := checkAgainstModel(t, 4, allKinds, func(r *wire.Request) { r.Order, r.Gate = wire.Request_DESCENDING, gate })
			if built == 0 || circles == 0 {
				t.Errorf("%d plans were built and %d had a circle: the draw tests nothing", built, circles)
			}
		})
	}
}

// TestR5_7_CirclesWithinADate: only previous cycles of sub-daily nodes by way of
// others close one.
func TestR5_7_CirclesWithinADate(t *testing.T) {
	kinds := []wire.Schedule_Kind{wire.Schedule_HOURLY, wire.Schedule_HOURLY, wire.Schedule_DAILY}
	built, circles := checkAgainstModel(t, 6, kinds, func(r *wire.Request) {
		r.Order, r.Gate, r.TimeOfDay = wire.Request_ASCENDING, wire.Request_NONE, nil
		r.Dates = r.Dates[:1]
		r.Dates[0].To = r.Dates[0].From + 1
		r.Nodes = nil
	})
	if built == 0 || circles == 0 {
		t.Errorf("%d plans were built and %d had a circle: the draw tests nothing", built, circles)
	}
}

// checkAgainstModel compares drawn plans, changed by force, with the model, and
// edits them. It counts those that were accepted and those refused for a circle.
func checkAgainstModel(t *testing.T, nodes int, kinds []wire.Schedule_Kind, force func(*wire.Request)) (built, circles int) {
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.IntRange(1, nodes).Draw(t, "nodes")
		g, specs := drawGraph(t, count, kinds)
		req := drawRequest(t, count)
		force(req)
		now := rapid.SampledFrom(around).Draw(t, "now") + rapid.SampledFrom([]string{" 00:00:00", " 03:30:00", " 17:00:00"}).Draw(t, "clock")
		p, err := buildAt(g, now, req)
		var e *fault.Error
		switch {
		case err == nil:
			built++
			m := modelOf(p, specs)
			agree(t, p, m)
			for range rapid.IntRange(0, 3).Draw(t, "edits") {
				p = editBoth(t, p, m, g)
			}
		case isCircle(err):
			circles++
			if newModel(req, selected(t, g, req), specs, 0).finishes() {
				t.Fatalf("refused although it can finish: %v", err)
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

// selected are the nodes of a request.
func selected(t *rapid.T, g *node.Graph, req *wire.Request) []*wire.Node {
	sel, err := node.Select(g, req, node.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	var out []*wire.Node
	for _, c := range sel.Nodes {
		out = append(out, g.Node(int(c.Index)).Spec)
	}
	return out
}

func isCircle(err error) bool {
	return err != nil && strings.Contains(err.Error(), "could never finish")
}

// editBoth changes a plan and its model at random and compares them; it gives
// the plan as it is then.
func editBoth(t *rapid.T, p *plan.Plan, m *model, g *node.Graph) *plan.Plan {
	e := &wire.EditPlan{MaxGroups: 10, Today: int32(p.Generated) + 3}
	var dates []calendar.Date
	if rapid.Bool().Draw(t, "add dates") {
		d := p.Dates[0] + calendar.Date(rapid.IntRange(-5, 5).Draw(t, "add"))
		for i := range calendar.Date(rapid.IntRange(1, 3).Draw(t, "so many")) {
			if _, ok := p.Position(d + i); !ok {
				dates = append(dates, d+i)
				e.AddDates = append(e.AddDates, &wire.DateRange{From: int32(d + i), To: int32(d + i)})
			}
		}
	}
	if d := p.Dates[rapid.IntRange(0, len(p.Dates)-1).Draw(t, "drop")]; rapid.IntRange(0, 3).Draw(t, "drop a date") == 0 && !m.dropped[d] {
		e.DropDates = append(e.DropDates, &wire.DateRange{From: int32(d), To: int32(d)})
	}
	for _, s := range m.graph {
		switch how := rapid.IntRange(0, 3).Draw(t, "edit "+s.Id); {
		case how == 0 && !m.has(s.Id):
			e.AddNodes = append(e.AddNodes, s.Id)
		case how == 1 && m.has(s.Id) && !m.dropped[s.Id]:
			e.DropNodes = append(e.DropNodes, s.Id)
		}
	}
	if k := rapid.Int32Range(1, 5).Draw(t, "groups"); k != max(1, p.Request.Groups) {
		e.Groups = &k
	}
	in := plan.EditInput{NowMs: p.AcceptedMs + 3*24*3600*1000, Graph: g, Version: func(string) uint64 { return 9 }}
	var err error
	if e.Zones, err = plan.EditZones(p, e, g, calendar.Date(e.Today), time.LoadLocation); err != nil {
		t.Fatal(err)
	}
	out, diff, err := p.Edit(e, in)
	var f *fault.Error
	switch {
	case isCircle(err):
		return p
	case errors.As(err, &f) && (slices.Contains([]string{"dropDates", "dropNodes", "timeOfDay"}, f.Field) || strings.Contains(err.Error(), "leaves the backfill as it is")):
		return p
	case err != nil:
		t.Fatal(err)
	}
	if want := between(m, e.AddNodes); !slices.Equal(diff.AddedNodes, want) {
		t.Fatalf("added %v for %v, want %v", diff.AddedNodes, e.AddNodes, want)
	}
	keepNumbers(t, p, out, diff)
	m.edit(out, diff, dates, in.NowMs)
	agree(t, out, m)
	sameAfterItsRecord(t, out)
	return out
}

// between are the nodes asked for and those on a way between them and the
// plan's, by id.
func between(m *model, ids []string) []string {
	if len(ids) == 0 {
		return nil
	}
	chosen := map[string]bool{}
	for _, s := range m.graph {
		chosen[s.Id] = m.has(s.Id) || slices.Contains(ids, s.Id)
	}
	var leads func(from, to string) bool // through upstreams
	leads = func(from, to string) bool {
		for _, u := range m.spec(from).Upstreams {
			if !u.Previous && (u.Node == to || leads(u.Node, to)) {
				return true
			}
		}
		return false
	}
	var out []string
	for _, s := range m.graph {
		after, before := false, false
		for _, c := range m.graph {
			after = after || chosen[c.Id] && leads(s.Id, c.Id)
			before = before || chosen[c.Id] && leads(c.Id, s.Id)
		}
		if !m.has(s.Id) && (chosen[s.Id] || after && before) {
			out = append(out, s.Id)
		}
	}
	return out
}

// edit does to the model what was done to the plan.
func (m *model) edit(p *plan.Plan, diff plan.Difference, added []calendar.Date, nowMs int64) {
	old := slices.Clone(m.dates)
	m.req = p.Request
	m.specs = specsOf(p)
	m.split()
	for _, d := range diff.DroppedDates {
		m.dropped[d] = true
	}
	for _, id := range diff.DroppedNodes {
		m.dropped[id] = true
	}
	m.sort(added)
	m.number(added, m.specs, nowMs)
	more := slices.DeleteFunc(slices.Clone(m.specs), func(s *wire.Node) bool { return !slices.Contains(diff.AddedNodes, s.Id) })
	m.number(old, more, nowMs)
}

// keepNumbers checks that an edit has moved no instance to another number, and
// said where its date and its node are now.
func keepNumbers(t *rapid.T, was, is *plan.Plan, diff plan.Difference) {
	if diff.First != was.Size() || diff.First+diff.Added != is.Size() {
		t.Fatalf("%d instances, and %d from %d on are new, of %d", was.Size(), diff.Added, diff.First, is.Size())
	}
	for i := range was.Size() {
		a, _ := was.Locate(i)
		b, ok := is.Locate(i)
		if !ok || was.Dates[a.Pos] != is.Dates[b.Pos] || was.Nodes[a.Node].Spec.Id != is.Nodes[b.Node].Spec.Id || a.Cycle != b.Cycle || was.Cycle(a) != is.Cycle(b) {
			t.Fatalf("instance %d was %s and is %s", i, label(was, i), label(is, i))
		}
		if diff.Positions[a.Pos] != b.Pos || diff.Nodes[a.Node] != b.Node {
			t.Fatalf("instance %d moved from %v to %v, the difference says %v, %v", i, a, b, diff.Positions, diff.Nodes)
		}
	}
}

// sameAfterItsRecord checks that what is stored of a plan makes it again.
func sameAfterItsRecord(t *rapid.T, p *plan.Plan) {
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
	if a, b := describe(t, p), describe(t, again); a != b || !proto.Equal(p.Record(), again.Record()) {
		t.Fatalf("the plan made of a record differs: %s", difference(a, b))
	}
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
		n, _ := p.NodeIndex(r.node)
		perNode[n]++
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
	for pos, d := range p.Dates {
		var ranges, nodes, want []uint64
		for from, to := range p.Ranges(pos) {
			for i := from; i < to; i++ {
				ranges = append(ranges, i)
			}
		}
		for n := range p.Nodes {
			from, to := p.NodeRange(pos, n)
			for i := from; i < to; i++ {
				nodes = append(nodes, i)
			}
		}
		for i, r := range m.rows {
			if r.date == d {
				want = append(want, uint64(i))
			}
		}
		slices.Sort(ranges)
		slices.Sort(nodes)
		if !slices.Equal(ranges, want) || !slices.Equal(nodes, want) || p.DateSize(pos) != uint64(len(want)) {
			t.Fatalf("position %d has %v, by its nodes %v, in all %d; want %v", pos, ranges, nodes, p.DateSize(pos), want)
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
		if p.Nodes[at.Node].DryRun == wire.DryRun_NOT_CHOSEN {
			want.Bridges++
		}
		if p.Dry(at) != wire.DryRun_DRY_RUN_NONE {
			want.DryRun++
		}
		if p.DueMs(at) > m.rows[i].acceptedMs {
			want.DueLater++
		}
	}
	if got := p.Totals(); !reflect.DeepEqual(got, want) {
		t.Fatalf("totals %+v, want %+v", got, want)
	}
}

func agreeOnRow(t *rapid.T, p *plan.Plan, m *model, i int, r row) {
	index, _ := p.NodeIndex(r.node)
	want := plan.Place{Pos: slices.Index(m.dates, r.date), Node: index, Cycle: r.cycle}
	at, ok := p.Locate(uint64(i))
	if !ok || at != want || p.Instance(at) != uint64(i) {
		t.Fatalf("instance %d is at %v, %v, which is %d; want %v", i, at, ok, p.Instance(at), want)
	}
	s := m.spec(r.node)
	if found, ok := p.Find(s.Id, r.date, r.unix); !ok || found != uint64(i) {
		t.Fatalf("%s is found as %d, %v; want %d", label(p, uint64(i)), found, ok, i)
	}
	c := p.Cycle(at)
	wall := time.Unix(r.unix, 0).In(location(s))
	if c.Unix != r.unix || c.Wall.String() != wall.Format(time.DateTime) || p.Group(at.Pos) != m.group[r.date] {
		t.Fatalf("instance %d has T %v in group %d; want %v in %d", i, c, p.Group(at.Pos), wall, m.group[r.date])
	}
	agreeOnWaits(t, p, m, i, at)

	due := r.unix * 1000
	if due > r.acceptedMs && p.Request.RunFutureEarly {
		midnight, _ := instant(s, r.date, 0)
		due = midnight * 1000
	}
	if got := p.DueMs(at); got != due {
		t.Fatalf("%s is due at %s, want %s", label(p, uint64(i)), utc(got), utc(due))
	}
	y, mon, day := time.UnixMilli(r.acceptedMs).In(location(s)).Date()
	priority := s.Priority
	switch {
	case m.auto:
	case p.Request.Priority > 0:
		priority = p.Request.Priority
	case r.date < calendar.DateOf(y, mon, day-1):
		priority = map[int32]int32{8: 3, 7: 3, 5: 2, 3: 2, 1: 1}[priority]
	}
	if got := p.Priority(at); got != priority {
		t.Fatalf("%s has priority %d, want %d", label(p, uint64(i)), got, priority)
	}
	dry := p.Nodes[index].DryRun
	if dry == wire.DryRun_DRY_RUN_NONE {
		dry = m.dry(i, p.Nodes[index].SinceMs)
	}
	if got := p.Dry(at); got != dry {
		t.Fatalf("%s is a dry run because of %v, want %v", label(p, uint64(i)), got, dry)
	}
	frozen := s.Mode == wire.Node_PAUSED && (m.auto || p.Request.PausedNodes == wire.Request_KEEP)
	if p.FrozenNode(index) != frozen {
		t.Fatalf("%s is frozen: %v, want %v", s.Id, !frozen, frozen)
	}
}

// agreeOnWaits compares what a row waits for.
func agreeOnWaits(t *rapid.T, p *plan.Plan, m *model, i int, at plan.Place) {
	name := label(p, uint64(i))
	var ups []int
	p.Upstreams(at, func(up int, from, to uint64) bool {
		for u := from; u < to; u++ {
			if l, _ := p.Locate(u); l.Node != up {
				t.Fatalf("%s waits for %s, said to be of node %d", name, label(p, u), up)
			}
			ups = append(ups, int(u))
		}
		return true
	})
	slices.Sort(ups)
	var needs []plan.Need
	p.Abroad(at, func(n plan.Need) bool { needs = append(needs, n); return true })
	sortNeeds(needs)
	wantUps, wantNeeds := m.waits(i)
	if !slices.Equal(ups, wantUps) {
		t.Fatalf("%s waits for %v, want %v", name, ups, wantUps)
	}
	if !slices.Equal(needs, wantNeeds) {
		t.Fatalf("%s needs abroad %v, want %v", name, needs, wantNeeds)
	}
	if pre, _ := m.predecessor(i); p.Predecessor(at) != pre {
		t.Fatalf("%s comes after %+v, want %+v", name, p.Predecessor(at), pre)
	}
	from, to, before := p.Gate(at)
	var gate []int
	if from < to && p.Request.Gate == wire.Request_DAY {
		for from, to := range p.Ranges(before) {
			for j := from; j < to; j++ {
				gate = append(gate, int(j))
			}
		}
	} else {
		for j := from; j < to; j++ {
			gate = append(gate, int(j))
		}
	}
	slices.Sort(gate)
	if !slices.Equal(gate, m.gate(i)) {
		t.Fatalf("%s waits behind its gate for %v, want %v", name, gate, m.gate(i))
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
