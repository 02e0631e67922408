package raftnode

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"backfleet/pkg/fault"
	"backfleet/pkg/mtls"
	"backfleet/pkg/mtls/mtlstest"

	"github.com/hashicorp/raft"
	"golang.org/x/sys/unix"
)

// sickLog is a log whose disk can be made to fail or hang.
type sickLog struct {
	raft.LogStore
	mu   sync.Mutex
	fail error
	hang chan struct{}
}

func (s *sickLog) StoreLogs(logs []*raft.Log) error {
	s.mu.Lock()
	fail, hang := s.fail, s.hang
	s.mu.Unlock()
	if hang != nil {
		<-hang
	}
	if fail != nil {
		return fail
	}
	return s.LogStore.StoreLogs(logs)
}

func (s *sickLog) sicken(fail error, hang chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail, s.hang = fail, hang
}

// injected is a cluster on TCP with logs in memory, whose disks can be spoilt.
func injected(t *testing.T) ([]*member, *member, map[string]*sickLog) {
	disks := map[string]*sickLog{}
	all, leader := cluster(t, func(id string, cfg *Config) {
		store := raft.NewInmemStore()
		disks[id] = &sickLog{LogStore: store}
		cfg.DataDir, cfg.LogStore, cfg.StableStore, cfg.SnapshotStore = "", disks[id], store, raft.NewInmemSnapshotStore()
		cfg.DiskPatience = 300 * time.Millisecond
	})
	return all, leader, disks
}

// A leader whose disk is full or hangs answers clearly, stops leading, and the
// others go on.
func TestSickDiskOfTheLeader(t *testing.T) {
	for name, c := range map[string]struct {
		fail error
		hang bool
		says string
	}{
		"full":  {unix.ENOSPC, false, "no space left"},
		"hangs": {nil, true, "no answer from the disk"},
	} {
		t.Run(name, func(t *testing.T) {
			all, leader, disks := injected(t)
			mustPropose(t, leader, "healthy")
			var hang chan struct{}
			if c.hang {
				hang = make(chan struct{})
				defer close(hang)
			}
			disks[leader.ID()].sicken(c.fail, hang)
			_, _, err := leader.Propose(within(t), []byte("sick"))
			if !fault.Is(err, fault.Unknown) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v; expected an unknown outcome that says %q", err, c.says)
			}
			select {
			case <-leader.Failed():
			case <-within(t).Done():
				t.Fatal("did not fail")
			}
			if leader.Err() == nil || leader.Stats().Failure == "" {
				t.Error("failed without a reason")
			}
			if _, _, err := leader.Propose(within(t), []byte("more")); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("after the failure: %v", err)
			}
			next := leads(t, others(all, leader)...)
			mustPropose(t, next, "onwards")
			if got := next.state.all(); got[0] != "healthy" || got[len(got)-1] != "onwards" {
				t.Errorf("the next leader has %q", got)
			}
			if err := leader.Stop(within(t)); err != nil {
				t.Errorf("stop: %v", err)
			}
		})
	}
}

// A command that is not known stops each coordinator that meets it, and none
// applies it or what follows.
func TestUnknownCommandHalts(t *testing.T) {
	all, leader := cluster(t, nil)
	mustPropose(t, leader, "known")
	_, _, err := leader.Propose(within(t), []byte("unknown:x"))
	if !fault.Is(err, fault.Unknown) {
		t.Fatalf("got %v", err)
	}
	// The next leader commits and meets it too; the third may never learn
	// that it is committed.
	rest := others(all, leader)
	<-leader.Failed()
	met := rest[0]
	select {
	case <-rest[0].Failed():
	case <-rest[1].Failed():
		met = rest[1]
	case <-within(t).Done():
		t.Fatal("both others go on")
	}
	for _, m := range all {
		if got := m.state.all(); len(got) > 1 || len(got) == 1 && got[0] != "known" {
			t.Errorf("%s has %q", m.ID(), got)
		}
	}
	for _, m := range []*member{leader, met} {
		if err := m.Err(); !strings.Contains(err.Error(), "newer version") {
			t.Errorf("%s: %v", m.ID(), err)
		}
		if err := m.WaitIndex(within(t), 1<<40); !fault.Is(err, fault.Unavailable) {
			t.Errorf("%s: waiting on: %v", m.ID(), err)
		}
	}
}

func TestTLS(t *testing.T) {
	ca := mtlstest.NewCA(t)
	material := func(names ...string) *mtls.Material {
		m, err := mtls.Load(ca.Issue(names...))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	all, leader := cluster(t, func(id string, cfg *Config) { cfg.TLS = material(mtls.CoordinatorName(id)) })
	index := mustPropose(t, leader, "secret")
	for _, m := range all {
		if err := m.WaitIndex(within(t), index); err != nil {
			t.Fatal(err)
		}
	}

	// An agent has a certificate of the same authority, and no business here.
	refused := func(name string, config *tls.Config) {
		t.Helper()
		conn, err := tls.Dial("tcp", leader.Address(), config)
		if err == nil {
			defer conn.Close()
			_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
			_, err = conn.Read(make([]byte, 1)) // TLS 1.3: the refusal comes with the first read
		}
		var remote *net.OpError
		if !errors.As(err, &remote) || remote.Op != "remote error" {
			t.Errorf("%s: %v; expected a refusal", name, err)
		}
	}
	refused("an agent", material("a1.agent.backfleet").Client(mtls.CoordinatorName(leader.ID())))
	none := material("x").Client(mtls.CoordinatorName(leader.ID()))
	none.GetClientCertificate = nil
	refused("nobody", none)

	// One coordinator does not pass for another.
	layer := &streams{pass: &passport{}, material: material(mtls.CoordinatorName("c1"))}
	target := raft.ServerAddress(all[1].Address())
	layer.expected.Store(target, "c3")
	if _, err := layer.Dial(target, time.Second); !fault.Is(err, fault.Unauthenticated) || !strings.Contains(err.Error(), "is not coordinator c3") {
		t.Errorf("c2 taken for c3: %v", err)
	}
	layer.expected.Store(target, "c2")
	conn, err := layer.Dial(target, time.Second)
	if err != nil {
		t.Fatalf("c2 as c2: %v", err)
	}
	_ = conn.Close()
}

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &progress{}
		var wg sync.WaitGroup
		served := make([]error, 100)
		for i := range served {
			wg.Go(func() { served[i] = p.wait(t.Context(), uint64(i), nil, nil) })
		}
		gone, cancel := context.WithCancel(t.Context())
		wg.Go(func() {
			if err := p.wait(gone, 50, nil, nil); !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: %v", err)
			}
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		p.advance(60)
		p.advance(10) // never back
		synctest.Wait()
		if got := len(p.waiters); got != 39 || p.get() != 60 {
			t.Errorf("%d wait at %d", got, p.get())
		}
		p.advance(99)
		wg.Wait()
		if i := slices.IndexFunc(served, func(err error) bool { return err != nil }); i >= 0 {
			t.Errorf("waiter %d: %v", i, served[i])
		}
	})
}

// Reads that arrive during a confirmation share the next one, and never take
// one that began before them.
func TestReadRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r readRounds
		step, rounds := make(chan struct{}), uint64(0)
		confirm := func() (uint64, error) { rounds++; mine := rounds; <-step; return mine, nil }
		first := r.join(confirm)
		synctest.Wait() // under way
		second, third := r.join(confirm), r.join(confirm)
		if first == second || second != third {
			t.Fatal("wrong rounds")
		}
		close(step)
		<-second.done
		if first.commit != 1 || second.commit != 2 {
			t.Errorf("rounds %d and %d", first.commit, second.commit)
		}
		synctest.Wait()
		if r.busy || rounds != 2 {
			t.Errorf("busy %v after %d rounds", r.busy, rounds)
		}
	})
}

// sink collects a snapshot.
type sink struct{ bytes.Buffer }

func (*sink) ID() string    { return "test" }
func (*sink) Cancel() error { return nil }
func (*sink) Close() error  { return nil }

// A large write staged half when a snapshot is taken is completed by who was
// restored from it, the same as by who was not.
func TestStagingSurvivesSnapshot(t *testing.T) {
	data, g := []byte("first|second|third"), group{7}
	entries := [][]byte{encodePart(g, 0, data[:6]), encodePart(g, 1, data[6:13]), encodePart(g, 2, data[13:]), encodeSeal(g, 3, data)}
	for cut := range len(entries) {
		for _, term := range []uint64{4, 5} { // of the entries after the cut
			whole, before := newMachine(), newMachine()
			for i, e := range entries[:cut] {
				l := &raft.Log{Index: uint64(i + 1), Term: 4, Type: raft.LogCommand, Data: e}
				whole.Apply(l)
				before.Apply(l)
			}
			snapshot, err := before.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			var s sink
			if err := snapshot.Persist(&s); err != nil {
				t.Fatal(err)
			}
			after := newMachine()
			if err := after.Restore(io.NopCloser(&s.Buffer)); err != nil {
				t.Fatal(err)
			}
			for i, e := range entries[cut:] {
				l := &raft.Log{Index: uint64(cut + i + 1), Term: term, Type: raft.LogCommand, Data: e}
				if a, b := fmt.Sprint(whole.Apply(l)), fmt.Sprint(after.Apply(l)); a != b {
					t.Errorf("cut %d, term %d: %s and %s", cut, term, a, b)
				}
			}
			want := []string{string(data)}
			if cut > 0 && term != 4 { // the leader changed in the middle
				want = nil
			}
			got := after.fsm.(*journal).all()
			if !slices.Equal(got, want) || !slices.Equal(got, whole.fsm.(*journal).all()) {
				t.Errorf("cut %d, term %d: %q", cut, term, got)
			}
			if after.visible.Load() != uint64(len(entries)) || len(after.stage.parts) != 0 {
				t.Errorf("cut %d: at %d with %d parts left", cut, after.visible.Load(), len(after.stage.parts))
			}
		}
	}
}

func newMachine() *machine {
	return &machine{frozen: func(uint64) {}, applied: func() {}, fsm: &journal{}, reached: &progress{}, halt: func(error) {}}
}
