package scenario

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"
)

// starts counts the attempts that have noted their start in the trace file.
type starts struct {
	path string
	file *os.File
	rest []byte // an unfinished line
	seen int
}

func newStarts(path string) *starts { return &starts{path: path} }

// read takes in what the file has got since.
func (s *starts) read() error {
	if s.file == nil {
		f, err := os.Open(s.path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		s.file = f
	}
	text, err := io.ReadAll(s.file)
	if err != nil {
		return err
	}
	text = append(s.rest, text...)
	whole := text[:bytes.LastIndexByte(text, '\n')+1]
	s.rest = bytes.Clone(text[len(whole):])
	for line := range bytes.Lines(whole) {
		if bytes.HasPrefix(line, []byte("start ")) {
			s.seen++
		}
	}
	return nil
}

// until reads on, every few milliseconds, until a condition holds.
func (s *starts) until(ctx context.Context, holds func() bool) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := s.read(); err != nil {
			return err
		}
		if holds() {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (s *starts) close() {
	if s.file != nil {
		s.file.Close()
	}
}
