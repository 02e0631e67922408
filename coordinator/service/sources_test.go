package service

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

func warehouse() *wire.DataSource {
	return &wire.DataSource{
		Name: "warehouse", Type: "postgres", Host: "db.example", Database: "shop", User: "etl", Password: &wire.Secret{Environment: "BACKFLEET_SECRET_W"},
	}
}

// queries has a node ask a data source.
func queries(source string) option {
	return func(n *wire.Node) { n.Type, n.Source, n.Code = "sql", source, "select 1" }
}

func TestDataSourcesAreListedShownAndRemoved(t *testing.T) {
	r := newRig(t, daily("a"))
	shown, index, err := r.PutDataSource(t.Context(), write("put"), warehouse())
	if err != nil || index != r.log.index || shown.Port != 5432 || shown.TLS != "verify" || shown.Nodes != 0 || shown.Password.Environment != "BACKFLEET_SECRET_W" {
		t.Fatalf("%+v %d %v", shown, index, err)
	}
	if again, at, err := r.PutDataSource(t.Context(), write("put"), warehouse()); err != nil || at != index || r.log.index != index || !reflect.DeepEqual(again, shown) {
		t.Errorf("sent again: %+v %d %v", again, at, err)
	}
	if _, _, err := r.PutDataSource(t.Context(), write("file"), &wire.DataSource{Name: "local", Type: "sqlite", Database: "/srv/shop.db"}); err != nil {
		t.Fatal(err)
	}
	r.apply(daily("q", queries("warehouse")), daily("r", queries("warehouse")))
	page, next, err := r.DataSources(t.Context(), "", server.Page{Limit: 1})
	if err != nil || len(page) != 1 || page[0].Name != "local" || next == "" {
		t.Fatalf("the first page: %+v %q %v", page, next, err)
	}
	if page, _, err = r.DataSources(t.Context(), "", server.Page{Limit: 9, Cursor: next}); err != nil || len(page) != 1 || page[0].Name != "warehouse" || page[0].Nodes != 2 {
		t.Errorf("the next page: %+v %v", page, err)
	}
	if some, _, _ := r.DataSources(t.Context(), "oca", server.Page{Limit: 9}); len(some) != 1 || some[0].Name != "local" {
		t.Errorf("those with oca: %+v", some)
	}
	if _, err := r.DataSource(t.Context(), "nowhere"); !fault.Is(err, fault.NotFound) {
		t.Errorf("one there is not: %v", err)
	}
	_, err = r.RemoveDataSource(t.Context(), write("remove"), "warehouse")
	var e *fault.Error
	if !errors.As(err, &e) || e.Code != fault.Conflict || len(e.Details) != 2 || e.Details[1].Field != `nodes["r"]` {
		t.Errorf("removed while nodes name it: %v", err)
	}
	if at, err := r.RemoveDataSource(t.Context(), write("remove local"), "local"); err != nil || at != r.log.index {
		t.Errorf("removed: %d %v", at, err)
	}
	if _, err := r.DataSource(t.Context(), "local"); !fault.Is(err, fault.NotFound) {
		t.Errorf("it is there still: %v", err)
	}
}

// TestR7_7_WhoWaitsForATypeSaysSo: beyond shell, agents say what they can run.
func TestR7_7_WhoWaitsForATypeSaysSo(t *testing.T) {
	a, days := daily("a"), "2021-01-11..2021-01-13"
	for _, c := range []struct {
		name  string
		nodes []*wire.Node
		setUp func(r *rig) (planID, instance uint64)
		state v1.State
		code  v1.ReasonCode
		text  string
	}{
		{"no agent can run the type", []*wire.Node{daily("a", queries("w"))}, func(r *rig) (uint64, uint64) {
			r.agent("a1", "default", 9, wire.Agent_READY)
			return r.submit(backfill("a", days)), 0
		}, v1.StateNotRunning, v1.ReasonCodeNoAgent,
			`no agent of resource group "default" can run type sql, for which it needs backfleet-task beside it, or the whole backfleet: ` +
				`start such an agent, or change the node`},
		{"who can run the type has not the labels", []*wire.Node{asks(daily("a", queries("w")), 1, "gpu", "true")}, func(r *rig) (uint64, uint64) {
			r.agent("a1", "default", 9, wire.Agent_READY)
			r.turn(&wire.Turn{Agents: []*wire.Agent{{
				Id: "a2", State: wire.Agent_READY, Labels: asks(a, 1, "backfleet/sql", "true").Requires, Groups: []*wire.GroupSlots{{Group: "default", Slots: 3}},
			}}})
			return r.submit(backfill("a", days)), 0
		}, v1.StateNotRunning, v1.ReasonCodeNoAgent,
			`it requires gpu=true, which no agent of resource group "default" that can run type sql has: start such an agent, or change the node`},
		{"who can run the type is busy", []*wire.Node{daily("a", queries("w")), daily("z")}, func(r *rig) (uint64, uint64) {
			r.agent("a2", "default", 9, wire.Agent_READY)
			r.turn(&wire.Turn{Agents: []*wire.Agent{{
				Id: "a1", State: wire.Agent_READY, Labels: asks(a, 1, "backfleet/sql", "true").Requires, Groups: []*wire.GroupSlots{{Group: "default", Slots: 1}},
			}}})
			r.start(r.submit(backfill("z", "2021-02-01")), 0)
			return r.submit(backfill("a", days)), 0
		}, v1.StateNotRunning, v1.ReasonCodeSlot,
			`waits for a slot of resource group "default": of 1 agent that could run it, the one with the most has 0 free; 1 of 10 used in all, 1st in line`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, c.nodes...)
			waits(t, r.detail(c.setUp(r)), c.state, c.code, c.text)
		})
	}
}

// A mistake does not even reach the log: what was meant to be secret stays out of
// it.
func TestADataSourceThatIsRefusedWritesNothing(t *testing.T) {
	r := newRig(t, daily("a"))
	index := r.log.index
	d := warehouse()
	d.Password.Environment = "hunter2"
	if _, _, err := r.PutDataSource(t.Context(), write("put"), d); !fault.Is(err, fault.Invalid) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
	if r.log.index != index {
		t.Error("a refused data source reached the log")
	}
}

func TestNodesMayNameDataSourcesThatComeLater(t *testing.T) {
	r := newRig(t, daily("a"))
	moves := daily("m", func(n *wire.Node) {
		n.Type, n.Code = "integration", ""
		n.Integration = &wire.Integration{From: &wire.IntegrationSource{Files: "/x/*.csv"}, To: &wire.IntegrationTarget{Source: "warehouse", Table: "t"}}
	})
	nodes := []*wire.Node{moves, daily("b", queries("elsewhere"))}
	want := []v1.Warning{
		{Code: "dataSource", Args: map[string]string{"node": "b", "source": "elsewhere"}, Field: `nodes["b"].source`, Message: `node "b": there is no data source "elsewhere" yet: until it is applied, what names it fails`},
		{Code: "dataSource", Args: map[string]string{"node": "m", "source": "warehouse"}, Field: `nodes["m"].integration.to.source`, Message: `node "m": there is no data source "warehouse" yet: until it is applied, what names it fails`},
	}
	tried, err := r.ApplyNodes(t.Context(), write("try"), nodes, nil, true)
	if err != nil || !reflect.DeepEqual(tried.Warnings, want) {
		t.Errorf("dry run: %+v %v", tried, err)
	}
	got, err := r.ApplyNodes(t.Context(), write("apply"), nodes, nil, false)
	if err != nil || !reflect.DeepEqual(got.Warnings, want) || got.Counts.Added != 2 {
		t.Errorf("applied: %+v %v", got, err)
	}
	if again, err := r.ApplyNodes(t.Context(), write("apply"), nodes, nil, false); err != nil || !reflect.DeepEqual(again, got) {
		t.Errorf("sent again: %+v %v", again, err)
	}
	if p := r.preview(backfill("b", "2021-01-01")); !reflect.DeepEqual(warned(p, "dataSource"), []string{`there is no data source "elsewhere" yet: until it is applied, what names it fails`}) {
		t.Errorf("the preview warns of %q", warned(p, "dataSource"))
	}
	d := warehouse()
	d.Name = "elsewhere"
	if _, _, err := r.PutDataSource(t.Context(), write("put"), d); err != nil {
		t.Fatal(err)
	}
	if p := r.preview(backfill("b", "2021-01-01")); len(warned(p, "dataSource")) != 0 {
		t.Errorf("it is there, and the preview warns of %q", warned(p, "dataSource"))
	}
}

func TestMetricsAreShownWithAttemptAndInstance(t *testing.T) {
	r := newRig(t, daily("a", retries(2, 0)))
	r.agent("a1", "default", 1, wire.Agent_READY)
	id := r.submit(backfill("a", "2021-01-11"))
	ends := func(o wire.Outcome, metrics ...*wire.Metric) {
		r.start(id, 0)
		l, _ := r.m.State().Lease(id, 0)
		r.turn(&wire.Turn{Finishes: []*wire.Finish{{Plan: id, Instance: 0, Fence: l.Fence, Outcome: o, Metrics: metrics}}})
	}
	ends(failed, &wire.Metric{Name: "rows_written", Value: "17"}, &wire.Metric{Name: "bytes", Value: "4"})
	ends(failed)
	want := []v1.Assignment{{Name: "rows_written", Value: "17"}, {Name: "bytes", Value: "4"}}
	d := r.detail(id, 0)
	if len(d.Attempts) != 2 || !reflect.DeepEqual(d.Attempts[0].Metrics, want) || d.Attempts[1].Metrics != nil || !reflect.DeepEqual(d.Instance.Metrics, want) {
		t.Errorf("%+v", d)
	}
	ends(ok, &wire.Metric{Name: "rows_written", Value: "18"})
	list, _, err := r.Instances(t.Context(), id, server.InstanceFilter{}, server.Page{Limit: 9})
	if err != nil || len(list) != 1 || !reflect.DeepEqual(list[0].Metrics, []v1.Assignment{{Name: "rows_written", Value: "18"}}) {
		t.Errorf("%+v %v", list, err)
	}
}
