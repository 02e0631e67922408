package state

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// Unfinished says whether something in the plan runs or could still start.
func (p *Plan) Unfinished() bool {
	c := p.Total()
	return uint64(c[Pending]+c[Running]+c[Retrying]+c[Again])+c.Frozen() > 0
}

// MaxNamed bounds how many instances one operation may list, maxOffenders how
// many of those in the way an error names.
const (
	MaxNamed     = 100_000
	maxOffenders = 100
)

// form is what an operation can be asked for, and how it is called.
type form struct {
	verb                   string
	plan, dates, instances bool
}

var forms = map[wire.Operate_Kind]form{
	wire.Operate_STOP:            {verb: "stop", plan: true, instances: true},
	wire.Operate_PAUSE:           {verb: "pause", plan: true},
	wire.Operate_RESUME:          {verb: "resume", plan: true},
	wire.Operate_RERUN:           {verb: "run again", instances: true},
	wire.Operate_RERUN_FAILED:    {verb: "run again", plan: true},
	wire.Operate_SET_TO_SUCCESS:  {verb: "set to success", instances: true},
	wire.Operate_FREEZE:          {verb: "freeze", plan: true, dates: true, instances: true},
	wire.Operate_UNFREEZE:        {verb: "unfreeze", plan: true, dates: true, instances: true},
	wire.Operate_FORCE_RUN:       {verb: "force", instances: true},
	wire.Operate_REMOVE_UPSTREAM: {verb: "take an upstream from", instances: true},
	wire.Operate_SET_PRIORITY:    {verb: "change the priority of", instances: true},
}

// target is what an operation names of one plan.
type target struct {
	id    uint64
	p     *Plan
	whole bool
	dates []*wire.DateRange
	named []uint64 // ascending, without doubles
	list  []uint64 // what it comes to: the instances that change, likewise
	// leases as they stand: what is granted ahead waits, whatever its status.
	leases *leaseEdit
}

// operate does what a person asks for, to everything named or to nothing (RULES
// R9).
func (e *Edit) operate(c *wire.Command, o *wire.Operate) (*wire.Answer, error) {
	f, err := checkOperate(o)
	if err != nil {
		return nil, err
	}
	targets := e.targets(o)
	no := &refusal{verb: f.verb, single: len(targets) == 1 && targets[0].named == nil && targets[0].dates == nil}
	for _, t := range targets {
		if t.p == nil {
			no.add(fault.NotFound, plan.FormatID(t.id), "there is no such backfill")
			continue
		}
		t.resolve(o, no)
	}
	if err := no.err(); err != nil {
		return nil, err
	}
	answer := &wire.Answer{Plan: targets[0].id}
	for _, t := range targets {
		answer.Instances += e.carryOut(c, o, t)
	}
	return answer, nil
}

// checkOperate refuses what is wrong with an operation by itself.
func checkOperate(o *wire.Operate) (form, error) {
	f, ok := forms[o.Kind]
	switch {
	case !ok:
		return f, fault.Field("operation", "%d is not an operation this version knows", o.Kind)
	case len(o.Targets) == 0:
		return f, fault.Field("targets", "there is nothing to %s: name backfills or instances", f.verb)
	case o.Kind == wire.Operate_REMOVE_UPSTREAM && o.Upstream == "":
		return f, fault.Field("upstream", "it is empty: expected the node that is not to be waited for any more")
	case o.Kind != wire.Operate_REMOVE_UPSTREAM && o.Upstream != "":
		return f, fault.Field("upstream", "only removing an upstream has it: leave it out")
	case o.Kind == wire.Operate_SET_PRIORITY && !slices.Contains([]int32{1, 2, 3, 5, 7, 8}, o.Priority):
		return f, fault.Field("priority", "%d is no priority: expected 1, 2, 3, 5, 7 or 8", o.Priority)
	case o.Kind != wire.Operate_SET_PRIORITY && o.Priority != 0:
		return f, fault.Field("priority", "only changing the priority has it: leave it out")
	}
	named := 0
	for i, t := range o.Targets {
		field := fmt.Sprintf("targets[%d]", i)
		whole := len(t.Instances)+len(t.Dates) == 0
		switch {
		case whole && !f.plan:
			return f, fault.Field(field, "no instance of %s is named: one can only %s instances", plan.FormatID(t.Plan), f.verb)
		case len(t.Dates) > 0 && !f.dates:
			return f, fault.Field(field, "one cannot %s dates", f.verb)
		case len(t.Instances) > 0 && !f.instances:
			return f, fault.Field(field, "one cannot %s single instances this way: name backfills", f.verb)
		}
		for _, r := range t.Dates {
			if r.To < r.From {
				return f, fault.Field(field, "the range ends (%s) before it starts (%s): swap the two", calendar.Date(r.To), calendar.Date(r.From))
			}
		}
		named += len(t.Instances)
	}
	if named > MaxNamed {
		return f, fault.New(fault.TooLarge, "%d instances: expected at most %d in one call", named, MaxNamed)
	}
	return f, nil
}

// targets puts together what is named of each plan, in order.
func (e *Edit) targets(o *wire.Operate) []*target {
	byPlan := make(map[uint64]*target, len(o.Targets))
	for _, w := range o.Targets {
		t := byPlan[w.Plan]
		if t == nil {
			t = &target{id: w.Plan, leases: &e.leases}
			t.p, _ = e.plan(w.Plan)
			byPlan[w.Plan] = t
		}
		t.whole = t.whole || len(w.Instances)+len(w.Dates) == 0
		t.dates = append(t.dates, w.Dates...)
		t.named = append(t.named, w.Instances...)
	}
	out := slices.SortedFunc(maps.Values(byPlan), func(a, b *target) int { return cmp.Compare(a.id, b.id) })
	for _, t := range out {
		slices.Sort(t.named)
		t.named = slices.Compact(t.named)
	}
	return out
}

// resolve finds the instances that an operation changes, and whatever stands in
// its way.
func (t *target) resolve(o *wire.Operate, no *refusal) {
	id := plan.FormatID(t.id)
	if t.whole {
		if why := t.p.refuses(o.Kind); why != "" {
			no.add(fault.Conflict, id, why)
			return
		}
	}
	switch {
	case o.Kind == wire.Operate_RERUN_FAILED:
		t.list = t.p.where(Status.Failure, nil)
		if len(t.list) == 0 {
			no.add(fault.Conflict, id, "it has nothing to run again: give instances, or wait for a failure")
		}
	case t.whole && (o.Kind == wire.Operate_FREEZE || o.Kind == wire.Operate_UNFREEZE):
		t.list = t.where(o.Kind, nil)
	}
	if (o.Kind == wire.Operate_FREEZE || o.Kind == wire.Operate_UNFREEZE) && t.whole && len(t.list) == 0 {
		no.add(fault.Conflict, id, nothingTo[o.Kind])
	}
	t.resolveDates(o, no)
	for _, i := range t.named {
		if at, ok := t.p.Locate(i); !ok {
			no.add(fault.NotFound, plan.FormatInstance(t.id, i), fmt.Sprintf("there is no such instance: %s has %d, numbered from 0", id, t.p.Size()))
		} else if why := t.inTheWay(o, at, i).Text; why != "" {
			no.add(fault.Conflict, plan.FormatInstance(t.id, i), why)
		}
	}
	t.list = append(t.list, t.named...)
	slices.Sort(t.list)
	t.list = slices.Compact(t.list)
}

var nothingTo = map[wire.Operate_Kind]string{
	wire.Operate_FREEZE:   "nothing in it waits: there is nothing to freeze",
	wire.Operate_UNFREEZE: "nothing in it is frozen",
}

// resolveDates finds the instances of dates that an operation is about.
func (t *target) resolveDates(o *wire.Operate, no *refusal) {
	for _, r := range t.dates {
		found := t.where(o.Kind, r)
		switch field := plan.FormatID(t.id) + " " + rangeText(r); {
		case !t.p.hasDate(r):
			no.add(fault.NotFound, field, "the backfill has no such date")
		case len(found) == 0:
			no.add(fault.Conflict, field, nothingTo[o.Kind])
		}
		t.list = append(t.list, found...)
	}
}

func (p *Plan) hasDate(r *wire.DateRange) bool {
	return slices.ContainsFunc(p.Dates, func(d calendar.Date) bool { return within(d, r) })
}

// where lists what is to be frozen or unfrozen, of some dates or (nil) of all.
func (t *target) where(k wire.Operate_Kind, dates *wire.DateRange) []uint64 {
	is := Status.Waits
	if k == wire.Operate_UNFREEZE {
		is = Status.Frozen
	}
	out := t.p.where(is, dates)
	t.leases.eachOf(t.id, func(l *Lease) {
		at, _ := t.p.Locate(l.Instance)
		if l.allows(k) && (dates == nil || within(t.p.Dates[at.Pos], dates)) {
			out = append(out, l.Instance)
		}
	})
	return out
}

func within(d calendar.Date, r *wire.DateRange) bool { return int32(d) >= r.From && int32(d) <= r.To }

// where lists the instances of a status, of some dates or (nil) of all. Only
// dates that have some are looked at.
func (p *Plan) where(is func(Status) bool, dates *wire.DateRange) []uint64 {
	var out []uint64
	for pos, d := range p.Dates {
		if dates != nil && !within(d, dates) {
			continue
		}
		some, counts := false, p.DateCounts(pos)
		for st, n := range counts {
			some = some || n > 0 && is(Status(st))
		}
		if !some {
			continue
		}
		for from, to := range p.Ranges(pos) {
			for i := from; i < to; i++ {
				if is(p.Status(i)) {
					out = append(out, i)
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

// refuses says why an operation cannot be done to the whole plan; empty when it
// can.
func (p *Plan) refuses(k wire.Operate_Kind) string {
	switch {
	case k == wire.Operate_RERUN_FAILED:
		return ""
	case !p.Unfinished() && (k != wire.Operate_RESUME || !p.Stopped && !p.Halted):
		return "it is finished: there is nothing left to " + forms[k].verb
	case k == wire.Operate_PAUSE && p.Stopped:
		return "it is stopped: resume it before you pause it"
	}
	return ""
}

// inTheWay says why an operation cannot be done to an instance (RULES R9).
func (t *target) inTheWay(o *wire.Operate, at plan.Place, i uint64) Obstacle {
	l, _ := t.leases.get(t.id, i)
	return t.p.inTheWay(o.Kind, l, i, func() string { return t.p.keeps(at, i, o.Upstream) })
}

// inTheWay is told the instance's lease (nil: none), and what keeps the upstream that
// is to be removed.
func (p *Plan) inTheWay(k wire.Operate_Kind, l *Lease, i uint64, keeps func() string) Obstacle {
	if l != nil && l.Ahead {
		return l.inTheWay(k)
	}
	st := p.Status(i)
	switch k {
	case wire.Operate_STOP:
		if st == Running || st.Waits() {
			return Obstacle{}
		}
	case wire.Operate_RERUN:
		// One that waited when its plan was stopped waits for nobody any more.
		if st == Pending || st.Success() || st.Failure() || st.Waits() && p.Stopped && !p.Named(i) {
			return Obstacle{}
		}
	case wire.Operate_SET_TO_SUCCESS:
		if st.Failure() {
			return Obstacle{}
		}
	case wire.Operate_UNFREEZE:
		if st.Frozen() {
			return Obstacle{}
		}
		return Obstacle{Kind: IsNotFrozen, Text: "it is not frozen"}
	case wire.Operate_REMOVE_UPSTREAM:
		if st.Waits() {
			if why := keeps(); why != "" {
				return Obstacle{Kind: NoUpstream, Text: why}
			}
			return Obstacle{}
		}
	default: // freeze, force, priority
		if st.Waits() {
			return Obstacle{}
		}
	}
	return present(st, k)
}

// present says what an instance does now, and what to do about it first.
func present(st Status, k wire.Operate_Kind) Obstacle {
	switch {
	case st == Running && k == wire.Operate_FORCE_RUN:
		return Obstacle{Kind: RunsAlready, Text: "it runs already"}
	case st == Running:
		return Obstacle{Kind: Runs, Text: "it runs: stop it first, or wait for its end"}
	case st.Frozen():
		return Obstacle{Kind: IsFrozen, Text: "it is frozen: unfreeze it first"}
	case st.Waits() && k == wire.Operate_SET_TO_SUCCESS:
		return Obstacle{Kind: HasNotFailed, Text: "it waits: only what has failed can be set to success"}
	case st.Waits():
		return Obstacle{Kind: WaitsAlready, Text: "it waits to run already"}
	case st.Failure():
		return Obstacle{Kind: HasFailed, Text: "it has failed: run it again first"}
	default:
		return Obstacle{Kind: HasSucceeded, Text: "it has succeeded: run it again first"}
	}
}

// keeps says why an upstream cannot be taken from an instance; empty when it
// can.
func (p *Plan) keeps(at plan.Place, i uint64, upstream string) string {
	id := p.Nodes[at.Node].Spec.Id
	switch {
	case p.Removed(i, upstream):
		return fmt.Sprintf("%q was taken from it already", upstream)
	case p.waitsFor(at, upstream):
		return ""
	case id == upstream:
		return fmt.Sprintf("node %q does not depend on itself", id)
	}
	return fmt.Sprintf("node %q has no upstream %q", id, upstream)
}

// waitsFor says whether an instance depends on another node, or on its own.
func (p *Plan) waitsFor(at plan.Place, upstream string) (found bool) {
	spec := p.Nodes[at.Node].Spec
	if spec.Id == upstream {
		return spec.DependsOnSelf
	}
	if slices.ContainsFunc(spec.Upstreams, func(u *wire.Upstream) bool { return u.Node == upstream }) {
		return true
	}
	// A child, whose previous cycle it waits for (RULES R5.3).
	p.Upstreams(at, func(up int, _, _ uint64) bool {
		found = p.Nodes[up].Spec.Id == upstream
		return !found
	})
	p.Abroad(at, func(n plan.Need) bool {
		found = found || n.Node == upstream
		return !found
	})
	return found
}

// refusal collects what stands in the way of an operation.
type refusal struct {
	verb    string
	single  bool // one plan is all that was named
	code    fault.Code
	details []fault.Detail
	more    int
}

func (r *refusal) add(code fault.Code, field, message string) {
	if r.code == "" || code == fault.NotFound {
		r.code = code
	}
	if len(r.details) == maxOffenders {
		r.more++
		return
	}
	r.details = append(r.details, fault.Detail{Field: field, Message: message})
}

// err names everything that stood in the way, up to a hundred; nil when
// nothing did.
func (r *refusal) err() error {
	switch {
	case len(r.details) == 0:
		return nil
	case r.single && r.code == fault.NotFound:
		return fault.New(r.code, "there is no backfill %s", r.details[0].Field)
	case r.single:
		return fault.New(r.code, "backfill %s: %s", r.details[0].Field, r.details[0].Message)
	}
	err := fault.New(r.code, "one cannot %s all that was named: nothing was changed", r.verb).WithDetails(r.details...)
	if r.more > 0 {
		err.WithDetails(fault.Detail{Message: fmt.Sprintf("and %d more", r.more)})
	}
	return err
}

func noPlan(id uint64) error {
	return fault.New(fault.NotFound, "there is no backfill %s", plan.FormatID(id))
}
