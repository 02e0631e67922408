// Package verdict compares what the nodes of an example have written with what
// they should have, partition by partition.
package verdict

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Report is the outcome for one table.
type Report struct {
	Table string
	Right int      // partitions
	Of    int      // partitions that there should be
	Wrong []string // a line for each partition that is missing, differs or should not be
}

// Print writes the reports for people, with the first few wrong partitions of
// each table, and says whether everything is right.
func Print(w io.Writer, reports []Report) bool {
	const most = 5
	right := len(reports) > 0
	for _, r := range reports {
		fmt.Fprintf(w, "%-22s %d right of %d\n", r.Table, r.Right, r.Of)
		right = right && r.Right == r.Of && len(r.Wrong) == 0
		for i, wrong := range r.Wrong {
			if i == most {
				fmt.Fprintf(w, "  and %d more\n", len(r.Wrong)-most)
				break
			}
			fmt.Fprintf(w, "  %s\n", wrong)
		}
	}
	return right
}

// Table is what a table in a database must hold: every value as the database
// writes it as text, NULL as none.
type Table struct {
	Name      string
	Partition []string // the columns that name a partition
	Columns   []string // those that are compared
	Rows      map[string][]string
}

// NewTable makes one without rows. Both lists of columns are separated by blanks.
func NewTable(name, partition, columns string) *Table {
	return &Table{Name: name, Partition: strings.Fields(partition), Columns: strings.Fields(columns), Rows: map[string][]string{}}
}

// none is how a value that is not there is written.
const none = "∅"

// Add adds a row to a partition, which is named by the values of its columns
// with / between them. nil is no value.
func (t *Table) Add(partition string, values ...any) {
	row := make([]string, len(values))
	for i, v := range values {
		if row[i] = none; v != nil {
			row[i] = fmt.Sprint(v)
		}
	}
	t.Rows[partition] = append(t.Rows[partition], strings.Join(row, " | "))
}

// Database is what answers queries, such as a *sql.DB.
type Database interface {
	QueryContext(ctx context.Context, query string, arguments ...any) (*sql.Rows, error)
}

// Check compares tables of a database. Rows have no order; each must be there as
// often as it should.
func Check(ctx context.Context, db Database, tables []*Table) ([]Report, error) {
	var reports []Report
	for _, t := range tables {
		found, err := t.read(ctx, db)
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", t.Name, err)
		}
		reports = append(reports, t.compare(found))
	}
	return reports, nil
}

// read gives the rows of the table in the database, as Rows are.
func (t *Table) read(ctx context.Context, db Database) (map[string][]string, error) {
	columns := slices.Concat(t.Partition, t.Columns)
	texts := make([]string, len(columns))
	for i, c := range columns {
		texts[i] = "CAST(" + c + " AS text)"
	}
	rows, err := db.QueryContext(ctx, "SELECT "+strings.Join(texts, ", ")+" FROM "+t.Name)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := &Table{Rows: map[string][]string{}}
	values := make([]*string, len(columns))
	into := make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		given := make([]any, len(columns))
		for i, v := range values {
			if v != nil {
				given[i] = *v
			}
		}
		var partition []string
		for _, v := range given[:len(t.Partition)] {
			partition = append(partition, fmt.Sprint(v))
		}
		found.Add(strings.Join(partition, "/"), given[len(t.Partition):]...)
	}
	return found.Rows, rows.Err()
}

func (t *Table) compare(found map[string][]string) Report {
	r := Report{Table: t.Name, Of: len(t.Rows)}
	all := map[string]bool{}
	for name := range t.Rows {
		all[name] = true
	}
	for name := range found {
		all[name] = true
	}
	for _, name := range sorted(all) {
		if wrong := difference(t.Rows[name], found[name]); wrong != "" {
			r.Wrong = append(r.Wrong, fmt.Sprintf("partition %s: %s", name, wrong))
		} else {
			r.Right++
		}
	}
	return r
}

// difference says in which row two partitions differ; empty: in none.
func difference(want, got []string) string {
	want, got = slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(got))
	switch {
	case slices.Equal(want, got):
		return ""
	case len(got) == 0:
		return fmt.Sprintf("it is missing, with its %d rows", len(want))
	case len(want) == 0:
		return fmt.Sprintf("it has %d rows and should not be there", len(got))
	}
	i := 0
	for i < len(want) && i < len(got) && want[i] == got[i] {
		i++
	}
	at := func(rows []string) string {
		if i < len(rows) {
			return "(" + rows[i] + ")"
		}
		return "no more rows"
	}
	return fmt.Sprintf("%d rows, expected %d; the first difference is %s, expected %s", len(got), len(want), at(got), at(want))
}

func sorted(set map[string]bool) []string {
	list := make([]string, 0, len(set))
	for name := range set {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}
