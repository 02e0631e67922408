package state

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

func warehouse(change ...func(*wire.DataSource)) *wire.DataSource {
	d := &wire.DataSource{
		Name: "warehouse", Type: "mariadb", Host: "db.example", Database: "shop", User: "etl",
		Password: &wire.Secret{Environment: "BACKFLEET_SECRET_WAREHOUSE"}, ResourceGroups: []string{"etl", "bi"},
	}
	for _, c := range change {
		c(d)
	}
	return d
}

// query is a node that asks a data source.
func query(id, source string, ups ...string) *wire.Node {
	n := daily(id, ups...)
	n.Type, n.Source, n.Code = "sql", source, "select 1"
	return n
}

func TestDataSourcesArePutAndReplaced(t *testing.T) {
	m := ready(t, daily("a"))
	if r := m.do(putSource(warehouse())); r.Err != nil || len(r.Changes) != 1 || r.Changes[0].Kind != SourcesChanged {
		t.Fatalf("put: %+v", r)
	}
	got, ok := m.s.DataSource("warehouse")
	if !ok || got.Type != "mysql" || got.Port != 3306 || got.Tls != "verify" || !slices.Equal(got.ResourceGroups, []string{"bi", "etl"}) {
		t.Fatalf("it is %v", got)
	}
	if r := m.do(putSource(warehouse())); r.Err != nil || len(r.Changes) != 0 {
		t.Errorf("put as it is: %+v", r)
	}
	if same, _ := m.s.DataSource("warehouse"); same != got {
		t.Error("put as it is, it is another message: agents would be told of it anew")
	}
	m.must(putSource(warehouse(func(d *wire.DataSource) { d.Host = "other.example" })))
	if other, _ := m.s.DataSource("warehouse"); other == got || other.Host != "other.example" {
		t.Errorf("replaced, it is %v", other)
	}
	if got.Host != "db.example" {
		t.Error("an older State was changed")
	}
	err := m.refused(fault.Invalid, putSource(warehouse(func(d *wire.DataSource) { d.Password.Environment = "hunter2" })))
	if len(err.Details) != 1 || err.Details[0].Field != "password.environment" || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a password in clear: %v", err)
	}
	m.refused(fault.Invalid, &wire.Command{Body: &wire.Command_PutDataSource{PutDataSource: &wire.PutDataSource{}}})
	m.must(putSource(&wire.DataSource{Name: "local", Type: "sqlite", Database: "/srv/shop.db"}))
	var names []string
	again := restored(t, m.s)
	again.DataSources(func(d *wire.DataSource) {
		names = append(names, d.Name)
		if own, _ := m.s.DataSource(d.Name); !proto.Equal(own, d) {
			t.Errorf("restored, it is %v", d)
		}
	})
	if !slices.Equal(names, []string{"local", "warehouse"}) || again.Hash() != m.s.Hash() {
		t.Errorf("restored: %v", names)
	}
}

func TestADataSourceThatANodeNamesStays(t *testing.T) {
	m := ready(t, daily("a"))
	m.refused(fault.NotFound, removeSource("warehouse"))
	m.must(apply(query("early", "warehouse"))) // sources may come later
	m.must(putSource(warehouse()))
	if err := m.refused(fault.Conflict, removeSource("warehouse")); !strings.Contains(err.Error(), "named by a node") || err.Details[0].Field != `nodes["early"]` {
		t.Errorf("%v", err)
	}
	var nodes []*wire.Node
	for i := range 12 {
		nodes = append(nodes, query(fmt.Sprintf("n%02d", i), "warehouse"))
	}
	moves := daily("moves")
	moves.Type, moves.Code = "integration", ""
	moves.Integration = &wire.Integration{
		From: &wire.IntegrationSource{Source: "warehouse", Query: "select 1"}, To: &wire.IntegrationTarget{Source: "elsewhere", Table: "t"},
	}
	m.must(apply(append(nodes, moves)...))
	err := m.refused(fault.Conflict, removeSource("warehouse"))
	if len(err.Details) != 11 || err.Details[0].Field != `nodes["early"]` || err.Details[9].Field != `nodes["n07"]` ||
		!strings.Contains(err.Message, "14 nodes") || !strings.Contains(err.Details[10].Message, "4 more") {
		t.Errorf("%v", err)
	}
	if use := m.s.SourceUse(); use["warehouse"] != 14 || use["elsewhere"] != 1 || len(use) != 2 {
		t.Errorf("use: %v", use)
	}
	remove := []string{"early", "moves"}
	for _, n := range nodes {
		remove = append(remove, n.Id)
	}
	m.must(&wire.Command{Body: &wire.Command_ApplyNodes{ApplyNodes: &wire.ApplyNodes{Remove: remove}}})
	if r := m.do(removeSource("warehouse")); r.Err != nil || len(r.Changes) != 1 || r.Changes[0].Kind != SourcesChanged {
		t.Errorf("removed: %+v", r)
	}
	if _, ok := m.s.DataSource("warehouse"); ok {
		t.Error("it is there still")
	}
	m.refused(fault.NotFound, removeSource("warehouse"))
}

// TestR7_7_ATypeIsALabel: who cannot run a type is granted nothing of it.
func TestR7_7_ATypeIsALabel(t *testing.T) {
	m := ready(t, query("q", "warehouse"))
	m.must(submit(current("q", 2)))
	g := &wire.Grant{Plan: 1, Instance: 0, Agent: "a1", ResourceGroup: "default"}
	if r := m.do(turn(&wire.Turn{Grants: []*wire.Grant{g}})); len(r.Refused) != 1 || !strings.Contains(r.Refused[0].Err.Error(), "backfleet/sql=true") {
		t.Fatalf("without the label: %+v", r)
	}
	able := agent("a1", 10)
	able.Labels = []*wire.Assignment{{Name: "backfleet/sql", Value: "true"}}
	m.must(turn(&wire.Turn{Agents: []*wire.Agent{able}, Grants: []*wire.Grant{g}}))
	m.status(1, 0, Running)
}

// TestR1_6_AnotherTypeIsNoNewerCode: the agent was chosen for what the plan pins.
func TestR1_6_AnotherTypeIsNoNewerCode(t *testing.T) {
	m := ready(t, daily("a"))
	m.must(submit(current("a", 3)))
	newer := daily("a")
	newer.Code = "echo newer"
	m.must(apply(newer))
	m.grant(1, 0)
	if l := lease(t, m.s, 1, 0); l.Version != 2 {
		t.Errorf("newer code is version %d", l.Version)
	}
	m.must(apply(query("a", "warehouse")))
	m.grant(1, 1)
	if l := lease(t, m.s, 1, 1); l.Version != 1 {
		t.Errorf("of another type it is version %d, expected the pinned one", l.Version)
	}
}
