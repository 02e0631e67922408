package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"backfleet/api/cli/explain"
	"backfleet/api/client"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
)

// explainOptions bound an explanation.
type explainOptions struct {
	*app
	connection     *connection
	output         *output
	depth, breadth int
}

func (a *app) explains(c *cobra.Command) *explainOptions {
	o := &explainOptions{app: a, connection: a.connects(c), output: a.prints(c)}
	c.Flags().IntVar(&o.depth, "depth", 8, "follow causes so far, 1 to 50")
	c.Flags().IntVar(&o.breadth, "breadth", 3, "show so many of what is alike, and count the rest, 1 to 100")
	return o
}

// begin checks the flags and makes what is asked.
func (o *explainOptions) begin() (explain.Source, explain.Options, error) {
	bounds := explain.Options{Depth: o.depth, Breadth: o.breadth, Now: o.Now()}
	if err := o.output.check(); err != nil {
		return nil, bounds, err
	}
	switch {
	case o.depth < 1 || o.depth > 50:
		return nil, bounds, fault.Field("--depth", "%d is not possible: expected 1 to 50", o.depth)
	case o.breadth < 1 || o.breadth > 100:
		return nil, bounds, fault.Field("--breadth", "%d is not possible: expected 1 to 100", o.breadth)
	}
	cl, err := o.connection.client()
	return explained{cl}, bounds, err
}

func (a *app) instanceExplain() *cobra.Command {
	c := &cobra.Command{
		Use: "explain INSTANCE", Short: "Say why an instance waits, down to the root causes, or how it ended",
		Long: `Says in one sentence why an instance waits, then as a tree: what it waits for, what
that waits for, and so on through upstreams, gates, cycles and slots, down to what
a person can change. What several wait for is shown once. Of one that has ended
it says how: attempts, exit codes and the end of what it wrote to stderr.`,
		Example: `  backfleet instance explain b12.345
  backfleet instance explain b12.345 --depth 2 --breadth 10 -o json`,
		Args: exactly(1),
	}
	o := a.explains(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := instanceID(args[0]); err != nil {
			return err
		}
		source, bounds, err := o.begin()
		if err != nil {
			return err
		}
		story, err := explain.Instance(c.Context(), source, args[0], bounds)
		if err != nil {
			return err
		}
		var roots []string
		for _, r := range story.Roots {
			if r.Instance != "" {
				roots = append(roots, r.Instance)
			}
		}
		return o.output.answer(story, roots, func(w io.Writer) { o.tell(w, story) })
	}
	return c
}

func (o *explainOptions) tell(w io.Writer, s *explain.Story) {
	fmt.Fprintln(w, s.Sentence)
	if len(s.Attempts) > 0 {
		fmt.Fprintln(w)
		o.showAttempts(w, s.Attempts)
	}
	if len(s.Root.Because) > 0 || len(s.Root.Lines) > 0 {
		fmt.Fprintln(w)
		for _, line := range explain.Lines(s.Root, func(state v1.State) string { return o.state(w, state) }) {
			fmt.Fprintln(w, line)
		}
	}
	var told []string
	for _, r := range s.Roots {
		if r.Do != "" && len(told) < fewLines {
			told = append(told, r.Do)
		}
	}
	if len(told) > 0 {
		fmt.Fprintln(w, "\nWhat to do:")
		for _, do := range told {
			fmt.Fprintln(w, "  "+do)
		}
	}
}

func (a *app) backfillExplain() *cobra.Command {
	c := &cobra.Command{
		Use: "explain BACKFILL", Short: "Say what holds a backfill, and what to do",
		Long: `Says what holds a backfill: what failed or is frozen, and what the first instances
of each group wait for, grouped, with how many instances each cause holds; what
only a person can change comes first.`,
		Example: "  backfleet backfill explain b12",
		Args:    exactly(1),
	}
	o := a.explains(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := planID(args[0]); err != nil {
			return err
		}
		source, bounds, err := o.begin()
		if err != nil {
			return err
		}
		h, err := explain.Backfill(c.Context(), source, args[0], bounds)
		if err != nil {
			return err
		}
		return o.output.answer(h, []string{args[0]}, func(w io.Writer) { o.tellBackfill(w, h) })
	}
	return c
}

func (o *explainOptions) tellBackfill(w io.Writer, h *explain.Holding) {
	fmt.Fprintln(w, h.Sentence)
	if len(h.Causes) == 0 {
		return
	}
	fmt.Fprintln(w)
	var rows [][]string
	for _, c := range h.Causes {
		rows = append(rows, []string{count(c.Holds), c.Text, strings.Join(c.Dates, " "), strings.Join(c.Instances, " "), c.Do})
	}
	o.grid(w, []string{"HOLDS", "CAUSE", "AT", "INSTANCES", "WHAT TO DO"}, rows)
}

// showAttempts writes attempts, one in a line.
func (a *app) showAttempts(w io.Writer, list []v1.Attempt) {
	var rows [][]string
	for _, t := range list {
		exit := ""
		if t.ExitCode != nil {
			exit = count(*t.ExitCode)
		}
		rows = append(rows, []string{count(t.Number), string(t.State), t.Agent, moment(t.StartedAt), took(t.StartedAt, t.EndedAt), exit,
			count(t.Fence), count(t.CodeVersion), t.Cause, metricsText(t.Metrics)})
	}
	a.grid(w, []string{"ATTEMPT", "STATE", "AGENT", "STARTED", "TOOK", "EXIT", "FENCE", "CODE", "CAUSE", "METRICS"}, rows)
}

// explained asks the API for an explanation.
type explained struct{ *client.Client }

// Instances asks for one state after the other, so that what comes first is not
// cut off by what there is most of.
func (e explained) Instances(ctx context.Context, f explain.Filter) ([]v1.Instance, bool, error) {
	items, more := []v1.Instance{}, false
	for _, state := range f.States {
		left := f.Limit - len(items)
		if left == 0 {
			return items, true, nil
		}
		p, err := e.Client.Instances(ctx, f.Backfill, &v1.ListInstancesParams{
			Node: oneOf(f.Node), DateFrom: f.From, DateTo: f.To, State: oneState(state), Limit: left,
		})
		if err != nil {
			return nil, false, err
		}
		items, more = append(items, p.Items...), more || p.Next != ""
	}
	return items, more, nil
}

func (e explained) Holders(ctx context.Context, group string) ([]v1.AgentAttempt, error) {
	const most = 20 // agents that are asked
	p, err := e.Agents(ctx, &v1.ListAgentsParams{Group: group, Limit: most})
	if err != nil {
		return nil, err
	}
	var out []v1.AgentAttempt
	for _, a := range p.Items {
		if a.Attempts == 0 {
			continue
		}
		d, err := e.Agent(ctx, a.ID)
		if fault.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, t := range d.Attempts {
			if t.ResourceGroup == group && t.State == v1.AttemptStateRunning {
				out = append(out, t)
			}
		}
	}
	return out, nil
}

func (e explained) Stderr(ctx context.Context, instance string, attempt, lines int) ([]string, error) {
	p, err := e.Log(ctx, instance, &v1.ReadLogParams{Attempt: attempt, Tail: lines, Stream: v1.LogStreamStderr})
	if err != nil {
		return nil, err
	}
	var out []string
	open := false
	for _, l := range p.Lines {
		plain := strings.ToValidUTF8(text.StripEscape(l.Text), "�")
		if open {
			out[len(out)-1] += plain
		} else {
			out = append(out, plain)
		}
		open = l.Partial
	}
	return out, nil
}
