package suite

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"backfleet/pkg/wire"
)

// lean is an agent that costs the machine as little as one can that keeps to
// the protocol: what the coordinators see is what a real one with so many slots
// would say, byte for byte, but every attempt succeeds the moment it is
// granted, and of the messages only what must be answered is read. The real
// agent's core, as the other simulated agents have it, takes as much processor
// time as the coordinators, and would be measured instead of them.
type lean struct {
	id    string
	slots int
	tally *tally

	mu   sync.Mutex
	held map[attemptID][]byte // granted, the result not yet acknowledged: the encoded ref
	done []byte               // results to be reported, encoded as fields of a report
	wake chan struct{}
}

// attemptID is unique among the live attempts of a round.
type attemptID struct{ plan, instance uint64 }

// exchange runs n lean agents against one coordinator until the tally is
// reached, and gives when the first of them was welcomed.
func exchange(ctx context.Context, address string, n, slots int, t *tally) (welcomed time.Time, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var first atomic.Int64
	g, inner := errgroup.WithContext(ctx)
	for i := range n {
		a := &lean{id: "lean" + strconv.Itoa(i+1), slots: slots, tally: t, held: map[attemptID][]byte{}, wake: make(chan struct{}, 1)}
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

// asEncoded lets messages through as the bytes that they are on the wire.
type asEncoded struct{}

// Name implements encoding.Codec: the other end is to take them for what they are.
func (asEncoded) Name() string { return "proto" }

// Marshal implements encoding.Codec.
func (asEncoded) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }

// Unmarshal implements encoding.Codec.
func (asEncoded) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = data
	return nil
}

func (a *lean) run(ctx context.Context, address string, welcomed func()) error {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	both := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	stream, err := conn.NewStream(ctx, both, wire.Agents_Session_FullMethodName, grpc.ForceCodec(asEncoded{}))
	if err != nil {
		return err
	}
	hello, err := proto.Marshal(&wire.AgentMessage{Body: &wire.AgentMessage_Hello{Hello: &wire.Hello{Ahead: true, Weights: true, Agent: &wire.Agent{
		Id: a.id, Incarnation: "1", Host: "simulated", Version: "bench", State: wire.Agent_READY,
		Groups: []*wire.GroupSlots{{Group: "default", Slots: uint32(a.slots)}},
	}}}})
	if err != nil {
		return err
	}
	if err := stream.SendMsg(&hello); err != nil {
		return err
	}
	var sending sync.WaitGroup
	defer sending.Wait()
	defer cancel()
	sending.Go(func() { a.report(ctx, stream) })
	for {
		var m []byte
		if err := stream.RecvMsg(&m); err != nil {
			return err
		}
		if err := a.receive(m, welcomed); err != nil {
			return err
		}
	}
}

// Fields of the protocol, as pkg/wire/agent.proto numbers them.
const (
	leaderWelcome, leaderAssign, leaderAck = 1, 2, 3
	assignWork, workRef, ackResults        = 2, 1, 2
	refPlan, refInstance                   = 1, 2
	agentReport                            = 2
	reportSeq, reportResults, reportHeld   = 1, 2, 3
	reportRenews                           = 4
	resultRef, resultOutcome               = 1, 2
	resultStarted, resultEnded             = 4, 5
)

// receive reads a message of the leader.
func (a *lean) receive(m []byte, welcomed func()) error {
	return fields(m, func(n protowire.Number, body []byte) error {
		switch n {
		case leaderWelcome:
			welcomed()
			return nil
		case leaderAssign:
			return a.take(body)
		case leaderAck:
			return a.settle(body)
		default:
			return nil
		}
	})
}

// take succeeds with everything at once. A stop or a recall comes too late for
// that, so neither is read.
func (a *lean) take(assign []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := uint64(time.Now().UnixMilli())
	before := len(a.done)
	err := fields(assign, func(n protowire.Number, work []byte) error {
		if n != assignWork {
			return nil
		}
		return fields(work, func(n protowire.Number, ref []byte) error {
			if n != workRef {
				return nil
			}
			id, err := identify(ref)
			if err != nil {
				return err
			}
			a.held[id] = ref
			a.done = appendResult(a.done, ref, now)
			return nil
		})
	})
	if len(a.done) > before {
		select {
		case a.wake <- struct{}{}:
		default:
		}
	}
	return err
}

// appendResult adds a success to a report.
func appendResult(b, ref []byte, ms uint64) []byte {
	size := 1 + protowire.SizeBytes(len(ref)) + 1 + protowire.SizeVarint(uint64(wire.Outcome_SUCCEEDED)) + 2*(1+protowire.SizeVarint(ms))
	b = protowire.AppendTag(b, reportResults, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(size))
	b = protowire.AppendTag(b, resultRef, protowire.BytesType)
	b = protowire.AppendBytes(b, ref)
	b = protowire.AppendTag(b, resultOutcome, protowire.VarintType)
	b = protowire.AppendVarint(b, uint64(wire.Outcome_SUCCEEDED))
	b = protowire.AppendTag(b, resultStarted, protowire.VarintType)
	b = protowire.AppendVarint(b, ms)
	b = protowire.AppendTag(b, resultEnded, protowire.VarintType)
	return protowire.AppendVarint(b, ms)
}

func (a *lean) settle(ack []byte) error {
	count := 0
	a.mu.Lock()
	err := fields(ack, func(n protowire.Number, ref []byte) error {
		if n != ackResults {
			return nil
		}
		id, err := identify(ref)
		delete(a.held, id)
		count++
		return err
	})
	a.mu.Unlock()
	if count > 0 {
		a.tally.acks.Add(1)
		a.tally.add(count)
	}
	return err
}

// report sends results as they come and renews every three seconds.
func (a *lean) report(ctx context.Context, stream grpc.ClientStream) {
	renew := time.NewTicker(3 * time.Second)
	defer renew.Stop()
	for seq := uint64(1); ; seq++ {
		body := binary.AppendUvarint([]byte{reportSeq << 3}, seq)
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
			a.mu.Lock()
			results := a.done
			a.done = make([]byte, 0, cap(results))
			a.mu.Unlock()
			if len(results) == 0 {
				continue
			}
			body = append(body, results...)
			a.tally.reports.Add(1)
		case <-renew.C:
			body = append(body, reportRenews<<3, 1)
			a.mu.Lock()
			for _, ref := range a.held {
				body = protowire.AppendTag(body, reportHeld, protowire.BytesType)
				body = protowire.AppendBytes(body, ref)
			}
			a.mu.Unlock()
		}
		m := protowire.AppendTag(make([]byte, 0, len(body)+8), agentReport, protowire.BytesType)
		m = protowire.AppendBytes(m, body)
		if stream.SendMsg(&m) != nil {
			return // Recv says why
		}
	}
}

// fields gives each field of an encoded message that has a length.
func fields(m []byte, yield func(protowire.Number, []byte) error) error {
	for len(m) > 0 {
		number, kind, n := protowire.ConsumeTag(m)
		if n < 0 {
			return protowire.ParseError(n)
		}
		m = m[n:]
		if kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, kind, m); n < 0 {
				return protowire.ParseError(n)
			}
			m = m[n:]
			continue
		}
		body, n := protowire.ConsumeBytes(m)
		if n < 0 {
			return protowire.ParseError(n)
		}
		if err := yield(number, body); err != nil {
			return err
		}
		m = m[n:]
	}
	return nil
}

// identify reads whose attempt a ref names.
func identify(ref []byte) (attemptID, error) {
	var id attemptID
	for len(ref) > 0 {
		number, _, n := protowire.ConsumeTag(ref)
		if n < 0 {
			return id, protowire.ParseError(n)
		}
		v, k := protowire.ConsumeVarint(ref[n:]) // all its fields are
		if k < 0 {
			return id, protowire.ParseError(k)
		}
		switch number {
		case refPlan:
			id.plan = v
		case refInstance:
			id.instance = v
		}
		ref = ref[n+k:]
	}
	return id, nil
}
