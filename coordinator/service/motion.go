package service

import (
	v1 "backfleet/api/v1"
	"backfleet/coordinator/schedule"
	"backfleet/coordinator/state"
)

const dayMs = 24 * 3600 * 1000

// motion is what will go on by itself in one plan, within the budget of one
// request.
type motion struct {
	*reading
	*schedule.Motion
	p *state.Plan
}

func (r *reading) motion(p *state.Plan) *motion {
	return &motion{reading: r, Motion: schedule.NewMotion(r.st, p, r.nowMs, r.spend), p: p}
}

// date is the state shown of a position.
func (m *motion) date(pos int) v1.State { return shownWords[m.Date(pos)] }

// plan is the state shown of the whole plan.
func (m *motion) plan() v1.State { return shownWords[m.Plan()] }

// group is the state shown of a group, given its counts.
func (m *motion) group(g int, c state.Counts) v1.State { return shownWords[m.Group(g, c)] }

// shownCounts counts by the state shown.
func shownCounts(c state.Counts, timed int64) v1.StateCounts {
	waits := int64(c[state.Pending]) + int64(c[state.Retrying]) + int64(c[state.Again])
	out := v1.StateCounts{
		Running: int64(c[state.Running]), Succeeded: int64(c.Success()),
		Failed: int64(c[state.Failed]) + int64(c[state.Stopped]), Frozen: int64(c.Frozen()),
		WaitingTime: timed, NotRunning: waits - timed,
	}
	out.Total = waits + out.Running + out.Succeeded + out.Failed + out.Frozen
	return out
}
