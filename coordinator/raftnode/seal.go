package raftnode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	iofs "io/fs"
	"os"
	"path/filepath"
	"time"

	walfs "github.com/hashicorp/raft-wal/fs"
	walsegment "github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// recordSeal finishes a rotation that a kill, or an orderly stop at the wrong
// moment, cut short: the last segment is sealed on disk but open in raft-wal's
// index. raft-wal (v0.4.1) would open it as the tail and then refuse every
// append, after every restart. The next segment is only recorded here:
// raft-wal creates the file of a recorded tail that has none.
func recordSeal(dir string, meta types.MetaStore, segmentSize int) error {
	state, err := meta.Load(dir)
	if err != nil || len(state.Segments) == 0 {
		return err
	}
	tail := &state.Segments[len(state.Segments)-1]
	if !tail.SealTime.IsZero() {
		return nil
	}
	indexStart, last, err := sealOf(dir, *tail)
	if err != nil || indexStart == 0 {
		return err
	}
	now := time.Now()
	tail.SealTime, tail.MaxIndex, tail.IndexStart = now, last, indexStart
	state.Segments = append(state.Segments, types.SegmentInfo{
		ID: state.NextSegmentID, BaseIndex: last + 1, MinIndex: last + 1,
		Codec: tail.Codec, CreateTime: now, SizeLimit: uint32(segmentSize),
	})
	state.NextSegmentID++
	return meta.CommitState(state)
}

// sealOf says where the index of an unrecorded seal starts, 0 for a segment
// that is open, and which entry is the segment's last. A torn seal is an error.
func sealOf(dir string, tail types.SegmentInfo) (indexStart, last uint64, err error) {
	w, err := walsegment.NewFiler(dir, walfs.New()).RecoverTail(tail)
	if errors.Is(err, iofs.ErrNotExist) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	sealed, indexStart, err := w.Sealed()
	if err != nil || !sealed {
		return 0, 0, err
	}
	path := filepath.Join(dir, walsegment.FileName(tail))
	data, err := os.ReadFile(path)
	if err == nil && committedIndex(data) != indexStart {
		err = fmt.Errorf("%s has a torn seal after entry %d; expected its index at byte %d to be covered by the last commit", path, w.LastIndex(), indexStart)
	}
	return indexStart, w.LastIndex(), err
}

// committedIndex is where the index starts that the segment's last commit
// covers, 0 if that commit is broken or covers none. The writer calls a
// segment sealed as soon as it meets the head of an index, even of one whose
// write was torn.
func committedIndex(data []byte) (start uint64) {
	const fileHead, frameHead = 32, 8
	index, batch := 0, 0
	for at := fileHead; at+frameHead <= len(data); {
		value := binary.LittleEndian.Uint32(data[at+4:])
		body := at + frameHead
		switch data[at] {
		case walsegment.FrameIndex:
			index = body
			fallthrough
		case walsegment.FrameEntry:
			at = body + (int(value)+7)&^7
		case walsegment.FrameCommit:
			start = 0
			if index > batch && crc32.Checksum(data[batch:at], crc32.MakeTable(crc32.Castagnoli)) == value {
				start = uint64(index)
			}
			at, batch = body, body
		default:
			return start
		}
	}
	return start
}
