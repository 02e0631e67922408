package service

import (
	"context"

	"backfleet/api/convert"
	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// auditLook is how many records one request looks at.
const auditLook = 20_000

// Audit implements server.People.
func (s *Service) Audit(_ context.Context, f server.AuditFilter, page server.Page) ([]v1.AuditRecord, server.Next, error) {
	list := "audit-"
	if f.Ascending {
		list = "audit"
	}
	last, err := afterNumber(page, list) // one more than the last that was looked at
	if err != nil {
		return nil, "", err
	}
	out, next := []v1.AuditRecord{}, ""
	looked, seen := 0, uint64(0)
	look := func(r *wire.AuditRecord) bool {
		if len(out) == page.Limit || looked == auditLook {
			next = numberCursor(list, seen)
			return false
		}
		looked, seen = looked+1, r.Number
		if agreesWith(&f, r) {
			out = append(out, convert.AuditRecord(r))
		}
		return true
	}
	st := s.Machine.State()
	switch {
	case f.Ascending:
		st.AuditFrom(last, look)
	case last == 0:
		st.Audit(0, look)
	case last > 1: // below the one that was looked at
		st.Audit(last-1, look)
	}
	return out, next, nil
}

// done is what a filter calls records of what was not refused.
const done = "ok"

func agreesWith(f *server.AuditFilter, r *wire.AuditRecord) bool {
	is := func(want, got string) bool { return want == "" || want == got }
	code := r.Code
	if code == "" {
		code = done
	}
	at := moment(r.AtMs)
	return is(f.Actor, r.Actor) && is(f.Via, r.Via) && is(f.Operation, r.Operation) && is(f.Code, code) &&
		(f.From == nil || !at.Before(*f.From)) && (f.To == nil || at.Before(*f.To)) &&
		(f.Target == "" || matches(f.Target, r.Target)) &&
		(f.Contains == "" || matches(f.Contains, r.Actor, r.Via, r.From, r.Operation, r.Target, r.Before, r.After, r.Why, r.Message, r.RequestId))
}

// RecordRefusals implements server.People.
func (s *Service) RecordRefusals(ctx context.Context, refusals []*wire.Refusal, omitted uint64) error {
	if _, self := s.Log.Leader(); !self {
		return fault.New(fault.Unavailable, "this coordinator does not lead: only who does can record refusals")
	}
	_, _, err := s.Log.Propose(ctx, &wire.Command{Body: &wire.Command_Refusals{Refusals: &wire.Refusals{Refusals: refusals, Omitted: omitted}}})
	return err
}
