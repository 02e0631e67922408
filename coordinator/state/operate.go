package state

import (
	"fmt"
	"slices"

	iradix "github.com/hashicorp/go-immutable-radix/v2"

	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// Unfinished says whether something in the plan runs or could still start.
func (p *Plan) Unfinished() bool {
	c := p.Total()
	return c[Pending]+c[Running]+c[Frozen]+c[Retrying]+c[Again] > 0
}

// operate stops, pauses or resumes a plan (RULES R9).
func (e *Edit) operate(c *wire.Command, o *wire.PlanOperation) (*wire.Answer, error) {
	p, ok := e.plan(o.Plan)
	if !ok {
		return nil, noPlan(o.Plan)
	}
	id := plan.FormatID(o.Plan)
	if !p.Unfinished() && (o.Kind != wire.PlanOperation_RESUME || !p.Stopped && !p.Halted) {
		return nil, fault.New(fault.Conflict, "backfill %s is finished: there is nothing left to %s", id, verb(o.Kind))
	}
	switch o.Kind {
	case wire.PlanOperation_STOP:
		e.stop(p, c.Actor)
	case wire.PlanOperation_PAUSE:
		if p.Stopped {
			return nil, fault.New(fault.Conflict, "backfill %s is stopped: resume it before you pause it", id)
		}
		p.Paused = true
	case wire.PlanOperation_RESUME:
		p.Paused, p.Stopped, p.Halted, p.Failures = false, false, false, 0
		p.named = iradix.New[struct{}]()
	default:
		return nil, fault.Field("operation", "%d is not an operation this version knows", o.Kind)
	}
	e.touch(c, p)
	return &wire.Answer{Plan: p.ID}, nil
}

func (e *Edit) touch(c *wire.Command, p *Plan) {
	p.ChangedMs, p.ChangedBy = e.s.nowMs, c.Actor
	e.changes = append(e.changes, Change{Kind: PlanChanged, Plan: p.ID})
}

// stop lets nothing new start, marks what runs to be stopped and cancels
// retries.
func (e *Edit) stop(p *Plan, actor string) {
	p.Stopped, p.Paused = true, false
	p.named = iradix.New[struct{}]()
	cause := "stopped by " + actor
	var live []*Lease
	e.leases.eachOf(p.ID, func(l *Lease) { live = append(live, l) })
	for _, l := range live {
		next := *l
		next.Stopping, next.Cause = true, cause
		e.leases.put(&next)
	}
	p.EachRetrying(func(i uint64) {
		at, _ := p.Locate(i)
		e.set(p, at, i, Failed)
	})
}

// maxNamed bounds how many instances one rerun may list, maxOffenders how many
// of those in the way an error names.
const (
	maxNamed     = 100_000
	maxOffenders = 100
)

// rerun runs instances again, all of them or none (RULES R9).
func (e *Edit) rerun(c *wire.Command, r *wire.Rerun) (*wire.Answer, error) {
	p, ok := e.plan(r.Plan)
	if !ok {
		return nil, noPlan(r.Plan)
	}
	list := r.Instances
	switch {
	case r.Failed && len(list) > 0:
		return nil, fault.Field("instances", "both a list and failed were given: choose one")
	case r.Failed:
		list = p.failures()
	case len(list) > maxNamed:
		return nil, fault.New(fault.TooLarge, "%d instances: expected at most %d in one call", len(list), maxNamed)
	}
	if len(list) == 0 {
		return nil, fault.New(fault.Conflict, "backfill %s has nothing to run again: give instances, or wait for a failure", plan.FormatID(r.Plan))
	}
	list = slices.Compact(slices.Sorted(slices.Values(list)))
	if err := p.mayRerun(list); err != nil {
		return nil, err
	}
	for _, i := range list {
		at, _ := p.Locate(i)
		if p.Status(i) != Pending {
			e.record(p, i, appendRerun)
			e.set(p, at, i, Again)
		}
		if p.Stopped {
			p.named, _, _ = p.named.Insert(key1(i), struct{}{})
		}
	}
	e.touch(c, p)
	return &wire.Answer{Plan: p.ID}, nil
}

// mayRerun names every instance that stands in the way, up to a hundred.
func (p *Plan) mayRerun(list []uint64) error {
	err := fault.New(fault.Conflict, "not every instance can be run again: nothing was changed")
	more := 0
	for _, i := range list {
		why := p.inTheWay(i)
		switch {
		case why == "":
		case len(err.Details) < maxOffenders:
			err.WithDetails(fault.Detail{Field: plan.FormatInstance(p.ID, i), Message: why})
		default:
			more++
		}
		if i >= p.Size() {
			err.Code = fault.NotFound
		}
	}
	if more > 0 {
		err.WithDetails(fault.Detail{Message: fmt.Sprintf("and %d more", more)})
	}
	if len(err.Details) > 0 {
		return err
	}
	return nil
}

// inTheWay says why an instance cannot be run again; empty when it can (RULES
// R9). One that waited when its plan was stopped waits for nobody any more.
func (p *Plan) inTheWay(instance uint64) string {
	if instance >= p.Size() {
		return fmt.Sprintf("there is no such instance: %s has %d, numbered from 0", plan.FormatID(p.ID), p.Size())
	}
	switch p.Status(instance) {
	case Running:
		return "it runs: stop it first, or wait for its end"
	case Frozen:
		return "it is frozen: unfreeze it first"
	case Again, Retrying:
		if !p.Stopped || p.Named(instance) {
			return "it waits to run already"
		}
	}
	return ""
}

// failures lists the failed and stopped instances. Only dates that have some
// are looked at.
func (p *Plan) failures() []uint64 {
	var out []uint64
	for pos := range p.Dates {
		if c := p.dates.get(uint64(pos)); c[Failed]+c[Stopped] == 0 {
			continue
		}
		from, to := p.Range(pos)
		for i := from; i < to; i++ {
			if p.Status(i).Failure() {
				out = append(out, i)
			}
		}
	}
	return out
}

func noPlan(id uint64) error {
	return fault.New(fault.NotFound, "there is no backfill %s", plan.FormatID(id))
}

func verb(k wire.PlanOperation_Kind) string {
	return map[wire.PlanOperation_Kind]string{
		wire.PlanOperation_STOP: "stop", wire.PlanOperation_PAUSE: "pause", wire.PlanOperation_RESUME: "resume",
	}[k]
}

// Holds says whether an unfinished instance keeps later plans from its cycle
// (RULES R5.8): not when it can never start any more unless somebody acts on
// its stopped plan.
func (p *Plan) Holds(instance uint64) bool {
	switch s := p.Status(instance); {
	case p.dryRun(instance):
		return false // RULES R6
	case s == Running || s == Frozen:
		return true
	default:
		return s.Waits() && (!p.Stopped || p.Named(instance))
	}
}

func (p *Plan) dryRun(instance uint64) bool {
	at, _ := p.Locate(instance)
	return p.Nodes[at.Node].DryRun != wire.DryRun_DRY_RUN_NONE
}

// Overlaps names the plans that have unfinished instances of the same nodes
// and cycles: one sentence for each.
func (s *State) Overlaps(p *plan.Plan) []string {
	var out []string
	s.Plans(0, func(q *Plan) bool {
		if q.ID != p.ID && q.Unfinished() && (!q.Stopped || q.Active() > 0 || q.named.Len() > 0) {
			if text, found := overlap(p, q); found {
				out = append(out, text)
			}
		}
		return true
	})
	return out
}

func overlap(p *plan.Plan, q *Plan) (string, bool) {
	shared := sharedNodes(p, q)
	if len(shared) == 0 {
		return "", false
	}
	for pos, d := range q.Dates {
		if _, ok := p.Position(d); !ok || q.DateSucceeded(pos) {
			continue
		}
		for _, n := range shared {
			id := q.Nodes[n].Spec.Id
			if i, ok := q.sameCycle(p, id, d, pos, n); ok {
				return fmt.Sprintf("%s (%s) has not finished %s of node %s on %s: the later backfill waits for it, cycle by cycle",
					plan.FormatID(q.ID), q.Name, plan.FormatInstance(q.ID, i), id, d), true
			}
		}
	}
	return "", false
}

// sharedNodes lists the nodes of q that p really runs as well. Dry runs play
// no part (RULES R6).
func sharedNodes(p *plan.Plan, q *Plan) []int {
	var out []int
	for n := range q.Nodes {
		mine, ok := p.NodeIndex(q.Nodes[n].Spec.Id)
		if ok && p.Nodes[mine].DryRun == wire.DryRun_DRY_RUN_NONE && q.Nodes[n].DryRun == wire.DryRun_DRY_RUN_NONE {
			out = append(out, n)
		}
	}
	return out
}

// sameCycle finds an instance of a node and date that holds the same cycle in
// p.
func (p *Plan) sameCycle(other *plan.Plan, id string, d calendar.Date, pos, n int) (uint64, bool) {
	from, to := p.NodeRange(pos, n)
	for i := from; i < to; i++ {
		if !p.Holds(i) {
			continue
		}
		t := p.Cycle(plan.Place{Pos: pos, Node: n, Cycle: int(i - from)}).Unix
		if _, ok := other.Find(id, d, t); ok {
			return i, true
		}
	}
	return 0, false
}
