package server_test

import (
	"bytes"
	"cmp"
	"context"
	"hash/fnv"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"backfleet/api"
	"backfleet/api/internal/standin"
	"backfleet/api/server"
	"backfleet/pkg/cri"
)

// fuzzed is one operation of the document.
type fuzzed struct {
	id, path, method string
	route            *routers.Route
}

// operations lists what the document has, by id.
func operations(document *openapi3.T) (all []fuzzed) {
	for path, item := range document.Paths.Map() {
		for method, o := range item.Operations() {
			all = append(all, fuzzed{o.OperationID, path, method, &routers.Route{Spec: document, Path: path, PathItem: item, Method: method, Operation: o}})
		}
	}
	slices.SortFunc(all, func(a, b fuzzed) int { return cmp.Compare(a.id, b.id) })
	return all
}

// pick gives the operation of this name, or for any other text one that only
// depends on the text.
func pick(all []fuzzed, name string) fuzzed {
	if i := slices.IndexFunc(all, func(o fuzzed) bool { return o.id == name }); i >= 0 {
		return all[i]
	}
	h := fnv.New32a()
	_, _ = io.WriteString(h, name)
	return all[h.Sum32()%uint32(len(all))]
}

// request builds a request for an operation: the places of its path are filled
// from the parts of path, headers are lines "Name: value".
func (o fuzzed) request(path, query, headers, body string) (*http.Request, map[string]string) {
	parts, params := strings.Split(path, "/"), map[string]string{}
	steps := strings.Split(o.path, "/")
	for i, step := range steps {
		if name, ok := strings.CutPrefix(step, "{"); ok {
			value := cmp.Or(parts[0], "b1")
			parts = append(parts[1:], parts[0])
			params[strings.TrimSuffix(name, "}")], steps[i] = value, url.PathEscape(value)
		}
	}
	u := &url.URL{Scheme: "http", Host: "coordinator", RawPath: strings.Join(steps, "/"), RawQuery: query}
	u.Path, _ = url.PathUnescape(u.RawPath) // it was escaped here
	r := (&http.Request{
		Method: o.method, URL: u, Host: u.Host, Header: http.Header{}, RemoteAddr: "127.0.0.1:1234", ContentLength: int64(len(body)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: io.NopCloser(strings.NewReader(body)),
	})
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for line := range strings.Lines(headers) {
		name, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ": ")
		// Others do not come through a server of net/http.
		if isToken(name) && !strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c == 127 }) {
			r.Header.Add(name, value)
		}
	}
	return r, params
}

func isToken(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(c rune) bool { return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' })
}

// seeds are requests that reach every operation, and the forms of what may be
// written into one.
func seeds(add func(...any), all []fuzzed) {
	for _, o := range all {
		add(o.id, "b1", "", "", `{}`)
		add(o.id, "b1.1/x", "limit=3&cursor=x&date_from=2012-01-01&contains=a", "Idempotency-Key: k", "")
	}
	for _, s := range [][5]string{
		{"applyNodes", "", "dryRun=true", "", aNode},
		{"applyNodes", "", "", "", `{"nodes":[{"id":"a","upstreams":[{"node":"b","dates":[-6,0]}],"environment":[{"name":"A","value":"${yyyymmdd}"}],"schedule":{"kind":"monthly","days":[1,"last"]}},{"id":"b"}],"remove":["orders"]}`},
		{"submitBackfill", "", "", "Idempotency-Key: k1\nBackfleet-Actor: ada", aRequest},
		{"submitBackfill", "", "", "", `{"mode":"advanced","root":"orders","dates":["2012-01-01..2012-01-07","2012-02-29"],"groups":4,"period":{"from":"22:00","to":"06:00"},"priority":8,"order":"descending","nodes":["a"],"fields":[{"node":"orders","fields":["f"]}],"workspaces":["w"]}`},
		{"previewBackfill", "", "date=2012-01-02&min_index=7&state=failed", "", aRequest},
		{"editBackfill", "b1", "dryRun=true", "", `{"groups":4,"addDates":["2012-01-08..2012-01-10"],"period":{"from":"22:00","to":"06:00"},"addNodes":["x"],"why":"so"}`},
		{"rerunBackfill", "b1", "", "", `{"instances":["b1.1"],"descendants":"all"}`},
		{"operateInstances", "", "", "", `{"operation":"setPriority","instances":["b1.1","b2.3"],"priority":8,"why":"urgent"}`},
		{"operateBackfills", "", "", "", `{"operation":"pause","backfills":["b1","b2"]}`},
		{"freezeBackfill", "b1", "", "", `{"dates":["2012-01-01..2012-01-03"],"why":"so"}`},
		{"searchLog", "b1.1", "text=HEL%28+L&regex=true&ignoreCase=true&context=1&limit=2", "", ""},
		{"readLog", "b1.1", "tail=3&attempt=1&consistency=linearizable", "Accept: text/plain", ""},
		{"followLog", "b1.1", "offset=3", "Last-Event-ID: 17\nAccept: text/event-stream", ""},
		{"streamEvents", "", "backfill=b1", "Last-Event-ID: e0", ""},
		{"listAgents", "", "label=os%3Dlinux&state=ready&group=default&fields=id,a.b&sort=-id,name&sort=id", "", ""},
		{"putResourceGroup", "etl", "why=more", "If-Match: \"7\"", `{"kind":"exclusive","reserveForAuto":2,"backfillMaxShare":50}`},
		{"putDataSource", "w", "", "", `{"type":"mariadb","host":"db","database":"shop","user":"etl","password":{"environment":"BACKFLEET_SECRET_W"},"options":[{"name":"charset","value":"utf8mb4"}]}`},
		{"createJoinToken", "", "", "Content-Encoding: gzip", `{"expiresInSeconds":3600}`},
		{"drainAgents", "", "", "Backfleet-Forwarded: 1", `{"agents":["a1"],"deadlineSeconds":600}`},
		{"drainAgents", "", "", "", `[[[[[{"agents":1e400}]]]]]` + strings.Repeat("[", 40)},
	} {
		add(s[0], s[1], s[2], s[3], s[4])
	}
}

// FuzzRequests: whatever is sent to whichever operation, it is answered as the
// document says, nothing fails on this side, and what is refused changes
// nothing.
func FuzzRequests(f *testing.F) {
	document, err := openapi3.NewLoader().LoadFromData(api.Document)
	if err != nil {
		f.Fatal(err)
	}
	all := operations(document)
	seeds(f.Add, all)
	// The backend is another for each request, so that none depends on others.
	backend := &struct{ server.Backend }{}
	handler := server.New(server.Options{Backend: backend, Logger: slog.New(slog.DiscardHandler), WaitTimeout: time.Millisecond, MaxBody: 1 << 20}).Handler()
	f.Fuzz(func(t *testing.T, name, path, query, headers, body string) {
		facts := standin.New()
		facts.WriteLog(cri.Stdout, false, "hello")
		facts.EndLog()
		backend.Backend = facts
		o := pick(all, name)
		r, params := o.request(path, query, headers, body)
		// Streams have no other end.
		ctx, cancel := context.WithTimeout(r.Context(), 20*time.Millisecond)
		defer cancel()
		if o.id == "streamEvents" {
			r = r.WithContext(ctx)
		}
		before := facts.AppliedIndex()
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)

		if w.Code >= 500 && (w.Code != http.StatusGatewayTimeout || !strings.Contains(query, "min_index")) {
			t.Errorf("%s %s: %d %s", r.Method, r.URL, w.Code, w.Body)
		}
		if w.Code >= 400 && facts.AppliedIndex() != before {
			t.Errorf("%s %s was refused with %d and changed something", r.Method, r.URL, w.Code)
		}
		if w.Header().Get("Content-Type") == "text/event-stream" || r.Context().Err() != nil {
			return // whoever left is told nothing
		}
		err := openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
			RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: o.route},
			Status:                 w.Code, Header: w.Header(), Body: io.NopCloser(bytes.NewReader(w.Body.Bytes())),
			Options: &openapi3filter.Options{IncludeResponseStatus: true},
		})
		if err != nil {
			t.Errorf("%s %s: %d %s\n%v", r.Method, r.URL, w.Code, w.Body, err)
		}
	})
}
