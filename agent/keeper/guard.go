package keeper

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	// beatEvery is how often the keeper shows the guard that it is awake.
	beatEvery = 500 * time.Millisecond
	// beatsMissed in a row mean that the keeper hangs. Together they stay well
	// under the margin of a lease (3 s), so that a stopped keeper cannot let a
	// lease end unnoticed.
	beatsMissed = 4
)

// guard is the keeper's end of the pipe to the guard process.
type guard struct {
	command     []string
	incarnation string
	logger      *slog.Logger

	mu      sync.Mutex
	groups  map[int]struct{}
	gone    []byte // "-pgid" lines, sent with the next line
	pipe    *os.File
	process *os.Process
	stopped bool
	quit    chan struct{}
}

func startGuard(command []string, incarnation string, logger *slog.Logger) (*guard, error) {
	g := &guard{command: command, incarnation: incarnation, logger: logger, groups: map[int]struct{}{}, quit: make(chan struct{})}
	if err := g.launch(); err != nil {
		return nil, err
	}
	go g.beat()
	return g, nil
}

// launch starts a guard process and tells it all live groups. It is called
// before anybody else has g, or under the lock.
func (g *guard) launch() error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	cmd := exec.Command(g.command[0], append(append([]string(nil), g.command[1:]...), g.incarnation)...)
	cmd.Stdin, cmd.Stderr = r, os.Stderr
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a signal to the keeper's group must not reach it
	if err := cmd.Start(); err != nil {
		w.Close()
		return fmt.Errorf("keeper: cannot start its guard: %w", err)
	}
	g.pipe, g.process, g.gone = w, cmd.Process, nil
	for pgid := range g.groups {
		g.send(fmt.Appendf(nil, "+%d\n", pgid))
	}
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
	g.groups[pgid] = struct{}{}
	g.send(fmt.Appendf(nil, "+%d\n", pgid))
}

// Remove implements runner.Groups. The line waits for the next one: process
// ids do not come round within a beat.
func (g *guard) Remove(pgid int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.groups, pgid)
	g.gone = fmt.Appendf(g.gone, "-%d\n", pgid)
}

// send writes to the guard. A guard that does not read is replaced.
func (g *guard) send(line []byte) {
	_ = g.pipe.SetWriteDeadline(time.Now().Add(time.Second))
	if _, err := g.pipe.Write(append(g.gone, line...)); err != nil {
		_ = g.process.Kill()
	}
	g.gone = g.gone[:0]
}

func (g *guard) beat() {
	ticker := time.NewTicker(beatEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			g.mu.Lock()
			g.send([]byte(".\n"))
			g.mu.Unlock()
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
	g.send([]byte("q\n"))
	g.pipe.Close()
}

// Guard is the guard process: it reads the keeper's live process groups from
// input and kills every one when the keeper dies, or hangs with groups alive.
// It returns when the keeper takes its leave.
func Guard(input io.Reader, incarnation string) {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	keeper := os.Getppid()
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(input); s.Scan(); {
			lines <- s.Text()
		}
	}()
	ticker := time.NewTicker(beatEvery)
	defer ticker.Stop()
	groups, missed := map[int]struct{}{}, 0
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				killAll(groups, incarnation)
				return
			}
			missed = 0
			pgid, _ := strconv.Atoi(line[min(1, len(line)):])
			switch {
			case line == "q":
				return
			case pgid <= 1: // a beat
			case line[0] == '+':
				groups[pgid] = struct{}{}
			case line[0] == '-':
				delete(groups, pgid)
			}
		case <-ticker.C:
			// Counting ticks of one's own, not time: after a freeze of the whole
			// host both wake, and the keeper gets its chance.
			if missed++; missed > beatsMissed && len(groups) > 0 && os.Getppid() == keeper {
				_ = syscall.Kill(keeper, syscall.SIGKILL)
			}
		}
	}
}

// killAll ends the groups and then every process that still carries the
// keeper's mark: one that left its group, or was forked so late that its group
// had not been told of.
func killAll(groups map[int]struct{}, incarnation string) {
	for pgid := range groups {
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
