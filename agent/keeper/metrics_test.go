package keeper_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"backfleet/pkg/wire"
)

func told(m *wire.KeptAttempt) string {
	var parts []string
	for _, m := range m.Result.Metrics {
		parts = append(parts, m.Name+"="+m.Value)
	}
	return strings.Join(parts, " ")
}

// TestWhatAttemptsReport is kept over a handover and over the keeper's death.
func TestWhatAttemptsReport(t *testing.T) {
	dir := t.TempDir()
	old := ensureOther(t, dir)
	begun, flag := filepath.Join(dir, "begun"), filepath.Join(dir, "go")
	old.start(sh(ref(1, 10), `echo rows=1 >>"$BACKFLEET_METRICS"; exit 3`))
	if m := old.result(1); told(m) != "rows=1" || m.Result.Outcome != wire.Outcome_FAILED {
		t.Errorf("%v, want its metrics although it failed", m.Result)
	}
	old.start(sh(ref(2, 10), `echo rows=2 >>"$BACKFLEET_METRICS"; touch `+begun+`; while [ ! -e `+flag+` ]; do sleep 0.01; done; echo rows=3 >>"$BACKFLEET_METRICS"`))
	eventually(t, "its start", func() bool { _, err := os.Stat(begun); return err == nil })

	k := ensure(t, dir, time.Minute) // of this binary, in place of the other
	if k.Info.Pid != old.Info.Pid {
		t.Fatalf("%v after %v: want the same process", k.Info, old.Info)
	}
	if err := os.WriteFile(flag, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	seen := map[uint64]*wire.KeptAttempt{}
	for instance, want := range map[uint64]string{1: "rows=1", 2: "rows=3"} {
		if m := k.oneOf(seen, instance); told(m) != want {
			t.Errorf("instance %d: %v, want %s", instance, m.Result, want)
		}
	}
	if err := syscall.Kill(int(k.Info.Pid), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the keeper's end", func() bool { return !alive(int(k.Info.Pid)) })
	next := ensure(t, dir, time.Minute)
	clear(seen)
	for instance, want := range map[uint64]string{1: "rows=1", 2: "rows=3"} {
		if m := next.oneOf(seen, instance); told(m) != want {
			t.Errorf("of the journal, instance %d: %v, want %s", instance, m.Result, want)
		}
	}
}

func TestTheFileOfMetricsIsTheAttemptsOwn(t *testing.T) {
	dir := t.TempDir()
	k := ensure(t, dir, time.Minute)
	seen := map[uint64]*wire.KeptAttempt{}
	for i := range uint64(6) { // one after another: in each other's folders, unless something was left there
		m := sh(ref(i, 10), `[ "$BACKFLEET_METRICS" = "$PWD/.backfleet-metrics" ] && [ ! -e "$BACKFLEET_METRICS" ] || exit 9`)
		if i%2 == 1 {
			m.Script += "\necho odd=1 >\"$BACKFLEET_METRICS\""
		}
		m.Environment = append(m.Environment, &wire.Assignment{Name: "BACKFLEET_METRICS", Value: "/forged"})
		k.start(m)
		want := map[bool]string{true: "odd=1"}[i%2 == 1]
		if got := k.oneOf(seen, i); got.Result.Outcome != wire.Outcome_SUCCEEDED || told(got) != want {
			t.Errorf("instance %d: %v, want %q", i, got.Result, want)
		}
	}
	shared := sh(ref(10, 10), `echo a=1 >.backfleet-metrics; [ -z "$BACKFLEET_METRICS" ]`)
	shared.Directory = filepath.Join(dir, "shared")
	k.start(shared)
	if got := k.oneOf(seen, 10); got.Result.Outcome != wire.Outcome_SUCCEEDED || told(got) != "" {
		t.Errorf("in a folder that others may have used: %v", got.Result)
	}
}
