// Package keeper is the process that owns the attempts: their parent, the
// keeper of their leases' ends, and of their results until these are safe
// elsewhere (RULES R13.2). It outlives the agent's session process and is
// found again over a socket in its folder. See DESIGN.md.
package keeper

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"backfleet/agent/account"
	"backfleet/agent/attempt"
	"backfleet/agent/cgroup"
	"backfleet/agent/runner"
	"backfleet/agent/stage"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// Config of a keeper process.
type Config struct {
	// Dir is the keeper's own folder. Required. One keeper per folder.
	Dir string
	// GuardCommand starts the guard: a program that calls Guard. Required.
	GuardCommand []string
	// IdleExit is how long nobody may be connected, with no attempt running,
	// before the keeper ends by itself. Default 60 s.
	IdleExit time.Duration
	// Grace between SIGTERM and SIGKILL after a timeout. Default 10 s (RULES
	// R13.8).
	Grace time.Duration
	// Cgroup is where attempts get cgroups: a folder, cgroup.Auto or cgroup.Off.
	// Default: cgroup.Auto.
	Cgroup string
	// Version is told to the session.
	Version string
	// Boot identifies the time since the host was started. Default: what the
	// kernel says.
	Boot string
	// Wall is the clock that people see. It is for results alone, and may jump:
	// what is decided, is by the monotonic clock. Default: time.Now.
	Wall func() time.Time
	// Logger. Default: slog's default.
	Logger *slog.Logger
}

func (c *Config) defaults() error {
	if c.Dir == "" {
		return fault.Field("keeper.dir", "expected the keeper's folder, found nothing")
	}
	if len(c.GuardCommand) == 0 {
		return fault.Field("keeper.guardCommand", "expected the command that starts the guard, found nothing")
	}
	if c.IdleExit <= 0 {
		c.IdleExit = time.Minute
	}
	if c.Grace <= 0 {
		c.Grace = 10 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Wall == nil {
		c.Wall = time.Now
	}
	if c.Boot == "" {
		c.Boot = Boot()
	}
	return nil
}

// Keeper is the state of a keeper process.
type Keeper struct {
	config      Config
	incarnation string
	runner      *runner.Runner
	guard       *guard
	store       *store
	folders     *folders
	programs    programs
	accounts    account.Cache
	cgroups     *cgroup.Tree // nil: there are none
	lock        *os.File     // of the folder
	listener    *net.UnixListener

	mu       sync.Mutex
	attempts map[attempt.Key]*kept
	newest   map[attempt.Instance]*kept
	groups   map[string]*group
	next     []launching // got their slots in this section of the lock
	running  int         // attempts without an announced result
	unsaved  []*kept
	untold   bool // something has begun that the watchers should hear of soon
	watchers map[*watcher]struct{}
	clients  int
	closing  bool // nothing starts any more
	frozen   bool // nothing gets a slot, for another program is about to go on
	idle     *time.Timer

	save chan struct{} // wakes the saver
	quit chan struct{} // closed once: serve no longer
	once sync.Once
}

// Run is the keeper process: it takes the folder, records what a predecessor
// lost, and serves until it is idle, told to quit, or ctx ends; then it stops
// its attempts, with grace, and saves their results first.
func Run(ctx context.Context, config Config) error {
	if err := config.defaults(); err != nil {
		return err
	}
	if err := os.MkdirAll(config.Dir, 0o700); err != nil {
		return fault.Wrap(err, fault.Internal, "keeper: cannot make its folder")
	}
	from, err := inherited()
	if err != nil {
		return err
	}
	var lock *os.File
	if from != nil {
		lock = os.NewFile(uintptr(from.Lock), "lock")
	} else if lock, err = await(ctx, filepath.Join(config.Dir, "lock")); err != nil {
		return err
	}
	defer lock.Close()
	loops := make(chan func(), 1)
	k, err := open(config, lock, from, func(loop func()) { loops <- loop })
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		err := k.serve(ctx)
		k.close()
		ended <- err
	}()
	(<-loops)() // on this thread: see handover.go
	return <-ended
}

// dying bounds the wait for a killed predecessor: the kernel closes its files
// only when its last thread has ended.
const dying = time.Second

// await takes a lock file, with patience for a holder that is about to end.
func await(ctx context.Context, path string) (*os.File, error) {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for begin := time.Now(); ; {
		f, err := Lock(path)
		if err == nil || fault.CodeOf(err) != fault.Conflict || time.Since(begin) > dying {
			return f, err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil, err
		}
	}
}

// Lock takes a lock file for the life of the process, or says that another
// process has it.
func Lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "cannot open a lock file")
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fault.Wrap(err, fault.Conflict, "%s is held by another process: each agent needs a data folder of its own; "+
			"end the other one or choose another folder", path)
	}
	return f, nil
}

// open makes a keeper of what is in the folder, and of what the one before it in
// this process handed over. The runner's loop goes to thread.
func open(config Config, lock *os.File, from *handover, thread func(loop func())) (*Keeper, error) {
	k := &Keeper{
		config:      config,
		lock:        lock,
		incarnation: rand.Text(),
		attempts:    map[attempt.Key]*kept{},
		newest:      map[attempt.Instance]*kept{},
		groups:      map[string]*group{},
		watchers:    map[*watcher]struct{}{},
		save:        make(chan struct{}, 1),
		quit:        make(chan struct{}),
	}
	if from != nil {
		k.incarnation = from.Incarnation
	}
	var err error
	stage.NoCore()
	k.openCgroups(from)
	if k.guard, err = startGuard(config.GuardCommand, k.incarnation, k.cgroups, from.guard(), config.Logger); err != nil {
		return nil, err
	}
	if k.folders, err = openFolders(filepath.Join(config.Dir, "work"), from.folders()); err != nil {
		return nil, fault.Wrap(err, fault.Internal, "keeper: cannot make its folder")
	}
	cause, err := noteBoot(config.Dir, config.Boot)
	if err != nil {
		return nil, err
	}
	var finished, lost []*wire.KeptAttempt
	if k.store, finished, lost, err = openStore(config.Dir, from.keys(), config.Wall(), cause, config.Logger); err != nil {
		return nil, err
	}
	for _, m := range finished {
		k.adopt(m)
	}
	for _, m := range lost {
		a := k.adopt(m)
		k.running++
		k.unsaved = append(k.unsaved, a)
		a.running = true
	}
	if err := k.listen(from); err != nil {
		return nil, err
	}
	if k.runner, err = runner.New(runner.Config{Groups: k.guard, Cgroups: k.cgroups, Spare: k.spare(from), Thread: thread, Logger: config.Logger}); err != nil {
		return nil, err
	}
	for _, m := range finished {
		k.runner.Hold(len(m.Log))
	}
	k.idle = time.AfterFunc(config.IdleExit, k.checkIdle)
	if from != nil {
		if err := k.takeOver(from); err != nil {
			return nil, err
		}
	}
	go k.saver()
	go k.store.syncer(k.quit)
	k.wakeSaver()
	config.Logger.Info("keeper started", "incarnation", k.incarnation, "pid", os.Getpid(),
		"finished", len(finished), "lost", len(lost), "taken_over", len(from.keys()))
	return k, nil
}

// adopt puts an ended attempt of a predecessor into the books.
func (k *Keeper) adopt(m *wire.KeptAttempt) *kept {
	a := &kept{keeper: k, key: attempt.KeyOf(m.Ref), result: m.Result, logBytes: m.LogBytes, log: m.Log, dead: make(chan struct{})}
	close(a.dead)
	k.attempts[a.key] = a
	if n := k.newest[a.key.Of()]; n == nil || n.key.Fence < a.key.Fence {
		k.newest[a.key.Of()] = a
	}
	return a
}

// close ends the threads. Attempts have ended before.
func (k *Keeper) close() {
	k.idle.Stop()
	k.runner.Stop()
	if k.cgroups != nil {
		k.cgroups.Close()
	}
	k.guard.stop()
	k.store.close()
}

// unixMs is a moment on the wall clock as that stands now. So moments that are
// told together lie as far apart as they did, whatever it did between them.
func unixMs(now, at time.Time) int64 { return now.Add(-time.Since(at)).UnixMilli() }

// leave makes serve return.
func (k *Keeper) leave() { k.once.Do(func() { close(k.quit) }) }

// connected counts clients in and out.
func (k *Keeper) connected(by int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.clients += by
	k.idle.Reset(k.config.IdleExit)
}

// checkIdle runs IdleExit after the last change of clients or attempts.
func (k *Keeper) checkIdle() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.clients == 0 && k.running == 0 {
		k.closing = true
		k.config.Logger.Info("keeper leaves: nothing runs and nobody is connected")
		k.leave()
	}
}

// endAll stops every attempt and returns when their results are saved.
func (k *Keeper) endAll() {
	k.mu.Lock()
	k.closing = true
	for _, a := range k.attempts {
		a.end(wire.Outcome_LOST, "the keeper was told to end", k.config.Grace)
	}
	k.unlock()
	for {
		k.mu.Lock()
		w := k.watch()
		left := k.running
		k.mu.Unlock()
		if left > 0 {
			<-w.wake
		}
		k.unwatch(w)
		if left == 0 {
			return
		}
	}
}
