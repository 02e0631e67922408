// Package disk has folders whose disk fails when told: it takes no more, or it
// does not finish its syncs. They are FUSE mounts over an ordinary folder, which
// takes root or a user namespace (network.Enter) and /dev/fuse.
package disk

import (
	"context"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"backfleet/pkg/fault"
)

// Disk is a mounted folder. Its methods may be called side by side.
type Disk struct {
	server *fuse.Server

	mu     sync.Mutex
	full   bool
	slow   time.Duration
	healed chan struct{} // closed when what is slow is to go on
}

// Mount shows the folder inner at the folder at; both are made. What was
// written is in inner when the disk is closed.
func Mount(inner, at string) (*Disk, error) {
	for _, dir := range []string{inner, at} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	var st syscall.Stat_t
	if err := syscall.Stat(inner, &st); err != nil {
		return nil, err
	}
	d := &Disk{healed: make(chan struct{})}
	data := &fs.LoopbackRoot{Path: inner, Dev: st.Dev}
	root := &node{LoopbackNode: &fs.LoopbackNode{RootData: data}, d: d}
	data.RootNode = root
	var err error
	d.server, err = fs.Mount(at, root, &fs.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: inner, Name: "drill"}})
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "a disk that can fail cannot be mounted at %s: it takes root or user namespaces, and /dev/fuse", at)
	}
	return d, nil
}

// Close unmounts it; nobody may use it any more.
func (d *Disk) Close() error {
	d.Heal()
	return d.server.Unmount()
}

// Fill lets it take nothing more: writes fail with ENOSPC, no space is free.
func (d *Disk) Fill() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.full = true
}

// Slow lets every sync take so long, or until Heal.
func (d *Disk) Slow(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.slow = by
}

// Heal makes it an ordinary disk again. Syncs that wait go on.
func (d *Disk) Heal() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.full, d.slow = false, 0
	close(d.healed)
	d.healed = make(chan struct{})
}

// space says whether something can be written.
func (d *Disk) space() syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.full {
		return syscall.ENOSPC
	}
	return fs.OK
}

// wait lasts as long as a sync is to.
func (d *Disk) wait(ctx context.Context) syscall.Errno {
	d.mu.Lock()
	slow, healed := d.slow, d.healed
	d.mu.Unlock()
	if slow == 0 {
		return fs.OK
	}
	timer := time.NewTimer(slow)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-healed:
	case <-ctx.Done(): // the process was killed
		return syscall.EINTR
	}
	return fs.OK
}

// node is a file or a folder of it.
type node struct {
	*fs.LoopbackNode
	d *Disk
}

// WrapChild implements fs.NodeWrapChilder: what is below is of this disk, too.
func (n *node) WrapChild(_ context.Context, child fs.InodeEmbedder) fs.InodeEmbedder {
	if plain, ok := child.(*fs.LoopbackNode); ok {
		return &node{LoopbackNode: plain, d: n.d}
	}
	return child
}

// Statfs implements fs.NodeStatfser.
func (n *node) Statfs(ctx context.Context, out *fuse.StatfsOut) syscall.Errno {
	errno := n.LoopbackNode.Statfs(ctx, out)
	if n.d.space() != fs.OK {
		out.Bfree, out.Bavail = 0, 0
	}
	return errno
}

// Create implements fs.NodeCreater.
func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	if errno := n.d.space(); errno != fs.OK {
		return nil, nil, 0, errno
	}
	child, f, fuseFlags, errno := n.LoopbackNode.Create(ctx, name, flags, mode, out)
	return child, n.d.file(f), fuseFlags, errno
}

// Open implements fs.NodeOpener.
func (n *node) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	f, fuseFlags, errno := n.LoopbackNode.Open(ctx, flags)
	return n.d.file(f), fuseFlags, errno
}

// Mkdir implements fs.NodeMkdirer.
func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if errno := n.d.space(); errno != fs.OK {
		return nil, errno
	}
	return n.LoopbackNode.Mkdir(ctx, name, mode, out)
}

func (d *Disk) file(f fs.FileHandle) fs.FileHandle {
	if inner, ok := f.(*fs.LoopbackFile); ok && inner != nil {
		return &file{inner, d}
	}
	return nil
}

// file is an open one.
type file struct {
	*fs.LoopbackFile
	d *Disk
}

// PassthroughFd implements fs.FilePassthroughFder: nothing goes past us.
func (f *file) PassthroughFd() (int, bool) { return 0, false }

// Write implements fs.FileWriter.
func (f *file) Write(ctx context.Context, data []byte, off int64) (uint32, syscall.Errno) {
	if errno := f.d.space(); errno != fs.OK {
		return 0, errno
	}
	return f.LoopbackFile.Write(ctx, data, off)
}

// Allocate implements fs.FileAllocater.
func (f *file) Allocate(ctx context.Context, off, size uint64, mode uint32) syscall.Errno {
	if errno := f.d.space(); errno != fs.OK {
		return errno
	}
	return f.LoopbackFile.Allocate(ctx, off, size, mode)
}

// Fsync implements fs.FileFsyncer.
func (f *file) Fsync(ctx context.Context, flags uint32) syscall.Errno {
	if errno := f.d.wait(ctx); errno != fs.OK {
		return errno
	}
	return f.LoopbackFile.Fsync(ctx, flags)
}
