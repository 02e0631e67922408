package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"backfleet/api/client"
	"backfleet/api/convert"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
)

// steering are the operations on whole backfills.
var steering = map[string]struct {
	short, done string
	operation   v1.BackfillOperation
	ofDates     func(*client.Client, context.Context, string, v1.DatesOperation) (*v1.Operation, error) // nil: whole ones only
	until       string                                                                                  // of --wait; empty: there is nothing to wait for
}{
	"stop":     {"Start nothing new and stop what runs", "stopped", v1.BackfillOperationStop, nil, untilStill},
	"pause":    {"Start nothing new; let what runs finish", "paused", v1.BackfillOperationPause, nil, untilStill},
	"resume":   {"Go on after a pause, a stop or a halt", "resumed", v1.BackfillOperationResume, nil, untilQuiet},
	"freeze":   {"Hold all instances that wait, of whole backfills or of some dates", "frozen", v1.BackfillOperationFreeze, (*client.Client).Freeze, ""},
	"unfreeze": {"Let frozen instances go on, of whole backfills or of some dates", "unfrozen", v1.BackfillOperationUnfreeze, (*client.Client).Unfreeze, untilQuiet},
}

// When --wait is over.
const (
	untilStill = "nothing of it runs any more"
	untilEnded = "the named ones have ended; the exit status is 1 unless all of them succeeded"
	untilQuiet = "it is quiet; the exit status is 1 unless all of it succeeded"
)

// acting is what commands that change something have in common.
type acting struct {
	*app
	connection *connection
	output     *output
	why        string
}

func (a *app) acts(c *cobra.Command) *acting {
	o := &acting{app: a, connection: a.connects(c), output: a.prints(c)}
	c.Flags().StringVar(&o.why, "why", "", "`why` it is done; kept with the operation")
	return o
}

// begin checks what can be checked before anything is sent.
func (o *acting) begin() (*client.Client, error) {
	if err := o.output.check(); err != nil {
		return nil, err
	}
	return o.connection.client()
}

func (a *app) steer(name string) *cobra.Command {
	s := steering[name]
	c := &cobra.Command{
		Use: name + " BACKFILL...", Short: s.short,
		Long: s.short + `: all of them or, when one stands in the way, none. A dash
takes the ids from standard input.`,
		Example: "  backfleet backfill " + name + " b12 --why 'the source is late'",
		Args:    some("BACKFILL"),
	}
	o := a.acts(c)
	stay := &waiting{app: a}
	if s.until != "" {
		stay = a.waits(c, s.until)
		c.Example += "\n  backfleet backfill " + name + " b12 --wait"
	}
	if s.until == untilQuiet {
		stay.watches(c)
	}
	var dates []string
	if s.ofDates != nil {
		c.Flags().StringArrayVar(&dates, "dates", nil, "of one backfill only these data timestamps: `FROM..TO` or one date (repeatable)")
		c.Example += "\n  backfleet backfill " + name + " b12 --dates 2024-02-01..2024-02-29"
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		ids, err := o.ids(args, "BACKFILL", planID)
		if err != nil {
			return err
		}
		ranges, err := readDates("--dates", dates)
		if err != nil {
			return err
		}
		if err := stay.check(); err != nil {
			return err
		}
		if len(ranges) > 0 && len(ids) > 1 {
			return fault.Field("--dates", "%d backfills are named: expected one whose dates are meant", len(ids))
		}
		cl, err := o.begin()
		if err != nil {
			return err
		}
		var result *v1.OperationBatch
		if len(ranges) == 0 {
			result, err = cl.Operate(c.Context(), v1.BackfillsOperation{Operation: s.operation, Backfills: ids, Why: o.why})
		} else if one, failed := s.ofDates(cl, c.Context(), ids[0], v1.DatesOperation{Dates: ranges, Why: o.why}); failed != nil {
			err = failed
		} else {
			result = &v1.OperationBatch{Instances: one.Instances, Backfills: []v1.Operation{*one}, Index: one.Index}
		}
		if err != nil {
			return err
		}
		err = o.answer(result, func(w io.Writer, b v1.Operation) {
			how := ""
			if b.Instances > 0 {
				how = fmt.Sprintf(": %s", number(b.Instances, "instance"))
			}
			fmt.Fprintf(w, "%s %s%s\n", b.Backfill, s.done, how)
		})
		switch {
		case err != nil:
			return err
		case s.until == untilStill:
			return stay.still(c.Context(), cl, ids)
		default:
			return stay.quiet(c.Context(), cl, ids)
		}
	}
	return c
}

// answer tells of every backfill that was touched.
func (o *acting) answer(result *v1.OperationBatch, line func(io.Writer, v1.Operation)) error {
	var ids []string
	for _, b := range result.Backfills {
		ids = append(ids, b.Backfill)
	}
	return o.output.answer(result, ids, func(w io.Writer) {
		for _, b := range result.Backfills {
			line(w, b)
		}
	})
}

// some asks for one argument or more.
func some(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return nil
		}
		return fault.New(fault.Invalid, "no %s is named: expected `%s`", strings.ToLower(what), c.UseLine())
	}
}

func planID(s string) error { _, err := convert.ParsePlanID(s); return err }

func instanceID(s string) error { _, _, err := convert.ParseInstanceID(s); return err }

// ids gathers the ids that arguments name, a dash standing for the first word
// of each line of standard input, each once. A wrong one is refused here.
func (o *acting) ids(args []string, what string, check func(string) error) ([]string, error) {
	var all []string
	for _, arg := range args {
		if arg != "-" {
			all = append(all, arg)
			continue
		}
		lines := bufio.NewScanner(o.In)
		for lines.Scan() {
			if words := strings.Fields(lines.Text()); len(words) > 0 {
				all = append(all, words[0])
			}
		}
		if err := lines.Err(); err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "standard input cannot be read")
		}
	}
	if len(all) == 0 {
		return nil, fault.Field(what, "standard input names none: expected one id on each line")
	}
	seen := map[string]bool{}
	once := slices.DeleteFunc(all, func(id string) bool {
		known := seen[id]
		seen[id] = true
		return known
	})
	for _, id := range once {
		if err := check(id); err != nil {
			return nil, err
		}
	}
	return once, nil
}

// instanceAct is an operation on instances.
type instanceAct struct {
	name, short, example string
	done                 string // what is said of the instances after it
	operation            v1.InstanceOperation
}

var instanceActs = []instanceAct{
	{"stop", "Stop instances that wait or run", "b12.345 b12.346", "stopped", v1.InstanceOperationStop},
	{"rerun", "Run instances again", "b12.345 --descendants", "to run again", v1.InstanceOperationRerun},
	{"set-to-success", "Count failed instances as succeeded", "b12.345 --why 'loaded by hand'", "set to success", v1.InstanceOperationSetToSuccess},
	{"freeze", "Hold instances that wait, and what is downstream of them", "b12.345", "frozen", v1.InstanceOperationFreeze},
	{"unfreeze", "Let frozen instances go on", "b12.345", "unfrozen", v1.InstanceOperationUnfreeze},
	{"force-run", "Start instances without their dependencies, once", "b12.345", "forced to run", v1.InstanceOperationForceRun},
	{"remove-upstream", "Let instances no longer wait for a node", "b12.345 --upstream ingest", "freed of that upstream", v1.InstanceOperationRemoveUpstream},
	{"set-priority", "Change the priority of instances that wait", "b12.345 --priority 8", "have the new priority", v1.InstanceOperationSetPriority},
}

func (a *app) instanceAct(act instanceAct) *cobra.Command {
	c := &cobra.Command{
		Use: act.name + " INSTANCE...", Short: act.short,
		Long: act.short + `: all of them or, when one stands in the way, none. They
may be of several backfills. A dash takes the ids from standard input, the first
word of each line.`,
		Example: "  backfleet instance " + act.name + " " + act.example +
			"\n  backfleet instance list b12 --state failed --limit 0 -o name | backfleet instance " + act.name + " -",
		Args: some("INSTANCE"),
	}
	o := a.acts(c)
	var request v1.InstancesOperation
	var descendants string
	stay := &waiting{app: a}
	switch act.operation {
	case v1.InstanceOperationForceRun:
		stay = a.waits(c, untilEnded)
	case v1.InstanceOperationRerun:
		stay = a.waits(c, untilEnded)
		c.Flags().StringVar(&descendants, "descendants", "", "run these descendants again too: `ids` separated by commas, or all of them")
		c.Flags().Lookup("descendants").NoOptDefVal = "all"
	case v1.InstanceOperationRemoveUpstream:
		c.Flags().StringVar(&request.Upstream, "upstream", "", "the node that is no longer waited for, by `id`; its own id: its own cycle before (required)")
		c.Example = "  backfleet instance " + act.name + " " + act.example
	case v1.InstanceOperationSetPriority:
		c.Flags().Int32Var(&request.Priority, "priority", 0, "1, 2, 3, 5, 7 or 8, larger is more urgent (required)")
		c.Example = "  backfleet instance " + act.name + " " + act.example
	}
	c.RunE = func(c *cobra.Command, args []string) (err error) {
		request.Operation, request.Why = act.operation, o.why
		if request.Instances, err = o.ids(args, "INSTANCE", instanceID); err != nil {
			return err
		}
		if request.Descendants, err = readDescendants(descendants); err != nil {
			return err
		}
		switch {
		case act.operation == v1.InstanceOperationRemoveUpstream && request.Upstream == "":
			return fault.Field("--upstream", "it is missing: expected the id of the node that is no longer waited for")
		case act.operation == v1.InstanceOperationSetPriority && !slices.Contains([]int32{1, 2, 3, 5, 7, 8}, request.Priority):
			return fault.Field("--priority", "%d is no priority: expected 1, 2, 3, 5, 7 or 8", request.Priority)
		}
		if n := len(request.Instances); stay.wait && n > mostAwaited {
			return fault.Field("--wait", "%d instances are named: expected at most %d; backfleet backfill wait waits for whole backfills", n, mostAwaited)
		}
		cl, err := o.begin()
		if err != nil {
			return err
		}
		result, err := cl.OperateInstances(c.Context(), request)
		if err != nil {
			return err
		}
		err = o.answer(result, func(w io.Writer, b v1.Operation) {
			fmt.Fprintf(w, "%s: %s %s\n", b.Backfill, number(b.Instances, "instance"), act.done)
		})
		if err != nil {
			return err
		}
		return stay.instances(c.Context(), cl, request.Instances)
	}
	return c
}

// readDescendants reads --descendants: all, or ids; nil without it.
func readDescendants(text string) (*v1.Descendants, error) {
	switch text {
	case "":
		return nil, nil
	case "all":
		return &v1.Descendants{All: true}, nil
	}
	ids := strings.Split(text, ",")
	for _, id := range ids {
		if err := instanceID(id); err != nil {
			return nil, fault.Field("--descendants", "%q is not the id of an instance: expected ids like b12.345 separated by commas, or all", id)
		}
	}
	return &v1.Descendants{IDs: ids}, nil
}

func (a *app) backfillRerun() *cobra.Command {
	var failed bool
	var descendants, failure string
	c := &cobra.Command{
		Use: "rerun BACKFILL [INSTANCE...]", Short: "Run instances again, all or nothing",
		Example: `  backfleet backfill rerun b12 --failed --watch
  backfleet backfill rerun b12 --failure f3a9c04be1d27785
  backfleet backfill rerun b12 b12.345 b12.346 --descendants`,
		Args: some("BACKFILL"),
	}
	c.Flags().BoolVar(&failed, "failed", false, "exactly the failed ones and what they blocked")
	c.Flags().StringVar(&failure, "failure", "", "exactly those of a group of failures, by its `id` (backfill failures)")
	c.Flags().StringVar(&descendants, "descendants", "", "run these descendants again too: `ids` separated by commas, or all of them")
	c.Flags().Lookup("descendants").NoOptDefVal = "all"
	o, stay := a.acts(c), a.waits(c, untilQuiet)
	stay.watches(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := stay.check(); err != nil {
			return err
		}
		set, err := readDescendants(descendants)
		if err != nil {
			return err
		}
		switch {
		case planID(args[0]) != nil:
			return planID(args[0])
		case failure != "" && (failed || len(args) > 1 || set != nil):
			return fault.Field("--failure", "it says which instances run again: leave --failed, --descendants and instances out")
		case failure == "" && failed == (len(args) > 1):
			return fault.Field("--failed", "expected either --failed or the instances that are to run again")
		case failed && set != nil:
			return fault.Field("--descendants", "--failed runs again what the failed ones blocked, too: leave it out")
		}
		for _, id := range args[1:] {
			if err := instanceID(id); err != nil {
				return err
			}
		}
		cl, err := o.begin()
		if err != nil {
			return err
		}
		result, err := rerun(c.Context(), cl, args[0], failure, v1.RerunRequest{Instances: args[1:], Failed: failed, Descendants: set, Why: o.why})
		if err != nil {
			return err
		}
		err = o.output.answer(result, []string{result.Backfill}, func(w io.Writer) {
			fmt.Fprintf(w, "%s: %s to run again\n", result.Backfill, number(result.Instances, "instance"))
		})
		if err != nil {
			return err
		}
		return stay.quiet(c.Context(), cl, args[:1])
	}
	return c
}

// rerun runs instances again, or those of a group of failures: by as many operations
// as that takes.
func rerun(ctx context.Context, cl *client.Client, id, failure string, request v1.RerunRequest) (*v1.Operation, error) {
	if failure == "" {
		return cl.Rerun(ctx, id, request)
	}
	var out v1.Operation
	for more := true; more; {
		result, err := cl.OperateInstances(ctx, v1.InstancesOperation{
			Operation: v1.InstanceOperationRerun, Failure: &v1.FailureChoice{Backfill: id, Failure: failure}, Why: request.Why,
		})
		if err != nil {
			return nil, err
		}
		done := out.Instances
		out = result.Backfills[0]
		out.Instances += done
		more = result.More
	}
	return &out, nil
}

func (a *app) backfillOperations() *cobra.Command {
	c := &cobra.Command{
		Use: "operations BACKFILL", Short: "List what people did to a backfill, when and why",
		Example: "  backfleet backfill operations b12",
		Args:    exactly(1),
	}
	l := a.lists(c, false)
	c.RunE = func(c *cobra.Command, args []string) error {
		return listing(c.Context(), l, func(cl *client.Client, ctx context.Context, cursor string, limit int) ([]v1.OperationRecord, string, error) {
			p, err := cl.Operations(ctx, args[0], &v1.ListOperationsParams{Cursor: cursor, Limit: limit})
			if err != nil {
				return nil, "", err
			}
			return p.Items, p.Next, nil
		}, func(r v1.OperationRecord) string { return count(r.Number) },
			[]string{"NUMBER", "AT", "BY", "OPERATION", "INSTANCES", "OF", "DETAIL", "WHY"},
			func(_ io.Writer, r v1.OperationRecord) []string {
				return []string{count(r.Number), moment(&r.At), r.Actor, string(r.Operation), count(r.Count), targetText(r), r.Detail, r.Why}
			})
	}
	return c
}

// targetText names what an operation was about, the first few of it.
func targetText(r v1.OperationRecord) string {
	const show = 5
	list := slices.Concat(r.Dates, r.Instances)
	if len(list) > show {
		return strings.Join(list[:show], " ") + " …"
	}
	return strings.Join(list, " ")
}
