package logs

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"backfleet/agent/attempt"
	"backfleet/agent/dial"
	"backfleet/agent/runner"
	"backfleet/agent/spool"
	"backfleet/coordinator/logstore"
	"backfleet/pkg/wire"
)

// coordinator is what one does for logs.
type coordinator struct {
	wire.UnimplementedAgentsServer
	address string
	store   *logstore.Store
	copies  *logstore.Replicator
	reader  *logstore.Reader

	mu     sync.Mutex
	server *grpc.Server // nil: it is not there
}

func (c *coordinator) ShipLogs(s grpc.BidiStreamingServer[wire.LogChunk, wire.LogAck]) error {
	return c.copies.ShipLogs(s)
}

type peer struct {
	wire.UnimplementedPeerServer
	c *coordinator
}

func (p peer) AppendLogs(s grpc.BidiStreamingServer[wire.LogChunk, wire.LogAck]) error {
	return p.c.copies.AppendLogs(s)
}

func (p peer) ReadLog(r *wire.ReadLogRequest, s grpc.ServerStreamingServer[wire.LogChunk]) error {
	return p.c.copies.ReadLog(r, s)
}

// serve makes it there, at its address.
func (c *coordinator) serve(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", c.address)
	if err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.address, c.server = l.Addr().String(), grpc.NewServer()
	wire.RegisterAgentsServer(c.server, c)
	wire.RegisterPeerServer(c.server, peer{c: c})
	go func(s *grpc.Server) { _ = s.Serve(l) }(c.server)
}

// vanish breaks all its streams; nobody reaches it until it serves again.
func (c *coordinator) vanish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.server != nil {
		c.server.Stop()
		c.server = nil
	}
}

// site is three coordinators, and an agent that runs processes and ships what
// they print.
type site struct {
	t            *testing.T
	coordinators []*coordinator
	dir          string
	runner       *runner.Runner

	mu    sync.Mutex
	spool *spool.Spool
	known map[attempt.Key]*wire.KeptAttempt // what the agent has said last
	safe  map[attempt.Key]bool
	news  chan struct{} // receives when a log is safe
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), known: map[attempt.Key]*wire.KeptAttempt{}, safe: map[attempt.Key]bool{}, news: make(chan struct{}, 1)}
	for range 3 {
		store, err := logstore.Open(filepath.Join(t.TempDir(), "logs"), logstore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		c := &coordinator{address: "127.0.0.1:0", store: store}
		c.serve(t)
		s.coordinators = append(s.coordinators, c)
		t.Cleanup(func() { c.vanish(); _ = store.Close() })
	}
	for _, c := range s.coordinators {
		var others []logstore.Peer
		for _, o := range s.coordinators {
			if o != c {
				others = append(others, logstore.Peer{ID: o.address, Client: wire.NewPeerClient(s.dial(o.address))})
			}
		}
		peers := func() ([]logstore.Peer, int) { return others, len(s.coordinators) }
		c.copies = logstore.NewReplicator(c.store, peers, logstore.ReplicatorOptions{})
		c.reader = logstore.NewReader(c.store, peers, nil)
		c.copies.Start()
		t.Cleanup(c.copies.Stop)
	}
	var err error
	if s.runner, err = runner.New(runner.Config{Logger: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.runner.Stop)
	return s
}

func (s *site) dial(address string) *grpc.ClientConn {
	params := grpc.ConnectParams{MinConnectTimeout: time.Second}
	params.Backoff.BaseDelay, params.Backoff.MaxDelay, params.Backoff.Multiplier = 20*time.Millisecond, 200*time.Millisecond, 1.5
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithConnectParams(params))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	return conn
}

// ship runs a session's spool until stop: the next one goes on from its notes.
func (s *site) ship() (stop func()) {
	s.t.Helper()
	var addresses []string
	for _, c := range s.coordinators {
		addresses = append(addresses, c.address)
	}
	next, err := spool.New(spool.Config{
		Coordinators: dial.NewPool(addresses, nil, ""), Folder: filepath.Join(s.dir, "spool"), Safe: s.isSafe, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	s.spool = next
	for key, m := range s.known {
		if !s.safe[key] {
			next.Track(m)
		}
	}
	s.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); next.Run(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	s.t.Cleanup(stop)
	return stop
}

func (s *site) isSafe(key attempt.Key) {
	s.mu.Lock()
	s.safe[key] = true
	s.mu.Unlock()
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// tell is what a keeper says of an attempt.
func (s *site) tell(m *wire.KeptAttempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[attempt.KeyOf(m.Ref)] = m
	if s.spool != nil {
		s.spool.Track(m)
	}
}

// awaitSafe waits until so many logs are safe.
func (s *site) awaitSafe(n int, within time.Duration) {
	s.t.Helper()
	late := time.After(within)
	for {
		s.mu.Lock()
		have := len(s.safe)
		s.mu.Unlock()
		if have >= n {
			return
		}
		select {
		case <-s.news:
		case <-late:
			s.t.Fatalf("%d of %d logs are safe after %s", have, n, within)
		}
	}
}

// running is a process whose log is shipped.
type running struct {
	s       *site
	key     attempt.Key
	base    string
	started chan error
	exited  chan runner.Exit
}

// run starts a process whose log has this number.
func (s *site) run(number int, spec runner.Spec) *running {
	s.t.Helper()
	key := attempt.Key{Plan: 1, Instance: uint64(number), Attempt: 1, Fence: 7}
	p := &running{s: s, key: key, base: filepath.Join(s.dir, "kept", key.Folder()), started: make(chan error, 1), exited: make(chan runner.Exit, 1)}
	spec.Log = p.base
	if err := s.runner.Start(spec, p); err != nil {
		s.t.Fatal(err)
	}
	if err := <-p.started; err != nil {
		s.t.Fatal(err)
	}
	return p
}

func (p *running) Started(_ *runner.Process, err error) { p.started <- err }

func (p *running) Grew(bytes uint64) {
	p.s.tell(&wire.KeptAttempt{Ref: p.key.Ref(), Running: true, LogDirectory: p.base, LogBytes: bytes})
}

func (p *running) Exited(e runner.Exit) {
	p.s.tell(&wire.KeptAttempt{Ref: p.key.Ref(), LogDirectory: p.base, LogBytes: e.LogBytes, Log: e.Log})
	p.exited <- e
}

func (p *running) wait(within time.Duration) runner.Exit {
	p.s.t.Helper()
	select {
	case e := <-p.exited:
		return e
	case <-time.After(within):
		p.s.t.Fatalf("the process had not ended after %s", within)
		return runner.Exit{}
	}
}

// stored reads a log to its end on one coordinator.
type stored struct {
	reader *logstore.Reader
	key    logstore.Key
	offset uint64
	page   []byte
	ended  bool
}

func (r *stored) Read(p []byte) (int, error) {
	for len(r.page) == 0 {
		if r.ended {
			return 0, io.EOF
		}
		data, next, ended, err := r.reader.Read(context.Background(), r.key, r.offset, 0)
		switch {
		case err != nil:
			return 0, err
		case next != r.offset+uint64(len(data)):
			return 0, fmt.Errorf("a gap at byte %d", r.offset)
		case len(data) == 0 && !ended:
			return 0, fmt.Errorf("the log stops at byte %d and has not ended", r.offset)
		}
		r.page, r.offset, r.ended = data, next, ended
	}
	n := copy(p, r.page)
	r.page = r.page[n:]
	return n, nil
}

func read(c *coordinator, key attempt.Key) *stored {
	return &stored{reader: c.reader, key: logstore.Key{Plan: key.Plan, Instance: key.Instance, Attempt: key.Attempt, Fence: key.Fence}}
}
