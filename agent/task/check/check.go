// Package check runs nodes of type check: a query, or a shell script, and what is
// expected of it. What does not hold fails the node, and so stops what comes after
// it.
package check

import (
	"context"
	"fmt"

	"backfleet/agent/task/database"
	"backfleet/agent/task/grid"
	"backfleet/agent/task/output"
	"backfleet/agent/task/statement"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

const (
	// shown is how many rows of a query's result the log shows.
	shown = 20
	// mostMetric is the longest value that becomes a metric, in bytes.
	mostMetric = 64
)

// Run runs the check of the task's node: the query in its code if it names a data
// source, else the shell script. All expectations that do not hold are told at
// once, each with what was found (fault.Conflict). Metrics: rows_read of a query,
// value where there is a single one.
func Run(ctx context.Context, t *wire.Task, out *output.Output) error {
	var f *found
	var err error
	if t.Node.Source == "" {
		f, err = script(ctx, t.Node.Code, out)
	} else {
		f, err = query(ctx, t, out)
	}
	if err != nil {
		return err
	}
	if f.one && len(f.value) <= mostMetric {
		out.Metrics.Set("value", f.value)
	}
	return f.compare(t.Node.Check, out)
}

// found is what there is to compare.
type found struct {
	rows  int64
	one   bool   // there is a value: of the only row, or of the script
	value string // as text
	none  string // what there is in its place
}

// query runs the one statement of a check.
func query(ctx context.Context, t *wire.Task, out *output.Output) (*found, error) {
	db, err := database.OpenNamed(ctx, t.Sources, t.Node.Source)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	statements, err := statement.Split(db.Dialect().Type(), t.Node.Code)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "code")
	}
	if len(statements) != 1 {
		return nil, fault.Field("code", "there are %d statements in it: expected one query", len(statements))
	}
	conn, err := db.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	s := statements[0]
	var g *grid.Grid
	_, err = conn.Run(ctx, s.Text, func(rows *database.Rows) (err error) {
		g, err = grid.Read(rows, shown)
		return err
	})
	switch {
	case ctx.Err() != nil:
		return nil, fault.New(fault.Unavailable, "the query was stopped")
	case err != nil:
		p := db.Dialect().Explain(err, s.Text)
		return nil, fault.New(fault.Invalid, "the query fails (line %d): %s", s.Line+max(p.Line, 1)-1, p)
	case g == nil:
		return nil, fault.Field("code", "the statement gives no rows, not even none: expected a query, such as SELECT COUNT(*) FROM …")
	}
	g.Write(out)
	out.Metrics.Set("rows_read", g.Count)
	return only(g), nil
}

// only looks at the first column of the only row.
func only(g *grid.Grid) *found {
	f := &found{rows: g.Count}
	switch {
	case g.Count == 0:
		f.none = "no row"
	case g.Count > 1:
		f.none = fmt.Sprintf("%d rows, of which none is the only one", g.Count)
	case g.Rows[0][0] == nil:
		f.none = "NULL"
	default:
		f.one, f.value = true, database.Format(g.Rows[0][0], g.Columns[0])
	}
	return f
}
