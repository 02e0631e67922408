package runner

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"

	"backfleet/agent/cgroup"
	"backfleet/agent/stage"
)

// Confinement is what holds a process and what it starts. The zero value is
// this process's rights and no limits.
type Confinement struct {
	// User is whose rights the process has. nil: this process's.
	User *syscall.Credential
	// Name is that of its cgroup, if it needs one of its own.
	Name string
	// Mark, "NAME=value", is in its environment and in nobody else's: by it what
	// it started and left is found where there are no cgroups.
	Mark string
	// All are limits of all processes together, as far as Config.Cgroups holds
	// them.
	All cgroup.Limits
	// Each are limits of every single process.
	Each stage.Limits
}

// command gives the program to execute and its arguments.
func (s *Spec) command() (string, []string) {
	if s.Each == (stage.Limits{}) {
		return s.Path, s.Args
	}
	return s.Each.Command(s.Path, s.Args)
}

// enclose has a process begin in a cgroup; nil: there are none. The descriptor
// is for the beginning alone. An attempt that has no limits goes on without.
func (r *Runner) enclose(s *Spec, sys *syscall.SysProcAttr) (*cgroup.Group, error) {
	if r.config.Cgroups == nil {
		return nil, nil
	}
	g, err := r.config.Cgroups.Take(s.Name, s.All)
	if err == nil {
		if sys.CgroupFD, err = g.Open(); err == nil {
			sys.UseCgroupFD = true
			return g, nil
		}
		r.config.Cgroups.Give(g)
	}
	if s.All != (cgroup.Limits{}) {
		return nil, fmt.Errorf("its limits cannot be set: %w", err)
	}
	r.config.Logger.Error("a process starts without a cgroup of its own", "error", err)
	return nil, nil
}

// exec begins the process itself.
func (r *Runner) exec(s *Spec, p *Process, files []uintptr) (err error) {
	sys := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, PidFD: &p.pidfd, Credential: s.User}
	if p.group, err = r.enclose(s, sys); err != nil {
		return err
	}
	path, args := s.command()
	p.pid, err = syscall.ForkExec(path, args, &syscall.ProcAttr{Dir: s.Dir, Env: s.Env, Files: files, Sys: sys})
	if sys.UseCgroupFD {
		unix.Close(sys.CgroupFD)
	}
	if err != nil {
		if p.group != nil {
			r.config.Cgroups.Give(p.group)
		}
		return err
	}
	r.pids[p.pid] = struct{}{}
	r.config.Groups.Add(p.pid)
	return nil
}

// clear kills what a process that was reaped started and left.
func (r *Runner) clear(p *Process) {
	delete(r.pids, p.pid)
	if g := p.group; g != nil {
		p.group = nil
		p.outOfMemory = g.OutOfMemory()
		r.config.Cgroups.Give(g)
		return
	}
	r.killStrays(p.mark)
}

// rights are the capabilities that this thread's children would keep although
// they are not root: the agent may have been given some, its attempts not.
type rights []int

// dropRights takes them from this thread's children, and gives them for restore.
func dropRights() (had rights) {
	for c := range unix.CAP_LAST_CAP + 1 {
		if set, err := unix.PrctlRetInt(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_IS_SET, uintptr(c), 0, 0); err == nil && set == 1 {
			had = append(had, c)
		}
	}
	_ = unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
	return had
}

// restore gives them back, for a program that takes this one's place.
func (had rights) restore() {
	for _, c := range had {
		_ = unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uintptr(c), 0, 0)
	}
}
