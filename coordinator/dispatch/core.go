// Package dispatch is the leader's side of the agent protocol. Core is a pure
// step machine: it takes what agents said and what the log applied, gives the
// next turn to propose, and after its commit the messages to send. Server
// around it owns the streams, the goroutine and the clock. The split lets
// simulations run whole fleets in virtual time.
package dispatch

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"backfleet/coordinator/schedule"
	"backfleet/coordinator/state"
	"backfleet/pkg/calendar"
	"backfleet/pkg/wire"
)

// Terms are the times of the lease protocol (RULES R13.8).
type Terms struct {
	Lease  time.Duration // without renewal, an attempt is lost after it
	Renew  time.Duration // agents renew this often
	Margin time.Duration // agents stop this much before the lease's end
	Grace  time.Duration // between SIGTERM and SIGKILL of a stop
}

// DefaultTerms are those of RULES R13.8.
var DefaultTerms = Terms{Lease: 15 * time.Second, Renew: 3 * time.Second, Margin: 3 * time.Second, Grace: 10 * time.Second}

// Complete fills in what is 0: the lease by default, renewal and margin as a
// fifth of it, the grace as by default but never longer than the lease.
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
}

// Bounds of one turn, so that an entry stays small and a turn short. What does
// not fit comes with the next.
const (
	maxFinishes = 1000
	maxGrants   = 1000
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

// Core is the dispatcher's state. It is not safe for concurrent use.
type Core struct {
	terms    Terms
	sched    *schedule.Scheduler
	st       *state.State
	sessions map[Conn]*session
	byAgent  map[string]*session
	deadline map[string]time.Time // of every agent that is ready or holds a lease
	held     map[string]map[instance]struct{}
	inbox    inbox
	proposed *proposal
	lost     []*wire.Loss // found in hellos and reports
	failed   []result     // grants that could not be handed out
	more     bool         // the last turn was cut short by its bounds
}

type instance struct{ plan, number uint64 }

// session is one connected agent.
type session struct {
	conn    Conn
	agent   *wire.Agent
	granted map[instance]time.Time
	defs    map[definition]uint64
	stops   map[instance]uint64 // told to stop, with the fence
}

type definition struct {
	plan      uint64
	node      int
	version   uint64
	generated calendar.Date // dates that were added to a plan have their own
}

type result struct {
	conn Conn
	r    *wire.AttemptResult
}

// inbox is what came in since the last turn.
type inbox struct {
	agents  []*wire.Agent
	results []result
	verify  []Message // to be sent once this coordinator is known to lead
}

// proposal is the turn under way.
type proposal struct {
	turn   *wire.Turn
	acks   []result
	others []uint64 // plans that other entries changed meanwhile
}

// NewCore begins a leadership: every lease gets a full new term, whatever the
// last leader knew (RULES R13.5).
func NewCore(terms Terms, set schedule.Settings, st *state.State, now time.Time) *Core {
	c := &Core{
		terms: terms, sched: schedule.New(set), st: st, sessions: map[Conn]*session{}, byAgent: map[string]*session{},
		deadline: map[string]time.Time{}, held: map[string]map[instance]struct{}{},
	}
	c.sched.Load(st, now.UnixMilli())
	st.Agents(func(a *state.Agent) {
		if a.State != wire.Agent_SILENT {
			c.deadline[a.Id] = now.Add(terms.Lease)
		}
	})
	st.Leases(func(l *state.Lease) {
		c.hold(l.Agent, instance{l.Plan, l.Instance})
		c.deadline[l.Agent] = now.Add(terms.Lease)
	})
	return c
}

// Scheduler gives the scheduler to look at, between turns.
func (c *Core) Scheduler() *schedule.Scheduler { return c.sched }

func (c *Core) hold(agent string, i instance) {
	if c.held[agent] == nil {
		c.held[agent] = map[instance]struct{}{}
	}
	c.held[agent][i] = struct{}{}
}

// Hello registers an agent's stream. A stream of the same agent process
// replaces the former one; another process under the same id is refused while
// the first is connected.
func (c *Core) Hello(conn Conn, h *wire.Hello, now time.Time) []Message {
	id := h.Agent.GetId()
	if old := c.byAgent[id]; old != nil {
		if old.agent.Incarnation != h.Agent.Incarnation {
			return []Message{{To: conn, Close: "another agent with the id " + id + " is connected: give each agent its own id"}}
		}
		c.Gone(old.conn)
	}
	h.Agent.State = wire.Agent_READY
	s := &session{conn: conn, agent: h.Agent, granted: map[instance]time.Time{}, defs: map[definition]uint64{}, stops: map[instance]uint64{}}
	c.sessions[conn], c.byAgent[id] = s, s
	c.deadline[id] = now.Add(c.terms.Lease)
	c.register(h.Agent)
	unknown, held := c.compare(h.Held)
	for i := range c.held[id] {
		if _, ok := held[i]; !ok {
			c.lose(i, "the agent does not hold it any more")
		}
	}
	c.inbox.verify = append(c.inbox.verify, Message{To: conn, Body: &wire.LeaderMessage{Body: &wire.LeaderMessage_Welcome{Welcome: &wire.Welcome{
		LeaseMs: c.terms.Lease.Milliseconds(), RenewMs: c.terms.Renew.Milliseconds(), MarginMs: c.terms.Margin.Milliseconds(), Unknown: unknown,
	}}}})
	if a := c.stopsOf(s, maps.Keys(c.held[id])); a != nil {
		c.inbox.verify = append(c.inbox.verify, Message{To: conn, Body: assign(a)})
	}
	return nil
}

// register makes what an agent says of itself a fact, when it is news.
func (c *Core) register(a *wire.Agent) {
	if known, ok := c.st.Agent(a.Id); !ok || !proto.Equal(known.Agent, a) {
		c.inbox.agents = append(c.inbox.agents, a)
	}
}

// compare sorts what an agent says it holds into what the facts know and what
// they do not.
func (c *Core) compare(refs []*wire.AttemptRef) (unknown []*wire.AttemptRef, held map[instance]struct{}) {
	held = make(map[instance]struct{}, len(refs))
	for _, r := range refs {
		if l, ok := c.st.Lease(r.Plan, r.Instance); ok && l.Fence == r.Fence {
			held[instance{r.Plan, r.Instance}] = struct{}{}
		} else {
			unknown = append(unknown, r)
		}
	}
	return unknown, held
}

func (c *Core) lose(i instance, cause string) {
	if l, ok := c.st.Lease(i.plan, i.number); ok {
		c.lost = append(c.lost, &wire.Loss{Plan: i.plan, Instance: i.number, Fence: l.Fence, Cause: cause})
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
	if c.byAgent[s.agent.Id] == s {
		delete(c.byAgent, s.agent.Id)
	}
}

// Report takes what an agent says.
func (c *Core) Report(conn Conn, r *wire.Report, now time.Time) {
	s, ok := c.sessions[conn]
	if !ok {
		return
	}
	for _, res := range r.Results {
		c.inbox.results = append(c.inbox.results, result{conn, res})
	}
	if want := agentState(r.Draining); s.agent.State != want {
		s.agent = proto.CloneOf(s.agent)
		s.agent.State = want
		c.register(s.agent)
	}
	if !r.Renews {
		return
	}
	c.deadline[s.agent.Id] = now.Add(c.terms.Lease)
	unknown, held := c.compare(r.Held)
	for i, since := range s.granted {
		if _, ok := held[i]; ok || !c.holds(s.agent.Id, i) {
			delete(s.granted, i)
		} else if now.Sub(since) > c.terms.Lease {
			delete(s.granted, i)
			c.lose(i, "the agent never held it")
		}
	}
	c.inbox.verify = append(c.inbox.verify, Message{To: conn, Body: ack(&wire.Ack{Seq: r.Seq, Unknown: unknown})})
}

func agentState(draining bool) wire.Agent_State {
	if draining {
		return wire.Agent_DRAINING
	}
	return wire.Agent_READY
}

func (c *Core) holds(agent string, i instance) bool {
	_, ok := c.held[agent][i]
	return ok
}

func ack(a *wire.Ack) *wire.LeaderMessage {
	return &wire.LeaderMessage{Body: &wire.LeaderMessage_Ack{Ack: a}}
}

// Observe takes in an entry that was not a turn of this Core's. Entries come in
// the order of the log, those before a proposed turn before its Committed.
func (c *Core) Observe(st *state.State, changes []state.Change, now time.Time) []Message {
	c.st = st
	c.track(changes)
	if c.proposed == nil {
		c.sched.Observe(st, changes, now.UnixMilli())
		return c.stops(changes)
	}
	// The scheduler is ahead of these facts by the proposed turn, and must not
	// decide anew from before it: it takes them in with the turn.
	for _, ch := range changes {
		c.proposed.others = append(c.proposed.others, ch.Plan)
	}
	return c.stops(changes)
}

// track keeps in step who holds which lease.
func (c *Core) track(changes []state.Change) {
	for _, ch := range changes {
		if ch.Kind != state.InstanceChanged {
			continue
		}
		i := instance{ch.Plan, ch.Instance}
		if ch.From == state.Running {
			for _, of := range c.held {
				delete(of, i)
			}
		}
		if ch.To == state.Running {
			if l, ok := c.st.Lease(ch.Plan, ch.Instance); ok {
				c.hold(l.Agent, i)
			}
		}
	}
}

// stops tells agents of attempts that a person stopped, or that make way for
// the schedule. An agent that is not connected is told when it says hello.
func (c *Core) stops(changes []state.Change) []Message {
	ending := map[Conn][]instance{}
	for _, ch := range changes {
		if ch.Kind != state.LeaseEnding {
			continue
		}
		if l, ok := c.st.Lease(ch.Plan, ch.Instance); ok && c.byAgent[l.Agent] != nil {
			conn := c.byAgent[l.Agent].conn
			ending[conn] = append(ending[conn], instance{ch.Plan, ch.Instance})
		}
	}
	var out []Message
	for _, conn := range slices.Sorted(maps.Keys(ending)) {
		if a := c.stopsOf(c.sessions[conn], slices.Values(ending[conn])); a != nil {
			out = append(out, Message{To: conn, Body: assign(a)})
		}
	}
	return out
}

// stopsOf lists those attempts of an agent that are to be stopped and of which
// it was not told yet.
func (c *Core) stopsOf(s *session, attempts iter.Seq[instance]) *wire.Assign {
	a := &wire.Assign{}
	for i := range attempts {
		l, ok := c.st.Lease(i.plan, i.number)
		if !ok || !l.Ending() || s.stops[i] == l.Fence {
			continue
		}
		s.stops[i] = l.Fence
		a.Stops = append(a.Stops, &wire.StopWork{Ref: l.Ref(), GraceMs: c.terms.Grace.Milliseconds(), Cause: l.Cause})
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
	for _, t := range c.deadline {
		earlier(t)
	}
	if ms, ok := c.sched.NextMs(); ok {
		earlier(time.UnixMilli(ms))
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
	return c.more || len(c.inbox.results)+len(c.inbox.agents)+len(c.lost)+len(c.failed) > 0
}
