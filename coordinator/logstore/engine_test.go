package logstore

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// A process that is killed while the engine makes a file leaves one without a
// byte. The next one begins all the same, with all that was kept.
func TestAFileThatWasNotFinishedIsNoReasonToStay(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, Options{})
	key, stream := Key{Plan: 1}, noise(1, 10_000)
	mustAppend(t, s, chunksOf(key, stream, 4096)...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	unfinished := filepath.Join(dir, "00099.mem")
	if err := os.WriteFile(unfinished, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir, Options{})
	if got, _ := readAll(t, s.Read, key, 0, 0); !bytes.Equal(got, stream) {
		t.Errorf("%d bytes are read back, want the %d that were kept", len(got), len(stream))
	}
}
