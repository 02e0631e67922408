package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	attempts "backfleet/agent/attempt"
	"backfleet/agent/dial"
	"backfleet/agent/monotonic"
	"backfleet/agent/session"
	"backfleet/pkg/wire"
)

// simulated is an agent whose attempts succeed at once and are no processes:
// the real agent's core, over the real protocol. It remembers every attempt.
type simulated struct {
	pool *dial.Pool
	stop context.CancelFunc
	done sync.WaitGroup

	mu      sync.Mutex
	core    *session.Core
	timer   *time.Timer
	stream  context.CancelFunc // of the one stream to a coordinator; nil: there is none
	out     []*wire.AgentMessage
	wake    chan struct{}
	ran     map[attempts.Instance]uint32 // attempts that ran
	unasked error                        // the first attempt that should not have run
}

// simulate lets an agent with so many slots live until the test is over.
func (s *site) simulate(id string, slots uint32) *simulated {
	cluster, err := s.API.Cluster(s.Ctx)
	s.Must(err)
	var rpcs []string
	for _, c := range cluster.Servers {
		rpcs = append(rpcs, c.RPCAddress)
	}
	ctx, cancel := context.WithCancel(s.Ctx)
	a := &simulated{pool: dial.NewPool(rpcs, nil, ""), stop: cancel, wake: make(chan struct{}, 1), ran: map[attempts.Instance]uint32{}}
	a.core = session.NewCore(&wire.Agent{
		Id: id, Host: "simulated", State: wire.Agent_READY, Groups: []*wire.GroupSlots{{Group: "default", Slots: slots}},
	}, nothing{})
	a.core.KeeperSynced(id+"-1", nil)
	a.timer = time.AfterFunc(time.Hour, func() { a.do(func(time.Duration) {}) })
	a.done.Go(func() { a.live(ctx) })
	s.T.Cleanup(func() {
		cancel()
		a.done.Wait()
		a.timer.Stop()
	})
	return a
}

// nothing prepares work for which nothing is to be run.
type nothing struct{}

// Prepare implements session.Preparer.
func (nothing) Prepare(*wire.Definition, *wire.Work) (*wire.StartAttempt, error) {
	return &wire.StartAttempt{}, nil
}

// live goes from stream to stream, and follows hints to the leader.
func (a *simulated) live(ctx context.Context) {
	var backoff dial.Backoff
	for ctx.Err() == nil {
		welcomed, err := a.one(ctx, a.pool.Next())
		if welcomed {
			backoff.Reset()
		}
		for _, d := range status.Convert(err).Details() {
			if n, ok := d.(*wire.NotLeader); ok && n.LeaderRpcAddress != "" {
				_, _ = a.one(ctx, n.LeaderRpcAddress) // how it ended is told by what comes next
			}
		}
		if !backoff.Wait(ctx) {
			return
		}
	}
}

// one lives through one stream.
func (a *simulated) one(ctx context.Context, address string) (welcomed bool, err error) {
	conn, err := a.pool.Connect(address)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	var sending sync.WaitGroup
	defer sending.Wait()
	defer cancel()
	remote, err := wire.NewAgentsClient(conn).Session(ctx)
	if err != nil {
		return false, err
	}
	patience := time.AfterFunc(5*time.Second, cancel)
	defer patience.Stop()
	a.do(func(now time.Duration) {
		a.stream, a.out = cancel, nil
		a.core.Connected(now)
	})
	defer a.do(func(time.Duration) {
		a.stream = nil
		a.core.Disconnected()
	})
	sending.Go(func() { a.send(ctx, remote) })
	for {
		m, err := remote.Recv()
		if err != nil {
			return welcomed, err
		}
		welcomed = welcomed || m.GetWelcome() != nil
		if welcomed {
			patience.Stop()
		}
		a.do(func(now time.Duration) { a.core.Received(now, m) })
	}
}

func (a *simulated) send(ctx context.Context, remote grpc.BidiStreamingClient[wire.AgentMessage, wire.LeaderMessage]) {
	for {
		a.mu.Lock()
		out := a.out
		a.out = nil
		a.mu.Unlock()
		for _, m := range out {
			if remote.Send(m) != nil {
				return // Recv says why
			}
		}
		select {
		case <-a.wake:
		case <-ctx.Done():
			return
		}
	}
}

// do takes in what happened, and then does what the core says.
func (a *simulated) do(happened func(now time.Duration)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := monotonic.Now()
	happened(now)
	for again := true; again; {
		e := a.core.Take(now)
		again = len(e.Start)+len(e.Ship) > 0
		for _, m := range e.Start {
			a.run(m.Ref)
		}
		for _, key := range e.Ship {
			a.core.LogSafe(key)
		}
		if a.stream == nil {
			continue
		}
		if e.Redial != "" {
			a.stream()
		}
		if a.out = append(a.out, e.Send...); len(e.Send) > 0 {
			select {
			case a.wake <- struct{}{}:
			default:
			}
		}
	}
	if at, ok := a.core.NextWake(); ok {
		a.timer.Reset(max(at-now, time.Millisecond))
	}
}

// run is an attempt from its start to its end.
func (a *simulated) run(ref *wire.AttemptRef) {
	key, now := attempts.KeyOf(ref), time.Now().UnixMilli()
	if n := a.ran[key.Of()]; n > 0 && a.unasked == nil {
		a.unasked = fmt.Errorf("%s runs, the instance's attempt number %d has succeeded before", key, n)
	}
	a.ran[key.Of()] = ref.Attempt
	a.core.KeeperChanged(&wire.KeptAttempt{Ref: ref, Result: &wire.AttemptResult{
		Ref: ref, Outcome: wire.Outcome_SUCCEEDED, StartedMs: now, EndedMs: now,
	}})
	a.core.LogSafe(key)
}

// count is how many instances have run, and an error if one ran twice.
func (a *simulated) count() (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.ran), a.unasked
}

// metric reads a number that a coordinator tells of itself.
func (s *site) metric(server, name string) (float64, error) {
	request, err := http.NewRequestWithContext(s.Ctx, http.MethodGet, server+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, errors.New(server + " has no metric " + name)
}
