package wire

import (
	"math"
	"testing"
	"time"
)

func TestGenerations(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	a, b := FirstGeneration(7), FirstGeneration(8)
	if FirstGeneration(0) == 0 || Newer(a, b) || Newer(b, a) {
		t.Error("two beginnings must be told apart, and neither supersedes the other")
	}
	last := a
	for _, at := range []time.Time{now, now, now.Add(-24 * time.Hour), time.Unix(-5, 0)} {
		next := NextGeneration(last, at, math.MaxUint32)
		if !Newer(next, last) || Newer(last, next) {
			t.Errorf("%x does not supersede %x, made at %s", next, last, at)
		}
		last = next
	}
	if !Newer(NextGeneration(0, now, 0), 0) {
		t.Error("a recovery supersedes a cluster without a generation")
	}
}
