// Package cycle keeps the schedule going: it has the instances of each date
// generated ahead, and plans forgotten whose time is over (RULES R1, R10.1).
// What is to be done is a function of the facts and the moment; Loop, on the
// leader, proposes it.
package cycle

import (
	"slices"
	"time"

	"backfleet/coordinator/schedule"
	"backfleet/coordinator/state"
	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// Settings are what an operator may set. GenerateAt and CatchUp may be 0; of
// the rest, 0 stands for the default.
type Settings struct {
	// GenerateAt is when on day D the instances of D are generated, since
	// midnight in Zone. Should a cycle of D begin less than an hour after it,
	// in its zone, they are generated an hour before that cycle.
	GenerateAt time.Duration
	// CatchUp is how long ago a scheduled day may be for its missing
	// instances to be generated after all. The running day's always are.
	CatchUp time.Duration
	// KeepInstances is how long after its last change a plan is kept that is
	// finished or quiet (RULES R10.1). Default: 30 days.
	KeepInstances time.Duration
	// KeepAgents is how long an agent is known after it was lost or said that it
	// ends. Default: 7 days.
	KeepAgents time.Duration
	// Zone is the cluster's time zone. Default: UTC.
	Zone string
	// LoadZone finds time zones. Default: time.LoadLocation.
	LoadZone func(name string) (*time.Location, error)
}

// Defaults are the settings of a cluster whose operator has set nothing.
var Defaults = Settings{GenerateAt: 22 * time.Hour, CatchUp: 7 * 24 * time.Hour, KeepInstances: 30 * 24 * time.Hour, KeepAgents: 7 * 24 * time.Hour}

func (s *Settings) complete() {
	if s.KeepInstances <= 0 {
		s.KeepInstances = Defaults.KeepInstances
	}
	if s.KeepAgents <= 0 {
		s.KeepAgents = Defaults.KeepAgents
	}
	if s.Zone == "" {
		s.Zone = "UTC"
	}
	if s.LoadZone == nil {
		s.LoadZone = time.LoadLocation
	}
}

// lead is how long before a cycle its instance is there at the latest.
const lead = time.Hour

// Calendar is what there is to generate, as seen at one moment.
type Calendar struct {
	set     Settings
	st      *state.State
	now     time.Time
	cluster *time.Location
	nodes   []scheduled
	first   calendar.Date // for which any node was switched on
	latest  calendar.Date // that is due
}

// scheduled is a node that the schedule runs.
type scheduled struct {
	id       string
	schedule calendar.Schedule
	zone     *calendar.Zone
	first    calendar.Date // whose cycles may come after it was switched on
}

// View makes the calendar. A time zone that this coordinator does not know is
// an error; the node's other checks have found it before.
func View(st *state.State, set Settings, now time.Time) (*Calendar, error) {
	set.complete()
	c := &Calendar{set: set, st: st, now: now}
	var err error
	if c.cluster, err = c.load(set.Zone); err != nil {
		return nil, err
	}
	locations := map[string]*time.Location{}
	zones := map[string]*calendar.Zone{}
	today := dateIn(now, c.cluster)
	g := st.Graph()
	for i := range g.Len() {
		n := g.Node(i)
		if !n.Spec.Auto {
			continue
		}
		name := n.Spec.Schedule.GetZone()
		if name == "" {
			name = set.Zone
		}
		if zones[name] == nil {
			if locations[name], err = c.load(name); err != nil {
				return nil, err
			}
			back := calendar.Date(set.CatchUp/(24*time.Hour)) + 3
			zones[name] = calendar.ResolveZone(locations[name], today-back, today+3)
		}
		on, _ := st.Node(n.Spec.Id)
		c.nodes = append(c.nodes, scheduled{
			id: n.Spec.Id, schedule: n.Schedule, zone: zones[name],
			// T is on the day after D.
			first: dateIn(time.UnixMilli(on.AutoSinceMs), locations[name]) - 1,
		})
	}
	if len(c.nodes) > 0 {
		c.first = slices.MinFunc(c.nodes, func(a, b scheduled) int { return int(a.first - b.first) }).first
	}
	// Nowhere on earth is it more than a day later or earlier.
	for c.latest = today + 2; c.moment(c.latest).After(now); c.latest-- {
	}
	return c, nil
}

func (c *Calendar) load(name string) (*time.Location, error) {
	loc, err := c.set.LoadZone(name)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the schedule: time zone %q is not known on this coordinator", name)
	}
	return loc, nil
}

func dateIn(t time.Time, loc *time.Location) calendar.Date { return calendar.DateOf(t.In(loc).Date()) }

// moment is when a date is to be generated.
func (c *Calendar) moment(d calendar.Date) time.Time {
	y, m, day := d.YMD()
	at := time.Date(y, m, day, 0, 0, int(c.set.GenerateAt/time.Second), 0, c.cluster)
	for i := range c.nodes {
		n := &c.nodes[i]
		if n.schedule.Count(d, n.zone) == 0 {
			continue
		}
		if t := time.Unix(n.schedule.Cycle(d, 0, n.zone).Unix, 0).Add(-lead); t.Before(at) {
			at = t
		}
	}
	return at
}

// Due gives the next date to generate, oldest first, but for those to pass
// over; false when there is none. A date that was generated is due again while
// nodes are missing in it that were switched on since.
func (c *Calendar) Due(pass func(calendar.Date) bool) (calendar.Date, bool) {
	if len(c.nodes) == 0 {
		return 0, false
	}
	today := dateIn(c.now, c.cluster)
	from := max(c.first, min(today, dateIn(c.now.Add(-c.set.CatchUp), c.cluster))-1)
	through, generated := c.st.GeneratedThrough()
	if !generated {
		through = from - 1
	}
	// Not so far back that a date's plan may have been forgotten again.
	kept := dateIn(c.now.Add(-c.set.KeepInstances), c.cluster) + 2
	for d := from; d <= through; d++ {
		if c.lacks(d, d >= kept) && !pass(d) {
			return d, true
		}
	}
	for d := max(from, through+1); d <= c.latest; d++ {
		if !pass(d) {
			return d, true
		}
	}
	return 0, false
}

// lacks tells whether a date that was generated lacks a node's instances.
func (c *Calendar) lacks(d calendar.Date, fromNothing bool) bool {
	p, ok := c.st.AutoPlan(d)
	if !ok && !fromNothing {
		return false
	}
	return slices.ContainsFunc(c.nodes, func(n scheduled) bool {
		if d < n.first {
			return false
		}
		if ok {
			_, has := p.NodeIndex(n.id)
			return !has
		}
		return n.schedule.Count(d, n.zone) > 0
	})
}

// Next is when the next date will be due, if nothing changes; false: never.
func (c *Calendar) Next() (time.Time, bool) {
	if len(c.nodes) == 0 {
		return time.Time{}, false
	}
	return c.moment(c.latest + 1), true
}

// Generate makes the command for a date.
func (c *Calendar) Generate(d calendar.Date) (*wire.Generate, error) {
	today := dateIn(c.now, c.cluster)
	zones, err := plan.AutoZones(c.st.Graph(), d, c.set.Zone, today, c.set.LoadZone)
	if err != nil {
		return nil, err
	}
	return &wire.Generate{Date: int32(d), Zones: zones, ClusterZone: c.set.Zone, Today: int32(today)}, nil
}

// Bounds of one round of expiry, so that it never keeps the leader busy for
// long. What it leaves out, a later one takes.
const (
	maxExpired = 100       // plans in a command
	maxLooks   = 1_000_000 // instances looked at
)

// Expiry is one pass over the plans, oldest first, in rounds.
type Expiry struct {
	ids   []uint64 // still to be looked at
	at    time.Time
	since time.Time // what has changed later is kept
	// Next is when the next plan will be old enough, as far as was seen.
	Next time.Time
}

// NewExpiry begins a pass: what is old enough by its last change at this
// moment.
func NewExpiry(st *state.State, set Settings, now time.Time) *Expiry {
	set.complete()
	e := &Expiry{at: now, since: now.Add(-set.KeepInstances)}
	st.Plans(0, func(p *state.Plan) bool {
		over := time.UnixMilli(p.ChangedMs).Add(set.KeepInstances)
		if !over.After(now) {
			e.ids = append(e.ids, p.ID)
		} else if e.Next.IsZero() || over.Before(e.Next) {
			e.Next = over
		}
		return true
	})
	slices.Reverse(e.ids)
	return e
}

// Round gives plans whose dates are all finished or quiet, and whether the
// pass goes on. A plan too large to be judged in one round is kept.
func (e *Expiry) Round(st *state.State) (plans []uint64, more bool) {
	looks := maxLooks
	for len(e.ids) > 0 && len(plans) < maxExpired && looks > 0 {
		id := e.ids[0]
		e.ids = e.ids[1:]
		p, ok := st.Plan(id)
		if !ok || time.UnixMilli(p.ChangedMs).After(e.since) {
			continue
		}
		fresh := looks == maxLooks
		m := schedule.NewMotion(st, p, e.at.UnixMilli(), func() bool { looks--; return looks >= 0 })
		switch quiet := m.Quiet(); {
		case quiet:
			plans = append(plans, id)
		case looks < 0 && !fresh:
			e.ids = slices.Insert(e.ids, 0, id) // once more, with a whole round for it
		}
	}
	return plans, len(e.ids) > 0
}

// Forget makes the command for plans that a round gave. Whoever changes one of
// them before it is a fact keeps it.
func (e *Expiry) Forget(plans []uint64) *wire.Expire {
	return &wire.Expire{Plans: plans, UnchangedSinceMs: e.since.UnixMilli()}
}
