package dbt_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"backfleet/pkg/dbt"
	"backfleet/pkg/fault"
	"backfleet/pkg/node"
)

// shop is our own project: one resource at least for every rule.
func shop(t *testing.T) *dbt.Manifest {
	t.Helper()
	f, err := os.Open("testdata/shop.json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := dbt.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func made(t *testing.T, m *dbt.Manifest, o dbt.Options) *dbt.Import {
	t.Helper()
	i, err := m.Nodes(o)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// outline writes an import as the golden files have it.
func outline(i *dbt.Import) string {
	var b strings.Builder
	for _, n := range i.Nodes {
		s := n.Spec
		fmt.Fprintf(&b, "%s\n  name %s\n  of %s\n", s.Id, s.Name, n.Origin)
		if s.Owner != "" {
			fmt.Fprintf(&b, "  owner %s\n", s.Owner)
		}
		if s.Type != node.Shell {
			fmt.Fprintf(&b, "  type %s\n", s.Type)
		}
		for _, u := range s.Upstreams {
			fmt.Fprintf(&b, "  after %s\n", u.Node)
		}
		if s.Code != "" {
			fmt.Fprintf(&b, "  runs %s", s.Code)
		}
	}
	for _, c := range i.Counts {
		fmt.Fprintf(&b, "%s: %d found, %d taken, %d nodes, left out %v\n", c.Kind, c.Found, c.Taken, c.Nodes, c.Left)
	}
	fmt.Fprintf(&b, "%d edges\n", i.Edges)
	for _, w := range i.Warnings {
		fmt.Fprintf(&b, "warning: %s: %s\n", w.Field, w.Message)
	}
	return b.String()
}

func TestWhatBecomesOfAProject(t *testing.T) {
	for file, o := range map[string]dbt.Options{
		"testdata/models.golden": {Command: "dbt {{.Verb}} {{.Select}}"},
		"testdata/all.golden":    {Command: "{{.Kind}} {{.Name}} {{.Select}}", Kinds: []string{"model", "seed", "snapshot", "test", "source"}},
		"testdata/views.golden":  {Command: "{{.Select}}", Kinds: []string{"model", "source"}, Through: []string{"view"}, Select: []string{"*orders*"}},
	} {
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := outline(made(t, shop(t), o)); got != string(want) {
			t.Errorf("%s:\ngot\n%s\nwant\n%s", file, got, want)
		}
	}
}

func TestWhatAllNodesHaveInCommon(t *testing.T) {
	i := made(t, shop(t), dbt.Options{
		Workspace: "dwh", ResourceGroup: "warehouse", Baseline: "core", Priority: 7, Retries: 2, Daily: "02:30", Auto: true, DependsOnSelf: true,
		ProjectDir: "/srv/my dbt",
	})
	for _, n := range i.Nodes {
		s := n.Spec
		if s.Workspace != "dwh" || s.ResourceGroup != "warehouse" || s.Baseline != "core" || s.Priority != 7 || s.Retries != 2 || s.Schedule.At != 2*3600+30*60 || !s.Auto {
			t.Errorf("%s: %v", s.Id, s)
		}
		if want := strings.HasPrefix(n.Origin, "model.shop.order_items,") || strings.HasPrefix(n.Origin, "snapshot."); s.DependsOnSelf != want {
			t.Errorf("%s depends on itself: %v", s.Id, s.DependsOnSelf)
		}
	}
	first := i.Nodes[slices.IndexFunc(i.Nodes, func(n dbt.Node) bool { return n.Spec.Id == "model.shop.stg_orders" })].Spec
	want := `exec dbt run --project-dir '/srv/my dbt' --select fqn:shop.staging.stg_orders --vars '{"ds": "${ds}"}' --target-path "$PWD/target" --log-path "$PWD/logs"` + "\n"
	if first.Code != want || len(first.Params) != 1 || first.Params[0].Value != "${yyyy-mm-dd}" {
		t.Errorf("got %v %q\nwant %q", first.Params, first.Code, want)
	}
	for _, n := range made(t, shop(t), dbt.Options{}).Nodes {
		if n.Spec.Workspace != n.Package {
			t.Errorf("%s is in workspace %s: expected its package", n.Spec.Id, n.Spec.Workspace)
		}
	}
}

func TestSelect(t *testing.T) {
	for _, c := range []struct {
		selects []string
		want    string
	}{
		{[]string{"tag:nightly"}, "orders stg_orders"},
		{[]string{"tag:night*"}, "orders stg_orders"},
		{[]string{"tag:finance team"}, "stg_orders"},
		{[]string{"path:models/marts"}, "order_items orders"},
		{[]string{"path:models/marts/"}, "order_items orders"},
		{[]string{"path:models/*/orders.sql"}, "orders"},
		{[]string{"path:seeds"}, "rates"},
		{[]string{"package:oth*"}, "events"},
		{[]string{"order_*"}, "order_items order_report"},
		{[]string{"customers"}, "customers.v1 customers.v2"},
		{[]string{"customers.v2"}, "customers.v2"},
		{[]string{"tag:nightly,path:models/marts"}, "orders"},
		{[]string{"tag:nightly,path:models/marts", "rates"}, "orders rates"},
	} {
		var names []string
		for _, n := range made(t, shop(t), dbt.Options{Select: c.selects}).Nodes {
			name, _, _ := strings.Cut(n.Spec.Name, " #")
			names = append(names, name)
		}
		slices.Sort(names)
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%q: got %s, want %s", c.selects, got, c.want)
		}
	}
}

// TestOrderPassesThroughWhatIsLeftOut: order_items reads orders, which reads
// stg_orders, itself and through an ephemeral model.
func TestOrderPassesThroughWhatIsLeftOut(t *testing.T) {
	i := made(t, shop(t), dbt.Options{Select: []string{"stg_orders", "order_items"}})
	last := i.Nodes[0].Spec
	if len(i.Nodes) != 2 || i.Edges != 1 || last.Id != "model.shop.order_items" || last.Upstreams[0].Node != "model.shop.stg_orders" {
		t.Errorf("got %s", outline(i))
	}
}

func TestOptionsAreRefusedByField(t *testing.T) {
	for _, c := range []struct {
		o    dbt.Options
		want string
	}{
		{dbt.Options{Kinds: []string{"models"}}, `kinds: "models" is no kind (did you mean "model"?)`},
		{dbt.Options{Select: []string{"tags:x"}}, `select: "tags:x": there is no method "tags" (did you mean "tag"?)`},
		{dbt.Options{Select: []string{"custmers"}}, `select: "custmers": nothing in the project agrees with it (did you mean "customers"?)`},
		{dbt.Options{Select: []string{"tag:nihgtly"}}, `(did you mean "tag:nightly"?)`},
		{dbt.Options{Select: []string{"+orders"}}, "graph's operators"},
		{dbt.Options{Select: []string{"orders+"}}, "graph's operators"},
		{dbt.Options{Select: []string{"[orders"}}, "expected tag:NAME"},
		{dbt.Options{Select: []string{"tag:"}}, "expected tag:NAME"},
		{dbt.Options{Select: []string{""}}, "expected tag:NAME"},
		{dbt.Options{Select: []string{"int_orders"}}, "none of the project's 26 resources becomes a node: model: "},
		{dbt.Options{Command: "dbt {{.Selector}}"}, "command: "},
		{dbt.Options{Command: "dbt {{.Select"}, "command: "},
		{dbt.Options{Command: "{{if .Kind}}{{else}}x{{end}}"}, "command: it gives no code for a model"},
		{dbt.Options{Command: "dbt $[yyyy"}, "code: "},
		{dbt.Options{Environment: []string{"DBT"}}, `environment: "DBT" has no name and value`},
		{dbt.Options{Environment: []string{"BACKFLEET_X=1"}}, "environment.BACKFLEET_X: "},
		{dbt.Options{Daily: "25:00"}, "daily: "},
		{dbt.Options{Baseline: "core"}, "baseline.priority: 0 is no priority"},
		{dbt.Options{Retries: -1}, "retries: -1"},
		{dbt.Options{Workspace: " x"}, "workspace: "},
	} {
		i, err := shop(t).Nodes(c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) || !fault.Is(err, fault.Invalid) || i != nil {
			t.Errorf("%+v: got %v, want %s", c.o, err, c.want)
		}
	}
}

// project is a small manifest: models by what they depend on.
func project(t *testing.T, models map[string][]string, change func(id string, model map[string]any)) *dbt.Manifest {
	t.Helper()
	nodes := map[string]any{}
	for id, parents := range models {
		kind, rest, _ := strings.Cut(id, ".")
		pkg, name, _ := strings.Cut(rest, ".")
		model := map[string]any{"resource_type": kind, "package_name": pkg, "name": name, "fqn": []string{pkg, name},
			"original_file_path": "models/" + name + ".sql", "depends_on": map[string]any{"nodes": parents}}
		if change != nil {
			change(id, model)
		}
		nodes[id] = model
	}
	text, err := json.Marshal(map[string]any{"metadata": map[string]any{"dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v11.json"}, "nodes": nodes})
	if err != nil {
		t.Fatal(err)
	}
	m, err := dbt.Read(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestCirclesAreRefused(t *testing.T) {
	m := project(t, map[string][]string{"model.p.a": {"model.p.b"}, "model.p.b": {"model.p.a"}}, nil)
	if _, err := m.Nodes(dbt.Options{}); err == nil || !strings.Contains(err.Error(), "model.p.a → model.p.b → model.p.a") {
		t.Errorf("got %v", err)
	}
	_, err := m.Nodes(dbt.Options{Select: []string{"a"}})
	if err == nil || !strings.Contains(err.Error(), "model.p.a depends on itself, through model.p.b") {
		t.Errorf("through one that was left out: %v", err)
	}
}

// TestATestHoldsBackWhatReadsAllItTests: of two tests over a and b, and what
// reads a, b or both.
func TestATestHoldsBackWhatReadsAllItTests(t *testing.T) {
	m := project(t, map[string][]string{
		"model.p.a": nil, "model.p.b": nil, "model.p.one": {"model.p.a"}, "model.p.both": {"model.p.a", "model.p.b"}, "model.p.far": {"model.p.one"},
		"test.p.of_a.1": {"model.p.a"}, "test.p.of_both.2": {"model.p.b", "model.p.a"},
	}, nil)
	i := made(t, m, dbt.Options{Kinds: []string{"model", "test"}})
	got := map[string]string{}
	for _, n := range i.Nodes {
		var up []string
		for _, u := range n.Spec.Upstreams {
			up = append(up, strings.NewReplacer("model.p.", "", "test.", "test:").Replace(u.Node))
		}
		got[n.Spec.Id] = strings.Join(up, " ")
	}
	want := map[string]string{
		"model.p.a": "", "model.p.b": "", "model.p.far": "one",
		"model.p.one":      "a test:a",
		"model.p.both":     "a b test:a test:p.of_both.2",
		"test.model.p.a":   "a",
		"test.p.of_both.2": "a b",
	}
	for id, up := range want {
		if g, there := got[id]; g != up || !there {
			t.Errorf("%s: got %q (%v), want %q", id, g, there, up)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %v", got)
	}
}

// TestForeignTextIsMadeToFit: what a node may not have is cut, and a name that
// would mean something to a shell never reaches one.
func TestForeignTextIsMadeToFit(t *testing.T) {
	long := strings.Repeat("é", 5000)
	m := project(t, map[string][]string{"model.p.a": nil, "model.p.$(touch x)": nil, "model.p.-rf": nil, "model.p.it's": nil, "model.p." + strings.Repeat("n", 300): nil},
		func(id string, model map[string]any) {
			model["description"] = " a\x00b " + long
			model["meta"] = map[string]any{"owner": "a\tb\n" + long}
			model["tags"] = []string{"two words", long, "last", ""}
		})
	i := made(t, m, dbt.Options{})
	if len(i.Nodes) != 2 || len(i.Warnings) != 3 {
		t.Fatalf("got %s", outline(i))
	}
	a := i.Nodes[0].Spec
	if a.Name != "a #last #two_words" || !strings.HasPrefix(a.Description, "ab é") || !strings.HasSuffix(a.Description, "é…") || len(a.Description) > node.MaxText ||
		!strings.HasPrefix(a.Owner, "a b é") || len(a.Owner) > node.MaxName {
		t.Errorf("got name %q, owner %q, description %.20q…", a.Name, a.Owner, a.Description)
	}
	if id := i.Nodes[1].Spec.Id; len(id) != 128 || !strings.HasPrefix(id, "model.p.nnn") {
		t.Errorf("got id %q", id)
	}
}
