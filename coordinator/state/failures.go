package state

import (
	"encoding/binary"

	"backfleet/pkg/wire"
)

// EachFailed calls f for the instances in a half-open range of numbers whose status
// is in a set, until it returns false, with the last attempt of each that has ended
// (nil: none has). The history of neighbours is gone through once.
func (s *State) EachFailed(p *Plan, from, to uint64, in Statuses, f func(instance uint64, last *Attempt) bool) {
	var last [chunkSize]*Attempt
	known := uint64(1) << 63 // chunk of which last is: none
	for i := from; ; i++ {
		var ok bool
		if i, ok = p.Next(i, to, in); !ok {
			return
		}
		if n := i >> chunkBits; n != known {
			known = n
			s.lastAttempts(p, n, &last)
		}
		if !f(i, last[i&chunkMask]) {
			return
		}
	}
}

// lastAttempts reads the last attempts of a chunk's instances that have ended.
func (s *State) lastAttempts(p *Plan, chunk uint64, last *[chunkSize]*Attempt) {
	clear(last[:])
	b := p.history.get(chunk).bytes
	for len(b) > 0 {
		slot, kind := b[0], b[1]
		rest := b[2:]
		switch kind {
		case kindRerun:
			b = rest
		case kindMark:
			_, b = cutUvarint(rest)
		case kindMetrics:
			_, b = cutSized(rest)
		default:
			var r historyRecord
			b = r.decode(rest, p.AcceptedMs)
			r.attempt.Outcome = wire.Outcome(kind)
			r.attempt.Agent = s.agentNames.cells.get(r.agent)
			last[slot] = &r.attempt
		}
	}
}

func cutUvarint(b []byte) (uint64, []byte) {
	v, n := binary.Uvarint(b)
	return v, b[n:]
}
