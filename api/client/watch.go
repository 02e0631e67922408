package client

import (
	"context"
	"iter"
	"time"

	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
)

// How often a backfill that is watched is looked at: at most and, when no event
// says that it changed, at least.
const (
	watchPause = 250 * time.Millisecond
	watchPoll  = 2 * time.Second
)

// Watch gives a backfill as it is, and again whenever it has changed, until
// nothing of it runs or can start without a person. The last one says how it
// ended: what it succeeded with, or an error as the last of the loop.
func (c *Client) Watch(ctx context.Context, id string) iter.Seq2[*v1.Backfill, error] {
	return func(yield func(*v1.Backfill, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		changed, ended := make(chan struct{}, 1), make(chan struct{})
		go func() { // a lost event is harmless: it is looked at anyway
			defer close(ended)
			_ = c.Events(ctx, &v1.StreamEventsParams{Backfill: id}, func(v1.Event) error {
				select {
				case changed <- struct{}{}:
				default:
				}
				return nil
			})
		}()
		defer func() { cancel(); <-ended }()
		for {
			b, err := c.Backfill(ctx, id)
			if !yield(b, err) || err != nil || b.Summary.Quiet {
				return
			}
			if err := rest(ctx, changed); err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// rest waits for the next look.
func rest(ctx context.Context, changed <-chan struct{}) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(watchPause):
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-changed:
	case <-time.After(watchPoll - watchPause):
	}
	return nil
}

// Wait waits until nothing of a backfill runs or can start without a person, and
// gives it as it is then: whether it succeeded is its state.
func (c *Client) Wait(ctx context.Context, id string) (*v1.Backfill, error) {
	for b, err := range c.Watch(ctx, id) {
		if err != nil || b.Summary.Quiet {
			return b, err
		}
	}
	return nil, fault.New(fault.Internal, "watching %s ended before it was quiet", id) // never: it ends with one of both
}

// Lines gives an attempt's log as it grows, until its end. p may be nil.
func (c *Client) Lines(ctx context.Context, instance string, p *v1.FollowLogParams) iter.Seq2[v1.LogLines, error] {
	return func(yield func(v1.LogLines, error) bool) {
		left := false
		err := c.Follow(ctx, instance, p, func(lines v1.LogLines) error {
			if left = !yield(lines, nil); left {
				return errEnd
			}
			return nil
		})
		if err != nil && !left {
			yield(v1.LogLines{}, err)
		}
	}
}
