package dispatch

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"backfleet/pkg/wire"
)

func (b *bench) source(d *wire.DataSource) {
	b.t.Helper()
	b.write(&wire.Command{Body: &wire.Command_PutDataSource{PutDataSource: &wire.PutDataSource{Source: d}}})
}

func file(name, path string) *wire.DataSource {
	return &wire.DataSource{Name: name, Type: "sqlite", Database: path, ResourceGroups: []string{"elsewhere"}}
}

// able is an agent that can run types of nodes.
func able(types ...string) *wire.Agent {
	a := &wire.Agent{Id: "x", Incarnation: "k"}
	for _, t := range types {
		a.Labels = append(a.Labels, &wire.Assignment{Name: "backfleet/" + t, Value: "true"})
	}
	return a
}

// next gives the definitions sent since it was last asked, and the definition of
// the only attempt among that work, which it then lets succeed.
func (b *bench) next(c Conn) (sent []*wire.Definition, of uint64) {
	b.t.Helper()
	b.turns()
	for _, m := range b.sent[c] {
		sent = append(sent, m.GetAssign().GetDefinitions()...)
	}
	_, work, _, _ := b.take(c)
	if len(work) != 1 {
		b.t.Fatalf("%d attempts, want one", len(work))
	}
	b.core.Report(c, &wire.Report{Results: []*wire.AttemptResult{ended(work[0].Ref, wire.Outcome_SUCCEEDED)}}, b.now)
	return sent, work[0].Definition
}

func paths(d *wire.Definition) (out []string) {
	for _, s := range d.Sources {
		out = append(out, s.Database)
	}
	return out
}

// An agent learns of the data sources that a node names with the node, and of a
// change with the next attempt.
func TestDataSourcesComeWithTheNode(t *testing.T) {
	move := &wire.Node{Id: "a", Type: "integration", Slots: 2, Integration: &wire.Integration{
		From: &wire.IntegrationSource{Source: "from", Query: "select 1"}, To: &wire.IntegrationTarget{Source: "to", Table: "t"},
	}}
	b := newBench(t, move)
	c := b.helloAs(able("integration"))
	b.source(file("from", "/one"))
	b.source(file("unnamed", "/other"))
	b.turns()
	b.take(c)
	b.submit(6, &wire.Request{Root: "a"})
	sent, first := b.next(c)
	if len(sent) != 1 || !slices.Equal(paths(sent[0]), []string{"/one"}) {
		t.Fatalf("got %v, want the one that exists", sent)
	}
	b.source(file("unnamed", "/changed"))
	b.source(file("from", "/one")) // as it is
	if sent, again := b.next(c); len(sent) != 0 || again != first {
		t.Fatalf("nothing of it has changed: got %v, definition %d after %d", sent, again, first)
	}
	b.source(file("to", "/two"))
	sent, second := b.next(c)
	if len(sent) != 1 || second == first || !slices.Equal(paths(sent[0]), []string{"/one", "/two"}) {
		t.Fatalf("got %v under %d after %d, want both", sent, second, first)
	}
	b.source(file("from", "/three"))
	sent, third := b.next(c)
	if len(sent) != 1 || third == second || !slices.Equal(paths(sent[0]), []string{"/three", "/two"}) {
		t.Fatalf("got %v under %d after %d, want what was changed", sent, third, second)
	}
}

// TestR1_6_NewerCodeNamesItsOwnDataSource: where it runs is part of what runs.
func TestR1_6_NewerCodeNamesItsOwnDataSource(t *testing.T) {
	query := func(source, code string) *wire.Node {
		return &wire.Node{Id: "a", Type: "sql", Source: source, Code: code, Slots: 2, Secrets: []string{"KEY"}}
	}
	b := newBench(t, query("one", "select 1"))
	c := b.helloAs(able("sql"))
	b.source(file("one", "/one"))
	b.source(file("two", "/two"))
	b.turns()
	b.take(c)
	b.submit(3, &wire.Request{Root: "a"})
	b.next(c)
	newer := query("two", "select 2")
	newer.Secrets, newer.Sql = nil, &wire.Sql{Transaction: true}
	b.write(&wire.Command{Body: &wire.Command_ApplyNodes{ApplyNodes: &wire.ApplyNodes{Nodes: []*wire.Node{newer}}}})
	sent, _ := b.next(c)
	if len(sent) != 1 || !slices.Equal(paths(sent[0]), []string{"/two"}) {
		t.Fatalf("got %v", sent)
	}
	if n := sent[0].Node; n.Code != "select 2" || n.Source != "two" || !n.Sql.GetTransaction() || !slices.Equal(n.Secrets, []string{"KEY"}) {
		t.Errorf("it runs %v", n)
	}
}

// TestNoFieldOfANodeIsForgotten: what newer code brings along, and what is pinned,
// is all that an agent may ask for.
func TestNoFieldOfANodeIsForgotten(t *testing.T) {
	full := &wire.Node{}
	m := full.ProtoReflect()
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case f.IsList() && f.Message() != nil:
			list := m.Mutable(f).List()
			list.Append(list.NewElement())
		case f.IsList():
			m.Mutable(f).List().Append(protoreflect.ValueOfString("x"))
		case f.Message() != nil:
			m.Mutable(f)
		case f.Kind() == protoreflect.StringKind:
			m.Set(f, protoreflect.ValueOfString("x"))
		case f.Kind() == protoreflect.BoolKind:
			m.Set(f, protoreflect.ValueOfBool(true))
		case f.Kind() == protoreflect.EnumKind:
			m.Set(f, protoreflect.ValueOfEnum(1))
		case f.Kind() == protoreflect.Uint32Kind:
			m.Set(f, protoreflect.ValueOfUint32(1))
		case f.Kind() == protoreflect.Int64Kind, f.Kind() == protoreflect.Sint64Kind:
			m.Set(f, protoreflect.ValueOfInt64(1))
		default:
			m.Set(f, protoreflect.ValueOfInt32(1))
		}
	}
	idle := []string{"description", "upstreams", "mode", "retries", "retry_delay_ms", "auto", "depends_on_children", "notify"}
	out := withCode(full, proto.CloneOf(full)).ProtoReflect()
	for i := range fields.Len() {
		f := fields.Get(i)
		if out.Has(f) == slices.Contains(idle, string(f.Name())) {
			t.Errorf("%s is sent with newer code: %v", f.Name(), out.Has(f))
		}
	}
}

// TestMetricsAreAFactWithinBounds: an agent is not believed that it kept to them.
func TestMetricsAreAFactWithinBounds(t *testing.T) {
	b, c, held := working(t)
	good := []*wire.Metric{{Name: "rows_written", Value: "17"}, {Name: "checksum", Value: "ab cd"}}
	for i, list := range [][]*wire.Metric{
		good,
		{{Name: "bad name", Value: "1"}, {Name: "huge", Value: strings.Repeat("x", 1<<20)}, good[0], {Name: "rows_written", Value: "18"}},
	} {
		r := ended(held[i], wire.Outcome_SUCCEEDED)
		r.Metrics = list
		b.core.Report(c, &wire.Report{Results: []*wire.AttemptResult{r}}, b.now)
	}
	turn := b.core.Turn(b.now)
	if len(turn.Finishes) != 2 || proto.Size(turn) > 1000 {
		t.Fatalf("a turn of %d bytes: %d finishes", proto.Size(turn), len(turn.Finishes))
	}
	r, _ := b.apply(&wire.Command{Body: &wire.Command_Turn{Turn: turn}})
	b.send(b.core.Committed(b.st, r.Changes, r.Refused, b.now))
	p, _ := b.st.Plan(1)
	for i, want := range [][]*wire.Metric{good, good[:1]} {
		a := b.st.Attempts(p, uint64(i))
		if len(a) != 1 || !slices.EqualFunc(a[0].Metrics, want, func(x, y *wire.Metric) bool { return proto.Equal(x, y) }) {
			t.Errorf("attempts of b1.%d: %v, want metrics %v", i, a, want)
		}
	}
}
