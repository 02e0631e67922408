package suite

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"backfleet/agent/dial"
	"backfleet/agent/monotonic"
	"backfleet/agent/session"
	"backfleet/pkg/wire"
)

// simulation says how simulated agents are. They are the real agent's core
// over real sockets, with a keeper that has no processes: everything a leader
// can tell from outside is as with real agents.
type simulation struct {
	coordinators []string // rpc addresses; agents go round them and follow hints to the leader
	agents       int
	slots        int                   // of each
	group        string                // resource group; empty: default
	prefix       string                // of the agents' ids, before their number; empty: sim
	ramp         time.Duration         // over which they come
	takes        func() time.Duration  // how long an attempt runs; nil: no time
	tally        *tally                // counts acknowledged results; may be nil
	ledger       *ledger               // remembers each instance; may be nil
	traffic      *traffic              // counts what goes over the sockets; may be nil
	onWelcome    func(agent time.Time) // each time a leader has accepted one; may be nil
}

// traffic counts the bytes of messages, both ways.
type traffic struct{ bytes atomic.Int64 }

func (t *traffic) add(m proto.Message) {
	if t != nil {
		t.bytes.Add(int64(proto.Size(m)))
	}
}

// spread gives times from half of mean to one and a half.
func spread(mean time.Duration) func() time.Duration {
	return func() time.Duration { return mean/2 + rand.N(mean) }
}

// simulated is an agent of a simulation.
type simulated struct {
	of   *simulation
	pool *dial.Pool

	mu     sync.Mutex
	core   *session.Core
	keeper simulatedKeeper
	timer  *time.Timer
	stream *simulatedStream
}

// simulatedStream is one stream to one coordinator.
type simulatedStream struct {
	cancel context.CancelFunc
	wake   chan struct{}
	out    []*wire.AgentMessage // under the agent's lock
}

// tally counts for all agents of a round.
type tally struct {
	want    int64
	acked   atomic.Int64
	reports atomic.Int64 // messages with results
	acks    atomic.Int64 // messages with acknowledgements
	reached chan struct{}
	last    time.Time // when want was reached; valid once reached is closed
}

func newTally(want int) *tally { return &tally{want: int64(want), reached: make(chan struct{})} }

func (t *tally) add(n int) {
	before := t.acked.Add(int64(n)) - int64(n)
	if before < t.want && before+int64(n) >= t.want {
		t.last = time.Now()
		close(t.reached)
	}
}

// start lets the agents live until ctx ends; wait returns when all are gone.
func (s *simulation) start(ctx context.Context) (wait func()) {
	if s.prefix == "" {
		s.prefix = "sim"
	}
	if s.group == "" {
		s.group = "default"
	}
	incarnation := strconv.FormatInt(time.Now().UnixNano(), 36)
	var all sync.WaitGroup
	for i := range s.agents {
		a := s.agent(s.prefix+strconv.Itoa(i+1), incarnation)
		delay := time.Duration(i) * s.ramp / time.Duration(s.agents)
		all.Go(func() {
			select {
			case <-ctx.Done():
			case <-time.After(delay):
				a.live(ctx)
			}
		})
	}
	return all.Wait
}

func (s *simulation) agent(id, incarnation string) *simulated {
	a := &simulated{of: s, pool: dial.NewPool(s.coordinators, nil, "")}
	a.core = session.NewCore(&wire.Agent{
		Id: id, Host: "simulated", Version: "bench", State: wire.Agent_READY,
		Groups: []*wire.GroupSlots{{Group: s.group, Slots: uint32(s.slots)}},
	}, nothingToRun{})
	a.keeper = newSimulatedKeeper(s, a.core)
	a.core.KeeperSynced(incarnation, nil)
	a.timer = time.AfterFunc(time.Hour, func() { a.do(func(time.Duration) {}) })
	return a
}

// nothingToRun prepares what the simulated keeper takes for a process.
type nothingToRun struct{}

// Prepare implements session.Preparer.
func (nothingToRun) Prepare(d *wire.Definition, w *wire.Work) (*wire.StartAttempt, error) {
	return &wire.StartAttempt{Group: d.ResourceGroup, Ahead: w.Ahead, Priority: w.Priority}, nil
}

// live goes from stream to stream as the real session does: hints are followed
// once and at once, then it is the coordinators' turn to agree.
func (a *simulated) live(ctx context.Context) {
	defer a.timer.Stop()
	var backoff dial.Backoff
	hint, hinted := "", false
	for ctx.Err() == nil {
		address := hint
		if hint == "" || hinted {
			address = a.pool.Next()
		}
		hinted = hint != "" && !hinted
		welcomed, err := a.one(ctx, address)
		hint = leaderNamed(err)
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

// leaderNamed finds the address of the leader in a refusal.
func leaderNamed(err error) string {
	for _, d := range status.Convert(err).Details() {
		if n, ok := d.(*wire.NotLeader); ok {
			return n.LeaderRpcAddress
		}
	}
	return ""
}

// welcomePatience is how long Hello may stay without an answer.
const welcomePatience = 5 * time.Second

// one lives through one stream and returns what ended it.
func (a *simulated) one(ctx context.Context, address string) (welcomed bool, err error) {
	conn, err := a.pool.Connect(address)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	patience := time.AfterFunc(welcomePatience, cancel)
	defer patience.Stop()
	remote, err := wire.NewAgentsClient(conn).Session(ctx)
	if err != nil {
		return false, err
	}
	mine := &simulatedStream{cancel: cancel, wake: make(chan struct{}, 1)}
	a.do(func(now time.Duration) {
		a.stream = mine
		a.core.Connected(now)
	})
	defer a.do(func(time.Duration) {
		a.stream = nil
		a.core.Disconnected()
	})
	var sending sync.WaitGroup
	defer sending.Wait()
	defer cancel()
	sending.Go(func() { a.send(ctx, remote, mine) })
	for {
		m, err := remote.Recv()
		if err != nil {
			return welcomed, err
		}
		if !welcomed && m.GetWelcome() != nil {
			welcomed = true
			patience.Stop()
			if a.of.onWelcome != nil {
				a.of.onWelcome(time.Now())
			}
		}
		a.of.traffic.add(m)
		a.do(func(now time.Duration) { a.core.Received(now, m) })
		if n := len(m.GetAck().GetResults()); n > 0 && a.of.tally != nil {
			a.of.tally.acks.Add(1)
			a.of.tally.add(n)
		}
	}
}

func (a *simulated) send(ctx context.Context, remote grpc.BidiStreamingClient[wire.AgentMessage, wire.LeaderMessage], s *simulatedStream) {
	for {
		a.mu.Lock()
		out := s.out
		s.out = nil
		a.mu.Unlock()
		for _, m := range out {
			if len(m.GetReport().GetResults()) > 0 && a.of.tally != nil {
				a.of.tally.reports.Add(1)
			}
			a.of.traffic.add(m)
			if remote.Send(m) != nil {
				return // Recv says why
			}
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return
		}
	}
}

// do takes in something that happened, then does what the core says until it
// has nothing more to say.
func (a *simulated) do(happened func(now time.Duration)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := monotonic.Now()
	happened(now)
	a.keeper.due(now)
	for {
		e := a.core.Take(now)
		quiet := a.keeper.obey(now, e)
		if a.stream != nil && e.Redial != "" {
			a.stream.cancel()
		} else if a.stream != nil && len(e.Send) > 0 {
			a.stream.out = append(a.stream.out, e.Send...)
			select {
			case a.stream.wake <- struct{}{}:
			default:
			}
		}
		if quiet {
			break
		}
	}
	next := now + time.Hour
	if at, ok := a.core.NextWake(); ok {
		next = at
	}
	if at, ok := a.keeper.next(); ok {
		next = min(next, at)
	}
	a.timer.Reset(max(next-now, time.Millisecond))
}
