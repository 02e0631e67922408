package logstore

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"time"

	"github.com/dgraph-io/badger/v4"

	"backfleet/pkg/fault"
)

// Fate is what becomes of an attempt's log.
type Fate struct {
	// Ended is when the attempt ended; zero: it has not.
	Ended time.Time
	// Keep is how long after it the log is kept (RULES R10.2).
	Keep time.Duration
}

// SweepOptions say what a Sweeper clears and when. Fate is required.
type SweepOptions struct {
	// Fate tells what is known of an attempt; false: nothing.
	Fate func(Key) (Fate, bool)
	// KeepUnknown is how long the log of an attempt of which nothing is known is
	// kept after its last byte came. Default: 30 days.
	KeepUnknown time.Duration
	// At is the time of day of the sweep, since midnight in Zone. Default: 0.
	At time.Duration
	// Zone is the cluster's. Default: UTC.
	Zone *time.Location
	// Every tells the longest pause between sweeps: logs that are kept for less
	// than a day cannot wait for the daily one. Default: a day.
	Every func() time.Duration
	// Swept is told what was cleared. Default: nobody is.
	Swept func(Swept)
	// Logger. Default: none.
	Logger *slog.Logger
}

// Swept is what a sweep did.
type Swept struct {
	Cleared, Cut           int    // logs
	ClearedBytes, CutBytes uint64 // uncompressed, that could be read before and cannot any more
}

// Sweeper clears, once a day or more often, the logs of one coordinator: those
// whose time is over, and of long ones the middle (RULES R10.2, R10.3). Each
// coordinator does it for itself; what it needs to cut a log as the others do,
// it fetches.
type Sweeper struct {
	store  *Store
	reader *Reader
	o      SweepOptions
}

// NewSweeper makes a sweeper of the reader's store.
func NewSweeper(reader *Reader, o SweepOptions) *Sweeper {
	if o.KeepUnknown <= 0 {
		o.KeepUnknown = 30 * 24 * time.Hour
	}
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	if o.Every == nil {
		o.Every = func() time.Duration { return everyDay }
	}
	if o.Swept == nil {
		o.Swept = func(Swept) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Sweeper{store: reader.store, reader: reader, o: o}
}

// Run sweeps at its time every day until ctx ends. A sweep that was missed,
// because the coordinator was down or failed at it, is made up for.
func (w *Sweeper) Run(ctx context.Context) {
	daily(ctx, w.store.opts.Now, w.next, func() error {
		_, err := w.Sweep(ctx)
		if err != nil && ctx.Err() == nil {
			w.o.Logger.Warn("clearing logs failed; it is tried again", "error", err)
		}
		return err
	})
}

const (
	everyDay   = 24 * time.Hour
	lookEvery  = time.Hour // the clock may be set meanwhile
	retryAfter = 10 * time.Minute
)

// daily calls do whenever its next time has come, until ctx ends.
func daily(ctx context.Context, now func() time.Time, next func() time.Time, do func() error) {
	for pause := time.Duration(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(max(pause, next().Sub(now())), lookEvery)):
		}
		pause = 0
		if !next().After(now()) && do() != nil {
			pause = retryAfter
		}
	}
}

// next is when the next sweep is due, maybe long ago.
func (w *Sweeper) next() time.Time {
	last, ok, err := w.store.moment(sweptTag)
	if err != nil || !ok {
		last = w.store.opts.Now()
		if err == nil {
			// A new store counts from its first day, or each start would begin anew.
			_ = w.store.note(sweptTag, last)
		}
	}
	next := nextAt(last, w.o.At, w.o.Zone)
	if every := w.o.Every(); every > 0 && every < everyDay && last.Add(every).Before(next) {
		return last.Add(every)
	}
	return next
}

// nextAt is the first moment after t at which it is so long after midnight.
func nextAt(t time.Time, at time.Duration, zone *time.Location) time.Time {
	y, m, d := t.In(zone).Date()
	for {
		if next := time.Date(y, m, d, 0, int(at/time.Minute), 0, 0, zone); next.After(t) {
			return next
		}
		d++
	}
}

// Sweep clears what is to be cleared now. It may be ended and repeated at any
// point.
func (w *Sweeper) Sweep(ctx context.Context) (done Swept, err error) {
	now := w.store.opts.Now()
	w.store.beginSweep()
	live, err := w.living(ctx, now)
	if err == nil {
		done, err = w.clear(ctx, now, live)
		w.o.Swept(done)
	}
	if err == nil {
		err = w.store.dropBuckets(func(day uint32) bool { return w.drops(day, now, live) })
	}
	if err == nil {
		err = w.store.note(sweptTag, now)
	}
	if done.Cleared+done.Cut > 0 {
		w.o.Logger.Info("logs cleared", "cleared", done.Cleared, "cleared_bytes", done.ClearedBytes, "cut", done.Cut, "cut_bytes", done.CutBytes)
	}
	return done, err
}

func (w *Sweeper) drops(day uint32, now time.Time, live map[uint32]bool) bool {
	return day < dayOf(now) && !live[day]
}

// verdict is what a sweep makes of a log.
type verdict int

const (
	keeps verdict = iota
	clears
	cuts
	forgets // the mark that it was cleared
)

func (w *Sweeper) judge(key Key, r *record, now time.Time) verdict {
	fate, known := w.o.Fate(key)
	over := known && !fate.Ended.IsZero() && !now.Before(fate.Ended.Add(fate.Keep))
	if !known {
		touched := time.Unix(int64(r.touched)*86400, 0)
		over = now.Sub(touched) >= w.o.KeepUnknown+24*time.Hour
	}
	switch {
	case r.cleared && r.unswept:
		return clears
	case r.cleared && over && !known:
		return forgets
	case r.cleared:
		return keeps
	case over:
		return clears
	case r.unswept, known && !fate.Ended.IsZero() && r.readable() > cutBytes:
		return cuts
	default:
		return keeps
	}
}

// stays tells whether a log's chunks are still needed.
func stays(v verdict, r *record) bool { return !r.cleared && (v == keeps || v == cuts) }

// living finds the buckets in which a log stays.
func (w *Sweeper) living(ctx context.Context, now time.Time) (map[uint32]bool, error) {
	live := map[uint32]bool{}
	err := w.store.eachRecord(ctx, func(key Key, r *record) error {
		if stays(w.judge(key, r, now), r) {
			live[r.day] = true
		}
		return nil
	})
	return live, err
}

// clearBatch is how many logs are cleared at once, so that none waits long for
// its lock.
const clearBatch = 128

func (w *Sweeper) clear(ctx context.Context, now time.Time, live map[uint32]bool) (done Swept, err error) {
	var batch, forgotten []Key
	flush := func() error {
		n, err := w.store.clear(batch, func(day uint32) bool { return w.drops(day, now, live) })
		done.ClearedBytes += n
		done.Cleared += len(batch)
		batch = batch[:0]
		return err
	}
	err = w.store.eachRecord(ctx, func(key Key, r *record) error {
		v := w.judge(key, r, now)
		if stays(v, r) {
			live[r.day] = true // the facts may have changed since it was looked at first
		}
		switch v {
		case clears:
			if batch = append(batch, key); len(batch) == clearBatch {
				return flush()
			}
		case cuts:
			n, err := w.cut(ctx, key, r)
			if err != nil {
				return err
			}
			if n > 0 {
				done.Cut++
				done.CutBytes += n
			}
		case forgets:
			forgotten = append(forgotten, key)
		case keeps:
		}
		return nil
	})
	if err = errors.Join(err, flush()); err != nil {
		return done, err
	}
	return done, w.store.forget(forgotten)
}

// cut shortens one log. One that lacks bytes which nobody has at the moment is
// left for the next day.
func (w *Sweeper) cut(ctx context.Context, key Key, r *record) (bytes uint64, err error) {
	if r.unswept {
		return 0, w.store.sweepUp(ctx, key)
	}
	for range cutBytes / fetchBytes * 4 {
		bytes, err = w.store.shorten(ctx, key, cutBytes, headBytes)
		var lacking errLacking
		if !errors.As(err, &lacking) {
			return bytes, err
		}
		if err := w.reader.fetch(ctx, key, lacking.offset); err != nil {
			if ctx.Err() != nil {
				return 0, err
			}
			w.o.Logger.Debug("a log is cut another day", "attempt", key, "error", err)
			return 0, nil
		}
		if more, err := w.reader.has(ctx, key, lacking.offset); err != nil || !more {
			return 0, nil
		}
	}
	return 0, nil
}

// sweepUp finishes a cut that a crash left half done.
func (s *Store) sweepUp(ctx context.Context, key Key) error {
	return s.edit(key, func(txn *badger.Txn, r *record) error {
		if r == nil || !r.unswept || r.cut == nil {
			return nil
		}
		return s.hollow(ctx, txn, key, r, *r.cut)
	})
}

// beginSweep begins to note the buckets in which logs begin.
func (s *Store) beginSweep() {
	s.writing.Lock()
	defer s.writing.Unlock()
	clear(s.begun)
}

// recordPage is how many records are read in one go.
const recordPage = 1024

// eachRecord calls fn with every log. The store may be changed meanwhile, by fn
// too.
func (s *Store) eachRecord(ctx context.Context, fn func(Key, *record) error) error {
	from := []byte{recordTag}
	for from != nil {
		var keys []Key
		var records []*record
		err := s.view(func(txn *badger.Txn) (err error) {
			keys, records, from, err = s.recordsFrom(txn, from)
			return err
		})
		for i := 0; i < len(keys) && err == nil; i++ {
			if ctx.Err() != nil {
				err = fault.Wrap(ctx.Err(), fault.Timeout, "clearing logs was ended")
			} else {
				err = fn(keys[i], records[i])
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// recordsFrom reads a page of records, and gives where the next begins; nil
// after the last.
func (s *Store) recordsFrom(txn *badger.Txn, from []byte) (keys []Key, records []*record, next []byte, err error) {
	it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{recordTag}})
	defer it.Close()
	for it.Seek(from); it.Valid(); it.Next() {
		if len(keys) == recordPage {
			return keys, records, it.Item().KeyCopy(nil), nil
		}
		key, ok := keyOf(it.Item().Key())
		if !ok {
			return nil, nil, nil, s.readFailed(key, errors.New("a record's key is malformed"))
		}
		err := it.Item().Value(func(b []byte) error {
			r, err := decodeRecord(key, b)
			keys, records = append(keys, key), append(records, r)
			return err
		})
		if err != nil {
			return nil, nil, nil, err
		}
	}
	return keys, records, nil, nil
}

// forget removes the marks of logs that were cleared.
func (s *Store) forget(keys []Key) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	s.writing.Lock()
	defer s.writing.Unlock()
	gone := make([][]byte, len(keys))
	for i, key := range keys {
		gone[i] = recordKey(key)
	}
	return s.put(nil, gone)
}

// dropBuckets drops the chunks of whole days, as prefixes. Nothing is written
// meanwhile. No log may have begun in such a day since beginSweep.
func (s *Store) dropBuckets(which func(day uint32) bool) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	s.writing.Lock()
	defer s.writing.Unlock()
	var prefixes [][]byte
	for _, day := range s.buckets() {
		if which(day) && !s.begun[day] {
			prefixes = append(prefixes, bucketPrefix(day))
		}
	}
	if len(prefixes) == 0 {
		return nil
	}
	if err := s.db.DropPrefix(prefixes...); err != nil {
		return s.writeFailed(err)
	}
	return nil
}

// buckets lists the days of which there are chunks.
func (s *Store) buckets() (days []uint32) {
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{chunkTag}})
	defer it.Close()
	for it.Rewind(); it.Valid(); {
		key := it.Item().Key()
		if len(key) != chunkBytes {
			it.Next()
			continue
		}
		day := binary.BigEndian.Uint32(key[1:])
		days = append(days, day)
		it.Seek(bucketPrefix(day + 1))
	}
	return days
}

// moment reads when something was last done; zero, false: never.
func (s *Store) moment(tag byte) (at time.Time, ok bool, err error) {
	err = s.view(func(txn *badger.Txn) error {
		item, err := txn.Get([]byte{tag})
		if errors.Is(err, badger.ErrKeyNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		return item.Value(func(b []byte) error {
			if len(b) == 8 {
				at, ok = time.Unix(int64(binary.BigEndian.Uint64(b)), 0), true
			}
			return nil
		})
	})
	return at, ok, err
}

// note writes down when something was last done.
func (s *Store) note(tag byte, at time.Time) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.put([]set{{[]byte{tag}, binary.BigEndian.AppendUint64(nil, uint64(at.Unix()))}}, nil)
}
