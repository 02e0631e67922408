package logstore

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dgraph-io/badger/v4"

	"backfleet/pkg/cri"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

var begin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

// clearing is a store whose clock and attempts a test sets.
type clearing struct {
	t     *testing.T
	store *Store
	sweep *Sweeper
	now   time.Time
	fates map[Key]Fate
}

func newClearing(t *testing.T) *clearing {
	c := &clearing{t: t, now: begin, fates: map[Key]Fate{}}
	c.store = openStore(t, t.TempDir(), Options{Now: func() time.Time { return c.now }})
	c.sweep = c.sweeper(NewReader(c.store, nobody, nil))
	return c
}

func nobody() ([]Peer, int) { return nil, 1 }

func (c *clearing) sweeper(r *Reader) *Sweeper {
	return NewSweeper(r, SweepOptions{Fate: func(k Key) (Fate, bool) { f, ok := c.fates[k]; return f, ok }})
}

// keep stores a whole log of an attempt with a fate.
func (c *clearing) keep(key Key, stream []byte, fate Fate) {
	c.t.Helper()
	for _, a := range mustAppend(c.t, c.store, chunksOf(key, stream, 200<<10)...) {
		if a.Error != "" {
			c.t.Fatal(a.Error)
		}
	}
	c.fates[key] = fate
}

func (c *clearing) run() Swept {
	c.t.Helper()
	done, err := c.sweep.Sweep(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	return done
}

// there tells whether a log can be read to its end.
func (c *clearing) there(key Key) bool {
	c.t.Helper()
	_, _, ended, err := c.store.Read(c.t.Context(), key, 0, 1<<20)
	if err != nil && (!IsCleared(err) || !fault.Is(err, fault.NotFound)) {
		c.t.Fatal(err)
	}
	return ended && err == nil
}

// chunks counts the stored chunks of all logs.
func (s *Store) chunks() (n int) {
	_ = s.view(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{chunkTag}})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			n++
		}
		return nil
	})
	return n
}

func TestR10_2_LogsAreKeptFromTheAttemptsEndForTheirTime(t *testing.T) {
	c := newClearing(t)
	shared, exclusive, running := Key{Plan: 1, Fence: 1}, Key{Plan: 2, Fence: 2}, Key{Plan: 3, Fence: 3}
	late := Key{Plan: 4, Fence: 4} // began on the same day and ended three days later
	c.keep(shared, noise(1, 300_000), Fate{Ended: begin, Keep: 7 * day})
	c.keep(exclusive, noise(2, 300_000), Fate{Ended: begin, Keep: 30 * day})
	c.keep(running, noise(3, 300_000), Fate{Keep: 7 * day})
	c.keep(late, noise(4, 300_000), Fate{Ended: begin.Add(3 * day), Keep: 7 * day})
	for _, step := range []struct {
		after                            time.Duration
		shared, exclusive, late, running bool
		cleared                          int
	}{
		{7*day - time.Second, true, true, true, true, 0},
		{7 * day, false, true, true, true, 1},
		{9 * day, false, true, true, true, 0},
		{10 * day, false, true, false, true, 1},
		{30*day - time.Second, false, true, false, true, 0},
		{30 * day, false, false, false, true, 1},
		{300 * day, false, false, false, true, 0},
	} {
		c.now = begin.Add(step.after)
		done := c.run()
		got := []bool{c.there(shared), c.there(exclusive), c.there(late), c.there(running)}
		want := []bool{step.shared, step.exclusive, step.late, step.running}
		if fmt.Sprint(got) != fmt.Sprint(want) || done.Cleared != step.cleared || done.ClearedBytes != uint64(step.cleared)*300_000 {
			t.Errorf("after %v: kept %v, want %v; %+v", step.after, got, want, done)
		}
	}
	if n := c.store.chunks(); n != 2 {
		t.Errorf("%d chunks are stored, want the 2 of the running attempt", n)
	}
}

func TestR10_2_AClearedLogSaysSoAndTakesNothing(t *testing.T) {
	c := newClearing(t)
	key, stream := Key{Plan: 1, Instance: 2, Attempt: 3, Fence: 4}, noise(1, 300_000)
	c.keep(key, stream, Fate{Ended: begin, Keep: day})
	c.now = begin.Add(day)
	c.run()
	_, _, _, err := c.store.Read(t.Context(), key, 17, 0)
	if !IsCleared(err) || !strings.Contains(err.Error(), "b1.2.3 (fence 4) was cleared") {
		t.Errorf("reading a cleared log: %v", err)
	}
	reader := NewReader(c.store, nobody, nil)
	if _, _, err := reader.Size(t.Context(), key, false); !IsCleared(err) {
		t.Errorf("its size: %v", err)
	}
	if err := reader.Follow(t.Context(), key, 0, func(uint64, []byte) error { return nil }); !IsCleared(err) {
		t.Errorf("following it: %v", err)
	}
	if _, _, _, err := c.store.Read(t.Context(), Key{Plan: 9}, 0, 0); err != nil {
		t.Errorf("a log that never was: %v", err)
	}
	// An agent that comes back with it is told that it is safe, and forgets it.
	acks := mustAppend(t, c.store, chunksOf(key, stream, 200<<10)...)
	if acks[0].Error != "" || acks[0].Offset != 300_000 || c.store.chunks() != 0 || c.there(key) {
		t.Errorf("shipped again: %v, %d chunks", acks[0], c.store.chunks())
	}
	// As long as the attempt is known; then nobody can ask any more.
	delete(c.fates, key)
	c.now = begin.Add(30 * day)
	c.run()
	if _, _, _, err := c.store.Read(t.Context(), key, 0, 0); !IsCleared(err) {
		t.Errorf("before its mark goes: %v", err)
	}
	c.now = begin.Add(31 * day)
	c.run()
	if _, _, _, err := c.store.Read(t.Context(), key, 0, 0); err != nil {
		t.Errorf("after its mark went: %v", err)
	}
}

func TestR10_2_LogsOfUnknownAttemptsGoByTheirLastByte(t *testing.T) {
	c := newClearing(t)
	key, stream := Key{Plan: 1}, noise(1, 300_000)
	mustAppend(t, c.store, chunkOf(key, stream, 0, 1000))
	c.now = begin.Add(20 * day)
	mustAppend(t, c.store, chunkOf(key, stream, 1000, len(stream)))
	c.now = begin.Add(50 * day)
	if c.run(); !c.there(key) {
		t.Fatal("cleared 30 days after its last byte, before the day was over")
	}
	c.now = begin.Add(51 * day)
	if c.run(); c.there(key) {
		t.Fatal("kept for longer than 31 days after its last byte")
	}
}

func TestR10_2_ADayIsDroppedWholeWhenNoneOfItsLogsStays(t *testing.T) {
	c := newClearing(t)
	for i := range 300 {
		c.keep(Key{Plan: 1, Instance: uint64(i)}, []byte("a line\n"), Fate{Ended: begin, Keep: day})
	}
	c.now = begin.Add(day)
	today := Key{Plan: 2}
	c.keep(today, []byte("a line\n"), Fate{Ended: c.now, Keep: day})
	// One of the day's logs began after the sweep looked: its bucket must stay.
	c.store.beginSweep()
	if done := c.run(); done.Cleared != 300 || done.ClearedBytes != 300*7 {
		t.Fatalf("%+v, want 300 logs of 7 bytes", done)
	}
	if days := c.store.buckets(); len(days) != 1 || days[0] != dayOf(c.now) || !c.there(today) {
		t.Fatalf("buckets %v, want today's alone", days)
	}
	// What a crash between the marks and the drop leaves behind, goes next time.
	orphan := chunkKey(dayOf(begin), Key{Plan: 1}, 0, 7)
	if err := c.store.put([]set{{orphan, []byte("x")}}, nil); err != nil {
		t.Fatal(err)
	}
	c.run()
	if days := c.store.buckets(); len(days) != 1 {
		t.Fatalf("buckets %v after the second sweep", days)
	}
	// A bucket in which a log began meanwhile is not dropped.
	c.now = begin.Add(3 * day)
	c.store.beginSweep()
	c.store.begun[dayOf(begin.Add(day))] = true
	if err := c.store.dropBuckets(func(uint32) bool { return true }); err != nil || len(c.store.buckets()) != 1 {
		t.Fatalf("a bucket in use was dropped (%v)", err)
	}
}

func TestR10_2_ALogWhoseTimeIsMadeLongerDuringASweepStays(t *testing.T) {
	c := newClearing(t)
	a, b := Key{Plan: 1}, Key{Plan: 2}
	for _, k := range []Key{a, b} {
		c.keep(k, []byte("a line\n"), Fate{Ended: begin, Keep: day})
	}
	c.now = begin.Add(3 * day)
	looks := 0
	c.sweep = NewSweeper(NewReader(c.store, nobody, nil), SweepOptions{Fate: func(k Key) (Fate, bool) {
		f := c.fates[k]
		if looks++; looks > 2 && k == b { // its group has become exclusive since both were looked at
			f.Keep = 30 * day
		}
		return f, true
	}})
	if done := c.run(); done.Cleared != 1 || c.there(a) || !c.there(b) {
		t.Errorf("%+v: kept %v and %v, want the second alone", done, c.there(a), c.there(b))
	}
}

// lines makes a CRI log of at least n bytes, of lines that are all different.
func lines(n int) []byte {
	var b []byte
	for i := 0; len(b) < n; i++ {
		b = cri.AppendLine(b, begin.Add(time.Duration(i)*time.Millisecond), cri.Stdout, false, fmt.Appendf(nil, "line %d %s", i, strings.Repeat("x", i%90)))
	}
	return b
}

// pieces reads a log to its end, by pieces that hang together.
func pieces(t fataler, read func(context.Context, Key, uint64, int) ([]byte, uint64, bool, error), key Key, offset uint64, page int) (out []span, text []byte) {
	for {
		data, next, ended, err := read(context.Background(), key, offset, page)
		if err != nil || len(data) == 0 && !ended {
			t.Fatalf("at %d: %d bytes, %v", offset, len(data), err)
		}
		from := next - uint64(len(data))
		if from < offset {
			t.Fatalf("asked for %d, answered from %d", offset, from)
		}
		if n := len(out); n > 0 && out[n-1].to == from {
			out[n-1].to = next
		} else {
			out = append(out, span{from, next})
		}
		text, offset = append(text, data...), next
		if ended {
			return out, text
		}
	}
}

func TestR10_3_LongLogsAreCutToTheirBeginTheirEndAndALineBetween(t *testing.T) {
	c := newClearing(t)
	long, running, short := Key{Plan: 1}, Key{Plan: 2}, Key{Plan: 3}
	stream := lines(7_000_000)
	c.keep(long, stream, Fate{Ended: begin, Keep: 7 * day})
	c.keep(running, stream, Fate{Keep: 7 * day})
	c.keep(short, stream[:cutBytes], Fate{Ended: begin, Keep: 7 * day})
	done := c.run()
	got, text := pieces(t, c.store.Read, long, 0, 100_000)
	if done.Cut != 1 || int(done.CutBytes) != len(stream)-len(text) {
		t.Errorf("%+v, want one log and %d bytes", done, len(stream)-len(text))
	}
	if len(text) > cutBytes || len(text) < cutBytes-lineRoom-200 {
		t.Errorf("%d bytes are left, want at most %d and hardly fewer", len(text), cutBytes)
	}
	if len(got) != 2 || got[0].from != 0 || got[0].to > headBytes || got[0].to < headBytes-200 || int(got[1].to) != len(stream) {
		t.Fatalf("pieces %v of %d bytes", got, len(stream))
	}
	head, rest := text[:got[0].to], text[got[0].to:]
	line, tail, _ := bytes.Cut(rest, []byte("\n"))
	if !bytes.Equal(head, stream[:len(head)]) || head[len(head)-1] != '\n' {
		t.Error("the head is not whole lines of the log's begin")
	}
	at := len(stream) - len(tail)
	if !bytes.Equal(tail, stream[at:]) || stream[at-1] != '\n' {
		t.Error("the tail is not whole lines of the log's end")
	}
	l, err := cri.ParseLine(line)
	want := fmt.Sprintf("backfleet: %d bytes cleared here: the logs of finished attempts are cut to 3145728 bytes", at-len(head))
	if err != nil || string(l.Text) != want || l.Stream != cri.Stderr {
		t.Errorf("between them %q (%v), want %q", line, err, want)
	}
	// Whoever had read up to some byte goes on from there.
	for _, from := range []int{0, 1000, len(head) - 1, len(head), len(head) + 1, at - len(line), at - len(line) - 1, at - 5, at, at + 7, len(stream)} {
		wantText := append(append(append([]byte{}, head...), line...), '\n')
		wantText = append(wantText, tail...)
		switch {
		case from < len(head):
			wantText = wantText[from:]
		case from >= at-len(line)-1:
			wantText = wantText[len(wantText)-(len(stream)-from):]
		default:
			wantText = wantText[len(head):]
		}
		if _, text := pieces(t, c.store.Read, long, uint64(from), 64_000); !bytes.Equal(text, wantText) {
			t.Errorf("from %d: %d bytes, want %d", from, len(text), len(wantText))
		}
	}
	for key, n := range map[Key]int{running: len(stream), short: cutBytes} {
		if text, _ := readAll(t, c.store.Read, key, 0, 0); len(text) != n {
			t.Errorf("%v has %d bytes, want %d", key, len(text), n)
		}
	}
	if again := c.run(); again != (Swept{}) {
		t.Errorf("a second sweep did %+v", again)
	}
}

func TestR10_3_ALogThatGrowsAfterItsCutIsCutAgain(t *testing.T) {
	c := newClearing(t)
	key, stream := Key{Plan: 1}, lines(8_000_000)
	half := bytes.LastIndexByte(stream[:4_000_000], '\n') + 1
	for from := 0; from < half; from += 200 << 10 {
		mustAppend(t, c.store, chunkOf(key, stream, from, min(from+200<<10, half)))
	}
	c.fates[key] = Fate{Ended: begin, Keep: 7 * day} // lost: its end never came
	if done := c.run(); done.Cut != 1 {
		t.Fatalf("%+v", done)
	}
	for from := half; from < len(stream); from += 200 << 10 { // the agent came back
		mustAppend(t, c.store, chunkOf(key, stream, from, min(from+200<<10, len(stream))))
	}
	c.run()
	got, text := pieces(t, c.store.Read, key, 0, 0)
	if len(got) != 2 || len(text) > cutBytes || len(text) < cutBytes-lineRoom-200 {
		t.Fatalf("pieces %v, %d bytes", got, len(text))
	}
	// It is what one cut of the whole would have made.
	once := newClearing(t)
	once.keep(key, stream, Fate{Ended: begin, Keep: 7 * day})
	once.run()
	if _, want := pieces(t, once.store.Read, key, 0, 0); !bytes.Equal(text, want) {
		t.Error("two cuts made something else than one")
	}
}

func TestR10_3_ACutThatACrashInterruptedIsFinished(t *testing.T) {
	c := newClearing(t)
	key, stream := Key{Plan: 1}, lines(5_000_000)
	c.keep(key, stream, Fate{Ended: begin, Keep: 7 * day})
	c.run()
	_, want := pieces(t, c.store.Read, key, 0, 0)
	kept := c.store.chunks()
	// As after a crash behind the first write: the chunks are still there.
	err := c.store.edit(key, func(_ *badger.Txn, r *record) error {
		r.unswept = true
		sets := []set{{recordKey(key), r.encode()}}
		for _, ch := range chunksOf(key, stream, 200<<10) {
			sets = append(sets, set{chunkKey(r.day, key, ch.Offset, ch.Size), ch.Data})
		}
		return c.store.put(sets, nil)
	})
	if err != nil || c.store.chunks() == kept {
		t.Fatal(err, "nothing to sweep up")
	}
	if _, got := pieces(t, c.store.Read, key, 0, 0); !bytes.Equal(got, want) {
		t.Error("before it is swept up, something else is read")
	}
	c.run()
	if _, got := pieces(t, c.store.Read, key, 0, 0); !bytes.Equal(got, want) {
		t.Error("after it was swept up, something else is read")
	}
	total := 0
	page, err := c.store.Chunks(t.Context(), key, 0, 1<<30)
	for _, ch := range page {
		total += int(ch.Size)
	}
	if n := c.store.chunks(); err != nil || n > kept+2 {
		t.Errorf("%d chunks (%v), want about the %d of before; %d bytes in the head", n, err, kept, total)
	}
}

func TestR10_3_CopiesAreCutAlikeAndFollowOneAnother(t *testing.T) {
	all := cluster(t, 3, ReplicatorOptions{})
	c := &clearing{t: t, fates: map[Key]Fate{}}
	key, stream := Key{Plan: 1, Fence: 7}, lines(5_000_000)
	fate := Fate{Ended: time.Now(), Keep: 7 * day}
	c.fates[key] = fate
	// b has all, c what a coordinator has that was away twice, a nothing.
	chunks := chunksOf(key, stream, 100<<10)
	mustAppend(t, all[1].store, chunks...)
	mustAppend(t, all[2].store, append(append([]*wire.LogChunk{}, chunks[1:20]...), chunks[22:len(chunks)-2]...)...)
	if done, err := c.sweeper(all[2].reader).Sweep(t.Context()); err != nil || done.Cut != 1 {
		t.Fatalf("the copy with gaps: %+v, %v", done, err)
	}
	if done, err := c.sweeper(all[1].reader).Sweep(t.Context()); err != nil || done.Cut != 1 {
		t.Fatalf("the whole copy: %+v, %v", done, err)
	}
	_, want := pieces(t, all[1].store.Read, key, 0, 0)
	if _, got := pieces(t, all[2].store.Read, key, 0, 0); !bytes.Equal(got, want) {
		t.Errorf("the copy with gaps reads %d bytes, the whole one %d, or they differ", len(got), len(want))
	}
	// Who has nothing learns the cut with the rest, through any door.
	if _, got := pieces(t, all[0].reader.Read, key, 0, 70_000); !bytes.Equal(got, want) {
		t.Errorf("the empty copy reads %d bytes, want %d", len(got), len(want))
	}
	var followed []byte
	var jumps int
	at := uint64(0)
	err := all[0].reader.Follow(t.Context(), key, 0, func(from uint64, data []byte) error {
		if from != at {
			jumps++
		}
		at = from + uint64(len(data))
		followed = append(followed, data...)
		return nil
	})
	if err != nil || jumps != 1 || !bytes.Equal(followed, want) {
		t.Errorf("followed %d bytes with %d jumps, %v", len(followed), jumps, err)
	}
	if done, err := c.sweeper(all[0].reader).Sweep(t.Context()); err != nil || done.Cut != 0 {
		t.Errorf("what was fetched cut was cut again: %+v, %v", done, err)
	}
}

func TestR10_2_ACoordinatorWithoutACopyHearsThatALogWasCleared(t *testing.T) {
	all := cluster(t, 3, ReplicatorOptions{})
	key := Key{Plan: 1, Fence: 7}
	mustAppend(t, all[1].store, chunksOf(key, []byte("a line\n"), 100)...)
	if _, err := all[1].store.clear([]Key{key}, func(uint32) bool { return false }); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := all[0].reader.Read(t.Context(), key, 0, 0); !IsCleared(err) {
		t.Errorf("reading: %v", err)
	}
	if _, _, err := all[0].reader.Size(t.Context(), key, false); !IsCleared(err) {
		t.Errorf("size: %v", err)
	}
	// An agent cannot say so.
	acks := mustAppend(t, all[2].store, &wire.LogChunk{Ref: key.Ref(), Cleared: 5, Data: []byte("x"), Last: true})
	if acks[0].Error == "" {
		t.Error("a chunk of an agent cleared a log")
	}
}

func TestR10_3_AbsurdCutsOfPeersAreRefused(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	key := Key{Plan: 1}
	mustAppend(t, s, chunksOf(key, lines(10_000), 1000)...)
	for name, c := range map[string]*wire.LogChunk{
		"empty":           {Offset: 5, Cleared: 5, Data: []byte("x")},
		"without a line":  {Offset: 5, Cleared: 900},
		"a line too long": {Offset: 5, Cleared: 900, Data: make([]byte, lineRoom+1)},
		"line over range": {Offset: 5, Cleared: 7, Data: []byte("xxxx")},
		"beyond the end":  {Offset: 5, Cleared: 1 << 40, Data: []byte("x")},
	} {
		if err := s.adopt(t.Context(), key, c); !fault.Is(err, fault.Corrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if spans, _ := pieces(t, s.Read, key, 0, 0); len(spans) != 1 {
		t.Errorf("pieces %v after refusals", spans)
	}
}

func TestRecordsOfTheFirstFormAreRead(t *testing.T) {
	old := []byte{1, flagEnded, 0, 0, 0, 5, 99, 0, 99}
	r, err := decodeRecord(Key{}, old)
	if err != nil || r.day != 5 || r.touched != 5 || !r.ended || r.end != 99 || !r.have.covers(0, 99) {
		t.Fatalf("%+v, %v", r, err)
	}
	full := &record{day: 1, touched: 2, ended: true, end: 50, have: coverage{{0, 50}}, unswept: true, cut: &cut{from: 3, to: 30, line: []byte("abc\n")}}
	b := full.encode()
	again, err := decodeRecord(Key{}, b)
	if err != nil || fmt.Sprint(*again.cut) != fmt.Sprint(*full.cut) || again.touched != 2 || !again.unswept || again.cleared {
		t.Fatalf("%+v, %v", again, err)
	}
	for n := range len(b) - 2 {
		if _, err := decodeRecord(Key{}, b[:n]); n < 10 && err == nil {
			t.Errorf("%d of %d bytes were taken for a record", n, len(b))
		}
	}
}

func TestR10_4_TheHourIsOfTheClustersZone(t *testing.T) {
	shanghai, _ := time.LoadLocation("Asia/Shanghai")
	berlin, _ := time.LoadLocation("Europe/Berlin")
	for _, c := range []struct {
		after string
		at    time.Duration
		zone  *time.Location
		want  string
	}{
		{"2026-03-01T02:59:59Z", 3 * time.Hour, time.UTC, "2026-03-01T03:00:00Z"},
		{"2026-03-01T03:00:00Z", 3 * time.Hour, time.UTC, "2026-03-02T03:00:00Z"},
		{"2026-03-01T18:59:00Z", 3 * time.Hour, shanghai, "2026-03-01T19:00:00Z"},
		{"2026-03-29T00:00:00Z", 2*time.Hour + 30*time.Minute, berlin, "2026-03-29T01:30:00Z"}, // 02:30 is skipped: 03:30
		{"2026-10-25T00:00:00Z", 3 * time.Hour, berlin, "2026-10-25T02:00:00Z"},
	} {
		after, _ := time.Parse(time.RFC3339, c.after)
		if got := nextAt(after, c.at, c.zone).UTC().Format(time.RFC3339); got != c.want {
			t.Errorf("after %s: %s, want %s", c.after, got, c.want)
		}
	}
}

func TestR10_3_OneSweepADayAndAgainWhenItFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now() // midnight
		ctx, cancel := context.WithTimeout(t.Context(), 80*time.Hour)
		defer cancel()
		var at []time.Duration
		last := start.Add(-40 * time.Hour) // it was down at the last one's time
		daily(ctx, time.Now, func() time.Time { return nextAt(last, 3*time.Hour, time.UTC) }, func() error {
			at = append(at, time.Since(start))
			if len(at) == 3 {
				return fault.New(fault.Unavailable, "the disk is full")
			}
			last = time.Now()
			return nil
		})
		want := []time.Duration{0, 3 * time.Hour, 27 * time.Hour, 27*time.Hour + retryAfter, 51 * time.Hour, 75 * time.Hour}
		if fmt.Sprint(at) != fmt.Sprint(want) {
			t.Errorf("swept after %v, want %v", at, want)
		}
	})
}

func TestR10_3_ASweepIsRememberedOverARestart(t *testing.T) {
	now, dir := begin, t.TempDir()
	open := func() (*Store, *Sweeper) {
		s := openStore(t, dir, Options{Now: func() time.Time { return now }})
		return s, NewSweeper(NewReader(s, nobody, nil), SweepOptions{At: 3 * time.Hour, Fate: func(Key) (Fate, bool) { return Fate{}, false }})
	}
	next := begin.Truncate(day).Add(day + 3*time.Hour)
	s, w := open()
	if got := w.next(); !got.Equal(next) {
		t.Fatalf("a new store is swept at %v, want %v", got, next)
	}
	now = now.Add(40 * time.Hour) // restarted again and again, past the time
	_ = s.Close()
	s, w = open()
	if got := w.next(); !got.Equal(next) {
		t.Fatalf("after a restart at %v, want %v", got, next)
	}
	if _, err := w.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	_, w = open()
	if got := w.next(); !got.Equal(next.Add(2*day)) || !got.After(now) {
		t.Fatalf("after the sweep at %v, want %v", got, next.Add(2*day))
	}
}

// TestR10_2_LogsKeptForMinutesAreSweptAsOften: a daily sweep would keep them a
// day.
func TestR10_2_LogsKeptForMinutesAreSweptAsOften(t *testing.T) {
	now := begin
	s := openStore(t, t.TempDir(), Options{Now: func() time.Time { return now }})
	for _, c := range []struct{ every, after time.Duration }{
		{10 * time.Minute, 10 * time.Minute},
		{0, begin.Truncate(day).Add(day + 3*time.Hour).Sub(begin)},
		{7 * day, begin.Truncate(day).Add(day + 3*time.Hour).Sub(begin)},
	} {
		w := NewSweeper(NewReader(s, nobody, nil), SweepOptions{
			At: 3 * time.Hour, Every: func() time.Duration { return c.every }, Fate: func(Key) (Fate, bool) { return Fate{}, false },
		})
		if _, err := w.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := w.next(); !got.Equal(now.Add(c.after)) {
			t.Errorf("every %v: the next sweep at %v, want it after %v", c.every, got, c.after)
		}
	}
}
