package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"google.golang.org/protobuf/proto"

	"backfleet/api"
	"backfleet/api/internal/standin"
	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/pkg/cri"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// contract is a server whose every answer is held against the document.
type contract struct {
	t       *testing.T
	handler http.Handler
	router  routers.Router
	backend *standin.Backend
}

// written finds the operations of the document as it was written: what is served has
// examples too, and these are made with this.
var written = sync.OnceValues(func() (routers.Router, error) {
	document, err := openapi3.NewLoader().LoadFromData(api.Document)
	if err != nil {
		return nil, err
	}
	return legacy.NewRouter(document)
})

func newContract(t *testing.T, o server.Options) *contract {
	t.Helper()
	router, err := written()
	if err != nil {
		t.Fatal(err)
	}
	backend := standin.New()
	o.Backend, o.Logger = backend, slog.New(slog.DiscardHandler)
	return &contract{t, server.New(o).Handler(), router, backend}
}

// ask sends a request and validates the answer.
func (c *contract) ask(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	c.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	c.handler.ServeHTTP(w, r)

	route, params, err := c.router.FindRoute(r)
	if err != nil {
		c.t.Fatalf("%s %s is not in the document: %v", method, path, err)
	}
	err = openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route},
		Status:                 w.Code, Header: w.Header(), Body: io.NopCloser(bytes.NewReader(w.Body.Bytes())),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	})
	if err != nil && w.Header().Get("Content-Type") != "text/event-stream" {
		c.t.Errorf("%s %s: %d %s\n%v", method, path, w.Code, w.Body, err)
	}
	return w
}

// plain sends a request whose answer is not held against the document.
func (c *contract) plain(method, path string, headers ...string) *httptest.ResponseRecorder {
	c.t.Helper()
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	c.handler.ServeHTTP(w, r)
	return w
}

func (c *contract) problem(w *httptest.ResponseRecorder) v1.Problem {
	c.t.Helper()
	var p v1.Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Header().Get("Content-Type") != "application/problem+json" {
		c.t.Fatalf("no problem document: %d %s %s", w.Code, w.Header().Get("Content-Type"), w.Body)
	}
	return p
}

const (
	aNode    = `{"nodes":[{"id":"orders","name":"Orders","type":"shell","code":"echo $day","baseline":"standard","priority":1,"resourceGroup":"default","schedule":{"kind":"daily","at":"00:30"},"params":[{"name":"day","value":"${yyyymmdd}"}]}]}`
	aRequest = `{"mode":"current","root":"orders","dates":["2012-01-01..2012-01-07"]}`
)

func TestEveryAnswerIsAsDocumented(t *testing.T) {
	c := newContract(t, server.Options{})
	c.backend.WriteLog(cri.Stdout, false, "hello")
	c.backend.EndLog()
	covered := map[string]bool{}
	examples := map[string]api.Example{}
	for _, one := range goodCalls {
		w := c.ask(one.method, one.path, one.body)
		if w.Code != one.status {
			t.Errorf("%s %s: status %d, expected %d: %s", one.method, one.path, w.Code, one.status, w.Body)
		}
		if strings.HasPrefix(one.path, "/v1/") && w.Code < 300 && w.Header().Get("Backfleet-Index") == "" {
			t.Errorf("%s %s: no index", one.method, one.path)
		}
		r := httptest.NewRequest(one.method, one.path, nil)
		if route, _, err := c.router.FindRoute(r); err == nil {
			covered[route.Operation.OperationID] = true
			if _, known := examples[route.Operation.OperationID]; !known && w.Code < 300 {
				examples[route.Operation.OperationID] = exampleOf(one.method, one.path, one.body, w)
			}
		}
	}
	keepExamples(t, examples)
	document, err := openapi3.NewLoader().LoadFromData(api.Document)
	if err != nil {
		t.Fatal(err)
	}
	if err := document.Validate(context.Background()); err != nil {
		t.Errorf("the document itself: %v", err)
	}
	for path, item := range document.Paths.Map() {
		for method, operation := range item.Operations() {
			if !covered[operation.OperationID] {
				t.Errorf("%s %s was not tried", method, path)
			}
		}
	}
}

func TestEveryClassOfErrorIsAProblem(t *testing.T) {
	c := newContract(t, server.Options{})
	for code, status := range map[fault.Code]int{
		fault.Invalid: 400, fault.Unauthenticated: 401, fault.Denied: 403, fault.NotFound: 404, fault.Conflict: 409,
		fault.TooLarge: 413, fault.Overloaded: 429, fault.Unavailable: 503, fault.Unknown: 503, fault.Timeout: 504,
		fault.Corrupt: 500, fault.Internal: 500,
	} {
		c.backend.Fail = func(string) error {
			return fault.Wrap(fmt.Errorf("secret cause"), code, "it is so").WithDetails(fault.Detail{Field: "root", Message: "mend it"})
		}
		w := c.ask("POST", "/v1/backfills", aRequest, "X-Request-Id", "r-1")
		p := c.problem(w)
		if w.Code != status || p.Code != v1.ErrorCode(code) || p.Detail != "it is so" || p.RequestID != "r-1" || len(p.Errors) != 1 {
			t.Errorf("%s: %d %s", code, w.Code, w.Body)
		}
		if retry := w.Header().Get("Retry-After") != ""; retry != (status == 503 || status == 429) {
			t.Errorf("%s: Retry-After %v", code, retry)
		}
	}
	c.backend.Fail = func(string) error { return fmt.Errorf("open /var/secret") }
	if p := c.problem(c.ask("GET", "/v1/agents", "")); p.Code != v1.ErrorCodeInternal || strings.Contains(p.Detail, "secret") {
		t.Errorf("an uncoded error was answered as %+v", p)
	}
	c.backend.Fail = func(call string) error {
		if call == "RecordRefusals" {
			return nil // of the refusals above, beside the requests
		}
		panic("boom")
	}
	if w := c.ask("GET", "/v1/agents", ""); w.Code != 500 || c.problem(w).Code != v1.ErrorCodeInternal {
		t.Errorf("a panic was answered as %d %s", w.Code, w.Body)
	}
}

func TestWrongInputIsRefusedByName(t *testing.T) {
	c := newContract(t, server.Options{MaxBody: 2000})
	for _, one := range []struct{ method, path, body, field, says string }{
		{"POST", "/v1/backfills", `{"mode":"current","root":"a","dates":["2012-01-01"],"grops":3}`, "grops", "groups"},
		{"PUT", "/v1/nodes", `{"nodes":[{"id":"a"},{"id":"b","schedule":{"kind":"daily","evry":3}}]}`, "nodes[1].schedule.evry", "everyMinutes"},
		{"POST", "/v1/backfills", `{"mode":"current","root":"a","dates":["2012-01-01"],"groups":"3"}`, "groups", "whole number"},
		{"POST", "/v1/backfills", `{"mode":"current","root":"a","dates":["2012-02-30"]}`, "dates[0]", "no such day"},
		{"POST", "/v1/backfills", `{"mode":"current","root":"a","dates":["2012-02-03..2012-02-01"]}`, "dates[0]", "earlier date first"},
		{"POST", "/v1/backfills", `{"mode":"sideways","root":"a","dates":["2012-02-03"]}`, "mode", "massive, advanced or chain"},
		{"POST", "/v1/backfills", `{"mode":"current","root":"a","dates":["2012-02-03"]} {}`, "", "expected the end"},
		{"POST", "/v1/backfills", `{"mode":`, "", "not JSON"},
		{"POST", "/v1/backfills", ``, "", "no body"},
		{"PUT", "/v1/nodes", `{}`, "nodes", "nothing to apply"},
		{"PUT", "/v1/nodes", `{"nodes":[{"id":"a","schedule":{"kind":"daily","at":"25:00"}}]}`, `nodes["a"].schedule.at`, "23:59"},
		{"POST", "/v1/backfills/b1/rerun", `{}`, "instances", "either"},
		{"POST", "/v1/backfills/b1/rerun", `{"instances":["b2.1"]}`, "instances", "b1"},
		{"POST", "/v1/backfills/b1/rerun", `{"failed":true,"descendants":"all"}`, "descendants", "leave descendants out"},
		{"POST", "/v1/backfills/b1/rerun", `{"instances":["b1.1"],"descendants":["b2.3"]}`, "descendants", "b1"},
		{"POST", "/v1/backfills/b1/rerun", `{"instances":["b1.1"],"descendants":"some"}`, "descendants", "all"},
		{"POST", "/v1/backfills/b1/freeze", `{"dates":["2012-02-30"]}`, "dates[0]", "no such day"},
		{"POST", "/v1/backfills/b1/stop", `{"reason":"so"}`, "reason", "why"},
		{"POST", "/v1/backfills/b1/stop", `{"why":"` + strings.Repeat("x", 1001) + `"}`, "why", "1000"},
		{"POST", "/v1/backfills/operate", `{"operation":"rerun","backfills":["b1"]}`, "operation", "rerunFailed"},
		{"POST", "/v1/backfills/operate", `{"operation":"stop","backfills":[]}`, "backfills", "1 to 1000"},
		{"POST", "/v1/backfills/operate", `{"operation":"stop","backfills":["b1","b2.1"]}`, "backfills[1]", "b12"},
		{"POST", "/v1/instances/operate", `{"operation":"pause","instances":["b1.1"]}`, "operation", "stop, rerun, setToSuccess"},
		{"POST", "/v1/instances/operate", `{"operation":"stop","instances":[]}`, "instances", "1 to 10000"},
		{"POST", "/v1/instances/operate", `{"operation":"stop","instances":["b1.1","b1"]}`, "instances[1]", "b12.345"},
		{"POST", "/v1/instances/operate", `{"operation":"stop","instances":["b1.1"],"priority":3}`, "priority", "no meaning for stop"},
		{"POST", "/v1/instances/operate", `{"operation":"stop","instances":["b1.1"],"descendants":"all"}`, "descendants", "no meaning for stop"},
		{"POST", "/v1/instances/operate", `{"operation":"stop","failure":{"backfill":"b1","failure":"f3"}}`, "failure", "no meaning for stop"},
		{"POST", "/v1/instances/operate", `{"operation":"rerun","failure":{"backfill":"b1","failure":"f3"},"instances":["b1.1"]}`, "failure", "leave one of them out"},
		{"POST", "/v1/instances/operate", `{"operation":"rerun","failure":{"backfill":"b1","failure":"f3"},"descendants":"all"}`, "descendants", "no meaning"},
		{"POST", "/v1/instances/operate", `{"operation":"rerun","failure":{"backfill":"1","failure":"f3"}}`, "failure.backfill", "b12"},
		{"POST", "/v1/instances/operate", `{"operation":"removeUpstream","instances":["b1.1"]}`, "upstream", "missing"},
		{"POST", "/v1/instances/operate", `{"operation":"setPriority","instances":["b1.1"]}`, "priority", "missing"},
		{"POST", "/v1/instances/operate", `{"operation":"setPriority","instances":["b1.1"],"priority":4}`, "priority", "1, 2, 3, 5, 7 or 8"},
		{"PATCH", "/v1/backfills/b1", `{}`, "", "the change is empty"},
		{"PATCH", "/v1/backfills/b1", `{"group":4}`, "group", "groups"},
		{"PATCH", "/v1/backfills/b1", `{"groups":1.5}`, "groups", "whole number"},
		{"PATCH", "/v1/backfills/b1?dryRun=perhaps", `{"groups":2}`, "dryRun", "cannot be read"},
		{"PUT", "/v1/resource-groups/etl", `{"backfillMaxShare":101}`, "backfillMaxShare", "percent"},
		{"PUT", "/v1/resource-groups/etl", `{"reserveForAuto":-1}`, "reserveForAuto", "whole number"},
		{"PUT", "/v1/resource-groups/etl", `{"kind":"private"}`, "kind", "shared or exclusive"},
		{"PUT", "/v1/workspaces/two%20words", `{}`, "workspace", "one word"},
		{"PUT", "/v1/nodes", `{"nodes":[{"id":"a","schedule":{"kind":"monthly","days":["first"]}}]}`, "nodes[0].schedule.days[0]", "last"},
		{"PUT", "/v1/nodes", `{"nodes":[{"id":"a","mode":"off"}]}`, `nodes["a"].mode`, "normal, dryRun or paused"},
		{"GET", "/v1/backfills?kind=mine", "", "kind", "backfill, auto or all"},
		{"GET", "/v1/schedule?date_to=2012-02-30", "", "date_to", "no such day"},
		{"GET", "/v1/backfills/12", "", "backfill", "b12"},
		{"GET", "/v1/instances/b1.01", "", "instance", "b12.345"},
		{"GET", "/v1/backfills/b1/instances?state=lost", "", "state", "notRunning, waitingTime"},
		{"GET", "/v1/backfills/b1/instances?date_from=2012-13-01", "", "date_from", "no such day"},
		{"GET", "/v1/nodes?limit=1001", "", "limit", "1000"},
		{"GET", "/v1/backfills/b1/dates?group=-1", "", "group", "from 1"},
		{"GET", "/v1/nodes?limit=many", "", "limit", "cannot be read"},
		{"GET", "/v1/nodes?consistency=perhaps", "", "consistency", "linearizable"},
		{"GET", "/v1/nodes?min_index=-1", "", "min_index", ""},
		{"GET", "/v1/nodes?min_index=", "", "min_index", "whole number"},
		{"GET", "/v1/nodes?consistency=", "", "consistency", "linearizable"},
		{"GET", "/v1/instances/b1.1/logs?tail=3&offset=4", "", "tail", "leave out"},
		{"GET", "/v1/instances/b1.1/logs/search", "", "text", "required"},
		{"GET", "/v1/instances/b1.1/logs/search?text=", "", "text", "missing"},
		{"GET", "/v1/instances/b1.1/logs/search?text=" + strings.Repeat("x", 1001), "", "text", "1001 bytes"},
		{"GET", "/v1/instances/b1.1/logs/search?text=a(&regex=true", "", "text", "not a regular expression"},
		{"GET", "/v1/instances/b1.1/logs/search?text=(abcdefgh){1000}&regex=true", "", "text", "too large"},
		{"GET", "/v1/instances/b1.1/logs/search?text=x&context=101", "", "context", "0 to 100"},
		{"GET", "/v1/instances/b1.1/logs/search?text=x&limit=1001", "", "limit", "1 to 1000"},
		{"GET", "/v1/agents?state=asleep", "", "state", "draining"},
		{"GET", "/v1/agents?label=linux", "", "label", "name=value"},
		{"POST", "/v1/agents/drain", `{"agents":[]}`, "agents", "1 to 1000"},
		{"POST", "/v1/agents/drain", `{"agents":["a1"],"deadlineSeconds":-1}`, "deadlineSeconds", "or 0 for none"},
		{"POST", "/v1/agents/drain", `{"agents":["a1"],"deadline":"10m"}`, "deadline", "deadlineSeconds"},
		{"POST", "/v1/agents/resume", `{"agent":"a1"}`, "agent", "agents"},
		{"POST", "/v1/join-tokens", `{"groups":["two words"]}`, "groups[0]", "one word"},
		{"POST", "/v1/join-tokens", `{"expiresInSeconds":5,"expiresAt":"2030-01-01T00:00:00Z"}`, "expiresAt", "leave one of them out"},
		{"PUT", "/v1/resource-groups/etl", `{"logKeepMs":-1}`, "logKeepMs", "milliseconds"},
		{"PUT", "/v1/data-sources/w", `{"type":"sqlite","database":"/d","password":"hunter2"}`, "password", "expected an object"},
		{"PUT", "/v1/data-sources/w", `{"type":"sqlite","database":"/d","password":{"value":"hunter2"}}`, "password.value", "environment"},
		{"PUT", "/v1/resource-groups/etl", `{"description":"` + strings.Repeat("x", 1001) + `"}`, "description", "1000"},
	} {
		w := c.ask(one.method, one.path, one.body)
		p := c.problem(w)
		if w.Code != 400 || p.Field != one.field || !strings.Contains(p.Detail, one.says) {
			t.Errorf("%s %s %s: %d %s", one.method, one.path, one.body, w.Code, w.Body)
		}
	}
	two := c.problem(c.ask("POST", "/v1/backfills", `{"mode":"x","root":"a","dates":["y"]}`))
	if len(two.Errors) != 2 || two.Errors[0].Field != "mode" || two.Errors[1].Field != "dates[0]" {
		t.Errorf("two mistakes are told as %+v", two)
	}
	if w := c.ask("PUT", "/v1/nodes", `{"remove":["`+strings.Repeat("x", 2000)+`"]}`); w.Code != 413 || c.problem(w).Code != v1.ErrorCodeTooLarge {
		t.Errorf("a large body: %d", w.Code)
	}
	if w := c.ask("POST", "/v1/backfills", aRequest, "Idempotency-Key", "a b"); w.Code != 400 || c.problem(w).Field != "Idempotency-Key" {
		t.Errorf("a key with a blank: %d", w.Code)
	}
	if len(c.backend.Writes) != 0 {
		t.Errorf("%d wrong requests reached the backend", len(c.backend.Writes))
	}
}

func tokens(list ...server.Token) func() []server.Token {
	return func() []server.Token { return list }
}

func TestTokensAreAskedFor(t *testing.T) {
	c := newContract(t, server.Options{Tokens: tokens(server.Token{Name: "ada", Secret: "s3cret", Role: wire.Role_ADMIN}, server.Token{Name: "empty"})})
	for _, given := range []string{"", "Bearer wrong", "Bearer ", "Bearer s3cret2"} {
		w := c.ask("POST", "/v1/backfills/b1/stop", "", "Authorization", given)
		if w.Code != 401 || w.Header().Get("WWW-Authenticate") == "" || c.problem(w).Code != v1.ErrorCodeUnauthenticated {
			t.Errorf("%q: %d", given, w.Code)
		}
	}
	if w := c.ask("GET", "/metrics", ""); w.Code != 401 {
		t.Errorf("metrics without a token: %d", w.Code)
	}
	if w := c.ask("GET", "/healthz", ""); w.Code != 200 {
		t.Errorf("health without a token: %d", w.Code)
	}
	c.ask("POST", "/v1/backfills/b1/stop", "", "Authorization", "Bearer s3cret", "Backfleet-Actor", "mallory")
	if len(c.backend.Writes) != 1 || c.backend.Writes[0].Actor != "ada" {
		t.Errorf("writes: %+v", c.backend.Writes)
	}
}

// TestR2_9_ATokenBoundsWhoseNodesMayRun: what a token carries reaches the
// backend with writes and previews, whatever the caller says of itself.
func TestR2_9_ATokenBoundsWhoseNodesMayRun(t *testing.T) {
	c := newContract(t, server.Options{Tokens: tokens(
		server.Token{Name: "ada", Secret: "s3cret", Role: wire.Role_ADMIN},
		server.Token{Name: "bob", Secret: "s3cret2", Role: wire.Role_DEVELOPER, Workspaces: []string{"shop", "ads"}},
	)})
	c.ask("POST", "/v1/backfills", aRequest, "Authorization", "Bearer s3cret")
	c.ask("POST", "/v1/backfills", aRequest, "Authorization", "Bearer s3cret2")
	c.ask("PATCH", "/v1/backfills/b1", `{"addNodes":["x"],"why":"late"}`, "Authorization", "Bearer s3cret2")
	if len(c.backend.Writes) != 3 {
		t.Fatalf("%d writes", len(c.backend.Writes))
	}
	for i, want := range []server.Write{
		{Actor: "ada"}, {Actor: "bob", Restricted: true, Workspaces: []string{"shop", "ads"}},
		{Actor: "bob", Why: "late", Restricted: true, Workspaces: []string{"shop", "ads"}},
	} {
		got := c.backend.Writes[i]
		if got.Actor != want.Actor || got.Why != want.Why || got.Restricted != want.Restricted || !slices.Equal(got.Workspaces, want.Workspaces) {
			t.Errorf("write %d: %+v", i, got)
		}
	}
	for _, one := range []struct{ method, path, body string }{
		{"POST", "/v1/backfills", strings.Replace(aRequest, "{", `{"priority":8,`, 1)},
		{"PATCH", "/v1/backfills/b1", `{"priority":0}`},
		{"POST", "/v1/instances/operate", `{"operation":"setPriority","instances":["b1.1"],"priority":8}`},
		{"PUT", "/v1/resource-groups/default", `{"reserveForAuto":2}`},
		{"PUT", "/v1/workspaces/shop", `{"region":"eu"}`},
		{"PUT", "/v1/regions/eu", `{"advancedMode":true}`},
		{"PUT", "/v1/data-sources/w", `{"type":"sqlite","database":"/d"}`},
		{"DELETE", "/v1/data-sources/w", ""},
		{"POST", "/v1/agents/drain", `{"agents":["a1"]}`},
		{"POST", "/v1/agents/resume", `{"agents":["a1"]}`},
		{"DELETE", "/v1/agents/a2", ""},
		{"POST", "/v1/join-tokens", `{}`},
		{"GET", "/v1/join-tokens", ""},
		{"DELETE", "/v1/join-tokens/t0", ""},
	} {
		if w := c.ask(one.method, one.path, one.body, "Authorization", "Bearer s3cret2"); w.Code != 403 || len(c.backend.Writes) != 3 {
			t.Errorf("%s %s for a bound token: %d %s", one.method, one.path, w.Code, w.Body)
		}
	}
	for secret, says := range map[string]string{"s3cret": `"notPermitted":[]`, "s3cret2": `"notPermitted":["bridge"]`} {
		w := c.ask("POST", "/v1/backfills/preview", aRequest, "Authorization", "Bearer "+secret)
		if !strings.Contains(w.Body.String(), says) {
			t.Errorf("%s: %s", secret, w.Body)
		}
	}
}

// TestR9_ABatchReachesTheBackendAsOne: instances by plan, each once, with who
// and why.
func TestR9_ABatchReachesTheBackendAsOne(t *testing.T) {
	c := newContract(t, server.Options{})
	for _, one := range []struct {
		path, body string
		want       *wire.Operate
		all        bool
		below      []*wire.Target
	}{
		{"/v1/instances/operate", `{"operation":"rerun","instances":["b2.7","b1.1","b2.7","b2.3"],"descendants":["b2.9"]}`, &wire.Operate{
			Kind: wire.Operate_RERUN, Targets: []*wire.Target{{Plan: 2, Instances: []uint64{7, 3}}, {Plan: 1, Instances: []uint64{1}}},
		}, false, []*wire.Target{{Plan: 2, Instances: []uint64{9}}}},
		{"/v1/instances/operate", `{"operation":"rerun","instances":["b1.0"],"descendants":"all"}`, &wire.Operate{
			Kind: wire.Operate_RERUN, Targets: []*wire.Target{{Plan: 1, Instances: []uint64{0}}},
		}, true, nil},
		{"/v1/instances/operate", `{"operation":"removeUpstream","instances":["b1.0"],"upstream":"src"}`, &wire.Operate{
			Kind: wire.Operate_REMOVE_UPSTREAM, Targets: []*wire.Target{{Plan: 1, Instances: []uint64{0}}}, Upstream: "src",
		}, false, nil},
		{"/v1/backfills/operate", `{"operation":"resume","backfills":["b3","b1","b3"]}`, &wire.Operate{
			Kind: wire.Operate_RESUME, Targets: []*wire.Target{{Plan: 3}, {Plan: 1}},
		}, false, nil},
		{"/v1/backfills/b1/freeze", `{"dates":["2012-01-01..2012-01-03"]}`, &wire.Operate{
			Kind: wire.Operate_FREEZE, Targets: []*wire.Target{{Plan: 1, Dates: []*wire.DateRange{{From: 15340, To: 15342}}}},
		}, false, nil},
		{"/v1/backfills/b1/rerun", `{"failed":true}`, &wire.Operate{
			Kind: wire.Operate_RERUN_FAILED, Targets: []*wire.Target{{Plan: 1}},
		}, false, nil},
		{"/v1/backfills/b1/rerun", `{"instances":["b1.3"],"descendants":["b1.4","b1.4"]}`, &wire.Operate{
			Kind: wire.Operate_RERUN, Targets: []*wire.Target{{Plan: 1, Instances: []uint64{3}}},
		}, false, []*wire.Target{{Plan: 1, Instances: []uint64{4}}}},
	} {
		before := len(c.backend.Batches)
		body := strings.TrimSuffix(one.body, "}") + `,"why":"the source was late"}`
		w := c.ask("POST", one.path, body, "Backfleet-Actor", "ada")
		if w.Code != 200 || len(c.backend.Batches) != before+1 {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
			continue
		}
		got := c.backend.Batches[before]
		same := len(got.Descendants) == len(one.below)
		for i := range one.below {
			same = same && proto.Equal(got.Descendants[i], one.below[i])
		}
		if !proto.Equal(got.Operate, one.want) || got.AllDescendants != one.all || !same {
			t.Errorf("%s arrived as %v, all descendants %v, %v", body, got.Operate, got.AllDescendants, got.Descendants)
		}
		if who := c.backend.Writes[len(c.backend.Writes)-1]; who.Actor != "ada" || who.Why != "the source was late" {
			t.Errorf("%s: %+v", body, who)
		}
	}
	tooMany := `{"operation":"stop","instances":[` + strings.Repeat(`"b1.1",`, 10_000) + `"b1.1"]}`
	if p := c.problem(c.ask("POST", "/v1/instances/operate", tooMany)); p.Field != "instances" {
		t.Errorf("10001 instances: %+v", p)
	}
}

// TestR9_ADifferenceIsShownBeforeItIsApplied: the dry run writes nothing.
func TestR9_ADifferenceIsShownBeforeItIsApplied(t *testing.T) {
	c := newContract(t, server.Options{})
	const change = `{"groups":4,"why":"faster"}`
	var tried, applied v1.EditResult
	for path, into := range map[string]*v1.EditResult{"/v1/backfills/b1?dryRun=true": &tried, "/v1/backfills/b1": &applied} {
		if err := json.Unmarshal(c.ask("PATCH", path, change).Body.Bytes(), into); err != nil {
			t.Fatal(err)
		}
	}
	if tried.Applied || !applied.Applied || !slices.Equal(tried.Changes, applied.Changes) || len(tried.Changes) != 1 || len(c.backend.Edits) != 1 {
		t.Errorf("tried %+v, applied %+v, %d edits", tried, applied, len(c.backend.Edits))
	}
	if p := c.problem(c.ask("PATCH", "/v1/backfills/b1", `{"groups":11}`)); p.Field != "groups" || len(c.backend.Edits) != 1 {
		t.Errorf("11 groups: %+v", p)
	}
}

func TestAReadWaitsForItsIndexButNotForEver(t *testing.T) {
	c := newContract(t, server.Options{WaitTimeout: 1})
	if w := c.ask("GET", "/v1/agents?min_index=8", ""); w.Code != 504 || c.problem(w).Code != v1.ErrorCodeTimeout {
		t.Errorf("index 8: %d %s", w.Code, w.Body)
	}
	if w := c.ask("GET", "/v1/agents?min_index=8&consistency=stale", ""); w.Code != 200 || w.Header().Get("Backfleet-Index") != "7" {
		t.Errorf("stale: %d", w.Code)
	}
	if w := c.ask("GET", "/v1/agents?min_index=7", ""); w.Code != 200 {
		t.Errorf("index 7: %d", w.Code)
	}
}

func TestAKeyTakesEffectOnce(t *testing.T) {
	c := newContract(t, server.Options{})
	first := c.ask("POST", "/v1/backfills", aRequest, "Idempotency-Key", "k1")
	second := c.ask("POST", "/v1/backfills", aRequest, "Idempotency-Key", "k1")
	if first.Body.String() != second.Body.String() || first.Header().Get("Location") != "/v1/backfills/b1" {
		t.Errorf("first %s, second %s", first.Body, second.Body)
	}
	other := c.ask("POST", "/v1/backfills", strings.Replace(aRequest, "07", "06", 1), "Idempotency-Key", "k1")
	if other.Code != 409 {
		t.Errorf("another request under the same key: %d", other.Code)
	}
	unkeyed := c.ask("POST", "/v1/backfills", aRequest)
	if key := unkeyed.Header().Get("Idempotency-Key"); key == "" || unkeyed.Body.String() == first.Body.String() {
		t.Errorf("without a key: key %q, %s", key, unkeyed.Body)
	}
}
