package keeper_test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"backfleet/agent/keeper"
	"backfleet/agent/monotonic"
	"backfleet/pkg/wire"
)

// other is this test's binary with something at its end: another one.
func other(t *testing.T) string {
	t.Helper()
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	path := filepath.Join(t.TempDir(), "other")
	to, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o755)
	if err == nil {
		_, err = io.Copy(to, from)
	}
	if err == nil {
		_, err = to.WriteString("other")
	}
	if err == nil {
		err = to.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// ensureOther starts a keeper of another binary.
func ensureOther(t *testing.T, dir string) *kept {
	t.Helper()
	return ensureOf(t, dir, []string{other(t), "keeper", time.Minute.String()})
}

func TestWhatAKeeperHandsOver(t *testing.T) {
	dir := t.TempDir()
	old := ensureOther(t, dir)
	in := func(name string) string { return filepath.Join(dir, name) }
	hold := func(name string) string { return "while [ ! -e " + in(name) + " ]; do sleep 0.01; done" }

	old.start(sh(ref(1, 10), "echo kept; exit 7"))
	ended := old.result(1)
	timed, leased := sh(ref(2, 10), hold("never")), sh(ref(3, 10), hold("never"))
	timed.TimeoutMs = 2000
	leased.DeadlineNs = int64(monotonic.Now() + 2*time.Second)
	stopped := sh(ref(4, 10), "trap '' TERM; touch "+in("trapped")+"; "+hold("never"))
	torn := sh(ref(5, 10), "printf one; touch "+in("torn")+"; "+hold("go")+"; echo two; echo three >&2")
	runs, waits := sh(ref(6, 10), hold("go")), sh(ref(7, 10), "echo late")
	for _, m := range []*wire.StartAttempt{runs, waits} {
		m.Group, m.Slots = "one", 1
	}
	waits.Ahead, waits.AheadMs = true, 60_000
	fenced, fencing := sh(ref(8, 10), "trap '' TERM; "+hold("never")), sh(ref(8, 11), "echo newer")
	for _, m := range []*wire.StartAttempt{timed, leased, stopped, torn, runs, waits, fenced} {
		old.start(m)
	}
	for _, name := range []string{"trapped", "torn"} {
		eventually(t, name, func() bool { _, err := os.Stat(in(name)); return err == nil })
	}
	if _, err := old.Stop(t.Context(), &wire.StopAttempt{Ref: ref(4, 10), GraceMs: 1500, Cause: "by ann"}); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()

	k := ensure(t, dir, time.Minute) // of this binary
	if k.Info.Pid != old.Info.Pid || k.Info.Incarnation != old.Info.Incarnation || k.Info.StartedWith != keeper.Binary() || old.Info.StartedWith == keeper.Binary() || k.Outdated != "" {
		t.Fatalf("%v (%s) after %v: want the same process with this binary", k.Info, k.Outdated, old.Info)
	}
	seen := map[uint64]*wire.KeptAttempt{}
	if m := k.oneOf(seen, 1); m.Result.ExitCode != 7 || string(m.Log) != string(ended.Log) || len(m.Log) == 0 {
		t.Errorf("what had ended is kept as %v, want %v", m, ended)
	}
	k.start(fencing)
	if err := os.WriteFile(in("go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for instance, want := range map[uint64]struct {
		outcome wire.Outcome
		log     string
	}{
		2: {wire.Outcome_TIMED_OUT, ""}, 3: {wire.Outcome_LOST, ""}, 4: {wire.Outcome_STOPPED, ""},
		5: {wire.Outcome_SUCCEEDED, "onetwo\nthree\n"}, 6: {wire.Outcome_SUCCEEDED, ""}, 7: {wire.Outcome_SUCCEEDED, "late\n"},
	} {
		m := k.oneOf(seen, instance)
		if m.Result.Outcome != want.outcome || said(t, m) != want.log {
			t.Errorf("instance %d: %v, log %q, want %s with %q", instance, m.Result, said(t, m), want.outcome, want.log)
		}
	}
	if took := time.Since(begin); took < time.Second || took > 10*time.Second {
		t.Errorf("the deadlines came after %s", took)
	}
	for k.oneOf(seen, 8).Ref.Fence != 11 { // the one before it ends first
		delete(seen, 8)
	}
	if m := seen[8]; m.Result.Outcome != wire.Outcome_SUCCEEDED || said(t, m) != "newer\n" {
		t.Errorf("instance 8: %v, %q", m.Result, said(t, m))
	}
	k.start(sh(ref(9, 10), "echo fresh"))
	if m := k.oneOf(seen, 9); m.Result.Outcome != wire.Outcome_SUCCEEDED || m.Result.StartedMs == 0 {
		t.Errorf("a new attempt: %v", m.Result)
	}
}

// TestWhatEndsDuringAHandover: nobody waits for it while the one program becomes
// the other, and its exit code is known all the same.
func TestWhatEndsDuringAHandover(t *testing.T) {
	dir := t.TempDir()
	old := ensureOther(t, dir)
	const first, last = 20, 100
	for i := first; i <= last; i++ {
		old.start(sh(ref(uint64(i), 10), fmt.Sprintf("echo one; sleep %.2f; echo two; exit 3", float64(i)/100)))
	}
	k := ensure(t, dir, time.Minute)
	if k.Info.Pid != old.Info.Pid || k.Info.StartedWith != keeper.Binary() {
		t.Fatalf("%v after %v: want the same process with this binary", k.Info, old.Info)
	}
	seen := map[uint64]*wire.KeptAttempt{}
	for i := first; i <= last; i++ {
		if m := k.oneOf(seen, uint64(i)); m.Result.Outcome != wire.Outcome_FAILED || m.Result.ExitCode != 3 || said(t, m) != "one\ntwo\n" {
			t.Errorf("instance %d: %v, log %q", i, m.Result, said(t, m))
		}
	}
}

// said is what an attempt printed, of its log.
func said(t *testing.T, m *wire.KeptAttempt) string {
	t.Helper()
	log := string(m.Log)
	if m.LogDirectory != "" {
		data, err := os.ReadFile(m.LogDirectory + ".000000.log")
		if err != nil && m.LogBytes > 0 {
			t.Fatal(err)
		}
		log = string(data)
	}
	var b strings.Builder
	for line := range strings.Lines(log) {
		parts := strings.SplitN(line, " ", 4) // time, stream, tag, text
		text := parts[3]
		if parts[2] == "P" {
			text = strings.TrimSuffix(text, "\n")
		}
		b.WriteString(text)
	}
	return b.String()
}

// TestAHandoverThatFailsChangesNothing.
func TestAHandoverThatFailsChangesNothing(t *testing.T) {
	dir := t.TempDir()
	k := ensure(t, dir, time.Minute)
	flag := filepath.Join(dir, "go")
	k.start(sh(ref(1, 10), "echo before; while [ ! -e "+flag+" ]; do sleep 0.01; done; echo after"))
	k.until("its start", func(m *wire.KeptAttempt) bool { return m.Ref.GetInstance() == 1 && m.LogBytes > 0 })
	for name, c := range map[string]struct {
		next keeper.Successor
		want codes.Code
		text string
	}{
		"no such program":  {keeper.Successor{Path: filepath.Join(dir, "none"), Args: []string{"none"}, Binary: "x", Format: 1}, codes.Internal, "cannot be replaced by"},
		"another form":     {keeper.Successor{Path: "/bin/true", Args: []string{"true"}, Binary: "x", Format: 99}, codes.FailedPrecondition, "the other binary reads 99"},
		"the same program": {keeper.Successor{Path: "/proc/self/exe", Args: []string{"x"}, Binary: keeper.Binary(), Format: 1}, codes.FailedPrecondition, "that binary already"},
	} {
		text, err := json.Marshal(c.next)
		if err != nil {
			t.Fatal(err)
		}
		ctx := metadata.AppendToOutgoingContext(t.Context(), "backfleet-successor-bin", string(text))
		if _, err = k.Quit(ctx, &wire.QuitKeeper{}); status.Code(err) != c.want || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %s: %s", name, err, c.want, c.text)
		}
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "backfleet-successor-bin", "nonsense")
	if _, err := k.Quit(ctx, &wire.QuitKeeper{}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("nonsense: %v", err)
	}
	k.start(sh(ref(2, 10), "echo another"))
	seen := map[uint64]*wire.KeptAttempt{}
	if m := k.oneOf(seen, 2); m.Result.Outcome != wire.Outcome_SUCCEEDED || said(t, m) != "another\n" {
		t.Errorf("what began after it: %v", m)
	}
	if err := os.WriteFile(flag, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if m := k.oneOf(seen, 1); m.Result.Outcome != wire.Outcome_SUCCEEDED || said(t, m) != "before\nafter\n" {
		t.Errorf("what ran meanwhile: %v, %q", m, said(t, m))
	}
}

// TestAProgramThatDoesNotTakeOver: the attempts end, and the next keeper knows.
func TestAProgramThatDoesNotTakeOver(t *testing.T) {
	dir := t.TempDir()
	k := ensure(t, dir, time.Minute)
	pids := filepath.Join(dir, "pids")
	k.start(sh(ref(1, 10), "echo $$ > "+pids+".new; mv "+pids+".new "+pids+"; sleep 1000"))
	pid := k.pids(pids, 1)[0]
	text, err := json.Marshal(keeper.Successor{Path: "/bin/true", Args: []string{"true"}, Binary: "x", Format: 1})
	if err != nil {
		t.Fatal(err)
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "backfleet-successor-bin", string(text))
	if _, err := k.Quit(ctx, &wire.QuitKeeper{}); status.Code(err) != codes.Unavailable {
		t.Errorf("%v, want the keeper gone", err)
	}
	eventually(t, "the attempt's end", func() bool { return !alive(pid) })
	next := ensure(t, dir, time.Minute)
	if next.Info.Incarnation == k.Info.Incarnation {
		t.Error("it is the same keeper")
	}
	if m := next.result(1); m.Result.Outcome != wire.Outcome_LOST {
		t.Errorf("result %v, want it lost", m.Result)
	}
}
