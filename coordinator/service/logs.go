package service

import (
	"context"

	"backfleet/api/server"
	"backfleet/coordinator/logstore"
	"backfleet/coordinator/state"
	"backfleet/pkg/fault"
	"backfleet/pkg/plan"
)

// logKey finds the log that ref means, with its fence. NotFound: there is no
// such attempt; waiting tells that the first may still come.
func (r *reading) logKey(ref server.LogRef) (key logstore.Key, waiting bool, err error) {
	p, err := r.plan(ref.Plan)
	if err != nil {
		return logstore.Key{}, false, err
	}
	id := plan.FormatInstance(ref.Plan, ref.Instance)
	if ref.Instance >= p.Size() {
		return logstore.Key{}, false, fault.New(fault.NotFound, "there is no instance %s: backfill %s has %d, numbered from 0", id, plan.FormatID(ref.Plan), p.Size())
	}
	key = logstore.Key{Plan: ref.Plan, Instance: ref.Instance}
	if l, ok := r.st.Lease(ref.Plan, ref.Instance); ok && (ref.Attempt == 0 || ref.Attempt == l.Attempt) {
		key.Attempt, key.Fence = l.Attempt, l.Fence
		return key, false, nil
	}
	attempts := r.st.Attempts(p, ref.Instance)
	for k := len(attempts) - 1; k >= 0; k-- {
		if a := attempts[k]; ref.Attempt == 0 || ref.Attempt == a.Number {
			key.Attempt, key.Fence = a.Number, a.Fence
			return key, false, nil
		}
	}
	if ref.Attempt > 0 {
		return key, false, fault.New(fault.NotFound, "instance %s has no attempt %d: it has %d", id, ref.Attempt, len(attempts))
	}
	switch status := p.Status(ref.Instance); {
	case status == state.DryRun:
		return key, false, fault.New(fault.NotFound, "instance %s has no log: it was a dry run", id)
	case status.Success() || status.Failure():
		return key, false, fault.New(fault.NotFound, "instance %s has no log: it ended without having run", id)
	}
	return key, true, fault.New(fault.NotFound, "instance %s has not run yet, so there is no log", id)
}

// ReadLog implements server.Logs.
func (s *Service) ReadLog(ctx context.Context, ref server.LogRef, offset uint64, limit int) (server.LogRange, error) {
	key, _, err := s.read().logKey(ref)
	if err != nil {
		return server.LogRange{}, err
	}
	out := server.LogRange{Attempt: key.Attempt, Offset: offset}
	if limit > 0 {
		var next uint64
		if out.Data, next, _, err = s.Logs.Read(ctx, key, offset, limit); err != nil {
			return server.LogRange{}, err
		}
		out.Offset = next - uint64(len(out.Data)) // behind what was cleared
	}
	// After the bytes: what was read is among what is kept.
	size, ended, err := s.Logs.Size(ctx, key, limit == 0)
	if err != nil {
		return server.LogRange{}, err
	}
	if offset > size && ended {
		return server.LogRange{}, fault.Field("offset", "the log has %d bytes: expected an offset up to that", size)
	}
	// While a log grows, this coordinator's copy may end before what another one
	// has shown already: nothing more is known then, which is no mistake.
	out.Size = max(size, offset)
	out.Complete = ended && out.Offset+uint64(len(out.Data)) == out.Size
	return out, nil
}

// FollowLog implements server.Logs.
func (s *Service) FollowLog(ctx context.Context, ref server.LogRef, offset uint64, send func(server.LogRange) error) error {
	key, err := s.awaitLog(ctx, ref)
	if err != nil {
		return err
	}
	next := offset
	err = s.Logs.Follow(ctx, key, offset, func(from uint64, data []byte) error {
		r := server.LogRange{Attempt: key.Attempt, Offset: from, Data: data, Size: from + uint64(len(data))}
		next = r.Size
		return send(r)
	})
	if err != nil {
		return err
	}
	return send(server.LogRange{Attempt: key.Attempt, Offset: next, Size: next, Complete: true})
}

// awaitLog waits for an instance's first attempt when none was asked for by
// number.
func (s *Service) awaitLog(ctx context.Context, ref server.LogRef) (logstore.Key, error) {
	for {
		news := s.hub.news()
		key, waiting, err := s.read().logKey(ref)
		if err == nil || !waiting {
			return key, err
		}
		if s.hub.ended() {
			return key, errStopping()
		}
		select {
		case <-news:
		case <-ctx.Done():
			return key, ctx.Err()
		}
	}
}
