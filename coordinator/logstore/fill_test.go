package logstore

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// attempts is a list of those that have ended, given some at a time.
type attempts struct {
	keys  []Key
	asked []time.Time // since when, of each round
}

func (a *attempts) ended(since time.Time, from Key) (some []Key, next Key, more bool) {
	if from == (Key{}) {
		a.asked = append(a.asked, since)
	}
	first := max(0, slices.Index(a.keys, from))
	last := min(first+7, len(a.keys))
	if last < len(a.keys) {
		next, more = a.keys[last], true
	}
	return a.keys[first:last], next, more
}

func always(context.Context) error { return nil }

func TestACoordinatorThatWasAwayFetchesWhatItMissed(t *testing.T) {
	all := cluster(t, 3, ReplicatorOptions{})
	away := all[2]
	s := ship(t, all[0])
	half := Key{Plan: 9, Fence: 9}
	stream := noise(9, 3<<20)
	parts := chunksOf(half, stream, 200<<10)
	wantAcked(t, shipAll(t, s, parts[0]), 200<<10)
	eventually(t, "it has the beginning", func() bool { size, _, _ := away.store.size(half); return size == 200<<10 })
	away.server.Stop()

	list := &attempts{keys: []Key{half}}
	wantAcked(t, shipAll(t, s, parts[1:]...), len(stream))
	for i := range 30 {
		key := Key{Plan: 1, Instance: uint64(i), Attempt: 1, Fence: 5}
		wantAcked(t, shipAll(t, s, chunksOf(key, noise(uint64(i), 100+i), 50)...), 100+i)
		list.keys = append(list.keys, key)
	}
	nothing, gone := Key{Plan: 2, Fence: 1}, Key{Plan: 3, Fence: 1}
	list.keys = append(list.keys, nothing, gone)
	for _, c := range all[:2] {
		mustAppend(t, c.store, chunksOf(gone, stream, 1<<19)...)
		if _, err := c.store.clear([]Key{gone}, func(uint32) bool { return false }); err != nil {
			t.Fatal(err)
		}
	}
	if holders(t, all, half, stream) != 2 {
		t.Fatal("it was not away")
	}

	away.serve(t)
	filler := NewFiller(away.reader, FillOptions{Ready: always, Ended: list.ended})
	for _, want := range []int{32, 0} { // that one was cleared is taken over, too
		if n, err := filler.Fill(t.Context()); n != want || err != nil {
			t.Fatalf("%d logs were fetched, %v; want %d", n, err, want)
		}
	}
	if n := holders(t, all, half, stream); n != 3 {
		t.Errorf("%d have the long log", n)
	}
	for i, key := range list.keys[1:31] {
		if n := holders(t, all, key, noise(uint64(i), 100+i)); n != 3 {
			t.Errorf("%d have log %d", n, i)
		}
	}
	if _, _, _, err := away.store.Read(t.Context(), gone, 0, 0); !IsCleared(err) {
		t.Errorf("a log that the others have cleared: %v", err)
	}
	age := time.Since(list.asked[1])
	if !list.asked[0].IsZero() || age < fillAfter+fillOverlap || age > fillAfter+fillOverlap+time.Minute {
		t.Errorf("it asked for what ended since %v", list.asked)
	}
}

func TestWhatCouldNotBeFetchedIsLookedForAgain(t *testing.T) {
	all := cluster(t, 3, ReplicatorOptions{})
	key, stream := Key{Plan: 1, Fence: 1}, noise(1, 1000)
	mustAppend(t, all[0].store, chunksOf(key, stream, 1000)...)
	all[0].server.Stop()
	all[1].server.Stop()
	list := &attempts{keys: []Key{key}}
	filler := NewFiller(all[2].reader, FillOptions{Ready: always, Ended: list.ended})
	if n, err := filler.Fill(t.Context()); n != 0 || err == nil {
		t.Fatalf("%d logs were fetched of nobody, %v", n, err)
	}
	all[0].serve(t)
	eventually(t, "it is fetched", func() bool { n, err := filler.Fill(t.Context()); return n == 1 && err == nil })
	if n := holders(t, all, key, stream); n != 2 || !list.asked[len(list.asked)-1].IsZero() {
		t.Errorf("%d have the log; asked for what ended since %v", n, list.asked)
	}
}

func TestFillingIsTriedSoonAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var at []time.Duration
		begin := time.Now()
		ready := func(context.Context) error {
			if at = append(at, time.Since(begin)); len(at) == 3 {
				cancel()
			}
			return errors.New("no leader")
		}
		NewFiller(&Reader{}, FillOptions{Ready: ready}).Run(ctx)
		if len(at) != 3 || at[0] != 0 || at[2] != 2*fillRetry {
			t.Errorf("tried at %v", at)
		}
	})
}
