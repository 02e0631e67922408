package service

import (
	"context"

	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/coordinator/state"
	"backfleet/pkg/fault"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

func command(w server.Write) *wire.Command {
	return &wire.Command{Actor: w.Actor, RequestId: w.RequestID, RequestHash: w.Hash, Why: w.Why}
}

// kept is the answer that a request with this key got before, nil when there
// was none; fault.Conflict when the key was used for another request. It asks
// the facts themselves, by an entry that would do nothing and is dropped: so a
// retry gets its answer also when the request could not be made any more.
func kept(st *state.State, w server.Write) (*wire.Answer, error) {
	c := command(w)
	c.NowMs = st.NowMs()
	c.Body = &wire.Command_Turn{Turn: &wire.Turn{}}
	_, r := st.Apply(st.Index()+1, c)
	return r.Answer, r.Err
}

// propose makes a command a fact and gives its answer.
func (s *Service) propose(ctx context.Context, c *wire.Command) (*wire.Answer, *state.Result, error) {
	index, r, err := s.Log.Propose(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	if r.Answer == nil {
		return nil, nil, fault.New(fault.Internal, "log entry %d gave no answer", index)
	}
	return r.Answer, r, nil
}

// submission is a request with all that the log cannot know resolved.
func (s *Service) submission(st *state.State, request *wire.Request) (*wire.Submit, error) {
	today, err := s.today()
	if err != nil {
		return nil, err
	}
	zones, err := plan.Zones(request, st.Graph(), s.Zone, today, s.LoadZone)
	if err != nil {
		return nil, err
	}
	return &wire.Submit{Request: request, Zones: zones, Today: int32(today), ClusterZone: s.Zone}, nil
}

// Submit implements server.Writes. The answer is made from the accepted plan,
// so that a retry gets the same one.
func (s *Service) Submit(ctx context.Context, w server.Write, request *wire.Request) (*v1.Submission, error) {
	st := s.Machine.State()
	answer, err := kept(st, w)
	if err != nil {
		return nil, err
	}
	if answer == nil {
		sub, err := s.submission(st, request)
		if err != nil {
			return nil, err
		}
		c := command(w)
		c.Body = &wire.Command_Submit{Submit: sub}
		if answer, _, err = s.propose(ctx, c); err != nil {
			return nil, err
		}
	}
	p, err := s.read().plan(answer.Plan)
	if err != nil {
		return nil, err
	}
	return &v1.Submission{
		ID: plan.FormatID(p.ID), Name: p.Name, Totals: previewTotals(p.Plan, p.AcceptedMs),
		Warnings: warnings(answer.Warnings, ""), Index: answer.Index,
	}, nil
}

// operatePlan stops, pauses or resumes a plan.
func (s *Service) operatePlan(ctx context.Context, w server.Write, planID uint64, kind wire.PlanOperation_Kind) (*v1.Operation, error) {
	c := command(w)
	c.Body = &wire.Command_PlanOperation{PlanOperation: &wire.PlanOperation{Plan: planID, Kind: kind}}
	touched := func(p *state.Plan, r *state.Result) int {
		if kind == wire.PlanOperation_STOP {
			return p.Active() + moved(r)
		}
		return moved(r)
	}
	return s.operation(ctx, w, c, touched)
}

// rerun runs instances again, or the failed ones and what they blocked.
func (s *Service) rerun(ctx context.Context, w server.Write, planID uint64, instances []uint64, failed bool) (*v1.Operation, error) {
	c := command(w)
	c.Body = &wire.Command_Rerun{Rerun: &wire.Rerun{Plan: planID, Instances: instances, Failed: failed}}
	touched := func(_ *state.Plan, r *state.Result) int {
		if failed {
			return moved(r)
		}
		named := map[uint64]struct{}{}
		for _, i := range instances {
			named[i] = struct{}{}
		}
		return len(named)
	}
	return s.operation(ctx, w, c, touched)
}

// operation proposes what changes a plan, unless it was answered before, and
// shows the plan as it is then.
func (s *Service) operation(ctx context.Context, w server.Write, c *wire.Command, touched func(*state.Plan, *state.Result) int) (*v1.Operation, error) {
	answer, err := kept(s.Machine.State(), w)
	if err != nil {
		return nil, err
	}
	result := &state.Result{}
	if answer == nil {
		if answer, result, err = s.propose(ctx, c); err != nil {
			return nil, err
		}
	}
	r := s.read()
	p, err := r.plan(answer.Plan)
	if err != nil {
		return nil, err
	}
	return &v1.Operation{
		Backfill: plan.FormatID(p.ID), Instances: int64(touched(p, result)), State: r.motion(p).plan(),
		Paused: p.Paused, Stopped: p.Stopped, Index: answer.Index,
	}, nil
}

// moved counts the instances that an entry changed.
func moved(r *state.Result) int {
	n := 0
	for _, c := range r.Changes {
		if c.Kind == state.InstanceChanged {
			n++
		}
	}
	return n
}
