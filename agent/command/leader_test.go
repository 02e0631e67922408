package command_test

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"backfleet/agent/attempt"
	"backfleet/pkg/wire"
)

// leader is a coordinator as an agent sees it: it welcomes, acknowledges, and
// hands out what a test gives it.
type leader struct {
	wire.UnimplementedAgentsServer
	t       testing.TB
	terms   *wire.Welcome
	hint    string                          // not empty: another one leads
	turn    func(*wire.Report) *wire.Assign // not nil: what it hands out on a report
	decode  *zstd.Decoder
	address string
	server  *grpc.Server

	hellos  chan *wire.Hello
	results chan *wire.AttemptResult

	mu      sync.Mutex
	stream  grpc.BidiStreamingServer[wire.AgentMessage, wire.LeaderMessage]
	logs    map[attempt.Key]string
	ended   map[attempt.Key]bool
	renewed int
}

// lead starts a coordinator. Terms nil are a long lease.
func lead(t testing.TB, terms *wire.Welcome, hint string) *leader {
	t.Helper()
	if terms == nil {
		terms = &wire.Welcome{LeaseMs: 15_000, RenewMs: 3000, MarginMs: 3000}
	}
	decode, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &leader{t: t, terms: terms, hint: hint, decode: decode, address: listener.Addr().String(), server: grpc.NewServer(),
		hellos: make(chan *wire.Hello, 100), results: make(chan *wire.AttemptResult, 1000),
		logs: map[attempt.Key]string{}, ended: map[attempt.Key]bool{}}
	wire.RegisterAgentsServer(l.server, l)
	go l.server.Serve(listener)
	t.Cleanup(func() { l.server.Stop(); decode.Close() })
	return l
}

func (l *leader) Session(stream grpc.BidiStreamingServer[wire.AgentMessage, wire.LeaderMessage]) error {
	l.mu.Lock()
	hint := l.hint
	l.mu.Unlock()
	if hint != "" {
		refusal, err := status.New(codes.FailedPrecondition, "not the leader").WithDetails(&wire.NotLeader{LeaderRpcAddress: hint})
		if err != nil {
			return err
		}
		return refusal.Err()
	}
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		l.mu.Lock()
		if h := m.GetHello(); h != nil {
			err = stream.Send(&wire.LeaderMessage{Body: &wire.LeaderMessage_Welcome{Welcome: l.terms}})
			l.stream = stream
			l.hellos <- h
		} else {
			r := m.GetReport()
			if r.Renews {
				l.renewed++
			}
			answer := &wire.Ack{Seq: r.Seq}
			for _, result := range r.Results {
				answer.Results = append(answer.Results, result.Ref)
				l.results <- result
			}
			err = stream.Send(&wire.LeaderMessage{Body: &wire.LeaderMessage_Ack{Ack: answer}})
			if l.turn != nil && err == nil {
				if a := l.turn(r); len(a.Work) > 0 {
					err = stream.Send(&wire.LeaderMessage{Body: &wire.LeaderMessage_Assign{Assign: a}})
				}
			}
		}
		l.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

func (l *leader) ShipLogs(stream grpc.BidiStreamingServer[wire.LogChunk, wire.LogAck]) error {
	for {
		m, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		l.mu.Lock()
		k := attempt.KeyOf(m.Ref)
		var data []byte
		if m.Size > 0 {
			if data, err = l.decode.DecodeAll(m.Data, nil); err != nil {
				l.t.Errorf("log of %s: %v", k, err)
			}
		}
		if have := len(l.logs[k]); int(m.Offset) <= have && int(m.Offset)+len(data) > have {
			l.logs[k] += string(data[have-int(m.Offset):])
		}
		l.ended[k] = l.ended[k] || m.Last
		answer := &wire.LogAck{Ref: m.Ref, Offset: uint64(len(l.logs[k]))}
		l.mu.Unlock()
		if err := stream.Send(answer); err != nil {
			return err
		}
	}
}

func (l *leader) hello() *wire.Hello {
	l.t.Helper()
	select {
	case h := <-l.hellos:
		return h
	case <-time.After(soon):
		l.t.Fatalf("no agent said hello within %s", soon)
		return nil
	}
}

func (l *leader) result() *wire.AttemptResult {
	l.t.Helper()
	select {
	case r := <-l.results:
		return r
	case <-time.After(soon):
		l.t.Fatalf("no result within %s", soon)
		return nil
	}
}

// log waits until a log satisfies a test.
func (l *leader) log(k attempt.Key, what string, ok func(log string, ended bool) bool) string {
	l.t.Helper()
	var log string
	eventually(l.t, fmt.Sprintf("%s in the log of %s", what, k), func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		log = l.logs[k]
		return ok(log, l.ended[k])
	})
	return log
}

// assign hands out instances of one node.
func (l *leader) assign(node *wire.Node, values []*wire.Assignment, keys ...attempt.Key) {
	l.t.Helper()
	node.Type = cmp.Or(node.Type, "shell")
	a := &wire.Assign{Definitions: []*wire.Definition{{Id: 1, Node: node, ResourceGroup: "default"}}}
	for _, k := range keys {
		a.Work = append(a.Work, &wire.Work{Ref: k.Ref(), Definition: 1, DataTimestamp: 17733, ScheduledDate: 17734, ScheduledClock: 3600, Values: values})
	}
	l.send(a)
}

func (l *leader) send(a *wire.Assign) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.stream.Send(&wire.LeaderMessage{Body: &wire.LeaderMessage_Assign{Assign: a}}); err != nil {
		l.t.Fatal(err)
	}
}
