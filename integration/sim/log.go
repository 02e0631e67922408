package sim

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"backfleet/coordinator/state"
	"backfleet/pkg/wire"
)

// replicas is the replicated log as its users may know it: entries that are
// committed stay so, in one order; a proposal is committed, lost, or its
// proposer is not told which. Votes and heartbeats are not played, only what
// they can lead to.
type replicas struct {
	w         *world
	all       []*coordinator
	entries   [][]byte // index i+1; nil: a leader's first entry, which says nothing
	states    []*state.State
	results   []state.Result
	term      uint64
	leader    *coordinator // whose proposals can be committed
	electing  bool
	lastEntry time.Duration
	since     time.Duration // when the leader was made one
	pruned    int           // states up to here are gone
}

var (
	errNotLeader = errors.New("this coordinator does not lead")
	errUnknown   = errors.New("leadership was lost: whether it was committed is not known")
)

func newReplicas(w *world, n int) *replicas {
	r := &replicas{w: w}
	for i := range n {
		r.all = append(r.all, &coordinator{w: w, log: r, id: fmt.Sprint("c", i+1), clock: w.newClock(), up: true, st: state.New(), clockwork: &clockwork{ended: true}})
	}
	r.check()
	return r
}

// truth is the state after every committed entry.
func (r *replicas) truth() *state.State {
	if len(r.states) == 0 {
		return state.New()
	}
	return r.states[len(r.states)-1]
}

// majority says whether a coordinator reaches more than half, itself included.
func (r *replicas) majority(c *coordinator) bool {
	n := 0
	for _, o := range r.all {
		if o.awake() && r.w.reach(c.id, o.id) {
			n++
		}
	}
	return c.awake() && 2*n > len(r.all)
}

// networkChanged is called when somebody may have lost or found somebody.
func (r *replicas) networkChanged() {
	for _, c := range r.all {
		if c.term > 0 && c.awake() && (r.leader != c || !r.majority(c)) {
			c.doubt()
		}
		c.follow()
	}
	if r.leader != nil {
		r.leader.commitReady()
	}
	r.check()
}

// check begins an election when nobody leads a majority.
func (r *replicas) check() {
	if r.electing || r.leader != nil && r.majority(r.leader) && r.leader.term == r.term {
		return
	}
	r.electing = true
	r.w.after(r.w.between(250*time.Millisecond, 1500*time.Millisecond), r.elect)
}

func (r *replicas) elect() {
	r.electing = false
	if r.leader != nil && r.majority(r.leader) && r.leader.term == r.term {
		return
	}
	var able []*coordinator
	for _, c := range r.all {
		if r.majority(c) {
			able = append(able, c)
		}
	}
	if len(able) == 0 {
		return // until the network or a coordinator changes
	}
	r.install(pick(r.w, able))
}

// transfer makes another coordinator the leader while the old one is well.
func (r *replicas) transfer() {
	if to := pick(r.w, r.all); r.leader != nil && r.majority(to) {
		r.w.report.Faults[leaderChange]++
		r.install(to)
	}
}

// install makes a coordinator the leader. What the last one had proposed may
// have reached it, the older first.
func (r *replicas) install(c *coordinator) {
	old := r.leader
	r.term++
	r.leader = nil
	r.w.report.Leaders++
	r.w.note("%s leads in term %d", c.id, r.term)
	if old != nil {
		for _, p := range old.inFlight {
			if !p.replicated || r.w.oneIn(2) {
				break
			}
			r.append(p.entry, p.basis)
		}
		old.inFlight = nil
		if old != c && old.term > 0 {
			old.doubt()
		}
	}
	if c.term > 0 {
		c.stepDown()
	}
	c.term, r.leader, r.since = r.term, c, r.w.now
	r.append(nil, 0)
	term := r.term
	r.w.after(r.w.between(time.Millisecond, 30*time.Millisecond), func() {
		c.do(func() {
			if c.term == term && r.leader == c {
				c.catchUp(uint64(len(r.entries)))
				c.lead()
			}
		})
	})
}

// append commits an entry: from here on it is a fact.
func (r *replicas) append(entry []byte, basis uint64) uint64 {
	index, before := uint64(len(r.entries)+1), r.truth()
	after, result := before, state.Result{}
	if entry != nil {
		c := decode(entry)
		after, result = before.Apply(index, c)
		r.w.trace.Write(entry)
		if r.w.Note != nil {
			r.w.Note(fmt.Sprintf("%12s entry %d: %v", r.w.now, index, c))
		}
		if result.Err != nil {
			r.w.note("entry %d is refused: %v", index, result.Err)
		}
		r.lastEntry = r.w.now
		r.w.report.Entries++
		r.entries, r.states, r.results = append(r.entries, entry), append(r.states, after), append(r.results, result)
		r.w.model.committed(index, basis, c, before, after, result)
	} else {
		r.entries, r.states, r.results = append(r.entries, nil), append(r.states, after), append(r.results, result)
	}
	for _, c := range r.all {
		r.w.after(r.w.delay(), c.follow)
	}
	r.prune()
	return index
}

// prune lets go of what no coordinator needs any more: it restarts from its
// snapshot, or compares itself with the states after.
func (r *replicas) prune() {
	from := len(r.states)
	for _, c := range r.all {
		from = min(from, int(c.snapped), int(c.applied))
	}
	for ; r.pruned < from-1; r.pruned++ {
		r.entries[r.pruned], r.states[r.pruned], r.results[r.pruned] = nil, nil, state.Result{}
	}
}

// led says whether somebody has led for a while without a break.
func (r *replicas) led(d time.Duration) bool {
	return r.leader != nil && r.leader.scope != nil && r.majority(r.leader) && r.w.now-r.since > d
}

func decode(entry []byte) *wire.Command {
	c := &wire.Command{}
	if err := proto.Unmarshal(entry, c); err != nil {
		panic(err)
	}
	return c
}

// coordinator is one replica: its own copy of the state, and a dispatcher
// while it believes that it leads.
type coordinator struct {
	w        *world
	log      *replicas
	id       string
	clock    clock
	up       bool
	frozen   bool
	down     time.Duration // until then, when it is not up
	life     int           // counts crashes
	backlog  []func()      // what happened while it was frozen
	st       *state.State
	applied  uint64
	snapshot []byte
	snapped  uint64
	term     uint64 // it believes that it leads in this term; 0: it does not
	inFlight []*proposal
	scope    *dispatcher
	lastConn uint64
	// clockwork is the last leadership's; ended when there is none now.
	clockwork *clockwork
}

type proposal struct {
	entry      []byte
	basis      uint64
	replicated bool // it has reached others: the next leader may have it
	ready      bool // it would be committed, were its turn come
	done       func(index uint64, err error)
}

func (c *coordinator) awake() bool { return c.up && !c.frozen }

// do runs f in the coordinator's process: later when that is frozen, never
// when it dies first.
func (c *coordinator) do(f func()) {
	switch {
	case !c.up:
	case c.frozen:
		c.backlog = append(c.backlog, f)
	default:
		f()
	}
}

// later is do after a while.
func (c *coordinator) later(d time.Duration, f func()) {
	life := c.life
	c.w.after(d, func() {
		if life == c.life {
			c.do(f)
		}
	})
}

func (c *coordinator) freeze(d time.Duration) {
	if !c.awake() {
		return
	}
	c.w.note("%s is frozen", c.id)
	c.w.report.Faults[coordinatorFreeze]++
	c.frozen = true
	c.log.networkChanged()
	c.w.after(d, c.thaw)
}

func (c *coordinator) thaw() {
	if !c.frozen {
		return
	}
	c.w.note("%s is awake again", c.id)
	c.frozen = false
	backlog := c.backlog
	c.backlog = nil
	for _, f := range backlog {
		c.do(f)
	}
	c.log.networkChanged()
}

// crash ends the process, which starts again after a while.
func (c *coordinator) crash(down time.Duration) {
	if !c.up {
		return
	}
	c.w.note("%s crashes", c.id)
	c.w.report.Faults[coordinatorCrash]++
	if c.w.oneIn(3) {
		c.save()
	}
	c.stepDown()
	c.up, c.frozen, c.backlog, c.life = false, false, nil, c.life+1
	c.log.networkChanged()
	c.down = c.w.now + down
	c.w.at(c.down, func() {
		if c.w.now >= c.down {
			c.restart()
		}
	})
}

// save writes a snapshot, as a log does now and then.
func (c *coordinator) save() {
	var b bytes.Buffer
	if _, err := c.st.WriteTo(&b); err != nil {
		c.w.violated("R13.7", "%s cannot write a snapshot at %d: %v", c.id, c.applied, err)
	}
	c.snapshot, c.snapped = b.Bytes(), c.applied
}

func (c *coordinator) restart() {
	if c.up {
		return
	}
	c.w.note("%s starts again from %d", c.id, c.snapped)
	c.up, c.st, c.applied = true, state.New(), c.snapped
	if c.snapshot != nil {
		st, err := state.Read(bytes.NewReader(c.snapshot))
		if err != nil {
			c.w.violated("R13.7", "%s cannot read its snapshot of %d: %v", c.id, c.snapped, err)
			return
		}
		c.st = st
	}
	if c.w.Break == LostEntry && c.applied < uint64(len(c.log.entries)) {
		c.applied++
	}
	c.log.networkChanged()
}

// follow applies what is committed, when the coordinator can hear of it.
func (c *coordinator) follow() {
	if l := c.log.leader; c.awake() && l != nil && (l == c || l.awake() && c.w.reach(c.id, l.id)) {
		c.catchUp(uint64(len(c.log.entries)))
	}
}

// catchUp applies entries up to an index and compares with the other
// coordinators (RULES R13.7).
func (c *coordinator) catchUp(to uint64) {
	for c.applied < to && c.w.report.Err == nil {
		c.applied++
		i := c.applied - 1
		if c.log.entries[i] == nil {
			continue
		}
		next, result := c.st.Apply(c.applied, decode(c.log.entries[i]))
		c.st = next
		if c.scope != nil {
			c.scope.applied(applied{c.applied, next, result})
			if nodesChanged(result) {
				c.later(0, c.clockwork.look)
			}
		}
		if c.w.oneIn(c.w.seldom(50)) {
			c.save()
		}
		if c.w.oneIn(c.w.seldom(12)) || c.applied == to && c.w.calm && c.w.oneIn(c.w.seldom(4)) {
			c.compare()
		}
		c.w.client.remembers(c)
	}
	if c.scope != nil {
		c.scope.poke()
	}
}

func (c *coordinator) compare() {
	if c.st.Index() != c.log.states[c.applied-1].Index() || c.st.Hash() != c.log.states[c.applied-1].Hash() {
		c.w.violated("R13.7", "%s differs from the others after entry %d", c.id, c.applied)
	}
}

// doubt ends a leadership that has lost its majority or its term. Mostly soon;
// sometimes only long after another was elected, which Raft would not do and
// which must be harmless all the same.
func (c *coordinator) doubt() {
	term, d := c.term, c.w.between(0, 500*time.Millisecond)
	if !c.w.calm && c.w.oneIn(3) {
		d = c.w.between(0, 60*time.Second)
	}
	life := c.life
	c.w.after(d, func() { // one that is frozen begins to doubt when it is awake
		if life == c.life && c.awake() && c.term == term && (c.log.leader != c || !c.log.majority(c)) {
			c.stepDown()
		}
	})
}

// stepDown ends the belief to lead. What is in flight has an unknown end.
func (c *coordinator) stepDown() {
	if c.term == 0 {
		return
	}
	c.w.note("%s leads no more", c.id)
	c.term = 0
	if c.scope != nil {
		c.scope.end()
	}
	c.clockwork.ended = true
	inFlight := c.inFlight
	if c.log.leader == c {
		c.log.leader = nil
		for _, p := range inFlight { // may yet be found on others, or be lost
			if !p.replicated || c.w.oneIn(2) {
				break
			}
			c.log.append(p.entry, p.basis)
		}
	}
	c.inFlight = nil
	for _, p := range inFlight {
		p.done(0, errUnknown)
	}
	c.log.check()
}

// lead begins to dispatch.
func (c *coordinator) lead() {
	if c.scope != nil {
		c.scope.end()
	}
	c.scope = newDispatcher(c)
	c.clockwork.ended = true
	c.clockwork = newClockwork(c)
	c.scope.poke()
	c.clockwork.look()
}

// propose hands a command to the log, decided from the facts after the entry
// basis; done is called once, in this coordinator's process.
func (c *coordinator) propose(m *wire.Command, basis uint64, done func(index uint64, err error)) {
	if c.term == 0 {
		done(0, errNotLeader)
		return
	}
	m.NowMs = c.clock.wall().UnixMilli()
	entry, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(err)
	}
	p := &proposal{entry: entry, basis: basis, replicated: c.log.leader == c && c.log.majority(c), done: done}
	c.inFlight = append(c.inFlight, p)
	c.later(c.w.delay(), func() {
		p.ready = true
		c.commitReady()
	})
}

// commitReady commits what can be, in order.
func (c *coordinator) commitReady() {
	for c.log.leader == c && c.log.term == c.term && c.log.majority(c) && len(c.inFlight) > 0 && c.inFlight[0].ready {
		p := c.inFlight[0]
		c.inFlight = c.inFlight[1:]
		index := c.log.append(p.entry, p.basis)
		c.catchUp(index)
		if !c.w.calm && c.w.oneIn(150) { // leadership is lost before the answer
			p.done(0, errUnknown)
			c.stepDown()
			return
		}
		p.done(index, nil)
	}
}

// verify asks whether the coordinator leads at some moment after the call.
func (c *coordinator) verify(done func(ok bool)) {
	round, asked := c.w.delay(), false
	term := c.term
	c.w.after(round/2, func() { asked = term > 0 && c.log.leader == c && c.log.term == term && c.log.majority(c) })
	c.later(round, func() { done(asked) })
}
