package server

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"backfleet/coordinator/logstore"
	"backfleet/coordinator/machine"
	"backfleet/coordinator/schedule"
	"backfleet/coordinator/spans"
	"backfleet/coordinator/state"
	"backfleet/coordinator/watch"
	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/obs/prom"
	"backfleet/pkg/wire"
)

// metrics are the coordinator's figures for Prometheus; DESIGN.md says which
// question each answers. What happens is counted as it does; what stands is
// read from the facts when it is asked for, so that nothing can drift.
type metrics struct {
	registry  *prometheus.Registry
	proposals *prometheus.CounterVec
	turns     prometheus.Histogram
	turnSize  prometheus.Histogram
	logBytes  *prometheus.CounterVec
	dates     prometheus.Counter
	instances prometheus.Counter
	forgotten prometheus.Counter
	yields    prometheus.Counter
	cleared   *prometheus.CounterVec
	told      *prometheus.CounterVec
	commits   prometheus.Histogram
	answers   *prometheus.HistogramVec
	changes   prometheus.Counter
	filled    prometheus.Counter
	keeping   *keeping
	watch     *watch.Watch
	spans     *prometheus.CounterVec
}

func newMetrics(s *Server) *metrics {
	m := &metrics{
		registry: prom.NewRegistry(s.cfg.Version),
		proposals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "backfleet_proposals_total", Help: "Commands proposed here to the replicated log, by kind and what became of them: applied, refused (by the facts), or the error's code.",
		}, []string{"command", "outcome"}),
		turns: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "backfleet_turn_seconds", Help: "From the proposal of a turn to its commit.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14), // 0.5 ms to 4 s
		}),
		turnSize: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "backfleet_turn_transitions", Help: "Transitions of instances in a turn.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 8), // to 16,384
		}),
		logBytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "backfleet_log_received_bytes_total", Help: "Compressed bytes of attempts' logs taken in, from agents and, as copies, from other coordinators.",
		}, []string{"from"}),
		dates:     counter("schedule_dates_total", "Dates of the schedule that this coordinator, leading, had generated."),
		instances: counter("schedule_instances_total", "Instances new in these dates."),
		forgotten: counter("expired_plans_total", "Plans that this coordinator, leading, had forgotten."),
		yields:    counter("yields_total", "Attempts of backfills that this coordinator, leading, had stopped for the schedule."),
		cleared: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "backfleet_log_cleared_bytes_total", Help: "Bytes of attempts' logs cleared on this coordinator, by why: their time was over (retention), or the log was too long (cut).",
		}, []string{"why"}),
	}
	m.told = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "backfleet_notifications_total", Help: "Attempts of this coordinator, leading, to deliver notifications, by what became of them: delivered, failed (and tried again) or dead.",
	}, []string{"outcome"})
	for _, outcome := range []string{"delivered", "failed", "dead"} {
		m.told.WithLabelValues(outcome)
	}
	m.swept(logstore.Swept{})
	m.commits = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "backfleet_commit_seconds", Help: "From the proposal of any command here to its commit, of those that were committed.",
		Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
	})
	m.answers = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "backfleet_api_request_seconds", Help: "How long requests took to be answered, by operation of the API and class of the status; streams, whose answers last, are not among them.",
		Buckets: []float64{0.005, 0.025, 0.1, 0.25, 1, 5, 30},
	}, []string{"operation", "status"})
	m.changes = counter("leader_changes_total", "How often another coordinator, or none, was seen to lead than before.")
	m.filled = counter("logs_fetched_total", "Logs of attempts that this coordinator had missed and fetched from others.")
	m.keeping = newKeeping(m.registry)
	m.watch = watch.New(m.registry, s.formerLeader, s.turned)
	m.spans = spans.Count(m.registry)
	m.registry.MustRegister(m.proposals, m.turns, m.turnSize, m.logBytes, m.dates, m.instances, m.forgotten, m.yields, m.cleared, m.told,
		m.commits, m.answers, m.changes, m.filled, standing{s}, surroundings{s}, kept{s})
	return m
}

// answered takes in how long a request took. The names of operations are the
// contract's, so there are only so many.
func (m *metrics) answered(operation string, status int, took time.Duration) {
	m.answers.WithLabelValues(operation, strconv.Itoa(status/100)+"xx").Observe(took.Seconds())
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: "backfleet_" + name, Help: help})
}

func (m *metrics) generated(_ calendar.Date, instances uint64) {
	m.dates.Inc()
	m.instances.Add(float64(instances))
}

func (m *metrics) expired(plans int) { m.forgotten.Add(float64(plans)) }

func (m *metrics) swept(s logstore.Swept) {
	m.cleared.WithLabelValues("retention").Add(float64(s.ClearedBytes))
	m.cleared.WithLabelValues("cut").Add(float64(s.CutBytes))
}

func (m *metrics) handler() http.Handler { return prom.Handler(m.registry) }

// measuredLog is the replicated log, watched.
type measuredLog struct {
	*machine.Log
	m *metrics
}

// Propose counts and times what it passes on.
func (l *measuredLog) Propose(ctx context.Context, c *wire.Command) (uint64, *state.Result, error) {
	began := time.Now()
	index, r, err := l.Log.Propose(ctx, c)
	l.m.proposals.WithLabelValues(kindOf(c), outcomeOf(r, err)).Inc()
	if err == nil || r != nil { // refused by the facts is committed, too
		l.m.commits.Observe(time.Since(began).Seconds())
	}
	if t := c.GetTurn(); t != nil && err == nil {
		l.m.turns.Observe(time.Since(began).Seconds())
		l.m.turnSize.Observe(float64(transitions(t)))
		l.m.yields.Add(float64(len(t.Yields)))
	}
	return index, r, err
}

// kindOf is the command's name in the protocol.
func kindOf(c *wire.Command) string {
	r := c.ProtoReflect()
	if f := r.WhichOneof(r.Descriptor().Oneofs().ByName("body")); f != nil {
		return string(f.Name())
	}
	return "none"
}

func outcomeOf(r *state.Result, err error) string {
	switch {
	case err == nil:
		return "applied"
	case r != nil:
		return "refused"
	default:
		return string(fault.CodeOf(err))
	}
}

func transitions(t *wire.Turn) int {
	n := len(t.Finishes) + len(t.Losses) + len(t.Grants)
	for _, m := range t.Missed {
		n += len(m.Instances)
	}
	for _, d := range t.DryRuns {
		n += len(d.Instances)
	}
	return n
}

// countedLogs counts the bytes that a stream of logs brings.
type countedLogs struct {
	grpc.BidiStreamingServer[wire.LogChunk, wire.LogAck]
	received prometheus.Counter
	refused  prometheus.Counter
}

// Send implements grpc.BidiStreamingServer.
func (c countedLogs) Send(ack *wire.LogAck) error {
	for _, a := range wire.UngroupAcks(ack) {
		if a.Error != "" {
			c.refused.Inc()
		}
	}
	return c.BidiStreamingServer.Send(ack)
}

func (c countedLogs) Recv() (*wire.LogChunk, error) {
	chunk, err := c.BidiStreamingServer.Recv()
	bytes := len(chunk.GetData())
	for _, more := range chunk.GetMore() {
		bytes += len(more.Data)
	}
	c.received.Add(float64(bytes))
	return chunk, err
}

// standing tells what is so at the moment of asking.
type standing struct{ s *Server }

func gauge(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("backfleet_"+name, help, labels, nil)
}

var (
	raftLeader   = gauge("raft_leader", "1 while this coordinator leads and dispatches.")
	raftTerm     = gauge("raft_term", "Current term.")
	raftCommit   = gauge("raft_commit_index", "Last log entry known to be committed.")
	raftApplied  = gauge("raft_applied_index", "Last log entry in the facts.")
	raftSnapshot = gauge("raft_snapshot_index", "Last log entry in the newest snapshot.")
	raftContact  = gauge("raft_leader_contact_seconds", "Since the leader was last heard of; 0 on the leader, absent before the first time.")
	raftInFlight = gauge("raft_proposals_in_flight", "Proposals without an outcome yet.")
	raftVoters   = gauge("raft_members", "Coordinators of the cluster, by whether they vote.", "voter")
	agentCount   = gauge("agents", "Registered agents, by state.", "state")
	slotTotal    = gauge("slots", "Slots of the agents that are not silent, by resource group.", "group")
	slotUsed     = gauge("slots_used", "Slots whose attempt has a lease, silent agents' included, by resource group.", "group")
	runningCount = gauge("running_instances", "Leases by resource group and whose they are: the schedule's (auto) or a backfill's.", "group", "kind")
	leaseCount   = gauge("leases", "Leases: attempts that run or are about to.")
	readyCount   = gauge("ready_instances", "Instances that wait for nothing but a slot, by resource group and priority; the leader alone knows.", "group", "priority")
	readyAge     = gauge("ready_oldest_seconds", "For how long the longest waiter of a resource group has waited for nothing but a slot; the leader alone knows, and counts from when it leads.", "group")
	diskFree     = gauge("data_free_bytes", "Free bytes on the volume of the data folder; below what a coordinator reserves it takes no new work.")
	diskReserve  = gauge("data_reserve_bytes", "What must be free on the volume of the data folder.")
	apiActive    = gauge("api_requests_active", "Requests that hold a place, by class.", "class")
	apiWaiting   = gauge("api_requests_waiting", "Requests that wait for a place, by class.", "class")
	apiPlaces    = gauge("api_places", "Requests that may be answered at the same time, by class.", "class")
	apiAdmitted  = gauge("api_admitted_total", "Requests that got a place, by class.", "class")
	notifyCount  = gauge("notifications", "Notifications that are kept, by state: pending or dead.", "state")
	notifyAge    = gauge("notification_oldest_pending_seconds", "How long ago the oldest notification was raised that is to be delivered; 0: there is none.")
	apiRefused   = gauge("api_refused_total", "Requests refused as overloaded, by class.", "class")
)

// Describe implements prometheus.Collector.
func (standing) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		raftLeader, raftTerm, raftCommit, raftApplied, raftSnapshot, raftContact, raftInFlight, raftVoters,
		agentCount, slotTotal, slotUsed, runningCount, leaseCount, readyCount, readyAge, diskFree, diskReserve,
		apiActive, apiWaiting, apiPlaces, apiAdmitted, apiRefused, notifyCount, notifyAge,
	} {
		ch <- d
	}
}

// readyPatience bounds what a busy scheduler may cost a scrape.
const readyPatience = time.Second

// Collect implements prometheus.Collector.
func (c standing) Collect(ch chan<- prometheus.Metric) {
	put := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	c.log(put)
	c.fleet(put)
	c.notifications(put)
	c.requests(ch, put)
	c.ready(put)
	if free, ok := c.s.cfg.free(c.s.cfg.DataDir); ok {
		put(diskFree, float64(free))
	}
	put(diskReserve, float64(c.s.cfg.Reserve))
}

type put func(d *prometheus.Desc, value float64, labels ...string)

// ready tells what waits for a slot.
func (c standing) ready(put put) {
	ctx, cancel := context.WithTimeout(context.Background(), readyPatience)
	defer cancel()
	var waiting []schedule.Waiting
	if c.s.agents.Inspect(ctx, func(s *schedule.Scheduler) { waiting = s.Waiting() }) != nil {
		return
	}
	type rank struct {
		group    string
		priority int32
	}
	names := make([]string, 0, len(waiting))
	for _, w := range waiting {
		names = append(names, w.Group)
	}
	label, counts, oldest := labelled(names), map[rank]float64{}, map[string]float64{}
	for _, w := range waiting {
		group := label(w.Group)
		counts[rank{group, w.Priority}] += float64(w.Count)
		oldest[group] = max(oldest[group], float64(w.OldestMs)/1000)
	}
	for r, n := range counts {
		put(readyCount, n, r.group, strconv.Itoa(int(r.priority)))
	}
	for group, age := range oldest {
		put(readyAge, age, group)
	}
}

func (c standing) log(put put) {
	st := c.s.node.Stats()
	leads := 0.0
	if st.Established {
		leads = 1
	}
	put(raftLeader, leads)
	put(raftTerm, float64(st.Term))
	put(raftCommit, float64(st.Commit))
	put(raftApplied, float64(st.Applied))
	put(raftSnapshot, float64(st.LastSnapshot))
	put(raftInFlight, float64(st.InFlight))
	if st.State == "Leader" {
		put(raftContact, 0)
	} else if !st.LastContact.IsZero() {
		put(raftContact, time.Since(st.LastContact).Seconds())
	}
	members, err := c.s.node.Servers()
	if err != nil {
		return
	}
	voters := map[bool]float64{}
	for _, m := range members {
		voters[m.Voter]++
	}
	put(raftVoters, voters[true], "true")
	put(raftVoters, voters[false], "false")
}

// requests tells how busy the API is, class by class.
func (c standing) requests(ch chan<- prometheus.Metric, put put) {
	if c.s.api == nil {
		return
	}
	for _, l := range c.s.api.Load() {
		put(apiActive, float64(l.Active), l.Class)
		put(apiWaiting, float64(l.Waiting), l.Class)
		put(apiPlaces, float64(l.Limit), l.Class)
		ch <- prometheus.MustNewConstMetric(apiAdmitted, prometheus.CounterValue, float64(l.Admitted), l.Class)
		ch <- prometheus.MustNewConstMetric(apiRefused, prometheus.CounterValue, float64(l.Refused), l.Class)
	}
}

func (c standing) fleet(put put) {
	st := c.s.machine.State()
	agents, total, used, backfills := map[string]float64{}, map[string]float64{}, map[string]float64{}, map[string]float64{}
	for _, known := range []wire.Agent_State{wire.Agent_READY, wire.Agent_DRAINING, wire.Agent_LOST, wire.Agent_GONE} {
		agents[strings.ToLower(known.String())] = 0
	}
	var names []string
	st.Agents(func(a *state.Agent) {
		for _, g := range a.Groups {
			if _, known := total[g.Group]; !known {
				total[g.Group], names = 0, append(names, g.Group)
			}
		}
	})
	clear(total)
	label := labelled(names)
	st.Agents(func(a *state.Agent) {
		agents[strings.ToLower(a.State.String())]++
		for i, g := range a.Groups {
			group := label(g.Group)
			used[group] += float64(a.Used[i])
			backfills[group] += float64(a.Backfills[i])
			total[group] += 0
			if a.Lives() {
				total[group] += float64(g.Slots)
			}
		}
	})
	for name, n := range agents {
		put(agentCount, n, name)
	}
	for group, n := range total {
		put(slotTotal, n, group)
		put(slotUsed, used[group], group)
		put(runningCount, backfills[group], group, "backfill")
		put(runningCount, used[group]-backfills[group], group, "auto")
	}
	put(leaseCount, float64(st.LeaseCount()))
}
