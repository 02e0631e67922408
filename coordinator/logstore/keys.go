package logstore

import (
	"encoding/binary"
	"fmt"
	"log/slog"
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

// LogValue is how logs name the attempt, agents' ones too: "b12.345.1-f77".
func (k Key) LogValue() slog.Value {
	return slog.StringValue(fmt.Sprintf("b%d.%d.%d-f%d", k.Plan, k.Instance, k.Attempt, k.Fence))
}

// Two kinds of entries are stored, beside those that say when they were last
// swept and filled up. A record says what of a log is here and in
// which day's bucket; a chunk is one zstd frame. The bucket comes before the
// log in a chunk's key, so that a day is one prefix and can be dropped whole.
// The size is in the key, not the value: two chunks of one offset and of
// different size must not replace each other.
const (
	recordTag = 'r' // r plan instance attempt fence
	chunkTag  = 'c' // c day plan instance attempt fence offset size
	sweptTag  = 's' // s: when the store was last swept, unix seconds
	filledTag = 'f' // f: until when ended attempts' logs were looked for elsewhere, unix seconds

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

// keyOf reads a record's key.
func keyOf(b []byte) (Key, bool) {
	if len(b) != 1+keyBytes {
		return Key{}, false
	}
	return Key{
		Plan: binary.BigEndian.Uint64(b[1:]), Instance: binary.BigEndian.Uint64(b[9:]),
		Attempt: binary.BigEndian.Uint32(b[17:]), Fence: binary.BigEndian.Uint64(b[21:]),
	}, true
}

// bucketPrefix is what the keys of a day's chunks begin with.
func bucketPrefix(day uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{chunkTag}, day)
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
	day     uint32 // bucket of all its chunks: the day on which the first came
	touched uint32 // day on which the last came
	ended   bool
	end     uint64 // length of the whole log, when ended
	have    coverage
	cut     *cut // what the daily cut cleared; have covers it all the same
	cleared bool // by retention: nothing is here any more, nor is anything taken
	unswept bool // chunks of what was cleared may still be here
}

// cut is a range of a log that was cleared. Offsets stay what they were: the
// line that says so stands at the end of the range, before byte to.
type cut struct {
	from, to uint64
	line     []byte
}

// begins is the offset of the line.
func (c *cut) begins() uint64 { return c.to - uint64(len(c.line)) }

// holds tells whether an offset lies in the range.
func (c *cut) holds(offset uint64) bool { return c != nil && c.from <= offset && offset < c.to }

// known is the end of the log as far as it is known here.
func (r *record) known() uint64 {
	switch {
	case r.ended || r.cleared:
		return r.end
	case len(r.have) == 0:
		return 0
	}
	return r.have[len(r.have)-1].to
}

// readable is how many bytes a reader of the whole log gets here, gaps and all.
func (r *record) readable() uint64 {
	n := r.known()
	if r.cut != nil {
		n -= r.cut.begins() - r.cut.from
	}
	return n
}

const (
	recordVersion = 2 // 1: without touched, and no flag but the first
	flagEnded     = 1
	flagCleared   = 2
	flagUnswept   = 4
	flagCut       = 8
	flagsKnown    = flagEnded | flagCleared | flagUnswept | flagCut
)

func (r *record) encode() []byte {
	b := make([]byte, 2, 32)
	b[0] = recordVersion
	flag := func(f byte, set bool) {
		if set {
			b[1] |= f
		}
	}
	flag(flagEnded, r.ended)
	flag(flagCleared, r.cleared)
	flag(flagUnswept, r.unswept)
	flag(flagCut, r.cut != nil)
	b = binary.BigEndian.AppendUint32(b, r.day)
	b = binary.BigEndian.AppendUint32(b, r.touched)
	b = binary.AppendUvarint(b, r.end)
	if c := r.cut; c != nil {
		b = binary.AppendUvarint(b, c.from)
		b = binary.AppendUvarint(b, c.to-c.from)
		b = binary.AppendUvarint(b, uint64(len(c.line)))
		b = append(b, c.line...)
	}
	at := uint64(0)
	for _, s := range r.have {
		b = binary.AppendUvarint(b, s.from-at)
		b = binary.AppendUvarint(b, s.to-s.from)
		at = s.to
	}
	return b
}

func decodeRecord(k Key, b []byte) (*record, error) {
	r, why := parseRecord(b)
	if why != "" {
		return nil, fault.New(fault.Corrupt, "log of attempt %v: its record is broken (%s); stop this coordinator, remove its log folder and start it again: it fetches logs from its peers as they are read", k, why)
	}
	return r, nil
}

// parseRecord gives the record, or what is wrong with it.
func parseRecord(b []byte) (r *record, why string) {
	if len(b) < 6 || b[0] == 0 || b[0] > recordVersion || b[1]&^flagsKnown != 0 || b[0] == 1 && b[1] > flagEnded {
		return nil, "unknown form"
	}
	flags := b[1]
	r = &record{ended: flags&flagEnded != 0, cleared: flags&flagCleared != 0, unswept: flags&flagUnswept != 0}
	r.day = binary.BigEndian.Uint32(b[2:])
	r.touched = r.day
	if b[0] == 1 {
		b = b[6:]
	} else {
		if len(b) < 10 {
			return nil, "no day"
		}
		r.touched = binary.BigEndian.Uint32(b[6:])
		b = b[10:]
	}
	n := numbers{rest: b}
	r.end = n.next()
	if flags&flagCut != 0 {
		r.cut = &cut{from: n.next()}
		r.cut.to = r.cut.from + n.next()
		r.cut.line = n.bytes(n.next())
		if n.broken || r.cut.to < r.cut.from || uint64(len(r.cut.line)) > r.cut.to-r.cut.from {
			return nil, "what was cut does not add up"
		}
	}
	if n.broken {
		return nil, "no end"
	}
	for at := uint64(0); len(n.rest) > 0; {
		gap, size := n.next(), n.next()
		from := at + gap
		if n.broken || size == 0 || from < at || from+size < from || (gap == 0 && len(r.have) > 0) {
			return nil, "its ranges do not add up"
		}
		at = from + size
		r.have = append(r.have, span{from, at})
	}
	return r, ""
}

// numbers reads varints until something is broken.
type numbers struct {
	rest   []byte
	broken bool
}

func (n *numbers) next() uint64 {
	v, size := binary.Uvarint(n.rest)
	if size <= 0 {
		n.broken, n.rest = true, nil
		return 0
	}
	n.rest = n.rest[size:]
	return v
}

func (n *numbers) bytes(size uint64) []byte {
	if size > uint64(len(n.rest)) {
		n.broken, n.rest = true, nil
		return nil
	}
	out := append([]byte(nil), n.rest[:size]...)
	n.rest = n.rest[size:]
	return out
}
