package keeper_test

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"backfleet/agent/cgroup"
	"backfleet/pkg/wire"
)

func TestAHeavyAttemptTakesItsSlots(t *testing.T) {
	k := ensure(t, t.TempDir(), time.Hour)
	dir := t.TempDir()
	// Each writes how many slots are taken while it runs.
	code := func(n, weight int) string {
		run := fmt.Sprintf("%s/run.%d", dir, n)
		marks, unmarks := "", ""
		for i := range weight {
			marks += fmt.Sprintf("mkdir %s.%d; ", run, i)
			unmarks += fmt.Sprintf("rmdir %s.%d; ", run, i)
		}
		return marks + fmt.Sprintf("echo %d $(ls -d %s/run.* | wc -l) >>%s/list; sleep 0.05; ", n, dir, dir) + unmarks
	}
	hold, release := until(t)
	first := promised(1, hold)
	first.Slots = 3
	list := []*wire.StartAttempt{first}
	for i, weight := range []uint32{3, 1, 2, 1, 5, 1} {
		m := queued(uint64(10+i), code(10+i, int(weight)))
		m.Slots, m.Weight, m.Priority = 3, weight, int32(-i)
		list = append(list, m)
	}
	k.startAll(list...)
	release()
	seen := map[uint64]*wire.KeptAttempt{}
	for n := range uint64(6) {
		if m := k.oneOf(seen, 10+n); m.Result.Outcome != wire.Outcome_SUCCEEDED {
			t.Errorf("got %v", m)
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "list"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(string(data))
	if len(lines) != 12 || lines[0] != "10" || lines[1] != "3" {
		t.Fatalf("got %q, want the heavy one first, alone, and nobody past it", lines)
	}
	for i := 0; i < len(lines); i += 2 {
		most := 3
		if lines[i] == "14" { // heavier than all slots there are: it goes alone
			most = 5
		}
		if n, _ := strconv.Atoi(lines[i+1]); n > most {
			t.Errorf("%d slots were taken while %s ran, want at most %d", n, lines[i], most)
		}
	}
}

func TestAUserThatDoesNotExistIsTheCause(t *testing.T) {
	k := ensure(t, t.TempDir(), time.Hour)
	m := sh(ref(1, 10), ":")
	m.User = "nobody-has-this-name"
	k.start(m)
	if r := k.result(1).Result; r.Outcome != wire.Outcome_FAILED || !strings.Contains(r.Cause, `"nobody-has-this-name"`) || !strings.Contains(r.Cause, "no such account") {
		t.Errorf("got %v, want a failure that names the user", r)
	}
}

// someone is an account of this host that is neither root nor who tests.
func someone(t *testing.T) *user.User {
	t.Helper()
	for _, name := range []string{"nobody", "daemon", "games"} {
		if u, err := user.Lookup(name); err == nil && u.Uid != strconv.Itoa(os.Getuid()) {
			return u
		}
	}
	t.Fatal("this host has none of the accounts that every host has")
	return nil
}

func TestAnAttemptOfAnotherUser(t *testing.T) {
	dir, one := filepath.Join(t.TempDir(), "keeper"), someone(t)
	for d := filepath.Dir(dir); strings.HasPrefix(d, os.TempDir()+"/"); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	k := ensure(t, dir, time.Hour)
	as := func(n uint64, name, code string) *wire.KeptAttempt {
		t.Helper()
		m := sh(ref(n, 10), code)
		m.User = name
		k.start(m)
		return k.result(n)
	}
	const code = `id -u; echo "$HOME $USER $LOGNAME"; stat -c '%u %a' "$PWD"; ls -A | wc -l`
	theirs := as(1, one.Username, code)
	if os.Geteuid() != 0 {
		if r := theirs.Result; r.Outcome != wire.Outcome_FAILED || !strings.Contains(r.Cause, "CAP_SETUID") || !strings.Contains(r.Cause, "root") {
			t.Errorf("got %v, want a failure that says what is missing", r)
		}
		return
	}
	lines := func(m *wire.KeptAttempt) string {
		var out []string
		for line := range strings.Lines(string(m.Log)) {
			if f := strings.SplitN(strings.TrimSpace(line), " ", 4); len(f) == 4 {
				out = append(out, f[3])
			}
		}
		return strings.Join(out, "|")
	}
	want := fmt.Sprintf("%s|%s %s %s|%s 700|0", one.Uid, one.HomeDir, one.Username, one.Username, one.Uid)
	if got := lines(theirs); got != want {
		t.Errorf("got %q (%v), want %q", got, theirs.Result, want)
	}
	own := as(2, "", `id -u; stat -c '%u %a' "$PWD"; ls "$PWD/.." | wc -l`)
	if got := lines(own); !strings.HasPrefix(got, "0|0 700|") || strings.HasSuffix(got, "|1") {
		t.Errorf("got %q, want a folder of root beside the one that is kept for %s", got, one.Username)
	}
	if again := as(3, one.Username, `pwd; touch `+dir+`/work/x `+dir+`/x 2>/dev/null && echo open; ls `+dir+` 2>/dev/null; ls `+dir+`/work 2>/dev/null; echo end`); !strings.HasSuffix(lines(again), "/1|end") {
		t.Errorf("got %q, want its folder again, and the keeper's closed to it", lines(again))
	}
}

func TestLimitsReachTheProcess(t *testing.T) {
	k := ensure(t, t.TempDir(), time.Hour)
	m := sh(ref(1, 10), "ulimit -n; ulimit -c")
	m.Limits = &wire.Limits{OpenFiles: 123, CpuMilli: 500, MemoryBytes: 1 << 30, Processes: 5000}
	k.start(m)
	if got := k.result(1); !strings.Contains(string(got.Log), " 123\n") || !strings.HasSuffix(string(got.Log), " 0\n") {
		t.Errorf("log %q (%v), want 123 open files and no core", got.Log, got.Result)
	}
	var own syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &own); err != nil {
		t.Fatal(err)
	}
	if own.Max >= 1<<31-1 {
		return // as many as can be asked for
	}
	m = sh(ref(2, 10), ":")
	m.Limits = &wire.Limits{OpenFiles: int32(own.Max) + 1}
	k.start(m)
	if r := k.result(2).Result; r.Outcome != wire.Outcome_FAILED || !strings.Contains(r.Cause, "limits.openFiles") {
		t.Errorf("got %v, want a failure that names the limit", r)
	}
}

// cgroupsOf are the folders that keepers of a process have.
func cgroupsOf(k *kept) (found []string) {
	report := cgroup.Probe(cgroup.Auto)
	if report.Folder != "" {
		found, _ = filepath.Glob(filepath.Join(report.Folder, "attempts-*-"+k.Info.Incarnation))
	}
	return found
}

func TestCgroupsGoWithTheirKeeper(t *testing.T) {
	offered := cgroup.Probe(cgroup.Auto).Folder != ""
	for name, end := range map[string]syscall.Signal{"killed": syscall.SIGKILL, "asked": syscall.SIGTERM} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			k := ensure(t, dir, time.Hour)
			list := filepath.Join(dir, "pids")
			k.start(sh(ref(1, 10), `(env -i PATH="$PATH" setsid sh -c 'echo $$ >>`+list+`; exec sleep 1000' &); echo $$ >>`+list+`; exec sleep 1000`))
			pids := k.pids(list, 2)
			if found := cgroupsOf(k); (len(found) == 1) != offered {
				t.Fatalf("cgroups are %v; the host offers them: %v", found, offered)
			}
			_ = syscall.Kill(int(k.Info.Pid), end)
			if !offered { // nothing tells whose the one is that hides: what is documented
				eventually(t, "the end of the other", func() bool { return !alive(pids[0]) || !alive(pids[1]) })
				for _, pid := range pids {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
				return
			}
			eventually(t, "the end of all", func() bool { return !alive(pids[0]) && !alive(pids[1]) })
			eventually(t, "the end of their cgroups", func() bool { return len(cgroupsOf(k)) == 0 })
		})
	}
}
