// Package executor turns work handed out by a coordinator into the command
// that the keeper runs. It is pure: what it needs of its surroundings it is
// given once, when it is made.
package executor

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"backfleet/agent/attempt"
	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// Executor prepares attempts of the nodes of one type.
type Executor interface {
	// Prepare makes the command of an attempt. An error is the cause with which
	// the attempt fails.
	Prepare(*wire.Definition, *wire.Work) (*wire.StartAttempt, error)
}

// ByType chooses an executor by the node's type. It is an Executor itself.
type ByType map[string]Executor

// Prepare implements Executor.
func (b ByType) Prepare(d *wire.Definition, w *wire.Work) (*wire.StartAttempt, error) {
	e := b[d.GetNode().GetType()]
	if e == nil {
		return nil, fault.New(fault.Invalid, "node %q: this agent cannot run type %q, only %s; update the agent or change the node",
			d.GetNode().GetId(), d.GetNode().GetType(), strings.Join(slices.Sorted(maps.Keys(b)), ", "))
	}
	return e.Prepare(d, w)
}

// inherited are the variables that attempts get from the agent's environment.
var inherited = []string{"PATH", "HOME", "LANG", "TZ"}

// Base picks from an environment ("name=value", as os.Environ gives it) what
// every attempt inherits.
func Base(environ []string) []*wire.Assignment {
	var base []*wire.Assignment
	for _, e := range environ {
		if name, value, ok := strings.Cut(e, "="); ok && slices.Contains(inherited, name) {
			base = append(base, &wire.Assignment{Name: name, Value: value})
		}
	}
	return base
}

// Environment is an attempt's environment, the later winning over the earlier:
// the base, the assigned values (PARAMS: `shell` code sees them as variables
// too), the node's own, and what identifies the attempt.
func Environment(base []*wire.Assignment, d *wire.Definition, w *wire.Work) []*wire.Assignment {
	key := attempt.KeyOf(w.Ref)
	scheduled := calendar.Wall{Date: calendar.Date(w.ScheduledDate), Clock: calendar.Clock(w.ScheduledClock)}
	own := []*wire.Assignment{
		{Name: "BACKFLEET_FENCE", Value: fmt.Sprint(key.Fence)},
		{Name: "BACKFLEET_PLAN", Value: PlanName(key)},
		{Name: "BACKFLEET_INSTANCE", Value: InstanceName(key)},
		{Name: "BACKFLEET_ATTEMPT", Value: fmt.Sprint(key.Attempt)},
		{Name: "BACKFLEET_NODE", Value: d.Node.Id},
		{Name: "BACKFLEET_DATA_TIMESTAMP", Value: calendar.Date(w.DataTimestamp).String()},
		{Name: "BACKFLEET_SCHEDULED_TIME", Value: scheduled.String()},
		{Name: "BACKFLEET_RESOURCE_GROUP", Value: d.ResourceGroup},
	}
	all := slices.Concat(base, w.Values, d.Node.Environment, own)
	last := make(map[string]int, len(all))
	for i, e := range all {
		last[e.Name] = i
	}
	kept := all[:0]
	for i, e := range all {
		if last[e.Name] == i {
			kept = append(kept, e)
		}
	}
	return kept
}

// PlanName is how people know the plan: "b12".
func PlanName(k attempt.Key) string { return fmt.Sprintf("b%d", k.Plan) }

// InstanceName is how people know the instance: "b12.345".
func InstanceName(k attempt.Key) string { return fmt.Sprintf("b%d.%d", k.Plan, k.Instance) }
