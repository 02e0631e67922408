package trial

import (
	"context"
	"errors"
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

// Main tries an example on three coordinators and two agents and gives the exit
// status: 0 only when it went well. module is the folder of the clone. Whatever
// was written is removed, unless it went wrong; with keep the fleet runs on
// until it is interrupted.
func Main(name string, keep bool, example func(ctx context.Context, module string, t *Trial) error) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, name, keep, os.Stdout, example)
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, name+": interrupted")
		return 130
	}
	fmt.Fprintln(os.Stderr, name+":", err)
	return max(1, fault.ExitCode(err))
}

func run(ctx context.Context, name string, keep bool, out io.Writer, example func(ctx context.Context, module string, t *Trial) error) (err error) {
	began := time.Now()
	module, err := moduleFolder(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "backfleet-"+name+"-")
	if err != nil {
		return err
	}
	defer func() {
		if err == nil || ctx.Err() != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		} else {
			fmt.Fprintln(out, "The logs of all processes are in", dir)
		}
	}()
	fmt.Fprintln(out, "Building the binary; starting three coordinators and two agents in", dir)
	binary := filepath.Join(module, "bin", "backfleet")
	if err := fleet.Build(ctx, module, binary); err != nil {
		return err
	}
	t, err := Start(ctx, Config{Binary: binary, Dir: dir, Coordinators: 3, Agents: 2, Slots: 4, Out: out})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Stop(context.WithoutCancel(ctx))) }()
	if err := example(ctx, module, t); err != nil {
		return err
	}
	t.Say("Example %s: all of it is right, and took %s.", name, time.Since(began).Round(time.Second))
	if keep {
		t.Say("The fleet runs on until Ctrl-C:\n  export BACKFLEET_SERVER=%s PATH=%s:$PATH", strings.Join(t.Servers, ","), filepath.Dir(binary))
		<-ctx.Done()
	}
	return nil
}

func moduleFolder(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	file := strings.TrimSpace(string(out))
	if filepath.Base(file) != "go.mod" {
		return "", fault.New(fault.Invalid, "this is no clone of the project: run the example in its top folder")
	}
	return filepath.Dir(file), nil
}
