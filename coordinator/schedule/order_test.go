package schedule

import (
	"slices"
	"testing"

	"backfleet/pkg/wire"
)

// TestR4_6_ACompletedDateLetsTheNextBegin by itself, however it was completed.
func TestR4_6_ACompletedDateLetsTheNextBegin(t *testing.T) {
	for by, complete := range map[string]func(f *facts, id uint64){
		"a rerun":        func(f *facts, id uint64) { f.rerun(id, 0); f.run(id, 0, ok) },
		"set to success": func(f *facts, id uint64) { f.operate(id, wire.Operate_SET_TO_SUCCESS, 0) },
	} {
		t.Run(by, func(t *testing.T) {
			f := newFacts(t, daily("a"))
			id := f.submit(2, &wire.Request{Root: "a"})
			f.run(id, 0, failed)
			if got := f.grants(9); len(got) > 0 {
				t.Fatalf("after a failure %v start", got)
			}
			complete(f, id)
			if got, want := f.grants(9), []name{{id, 1}}; !slices.Equal(got, want) {
				t.Errorf("%v start, want %v", got, want)
			}
		})
	}
}

// TestR4_7_GroupsBoundDatesNotInstances: in one group of one date all starts
// that nothing else holds.
func TestR4_7_GroupsBoundDatesNotInstances(t *testing.T) {
	hours := &wire.Node{Id: "h", Code: "true", Schedule: &wire.Schedule{Kind: wire.Schedule_HOURLY, To: 2 * 3600, Every: 60}}
	f := newFacts(t, daily("root"), daily("a", "root"), daily("b", "root"), hours)
	id := f.submit(2, &wire.Request{Mode: wire.Request_ADVANCED, Nodes: []string{"root", "a", "b", "h"}, Groups: 1})
	p, _ := f.st.Plan(id)
	var want []name
	for n := range p.Nodes {
		if from, to := p.NodeRange(0, n); len(p.Nodes[n].Up) == 0 {
			for i := from; i < to; i++ {
				want = append(want, name{id, i})
			}
		}
	}
	got := f.grants(99)
	slices.SortFunc(got, func(a, b name) int { return int(a.instance) - int(b.instance) })
	if len(want) != 4 || !slices.Equal(got, want) {
		t.Errorf("%v start, want the root and the three hours %v", got, want)
	}
}

// TestR5_1_EachConditionHoldsByItself: an instance that could start, and then
// each thing that is required of it taken away.
func TestR5_1_EachConditionHoldsByItself(t *testing.T) {
	early := &wire.Period{Start: 0, End: 3600} // it is noon
	for lacks, c := range map[string]struct {
		request *wire.Request
		before  func(f *facts, id uint64)
		slots   int
		want    Kind
		starts  bool
	}{
		"nothing":      {&wire.Request{}, nil, 1, Nothing, true},
		"a slot":       {&wire.Request{}, nil, 0, Nothing, false},
		"its upstream": {&wire.Request{}, func(f *facts, id uint64) { f.rerun(id, 0) }, 9, Upstream, false},
		"its window":   {&wire.Request{Period: early}, nil, 9, Window, false},
		"its due time": {&wire.Request{NotBeforeMs: noon + 1}, nil, 9, Due, false},
		"a freeze":     {&wire.Request{}, func(f *facts, id uint64) { f.operate(id, wire.Operate_FREEZE, 1) }, 9, Frozen, false},
		"a pause":      {&wire.Request{}, func(f *facts, id uint64) { f.operate(id, wire.Operate_PAUSE) }, 9, PlanPaused, false},
	} {
		t.Run(lacks, func(t *testing.T) {
			f := newFacts(t, daily("a"), daily("b", "a"))
			c.request.Root = "a"
			id := f.submit(1, c.request)
			f.run(id, 0, ok)
			if c.before != nil {
				c.before(f, id)
			}
			if got := f.check(id, 1).Kind; got != c.want {
				t.Errorf("held by %d, want %d", got, c.want)
			}
			if got := slices.Contains(f.grants(c.slots), name{id, 1}); got != c.starts {
				t.Errorf("it starts: %v, want %v", got, c.starts)
			}
		})
	}
}
