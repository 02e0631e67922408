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
	running  int // attempts without a saved result
	unsaved  []*kept
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
	k.idle = time.AfterFunc(config.IdleExit, k.checkIdle)
	go k.saver()
	k.wakeSaver()
	config.Logger.Info("keeper started", "incarnation", k.incarnation, "pid", os.Getpid(),
		"finished", len(finished), "lost", len(lost))
	return k, nil
}

// adopt puts an ended attempt of a predecessor into the books.
func (k *Keeper) adopt(m *wire.KeptAttempt) *kept {
	a := &kept{keeper: k, key: attempt.KeyOf(m.Ref), result: m.Result, logBytes: m.LogBytes, dead: make(chan struct{})}
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
	k.mu.Unlock()
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

func (k *Keeper) wakeSaver() {
	select {
	case k.save <- struct{}{}:
	default:
	}
}

// saveEvery is the least time from one batch of results to the next when there
// is a crowd: then many share the cost of the disk, of a report and of its
// answer. Alone, a result is saved at once.
const saveEvery = 10 * time.Millisecond

// crowd says whether attempts run that could end in time for the next batch.
func (k *Keeper) crowd() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.running > len(k.unsaved)
}

// saver makes results durable, all that wait in one batch, and only then
// announces them. A full disk delays the announcement, it loses nothing.
func (k *Keeper) saver() {
	for last := (time.Time{}); ; last = time.Now() {
		select {
		case <-k.save:
		case <-k.quit:
			return
		}
		if wait := saveEvery - time.Since(last); wait > 0 && k.crowd() {
			select {
			case <-time.After(wait):
			case <-k.quit:
				return
			}
		}
		k.mu.Lock()
		batch := k.unsaved
		k.unsaved = nil
		list := make([]*wire.KeptAttempt, len(batch))
		for i, a := range batch {
			list[i] = &wire.KeptAttempt{Ref: a.key.Ref(), Result: a.result, LogBytes: a.logBytes}
		}
		k.mu.Unlock()
		if len(batch) == 0 {
			continue
		}
		for _, a := range batch { // before the saving: it may need the room on the disk
			if a.folder != nil {
				k.folders.give(a.folder, !a.left)
			}
		}
		for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
			err := k.store.save(list)
			if err == nil {
				break
			}
			k.config.Logger.Error("results cannot be saved; the keeper tries again", "results", len(list), "error", err)
			select {
			case <-time.After(pause):
			case <-k.quit:
				return
			}
		}
		k.saved(batch)
	}
}

func (k *Keeper) saved(batch []*kept) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, a := range batch {
		a.running = false
		k.running--
		k.changed(a)
	}
	if k.running == 0 {
		k.idle.Reset(k.config.IdleExit)
	}
}
