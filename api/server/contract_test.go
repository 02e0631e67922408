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
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"backfleet/api"
	"backfleet/api/internal/standin"
	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/pkg/cri"
	"backfleet/pkg/fault"
)

// contract is a server whose every answer is held against the document.
type contract struct {
	t       *testing.T
	handler http.Handler
	router  routers.Router
	backend *standin.Backend
}

func newContract(t *testing.T, o server.Options) *contract {
	t.Helper()
	document, err := openapi3.NewLoader().LoadFromData(api.Document)
	if err != nil {
		t.Fatal(err)
	}
	router, err := legacy.NewRouter(document)
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
	for _, one := range []struct {
		method, path, body string
		status             int
	}{
		{"PUT", "/v1/nodes", aNode, 200},
		{"GET", "/v1/nodes?contains=ORD&limit=1", "", 200},
		{"GET", "/v1/nodes/orders?consistency=linearizable", "", 200},
		{"POST", "/v1/backfills/preview?date=2012-01-02&min_index=7", aRequest, 200},
		{"POST", "/v1/backfills", aRequest, 201},
		{"GET", "/v1/backfills?state=running", "", 200},
		{"GET", "/v1/backfills/b1", "", 200},
		{"GET", "/v1/backfills/b1/receipt?by=node", "", 200},
		{"GET", "/v1/backfills/b1/dates?group=1", "", 200},
		{"POST", "/v1/backfills/b1/stop", "", 200},
		{"POST", "/v1/backfills/b1/pause", "", 200},
		{"POST", "/v1/backfills/b1/resume", "", 200},
		{"POST", "/v1/backfills/b1/rerun", `{"instances":["b1.1"]}`, 200},
		{"GET", "/v1/backfills/b1/instances?node=orders&date_from=2012-01-01&date_to=2012-01-03&state=failed", "", 200},
		{"GET", "/v1/instances/b1.1", "", 200},
		{"GET", "/v1/instances/b1.1/logs", "", 200},
		{"GET", "/v1/instances/b1.1/logs/follow", "", 200},
		{"GET", "/v1/agents", "", 200},
		{"GET", "/v1/cluster?consistency=stale", "", 200},
		{"POST", "/v1/cluster/transfer", `{"to":"c2"}`, 200},
		{"GET", "/v1/events?backfill=x", "", 400}, // its stream has no end: TestEventsResume
		{"GET", "/healthz", "", 200},
		{"GET", "/readyz", "", 200},
		{"GET", "/metrics", "", 200},
		{"GET", "/openapi.yaml", "", 200},
		{"GET", "/openapi.json", "", 200},
	} {
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
		}
	}
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
	c.backend.Fail = func(string) error { panic("boom") }
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
		{"POST", "/v1/backfills", `{"mode":"sideways","root":"a","dates":["2012-02-03"]}`, "mode", "current or descendants"},
		{"POST", "/v1/backfills", `{"mode":"current","root":"a","dates":["2012-02-03"]} {}`, "", "expected the end"},
		{"POST", "/v1/backfills", `{"mode":`, "", "not JSON"},
		{"POST", "/v1/backfills", ``, "", "no body"},
		{"PUT", "/v1/nodes", `{}`, "nodes", "nothing to apply"},
		{"PUT", "/v1/nodes", `{"nodes":[{"id":"a","schedule":{"kind":"daily","at":"25:00"}}]}`, `nodes["a"].schedule.at`, "23:59"},
		{"POST", "/v1/backfills/b1/rerun", `{}`, "instances", "either"},
		{"POST", "/v1/backfills/b1/rerun", `{"instances":["b2.1"]}`, "instances", "b1"},
		{"GET", "/v1/backfills/12", "", "backfill", "b12"},
		{"GET", "/v1/instances/b1.01", "", "instance", "b12.345"},
		{"GET", "/v1/backfills/b1/instances?state=lost", "", "state", "openapi"},
		{"GET", "/v1/backfills/b1/instances?date_from=2012-13-01", "", "date_from", "no such day"},
		{"GET", "/v1/nodes?limit=1001", "", "limit", "1000"},
		{"GET", "/v1/nodes?limit=many", "", "limit", "cannot be read"},
		{"GET", "/v1/nodes?consistency=perhaps", "", "consistency", "linearizable"},
		{"GET", "/v1/nodes?min_index=-1", "", "min_index", ""},
		{"GET", "/v1/instances/b1.1/logs?tail=3&offset=4", "", "tail", "leave out"},
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

func TestTokensAreAskedFor(t *testing.T) {
	c := newContract(t, server.Options{Tokens: []server.Token{{Name: "ada", Secret: "s3cret"}, {Name: "empty"}}})
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
