package logstore

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// walked is what Lines gives over as many calls as it takes.
type walked struct {
	at    uint64
	lines []string
	from  []uint64
	calls int
}

func (w *walked) to(t fataler, r *Reader, key Key, maximum, each int) {
	for ended := false; !ended; w.calls++ {
		seen := 0
		next, last, err := r.Lines(context.Background(), key, w.at, maximum, func(at uint64, line []byte) bool {
			w.lines, w.from = append(w.lines, string(line)), append(w.from, at)
			seen++
			return seen < each
		})
		if err != nil {
			t.Fatal(err)
		}
		if next == w.at && !last {
			t.Fatalf("it stands still at %d", next)
		}
		w.at, ended = next, last
	}
}

func TestLinesAreThoseOfTheStreamHoweverItIsStoredAndAsked(t *testing.T) {
	c := newClearing(t)
	reader := NewReader(c.store, nobody, nil)
	plan := uint64(0)
	rapid.Check(t, func(rt *rapid.T) {
		plan++
		key := Key{Plan: plan, Fence: 1}
		var stream []byte
		for range rapid.IntRange(0, 30).Draw(rt, "lines") {
			stream = append(stream, bytes.Repeat([]byte{'x'}, rapid.IntRange(0, 2000).Draw(rt, "length"))...)
			stream = append(stream, '\n')
		}
		stream = append(stream, strings.Repeat("y", rapid.IntRange(0, 3).Draw(rt, "unfinished"))...)
		if len(stream) == 0 {
			return
		}
		for _, a := range mustAppend(t, c.store, chunksOf(key, stream, rapid.IntRange(1, 5000).Draw(rt, "chunk"))...) {
			if a.Error != "" {
				rt.Fatal(a.Error)
			}
		}
		var w walked
		w.to(rt, reader, key, rapid.IntRange(1, 5000).Draw(rt, "maximum"), rapid.IntRange(1, 10).Draw(rt, "each"))
		if got := strings.Join(w.lines, "\n"); got != strings.TrimSuffix(string(stream), "\n") || int(w.at) != len(stream) {
			rt.Fatalf("%d bytes in %d lines, next %d; want %d", len(got), len(w.lines), w.at, len(stream))
		}
		for i, at := range w.from {
			if !bytes.HasPrefix(stream[at:], []byte(w.lines[i])) {
				rt.Fatalf("line %d is said to begin at %d", i, at)
			}
		}
	})
}

func TestOneCallOfLinesIsBounded(t *testing.T) {
	c := newClearing(t)
	key, stream := Key{Plan: 1}, lines(6<<20)
	c.keep(key, stream, Fate{})
	var w walked
	w.to(t, NewReader(c.store, nobody, nil), key, 1<<20, 1<<30)
	if got := strings.Join(w.lines, "\n") + "\n"; got != string(stream) || w.calls < 6 || w.calls > 8 {
		t.Errorf("%d bytes of %d in %d calls", len(got), len(stream), w.calls)
	}

	// A line without end comes in pieces, and is not gathered.
	long := Key{Plan: 2}
	c.keep(long, bytes.Repeat([]byte("0123456789"), 500_000), Fate{})
	w = walked{}
	w.to(t, NewReader(c.store, nobody, nil), long, 0, 1<<30)
	if got := strings.Join(w.lines, ""); len(got) != 5_000_000 || len(w.lines) < 4 || len(w.lines[0]) > longestLine+pageBytes {
		t.Errorf("%d bytes in %d pieces, the first of %d", len(got), len(w.lines), len(w.lines[0]))
	}
}

func TestLinesPassOverWhatWasCleared(t *testing.T) {
	c := newClearing(t)
	key, stream := Key{Plan: 1, Fence: 1}, lines(5<<20)
	c.keep(key, stream, Fate{Ended: begin, Keep: 7 * day})
	c.run()
	var w walked
	w.to(t, NewReader(c.store, nobody, nil), key, 0, 1<<30)
	told := 0
	for i, line := range w.lines {
		if strings.Contains(line, "bytes cleared here") {
			told++
		} else if !bytes.HasPrefix(stream[w.from[i]:], []byte(line+"\n")) {
			t.Fatalf("line %d, %q, is said to begin at %d", i, line, w.from[i])
		}
	}
	if told != 1 || int(w.at) != len(stream) {
		t.Errorf("%d lines tell of what was cleared; next %d of %d", told, w.at, len(stream))
	}
}

func TestLinesOfALogThatGrowsWaitForTheirEnd(t *testing.T) {
	c := newClearing(t)
	reader, key := NewReader(c.store, nobody, nil), Key{Plan: 1, Fence: 1}
	stream := []byte("one\ntwo\nthree\n")
	look := func(from uint64, want string, next uint64, ended bool) {
		t.Helper()
		var got []string
		n, e, err := reader.Lines(t.Context(), key, from, 0, func(_ uint64, line []byte) bool { got = append(got, string(line)); return true })
		if err != nil || strings.Join(got, ",") != want || n != next || e != ended {
			t.Errorf("from %d: %q, next %d, ended %v, %v; want %q, %d, %v", from, got, n, e, err, want, next, ended)
		}
	}
	look(0, "", 0, false)
	mustAppend(t, c.store, chunkOf(key, stream, 0, 6))
	look(0, "one", 4, false)
	look(4, "", 4, false)
	mustAppend(t, c.store, chunkOf(key, stream, 6, len(stream)))
	look(4, "two,three", 14, true)
	look(14, "", 14, true)
}
