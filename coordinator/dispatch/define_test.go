package dispatch

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"backfleet/pkg/wire"
)

// mind is what an agent remembers of definitions, message by message.
type mind map[uint64]*wire.Definition

func (m mind) read(t *testing.T, messages []*wire.LeaderMessage) (work []*wire.Work) {
	t.Helper()
	for _, msg := range messages {
		a := msg.GetAssign()
		for _, d := range a.GetDefinitions() {
			if m[d.Id] != nil {
				t.Fatalf("definition %d is sent again though it was not forgotten", d.Id)
			}
			m[d.Id] = d
		}
		for _, w := range a.GetWork() {
			if m[w.Definition] == nil {
				t.Fatalf("work of definition %d, which the agent does not know", w.Definition)
			}
		}
		work = append(work, a.GetWork()...)
		for _, id := range a.GetForget() {
			if m[id] == nil {
				t.Fatalf("definition %d is to be forgotten and is not known", id)
			}
			delete(m, id)
		}
	}
	return work
}

// through runs plans of a node, one after the other, each to its end.
func (b *bench) through(c Conn, m mind, node string, plans int) {
	b.t.Helper()
	for range plans {
		b.submit(1, &wire.Request{Root: node})
		b.turns()
		work := m.read(b.t, b.sent[c])
		delete(b.sent, c)
		if len(work) != 1 {
			b.t.Fatalf("%d attempts, want one", len(work))
		}
		b.core.Report(c, &wire.Report{Results: []*wire.AttemptResult{ended(work[0].Ref, wire.Outcome_SUCCEEDED)}}, b.now)
		b.turns()
		m.read(b.t, b.sent[c])
		delete(b.sent, c)
	}
}

// A session lives through plan after plan for months: what it and its agent
// remember of them does not grow.
func TestDefinitionsAreForgotten(t *testing.T) {
	b := newBench(t, job)
	c, m := b.hello("x", "k1"), mind{}
	b.turns()
	b.through(c, m, "a", mostDefined+100)
	if len(m) != mostDefined || len(b.core.definitions.all) != mostDefined {
		t.Errorf("the agent knows %d definitions, the leader %d, want %d", len(m), len(b.core.definitions.all), mostDefined)
	}
	b.core.Gone(c)
	if n := len(b.core.definitions.all); n != 0 {
		t.Errorf("%d definitions are kept for nobody", n)
	}
}

func TestDefinitionsAreBoundedInBytes(t *testing.T) {
	b := newBench(t, &wire.Node{Id: "a", Code: strings.Repeat("# long\n", 30_000)})
	c, m := b.hello("x", "k1"), mind{}
	b.turns()
	b.through(c, m, "a", 40)
	total := 0
	for _, d := range m {
		total += proto.Size(d)
	}
	if len(m) < 2 || total > mostDefinedBytes {
		t.Errorf("the agent knows %d definitions of %d bytes, want at most %d bytes", len(m), total, mostDefinedBytes)
	}
}

// More definitions than a session remembers come in one message, some of them
// twice: the agent knows each when it gets to its work.
func TestDefinitionsForgottenInTheSameMessage(t *testing.T) {
	nodes := []*wire.Node{{Id: "root", Code: "true"}}
	for i := range mostDefined + 50 {
		nodes = append(nodes, &wire.Node{Id: "n" + string(rune('a'+i%26)) + strings.Repeat("x", i/26), Code: "true", Upstreams: []*wire.Upstream{{Node: "root"}}})
	}
	b := newBench(t, nodes...)
	b.conns++
	c, m := b.conns, mind{}
	b.send(b.core.Hello(c, &wire.Hello{Agent: &wire.Agent{Id: "x", Incarnation: "k", Groups: []*wire.GroupSlots{{Group: "default", Slots: 5000}}}}, b.now))
	b.turns()
	b.submit(2, &wire.Request{Mode: wire.Request_DESCENDANTS, Root: "root", Gate: wire.Request_NONE})
	for range 4 {
		b.turns()
		var done []*wire.AttemptResult
		for _, w := range m.read(t, b.sent[c]) {
			done = append(done, ended(w.Ref, wire.Outcome_SUCCEEDED))
		}
		delete(b.sent, c)
		b.core.Report(c, &wire.Report{Results: done}, b.now)
	}
	p, _ := b.st.Plan(1)
	if total := p.Total(); !p.Succeeded() {
		t.Errorf("%d of %d instances succeeded", total.Success(), p.Size())
	}
}
