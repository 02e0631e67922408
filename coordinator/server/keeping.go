package server

import (
	"context"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"backfleet/coordinator/logstore"
	"backfleet/coordinator/machine"
	"backfleet/coordinator/raftnode"
	"backfleet/coordinator/service"
	"backfleet/coordinator/state"
)

// keeping is how this coordinator gets on with what it keeps: the log's
// snapshots, and the logs of attempts.
type keeping struct {
	taken    prometheus.Histogram
	failed   prometheus.Counter
	restored prometheus.Histogram
	read     prometheus.Histogram
	refused  *prometheus.CounterVec
}

// long are from a millisecond to a minute and a half, in seconds.
var long = prometheus.ExponentialBuckets(0.001, 4, 9)

func newKeeping(r prometheus.Registerer) *keeping {
	histogram := func(name, help string) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "backfleet_" + name, Help: help, Buckets: long})
		r.MustRegister(h)
		return h
	}
	k := &keeping{
		taken:    histogram("snapshot_seconds", "How long this coordinator took to write a snapshot."),
		failed:   counter("snapshots_failed_total", "Snapshots that could not be written to their end."),
		restored: histogram("restore_seconds", "How long this coordinator took to read a snapshot: at its start, or from the leader."),
		read:     histogram("log_read_seconds", "How long a page of an attempt's log took to be read, those of other coordinators included."),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "backfleet_log_refused_total", Help: "Pieces of attempts' logs that could not be kept, and are sent again, by whom they came from: agent, or coordinator (as a copy).",
		}, []string{"from"}),
	}
	for _, from := range []string{"agent", "coordinator"} {
		k.refused.WithLabelValues(from)
	}
	r.MustRegister(k.failed, k.refused)
	return k
}

// measuredMachine is the facts behind the log, with their snapshots timed, and the
// plans that are built.
type measuredMachine struct {
	*machine.Machine
	k     *keeping
	built func(planID uint64, took time.Duration) // nil: nobody wants to know
}

// Apply implements raftnode.FSM.
func (m measuredMachine) Apply(index uint64, data []byte) any {
	if m.built == nil {
		return m.Machine.Apply(index, data)
	}
	began := time.Now()
	out := m.Machine.Apply(index, data)
	if r, ok := out.(*state.Result); ok && r.Answer != nil { // a turn, which has many changes, has no answer
		for _, ch := range r.Changes {
			if ch.Kind == state.PlanAccepted {
				m.built(ch.Plan, time.Since(began))
			}
		}
	}
	return out
}

// Snapshot implements raftnode.FSM.
func (m measuredMachine) Snapshot() (raftnode.Snapshot, error) {
	s, err := m.Machine.Snapshot()
	return measuredSnapshot{s, m.k}, err
}

// Restore implements raftnode.FSM.
func (m measuredMachine) Restore(r io.Reader) error {
	began := time.Now()
	err := m.Machine.Restore(r)
	if err == nil {
		m.k.restored.Observe(time.Since(began).Seconds())
	}
	return err
}

type measuredSnapshot struct {
	raftnode.Snapshot
	k *keeping
}

func (s measuredSnapshot) Encode(w io.Writer) error {
	began := time.Now()
	err := s.Snapshot.Encode(w)
	if err != nil {
		s.k.failed.Inc()
		return err
	}
	s.k.taken.Observe(time.Since(began).Seconds())
	return nil
}

// measuredReads are the logs of attempts, with pages timed.
type measuredReads struct {
	service.Logs
	read prometheus.Histogram
}

func (m measuredReads) Read(ctx context.Context, key logstore.Key, offset uint64, maximum int) (data []byte, next uint64, ended bool, err error) {
	began := time.Now()
	data, next, ended, err = m.Logs.Read(ctx, key, offset, maximum)
	m.read.Observe(time.Since(began).Seconds())
	return data, next, ended, err
}

var (
	snapshotAt    = gauge("snapshot_timestamp_seconds", "When the newest snapshot on disk was taken, in Unix time.")
	snapshotBytes = gauge("snapshot_bytes", "Size of the newest snapshot on disk.")
	raftLogBytes  = gauge("raft_log_bytes", "What the replicated log takes on disk.")
	storeBytes    = gauge("log_store_bytes", "What the logs of attempts take on disk.")
	storeFiles    = gauge("log_store_files", "Files that the logs of attempts are in.")
	copyBehind    = gauge("log_copies_behind_bytes", "Bytes of attempts' logs that were offered to another coordinator and are not answered yet.", "peer")
	copyDown      = gauge("log_copies_down", "1 while another coordinator takes no copies of attempts' logs from this one.", "peer")
	behaviour     = gauge("behaviour_known", "The newest version of the rules that this binary knows.")
)

// kept tells what is on disk, and whether copies keep up.
type kept struct{ s *Server }

// Describe implements prometheus.Collector.
func (kept) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{snapshotAt, snapshotBytes, raftLogBytes, storeBytes, storeFiles, copyBehind, copyDown, behaviour} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c kept) Collect(ch chan<- prometheus.Metric) {
	put := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	put(behaviour, state.Newest)
	if k, ok := c.s.node.NewestSnapshot(); ok {
		put(snapshotBytes, float64(k.Bytes))
		if !k.At.IsZero() {
			put(snapshotAt, seconds(k.At))
		}
	}
	bytes, _ := folderUse(filepath.Join(c.s.cfg.DataDir, "wal"))
	put(raftLogBytes, float64(bytes))
	bytes, files := folderUse(filepath.Join(c.s.cfg.DataDir, "logs"))
	put(storeBytes, float64(bytes))
	put(storeFiles, float64(files))
	for _, p := range c.s.copies.Copies() {
		down := 0.0
		if p.Down {
			down = 1
		}
		put(copyBehind, float64(p.Behind), p.Peer)
		put(copyDown, down, p.Peer)
	}
}

// groupsShown is how many resource groups figures have for themselves. Their
// operators make them, so there is a bound; those beyond it are one.
const (
	groupsShown = 200
	otherGroups = "(others)"
)

// labelled gives the label of each resource group: the first by name have their own.
func labelled(names []string) func(group string) string {
	slices.Sort(names)
	names = slices.Compact(names)
	names = names[:min(len(names), groupsShown)]
	return func(group string) string {
		if _, ok := slices.BinarySearch(names, group); ok {
			return group
		}
		return otherGroups
	}
}
