package naive

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"backfleet/pkg/calendar"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// What a seed draws: nodes, requests, operations. All of it goes through the
// log's messages.

// anchors are the days around which a run takes place: clock changes, ends of
// months and years, and an ordinary day.
var anchors = []string{
	"2021-03-13", "2021-11-06", // America/New_York
	"2021-03-27", "2021-10-30", // Europe/Berlin
	"2018-11-03", "2018-02-17", // America/Sao_Paulo, at midnight
	"2021-04-03", "2021-10-02", // Australia/Lord_Howe, half an hour
	"2020-02-28", "2021-02-27", "2020-12-30", "2021-08-30", "2021-08-24",
}

var places = []string{"", "", "America/New_York", "Europe/Berlin", "Asia/Shanghai", "America/Sao_Paulo", "Australia/Lord_Howe"}

const minute = 60_000

type draw struct {
	*rand.Rand
	today   int32 // of the cluster's zone, when the run begins
	cluster string
	ids     []string
	autos   int // percent of the nodes that the schedule runs
}

func pick[T any](d *draw, of ...T) T { return of[d.IntN(len(of))] }

func (d *draw) chance(percent int) bool { return d.IntN(100) < percent }

// begin chooses when and where.
func newDraw(seed uint64) (*draw, int64) {
	d := &draw{Rand: rand.New(rand.NewPCG(seed, 9))}
	d.cluster = pick(d, "UTC", "Europe/Berlin", "Asia/Shanghai", "America/New_York")
	at, err := time.Parse("2006-01-02", pick(d, anchors...))
	if err != nil {
		panic(err)
	}
	now := at.AddDate(0, 0, d.IntN(4)-1).UnixMilli() + d.Int64N(86400)*1000
	d.today = dateAt(place("", d.cluster), now)
	d.autos = pick(d, 0, 40, 90)
	for i := range 3 + d.IntN(pick(d, 3, 3, 6, 10)) {
		d.ids = append(d.ids, fmt.Sprintf("n%02d", i))
	}
	return d, now
}

func (d *draw) zones() (out []*wire.Zone) {
	for _, name := range append(slices.Clone(places[2:]), "UTC") {
		z := plan.WireZone(calendar.ResolveZone(place(name, ""), calendar.Date(d.today-60), calendar.Date(d.today+60)))
		z.Name = name
		out = append(out, z)
	}
	return out
}

func (d *draw) schedule() *wire.Schedule {
	s := &wire.Schedule{Zone: pick(d, places...)}
	at := func() int32 { return pick(d, 0, 0, 5*60, 60*60, 150*60, 150*60, 210*60, 1430*60, d.Int32N(1440)*60) }
	switch k := d.IntN(20); {
	case k < 8:
		s.Kind, s.At = wire.Schedule_DAILY, at()
	case k < 13:
		s.Kind, s.From, s.Every = wire.Schedule_HOURLY, d.Int32N(3)*3600, 60*(1+d.Int32N(2))
		s.To = min(23*3600, s.From+d.Int32N(4)*3600)
	case k < 15:
		s.Kind, s.From, s.Every = wire.Schedule_MINUTELY, (100+d.Int32N(60))*60, 15+d.Int32N(20)
		s.To = s.From + d.Int32N(100)*60
	case k < 17:
		s.Kind, s.At, s.Weekdays = wire.Schedule_WEEKLY, at(), 1+d.Uint32N(127)
	case k < 19:
		s.Kind, s.At, s.Days = wire.Schedule_MONTHLY, at(), d.monthDays()
	default:
		s.Kind, s.At, s.Days, s.Months = wire.Schedule_YEARLY, at(), d.monthDays(), 2|2<<d.IntN(12)|1<<(utcDay(d.today).Month())
	}
	return s
}

func (d *draw) monthDays() uint32 {
	return 1<<d.IntN(32) | 1<<utcDay(d.today+d.Int32N(4)-2).Day() | pick[uint32](d, 0, 1)
}

// node draws the i-th node; its upstreams come before it, but for previous
// cycles, which may come from anywhere.
func (d *draw) node(i int) *wire.Node {
	priority := pick[int32](d, 1, 1, 1, 3, 5, 7, 8)
	n := &wire.Node{
		Id: d.ids[i], Name: pick(d, "Ods_", "ods_", "dwd_", "DWS_") + d.ids[i], Workspace: pick(d, "wa", "wa", "wb", "wc"), Owner: pick(d, "ann", "bob"),
		Type: "shell", Dialect: "dataworks", Code: "true", Baseline: fmt.Sprint("p", priority), Priority: priority,
		ResourceGroup: pick(d, "default", "default", "big"), Schedule: d.schedule(), DependsOnSelf: d.chance(30),
		Retries: pick[int32](d, 0, 0, 1, 2), RetryDelayMs: pick[int64](d, 0, 1, 30*minute),
		Auto: d.chance(d.autos), Mode: pick(d, wire.Node_NORMAL, wire.Node_NORMAL, wire.Node_NORMAL, wire.Node_NORMAL, wire.Node_DRY_RUN, wire.Node_PAUSED),
		DependsOnChildren: d.chance(10),
	}
	if d.chance(25) {
		n.Slots = 2 + d.Uint32N(2)
	}
	if d.chance(12) {
		n.Requires = []*wire.Assignment{{Name: "gpu", Value: "true"}}
	}
	if d.chance(25) {
		n.ExitCodes = []*wire.ExitCode{{Code: hopeless, Meaning: wire.ExitCode_FAIL}, {Code: nothingToDo, Meaning: wire.ExitCode_SKIP}}
	}
	if d.chance(12) {
		n.Type = "python"
	}
	if d.chance(8) {
		n.Type, n.Code = "virtual", ""
	}
	for _, k := range d.Perm(len(d.ids))[:min(len(d.ids), 4)] {
		u := &wire.Upstream{Node: d.ids[k]}
		switch {
		case k == i:
			continue
		case d.chance(8):
			u.Previous = true
		case k > i || d.chance(40):
			continue
		case d.chance(20):
			u.Window, u.To = true, -d.Int32N(2)
			u.From = u.To - d.Int32N(3)
			if d.chance(25) {
				u.From, u.To, u.FromMonthStart = 0, 0, true
			}
		}
		n.Upstreams = append(n.Upstreams, u)
	}
	return n
}

func (d *draw) id() string { return pick(d, d.ids...) }

func (d *draw) some(percent int) (out []string) {
	for _, id := range d.ids {
		if d.chance(percent) {
			out = append(out, id)
		}
	}
	return out
}

func (d *draw) dates() (out []*wire.DateRange) {
	for range 1 + d.IntN(2) {
		from := d.today - 4 + d.Int32N(6)
		if d.autos > 50 { // near what the schedule is about to run
			from = d.today - 2 + d.Int32N(2)
		}
		out = append(out, &wire.DateRange{From: from, To: from + d.Int32N(3)})
	}
	return out
}

func (d *draw) submit(now int64) *wire.Submit {
	r := &wire.Request{
		Mode: wire.Request_Mode(1 + d.IntN(5)), Dates: d.dates(), Groups: pick[int32](d, 1, 1, 2, 3, 10, 0),
		Order: wire.Request_Order(d.IntN(5) / 4), Gate: wire.Request_Gate(d.IntN(3)), OnFailure: wire.Request_OnFailure(d.IntN(2)),
		StopAfter: max(0, d.Int32N(8)-5), MaxRunning: max(0, d.Int32N(8)-5), RunFutureEarly: d.chance(30), DryRun: d.chance(6),
		Overlap: wire.Request_Overlap(d.IntN(12) / 11), OnConflict: wire.Request_OnConflict(d.IntN(3)),
		PausedNodes: wire.Request_Switch(d.IntN(2)), DryRunNodes: wire.Request_Switch(d.IntN(2)),
	}
	switch r.Mode {
	case wire.Request_ADVANCED:
		r.Nodes = d.some(40)
		if d.chance(30) {
			r.Filters = append(r.Filters, &wire.NodeFilter{Workspace: pick(d, "", "wb"), Owner: "bob", Priority: pick[int32](d, 0, 1), Name: pick(d, "", "ODS")})
		}
	case wire.Request_CHAIN:
		r.Root, r.End = d.id(), d.id()
	case wire.Request_MASSIVE:
		r.Root, r.WithoutRoot = d.id(), d.chance(20)
		if d.chance(70) {
			r.Workspaces = pick(d, []string{"wa"}, []string{"wb"}, []string{"wa", "wb"}, []string{"wa", "wb", "wc"})
		}
		if d.chance(15) {
			r.Whitelist = []string{d.id()}
		}
		if d.chance(30) {
			r.Blacklist = []string{d.id()}
		}
	case wire.Request_DESCENDANTS:
		r.Root, r.WithoutRoot = d.ids[d.IntN((len(d.ids)+1)/2)], d.chance(15)
		if d.chance(15) {
			r.NameFilter = pick(d, "ods", "DW")
		}
		r.MaxLevel = max(0, d.Int32N(6)-3)
	default:
		r.Root = d.id()
	}
	if d.chance(20) {
		r.TimeOfDay = &wire.TimeRange{From: d.Int32N(3) * 3600, To: 3*3600 + d.Int32N(2)*3600}
	}
	if d.chance(20) {
		r.Period, r.Zone = d.period(), pick(d, places...)
	}
	if d.chance(15) {
		r.NotBeforeMs = now + d.Int64N(36*60)*minute - 12*60*minute
	}
	if d.chance(15) {
		r.ResourceGroup = "big"
	}
	if d.chance(8) {
		r.Priority = pick[int32](d, 1, 2, 3, 5, 7, 8)
	}
	s := &wire.Submit{Request: r, Zones: d.zones(), Today: dateAt(place("", d.cluster), now), ClusterZone: d.cluster}
	if d.chance(10) {
		s.Restricted, s.Workspaces = true, []string{"wa", pick(d, "wa", "wb")}
	}
	return s
}

func (d *draw) period() *wire.Period {
	p := &wire.Period{Cycle: pick(d, wire.Period_EVERY_DAY, wire.Period_EVERY_DAY, wire.Period_WEEKEND), Start: d.Int32N(24) * 3600, End: (1 + d.Int32N(24)) * 3600}
	if p.Start == p.End {
		p.End = 86400
	}
	return p
}

// Exit codes that mean something to some nodes.
const hopeless, nothingToDo = 64, 99

// agents draws what an agent says of itself.
func (d *draw) agent(id string) *wire.Agent {
	return &wire.Agent{
		Id: id, Incarnation: "k", State: pick(d, wire.Agent_READY, wire.Agent_READY, wire.Agent_READY, wire.Agent_DRAINING, wire.Agent_LOST),
		Groups: []*wire.GroupSlots{{Group: "default", Slots: pick[uint32](d, 0, 1, 2, 3, 50)}, {Group: "big", Slots: pick[uint32](d, 1, 2, 50)}},
		Labels: []*wire.Assignment{{Name: "gpu", Value: pick(d, "true", "false")}, {Name: "backfleet/python", Value: pick(d, "true", "true", "false")}},
	}
}

// operate draws what a person does; instances are the engine's numbers.
func (d *draw) operate(w *world) *wire.Operate {
	plans := w.order
	if len(plans) == 0 {
		return nil
	}
	o := &wire.Operate{Kind: wire.Operate_Kind(1 + d.IntN(11))}
	if o.Kind == wire.Operate_SET_PRIORITY {
		o.Priority = pick[int32](d, 1, 2, 3, 5, 7, 8)
	}
	for range 1 + d.IntN(5)/4 {
		p := plans[d.IntN(len(plans))]
		t := &wire.Target{Plan: p.id}
		whole := o.Kind == wire.Operate_PAUSE || o.Kind == wire.Operate_RESUME || o.Kind == wire.Operate_RERUN_FAILED
		switch k := d.IntN(10); {
		case whole || k == 0 && (o.Kind == wire.Operate_STOP || o.Kind == wire.Operate_FREEZE) || k < 4 && o.Kind == wire.Operate_UNFREEZE:
		case k < 3 && (o.Kind == wire.Operate_FREEZE || o.Kind == wire.Operate_UNFREEZE):
			date := pick(d, p.dates()...)
			t.Dates = []*wire.DateRange{{From: date, To: date}}
		default:
			fit := slices.Clone(p.rows)
			if d.chance(90) { // mostly what it is allowed on
				fit = slices.DeleteFunc(fit, func(r *row) bool {
					return o.Kind != wire.Operate_REMOVE_UPSTREAM && w.allows(o, r) != nil || o.Kind == wire.Operate_REMOVE_UPSTREAM && !r.status.waits()
				})
			}
			if len(fit) == 0 {
				return nil
			}
			for range 1 + d.IntN(3) {
				r := pick(d, fit...)
				t.Instances = append(t.Instances, r.number)
				if s := r.spec(); o.Kind == wire.Operate_REMOVE_UPSTREAM && o.Upstream == "" {
					o.Upstream = r.node
					if len(s.Upstreams) > 0 {
						o.Upstream = pick(d, s.Upstreams...).Node
					}
				}
			}
			slices.Sort(t.Instances)
			t.Instances = slices.Compact(t.Instances)
		}
		o.Targets = append(o.Targets, t)
	}
	return o
}

// edit draws a change of a plan.
func (d *draw) edit(w *world) *wire.EditPlan {
	var open []*program
	for _, p := range w.order {
		if !p.auto && p.unfinished() || d.chance(5) {
			open = append(open, p)
		}
	}
	if len(open) == 0 {
		return nil
	}
	p := pick(d, open...)
	e := &wire.EditPlan{Plan: p.id, Zones: d.zones(), Today: dateAt(place("", d.cluster), w.now)}
	date := d.today - 4 + d.Int32N(8)
	switch d.IntN(9) {
	case 0:
		e.Groups = new(d.Int32N(4) + 1)
	case 1:
		e.MaxRunning = new(d.Int32N(3))
	case 2:
		e.ResourceGroup = new(pick(d, "", "big", "default"))
	case 3:
		e.Priority = new(pick[int32](d, 0, 1, 3, 8))
	case 4:
		e.Period, e.AnyTime = d.period(), d.chance(10)
	case 5:
		e.AnyTime = true
	case 6:
		e.AddDates = []*wire.DateRange{{From: date, To: date + d.Int32N(2)}}
	case 7:
		e.DropDates = []*wire.DateRange{{From: date, To: date}}
		if d.chance(30) {
			e.DropNodes = []string{d.id()}
		}
	default:
		e.AddNodes = []string{d.id()}
	}
	return e
}

func calendarDate(d int32) calendar.Date { return calendar.Date(d) }
