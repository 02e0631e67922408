package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"backfleet/api/client"
	v1 "backfleet/api/v1"
)

// completionPatience is how long a shell waits for names; after that it gets
// none.
const completionPatience = 2 * time.Second

// completionMost is of how many names it can choose.
const completionMost = 200

// names finds what may stand at a place: words, each with a tab and what it is.
// begun is what of it is there already.
type names func(ctx context.Context, cl *client.Client, begun string) ([]string, error)

// described joins a name and what it is.
func described(name, what string) string {
	if what == "" || what == name {
		return name
	}
	return name + "\t" + what
}

// namesOf takes names from a page of a list.
func namesOf[T any](items []T, err error, name func(T) (string, string)) ([]string, error) {
	var all []string
	for _, i := range items {
		all = append(all, described(name(i)))
	}
	return all, err
}

// items are those of a page that may not be there.
func items[P, T any](page *P, err error, of func(*P) []T) ([]T, error) {
	if err != nil {
		return nil, err
	}
	return of(page), nil
}

func backfillNames(ctx context.Context, cl *client.Client, _ string) ([]string, error) {
	p, err := cl.Backfills(ctx, &v1.ListBackfillsParams{Kind: v1.PlanFilterAll, Limit: completionMost})
	list, err := items(p, err, func(p *v1.BackfillPage) []v1.BackfillSummary { return p.Items })
	return namesOf(list, err, func(b v1.BackfillSummary) (string, string) { return b.ID, b.Name + ", " + stateNames[b.State] })
}

// instanceNames are backfills first, then the instances of the one that is there.
func instanceNames(ctx context.Context, cl *client.Client, begun string) ([]string, error) {
	plan, _, chosen := strings.Cut(begun, ".")
	if !chosen {
		all, err := backfillNames(ctx, cl, begun)
		for i, one := range all {
			id, what, _ := strings.Cut(one, "\t")
			all[i] = described(id+".", what)
		}
		return all, err
	}
	p, err := cl.Instances(ctx, plan, &v1.ListInstancesParams{Limit: completionMost})
	list, err := items(p, err, func(p *v1.InstancePage) []v1.Instance { return p.Items })
	return namesOf(list, err, func(i v1.Instance) (string, string) { return i.ID, i.Node + " " + i.Date + ", " + stateNames[i.State] })
}

func nodeNames(ctx context.Context, cl *client.Client, begun string) ([]string, error) {
	p, err := cl.Nodes(ctx, &v1.ListNodesParams{Contains: begun, Limit: completionMost})
	list, err := items(p, err, func(p *v1.NodePage) []v1.Node { return p.Items })
	return namesOf(list, err, func(n v1.Node) (string, string) { return n.ID, n.Name })
}

func agentNames(ctx context.Context, cl *client.Client, _ string) ([]string, error) {
	p, err := cl.Agents(ctx, &v1.ListAgentsParams{Limit: completionMost})
	list, err := items(p, err, func(p *v1.AgentPage) []v1.Agent { return p.Items })
	return namesOf(list, err, func(g v1.Agent) (string, string) { return g.ID, strings.TrimSpace(string(g.State) + " " + g.Host) })
}

func groupNames(ctx context.Context, cl *client.Client, _ string) ([]string, error) {
	p, err := cl.ResourceGroups(ctx, &v1.ListResourceGroupsParams{Limit: completionMost})
	list, err := items(p, err, func(p *v1.ResourceGroupPage) []v1.ResourceGroup { return p.Items })
	return namesOf(list, err, func(g v1.ResourceGroup) (string, string) { return g.Name, g.Description })
}

func workspaceNames(ctx context.Context, cl *client.Client, _ string) ([]string, error) {
	p, err := cl.Workspaces(ctx, &v1.ListWorkspacesParams{Limit: completionMost})
	list, err := items(p, err, func(p *v1.WorkspacePage) []v1.Workspace { return p.Items })
	return namesOf(list, err, func(s v1.Workspace) (string, string) { return s.ID, s.Name })
}

func regionNames(ctx context.Context, cl *client.Client, _ string) ([]string, error) {
	p, err := cl.Regions(ctx, &v1.ListRegionsParams{Limit: completionMost})
	list, err := items(p, err, func(p *v1.RegionPage) []v1.Region { return p.Items })
	return namesOf(list, err, func(r v1.Region) (string, string) { return r.ID, "" })
}

func sourceNames(ctx context.Context, cl *client.Client, _ string) ([]string, error) {
	p, err := cl.DataSources(ctx, &v1.ListDataSourcesParams{Limit: completionMost})
	list, err := items(p, err, func(p *v1.DataSourcePage) []v1.DataSource { return p.Items })
	return namesOf(list, err, func(s v1.DataSource) (string, string) { return s.Name, s.Type + " " + whereText(s) })
}

func joinTokenNames(ctx context.Context, cl *client.Client, _ string) ([]string, error) {
	p, err := cl.JoinTokens(ctx, &v1.ListJoinTokensParams{Limit: completionMost})
	list, err := items(p, err, func(p *v1.JoinTokenPage) []v1.JoinToken { return p.Items })
	return namesOf(list, err, func(t v1.JoinToken) (string, string) { return t.ID, t.Description })
}

func tokenNames(ctx context.Context, cl *client.Client, _ string) ([]string, error) {
	p, err := cl.Tokens(ctx, &v1.ListTokensParams{Limit: completionMost})
	list, err := items(p, err, func(p *v1.TokenPage) []v1.AccessToken { return p.Items })
	return namesOf(list, err, func(t v1.AccessToken) (string, string) { return t.ID, t.Description })
}

func userNames(ctx context.Context, cl *client.Client, _ string) ([]string, error) {
	p, err := cl.Users(ctx, &v1.ListUsersParams{Limit: completionMost})
	list, err := items(p, err, func(p *v1.UserPage) []v1.User { return p.Items })
	return namesOf(list, err, func(u v1.User) (string, string) {
		return u.Name, strings.TrimSpace(u.DisplayName + " " + string(u.Role))
	})
}

func channelNames(ctx context.Context, cl *client.Client, _ string) ([]string, error) {
	p, err := cl.Channels(ctx, &v1.ListChannelsParams{Limit: completionMost})
	list, err := items(p, err, func(p *v1.ChannelPage) []v1.Channel { return p.Items })
	return namesOf(list, err, func(c v1.Channel) (string, string) { return c.Name, string(c.Kind) })
}

func serverNames(ctx context.Context, cl *client.Client, _ string) ([]string, error) {
	c, err := cl.Cluster(ctx)
	list, err := items(c, err, func(c *v1.Cluster) []v1.ClusterServer { return c.Servers })
	return namesOf(list, err, func(s v1.ClusterServer) (string, string) { return s.ID, string(s.Role) })
}

// fixed are words that do not depend on the cluster.
func fixed(words ...string) names {
	return func(context.Context, *client.Client, string) ([]string, error) { return words, nil }
}

// spelled are the words of an enumeration.
func spelled[T ~string](all ...T) names {
	var words []string
	for _, one := range all {
		words = append(words, string(one))
	}
	return fixed(words...)
}

var agentStates = spelled(v1.AgentStateReady, v1.AgentStateDraining, v1.AgentStateSilent, v1.AgentStateLost, v1.AgentStateGone)

// argumentNames are what the words of a command's usage stand for. Where a word
// stands for several things, the command before it says for which.
var argumentNames = map[string]names{
	"BACKFILL": backfillNames, "INSTANCE": instanceNames, "NODE": nodeNames, "AGENT": agentNames, "WORKSPACE": workspaceNames, "REGION": regionNames,
	"USER": userNames, "group NAME": groupNames, "source NAME": sourceNames, "channel NAME": channelNames, "agent token TOKEN": joinTokenNames, "token TOKEN": tokenNames,
}

// flagNames are the same for flags.
var flagNames = map[string]names{
	"node": nodeNames, "only": nodeNames, "whitelist": nodeNames, "blacklist": nodeNames, "end": nodeNames, "of-node": nodeNames, "remove": nodeNames, "upstream": nodeNames,
	"group": groupNames, "resource-group": groupNames, "workspace": workspaceNames, "region": regionNames, "user": userNames, "actor": userNames, "channel": channelNames, "to": serverNames,
	"state":  spelled(v1.StateNotRunning, v1.StateWaitingTime, v1.StateRunning, v1.StateSucceeded, v1.StateFailed, v1.StateFrozen),
	"output": fixed(outputForms...), "color": fixed(colourWords...),
	"mode":  spelled(v1.ModeCurrent, v1.ModeDescendants, v1.ModeMassive, v1.ModeAdvanced, v1.ModeChain),
	"order": fixed("asc", "desc"), "gate": fixed("day", "node", "none"), "on-failure": fixed("hold", "continue"), "overlap": fixed("wait", "refuse"),
	"on-conflict": fixed("yield", "wait", "allow"), "period": fixed("daily", "weekend"), "kind": spelled(v1.PlanFilterBackfill, v1.PlanFilterAuto, v1.PlanFilterAll),
	"by": spelled(v1.ReceiptByNode, v1.ReceiptByDate, v1.ReceiptByNodeAndDate), "stream": fixed("stdout", "stderr"), "dialect": fixed("dataworks", "dataphin"),
	"role": spelled(roles...), "unset": fixed(contextKeys()...), "paused-nodes": fixed("run", "keep"), "dry-run-nodes": fixed("run", "keep"),
	"agent list state": agentStates, "group set kind": fixed("shared", "exclusive"), "workspace set advanced-mode": fixed("on", "off", "inherit"),
	"agent": agentNames, "created-by": userNames, "owner": userNames, "auto": fixed("true", "false"),
	"node list mode":     spelled(v1.NodeModeNormal, v1.NodeModeDryRun, v1.NodeModePaused),
	"node list schedule": spelled(v1.ScheduleKindDaily, v1.ScheduleKindHourly, v1.ScheduleKindMinutely, v1.ScheduleKindWeekly, v1.ScheduleKindMonthly, v1.ScheduleKindYearly),
	"node list sort":     fixed("id", "name", "owner", "workspace", "priority"), "backfill list sort": fixed("created", "-created", "name", "-name", "state"),
	"instance list sort":       fixed("number", "-number", "date"),
	"region set advanced-mode": fixed("on", "off"), "token list kind": fixed("api", "session"), "context set token": fixed("-"),
}

// roles in their order (RULES R15.1).
var roles = []v1.Role{v1.RoleViewer, v1.RoleDeveloper, v1.RoleOperator, v1.RoleAdmin}

// completes has shells complete what commands take: the words of their usage,
// and their flags.
func (a *app) completes(c *cobra.Command) {
	for _, below := range c.Commands() {
		a.completes(below)
	}
	path := strings.TrimPrefix(c.CommandPath(), "backfleet ")
	group := strings.TrimSuffix(path, c.Name()) // "agent token "
	if c.ValidArgsFunction == nil && len(c.ValidArgs) == 0 && c.RunE != nil && !c.HasSubCommands() {
		c.ValidArgsFunction = func(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
			word := argumentWord(c, len(args))
			if word == "CONTEXT" {
				return a.contextNames(begun), cobra.ShellCompDirectiveNoFileComp
			}
			found := argumentNames[group+word]
			if found == nil {
				found = argumentNames[word]
			}
			all, how := a.complete(c, found, begun)
			return slices.DeleteFunc(all, func(one string) bool { name, _, _ := strings.Cut(one, "\t"); return slices.Contains(args, name) }), how
		}
	}
	c.Flags().VisitAll(func(f *pflag.Flag) {
		found := flagNames[path+" "+f.Name]
		if found == nil {
			found = flagNames[f.Name]
		}
		if found == nil || f.Name == flagOutput && f.Annotations[filled] == nil || !strings.HasPrefix(f.Value.Type(), "string") {
			return
		}
		// An error: the command has said by itself what is there.
		_ = c.RegisterFlagCompletionFunc(f.Name, func(c *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
			return a.complete(c, found, begun)
		})
	})
}

// argumentWord is what the usage calls the n-th argument; empty: it has none.
func argumentWord(c *cobra.Command, n int) string {
	for i, word := range strings.Fields(c.Use)[1:] {
		word = strings.Trim(word, "[]")
		several := strings.HasSuffix(word, "...")
		if word = strings.TrimSuffix(word, "..."); i == n || several {
			return word
		}
	}
	return ""
}

// complete finds names, in silence: what fails gives none.
func (a *app) complete(c *cobra.Command, found names, begun string) ([]string, cobra.ShellCompDirective) {
	const none = cobra.ShellCompDirectiveNoFileComp
	if found == nil {
		return nil, none
	}
	ctx, cancel := context.WithTimeout(c.Context(), completionPatience)
	defer cancel()
	var cl *client.Client
	if k := a.connections[c]; k != nil {
		k.timeout = completionPatience
		o, err := k.options()
		if err != nil {
			return nil, none
		}
		o.AttemptTimeout = completionPatience
		if cl, err = client.New(o); err != nil {
			return nil, none
		}
	}
	all, err := found(ctx, cl, begun)
	if err != nil {
		return nil, none
	}
	all = slices.DeleteFunc(slices.Clone(all), func(one string) bool { return !strings.HasPrefix(one, begun) })
	for _, one := range all {
		if name, _, _ := strings.Cut(one, "\t"); strings.HasSuffix(name, ".") { // goes on after it
			return all, none | cobra.ShellCompDirectiveNoSpace
		}
	}
	return all, none
}

func (a *app) contextNames(begun string) []string {
	file, err := a.contexts()
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(file.names(), func(name string) bool { return !strings.HasPrefix(name, begun) })
}

// completionCommand writes what shells need.
func (a *app) completionCommand() *cobra.Command {
	shell := func(name, install string, write func(*cobra.Command) error) *cobra.Command {
		return &cobra.Command{
			Use: name, Short: "Write the completion for " + name,
			Long: fmt.Sprintf(`Writes what %s needs to complete commands, flags, and the names of what the
cluster has: backfills, nodes, agents and so on. Names are asked for at most %s.

%s`, name, completionPatience, install),
			Example: "  backfleet completion " + name,
			Args:    exactly(0),
			RunE:    func(c *cobra.Command, _ []string) error { return write(c.Root()) },
		}
	}
	c := group("completion", "Have a shell complete commands and names",
		shell("bash", `Needs the package bash-completion. For one shell, and for all to come:

  source <(backfleet completion bash)
  backfleet completion bash > ~/.local/share/bash-completion/completions/backfleet`,
			func(root *cobra.Command) error { return root.GenBashCompletionV2(a.Out, true) }),
		shell("zsh", `For one shell, and for all to come, from a folder of $fpath:

  source <(backfleet completion zsh)
  backfleet completion zsh > "${fpath[1]}/_backfleet"`,
			func(root *cobra.Command) error { return root.GenZshCompletion(a.Out) }),
		shell("fish", `For one shell, and for all to come:

  backfleet completion fish | source
  backfleet completion fish > ~/.config/fish/completions/backfleet.fish`,
			func(root *cobra.Command) error { return root.GenFishCompletion(a.Out, true) }))
	c.Long = "The Debian package has all of these in place."
	return c
}
