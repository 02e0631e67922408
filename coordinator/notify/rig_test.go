package notify

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"backfleet/coordinator/machine"
	"backfleet/coordinator/raftnode"
	"backfleet/coordinator/state"
	"backfleet/pkg/fault"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// world is facts, and a log that applies at once.
type world struct {
	t     testing.TB
	mu    sync.Mutex
	m     *machine.Machine
	index uint64
	clock func() time.Time
	down  bool // the log takes nothing
}

func newWorld(t testing.TB, clock func() time.Time) *world {
	w := &world{t: t, m: machine.New(), clock: clock}
	w.turn(&wire.Turn{Agents: []*wire.Agent{{
		Id: "a1", Incarnation: "1", State: wire.Agent_READY, Groups: []*wire.GroupSlots{{Group: "default", Slots: 1000}},
	}}})
	w.must(&wire.Command{Body: &wire.Command_PutChannel{PutChannel: &wire.PutChannel{Channel: hook("ops")}}})
	return w
}

func hook(name string) *wire.Channel {
	return &wire.Channel{Name: name, Kind: wire.Channel_WEBHOOK, Url: "https://hooks.example/" + name}
}

// Propose implements Log.
func (w *world) Propose(ctx context.Context, c *wire.Command) (uint64, *state.Result, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down || ctx.Err() != nil {
		return 0, nil, fault.New(fault.Unavailable, "not now")
	}
	return w.write(c)
}

func (w *world) write(c *wire.Command) (uint64, *state.Result, error) {
	w.index++
	c.NowMs, c.Behaviour = w.clock().UnixMilli(), state.First
	data, err := proto.Marshal(c)
	if err != nil {
		return 0, nil, err
	}
	switch out := w.m.Apply(w.index, data).(type) {
	case *state.Result:
		return w.index, out, out.Err
	case *raftnode.Halt:
		return 0, nil, out.Err
	default:
		return 0, nil, fmt.Errorf("it gave %T", out)
	}
}

func (w *world) must(c *wire.Command) *wire.Answer {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	_, r, err := w.write(c)
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Answer
}

func (w *world) turn(t *wire.Turn) {
	w.t.Helper()
	w.must(&wire.Command{Body: &wire.Command_Turn{Turn: t}})
}

// submit makes the nodes, and a backfill of the first and what comes after it
// over so many days.
func (w *world) submit(days int32, notify []*wire.Subscription, nodes ...*wire.Node) uint64 {
	w.t.Helper()
	w.must(&wire.Command{Body: &wire.Command_ApplyNodes{ApplyNodes: &wire.ApplyNodes{Nodes: nodes}}})
	r := &wire.Request{Name: "orders", Mode: wire.Request_CURRENT, Root: nodes[0].Id, Dates: []*wire.DateRange{{From: 20000, To: 20000 + days - 1}}, Groups: 1, Gate: wire.Request_NONE, Notify: notify}
	if len(nodes) > 1 {
		r.Mode = wire.Request_DESCENDANTS
		for _, n := range nodes[1:] {
			r.Nodes = append(r.Nodes, n.Id)
		}
	}
	return w.accept(r)
}

func (w *world) accept(r *wire.Request) uint64 {
	w.t.Helper()
	const today = 20522 // 2026-03-10
	zones, err := plan.Zones(r, w.m.State().Graph(), "UTC", today, time.LoadLocation)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.must(&wire.Command{Actor: "ann", Body: &wire.Command_Submit{Submit: &wire.Submit{Request: r, Zones: zones, ClusterZone: "UTC", Today: today}}}).Plan
}

func daily(id string, ups ...string) *wire.Node {
	n := &wire.Node{Id: id, Code: "true"}
	for _, u := range ups {
		n.Upstreams = append(n.Upstreams, &wire.Upstream{Node: u})
	}
	return n
}

func (w *world) grant(p, i uint64) {
	w.t.Helper()
	w.turn(&wire.Turn{Grants: []*wire.Grant{{Plan: p, Instance: i, Agent: "a1", ResourceGroup: "default"}}})
}

// end ends what was granted.
func (w *world) end(p, i uint64, o wire.Outcome) {
	w.t.Helper()
	l, ok := w.m.State().Lease(p, i)
	if !ok {
		w.t.Fatalf("%d.%d does not run", p, i)
	}
	w.turn(&wire.Turn{Finishes: []*wire.Finish{{Plan: p, Instance: i, Fence: l.Fence, Outcome: o, ExitCode: 1, Cause: "exit status 1"}}})
}

func (w *world) run(p, i uint64, o wire.Outcome) {
	w.t.Helper()
	w.grant(p, i)
	w.end(p, i, o)
}

func (w *world) operate(p uint64, kind wire.Operate_Kind, instances ...uint64) {
	w.t.Helper()
	w.must(&wire.Command{Actor: "ann", Body: &wire.Command_Operate{Operate: &wire.Operate{Kind: kind, Targets: []*wire.Target{{Plan: p, Instances: instances}}}}})
}

func on(name string, occasions ...wire.Occasion) []*wire.Subscription {
	return []*wire.Subscription{{Channel: name, On: occasions}}
}

// due lists what is to be told, and puts it into the outbox.
func (w *world) due(set Settings) string {
	w.t.Helper()
	list := Due(w.m.State(), w.clock(), set)
	var texts []string
	for _, n := range list {
		texts = append(texts, n.Key+": "+n.Text)
	}
	if len(list) > 0 {
		w.must(&wire.Command{Body: &wire.Command_Notify{Notify: &wire.Notify{Notifications: list}}})
	}
	return strings.Join(texts, "\n")
}

func (w *world) outbox() (keys []string) {
	w.m.State().Notifications(0, func(n *wire.SnapshotNotification) bool {
		keys = append(keys, n.Notification.Key)
		return true
	})
	return keys
}
