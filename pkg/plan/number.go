package plan

import (
	"strconv"
	"strings"

	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
)

// numbering counts the instances of a block: the base of their date, plus the
// offset of their node on such a day, plus their cycle. Days differ only where
// a clock change adds or drops cycles, so the offsets are kept once per shape
// of day, not per date.
type numbering struct {
	base   []uint64   // of each row, which is a date; one more holds the total
	shape  []uint16   // of each row
	shapes [][]uint32 // the sums over the columns, which are nodes
}

// size is the number of instances.
func (n *numbering) size() uint64 { return n.base[len(n.base)-1] }

// node is the half-open range of a column's numbers on a row.
func (n *numbering) node(row, col int) (from, to uint64) {
	prefix := n.shapes[n.shape[row]]
	return n.base[row] + uint64(prefix[col]), n.base[row] + uint64(prefix[col+1])
}

// locate is the inverse: row, column and cycle of a number below size.
func (n *numbering) locate(x uint64) (row, col, cycle int) {
	row = segment(n.base, x)
	prefix := n.shapes[n.shape[row]]
	off := uint32(x - n.base[row])
	col = segment(prefix, off)
	return row, col, int(off - prefix[col])
}

// sum is a column's instances on so many days of each shape.
func (n *numbering) sum(col int, days []uint64) uint64 {
	var total uint64
	for s, k := range days {
		prefix := n.shapes[s]
		total += k * uint64(prefix[col+1]-prefix[col])
	}
	return total
}

// maxInstances bounds a plan; above it a request is refused rather than a
// coordinator exhausted.
const maxInstances = 100_000_000

// maxOffsets bounds the offsets kept for all shapes of day: 4 bytes each.
const maxOffsets = 32 << 20

// enumerate numbers the nodes of cols on dates, at most room instances.
func enumerate(nodes []Node, cols []int32, dates []calendar.Date, room uint64) (numbering, error) {
	n := numbering{base: make([]uint64, len(dates)+1), shape: make([]uint16, len(dates))}
	// Nodes with the same schedule and zone have the same count on every day.
	type clock struct {
		schedule calendar.Schedule
		zone     *calendar.Zone
	}
	classes := map[clock]int{}
	var distinct []clock
	class := make([]int, len(cols))
	for i, c := range cols {
		var k clock // of all that has one cycle on every date, whatever the zone
		if nodes[c].Cycles.SubDaily() {
			k = clock{nodes[c].Cycles, nodes[c].Zone}
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
			if (len(n.shapes)+1)*len(cols) > maxOffsets || len(n.shapes) > 1<<16-1 {
				return n, fault.New(fault.TooLarge, "clock changes make the dates differ in %d ways for %d nodes: submit fewer nodes or dates at once", len(n.shapes), len(cols))
			}
			s = uint16(len(n.shapes))
			seen[key.String()] = s
			shape, total := offsets(class, counts)
			if total > room {
				return n, tooMany(maxInstances - room + total)
			}
			n.shapes = append(n.shapes, shape)
		}
		n.shape[pos] = s
		n.base[pos+1] = n.base[pos] + uint64(n.shapes[s][len(cols)])
	}
	if total := n.size(); total > room {
		return n, tooMany(maxInstances - room + total)
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
