package raftnode

import (
	"testing"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"
)

// TestTailIsTheLog: whatever is appended, cut off at either end or replaced,
// the tail knows the sizes of what is there, and its copies are these entries.
func TestTailIsTheLog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tail, log, marked := newTail(), []*raft.Log{}, uint64(0)
		next := uint64(rapid.IntRange(1, 5).Draw(t, "first"))
		t.Repeat(map[string]func(*rapid.T){
			"store": func(t *rapid.T) {
				var batch []*raft.Log
				for range rapid.IntRange(1, 5).Draw(t, "count") {
					size := rapid.SampledFrom([]int{0, 1, 100, cachedBytes / 3, cachedBytes + 1}).Draw(t, "size")
					batch = append(batch, &raft.Log{Index: next, Term: uint64(rapid.IntRange(1, 9).Draw(t, "term")), Data: make([]byte, size)})
					next++
				}
				log = append(log, batch...)
				tail.stored(batch)
			},
			"drop oldest": func(t *rapid.T) {
				if len(log) == 0 {
					return
				}
				n := rapid.IntRange(1, len(log)).Draw(t, "count")
				tail.deleted(log[0].Index, log[n-1].Index)
				if log = log[n:]; len(log) == 0 { // a snapshot was received
					next += uint64(rapid.IntRange(0, 100).Draw(t, "gap"))
				}
			},
			"drop newest": func(t *rapid.T) {
				if len(log) < 2 {
					return
				}
				n := rapid.IntRange(1, len(log)-1).Draw(t, "kept")
				tail.deleted(log[n].Index, log[len(log)-1].Index)
				next, log = log[n].Index, log[:n]
			},
			"mark": func(t *rapid.T) {
				marked = max(marked, uint64(rapid.IntRange(0, int(next)).Draw(t, "index")))
				tail.mark(marked)
			},
			"": func(t *rapid.T) { compareTail(t, tail, log, marked) },
		})
	})
}

func compareTail(t *rapid.T, tail *tail, log []*raft.Log, marked uint64) {
	var entries uint64
	var bytes int64
	for _, l := range log {
		var got raft.Log
		if tail.get(l.Index, &got) && (got.Index != l.Index || got.Term != l.Term || len(got.Data) != len(l.Data)) {
			t.Fatalf("entry %d of term %d: got %d of term %d", l.Index, l.Term, got.Index, got.Term)
		}
		if l.Index > marked {
			entries, bytes = entries+1, bytes+int64(len(l.Data))
		}
	}
	if e, b := tail.growth(); e != entries || b != bytes {
		t.Fatalf("since %d: %d entries of %d bytes, want %d of %d", marked, e, b, entries, bytes)
	}
	if n := len(log); n > 0 {
		first, last := log[0].Index, log[n-1].Index
		var got raft.Log
		if tail.get(first-1, &got) || tail.get(last+1, &got) {
			t.Fatalf("entries outside of %d to %d", first, last)
		}
	}
	var kept int64
	for _, l := range tail.recent {
		kept += int64(len(l.Data))
	}
	if kept != tail.recentBytes || kept > cachedBytes && len(tail.recent) > 1 {
		t.Fatalf("%d bytes in %d entries are kept, said to be %d", kept, len(tail.recent), tail.recentBytes)
	}
	limit := int64(cachedBytes)
	count := uint64(0)
	for i := len(log) - 1; i >= 0 && count < 7; i-- {
		if limit -= int64(len(log[i].Data)); limit < 0 {
			break
		}
		count++
	}
	if got := tail.newest(7, cachedBytes); got != max(count, 1) {
		t.Fatalf("%d entries stay within the bounds, want %d", got, count)
	}
}
