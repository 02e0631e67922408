package raftnode

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// Continue: the journal's entries have no index of their own.
func (j *journal) Continue(uint64) {}

// founded claims a new folder of a cluster of this generation.
func founded(t *testing.T, id string, generation uint64) *Folder {
	t.Helper()
	f, err := Claim(t.TempDir(), id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	if err := f.Found(generation); err != nil {
		t.Fatal(err)
	}
	return f
}

// Who waits to be admitted hears nobody and so gets no vote; who is of another
// generation is refused; who is admitted catches up.
func TestOnlyMembersOfTheGenerationAreHeard(t *testing.T) {
	generation := wire.FirstGeneration(5)
	first := start(t, Config{ID: "c1", Folder: founded(t, "c1", generation), Listen: "127.0.0.1:0", Bootstrap: true})
	leads(t, first)
	mustPropose(t, first, "a")
	waits := start(t, Config{ID: "c2", DataDir: t.TempDir(), Listen: "127.0.0.1:0", AwaitAdmission: true})
	stranger := start(t, Config{ID: "c3", Folder: founded(t, "c3", wire.FirstGeneration(6)), Listen: "127.0.0.1:0"})
	for _, m := range []*member{waits, stranger} {
		if err := first.AddServer(within(t), m.ID(), m.Address()); err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("tcp", m.Address())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := first.pass.show(conn); err == nil {
			t.Errorf("%s took generation %x", m.ID(), generation)
		}
	}
	if !waits.Awaits() || stranger.Awaits() {
		t.Error("only an empty folder waits to be admitted")
	}
	if err := waits.Admit(generation); err != nil {
		t.Fatal(err)
	}
	eventually(t, "c2 votes", func() bool { return voters(first.Node) == 2 })
	if !first.Heard("c3").IsZero() || stranger.Applied() != 0 {
		t.Error("a coordinator of another generation was heard")
	}
	eventually(t, "c2 has the entry", func() bool { return slices.Contains(waits.state.all(), "a") })
}

// A majority is lost: the survivor goes on alone, with everything it had, far ahead,
// and the folders of the others are of no use to it.
func TestRecover(t *testing.T) {
	generation := wire.FirstGeneration(5)
	all, leader := cluster(t, func(id string, cfg *Config) { cfg.Folder, cfg.DataDir = founded(t, id, generation), "" })
	mustPropose(t, leader, "a")
	if err := leader.Snapshot(within(t)); err != nil {
		t.Fatal(err)
	}
	last := mustPropose(t, leader, "b")
	survivor := others(all, leader)[0]
	eventually(t, "the survivor has it", func() bool { return survivor.Applied() >= last })
	dir := survivor.folder.Dir
	abrupt, cancel := context.WithCancel(t.Context())
	cancel()
	for _, m := range all {
		_ = m.Stop(abrupt)
		m.folder.Close()
	}
	before := tree(t, dir)
	seen := &journal{}
	at, err := Survey(dir, survivor.ID(), t.TempDir(), seen)
	if err != nil || at.Index < last || len(at.Members) != 3 || at.Generation != generation || !slices.Equal(seen.all(), []string{"a", "b"}) {
		t.Fatalf("survey: %+v, %q, %v", at, seen.all(), err)
	}
	if after := tree(t, dir); after != before {
		t.Errorf("looking at a folder changed it: %s\n%s", before, after)
	}
	now, err := Recover(dir, survivor.ID(), &journal{}, time.Unix(2_000_000_000, 0))
	if err != nil || now.Index < at.Index+Jump || now.Term <= at.Term || !wire.Newer(now.Generation, generation) {
		t.Fatalf("recover: %+v, %v", now, err)
	}
	alone := start(t, Config{ID: survivor.ID(), DataDir: dir, Listen: "127.0.0.1:0", AwaitAdmission: true})
	leads(t, alone)
	if index := mustPropose(t, alone, "c"); index <= last+Jump || !slices.Equal(alone.state.all(), []string{"a", "b", "c"}) {
		t.Errorf("goes on at %d with %q", index, alone.state.all())
	}
	eventually(t, "its address is its own again", func() bool {
		servers, _ := alone.Servers()
		return len(servers) == 1 && servers[0].RaftAddress == alone.Address()
	})
	newcomer := start(t, Config{ID: "c9", DataDir: t.TempDir(), Listen: "127.0.0.1:0", AwaitAdmission: true})
	if err := alone.AddServer(within(t), "c9", newcomer.Address()); err != nil {
		t.Fatal(err)
	}
	if err := newcomer.Admit(alone.Generation()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the newcomer votes", func() bool { return voters(alone.Node) == 2 })
	eventually(t, "the newcomer has everything", func() bool { return slices.Equal(newcomer.state.all(), []string{"a", "b", "c"}) })
}

// tree is the names and sizes of all files.
func tree(t *testing.T, dir string) (out string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		out += path + " " + wire.GenerationText(uint64(len(data))) + "\n"
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A restored folder is a cluster of one; one that holds something is refused.
func TestRestore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	now, err := Restore(dir, "c1", &journal{lines: []string{"a"}}, Extent{Index: 7, Term: 3}, time.Unix(2_000_000_000, 0))
	if err != nil || now.Index != 7+Jump || now.Term != 4 {
		t.Fatal(now, err)
	}
	if _, err := Restore(dir, "c1", &journal{}, Extent{}, time.Now()); !fault.Is(err, fault.Conflict) {
		t.Errorf("restored over data: %v", err)
	}
	m := start(t, Config{ID: "c1", DataDir: dir, Listen: "127.0.0.1:0", AwaitAdmission: true})
	leads(t, m)
	if index := mustPropose(t, m, "b"); index <= now.Index || !slices.Equal(m.state.all(), []string{"a", "b"}) {
		t.Errorf("goes on at %d with %q", index, m.state.all())
	}
	if m.Stats().Term <= now.Term {
		t.Errorf("term %d after %d", m.Stats().Term, now.Term)
	}
}

// Who is retired stops, and its folder is not started from again, but can be
// recovered from.
func TestRetire(t *testing.T) {
	f := founded(t, "c1", 9)
	m := start(t, Config{ID: "c1", Folder: f, Listen: "127.0.0.1:0", Bootstrap: true})
	leads(t, m)
	mustPropose(t, m, "a")
	if err := m.Retire("coordinator c1 was removed from the cluster"); err != nil {
		t.Fatal(err)
	}
	<-m.Failed()
	if !m.Retired() {
		t.Error("it failed for another reason")
	}
	if _, _, err := m.Propose(within(t), []byte("b")); !fault.Is(err, fault.Unavailable) && !fault.Is(err, fault.Unknown) {
		t.Errorf("it takes proposals: %v", err)
	}
	_ = m.Stop(within(t))
	f.Close()
	if _, err := Claim(f.Dir, "c1"); !fault.Is(err, fault.Conflict) {
		t.Errorf("its folder is taken again: %v", err)
	}
	if _, err := Recover(f.Dir, "c1", &journal{}, time.Now()); err != nil {
		t.Errorf("its folder cannot be recovered from: %v", err)
	}
	again, err := Claim(f.Dir, "c1")
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}
