package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"backfleet/api/client"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
)

func (a *app) scheduleCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "schedule", Short: "List the schedule's days, newest first",
		Long: `Lists the days that the schedule made of the nodes that run by themselves. Each is
a plan: the commands for backfills and instances take its id.`,
		Example: `  backfleet schedule
  backfleet schedule --date-from 2024-02-01 --state failed`,
		Args: exactly(0),
	}
	var from, to string
	var states []string
	var nodes nodeFlags
	l := a.lists(c, false)
	dateFlags(c, &from, &to)
	stateFlag(c, &states)
	nodes.flags(c, "days with")
	c.RunE = func(c *cobra.Command, _ []string) error {
		only, err := readStates(states)
		if err != nil {
			return err
		}
		return listing(c.Context(), l, func(cl *client.Client, ctx context.Context, cursor string, limit int) ([]v1.ScheduleDay, string, error) {
			p, err := cl.Schedule(ctx, &v1.ListScheduleParams{
				DateFrom: from, DateTo: to, State: only, Node: nodes.ids, NodeContains: nodes.contains, Type: nodes.types, Owner: nodes.owners,
				Workspace: nodes.workspaces, ResourceGroup: nodes.groups, MyNodes: nodes.mine, Cursor: cursor, Limit: limit,
			})
			if err != nil {
				return nil, "", err
			}
			return p.Items, p.Next, nil
		}, func(d v1.ScheduleDay) string { return d.Plan.ID }, []string{"DATE", "ID", "STATE", "DONE", "FAILED", "RUNNING", "NAME"},
			func(w io.Writer, d v1.ScheduleDay) []string {
				n := d.Plan.Counts
				return []string{d.Date, d.Plan.ID, a.stateOf(w, d.Plan), fmt.Sprintf("%d/%d", n.Succeeded, n.Total), count(n.Failed), count(n.Running), d.Plan.Name}
			})
	}
	return c
}

// settingText is how the commands of one kind of setting differ in words.
type settingText struct{ use, noun, one, example string }

// aliasGet is what `show` was called before it was the same everywhere.
var aliasGet = []string{"get"}

// settings makes the commands of one kind of setting; show may be nil: as in a
// list.
func settings[T any](a *app, text settingText, header []string, cells func(T) []string,
	list func(context.Context, *client.Client, string, string, int) ([]T, string, error),
	get func(context.Context, *client.Client, string) (*T, error), id func(T) string, show func(io.Writer, *T), set ...*cobra.Command) *cobra.Command {
	lists := &cobra.Command{
		Use: "list", Short: "List " + text.noun + "s", Example: "  backfleet " + text.use + " list", Args: exactly(0),
	}
	l := a.lists(lists, true)
	lists.RunE = func(c *cobra.Command, _ []string) error {
		return listing(c.Context(), l, func(cl *client.Client, ctx context.Context, cursor string, limit int) ([]T, string, error) {
			return list(ctx, cl, l.contains, cursor, limit)
		}, id, header, func(_ io.Writer, one T) []string { return cells(one) })
	}
	shows := &cobra.Command{
		Use: "show " + text.one, Aliases: aliasGet, Short: "Show a " + text.noun, Example: "  backfleet " + text.use + " show " + text.example, Args: exactly(1),
	}
	k, out := a.connects(shows), a.prints(shows)
	shows.RunE = func(c *cobra.Command, args []string) error {
		cl, err := k.client()
		if err != nil {
			return err
		}
		one, err := get(c.Context(), cl, args[0])
		if err != nil {
			return err
		}
		return out.answer(one, []string{id(*one)}, func(w io.Writer) {
			if show != nil {
				show(w, one)
				return
			}
			a.grid(w, header, [][]string{cells(*one)})
		})
	}
	return group(text.use, "Look at and set "+text.noun+"s", append([]*cobra.Command{lists, shows}, set...)...)
}

// setting runs a command that sets: it reads what is set now, so that flags
// not given leave it as it is, and answers with what is set then.
func setting[T any](ctx context.Context, o *acting, name string, header []string, cells func(T) []string,
	get func(context.Context, *client.Client, string) (*T, error), put func(*client.Client, *T) (*T, error)) error {
	cl, err := o.begin()
	if err != nil {
		return err
	}
	now, err := get(ctx, cl, name)
	if fault.Is(err, fault.NotFound) {
		now, err = new(T), nil
	}
	if err != nil {
		return err
	}
	result, err := put(cl, now)
	if err != nil {
		return err
	}
	return o.output.answer(result, []string{name}, func(w io.Writer) { o.grid(w, header, [][]string{cells(*result)}) })
}

var groupHeader = []string{"NAME", "KIND", "RESERVED", "SHARE", "AGENTS", "SLOTS", "USED", "BACKFILLS", "WAITING", "NOTE"}

func groupCells(g v1.ResourceGroup) []string {
	waiting := ""
	if g.Waiting != nil {
		waiting = count(*g.Waiting)
	}
	return []string{g.Name, string(g.Kind), count(uint64(g.ReserveForAuto)), shareText(g), count(g.Agents), count(g.Slots), count(g.Used), count(g.Backfills),
		waiting, groupNote(g)}
}

func shareText(g v1.ResourceGroup) string {
	if g.BackfillMaxShare == 0 {
		return "all"
	}
	return fmt.Sprintf("%d%%", g.BackfillMaxShare)
}

// groupNote is what an operator should do something about.
func groupNote(g v1.ResourceGroup) string {
	if g.Unserved {
		return "wanted, and no agent takes work for it"
	}
	return ""
}

func showGroup(w io.Writer, g *v1.ResourceGroup) {
	n := g.AgentStates
	var agents []string
	for _, one := range []struct {
		state v1.AgentState
		n     int
	}{
		{v1.AgentStateReady, n.Ready}, {v1.AgentStateDraining, n.Draining}, {v1.AgentStateSilent, n.Silent},
		{v1.AgentStateLost, n.Lost}, {v1.AgentStateGone, n.Gone},
	} {
		if one.n > 0 {
			agents = append(agents, fmt.Sprintf("%d %s", one.n, one.state))
		}
	}
	if len(agents) == 0 {
		agents = []string{"none"}
	}
	waiting := ""
	if g.Waiting != nil {
		waiting = number(*g.Waiting, "instance")
	}
	keep := "by its kind"
	if g.LogKeepMs > 0 {
		keep = spanText(time.Duration(g.LogKeepMs) * time.Millisecond)
	}
	sheet(w, "Name", g.Name, "Description", g.Description, "Note", groupNote(*g), "Kind", string(g.Kind), "Reserved for auto", number(uint64(g.ReserveForAuto), "slot"),
		"Backfills may use", shareText(*g), "Logs are kept", keep, "Agents", strings.Join(agents, ", "),
		"Slots", fmt.Sprintf("%d of %d used, %d by backfills", g.Used, g.Slots, g.Backfills), "Waiting", waiting)
}

func getGroup(ctx context.Context, cl *client.Client, name string) (*v1.ResourceGroup, error) {
	return cl.ResourceGroup(ctx, name)
}

func (a *app) resourceGroupCommand() *cobra.Command {
	set := &cobra.Command{
		Use: "set NAME [flags]", Short: "Set a resource group's bounds and words; what no flag names stays",
		Example: "  backfleet group set default --reserve-for-auto 2 --backfill-max-share 50 --why 'nights are busy'",
		Args:    exactly(1),
	}
	var kind, description, keep string
	var reserve, share uint32
	o := a.acts(set)
	set.Flags().StringVar(&kind, "kind", "", "`shared` or exclusive; logs are kept longer in an exclusive one")
	set.Flags().Uint32Var(&reserve, "reserve-for-auto", 0, "so many `slots` are for the schedule's instances alone")
	set.Flags().Uint32Var(&share, "backfill-max-share", 0, "backfills use at most so many `percent` of the slots; 0: all")
	set.Flags().StringVar(&description, "description", "", "what it is `for`, in words")
	set.Flags().StringVar(&keep, "log-keep", "", "keep logs of its attempts so `long`, as 36h or 14d; 0: as its kind says")
	set.RunE = func(c *cobra.Command, args []string) error {
		changed := c.Flags().Changed
		var keeps time.Duration
		if changed("log-keep") && keep != "0" {
			var err error
			if keeps, err = readSpan("--log-keep", keep); err != nil {
				return err
			}
		}
		switch {
		case !slices.ContainsFunc([]string{"kind", "reserve-for-auto", "backfill-max-share", "description", "log-keep"}, changed):
			return fault.New(fault.Invalid, "nothing to set: expected --kind, --reserve-for-auto, --backfill-max-share, --description or --log-keep")
		case changed("kind") && !v1.ResourceGroupKind(kind).Valid():
			return fault.Field("--kind", "%q is not known: expected shared or exclusive", kind)
		case share > 100:
			return fault.Field("--backfill-max-share", "%d: expected percent, 1 to 100, or 0 for all", share)
		}
		return setting(c.Context(), o, args[0], groupHeader, groupCells, getGroup, func(cl *client.Client, now *v1.ResourceGroup) (*v1.ResourceGroup, error) {
			s := v1.ResourceGroupSettings{
				Kind: now.Kind, ReserveForAuto: now.ReserveForAuto, BackfillMaxShare: now.BackfillMaxShare, Description: now.Description, LogKeepMs: now.LogKeepMs,
			}
			if changed("description") {
				s.Description = description
			}
			if changed("log-keep") {
				s.LogKeepMs = keeps.Milliseconds()
			}
			if changed("kind") {
				s.Kind = v1.ResourceGroupKind(kind)
			}
			if changed("reserve-for-auto") {
				s.ReserveForAuto = reserve
			}
			if changed("backfill-max-share") {
				s.BackfillMaxShare = share
			}
			return cl.PutResourceGroup(c.Context(), args[0], s, o.why)
		})
	}
	return settings(a, settingText{"group", "resource group", "NAME", "default"}, groupHeader, groupCells,
		func(ctx context.Context, cl *client.Client, contains, cursor string, limit int) ([]v1.ResourceGroup, string, error) {
			p, err := cl.ResourceGroups(ctx, &v1.ListResourceGroupsParams{Contains: contains, Cursor: cursor, Limit: limit})
			if err != nil {
				return nil, "", err
			}
			return p.Items, p.Next, nil
		}, getGroup, func(g v1.ResourceGroup) string { return g.Name }, showGroup, set)
}

// readAdvanced reads --advanced-mode; nil: as the region has it.
func readAdvanced(text string, inherits bool) (*bool, error) {
	on, off := true, false
	switch {
	case text == "on":
		return &on, nil
	case text == "off":
		return &off, nil
	case text == "inherit" && inherits:
		return nil, nil
	case inherits:
		return nil, fault.Field("--advanced-mode", "%q is not known: expected on, off or inherit", text)
	}
	return nil, fault.Field("--advanced-mode", "%q is not known: expected on or off", text)
}

func advancedText(own *bool, inForce bool) string {
	word := map[bool]string{true: "on", false: "off"}[inForce]
	if own == nil {
		return word + " (by its region)"
	}
	return word
}

var workspaceHeader = []string{"ID", "NAME", "REGION", "ADVANCED MODE"}

func workspaceCells(s v1.Workspace) []string {
	return []string{s.ID, s.Name, s.Region, advancedText(s.AdvancedMode, s.AdvancedModeInForce)}
}

func getWorkspace(ctx context.Context, cl *client.Client, id string) (*v1.Workspace, error) {
	return cl.Workspace(ctx, id)
}

func (a *app) workspaceCommand() *cobra.Command {
	set := &cobra.Command{
		Use: "set WORKSPACE [flags]", Short: "Set a workspace's name, region and modes; what no flag names stays",
		Example: "  backfleet workspace set shop --region eu --advanced-mode off",
		Args:    exactly(1),
	}
	var name, region, advanced string
	o := a.acts(set)
	set.Flags().StringVar(&name, "name", "", "`name` for people")
	set.Flags().StringVar(&region, "region", "", "`id` of its region")
	set.Flags().StringVar(&advanced, "advanced-mode", "", "whether backfills of mode advanced may choose its nodes: `on`, off, or inherit from the region")
	set.RunE = func(c *cobra.Command, args []string) error {
		changed := c.Flags().Changed
		if !changed("name") && !changed("region") && !changed("advanced-mode") {
			return fault.New(fault.Invalid, "nothing to set: expected --name, --region or --advanced-mode")
		}
		var mode *bool
		if changed("advanced-mode") {
			var err error
			if mode, err = readAdvanced(advanced, true); err != nil {
				return err
			}
		}
		return setting(c.Context(), o, args[0], workspaceHeader, workspaceCells, getWorkspace, func(cl *client.Client, now *v1.Workspace) (*v1.Workspace, error) {
			s := v1.WorkspaceSettings{Name: now.Name, Region: now.Region, AdvancedMode: now.AdvancedMode}
			if changed("name") {
				s.Name = name
			}
			if changed("region") {
				s.Region = region
			}
			if changed("advanced-mode") {
				s.AdvancedMode = mode
			}
			return cl.PutWorkspace(c.Context(), args[0], s, o.why)
		})
	}
	return settings(a, settingText{"workspace", "workspace", "WORKSPACE", "shop"}, workspaceHeader, workspaceCells,
		func(ctx context.Context, cl *client.Client, contains, cursor string, limit int) ([]v1.Workspace, string, error) {
			p, err := cl.Workspaces(ctx, &v1.ListWorkspacesParams{Contains: contains, Cursor: cursor, Limit: limit})
			if err != nil {
				return nil, "", err
			}
			return p.Items, p.Next, nil
		}, getWorkspace, func(s v1.Workspace) string { return s.ID }, nil, set)
}

var regionHeader = []string{"ID", "ADVANCED MODE"}

func regionCells(r v1.Region) []string {
	return []string{r.ID, advancedText(&r.AdvancedMode, r.AdvancedMode)}
}

func getRegion(ctx context.Context, cl *client.Client, id string) (*v1.Region, error) {
	return cl.Region(ctx, id)
}

func (a *app) regionCommand() *cobra.Command {
	set := &cobra.Command{
		Use: "set REGION --advanced-mode on|off", Short: "Set what a region's workspaces have by default",
		Example: "  backfleet region set eu --advanced-mode off",
		Args:    exactly(1),
	}
	var advanced string
	o := a.acts(set)
	set.Flags().StringVar(&advanced, "advanced-mode", "", "whether backfills of mode advanced may choose nodes of its workspaces: `on` or off (required)")
	set.RunE = func(c *cobra.Command, args []string) error {
		mode, err := readAdvanced(advanced, false)
		if err != nil {
			return err
		}
		return setting(c.Context(), o, args[0], regionHeader, regionCells, getRegion, func(cl *client.Client, _ *v1.Region) (*v1.Region, error) {
			return cl.PutRegion(c.Context(), args[0], v1.RegionSettings{AdvancedMode: mode}, o.why)
		})
	}
	return settings(a, settingText{"region", "region", "REGION", "eu"}, regionHeader, regionCells,
		func(ctx context.Context, cl *client.Client, contains, cursor string, limit int) ([]v1.Region, string, error) {
			p, err := cl.Regions(ctx, &v1.ListRegionsParams{Contains: contains, Cursor: cursor, Limit: limit})
			if err != nil {
				return nil, "", err
			}
			return p.Items, p.Next, nil
		}, getRegion, func(r v1.Region) string { return r.ID }, nil, set)
}
