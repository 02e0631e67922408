package suite

import (
	"testing"
	"time"
)

func TestChangesOfLeadershipAreExplainedByKillsAndStalls(t *testing.T) {
	at := func(seconds float64) time.Time { return time.Unix(0, int64(seconds*1e9)) }
	s := &soak{
		kills:  []kill{{at: at(10), leader: true}, {at: at(20)}},
		stalls: []stall{{At: at(30.4), Ms: 400}, {At: at(50), Ms: 120}},
		changes: []change{
			{at(10.8), 2}, // the leader was killed
			{at(20.8), 3}, // a follower was: no reason
			{at(31), 4},   // the machine stood still from 30 on
			{at(49.5), 5}, // before it stood still
			{at(60), 6},   // long after
		},
	}
	if killed, stalled, unexplained := s.changesBy(); killed != 1 || stalled != 1 || unexplained != 3 {
		t.Errorf("killed %d, stalled %d, unexplained %d; expected 1, 1, 3", killed, stalled, unexplained)
	}
	if got := s.worstStall(); got != 400 {
		t.Errorf("worst stall %v, expected 400", got)
	}
}
