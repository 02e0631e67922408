package weather

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"

	"backfleet/ops/examples/verdict"
)

// Check compares every partition in the warehouse, one for each table and day
// of the data; a partition of a day that the data does not have is wrong too.
func Check(warehouse fs.FS) ([]verdict.Report, error) {
	days, err := parse(CSV)
	if err != nil {
		return nil, err
	}
	var reports []verdict.Report
	for _, table := range Tables {
		r := verdict.Report{Table: table, Of: len(days)}
		expected := map[string]bool{}
		for i, d := range days {
			expected[d.partition()] = true
			if wrong := compare(warehouse, table, days, i); wrong != "" {
				r.Wrong = append(r.Wrong, wrong)
			} else {
				r.Right++
			}
		}
		found, _ := fs.ReadDir(warehouse, table) // an absent table is all its partitions missing
		for _, entry := range found {
			if !expected[entry.Name()] {
				r.Wrong = append(r.Wrong, path.Join(table, entry.Name())+": the data has no such day")
			}
		}
		reports = append(reports, r)
	}
	return reports, nil
}

// compare says what is wrong with a partition; empty when nothing is.
func compare(warehouse fs.FS, table string, days []day, i int) string {
	name := path.Join(table, days[i].partition(), "part.csv")
	got, err := fs.ReadFile(warehouse, name)
	if err != nil {
		return err.Error()
	}
	var want bytes.Buffer
	write(&want, table, days, i)
	if !bytes.Equal(got, want.Bytes()) {
		return fmt.Sprintf("%s: got %q, want %q", name, got, want.String())
	}
	return ""
}
