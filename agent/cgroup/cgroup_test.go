package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestWhereAProcessStands(t *testing.T) {
	const (
		one    = "25 1 0:23 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"
		two    = "30 1 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
		first  = "31 1 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
		within = "25 1 0:23 /kubepods/pod1 /sys/fs/cgroup ro - cgroup2 cgroup rw\n"
		beyond = "25 1 0:23 /.. /sys/fs/cgroup ro - cgroup2 cgroup rw\n"
	)
	for name, c := range map[string]struct{ cgroups, mounts, own, mount, fails string }{
		"version 2 alone":              {"0::/system.slice/a.service\n", one, "/sys/fs/cgroup/system.slice/a.service", "/sys/fs/cgroup", ""},
		"both, beside version 1":       {"4:memory:/x\n0::/\n", first + two, "/sys/fs/cgroup/unified", "/sys/fs/cgroup/unified", ""},
		"a container of its own":       {"0::/\n", one, "/sys/fs/cgroup", "/sys/fs/cgroup", ""},
		"a part is mounted":            {"0::/kubepods/pod1/c\n", within, "/sys/fs/cgroup/c", "/sys/fs/cgroup", ""},
		"another part is":              {"0::/kubepods/pod10\n", within, "", "", "is mounted"},
		"outside of its own":           {"0::/../x\n", one, "", "", "is mounted"},
		"outside, and so is the mount": {"0::/../x\n", beyond, "/sys/fs/cgroup/x", "/sys/fs/cgroup", ""},
		"version 1 alone":              {"4:memory:/x\n", first, "", "", "no cgroups of version 2"},
		"not mounted":                  {"0::/\n", first, "", "", "is mounted"},
	} {
		t.Run(name, func(t *testing.T) {
			own, mount, err := locate(c.cgroups, c.mounts)
			if own != c.own || mount != c.mount || (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
				t.Errorf("got %q, %q, %v; want %q, %q and an error with %q", own, mount, err, c.own, c.mount, c.fails)
			}
		})
	}
}

// files makes a folder that stands for a cgroup.
func files(t *testing.T, dir string, contents map[string]string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range contents {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestWhichControllersCanBeHandedDown(t *testing.T) {
	const all = "cpuset cpu io memory pids\n"
	for name, c := range map[string]struct {
		parent  map[string]string
		own     string // below the parent
		mounted string // at the parent, if it is "."
		offered string
		missing int
		move    bool
		why     string
	}{
		"a unit whose processes are in a leaf": {map[string]string{"cgroup.type": "domain\n", "cgroup.controllers": all}, "agent", "..", "cpu memory pids", 3, false, ""},
		"some are there already": {map[string]string{"cgroup.type": "domain\n", "cgroup.controllers": all, "cgroup.subtree_control": "memory pids\n"},
			"agent", "..", "cpu memory pids", 1, false, ""},
		"a unit whose processes are in the way": {map[string]string{"cgroup.type": "domain\n", "cgroup.controllers": all}, "", "..", "", 0, false, "DelegateSubgroup=agent"},
		"a container":                           {map[string]string{"cgroup.type": "domain\n", "cgroup.controllers": all}, "", ".", "cpu memory pids", 3, true, ""},
		"the first cgroup of a host":            {map[string]string{"cgroup.controllers": "memory\n"}, "", ".", "memory", 1, false, "the host does not"},
		"a host with version 1 for limits":      {map[string]string{"cgroup.controllers": "hugetlb\n"}, "", ".", "", 0, false, "the host does not"},
	} {
		t.Run(name, func(t *testing.T) {
			parent := files(t, filepath.Join(t.TempDir(), "unit"), c.parent)
			h := look(filepath.Join(parent, c.own), filepath.Join(parent, c.mounted))
			if got := strings.Join(h.offered, " "); h.parent != parent || got != c.offered || len(h.missing) != c.missing || h.move != c.move || !strings.Contains(h.why, c.why) {
				t.Errorf("got %+v, want parent %s, controllers %q, %d of them to be handed down, processes to be moved: %v, %q", h, parent, c.offered, c.missing, c.move, c.why)
			}
			h.grant()
			written, _ := os.ReadFile(filepath.Join(parent, "cgroup.subtree_control"))
			if n := len(h.missing); n > 0 && string(written) != "+"+h.missing[n-1] {
				t.Errorf("subtree_control was given %q last, want %q", written, "+"+h.missing[n-1])
			}
			if _, err := os.Stat(filepath.Join(parent, leaf)); c.move && err != nil {
				t.Errorf("there is no leaf for the agent's own processes: %v", err)
			}
		})
	}
}

func TestWhatIsMissingIsTold(t *testing.T) {
	r := Report{Folder: "/x"}
	r.add("memory")
	r.note(host{parent: "/x", offered: []string{"memory"}, why: "because"})
	text := r.String()
	for _, part := range []string{"in /x", "memory can be limited", "cpu (not limited at all)", "pids (processes limited for each user but root, by RLIMIT_NPROC): because"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in %q", part, text)
		}
	}
	if !r.Memory || r.CPU || r.Processes {
		t.Errorf("got %+v, want memory alone", r)
	}
}

func TestLimitsAreWrittenAsTheKernelReadsThem(t *testing.T) {
	l := Limits{Memory: 512 << 20, CPUMilli: 1500, Processes: 64}
	dir := t.TempDir()
	if err := (Report{CPU: true, Memory: true, Processes: true}).limit(dir, l); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"memory.max": "536870912", "memory.oom.group": "1", "memory.swap.max": "0", "cpu.max": "150000 100000", "pids.max": "64"}
	for name, text := range want {
		if got, _ := os.ReadFile(filepath.Join(dir, name)); string(got) != text {
			t.Errorf("%s is %q, want %q", name, got, text)
		}
	}
	none := t.TempDir()
	if err := (Report{}).limit(none, l); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(none); len(left) > 0 || (Report{}).holds(l) || !(Report{CPU: true}).holds(l) || (Report{CPU: true}).holds(Limits{Memory: 1}) {
		t.Errorf("without controllers %v was written, or limits count as held", left)
	}
}

func TestOutOfMemoryIsRead(t *testing.T) {
	for text, want := range map[string]bool{"low 0\noom 3\noom_kill 0\n": false, "oom 1\noom_kill 2\noom_group_kill 1\n": true} {
		dir := files(t, t.TempDir(), map[string]string{"memory.events": text})
		g := &Group{tree: &Tree{report: Report{Memory: true}}, dir: dir, limited: true}
		if g.OutOfMemory() != want {
			t.Errorf("%q: out of memory %v, want %v", text, !want, want)
		}
	}
}

// hostTree gives a tree on this machine, or the note why there is none.
func hostTree(t *testing.T, incarnation string) (*Tree, Report) {
	t.Helper()
	tree, report := Open(Auto, "test"+strings.ToLower(t.Name()), incarnation)
	if (tree == nil) != (report.Folder == "") {
		t.Fatalf("tree %v, report %+v", tree, report)
	}
	if probed := Probe(Auto); probed.Folder != report.Folder || len(probed.Notes) != len(report.Notes) {
		t.Errorf("Probe says %+v, Open %+v", probed, report)
	}
	return tree, report
}

// begin starts a shell in a group that leaves a process of another session
// behind, and gives the shell's and that one's ids.
func begin(t *testing.T, g *Group, file string) (shell, left int) {
	t.Helper()
	fd, err := g.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	code := `(env -i setsid sh -c 'echo $$ >` + file + `.new; mv ` + file + `.new ` + file + `; exec sleep 1000' &)`
	shell, err = syscall.ForkExec("/bin/sh", []string{"sh", "-c", code}, &syscall.ProcAttr{Env: os.Environ(), Sys: &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: fd}})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the process that is left", func() bool {
		data, err := os.ReadFile(file)
		left, _ = strconv.Atoi(strings.TrimSpace(string(data)))
		return err == nil && left > 0
	})
	_, _ = syscall.Wait4(shell, nil, 0, nil)
	return shell, left
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for begin := time.Now(); !ok(); <-tick.C {
		if time.Since(begin) > 20*time.Second {
			t.Fatalf("%s did not come within 20 s", what)
		}
	}
}

func alive(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(data), ") Z")
}

func TestWhatIsLeftInAGroupIsKilledAndTheGroupRemoved(t *testing.T) {
	tree, report := hostTree(t, "ONE")
	if tree == nil {
		if len(report.Notes) != 1 || !strings.Contains(report.Notes[0], "RLIMIT_DATA") || !strings.Contains(report.Notes[0], "Delegate=yes") {
			t.Errorf("there are no cgroups here, and the note is %q; want what is done instead, and what to do", report.Notes)
		}
		return
	}
	defer tree.Close()
	g, err := tree.Take("named", Limits{})
	if err != nil {
		t.Fatal(err)
	}
	_, left := begin(t, g, filepath.Join(t.TempDir(), "pid"))
	if g.Empty() {
		t.Error("a group with a process counts as empty")
	}
	tree.Give(g)
	eventually(t, "the end of what was left", func() bool { return !alive(left) })
	eventually(t, "the end of its group", func() bool {
		tree.Tidy()
		_, err := os.Stat(g.dir)
		return os.IsNotExist(err)
	})

	first, err := tree.Take("a", Limits{})
	if err != nil {
		t.Fatal(err)
	}
	tree.Give(first)
	second, err := tree.Take("b", Limits{})
	if err != nil || second != first {
		t.Errorf("an empty group was not taken again (%v)", err)
	}
	_ = second.Kill() // with nothing in it
	tree.Give(second)
	third, err := tree.Take("c", Limits{})
	if err != nil || third == second {
		t.Errorf("a group that was killed was taken again (%v)", err)
	}
	_, left = begin(t, third, filepath.Join(t.TempDir(), "pid"))
	if !alive(left) {
		t.Error("what was started in the next group was killed")
	}
}

func TestTheNextKeeperEndsWhatADeadOneLeft(t *testing.T) {
	dead, report := hostTree(t, "DEAD")
	if dead == nil {
		if len(report.Notes) != 1 {
			t.Errorf("got %+v, want one note", report)
		}
		return
	}
	g, err := dead.Take("named", Limits{})
	if err != nil {
		t.Fatal(err)
	}
	_, left := begin(t, g, filepath.Join(t.TempDir(), "pid"))
	next, _ := hostTree(t, "NEXT")
	defer next.Close()
	if _, err := os.Stat(dead.dir); alive(left) || !os.IsNotExist(err) {
		t.Errorf("the dead one's process lives: %v; its folder: %v", alive(left), err)
	}
}

func TestAGuardEndsATreeByItsFile(t *testing.T) {
	tree, report := hostTree(t, "GUARDED")
	if tree == nil {
		null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer null.Close()
		if Finish(null); report.Folder != "" {
			t.Errorf("got %+v, want no folder", report)
		}
		return
	}
	g, err := tree.Take("named", Limits{})
	if err != nil {
		t.Fatal(err)
	}
	_, left := begin(t, g, filepath.Join(t.TempDir(), "pid"))
	file, err := tree.KillFile()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	Finish(file)
	if _, err := os.Stat(tree.dir); alive(left) || !os.IsNotExist(err) {
		t.Errorf("the process lives: %v; the folder: %v", alive(left), err)
	}
}

func TestATreeIsHandedOver(t *testing.T) {
	tree, report := hostTree(t, "HANDED")
	if tree == nil {
		if (*Group)(nil).State() != (State{}) || report.Folder != "" {
			t.Error("what has no cgroup has a state of one")
		}
		return
	}
	used, err := tree.Take("used", Limits{})
	if err != nil {
		t.Fatal(err)
	}
	free, err := tree.Take("free", Limits{})
	if err != nil {
		t.Fatal(err)
	}
	_, left := begin(t, used, filepath.Join(t.TempDir(), "pid"))
	tree.Give(free)
	next := Resume(tree.Dir(), map[string]bool{used.State().Dir: true})
	defer next.Close()
	if _, err := os.Stat(free.dir); !os.IsNotExist(err) || !alive(left) || next.Report().Folder != report.Folder {
		t.Errorf("what nobody used is there (%v), or what was used is not: %v", err, alive(left))
	}
	again, err := next.Adopt(used.State())
	if err != nil || again.Empty() {
		t.Fatalf("the group in use is not what it was (%v)", err)
	}
	if other, err := next.Take("other", Limits{}); err != nil || other.dir == used.dir {
		t.Errorf("a new one is %v (%v)", other, err)
	}
	next.Give(again)
	eventually(t, "the end of what was left", func() bool { return !alive(left) })
}

func TestSwitchedOff(t *testing.T) {
	if tree, report := Open(Off, "x", "y"); tree != nil || len(report.Notes) != 1 || !strings.Contains(report.String(), "switched off") {
		t.Errorf("got %v and %+v, want none and the reason", tree, report)
	}
}

// BenchmarkGroup is what a group costs that is taken again, and one that is made
// and removed.
func BenchmarkGroup(b *testing.B) {
	tree, report := Open(Auto, "bench"+strconv.Itoa(os.Getpid()), "x")
	if tree == nil {
		b.Log(report)
		return
	}
	defer tree.Close()
	for name, killed := range map[string]bool{"again": false, "new": true} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				g, err := tree.Take("", Limits{})
				if err != nil {
					b.Fatal(err)
				}
				fd, err := g.Open()
				if err != nil {
					b.Fatal(err)
				}
				_ = syscall.Close(fd)
				g.killed.Store(killed)
				tree.Give(g)
			}
		})
	}
}
