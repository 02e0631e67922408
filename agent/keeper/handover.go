package keeper

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"backfleet/agent/attempt"
	"backfleet/agent/monotonic"
	"backfleet/agent/runner"
	"backfleet/pkg/fault"
	"backfleet/pkg/slack"
	"backfleet/pkg/wire"
)

// A keeper is replaced by one of another binary without an end of the attempts:
// it executes the other program in its place. The process stays, and with it
// what is tied to it: the attempts are its children, it has their pipes, its
// lock and its socket. What the new program must know beside that, and beside
// the journal, is in a file in memory.
//
// The kernel sends the parent death signal when the thread that forked ends. Of
// all threads only the one that executes the other program does not, and it is
// the new program's main thread then. So in a keeper the main thread runs the
// runner from the beginning, and what it has forked is safe however often this
// is done.

const (
	// handoverFormat is that of handover. A keeper hands over only to a binary
	// that reads its own.
	handoverFormat = 1
	// handoverVariable names the descriptor of the file to the new program.
	handoverVariable = "BACKFLEET_KEEPER_HANDOVER"
	// threadVariable tells a keeper process to keep its main thread for the runner.
	threadVariable = "BACKFLEET_KEEPER_PROCESS"
	// settleWithin bounds the wait for processes that are being forked.
	settleWithin = 2 * time.Second
)

func init() {
	if os.Getenv(threadVariable) != "" {
		runtime.LockOSThread()
	}
}

// Successor is the program that a keeper is asked to give way to.
type Successor struct {
	Path   string   `json:"path"`
	Args   []string `json:"args"` // the first is the program's name
	Binary string   `json:"binary"`
	Format int      `json:"format"`
}

// successorKey is under which a call of Quit carries a Successor.
const successorKey = "backfleet-successor-bin"

// handover is what a keeper knows and its journal does not.
type handover struct {
	Format      int
	Incarnation string
	Lock        int // descriptors
	Listener    int
	Guard       guardState
	Cgroups     string   // the folder of theirs; empty: there are none
	Attempts    []handed // those that wait in the order of their line
}

// handed is an attempt whose result has not been announced. Moments are
// readings of CLOCK_MONOTONIC.
type handed struct {
	Key     attempt.Key
	Group   string
	Slots   int
	Weight  int
	Start   []byte // a StartAttempt; none: it has had its slot
	InLine  bool
	Slot    bool
	Ahead   bool
	Process *runner.State
	Folder  *handedFolder
	Left    bool

	Given, Started                      time.Duration
	Lease, Timeout, Kill, GiveUp, Limit time.Duration

	Verdict  wire.Outcome
	Cause    string
	Result   []byte // an AttemptResult; none: it runs
	LogBytes uint64
	Log      []byte
}

type handedFolder struct {
	Path string
	Of   owner
	Made syscall.Timespec
	Old  bool
}

// giveWay makes this process run another program, which goes on with the
// attempts. It returns only if that cannot be.
func (k *Keeper) giveWay(s Successor) error {
	switch {
	case s.Format != handoverFormat:
		return fault.New(fault.Conflict, "this keeper hands over in format %d, the other binary reads %d; it is replaced as soon as nothing runs", handoverFormat, s.Format)
	case s.Binary == Binary():
		return fault.New(fault.Conflict, "this keeper runs that binary already")
	}
	if err := k.freeze(); err != nil {
		return err
	}
	defer k.thaw()
	if err := k.settle(); err != nil {
		return err
	}
	return k.runner.Handover(func(states map[*runner.Process]runner.State) error { return k.execute(s, states) })
}

// freeze has no more attempts get a slot.
func (k *Keeper) freeze() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closing || k.frozen {
		return fault.New(fault.Unavailable, "the keeper is ending or being replaced already")
	}
	k.frozen = true
	return nil
}

func (k *Keeper) thaw() {
	k.mu.Lock()
	defer k.unlock()
	k.frozen = false
	for _, g := range k.groups {
		k.fill(g)
	}
}

// settle waits until no process is being forked.
func (k *Keeper) settle() error {
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for begin := time.Now(); k.forking(); <-ticker.C {
		if time.Since(begin) > settleWithin {
			return fault.New(fault.Timeout, "processes are being started for more than %s", settleWithin)
		}
	}
	return nil
}

func (k *Keeper) forking() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, a := range k.attempts {
		if a.running && !a.waits() && a.process == nil && a.result == nil {
			return true
		}
	}
	return false
}

// execute runs the other program with the locks held, so that nothing that was
// answered is missing from what it is told. It is called on the runner's thread.
func (k *Keeper) execute(s Successor, states map[*runner.Process]runner.State) error {
	if unix.Gettid() != os.Getpid() {
		return fault.New(fault.Conflict, "the keeper's attempts are not of its main thread, so they would end")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.store.mu.Lock()
	defer k.store.mu.Unlock()
	k.guard.mu.Lock()
	defer k.guard.mu.Unlock()
	socket, err := k.listener.File()
	if err != nil {
		return fault.Wrap(err, fault.Internal, "the keeper's socket cannot be handed over")
	}
	defer socket.Close()
	defer syscall.SetNonblock(int(socket.Fd()), true) // should this program go on with it: Fd made it block
	h := handover{Format: handoverFormat, Incarnation: k.incarnation, Lock: int(k.lock.Fd()), Listener: int(socket.Fd()), Guard: k.guard.state(), Cgroups: k.cgroupFolder()}
	if h.Attempts, err = k.handOut(states); err != nil {
		return err
	}
	file, err := h.write()
	if err != nil {
		return err
	}
	defer file.Close()
	syscall.ForkLock.Lock() // a guard that is just being started must not get the descriptors
	defer syscall.ForkLock.Unlock()
	open := append(h.descriptors(), int(file.Fd()))
	defer func() { _ = runner.KeepOpen(false, open...) }()
	if err := runner.KeepOpen(true, open...); err != nil {
		return err
	}
	k.config.Logger.Info("the keeper gives way to another binary", "binary", s.Binary, "attempts", len(h.Attempts))
	slack.Set(uintptr(time.Millisecond)) // for the threads that the new program begins with
	defer slack.Set(slack.Usual)
	err = syscall.Exec(s.Path, s.Args, append(os.Environ(), handoverVariable+"="+strconv.Itoa(int(file.Fd()))))
	return fault.Wrap(err, fault.Internal, "the keeper cannot be replaced by %s", s.Path)
}

// handOut gives the attempts that are not in the journal, or not as they stand.
// The lock is held.
func (k *Keeper) handOut(states map[*runner.Process]runner.State) (list []handed, err error) {
	inLine := map[*kept]bool{}
	add := func(a *kept) {
		h := handed{Key: a.key, Group: a.group.name, Slots: a.group.slots, Weight: a.weight, InLine: inLine[a], Slot: a.slot, Ahead: a.ahead, Left: a.left,
			Given: monotonic.Of(a.given), Started: monotonic.Of(a.started),
			Lease: a.lease, Timeout: a.timeout, Kill: a.kill, GiveUp: a.giveUp, Limit: a.limit,
			Verdict: a.verdict, Cause: a.cause, LogBytes: a.logBytes, Log: a.log}
		if a.folder != nil && a.result == nil {
			h.Folder = &handedFolder{a.folder.path, a.folder.of, a.folder.made, a.folder.old}
		}
		if s, ok := states[a.process]; ok && a.result == nil {
			h.Process = &s
		}
		var failed error
		if a.start != nil {
			h.Start, failed = proto.Marshal(a.start)
		}
		if a.result != nil && failed == nil {
			h.Result, failed = proto.Marshal(a.result)
		}
		if failed != nil {
			err = fault.Wrap(failed, fault.Internal, "attempt %s cannot be handed over", a.key)
		}
		list = append(list, h)
	}
	for _, g := range k.groups {
		for _, a := range g.waiting {
			inLine[a] = true
			add(a)
		}
	}
	for _, a := range k.attempts {
		if a.running && !inLine[a] {
			add(a)
		}
	}
	return list, err
}

// write puts it into a file in memory.
func (h handover) write() (*os.File, error) {
	data, err := json.Marshal(h)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the keeper's attempts cannot be handed over")
	}
	fd, err := unix.MemfdCreate("handover", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "no memory to hand the attempts over in")
	}
	file := os.NewFile(uintptr(fd), "handover")
	if _, err := file.WriteAt(data, 0); err != nil {
		file.Close()
		return nil, fault.Wrap(err, fault.Internal, "the keeper's attempts cannot be handed over")
	}
	return file, nil
}

// descriptors are those that the other program needs.
func (h handover) descriptors() []int {
	list := []int{h.Lock, h.Listener, h.Guard.Board, h.Guard.Pipe}
	for _, a := range h.Attempts {
		if a.Process != nil {
			list = append(list, a.Process.Descriptors()...)
		}
	}
	return list
}

// inherited reads what the keeper before in this process has handed over; nil:
// there was none.
func inherited() (*handover, error) {
	text := os.Getenv(handoverVariable)
	if text == "" {
		return nil, nil
	}
	if err := os.Unsetenv(handoverVariable); err != nil {
		return nil, err
	}
	fd, err := strconv.Atoi(text)
	if err != nil {
		return nil, fault.New(fault.Internal, "%s: expected a descriptor, found %q", handoverVariable, text)
	}
	file := os.NewFile(uintptr(fd), "handover")
	defer file.Close()
	h := &handover{}
	data, err := io.ReadAll(io.NewSectionReader(file, 0, 1<<40))
	if err == nil {
		err = json.Unmarshal(data, h)
	}
	if err == nil && h.Format != handoverFormat {
		err = fmt.Errorf("expected format %d, found %d", handoverFormat, h.Format)
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Corrupt, "what the keeper before handed over cannot be read; its attempts end")
	}
	return h, runner.KeepOpen(false, h.descriptors()...)
}

// keys are the attempts in it.
func (h *handover) keys() map[attempt.Key]bool {
	if h == nil {
		return nil
	}
	keys := make(map[attempt.Key]bool, len(h.Attempts))
	for _, a := range h.Attempts {
		keys[a.Key] = true
	}
	return keys
}

// folders are the working folders in it.
func (h *handover) folders() map[string]bool {
	paths := map[string]bool{}
	if h == nil {
		return paths
	}
	for _, a := range h.Attempts {
		if a.Folder != nil {
			paths[a.Folder.Path] = true
		}
	}
	return paths
}

// guard is its guard; nil: it has none.
func (h *handover) guard() *guardState {
	if h == nil {
		return nil
	}
	return &h.Guard
}

// listen opens the keeper's socket, or goes on with the one that was handed
// over, on which somebody may be waiting.
func (k *Keeper) listen(from *handover) (err error) {
	if from != nil {
		file := os.NewFile(uintptr(from.Listener), socketName)
		defer file.Close()
		listener, err := net.FileListener(file)
		if err != nil {
			return fault.Wrap(err, fault.Internal, "keeper: cannot go on with its socket")
		}
		k.listener = listener.(*net.UnixListener)
		return nil
	}
	path, release, err := SocketPath(k.config.Dir, socketName)
	if err != nil {
		return err
	}
	defer release()
	_ = os.Remove(path) // a predecessor's; the lock says that it is gone
	if k.listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"}); err != nil {
		return fault.Wrap(err, fault.Internal, "keeper: cannot listen in its folder")
	}
	k.listener.SetUnlinkOnClose(false) // by then the path is another's; whoever comes next removes it
	if err := os.Chmod(path, 0o600); err != nil {
		k.listener.Close()
		return fault.Wrap(err, fault.Internal, "keeper: cannot close its socket to others")
	}
	return nil
}

// takeOver enters the attempts that were handed over into the books.
func (k *Keeper) takeOver(from *handover) error {
	k.mu.Lock()
	defer k.unlock()
	var all, loose []*kept
	for _, h := range from.Attempts {
		a, err := k.enterHanded(h)
		if err != nil {
			return err
		}
		if all = append(all, a); a.waits() && !h.InLine {
			loose = append(loose, a)
		}
	}
	if err := k.store.begin(loose, k.config.Wall()); err != nil { // it may have been about to be written
		return fault.Wrap(err, fault.Internal, "what was about to begin cannot be written down; look for a full disk")
	}
	for _, a := range loose {
		if before := k.older(all, a); before != nil {
			go k.enterAfter(before, a)
		} else {
			k.enter(a)
		}
	}
	for _, a := range all {
		if a.result != nil {
			continue
		}
		a.arm()
	}
	for _, g := range k.groups {
		k.fill(g)
	}
	return nil
}

// enterHanded makes an attempt of what was handed over. The lock is held.
func (k *Keeper) enterHanded(h handed) (*kept, error) {
	g := k.groups[h.Group]
	if g == nil {
		g = &group{name: h.Group}
		k.groups[h.Group] = g
	}
	g.slots = h.Slots
	a := &kept{keeper: k, key: h.Key, running: true, group: g, weight: h.Weight, slot: h.Slot, ahead: h.Ahead, left: h.Left,
		given: monotonic.Moment(h.Given), started: monotonic.Moment(h.Started), dead: make(chan struct{}),
		lease: h.Lease, timeout: h.Timeout, kill: h.Kill, giveUp: h.GiveUp, limit: h.Limit,
		verdict: h.Verdict, cause: h.Cause, logBytes: h.LogBytes, log: h.Log}
	if h.Slot {
		g.used += a.weight
	}
	if h.Folder != nil {
		a.folder = &folder{h.Folder.Path, h.Folder.Of, h.Folder.Made, h.Folder.Old}
	}
	k.attempts[a.key] = a
	if n := k.newest[a.key.Of()]; n == nil || n.key.Fence < a.key.Fence {
		k.newest[a.key.Of()] = a
	}
	k.running++
	var err error
	switch {
	case h.Result != nil:
		a.result = &wire.AttemptResult{}
		err = proto.Unmarshal(h.Result, a.result)
		close(a.dead)
		k.unsaved = append(k.unsaved, a)
		k.runner.Hold(len(a.log))
	case h.Start != nil:
		a.start = &wire.StartAttempt{}
		if err = proto.Unmarshal(h.Start, a.start); h.InLine {
			g.waiting = append(g.waiting, a)
		}
	case h.Process != nil:
		a.process, err = k.runner.Adopt(*h.Process, a)
	default:
		a.finish(wire.Outcome_LOST, 0, time.Now(), "its process was not handed over to the new keeper")
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Corrupt, "attempt %s was not handed over whole", a.key)
	}
	return a, nil
}

// older finds the attempt of the same instance whose end must be awaited.
func (k *Keeper) older(all []*kept, a *kept) *kept {
	i := slices.IndexFunc(all, func(b *kept) bool { return b.key.Of() == a.key.Of() && b.key.Fence < a.key.Fence && b.result == nil })
	if i < 0 {
		return nil
	}
	return all[i]
}
