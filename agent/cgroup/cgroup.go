// Package cgroup keeps the processes of attempts in cgroups, version 2. By its
// cgroup everything that an attempt started is found and killed, whatever it did
// to leave its parent; and where the host delegates the controllers, memory,
// processor time and processes of all of it together are limited. See
// agent/DESIGN.md, "Limits".
package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Limits of all processes of a cgroup together. 0: none.
type Limits struct {
	Memory    int64 // bytes, none of them in swap; more is the end of all
	CPUMilli  int32 // thousandths of a core
	Processes int32 // threads count, too
}

// Tree is the folder with the cgroups of one keeper. It may be used by several
// goroutines.
type Tree struct {
	dir    string
	report Report

	mu   sync.Mutex
	free []*Group // empty and without limits: to make one costs more than to take it
	dead []string // killed, and not gone yet
	last int
}

// Group is a cgroup for one attempt.
type Group struct {
	tree    *Tree
	dir     string
	events  int // its cgroup.events
	limited bool
	killed  atomic.Bool
}

// open makes the folder and hands the controllers down to it.
func open(dir string, controllers []string) (*Tree, error) {
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	for _, name := range controllers {
		_ = put(dir, "cgroup.subtree_control", "+"+name) // what came of it is read
	}
	return over(dir), nil
}

// over is the tree of a folder as it stands.
func over(dir string) *Tree {
	t := &Tree{dir: dir, report: Report{Folder: filepath.Dir(dir)}}
	for _, name := range words(dir, "cgroup.subtree_control") {
		t.report.add(strings.TrimPrefix(name, "+"))
	}
	return t
}

// Resume goes on with the tree of a folder, and removes what is not in use.
func Resume(dir string, inUse map[string]bool) *Tree {
	t := over(dir)
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if path := filepath.Join(dir, e.Name()); e.IsDir() && !inUse[path] {
			t.dead = append(t.dead, path)
		}
		if n, err := strconv.Atoi(e.Name()); err == nil {
			t.last = max(t.last, n)
		}
	}
	t.Tidy()
	return t
}

// Dir is the folder of the tree.
func (t *Tree) Dir() string { return t.dir }

// Report says what the tree can do.
func (t *Tree) Report() Report { return t.report }

// Take gives an empty cgroup. One with limits is called as asked and is nobody
// else's before or after; of the limits those are set that Report says can be.
func (t *Tree) Take(name string, l Limits) (*Group, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := &Group{tree: t, dir: filepath.Join(t.dir, name), limited: t.report.holds(l)}
	if n := len(t.free); n > 0 && !g.limited {
		g, t.free = t.free[n-1], t.free[:n-1]
		return g, nil
	}
	if !g.limited {
		t.last++
		g.dir = filepath.Join(t.dir, strconv.Itoa(t.last))
	}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		return nil, err
	}
	err := t.report.limit(g.dir, l)
	if err == nil {
		err = g.open()
	}
	if err != nil {
		_ = os.Remove(g.dir)
		return nil, fmt.Errorf("cgroup %s: %w", g.dir, err)
	}
	return g, nil
}

func (g *Group) open() (err error) {
	g.events, err = unix.Open(filepath.Join(g.dir, "cgroup.events"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	return err
}

// State is a Group in use as one process hands it to the next.
type State struct {
	Dir     string
	Limited bool
}

// State gives the state; that of nil has no Dir.
func (g *Group) State() State {
	if g == nil {
		return State{}
	}
	return State{g.dir, g.limited}
}

// Adopt goes on with a Group.
func (t *Tree) Adopt(s State) (*Group, error) {
	g := &Group{tree: t, dir: s.Dir, limited: s.Limited}
	return g, g.open()
}

// limit writes the limits that can be held.
func (r Report) limit(dir string, l Limits) error {
	var errs []error
	set := func(file, text string) { errs = append(errs, put(dir, file, text)) }
	if r.Memory && l.Memory > 0 {
		set("memory.max", strconv.FormatInt(l.Memory, 10))
		set("memory.oom.group", "1")         // half of an attempt is worth nothing
		_ = put(dir, "memory.swap.max", "0") // not there without swap
	}
	if r.CPU && l.CPUMilli > 0 {
		set("cpu.max", fmt.Sprintf("%d %d", int64(l.CPUMilli)*cpuPeriod/1000, cpuPeriod))
	}
	if r.Processes && l.Processes > 0 {
		set("pids.max", strconv.Itoa(int(l.Processes)))
	}
	return errors.Join(errs...)
}

// cpuPeriod is the usual one, in microseconds: within each the share is handed out.
const cpuPeriod = 100_000

// holds says whether there are limits among these that can be held.
func (r Report) holds(l Limits) bool {
	return r.Memory && l.Memory > 0 || r.CPU && l.CPUMilli > 0 || r.Processes && l.Processes > 0
}

// Give takes back the cgroup of an attempt that has ended. What is left in it is
// killed: when it returns none of it runs code of its own any more, nor can fork.
func (t *Tree) Give(g *Group) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !g.limited && !g.killed.Load() && g.Empty() && len(t.free) < mostFree {
		t.free = append(t.free, g)
		return
	}
	unix.Close(g.events)
	t.dead = append(t.dead, g.dir)
	t.tidy()
}

// mostFree bounds the cgroups that are kept for later.
const mostFree = 1024

// Tidy removes cgroups whose processes have died since they were killed.
func (t *Tree) Tidy() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tidy()
}

func (t *Tree) tidy() {
	left := t.dead[:0]
	for _, dir := range t.dead {
		if err := remove(dir); err != nil {
			_ = kill(dir) // again: it is there to be killed
			left = append(left, dir)
		}
	}
	t.dead = left
}

// Close kills everything in the tree and removes it.
func (t *Tree) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, g := range t.free {
		unix.Close(g.events)
	}
	t.free, t.dead = nil, nil
	end(t.dir)
}

// KillFile opens what Finish needs.
func (t *Tree) KillFile() (*os.File, error) {
	return os.OpenFile(filepath.Join(t.dir, killFile), os.O_WRONLY, 0)
}

// Finish is Close for a process that outlives the one that had the Tree, by a
// file that KillFile opened.
func Finish(file *os.File) {
	dir, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", file.Fd()))
	if err != nil || filepath.Base(dir) != killFile {
		return // there is no Tree
	}
	_, _ = file.WriteString("1")
	end(filepath.Dir(dir))
}

const killFile = "cgroup.kill"

// patience bounds the wait for processes that were killed: they must give back
// their memory.
const patience = 2 * time.Second

// end kills what is in a cgroup and below it, and removes all of it, as far as
// the kernel is done within patience.
func end(dir string) {
	for begin := time.Now(); ; time.Sleep(2 * time.Millisecond) {
		_ = kill(dir)
		if err := remove(dir); err == nil || time.Since(begin) > patience {
			return
		}
	}
}

// Open gives the cgroup's folder, into which a process can be cloned.
func (g *Group) Open() (fd int, err error) {
	return unix.Open(g.dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

// Empty says whether no process lives in the cgroup or below it.
func (g *Group) Empty() bool {
	var room [128]byte
	n, err := unix.Pread(g.events, room[:], 0)
	return err == nil && strings.Contains(string(room[:n]), "populated 0\n")
}

// Kill sends SIGKILL to everything in the cgroup. No other attempt gets it then:
// there are kernels (6.18) in which what is cloned into a cgroup that was killed
// once is killed, too.
func (g *Group) Kill() error {
	g.killed.Store(true)
	return kill(g.dir)
}

// OutOfMemory says whether a process in the cgroup was killed because it was to
// have more memory than its limit.
func (g *Group) OutOfMemory() bool {
	if !g.limited || !g.tree.report.Memory {
		return false
	}
	data, _ := os.ReadFile(filepath.Join(g.dir, "memory.events"))
	for line := range strings.Lines(string(data)) {
		if name, count, _ := strings.Cut(strings.TrimSpace(line), " "); name == "oom_kill" {
			return count != "0"
		}
	}
	return false
}

func kill(dir string) error { return put(dir, killFile, "1") }

func put(dir, file, text string) error {
	return os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644)
}

// remove removes a cgroup and those below it; an error says that something
// still lives there.
func remove(dir string) error {
	err := unix.Rmdir(dir)
	if err == nil || err == unix.ENOENT {
		return nil
	}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			_ = remove(filepath.Join(dir, e.Name()))
		}
	}
	return unix.Rmdir(dir)
}
