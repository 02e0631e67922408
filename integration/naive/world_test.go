package naive

import (
	"slices"
	"time"

	"backfleet/pkg/wire"
)

// world is everything there is, as rows. It takes what stands in the log and
// keeps its own account.
type world struct {
	now        int64 // unix milliseconds
	nodes      map[string]*wire.Node
	since      map[string]int64 // when a node was switched on
	plans      map[uint64]*program
	order      []*program // the same, as they were accepted
	last       uint64     // id of the newest ever
	agents     map[string]*wire.Agent
	groups     map[string]*wire.PutResourceGroup
	workspaces map[string]*wire.PutWorkspace
	regions    map[string]*wire.PutRegion
	waits      map[*row]int64   // since when a row waits for nothing but a slot
	first      map[*row]int64   // since when it did for the first time
	floor      map[string]int64 // when patience last gave a slot of a group,
	floorMaybe map[string]int64 // and when it last may have
	asked      map[ask]int64    // since when something may wait that asks for more than a slot
	terms      terms
	found      map[*row][]obstacle // by looking, since the last change
}

// terms are the settings that the rules leave open.
type terms struct {
	patience int64 // milliseconds (RULES R7.5)
	yields   int   // RULES R5.6
}

// program is one plan: a backfill, or a date of the schedule.
type program struct {
	id       uint64
	auto     bool
	req      *wire.Request
	zone     string                 // the cluster's
	has      map[int32]bool         // its dates
	accepted []int64                // when, by block
	specs    map[string]*wire.Node  // of the nodes in the plan, as they were
	outside  map[string]*wire.Node  // of others whose cycles count, as they were
	children map[string][]string    // of nodes that wait for their children: those outside
	why      map[string]wire.DryRun // node → why all of its instances are dry runs
	since    map[string]int64       // auto: when the schedule took the node in
	gone     map[int32]bool         // dates dropped
	left     map[string]bool        // nodes dropped
	rows     []*row
	byDay    map[day][]*row
	byNode   map[string][]*row
	opened   map[int32]bool // dates that start although the one before failed
	named    map[*row]bool  // by a rerun since the stop
	paused   bool
	stopped  bool
	halted   bool
	failures int32
	waitsFor map[*row]waits // found by looking, as long as the plan is the same
}

// waits is what a row waits for.
type waits struct {
	own, behind []*row
	outside     []need
}

type day struct {
	node string
	date int32
}

type status int

const (
	pending status = iota // never started
	again                 // to be run once more
	retrying
	running
	succeeded
	dried
	forgiven // set to success
	failed
	halt // stopped by somebody
	frozen
	missed // frozen, and could have started meanwhile
)

var statusNames = []string{"pending", "again", "retrying", "running", "succeeded", "dried", "forgiven", "failed", "stopped", "frozen", "missed"}

func (s status) String() string { return statusNames[s] }
func (s status) waits() bool    { return s <= retrying }
func (s status) good() bool     { return s == succeeded || s == dried || s == forgiven }
func (s status) ice() bool      { return s == frozen || s == missed }

// row is one instance.
type row struct {
	p        *program
	node     string
	date     int32
	unix     int64 // T, seconds
	block    int
	number   uint64 // the engine's
	status   status
	before   status // it was frozen
	forced   bool
	removed  map[string]bool
	priority int32
	retries  int32 // used
	retryAt  int64
	yields   int
	fence    uint64 // of its newest attempt
	agent    string
	group    string // whose slot it uses
	stopping bool
	yielding bool
	// Of a running one:
	ahead    bool // it waits at its agent for a slot
	started  bool // it did, and runs
	recalled bool // it waits there, and is wanted back
	icing    bool // and will be frozen
}

// wanted says whether its agent is to stop it or to give it back.
func (r *row) wanted() bool { return r.stopping || r.yielding || r.recalled }

func newWorld(t terms) *world {
	return &world{
		nodes: map[string]*wire.Node{}, since: map[string]int64{}, plans: map[uint64]*program{}, agents: map[string]*wire.Agent{},
		groups: map[string]*wire.PutResourceGroup{}, workspaces: map[string]*wire.PutWorkspace{}, regions: map[string]*wire.PutRegion{},
		waits: map[*row]int64{}, first: map[*row]int64{}, floor: map[string]int64{}, floorMaybe: map[string]int64{}, asked: map[ask]int64{},
		terms: t, found: map[*row][]obstacle{},
	}
}

func (r *row) spec() *wire.Node { return r.p.specs[r.node] }

// touch forgets what was found by looking: something has changed.
func (w *world) touch() { w.found = map[*row][]obstacle{} }

// pass lets time pass until a moment.
func (w *world) pass(now int64) {
	w.now = max(w.now, now)
	w.touch()
}

// accept takes a plan in.
func (w *world) accept(p *program) {
	if w.plans[p.id] == nil {
		w.order = append(w.order, p)
		w.last = max(w.last, p.id)
	}
	w.plans[p.id] = p
	w.touch()
}

// R1: time.

func utcDay(date int32) time.Time { return time.Unix(int64(date)*86400, 0).UTC() }

func place(name, cluster string) *time.Location {
	if name == "" {
		name = cluster
	}
	if l := loaded[name]; l != nil {
		return l
	}
	l, err := time.LoadLocation(name)
	if err != nil {
		panic(err)
	}
	loaded[name] = l
	return l
}

var loaded = map[string]*time.Location{}

// moments lists when the clocks of a place show a time of day on a date: once,
// twice, or not at all; then it also gives the moment moved by the gap.
func moments(l *time.Location, date int32, clock int32) (shown []int64, moved int64) {
	wall := utcDay(date).Add(time.Duration(clock) * time.Second)
	_, before := wall.Add(-26 * time.Hour).In(l).Zone()
	_, after := wall.Add(26 * time.Hour).In(l).Zone()
	for _, offset := range []int{max(before, after), min(before, after)} {
		t := wall.Add(-time.Duration(offset) * time.Second)
		if _, is := t.In(l).Zone(); is == offset && !slices.Contains(shown, t.Unix()) {
			shown = append(shown, t.Unix())
		}
	}
	return shown, wall.Unix() - int64(before)
}

func several(s *wire.Node) bool {
	return s.Schedule.Kind == wire.Schedule_HOURLY || s.Schedule.Kind == wire.Schedule_MINUTELY
}

// cycles are the T of a node on a data timestamp (RULES R1.1, R1.2, R1.5), those
// in the time of day asked for (RULES R3.2).
func cycles(s *wire.Node, cluster string, date int32, only *wire.TimeRange) []int64 {
	if only != nil {
		return reckoned(s, cluster, date, only)
	}
	k := cycleKey{s.Schedule, cluster, date}
	if _, done := known[k]; !done {
		known[k] = reckoned(s, cluster, date, nil)
	}
	return known[k]
}

// known are the cycles that were reckoned before.
var known = map[cycleKey][]int64{}

type cycleKey struct {
	schedule *wire.Schedule
	cluster  string
	date     int32
}

func reckoned(s *wire.Node, cluster string, date int32, only *wire.TimeRange) []int64 {
	l := place(s.Schedule.Zone, cluster)
	if !several(s) {
		shown, moved := moments(l, date+1, s.Schedule.At)
		if len(shown) == 0 {
			return []int64{moved}
		}
		return shown[len(shown)-1:]
	}
	var out []int64
	for clock := s.Schedule.From; clock <= s.Schedule.To; clock += s.Schedule.Every * 60 {
		if only != nil && (clock < only.From || clock > only.To) {
			continue
		}
		if shown, _ := moments(l, date+1, clock); len(shown) > 0 {
			out = append(out, shown[len(shown)-1])
		}
	}
	slices.Sort(out)
	return out
}

// scheduled says whether date + 1 is a day of the schedule (RULES R1.3).
func scheduled(s *wire.Node, date int32) bool {
	d := utcDay(date + 1)
	dayOfMonth := s.Schedule.Days&(1<<d.Day()) != 0 || s.Schedule.Days&1 != 0 && d.AddDate(0, 0, 1).Month() != d.Month()
	switch s.Schedule.Kind {
	case wire.Schedule_WEEKLY:
		return s.Schedule.Weekdays&(1<<((int(d.Weekday())+6)%7)) != 0
	case wire.Schedule_MONTHLY:
		return dayOfMonth
	case wire.Schedule_YEARLY:
		return dayOfMonth && s.Schedule.Months&(1<<d.Month()) != 0
	default:
		return true
	}
}

// midnight is the first moment of a date at a place.
func midnight(l *time.Location, date int32) int64 {
	shown, moved := moments(l, date, 0)
	if len(shown) == 0 {
		return moved
	}
	return shown[len(shown)-1]
}

// dateAt is the date that the clocks of a place show.
func dateAt(l *time.Location, ms int64) int32 {
	y, m, d := time.UnixMilli(ms).In(l).Date()
	return int32(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400)
}

// R3: due times and periods.

// due is the moment before which a row does not start (RULES R3.3, R3.5).
func (r *row) due() int64 {
	t := r.unix * 1000
	if !r.p.auto && r.p.req.RunFutureEarly && t > r.p.accepted[r.block] {
		t = min(t, 1000*midnight(place(r.spec().Schedule.Zone, r.p.zone), r.date+1))
	}
	return max(t, r.p.req.GetNotBeforeMs())
}

// open says whether a moment lies inside the plan's execution period (RULES
// R3.4).
func (p *program) open(now int64) bool {
	period := p.req.GetPeriod()
	if period == nil {
		return true
	}
	l := place(p.req.Zone, p.zone)
	today := dateAt(l, now)
	for _, start := range []int32{today - 1, today} {
		weekday := utcDay(start).Weekday()
		if period.Cycle == wire.Period_WEEKEND && weekday != time.Saturday && weekday != time.Sunday {
			continue
		}
		end := start
		if period.End < period.Start {
			end++
		}
		if moment(l, start, period.Start) <= now && now < moment(l, end, period.End) {
			return true
		}
	}
	return false
}

// moment is when a bound of a period comes: a clock that shows it twice means
// the second time, one that skips it the end of the gap's length later.
func moment(l *time.Location, date, clock int32) int64 {
	if clock == 86400 {
		date, clock = date+1, 0
	}
	shown, moved := moments(l, date, clock)
	if len(shown) == 0 {
		return moved * 1000
	}
	return shown[len(shown)-1] * 1000
}
