package watch

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"backfleet/coordinator/dispatch"
	"backfleet/coordinator/state"
	"backfleet/pkg/wire"
)

// A turn never waits for who looks on: what is too much is dropped and counted.
func TestTurnsDoNotWait(t *testing.T) {
	w := New(prometheus.NewRegistry(), func() time.Time { return time.Time{} }, func(dispatch.Turned) {})
	for range behind + 3 {
		w.Turned(dispatch.Turned{Turn: &wire.Turn{}})
	}
	for range 3 {
		w.Began(state.New(), time.Now())
	}
	var missed dto.Metric
	if err := w.figures.missed.Write(&missed); err != nil || missed.Counter.GetValue() != 3 {
		t.Errorf("%v turns were dropped: expected 3 (%v)", missed.Counter, err)
	}
}

// A failover is from the last sign of the leader before to the first turn that the
// new one decided itself, where there was work.
func TestFailover(t *testing.T) {
	moment := time.Unix(1_700_000_000, 0)
	turn := func(after time.Duration) dispatch.Turned {
		return dispatch.Turned{Turn: &wire.Turn{}, Decided: moment.Add(after), Committed: moment.Add(after + 50*time.Millisecond)}
	}
	for name, x := range map[string]struct {
		of             began
		leading, turns uint64
		sum            float64
	}{
		"with work":        {began{lost: moment.Add(-600 * time.Millisecond), at: moment, leases: 1}, 1, 1, 0.75},
		"idle":             {began{lost: moment.Add(-600 * time.Millisecond), at: moment}, 1, 0, 0},
		"the first leader": {began{at: moment, leases: 1}, 0, 0, 0},
	} {
		f := newFigures(prometheus.NewRegistry())
		f.leads(x.of)
		open := x.of
		f.firstTurn(&open, turn(-time.Second)) // of a leadership before
		f.firstTurn(&open, turn(100*time.Millisecond))
		f.firstTurn(&open, turn(time.Second))
		leading, turns := read(t, f.failover.WithLabelValues("leading")), read(t, f.failover.WithLabelValues("turn"))
		if leading.GetSampleCount() != x.leading || turns.GetSampleCount() != x.turns || turns.GetSampleSum() != x.sum {
			t.Errorf("%s: leading %v, first turn %v", name, leading, turns)
		}
	}
}

func read(t *testing.T, o prometheus.Observer) *dto.Histogram {
	t.Helper()
	var m dto.Metric
	if err := o.(prometheus.Histogram).Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.Histogram
}
