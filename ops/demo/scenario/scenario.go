// Package scenario is the demonstration: three coordinators and two agents as
// processes of their own backfill four years of Seattle's weather, twice, and
// the leader is killed in the middle of each. Every partition is checked
// against the data, every attempt against every other.
package scenario

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"backfleet/ops/demo/fleet"
	"backfleet/pkg/fault"
)

const (
	root   = "weather_ingest"
	dates  = "2012-01-01..2015-12-31"
	groups = "10"
	nodes  = "ops/examples/weather/nodes"
	data   = "ops/examples/weather/data/seattle-weather.csv"
)

type demo struct {
	module string // folder of the module
	dir    string // everything that the demonstration writes
	binary string
	out    io.Writer
	fleet  *fleet.Fleet
}

// Main runs the demonstration and gives the exit status: 0 only when
// everything was right.
func Main(args []string) int {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	keep := flags.Bool("keep", false, "keep the cluster running at the end, to explore; Ctrl-C ends it")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	d := &demo{out: os.Stdout}
	err := d.run(ctx, *keep)
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "demo: interrupted")
		return 130
	}
	fmt.Fprintln(os.Stderr, "demo:", err)
	return max(1, fault.ExitCode(err))
}

func (d *demo) run(ctx context.Context, keep bool) (err error) {
	began := time.Now()
	if d.module, err = moduleFolder(ctx); err != nil {
		return err
	}
	if d.dir, err = os.MkdirTemp("", "backfleet-demo-"); err != nil {
		return err
	}
	defer func() {
		if err == nil || ctx.Err() != nil {
			err = errors.Join(err, os.RemoveAll(d.dir))
		} else {
			fmt.Fprintln(d.out, "The logs of all processes are in", d.dir)
		}
	}()
	d.binary = filepath.Join(d.module, "bin", "backfleet")
	d.say("Building %s", d.binary)
	if err := fleet.Build(ctx, d.module, d.binary); err != nil {
		return err
	}
	d.say("Starting three coordinators and two agents; their folders and logs are in %s", d.dir)
	starting, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	d.fleet, err = fleet.Start(starting, fleet.Config{Binary: d.binary, Dir: d.dir, Coordinators: 3, Agents: 2, Slots: 4})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.fleet.Stop(context.WithoutCancel(ctx))) }()

	var rounds []*round
	for _, gate := range []string{"day", "node"} {
		r, err := d.round(ctx, gate)
		if err != nil {
			return fmt.Errorf("gate %s: %w", gate, err)
		}
		rounds = append(rounds, r)
	}
	right := d.summary(rounds, time.Since(began))
	if keep {
		d.explore(rounds)
		<-ctx.Done()
	} else {
		d.say("`make demo ARGS=--keep` leaves the cluster running, to explore it.")
	}
	if !right {
		return errors.New("not everything was right, see above")
	}
	return nil
}

// explore tells how to look at the cluster that is kept.
func (d *demo) explore(rounds []*round) {
	id := rounds[len(rounds)-1].id
	fmt.Fprintf(d.out, `
The cluster runs on; Ctrl-C ends it. Look at it in a browser:

  %s/backfills/%s

or in another terminal:

  export BACKFLEET_SERVER=%s PATH=%s:$PATH
  backfleet cluster status
  backfleet agent list
  backfleet backfill list
  backfleet backfill receipt %s
  backfleet instance list %s --node weather_rolling7 --limit 5
  backfleet instance show %s.5
  cat %s/weather_rolling7/dt=20151231/part.csv
`, d.fleet.Servers[0], id, strings.Join(d.fleet.Servers, ","), filepath.Dir(d.binary), id, id, id, rounds[len(rounds)-1].warehouse)
}

func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.out, "\n"+format+"\n", args...)
}

// cli makes a command of the binary that talks to the fleet.
func (d *demo) cli(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, d.binary, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	cmd.Env = append(os.Environ(), "BACKFLEET_SERVER="+strings.Join(d.fleet.Servers, ","))
	cmd.Stdout, cmd.Stderr = d.out, os.Stderr
	return cmd
}

func moduleFolder(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	file := strings.TrimSpace(string(out))
	if filepath.Base(file) != "go.mod" {
		return "", fault.New(fault.Invalid, "this is no clone of the project: run `make demo` in its top folder")
	}
	return filepath.Dir(file), nil
}
