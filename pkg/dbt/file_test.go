package dbt_test

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"backfleet/pkg/dbt"
	"backfleet/pkg/node"
	"backfleet/pkg/wire"
)

// reread gives the nodes that the files say, by id.
func reread(t interface{ Fatal(...any) }, m *dbt.Manifest, nodes []dbt.Node) map[string]*wire.Node {
	files, err := m.Files(nodes)
	if err != nil {
		t.Fatal(err)
	}
	system := fstest.MapFS{}
	for name, text := range files {
		if !strings.HasPrefix(string(text), m.Mark()) {
			t.Fatal(name, "has no mark")
		}
		system[name] = &fstest.MapFile{Data: text}
	}
	read, _, err := node.Read(system, ".", node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]*wire.Node{}
	for _, n := range read.Nodes {
		by[n.Id] = n
	}
	return by
}

// TestFilesSayTheSame: what node apply reads is what --apply applies.
func TestFilesSayTheSame(t *testing.T) {
	m := shop(t)
	for _, o := range []dbt.Options{
		{Kinds: []string{"model", "seed", "snapshot", "test", "source"}},
		{Workspace: "no", Baseline: "007", Priority: 8, Retries: 3, Auto: true, Daily: "23:59:59", DependsOnSelf: true, ResourceGroup: "null", Environment: []string{"A=", "B= x\n y", "C=007=null"}, Command: "  echo {{.Name}}\n\n\techo done"},
	} {
		i := made(t, m, o)
		read := reread(t, m, i.Nodes)
		if len(read) != len(i.Nodes) {
			t.Errorf("%d nodes of %d", len(read), len(i.Nodes))
		}
		for _, n := range i.Nodes {
			if got := read[n.Spec.Id]; !proto.Equal(got, n.Spec) {
				t.Errorf("got  %v\nwant %v", got, n.Spec)
			}
		}
	}
}

// TestAnyTextIsWrittenSoThatItIsRead: descriptions are whatever people wrote.
func TestAnyTextIsWrittenSoThatItIsRead(t *testing.T) {
	m := shop(t)
	i := made(t, m, dbt.Options{Select: []string{"orders_snapshot"}})
	texts := rapid.OneOf(rapid.StringMatching(`[ \t\n\r#:'"|>a-]{0,30}`), rapid.StringN(0, 40, 200))
	rapid.Check(t, func(t *rapid.T) {
		n := i.Nodes[0]
		n.Spec = proto.CloneOf(n.Spec)
		n.Spec.Description = strings.ReplaceAll(texts.Draw(t, "description"), "\x00", "")
		if got := reread(t, m, []dbt.Node{n})[n.Spec.Id]; !proto.Equal(got, n.Spec) {
			t.Fatalf("got %q, want %q", got.Description, n.Spec.Description)
		}
	})
}

// TestTheDefaultCommandIsDocumented where people read what to replace.
func TestTheDefaultCommandIsDocumented(t *testing.T) {
	text, err := os.ReadFile("DESIGN.md")
	if err != nil || !strings.Contains(string(text), dbt.DefaultCommand) {
		t.Errorf("DESIGN.md does not have %s (%v)", dbt.DefaultCommand, err)
	}
}
