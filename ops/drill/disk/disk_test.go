package disk

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"backfleet/ops/drill/network"
)

func TestMain(m *testing.M) {
	there, status, err := network.Enter()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if there {
		status = m.Run()
	}
	os.Exit(status)
}

func mounted(t *testing.T) (d *Disk, inner, at string) {
	t.Helper()
	dir := t.TempDir()
	inner, at = filepath.Join(dir, "inner"), filepath.Join(dir, "at")
	d, err := Mount(inner, at)
	must(t, err)
	t.Cleanup(func() { must(t, d.Close()) })
	return d, inner, at
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestFullUntilHealed(t *testing.T) {
	d, inner, at := mounted(t)
	path := filepath.Join(at, "log")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	must(t, err)
	defer f.Close()
	write := func() error { _, err := f.WriteString("words\n"); return errors.Join(err, f.Sync()) }
	must(t, write())
	d.Fill()
	if err := write(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a write to a full disk: %v", err)
	}
	if err := os.WriteFile(filepath.Join(at, "new"), nil, 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a new file on a full disk: %v", err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(at, &st); err != nil || st.Bavail != 0 {
		t.Errorf("a full disk has %d blocks free, %v", st.Bavail, err)
	}
	d.Heal()
	must(t, write())
	got, err := os.ReadFile(filepath.Join(inner, "log"))
	if want := "words\nwords\n"; err != nil || string(got) != want {
		t.Errorf("below is %q, %v, want %q", got, err, want)
	}
}

func TestSyncWaitsUntilHealed(t *testing.T) {
	d, _, at := mounted(t)
	f, err := os.Create(filepath.Join(at, "log"))
	must(t, err)
	defer f.Close()
	d.Slow(30 * time.Millisecond)
	began := time.Now()
	must(t, f.Sync())
	if took := time.Since(began); took < 30*time.Millisecond {
		t.Errorf("a slow sync took %s", took)
	}
	d.Slow(time.Hour)
	synced := make(chan error, 1)
	go func() { synced <- f.Sync() }()
	if _, err := f.WriteString("a write is not held up"); err != nil {
		t.Error(err)
	}
	select {
	case err := <-synced:
		t.Errorf("a stuck sync ended: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	d.Heal()
	must(t, <-synced)
}

// TestMemoryMaps: the stores map files and write through the maps.
func TestMemoryMaps(t *testing.T) {
	_, inner, at := mounted(t)
	f, err := os.Create(filepath.Join(at, "map"))
	must(t, err)
	defer f.Close()
	must(t, f.Truncate(8192))
	m, err := unix.Mmap(int(f.Fd()), 0, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	must(t, err)
	copy(m[4000:], "across two pages")
	must(t, unix.Msync(m, unix.MS_SYNC))
	must(t, unix.Munmap(m))
	got, err := os.ReadFile(filepath.Join(inner, "map"))
	if err != nil || !bytes.HasPrefix(got[4000:], []byte("across two pages")) {
		t.Errorf("%v: the map is not below", err)
	}
}
