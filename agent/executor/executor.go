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
		return nil, fault.New(fault.Invalid, "node %q: this agent cannot run type %q, only %s; install there what the type needs, update the agent or change the node",
			d.GetNode().GetId(), d.GetNode().GetType(), strings.Join(slices.Sorted(maps.Keys(b)), ", "))
	}
	return e.Prepare(d, w)
}

// PlanName is how people know the plan: "b12".
func PlanName(k attempt.Key) string { return fmt.Sprintf("b%d", k.Plan) }

// InstanceName is how people know the instance: "b12.345".
func InstanceName(k attempt.Key) string { return fmt.Sprintf("b%d.%d", k.Plan, k.Instance) }
