package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"backfleet/api/client"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
)

func (a *app) backfillList() *cobra.Command {
	c := &cobra.Command{
		Use: "list", Short: "List backfills, newest first",
		Example: `  backfleet backfill list --contains orders --state failed,running
  backfleet backfill list --mine --sort state
  backfleet backfill list --my-nodes --date-from 2012-02-01 --date-to 2012-02-29`,
		Args: exactly(0),
	}
	var kind, from, to, sort string
	var states []string
	var nodes nodeFlags
	var plans planFlags
	l := a.lists(c, true)
	stateFlag(c, &states)
	plans.flags(c)
	dateFlags(c, &from, &to)
	nodes.flags(c, "those with")
	c.Flags().StringVar(&sort, "sort", "", "`order`: created, -created (the newest first), name, -name or state")
	c.Flags().StringVar(&kind, "kind", string(v1.PlanFilterBackfill), "`backfill`: what people asked for; auto: the schedule's days; all: both")
	c.RunE = func(c *cobra.Command, _ []string) error {
		only, err := readStates(states)
		if err != nil {
			return err
		}
		if !v1.PlanFilter(kind).Valid() {
			return fault.Field("--kind", "%q is not known: expected backfill, auto or all", kind)
		}
		return listing(c.Context(), l, func(cl *client.Client, ctx context.Context, cursor string, limit int) ([]v1.BackfillSummary, string, error) {
			p, err := cl.Backfills(ctx, &v1.ListBackfillsParams{
				Contains: l.contains, State: only, Kind: v1.PlanFilter(kind), CreatedBy: plans.by, CreatedFrom: plans.from, CreatedTo: plans.to,
				Mine: plans.mine, DateFrom: from, DateTo: to, Node: nodes.ids, NodeContains: nodes.contains, Type: nodes.types, Owner: nodes.owners,
				Workspace: nodes.workspaces, ResourceGroup: nodes.groups, MyNodes: nodes.mine, Sort: v1.BackfillSort(sort), Cursor: cursor, Limit: limit,
			})
			if err != nil {
				return nil, "", err
			}
			return p.Items, p.Next, nil
		}, func(b v1.BackfillSummary) string { return b.ID }, []string{"ID", "NAME", "STATE", "DONE", "FAILED", "CREATED", "BY"},
			func(w io.Writer, b v1.BackfillSummary) []string {
				return []string{b.ID, b.Name, a.stateOf(w, b), fmt.Sprintf("%d/%d", b.Counts.Succeeded, b.Counts.Total),
					count(b.Counts.Failed), moment(&b.CreatedAt), b.CreatedBy}
			})
	}
	return c
}

// stateOf is a backfill's state with what stands beside it (RULES R8).
func (a *app) stateOf(w io.Writer, b v1.BackfillSummary) string {
	marks := ""
	for _, m := range []struct {
		set  bool
		name string
	}{{b.Paused, "paused"}, {b.Stopped, "stopped"}, {b.Halted, "halted"}} {
		if m.set {
			marks += ", " + m.name
		}
	}
	return a.state(w, b.State) + marks
}

func (a *app) backfillShow() *cobra.Command {
	c := &cobra.Command{
		Use: "show BACKFILL", Short: "Show a backfill, its groups and totals",
		Example: "  backfleet backfill show b12",
	}
	return showsOne(a, c, (*client.Client).Backfill, func(b *v1.Backfill) string { return b.Summary.ID }, a.showBackfill)
}

func (a *app) showBackfill(w io.Writer, b *v1.Backfill) {
	s, r := b.Summary, b.Request
	sheet(w, "Id", s.ID, "Name", s.Name, "State", a.stateOf(w, s), "Node", r.Root, "Mode", string(r.Mode), "Chain to", r.End,
		"Chosen", chosenText(r), "Fields", fieldsText(r.Fields), "Dates", strings.Join(r.Dates, " "), "Order", string(r.Order), "Gate", string(r.Gate), "On failure", string(r.OnFailure),
		"On conflict", string(r.OnConflict), "Period", periodText(r.Period, r.Zone), "Resource group", r.ResourceGroup,
		"Priority", nonZero(r.Priority), "Most running", nonZero(r.MaxRunning),
		"Created", moment(&s.CreatedAt)+" by "+s.CreatedBy, "Progress", progressText(b))
	showTotals(w, b.Receipt)
	fmt.Fprintln(w)
	var rows [][]string
	for _, g := range b.Groups {
		rows = append(rows, []string{count(g.Group), a.state(w, g.State), fmt.Sprintf("%d/%d", g.DatesDone, g.Dates), g.Current,
			fmt.Sprintf("%d/%d", g.Counts.Succeeded, g.Counts.Total), count(g.Counts.Running), count(g.Counts.Failed), g.Reason})
	}
	a.grid(w, []string{"GROUP", "STATE", "DATES", "AT", "SUCCEEDED", "RUNNING", "FAILED", "HELD BY"}, rows)
	a.warn(b.Warnings)
}

// chosenText says how nodes were chosen, beyond the root.
func chosenText(r v1.BackfillRequest) string {
	var parts []string
	add := func(what string, list []string) {
		if len(list) > 0 {
			parts = append(parts, what+strings.Join(list, " "))
		}
	}
	add("", r.Nodes)
	if r.Mode == v1.ModeMassive && len(r.Workspaces) == 0 {
		parts = append(parts, "in the root's workspace")
	}
	add("in workspaces ", r.Workspaces)
	add("also ", r.Whitelist)
	add("without ", r.Blacklist)
	for _, f := range r.Filters {
		parts = append(parts, "where "+filterText(f))
	}
	return strings.Join(parts, ", ")
}

func nonZero(n int32) string {
	if n == 0 {
		return ""
	}
	return count(n)
}

func showTotals(w io.Writer, t v1.ReceiptTotals) {
	fmt.Fprintf(w, "Receipt: %d generated = %d succeeded + %d set to success + %d dry run + %d failed + %d stopped + %d frozen + %d running + %d waiting\n",
		t.Generated, t.Succeeded, t.SetToSuccess, t.DryRun, t.Failed, t.Stopped, t.Frozen, t.Running, t.Waiting)
}

type receiptOptions struct {
	*listOptions
	by       string
	node     string
	from, to string
}

func (a *app) backfillReceipt() *cobra.Command {
	c := &cobra.Command{
		Use: "receipt BACKFILL", Short: "Account for every instance, per node or date",
		Example: `  backfleet backfill receipt b12
  backfleet backfill receipt b12 --by nodeAndDate --date-from 2012-02-01 --date-to 2012-02-29 -o json`,
		Args: exactly(1),
	}
	o := &receiptOptions{listOptions: a.lists(c, false)}
	c.Flags().StringVar(&o.by, "by", string(v1.ReceiptByNode), "a row for each `node`, date or nodeAndDate")
	c.Flags().StringVar(&o.node, "node", "", "only this node, by `id`")
	c.Flags().StringVar(&o.from, "date-from", "", "data timestamps from `yyyy-mm-dd`")
	c.Flags().StringVar(&o.to, "date-to", "", "data timestamps to `yyyy-mm-dd`")
	c.RunE = func(c *cobra.Command, args []string) error { return o.run(c.Context(), args[0]) }
	return c
}

func (o *receiptOptions) run(ctx context.Context, id string) error {
	cl, err := o.connection.client()
	if err != nil {
		return err
	}
	var first *v1.Receipt
	rows, err := all(ctx, o.limit, func(ctx context.Context, cursor string, limit int) ([]v1.ReceiptRow, string, error) {
		r, err := cl.Receipt(ctx, id, &v1.GetReceiptParams{By: v1.ReceiptBy(o.by), Node: o.node, DateFrom: o.from, DateTo: o.to, Cursor: cursor, Limit: limit})
		if err != nil {
			return nil, "", err
		}
		if first == nil {
			first = r
		}
		return r.Rows, r.Next, nil
	})
	if err != nil {
		return err
	}
	first.Rows, first.Next = rows, ""
	return o.output.answer(first, []string{id}, func(w io.Writer) {
		showTotals(w, first.Totals)
		fmt.Fprintln(w)
		var cells [][]string
		for _, r := range rows {
			t := r.Totals
			var reasons []string
			for _, reason := range r.Reasons {
				reasons = append(reasons, fmt.Sprintf("%d: %s", reason.Instances, reason.Text))
			}
			cells = append(cells, []string{r.Node, r.Date, count(t.Generated), count(t.Succeeded), count(t.SetToSuccess), count(t.DryRun),
				count(t.Failed), count(t.Stopped), count(t.Frozen), count(t.Running), count(t.Waiting), strings.Join(reasons, "; ")})
		}
		o.grid(w, []string{"NODE", "DATE", "GENERATED", "SUCCEEDED", "SET", "DRY RUN", "FAILED", "STOPPED", "FROZEN", "RUNNING", "WAITING", "WHY"}, cells)
	})
}

func (a *app) backfillDates() *cobra.Command {
	c := &cobra.Command{
		Use: "dates BACKFILL", Short: "List a backfill's dates in the order in which they run",
		Example: "  backfleet backfill dates b12 --group 3",
		Args:    exactly(1),
	}
	var state string
	var of int
	l := a.lists(c, false)
	c.Flags().StringVar(&state, "state", "", "only those in this `state`")
	c.Flags().IntVar(&of, "group", 0, "only this group, from 1")
	c.RunE = func(c *cobra.Command, args []string) error {
		only, err := readState(state)
		if err != nil {
			return err
		}
		return listing(c.Context(), l, func(cl *client.Client, ctx context.Context, cursor string, limit int) ([]v1.DateProgress, string, error) {
			p, err := cl.Dates(ctx, args[0], &v1.ListDatesParams{Group: of, State: only, Cursor: cursor, Limit: limit})
			if err != nil {
				return nil, "", err
			}
			return p.Items, p.Next, nil
		}, func(d v1.DateProgress) string { return d.Date }, []string{"DATE", "GROUP", "PLACE", "STATE", "SUCCEEDED", "FAILED", "HELD BY"},
			func(w io.Writer, d v1.DateProgress) []string {
				return []string{d.Date, count(d.Group), count(d.Place), a.state(w, d.State),
					fmt.Sprintf("%d/%d", d.Counts.Succeeded, d.Counts.Total), count(d.Counts.Failed), d.Reason}
			})
	}
	return c
}

func (a *app) backfillFailures() *cobra.Command {
	c := &cobra.Command{
		Use: "failures BACKFILL", Short: "List what failed in a backfill, by what it has in common",
		Long: `List what failed in a backfill, the largest group first: causes that are alike
but for numbers, dates and names. The id of a group is for backfill rerun
--failure and instance list --failure.`,
		Example: "  backfleet backfill failures b12",
		Args:    exactly(1),
	}
	l := a.lists(c, false)
	c.RunE = func(c *cobra.Command, args []string) error {
		return listing(c.Context(), l, func(cl *client.Client, ctx context.Context, _ string, limit int) ([]v1.FailureGroup, string, error) {
			f, err := cl.Failures(ctx, args[0], &v1.GetFailuresParams{Limit: limit})
			if err != nil {
				return nil, "", err
			}
			return f.Items, "", nil
		}, func(g v1.FailureGroup) string { return g.ID },
			[]string{"ID", "INSTANCES", "RETRYING", "NODES", "DATES", "FROM", "TO", "OUTCOME", "EXIT", "CAUSE", "EXAMPLE"},
			func(_ io.Writer, g v1.FailureGroup) []string {
				code := ""
				if g.ExitCode != nil {
					code = count(*g.ExitCode)
				}
				return []string{g.ID, count(g.Instances), count(g.Retrying), count(g.Nodes), count(g.Dates), g.FirstDate, g.LastDate, string(g.Outcome), code, g.Cause, g.Examples[0].Instance}
			})
	}
	return c
}
