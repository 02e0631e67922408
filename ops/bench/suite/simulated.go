package suite

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"backfleet/pkg/wire"
)

// simulated is an agent that speaks the real protocol over a real socket and
// runs nothing: every attempt succeeds the moment it is granted.
type simulated struct {
	id    string
	slots int
	tally *tally

	mu   sync.Mutex
	held map[uint64]*wire.AttemptRef // granted, the result not yet acknowledged
	done []*wire.AttemptResult       // to be reported
	wake chan struct{}
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

// simulate runs n agents against one coordinator until the tally is reached,
// and gives when the first of them was welcomed.
func simulate(ctx context.Context, address string, n, slots int, t *tally) (welcomed time.Time, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var first atomic.Int64
	g, inner := errgroup.WithContext(ctx)
	for i := range n {
		a := &simulated{
			id: "sim" + strconv.Itoa(i+1), slots: slots, tally: t,
			held: map[uint64]*wire.AttemptRef{}, wake: make(chan struct{}, 1),
		}
		g.Go(func() error {
			return a.run(inner, address, func() { first.CompareAndSwap(0, time.Now().UnixNano()) })
		})
	}
	g.Go(func() error {
		select {
		case <-t.reached:
			cancel()
		case <-inner.Done():
		}
		return nil
	})
	err = g.Wait()
	select {
	case <-t.reached:
		return time.Unix(0, first.Load()), nil
	default:
		if err == nil {
			err = ctx.Err()
		}
		return time.Time{}, fmt.Errorf("after %d of %d instances: %w", t.acked.Load(), t.want, err)
	}
}

func (a *simulated) run(ctx context.Context, address string, welcomed func()) error {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := wire.NewAgentsClient(conn).Session(ctx)
	if err != nil {
		return err
	}
	hello := &wire.Hello{Agent: &wire.Agent{
		Id: a.id, Incarnation: "1", Host: "simulated", Version: "bench", State: wire.Agent_READY,
		Groups: []*wire.GroupSlots{{Group: "default", Slots: uint32(a.slots)}},
	}}
	if err := stream.Send(&wire.AgentMessage{Body: &wire.AgentMessage_Hello{Hello: hello}}); err != nil {
		return err
	}
	var sending sync.WaitGroup
	defer sending.Wait()
	defer cancel()
	sending.Go(func() { a.report(ctx, stream) })
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		switch {
		case m.GetWelcome() != nil:
			welcomed()
		case m.GetAssign() != nil:
			a.take(m.GetAssign())
		case m.GetAck() != nil:
			a.settle(m.GetAck())
		}
	}
}

// take succeeds with everything at once.
func (a *simulated) take(m *wire.Assign) {
	if len(m.Work) == 0 {
		return
	}
	now := time.Now().UnixMilli()
	a.mu.Lock()
	for _, w := range m.Work {
		a.held[key(w.Ref)] = w.Ref
		a.done = append(a.done, &wire.AttemptResult{Ref: w.Ref, Outcome: wire.Outcome_SUCCEEDED, StartedMs: now, EndedMs: now})
	}
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// key is unique among the live attempts of one round's few plans.
func key(r *wire.AttemptRef) uint64 { return r.Plan<<40 | r.Instance }

func (a *simulated) settle(m *wire.Ack) {
	if len(m.Results) == 0 {
		return
	}
	a.mu.Lock()
	for _, ref := range m.Results {
		delete(a.held, key(ref))
	}
	a.mu.Unlock()
	a.tally.acks.Add(1)
	a.tally.add(len(m.Results))
}

// report sends results as they come and renews every three seconds.
func (a *simulated) report(ctx context.Context, stream grpc.BidiStreamingClient[wire.AgentMessage, wire.LeaderMessage]) {
	renew := time.NewTicker(3 * time.Second)
	defer renew.Stop()
	for seq := uint64(1); ; seq++ {
		m := &wire.Report{Seq: seq}
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
			a.mu.Lock()
			m.Results, a.done = a.done, nil
			a.mu.Unlock()
			if len(m.Results) == 0 {
				continue
			}
			a.tally.reports.Add(1)
		case <-renew.C:
			m.Renews = true
			a.mu.Lock()
			for _, ref := range a.held {
				m.Held = append(m.Held, ref)
			}
			a.mu.Unlock()
		}
		if stream.Send(&wire.AgentMessage{Body: &wire.AgentMessage_Report{Report: m}}) != nil {
			return // Recv says why
		}
	}
}
