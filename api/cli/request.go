package cli

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"backfleet/api/client"
	"backfleet/api/convert"
	v1 "backfleet/api/v1"
	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
)

// requestOptions are the flags that say what to backfill; preview, submit and
// diff share them.
type requestOptions struct {
	app       *app
	files     []string
	request   v1.BackfillRequest
	mode      string
	dates     []string
	timeOfDay string
	order     string
	gate      string
	onFailure string
	overlap   string
	notBefore string
	params    []string
	filters   []string
	fields    []string
	conflict  string
	period    periodOptions
	paused    string
	dryNodes  string
	notify    []string
	changed   func(flag string) bool
}

func (a *app) requests(c *cobra.Command) *requestOptions {
	f := c.Flags()
	o := &requestOptions{app: a, changed: f.Changed}
	r := &o.request
	f.StringArrayVarP(&o.files, "file", "f", nil, "request `file`, folder of them, or - for standard input (repeatable); a flag beside it overrides that field")
	f.StringVar(&r.Root, "node", "", "`id` of the node: the only one, the root, or the start of a chain (required, but not for mode advanced)")
	f.StringVar(&o.mode, "mode", "", "`current`: the node alone; descendants: also nodes below it; massive: all below it, by workspace; advanced: any nodes; chain: all between two. Default: what the other flags fit, otherwise current")
	f.StringSliceVar(&r.Nodes, "only", nil, "of the descendants only these, by `id`; of mode advanced these nodes (alias --include)")
	f.BoolVar(&r.WithoutRoot, "without-root", false, "leave the root itself out; it makes dry runs where order needs it")
	f.StringSliceVar(&r.Workspaces, "workspace", nil, "massive: descendants in these workspaces, by `id`; default the root's")
	f.StringSliceVar(&r.Whitelist, "whitelist", nil, "massive: descendants outside the workspaces that run too, by `id`")
	f.StringSliceVar(&r.Blacklist, "blacklist", nil, "massive: nodes inside the workspaces that make dry runs, by `id`")
	f.StringVar(&r.End, "end", "", "chain: `id` of its last node")
	f.StringArrayVar(&o.filters, "filter", nil, "advanced: nodes that agree with all of `owner=x,type=shell,...`; of "+strings.Join(filterKeys(), ", ")+" (repeatable: any of them)")
	f.StringArrayVar(&o.fields, "field", nil, "of a logical node only the units of this field and those they share fields with: `NODE.FIELD` (repeatable); default the entire table")
	f.StringVar(&r.NameFilter, "name-filter", "", "of the descendants only those whose name contains this `text`")
	f.Int32Var(&r.MaxLevel, "max-level", 0, "of the descendants only those at most so far from the root")
	f.StringArrayVar(&o.dates, "dates", nil, "data timestamps: `FROM..TO` or one date (repeatable; default yesterday..yesterday)")
	f.StringVar(&o.timeOfDay, "time-of-day", "", "of hourly and minutely nodes only the cycles from `hh:mm-hh:mm`")
	f.Int32Var(&r.Groups, "groups", 1, "split the dates into so many groups that run side by side, 1 to 10")
	f.StringVar(&o.order, "order", "asc", "of the dates: `asc` or desc")
	f.StringVar(&o.gate, "gate", "day", "a date waits for all of the date before it in its group (`day`), node by node (node), or not at all (none)")
	f.StringVar(&o.onFailure, "on-failure", "hold", "when a date failed: `hold` the later dates of its group, or continue")
	f.Int32Var(&r.StopAfter, "stop-after", 0, "start nothing new after so many failed instances; 0: never")
	f.Int32Var(&r.MaxRunning, "max-running", 0, "run at most so many instances at once; 0: no bound of its own")
	f.BoolVar(&r.RunFutureEarly, "run-future-early", false, "run instances whose time is still to come at the start of their day")
	f.BoolVar(&r.DryRun, "dry-run-all", false, "make every instance a dry run: it succeeds without running")
	f.BoolVar(&r.PinCode, "pin-code", false, "run the code of now, also when it changes meanwhile")
	f.StringVar(&r.Name, "name", "", "name of the backfill; default <node>_<yyyymmdd>_<n>")
	f.StringVar(&r.ResourceGroup, "resource-group", "", "run all instances in this `group`; default each node's own")
	f.StringArrayVar(&o.params, "param", nil, "override a parameter: `NODE:key=value` (repeatable)")
	f.StringVar(&o.overlap, "overlap", "wait", "when another backfill is about to run the same: `wait` for it, or refuse")
	f.StringVar(&o.conflict, "on-conflict", "yield", "when the schedule wants to run a node that the backfill runs: `yield` to it, let it wait, or allow both")
	o.period.flags(f)
	f.StringVar(&r.Zone, "zone", "", "time `zone` of the period, an IANA name; default the cluster's")
	f.StringVar(&o.paused, "paused-nodes", "run", "nodes of mode paused: `run` them, or keep them frozen")
	f.StringVar(&o.dryNodes, "dry-run-nodes", "run", "nodes of mode dryRun: `run` them, or keep them dry runs")
	f.Int32Var(&r.Priority, "priority", 0, "of all instances, for operators: 1, 2, 3, 5, 7 or 8; 0: by the rules")
	f.StringVar(&o.notBefore, "not-before", "", "start nothing before this `moment`, as 2026-01-31T22:00:00Z")
	f.StringArrayVar(&o.notify, "notify", nil, "channel that is told of it: `CHANNEL` or CHANNEL:failure,success,finished,stuck (repeatable); default failure and finished")
	f.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "include" {
			name = "only"
		}
		return pflag.NormalizedName(name)
	})
	return o
}

// build makes the request of the flags alone. It asks the cluster what day it is
// when no date is given: yesterday is the cluster's, not this machine's.
func (o *requestOptions) build(ctx context.Context, cl *client.Client) (v1.BackfillRequest, error) {
	var r v1.BackfillRequest
	if err := o.apply(&r, func(string) bool { return true }); err != nil {
		return r, err
	}
	if err := o.complete(r); err != nil {
		return r, err
	}
	if len(r.Dates) == 0 {
		yesterday, err := yesterday(ctx, cl)
		if err != nil {
			return r, err
		}
		r.Dates = []string{yesterday}
	}
	// What the coordinator would refuse as written is refused here.
	_, err := convert.ReadRequest(r)
	return r, flagged(err)
}

// over puts the flags that were given over a request of a file.
func (o *requestOptions) over(r *v1.BackfillRequest) error {
	if err := o.apply(r, o.changed); err != nil {
		return err
	}
	_, err := convert.ReadRequest(*r)
	return flagged(err)
}

// apply puts the flags that are meant into a request.
func (o *requestOptions) apply(r *v1.BackfillRequest, meant func(flag string) bool) error {
	if err := o.selection(r, meant); err != nil {
		return err
	}
	if meant("groups") && o.request.Groups < 1 {
		return fault.Field("--groups", "%d groups: expected 1 to 10", o.request.Groups)
	}
	given := o.request
	orders := map[string]v1.Order{"asc": v1.OrderAscending, "desc": v1.OrderDescending}
	order := cmp.Or(orders[o.order], v1.Order(o.order))
	for flag, set := range map[string]func(){
		"node": func() { r.Root = given.Root }, "only": func() { r.Nodes = given.Nodes }, "without-root": func() { r.WithoutRoot = given.WithoutRoot },
		"workspace": func() { r.Workspaces = given.Workspaces }, "whitelist": func() { r.Whitelist = given.Whitelist },
		"blacklist": func() { r.Blacklist = given.Blacklist }, "end": func() { r.End = given.End },
		"name-filter": func() { r.NameFilter = given.NameFilter }, "max-level": func() { r.MaxLevel = given.MaxLevel },
		"groups": func() { r.Groups = given.Groups }, "order": func() { r.Order = order }, "gate": func() { r.Gate = v1.Gate(o.gate) },
		"on-failure": func() { r.OnFailure = v1.OnFailure(o.onFailure) }, "stop-after": func() { r.StopAfter = given.StopAfter },
		"max-running": func() { r.MaxRunning = given.MaxRunning }, "run-future-early": func() { r.RunFutureEarly = given.RunFutureEarly },
		"dry-run-all": func() { r.DryRun = given.DryRun }, "pin-code": func() { r.PinCode = given.PinCode }, "name": func() { r.Name = given.Name },
		"resource-group": func() { r.ResourceGroup = given.ResourceGroup }, "overlap": func() { r.Overlap = v1.Overlap(o.overlap) },
		"on-conflict": func() { r.OnConflict = v1.OnConflict(o.conflict) }, "zone": func() { r.Zone = given.Zone },
		"paused-nodes": func() { r.PausedNodes = v1.NodeSwitch(o.paused) }, "dry-run-nodes": func() { r.DryRunNodes = v1.NodeSwitch(o.dryNodes) },
		"priority": func() { r.Priority = given.Priority },
	} {
		if meant(flag) {
			set()
		}
	}
	if err := o.times(r, meant); err != nil {
		return err
	}
	if len(o.notify) > 0 {
		list, err := readNotify("--notify", o.notify)
		if err != nil {
			return err
		}
		r.Notify = list
	}
	for _, p := range o.params {
		id, pair, hasNode := strings.Cut(p, ":")
		name, value, hasValue := strings.Cut(pair, "=")
		if !hasNode || !hasValue || id == "" || name == "" {
			return fault.Field("--param", "%q is no override: expected NODE:key=value", p)
		}
		r.Params = slices.DeleteFunc(slices.Clone(r.Params), func(p v1.ParamOverride) bool { return p.Node == id && p.Name == name })
		r.Params = append(r.Params, v1.ParamOverride{Node: id, Name: name, Value: value})
	}
	return o.choices(r)
}

// times reads the flags about dates and moments.
func (o *requestOptions) times(r *v1.BackfillRequest, meant func(flag string) bool) error {
	if meant("dates") {
		dates, err := readDates("--dates", o.dates)
		if err != nil {
			return err
		}
		r.Dates = dates
	}
	if o.timeOfDay != "" {
		from, to, found := strings.Cut(o.timeOfDay, "-")
		if !found {
			return fault.Field("--time-of-day", "%q is no range: expected one like 00:00-06:00", o.timeOfDay)
		}
		r.TimeOfDay = &v1.TimeRange{From: from, To: to}
	}
	period, err := o.period.over(r.Period)
	if err != nil {
		return err
	}
	r.Period = period
	if o.request.Zone != "" && r.Period == nil {
		return fault.Field("--zone", "it is the zone of a period, and there is none: expected --period too")
	}
	if o.notBefore != "" {
		t, err := time.Parse(time.RFC3339, o.notBefore)
		if err != nil {
			return fault.Field("--not-before", "%q is no moment: expected one like 2026-01-31T22:00:00Z", o.notBefore)
		}
		r.NotBefore = &t
	}
	return nil
}

// readDates reads a flag that may be repeated and may hold several, separated
// by commas.
func readDates(flag string, texts []string) ([]v1.DateRangeText, error) {
	var out []v1.DateRangeText
	for _, text := range texts {
		for _, one := range strings.Split(text, ",") {
			d, err := convert.ReadDateRange(strings.TrimSpace(one))
			if err != nil {
				return nil, fault.Field(flag, "%s", err.Error())
			}
			out = append(out, convert.DateRange(d))
		}
	}
	return out, nil
}

func yesterday(ctx context.Context, cl *client.Client) (string, error) {
	cluster, err := cl.Cluster(ctx)
	if err != nil {
		return "", err
	}
	today, err := calendar.ParseDate(cluster.Today)
	if err != nil {
		return "", fault.Wrap(err, fault.Internal, "the cluster's date cannot be read")
	}
	return (today - 1).String(), nil
}
