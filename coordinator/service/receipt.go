package service

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/coordinator/schedule"
	"backfleet/coordinator/state"
	"backfleet/pkg/calendar"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// totals puts every instance into exactly one column (RULES R13.6).
func totals(c state.Counts, bridges uint64) v1.ReceiptTotals {
	t := v1.ReceiptTotals{
		Succeeded: int64(c[state.Succeeded]), SetToSuccess: int64(c[state.SetToSuccess]), DryRun: int64(c[state.DryRun]),
		Failed: int64(c[state.Failed]), Stopped: int64(c[state.Stopped]), Frozen: int64(c.Frozen()),
		Running: int64(c[state.Running]),
		Waiting: int64(c[state.Pending]) + int64(c[state.Retrying]) + int64(c[state.Again]),
		Bridges: int64(bridges),
	}
	t.Generated = t.Succeeded + t.SetToSuccess + t.DryRun + t.Failed + t.Stopped + t.Frozen + t.Running + t.Waiting
	t.Asked = t.Generated - t.Bridges
	return t
}

func isBridge(p *state.Plan, n int) bool { return p.Nodes[n].DryRun == wire.DryRun_NOT_CHOSEN }

func planTotals(p *state.Plan) v1.ReceiptTotals {
	var bridges uint64
	for n := range p.Nodes {
		if isBridge(p, n) {
			bridges += p.NodeSize(n)
		}
	}
	return totals(p.Total(), bridges)
}

// instancesMost bounds the ranges and instances that one page of a receipt goes
// through.
const instancesMost = 2_000_000

// receipt gathers the rows of one page.
type receipt struct {
	*reading
	p     *state.Plan
	f     server.InstanceFilter
	nodes []int // those that the filter keeps
	dates []int // positions that the filter keeps, by date
	cost  uint64
	m     *motion
	apart bool // something was forced or run again in spite of what holds the rest
}

// Receipt implements server.Reads. Rows by node are in the plan's order,
// upstreams first. A page may be short and have a Next.
func (s *Service) Receipt(_ context.Context, planID uint64, by v1.ReceiptBy, f server.InstanceFilter, page server.Page) (*v1.Receipt, error) {
	r := s.read()
	p, err := r.plan(planID)
	if err != nil {
		return nil, err
	}
	return r.receipt(p, by, f, page)
}

func (r *reading) receipt(p *state.Plan, by v1.ReceiptBy, f server.InstanceFilter, page server.Page) (*v1.Receipt, error) {
	out := &v1.Receipt{Backfill: plan.FormatID(p.ID), By: by, Totals: planTotals(p), Rows: []v1.ReceiptRow{}}
	t := &receipt{reading: r, p: p, f: f, m: r.motion(p)}
	p.EachForced(func(uint64) { t.apart = true })
	p.EachNamed(func(uint64) { t.apart = true })
	defer func() { r.glances -= int(t.cost) }()
	if err := t.choose(); err != nil {
		return nil, err
	}
	list := "receipt-" + string(by)
	first, err := t.first(page, list, by)
	if err != nil {
		return nil, err
	}
	for k := first; k < t.rows(by); k++ {
		if len(out.Rows) == page.Limit || len(out.Rows) > 0 && (t.cost > instancesMost || t.left <= 0) {
			out.Next = cursor(list, t.key(by, k-1))
			break
		}
		out.Rows = append(out.Rows, t.row(by, k))
	}
	return out, nil
}

func (t *receipt) choose() error {
	if err := inPlan(t.p.Plan, t.f.Nodes); err != nil {
		return err
	}
	var all bool
	if t.nodes, all = chosen(t.p.Plan, t.f.Nodes); all {
		for n := range t.p.Nodes {
			t.nodes = append(t.nodes, n)
		}
	}
	for pos, d := range t.p.Dates {
		if within(d, t.f.From, t.f.To) {
			t.dates = append(t.dates, pos)
		}
	}
	if t.p.Request.Order == wire.Request_DESCENDING {
		slices.Reverse(t.dates)
	}
	return nil
}

func (t *receipt) rows(by v1.ReceiptBy) int {
	switch by {
	case v1.ReceiptByDate:
		return len(t.dates)
	case v1.ReceiptByNodeAndDate:
		return len(t.dates) * len(t.nodes)
	default:
		return len(t.nodes)
	}
}

// key names the k-th row.
func (t *receipt) key(by v1.ReceiptBy, k int) string {
	switch by {
	case v1.ReceiptByDate:
		return strconv.Itoa(int(t.p.Dates[t.dates[k]]))
	case v1.ReceiptByNodeAndDate:
		return strconv.Itoa(int(t.p.Dates[t.dates[k/len(t.nodes)]])) + "/" + strconv.Itoa(t.nodes[k%len(t.nodes)])
	default:
		return strconv.Itoa(t.nodes[k])
	}
}

// first is the row after the one that the cursor names. Nodes and dates of a
// plan do not change, so the name can be found again unless the filter is
// another one.
func (t *receipt) first(page server.Page, list string, by v1.ReceiptBy) (int, error) {
	name, err := after(page, list)
	if err != nil || name == "" {
		return 0, err
	}
	head, tail, _ := strings.Cut(name, "/")
	a, errA := strconv.Atoi(head)
	b, errB := strconv.Atoi(cmp.Or(tail, "0"))
	if errA != nil || errB != nil {
		return 0, badCursor()
	}
	node := func(n int) int { return slices.Index(t.nodes, n) }
	date := func(d int) int {
		return slices.IndexFunc(t.dates, func(pos int) bool { return t.p.Dates[pos] == calendar.Date(d) })
	}
	k := -1
	switch by {
	case v1.ReceiptByDate:
		k = date(a)
	case v1.ReceiptByNodeAndDate:
		if d, n := date(a), node(b); d >= 0 && n >= 0 {
			k = d*len(t.nodes) + n
		}
	default:
		k = node(a)
	}
	if k < 0 {
		return 0, badCursor()
	}
	return k + 1, nil
}

func (t *receipt) row(by v1.ReceiptBy, k int) v1.ReceiptRow {
	nodes, dates := t.nodes, t.dates
	var out v1.ReceiptRow
	switch by {
	case v1.ReceiptByDate:
		dates = dates[k : k+1]
	case v1.ReceiptByNodeAndDate:
		dates, nodes = dates[k/len(nodes):k/len(nodes)+1], nodes[k%len(nodes):k%len(nodes)+1]
	default:
		nodes = nodes[k : k+1]
	}
	if by != v1.ReceiptByDate {
		out.Node = t.p.Nodes[nodes[0]].Spec.Id
	}
	if by != v1.ReceiptByNode {
		out.Date = t.p.Dates[dates[0]].String()
	}
	c, bridges := t.add(nodes, dates)
	out.Totals = totals(c, bridges)
	out.Reasons = t.reasons(c, nodes, dates)
	return out
}

// add counts the instances of some nodes and dates, from the plan's counters
// where these stand for all of them.
func (t *receipt) add(nodes, dates []int) (c state.Counts, bridges uint64) {
	switch {
	case len(nodes) == 1 && len(dates) == len(t.p.Dates):
		c = t.p.NodeCounts(nodes[0])
		if isBridge(t.p, nodes[0]) {
			bridges = t.p.NodeSize(nodes[0])
		}
		t.cost += uint64(len(dates))
	case len(nodes) == len(t.p.Nodes) && len(dates) == 1:
		c = t.p.DateCounts(dates[0])
		t.each(nodes, dates, func(_, n int, from, to uint64) bool {
			if isBridge(t.p, n) {
				bridges += to - from
			}
			return true
		})
	default:
		t.each(nodes, dates, func(pos, n int, from, to uint64) bool {
			if isBridge(t.p, n) {
				bridges += to - from
			}
			if status, all := t.uniform(pos); all {
				c[status] += uint32(to - from)
				return true
			}
			part := countRange(t.p, from, to)
			for i := range c {
				c[i] += part[i]
			}
			t.cost += to - from
			return true
		})
	}
	return c, bridges
}

// uniform says that all instances of a position have one status, by its
// counters.
func (t *receipt) uniform(pos int) (state.Status, bool) {
	c := t.p.DateCounts(pos)
	switch {
	case c.Started() == 0:
		return state.Pending, true
	case uint64(c[state.Succeeded]) == t.p.DateSize(pos):
		return state.Succeeded, true
	default:
		return 0, false
	}
}

func (t *receipt) each(nodes, dates []int, f func(pos, n int, from, to uint64) bool) {
	for _, pos := range dates {
		for _, n := range nodes {
			t.cost++
			if from, to := t.p.NodeRange(pos, n); from < to && !f(pos, n, from, to) {
				return
			}
		}
	}
}

// reasons says why instances that did not plainly succeed are where they are.
// Dates that have not begun are told by what holds them all, not one by one.
func (t *receipt) reasons(c state.Counts, nodes, dates []int) []v1.ReceiptReason {
	open := c.Started() + uint64(c[state.Pending]) - uint64(c[state.Succeeded])
	if open == 0 {
		return nil
	}
	found := map[whereabouts]int64{}
	looked := uint64(0)
	for _, pos := range dates {
		if looked >= open || t.cut {
			break
		}
		status, all := t.uniform(pos)
		if all && status == state.Succeeded {
			continue
		}
		held := whereabouts{}
		if all {
			held = t.held(pos)
		}
		if held.text == "" {
			looked += t.one(nodes, pos, open-looked, found)
			continue
		}
		n := t.p.DateSize(pos)
		if len(nodes) < len(t.p.Nodes) {
			n = 0
			t.each(nodes, []int{pos}, func(_, _ int, from, to uint64) bool { n += to - from; return true })
		}
		found[held] += int64(n)
		looked += n
	}
	if rest := open - looked; rest > 0 {
		found[whereabouts{v1.ReceiptCodeNotLookedAt, "not looked at: ask for fewer nodes or dates"}] = int64(rest)
	}
	var out []v1.ReceiptReason
	for at, n := range found {
		out = append(out, v1.ReceiptReason{Code: at.code, Text: at.text, Instances: n})
	}
	slices.SortFunc(out, func(a, b v1.ReceiptReason) int {
		return cmp.Or(cmp.Compare(b.Instances, a.Instances), cmp.Compare(a.Text, b.Text))
	})
	return out
}

// one asks the instances of a position one by one, until so many were found.
func (t *receipt) one(nodes []int, pos int, open uint64, found map[whereabouts]int64) (looked uint64) {
	t.each(nodes, []int{pos}, func(_, _ int, from, to uint64) bool {
		for i := from; i < to && looked < open; i++ {
			t.cost++
			if t.p.Status(i) == state.Succeeded {
				continue
			}
			if !t.spend() {
				return false
			}
			looked++
			found[t.why(i)]++
		}
		return looked < open
	})
	return looked
}

// whereabouts is where an instance stands, the same for many.
type whereabouts struct {
	code v1.ReceiptCode
	text string // in a few words
}

// held is why nothing of a position that has not begun can start, where that
// holds for all of it: the plan as a whole, or the date before. Empty: each has
// to be asked.
func (t *receipt) held(pos int) whereabouts {
	switch {
	case t.apart:
		return whereabouts{}
	case t.p.Stopped:
		return blocked[schedule.PlanStopped]
	case t.p.Paused:
		return blocked[schedule.PlanPaused]
	case t.p.Halted:
		return blocked[schedule.PlanHalted]
	case t.m.Held(pos):
		return blocked[schedule.Gate]
	default:
		return whereabouts{}
	}
}

// why says where an instance stands.
func (t *receipt) why(i uint64) whereabouts {
	switch status := t.p.Status(i); {
	case status == state.Running && t.queued(t.p, i) != nil:
		return whereabouts{v1.ReceiptCodeQueuedAtAgent, "queued at an agent"}
	case status == state.Running:
		return whereabouts{v1.ReceiptCodeRunning, "running"}
	case status == state.DryRun:
		place, _ := t.p.Locate(i)
		return whereabouts{v1.ReceiptCodeDryRun, "dry run: " + dryRunTexts[t.p.Dry(place)]}
	case status == state.SetToSuccess:
		text := "set to success"
		if o := lastMark(t.p, i, wire.Operate_SET_TO_SUCCESS); o != nil {
			text += " by " + deed(o)
		}
		return whereabouts{v1.ReceiptCodeSetToSuccess, text}
	case status.Frozen():
		return whereabouts{v1.ReceiptCodeFrozen, t.frozen(i)}
	case status == state.Stopped:
		return whereabouts{v1.ReceiptCodeInstanceStopped, "stopped: " + strings.TrimPrefix(t.cause(i), "stopped ")}
	case status == state.Failed:
		return whereabouts{v1.ReceiptCodeFailed, "failed: " + t.cause(i)}
	}
	place, _ := t.p.Locate(i)
	_, b := schedule.Instance(t.st, t.p, place, t.nowMs)
	return blocked[b.Kind]
}

func (t *receipt) frozen(i uint64) string {
	text := "frozen: its node is paused"
	if o := lastMark(t.p, i, wire.Operate_FREEZE); o != nil {
		text = "frozen by " + deed(o)
	}
	if t.p.Status(i) == state.Missed {
		text += ", and could have started meanwhile"
	}
	return text
}

// cause says why an instance ended without success: what a person did to it
// since its last attempt, else what that came to.
func (t *receipt) cause(i uint64) string {
	a := t.st.Attempts(t.p, i)
	if text := ended(t.p, i, len(a)); text != "" {
		return text
	}
	if len(a) == 0 {
		return "no attempt"
	}
	last := a[len(a)-1]
	return cmp.Or(last.Cause, fmt.Sprintf("exit code %d", last.ExitCode))
}

// blocked says of what keeps an instance from starting where that lets it stand.
var blocked = map[schedule.Kind]whereabouts{
	schedule.Nothing:     {v1.ReceiptCodeSlot, "waits for a slot"},
	schedule.MaxRunning:  {v1.ReceiptCodeMaxRunning, "the backfill runs as many as it may"},
	schedule.PlanStopped: {v1.ReceiptCodeStopped, "the backfill is stopped"},
	schedule.PlanPaused:  {v1.ReceiptCodePaused, "the backfill is paused"},
	schedule.PlanHalted:  {v1.ReceiptCodeHalted, "the backfill was to stop after so many failures"},
	schedule.Frozen:      {v1.ReceiptCodeFrozen, "frozen"},
	schedule.Gate:        {v1.ReceiptCodeGate, "a date before it in its group has not finished"},
	schedule.Upstream:    {v1.ReceiptCodeUpstream, "an upstream instance has not succeeded"},
	schedule.Predecessor: {v1.ReceiptCodeSelfDependency, "its own cycle before has not succeeded"},
	schedule.Overlap:     {v1.ReceiptCodeOverlap, "another backfill has the same cycle"},
	schedule.Due:         {v1.ReceiptCodeNotDue, "not due yet"},
	schedule.Retry:       {v1.ReceiptCodeRetry, "waits for its retry"},
	schedule.Window:      {v1.ReceiptCodeWindow, "outside its execution period"},
	schedule.Conflict:    {v1.ReceiptCodeConflict, "the schedule and a backfill want the same node"},
}
