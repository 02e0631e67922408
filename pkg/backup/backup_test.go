package backup

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"backfleet/pkg/fault"
)

func write(facts string) func(io.Writer) error {
	return func(w io.Writer) error {
		return Write(w, Header{Cluster: "prod", Index: 42, Time: time.Unix(1, 0).UTC(), Counts: Counts{Nodes: 3}}, func(w io.Writer) error {
			_, err := io.WriteString(w, facts)
			return err
		})
	}
}

func TestABackupComesBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b")
	for _, facts := range []string{"", "facts", strings.Repeat("facts\n", 100_000)} {
		h, size, err := Save(path, write(facts))
		if err != nil || h.Index != 42 {
			t.Fatal(h, err)
		}
		f, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(f.Facts())
		if err != nil || string(got) != facts || f.Header != *h || f.Bytes != size {
			t.Errorf("%d bytes of facts came back as %d of %+v: %v", len(facts), len(got), f.Header, err)
		}
		f.Close()
	}
}

// Any byte that is lost, changed or added is noticed.
func TestADamagedBackupIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b")
	if _, _, err := Save(path, write("some facts")); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, data []byte) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if f, err := Open(path); !fault.Is(err, fault.Corrupt) {
			t.Errorf("%s: got %v, %v; expected fault.Corrupt", what, f, err)
		}
	}
	for i := range whole {
		refused("cut off", whole[:i])
		damaged := append([]byte(nil), whole...)
		damaged[i] ^= 1
		refused("changed", damaged)
	}
	refused("added to", append(whole, 0))
}

// What breaks off leaves the backup before it, and no part.
func TestABrokenSaveLeavesWhatWas(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "b")
	if _, _, err := Save(path, write("first")); err != nil {
		t.Fatal(err)
	}
	lost := errors.New("connection lost")
	if _, _, err := Save(path, func(w io.Writer) error { _, _ = w.Write([]byte("half")); return lost }); !errors.Is(err, lost) {
		t.Errorf("got %v", err)
	}
	if _, _, err := Save(path, func(w io.Writer) error { _, err := w.Write([]byte("half")); return err }); !fault.Is(err, fault.Corrupt) {
		t.Errorf("got %v", err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	entries, _ := os.ReadDir(dir)
	if facts, _ := io.ReadAll(f.Facts()); string(facts) != "first" || len(entries) != 1 {
		t.Errorf("left %q and %v", facts, entries)
	}
}
