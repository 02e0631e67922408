package keeper

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"

	"bytes"
	"io"

	"backfleet/agent/attempt"
	"backfleet/agent/runner"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// store is the keeper's folder. An attempt is kept as long as its folder under
// attempts/ exists: made before the process starts, removed by Forget. In it
// is its log, and it is where the process works. Results
// stand in batch files, several to a file, so that a hundred attempts that end
// together cost the same fsyncs as one.
type store struct {
	dir     string
	next    uint64
	batches map[attempt.Key]uint64 // the batch that holds an attempt's result
	live    map[uint64]int         // results of a batch not yet forgotten
}

const batchSuffix = ".results"

var checksums = crc32.MakeTable(crc32.Castagnoli)

func (s *store) attempts() string            { return filepath.Join(s.dir, "attempts") }
func (s *store) results() string             { return filepath.Join(s.dir, "results") }
func (s *store) folder(k attempt.Key) string { return filepath.Join(s.attempts(), k.Folder()) }
func (s *store) batch(n uint64) string {
	return filepath.Join(s.results(), fmt.Sprintf("%016d%s", n, batchSuffix))
}

// openStore makes the folders.
func openStore(dir string) (*store, error) {
	s := &store{dir: dir, next: 1, batches: map[attempt.Key]uint64{}, live: map[uint64]int{}}
	for _, d := range []string{s.attempts(), s.results()} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fault.Wrap(err, fault.Internal, "keeper: cannot make its folder")
		}
	}
	return s, nil
}

// load reads what a predecessor left: every kept attempt, those without a
// result as lost (RULES R13.2: its attempts died with it).
func (s *store) load(now time.Time) (kept, lost []*wire.KeptAttempt, err error) {
	found, err := s.readBatches()
	if err != nil {
		return nil, nil, err
	}
	folders, err := os.ReadDir(s.attempts())
	if err != nil {
		return nil, nil, fault.Wrap(err, fault.Internal, "keeper: cannot read its attempts")
	}
	for _, f := range folders {
		key, ok := attempt.ParseFolder(f.Name())
		if !ok {
			return nil, nil, fault.New(fault.Corrupt, "%s: not the folder of an attempt; remove it, or give the agent another data folder",
				filepath.Join(s.attempts(), f.Name()))
		}
		if k := found[key]; k != nil {
			s.live[s.batches[key]]++
			kept = append(kept, k)
			continue
		}
		delete(s.batches, key)
		lost = append(lost, s.lost(key, f, now))
	}
	s.dropForgotten(found)
	return kept, lost, nil
}

// lost makes the result of an attempt whose keeper died.
func (s *store) lost(key attempt.Key, folder os.DirEntry, now time.Time) *wire.KeptAttempt {
	started := now
	if info, err := folder.Info(); err == nil {
		started = info.ModTime() // of its making, unless the process made files in it
	}
	return &wire.KeptAttempt{
		Ref:          key.Ref(),
		LogDirectory: s.folder(key),
		LogBytes:     runner.WholeLines(s.folder(key)),
		Result: &wire.AttemptResult{
			Ref: key.Ref(), Outcome: wire.Outcome_LOST,
			StartedMs: started.UnixMilli(), EndedMs: now.UnixMilli(),
			Cause: "the keeper died, and the attempt with it",
		},
	}
}

func (s *store) readBatches() (map[attempt.Key]*wire.KeptAttempt, error) {
	files, err := os.ReadDir(s.results())
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "keeper: cannot read its results")
	}
	found := map[attempt.Key]*wire.KeptAttempt{}
	for _, f := range files {
		var n uint64
		path := filepath.Join(s.results(), f.Name())
		if _, err := fmt.Sscanf(f.Name(), "%d"+batchSuffix, &n); err != nil || !strings.HasSuffix(f.Name(), batchSuffix) {
			_ = os.Remove(path) // a batch that was never completed
			continue
		}
		list, err := readBatch(path)
		if err != nil {
			return nil, err
		}
		s.next = max(s.next, n+1)
		s.live[n] = 0
		for _, k := range list {
			key := attempt.KeyOf(k.Ref)
			found[key] = k
			s.batches[key] = n
		}
	}
	return found, nil
}

// dropForgotten clears what a batch still says of attempts without a folder.
func (s *store) dropForgotten(found map[attempt.Key]*wire.KeptAttempt) {
	for key := range found {
		if _, err := os.Stat(s.folder(key)); os.IsNotExist(err) {
			delete(s.batches, key)
		}
	}
	for n, live := range s.live {
		if live == 0 {
			delete(s.live, n)
			_ = os.Remove(s.batch(n))
		}
	}
}

func readBatch(path string) ([]*wire.KeptAttempt, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "keeper: cannot read its results")
	}
	broken := fault.New(fault.Corrupt, "%s: results that do not match their checksum; the disk is not to be trusted. "+
		"Remove the file to have its attempts recorded as lost", path)
	if len(data) < 4 || crc32.Checksum(data[4:], checksums) != binary.BigEndian.Uint32(data) {
		return nil, broken
	}
	var list []*wire.KeptAttempt
	for r := bytes.NewReader(data[4:]); ; {
		k := &wire.KeptAttempt{}
		switch err := protodelim.UnmarshalFrom(r, k); err {
		case nil:
			list = append(list, k)
		case io.EOF:
			return list, nil
		default:
			return nil, broken
		}
	}
}

// begin makes an attempt's folder. It need not be synced: if the host dies the
// process dies too, and the leader sees the lease end.
func (s *store) begin(key attempt.Key) error { return os.Mkdir(s.folder(key), 0o700) }

// save makes results durable: the folders that say they are kept, the file,
// its name. Only one save runs at a time; forget may run beside it.
func (s *store) save(n uint64, list []*wire.KeptAttempt) error {
	var b bytes.Buffer
	b.Write(make([]byte, 4))
	for _, k := range list {
		if _, err := protodelim.MarshalTo(&b, proto.Message(k)); err != nil {
			return err
		}
	}
	binary.BigEndian.PutUint32(b.Bytes(), crc32.Checksum(b.Bytes()[4:], checksums))
	temporary := s.batch(n) + ".new"
	if err := writeSynced(temporary, b.Bytes()); err != nil {
		_ = os.Remove(temporary)
		return err
	}
	if err := syncFolder(s.attempts()); err != nil {
		return err
	}
	if err := os.Rename(temporary, s.batch(n)); err != nil {
		return err
	}
	return syncFolder(s.results())
}

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	return err
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// remove deletes an attempt's folder, and the attempt is forgotten.
func (s *store) remove(key attempt.Key) error { return os.RemoveAll(s.folder(key)) }

// release drops an attempt's hold on its batch; the caller removes the batch
// file it names, when ok.
func (s *store) release(key attempt.Key) (path string, ok bool) {
	n, held := s.batches[key]
	if !held {
		return "", false
	}
	delete(s.batches, key)
	if s.live[n]--; s.live[n] > 0 {
		return "", false
	}
	delete(s.live, n)
	return s.batch(n), true
}
