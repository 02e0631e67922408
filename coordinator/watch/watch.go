// Package watch looks on while a coordinator leads: it makes figures of the
// turns that have become facts. It works beside the dispatcher, from facts that never change, and is handed each turn by
// a queue that drops rather than have a turn wait.
package watch

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"backfleet/coordinator/dispatch"
	"backfleet/coordinator/state"
)

// behind is how many turns may wait to be looked at. Each holds the facts from
// before it, most of which it shares with those after.
const behind = 256

// Watch implements dispatch.Watch. Run does the work.
type Watch struct {
	lost    func() time.Time
	turns   chan dispatch.Turned
	figures *figures
	began   chan began
	also    func(dispatch.Turned)
}

// began is the begin of a leadership.
type began struct {
	lost, at time.Time
	leases   int
}

// New makes a Watch whose figures are in r. Lost tells when the leader before
// this one was last there, as far as this coordinator knows; zero: it does not. Also
// is shown each turn that is looked at.
func New(r prometheus.Registerer, lost func() time.Time, also func(dispatch.Turned)) *Watch {
	return &Watch{lost: lost, turns: make(chan dispatch.Turned, behind), began: make(chan began, 1), figures: newFigures(r), also: also}
}

// Began implements dispatch.Watch.
func (w *Watch) Began(st *state.State, now time.Time) {
	select {
	case w.began <- began{lost: w.lost(), at: now, leases: st.LeaseCount()}:
	default: // nobody looks
	}
}

// Turned implements dispatch.Watch.
func (w *Watch) Turned(t dispatch.Turned) {
	select {
	case w.turns <- t:
	default:
		w.figures.missed.Inc()
	}
}

// Renewed implements dispatch.Watch.
func (w *Watch) Renewed(left float64) { w.figures.margin.Observe(left) }

// Run looks at what it is handed until ctx ends.
func (w *Watch) Run(ctx context.Context) {
	var first began // not looked at yet: the turn that ends a failover is still to come
	for {
		select {
		case <-ctx.Done():
			return
		case first = <-w.began:
			w.figures.leads(first)
		case t := <-w.turns:
			w.figures.firstTurn(&first, t)
			w.figures.turned(t)
			w.also(t)
		}
	}
}
