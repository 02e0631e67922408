package keeper

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"backfleet/agent/account"
	"backfleet/agent/attempt"
	"backfleet/agent/cgroup"
	"backfleet/agent/program"
	"backfleet/agent/runner"
	"backfleet/agent/stage"
	"backfleet/agent/task/metrics"
	"backfleet/pkg/wire"
)

// KeeperVariable is set in the environment of every attempt to its keeper's
// incarnation and its own name: by it what left its group is found.
const KeeperVariable = "BACKFLEET_KEEPER"

// mark is the variable of an attempt.
func (k *Keeper) mark(key attempt.Key) string {
	return KeeperVariable + "=" + k.incarnation + "/" + key.Folder()
}

// launch asks for the process.
func (k *Keeper) launch(a *kept, m *wire.StartAttempt) error {
	user, err := k.user(m)
	if err != nil {
		return err
	}
	spec := runner.Spec{
		Args:   append([]string(nil), m.Command...),
		Dir:    m.Directory,
		Log:    k.store.log(a.key),
		LogMax: m.LogMaxBytes,
		Script: m.Script,
		Masked: m.Masked,
	}
	if spec.Confinement, err = k.confine(a.key, user, m.Limits); err != nil {
		return err
	}
	if m.Script != "" {
		spec.Args = append(spec.Args, runner.ScriptPath)
	}
	spec.Args = append(spec.Args, m.Arguments...)
	environment, path := environmentOf(m, user)
	spec.Env = append(environment, spec.Mark)
	if spec.Dir != "" { // with metrics of another attempt in it, perhaps: none are read
		err = makeFolder(spec.Dir, spec.User)
	} else if a.folder, err = k.folders.take(spec.User); err == nil {
		spec.Dir, spec.Metrics = a.folder.path, filepath.Join(a.folder.path, metrics.File)
		spec.Env = append(spec.Env, metrics.Variable+"="+spec.Metrics)
	}
	if err != nil {
		return err
	}
	if spec.Path, err = k.programs.lookPath(m.Command[0], path); err != nil {
		return err
	}
	return k.runner.Start(spec, a)
}

// user finds as whom an attempt runs; nil: as this process.
func (k *Keeper) user(m *wire.StartAttempt) (*account.Account, error) {
	if m.User == "" {
		return nil, nil
	}
	return k.accounts.Find(m.User)
}

// environmentOf is what the attempt is given and, if it runs as a user, what
// logging in would set and it was not given.
func environmentOf(m *wire.StartAttempt, user *account.Account) (list []string, path string) {
	list = make([]string, 0, len(m.Environment)+5)
	for _, e := range m.Environment {
		switch e.Name {
		case "PATH":
			path = e.Value
		case metrics.Variable, KeeperVariable: // this process's to say
			continue
		}
		list = append(list, e.Name+"="+e.Value)
	}
	if user == nil {
		return list, path
	}
	for _, own := range [][2]string{{"HOME", user.Home}, {"USER", user.Name}, {"LOGNAME", user.Name}} {
		if !slices.ContainsFunc(m.Environment, func(e *wire.Assignment) bool { return e.Name == own[0] }) {
			list = append(list, own[0]+"="+own[1])
		}
	}
	return list, path
}

// confine says what holds an attempt. What there is no controller for each
// process is limited by alone, as far as the kernel can.
func (k *Keeper) confine(key attempt.Key, user *account.Account, l *wire.Limits) (c runner.Confinement, err error) {
	c = runner.Confinement{
		Name: key.Folder(),
		Mark: k.mark(key),
		All:  cgroup.Limits{Memory: l.GetMemoryBytes(), CPUMilli: l.GetCpuMilli(), Processes: l.GetProcesses()},
		Each: stage.Limits{OpenFiles: l.GetOpenFiles(), Core: l.GetCoreBytes(), Nice: l.GetNice()},
	}
	uid := uint32(os.Geteuid())
	if user != nil {
		uid = user.UID
		if c.User, err = user.Credential(); err != nil {
			return c, err
		}
	}
	var held cgroup.Report
	if k.cgroups != nil {
		held = k.cgroups.Report()
	}
	if !held.Memory {
		c.Each.Data = l.GetMemoryBytes()
	}
	if !held.Processes && uid != 0 {
		c.Each.Processes = l.GetProcesses()
	}
	return c, c.Each.Check()
}

// makeFolder makes a working folder that was asked for by name, and gives it to
// its user, if it is not there.
func makeFolder(dir string, user *syscall.Credential) error {
	_, missing := os.Lstat(dir)
	err := os.MkdirAll(dir, 0o700)
	if err == nil && user != nil && errors.Is(missing, fs.ErrNotExist) {
		err = os.Chown(dir, int(user.Uid), int(user.Gid))
	}
	return err
}

// explain adds to why a process could not begin what may be done about it.
func (a *kept) explain(err error) string {
	if a.user == "" || !errors.Is(err, syscall.EACCES) {
		return err.Error()
	}
	folder := "its working folder"
	if a.folder != nil {
		folder = a.folder.path
	}
	return fmt.Sprintf("%v; user %q must be able to execute the program, and to enter %s and every folder above it (chmod o+x)", err, a.user, folder)
}

// openCgroups finds out whether attempts can have cgroups, or goes on with those
// that were handed over.
func (k *Keeper) openCgroups(from *handover) {
	if from != nil {
		if from.Cgroups != "" {
			k.cgroups = cgroup.Resume(from.Cgroups, from.groups())
		}
		return
	}
	dir, err := filepath.Abs(k.config.Dir)
	if err != nil {
		dir = k.config.Dir
	}
	id := sha256.Sum256([]byte(dir))
	var report cgroup.Report
	k.cgroups, report = cgroup.Open(k.config.Cgroup, hex.EncodeToString(id[:6]), k.incarnation)
	k.config.Logger.Info("cgroups of attempts", "folder", report.Folder, "cpu", report.CPU, "memory", report.Memory, "processes", report.Processes)
	for _, note := range report.Notes {
		k.config.Logger.Warn(note)
	}
}

// spare tells the children that are no orphans: the guard, and what was handed
// over, until the runner knows it.
func (k *Keeper) spare(from *handover) func(pid int) bool {
	handed := map[int]bool{}
	if from != nil {
		for _, a := range from.Attempts {
			if a.Process != nil {
				handed[a.Process.Pid] = true
			}
		}
	}
	return func(pid int) bool { return handed[pid] || k.guard.waitsFor(pid) }
}

// cgroupFolder is the folder of the attempts' cgroups; empty: there are none.
func (k *Keeper) cgroupFolder() string {
	if k.cgroups == nil {
		return ""
	}
	return k.cgroups.Dir()
}

// groups are the cgroups of the processes in it.
func (h *handover) groups() map[string]bool {
	dirs := map[string]bool{}
	for _, a := range h.Attempts {
		if a.Process != nil {
			dirs[a.Process.Group.Dir] = true
		}
	}
	return dirs
}

// programs remembers where programs were found, for a moment: a PATH may have a
// dozen folders, and the attempts of a moment tend to begin with one program.
type programs struct {
	mu    sync.Mutex
	since time.Time
	found map[[2]string]string // by name and PATH
}

const foundFor = time.Second

// lookPath finds a program along the attempt's own PATH, not the keeper's.
func (p *programs) lookPath(name, path string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); p.found == nil || now.Sub(p.since) > foundFor {
		p.since, p.found = now, map[[2]string]string{}
	}
	key := [2]string{name, path}
	if file, ok := p.found[key]; ok {
		return file, nil
	}
	file, err := program.Find(name, path)
	if err == nil {
		p.found[key] = file
	}
	return file, err
}
