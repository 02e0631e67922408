package logstore

import "sort"

// span is a range of bytes, from ≤ x < to.
type span struct{ from, to uint64 }

// coverage is the set of byte offsets of a log that are kept: sorted, disjoint
// and not touching, so nearly always a single span.
type coverage []span

// covers tells whether every byte of [from, to) is in the set.
func (c coverage) covers(from, to uint64) bool {
	return from == to || c.reach(from) >= to
}

// reach is the end of the unbroken run that holds from; from itself when the
// byte at from is missing.
func (c coverage) reach(from uint64) uint64 {
	i := sort.Search(len(c), func(i int) bool { return c[i].to > from })
	if i < len(c) && c[i].from <= from {
		return c[i].to
	}
	return from
}

// add returns the set with [from, to) in it; the receiver is not changed.
func (c coverage) add(from, to uint64) coverage {
	if from == to {
		return c
	}
	first := sort.Search(len(c), func(i int) bool { return c[i].to >= from })
	last := first
	for last < len(c) && c[last].from <= to {
		from, to = min(from, c[last].from), max(to, c[last].to)
		last++
	}
	out := make(coverage, 0, len(c)+1)
	out = append(out, c[:first]...)
	out = append(out, span{from, to})
	return append(out, c[last:]...)
}
