// Package sqltask runs nodes of type sql: the statements of a script, one after
// the other in one session, or all in one transaction.
package sqltask

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"backfleet/agent/task/database"
	"backfleet/agent/task/fence"
	"backfleet/agent/task/grid"
	"backfleet/agent/task/output"
	"backfleet/agent/task/statement"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

const (
	// DefaultRows is how many rows of a result the log shows if the node does not
	// say.
	DefaultRows = 100
	// singly is up to how many statements each has its own metric.
	singly = 20
)

// Run runs the statements of the task's node. The log has each with its line, how
// many rows it wrote and how long it took, and the results as tables; the metrics
// are statements, rows_written, of each statement that wrote as rows_written.<n>
// too, and rows_read. When ctx ends the server is told to stop, and a transaction
// is undone.
func Run(ctx context.Context, t *wire.Task, out *output.Output) error {
	db, err := database.OpenNamed(ctx, t.Sources, t.Node.Source)
	if err != nil {
		return err
	}
	defer db.Close()
	db.OnNotice(func(text string) { out.Line("%s", text) })
	r := &run{db: db, out: out, code: t.Node.Code, most: int(t.Node.Sql.GetMaxRows()), by: fence.By{Fence: t.Fence, Instance: t.Instance}}
	if r.most == 0 {
		r.most = DefaultRows
	}
	transaction := t.Node.Sql.GetTransaction()
	if err := r.take(transaction); err != nil {
		return err
	}
	if r.conn, err = db.Connect(ctx); err != nil {
		return err
	}
	defer r.conn.Close()
	if transaction {
		return r.transaction(ctx)
	}
	err = r.all(ctx)
	stay := r.done
	if open := begun(db.Dialect().Type(), r.statements[:r.done]); open >= 0 {
		stay = open
	}
	if err != nil && stay > 0 {
		r.out.Line("the work of %s stays: there was no transaction around all (sql.transaction)", count(stay, "statement"))
	}
	return err
}

// run is one script.
type run struct {
	db         *database.DB
	conn       *database.Conn
	out        *output.Output
	code       string
	most       int // rows shown of each result
	statements []statement.Statement
	claims     []claim
	by         fence.By

	done          int // statements that have ended well
	written, read int64
}

// take takes the script apart, and refuses what cannot go well before anything
// runs.
func (r *run) take(transaction bool) (err error) {
	d := r.db.Dialect().Type()
	if r.statements, err = statement.Split(d, r.code); err != nil {
		return fault.Wrap(err, fault.Invalid, "code")
	}
	if len(r.statements) == 0 {
		return fault.Field("code", "there is no statement in it: expected one or more, with semicolons between them")
	}
	if r.claims, err = claims(r.code, r.statements[0]); err != nil {
		return err
	}
	if !transaction {
		if len(r.claims) > 0 {
			return fault.Field("sql.transaction", "the script claims a partition (backfleet:fence), which holds within a transaction alone: set it to true")
		}
		return unfinished(d, r.statements)
	}
	return within(d, r.statements)
}

// transaction runs all in one, behind its claims.
func (r *run) transaction(ctx context.Context) error {
	if len(r.claims) > 0 {
		if err := fence.Prepare(ctx, r.db); err != nil {
			return err
		}
	}
	tx, err := r.conn.Begin(ctx)
	if err != nil {
		return fault.New(fault.Unavailable, "the transaction cannot begin: %s", r.db.Dialect().Explain(err, ""))
	}
	defer tx.Rollback() // after Commit there is nothing to roll back
	for _, c := range r.claims {
		if err := fence.Claim(ctx, tx, c.target, c.part, r.by); err != nil {
			return err
		}
	}
	if err := r.all(ctx); err != nil {
		r.out.Line("the transaction is rolled back: nothing of it stays")
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fault.New(fault.Unavailable, "the commit failed: %s", r.db.Dialect().Explain(err, ""))
	}
	r.out.Line("committed")
	return nil
}

// all runs the statements up to the first that fails.
func (r *run) all(ctx context.Context) error {
	for r.done < len(r.statements) {
		if err := r.one(ctx, r.done); err != nil {
			return err
		}
		r.done++
		r.out.Metrics.Set("statements", r.done)
		r.out.Metrics.Set("rows_written", r.written)
		r.out.Metrics.Set("rows_read", r.read)
	}
	r.out.Line("%s, %s written, %s read", count(r.done, "statement"), count(r.written, "row"), count(r.read, "row"))
	return nil
}

// one runs a statement.
func (r *run) one(ctx context.Context, i int) error {
	s := r.statements[i]
	r.out.Line("[%d/%d] line %d: %s", i+1, len(r.statements), s.Line, excerpt(s.Text))
	begun, read, results := time.Now(), int64(0), 0
	affected, err := r.conn.Run(ctx, s.Text, func(rows *database.Rows) error {
		g, err := grid.Read(rows, r.most)
		if err != nil {
			return err
		}
		g.Write(r.out)
		results++
		read += g.Count
		return nil
	})
	if err != nil {
		return r.failed(ctx, i, err)
	}
	r.written += affected
	r.read += read
	if affected > 0 && len(r.statements) <= singly {
		r.out.Metrics.Set(fmt.Sprintf("rows_written.%d", i+1), affected)
	}
	var did []string
	if results == 0 || affected > 0 {
		did = append(did, count(affected, "row")+" affected")
	}
	if results > 0 {
		did = append(did, count(read, "row"))
	}
	r.out.Line("[%d/%d] %s, %s", i+1, len(r.statements), strings.Join(did, ", "), lasted(time.Since(begun)))
	return nil
}

// failed says what the server said of a statement, and shows where.
func (r *run) failed(ctx context.Context, i int, err error) error {
	s := r.statements[i]
	where := fmt.Sprintf("statement %d of %d (line %d)", i+1, len(r.statements), s.Line)
	if ctx.Err() != nil {
		return fault.New(fault.Unavailable, "%s was stopped", where)
	}
	p := r.db.Dialect().Explain(err, s.Text)
	code := fault.Invalid
	if p.Code == "" {
		code = fault.Unavailable // the connection, not the statement
	}
	if p.Line > 0 {
		line, column := s.Line+p.Line-1, p.Column
		if p.Line == 1 && column > 0 {
			column += s.Column - 1
		}
		where = fmt.Sprintf("statement %d of %d (line %d", i+1, len(r.statements), line)
		if column > 0 {
			where += fmt.Sprintf(", column %d", column)
		}
		where += ")"
		r.out.Line("%s", caret(r.code, line, column))
	}
	return fault.New(code, "%s: %s", where, p)
}

// caret shows a line of the script, and below it a mark at the column, from 1; 0:
// no mark.
func caret(code string, line, column int) string {
	const before, around = 60, 120
	lines := strings.Split(code, "\n")
	if line > len(lines) {
		return ""
	}
	runes := []rune(strings.TrimRight(strings.ReplaceAll(lines[line-1], "\t", " "), "\r"))
	column = min(column, len(runes)+1)
	from := max(0, column-before)
	to := min(len(runes), from+around)
	number := fmt.Sprintf("%d | ", line)
	shown := number + string(runes[from:to])
	if column < 1 {
		return shown
	}
	width := text.StringWidthWithoutEscSequences(number + string(runes[from:column-1]))
	return shown + "\n" + strings.Repeat(" ", width) + "^"
}

// excerpt is the beginning of a statement on one line.
func excerpt(statement string) string {
	const most = 100
	runes := []rune(strings.Join(strings.Fields(statement), " "))
	if len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return string(runes)
}

// lasted writes how long something took.
func lasted(d time.Duration) string {
	if d < time.Second {
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

// count writes a number of things.
func count[N int | int64](n N, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
