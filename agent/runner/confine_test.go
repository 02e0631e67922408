package runner

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"backfleet/agent/cgroup"
	"backfleet/agent/stage"
	"backfleet/agent/task/metrics"
)

// confined makes a runner as a keeper has it, with what this machine offers, and
// without cgroups.
func confined(t *testing.T, f func(t *testing.T, r *Runner, held cgroup.Report)) {
	nobody := func(int) bool { return false }
	t.Run("with what the host offers", func(t *testing.T) {
		tree, report := cgroup.Open(cgroup.Auto, "runner"+strconv.Itoa(os.Getpid()), strings.NewReplacer("/", ".", " ", "_").Replace(t.Name()))
		if tree != nil {
			t.Cleanup(tree.Close)
		} else if len(report.Notes) == 0 {
			t.Error("there are no cgroups, and nothing says why")
		}
		f(t, newRunner(t, Config{Cgroups: tree, Spare: nobody}), report)
	})
	t.Run("without cgroups", func(t *testing.T) {
		f(t, newRunner(t, Config{Spare: nobody}), cgroup.Report{})
	})
}

// marked is a script with a mark of its own in its environment.
func marked(t *testing.T, code string) Spec {
	spec := script(t, code)
	spec.Mark = "BACKFLEET_TEST_MARK=" + strings.ReplaceAll(t.Name(), " ", "_")
	spec.Env = append(spec.Env, spec.Mark)
	spec.Name = "named"
	return spec
}

// number reads a process id from a file that is written in one go.
func number(t *testing.T, path string) int {
	t.Helper()
	n := 0
	eventually(t, "a number in "+path, func() bool {
		data, _ := os.ReadFile(path)
		n, _ = strconv.Atoi(strings.TrimSpace(string(data)))
		return n > 0 && bytes.HasSuffix(data, []byte("\n"))
	})
	return n
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for begin := time.Now(); !ok(); <-tick.C {
		if time.Since(begin) > patience {
			t.Fatalf("%s did not come within %s", what, patience)
		}
	}
}

func dead(pid int) bool { s := stateOf(pid); return s == "" || s == "Z" || s == "X" }

// daemon forks twice, leaves the session and the pipes, and says who it is.
const daemon = `(%ssetsid sh -c 'echo $$ >pid; exec sleep 1000' >/dev/null 2>&1 &)
while [ ! -s pid ]; do :; done; %s`

func TestADaemonEndsWithTheAttemptThatStartedIt(t *testing.T) {
	confined(t, func(t *testing.T, r *Runner, _ cgroup.Report) {
		for end, code := range map[string]string{"by itself": "exit 0", "by SIGKILL": "exec sleep 1000"} {
			spec := marked(t, fmt.Sprintf(daemon, "", code))
			e := start(t, r, spec)
			pid := number(t, filepath.Join(spec.Dir, "pid"))
			if end == "by SIGKILL" {
				e.process.Signal(syscall.SIGKILL)
			}
			e.wait(t)
			eventually(t, "the daemon's end when its attempt ends "+end, func() bool { return dead(pid) })
		}
	})
}

func TestADaemonThatHidesItsOriginEndsWhereThereAreCgroups(t *testing.T) {
	confined(t, func(t *testing.T, r *Runner, held cgroup.Report) {
		spec := marked(t, fmt.Sprintf(daemon, "env -i PATH=\"$PATH\" ", "exit 0"))
		start(t, r, spec).wait(t)
		pid := number(t, filepath.Join(spec.Dir, "pid"))
		if held.Folder == "" { // what is documented: nothing tells whose it is
			if dead(pid) {
				t.Error("it was found without a cgroup and without a mark; say so in the design")
			}
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		eventually(t, "the daemon's end", func() bool { return dead(pid) })
	})
}

func TestOthersAreNotTakenForStrays(t *testing.T) {
	confined(t, func(t *testing.T, r *Runner, _ cgroup.Report) {
		spec := marked(t, "echo $$ >pid; exec sleep 1000")
		spec.Mark, spec.Env = spec.Mark+"-10", append(spec.Env[:len(spec.Env)-1], spec.Mark+"-10")
		other := start(t, r, spec)
		pid := number(t, filepath.Join(spec.Dir, "pid"))
		helper := exec.Command("sleep", "1000") // of this process, as a keeper asks for accounts
		if err := helper.Start(); err != nil {
			t.Fatal(err)
		}
		mine := marked(t, fmt.Sprintf(daemon, "", "exit 0"))
		mine.Mark, mine.Env = mine.Mark+"-1", append(mine.Env[:len(mine.Env)-1], mine.Mark+"-1")
		start(t, r, mine).wait(t)
		stray := number(t, filepath.Join(mine.Dir, "pid"))
		eventually(t, "the stray's end", func() bool { return dead(stray) })
		if dead(pid) || dead(helper.Process.Pid) {
			t.Errorf("another attempt's process ended: %v, a helper: %v", dead(pid), dead(helper.Process.Pid))
		}
		_ = helper.Process.Kill()
		if err := helper.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Errorf("the helper's status was taken by another: %v", err)
		}
		other.process.Signal(syscall.SIGKILL)
		other.wait(t)
	})
}

func TestNoZombieStays(t *testing.T) {
	r := newRunner(t, Config{Spare: func(int) bool { return false }})
	spec := marked(t, `for i in 1 2 3 4 5; do (setsid sh -c 'echo $$ >>pids' &); done; while [ $(wc -l <pids) -lt 5 ]; do :; done; echo ready; exec sleep 1000`)
	e := start(t, r, spec)
	var pids []string
	eventually(t, "the orphans", func() bool {
		data, _ := os.ReadFile(filepath.Join(spec.Dir, "pids"))
		pids = strings.Fields(string(data))
		return len(pids) == 5
	})
	for _, text := range pids { // while their attempt still runs
		pid, _ := strconv.Atoi(text)
		eventually(t, "that orphan "+text+" is waited for", func() bool { return stateOf(pid) == "" })
	}
	e.process.Signal(syscall.SIGKILL)
	e.wait(t)
}

// other is who tests run as beside themselves; others test at the same time.
var other = &syscall.Credential{Uid: uint32(50_000 + os.Getpid()%10_000), Gid: 54322, Groups: []uint32{54322, 54323}}

// lend gives another user the working folder.
func lend(t *testing.T, spec Spec) {
	t.Helper()
	if err := os.Chmod(filepath.Dir(spec.Dir), 0o711); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(spec.Dir, int(other.Uid), int(other.Gid)); err != nil {
		t.Fatal(err)
	}
}

func TestAProcessOfAnotherUser(t *testing.T) {
	confined(t, func(t *testing.T, r *Runner, _ cgroup.Report) {
		spec := marked(t, "")
		spec.Args = []string{"sh", ScriptPath}
		spec.Script = "id -u; id -g; id -G; cat " + ScriptPath + " >/dev/null && echo readable; grep CapEff /proc/self/status; echo >mine && echo writable"
		spec.User = other
		if os.Geteuid() != 0 {
			e := newEnding()
			if err := r.Start(spec, e); err != nil {
				t.Fatal(err)
			}
			if err := <-e.started; err != syscall.EPERM {
				t.Errorf("%v: want it refused to who is not root", err)
			}
			return
		}
		lend(t, spec)
		x, log := run(t, r, spec)
		out := plain(t, log)
		want := fmt.Sprint(other.Uid) + "\n54322\n54322 54323\nreadable\nCapEff:\t0000000000000000\nwritable\n"
		if x.Status != 0 || out[0].String() != want {
			t.Errorf("status %v, output %q, %q; want %q", x.Status, out[0].String(), out[1].String(), want)
		}
	})
}

func TestAForkBombHasAnEnd(t *testing.T) {
	const most = 60
	confined(t, func(t *testing.T, r *Runner, held cgroup.Report) {
		spec := marked(t, `bomb() { bomb & bomb & exec sleep 1000; }; echo $$ >pid; bomb`)
		uid := os.Geteuid()
		already := 0
		if uid == 0 { // root has no limit of its own
			uid, spec.User = int(other.Uid), other
			lend(t, spec)
		} else {
			already = tasksOf(uid)
		}
		if held.Processes {
			spec.All.Processes = most
		} else {
			spec.Each.Processes = int32(already + most)
		}
		e := start(t, r, spec)
		leader := number(t, filepath.Join(spec.Dir, "pid"))
		seen := 0
		eventually(t, "that a shell is refused a process", func() bool {
			seen = max(seen, tasksOf(uid)-already)
			_, log := readLog(t, spec.Log)
			return bytes.Contains(log, []byte("ork")) // "Cannot fork", "fork: retry"
		})
		for range 20 { // others go on trying
			seen = max(seen, tasksOf(uid)-already)
		}
		if seen > most || seen < most/4 {
			t.Errorf("%d processes at once, want a crowd of at most %d", seen, most)
		}
		e.process.Signal(syscall.SIGKILL)
		e.wait(t)
		eventually(t, "the end of all of them", func() bool { return dead(leader) && tasksOf(uid) <= already+5 })
	})
}

// tasksOf counts the live processes of a user.
func tasksOf(uid int) (n int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if info, err := os.Stat("/proc/" + e.Name()); err == nil && int(info.Sys().(*syscall.Stat_t).Uid) == uid && !dead(pid) {
			n++
		}
	}
	return n
}

func TestMemoryHasALimit(t *testing.T) {
	confined(t, func(t *testing.T, r *Runner, held cgroup.Report) {
		spec := marked(t, `x=0123456789abcdef; i=0; while [ $i -lt 24 ]; do x=$x$x; i=$((i+1)); done; echo got ${#x}`)
		if held.Memory {
			spec.All.Memory = 64 << 20
		} else {
			spec.Each.Data = 64 << 20
		}
		x, log := run(t, r, spec)
		out := plain(t, log)
		switch {
		case held.Memory && (!x.OutOfMemory || x.Status.Signal() != syscall.SIGKILL):
			t.Errorf("ended with %v, out of memory: %v; want all of it killed for that", x.Status, x.OutOfMemory)
		case !held.Memory && (x.OutOfMemory || x.Status == 0 || strings.Contains(out[0].String(), "got")):
			t.Errorf("output %q, %q; want that the memory was refused", out[0].String(), out[1].String())
		}
		if x, _ := run(t, r, marked(t, "exit 0")); x.OutOfMemory || x.Status != 0 {
			t.Errorf("the next one ended with %v, out of memory: %v", x.Status, x.OutOfMemory)
		}
	})
}

func TestAProcessBeginsWithItsOwnLimits(t *testing.T) {
	confined(t, func(t *testing.T, r *Runner, _ cgroup.Report) {
		spec := marked(t, `ulimit -n; cut -d' ' -f5 /proc/$$/stat; echo $$`)
		spec.Each = stage.Limits{OpenFiles: 99}
		e := start(t, r, spec)
		x := e.wait(t)
		out := plain(t, whole(t, spec.Log, x))
		want := fmt.Sprintf("99\n%[1]d\n%[1]d\n", e.process.Pid())
		if x.Status != 0 || out[0].String() != want {
			t.Errorf("status %v, output %q, %q; want %q", x.Status, out[0].String(), out[1].String(), want)
		}
	})
}

// BenchmarkConfined is what holding a process costs: by turns with a cgroup
// taken again, one of its own, and none.
func BenchmarkConfined(b *testing.B) {
	tree, report := cgroup.Open(cgroup.Auto, "bench"+strconv.Itoa(os.Getpid()), "x")
	if tree == nil {
		b.Log(report)
	} else {
		defer tree.Close()
	}
	spare := func(int) bool { return false }
	for name, c := range map[string]struct {
		config Config
		change func(*Spec)
	}{
		"bare":    {Config{}, func(*Spec) {}},
		"marks":   {Config{Spare: spare}, func(s *Spec) { s.Mark = "BACKFLEET_TEST_MARK=bench" }},
		"cgroup":  {Config{Spare: spare, Cgroups: tree}, func(*Spec) {}},
		"metrics": {Config{}, func(s *Spec) { s.Metrics = filepath.Join(s.Dir, metrics.File) }}, // of which none are reported
		"limited": {Config{Spare: spare, Cgroups: tree}, func(s *Spec) { s.Each.OpenFiles = 1000 }},
	} {
		b.Run(name, func(b *testing.B) {
			r := newRunner(b, c.config)
			spec := script(b, ":")
			c.change(&spec)
			slots := make(chan struct{}, 8)
			before := processorTime()
			for i := 0; b.Loop(); i++ {
				slots <- struct{}{}
				spec.Log = filepath.Join(spec.Dir, strconv.Itoa(i))
				if err := r.Start(spec, slot{slots}); err != nil {
					b.Fatal(err)
				}
			}
			for range cap(slots) {
				slots <- struct{}{}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "attempts/s")
			b.ReportMetric(float64((processorTime()-before).Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
}

// processorTime is that of this process and of the children it has waited for:
// on a busy machine only that compares.
func processorTime() (sum time.Duration) {
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if syscall.Getrusage(who, &u) == nil {
			sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return sum
}
