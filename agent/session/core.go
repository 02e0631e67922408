// Package session speaks the agent protocol with the leader. Core decides and
// does nothing; Session does and decides nothing. See DESIGN.md.
package session

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"backfleet/agent/attempt"
	"backfleet/pkg/wire"
)

// Preparer turns work into the command to run; its error is the cause with
// which the attempt fails.
type Preparer interface {
	Prepare(*wire.Definition, *wire.Work) (*wire.StartAttempt, error)
}

// Core is the agent's side of the lease protocol as a step machine: what
// happened goes in with the moment it happened, what is to be done comes out
// of Take. It has no clock, no goroutine and no input or output. Moments are
// readings of one monotonic clock.
//
// The invariant (RULES R13.2): no deadline it gives lies later than the moment
// at which a report was sent, that the leader has answered and that named the
// attempt, plus the lease less the margin. For work just handed out, that
// report is the last one answered before the work came: the grant is younger.
type Core struct {
	agent    *wire.Agent // as in Hello; incarnation is filled in by KeeperSynced
	prepare  Preparer
	attempts map[attempt.Key]*held
	unsent   []*held // with a result that this stream has not carried yet
	started  []*held // granted ahead, with a slot by now, which this stream has not carried yet
	finished recent

	generation uint64 // newest of the cluster that was served, as in Hello

	keeper    bool // a keeper is there and its attempts are known
	connected bool // a stream is there
	welcomed  bool // the leader has answered Hello
	helloAt   time.Duration
	answered  time.Duration // when the last answered report (or Hello) was sent
	terms     terms
	defs      map[uint64]*wire.Definition
	seq       uint64
	renewals  []renewal // sent on this stream and not yet answered, oldest first
	renewAt   time.Duration
	outcomes  map[wire.Outcome]uint64 // of the results that became known
	draining  bool
	drainSent uint64 // the seq of the report that says so; 0: not yet
	drained   bool
	leaving   bool
	leaveSent uint64 // the seq of the report that says so; 0: not yet
	left      bool

	out Effects
}

type terms struct{ lease, renew, margin, ahead time.Duration }

type renewal struct {
	seq  uint64
	at   time.Duration
	held []*held
}

type held struct {
	key       attempt.Key
	ref       *wire.AttemptRef // the same, never changed
	ahead     bool             // it may wait at the keeper for a slot
	runs      bool             // the keeper has given it one
	givenBack bool             // unless it runs already: the agent is draining
	deadline  time.Duration
	start     *wire.StartAttempt // given to the keeper, which has not shown it yet
	result    *wire.AttemptResult
	local     bool              // the keeper does not have it: there is nothing to forget there
	stopped   bool              // the keeper was told to end it
	stop      *wire.StopAttempt // what it was told last
	given     bool              // stopped to run again elsewhere
	acked     bool              // the result is a fact, or stale
	logIsSafe bool
}

// waits says that an attempt is not known to have more than a place in line.
func (h *held) waits() bool { return h.ahead && !h.runs && h.result == nil }

// Effects is what to do now, in the order of the fields.
type Effects struct {
	Start  []*wire.StartAttempt // hand to the keeper; answer with Refused for those it refuses
	Extend []*wire.ExtendAttempts
	Stop   []*wire.StopAttempt
	Send   []*wire.AgentMessage // to the leader
	Ship   []attempt.Key        // these ended without a keeper: their empty log is to be closed
	Forget []*wire.AttemptRef   // result and log are safe
	Redial string               // not empty: the stream is to be given up, for this reason
}

// NewCore makes the core of an agent that has no keeper and no stream yet.
func NewCore(agent *wire.Agent, prepare Preparer) *Core {
	return &Core{agent: agent, prepare: prepare, attempts: map[attempt.Key]*held{}, outcomes: map[wire.Outcome]uint64{}}
}

// Take gives what is to be done since it was last asked, with everything there
// is to report folded into one message.
func (c *Core) Take(now time.Duration) Effects {
	c.report(now)
	out := c.out
	c.out = Effects{}
	if out.Redial != "" {
		c.Disconnected() // nothing more is heard or said on it
	}
	return out
}

// NextWake is the moment at which Take has something to do even if nothing
// happens; false: never.
func (c *Core) NextWake() (time.Duration, bool) {
	if !c.welcomed || !c.keeper {
		return 0, false
	}
	at := c.renewAt
	if len(c.renewals) > 0 {
		at = min(at, c.renewals[0].at+c.patience())
	}
	return at, true
}

// patience is how long an answer to a renewal may take before the leader is
// taken for gone. Two such waits and a reconnect fit into a lease.
func (c *Core) patience() time.Duration { return c.terms.renew }

// Drained says that the leader knows the agent takes no more work, and has back
// what had not begun.
func (c *Core) Drained() bool {
	if !c.drained {
		return false
	}
	for _, h := range c.attempts {
		if h.givenBack && !h.runs && !h.acked {
			return false
		}
	}
	return true
}

// Empty says that nothing is here any more, no log on its way either.
func (c *Core) Empty() bool { return len(c.attempts) == 0 }

// Running counts the attempts without a result.
func (c *Core) Running() int {
	n := 0
	for _, h := range c.attempts {
		if h.result == nil {
			n++
		}
	}
	return n
}

// KeeperSynced begins the life with a keeper: its incarnation and every
// attempt it has. What the core thought was there and is not has died with an
// earlier keeper.
func (c *Core) KeeperSynced(incarnation string, list []*wire.KeptAttempt) {
	same := c.agent.Incarnation == incarnation
	if !same && c.connected {
		c.out.Redial = "the agent has a new keeper"
	}
	c.agent.Incarnation, c.keeper = incarnation, true
	seen := make(map[attempt.Key]bool, len(list))
	for _, m := range list {
		seen[attempt.KeyOf(m.Ref)] = true
		c.KeeperChanged(m)
	}
	for _, key := range c.keys() {
		switch h := c.attempts[key]; {
		case seen[key] && same && h.stop != nil && h.result == nil: // it may have been on the way
			c.out.Stop = append(c.out.Stop, h.stop)
		case seen[key] || h.local:
		case h.result != nil:
			h.local = true
		case same && h.start != nil: // the connection broke with it on the way; asking twice is fine
			c.out.Start = append(c.out.Start, h.start)
			if h.stop != nil {
				c.out.Stop = append(c.out.Stop, h.stop)
			}
		default:
			c.finishHere(h, wire.Outcome_LOST, "the keeper died, and the attempt with it")
		}
	}
	if c.draining {
		c.giveBack()
	}
}

// keys gives the attempts in a fixed order: what is sent must not depend on
// the order of a map.
func (c *Core) keys() []attempt.Key {
	return slices.SortedFunc(maps.Keys(c.attempts), attempt.Key.Compare)
}

// KeeperLost says that the keeper no longer answers. Until the next one is
// synced nothing is renewed or started.
func (c *Core) KeeperLost() {
	c.keeper = false
	if c.connected {
		c.out.Redial = "the agent's keeper does not answer"
	}
}

// KeeperChanged takes in how an attempt stands.
func (c *Core) KeeperChanged(m *wire.KeptAttempt) {
	key := attempt.KeyOf(m.Ref)
	h := c.attempts[key]
	if h == nil {
		if c.finished.has(key) {
			if !m.Running { // the call that said so was lost, or comes later
				c.out.Forget = append(c.out.Forget, m.Ref)
			}
			return
		}
		h = c.add(key)
	}
	h.start = nil
	h.ahead = h.ahead || m.Ahead
	if m.Running && !m.Queued && !h.runs {
		h.runs = true
		if h.ahead {
			c.started = append(c.started, h)
		}
	}
	if !m.Running && m.Result != nil && h.result == nil {
		h.result = c.own(h, m.Result)
		c.outcomes[h.result.Outcome]++
		c.unsent = append(c.unsent, h)
	}
}

// Refused says that the keeper did not start an attempt.
func (c *Core) Refused(key attempt.Key, cause string) {
	if h := c.attempts[key]; h != nil && h.result == nil {
		c.finishHere(h, wire.Outcome_FAILED, cause)
	}
}

// LogSafe says that an attempt's whole log is kept by the coordinators.
func (c *Core) LogSafe(key attempt.Key) {
	if h := c.attempts[key]; h != nil {
		h.logIsSafe = true
		c.settle(h)
	}
}

// Drain asks for no more work, and gives back what waits for a slot.
func (c *Core) Drain() {
	c.draining = true
	c.giveBack()
}

// Leave has the leader told that the agent ends, as soon as it knows every
// result. Drain comes before.
func (c *Core) Leave() { c.leaving = true }

// Left says that the leader has been told, and has answered.
func (c *Core) Left() bool { return c.left }

// GiveUp stops what still runs, so that it runs again elsewhere.
func (c *Core) GiveUp(grace time.Duration, cause string) {
	for _, key := range c.keys() {
		if h := c.attempts[key]; h.result == nil && !h.stopped {
			h.stopped, h.given = true, true
			c.order(h, &wire.StopAttempt{Ref: h.ref, GraceMs: grace.Milliseconds(), Cause: cause})
		}
	}
}

// own corrects the result of an attempt that was stopped by the agent's own
// wish: nobody asked for the instance to stop.
func (c *Core) own(h *held, r *wire.AttemptResult) *wire.AttemptResult {
	if !h.given || r.Outcome != wire.Outcome_STOPPED {
		return r
	}
	r = proto.CloneOf(r)
	r.Outcome = wire.Outcome_LOST
	return r
}

const draining = "the agent takes no more work"

func (c *Core) giveBack() {
	for _, key := range c.keys() {
		if h := c.attempts[key]; h.waits() {
			h.givenBack = true
			c.order(h, &wire.StopAttempt{Ref: h.ref, Recall: true, Cause: draining})
		}
	}
}

// Ready says whether a stream would be of use: Hello needs the keeper's list.
func (c *Core) Ready() bool { return c.keeper }

// Connected begins a stream: Hello is the first effect. It must not be called
// before Ready.
func (c *Core) Connected(now time.Duration) {
	c.connected, c.welcomed, c.helloAt = true, false, now
	c.seq, c.renewals, c.drainSent, c.drained, c.leaveSent = 0, nil, 0, false, 0
	c.defs = map[uint64]*wire.Definition{}
	c.out.Send, c.out.Redial = nil, ""
	hello := &wire.Hello{Agent: c.agent, Ahead: true, Weights: true, Generation: c.generation}
	c.unsent, c.started = nil, nil
	for _, key := range c.keys() {
		h := c.attempts[key]
		if h.acked {
			continue
		}
		hello.Held = append(hello.Held, h.ref)
		switch {
		case h.result != nil:
			c.unsent = append(c.unsent, h)
		case h.ahead && h.runs:
			c.started = append(c.started, h) // the stream before may have lost it
		}
	}
	c.send(&wire.AgentMessage{Body: &wire.AgentMessage_Hello{Hello: hello}})
}

// Disconnected ends the stream. Processes go on: only the end of their leases
// ends them.
func (c *Core) Disconnected() {
	c.connected, c.welcomed, c.renewals = false, false, nil
	c.out.Send, c.out.Redial = nil, ""
}

// Received takes in a message of the leader.
func (c *Core) Received(now time.Duration, m *wire.LeaderMessage) {
	if !c.connected {
		return
	}
	switch body := m.Body.(type) {
	case *wire.LeaderMessage_Welcome:
		c.welcome(now, body.Welcome)
	case *wire.LeaderMessage_Ack:
		c.ack(body.Ack)
	case *wire.LeaderMessage_Assign:
		c.assign(now, body.Assign)
	}
}

func (c *Core) welcome(now time.Duration, m *wire.Welcome) {
	ms := func(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
	c.terms = terms{ms(m.LeaseMs), ms(m.RenewMs), ms(m.MarginMs), ms(m.AheadMs)}
	if c.terms.renew <= 0 || c.terms.lease <= c.terms.margin {
		c.out.Redial = fmt.Sprintf("the leader offers impossible terms: lease %s, renewal %s, margin %s",
			c.terms.lease, c.terms.renew, c.terms.margin)
		return
	}
	c.welcomed, c.answered = true, c.helloAt
	c.renewAt = now // Hello renewed nothing: say at once what is held
	c.endUnknown(m.Unknown)
}

func (c *Core) ack(m *wire.Ack) {
	for len(c.renewals) > 0 && c.renewals[0].seq <= m.Seq { // the stream has an order: an answer stands for the reports before it
		c.renewed(c.renewals[0], m.Unknown)
		c.renewals = c.renewals[1:]
	}
	for _, ref := range m.Results {
		if h := c.attempts[attempt.KeyOf(ref)]; h != nil && h.result != nil {
			h.acked = true
			c.settle(h)
		}
	}
	c.endUnknown(m.Unknown)
	if c.drainSent != 0 && m.Seq >= c.drainSent {
		c.drained = true
	}
	c.left = c.left || c.leaveSent != 0 && m.Seq >= c.leaveSent
}

// renewed moves the deadlines that an answered renewal stands for.
func (c *Core) renewed(r renewal, unknown []*wire.AttemptRef) {
	c.answered = max(c.answered, r.at)
	deadline := r.at + c.terms.lease - c.terms.margin
	extend := &wire.ExtendAttempts{DeadlineNs: int64(deadline)}
	foreign := make(map[attempt.Key]bool, len(unknown))
	for _, ref := range unknown {
		foreign[attempt.KeyOf(ref)] = true
	}
	for _, h := range r.held { // those let go since have a result
		if h.result != nil || deadline <= h.deadline || foreign[h.key] {
			continue
		}
		h.deadline = deadline
		extend.Refs = append(extend.Refs, h.ref)
	}
	if len(extend.Refs) > 0 {
		c.out.Extend = append(c.out.Extend, extend)
	}
}

// endUnknown kills what the leader does not count as ours.
func (c *Core) endUnknown(refs []*wire.AttemptRef) {
	for _, ref := range refs {
		c.stop(&wire.StopWork{Ref: ref, Cause: "the leader does not know this attempt: its lease had ended"})
	}
}

func (c *Core) stop(s *wire.StopWork) {
	h := c.attempts[attempt.KeyOf(s.Ref)]
	switch {
	case h == nil || h.result != nil:
		return
	case s.Recall && !h.waits(), !s.Recall && h.stopped && s.GraceMs > 0:
		return
	}
	h.stopped = h.stopped || !s.Recall
	c.order(h, &wire.StopAttempt{Ref: h.ref, GraceMs: s.GraceMs, Cause: s.Cause, Recall: s.Recall})
}

// order has the keeper stop an attempt.
func (c *Core) order(h *held, m *wire.StopAttempt) {
	h.stop = m
	c.out.Stop = append(c.out.Stop, m)
}

func (c *Core) assign(now time.Duration, m *wire.Assign) {
	if !c.welcomed {
		c.out.Redial = "the leader hands out work before it has answered Hello"
		return
	}
	for _, d := range m.Definitions {
		c.defs[d.Id] = d
	}
	for _, w := range m.Work {
		c.begin(now, w)
	}
	for _, s := range m.Stops {
		c.stop(s)
	}
	for _, id := range m.Forget {
		delete(c.defs, id)
	}
}

// begin starts work, or makes the result that says why not. Work that is or
// was here is left alone: nothing runs twice under one fence.
func (c *Core) begin(now time.Duration, w *wire.Work) {
	key := attempt.KeyOf(w.Ref)
	if c.attempts[key] != nil || c.finished.has(key) {
		return
	}
	h := c.add(key)
	h.ahead = w.Ahead
	h.deadline = c.answered + c.terms.lease - c.terms.margin
	definition := c.defs[w.Definition]
	if definition == nil {
		c.finishHere(h, wire.Outcome_FAILED, fmt.Sprintf("the leader sent no definition %d for it", w.Definition))
		return
	}
	if h.deadline <= now || !c.keeper {
		c.finishHere(h, wire.Outcome_LOST, "it reached the agent too late, or while its keeper was being replaced")
		return
	}
	if c.draining && h.ahead {
		c.finishHere(h, wire.Outcome_RECALLED, draining)
		return
	}
	start, err := c.prepare.Prepare(definition, w)
	if err != nil {
		c.finishHere(h, wire.Outcome_FAILED, err.Error())
		return
	}
	start.Ref, start.DeadlineNs = h.ref, int64(h.deadline)
	start.Group, start.Slots = definition.ResourceGroup, c.slots(definition.ResourceGroup)
	start.Ahead, start.Priority, start.AheadMs = w.Ahead, w.Priority, c.terms.ahead.Milliseconds()
	h.start = start
	c.out.Start = append(c.out.Start, start)
}

// slots gives how many attempts of a group may run here at once.
func (c *Core) slots(group string) uint32 {
	for _, g := range c.agent.Groups {
		if g.Group == group {
			return g.Slots
		}
	}
	return 0
}

func (c *Core) add(key attempt.Key) *held {
	h := &held{key: key, ref: key.Ref()}
	c.attempts[key] = h
	return h
}

// finishHere makes a result for an attempt that the keeper does not have.
func (c *Core) finishHere(h *held, outcome wire.Outcome, cause string) {
	h.local, h.start = true, nil
	h.result = &wire.AttemptResult{Ref: h.ref, Outcome: outcome, Cause: cause}
	if outcome == wire.Outcome_FAILED {
		h.result.ExitCode = 127
	}
	c.outcomes[outcome]++
	c.unsent = append(c.unsent, h)
	c.out.Ship = append(c.out.Ship, h.key)
}

// settle lets go of an attempt when both its result and its log are safe.
func (c *Core) settle(h *held) {
	if !h.acked || !h.logIsSafe || h.result == nil {
		return
	}
	delete(c.attempts, h.key)
	c.finished.add(h.key)
	if !h.local {
		c.out.Forget = append(c.out.Forget, h.ref)
	}
}

// report folds what there is to say into one message.
func (c *Core) report(now time.Duration) {
	if !c.welcomed || !c.keeper || c.out.Redial != "" {
		return
	}
	if len(c.renewals) > 0 && now >= c.renewals[0].at+c.patience() {
		c.out.Redial = fmt.Sprintf("the leader has not answered a renewal for %s", c.patience())
		return
	}
	r := &wire.Report{Renews: now >= c.renewAt, Draining: c.draining}
	for _, h := range c.unsent {
		r.Results = append(r.Results, h.result)
	}
	for _, h := range c.started {
		if h.result == nil { // else the result says all
			r.Started = append(r.Started, h.ref)
		}
	}
	c.unsent, c.started = nil, nil
	sayDrain := c.draining && c.drainSent == 0
	r.Leaving = c.leaving && c.leaveSent == 0 && c.Drained() && c.settled()
	if !r.Renews && len(r.Results)+len(r.Started) == 0 && !sayDrain && !r.Leaving {
		return
	}
	c.seq++
	r.Seq = c.seq
	if sayDrain {
		c.drainSent = c.seq
	}
	if r.Leaving {
		c.leaveSent = c.seq
	}
	if r.Renews {
		c.renew(now, r)
	}
	c.send(&wire.AgentMessage{Body: &wire.AgentMessage_Report{Report: r}})
}

// settled says that the leader knows all results, and nothing runs.
func (c *Core) settled() bool {
	for _, h := range c.attempts {
		if !h.acked {
			return false
		}
	}
	return true
}

func (c *Core) renew(now time.Duration, r *wire.Report) {
	c.renewAt = now + c.terms.renew
	sent := renewal{seq: r.Seq, at: now, held: make([]*held, 0, len(c.attempts))}
	r.Held = make([]*wire.AttemptRef, 0, len(c.attempts))
	for _, key := range c.keys() {
		if h := c.attempts[key]; !h.acked {
			sent.held = append(sent.held, h)
			r.Held = append(r.Held, h.ref)
		}
	}
	c.renewals = append(c.renewals, sent)
}

func (c *Core) send(m *wire.AgentMessage) { c.out.Send = append(c.out.Send, m) }
