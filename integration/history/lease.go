package history

import (
	"fmt"
	"math"

	"github.com/anishathalye/porcupine"
)

// never is the return of what was not answered.
const never = math.MaxInt64

// lock is the state of the lease model: one instance.
type lock struct {
	holder uint64 // fence of the attempt that lives; 0: none
	last   uint64 // the newest fence
}

// event is a start or an end of an attempt. An attempt that was killed has told
// no end: it may have come at any time after its start.
type event struct {
	fence uint64
	end   bool
}

// leaseModel is one instance: at most one attempt lives (RULES R13.2), and
// fences only grow (RULES R13.3).
var leaseModel = porcupine.Model{
	Init: func() any { return lock{} },
	Step: func(state, input, _ any) (bool, any) {
		l, e := state.(lock), input.(event)
		if e.end {
			return l.holder == e.fence, lock{0, l.last}
		}
		return l.holder == 0 && e.fence > l.last, lock{e.fence, e.fence}
	},
	DescribeOperation: func(input, _ any) string {
		if e := input.(event); e.end {
			return fmt.Sprintf("end of the attempt with fence %d", e.fence)
		}
		return fmt.Sprintf("start of the attempt with fence %d", input.(event).fence)
	},
	DescribeState: func(state any) string {
		return fmt.Sprintf("lives: %d, newest: %d", state.(lock).holder, state.(lock).last)
	},
}

// leases makes what attempts noted operations of the lease model, by instance.
// The order of the notes is time: each was one write to one file.
func leases(notes []Note) map[string][]porcupine.Operation {
	out := map[string][]porcupine.Operation{}
	type attempt struct {
		instance string
		fence    uint64
	}
	ended := map[attempt]bool{}
	for _, n := range notes {
		if n.End {
			ended[attempt{n.instance(), n.Fence}] = true
		}
	}
	for i, n := range notes {
		id, at := n.instance(), int64(i+1)
		op := porcupine.Operation{ClientId: int(n.Fence % 64), Input: event{n.Fence, n.End}, Call: at, Return: at}
		out[id] = append(out[id], op)
		if !n.End && !ended[attempt{id, n.Fence}] {
			op.Input, op.Return = event{n.Fence, true}, never
			out[id] = append(out[id], op)
		}
	}
	return out
}

func (n Note) instance() string { return fmt.Sprintf("%s.%d", n.Backfill, n.Instance) }
