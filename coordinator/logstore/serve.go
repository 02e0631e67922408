package logstore

import (
	"context"
	"errors"
	"io"

	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// window is how many chunks of one stream may be unanswered.
const window = 256

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
		if offset = last.Offset + uint64(last.Size); last.Last {
			return nil
		}
	}
	return toStatus(errStopping())
}

func errStopping() error {
	return fault.New(fault.Unavailable, "this coordinator is shutting down; turn to another one")
}

// serve reads a stream of chunks, begins each, and answers in order. It holds
// at most window chunks, and with all streams of its kind the budget's bytes.
func (r *Replicator) serve(stream chunkStream, budget *semaphore.Weighted, begin func(*wire.LogChunk) *entry, answer func(*entry, error) *wire.LogAck) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	pending := make(chan *entry, window)
	received, answered := make(chan error, 1), make(chan error, 1)
	// Both end by themselves after this function has returned and so ended
	// the stream; what they hold of the budget is given back only when decided.
	ok := r.spawn(func() {
		defer close(pending)
		received <- receive(ctx, stream, budget, begin, pending)
	}) && r.spawn(func() {
		answered <- r.answerAll(stream, budget, answer, pending)
	})
	if !ok {
		return toStatus(errStopping())
	}
	select {
	case err := <-answered:
		if err == nil {
			err = <-received
		}
		return toStatus(err)
	case <-r.ctx.Done():
		return toStatus(errStopping())
	case <-ctx.Done():
		return ctx.Err()
	}
}

func receive(ctx context.Context, stream chunkStream, budget *semaphore.Weighted, begin func(*wire.LogChunk) *entry, pending chan<- *entry) error {
	for {
		c, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(c.Data) > maxFrame { // refused without being kept, or counted
			c.Data = c.Data[:maxFrame+1]
		}
		if err := budget.Acquire(ctx, weight(c)); err != nil {
			return err
		}
		pending <- begin(c)
	}
}

// weight is what a chunk takes of a budget. Even an empty one takes something.
func weight(c *wire.LogChunk) int64 { return int64(min(len(c.Data)+256, maxFrame)) }

// answerAll waits for each entry in turn and gives its budget back. After a
// failed send it goes on without sending.
func (r *Replicator) answerAll(stream chunkStream, budget *semaphore.Weighted, answer func(*entry, error) *wire.LogAck, pending <-chan *entry) error {
	var failed error
	for e := range pending {
		ack := answer(e, e.wait(r.ctx, r.opts.AckTimeout))
		budget.Release(weight(e.chunk))
		if failed == nil {
			failed = stream.Send(ack)
		}
	}
	return failed
}

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
	case fault.Corrupt:
		code = codes.DataLoss
	}
	return status.Error(code, err.Error())
}
