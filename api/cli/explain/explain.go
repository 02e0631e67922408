// Package explain says why instances and backfills do not go on, down to what
// a person can change. It follows the reasons that coordinators give, with
// bounds on how deep, how broad and how often it asks.
package explain

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "backfleet/api/v1"
	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
)

// Filter chooses instances of a backfill; what is zero does not matter.
type Filter struct {
	Backfill string
	Node     string
	From, To string // data timestamps
	States   []v1.State
	Limit    int
}

// Source is what is asked.
type Source interface {
	Instance(ctx context.Context, id string) (*v1.InstanceDetail, error)
	Backfill(ctx context.Context, id string) (*v1.Backfill, error)
	Node(ctx context.Context, id string) (*v1.NodeDetail, error)
	ResourceGroup(ctx context.Context, name string) (*v1.ResourceGroup, error)
	// Instances are those that agree, by number, and whether there are more.
	Instances(ctx context.Context, f Filter) ([]v1.Instance, bool, error)
	// Holders are the attempts that agents hold in a resource group.
	Holders(ctx context.Context, group string) ([]v1.AgentAttempt, error)
	// Stderr are the last lines that an attempt wrote there.
	Stderr(ctx context.Context, instance string, attempt, lines int) ([]string, error)
}

// Options bound what is asked and shown. Zero fields get defaults.
type Options struct {
	Depth   int // of the tree; default 8
	Breadth int // of what is alike, the rest is counted; default 3
	Calls   int // of the source; default 200
	Lines   int // of a log; default 10
	Now     time.Time
}

func (o Options) filled() Options {
	o.Depth, o.Breadth, o.Calls, o.Lines = cmp.Or(o.Depth, 8), cmp.Or(o.Breadth, 3), cmp.Or(o.Calls, 200), cmp.Or(o.Lines, 10)
	return o
}

// Cause is one thing that stands, and below it why.
type Cause struct {
	Instance string        `json:"instance,omitempty"`
	Node     string        `json:"node,omitempty"`
	Date     string        `json:"date,omitempty"`
	State    v1.State      `json:"state,omitempty"`
	Code     v1.ReasonCode `json:"code,omitempty"`
	Text     string        `json:"text"`
	Do       string        `json:"do,omitempty"`    // the command that helps
	More     int           `json:"more,omitempty"`  // so many more like it
	Least    bool          `json:"least,omitempty"` // More is a lower bound
	Above    bool          `json:"above,omitempty"` // what is below it was shown before
	Cut      bool          `json:"cut,omitempty"`   // what is below it was not asked for
	Lines    []string      `json:"lines,omitempty"` // the end of its log
	Because  []*Cause      `json:"because,omitempty"`
}

// Story is what is told of an instance.
type Story struct {
	Sentence string       `json:"sentence"`
	Root     *Cause       `json:"tree"`
	Roots    []*Cause     `json:"rootCauses"` // the leaves of the tree, each once, most urgent first
	Attempts []v1.Attempt `json:"attempts"`
}

// walker goes down a tree once.
type walker struct {
	Options
	source    Source
	seen      map[string]bool // instances and other things that were shown
	instances map[string]*v1.InstanceDetail
	backfills map[string]*v1.Backfill
	calls     int
}

func newWalker(s Source, o Options) *walker {
	return &walker{Options: o.filled(), source: s, seen: map[string]bool{}, instances: map[string]*v1.InstanceDetail{}, backfills: map[string]*v1.Backfill{}}
}

// spend says whether the source may be asked once more.
func (w *walker) spend() bool { w.calls++; return w.calls <= w.Calls }

// Instance explains an instance.
func Instance(ctx context.Context, s Source, id string, o Options) (*Story, error) {
	w := newWalker(s, o)
	d, err := s.Instance(ctx, id)
	if err != nil {
		return nil, err
	}
	w.instances[id] = d
	root, err := w.instance(ctx, d.Instance, 0)
	if err != nil {
		return nil, err
	}
	story := &Story{Root: root, Attempts: d.Attempts}
	story.Roots = leaves(root)
	story.Sentence = sentence(d, root, story.Roots)
	return story, nil
}

func sentence(d *v1.InstanceDetail, root *Cause, roots []*Cause) string {
	i := d.Instance
	name := fmt.Sprintf("%s (%s of %s)", i.ID, i.Node, i.Date)
	waits := " waits"
	if root.State == v1.StateFrozen {
		waits = " is held"
	}
	switch {
	case root.moves():
		return name + " " + root.Text + "."
	case len(root.Because) == 0 || len(roots) == 0:
		return name + waits + ": " + root.Text + "."
	}
	first := roots[0]
	what := first.Text
	if first.Instance != "" && first.Instance != i.ID {
		separator := ": "
		if first.moves() {
			separator = " "
		}
		what = fmt.Sprintf("%s (%s of %s)%s%s", first.Instance, first.Node, first.Date, separator, first.Text)
	}
	text := name + waits + ", in the end because " + what
	switch n := len(roots) - 1; {
	case n == 1:
		text += ", and for one more cause"
	case n > 1:
		text += fmt.Sprintf(", and for %d more causes", n)
	}
	return text + "."
}

// moves says that an instance waits for nothing: its text says what it did.
func (c *Cause) moves() bool {
	return c.State == v1.StateFailed || c.State == v1.StateRunning || c.State == v1.StateSucceeded
}

// final says that what is below a cause only tells more about it.
func (c *Cause) final() bool {
	return len(c.Because) == 0 || c.Code == v1.ReasonCodeMaxRunning || c.Code == v1.ReasonCodeSlot && c.Instance == ""
}

// leaves are the causes without further ones, each once, most urgent first.
func leaves(root *Cause) []*Cause {
	var out []*Cause
	seen := map[string]bool{}
	var visit func(c *Cause)
	visit = func(c *Cause) {
		if c.final() {
			if key := c.Instance + "\x00" + c.Text; !c.Above && !seen[key] {
				seen[key] = true
				out = append(out, c)
			}
			return
		}
		for _, b := range c.Because {
			visit(b)
		}
	}
	visit(root)
	slices.SortStableFunc(out, func(a, b *Cause) int { return cmp.Compare(urgency(a), urgency(b)) })
	return out
}

// urgency puts first what only a person can change.
func urgency(c *Cause) int {
	switch {
	case c.Cut:
		return 9
	case c.State == v1.StateFailed:
		return 0
	}
	switch c.Code {
	case v1.ReasonCodeHalted, v1.ReasonCodeStopped, v1.ReasonCodePaused:
		return 1
	case v1.ReasonCodeFrozen:
		return 2
	case v1.ReasonCodeNoAgent:
		return 3
	case v1.ReasonCodeSlot, v1.ReasonCodeMaxRunning, v1.ReasonCodeQueued:
		return 4
	}
	return 5
}

// instance tells of one and, where it waits, goes on to what it waits for.
func (w *walker) instance(ctx context.Context, i v1.Instance, depth int) (*Cause, error) {
	c := &Cause{Instance: i.ID, Node: i.Node, Date: i.Date, State: i.State}
	if w.seen[i.ID] {
		c.Above, c.Text = true, "shown above"
		return c, nil
	}
	w.seen[i.ID] = true
	if i.State == v1.StateSucceeded {
		c.Text = ended(i)
		return c, nil
	}
	d := w.instances[i.ID]
	if d == nil {
		if !w.spend() {
			c.Cut, c.Text = true, "not asked: there is too much to follow all of it"
			return c, nil
		}
		var err error
		if d, err = w.source.Instance(ctx, i.ID); err != nil {
			return w.lost(c, err)
		}
		w.instances[i.ID] = d
		c.State = d.Instance.State
	}
	switch {
	case c.State == v1.StateFailed:
		return c, w.failed(ctx, c, d)
	case c.State == v1.StateRunning:
		w.running(c, d)
		return c, nil
	case d.Reason == nil:
		c.Text = ended(d.Instance)
		return c, nil
	}
	c.Code, c.Text = d.Reason.Code, d.Reason.Text
	if depth >= w.Depth {
		c.Cut = true
		return c, nil
	}
	return c, w.reason(ctx, c, d, depth)
}

// lost is what cannot be asked any more: it may be gone by now.
func (w *walker) lost(c *Cause, err error) (*Cause, error) {
	if fault.Is(err, fault.NotFound) {
		c.Text = "it is gone by now"
		return c, nil
	}
	return nil, err
}

func ended(i v1.Instance) string {
	text := "has succeeded"
	switch {
	case i.SetToSuccess:
		text = "was set to success"
	case i.DryRun != "":
		text = "has succeeded as a dry run (" + string(i.DryRun) + ")"
	case i.State == v1.StateFailed:
		text = "has failed"
	case i.State != v1.StateSucceeded:
		text = "may start at any moment"
	}
	if i.EndedAt != nil && i.StartedAt != nil {
		text += fmt.Sprintf(" at %s UTC after %s", i.EndedAt.UTC().Format("2006-01-02 15:04:05"), i.EndedAt.Sub(*i.StartedAt).Round(time.Millisecond))
		if i.Agent != "" {
			text += " at agent " + i.Agent
		}
	}
	return text
}

// failed tells how an instance failed and the end of what it said.
func (w *walker) failed(ctx context.Context, c *Cause, d *v1.InstanceDetail) error {
	i := d.Instance
	c.Text = "has failed"
	if i.Attempts > 1 {
		c.Text = fmt.Sprintf("has failed at all of its %d attempts", i.Attempts)
	}
	if i.Cause != "" {
		c.Text += ": " + i.Cause
	}
	c.Do = fmt.Sprintf("backfleet instance logs %s; then backfleet instance rerun %s --descendants, or backfleet instance set-to-success %s", i.ID, i.ID, i.ID)
	if len(d.Attempts) == 0 || !w.spend() {
		return nil
	}
	last := d.Attempts[len(d.Attempts)-1]
	lines, err := w.source.Stderr(ctx, i.ID, last.Number, w.Lines)
	if err != nil && ctx.Err() != nil {
		return err
	}
	c.Lines = lines // of a log that is gone: none
	return nil
}

func (w *walker) running(c *Cause, d *v1.InstanceDetail) {
	i := d.Instance
	c.Text = "runs"
	if i.Agent != "" {
		c.Text += " at agent " + i.Agent
	}
	if i.StartedAt != nil && !w.Now.IsZero() {
		c.Text += " for " + w.Now.Sub(*i.StartedAt).Round(time.Second).String()
	}
	if d.Conflict != nil {
		c.Text += "; " + d.Conflict.Text
	}
}

// reason goes on from what a waiting instance waits for.
func (w *walker) reason(ctx context.Context, c *Cause, d *v1.InstanceDetail, depth int) error {
	r, i := d.Reason, d.Instance
	var err error
	switch r.Code {
	case v1.ReasonCodeUpstream:
		c.Because, err = w.upstreams(ctx, d, depth)
	case v1.ReasonCodeSelfDependency, v1.ReasonCodePreviousCycle, v1.ReasonCodeSchedule, v1.ReasonCodeOverlap, v1.ReasonCodeConflict:
		c.Because, err = w.one(ctx, r.Instance, depth)
	case v1.ReasonCodeGate:
		c.Because, err = w.gate(ctx, c, d, depth)
	case v1.ReasonCodeMaxRunning:
		c.Do = fmt.Sprintf("backfleet backfill edit %s --max-running N", i.Backfill)
		c.Because, err = w.some(ctx, Filter{Backfill: i.Backfill, States: []v1.State{v1.StateRunning}}, depth)
	case v1.ReasonCodeHalted:
		c.Do = fmt.Sprintf("backfleet backfill rerun %s --failed; then backfleet backfill resume %s", i.Backfill, i.Backfill)
		c.Because, err = w.some(ctx, Filter{Backfill: i.Backfill, States: []v1.State{v1.StateFailed}}, depth)
	case v1.ReasonCodePaused, v1.ReasonCodeStopped:
		c.Do = "backfleet backfill resume " + i.Backfill
	case v1.ReasonCodeFrozen:
		c.Do = "backfleet instance unfreeze " + i.ID
	case v1.ReasonCodeNoAgent:
		c.Do = fmt.Sprintf("backfleet agent list --group %s; then start an agent, or backfleet agent resume", r.ResourceGroup)
	case v1.ReasonCodeSlot, v1.ReasonCodeQueuedAtAgent:
		c.Because, err = w.slots(ctx, r.ResourceGroup)
	}
	return err
}

// one goes on to an instance by its id.
func (w *walker) one(ctx context.Context, id string, depth int) ([]*Cause, error) {
	if id == "" {
		return nil, nil
	}
	i := v1.Instance{ID: id}
	if d := w.instances[id]; d != nil {
		i = d.Instance
	} else if w.spend() {
		d, err := w.source.Instance(ctx, id)
		if err != nil {
			c, err := w.lost(&Cause{Instance: id}, err)
			return []*Cause{c}, err
		}
		w.instances[id], i = d, d.Instance
	}
	c, err := w.instance(ctx, i, depth+1)
	return []*Cause{c}, err
}

// upstreams are the one that the coordinator names and, of the other nodes
// upstream in the same backfill, what has not succeeded either.
func (w *walker) upstreams(ctx context.Context, d *v1.InstanceDetail, depth int) ([]*Cause, error) {
	out, err := w.one(ctx, d.Reason.Instance, depth)
	if err != nil || len(out) == 0 || d.Reason.Backfill != d.Instance.Backfill || !w.spend() {
		return out, err
	}
	n, err := w.source.Node(ctx, d.Instance.Node)
	if err != nil {
		return out, absent(err)
	}
	for _, u := range n.Node.Upstreams {
		if u.Previous || u.Node == out[0].Node || slices.Contains(d.RemovedUpstreams, u.Node) || !w.spend() {
			continue
		}
		from, to, ok := window(d.Instance.Date, u.Window)
		if !ok {
			continue
		}
		more, err := w.some(ctx, Filter{Backfill: d.Instance.Backfill, Node: u.Node, From: from, To: to, States: unfinished}, depth)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

// absent forgives what is not there any more.
func absent(err error) error {
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

// window is the dates of an upstream (RULES R5.3).
func window(date string, u *v1.DateWindow) (from, to string, ok bool) {
	d, err := calendar.ParseDate(date)
	if err != nil {
		return "", "", false
	}
	if u == nil {
		return date, date, true
	}
	first := d + calendar.Date(u.From)
	if u.FromMonthStart {
		first = d.MonthStart()
	}
	return first.String(), (d + calendar.Date(u.To)).String(), true
}

var unfinished = []v1.State{v1.StateFailed, v1.StateFrozen, v1.StateRunning, v1.StateWaitingTime, v1.StateNotRunning}

// gate goes on to what has not succeeded of the date before or, where that waits
// for a date before it in its turn, of the first date of the group.
func (w *walker) gate(ctx context.Context, c *Cause, d *v1.InstanceDetail, depth int) ([]*Cause, error) {
	b, err := w.backfill(ctx, d.Instance.Backfill)
	if err != nil || b == nil {
		return nil, err
	}
	date := d.Reason.Date
	f := Filter{Backfill: d.Instance.Backfill, States: unfinished}
	switch {
	case b.Request.Gate == v1.GateNode:
		f.Node = d.Instance.Node
	case b.Request.OnFailure == v1.OnFailureHold:
		k := slices.IndexFunc(b.Groups, func(g v1.GroupProgress) bool {
			return g.Group == d.Instance.Group && g.Current != "" && g.Current != date
		})
		if k >= 0 {
			date = b.Groups[k].Current
			c.Text += "; " + date + " is the first of the group that has not"
		}
	}
	f.From, f.To = date, date
	return w.some(ctx, f, depth)
}

// backfill asks for a backfill, once; nil where it may not be asked any more.
func (w *walker) backfill(ctx context.Context, id string) (*v1.Backfill, error) {
	if b := w.backfills[id]; b != nil {
		return b, nil
	}
	if !w.spend() {
		return nil, nil
	}
	b, err := w.source.Backfill(ctx, id)
	if err != nil {
		return nil, absent(err)
	}
	w.backfills[id] = b
	return b, nil
}

// some goes on to the first few instances that agree, and counts the rest. Where
// some have failed, are frozen or run, those that wait are taken to wait for them.
func (w *walker) some(ctx context.Context, f Filter, depth int) ([]*Cause, error) {
	const most = 1000
	f.Limit = most
	if !w.spend() {
		return nil, nil
	}
	list, more, err := w.source.Instances(ctx, f)
	if err != nil {
		return nil, absent(err)
	}
	slices.SortStableFunc(list, func(a, b v1.Instance) int {
		return cmp.Compare(slices.Index(unfinished, a.State), slices.Index(unfinished, b.State))
	})
	waits := slices.IndexFunc(list, func(i v1.Instance) bool { return i.State == v1.StateWaitingTime || i.State == v1.StateNotRunning })
	others := 0
	if waits > 0 {
		others, list = len(list)-waits, list[:waits]
	}
	var out []*Cause
	shown := 0
	for k, i := range list {
		if shown == w.Breadth || k == 4*w.Breadth { // the rest is taken to be alike
			break
		}
		c, err := w.instance(ctx, i, depth+1)
		if err != nil {
			return nil, err
		}
		if len(out) > 0 && c.nothingNew() {
			out[len(out)-1].More++
			continue
		}
		out = append(out, c)
		shown++
	}
	if len(out) == 0 {
		return nil, nil
	}
	last := out[len(out)-1]
	told := 0
	for _, c := range out {
		told += 1 + c.More
	}
	last.More += len(list) - told
	switch {
	case others > 0:
		text := fmt.Sprintf("%d others wait", others)
		if others == 1 {
			text = "1 other waits"
		}
		if more {
			text = "at least " + text
		}
		out = append(out, &Cause{Text: text, Above: true})
	default:
		last.Least = more
	}
	return out, nil
}

// nothingNew says that all that is below a cause was shown before.
func (c *Cause) nothingNew() bool {
	return c.Above || len(c.Because) > 0 && !slices.ContainsFunc(c.Because, func(b *Cause) bool { return !b.Above })
}

// slots tells who has the slots of a resource group.
func (w *walker) slots(ctx context.Context, group string) ([]*Cause, error) {
	key := "group " + group
	if w.seen[key] || group == "" {
		return []*Cause{{Text: fmt.Sprintf("slots of resource group %q: shown above", group), Above: true}}, nil
	}
	w.seen[key] = true
	if w.calls += 2; w.calls > w.Calls {
		return nil, nil
	}
	g, err := w.source.ResourceGroup(ctx, group)
	if err != nil {
		return nil, absent(err)
	}
	c := &Cause{Code: v1.ReasonCodeSlot, Text: fmt.Sprintf("resource group %q uses %d of its %d slots, backfills %d of them", group, g.Used, g.Slots, g.Backfills),
		Do: "add agents or slots (backfleet agent list --group " + group + "), or change what backfills may use (backfleet resource-group set)"}
	if g.Waiting != nil {
		c.Text += fmt.Sprintf("; %d wait for one", *g.Waiting)
	}
	held, err := w.source.Holders(ctx, group)
	if err != nil {
		return nil, absent(err)
	}
	slices.SortStableFunc(held, func(a, b v1.AgentAttempt) int { return a.Since.Compare(b.Since) })
	for k, h := range held {
		if k == w.Breadth {
			c.Because[k-1].More = len(held) - k
			break
		}
		text := fmt.Sprintf("has %d of them since %s UTC", h.Slots, h.Since.UTC().Format("2006-01-02 15:04:05"))
		if h.Stopping {
			text += ", and is being stopped"
		}
		c.Because = append(c.Because, &Cause{Instance: h.Instance, Node: h.Node, State: v1.StateRunning, Text: text})
	}
	return []*Cause{c}, nil
}

// Lines draws a cause and what is below it as a tree; word names a state.
func Lines(root *Cause, word func(v1.State) string) []string {
	var out []string
	var branch func(c *Cause, first, then string)
	branch = func(c *Cause, first, then string) {
		out = append(out, first+c.line(word))
		for _, l := range c.Lines {
			out = append(out, then+"  stderr: "+l)
		}
		for k, below := range c.Because {
			last, rest := k == len(c.Because)-1, below.rest()
			mark, bar := "├─ ", "│  "
			if last && rest == "" {
				mark, bar = "└─ ", "   "
			}
			branch(below, then+mark, then+bar)
			switch {
			case rest != "" && last:
				out = append(out, then+"└─ "+rest)
			case rest != "":
				out = append(out, then+"├─ "+rest)
			}
		}
	}
	branch(root, "", "")
	return out
}

func (c *Cause) line(word func(v1.State) string) string {
	line := c.Text
	if c.Instance != "" {
		name := strings.TrimSpace(c.Instance + " " + c.Node)
		if c.Date != "" {
			name += " " + c.Date
		}
		if c.State != "" {
			name += " " + word(c.State)
		}
		line = name + ": " + c.Text
	}
	if c.Cut {
		line += " (not followed further)"
	}
	return line
}

// rest says how many more like it there are.
func (c *Cause) rest() string {
	switch {
	case c.Least && c.More == 0:
		return "…and more like it"
	case c.Least:
		return fmt.Sprintf("…and at least %d more like it", c.More)
	case c.More > 0:
		return fmt.Sprintf("…and %d more like it", c.More)
	}
	return ""
}
