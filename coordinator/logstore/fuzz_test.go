package logstore

import (
	"bytes"
	"context"
	"io"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"backfleet/pkg/wire"
)

// sender is an agent's stream of logs, from the agent's end. A deaf one takes no answers.
type sender struct {
	grpc.ServerStream
	r    *Replicator
	ctx  context.Context
	hang context.CancelFunc
	deaf bool
	in   chan *wire.LogChunk // closed: the agent has said all
	over chan error
	done bool // it says no more
	said []said

	mu   sync.Mutex
	acks []*wire.LogAck
}

// How long a message waits to be taken in.
const (
	patient = 20 * time.Second
	hasty   = 50 * time.Millisecond
)

// said is a chunk as it was sent, and what is known of it.
type said struct {
	chunk   *wire.LogChunk
	true    bool // its bytes are those that textOf has
	unsound bool // it is never to be acknowledged
}

func (l *sender) Context() context.Context { return l.ctx }

// Recv begins by hurrying the committer: what was received before waits for nothing.
func (l *sender) Recv() (*wire.LogChunk, error) {
	signal(l.r.commit.full)
	select {
	case c, more := <-l.in:
		if !more {
			return nil, io.EOF
		}
		return c, nil
	case <-l.ctx.Done():
		return nil, status.FromContextError(l.ctx.Err()).Err()
	}
}

func (l *sender) Send(a *wire.LogAck) error {
	signal(l.r.commit.full)
	if l.deaf {
		<-l.ctx.Done()
		return status.FromContextError(l.ctx.Err()).Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acks = append(l.acks, wire.UngroupAcks(proto.CloneOf(a))...)
	return nil
}

func (l *sender) answered() []*wire.LogAck {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acks
}

// textOf is the truth about a log. It does not compress.
func textOf(key Key, from uint64, n uint32) []byte {
	b := make([]byte, n)
	for i := range b {
		x := (from + uint64(i) + key.Instance) * 0x9e3779b97f4a7c15
		b[i] = byte((x ^ x>>29) * 0xbf58476d1ce4e5b9 >> 56)
	}
	return b
}

func piece(key Key, from uint64, n uint32, last bool) *wire.LogChunk {
	c := &wire.LogChunk{Ref: key.Ref(), Offset: from, Size: n, Last: last}
	if n > 0 {
		c.Data = encoder.EncodeAll(textOf(key, from, n), nil)
	}
	return c
}

// shipping is a coordinator, an honest agent with a log, and streams of another
// agent that says what a script has it say.
type shipping struct {
	t       *testing.T
	r       *Replicator
	plan    uint64 // whose logs are this run's
	senders []*sender
}

func (f *shipping) connect(deaf bool) *sender {
	ctx, hang := context.WithCancel(f.t.Context())
	l := &sender{r: f.r, ctx: ctx, hang: hang, deaf: deaf, in: make(chan *wire.LogChunk), over: make(chan error, 1)}
	go func() {
		err := f.r.ShipLogs(l)
		hang() // as gRPC does
		l.over <- err
	}()
	return l
}

func (l *sender) finish() {
	if !l.done {
		close(l.in)
	}
	l.done = true
}

// say sends a message, and no more after one that nobody takes in for a while.
func (l *sender) say(message []said, patience time.Duration) {
	if l.done {
		return
	}
	var chunks []*wire.LogChunk
	for _, s := range message {
		chunks = append(chunks, s.chunk)
	}
	c := proto.CloneOf(chunks[0])
	c.More = append(c.More, wire.GroupLogs(append([]*wire.LogChunk{{}}, chunks[1:]...)).More...)
	select {
	case l.in <- c:
		l.said = append(l.said, message...)
	case <-l.ctx.Done():
	case <-time.After(patience):
		l.done = true
	}
}

// tape is what the fuzzer makes up: what to do, byte by byte.
type tape []byte

func (s *tape) byte() byte {
	if len(*s) == 0 {
		return 0
	}
	b := (*s)[0]
	*s = (*s)[1:]
	return b
}

func (s *tape) piece(f *shipping) said {
	sizes := [...]uint32{0, 1, 7, 255, 4096, 65536, MaxChunk, MaxChunk + 1}
	what, where := s.byte(), s.byte()
	key := Key{Plan: f.plan, Instance: uint64(what & 1), Attempt: 1, Fence: 1}
	from, n, last := uint64(where>>3)<<(where&7*2), sizes[what>>1&7], what&16 == 16
	return said{chunk: piece(key, from, n, last), true: true, unsound: n > MaxChunk || n == 0 && !last}
}

// lie makes a chunk up that no reader could use.
func (s *tape) lie(f *shipping) said {
	c := piece(Key{Plan: f.plan, Instance: 7, Attempt: 1, Fence: 1}, uint64(s.byte()), 7, s.byte()&1 == 1)
	switch s.byte() % 8 {
	case 0:
		c.Ref = nil
	case 1:
		c.Cleared = uint64(s.byte()) + 1
	case 2:
		c.Size += 1 + uint32(s.byte())
	case 3:
		c.Data = c.Data[:int(s.byte())%len(c.Data)]
	case 4:
		c.Offset = math.MaxUint64 - uint64(s.byte())
	case 5: // a frame that would fill the memory
		c.Size, c.Data = MaxChunk, encoder.EncodeAll(make([]byte, 2*maxWindow), nil)
	case 6:
		c.Data = make([]byte, maxFrame+1)
	default: // as a newer version might have it
		c.ProtoReflect().SetUnknown(append([]byte{0xfa, 0x07, 0x80, 0x80, 0x40}, make([]byte, 1<<20)...))
	}
	return said{chunk: c, unsound: true}
}

// any makes a chunk of whatever protobuf reads.
func (s *tape) any(f *shipping) said {
	n := min(int(s.byte()), len(*s))
	c := &wire.LogChunk{}
	_ = proto.Unmarshal((*s)[:n], c)
	*s = (*s)[n:]
	for _, c := range append(c.More, c) {
		if c.Ref != nil {
			c.Ref.Plan = math.MaxUint64 // nobody's
		}
	}
	return said{chunk: c}
}

// step has the hostile agent do one thing.
func (f *shipping) step(s *tape) {
	what := s.byte()
	if what%8 == 0 || len(f.senders) == 0 {
		if len(f.senders) < 3 {
			f.senders = append(f.senders, f.connect(what&8 == 8))
		}
		return
	}
	l := f.senders[int(what>>3)%len(f.senders)]
	switch what % 8 {
	case 1:
		if c := s.any(f); len(c.chunk.More) == 0 {
			l.say([]said{c}, hasty)
		} else { // in the order of the answers
			all := []said{{chunk: proto.CloneOf(c.chunk)}}
			all[0].chunk.More = nil
			for _, m := range c.chunk.More {
				all = append(all, said{chunk: m})
			}
			l.say(all, hasty)
		}
	case 2:
		l.say([]said{s.lie(f)}, hasty)
	case 3:
		message := []said{s.piece(f)}
		for range s.byte() {
			message = append(message, s.piece(f))
		}
		l.say(message, hasty)
	case 4:
		if what&8 == 8 {
			l.finish()
		} else {
			l.hang()
		}
	case 5: // a flood
		x := s.piece(f)
		for range s.byte() {
			l.say([]said{x}, hasty)
		}
	default:
		l.say([]said{s.piece(f)}, hasty)
	}
}

// honest ships a log while the others' streams are open, whatever they wait for.
func (f *shipping) honest() {
	key := Key{Plan: f.plan, Instance: 100, Attempt: 1, Fence: 1}
	l := f.connect(false)
	for i := range uint64(4) {
		l.say([]said{{chunk: piece(key, i*1000, 1000, i == 3), true: true}}, patient)
	}
	l.finish()
	select {
	case err := <-l.over:
		if err != nil {
			f.t.Fatalf("the honest agent's stream ended: %v", err)
		}
	case <-time.After(patient):
		f.t.Fatal("the honest agent is not heard")
	}
	acks := l.answered()
	for i, a := range acks {
		if a.Error != "" || a.Offset != uint64(i+1)*1000 {
			f.t.Errorf("the honest agent's chunk %d was answered %v", i, a)
		}
	}
	text, _, ended, err := f.r.store.Read(f.t.Context(), key, 0, 0)
	if len(acks) != 4 || err != nil || !ended || !bytes.Equal(text, textOf(key, 0, 4000)) {
		f.t.Errorf("of the honest agent's 4000 bytes %d were read, ended %v, %v; %d answers", len(text), ended, err, len(acks))
	}
}

// judged says that answers came in order, that what was acknowledged is kept,
// and that nothing else was acknowledged.
func (f *shipping) judged(l *sender) {
	l.hang()
	err := <-l.over
	if c := status.Code(err); c != codes.OK && c != codes.Canceled && c != codes.InvalidArgument {
		f.t.Errorf("the stream ended with %v", err)
	}
	acks := l.answered()
	if len(acks) > len(l.said) || err == nil && len(acks) < len(l.said) {
		f.t.Fatalf("%d answers to %d chunks, %v", len(acks), len(l.said), err)
	}
	type span struct {
		key    Key
		offset uint64
		size   uint32
	}
	read := map[span]bool{} // a flood is of one chunk
	for i, a := range acks {
		c := l.said[i].chunk
		key := KeyOf(c.Ref)
		switch is := (span{key, c.Offset, c.Size}); {
		case KeyOf(a.Ref) != key:
			f.t.Fatalf("answer %d is of %v, the chunk of %v", i, a.Ref, c.Ref)
		case a.Error != "":
		case l.said[i].unsound:
			f.t.Errorf("a chunk was acknowledged that cannot be used: %d bytes at %d of %v", c.Size, c.Offset, key)
		case l.said[i].true && !read[is]:
			read[is] = true
			var text []byte
			for next := c.Offset; uint32(len(text)) < c.Size; {
				part, to, _, err := f.r.store.Read(f.t.Context(), key, next, int(c.Size)-len(text))
				if text = append(text, part...); err != nil || len(part) == 0 {
					f.t.Fatalf("acknowledged were %d bytes at %d of %v, kept are %d: %v", c.Size, c.Offset, key, len(text), err)
				}
				next = to
			}
			if !bytes.Equal(text, textOf(key, c.Offset, c.Size)) {
				f.t.Errorf("%d bytes at %d of %v are kept as others", c.Size, c.Offset, key)
			}
		}
	}
}

// FuzzShipLogs: whatever an agent ships on as many streams as it likes, and
// whether it takes answers or not, another agent's log is kept; what is acknowledged
// can be read and nothing else is acknowledged; all room is given back.
func FuzzShipLogs(f *testing.F) {
	for _, s := range []string{
		"\x00\x06\x06\x00\x06\x06\x08\x06\x16\x10\x0c\x00",
		"\x00\x03\x04\x00\x02\x04\x08\x14\x10\x04\x03\x04\x00\x06\x10\x80\x0c",
		"\x08\x05\x0a\x00\xff", // a flood of large chunks, answers not taken
		"\x00\x02\x00\x00\x00\x02\x01\x01\x01\x05\x02\x05\x00\x02\x09\x02\x05\x00\x03\x04\x0c\x00", // lies
		"\x00\x02\x00\x00\x04\x09\x02\x00\x00\x05\x02\x00\x00\x06\x02\x00\x00\x07",
		"\x00\x01\x0c\x3a\x0a\x0a\x02\x08\x01\x18\x01\x3a\x04\x0a\x02\x08\x01\x06\x02\x00\x04",
	} {
		f.Add([]byte(s))
	}
	store := openStore(f, f.TempDir(), Options{})
	r := NewReplicator(store, func() ([]Peer, int) { return nil, 1 }, ReplicatorOptions{InFlight: 1 << 20})
	r.Start()
	f.Cleanup(r.Stop)
	var plans atomic.Uint64
	f.Fuzz(func(t *testing.T, text []byte) {
		x := &shipping{t: t, r: r, plan: plans.Add(1)}
		for s, steps := tape(text), 0; len(s) > 0 && steps < 64; steps++ {
			x.step(&s)
		}
		x.honest()
		for _, l := range x.senders {
			x.judged(l)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patient)
		defer cancel()
		if err := r.agents.Acquire(ctx, 1<<20); err != nil {
			t.Fatal("not all room was given back")
		}
		r.agents.Release(1 << 20)
	})
}
