// Package notify tells people what became of backfills and nodes (RULES R15.6).
// What is to be told is a function of the facts and the moment; on the leader,
// Raiser puts it into the replicated outbox and Deliverer sends it. DESIGN.md
// beside this file has the reasons.
package notify

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"backfleet/coordinator/schedule"
	"backfleet/coordinator/state"
	"backfleet/pkg/node"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// Settings are what an operator may set; 0 stands for the default.
type Settings struct {
	// StuckAfter is how long nothing of a plan must have run or ended. Default:
	// 30 minutes.
	StuckAfter time.Duration
	// Gather is how long failures are waited for that are told together.
	// Default: 10 seconds.
	Gather time.Duration
	// Patience is how long a channel that refuses is tried. Default: 24 hours.
	Patience time.Duration
	// KeepDelivered and KeepDead are how long notifications are kept that were
	// delivered or are dead. Default: 7 and 30 days.
	KeepDelivered, KeepDead time.Duration
}

func (s *Settings) complete() {
	or := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	const day = 24 * time.Hour
	or(&s.StuckAfter, 30*time.Minute)
	or(&s.Gather, 10*time.Second)
	or(&s.Patience, day)
	or(&s.KeepDelivered, 7*day)
	or(&s.KeepDead, 30*day)
}

const (
	// failuresLooked is how many failed instances of a plan or node are looked at
	// to tell new ones from old ones; further ones count as new.
	failuresLooked = 10_000
	// mostLooks bounds what one view of a plan may cost: so many instances are
	// asked what they wait for. A plan that needs more counts as going on.
	mostLooks = 200_000
)

// want is that a channel is told of an occasion.
type want struct {
	channel  string
	occasion wire.Occasion
}

// Wants are the subscriptions that bear on a plan: the backfill's own, and those
// of its nodes as the plan pins them (RULES R1.6).
type Wants struct {
	plan  []want
	nodes []nodeWants
	quiet bool // somebody wants to be told when nothing goes on, or that it is stuck
}

type nodeWants struct {
	n     int // index in the plan
	id    string
	wants []want
}

// WantsOf finds them; nil when nobody wants to be told anything. It looks at
// every node of the plan.
func WantsOf(p *state.Plan) *Wants {
	w := &Wants{plan: wantsOf(p.Request.GetNotify(), true)}
	for n := range p.Nodes {
		spec := p.Nodes[n].Spec
		if len(spec.Notify) > 0 && p.DryNode(n) == wire.DryRun_DRY_RUN_NONE {
			w.nodes = append(w.nodes, nodeWants{n, spec.Id, wantsOf(spec.Notify, false)})
		}
	}
	if len(w.plan) == 0 && len(w.nodes) == 0 {
		return nil
	}
	note := func(list []want) {
		for _, one := range list {
			w.quiet = w.quiet || one.occasion == wire.Occasion_FINISHED || one.occasion == wire.Occasion_STUCK
		}
	}
	note(w.plan)
	for _, n := range w.nodes {
		note(n.wants)
	}
	return w
}

func wantsOf(list []*wire.Subscription, backfill bool) (out []want) {
	for _, s := range list {
		for _, o := range node.OccasionsOf(s, backfill) {
			out = append(out, want{s.Channel, o})
		}
	}
	return out
}

// View is what one plan gives cause to tell at a moment.
type View struct {
	Due   []*wire.Notification
	Next  time.Time // when there may be more although nothing changes; zero: never
	Timed bool      // something waits for its time, so that what waits is not stuck
	Looks int       // what it cost
}

// Look views a plan. calmMs is when it was last seen to wait for its time (unix
// milliseconds), 0: it was not.
func Look(st *state.State, p *state.Plan, w *Wants, calmMs int64, now time.Time, set Settings) View {
	set.complete()
	if w == nil {
		return View{}
	}
	l := &looker{st: st, p: p, set: set, nowMs: now.UnixMilli(), calmMs: calmMs}
	l.epochs()
	if w.quiet {
		l.motion()
	}
	for _, one := range w.plan {
		l.ofPlan(one)
	}
	for i := range w.nodes {
		for _, one := range w.nodes[i].wants {
			l.ofNode(&w.nodes[i], one)
		}
	}
	return l.out
}

// Due is all that is to be told at a moment: what a new leader begins with.
func Due(st *state.State, now time.Time, set Settings) (out []*wire.Notification) {
	st.Plans(0, func(p *state.Plan) bool {
		out = append(out, Look(st, p, WantsOf(p), 0, now, set).Due...)
		return true
	})
	return out
}

type looker struct {
	st     *state.State
	p      *state.Plan
	set    Settings
	nowMs  int64
	calmMs int64
	out    View

	epoch   uint64 // number of the operation that set something going last; 0: none did
	epochMs int64
	done    bool // nothing of it goes on
	stuck   bool
}

// sets says whether an operation sets something going, so that what was told
// before may be told again.
func sets(o *wire.Operation) bool {
	if o.Edit {
		return true
	}
	switch o.Kind {
	case wire.Operate_STOP, wire.Operate_PAUSE, wire.Operate_FREEZE, wire.Operate_SET_PRIORITY:
		return false
	}
	return true
}

// epochs finds the newest operation that sets something going.
func (l *looker) epochs() {
	for number := l.p.LastOperation(); number > 0; number-- {
		if o, ok := l.p.Operation(number); ok && sets(o) {
			l.epoch, l.epochMs = number, o.AtMs
			return
		}
	}
}

// after is when the first operation after a number set something going.
func (l *looker) after(told uint64) (ms int64) {
	for number := l.p.LastOperation(); number > told; number-- {
		if o, ok := l.p.Operation(number); ok && sets(o) {
			ms = o.AtMs
		}
	}
	return ms
}

// motion finds out whether the plan goes on, and whether it is stuck. Both are
// false of one that a person holds: by a pause, or by freezing all that is left.
func (l *looker) motion() {
	p := l.p
	if p.Active() > 0 || p.Paused {
		return
	}
	m := schedule.NewMotion(l.st, p, l.nowMs, func() bool { l.out.Looks++; return l.out.Looks <= mostLooks })
	c := p.Total()
	if m.Quiet() {
		l.done = p.Succeeded() || p.Stopped || p.Halted || c[state.Failed]+c[state.Stopped] > 0
		if l.done || c.Frozen() > 0 {
			return
		}
	} else if m.AnyTimed() {
		l.out.Timed = true
		l.next(l.nowMs + min(l.set.StuckAfter, time.Minute).Milliseconds())
		return
	}
	idle := max(p.ChangedMs, l.calmMs) + l.set.StuckAfter.Milliseconds()
	if l.stuck = idle <= l.nowMs; !l.stuck {
		l.next(idle)
	}
}

func (l *looker) next(ms int64) {
	if at := time.UnixMilli(ms); l.out.Next.IsZero() || at.Before(l.out.Next) {
		l.out.Next = at
	}
}

// family is the key of what a channel is told, but for the epoch, which comes
// last.
func (l *looker) family(w want, nodeID string) string {
	return plan.FormatID(l.p.ID) + "/" + node.Occasions[w.occasion-wire.Occasion_FAILURE] + "/" + w.channel + "/" + nodeID + "@"
}

// toldIn is the last epoch in which something of a family was told.
func (l *looker) toldIn(family string) (epoch uint64, ever bool) {
	l.st.EachTold(l.p.ID, family, func(key string) {
		if n, err := strconv.ParseUint(key[len(family):], 10, 64); err == nil {
			epoch, ever = max(epoch, n), true
		}
	})
	return epoch, ever
}

// once says whether something that is so may be told: not yet in this epoch; and
// an end not again when nothing has happened since it began.
func (l *looker) once(family string, o wire.Occasion) bool {
	told, ever := l.toldIn(family)
	return !ever || told < l.epoch && (o == wire.Occasion_STUCK || l.p.ChangedMs > l.epochMs)
}

func (l *looker) tell(w want, n *wire.Notification, family, nodeID string) {
	n.Key, n.Channel, n.Occasion = family+strconv.FormatUint(l.epoch, 10), w.channel, w.occasion
	n.Plan, n.Node, n.AtMs = l.p.ID, nodeID, l.nowMs
	l.out.Due = append(l.out.Due, n)
}

func (l *looker) ofPlan(w want) {
	family, c := l.family(w, ""), l.p.Total()
	if w.occasion == wire.Occasion_FAILURE {
		l.failed(w, family, "", -1, c)
		return
	}
	text := ""
	switch is := l.is(w.occasion, c, l.p.Size()); {
	case !is || !l.once(family, w.occasion):
		return
	case w.occasion == wire.Occasion_SUCCESS:
		text = "all " + instances(l.p.Size()) + " succeeded"
	case w.occasion == wire.Occasion_FINISHED:
		text = l.finishedText(c, l.p.Size())
	default:
		text = l.stuckText(waits(c))
	}
	l.tell(w, &wire.Notification{Text: l.subject() + ": " + text}, family, "")
}

func (l *looker) ofNode(n *nodeWants, w want) {
	family, c, size := l.family(w, n.id), l.p.NodeCounts(n.n), l.p.NodeSize(n.n)
	if w.occasion == wire.Occasion_FAILURE {
		l.failed(w, family, n.id, n.n, c)
		return
	}
	text := ""
	switch is := l.is(w.occasion, c, size); {
	case !is || size == 0 || !l.once(family, w.occasion):
		return
	case w.occasion == wire.Occasion_SUCCESS:
		text = "all " + instances(size) + " succeeded"
	case w.occasion == wire.Occasion_FINISHED:
		text = l.finishedText(c, size)
	default:
		text = l.stuckText(waits(c))
	}
	l.tell(w, &wire.Notification{Text: "node " + n.id + " in " + l.subject() + ": " + text}, family, n.id)
}

// is says whether an occasion has come for what has these counts: a plan, or a
// node in it. A node has finished when each of its instances has ended, or its
// plan has.
func (l *looker) is(o wire.Occasion, c state.Counts, size uint64) bool {
	switch o {
	case wire.Occasion_SUCCESS:
		return c.Success() == size
	case wire.Occasion_FINISHED:
		return l.done || c[state.Running] == 0 && waits(c) == 0 && c.Frozen() == 0
	case wire.Occasion_STUCK:
		return l.stuck && waits(c) > 0
	}
	return false
}

func waits(c state.Counts) uint64 {
	return uint64(c[state.Pending]) + uint64(c[state.Retrying]) + uint64(c[state.Again])
}

// failed tells of failures since those that were told of last, once they have
// been gathered. n is a node of the plan, -1: all of it.
func (l *looker) failed(w want, family, nodeID string, n int, c state.Counts) {
	if c[state.Failed] == 0 {
		return
	}
	told, ever := l.toldIn(family)
	if ever && told == l.epoch {
		return
	}
	since := int64(0)
	if ever {
		since = l.after(told)
	}
	found := l.failures(n, since, uint64(c[state.Failed]))
	if found.count == 0 {
		return
	}
	if at := found.earliestMs + l.set.Gather.Milliseconds(); at > l.nowMs && !l.done {
		l.next(at)
		return
	}
	l.tell(w, &wire.Notification{
		Instance: found.first, WithInstance: true, Count: found.count, Text: l.failureText(found),
	}, family, nodeID)
}

// failures are the instances of a plan or a node that have failed since a moment.
type failures struct {
	first      uint64 // by number
	count      uint64
	earliestMs int64
}

var failedOnly = state.Statuses(0).With(state.Failed)

func (l *looker) failures(n int, sinceMs int64, all uint64) (f failures) {
	looked := uint64(0)
	in := func(from, to uint64) {
		for i, ok := l.p.Next(from, to, failedOnly); ok && looked < failuresLooked; i, ok = l.p.Next(i+1, to, failedOnly) {
			looked++
			ms := l.p.SettledMs(i)
			if ms < sinceMs {
				continue
			}
			if f.count++; f.count == 1 {
				f.first, f.earliestMs = i, ms
			}
			f.earliestMs = min(f.earliestMs, ms)
		}
	}
	if n < 0 {
		in(0, l.p.Size())
	} else {
		for pos := range l.p.Dates {
			in(l.p.NodeRange(pos, n))
		}
	}
	if f.count > 0 && looked == failuresLooked {
		f.count += all - looked
	}
	return f
}

// subject names a plan for people.
func (l *looker) subject() string {
	if l.p.Auto {
		return "the schedule of " + l.p.Dates[0].String()
	}
	return fmt.Sprintf("backfill %s %q", plan.FormatID(l.p.ID), clip(l.p.Name, 200))
}

func (l *looker) failureText(f failures) string {
	at, _ := l.p.Locate(f.first)
	which := l.p.Nodes[at.Node].Spec.Id + " of " + l.p.Dates[at.Pos].String()
	text := l.subject() + ": " + which + " has failed"
	if f.count > 1 {
		text = fmt.Sprintf("%s: %s failed, the first of them %s", l.subject(), instances(f.count), which)
	}
	if attempts := l.st.Attempts(l.p, f.first); len(attempts) > 0 {
		if cause := attempts[len(attempts)-1].Cause; cause != "" {
			text += " (" + clip(strings.Join(strings.Fields(cause), " "), 300) + ")"
		}
	}
	return text
}

func (l *looker) finishedText(c state.Counts, size uint64) string {
	text := fmt.Sprintf("finished, %d of %d instances have succeeded", c.Success(), size)
	if n := uint64(c[state.Failed]) + uint64(c[state.Stopped]); n > 0 {
		text += fmt.Sprintf(", %d have failed", n)
	}
	if n := waits(c) + c.Frozen(); n > 0 {
		text += fmt.Sprintf(", %d have not run", n)
	}
	return text
}

func (l *looker) stuckText(left uint64) string {
	since := max(l.p.ChangedMs, l.calmMs)
	return fmt.Sprintf("nothing has run or ended since %s, and %s not begun",
		time.UnixMilli(since).UTC().Format("2006-01-02 15:04:05 UTC"), instances(left))
}

// instances counts for people: "1 instance has", "2 instances have".
func instances(n uint64) string {
	if n == 1 {
		return "1 instance has"
	}
	return fmt.Sprintf("%d instances have", n)
}

// clip cuts foreign text.
func clip(s string, most int) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
