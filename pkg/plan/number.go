package plan

import (
	"strconv"
	"strings"

	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
)

// numbering gives every instance a dense number: the base of its position,
// plus the offset of its node on such a day, plus its cycle. Days differ only
// where a clock change adds or drops cycles, so the offsets are kept once per
// shape of day, not per date.
type numbering struct {
	base   []uint64 // of each position; one more holds the total
	shape  []uint16 // of each position
	shapes [][]uint32
}

// maxInstances bounds a plan; above it a request is refused rather than a
// coordinator exhausted.
const maxInstances = 100_000_000

// maxOffsets bounds the offsets kept for all shapes of day: 4 bytes each.
const maxOffsets = 32 << 20

func enumerate(nodes []Node, dates []calendar.Date) (numbering, error) {
	n := numbering{base: make([]uint64, len(dates)+1), shape: make([]uint16, len(dates))}
	// Nodes with the same schedule and zone have the same count on every day.
	type clock struct {
		schedule calendar.Schedule
		zone     *calendar.Zone
	}
	classes := map[clock]int{}
	var distinct []clock
	class := make([]int, len(nodes))
	for i := range nodes {
		var k clock // of every daily node: one cycle whatever the zone
		if nodes[i].Cycles.Kind != calendar.Daily {
			k = clock{nodes[i].Cycles, nodes[i].Zone}
		}
		c, ok := classes[k]
		if !ok {
			c = len(distinct)
			classes[k] = c
			distinct = append(distinct, k)
		}
		class[i] = c
	}
	seen := map[string]uint16{}
	counts := make([]int, len(distinct))
	var key strings.Builder
	for pos, d := range dates {
		key.Reset()
		for c, k := range distinct {
			counts[c] = k.schedule.Count(d, k.zone)
			key.WriteString(strconv.Itoa(counts[c]))
			key.WriteByte(' ')
		}
		s, ok := seen[key.String()]
		if !ok {
			if (len(n.shapes)+1)*len(nodes) > maxOffsets || len(n.shapes) > 1<<16-1 {
				return n, fault.New(fault.TooLarge, "clock changes make the dates differ in %d ways for %d nodes: submit fewer nodes or dates at once", len(n.shapes), len(nodes))
			}
			s = uint16(len(n.shapes))
			seen[key.String()] = s
			shape, total := offsets(class, counts)
			if total > maxInstances {
				return n, tooMany(total)
			}
			n.shapes = append(n.shapes, shape)
		}
		n.shape[pos] = s
		n.base[pos+1] = n.base[pos] + uint64(n.shapes[s][len(nodes)])
	}
	if total := n.base[len(dates)]; total > maxInstances {
		return n, tooMany(total)
	} else if total == 0 {
		return n, fault.Field("dates", "no node has a cycle on any of the dates: choose other dates or a wider time of day")
	}
	return n, nil
}

func tooMany(total uint64) error {
	return fault.New(fault.TooLarge, "the backfill has at least %d instances, more than the %d one may have: submit fewer nodes or dates at once", total, maxInstances)
}

// offsets sums the counts of the nodes before each node; the last sum is the
// day's total, and right however large it is.
func offsets(class, counts []int) (sums []uint32, total uint64) {
	sums = make([]uint32, len(class)+1)
	for i, c := range class {
		total += uint64(counts[c])
		sums[i+1] = uint32(total)
	}
	return sums, total
}

// Instance is the number of a place.
func (p *Plan) Instance(at Place) uint64 {
	n := &p.number
	return n.base[at.Pos] + uint64(n.shapes[n.shape[at.Pos]][at.Node]) + uint64(at.Cycle)
}

// Locate is the inverse of Instance; false for a number the plan has not.
func (p *Plan) Locate(instance uint64) (Place, bool) {
	n := &p.number
	if instance >= n.base[len(p.Dates)] {
		return Place{}, false
	}
	pos := segment(n.base, instance)
	prefix := n.shapes[n.shape[pos]]
	off := uint32(instance - n.base[pos])
	node := segment(prefix, off)
	return Place{pos, node, int(off - prefix[node])}, true
}

// segment finds i with sums[i] <= x < sums[i+1] in ascending sums from 0, for
// an x below the last.
func segment[T uint32 | uint64](sums []T, x T) int {
	last := len(sums) - 1
	// Where it is if all are equally large, as the dates and nodes of most
	// plans are.
	if i := int(uint64(x) * uint64(last) / uint64(sums[last])); sums[i] <= x && x < sums[i+1] {
		return i
	}
	lo, hi := 0, last-1
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if sums[mid+1] > x {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

// Range is the half-open range of instance numbers of a position.
func (p *Plan) Range(pos int) (from, to uint64) { return p.number.base[pos], p.number.base[pos+1] }

// NodeRange is the half-open range of a node's instance numbers on a position.
func (p *Plan) NodeRange(pos, node int) (from, to uint64) {
	prefix := p.number.shapes[p.number.shape[pos]]
	base := p.number.base[pos]
	return base + uint64(prefix[node]), base + uint64(prefix[node+1])
}

// NodeSize is the number of a node's instances over all dates.
func (p *Plan) NodeSize(node int) uint64 {
	days := make([]uint64, len(p.number.shapes))
	for _, s := range p.number.shape {
		days[s]++
	}
	return p.sum(node, days)
}
