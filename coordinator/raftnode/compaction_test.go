package raftnode

import (
	"bytes"
	"io/fs"
	"path/filepath"
	"testing"
)

func TestWhenASnapshotIsDue(t *testing.T) {
	c := Compaction{SnapshotEntries: 100, SnapshotBytes: 1000}
	for _, row := range []struct {
		entries     uint64
		bytes, last int64
		stagger     float64
		patient     bool
		want        bool
	}{
		{entries: 99, bytes: 999},
		{entries: 100, want: true},
		{bytes: 1000, want: true},
		{bytes: 1000, last: 5000},                  // a large state is not written again after a small log
		{bytes: 5000, last: 5000, want: true},      //
		{entries: 100, last: 5000, want: true},     // but a start never replays more entries
		{entries: 124, bytes: 1249, stagger: 1},    // staggered by a quarter at most
		{entries: 125, stagger: 1, want: true},     //
		{entries: 399, bytes: 3999, patient: true}, // a follower is catching up
		{entries: 400, patient: true, want: true},  // but not for ever
		{bytes: 4000, patient: true, want: true},   //
		{bytes: 5000, stagger: 1, patient: true, want: true},
	} {
		if got := c.due(row.entries, row.bytes, row.last, row.stagger, row.patient); got != row.want {
			t.Errorf("%+v: %v", row, got)
		}
	}
}

// TestLogStaysBounded writes many times what may stay on disk, in small
// segments: old segments really go, on leader and followers, and what is left
// is enough for a restart and for a newcomer.
func TestLogStaysBounded(t *testing.T) {
	const segment, size, count = 64 << 10, 2 << 10, 1500
	bounds := Compaction{SnapshotEntries: 100, SnapshotBytes: 128 << 10, TrailingEntries: 1000, TrailingBytes: 64 << 10}
	all, leader := cluster(t, func(_ string, cfg *Config) {
		cfg.walSegment, cfg.Compaction = segment, bounds
	})
	var last uint64
	line := bytes.Repeat([]byte("x"), size)
	for done := 0; done < count; {
		index, _, err := leader.Propose(within(t), line)
		if err != nil { // so many entries may take long enough for a change of leader
			t.Log(err)
			leader = leads(t, all...)
			continue
		}
		last, done = index, done+1
	}
	// Behind: what a snapshot waits for, what trails it, a segment each at
	// both ends, and one being made.
	limit := int64(128<<10 + 64<<10 + 4*segment)
	for _, m := range all {
		if err := m.WaitIndex(within(t), last); err != nil {
			t.Fatal(err)
		}
		eventually(t, m.ID()+"'s log is short", func() bool { return segmentBytes(t, m) <= limit })
		if s := m.Stats(); s.FirstLog < count/2 || s.LastSnapshot < count/2 {
			t.Errorf("%s: %+v", m.ID(), s)
		}
		if kept, err := filepath.Glob(filepath.Join(m.cfg.DataDir, "snapshots", "*[0-9]")); err != nil || len(kept) == 0 || len(kept) > snapshotsKept+1 {
			t.Errorf("%s keeps the snapshots %v, %v", m.ID(), kept, err)
		}
	}
	away := others(all, leader)[0]
	if err := away.Stop(abrupt()); err != nil {
		t.Fatal(err)
	}
	back := start(t, away.cfg)
	if err := back.WaitIndex(within(t), last); err != nil {
		t.Error(err)
	}
	newcomer := start(t, Config{ID: "c4", DataDir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err := leader.AddServer(within(t), "c4", newcomer.Address()); err != nil {
		t.Fatal(err)
	}
	if err := newcomer.WaitIndex(within(t), last); err != nil {
		t.Error(err)
	}
	if got := len(newcomer.state.all()); got != len(leader.state.all()) {
		t.Errorf("the newcomer has %d lines, the leader %d", got, len(leader.state.all()))
	}
}

func segmentBytes(t *testing.T, m *member) (sum int64) {
	err := filepath.WalkDir(filepath.Join(m.cfg.DataDir, "wal"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".wal" {
			info, statErr := d.Info()
			if statErr == nil { // else deleted meanwhile
				sum += info.Size()
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}
