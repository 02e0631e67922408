package scenario

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	v1 "backfleet/api/v1"
	"backfleet/ops/examples/verdict"
	"backfleet/ops/examples/weather"
)

// round is one backfill of all days, and what came of it.
type round struct {
	gate      string
	id        string
	warehouse string
	traceFile string

	receipt v1.ReceiptTotals
	again   int // instances that needed more than one attempt
	lost    int // attempts whose end nobody reported in time
	wall    time.Duration
	killed  string
	gap     time.Duration // from the kill until the fleet started something again
	tables  []verdict.Report
	trace   weather.Trace
}

// right says whether nothing is lost, nothing wrong and nothing ran twice at
// once.
func (r *round) right() bool {
	for _, t := range r.tables {
		if t.Right != t.Of || len(t.Wrong) > 0 {
			return false
		}
	}
	return r.receipt.Generated > 0 && r.receipt.Succeeded == r.receipt.Generated && len(r.trace.Wrong) == 0 && len(r.tables) == len(weather.Tables)
}

// round backfills into a warehouse of its own and kills the leader half-way.
func (d *demo) round(ctx context.Context, gate string) (*round, error) {
	r := &round{gate: gate, warehouse: filepath.Join(d.dir, "warehouse-"+gate), traceFile: filepath.Join(d.dir, "attempts-"+gate+".log")}
	d.say("Gate %s: %s and its descendants, %s, %s groups, into %s", gate, root, dates, groups, r.warehouse)
	apply := d.cli(ctx, "node", "apply", "-f", filepath.Join(d.module, nodes), "--env", "WAREHOUSE="+r.warehouse,
		"--env", "WEATHER_CSV="+filepath.Join(d.module, data), "--env", "TRACE_FILE="+r.traceFile)
	if err := apply.Run(); err != nil {
		return nil, fmt.Errorf("node apply: %w", err)
	}
	if err := r.run(ctx, d); err != nil {
		return nil, err
	}
	return r, r.examine(ctx, d)
}

// run submits, watches, and strikes in the middle.
func (r *round) run(ctx context.Context, d *demo) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watch := d.cli(ctx, "backfill", "submit", "--node", root, "--mode", "descendants", "--dates", dates,
		"--groups", groups, "--gate", r.gate, "--watch", "--output", "name")
	var id bytes.Buffer
	watch.Stdout = &id // the progress goes to the other stream
	began := time.Now()
	if err := watch.Start(); err != nil {
		return err
	}
	struck := make(chan error, 1)
	go func() { struck <- r.strike(ctx, d) }()
	err := watch.Wait()
	r.wall, r.id = time.Since(began), strings.TrimSpace(id.String())
	if err != nil {
		cancel()
		return errors.Join(fmt.Errorf("backfill submit --watch: %w", err), <-struck)
	}
	return <-struck
}

// strike kills the leader when half of the work has begun, measures how long
// nothing begins, and starts the coordinator again.
func (r *round) strike(ctx context.Context, d *demo) error {
	half := (strings.Count(weather.CSV, "\n") - 1) * len(weather.Tables) / 2
	starts := newStarts(r.traceFile)
	defer starts.close()
	if err := starts.until(ctx, func() bool { return starts.seen >= half }); err != nil {
		return err
	}
	leader, err := d.fleet.Leader(ctx)
	if err != nil {
		return err
	}
	if err := starts.read(); err != nil {
		return err
	}
	at, before := time.Now(), starts.seen
	if err := leader.Kill(); err != nil {
		return err
	}
	r.killed = leader.Name
	fmt.Fprintf(os.Stderr, "\n-- kill -9 of %s, the leader, after %d attempts\n", leader.Name, before)
	// What the agents had been granted may still begin; the gap is the longest
	// silence of the seconds that follow, counted from the kill.
	previous, longest := at, time.Duration(0)
	for deadline := at.Add(4 * time.Second); time.Now().Before(deadline); {
		count := starts.seen
		if err := starts.until(ctx, func() bool { return starts.seen > count || time.Now().After(deadline) }); err != nil {
			return err
		}
		now := time.Now()
		if now.Sub(previous) > longest {
			longest, r.gap = now.Sub(previous), now.Sub(at)
		}
		previous = now
	}
	if starts.seen == before {
		return fmt.Errorf("nothing began in the %s after the kill", time.Since(at).Round(time.Millisecond))
	}
	fmt.Fprintf(os.Stderr, "\n-- the fleet went on after %s; %s starts again\n", r.gap.Round(time.Millisecond), leader.Name)
	return leader.Start()
}

// examine gathers what is to be judged.
func (r *round) examine(ctx context.Context, d *demo) error {
	cl, err := d.fleet.Client(d.fleet.Servers...)
	if err != nil {
		return err
	}
	receipt, err := cl.Receipt(ctx, r.id, &v1.GetReceiptParams{By: v1.ReceiptByNode})
	if err != nil {
		return err
	}
	r.receipt = receipt.Totals
	for cursor := ""; ; {
		page, err := cl.Instances(ctx, r.id, &v1.ListInstancesParams{Cursor: cursor, Limit: 1000})
		if err != nil {
			return err
		}
		for _, i := range page.Items {
			if i.Attempts > 1 {
				r.again++
				r.lost += i.Attempts - 1
			}
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if r.tables, err = weather.Check(os.DirFS(r.warehouse)); err != nil {
		return err
	}
	f, err := os.Open(r.traceFile)
	if err != nil {
		return err
	}
	defer f.Close()
	r.trace, err = weather.ReadTrace(f)
	return err
}

// summary prints what came of all rounds and says whether everything was right.
func (d *demo) summary(rounds []*round, took time.Duration) bool {
	right := true
	for _, r := range rounds {
		d.say("Checked against the data, gate %s:", r.gate)
		verdict.Print(d.out, r.tables)
		r.trace.Print(d.out)
		right = right && r.right()
	}
	fmt.Fprintln(d.out)
	w := tabwriter.NewWriter(d.out, 0, 0, 3, ' ', tabwriter.AlignRight)
	line := func(name string, value func(*round) string) {
		fmt.Fprint(w, name)
		for _, r := range rounds {
			fmt.Fprint(w, "\t", value(r))
		}
		fmt.Fprintln(w, "\t")
	}
	line("gate", func(r *round) string { return r.gate })
	line("backfill", func(r *round) string { return r.id })
	line("instances", func(r *round) string { return fmt.Sprint(r.receipt.Generated) })
	line("succeeded", func(r *round) string { return fmt.Sprint(r.receipt.Succeeded) })
	line("attempts", func(r *round) string { return fmt.Sprint(r.trace.Attempts) })
	line("lost and run again", func(r *round) string { return fmt.Sprint(r.lost) })
	line("killed leader", func(r *round) string { return r.killed })
	line("failover gap", func(r *round) string { return r.gap.Round(time.Millisecond).String() })
	line("wall time", func(r *round) string { return r.wall.Round(100 * time.Millisecond).String() })
	line("instances a second", func(r *round) string { return fmt.Sprintf("%.0f", float64(r.receipt.Generated)/r.wall.Seconds()) })
	line("verdict", func(r *round) string {
		if r.right() {
			return "right"
		}
		return "WRONG"
	})
	w.Flush()
	fmt.Fprintf(d.out, "\nAll of it took %s.\n", took.Round(time.Second))
	return right
}
