package keeper

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

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
	board       *board

	mu      sync.Mutex
	places  map[int]int // on the board, by group
	free    []int       // places given back
	pipe    *os.File    // its end of file is the keeper's
	stopped bool
	quit    chan struct{}
}

func startGuard(command []string, incarnation string, logger *slog.Logger) (*guard, error) {
	g := &guard{command: command, incarnation: incarnation, logger: logger, places: map[int]int{}, quit: make(chan struct{})}
	fd, err := unix.MemfdCreate("groups", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "keeper: no memory to share with its guard")
	}
	g.file = os.NewFile(uintptr(fd), "groups")
	if err = g.file.Truncate(boardBytes); err == nil {
		g.board, err = openBoard(fd)
	}
	if err == nil {
		err = g.launch()
	}
	if err != nil {
		g.file.Close()
		return nil, fault.Wrap(err, fault.Internal, "keeper: cannot start its guard")
	}
	go g.beat()
	return g, nil
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
	cmd.Stdin, cmd.Stderr, cmd.ExtraFiles = r, os.Stderr, []*os.File{g.file}
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a signal to the keeper's group must not reach it
	if err := cmd.Start(); err != nil {
		w.Close()
		return err
	}
	g.pipe = w
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
	g.file.Close() // the board stays mapped: a late Remove must find it
}

// Guard is the guard process: it watches the board of the keeper's live process
// groups, in its file descriptor 3, and kills every one when input, a pipe from
// the keeper, says that the keeper is dead, or when it hangs with groups alive.
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
				killAll(board.live(), incarnation)
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

// killAll ends the groups and then every process that still carries the
// keeper's mark: one that left its group, or was forked so late that its group
// had not been told of.
func killAll(groups []int, incarnation string) {
	for _, pgid := range groups {
		_ = syscall.Kill(-pgid, syscall.SIGKILL)
	}
	mark := []byte(KeeperVariable + "=" + incarnation)
	for again := true; again; { // until a look finds none: they may fork meanwhile
		again = false
		entries, err := os.ReadDir("/proc")
		if err != nil {
			return
		}
		for _, e := range entries {
			pid, err := strconv.Atoi(e.Name())
			if err != nil || pid == os.Getpid() {
				continue
			}
			environment, err := os.ReadFile("/proc/" + e.Name() + "/environ")
			if err == nil && bytes.Contains(environment, mark) && syscall.Kill(pid, syscall.SIGKILL) == nil {
				again = true
			}
		}
		if again {
			time.Sleep(5 * time.Millisecond)
		}
	}
}
