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
// to another of the same user.
type folders struct {
	dir string

	mu   sync.Mutex
	free map[owner][]*folder
	last int
}

// owner is the user whose folder it is, and the group.
type owner struct{ UID, GID uint32 }

type folder struct {
	path string
	of   owner
	made syscall.Timespec // its ctime, which any change in it or of it moves
	old  bool             // when it was taken, by so much that a change shows for sure
}

// openFolders begins with none: what is there belongs to nobody any more, but
// for the folders in use, of attempts that a keeper handed over.
func openFolders(dir string, inUse map[string]bool) (*folders, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if path := filepath.Join(dir, e.Name()); !inUse[path] {
			_ = os.RemoveAll(path) // what refuses to go is in nobody's way
		}
	}
	return &folders{dir: dir, free: map[owner][]*folder{}}, err
}

// take gives a user an empty folder; nil is the keeper's own.
func (f *folders) take(user *syscall.Credential) (*folder, error) {
	of := owner{uint32(os.Geteuid()), uint32(os.Getegid())}
	if user != nil {
		of = owner{user.Uid, user.Gid}
		f.letThrough()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.free[of]); n > 0 {
		d := f.free[of][n-1]
		f.free[of] = f.free[of][:n-1]
		d.old = d.old || time.Since(time.Unix(d.made.Unix())) > grain
		return d, nil
	}
	for {
		f.last++
		d := &folder{path: filepath.Join(f.dir, strconv.Itoa(f.last)), of: of}
		if err := os.Mkdir(d.path, 0o700); err != nil {
			if os.IsExist(err) {
				continue
			}
			return nil, err
		}
		return d, d.begin(user)
	}
}

// begin hands a new folder to its user and remembers how it is.
func (d *folder) begin(user *syscall.Credential) error {
	if user != nil {
		if err := os.Chown(d.path, int(user.Uid), int(user.Gid)); err != nil {
			return err
		}
	}
	var s syscall.Stat_t
	err := syscall.Lstat(d.path, &s)
	d.made = s.Ctim
	return err
}

// letThrough lets other users pass to their own folders, through that of the
// keeper and the agent's data folder. They can see nothing there: what they
// could name is closed to them.
func (f *folders) letThrough() {
	for dir, n := f.dir, 0; n < 3; dir, n = filepath.Dir(dir), n+1 {
		if info, err := os.Stat(dir); err == nil && info.Mode()&0o011 != 0o011 {
			_ = os.Chmod(dir, info.Mode().Perm()|0o011) // else they are told when they start
		}
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
	f.free[d.of] = append(f.free[d.of], d)
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
