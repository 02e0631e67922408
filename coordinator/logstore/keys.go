package logstore

import (
	"encoding/binary"
	"fmt"
	"time"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// Key names one attempt's log. The fence tells two attempts apart that a lost
// coordinator might have numbered alike.
type Key struct {
	Plan, Instance uint64
	Attempt        uint32
	Fence          uint64
}

// KeyOf is the key of the log of the attempt that ref names.
func KeyOf(ref *wire.AttemptRef) Key {
	return Key{Plan: ref.GetPlan(), Instance: ref.GetInstance(), Attempt: ref.GetAttempt(), Fence: ref.GetFence()}
}

// Ref is the key as the protocol writes it.
func (k Key) Ref() *wire.AttemptRef {
	return &wire.AttemptRef{Plan: k.Plan, Instance: k.Instance, Attempt: k.Attempt, Fence: k.Fence}
}

// String gives the attempt's id as people see it, with its fence.
func (k Key) String() string {
	return fmt.Sprintf("b%d.%d.%d (fence %d)", k.Plan, k.Instance, k.Attempt, k.Fence)
}

// Two kinds of entries are stored. A record says what of a log is here and in
// which day's bucket; a chunk is one zstd frame. The bucket comes before the
// log in a chunk's key, so that a day is one prefix and can be dropped whole.
// The size is in the key, not the value: two chunks of one offset and of
// different size must not replace each other.
const (
	recordTag = 'r' // r plan instance attempt fence
	chunkTag  = 'c' // c day plan instance attempt fence offset size

	keyBytes   = 8 + 8 + 4 + 8
	chunkBytes = 1 + 4 + keyBytes + 8 + 4
)

func (k Key) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, k.Plan)
	b = binary.BigEndian.AppendUint64(b, k.Instance)
	b = binary.BigEndian.AppendUint32(b, k.Attempt)
	return binary.BigEndian.AppendUint64(b, k.Fence)
}

func recordKey(k Key) []byte {
	return k.append(append(make([]byte, 0, 1+keyBytes), recordTag))
}

func chunkPrefix(day uint32, k Key) []byte {
	b := append(make([]byte, 0, chunkBytes), chunkTag)
	return k.append(binary.BigEndian.AppendUint32(b, day))
}

func chunkKey(day uint32, k Key, offset uint64, size uint32) []byte {
	b := binary.BigEndian.AppendUint64(chunkPrefix(day, k), offset)
	return binary.BigEndian.AppendUint32(b, size)
}

// rangeOf reads offset and size from a chunk's key.
func rangeOf(key []byte) (offset uint64, size uint32, ok bool) {
	if len(key) != chunkBytes {
		return 0, 0, false
	}
	tail := key[chunkBytes-12:]
	return binary.BigEndian.Uint64(tail), binary.BigEndian.Uint32(tail[8:]), true
}

func dayOf(t time.Time) uint32 { return uint32(t.Unix() / 86400) }

// record is what is known of one log on this coordinator. It is written in the
// same batch as the chunks it speaks of, after them.
type record struct {
	day   uint32 // bucket of all its chunks: the day on which the first came
	ended bool
	end   uint64 // length of the whole log, when ended
	have  coverage
}

const (
	recordVersion = 1
	flagEnded     = 1
)

func (r *record) encode() []byte {
	b := []byte{recordVersion, 0}
	if r.ended {
		b[1] = flagEnded
	}
	b = binary.BigEndian.AppendUint32(b, r.day)
	b = binary.AppendUvarint(b, r.end)
	at := uint64(0)
	for _, s := range r.have {
		b = binary.AppendUvarint(b, s.from-at)
		b = binary.AppendUvarint(b, s.to-s.from)
		at = s.to
	}
	return b
}

func decodeRecord(k Key, b []byte) (*record, error) {
	broken := func(why string) (*record, error) {
		return nil, fault.New(fault.Corrupt, "log of attempt %v: its record is broken (%s); stop this coordinator, remove its log folder and start it again: it fetches logs from its peers as they are read", k, why)
	}
	if len(b) < 6 || b[0] != recordVersion || b[1]&^flagEnded != 0 {
		return broken("unknown form")
	}
	r := &record{ended: b[1] == flagEnded, day: binary.BigEndian.Uint32(b[2:])}
	b = b[6:]
	next := func() (v uint64, ok bool) {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return 0, false
		}
		b = b[n:]
		return v, true
	}
	var ok bool
	if r.end, ok = next(); !ok {
		return broken("no end")
	}
	for at := uint64(0); len(b) > 0; {
		gap, ok1 := next()
		size, ok2 := next()
		from := at + gap
		if !ok1 || !ok2 || size == 0 || from < at || from+size < from || (gap == 0 && len(r.have) > 0) {
			return broken("its ranges do not add up")
		}
		at = from + size
		r.have = append(r.have, span{from, at})
	}
	return r, nil
}
