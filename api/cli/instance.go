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
	below := []*cobra.Command{a.instanceList(), a.instanceShow(), a.instanceExplain(), a.instanceCompare(), a.instanceLogs()}
	for _, act := range instanceActs {
		below = append(below, a.instanceAct(act))
	}
	return group("instance", "Look at instances, why they wait, and their logs; operate them", below...)
}

func (a *app) instanceList() *cobra.Command {
	c := &cobra.Command{
		Use: "list [BACKFILL]", Short: "List instances of a backfill, or of all",
		Example: `  backfleet instance list b12 --state failed
  backfleet instance list --my-nodes --state failed,running
  backfleet instance list --kind auto --node dwd_orders --date-from 2012-02-01
  backfleet instance list b12 --node dwd_orders --date-from 2012-02-01 --date-to 2012-02-29 --limit 0 -o name`,
		Args: atMostOne,
	}
	var from, to, sort, kind, failure string
	var states, agents []string
	var nodes nodeFlags
	var plans planFlags
	l := a.lists(c, true)
	nodes.flags(c, "of")
	dateFlags(c, &from, &to)
	stateFlag(c, &states)
	c.Flags().StringSliceVar(&agents, "agent", nil, "only those that these agents ran last, by `id`")
	c.Flags().StringVar(&failure, "failure", "", "only those of a group of failures of BACKFILL, by its `id` (backfill failures)")
	c.Flags().StringVar(&sort, "sort", "", "`order` within BACKFILL: number, -number or date")
	c.Flags().StringVar(&kind, "kind", "", "without BACKFILL: `backfill`, auto (the schedule's) or all")
	plans.flags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		only, err := readStates(states)
		if err != nil {
			return err
		}
		if err := listsOneOrAll(c, args); err != nil {
			return err
		}
		return listing(c.Context(), l, func(cl *client.Client, ctx context.Context, cursor string, limit int) ([]v1.Instance, string, error) {
			var p *v1.InstancePage
			var err error
			if len(args) == 1 {
				p, err = cl.Instances(ctx, args[0], &v1.ListInstancesParams{
					Node: nodes.ids, NodeContains: nodes.contains, Type: nodes.types, Owner: nodes.owners, Workspace: nodes.workspaces,
					ResourceGroup: nodes.groups, MyNodes: nodes.mine, DateFrom: from, DateTo: to, State: only, Agent: agents, Failure: failure,
					Sort: v1.InstanceSort(sort), Cursor: cursor, Limit: limit,
				})
			} else {
				p, err = cl.SearchInstances(ctx, &v1.SearchInstancesParams{
					Kind: v1.PlanFilter(kind), Contains: l.contains, CreatedBy: plans.by, CreatedFrom: plans.from, CreatedTo: plans.to, Mine: plans.mine,
					Node: nodes.ids, NodeContains: nodes.contains, Type: nodes.types, Owner: nodes.owners, Workspace: nodes.workspaces,
					ResourceGroup: nodes.groups, MyNodes: nodes.mine, DateFrom: from, DateTo: to, State: only, Agent: agents, Cursor: cursor, Limit: limit,
				})
			}
			if err != nil {
				return nil, "", err
			}
			return p.Items, p.Next, nil
		}, func(i v1.Instance) string { return i.ID },
			[]string{"ID", "NODE", "DATE", "SCHEDULED", "STATE", "GROUP", "PRIORITY", "ATTEMPTS", "AGENT", "STARTED", "TOOK", "CAUSE", "METRICS"},
			func(w io.Writer, i v1.Instance) []string {
				return []string{i.ID, i.Node, i.Date, i.ScheduledTime.Format("2006-01-02 15:04"), a.instanceState(w, i), count(i.Group),
					count(i.Priority), count(i.Attempts), i.Agent, moment(i.StartedAt), took(i.StartedAt, i.EndedAt), i.Cause, metricsText(i.Metrics)}
			})
	}
	return c
}

// listsOneOrAll refuses flags that say which backfills, where one is named, and the
// other way round.
func listsOneOrAll(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		if c.Flags().Changed("sort") {
			return fault.Field("--sort", "instances of all backfills come by backfill and number: name a backfill, or leave it out")
		}
		if c.Flags().Changed("failure") {
			return fault.Field("--failure", "a group of failures is one backfill's: name it, or leave this out")
		}
		return nil
	}
	for _, name := range []string{"contains", "kind", "created-by", "created-from", "created-to", "mine"} {
		if c.Flags().Changed(name) {
			return fault.Field("--"+name, "it says of which backfills, and %s is named: leave one of them out", args[0])
		}
	}
	return nil
}

// atMostOne takes one argument or none.
func atMostOne(_ *cobra.Command, args []string) error {
	if len(args) > 1 {
		return fault.New(fault.Invalid, "%d backfills are named: expected one, or none for all", len(args))
	}
	return nil
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
	}
	return showsOne(a, c, (*client.Client).Instance, func(d *v1.InstanceDetail) string { return d.Instance.ID }, a.showInstance)
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
	a.showAttempts(w, d.Attempts)
}
