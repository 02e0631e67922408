package history

import (
	"reflect"
	"slices"
	"strings"
)

// promises judges what coordinators tell in the end against what clients and
// attempts know (RULES R13).
func (v *Verdict) promises(h *History) {
	for _, op := range h.Ops {
		if op.Kind == ReadTotals && op.Outcome == OK && op.Totals.Generated != op.Totals.sum() {
			v.violated("R13.6", "the receipt of %s, read at %s, does not add up: %+v", op.Backfill, op.Return, op.Totals)
		}
	}
	for i, a := range h.Accounts {
		v.accepted(h, a)
		for _, f := range a.Backfills {
			v.receipt(f)
			v.log(h, a, f)
			v.attempts(f)
		}
		if i > 0 && !reflect.DeepEqual(a.Backfills, h.Accounts[0].Backfills) {
			v.violated("R13.7", "%s tells otherwise than %s: %s", a.Server, h.Accounts[0].Server, difference(h.Accounts[0], a))
		}
	}
	if len(h.Accounts) > 0 {
		v.recorded(h)
	}
}

func difference(a, b Account) string {
	for i := range min(len(a.Backfills), len(b.Backfills)) {
		if !reflect.DeepEqual(a.Backfills[i], b.Backfills[i]) {
			return a.Backfills[i].ID + ", or what is in its place, differs"
		}
	}
	return "one has more backfills than the other"
}

// accepted: every request is there as often as it should: once if it was
// accepted, never if it was refused (RULES R13.1).
func (v *Verdict) accepted(h *History, a Account) {
	type want struct{ least, most int }
	wants, ids := map[string]want{}, map[string]string{}
	for _, op := range h.Ops {
		if op.Kind != Submit || slices.Contains(h.Forgotten, op.Backfill) {
			continue
		}
		w := wants[op.Name]
		switch op.Outcome {
		case OK:
			w, ids[op.Name] = want{1, 1}, op.Backfill
		case Unknown:
			w.most = 1
		}
		wants[op.Name] = w
	}
	found := map[string]int{}
	for _, f := range a.Backfills {
		if found[f.Name]++; found[f.Name] == 1 && ids[f.Name] != "" && ids[f.Name] != f.ID {
			v.violated("R13.1", "%s has backfill %s as %s, it was accepted as %s", a.Server, f.Name, f.ID, ids[f.Name])
		}
		if _, asked := wants[f.Name]; !asked {
			v.violated("R13.1", "%s has backfill %s, which nobody asked for", a.Server, f.ID)
		}
	}
	for _, name := range sorted(wants) {
		if w, n := wants[name], found[name]; n < w.least || n > w.most {
			v.violated("R13.1", "%s has backfill %s %d times, want %d to %d", a.Server, name, n, w.least, w.most)
		}
	}
}

// receipt: the counters are those of the instances (RULES R13.6).
func (v *Verdict) receipt(f Finished) {
	count := func(letter string) int64 { return int64(strings.Count(f.States, letter)) }
	t := f.Totals
	if t.Generated != t.sum() || t.Generated != int64(len(f.States)) || t.Succeeded+t.DryRun != count("s") || t.Set != count("m") ||
		t.Failed+t.Stopped != count("f") || t.Frozen != count("z") || t.Running+t.Waiting != count("r")+count("w") {
		v.violated("R13.6", "the receipt of %s is %+v, its instances are %s", f.ID, t, f.States)
	}
}

// log: a backfill's own log has every operation that was acknowledged once, in
// their order, and none that was refused (RULES R9).
func (v *Verdict) log(h *History, a Account, f Finished) {
	at := map[string]int{}
	for _, key := range f.Log {
		if at[key]++; at[key] == 2 {
			v.violated("R13.1", "%s has operation %s of %s twice", a.Server, key, f.ID)
		}
	}
	var acknowledged []Op
	for _, op := range h.Ops {
		if op.Backfill != f.ID || op.Kind.reads() || op.Kind == Submit || op.Key == "" {
			continue
		}
		switch {
		case op.Outcome == OK && at[op.Key] == 0:
			v.violated("R13.1", "%s has lost %s %s of %s, acknowledged at %d", a.Server, op.Kind, op.Key, f.ID, op.Index)
		case op.Outcome == Refused && at[op.Key] > 0:
			v.violated("R13.1", "%s of %s was refused (%s), and %s has it", op.Kind, f.ID, op.Code, a.Server)
		case op.Outcome == OK && !op.Again:
			acknowledged = append(acknowledged, op)
		}
	}
	slices.SortFunc(acknowledged, func(a, b Op) int { return int(a.Index) - int(b.Index) })
	last := -1
	for _, op := range acknowledged {
		i := slices.Index(f.Log, op.Key)
		if i < last {
			v.violated("R13.7", "in the log of %s, %s %s is not where its index %d says", f.ID, op.Kind, op.Key, op.Index)
		}
		last = i
	}
}

// attempts: they are numbered, their fences grow, and an instance has succeeded
// if its last one has (RULES R13.3, R13.4).
func (v *Verdict) attempts(f Finished) {
	for i, list := range f.Attempts {
		var last Attempt
		for _, a := range list {
			if a.Number != last.Number+1 || a.Fence <= last.Fence {
				v.violated("R13.3", "attempt %d of %s.%d with fence %d follows attempt %d with fence %d", a.Number, f.ID, i, a.Fence, last.Number, last.Fence)
			}
			last = a
		}
		good := last.State == "succeeded" || last.State == "skipped"
		if f.States[i] == 's' && !good && f.Totals.DryRun == 0 {
			v.violated("R13.4", "%s.%d has succeeded, its last attempt is %q", f.ID, i, last.State)
		}
	}
}

// recorded: an attempt is recorded as it ended by its own word, and none ran
// that is not recorded (RULES R13.4); none was lost that ran, unless something
// happened to agents (RULES R13.5).
func (v *Verdict) recorded(h *History) {
	type key struct {
		instance string
		fence    uint64
	}
	started, ended, told := map[key]bool{}, map[key]*Note{}, map[string]bool{}
	for _, f := range h.Accounts[0].Backfills {
		told[f.ID] = true // not the schedule's, nor what is forgotten
	}
	for i, n := range h.Notes {
		k := key{n.instance(), n.Fence}
		switch {
		case !told[n.Backfill]:
		case !n.End:
			started[k] = true
			v.Attempts++
		case !n.Killed:
			ended[k] = &h.Notes[i]
		}
	}
	for _, f := range h.Accounts[0].Backfills {
		for i, list := range f.Attempts {
			for _, a := range list {
				k := key{Note{Backfill: f.ID, Instance: i}.instance(), a.Fence}
				end, own := ended[k], a.State == "succeeded" || a.State == "failed"
				switch {
				case h.Quiet && a.State == "lost" && started[k]: // not one that never reached its agent
					v.violated("R13.5", "%s with fence %d was lost, though nothing happened to agents", k.instance, k.fence)
				case own && end == nil:
					v.violated("R13.4", "%s with fence %d is recorded as %s, by its own notes it did not end", k.instance, k.fence, a.State)
				case own && (end.Status == 0) != (a.State == "succeeded"):
					v.violated("R13.4", "%s with fence %d is recorded as %s, it ended with %d", k.instance, k.fence, a.State, end.Status)
				}
				delete(started, k)
			}
		}
	}
	for k := range started {
		v.violated("R13.4", "%s with fence %d ran and is not recorded", k.instance, k.fence)
	}
}
