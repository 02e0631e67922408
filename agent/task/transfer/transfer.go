// Package transfer runs nodes of type integration (RULES R12.1): it moves rows
// from files or a query into one partition, of a table or of a folder of files,
// which it overwrites at once. Whatever kills it, the partition has its old rows
// or the new ones; run twice, it has the same.
package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"backfleet/agent/task/fence"
	"backfleet/agent/task/output"
	"backfleet/pkg/fault"
	"backfleet/pkg/params"
	"backfleet/pkg/wire"
)

const (
	defaultBatch = 1000    // rows
	batchBytes   = 4 << 20 // of text, whatever the rows

	progressEvery = 5 * time.Second
	progressLook  = 500 // rows between two looks at the clock
)

// Run runs the integration node of a task. What it moved is in the metrics
// rows_read, rows_rejected, rows_written, bytes and checksum, the last three only
// of a transfer that succeeded. The checksum does not depend on the order
// of the rows. An attempt that a newer one has overtaken fails with
// fault.Conflict; it has changed nothing. One that is stopped gives ctx's error.
func Run(ctx context.Context, t *wire.Task, out *output.Output) error {
	err := run(ctx, t, out, time.Now)
	if stopped := ctx.Err(); err != nil && stopped != nil {
		return stopped // in whatever words it was met
	}
	return err
}

// run is Run with a clock.
func run(ctx context.Context, t *wire.Task, out *output.Output, now func() time.Time) error {
	spec := t.GetNode().GetIntegration()
	if spec.GetFrom() == nil || spec.GetTo() == nil {
		return fault.Field("integration", "node %q does not say where its rows come from and go to: expected from and to", t.GetNode().GetId())
	}
	by := fence.By{Fence: t.Fence, Instance: t.Instance}
	in, err := openInput(ctx, t)
	if err != nil {
		return err
	}
	defer in.close()
	to, err := openTarget(ctx, t, by)
	if err != nil {
		return err
	}
	defer to.close()
	columns, err := plan(spec.Columns, in, to, params.Dialect(t.Node.Dialect), out)
	if err != nil {
		return err
	}
	if err := to.prepare(ctx, columns); err != nil {
		return err
	}
	refused, err := openRefused(spec.RejectedFile, spec.MaxRejected, by, out)
	if err != nil {
		return err
	}
	tr := &transfer{in: in, to: to, columns: columns, refused: refused, out: out, now: now, rows: cmp.Or(int(spec.Batch), defaultBatch)}
	return tr.run(ctx)
}

// target is a partition of a table, or a folder of files.
type target interface {
	// types are the columns that are there already, by name in small letters, and
	// the types of their values; nil where there is nothing yet or nothing to know.
	types() map[string]kind
	// sets says whether the target itself gives a column its value.
	sets(column string) bool
	// prepare checks the columns against the target, which it creates if it may.
	prepare(ctx context.Context, columns []column) error
	// replace calls fill, which writes the partition's new rows. They take the
	// place of the old ones all at once, if fill gives no error and no newer
	// attempt has written; else nothing has changed. It gives the bytes written
	// if the target counts them.
	replace(ctx context.Context, fill func(sink) error) (bytes int64, err error)
	close() error
	// String names it to people.
	String() string
}

// sink takes rows. Those that it refuses are given by their place among rows.
type sink interface {
	write(ctx context.Context, rows [][]any) ([]refusedAt, error)
}

// refusedAt is a row that a sink refused.
type refusedAt struct {
	place int
	why   refusal
}

// transfer is one run.
type transfer struct {
	in      *input
	to      target
	columns []column
	refused *refused
	out     *output.Output
	now     func() time.Time
	rows    int // of a batch

	read, written, bytes int64
	sum                  checksum

	started, told time.Time
}

// item is a row on its way: as it was, and what becomes of it.
type item struct {
	record
	values []any
	sum    checksum
	bytes  int64
}

func (t *transfer) run(ctx context.Context) error {
	t.started = t.now()
	t.told = t.started
	// The first rows are read before the target is touched: a source that cannot
	// be read holds no lock there.
	batch, err := t.batch(ctx)
	var bytes int64
	if err == nil {
		bytes, err = t.to.replace(ctx, func(to sink) error { return t.fill(ctx, to, batch) })
	}
	if err == nil || t.refused.exceeded() {
		err = errors.Join(err, t.refused.publish())
	} else {
		t.refused.discard()
	}
	t.out.Metrics.Set("rows_read", t.read)
	t.out.Metrics.Set("rows_rejected", t.refused.count)
	if err != nil {
		return err
	}
	if bytes > 0 {
		t.bytes = bytes
	}
	t.out.Metrics.Set("rows_written", t.written)
	t.out.Metrics.Set("bytes", t.bytes)
	t.out.Metrics.Set("checksum", t.sum.String())
	t.out.Line("%d rows read, %d written to %s, %d rejected; checksum %s", t.read, t.written, t.to, t.refused.count, t.sum)
	return nil
}

// fill writes batch after batch.
func (t *transfer) fill(ctx context.Context, to sink, batch []item) error {
	for len(batch) > 0 {
		if len(t.columns) == 0 {
			return fault.Field("integration.columns", "there are rows, and none of the first of them tells a column: list the columns")
		}
		rows := make([][]any, len(batch))
		for i := range batch {
			rows[i] = batch[i].values
		}
		refused, err := to.write(ctx, rows)
		if err != nil {
			return err
		}
		for i, next := 0, 0; i < len(batch); i++ {
			if next < len(refused) && refused[next].place == i {
				if err := t.refused.add(&batch[i].record, t.in.names, refused[next].why); err != nil {
					return err
				}
				next++
				continue
			}
			t.written++
			t.bytes += batch[i].bytes
			t.sum.add(batch[i].sum)
		}
		if batch, err = t.batch(ctx); err != nil {
			return err
		}
	}
	return nil
}

// batch reads rows until there are enough for one write; none at the end.
func (t *transfer) batch(ctx context.Context) ([]item, error) {
	var batch []item
	for size := int64(0); len(batch) < t.rows && size < batchBytes; {
		if err := ctx.Err(); err != nil {
			return nil, fault.Wrap(err, fault.Timeout, "stopped after %d rows", t.read)
		}
		rec, err := t.in.next()
		var why refusal
		switch {
		case errors.Is(err, io.EOF):
			return batch, nil
		case errors.As(err, &why):
		case err != nil:
			return nil, err
		}
		t.read++
		t.progress()
		it := item{record: rec}
		if why == "" {
			it.values, why = convert(t.columns, rec.cells)
		}
		if why != "" {
			if err := t.refused.add(&it.record, t.in.names, why); err != nil {
				return nil, err
			}
			continue
		}
		it.sum, it.bytes = sumOf(it.values)
		size += it.bytes
		batch = append(batch, it)
	}
	return batch, nil
}

// progress tells now and then how far it is.
func (t *transfer) progress() {
	if t.read%progressLook != 0 {
		return
	}
	now := t.now()
	if now.Sub(t.told) < progressEvery {
		return
	}
	t.told = now
	t.out.Line("%d rows read, %d written, %d rejected, %.0f rows a second", t.read, t.written, t.refused.count,
		float64(t.read)/now.Sub(t.started).Seconds())
}

// convert makes the values of a row; why tells what is wrong with it.
func convert(columns []column, cells []any) (values []any, why refusal) {
	values = make([]any, len(columns))
	var wrong []string
	for i := range columns {
		v, why := columns[i].value(cells[i])
		if why != "" {
			wrong = append(wrong, fmt.Sprintf("column %q: %s", columns[i].name, why))
		}
		values[i] = v
	}
	return values, refusal(strings.Join(wrong, "; "))
}
