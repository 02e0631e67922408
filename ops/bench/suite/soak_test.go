package suite

import (
	"os"
	"testing"

	"backfleet/agent/attempt"
	"backfleet/pkg/wire"
)

func TestSlopeIsNotMovedByAQuarterOfOddPoints(t *testing.T) {
	var x, y []float64
	for i := range 40 {
		x, y = append(x, float64(i)), append(y, 100+2*float64(i))
		if i%5 == 0 {
			y[i] = 0
		}
	}
	if got := slope(x, y); got < 1.9 || got > 2.1 {
		t.Errorf("slope %v, want 2", got)
	}
}

func TestLedgerTellsWhatHappenedTwice(t *testing.T) {
	l := newLedger()
	key := func(instance, fence uint64) attempt.Key {
		return attempt.Key{Plan: 1, Instance: instance, Attempt: 1, Fence: fence}
	}
	for i := range uint64(100) {
		l.started(key(i, i))
		l.ended(key(i, i))
		l.acknowledged(key(i, i), wire.Outcome_SUCCEEDED)
	}
	if a := l.audit(1); !a.Once(100) || a.Once(101) {
		t.Errorf("a hundred instances, once each: %+v", a)
	}
	l.started(key(7, 200))
	l.started(key(7, 201)) // beside the one before
	l.acknowledged(key(7, 200), wire.Outcome_SUCCEEDED)
	if a := l.audit(1); a.Again != 2 || a.AtOnce != 1 || a.Twice != 1 || a.Once(100) {
		t.Errorf("one instance twice more: %+v", a)
	}
}

func TestFilesOfTheStoreAreNotCounted(t *testing.T) {
	store, other := t.TempDir(), t.TempDir()
	before := filesBeside(os.Getpid(), store)
	for _, dir := range []string{store, store, other} {
		f, err := os.CreateTemp(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
	}
	if got := filesBeside(os.Getpid(), store); got != before+1 {
		t.Errorf("%v files after one more beside the store and two in it, %v before", got, before)
	}
}
