package logstore

import (
	"context"
	"io"
	"sync"
	"testing"

	"google.golang.org/grpc"

	"backfleet/pkg/wire"
)

// slow is an agent that sends chunks as fast as they are taken, and takes an answer only when it is owed as many as it
// can be.
type slow struct {
	grpc.ServerStream
	ctx   context.Context
	total int

	mu             sync.Mutex
	more           sync.Cond
	sent, answered int
	most           int // unanswered at once
}

func (s *slow) Context() context.Context { return s.ctx }

func (s *slow) Recv() (*wire.LogChunk, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sent == s.total {
		return nil, io.EOF
	}
	s.sent++
	s.most = max(s.most, s.sent-s.answered)
	s.more.Broadcast()
	return &wire.LogChunk{Ref: Key{Plan: 9, Instance: uint64(s.sent)}.Ref(), Last: true}, nil
}

func (s *slow) Send(a *wire.LogAck) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.sent-s.answered < owedAtMost-1 && s.sent < s.total {
		s.more.Wait()
	}
	s.answered += 1 + len(a.More)
	return nil
}

// owedAtMost is window, the one that is being answered, and the one that is being begun.
const owedAtMost = window + 2

// TestAnswersThatNobodyTakesAreBounded: a ballot outlives its chunk until its answer is taken, so their number is bounded
// by itself, whatever bytes are free. Each is answered in the end.
func TestAnswersThatNobodyTakesAreBounded(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	r := NewReplicator(s, func() ([]Peer, int) { return nil, 1 }, ReplicatorOptions{InFlight: 64 << 20})
	r.Start()
	defer r.Stop()
	agent := &slow{ctx: t.Context(), total: 3 * window}
	agent.more.L = &agent.mu
	if err := r.ShipLogs(agent); err != nil {
		t.Fatal(err)
	}
	if agent.most > owedAtMost || agent.most < window {
		t.Errorf("%d chunks were unanswered at once, expected %d at most, and about as many", agent.most, owedAtMost)
	}
	if agent.answered != agent.total {
		t.Errorf("%d of %d chunks were answered", agent.answered, agent.total)
	}
}
