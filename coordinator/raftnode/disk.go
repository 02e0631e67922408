package raftnode

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"backfleet/pkg/fault"

	"github.com/hashicorp/raft"
	"golang.org/x/sys/unix"
)

// diskPatience is how long a write to the log may take. Raft's leader loop
// waits inside the write while its heartbeats go on elsewhere, so without a
// bound a leader whose disk hangs would lead for ever and do nothing.
const diskPatience = 5 * time.Second

// guardedLog is the log as raft sees it. After the first failed or overdue
// write it refuses all others: what is on disk is then not what raft
// believes (the write may still land, or have landed in part), and only
// reading the log afresh, in a new process, can tell.
type guardedLog struct {
	raft.LogStore
	tail     *tail
	dir      string
	patience time.Duration
	onFail   func(error)

	jobs   chan diskJob
	closed chan struct{}
	once   sync.Once
	failed error // touched by raft's main goroutine and its snapshots: under mu
	mu     sync.Mutex
}

type diskJob struct {
	run  func() error
	done chan error // buffered: an overdue write must not block its goroutine
}

func guardLog(inner raft.LogStore, known *tail, dir string, patience time.Duration, onFail func(error)) *guardedLog {
	g := &guardedLog{LogStore: inner, tail: known, dir: dir, patience: patience, onFail: onFail, jobs: make(chan diskJob), closed: make(chan struct{})}
	go g.write()
	return g
}

func (g *guardedLog) write() {
	for {
		select {
		case job := <-g.jobs:
			job.done <- job.run()
		case <-g.closed:
			return
		}
	}
}

func (g *guardedLog) do(what string, run func() error) error {
	if err := g.failure(); err != nil {
		return err
	}
	err := g.answer(diskJob{run, make(chan error, 1)})
	if err == nil || errors.Is(err, raft.ErrRaftShutdown) {
		return err
	}
	err = fault.Wrap(err, fault.Unavailable, "the log in %s could not %s%s; this coordinator stops; see to the disk, then start it again", g.dir, what, g.space())
	g.mu.Lock()
	first := g.failed == nil
	if first {
		g.failed = err
	}
	g.mu.Unlock()
	if first {
		g.onFail(err)
	}
	return err
}

// answer has a job done, and waits for it no longer than the disk is given. That is
// counted in ticks, of which a process gets one for all the time that it stood still:
// one that was stopped for longer, or whose machine was, is not to take this for its
// disk's.
func (g *guardedLog) answer(job diskJob) error {
	const ticks = 10
	tick := time.NewTicker(g.patience / ticks)
	defer tick.Stop()
	jobs, closed := g.jobs, g.closed
	for left := ticks; left > 0; {
		select {
		case jobs <- job: // else another write is stuck
			jobs, closed = nil, nil
		case err := <-job.done:
			return err
		case <-tick.C:
			left--
		case <-closed:
			return raft.ErrRaftShutdown
		}
	}
	select {
	case err := <-job.done:
		return err
	default:
		return fmt.Errorf("no answer from the disk after %s", g.patience)
	}
}

func (g *guardedLog) failure() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.failed
}

// space words a full disk: raft-wal's own errors do not always name it.
func (g *guardedLog) space() string {
	var s unix.Statfs_t
	if g.dir == "" || unix.Statfs(g.dir, &s) != nil {
		return ""
	}
	if free := s.Bavail * uint64(s.Bsize); free < walSegment {
		return fmt.Sprintf(" (the disk is full: %d MiB free, a log segment needs %d)", free>>20, walSegment>>20)
	}
	return ""
}

func (g *guardedLog) StoreLog(l *raft.Log) error { return g.StoreLogs([]*raft.Log{l}) }

func (g *guardedLog) StoreLogs(logs []*raft.Log) error {
	err := g.do("be written", func() error { return g.LogStore.StoreLogs(logs) })
	if err == nil {
		g.tail.stored(logs)
	}
	return err
}

// GetLog serves the newest entries from memory.
func (g *guardedLog) GetLog(index uint64, l *raft.Log) error {
	if g.tail.get(index, l) {
		return nil
	}
	return g.LogStore.GetLog(index, l)
}

func (g *guardedLog) DeleteRange(lo, hi uint64) error {
	g.tail.deleted(lo, hi)
	return g.do("be shortened", func() error { return g.LogStore.DeleteRange(lo, hi) })
}

// IsMonotonic: raft must know that raft-wal takes no gaps.
func (g *guardedLog) IsMonotonic() bool {
	m, ok := g.LogStore.(raft.MonotonicLogStore)
	return ok && m.IsMonotonic()
}

func (g *guardedLog) close() { g.once.Do(func() { close(g.closed) }) }

// verifyLog reads the whole log and checks each entry, and that log and
// snapshots together reach back to the beginning: raft panics on the former
// and does not notice the latter. It gives what it found.
func verifyLog(logs raft.LogStore, snapshots raft.SnapshotStore) (*tail, error) {
	found := newTail()
	first, err := logs.FirstIndex()
	if err != nil {
		return nil, err
	}
	last, err := logs.LastIndex()
	if err != nil {
		return nil, err
	}
	var term uint64
	for i := first; i <= last && i > 0; i++ {
		var l raft.Log
		if err := logs.GetLog(i, &l); err != nil {
			return nil, fmt.Errorf("log entry %d cannot be read: %w", i, err)
		}
		if l.Index != i || l.Term < term {
			return nil, fmt.Errorf("log entry %d says it is %d of term %d, after term %d", i, l.Index, l.Term, term)
		}
		term = l.Term
		if l.Type == raft.LogCommand {
			if _, _, err := checkEntry(i, l.Data); err != nil {
				return nil, err
			}
		}
		found.known(&l)
	}
	covered, err := newestReadable(snapshots)
	if err != nil {
		return nil, err
	}
	if first > covered+1 {
		return nil, fmt.Errorf("the log begins at entry %d, but the newest readable snapshot ends at %d", first, covered)
	}
	if first != 0 && last < covered {
		// A crash after a received snapshot was kept and before the log it
		// replaces was dropped. raft-wal takes no gap, so drop it now.
		return newTail(), logs.DeleteRange(first, last)
	}
	return found, nil
}

// newestReadable opens snapshots, which verifies their checksums, and gives
// the index of the newest good one, 0 for none.
func newestReadable(snapshots raft.SnapshotStore) (uint64, error) {
	list, err := snapshots.List()
	if err != nil {
		return 0, err
	}
	var broken []error
	for _, meta := range list {
		_, r, err := snapshots.Open(meta.ID)
		if err == nil {
			return meta.Index, r.Close()
		}
		broken = append(broken, fmt.Errorf("snapshot %s: %w", meta.ID, err))
	}
	return 0, errors.Join(broken...)
}
