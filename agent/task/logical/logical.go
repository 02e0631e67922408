// Package logical runs logical tables (RULES R12.2): each unit that is to run
// overwrites its partition in a table of its own, in one transaction, and a view
// over the tables of all units is the logical table itself. Whatever kills it, a
// unit has its old rows or the new ones; run twice, it has the same.
package logical

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"backfleet/agent/task/database"
	"backfleet/agent/task/fence"
	"backfleet/agent/task/output"
	"backfleet/pkg/fault"
	"backfleet/pkg/node"
	"backfleet/pkg/wire"
)

// Run runs the units of a logical node that the task names, all if it names none,
// in the node's order. How many rows each has written is in the log and in the
// metrics rows_written and rows_written.<unit>. A unit that fails stays as it
// was; those before it have their new rows. An attempt that a newer one has
// overtaken fails with fault.Conflict.
func Run(ctx context.Context, t *wire.Task, out *output.Output) error {
	r, err := newRun(t, out)
	if err != nil {
		return err
	}
	source, err := sourceOf(t)
	if err != nil {
		return err
	}
	if r.db, err = database.Open(ctx, source); err != nil {
		return err
	}
	defer r.db.Close()
	if err := fence.Prepare(ctx, r.db); err != nil {
		return err
	}
	// All tables are looked at before anything is written: the view needs them,
	// also those of units that are left alone.
	for _, u := range r.units {
		if err := u.prepare(ctx); err != nil {
			return fault.Wrap(err, fault.Invalid, "unit %s", u.spec.Id)
		}
	}
	var all int64
	for _, u := range r.units {
		if !u.runs {
			continue
		}
		rows, err := u.write(ctx)
		if err != nil {
			return fault.Wrap(err, fault.Invalid, "unit %s", u.spec.Id)
		}
		all += rows
		out.Metrics.Set("rows_written", all)
		out.Metrics.Set("rows_written."+u.spec.Id, rows)
	}
	return r.view(ctx)
}

// run is one task.
type run struct {
	db    *database.DB
	out   *output.Output
	spec  *wire.Logical
	keys  []*wire.LogicalField
	units []*unit
	by    fence.By
}

func newRun(t *wire.Task, out *output.Output) (*run, error) {
	spec := t.GetNode().GetLogical()
	if spec == nil || len(spec.Units) == 0 {
		return nil, fault.Field("logical", "node %q does not say what its table is made of: expected fields and units", t.GetNode().GetId())
	}
	if spec.PartitionValue == "" {
		return nil, fault.Field("logical.partitionValue", "it comes to nothing: expected the name of the partition, such as %s", node.DefaultPartitionValue)
	}
	r := &run{out: out, spec: spec, by: fence.By{Fence: t.Fence, Instance: t.Instance}}
	for _, f := range spec.Fields {
		if f.PrimaryKey {
			r.keys = append(r.keys, f)
		}
	}
	for _, u := range spec.Units {
		r.units = append(r.units, r.unit(u, len(t.Units) == 0 || slices.Contains(t.Units, u.Id)))
	}
	for _, id := range t.Units {
		if !slices.ContainsFunc(spec.Units, func(u *wire.Unit) bool { return u.Id == id }) {
			return nil, fault.New(fault.Invalid, "there is no unit %q any more, which the backfill chose by its fields: the node has changed since, so submit another backfill", id)
		}
	}
	return r, nil
}

// sourceOf finds the data source of the task's node.
func sourceOf(t *wire.Task) (*wire.OpenSource, error) {
	for _, s := range t.Sources {
		if s.GetSource().GetName() == t.Node.Source {
			return s, nil
		}
	}
	return nil, fault.Field("source", "there is no data source %q: apply it with `backfleet source apply`", t.Node.Source)
}

// partition names the partition to people and to the fence.
func (r *run) partition() string { return r.spec.Partition + "=" + r.spec.PartitionValue }

// column is a field as a column of a table.
func column(f *wire.LogicalField) database.Column {
	return database.Column{Name: f.Name, Type: f.Type, Key: f.PrimaryKey}
}

// quoted lists names for people.
func quoted(names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = strconv.Quote(n)
	}
	return strings.Join(out, ", ")
}
