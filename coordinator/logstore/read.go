package logstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/dgraph-io/badger/v4"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// pageBytes is how much is read in one go where the caller does not say.
const pageBytes = 256 << 10

// errStop ends a walk early.
var errStop = errors.New("enough")

// Read gives up to maximum bytes (≤ 0: 256 KiB) of a log; next is the offset
// after them. They begin at the offset, unless that lies in what the daily cut
// cleared (RULES R10.3): then at the line that says so, further on. They end at
// the first byte that is not here, and where something was cleared. ended tells
// that next is the log's end. A log that is not here is empty and not ended;
// one that retention cleared is an error, see IsCleared.
func (s *Store) Read(ctx context.Context, key Key, offset uint64, maximum int) (data []byte, next uint64, ended bool, err error) {
	if maximum <= 0 {
		maximum = pageBytes
	}
	var r *record
	next = offset
	var plain []byte
	err = s.view(func(txn *badger.Txn) error {
		var err error
		if r, err = s.load(txn, key); err != nil || r == nil {
			return err
		}
		if r.cleared {
			return errCleared(key)
		}
		if r.cut.holds(offset) {
			data, next = r.cut.read(offset, maximum)
			return nil
		}
		until := uint64(math.MaxUint64)
		if r.cut != nil && offset < r.cut.from {
			until = r.cut.from
		}
		return s.walk(ctx, txn, key, r, offset, func(c *wire.LogChunk) error {
			if plain, err = s.decode(key, c, plain); err != nil {
				return err
			}
			part := plain[next-c.Offset:]
			part = part[:min(uint64(len(part)), until-next, uint64(maximum-len(data)))]
			data = append(data, part...)
			if next += uint64(len(part)); len(data) == maximum || next == until {
				return errStop
			}
			return nil
		})
	})
	if err != nil {
		return nil, offset, false, err
	}
	return data, next, r != nil && r.ended && next >= r.end, nil
}

// read gives the line, from an offset in the range on.
func (c *cut) read(offset uint64, maximum int) (data []byte, next uint64) {
	at := max(offset, c.begins())
	data = c.line[at-c.begins():]
	data = bytes.Clone(data[:min(len(data), maximum)])
	return data, at + uint64(len(data))
}

// decode decompresses a stored chunk into scratch space, or anew.
func (s *Store) decode(key Key, c *wire.LogChunk, scratch []byte) ([]byte, error) {
	plain, err := s.dec.DecodeAll(c.Data, scratch[:0])
	if err == nil && len(plain) != int(c.Size) {
		err = errors.New("its frame has another length than its key")
	}
	if err != nil {
		return nil, s.readFailed(key, err)
	}
	return plain, nil
}

// clearedWhole says in a chunk that nothing of a log is left.
const clearedWhole = math.MaxUint64

// Chunks gives stored chunks, as they came, that cover a log from offset to
// the first byte that is not here, or until they add up to maximum compressed
// bytes (≤ 0: 256 KiB; at least one chunk). The first may begin before offset.
// What was cleared is a chunk of its own that says so and has the line. The
// chunk that reaches a known end says so; a known end with nothing before it to
// send is an empty last chunk.
func (s *Store) Chunks(ctx context.Context, key Key, offset uint64, maximum int) ([]*wire.LogChunk, error) {
	if maximum <= 0 {
		maximum = pageBytes
	}
	var out []*wire.LogChunk
	ref, total := key.Ref(), 0
	err := s.view(func(txn *badger.Txn) error {
		r, err := s.load(txn, key)
		switch {
		case err != nil || r == nil:
			return err
		case r.cleared:
			out = []*wire.LogChunk{{Ref: ref, Cleared: clearedWhole, Last: true}}
			return nil
		case r.cut.holds(offset):
			out = []*wire.LogChunk{{Ref: ref, Offset: r.cut.from, Cleared: r.cut.to, Data: r.cut.line, Last: r.ended && r.cut.to == r.end}}
			return nil
		case r.ended && offset >= r.end:
			out = []*wire.LogChunk{{Ref: ref, Offset: r.end, Last: true}}
			return nil
		}
		return s.walk(ctx, txn, key, r, offset, func(c *wire.LogChunk) error {
			end := c.Offset + uint64(c.Size)
			c.Ref, c.Last = ref, r.ended && end == r.end
			out = append(out, c)
			if total += len(c.Data); total >= maximum || r.cut.holds(end) {
				return errStop
			}
			return nil
		})
	})
	return out, err
}

// after is the offset that follows a chunk of Chunks.
func after(c *wire.LogChunk) uint64 { return max(c.Cleared, c.Offset+uint64(c.Size)) }

// size is the end of what is here of a log, and whether the log ends there.
func (s *Store) size(key Key) (size uint64, ended bool, err error) {
	err = s.view(func(txn *badger.Txn) error {
		r, err := s.load(txn, key)
		switch {
		case err != nil || r == nil:
			return err
		case r.cleared:
			return errCleared(key)
		}
		size, ended = r.known(), r.ended
		return nil
	})
	return size, ended, err
}

// view runs fn on the logs as they are at one moment.
func (s *Store) view(fn func(*badger.Txn) error) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	return fn(txn)
}

// walk calls fn with the fewest chunks that cover the log from offset to the
// first gap.
func (s *Store) walk(ctx context.Context, txn *badger.Txn, key Key, r *record, offset uint64, fn func(*wire.LogChunk) error) error {
	if r.have.reach(offset) == offset {
		return nil
	}
	it := txn.NewIterator(badger.IteratorOptions{Prefix: chunkPrefix(r.day, key)})
	defer it.Close()
	if err := s.cover(ctx, it, key, r.day, offset, fn); err != nil && !errors.Is(err, errStop) {
		return err
	}
	return nil
}

// cover is the walk over the chunk keys. Of the chunks that begin at or before
// the position, the one that reaches farthest is taken.
func (s *Store) cover(ctx context.Context, it *badger.Iterator, key Key, day uint32, pos uint64, fn func(*wire.LogChunk) error) error {
	var best *wire.LogChunk
	start, bestEnd := pos, pos
	emit := func() error {
		c := best
		best, pos = nil, bestEnd
		return fn(c)
	}
	// A chunk that covers pos begins less than MaxChunk before it.
	from := pos - min(pos, MaxChunk)
	for it.Seek(chunkKey(day, key, from, 0)); it.Valid(); it.Next() {
		if err := ctx.Err(); err != nil {
			return fault.Wrap(err, fault.Timeout, "log of attempt %v: reading was ended by the caller", key)
		}
		item := it.Item()
		off, size, ok := rangeOf(item.Key())
		if !ok {
			return s.readFailed(key, errors.New("a chunk's key is malformed"))
		}
		if off > pos && best != nil {
			if err := emit(); err != nil {
				return err
			}
		}
		if off > pos {
			break // a gap
		}
		if end := off + uint64(size); end > bestEnd {
			data, err := item.ValueCopy(nil)
			if err != nil {
				return s.readFailed(key, err)
			}
			best, bestEnd = &wire.LogChunk{Offset: off, Size: size, Data: data}, end
		}
	}
	if best != nil {
		return emit()
	}
	if pos == start {
		return s.readFailed(key, fmt.Errorf("byte %d is recorded as kept, but is not there", pos))
	}
	return nil
}
