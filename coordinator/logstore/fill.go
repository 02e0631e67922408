package logstore

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"

	"backfleet/pkg/fault"
)

// FillOptions say what a Filler looks for. Ready and Ended are required.
type FillOptions struct {
	// Ready returns when the facts that Ended looks at are as new as the call.
	Ready func(context.Context) error
	// Ended gives some of the attempts whose end was recorded since a moment. The
	// next call goes on at next; more tells that there is one to make. It must be
	// quick.
	Ended func(since time.Time, from Key) (some []Key, next Key, more bool)
	// Every is the pause between two rounds. Default: an hour.
	Every time.Duration
	// Filled is told of each log of which something was fetched. Default: nobody is.
	Filled func()
	// Logger. Default: none.
	Logger *slog.Logger
}

// Filler has a coordinator that was away, or has a new disk, fetch the logs that
// it missed, so that they have as many copies as there are coordinators. It
// takes its time: whoever reads such a log meanwhile gets it at once.
type Filler struct {
	reader *Reader
	o      FillOptions
}

const (
	// fillers is how many logs are fetched at the same time. Each fetch is
	// followed by as long a pause.
	fillers = 4
	// fillAfter is how long after an attempt's end its log is looked for: till then
	// it may be on its way. fillOverlap is more than clocks of coordinators differ.
	fillAfter   = 2 * time.Minute
	fillOverlap = 10 * time.Minute
	// fillRetry is the pause after a round in which others could not be asked.
	fillRetry = 5 * time.Minute
)

// NewFiller makes a filler of the reader's store.
func NewFiller(reader *Reader, o FillOptions) *Filler {
	if o.Every <= 0 {
		o.Every = time.Hour
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Filled == nil {
		o.Filled = func() {}
	}
	return &Filler{reader: reader, o: o}
}

// Run fills at once, and then every so often, until ctx ends.
func (f *Filler) Run(ctx context.Context) {
	for {
		pause := f.o.Every
		if n, err := f.Fill(ctx); err != nil && ctx.Err() == nil {
			pause = min(pause, fillRetry)
			f.o.Logger.Info("not all missing logs could be fetched; it is tried again", "fetched", n, "error", err)
		} else if n > 0 {
			f.o.Logger.Info("logs that were missing here were fetched", "fetched", n)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// Fill fetches what is missing of the logs of attempts that have ended since the
// last round that could ask for all, and tells of how many. An error says that
// others could not be asked; the next round looks for the same again.
func (f *Filler) Fill(ctx context.Context) (filled int, err error) {
	if err := f.o.Ready(ctx); err != nil {
		return 0, err
	}
	store := f.reader.store
	until := store.opts.Now().Add(-fillAfter)
	since, _, err := store.moment(filledTag)
	if err != nil {
		return 0, err
	}
	if !since.IsZero() {
		since = since.Add(-fillOverlap)
	}
	var failure error
	for from, more := (Key{}), true; more; {
		var keys []Key
		begin := time.Now()
		keys, from, more = f.o.Ended(since, from)
		n, err := f.fetch(ctx, keys)
		if filled += n; err != nil {
			failure = err // the others may be better off
		}
		if !rest(ctx, begin) {
			return filled, fault.Wrap(ctx.Err(), fault.Timeout, "fetching missing logs was ended")
		}
	}
	if failure != nil {
		return filled, failure
	}
	return filled, store.note(filledTag, until)
}

// rest waits for as long as the work took that began then; false: ctx has ended.
func rest(ctx context.Context, begin time.Time) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(time.Since(begin)):
		return true
	}
}

// fetch makes whole what is not, some logs at a time.
func (f *Filler) fetch(ctx context.Context, keys []Key) (filled int, failure error) {
	var mu sync.Mutex
	var working sync.WaitGroup
	next := make(chan Key)
	for range fillers {
		working.Go(func() {
			for key := range next {
				more, err := f.complete(ctx, key)
				mu.Lock()
				if more {
					filled++
					f.o.Filled()
				}
				if err != nil {
					failure = err
				}
				mu.Unlock()
			}
		})
	}
	for _, key := range keys {
		next <- key
	}
	close(next)
	working.Wait()
	return filled, failure
}

// complete fetches what is missing of a log, from its begin on, until it is
// whole or nobody has more.
func (f *Filler) complete(ctx context.Context, key Key) (filled bool, err error) {
	for {
		missing, whole, err := f.reader.store.missing(key)
		if err != nil || whole {
			return filled, err
		}
		begin := time.Now()
		if err := f.reader.fetch(ctx, key, missing); err != nil && !IsCleared(err) {
			return filled, err
		}
		if now, whole, err := f.reader.store.missing(key); err != nil || now == missing && !whole {
			return filled, err
		}
		filled = true
		if !rest(ctx, begin) {
			return filled, ctx.Err()
		}
	}
}

// missing is the first byte of a log that is not here; whole: there is none, and
// the log has ended or was cleared.
func (s *Store) missing(key Key) (at uint64, whole bool, err error) {
	err = s.view(func(txn *badger.Txn) error {
		r, err := s.load(txn, key)
		if err != nil || r == nil {
			return err
		}
		at = r.have.reach(0)
		whole = r.cleared || r.ended && at >= r.end
		return nil
	})
	return at, whole, err
}
