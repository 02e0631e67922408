package state

import (
	"encoding/binary"

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
	EndedMs   int64
	ExitCode  int32
	Version   uint64 // of the node's code
	Cause     string
}

// The history of the instances of one chunk is one string of bytes, a record
// after the other in the order in which they came:
//
//	slot, kind, then for an attempt the varints below
//
// Finished attempts are many and seldom read, so they are kept in about twenty
// bytes each; times are relative to the plan's acceptance.
const kindRerun = 0 // a person asked to run it again: retries count from here

type historyRecord struct {
	rerun   bool
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
	b = binary.AppendVarint(b, int64(a.ExitCode))
	b = binary.AppendUvarint(b, a.Version)
	b = binary.AppendUvarint(b, uint64(len(a.Cause)))
	return append(b, a.Cause...)
}

func appendRerun(b []byte, slot uint64) []byte { return append(b, byte(slot), kindRerun) }

// eachRecord decodes the records of one slot.
func eachRecord(b []byte, slot uint64, acceptedMs int64, f func(*historyRecord)) {
	for len(b) > 0 {
		at, kind := uint64(b[0]), b[1]
		b = b[2:]
		r := historyRecord{rerun: kind == kindRerun}
		if !r.rerun {
			a := &r.attempt
			u := func() uint64 { v, n := binary.Uvarint(b); b = b[n:]; return v }
			s := func() int64 { v, n := binary.Varint(b); b = b[n:]; return v }
			a.Outcome = wire.Outcome(kind)
			a.Number = uint32(u())
			a.Fence = u()
			r.agent = u()
			a.GrantedMs = s() + acceptedMs
			a.StartedMs = s() + a.GrantedMs
			a.EndedMs = s() + a.StartedMs
			a.ExitCode = int32(s())
			a.Version = u()
			n := u()
			a.Cause, b = string(b[:n]), b[n:]
		}
		if at == slot {
			f(&r)
		}
	}
}
