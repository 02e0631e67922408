// Package raftnode runs one member of the replicated log: the transport, the
// log and snapshots on disk, proposals, reads, leadership as a scope, and
// membership. It is the only package that touches *raft.Raft; what the log
// means is the FSM's business.
package raftnode

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"backfleet/pkg/fault"
	"backfleet/pkg/mtls"
	"backfleet/pkg/obs"
	"backfleet/pkg/obs/bridge"

	"github.com/hashicorp/raft"
)

// Config says how a node runs. ID and FSM are required, and either DataDir or
// Folder unless the stores are injected, and Listen unless Transport is.
type Config struct {
	// ID names this coordinator, uniquely and for ever.
	ID string
	// DataDir is claimed by Open and given up by Stop. Use Folder instead
	// when other stores of the coordinator must open before the log.
	DataDir string
	// Folder is a claimed data folder, closed by who claimed it.
	Folder *Folder
	// Listen is the host:port the transport listens on; port 0 takes any.
	Listen string
	// Advertise is the host:port other coordinators dial; default: Listen.
	Advertise string
	// Bootstrap starts a new cluster of this one coordinator when the folder
	// is empty, and is ignored otherwise. Without it an empty node waits
	// until a leader adds it.
	Bootstrap bool
	// AwaitAdmission has a node with an empty folder neither hear nor answer others
	// until Admit: who has lost its log must not vote as if it had one.
	AwaitAdmission bool
	// TLS secures the transport; nil: plain TCP. Each certificate carries the
	// DNS name mtls.CoordinatorName(ID).
	TLS *mtls.Material
	// Profile is ProfileLAN (default) or ProfileWAN.
	Profile string
	// Compaction bounds the log on disk.
	Compaction Compaction
	FSM        FSM
	Logger     *slog.Logger // default: none

	// For simulation and fault injection; each replaces the real part.
	Transport     raft.Transport
	LogStore      raft.LogStore
	StableStore   raft.StableStore
	SnapshotStore raft.SnapshotStore
	// DiskPatience bounds one write to the log; default 5 s.
	DiskPatience time.Duration

	// For tests of this package.
	leaderSignals <-chan bool // replace raft's own
	walSegment    int         // bytes of a log segment
}

// Node is a running member. All methods are safe for concurrent use.
type Node struct {
	id      string
	log     *slog.Logger
	timing  timing
	raft    *raft.Raft
	machine *machine
	reached *progress
	trans   *peers
	disk    *guardedLog
	folder  *Folder // nil without a data folder
	ours    bool    // the folder is ours to close
	pass    *passport
	retired atomic.Bool
	stores  *stores

	flight     chan struct{} // a token per proposal in flight
	waiting    atomic.Int32  // proposals that wait for such a token
	staging    chan struct{} // held while one proposal is staged
	freezing   chan struct{} // held while a snapshot is taken
	compaction Compaction
	reloading  sync.Mutex
	leads      atomic.Bool // by raft's last signal
	reads      readRounds
	leading    leadership

	mu       sync.Mutex
	failure  error
	failed   chan struct{} // closed with failure set
	stopping chan struct{} // no new work
	dead     chan struct{} // raft answers nothing any more
	stopOnce sync.Once
	stopped  chan struct{}
	stopErr  error
	tasks    sync.WaitGroup
}

// Open starts a node. A data folder that is in use, of another coordinator,
// of a newer version or broken is refused (fault.Conflict, fault.Corrupt)
// with the folder's name and what to do, and left as it is.
func Open(cfg Config) (*Node, error) {
	t, err := timingOf(cfg.Profile)
	if err != nil {
		return nil, err
	}
	if cfg.ID == "" || cfg.FSM == nil {
		return nil, fault.New(fault.Invalid, "a coordinator needs an id and a state machine")
	}
	if cfg.Logger == nil {
		cfg.Logger = obs.Discard()
	}
	if cfg.DiskPatience == 0 {
		cfg.DiskPatience = diskPatience
	}
	n := &Node{
		id: cfg.ID, log: cfg.Logger, timing: t, reached: &progress{}, compaction: cfg.Compaction.complete(),
		flight: make(chan struct{}, maxInFlight), staging: make(chan struct{}, 1), freezing: make(chan struct{}, 1),
		failed: make(chan struct{}), stopping: make(chan struct{}), dead: make(chan struct{}), stopped: make(chan struct{}),
	}
	n.leading.changed = make(chan struct{})
	if err := n.open(cfg); err != nil {
		n.release()
		return nil, err
	}
	if cfg.leaderSignals == nil {
		cfg.leaderSignals = n.raft.LeaderCh()
	}
	n.tasks.Go(func() { n.followLeadership(cfg.leaderSignals) })
	n.tasks.Go(n.watchFailure)
	n.tasks.Go(n.compact)
	return n, nil
}

func (n *Node) open(cfg Config) error {
	walDir, err := n.openStores(cfg)
	if err != nil {
		return err
	}
	if n.pass, err = n.passport(cfg); err != nil {
		return err
	}
	if n.trans, err = openTransport(cfg, n.pass, n.log); err != nil {
		return err
	}
	n.disk = guardLog(n.stores.logs, n.stores.tail, walDir, cfg.DiskPatience, n.fail)
	n.trans.lastLog = func() uint64 { last, _ := n.disk.LastIndex(); return last }
	n.machine = &machine{fsm: cfg.FSM, halt: n.fail, reached: n.reached, frozen: n.disk.tail.mark, applied: (&teller{node: n}).committed}
	rc := raftConfig(cfg.ID, n.timing, bridge.HCLog(n.log, "raft"))
	if cfg.Bootstrap {
		if err := n.bootstrap(rc); err != nil {
			return err
		}
	}
	n.raft, err = raft.NewRaft(rc, n.machine, n.disk, n.stores.stable, n.stores.snapshots, n.trans)
	if err != nil {
		return fault.Wrap(err, fault.Corrupt, "data folder %s: cannot be started from; restore it from a backup, or join a new coordinator, with an id of its own, on an empty one", walDir)
	}
	n.trans.own.Store(n.raft)
	return nil
}

func (n *Node) openStores(cfg Config) (dir string, err error) {
	if cfg.LogStore != nil {
		n.stores = &stores{logs: cfg.LogStore, stable: cfg.StableStore, snapshots: cfg.SnapshotStore, close: func() error { return nil }}
		n.stores.tail, err = verifyLog(cfg.LogStore, cfg.SnapshotStore)
		return "", err
	}
	if n.folder = cfg.Folder; n.folder == nil {
		if n.folder, err = Claim(cfg.DataDir, cfg.ID); err != nil {
			return "", err
		}
		n.ours = true
	}
	n.stores, err = openStores(n.folder, cmp.Or(cfg.walSegment, walSegment), n.log)
	return filepath.Join(n.folder.Dir, "wal"), err
}

// bootstrap makes this node the only voter of a new cluster, once.
func (n *Node) bootstrap(rc *raft.Config) error {
	exists, err := raft.HasExistingState(n.stores.logs, n.stores.stable, n.stores.snapshots)
	if err != nil || exists {
		return err
	}
	self := raft.Server{Suffrage: raft.Voter, ID: rc.LocalID, Address: n.trans.LocalAddr()}
	return raft.BootstrapCluster(rc, n.disk, n.stores.stable, n.stores.snapshots, n.trans, raft.Configuration{Servers: []raft.Server{self}})
}

// fail stops the node for good: its disk or its state can no longer be
// trusted. Raft is stopped at once, so that another coordinator leads.
func (n *Node) fail(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.failure != nil {
		return
	}
	n.failure = err
	close(n.failed)
	n.log.Error("coordinator stops", "error", err)
}

// watchFailure stops raft when the node fails, so that another coordinator
// leads. fail itself runs on raft's own goroutines, which must not wait here.
func (n *Node) watchFailure() {
	select {
	case <-n.failed:
		_ = n.trans.Close()
		n.raft.Shutdown()
	case <-n.stopping:
	}
}

// Failed is closed when the node cannot go on: the log's disk failed or hangs,
// or an entry could not be applied. Err says why; the process should end.
func (n *Node) Failed() <-chan struct{} { return n.failed }

// Err is why Failed is closed, nil before.
func (n *Node) Err() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.failure
}

// unavailable is the refusal of a node that is stopping or has failed, nil
// for one in service.
func (n *Node) unavailable() error {
	if err := n.Err(); err != nil {
		return fault.New(fault.Unavailable, "coordinator %s has failed (%v); ask another one", n.id, err)
	}
	select {
	case <-n.stopping:
		return fault.New(fault.Unavailable, "coordinator %s is stopping; ask another one", n.id)
	default:
		return nil
	}
}

// Address is what other coordinators dial.
func (n *Node) Address() string { return string(n.trans.LocalAddr()) }

// ID is this coordinator's own.
func (n *Node) ID() string { return n.id }

// stopGrace is what the unskippable part of Stop gets when ctx is over.
const stopGrace = 5 * time.Second

// Stop ends the node: no new proposals, leadership scopes cancelled and
// joined, proposals in flight awaited, leadership handed over, then transport,
// raft, and stores. Once ctx is over the courtesies are skipped, so that a
// cancelled ctx stops abruptly. A second call waits for the first. Should raft
// not end (a disk that hangs), the stores stay open and the error says so:
// the process must end.
func (n *Node) Stop(ctx context.Context) error {
	n.stopOnce.Do(func() {
		go func() {
			defer close(n.stopped)
			n.stopErr = n.stop(ctx)
		}()
	})
	<-n.stopped
	return n.stopErr
}

func (n *Node) stop(ctx context.Context) error {
	close(n.stopping)
	n.leading.end()
	n.leading.join(ctx)
	for range maxInFlight { // holding every token means nothing is in flight
		select {
		case n.flight <- struct{}{}:
			continue
		case <-ctx.Done():
		case <-n.failed:
		}
		break
	}
	if ctx.Err() == nil && n.Err() == nil && n.IsLeader() && n.otherVoters() {
		if err := n.transfer(ctx); err != nil {
			n.log.Warn("stopping without handing leadership over", "error", err)
		}
	}
	_ = n.trans.Close()
	shutdown := n.raft.Shutdown()
	final, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
	defer cancel()
	if err := await(final, nil, shutdown); err != nil {
		close(n.dead)
		return fault.Wrap(err, fault.Timeout, "coordinator %s: the log did not come to rest within %s; end the process", n.id, stopGrace)
	}
	close(n.dead)
	n.tasks.Wait()
	return n.release()
}

func (n *Node) otherVoters() bool {
	for _, s := range n.raft.GetConfiguration().Configuration().Servers {
		if s.Suffrage == raft.Voter && s.ID != raft.ServerID(n.id) {
			return true
		}
	}
	return false
}

// release closes what is open below raft. Safe on a half-opened node.
func (n *Node) release() error {
	var errs []error
	if n.disk != nil {
		n.disk.close()
	}
	if n.trans != nil {
		errs = append(errs, n.trans.Close())
	}
	if n.stores != nil {
		if n.folder != nil && n.raft != nil && n.Err() == nil {
			errs = append(errs, n.folder.markEnd(n.stores.logs))
		}
		errs = append(errs, n.closeStores())
	}
	if n.ours && n.folder != nil {
		n.folder.Close()
	}
	return errors.Join(errs...)
}

// closeStores is bounded: closing waits for a write that may hang.
func (n *Node) closeStores() error {
	done := make(chan error, 1)
	go func() { done <- n.stores.close() }()
	select {
	case err := <-done:
		return err
	case <-time.After(stopGrace):
		return fault.New(fault.Timeout, "coordinator %s: the log did not close within %s; end the process", n.id, stopGrace)
	}
}

// await waits for a raft future, which cannot be cancelled: when ctx or dead
// ends first, its goroutine ends whenever raft answers.
func await(ctx context.Context, dead <-chan struct{}, f raft.Future) error {
	done := make(chan error, 1)
	go func() { done <- f.Error() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-dead:
		return raft.ErrRaftShutdown
	}
}
