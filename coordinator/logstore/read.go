package logstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// pageBytes is how much is read in one go where the caller does not say.
const pageBytes = 256 << 10

// errStop ends a walk early.
var errStop = errors.New("enough")

// Read gives up to maximum bytes (≤ 0: 256 KiB) of a log from an offset, ending at
// the first byte that is not here; next is the offset after them. ended tells
// that next is the log's end. A log that is not here is empty and not ended.
func (s *Store) Read(ctx context.Context, key Key, offset uint64, maximum int) (data []byte, next uint64, ended bool, err error) {
	if maximum <= 0 {
		maximum = pageBytes
	}
	var r *record
	next = offset
	var plain []byte
	err = s.walk(ctx, key, offset, &r, func(c *wire.LogChunk) error {
		var err error
		plain, err = s.dec.DecodeAll(c.Data, plain[:0])
		if err == nil && len(plain) != int(c.Size) {
			err = errors.New("its frame has another length than its key")
		}
		if err != nil {
			return s.readFailed(key, err)
		}
		part := plain[next-c.Offset:]
		part = part[:min(len(part), maximum-len(data))]
		data = append(data, part...)
		next += uint64(len(part))
		if len(data) == maximum {
			return errStop
		}
		return nil
	})
	if err != nil {
		return nil, offset, false, err
	}
	return data, next, r != nil && r.ended && next >= r.end, nil
}

// Chunks gives stored chunks, as they came, that cover a log from offset to
// the first byte that is not here, or until they add up to maximum compressed
// bytes (≤ 0: 256 KiB; at least one chunk). The first may begin before offset.
// The chunk that reaches a known end says so; a known end with nothing before
// it to send is an empty last chunk.
func (s *Store) Chunks(ctx context.Context, key Key, offset uint64, maximum int) ([]*wire.LogChunk, error) {
	if maximum <= 0 {
		maximum = pageBytes
	}
	var out []*wire.LogChunk
	var r *record
	ref, total := key.Ref(), 0
	err := s.walk(ctx, key, offset, &r, func(c *wire.LogChunk) error {
		c.Ref, c.Last = ref, r.ended && c.Offset+uint64(c.Size) == r.end
		out = append(out, c)
		if total += len(c.Data); total >= maximum {
			return errStop
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(out) == 0 && r != nil && r.ended && offset >= r.end {
		out = append(out, &wire.LogChunk{Ref: ref, Offset: r.end, Last: true})
	}
	return out, nil
}

// size is the end of what is here of a log, and whether the log ends there.
func (s *Store) size(key Key) (size uint64, ended bool, err error) {
	leave, err := s.enter()
	if err != nil {
		return 0, false, err
	}
	defer leave()
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	r, err := s.load(txn, key)
	switch {
	case err != nil || r == nil:
		return 0, false, err
	case r.ended:
		return r.end, true, nil
	case len(r.have) == 0:
		return 0, false, nil
	}
	return r.have[len(r.have)-1].to, false, nil
}

// walk calls fn with the fewest chunks that cover the log from offset to the
// first gap, and leaves the log's record in r (nil: not here).
func (s *Store) walk(ctx context.Context, key Key, offset uint64, r **record, fn func(*wire.LogChunk) error) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	if *r, err = s.load(txn, key); err != nil || *r == nil || (*r).have.reach(offset) == offset {
		return err
	}
	prefix := chunkPrefix((*r).day, key)
	it := txn.NewIterator(badger.IteratorOptions{Prefix: prefix})
	defer it.Close()
	if err := s.cover(ctx, it, key, (*r).day, offset, fn); err != nil && !errors.Is(err, errStop) {
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
