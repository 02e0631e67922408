package state

import (
	"google.golang.org/protobuf/proto"

	iradix "github.com/hashicorp/go-immutable-radix/v2"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// Bounds of the audit (RULES R15.4).
const (
	maxAudit      = 100_000
	maxAuditBytes = 64 << 20
	maxAuditText  = 4 << 10 // bytes of each of target, before, after, why and message
	maxAuditWord  = 1000    // bytes of each other
)

// auditLog is the newest records of what people did.
type auditLog struct {
	records *iradix.Tree[*wire.AuditRecord] // by number
	newest  uint64                          // number of the newest there ever was; 0: none
	bytes   int
}

// next is the number of the next record, as a snapshot has it: 0 while there was
// none.
func (a *auditLog) next() uint64 {
	if a.newest == 0 {
		return 0
	}
	return a.newest + 1
}

// add gives the record its number, and lets go of the oldest ones beyond the
// bounds.
func (a *auditLog) add(r *wire.AuditRecord) {
	a.newest++
	r.Number = a.newest
	a.keep(r)
	for a.records.Len() > maxAudit || a.bytes > maxAuditBytes {
		k, oldest, _ := a.records.Root().Minimum()
		a.records, _, _ = a.records.Delete(k)
		a.bytes -= proto.Size(oldest)
	}
}

func (a *auditLog) keep(r *wire.AuditRecord) {
	a.records, _, _ = a.records.Insert(key1(r.Number), r)
	a.bytes += proto.Size(r)
}

// Audit calls f for the records of what people did, from the newest below a
// number (0: the newest of all) to the oldest, until it returns false.
func (s *State) Audit(below uint64, f func(*wire.AuditRecord) bool) {
	it := s.audit.records.Root().ReverseIterator()
	if below > 0 {
		it.SeekReverseLowerBound(key1(below - 1))
	}
	for _, r, ok := it.Previous(); ok; _, r, ok = it.Previous() {
		if !f(r) {
			return
		}
	}
}

// AuditFrom calls f for the records from a number on, until it returns false.
func (s *State) AuditFrom(number uint64, f func(*wire.AuditRecord) bool) {
	it := s.audit.records.Root().Iterator()
	it.SeekLowerBound(key1(number))
	for _, r, ok := it.Next(); ok; _, r, ok = it.Next() {
		if !f(r) {
			return
		}
	}
}

// recorded notes in a new State what a person's command came to. It is the one
// place where that is done: nothing that a person changes passes it by. That
// somebody is not permitted is for whoever tells them to have recorded, with
// what never reached the log (Refusals).
func (s *State) recorded(c *wire.Command, before *State, what subject, r Result) {
	if c.Via == "" || fault.Is(r.Err, fault.Denied) {
		return
	}
	if b, ok := c.Body.(*wire.Command_Submit); ok {
		what = submitted(b.Submit, r.Answer)
	}
	out := &wire.AuditRecord{
		Index: s.index, AtMs: s.nowMs, Actor: cut(c.Actor, maxAuditWord), Via: cut(c.Via, maxAuditWord), From: cut(c.From, maxAuditWord), Operation: cut(c.Operation, maxAuditWord),
		RequestId: cut(c.RequestId, maxAuditWord), Target: cut(what.String(), maxAuditText), Why: cut(c.Why, maxAuditText),
	}
	if r.Err != nil {
		out.Code, out.Message = string(fault.CodeOf(r.Err)), cut(r.Err.Error(), maxAuditText)
	} else {
		out.Count = r.Answer.GetInstances()
		for _, n := range r.Answer.GetNodes() {
			if n.Kind != wire.NodeChange_UNCHANGED {
				out.Count++
			}
		}
		out.Before, out.After = cut(before.told(c, what), maxAuditText), cut(s.toldAfter(c, what), maxAuditText)
	}
	s.audit.add(out)
}

// refusals records that people were not let do something.
func (e *Edit) refusals(list *wire.Refusals) {
	add := func(r *wire.AuditRecord) {
		r.Index = e.s.index
		r.AtMs = min(e.s.nowMs, r.AtMs)
		e.s.audit.add(r)
	}
	for _, r := range list.Refusals {
		add(&wire.AuditRecord{
			AtMs: r.AtMs, Actor: cut(r.Actor, maxAuditWord), Via: cut(r.Via, maxAuditWord), From: cut(r.From, maxAuditWord), Operation: cut(r.Operation, maxAuditWord), Target: cut(r.Target, maxAuditText),
			Code: cut(r.Code, maxAuditWord), Message: cut(r.Message, maxAuditText), RequestId: cut(r.RequestId, maxAuditWord),
		})
	}
	if list.Omitted > 0 {
		add(&wire.AuditRecord{
			AtMs: e.s.nowMs, Code: string(fault.Denied), Count: list.Omitted, Message: "more was refused at the same time than is recorded one by one",
		})
	}
}
