package cli

import (
	"context"
	"fmt"
	"io"
	"os"

	tea "charm.land/bubbletea/v2"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"backfleet/api/cli/top"
	"backfleet/api/client"
	v1 "backfleet/api/v1"
)

func (a *app) topCommand() *cobra.Command {
	var once bool
	c := &cobra.Command{
		Use: "top", Short: "Watch the fleet and its backfills live, and steer them",
		Long: `Shows coordinators, resource groups, agents and backfills, live: enter goes from a
backfill to its dates, their instances and why these wait; / filters; p, r and s
pause, resume and stop a backfill after a confirmation; ? shows all keys. Without
a terminal, and with --once, it shows once how things are.`,
		Example: `  backfleet top
  backfleet top --once -o json`,
		Args: exactly(0),
	}
	k, out := a.connects(c), a.prints(c)
	c.Flags().BoolVar(&once, "once", false, "show it once, as plain tables")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := out.check(); err != nil {
			return err
		}
		cl, err := k.client()
		if err != nil {
			return err
		}
		if once || out.format != "table" || !onTerminal(a.Out) || !inTerminal(a.In) {
			return a.topOnce(c.Context(), cl, out)
		}
		return a.topLive(c.Context(), cl)
	}
	return c
}

// topOnce writes one snapshot; as names, the backfills that go on.
func (a *app) topOnce(ctx context.Context, cl *client.Client, out *output) error {
	s, err := top.Load(ctx, explained{cl}, a.Now())
	if err != nil {
		return err
	}
	var going []string
	for _, b := range s.Backfills {
		if !b.Quiet {
			going = append(going, b.ID)
		}
	}
	return out.answer(s, going, func(w io.Writer) {
		p := s.Page()
		for _, line := range p.Head {
			fmt.Fprintln(w, line)
		}
		for _, panel := range p.Panels {
			fmt.Fprintf(w, "\n%s\n", panel.Title)
			var rows [][]string
			for _, r := range panel.Rows {
				rows = append(rows, r.Cells)
			}
			a.grid(w, panel.Header, rows)
		}
	})
}

// topLive runs the view until it is left.
func (a *app) topLive(ctx context.Context, cl *client.Client) error {
	ctx, cancel := context.WithCancel(ctx)
	model := top.New(ctx, top.Options{Source: explained{cl}, Now: a.Now, Plain: !a.colours(a.Out)})
	program := tea.NewProgram(model, tea.WithContext(ctx), tea.WithInput(a.In), tea.WithOutput(a.Out), tea.WithoutSignalHandler())
	events := make(chan struct{})
	go func() { // a stream that fails for good leaves the polling
		defer close(events)
		_ = cl.Events(ctx, &v1.StreamEventsParams{}, func(v1.Event) error {
			program.Send(top.Changed{})
			return nil
		})
	}()
	_, err := program.Run()
	interrupted := ctx.Err()
	cancel()
	<-events
	if interrupted != nil {
		return interrupted
	}
	return err
}

// inTerminal says whether a person types what r reads.
func inTerminal(r io.Reader) bool {
	f, ok := r.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
