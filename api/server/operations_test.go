package server_test

import (
	"encoding/json"
	"flag"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"backfleet/api"
	"backfleet/api/server"
	"backfleet/pkg/cri"
)

var examplesFlag = flag.Bool("examples", false, "write ../examples.json, which stands in the document, from what is answered now")

// unexemplified are operations whose answer is this document, has no end, or is no
// matter of the contract.
var unexemplified = []string{"openapiYaml", "openapiJson", "docs", "metrics", "streamEvents", "saveSnapshot"}

// exampleOf is a call as the document shows it.
func exampleOf(method, path, body string, w *httptest.ResponseRecorder) api.Example {
	media, _, _ := strings.Cut(w.Header().Get("Content-Type"), ";")
	e := api.Example{Method: method, Path: path, Status: w.Code, Type: media}
	if body != "" {
		e.Body = json.RawMessage(body)
	}
	if media == "application/json" {
		e.Answer = json.RawMessage(w.Body.Bytes())
	} else {
		e.Text = w.Body.String()
	}
	return e
}

// keepExamples checks that the document has an example of every operation that was
// answered, or with -examples writes them down.
func keepExamples(t *testing.T, found map[string]api.Example) {
	t.Helper()
	for _, id := range unexemplified {
		delete(found, id)
	}
	if *examplesFlag {
		text, err := json.MarshalIndent(found, "", "  ")
		if err == nil {
			err = os.WriteFile("../examples.json", append(text, '\n'), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	kept, err := api.Examples()
	if err != nil {
		t.Fatal(err)
	}
	for id, e := range found {
		k, ok := kept[id]
		if !ok || k.Method != e.Method || k.Status != e.Status || k.Type != e.Type {
			t.Errorf("%s: the document's example is not of what is answered: run this test with -examples", id)
		}
	}
	for id := range kept {
		if _, ok := found[id]; !ok {
			t.Errorf("%s: the document has an example, and it was not asked", id)
		}
	}
}

// TestEveryOperationRefusesWhatItDoesNotKnow asks each operation as it may be asked,
// with a parameter that it has not, a field of the body that it has not, and for
// a field of the answer that there is not: all of it is refused by name, with
// a code that the document says of the operation.
func TestEveryOperationRefusesWhatItDoesNotKnow(t *testing.T) {
	c := newContract(t, server.Options{})
	c.backend.WriteLog(cri.Stdout, false, "hello")
	c.backend.EndLog()
	possible := errorCodes(t)
	tried := map[string]bool{}
	for _, one := range goodCalls {
		r := httptest.NewRequest(one.method, one.path, nil)
		route, _, err := c.router.FindRoute(r)
		if err != nil {
			t.Fatal(err)
		}
		id := route.Operation.OperationID
		if w := c.ask(one.method, one.path, one.body); w.Code != one.status {
			t.Errorf("%s: %d %s", id, w.Code, w.Body)
		}
		if tried[id] || !strings.HasPrefix(route.Path, "/v1/") {
			continue
		}
		tried[id] = true
		refused := func(path, body, field, says string) {
			t.Helper()
			w := c.ask(one.method, path, body)
			p := c.problem(w)
			if w.Code != 400 || p.Code != "invalid" || p.Field != field || !strings.Contains(p.Detail, says) {
				t.Errorf("%s: %s %s %s: %d %s", id, one.method, path, body, w.Code, w.Body)
			}
			if !slices.Contains(possible[id], string(p.Code)) {
				t.Errorf("%s can give %s, and the document does not say so", id, p.Code)
			}
		}
		with := "?"
		if strings.Contains(one.path, "?") {
			with = "&"
		}
		refused(one.path+with+"nonsense=1", one.body, "nonsense", "no such parameter")
		if strings.HasPrefix(one.body, "{") {
			body := `{"nonsense":1}`
			if one.body != "{}" {
				body = `{"nonsense":1,` + one.body[1:]
			}
			refused(one.path, body, "nonsense", "no such field")
		}
		if route.Operation.Responses.Status(200) != nil && one.method == "GET" && one.status == 200 && !strings.Contains(route.Path, "/logs/") && id != "saveSnapshot" {
			refused(one.path+with+"fields=nonsense", "", "fields", "no field")
		}
	}
	for id := range possible {
		if !tried[id] {
			t.Errorf("%s was not asked", id)
		}
	}
}

// errorCodes are those that the document says of each operation of /v1.
func errorCodes(t *testing.T) map[string][]string {
	t.Helper()
	text, err := api.DescribedJSON()
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Paths map[string]map[string]struct {
			OperationID string   `json:"operationId"`
			Codes       []string `json:"x-error-codes"`
		}
	}
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for path, item := range document.Paths {
		for _, o := range item {
			if strings.HasPrefix(path, "/v1/") {
				out[o.OperationID] = o.Codes
			}
		}
	}
	return out
}

// TestWrongWordsAndNames are bad inputs of single operations: each is refused with
// a code that the document says of the operation.
func TestWrongWordsAndNames(t *testing.T) {
	c := newContract(t, server.Options{})
	c.ask("PUT", "/v1/nodes", aNode)
	possible := errorCodes(t)
	for _, one := range []struct {
		method, path, code, says string
	}{
		{"GET", "/v1/nodes?sort=age", "invalid", "-priority"},
		{"GET", "/v1/nodes?mode=normal,off", "invalid", "dryRun or paused"},
		{"GET", "/v1/nodes?auto=perhaps", "invalid", "true or false"},
		{"GET", "/v1/nodes?priority=high", "invalid", "cannot be read"},
		{"GET", "/v1/nodes?sort=id&sort=name", "invalid", "given 2 times"},
		{"GET", "/v1/nodes?fields=id,nam", "invalid", `no field "nam" here: expected`},
		{"GET", "/v1/nodes?fields=schedule.evry", "invalid", "everyMinutes"},
		{"GET", "/v1/nodes/nowhere", "not_found", "nowhere"},
		{"GET", "/v1/nodes/nowhere/rendering?date=2012-01-01", "not_found", "nowhere"},
		{"GET", "/v1/nodes/orders/rendering", "invalid", "required"},
		{"GET", "/v1/nodes/orders/rendering?date=2012-02-30", "invalid", "no such day"},
		{"GET", "/v1/backfills?state=lost", "invalid", "notRunning, waitingTime, running, succeeded, failed or frozen"},
		{"GET", "/v1/backfills?id=12", "invalid", "b12"},
		{"GET", "/v1/backfills?created_from=yesterday", "invalid", "2026-11-22T03:14:15Z"},
		{"GET", "/v1/backfills?sort=-state", "invalid", "created, -created, name, -name or state"},
		{"GET", "/v1/backfills/b1/dates/2012-02-30", "invalid", "no such day"},
		{"GET", "/v1/backfills/b1/dates/2020-01-01", "not_found", "2020-01-01"},
		{"GET", "/v1/backfills/b1/instances?sort=number&order=ascending", "invalid", "leave one of them out"},
		{"GET", "/v1/schedule/2020-01-01", "not_found", "2020-01-01"},
		{"GET", "/v1/instances?backfill=1", "invalid", "b12"},
		{"GET", "/v1/instances/b1.1/attempts?cursor=x", "invalid", "not of this list"},
		{"GET", "/v1/instances/b1.1/attempts/9", "not_found", "it has 1"},
		{"GET", "/v1/instances/b1.9/attempts", "not_found", "b1.9"},
		{"GET", "/v1/instances/b1.9/upstreams", "not_found", "b1.9"},
		{"GET", "/v1/instances/b1.9/downstreams", "not_found", "b1.9"},
		{"GET", "/v1/instances/9/downstreams", "invalid", "b12.345"},
		{"GET", "/v1/graph?root=nowhere", "invalid", "nowhere"},
		{"GET", "/v1/graph?up=1", "invalid", "expected root too"},
		{"GET", "/v1/graph?root=orders&down=-1", "invalid", "0 or more"},
		{"GET", "/v1/graph?root=orders&down=all", "invalid", "cannot be read"},
		{"GET", "/v1/nodes/nowhere/coverage", "not_found", "nowhere"},
		{"GET", "/v1/nodes/orders/coverage?date_from=2012-02-30", "invalid", "no such day"},
		{"GET", "/v1/nodes/nowhere/runs", "not_found", "nowhere"},
		{"GET", "/v1/nodes/orders/runs?limit=1001", "invalid", "1 to 1000"},
		{"GET", "/v1/nodes/nowhere/next-runs", "not_found", "nowhere"},
		{"GET", "/v1/nodes/orders/next-runs?count=101", "invalid", "1 to 100"},
		{"GET", "/v1/nodes/orders/next-runs?count=-1", "invalid", "1 to 100"},
		{"GET", "/v1/nodes/orders/next-runs?from=soon", "invalid", "cannot be read"},
		{"GET", "/v1/backfills/b9/map", "not_found", "b9"},
		{"GET", "/v1/backfills/9/map", "invalid", "b12"},
		{"GET", "/v1/backfills/b1/map?nodeFrom=-1", "invalid", "negative"},
		{"GET", "/v1/backfills/b1/map?rows=4097", "invalid", "at most 4096"},
		{"GET", "/v1/backfills/b1/map?columns=5000", "invalid", "at most 4096"},
		{"GET", "/v1/backfills/b1/map?rows=4000&columns=1001", "invalid", "4000000 cells"},
		{"GET", "/v1/backfills/b9/failures", "not_found", "b9"},
		{"GET", "/v1/backfills/b1/failures?limit=-1", "invalid", "1 to 1000"},
		{"GET", "/v1/cluster?standing=perhaps", "invalid", "cannot be read"},
	} {
		w := c.ask(one.method, one.path, "")
		p := c.problem(w)
		if string(p.Code) != one.code || !strings.Contains(p.Detail, one.says) {
			t.Errorf("%s: %s, expected %s that says %q", one.path, w.Body, one.code, one.says)
		}
		route, _, err := c.router.FindRoute(httptest.NewRequest(one.method, one.path, nil))
		if err != nil || !slices.Contains(possible[route.Operation.OperationID], one.code) {
			t.Errorf("%s: the document does not say that it can be %s", one.path, one.code)
		}
	}
}
