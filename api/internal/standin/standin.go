// Package standin is a coordinator for tests of what lies before one: it keeps
// nodes, settings and idempotency keys for real, and tells the rest of one
// backfill with a week of a node, and of one day of the schedule.
package standin

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"backfleet/api/convert"
	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/pkg/backup"
	"backfleet/pkg/calendar"
	"backfleet/pkg/cri"
	"backfleet/pkg/fault"
	"backfleet/pkg/node"
	"backfleet/pkg/wire"
)

var _ server.Backend = (*Backend)(nil)

// Backend implements server.Backend.
type Backend struct {
	Lead  server.Leader
	Fail  func(call string) error // asked before every call; nil: none fails
	Queue chan *v1.Event          // what Events sends

	knobs   sync.RWMutex // of Fail, which is asked with and without mu
	mu      sync.Mutex
	index   uint64
	nodes   map[string]*wire.Node
	keys    map[string]accepted
	log     []byte
	ended   bool
	grown   chan struct{} // closed and replaced when the log grows
	Writes  []server.Write
	Request *wire.Request           // the newest that was submitted
	Batches []server.BatchOperation // in their order
	Edits   []*wire.EditPlan        // that were applied
	Polls   int                     // calls of Backfill
	Asked   []any                   // filters of lists, in their order
	Outcome v1.State                // of the backfill, once quiet
	Piece   int                     // bytes of a log that one call hands over; 0: few

	agents        map[string]*v1.Agent
	tokens        map[string]v1.JoinToken
	groups        map[string]*wire.PutResourceGroup
	workspaces    map[string]*wire.PutWorkspace
	regions       map[string]*wire.PutRegion
	sources       map[string]*wire.DataSource
	channels      map[string]*wire.Channel
	notifications map[uint64]*wire.SnapshotNotification
	users         map[string]*wire.SnapshotUser
	mine          map[string]*wire.SnapshotToken // tokens of users
	audit         []*wire.AuditRecord
}

type accepted struct {
	hash   []byte
	result *v1.Submission
}

// New makes a leader with no nodes.
func New() *Backend {
	return &Backend{
		Lead: server.Leader{Self: true}, Queue: make(chan *v1.Event, 16), index: 7, nodes: map[string]*wire.Node{},
		keys: map[string]accepted{}, grown: make(chan struct{}), Outcome: v1.StateSucceeded,
		agents: newAgents(), tokens: map[string]v1.JoinToken{"t0": {ID: "t0", Groups: []string{"default"}, CreatedBy: "ada", CreatedAt: At, ExpiresAt: &At, Expired: true, Agents: 1}},
		groups: map[string]*wire.PutResourceGroup{"default": {Name: "default"}}, workspaces: map[string]*wire.PutWorkspace{}, regions: map[string]*wire.PutRegion{},
		sources: map[string]*wire.DataSource{}, users: newUsers(), mine: newUserTokens(), audit: newAudit(),
		channels: newChannels(), notifications: newNotifications(),
	}
}

// At is the moment at which everything here happened.
var At = time.Date(2026, 11, 22, 3, 14, 15, 123456789, time.UTC)

func (b *Backend) fails(call string) error {
	b.knobs.RLock()
	fail := b.Fail
	b.knobs.RUnlock()
	if fail == nil {
		return nil
	}
	return fail(call)
}

// Set changes what a test may change, while requests may be under way.
func (b *Backend) Set(change func(*Backend)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.knobs.Lock()
	defer b.knobs.Unlock()
	change(b)
}

// WriteLog adds a line to the log of b1.1's attempt.
func (b *Backend) WriteLog(stream cri.Stream, partial bool, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.log = cri.AppendLine(b.log, At, stream, partial, []byte(text))
	close(b.grown)
	b.grown = make(chan struct{})
}

// EndLog says that the log is complete.
func (b *Backend) EndLog() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	close(b.grown)
	b.grown = make(chan struct{})
}

func (b *Backend) AppliedIndex() uint64 { b.mu.Lock(); defer b.mu.Unlock(); return b.index }

func (b *Backend) WaitIndex(ctx context.Context, index uint64) error {
	if err := b.fails("WaitIndex"); err != nil || index <= b.AppliedIndex() {
		return err
	}
	<-ctx.Done() // nothing moves this one
	return fault.Wrap(ctx.Err(), fault.Timeout, "index %d is not reached", index)
}

func (b *Backend) ReadIndex(context.Context) (uint64, error) {
	return b.AppliedIndex(), b.fails("ReadIndex")
}

func (b *Backend) Leader() server.Leader { return b.Lead }
func (b *Backend) Checks() []server.Check {
	return []server.Check{{Name: "log", Err: b.fails("Ready")}, {Name: "leader"}}
}

func (b *Backend) Node(_ context.Context, id string) (server.NodeRecord, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, ok := b.nodes[id]
	if !ok {
		return server.NodeRecord{}, fault.New(fault.NotFound, "node %q does not exist", id)
	}
	return server.NodeRecord{Node: n, CodeVersion: 7}, b.fails("Node")
}

func (b *Backend) Nodes(_ context.Context, f server.NodeQuery, sort v1.NodeSort, page server.Page) ([]*wire.Node, server.Next, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var found []*wire.Node
	for _, n := range b.nodes {
		if n.Id > page.Cursor && strings.Contains(strings.ToLower(n.Id+" "+n.Name), f.Contains) && (len(f.Types) == 0 || slices.Contains(f.Types, n.Type)) {
			found = append(found, n)
		}
	}
	slices.SortFunc(found, func(x, y *wire.Node) int { return cmp.Compare(x.Id, y.Id) })
	b.Asked = append(b.Asked, f, sort)
	if len(found) > page.Limit {
		return found[:page.Limit], found[page.Limit-1].Id, b.fails("Nodes")
	}
	return found, "", b.fails("Nodes")
}

func (b *Backend) ApplyNodes(_ context.Context, w server.Write, nodes []*wire.Node, remove []string, dryRun bool) (*v1.NodeApplicationResult, error) {
	if err := b.fails("ApplyNodes"); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.Writes = append(b.Writes, w)
	var existing []*node.Node
	for _, spec := range b.nodes {
		compiled, _, err := node.Compile(spec)
		if err != nil {
			return nil, err
		}
		existing = append(existing, compiled)
	}
	change, err := node.Apply(existing, nodes, remove)
	if err != nil {
		return nil, err
	}
	result := &v1.NodeApplicationResult{Index: b.index, DryRun: dryRun, Counts: v1.NodeChangeCounts{
		Added: len(change.Added), Changed: len(change.Changed), Unchanged: len(change.Unchanged), Removed: len(change.Removed),
	}}
	for _, list := range []struct {
		ids []string
		as  v1.Change
	}{{change.Added, v1.ChangeAdded}, {change.Changed, v1.ChangeChanged}, {change.Unchanged, v1.ChangeUnchanged}, {change.Removed, v1.ChangeRemoved}} {
		for _, id := range list.ids {
			result.Changes = append(result.Changes, v1.NodeChange{ID: id, Change: list.as})
		}
	}
	for _, w := range change.Warnings {
		result.Warnings = append(result.Warnings, v1.Warning{Field: w.Field, Message: w.Message})
	}
	if !dryRun {
		b.index++
		result.Index = b.index
		b.nodes = map[string]*wire.Node{}
		for _, n := range change.Nodes {
			b.nodes[n.Spec.Id] = n.Spec
		}
	}
	return result, nil
}

func (b *Backend) Preview(_ context.Context, w server.Write, r *wire.Request, f server.InstanceFilter, _ server.Page) (*v1.Preview, error) {
	if err := b.fails("Preview"); err != nil {
		return nil, err
	}
	dates := dates(r)
	if f.From != nil {
		dates = slices.DeleteFunc(dates, func(d calendar.Date) bool { return d < *f.From || d > *f.To })
	}
	p := &v1.Preview{
		Name: r.Root + "_20261122_1", Today: "2026-11-22", Zone: "UTC", Dates: len(dates), Totals: totals(len(dates)),
		Groups:           []v1.PreviewGroup{{Group: 1, Dates: len(dates), First: dates[0].String(), Last: dates[len(dates)-1].String(), Instances: int64(len(dates))}},
		Nodes:            []v1.PreviewNode{{Node: r.Root, Name: "Root", Chosen: true, Instances: int64(len(dates)), ResourceGroup: "default"}},
		Priorities:       []v1.PriorityCount{{Priority: 1, Instances: int64(len(dates))}},
		Warnings:         []v1.Warning{{Code: "missingUpstream", Message: "src is outside the plan and has never run for 2012-01-01"}},
		Forecast:         &v1.Forecast{Low: 50, Mid: 60, High: 90, Complete: true},
		Demand:           []v1.GroupDemand{{ResourceGroup: "default", Peak: 12, Slots: 8, Instances: int64(len(dates))}},
		MissingUpstreams: []v1.MissingUpstream{{Node: "src", Date: "2012-01-01", NeededBy: "orders"}},
		Conflicts:        []v1.PreviewConflict{{Node: "orders", Date: "2012-01-08", At: At, Instance: "b2.1"}},
		DueTimes:         []v1.DueTime{{At: At, Instances: 1}},
	}
	if w.Restricted {
		p.NotPermitted = []string{"bridge"}
	}
	for _, c := range r.Fields {
		for _, field := range c.Fields {
			p.Nodes[0].Units = append(p.Nodes[0].Units, v1.PreviewUnit{Unit: "of_" + field, Runs: true, Why: "produces " + field})
		}
		p.Nodes[0].Units = append(p.Nodes[0].Units, v1.PreviewUnit{Unit: "rest", Why: "produces nothing that was selected"})
	}
	for i, d := range dates {
		t := time.Unix(int64(d+1)*86400, 0).UTC()
		p.Instances = append(p.Instances, v1.PreviewInstance{
			Number: uint64(i), Node: r.Root, Date: d.String(), ScheduledTime: t, Due: t, Group: 1, Priority: 1,
			Values: []v1.Assignment{{Name: "day", Value: d.Compact()}},
		})
	}
	return p, nil
}

func dates(r *wire.Request) []calendar.Date {
	var all []calendar.Date
	for _, d := range r.Dates {
		for day := d.From; day <= d.To; day++ {
			all = append(all, calendar.Date(day))
		}
	}
	return all
}

func totals(n int) v1.PreviewTotals { return v1.PreviewTotals{Instances: int64(n), Asked: int64(n)} }

func (b *Backend) Submit(_ context.Context, w server.Write, r *wire.Request) (*v1.Submission, error) {
	if err := b.fails("Submit"); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.Writes = append(b.Writes, w)
	if before, ok := b.keys[w.RequestID]; ok {
		if !bytes.Equal(before.hash, w.Hash) {
			return nil, fault.New(fault.Conflict, "key %q was used for another request", w.RequestID)
		}
		return before.result, nil
	}
	b.index++
	b.Request = r
	result := &v1.Submission{ID: convert.PlanID(uint64(len(b.keys)) + 1), Name: cmp.Or(r.Name, r.Root+"_20261122_1"), Totals: totals(len(dates(r))), Index: b.index}
	b.keys[w.RequestID] = accepted{w.Hash, result}
	return result, b.fails("Submitted")
}

func counts(done int64) v1.StateCounts {
	return v1.StateCounts{Total: 7, Succeeded: done, NotRunning: 7 - done}
}

func (b *Backend) summary(plan uint64) (v1.BackfillSummary, error) {
	s := v1.BackfillSummary{
		ID: convert.PlanID(plan), Kind: v1.PlanKindBackfill, Name: "orders_20261122_1", Root: "orders", State: v1.StateRunning, Counts: counts(3),
		CreatedAt: At, CreatedBy: "ada",
	}
	if plan > max(1, uint64(len(b.keys))) {
		return s, fault.New(fault.NotFound, "backfill %s does not exist", convert.PlanID(plan))
	}
	if b.Polls > 1 {
		s.Quiet, s.State, s.Counts = true, b.Outcome, counts(7)
		if b.Outcome != v1.StateSucceeded {
			s.Counts = v1.StateCounts{Total: 7, Succeeded: 3, NotRunning: 3, Failed: 1}
		}
	}
	return s, nil
}

func (b *Backend) Backfills(_ context.Context, f server.PlanQuery, _ server.Page) ([]v1.BackfillSummary, server.Next, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.Asked = append(b.Asked, f)
	s, _ := b.summary(1)
	var list []v1.BackfillSummary
	if f.Kind != v1.PlanFilterBackfill {
		list = append(list, day(s))
	}
	if f.Kind != v1.PlanFilterAuto {
		list = append(list, s)
	}
	return list, "", b.fails("Backfills")
}

// Backfill runs until it is asked a second time.
func (b *Backend) Backfill(_ context.Context, plan uint64) (*v1.Backfill, error) {
	if err := b.fails("Backfill"); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.Polls++
	s, err := b.summary(plan)
	if err != nil {
		return nil, err
	}
	left := 2.5
	return &v1.Backfill{
		Summary: s, Request: convert.Request(&wire.Request{Mode: wire.Request_CURRENT, Root: "orders", Dates: []*wire.DateRange{{From: 15340, To: 15346}}, Fields: b.Request.GetFields()}),
		Groups:  []v1.GroupProgress{{Group: 1, Dates: 7, DatesDone: 3, Current: "2012-01-04", State: s.State, Counts: s.Counts}},
		Receipt: receipt(3, 4), Rate: v1.Rate{PerSecond: 1.6, SecondsLeft: &left},
	}, nil
}

func receipt(succeeded, waiting int64) v1.ReceiptTotals {
	return v1.ReceiptTotals{Generated: succeeded + waiting, Succeeded: succeeded, Waiting: waiting, Asked: succeeded + waiting}
}

func (b *Backend) Receipt(_ context.Context, plan uint64, by v1.ReceiptBy, _ server.InstanceFilter, _ server.Page) (*v1.Receipt, error) {
	return &v1.Receipt{Backfill: convert.PlanID(plan), By: by, Totals: receipt(3, 4), Rows: []v1.ReceiptRow{
		{Node: "orders", Totals: receipt(3, 4), Reasons: []v1.ReceiptReason{{Code: v1.ReceiptCodeGate, Text: "waits for 2012-01-04 of its group", Instances: 4}}},
	}}, b.fails("Receipt")
}

func (b *Backend) Dates(_ context.Context, _ uint64, f server.DateFilter, _ server.Page) ([]v1.DateProgress, server.Next, error) {
	return []v1.DateProgress{{Date: "2012-01-04", Group: max(1, f.Group), Place: 4, State: v1.StateNotRunning, Counts: counts(0), Reason: "2012-01-03 failed"}}, "", b.fails("Dates")
}

func (b *Backend) instance() v1.Instance {
	started, ended := At, At.Add(1500*time.Millisecond)
	return v1.Instance{
		ID: "b1.1", Backfill: "b1", Kind: v1.PlanKindBackfill, Node: "orders", Date: "2012-01-02", ScheduledTime: time.Date(2012, 1, 3, 0, 0, 0, 0, time.UTC),
		Group: 1, State: v1.StateFailed, Priority: 1, Attempts: 1, Agent: "a1", Cause: "exit code 3", StartedAt: &started, EndedAt: &ended,
		Metrics: []v1.Assignment{{Name: "rows_written", Value: "17"}, {Name: "checksum", Value: "ab cd"}},
	}
}

func (b *Backend) Instances(_ context.Context, _ uint64, f server.InstanceFilter, _ server.Page) ([]v1.Instance, server.Next, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.Asked = append(b.Asked, f)
	return []v1.Instance{b.instance()}, "", b.fails("Instances")
}

func (b *Backend) Instance(_ context.Context, plan, number uint64) (*v1.InstanceDetail, error) {
	if plan != 1 || number != 1 {
		return nil, fault.New(fault.NotFound, "instance %s does not exist", convert.InstanceID(plan, number))
	}
	exit := 3
	i := b.instance()
	return &v1.InstanceDetail{
		Instance: i, Due: i.ScheduledTime, Zone: "UTC", ResourceGroup: "default",
		Reason: &v1.Reason{Code: v1.ReasonCodeUpstream, Text: "waits for b1.0 (src of 2012-01-02)", Instance: "b1.0"},
		Yields: 2, RemovedUpstreams: []string{"src"}, PriorityOverride: 7,
		Marks: []v1.Mark{{Number: 3, Operation: v1.OperationKindRemoveUpstream, At: At, Actor: "bob", Why: "late", Detail: "src",
			Text: "bob removed the dependency on src at 2026-11-22 03:14:15 UTC: late"}},
		Conflict: &v1.Reason{Code: v1.ReasonCodeConflict, Text: "b2.1 of the schedule waits for it", Instance: "b2.1"},
		Values:   []v1.Assignment{{Name: "day", Value: "20120102"}},
		Attempts: []v1.Attempt{{
			Number: 1, State: v1.AttemptStateFailed, Agent: "a1", Fence: 42, CodeVersion: 7, GrantedAt: &At,
			StartedAt: i.StartedAt, EndedAt: i.EndedAt, ExitCode: &exit, Cause: "exit code 3", Metrics: i.Metrics,
		}},
	}, b.fails("Instance")
}

func (b *Backend) Cluster(_ context.Context, standing bool) (*v1.Cluster, error) {
	out := &v1.Cluster{
		Self: "c1", Leader: "c1", Term: 3, AppliedIndex: 7, CommitIndex: 7, Version: "dev", Zone: "UTC", Today: "2012-01-08",
		Servers: []v1.ClusterServer{{ID: "c1", Role: v1.ServerRoleLeader, RaftAddress: "127.0.0.1:8472"}},
	}
	if standing {
		free := int64(4 << 30)
		out.Servers[0].Standing = &v1.ServerStanding{
			Term: 3, AppliedIndex: 7, CommitIndex: 7, FirstIndex: 1, LastIndex: 7, LogBytes: 64 << 20, SnapshotIndex: 5, SnapshotBytes: 4096,
			SnapshotAt: &At, DiskFree: &free,
		}
		out.Servers = append(out.Servers, v1.ClusterServer{ID: "c2", Role: v1.ServerRoleVoter, RaftAddress: "127.0.0.1:9472", Silent: "connection refused"})
	}
	return out, b.fails("Cluster")
}

func (b *Backend) TransferLeadership(_ context.Context, _ server.Write, to string) (string, error) {
	return to, b.fails("TransferLeadership")
}

// RemoveServer knows c1, which leads, and c2.
func (b *Backend) RemoveServer(_ context.Context, _ server.Write, id string, _ bool) (uint64, error) {
	if err := b.fails("RemoveServer"); err != nil {
		return 0, err
	}
	if id != "c2" {
		return 0, fault.New(fault.NotFound, "coordinator %q is not a member of the cluster", id)
	}
	return b.AppliedIndex(), nil
}

// SaveSnapshot writes a backup without facts.
func (b *Backend) SaveSnapshot(_ context.Context, _ server.Write, out io.Writer) error {
	if err := b.fails("SaveSnapshot"); err != nil {
		return err
	}
	return backup.Write(out, backup.Header{Cluster: "backfleet", Index: b.AppliedIndex()}, func(io.Writer) error { return nil })
}

// piece is how much of a log one call hands over, so that readers must go on,
// unless Piece says otherwise.
const piece = 100

func (b *Backend) ReadLog(_ context.Context, ref server.LogRef, offset uint64, limit int) (server.LogRange, error) {
	if err := b.fails("ReadLog"); err != nil {
		return server.LogRange{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	size := uint64(len(b.log))
	switch {
	case ref.Plan != 1 || ref.Instance != 1 || ref.Attempt > 1:
		return server.LogRange{}, fault.New(fault.NotFound, "attempt %s.%d does not exist", convert.InstanceID(ref.Plan, ref.Instance), ref.Attempt)
	case offset > size:
		return server.LogRange{}, fault.Field("offset", "%d is past the log's end at %d", offset, size)
	}
	end := min(size, offset+uint64(min(limit, cmp.Or(b.Piece, piece))))
	return server.LogRange{Attempt: 1, Offset: offset, Data: b.log[offset:end], Size: size, Complete: b.ended && end == size}, nil
}

func (b *Backend) FollowLog(ctx context.Context, ref server.LogRef, offset uint64, send func(server.LogRange) error) error {
	for {
		b.mu.Lock()
		grown := b.grown
		b.mu.Unlock()
		r, err := b.ReadLog(ctx, ref, offset, piece)
		if err == nil && (len(r.Data) > 0 || r.Complete) {
			err = cmp.Or(send(r), b.fails(fmt.Sprintf("sent %d", offset)))
		}
		if err != nil || r.Complete {
			return err
		}
		offset += uint64(len(r.Data))
		if len(r.Data) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-grown:
		}
	}
}

// Events sends what is put into Queue. What came before is forgotten: after an
// id it does not know, it begins with reset.
func (b *Backend) Events(ctx context.Context, f server.EventFilter, after string, send func(*v1.Event) error) error {
	if after != "" && after != "e1" {
		if err := send(&v1.Event{ID: "e0", Type: v1.EventTypeReset, At: At}); err != nil {
			return err
		}
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e := <-b.Queue:
			if err := cmp.Or(send(e), b.fails("event "+e.ID)); err != nil {
				return err
			}
		}
	}
}
