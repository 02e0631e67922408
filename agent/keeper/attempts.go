package keeper

import (
	"fmt"
	"slices"
	"syscall"
	"time"

	"backfleet/agent/attempt"
	"backfleet/agent/monotonic"
	"backfleet/agent/runner"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// kept is one attempt. The keeper's lock guards it; the process's end comes in
// through Exited.
type kept struct {
	keeper  *Keeper
	key     attempt.Key
	running bool // until its result is announced
	group   *group
	start   *wire.StartAttempt // until it has a slot
	weight  int                // how many slots it takes
	user    string             // as whom it runs; empty: as this process
	slot    bool               // it has them
	ahead   bool               // it was granted without
	process *runner.Process
	folder  *folder   // where it works; nil: not one of the keeper's
	left    bool      // some process of it may still work there
	given   time.Time // when it got its slot
	started time.Time
	dead    chan struct{} // closed when no process of the group is left

	// What ends it, as moments of the monotonic clock; 0: never.
	lease   time.Duration
	timeout time.Duration
	kill    time.Duration
	giveUp  time.Duration // the wait for a slot
	limit   time.Duration // the timeout as it was asked for
	timer   *time.Timer

	verdict  wire.Outcome // why the keeper ended it; unspecified: it did not
	cause    string
	result   *wire.AttemptResult
	logBytes uint64
	log      []byte // the whole of it, if it is in no file
}

// start begins attempts, or has them wait for a slot. Asking twice is fine; nil
// says that one is to run, waits, runs or ran.
func (k *Keeper) start(list ...*wire.StartAttempt) []error {
	errs := make([]error, len(list))
	var fresh []*kept
	var places []int // of those in the list
	var before []*kept
	k.mu.Lock()
	for i, m := range list {
		a, b, err := k.admit(m)
		if errs[i] = err; a != nil {
			fresh, places, before = append(fresh, a), append(places, i), append(before, b)
		}
	}
	k.mu.Unlock()
	if len(fresh) == 0 {
		return errs
	}
	for _, m := range list {
		if m.User != "" {
			_, _ = k.accounts.Find(m.User) // not on the runner's thread, where it is needed
		}
	}
	err := k.store.begin(fresh, k.config.Wall())
	k.mu.Lock()
	defer k.unlock()
	for i, a := range fresh {
		switch {
		case err != nil:
			errs[places[i]] = k.dismiss(a, err)
		case before[i] == nil || before[i].result != nil:
			k.enter(a)
		default:
			go k.enterAfter(before[i], a)
		}
	}
	for _, a := range fresh { // when all stand in line, so that the most urgent goes first
		k.fill(a.group)
	}
	for _, a := range fresh {
		if a.waits() {
			a.arm()
		}
	}
	return errs
}

// dismiss takes an attempt whose beginning cannot be written down out of the
// books again. The keeper's lock is held.
func (k *Keeper) dismiss(a *kept, err error) error {
	k.running--
	delete(k.attempts, a.key)
	if k.newest[a.key.Of()] == a {
		delete(k.newest, a.key.Of())
	}
	close(a.dead)
	return fault.Wrap(err, fault.Internal, "attempt %s: its beginning cannot be written down; look for a full disk", a.key)
}

// Started implements runner.Events.
func (a *kept) Started(process *runner.Process, err error) {
	k := a.keeper
	k.mu.Lock()
	defer k.unlock()
	if err != nil {
		a.finish(wire.Outcome_FAILED, 127, time.Now(), "could not be started: "+a.explain(err))
		return
	}
	a.process, a.started = process, time.Now()
	if a.limit > 0 {
		a.timeout = monotonic.Now() + a.limit
	}
	if a.verdict != wire.Outcome_OUTCOME_UNSPECIFIED {
		process.Signal(syscall.SIGKILL) // ended before there was a process to signal
	}
	a.arm()
}

// admit books an attempt in. It gives nil without an error for one that is
// known, and the older attempt of the instance whose end must be awaited. The
// lock is held.
func (k *Keeper) admit(m *wire.StartAttempt) (a, before *kept, err error) {
	key, now := attempt.KeyOf(m.Ref), monotonic.Now()
	lease := time.Duration(m.DeadlineNs)
	if lease == 0 {
		lease = now + time.Duration(m.LeaseMs)*time.Millisecond
	}
	switch known := k.attempts[key]; {
	case known != nil:
		return nil, nil, nil
	case k.closing:
		return nil, nil, fault.New(fault.Unavailable, "attempt %s: the keeper is ending", key)
	case len(m.Command) == 0:
		return nil, nil, fault.Field("command", "attempt %s: expected a program, found nothing", key)
	case lease <= now:
		return nil, nil, fault.New(fault.Timeout, "attempt %s: its lease has ended before it could start", key)
	}
	if n := k.newest[key.Of()]; n != nil {
		if n.key.Fence >= key.Fence {
			return nil, nil, fault.New(fault.Conflict, "attempt %s with fence %d: a newer one with fence %d is known (RULES R13.3)",
				key, key.Fence, n.key.Fence)
		}
		n.end(wire.Outcome_LOST, fmt.Sprintf("a newer attempt with fence %d took its place", key.Fence), 0)
		before = n
	}
	a = &kept{keeper: k, key: key, running: true, start: m, group: k.group(m), weight: max(1, int(m.Weight)), user: m.User, ahead: m.Ahead, lease: lease, dead: make(chan struct{})}
	if m.Ahead && m.AheadMs > 0 {
		a.giveUp = now + time.Duration(m.AheadMs)*time.Millisecond
	}
	if m.TimeoutMs > 0 {
		a.limit = time.Duration(m.TimeoutMs) * time.Millisecond
	}
	k.attempts[key], k.newest[key.Of()] = a, a
	k.running++
	return a, before, nil
}

// Grew implements runner.Events.
func (a *kept) Grew(bytes uint64) {
	k := a.keeper
	k.mu.Lock()
	defer k.mu.Unlock()
	a.logBytes = bytes
	k.changed(a)
}

// Exited implements runner.Events.
func (a *kept) Exited(e runner.Exit) {
	k := a.keeper
	k.mu.Lock()
	defer k.unlock()
	a.logBytes, a.log, a.left = e.LogBytes, e.Log, e.Left
	outcome, code, cause := wire.Outcome_SUCCEEDED, int32(e.Status.ExitStatus()), ""
	switch {
	case e.OutOfMemory && code != 0:
		code = 128 + int32(syscall.SIGKILL)
		outcome, cause = wire.Outcome_FAILED, "out of memory: it and all that it started used more than limits.memory, and were killed"
	case e.Status.Signaled():
		code = 128 + int32(e.Status.Signal())
		outcome, cause = wire.Outcome_FAILED, "killed by signal: "+e.Status.Signal().String()
	case code != 0:
		outcome, cause = wire.Outcome_FAILED, fmt.Sprintf("exit code %d", code)
	}
	if a.verdict != wire.Outcome_OUTCOME_UNSPECIFIED {
		outcome, cause = a.verdict, a.cause
	}
	a.finish(outcome, code, e.Ended, cause)
	a.result.Metrics = e.Metrics
}

// finish queues the result for saving, and gives its slot to the next. The
// keeper's lock is held.
func (a *kept) finish(outcome wire.Outcome, code int32, ended time.Time, cause string) {
	if a.timer != nil {
		a.timer.Stop()
	}
	k := a.keeper
	wall := k.config.Wall()
	a.result = &wire.AttemptResult{Ref: a.key.Ref(), Outcome: outcome, ExitCode: code, Cause: cause, EndedMs: unixMs(wall, ended)}
	if !a.started.IsZero() {
		a.result.StartedMs = unixMs(wall, a.started)
	}
	if !a.given.IsZero() {
		a.result.SlotMs = max(1, ended.Sub(a.given).Milliseconds())
	}
	close(a.dead)
	k.unsaved = append(k.unsaved, a)
	if taken := k.vacate(a); !taken || len(k.unsaved) == 1 {
		k.wakeSaver() // else it waits already, and nothing makes it wait less
	}
}

// end stops an attempt: SIGTERM to its group and SIGKILL after the grace, at
// once without one. The first verdict stands; a shorter grace wins. The
// keeper's lock is held.
func (a *kept) end(verdict wire.Outcome, cause string, grace time.Duration) {
	if a.result != nil {
		return
	}
	if a.verdict == wire.Outcome_OUTCOME_UNSPECIFIED {
		a.verdict, a.cause = verdict, cause
	}
	at := monotonic.Now() + grace
	if a.kill == 0 || at < a.kill {
		a.kill = at
	}
	if a.waits() {
		if slices.Contains(a.group.waiting, a) { // else it waits for the end of an older one
			a.finish(a.verdict, 0, time.Now(), a.cause)
		}
		return
	}
	if verdict == wire.Outcome_LOST {
		a.keeper.vacate(a) // for the leader it has no slot any more, however long the kernel takes
	}
	if a.process == nil {
		return // it is ended as soon as there is something to end
	}
	if grace > 0 {
		a.process.Signal(syscall.SIGTERM)
		a.process.Signal(syscall.SIGCONT) // a stopped process cannot act on it
	} else {
		a.process.Signal(syscall.SIGKILL)
	}
	a.arm()
}

// arm sets the timer for whatever ends the attempt next. A later lease does
// not move it: the timer fires, finds nothing due, and is armed again.
func (a *kept) arm() {
	if a.result != nil {
		return
	}
	next := a.lease
	for _, at := range []time.Duration{a.timeout, a.kill, a.giveUp} {
		if at > 0 && at < next {
			next = at
		}
	}
	wait := max(next-monotonic.Now(), 0)
	if a.timer == nil {
		a.timer = time.AfterFunc(wait, a.due)
		return
	}
	a.timer.Reset(wait)
}

// due ends what must end now.
func (a *kept) due() {
	a.keeper.mu.Lock()
	defer a.keeper.unlock()
	if a.result != nil {
		return
	}
	now := monotonic.Now()
	switch {
	case now >= a.lease: // RULES R13.8: at once, without grace
		a.lease = now + time.Second // should the kernel take its time, say it again
		a.end(wire.Outcome_LOST, "its lease ended: no coordinator renewed it in time", 0)
	case a.giveUp > 0 && now >= a.giveUp:
		a.end(wire.Outcome_RECALLED, "it waited too long for a slot here, and was given back", 0)
	case a.kill > 0 && now >= a.kill && a.process != nil:
		a.kill = now + time.Second
		a.process.Signal(syscall.SIGKILL)
		a.arm()
	case a.timeout > 0 && now >= a.timeout:
		a.timeout = 0
		a.end(wire.Outcome_TIMED_OUT, fmt.Sprintf("ran longer than its timeout of %s", a.limit), a.keeper.config.Grace)
	default:
		a.arm()
	}
}

// extend moves the end of a lease, never to an earlier moment.
func (k *Keeper) extend(m *wire.ExtendAttempts) {
	lease := time.Duration(m.DeadlineNs)
	if lease == 0 {
		lease = monotonic.Now() + time.Duration(m.LeaseMs)*time.Millisecond
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, ref := range m.Refs {
		if a := k.attempts[attempt.KeyOf(ref)]; a != nil {
			a.lease = max(a.lease, lease)
		}
	}
}

// forget removes ended attempts.
func (k *Keeper) forget(refs []*wire.AttemptRef) error {
	list, err := k.drop(refs)
	if err != nil {
		return err
	}
	held := 0
	for _, a := range list {
		if held += len(a.log); a.logBytes > 0 && len(a.log) == 0 {
			k.store.removeLog(a.key)
		}
	}
	k.runner.Hold(-held)
	return nil
}

// drop takes attempts out of the books.
func (k *Keeper) drop(refs []*wire.AttemptRef) (list []*kept, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, ref := range refs {
		a := k.attempts[attempt.KeyOf(ref)]
		if a == nil {
			continue
		}
		if a.running {
			return nil, fault.New(fault.Conflict, "attempt %s still runs; it can be forgotten when its result is known", a.key)
		}
		list = append(list, a)
	}
	if err := k.store.forget(list); err != nil {
		return nil, fault.Wrap(err, fault.Internal, "keeper: cannot write that attempts are forgotten; look for a full disk")
	}
	for _, a := range list {
		if k.newest[a.key.Of()] == a {
			delete(k.newest, a.key.Of())
		}
		delete(k.attempts, a.key)
	}
	return list, nil
}
