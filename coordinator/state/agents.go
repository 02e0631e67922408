package state

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// Agent is a registered agent, with what a person wants of it.
type Agent struct {
	*wire.Agent // as it says itself, or was found to be
	// State is how it stands in the end: READY only when it says so and nobody
	// drains it.
	State  wire.Agent_State
	Number uint64
	Used   []uint32 // slots used, parallel to Groups; leases in a group it left count nowhere
	// ReadyMs is since when it is in the state that it says itself.
	ReadyMs int64
	// HeardMs is when it was last known to live, as far as the log says: its last
	// change; of one that is lost, when that was found.
	HeardMs int64
	Drain   *wire.Drain // nil: nobody drains it
	// Leases is how many it holds, in any group: none while it is draining means
	// that it is drained.
	Leases int
	// Backfills is how many of the slots used are not the schedule's own.
	Backfills []uint32
	// Ahead is how many leases it holds ahead, of Groups too: they use no slot
	// before they are known to have started.
	Ahead []uint32
	owner *mark // the edit that may change it
}

func newAgent(a *wire.Agent, nowMs int64) *Agent {
	n := len(a.Groups)
	return &Agent{
		Agent: a, State: a.State, Used: make([]uint32, n), Backfills: make([]uint32, n), Ahead: make([]uint32, n),
		ReadyMs: nowMs, HeardMs: nowMs,
	}
}

// Lives says whether the agent is taken to be there: it is neither lost nor has
// it said goodbye.
func (a *Agent) Lives() bool {
	return a.State == wire.Agent_READY || a.State == wire.Agent_DRAINING
}

// drained sets what a person wants of the agent, and so how it stands.
func (a *Agent) drained(d *wire.Drain) {
	a.Drain, a.State = d, a.Agent.State
	if d != nil && a.State == wire.Agent_READY {
		a.State = wire.Agent_DRAINING
	}
}

// drainOver says whether what runs there is to be stopped.
func (a *Agent) drainOver(nowMs int64) bool {
	return a.Drain.GetDeadlineMs() > 0 && a.Drain.DeadlineMs <= nowMs
}

// agentNames is the name of every agent by its number. Histories tell agents by
// number, so a name stays when its agent is forgotten.
type agentNames struct {
	cells column[string]
	n     uint64
}

func (a *agentNames) add(m *mark, id string) (number uint64) {
	number = a.n
	a.n++
	a.cells.grow(m, a.n)
	*a.cells.at(m, number) = id
	return number
}

func (a *agentNames) list() []string {
	out := make([]string, a.n)
	for i := range out {
		out[i] = a.cells.get(uint64(i))
	}
	return out
}

func namesOf(list []string) agentNames {
	a := agentNames{cells: newColumn[string](uint64(len(list)))}
	own := new(mark)
	for _, id := range list {
		a.add(own, id)
	}
	return a
}

// PutAgent registers an agent, or changes what is known of it. What a person
// wants of it stays, also when it comes back after a restart.
func (e *Edit) PutAgent(a *wire.Agent) {
	next := newAgent(a, e.s.nowMs)
	old, known := e.agents.Get([]byte(a.Id))
	switch {
	case !known:
		next.Number = e.s.agentNames.add(e.mark, a.Id)
	case proto.Equal(old.Agent, a):
		return
	default:
		next.Number, next.Leases = old.Number, old.Leases
		next.drained(old.Drain)
		if old.Agent.State == a.State {
			next.ReadyMs = old.ReadyMs
		}
		e.recount(next, old)
	}
	e.putAgent(next)
	e.changes = append(e.changes, Change{Kind: AgentChanged, Agent: a.Id})
}

// recount takes over the slots used. The leases are only gone through for a
// group that the agent did not have: it may come back to one that it left.
func (e *Edit) recount(next, old *Agent) {
	known := true
	for i, g := range next.Groups {
		k := slices.IndexFunc(old.Groups, func(o *wire.GroupSlots) bool { return o.Group == g.Group })
		if known = known && k >= 0; known {
			next.Used[i], next.Backfills[i], next.Ahead[i] = old.Used[k], old.Backfills[k], old.Ahead[k]
		}
	}
	if known {
		return
	}
	clear(next.Used)
	clear(next.Backfills)
	clear(next.Ahead)
	if next.Leases == 0 {
		return
	}
	e.leases.each(func(l *Lease) {
		if l.Agent == next.Id {
			next.use(l, 1)
		}
	})
}

// endDrains stops what runs at those of the agents whose drain is over. That
// its deadline has come is a fact when a turn names the agent after it.
func (e *Edit) endDrains(agents []*wire.Agent) {
	var over map[string]*Agent
	for _, a := range agents {
		if own, ok := e.agents.Get([]byte(a.Id)); ok && own.Leases > 0 && own.drainOver(e.s.nowMs) {
			if over == nil {
				over = map[string]*Agent{}
			}
			over[own.Id] = own
		}
	}
	e.empty(over)
}

// empty calls back what drained agents hold ahead, and stops what they hold at
// all if their deadline has come.
func (e *Edit) empty(drained map[string]*Agent) {
	if len(drained) == 0 {
		return
	}
	var held []*Lease
	e.leases.each(func(l *Lease) {
		if drained[l.Agent] != nil {
			held = append(held, l)
		}
	})
	for _, l := range held {
		a := drained[l.Agent]
		cause := a.drainCause()
		switch {
		case a.drainOver(e.s.nowMs):
			e.drainLease(l, cause)
		case l.Ahead && !l.Ending():
			e.recall(l, cause, false)
		}
	}
}

func (a *Agent) drainCause() string {
	text := "agent " + a.Id + " is drained"
	if a.Drain.Actor != "" {
		text += " by " + a.Drain.Actor
	}
	if a.Drain.Why != "" {
		text += ": " + a.Drain.Why
	}
	return clip(text)
}

// drainLease has an attempt stopped, so that it runs again elsewhere. What ends
// for another reason already ends for that one.
func (e *Edit) drainLease(l *Lease, cause string) {
	if l.Stopping || l.Yielding || l.Draining {
		return
	}
	next := *l
	next.Draining, next.Recalled, next.Cause = true, false, cause
	e.leases.put(&next)
	e.changes = append(e.changes, Change{Kind: LeaseEnding, Plan: l.Plan, Instance: l.Instance})
}

// operateAgents does to agents what a person, or the daily sweep, asks for: all
// or nothing. What is so already is no obstacle, and not done again.
func (e *Edit) operateAgents(c *wire.Command, o *wire.OperateAgents) (*wire.Answer, error) {
	ids := slices.Compact(slices.Sorted(slices.Values(o.Agents)))
	if err := e.refuseAgents(o, ids); err != nil {
		return nil, err
	}
	answer, drained := &wire.Answer{}, map[string]*Agent{}
	for _, id := range ids {
		a, _ := e.agents.Get([]byte(id))
		switch o.Kind {
		case wire.OperateAgents_FORGET:
			e.agents.Delete([]byte(id))
			e.lastAgent = nil
		case wire.OperateAgents_DRAIN:
			if a.Drain != nil && a.Drain.DeadlineMs == o.DeadlineMs {
				continue
			}
			d := &wire.Drain{Actor: c.Actor, Why: clip(c.Why), SinceMs: e.s.nowMs, DeadlineMs: o.DeadlineMs}
			if a.Drain != nil {
				d.SinceMs = a.Drain.SinceMs
			}
			a, _ = e.agent(id)
			a.drained(d)
			if a.Leases > 0 {
				drained[id] = a
			}
		case wire.OperateAgents_RESUME:
			if a.Agent.State == wire.Agent_DRAINING {
				answer.Warnings = append(answer.Warnings, fmt.Sprintf("agent %q takes no work of its own accord: its process is ending, start it again", id))
			}
			if a.Drain == nil {
				continue
			}
			a, _ = e.agent(id)
			a.drained(nil)
		}
		answer.Instances++
		e.changes = append(e.changes, Change{Kind: AgentChanged, Agent: id})
	}
	e.empty(drained)
	return answer, nil
}

// refuseAgents names every agent that stands in the way of an operation.
func (e *Edit) refuseAgents(o *wire.OperateAgents, ids []string) error {
	verb := map[wire.OperateAgents_Kind]string{
		wire.OperateAgents_DRAIN: "drain", wire.OperateAgents_RESUME: "resume", wire.OperateAgents_FORGET: "forget",
	}[o.Kind]
	switch {
	case verb == "":
		return fault.Field("operation", "%d is none that this version knows: expected drain, resume or forget", o.Kind)
	case len(ids) == 0:
		return fault.Field("agents", "none is named: expected the ids of agents to %s", verb)
	case o.DeadlineMs < 0:
		return fault.Field("deadline", "%d is no moment: expected one after 1970, or none", o.DeadlineMs)
	case o.DeadlineMs > 0 && o.Kind != wire.OperateAgents_DRAIN:
		return fault.Field("deadline", "there is none to %s an agent: leave it out", verb)
	}
	no := &refusal{verb: verb}
	for _, id := range ids {
		a, ok := e.agents.Get([]byte(id))
		switch {
		case !ok:
			no.add(fault.NotFound, id, fmt.Sprintf("there is no agent %q", id))
		case o.Kind == wire.OperateAgents_FORGET && a.Lives():
			no.add(fault.Conflict, id, fmt.Sprintf("agent %q is there: stop it, and forget it when it is gone or lost", id))
		case o.Kind == wire.OperateAgents_FORGET && a.Leases > 0:
			no.add(fault.Conflict, id, fmt.Sprintf("agent %q still holds %d attempts: wait until they are recorded as lost", id, a.Leases))
		}
	}
	if len(ids) == 1 && len(no.details) == 1 {
		return fault.New(no.code, "%s", no.details[0].Message)
	}
	return no.err()
}
