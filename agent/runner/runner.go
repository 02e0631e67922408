// Package runner turns a command into a process group and its output into log
// segments. One thread forks, one goroutine reads every pipe and waits for
// every process: an attempt costs no goroutine of its own. See DESIGN.md.
package runner

import (
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"backfleet/pkg/fault"
)

// Groups is told of every live process group, so that somebody else can end
// them if this process cannot.
type Groups interface {
	Add(pgid int)
	Remove(pgid int)
}

// Config of a Runner.
type Config struct {
	// Groups is told of process groups; nil: nobody is.
	Groups Groups
	// FlushEvery is how late a line may reach its segment file. Default 100 ms.
	FlushEvery time.Duration
	// DrainFor bounds the wait for output of processes that left the group and
	// still hold its pipes after its end. Default 500 ms.
	DrainFor time.Duration
	Logger   *slog.Logger
}

// Spec says what to run.
type Spec struct {
	Path   string   // of the program
	Args   []string // the first is the program's name
	Env    []string // complete, "name=value"
	Dir    string   // working folder; must exist
	LogDir string   // folder of the segments; made when there is output
	LogMax int64    // bytes of log; 0: DefaultLogBytes
}

// Exit is how a process ended.
type Exit struct {
	Status   syscall.WaitStatus
	Ended    time.Time
	LogBytes uint64 // the log's final length
}

// Events is how a Runner tells about a process. Its methods must not block:
// they are called from the loop that serves every process.
type Events interface {
	// Grew says that the log now has this many bytes of complete lines.
	Grew(bytes uint64)
	// Exited is the last call: the group is dead and the log complete.
	Exited(Exit)
}

// Runner starts processes and follows them to their end.
type Runner struct {
	config Config
	forks  chan fork
	null   *os.File
	epoll  int
	wake   [2]int // a pipe: closing its end [1] stops the loop

	mu      sync.Mutex
	entries map[int32]entry // by file descriptor
	stopped bool
	done    sync.WaitGroup
}

// Process is one running process group.
type Process struct {
	runner *Runner
	events Events
	pid    int
	log    logWriter

	mu     sync.Mutex // guards reaped: a signal after the reaping could meet a stranger
	reaped bool

	// For the loop only.
	pipes   [2]int // -1: closed
	pidfd   int    // -1: reaped
	status  syscall.WaitStatus
	ended   time.Time
	flushAt time.Time // zero: nothing to flush
	closeAt time.Time // when the pipes are given up; zero: still running
}

// entry is what a file descriptor in the epoll set stands for: one of a
// process's pipes, or (2) its pidfd.
type entry struct {
	process *Process
	kind    int
}

const kindProcess = 2

type fork struct {
	spec   Spec
	events Events
	reply  chan<- forked
}

type forked struct {
	process *Process
	err     error
}

// New makes a Runner and starts its two threads. Stop ends them.
func New(config Config) (*Runner, error) {
	if config.FlushEvery <= 0 {
		config.FlushEvery = 100 * time.Millisecond
	}
	if config.DrainFor <= 0 {
		config.DrainFor = 500 * time.Millisecond
	}
	if config.Groups == nil {
		config.Groups = nobody{}
	}
	r := &Runner{config: config, forks: make(chan fork), entries: map[int32]entry{}}
	var err error
	if r.null, err = os.Open(os.DevNull); err != nil {
		return nil, fault.Wrap(err, fault.Internal, "runner: every process needs %s as its input", os.DevNull)
	}
	if r.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		r.null.Close()
		return nil, fault.Wrap(err, fault.Internal, "runner: epoll")
	}
	if err = unix.Pipe2(r.wake[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err == nil {
		err = r.watch(r.wake[0], entry{})
	}
	if err != nil {
		r.null.Close()
		unix.Close(r.epoll)
		return nil, fault.Wrap(err, fault.Internal, "runner: a pipe for itself")
	}
	r.done.Add(2)
	go r.spawner()
	go r.loop()
	return r, nil
}

type nobody struct{}

func (nobody) Add(int)    {}
func (nobody) Remove(int) {}

// Start runs a process in a group of its own, its input /dev/null. The error
// says why it could not be started; then there are no events.
func (r *Runner) Start(spec Spec, events Events) (*Process, error) {
	r.mu.Lock()
	stopped := r.stopped
	r.mu.Unlock()
	if stopped {
		return nil, fault.New(fault.Unavailable, "start %q: the runner has been stopped", spec.Path)
	}
	reply := make(chan forked, 1)
	r.forks <- fork{spec, events, reply}
	f := <-reply
	return f.process, f.err
}

// Stop ends the runner's threads. The processes should have ended before:
// the rest are killed without events. No Start may run beside it or follow.
func (r *Runner) Stop() {
	r.mu.Lock()
	if r.stopped {
		r.mu.Unlock()
		return
	}
	r.stopped = true
	r.mu.Unlock()
	close(r.forks)
	unix.Close(r.wake[1])
	r.done.Wait()
	r.null.Close()
}

// Pid is the id of the process and of its group.
func (p *Process) Pid() int { return p.pid }

// Signal sends a signal to the whole group, unless its leader has ended.
func (p *Process) Signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		_ = syscall.Kill(-p.pid, sig)
	}
}

// spawner forks. It never leaves its thread: the kernel sends a child's parent
// death signal when the forking *thread* ends.
func (r *Runner) spawner() {
	defer r.done.Done()
	runtime.LockOSThread()
	for f := range r.forks {
		p, err := r.fork(f)
		f.reply <- forked{p, err}
	}
}

func (r *Runner) fork(f fork) (*Process, error) {
	var out, errs [2]int
	if err := unix.Pipe2(out[:], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("pipe: %w", err)
	}
	defer unix.Close(out[1])
	if err := unix.Pipe2(errs[:], unix.O_CLOEXEC); err != nil {
		unix.Close(out[0])
		return nil, fmt.Errorf("pipe: %w", err)
	}
	defer unix.Close(errs[1])
	pidfd := -1
	pid, err := syscall.ForkExec(f.spec.Path, f.spec.Args, &syscall.ProcAttr{
		Dir:   f.spec.Dir,
		Env:   f.spec.Env,
		Files: []uintptr{r.null.Fd(), uintptr(out[1]), uintptr(errs[1])},
		Sys:   &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, PidFD: &pidfd},
	})
	if err != nil {
		unix.Close(out[0])
		unix.Close(errs[0])
		return nil, err
	}
	r.config.Groups.Add(pid)
	p := &Process{runner: r, events: f.events, pid: pid, pipes: [2]int{out[0], errs[0]}, pidfd: pidfd}
	p.log = logWriter{dir: f.spec.LogDir, max: f.spec.LogMax}
	if p.log.max <= 0 {
		p.log.max = DefaultLogBytes
	}
	if err := r.follow(p); err != nil { // nobody would see its end
		_ = syscall.Kill(-pid, syscall.SIGKILL)
		_, _ = syscall.Wait4(pid, nil, 0, nil)
		r.config.Groups.Remove(pid)
		for _, fd := range []int{out[0], errs[0], pidfd} {
			r.forget(fd)
		}
		return nil, err
	}
	return p, nil
}

// follow puts a new process under the loop's eyes, the pidfd last: until it is
// there the loop cannot end the process's life.
func (r *Runner) follow(p *Process) error {
	for i, fd := range p.pipes {
		if err := unix.SetNonblock(fd, true); err != nil {
			return err
		}
		if err := r.watch(fd, entry{p, i}); err != nil {
			return err
		}
	}
	return r.watch(p.pidfd, entry{p, kindProcess})
}

func (r *Runner) watch(fd int, e entry) error {
	r.mu.Lock()
	r.entries[int32(fd)] = e
	r.mu.Unlock()
	return unix.EpollCtl(r.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}
