package logstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"

	"backfleet/pkg/cri"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// errGone marks the errors of logs that were cleared.
var errGone = errors.New("cleared")

// IsCleared tells whether an error says that retention cleared a log
// (RULES R10.2). Its code is fault.NotFound.
func IsCleared(err error) bool { return errors.Is(err, errGone) }

func errCleared(key Key) error {
	e := fault.New(fault.NotFound, "the log of attempt %v was cleared, because its time to be kept was over", key)
	e.Err = errGone
	return e
}

// edit is a change of one log's record, under the lock.
func (s *Store) edit(key Key, fn func(txn *badger.Txn, r *record) error) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	s.writing.Lock()
	defer s.writing.Unlock()
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	r, err := s.load(txn, key)
	if err != nil {
		return err
	}
	return fn(txn, r)
}

// set is an entry to be written.
type set struct{ key, value []byte }

// put writes entries, then removes some, in that order and synced.
func (s *Store) put(sets []set, removed [][]byte) error {
	batch := s.db.NewWriteBatch()
	defer batch.Cancel()
	for _, e := range sets {
		if err := batch.Set(e.key, e.value); err != nil {
			return s.writeFailed(err)
		}
	}
	for _, key := range removed {
		if err := batch.Delete(key); err != nil {
			return s.writeFailed(err)
		}
	}
	if err := batch.Flush(); err != nil {
		return s.writeFailed(err)
	}
	return nil
}

// adopt takes in what a peer says that it cleared. A log of which something is
// here is not given up because a peer did: retention is each coordinator's own.
func (s *Store) adopt(ctx context.Context, key Key, c *wire.LogChunk) error {
	whole := c.Cleared == clearedWhole
	if !whole && (c.Offset >= c.Cleared || len(c.Data) == 0 || uint64(len(c.Data)) > c.Cleared-c.Offset || len(c.Data) > lineRoom) {
		return fault.New(fault.Corrupt, "log of attempt %v: a coordinator cleared bytes %d to %d with a line of %d; that cannot be", key, c.Offset, c.Cleared, len(c.Data))
	}
	return s.edit(key, func(txn *badger.Txn, r *record) error {
		if r == nil {
			r = s.newRecord()
		}
		switch {
		case r.cleared, whole && len(r.have) > 0:
			return nil
		case whole:
			r.cleared = true
			defer s.watch.changed(key)
			return s.put([]set{{recordKey(key), r.encode()}}, nil)
		}
		if c.Last && !r.ended {
			r.ended, r.end = true, c.Cleared
		}
		if r.ended && c.Cleared > r.end {
			return fault.New(fault.Corrupt, "log of attempt %v: a coordinator cleared bytes up to %d, but the log ends at %d", key, c.Cleared, r.end)
		}
		defer s.watch.changed(key)
		return s.hollow(ctx, txn, key, r, cut{from: c.Offset, to: c.Cleared, line: c.Data})
	})
}

// Bounds of the daily cut (RULES R10.3).
const (
	cutBytes  = 3_145_728
	headBytes = 256 << 10
	// lineRoom is what the line between may take.
	lineRoom = 256
)

// errLacking says that a cut needs bytes which are not here.
type errLacking struct{ offset uint64 }

func (e errLacking) Error() string { return fmt.Sprintf("byte %d is not here", e.offset) }

// shorten cuts a log of more than limit bytes to at most that: the lines of its
// first head bytes, a line that says how much was cleared, and the newest rest.
// Where it cuts follows from the log alone, so that all copies are alike. It
// gives how many bytes fewer there are; errLacking when it needs some that are
// not here.
func (s *Store) shorten(ctx context.Context, key Key, limit, head uint64) (cleared uint64, err error) {
	err = s.edit(key, func(txn *badger.Txn, r *record) error {
		if r == nil || r.cleared || r.readable() <= limit {
			return nil
		}
		before := r.readable()
		c, err := s.plan(ctx, txn, key, r, limit, head)
		if err != nil {
			return err
		}
		if err := s.hollow(ctx, txn, key, r, c); err != nil {
			return err
		}
		cleared = before - r.readable()
		s.watch.changed(key)
		return nil
	})
	return cleared, err
}

// plan finds what to clear of a log that is too long.
func (s *Store) plan(ctx context.Context, txn *badger.Txn, key Key, r *record, limit, head uint64) (c cut, err error) {
	if r.cut != nil {
		c.from = r.cut.from
	} else {
		begin, err := s.bytes(ctx, txn, key, r, 0, head)
		if err != nil {
			return c, err
		}
		c.from = uint64(bytes.LastIndexByte(begin, '\n') + 1)
	}
	end := r.known()
	c.to = end - (limit - c.from - lineRoom)
	// The byte before tells whether a line begins right there.
	for at := c.to - 1; ; {
		page, err := s.bytes(ctx, txn, key, r, at, min(at+64<<10, end))
		if err != nil {
			return c, err
		}
		if n := bytes.IndexByte(page, '\n'); n >= 0 {
			c.to = at + uint64(n) + 1
			break
		}
		if at += uint64(len(page)); at >= end {
			c.to = end // one line is longer than what may stay
			break
		}
	}
	first, err := s.bytes(ctx, txn, key, r, c.to, min(c.to+128, end))
	if err != nil {
		return c, err
	}
	c.line = cutLine(first, c.to-c.from, limit)
	return c, nil
}

// cutLine says how much was cleared. It has the time of the line behind it.
func cutLine(next []byte, cleared, limit uint64) []byte {
	at := time.Unix(0, 0)
	if stamp, _, ok := bytes.Cut(next, []byte{' '}); ok {
		if t, err := time.Parse(time.RFC3339Nano, string(stamp)); err == nil && t.Year() > 0 && t.Year() < 10_000 {
			at = t
		}
	}
	return cri.AppendLine(nil, at, cri.Stderr, false,
		fmt.Appendf(nil, "backfleet: %d bytes cleared here: the logs of finished attempts are cut to %d bytes", cleared, limit))
}

// bytes reads a range of a log that is here.
func (s *Store) bytes(ctx context.Context, txn *badger.Txn, key Key, r *record, from, to uint64) ([]byte, error) {
	if reach := r.have.reach(from); reach < to {
		return nil, errLacking{reach}
	}
	out := make([]byte, 0, to-from)
	if from == to {
		return out, nil
	}
	next := from
	var plain []byte
	err := s.walk(ctx, txn, key, r, from, func(c *wire.LogChunk) (err error) {
		if plain, err = s.decode(key, c, plain); err != nil {
			return err
		}
		part := plain[next-c.Offset:]
		part = part[:min(uint64(len(part)), to-next)]
		out = append(out, part...)
		if next += uint64(len(part)); next == to {
			return errStop
		}
		return nil
	})
	return out, err
}

// hollow makes a cut. What is written first are the parts that stay of chunks
// on its edges, and the record; then the chunks go, and last the record knows.
// The lock is held.
func (s *Store) hollow(ctx context.Context, txn *badger.Txn, key Key, r *record, c cut) error {
	if old := r.cut; old != nil { // they always begin alike, unless logs were damaged
		c.from = min(c.from, old.from)
		if c.to < old.to {
			c.to, c.line = old.to, old.line
		}
	}
	gone, edges, err := s.inside(ctx, txn, key, r.day, c)
	if err != nil {
		return err
	}
	r.cut, r.have, r.unswept = &c, r.have.add(c.from, c.to), true
	if err := s.put(append(edges, set{recordKey(key), r.encode()}), nil); err != nil {
		return err
	}
	if err := s.put(nil, gone); err != nil {
		return err
	}
	r.unswept = false
	return s.put([]set{{recordKey(key), r.encode()}}, nil)
}

// inside lists the chunks that a cut touches, and makes new ones of what stays
// of those on its edges.
func (s *Store) inside(ctx context.Context, txn *badger.Txn, key Key, day uint32, c cut) (gone [][]byte, edges []set, err error) {
	it := txn.NewIterator(badger.IteratorOptions{Prefix: chunkPrefix(day, key)})
	defer it.Close()
	keep := func(plain []byte, offset uint64) {
		edges = append(edges, set{chunkKey(day, key, offset, uint32(len(plain))), s.enc.EncodeAll(plain, nil)})
	}
	var head, tail *wire.LogChunk // what reaches farthest over each edge
	for it.Seek(chunkKey(day, key, c.from-min(c.from, MaxChunk), 0)); it.Valid(); it.Next() {
		if err := ctx.Err(); err != nil {
			return nil, nil, fault.Wrap(err, fault.Timeout, "log of attempt %v: cutting it was ended", key)
		}
		item := it.Item()
		off, size, ok := rangeOf(item.Key())
		end := off + uint64(size)
		switch {
		case !ok:
			return nil, nil, s.readFailed(key, errors.New("a chunk's key is malformed"))
		case end <= c.from:
			continue
		}
		if off >= c.to {
			break
		}
		gone = append(gone, item.KeyCopy(nil))
		first, last := off < c.from && head == nil, end > c.to && (tail == nil || end > after(tail))
		if !first && !last {
			continue
		}
		data, err := item.ValueCopy(nil)
		if err != nil {
			return nil, nil, s.readFailed(key, err)
		}
		chunk := &wire.LogChunk{Offset: off, Size: size, Data: data}
		if first {
			head = chunk
		}
		if last {
			tail = chunk
		}
	}
	if head != nil {
		plain, err := s.decode(key, head, nil)
		if err != nil {
			return nil, nil, err
		}
		keep(plain[:c.from-head.Offset], head.Offset)
	}
	if tail != nil {
		plain, err := s.decode(key, tail, nil)
		if err != nil {
			return nil, nil, err
		}
		keep(plain[c.to-tail.Offset:], c.to)
	}
	return gone, edges, nil
}

// clear empties logs. What says so is written first; the chunks of those in a
// bucket that will be dropped whole are left to that.
func (s *Store) clear(keys []Key, dropped func(day uint32) bool) (bytes uint64, err error) {
	leave, err := s.enter()
	if err != nil {
		return 0, err
	}
	defer leave()
	s.writing.Lock()
	defer s.writing.Unlock()
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	var marks, sweptMarks []set
	var gone [][]byte
	for _, key := range keys {
		r, err := s.load(txn, key)
		if err != nil {
			return 0, err
		}
		if r == nil || r.cleared && !r.unswept {
			continue
		}
		if !r.cleared {
			bytes += r.readable()
			r.end = r.known()
		}
		r.cleared, r.have, r.cut = true, nil, nil
		r.unswept = !dropped(r.day)
		marks = append(marks, set{recordKey(key), r.encode()})
		if r.unswept {
			gone = append(gone, chunkKeys(txn, r.day, key)...)
			r.unswept = false
			sweptMarks = append(sweptMarks, set{recordKey(key), r.encode()})
		}
	}
	if err := s.put(marks, nil); err != nil {
		return 0, err
	}
	if err := s.put(nil, gone); err != nil {
		return 0, err
	}
	if err := s.put(sweptMarks, nil); err != nil {
		return 0, err
	}
	for _, key := range keys {
		s.watch.changed(key)
	}
	return bytes, nil
}

func chunkKeys(txn *badger.Txn, day uint32, key Key) (keys [][]byte) {
	it := txn.NewIterator(badger.IteratorOptions{Prefix: chunkPrefix(day, key)})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		keys = append(keys, it.Item().KeyCopy(nil))
	}
	return keys
}
