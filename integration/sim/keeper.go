package sim

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"backfleet/agent/attempt"
	"backfleet/pkg/wire"
)

// keeper models an agent's keeper: it starts processes, ends them when their
// lease, their timeout or a stop says so, by its own clock and whatever the
// session does, and keeps results on disk.
type keeper struct {
	h           *host
	incarnation string
	attempts    map[attempt.Key]*process
	newest      map[attempt.Instance]*process
	dead        bool
}

// process is one attempt's.
type process struct {
	k       *keeper
	key     attempt.Key
	started time.Time
	live    bool
	// What ends it, as moments of the keeper's clock; 0: never.
	lease, timeout, kill, exit time.Duration
	outcome                    wire.Outcome // of its own accord, at exit
	obeys                      bool         // ends soon after SIGTERM
	verdict                    wire.Outcome // why the keeper ended it
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
		return &wire.KeptAttempt{Ref: p.key.Ref(), Running: true}
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
	p := &process{k: k, key: key, live: true, started: k.h.clock.wall(), lease: time.Duration(m.DeadlineNs)}
	k.attempts[key], k.newest[key.Of()] = p, p
	k.h.disk[key] = p.kept()
	p.draw(now)
	if m.TimeoutMs > 0 {
		p.timeout = now + time.Duration(m.TimeoutMs)*time.Millisecond
	}
	w.table.start(p)
	p.arm()
	k.h.fromKeeper(k, func() { k.h.core.KeeperChanged(p.kept()) })
	return ""
}

// draw decides how long the process runs and how it ends.
func (p *process) draw(now time.Duration) {
	w := p.k.h.w
	d := w.between(20*time.Millisecond, 3*time.Second)
	switch {
	case w.calm:
	case w.oneIn(8):
		d = w.between(10*time.Second, 70*time.Second)
	case w.oneIn(3):
		d = w.between(3*time.Second, 10*time.Second)
	}
	d *= w.slow
	if of, ok := w.log.truth().Plan(p.key.Plan); ok && w.work != nil {
		d = w.work(of)
	}
	p.exit, p.outcome, p.obeys = now+d, wire.Outcome_SUCCEEDED, !w.oneIn(4)
	if !w.client.calmed && w.rnd.IntN(100) < w.client.failRate {
		p.outcome = wire.Outcome_FAILED
	}
}

// arm waits for whatever ends the process next.
func (p *process) arm() {
	next := p.exit
	for _, at := range []time.Duration{p.lease, p.timeout, p.kill} {
		if at > 0 && at < next && (at != p.lease || p.k.h.w.Break != NoDeadline) {
			next = at
		}
	}
	p.k.h.w.at(p.k.h.clock.when(next), p.due)
}

func (p *process) due() {
	now := p.k.h.clock.mono()
	switch {
	case !p.live || p.k.dead:
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
	if p.live {
		p.finish(verdict)
	}
}

// finish is the end of the process; its result is known when it is on disk.
func (p *process) finish(outcome wire.Outcome) {
	k, w := p.k, p.k.h.w
	w.table.stop(p, outcome)
	p.result = &wire.AttemptResult{
		Ref: p.key.Ref(), Outcome: outcome, StartedMs: p.started.UnixMilli(), EndedMs: k.h.clock.wall().UnixMilli(),
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
		if p := k.attempts[attempt.KeyOf(ref)]; p != nil && p.live {
			p.lease = max(p.lease, time.Duration(m.DeadlineNs))
			p.arm()
		}
	}
}

func (k *keeper) stop(m *wire.StopAttempt) {
	if p := k.attempts[attempt.KeyOf(m.Ref)]; p != nil && p.live {
		if m.GraceMs == 0 {
			p.end(wire.Outcome_STOPPED)
			return
		}
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
}

func newProcessTable(w *world) *processTable {
	return &processTable{
		w: w, live: map[attempt.Instance]*process{}, fence: map[attempt.Instance]uint64{}, ended: map[attempt.Key]wire.Outcome{},
	}
}

// start checks what must hold at every start of a process (RULES R13.2,
// R13.3, R5.8).
func (t *processTable) start(p *process) {
	t.w.report.Processes++
	i := p.key.Of()
	t.w.note("%s: process %s with fence %d starts", p.k.h.id, p.key, p.key.Fence)
	if other := t.live[i]; other != nil {
		t.w.violated("R13.2", "%s starts on %s while %s (fence %d) runs on %s", p.key, p.k.h.id, other.key, other.key.Fence, other.k.h.id)
	}
	if p.key.Fence <= t.fence[i] {
		t.w.violated("R13.3", "%s starts with fence %d after one with %d", p.key, p.key.Fence, t.fence[i])
	}
	cycle, known := t.w.model.cycleOf(i)
	for _, o := range slices.SortedFunc(maps.Keys(t.live), func(a, b attempt.Instance) int {
		return cmp.Or(cmp.Compare(a.Plan, b.Plan), cmp.Compare(a.Instance, b.Instance))
	}) {
		if same, ok := t.w.model.cycleOf(o); o != i && ok && known && same == cycle {
			t.w.violated("R5.8", "%s starts while %s, the same cycle, runs", p.key, t.live[o].key)
		}
	}
	t.live[i], t.fence[i] = p, p.key.Fence
}

func (t *processTable) stop(p *process, outcome wire.Outcome) {
	t.w.note("%s: process %s with fence %d ends: %s", p.k.h.id, p.key, p.key.Fence, outcome)
	p.live = false
	if t.live[p.key.Of()] == p {
		delete(t.live, p.key.Of())
	}
	t.ended[p.key] = outcome
}
