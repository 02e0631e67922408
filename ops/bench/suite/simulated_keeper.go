package suite

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"backfleet/agent/attempt"
	"backfleet/agent/session"
	"backfleet/pkg/wire"
)

// simulatedKeeper holds attempts as the real keeper does, with its queue of
// work granted ahead, its leases and its recalls, but an attempt is only a
// moment at which it ends. It is used under its agent's lock.
type simulatedKeeper struct {
	of       *simulation
	core     *session.Core
	attempts map[attempt.Key]*pretended
	running  map[string]int          // by resource group
	waiting  map[string][]*pretended // by resource group, the most urgent first
	moments  moments
}

// pretended is an attempt that runs nowhere.
type pretended struct {
	key      attempt.Key
	group    string
	slots    int // of the group here
	ahead    bool
	priority int32
	lease    time.Duration // when it must have ended
	giveBack time.Duration // while it waits: when it is given back
	ends     time.Duration // once it runs: when it is done
	runs     bool
	started  time.Time
	result   *wire.AttemptResult
}

const giveBackAfter = 250 * time.Millisecond

func newSimulatedKeeper(of *simulation, core *session.Core) simulatedKeeper {
	return simulatedKeeper{
		of: of, core: core, attempts: map[attempt.Key]*pretended{},
		running: map[string]int{}, waiting: map[string][]*pretended{},
	}
}

// obey does what the core asks of a keeper; quiet says that it asked nothing.
func (k *simulatedKeeper) obey(now time.Duration, e session.Effects) (quiet bool) {
	for _, m := range e.Start {
		k.start(now, m)
	}
	for _, m := range e.Extend {
		for _, ref := range m.Refs {
			if p := k.attempts[attempt.KeyOf(ref)]; p != nil {
				p.lease = max(p.lease, time.Duration(m.DeadlineNs))
			}
		}
	}
	for _, m := range e.Stop {
		k.stop(now, m)
	}
	for _, key := range e.Ship { // a log without a line is safe
		k.core.LogSafe(key)
	}
	for _, ref := range e.Forget {
		key := attempt.KeyOf(ref)
		if p := k.attempts[key]; p != nil && p.result != nil {
			delete(k.attempts, key)
			k.of.ledger.acknowledged(key, p.result.Outcome)
		}
	}
	return len(e.Start)+len(e.Extend)+len(e.Stop)+len(e.Ship)+len(e.Forget) == 0
}

func (k *simulatedKeeper) start(now time.Duration, m *wire.StartAttempt) {
	key := attempt.KeyOf(m.Ref)
	if k.attempts[key] != nil {
		return
	}
	p := &pretended{
		key: key, group: cmp.Or(m.Group, k.of.group), slots: cmp.Or(int(m.Slots), k.of.slots), ahead: m.Ahead,
		priority: m.Priority, lease: time.Duration(m.DeadlineNs), started: time.Now(),
	}
	k.attempts[key] = p
	if !p.ahead || k.running[p.group] < p.slots {
		k.run(now, p)
		return
	}
	wait := time.Duration(m.AheadMs) * time.Millisecond
	if wait == 0 {
		wait = giveBackAfter
	}
	p.giveBack = now + wait
	list := k.waiting[p.group]
	at := len(list)
	for at > 0 && list[at-1].priority < p.priority {
		at--
	}
	k.waiting[p.group] = slices.Insert(list, at, p)
	heap.Push(&k.moments, moment{min(p.giveBack, p.lease), p})
	k.core.KeeperChanged(&wire.KeptAttempt{Ref: key.Ref(), Running: true, Queued: true, Ahead: true})
}

func (k *simulatedKeeper) run(now time.Duration, p *pretended) {
	p.runs, p.started, p.ends = true, time.Now(), now
	k.running[p.group]++
	k.of.ledger.started(p.key)
	if k.of.takes != nil {
		p.ends += k.of.takes()
	}
	if p.ends <= now {
		k.end(now, p, wire.Outcome_SUCCEEDED, "")
		return
	}
	heap.Push(&k.moments, moment{min(p.ends, p.lease), p})
	k.core.KeeperChanged(&wire.KeptAttempt{Ref: p.key.Ref(), Running: true, Ahead: p.ahead})
}

// end makes the result known and lets the next one have the slot.
func (k *simulatedKeeper) end(now time.Duration, p *pretended, outcome wire.Outcome, cause string) {
	p.result = &wire.AttemptResult{
		Ref: p.key.Ref(), Outcome: outcome, Cause: cause,
		StartedMs: p.started.UnixMilli(), EndedMs: time.Now().UnixMilli(),
	}
	ran := p.runs
	if ran {
		p.runs = false
		k.running[p.group]--
		k.of.ledger.ended(p.key)
	} else {
		k.waiting[p.group] = slices.DeleteFunc(k.waiting[p.group], func(o *pretended) bool { return o == p })
	}
	k.core.KeeperChanged(&wire.KeptAttempt{Ref: p.key.Ref(), Result: p.result, Ahead: p.ahead})
	k.core.LogSafe(p.key)
	if list := k.waiting[p.group]; ran && len(list) > 0 && k.running[p.group] < list[0].slots {
		k.waiting[p.group] = list[1:]
		k.run(now, list[0])
	}
}

func (k *simulatedKeeper) stop(now time.Duration, m *wire.StopAttempt) {
	p := k.attempts[attempt.KeyOf(m.Ref)]
	switch {
	case p == nil || p.result != nil || m.Recall && p.runs:
	case m.Recall:
		k.end(now, p, wire.Outcome_RECALLED, m.Cause)
	default:
		k.end(now, p, wire.Outcome_STOPPED, m.Cause)
	}
}

// due lets happen what was to happen by now.
func (k *simulatedKeeper) due(now time.Duration) {
	for len(k.moments) > 0 && k.moments[0].at <= now {
		p := heap.Pop(&k.moments).(moment).of
		switch {
		case p.result != nil:
		case p.lease <= now:
			k.end(now, p, wire.Outcome_LOST, "its lease ended: no coordinator renewed it in time")
		case p.runs && p.ends <= now:
			k.end(now, p, wire.Outcome_SUCCEEDED, "")
		case p.runs:
			heap.Push(&k.moments, moment{min(p.ends, p.lease), p})
		case p.giveBack <= now:
			k.end(now, p, wire.Outcome_RECALLED, "no slot became free in time")
		default:
			heap.Push(&k.moments, moment{min(p.giveBack, p.lease), p})
		}
	}
}

func (k *simulatedKeeper) next() (time.Duration, bool) {
	if len(k.moments) == 0 {
		return 0, false
	}
	return k.moments[0].at, true
}

// moment is when an attempt is to be looked at again.
type moment struct {
	at time.Duration
	of *pretended
}

// moments is a heap, the next one first.
type moments []moment

func (m moments) Len() int           { return len(m) }
func (m moments) Less(i, j int) bool { return m[i].at < m[j].at }
func (m moments) Swap(i, j int)      { m[i], m[j] = m[j], m[i] }
func (m *moments) Push(x any)        { *m = append(*m, x.(moment)) }
func (m *moments) Pop() any {
	last := len(*m) - 1
	x := (*m)[last]
	*m = (*m)[:last]
	return x
}
