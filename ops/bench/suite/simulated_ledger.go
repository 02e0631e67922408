package suite

import (
	"math/bits"
	"sync"

	"backfleet/agent/attempt"
	"backfleet/pkg/wire"
)

// ledger is what agents know of every instance: it is held against what the
// API says, so that nothing is lost and nothing happens twice. A nil one
// remembers nothing.
type ledger struct {
	mu    sync.Mutex
	plans map[uint64]*account
}

// account is the ledger of one plan.
type account struct {
	mu        sync.Mutex
	ran       bitset // some attempt started
	runs      bitset // one runs now
	succeeded bitset // a success was acknowledged

	starts     int // attempts
	again      int // attempts of instances that had one before
	twice      int // successes acknowledged of instances that had one before
	atOnce     int // attempts started while another of the instance ran
	gaveBack   int // recalled: nothing ran
	unfinished int // attempts acknowledged that neither succeeded nor were given back
}

// audit is what an account comes to.
type audit struct {
	Started    int `json:"started"`    // instances of which some attempt ran
	Succeeded  int `json:"succeeded"`  // instances with an acknowledged success
	Attempts   int `json:"attempts"`   // that ran
	Again      int `json:"again"`      // attempts of instances that had run before
	Twice      int `json:"twice"`      // second successes
	AtOnce     int `json:"atOnce"`     // attempts beside another one of the instance
	Recalled   int `json:"recalled"`   // given back before they ran
	Unfinished int `json:"unfinished"` // lost, stopped or failed
}

func newLedger() *ledger { return &ledger{plans: map[uint64]*account{}} }

func (l *ledger) account(plan uint64) *account {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.plans[plan]
	if a == nil {
		a = &account{}
		l.plans[plan] = a
	}
	return a
}

func (l *ledger) started(k attempt.Key) {
	if l == nil {
		return
	}
	a := l.account(k.Plan)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.starts++
	if a.ran.set(k.Instance) {
		a.again++
	}
	if a.runs.set(k.Instance) {
		a.atOnce++
	}
}

func (l *ledger) ended(k attempt.Key) {
	if l == nil {
		return
	}
	a := l.account(k.Plan)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.runs.clear(k.Instance)
}

// acknowledged notes a result that is a fact.
func (l *ledger) acknowledged(k attempt.Key, outcome wire.Outcome) {
	if l == nil {
		return
	}
	a := l.account(k.Plan)
	a.mu.Lock()
	defer a.mu.Unlock()
	switch outcome {
	case wire.Outcome_SUCCEEDED:
		if a.succeeded.set(k.Instance) {
			a.twice++
		}
	case wire.Outcome_RECALLED:
		a.gaveBack++
	default:
		a.unfinished++
	}
}

// audit gives what a plan has come to so far.
func (l *ledger) audit(plan uint64) audit {
	a := l.account(plan)
	a.mu.Lock()
	defer a.mu.Unlock()
	return audit{
		Started: a.ran.count(), Succeeded: a.succeeded.count(), Attempts: a.starts, Again: a.again,
		Twice: a.twice, AtOnce: a.atOnce, Recalled: a.gaveBack, Unfinished: a.unfinished,
	}
}

// close forgets a plan.
func (l *ledger) close(plan uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.plans, plan)
}

// bitset is a set of small numbers.
type bitset []uint64

// set puts i in and says whether it was there.
func (b *bitset) set(i uint64) (was bool) {
	for uint64(len(*b)) <= i/64 {
		*b = append(*b, 0)
	}
	was = (*b)[i/64]>>(i%64)&1 == 1
	(*b)[i/64] |= 1 << (i % 64)
	return was
}

func (b *bitset) clear(i uint64) {
	if i/64 < uint64(len(*b)) {
		(*b)[i/64] &^= 1 << (i % 64)
	}
}

func (b *bitset) count() (n int) {
	for _, w := range *b {
		n += bits.OnesCount64(w)
	}
	return n
}
