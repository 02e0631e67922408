package logstore

import (
	"context"
	"errors"
	"math"

	"github.com/dgraph-io/badger/v4"
	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// maxIslands bounds how scattered a log may be kept. A peer that was away has
// one hole for each absence, so more than this is not a log being shipped.
const maxIslands = 1024

// Append keeps chunks of any logs in one synced batch and answers each with an
// ack, in order. A range that is kept already is acknowledged without being
// written; holes and overlaps are fine. An ack with an error refuses that
// chunk alone: it is malformed, or contradicts the log's known end. Its offset
// is the end of the log's unbroken prefix on this coordinator; with a refusal of
// an end before what is kept, the end of that. What comes for a
// log that was cleared is acknowledged and not kept.
//
// An error return means that none of the chunks may be counted as kept.
func (s *Store) Append(ctx context.Context, chunks []*wire.LogChunk) ([]*wire.LogAck, error) {
	if err := ctx.Err(); err != nil {
		return nil, fault.Wrap(err, fault.Timeout, "logs were not stored")
	}
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	if err := checkFree(s.dir, s.opts.MinFree); err != nil {
		return nil, err
	}
	acks := make([]*wire.LogAck, len(chunks))
	var scratch []byte
	for i, c := range chunks {
		acks[i] = &wire.LogAck{Ref: c.GetRef()}
		if scratch, err = check(s.dec, c, scratch); err != nil {
			acks[i].Error = err.Error()
		}
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.write(chunks, acks); err != nil {
		return nil, err
	}
	return acks, nil
}

// write stores the chunks that have no error in their ack yet, and completes
// the acks.
func (s *Store) write(chunks []*wire.LogChunk, acks []*wire.LogAck) error {
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	batch := s.db.NewWriteBatch()
	defer batch.Cancel()

	records := map[Key]*record{}
	changed := map[Key]bool{}
	for i, c := range chunks {
		// One log's trouble must not hold up the others'.
		key := KeyOf(c.GetRef())
		r, err := s.recordOf(txn, records, key)
		news := false
		if err == nil && acks[i].Error == "" {
			news, err = r.take(key, c)
		}
		if err != nil {
			acks[i].Error = err.Error()
		}
		if !news {
			continue
		}
		changed[key] = true
		r.touched = dayOf(s.opts.Now())
		if c.Size > 0 {
			if err := batch.Set(chunkKey(r.day, key, c.Offset, c.Size), c.Data); err != nil {
				return s.writeFailed(err)
			}
		}
	}
	for key := range changed {
		if err := batch.Set(recordKey(key), records[key].encode()); err != nil {
			return s.writeFailed(err)
		}
	}
	if len(changed) > 0 {
		if err := batch.Flush(); err != nil {
			return s.writeFailed(err)
		}
	}
	for i, a := range acks {
		if r := records[KeyOf(a.Ref)]; r != nil {
			if a.Offset = r.have.reach(0); r.cleared || a.Error != "" && chunks[i].GetLast() && r.known() > after(chunks[i]) {
				a.Offset = r.known()
			}
		}
	}
	for key := range changed {
		s.watch.changed(key)
	}
	return nil
}

// recordOf finds a log's record, made new for a log that is not here yet.
func (s *Store) recordOf(txn *badger.Txn, seen map[Key]*record, key Key) (*record, error) {
	if r := seen[key]; r != nil {
		return r, nil
	}
	r, err := s.load(txn, key)
	if err != nil {
		return nil, err
	}
	if r == nil {
		r = s.newRecord()
	}
	seen[key] = r
	return r, nil
}

// newRecord begins a log. The lock is held: a sweep under way learns that the
// bucket is in use again.
func (s *Store) newRecord() *record {
	day := dayOf(s.opts.Now())
	s.begun[day] = true
	return &record{day: day, touched: day}
}

// load reads a log's record; nil when nothing of the log is here.
func (s *Store) load(txn *badger.Txn, key Key) (*record, error) {
	item, err := txn.Get(recordKey(key))
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, s.readFailed(key, err)
	}
	b, err := item.ValueCopy(nil)
	if err != nil {
		return nil, s.readFailed(key, err)
	}
	return decodeRecord(key, b)
}

// take notes a well-formed chunk in the record and tells whether it brought anything
// new. On an error the record is as before.
func (r *record) take(key Key, c *wire.LogChunk) (news bool, err error) {
	to := c.Offset + uint64(c.Size)
	switch {
	case r.cleared:
		return false, nil
	case r.ended && to > r.end:
		return false, fault.New(fault.Conflict, "log of attempt %v: a chunk ends at byte %d, but the log was said to end at %d; nothing may be added to an ended log", key, to, r.end)
	case c.Last && !r.ended && len(r.have) > 0 && r.have[len(r.have)-1].to > to:
		return false, fault.New(fault.Conflict, "log of attempt %v: said to end at byte %d, but bytes up to %d are kept; send the true end", key, to, r.have[len(r.have)-1].to)
	case c.Last && r.ended && to < r.end:
		return false, fault.New(fault.Conflict, "log of attempt %v: said to end at byte %d, before at %d; a log ends once", key, to, r.end)
	}
	have := r.have
	if !have.covers(c.Offset, to) {
		have, news = have.add(c.Offset, to), true
	}
	if len(have) > maxIslands {
		return false, fault.New(fault.TooLarge, "log of attempt %v: more than %d separate pieces; send its chunks in order", key, maxIslands)
	}
	if c.Last && !r.ended {
		r.ended, r.end, news = true, to, true
	}
	r.have = have
	return news, nil
}

// check refuses what no reader could use later. It decompresses, because what
// is acknowledged is deleted by the agent: there is no second chance to find
// that it was not sound. The scratch space is used and returned.
func check(dec *zstd.Decoder, c *wire.LogChunk, scratch []byte) ([]byte, error) {
	key := KeyOf(c.GetRef())
	if c.GetRef() == nil {
		return scratch, fault.Field("ref", "a log chunk without an attempt; name the attempt")
	}
	if c.Cleared > 0 {
		return scratch, fault.Field("cleared", "log of attempt %v: only a coordinator that is asked for a log may say what it cleared; send bytes", key)
	}
	if err := checkSize(c); err != nil {
		return scratch, err
	}
	if c.Offset > math.MaxInt64-uint64(c.Size) {
		return scratch, fault.Field("offset", "log of attempt %v: offset %d is beyond any log", key, c.Offset)
	}
	if c.Size == 0 {
		if !c.Last {
			return scratch, fault.Field("size", "log of attempt %v: an empty chunk at %d that does not end the log; leave it out", key, c.Offset)
		}
		return scratch, nil
	}
	plain, err := dec.DecodeAll(c.Data, scratch[:0])
	if err != nil {
		return scratch, fault.Field("data", "log of attempt %v: the chunk at %d is not a sound zstd frame (%v); send it again", key, c.Offset, err)
	}
	if len(plain) != int(c.Size) {
		return plain, fault.Field("size", "log of attempt %v: the chunk at %d says %d bytes, its frame holds %d; they must be equal", key, c.Offset, c.Size, len(plain))
	}
	return plain, nil
}

// checkSize refuses more than a chunk can have. What this version does not know of it
// counts too.
func checkSize(c *wire.LogChunk) error {
	const beside = 1 << 10
	if c.GetSize() > MaxChunk || len(c.GetData()) > maxFrame || proto.Size(c) > maxFrame+beside {
		return fault.New(fault.TooLarge, "log of attempt %v: a chunk of %d bytes (%d compressed) at %d; at most %d (%d) are taken, send smaller ones", KeyOf(c.GetRef()), c.GetSize(), len(c.GetData()), c.GetOffset(), MaxChunk, maxFrame)
	}
	return nil
}

func (s *Store) writeFailed(err error) error {
	return fault.Wrap(err, fault.Unavailable, "log folder %q: write failed; check the disk and its free space", s.dir)
}

func (s *Store) readFailed(key Key, err error) error {
	return fault.Wrap(err, fault.Corrupt, "log folder %q: the log of attempt %v cannot be read; check the disk, the other coordinators have copies", s.dir, key)
}
