// Package backup is the file that holds a backup of a cluster's facts: a line that
// names the format, a line of JSON that says what is in it, the facts as
// coordinators write them, and a SHA-256 of all that. What breaks off, or was
// changed, is refused. What the facts mean is not its business.
package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"os"
	"path/filepath"
	"time"

	"backfleet/pkg/fault"
)

const (
	magic     = "backfleet snapshot 1\n"
	mostLine  = 64 << 10 // bytes of the header
	signature = sha256.Size
)

// Header says what a backup has.
type Header struct {
	Cluster    string    `json:"cluster"`    // what its operators call it
	Generation uint64    `json:"generation"` // see wire.Newer
	Index      uint64    `json:"index"`      // of the log: all up to it is in
	Term       uint64    `json:"term"`
	Behaviour  uint32    `json:"behaviour"` // version of the rules in force
	Version    string    `json:"version"`   // of the binary that wrote it
	Time       time.Time `json:"time"`
	Counts     Counts    `json:"counts"`
}

// Counts is how much a backup has of what.
type Counts struct {
	Nodes     int `json:"nodes"`
	Backfills int `json:"backfills"` // the schedule's days among them
	Instances int `json:"instances"`
	Running   int `json:"running"`
	Agents    int `json:"agents"`
	Users     int `json:"users"`
}

// Write writes a backup; facts writes what it holds.
func Write(w io.Writer, h Header, facts func(io.Writer) error) error {
	line, err := json.Marshal(h)
	if err != nil {
		return err
	}
	sum := sha256.New()
	all := io.MultiWriter(w, sum)
	if _, err := all.Write(append(append([]byte(magic), line...), '\n')); err != nil {
		return err
	}
	if err := facts(all); err != nil {
		return err
	}
	_, err = w.Write(sum.Sum(nil))
	return err
}

// File is an open backup.
type File struct {
	Header
	Bytes int64 // of the whole file
	file  *os.File
	facts int64 // where they begin
}

// Open opens a backup and verifies all of it (fault.Corrupt with what is wrong).
func Open(path string) (*File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "backup %s: cannot be opened", path)
	}
	f := &File{file: file}
	if err := f.verify(); err != nil {
		_ = file.Close()
		return nil, fault.Wrap(err, fault.Corrupt, "backup %s: it cannot be used", path)
	}
	return f, nil
}

// Facts reads what the backup holds.
func (f *File) Facts() io.Reader {
	return io.NewSectionReader(f.file, f.facts, f.Bytes-signature-f.facts)
}

// Close closes the file.
func (f *File) Close() error { return f.file.Close() }

func (f *File) verify() error {
	info, err := f.file.Stat()
	if err != nil {
		return err
	}
	f.Bytes = info.Size()
	begin := make([]byte, min(f.Bytes, int64(len(magic)+mostLine)))
	if _, err := io.ReadFull(f.file, begin); err != nil {
		return err
	}
	rest, ok := bytes.CutPrefix(begin, []byte(magic))
	if !ok {
		return errors.New("it does not begin as one: expected what `backfleet cluster snapshot save` wrote, of this format")
	}
	line, _, ok := bytes.Cut(rest, []byte{'\n'})
	f.facts = int64(len(magic) + len(line) + 1)
	if !ok || f.facts+signature > f.Bytes {
		return errors.New("it is cut off in its header")
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(f.file, 0, f.Bytes-signature)); err != nil {
		return err
	}
	var end [signature]byte
	if _, err := f.file.ReadAt(end[:], f.Bytes-signature); err != nil {
		return err
	}
	if !same(sum, end) {
		return errors.New("it does not match its checksum: it is cut off, or damaged")
	}
	if err := json.Unmarshal(line, &f.Header); err != nil {
		return errors.New("its header cannot be read")
	}
	return nil
}

func same(sum hash.Hash, end [signature]byte) bool { return bytes.Equal(sum.Sum(nil), end[:]) }

// Save has a backup written to a file: to one beside it first, which is verified,
// synced and renamed, so that there is a whole one or none.
func Save(path string, write func(io.Writer) error) (*Header, int64, error) {
	part := path + ".part"
	file, err := os.OpenFile(part, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, 0, fault.Wrap(err, fault.Invalid, "%s cannot be written", part)
	}
	defer os.Remove(part)
	if err := errors.Join(write(file), file.Sync(), file.Close()); err != nil {
		return nil, 0, err
	}
	got, err := Open(part)
	if err != nil {
		return nil, 0, err
	}
	defer got.Close()
	if err := os.Rename(part, path); err != nil {
		return nil, 0, fault.Wrap(err, fault.Invalid, "%s cannot be written", path)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, 0, err
	}
	defer dir.Close()
	return &got.Header, got.Bytes, dir.Sync()
}
