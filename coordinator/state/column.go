package state

// A column is a long array that is almost all zero and changes a few cells at
// a time: chunks appear when first written and are copied on write. An *Edit
// owns the chunks that it has copied and may write them again; everybody else
// sees them as immutable. Copying a column copies one slice of branches.
type column[T any] struct {
	branches []*branch[T]
	owner    *Edit // of the slice
}

const (
	chunkBits = 6
	chunkSize = 1 << chunkBits
	chunkMask = chunkSize - 1
)

type branch[T any] struct {
	owner  *Edit
	chunks [chunkSize]*chunk[T]
}

type chunk[T any] struct {
	owner *Edit
	cells [chunkSize]T
}

func newColumn[T any](cells uint64) column[T] {
	return column[T]{branches: make([]*branch[T], (cells>>(2*chunkBits))+1)}
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

// at gives a cell to write, owned by the edit.
func (c *column[T]) at(e *Edit, i uint64) *T {
	if c.owner != e {
		c.branches = append([]*branch[T](nil), c.branches...)
		c.owner = e
	}
	n := i >> chunkBits
	b := c.branches[n>>chunkBits]
	if b == nil || b.owner != e {
		own := &branch[T]{owner: e}
		if b != nil {
			own.chunks = b.chunks
		}
		b, c.branches[n>>chunkBits] = own, own
	}
	k := b.chunks[n&chunkMask]
	if k == nil || k.owner != e {
		own := &chunk[T]{owner: e}
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
