package runner

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// loop serves every process: reads pipes as they fill, reaps, flushes. Both
// queues are in order of due time, because each has one constant delay.
type loop struct {
	*Runner
	room    []byte
	flushes []*Process
	drains  []*Process
}

func (r *Runner) loop() {
	defer r.done.Done()
	l := &loop{Runner: r, room: make([]byte, 64<<10)}
	events := make([]unix.EpollEvent, 128)
	for {
		n, err := unix.EpollWait(r.epoll, events, l.timeout(time.Now()))
		if err != nil && err != unix.EINTR {
			r.config.Logger.Error("the runner cannot wait for its processes", "error", err)
			return
		}
		now := time.Now()
		for i := range max(n, 0) {
			fd := events[i].Fd
			r.mu.Lock()
			e, known := r.entries[fd]
			r.mu.Unlock()
			switch {
			case !known: // closed earlier in this round
			case e.process == nil:
				l.end()
				return
			case e.kind == kindProcess:
				l.reap(e.process, now)
			default:
				l.read(e.process, e.kind, now)
			}
		}
		l.due(time.Now())
	}
}

// timeout gives the milliseconds until something is due, -1 for never.
func (l *loop) timeout(now time.Time) int {
	wait := -1
	for _, at := range []time.Time{first(l.flushes).flushAt, first(l.drains).closeAt} {
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
func (l *loop) read(p *Process, stream int, now time.Time) {
	n, err := unix.Read(p.pipes[stream], l.room)
	switch {
	case n > 0:
		before := p.log.written
		p.log.take(stream, l.room[:n], now)
		if p.log.written != before {
			p.events.Grew(uint64(p.log.written))
		}
		if p.flushAt.IsZero() && p.log.pending() {
			p.flushAt = now.Add(l.config.FlushEvery)
			l.flushes = append(l.flushes, p)
		}
	case err == unix.EAGAIN || err == unix.EINTR:
	default: // end of file, or a pipe that can no longer be read
		l.close(p, stream)
		l.finish(p)
	}
}

func (l *loop) close(p *Process, stream int) {
	if fd := p.pipes[stream]; fd >= 0 {
		l.forget(fd)
		p.pipes[stream] = -1
	}
}

// forget closes a descriptor of the epoll set, once.
func (r *Runner) forget(fd int) {
	r.mu.Lock()
	_, known := r.entries[int32(fd)]
	delete(r.entries, int32(fd))
	r.mu.Unlock()
	if known {
		unix.Close(fd)
	}
}

// reap ends a group whose leader has exited. The leader is still a zombie
// while the others are killed, so its id cannot name anybody else.
func (l *loop) reap(p *Process, now time.Time) {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, p.pid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	if err != nil || info.Signo == 0 {
		return // a leftover event of an earlier owner of the descriptor's number
	}
	_ = syscall.Kill(-p.pid, syscall.SIGKILL)
	l.config.Groups.Remove(p.pid)
	p.mu.Lock()
	_, err = syscall.Wait4(p.pid, &p.status, 0, nil)
	p.reaped = true
	p.mu.Unlock()
	if err != nil {
		l.config.Logger.Error("a process ended and its status is lost", "pid", p.pid, "error", err)
	}
	p.ended = now
	l.forget(p.pidfd)
	p.pidfd = -1
	p.closeAt = now.Add(l.config.DrainFor)
	if !l.finish(p) {
		l.drains = append(l.drains, p)
	}
}

// finish announces the end once the leader is reaped and both pipes are read
// to their end.
func (l *loop) finish(p *Process) bool {
	if p.pidfd >= 0 || p.pipes[0] >= 0 || p.pipes[1] >= 0 {
		return false
	}
	if p.events == nil {
		return true
	}
	p.log.close(time.Now())
	events := p.events
	p.events = nil
	events.Exited(Exit{Status: p.status, Ended: p.ended, LogBytes: uint64(p.log.written)})
	return true
}

// due flushes logs and gives up pipes whose time has come.
func (l *loop) due(now time.Time) {
	for len(l.flushes) > 0 && !l.flushes[0].flushAt.After(now) {
		p := l.flushes[0]
		l.flushes = l.flushes[1:]
		p.flushAt = time.Time{}
		if p.events == nil {
			continue
		}
		before := p.log.written
		p.log.flush(now)
		if p.log.written != before {
			p.events.Grew(uint64(p.log.written))
		}
	}
	for len(l.drains) > 0 && !l.drains[0].closeAt.After(now) {
		p := l.drains[0]
		l.drains = l.drains[1:]
		l.close(p, 0)
		l.close(p, 1)
		l.finish(p)
	}
}

// end kills what still runs and closes everything.
func (l *loop) end() {
	l.mu.Lock()
	rest := make(map[int]entry, len(l.entries))
	for fd, e := range l.entries {
		rest[int(fd)] = e
	}
	l.mu.Unlock()
	for fd, e := range rest {
		if e.process != nil && e.kind == kindProcess {
			e.process.Signal(syscall.SIGKILL)
			var status syscall.WaitStatus
			_, _ = syscall.Wait4(e.process.pid, &status, 0, nil)
			e.process.mu.Lock()
			e.process.reaped = true
			e.process.mu.Unlock()
		}
		l.forget(fd)
	}
	unix.Close(l.epoll)
}
