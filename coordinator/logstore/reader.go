package logstore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"time"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

const (
	// fetchBytes is how many compressed bytes are taken from a peer at once.
	fetchBytes = 1 << 20
	// pollEvery is how often a follower asks the peers: this coordinator may
	// not be in the majority that gets the log's chunks.
	pollEvery = time.Second
	// silence is how long a peer may say nothing before the next one is asked.
	silence = 2 * time.Second
)

// Reader reads logs on any coordinator: from its own store, and what is not
// there from the peers, keeping it. It needs no leader.
type Reader struct {
	store *Store
	peers Peers
	log   *slog.Logger
}

// NewReader makes a reader; log may be nil.
func NewReader(store *Store, peers Peers, log *slog.Logger) *Reader {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Reader{store: store, peers: peers, log: log}
}

// Read gives up to maximum bytes (≤ 0: 256 KiB) of a log; next is the offset
// after them. They begin at the offset, or further on where the daily cut
// cleared what is between, see Store.Read. ended tells that next is the log's
// end. A log that retention cleared is an error, see IsCleared.
//
// The copy here may stop anywhere, in the middle of a line too, so what follows
// is asked for: fewer bytes than the maximum and not ended mean that there
// are no more that were acknowledged, that a cut comes next, or that it takes
// another call to fetch them. When too few coordinators answer to know, whole lines that
// are here are given all the same; without any the error is fault.Unavailable.
func (r *Reader) Read(ctx context.Context, key Key, offset uint64, maximum int) (data []byte, next uint64, ended bool, err error) {
	if maximum <= 0 {
		maximum = pageBytes
	}
	next = offset
	for asked := false; ; {
		part, after, end, err := r.store.Read(ctx, key, next, maximum-len(data))
		switch {
		case err != nil:
			return nil, offset, false, err
		case len(data) > 0 && after-uint64(len(part)) != next:
			return data, next, false, nil
		}
		data, next = append(data, part...), after
		if end || len(data) == maximum || asked && len(part) == 0 {
			return data, next, end, nil
		}
		if len(part) > 0 {
			continue
		}
		asked = true
		if err := r.fetch(ctx, key, next); err != nil {
			if bytes.IndexByte(data, '\n') >= 0 {
				return data, next, false, nil
			}
			return nil, offset, false, err
		}
	}
}

// Size is where a log ends as far as is known, what was cleared from it counted,
// and whether it ends there; 0 and false for a log of which nothing is. A coordinator that
// has nothing of the log asks the peers; with ask one does that does not know
// the end, for its copy may stop long before.
func (r *Reader) Size(ctx context.Context, key Key, ask bool) (size uint64, ended bool, err error) {
	size, ended, err = r.store.size(key)
	if err != nil || ended || size > 0 && !ask {
		return size, ended, err
	}
	from := uint64(0)
	if size > 0 {
		from = math.MaxInt64 // a coordinator that knows the end says so whatever it is asked from
	}
	if err := r.fetch(ctx, key, from); err != nil && size == 0 {
		return 0, false, err
	}
	return r.store.size(key)
}

// Follow calls fn with a log's bytes from an offset on and where they begin, in
// order, as they come to be known, until the log has ended (nil), ctx ends (its
// error) or fn fails (its error). There are no gaps but those that the daily cut
// left. The bytes are fn's to keep.
func (r *Reader) Follow(ctx context.Context, key Key, offset uint64, fn func(from uint64, data []byte) error) error {
	news, unsubscribe := r.store.Subscribe(key)
	defer unsubscribe()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for ask := true; ; {
		data, next, ended, err := r.store.Read(ctx, key, offset, 0)
		if err != nil {
			return err
		}
		if len(data) > 0 {
			if err := fn(next-uint64(len(data)), data); err != nil {
				return err
			}
			offset = next
		}
		if ended {
			return nil
		}
		if len(data) > 0 {
			continue
		}
		if ask {
			ask = false
			err := r.fetch(ctx, key, offset)
			if err == nil {
				var more bool
				if more, err = r.has(ctx, key, offset); more {
					ask = true // there may be more than one fetch brings
					continue
				}
			}
			if err != nil {
				r.log.Debug("following a log: peers could not be asked", "attempt", key, "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-news:
		case <-poll.C:
			ask = true
		}
	}
}

// has tells whether the store can go on at the offset, if only to say that the
// log ends there.
func (r *Reader) has(ctx context.Context, key Key, offset uint64) (bool, error) {
	data, _, ended, err := r.store.Read(ctx, key, offset, 1)
	return len(data) > 0 || ended, err // a log found to be cleared is an error
}

// fetch asks one peer after another until one has the log from the offset on,
// or its end, and keeps what it sends. An error means that too few were
// reached to be sure that nothing is there.
func (r *Reader) fetch(ctx context.Context, key Key, offset uint64) error {
	live, size := r.peers()
	size = max(size, len(live)+1)
	asked := 1 // this one
	var failures error
	for _, p := range live {
		err := r.fetchFrom(ctx, p, key, offset)
		if ctx.Err() != nil {
			return fault.Wrap(ctx.Err(), fault.Timeout, "log of attempt %v: reading was ended by the caller", key)
		}
		if err != nil {
			failures = errors.Join(failures, err)
		} else {
			asked++
		}
		if more, err := r.has(ctx, key, offset); more || err != nil {
			return err
		}
	}
	// What was acknowledged is on a majority; so many meet each majority.
	if enough := size - size/2; asked < enough {
		e := fault.New(fault.Unavailable, "log of attempt %v: %d of %d coordinators have nothing at byte %d, at least %d must answer to be sure; try again when more are up", key, asked, size, offset, enough)
		e.Err = failures
		return e
	}
	return nil
}

// fetchFrom keeps what one peer has of a log from an offset, up to fetchBytes.
func (r *Reader) fetchFrom(ctx context.Context, p Peer, key Key, offset uint64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	quiet := time.AfterFunc(silence, cancel)
	defer quiet.Stop()
	failed := func(err error) error {
		return fault.Wrap(err, fault.Unavailable, "coordinator %q: the log of attempt %v could not be fetched", p.ID, key)
	}
	stream, err := p.Client.ReadLog(ctx, &wire.ReadLogRequest{Ref: key.Ref(), Offset: offset})
	if err != nil {
		return failed(err)
	}
	var chunks []*wire.LogChunk
	var cleared *wire.LogChunk
	for bytes := 0; bytes < fetchBytes && cleared == nil; {
		c, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && KeyOf(c.GetRef()) != key {
			err = fault.New(fault.Corrupt, "it sent the log of attempt %v", KeyOf(c.GetRef()))
		}
		if err != nil {
			return failed(err)
		}
		quiet.Reset(silence)
		if bytes += len(c.Data); c.Cleared > 0 {
			cleared = c
		} else {
			chunks = append(chunks, c)
		}
	}
	quiet.Stop()
	if err := r.keep(ctx, chunks); err != nil {
		return failed(err)
	}
	if cleared != nil {
		if err := r.store.adopt(ctx, key, cleared); err != nil {
			return failed(err)
		}
	}
	return nil
}

// keep stores what a peer sent.
func (r *Reader) keep(ctx context.Context, chunks []*wire.LogChunk) error {
	if len(chunks) == 0 {
		return nil
	}
	acks, err := r.store.Append(ctx, chunks)
	if err != nil {
		return err
	}
	for _, a := range acks {
		if a.Error != "" {
			return errors.New(a.Error)
		}
	}
	return nil
}
