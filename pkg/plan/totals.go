package plan

import (
	"maps"

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
	for i := range p.blocks.all {
		b := &p.blocks.all[i]
		splits := map[*calendar.Zone]*ages{}
		for col := range len(b.number.shapes[0]) - 1 {
			n := &p.Nodes[b.node(col)]
			a := splits[n.Zone]
			if a == nil {
				a = p.ages(b, n.Zone)
				splits[n.Zone] = a
			}
			p.add(&t, b, col, a)
		}
	}
	maps.DeleteFunc(t.Priority, func(_ int32, n uint64) bool { return n == 0 })
	return t
}

// add counts a column of a block.
func (p *Plan) add(t *Totals, b *block, col int, a *ages) {
	i := b.node(col)
	n := &p.Nodes[i]
	old, recent := b.number.sum(col, a.old), b.number.sum(col, a.recent)
	switch {
	case p.Auto:
		t.Priority[n.Spec.Priority] += old + recent
	case p.Request.Priority > 0:
		t.Priority[p.Request.Priority] += old + recent
	default:
		t.Priority[Downgrade(n.Spec.Priority)] += old
		t.Priority[n.Spec.Priority] += recent
	}
	if n.DryRun == wire.DryRun_NOT_CHOSEN {
		t.Bridges += old + recent
	}
	t.DryRun += p.dryRuns(b, col, old+recent)
	if p.Request.NotBeforeMs > b.acceptedMs {
		t.DueLater += old + recent
		return
	}
	t.DueLater += b.number.sum(col, a.future)
	for _, row := range a.present {
		from, to := b.number.node(row, col)
		for c := range int(to - from) {
			if p.DueMs(Place{b.position(row), i, c}) > b.acceptedMs {
				t.DueLater++
			}
		}
	}
}

// dryRuns counts the dry runs of a column that has so many instances. Only
// where dates or cycles differ are they looked at.
func (p *Plan) dryRuns(b *block, col int, all uint64) uint64 {
	i := b.node(col)
	n := &p.Nodes[i]
	switch {
	case p.DryNode(i) != wire.DryRun_DRY_RUN_NONE:
		return all
	case len(p.record.DroppedDates) == 0 && n.SinceMs == 0 && everyDay(n.Schedule):
		return 0
	}
	var dry uint64
	for row := range len(b.number.base) - 1 {
		from, to := b.number.node(row, col)
		for c := range int(to - from) {
			if p.Dry(Place{b.position(row), i, c}) != wire.DryRun_DRY_RUN_NONE {
				dry++
			}
		}
	}
	return dry
}

// ages sorts the rows of a block by their age in a zone: how many of each shape
// are older than yesterday or not, how many are certainly in the future, and
// which may hold both what is due and what is not.
type ages struct {
	old, recent, future []uint64
	present             []int
}

func (p *Plan) ages(b *block, z *calendar.Zone) *ages {
	shapes := len(b.number.shapes)
	a := &ages{old: make([]uint64, shapes), recent: make([]uint64, shapes), future: make([]uint64, shapes)}
	yesterday := b.yesterday(z)
	for row, s := range b.number.shape {
		d := p.Dates[b.position(row)]
		if d < yesterday {
			a.old[s]++
		} else {
			a.recent[s]++
		}
		switch {
		case d > yesterday+1:
			a.future[s]++
		case d >= yesterday-2: // clocks that skip a whole day move T by one
			a.present = append(a.present, row)
		}
	}
	return a
}

// everyDay says whether each date is a day of the schedule.
func everyDay(s calendar.Schedule) bool { return s.SubDaily() || s.Kind == calendar.Daily }

// Outside calls yield for every upstream node and date that a node's instances
// of a position read and that the plan has not, until yield returns false: the
// upstreams of the same date and of windows, for which nothing waits (RULES
// R2.7, R5.3), and previous cycles, for which it does if they ran elsewhere
// (RULES R5.5). Dates come in ascending order for each upstream.
func (p *Plan) Outside(pos, node int, yield func(upstream string, d calendar.Date) bool) {
	n, d := &p.Nodes[node], p.Dates[pos]
	for _, u := range n.Spec.Upstreams {
		if u.Previous {
			continue
		}
		from, to := d, d
		if u.Window {
			from, to = window(u, d)
		}
		for day := from; day <= to; day++ {
			if !p.has(u.Node, day) && !yield(u.Node, day) {
				return
			}
		}
	}
	for i := range n.prior {
		s := &n.prior[i].source
		if !p.has(s.id, d-1) && !yield(s.id, d-1) {
			return
		}
		if n.Schedule.SubDaily() && s.schedule.SubDaily() && !p.has(s.id, d) && !yield(s.id, d) {
			return
		}
	}
}

// has says whether the plan has a node and a date together.
func (p *Plan) has(id string, d calendar.Date) bool {
	n, ok := p.index[id]
	if !ok {
		return false
	}
	pos, ok := p.Position(d)
	return ok && p.block(pos, n) != nil
}
