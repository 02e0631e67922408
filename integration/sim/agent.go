package sim

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"backfleet/agent/attempt"
	"backfleet/agent/session"
	"backfleet/coordinator/dispatch"
	"backfleet/pkg/wire"
)

// host is a machine with an agent: a keeper, and a session that comes and
// goes.
type host struct {
	w       *world
	id      string // of the agent
	name    string // of the machine; another one may have the same agent's id
	boots   int
	clock   clock
	slots   []*wire.GroupSlots
	labels  []*wire.Assignment
	keeper  *keeper
	keepers int
	disk    map[attempt.Key]*wire.KeptAttempt // results that outlive keepers

	core    *session.Core // nil: the session process is down
	synced  *keeper       // the keeper that the core knows of: no other one gets its calls
	life    int           // counts session processes
	leaving bool          // the session ends as soon as nothing runs
	frozen  bool          // the session process is stopped
	backlog []func()
	stream  *stream
	dialing bool
	waking  time.Duration
	calls   time.Duration // when the last call to the keeper arrives
	news    time.Duration // and the last word from it
}

func newHost(w *world, i int) *host {
	h := &host{w: w, id: fmt.Sprint("a", i), name: fmt.Sprint("a", i), clock: w.newClock(), disk: map[attempt.Key]*wire.KeptAttempt{}}
	h.slots = []*wire.GroupSlots{{Group: "default", Slots: uint32(w.many(16, 1+w.rnd.IntN(4)))}}
	if w.oneIn(2) || i == 0 {
		h.slots = append(h.slots, &wire.GroupSlots{Group: "big", Slots: uint32(1 + w.rnd.IntN(2))})
	}
	if w.oneIn(3) || i == 0 {
		h.labels = gpu
	}
	if i == 0 { // so that somebody can hold whatever there is
		for _, g := range h.slots {
			g.Slots = max(2, g.Slots)
		}
	}
	h.begin()
	return h
}

// newImpostor is another machine whose agent was given an id that one has.
func newImpostor(of *host) *host {
	w := of.w
	h := &host{w: w, id: of.id, name: of.id + "x", clock: w.newClock(), slots: of.slots, labels: of.labels, disk: map[attempt.Key]*wire.KeptAttempt{}}
	w.after(w.between(0, faultsEnd)*w.slow, h.begin)
	return h
}

func (h *host) begin() {
	h.w.after(h.w.delay(), func() {
		h.startKeeper()
		h.startSession()
	})
}

// slotsOf is how many processes of a group may run at once.
func (h *host) slotsOf(group string) int {
	for _, g := range h.slots {
		if g.Group == group {
			return int(g.Slots)
		}
	}
	return 0
}

// do runs f in the session process.
func (h *host) do(f func()) {
	switch {
	case h.core == nil:
	case h.frozen:
		h.backlog = append(h.backlog, f)
	default:
		f()
		h.step()
	}
}

func (h *host) later(d time.Duration, f func()) {
	life := h.life
	h.w.after(d, func() {
		if life == h.life {
			h.do(f)
		}
	})
}

func (h *host) freezeSession(d time.Duration) {
	if h.core == nil || h.frozen {
		return
	}
	h.w.note("%s: session frozen", h.id)
	h.w.report.Faults[sessionFreeze]++
	h.frozen = true
	h.w.after(d, h.thaw)
}

func (h *host) thaw() {
	if !h.frozen {
		return
	}
	h.w.note("%s: session awake again", h.id)
	h.frozen = false
	backlog := h.backlog
	h.backlog = nil
	for _, f := range backlog {
		h.do(f)
	}
}

func (h *host) restartSession(down time.Duration) {
	if h.core == nil {
		return
	}
	h.w.note("%s: session dies", h.id)
	h.w.report.Faults[sessionRestart]++
	h.core, h.synced, h.leaving, h.frozen, h.backlog, h.dialing, h.waking, h.life = nil, nil, false, false, nil, false, 0, h.life+1
	if s := h.stream; s != nil {
		h.stream = nil
		s.closedByAgent()
	}
	h.w.after(down, h.startSession)
}

func (h *host) startSession() {
	if h.core != nil {
		return
	}
	h.w.note("%s: session starts", h.id)
	h.core = session.NewCore(&wire.Agent{Id: h.id, Host: h.name, Boot: fmt.Sprint("boot", h.boots), Groups: h.slots, Labels: h.labels}, commands{})
	h.syncKeeper()
}

// leave ends the session in good order: it takes no more work, and says goodbye
// when nothing runs. Another one follows.
func (h *host) leave() {
	if h.core == nil || h.leaving {
		return
	}
	h.w.note("%s: drains, to end", h.name)
	h.w.report.Faults[agentLeaves]++
	h.do(func() {
		h.leaving = true
		h.core.Drain()
		h.core.Leave()
	})
}

// goodbye ends a session that has been seen off.
func (h *host) goodbye() {
	if h.leaving && h.core.Left() {
		h.w.note("%s: has said goodbye", h.name)
		h.w.report.Goodbyes++
		h.restartSession(h.w.spell())
	}
}

// reboot takes everything that runs on the machine.
func (h *host) reboot(down time.Duration) {
	h.w.note("%s: the machine is restarted", h.name)
	h.w.report.Reboots++
	h.w.report.Faults[machineRestart]++
	h.boots++
	h.killKeeper()
	h.restartSession(down)
}

// killKeeper takes the keeper and all its processes; another one follows.
func (h *host) killKeeper() {
	if h.keeper == nil {
		return
	}
	h.w.note("%s: keeper dies", h.id)
	h.w.report.Faults[keeperDeath]++
	h.keeper.die()
	h.keeper = nil
	h.news = max(h.news, h.w.now+h.w.delay())
	h.later(h.news-h.w.now, func() {
		h.synced = nil
		h.core.KeeperLost()
	})
	h.w.after(h.w.between(10*time.Millisecond, 5*time.Second), h.startKeeper)
}

func (h *host) startKeeper() {
	if h.keeper != nil {
		return
	}
	h.keepers++
	h.keeper = newKeeper(h, fmt.Sprint(h.name, "-k", h.keepers))
	h.syncKeeper()
}

func (h *host) repair() {
	h.thaw()
	h.startKeeper()
	h.startSession()
}

func (h *host) breakStream() {
	if h.stream != nil {
		h.w.report.Faults[streamBreak]++
		h.stream.broke()
	}
}

// syncKeeper gives a session all that its keeper has, then what changes.
func (h *host) syncKeeper() {
	if h.keeper == nil || h.core == nil {
		return
	}
	k := h.keeper
	h.fromKeeper(k, func() {
		list := k.list()
		h.synced = k
		h.core.KeeperSynced(k.incarnation, list)
		for _, a := range list {
			h.logOf(a)
		}
		h.dial()
	})
}

// fromKeeper delivers news in order.
func (h *host) fromKeeper(k *keeper, f func()) {
	h.news = max(h.news, h.w.now+h.w.between(0, 2*time.Millisecond))
	h.later(h.news-h.w.now, func() {
		if h.keeper == k {
			f()
		}
	})
}

// logOf lets an ended attempt's log arrive some time later.
func (h *host) logOf(a *wire.KeptAttempt) {
	if !a.Running {
		key := attempt.KeyOf(a.Ref)
		h.later(h.w.between(time.Millisecond, 3*time.Second), func() { h.core.LogSafe(key) })
	}
}

// step does what the core asks for.
func (h *host) step() {
	if h.core == nil || h.frozen {
		return
	}
	e := h.core.Take(h.clock.mono())
	for _, m := range e.Start {
		h.toKeeper(func(k *keeper) {
			if cause := k.start(m); cause != "" {
				h.later(0, func() { h.core.Refused(attempt.KeyOf(m.Ref), cause) })
			}
		})
	}
	for _, m := range e.Extend {
		h.toKeeper(func(k *keeper) { k.extend(m) })
	}
	for _, m := range e.Stop {
		h.toKeeper(func(k *keeper) {
			if m.Recall {
				h.w.table.recalled(k, attempt.KeyOf(m.Ref))
			}
			k.stop(m)
		})
	}
	for _, key := range e.Ship {
		h.logOf(&wire.KeptAttempt{Ref: key.Ref()})
	}
	if len(e.Forget) > 0 {
		h.toKeeper(func(k *keeper) { k.forget(e.Forget) })
	}
	if s := h.stream; s != nil {
		for _, m := range e.Send {
			s.toLeader(proto.CloneOf(m))
		}
		if e.Redial != "" {
			h.w.note("%s: redials: %s", h.id, e.Redial)
			h.stream = nil
			s.closedByAgent()
		}
	}
	h.goodbye()
	if h.core == nil {
		return
	}
	h.dial()
	h.wakeLater()
}

func (h *host) wakeLater() {
	at, ok := h.core.NextWake()
	if !ok {
		return
	}
	t := max(h.clock.when(at), h.w.now)
	if h.waking > h.w.now && h.waking <= t {
		return
	}
	h.waking = t
	h.later(t-h.w.now, func() {})
}

// toKeeper calls the keeper, in order, after a moment.
func (h *host) toKeeper(f func(*keeper)) {
	k, life := h.synced, h.life
	h.calls = max(h.calls, h.w.now+h.w.between(0, 2*time.Millisecond))
	h.w.at(h.calls, func() {
		if k != nil && h.keeper == k && life == h.life {
			f(k)
		}
	})
}

// dial looks for the leader, with pauses.
func (h *host) dial() {
	if h.stream != nil || h.dialing || !h.core.Ready() {
		return
	}
	h.dialing = true
	h.later(h.w.between(5*time.Millisecond, 800*time.Millisecond)*h.w.slow, func() {
		h.dialing = false
		if h.stream != nil || !h.core.Ready() {
			return
		}
		c := pick(h.w, h.w.log.all)
		if !c.up || !h.w.reach(h.name, c.id) || !c.frozen && c.scope == nil {
			h.dial()
			return
		}
		s := newStream(h, c)
		h.stream = s
		h.core.Connected(h.clock.mono())
		h.later(time.Second, func() { // patience for the answer to Hello
			if h.stream == s && !s.welcomed {
				h.stream = nil
				s.closedByAgent()
				h.core.Disconnected()
			}
		})
	})
}

// commands is the preparer: what a process does is drawn by the keeper.
type commands struct{}

func (commands) Prepare(d *wire.Definition, w *wire.Work) (*wire.StartAttempt, error) {
	return &wire.StartAttempt{Command: []string{"sh"}, TimeoutMs: d.Node.TimeoutMs, Weight: d.Node.Slots}, nil
}

// stream is one agent's connection to one coordinator.
type stream struct {
	w        *world
	h        *host
	c        *coordinator
	life     int
	conn     dispatch.Conn
	up, down *pipe
	scope    *dispatcher // that took it in
	welcomed bool
	dead     bool
}

func newStream(h *host, c *coordinator) *stream {
	c.lastConn++
	return &stream{
		w: h.w, h: h, c: c, life: h.life, conn: dispatch.Conn(c.lastConn),
		up: h.w.newPipe(h.name, c.id), down: h.w.newPipe(c.id, h.name),
	}
}

func (s *stream) toLeader(m *wire.AgentMessage) {
	life := s.c.life
	s.up.send(func() {
		if life != s.c.life {
			s.broke()
			return
		}
		s.c.do(func() { s.leaderHears(m) })
	})
}

func (s *stream) leaderHears(m *wire.AgentMessage) {
	switch {
	case s.scope == nil && s.c.scope == nil, s.scope != nil && s.scope != s.c.scope:
		s.broke()
	case s.scope == nil:
		s.scope = s.c.scope
		s.scope.hello(s, m.GetHello())
	default:
		s.scope.heard(s, m.GetReport())
	}
}

func (s *stream) toAgent(m *wire.LeaderMessage) {
	s.down.send(func() {
		s.h.later(0, func() {
			if s.h.stream == s {
				s.welcomed = s.welcomed || m.GetWelcome() != nil
				s.h.core.Received(s.h.clock.mono(), m)
			}
		})
	})
}

// broke ends the stream for both, who see it at moments of their own. What was
// on the way is lost.
func (s *stream) broke() {
	if s.dead {
		return
	}
	s.dead = true
	s.up.broken, s.down.broken = true, true
	s.tellAgent()
	s.tellLeader()
}

func (s *stream) tellAgent() {
	life := s.life
	s.w.after(s.w.between(0, 300*time.Millisecond), func() {
		if s.h.life == life {
			s.h.do(func() {
				if s.h.stream == s {
					s.h.stream = nil
					s.h.core.Disconnected()
					s.h.dial()
				}
			})
		}
	})
}

// tellLeader lets the leader see the end, unless the network is cut: then it
// sees nothing and waits for the lease's end.
func (s *stream) tellLeader() {
	life := s.c.life
	s.w.after(s.w.between(0, 300*time.Millisecond), func() {
		if s.c.life == life && s.w.reach(s.c.id, s.h.name) {
			s.c.do(func() {
				if s.scope != nil && !s.scope.ended {
					s.scope.gone(s)
				}
			})
		}
	})
}

func (s *stream) closedByAgent() {
	s.dead = true
	s.up.broken, s.down.broken = true, true
	s.tellLeader()
}

// closedByLeader ends it after what was sent.
func (s *stream) closedByLeader() {
	s.dead = true
	s.up.broken = true
	s.down.send(func() {
		s.down.broken = true
		s.tellAgent()
	})
	delete(s.scope.streams, s.conn)
}
