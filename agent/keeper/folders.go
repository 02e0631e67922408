package keeper

import (
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// grain is more than the grain of any file system's clock.
const grain = 100 * time.Millisecond

// folders are the working folders of attempts. To make and remove one costs as
// much as a seventh of an exec, so one that its attempt left as it was is given
// to another.
type folders struct {
	dir string

	mu   sync.Mutex
	free []*folder
	last int
}

type folder struct {
	path string
	made syscall.Timespec // its ctime, which any change in it or of it moves
	old  bool             // when it was taken, by so much that a change shows for sure
}

// openFolders begins with none: what is there belongs to nobody any more.
func openFolders(dir string) (*folders, error) {
	_ = os.RemoveAll(dir) // what refuses to go is in nobody's way
	return &folders{dir: dir}, os.MkdirAll(dir, 0o700)
}

// take gives an empty folder.
func (f *folders) take() (*folder, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.free); n > 0 {
		d := f.free[n-1]
		f.free = f.free[:n-1]
		d.old = d.old || time.Since(time.Unix(d.made.Unix())) > grain
		return d, nil
	}
	for {
		f.last++
		d := &folder{path: filepath.Join(f.dir, strconv.Itoa(f.last))}
		if err := os.Mkdir(d.path, 0o700); err != nil {
			if os.IsExist(err) {
				continue
			}
			return nil, err
		}
		var s syscall.Stat_t
		if err := syscall.Lstat(d.path, &s); err != nil {
			return nil, err
		}
		d.made = s.Ctim
		return d, nil
	}
}

// give takes a folder back. It is removed, if need be beside the caller, unless
// nothing was done to it.
func (f *folders) give(d *folder, reuse bool) {
	if !reuse || !d.untouched() {
		go os.RemoveAll(d.path)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.free = append(f.free, d)
}

// untouched says that nothing was done in or to the folder.
func (d *folder) untouched() bool {
	var s syscall.Stat_t
	if err := syscall.Lstat(d.path, &s); err != nil || s.Ctim != d.made || s.Mode != syscall.S_IFDIR|0o700 {
		return false
	}
	if d.old {
		return true
	}
	open, err := os.Open(d.path)
	if err != nil {
		return false
	}
	defer open.Close()
	_, err = open.Readdirnames(1)
	return err == io.EOF
}
