// Package spool ships the logs of attempts to the coordinators while they
// grow: compressed, in order, from where the coordinators say they are, until
// each is there to its end. See DESIGN.md.
package spool

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc"

	"backfleet/agent/attempt"
	"backfleet/agent/dial"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// Config of a Spool. All fields are required.
type Config struct {
	Coordinators *dial.Pool
	// Folder is where the offsets reached are noted.
	Folder string
	// Safe is called, from one goroutine, when a log is kept to its end.
	Safe   func(attempt.Key)
	Logger *slog.Logger
}

const (
	// chunkBytes is the most uncompressed log in one chunk.
	chunkBytes = 256 << 10
	// windowBytes bounds what is on its way and not yet acknowledged, windowLogs
	// the number of logs it may belong to.
	windowBytes = 4 << 20
	windowLogs  = 1024
	// stallAfter is how long acknowledgements may stay away.
	stallAfter = 10 * time.Second
	// shipEvery is the least time between two bursts of chunks: sent together they
	// cost one wake-up of each side, and alone none waits.
	shipEvery = 40 * time.Millisecond
	// noteEvery is how often the offsets are written to disk.
	noteEvery = time.Second
)

// Spool is the state of all logs that are not yet safe.
type Spool struct {
	config Config
	encode *zstd.Encoder
	notes  *notes

	mu       sync.Mutex
	logs     map[attempt.Key]*log
	queue    []*log // with something to send, oldest first
	inFlight int    // uncompressed bytes
	chunks   int    // in flight
	full     bool   // something waited for room in the window
	wake     chan struct{}
}

// log is one attempt's log on its way.
type log struct {
	key    attempt.Key
	dir    string
	data   []byte // the whole of it, when it is in no file
	size   uint64 // of complete lines, by the keeper's word
	ended  bool   // size is final
	acked  uint64 // everything before it is safe
	sent   uint64 // next byte to send
	last   bool   // the end has been sent
	queued bool
	sends  []chunk // in flight, oldest first
	hint   place
	pause  time.Time // nothing is sent before it
	moved  time.Time // when there was last nothing to ship, or some of it was acknowledged
	// refused is when the coordinators first did not take the log's end, and have
	// not since; zero: they did not refuse.
	refused time.Time
}

type chunk struct {
	end  uint64
	size int
	last bool
	void bool // the log was rewound since
}

// New makes a spool. Run does the work.
func New(config Config) (*Spool, error) {
	encode, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithWindowSize(chunkBytes), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "spool: compressor")
	}
	notes, err := openNotes(config.Folder)
	if err != nil {
		return nil, err
	}
	return &Spool{config: config, encode: encode, notes: notes, logs: map[attempt.Key]*log{}, wake: make(chan struct{}, 1)}, nil
}

// Track tells how an attempt's log stands. It never blocks.
func (s *Spool) Track(m *wire.KeptAttempt) {
	key := attempt.KeyOf(m.Ref)
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.logs[key]
	if l == nil {
		l = &log{key: key, acked: s.notes.offset(key)}
		l.sent = l.acked
		s.logs[key] = l
	}
	if l.size <= l.acked {
		l.moved = time.Now()
	}
	l.dir, l.data, l.size, l.ended = m.LogDirectory, m.Log, max(l.size, m.LogBytes), l.ended || !m.Running
	s.enqueue(l)
}

// enqueue puts a log in line if it has something to send. The lock is held.
func (s *Spool) enqueue(l *log) {
	if l.queued || (l.sent >= l.size && (!l.ended || l.last)) {
		return
	}
	l.queued = true
	s.queue = append(s.queue, l)
	s.nudge()
}

func (s *Spool) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run ships until ctx ends. What is not shipped then stays on disk.
func (s *Spool) Run(ctx context.Context) {
	var writing sync.WaitGroup
	writing.Go(func() { s.notes.run(ctx) })
	defer writing.Wait()
	var backoff dial.Backoff
	for ctx.Err() == nil {
		if !s.idle(ctx) {
			return
		}
		address := s.config.Coordinators.Next()
		progress, err := s.connection(ctx, address)
		if ctx.Err() != nil {
			return
		}
		s.config.Logger.Info("logs wait: no coordinator takes them", "address", address, "error", err)
		if progress {
			backoff.Reset()
		}
		if !backoff.Wait(ctx) {
			return
		}
	}
}

// idle waits for the first log to ship: an agent without work holds no stream.
func (s *Spool) idle(ctx context.Context) bool {
	for {
		s.mu.Lock()
		work := len(s.queue) > 0
		s.mu.Unlock()
		if work {
			return true
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return false
		}
	}
}

// connection ships over one stream until it breaks.
func (s *Spool) connection(ctx context.Context, address string) (progress bool, err error) {
	conn, err := s.config.Coordinators.Connect(address)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stream, err := wire.NewAgentsClient(conn).ShipLogs(ctx)
	if err != nil {
		return false, err
	}
	stall := time.AfterFunc(stallAfter, func() {
		s.mu.Lock()
		owed := s.chunks > 0
		s.mu.Unlock()
		if !owed {
			return // the next chunk sets it again
		}
		cancel(fault.New(fault.Timeout, "coordinator %s: no acknowledgement of logs for %s", address, stallAfter))
	})
	defer stall.Stop()
	received := make(chan error, 1)
	var grouping atomic.Bool // the coordinator takes groups
	go func() {
		received <- s.receive(stream, &grouping, func() { progress = true; stall.Reset(stallAfter) })
		cancel(nil)
	}()
	err = s.transmit(ctx, stream, &grouping, stall)
	cancel(nil)
	got := <-received
	s.rewindAll()
	if err == nil || context.Cause(ctx) == context.Canceled {
		err = got
	}
	return progress, err
}

// rewindAll goes back to what is known to be safe: the stream before may have
// lost the rest.
func (s *Spool) rewindAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight, s.chunks = 0, 0
	for _, l := range s.logs {
		l.sends = nil
		l.rewind(l.acked)
		s.enqueue(l)
	}
}

// rewind makes a log go on from an offset, whatever is in flight.
func (l *log) rewind(to uint64) {
	l.acked, l.sent, l.last = to, to, false
	for i := range l.sends {
		l.sends[i].void = true
	}
}

// transmit sends until the stream fails.
func (s *Spool) transmit(ctx context.Context, stream grpc.BidiStreamingClient[wire.LogChunk, wire.LogAck], grouping *atomic.Bool, stall *time.Timer) error {
	room := make([]byte, chunkBytes)
	pause := time.NewTimer(time.Hour)
	defer pause.Stop()
	for {
		begin := time.Now()
		for {
			group := s.group(room, grouping.Load(), stall)
			if len(group) == 0 {
				break
			}
			if err := stream.Send(wire.GroupLogs(group)); err != nil {
				return err
			}
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if wait := shipEvery - time.Since(begin); wait > 0 {
			pause.Reset(wait)
			select {
			case <-pause.C:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
}

// group makes the next chunk, or as many as there are to send now and fit into
// one message.
func (s *Spool) group(room []byte, grouping bool, stall *time.Timer) (group []*wire.LogChunk) {
	for bytes := 0; wire.RoomForLog(len(group), bytes) && (grouping || len(group) == 0); {
		m, first := s.next(room)
		if m == nil {
			break
		}
		if first {
			stall.Reset(stallAfter)
		}
		group = append(group, m)
		bytes += len(m.Data)
	}
	return group
}

// next makes the next chunk; nil when there is none to send now. first says
// that nothing else is in flight.
func (s *Spool) next(room []byte) (m *wire.LogChunk, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := s.pick(); l != nil; l = s.pick() {
		if m, first := s.chunk(l, room); m != nil {
			return m, first
		}
	}
	return nil, false
}

// chunk makes the next chunk of a log; nil when it has none after all. The lock
// is held, but not while the log is read and compressed.
func (s *Spool) chunk(l *log, room []byte) (m *wire.LogChunk, first bool) {
	want := min(uint64(len(room)), l.size-min(l.sent, l.size))
	from, final, dir, hint, text := l.sent, l.ended, l.dir, l.hint, l.data
	s.mu.Unlock()
	var err error
	switch {
	case want == 0:
		text = nil
	case uint64(len(text)) > from:
		text = text[from:min(from+want, uint64(len(text)))]
	default:
		var n int
		n, err = readAt(dir, from, room[:want], &hint)
		text = room[:n]
	}
	data := []byte(nil)
	if len(text) > 0 {
		data = s.encode.EncodeAll(text, nil)
	}
	s.mu.Lock()
	if err != nil || (want > 0 && len(text) == 0) {
		// The file is gone or cannot be read: what is there is all there is.
		s.config.Logger.Error("a log cannot be read and is closed where it is", "attempt", l.key, "offset", from, "error", err)
		l.size = from
	}
	l.queued = false
	if s.logs[l.key] != l || l.sent != from { // an acknowledgement moved it meanwhile
		s.enqueue(l)
		return nil, false
	}
	n := len(text)
	l.hint = hint
	l.sent = from + uint64(n)
	l.last = final && l.sent >= l.size && (n == 0 || l.refused.IsZero())
	if n == 0 && !l.last {
		return nil, false
	}
	first = s.chunks == 0
	l.sends = append(l.sends, chunk{end: l.sent, size: n, last: l.last})
	s.inFlight += n
	s.chunks++
	s.enqueue(l)
	return &wire.LogChunk{Ref: l.key.Ref(), Offset: from, Size: uint32(n), Data: data, Last: l.last}, first
}

// pick takes the next log in line, if the window has room and it is not
// pausing. The lock is held.
func (s *Spool) pick() *log {
	if s.inFlight >= windowBytes || s.chunks >= windowLogs {
		s.full = true
		return nil
	}
	for range len(s.queue) {
		l := s.queue[0]
		s.queue = s.queue[1:]
		if wait := time.Until(l.pause); wait > 0 {
			l.queued = false
			time.AfterFunc(wait, func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.enqueue(l)
			})
			continue
		}
		return l
	}
	return nil
}

func (s *Spool) receive(stream grpc.BidiStreamingClient[wire.LogChunk, wire.LogAck], grouping *atomic.Bool, progress func()) error {
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		progress()
		if m.Grouping {
			grouping.Store(true)
		}
		for _, one := range wire.UngroupAcks(m) {
			if key, safe := s.acknowledged(one); safe {
				s.config.Safe(key)
			}
		}
	}
}

const (
	// pauseAfter is the rest given to a log that a coordinator could not keep,
	// pauseMost the longest for one whose end is refused again and again.
	pauseAfter = 500 * time.Millisecond
	pauseMost  = 30 * time.Second
	// endWithin is how long the end of a log is offered when all bytes before it
	// are taken. After a power failure the log here may be shorter than what was
	// shipped; then its end is refused for good. A lack of a majority passes.
	endWithin = 10 * time.Minute
)

// drop is the end of a log. The lock is held.
func (s *Spool) drop(l *log) {
	delete(s.logs, l.key)
	s.notes.drop(l.key)
}

// acknowledged takes in one answer: coordinators give one for each chunk, in
// order. It says whether the log is now safe to its end. The coordinator's
// offset is the truth: behind ours, because it lacks something, or ahead,
// because our notes are old.
func (s *Spool) acknowledged(m *wire.LogAck) (key attempt.Key, safe bool) {
	key = attempt.KeyOf(m.Ref)
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.logs[key]
	if l == nil || len(l.sends) == 0 {
		return key, false
	}
	c := l.sends[0]
	l.sends = l.sends[1:]
	s.inFlight -= c.size
	s.chunks--
	if s.full {
		s.full = false
		s.nudge()
	}
	switch {
	case c.void: // sent before the last rewind; the chunks after it tell how things stand
	case m.Error != "":
		s.config.Logger.Warn("a coordinator could not keep a log; the agent sends it again", "attempt", key, "offset", m.Offset, "error", m.Error)
		rest := pauseAfter
		if c.last {
			if l.refused.IsZero() {
				l.refused = time.Now()
			}
			since := time.Since(l.refused)
			if rest = min(max(rest, since/4), pauseMost); c.size == 0 && since > endWithin {
				s.config.Logger.Error("the coordinators do not take a log's end, as when they have more of it than is left here; their copy stands", "attempt", key, "offset", c.end)
				s.drop(l)
				return key, true
			}
		}
		l.pause = time.Now().Add(rest)
		l.rewind(m.Offset)
	case c.last && m.Offset >= c.end:
		s.drop(l)
		return key, true
	case m.Offset < c.end || m.Offset > l.sent:
		l.rewind(m.Offset)
	default:
		l.acked, l.moved = m.Offset, time.Now()
	}
	s.notes.set(key, l.acked)
	s.enqueue(l)
	return key, false
}
