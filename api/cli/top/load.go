// Package top is a live view of the fleet and its backfills in a terminal. What
// it shows is loaded as pages of plain cells; the model moves through them by
// messages alone, so that both are tested without a terminal.
package top

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"backfleet/api/cli/explain"
	v1 "backfleet/api/v1"
)

// Source is what is asked, and what backfills are steered by.
type Source interface {
	explain.Source
	Cluster(ctx context.Context) (*v1.Cluster, error)
	ResourceGroups(ctx context.Context, p *v1.ListResourceGroupsParams) (*v1.ResourceGroupPage, error)
	Agents(ctx context.Context, p *v1.ListAgentsParams) (*v1.AgentPage, error)
	Agent(ctx context.Context, id string) (*v1.AgentDetail, error)
	Backfills(ctx context.Context, p *v1.ListBackfillsParams) (*v1.BackfillPage, error)
	Dates(ctx context.Context, id string, p *v1.ListDatesParams) (*v1.DatePage, error)
	Operate(ctx context.Context, o v1.BackfillsOperation) (*v1.OperationBatch, error)
}

// Snapshot is the state of things at a moment.
type Snapshot struct {
	At        time.Time          `json:"at"`
	Cluster   *v1.Cluster        `json:"cluster"`
	Groups    []v1.ResourceGroup `json:"resourceGroups"`
	Agents    []v1.Agent         `json:"agents"`
	Backfills []Backfill         `json:"backfills"`
}

// Backfill is one of the list; of those that go on with their rate.
type Backfill struct {
	v1.BackfillSummary
	Rate *v1.Rate `json:"rate,omitempty"`
}

// What one look asks for at most.
const (
	mostGroups    = 100
	mostAgents    = 200
	mostBackfills = 50
	mostRates     = 10
	mostRows      = 1000
)

// Load takes a snapshot.
func Load(ctx context.Context, s Source, now time.Time) (*Snapshot, error) {
	out := &Snapshot{At: now}
	cluster, err := s.Cluster(ctx)
	if err != nil {
		return nil, err
	}
	groups, err := s.ResourceGroups(ctx, &v1.ListResourceGroupsParams{Limit: mostGroups})
	if err != nil {
		return nil, err
	}
	agents, err := s.Agents(ctx, &v1.ListAgentsParams{Limit: mostAgents})
	if err != nil {
		return nil, err
	}
	backfills, err := s.Backfills(ctx, &v1.ListBackfillsParams{Limit: mostBackfills})
	if err != nil {
		return nil, err
	}
	out.Cluster, out.Groups, out.Agents = cluster, groups.Items, agents.Items
	rates := 0
	for _, b := range backfills.Items {
		one := Backfill{BackfillSummary: b}
		if !b.Quiet && rates < mostRates {
			rates++
			if d, err := s.Backfill(ctx, b.ID); err == nil {
				one.BackfillSummary, one.Rate = d.Summary, &d.Rate
			} else if ctx.Err() != nil {
				return nil, err
			}
		}
		out.Backfills = append(out.Backfills, one)
	}
	// What goes on comes first, each part newest first as it came.
	slices.SortStableFunc(out.Backfills, func(a, b Backfill) int { return cmp.Compare(rank(a), rank(b)) })
	return out, nil
}

func rank(b Backfill) int {
	if b.Quiet {
		return 1
	}
	return 0
}

// Page is what one screen shows.
type Page struct {
	Head   []string // lines above the panels
	Panels []Panel
}

// Panel is a table.
type Panel struct {
	Title  string
	Header []string
	Rows   []Row
}

// Row is one line of a table.
type Row struct {
	ID    string
	Cells []string
	State v1.State // that colours the row's cell which names it
}

// cells are the header and the cells of one kind of thing.
var (
	groupHeader    = []string{"GROUP", "SLOTS", "USED", "BACKFILLS", "LIMIT", "QUEUE", "AGENTS", ""}
	agentHeader    = []string{"AGENT", "STATE", "HOST", "USED", "ATTEMPTS", "GROUPS"}
	backfillHeader = []string{"BACKFILL", "NAME", "STATE", "PROGRESS", "DONE", "RUN", "WAIT", "FAIL", "RATE", "END"}
)

// Page makes what people see of a snapshot.
func (s *Snapshot) Page() Page {
	p := Page{Head: []string{s.clusterLine()}, Panels: []Panel{
		{Title: "Resource groups", Header: groupHeader}, {Title: "Agents", Header: agentHeader}, {Title: "Backfills", Header: backfillHeader},
	}}
	for _, g := range s.Groups {
		p.Panels[0].Rows = append(p.Panels[0].Rows, groupRow(g))
	}
	for _, a := range s.Agents {
		p.Panels[1].Rows = append(p.Panels[1].Rows, agentRow(a))
	}
	for _, b := range s.Backfills {
		p.Panels[2].Rows = append(p.Panels[2].Rows, s.backfillRow(b))
	}
	return p
}

func (s *Snapshot) clusterLine() string {
	c := s.Cluster
	leader := c.Leader
	if leader == "" {
		leader = "none"
	}
	voters := 0
	for _, m := range c.Servers {
		if m.Role != v1.ServerRoleNonVoter {
			voters++
		}
	}
	members := "1 member"
	if n := len(c.Servers); n != 1 {
		members = fmt.Sprintf("%d members", n)
	}
	text := fmt.Sprintf("Leader %s  term %d  %s", leader, c.Term, members)
	if voters < len(c.Servers) {
		text += fmt.Sprintf(" (%d vote)", voters)
	}
	return text + fmt.Sprintf("  %s is %d behind  %s UTC", c.Self, c.CommitIndex-min(c.AppliedIndex, c.CommitIndex), s.At.UTC().Format("15:04:05"))
}

func groupRow(g v1.ResourceGroup) Row {
	limit, queue, note := "", "", ""
	switch {
	case g.BackfillMaxShare > 0:
		limit = fmt.Sprintf("%d%%", g.BackfillMaxShare)
	case g.ReserveForAuto > 0:
		limit = fmt.Sprintf("%d", max(0, g.Slots-int(g.ReserveForAuto)))
	}
	if g.Waiting != nil {
		queue = fmt.Sprint(*g.Waiting)
	}
	if g.Unserved {
		note = "no agent takes its work"
	}
	return Row{ID: g.Name, Cells: []string{g.Name, fmt.Sprint(g.Slots), fmt.Sprint(g.Used), fmt.Sprint(g.Backfills), limit, queue, fmt.Sprint(g.Agents), note}}
}

func agentRow(a v1.Agent) Row {
	used, slots := 0, 0
	var groups []string
	for _, g := range a.Groups {
		used, slots = used+g.Used, slots+g.Slots
		groups = append(groups, g.Group)
	}
	state := v1.State("")
	switch a.State {
	case v1.AgentStateReady:
		state = v1.StateSucceeded
	case v1.AgentStateLost, v1.AgentStateSilent:
		state = v1.StateFailed
	case v1.AgentStateDraining:
		state = v1.StateWaitingTime
	}
	return Row{ID: a.ID, State: state, Cells: []string{a.ID, string(a.State), a.Host, fmt.Sprintf("%d/%d", used, slots), fmt.Sprint(a.Attempts), strings.Join(groups, " ")}}
}

func (s *Snapshot) backfillRow(b Backfill) Row {
	c := b.Counts
	rate, end := "", ""
	if r := b.Rate; r != nil {
		if r.PerSecond > 0 {
			rate = fmt.Sprintf("%.1f/s", r.PerSecond)
		}
		if r.SecondsLeft != nil {
			left := time.Duration(*r.SecondsLeft * float64(time.Second)).Round(time.Second)
			end = fmt.Sprintf("%s UTC in %s", s.At.Add(left).UTC().Format("15:04"), left)
		}
	}
	return Row{ID: b.ID, State: b.State, Cells: []string{b.ID, b.Name, stateText(b.BackfillSummary), bar(c), fmt.Sprintf("%d/%d", c.Succeeded, c.Total),
		fmt.Sprint(c.Running), fmt.Sprint(c.NotRunning + c.WaitingTime), fmt.Sprint(c.Failed), rate, end}}
}

// words are the states as people read them (RULES R8).
var words = map[v1.State]string{
	v1.StateNotRunning: "Not Running", v1.StateWaitingTime: "Waiting time", v1.StateRunning: "Running",
	v1.StateSucceeded: "Succeeded", v1.StateFailed: "Run failed", v1.StateFrozen: "Freeze",
}

func stateText(b v1.BackfillSummary) string {
	switch {
	case b.Stopped:
		return words[b.State] + ", stopped"
	case b.Halted:
		return words[b.State] + ", halted"
	case b.Paused:
		return words[b.State] + ", paused"
	}
	return words[b.State]
}

// bar draws how much has succeeded and how much has failed.
func bar(c v1.StateCounts) string {
	const width = 12
	if c.Total == 0 {
		return strings.Repeat("░", width)
	}
	done := int(c.Succeeded * width / c.Total)
	failed := min(int((c.Failed*width+c.Total-1)/c.Total), width-done)
	return strings.Repeat("█", done) + strings.Repeat("▒", failed) + strings.Repeat("░", width-done-failed) +
		fmt.Sprintf(" %3d%%", c.Succeeded*100/c.Total)
}

// dates are those of a backfill.
func dates(ctx context.Context, s Source, backfill string) (Page, error) {
	b, err := s.Backfill(ctx, backfill)
	if err != nil {
		return Page{}, err
	}
	p := Panel{Title: "Dates", Header: []string{"DATE", "GROUP", "PLACE", "STATE", "PROGRESS", "DONE", "RUN", "FAIL", "HELD BY"}}
	cursor := ""
	for len(p.Rows) < mostRows {
		page, err := s.Dates(ctx, backfill, &v1.ListDatesParams{Cursor: cursor, Limit: mostRows - len(p.Rows)})
		if err != nil {
			return Page{}, err
		}
		for _, d := range page.Items {
			c := d.Counts
			p.Rows = append(p.Rows, Row{ID: d.Date, State: d.State, Cells: []string{d.Date, fmt.Sprint(d.Group), fmt.Sprint(d.Place), words[d.State], bar(c),
				fmt.Sprintf("%d/%d", c.Succeeded, c.Total), fmt.Sprint(c.Running), fmt.Sprint(c.Failed), d.Reason}})
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	c := b.Summary.Counts
	head := fmt.Sprintf("%s %s  %s  %s  %d/%d done  %d run  %d wait  %d failed  %d frozen", b.Summary.ID, b.Summary.Name, stateText(b.Summary), bar(c),
		c.Succeeded, c.Total, c.Running, c.NotRunning+c.WaitingTime, c.Failed, c.Frozen)
	return Page{Head: []string{head}, Panels: []Panel{p}}, nil
}

// instances are those of a date, what failed first.
func instances(ctx context.Context, s Source, backfill, date string) (Page, error) {
	states := []v1.State{v1.StateFailed, v1.StateRunning, v1.StateFrozen, v1.StateWaitingTime, v1.StateNotRunning, v1.StateSucceeded}
	list, more, err := s.Instances(ctx, explain.Filter{Backfill: backfill, From: date, To: date, States: states, Limit: mostRows})
	if err != nil {
		return Page{}, err
	}
	p := Panel{Title: "Instances", Header: []string{"INSTANCE", "NODE", "SCHEDULED", "STATE", "ATTEMPTS", "AGENT", "STARTED", "TOOK", "CAUSE"}}
	for _, i := range list {
		started, took := "", ""
		if i.StartedAt != nil {
			started = i.StartedAt.UTC().Format("15:04:05")
			if i.EndedAt != nil {
				took = i.EndedAt.Sub(*i.StartedAt).Round(time.Millisecond).String()
			}
		}
		p.Rows = append(p.Rows, Row{ID: i.ID, State: i.State, Cells: []string{i.ID, i.Node, i.ScheduledTime.Format("2006-01-02 15:04"), words[i.State],
			fmt.Sprint(i.Attempts), i.Agent, started, took, i.Cause}})
	}
	head := fmt.Sprintf("%s  %s  %d instances", backfill, date, len(list))
	if more {
		head = fmt.Sprintf("%s  %s  the first %d instances", backfill, date, len(list))
	}
	return Page{Head: []string{head}, Panels: []Panel{p}}, nil
}

// attempts are those that an agent holds.
func attempts(ctx context.Context, s Source, agent string) (Page, error) {
	d, err := s.Agent(ctx, agent)
	if err != nil {
		return Page{}, err
	}
	p := Panel{Title: "Attempts", Header: []string{"INSTANCE", "NODE", "ATTEMPT", "STATE", "GROUP", "SLOTS", "SINCE", "CAUSE"}}
	for _, t := range d.Attempts {
		state := v1.StateRunning
		if t.State != v1.AttemptStateRunning {
			state = v1.StateWaitingTime
		}
		p.Rows = append(p.Rows, Row{ID: t.Instance, State: state, Cells: []string{t.Instance, t.Node, fmt.Sprint(t.Attempt), string(t.State), t.ResourceGroup,
			fmt.Sprint(t.Slots), t.Since.UTC().Format("15:04:05"), t.Cause}})
	}
	return Page{Head: []string{fmt.Sprintf("Agent %s at %s  %s  %s", d.Agent.ID, d.Agent.Host, d.Agent.State, d.Agent.Version)}, Panels: []Panel{p}}, nil
}

// crew are the agents of a resource group.
func crew(ctx context.Context, s Source, group string) (Page, error) {
	g, err := s.ResourceGroup(ctx, group)
	if err != nil {
		return Page{}, err
	}
	list, err := s.Agents(ctx, &v1.ListAgentsParams{Group: group, Limit: mostAgents})
	if err != nil {
		return Page{}, err
	}
	p := Panel{Title: "Agents", Header: agentHeader}
	for _, a := range list.Items {
		p.Rows = append(p.Rows, agentRow(a))
	}
	return Page{Head: []string{fmt.Sprintf("Resource group %s  %d of %d slots used, %d by backfills", g.Name, g.Used, g.Slots, g.Backfills)}, Panels: []Panel{p}}, nil
}

// reason explains an instance.
func reason(ctx context.Context, s Source, id string, now time.Time) (Page, error) {
	story, err := explain.Instance(ctx, s, id, explain.Options{Now: now, Calls: 60})
	if err != nil {
		return Page{}, err
	}
	p := Panel{Title: "Why"}
	for k, line := range explain.Lines(story.Root, func(s v1.State) string { return words[s] }) {
		p.Rows = append(p.Rows, Row{ID: fmt.Sprint(k), Cells: []string{line}})
	}
	for _, r := range story.Roots {
		if r.Do != "" {
			p.Rows = append(p.Rows, Row{ID: "do " + r.Do, Cells: []string{"→ " + r.Do}})
		}
	}
	return Page{Head: []string{story.Sentence}, Panels: []Panel{p}}, nil
}
