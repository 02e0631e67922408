package explain

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// world is a source of what a test puts into it.
type world struct {
	details map[string]*v1.InstanceDetail
	order   []string
	plan    v1.Backfill
	nodes   map[string]v1.Node
	held    []v1.AgentAttempt
	stderr  []string
	calls   int
	broken  error
}

func newWorld() *world {
	return &world{details: map[string]*v1.InstanceDetail{}, nodes: map[string]v1.Node{},
		plan: v1.Backfill{Summary: v1.BackfillSummary{ID: "b1", Name: "orders"}}}
}

func (w *world) put(id, node, date string, state v1.State, reason *v1.Reason) *v1.InstanceDetail {
	d := &v1.InstanceDetail{Instance: v1.Instance{ID: id, Backfill: strings.Split(id, ".")[0], Node: node, Date: date, State: state}, Reason: reason}
	w.details[id] = d
	w.order = append(w.order, id)
	c := &w.plan.Summary.Counts
	*map[v1.State]*int64{v1.StateFailed: &c.Failed, v1.StateRunning: &c.Running, v1.StateSucceeded: &c.Succeeded,
		v1.StateFrozen: &c.Frozen, v1.StateWaitingTime: &c.WaitingTime, v1.StateNotRunning: &c.NotRunning}[state]++
	c.Total++
	return d
}

func (w *world) Instance(_ context.Context, id string) (*v1.InstanceDetail, error) {
	w.calls++
	if w.broken != nil {
		return nil, w.broken
	}
	if d := w.details[id]; d != nil {
		return d, nil
	}
	return nil, fault.New(fault.NotFound, "instance %s does not exist", id)
}

func (w *world) Backfill(_ context.Context, id string) (*v1.Backfill, error) {
	w.calls++
	if id != w.plan.Summary.ID {
		return nil, fault.New(fault.NotFound, "no backfill %s", id)
	}
	return &w.plan, nil
}

func (w *world) Node(_ context.Context, id string) (*v1.NodeDetail, error) {
	w.calls++
	if n, ok := w.nodes[id]; ok {
		return &v1.NodeDetail{Node: n}, nil
	}
	return nil, fault.New(fault.NotFound, "no node %s", id)
}

func (w *world) ResourceGroup(context.Context, string) (*v1.ResourceGroup, error) {
	w.calls++
	waiting := 9
	return &v1.ResourceGroup{Name: "default", Slots: 8, Used: 8, Backfills: 6, Waiting: &waiting}, nil
}

func (w *world) Instances(_ context.Context, f Filter) (out []v1.Instance, more bool, err error) {
	w.calls++
	for _, id := range w.order {
		i := w.details[id].Instance
		if i.Backfill != f.Backfill || f.Node != "" && i.Node != f.Node || f.From != "" && (i.Date < f.From || i.Date > f.To) || !slices.Contains(f.States, i.State) {
			continue
		}
		if len(out) == f.Limit {
			return out, true, nil
		}
		out = append(out, i)
	}
	return out, false, nil
}

func (w *world) Holders(context.Context, string) ([]v1.AgentAttempt, error) {
	w.calls++
	return w.held, nil
}

func (w *world) Stderr(context.Context, string, int, int) ([]string, error) {
	w.calls++
	if w.stderr == nil {
		return nil, fault.New(fault.NotFound, "the log is gone")
	}
	return w.stderr, nil
}

func explained(t *testing.T, w *world, id string, o Options) *Story {
	t.Helper()
	o.Now = now
	s, err := Instance(context.Background(), w, id, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// drawn writes a tree by its ids and texts.
func drawn(c *Cause) string {
	var b strings.Builder
	var visit func(c *Cause, depth int)
	visit = func(c *Cause, depth int) {
		fmt.Fprintf(&b, "%s%s %s", strings.Repeat(" ", depth), c.Instance, c.Text)
		if c.More > 0 || c.Least {
			fmt.Fprintf(&b, " +%d", c.More)
		}
		if c.Cut {
			b.WriteString(" cut")
		}
		b.WriteString("\n")
		for _, d := range c.Because {
			visit(d, depth+1)
		}
	}
	visit(c, 0)
	return b.String()
}

func is(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestChainIsFollowedToWhatFailed(t *testing.T) {
	w := newWorld()
	w.stderr = []string{"boom"}
	w.nodes["report"] = v1.Node{ID: "report", Upstreams: []v1.Upstream{{Node: "clean"}, {Node: "rates", Window: &v1.DateWindow{From: -1}}, {Node: "gone"}, {Node: "own", Previous: true}}}
	src := w.put("b1.0", "src", "2024-01-01", v1.StateFailed, nil)
	src.Instance.Attempts, src.Instance.Cause, src.Attempts = 3, "exit code 3", []v1.Attempt{{Number: 3}}
	for k := range 5 {
		w.put(fmt.Sprintf("b1.%d", 10+k), fmt.Sprintf("other%d", k), "2024-01-01", v1.StateNotRunning, &v1.Reason{Code: v1.ReasonCodeUpstream, Instance: "b1.0", Backfill: "b1", Text: "upstream b1.0 has failed"})
	}
	w.put("b1.20", "rates", "2024-01-01", v1.StateSucceeded, nil)
	run := w.put("b1.21", "rates", "2024-01-02", v1.StateRunning, nil)
	since := now.Add(-time.Minute)
	run.Instance.Agent, run.Instance.StartedAt = "a1", &since
	w.put("b1.22", "clean", "2024-01-02", v1.StateNotRunning, &v1.Reason{Code: v1.ReasonCodeGate, Date: "2024-01-01", Backfill: "b1", Text: "2024-01-01 has not finished"})
	w.put("b1.23", "report", "2024-01-02", v1.StateNotRunning, &v1.Reason{Code: v1.ReasonCodeUpstream, Instance: "b1.22", Backfill: "b1", Text: "upstream b1.22 has not started"})
	s := explained(t, w, "b1.23", Options{Breadth: 3})
	is(t, s.Sentence, "b1.23 (report of 2024-01-02) waits, in the end because b1.0 (src of 2024-01-01) has failed at all of its 3 attempts: exit code 3, and for one more cause.")
	is(t, drawn(s.Root), `b1.23 upstream b1.22 has not started
 b1.22 2024-01-01 has not finished
  b1.0 has failed at all of its 3 attempts: exit code 3
   5 others wait
 b1.21 runs at agent a1 for 1m0s
`)
	if r := s.Roots; len(r) != 2 || r[0].Instance != "b1.0" || !slices.Equal(r[0].Lines, w.stderr) || !strings.Contains(r[0].Do, "rerun b1.0") || r[1].Instance != "b1.21" {
		t.Errorf("%+v", r)
	}
	if w.calls > 20 {
		t.Errorf("%d calls", w.calls)
	}
}

// TestWhatIsAlikeIsCounted: a date that waits for the first of its group is
// followed to that; those of it that wait for the same are one.
func TestWhatIsAlikeIsCounted(t *testing.T) {
	w := newWorld()
	w.plan.Request.OnFailure = v1.OnFailureHold
	w.plan.Groups = []v1.GroupProgress{{Group: 1, Current: "2024-01-01"}}
	w.put("b1.0", "src", "2023-12-31", v1.StateFrozen, &v1.Reason{Code: v1.ReasonCodeFrozen, Text: "frozen by ann"})
	for k := range 9 {
		w.put(fmt.Sprintf("b1.%d", 10+k), "n", "2024-01-01", v1.StateNotRunning, &v1.Reason{Code: v1.ReasonCodePreviousCycle, Instance: "b1.0", Backfill: "b1", Text: "previous cycle b1.0 is frozen"})
	}
	d := w.put("b1.40", "n", "2024-01-09", v1.StateNotRunning, &v1.Reason{Code: v1.ReasonCodeGate, Date: "2024-01-08", Backfill: "b1", Text: "2024-01-08 has not finished"})
	d.Instance.Group = 1
	s := explained(t, w, "b1.40", Options{})
	is(t, drawn(s.Root), `b1.40 2024-01-08 has not finished; 2024-01-01 is the first of the group that has not
 b1.10 previous cycle b1.0 is frozen +8
  b1.0 frozen by ann
`)
	is(t, s.Sentence, "b1.40 (n of 2024-01-09) waits, in the end because b1.0 (src of 2023-12-31): frozen by ann.")
	if lines := Lines(s.Root, func(v1.State) string { return "x" }); lines[len(lines)-1] != "└─ …and 8 more like it" {
		t.Errorf("%q", lines)
	}
}

func TestBounds(t *testing.T) {
	w := newWorld()
	for k := range 50 { // each waits for the next
		w.put(fmt.Sprintf("b1.%d", k), "n", "2024-01-01", v1.StateNotRunning, &v1.Reason{Code: v1.ReasonCodeSelfDependency, Instance: fmt.Sprintf("b1.%d", k+1), Text: "its own cycle before"})
	}
	s := explained(t, w, "b1.0", Options{Depth: 2})
	is(t, drawn(s.Root), "b1.0 its own cycle before\n b1.1 its own cycle before\n  b1.2 its own cycle before cut\n")
	w.calls = 0
	if s = explained(t, w, "b1.0", Options{Depth: 100, Calls: 4}); w.calls > 5 || !strings.Contains(drawn(s.Root), "not asked") {
		t.Errorf("%d calls\n%s", w.calls, drawn(s.Root))
	}
	// A circle, which there never is, ends as well; so does what is gone.
	w.details["b1.1"].Reason.Instance = "b1.0"
	is(t, drawn(explained(t, w, "b1.0", Options{}).Root), "b1.0 its own cycle before\n b1.1 its own cycle before\n  b1.0 shown above\n")
	is(t, drawn(explained(t, w, "b1.49", Options{}).Root), "b1.49 its own cycle before\n b1.50 it is gone by now\n")
	if _, err := Instance(context.Background(), w, "b9.1", Options{}); !fault.Is(err, fault.NotFound) {
		t.Error(err)
	}
}

func TestEveryReason(t *testing.T) {
	for _, c := range []struct {
		reason         v1.Reason
		sentence, does string
	}{
		{v1.Reason{Code: v1.ReasonCodeNotDue, Text: "due at noon"}, "b1.5 (n of 2024-01-01) waits: due at noon.", ""},
		{v1.Reason{Code: v1.ReasonCodePaused, Text: "backfill b1 is paused"}, "b1.5 (n of 2024-01-01) waits: backfill b1 is paused.", "backfleet backfill resume b1"},
		{v1.Reason{Code: v1.ReasonCodeStopped, Text: "backfill b1 is stopped"}, "b1.5 (n of 2024-01-01) waits: backfill b1 is stopped.", "backfleet backfill resume b1"},
		{v1.Reason{Code: v1.ReasonCodeHalted, Text: "halted"}, "b1.5 (n of 2024-01-01) waits, in the end because b1.1 (f of 2024-01-01) has failed.", "backfleet instance logs b1.1"},
		{v1.Reason{Code: v1.ReasonCodeMaxRunning, Text: "b1 runs 1 of at most 1"}, "b1.5 (n of 2024-01-01) waits, in the end because b1 runs 1 of at most 1.", "--max-running"},
		{v1.Reason{Code: v1.ReasonCodeNoAgent, ResourceGroup: "etl", Text: "no agent"}, "b1.5 (n of 2024-01-01) waits: no agent.", "agent list --group etl"},
		{v1.Reason{Code: v1.ReasonCodeSlot, ResourceGroup: "default", Text: "waits for a slot"},
			`b1.5 (n of 2024-01-01) waits, in the end because resource group "default" uses 8 of its 8 slots, backfills 6 of them; 9 wait for one.`, "resource-group set"},
		{v1.Reason{Code: v1.ReasonCodeOverlap, Instance: "b1.2", Text: "the same cycle"}, "b1.5 (n of 2024-01-01) waits, in the end because b1.2 (r of 2024-01-01) runs.", ""},
	} {
		w := newWorld()
		w.held = []v1.AgentAttempt{{Instance: "b1.2", Slots: 1, Since: now}, {Instance: "b2.2", Slots: 2, Since: now.Add(-time.Hour), Stopping: true}}
		w.put("b1.1", "f", "2024-01-01", v1.StateFailed, nil)
		w.put("b1.2", "r", "2024-01-01", v1.StateRunning, nil)
		w.put("b1.5", "n", "2024-01-01", v1.StateNotRunning, &c.reason)
		s := explained(t, w, "b1.5", Options{Breadth: 1})
		is(t, s.Sentence, c.sentence)
		if !strings.Contains(s.Roots[0].Do, c.does) {
			t.Errorf("%s: %q", c.reason.Code, s.Roots[0].Do)
		}
		if c.reason.Code == v1.ReasonCodeSlot {
			is(t, drawn(s.Root), "b1.5 waits for a slot\n  resource group \"default\" uses 8 of its 8 slots, backfills 6 of them; 9 wait for one\n"+
				"  b2.2 has 2 of them since 2026-11-22 11:00:00 UTC, and is being stopped +1\n")
		}
	}
}

func TestWhatDoesNotWait(t *testing.T) {
	w := newWorld()
	start, end := now.Add(-time.Hour), now
	ok := w.put("b1.1", "n", "2024-01-01", v1.StateSucceeded, nil)
	ok.Instance.StartedAt, ok.Instance.EndedAt, ok.Instance.Agent = &start, &end, "a1"
	w.put("b1.2", "n", "2024-01-02", v1.StateSucceeded, nil).Instance.SetToSuccess = true
	w.put("b1.3", "n", "2024-01-03", v1.StateSucceeded, nil).Instance.DryRun = v1.DryRunReasonBlacklisted
	w.put("b1.4", "n", "2024-01-04", v1.StateNotRunning, nil)
	w.put("b1.5", "n", "2024-01-05", v1.StateRunning, nil).Conflict = &v1.Reason{Text: "b2.1 waits for it"}
	w.put("b1.6", "n", "2024-01-06", v1.StateFrozen, &v1.Reason{Code: v1.ReasonCodeFrozen, Text: "frozen by ann"})
	for id, want := range map[string]string{
		"b1.1": "b1.1 (n of 2024-01-01) has succeeded at 2026-11-22 12:00:00 UTC after 1h0m0s at agent a1.",
		"b1.2": "b1.2 (n of 2024-01-02) was set to success.",
		"b1.3": "b1.3 (n of 2024-01-03) has succeeded as a dry run (blacklisted).",
		"b1.4": "b1.4 (n of 2024-01-04) waits: may start at any moment.",
		"b1.5": "b1.5 (n of 2024-01-05) runs; b2.1 waits for it.",
		"b1.6": "b1.6 (n of 2024-01-06) is held: frozen by ann.",
	} {
		is(t, explained(t, w, id, Options{}).Sentence, want)
	}
}

func TestABrokenSourceIsTold(t *testing.T) {
	w := newWorld()
	w.put("b1.1", "n", "2024-01-01", v1.StateNotRunning, &v1.Reason{Code: v1.ReasonCodeSelfDependency, Instance: "b1.0", Text: "x"})
	w.broken = errors.New("broken")
	if _, err := Instance(context.Background(), w, "b1.1", Options{}); !errors.Is(err, w.broken) {
		t.Error(err)
	}
	if _, err := Backfill(context.Background(), w, "b2", Options{}); !fault.Is(err, fault.NotFound) {
		t.Error(err)
	}
}

func TestBackfillsCausesAreGrouped(t *testing.T) {
	w := newWorld()
	for k := range 7 {
		w.put(fmt.Sprintf("b1.%d", k), "src", "2024-01-01", v1.StateFailed, nil).Instance.Cause = "exit code 3"
	}
	w.put("b1.8", "clean", "2024-01-01", v1.StateFailed, nil).Instance.Cause = "timeout"
	w.put("b1.9", "hold", "2024-01-01", v1.StateFrozen, &v1.Reason{Code: v1.ReasonCodeFrozen, Text: "frozen by ann"})
	w.put("b1.20", "load", "2024-01-02", v1.StateNotRunning, &v1.Reason{Code: v1.ReasonCodeSlot, ResourceGroup: "default", Text: "waits for a slot"})
	w.put("b1.21", "load", "2024-01-03", v1.StateNotRunning, &v1.Reason{Code: v1.ReasonCodeSlot, ResourceGroup: "default", Text: "waits for a slot"})
	w.put("b1.22", "load", "2024-01-03", v1.StateRunning, nil)
	w.plan.Groups = []v1.GroupProgress{
		{Group: 1, Current: "2024-01-02", Counts: v1.StateCounts{NotRunning: 40}},
		{Group: 2, Current: "2024-01-03", Counts: v1.StateCounts{NotRunning: 30, Running: 1}},
		{Group: 3, Counts: v1.StateCounts{Succeeded: 9}},
	}
	h, err := Backfill(context.Background(), w, "b1", Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range h.Causes {
		got = append(got, fmt.Sprintf("%d %s %v", c.Holds, c.Text, c.Instances))
	}
	is(t, strings.Join(got, "\n"), `7 src failed: exit code 3 [b1.0 b1.1 b1.2 b1.3 b1.4]
1 clean failed: timeout [b1.8]
1 frozen by ann [b1.9]
70 resource group "default" uses 8 of its 8 slots, backfills 6 of them; 9 wait for one [b1.20 b1.21]
30 load runs [b1.22]`)
	is(t, h.Sentence, "b1 (orders) is held in part: src failed: exit code 3.")
	if d := h.Causes[0].Do; !strings.Contains(d, "backfill rerun b1 --failed") {
		t.Error(d)
	}
}

func TestBackfillsThatAreHeldAsAWholeOrNotAtAll(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*world)
		want   string
	}{
		{"done", func(w *world) { w.put("b1.0", "n", "2024-01-01", v1.StateSucceeded, nil) }, "b1 (orders) is done: 1 of 1 instances succeeded. []"},
		{"runs", func(w *world) { w.put("b1.0", "n", "2024-01-01", v1.StateRunning, nil) }, "b1 (orders) goes on: 0 of 1 instances succeeded, 1 run. []"},
		{"begins", func(w *world) { w.put("b1.0", "n", "2024-01-01", v1.StateNotRunning, nil) }, "b1 (orders) is about to go on: 0 of 1 instances succeeded. []"},
		{"paused", func(w *world) {
			w.put("b1.0", "n", "2024-01-01", v1.StateNotRunning, nil)
			w.plan.Summary.Paused, w.plan.Summary.Quiet = true, true
		}, "b1 (orders) is held: it is paused. [1 backfleet backfill resume b1]"},
		{"stopped", func(w *world) {
			w.put("b1.0", "n", "2024-01-01", v1.StateNotRunning, nil)
			w.plan.Summary.Stopped, w.plan.Summary.Quiet = true, true
		}, "b1 (orders) is held: it is stopped. [1 backfleet backfill resume b1]"},
		{"halted", func(w *world) {
			w.put("b1.0", "n", "2024-01-01", v1.StateNotRunning, nil)
			w.plan.Summary.Halted, w.plan.Summary.Quiet, w.plan.Request.StopAfter = true, true, 4
		}, "b1 (orders) is held: it was to stop after 4 failures. [1 backfleet backfill rerun b1 --failed; then backfleet backfill resume b1]"},
		{"many failed", func(w *world) {
			for k := range 1200 {
				w.put(fmt.Sprintf("b1.%d", k), "n", "2024-01-01", v1.StateFailed, nil)
			}
			w.plan.Summary.Quiet = true
		}, "b1 (orders) is held: n failed: no cause is known. [1000 backfleet instance explain b1.0; then backfleet backfill rerun b1 --failed 200 backfleet instance list b1 --state failed]"},
		{"another backfill", func(w *world) {
			w.put("b1.0", "n", "2024-01-01", v1.StateNotRunning, &v1.Reason{Code: v1.ReasonCodeOverlap, Instance: "b2.7", Text: "the same cycle"})
			w.put("b2.7", "n", "2024-01-01", v1.StateFailed, nil)
			w.plan.Groups = []v1.GroupProgress{{Group: 1, Current: "2024-01-01", Counts: v1.StateCounts{NotRunning: 1}}}
		}, "b1 (orders) is held in part: b2.7 (n of 2024-01-01) has failed. [1 backfleet instance logs b2.7; then backfleet instance rerun b2.7 --descendants, or backfleet instance set-to-success b2.7]"},
	} {
		w := newWorld()
		c.change(w)
		h, err := Backfill(context.Background(), w, "b1", Options{})
		if err != nil {
			t.Fatal(err)
		}
		var does []string
		for _, one := range h.Causes {
			does = append(does, fmt.Sprintf("%d %s", one.Holds, one.Do))
		}
		is(t, fmt.Sprintf("%s %v", h.Sentence, does), c.want)
	}
}
