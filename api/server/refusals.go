package server

import (
	"context"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/time/rate"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

const (
	// refusalsEach is how many refusals a second the audit has of one coordinator;
	// the rest are counted (RULES R15.4).
	refusalsEach = 10
	// tellAfter gathers refusals, so that they cost one entry of the log.
	tellAfter = time.Second
)

// recorder has the audit know what people were not let do.
type recorder struct {
	record  func(context.Context, []*wire.Refusal, uint64) error
	failed  func(error)
	limiter *rate.Limiter

	mu       sync.Mutex
	waiting  []*wire.Refusal
	omitted  uint64
	timer    *time.Timer // set while something waits
	stopped  bool
	inFlight sync.WaitGroup
}

func newRecorder(record func(context.Context, []*wire.Refusal, uint64) error, failed func(error)) *recorder {
	return &recorder{record: record, failed: failed, limiter: rate.NewLimiter(refusalsEach, refusalsEach)}
}

// add takes a refusal, or counts it where there are too many. It does not wait.
func (r *recorder) add(one *wire.Refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return
	}
	if r.limiter.Allow() {
		r.waiting = append(r.waiting, one)
	} else {
		r.omitted++
	}
	if r.timer == nil {
		r.timer = time.AfterFunc(tellAfter, r.tell)
	}
}

// tell records what waits. What cannot be recorded now is counted as omitted and
// told with the next.
func (r *recorder) tell() {
	r.mu.Lock()
	waiting, omitted := r.waiting, r.omitted
	r.waiting, r.omitted, r.timer = nil, 0, nil
	r.inFlight.Add(1)
	r.mu.Unlock()
	defer r.inFlight.Done()
	if len(waiting) == 0 && omitted == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := r.record(ctx, waiting, omitted); err != nil {
		r.mu.Lock()
		r.omitted += omitted + uint64(len(waiting))
		r.mu.Unlock()
		r.failed(err)
	}
}

// stop records what waits, and takes no more.
func (r *recorder) stop() {
	r.mu.Lock()
	r.stopped = true
	if r.timer != nil {
		r.timer.Stop()
	}
	r.mu.Unlock()
	r.tell()
	r.inFlight.Wait()
}

// refused has the audit say that somebody known was not let do something. Only the
// leader can: writes are refused there.
func (s *Server) refused(c *gin.Context, err error) {
	found, ok := c.Get(keyIdentity)
	if !ok || !fault.Is(err, fault.Denied) {
		return
	}
	who := found.(identity)
	if who.Actor == "" || !s.Backend.Leader().Self {
		return
	}
	s.recorder.add(&wire.Refusal{
		AtMs: time.Now().UnixMilli(), Actor: who.Actor, Via: who.Via, From: who.From, Operation: who.Operation,
		Target: clipTo(c.Request.URL.Path, 200), Code: string(fault.Denied), Message: clipTo(messageOf(err), 500), RequestId: requestID(c),
	})
}
