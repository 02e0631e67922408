package history

import (
	"fmt"
	"strings"

	"github.com/anishathalye/porcupine"
)

// cell is the set of states that an instance may be in, as far as clients can
// know: what the fleet does by itself is not told to them.
type cell uint16

const (
	waits   cell = 1 << iota // neither leased nor finished; what waits for a retry or runs again too
	ahead                    // granted ahead, shown as what waits
	runs                     // leased
	success                  // also of a dry run
	set                      // to success, by a person
	failure                  //
	stopped                  // shown as a failure
	frozen
	named // not a state: a rerun has named it since the backfill was stopped
)

const finished = success | set | failure | stopped

// shown is what an instance may be when a read shows a letter.
var shown = map[byte]cell{'w': waits | ahead, 'r': runs, 's': success, 'm': set, 'f': failure | stopped, 'z': frozen}

// facts is the state of the plan model: one backfill. It is compared with ==.
type facts struct {
	exists          bool
	id, key         string // id is empty while nobody was told it
	ahead           bool   // may its work be granted ahead
	paused, stopped bool
	cells           string // two bytes each
}

func (f facts) of() []cell {
	out := make([]cell, len(f.cells)/2)
	for i := range out {
		out[i] = cell(f.cells[2*i])<<8 | cell(f.cells[2*i+1])
	}
	return out
}

func (f facts) with(cells []cell) facts {
	b := make([]byte, 0, 2*len(cells))
	for _, c := range cells {
		b = append(b, byte(c>>8), byte(c))
	}
	f.cells = string(b)
	return f
}

// blocked says that the backfill lets an instance not start (RULES R9).
func (f facts) blocked(c cell) bool {
	if f.stopped {
		return c&named == 0
	}
	return f.paused
}

// move is a cell with everything that it may have become by itself: starts that
// nothing forbids, and ends.
func (f facts) move(c cell) cell {
	if c&waits != 0 && !f.blocked(c) {
		c |= runs
		if f.ahead {
			c |= ahead
		}
	}
	if c&ahead != 0 {
		c |= runs | waits | frozen | stopped // started, given back or recalled
	}
	if c&runs != 0 {
		c |= success | failure | stopped
		if c&waits == 0 { // lost, or to be tried again
			return f.move(c | waits)
		}
	}
	return c
}

func (f facts) moved() []cell {
	cells := f.of()
	for i, c := range cells {
		cells[i] = f.move(c)
	}
	return cells
}

// grant is in the plan model what a lease was in the fleet, seen by the process
// that it led to.
type grant struct {
	instance int
	fence    uint64
}

// step says what a backfill becomes by an operation with this outcome, and
// whether it can have had that outcome.
func step(f facts, op Op) (bool, facts) {
	switch {
	case op.Kind == Submit:
		return f.submit(op)
	case !f.exists:
		return op.Outcome != OK, f
	case op.Outcome == Refused && op.Code == "not_found":
		return false, f
	case op.Outcome == Refused && op.Code != "conflict":
		return true, f
	}
	cells := f.moved()
	if op.Kind.reads() {
		return op.Outcome != OK || f.read(op, cells), f.with(cells)
	}
	next := append([]cell(nil), cells...)
	can := f.change(op, next)
	switch op.Outcome {
	case OK:
		if !can {
			return false, f
		}
	case Refused:
		return f.refuse(op, cells), f.with(cells)
	default:
		if !can {
			return true, f.with(cells)
		}
	}
	switch op.Kind {
	case Pause:
		f.paused = true
	case Stop:
		f.paused, f.stopped = false, true
	case Resume:
		f.paused, f.stopped = false, false
	}
	return true, f.with(next)
}

func (f facts) submit(op Op) (bool, facts) {
	switch {
	case op.Outcome == Refused: // there is one of that name already, or nothing is known of it
		return op.Code != "conflict" || f.exists && f.key != op.Key, f
	case !f.exists:
		f = facts{exists: true, id: op.Backfill, key: op.Key, ahead: op.Ahead}
		cells := make([]cell, op.Size)
		for i := range cells {
			cells[i] = waits
		}
		return true, f.with(cells)
	case op.Outcome == Unknown:
		return true, f
	case f.key != op.Key || f.id != "" && f.id != op.Backfill:
		return false, f // a second one
	}
	f.id = op.Backfill
	return true, f
}

// allows is the states in which an operation on an instance is done, effect what
// it makes of each.
func (f facts) allows(k Kind) (allows cell, effect func(cell) cell) {
	turn := func(to cell) func(cell) cell {
		return func(c cell) cell { return c&^(named|waits|success|set|failure|stopped|frozen) | c&named | to }
	}
	switch k {
	case StopSome:
		return waits | ahead | runs, func(c cell) cell {
			if c&waits != 0 {
				c = c&^waits | stopped
			}
			return c
		}
	case RerunSome:
		again := turn(waits)
		return waits | success | set | failure | stopped, func(c cell) cell {
			if c = again(c) &^ (ahead | runs); f.stopped {
				c |= named
			}
			return c
		}
	case SetToSuccess:
		return failure | stopped, turn(set)
	case FreezeSome, Freeze:
		return waits | ahead, func(c cell) cell {
			if c&waits != 0 {
				c = c&^waits | frozen
			}
			return c
		}
	case UnfreezeSome, Unfreeze:
		return frozen | ahead, func(c cell) cell {
			if c&frozen != 0 {
				c = c&^frozen | waits | failure // which could have started meanwhile
			}
			return c
		}
	case RerunFailed:
		return failure | stopped, func(c cell) cell {
			if c&(failure|stopped) != 0 {
				c = c&^(failure|stopped) | waits
				if f.stopped {
					c |= named
				}
			}
			return c
		}
	}
	return ^cell(0), func(c cell) cell { return c }
}

// change does an operation to the cells; false: in no state that is possible it
// could be done.
func (f facts) change(op Op, cells []cell) bool {
	allows, effect := f.allows(op.Kind)
	switch op.Kind {
	case StopSome, RerunSome, SetToSuccess, FreezeSome, UnfreezeSome:
		for _, i := range op.Instances {
			if i >= len(cells) || cells[i]&allows == 0 {
				return false
			}
			cells[i] = effect(cells[i] & (allows | named))
		}
		return true
	case Freeze, Unfreeze, RerunFailed:
		some := false
		for i, c := range cells {
			some = some || c&allows != 0
			cells[i] = effect(c)
		}
		return some
	case Stop:
		for i, c := range cells {
			cells[i] = c &^ named
			if c&waits != 0 {
				cells[i] |= failure // one that waited for a retry
			}
		}
		return f.unfinished(cells)
	case Pause:
		return !f.stopped && f.unfinished(cells)
	case Resume:
		for i := range cells {
			cells[i] &^= named
		}
	}
	return true
}

func (f facts) unfinished(cells []cell) bool {
	for _, c := range cells {
		if c&^(finished|named) != 0 {
			return true
		}
	}
	return false
}

// refuse narrows the cells to states in which an operation is refused; false:
// there are none.
func (f facts) refuse(op Op, cells []cell) bool {
	allows, _ := f.allows(op.Kind)
	keep := func(i int, only cell) bool {
		cells[i] &= only | named
		return cells[i]&^named != 0
	}
	ok := true
	switch op.Kind {
	case StopSome, SetToSuccess, FreezeSome, UnfreezeSome, RerunSome:
		if len(op.Instances) != 1 || op.Instances[0] >= len(cells) {
			return true // which of them stood in the way is not known
		}
		if op.Kind == RerunSome {
			allows &^= waits // of those that wait it is done to some
		}
		return keep(op.Instances[0], ^(allows &^ ahead))
	case Freeze, Unfreeze, RerunFailed:
		for i := range cells {
			ok = keep(i, ^(allows&^ahead)) && ok
		}
	case Pause, Resume, Stop:
		if op.Kind == Pause && f.stopped {
			return true
		}
		if op.Kind == Resume && f.stopped {
			return false
		}
		for i := range cells {
			ok = keep(i, finished) && ok
		}
	}
	return ok
}

// read narrows the cells to what a read has told; false: that cannot be.
func (f facts) read(op Op, cells []cell) bool {
	switch op.Kind {
	case ReadFlags:
		return f.paused == op.Paused && f.stopped == op.Stopped
	case ReadStates:
		if len(op.States) != len(cells) {
			return false
		}
		for i := range cells {
			if cells[i] &= shown[op.States[i]] | named; cells[i]&^named == 0 {
				return false
			}
		}
		return true
	default:
		return f.total(op.Totals, cells)
	}
}

// total compares a receipt with the cells: of each state there are no more than
// can have it, and no fewer than must.
func (f facts) total(t Totals, cells []cell) bool {
	ok := t.Generated == int64(len(cells))
	for _, one := range []struct {
		n    int64
		in   cell
		only bool
	}{
		{n: t.Succeeded + t.DryRun, in: success}, {n: t.Set, in: set}, {n: t.Failed, in: failure}, {n: t.Stopped, in: stopped},
		{n: t.Frozen, in: frozen}, {n: t.Running + t.Waiting, in: waits | ahead | runs},
	} {
		var can, must int64
		for _, c := range cells {
			if c&one.in != 0 {
				can++
				if c&^(one.in|named) == 0 {
					must++
				}
			}
		}
		ok = ok && must <= one.n && one.n <= can
		for i := range cells {
			if one.n == 0 {
				cells[i] &^= one.in
			}
		}
	}
	return ok
}

// start is a lease that was granted: the instance waited, and nothing forbade it.
func (f facts) start(g grant) (bool, facts) {
	if !f.exists {
		return false, f
	}
	cells := f.moved()
	if g.instance >= len(cells) || cells[g.instance]&waits == 0 || f.blocked(cells[g.instance]) {
		return false, f
	}
	cells[g.instance] = runs | cells[g.instance]&named
	if f.ahead {
		cells[g.instance] |= ahead
	}
	return true, f.with(cells)
}

// planModel is one backfill under the operations of RULES R9.
var planModel = porcupine.Model{
	Init: func() any { return facts{} },
	Step: func(state, input, output any) (bool, any) {
		if g, ok := input.(grant); ok {
			return state.(facts).start(g)
		}
		return step(state.(facts), output.(Op))
	},
	DescribeOperation: func(input, output any) string {
		if g, ok := input.(grant); ok {
			return fmt.Sprintf("lease of %d, fence %d", g.instance, g.fence)
		}
		return output.(Op).String()
	},
	DescribeState: func(state any) string { return state.(facts).String() },
}

// String tells an operation in a line.
func (op Op) String() string {
	text := string(op.Kind)
	if len(op.Instances) > 0 {
		text += fmt.Sprint(op.Instances)
	}
	if op.Kind.reads() {
		text += " " + string(op.Level)
	}
	text += " → " + string(op.Outcome)
	switch {
	case op.Outcome == Refused:
		text += " " + op.Code
	case op.Outcome == Unknown:
	case op.Kind == Submit:
		text += " " + op.Backfill
	case op.Kind == ReadFlags:
		text += fmt.Sprintf(" paused=%v stopped=%v", op.Paused, op.Stopped)
	case op.Kind == ReadStates:
		text += " " + op.States
	case op.Kind == ReadTotals:
		text += fmt.Sprintf(" %+v", op.Totals)
	}
	return fmt.Sprintf("%s @%d", text, op.Index)
}

// String tells the facts in a line: a word for each instance, a letter for each
// state that it may be in.
func (f facts) String() string {
	if !f.exists {
		return "there is none"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s paused=%v stopped=%v", f.id, f.paused, f.stopped)
	for _, c := range f.of() {
		b.WriteByte(' ')
		for i, letter := range "warsmfxzN" {
			if c>>i&1 != 0 {
				b.WriteRune(letter)
			}
		}
	}
	return b.String()
}
