// Package keeper is the process that owns the attempts: their parent, the
// keeper of their leases' ends, and of their results until these are safe
// elsewhere (RULES R13.2). It outlives the agent's session process and is
// found again over a socket in its folder. See DESIGN.md.
package keeper

import (
	"context"
	"crypto/rand"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"backfleet/agent/attempt"
	"backfleet/agent/runner"
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
	// Version is told to the session.
	Version string
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
	lock, err := await(ctx, filepath.Join(config.Dir, "lock"))
	if err != nil {
		return err
	}
	defer lock.Close()
	k, err := open(config)
	if err != nil {
		return err
	}
	defer k.close()
	return k.serve(ctx)
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

func open(config Config) (*Keeper, error) {
	k := &Keeper{
		config:      config,
		incarnation: rand.Text(),
		attempts:    map[attempt.Key]*kept{},
		newest:      map[attempt.Instance]*kept{},
		groups:      map[string]*group{},
		watchers:    map[*watcher]struct{}{},
		save:        make(chan struct{}, 1),
		quit:        make(chan struct{}),
	}
	var err error
	if k.folders, err = openFolders(filepath.Join(config.Dir, "work")); err != nil {
		return nil, fault.Wrap(err, fault.Internal, "keeper: cannot make its folder")
	}
	var finished, lost []*wire.KeptAttempt
	if k.store, finished, lost, err = openStore(config.Dir, time.Now(), config.Logger); err != nil {
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
	if k.guard, err = startGuard(config.GuardCommand, k.incarnation, config.Logger); err != nil {
		return nil, err
	}
	if k.runner, err = runner.New(runner.Config{Groups: k.guard, Logger: config.Logger}); err != nil {
		k.guard.stop()
		return nil, err
	}
	for _, m := range finished {
		k.runner.Hold(len(m.Log))
	}
	k.idle = time.AfterFunc(config.IdleExit, k.checkIdle)
	go k.saver()
	go k.store.syncer(k.quit)
	k.wakeSaver()
	config.Logger.Info("keeper started", "incarnation", k.incarnation, "pid", os.Getpid(),
		"finished", len(finished), "lost", len(lost))
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
	k.guard.stop()
	k.store.close()
}

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
