package lifecycle_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"backfleet/pkg/fault"
	"backfleet/pkg/lifecycle"
	"backfleet/pkg/lifecycle/stress"
)

// recorder makes steps that write down what happens to them.
type recorder struct{ events []string }

func (r *recorder) step(name string, startErr error) lifecycle.Step {
	note := func(what string, err error) func(context.Context) error {
		return func(context.Context) error { r.events = append(r.events, what+" "+name); return err }
	}
	return lifecycle.Step{Name: name, Service: lifecycle.Funcs(note("start", startErr), note("stop", nil))}
}

func TestOrder(t *testing.T) {
	var r recorder
	g := lifecycle.NewGroup(nil, r.step("a", nil), r.step("b", nil), r.step("c", nil))
	if err := g.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := g.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := g.Start(t.Context()); !fault.Is(err, fault.Conflict) {
		t.Errorf("a second start: %v", err)
	}
	if want := []string{"start a", "start b", "start c", "stop c", "stop b", "stop a"}; !slices.Equal(r.events, want) {
		t.Errorf("got %q; expected %q", r.events, want)
	}
}

func TestFailedStartUndoes(t *testing.T) {
	var r recorder
	cause := errors.New("port taken")
	g := lifecycle.NewGroup(nil, r.step("a", nil), r.step("b", cause), r.step("c", nil))
	if err := g.Start(t.Context()); !errors.Is(err, cause) || !strings.Contains(err.Error(), "b did not start") {
		t.Fatalf("got %v", err)
	}
	if want := []string{"start a", "start b", "stop b", "stop a"}; !slices.Equal(r.events, want) {
		t.Errorf("got %q; expected %q", r.events, want)
	}
}

// One that hangs costs its own deadline; the others are stopped all the same.
func TestHangingStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		release := make(chan struct{})
		hang := lifecycle.Step{Name: "hang", StopTimeout: 2 * time.Second, Service: lifecycle.Funcs(nil, func(context.Context) error { <-release; return nil })}
		g := lifecycle.NewGroup(nil, r.step("a", nil), hang, r.step("c", nil))
		if err := g.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		err := g.Stop(t.Context())
		if !fault.Is(err, fault.Timeout) || !strings.Contains(err.Error(), "stop hang") {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begin); took > 3*time.Second {
			t.Errorf("took %s", took)
		}
		if want := []string{"start a", "start c", "stop c", "stop a"}; !slices.Equal(r.events, want) {
			t.Errorf("got %q; expected %q", r.events, want)
		}
		close(release)
	})
}

func TestRunnerReportsFailure(t *testing.T) {
	cause, told := errors.New("broke"), make(chan error, 1)
	r := lifecycle.Runner(func(context.Context) error { return cause }, func(err error) { told <- err })
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-told; !errors.Is(err, cause) {
		t.Errorf("told %v", err)
	}
	if err := r.Stop(t.Context()); !errors.Is(err, cause) {
		t.Errorf("stop: %v", err)
	}
}

func TestStress(t *testing.T) {
	waits := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	quick := func(context.Context) error { return nil }
	for name, fresh := range map[string]func(*testing.T) lifecycle.Service{
		"funcs":  func(*testing.T) lifecycle.Service { return lifecycle.Funcs(quick, quick) },
		"runner": func(*testing.T) lifecycle.Service { return lifecycle.Runner(waits, nil) },
		"group": func(*testing.T) lifecycle.Service {
			return lifecycle.NewGroup(nil,
				lifecycle.Step{Name: "a", Service: lifecycle.Funcs(quick, quick)},
				lifecycle.Step{Name: "b", Service: lifecycle.Runner(waits, nil)})
		},
	} {
		t.Run(name, func(t *testing.T) { stress.Service(t, fresh) })
	}
}
