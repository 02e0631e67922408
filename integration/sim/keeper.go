package sim

import (
	"maps"
	"slices"
	"time"

	"backfleet/agent/attempt"
	"backfleet/pkg/wire"
)

// keeper models an agent's keeper: it starts processes, ends them when their
// lease, their timeout or a stop says so, by its own clock and whatever the
// session does, and keeps results on disk. What comes while all slots of its
// group are taken waits here, and starts when one is free.
type keeper struct {
	h           *host
	incarnation string
	attempts    map[attempt.Key]*process
	newest      map[attempt.Instance]*process
	queue       []*process // in order of arrival
	dead        bool
}

// process is one attempt's.
type process struct {
	k       *keeper
	key     attempt.Key
	start   *wire.StartAttempt
	started time.Time
	queued  bool // there is no process yet
	live    bool
	// What ends it, as moments of the keeper's clock; 0: never.
	lease, timeout, kill, exit time.Duration
	giveBack                   time.Duration // not started by then, it is given back
	outcome                    wire.Outcome  // of its own accord, at exit
	code                       int32         // of a failure
	obeys                      bool          // ends soon after SIGTERM
	verdict                    wire.Outcome  // why the keeper ended it
	result                     *wire.AttemptResult
	saved                      bool
}

func newKeeper(h *host, incarnation string) *keeper {
	k := &keeper{h: h, incarnation: incarnation, attempts: map[attempt.Key]*process{}, newest: map[attempt.Instance]*process{}}
	for _, key := range slices.SortedFunc(maps.Keys(h.disk), attempt.Key.Compare) {
		kept := h.disk[key]
		if kept.Running {
			kept = &wire.KeptAttempt{Ref: kept.Ref, Result: &wire.AttemptResult{
				Ref: kept.Ref, Outcome: wire.Outcome_LOST, Cause: "the keeper died, and the attempt with it",
			}}
			h.disk[key] = kept
		}
		p := &process{k: k, key: key, result: kept.Result, saved: true}
		k.attempts[key] = p
		if n := k.newest[key.Of()]; n == nil || n.key.Fence < key.Fence {
			k.newest[key.Of()] = p
		}
	}
	return k
}

// list is every attempt as it stands.
func (k *keeper) list() []*wire.KeptAttempt {
	var out []*wire.KeptAttempt
	for _, key := range slices.SortedFunc(maps.Keys(k.attempts), attempt.Key.Compare) {
		out = append(out, k.attempts[key].kept())
	}
	return out
}

func (p *process) kept() *wire.KeptAttempt {
	if !p.saved {
		return &wire.KeptAttempt{Ref: p.key.Ref(), Running: true, Queued: p.queued, Ahead: p.start.Ahead}
	}
	return &wire.KeptAttempt{Ref: p.key.Ref(), Result: p.result}
}

// start begins an attempt, or says why not.
func (k *keeper) start(m *wire.StartAttempt) (refusal string) {
	key, w := attempt.KeyOf(m.Ref), k.h.w
	now := k.h.clock.mono()
	if k.attempts[key] != nil {
		return ""
	}
	if time.Duration(m.DeadlineNs) <= now {
		return "its lease has ended before it could start"
	}
	if n := k.newest[key.Of()]; n != nil {
		if n.key.Fence >= key.Fence {
			return "a newer one is known"
		}
		n.end(wire.Outcome_LOST)
	}
	p := &process{k: k, key: key, start: m, queued: true, lease: time.Duration(m.DeadlineNs)}
	k.attempts[key], k.newest[key.Of()] = p, p
	k.h.disk[key] = p.kept()
	if k.full(m) {
		w.report.Queued++
		w.note("%s: %s with fence %d waits for a slot", k.h.id, key, key.Fence)
		if m.Ahead {
			p.giveBack = now + time.Duration(m.AheadMs)*time.Millisecond
		}
		k.queue = append(k.queue, p)
		p.arm()
		p.tell()
		return ""
	}
	p.begin()
	return ""
}

// full says that a group has not as many free slots as an attempt takes.
func (k *keeper) full(m *wire.StartAttempt) bool {
	used := 0
	for _, p := range k.attempts {
		if p.live && p.start.Group == m.Group {
			used += weight(p.start)
		}
	}
	return m.Slots > 0 && used+weight(m) > int(m.Slots)
}

func weight(m *wire.StartAttempt) int { return max(1, int(m.Weight)) }

// begin starts the process.
func (p *process) begin() {
	now := p.k.h.clock.mono()
	p.queued, p.live, p.started, p.giveBack = false, true, p.k.h.clock.wall(), 0
	p.draw(now)
	if ms := p.start.TimeoutMs; ms > 0 {
		p.timeout = now + time.Duration(ms)*time.Millisecond
	}
	p.k.h.w.table.start(p)
	p.arm()
	p.tell()
}

// next starts what waits for slots of a group, as long as there are enough: what
// was promised some, then the most urgent, and of these the first that came.
func (k *keeper) next(group string) {
	var first *process
	for _, p := range k.queue {
		if p.start.Group == group && (first == nil || p.before(first)) {
			first = p
		}
	}
	if first == nil || k.dead || k.full(first.start) {
		return
	}
	k.leave(first)
	if k.h.clock.mono() >= first.lease && k.h.w.Break != NoDeadline {
		first.finish(wire.Outcome_LOST)
	} else {
		first.begin()
	}
	k.next(group)
}

func (p *process) before(q *process) bool {
	if p.start.Ahead != q.start.Ahead {
		return q.start.Ahead
	}
	return p.start.Priority > q.start.Priority
}

// leave takes an attempt out of the queue.
func (k *keeper) leave(p *process) {
	k.queue = slices.DeleteFunc(k.queue, func(q *process) bool { return q == p })
}

// tell lets the session know how an attempt stands.
func (p *process) tell() {
	k := p.k
	k.h.fromKeeper(k, func() { k.h.core.KeeperChanged(p.kept()) })
}

// draw decides how long the process runs and how it ends.
func (p *process) draw(now time.Duration) {
	w := p.k.h.w
	d := w.between(20*time.Millisecond, 3*time.Second)
	switch {
	case w.calm:
	case w.oneIn(w.many(8, 8)):
		d = w.between(10*time.Second, 70*time.Second)
	case w.oneIn(w.many(8, 3)):
		d = w.between(3*time.Second, 10*time.Second)
	}
	d *= w.slow
	if w.model.quick(p.key.Of()) { // as short as what may be granted ahead
		d = w.between(time.Millisecond, 35*time.Millisecond)
	}
	if of, ok := w.log.truth().Plan(p.key.Plan); ok && w.work != nil {
		d = w.work(of)
	}
	p.exit, p.outcome, p.obeys = now+d, wire.Outcome_SUCCEEDED, !w.oneIn(4)
	if !w.client.calmed && w.rnd.IntN(100) < w.client.failRate {
		p.outcome, p.code = wire.Outcome_FAILED, pick(w, []int32{1, 1, hopeless, nothingToDo})
	}
}

// arm waits for whatever ends the process next.
func (p *process) arm() {
	next := p.exit
	if p.queued {
		next = p.lease
	}
	for _, at := range []time.Duration{p.lease, p.timeout, p.kill, p.giveBack} {
		if at > 0 && at < next && (at != p.lease || p.k.h.w.Break != NoDeadline) {
			next = at
		}
	}
	p.k.h.w.at(p.k.h.clock.when(next), p.due)
}

func (p *process) due() {
	now := p.k.h.clock.mono()
	switch {
	case p.k.dead || !p.live && !p.queued:
	case p.queued:
		p.overdue(now)
	case now >= p.lease && p.k.h.w.Break != NoDeadline:
		p.end(wire.Outcome_LOST)
	case p.kill > 0 && now >= p.kill:
		p.finish(p.verdict)
	case p.timeout > 0 && now >= p.timeout:
		p.terminate(wire.Outcome_TIMED_OUT, 10*time.Second)
	case now >= p.exit && p.verdict != wire.Outcome_OUTCOME_UNSPECIFIED:
		p.finish(p.verdict)
	case now >= p.exit:
		p.finish(p.outcome)
	}
}

// overdue ends an attempt that waits for a slot: its lease has ended, or it is
// given back.
func (p *process) overdue(now time.Duration) {
	switch {
	case now >= p.lease && p.k.h.w.Break != NoDeadline:
		p.withdraw(wire.Outcome_LOST)
	case p.giveBack > 0 && now >= p.giveBack:
		p.giveBack = 0
		p.withdraw(wire.Outcome_RECALLED)
	case p.giveBack > 0:
		p.arm() // its lease was longer than it may wait
	}
}

// withdraw ends an attempt that has not started.
func (p *process) withdraw(outcome wire.Outcome) {
	if p.k.h.w.Break != Reviving {
		p.k.leave(p)
		p.queued = false
	}
	p.finish(outcome)
}

// terminate is a SIGTERM, and a SIGKILL after the grace.
func (p *process) terminate(verdict wire.Outcome, grace time.Duration) {
	if !p.live {
		return
	}
	now, w := p.k.h.clock.mono(), p.k.h.w
	if p.verdict == wire.Outcome_OUTCOME_UNSPECIFIED {
		p.verdict = verdict
	}
	p.timeout = 0
	if at := now + grace; p.kill == 0 || at < p.kill {
		p.kill = at
	}
	if p.obeys {
		p.exit = min(p.exit, now+w.between(time.Millisecond, 2*time.Second))
	}
	p.arm()
}

// end is a SIGKILL.
func (p *process) end(verdict wire.Outcome) {
	switch {
	case p.live:
		p.finish(verdict)
	case p.queued:
		p.withdraw(verdict)
	}
}

// finish is the end of an attempt; its result is known when it is on disk.
func (p *process) finish(outcome wire.Outcome) {
	k, w := p.k, p.k.h.w
	p.result = &wire.AttemptResult{Ref: p.key.Ref(), Outcome: outcome}
	if outcome == wire.Outcome_FAILED {
		p.result.ExitCode = p.code
	}
	if !p.started.IsZero() {
		p.result.StartedMs, p.result.EndedMs = p.started.UnixMilli(), k.h.clock.wall().UnixMilli()
	}
	if p.live {
		w.table.stop(p, outcome)
		k.next(p.start.Group)
	} else {
		w.table.withdrawn(p, outcome)
	}
	w.after(w.between(time.Millisecond, 20*time.Millisecond), func() {
		if k.dead {
			return
		}
		p.saved = true
		k.h.disk[p.key] = p.kept()
		k.h.fromKeeper(k, func() {
			k.h.core.KeeperChanged(p.kept())
			k.h.logOf(p.kept())
		})
	})
}

func (k *keeper) extend(m *wire.ExtendAttempts) {
	for _, ref := range m.Refs {
		if p := k.attempts[attempt.KeyOf(ref)]; p != nil && (p.live || p.queued) {
			p.lease = max(p.lease, time.Duration(m.DeadlineNs))
			p.arm()
		}
	}
}

// stop ends an attempt, or with recall gives it back if it has not started.
func (k *keeper) stop(m *wire.StopAttempt) {
	p := k.attempts[attempt.KeyOf(m.Ref)]
	switch {
	case p == nil, !p.live && !p.queued, m.Recall && p.live:
	case m.Recall:
		if k.h.w.Break != Holding {
			p.withdraw(wire.Outcome_RECALLED)
		}
	case p.queued, m.GraceMs == 0:
		p.end(wire.Outcome_STOPPED)
	default:
		p.terminate(wire.Outcome_STOPPED, time.Duration(m.GraceMs)*time.Millisecond)
	}
}

func (k *keeper) forget(refs []*wire.AttemptRef) {
	for _, ref := range refs {
		key := attempt.KeyOf(ref)
		if k.newest[key.Of()] == k.attempts[key] {
			delete(k.newest, key.Of())
		}
		delete(k.attempts, key)
		delete(k.h.disk, key)
	}
}

// die takes the keeper's processes along.
func (k *keeper) die() {
	k.dead = true
	for _, key := range slices.SortedFunc(maps.Keys(k.attempts), attempt.Key.Compare) {
		if p := k.attempts[key]; p.live {
			k.h.w.table.stop(p, wire.Outcome_LOST)
		}
	}
}

// processTable is every process there is or was, as an observer sees it who
// knows the true time.
type processTable struct {
	w     *world
	live  map[attempt.Instance]*process
	fence map[attempt.Instance]uint64 // of the newest that was started
	ended map[attempt.Key]wire.Outcome
	// back has what may not start any more: it was given back, or the keeper was
	// told to while it waited.
	back map[attempt.Key]string
}

func newProcessTable(w *world) *processTable {
	return &processTable{
		w: w, live: map[attempt.Instance]*process{}, fence: map[attempt.Instance]uint64{}, ended: map[attempt.Key]wire.Outcome{},
		back: map[attempt.Key]string{},
	}
}

// start checks what must hold at every start of a process (RULES R13.2,
// R13.3, R5.8).
func (t *processTable) start(p *process) {
	t.w.report.Processes++
	if t.w.calm {
		t.w.report.Calm++
	}
	i := p.key.Of()
	t.w.note("%s: process %s with fence %d starts", p.k.h.id, p.key, p.key.Fence)
	if other := t.live[i]; other != nil {
		t.w.violated("R13.2", "%s starts on %s while %s (fence %d) runs on %s", p.key, p.k.h.id, other.key, other.key.Fence, other.k.h.id)
	}
	if p.key.Fence <= t.fence[i] {
		t.w.violated("R13.3", "%s starts with fence %d after one with %d", p.key, p.key.Fence, t.fence[i])
	}
	if why := t.back[p.key]; why != "" {
		t.w.violated("R9", "%s starts on %s after %s", p.key, p.k.h.id, why)
	}
	if slots, used := p.k.h.slotsOf(p.start.Group), t.used(p.k, p.start.Group); used+weight(p.start) > slots {
		t.w.violated("R5.1", "%s takes %d slots of %s on %s, which has %d, and %d are used", p.key, weight(p.start), p.start.Group, p.k.h.id, slots, used)
	}
	cycle, known := t.w.model.cycleOf(i)
	for o, other := range t.live {
		if same, ok := t.w.model.cycleOf(o); o != i && ok && known && same == cycle {
			t.w.violated("R5.8", "%s starts while %s, the same cycle, runs", p.key, other.key)
		}
	}
	t.live[i], t.fence[i] = p, p.key.Fence
	t.w.process(p, wire.Outcome_OUTCOME_UNSPECIFIED)
}

// used counts the slots of a group that the processes of a keeper use.
func (t *processTable) used(k *keeper, group string) (n int) {
	for _, p := range t.live {
		if p.k == k && p.start.Group == group {
			n += weight(p.start)
		}
	}
	return n
}

// recalled is told of a call that wants work back, at the moment at which it
// reaches the keeper.
func (t *processTable) recalled(k *keeper, key attempt.Key) {
	if p := k.attempts[key]; p != nil && p.queued && t.back[key] == "" {
		t.w.report.Recalled++
		t.back[key] = "its recall reached the keeper"
	}
}

// withdrawn is the end of an attempt that never started.
func (t *processTable) withdrawn(p *process, outcome wire.Outcome) {
	t.w.note("%s: %s with fence %d ends without a process: %s", p.k.h.id, p.key, p.key.Fence, outcome)
	if outcome == wire.Outcome_RECALLED {
		t.w.report.GivenBack++
	}
	t.back[p.key] = "it ended as " + outcome.String()
	t.ended[p.key] = outcome
}

func (t *processTable) stop(p *process, outcome wire.Outcome) {
	t.w.note("%s: process %s with fence %d ends: %s", p.k.h.id, p.key, p.key.Fence, outcome)
	p.live = false
	t.w.process(p, outcome)
	if t.live[p.key.Of()] == p {
		delete(t.live, p.key.Of())
	}
	t.ended[p.key] = outcome
}
