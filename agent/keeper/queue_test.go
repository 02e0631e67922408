package keeper_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"backfleet/agent/monotonic"
	"backfleet/pkg/wire"
)

// queued makes a start that may wait for one of two slots of a group.
func queued(instance uint64, code string) *wire.StartAttempt {
	m := sh(ref(instance, 10), code)
	m.Group, m.Slots, m.Ahead, m.AheadMs = "g", 2, true, 60_000
	return m
}

// promised makes a start that was granted one of the two slots.
func promised(instance uint64, code string) *wire.StartAttempt {
	m := queued(instance, code)
	m.Ahead = false
	return m
}

func (k *kept) startAll(list ...*wire.StartAttempt) {
	k.t.Helper()
	answer, err := k.StartAll(k.t.Context(), &wire.StartAttempts{Attempts: list})
	if err != nil || slices.ContainsFunc(answer.Refusals, func(cause string) bool { return cause != "" }) {
		k.t.Fatalf("got %v (%v), want all of them taken", answer.GetRefusals(), err)
	}
}

func (k *kept) stop(instance uint64, recall bool, cause string) {
	k.t.Helper()
	if _, err := k.Stop(k.t.Context(), &wire.StopAttempt{Ref: ref(instance, 10), GraceMs: 10_000, Cause: cause, Recall: recall}); err != nil {
		k.t.Fatal(err)
	}
}

// until gives a script that runs until a file is there, and the call that makes it.
func until(t *testing.T) (code string, release func()) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "go")
	return "while [ ! -e " + path + " ]; do sleep 0.005; done", func() {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatWaitsStartsByPriorityAndNeverBeyondTheSlots(t *testing.T) {
	k := ensure(t, t.TempDir(), time.Hour)
	dir := t.TempDir()
	// Each writes its number, and how many of the others it finds running.
	script := func(n int) string {
		return fmt.Sprintf(`mkdir %[1]s/run.%[2]d; echo %[2]d $(ls -d %[1]s/run.* | wc -l) >>%[1]s/list; sleep 0.03; rmdir %[1]s/run.%[2]d`, dir, n)
	}
	hold, release := until(t)
	k.startAll(promised(1, hold), promised(2, hold))
	var list []*wire.StartAttempt
	for i, priority := range []int32{1, 3, 5, 3, 7} {
		m := queued(uint64(10+i), script(10+i))
		m.Priority = priority
		list = append(list, m)
	}
	late := promised(20, script(20)) // promised a slot that is not free yet: before all others
	k.startAll(append(list, late)...)
	release()
	seen := map[uint64]*wire.KeptAttempt{}
	for _, n := range []uint64{20, 14, 12, 11, 13, 10} {
		m := k.oneOf(seen, n)
		if m.Result.Outcome != wire.Outcome_SUCCEEDED {
			t.Errorf("got %v", m)
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "list"))
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for line := range strings.Lines(string(data)) {
		n, beside, _ := strings.Cut(strings.TrimSpace(line), " ")
		if order = append(order, n); beside != "1" && beside != "2" {
			t.Errorf("%s ran as one of %s, want two slots kept to", n, beside)
		}
	}
	// Two start at a time, so neighbours may have changed places.
	for i, n := range []string{"20", "14", "12", "11", "13", "10"} {
		if at := slices.Index(order, n); at < i-1 || at > i+1 {
			t.Errorf("started in the order %v, want 20 14 12 11 13 10", order)
			break
		}
	}
}

func TestTheNextStartsWithoutTheSession(t *testing.T) {
	dir := t.TempDir()
	k := ensure(t, dir, time.Hour)
	hold, release := until(t)
	k.startAll(promised(1, hold), promised(2, hold), queued(3, "echo three"), queued(4, hold))
	k.Close()
	next := ensure(t, dir, time.Hour)
	found := map[uint64]*wire.KeptAttempt{}
	next.until("the list", func(m *wire.KeptAttempt) bool {
		found[m.Ref.GetInstance()] = m
		return m.Complete
	})
	for i, wants := range map[uint64][2]bool{1: {}, 2: {}, 3: {true, true}, 4: {true, true}} {
		if m := found[i]; m == nil || !m.Running || m.Queued != wants[0] || m.Ahead != wants[1] {
			t.Errorf("instance %d is shown as %v, want it running, and waiting: %v", i, m, wants[0])
		}
	}
	next.Close()
	release()
	last, seen := ensure(t, dir, time.Hour), map[uint64]*wire.KeptAttempt{}
	for _, i := range []uint64{3, 4} {
		if m := last.oneOf(seen, i); m.Result.Outcome != wire.Outcome_SUCCEEDED || m.Result.StartedMs == 0 || m.Result.SlotMs == 0 {
			t.Errorf("got %v, want it to have run while nobody was connected", m)
		}
	}
}

// The leader must never see the end of one without the begin of the next, or it
// would take the slot for free.
func TestAnEndIsToldWithWhatTookItsSlot(t *testing.T) {
	k := ensure(t, t.TempDir(), time.Hour)
	one, release := until(t)
	two, end := until(t)
	first := promised(1, one)
	first.Slots = 1
	second := queued(2, two)
	second.Slots = 1
	k.startAll(first, second)
	release()
	begun := false
	k.until("the first result", func(m *wire.KeptAttempt) bool {
		begun = begun || m.Ref.GetInstance() == 2 && m.Running && !m.Queued && m.Ahead
		return m.Ref.GetInstance() == 1 && m.Result != nil
	})
	if !begun {
		m := <-k.watch // in the same message, behind it
		begun = m.Ref.GetInstance() == 2 && m.Running && !m.Queued && m.Ahead
	}
	if !begun {
		t.Error("the first end was told before the second begin")
	}
	end()
	k.result(2)
}

func TestWhatWaitsObeysItsTimesAndStops(t *testing.T) {
	dir := t.TempDir()
	k := ensure(t, dir, time.Hour)
	hold, release := until(t)
	touch := "echo ran >" + filepath.Join(dir, "ran")
	impatient, doomed := queued(3, touch), queued(4, touch)
	impatient.AheadMs = 150
	doomed.DeadlineNs = int64(monotonic.Now() + 300*time.Millisecond)
	begin := time.Now()
	k.startAll(promised(1, hold), promised(2, hold), impatient, doomed, queued(5, touch), queued(6, touch), queued(7, "exit 4"))
	k.stop(5, false, "stopped by a test")
	k.stop(6, true, "called back by a test")
	k.stop(1, true, "too late")
	results := map[uint64]*wire.KeptAttempt{}
	k.until("four results", func(m *wire.KeptAttempt) bool {
		if m.Result != nil {
			results[m.Ref.Instance] = m
		}
		return len(results) == 4
	})
	if took := time.Since(begin); took < 300*time.Millisecond {
		t.Errorf("all four came back after %s, want the one to last until its lease ends", took)
	}
	for i, want := range map[uint64]struct {
		outcome wire.Outcome
		cause   string
	}{
		3: {wire.Outcome_RECALLED, "it waited too long"}, 4: {wire.Outcome_LOST, "its lease ended"},
		5: {wire.Outcome_STOPPED, "stopped by a test"}, 6: {wire.Outcome_RECALLED, "called back by a test"},
	} {
		if m := results[i]; m == nil || m.Result.Outcome != want.outcome || !strings.HasPrefix(m.Result.Cause, want.cause) || m.Result.StartedMs != 0 || m.Result.SlotMs != 0 || m.LogBytes != 0 {
			t.Errorf("got %v, want instance %d %v (%s), never started and without a log", m, i, want.outcome, want.cause)
		}
	}
	release()
	for i, want := range map[uint64]int32{1: 0, 2: 0, 7: 4} { // what was recalled too late, and what waited on
		if m := k.oneOf(results, i); m.Result.ExitCode != want || m.Result.Outcome == wire.Outcome_RECALLED {
			t.Errorf("got %v, want exit code %d", m, want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "ran")); err == nil {
		t.Error("something that was given back ran")
	}
}

// oneOf waits for one of several results that come in any order.
func (k *kept) oneOf(seen map[uint64]*wire.KeptAttempt, instance uint64) *wire.KeptAttempt {
	k.t.Helper()
	if seen[instance] == nil {
		k.until(fmt.Sprintf("the result of instance %d", instance), func(m *wire.KeptAttempt) bool {
			if last := seen[m.Ref.GetInstance()]; m.Result != nil && (last == nil || last.Ref.Fence < m.Ref.Fence) { // they may come in one message
				seen[m.Ref.Instance] = m
			}
			return seen[instance] != nil
		})
	}
	return seen[instance]
}

func TestExtendingKeepsWhatWaitsAlive(t *testing.T) {
	k := ensure(t, t.TempDir(), time.Hour)
	hold, release := until(t)
	m := queued(3, "exit 5")
	m.DeadlineNs = int64(monotonic.Now() + 300*time.Millisecond)
	k.startAll(promised(1, hold), promised(2, hold), m)
	later := monotonic.Now() + time.Minute
	if _, err := k.Extend(t.Context(), &wire.ExtendAttempts{Refs: []*wire.AttemptRef{ref(3, 10)}, DeadlineNs: int64(later)}); err != nil {
		t.Fatal(err)
	}
	short := queued(4, "exit 6")
	short.DeadlineNs = int64(monotonic.Now() + 400*time.Millisecond)
	k.startAll(short)
	if m := k.result(4); m.Result.Outcome != wire.Outcome_LOST { // by then the other's first lease is over
		t.Errorf("got %v, want it lost", m)
	}
	release()
	if m := k.result(3); m.Result.ExitCode != 5 {
		t.Errorf("got %v, want it run after all", m)
	}
}

func TestWhatWaitsDiesWithItsKeeper(t *testing.T) {
	dir := t.TempDir()
	k := ensure(t, dir, time.Hour)
	k.startAll(promised(1, "exec sleep 1000"), promised(2, "exec sleep 1000"), queued(3, ":"))
	_ = syscall.Kill(int(k.Info.Pid), syscall.SIGKILL)
	eventually(t, "the keeper's end", func() bool { return !alive(int(k.Info.Pid)) })
	next := ensure(t, dir, time.Hour)
	seen := map[uint64]*wire.KeptAttempt{}
	for i := range uint64(3) {
		if m := next.oneOf(seen, i+1); m.Result.Outcome != wire.Outcome_LOST {
			t.Errorf("got %v, want it lost", m)
		}
	}
}

func TestAKeeperThatIsToldToEndStartsNothingMore(t *testing.T) {
	dir := t.TempDir()
	k := ensure(t, dir, time.Hour)
	k.startAll(promised(1, "exec sleep 1000"), promised(2, "exec sleep 1000"), queued(3, "echo ran >"+filepath.Join(dir, "ran")))
	_ = syscall.Kill(int(k.Info.Pid), syscall.SIGTERM)
	eventually(t, "the keeper's end", func() bool { return !alive(int(k.Info.Pid)) })
	next := ensure(t, dir, time.Hour)
	seen := map[uint64]*wire.KeptAttempt{}
	for i := range uint64(3) {
		if m := next.oneOf(seen, i+1); m.Result.Cause != "the keeper was told to end" {
			t.Errorf("got %v, want the result that the keeper saved before it left", m)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "ran")); err == nil {
		t.Error("what waited was started by a keeper that was about to end")
	}
}

func TestALaunchThatFailsGivesItsSlotToTheNext(t *testing.T) {
	k := ensure(t, t.TempDir(), time.Hour)
	var list []*wire.StartAttempt
	for i := range uint64(20) {
		m := queued(i+1, ":")
		if i < 19 {
			m.Command = []string{"no-such-shell"}
		}
		m.Slots = 1
		list = append(list, m)
	}
	k.startAll(list...)
	seen := map[uint64]*wire.KeptAttempt{}
	for i := range uint64(20) {
		want := wire.Outcome_FAILED
		if i == 19 {
			want = wire.Outcome_SUCCEEDED
		}
		if m := k.oneOf(seen, i+1); m.Result.Outcome != want {
			t.Errorf("got %v, want %v", m, want)
		}
	}
}

// A short log is in the journal with its result, and goes with it.
func TestAShortLogIsKeptWithItsResult(t *testing.T) {
	dir := t.TempDir()
	k := ensure(t, dir, time.Hour)
	k.start(sh(ref(1, 10), "echo out; printf err >&2; exit 7"))
	first := k.result(1)
	k.start(sh(ref(2, 10), "head -c 40000 /dev/zero | tr '\\0' '\\n'"))
	long := k.result(2)
	for _, m := range []*wire.KeptAttempt{first, long} {
		if uint64(len(m.Log)) != m.LogBytes && len(m.Log) > 0 {
			t.Errorf("%d bytes of log came, %d are told of", len(m.Log), m.LogBytes)
		}
	}
	if !strings.Contains(string(first.Log), " stdout F out\n") || !strings.HasSuffix(string(first.Log), " stderr P err\n") || len(long.Log) != 0 {
		t.Fatalf("the short log is %q, and %d bytes of the long one came; want the short one whole and the other in a file", first.Log, len(long.Log))
	}
	files, err := os.ReadDir(filepath.Join(dir, "logs"))
	if err != nil || len(files) != 1 || !strings.HasPrefix(filepath.Join(dir, "logs", files[0].Name()), long.LogDirectory) {
		t.Errorf("files %v (%v), want the long log's alone", files, err)
	}
	_ = syscall.Kill(int(k.Info.Pid), syscall.SIGKILL)
	eventually(t, "the keeper's end", func() bool { return !alive(int(k.Info.Pid)) })
	next := ensure(t, dir, time.Hour)
	if m := next.result(1); string(m.Log) != string(first.Log) || m.Result.ExitCode != 7 || m.LogBytes != first.LogBytes {
		t.Errorf("got %v, want what the keeper before told", m)
	}
}

// What nobody takes away must not fill the memory.
func TestLogsBeyondTheMemoryForThemAreFiles(t *testing.T) {
	dir := t.TempDir()
	k := ensure(t, dir, time.Hour)
	line := strings.Repeat("x", 1000)
	code := fmt.Sprintf(`for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28; do echo %s; done`, line)
	const bound = 8 << 20
	inMemory, files, refs := 0, 0, []*wire.AttemptRef{}
	for i := uint64(1); files < 3; i++ {
		k.start(sh(ref(i, 10), code))
		m := k.result(i)
		refs = append(refs, m.Ref)
		if len(m.Log) == 0 {
			files++
		}
		if inMemory += len(m.Log); inMemory > bound+keeperRoom {
			t.Fatalf("%d bytes of logs are in memory, want no more than %d", inMemory, bound)
		}
	}
	if inMemory < bound/2 {
		t.Errorf("%d bytes of logs were in memory when the first became a file, want nearly %d", inMemory, bound)
	}
	if _, err := k.Forget(t.Context(), &wire.ForgetAttempt{Refs: refs}); err != nil {
		t.Fatal(err)
	}
	k.start(sh(ref(5000, 10), "echo again"))
	if m := k.result(5000); len(m.Log) == 0 {
		t.Error("with all forgotten, a short log is a file still")
	}
	if left, err := os.ReadDir(filepath.Join(dir, "logs")); err != nil || len(left) != 0 {
		t.Errorf("the logs are %v (%v), want nothing left", left, err)
	}
}

// keeperRoom is by how much the last log in memory may pass the bound.
const keeperRoom = 32 << 10

func TestTheJournalKeepsUpWithMoreThanItsSize(t *testing.T) {
	dir := t.TempDir()
	k := ensure(t, dir, time.Hour)
	k.start(sh(ref(1, 10), "echo kept; exit 9"))
	k.result(1)
	code := "head -c 700 /dev/zero | tr '\\0' '\\n'" // some 30 KB of log lines
	for i := uint64(2); i < 150; i++ {
		k.start(sh(ref(i, 10), code))
		m := k.result(i)
		if len(m.Log) == 0 {
			t.Fatalf("got a log of %d bytes in a file, want it in memory", m.LogBytes)
		}
		if _, err := k.Forget(t.Context(), &wire.ForgetAttempt{Ref: m.Ref}); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "journal"))
	if err != nil || info.Size() > 4<<20 {
		t.Errorf("the journal is %v (%v), want it bounded", info.Size(), err)
	}
	_ = syscall.Kill(int(k.Info.Pid), syscall.SIGKILL)
	eventually(t, "the keeper's end", func() bool { return !alive(int(k.Info.Pid)) })
	seen := 0
	var only *wire.KeptAttempt
	ensure(t, dir, time.Hour).until("the list", func(m *wire.KeptAttempt) bool {
		if !m.Complete {
			only = m
			seen++
		}
		return m.Complete
	})
	if seen != 1 || only.Result.ExitCode != 9 || !strings.Contains(string(only.Log), "kept") {
		t.Errorf("%d attempts are left, the last %v; want the first alone", seen, only)
	}
}
