package raftnode

import (
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
}

// Folder is a coordinator's data folder, claimed by this process: nobody else
// can open it until Close. Other stores of the coordinator keep their own
// subfolders in it; raftnode's are "wal" and "snapshots".
type Folder struct {
	Dir string

	lock *os.File
	id   identity
	once sync.Once
}

// Claim opens dir for the coordinator with this id, creating it when absent.
// A folder that holds something else, belongs to another coordinator, is in
// use or was written by a newer version is refused (fault.Conflict; a broken
// identity is fault.Corrupt), and nothing in it is changed.
func Claim(dir, id string) (*Folder, error) {
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
		f.id = identity{Magic: identityMagic, Format: identityFormat, Server: id}
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
	return nil
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
	f.id.CleanEnd = last
	return f.save()
}
