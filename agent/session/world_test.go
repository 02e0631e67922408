package session

import (
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"backfleet/agent/attempt"
	"backfleet/pkg/wire"
)

// TestTheAgentStopsBeforeTheLeaderMayExpire plays an agent against a leader
// over a network that delays everything at will, breaks, and a keeper that
// hears of all late, has work granted ahead wait, starts it, ends it and gives it
// back as it likes; sessions die and come back. The leader's lease restarts when
// a renewal reaches it, or when it grants; the keeper must have killed before it
// ends. Nothing runs that was given back, and what the leader is told to have
// started has.
func TestTheAgentStopsBeforeTheLeaderMayExpire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{T: t, leader: map[attempt.Key]time.Duration{}, keeper: map[attempt.Key]*modelled{}, results: map[attempt.Key]wire.Outcome{}}
		w.restart()
		for range rapid.IntRange(1, 150).Draw(t, "steps") {
			w.now += time.Duration(rapid.IntRange(0, 4000).Draw(t, "pass")) * time.Millisecond
			w.expire()
			switch rapid.IntRange(0, 16).Draw(t, "act") {
			case 0:
				w.connect()
			case 1, 2, 3:
				w.toLeader()
			case 4, 5, 6:
				w.toAgent()
			case 7:
				w.grant(false)
			case 8, 9:
				w.grant(true)
			case 10, 11:
				w.toKeeper()
			case 12, 13:
				w.run()
			case 14:
				w.callBack()
			case 15:
				if rapid.IntRange(0, 9).Draw(t, "restart") == 0 {
					w.restart()
				}
			case 16: // time passes
			}
			w.take()
		}
		w.settle()
	})
}

type world struct {
	*rapid.T
	core    *Core
	now     time.Duration
	next    uint64
	up      []*wire.AgentMessage // on their way
	down    []*wire.LeaderMessage
	ipc     []func()
	hello   bool
	leader  map[attempt.Key]time.Duration // when the leader's term began
	keeper  map[attempt.Key]*modelled
	results map[attempt.Key]wire.Outcome // as the leader knows them
}

// modelled is an attempt as the keeper has it.
type modelled struct {
	kills  time.Duration
	queued bool
	ran    bool
	ahead  bool
	result *wire.AttemptResult
}

func (w *world) kept(k attempt.Key) *wire.KeptAttempt {
	a := w.keeper[k]
	return &wire.KeptAttempt{Ref: k.Ref(), Running: a.result == nil, Queued: a.queued, Ahead: a.ahead, Result: a.result}
}

func (w *world) keys() []attempt.Key {
	return slices.SortedFunc(maps.Keys(w.keeper), attempt.Key.Compare)
}

// restart is a new session that finds the keeper as it is.
func (w *world) restart() {
	w.core = NewCore(&wire.Agent{Id: "a", Groups: []*wire.GroupSlots{{Group: "g", Slots: 2}}}, preparer{})
	w.ipc = nil
	var list []*wire.KeptAttempt
	for _, k := range w.keys() {
		list = append(list, w.kept(k))
	}
	w.core.KeeperSynced("k", list)
	for _, m := range list {
		if !m.Running {
			w.core.LogSafe(attempt.KeyOf(m.Ref))
		}
	}
	w.connect()
	for _, m := range w.up { // hello
		if n := len(m.GetHello().GetHeld()); m.GetHello() != nil && n != len(list) {
			w.Fatalf("a new session says that it holds %d of %d attempts", n, len(list))
		}
	}
}

func (w *world) connect() {
	w.core.Disconnected()
	w.up, w.down, w.hello = nil, nil, false
	w.core.Connected(w.now)
	w.take()
}

func (w *world) take() {
	e := w.core.Take(w.now)
	w.up = append(w.up, e.Send...)
	for _, s := range e.Start {
		w.ipc = append(w.ipc, func() { w.start(s) })
	}
	for _, x := range e.Extend {
		w.ipc = append(w.ipc, func() {
			for _, r := range x.Refs {
				if a := w.keeper[attempt.KeyOf(r)]; a != nil {
					a.kills = max(a.kills, time.Duration(x.DeadlineNs))
				}
			}
		})
	}
	for _, s := range e.Stop {
		w.ipc = append(w.ipc, func() { w.stop(s) })
	}
	for _, k := range e.Ship {
		w.core.LogSafe(k)
	}
	for _, r := range e.Forget {
		w.ipc = append(w.ipc, func() {
			if a := w.keeper[attempt.KeyOf(r)]; a != nil && a.result == nil {
				w.Fatalf("%v is to be forgotten while it is alive", r)
			}
			delete(w.keeper, attempt.KeyOf(r))
		})
	}
	if e.Redial != "" {
		w.connect()
	}
}

func (w *world) start(s *wire.StartAttempt) {
	k := attempt.KeyOf(s.Ref)
	switch {
	case w.keeper[k] != nil:
		return
	case time.Duration(s.DeadlineNs) <= w.now:
		w.core.Refused(k, "its lease has ended before it could start")
		return
	}
	if s.Slots != 2 || s.Group != "g" || s.AheadMs != ahead.Milliseconds() {
		w.Fatalf("start %v does not say which slots it is for", s)
	}
	w.keeper[k] = &modelled{kills: time.Duration(s.DeadlineNs), queued: s.Ahead, ran: !s.Ahead, ahead: s.Ahead}
	w.core.KeeperChanged(w.kept(k))
}

func (w *world) stop(s *wire.StopAttempt) {
	k := attempt.KeyOf(s.Ref)
	switch a := w.keeper[k]; {
	case a == nil || a.result != nil || s.Recall && !a.queued:
	case s.Recall:
		w.end(k, wire.Outcome_RECALLED)
	default:
		w.end(k, wire.Outcome_STOPPED)
	}
}

// end gives an attempt its result, of which the session hears at once.
func (w *world) end(k attempt.Key, o wire.Outcome) {
	a := w.keeper[k]
	if o == wire.Outcome_RECALLED && a.ran {
		w.Fatalf("%v ran, and is given back", k)
	}
	a.result, a.queued = &wire.AttemptResult{Ref: k.Ref(), Outcome: o}, false
	w.core.KeeperChanged(w.kept(k))
	w.core.LogSafe(k)
}

// run lets the keeper start or end something.
func (w *world) run() {
	keys := w.keys()
	if len(keys) == 0 {
		return
	}
	k := rapid.SampledFrom(keys).Draw(w.T, "which")
	switch a := w.keeper[k]; {
	case a.result != nil:
	case a.queued && rapid.Bool().Draw(w.T, "waits too long"):
		w.end(k, wire.Outcome_RECALLED)
	case a.queued:
		a.queued, a.ran = false, true
		w.core.KeeperChanged(w.kept(k))
	default:
		w.end(k, wire.Outcome_SUCCEEDED)
	}
}

// expire lets the keeper kill what is due, then checks that nothing lives
// whose term the leader may end.
func (w *world) expire() {
	for _, k := range w.keys() {
		a := w.keeper[k]
		if a.result != nil {
			continue
		}
		if a.kills <= w.now {
			w.end(k, wire.Outcome_LOST)
			continue
		}
		if since, granted := w.leader[k]; !granted || w.now > since+lease-margin {
			w.Fatalf("at %s %v runs until %s; the leader counts its term from %s", w.now, k, a.kills, since)
		}
	}
	for k, since := range w.leader {
		if w.now > since+lease {
			delete(w.leader, k)
		}
	}
}

func (w *world) toLeader() {
	if len(w.up) == 0 {
		return
	}
	m := w.up[0]
	w.up = w.up[1:]
	if m.GetHello() != nil {
		w.hello = true
		w.down = append(w.down, welcome())
		return
	}
	r := m.GetReport()
	answer := &wire.Ack{Seq: r.Seq}
	for _, ref := range r.Started {
		if a := w.keeper[attempt.KeyOf(ref)]; a != nil && (!a.ran || !a.ahead) {
			w.Fatalf("%v is said to have started, and has not, or was not granted ahead", ref)
		}
		if slices.ContainsFunc(r.Results, func(x *wire.AttemptResult) bool { return attempt.KeyOf(x.Ref) == attempt.KeyOf(ref) }) {
			w.Fatalf("%v has started and ended in one report", ref)
		}
	}
	for _, x := range r.Results {
		k := attempt.KeyOf(x.Ref)
		if o, known := w.results[k]; known && o != x.Outcome {
			w.Fatalf("%v ended with %s, and with %s", k, o, x.Outcome)
		}
		w.results[k] = x.Outcome
		answer.Results = append(answer.Results, x.Ref)
		delete(w.leader, k)
	}
	for _, h := range r.Held {
		if _, ok := w.leader[attempt.KeyOf(h)]; ok {
			w.leader[attempt.KeyOf(h)] = w.now
		} else {
			answer.Unknown = append(answer.Unknown, h)
		}
	}
	w.down = append(w.down, ack(answer))
}

func (w *world) toAgent() {
	if len(w.down) > 0 {
		w.core.Received(w.now, w.down[0])
		w.down = w.down[1:]
	}
}

func (w *world) grant(early bool) {
	if w.hello {
		w.next++
		w.leader[key(w.next)] = w.now
		m := assign(w.next)
		m.GetAssign().Definitions[0].ResourceGroup = "g"
		m.GetAssign().Work[0].Ahead = early
		w.down = append(w.down, m)
	}
}

// callBack is the leader's wish to have something again, or to stop it.
func (w *world) callBack() {
	if w.hello && w.next > 0 {
		i := rapid.Uint64Range(1, w.next).Draw(w.T, "of")
		w.down = append(w.down, stopOf(rapid.Bool().Draw(w.T, "recall"), i))
	}
}

func (w *world) toKeeper() {
	for len(w.ipc) > 0 {
		f := w.ipc[0]
		w.ipc = w.ipc[1:]
		f()
	}
}

// settle drains the agent over a network that works again: what waits is given
// back, and the leader knows every result and every start.
func (w *world) settle() {
	w.connect()
	w.core.Drain()
	for range 4 {
		w.take()
		w.toKeeper()
		w.take()
		for len(w.up) > 0 {
			w.toLeader()
		}
		for len(w.down) > 0 {
			w.toAgent()
		}
	}
	w.take()
	w.toKeeper()
	if !w.core.Drained() {
		w.Fatalf("not drained with a network that works")
	}
	for _, k := range w.keys() {
		if a := w.keeper[k]; a.queued {
			w.Fatalf("%v waits still at an agent that has been drained", k)
		} else if a.result != nil {
			w.Fatalf("%v has ended with %s, and is not forgotten", k, a.result.Outcome)
		}
	}
}

// The model must reach what it is there for.
func TestTheWorldOfTheTestGivesBackAndStarts(t *testing.T) {
	w := &world{leader: map[attempt.Key]time.Duration{}, keeper: map[attempt.Key]*modelled{}, results: map[attempt.Key]wire.Outcome{}}
	w.restart()
	w.toLeader()
	w.grant(true)
	w.grant(true)
	for len(w.down) > 0 {
		w.toAgent()
	}
	w.take()
	w.toKeeper()
	w.keeper[key(1)].queued, w.keeper[key(1)].ran = false, true
	w.core.KeeperChanged(w.kept(key(1)))
	w.settle()
	if w.results[key(2)] != wire.Outcome_RECALLED || w.keeper[key(1)] == nil || w.keeper[key(2)] != nil {
		t.Errorf("got results %v and the keeper has %v, want one that runs and one given back", w.results, w.keeper)
	}
}
