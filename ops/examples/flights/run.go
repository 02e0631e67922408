package flights

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"backfleet/ops/examples/trial"
	"backfleet/ops/examples/verdict"
	"backfleet/pkg/calendar"
)

// RunMain is the command `run`.
func RunMain(args []string) int {
	f := flag.NewFlagSet("flights", flag.ContinueOnError)
	keep := f.Bool("keep", false, "keep the fleet running at the end, to explore; Ctrl-C ends it")
	from, to := First, Last
	datesFlag(f, &from, &to)
	if err := f.Parse(args); err != nil {
		return 2
	}
	return trial.Main("flights", *keep, func(ctx context.Context, module string, t *trial.Trial) error {
		return Run(ctx, t, filepath.Join(module, "ops/examples/flights"), from, to)
	})
}

// tour is the example from end to end.
type tour struct {
	*trial.Trial
	folder   string // of the example
	database string
	from, to calendar.Date
	site     *site
	id       string // of the backfill of all days
}

// Run is the example from end to end: all days, then some of them again. After
// each the whole database is checked. folder is the example's.
func Run(ctx context.Context, t *trial.Trial, folder string, from, to calendar.Date) (err error) {
	r := &tour{Trial: t, folder: folder, database: t.Path("flights.db"), from: from, to: to}
	if r.site, err = publish(t.Path("warehouse")); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.site.close()) }()
	for _, step := range []func(context.Context) error{r.prepare, r.backfill, r.rerun} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (r *tour) prepare(ctx context.Context) error {
	r.Say("The data source and the nodes")
	file := r.Path("source.yaml")
	text := "name: flights\ntype: sqlite\ndatabase: " + strconv.Quote(r.database) + "\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return err
	}
	if _, err := r.Do(ctx, "source", "apply", "-f", file); err != nil {
		return err
	}
	_, err := r.Do(ctx, "node", "apply", "-f", filepath.Join(r.folder, "nodes"),
		"--env", "FLIGHTS_DATA="+filepath.Join(r.folder, "data"), "--env", "WAREHOUSE="+r.Path("warehouse"), "--env", "SITE="+r.site.url)
	return err
}

func (r *tour) backfill(ctx context.Context) (err error) {
	r.Say("All days in one group, in which a week's average waits for that of the day before; gate node, so that days overlap")
	r.id, err = r.Backfill(ctx, "--node", "flights_tables", "--mode", "descendants", "--dates", r.from.String()+".."+r.to.String(), "--gate", "node")
	if err != nil {
		return err
	}
	return r.check(ctx)
}

// rerun runs some days again: the files, the rows and what is reported of them
// are the same.
func (r *tour) rerun(ctx context.Context) error {
	from := r.from + (r.to-r.from)/2
	to := min(from+1, r.to)
	r.Say("The flights of %s to %s again, and all that follows from them", from, to)
	again, err := r.Rerun(ctx, r.id, "flights_of_day", from.String(), to.String())
	if err != nil {
		return err
	}
	for _, i := range again {
		reported, err := r.Metrics(ctx, i.ID)
		if err != nil {
			return err
		}
		n := len(reported)
		if n < 2 || reported[n-1]["checksum"] == "" || reported[n-1]["checksum"] != reported[n-2]["checksum"] {
			return fmt.Errorf("%s: its attempts reported %v: expected two at least, and the same checksum from the last two", i.ID, reported)
		}
	}
	if _, err := r.Do(ctx, "instance", "compare", again[0].ID); err != nil {
		return err
	}
	return r.check(ctx)
}

func (r *tour) check(ctx context.Context) error {
	reports, err := Check(ctx, r.database, r.from, r.to)
	if err != nil {
		return err
	}
	r.Say("Every partition, against the raw files:")
	if !verdict.Print(r.Out, reports) {
		return errors.New("not everything was right, see above")
	}
	return r.site.check(r.from, r.to)
}
