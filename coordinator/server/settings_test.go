package server

import (
	"bytes"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"backfleet/coordinator/logstore"
	"backfleet/coordinator/state"
	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

func TestR10_4_SettingsAreRefusedByName(t *testing.T) {
	for field, change := range map[string]func(*Settings){
		"schedule-catch-up":    func(s *Settings) { s.CatchUp = -time.Second },
		"keep-instances":       func(s *Settings) { s.KeepInstances = 0 },
		"keep-logs-shared":     func(s *Settings) { s.KeepLogsShared = time.Minute },
		"keep-logs-exclusive":  func(s *Settings) { s.KeepLogsExclusive = 20 * 366 * 24 * time.Hour },
		"backfill-patience":    func(s *Settings) { s.BackfillPatience = 0 },
		"conflict-yields":      func(s *Settings) { s.ConflictYields = 0 },
		"limit-groups":         func(s *Settings) { s.MaxGroups = 1001 },
		"schedule-generate-at": func(s *Settings) { s.GenerateAt = calendar.Clock(24 * 3600) },
		"logs-cut-at":          func(s *Settings) { s.LogsCutAt = -1 },
	} {
		set := DefaultSettings()
		change(&set)
		c := Config{ID: "c1", DataDir: t.TempDir(), Settings: &set}
		if err := c.complete(); !fault.Is(err, fault.Invalid) || !strings.HasPrefix(err.Error(), field+": ") {
			t.Errorf("%s: %v", field, err)
		}
	}
	c := Config{ID: "c1", DataDir: t.TempDir()}
	if err := c.complete(); err != nil || *c.Settings != DefaultSettings() {
		t.Errorf("the defaults: %+v, %v", c.Settings, err)
	}
}

// offset is a clock that a test moves.
type offset struct{ atomic.Int64 }

func (o *offset) now() time.Time { return time.Now().Add(time.Duration(o.Load())) }

func propose(t *testing.T, s *Server, c *wire.Command) *wire.Answer {
	t.Helper()
	_, r, err := s.log.Propose(within(t), c)
	if err != nil {
		t.Fatal(err)
	}
	return r.Answer
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := within(t); !ok(); {
		select {
		case <-tick.C:
		case <-end.Done():
			t.Fatalf("%s did not come", what)
		}
	}
}

func nodes(on bool, schedule *wire.Schedule) *wire.Command {
	return &wire.Command{Body: &wire.Command_ApplyNodes{ApplyNodes: &wire.ApplyNodes{Nodes: []*wire.Node{
		{Id: "a", Code: "true", Auto: on, ResourceGroup: "etl", Schedule: schedule},
	}}}}
}

func TestR10_AMonthOfACoordinatorsTime(t *testing.T) {
	var clock offset
	s := alone(t, Config{Now: clock.now})
	propose(t, s, nodes(true, &wire.Schedule{Kind: wire.Schedule_DAILY}))
	through := func() calendar.Date { d, _ := s.machine.State().GeneratedThrough(); return d }
	await(t, "the running day", func() bool { return through() > 0 })
	plans := func() (n int) {
		s.machine.State().Plans(0, func(*state.Plan) bool { n++; return true })
		return n
	}
	began := through()

	// A week off: every day of it is made up for when somebody looks again.
	clock.Store(int64(7 * 24 * time.Hour))
	propose(t, s, nodes(true, &wire.Schedule{Kind: wire.Schedule_DAILY, At: 60}))
	await(t, "the week", func() bool { return through() >= began+7 })
	if n := plans(); n < 8 {
		t.Errorf("%d days of the schedule, want the first and seven more", n)
	}

	// An attempt of the week, its log, and what comes of it.
	propose(t, s, &wire.Command{Body: &wire.Command_Turn{Turn: &wire.Turn{Agents: []*wire.Agent{{
		Id: "x", Incarnation: "1", State: wire.Agent_READY, Groups: []*wire.GroupSlots{{Group: "etl", Slots: 1}},
	}}}}})
	first, _ := s.machine.State().AutoPlan(through() - 1)
	index, _, err := s.log.Propose(within(t), &wire.Command{Body: &wire.Command_Turn{Turn: &wire.Turn{Grants: []*wire.Grant{
		{Plan: first.ID, Instance: 0, Agent: "x", ResourceGroup: "etl"},
	}}}})
	if err != nil {
		t.Fatal(err)
	}
	key := logstore.Key{Plan: first.ID, Attempt: 1, Fence: index}
	if f, ok := s.fate(key); !ok || !f.Ended.IsZero() || f.Keep != 7*24*time.Hour {
		t.Errorf("the log of an attempt that runs: %+v, %v", f, ok)
	}
	ended := clock.now().UnixMilli()
	propose(t, s, &wire.Command{Body: &wire.Command_Turn{Turn: &wire.Turn{Finishes: []*wire.Finish{
		{Plan: first.ID, Instance: 0, Fence: index, Outcome: wire.Outcome_FAILED, StartedMs: ended - 5, EndedMs: ended + 3_600_000},
	}}}})
	f, ok := s.fate(key)
	if !ok || f.Ended.UnixMilli() < ended || f.Ended.After(clock.now()) {
		t.Errorf("the log of an attempt whose agent's clock is ahead: %+v, %v; want the moment of its report", f, ok)
	}
	propose(t, s, &wire.Command{Body: &wire.Command_PutResourceGroup{PutResourceGroup: &wire.PutResourceGroup{Name: "etl", Kind: wire.PutResourceGroup_EXCLUSIVE}}})
	if f, _ := s.fate(key); f.Keep != 30*24*time.Hour {
		t.Errorf("in an exclusive group it is kept %v", f.Keep)
	}
	if _, ok := s.fate(logstore.Key{Plan: 999}); ok {
		t.Error("an unknown plan's attempt is known")
	}
	chunk := &wire.LogChunk{Ref: key.Ref(), Size: 3, Data: frame("ok\n"), Last: true}
	if acks, err := s.logs.Append(within(t), []*wire.LogChunk{chunk}); err != nil || acks[0].Error != "" {
		t.Fatal(acks, err)
	}

	// Thirty days on, both the logs and the plans have had their time.
	propose(t, s, nodes(false, nil))
	clock.Store(int64(38 * 24 * time.Hour))
	if done, err := s.sweeper().Sweep(within(t)); err != nil || done.ClearedBytes != 3 {
		t.Fatalf("swept %+v, %v", done, err)
	}
	if _, _, _, err := s.reader.Read(within(t), key, 0, 0); !logstore.IsCleared(err) {
		t.Errorf("the log: %v", err)
	}
	if text := scrape(t, s); !strings.Contains(text, "\nbackfleet_log_cleared_bytes_total{why=\"retention\"} 3") || !strings.Contains(text, "\nbackfleet_running_instances{group=\"etl\",kind=\"auto\"} 0") {
		t.Error("the figures do not tell what was cleared, or who runs")
	}
}

var encoder, _ = zstd.NewWriter(nil)

func frame(text string) []byte { return bytes.Clone(encoder.EncodeAll([]byte(text), nil)) }
