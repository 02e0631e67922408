package schedule

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"backfleet/coordinator/state"
	"backfleet/pkg/wire"
)

// TestR7_3_R7_7_R7_8_FillAgreesWithTheSlowWay: for random agents, nodes and
// plans, what starts and where is what follows from asking everybody in line,
// from the first on, whether any agent has room, after each grant anew.
func TestR7_3_R7_7_R7_8_FillAgreesWithTheSlowWay(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(300) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { fillAgrees(t, rand.New(rand.NewPCG(seed, 11)), seen) })
	}
	for _, what := range []string{"plain", "heavy", "labelled", "left", "room", "capped"} {
		if seen[what] == 0 {
			t.Errorf("never %s: the draws do not test it", what)
		}
	}
	t.Log(seen)
}

func fillAgrees(t *testing.T, r *rand.Rand, seen map[string]int) {
	var nodes []*wire.Node
	plans, of := 1+r.IntN(6), map[int][]string{}
	for p := range plans {
		for k := range 1 + r.IntN(4) {
			n := prior(daily(fmt.Sprintf("n%d_%d", p, k)), []int32{1, 1, 5, 8}[r.IntN(4)])
			if r.IntN(2) == 0 {
				heavy(n, uint32(1+r.IntN(5)))
			}
			if r.IntN(3) == 0 {
				n.Requires = [][]*wire.Assignment{labels("gpu", "true"), labels("os", "linux"), labels("gpu", "true", "os", "linux")}[r.IntN(3)]
			}
			nodes, of[p] = append(nodes, n), append(of[p], n.Id)
		}
	}
	f := newFacts(t, nodes...)
	f.agent("a", 0, 0)
	o, free := NewOffers(), map[string]Offer{}
	for i := range 1 + r.IntN(6) {
		a := Offer{Agent: fmt.Sprint("b", i), Slots: 1 + r.IntN(6)}
		a.Free = r.IntN(a.Slots + 1)
		if r.IntN(2) == 0 {
			a.Labels = append(a.Labels, labels("gpu", "true")...)
		}
		if r.IntN(2) == 0 {
			a.Labels = append(a.Labels, labels("os", "linux", "zone", "x")...)
		}
		a.Light = r.IntN(6) == 0
		free[a.Agent] = a
		o.Use("default").Slots += a.Slots
		o.Use("default").Used += a.Slots - a.Free
	}
	o.Use("default").Backfills = r.IntN(o.Use("default").Used + 1)
	if share := uint32(r.IntN(3) * 40); share > 0 {
		f.resourceGroup(0, share)
	}
	for p := range plans {
		f.submit(1+r.Int32N(4), &wire.Request{
			Mode: wire.Request_ADVANCED, Nodes: of[p], Gate: wire.Request_NONE, MaxRunning: max(0, r.Int32N(8)-4),
		})
	}
	for range 2 { // the offers know the demands the second time
		for _, a := range free {
			o.Set("default", a)
		}
		var got []string
		for _, g := range f.sched.Fill(o, 1000) {
			got = append(got, fmt.Sprint(g.Plan, ".", g.Instance, " at ", g.Agent))
		}
		if want := slowFill(f, free, *o.Use("default"), seen); !slices.Equal(got, want) {
			t.Fatalf("got  %v\nwant %v", got, want)
		}
		f.sched.Load(f.st, f.now) // nothing of it was a fact
	}
}

// slowFill is what Fill gives when nobody has waited long.
func slowFill(f *facts, offers map[string]Offer, use state.GroupUse, seen map[string]int) (out []string) {
	free := map[string]int{}
	for id, a := range offers {
		free[id] = a.Free
	}
	room := BackfillLimit(use.Slots, f.st.ResourceGroup("default")) - use.Backfills
	turns, waits := map[int32][]uint64{}, map[int32]map[uint64][]uint64{} // by priority: plans in turn, their instances in order
	running := map[uint64]int{}
	f.st.Plans(0, func(p *state.Plan) bool {
		for i := range p.Size() {
			at, _ := p.Locate(i)
			k := p.PriorityOf(at)
			if waits[k] == nil {
				waits[k] = map[uint64][]uint64{}
			}
			if !slices.Contains(turns[k], p.ID) {
				turns[k] = append(turns[k], p.ID)
			}
			waits[k][p.ID] = append(waits[k][p.ID], i)
		}
		return true
	})
	for k := range turns {
		slices.Sort(turns[k])
		for id, list := range waits[k] {
			p, _ := f.st.Plan(id)
			due := func(i uint64) int64 { at, _ := p.Locate(i); return p.DueMs(at) }
			slices.SortStableFunc(list, func(a, b uint64) int { return int(due(a) - due(b)) })
		}
	}
	next := func() bool {
		for _, k := range []int32{8, 7, 5, 3, 2, 1} {
			for n, id := range turns[k] {
				p, _ := f.st.Plan(id)
				if limit := int(p.Request.MaxRunning); limit > 0 && running[id] >= limit {
					seen["capped"]++
					continue
				}
				for j, i := range waits[k][id] {
					at, _ := p.Locate(i)
					spec := p.Nodes[at.Node].Spec
					weight := max(1, int(spec.Slots))
					if weight > room {
						seen["room"]++
						continue
					}
					agent := ""
					for _, a := range offers {
						has := func(l *wire.Assignment) bool {
							return slices.ContainsFunc(a.Labels, func(x *wire.Assignment) bool { return x.Name == l.Name && x.Value == l.Value })
						}
						fits := free[a.Agent] >= weight && !(a.Light && weight > 1) && !slices.ContainsFunc(spec.Requires, func(l *wire.Assignment) bool { return !has(l) })
						if fits && (agent == "" || free[a.Agent] > free[agent] || free[a.Agent] == free[agent] && a.Agent < agent) {
							agent = a.Agent
						}
					}
					if agent == "" {
						seen["left"]++
						continue
					}
					switch {
					case len(spec.Requires) > 0:
						seen["labelled"]++
					case weight > 1:
						seen["heavy"]++
					default:
						seen["plain"]++
					}
					out = append(out, fmt.Sprint(id, ".", i, " at ", agent))
					free[agent] -= weight
					room -= weight
					running[id]++
					waits[k][id] = slices.Delete(slices.Clone(waits[k][id]), j, j+1)
					turns[k] = append(slices.Delete(slices.Clone(turns[k]), n, n+1), id)
					return true
				}
			}
		}
		return false
	}
	for next() {
		continue
	}
	return out
}
