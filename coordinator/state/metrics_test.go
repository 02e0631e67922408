package state

import (
	"slices"
	"strings"
	"testing"

	"backfleet/pkg/wire"
)

func metric(name, value string) *wire.Metric { return &wire.Metric{Name: name, Value: value} }

// ends finishes a running instance with metrics.
func (m *machine) ends(plan, instance uint64, o wire.Outcome, metrics ...*wire.Metric) {
	m.t.Helper()
	l, ok := m.s.Lease(plan, instance)
	if !ok {
		m.t.Fatalf("%d.%d does not run", plan, instance)
	}
	m.must(turn(&wire.Turn{Finishes: []*wire.Finish{{
		Plan: plan, Instance: instance, Fence: l.Fence, Outcome: o, StartedMs: m.now, EndedMs: m.now + 5, Metrics: metrics,
	}}}))
}

func TestMetricsStayWithTheirAttempt(t *testing.T) {
	flaky := daily("a")
	flaky.Retries = 3
	m := ready(t, flaky)
	m.must(submit(current("a", 5)))
	m.grant(1, 0)
	m.ends(1, 0, wire.Outcome_FAILED, metric("rows_written", "17"), metric("checksum", "ab:cd ef"))
	m.grant(1, 2) // a neighbour in the same chunk
	m.ends(1, 2, wire.Outcome_SUCCEEDED, metric("bytes", "1"))
	m.grant(1, 0)
	m.ends(1, 0, wire.Outcome_FAILED)
	m.must(rerun(1, 2))
	m.grant(1, 0)
	m.ends(1, 0, wire.Outcome_SUCCEEDED, metric("rows_written", "-1.5e3"))
	m.must(op(wire.Operate_FREEZE, of(1, 2))) // tells from the history as what it waited
	m.must(op(wire.Operate_UNFREEZE, of(1, 2)))
	m.status(1, 2, Again)
	for _, s := range []*State{m.s, restored(t, m.s)} {
		p, _ := s.Plan(1)
		var got []string
		for _, i := range []uint64{0, 2} {
			for _, a := range s.Attempts(p, i) {
				got = append(got, metricText(a.Metrics))
			}
		}
		if want := []string{"rows_written=17;checksum=ab:cd ef;", "", "rows_written=-1.5e3;", "bytes=1;"}; !slices.Equal(got, want) {
			t.Errorf("got %q, expected %q", got, want)
		}
		if n := len(p.Marks(2)); n != 3 || p.Marks(2)[2].Attempts != 1 {
			t.Errorf("marks of the neighbour: %v", p.Marks(2))
		}
	}
}

// TestWithoutMetricsNothingIsWritten: the history of all the others is as it was.
func TestWithoutMetricsNothingIsWritten(t *testing.T) {
	size := func(metrics ...*wire.Metric) int {
		m := ready(t, daily("a"))
		m.must(submit(current("a", 1)))
		m.grant(1, 0)
		m.ends(1, 0, wire.Outcome_SUCCEEDED, metrics...)
		return len(m.plan(1).history.get(0).bytes)
	}
	none := size()
	if n := size(metric("bad name", "1")); n != none {
		t.Errorf("%d bytes where nothing is kept, %d where nothing was reported", n, none)
	}
	if n := size(metric("rows", "17")); n != none+3+1+4+1+2 {
		t.Errorf("one metric takes %d bytes", n-none)
	}
}

func TestKeptMetricsAreBounded(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	var many []*wire.Metric
	for i := range MaxMetrics + 1 {
		many = append(many, metric("m"+strings.Repeat("x", i), "1"))
	}
	for name, c := range map[string]struct{ list, want []*wire.Metric }{
		"none":                 {},
		"as it is":             {[]*wire.Metric{metric("b", "2"), metric("a", "1")}, []*wire.Metric{metric("b", "2"), metric("a", "1")}},
		"too many":             {many, many[:MaxMetrics]},
		"a name twice":         {[]*wire.Metric{metric("a", "1"), metric("a", "2"), metric("b", "3")}, []*wire.Metric{metric("a", "1"), metric("b", "3")}},
		"all of the room":      {[]*wire.Metric{metric("a", long(MaxMetricBytes-1))}, []*wire.Metric{metric("a", long(MaxMetricBytes-1))}},
		"more than there is":   {[]*wire.Metric{metric("a", long(MaxMetricBytes)), metric("b", "1")}, []*wire.Metric{metric("b", "1")}},
		"together":             {[]*wire.Metric{metric("a", long(1500)), metric("b", long(1500)), metric("c", "1")}, []*wire.Metric{metric("a", long(1500)), metric("c", "1")}},
		"a line break":         {[]*wire.Metric{metric("a", "1\n2")}, nil},
		"no UTF-8":             {[]*wire.Metric{metric("a", "\xff")}, nil},
		"no value":             {[]*wire.Metric{metric("a", "")}, nil},
		"a digit first":        {[]*wire.Metric{metric("1a", "1")}, nil},
		"a name that is long":  {[]*wire.Metric{metric(long(65), "1"), metric(long(64), "2")}, []*wire.Metric{metric(long(64), "2")}},
		"letters of all kinds": {[]*wire.Metric{metric("größe", "1"), metric("name", "größe")}, []*wire.Metric{metric("name", "größe")}},
	} {
		got := KeptMetrics(c.list)
		if metricText(got) != metricText(c.want) {
			t.Errorf("%s: %d are kept, expected %d: %s", name, len(got), len(c.want), metricText(got))
		}
		if again := KeptMetrics(got); metricText(again) != metricText(got) {
			t.Errorf("%s: of what is kept, %d are", name, len(again))
		}
	}
}

// TestExpiredPlansTakeTheirMetricsAlong: nothing of them is beside the plan.
func TestExpiredPlansTakeTheirMetricsAlong(t *testing.T) {
	m := ready(t, daily("a"))
	m.must(submit(current("a", 1)))
	m.grant(1, 0)
	m.ends(1, 0, wire.Outcome_SUCCEEDED, metric("rows", "17"))
	m.must(expire(1))
	if _, ok := m.s.Plan(1); ok {
		t.Fatal("the plan is there still")
	}
	if restored(t, m.s).Hash() != m.s.Hash() {
		t.Error("it cannot be written and read again")
	}
}
