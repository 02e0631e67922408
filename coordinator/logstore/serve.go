package logstore

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// window is how many chunks of one stream may be unanswered.
const window = 1024

type chunkStream = grpc.BidiStreamingServer[wire.LogChunk, wire.LogAck]

// ShipLogs serves wire.Agents: an ack without an error means that all bytes of
// the log before its offset are on a majority of coordinators. One with an
// error asks the agent to pause and to send again from the offset.
func (r *Replicator) ShipLogs(stream chunkStream) error {
	return r.serve(stream, r.agents, r.replicate, shipped{}.answer)
}

// AppendLogs serves wire.Peer: one ack a chunk, in order; without an error it
// means that this coordinator has synced the chunk, whatever is before it.
func (r *Replicator) AppendLogs(stream chunkStream) error {
	return r.serve(stream, r.others, r.keep, answerPeer)
}

// ReadLog serves wire.Peer: what is kept here of a log from the offset to the
// first gap, as it came. The chunk at which the log ends is marked last.
func (r *Replicator) ReadLog(req *wire.ReadLogRequest, stream grpc.ServerStreamingServer[wire.LogChunk]) error {
	if req.GetRef() == nil {
		return toStatus(fault.Field("ref", "a log is asked for without an attempt; name the attempt"))
	}
	for offset := req.Offset; r.ctx.Err() == nil; {
		page, err := r.store.Chunks(stream.Context(), KeyOf(req.Ref), offset, 0)
		if err != nil {
			return toStatus(err)
		}
		if len(page) == 0 {
			return nil
		}
		for _, c := range page {
			if err := stream.Send(c); err != nil {
				return err
			}
		}
		last := page[len(page)-1]
		if offset = after(last); last.Last {
			return nil
		}
	}
	return toStatus(errStopping())
}

func errStopping() error {
	return fault.New(fault.Unavailable, "this coordinator is shutting down; turn to another one")
}

// serve reads a stream of chunks, begins each, and answers in order: with an
// answer go those that are ready behind it, if the sender puts chunks together
// too. With all streams of its kind it holds the budget's bytes, beside one message of
// each stream that was read ahead. What is decided and written holds none, so whoever
// takes no answers makes nobody else wait, and is owed window answers at most.
func (r *Replicator) serve(stream chunkStream, budget *semaphore.Weighted, begin func(*wire.LogChunk) *entry, answer func(*ballot, error) *wire.LogAck) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	owed := &owed{pending: make(chan *ballot, window)}
	received := make(chan error, 1)
	go func() {
		defer close(owed.pending)
		received <- owed.receive(ctx, stream, budget, begin)
	}()
	// The receiver ends only after this function has, which is what ends the
	// stream; what it began still holds its part of the budget until decided.
	defer func() {
		go func() {
			for e := range owed.pending {
				_ = e.wait(r.ctx, r.opts.AckTimeout)
			}
		}()
	}()
	for {
		e := owed.next(r.ctx)
		if r.ctx.Err() != nil {
			return toStatus(errStopping())
		}
		if e == nil {
			return toStatus(<-received)
		}
		ack := answer(e, e.wait(r.ctx, r.opts.AckTimeout))
		ack.Grouping = true
		for owed.grouped.Load() && len(ack.More)+1 < wire.GroupChunks {
			if e = owed.decided(); e == nil {
				break
			}
			ack.More = append(ack.More, answer(e, e.wait(r.ctx, r.opts.AckTimeout)))
		}
		if err := stream.Send(ack); err != nil {
			return err
		}
	}
}

// owed is what one stream brought and was not answered yet, oldest first.
type owed struct {
	pending chan *ballot
	head    *ballot     // taken from pending, the oldest; used by who answers
	grouped atomic.Bool // a message had more than one chunk: so may answers
}

// next takes the oldest ballot, and waits for it; nil when there will be none any
// more, or when ctx ends.
func (o *owed) next(ctx context.Context) *ballot {
	if e := o.head; e != nil {
		o.head = nil
		return e
	}
	select {
	case e := <-o.pending:
		return e
	case <-ctx.Done():
		return nil
	}
}

// decided takes the oldest ballot if it is decided, without waiting.
func (o *owed) decided() *ballot {
	if o.head == nil {
		select {
		case o.head = <-o.pending:
		default:
		}
	}
	e := o.head
	if e == nil {
		return nil
	}
	select {
	case <-e.done:
		o.head = nil
		return e
	default:
		return nil
	}
}

// receive begins each chunk as soon as the budget has room for it, whatever
// message it came in.
func (o *owed) receive(ctx context.Context, stream chunkStream, budget *semaphore.Weighted, begin func(*wire.LogChunk) *entry) error {
	for {
		c, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := checkGroup(c.More); err != nil {
			return err
		}
		if len(c.More) > 0 {
			o.grouped.Store(true)
		}
		for _, c := range wire.UngroupLogs(c) {
			takes := weight(c)
			if err := budget.Acquire(ctx, takes); err != nil {
				return status.FromContextError(err).Err()
			}
			e := begin(c)
			e.whenFree(func() { budget.Release(takes) })
			o.pending <- e.ballot
		}
	}
}

// checkGroup ends a stream whose answers nobody could tell apart.
func checkGroup(more []*wire.LogChunk) error {
	if len(more) >= wire.GroupChunks {
		return fault.Field("more", "%d chunks in one message; send at most %d", len(more)+1, wire.GroupChunks)
	}
	for _, c := range more {
		if len(c.More) > 0 {
			return fault.Field("more", "log of attempt %v: a chunk beside another has chunks beside itself; put all beside the first", KeyOf(c.GetRef()))
		}
	}
	return nil
}

// weight is what a chunk takes of a budget, never more than the whole of the
// smallest one. Even an empty chunk takes something.
func weight(c *wire.LogChunk) int64 { return int64(min(proto.Size(c)+256, maxFrame)) }

// toStatus keeps the words of an error, and as much of its code as gRPC has.
func toStatus(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	code := codes.Internal
	switch fault.CodeOf(err) {
	case fault.Invalid, fault.TooLarge:
		code = codes.InvalidArgument
	case fault.Unavailable:
		code = codes.Unavailable
	case fault.Overloaded:
		code = codes.ResourceExhausted
	case fault.Timeout:
		code = codes.DeadlineExceeded
	case fault.NotFound:
		code = codes.NotFound
	case fault.Corrupt:
		code = codes.DataLoss
	}
	return status.Error(code, err.Error())
}
