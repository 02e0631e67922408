package logstore

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// coordinator is one of a test's cluster: a store and its services behind a
// real gRPC server on loopback.
type coordinator struct {
	id     string
	addr   string
	store  *Store
	rep    *Replicator
	reader *Reader
	server *grpc.Server
	hang   atomic.Pointer[chan struct{}] // while set, AppendLogs takes nothing in
}

type peerAPI struct {
	wire.UnimplementedPeerServer
	c *coordinator
}

func (p peerAPI) AppendLogs(s chunkStream) error {
	if ch := p.c.hang.Load(); ch != nil {
		select {
		case <-*ch:
		case <-s.Context().Done():
			return s.Context().Err()
		}
	}
	return p.c.rep.AppendLogs(s)
}

func (p peerAPI) ReadLog(r *wire.ReadLogRequest, s grpc.ServerStreamingServer[wire.LogChunk]) error {
	return p.c.rep.ReadLog(r, s)
}

type agentAPI struct {
	wire.UnimplementedAgentsServer
	c *coordinator
}

func (a agentAPI) ShipLogs(s chunkStream) error { return a.c.rep.ShipLogs(s) }

// serve listens on the coordinator's address, a new one the first time.
func (c *coordinator) serve(t testing.TB) {
	t.Helper()
	if c.addr == "" {
		c.addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", c.addr)
	if err != nil {
		t.Fatal(err)
	}
	c.addr = l.Addr().String()
	c.server = grpc.NewServer()
	wire.RegisterPeerServer(c.server, peerAPI{c: c})
	wire.RegisterAgentsServer(c.server, agentAPI{c: c})
	go func(s *grpc.Server) { _ = s.Serve(l) }(c.server)
}

func dial(t testing.TB, addr string) *grpc.ClientConn {
	t.Helper()
	params := grpc.ConnectParams{MinConnectTimeout: time.Second}
	params.Backoff.BaseDelay, params.Backoff.MaxDelay, params.Backoff.Multiplier = 20*time.Millisecond, 100*time.Millisecond, 1.5
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithConnectParams(params))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// cluster starts n coordinators, each knowing the others.
func cluster(t testing.TB, n int, o ReplicatorOptions) []*coordinator {
	t.Helper()
	o.AckTimeout = 20 * time.Second // a busy machine is not a lost majority
	all := make([]*coordinator, n)
	for i := range all {
		all[i] = &coordinator{id: string(rune('a' + i)), store: openStore(t, t.TempDir(), Options{})}
		all[i].serve(t)
	}
	for i, c := range all {
		var others []Peer
		for j, o := range all {
			if j != i {
				others = append(others, Peer{ID: o.id, Client: wire.NewPeerClient(dial(t, o.addr))})
			}
		}
		peers := func() ([]Peer, int) { return others, n }
		c.rep = NewReplicator(c.store, peers, o)
		c.reader = NewReader(c.store, peers, nil)
		c.rep.Start()
		t.Cleanup(func() { c.rep.Stop(); c.server.Stop() })
	}
	return all
}

// ship opens an agent's stream to the coordinator.
func ship(t testing.TB, c *coordinator) wire.Agents_ShipLogsClient {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	s, err := wire.NewAgentsClient(dial(t, c.addr)).ShipLogs(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// shipAll sends the chunks and gives the acks.
func shipAll(t testing.TB, s wire.Agents_ShipLogsClient, chunks ...*wire.LogChunk) []*wire.LogAck {
	t.Helper()
	sent := make(chan error, 1)
	go func() {
		for _, c := range chunks {
			if err := s.Send(c); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	var acks []*wire.LogAck
	for range chunks {
		a, err := s.Recv()
		if err != nil {
			t.Fatal(errors.Join(err, <-sent))
		}
		acks = append(acks, a)
	}
	return acks
}

func wantAcked(t testing.TB, acks []*wire.LogAck, end int) {
	t.Helper()
	for _, a := range acks {
		if a.Error != "" {
			t.Fatalf("ack %v, want no error", a)
		}
	}
	if got := acks[len(acks)-1].Offset; int(got) != end {
		t.Fatalf("last ack is to %d, want %d", got, end)
	}
}

// holders counts the stores that hold the stream by themselves.
func holders(t testing.TB, all []*coordinator, key Key, stream []byte) (n int) {
	for _, c := range all {
		if got, ended := readAll(t, c.store.Read, key, 0, 0); ended && bytes.Equal(got, stream) {
			n++
		}
	}
	return n
}

func TestAcknowledgedIsOnAMajorityAndReadableAnywhere(t *testing.T) {
	all := cluster(t, 3, ReplicatorOptions{})
	key, stream := Key{Plan: 1, Fence: 5}, noise(1, 3<<20)
	wantAcked(t, shipAll(t, ship(t, all[0]), chunksOf(key, stream, 64<<10)...), len(stream))
	if n := holders(t, all, key, stream); n < 2 {
		t.Fatalf("%d of 3 hold what was acknowledged", n)
	}
	for _, c := range all {
		if got, ended := readAll(t, c.reader.Read, key, 0, 100_000); !ended || !bytes.Equal(got, stream) {
			t.Fatalf("coordinator %s reads %d bytes, ended %v; want %d", c.id, len(got), ended, len(stream))
		}
	}
}

func TestADeadPeerStopsNothingAndTwoStopAll(t *testing.T) {
	all := cluster(t, 3, ReplicatorOptions{})
	all[2].server.Stop()
	key, stream := Key{Plan: 2}, noise(2, 1<<20)
	chunks := chunksOf(key, stream, 64<<10)
	s := ship(t, all[0])
	wantAcked(t, shipAll(t, s, chunks[:8]...), 512<<10)
	all[1].server.Stop()
	acks := shipAll(t, s, chunks[8:10]...)
	for _, a := range acks {
		if a.Error == "" || a.Offset != 512<<10 || !strings.Contains(a.Error, "majority") {
			t.Fatalf("without a majority: %v, want an error and offset %d", a, 512<<10)
		}
	}
	all[1].serve(t)
	// The agent's part: back off and send again from the offset.
	resend := func() bool { return shipAll(t, s, chunks[8])[0].Error == "" }
	eventually(t, "chunks are taken again", resend)
	wantAcked(t, shipAll(t, s, chunks[9:]...), len(stream))
	if n := holders(t, all[:2], key, stream); n != 2 {
		t.Fatalf("%d of the 2 living hold the log", n)
	}
}

// TestR13_1_WhoIsNotAliveCountsForTheMajority: a coordinator that sees nobody is
// none of three.
func TestR13_1_WhoIsNotAliveCountsForTheMajority(t *testing.T) {
	all := cluster(t, 2, ReplicatorOptions{})
	everybody := all[0].rep.peers
	all[0].rep.Stop()
	var alone atomic.Bool
	alone.Store(true)
	all[0].rep = NewReplicator(all[0].store, func() ([]Peer, int) {
		if alone.Load() {
			return nil, 3
		}
		live, _ := everybody()
		return live, 3
	}, ReplicatorOptions{AckTimeout: 20 * time.Second})
	all[0].rep.Start()
	key, stream := Key{Plan: 4}, noise(4, 64<<10)
	s, chunks := ship(t, all[0]), chunksOf(key, stream, 64<<10)
	if a := shipAll(t, s, chunks[0])[0]; a.Offset != 0 || !strings.Contains(a.Error, "of 3 coordinators") {
		t.Errorf("alone it answers %v", a)
	}
	alone.Store(false)
	wantAcked(t, shipAll(t, s, chunks...), len(stream))
}

// eventually is for real sockets that come back when they do.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(15 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within 15 s: %s", what)
		}
	}
}

func TestAHungPeerDoesNotSlowAcksAndIsGivenUp(t *testing.T) {
	all := cluster(t, 3, ReplicatorOptions{PeerStall: 2 * time.Second, InFlight: 1 << 20})
	gate := make(chan struct{})
	all[2].hang.Store(&gate)
	key, stream := Key{Plan: 3}, noise(3, 8<<20)
	chunks := chunksOf(key, stream, 64<<10)
	s := ship(t, all[0])
	wantAcked(t, shipAll(t, s, chunks[:100]...), 100*64<<10) // far more than the queue to the hung one
	if data, _ := readAll(t, all[2].store.Read, key, 0, 0); len(data) != 0 {
		t.Fatalf("the hung one has %d bytes", len(data))
	}
	hung := all[0].rep.pushers["c"].pusher
	eventually(t, "the hung stream is given up and its queue freed", func() bool {
		hung.mu.Lock()
		defer hung.mu.Unlock()
		return hung.bytes == 0 // it answers nothing, so by giving up alone; it may be open anew already
	})
	all[2].hang.Store(nil)
	close(gate)
	news, cancel := all[2].store.Subscribe(key)
	defer cancel()
	i := 100
	eventually(t, "it gets copies again", func() bool {
		wantAcked(t, shipAll(t, s, chunks[i]), (i+1)*64<<10)
		i++
		return len(news) > 0
	})
	wantAcked(t, shipAll(t, s, chunks[i:]...), len(stream))
	// It has holes now; a read through it mends them for good.
	if got, ended := readAll(t, all[2].reader.Read, key, 0, 0); !ended || !bytes.Equal(got, stream) {
		t.Fatalf("read through it: %d bytes, ended %v, want %d", len(got), ended, len(stream))
	}
	if n := holders(t, all[2:], key, stream); n != 1 {
		t.Fatal("what was read was not kept")
	}
}

func TestAGapInAStreamIsAnsweredWithTheOffsetWanted(t *testing.T) {
	all := cluster(t, 1, ReplicatorOptions{})
	key, stream := Key{Plan: 4}, noise(4, 1000)
	at := func(from, to int) *wire.LogChunk { return chunkOf(key, stream, from, to) }
	acks := shipAll(t, ship(t, all[0]), at(100, 200), at(300, 400), at(150, 200), at(150, 300), at(300, 1000))
	for i, want := range []struct {
		offset uint64
		err    bool
	}{{200, false}, {200, true}, {200, false}, {300, false}, {1000, false}} {
		if a := acks[i]; a.Offset != want.offset || (a.Error != "") != want.err {
			t.Errorf("ack %d: %v, want offset %d, error %v", i, a, want.offset, want.err)
		}
	}
}

func TestOneBadChunkDoesNotEndTheStream(t *testing.T) {
	all := cluster(t, 3, ReplicatorOptions{})
	key, stream := Key{Plan: 5}, noise(5, 1000)
	bad := &wire.LogChunk{Ref: Key{Plan: 6}.Ref(), Size: 5, Data: []byte("rubbish")}
	acks := shipAll(t, ship(t, all[0]), bad, &wire.LogChunk{}, chunkOf(key, stream, 0, 1000))
	if !strings.Contains(acks[0].Error, "not a sound zstd frame") || !strings.Contains(acks[1].Error, "name the attempt") {
		t.Errorf("bad chunks are answered %v", acks[:2])
	}
	wantAcked(t, acks[2:], 1000)
}

func TestManyAgentsShareSyncs(t *testing.T) {
	all := cluster(t, 3, ReplicatorOptions{})
	var agents sync.WaitGroup
	for i := range uint64(8) {
		s := ship(t, all[i%3])
		agents.Go(func() {
			stream := noise(i, 200<<10)
			key := Key{Plan: 7, Instance: i}
			acks := shipAll(t, s, chunksOf(key, stream, 8<<10)...)
			if last := acks[len(acks)-1]; last.Error != "" || last.Offset != 200<<10 {
				t.Errorf("agent %d: %v", i, last)
			}
			if n := holders(t, all, key, stream); n < 2 {
				t.Errorf("agent %d: its log is on %d", i, n)
			}
		})
	}
	agents.Wait()
}

// muted is a peer whose streams take everything and answer nothing.
type muted struct{ wire.PeerClient }

func (muted) AppendLogs(ctx context.Context, _ ...grpc.CallOption) (grpc.BidiStreamingClient[wire.LogChunk, wire.LogAck], error) {
	return &mutedStream{ctx: ctx}, nil
}

type mutedStream struct {
	grpc.ClientStream
	ctx context.Context
}

func (s *mutedStream) Send(*wire.LogChunk) error { return nil }
func (s *mutedStream) Recv() (*wire.LogAck, error) {
	<-s.ctx.Done()
	return nil, s.ctx.Err()
}

// flood is an agent that sends without heed of acks.
type flood struct {
	grpc.ServerStream
	ctx   context.Context
	chunk []byte
	left  int
	check func()
}

func (f *flood) Context() context.Context { return f.ctx }
func (f *flood) Recv() (*wire.LogChunk, error) {
	if f.left == 0 {
		<-f.ctx.Done()
		return nil, f.ctx.Err()
	}
	f.left--
	f.check()
	return &wire.LogChunk{Ref: Key{Plan: 8, Instance: uint64(f.left)}.Ref(), Size: 64 << 10, Data: f.chunk}, nil
}
func (f *flood) Send(a *wire.LogAck) error {
	if a.Error == "" {
		return errors.New("acknowledged without a majority")
	}
	if a.Ref.Instance == 0 {
		return errDone
	}
	return nil
}

var errDone = errors.New("all were answered")

func TestMemoryIsBoundedWhilePeersAreMute(t *testing.T) {
	const limit = 1 << 20
	s := openStore(t, t.TempDir(), Options{})
	r := NewReplicator(s, func() ([]Peer, int) {
		return []Peer{{"b", muted{}}, {"c", muted{}}}, 3
	}, ReplicatorOptions{InFlight: limit, AckTimeout: time.Millisecond, PeerStall: time.Minute})
	r.Start()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f := &flood{ctx: ctx, chunk: encoder.EncodeAll(noise(8, 64<<10), nil), left: 300}
	f.check = func() {
		r.commit.mu.Lock()
		if r.commit.bytes > limit {
			t.Errorf("%d bytes wait to be written, the bound is %d", r.commit.bytes, limit)
		}
		r.commit.mu.Unlock()
		r.mu.Lock()
		defer r.mu.Unlock()
		for id, p := range r.pushers {
			p.mu.Lock()
			if p.bytes > limit {
				t.Errorf("%d bytes wait for peer %s, the bound is %d", p.bytes, id, limit)
			}
			p.mu.Unlock()
		}
	}
	if err := r.ShipLogs(f); !errors.Is(err, errDone) {
		t.Fatal(err)
	}
	r.Stop()
	r.Stop()
	if err := r.ShipLogs(&flood{ctx: ctx}); err == nil || !strings.Contains(err.Error(), "shutting down") {
		t.Fatalf("after Stop: %v", err)
	}
}

func TestFollowStreamsAsItGrows(t *testing.T) {
	all := cluster(t, 3, ReplicatorOptions{})
	key, stream := Key{Plan: 10}, noise(10, 1<<20)
	chunks := chunksOf(key, stream, 64<<10)
	var group sync.WaitGroup
	heard := make(chan string, 3*len(chunks)+10)
	for _, c := range all {
		group.Go(func() {
			var got []byte
			err := c.reader.Follow(t.Context(), key, 100, func(_ uint64, b []byte) error {
				got = append(got, b...)
				heard <- c.id
				return nil
			})
			if err != nil || !bytes.Equal(got, stream[100:]) {
				t.Errorf("follower at %s: %d bytes, %v; want %d", c.id, len(got), err, len(stream)-100)
			}
		})
	}
	// The first half by one coordinator, the rest by another, each heard by all
	// while the log is not over.
	wantAcked(t, shipAll(t, ship(t, all[0]), chunks[:8]...), 512<<10)
	for seen := map[string]bool{}; len(seen) < 3; seen[<-heard] = true {
	}
	wantAcked(t, shipAll(t, ship(t, all[1]), chunks[8:]...), len(stream))
	group.Wait()
}

// A coordinator that gets no copies follows by asking.
func TestFollowWithoutCopies(t *testing.T) {
	all := cluster(t, 3, ReplicatorOptions{})
	gate := make(chan struct{})
	all[2].hang.Store(&gate)
	defer close(gate)
	key, stream := Key{Plan: 11}, noise(11, 3<<20)
	chunks := chunksOf(key, stream, 256<<10)
	s := ship(t, all[0])
	wantAcked(t, shipAll(t, s, chunks[:2]...), 512<<10)
	var got []byte
	err := all[2].reader.Follow(t.Context(), key, 0, func(_ uint64, b []byte) error {
		if got = append(got, b...); len(got) == 512<<10 {
			wantAcked(t, shipAll(t, s, chunks[2:]...), len(stream))
		}
		return nil
	})
	if err != nil || !bytes.Equal(got, stream) {
		t.Fatalf("%d bytes, %v; want %d", len(got), err, len(stream))
	}
}

func TestFollowEndsWithItsCaller(t *testing.T) {
	all := cluster(t, 1, ReplicatorOptions{})
	key := Key{Plan: 12}
	mustAppend(t, all[0].store, chunkOf(key, noise(12, 100), 0, 50))
	ctx, cancel := context.WithCancel(t.Context())
	if err := all[0].reader.Follow(ctx, key, 0, func(uint64, []byte) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled: %v", err)
	}
	if err := all[0].reader.Follow(t.Context(), key, 0, func(uint64, []byte) error { return errDone }); !errors.Is(err, errDone) {
		t.Fatalf("the caller's own error: %v", err)
	}
	if len(all[0].store.watch.of) != 0 {
		t.Fatal("a subscription was left")
	}
}

func TestReadSaysWhenTooFewAnswer(t *testing.T) {
	all := cluster(t, 3, ReplicatorOptions{})
	key := Key{Plan: 13}
	all[1].server.Stop()
	if _, _, ended, err := all[0].reader.Read(t.Context(), key, 0, 0); err != nil || ended {
		t.Fatalf("two of three know nothing: ended %v, %v; want an empty answer", ended, err)
	}
	all[2].server.Stop()
	if _, _, _, err := all[0].reader.Read(t.Context(), key, 0, 0); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "1 of 3") {
		t.Fatalf("alone: %v, want unavailable", err)
	}
}

// A coordinator that was away at the end of a log has a copy that stops
// somewhere, in the middle of a line too, and does not know that it does.
func TestACopyThatStopsEarlyIsReadToItsTrueEnd(t *testing.T) {
	all := cluster(t, 3, ReplicatorOptions{})
	key, stream := Key{Plan: 14, Fence: 2}, bytes.Repeat([]byte("2026-11-22T03:14:15Z stdout F a line\n"), 5000)
	chunks := chunksOf(key, stream, 50_000) // they end in the middle of a line
	stale := all[0]
	mustAppend(t, stale.store, chunks[0])
	for _, c := range all[1:] {
		mustAppend(t, c.store, chunks...)
	}
	if size, ended, err := stale.reader.Size(t.Context(), key, false); size != 50_000 || ended || err != nil {
		t.Fatalf("what is here: %d bytes, ended %v, %v", size, ended, err)
	}
	if size, ended, err := stale.reader.Size(t.Context(), key, true); int(size) != len(stream) || !ended || err != nil {
		t.Fatalf("what there is: %d bytes, ended %v, %v; want %d", size, ended, err, len(stream))
	}
	from := uint64(50_000 - 10)
	got, next, ended, err := stale.reader.Read(t.Context(), key, from, 1000)
	if err != nil || ended || next != from+1000 || !bytes.Equal(got, stream[from:next]) {
		t.Fatalf("from before where the copy stops: %d bytes, next %d, ended %v, %v; want 1000", len(got), next, ended, err)
	}
	if got, ended := readAll(t, stale.reader.Read, key, 0, 0); !ended || !bytes.Equal(got, stream) {
		t.Fatalf("read whole: %d bytes, ended %v; want %d", len(got), ended, len(stream))
	}
}

// With nobody to ask, the whole lines of such a copy can be read, but the rest
// is not given for the end of the log.
func TestACopyThatStopsEarlyAloneIsNotTakenForTheLog(t *testing.T) {
	all := cluster(t, 3, ReplicatorOptions{})
	key, log := Key{Plan: 15}, []byte("one line\nand half of another\n")
	stream := log[:20]
	mustAppend(t, all[0].store, chunkOf(key, log, 0, len(stream)))
	for _, c := range all[1:] {
		c.server.Stop()
	}
	if got, _, ended, err := all[0].reader.Read(t.Context(), key, 0, 0); err != nil || ended || !bytes.Equal(got, stream) {
		t.Fatalf("got %q, ended %v, %v", got, ended, err)
	}
	if got, _, _, err := all[0].reader.Read(t.Context(), key, 9, 0); !fault.Is(err, fault.Unavailable) || len(got) > 0 {
		t.Fatalf("from the half line on: %q, %v, want unavailable", got, err)
	}
	if size, ended, err := all[0].reader.Size(t.Context(), key, true); int(size) != len(stream) || ended || err != nil {
		t.Fatalf("%d bytes, ended %v, %v", size, ended, err)
	}
}

// A host that lost its power may have less of a log than it has shipped.
func TestAnEndBeforeWhatIsKeptIsAnsweredWithTheTrueOne(t *testing.T) {
	all := cluster(t, 3, ReplicatorOptions{})
	key, stream := Key{Plan: 4, Fence: 9}, noise(4, 1000)
	end := func(at int) *wire.LogChunk { return &wire.LogChunk{Ref: key.Ref(), Offset: uint64(at), Last: true} }
	part := func(from, to int) *wire.LogChunk {
		c := chunkOf(key, stream, from, to)
		c.Last = false
		return c
	}
	s := ship(t, all[0])
	wantAcked(t, shipAll(t, s, part(0, 600)), 600)
	eventually(t, "all have the beginning", func() bool { size, _, _ := all[2].store.size(key); return size == 600 })
	all[2].server.Stop()
	wantAcked(t, shipAll(t, s, part(600, 1000)), 1000)
	all[2].serve(t)

	again := ship(t, all[1])
	acks := shipAll(t, again, part(500, 600), end(600))
	if a := acks[1]; acks[0].Error != "" || a.Error == "" || a.Offset != 1000 {
		t.Fatalf("the end before what is kept: %v, want an error and where the log ends", acks)
	}
	wantAcked(t, shipAll(t, again, end(1000)), 1000)
	for _, c := range all {
		eventually(t, "each reads the log to its end", func() bool {
			data, ended := readAll(t, c.reader.Read, key, 0, 0)
			return ended && bytes.Equal(data, stream)
		})
	}
	// Nobody is led astray by a chunk that has bytes, or by one that failed.
	lone := Key{Plan: 5, Fence: 9}
	wantAcked(t, shipAll(t, again, &wire.LogChunk{Ref: lone.Ref(), Size: 600, Data: part(0, 600).Data}), 600)
	short := &wire.LogChunk{Ref: lone.Ref(), Size: 100, Data: part(0, 100).Data, Last: true}
	if acks := shipAll(t, ship(t, all[0]), short); acks[0].Error == "" || acks[0].Offset != 0 {
		t.Errorf("an end with bytes before what is kept: %v, want an error and its own offset", acks[0])
	}
}
