package wallclock

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestShifted(t *testing.T) {
	now := time.Now()
	for _, by := range []time.Duration{0, time.Hour, -time.Hour, 400 * 24 * time.Hour} {
		got := shifted(now, by)
		if wall := got.Round(0).Sub(now.Round(0)); wall != by {
			t.Errorf("by %s: the wall clock is off by %s", by, wall)
		}
		if difference := got.Sub(now); difference != 0 {
			t.Errorf("by %s: the monotonic reading is off by %s", by, difference)
		}
	}
}

func TestDrilled(t *testing.T) {
	t.Setenv(Variable, "")
	if Drilled() != nil {
		t.Error("a clock that nobody asked for")
	}
	file := filepath.Join(t.TempDir(), "clock")
	t.Setenv(Variable, file)
	off := func() time.Duration { return Drilled()().Round(0).Sub(time.Now().Round(0)).Round(time.Minute) }
	if got := off(); got != 0 {
		t.Errorf("without a file: off by %s", got)
	}
	if err := os.WriteFile(file, []byte("-1h\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := off(); got != -time.Hour {
		t.Errorf("off by %s, want -1h", got)
	}
}
