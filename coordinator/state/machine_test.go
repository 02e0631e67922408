package state

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"

	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// epoch is the leader's clock at the start of every test: 2021-08-24T08:00Z.
const epoch = 1629792000000

var today = calendar.DateOf(2021, 8, 24)

// machine is a state machine with its log: it hands every command over as the
// log does, as bytes of its own.
type machine struct {
	t     testing.TB
	s     *State
	index uint64
	now   int64
}

func newMachine(t testing.TB) *machine { return &machine{t: t, s: New(), now: epoch} }

// do applies a command.
func (m *machine) do(c *wire.Command) Result {
	m.t.Helper()
	m.index++
	if c.NowMs == 0 {
		m.now += 10
		c.NowMs = m.now
	}
	b, err := proto.Marshal(c)
	if err != nil {
		m.t.Fatalf("marshalling a command: %v", err)
	}
	own := &wire.Command{}
	if err := proto.Unmarshal(b, own); err != nil {
		m.t.Fatalf("unmarshalling a command: %v", err)
	}
	next, r := m.s.Apply(m.index, own)
	m.s = next
	return r
}

// must applies a command that may not be refused.
func (m *machine) must(c *wire.Command) *wire.Answer {
	m.t.Helper()
	r := m.do(c)
	if r.Err != nil || len(r.Refused) > 0 {
		m.t.Fatalf("refused: %v %v", r.Err, r.Refused)
	}
	return r.Answer
}

// refused applies a command that must be refused with a code, and must change
// nothing but the index and the time.
func (m *machine) refused(code fault.Code, c *wire.Command) *fault.Error {
	m.t.Helper()
	before := m.s
	r := m.do(c)
	if !fault.Is(r.Err, code) {
		m.t.Fatalf("got error %v, expected one of code %s", r.Err, code)
	}
	blank, _ := before.Edit(m.s.index, m.s.nowMs).Done()
	if blank.Hash() != m.s.Hash() {
		m.t.Fatalf("a refused command changed the state: %v", r.Err)
	}
	return r.Err.(*fault.Error)
}

func (m *machine) plan(id uint64) *Plan {
	m.t.Helper()
	p, ok := m.s.Plan(id)
	if !ok {
		m.t.Fatalf("there is no plan %d", id)
	}
	return p
}

func (m *machine) status(plan, instance uint64, want Status) {
	m.t.Helper()
	if got := m.plan(plan).Status(instance); got != want {
		m.t.Fatalf("instance %d.%d has status %d, expected %d", plan, instance, got, want)
	}
}

// grant leases an instance to agent a1 and gives the fence.
func (m *machine) grant(plan, instance uint64) uint64 {
	m.t.Helper()
	m.must(turn(&wire.Turn{Grants: []*wire.Grant{{Plan: plan, Instance: instance, Agent: "a1", ResourceGroup: "default"}}}))
	return m.index
}

func (m *machine) finish(plan, instance, fence uint64, o wire.Outcome) {
	m.t.Helper()
	m.must(turn(&wire.Turn{Finishes: []*wire.Finish{{
		Plan: plan, Instance: instance, Fence: fence, Outcome: o, StartedMs: m.now, EndedMs: m.now + 5, ExitCode: 1, Cause: "exit status 1",
	}}}))
}

// run grants an instance and finishes it.
func (m *machine) run(plan, instance uint64, o wire.Outcome) {
	m.t.Helper()
	m.finish(plan, instance, m.grant(plan, instance), o)
}

// restored is the state after a snapshot and a restore.
func restored(t testing.TB, s *State) *State {
	t.Helper()
	var b bytes.Buffer
	n, err := s.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("WriteTo: %d bytes reported, %d written: %v", n, b.Len(), err)
	}
	again, err := Read(&b)
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	return again
}

func turn(t *wire.Turn) *wire.Command { return &wire.Command{Body: &wire.Command_Turn{Turn: t}} }

func apply(nodes ...*wire.Node) *wire.Command {
	return &wire.Command{Actor: "ann", Body: &wire.Command_ApplyNodes{ApplyNodes: &wire.ApplyNodes{Nodes: nodes}}}
}

func submit(r *wire.Request) *wire.Command {
	return &wire.Command{Actor: "ann", Body: &wire.Command_Submit{Submit: &wire.Submit{
		Request: r, ClusterZone: "UTC", Zones: []*wire.Zone{{Name: "UTC"}}, Today: int32(today),
	}}}
}

func operate(plan uint64, k wire.Operate_Kind) *wire.Command {
	return &wire.Command{Actor: "bob", Body: &wire.Command_Operate{Operate: &wire.Operate{Kind: k, Targets: []*wire.Target{{Plan: plan}}}}}
}

func rerun(plan uint64, instances ...uint64) *wire.Command {
	return &wire.Command{Actor: "bob", Body: &wire.Command_Operate{Operate: &wire.Operate{
		Kind: wire.Operate_RERUN, Targets: []*wire.Target{{Plan: plan, Instances: instances}},
	}}}
}

// days is the n dates up to the day before yesterday.
func days(n int32) []*wire.DateRange {
	last := int32(today) - 2
	return []*wire.DateRange{{From: last - n + 1, To: last}}
}

func current(root string, n int32) *wire.Request {
	return &wire.Request{Mode: wire.Request_CURRENT, Root: root, Dates: days(n)}
}

func daily(id string, ups ...string) *wire.Node {
	n := &wire.Node{Id: id, Code: "true", Schedule: &wire.Schedule{Kind: wire.Schedule_DAILY}}
	for _, u := range ups {
		n.Upstreams = append(n.Upstreams, &wire.Upstream{Node: u})
	}
	return n
}

// agent is a READY agent with slots in group default.
func agent(id string, slots uint32) *wire.Agent {
	return &wire.Agent{Id: id, State: wire.Agent_READY, Groups: []*wire.GroupSlots{{Group: "default", Slots: slots}}}
}

// ready is a machine with some nodes and agent a1 of ten slots.
func ready(t testing.TB, nodes ...*wire.Node) *machine {
	t.Helper()
	m := newMachine(t)
	m.must(apply(nodes...))
	m.must(turn(&wire.Turn{Agents: []*wire.Agent{agent("a1", 10)}}))
	return m
}
