// Package dispatch is the leader's side of the agent protocol. Core is a pure
// step machine: it takes what agents said and what the log applied, gives the
// next turn to propose, and after its commit the messages to send. Server
// around it owns the streams, the goroutine and the clock. The split lets
// simulations run whole fleets in virtual time.
package dispatch

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"backfleet/coordinator/schedule"
	"backfleet/coordinator/state"
	"backfleet/pkg/wire"
)

// Terms are the times of the lease protocol (RULES R13.8).
type Terms struct {
	Lease  time.Duration // without renewal, an attempt is lost after it
	Renew  time.Duration // agents renew this often
	Margin time.Duration // agents stop this much before the lease's end
	Grace  time.Duration // between SIGTERM and SIGKILL of a stop
	// Ahead is how long what is granted ahead may wait at its agent for a slot
	// before it is given back; less than 0: nothing is granted ahead.
	Ahead time.Duration
}

// DefaultTerms are those of RULES R13.8.
var DefaultTerms = Terms{Lease: 15 * time.Second, Renew: 3 * time.Second, Margin: 3 * time.Second, Grace: 10 * time.Second, Ahead: 250 * time.Millisecond}

// Complete fills in what is 0: the lease by default, renewal and margin as a
// fifth of it, the grace as by default but never longer than the lease, Ahead as by
// default.
func (t *Terms) Complete() {
	or := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	or(&t.Lease, DefaultTerms.Lease)
	or(&t.Renew, t.Lease/5)
	or(&t.Margin, t.Lease/5)
	or(&t.Grace, min(DefaultTerms.Grace, t.Lease))
	or(&t.Ahead, DefaultTerms.Ahead)
}

// Bounds of one turn, so that an entry stays small and a turn short. What does
// not fit comes with the next.
const (
	maxFinishes = 1000 // and as many starts, and losses
	maxGrants   = 1000
	maxSilent   = 1000   // agents
	maxOthers   = 10_000 // dates opened, dry runs, missed, yields
)

// Conn names one agent's stream; the shell numbers them and never reuses one.
type Conn uint64

// Message is something to send, or with Close set, a stream to end.
type Message struct {
	To    Conn
	Body  *wire.LeaderMessage
	Close string
}

// maxWaiting is how many results of one session may wait for a turn: more than
// an agent can hold attempts, so that only one that makes them up has more.
const maxWaiting = 100_000

// backOff is how long an agent is granted nothing ahead after it gave some back
// because it had waited too long.
const backOff = time.Second

// Core is the dispatcher's state. It is not safe for concurrent use.
type Core struct {
	ledger
	terms       Terms
	sched       *schedule.Scheduler
	st          *state.State
	sessions    map[Conn]*session
	definitions definitions
	inbox       inbox
	proposed    *proposal
	lost        []*grip  // to be told in a turn, with the reason
	failed      []result // grants that could not be handed out
	drains      drains
	more        bool // the last turn was cut short by its bounds
}

type instance struct{ plan, number uint64 }

// session is one connected agent.
type session struct {
	conn    Conn
	agent   *wire.Agent
	ahead   bool // it knows of work granted ahead
	weights bool // it knows of attempts that take several slots
	waiting int  // results of it that no turn has taken yet
	knows   defines
}

// result is what a worker says of an attempt.
type result struct {
	conn Conn
	w    *worker
	r    *wire.AttemptResult
}

// inbox is what came in since the last turn.
type inbox struct {
	agents  []*wire.Agent
	results []result
	started []*grip
	verify  []Message // to be sent once this coordinator is known to lead
}

// proposal is the turn under way.
type proposal struct {
	turn     *wire.Turn
	acks     []result
	others   []uint64   // plans that other entries changed meanwhile
	prepared []prepared // of the turn's grants, as far as Prepare has come
}

// NewCore begins a leadership: every lease gets a full new term, whatever the
// last leader knew (RULES R13.5).
func NewCore(terms Terms, set schedule.Settings, st *state.State, now time.Time) *Core {
	c := &Core{terms: terms, sched: schedule.New(set), st: st, sessions: map[Conn]*session{}, ledger: newLedger(), definitions: definitions{all: map[defined]*definition{}}, drains: drains{at: map[string]time.Time{}}}
	c.sched.Load(st, now.UnixMilli())
	until := now.Add(terms.Lease)
	st.Agents(func(a *state.Agent) {
		c.drains.follow(a.Id, a)
		if a.Lives() {
			w := c.worker(a.Id)
			c.extend(w, until)
			c.touch(w)
		}
	})
	st.Leases(func(l *state.Lease) {
		c.extend(c.take(l).w, until)
	})
	return c
}

// Scheduler gives the scheduler to look at, between turns.
func (c *Core) Scheduler() *schedule.Scheduler { return c.sched }

// take takes in a lease that this Core did not decide.
func (c *Core) take(l *state.Lease) *grip {
	p, _ := c.st.Plan(l.Plan)
	at, _ := p.Locate(l.Instance)
	return c.hold(l, c.sched.Pace(p, at.Node))
}

// Hello registers an agent's stream. A stream of the same agent replaces the
// former one; who is not the same for certain is refused as long as the former
// is connected or what it runs may go on.
func (c *Core) Hello(conn Conn, h *wire.Hello, now time.Time) (out []Message) {
	id := h.Agent.GetId()
	w := c.worker(id)
	if why := c.refuses(w, h.Agent, now); why != "" {
		return []Message{{To: conn, Close: why}}
	}
	if old := w.session; old != nil {
		c.Gone(old.conn)
		out = append(out, Message{To: old.conn, Close: "the agent has come back on another stream"})
	}
	known, _ := c.st.Agent(id)
	h.Agent.State = wire.Agent_READY
	if known != nil && known.Agent.State == wire.Agent_DRAINING {
		h.Agent.State = wire.Agent_DRAINING // until its first report says what is so
	}
	s := &session{conn: conn, agent: h.Agent, ahead: h.Ahead, weights: h.Weights, knows: defines{has: map[*definition]struct{}{}}}
	c.sessions[conn], w.session, w.heard = s, s, now
	c.extend(w, now.Add(c.terms.Lease))
	c.touch(w)
	c.register(h.Agent)
	for _, g := range w.grips {
		g.seen, g.told = false, wantsNothing
	}
	unknown := c.compare(w, h.Held)
	for _, g := range w.grips {
		if !g.seen {
			g.seen = true
			c.lose(g, whyLost(known, h.Agent))
		}
	}
	c.inbox.verify = append(c.inbox.verify, Message{To: conn, Body: &wire.LeaderMessage{Body: &wire.LeaderMessage_Welcome{Welcome: &wire.Welcome{
		LeaseMs: c.terms.Lease.Milliseconds(), RenewMs: c.terms.Renew.Milliseconds(), MarginMs: c.terms.Margin.Milliseconds(),
		AheadMs: max(0, c.terms.Ahead.Milliseconds()), Unknown: unknown,
	}}}})
	if a := c.stopsOf(w.grips); a != nil {
		c.inbox.verify = append(c.inbox.verify, Message{To: conn, Body: assign(a)})
	}
	return out
}

// register makes what an agent says of itself a fact, when it is news.
func (c *Core) register(a *wire.Agent) {
	if known, ok := c.st.Agent(a.Id); !ok || !proto.Equal(known.Agent, a) {
		c.inbox.agents = append(c.inbox.agents, a)
	}
}

// compare marks what an agent says it holds, and gives what of it is not its
// own, or lost already.
func (c *Core) compare(w *worker, refs []*wire.AttemptRef) (unknown []*wire.AttemptRef) {
	for _, r := range refs {
		if g := c.own(w, r); g != nil && !g.lost {
			g.seen = true
		} else {
			unknown = append(unknown, r)
		}
	}
	return unknown
}

// own finds the lease of an attempt that an agent names; nil when there is none,
// or it is another agent's, of which nothing it says counts.
func (c *Core) own(w *worker, ref *wire.AttemptRef) *grip {
	g := c.grips[instance{ref.GetPlan(), ref.GetInstance()}]
	if g == nil || g.w != w || g.fence != ref.GetFence() {
		return nil
	}
	return g
}

// lose has a lease end without a result in the next turn. Nobody is told any
// more that it holds it.
func (c *Core) lose(g *grip, cause string) {
	if !g.lost {
		g.lost, g.cause = true, cause
		c.lost = append(c.lost, g)
	}
}

// Gone forgets a stream. Its agent's leases run on until they end or it comes
// back.
func (c *Core) Gone(conn Conn) {
	s, ok := c.sessions[conn]
	if !ok {
		return
	}
	delete(c.sessions, conn)
	for len(s.knows.order) > 0 {
		c.undefine(&s.knows)
	}
	if w := c.worker(s.agent.Id); w.session == s {
		w.session = nil
		c.touch(w)
	}
}

// Report takes what an agent says.
func (c *Core) Report(conn Conn, r *wire.Report, now time.Time) {
	s, ok := c.sessions[conn]
	if !ok {
		return
	}
	w := c.worker(s.agent.Id)
	w.heard = now
	if s.waiting += len(r.Results); s.waiting > maxWaiting {
		c.Gone(conn)
		c.inbox.verify = append(c.inbox.verify, Message{To: conn, Close: "more results than an agent can have wait to be taken in: say hello again"})
		return
	}
	for _, res := range r.Results {
		c.inbox.results = append(c.inbox.results, result{conn, w, res})
	}
	for _, ref := range r.Started {
		if g := c.own(w, ref); g != nil && g.ahead && !g.said {
			g.said = true
			c.inbox.started = append(c.inbox.started, g)
		}
	}
	if r.Leaving {
		c.leave(s, r.Seq)
		return
	}
	if want := agentState(r.Draining); s.agent.State != want {
		s.says(want)
		c.register(s.agent)
		if !r.Renews { // an agent that is to end waits for it to be known
			c.inbox.verify = append(c.inbox.verify, Message{To: conn, Body: ack(&wire.Ack{Seq: r.Seq})})
		}
	}
	if !r.Renews {
		return
	}
	c.extend(w, now.Add(c.terms.Lease))
	unknown := c.compare(w, r.Held)
	for _, g := range w.grips {
		if !g.seen && now.Sub(g.since) > c.terms.Lease {
			c.lose(g, "the agent never held it")
		}
	}
	c.inbox.verify = append(c.inbox.verify, Message{To: conn, Body: ack(&wire.Ack{Seq: r.Seq, Unknown: unknown})})
}

// left is which part of a lease an agent has left.
func (c *Core) left(conn Conn, now time.Time) float64 {
	s, ok := c.sessions[conn]
	if !ok {
		return 0
	}
	return float64(c.worker(s.agent.Id).deadline.Sub(now)) / float64(c.terms.Lease)
}

func agentState(draining bool) wire.Agent_State {
	if draining {
		return wire.Agent_DRAINING
	}
	return wire.Agent_READY
}

func ack(a *wire.Ack) *wire.LeaderMessage {
	return &wire.LeaderMessage{Body: &wire.LeaderMessage_Ack{Ack: a}}
}

// Observe takes in an entry that was not a turn of this Core's. Entries come in
// the order of the log, those before a proposed turn before its Committed.
func (c *Core) Observe(st *state.State, changes []state.Change, now time.Time) []Message {
	c.st = st
	c.track(changes)
	out := append(c.stops(changes), c.shutOut(changes, now)...)
	if c.proposed == nil {
		c.sched.Observe(st, changes, now.UnixMilli())
		return out
	}
	// The scheduler is ahead of these facts by the proposed turn, and must not
	// decide anew from before it: it takes them in with the turn.
	c.proposed.prepared = nil
	for _, ch := range changes {
		c.proposed.others = append(c.proposed.others, ch.Plan)
	}
	return out
}

// track keeps in step who holds which lease.
func (c *Core) track(changes []state.Change) {
	for _, ch := range changes {
		i := instance{ch.Plan, ch.Instance}
		switch ch.Kind {
		case state.AgentChanged:
			a, _ := c.st.Agent(ch.Agent)
			c.drains.follow(ch.Agent, a)
			c.touch(c.worker(ch.Agent))
		case state.LeaseStarted:
			if g := c.grips[i]; g != nil {
				c.starts(g)
			}
		case state.InstanceChanged:
			if ch.From == state.Running {
				c.drop(i)
			}
			// What was granted is taken in when it is handed out.
		}
	}
}

// stops tells agents of attempts that a person stopped, that make way for the
// schedule, whose agent is to be empty, or that were granted ahead and are wanted
// back. An agent that is not connected is told when it says hello.
func (c *Core) stops(changes []state.Change) []Message {
	var out []Message
	ending := map[Conn][]*grip{}
	for _, ch := range changes {
		if ch.Kind != state.LeaseEnding {
			continue
		}
		if g := c.grips[instance{ch.Plan, ch.Instance}]; g != nil && g.w.session != nil {
			conn := g.w.session.conn
			ending[conn] = append(ending[conn], g)
		}
	}
	for _, conn := range slices.Sorted(maps.Keys(ending)) {
		if a := c.stopsOf(ending[conn]); a != nil {
			out = append(out, Message{To: conn, Body: assign(a)})
		}
	}
	return out
}

// stopsOf lists those of an agent's attempts that are to be stopped, or given
// back, and of which its session was not told yet.
func (c *Core) stopsOf(grips []*grip) *wire.Assign {
	a := &wire.Assign{}
	for _, g := range grips {
		l, ok := c.st.Lease(g.plan, g.number)
		if !ok {
			continue
		}
		want := wantsNothing
		switch {
		case l.Stopping || l.Yielding || l.Draining:
			want = wantsEnd
		case l.Recalled:
			want = wantsBack
		}
		if want <= g.told {
			continue
		}
		g.told = want
		a.Stops = append(a.Stops, &wire.StopWork{
			Ref: l.Ref(), GraceMs: c.terms.Grace.Milliseconds(), Cause: l.Cause, Recall: want == wantsBack,
		})
	}
	if len(a.Stops) == 0 {
		return nil
	}
	slices.SortFunc(a.Stops, func(x, y *wire.StopWork) int {
		return cmp.Or(cmp.Compare(x.Ref.Plan, y.Ref.Plan), cmp.Compare(x.Ref.Instance, y.Ref.Instance))
	})
	return a
}

func assign(a *wire.Assign) *wire.LeaderMessage {
	return &wire.LeaderMessage{Body: &wire.LeaderMessage_Assign{Assign: a}}
}

// NextWake is when Turn has something to do even if nothing comes in; false
// when never.
func (c *Core) NextWake() (time.Time, bool) {
	var at time.Time
	earlier := func(t time.Time) {
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	if w := c.next(); w != nil {
		earlier(w.deadline)
	}
	if ms, ok := c.sched.NextMs(); ok {
		earlier(time.UnixMilli(ms))
	}
	if t, ok := c.drains.next(); ok {
		earlier(t)
	}
	return at, !at.IsZero()
}

// Verified takes the messages that may go out once this coordinator was seen
// to lead after they were queued: renewals must not be acknowledged by a
// leader that has been replaced.
func (c *Core) Verified() []Message {
	out := c.inbox.verify
	c.inbox.verify = nil
	return out
}

// Unverified says whether such messages wait.
func (c *Core) Unverified() bool { return len(c.inbox.verify) > 0 }

// Busy says whether there is more to do than one turn takes.
func (c *Core) Busy() bool {
	return c.more || len(c.inbox.results)+len(c.inbox.agents)+len(c.inbox.started)+len(c.lost)+len(c.failed) > 0
}
