package keeper

import (
	"slices"
	"time"

	"backfleet/pkg/wire"
)

// group is a resource group's slots here, and what waits for one of them.
// Attempts that were granted a free slot find one, but for the moments in which
// the last words of leader and agent cross. What is granted ahead waits. The
// keeper's lock guards it.
type group struct {
	name    string
	slots   int     // as last told; 0: as many as come
	used    int     // by weight
	waiting []*kept // the most urgent first
}

// launching is an attempt that has got its slot, and how to start it.
type launching struct {
	attempt *kept
	start   *wire.StartAttempt
}

// group gives the group of an attempt, with the slots that it tells. The lock
// is held.
func (k *Keeper) group(m *wire.StartAttempt) *group {
	g := k.groups[m.Group]
	if g == nil {
		g = &group{name: m.Group}
		k.groups[m.Group] = g
	}
	g.slots = int(m.Slots)
	return g
}

// enterAfter has an attempt wait for the end of an older one of its instance.
func (k *Keeper) enterAfter(before, a *kept) {
	<-before.dead
	k.mu.Lock()
	defer k.unlock()
	k.enter(a)
	k.fill(a.group)
	a.arm()
}

// enter puts an attempt in its group's line. The lock is held.
func (k *Keeper) enter(a *kept) {
	if a.verdict != wire.Outcome_OUTCOME_UNSPECIFIED { // ended before it could stand there
		a.finish(a.verdict, 0, time.Now(), a.cause)
		return
	}
	g := a.group
	i, _ := slices.BinarySearchFunc(g.waiting, a, func(b, a *kept) int {
		if b.yields(a) {
			return 1
		}
		return -1 // of equals the first to come is the first to go
	})
	g.waiting = slices.Insert(g.waiting, i, a)
}

// yields says whether another one goes first: what was promised a free slot
// before what was granted ahead, then by priority.
func (a *kept) yields(to *kept) bool {
	if a.ahead != to.ahead {
		return a.ahead
	}
	return a.start.Priority < to.start.Priority
}

// waits says that an attempt has not got a slot yet: nothing of it ran.
func (a *kept) waits() bool { return a.start != nil }

// fits says whether there are slots for the first of the line. While there are
// not, nobody behind it gets one, or a heavy one would never. One that is
// heavier than all slots, as when they have become fewer, goes alone.
func (g *group) fits(a *kept) bool {
	return g.slots == 0 || g.used == 0 || g.used+a.weight <= g.slots
}

// fill gives free slots to those that wait, and says whether there was one. The
// lock is held; unlock launches them.
func (k *Keeper) fill(g *group) (gave bool) {
	for !k.closing && !k.frozen && len(g.waiting) > 0 && g.fits(g.waiting[0]) {
		a := g.waiting[0]
		g.waiting = slices.Delete(g.waiting, 0, 1)
		g.used += a.weight
		k.next = append(k.next, launching{a, a.start})
		now := time.Now()
		a.start, a.slot, a.giveUp, a.given, a.started, gave = nil, true, 0, now, now, true
		k.began(a)
	}
	return gave
}

// vacate takes an attempt's slot, or its place in the line, from it, and says
// whether another one got the slot. The lock is held.
func (k *Keeper) vacate(a *kept) bool {
	g := a.group
	switch {
	case a.slot:
		a.slot = false
		g.used -= a.weight
		return k.fill(g)
	case a.waits():
		a.start = nil
		if i := slices.Index(g.waiting, a); i >= 0 {
			g.waiting = slices.Delete(g.waiting, i, i+1)
		}
	}
	return false
}

// unlock ends a section of the lock, and launches what got a slot in it.
func (k *Keeper) unlock() {
	next := k.next
	k.next = nil
	k.mu.Unlock()
	for _, l := range next {
		if err := k.launch(l.attempt, l.start); err != nil {
			l.attempt.Started(nil, err)
		}
	}
}

// queued says whether anything waits for a slot. The lock is held.
func (k *Keeper) queued() bool {
	for _, g := range k.groups {
		if len(g.waiting) > 0 {
			return true
		}
	}
	return false
}
