package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"backfleet/api/convert"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
)

// stream writes server-sent events. It begins with its first event or sign of
// life, so that what fails at once can still be answered as a problem.
type stream struct {
	c       *gin.Context
	control *http.ResponseController

	mu    sync.Mutex // a heartbeat comes from a goroutine of its own
	begun bool
}

// writeDeadline bounds one event to a client that does not read.
const writeDeadline = 30 * time.Second

// stream runs produce, which sends events until the log or the client ends, and
// shows signs of life meanwhile.
func (s *Server) stream(c *gin.Context, produce func(context.Context, *stream) error) {
	ctx, cancel := s.lasting(c)
	defer cancel()
	out := &stream{c: c, control: http.NewResponseController(c.Writer)}

	var beating sync.WaitGroup
	beating.Go(func() { out.beat(ctx, s.Heartbeat) })
	err := coded(ctx, produce(ctx, out))
	cancel()
	beating.Wait()

	if err == nil || c.Request.Context().Err() != nil {
		return
	}
	if ended := context.Cause(ctx); !errors.Is(ended, context.Canceled) {
		err = ended
	}
	if !out.begun {
		s.fail(c, err)
		return
	}
	s.Logger.Info("a stream ended early", "path", c.Request.URL.Path, "request_id", requestID(c), "error", err)
	_ = out.send("error", "", convert.Problem(err, requestID(c))) // the client may be gone
}

// lasting is the time of an answer that takes as long as it takes: until the client
// goes, the server stops, or who asked for it may no more. Its cause says which.
func (s *Server) lasting(c *gin.Context) (ctx context.Context, cancel func()) {
	ctx, end := context.WithCancelCause(c.Request.Context())
	release := context.AfterFunc(s.streams, func() {
		end(fault.New(fault.Unavailable, "the coordinator is shutting down: go on at another"))
	})
	var guard sync.WaitGroup
	guard.Go(func() { s.guardRights(ctx, c, end) })
	return ctx, func() {
		release()
		end(nil)
		guard.Wait()
	}
}

// beat sends a comment soon, which tells the client that it is heard, and then
// one per interval, by which both ends notice a dead connection.
func (w *stream) beat(ctx context.Context, interval time.Duration) {
	timer := time.NewTimer(min(interval, 250*time.Millisecond))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if w.write(": alive\n\n") != nil {
			return // the producer meets the same error, or the request's end
		}
		timer.Reset(interval)
	}
}

// send writes one event; its data is JSON, which has no newline.
func (w *stream) send(name, id string, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	var b strings.Builder
	if id != "" {
		b.WriteString("id: " + id + "\n")
	}
	b.WriteString("event: " + name + "\ndata: ")
	b.Write(text)
	b.WriteString("\n\n")
	return w.write(b.String())
}

func (w *stream) write(text string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.begun {
		h := w.c.Writer.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Accel-Buffering", "no")
		w.c.Writer.WriteHeader(http.StatusOK)
		w.begun = true
	}
	_ = w.control.SetWriteDeadline(time.Now().Add(writeDeadline)) // a recorder has none
	if _, err := w.c.Writer.WriteString(text); err != nil {
		return err
	}
	w.c.Writer.Flush()
	return nil
}

func (h handlers) StreamEvents(c *gin.Context, p v1.StreamEventsParams) {
	filter := EventFilter{Types: p.Types}
	for _, t := range p.Types {
		if err := word("types", t); err != nil {
			h.fail(c, err)
			return
		}
	}
	if p.Backfill != "" {
		plan, err := convert.ParsePlanID(p.Backfill)
		if err != nil {
			h.fail(c, err)
			return
		}
		filter.Plan = plan
	}
	h.stream(c, func(ctx context.Context, out *stream) error {
		return h.Backend.Events(ctx, filter, p.LastEventID, func(e *v1.Event) error {
			return out.send(string(e.Type), e.ID, e)
		})
	})
}
