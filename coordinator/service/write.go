package service

import (
	"context"
	"slices"

	"backfleet/api/convert"
	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/coordinator/state"
	"backfleet/pkg/fault"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

func command(w server.Write) *wire.Command {
	return &wire.Command{
		Actor: w.Actor, RequestId: w.RequestID, RequestHash: w.Hash, Why: w.Why,
		Via: w.Via, From: w.From, Operation: w.Operation, IfMatch: w.IfMatch,
	}
}

// kept is the answer that a request with this key got before, nil when there
// was none; fault.Conflict when the key was used for another request. It asks
// the facts themselves, by an entry that would do nothing and is dropped: so a
// retry gets its answer also when the request could not be made any more.
func kept(st *state.State, w server.Write) (*wire.Answer, error) {
	c := command(w)
	c.NowMs, c.IfMatch = st.NowMs(), "" // nothing is changed
	c.Body = &wire.Command_Turn{Turn: &wire.Turn{}}
	_, r := st.Apply(st.Index()+1, c)
	return r.Answer, r.Err
}

// once makes a command a fact, unless its request was answered before, and
// gives the answer. make gives the command's body for the facts at hand.
func (s *Service) once(ctx context.Context, w server.Write, make func(st *state.State, c *wire.Command) error) (*wire.Answer, error) {
	st := s.Machine.State()
	answer, err := kept(st, w)
	if err != nil || answer != nil {
		return answer, err
	}
	c := command(w)
	if err := make(st, c); err != nil {
		return nil, err
	}
	index, r, err := s.Log.Propose(ctx, c)
	if err != nil {
		return nil, err
	}
	if r.Answer == nil {
		return nil, fault.New(fault.Internal, "log entry %d gave no answer", index)
	}
	return r.Answer, nil
}

// submission is a request with all that the log cannot know resolved.
func (s *Service) submission(st *state.State, w server.Write, request *wire.Request) (*wire.Submit, error) {
	today, err := s.today()
	if err != nil {
		return nil, err
	}
	zones, err := plan.Zones(request, st.Graph(), s.Zone, today, s.LoadZone)
	if err != nil {
		return nil, err
	}
	return &wire.Submit{
		Request: request, Zones: zones, Today: int32(today), ClusterZone: s.Zone, MaxGroups: s.MaxGroups,
		Restricted: w.Restricted, Workspaces: w.Workspaces,
	}, nil
}

// Submit implements server.Writes. The answer is made from the accepted plan,
// so that a retry gets the same one.
func (s *Service) Submit(ctx context.Context, w server.Write, request *wire.Request) (*v1.Submission, error) {
	began, asked := s.Now(), false
	answer, err := s.once(ctx, w, func(st *state.State, c *wire.Command) error {
		asked = true // else it was answered before
		if err := maySubmit(w, request); err != nil {
			return err
		}
		sub, err := s.submission(st, w, request)
		c.Body = &wire.Command_Submit{Submit: sub}
		return err
	})
	if err != nil {
		return nil, err
	}
	if asked && s.Submitted != nil {
		s.Submitted(answer.Plan, w.Traceparent, began)
	}
	p, err := s.read().plan(answer.Plan)
	if err != nil {
		return nil, err
	}
	return &v1.Submission{
		ID: plan.FormatID(p.ID), Name: p.Name, Totals: shownTotals(p.Totals()),
		Warnings: append(sentences(answer.Warnings), unknownChannels(s.Machine.State(), "notify", request.Notify)...), Index: answer.Index,
	}, nil
}

// Operate implements server.Writes.
func (s *Service) Operate(ctx context.Context, w server.Write, o server.BatchOperation) (*v1.OperationBatch, error) {
	answer, err := s.once(ctx, w, func(st *state.State, c *wire.Command) error {
		targets, err := withDescendants(st, o)
		if o.Failure != "" {
			targets, err = (&reading{st: st}).chosenFailures(o.Targets[0].Plan, o.Failure)
		}
		if err == nil {
			err = mayOperate(st, w, o.Kind, targets)
		}
		c.Body = &wire.Command_Operate{Operate: &wire.Operate{Kind: o.Kind, Targets: targets, Upstream: o.Upstream, Priority: o.Priority}}
		return err
	})
	if err != nil {
		return nil, err
	}
	r := s.read()
	out := &v1.OperationBatch{Backfills: []v1.Operation{}, Index: answer.Index, Instances: int64(answer.Instances)}
	var ids []uint64
	for _, t := range o.Targets {
		ids = append(ids, t.Plan)
	}
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		p, err := r.plan(id)
		if err != nil {
			return nil, err
		}
		out.Backfills = append(out.Backfills, v1.Operation{
			Backfill: plan.FormatID(id), Instances: changedBy(p, w, o.Kind), State: r.motion(p).plan(),
			Paused: p.Paused, Stopped: p.Stopped, Index: answer.Index,
		})
		if o.Failure != "" && answer.Instances >= state.MaxNamed {
			out.More = len(r.failed(p, o.Failure, 1)) > 0
		}
	}
	return out, nil
}

// changedBy is how many instances of a plan an operation changed, by the plan's
// log: of a retry too.
func changedBy(p *state.Plan, w server.Write, kind wire.Operate_Kind) int64 {
	for o := range newestFirst(p, 0) {
		if !o.Edit && o.Kind == kind && o.Actor == w.Actor && o.Why == w.Why {
			return int64(o.Count)
		}
	}
	return 0
}

// Operations implements server.Reads.
func (s *Service) Operations(_ context.Context, planID uint64, page server.Page) ([]v1.OperationRecord, server.Next, error) {
	const list = "operation"
	p, err := s.read().plan(planID)
	if err != nil {
		return nil, "", err
	}
	after, err := afterNumber(page, list)
	if err != nil {
		return nil, "", err
	}
	out := []v1.OperationRecord{}
	below := uint64(0)
	if after > 0 {
		below = after - 1 // newest first: on from the one named, downwards
		if below == 0 {
			return out, "", nil
		}
	}
	for o := range newestFirst(p, below) {
		switch {
		case len(out) == page.Limit:
			return out, numberCursor(list, out[len(out)-1].Number), nil
		default:
			out = append(out, convert.Operation(planID, o))
		}
	}
	return out, "", nil
}
