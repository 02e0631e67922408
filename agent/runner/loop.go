package runner

import (
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"backfleet/pkg/slack"
)

// loop is the runner's thread, locked for two reasons: the kernel sends a
// child's parent death signal when the *thread* that forked it ends; and one
// thread that forks, reads and reaps by turns needs no waking in between, which
// is what a busy agent would spend most on. It forks one process a round, so
// that starting many does not keep the output of others waiting.
func (r *Runner) loop() {
	runtime.LockOSThread()
	slack.Set(slack.Usual)
	r.rights = dropRights()
	defer close(r.done)
	events := make([]unix.EpollEvent, 128)
	for {
		next, stopped := r.take()
		if stopped {
			r.end()
			return
		}
		wait := 0
		if next != nil {
			r.begin(*next)
		} else {
			wait = r.timeout(time.Now())
		}
		n, err := unix.EpollWait(r.epoll, events, wait)
		if err != nil && err != unix.EINTR {
			panic("the runner cannot wait for its processes: " + err.Error()) // the epoll set is broken: only a new keeper helps
		}
		if next == nil {
			r.awake()
		}
		now := time.Now()
		for _, event := range events[:max(n, 0)] {
			e, known := r.entries[event.Fd]
			switch {
			case !known: // closed earlier in this round
			case e.process == nil:
				_, _ = unix.Read(r.wake, r.room[:8])
			case e.kind == kindProcess:
				r.reap(e.process, now)
			default:
				r.read(e.process, e.kind, now)
			}
		}
		r.due(now)
	}
}

// begin does what the thread was asked for.
func (r *Runner) begin(f fork) {
	if f.do != nil {
		f.do()
		return
	}
	p, err := r.fork(f)
	f.events.Started(p, err)
}

// take gives the next process to fork; nil, and the thread counts as asleep,
// when there is none.
func (r *Runner) take() (next *fork, stopped bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asleep = len(r.queue) == 0
	if !r.asleep && !r.stopped {
		next = &r.queue[0]
		r.queue = r.queue[1:]
	}
	return next, r.stopped
}

// awake says that the thread need not be woken: it looks at the queue by itself
// before it sleeps again, so what an end starts costs no system call.
func (r *Runner) awake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asleep = false
}

// timeout gives the milliseconds until something is due, -1 for never.
func (r *Runner) timeout(now time.Time) int {
	wait := -1
	for _, at := range []time.Time{first(r.flushes).flushAt, first(r.drains).closeAt, first(r.blocked).giveUp, r.sweepAt} {
		if at.IsZero() {
			continue
		}
		ms := int(max(at.Sub(now)+time.Millisecond-1, 0) / time.Millisecond)
		if wait < 0 || ms < wait {
			wait = ms
		}
	}
	return wait
}

var none = &Process{}

func first(queue []*Process) *Process {
	if len(queue) == 0 {
		return none
	}
	return queue[0]
}

// read takes once from a pipe. The rest waits for the next round, so that no
// process keeps the others waiting.
func (r *Runner) read(p *Process, stream int, now time.Time) {
	if p.waits() {
		return
	}
	n, err := unix.Read(p.pipes[stream], r.room)
	switch {
	case n > 0:
		p.log.take(stream, r.room[:n], now)
		r.count(p, p.log.pending())
		if len(p.log.block) >= ShortLogBytes || r.held.Load() > r.config.LogMemory {
			r.write(p, now)
		}
		if p.flushAt.IsZero() && p.held > 0 {
			p.flushAt = now.Add(r.config.FlushEvery)
			r.flushes = append(r.flushes, p)
		}
	case err == unix.EAGAIN || err == unix.EINTR:
	default: // end of file, or a pipe that can no longer be read
		r.close(p, stream)
		r.finish(p)
	}
}

// count books how much of a process's log is in no file.
func (r *Runner) count(p *Process, bytes int) {
	r.held.Add(int64(bytes - p.held))
	p.held = bytes
}

func (r *Runner) close(p *Process, stream int) {
	if fd := p.pipes[stream]; fd >= 0 {
		r.forget(fd)
		p.pipes[stream] = -1
	}
}

// reap ends a group whose leader has exited. The leader is still a zombie
// while the others are killed, so its id cannot name anybody else.
func (r *Runner) reap(p *Process, now time.Time) {
	_ = syscall.Kill(-p.pid, syscall.SIGKILL)
	r.config.Groups.Remove(p.pid)
	p.mu.Lock()
	_, err := syscall.Wait4(p.pid, &p.status, 0, nil)
	p.reaped = true
	p.mu.Unlock()
	if err != nil {
		p.status = 255 << 8 // an exit code: what is not known is no success
		r.config.Logger.Error("a process ended and its status is lost", "pid", p.pid, "error", err)
	}
	p.ended = now
	r.clear(p)
	if !r.sweepAt.IsZero() {
		r.sweepAt = now // it may have left orphans
	}
	r.forget(p.pidfd)
	p.pidfd = -1
	p.closeAt = now.Add(r.config.DrainFor)
	if !r.finish(p) {
		r.drains = append(r.drains, p)
	}
}

// finish announces the end once the leader is reaped and both pipes are read
// to their end.
func (r *Runner) finish(p *Process) bool {
	if p.pidfd >= 0 || p.pipes[0] >= 0 || p.pipes[1] >= 0 {
		return false
	}
	if p.events == nil {
		return true
	}
	events := p.events
	p.events = nil
	now := time.Now()
	exit := Exit{Status: p.status, Ended: p.ended, Left: p.left, OutOfMemory: p.outOfMemory, Metrics: r.measure(p, now)}
	log, whole := p.log.close(now, r.held.Load() <= r.config.LogMemory)
	r.count(p, len(log)) // from here on they are whose the events are
	if !whole {
		r.last(p, events, exit)
		return true
	}
	exit.Log, exit.LogBytes = log, uint64(len(log))
	events.Exited(exit)
	return true
}

// due flushes logs, gives up pipes and reaps orphans when their time has come.
func (r *Runner) due(now time.Time) {
	if !r.sweepAt.IsZero() && !r.sweepAt.After(now) {
		r.sweep(now)
	}
	r.unblock(now)
	for len(r.flushes) > 0 && !r.flushes[0].flushAt.After(now) {
		p := r.flushes[0]
		r.flushes = r.flushes[1:]
		p.flushAt = time.Time{}
		if p.events == nil {
			continue
		}
		p.log.finishParts(now)
		r.write(p, now)
	}
	for len(r.drains) > 0 && !r.drains[0].closeAt.After(now) {
		p := r.drains[0]
		r.drains = r.drains[1:]
		if p.waits() { // it is not its pipes that are late
			p.closeAt = now.Add(r.config.DrainFor)
			r.drains = append(r.drains, p)
			continue
		}
		p.left = p.pipes[0] >= 0 || p.pipes[1] >= 0
		r.close(p, 0)
		r.close(p, 1)
		r.finish(p)
	}
}

// end kills what still runs and closes everything.
func (r *Runner) end() {
	for fd, e := range r.entries {
		if e.process != nil && e.kind == kindProcess {
			e.process.Signal(syscall.SIGKILL)
			e.process.mu.Lock()
			_, _ = syscall.Wait4(e.process.pid, nil, 0, nil)
			e.process.reaped = true
			e.process.mu.Unlock()
		}
		if e.process != nil {
			unix.Close(int(fd))
		}
	}
	r.disk.stop() // before the descriptor by which it wakes this thread is another's
	r.closeAll()
}
