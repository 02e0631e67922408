package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"backfleet/api/client"
	v1 "backfleet/api/v1"
)

const (
	watchRefresh = 250 * time.Millisecond // at most this often, however much happens
	watchPoll    = 2 * time.Second        // at least this often, if no event comes
	watchLine    = 5 * time.Second        // between lines, where no terminal shows a bar
)

func (a *app) backfillWatch() *cobra.Command {
	c := &cobra.Command{
		Use: "watch BACKFILL", Short: "Show progress until a backfill is quiet",
		Long: `Shows a backfill's progress until nothing in it runs or can start by itself. The
exit status is 0 when all of it succeeded, otherwise 1. An interrupt ends the
watching, not the backfill.`,
		Example: "  backfleet backfill watch b12",
		Args:    exactly(1),
	}
	k := a.connects(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		cl, err := k.client()
		if err != nil {
			return err
		}
		return a.follow(c.Context(), cl, args[0], a.Out, true)
	}
	return c
}

// errNotSucceeded makes exit status 1.
var errNotSucceeded = errors.New("the backfill ended otherwise than succeeded")

// follow stays until the backfill is quiet and says how it ended.
func (a *app) follow(ctx context.Context, cl *client.Client, id string, w io.Writer, show bool) error {
	meter := a.meter(w, show)
	return a.look(ctx, cl, id, func(b *v1.Backfill) (bool, error) {
		if b.Summary.Quiet {
			meter.done(b)
			return true, ending(b)
		}
		meter.update(b)
		return false, nil
	})
}

// pause lasts until something changed, but neither too short nor too long.
func pause(ctx context.Context, changed <-chan struct{}) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(watchRefresh):
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-changed:
	case <-time.After(watchPoll - watchRefresh):
	}
	return nil
}

// ending is nil when everything succeeded.
func ending(b *v1.Backfill) error {
	s := b.Summary
	if s.State == v1.StateSucceeded {
		return nil
	}
	how := "some instances failed"
	switch {
	case s.Stopped:
		how = "it was stopped"
	case s.Halted:
		how = fmt.Sprintf("it was halted after %d failures", s.Counts.Failed)
	case s.State == v1.StateFrozen:
		how = "what is left of it is frozen"
	}
	return fmt.Errorf("%w: %s; %d of %d instances succeeded, %d failed (see backfleet backfill show %s)",
		errNotSucceeded, how, s.Counts.Succeeded, s.Counts.Total, s.Counts.Failed, s.ID)
}

// progressText is one line of progress.
func progressText(b *v1.Backfill) string {
	c := b.Summary.Counts
	done := c.Succeeded + c.Failed
	percent := 100.0
	if c.Total > 0 {
		percent = 100 * float64(done) / float64(c.Total)
	}
	text := fmt.Sprintf("%d/%d (%.1f%%) running=%d waiting=%d failed=%d", done, c.Total, percent, c.Running, c.NotRunning+c.WaitingTime, c.Failed)
	if c.Frozen > 0 {
		text += fmt.Sprintf(" frozen=%d", c.Frozen)
	}
	return text + rateText(b.Rate)
}

func rateText(r v1.Rate) string {
	text := ""
	if r.PerSecond > 0 {
		text = fmt.Sprintf(" %.1f/s", r.PerSecond)
	}
	if r.SecondsLeft != nil {
		text += " " + duration(time.Duration(*r.SecondsLeft*float64(time.Second))) + " left"
	}
	return text
}

// meter shows progress: a bar on a terminal, otherwise a line now and then.
type meter struct {
	app   *app
	w     io.Writer
	show  bool
	bar   *progressbar.ProgressBar
	lined time.Time
}

func (a *app) meter(w io.Writer, show bool) *meter { return &meter{app: a, w: w, show: show} }

func (m *meter) update(b *v1.Backfill) {
	switch {
	case !m.show:
	case onTerminal(m.w):
		m.draw(b)
	default:
		if now := m.app.Now(); now.Sub(m.lined) >= watchLine {
			m.lined = now
			m.line(b)
		}
	}
}

func (m *meter) draw(b *v1.Backfill) {
	c := b.Summary.Counts
	if m.bar == nil {
		m.bar = progressbar.NewOptions64(c.Total, progressbar.OptionSetWriter(m.w), progressbar.OptionSetWidth(24),
			progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(false), progressbar.OptionSetElapsedTime(false),
			progressbar.OptionEnableColorCodes(m.app.colours(m.w)), progressbar.OptionShowDescriptionAtLineEnd(),
			progressbar.OptionUseANSICodes(true))
	}
	text := fmt.Sprintf(" %s run %d wait %d fail %d", m.app.stateOf(m.w, b.Summary), c.Running, c.NotRunning+c.WaitingTime, c.Failed)
	m.bar.Describe(text + rateText(b.Rate))
	_ = m.bar.Set64(c.Succeeded + c.Failed) // a bar that cannot be drawn is no reason to stop
}

func (m *meter) line(b *v1.Backfill) {
	fmt.Fprintf(m.w, "%s %s: %s: %s\n", b.Summary.ID, b.Summary.Name, m.app.stateOf(m.w, b.Summary), progressText(b))
}

// done shows how it ended.
func (m *meter) done(b *v1.Backfill) {
	if m.bar != nil {
		m.draw(b)
		fmt.Fprintln(m.w)
	}
	if m.show {
		m.line(b)
	}
}
