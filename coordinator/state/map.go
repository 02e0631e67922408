package state

// Ranks gives each status a rank, the most urgent the lowest.
type Ranks [nStatus]uint8

// NoRank is the rank of what has no instance.
const NoRank = 255

// Window is a part of a plan, nodes by positions, and how it is cut into rows and
// columns: no more than there are nodes and positions, and at least one.
type Window struct{ NodeFrom, Nodes, DateFrom, Dates, Rows, Columns int }

// Row is the first node of a row; of the one after the last, the end of the window.
func (w *Window) Row(r int) int { return w.NodeFrom + r*w.Nodes/w.Rows }

// Column is the first position of a column; of the one after the last, the end of
// the window.
func (w *Window) Column(c int) int { return w.DateFrom + c*w.Dates/w.Columns }

// Map tells of each cell of a window the lowest rank of what is in it, row by row.
// It takes some nanoseconds an instance.
func (p *Plan) Map(w Window, ranks *Ranks) []uint8 {
	rowOf := make([]int32, w.Nodes)
	for r := range w.Rows {
		for n := w.Row(r); n < w.Row(r+1); n++ {
			rowOf[n-w.NodeFrom] = int32(r)
		}
	}
	cells := make([]uint8, w.Rows*w.Columns)
	column := make([]uint8, w.Rows) // stays near while its dates are gone through
	for c := range w.Columns {
		for r := range column {
			column[r] = NoRank
		}
		for pos := w.Column(c); pos < w.Column(c+1); pos++ {
			p.lowest(pos, w.NodeFrom, rowOf, ranks, column)
		}
		for r, rank := range column {
			cells[r*w.Columns+c] = rank
		}
	}
	return cells
}

// lowest lowers the ranks of rows to those of a position's instances. Numbers go up
// with nodes, so that a chunk is looked for once.
func (p *Plan) lowest(pos, from int, rowOf []int32, ranks *Ranks, rows []uint8) {
	var k *chunk[Status]
	at := uint64(1) << 63 // of the chunk at hand: none
	first, before := p.Sums(pos)
	for n, row := range rowOf {
		var lo, hi uint64
		if before != nil {
			lo, hi = first+uint64(before[from+n]), first+uint64(before[from+n+1])
		} else {
			lo, hi = p.NodeRange(pos, from+n)
		}
		for i := lo; i < hi; i++ {
			if i>>chunkBits != at {
				at = i >> chunkBits
				k = p.status.chunk(at)
			}
			status := Pending
			if k != nil {
				status = k.cells[i&chunkMask]
			}
			rows[row] = min(rows[row], ranks[status])
		}
	}
}
