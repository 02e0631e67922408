package keeper

import (
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"backfleet/agent/cgroup"
	"backfleet/agent/runner"
	"backfleet/pkg/fault"
)

const (
	// beatEvery is how often the keeper shows the guard that it is awake.
	beatEvery = 500 * time.Millisecond
	// beatsMissed in a row mean that the keeper hangs. Together they stay well
	// under the margin of a lease (3 s), so that a stopped keeper cannot let a
	// lease end unnoticed.
	beatsMissed = 4
	// mostGroups bounds the process groups told to the guard; more of them than
	// an agent may have slots. One that finds no room is known by its mark only.
	mostGroups = 1 << 17
	boardBytes = 4 * (2 + mostGroups)
)

// board is memory that keeper and guard share, and that outlives the keeper:
// telling the guard of a group costs no system call and does not wake it.
type board struct {
	beat   *atomic.Uint32  // changes while the keeper is awake
	used   *atomic.Uint32  // of groups, counted from the first
	groups []atomic.Uint32 // 0: none
}

// openBoard maps the file that both have open.
func openBoard(fd int) (*board, error) {
	memory, err := unix.Mmap(fd, 0, boardBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	words := unsafe.Slice((*atomic.Uint32)(unsafe.Pointer(&memory[0])), boardBytes/4)
	return &board{beat: &words[0], used: &words[1], groups: words[2:]}, nil
}

// guard is the keeper's side of the guard process.
type guard struct {
	command     []string
	incarnation string
	logger      *slog.Logger
	file        *os.File // the board's, without a name
	kill        *os.File // see cgroup.Finish
	board       *board

	mu      sync.Mutex
	places  map[int]int // on the board, by group
	free    []int       // places given back
	pipe    *os.File    // its end of file is the keeper's
	pid     int
	stopped bool
	quit    chan struct{}
}

// startGuard starts the guard of a keeper. One that a keeper before this one has
// in this process watches until the new one does; from is nil when there is
// none.
func startGuard(command []string, incarnation string, cgroups *cgroup.Tree, from *guardState, logger *slog.Logger) (*guard, error) {
	kill, err := killFile(cgroups)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "keeper: its guard could not kill the attempts' cgroups")
	}
	g := &guard{command: command, incarnation: incarnation, logger: logger, kill: kill, places: map[int]int{}, quit: make(chan struct{})}
	if from == nil {
		fd, err := unix.MemfdCreate("groups", unix.MFD_CLOEXEC)
		if err != nil {
			return nil, fault.Wrap(err, fault.Internal, "keeper: no memory to share with its guard")
		}
		from = &guardState{Board: fd, Pipe: -1}
	}
	g.file = os.NewFile(uintptr(from.Board), "groups")
	err = g.file.Truncate(boardBytes)
	if err == nil {
		g.board, err = openBoard(from.Board)
	}
	if err == nil {
		g.recall()
		go g.beat() // the guard before has missed a few
		err = g.launch()
	}
	if err != nil {
		g.file.Close()
		g.kill.Close()
		return nil, fault.Wrap(err, fault.Internal, "keeper: cannot start its guard")
	}
	from.dismiss()
	return g, nil
}

// killFile is what the guard ends the attempts' cgroups by.
func killFile(cgroups *cgroup.Tree) (*os.File, error) {
	if cgroups == nil {
		return os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	}
	return cgroups.KillFile()
}

// waitsFor says whether a child is the guard, whose end follow waits for.
func (g *guard) waitsFor(pid int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return pid == g.pid
}

// guardState is the guard as one keeper hands it to the next.
type guardState struct{ Board, Pipe, Pid int }

// state is what is handed over. The lock is held.
func (g *guard) state() guardState {
	return guardState{Board: int(g.file.Fd()), Pipe: int(g.pipe.Fd()), Pid: g.pid}
}

// dismiss lets the guard of the keeper before go.
func (s guardState) dismiss() {
	if s.Pipe < 0 {
		return
	}
	_, _ = unix.Write(s.Pipe, []byte("q"))
	unix.Close(s.Pipe)
	go func() { _, _ = unix.Wait4(s.Pid, nil, 0, nil) }()
}

// recall reads from the board which groups have a place there.
func (g *guard) recall() {
	for i := range int(g.board.used.Load()) {
		if pgid := g.board.groups[i].Load(); pgid != 0 {
			g.places[int(pgid)] = i
		} else {
			g.free = append(g.free, i)
		}
	}
}

// launch starts a guard process. It is called before anybody else has g, or
// under the lock.
func (g *guard) launch() error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	cmd := exec.Command(g.command[0], append(append([]string(nil), g.command[1:]...), g.incarnation)...)
	cmd.Stdin, cmd.Stderr, cmd.ExtraFiles = r, os.Stderr, []*os.File{g.file, g.kill}
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a signal to the keeper's group must not reach it
	if err := cmd.Start(); err != nil {
		w.Close()
		return err
	}
	g.pipe, g.pid = w, cmd.Process.Pid
	go g.follow(cmd)
	return nil
}

// follow replaces a guard that died.
func (g *guard) follow(cmd *exec.Cmd) {
	err := cmd.Wait()
	for {
		g.mu.Lock()
		if g.stopped {
			g.mu.Unlock()
			return
		}
		g.logger.Warn("the keeper's guard ended; it is started again", "error", err)
		g.pipe.Close()
		err = g.launch()
		g.mu.Unlock()
		if err == nil {
			return
		}
		select {
		case <-time.After(time.Second):
		case <-g.quit:
			return
		}
	}
}

// Add implements runner.Groups.
func (g *guard) Add(pgid int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	place := int(g.board.used.Load())
	if n := len(g.free); n > 0 {
		place, g.free = g.free[n-1], g.free[:n-1]
	} else if place == mostGroups {
		return
	}
	g.places[pgid] = place
	g.board.groups[place].Store(uint32(pgid))
	g.board.used.Store(max(g.board.used.Load(), uint32(place+1)))
}

// Remove implements runner.Groups.
func (g *guard) Remove(pgid int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if place, ok := g.places[pgid]; ok {
		g.board.groups[place].Store(0)
		delete(g.places, pgid)
		g.free = append(g.free, place)
	}
}

func (g *guard) beat() {
	ticker := time.NewTicker(beatEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			g.board.beat.Add(1)
		case <-g.quit:
			return
		}
	}
}

// stop lets the guard go in peace.
func (g *guard) stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped {
		return
	}
	g.stopped = true
	close(g.quit)
	_, _ = g.pipe.Write([]byte("q"))
	g.pipe.Close()
	g.kill.Close()
	g.file.Close() // the board stays mapped: a late Remove must find it
}

// Guard is the guard process: it watches the board of the keeper's live process
// groups, in its file descriptor 3, and kills every one when input, a pipe from
// the keeper, says that the keeper is dead, or when it hangs with groups alive.
// File descriptor 4 is what their cgroups are killed by.
// It returns when the keeper takes its leave.
func Guard(input io.Reader, incarnation string) error {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	keeper := os.Getppid()
	board, err := openBoard(3)
	if err != nil {
		return fault.Wrap(err, fault.Internal, "guard: expected the keeper's shared memory as file descriptor 3")
	}
	left := make(chan bool)
	go func() {
		n, _ := input.Read(make([]byte, 1))
		left <- n > 0
	}()
	ticker := time.NewTicker(beatEvery)
	defer ticker.Stop()
	for beat, missed := uint32(0), 0; ; {
		select {
		case inPeace := <-left:
			if !inPeace {
				killAll(board.live(), incarnation, os.NewFile(4, "cgroups"))
			}
			return nil
		case <-ticker.C:
			if now := board.beat.Load(); now != beat {
				beat, missed = now, 0
				continue
			}
			// Counting ticks of one's own, not time: after a freeze of the whole
			// host both wake, and the keeper gets its chance.
			if missed++; missed > beatsMissed && len(board.live()) > 0 && os.Getppid() == keeper {
				_ = syscall.Kill(keeper, syscall.SIGKILL)
			}
		}
	}
}

// live gives the groups on the board.
func (b *board) live() []int {
	var groups []int
	for i := range min(b.used.Load(), mostGroups) {
		if pgid := b.groups[i].Load(); pgid > 1 {
			groups = append(groups, int(pgid))
		}
	}
	return groups
}

// killAll ends the cgroups, the process groups, and then every process that still
// carries the keeper's mark: one that left its group where there are no cgroups,
// or was forked so late that its group had not been told of.
func killAll(groups []int, incarnation string, cgroups *os.File) {
	_, _ = cgroups.WriteString("1")
	for _, pgid := range groups {
		_ = syscall.Kill(-pgid, syscall.SIGKILL)
	}
	for runner.KillMarked(KeeperVariable + "=" + incarnation) { // until a look finds none: they may fork meanwhile
		time.Sleep(5 * time.Millisecond)
	}
	cgroup.Finish(cgroups)
}
