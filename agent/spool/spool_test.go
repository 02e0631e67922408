package spool

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"backfleet/agent/attempt"
	"backfleet/agent/dial"
	"backfleet/agent/runner"
	"backfleet/pkg/wire"
)

// coordinator keeps logs as a real one does, and breaks at random.
type coordinator struct {
	wire.UnimplementedAgentsServer
	decode *zstd.Decoder

	mu     sync.Mutex
	random *rand.Rand // nil: never breaks
	logs   map[attempt.Key][]byte
	ended  map[attempt.Key]bool
	broken int
	faults []string
	raw    int // bytes received, with repetitions

	single   bool // takes no groups
	messages int
	grouped  int // chunks that came beside another
}

func (c *coordinator) ShipLogs(stream grpc.BidiStreamingServer[wire.LogChunk, wire.LogAck]) error {
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		group := wire.UngroupLogs(m)
		c.count(group)
		var answers []*wire.LogAck // not sent yet
		send := func() error {
			if len(answers) == 0 {
				return nil
			}
			first := answers[0]
			first.More, answers = answers[1:], nil
			return stream.Send(first)
		}
		for _, one := range group {
			answer, fate := c.take(one)
			if fate != 0 {
				answers = append(answers, answer)
			}
			if fate < 2 { // 0: before the answer, 1: after it
				_ = send()
				return status.Error(codes.Unavailable, "the test breaks the stream")
			}
			if fate < 4 { // those of a group may come in parts
				if err := send(); err != nil {
					return err
				}
			}
		}
		if err := send(); err != nil {
			return err
		}
	}
}

// count looks at what came in one message.
func (c *coordinator) count(group []*wire.LogChunk) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.messages++
	c.grouped += len(group) - 1
	if bytes := 0; c.single && len(group) > 1 || len(group) > wire.GroupChunks {
		c.faults = append(c.faults, fmt.Sprintf("%d chunks in a message", len(group)))
	} else {
		for i, m := range group {
			if bytes += len(m.Data); i < len(group)-1 && bytes >= wire.GroupBytes {
				c.faults = append(c.faults, fmt.Sprintf("%d bytes before the last chunk of a message", bytes))
			}
			if len(m.More) > 0 {
				c.faults = append(c.faults, "a group in a group")
			}
		}
	}
}

func (c *coordinator) take(m *wire.LogChunk) (*wire.LogAck, int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fate := 9
	if c.random != nil {
		fate = c.random.IntN(12)
	}
	if fate < 2 {
		c.broken++
	}
	k := attempt.KeyOf(m.Ref)
	have := uint64(len(c.logs[k]))
	answer := &wire.LogAck{Ref: m.Ref, Offset: have, Grouping: !c.single}
	var data []byte
	if m.Size > 0 {
		var err error
		if data, err = c.decode.DecodeAll(m.Data, nil); err != nil || len(data) != int(m.Size) || len(data) > chunkBytes {
			c.faults = append(c.faults, fmt.Sprintf("%s: %d bytes for a size of %d (%v)", k, len(data), m.Size, err))
		}
	}
	c.raw += len(data)
	end := m.Offset + uint64(len(data))
	switch {
	case fate == 2 || m.Offset > have:
		answer.Error = "not kept"
		return answer, fate
	case end > have && !bytes.Equal(c.logs[k][m.Offset:], data[:have-m.Offset]):
		c.faults = append(c.faults, fmt.Sprintf("%s: different bytes between %d and %d", k, m.Offset, have))
	case end > have:
		if c.ended[k] {
			c.faults = append(c.faults, fmt.Sprintf("%s: bytes behind its end", k))
		}
		c.logs[k] = append(c.logs[k], data[have-m.Offset:]...)
	}
	if m.Last {
		if end != uint64(len(c.logs[k])) {
			c.faults = append(c.faults, fmt.Sprintf("%s: ended at %d, has %d", k, end, len(c.logs[k])))
		}
		c.ended[k] = true
	}
	answer.Offset = max(have, end)
	return answer, fate
}

// serve starts a coordinator and gives its address.
func serve(t *testing.T, random *rand.Rand) (*coordinator, string) {
	t.Helper()
	decode, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &coordinator{decode: decode, random: random, logs: map[attempt.Key][]byte{}, ended: map[attempt.Key]bool{}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	wire.RegisterAgentsServer(server, c)
	go server.Serve(listener)
	t.Cleanup(func() { server.Stop(); decode.Close() })
	return c, listener.Addr().String()
}

// begin runs a spool until stop.
func begin(t *testing.T, folder string, addresses ...string) (s *Spool, safe chan attempt.Key, stop func()) {
	t.Helper()
	safe = make(chan attempt.Key, 1000)
	s, err := New(Config{Coordinators: dial.NewPool(addresses, nil, ""), Folder: folder,
		Safe: func(k attempt.Key) { safe <- k }, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return s, safe, stop
}

func awaitSafe(t *testing.T, safe chan attempt.Key) attempt.Key {
	t.Helper()
	select {
	case k := <-safe:
		return k
	case <-time.After(60 * time.Second):
		t.Fatal("no log became safe within 60 s")
		return attempt.Key{}
	}
}

// source is a log that grows in segments as the runner's do.
type source struct {
	key     attempt.Key
	dir     string
	all     []byte
	segment int
	size    int
}

func (s *source) grow(t *testing.T, random *rand.Rand, bytes int) {
	t.Helper()
	for range (bytes + 99) / 100 {
		line := fmt.Appendf(nil, "%0*d\n", 60+random.IntN(80), random.Uint64())
		if s.size+len(line) > 200_000 {
			s.segment, s.size = s.segment+1, 0
		}
		f, err := os.OpenFile(runner.SegmentPath(s.dir, s.segment), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(line); err != nil {
			t.Fatal(err)
		}
		f.Close()
		s.all = append(s.all, line...)
		s.size += len(line)
	}
}

func (s *source) message(running bool) *wire.KeptAttempt {
	return &wire.KeptAttempt{Ref: s.key.Ref(), Running: running, LogDirectory: s.dir, LogBytes: uint64(len(s.all))}
}

func TestShippingSurvivesBrokenStreamsWithoutGapOrDouble(t *testing.T) {
	const seed = 7
	random := rand.New(rand.NewPCG(seed, 1))
	c, address := serve(t, rand.New(rand.NewPCG(seed, 2)))
	s, safe, _ := begin(t, t.TempDir(), address)
	var sources []*source
	for i := range 12 {
		sources = append(sources, &source{key: attempt.Key{Plan: 1, Instance: uint64(i), Attempt: 1, Fence: 5}, dir: filepath.Join(t.TempDir(), "log")})
	}
	for range 6 {
		for _, l := range sources[1:] { // the first stays empty
			l.grow(t, random, random.IntN(120_000))
			s.Track(l.message(true))
		}
	}
	for _, l := range sources {
		s.Track(l.message(false))
	}
	for range sources {
		awaitSafe(t, safe)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.faults {
		t.Error(f)
	}
	for _, l := range sources {
		if !c.ended[l.key] || !bytes.Equal(c.logs[l.key], l.all) {
			t.Errorf("%s: %d bytes arrived (end: %v), want %d", l.key, len(c.logs[l.key]), c.ended[l.key], len(l.all))
		}
	}
	if c.broken == 0 {
		t.Error("no stream was broken: this test has shown nothing")
	}
	if c.grouped == 0 {
		t.Error("no chunks came together: this test has shown less than it should")
	}
	t.Logf("%d streams broken, %d messages, %d chunks beside another", c.broken, c.messages, c.grouped)
}

// An older coordinator knows nothing of groups.
func TestACoordinatorThatTakesNoGroupsGetsNone(t *testing.T) {
	for _, single := range []bool{true, false} {
		c, address := serve(t, nil)
		c.single = single
		s, safe, _ := begin(t, t.TempDir(), address)
		const n = 600
		for i := range n {
			s.Track(&wire.KeptAttempt{Ref: attempt.Key{Plan: 1, Instance: uint64(i), Attempt: 1, Fence: 5}.Ref(), Log: []byte("a line\n"), LogBytes: 7})
			if i == 0 || i == n/2 {
				awaitSafe(t, safe) // the rest when it has said what it takes
			}
		}
		for range n - 2 {
			awaitSafe(t, safe)
		}
		c.mu.Lock()
		for _, f := range c.faults {
			t.Error(f)
		}
		if single != (c.messages == n) || !single && c.messages > n/4 {
			t.Errorf("%d logs came in %d messages; groups are taken: %v", n, c.messages, !single)
		}
		c.mu.Unlock()
	}
}

func TestANewSpoolGoesOnWhereTheOldOneWas(t *testing.T) {
	for name, forget := range map[string]bool{"with its notes": false, "without": true} {
		t.Run(name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(3, 3))
			c, address := serve(t, nil)
			folder := t.TempDir()
			l := &source{key: attempt.Key{Plan: 1, Instance: 1, Attempt: 1, Fence: 5}, dir: filepath.Join(t.TempDir(), "log")}
			l.grow(t, random, 900_000)
			s, _, stop := begin(t, folder, address)
			s.Track(l.message(true))
			half := len(l.all)
			for deadline := time.Now().Add(30 * time.Second); s.notes.offset(l.key) < uint64(half); {
				if time.Now().After(deadline) {
					t.Fatal("the first half did not arrive within 30 s")
				}
				runtime.Gosched()
			}
			stop()
			if forget {
				if err := os.RemoveAll(folder); err != nil {
					t.Fatal(err)
				}
			}
			l.grow(t, random, 100_000)
			next, safe, _ := begin(t, folder, address)
			next.Track(l.message(false))
			awaitSafe(t, safe)
			c.mu.Lock()
			defer c.mu.Unlock()
			if !bytes.Equal(c.logs[l.key], l.all) || len(c.faults) > 0 {
				t.Errorf("%d bytes arrived, want %d; %v", len(c.logs[l.key]), len(l.all), c.faults)
			}
			if !forget && c.raw != len(l.all) {
				t.Errorf("%d bytes were sent for a log of %d", c.raw, len(l.all))
			}
		})
	}
}

func TestASmallLogIsSafeAtOnce(t *testing.T) {
	_, address := serve(t, nil)
	s, safe, _ := begin(t, t.TempDir(), address)
	l := &source{key: attempt.Key{Plan: 1, Instance: 1, Attempt: 1, Fence: 5}, dir: filepath.Join(t.TempDir(), "log")}
	l.grow(t, rand.New(rand.NewPCG(1, 1)), 1000)
	s.Track(l.message(true))
	begin := time.Now()
	s.Track(l.message(false))
	if k := awaitSafe(t, safe); k != l.key {
		t.Errorf("%s is safe, want %s", k, l.key)
	}
	t.Logf("safe after %s", time.Since(begin))
}

// A short log comes with its attempt's end and is in no file.
func TestALogInMemoryIsShippedFromThere(t *testing.T) {
	c, address := serve(t, rand.New(rand.NewPCG(11, 2)))
	folder := t.TempDir()
	s, safe, stop := begin(t, folder, address)
	message := func(i int) (attempt.Key, *wire.KeptAttempt, []byte) {
		k := attempt.Key{Plan: 1, Instance: uint64(i), Attempt: 1, Fence: 5}
		log := bytes.Repeat(fmt.Appendf(nil, "line of %d\n", i), i)
		return k, &wire.KeptAttempt{Ref: k.Ref(), Log: log, LogBytes: uint64(len(log))}, log
	}
	const n = 200
	for i := range n {
		_, m, _ := message(i) // of the first, nothing
		s.Track(m)
		s.Track(m) // as from a keeper whose connection broke
	}
	for range n / 2 {
		awaitSafe(t, safe)
	}
	stop()
	again, safe, _ := begin(t, folder, address) // the next session gets them from its keeper again
	for i := range n {
		_, m, _ := message(i)
		again.Track(m)
	}
	for range n {
		awaitSafe(t, safe)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.faults {
		t.Error(f)
	}
	for i := range n {
		if k, _, log := message(i); !c.ended[k] || !bytes.Equal(c.logs[k], log) {
			t.Errorf("%s: %d bytes arrived (end: %v), want %d", k, len(c.logs[k]), c.ended[k], len(log))
		}
	}
	if c.broken == 0 {
		t.Error("no stream was broken: this test has shown nothing")
	}
}

func TestALogWhoseFilesAreGoneIsClosed(t *testing.T) {
	c, address := serve(t, nil)
	s, safe, _ := begin(t, t.TempDir(), address)
	k := attempt.Key{Plan: 1, Instance: 1, Attempt: 1, Fence: 5}
	s.Track(&wire.KeptAttempt{Ref: k.Ref(), LogDirectory: "/nowhere", LogBytes: 500})
	awaitSafe(t, safe)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended[k] || len(c.logs[k]) != 0 {
		t.Errorf("%d bytes, ended %v; want an empty log with an end", len(c.logs[k]), c.ended[k])
	}
}

// After a power failure the log may be shorter than what was shipped.
func TestAnEndThatIsRefusedForGoodIsGivenUp(t *testing.T) {
	base := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(runner.SegmentPath(base, 0), []byte("a line\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{Folder: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		k := attempt.Key{Plan: 1, Instance: 1, Attempt: 1, Fence: 5}
		s.Track(&wire.KeptAttempt{Ref: k.Ref(), LogDirectory: base, LogBytes: 7})
		begin, kept, ends := time.Now(), uint64(0), 0
		for safe := false; !safe; {
			m, _ := s.next(make([]byte, chunkBytes))
			if m == nil {
				<-s.wake // after its rest
				continue
			}
			answer := &wire.LogAck{Ref: m.Ref, Offset: m.Offset + uint64(m.Size)}
			if m.Last {
				answer.Offset, answer.Error = m.Offset, "bytes up to 1000 are kept"
				ends++
			} else {
				kept = answer.Offset
			}
			_, safe = s.acknowledged(answer)
		}
		if took := time.Since(begin); took < endWithin || took > endWithin+2*pauseMost || kept != 7 || ends > 60 {
			t.Errorf("given up after %s with %d bytes kept and the end offered %d times; want all 7 bytes, and some patience", took, kept, ends)
		}
	})
}

// What was on its way when a stream broke goes again, even if nothing new comes.
func TestABrokenStreamAloneBringsALogBack(t *testing.T) {
	s, err := New(Config{Folder: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s.Track(&wire.KeptAttempt{Ref: attempt.Key{Plan: 1, Instance: 1, Attempt: 1, Fence: 5}.Ref(), Running: false})
	_, address := serve(t, rand.New(breaking{}))
	s.config.Coordinators = dial.NewPool([]string{address}, nil, "")
	if _, err := s.connection(t.Context(), address); err == nil {
		t.Fatal("the stream did not break")
	}
	if !s.idle(t.Context()) || len(s.queue) != 1 {
		t.Errorf("%d logs in line, want the one whose chunk was lost", len(s.queue))
	}
}

// breaking is a chance that always breaks the stream before the answer.
type breaking struct{}

func (breaking) Uint64() uint64 { return 1 << 32 } // 0 is no chance at all

// A coordinator that has more of a log says where it ends.
func TestAnEndIsMovedToWhereTheCoordinatorsHaveIt(t *testing.T) {
	base := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(runner.SegmentPath(base, 0), []byte("a line\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{Folder: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		k := attempt.Key{Plan: 1, Instance: 1, Attempt: 1, Fence: 5}
		s.Track(&wire.KeptAttempt{Ref: k.Ref(), LogDirectory: base, LogBytes: 7})
		var sent []string
		for safe := false; !safe; {
			m, _ := s.next(make([]byte, chunkBytes))
			if m == nil {
				<-s.wake // after its rest
				continue
			}
			sent = append(sent, fmt.Sprintf("%d+%d %v", m.Offset, m.Size, m.Last))
			answer := &wire.LogAck{Ref: m.Ref, Offset: m.Offset + uint64(m.Size)}
			if m.Last && m.Offset < 1000 {
				answer.Offset, answer.Error = m.Offset, "bytes up to 1000 are kept"
				if m.Size == 0 {
					answer.Offset = 1000
				}
			}
			_, safe = s.acknowledged(answer)
		}
		if got, want := fmt.Sprint(sent), "[0+7 true 0+7 false 7+0 true 1000+0 true]"; got != want {
			t.Errorf("sent %s, want %s", got, want)
		}
	})
}
