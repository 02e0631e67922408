package raftnode

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"backfleet/pkg/fault"
)

// used makes a data folder with a log of some entries.
func used(t *testing.T) fs.FS {
	t.Helper()
	dir := t.TempDir()
	m := start(t, Config{ID: "c1", DataDir: dir, Listen: "127.0.0.1:0", Bootstrap: true, walSegment: 64 << 10})
	leads(t, m)
	for i := range 5 {
		mustPropose(t, m, fmt.Sprintf("entry %d %s", i, strings.Repeat("x", 200)))
	}
	if err := m.Stop(within(t)); err != nil {
		t.Fatal(err)
	}
	return os.DirFS(dir)
}

func fingerprint(t *testing.T, dir string) string {
	t.Helper()
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		fmt.Fprintf(h, "%s %d\n", path, len(data))
		h.Write(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

func rewrite(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(data), 0o640); err != nil {
		t.Fatal(err)
	}
}

func segment(t *testing.T, dir string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "wal", "*.wal"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no segment: %v", err)
	}
	return found[0]
}

func TestFoldersThatAreRefused(t *testing.T) {
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte { b[at] ^= 0xff; return b }
	}
	original := used(t)
	for name, c := range map[string]struct {
		spoil func(t *testing.T, dir string)
		id    string
		code  fault.Code
		says  string
		same  bool // nothing may change, not even within raft-wal's files
	}{
		"foreign": {func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, identityFile)); err != nil {
				t.Fatal(err)
			}
		}, "c1", fault.Conflict, "not a coordinator's", true},
		"another's": {func(*testing.T, string) {}, "c2", fault.Conflict, `belongs to coordinator "c1"`, true},
		"newer": {func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, identityFile), func(b []byte) []byte {
				return []byte(strings.Replace(string(b), `"format": 1`, `"format": 2`, 1))
			})
		}, "c1", fault.Conflict, "newer version", true},
		"other magic": {func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, identityFile), func(b []byte) []byte {
				return []byte(strings.Replace(string(b), "coordinator data", "agent data", 1))
			})
		}, "c1", fault.Conflict, "agent data", true},
		"broken identity": {func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, identityFile), func(b []byte) []byte { return b[:9] })
		}, "c1", fault.Corrupt, "restore", true},
		"index missing": {func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "wal", "wal-meta.db")); err != nil {
				t.Fatal(err)
			}
		}, "c1", fault.Corrupt, "missing", true},
		"index empty": {func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, "wal", "wal-meta.db"), func([]byte) []byte { return nil })
		}, "c1", fault.Corrupt, "empty", true},
		"index cut": {func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, "wal", "wal-meta.db"), func(b []byte) []byte { return b[:3*4096] })
		}, "c1", fault.Corrupt, "broken", true},
		"index overwritten": {func(t *testing.T, dir string) {
			rewrite(t, filepath.Join(dir, "wal", "wal-meta.db"), func(b []byte) []byte { clear(b); return b })
		}, "c1", fault.Corrupt, "broken", true},
		"log overwritten": {func(t *testing.T, dir string) {
			rewrite(t, segment(t, dir), func(b []byte) []byte { clear(b); return b })
		}, "c1", fault.Corrupt, "broken", false},
		"header flipped": {func(t *testing.T, dir string) { rewrite(t, segment(t, dir), flip(1)) }, "c1", fault.Corrupt, "broken", false},
		"entry flipped": {func(t *testing.T, dir string) {
			rewrite(t, segment(t, dir), func(b []byte) []byte {
				at := strings.Index(string(b), "entry 2 xxx")
				return flip(at + 20)(b)
			})
		}, "c1", fault.Corrupt, "checksum", false},
		"end lost": {func(t *testing.T, dir string) {
			rewrite(t, segment(t, dir), func(b []byte) []byte {
				clear(b[strings.Index(string(b), "entry 3 xxx"):])
				return b
			})
		}, "c1", fault.Corrupt, "last stopped", false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			if err := os.CopyFS(dir, original); err != nil {
				t.Fatal(err)
			}
			c.spoil(t, dir)
			before := fingerprint(t, dir)
			n, err := Open(Config{ID: c.id, DataDir: dir, Listen: "127.0.0.1:0", Bootstrap: true, FSM: &journal{}})
			if err == nil {
				_ = n.Stop(abrupt())
			}
			if !fault.Is(err, c.code) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %v; expected %s with the folder and %q", err, c.code, c.says)
			}
			if c.same && fingerprint(t, dir) != before {
				t.Error("the folder was changed")
			}
		})
	}
}

func TestFolderInUse(t *testing.T) {
	dir := t.TempDir()
	m := start(t, Config{ID: "c1", DataDir: dir, Listen: "127.0.0.1:0", Bootstrap: true})
	leads(t, m)
	if _, err := Open(Config{ID: "c1", DataDir: dir, Listen: "127.0.0.1:0", FSM: &journal{}}); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "another process") {
		t.Fatalf("a folder in use: %v", err)
	}
	mustPropose(t, m, "undisturbed")
}

func TestClaimedFolderOutlivesNode(t *testing.T) {
	folder, err := Claim(t.TempDir(), "c1")
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	for want := range 2 {
		m := start(t, Config{ID: "c1", Folder: folder, Listen: "127.0.0.1:0", Bootstrap: true})
		leads(t, m)
		mustPropose(t, m, "again")
		if got := len(m.state.all()); got != want+1 {
			t.Fatalf("%d lines", got)
		}
		if err := m.Stop(within(t)); err != nil {
			t.Fatal(err)
		}
	}
}
