package state

import (
	"testing"

	"backfleet/pkg/wire"
)

const golden5 = "testdata/snapshot-5.zst" // with data sources, types of nodes and metrics

// sourcedStory is fullStory with data sources, one of them removed, and a node of
// type sql: of plan 9 one attempt failed with metrics, one succeeded with others,
// one runs.
func sourcedStory(t testing.TB) *machine {
	m := fullStory(t)
	m.must(putSource(warehouse()))
	m.must(putSource(&wire.DataSource{Name: "local", Type: "sqlite", Database: "/srv/shop.db", Options: []*wire.Assignment{{Name: "journal_mode", Value: "wal"}}}))
	m.must(putSource(warehouse(func(d *wire.DataSource) { d.Name, d.Ca = "spare", &wire.Secret{File: "ca.pem"} })))
	m.must(removeSource("local"))
	q := query("q", "warehouse")
	q.Retries, q.Sql = 1, &wire.Sql{Transaction: true}
	m.must(apply(q))
	able := agent("a4", 4)
	able.Labels = []*wire.Assignment{{Name: "backfleet/sql", Value: "true"}}
	m.must(turn(&wire.Turn{Agents: []*wire.Agent{able}}))
	m.must(submit(current("q", 3))) // plan 9
	grants := func(instances ...uint64) {
		next := &wire.Turn{}
		for _, i := range instances {
			next.Grants = append(next.Grants, &wire.Grant{Plan: 9, Instance: i, Agent: "a4", ResourceGroup: "default"})
		}
		m.must(turn(next))
	}
	grants(0, 1)
	m.ends(9, 0, wire.Outcome_FAILED, metric("statements", "2"), metric("rows_written", "17"))
	m.ends(9, 1, wire.Outcome_SUCCEEDED, metric("rows_written", "18"))
	grants(2, 0)
	m.ends(9, 0, wire.Outcome_SUCCEEDED)
	return m
}

func TestGoldenSnapshotOfTheFifthForm(t *testing.T) {
	holds(t, golden5, sourcedStory(t).untagged(), func(m *machine) {
		m.status(9, 0, Succeeded)
		m.ends(9, 2, wire.Outcome_SUCCEEDED, metric("rows_written", "19"))
		for i, want := range []string{"statements=2;rows_written=17;|", "rows_written=18;", "rows_written=19;"} {
			got := ""
			for k, a := range m.s.Attempts(m.plan(9), uint64(i)) {
				if k > 0 {
					got += "|"
				}
				got += metricText(a.Metrics)
			}
			if got != want {
				t.Errorf("metrics of 9.%d: %s, expected %s", i, got, want)
			}
		}
		if d, ok := m.s.DataSource("spare"); !ok || d.Ca.GetFile() != "ca.pem" {
			t.Errorf("the spare one is %v", d)
		}
		m.must(removeSource("spare"))
		m.must(apply(daily("q")))
		m.must(removeSource("warehouse"))
		m.goOnLong()
	})
}
