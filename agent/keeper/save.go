package keeper

import (
	"time"

	"backfleet/pkg/wire"
)

const (
	// saveEvery is the least time from one batch of results to the next when there
	// is a crowd: then many share the cost of a report and of its answer. Alone, a
	// result is saved at once.
	saveEvery = 10 * time.Millisecond
	// saveQueued is the same while more work waits here: no slot stands empty for
	// the answer.
	saveQueued = 40 * time.Millisecond
)

func (k *Keeper) wakeSaver() {
	select {
	case k.save <- struct{}{}:
	default:
	}
}

// began has the watchers told that an attempt has its slot: with the next
// results, and soon if it is one that was granted ahead, for the leader counts
// on its slot. The lock is held.
func (k *Keeper) began(a *kept) {
	k.mention(a)
	if a.ahead && !k.untold {
		k.untold = true
		k.wakeSaver()
	}
}

// pause is the least time between two batches as things stand.
func (k *Keeper) pause() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.queued():
		return saveQueued
	case k.running > len(k.unsaved): // others could end in time for the next batch
		return saveEvery
	}
	return 0
}

// saver writes results down, all that wait in one batch, and then announces
// them. A full disk delays the announcement, it loses nothing.
func (k *Keeper) saver() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for last := (time.Time{}); ; last = time.Now() {
		select {
		case <-k.save:
		case <-k.quit:
			return
		}
		for wait := k.pause() - time.Since(last); wait > 0; wait = k.pause() - time.Since(last) {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-k.save: // there may be less to wait for
			case <-k.quit:
				return
			}
		}
		if !k.saveBatch() {
			return
		}
	}
}

// saveBatch saves what waits; false: the keeper leaves.
func (k *Keeper) saveBatch() bool {
	k.mu.Lock()
	batch := k.unsaved
	k.unsaved = nil
	list := make([]*wire.KeptAttempt, len(batch))
	for i, a := range batch {
		list[i] = &wire.KeptAttempt{Ref: a.result.Ref, Result: a.result, LogBytes: a.logBytes, Log: a.log}
	}
	k.mu.Unlock()
	for _, a := range batch { // before the saving: it may need the room on the disk
		if a.folder != nil {
			k.folders.give(a.folder, !a.left)
		}
	}
	for pause := 100 * time.Millisecond; len(list) > 0; pause = min(2*pause, 5*time.Second) {
		err := k.store.save(list)
		if err == nil {
			break
		}
		k.config.Logger.Error("results cannot be saved; the keeper tries again", "results", len(list), "error", err)
		select {
		case <-time.After(pause):
		case <-k.quit:
			return false
		}
	}
	k.saved(batch)
	return true
}

func (k *Keeper) saved(batch []*kept) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, a := range batch {
		a.running = false
		k.running--
		k.mention(a)
	}
	k.untold = false
	k.wakeWatchers()
	if k.running == 0 {
		k.idle.Reset(k.config.IdleExit)
	}
}
