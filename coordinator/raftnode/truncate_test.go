package raftnode

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/hashicorp/raft"
	"github.com/hashicorp/raft-wal/metadb"
)

// TestTruncatedLogOpensAgain: a former leader drops entries that never became
// facts, and its log is whole after a restart. raft-wal before v0.4.1 marked
// the shortened segment as sealed without writing its index
// (hashicorp/raft-wal#31): the next start found a broken log.
func TestTruncatedLogOpensAgain(t *testing.T) {
	dir := t.TempDir()
	entries := func(from, to, term uint64) (list []*raft.Log) {
		for i := from; i <= to; i++ {
			list = append(list, &raft.Log{Index: i, Term: term, Data: fmt.Appendf(nil, "entry %d of term %d", i, term)})
		}
		return list
	}
	session := func(work func(raft.LogStore) error) {
		t.Helper()
		meta := &metadb.BoltMetaDB{}
		log, err := openWAL(dir, meta, 64<<10, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(work(log), log.Close(), meta.Close()); err != nil {
			t.Fatal(err)
		}
	}
	session(func(log raft.LogStore) error {
		return errors.Join(log.StoreLogs(entries(1, 10, 1)), log.DeleteRange(8, 10), log.StoreLogs(entries(8, 9, 2)))
	})
	session(func(log raft.LogStore) error {
		for i := uint64(1); i <= 9; i++ {
			var got raft.Log
			if err := log.GetLog(i, &got); err != nil || got.Index != i || (got.Term == 2) != (i >= 8) {
				t.Errorf("entry %d: %+v, %v", i, got, err)
			}
		}
		return log.StoreLogs(entries(10, 12, 2))
	})
}
