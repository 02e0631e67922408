package server

import (
	"context"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	v1 "backfleet/api/v1"
)

const pathSnapshot = "/v1/cluster/snapshot"

// RemoveServer implements ServerInterface.
func (h handlers) RemoveServer(c *gin.Context, id string, p v1.RemoveServerParams) {
	w, err := writeFor(c, p.Why)
	h.remove(c, w, err, id, func(ctx context.Context, w Write, id string) (uint64, error) {
		return h.Backend.RemoveServer(ctx, w, id, p.Force)
	})
}

// SaveSnapshot implements ServerInterface. An error after the first byte cuts the
// connection; the file has then no end, and is refused.
func (h handlers) SaveSnapshot(c *gin.Context, _ v1.SaveSnapshotParams) {
	out := &patientWriter{c: c, control: http.NewResponseController(c.Writer), patience: h.RequestTimeout}
	err := h.Backend.SaveSnapshot(c.Request.Context(), caller(c), out)
	switch {
	case err != nil && out.begun:
		panic(http.ErrAbortHandler)
	case err != nil:
		h.fail(c, err)
	}
}

// patientWriter is an answer that may take long as a whole, but not stand still.
type patientWriter struct {
	c        *gin.Context
	control  *http.ResponseController
	patience time.Duration
	begun    bool
}

// Write implements io.Writer.
func (w *patientWriter) Write(b []byte) (int, error) {
	if !w.begun {
		w.begun = true
		w.c.Header("Content-Type", "application/octet-stream")
		w.c.Header("Content-Disposition", `attachment; filename="backfleet.snapshot"`)
	}
	_ = w.control.SetWriteDeadline(time.Now().Add(w.patience))
	return w.c.Writer.Write(b)
}
