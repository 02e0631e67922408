package raftnode

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// journal is an FSM: the list of everything applied.
type journal struct {
	mu    sync.Mutex
	lines []string
}

var errRefused = errors.New("refused by the state machine")

func (j *journal) Apply(_ uint64, data []byte) any {
	if strings.HasPrefix(string(data), "unknown:") {
		return &Halt{errors.New("command of a newer version")}
	}
	if strings.HasPrefix(string(data), "refuse:") {
		return errRefused
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, string(data))
	return len(j.lines)
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.lines)
}

type journalSnapshot []string

func (j *journal) Snapshot() (Snapshot, error)     { return journalSnapshot(j.all()), nil }
func (s journalSnapshot) Encode(w io.Writer) error { return json.NewEncoder(w).Encode([]string(s)) }

func (j *journal) Restore(r io.Reader) error {
	var lines []string
	if err := json.NewDecoder(r).Decode(&lines); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = lines
	return nil
}

// member is a node with its state and a channel that gets its terms.
type member struct {
	*Node
	state *journal
	cfg   Config
	terms chan uint64
}

func testLogger(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
}

// start opens a node and stops it with the test.
func start(t *testing.T, cfg Config) *member {
	t.Helper()
	m := &member{state: &journal{}, terms: make(chan uint64, 64)}
	cfg.FSM = m.state
	if cfg.Logger == nil {
		cfg.Logger = testLogger(t)
	}
	n, err := Open(cfg)
	if err != nil {
		t.Fatalf("open %s: %v", cfg.ID, err)
	}
	m.Node, m.cfg = n, cfg
	m.cfg.Listen = n.Address() // the same port when it comes back
	led := make(chan struct{})
	go func() {
		defer close(led)
		n.Lead(context.Background(), func(ctx context.Context, term uint64) {
			m.terms <- term
			<-ctx.Done()
		})
	}()
	t.Cleanup(func() {
		abrupt, cancel := context.WithCancel(context.Background())
		cancel()
		_ = n.Stop(abrupt)
		<-led
	})
	return m
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// leads waits until one of the members has begun its scope.
func leads(t *testing.T, members ...*member) *member {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		for _, m := range members {
			select {
			case <-m.terms:
				if _, ok := m.Established(); ok {
					return m
				}
			default:
			}
		}
		select {
		case <-deadline:
			t.Fatal("no leader")
		case <-time.After(time.Millisecond):
		}
	}
}

func others(all []*member, one *member) (rest []*member) {
	for _, m := range all {
		if m != one {
			rest = append(rest, m)
		}
	}
	return rest
}

// cluster starts three nodes: one bootstraps, two are added and promoted.
func cluster(t *testing.T, configure func(id string, cfg *Config)) ([]*member, *member) {
	t.Helper()
	var all []*member
	for i := range 3 {
		cfg := Config{ID: fmt.Sprintf("c%d", i+1), DataDir: t.TempDir(), Listen: "127.0.0.1:0", Bootstrap: i == 0}
		if configure != nil {
			configure(cfg.ID, &cfg)
		}
		all = append(all, start(t, cfg))
	}
	leader := leads(t, all[0])
	for _, m := range all[1:] {
		if err := leader.AddServer(within(t), m.ID(), m.Address()); err != nil {
			t.Fatalf("add %s: %v", m.ID(), err)
		}
	}
	eventually(t, "three voters", func() bool { return voters(leader.Node) == 3 })
	return all, leader
}

func voters(n *Node) (count int) {
	servers, _ := n.Servers()
	for _, s := range servers {
		if s.Voter {
			count++
		}
	}
	return count
}

// eventually is for what only the real network and disk decide.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline, tick := time.After(20*time.Second), time.NewTicker(2*time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}

func mustPropose(t *testing.T, m *member, data string) uint64 {
	t.Helper()
	index, result, err := m.Propose(within(t), []byte(data))
	if err != nil {
		t.Fatalf("propose %.20q: %v", data, err)
	}
	if n, ok := result.(int); !ok || n < 1 {
		t.Fatalf("propose %.20q: result %v", data, result)
	}
	return index
}
