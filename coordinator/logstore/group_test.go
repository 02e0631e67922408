package logstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"backfleet/pkg/wire"
)

// shipGroup sends the chunks in one message and gives the acks, and the number of
// messages they came in.
func shipGroup(t testing.TB, s wire.Agents_ShipLogsClient, chunks ...*wire.LogChunk) (acks []*wire.LogAck, messages int) {
	t.Helper()
	if err := s.Send(wire.GroupLogs(chunks)); err != nil {
		t.Fatal(err)
	}
	for len(acks) < len(chunks) {
		m, err := s.Recv()
		if err != nil {
			t.Fatal(err)
		}
		acks = append(acks, wire.UngroupAcks(m)...)
		messages++
	}
	if len(acks) > len(chunks) {
		t.Fatalf("%d answers to %d chunks", len(acks), len(chunks))
	}
	return acks, messages
}

func TestAGroupIsAnsweredChunkByChunkInOrder(t *testing.T) {
	all := cluster(t, 3, ReplicatorOptions{})
	s := ship(t, all[0])
	first := Key{Plan: 20}
	acks, _ := shipGroup(t, s, chunkOf(first, []byte("x"), 0, 1))
	if wantAcked(t, acks, 1); !acks[0].Grouping {
		t.Fatal("the coordinator does not say that it takes groups")
	}
	for round := range uint64(3) { // the second and third to peers that take groups
		type want struct {
			offset uint64
			err    string
		}
		var chunks []*wire.LogChunk
		var wants []want
		add := func(c *wire.LogChunk, offset uint64, err string) {
			chunks, wants = append(chunks, c), append(wants, want{offset, err})
		}
		for i := range uint64(20) {
			key, stream := Key{Plan: 21 + round, Instance: i, Fence: 5}, noise(i, 1000)
			add(chunkOf(key, stream, 0, 400), 400, "")
			add(chunkOf(key, stream, 600, 1000), 400, "from 400 on are missing")
			add(&wire.LogChunk{Ref: key.Ref(), Offset: 400, Size: 5, Data: []byte("rubbish")}, 400, "not a sound zstd frame")
			add(chunkOf(key, stream, 300, 600), 600, "")
			add(&wire.LogChunk{}, 0, "name the attempt")
			add(chunkOf(key, stream, 600, 1000), 1000, "")
			add(&wire.LogChunk{Ref: key.Ref(), Offset: 2000, Last: true}, 2000, "ends at byte 2000") // forgotten here after its end, so its own offset
		}
		acks, messages := shipGroup(t, s, chunks...)
		for i, a := range acks {
			w := wants[i]
			if KeyOf(a.Ref) != KeyOf(chunks[i].Ref) || (a.Error == "") != (w.err == "") || !strings.Contains(a.Error, w.err) || a.Offset != w.offset {
				t.Errorf("round %d, ack %d: %v; want offset %d, error %q", round, i, a, w.offset, w.err)
			}
		}
		if messages > len(chunks)/4 {
			t.Errorf("%d answers came in %d messages", len(acks), messages)
		}
		for i := range uint64(20) {
			if n := holders(t, all, Key{Plan: 21 + round, Instance: i, Fence: 5}, noise(i, 1000)); n < 2 {
				t.Errorf("round %d, log %d is on %d coordinators", round, i, n)
			}
		}
	}
}

func TestWhoSendsSinglyIsAnsweredSingly(t *testing.T) {
	all := cluster(t, 3, ReplicatorOptions{})
	s := ship(t, all[0])
	var chunks []*wire.LogChunk
	for i := range uint64(100) {
		chunks = append(chunks, chunkOf(Key{Plan: 30, Instance: i}, noise(i, 100), 0, 100))
	}
	for _, a := range shipAll(t, s, chunks...) {
		if len(a.More) > 0 || a.Error != "" {
			t.Fatalf("answered %v, want one answer a message and no error", a)
		}
	}
}

func TestAGroupWithoutAMajorityIsRefusedWholeAndTakenLater(t *testing.T) {
	all := cluster(t, 3, ReplicatorOptions{})
	s := ship(t, all[0])
	key, stream := Key{Plan: 31}, noise(31, 100_000)
	chunks := chunksOf(key, stream, 10_000)
	wantAcked(t, shipAll(t, s, chunks[0]), 10_000)
	all[1].server.Stop()
	acks, _ := shipGroup(t, s, chunks[1:4]...) // one peer broke, perhaps in the middle
	wantAcked(t, acks, 40_000)
	all[2].server.Stop()
	acks, _ = shipGroup(t, s, chunks[4:]...)
	for _, a := range acks {
		if a.Offset != 40_000 || !strings.Contains(a.Error, "majority") {
			t.Fatalf("without a majority: %v, want an error and offset 40000", a)
		}
	}
	all[2].serve(t)
	eventually(t, "the group is taken", func() bool {
		acks, _ = shipGroup(t, s, chunks[4:]...)
		return acks[len(acks)-1].Error == ""
	})
	wantAcked(t, acks, len(stream))
	if n := holders(t, all[:1], key, stream); n != 1 {
		t.Fatal("the log is not here")
	}
}

func TestAGroupThatCannotBeAnsweredEndsItsStream(t *testing.T) {
	all := cluster(t, 1, ReplicatorOptions{})
	one := func() *wire.LogChunk { return chunkOf(Key{Plan: 32}, noise(32, 100), 0, 100) }
	many := one()
	for range wire.GroupChunks {
		many.More = append(many.More, one())
	}
	nested := one()
	nested.More = []*wire.LogChunk{{Ref: Key{Plan: 32}.Ref(), More: []*wire.LogChunk{one()}}}
	for why, m := range map[string]*wire.LogChunk{"at most 256": many, "beside the first": nested} {
		s := ship(t, all[0])
		if err := s.Send(m); err != nil {
			t.Fatal(err)
		}
		if a, err := s.Recv(); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("answered %v, %v; want the stream's end: %q", a, err, why)
		}
	}
}

// scripted is a peer whose streams the test reads and answers itself.
type scripted struct {
	wire.PeerClient
	streams chan *scriptedStream
}

type scriptedStream struct {
	grpc.ClientStream
	ctx     context.Context
	sent    chan *wire.LogChunk
	answers chan *wire.LogAck // closed: the stream breaks
}

func (p scripted) AppendLogs(ctx context.Context, _ ...grpc.CallOption) (grpc.BidiStreamingClient[wire.LogChunk, wire.LogAck], error) {
	s := &scriptedStream{ctx: ctx, sent: make(chan *wire.LogChunk, 1000), answers: make(chan *wire.LogAck)}
	p.streams <- s
	return s, nil
}

func (s *scriptedStream) Send(c *wire.LogChunk) error { s.sent <- c; return nil }
func (s *scriptedStream) Recv() (*wire.LogAck, error) {
	select {
	case a, ok := <-s.answers:
		if !ok {
			return nil, io.ErrUnexpectedEOF
		}
		return a, nil
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
}

// scriptedPush is a pusher to a scripted peer, and a maker of entries on which the
// peer's vote alone decides.
func scriptedPush(t *testing.T) (*pusher, scripted, func(n int) []*entry) {
	peer := scripted{streams: make(chan *scriptedStream, 10)}
	p := newPusher(Peer{ID: "b", Client: peer}, 1<<20, time.Minute, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); p.run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	instance := uint64(0)
	return p, peer, func(n int) (group []*entry) {
		for range n {
			instance++
			group = append(group, newEntry(&wire.LogChunk{Ref: Key{Plan: 40, Instance: instance}.Ref(), Size: 10, Data: make([]byte, 1000)}, true))
		}
		return group
	}
}

// wantVotes waits for the decisions, each by one vote.
func wantVotes(t *testing.T, group []*entry, why string) {
	t.Helper()
	for i, e := range group {
		select {
		case <-e.done:
		case <-time.After(30 * time.Second):
			t.Fatalf("entry %d has no vote", i)
		}
		e.mu.Lock()
		if e.yes+e.no != 1 || (e.err == nil) != (why == "") || e.err != nil && !strings.Contains(e.err.Error(), why) {
			t.Errorf("entry %d: %d yes, %d no, %v; want one vote, %q", i, e.yes, e.no, e.err, why)
		}
		e.mu.Unlock()
	}
}

func ack(more ...string) *wire.LogAck {
	a := &wire.LogAck{Error: more[0]}
	for _, e := range more[1:] {
		a.More = append(a.More, &wire.LogAck{Error: e})
	}
	return a
}

func TestAPeerThatTakesNoGroupsGetsNone(t *testing.T) {
	p, peer, entries := scriptedPush(t)
	s := peer.stream(t)
	for range 2 {
		group := entries(5)
		p.offer(group)
		for _, e := range group {
			if c := <-s.sent; c != e.chunk || len(c.More) > 0 {
				t.Fatalf("sent %v, want the chunk alone", c)
			}
			s.answers <- ack("")
		}
		wantVotes(t, group, "")
	}
}

// stream waits for the next one that is opened.
func (p scripted) stream(t *testing.T) *scriptedStream {
	t.Helper()
	select {
	case s := <-p.streams:
		return s
	case <-time.After(30 * time.Second):
		t.Fatal("no stream was opened")
		return nil
	}
}

func TestAGroupAnsweredInPartsAndBrokenInTheMiddle(t *testing.T) {
	p, peer, entries := scriptedPush(t)
	first := entries(1)
	p.offer(first)
	s := peer.stream(t)
	<-s.sent
	hello := ack("")
	hello.Grouping = true
	s.answers <- hello
	wantVotes(t, first, "")

	group := entries(100) // of a thousand bytes: two messages
	p.offer(group)
	bytes := 0
	for got := 0; got < len(group); {
		m := <-s.sent
		if data := len(m.Data) * len(m.More); data > wire.GroupBytes {
			t.Errorf("%d bytes before the last chunk of a message", data)
		}
		for _, c := range append([]*wire.LogChunk{m}, m.More...) {
			if KeyOf(c.Ref) != KeyOf(group[got].chunk.Ref) || len(group[got].chunk.More) > 0 {
				t.Fatalf("chunk %d is of %v, want %v, and nothing beside the one that is shared", got, KeyOf(c.Ref), KeyOf(group[got].chunk.Ref))
			}
			bytes += len(c.Data)
			got++
		}
	}
	if n := len(s.sent); n > 0 || bytes != 100_000 {
		t.Fatalf("%d bytes in these messages, and %d more messages", bytes, n)
	}
	s.answers <- ack("", "no", "")
	wantVotes(t, group[:1], "")
	wantVotes(t, group[1:2], "no")
	wantVotes(t, group[2:3], "")
	select {
	case <-group[3].done:
		t.Fatal("a vote without an answer")
	default:
	}
	late := entries(2) // behind a group that is not answered
	p.offer(late)
	if m := <-s.sent; len(m.More) != 1 {
		t.Fatalf("%d chunks in a message, want both", 1+len(m.More))
	}
	s.answers <- ack(make([]string, 50)...)
	wantVotes(t, group[3:53], "")
	p.mu.Lock()
	if want := 49 * 1000; p.bytes != want || len(p.sent) != 49 {
		t.Errorf("%d bytes of %d chunks are unanswered, want %d", p.bytes, len(p.sent), want)
	}
	p.mu.Unlock()
	close(s.answers)
	wantVotes(t, group[53:], "takes no logs")
	wantVotes(t, late, "takes no logs")

	// The next stream begins singly: it may end at an older coordinator.
	s = peer.stream(t)
	eventually(t, "the peer is up", p.taking)
	group = entries(3)
	p.offer(group)
	for range group {
		if m := <-s.sent; len(m.More) > 0 {
			t.Errorf("a group to a peer that has not said that it takes them: %v", m)
		}
	}
	s.answers <- ack("", "", "", "")
	wantVotes(t, group, "") // one vote each, and the surplus ends the stream
	peer.stream(t)
}

// lateStream is an agent's stream in memory.
type lateStream struct {
	grpc.ServerStream
	ctx     context.Context
	in      chan *wire.LogChunk
	answers chan *wire.LogAck
}

func (s *lateStream) Context() context.Context { return s.ctx }
func (s *lateStream) Recv() (*wire.LogChunk, error) {
	select {
	case c := <-s.in:
		return c, nil
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
}
func (s *lateStream) Send(a *wire.LogAck) error { s.answers <- a; return nil }

// What is decided is answered; it does not wait for the rest of its group.
func TestWhatIsDecidedDoesNotWaitForItsGroup(t *testing.T) {
	r := NewReplicator(openStore(t, t.TempDir(), Options{}), func() ([]Peer, int) { return nil, 1 }, ReplicatorOptions{AckTimeout: time.Minute})
	ctx, cancel := context.WithCancel(t.Context())
	s := &lateStream{ctx: ctx, in: make(chan *wire.LogChunk, 1), answers: make(chan *wire.LogAck, 10)}
	begun := make(chan *entry, 10)
	ended := make(chan error, 1)
	go func() {
		ended <- r.serve(s, r.agents, func(c *wire.LogChunk) *entry {
			e := newEntry(c, true)
			begun <- e
			return e
		}, answerPeer)
	}()
	var chunks []*wire.LogChunk
	for i := range 6 {
		chunks = append(chunks, &wire.LogChunk{Ref: Key{Plan: 50}.Ref(), Offset: uint64(i), Size: 1})
	}
	s.in <- wire.GroupLogs(chunks)
	var e []*entry
	for range chunks {
		e = append(e, <-begun)
	}
	e[4].vote(nil) // decided, but behind others
	e[1].vote(errors.New("no"))
	e[0].vote(nil)
	want := func(from, to int, refused ...int) {
		t.Helper()
		m := <-s.answers
		acks := wire.UngroupAcks(m)
		if len(acks) != to-from {
			t.Fatalf("%d answers in a message, want %d to %d", len(acks), from, to-1)
		}
		for i, a := range acks {
			at := uint64(from + i)
			if bad := fmt.Sprint(refused) == fmt.Sprint([]int{from + i}); bad != (a.Error != "") || !bad && a.Offset != at+1 {
				t.Errorf("answer %d: %v", at, a)
			}
		}
	}
	want(0, 2, 1)
	e[3].vote(nil)
	e[2].vote(nil)
	want(2, 5)
	e[5].vote(nil)
	want(5, 6)
	cancel()
	if err := <-ended; err == nil {
		t.Error("a cancelled stream ended well")
	}
}
