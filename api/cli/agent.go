package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"backfleet/api/client"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
	"backfleet/pkg/node"
)

func (a *app) agentCommand() *cobra.Command {
	return group("agent", "Look at agents, empty them, let them in",
		a.agentList(), a.agentShow(), a.agentDrain(), a.agentResume(), a.agentForget(), a.tokenCommand())
}

func (a *app) agentList() *cobra.Command {
	c := &cobra.Command{
		Use: "list", Short: "List agents, their groups and slots",
		Long: `Lists agents. One is ready; draining: it takes nothing new; silent: not connected,
but its leases have not ended; lost: not heard of for longer than a lease; or
gone: it has said that it ends.`,
		Example: `  backfleet agent list
  backfleet agent list --state lost -o name | backfleet agent forget -
  backfleet agent list --group default --label os=linux`,
		Args: exactly(0),
	}
	var p v1.ListAgentsParams
	var state string
	l := a.lists(c, true)
	l.further = []string{"TYPES", "JOIN TOKEN", "KEEPER", "BOOT"}
	c.Flags().StringVar(&state, "state", "", "only those in this `state`: ready, draining, silent, lost or gone")
	c.Flags().StringVar(&p.Group, "group", "", "only those of this resource `group`")
	c.Flags().StringArrayVar(&p.Label, "label", nil, "only those with this label, `name=value` (repeatable: with all of them)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if p.State = v1.AgentState(state); state != "" && !p.State.Valid() {
			return fault.Field("--state", "%q is not known: expected ready, draining, silent, lost or gone", state)
		}
		p.Contains = l.contains
		return listing(c.Context(), l, func(cl *client.Client, ctx context.Context, cursor string, limit int) ([]v1.Agent, string, error) {
			p.Cursor, p.Limit = cursor, limit
			page, err := cl.Agents(ctx, &p)
			if err != nil {
				return nil, "", err
			}
			return page.Items, page.Next, nil
		}, func(g v1.Agent) string { return g.ID }, []string{"ID", "STATE", "HOST", "SLOTS", "ATTEMPTS", "LAST SEEN", "VERSION", "LABELS", "NOTE"},
			func(w io.Writer, g v1.Agent) []string {
				return []string{g.ID, a.word(w, string(g.State)), g.Host, slotsText(g.Groups), count(g.Attempts), moment(g.LastSeen), g.Version, labelText(g.Labels), agentNote(g),
					typesText(g.Labels), g.JoinToken, g.KeeperVersion, g.Boot}
			})
	}
	return c
}

func slotsText(groups []v1.AgentSlots) string {
	var all []string
	for _, s := range groups {
		all = append(all, fmt.Sprintf("%s:%d/%d", s.Group, s.Used, s.Slots))
	}
	return strings.Join(all, " ")
}

// labelText writes the labels that an agent was given.
func labelText(labels []v1.Assignment) string {
	var all []string
	for _, l := range labels {
		if !strings.HasPrefix(l.Name, node.LabelPrefix) {
			all = append(all, l.Name+"="+l.Value)
		}
	}
	return strings.Join(all, " ")
}

// typesText writes which types of nodes an agent can run: beyond shell, it says
// so by labels of its own.
func typesText(labels []v1.Assignment) string {
	all := []string{node.Shell}
	for _, l := range labels {
		if name, own := strings.CutPrefix(l.Name, node.LabelPrefix); own {
			all = append(all, name)
		}
	}
	return strings.Join(all, " ")
}

// agentNote is what an operator should know of an agent beside its state.
func agentNote(g v1.Agent) string {
	var notes []string
	if g.Drain != nil {
		notes = append(notes, drainText(g.Drain))
	}
	if g.KeeperVersion != "" && g.KeeperVersion != g.Version {
		notes = append(notes, "its keeper is of version "+g.KeeperVersion)
	}
	return strings.Join(notes, "; ")
}

func drainText(d *v1.AgentDrain) string {
	text := "drained by " + d.By + " since " + moment(&d.Since)
	if d.Deadline != nil {
		text += ", to be empty at " + moment(d.Deadline)
	}
	if d.Why != "" {
		text += ": " + d.Why
	}
	return text
}

func (a *app) agentShow() *cobra.Command {
	c := &cobra.Command{
		Use: "show AGENT", Short: "Show an agent and the attempts that it holds",
		Example: "  backfleet agent show worker-1",
	}
	return showsOne(a, c, (*client.Client).Agent, func(d *v1.AgentDetail) string { return d.Agent.ID }, a.showAgent)
}

func (a *app) showAgent(w io.Writer, d *v1.AgentDetail) {
	g := d.Agent
	drain := ""
	if g.Drain != nil {
		drain = fmt.Sprintf("%s; %s left", drainText(g.Drain), number(g.Drain.Remaining, "attempt"))
	}
	sheet(w, "Id", g.ID, "State", a.word(w, string(g.State)), "Drain", drain, "Last seen", moment(g.LastSeen), "Host", g.Host, "Boot", g.Boot,
		"Version", g.Version, "Keeper", strings.TrimSpace(g.KeeperVersion+" "+g.Incarnation), "Labels", labelText(g.Labels), "Types", typesText(g.Labels),
		"Join token", g.JoinToken, "Attempts", count(g.Attempts))
	fmt.Fprintln(w)
	var rows [][]string
	for _, s := range g.Groups {
		rows = append(rows, []string{s.Group, count(s.Slots), count(s.Used), count(s.Backfills), count(s.Ahead)})
	}
	a.grid(w, []string{"GROUP", "SLOTS", "USED", "BACKFILLS", "AHEAD"}, rows)
	if len(d.Attempts) == 0 {
		return
	}
	fmt.Fprintln(w)
	rows = nil
	for _, t := range d.Attempts {
		state := string(t.State)
		if t.Stopping {
			state += " (to be stopped)"
		}
		rows = append(rows, []string{t.Instance, t.Node, count(t.Attempt), state, moment(&t.Since), t.ResourceGroup, count(t.Slots), t.Cause})
	}
	a.grid(w, []string{"INSTANCE", "NODE", "ATTEMPT", "STATE", "SINCE", "GROUP", "SLOTS", "CAUSE"}, rows)
}

// agents gathers the ids of agents that arguments name.
func (o *acting) agents(args []string) ([]string, error) {
	return o.ids(args, "AGENT", func(string) error { return nil })
}

func (a *app) agentDrain() *cobra.Command {
	c := &cobra.Command{
		Use: "drain AGENT...", Short: "Have agents become empty",
		Long: `The agents take nothing new, and what runs there goes on. With --deadline, what
still runs then is stopped and runs again elsewhere, which uses no retry. All of
them are drained or, when one stands in the way, none. A dash takes the ids from
standard input. It lasts until "agent resume", also over a restart of the agent.

--wait stays until nothing runs there any more; an interrupt ends the waiting, not
the drain.`,
		Example: `  backfleet agent drain worker-1 --deadline 10m --wait --why 'new kernel'
  backfleet agent list --label rack=7 -o name | backfleet agent drain -`,
		Args: some("AGENT"),
	}
	var deadline time.Duration
	var wait bool
	o := a.acts(c)
	c.Flags().DurationVar(&deadline, "deadline", 0, "stop what still runs after this `time`; 0: let it finish")
	c.Flags().BoolVar(&wait, "wait", false, "stay until the agents are empty")
	c.RunE = func(c *cobra.Command, args []string) error {
		if deadline < 0 || deadline%time.Second != 0 {
			return fault.Field("--deadline", "%s: expected whole seconds, as 10m or 90s", deadline)
		}
		ids, err := o.agents(args)
		if err != nil {
			return err
		}
		cl, err := o.begin()
		if err != nil {
			return err
		}
		result, err := cl.DrainAgents(c.Context(), v1.AgentsDrain{Agents: ids, DeadlineSeconds: int64(deadline / time.Second), Why: o.why})
		if err != nil {
			return err
		}
		if err := o.agentsAnswer(result, remainingText); err != nil || !wait {
			return err
		}
		return o.awaitEmpty(c.Context(), cl, ids)
	}
	return c
}

// agentsAnswer tells of every agent that was operated.
func (o *acting) agentsAnswer(result *v1.AgentBatch, how func(v1.Agent) string) error {
	o.warn(result.Warnings)
	var ids []string
	for _, g := range result.Agents {
		ids = append(ids, g.ID)
	}
	return o.output.answer(result, ids, func(w io.Writer) {
		for _, g := range result.Agents {
			fmt.Fprintf(w, "%s %s\n", g.ID, how(g))
		}
	})
}

// remainingText is how far a drain has come.
func remainingText(g v1.Agent) string {
	if g.Attempts == 0 {
		return "is empty"
	}
	text := "is draining: " + number(g.Attempts, "attempt") + " left"
	if g.Drain != nil && g.Drain.Deadline != nil {
		text += ", stopped at " + moment(g.Drain.Deadline) + " UTC"
	}
	return text
}

// drainPoll is how often agents are asked what is left there.
const drainPoll = time.Second

// awaitEmpty stays until agents hold nothing. Whatever changes is told on
// standard error.
func (o *acting) awaitEmpty(ctx context.Context, cl *client.Client, ids []string) error {
	told := map[string]string{}
	for {
		var left []string
		for _, id := range ids {
			d, err := cl.Agent(ctx, id)
			if fault.Is(err, fault.NotFound) {
				continue // forgotten, and so nothing runs there
			}
			if err != nil {
				return err
			}
			if text := remainingText(d.Agent); told[id] != text {
				told[id] = text
				fmt.Fprintf(o.Err, "%s %s\n", id, text)
			}
			switch {
			case d.Agent.Attempts == 0:
			case d.Agent.Drain == nil:
				return fault.New(fault.Conflict, "agent %q is not drained any more: somebody has resumed it", id)
			default:
				left = append(left, id)
			}
		}
		if ids = left; len(ids) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(drainPoll):
		}
	}
}

func (a *app) agentResume() *cobra.Command {
	c := &cobra.Command{
		Use: "resume AGENT...", Short: "Have drained agents take work again",
		Long: `The agents take work again: all of them or, when one stands in the way, none. A
dash takes the ids from standard input.`,
		Example: "  backfleet agent resume worker-1",
		Args:    some("AGENT"),
	}
	o := a.acts(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		ids, err := o.agents(args)
		if err != nil {
			return err
		}
		cl, err := o.begin()
		if err != nil {
			return err
		}
		result, err := cl.ResumeAgents(c.Context(), v1.AgentsOperation{Agents: ids, Why: o.why})
		if err != nil {
			return err
		}
		return o.agentsAnswer(result, func(g v1.Agent) string { return "is " + string(g.State) })
	}
	return c
}

func (a *app) agentForget() *cobra.Command {
	c := &cobra.Command{
		Use: "forget AGENT...", Short: "Forget agents that are lost or gone",
		Long: `The agents are not listed any more; one that comes back is known again. They are
forgotten one after the other, up to the first that stands in the way. A dash
takes the ids from standard input.`,
		Example: `  backfleet agent forget worker-1
  backfleet agent list --state gone --limit 0 -o name | backfleet agent forget -`,
		Args: some("AGENT"),
	}
	o := a.acts(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		ids, err := o.agents(args)
		if err != nil {
			return err
		}
		return o.remove(c.Context(), ids, "forgotten", (*client.Client).ForgetAgent)
	}
	return c
}

// remove takes things away one after the other, and tells of those that are.
func (o *acting) remove(ctx context.Context, ids []string, done string, one func(*client.Client, context.Context, string, string) (*v1.Removal, error)) error {
	return oneByOne(o, ids, func(cl *client.Client, id string) (*v1.Removal, error) { return one(cl, ctx, id, o.why) },
		func(r v1.Removal) (name, text string) { return r.ID, r.ID + " is " + done })
}

// oneByOne does one thing after the other, up to the first that is refused, and
// answers with those that were done: each by its name, or with a line.
func oneByOne[A, T any](o *acting, list []A, do func(*client.Client, A) (*T, error), line func(T) (name, text string)) error {
	cl, err := o.begin()
	if err != nil {
		return err
	}
	var done []T
	var names, lines []string
	for _, one := range list {
		var result *T
		if result, err = do(cl, one); err != nil {
			break
		}
		name, text := line(*result)
		done, names, lines = append(done, *result), append(names, name), append(lines, text)
	}
	if len(done) == 0 {
		return err
	}
	failed := o.output.answer(done, names, func(w io.Writer) {
		for _, text := range lines {
			fmt.Fprintln(w, text)
		}
	})
	return cmp.Or(err, failed)
}
