package schedule

import "testing"

// TestR5_3_AnAutoInstanceThatNeverRanHoldsTheNextDate: stopped before it ever
// ran, it has no newest run that could stand for it.
func TestR5_3_AnAutoInstanceThatNeverRanHoldsTheNextDate(t *testing.T) {
	a := onItself(daily("a"))
	a.Auto = true
	f := newFacts(t, a)
	before, id := f.generate(int32(today)-1), f.generate(int32(today))
	f.operate(before, stopped, 0)
	if b := f.check(id, 0); b.Kind != Predecessor || b.Plan != before {
		t.Errorf("%+v: expected to wait for the stopped instance of the date before", b)
	}
}
