package runner

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"backfleet/agent/cgroup"
	"backfleet/agent/monotonic"
	"backfleet/pkg/fault"
)

// State is a process as a runner hands it to the one that comes after it in the
// same operating system process, which keeps the descriptors open.
type State struct {
	Pid    int
	Pipes  [2]int        // of stdout and stderr; -1: closed
	Pidfd  int           // -1: reaped
	Status uint32        // when reaped
	Ended  time.Duration // on CLOCK_MONOTONIC, when reaped
	Log    LogState
	Group  cgroup.State // of what has none: without a Dir
	Mark   string       // see Confinement
	// Metrics is the Spec's, MetricsOf the user whose file it must be. Runners
	// that know no metrics hand over none.
	Metrics   string
	MetricsOf uint32

	OutOfMemory bool
}

// Descriptors are the open files of a State.
func (s State) Descriptors() (list []int) {
	for _, fd := range []int{s.Pipes[0], s.Pipes[1], s.Pidfd} {
		if fd >= 0 {
			list = append(list, fd)
		}
	}
	return list
}

// Handover has f run on the runner's thread, when all that was to be started
// before has started, and gives it the processes as they stand. Meanwhile
// nothing is forked, read or reaped. When f returns the runner goes on.
//
// Who executes another program in place of this one must do it in f: the
// kernel sends the parent death signal when the thread that forked ends, and
// that is the only thread that does not end.
func (r *Runner) Handover(f func(map[*Process]State) error) error {
	answer := make(chan error, 1)
	do := func() {
		if !r.disk.settle() {
			answer <- fault.New(fault.Unavailable, "the disk has not taken the logs within %s", settleFor)
			return
		}
		r.rights.restore()
		err := f(r.states())
		r.rights = dropRights()
		answer <- err
	}
	if err := r.queued(fork{do: do}); err != nil {
		return err
	}
	select {
	case err := <-answer:
		return err
	case <-r.done:
		return fault.New(fault.Unavailable, "the runner has been stopped")
	}
}

// states gives the processes whose end has not been announced. For the thread.
func (r *Runner) states() map[*Process]State {
	all := map[*Process]State{}
	for _, e := range r.entries {
		p := e.process
		if p == nil || p.events == nil {
			continue
		}
		all[p] = State{Pid: p.pid, Pipes: p.pipes, Pidfd: p.pidfd, Status: uint32(p.status), Ended: monotonic.Of(p.ended), Log: p.log.state(),
			Group: p.group.State(), Mark: p.mark, Metrics: p.report.path, MetricsOf: p.report.uid, OutOfMemory: p.outOfMemory}
	}
	return all
}

// Adopt goes on with a process that an earlier runner handed over. It must be
// called before the loop runs, which Config.Thread is for: a process that ended
// meanwhile must not be taken for an orphan. Of the events only Grew and Exited
// follow, and Groups has been told of it before.
func (r *Runner) Adopt(s State, events Events) (*Process, error) {
	p := &Process{events: events, pid: s.Pid, pipes: s.Pipes, pidfd: s.Pidfd, status: syscall.WaitStatus(s.Status), ended: monotonic.Moment(s.Ended),
		reaped: s.Pidfd < 0, log: resumeLog(s.Log), mark: s.Mark, report: report{s.Metrics, s.MetricsOf}, outOfMemory: s.OutOfMemory}
	p.log.files.drops = &r.drops
	if s.Group.Dir != "" && r.config.Cgroups != nil {
		var err error
		if p.group, err = r.config.Cgroups.Adopt(s.Group); err != nil {
			return nil, err
		}
	}
	return p, r.resume(p)
}

// resume follows an adopted process.
func (r *Runner) resume(p *Process) error {
	now := time.Now()
	for i, fd := range p.pipes {
		if fd < 0 {
			continue
		}
		if err := r.watch(fd, entry{p, i}); err != nil {
			return err
		}
	}
	if r.count(p, p.log.pending()); p.held > 0 {
		p.flushAt = now.Add(r.config.FlushEvery)
		r.flushes = append(r.flushes, p)
	}
	if p.pidfd < 0 {
		p.closeAt = now.Add(r.config.DrainFor)
		r.drains = append(r.drains, p)
		return nil
	}
	r.pids[p.pid] = struct{}{}
	return r.watch(p.pidfd, entry{p, kindProcess})
}

// KeepOpen has descriptors survive, or not, the execution of another program.
func KeepOpen(keep bool, fds ...int) error {
	flags := unix.FD_CLOEXEC
	if keep {
		flags = 0
	}
	for _, fd := range fds {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, flags); err != nil {
			return fault.Wrap(err, fault.Internal, "descriptor %d cannot be handed over", fd)
		}
	}
	return nil
}
