package state

// A column is a long array that is almost all zero and changes a few cells at
// a time: chunks appear when first written and are copied on write. The edit
// whose mark a chunk bears has copied it and may write it again; everybody else
// sees it as immutable. Copying a column copies one slice of branches.
type column[T any] struct {
	branches []*branch[T]
	owner    *mark // of the slice
}

// A mark tells one edit from all others. Chunks keep the mark for as long as
// they live, so it must hold on to nothing: an edit would keep its State alive.
// It has a size because pointers to things without one may be equal.
type mark struct{ _ byte }

const (
	chunkBits = 6
	chunkSize = 1 << chunkBits
	chunkMask = chunkSize - 1
)

type branch[T any] struct {
	owner  *mark
	chunks [chunkSize]*chunk[T]
}

type chunk[T any] struct {
	owner *mark
	cells [chunkSize]T
}

func newColumn[T any](cells uint64) column[T] {
	return column[T]{branches: make([]*branch[T], (cells>>(2*chunkBits))+1)}
}

// grow makes room for more cells. Nobody else sees the new slice of branches.
func (c *column[T]) grow(m *mark, cells uint64) {
	if n := int(cells>>(2*chunkBits)) + 1; n > len(c.branches) {
		branches := make([]*branch[T], n)
		copy(branches, c.branches)
		c.branches, c.owner = branches, m
	}
}

// get reads a cell; the zero value where nothing was written.
func (c *column[T]) get(i uint64) T {
	if k := c.chunk(i >> chunkBits); k != nil {
		return k.cells[i&chunkMask]
	}
	var zero T
	return zero
}

// chunk gives the n-th chunk, nil when nothing was written to it.
func (c *column[T]) chunk(n uint64) *chunk[T] {
	if b := c.branches[n>>chunkBits]; b != nil {
		return b.chunks[n&chunkMask]
	}
	return nil
}

// own gives the branch of the n-th chunk to write.
func (c *column[T]) own(m *mark, n uint64) *branch[T] {
	if c.owner != m {
		c.branches = append([]*branch[T](nil), c.branches...)
		c.owner = m
	}
	b := c.branches[n>>chunkBits]
	if b == nil || b.owner != m {
		own := &branch[T]{owner: m}
		if b != nil {
			own.chunks = b.chunks
		}
		b, c.branches[n>>chunkBits] = own, own
	}
	return b
}

// put makes a chunk the n-th.
func (c *column[T]) put(m *mark, n uint64, k *chunk[T]) {
	k.owner = m
	c.own(m, n).chunks[n&chunkMask] = k
}

// at gives a cell to write, in a chunk that bears the mark.
func (c *column[T]) at(m *mark, i uint64) *T {
	n := i >> chunkBits
	b := c.own(m, n)
	k := b.chunks[n&chunkMask]
	if k == nil || k.owner != m {
		own := &chunk[T]{owner: m}
		if k != nil {
			own.cells = k.cells
		}
		k, b.chunks[n&chunkMask] = own, own
	}
	return &k.cells[i&chunkMask]
}

// each calls f for every chunk that was written to, in order.
func (c *column[T]) each(f func(n uint64, cells *[chunkSize]T)) {
	for hi, b := range c.branches {
		if b == nil {
			continue
		}
		for lo, k := range b.chunks {
			if k != nil {
				f(uint64(hi)<<chunkBits|uint64(lo), &k.cells)
			}
		}
	}
}
