package raftnode

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"backfleet/pkg/fault"

	"golang.org/x/sys/unix"
)

const (
	identityFile   = "identity.json"
	identityMagic  = "backfleet coordinator data"
	identityFormat = 1
)

// identity is the content of identity.json.
type identity struct {
	Magic  string `json:"magic"`
	Format int    `json:"format"`
	Server string `json:"server"`
	// Log is set once the log's files exist: from then on, missing ones are
	// lost data and not a first start.
	Log bool `json:"log"`
	// CleanEnd is the log's last index at an orderly stop, 0 while running.
	// A log that ends earlier at the next start has lost acknowledged entries.
	CleanEnd uint64 `json:"cleanEnd,omitempty"`
	// Folder names this very folder: a member is its id and its folder.
	Folder string `json:"folder,omitempty"`
	// Admitted is set once the coordinator is a member, and Generation is of the
	// cluster then (wire.Newer).
	Admitted   bool   `json:"admitted,omitempty"`
	Generation uint64 `json:"generation,omitempty"`
	// Retired says why it is a member no more.
	Retired string `json:"retired,omitempty"`
}

// Folder is a coordinator's data folder, claimed by this process: nobody else
// can open it until Close. Other stores of the coordinator keep their own
// subfolders in it; raftnode's are "wal" and "snapshots".
type Folder struct {
	Dir string

	lock *os.File
	once sync.Once
	mu   sync.Mutex
	id   identity // under mu, once it is claimed
}

// Claim opens dir for the coordinator with this id, creating it when absent.
// A folder that holds something else, belongs to another coordinator, is in
// use or was written by a newer version is refused (fault.Conflict; a broken
// identity is fault.Corrupt), and nothing in it is changed.
//
// One whose coordinator is a member no more is refused, too.
func Claim(dir, id string) (*Folder, error) {
	f, err := claim(dir, id)
	if err != nil {
		return nil, err
	}
	if f.id.Retired != "" {
		defer f.Close()
		return nil, fault.New(fault.Conflict, "data folder %s: %s; start on an empty folder with --join to become a member anew", dir, f.id.Retired)
	}
	return f, nil
}

// claim also takes the folder of a former member.
func claim(dir, id string) (*Folder, error) {
	if dir == "" || id == "" {
		return nil, fault.New(fault.Invalid, "a data folder needs a path and the coordinator's id; got %q and %q", dir, id)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "data folder %s: cannot be created; choose another with --data", dir)
	}
	lock, err := os.Open(dir)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "data folder %s: cannot be opened", dir)
	}
	// The lock is on the folder itself, so that taking it changes nothing.
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = lock.Close()
		return nil, fault.Wrap(err, fault.Conflict, "data folder %s: another process is using it; stop that one, or choose another folder with --data", dir)
	}
	f := &Folder{Dir: dir, lock: lock}
	if err := f.identify(id); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (f *Folder) identify(id string) error {
	raw, err := os.ReadFile(filepath.Join(f.Dir, identityFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if stranger, err := f.stranger(); err != nil || stranger != "" {
			return fault.Wrap(err, fault.Conflict, "data folder %s: holds %q and no %s, so it is not a coordinator's; choose an empty folder with --data", f.Dir, stranger, identityFile)
		}
		f.id = identity{Magic: identityMagic, Format: identityFormat, Server: id, Folder: rand.Text()}
		return f.save()
	case err != nil:
		return fault.Wrap(err, fault.Corrupt, "data folder %s: %s cannot be read", f.Dir, identityFile)
	}
	if err := json.Unmarshal(raw, &f.id); err != nil {
		return fault.Wrap(err, fault.Corrupt, "data folder %s: %s is broken; restore the folder from a backup, or join a new coordinator, with an id of its own, on an empty one", f.Dir, identityFile)
	}
	switch {
	case f.id.Magic != identityMagic:
		return fault.New(fault.Conflict, "data folder %s: %s is of %q, not of %q; choose another folder with --data", f.Dir, identityFile, f.id.Magic, identityMagic)
	case f.id.Format > identityFormat:
		return fault.New(fault.Conflict, "data folder %s: written in format %d by a newer version; this one knows up to %d; start the newer version", f.Dir, f.id.Format, identityFormat)
	case f.id.Format < 1 || f.id.Server == "":
		return fault.New(fault.Corrupt, "data folder %s: %s names no format or no coordinator", f.Dir, identityFile)
	case f.id.Server != id:
		return fault.New(fault.Conflict, "data folder %s: belongs to coordinator %q, not %q; start with --id %s, or choose another folder with --data", f.Dir, f.id.Server, id, f.id.Server)
	}
	if f.id.Folder == "" { // of a version that did not name folders
		f.id.Folder = rand.Text()
		return f.save()
	}
	return nil
}

// Name tells this folder from every other, also of the same coordinator.
func (f *Folder) Name() string { return f.id.Folder }

// Generation is that of the cluster that the folder is of; 0: it has none.
func (f *Folder) Generation() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.id.Generation
}

// Found makes the folder that of a new cluster, unless it is a member's already.
func (f *Folder) Found(generation uint64) error {
	if f.id.Admitted || f.id.Log {
		return nil
	}
	return f.change(func(id *identity) { id.Admitted, id.Generation = true, generation })
}

// change alters the identity durably.
func (f *Folder) change(how func(id *identity)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.id
	how(&f.id)
	err := f.save()
	if err != nil {
		f.id = before
	}
	return err
}

// stranger names an entry that has no place in a new folder.
func (f *Folder) stranger() (string, error) {
	entries, err := os.ReadDir(f.Dir)
	i := slices.IndexFunc(entries, func(e fs.DirEntry) bool {
		// What a crash in save leaves, and what mkfs makes.
		return !strings.HasPrefix(e.Name(), identityFile) && e.Name() != "lost+found"
	})
	if err != nil || i < 0 {
		return "", err
	}
	return entries[i].Name(), nil
}

// save replaces the identity durably: written, synced, renamed, folder synced.
func (f *Folder) save() error {
	raw, err := json.MarshalIndent(f.id, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(f.Dir, identityFile)
	if err := writeSynced(path+".new", append(raw, '\n')); err != nil {
		return fault.Wrap(err, fault.Unavailable, "data folder %s: %s cannot be written", f.Dir, identityFile)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fault.Wrap(err, fault.Unavailable, "data folder %s: %s cannot be replaced", f.Dir, identityFile)
	}
	return f.lock.Sync()
}

func writeSynced(path string, data []byte) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Sync(), file.Close())
}

// Close gives the folder up. Twice is fine.
func (f *Folder) Close() {
	f.once.Do(func() { _ = f.lock.Close() })
}

// markEnd records where the log ends at an orderly stop.
func (f *Folder) markEnd(logs interface{ LastIndex() (uint64, error) }) error {
	last, err := logs.LastIndex()
	if err != nil {
		return err
	}
	return f.change(func(id *identity) { id.CleanEnd = last })
}
