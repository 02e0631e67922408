package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"backfleet/api/client"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
)

func (a *app) instanceCommand() *cobra.Command {
	below := []*cobra.Command{a.instanceList(), a.instanceShow(), a.instanceLogs()}
	for _, act := range instanceActs {
		below = append(below, a.instanceAct(act))
	}
	return group("instance", "Look at instances, why they wait, and their logs; operate them", below...)
}

func (a *app) instanceList() *cobra.Command {
	c := &cobra.Command{
		Use: "list BACKFILL", Short: "List instances of a backfill",
		Example: `  backfleet instance list b12 --state failed
  backfleet instance list b12 --node dwd_orders --date-from 2012-02-01 --date-to 2012-02-29 --limit 0 -o name`,
		Args: exactly(1),
	}
	var node, from, to, state string
	l := a.lists(c, false)
	c.Flags().StringVar(&node, "node", "", "only of this node, by `id`")
	c.Flags().StringVar(&from, "date-from", "", "data timestamps from `yyyy-mm-dd`")
	c.Flags().StringVar(&to, "date-to", "", "data timestamps to `yyyy-mm-dd`")
	c.Flags().StringVar(&state, "state", "", "only those in this `state`")
	c.RunE = func(c *cobra.Command, args []string) error {
		only, err := readState(state)
		if err != nil {
			return err
		}
		return listing(c.Context(), l, func(cl *client.Client, ctx context.Context, cursor string, limit int) ([]v1.Instance, string, error) {
			p, err := cl.Instances(ctx, args[0], &v1.ListInstancesParams{Node: node, DateFrom: from, DateTo: to, State: only, Cursor: cursor, Limit: limit})
			if err != nil {
				return nil, "", err
			}
			return p.Items, p.Next, nil
		}, func(i v1.Instance) string { return i.ID },
			[]string{"ID", "NODE", "DATE", "SCHEDULED", "STATE", "GROUP", "PRIORITY", "ATTEMPTS", "AGENT", "STARTED", "TOOK", "CAUSE"},
			func(w io.Writer, i v1.Instance) []string {
				return []string{i.ID, i.Node, i.Date, i.ScheduledTime.Format("2006-01-02 15:04"), a.instanceState(w, i), count(i.Group),
					count(i.Priority), count(i.Attempts), i.Agent, moment(i.StartedAt), took(i.StartedAt, i.EndedAt), i.Cause}
			})
	}
	return c
}

// instanceState is the state with its marks (RULES R8).
func (a *app) instanceState(w io.Writer, i v1.Instance) string {
	text := a.state(w, i.State)
	if i.DryRun != "" {
		text += " (dry run: " + string(i.DryRun) + ")"
	}
	if i.SetToSuccess {
		text += " (set to success)"
	}
	if i.Forced {
		text += " (forced)"
	}
	return text
}

func took(from, to *time.Time) string {
	if from == nil || to == nil {
		return ""
	}
	return to.Sub(*from).Round(time.Millisecond).String()
}

func (a *app) instanceShow() *cobra.Command {
	c := &cobra.Command{
		Use: "show INSTANCE", Short: "Show an instance, why it waits, and its attempts",
		Example: "  backfleet instance show b12.345",
		Args:    exactly(1),
	}
	k, out := a.connects(c), a.prints(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		cl, err := k.client()
		if err != nil {
			return err
		}
		d, err := cl.Instance(c.Context(), args[0])
		if err != nil {
			return err
		}
		return out.answer(d, []string{d.Instance.ID}, func(w io.Writer) { a.showInstance(w, d) })
	}
	return c
}

func (a *app) showInstance(w io.Writer, d *v1.InstanceDetail) {
	i := d.Instance
	why, conflict := "", ""
	if d.Reason != nil {
		why = d.Reason.Text
	}
	if d.Conflict != nil {
		conflict = d.Conflict.Text
	}
	priority := count(i.Priority)
	if d.PriorityOverride != 0 {
		priority += " (set by hand)"
	}
	sheet(w, "Id", i.ID, "Node", strings.TrimSpace(i.Node+" "+d.NodeName), "State", a.instanceState(w, i), "Why", why, "Conflict", conflict,
		"Data timestamp", i.Date, "Scheduled", i.ScheduledTime.Format("2006-01-02 15:04:05 -07:00")+" "+d.Zone,
		"Due", moment(&d.Due)+" UTC", "Group", count(i.Group), "Priority", priority, "Resource group", d.ResourceGroup,
		"Gave way", nonZero(int32(d.Yields)), "Waits no longer for", strings.Join(d.RemovedUpstreams, " "))
	for _, m := range d.Marks {
		fmt.Fprintf(w, "Mark: %s\n", m.Text)
	}
	for _, v := range d.Values {
		fmt.Fprintf(w, "Value: %s=%s\n", v.Name, v.Value)
	}
	if len(d.Attempts) == 0 {
		return
	}
	fmt.Fprintln(w)
	var rows [][]string
	for _, t := range d.Attempts {
		exit := ""
		if t.ExitCode != nil {
			exit = count(*t.ExitCode)
		}
		rows = append(rows, []string{count(t.Number), string(t.State), t.Agent, moment(t.StartedAt), took(t.StartedAt, t.EndedAt), exit,
			count(t.Fence), count(t.CodeVersion), t.Cause})
	}
	a.grid(w, []string{"ATTEMPT", "STATE", "AGENT", "STARTED", "TOOK", "EXIT", "FENCE", "CODE", "CAUSE"}, rows)
}

type logsOptions struct {
	*app
	connection *connection
	follow     bool
	attempt    int
	tail       int
	stream     string
	timestamps bool
}

func (a *app) instanceLogs() *cobra.Command {
	o := &logsOptions{app: a}
	c := &cobra.Command{
		Use: "logs INSTANCE", Short: "Print an attempt's log",
		Long: `Prints what an attempt wrote, stdout and stderr in their order. With --follow it
goes on until the attempt ends, also when it is handed to another coordinator.`,
		Example: `  backfleet instance logs b12.345 --follow
  backfleet instance logs b12.345 --attempt 1 --timestamps --stream stderr
  backfleet instance logs b12.345 --tail 20`,
		Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error { return o.run(c.Context(), args[0]) },
	}
	c.Flags().BoolVarP(&o.follow, "follow", "f", false, "go on as the log grows")
	c.Flags().IntVar(&o.attempt, "attempt", 0, "`number` of the attempt, from 1; default the newest")
	c.Flags().IntVar(&o.tail, "tail", 0, "only the last so many `lines`")
	c.Flags().StringVar(&o.stream, "stream", "", "only `stdout` or stderr")
	c.Flags().BoolVar(&o.timestamps, "timestamps", false, "begin each line with its time and stream")
	o.connection = a.connects(c)
	return c
}

func (o *logsOptions) run(ctx context.Context, id string) error {
	stream := v1.LogStream(o.stream)
	if stream != "" && !stream.Valid() {
		return fault.Field("--stream", "%q is not known: expected stdout or stderr", o.stream)
	}
	cl, err := o.connection.client()
	if err != nil {
		return err
	}
	var offset uint64
	attempt := o.attempt
	if !o.follow || o.tail > 0 {
		next := v1.ReadLogParams{Attempt: attempt, Tail: o.tail, Stream: stream}
		for {
			page, err := cl.Log(ctx, id, &next)
			if err != nil {
				return err
			}
			if err := o.print(page.Lines); err != nil {
				return err
			}
			attempt, offset = page.Attempt, page.Next
			if page.Complete {
				return nil
			}
			if o.tail > 0 || page.Next >= page.Size || page.Next == next.Offset {
				break
			}
			next.Attempt, next.Offset = attempt, offset
		}
	}
	if !o.follow {
		return nil
	}
	return cl.Follow(ctx, id, &v1.FollowLogParams{Attempt: attempt, Offset: offset, Stream: stream},
		func(l v1.LogLines) error { return o.print(l.Lines) })
}

// print writes lines as the process did, or each piece with its time.
func (o *logsOptions) print(lines []v1.LogLine) error {
	var b strings.Builder
	for _, l := range lines {
		if o.timestamps {
			fmt.Fprintf(&b, "%s %s ", l.Time.Format("2006-01-02T15:04:05.000Z07:00"), l.Stream)
		}
		b.WriteString(l.Text)
		if o.timestamps || !l.Partial {
			b.WriteByte('\n')
		}
	}
	_, err := io.WriteString(o.Out, b.String())
	return err
}
