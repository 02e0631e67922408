package history

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// order judges what a client can tell from indexes alone.
func (v *Verdict) order(h *History) {
	v.realTime(h)
	v.sessions(h)
	v.holds(h)
}

// realTime: what was answered before another request began is before it in the
// log, and a linearizable read sees it.
func (v *Verdict) realTime(h *History) {
	byReturn := slices.Clone(h.Ops)
	byReturn = slices.DeleteFunc(byReturn, func(op Op) bool { return op.Outcome != OK || op.Kind.reads() })
	slices.SortFunc(byReturn, func(a, b Op) int { return int(a.Return - b.Return) })
	byCall := slices.DeleteFunc(slices.Clone(h.Ops), func(op Op) bool { return op.Outcome != OK || op.Kind.reads() && op.Level != Linearizable })
	slices.SortFunc(byCall, func(a, b Op) int { return int(a.Call - b.Call) })
	var newest Op
	effects := map[uint64]string{} // keys by index
	for _, op := range byCall {
		for len(byReturn) > 0 && byReturn[0].Return < op.Call {
			if byReturn[0].Index > newest.Index {
				newest = byReturn[0]
			}
			byReturn = byReturn[1:]
		}
		switch other, taken := effects[op.Index], effects[op.Index] != ""; {
		case op.Kind.reads() && op.Index < newest.Index:
			v.violated("R13.1", "a linearizable read at %d, begun at %s, does not see %s at %d, answered at %s", op.Index, op.Call, newest.Kind, newest.Index, newest.Return)
		case op.Kind.reads():
		case taken && other != op.Key:
			v.violated("R13.1", "requests %s and %s both have the log's entry %d", other, op.Key, op.Index)
		case op.Index < newest.Index && !op.Again:
			v.violated("R13.1", "%s %s, begun at %s, is at %d in the log, before %s at %d, answered at %s",
				op.Kind, op.Key, op.Call, op.Index, newest.Kind, newest.Index, newest.Return)
		default:
			effects[op.Index] = op.Key
		}
	}
}

// sessions: what one client reads never goes back, and shows its own writes;
// what one life of one coordinator tells never goes back, even if it is old.
func (v *Verdict) sessions(h *History) {
	ops := slices.DeleteFunc(slices.Clone(h.Ops), func(op Op) bool { return op.Outcome != OK })
	slices.SortFunc(ops, func(a, b Op) int { return int(a.Return - b.Return) })
	servers := map[string][]Op{}
	for _, op := range ops {
		if !op.Kind.reads() {
			continue
		}
		if op.Level != Stale && op.Index < op.Min {
			v.violated("R13.1", "client %d, which had met %d, was told of %d in a session", op.Client, op.Min, op.Index)
		}
		servers[op.Server] = append(servers[op.Server], op)
	}
	for _, server := range sorted(servers) {
		list := servers[server]
		byCall := slices.Clone(list)
		slices.SortFunc(byCall, func(a, b Op) int { return int(a.Call - b.Call) })
		var newest uint64
		for _, op := range byCall {
			for len(list) > 0 && list[0].Return < op.Call {
				newest = max(newest, list[0].Index)
				list = list[1:]
			}
			if op.Index < newest {
				v.violated("R13.7", "%s told of %d at %s, after it had told of %d", server, op.Index, op.Call, newest)
			}
		}
	}
}

// holds: after a pause or a stop nothing is leased, by the log's order, until
// somebody may have asked for it (RULES R9).
func (v *Verdict) holds(h *History) {
	for _, hold := range h.Ops {
		if hold.Outcome != OK || hold.Kind != Pause && hold.Kind != Stop {
			continue
		}
		until := uint64(never)
		for _, op := range h.Ops {
			opens := op.Kind == Resume || op.Kind == RerunSome || op.Kind == RerunFailed
			if op.Backfill != hold.Backfill || !opens || op.Outcome == Refused {
				continue
			}
			if op.Outcome == OK && op.Index < hold.Index {
				continue // before it
			}
			at := op.Index
			if op.Outcome == Unknown || op.Again { // at any time from its call on
				at = uint64(h.before(op.Call))
			}
			until = min(until, max(at, hold.Index))
		}
		for _, n := range h.Notes {
			if n.Backfill == hold.Backfill && !n.End && n.Fence > hold.Index && n.Fence < until {
				v.violated("R9", "%s was leased at %d and started at %s, after a %s at %d that was answered at %s", n.instance(), n.Fence, n.At, hold.Kind, hold.Index, hold.Return)
			}
		}
	}
}

// told is one thing that attempts noted, for people.
func (n Note) String() string {
	what := "starts"
	if n.End {
		what = fmt.Sprintf("ends with %d", n.Status)
	}
	return strings.Join([]string{n.At.Round(time.Millisecond).String(), n.instance(), "with fence", fmt.Sprint(n.Fence), what}, " ")
}
