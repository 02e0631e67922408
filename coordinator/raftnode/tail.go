package raftnode

import (
	"slices"
	"sync"

	"github.com/hashicorp/raft"
)

// cachedBytes of the newest entries are kept in memory: followers are about to
// be sent them, and this node is about to apply them.
const cachedBytes = 16 << 20

// tail knows the size of every entry in the log, and keeps the newest ones.
type tail struct {
	mu    sync.Mutex
	first uint64 // of sizes
	sizes []uint32

	marked       uint64 // where the newest snapshot ends
	sinceEntries uint64 // behind the mark
	sinceBytes   int64

	recent      []*raft.Log // the newest of these, oldest first; never changed
	recentBytes int64

	grown chan struct{} // receives after entries were added
}

func newTail() *tail { return &tail{grown: make(chan struct{}, 1)} }

// known notes an entry that was found in the log, in order.
func (t *tail) known(l *raft.Log) {
	if l.Index != t.first+uint64(len(t.sizes)) { // the first one, or after a snapshot that was received
		t.first, t.sizes, t.recent, t.recentBytes = l.Index, nil, nil, 0
	}
	t.sizes = append(t.sizes, uint32(len(l.Data)))
	if l.Index > t.marked {
		t.sinceEntries++
		t.sinceBytes += int64(len(l.Data))
	}
}

// stored notes entries that are in the log now.
func (t *tail) stored(logs []*raft.Log) {
	t.mu.Lock()
	for _, l := range logs {
		t.known(l)
		t.recent = append(t.recent, l)
		t.recentBytes += int64(len(l.Data))
	}
	drop := 0
	for t.recentBytes > cachedBytes && drop < len(t.recent)-1 {
		t.recentBytes -= int64(len(t.recent[drop].Data))
		drop++
	}
	clear(t.recent[:drop])
	t.recent = t.recent[drop:]
	t.mu.Unlock()
	select {
	case t.grown <- struct{}{}:
	default:
	}
}

// deleted notes that lo to hi, at one end of the log, are gone from it.
func (t *tail) deleted(lo, hi uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.sizes) == 0 {
		return
	}
	last := t.first + uint64(len(t.sizes)) - 1
	switch {
	case hi < t.first || lo > last:
		return
	case lo <= t.first && hi >= last:
		t.sizes = nil
	case lo <= t.first:
		// Copied, so that what is gone is not held by what stays.
		t.first, t.sizes = hi+1, slices.Clone(t.sizes[hi+1-t.first:])
	default:
		t.sizes = t.sizes[:lo-t.first]
	}
	t.measure()
	t.keepRecent(lo, hi)
}

func (t *tail) keepRecent(lo, hi uint64) {
	var kept []*raft.Log
	t.recentBytes = 0
	for _, l := range t.recent {
		if l.Index < lo || l.Index > hi {
			kept = append(kept, l)
			t.recentBytes += int64(len(l.Data))
		}
	}
	t.recent = kept
}

// get gives one of the newest entries.
func (t *tail) get(index uint64, l *raft.Log) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.recent) == 0 || index < t.recent[0].Index || index > t.recent[len(t.recent)-1].Index {
		return false
	}
	*l = *t.recent[index-t.recent[0].Index]
	return true
}

// growth gives how many entries were added since the last snapshot, and their
// bytes.
func (t *tail) growth() (entries uint64, bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sinceEntries, t.sinceBytes
}

// mark notes that a snapshot ends at index.
func (t *tail) mark(index uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if index < t.marked {
		return
	}
	t.marked = index
	t.measure()
}

// measure counts anew what follows the mark.
func (t *tail) measure() {
	t.sinceEntries, t.sinceBytes = 0, 0
	for i, size := range t.sizes {
		if t.first+uint64(i) > t.marked {
			t.sinceEntries++
			t.sinceBytes += int64(size)
		}
	}
}

// newest gives how many of the newest entries stay within both bounds, one at
// least.
func (t *tail) newest(entries uint64, bytes int64) (count uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := len(t.sizes) - 1; i >= 0 && count < entries; i-- {
		if bytes -= int64(t.sizes[i]); bytes < 0 {
			break
		}
		count++
	}
	return max(count, 1)
}
