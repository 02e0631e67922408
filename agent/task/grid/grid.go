// Package grid shows results of queries in logs: the first rows as a table, and
// how many more there are.
package grid

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"backfleet/agent/task/database"
	"backfleet/agent/task/output"
)

// mostCell is how much of a value is shown, in characters.
const mostCell = 200

// Grid is a result of which the first rows are kept.
type Grid struct {
	Columns []database.Column
	Rows    [][]any
	Count   int64 // of all rows
}

// Read reads all rows and keeps at most so many.
func Read(rows *database.Rows, keep int) (*Grid, error) {
	g := &Grid{Columns: rows.Columns}
	for rows.Next() {
		if g.Count++; len(g.Rows) == keep {
			continue
		}
		row, err := rows.Values()
		if err != nil {
			return nil, err
		}
		g.Rows = append(g.Rows, row)
	}
	return g, rows.Err()
}

// Write shows the grid.
func (g *Grid) Write(out *output.Output) {
	t := table.NewWriter()
	style := table.StyleDefault
	style.Options = table.Options{SeparateHeader: true, SeparateColumns: true}
	style.Format.Header = text.FormatDefault
	t.SetStyle(style)
	header := make(table.Row, len(g.Columns))
	var right []table.ColumnConfig
	for i, c := range g.Columns {
		header[i] = cell(c.Name)
		if c.Type == "integer" || c.Type == "decimal" || c.Type == "float" {
			right = append(right, table.ColumnConfig{Number: i + 1, Align: text.AlignRight, AlignHeader: text.AlignRight})
		}
	}
	t.SetColumnConfigs(right)
	t.AppendHeader(header)
	for _, values := range g.Rows {
		row := make(table.Row, len(values))
		for i, v := range values {
			row[i] = cell(database.Format(v, g.Columns[i]))
		}
		t.AppendRow(row)
	}
	lines := strings.Split(t.Render(), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
	}
	if more := g.Count - int64(len(g.Rows)); more > 0 {
		lines = append(lines, fmt.Sprintf("… and %d more of %d rows", more, g.Count))
	}
	out.Line("%s", strings.Join(lines, "\n"))
}

// cell is a value on one line, and not longer than people read.
func cell(value string) string {
	var b strings.Builder
	n := 0
	for _, r := range value {
		if n++; n > mostCell {
			fmt.Fprintf(&b, "… (%d characters)", utf8.RuneCountInString(value))
			break
		}
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case unicode.IsControl(r), r == utf8.RuneError:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
