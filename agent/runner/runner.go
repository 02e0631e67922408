// Package runner turns a command into a process group and its output into log
// segments. One thread forks, reads every pipe and waits for every process: an
// attempt costs no goroutine and no thread of its own. See DESIGN.md.
package runner

import (
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"backfleet/agent/cgroup"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
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
	// FlushEvery is how late a line may reach its segment file. Default 250 ms.
	FlushEvery time.Duration
	// LogMemory bounds the bytes of log that are in no file: of running
	// processes, and of those that ended (Exit.Log) until Hold lets go of them.
	// Default 8 MiB.
	LogMemory int64
	// BlockFor bounds the wait of a process for a disk that takes no more of its
	// log; then lines are dropped, until it does (RULES R10.3). Default 3 s.
	BlockFor time.Duration
	// DrainFor bounds the wait for output of processes that left the group and
	// still hold its pipes after its end. Default 500 ms.
	DrainFor time.Duration
	// Cgroups has one for each process and all that it starts. nil: there are none.
	Cgroups *cgroup.Tree
	// Spare tells the children of this process that somebody else waits for. With
	// it orphans of what the runner starts come to this process and are reaped.
	// nil: they do not.
	Spare func(pid int) bool
	// Thread is given the runner's loop and has it run, once, on a thread that
	// lives as long as the processes shall. Default: on a thread of its own.
	Thread func(loop func())
	Logger *slog.Logger
}

// Spec says what to run.
type Spec struct {
	Path   string   // of the program
	Args   []string // the first is the program's name
	Env    []string // complete, "name=value"
	Dir    string   // working folder; must exist
	Script string   // what the process finds at ScriptPath; empty: nothing
	Log    string   // what the segments' paths begin with; made when a file is needed
	LogMax int64    // bytes of log; 0: DefaultLogBytes
	Masked []string // texts that the log shows as asterisks
	// Metrics is the file in which the code may leave metrics; there is none
	// when the process starts. Empty: it may not.
	Metrics string
	Confinement
}

// ScriptPath is where a process reads its script. It is a file in memory: one
// on disk would cost a fifth of an exec, and its name would tell nothing more.
const ScriptPath = "/proc/self/fd/3"

// Exit is how a process ended.
type Exit struct {
	Status   syscall.WaitStatus
	Ended    time.Time
	LogBytes uint64 // the log's final length
	Log      []byte // the whole of it, if it is in no file
	Left     bool   // a process that left the group lives on, as far as can be seen
	// OutOfMemory: a process was killed because all together used more than their
	// limit.
	OutOfMemory bool
	Metrics     []*wire.Metric // that its code reported
}

// Events is how a Runner tells about a process. Its methods must not block:
// they are called from the thread that serves every process.
type Events interface {
	// Started is the first call. The error says why there is no process; then
	// it is also the last.
	Started(*Process, error)
	// Grew says that the log now has this many bytes of complete lines.
	Grew(bytes uint64)
	// Exited is the last call: the group is dead and the log complete.
	Exited(Exit)
}

// Runner starts processes and follows them to their end.
type Runner struct {
	config Config
	null   *os.File
	epoll  int
	wake   int // an eventfd: there is something in queue, or stopped is set
	done   chan struct{}
	disk   *disk
	held   atomic.Int64 // bytes of log in no file and not on their way to one
	drops  drops

	mu      sync.Mutex
	queue   []fork
	asleep  bool // the thread waits and must be woken
	stopped bool

	// For the thread only.
	entries map[int32]entry // by file descriptor
	room    []byte
	flushes []*Process // in order of flushAt: all wait equally long
	drains  []*Process // in order of closeAt, likewise
	blocked []*Process // in order of giveUp, likewise
	pids    map[int]struct{}
	sweepAt time.Time // when to look for orphans; zero: never
	rights  rights    // that its children do not get
	// children tells this process's children; -1: it cannot be known.
	children int
}

// Process is one running process group.
type Process struct {
	events Events
	pid    int
	log    logWriter
	group  *cgroup.Group // nil: none, or reaped
	mark   string
	report report

	mu     sync.Mutex // guards reaped: a signal after the reaping could meet a stranger
	reaped bool

	// For the runner's thread only.
	pipes   [2]int // -1: closed
	pidfd   int    // -1: reaped
	status  syscall.WaitStatus
	ended   time.Time
	flushAt time.Time // zero: nothing to flush
	held    int       // bytes of its log that count as held
	closeAt time.Time // when the pipes are given up; zero: still running
	left    bool      // they were
	giveUp  time.Time // until when it waits for the disk; zero: it does not
	hasty   bool      // it has waited, and does so no more until the disk takes something

	outOfMemory bool
}

// entry is what a file descriptor in the epoll set stands for: one of a
// process's pipes, or (2) its pidfd.
type entry struct {
	process *Process
	kind    int
}

const kindProcess = 2

// fork is what the thread is asked for: a process, or do.
type fork struct {
	spec   Spec
	events Events
	do     func()
}

// New makes a Runner and starts its thread. Stop ends it.
func New(config Config) (*Runner, error) {
	if config.FlushEvery <= 0 {
		config.FlushEvery = 250 * time.Millisecond
	}
	if config.LogMemory <= 0 {
		config.LogMemory = 8 << 20
	}
	if config.BlockFor <= 0 {
		config.BlockFor = 3 * time.Second
	}
	if config.DrainFor <= 0 {
		config.DrainFor = 500 * time.Millisecond
	}
	if config.Groups == nil {
		config.Groups = nobody{}
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	r := &Runner{config: config, epoll: -1, wake: -1, children: -1, entries: map[int32]entry{}, pids: map[int]struct{}{}, room: make([]byte, 64<<10), done: make(chan struct{})}
	r.disk = newDisk(r.rouse)
	if err := r.open(); err != nil {
		r.closeAll()
		return nil, fault.Wrap(err, fault.Internal, "the runner of processes cannot begin; look for a limit on open files")
	}
	go r.disk.run()
	if config.Thread == nil {
		config.Thread = func(loop func()) { go loop() }
	}
	config.Thread(r.loop)
	return r, nil
}

func (r *Runner) open() (err error) {
	if r.null, err = os.Open(os.DevNull); err != nil {
		return err
	}
	if r.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	if r.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return err
	}
	r.adoptOrphans()
	return r.watch(r.wake, entry{})
}

func (r *Runner) closeAll() {
	if r.null != nil {
		r.null.Close()
	}
	for _, fd := range []int{r.epoll, r.wake, r.children} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

type nobody struct{}

func (nobody) Add(int)    {}
func (nobody) Remove(int) {}

// Start runs a process in a group of its own, its input /dev/null. It returns
// before there is one: Started tells.
func (r *Runner) Start(spec Spec, events Events) error {
	return r.queued(fork{spec: spec, events: events})
}

// queued hands the thread something to do.
func (r *Runner) queued(f fork) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return fault.New(fault.Unavailable, "start %q: the runner has been stopped", f.spec.Path)
	}
	r.queue = append(r.queue, f)
	r.nudge()
	return nil
}

// nudge wakes the thread. The lock is held.
func (r *Runner) nudge() {
	if r.asleep {
		r.asleep = false
		r.rouse()
	}
}

// rouse has the thread look around, asleep or not.
func (r *Runner) rouse() { _, _ = unix.Write(r.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }

// Hold counts bytes of log that are kept in memory beside those the runner has;
// negative: that an Exit.Log is kept no longer.
func (r *Runner) Hold(bytes int) { r.held.Add(int64(bytes)) }

// Stop ends the runner. The processes should have ended before: the rest are
// killed without further events.
func (r *Runner) Stop() {
	r.mu.Lock()
	r.stopped = true
	r.nudge()
	r.mu.Unlock()
	<-r.done
}

// Pid is the id of the process and of its group.
func (p *Process) Pid() int { return p.pid }

// Signal sends a signal to the whole group, unless its leader has ended;
// SIGKILL to all of its cgroup, too.
func (p *Process) Signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return
	}
	if p.group != nil && sig == syscall.SIGKILL {
		_ = p.group.Kill() // what stays in the process group is killed all the same
	}
	_ = syscall.Kill(-p.pid, sig)
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
	files := []uintptr{r.null.Fd(), uintptr(out[1]), uintptr(errs[1])}
	if f.spec.Script != "" {
		script, err := inMemory(f.spec.Script)
		if err != nil {
			unix.Close(out[0])
			unix.Close(errs[0])
			return nil, fmt.Errorf("script: %w", err)
		}
		defer unix.Close(script)
		files = append(files, uintptr(script))
	}
	p := &Process{events: f.events, pipes: [2]int{out[0], errs[0]}, mark: f.spec.Mark, report: f.spec.report()}
	if err := r.exec(&f.spec, p, files); err != nil {
		unix.Close(out[0])
		unix.Close(errs[0])
		return nil, err
	}
	p.log = newLog(f.spec.Log, f.spec.LogMax, f.spec.Masked)
	p.log.files.drops = &r.drops
	if err := r.follow(p); err != nil { // nobody would see its end
		_ = syscall.Kill(-p.pid, syscall.SIGKILL)
		r.config.Groups.Remove(p.pid)
		_, _ = syscall.Wait4(p.pid, nil, 0, nil)
		r.clear(p)
		for _, fd := range []int{out[0], errs[0], p.pidfd} {
			delete(r.entries, int32(fd))
			unix.Close(fd)
		}
		return nil, err
	}
	return p, nil
}

// inMemory makes a file without a name.
func inMemory(text string) (fd int, err error) {
	if fd, err = unix.MemfdCreate("script", unix.MFD_CLOEXEC); err != nil {
		return -1, err
	}
	for rest := []byte(text); len(rest) > 0; {
		n, err := unix.Write(fd, rest)
		if err != nil {
			unix.Close(fd)
			return -1, err
		}
		rest = rest[n:]
	}
	return fd, nil
}

// follow puts a new process under the thread's eyes.
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
	r.entries[int32(fd)] = e
	return unix.EpollCtl(r.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

// forget closes a descriptor that is watched. That takes it out of the epoll
// set as well, for it has no duplicates.
func (r *Runner) forget(fd int) {
	if _, known := r.entries[int32(fd)]; known {
		delete(r.entries, int32(fd))
		unix.Close(fd)
	}
}
