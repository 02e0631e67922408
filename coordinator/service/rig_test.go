package service

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
	_ "time/tzdata" // the tests do not depend on the host's zone files

	"google.golang.org/protobuf/proto"

	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/coordinator/machine"
	"backfleet/coordinator/schedule"
	"backfleet/coordinator/state"
	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// rig is a service over a machine whose log applies in the process.
type rig struct {
	*Service
	t    testing.TB
	m    *machine.Machine
	log  *localLog
	logs *memoryLogs
	mu   sync.Mutex
	now  time.Time
	seen map[string]Seen // what the leader knows of agents
}

const noon = "2021-08-24 12:00:00"

func newRig(t testing.TB, nodes ...*wire.Node) *rig {
	t.Helper()
	now, err := time.Parse(time.DateTime, noon)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, m: machine.New(), now: now, logs: &memoryLogs{}, seen: map[string]Seen{}}
	r.log = &localLog{m: r.m, now: r.clock, leader: "c1"}
	r.Service = New(Config{
		Machine: r.m, Log: r.log, Logs: r.logs, Now: r.clock, ServerID: "c1", Version: "test",
		Seen: func(context.Context) (map[string]Seen, error) {
			if _, self := r.log.Leader(); !self {
				return nil, fault.New(fault.Unavailable, "c1 does not lead")
			}
			return r.seen, nil
		},
		Inspect: func(_ context.Context, look func(*schedule.Scheduler)) error {
			if _, self := r.log.Leader(); !self {
				return fault.New(fault.Unavailable, "c1 does not lead")
			}
			sch := schedule.New(schedule.Settings{})
			sch.Load(r.m.State(), r.clock().UnixMilli())
			look(sch)
			return nil
		},
	})
	if len(nodes) > 0 {
		r.apply(nodes...)
	}
	return r
}

func (r *rig) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *rig) pass(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
}

func write(key string) server.Write {
	return server.Write{Actor: "ann", Role: wire.Role_ADMIN, RequestID: key, Hash: []byte("hash of " + key)}
}

func (r *rig) apply(nodes ...*wire.Node) {
	r.t.Helper()
	if _, err := r.ApplyNodes(r.t.Context(), write("nodes of "+r.t.Name()+nodes[0].Id), nodes, nil, false); err != nil {
		r.t.Fatal(err)
	}
}

// submit accepts a request and gives the plan's id.
func (r *rig) submit(req *wire.Request) uint64 {
	r.t.Helper()
	index, res, err := r.log.Propose(r.t.Context(), r.submitCommand(req))
	if err != nil {
		r.t.Fatalf("entry %d: %v", index, err)
	}
	return res.Answer.Plan
}

func (r *rig) submitCommand(req *wire.Request) *wire.Command {
	sub, err := r.submission(r.m.State(), server.Write{}, req)
	if err != nil {
		r.t.Fatal(err)
	}
	return &wire.Command{Actor: "ann", Body: &wire.Command_Submit{Submit: sub}}
}

func (r *rig) turn(turn *wire.Turn) {
	r.t.Helper()
	_, res, err := r.log.Propose(r.t.Context(), &wire.Command{Body: &wire.Command_Turn{Turn: turn}})
	if err != nil || len(res.Refused) > 0 {
		r.t.Fatalf("the turn was refused: %v %v", err, res)
	}
}

func (r *rig) agent(id, group string, slots uint32, s wire.Agent_State) {
	r.t.Helper()
	r.turn(&wire.Turn{Agents: []*wire.Agent{{Id: id, Host: id + ".example", State: s, Groups: []*wire.GroupSlots{{Group: group, Slots: slots}}}}})
	r.seen[id] = Seen{Connected: s == wire.Agent_READY || s == wire.Agent_DRAINING, At: r.clock()}
}

// start grants instances to agent a1.
func (r *rig) start(planID uint64, instances ...uint64) {
	r.t.Helper()
	t := &wire.Turn{}
	for _, i := range instances {
		t.Grants = append(t.Grants, &wire.Grant{Plan: planID, Instance: i, Agent: "a1", ResourceGroup: "default"})
	}
	r.turn(t)
}

// finish ends running instances.
func (r *rig) finish(planID uint64, o wire.Outcome, cause string, instances ...uint64) {
	r.t.Helper()
	t := &wire.Turn{}
	for _, i := range instances {
		l, ok := r.m.State().Lease(planID, i)
		if !ok {
			r.t.Fatalf("b%d.%d does not run", planID, i)
		}
		ms := r.clock().UnixMilli()
		t.Finishes = append(t.Finishes, &wire.Finish{Plan: planID, Instance: i, Fence: l.Fence, Outcome: o, Cause: cause, StartedMs: ms - 1000, EndedMs: ms})
	}
	r.turn(t)
}

// run starts instances and lets them end.
func (r *rig) run(planID uint64, o wire.Outcome, instances ...uint64) {
	r.t.Helper()
	cause := ""
	if o != wire.Outcome_SUCCEEDED {
		cause = "exit code 3"
	}
	r.start(planID, instances...)
	r.finish(planID, o, cause, instances...)
}

// generate makes the schedule's instances of a date and gives their plan's id.
func (r *rig) generate(d string) uint64 {
	r.t.Helper()
	today, err := r.today()
	if err != nil {
		r.t.Fatal(err)
	}
	zones, err := plan.AutoZones(r.m.State().Graph(), date(d), "UTC", today, time.LoadLocation)
	if err != nil {
		r.t.Fatal(err)
	}
	_, res, err := r.log.Propose(r.t.Context(), &wire.Command{Body: &wire.Command_Generate{Generate: &wire.Generate{
		Date: int32(date(d)), Zones: zones, ClusterZone: "UTC", Today: int32(today),
	}}})
	if err != nil {
		r.t.Fatal(err)
	}
	return res.Answer.Plan
}

// operation is one on a plan (no instances), or on some of its instances.
func operation(kind wire.Operate_Kind, planID uint64, instances ...uint64) server.BatchOperation {
	return server.BatchOperation{Operate: &wire.Operate{Kind: kind, Targets: []*wire.Target{{Plan: planID, Instances: instances}}}}
}

// operate does an operation and gives the line of its only plan.
func (r *rig) operate(key string, o server.BatchOperation) (*v1.Operation, error) {
	r.t.Helper()
	got, err := r.Operate(r.t.Context(), write(key), o)
	if err != nil {
		return nil, err
	}
	if len(got.Backfills) != 1 || got.Instances != got.Backfills[0].Instances {
		r.t.Fatalf("one plan, but %+v", got)
	}
	return &got.Backfills[0], nil
}

// do is an operation that must succeed.
func (r *rig) do(o server.BatchOperation) {
	r.t.Helper()
	if _, err := r.operate(fmt.Sprintf("do %d", r.log.index), o); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) detail(planID, number uint64) *v1.InstanceDetail {
	r.t.Helper()
	d, err := r.Instance(r.t.Context(), planID, number)
	if err != nil {
		r.t.Fatal(err)
	}
	return d
}

// localLog applies what is proposed at once.
type localLog struct {
	mu        sync.Mutex
	m         *machine.Machine
	now       func() time.Time
	index     uint64
	leader    string
	proposals int
	err       error
	before    func() // called before the next proposal, once
}

func (l *localLog) Propose(_ context.Context, c *wire.Command) (uint64, *state.Result, error) {
	if l.before != nil {
		l.before()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c.NowMs, c.Behaviour = l.now().UnixMilli(), state.First
	data, err := proto.Marshal(c)
	if err != nil {
		return 0, nil, err
	}
	l.index++
	l.proposals++
	r := l.m.Apply(l.index, data).(*state.Result)
	return l.index, r, r.Err
}

func (l *localLog) AppliedIndex() uint64                             { return l.m.State().Index() }
func (l *localLog) WaitIndex(context.Context, uint64) error          { return nil }
func (l *localLog) ReadIndex(context.Context) (uint64, error)        { return l.AppliedIndex(), nil }
func (l *localLog) RemoveServer(context.Context, string, bool) error { return nil }

func (l *localLog) TransferLeadership(context.Context, string) error { l.lead("c2"); return nil }
func (l *localLog) Leader() (string, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leader, l.leader == "c1"
}

func (l *localLog) lead(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leader = id
}

func (l *localLog) Standing() Standing {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Standing{Term: 3, Commit: l.index, Err: l.err, CaughtUp: true, Members: []Member{{"c1", "127.0.0.1:1", true}, {"c2", "127.0.0.1:2", true}, {"c3", "127.0.0.1:3", false}}}
}

type option func(*wire.Node)

func daily(id string, options ...option) *wire.Node {
	n := &wire.Node{Id: id, Code: "true", Schedule: &wire.Schedule{Kind: wire.Schedule_DAILY}}
	for _, o := range options {
		o(n)
	}
	return n
}

func up(ids ...string) option {
	return func(n *wire.Node) {
		for _, id := range ids {
			n.Upstreams = append(n.Upstreams, &wire.Upstream{Node: id})
		}
	}
}

func window(id string, from, to int32) option {
	return func(n *wire.Node) {
		n.Upstreams = append(n.Upstreams, &wire.Upstream{Node: id, Window: true, From: from, To: to})
	}
}

func self(n *wire.Node) { n.DependsOnSelf = true }

func retries(n int32, delay time.Duration) option {
	return func(w *wire.Node) { w.Retries, w.RetryDelayMs = n, delay.Milliseconds() }
}

func hourly(n *wire.Node) {
	n.Schedule = &wire.Schedule{Kind: wire.Schedule_HOURLY, From: 0, To: 3 * 3600, Every: 60}
}

func date(s string) calendar.Date {
	d, err := calendar.ParseDate(s)
	if err != nil {
		panic(err)
	}
	return d
}

// backfill asks for a root and all its descendants on ranges of dates.
func backfill(root, ranges string, options ...func(*wire.Request)) *wire.Request {
	req := &wire.Request{Mode: wire.Request_DESCENDANTS, Root: root}
	for _, text := range strings.Fields(ranges) {
		from, to, isRange := strings.Cut(text, "..")
		if !isRange {
			to = from
		}
		req.Dates = append(req.Dates, &wire.DateRange{From: int32(date(from)), To: int32(date(to))})
	}
	for _, o := range options {
		o(req)
	}
	return req
}

func has(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q lacks %q", text, p)
		}
	}
}
