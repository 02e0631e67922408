package naive

import (
	"fmt"
	"slices"

	"backfleet/pkg/wire"
)

// R9: what changes the rows.

// applyNodes takes nodes in; what makes a set of nodes valid is not tested here,
// so the caller says whether it was.
func (w *world) applyNodes(a *wire.ApplyNodes) {
	for _, n := range a.Nodes {
		if old := w.nodes[n.Id]; n.Auto && (old == nil || !old.Auto) {
			w.since[n.Id] = w.now
		}
		w.nodes[n.Id] = n
	}
	for _, id := range a.Remove {
		delete(w.nodes, id)
		delete(w.since, id)
	}
}

// operate does what a person asks for, all of it or nothing.
func (w *world) operate(o *wire.Operate) error {
	type act struct {
		p    *program
		rows []*row
	}
	var acts []act
	for _, t := range o.Targets {
		p := w.plans[t.Plan]
		if p == nil {
			return fmt.Errorf("no plan %d", t.Plan)
		}
		var rows []*row
		switch {
		case len(t.Instances) > 0:
			for _, number := range t.Instances {
				i := slices.IndexFunc(p.rows, func(r *row) bool { return r.number == number })
				if i < 0 {
					return fmt.Errorf("no instance %d", number)
				}
				if err := w.allows(o, p.rows[i]); err != nil {
					return err
				}
				rows = append(rows, p.rows[i])
			}
		case len(t.Dates) > 0:
			for d := range days(t.Dates) {
				if !slices.Contains(p.dates(), d) {
					return fmt.Errorf("no date %d", d)
				}
			}
			rows = p.waitingOr(o.Kind, days(t.Dates))
			if len(rows) == 0 {
				return fmt.Errorf("nothing to do on these dates")
			}
		default:
			var err error
			if rows, err = p.wholly(o.Kind); err != nil {
				return err
			}
		}
		acts = append(acts, act{p, rows})
	}
	w.touch()
	for _, a := range acts {
		if a.rows == nil {
			a.p.steer(o.Kind)
		}
	}
	done := map[*row]bool{}
	for _, a := range acts {
		for _, r := range a.rows {
			if !done[r] {
				w.does(o, r)
			}
			done[r] = true
		}
	}
	return nil
}

// allows says whether an operation is allowed on a row (RULES R9).
func (w *world) allows(o *wire.Operate, r *row) error {
	ok := false
	switch o.Kind {
	case wire.Operate_STOP:
		ok = r.status.waits() || r.status == running
	case wire.Operate_RERUN:
		ok = r.status == pending || r.status.good() || r.status == failed || r.status == halt ||
			r.status.waits() && r.p.stopped && !r.p.named[r]
	case wire.Operate_SET_TO_SUCCESS:
		ok = r.status == failed || r.status == halt
	case wire.Operate_UNFREEZE:
		ok = r.thaws()
	case wire.Operate_REMOVE_UPSTREAM:
		ok = r.status.waits() && r.dependsOn(o.Upstream) && !r.removed[o.Upstream]
	case wire.Operate_FREEZE:
		ok = r.freezes()
	case wire.Operate_FORCE_RUN, wire.Operate_SET_PRIORITY:
		ok = r.status.waits()
	}
	if !ok {
		return fmt.Errorf("%s is not allowed on %s", o.Kind, r)
	}
	return nil
}

// freezes says whether a row can be frozen: it waits, maybe at an agent.
func (r *row) freezes() bool { return r.status.waits() || r.ahead && !r.stopping && !r.icing }

// thaws says whether a row can be unfrozen.
func (r *row) thaws() bool { return r.status.ice() || r.ahead && !r.stopping && r.icing }

func (r *row) dependsOn(node string) bool {
	s := r.spec()
	return node == r.node && s.DependsOnSelf ||
		slices.ContainsFunc(s.Upstreams, func(u *wire.Upstream) bool { return u.Node == node }) ||
		s.DependsOnChildren && slices.Contains(r.p.childrenOf(r.node), node)
}

// waitingOr lists the rows that freezing or unfreezing some dates means (nil:
// all dates).
func (p *program) waitingOr(k wire.Operate_Kind, dates map[int32]bool) (out []*row) {
	for _, r := range p.rows {
		if (dates == nil || dates[r.date]) && (k == wire.Operate_FREEZE && r.freezes() || k == wire.Operate_UNFREEZE && r.thaws()) {
			out = append(out, r)
		}
	}
	return out
}

func (p *program) unfinished() bool {
	return slices.ContainsFunc(p.rows, func(r *row) bool { return r.status.waits() || r.status == running || r.status.ice() })
}

// wholly says what an operation on a plan means: rows, or nil for the plan's own
// switch.
func (p *program) wholly(k wire.Operate_Kind) ([]*row, error) {
	var rows []*row
	switch k {
	case wire.Operate_STOP:
		if p.unfinished() {
			return nil, nil
		}
	case wire.Operate_PAUSE:
		if p.unfinished() && !p.stopped {
			return nil, nil
		}
	case wire.Operate_RESUME:
		if p.unfinished() || p.stopped || p.halted {
			return nil, nil
		}
	case wire.Operate_RERUN_FAILED:
		for _, r := range p.rows {
			if r.status == failed || r.status == halt {
				rows = append(rows, r)
			}
		}
	case wire.Operate_FREEZE, wire.Operate_UNFREEZE:
		rows = p.waitingOr(k, nil)
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%s is not allowed on plan %d", k, p.id)
	}
	return rows, nil
}

// steer stops, pauses or resumes a plan.
func (p *program) steer(k wire.Operate_Kind) {
	clear(p.named)
	switch k {
	case wire.Operate_STOP:
		p.stopped, p.paused = true, false
		for _, r := range p.rows {
			switch r.status {
			case running:
				r.end()
			case retrying:
				r.status, r.forced = failed, false
			}
		}
	case wire.Operate_PAUSE:
		p.paused = true
		p.recall()
	case wire.Operate_RESUME:
		p.stopped, p.paused, p.halted, p.failures = false, false, false, 0
	}
}

// recall wants everything back that waits at an agent.
func (p *program) recall() {
	for _, r := range p.rows {
		r.recalled = r.recalled || r.ahead && !r.wanted()
	}
}

// end has an attempt stopped.
func (r *row) end() { r.stopping, r.recalled, r.icing = true, false, false }

func (w *world) does(o *wire.Operate, r *row) {
	switch o.Kind {
	case wire.Operate_STOP:
		if r.status == running {
			r.end()
			return
		}
		if r.status.waits() {
			r.status, r.forced = halt, false
		}
	case wire.Operate_RERUN, wire.Operate_RERUN_FAILED:
		if r.status != pending {
			r.status, r.retries, r.yields = again, 0, 0
		}
		if r.p.stopped {
			r.p.named[r] = true
		}
	case wire.Operate_SET_TO_SUCCESS:
		r.status = forgiven
	case wire.Operate_FREEZE:
		if r.ahead {
			r.icing, r.recalled = true, r.recalled || !r.wanted()
			return
		}
		r.before, r.status, r.forced = r.status, frozen, false
	case wire.Operate_UNFREEZE:
		switch {
		case r.ahead:
			r.icing = false
			return
		case r.status == missed:
			r.status = failed
			return
		}
		r.status = r.before
	case wire.Operate_FORCE_RUN:
		r.forced = true
	case wire.Operate_REMOVE_UPSTREAM:
		r.removed[o.Upstream] = true
		r.p.waitsFor = nil
	case wire.Operate_SET_PRIORITY:
		r.priority = o.Priority
	}
}

// finish ends an attempt.
func (w *world) finish(r *row, o wire.Outcome, code int32) {
	meaning := wire.ExitCode_RETRY
	if o == wire.Outcome_FAILED {
		meaning = r.means(code)
	}
	if meaning == wire.ExitCode_SKIP {
		o = wire.Outcome_SUCCEEDED
	}
	r.status = again
	switch {
	case o == wire.Outcome_SUCCEEDED:
	case r.stopping:
		o = wire.Outcome_STOPPED
	case o == wire.Outcome_RECALLED && !r.started: // nothing ran
	case r.yielding:
		o = wire.Outcome_YIELDED
	}
	switch o {
	case wire.Outcome_SUCCEEDED:
		r.status = succeeded
	case wire.Outcome_STOPPED:
		r.status = halt
	case wire.Outcome_YIELDED:
		r.yields++
	case wire.Outcome_FAILED, wire.Outcome_TIMED_OUT:
		if r.retries < r.spec().Retries && meaning != wire.ExitCode_FAIL {
			r.retries++
			r.status, r.retryAt = retrying, w.now+r.spec().RetryDelayMs
			break
		}
		r.status = failed
		r.p.failures++
		if n := r.p.req.StopAfter; n > 0 && r.p.failures >= n {
			r.p.halted = true
			r.p.recall()
		}
	}
	if r.icing && r.status == again {
		r.before, r.status = again, frozen
	}
	r.stopping, r.yielding, r.recalled, r.ahead, r.started, r.icing, r.agent, r.group = false, false, false, false, false, false, "", ""
	r.forced = r.forced && r.status.waits()
}

// start has a row run that waited at its agent: nobody waits for it to come back
// any more.
func (r *row) start() { r.ahead, r.started, r.recalled, r.icing = false, true, false, false }

// R7: slots.

func (w *world) slots(group string) (n int) {
	for _, a := range w.agents {
		n += w.capacity(a, group)
	}
	return n
}

func (w *world) capacity(a *wire.Agent, group string) (n int) {
	if a.State != wire.Agent_READY {
		return 0
	}
	for _, g := range a.Groups {
		if g.Group == group {
			n += int(g.Slots)
		}
	}
	return n
}

// uses counts the slots of a group that running rows use at an agent (empty: at
// any that is ready). What waits at its agent uses none.
func (w *world) uses(group, agent string, backfills bool) (n int) {
	for _, p := range w.order {
		for _, r := range p.rows {
			ready := w.agents[r.agent] != nil && w.agents[r.agent].State == wire.Agent_READY
			if r.status == running && !r.ahead && r.group == group && (agent == r.agent || agent == "" && ready) && !(backfills && p.auto) {
				n += r.weight()
			}
		}
	}
	return n
}

// ask is what a row asks of the agents of a resource group.
type ask struct {
	group  string
	weight int
	labels string
}

func (r *row) ask() ask {
	out := ask{group: r.resourceGroup(), weight: r.weight()}
	for _, l := range r.requires() {
		out.labels += l.Name + "=" + l.Value + ","
	}
	return out
}

// plain says that a row asks for one slot anywhere.
func (r *row) plain() bool { return r.weight() == 1 && len(r.requires()) == 0 }

// requires is the labels that an agent must have: those of the node and, beyond
// shell, that of its type (RULES R7.7).
func (r *row) requires() []*wire.Assignment {
	if r.spec().Type != "python" {
		return r.spec().Requires
	}
	return append([]*wire.Assignment{{Name: "backfleet/python", Value: "true"}}, r.spec().Requires...)
}

// weight is how many slots a row takes (RULES R7.8).
func (r *row) weight() int { return max(1, int(r.spec().Slots)) }

// mayRunAt says whether an agent has the labels that a row requires (RULES
// R7.7).
func (r *row) mayRunAt(a *wire.Agent) bool {
	for _, want := range r.requires() {
		if !slices.ContainsFunc(a.Labels, func(l *wire.Assignment) bool { return l.Name == want.Name && l.Value == want.Value }) {
			return false
		}
	}
	return true
}

// fits says whether an agent has room for a row now.
func (w *world) fits(r *row, agent string) bool {
	a, g := w.agents[agent], r.resourceGroup()
	return r.mayRunAt(a) && w.capacity(a, g)-w.uses(g, agent, false) >= r.weight()
}

func (w *world) fitsSomewhere(r *row) bool {
	for id := range w.agents {
		if w.fits(r, id) {
			return true
		}
	}
	return false
}

// wouldFit says whether a row would have room in the place of a running one. Of
// one that asks for one slot anywhere that is taken for granted.
func (w *world) wouldFit(r, of *row) bool {
	g := r.resourceGroup()
	if of.group != g || r.plain() {
		return of.group == g
	}
	a := w.agents[of.agent]
	return !of.ahead && r.mayRunAt(a) && w.capacity(a, g) > 0 && w.capacity(a, g)-w.uses(g, of.agent, false)+of.weight() >= r.weight()
}

// means is what an exit code means to a row's node (RULES R9).
func (r *row) means(code int32) wire.ExitCode_Meaning {
	for _, e := range r.spec().ExitCodes {
		if e.Code == code {
			return e.Meaning
		}
	}
	return wire.ExitCode_RETRY
}

// share is how many slots of a group backfills may use (RULES R7.5).
func (w *world) share(group string) int {
	all := w.slots(group)
	most, g := all, w.groups[group]
	if g == nil {
		return all
	}
	if g.BackfillMaxShare > 0 {
		most = min(most, all*int(g.BackfillMaxShare)/100)
	}
	reserve := int(g.ReserveForAuto)
	most = min(most, all-reserve)
	if all >= 1 && reserve < all {
		most = max(most, 1)
	}
	return max(most, 0)
}

// roomy says whether plan and group have room for one more such row.
func (w *world) roomy(r *row) bool {
	g := r.resourceGroup()
	return r.p.below() && w.fitsSomewhere(r) && (r.p.auto || w.uses(g, "", true)+r.weight() <= w.share(g))
}

// below says whether a plan may run one more row (RULES R4.8); what waits at an
// agent counts.
func (p *program) below() bool {
	n := 0
	for _, o := range p.rows {
		if o.status == running {
			n++
		}
	}
	return p.req.MaxRunning == 0 || n < int(p.req.MaxRunning)
}
