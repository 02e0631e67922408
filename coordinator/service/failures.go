package service

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	v1 "backfleet/api/v1"
	"backfleet/coordinator/state"
	"backfleet/pkg/fault"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// What is told of a group of failures, and how many groups there are at most: what
// comes beyond is put together as if nothing of its cause were alike.
const (
	failureNames    = 20
	failureExamples = 3
	failureGroups   = 1000
	failureText     = 500 // bytes of a cause
	failureGlances  = 8   // that one failure costs: its history is read
)

var failing = state.Statuses(0).With(state.Failed).With(state.Stopped).With(state.Retrying)

// likeness is what failures of a group have in common.
type likeness struct {
	cause   string
	outcome v1.AttemptState
	code    int  // -1: none
	rest    bool // what did not fit into failureGroups
}

// id names a group for as long as there is such a failure.
func (l likeness) id() string {
	if l.rest {
		return ""
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %s", l.outcome, l.code, l.cause))
	return hex.EncodeToString(sum[:8])
}

type failureGroup struct {
	likeness
	instances, retrying int64
	nodes, dates        map[int]struct{} // places in the plan
	agents              map[string]struct{}
	examples            []v1.FailureExample
}

// failures gathers the groups of a plan.
type failures struct {
	*reading
	p      *state.Plan
	groups map[likeness]*failureGroup
}

// Failures implements server.Overview.
func (s *Service) Failures(_ context.Context, planID uint64, most int) (*v1.Failures, error) {
	return s.read().failures(planID, most)
}

func (r *reading) failures(planID uint64, most int) (*v1.Failures, error) {
	p, err := r.plan(planID)
	if err != nil {
		return nil, err
	}
	f := &failures{r, p, map[likeness]*failureGroup{}}
	total := p.Total()
	whole := f.gather()
	out := &v1.Failures{
		Backfill: plan.FormatID(p.ID), Instances: int64(total[state.Failed]) + int64(total[state.Stopped]) + int64(total[state.Retrying]),
		Groups: len(f.groups), Items: []v1.FailureGroup{}, Incomplete: !whole,
	}
	sorted := slices.SortedFunc(maps.Values(f.groups), func(a, b *failureGroup) int {
		return cmp.Or(cmp.Compare(b.instances, a.instances), cmp.Compare(a.cause, b.cause), cmp.Compare(a.outcome, b.outcome), cmp.Compare(a.code, b.code))
	})
	for _, g := range sorted[:min(most, len(sorted))] {
		out.Items = append(out.Items, g.told(p))
	}
	return out, nil
}

// gather goes through the dates that have failures; false: not through all.
func (f *failures) gather() bool {
	for pos := range f.p.Dates {
		c := f.p.DateCounts(pos)
		if c[state.Failed]+c[state.Stopped]+c[state.Retrying] == 0 {
			continue
		}
		for lo, hi := range f.p.Ranges(pos) {
			f.glances -= int((hi - lo) / passStretch)
			f.st.EachFailed(f.p, lo, hi, failing, func(i uint64, last *state.Attempt) bool {
				f.glances -= failureGlances
				f.add(i, last)
				return f.glances > 0
			})
			if f.glances <= 0 {
				return false
			}
		}
	}
	return true
}

// alike is which group a failure is of, told by its last attempt (nil: none), and
// what its own cause and agent are.
func (r *reading) alike(p *state.Plan, i uint64, last *state.Attempt) (key likeness, text, agent string) {
	at, _ := p.Locate(i)
	key = likeness{outcome: v1.AttemptStateStopped, code: -1}
	if last != nil {
		agent, text, key.outcome = last.Agent, last.Cause, outcomeWords[last.Outcome]
		if last.Outcome == wire.Outcome_FAILED {
			key.code = int(last.ExitCode)
		}
	}
	if p.Status(i) == state.Stopped || last == nil {
		r.glances -= failureGlances
		attempts := 0
		if last != nil {
			attempts = int(last.Number)
		}
		if by := ended(p, i, attempts); by != "" {
			text, key.outcome, key.code = by, v1.AttemptStateStopped, -1
		}
	}
	key.cause = common(text, p.Nodes[at.Node].Spec.Id, agent)
	return key, text, agent
}

// ofFailure says whether an instance is of a group of failures; an empty id: all
// are. known: there was a glance left to find out.
func (r *reading) ofFailure(p *state.Plan, i uint64, id string) (is, known bool) {
	switch {
	case id == "":
		return true, true
	case r.glances <= 0:
		return false, false
	}
	r.glances -= failureGlances
	r.st.EachFailed(p, i, i+1, failing, func(_ uint64, last *state.Attempt) bool {
		key, _, _ := r.alike(p, i, last)
		is = key.id() == id
		return false
	})
	return is, true
}

// failed lists the first instances of a group of failures that have failed and are
// not tried again by themselves. All are looked at, however many: who operates a
// group means the whole of it.
func (r *reading) failed(p *state.Plan, id string, most int) (out []uint64) {
	rested := state.Statuses(0).With(state.Failed).With(state.Stopped)
	known := map[likeness]bool{} // ids are made once
	for pos := range p.Dates {
		if c := p.DateCounts(pos); c[state.Failed]+c[state.Stopped] == 0 {
			continue
		}
		for lo, hi := range p.Ranges(pos) {
			r.st.EachFailed(p, lo, hi, rested, func(i uint64, last *state.Attempt) bool {
				key, _, _ := r.alike(p, i, last)
				is, ok := known[key]
				if !ok {
					is = key.id() == id
					if len(known) < failureGroups {
						known[key] = is
					}
				}
				if is {
					out = append(out, i)
				}
				return len(out) < most
			})
			if len(out) >= most {
				return out
			}
		}
	}
	return out
}

// chosenFailures gives what an operation of a group of failures is about.
func (r *reading) chosenFailures(planID uint64, id string) ([]*wire.Target, error) {
	p, err := r.plan(planID)
	if err != nil {
		return nil, err
	}
	list := r.failed(p, id, state.MaxNamed)
	if len(list) == 0 {
		return nil, fault.New(fault.Conflict, "no instance of failure %s of %s has failed by now: look at its failures again", id, plan.FormatID(planID))
	}
	return []*wire.Target{{Plan: planID, Instances: list}}, nil
}

func (f *failures) add(i uint64, last *state.Attempt) {
	at, _ := f.p.Locate(i)
	status := f.p.Status(i)
	key, text, agent := f.alike(f.p, i, last)
	g := f.groups[key]
	if g == nil && len(f.groups) >= failureGroups {
		key.cause, key.rest = differing, true
		g = f.groups[key]
	}
	if g == nil {
		g = &failureGroup{likeness: key, nodes: map[int]struct{}{}, dates: map[int]struct{}{}, agents: map[string]struct{}{}}
		f.groups[key] = g
	}
	g.instances++
	if status == state.Retrying {
		g.retrying++
	}
	g.nodes[at.Node], g.dates[at.Pos] = struct{}{}, struct{}{}
	if agent != "" {
		g.agents[agent] = struct{}{}
	}
	if len(g.examples) < failureExamples {
		g.examples = append(g.examples, v1.FailureExample{Instance: plan.FormatInstance(f.p.ID, i), Cause: text})
	}
}

func (g *failureGroup) told(p *state.Plan) v1.FailureGroup {
	out := v1.FailureGroup{
		ID: g.id(), Cause: g.cause, Outcome: g.outcome, Instances: g.instances, Retrying: g.retrying, Nodes: len(g.nodes), Dates: len(g.dates),
		Examples: g.examples, NodeIds: []string{}, Agents: slices.Sorted(maps.Keys(g.agents)),
	}
	if g.code >= 0 {
		out.ExitCode = &g.code
	}
	nodes := slices.Sorted(maps.Keys(g.nodes))
	for _, n := range nodes[:min(failureNames, len(nodes))] {
		out.NodeIds = append(out.NodeIds, p.Nodes[n].Spec.Id)
	}
	out.Agents = out.Agents[:min(failureNames, len(out.Agents))]
	positions := slices.Collect(maps.Keys(g.dates))
	byDate := func(a, b int) int { return cmp.Compare(p.Dates[a], p.Dates[b]) }
	out.FirstDate, out.LastDate = p.Dates[slices.MinFunc(positions, byDate)].String(), p.Dates[slices.MaxFunc(positions, byDate)].String()
	return out
}

// differing stands in a cause for what is not the same in all.
const differing = "…"

// common is what a cause has in common with others of its kind: words with a digit,
// and the names given, are left out.
func common(cause string, names ...string) string {
	cause = cause[:min(failureText, len(cause))]
	out := make([]byte, 0, len(cause))
	for len(cause) > 0 {
		n := strings.IndexFunc(cause, func(c rune) bool { return !partOfWord(c) })
		switch n {
		case 0:
			_, n = utf8.DecodeRuneInString(cause)
			out = append(out, cause[:n]...)
		case -1:
			n = len(cause)
			fallthrough
		default:
			bare := strings.TrimRight(cause[:n], ".:")
			if strings.ContainsFunc(bare, unicode.IsDigit) || bare != "" && slices.Contains(names, bare) {
				out = bytes.TrimSuffix(out, []byte(differing+" ")) // a date and a time are one thing
				out = append(append(out, differing...), cause[len(bare):n]...)
			} else {
				out = append(out, cause[:n]...)
			}
		}
		cause = cause[n:]
	}
	return strings.ToValidUTF8(string(out), "")
}

func partOfWord(c rune) bool {
	return unicode.IsLetter(c) || unicode.IsDigit(c) || strings.ContainsRune("_-.:/+", c)
}
