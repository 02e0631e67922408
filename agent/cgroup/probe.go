package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Report is what the host lets an agent do with cgroups.
type Report struct {
	// Folder is the cgroup in which those of attempts are made. Empty: there are
	// none.
	Folder string
	// What attempts can be limited by.
	CPU, Memory, Processes bool
	// Notes say what is missing, what is done instead, and what to do about it.
	Notes []string
}

// add books a controller in.
func (r *Report) add(controller string) {
	switch controller {
	case "cpu":
		r.CPU = true
	case "memory":
		r.Memory = true
	case "pids":
		r.Processes = true
	}
}

// String is the report for people, a line for each thing.
func (r Report) String() string {
	text := "cgroups: none"
	if r.Folder != "" {
		text = "cgroups: in " + r.Folder + "; everything an attempt started is killed with it"
		for i, has := range []bool{r.CPU, r.Memory, r.Processes} {
			if has {
				text += "; " + controllers[i] + " can be limited"
			}
		}
	}
	return strings.Join(append([]string{text}, r.Notes...), "\n")
}

// controllers are those that limits need, in the order in which they are told.
var controllers = []string{"cpu", "memory", "pids"}

// instead is how a limit is held without its controller.
var instead = map[string]string{
	"cpu":    "not limited at all",
	"memory": "limited for each process alone, by RLIMIT_DATA",
	"pids":   "processes limited for each user but root, by RLIMIT_NPROC",
}

// leaf is the cgroup with the agent's own processes when those of attempts
// stand beside it: a cgroup whose controllers are handed down has no processes
// itself. For systemd it is DelegateSubgroup=agent.
const leaf = "agent"

// prefix begins the names of keepers' folders.
const prefix = "attempts-"

// Where attempts' cgroups are made, unless it is a folder: as seen in
// /proc/self/cgroup, or where it is mounted.
const (
	Auto = "auto" // in the agent's own cgroup, or beside it
	Off  = "off"  // nowhere
)

// Probe finds out what Open would be given, and leaves nothing behind but a
// folder that was named and is not there.
func Probe(where string) Report {
	h, err := find(where)
	if err != nil {
		return Report{Notes: []string{without(err)}}
	}
	dir := filepath.Join(h.parent, fmt.Sprintf("%sprobe-%d", prefix, os.Getpid()))
	err = try(dir)
	end(dir)
	if err != nil {
		return Report{Notes: []string{without(err)}}
	}
	report := Report{Folder: h.parent}
	for _, name := range h.offered {
		report.add(name)
	}
	report.note(h)
	return report
}

// Open makes the folder of a keeper, which is known by an id of its data folder
// and by its incarnation. What a dead predecessor of the same id left is killed
// and removed. Without cgroups the Tree is nil, and the Report says why.
func Open(where, id, incarnation string) (*Tree, Report) {
	h, err := find(where)
	if err != nil {
		return nil, Report{Notes: []string{without(err)}}
	}
	mine := prefix + id + "-"
	entries, _ := os.ReadDir(h.parent)
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), mine) {
			end(filepath.Join(h.parent, e.Name()))
		}
	}
	dir := filepath.Join(h.parent, mine+incarnation)
	if err = try(dir); err != nil {
		end(dir)
		return nil, Report{Notes: []string{without(err)}}
	}
	h.grant()
	t, err := open(dir, h.offered)
	if err != nil {
		return nil, Report{Notes: []string{without(err)}}
	}
	t.report.note(h)
	return t, t.report
}

// try makes a cgroup and a process in it, if only as far as to the program,
// which is none.
func try(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, killFile)); err != nil {
		return errors.New("the kernel has no cgroup.kill: it is older than 5.14")
	}
	g := Group{dir: dir}
	fd, err := g.Open()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	pid, err := syscall.ForkExec("/proc/self/none", []string{""}, &syscall.ProcAttr{Sys: &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: fd}})
	switch err {
	case syscall.ENOENT:
		return nil
	case nil: // see Kill: this process's own cgroup was killed once, and is in use again
		_, _ = syscall.Wait4(pid, nil, 0, nil)
		return fmt.Errorf("what is started in the cgroup %s does not live", dir)
	}
	return fmt.Errorf("no process can be started in the cgroup %s: %w", dir, err)
}

// without is the note of a host without cgroups.
func without(cause error) string {
	return "note: no cgroup of version 2 that the agent may write to (" + cause.Error() + "): what an attempt started is found by its process group, " +
		"by a mark in its environment and as orphans; memory is limited for each process alone (RLIMIT_DATA), processes for each user but root " +
		"(RLIMIT_NPROC), processor time not at all. A systemd unit needs Delegate=yes and DelegateSubgroup=agent, a container a writable cgroup"
}

// note says which controllers are missing.
func (r *Report) note(h host) {
	var missing []string
	for _, name := range controllers {
		if !slices.Contains(h.offered, name) {
			missing = append(missing, name+" ("+instead[name]+")")
		}
	}
	if len(missing) > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("note: the cgroup %s is without the controllers %s: %s", h.parent, strings.Join(missing, ", "), h.why))
	}
}

// host is where cgroups of attempts can be made.
type host struct {
	parent  string
	offered []string // controllers that can be handed down
	missing []string // those of them that are not yet
	move    bool     // for that, its processes have to go into a leaf
	why     string   // others are not offered
}

// find finds out where this process stands.
func find(where string) (host, error) {
	if where == Off {
		return host{}, errors.New("they are switched off")
	}
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return host{}, err
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return host{}, err
	}
	own, mount, err := locate(string(text), string(table))
	if err != nil {
		return host{}, err
	}
	if where == "" || where == Auto {
		return look(own, mount), nil
	}
	dir := path.Clean(where)
	if dir != mount && !strings.HasPrefix(dir, mount+"/") {
		dir = path.Join(mount, dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return host{}, err
	}
	return look(filepath.Join(dir, leaf), mount), nil // as if the agent stood in its leaf
}

// locate gives the folder of the cgroup that a process is in, and where the
// hierarchy is mounted.
func locate(cgroups, mounts string) (own, mount string, err error) {
	in := ""
	for line := range strings.Lines(cgroups) {
		if p, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok {
			in = p
		}
	}
	if in == "" {
		return "", "", errors.New("the kernel has no cgroups of version 2")
	}
	for line := range strings.Lines(mounts) {
		before, after, _ := strings.Cut(line, " - ")
		f, kind := strings.Fields(before), strings.Fields(after)
		if len(f) < 5 || len(kind) == 0 || kind[0] != "cgroup2" {
			continue
		}
		root, at := f[3], strings.ReplaceAll(f[4], `\040`, " ")
		rest, inside := strings.CutPrefix(in, strings.TrimSuffix(root, "/"))
		if inside && (rest == "" || rest[0] == '/') && !strings.Contains(rest, "/..") {
			return path.Join(at, rest), at, nil
		}
	}
	return "", "", fmt.Errorf("no cgroup2 file system with the cgroup %q is mounted", in)
}

// look finds what a process in the cgroup own may hand down to attempts.
func look(own, mount string) host {
	h := host{parent: own}
	beside := filepath.Base(own) == leaf
	if beside {
		h.parent = filepath.Dir(own)
	}
	has := words(h.parent, "cgroup.controllers")
	on := words(h.parent, "cgroup.subtree_control")
	_, err := os.Stat(filepath.Join(h.parent, "cgroup.type"))
	first := err != nil // the first of the host may have processes and hand down controllers
	whole := own == mount && !first
	h.why = "the host does not hand them down to it"
	for _, name := range controllers {
		switch {
		case !slices.Contains(has, name):
		case slices.Contains(on, name):
			h.offered = append(h.offered, name)
		case first || beside || whole:
			h.offered, h.missing = append(h.offered, name), append(h.missing, name)
		default:
			h.why = "the agent's own processes are in it; a systemd unit needs Delegate=yes and DelegateSubgroup=agent (systemd 254 or newer)"
		}
	}
	h.move = whole && !beside && len(h.missing) > 0
	return h
}

// grant hands the missing controllers down.
func (h *host) grant() {
	if h.move {
		h.makeRoom()
	}
	for _, name := range h.missing {
		if err := put(h.parent, "cgroup.subtree_control", "+"+name); err != nil {
			h.offered = slices.DeleteFunc(h.offered, func(s string) bool { return s == name })
			h.why = "they cannot be handed down: " + err.Error()
		}
	}
}

// makeRoom moves a container's processes into a leaf.
func (h *host) makeRoom() {
	to := filepath.Join(h.parent, leaf)
	_ = os.Mkdir(to, 0o755)
	for range 10 { // they may fork meanwhile
		pids := words(h.parent, "cgroup.procs")
		for _, pid := range pids {
			_ = put(to, "cgroup.procs", pid)
		}
		if len(pids) == 0 {
			return
		}
	}
}

func words(dir, file string) []string {
	data, _ := os.ReadFile(filepath.Join(dir, file))
	return strings.Fields(string(data))
}
