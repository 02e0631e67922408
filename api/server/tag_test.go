package server_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"backfleet/api/server"
	v1 "backfleet/api/v1"
)

// TestFiltersReachTheBackend: sets repeated or with commas, ranges, and who asks.
func TestFiltersReachTheBackend(t *testing.T) {
	c := newContract(t, server.Options{})
	ask := func(path string) []any {
		t.Helper()
		before := len(c.backend.Asked)
		if w := c.ask("GET", path, "", "Backfleet-Actor", "ada"); w.Code != 200 {
			t.Errorf("%s: %s", path, w.Body)
		}
		return c.backend.Asked[before:]
	}
	yes := false
	from, to := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 11, 2, 23, 59, 59, 999e6, time.UTC)
	for path, want := range map[string][]any{
		"/v1/nodes?id=a,b&id=c&name=ORD&type=sql&owner=ann&workspace=shop&resourceGroup=etl&baseline=gold&scheduleKind=hourly,daily&mode=paused&auto=false&priority=1,8&mine=true&sort=-owner": {
			server.NodeQuery{
				IDs: []string{"a", "b", "c"}, Name: "ord", Types: []string{"sql"}, Owners: []string{"ann"}, Workspaces: []string{"shop"},
				ResourceGroups: []string{"etl"}, Baselines: []string{"gold"}, Kinds: []v1.ScheduleKind{v1.ScheduleKindHourly, v1.ScheduleKindDaily},
				Modes: []v1.NodeMode{v1.NodeModePaused}, Auto: &yes, Priorities: []int{1, 8}, Owner: "ada",
			}, v1.NodeSortMinusOwner,
		},
		"/v1/backfills?contains=X&id=b3&createdBy=ann,bob&created_from=2026-11-01&created_to=2026-11-02&state=failed,running&mine=true&myNodes=true&kind=all&sort=state": {
			server.PlanQuery{
				Kind: v1.PlanFilterAll, IDs: []uint64{3}, Contains: "x", CreatedBy: []string{"ann", "bob"}, Creator: "ada", CreatedFrom: &from, CreatedTo: &to,
				States: []v1.State{v1.StateFailed, v1.StateRunning}, Nodes: &server.NodeQuery{Owner: "ada"}, Sort: v1.BackfillSortState,
			},
		},
		"/v1/backfills/b1/instances?node=a,b&nodeContains=Or&agent=a1&state=failed&order=descending": {
			server.InstanceFilter{
				Nodes: &server.NodeQuery{IDs: []string{"a", "b"}, Contains: "or"}, Agents: []string{"a1"}, States: []v1.State{v1.StateFailed},
				Sort: v1.InstanceSortMinusNumber,
			},
		},
		"/v1/instances?kind=auto&backfill=b1,b2&state=failed": {
			server.PlanQuery{Kind: v1.PlanFilterAuto, IDs: []uint64{1, 2}}, server.InstanceFilter{States: []v1.State{v1.StateFailed}},
		},
	} {
		if got := ask(path); !sameFilters(got, want) {
			t.Errorf("%s\n%s\n%s", path, text(got), text(want))
		}
	}
}

func text(v any) string { out, _ := json.Marshal(v); return string(out) }

func sameFilters(a, b []any) bool { return len(a) == len(b) && text(a) == text(b) }

// TestFieldsPruneAnswers leaves what is wanted, in the contract's order, and of a
// page all that is not of its items.
func TestFieldsPruneAnswers(t *testing.T) {
	c := newContract(t, server.Options{})
	c.ask("PUT", "/v1/nodes", aNode)
	for path, want := range map[string]string{
		"/v1/backfills/b1/dates?fields=counts.failed,date":                    `{"items":[{"counts":{"failed":0},"date":"2012-01-04"}]}`,
		"/v1/nodes/orders?fields=node.schedule.at,node.id,node.schedule.kind": `{"node":{"id":"orders","schedule":{"at":"00:30","kind":"daily"}}}`,
		"/v1/nodes/orders?fields=codeVersion,":                                `{"codeVersion":7}`,
		"/v1/instances/b1.1?fields=attempts.number,attempts.metrics.name":     `{"attempts":[{"metrics":[{"name":"rows_written"},{"name":"checksum"}],"number":1}]}`,
		"/v1/nodes?fields=params,params.name,id":                              `{"items":[{"id":"orders","params":[{"name":"day","value":"${yyyymmdd}"}]}]}`,
		"/v1/backfills/b1/receipt?fields=rows.node,backfill":                  `{"backfill":"b1","rows":[{"node":"orders"}]}`,
	} {
		// What is required of the whole is left out here on purpose, so that the
		// contract's check of the answer does not apply.
		w := c.plain("GET", path)
		if got := strings.TrimSpace(w.Body.String()); w.Code != 200 || got != want {
			t.Errorf("%s: %s, expected %s", path, got, want)
		}
	}
	all, some := c.ask("GET", "/v1/nodes/orders", ""), c.plain("GET", "/v1/nodes/orders?fields=")
	if all.Body.String() != some.Body.String() {
		t.Errorf("no fields: %s", some.Body)
	}
}

// TestR15_5_TagsTellWhatIsUnchanged: a read with the tag of what one has is
// answered without it, and a changed thing has another tag.
func TestR15_5_TagsTellWhatIsUnchanged(t *testing.T) {
	c := newContract(t, server.Options{})
	c.ask("PUT", "/v1/nodes", aNode)
	c.ask("PUT", "/v1/workspaces/shop", `{"region":"eu"}`)
	for _, path := range []string{"/v1/nodes/orders", "/v1/nodes", "/v1/workspaces/shop", "/v1/instances/b1.1", "/v1/backfills/b1/receipt"} {
		first := c.ask("GET", path, "")
		tag := first.Header().Get("ETag")
		if tag == "" || first.Header().Get("Cache-Control") == "" {
			t.Errorf("%s: no tag", path)
		}
		for _, given := range []string{tag, `"x", W/` + tag, "*"} {
			again := c.plain("GET", path, "If-None-Match", given)
			if again.Code != http.StatusNotModified || again.Body.Len() > 0 || again.Header().Get("ETag") != tag {
				t.Errorf("%s with %s: %d %s", path, given, again.Code, again.Body)
			}
		}
		if other := c.ask("GET", path, "", "If-None-Match", `"x"`); other.Code != 200 {
			t.Errorf("%s with another tag: %d", path, other.Code)
		}
	}
	before := c.ask("GET", "/v1/workspaces/shop", "").Header().Get("ETag")
	c.ask("PUT", "/v1/workspaces/shop", `{"region":"us"}`)
	if after := c.ask("GET", "/v1/workspaces/shop", "").Header().Get("ETag"); after == before {
		t.Errorf("changed, and still %s", after)
	}
}

// TestR15_5_ConditionsReachTheBackend: the part of a tag that stands for the thing.
func TestR15_5_ConditionsReachTheBackend(t *testing.T) {
	c := newContract(t, server.Options{})
	for _, one := range []struct{ method, path, body, header, given, want string }{
		{"PUT", "/v1/workspaces/shop", `{}`, "If-None-Match", "*", server.IfNone},
		{"PUT", "/v1/workspaces/shop", `{}`, "If-Match", `"7-Zm9v"`, "7"},
		{"PUT", "/v1/regions/eu", `{}`, "If-Match", `7`, "7"},
		{"PATCH", "/v1/backfills/b1", `{"groups":2}`, "If-Match", `"3"`, "3"},
		{"PUT", "/v1/resource-groups/etl", `{}`, "If-Match", `*`, "*"},
	} {
		w := c.ask(one.method, one.path, one.body, one.header, one.given)
		if w.Code != 200 && w.Code != 412 {
			t.Errorf("%s %s: %s", one.method, one.path, w.Body)
			continue
		}
		if w.Code == 200 {
			if got := c.backend.Writes[len(c.backend.Writes)-1].IfMatch; got != one.want {
				t.Errorf("%s %s: %s arrived as %q, expected %q", one.method, one.path, one.given, got, one.want)
			}
		}
	}
	for _, one := range []struct{ method, path, body, header, given, field string }{
		{"POST", "/v1/backfills", aRequest, "If-Match", `"7"`, "If-Match"},
		{"PUT", "/v1/regions/eu", `{}`, "If-Match", `"seven"`, "If-Match"},
		{"PUT", "/v1/regions/eu", `{}`, "If-None-Match", `"7"`, "If-None-Match"},
	} {
		if p := c.problem(c.ask(one.method, one.path, one.body, one.header, one.given)); p.Code != v1.ErrorCodeInvalid || p.Field != one.field {
			t.Errorf("%s %s %s: %+v", one.method, one.path, one.given, p)
		}
	}
}
