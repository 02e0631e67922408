package watch

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"backfleet/coordinator/dispatch"
	"backfleet/coordinator/state"
	"backfleet/pkg/node"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// figures are counted as turns become facts; ops/observe/METRICS.md lists them.
type figures struct {
	attempts    *prometheus.CounterVec
	queued      *prometheus.HistogramVec
	handed      *prometheus.HistogramVec
	late        *prometheus.HistogramVec
	failover    *prometheus.HistogramVec
	margin      prometheus.Histogram
	lost        prometheus.Counter
	leaderships prometheus.Counter
	missed      prometheus.Counter
}

// types are those of nodes that run; outcomes what becomes of attempts. Labels
// have no other values.
var types = []string{
	node.Shell, node.Python, node.SQL, node.HTTP, node.Check, node.Integration, node.LogicalDimension, node.LogicalFact, node.LogicalAggregate,
}

var outcomes = []wire.Outcome{
	wire.Outcome_SUCCEEDED, wire.Outcome_FAILED, wire.Outcome_TIMED_OUT, wire.Outcome_STOPPED, wire.Outcome_LOST,
	wire.Outcome_YIELDED, wire.Outcome_RECALLED, wire.Outcome_SKIPPED, wire.Outcome_DRAINED,
}

// waits are from a turn to a night, in seconds.
var waits = []float64{0.01, 0.05, 0.25, 1, 5, 15, 60, 300, 1800, 7200, 28800}

func newFigures(r prometheus.Registerer) *figures {
	histogram := func(name, help string, buckets []float64, label string, values ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "backfleet_" + name, Help: help, Buckets: buckets}, []string{label})
		for _, v := range values {
			h.WithLabelValues(v) // a rate needs a 0 to begin with
		}
		r.MustRegister(h)
		return h
	}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "backfleet_" + name, Help: help})
		r.MustRegister(c)
		return c
	}
	f := &figures{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "backfleet_attempts_total", Help: "Attempts that ended while this coordinator led, by outcome and type of node.",
		}, []string{"outcome", "type"}),
		queued: histogram("queue_wait_seconds", "For how long instances had been ready when they were granted, by kind: auto (of the schedule) or backfill.", waits, "kind", "auto", "backfill"),
		handed: histogram("grant_start_seconds", "From the grant of an attempt to the start of its process, which is by its agent's clock, by kind. Counted when it ends.",
			[]float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15}, "kind", "auto", "backfill"),
		late: histogram("start_latency_seconds", "From the moment at which an instance was due, or accepted if that was later, to the start of its first process, by kind. Counted when that ends.",
			waits, "kind", "auto", "backfill"),
		failover: histogram("failover_seconds", "From the last sign of the leader before to this one's dispatching (until: leading) and to its first turn, where there was work (until: turn).",
			[]float64{0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 120}, "until", "leading", "turn"),
		margin: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "backfleet_lease_left_ratio", Help: "Which part of the lease was left when an agent renewed: 0.8 where all is well, less than 0 of one that had ended.",
			Buckets: []float64{0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1},
		}),
		lost:        counter("leases_lost_total", "Leases that ended without a result while this coordinator led: their attempts run again elsewhere."),
		leaderships: counter("leaderships_total", "How often this coordinator began to dispatch as the leader."),
		missed:      counter("watch_missed_turns_total", "Turns that these figures know nothing of: there were too many at a time."),
	}
	for _, t := range types {
		for _, o := range outcomes {
			f.attempts.WithLabelValues(label(o), t)
		}
	}
	r.MustRegister(f.attempts, f.margin)
	return f
}

func label(o wire.Outcome) string { return strings.ToLower(o.String()) }

func kind(auto bool) string {
	if auto {
		return "auto"
	}
	return "backfill"
}

// typeOf is the type of a node as labels have it.
func typeOf(n *wire.Node) string {
	if n.Type == "" {
		return node.Shell
	}
	return n.Type
}

// leads takes in the begin of a leadership.
func (f *figures) leads(b began) {
	f.leaderships.Inc()
	if !b.lost.IsZero() {
		f.failover.WithLabelValues("leading").Observe(max(0, b.at.Sub(b.lost).Seconds()))
	}
}

// firstTurn ends a failover: its turn is the first that was decided since.
func (f *figures) firstTurn(b *began, t dispatch.Turned) {
	if b.at.IsZero() || t.Decided.Before(b.at) {
		return
	}
	if !b.lost.IsZero() && b.leases > 0 {
		f.failover.WithLabelValues("turn").Observe(max(0, t.Committed.Sub(b.lost).Seconds()))
	}
	*b = began{}
}

// turned takes in a turn.
func (f *figures) turned(t dispatch.Turned) {
	for i, g := range t.Turn.Grants {
		if l, ok := t.After.Lease(g.Plan, g.Instance); ok && l.Fence == t.Index && i < len(t.Waited) {
			f.queued.WithLabelValues(kind(l.Auto)).Observe(float64(t.Waited[i]) / 1000)
		}
	}
	for _, x := range t.Turn.Finishes {
		if l, p, at, ok := ended(t, x.Plan, x.Instance, x.Fence); ok {
			f.attempts.WithLabelValues(label(x.Outcome), typeOf(p.Nodes[at.Node].Spec)).Inc()
			f.started(l, p, at, x)
		}
	}
	for _, x := range t.Turn.Losses {
		if _, p, at, ok := ended(t, x.Plan, x.Instance, x.Fence); ok {
			f.attempts.WithLabelValues(label(wire.Outcome_LOST), typeOf(p.Nodes[at.Node].Spec)).Inc()
			f.lost.Inc()
		}
	}
}

// started tells of a process that has run.
func (f *figures) started(l *state.Lease, p *state.Plan, at plan.Place, x *wire.Finish) {
	if x.StartedMs == 0 || x.Outcome == wire.Outcome_RECALLED {
		return
	}
	f.handed.WithLabelValues(kind(l.Auto)).Observe(since(l.GrantedMs, x.StartedMs))
	if l.Attempt == 1 {
		f.late.WithLabelValues(kind(l.Auto)).Observe(since(max(p.DueMs(at), p.AcceptedMs), x.StartedMs))
	}
}

// since is the time between two moments, in seconds; clocks may differ.
func since(fromMs, toMs int64) float64 { return max(0, float64(toMs-fromMs)/1000) }

// ended finds the lease that a turn ended.
func ended(t dispatch.Turned, planID, instance, fence uint64) (l *state.Lease, p *state.Plan, at plan.Place, ok bool) {
	if l, ok = t.Before.Lease(planID, instance); !ok || l.Fence != fence {
		return nil, nil, at, false
	}
	if now, held := t.After.Lease(planID, instance); held && now.Fence == fence {
		return nil, nil, at, false // refused
	}
	if p, ok = t.After.Plan(planID); !ok {
		return nil, nil, at, false
	}
	at, ok = p.Locate(instance)
	return l, p, at, ok
}
