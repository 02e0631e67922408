package raftnode

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"

	"backfleet/pkg/fault"
)

// A log entry is: kind (1 byte), CRC-32C of the rest (4), body. The checksum
// is verified before the state machine sees a byte, and for the whole log at
// start: raft-wal checks only the last batch it wrote.
//
//	whole: the proposal
//	part:  group (16), number (4), a piece of a large proposal; no effect
//	seal:  group (16), number of parts (4), SHA-256 of the whole (32)
const (
	kindWhole byte = 1
	kindPart  byte = 2
	kindSeal  byte = 3

	entryHeader = 1 + 4
	partHeader  = 16 + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type group [16]byte

func encodeEntry(kind byte, body ...[]byte) []byte {
	size := entryHeader
	for _, b := range body {
		size += len(b)
	}
	e := make([]byte, entryHeader, size)
	for _, b := range body {
		e = append(e, b...)
	}
	e[0] = kind
	binary.BigEndian.PutUint32(e[1:], crc32.Checksum(e[entryHeader:], castagnoli))
	return e
}

func encodePart(g group, number int, piece []byte) []byte {
	return encodeEntry(kindPart, g[:], binary.BigEndian.AppendUint32(nil, uint32(number)), piece)
}

func encodeSeal(g group, parts int, whole []byte) []byte {
	sum := sha256.Sum256(whole)
	return encodeEntry(kindSeal, g[:], binary.BigEndian.AppendUint32(nil, uint32(parts)), sum[:])
}

// checkEntry verifies an entry and gives its kind and body.
func checkEntry(index uint64, e []byte) (kind byte, body []byte, err error) {
	if len(e) < entryHeader {
		return 0, nil, fault.New(fault.Corrupt, "log entry %d has %d bytes; expected at least %d", index, len(e), entryHeader)
	}
	kind, body = e[0], e[entryHeader:]
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(e[1:]) {
		return 0, nil, fault.New(fault.Corrupt, "log entry %d does not match its checksum", index)
	}
	switch {
	case kind < kindWhole || kind > kindSeal:
		return 0, nil, fault.New(fault.Corrupt, "log entry %d is of kind %d, which this version does not know; was it written by a newer one?", index, kind)
	case kind == kindPart && len(body) < partHeader, kind == kindSeal && len(body) != partHeader+sha256.Size:
		return 0, nil, fault.New(fault.Corrupt, "log entry %d of kind %d has a body of %d bytes", index, kind, len(body))
	}
	return kind, body, nil
}

// staging collects the parts of one large proposal. It is replicated state:
// part of the snapshot, and a pure function of the log. One group at a time,
// within one term: the leader stages one proposal after another, and a new
// leader starts afresh, so abandoned parts cannot pile up.
type staging struct {
	term  uint64
	group group
	parts [][]byte // never written to again: snapshots share them
	size  int
}

var errStaging = fault.New(fault.Unavailable, "the parts of a large write were interrupted by another leader; nothing was applied, send it again")

func (s *staging) addPart(term uint64, body []byte) error {
	g, number, piece := group(body[:16]), binary.BigEndian.Uint32(body[16:]), body[partHeader:]
	if number == 0 {
		*s = staging{term: term, group: g}
	}
	if s.term != term || s.group != g || int(number) != len(s.parts) || s.size+len(piece) > MaxProposal {
		*s = staging{}
		return errStaging
	}
	s.parts, s.size = append(s.parts, piece), s.size+len(piece)
	return nil
}

// seal gives the whole and empties the stage.
func (s *staging) seal(term uint64, body []byte) ([]byte, error) {
	done := *s
	*s = staging{}
	if done.term != term || done.group != group(body[:16]) || len(done.parts) != int(binary.BigEndian.Uint32(body[16:])) {
		return nil, errStaging
	}
	whole := make([]byte, 0, done.size)
	for _, p := range done.parts {
		whole = append(whole, p...)
	}
	if sha256.Sum256(whole) != [32]byte(body[partHeader:]) {
		return nil, errStaging
	}
	return whole, nil
}
