package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"backfleet/api/client"
	"backfleet/api/convert"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
	"backfleet/pkg/node"
)

func (a *app) nodeCommand() *cobra.Command {
	return group("node", "Define and look at nodes", a.nodeApply(), a.nodeList(), a.nodeShow(), a.nodeGraph(), a.nodeImport())
}

type nodeApplyOptions struct {
	*app
	connection *connection
	output     *output
	files      string
	values     []string
	remove     []string
	dryRun     bool
}

func (a *app) nodeApply() *cobra.Command {
	o := &nodeApplyOptions{app: a}
	c := &cobra.Command{
		Use: "apply [-f PATH] [flags]", Short: "Add, change and remove nodes, all or nothing",
		Long: `Reads the node files at a path and makes the cluster's nodes like them. All of it
is checked first; where anything is wrong, every mistake is told with file and
line, and nothing changes. Nodes that no file names stay as they are.`,
		Example: `  backfleet node apply -f nodes/
  backfleet node apply -f nodes/ --dry-run
  backfleet node apply -f nodes/ --env DATA_DIR=/srv/data
  backfleet node apply --remove old_report`,
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c.Context()) },
	}
	c.Flags().StringVarP(&o.files, "file", "f", "", "node file, or folder of them")
	c.Flags().StringArrayVar(&o.values, "env", nil, "`NAME=VALUE` for what the files take from here (repeatable)")
	c.Flags().StringSliceVar(&o.remove, "remove", nil, "remove these nodes, by `id`")
	c.Flags().BoolVar(&o.dryRun, "dry-run", false, "check and tell; change nothing")
	o.connection, o.output = a.connects(c), a.prints(c)
	return c
}

func (o *nodeApplyOptions) run(ctx context.Context) error {
	if err := o.output.check(); err != nil {
		return err
	}
	if o.files == "" && len(o.remove) == 0 {
		return fault.Field("--file", "nothing to apply: expected a node file or folder, or --remove")
	}
	application := v1.NodeApplication{Remove: o.remove, DryRun: o.dryRun}
	files, err := o.read(&application)
	if err != nil {
		return err
	}
	cl, err := o.connection.client()
	if err != nil {
		return err
	}
	result, err := cl.ApplyNodes(ctx, application)
	if err != nil {
		return locate(files, err)
	}
	o.warn(result.Warnings)
	return o.output.answer(result, changedIDs(result), func(w io.Writer) { o.show(w, result) })
}

// read fills the application from the files, if any.
func (o *nodeApplyOptions) read(application *v1.NodeApplication) (*node.Files, error) {
	if o.files == "" {
		return nil, nil
	}
	values := map[string]string{}
	for _, pair := range o.values {
		name, value, found := strings.Cut(pair, "=")
		if !found || name == "" {
			return nil, fault.Field("--env", "%q has no name and value: expected NAME=VALUE", pair)
		}
		values[name] = value
	}
	if _, err := os.Stat(o.files); err != nil {
		return nil, fault.Field("--file", "%s cannot be read: expected a node file or a folder of them", o.files)
	}
	path, err := filepath.Abs(o.files)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "the path %q cannot be resolved", o.files)
	}
	files, warnings, err := node.Read(os.DirFS(filepath.Dir(path)), filepath.Base(path), node.Options{Values: values})
	if err != nil {
		return nil, err
	}
	for _, w := range warnings {
		o.warn([]v1.Warning{{Message: w.Message, Field: w.Field, Where: w.Where}})
	}
	for _, n := range files.Nodes {
		application.Nodes = append(application.Nodes, convert.Node(n))
	}
	return files, nil
}

// locate adds file and line to what the coordinator found.
func locate(files *node.Files, err error) error {
	var e *fault.Error
	if files == nil || !errors.As(err, &e) {
		return err
	}
	located := *e
	located.Details = files.Locate(e.Details)
	return &located
}

func changedIDs(r *v1.NodeApplicationResult) []string {
	var ids []string
	for _, c := range r.Changes {
		if c.Change != v1.ChangeUnchanged {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

func (o *nodeApplyOptions) show(w io.Writer, r *v1.NodeApplicationResult) {
	n := r.Counts
	told := 0
	for _, c := range r.Changes {
		if c.Change != v1.ChangeUnchanged {
			told++
			fmt.Fprintf(w, "%s %s\n", o.paint(w, wordColours[string(c.Change)], fmt.Sprintf("%-8s", c.Change)), c.ID)
		}
	}
	if more := n.Added + n.Changed + n.Removed - told; more > 0 {
		fmt.Fprintf(w, "and %d more\n", more)
	}
	would := ""
	if r.DryRun {
		would = " (dry run: nothing was changed)"
	}
	fmt.Fprintf(w, "%d added, %d changed, %d removed, %d unchanged%s\n", n.Added, n.Changed, n.Removed, n.Unchanged, would)
}

// listOptions are those of every list.
type listOptions struct {
	*app
	connection *connection
	output     *output
	contains   string
	limit      int
	further    []string // names of further cells, which only -o wide shows
}

func (a *app) lists(c *cobra.Command, contains bool) *listOptions {
	l := &listOptions{app: a, connection: a.connects(c), output: a.prints(c)}
	if contains {
		c.Flags().StringVar(&l.contains, "contains", "", "only where id or name contains this `text`")
	}
	c.Flags().IntVar(&l.limit, "limit", 100, "at most so many; 0: all")
	return l
}

// listing fetches a list with a client and answers with it.
func listing[T any](ctx context.Context, l *listOptions, page func(*client.Client, context.Context, string, int) ([]T, string, error),
	id func(T) string, header []string, cells func(io.Writer, T) []string) error {
	if err := l.output.check(); err != nil {
		return err
	}
	if l.limit < 0 {
		return fault.Field("--limit", "%d: expected 0 for all, or how many", l.limit)
	}
	cl, err := l.connection.client()
	if err != nil {
		return err
	}
	items, err := all(ctx, l.limit, func(ctx context.Context, cursor string, limit int) ([]T, string, error) {
		return page(cl, ctx, cursor, limit)
	})
	if err != nil {
		return err
	}
	var ids []string
	for _, item := range items {
		ids = append(ids, id(item))
	}
	return l.output.answer(items, ids, func(w io.Writer) {
		var rows [][]string
		for _, item := range items {
			rows = append(rows, cells(w, item))
		}
		if l.app.wide {
			header = slices.Concat(header, l.further)
		}
		l.grid(w, header, rows)
	})
}

func (a *app) nodeList() *cobra.Command {
	c := &cobra.Command{
		Use: "list", Short: "List nodes",
		Example: `  backfleet node list --contains orders
  backfleet node list --mine --type sql,python --sort -priority`,
		Args: exactly(0),
	}
	l := a.lists(c, true)
	q := &v1.ListNodesParams{}
	var nodes nodeFlags
	var kinds, modes []string
	var sort, auto string
	nodes.facets(c, "nodes")
	c.Flags().StringSliceVar(&q.Baseline, "baseline", nil, "only nodes of these baselines, by `name`")
	c.Flags().StringSliceVar(&kinds, "schedule", nil, "only nodes with schedules of these `kind`s")
	c.Flags().StringSliceVar(&modes, "mode", nil, "only nodes of these `mode`s")
	c.Flags().IntSliceVar(&q.Priority, "priority", nil, "only nodes of these `priorities`")
	c.Flags().StringVar(&auto, "auto", "", "`true`: only nodes that the schedule runs by itself; false: only the others")
	c.Flags().BoolVar(&q.Mine, "mine", false, "only nodes that are yours")
	c.Flags().StringVar(&sort, "sort", "", "`order`: id, name, owner, workspace or priority; from the last with a - before it")
	l.further = []string{"RUNS", "SLOTS", "REQUIRES", "DESCRIPTION"}
	c.RunE = func(c *cobra.Command, _ []string) error {
		return listing(c.Context(), l, func(cl *client.Client, ctx context.Context, cursor string, limit int) ([]v1.Node, string, error) {
			q.Contains, q.Cursor, q.Limit, q.Sort, q.Auto = l.contains, cursor, limit, v1.NodeSort(sort), v1.YesOrNo(auto)
			q.Type, q.Owner, q.Workspace, q.ResourceGroup = nodes.types, nodes.owners, nodes.workspaces, nodes.groups
			q.ScheduleKind, q.Mode = wordsOf[v1.ScheduleKind](kinds), wordsOf[v1.NodeMode](modes)
			p, err := cl.Nodes(ctx, q)
			if err != nil {
				return nil, "", err
			}
			return p.Items, p.Next, nil
		}, func(n v1.Node) string { return n.ID }, []string{"ID", "NAME", "TYPE", "WORKSPACE", "OWNER", "SCHEDULE", "PRIORITY", "GROUP", "UPSTREAMS"},
			func(_ io.Writer, n v1.Node) []string {
				return []string{n.ID, n.Name, n.Type, n.Workspace, n.Owner, scheduleText(n.Schedule), count(n.Priority), n.ResourceGroup, upstreamText(n.Upstreams),
					autoText(n), more(n.Slots), labelText(n.Requires), n.Description}
			})
	}
	return c
}

func scheduleText(s *v1.Schedule) string {
	switch {
	case s == nil:
		return ""
	case s.Kind == v1.ScheduleKindHourly || s.Kind == v1.ScheduleKindMinutely:
		return strings.TrimSpace(fmt.Sprintf("every %d min %s..%s %s", s.EveryMinutes, s.From, s.To, s.Zone))
	}
	parts := []string{string(s.Kind)}
	for _, d := range s.Weekdays {
		parts = append(parts, string(d))
	}
	for _, m := range s.Months {
		parts = append(parts, time.Month(m).String()[:3])
	}
	for _, d := range s.Days {
		if d == v1.LastDay {
			parts = append(parts, "last")
			continue
		}
		parts = append(parts, count(int(d)))
	}
	return strings.TrimSpace(strings.Join(append(parts, s.At, s.Zone), " "))
}

// autoText says what the schedule does with a node.
func autoText(n v1.Node) string {
	text := "by itself"
	if n.Schedule == nil || !n.Schedule.Auto {
		text = "only when asked for"
	}
	if n.Mode != "" && n.Mode != v1.NodeModeNormal {
		text += ", " + string(n.Mode)
	}
	return text
}

func upstreamText(list []v1.Upstream) string {
	var all []string
	for _, u := range list {
		text := u.Node
		if w := u.Window; w != nil && w.FromMonthStart {
			text += fmt.Sprintf("[monthStart..%d]", w.To)
		} else if w != nil {
			text += fmt.Sprintf("[%d..%d]", w.From, w.To)
		}
		if u.Previous {
			text += "[previous]"
		}
		if len(u.Fields) > 0 {
			text += "(" + strings.Join(u.Fields, ",") + ")"
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}

func (a *app) nodeShow() *cobra.Command {
	c := &cobra.Command{
		Use: "show NODE", Short: "Show a node and its code",
		Example: "  backfleet node show dwd_orders\n  backfleet node show dwd_orders -o yaml",
	}
	return showsOne(a, c, (*client.Client).Node, func(d *v1.NodeDetail) string { return d.Node.ID }, a.showNode)
}

func (a *app) showNode(w io.Writer, d *v1.NodeDetail) {
	n := d.Node
	pairs := []string{"Id", n.ID, "Name", n.Name, "Description", n.Description, "Workspace", n.Workspace, "Owner", n.Owner,
		"Type", n.Type, "Schedule", scheduleText(n.Schedule), "Runs", autoText(n), "Baseline", n.Baseline, "Priority", count(n.Priority),
		"Resource group", n.ResourceGroup, "Upstreams", upstreamText(n.Upstreams), "Depends on itself", yes(n.DependsOnSelf),
		"Depends on its children", yes(n.DependsOnChildren),
		"Requires", labelText(n.Requires), "Slots", more(n.Slots), "User", n.User, "Limits", limitText(n.Limits),
		"Exit codes", exitCodeText(n.ExitCodes), "Secrets", strings.Join(n.Secrets, " "),
		"Downstreams", strings.Join(d.Downstreams, " "), "Code version", count(d.CodeVersion)}
	sheet(w, append(pairs, typePairs(n)...)...)
	for _, p := range n.Params {
		fmt.Fprintf(w, "Parameter: %s=%s\n", p.Name, p.Value)
	}
	for _, e := range n.Environment {
		fmt.Fprintf(w, "Environment: %s=%s\n", e.Name, e.Value)
	}
	a.showTexts(w, n)
}

// more is a number above one; empty for one.
func more(n int32) string {
	if n < 2 {
		return ""
	}
	return count(n)
}

// limitText writes bounds as a node file has them.
func limitText(l *v1.Limits) string {
	if l == nil {
		return ""
	}
	var out []string
	add := func(name string, n int64, text string) {
		if n != 0 {
			out = append(out, name+" "+text)
		}
	}
	add("memory", l.MemoryBytes, sizeText(l.MemoryBytes))
	add("cpu", int64(l.CPUMilli), strconv.FormatFloat(float64(l.CPUMilli)/1000, 'f', -1, 64))
	add("processes", int64(l.Processes), count(l.Processes))
	add("openFiles", int64(l.OpenFiles), count(l.OpenFiles))
	add("core", l.CoreBytes, sizeText(l.CoreBytes))
	add("nice", int64(l.Nice), count(l.Nice))
	return strings.Join(out, ", ")
}

// sizeText writes bytes in the largest unit that needs no fraction.
func sizeText(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	k := 0
	for n != 0 && n%1024 == 0 && k < len(units)-1 {
		n, k = n/1024, k+1
	}
	return count(n) + units[k]
}

func exitCodeText(codes []v1.ExitCode) string {
	var out []string
	for _, e := range codes {
		out = append(out, fmt.Sprintf("%d %s", e.Code, e.Meaning))
	}
	return strings.Join(out, ", ")
}
