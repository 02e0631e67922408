package plan

import (
	"iter"
	"sort"

	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// block is dates and nodes that got their numbers together: each of its dates
// with each of its nodes (RULES R1.6). A plan that nobody has edited is one
// block, whose rows are the positions and whose columns are the nodes.
type block struct {
	from       uint64  // its first number
	rows       []int32 // position of each row; nil: the row itself
	cols       []int32 // node of each column; nil: the column itself
	row, col   []int32 // the inverse, -1 for what is not in the block
	number     numbering
	acceptedMs int64
	generated  calendar.Date
}

// maxBlocks bounds the changes that add something to one plan.
const maxBlocks = 10_000

// blocks finds the block of a date and a node. Dates that are in the same
// blocks are of one class, and so are nodes; a pair of classes has at most one
// block in common.
type blocks struct {
	all       []block
	dateClass []int32
	nodeClass []int32
	owner     [][]int32 // by class of date and class of node; -1: no block
}

func (b *block) position(row int) int {
	if b.rows == nil {
		return row
	}
	return int(b.rows[row])
}

func (b *block) node(col int) int {
	if b.cols == nil {
		return col
	}
	return int(b.cols[col])
}

// at translates a position and a node of the block.
func (b *block) at(pos, node int) (row, col int) {
	if b.row != nil {
		pos = int(b.row[pos])
	}
	if b.col != nil {
		node = int(b.col[node])
	}
	return pos, node
}

// hasRow says whether the block has a position, and as which row.
func (b *block) hasRow(pos int) (row int, ok bool) {
	if b.row == nil {
		return pos, true
	}
	return int(b.row[pos]), b.row[pos] >= 0
}

// makeBlocks numbers the blocks of a record one after another.
func (p *Plan) makeBlocks(r *wire.PlanRecord) error {
	if len(r.Blocks) == 0 {
		n, err := enumerate(p.Nodes, count(len(p.Nodes)), p.Dates, maxInstances)
		if err == nil && n.size() == 0 {
			err = fault.Field("dates", "no node has a cycle on any of the dates: choose other dates or a wider time of day")
		}
		p.blocks.all = []block{{number: n, acceptedMs: r.AcceptedMs, generated: calendar.Date(r.Generated)}}
		return err
	}
	from := uint64(0)
	for _, rb := range r.Blocks {
		b, err := p.makeBlock(rb, from)
		if err != nil {
			return err
		}
		from += b.number.size()
		p.blocks.all = append(p.blocks.all, b)
	}
	p.blocks.classify(len(p.Dates), len(p.Nodes))
	return nil
}

func (p *Plan) makeBlock(rb *wire.PlanBlock, from uint64) (block, error) {
	b := block{
		from: from, acceptedMs: rb.AcceptedMs, generated: calendar.Date(rb.Generated),
		row: absent(len(p.Dates)), col: absent(len(p.Nodes)),
	}
	ds, err := dates(rb.Dates, p.descending())
	if err != nil {
		return b, err
	}
	for i, d := range ds {
		pos, ok := p.Position(d)
		if !ok {
			return b, fault.New(fault.Internal, "a block of the plan has the date %s, which the plan has not", d)
		}
		b.rows = append(b.rows, int32(pos))
		b.row[pos] = int32(i)
	}
	for i, id := range rb.Nodes {
		n, ok := p.index[id]
		if !ok {
			return b, fault.New(fault.Internal, "a block of the plan has the node %q, which the plan has not", id)
		}
		b.cols = append(b.cols, int32(n))
		b.col[n] = int32(i)
	}
	b.number, err = enumerate(p.Nodes, b.cols, ds, maxInstances-from)
	return b, err
}

// count is 0, 1, … n-1.
func count(n int) []int32 {
	out := make([]int32, n)
	for i := range out {
		out[i] = int32(i)
	}
	return out
}

func absent(n int) []int32 {
	out := make([]int32, n)
	for i := range out {
		out[i] = -1
	}
	return out
}

// classify sorts dates and nodes into classes, and finds the block of each pair
// of them.
func (bs *blocks) classify(dates, nodes int) {
	var dateSets, nodeSets [][]int32
	bs.dateClass, dateSets = classes(dates, len(bs.all), func(b int) []int32 { return bs.all[b].rows })
	bs.nodeClass, nodeSets = classes(nodes, len(bs.all), func(b int) []int32 { return bs.all[b].cols })
	inDates := make([][]int32, len(bs.all))
	for c, set := range dateSets {
		for _, b := range set {
			inDates[b] = append(inDates[b], int32(c))
		}
	}
	bs.owner = make([][]int32, len(dateSets))
	for c := range bs.owner {
		bs.owner[c] = absent(len(nodeSets))
	}
	for c, set := range nodeSets {
		for _, b := range set {
			for _, d := range inDates[b] {
				bs.owner[d][c] = b
			}
		}
	}
}

// classes puts members that are in the same blocks into one class; sets are the
// blocks of each class. A block splits the classes that it has in part.
func classes(n, blocks int, members func(b int) []int32) (class []int32, sets [][]int32) {
	class, sets = make([]int32, n), [][]int32{nil}
	for b := range blocks {
		split := map[int32]int32{}
		for _, m := range members(b) {
			to, ok := split[class[m]]
			if !ok {
				to = int32(len(sets))
				split[class[m]] = to
				was := sets[class[m]]
				sets = append(sets, append(was[:len(was):len(was)], int32(b)))
			}
			class[m] = to
		}
	}
	return class, sets
}

// block finds the block of a date and a node; nil when they have no instance
// together, since one was dropped before the other was added.
func (p *Plan) block(pos, node int) *block {
	bs := &p.blocks
	if len(bs.all) == 1 {
		return &bs.all[0]
	}
	if i := bs.owner[bs.dateClass[pos]][bs.nodeClass[node]]; i >= 0 {
		return &bs.all[i]
	}
	return nil
}

// Size is the number of numbers in use: instances have 0 to Size-1.
func (p *Plan) Size() uint64 {
	last := &p.blocks.all[len(p.blocks.all)-1]
	return last.from + last.number.size()
}

// Instance is the number of a place, which must be one that Locate, Find or
// NodeRange gave.
func (p *Plan) Instance(at Place) uint64 {
	b := p.block(at.Pos, at.Node)
	row, col := b.at(at.Pos, at.Node)
	n := &b.number
	return b.from + n.base[row] + uint64(n.shapes[n.shape[row]][col]) + uint64(at.Cycle)
}

// Locate is the inverse of Instance; false for a number the plan has not.
func (p *Plan) Locate(instance uint64) (Place, bool) {
	if instance >= p.Size() {
		return Place{}, false
	}
	all, i := p.blocks.all, 0
	if len(all) > 1 {
		i = sort.Search(len(all), func(i int) bool { return all[i].from > instance }) - 1
	}
	b := &all[i]
	row, col, cycle := b.number.locate(instance - b.from)
	return Place{b.position(row), b.node(col), cycle}, true
}

// Ranges yields the half-open ranges of instance numbers of a position: one,
// and one more for each change of the plan that added to that date.
func (p *Plan) Ranges(pos int) iter.Seq2[uint64, uint64] {
	return func(yield func(from, to uint64) bool) {
		for i := range p.blocks.all {
			b := &p.blocks.all[i]
			row, ok := b.hasRow(pos)
			if !ok {
				continue
			}
			from, to := b.from+b.number.base[row], b.from+b.number.base[row+1]
			if from < to && !yield(from, to) {
				return
			}
		}
	}
}

// DateSize is the number of instances of a position.
func (p *Plan) DateSize(pos int) uint64 {
	var n uint64
	for i := range p.blocks.all {
		b := &p.blocks.all[i]
		if row, ok := b.hasRow(pos); ok {
			n += b.number.base[row+1] - b.number.base[row]
		}
	}
	return n
}

// firstRange is the first of Ranges.
func (p *Plan) firstRange(pos int) (from, to uint64) {
	for from, to = range p.Ranges(pos) {
		break
	}
	return from, to
}

// NodeRange is the half-open range of a node's instance numbers on a position;
// empty when it has none there.
func (p *Plan) NodeRange(pos, node int) (from, to uint64) {
	b := p.block(pos, node)
	if b == nil {
		return 0, 0
	}
	from, to = b.number.node(b.at(pos, node))
	return b.from + from, b.from + to
}

// NodeSize is the number of a node's instances over all dates.
func (p *Plan) NodeSize(node int) uint64 {
	var n uint64
	for i := range p.blocks.all {
		b := &p.blocks.all[i]
		col := node
		if b.col != nil {
			if col = int(b.col[node]); col < 0 {
				continue
			}
		}
		days := make([]uint64, len(b.number.shapes))
		for _, s := range b.number.shape {
			days[s]++
		}
		n += b.number.sum(col, days)
	}
	return n
}

// Sums gives, for going through all nodes of a position at once, the first number
// there and how many come before each node, the total behind the last; nil for a
// plan that was extended, whose nodes have their numbers apart.
func (p *Plan) Sums(pos int) (first uint64, before []uint32) {
	b := &p.blocks.all[0]
	if len(p.blocks.all) > 1 || b.row != nil {
		return 0, nil
	}
	return b.number.base[pos], b.number.shapes[b.number.shape[pos]]
}
