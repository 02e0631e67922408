package spool

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"backfleet/agent/runner"
)

// readAt fills room from a log's byte stream, which is its segment files laid
// end to end, and gives how much there was, less than room only at the end of
// what is written. hint spares the search from the first segment; it belongs to
// the reader of one log.
func readAt(dir string, offset uint64, room []byte, hint *place) (int, error) {
	if hint.start > offset {
		*hint = place{}
	}
	n := 0
	for n < len(room) {
		got, size, err := readSegment(runner.SegmentPath(dir, hint.segment), int64(offset-hint.start), room[n:])
		if errors.Is(err, fs.ErrNotExist) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		n, offset = n+got, offset+uint64(got)
		if offset < hint.start+size {
			return n, nil // room is full
		}
		if _, err := os.Stat(runner.SegmentPath(dir, hint.segment+1)); err != nil {
			return n, nil // the newest segment
		}
		// The next one exists, so this one has its final size; but it may have
		// grown since it was looked at.
		if _, again, err := readSegment(runner.SegmentPath(dir, hint.segment), 0, nil); err != nil || again != size {
			continue
		}
		hint.segment, hint.start = hint.segment+1, hint.start+size
	}
	return n, nil
}

// place is a segment and the offset at which it begins.
type place struct {
	segment int
	start   uint64
}

// readSegment reads from an offset of one file and gives the file's size. An
// offset past its end reads nothing.
func readSegment(path string, offset int64, room []byte) (n int, size uint64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	room = room[:min(int64(len(room)), max(info.Size()-offset, 0))]
	n, err = f.ReadAt(room, offset)
	if err == io.EOF {
		err = nil
	}
	return n, uint64(info.Size()), err
}
