package state

import iradix "github.com/hashicorp/go-immutable-radix/v2"

// leases is every lease there is. A turn grants and ends many of neighbouring
// instances, and a write to the tree costs as much as all else that a grant
// does: so the tree holds blocks, of as many instances as a chunk, and a block
// is copied once in an edit. Empty blocks are gone.
type leases struct {
	blocks *iradix.Tree[*leaseBlock] // by plan and number of the chunk
	n      int
}

type leaseBlock struct {
	owner *mark
	n     int
	cells [chunkSize]*Lease
}

func newLeases() leases { return leases{blocks: iradix.New[*leaseBlock]()} }

func (s *leases) get(planID, instance uint64) (*Lease, bool) {
	b, ok := s.blocks.Get(key2(planID, instance>>chunkBits))
	if !ok {
		return nil, false
	}
	l := b.cells[instance&chunkMask]
	return l, l != nil
}

func (s *leases) each(f func(*Lease)) {
	s.blocks.Root().Walk(func(_ []byte, b *leaseBlock) bool {
		b.each(f)
		return false
	})
}

func (s *leases) eachOf(planID uint64, f func(*Lease)) {
	s.blocks.Root().WalkPrefix(key1(planID), func(_ []byte, b *leaseBlock) bool {
		b.each(f)
		return false
	})
}

func (b *leaseBlock) each(f func(*Lease)) {
	for _, l := range b.cells {
		if l != nil {
			f(l)
		}
	}
}

// leaseEdit makes the next leases.
type leaseEdit struct {
	mark   *mark
	blocks *iradix.Txn[*leaseBlock]
	n      int
	// The block last looked at, nil when there is none of that name: the next
	// one is likely to be the same.
	plan, number uint64
	block        *leaseBlock
}

func (s *leases) edit(m *mark) leaseEdit {
	return leaseEdit{mark: m, blocks: s.blocks.Txn(), n: s.n}
}

func (e *leaseEdit) done() leases { return leases{blocks: e.blocks.Commit(), n: e.n} }

func (e *leaseEdit) find(planID, instance uint64) *leaseBlock {
	if number := instance >> chunkBits; e.plan != planID || e.number != number {
		e.plan, e.number = planID, number
		e.block, _ = e.blocks.Get(key2(planID, number))
	}
	return e.block
}

func (e *leaseEdit) get(planID, instance uint64) (*Lease, bool) {
	b := e.find(planID, instance)
	if b == nil {
		return nil, false
	}
	l := b.cells[instance&chunkMask]
	return l, l != nil
}

// own gives the block of an instance to write.
func (e *leaseEdit) own(planID, instance uint64) *leaseBlock {
	b := e.find(planID, instance)
	if b != nil && b.owner == e.mark {
		return b
	}
	next := &leaseBlock{}
	if b != nil {
		*next = *b
	}
	next.owner, e.block = e.mark, next
	e.blocks.Insert(key2(e.plan, e.number), next)
	return next
}

func (e *leaseEdit) put(l *Lease) {
	b := e.own(l.Plan, l.Instance)
	cell := &b.cells[l.Instance&chunkMask]
	if *cell == nil {
		b.n++
		e.n++
	}
	*cell = l
}

// remove takes out a lease that is there.
func (e *leaseEdit) remove(l *Lease) {
	b := e.own(l.Plan, l.Instance)
	b.cells[l.Instance&chunkMask] = nil
	e.n--
	if b.n--; b.n == 0 {
		e.blocks.Delete(key2(e.plan, e.number))
		e.block = nil
	}
}

func (e *leaseEdit) each(f func(*Lease)) {
	e.blocks.Root().Walk(func(_ []byte, b *leaseBlock) bool {
		b.each(f)
		return false
	})
}

func (e *leaseEdit) eachOf(planID uint64, f func(*Lease)) {
	e.blocks.Root().WalkPrefix(key1(planID), func(_ []byte, b *leaseBlock) bool {
		b.each(f)
		return false
	})
}
