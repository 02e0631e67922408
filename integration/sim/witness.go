package sim

import (
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"backfleet/coordinator/state"
	"backfleet/integration/history"
	coded "backfleet/pkg/fault"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// witness records a run as its clients and processes see it, and adds some who
// read. It draws from a generator of its own: a run is the same with it.
type witness struct {
	w        *world
	rnd      *rand.Rand
	rec      *history.Recorder
	sessions [readers]uint64 // the newest index that each has met
	broken   string          // the rule that a blind run has broken
	tries    map[string]int  // how often each request was sent
}

const (
	readers   = 3
	lookAgain = 20 * time.Millisecond // of a read that waits for an index
	readPause = 6 * time.Second       // at most, between two reads of one reader
)

func newWitness(w *world) *witness {
	t := &witness{w: w, rnd: rand.New(rand.NewPCG(w.Seed, 0xead)), tries: map[string]int{}}
	t.rec = history.NewRecorder(w.Seed, func() time.Duration { return w.now })
	for i := range t.sessions {
		t.read(i)
	}
	return t
}

func (t *witness) delay() time.Duration {
	return time.Duration(t.rnd.Int64N(int64(30 * time.Millisecond)))
}

// kinds are the operations that the history's models know. Whatever else there
// is changes a backfill in ways that they do not follow.
var kinds = map[wire.Operate_Kind][2]history.Kind{ // of whole plans, of instances
	wire.Operate_STOP:            {history.Stop, history.StopSome},
	wire.Operate_PAUSE:           {history.Pause},
	wire.Operate_RESUME:          {history.Resume},
	wire.Operate_RERUN:           {"", history.RerunSome},
	wire.Operate_RERUN_FAILED:    {history.RerunFailed},
	wire.Operate_SET_TO_SUCCESS:  {"", history.SetToSuccess},
	wire.Operate_FREEZE:          {history.Freeze, history.FreezeSome},
	wire.Operate_UNFREEZE:        {history.Unfreeze, history.UnfreezeSome},
	wire.Operate_FORCE_RUN:       {"", history.Other},
	wire.Operate_REMOVE_UPSTREAM: {"", history.Other},
	wire.Operate_SET_PRIORITY:    {"", history.Other},
}

// asked and process pass on what there is a witness for.
func (w *world) asked(m *wire.Command) (told func(r state.Result, index uint64)) {
	if w.witness == nil {
		return ignore
	}
	m.Why = m.RequestId
	return w.witness.asked(m)
}

// tried counts how often a request is sent: its Why is its first key.
func (w *world) tried(m *wire.Command) {
	if w.witness != nil {
		w.witness.tries[m.Why]++
	}
}

func (w *world) process(p *process, outcome wire.Outcome) {
	if w.witness != nil {
		w.witness.process(p, outcome)
	}
}

// asked notes a request; what it gives is called with the answer.
func (t *witness) asked(m *wire.Command) (told func(r state.Result, index uint64)) {
	op := history.Op{Client: readers, Key: m.RequestId}
	switch b := m.Body.(type) {
	case *wire.Command_Submit:
		op.Kind, op.Name = history.Submit, b.Submit.Request.Name
	case *wire.Command_EditPlan:
		op.Kind, op.Backfill = history.Edit, plan.FormatID(b.EditPlan.Plan)
	case *wire.Command_Operate:
		target := b.Operate.Targets[0]
		op.Backfill = plan.FormatID(target.Plan)
		switch known := kinds[b.Operate.Kind]; {
		case len(target.Dates) > 0:
			op.Kind = history.Edit
		case len(target.Instances) > 0:
			op.Kind = known[1]
			for _, i := range target.Instances {
				op.Instances = append(op.Instances, int(i))
			}
		default:
			op.Kind = known[0]
		}
	default:
		return ignore
	}
	done := t.rec.Begin(op)
	return func(r state.Result, index uint64) {
		op.Outcome, op.Index, op.Again = history.OK, index, t.tries[op.Key] > 1
		if r.Err != nil {
			op.Outcome, op.Code, op.Index = history.Refused, string(coded.CodeOf(r.Err)), 0
		} else if op.Kind == history.Submit {
			op.Backfill = plan.FormatID(r.Answer.Plan)
			if p := t.w.model.plans[r.Answer.Plan]; p != nil {
				op.Size = len(p.keys)
				for _, n := range p.nodes {
					op.Ahead = op.Ahead || n.Owner == quick
				}
			}
		}
		done(op)
	}
}

// process notes the start of an attempt's process, or its end.
func (t *witness) process(p *process, outcome wire.Outcome) {
	n := history.Note{At: t.w.now, Backfill: plan.FormatID(p.key.Plan), Instance: int(p.key.Instance), Fence: p.key.Fence}
	switch outcome {
	case wire.Outcome_OUTCOME_UNSPECIFIED:
	case wire.Outcome_SUCCEEDED:
		n.End = true
	case wire.Outcome_FAILED:
		n.End, n.Status = true, int(p.code)
	default:
		n.End, n.Killed = true, true
	}
	t.rec.Note(n)
}

// read is one reader's next read, some time from now: of some backfill, from
// some coordinator, which may be away.
func (t *witness) read(reader int) {
	w := t.w
	w.after(time.Duration(1+t.rnd.Int64N(int64(readPause)))*w.slow, func() {
		t.read(reader)
		all := w.client.accepted
		if len(all) == 0 || w.now > restAfter && w.Days == 0 {
			return
		}
		a, at := all[t.rnd.IntN(len(all))], w.log.all[t.rnd.IntN(len(w.log.all))]
		op := history.Op{
			Client: reader, Backfill: plan.FormatID(a.plan), Min: t.sessions[reader],
			Kind:  []history.Kind{history.ReadFlags, history.ReadStates, history.ReadStates, history.ReadTotals}[t.rnd.IntN(4)],
			Level: []history.Level{history.Linearizable, history.Session, history.Stale}[t.rnd.IntN(3)],
		}
		done := t.rec.Begin(op)
		w.after(t.delay(), func() {
			switch op.Level {
			case history.Stale:
				t.answer(at, a.plan, op, done)
			case history.Session:
				t.when(at, op.Min, func() { t.answer(at, a.plan, op, done) })
			default:
				t.confirmed(at, func(index uint64) { t.when(at, index, func() { t.answer(at, a.plan, op, done) }) })
			}
		})
	})
}

// when goes on when a coordinator has applied an index; never if it ends first.
func (t *witness) when(at *coordinator, index uint64, f func()) {
	life := at.life
	var look func()
	look = func() {
		switch {
		case !at.up || at.life != life:
		case at.awake() && at.applied >= index:
			f()
		default:
			t.w.after(lookAgain*t.w.slow, look)
		}
	}
	look()
}

// confirmed asks the leader, as raftnode's ReadIndex does, for an index that is
// not older than anything that was answered; never if there is none.
func (t *witness) confirmed(at *coordinator, f func(index uint64)) {
	w, leader := t.w, at
	if at.term == 0 {
		leader = w.log.leader
	}
	if !at.awake() || leader == nil || !leader.awake() || leader.scope == nil || leader.term == 0 || !w.reach(at.id, leader.id) {
		return
	}
	index, term, life := leader.applied, leader.term, leader.life
	if w.Break == Unverified {
		f(index)
		return
	}
	w.after(t.delay(), func() {
		if leader.life == life && leader.awake() && w.log.leader == leader && w.log.term == term && w.log.majority(leader) {
			w.after(t.delay(), func() { f(index) })
		}
	})
}

// answer is a coordinator's, from what it has applied.
func (t *witness) answer(at *coordinator, id uint64, op history.Op, done func(history.Op)) {
	if !at.awake() {
		return
	}
	op.Outcome, op.Index, op.Server = history.OK, at.applied, lifeOf(at)
	p, ok := at.st.Plan(id)
	if !ok {
		op.Outcome, op.Code = history.Refused, string(coded.NotFound)
	} else {
		f := t.tell(at.st, p)
		op.Paused, op.Stopped, op.States, op.Totals = p.Paused, p.Stopped, f.States, f.Totals
	}
	t.w.after(t.delay(), func() {
		t.sessions[op.Client] = max(t.sessions[op.Client], op.Index)
		done(op)
	})
}

func lifeOf(c *coordinator) string { return c.id + "/" + strings.Repeat("'", c.life) }

// letters of the statuses, as the history's models know them.
var letters = map[state.Status]byte{
	state.Pending: 'w', state.Retrying: 'w', state.Again: 'w', state.Running: 'r', state.Succeeded: 's', state.DryRun: 's',
	state.SetToSuccess: 'm', state.Failed: 'f', state.Stopped: 'f', state.Frozen: 'z', state.Missed: 'z',
}

// tell is a backfill as it stands somewhere, without its attempts.
func (t *witness) tell(st *state.State, p *state.Plan) history.Finished {
	f := history.Finished{ID: plan.FormatID(p.ID), Name: p.Name}
	var b strings.Builder
	for i := range p.Size() {
		letter := letters[p.Status(i)]
		if l, ok := st.Lease(p.ID, i); ok && l.Ahead {
			letter = 'w'
		}
		b.WriteByte(letter)
	}
	c := p.Total()
	n := func(all ...state.Status) (sum int64) {
		for _, s := range all {
			sum += int64(c[s])
		}
		return sum
	}
	f.States = b.String()
	f.Totals = history.Totals{
		Generated: int64(p.Size()), Succeeded: n(state.Succeeded), Set: n(state.SetToSuccess), DryRun: n(state.DryRun), Failed: n(state.Failed),
		Stopped: n(state.Stopped), Frozen: n(state.Frozen, state.Missed), Running: n(state.Running), Waiting: n(state.Pending, state.Retrying, state.Again),
	}
	return f
}

// end gives the history, with every coordinator's account if the run came to
// its end, and the log's if it was broken on the way.
func (t *witness) end() *history.History {
	switch {
	case t.w.report.Err != nil:
	case t.broken != "":
		t.account("log", t.w.log.truth())
	default:
		for _, c := range t.w.log.all {
			if c.up {
				t.account(c.id, c.st)
			}
		}
	}
	h := t.rec.History()
	h.Exact = true
	for id := range t.w.model.expired {
		h.Forgotten = append(h.Forgotten, plan.FormatID(id))
	}
	slices.Sort(h.Forgotten)
	return h
}

// account is what is told in the end of all backfills.
func (t *witness) account(server string, st *state.State) {
	a := history.Account{Server: server, Index: st.Index()}
	for _, m := range t.w.model.order {
		p, ok := st.Plan(m.id)
		if !ok || m.auto {
			continue
		}
		f := t.tell(st, p)
		for _, o := range p.Operations() {
			f.Log = append(f.Log, o.Why)
		}
		for i := range p.Size() {
			var list []history.Attempt
			for _, one := range st.Attempts(p, i) {
				list = append(list, history.Attempt{Number: int(one.Number), Fence: one.Fence, State: strings.ToLower(one.Outcome.String())})
			}
			if l, ok := st.Lease(p.ID, i); ok {
				list = append(list, history.Attempt{Number: len(list) + 1, Fence: l.Fence, State: "running"})
			}
			f.Attempts = append(f.Attempts, list)
		}
		a.Backfills = append(a.Backfills, f)
	}
	t.rec.Account(a)
}
