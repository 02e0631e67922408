package state

import (
	"encoding/binary"
	"slices"

	iradix "github.com/hashicorp/go-immutable-radix/v2"

	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// Plan is an accepted plan and what happened in it.
type Plan struct {
	*plan.Plan
	Paused    bool
	Stopped   bool
	Halted    bool   // by stopAfter (RULES R4.5)
	Failures  uint32 // since it was accepted or resumed
	ChangedMs int64
	ChangedBy string
	Opened    []uint32 // positions opened although the one before failed, sorted
	named     *iradix.Tree[struct{}]
	retries   *iradix.Tree[struct{}]
	forced    *iradix.Tree[struct{}]
	priority  *iradix.Tree[int32]    // set by a person, by instance
	removed   *iradix.Tree[[]string] // nodes no longer waited for, by instance
	log       *iradix.Tree[*wire.Operation]
	slots     []uint32 // of its nodes' pasts
	status    column[Status]
	history   column[history] // one cell for each chunk of status
	total     Counts
	dates     column[Counts]
	perNode   column[Counts]
}

// Status is an instance's status.
func (p *Plan) Status(instance uint64) Status { return p.status.get(instance) }

// Total counts the plan's instances; Pending is filled in.
func (p *Plan) Total() Counts { return fill(p.total, p.Size()) }

// DateCounts counts the instances of a position; Pending is filled in.
func (p *Plan) DateCounts(pos int) Counts {
	return fill(p.dates.get(uint64(pos)), p.DateSize(pos))
}

// NodeCounts counts the instances of a node; Pending is filled in.
func (p *Plan) NodeCounts(n int) Counts { return fill(p.perNode.get(uint64(n)), p.NodeSize(n)) }

func fill(c Counts, size uint64) Counts {
	c[Pending] = uint32(size - c.Started())
	return c
}

// DateSucceeded says whether every instance of a position has succeeded.
func (p *Plan) DateSucceeded(pos int) bool {
	c := p.dates.get(uint64(pos))
	return c.Success() == p.DateSize(pos)
}

// Succeeded says whether the whole plan has.
func (p *Plan) Succeeded() bool { return p.total.Success() == p.Size() }

// Active is the number of instances that run.
func (p *Plan) Active() int { return int(p.total[Running]) }

// FirstUnsuccessful finds the first instance in a half-open range that has not
// succeeded.
func (p *Plan) FirstUnsuccessful(from, to uint64) (uint64, bool) {
	return p.Next(from, to, unsuccessful)
}

// unsuccessful is what has not succeeded.
var unsuccessful = func() (out Statuses) {
	for st := range nStatus {
		if !st.Success() {
			out = out.With(st)
		}
	}
	return out
}()

// Next finds the first instance in a half-open range whose status is in a set.
// What was never written costs nothing for each instance of it: there all are
// Pending.
func (p *Plan) Next(from, to uint64, in Statuses) (uint64, bool) {
	for i := from; i < to; {
		end := min(to, i|chunkMask+1)
		switch k := p.status.chunk(i >> chunkBits); {
		case k != nil:
			for ; i < end; i++ {
				if in.Has(k.cells[i&chunkMask]) {
					return i, true
				}
			}
		case in.Has(Pending):
			return i, true
		case p.status.branches[i>>(2*chunkBits)] == nil:
			end = min(to, i|(1<<(2*chunkBits)-1)+1)
		}
		i = end
	}
	return 0, false
}

// Previous finds the last instance in a half-open range whose status is in a
// set, as Next finds the first.
func (p *Plan) Previous(from, to uint64, in Statuses) (uint64, bool) {
	for i := to; i > from; {
		begin := max(from, (i-1)&^chunkMask)
		switch k := p.status.chunk((i - 1) >> chunkBits); {
		case k != nil:
			for ; i > begin; i-- {
				if in.Has(k.cells[(i-1)&chunkMask]) {
					return i - 1, true
				}
			}
		case in.Has(Pending):
			return i - 1, true
		case p.status.branches[(i-1)>>(2*chunkBits)] == nil:
			begin = max(from, (i-1)&^(1<<(2*chunkBits)-1))
		}
		i = begin
	}
	return 0, false
}

// IsOpened says whether a position was opened by a decision (RULES R4.5).
func (p *Plan) IsOpened(pos int) bool {
	_, found := slices.BinarySearch(p.Opened, uint32(pos))
	return found
}

// Blocked says whether the plan as a whole lets nothing new start: paused,
// halted, or stopped and the instance not named by a rerun since (RULES R9).
func (p *Plan) Blocked(instance uint64) bool {
	if p.Stopped {
		return !p.Named(instance)
	}
	return p.Paused || p.Halted
}

// Named says whether a rerun named the instance since the plan was stopped.
func (p *Plan) Named(instance uint64) bool {
	_, ok := p.named.Get(key1(instance))
	return ok
}

// EachNamed calls f for every instance that a rerun named since the stop.
func (p *Plan) EachNamed(f func(uint64)) { eachKey(p.named, f) }

// Forced says whether a person forced the instance to run: until it ends, it
// waits for no gate, upstream, predecessor, due time or period (RULES R9).
func (p *Plan) Forced(instance uint64) bool {
	if p.forced.Len() == 0 {
		return false
	}
	_, ok := p.forced.Get(key1(instance))
	return ok
}

// EachForced calls f for every instance that was forced and has not ended.
func (p *Plan) EachForced(f func(uint64)) { eachKey(p.forced, f) }

// Removed says whether a person took a node out of what the instance waits
// for; the instance's own node stands for its dependency on itself (RULES R9).
func (p *Plan) Removed(instance uint64, nodeID string) bool {
	if p.removed.Len() == 0 {
		return false
	}
	ids, _ := p.removed.Get(key1(instance))
	return slices.Contains(ids, nodeID)
}

// RemovedOf lists the nodes that were taken out of what an instance waits for.
func (p *Plan) RemovedOf(instance uint64) []string {
	ids, _ := p.removed.Get(key1(instance))
	return ids
}

// Frees says whether any instance no longer waits for all of its upstreams.
func (p *Plan) Frees() bool { return p.removed.Len() > 0 }

// PriorityOf is an instance's priority: what a person gave it, else the plan's
// (RULES R7.6).
func (p *Plan) PriorityOf(at plan.Place) int32 {
	if p.priority.Len() > 0 {
		if v, ok := p.priority.Get(key1(p.Instance(at))); ok {
			return v
		}
	}
	return p.Priority(at)
}

// Yields is how often an instance made way for the schedule since a person
// last asked for it (RULES R5.6).
func (p *Plan) Yields(instance uint64) int { return int(p.tally(instance).yields) }

// EachRetrying calls f for every instance that waits to be tried again.
func (p *Plan) EachRetrying(f func(uint64)) { eachKey(p.retries, f) }

func eachKey(t *iradix.Tree[struct{}], f func(uint64)) {
	t.Root().Walk(func(k []byte, _ struct{}) bool {
		f(binary.BigEndian.Uint64(k))
		return false
	})
}

func (p *Plan) records(instance uint64, f func(*historyRecord)) {
	eachRecord(p.history.get(instance>>chunkBits).bytes, instance&chunkMask, p.AcceptedMs, f)
}

// tally sums up what the history says of an instance.
type tally struct {
	attempts    uint32 // finished ones
	retriesUsed int32  // since a person last asked for it
	yields      int32  // likewise
	settledMs   int64  // of the last attempt
}

func (p *Plan) tally(instance uint64) tally {
	var t tally
	p.records(instance, func(r *historyRecord) {
		switch {
		case r.mark > 0:
			return
		case r.rerun:
			t.retriesUsed, t.yields = 0, 0
			return
		}
		t.attempts = r.attempt.Number
		t.settledMs = r.attempt.SettledMs
		switch r.attempt.Outcome {
		case wire.Outcome_FAILED, wire.Outcome_TIMED_OUT:
			t.retriesUsed++
		case wire.Outcome_YIELDED:
			t.yields++
		}
	})
	return t
}

// Retry describes the wait of a Retrying instance: which retry comes next, of
// how many, and when (unix milliseconds). The delay counts from when the failure
// was recorded: the agent's clock may be wrong.
func (p *Plan) Retry(at plan.Place) (next, of int32, dueMs int64) {
	t := p.tally(p.Instance(at))
	spec := p.Nodes[at.Node].Spec
	return t.retriesUsed, spec.Retries, t.settledMs + spec.RetryDelayMs
}
