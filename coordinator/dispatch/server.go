package dispatch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"

	"backfleet/coordinator/machine"
	"backfleet/coordinator/schedule"
	"backfleet/coordinator/state"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// Log is what the dispatcher needs of the replicated log.
type Log interface {
	Propose(ctx context.Context, c *wire.Command) (index uint64, r *state.Result, err error)
	// Verify returns nil when this coordinator led at some moment after the call.
	Verify(ctx context.Context) error
}

// Facts gives the state and every entry after it.
type Facts interface {
	Follow() (*machine.Feed, *state.State)
}

// Config says how a Server runs. All but Terms, Sched, Now and Logger are required.
type Config struct {
	Log    Log
	Facts  Facts
	Terms  Terms               // see Terms.Complete for defaults
	Sched  schedule.Settings   // see there for defaults
	Now    func() time.Time    // the clock; default time.Now
	Leader func() (rpc string) // rpc address of the leader, empty when not known
	Logger *slog.Logger
	Watch  Watch // default: nobody looks on
}

// Watch looks on while a Server leads. It is called from the loop of turns, so
// it must neither wait nor take long.
type Watch interface {
	// Began is told when the loop begins, with the facts and by the leader's clock.
	Began(st *state.State, now time.Time)
	// Turned is told of each turn that has become a fact.
	Turned(Turned)
	// Renewed is told which part of a lease was left when an agent renewed: 1 is a
	// full one, less than 0 one that had ended.
	Renewed(left float64)
}

// Turned is a turn that has become a fact.
type Turned struct {
	Turn *wire.Turn
	// Before and After are the facts that it was decided on, and those with it.
	// Entries of others may lie between them.
	Before, After *state.State
	Index         uint64
	// Waited is for how long each of its grants had been ready, in milliseconds,
	// by the count of this leader.
	Waited             []int64
	Decided, Committed time.Time
}

// Server keeps the agents' streams and runs a Core while this coordinator
// leads. Session serves wire.Agents.
type Server struct {
	cfg      Config
	scope    atomic.Pointer[scope]
	lastConn atomic.Uint64
}

// scope is one leadership.
type scope struct {
	ctx    context.Context
	now    func() time.Time
	watch  Watch // nil: nobody looks on
	events chan func(*Core, time.Time) []Message
	wake   chan struct{} // receives when an event should not wait
	// soon: the loop looks at the events within verifyEvery by itself, so that
	// what may wait that long need not wake it.
	soon    atomic.Bool
	mu      sync.Mutex
	streams map[Conn]*stream
	// verified is when this coordinator was last asked for, and seen, to lead;
	// the loop's own.
	verified time.Time
}

// stream is one agent's connection. What is to be sent waits in a list, which
// is nothing while nothing waits: there are thousands of streams.
type stream struct {
	mu     sync.Mutex
	out    []*wire.LeaderMessage
	refs   int           // of attempts, in out
	ready  chan struct{} // receives when out has something
	closed chan struct{}
	once   sync.Once
	err    error // why it was closed
}

func newStream() *stream { return &stream{ready: make(chan struct{}, 1), closed: make(chan struct{})} }

// put queues a message; false when too many wait.
func (st *stream) put(m *wire.LeaderMessage) bool {
	st.mu.Lock()
	fits := len(st.out) < outgoing && st.refs < outgoingRefs
	if fits {
		st.out = append(st.out, m)
		st.refs += len(m.GetAck().GetUnknown())
	}
	st.mu.Unlock()
	select {
	case st.ready <- struct{}{}:
	default:
	}
	return fits
}

// take gives what waits to be sent.
func (st *stream) take() []*wire.LeaderMessage {
	st.mu.Lock()
	defer st.mu.Unlock()
	out := st.out
	st.out, st.refs = nil, 0
	return out
}

// outgoing is how many messages may wait for a slow agent before its stream is
// ended; it then comes back and is told everything anew.
const outgoing = 1024

// outgoingRefs is how many attempts may be named in them as unknown.
const outgoingRefs = 4 * maxSaid

// unread is how many reports of one stream may wait for the loop: the stream is
// not read beyond it, so that what one agent sends takes bounded memory.
const unread = 8

// verifyEvery is the least time between two questions to the majority whether
// this coordinator still leads: of thousands of agents one renews at any moment,
// and none minds waiting so long for its answer.
const verifyEvery = 20 * time.Millisecond

// inFlight bounds what agents have said and no turn has taken yet.
const inFlight = 4096

// New makes a server; Lead runs it.
func New(cfg Config) *Server {
	cfg.Terms.Complete()
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Server{cfg: cfg}
}

// Lead dispatches until ctx ends: call it for as long as this coordinator
// leads. Should a proposal fail while it still leads, it begins anew from the
// facts.
func (d *Server) Lead(ctx context.Context) {
	for ctx.Err() == nil {
		scoped, cancel := context.WithCancel(ctx)
		s := &scope{
			ctx: scoped, now: d.cfg.Now, watch: d.cfg.Watch, events: make(chan func(*Core, time.Time) []Message, inFlight), wake: make(chan struct{}, 1),
			streams: map[Conn]*stream{},
		}
		d.scope.Store(s)
		err := d.run(s)
		d.scope.CompareAndSwap(s, nil)
		cancel()
		s.closeAll("this coordinator does not lead any more")
		if err != nil && ctx.Err() == nil {
			d.cfg.Logger.Warn("dispatching begins anew", "error", err)
		}
	}
}

// run is the loop of turns. Everything that is waiting goes into one turn, so
// batches grow with the load by themselves.
func (d *Server) run(s *scope) error {
	feed, st := d.cfg.Facts.Follow()
	defer feed.Close()
	core := NewCore(d.cfg.Terms, d.cfg.Sched, st, s.now())
	if d.cfg.Watch != nil {
		d.cfg.Watch.Began(st, s.now())
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return nil
		case <-feed.Ready():
		case <-timer.C:
		case <-s.wake:
		}
		s.soon.Store(false)
		for {
			s.drain(core) // also between turns: a renewal must not wait for the end of a long backlog
			if err := d.turn(s, core, feed); err != nil {
				return err
			}
			if !core.Busy() {
				break
			}
		}
		s.rest(core, timer)
	}
}

// rest sets when the loop looks again if nothing wakes it.
func (s *scope) rest(core *Core, timer *time.Timer) {
	at, ok := core.NextWake()
	if again := s.verified.Add(verifyEvery); core.Unverified() && (!ok || again.Before(at)) {
		at, ok = again, true
	}
	if !ok {
		return
	}
	wait := max(time.Millisecond, at.Sub(s.now()))
	timer.Reset(wait)
	s.soon.Store(wait <= verifyEvery)
}

// drain takes in all that is waiting.
func (s *scope) drain(core *Core) {
	for range inFlight {
		select {
		case ev := <-s.events:
			s.send(ev(core, s.now()))
		default:
			return
		}
	}
}

// turn decides, proposes and tells.
func (d *Server) turn(s *scope, core *Core, feed *machine.Feed) error {
	if err := d.observe(s, core, feed, 0); err != nil {
		return err
	}
	now, before := s.now(), core.st
	turn := core.Turn(now)
	waited := core.sched.Waited()
	var index uint64
	leads := false // now, for certain
	if turn != nil {
		var err error
		if index, err = d.propose(s, core, turn); err != nil {
			return err
		}
		leads = true
	} else if core.Unverified() && now.Sub(s.verified) >= verifyEvery {
		if err := d.cfg.Log.Verify(s.ctx); err != nil {
			return err
		}
		leads = true
	}
	if leads {
		s.verified = now
		s.send(core.Verified())
	}
	if turn == nil {
		s.send(core.Committed(core.st, nil, nil, now))
		return nil
	}
	if err := d.observe(s, core, feed, index); err != nil || d.cfg.Watch == nil {
		return err
	}
	d.cfg.Watch.Turned(Turned{Turn: turn, Before: before, After: core.st, Index: index, Waited: waited, Decided: now, Committed: s.now()})
	return nil
}

// propose makes the turn an entry, and has its messages prepared meanwhile.
func (d *Server) propose(s *scope, core *Core, turn *wire.Turn) (index uint64, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		index, _, err = d.cfg.Log.Propose(s.ctx, &wire.Command{Body: &wire.Command_Turn{Turn: turn}})
	}()
	core.Prepare()
	<-done
	return index, err
}

// observe hands what the log applied to the core; the entry at index own is
// the turn that it proposed.
func (d *Server) observe(s *scope, core *Core, feed *machine.Feed, own uint64) error {
	found := own == 0
	for _, a := range feed.Take() {
		d.tell(a.State, a.Changes)
		switch {
		case a.Reset:
			return fault.New(fault.Internal, "the facts were replaced while this coordinator led")
		case a.Index == own:
			s.send(core.Committed(a.State, a.Changes, a.Refused, s.now()))
			found = true
		default:
			s.send(core.Observe(a.State, a.Changes, s.now()))
		}
	}
	if !found {
		return fault.New(fault.Internal, "log entry %d was not seen applied", own)
	}
	return nil
}

// tell writes into this process's log what becomes of agents.
func (d *Server) tell(st *state.State, changes []state.Change) {
	for _, ch := range changes {
		if ch.Kind != state.AgentChanged {
			continue
		}
		switch a, known := st.Agent(ch.Agent); {
		case !known:
			d.cfg.Logger.Info("an agent is forgotten", "agent", ch.Agent)
		case a.State == wire.Agent_LOST:
			d.cfg.Logger.Warn("an agent is lost: it was silent for a lease", "agent", a.Id, "host", a.Host, "attempts", a.Leases)
		case a.Drain != nil && a.Drain.SinceMs == st.NowMs():
			d.cfg.Logger.Info("an agent is drained", "agent", a.Id, "actor", a.Drain.Actor, "reason", a.Drain.Why, "deadline", deadline(a.Drain))
		}
	}
}

// deadline is when a drained agent is to be empty, as a log tells it.
func deadline(d *wire.Drain) string {
	if d.DeadlineMs == 0 {
		return "none"
	}
	return time.UnixMilli(d.DeadlineMs).UTC().Format(time.RFC3339)
}

// Inspect runs f on the scheduler between two turns; fault.Unavailable when
// this coordinator does not lead.
func (d *Server) Inspect(ctx context.Context, f func(*schedule.Scheduler)) error {
	return d.ask(ctx, func(c *Core) { f(c.Scheduler()) })
}

// Contacts tells which agents are connected, and when this coordinator has heard
// of them since it leads; fault.Unavailable when it does not lead.
func (d *Server) Contacts(ctx context.Context) (map[string]Contact, error) {
	var out map[string]Contact
	if err := d.ask(ctx, func(c *Core) { out = c.Contacts() }); err != nil {
		return nil, err // a late answer is not looked at
	}
	return out, nil
}

// ask runs f on the Core between two turns.
func (d *Server) ask(ctx context.Context, f func(*Core)) error {
	s := d.scope.Load()
	if s == nil {
		return fault.New(fault.Unavailable, "this coordinator does not lead: ask the leader")
	}
	done := make(chan struct{})
	ev := func(c *Core, _ time.Time) []Message {
		f(c)
		close(done)
		return nil
	}
	if err := s.post(ctx, ev); err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-s.ctx.Done():
		return fault.New(fault.Unavailable, "this coordinator does not lead any more: ask the leader")
	case <-ctx.Done():
		return fault.Wrap(ctx.Err(), fault.Timeout, "the scheduler did not answer in time")
	}
}

// post hands an event to the loop, and wakes it.
func (s *scope) post(ctx context.Context, ev func(*Core, time.Time) []Message) error {
	err := s.leaveFor(ctx, ev)
	s.rouse()
	return err
}

// leaveFor hands an event to the loop for when it looks next.
func (s *scope) leaveFor(ctx context.Context, ev func(*Core, time.Time) []Message) error {
	select {
	case s.events <- ev:
		return nil
	case <-s.ctx.Done():
		return fault.New(fault.Unavailable, "this coordinator does not lead any more")
	case <-ctx.Done():
		return fault.Wrap(ctx.Err(), fault.Timeout, "the dispatcher is busy")
	}
}

func (s *scope) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// send hands messages to their streams. A stream that cannot take one is
// ended, rather than wait for it.
func (s *scope) send(messages []Message) {
	if len(messages) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range messages {
		st, ok := s.streams[m.To]
		if !ok {
			continue
		}
		if m.Close != "" {
			st.close(m.Close)
			continue
		}
		if !st.put(m.Body) {
			st.close("the agent does not read what it is sent")
		}
	}
}

func (s *scope) closeAll(why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.streams {
		st.close(why)
	}
}

func (st *stream) close(why string) { st.fail(status.Error(codes.Aborted, why)) }

func (st *stream) fail(err error) {
	st.once.Do(func() {
		st.err = err
		close(st.closed)
	})
}

// Session serves one agent's stream.
func (d *Server) Session(rpc grpc.BidiStreamingServer[wire.AgentMessage, wire.LeaderMessage]) error {
	first, err := rpc.Recv()
	if err != nil {
		return err
	}
	hello := first.GetHello()
	if err := checkHello(hello); err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	s := d.scope.Load()
	if s == nil {
		return d.notLeader()
	}
	conn := Conn(d.lastConn.Add(1))
	st := newStream()
	s.mu.Lock()
	s.streams[conn] = st
	s.mu.Unlock()
	defer s.leave(conn)
	if err := s.post(rpc.Context(), func(c *Core, now time.Time) []Message { return c.Hello(conn, hello, now) }); err != nil {
		return d.notLeader()
	}
	go s.read(rpc, conn, st)
	for {
		select {
		case <-st.ready:
			for _, m := range st.take() {
				if err := rpc.Send(m); err != nil {
					return err
				}
			}
		case <-st.closed:
			return st.err
		case <-s.ctx.Done():
			return d.notLeader()
		case <-rpc.Context().Done():
			return rpc.Context().Err()
		}
	}
}

// leave forgets a stream that has ended.
func (s *scope) leave(conn Conn) {
	s.mu.Lock()
	delete(s.streams, conn)
	s.mu.Unlock()
	_ = s.post(context.Background(), func(c *Core, _ time.Time) []Message { c.Gone(conn); return nil })
}

// read takes in what an agent says until its stream ends.
func (s *scope) read(rpc grpc.BidiStreamingServer[wire.AgentMessage, wire.LeaderMessage], conn Conn, st *stream) {
	places := make(chan struct{}, unread)
	for {
		select {
		case places <- struct{}{}:
		case <-st.closed:
			return
		case <-s.ctx.Done():
			return
		case <-rpc.Context().Done():
			return
		}
		m, err := rpc.Recv()
		switch {
		case errors.Is(err, io.EOF):
			st.close("the agent left")
			return
		case err != nil: // it broke, or its sender may not be here any more
			st.fail(err)
			return
		}
		r := m.GetReport()
		if r == nil {
			st.close("expected a report: an agent says hello once")
			return
		}
		if err := checkReport(r); err != nil {
			st.fail(status.Error(codes.InvalidArgument, err.Error()))
			return
		}
		ev := func(c *Core, now time.Time) []Message {
			<-places
			if r.Renews && s.watch != nil {
				s.watch.Renewed(c.left(conn, now))
			}
			c.Report(conn, r, now)
			return nil
		}
		if err := s.leaveFor(rpc.Context(), ev); err != nil {
			return
		}
		if !patient(r) || !s.soon.Load() {
			s.rouse()
		}
	}
}

// patient says whether a report only renews: its answer waits for the majority
// anyway. Of thousands of idle agents each would wake the loop for itself.
func patient(r *wire.Report) bool {
	return r.Renews && len(r.Results)+len(r.Started) == 0 && !r.Draining && !r.Leaving
}

func (d *Server) notLeader() error {
	st := status.New(codes.FailedPrecondition, "this coordinator does not lead")
	if with, err := st.WithDetails(&wire.NotLeader{LeaderRpcAddress: d.cfg.Leader()}); err == nil {
		st = with
	}
	return st.Err()
}

// Limits of what an agent may say of itself.
const (
	maxSlots     = 10_000
	maxGroups    = 64
	maxLabels    = 64
	maxAgentName = 128
	maxAgentText = 256
	maxSaid      = 100_000 // attempts in one message, of each kind: more than it can hold
)

// checkReport bounds what an agent may say at once.
func checkReport(r *wire.Report) error {
	if n := max(len(r.Results), len(r.Held), len(r.Started)); n > maxSaid {
		return fmt.Errorf("a report on %d attempts: expected %d at most", n, maxSaid)
	}
	return nil
}

func checkHello(h *wire.Hello) error {
	a := h.GetAgent()
	switch {
	case a == nil:
		return fmt.Errorf("expected a hello with the agent's description first")
	case a.Id == "" || len(a.Id) > maxAgentName:
		return fmt.Errorf("agent id %q: expected 1 to %d characters", a.Id, maxAgentName)
	case len(h.Held) > maxSaid:
		return fmt.Errorf("agent %q holds %d attempts: expected %d at most", a.Id, len(h.Held), maxSaid)
	case a.Incarnation == "":
		return fmt.Errorf("agent %q: expected the incarnation of its keeper", a.Id)
	case len(a.Groups) == 0 || len(a.Groups) > maxGroups:
		return fmt.Errorf("agent %q: %d resource groups: expected 1 to %d", a.Id, len(a.Groups), maxGroups)
	}
	withoutUnknown(a.ProtoReflect())
	groups := map[string]bool{}
	for _, g := range a.Groups {
		if g.Group == "" || len(g.Group) > maxAgentText || g.Slots == 0 || g.Slots > maxSlots || groups[g.Group] {
			return fmt.Errorf("agent %q: group %q with %d slots: expected a name that comes once, and 1 to %d slots", a.Id, g.Group, g.Slots, maxSlots)
		}
		groups[g.Group] = true
	}
	return checkTexts(a)
}

// withoutUnknown drops what a newer agent says of itself and this binary does not
// know: a coordinator's facts must hold nothing that it could not read back.
func withoutUnknown(m protoreflect.Message) {
	if len(m.GetUnknown()) > 0 {
		m.SetUnknown(nil)
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Message() == nil || f.IsMap():
		case f.IsList():
			for i := range v.List().Len() {
				withoutUnknown(v.List().Get(i).Message())
			}
		default:
			withoutUnknown(v.Message())
		}
		return true
	})
}

// checkTexts bounds what goes into the log with an agent.
func checkTexts(a *wire.Agent) error {
	if len(a.Labels) > maxLabels {
		return fmt.Errorf("agent %q: %d labels: expected %d at most", a.Id, len(a.Labels), maxLabels)
	}
	labels := map[string]bool{}
	for _, l := range a.Labels {
		if l.Name == "" || len(l.Name)+len(l.Value) > maxAgentText || labels[l.Name] {
			return fmt.Errorf("agent %q: label %q: expected a name that comes once, and %d bytes at most with its value", a.Id, l.Name, maxAgentText)
		}
		labels[l.Name] = true
	}
	for _, t := range []struct{ what, text string }{
		{"incarnation", a.Incarnation}, {"host", a.Host}, {"version", a.Version}, {"version of the keeper", a.KeeperVersion}, {"boot id", a.Boot},
	} {
		if len(t.text) > maxAgentText {
			return fmt.Errorf("agent %q: its %s has %d bytes: expected %d at most", a.Id, t.what, len(t.text), maxAgentText)
		}
	}
	return nil
}
