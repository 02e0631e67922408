package spool

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"backfleet/agent/attempt"
	"backfleet/pkg/fault"
)

// notes remembers on disk how far each log has come. They may be old or lost:
// then some bytes are sent twice, and the coordinator says so.
type notes struct {
	path string

	mu      sync.Mutex
	offsets map[attempt.Key]uint64
	changed bool
}

func openNotes(folder string) (*notes, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fault.Wrap(err, fault.Internal, "spool: cannot make its folder")
	}
	n := &notes{path: filepath.Join(folder, "offsets"), offsets: map[attempt.Key]uint64{}}
	data, err := os.ReadFile(n.path)
	if err != nil && !os.IsNotExist(err) {
		return nil, fault.Wrap(err, fault.Internal, "spool: cannot read its notes")
	}
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		var name string
		var offset uint64
		if _, err := fmt.Sscan(lines.Text(), &name, &offset); err != nil {
			continue
		}
		if key, ok := attempt.ParseFolder(name); ok {
			n.offsets[key] = offset
		}
	}
	return n, nil
}

func (n *notes) offset(key attempt.Key) uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.offsets[key]
}

func (n *notes) set(key attempt.Key, offset uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.offsets[key], n.changed = offset, true
}

func (n *notes) drop(key attempt.Key) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.offsets[key]; ok {
		delete(n.offsets, key)
		n.changed = true
	}
}

// run writes the notes now and then, and when ctx ends.
func (n *notes) run(ctx context.Context) {
	ticker := time.NewTicker(noteEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
		_ = n.write()
	}
}

func (n *notes) write() error {
	n.mu.Lock()
	if !n.changed {
		n.mu.Unlock()
		return nil
	}
	n.changed = false
	var b bytes.Buffer
	for key, offset := range n.offsets {
		fmt.Fprintf(&b, "%s %d\n", key.Folder(), offset)
	}
	n.mu.Unlock()
	temporary := n.path + ".new"
	if err := os.WriteFile(temporary, b.Bytes(), 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, n.path)
}
