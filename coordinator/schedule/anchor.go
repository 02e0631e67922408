package schedule

import (
	"backfleet/coordinator/state"
	"backfleet/pkg/plan"
)

// anchors gives each node of a plan one upstream that its instances wait for
// on their own date in any case: its anchor. As long as the anchor has not
// succeeded on a date, the node's instances there need no watch of their own:
// they are looked at when it has. So a date of which nothing has succeeded is
// remembered by its first nodes alone, however many it has.
type anchors struct {
	of        *plan.Node // the first of the nodes: plans may share them
	anchor    []int32    // by node; -1: none
	followers []int32    // the nodes by their anchor,
	from      []int32    // those of node i from here to from[i+1]
}

// anchorsOf finds the anchors of a plan. Plans that share their nodes share
// these too.
func (s *Scheduler) anchorsOf(p *state.Plan) *anchors {
	if len(p.Nodes) == 0 {
		return &anchors{from: make([]int32, 1)}
	}
	if s.anchors == nil || s.anchors.of != &p.Nodes[0] || len(s.anchors.anchor) != len(p.Nodes) {
		s.anchors = newAnchors(p.Nodes)
	}
	return s.anchors
}

func newAnchors(nodes []plan.Node) *anchors {
	a := &anchors{of: &nodes[0], anchor: make([]int32, len(nodes)), from: make([]int32, len(nodes)+1)}
	for i := range nodes {
		a.anchor[i] = -1
		for _, e := range nodes[i].Up {
			if e.Node != i && waitsForAll(&nodes[i], &nodes[e.Node], e) {
				a.anchor[i] = int32(e.Node)
				a.from[e.Node+1]++
				break
			}
		}
	}
	for i := range nodes {
		a.from[i+1] += a.from[i]
	}
	a.followers = make([]int32, a.from[len(nodes)])
	at := append([]int32(nil), a.from...)
	for i, u := range a.anchor {
		if u >= 0 {
			a.followers[at[u]] = int32(i)
			at[u]++
		}
	}
	return a
}

// waitsForAll says that each instance of a node waits for all that an upstream
// has on its date (RULES R5.2).
func waitsForAll(n, up *plan.Node, e plan.Edge) bool {
	return e.Window == nil && (!up.Schedule.SubDaily() || !n.Schedule.SubDaily() && !up.Spec.DependsOnSelf)
}

// anchored says that all of a node on a position waits for its anchor, and is
// looked at when that has succeeded. What a person has freed of it is not told
// apart here: see freed.
func (t *tracker) anchored(p *state.Plan, pos, n int) bool {
	u := t.anchors.anchor[n]
	if u < 0 {
		return false
	}
	_, waits := p.FirstUnsuccessful(p.NodeRange(pos, int(u)))
	return waits
}

// freed looks at those of an anchored node that no longer wait for their anchor.
func (s *Scheduler) freed(t *tracker, p *state.Plan, n int, from, to uint64) {
	if !p.Frees() {
		return
	}
	anchor := p.Nodes[t.anchors.anchor[n]].Spec.Id
	for i := from; i < to; i++ {
		if p.Removed(i, anchor) {
			s.open(t, p, i, i+1)
		}
	}
}

// followed looks at those whose anchor has succeeded on a position.
func (s *Scheduler) followed(t *tracker, p *state.Plan, at plan.Place) {
	a := t.anchors
	followers := a.followers[a.from[at.Node]:a.from[at.Node+1]]
	if len(followers) == 0 {
		return
	}
	if _, waits := p.FirstUnsuccessful(p.NodeRange(at.Pos, at.Node)); waits {
		return
	}
	for _, n := range followers {
		from, to := p.NodeRange(at.Pos, int(n))
		s.open(t, p, from, to)
	}
}
