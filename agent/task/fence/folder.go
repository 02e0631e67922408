package fence

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"backfleet/pkg/fault"
)

// recordSize is that of a fence file, so that a newer record covers an older one
// in a single write.
const recordSize = 128

// ClaimFolder is Claim for a folder, or a file, that is replaced by an atomic
// change of name: claim, rename, release. Between ClaimFolder and release no
// other attempt passes. The fence is kept in .<name>.fence beside it, which must
// stay there.
func ClaimFolder(path string, by By) (release func() error, err error) {
	path = filepath.Clean(path)
	if err := by.check(); err != nil {
		return nil, err
	}
	at := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".fence")
	file, err := lock(at)
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "fence of %s: the file %s", path, at)
	}
	if err := compareAndSet(file, path, by); err != nil {
		_ = file.Close()
		return nil, err
	}
	return sync.OnceValue(file.Close), nil // which gives the lock back
}

// lock opens a file and waits for its lock. Meanwhile the file may have been
// removed, and another come in its place; then that one is locked.
func lock(path string) (*os.File, error) {
	for {
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
		if err != nil {
			return nil, err
		}
		for err = syscall.EINTR; errors.Is(err, syscall.EINTR); {
			err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
		}
		if err != nil {
			_ = file.Close()
			return nil, fmt.Errorf("it cannot be locked: %w", err)
		}
		mine, err := file.Stat()
		if err != nil {
			_ = file.Close()
			return nil, err
		}
		if there, err := os.Stat(path); err == nil && os.SameFile(mine, there) {
			return file, nil
		}
		_ = file.Close()
	}
}

// compareAndSet keeps the larger fence in the file, which is on the disk before
// anything is renamed.
func compareAndSet(file *os.File, path string, by By) error {
	text, err := io.ReadAll(io.NewSectionReader(file, 0, recordSize))
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "fence of %s: the file %s cannot be read", path, file.Name())
	}
	if words := strings.Fields(string(text)); len(words) > 0 {
		last, err := strconv.ParseUint(words[0], 10, 64)
		if err != nil {
			return fault.New(fault.Corrupt, "fence of %s: %s begins with %q: expected a number; see who writes there, and remove the file", path, file.Name(), words[0])
		}
		if last > by.Fence {
			return late(path, "", By{Fence: last, Instance: strings.Join(words[1:], " ")}, by)
		}
	}
	record := fmt.Sprintf("%-*s\n", recordSize-1, fmt.Sprintf("%d %.64s", by.Fence, by.Instance))
	if _, err = file.WriteAt([]byte(record), 0); err == nil {
		err = file.Sync()
	}
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "fence of %s: the file %s cannot be written", path, file.Name())
	}
	return nil
}
