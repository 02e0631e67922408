package state

import (
	"encoding/binary"
	"slices"

	"backfleet/pkg/wire"
)

// Attempt is one finished execution of an instance.
type Attempt struct {
	Number    uint32 // from 1
	Outcome   wire.Outcome
	Fence     uint64
	Agent     string
	GrantedMs int64
	StartedMs int64 // by the agent's clock; 0 when it never said
	EndedMs   int64 // by the agent's clock
	SettledMs int64 // when the end was recorded, by the leader's clock
	ExitCode  int32
	Version   uint64 // of the node's code
	Cause     string
	Metrics   []*wire.Metric // that its code reported, see KeptMetrics
}

// A history is what became of the instances of one chunk, a record after the
// other in the order in which they came:
//
//	slot, kind, then for an attempt the varints below, for a mark the number
//	of the operation, for metrics their size and they themselves
//
// Metrics stand right behind the attempt that reported them; one that reported
// none has no such record.
//
// Finished attempts are many and seldom read, so they are kept in about twenty
// bytes each; times are relative to each other and to the plan's acceptance.
type history struct {
	owner *mark // of the bytes and of what lies behind them
	bytes []byte
}

const (
	kindRerun   = 0   // a person asked to run it again: retries count from here
	kindMetrics = 254 // of the attempt before
	kindMark    = 255 // an operation of the plan's log changed the instance
)

// Mark says that an operation changed an instance (RULES R9, R13.6).
type Mark struct {
	Operation uint64 // its number in the plan's log
	Attempts  uint32 // how many attempts had ended before
}

// recordRoom is what most records take at most: an attempt without a cause.
const recordRoom = 32

// own makes the bytes the edit's own and leaves room for the next record: an
// older State may share them, and two edits that began with one State would
// write behind them both. The room is kept small, since it stays: what append
// takes would leave a third of the memory of all history empty.
func (h *history) own(m *mark, room int) {
	grow := room
	if h.owner == m {
		if cap(h.bytes)-len(h.bytes) >= room {
			return
		}
		grow += len(h.bytes) / 4 // it has many records in this edit
	}
	h.bytes = append(make([]byte, 0, len(h.bytes)+grow), h.bytes...)
	h.owner = m
}

type historyRecord struct {
	rerun   bool
	mark    uint64 // number of an operation; 0: the record is none
	attempt Attempt
	agent   uint64 // number, see agentNames
}

func appendAttempt(b []byte, slot uint64, a *Attempt, agent uint64, acceptedMs int64) []byte {
	b = append(b, byte(slot), byte(a.Outcome))
	b = binary.AppendUvarint(b, uint64(a.Number))
	b = binary.AppendUvarint(b, a.Fence)
	b = binary.AppendUvarint(b, agent)
	b = binary.AppendVarint(b, a.GrantedMs-acceptedMs)
	b = binary.AppendVarint(b, a.StartedMs-a.GrantedMs)
	b = binary.AppendVarint(b, a.EndedMs-a.StartedMs)
	b = binary.AppendVarint(b, a.SettledMs-a.EndedMs)
	b = binary.AppendVarint(b, int64(a.ExitCode))
	b = binary.AppendUvarint(b, a.Version)
	b = binary.AppendUvarint(b, uint64(len(a.Cause)))
	b = append(b, a.Cause...)
	return appendMetrics(b, slot, a.Metrics)
}

func appendRerun(b []byte, slot uint64) []byte { return append(b, byte(slot), kindRerun) }

func appendMark(b []byte, slot, operation uint64) []byte {
	return binary.AppendUvarint(append(b, byte(slot), kindMark), operation)
}

// eachRecord decodes the records of one slot and skips the others.
func eachRecord(b []byte, slot uint64, acceptedMs int64, f func(*historyRecord)) {
	for len(b) > 0 {
		at, kind := uint64(b[0]), b[1]
		b = b[2:]
		switch {
		case kind == kindMark:
			n, k := binary.Uvarint(b)
			b = b[k:]
			if at == slot {
				f(&historyRecord{mark: n})
			}
		case kind == kindMetrics: // of another's attempt
			_, b = cutSized(b)
		case at != slot && kind != kindRerun:
			b = skipAttempt(b)
		case at != slot:
		case kind == kindRerun:
			f(&historyRecord{rerun: true})
		default:
			var r historyRecord
			b = r.decode(b, acceptedMs)
			r.attempt.Outcome = wire.Outcome(kind)
			if len(b) > 0 && b[1] == kindMetrics {
				var own []byte
				own, b = cutSized(b[2:])
				r.attempt.Metrics = readMetrics(own)
			}
			f(&r)
		}
	}
}

func (r *historyRecord) decode(b []byte, acceptedMs int64) []byte {
	u := func() uint64 { v, n := binary.Uvarint(b); b = b[n:]; return v }
	s := func() int64 { v, n := binary.Varint(b); b = b[n:]; return v }
	a := &r.attempt
	a.Number = uint32(u())
	a.Fence = u()
	r.agent = u()
	a.GrantedMs = s() + acceptedMs
	a.StartedMs = s() + a.GrantedMs
	a.EndedMs = s() + a.StartedMs
	a.SettledMs = s() + a.EndedMs
	a.ExitCode = int32(s())
	a.Version = u()
	n := u()
	a.Cause = string(b[:n])
	return b[n:]
}

// skipAttempt steps over nine numbers and the text whose length is the tenth.
func skipAttempt(b []byte) []byte {
	for range 9 {
		b = b[1+slices.IndexFunc(b, func(c byte) bool { return c < 0x80 }):]
	}
	n, k := binary.Uvarint(b)
	return b[k+int(n):]
}

// before tells what instances waited as before they were frozen: Pending,
// Retrying or Again. It remembers the chunk it was asked about last, so that
// neighbours are told in one walk over their history. Marks change nothing of
// what it says.
type before struct {
	plan  uint64
	chunk uint64
	known bool
	was   [chunkSize]Status
}

func (w *before) of(p *Plan, instance uint64) Status {
	if n := instance >> chunkBits; !w.known || w.plan != p.ID || w.chunk != n {
		*w = before{plan: p.ID, chunk: n, known: true}
		w.read(p.history.get(n).bytes)
	}
	return w.was[instance&chunkMask]
}

func (w *before) read(b []byte) {
	for len(b) > 0 {
		slot, kind := b[0], b[1]
		b = b[2:]
		switch kind {
		case kindMark:
			_, n := binary.Uvarint(b)
			b = b[n:]
		case kindMetrics:
			_, b = cutSized(b)
		case kindRerun:
			w.was[slot] = Again
		case byte(wire.Outcome_FAILED), byte(wire.Outcome_TIMED_OUT):
			w.was[slot] = Retrying
			b = skipAttempt(b)
		default:
			w.was[slot] = Again
			b = skipAttempt(b)
		}
	}
}

// Marks lists the operations that changed an instance, oldest first.
func (p *Plan) Marks(instance uint64) []Mark {
	var out []Mark
	attempts := uint32(0)
	p.records(instance, func(r *historyRecord) {
		switch {
		case r.mark > 0:
			out = append(out, Mark{r.mark, attempts})
		case !r.rerun:
			attempts++
		}
	})
	return out
}

// Operations lists what people did to the plan and its instances, oldest
// first.
func (p *Plan) Operations() []*wire.Operation {
	out := make([]*wire.Operation, 0, p.log.Len())
	p.log.Root().Walk(func(_ []byte, o *wire.Operation) bool {
		out = append(out, o)
		return false
	})
	return out
}

// Operation finds a line of the plan's log.
func (p *Plan) Operation(number uint64) (*wire.Operation, bool) { return p.log.Get(key1(number)) }
