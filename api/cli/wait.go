package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"backfleet/api/client"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
)

// look asks for a backfill whenever it may have changed, until done says so or
// fails.
func (a *app) look(ctx context.Context, cl *client.Client, id string, done func(*v1.Backfill) (bool, error)) error {
	ctx, cancel := context.WithCancel(ctx)
	changed := make(chan struct{}, 1)
	events := make(chan struct{})
	go func() { // a stream that fails for good leaves the polling
		defer close(events)
		_ = cl.Events(ctx, &v1.StreamEventsParams{Backfill: id}, func(v1.Event) error {
			select {
			case changed <- struct{}{}:
			default:
			}
			return nil
		})
	}()
	defer func() { cancel(); <-events }()
	for {
		b, err := cl.Backfill(ctx, id)
		if err != nil {
			return err
		}
		if end, err := done(b); end || err != nil {
			return err
		}
		if err := pause(ctx, changed); err != nil {
			return err
		}
	}
}

// goals are what can be waited for.
var (
	goals  = []string{"succeeded", "finished", "running"}
	notYet = map[string]string{"succeeded": "has not succeeded", "finished": "is not finished", "running": "does not run"}
)

// reached says whether a backfill is where it is to be. An error says that it
// does not get there by itself any more.
func reached(goal string, b *v1.Backfill) (bool, error) {
	s := b.Summary
	switch goal {
	case "running":
		if s.Counts.Running+s.Counts.Succeeded+s.Counts.Failed > 0 {
			return true, nil
		}
		if s.Quiet {
			return false, fmt.Errorf("%w (see backfleet backfill explain %s)", errNotRunning, s.ID)
		}
		return false, nil
	case "finished":
		return s.Quiet, nil
	}
	if s.Quiet {
		return true, ending(b)
	}
	return false, nil
}

var errNotRunning = errors.New("nothing of the backfill runs or will by itself")

// within bounds waiting; 0: not at all.
func within(ctx context.Context, limit time.Duration, what string, wait func(context.Context) error) error {
	if limit <= 0 {
		return wait(ctx)
	}
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := wait(bounded)
	if err != nil && ctx.Err() == nil && bounded.Err() != nil {
		return fault.New(fault.Timeout, "%s after %s", what, limit)
	}
	return err
}

func (a *app) backfillWait() *cobra.Command {
	var goal string
	var limit time.Duration
	c := &cobra.Command{
		Use: "wait BACKFILL [flags]", Short: "Stay until a backfill has come so far",
		Long: `Stays, silently, until a backfill has succeeded, is finished (nothing in it runs or
can start by itself), or runs. The exit status is 0 when it has come so far, 1 when
it will not by itself any more, and 7 when --within has passed.`,
		Example: `  backfleet backfill wait b12
  backfleet backfill wait b12 --for running --within 10m`,
		Args: exactly(1),
	}
	k, out := a.connects(c), a.prints(c)
	c.Flags().StringVar(&goal, "for", "succeeded", "`succeeded`, finished or running")
	c.Flags().DurationVar(&limit, "within", 0, "give up after so long; 0: never")
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := planID(args[0]); err != nil {
			return err
		}
		if err := wordOf("--for", goal, goals); err != nil {
			return err
		}
		if limit < 0 {
			return fault.Field("--within", "%s is not possible: expected 0 or more", limit)
		}
		if err := out.check(); err != nil {
			return err
		}
		cl, err := k.client()
		if err != nil {
			return err
		}
		var last *v1.Backfill
		err = within(c.Context(), limit, args[0]+" "+notYet[goal], func(ctx context.Context) error {
			return a.look(ctx, cl, args[0], func(b *v1.Backfill) (bool, error) { last = b; return reached(goal, b) })
		})
		if last == nil {
			return err
		}
		told := out.answer(last.Summary, args, func(w io.Writer) { a.meter(w, true).line(last) })
		return errors.Join(err, told)
	}
	return c
}

// wordOf checks a flag that takes one of some words.
func wordOf(flag, word string, words []string) error {
	for _, w := range words {
		if w == word {
			return nil
		}
	}
	last := len(words) - 1
	return fault.Field(flag, "%q is not known: expected %s or %s", word, strings.Join(words[:last], ", "), words[last])
}

// waiting are the flags of commands that can stay until what they began is over.
type waiting struct {
	app         *app
	wait, watch bool
}

// waits adds the flags; until says when it is over.
func (a *app) waits(c *cobra.Command, until string) *waiting {
	w := &waiting{app: a}
	c.Flags().BoolVar(&w.wait, "wait", false, "stay, silently, until "+until)
	return w
}

// watches adds the flag that shows progress, too.
func (w *waiting) watches(c *cobra.Command) {
	c.Flags().BoolVar(&w.watch, "watch", false, "stay and show progress until it is quiet")
}

func (w *waiting) check() error {
	if w.watch && w.wait {
		return fault.Field("--watch", "either --watch or --wait: one shows progress, the other does not")
	}
	return nil
}

// quiet stays, if that was asked for, until the backfills are quiet; the error
// says which did not succeed.
func (w *waiting) quiet(ctx context.Context, cl *client.Client, ids []string) error {
	if !w.wait && !w.watch {
		return nil
	}
	var err error
	for _, id := range ids {
		err = errors.Join(err, w.app.follow(ctx, cl, id, w.app.Err, w.watch))
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return err
}

// still stays, if that was asked for, until nothing of the backfills runs.
func (w *waiting) still(ctx context.Context, cl *client.Client, ids []string) error {
	if !w.wait {
		return nil
	}
	for _, id := range ids {
		err := w.app.look(ctx, cl, id, func(b *v1.Backfill) (bool, error) { return b.Summary.Counts.Running == 0, nil })
		if err != nil {
			return err
		}
	}
	return nil
}

// mostAwaited is how many instances one call waits for: each is asked for.
const mostAwaited = 100

// instances stays, if that was asked for, until the instances have ended or wait
// for what does not go on.
func (w *waiting) instances(ctx context.Context, cl *client.Client, ids []string) error {
	if !w.wait {
		return nil
	}
	of := map[string][]string{}
	var order []string
	for _, id := range ids {
		backfill, _, _ := strings.Cut(id, ".")
		if of[backfill] == nil {
			order = append(order, backfill)
		}
		of[backfill] = append(of[backfill], id)
	}
	var all error
	for _, backfill := range order {
		open := of[backfill]
		err := w.app.look(ctx, cl, backfill, func(b *v1.Backfill) (bool, error) {
			var rest []string
			for _, id := range open {
				d, err := cl.Instance(ctx, id)
				if err != nil {
					return false, err
				}
				switch i := d.Instance; {
				case i.State == v1.StateSucceeded:
				case i.State == v1.StateFailed:
					all = errors.Join(all, fmt.Errorf("%s failed: %s (see backfleet instance explain %s)", id, orDash(i.Cause), id))
				case b.Summary.Quiet:
					all = errors.Join(all, fmt.Errorf("%s waits, and nothing goes on by itself (see backfleet instance explain %s)", id, id))
				default:
					rest = append(rest, id)
				}
			}
			open = rest
			return len(rest) == 0, nil
		})
		if err != nil {
			return err
		}
	}
	return all
}
