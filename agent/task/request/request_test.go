package request

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"backfleet/agent/task/metrics"
	"backfleet/agent/task/output"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// result is what came of a task.
type result struct {
	err     error
	log     string
	metrics map[string]string
	waits   []time.Duration
}

// perform runs an http node whose waits pass at once.
func perform(t *testing.T, spec *wire.Http) result {
	t.Helper()
	path := filepath.Join(t.TempDir(), metrics.File)
	t.Setenv(metrics.Variable, path)
	var log bytes.Buffer
	r := result{metrics: map[string]string{}}
	out := &output.Output{Log: &log, Metrics: &metrics.Report{}}
	r.err = run(t.Context(), &wire.Task{Node: &wire.Node{Id: "n", Type: "http", Http: spec}}, out, func(_ context.Context, d time.Duration) error {
		r.waits = append(r.waits, d)
		return nil
	})
	r.log = log.String()
	if err := out.Metrics.Write(); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(path)
	list, _ := metrics.Read(text)
	for _, m := range list {
		r.metrics[m.Name] = m.Value
	}
	return r
}

// serve answers each request in turn; the last answer stands for all that come after.
func serve(t *testing.T, answers ...http.HandlerFunc) string {
	t.Helper()
	var n atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answers[min(int(n.Add(1)), len(answers))-1](w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func TestARequest(t *testing.T) {
	t.Setenv("API_TOKEN", "s3cr3t")
	var got *http.Request
	var body []byte
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"rows": 3}`)
	})
	r := perform(t, &wire.Http{Method: "PUT", Url: url + "/partitions/20240101?x=1", Body: `{"ds": "20240101"}`,
		Headers: []*wire.Assignment{{Name: "Authorization", Value: "Bearer {secret:API_TOKEN}"}, {Name: "X-Run", Value: "b1.2"}, {Name: "Host", Value: "other.example"}}})
	if r.err != nil {
		t.Fatal(r.err)
	}
	if got.Method != "PUT" || got.URL.String() != "/partitions/20240101?x=1" || string(body) != `{"ds": "20240101"}` || got.Host != "other.example" ||
		got.Header.Get("Authorization") != "Bearer s3cr3t" || got.Header.Get("X-Run") != "b1.2" || got.Header.Get("User-Agent") != "backfleet" {
		t.Errorf("the server got %v with %q", got, body)
	}
	if fmt.Sprint(r.metrics) != "map[bytes:11 status:201 tries:1]" {
		t.Errorf("metrics %v", r.metrics)
	}
	for _, want := range []string{"PUT " + url + "/partitions/20240101?x=1: 201 Created, 11 bytes in ", "\n{\"rows\": 3}\n"} {
		if !strings.Contains(r.log, want) {
			t.Errorf("want %q in the log\n%s", want, r.log)
		}
	}
}

func TestWhichAnswersAreExpected(t *testing.T) {
	for _, c := range []struct {
		status int
		expect []int32
		tries  string
		want   string // empty: it succeeds
	}{
		{200, nil, "1", ""}, {204, nil, "1", ""}, {299, nil, "1", ""},
		{404, nil, "1", "answered 404 Not Found, expected 200 to 299"},
		{404, []int32{200, 404}, "1", ""},
		{200, []int32{201, 202}, "1", "answered 200 OK, expected 201 or 202"},
		{302, []int32{302}, "1", ""},
		{408, nil, "3", "after 3 tries: "}, {429, nil, "3", "after 3 tries: "}, {500, nil, "3", "answered 500 Internal Server Error"}, {599, nil, "3", "after 3 tries: "},
		{503, []int32{503}, "1", ""},
		{501, []int32{200}, "3", "answered 501 Not Implemented, expected 200"},
	} {
		r := perform(t, &wire.Http{Url: serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(c.status)
		}), Expect: c.expect, Retries: 2})
		if (r.err == nil) != (c.want == "") || r.err != nil && !strings.Contains(r.err.Error(), c.want) || r.metrics["tries"] != c.tries || r.metrics["status"] != fmt.Sprint(c.status) {
			t.Errorf("%d of %v: %v, %v; want %q after %s tries", c.status, c.expect, r.err, r.metrics, c.want, c.tries)
		}
	}
}

func TestRetries(t *testing.T) {
	r := perform(t, &wire.Http{Url: serve(t, status(503), status(429), status(500), status(200)), Retries: 5, BackoffMs: 100})
	if r.err != nil || r.metrics["tries"] != "4" || r.metrics["status"] != "200" {
		t.Fatalf("%v, %v", r.err, r.metrics)
	}
	for i, want := range []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond} {
		if d := r.waits[i]; d < want/2 || d > want {
			t.Errorf("wait %d was %s, want %s to %s", i+1, d, want/2, want)
		}
	}
	if !strings.Contains(r.log, "try 1 of 6: GET ") || !strings.Contains(r.log, "answered 503 Service Unavailable, expected 200 to 299; the next in ") {
		t.Errorf("the log is\n%s", r.log)
	}
}

func TestAFailedConnectionIsTriedAgain(t *testing.T) {
	s := httptest.NewServer(status(200))
	url := s.URL
	s.Close()
	r := perform(t, &wire.Http{Url: url, Retries: 1})
	if fault.CodeOf(r.err) != fault.Unavailable || !strings.Contains(r.err.Error(), "refused") || len(r.waits) != 1 || r.metrics["tries"] != "2" || r.metrics["status"] != "" {
		t.Errorf("%v after %v, %v", r.err, r.waits, r.metrics)
	}
	if r.waits[0] < defaultBackoff/2 || r.waits[0] > defaultBackoff {
		t.Errorf("without a backoff of its own it waits %s", r.waits[0])
	}
}

func TestTheServerMaySayWhenToComeBack(t *testing.T) {
	after := func(value string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", value)
			w.WriteHeader(429)
		}
	}
	inAMinute := time.Now().Add(time.Minute).UTC().Format(http.TimeFormat)
	for value, want := range map[string][2]time.Duration{
		"7": {7 * time.Second, 7 * time.Second}, inAMinute: {50 * time.Second, time.Minute},
		"soon": {500 * time.Microsecond, time.Millisecond}, "-5": {500 * time.Microsecond, time.Millisecond}, "0": {500 * time.Microsecond, time.Millisecond},
	} {
		r := perform(t, &wire.Http{Url: serve(t, after(value), status(200)), Retries: 1, BackoffMs: 1})
		if r.err != nil || len(r.waits) != 1 || r.waits[0] < want[0] || r.waits[0] > want[1] {
			t.Errorf("Retry-After: %s: waited %v (%v), want %v", value, r.waits, r.err, want)
		}
	}
	r := perform(t, &wire.Http{Url: serve(t, after("86400"), status(200)), Retries: 1})
	if r.err == nil || !strings.Contains(r.err.Error(), "pause of 24h0m0s") || !strings.Contains(r.err.Error(), "retryDelay") || len(r.waits) != 0 {
		t.Errorf("a pause of a day: %v, waited %v", r.err, r.waits)
	}
}

func TestPausesAreBounded(t *testing.T) {
	for range 100 {
		if d := pauseBefore(1000, time.Minute, 0); d < mostPause/2 || d > mostPause {
			t.Fatalf("a pause of %s", d)
		}
	}
}

func TestATryHasATimeout(t *testing.T) {
	release := make(chan struct{})
	hang := func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}
	half := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		hang(w, r)
	}
	defer close(release)
	for name, answer := range map[string]http.HandlerFunc{"no answer": hang, "half of one": half} {
		r := perform(t, &wire.Http{Url: serve(t, answer, status(200)), TimeoutMs: 200, Retries: 1})
		if r.err != nil || r.metrics["tries"] != "2" || !strings.Contains(r.log, "no whole answer within 200ms (http.timeout)") {
			t.Errorf("%s: %v, %v\n%s", name, r.err, r.metrics, r.log)
		}
	}
}

func TestItCanBeStopped(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	task := &wire.Task{Node: &wire.Node{Http: &wire.Http{Url: serve(t, func(w http.ResponseWriter, r *http.Request) {
		cancel(errors.New("SIGTERM"))
		<-r.Context().Done()
	}), Retries: 100}}}
	if err := Run(ctx, task, &output.Output{Log: io.Discard}); err == nil || !strings.Contains(err.Error(), "stopped") {
		t.Errorf("during a try: %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	task.Node.Http.Url = serve(t, status(500))
	if err := run(ctx, task, &output.Output{Log: io.Discard}, func(ctx context.Context, _ time.Duration) error {
		stop()
		return realWait(ctx, time.Hour)
	}); err == nil || !strings.Contains(err.Error(), "stopped") {
		t.Errorf("during a pause: %v", err)
	}
}

func TestWhatTheLogShows(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		most int64
		want string
		not  string
	}{
		"all of it":          {"one\ntwo\n", 0, "\none\ntwo\n", "more"},
		"its beginning":      {"0123456789abc", 10, "\n0123456789\n(3 bytes more; ", "abc"},
		"no half a letter":   {"0123456é9", 8, "\n0123456\n(3 bytes more; ", "é"},
		"no bytes":           {"\x89PNG\r\n\x1a\n\x00", 0, "(the body is no text, and not shown)", "PNG"},
		"nothing":            {"", 0, ", 0 bytes in ", "shown"},
		"much, by default":   {strings.Repeat("x", defaultShown+5), 0, "(5 bytes more; ", "xx\nx"},
		"half a long letter": {"ab\U0001F600", 5, "\nab\n(4 bytes more", "shown)\n\n"},
	} {
		r := perform(t, &wire.Http{MaxResponseBytes: c.most, Url: serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, c.body) })})
		if r.err != nil || r.metrics["bytes"] != fmt.Sprint(len(c.body)) || !strings.Contains(r.log, c.want) || strings.Contains(r.log, c.not) {
			t.Errorf("%s: %v, %v\n%.300s", name, r.err, r.metrics, r.log)
		}
	}
}

// TestSecretsDoNotFollowRedirects: to another host no header goes that has one,
// nor back from there.
func TestSecretsDoNotFollowRedirects(t *testing.T) {
	t.Setenv("API_TOKEN", "s3cr3t")
	seen := map[string]http.Header{}
	see := func(name string, next *string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			seen[name+r.URL.Path] = r.Header
			if next != nil && r.URL.Path == "/" {
				http.Redirect(w, r, *next, http.StatusTemporaryRedirect)
			}
		}
	}
	var second, back string
	first := serve(t, see("first", &second))
	second = serve(t, see("second", &back)) + "/"
	back = first + "/back"
	headers := []*wire.Assignment{{Name: "Authorization", Value: "Bearer plain"}, {Name: "X-Api-Key", Value: "{secret:API_TOKEN}"}, {Name: "Cookie", Value: "a=b"}, {Name: "X-Run", Value: "b1.2"}}
	r := perform(t, &wire.Http{Method: "POST", Url: first + "/", Body: "x", Headers: headers})
	if r.err != nil {
		t.Fatal(r.err)
	}
	for name, secrets := range map[string]bool{"first/": true, "second/": false, "first/back": false} {
		h := seen[name]
		if h.Get("X-Run") != "b1.2" {
			t.Errorf("%s got %v, want what is no secret", name, h)
		}
		for _, header := range []string{"Authorization", "X-Api-Key", "Cookie"} {
			if (h.Get(header) != "") != secrets {
				t.Errorf("%s got %s: %q, want it: %v", name, header, h.Get(header), secrets)
			}
		}
	}
	within := "/back"
	clear(seen)
	if r := perform(t, &wire.Http{Url: serve(t, see("own", &within)) + "/", Headers: headers}); r.err != nil || seen["own/back"].Get("X-Api-Key") != "s3cr3t" {
		t.Errorf("on the same host: %v, %v", r.err, seen)
	}
	loop := "/"
	if r := perform(t, &wire.Http{Url: serve(t, see("loop", &loop)) + "/"}); r.err == nil || !strings.Contains(r.err.Error(), "more than 10 redirects") {
		t.Errorf("a circle: %v", r.err)
	}
}

func TestWhatIsRefusedBeforeAnythingIsSent(t *testing.T) {
	t.Setenv("EMPTY", "")
	header := func(value string) []*wire.Assignment { return []*wire.Assignment{{Name: "X-Key", Value: value}} }
	for want, spec := range map[string]*wire.Http{
		"http: node \"n\": expected a request":                      nil,
		"http.headers.X-Key: {secret:GONE}: the attempt has no":     {Url: "http://127.0.0.1:1", Headers: header("{secret:GONE}")},
		"http.headers.X-Key: {secret:EMPTY}: the attempt has no":    {Url: "http://127.0.0.1:1", Headers: header("k {secret:EMPTY}")},
		"http.headers.X-Key: expected one line, found several":      {Url: "http://127.0.0.1:1", Headers: header("a\r\nX-Forged: b")},
		"http.url: expected http://… or https://…, found \"ftp://h": {Url: "ftp://h/x"},
		"http.url: expected http://… or https://…, found \"/x\"":    {Url: "/x"},
		"look at http.method and http.url":                          {Url: "http://u:pa55word@h:x y/"},
		"the request cannot be made":                                {Url: "http://h", Method: "GET IT"},
	} {
		r := perform(t, spec)
		if r.err == nil || !strings.Contains(r.err.Error(), want) || len(r.waits) > 0 || r.log != "" || strings.Contains(r.err.Error(), "pa55word") {
			t.Errorf("got %v (log %q), want %s", r.err, r.log, want)
		}
	}
}

func TestAPasswordInTheURLIsNotShown(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "u" || password != "pa55word" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	r := perform(t, &wire.Http{Url: strings.Replace(url, "://", "://u:pa55word@", 1)})
	if r.err != nil || strings.Contains(r.log, "pa55word") || !strings.Contains(r.log, "u:xxxxx@") {
		t.Errorf("%v\n%s", r.err, r.log)
	}
}
