package session

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"backfleet/agent/attempt"
	"backfleet/agent/dial"
	"backfleet/agent/keeper"
	"backfleet/agent/monotonic"
	"backfleet/pkg/trace"
	"backfleet/pkg/wire"
)

// Shipper brings logs to the coordinators and says LogSafe when one is there.
// Its methods must not block.
type Shipper interface {
	// Track tells how an attempt and its log stand.
	Track(*wire.KeptAttempt)
}

// Config of a Session. All fields without a default are required.
type Config struct {
	Agent         *wire.Agent // without its incarnation
	Prepare       Preparer
	Coordinators  *dial.Pool
	KeeperDir     string
	KeeperCommand []string
	Shipper       Shipper
	Logger        *slog.Logger
	Generation    *Generation // nil: none is remembered
	// Traced is told how the leader traces before anything of it runs. Default: nobody.
	Traced func(trace.Cluster)
	// Wait has the end of Run's context wait for what runs, as Drain does.
	// Default: what runs is left to the keeper.
	Wait bool
	// Deadline bounds that wait. 0: none.
	Deadline time.Duration
}

const (
	// welcomeWithin bounds the wait for the answer to Hello.
	welcomeWithin = time.Second
	// farewell bounds the wait for the leader's word that it hands out no more.
	farewell = 500 * time.Millisecond
	// forgetWithin is how long the keeper may keep what it could forget, so that
	// it need not be called for that alone.
	forgetWithin = 500 * time.Millisecond
	// safeWithin is how late the loop may hear that a log is safe.
	safeWithin = 100 * time.Millisecond
	// stopGrace is how long what a drain stops has to end by itself.
	stopGrace = 10 * time.Second
)

// Session moves messages between a Core, the keeper and the leader.
type Session struct {
	config Config
	core   *Core

	mu     sync.Mutex
	inbox  []func(now time.Duration) // what happened, in order
	safe   []attempt.Key             // whose logs became safe, after all that
	wake   chan struct{}
	ready  chan struct{} // signals that a stream would be of use
	client *keeper.Client
	stream *stream // for the loop only

	forget   []*wire.AttemptRef // for the loop only: to be forgotten with the next start
	forgetBy time.Duration      // or at this moment

	known *keeper.Client // for the loop only: the one whose attempts the core knows
	calls queue[func() error]

	drain  drain  // for the loop only
	counts Counts // likewise
	ended  chan struct{}
}

// drain is how far the session is with ending by itself. Moments are readings
// of the monotonic clock; 0: never.
type drain struct {
	asked  bool          // it waits for what runs
	now    bool          // it does not
	stopAt time.Duration // what runs then is stopped
	endAt  time.Duration // come what may
}

// stream is one stream to one coordinator.
type stream struct {
	address string
	out     queue[*wire.AgentMessage]
	cancel  context.CancelFunc
}

// New makes a session; Run does the work.
func New(config Config) *Session {
	return &Session{
		config: config,
		core:   NewCore(config.Agent, config.Prepare),
		wake:   make(chan struct{}, 1),
		ready:  make(chan struct{}, 1),
		calls:  newQueue[func() error](),
		ended:  make(chan struct{}),
	}
}

// Drain has the agent take nothing new, and Run return when all that runs has
// ended and the leader knows. What still runs after the deadline is stopped, to
// run again elsewhere; 0: there is none. It may be called again with another
// deadline.
func (s *Session) Drain(deadline time.Duration) {
	s.post(func(now time.Duration) { s.beginDrain(now, deadline) })
}

func (s *Session) beginDrain(now, deadline time.Duration) {
	s.core.Drain()
	s.drain = drain{asked: true}
	if deadline > 0 {
		s.drain.stopAt = now + deadline
		s.drain.endAt = s.drain.stopAt + stopGrace + stopGrace/2
	}
	s.config.Logger.Info("the agent takes no more work and ends when nothing runs", "running", s.core.Running(), "after", deadline)
}

// LogSafe says that an attempt's whole log is kept by the coordinators. Nothing
// but forgetting follows from it, so the loop is not woken for each.
func (s *Session) LogSafe(key attempt.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.safe = append(s.safe, key); len(s.safe) == 1 {
		time.AfterFunc(safeWithin, func() { signal(s.wake) })
	}
}

// post hands the loop something that happened.
func (s *Session) post(f func(now time.Duration)) {
	s.mu.Lock()
	s.inbox = append(s.inbox, f)
	s.mu.Unlock()
	signal(s.wake)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run serves until ctx ends. Then it tells the leader, and the keeper to quit
// if nothing runs; running attempts are left to the keeper for the next
// session to adopt.
func (s *Session) Run(ctx context.Context) error {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var others sync.WaitGroup
	others.Go(func() { s.keepers(inner) })
	others.Go(func() { s.call(inner) })
	others.Go(func() { s.streams(inner) })
	s.loop(ctx)
	close(s.ended)
	s.leave()
	cancel()
	others.Wait()
	return nil
}

// loop lets the core take in all that has happened, then does what it says.
func (s *Session) loop(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	done, late := ctx.Done(), (<-chan time.Time)(nil)
	for {
		s.step()
		if s.advanceDrain(monotonic.Now()) {
			s.step()
		}
		if s.over() {
			return
		}
		timer.Reset(s.untilNext())
		select {
		case <-s.wake:
		case <-timer.C:
		case <-late:
			return
		case <-done:
			done = nil
			if s.config.Wait && !s.drain.asked {
				s.beginDrain(monotonic.Now(), s.config.Deadline)
			}
			if s.config.Wait {
				continue
			}
			s.drain, late = drain{now: true}, time.After(farewell)
			s.core.Drain()
			s.core.Leave()
		}
	}
}

// advanceDrain says whether a drain has given the core something to do.
func (s *Session) advanceDrain(now time.Duration) (did bool) {
	if at := s.drain.stopAt; at > 0 && now >= at {
		s.drain.stopAt = 0
		s.config.Logger.Warn("the drain's deadline is over: what runs is stopped", "running", s.core.Running())
		s.core.GiveUp(stopGrace, "its agent was to be empty by now")
		did = true
	}
	if s.drain.asked && !s.core.leaving && s.core.Empty() {
		s.core.Leave()
		did = true
	}
	return did
}

// over says that Run may return: a drain has come to its end, or, without one,
// the leader knows what it can: that nothing new is taken, and, if nothing runs,
// that the agent ends.
func (s *Session) over() bool {
	switch d := s.drain; {
	case d.asked:
		return s.core.Empty() && s.core.Left() || d.endAt > 0 && monotonic.Now() >= d.endAt
	case d.now:
		return !s.core.connected || s.core.Left() || s.core.Drained() && s.core.Running() > 0
	}
	return false
}

// untilNext is how long nothing is to be done unless something happens.
func (s *Session) untilNext() time.Duration {
	next, now := time.Hour, monotonic.Now()
	sooner := func(at time.Duration) { next = min(next, max(at-now, 0)) }
	if at, ok := s.core.NextWake(); ok {
		sooner(at)
	}
	if len(s.forget) > 0 {
		sooner(s.forgetBy)
	}
	for _, at := range []time.Duration{s.drain.stopAt, s.drain.endAt} {
		if at > 0 {
			sooner(at)
		}
	}
	return next
}

func (s *Session) step() {
	s.mu.Lock()
	inbox, safe := s.inbox, s.safe
	s.inbox, s.safe = nil, nil
	s.mu.Unlock()
	for _, f := range inbox {
		f(monotonic.Now())
	}
	for _, key := range safe {
		s.core.LogSafe(key)
	}
	e := s.core.Take(monotonic.Now())
	s.toKeeper(e)
	for _, key := range e.Ship {
		s.config.Shipper.Track(&wire.KeptAttempt{Ref: key.Ref()})
	}
	if s.known != nil && s.known.Outdated != "" && s.core.Running() == 0 {
		s.retire()
	}
	if s.stream == nil {
		return
	}
	for _, m := range e.Send {
		s.stream.out.put(m)
	}
	if e.Redial != "" {
		s.config.Logger.Warn("the agent gives up its stream", "reason", e.Redial)
		s.stream.cancel()
	}
}

// retire ends a keeper of another binary, with nothing running. First the leader
// hands out no more, for it sees the stream end.
func (s *Session) retire() {
	old := s.known
	s.config.Logger.Info("the keeper is of another binary and has nothing to do: it is replaced", "pid", old.Info.Pid)
	s.known = nil
	s.core.KeeperLost()
	s.calls.put(func() error {
		_, err := old.Quit(context.Background(), &wire.QuitKeeper{})
		old.Close() // refused or not, the next connection tells how things stand
		return err
	})
	signal(s.wake)
}

// toKeeper queues calls. They run one after another, beside the loop: forking
// a batch takes longer than the leader should wait for the next report.
func (s *Session) toKeeper(e Effects) {
	if len(e.Forget) > 0 && len(s.forget) == 0 {
		s.forgetBy = monotonic.Now() + forgetWithin
	}
	s.forget = append(s.forget, e.Forget...)
	var forget []*wire.AttemptRef
	if len(e.Start) > 0 || (len(s.forget) > 0 && monotonic.Now() >= s.forgetBy) {
		forget, s.forget = s.forget, nil
		s.queue(func(k *keeper.Client) error { return s.startAll(k, e.Start, forget) })
	}
	for _, m := range e.Extend {
		s.queue(func(k *keeper.Client) error {
			_, err := k.Extend(context.Background(), m)
			return err
		})
	}
	for _, m := range e.Stop {
		s.queue(func(k *keeper.Client) error {
			_, err := k.Stop(context.Background(), m)
			return err
		})
	}
}

// queue has a call made to the keeper that the core knew when it decided on
// it. A later keeper must not get it: what that one holds the core has learned
// without this call, and has reported what was missing as lost (RULES R13.2).
func (s *Session) queue(f func(*keeper.Client) error) {
	if k := s.known; k != nil {
		s.calls.put(func() error { return f(k) })
	}
}

func (s *Session) startAll(k *keeper.Client, batch []*wire.StartAttempt, forget []*wire.AttemptRef) error {
	answer, err := k.StartAll(context.Background(), &wire.StartAttempts{Attempts: batch, Forget: forget})
	if err != nil {
		return err
	}
	s.post(func(time.Duration) {
		for i, cause := range answer.Refusals {
			if cause != "" {
				s.core.Refused(attempt.KeyOf(batch[i].Ref), cause)
			}
		}
	})
	return nil
}

// call runs the queued calls. One that fails is not repeated: if the keeper is
// gone the core learns what became of its attempts from the next one.
func (s *Session) call(ctx context.Context) {
	for {
		for _, f := range s.calls.take() {
			if err := f(); err != nil {
				s.config.Logger.Warn("the keeper refused a call", "error", err)
			}
		}
		select {
		case <-s.calls.wake:
		case <-ctx.Done():
			return
		}
	}
}

// keepers holds on to a keeper, and starts one when there is none.
func (s *Session) keepers(ctx context.Context) {
	var backoff dial.Backoff
	for {
		err := s.keep(ctx, &backoff)
		if ctx.Err() != nil {
			return
		}
		s.config.Logger.Warn("the agent has lost its keeper", "error", err)
		if !backoff.Wait(ctx) {
			return
		}
	}
}

func (s *Session) keep(ctx context.Context, backoff *dial.Backoff) error {
	client, err := keeper.Ensure(ctx, s.config.KeeperDir, s.config.KeeperCommand)
	if err != nil {
		return err
	}
	defer client.Close()
	if client.Outdated != "" {
		s.config.Logger.Warn("the keeper is of another binary, and is replaced as soon as nothing runs", "pid", client.Info.Pid, "reason", client.Outdated)
	}
	watch, err := client.Watch(ctx, &wire.WatchAttempts{})
	if err != nil {
		return err
	}
	var list []*wire.KeptAttempt
	for synced := false; ; {
		m, err := watch.Recv()
		if err != nil {
			if synced {
				s.setClient(nil)
				s.post(func(time.Duration) {
					s.known = nil
					s.core.KeeperLost()
				})
			}
			return err
		}
		switch {
		case m.Complete:
			synced = true
			backoff.Reset()
			s.config.Logger.Info("the agent has its keeper", "incarnation", client.Info.Incarnation, "pid", client.Info.Pid, "attempts", len(list))
			s.setClient(client)
			s.post(func(time.Duration) {
				if s.known = client; s.core.agent.Incarnation != client.Info.Incarnation {
					s.counts.Keepers++
				}
				s.core.agent.KeeperVersion = client.Info.Version
				s.core.KeeperSynced(client.Info.Incarnation, list)
				signal(s.ready)
			})
			for _, m := range list { // after the core knows them: LogSafe may follow at once
				s.config.Shipper.Track(m)
			}
		case synced:
			s.post(func(time.Duration) {
				s.core.KeeperChanged(m)
				for _, m := range m.More {
					s.core.KeeperChanged(m)
				}
			})
			s.config.Shipper.Track(m)
			for _, m := range m.More {
				s.config.Shipper.Track(m)
			}
		default:
			list = append(append(list, m), m.More...)
		}
	}
}

func (s *Session) setClient(c *keeper.Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.client = c
}

// leave lets the keeper quit when it has nothing to do.
func (s *Session) leave() {
	s.mu.Lock()
	client := s.client
	s.mu.Unlock()
	if client == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	if len(s.forget) > 0 {
		_, _ = client.Forget(ctx, &wire.ForgetAttempt{Refs: s.forget}) // else the next session does it
	}
	if s.core.Running() > 0 {
		return
	}
	if _, err := client.Quit(ctx, &wire.QuitKeeper{}); err != nil {
		s.config.Logger.Info("the keeper stays", "reason", err)
	}
}

// streams holds on to the leader: it follows hints at once, and goes round the
// coordinators with pauses otherwise.
func (s *Session) streams(ctx context.Context) {
	var backoff dial.Backoff
	hint, hinted := "", false
	for ctx.Err() == nil {
		address := hint
		if hint == "" || hinted { // a hint is followed once, then it is their turn to agree
			address = s.config.Coordinators.Leader()
		}
		hinted = hint != "" && !hinted
		welcomed, err := s.one(ctx, address)
		if ctx.Err() != nil {
			return
		}
		hint = leaderIn(err)
		s.config.Logger.Info("no session with the leader", "address", address, "leader", hint, "error", err)
		if welcomed {
			backoff.Reset()
		}
		if hint != "" && hint != address && !hinted {
			continue
		}
		if !backoff.Wait(ctx) {
			return
		}
	}
}

// leaderIn finds the address of the leader in a refusal.
func leaderIn(err error) string {
	for _, d := range status.Convert(err).Details() {
		if n, ok := d.(*wire.NotLeader); ok {
			return n.LeaderRpcAddress
		}
	}
	return ""
}

// one lives through one stream and returns what ended it.
func (s *Session) one(ctx context.Context, address string) (welcomed bool, err error) {
	if !s.awaitReady(ctx) {
		return false, ctx.Err()
	}
	conn, err := s.config.Coordinators.Connect(address)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	patience := time.AfterFunc(welcomeWithin, cancel)
	defer patience.Stop()
	remote, err := wire.NewAgentsClient(conn).Session(ctx)
	if err != nil {
		return false, err
	}
	go s.compareClocks(remote, time.Now())
	mine := &stream{address: address, out: newQueue[*wire.AgentMessage](), cancel: cancel}
	s.post(func(now time.Duration) {
		if s.core.Ready() {
			s.stream = mine
			s.core.generation = s.config.Generation.Newest()
			s.core.Connected(now)
		} else {
			cancel()
		}
	})
	go send(ctx, remote, &mine.out)
	for err == nil {
		var m *wire.LeaderMessage
		if m, err = remote.Recv(); err != nil {
			break
		}
		if w := m.GetWelcome(); w != nil {
			if err = s.config.Generation.Serve(w.Generation); err != nil {
				break
			}
			if header, err := remote.Header(); err == nil && s.config.Traced != nil { // it is there: a message has come
				s.config.Traced(trace.Of(header))
			}
		}
		if !welcomed && m.GetWelcome() != nil {
			welcomed = true
			patience.Stop()
			s.post(func(time.Duration) { s.counts.Sessions++ })
			s.config.Logger.Info("session with the leader", "address", address)
		}
		s.post(func(now time.Duration) { s.core.Received(now, m) })
	}
	s.post(func(time.Duration) {
		if s.stream == mine {
			s.stream = nil
			s.core.Disconnected()
		}
	})
	return welcomed, err
}

// compareClocks learns how far the clock here is ahead of the coordinator's, which
// tells it as soon as it has heard of the stream.
func (s *Session) compareClocks(remote grpc.ClientStream, asked time.Time) {
	header, err := remote.Header()
	answered := time.Now()
	if err != nil {
		return
	}
	if said, ok := wire.ClockOf(header); ok {
		s.post(func(time.Duration) {
			middle := asked.Add(answered.Sub(asked) / 2)
			s.counts.ClockOffsetMs, s.counts.ClockKnown = middle.Sub(said).Milliseconds(), true
		})
	}
}

// awaitReady waits until the core knows what its keeper has.
func (s *Session) awaitReady(ctx context.Context) bool {
	for {
		answer := make(chan bool, 1)
		s.post(func(time.Duration) { answer <- s.core.Ready() })
		select {
		case yes := <-answer:
			if yes {
				return true
			}
		case <-ctx.Done():
			return false
		}
		select {
		case <-s.ready:
		case <-ctx.Done():
			return false
		}
	}
}

func send(ctx context.Context, remote grpc.BidiStreamingClient[wire.AgentMessage, wire.LeaderMessage], out *queue[*wire.AgentMessage]) {
	for {
		for _, m := range out.take() {
			if remote.Send(m) != nil {
				return // Recv says why
			}
		}
		select {
		case <-out.wake:
		case <-ctx.Done():
			return
		}
	}
}

// queue is a list that one goroutine fills and another empties.
type queue[T any] struct {
	mu   sync.Mutex
	list []T
	wake chan struct{}
}

func newQueue[T any]() queue[T] { return queue[T]{wake: make(chan struct{}, 1)} }

func (q *queue[T]) put(v T) {
	q.mu.Lock()
	q.list = append(q.list, v)
	q.mu.Unlock()
	signal(q.wake)
}

func (q *queue[T]) take() []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := q.list
	q.list = nil
	return list
}
