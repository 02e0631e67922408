package session

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// An agent goes on to a newer generation, also after a restart, and never back.
func TestAnAgentDoesNotGoBackToAnOlderGeneration(t *testing.T) {
	dir := t.TempDir()
	first := wire.FirstGeneration(1)
	second := wire.NextGeneration(first, time.Unix(1000, 0), 2)
	steps := []struct {
		of uint64
		ok bool
	}{{0, true}, {first, true}, {first, true}, {wire.FirstGeneration(9), false}, {0, false}, {second, true}, {first, false}, {second, true}}
	for i, s := range steps {
		g, err := OpenGeneration(dir)
		if err != nil {
			t.Fatal(err)
		}
		before := g.Newest()
		err = g.Serve(s.of)
		if s.ok != (err == nil) || err != nil && (!fault.Is(err, fault.Conflict) || g.Newest() != before) {
			t.Errorf("step %d, generation %x after %x: %v", i, s.of, before, err)
		}
	}
}

func TestABrokenGenerationIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "generation"), []byte("zz\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenGeneration(dir); !fault.Is(err, fault.Corrupt) {
		t.Errorf("got %v", err)
	}
}
