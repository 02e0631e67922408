// Package drill injects faults into a cluster that works, again and again, and
// shows whether it keeps what it promises: nothing lost, nothing twice, nothing
// out of order, receipts and logs that are right; and how long it took to go
// on. See DESIGN.md.
package drill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"backfleet/api/client"
	"backfleet/pkg/fault"
)

// Options say what is drilled, and where.
type Options struct {
	Kind         string // one of Kinds, or All
	Times        int
	Coordinators int
	Agents       int
	Seed         uint64 // 0: of the time
	Binary       string // of the fleet; default this program's
	Keep         bool   // the folder, and of a cluster the nodes
	Report       string // file that a report is added to; its name says in which form
	JSON         bool   // print for machines

	Out, Err io.Writer
	Terminal bool // Err is one: show how far it is
	Cluster  *Cluster
}

// All drills everything, one after the other.
const All = "all"

// Kinds are what can be drilled.
func Kinds() (names []string) {
	for _, k := range kinds {
		names = append(names, k.name)
	}
	return names
}

// Broken is the error of a drill that found a broken promise.
type Broken struct{ Report *Report }

// Error implements error.
func (b *Broken) Error() string {
	return fmt.Sprintf("%s: a promise was broken, see the report: %s", b.Report.Drill, strings.Join(b.Report.Broken[:min(1, len(b.Report.Broken))], ""))
}

// Run drills and prints what came of it. It gives a *Broken if a promise was.
func Run(ctx context.Context, o Options) error {
	if err := o.complete(); err != nil {
		return err
	}
	if o.Cluster != nil {
		r, err := o.real(ctx)
		return errors.Join(err, o.tell(r))
	}
	var errs []error
	for _, k := range kinds {
		if o.Kind != All && o.Kind != k.name {
			continue
		}
		r, err := o.local(ctx, k)
		if errs = append(errs, err, o.tell(r)); ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return errors.Join(errs...)
}

func (o *Options) complete() error {
	known := o.Kind == All
	for _, k := range kinds {
		known = known || k.name == o.Kind
	}
	if !known {
		return fault.New(fault.Invalid, "there is no drill %q: expected one of %s or %s", o.Kind, strings.Join(Kinds(), ", "), All)
	}
	if o.Times < 1 || o.Times > 10_000 {
		return fault.Field("--times", "%d: expected 1 to 10000", o.Times)
	}
	if o.Cluster == nil && (o.Coordinators < 3 || o.Coordinators > 9 || o.Agents < 1 || o.Agents > 50) {
		return fault.Field("--coordinators", "%d, and %d agents: expected 3 to 9, for fewer survive no loss, and 1 to 50 agents", o.Coordinators, o.Agents)
	}
	if o.Seed == 0 {
		o.Seed = uint64(time.Now().UnixNano() % 1e9)
	}
	if o.Binary == "" {
		var err error
		if o.Binary, err = os.Executable(); err != nil {
			return fault.Wrap(err, fault.Unavailable, "this program cannot be found, to run it as a fleet")
		}
	}
	switch filepath.Ext(o.Report) {
	case "", ".md", ".json":
		return nil
	}
	return fault.Field("--report", "%q: expected a name that ends in .md or .json", o.Report)
}

// tell prints a report and adds it to the file. A drill that could not be run
// has none.
func (o *Options) tell(r *Report) error {
	if r == nil {
		return nil
	}
	var errs []error
	if o.JSON {
		errs = append(errs, r.JSON(o.Out))
	} else {
		r.Print(o.Out)
	}
	if o.Report != "" {
		errs = append(errs, o.add(r))
	}
	if !r.Held() {
		errs = append(errs, &Broken{r})
	}
	return errors.Join(errs...)
}

// add appends to the file: a section of Markdown, or a line of JSON.
func (o *Options) add(r *Report) error {
	if err := os.MkdirAll(filepath.Dir(o.Report), 0o755); err != nil {
		return fault.Wrap(err, fault.Unavailable, "the report cannot be written")
	}
	f, err := os.OpenFile(o.Report, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "the report cannot be written")
	}
	if filepath.Ext(o.Report) == ".md" {
		r.Markdown(f)
	} else {
		err = json.NewEncoder(f).Encode(r)
	}
	return errors.Join(err, f.Close())
}

// drill is one under way.
type drill struct {
	o      *Options
	random *rand.Rand // of the faults
	load   *load
	marks  []mark
	report *Report
}

// clients gives how the load of a drill asks.
func (o *Options) begin(name string, c client.Options) (*drill, error) {
	d := &drill{o: o, random: rand.New(rand.NewPCG(o.Seed, 0)),
		report: &Report{Drill: name, Seed: o.Seed, Began: time.Now(), Coordinators: o.Coordinators, Agents: o.Agents}}
	var err error
	d.load, err = newLoad(c, fmt.Sprintf("drill-%d-%d", o.Seed, time.Now().UnixMilli()), rand.New(rand.NewPCG(o.Seed, 1)))
	return d, err
}

// between gives a moment by chance.
func (d *drill) between(least, most time.Duration) time.Duration {
	return least + time.Duration(d.random.Int64N(int64(most-least)))
}

// last lets time go by.
func last(ctx context.Context, t time.Duration) error {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// mark notes that a fault begins; the caller ends it.
func (d *drill) mark(format string, args ...any) (whole func()) {
	i := len(d.marks)
	d.marks = append(d.marks, mark{at: time.Now(), what: fmt.Sprintf(format, args...)})
	return func() { d.marks[i].until = time.Now() }
}

func (d *drill) progress(done int) {
	if d.o.Terminal {
		fmt.Fprintf(d.o.Err, "\r\x1b[K%s %d of %d", d.report.Drill, done, d.o.Times)
		if done == d.o.Times {
			fmt.Fprintln(d.o.Err)
		}
	}
}

// under keeps the load going while inject is called again and again, and ends it.
func (d *drill) under(ctx context.Context, inject func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		err := d.load.run(ctx, stop)
		if err != nil {
			cancel(err) // faults under which nothing works show nothing
		}
		ended <- err
	}()
	var err error
	for i := 0; i < d.o.Times && err == nil; i++ {
		d.progress(i)
		err = inject(ctx)
		d.report.Faults++
	}
	close(stop)
	if err != nil {
		cancel(err)
		<-ended
		return err
	}
	d.progress(d.o.Times)
	timer := time.AfterFunc(patience, func() {
		cancel(fault.New(fault.Timeout, "the backfills have not ended %s after the last fault", patience))
	})
	defer timer.Stop()
	return <-ended
}

// finish fills in what the clients saw.
func (d *drill) finish() {
	r, l := d.report, d.load
	r.Seconds = time.Since(r.Began).Seconds()
	r.Submits, r.Reads, r.Refused, r.Unknown = l.submits.Load(), l.reads.Load(), l.refused.Load(), l.unknown.Load()
	r.LongestWait = time.Duration(l.silence.Load()).Seconds()
	for _, w := range l.backward {
		r.broke(&r.WrongAnswers, "wrong answer")("%s", w)
	}
}
