package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"backfleet/coordinator/logstore"
	"backfleet/coordinator/raftnode"
	"backfleet/coordinator/state"
	"backfleet/pkg/calendar"
	"backfleet/pkg/cri"
	"backfleet/pkg/fault"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

func TestR10_4_SettingsAreRefusedByName(t *testing.T) {
	for field, change := range map[string]func(*Settings){
		"schedule-catch-up":    func(s *Settings) { s.CatchUp = -time.Second },
		"keep-instances":       func(s *Settings) { s.KeepInstances = 0 },
		"keep-agents":          func(s *Settings) { s.KeepAgents = time.Second },
		"keep-logs-shared":     func(s *Settings) { s.KeepLogsShared = time.Minute - time.Second },
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
	set := DefaultSettings()
	set.KeepInstances = 40 * 24 * time.Hour
	s := alone(t, Config{Now: clock.now, Settings: &set})
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
	left := cutLog(t, s, key)

	// Thirty days on, the logs have had their time, and after forty the plans.
	propose(t, s, nodes(false, nil))
	clock.Store(int64(38 * 24 * time.Hour))
	if done, err := s.sweeper().Sweep(within(t)); err != nil || done.ClearedBytes != left {
		t.Fatalf("swept %+v, %v", done, err)
	}
	if _, status, body := logPage(t, s, key, ""); status != http.StatusNotFound || !strings.Contains(body, "was cleared") {
		t.Errorf("its log: %d %s", status, body)
	}
	text := scrape(t, s)
	if strings.Contains(text, "{why=\"cut\"} 0\n") || strings.Contains(text, "{why=\"retention\"} 0\n") || !strings.Contains(text, "\nbackfleet_running_instances{group=\"etl\",kind=\"auto\"} 0") {
		t.Error("the figures do not tell what was cleared, or who runs")
	}
	clock.Store(int64(48 * 24 * time.Hour))
	propose(t, s, nodes(false, &wire.Schedule{Kind: wire.Schedule_DAILY}))
	await(t, "the end of the plans", func() bool { _, ok := s.machine.State().Plan(first.ID); return !ok })
}

var encoder, _ = zstd.NewWriter(nil)

// cutLog gives an attempt that has ended a log of 5 MB, has it cut, and reads
// what is left of it in each way that the API has.
func cutLog(t *testing.T, s *Server, key logstore.Key) (left uint64) {
	t.Helper()
	var stream []byte
	for i := 0; len(stream) < 5_000_000; i++ {
		stream = cri.AppendLine(stream, s.cfg.Now(), cri.Stdout, false, fmt.Appendf(nil, "line %d", i))
	}
	var chunks []*wire.LogChunk
	for from := 0; from < len(stream); from += 256 << 10 {
		to := min(from+256<<10, len(stream))
		chunks = append(chunks, &wire.LogChunk{
			Ref: key.Ref(), Offset: uint64(from), Size: uint32(to - from), Data: encoder.EncodeAll(stream[from:to], nil), Last: to == len(stream),
		})
	}
	acks, err := s.logs.Append(within(t), chunks)
	if err != nil || acks[len(acks)-1].Offset != uint64(len(stream)) {
		t.Fatal(acks, err)
	}
	done, err := s.sweeper().Sweep(within(t))
	if left = uint64(len(stream)) - done.CutBytes; err != nil || done.Cut != 1 || left > 3_145_728 {
		t.Fatalf("swept %+v, %v: %d bytes are left", done, err, left)
	}
	all := strings.Count(string(stream), "\n")
	last := fmt.Sprintf("line %d", all-1)

	var texts []string // in pages
	for next, complete := uint64(0), false; !complete; {
		p, status, body := logPage(t, s, key, fmt.Sprintf("&limit=700000&offset=%d", next))
		if status != http.StatusOK || p.Next <= next {
			t.Fatalf("at %d: %d %.300s", next, status, body)
		}
		for _, l := range p.Lines {
			if l.Offset < uint64(len(stream)) && !strings.Contains(l.Text, "cleared") && !bytes.Contains(stream[l.Offset:min(int(l.Offset)+80, len(stream))], []byte(l.Text+"\n")) {
				t.Fatalf("%q is said to be at %d", l.Text, l.Offset)
			}
			texts = append(texts, l.Text)
		}
		next, complete = p.Next, p.Complete
	}
	at := slices.IndexFunc(texts, func(l string) bool { return strings.Contains(l, "bytes cleared here") })
	if at < 1000 || texts[0] != "line 0" || texts[at-1] != fmt.Sprintf("line %d", at-1) || texts[len(texts)-1] != last || len(texts) >= all {
		t.Fatalf("%d lines of %d, the cut after %d", len(texts), all, at)
	}
	tail := len(texts) - at + 5 // reaches over the cut
	p, status, body := logPage(t, s, key, fmt.Sprintf("&tail=%d", tail))
	if status != http.StatusOK || len(p.Lines) != tail || p.Lines[5].Text != texts[at] || p.Lines[tail-1].Text != last {
		t.Errorf("the tail: %d lines, %d %.300s", len(p.Lines), status, body)
	}
	got, err := http.Get(s.HTTPAddress() + "/v1/instances/" + plan.FormatInstance(key.Plan, key.Instance) + "/logs/follow")
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	followed, err := io.ReadAll(got.Body)
	if err != nil || !bytes.Contains(followed, []byte(texts[at])) || !bytes.Contains(followed, []byte(last)) || !bytes.Contains(followed, []byte(fmt.Sprintf("\"next\":%d", len(stream)))) {
		t.Errorf("followed %d bytes, %v", len(followed), err)
	}
	return left
}

type logLines struct {
	Next     uint64
	Complete bool
	Lines    []struct {
		Offset uint64
		Text   string
	}
}

// logPage reads a page of a log over HTTP.
func logPage(t *testing.T, s *Server, key logstore.Key, query string) (p logLines, status int, body string) {
	t.Helper()
	got, err := http.Get(s.HTTPAddress() + "/v1/instances/" + plan.FormatInstance(key.Plan, key.Instance) + "/logs?attempt=1" + query)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err == nil && got.StatusCode == http.StatusOK {
		err = json.Unmarshal(text, &p)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p, got.StatusCode, string(text)
}

func TestBoundsOfTheLogAreRefusedByName(t *testing.T) {
	for field, bounds := range map[string]raftnode.Compaction{
		"raft-snapshot-entries": {SnapshotEntries: 1 << 63},
		"raft-snapshot-bytes":   {SnapshotBytes: -1},
		"raft-trailing-entries": {TrailingEntries: 20_000_000},
		"raft-trailing-bytes":   {TrailingBytes: 1 << 40},
	} {
		c := Config{ID: "c1", DataDir: t.TempDir(), Compaction: bounds}
		if err := c.complete(); !fault.Is(err, fault.Invalid) || !strings.HasPrefix(err.Error(), field+": ") {
			t.Errorf("%s: %v", field, err)
		}
	}
}
