package history

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// Violation is a promise that a history shows to be broken.
type Violation struct {
	Rule string // of pkg/plan/RULES.md
	Text string

	model *porcupine.Model // that has no explanation for the operations
	ops   []porcupine.Operation
}

func (v Violation) String() string { return "RULES " + v.Rule + ": " + v.Text }

// searchTime bounds the search for an explanation of one backfill or instance.
const searchTime = 20 * time.Second

// Verdict is what a history comes to.
type Verdict struct {
	Violations []Violation
	// Undecided are searches that took too long: neither found nor excluded.
	Undecided []string
	// What was judged.
	Backfills, Instances, Operations, Open, Reads, Attempts int
}

// Check judges a history.
func Check(h *History) *Verdict {
	v := &Verdict{Operations: len(h.Ops)}
	h = h.repeated()
	for _, op := range h.Ops {
		if op.Outcome == Unknown {
			v.Open++
		} else if op.Kind.reads() {
			v.Reads++
		}
	}
	v.plans(h)
	notes := leases(h.Notes)
	for _, id := range sorted(notes) {
		v.Instances++
		v.search("R13.2", "attempts of "+id+" lived at the same time, or a fence did not grow", leaseModel, notes[id])
	}
	v.order(h)
	v.promises(h)
	return v
}

// repeated marks what several clients have sent under one key, too.
func (h *History) repeated() *History {
	keys := map[string]int{}
	for _, op := range h.Ops {
		keys[op.Key]++
	}
	out := *h
	out.Ops = slices.Clone(h.Ops)
	for i, op := range out.Ops {
		out.Ops[i].Again = op.Again || op.Key != "" && keys[op.Key] > 1
	}
	return &out
}

func sorted[M ~map[K]V, K cmp.Ordered, V any](m M) []K { return slices.Sorted(maps.Keys(m)) }

func (v *Verdict) violated(rule, format string, args ...any) {
	v.Violations = append(v.Violations, Violation{Rule: rule, Text: fmt.Sprintf(format, args...)})
}

// search looks for an order of operations that a model explains.
func (v *Verdict) search(rule, text string, m porcupine.Model, ops []porcupine.Operation) {
	switch porcupine.CheckOperationsTimeout(m, ops, searchTime) {
	case porcupine.Illegal:
		v.Violations = append(v.Violations, Violation{rule, text, &m, ops})
	case porcupine.Unknown:
		v.Undecided = append(v.Undecided, text)
	}
}

// plans searches an explanation for every backfill twice: by what clients saw
// when, with no trust in any index, and by the log's own order.
func (v *Verdict) plans(h *History) {
	names, edited := map[string]string{}, map[string]bool{}
	for _, op := range h.Ops {
		if op.Kind == Submit && op.Outcome == OK {
			names[op.Backfill] = op.Name
		}
		edited[op.Backfill] = edited[op.Backfill] || op.Kind == Edit
	}
	byName := map[string][]Op{}
	for _, op := range h.Ops {
		name := op.Name
		if op.Kind != Submit {
			name = names[op.Backfill]
		}
		gone := op.Code == "not_found" && slices.Contains(h.Forgotten, op.Backfill)
		if name != "" && op.Kind != Other && !edited[op.Backfill] && !gone {
			byName[name] = append(byName[name], op)
		}
	}
	starts := map[string][]Note{}
	for _, n := range h.Notes {
		if name := names[n.Backfill]; !n.End && byName[name] != nil && !edited[n.Backfill] {
			starts[name] = append(starts[name], n)
		}
	}
	for _, name := range sorted(byName) {
		v.Backfills++
		v.search("R9", "no order of what was done to backfill "+name+" explains what clients were told", planModel, byTime(byName[name], starts[name]))
		v.search("R9", "the log's order does not explain what clients of backfill "+name+" were told", planModel, byIndex(h, byName[name], starts[name]))
	}
}

// byTime are a backfill's operations when they happened. A lease was granted
// before its process started, and after the one before.
func byTime(ops []Op, starts []Note) []porcupine.Operation {
	var out []porcupine.Operation
	first := int64(never)
	for _, op := range ops {
		if op.Kind.reads() && (op.Level != Linearizable || op.Outcome != OK) {
			continue
		}
		o := porcupine.Operation{ClientId: op.Client, Input: op.Kind, Output: op, Call: int64(op.Call), Return: never}
		if op.Outcome != Unknown {
			o.Return = int64(op.Return)
		}
		if op.Kind == Submit {
			first = min(first, o.Call)
		}
		out = append(out, o)
	}
	before := map[int]int64{}
	for _, n := range starts {
		call := max(first, before[n.Instance])
		before[n.Instance] = int64(n.At)
		out = append(out, porcupine.Operation{ClientId: agents, Input: grant{n.Instance, n.Fence}, Call: call, Return: max(call, int64(n.At))})
	}
	return out
}

// agents is the client that a picture shows leases under.
const agents = 99

// byIndex are a backfill's operations in the log. An entry's moment is twice its
// index. A read is of the index that it tells or a newer one, but not of one
// that was asked for only after it was answered.
func byIndex(h *History, ops []Op, starts []Note) []porcupine.Operation {
	var out []porcupine.Operation
	for _, op := range ops {
		o := porcupine.Operation{ClientId: op.Client, Input: op.Kind, Output: op, Call: 2 * int64(op.Index), Return: 2 * int64(op.Index)}
		switch {
		case op.Outcome != OK && op.Kind.reads():
			continue
		case op.Kind.reads():
			o.Call, o.Return = o.Call+1, o.Call+1
			if !h.Exact {
				o.Return = max(o.Call, 2*h.after(op.Return)-1)
			}
		case op.Outcome == OK && op.Again:
			o.Call = min(2*h.before(op.Call), o.Return)
		case op.Outcome != OK:
			o.Call, o.Return = 2*h.before(op.Call), never
			if op.Outcome == Refused {
				o.Return = max(o.Call, 2*h.after(op.Return))
			}
		}
		out = append(out, o)
	}
	for _, n := range starts {
		at := 2 * int64(n.Fence)
		out = append(out, porcupine.Operation{ClientId: agents, Input: grant{n.Instance, n.Fence}, Call: at, Return: at})
	}
	return out
}

// before is the newest index that any client had met at a moment.
func (h *History) before(at time.Duration) (index int64) {
	for _, op := range h.Ops {
		if op.Outcome == OK && op.Return < at {
			index = max(index, int64(op.Index))
		}
	}
	return index
}

// after is the oldest index of what was written by a request that began after a
// moment, and was not sent before.
func (h *History) after(at time.Duration) int64 {
	index := int64(never / 4)
	for _, op := range h.Ops {
		if op.Outcome == OK && !op.Kind.reads() && !op.Again && op.Call > at {
			index = min(index, int64(op.Index))
		}
	}
	return index
}

// Keep writes a history that failed, and a picture of each search that found no
// explanation beside it, into a folder.
func (v *Verdict) Keep(h *History, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, "history.jsonl"))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := h.Write(f); err != nil {
		return err
	}
	for i, one := range v.Violations {
		if one.model == nil {
			continue
		}
		_, info := porcupine.CheckOperationsVerbose(*one.model, one.ops, searchTime)
		if err := porcupine.VisualizePath(*one.model, info, filepath.Join(dir, fmt.Sprintf("%d.html", i+1))); err != nil {
			return err
		}
	}
	return nil
}

// Add adds what another history came to.
func (v *Verdict) Add(o *Verdict) {
	v.Violations, v.Undecided = append(v.Violations, o.Violations...), append(v.Undecided, o.Undecided...)
	v.Backfills, v.Instances, v.Operations, v.Open = v.Backfills+o.Backfills, v.Instances+o.Instances, v.Operations+o.Operations, v.Open+o.Open
	v.Reads, v.Attempts = v.Reads+o.Reads, v.Attempts+o.Attempts
}

// String tells how much was judged.
func (v *Verdict) String() string {
	return fmt.Sprintf("%d backfills, %d operations of which %d have an unknown outcome and %d are reads, %d attempts of %d instances; %d violations, %d undecided",
		v.Backfills, v.Operations, v.Open, v.Reads, v.Attempts, v.Instances, len(v.Violations), len(v.Undecided))
}
