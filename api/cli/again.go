package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"backfleet/api/client"
	v1 "backfleet/api/v1"
)

// shows are the names of commands that only look at something.
var shows = []string{"list", "show", "status", "dates", "receipt", "operations", "schedule"}

// watched gives commands that look at something --watch.
func (a *app) watched(c *cobra.Command) {
	for _, below := range c.Commands() {
		a.watched(below)
	}
	k := a.connections[c]
	if k == nil || c.RunE == nil || !slices.Contains(shows, c.Name()) || c.Flags().Lookup("watch") != nil || c == a.local {
		return
	}
	var watch bool
	c.Flags().BoolVarP(&watch, "watch", "w", false, "stay, and show it again whenever it changes")
	once := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		if !watch {
			return once(c, args)
		}
		cl, err := k.client()
		if err != nil {
			return err
		}
		return a.again(c.Context(), c, cl, args, func() error { return once(c, args) })
	}
}

// again runs a command that looks at something whenever that may have changed,
// as `watch` does (watch.go), and shows what is new: drawn over what was there
// on a terminal, otherwise below it.
func (a *app) again(ctx context.Context, c *cobra.Command, cl *client.Client, args []string, once func() error) error {
	ctx, cancel := context.WithCancel(ctx)
	changed, ended := a.changes(ctx, c, cl, args)
	defer func() { cancel(); <-ended }()
	out := a.Out
	defer func() { a.Out = out }()
	last, shown := "", false
	for {
		var b bytes.Buffer
		if a.Out = &b; onTerminal(out) {
			width, height := a.size(out)
			a.Out = &display{&b, width, height}
		}
		if err := once(); err != nil {
			return err
		}
		if text := b.String(); !shown || text != last {
			a.frame(out, c, text, shown)
			last, shown = text, true
		}
		if err := pause(ctx, changed); err != nil {
			return err
		}
	}
}

// changes tells when the backfill that a command names may have changed. What
// names none is looked at now and then.
func (a *app) changes(ctx context.Context, c *cobra.Command, cl *client.Client, args []string) (changed, ended chan struct{}) {
	changed, ended = make(chan struct{}, 1), make(chan struct{})
	id := ""
	if words := strings.Fields(c.Use); len(words) > 1 && len(args) > 0 && (words[1] == "BACKFILL" || words[1] == "INSTANCE") {
		id, _, _ = strings.Cut(args[0], ".")
	}
	if id == "" {
		close(ended)
		return changed, ended
	}
	go func() { // a stream that fails for good leaves the looking now and then
		defer close(ended)
		_ = cl.Events(ctx, &v1.StreamEventsParams{Backfill: id}, func(v1.Event) error {
			select {
			case changed <- struct{}{}:
			default:
			}
			return nil
		})
	}()
	return changed, ended
}

// frame shows what there is now. Documents of JSON stand for themselves.
func (a *app) frame(out io.Writer, c *cobra.Command, text string, again bool) {
	if !onTerminal(out) {
		if f := c.Flags().Lookup(flagOutput); again && (f == nil || f.Value.String() != "json") {
			text = "---\n" + text
		}
		_, _ = io.WriteString(out, text)
		return
	}
	_, height := a.size(out)
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	title := fmt.Sprintf("%s  as of %s UTC, until interrupted", c.CommandPath(), a.Now().UTC().Format("15:04:05"))
	if most := max(1, height-3); len(lines) > most {
		title += fmt.Sprintf("; %d lines more", len(lines)-most)
		lines = lines[:most]
	}
	begin := "\x1b[H" // from the top, over what was there
	if !again {
		begin = "\x1b[2J\x1b[H"
	}
	lines = append([]string{title, ""}, lines...)
	_, _ = io.WriteString(out, begin+strings.Join(lines, "\x1b[K\n")+"\x1b[K\n\x1b[J")
}
