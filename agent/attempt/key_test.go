package attempt

import (
	"log/slog"
	"strings"
	"testing"
)

// TestLogsNameAnAttemptAsItsFolder: pkg/obs/DESIGN.md promises this form, and
// coordinators log the same.
func TestLogsNameAnAttemptAsItsFolder(t *testing.T) {
	k := Key{Plan: 16, Instance: 203, Attempt: 1, Fence: 385}
	for want, handler := range map[string]func(*strings.Builder) slog.Handler{
		`attempt=b16.203.1-f385`:     func(b *strings.Builder) slog.Handler { return slog.NewTextHandler(b, nil) },
		`"attempt":"b16.203.1-f385"`: func(b *strings.Builder) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		var out strings.Builder
		slog.New(handler(&out)).Info("text", "attempt", k)
		if !strings.Contains(out.String(), want) {
			t.Errorf("logged is %s, expected %s", out.String(), want)
		}
	}
	if got, ok := ParseFolder(k.LogValue().String()); !ok || got != k {
		t.Errorf("what is logged reads as %v, %v", got, ok)
	}
}
