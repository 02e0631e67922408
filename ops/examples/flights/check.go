package flights

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"backfleet/agent/task/database"
	"backfleet/ops/examples/verdict"
	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// Check compares every partition of every table in a SQLite database with the
// raw files.
func Check(ctx context.Context, path string, from, to calendar.Date) ([]verdict.Report, error) {
	if from != from.MonthStart() || from < First || to > Last || to < from {
		return nil, fault.Field("dates", "%s..%s: expected a range within %s..%s that begins with a month", from, to, First, Last)
	}
	if _, err := os.Stat(path); err != nil {
		return nil, fault.Field("database", "%q: expected the path of the SQLite database that the nodes wrote to", path)
	}
	want, err := Expected(from, to)
	if err != nil {
		return nil, err
	}
	db, err := database.Open(ctx, &wire.OpenSource{Source: &wire.DataSource{Name: "flights", Type: database.SQLite, Database: path}})
	if err != nil {
		return nil, err
	}
	defer db.Close()
	return verdict.Check(ctx, db, want)
}

// CheckMain is the command `check`: 0 when everything is right, 1 when something
// is wrong, 2 when it could not be checked.
func CheckMain(args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("check", flag.ContinueOnError)
	f.SetOutput(stderr)
	path := f.String("database", "", "`path` of the SQLite database")
	from, to := First, Last
	datesFlag(f, &from, &to)
	if err := f.Parse(args); err != nil {
		return 2
	}
	reports, err := Check(context.Background(), *path, from, to)
	if err != nil {
		fmt.Fprintln(stderr, "check:", err)
		return 2
	}
	if !verdict.Print(stdout, reports) {
		return 1
	}
	return 0
}

// datesFlag is a range of days.
func datesFlag(f *flag.FlagSet, from, to *calendar.Date) {
	f.Func("dates", fmt.Sprintf("the `days` that were backfilled, from the first of a month (default %s..%s)", *from, *to), func(text string) error {
		first, last, _ := strings.Cut(text, "..")
		var err error
		if *from, err = calendar.ParseDate(first); err == nil {
			*to, err = calendar.ParseDate(last)
		}
		return err
	})
}
