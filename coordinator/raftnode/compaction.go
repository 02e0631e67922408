package raftnode

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"backfleet/pkg/fault"

	"github.com/hashicorp/raft"
)

// Compaction bounds what the log takes on disk and how long a start replays
// it. Zero fields have the defaults of DefaultCompaction.
type Compaction struct {
	// SnapshotEntries and SnapshotBytes: a snapshot is taken after so many
	// entries, or bytes of entries, since the one before. A snapshot that is
	// larger than SnapshotBytes is followed by the next only after as many
	// bytes of entries, so that writing snapshots never costs more than
	// writing the log.
	SnapshotEntries uint64
	SnapshotBytes   int64
	// TrailingEntries and TrailingBytes: as many of the newest entries are kept
	// behind a snapshot, so that a coordinator that was away for a moment gets
	// these rather than a snapshot. The lesser of the two counts.
	TrailingEntries uint64
	TrailingBytes   int64
}

// DefaultCompaction keeps the log of a coordinator below about half a
// gigabyte, and a start below some seconds.
func DefaultCompaction() Compaction {
	return Compaction{SnapshotEntries: 65536, SnapshotBytes: 64 << 20, TrailingEntries: 10240, TrailingBytes: 128 << 20}
}

func (c Compaction) complete() Compaction {
	d := DefaultCompaction()
	return Compaction{
		SnapshotEntries: cmp.Or(c.SnapshotEntries, d.SnapshotEntries), SnapshotBytes: cmp.Or(c.SnapshotBytes, d.SnapshotBytes),
		TrailingEntries: cmp.Or(c.TrailingEntries, d.TrailingEntries), TrailingBytes: cmp.Or(c.TrailingBytes, d.TrailingBytes),
	}
}

const (
	// snapshotRetry is the pause after a snapshot that failed.
	snapshotRetry = 10 * time.Second
	// patientGrowth: while a follower catches up from a snapshot, the log may
	// grow to so many times its bounds before the next snapshot shortens it.
	// A follower whose next entry is dropped meanwhile would have to begin
	// again, perhaps for ever (hashicorp/raft#697).
	patientGrowth = 4
)

// due says whether a snapshot should be taken of a log that has grown by so
// much since the last one, of that size. stagger, 0 to 1, makes coordinators
// that began together take theirs one after another.
func (c Compaction) due(entries uint64, bytes, last int64, stagger float64, patient bool) bool {
	factor := 1 + stagger/4
	if patient {
		factor *= patientGrowth
	}
	return float64(entries) >= factor*float64(c.SnapshotEntries) || float64(bytes) >= factor*float64(max(c.SnapshotBytes, last))
}

// compact takes a snapshot whenever the log has grown enough, until the node
// stops. It is woken by what is written to the log: an idle node does nothing.
func (n *Node) compact() {
	stagger := rand.Float64()
	for {
		select {
		case <-n.disk.tail.grown:
		case <-n.stopping:
			return
		case <-n.failed:
			return
		}
		entries, bytes := n.disk.tail.growth()
		if !n.compaction.due(entries, bytes, n.machine.frozenSize.Load(), stagger, n.trans.catchingUp()) {
			continue
		}
		stagger = rand.Float64()
		if err := n.snapshot(context.Background()); err != nil && n.unavailable() == nil {
			n.log.Error("the log could not be shortened; it goes on growing", "error", err, "retry_in", snapshotRetry)
			select {
			case <-time.After(snapshotRetry):
			case <-n.stopping:
				return
			}
		}
	}
}

// snapshot writes the state to disk and drops the log before it, except what
// the bounds keep.
func (n *Node) snapshot(ctx context.Context) error {
	select {
	case n.freezing <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	at := n.machine.visible.Load() // at most where the snapshot will end
	trailing := n.disk.tail.newest(n.compaction.TrailingEntries, n.compaction.TrailingBytes)
	if err := n.reload(func(c *raft.ReloadableConfig) { c.TrailingLogs = trailing }); err != nil {
		<-n.freezing
		return err
	}
	done := make(chan error, 1)
	go func() { // the place is free when raft is done, not when the caller leaves
		err := await(context.Background(), n.dead, n.raft.Snapshot())
		if err == nil || errors.Is(err, raft.ErrNothingNewToSnapshot) {
			n.disk.tail.mark(at)
			err = nil
		}
		<-n.freezing
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Snapshot writes the state to disk now and drops the log entries that it
// makes superfluous, except the newest, see Compaction. The node does so by
// itself; this is for an operator before a backup, and for tests.
func (n *Node) Snapshot(ctx context.Context) error {
	if err := n.unavailable(); err != nil {
		return err
	}
	if err := n.snapshot(ctx); err != nil {
		return fault.Wrap(err, fault.Unavailable, "coordinator %s could not take a snapshot", n.id)
	}
	return nil
}
