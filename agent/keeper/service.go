package keeper

import (
	"context"
	"encoding/json"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"backfleet/agent/attempt"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// serve answers on the socket until the keeper leaves or ctx ends.
func (k *Keeper) serve(ctx context.Context) error {
	server := grpc.NewServer(grpc.StatsHandler(clients{k}), grpc.MaxRecvMsgSize(64<<20))
	wire.RegisterKeeperServer(server, service{Keeper: k})
	served := make(chan error, 1)
	go func() { served <- server.Serve(k.listener) }()
	select {
	case <-k.quit:
	case <-ctx.Done():
		k.endAll()
		k.leave()
	case err := <-served:
		k.endAll()
		k.leave()
		return fault.Wrap(err, fault.Internal, "keeper: its socket broke")
	}
	stopped := time.AfterFunc(time.Second, server.Stop)
	server.GracefulStop()
	stopped.Stop()
	return nil
}

// clients counts connections.
type clients struct{ *Keeper }

func (clients) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (clients) HandleRPC(context.Context, stats.RPCStats)                         {}
func (clients) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (c clients) HandleConn(_ context.Context, s stats.ConnStats) {
	switch s.(type) {
	case *stats.ConnBegin:
		c.connected(1)
	case *stats.ConnEnd:
		c.connected(-1)
	}
}

// service is the Keeper on the wire.
type service struct {
	wire.UnimplementedKeeperServer
	*Keeper
}

func (s service) Info(context.Context, *wire.KeeperInfoRequest) (*wire.KeeperInfo, error) {
	dropped := s.runner.Dropped()
	return &wire.KeeperInfo{
		Incarnation: s.incarnation, Version: s.config.Version, Pid: int64(os.Getpid()), StartedWith: Binary(),
		Dropped: &wire.DroppedLines{Limit: dropped.Limit, Disk: dropped.Disk},
	}, nil
}

func (s service) Start(_ context.Context, m *wire.StartAttempt) (*wire.StartedAttempt, error) {
	return &wire.StartedAttempt{}, toStatus(s.start(m)[0])
}

func (s service) StartAll(_ context.Context, m *wire.StartAttempts) (*wire.StartedAttempts, error) {
	refusals := make([]string, len(m.Attempts))
	for i, err := range s.start(m.Attempts...) {
		if err != nil {
			refusals[i] = err.Error()
		}
	}
	if err := s.forget(m.Forget); err != nil { // no matter for those that were started
		s.config.Logger.Error("attempts cannot be forgotten", "attempts", len(m.Forget), "error", err)
	}
	return &wire.StartedAttempts{Refusals: refusals}, nil
}

func (s service) Stop(_ context.Context, m *wire.StopAttempt) (*wire.StoppedAttempt, error) {
	s.mu.Lock()
	defer s.unlock()
	a := s.attempts[attempt.KeyOf(m.Ref)]
	switch {
	case a == nil:
		return nil, toStatus(fault.New(fault.NotFound, "attempt %s: not known here", attempt.KeyOf(m.Ref)))
	case m.Recall && a.waits():
		a.end(wire.Outcome_RECALLED, m.Cause, 0)
		return &wire.StoppedAttempt{}, nil
	case m.Recall: // too late
		return &wire.StoppedAttempt{}, nil
	}
	a.end(wire.Outcome_STOPPED, m.Cause, time.Duration(m.GraceMs)*time.Millisecond)
	return &wire.StoppedAttempt{}, nil
}

func (s service) Extend(_ context.Context, m *wire.ExtendAttempts) (*wire.ExtendedAttempts, error) {
	s.extend(m)
	return &wire.ExtendedAttempts{}, nil
}

func (s service) Forget(_ context.Context, m *wire.ForgetAttempt) (*wire.ForgottenAttempt, error) {
	refs := m.Refs
	if m.Ref != nil {
		refs = append([]*wire.AttemptRef{m.Ref}, refs...)
	}
	return &wire.ForgottenAttempt{}, toStatus(s.forget(refs))
}

// Quit ends the keeper if nothing runs. Otherwise it gives way to the program
// that the call names, if it names one.
func (s service) Quit(ctx context.Context, _ *wire.QuitKeeper) (*wire.QuittingKeeper, error) {
	next, err := successor(ctx)
	if err != nil {
		return nil, toStatus(err)
	}
	running := s.quitIdle()
	switch {
	case running == 0:
		return &wire.QuittingKeeper{}, nil
	case next != nil:
		return nil, toStatus(s.giveWay(*next))
	}
	return nil, toStatus(fault.New(fault.Conflict, "the keeper has %d attempts running; stop them first", running))
}

// quitIdle ends the keeper unless something runs.
func (s service) quitIdle() (running int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == 0 {
		s.closing = true
		s.leave()
	}
	return s.running
}

// successor is the program that a call of Quit names; nil: none.
func successor(ctx context.Context) (*Successor, error) {
	head, _ := metadata.FromIncomingContext(ctx)
	texts := head.Get(successorKey)
	if len(texts) == 0 {
		return nil, nil
	}
	next := &Successor{}
	if err := json.Unmarshal([]byte(texts[0]), next); err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "the program to give way to cannot be read")
	}
	return next, nil
}

func (s service) Watch(_ *wire.WatchAttempts, stream grpc.ServerStreamingServer[wire.KeptAttempt]) error {
	s.mu.Lock()
	w := s.watch()
	for _, a := range s.attempts {
		w.add(a)
	}
	first := fold(s.take(w))
	s.mu.Unlock()
	defer s.unwatch(w)
	for list := append(first, &wire.KeptAttempt{Complete: true}); ; {
		for _, m := range list {
			if err := stream.Send(m); err != nil {
				return err
			}
		}
		select {
		case <-w.wake:
		case <-s.quit:
			return status.Error(codes.Unavailable, "the keeper leaves")
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
		s.mu.Lock()
		list = fold(s.take(w))
		s.mu.Unlock()
	}
}

// watcher collects the attempts that changed since it last looked. Changes of
// one attempt melt into one, so a slow watcher costs no memory.
type watcher struct {
	queue  []*kept
	queued map[*kept]struct{}
	wake   chan struct{}
}

func (w *watcher) add(a *kept) {
	if _, ok := w.queued[a]; ok {
		return
	}
	w.queued[a] = struct{}{}
	w.queue = append(w.queue, a)
}

// watch registers a watcher. The lock is held.
func (k *Keeper) watch() *watcher {
	w := &watcher{queued: map[*kept]struct{}{}, wake: make(chan struct{}, 1)}
	k.watchers[w] = struct{}{}
	return w
}

func (k *Keeper) unwatch(w *watcher) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.watchers, w)
}

// mention has the watchers told with the next change. The lock is held.
func (k *Keeper) mention(a *kept) {
	for w := range k.watchers {
		w.add(a)
	}
}

// changed tells the watchers. The lock is held.
func (k *Keeper) changed(a *kept) {
	k.mention(a)
	k.wakeWatchers()
}

// wakeWatchers tells what was mentioned. The lock is held.
func (k *Keeper) wakeWatchers() {
	for w := range k.watchers {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// take gives what changed, as it stands now. The lock is held.
func (k *Keeper) take(w *watcher) []*wire.KeptAttempt {
	list := make([]*wire.KeptAttempt, 0, len(w.queue))
	for _, a := range w.queue {
		m := &wire.KeptAttempt{Ref: a.key.Ref(), Running: a.running, LogBytes: a.logBytes, Queued: a.waits(), Ahead: a.ahead}
		if !a.running {
			m.Result, m.Log = a.result, a.log // in the journal, and never changed again
		}
		if a.running && len(a.log) > 0 {
			m.LogBytes = 0 // it has ended, its log is in no file and not yet in the journal
		}
		if len(m.Log) == 0 {
			m.LogDirectory = k.store.log(a.key)
		}
		list = append(list, m)
	}
	w.queue = w.queue[:0]
	clear(w.queued)
	return list
}

const (
	// mostTogether and mostLog bound the attempts, and the bytes of their logs, in
	// one message.
	mostTogether = 500
	mostLog      = 1 << 20
)

// fold puts attempts together into messages, in their order.
func fold(list []*wire.KeptAttempt) (messages []*wire.KeptAttempt) {
	log := 0
	for _, m := range list {
		n := len(messages) - 1
		if log += len(m.Log); n < 0 || log > mostLog || len(messages[n].More) == mostTogether-1 {
			messages, log = append(messages, m), len(m.Log)
			continue
		}
		messages[n].More = append(messages[n].More, m)
	}
	return messages
}

// toStatus keeps the code over the wire.
func toStatus(err error) error {
	if err == nil {
		return nil
	}
	code := codes.Internal
	switch fault.CodeOf(err) {
	case fault.Invalid:
		code = codes.InvalidArgument
	case fault.NotFound:
		code = codes.NotFound
	case fault.Conflict:
		code = codes.FailedPrecondition
	case fault.Unavailable:
		code = codes.Unavailable
	case fault.Timeout:
		code = codes.DeadlineExceeded
	}
	return status.Error(code, err.Error())
}
