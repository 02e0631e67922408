package service

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"backfleet/api/server"
	"backfleet/coordinator/logstore"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// memoryLogs keeps logs in memory; every one has ended, unless all grow.
type memoryLogs struct {
	mu    sync.Mutex
	kept  map[logstore.Key]string
	asked []logstore.Key
	grow  bool
}

func (m *memoryLogs) put(k logstore.Key, text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kept == nil {
		m.kept = map[logstore.Key]string{}
	}
	m.kept[k] = text
}

func (m *memoryLogs) get(k logstore.Key) (string, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = append(m.asked, k)
	text, ok := m.kept[k]
	return text, ok && !m.grow
}

func (m *memoryLogs) Read(_ context.Context, k logstore.Key, offset uint64, maximum int) ([]byte, uint64, bool, error) {
	text, ended := m.get(k)
	if offset > uint64(len(text)) {
		return nil, offset, ended, nil
	}
	data := text[offset:min(len(text), int(offset)+maximum)]
	next := offset + uint64(len(data))
	return []byte(data), next, ended && next == uint64(len(text)), nil
}

func (m *memoryLogs) Size(_ context.Context, k logstore.Key, _ bool) (uint64, bool, error) {
	text, ended := m.get(k)
	return uint64(len(text)), ended, nil
}

func (m *memoryLogs) Follow(_ context.Context, k logstore.Key, offset uint64, fn func(uint64, []byte) error) error {
	text, _ := m.get(k)
	for i := offset; i < uint64(len(text)); i++ {
		if err := fn(i, []byte{text[i]}); err != nil {
			return err
		}
	}
	return nil
}

func TestLogsAreFoundByAttemptAndFence(t *testing.T) {
	r := newRig(t, daily("a", retries(1, 0)))
	r.agent("a1", "default", 1, wire.Agent_READY)
	id := r.submit(backfill("a", "2021-01-11"))
	read := func(attempt uint32, offset uint64, limit int) (server.LogRange, error) {
		return r.ReadLog(t.Context(), server.LogRef{Plan: id, Attempt: attempt}, offset, limit)
	}
	if _, err := read(0, 0, 10); !fault.Is(err, fault.NotFound) {
		t.Errorf("before the first attempt: %v", err)
	}
	r.run(id, failed, 0)
	r.start(id, 0)
	attempts := r.detail(id, 0).Attempts
	for k, text := range []string{"first", "second"} {
		r.logs.put(logstore.Key{Plan: id, Attempt: uint32(k + 1), Fence: attempts[k].Fence}, text)
	}
	for _, c := range []struct {
		attempt  uint32
		offset   uint64
		limit    int
		want     string
		complete bool
	}{
		{0, 0, 100, "second", true}, {2, 0, 100, "second", true}, {1, 0, 100, "first", true},
		{1, 1, 2, "ir", false}, {1, 5, 10, "", true}, {1, 0, 0, "", false},
	} {
		got, err := read(c.attempt, c.offset, c.limit)
		if err != nil {
			t.Fatal(err)
		}
		if string(got.Data) != c.want || got.Complete != c.complete || got.Offset != c.offset {
			t.Errorf("%+v: got %q %+v", c, got.Data, got)
		}
		if want := len(map[bool]string{true: "first", false: "second"}[got.Attempt == 1]); got.Size != uint64(want) {
			t.Errorf("%+v: size %d, want %d", c, got.Size, want)
		}
	}
	if _, err := read(1, 6, 10); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("past the end: %v", err)
	}
	if _, err := read(3, 0, 10); !fault.Is(err, fault.NotFound) {
		t.Errorf("an attempt that is none: %v", err)
	}
}

// Who has read on at another coordinator may be ahead of what this one knows.
func TestAGrowingLogMayBeAskedBeyondWhatIsHere(t *testing.T) {
	r := newRig(t, daily("a"))
	r.agent("a1", "default", 1, wire.Agent_READY)
	id := r.submit(backfill("a", "2021-01-11"))
	r.start(id, 0)
	r.logs.grow = true
	r.logs.put(logstore.Key{Plan: id, Attempt: 1, Fence: r.detail(id, 0).Attempts[0].Fence}, "so far")
	got, err := r.ReadLog(t.Context(), server.LogRef{Plan: id}, 100, 10)
	if err != nil || len(got.Data) > 0 || got.Offset != 100 || got.Size != 100 || got.Complete {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestFollowWaitsForTheFirstAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, daily("a"))
		r.Start()
		defer r.Stop()
		r.agent("a1", "default", 1, wire.Agent_READY)
		id := r.submit(backfill("a", "2021-01-11"))
		var text string
		var ends int
		done := make(chan error)
		go func() {
			done <- r.FollowLog(t.Context(), server.LogRef{Plan: id}, 1, func(g server.LogRange) error {
				text += string(g.Data)
				if g.Complete {
					ends++
				}
				return nil
			})
		}()
		synctest.Wait()
		if len(r.logs.asked) > 0 {
			t.Fatal("a log was read before there was an attempt")
		}
		r.logs.put(logstore.Key{Plan: id, Attempt: 1, Fence: r.log.index + 1}, "hello")
		r.start(id, 0)
		if err := <-done; err != nil || text != "ello" || ends != 1 {
			t.Errorf("got %q, %d ends, %v", text, ends, err)
		}
	})
}

func TestADryRunHasNoLog(t *testing.T) {
	r := newRig(t, daily("a"))
	id := r.submit(backfill("a", "2021-01-11", func(q *wire.Request) { q.DryRun = true }))
	r.turn(&wire.Turn{DryRuns: []*wire.DryRuns{{Plan: id, Instances: []uint64{0}}}})
	err := r.FollowLog(t.Context(), server.LogRef{Plan: id}, 0, func(server.LogRange) error { return nil })
	if !fault.Is(err, fault.NotFound) {
		t.Errorf("got %v", err)
	}
}
