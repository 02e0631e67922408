package plan

import (
	"cmp"
	"slices"
	"time"

	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/node"
	"backfleet/pkg/wire"
)

// periodDays is how far ahead the rules of an execution period's zone are
// resolved: three years, beyond which the last known offset holds.
const periodDays = 3 * 366

// Zones resolves the rules of every time zone that a request can need. load
// finds a zone by its IANA name. Only the leader calls it: the result stands
// in the log.
func Zones(req *wire.Request, g *node.Graph, clusterZone string, today calendar.Date, load func(string) (*time.Location, error)) ([]*wire.Zone, error) {
	all, err := requested(req)
	if err != nil {
		return nil, err
	}
	sel, err := node.Select(g, req, node.Scope{})
	if err != nil {
		return nil, err
	}
	r := newResolver(slices.Min(all), slices.Max(all), today, clusterZone, load)
	for _, c := range sel.Nodes {
		r.node(g, int(c.Index))
	}
	if req.Period != nil {
		r.period("zone", cmp.Or(req.Zone, clusterZone), today)
	}
	return r.resolve()
}

// AutoZones is Zones for the schedule's plan of a date.
func AutoZones(g *node.Graph, date calendar.Date, clusterZone string, today calendar.Date, load func(string) (*time.Location, error)) ([]*wire.Zone, error) {
	// Windows of dates look back.
	r := newResolver(date-node.MaxWindowDays, date, today, clusterZone, load)
	for i := range g.Len() {
		if g.Node(i).Spec.Auto {
			r.node(g, i)
		}
	}
	return r.resolve()
}

// EditZones is Zones for a change of a plan.
func EditZones(p *Plan, e *wire.EditPlan, g *node.Graph, today calendar.Date, load func(string) (*time.Location, error)) ([]*wire.Zone, error) {
	if err := checkRanges("addDates", e.AddDates); err != nil {
		return nil, err
	}
	from, to := slices.Min(p.Dates), slices.Max(p.Dates)
	for _, d := range e.AddDates {
		from, to = min(from, calendar.Date(d.From)), max(to, calendar.Date(d.To))
	}
	r := newResolver(from, to, today, p.record.ClusterZone, load)
	for i := range p.Nodes {
		r.add(p.Nodes[i].Zone.Name, "")
	}
	for _, o := range p.record.Outside {
		r.add(o.Spec.Schedule.GetZone(), "")
	}
	for _, n := range addedNodes(p, e.AddNodes, g) {
		if i, ok := g.Index(n); ok {
			r.node(g, i)
		}
	}
	if e.Period != nil || p.Request.Period != nil {
		r.period("period", cmp.Or(p.Request.Zone, p.record.ClusterZone), today)
	}
	return r.resolve()
}

// resolver gathers names of zones and resolves them for a range of dates.
type resolver struct {
	from, to calendar.Date
	load     func(string) (*time.Location, error)
	fields   map[string]string // name → field at fault if there is no such zone
	far      map[string]calendar.Date
	names    []string
}

func newResolver(from, to, today calendar.Date, clusterZone string, load func(string) (*time.Location, error)) *resolver {
	// Today: for the priority rule.
	r := &resolver{from: min(from, today), to: max(to, today), load: load, fields: map[string]string{}, far: map[string]calendar.Date{}}
	r.add(clusterZone, "")
	return r
}

func (r *resolver) add(name, field string) {
	if _, ok := r.fields[name]; !ok && name != "" {
		r.fields[name] = field
		r.names = append(r.names, name)
	}
}

// node adds the zones of a node and of those whose previous cycles it needs.
func (r *resolver) node(g *node.Graph, i int) {
	spec := g.Node(i).Spec
	r.add(spec.Schedule.GetZone(), "")
	for _, u := range spec.Upstreams {
		if k, ok := g.Index(u.Node); ok {
			r.add(g.Node(k).Spec.Schedule.GetZone(), "")
		}
	}
	if spec.DependsOnChildren {
		for _, k := range g.Downstreams(i) {
			r.add(g.Node(int(k)).Spec.Schedule.GetZone(), "")
		}
	}
}

func (r *resolver) period(field, name string, today calendar.Date) {
	r.add(name, field)
	r.far[name] = today + periodDays
}

func (r *resolver) resolve() ([]*wire.Zone, error) {
	out := make([]*wire.Zone, 0, len(r.names))
	for _, name := range r.names {
		loc, err := r.load(name)
		if err != nil {
			e := fault.Wrap(err, fault.Invalid, "time zone %q is not known: expected an IANA name such as Asia/Shanghai", name)
			e.Field = r.fields[name]
			return nil, e
		}
		z := calendar.ResolveZone(loc, r.from, max(r.to, r.far[name]))
		z.Name = name
		out = append(out, WireZone(z))
	}
	return out, nil
}

// joinZones adds rules of zones to those that a plan has. For its dates, from
// to to, the plan's own hold, so that no T moves and no number changes when the
// world's zone files have changed meanwhile.
func joinZones(was, more []*wire.Zone, from, to calendar.Date) []*wire.Zone {
	out := slices.Clone(was)
	for _, m := range more {
		i := slices.IndexFunc(out, func(z *wire.Zone) bool { return z.Name == m.Name })
		if i < 0 {
			out = append(out, m)
			continue
		}
		out[i] = WireZone(joinZone(zone(out[i]), zone(m), from, to))
	}
	return out
}

func joinZone(was, more *calendar.Zone, from, to calendar.Date) *calendar.Zone {
	const day = 24 * 3600
	first, end := int64(from-2)*day, int64(to+4)*day // what ResolveZone covers
	out := &calendar.Zone{Name: was.Name, Base: more.Base}
	last := more.Base
	add := func(at int64, offset int32) {
		if offset != last {
			out.Transitions = append(out.Transitions, calendar.Transition{At: at, Offset: offset})
			last = offset
		}
	}
	part := func(z *calendar.Zone, from, to int64) {
		add(from, z.OffsetAt(from))
		for _, t := range z.Transitions {
			if t.At > from && t.At < to {
				add(t.At, t.Offset)
			}
		}
	}
	for _, t := range more.Transitions {
		if t.At < first {
			add(t.At, t.Offset)
		}
	}
	part(was, first, end)
	part(more, end, maxMs)
	return out
}

func zone(w *wire.Zone) *calendar.Zone {
	z := &calendar.Zone{Name: w.Name, Base: w.Base}
	for _, t := range w.Transitions {
		z.Transitions = append(z.Transitions, calendar.Transition{At: t.At, Offset: t.Offset})
	}
	return z
}

// WireZone is the form in which a resolved zone stands in the log.
func WireZone(z *calendar.Zone) *wire.Zone {
	w := &wire.Zone{Name: z.Name, Base: z.Base}
	for _, t := range z.Transitions {
		w.Transitions = append(w.Transitions, &wire.Transition{At: t.At, Offset: t.Offset})
	}
	return w
}
