package keeper_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"backfleet/agent/keeper"
	"backfleet/agent/monotonic"
	"backfleet/pkg/wire"
)

// The test binary is keeper and guard as well.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "guard" {
		if err := keeper.Guard(os.Stdin, os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) > 1 && os.Args[1] == "keeper" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		idle, _ := time.ParseDuration(os.Args[2])
		err := keeper.Run(ctx, keeper.Config{Dir: os.Args[4], IdleExit: idle, Grace: 300 * time.Millisecond,
			GuardCommand: []string{"/proc/self/exe", "guard"}, Wall: wall(), Logger: slog.Default()})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

const soon = 20 * time.Second

// kept is a keeper process under test.
type kept struct {
	*keeper.Client
	t     *testing.T
	dir   string
	watch chan *wire.KeptAttempt
}

func ensure(t *testing.T, dir string, idle time.Duration) *kept {
	t.Helper()
	return ensureOf(t, dir, []string{"/proc/self/exe", "keeper", idle.String()})
}

// ensureOf has the keeper be a command, if it has to be started or replaced.
func ensureOf(t *testing.T, dir string, command []string) *kept {
	t.Helper()
	client, err := keeper.Ensure(t.Context(), dir, command)
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "keeper.log"))
		t.Fatalf("%v\n%s", err, log)
	}
	k := &kept{Client: client, t: t, dir: dir, watch: make(chan *wire.KeptAttempt, 1000)}
	stream, err := client.Watch(context.Background(), &wire.WatchAttempts{})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(k.watch)
		for {
			m, err := stream.Recv()
			if err != nil {
				return
			}
			more := m.More
			m.More = nil
			for _, m := range append([]*wire.KeptAttempt{m}, more...) {
				k.watch <- m
			}
		}
	}()
	pid := int(client.Info.Pid)
	t.Cleanup(func() {
		client.Close()
		_ = syscall.Kill(pid, syscall.SIGKILL)
		eventually(t, "the keeper's end", func() bool { return !alive(pid) })
	})
	return k
}

// result waits for an attempt's result.
func (k *kept) result(instance uint64) *wire.KeptAttempt {
	k.t.Helper()
	return k.until(fmt.Sprintf("the result of instance %d", instance), func(m *wire.KeptAttempt) bool {
		return m.Ref.GetInstance() == instance && m.Result != nil
	})
}

func (k *kept) until(what string, ok func(*wire.KeptAttempt) bool) *wire.KeptAttempt {
	k.t.Helper()
	late := time.After(soon)
	for {
		select {
		case m, more := <-k.watch:
			if !more {
				k.t.Fatalf("the keeper left before %s", what)
			}
			if ok(m) {
				return m
			}
		case <-late:
			k.t.Fatalf("%s did not come within %s", what, soon)
		}
	}
}

func eventually(t *testing.T, what string, ok func() bool) time.Duration {
	t.Helper()
	begin := time.Now()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if <-tick.C; time.Since(begin) > soon {
			t.Fatalf("%s did not come within %s", what, soon)
		}
	}
	return time.Since(begin)
}

// alive says whether a process exists and is no zombie.
func alive(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !bytes.Contains(data[bytes.LastIndexByte(data, ')'):], []byte(") Z"))
}

func ref(instance, fence uint64) *wire.AttemptRef {
	return &wire.AttemptRef{Plan: 1, Instance: instance, Attempt: 1, Fence: fence}
}

func sh(r *wire.AttemptRef, code string) *wire.StartAttempt {
	return &wire.StartAttempt{
		Ref: r, Command: []string{"sh"}, Script: code, LeaseMs: 60_000,
		Environment: []*wire.Assignment{{Name: "PATH", Value: os.Getenv("PATH")}},
	}
}

func (k *kept) start(m *wire.StartAttempt) {
	k.t.Helper()
	if _, err := k.Start(k.t.Context(), m); err != nil {
		k.t.Fatal(err)
	}
}

// pids waits for a file of process ids that an attempt writes in one go.
func (k *kept) pids(path string, n int) []int {
	k.t.Helper()
	var pids []int
	eventually(k.t, "process ids in "+path, func() bool {
		data, _ := os.ReadFile(path)
		pids = nil
		for _, f := range strings.Fields(string(data)) {
			pid, _ := strconv.Atoi(f)
			pids = append(pids, pid)
		}
		return len(pids) == n
	})
	return pids
}

// family is a script that writes the ids of itself, of a double-forked child
// in its group and of one that left the group, and goes on.
func family(path string) string {
	return `trap '' TERM
( sh -c 'echo $$ >>` + path + `; while :; do sleep 1000; done' & )
setsid sh -c 'echo $$ >>` + path + `; while :; do sleep 1000; done' &
echo $$ >>` + path + `
while :; do sleep 1000; done`
}

func TestAKilledKeeperTakesItsAttemptsWithIt(t *testing.T) {
	dir := t.TempDir()
	k := ensure(t, dir, time.Hour)
	list := filepath.Join(dir, "pids")
	k.start(sh(ref(1, 10), "echo here\n"+family(list)))
	pids := k.pids(list, 3)
	k.until("output", func(m *wire.KeptAttempt) bool { return m.LogBytes > 0 })
	if err := syscall.Kill(int(k.Info.Pid), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	took := eventually(t, "the attempts' end", func() bool {
		for _, pid := range pids {
			if alive(pid) {
				return false
			}
		}
		return true
	})
	if took > time.Second {
		t.Errorf("the attempts outlived their keeper by %s, want less than a second", took)
	}

	next := ensure(t, dir, time.Hour)
	if next.Info.Incarnation == k.Info.Incarnation {
		t.Error("the next keeper has the incarnation of the dead one")
	}
	m := next.result(1)
	if m.Result.Outcome != wire.Outcome_LOST || m.LogBytes == 0 || m.Ref.Fence != 10 {
		t.Errorf("got %v, want the attempt lost, with its log", m)
	}
}

func TestAHungKeeperIsEndedByItsGuard(t *testing.T) {
	dir := t.TempDir()
	k := ensure(t, dir, time.Hour)
	list := filepath.Join(dir, "pids")
	k.start(sh(ref(1, 10), family(list)))
	pids := k.pids(list, 3)
	if err := syscall.Kill(int(k.Info.Pid), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	took := eventually(t, "the attempts' end", func() bool { return !alive(pids[0]) && !alive(pids[1]) && !alive(pids[2]) })
	if took > 3*time.Second {
		t.Errorf("a stopped keeper's attempts lived on for %s, want less than the margin of 3 s", took)
	}
}

func TestTheLeaseEndKillsTheWholeGroupWithoutAnybodyConnected(t *testing.T) {
	dir := t.TempDir()
	k := ensure(t, dir, time.Hour)
	list := filepath.Join(dir, "pids")
	attempt := sh(ref(1, 10), `trap '' TERM; (sh -c 'echo $$ >>`+list+`; exec sleep 1000' & ) ; echo $$ >>`+list+`; while :; do sleep 1000; done`)
	begin := monotonic.Now()
	attempt.DeadlineNs = int64(begin + 400*time.Millisecond)
	k.start(attempt)
	extended := begin + 1200*time.Millisecond
	if _, err := k.Extend(t.Context(), &wire.ExtendAttempts{Refs: []*wire.AttemptRef{ref(1, 10), ref(9, 9)}, DeadlineNs: int64(extended)}); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Extend(t.Context(), &wire.ExtendAttempts{Refs: []*wire.AttemptRef{ref(1, 10)}, DeadlineNs: 1}); err != nil {
		t.Fatal(err) // an older one must not shorten it
	}
	pids := k.pids(list, 2)
	k.Close()
	eventually(t, "the end of the lease", func() bool { return !alive(pids[0]) && !alive(pids[1]) })
	if now := monotonic.Now(); now < extended || now > extended+time.Second {
		t.Errorf("killed %s after the lease's end, want just after it", now-extended)
	}
	m := ensure(t, dir, time.Hour).result(1)
	if m.Result.Outcome != wire.Outcome_LOST || m.Result.ExitCode != 137 {
		t.Errorf("got %v, want it lost by SIGKILL", m.Result)
	}
}

func TestStopIsGracefulFirst(t *testing.T) {
	dir := t.TempDir()
	k := ensure(t, dir, time.Hour)
	stop := func(instance uint64, grace time.Duration) *wire.AttemptResult {
		t.Helper()
		_, err := k.Stop(t.Context(), &wire.StopAttempt{Ref: ref(instance, 10), GraceMs: grace.Milliseconds(), Cause: "stopped by a test"})
		if err != nil {
			t.Fatal(err)
		}
		return k.result(instance).Result
	}
	ready := func(m *wire.KeptAttempt) bool { return m.LogBytes > 0 }
	k.start(sh(ref(1, 10), `trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done`))
	k.until("output", ready)
	if r := stop(1, time.Minute); r.Outcome != wire.Outcome_STOPPED || r.ExitCode != 3 || r.Cause != "stopped by a test" {
		t.Errorf("got %v, want it stopped with its own exit code 3", r)
	}
	k.start(sh(ref(2, 10), `trap '' TERM; echo ready; while :; do sleep 0.01; done`))
	k.until("output", ready)
	begin := time.Now()
	if r := stop(2, 200*time.Millisecond); r.Outcome != wire.Outcome_STOPPED || r.ExitCode != 137 {
		t.Errorf("got %v, want it stopped by SIGKILL", r)
	}
	if took := time.Since(begin); took < 200*time.Millisecond || took > 5*time.Second {
		t.Errorf("SIGKILL came after %s, want a grace of 200 ms", took)
	}
}

func TestATimeoutEndsAnAttempt(t *testing.T) {
	k := ensure(t, t.TempDir(), time.Hour)
	attempt := sh(ref(1, 10), `trap '' TERM; while :; do sleep 0.01; done`)
	attempt.TimeoutMs = 100
	k.start(attempt)
	if r := k.result(1).Result; r.Outcome != wire.Outcome_TIMED_OUT || r.EndedMs-r.StartedMs < 400 || r.Cause != "ran longer than its timeout of 100ms" {
		t.Errorf("got %v, want it timed out after 100 ms and a grace of 300 ms", r)
	}
}

func TestResultsStayUntilTheyAreForgotten(t *testing.T) {
	dir := t.TempDir()
	k := ensure(t, dir, time.Hour)
	k.start(sh(ref(1, 10), "echo out; exit 7"))
	first := k.result(1)
	k.start(sh(ref(2, 10), "exit 0"))
	k.result(2)
	if _, err := k.Forget(t.Context(), &wire.ForgetAttempt{Refs: []*wire.AttemptRef{ref(2, 10), ref(99, 1)}}); err != nil {
		t.Fatal(err)
	}
	_ = syscall.Kill(int(k.Info.Pid), syscall.SIGKILL)
	eventually(t, "the keeper's end", func() bool { return !alive(int(k.Info.Pid)) })

	next := ensure(t, dir, time.Hour)
	seen := 0
	next.until("the end of the list", func(m *wire.KeptAttempt) bool {
		if m.Complete {
			return true
		}
		seen++
		if m.Ref.Instance != 1 || m.Result.GetOutcome() != wire.Outcome_FAILED || m.Result.ExitCode != 7 || m.LogBytes != first.LogBytes {
			t.Errorf("got %v, want the result of instance 1 as it was: %v", m, first)
		}
		return false
	})
	if seen != 1 {
		t.Errorf("%d attempts, want the one not forgotten", seen)
	}
	if _, err := next.Forget(t.Context(), &wire.ForgetAttempt{Ref: ref(1, 10)}); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "logs")); err != nil || len(left) != 0 {
		t.Errorf("the logs are %v (%v), want nothing left", left, err)
	}
	_ = syscall.Kill(int(next.Info.Pid), syscall.SIGKILL)
	eventually(t, "the keeper's end", func() bool { return !alive(int(next.Info.Pid)) })
	last := ensure(t, dir, time.Hour)
	if m := last.until("the list", func(*wire.KeptAttempt) bool { return true }); !m.Complete {
		t.Errorf("got %v, want nothing left", m)
	}
}

func TestAnAttemptFindsItsFolderEmptyAndMayRemoveIt(t *testing.T) {
	dir := t.TempDir()
	k := ensure(t, dir, time.Hour)
	codes := []string{`:`, `echo >left; mkdir a; echo >a/b`, `touch x; rm x`, `rm -rf "$PWD"`, `chmod 0500 .`, `rmdir "$PWD"; ln -s / "$PWD"`, `:`}
	for i, code := range codes {
		n := uint64(i + 1)
		k.start(sh(ref(n, 10), `echo in "$PWD" with $(ls -A | wc -l) at $(stat -c %a .); `+code+`; echo done`))
		m := k.result(n)
		log := string(m.Log)
		if !strings.Contains(log, "with 0 at 700\n") || !strings.Contains(log, "done\n") || m.Result.Outcome != wire.Outcome_SUCCEEDED {
			t.Errorf("after %q: result %v, log %q; want an empty folder of mode 700 and a whole log", codes[:i], m.Result, log)
		}
	}
	eventually(t, "that what was left is removed", func() bool {
		left, err := os.ReadDir(filepath.Join(dir, "work"))
		return err == nil && len(left) <= 2 // the one free, and the link
	})
}

// A torn record ends the journal; what was announced before it counts.
func TestATornRecordEndsTheJournal(t *testing.T) {
	dir := t.TempDir()
	k := ensure(t, dir, time.Hour)
	k.start(sh(ref(1, 10), "exit 7"))
	k.result(1)
	path := filepath.Join(dir, "journal")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	k.start(sh(ref(2, 10), "exec sleep 1000"))
	_ = syscall.Kill(int(k.Info.Pid), syscall.SIGKILL)
	eventually(t, "the keeper's end", func() bool { return !alive(int(k.Info.Pid)) })
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range after {
		if before[i] != after[i] {
			after[i+12]++ // within the last record
			break
		}
	}
	if err := os.WriteFile(path, after, 0o600); err != nil {
		t.Fatal(err)
	}
	next := ensure(t, dir, time.Hour)
	if r := next.result(1).Result; r.ExitCode != 7 {
		t.Errorf("got %v, want the result as it was", r)
	}
	if m := next.until("the list", func(*wire.KeptAttempt) bool { return true }); !m.Complete {
		t.Errorf("got %v, want nothing more", m)
	}
}

func TestWhatMayNotStartIsRefused(t *testing.T) {
	k := ensure(t, t.TempDir(), time.Hour)
	k.start(sh(ref(1, 10), "exec sleep 1000"))
	k.start(sh(ref(1, 10), "echo never"))
	refused := func(m *wire.StartAttempt, want codes.Code) {
		t.Helper()
		if _, err := k.Start(t.Context(), m); status.Code(err) != want {
			t.Errorf("start of %v: %v, want %v", m.Ref, err, want)
		}
	}
	refused(sh(ref(1, 9), "echo old"), codes.FailedPrecondition)
	late := sh(ref(2, 10), "echo late")
	late.DeadlineNs = int64(monotonic.Now() - 1)
	refused(late, codes.DeadlineExceeded)
	if _, err := k.Forget(t.Context(), &wire.ForgetAttempt{Ref: ref(1, 10)}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("a running attempt was forgotten (%v)", err)
	}
	if _, err := k.Quit(t.Context(), &wire.QuitKeeper{}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("the keeper quit with an attempt running (%v)", err)
	}
	// A newer one takes the place of the older, whose end comes first.
	answer, err := k.StartAll(t.Context(), &wire.StartAttempts{Attempts: []*wire.StartAttempt{sh(ref(1, 8), ":"), sh(ref(1, 11), "exit 4")}})
	if err != nil || len(answer.Refusals) != 2 || answer.Refusals[0] == "" || answer.Refusals[1] != "" {
		t.Fatalf("got %v (%v), want the first refused", answer, err)
	}
	results := map[uint64]*wire.AttemptResult{}
	k.until("both results", func(m *wire.KeptAttempt) bool {
		if m.Result != nil {
			results[m.Ref.Fence] = m.Result
		}
		return len(results) == 2
	})
	if results[10].Outcome != wire.Outcome_LOST || results[11].ExitCode != 4 || results[10].EndedMs > results[11].StartedMs {
		t.Errorf("got %v, want the old one ended before the new one began", results)
	}
}

func TestWhatCannotBeStartedFailsWithTheCause(t *testing.T) {
	k := ensure(t, t.TempDir(), time.Hour)
	missing := sh(ref(1, 10), ":")
	missing.Command = []string{"no-such-shell"}
	k.start(missing)
	if r := k.result(1).Result; r.Outcome != wire.Outcome_FAILED || r.ExitCode != 127 || !strings.Contains(r.Cause, "no-such-shell") {
		t.Errorf("got %v, want a failure that names the program", r)
	}
}

func TestAFolderHasOneKeeper(t *testing.T) {
	dir := t.TempDir()
	ensure(t, dir, time.Hour)
	err := keeper.Run(t.Context(), keeper.Config{Dir: dir, GuardCommand: []string{"true"}})
	if err == nil || !strings.Contains(err.Error(), "held by another process") {
		t.Errorf("a second keeper: %v", err)
	}
	info, err := os.Stat(filepath.Join(dir, "keeper.sock"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket %v (%v), want mode 0600", info.Mode(), err)
	}
}

func TestAnIdleKeeperLeaves(t *testing.T) {
	k := ensure(t, filepath.Join(t.TempDir(), strings.Repeat("long-", 30)), 500*time.Millisecond)
	k.start(sh(ref(1, 10), "sleep 1"))
	k.Close()
	took := eventually(t, "the keeper's end", func() bool { return !alive(int(k.Info.Pid)) })
	if took < 800*time.Millisecond {
		t.Errorf("it left after %s although an attempt ran", took)
	}
}

func TestSIGTERMSavesResultsFirst(t *testing.T) {
	dir := t.TempDir()
	k := ensure(t, dir, time.Hour)
	k.start(sh(ref(1, 10), `trap '' TERM; echo ready; while :; do sleep 0.01; done`))
	k.until("output", func(m *wire.KeptAttempt) bool { return m.LogBytes > 0 })
	_ = syscall.Kill(int(k.Info.Pid), syscall.SIGTERM)
	eventually(t, "the keeper's end", func() bool { return !alive(int(k.Info.Pid)) })
	if r := ensure(t, dir, time.Hour).result(1).Result; r.Outcome != wire.Outcome_LOST || r.Cause != "the keeper was told to end" {
		t.Errorf("got %v, want the result that the keeper saved before it left", r)
	}
}
