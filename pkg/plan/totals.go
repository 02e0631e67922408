package plan

import (
	"backfleet/pkg/calendar"
	"backfleet/pkg/wire"
)

// Totals counts a plan's instances, as its preview and its receipt show them.
type Totals struct {
	Instances uint64
	Bridges   uint64           // of nodes that only keep the order (RULES R2.6)
	DryRun    uint64           // the bridges among them
	DueLater  uint64           // not due at the plan's acceptance
	Priority  map[int32]uint64 // by priority (RULES R7.2)
}

// Totals counts without looking at each instance: nodes × shapes of day.
func (p *Plan) Totals() Totals {
	t := Totals{Instances: p.Size(), Priority: map[int32]uint64{}}
	splits := map[*calendar.Zone]*ages{}
	for i := range p.Nodes {
		n := &p.Nodes[i]
		a := splits[n.Zone]
		if a == nil {
			a = p.ages(n.Zone)
			splits[n.Zone] = a
		}
		old, recent := p.sum(i, a.old), p.sum(i, a.recent)
		t.Priority[Downgrade(n.Spec.Priority)] += old
		t.Priority[n.Spec.Priority] += recent
		switch n.DryRun {
		case wire.DryRun_DRY_RUN_NONE:
		case wire.DryRun_NOT_CHOSEN:
			t.Bridges += old + recent
			fallthrough
		default:
			t.DryRun += old + recent
		}
		if p.Request.NotBeforeMs > p.AcceptedMs {
			t.DueLater += old + recent
			continue
		}
		t.DueLater += p.sum(i, a.future)
		for _, pos := range a.present {
			from, to := p.NodeRange(pos, i)
			for c := range int(to - from) {
				if p.DueMs(Place{pos, i, c}) > p.AcceptedMs {
					t.DueLater++
				}
			}
		}
	}
	for priority, n := range t.Priority {
		if n == 0 {
			delete(t.Priority, priority)
		}
	}
	return t
}

// ages sorts a plan's positions by their age in a zone: how many of each shape
// are older than yesterday or not, how many are certainly in the future, and
// which may hold both what is due and what is not.
type ages struct {
	old, recent, future []uint64
	present             []int
}

func (p *Plan) ages(z *calendar.Zone) *ages {
	shapes := len(p.number.shapes)
	a := &ages{old: make([]uint64, shapes), recent: make([]uint64, shapes), future: make([]uint64, shapes)}
	yesterday := p.yesterday(z)
	for pos, d := range p.Dates {
		s := p.number.shape[pos]
		if d < yesterday {
			a.old[s]++
		} else {
			a.recent[s]++
		}
		switch {
		case d > yesterday+1:
			a.future[s]++
		case d >= yesterday-2: // clocks that skip a whole day move T by one
			a.present = append(a.present, pos)
		}
	}
	return a
}

// sum is a node's instances on so many days of each shape.
func (p *Plan) sum(node int, days []uint64) uint64 {
	var total uint64
	for s, n := range days {
		prefix := p.number.shapes[s]
		total += n * uint64(prefix[node+1]-prefix[node])
	}
	return total
}

// Outside calls yield for every upstream node and date that a node's instances
// of a position read and that the plan has not, so that nothing waits for it
// (RULES R2.7, R5.3), until yield returns false. Dates come in ascending order
// for each upstream.
func (p *Plan) Outside(pos, node int, yield func(upstream string, d calendar.Date) bool) {
	d := p.Dates[pos]
	for _, u := range p.Nodes[node].Spec.Upstreams {
		_, inside := p.index[u.Node]
		from, to := d, d
		if u.Window {
			from, to = window(u, d)
		}
		for day := from; day <= to; day++ {
			if inside {
				if _, ok := p.Position(day); ok {
					continue
				}
			}
			if !yield(u.Node, day) {
				return
			}
		}
	}
}
