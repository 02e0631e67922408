package dispatch

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"backfleet/coordinator/machine"
	"backfleet/coordinator/state"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// alone is the log of a cluster of one: what is proposed is a fact.
type alone struct {
	*machine.Machine
	mu    sync.Mutex
	index uint64
	asked int // whether it leads
}

func (l *alone) Propose(_ context.Context, c *wire.Command) (uint64, *state.Result, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.index++
	c.NowMs, c.Behaviour = time.Now().UnixMilli(), state.First
	data, err := proto.Marshal(c)
	if err != nil {
		return 0, nil, err
	}
	r := l.Apply(l.index, data).(*state.Result)
	return l.index, r, r.Err
}

func (l *alone) Verify(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	return nil
}

// line is an agent's stream as the server sees it.
type line struct {
	grpc.ServerStream
	ctx context.Context
	in  chan *wire.AgentMessage
	out chan *wire.LeaderMessage
	bad error // what it breaks with when there is nothing more to come
}

func (l *line) Context() context.Context { return l.ctx }

func (l *line) Send(m *wire.LeaderMessage) error {
	select {
	case l.out <- m:
		return nil
	case <-l.ctx.Done():
		return l.ctx.Err()
	}
}

func (l *line) Recv() (*wire.AgentMessage, error) {
	select {
	case m, ok := <-l.in:
		if !ok {
			return nil, l.bad
		}
		return m, nil
	case <-l.ctx.Done():
		return nil, l.ctx.Err()
	}
}

// leading is a server that leads until the test ends.
func leading(t *testing.T) (*Server, *alone, context.Context) {
	log := &alone{Machine: machine.New()}
	d := New(Config{Log: log, Facts: log, Leader: func() string { return "" }})
	ctx, cancel := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	ended.Go(func() { d.Lead(ctx) })
	t.Cleanup(func() { cancel(); ended.Wait() })
	synctest.Wait()
	return d, log, ctx
}

// call begins an agent's session; over gives how it ended.
func call(ctx context.Context, d *Server, id string) (l *line, over <-chan error) {
	l = &line{ctx: ctx, in: make(chan *wire.AgentMessage), out: make(chan *wire.LeaderMessage)}
	ended := make(chan error, 1)
	go func() { ended <- d.Session(l) }()
	l.in <- &wire.AgentMessage{Body: &wire.AgentMessage_Hello{Hello: &wire.Hello{Agent: &wire.Agent{
		Id: id, Incarnation: "i", Groups: []*wire.GroupSlots{{Group: "default", Slots: 1}},
	}}}}
	return l, ended
}

// Renewals alone do not wake the loop, and are answered in time all the same, by
// few questions to the majority.
func TestRenewalsAreAnsweredInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, log, ctx := leading(t)
		const agents, renewals = 40, 20
		began := time.Now()
		var all sync.WaitGroup
		for i := range agents {
			all.Go(func() {
				l, _ := call(ctx, d, fmt.Sprint("x", i))
				<-l.out
				<-time.After(time.Duration(i) * 3 * time.Millisecond)
				for seq := uint64(1); seq <= renewals; seq++ {
					sent := time.Now()
					l.in <- &wire.AgentMessage{Body: &wire.AgentMessage_Report{Report: &wire.Report{Seq: seq, Renews: true}}}
					if m := <-l.out; m.GetAck().GetSeq() != seq || time.Since(sent) > verifyEvery {
						t.Errorf("renewal %d of %d is answered by %v after %s", seq, i, m, time.Since(sent))
					}
					<-time.After(time.Duration(7+i) * time.Millisecond)
				}
			})
		}
		all.Wait()
		synctest.Wait()
		log.mu.Lock()
		asked := log.asked
		log.mu.Unlock()
		if most := int(time.Since(began)/verifyEvery) + agents; asked > most || asked == 0 {
			t.Errorf("the majority was asked %d times in %s, expected %d at most", asked, time.Since(began), most)
		}
		contacts, err := d.Contacts(ctx)
		if err != nil || len(contacts) != agents || !contacts["x7"].Connected || contacts["x7"].Heard.Before(began) {
			t.Errorf("contacts: %d, %+v, %v", len(contacts), contacts["x7"], err)
		}
	})
}

// What a stream breaks with is what its sender is told, if anything still reaches
// it.
func TestAStreamEndsWithItsOwnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, log, ctx := leading(t)
		l, over := call(ctx, d, "x")
		<-l.out
		l.bad = status.Error(codes.Unauthenticated, "the token was revoked")
		close(l.in)
		if err := <-over; status.Code(err) != codes.Unauthenticated {
			t.Errorf("it ended with %v", err)
		}
		if a, ok := log.State().Agent("x"); !ok || a.State != wire.Agent_READY {
			t.Errorf("the agent is %v", a)
		}
		synctest.Wait()
		if contacts, err := d.Contacts(ctx); err != nil || contacts["x"].Connected {
			t.Errorf("it still counts as connected: %v %v", contacts, err)
		}
	})
}

func TestWhoDoesNotLeadKnowsNoContacts(t *testing.T) {
	d := New(Config{Leader: func() string { return "" }})
	if _, err := d.Contacts(t.Context()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
}

// TestR13_7_ALeaderWhoseFactsAreReplacedLeadsNoMore by what it knew: it begins
// anew from the facts, and agents say anew what they hold.
func TestR13_7_ALeaderWhoseFactsAreReplacedLeadsNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, log, ctx := leading(t)
		l, over := call(ctx, d, "x")
		<-l.out
		var snapshot bytes.Buffer
		if _, err := log.State().WriteTo(&snapshot); err != nil {
			t.Fatal(err)
		}
		if err := log.Restore(&snapshot); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		select {
		case err := <-over:
			if err == nil {
				t.Error("its stream ended without a reason")
			}
		default:
			t.Error("its stream goes on")
		}
		again, _ := call(ctx, d, "x")
		if m := <-again.out; m.GetWelcome() == nil {
			t.Errorf("who comes back is told %v", m)
		}
	})
}
