package retail

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"backfleet/integration/databases"
	"backfleet/ops/examples/trial"
	"backfleet/ops/examples/verdict"
	"backfleet/pkg/calendar"
	"backfleet/pkg/datasource"
	"backfleet/pkg/wire"
)

// secret is the variable in which agents find the password of the warehouse.
const secret = datasource.SecretPrefix + "SHOP"

// RunMain is the command `run`.
func RunMain(args []string) int {
	s := DefaultSettings()
	f := flag.NewFlagSet("retail", flag.ContinueOnError)
	onPostgres := f.Bool("postgres", false, "on a PostgreSQL server that is started for it, instead of SQLite")
	keep := f.Bool("keep", false, "keep the fleet running at the end, to explore; Ctrl-C ends it")
	s.flags(f)
	if err := f.Parse(args); err != nil {
		return 2
	}
	var source *wire.OpenSource
	if *onPostgres {
		var err error
		if source, err = databases.NewPostgres(); err == nil {
			err = os.Setenv(secret, source.Password) // for the agents
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "retail:", err)
			return 1
		}
	}
	return trial.Main("retail", *keep, func(ctx context.Context, module string, t *trial.Trial) error {
		if source == nil {
			source = SQLite(t.Path("warehouse.db"))
		}
		return Run(ctx, t, filepath.Join(module, "ops/examples/retail/nodes"), s, source)
	})
}

// SQLite is a warehouse in a file.
func SQLite(path string) *wire.OpenSource {
	return &wire.OpenSource{Source: &wire.DataSource{Name: "shop", Type: datasource.SQLite, Database: path}}
}

// tour is the example from end to end.
type tour struct {
	*trial.Trial
	shop   Settings
	source *wire.OpenSource
	id     string // of the backfill of all days
}

// Run is the example from end to end, on a fleet whose agents find the password
// of the warehouse in BACKFLEET_SECRET_SHOP if it has one: all days; some dates
// again; some fields again. After each the whole warehouse is checked.
func Run(ctx context.Context, t *trial.Trial, nodes string, s Settings, source *wire.OpenSource) error {
	r := &tour{Trial: t, shop: s, source: source}
	for _, step := range []func(context.Context, string) error{r.prepare, r.backfill, r.rerun, r.someFields} {
		if err := step(ctx, nodes); err != nil {
			return err
		}
	}
	return nil
}

func (r *tour) prepare(ctx context.Context, nodes string) error {
	exports := r.Path("exports")
	r.Say("The shop's exports of %d days, into %s", r.shop.Days, exports)
	if err := r.shop.Write(exports); err != nil {
		return err
	}
	file := r.Path("source.yaml")
	if err := os.WriteFile(file, []byte(definition(r.source.Source)), 0o644); err != nil {
		return err
	}
	if _, err := r.Do(ctx, "source", "apply", "-f", file); err != nil {
		return err
	}
	_, err := r.Do(ctx, "node", "apply", "-f", nodes, "--env", "EXPORTS="+exports)
	return err
}

// definition is the file of a data source called shop.
func definition(s *wire.DataSource) string {
	text := "name: shop\ntype: " + s.Type + "\ndatabase: " + strconv.Quote(s.Database) + "\n"
	if s.Host != "" {
		text += fmt.Sprintf("host: %s\nport: %d\nuser: %s\ntls: disable\npassword: {environment: %s}\n", s.Host, s.Port, s.User, secret)
	}
	return text
}

func (r *tour) backfill(ctx context.Context, _ string) (err error) {
	r.Say("All days, four groups side by side; gate node, so that early nodes run ahead of those that look back seven days")
	r.id, err = r.Backfill(ctx, "--node", "retail_start", "--mode", "descendants", "--dates", r.shop.First.String()+".."+r.shop.Last().String(), "--groups", "4", "--gate", "node")
	if err != nil {
		return err
	}
	if err := r.metrics(ctx); err != nil {
		return err
	}
	return r.check(ctx)
}

// metrics holds what the integration of orders reported against the shop.
func (r *tour) metrics(ctx context.Context) error {
	list, err := r.Instances(ctx, r.id, "ods_orders")
	if err != nil {
		return err
	}
	rejected := 0
	for _, i := range list {
		d, err := calendar.ParseDate(i.Date)
		if err != nil {
			return err
		}
		reported, err := r.Metrics(ctx, i.ID)
		if err != nil {
			return err
		}
		y, last := r.shop.day(d), reported[len(reported)-1]
		rejected += y.rejected
		if last["rows_written"] != strconv.Itoa(len(y.orders)) || last["rows_rejected"] != strconv.Itoa(y.rejected) {
			return fmt.Errorf("%s, orders of %s: it reported %v, expected rows_written %d and rows_rejected %d", i.ID, d, last, len(y.orders), y.rejected)
		}
	}
	r.Say("The orders' metrics are right on all %d days; %d rows were rejected", len(list), rejected)
	return nil
}

// rerun runs the middle days again: the rows are the same.
func (r *tour) rerun(ctx context.Context, _ string) error {
	from := r.shop.First + calendar.Date(r.shop.Days/2)
	to := min(from+2, r.shop.Last())
	r.Say("The orders of %s to %s again, and all that follows from them", from, to)
	again, err := r.Rerun(ctx, r.id, "ods_orders", from.String(), to.String())
	if err != nil {
		return err
	}
	for _, i := range again {
		reported, err := r.Metrics(ctx, i.ID)
		if err != nil {
			return err
		}
		n := len(reported)
		if n < 2 || reported[n-1]["rows_written"] != reported[n-2]["rows_written"] {
			return fmt.Errorf("%s: its attempts reported %v: expected two at least, and the same rows from the last two", i.ID, reported)
		}
	}
	if _, err := r.Do(ctx, "instance", "compare", again[0].ID); err != nil {
		return err
	}
	return r.check(ctx)
}

// someFields writes some fields of the aggregate again, which leaves its other
// units alone.
func (r *tour) someFields(ctx context.Context, _ string) error {
	r.Say("One field of the aggregate again, on the last day: only its unit runs")
	request := []string{"--node", "dws_all", "--field", "dws_all.buy_cents_7d", "--dates", r.shop.Last().String()}
	if _, err := r.Do(ctx, append([]string{"backfill", "preview"}, request...)...); err != nil {
		return err
	}
	id, err := r.Backfill(ctx, request...)
	if err != nil {
		return err
	}
	list, err := r.Instances(ctx, id, "dws_all")
	if err != nil {
		return err
	}
	reported, err := r.Metrics(ctx, list[0].ID)
	if err != nil {
		return err
	}
	last := reported[len(reported)-1]
	if rows := strconv.Itoa(len(r.shop.customers(r.shop.Last()))); last["rows_written"] != rows || last["rows_written.buy_7d"] != rows {
		return fmt.Errorf("%s: it reported %v: expected %s rows, all of unit buy_7d", list[0].ID, last, rows)
	}
	return r.check(ctx)
}

func (r *tour) check(ctx context.Context) error {
	reports, err := r.shop.Check(ctx, r.source)
	if err != nil {
		return err
	}
	r.Say("Every partition, against the shop:")
	if !verdict.Print(r.Out, reports) {
		return errors.New("not everything was right, see above")
	}
	return nil
}
