package schedule

import (
	"fmt"

	"backfleet/coordinator/state"
	"backfleet/pkg/node"
	"backfleet/pkg/wire"
)

// Fit is how the agents of a resource group that take work stand to what a node
// asks for (RULES R7.7, R7.8). To have its labels an agent must be able to run its
// type as well.
type Fit struct {
	Needs    int // slots of one agent
	Agents   int // that take work and have slots there
	Typed    int // of these: can run the type
	Labelled int // of these: have the labels that the node requires
	Able     int // of those with the labels: have as many slots as it needs
	Largest  int // of those with the labels: the most slots that one has
	Free     int // of those with the labels: the most free slots that one has
}

// FitOf looks at every agent.
func FitOf(st *state.State, group string, spec *wire.Node) Fit {
	f := Fit{Needs: int(node.Weight(spec))}
	requires, typed := node.Requires(spec), node.Requires(&wire.Node{Type: spec.Type})
	st.Agents(func(a *state.Agent) {
		if a.State != wire.Agent_READY {
			return
		}
		for _, g := range a.Groups {
			if g.Group != group || g.Slots == 0 {
				continue
			}
			f.Agents++
			if node.Labelled(a.Labels, typed) {
				f.Typed++
			}
			if node.Labelled(a.Labels, requires) {
				f.Labelled++
				if int(g.Slots) >= f.Needs {
					f.Able++
				}
				f.Largest = max(f.Largest, int(g.Slots))
				f.Free = max(f.Free, a.Free(group))
			}
		}
	})
	return f
}

// Ever says whether any of the agents could hold an attempt of the node.
func (f Fit) Ever() bool { return f.Largest >= f.Needs }

// Lack says for people what no agent of a resource group has for a node; empty
// when one could hold it.
func (f Fit) Lack(group string, spec *wire.Node) string {
	with := ""
	if len(spec.Requires) > 0 {
		with = " with " + node.LabelText(spec.Requires)
	}
	switch {
	case f.Ever():
		return ""
	case f.Agents > 0 && f.Typed == 0:
		return fmt.Sprintf("no agent of resource group %q can run type %s, for which it needs %s", group, spec.Type, needOf(spec.Type))
	case f.Labelled == 0 && len(spec.Requires) > 0:
		which := ""
		if f.Typed < f.Agents {
			which = " that can run type " + spec.Type
		}
		return fmt.Sprintf("it requires %s, which no agent of resource group %q%s has", node.LabelText(spec.Requires), group, which)
	case f.Largest == 0:
		return fmt.Sprintf("no agent of resource group %q%s has a slot there", group, with)
	default:
		return fmt.Sprintf("it needs %d slots at one agent, and the largest of resource group %q%s has %d", f.Needs, group, with, f.Largest)
	}
}

// needOf is what an agent's host must have for a type of node.
func needOf(kind string) string {
	if kind == node.Python {
		return "a Python interpreter that its settings find"
	}
	return "backfleet-task beside it, or the whole backfleet"
}

// Now says whether one has room for it.
func (f Fit) Now() bool { return f.Free >= f.Needs }
