package server

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"backfleet/pkg/fault"
)

// reserve is how many bytes must be free on the data folder's volume for this
// coordinator to lead, and the least that Config.Reserve may be. The log grows by segments of 64 MiB and the store of
// attempt logs stops at the same mark, so below it every write may be the one
// that does not fit. What runs already may still report: the segment in use
// has its space.
const reserve = 64 << 20

// checkSpace refuses (fault.Unavailable: not applied, and another coordinator
// may have room) when less than the reserve is free. A volume that cannot be
// asked is not taken for full.
func (s *Server) checkSpace() error {
	free, ok := s.cfg.free(s.cfg.DataDir)
	if !ok || free >= s.cfg.Reserve {
		return nil
	}
	return fault.New(fault.Unavailable, "coordinator %s: the disk of its data folder %s is full (%d MiB free, at least %d MiB expected), so it takes no new work and nothing was changed: free some space there, then send this again",
		s.cfg.ID, s.cfg.DataDir, free>>20, s.cfg.Reserve>>20)
}

// freeBytes asks the volume of a folder.
func freeBytes(dir string) (free uint64, ok bool) {
	var volume unix.Statfs_t
	if unix.Statfs(dir, &volume) != nil {
		return 0, false
	}
	return volume.Bavail * uint64(volume.Bsize), true
}

const (
	spaceEvery = 500 * time.Millisecond
	// handOverEvery keeps leaders that are all short of space from playing
	// ball with leadership.
	handOverEvery = 30 * time.Second
)

// watchSpace hands leadership over while this coordinator's disk is full and
// there is another to take it, so that work goes on. It ends with ctx.
func (s *Server) watchSpace(ctx context.Context) {
	tick := time.NewTicker(spaceEvery)
	defer tick.Stop()
	for {
		if free, ok := s.cfg.free(s.cfg.DataDir); ok && free < reserve && time.Since(s.handedOver) > handOverEvery {
			s.handedOver = time.Now()
			s.cfg.Logger.Error("the disk is full: handing leadership over", "free", free, "needed", reserve)
			if err := s.node.TransferLeadership(ctx, ""); err != nil && ctx.Err() == nil {
				s.cfg.Logger.Warn("leadership stays here", "error", err)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// roomEvery is how late it may be said that the disk is full, or is so no more.
const roomEvery = 2 * time.Second

// tellSpace says in the log when the disk becomes full and when it has room again,
// whoever leads. It ends with ctx.
func (s *Server) tellSpace(ctx context.Context) {
	tick := time.NewTicker(roomEvery)
	defer tick.Stop()
	full := false
	for {
		err := s.checkSpace()
		switch {
		case err != nil && !full:
			s.cfg.Logger.Error("the disk is full: no new work is taken while this coordinator leads", "error", err)
		case err == nil && full:
			s.cfg.Logger.Info("the disk has room again")
		}
		full = err != nil
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
