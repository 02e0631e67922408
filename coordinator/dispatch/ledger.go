package dispatch

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"backfleet/coordinator/schedule"
	"backfleet/coordinator/state"
	"backfleet/pkg/wire"
)

// ledger is who holds which lease, what that comes to, and until when agents
// have renewed. It follows the facts change by change: no turn looks at agents
// of which there is nothing new.
type ledger struct {
	workers   map[string]*worker // by agent: those that are connected, ready, or hold a lease
	grips     map[instance]*grip
	deadlines deadlines
	offers    *schedule.Offers
	dirty     []*worker // whose offers are to be set anew
	foreseen  []*worker // of whom the turn under way decides something
	spare     []*grip
	scratch   []offering
}

// worker is one agent.
type worker struct {
	id       string
	session  *session  // nil: not connected
	deadline time.Time // of all its leases
	due      time.Time // by which it stands among the deadlines
	at       int       // where, from 1; 0: it has none
	grips    []*grip
	loads    []*load
	offered  []offering
	patient  time.Time // nothing is granted ahead to it before
	heard    time.Time // the last message of it
	dirty    bool
	foreseen bool
}

// load is what a worker holds of a resource group.
type load struct {
	group   string
	aheadMs int // what it holds ahead, by recent durations
	long    int // attempts that may take long
	// For how long attempts have had their slots lately, and for how long they
	// were expected to run, in milliseconds; 0: nobody has said.
	slotMs, expectedMs float64
}

// lately is of how many attempts a load's sums tell.
const lately = 64

// took takes in how long an attempt had its slot.
func (l *load) took(slotMs int64, pace *schedule.Pace) {
	expected, _ := pace.Short()
	l.slotMs += float64(slotMs) - l.slotMs/lately
	l.expectedMs += float64(expected) - l.expectedMs/lately
}

// budget is how much work, by recent durations, keeps its slots busy for as long
// as they should be without a word from here. An attempt has its slot for longer
// than its process runs when processes cannot be forked as fast as slots ask for.
func (l *load) budget(slots int) int {
	if l.expectedMs == 0 {
		return unknownMs * slots
	}
	return int(budgetMs * float64(slots) / max(1, l.slotMs/l.expectedMs))
}

// offering is what the offers count of a worker.
type offering struct {
	group string
	use   state.GroupUse
}

// grip is one lease.
type grip struct {
	instance
	fence uint64
	w     *worker
	at    int // in w.grips
	load  *load
	pace  *schedule.Pace
	ms    int  // what it adds to load.aheadMs
	long  bool // it counts in load.long
	ahead bool
	taken bool // its end is in the turn under way
	lost  bool // its loss is, or waits for a turn
	seen  bool // its agent has said that it holds it, or was never told
	said  bool // its agent has said that it started
	since time.Time
	told  wants  // what the session was told
	cause string // of the loss
}

// wants is what an agent is to do with an attempt.
type wants uint8

const (
	wantsNothing wants = iota
	wantsBack          // if it has not started
	wantsEnd
)

func newLedger() ledger {
	return ledger{workers: map[string]*worker{}, grips: map[instance]*grip{}, offers: schedule.NewOffers()}
}

func (l *ledger) worker(id string) *worker {
	w := l.workers[id]
	if w == nil {
		w = &worker{id: id}
		l.workers[id] = w
	}
	return w
}

// idle says whether nothing is left of a worker but its name.
func (w *worker) idle() bool {
	return w.session == nil && len(w.grips) == 0 && w.at == 0 && !w.foreseen
}

// touch has a worker's offers set anew in the next turn.
func (l *ledger) touch(w *worker) {
	if !w.dirty {
		w.dirty = true
		l.dirty = append(l.dirty, w)
	}
}

// foresee has a worker's offers follow what the turn under way decides of it,
// and, once that is a fact or not, the facts.
func (l *ledger) foresee(w *worker) {
	l.touch(w)
	if !w.foreseen {
		w.foreseen = true
		l.foreseen = append(l.foreseen, w)
	}
}

// decided ends what a turn foresaw.
func (l *ledger) decided() {
	for _, w := range l.foreseen {
		w.foreseen = false
		l.touch(w)
	}
	l.foreseen = l.foreseen[:0]
}

// hold takes in a lease.
func (l *ledger) hold(of *state.Lease, pace *schedule.Pace) *grip {
	w := l.worker(of.Agent)
	g := &grip{}
	if n := len(l.spare); n > 0 {
		g, l.spare = l.spare[n-1], l.spare[:n-1]
	}
	*g = grip{
		instance: instance{of.Plan, of.Instance}, fence: of.Fence, w: w, at: len(w.grips), load: w.load(of.Group), pace: pace,
		ahead: of.Ahead, seen: true,
	}
	ms, short := pace.Short()
	if g.long = !short; g.long {
		g.load.long++
	}
	if g.ahead {
		g.ms = ms
		g.load.aheadMs += ms
	}
	w.grips = append(w.grips, g)
	l.grips[g.instance] = g
	l.touch(w)
	return g
}

func (w *worker) load(group string) *load {
	for _, l := range w.loads {
		if l.group == group {
			return l
		}
	}
	l := &load{group: group}
	w.loads = append(w.loads, l)
	return l
}

// drop forgets a lease that has ended.
func (l *ledger) drop(i instance) {
	g := l.grips[i]
	if g == nil {
		return
	}
	delete(l.grips, i)
	w, last := g.w, len(g.w.grips)-1
	w.grips[g.at] = w.grips[last]
	w.grips[g.at].at = g.at
	w.grips[last] = nil
	w.grips = w.grips[:last]
	l.lift(g)
	if g.taken = true; !g.lost { // else it may still be listed
		l.spare = append(l.spare, g)
	}
}

// lift takes off its agent what an attempt weighs.
func (l *ledger) lift(g *grip) {
	l.starts(g)
	if g.long {
		g.long = false
		g.load.long--
	}
}

// starts takes in that an attempt waits no longer.
func (l *ledger) starts(g *grip) {
	g.load.aheadMs -= g.ms
	g.ms, g.ahead = 0, false
	l.touch(g.w)
}

// extend moves a worker's deadline.
func (l *ledger) extend(w *worker, until time.Time) {
	if w.deadline = until; w.at == 0 {
		w.due = until
		heap.Push(&l.deadlines, w)
	}
}

// next is the worker whose deadline is the first. Renewals come much more often
// than deadlines, so a worker stands by an old one until that is the first.
func (l *ledger) next() *worker {
	for len(l.deadlines) > 0 {
		w := l.deadlines[0]
		if w.due.Equal(w.deadline) {
			return w
		}
		w.due = w.deadline
		heap.Fix(&l.deadlines, 0)
	}
	return nil
}

// settle sets anew what the offers say of every worker that was touched.
func (l *ledger) settle(st *state.State, now time.Time, ahead bool) {
	for _, w := range l.dirty {
		w.dirty = false
		l.offer(w, st, ahead && !now.Before(w.patient))
		if _, known := st.Agent(w.id); !known && w.idle() {
			delete(l.workers, w.id) // it was forgotten
		}
	}
	l.dirty = l.dirty[:0]
}

const (
	// budgetMs is for how long each of an agent's slots should have work ahead: the
	// 40 ms from one report to the next, and a turn on a machine that is busy.
	budgetMs = 100
	// unknownMs is the same for an agent that has not said how long its slots are
	// taken.
	unknownMs = 40
)

// offer counts an agent's slots, as state.State.GroupUse does, and says what it
// could take: nothing when it is not connected.
func (l *ledger) offer(w *worker, st *state.State, ahead bool) {
	now := l.scratch[:0]
	if a, ok := st.Agent(w.id); ok && a.State == wire.Agent_READY {
		for i, g := range a.Groups {
			now = append(now, offering{g.Group, state.GroupUse{
				Slots: int(g.Slots), Used: int(min(a.Used[i], g.Slots)), Backfills: int(a.Backfills[i]), Ahead: int(a.Ahead[i]),
			}})
			l.offers.Set(g.Group, l.couldTake(w, a, now[i], ahead))
		}
	}
	for _, o := range w.offered {
		addUse(l.offers.Use(o.group), o.use, -1)
		if !slices.ContainsFunc(now, func(n offering) bool { return n.group == o.group }) {
			l.offers.Set(o.group, schedule.Offer{Agent: w.id})
		}
	}
	for _, o := range now {
		addUse(l.offers.Use(o.group), o.use, 1)
	}
	w.offered, l.scratch = append(w.offered[:0], now...), now
}

func (l *ledger) couldTake(w *worker, a *state.Agent, o offering, ahead bool) schedule.Offer {
	out := schedule.Offer{Agent: w.id, Slots: o.use.Slots, Labels: a.Labels}
	if w.session == nil {
		return out
	}
	out.Light = !w.session.weights
	out.Free = max(0, a.Free(o.group)-o.use.Ahead)
	if of := w.load(o.group); ahead && w.session.ahead && of.long == 0 {
		out.Ahead = min(a.Room(o.group), state.MaxAhead-o.use.Ahead)
		out.AheadMs = of.budget(o.use.Slots) - of.aheadMs
	}
	return out
}

func addUse(u *state.GroupUse, by state.GroupUse, times int) {
	u.Slots += times * by.Slots
	u.Used += times * by.Used
	u.Backfills += times * by.Backfills
	u.Ahead += times * by.Ahead
}

// deadlines has the worker first whose leases end first.
type deadlines []*worker

func (d deadlines) Len() int { return len(d) }
func (d deadlines) Less(i, j int) bool {
	return cmp.Or(d[i].due.Compare(d[j].due), cmp.Compare(d[i].id, d[j].id)) < 0
}

func (d deadlines) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].at, d[j].at = i+1, j+1
}

func (d *deadlines) Push(x any) {
	*d = append(*d, x.(*worker))
	(*d)[len(*d)-1].at = len(*d)
}

func (d *deadlines) Pop() any {
	w := (*d)[len(*d)-1]
	(*d)[len(*d)-1] = nil
	*d = (*d)[:len(*d)-1]
	w.at = 0
	return w
}
