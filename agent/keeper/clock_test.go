package keeper_test

import (
	"os"
	"sync/atomic"
	"testing"
	"time"

	"backfleet/pkg/wire"
)

// jumping has a keeper under test a wall clock that jumps by a day or two at
// each look, to and fro.
const jumping = "BACKFLEET_TEST_JUMPING"

func wall() func() time.Time {
	if os.Getenv(jumping) == "" {
		return nil
	}
	var looks atomic.Int64
	return func() time.Time {
		n := looks.Add(1)
		days := time.Duration(n%5) * 24 * time.Hour
		if n%2 == 0 {
			days = -days
		}
		return time.Now().Add(days)
	}
}

func TestR13_8_AWallClockThatJumpsDecidesNothing(t *testing.T) {
	t.Setenv(jumping, "1")
	k := ensure(t, t.TempDir(), time.Minute)
	begin := time.Now()
	timed, leased := sh(ref(2, 10), "sleep 1000"), sh(ref(3, 10), "sleep 1000")
	timed.TimeoutMs, leased.LeaseMs = 300, 300
	for _, m := range []*wire.StartAttempt{sh(ref(1, 10), "sleep 0.3; echo fine"), timed, leased} {
		k.start(m)
	}
	seen := map[uint64]*wire.KeptAttempt{}
	for instance, want := range map[uint64]wire.Outcome{1: wire.Outcome_SUCCEEDED, 2: wire.Outcome_TIMED_OUT, 3: wire.Outcome_LOST} {
		r := k.oneOf(seen, instance).Result
		if r.Outcome != want {
			t.Errorf("instance %d: %v, want %s", instance, r, want)
		}
		took := time.Since(begin).Milliseconds() + 1
		for _, ms := range []int64{r.SlotMs, r.EndedMs - r.StartedMs} {
			if ms < 250 || ms > took {
				t.Errorf("instance %d: it took %d ms, want 250 to %d", instance, ms, took)
			}
		}
	}
}
