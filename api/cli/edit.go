package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"backfleet/api/convert"
	v1 "backfleet/api/v1"
)

type editOptions struct {
	*acting
	edit                v1.BackfillEdit
	groups, maxRunning  int32
	priority            int32
	resourceGroup       string
	period              periodOptions
	addDates, dropDates []string
	yes, dryRun         bool
	changed             func(flag string) bool
}

func (a *app) backfillEdit() *cobra.Command {
	c := &cobra.Command{
		Use: "edit BACKFILL [flags]", Short: "Change a backfill that is not finished",
		Long: `Shows what a change makes different and asks before it is applied. What no flag
names stays as it is. Dates and nodes that are dropped make dry runs of what has
not started; those that are added get numbers of their own.`,
		Example: `  backfleet backfill edit b12 --groups 8 --max-running 20
  backfleet backfill edit b12 --add-dates 2024-02-01..2024-02-10 --drop-nodes old_report --why 'asked for by sales' --yes
  backfleet backfill edit b12 --period daily --period-from 22:00 --period-to 06:00 --dry-run`,
		Args: exactly(1),
	}
	f := c.Flags()
	o := &editOptions{acting: a.acts(c), changed: f.Changed}
	f.Int32Var(&o.groups, "groups", 0, "split the dates that have not started into so many groups, 1 to 10")
	f.Int32Var(&o.maxRunning, "max-running", 0, "run at most so many instances at once; 0: no bound")
	f.StringVar(&o.resourceGroup, "resource-group", "", "run instances in this `group`; empty: each node's own")
	f.Int32Var(&o.priority, "priority", 0, "of all that wait: 1, 2, 3, 5, 7 or 8; 0: by the rules")
	o.period.flags(f)
	f.BoolVar(&o.edit.AnyTime, "any-time", false, "no period any more")
	f.StringArrayVar(&o.addDates, "add-dates", nil, "data timestamps to add: `FROM..TO` or one date (repeatable)")
	f.StringArrayVar(&o.dropDates, "drop-dates", nil, "data timestamps to drop: `FROM..TO` or one date (repeatable)")
	f.StringSliceVar(&o.edit.AddNodes, "add-nodes", nil, "nodes to add, by `id`")
	f.StringSliceVar(&o.edit.DropNodes, "drop-nodes", nil, "nodes to drop, by `id`")
	f.BoolVarP(&o.yes, "yes", "y", false, "apply the change without asking")
	f.BoolVar(&o.dryRun, "dry-run", false, "show the difference; change nothing")
	c.RunE = func(c *cobra.Command, args []string) error { return o.run(c.Context(), args[0]) }
	return c
}

// build makes the change of the flags that were given.
func (o *editOptions) build() (v1.BackfillEdit, error) {
	e := o.edit
	e.Why = o.why
	for flag, into := range map[string]struct {
		value int32
		field **int32
	}{"groups": {o.groups, &e.Groups}, "max-running": {o.maxRunning, &e.MaxRunning}, "priority": {o.priority, &e.Priority}} {
		if o.changed(flag) {
			*into.field = &into.value
		}
	}
	if o.changed("resource-group") {
		e.ResourceGroup = &o.resourceGroup
	}
	var err error
	if e.Period, err = o.period.build(); err != nil {
		return e, err
	}
	if e.AddDates, err = readDates("--add-dates", o.addDates); err != nil {
		return e, err
	}
	if e.DropDates, err = readDates("--drop-dates", o.dropDates); err != nil {
		return e, err
	}
	_, err = convert.ReadEdit(0, e)
	return e, flagged(err)
}

var errUnchanged = errors.New("nothing was changed")

func (o *editOptions) run(ctx context.Context, id string) error {
	if err := planID(id); err != nil {
		return err
	}
	edit, err := o.build()
	if err != nil {
		return err
	}
	cl, err := o.begin()
	if err != nil {
		return err
	}
	difference, err := cl.Edit(ctx, id, edit, true)
	if err != nil {
		return err
	}
	if o.dryRun {
		o.warn(difference.Warnings)
		return o.output.answer(difference, []string{id}, func(w io.Writer) { o.show(w, difference) })
	}
	if !o.yes {
		o.show(o.Err, difference)
		o.warn(difference.Warnings)
		if !o.app.agreed("Apply this change?") {
			return errUnchanged
		}
	}
	result, err := cl.Edit(ctx, id, edit, false)
	if err != nil {
		return err
	}
	if o.yes {
		o.warn(result.Warnings)
	}
	return o.output.answer(result, []string{id}, func(w io.Writer) {
		if o.yes { // nobody has seen it yet
			o.show(w, result)
		}
		fmt.Fprintf(w, "%s changed\n", id)
	})
}

func (o *editOptions) show(w io.Writer, d *v1.EditResult) {
	var rows [][]string
	for _, c := range d.Changes {
		rows = append(rows, []string{c.Field, c.Before, c.After})
	}
	o.grid(w, []string{"WHAT", "NOW", "THEN"}, rows)
	fmt.Fprintf(w, "%s more, %d dropped\n", number(d.AddedInstances, "instance"), d.DroppedInstances)
}
