package top

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/jedib0t/go-pretty/v6/text"

	"backfleet/api/cli/explain"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// world is a fleet with so many backfills, of two dates with two instances each.
type world struct {
	backfills int
	err       error
	operated  []v1.BackfillsOperation
	asked     []string
}

func (w *world) saw(what string) error { w.asked = append(w.asked, what); return w.err }

func (w *world) Cluster(context.Context) (*v1.Cluster, error) {
	return &v1.Cluster{Self: "c2", Leader: "c1", Term: 7, CommitIndex: 12, AppliedIndex: 10, Servers: []v1.ClusterServer{
		{ID: "c1", Role: v1.ServerRoleLeader}, {ID: "c2", Role: v1.ServerRoleVoter}, {ID: "c3", Role: v1.ServerRoleNonVoter},
	}}, w.saw("cluster")
}

func (w *world) group() v1.ResourceGroup {
	waiting := 9
	return v1.ResourceGroup{Name: "default", Slots: 8, Used: 6, Backfills: 5, BackfillMaxShare: 75, Waiting: &waiting, Agents: 1}
}

func (w *world) ResourceGroups(context.Context, *v1.ListResourceGroupsParams) (*v1.ResourceGroupPage, error) {
	return &v1.ResourceGroupPage{Items: []v1.ResourceGroup{w.group(), {Name: "etl", Unserved: true, Slots: 4, ReserveForAuto: 1}}}, w.saw("groups")
}

func (w *world) ResourceGroup(context.Context, string) (*v1.ResourceGroup, error) {
	g := w.group()
	return &g, w.saw("group")
}

func (w *world) Agents(context.Context, *v1.ListAgentsParams) (*v1.AgentPage, error) {
	return &v1.AgentPage{Items: []v1.Agent{
		{ID: "a1", Host: "worker-1", State: v1.AgentStateReady, Attempts: 2, Groups: []v1.AgentSlots{{Group: "default", Slots: 8, Used: 6}}},
		{ID: "a2", Host: "worker-2", State: v1.AgentStateLost},
	}}, w.saw("agents")
}

func (w *world) Agent(_ context.Context, id string) (*v1.AgentDetail, error) {
	return &v1.AgentDetail{Agent: v1.Agent{ID: id, Host: "worker-1", State: v1.AgentStateReady, Version: "dev"}, Attempts: []v1.AgentAttempt{
		{Instance: "b1.3", Node: "orders", Attempt: 1, State: v1.AttemptStateRunning, ResourceGroup: "default", Slots: 1, Since: now},
	}}, w.saw("agent " + id)
}

func (w *world) summary(k int) v1.BackfillSummary {
	s := v1.BackfillSummary{ID: fmt.Sprintf("b%d", k), Name: fmt.Sprintf("orders_%d", k), State: v1.StateRunning,
		Counts: v1.StateCounts{Total: 100, Succeeded: 50, Failed: 2, Running: 8, NotRunning: 40}}
	if k%2 == 0 {
		s.Quiet, s.State, s.Stopped = true, v1.StateFailed, true
	}
	return s
}

func (w *world) Backfills(context.Context, *v1.ListBackfillsParams) (*v1.BackfillPage, error) {
	p := &v1.BackfillPage{}
	for k := w.backfills; k > 0; k-- {
		p.Items = append(p.Items, w.summary(k))
	}
	return p, w.saw("backfills")
}

func (w *world) Backfill(_ context.Context, id string) (*v1.Backfill, error) {
	var k int
	_, _ = fmt.Sscanf(id, "b%d", &k)
	left := 90.0
	return &v1.Backfill{Summary: w.summary(k), Rate: v1.Rate{PerSecond: 2.5, SecondsLeft: &left}}, w.saw("backfill " + id)
}

func (w *world) Dates(_ context.Context, id string, p *v1.ListDatesParams) (*v1.DatePage, error) {
	day := v1.DateProgress{Date: "2024-01-01", Group: 1, Place: 1, State: v1.StateRunning, Counts: v1.StateCounts{Total: 2, Succeeded: 1, Running: 1}}
	if p.Cursor == "" {
		return &v1.DatePage{Items: []v1.DateProgress{day}, Next: "more"}, w.saw("dates " + id)
	}
	day.Date, day.Place, day.State, day.Reason = "2024-01-02", 2, v1.StateNotRunning, "2024-01-01 has not finished"
	return &v1.DatePage{Items: []v1.DateProgress{day}}, w.err
}

func (w *world) Instances(_ context.Context, f explain.Filter) ([]v1.Instance, bool, error) {
	start, end := now.Add(-time.Minute), now
	return []v1.Instance{
		{ID: f.Backfill + ".3", Node: "orders", Date: f.From, State: v1.StateFailed, Attempts: 3, Cause: "exit code 3\nand more", StartedAt: &start, EndedAt: &end},
		{ID: f.Backfill + ".4", Node: "report", Date: f.From, State: v1.StateNotRunning},
	}, false, w.saw("instances " + f.Backfill + " " + f.From)
}

func (w *world) Instance(_ context.Context, id string) (*v1.InstanceDetail, error) {
	return &v1.InstanceDetail{Instance: v1.Instance{ID: id, Node: "orders", Date: "2024-01-01", State: v1.StateFailed, Attempts: 3, Cause: "exit code 3"},
		Attempts: []v1.Attempt{{Number: 3}}}, w.saw("instance " + id)
}

func (w *world) Node(context.Context, string) (*v1.NodeDetail, error) {
	return nil, fault.New(fault.NotFound, "no")
}

func (w *world) Holders(context.Context, string) ([]v1.AgentAttempt, error) { return nil, nil }

func (w *world) Stderr(context.Context, string, int, int) ([]string, error) {
	return []string{"boom \x1b[31mred"}, nil
}

func (w *world) Operate(_ context.Context, o v1.BackfillsOperation) (*v1.OperationBatch, error) {
	w.operated = append(w.operated, o)
	return &v1.OperationBatch{}, w.err
}

// rig is a model with what a terminal would do by hand.
type rig struct {
	t *testing.T
	w *world
	m *Model
}

func newRig(t *testing.T, backfills, width, height int) *rig {
	t.Helper()
	w := &world{backfills: backfills}
	r := &rig{t, w, New(context.Background(), Options{Source: w, Now: func() time.Time { return now }, Plain: true})}
	r.send(tea.WindowSizeMsg{Width: width, Height: height})
	r.run(r.m.Init())
	return r
}

// send delivers a message and what follows of it, but for time passing.
func (r *rig) send(msg tea.Msg) {
	r.t.Helper()
	_, cmd := r.m.Update(msg)
	r.run(cmd)
	for k, line := range r.m.lines() {
		if n := text.StringWidthWithoutEscSequences(line); n > r.m.width {
			r.t.Errorf("line %d is %d wide of %d: %q", k, n, r.m.width, line)
		}
	}
	if n := len(r.m.lines()); n != r.m.height {
		r.t.Errorf("%d lines of %d", n, r.m.height)
	}
}

// run executes what loads or operates; ticks are sent by hand.
func (r *rig) run(cmd tea.Cmd) {
	r.t.Helper()
	if cmd == nil || r.m.looks > 0 && !r.m.under && !strings.HasSuffix(r.m.status, "…") {
		return
	}
	switch msg := cmd().(type) {
	case loaded, steered:
		r.send(msg)
	}
}

func (r *rig) keys(keys ...string) {
	r.t.Helper()
	for _, k := range keys {
		switch k {
		case "enter":
			r.send(tea.KeyPressMsg{Code: tea.KeyEnter})
		case "esc":
			r.send(tea.KeyPressMsg{Code: tea.KeyEscape})
		case "tab":
			r.send(tea.KeyPressMsg{Code: tea.KeyTab})
		case "down":
			r.send(tea.KeyPressMsg{Code: tea.KeyDown})
		case "backspace":
			r.send(tea.KeyPressMsg{Code: tea.KeyBackspace})
		default:
			r.send(tea.KeyPressMsg{Code: []rune(k)[0], Text: k})
		}
	}
}

func (r *rig) text() string { return strings.Join(r.m.lines(), "\n") }

func (r *rig) shows(wants ...string) {
	r.t.Helper()
	for _, want := range wants {
		if !strings.Contains(r.text(), want) {
			r.t.Errorf("%q is not in\n%s", want, r.text())
		}
	}
}

func TestOverviewShowsEverything(t *testing.T) {
	r := newRig(t, 3, 130, 30)
	r.shows("Leader c1  term 7  3 members (2 vote)  c2 is 2 behind  12:00:00 UTC",
		"Resource groups (2)", "GROUP    SLOTS  USED  BACKFILLS  LIMIT  QUEUE  AGENTS", "default  8      6     5          75%    9      1", "no agent takes its work",
		"Agents (2)", "a2     lost", "▸ Backfills (3)", "b3", "██████▒░░░░░  50%", "50/100", "2.5/s  12:01 UTC in 1m30s", "Run failed, stopped", "q: quit")
	if strings.Index(r.text(), "b1 ") > strings.Index(r.text(), "b2 ") {
		t.Errorf("what goes on is not first\n%s", r.text())
	}
	if v := r.m.View(); !v.AltScreen || v.Content != r.text() {
		t.Errorf("%+v", v)
	}
}

func TestWayDownAndBack(t *testing.T) {
	r := newRig(t, 3, 140, 24)
	r.keys("down", "enter")
	r.shows("b1 orders_1  Running", "▸ Dates (2)", "2024-01-02  1      2      Not Running", "2024-01-01 has not finished")
	r.keys("enter")
	r.shows("b1  2024-01-01  2 instances", "b1.3", "Run failed", "1m0s", "exit code 3 and more")
	r.keys("enter")
	r.shows("b1.3 (orders of 2024-01-01) has failed at all of its 3 attempts: exit code 3.", "stderr: boom", "→ backfleet instance logs b1.3")
	r.keys("enter") // nothing is below
	r.keys("esc", "esc")
	r.shows("▸ Dates (2)")
	r.keys("esc", "esc", "esc")
	r.shows("▸ Backfills (3)")
	if k := r.m.screen().selected(2); k != 1 {
		t.Errorf("row %d is selected", k)
	}
	// The other tables.
	r.keys("tab", "enter")
	r.shows("Resource group default  6 of 8 slots used", "worker-1")
	r.keys("enter")
	r.shows("Agent a1 at worker-1", "b1.3")
	r.keys("enter")
	r.shows("b1.3 (orders of 2024-01-01) has failed")
	r.keys("esc", "esc", "esc", "tab", "down", "enter")
	r.shows("Agent a2 at")
}

func TestReasonsAreWrapped(t *testing.T) {
	r := newRig(t, 3, 60, 24)
	r.keys("enter", "enter", "enter")
	r.shows("→ backfleet instance logs b3.3; then backfleet instance\n  rerun b3.3 --descendants, or backfleet instance\n  set-to-success b3.3\n")
	r.send(tea.WindowSizeMsg{Width: 60, Height: 6})
	r.keys("G")
	r.shows("set-to-success b3.3\n")
	r.send(tea.WindowSizeMsg{Width: 11, Height: 6})
}

func TestFilter(t *testing.T) {
	r := newRig(t, 12, 100, 30)
	r.keys("/", "o", "r", "x", "backspace", "d", "e", "r", "s", "_", "1", "1")
	r.shows("▸ Backfills (1 of 12)", "/orders_11▏")
	r.keys("q") // a letter of the filter
	r.shows("▸ Backfills (0 of 12)")
	r.keys("enter", "enter", "p")
	r.shows("▸ Backfills (0 of 12)", "Choose a backfill first")
	r.keys("/", "backspace", "enter", "enter")
	r.shows("b11 orders_11")
	r.keys("esc", "esc")
	r.shows("▸ Backfills (12)")
	r.keys("/", "z", "esc")
	r.shows("▸ Backfills (12)")
	r.send(tea.PasteMsg{Content: "no"})
	r.keys("/")
	r.send(tea.PasteMsg{Content: "orders_2"})
	r.shows("▸ Backfills (1 of 12)")
}

func TestSteeringIsConfirmed(t *testing.T) {
	r := newRig(t, 3, 100, 30)
	r.keys("s")
	r.shows("stop b3? [y/N]")
	r.keys("n")
	r.shows("Nothing was done.")
	r.keys("p", "y")
	r.shows("b3: paused")
	r.keys("down", "enter", "enter", "enter", "r", "y")
	r.shows("b1: resumed")
	if o := r.w.operated; len(o) != 2 || o[0].Operation != v1.BackfillOperationPause || o[0].Backfills[0] != "b3" || o[1].Backfills[0] != "b1" {
		t.Errorf("%+v", o)
	}
	r.w.err = fault.New(fault.Denied, "it is bob's\nand more")
	r.keys("s", "y")
	r.shows("Refused: it is bob's")
	r.keys("esc", "esc", "esc", "tab", "s")
	r.shows("Choose a backfill first")
}

func TestHelpAndQuit(t *testing.T) {
	r := newRig(t, 1, 90, 30)
	r.keys("?")
	r.shows("pause, resume or stop the backfill, once")
	r.keys("q")
	r.shows("▸ Backfills (1)")
	for _, key := range []tea.KeyPressMsg{{Code: 'q', Text: "q"}, {Code: 'c', Mod: tea.ModCtrl}} {
		_, cmd := r.m.Update(key)
		if cmd == nil {
			t.Fatal("it stays")
		}
		if _, ok := cmd().(tea.QuitMsg); !ok {
			t.Error("it stays")
		}
	}
}

func looksAt(w *world) (n int) {
	for _, a := range w.asked {
		if a == "cluster" {
			n++
		}
	}
	return n
}

func TestLooksAreBounded(t *testing.T) {
	r := newRig(t, 1, 90, 30)
	for range 100 { // it has just looked
		r.send(Changed{})
	}
	if n := looksAt(r.w); n != 1 {
		t.Fatalf("%d looks", n)
	}
	r.send(rested{r.m.looks})
	if n := looksAt(r.w); n != 2 {
		t.Fatalf("%d looks: what changed is not looked at", n)
	}
	r.send(rested{r.m.looks})
	if n := looksAt(r.w); n != 2 {
		t.Fatalf("%d looks without a change", n)
	}
	r.send(Changed{})
	if n := looksAt(r.w); n != 3 {
		t.Fatalf("%d looks", n)
	}
	r.send(late{r.m.looks - 1})
	r.send(rested{r.m.looks - 1})
	if n := looksAt(r.w); n != 3 {
		t.Fatalf("%d looks: an old tick counts", n)
	}
	r.send(late{r.m.looks})
	if n := looksAt(r.w); n != 4 {
		t.Fatalf("%d looks: nothing came, and it does not look", n)
	}
}

func TestWhatCannotBeLookedAtIsTold(t *testing.T) {
	w := &world{backfills: 1, err: errors.New("no leader\nat all")}
	r := &rig{t, w, New(context.Background(), Options{Source: w, Now: func() time.Time { return now }, Plain: true})}
	if r.m.View().Content != "" {
		t.Error("it draws without a size")
	}
	r.send(tea.WindowSizeMsg{Width: 80, Height: 20})
	r.shows("Looking …")
	r.run(r.m.Init())
	r.shows("Cannot be looked at: no leader")
	w.err = nil
	r.send(late{r.m.looks})
	r.shows("▸ Backfills (1)")
	w.err = errors.New("again") // what was seen stays
	r.send(late{r.m.looks})
	r.shows("▸ Backfills (1)", "Cannot be looked at: again")
}

func TestEverySizeIsDrawn(t *testing.T) {
	r := newRig(t, 40, 200, 60)
	for _, size := range [][2]int{{200, 60}, {80, 24}, {40, 12}, {20, 6}, {10, 3}, {3, 2}, {1, 1}, {0, 0}, {80, 24}} {
		r.send(tea.WindowSizeMsg{Width: size[0], Height: size[1]})
		r.keys("G", "g", "?", "x", "/", "b", "esc", "enter", "esc", "tab")
	}
	r.keys("G")
	k := r.m.screen()
	if k.selected(k.focus) != len(k.rows(k.focus))-1 {
		t.Error("the end is not reached")
	}
}

func TestAnswersOfAnotherScreenAreDropped(t *testing.T) {
	r := newRig(t, 3, 100, 24)
	_, cmd := r.m.Update(late{r.m.looks}) // a look at everything is under way
	answer := cmd()
	_, none := r.m.Update(tea.KeyPressMsg{Code: tea.KeyEnter})
	if none != nil {
		t.Error("two looks at once")
	}
	r.send(answer)
	r.shows("▸ Dates (2)")
}
