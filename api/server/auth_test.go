package server_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"backfleet/api/internal/standin"
	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// read takes a good answer apart.
func read[T any](t *testing.T, w *httptest.ResponseRecorder) T {
	t.Helper()
	var out T
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || w.Code >= 300 {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	return out
}

var quiet = slog.New(slog.DiscardHandler)

var someTokens = tokens(server.Token{Name: "root", Secret: "s3cret-of-root", Role: wire.Role_ADMIN})

// user adds a user of the standin and a token of theirs, and gives its text.
func user(t *testing.T, b *standin.Backend, u *wire.User) string {
	t.Helper()
	if _, _, err := b.PutUser(t.Context(), server.Write{RequestID: "put-" + u.Name}, u); err != nil {
		t.Fatal(err)
	}
	made, err := b.CreateToken(t.Context(), server.Write{RequestID: "token-" + u.Name}, server.UserToken{User: u.Name})
	if err != nil {
		t.Fatal(err)
	}
	return made.Token
}

func TestR15_3_WhatCountsIsTheUserAtTheMoment(t *testing.T) {
	c := newContract(t, server.Options{Tokens: someTokens})
	text := user(t, c.backend, &wire.User{Name: "ann", Role: wire.Role_DEVELOPER, Workspaces: []string{"shop"}})
	auth := []string{"Authorization", "Bearer " + text}
	me := read[v1.Me](t, c.ask("GET", "/v1/me", "", auth...))
	if me.Name != "ann" || me.Role != v1.RoleDeveloper || !me.Restricted || me.Via != "u1" {
		t.Errorf("%+v", me)
	}
	c.ask("POST", "/v1/backfills", aRequest, auth...)
	got := c.backend.Writes[len(c.backend.Writes)-1]
	if got.Actor != "ann" || got.Role != wire.Role_DEVELOPER || !got.Restricted || got.Via != "u1" || got.Operation != "submitBackfill" || got.From == "" {
		t.Errorf("%+v", got)
	}
	for _, broken := range []string{text[:len(text)-1], text + "x", "bft_u1_", "bft_u1", "bft_", "bft__secret", "bft_u9_secret", strings.ToUpper(text)} {
		if w := c.ask("GET", "/v1/nodes", "", "Authorization", "Bearer "+broken); w.Code != 401 || strings.Contains(w.Body.String(), text) {
			t.Errorf("%q: %d %s", broken, w.Code, w.Body)
		}
	}
	if _, _, err := c.backend.PutUser(t.Context(), server.Write{RequestID: "less"}, &wire.User{Name: "ann", Role: wire.Role_VIEWER}); err != nil {
		t.Fatal(err)
	}
	if w := c.ask("POST", "/v1/backfills", aRequest, auth...); w.Code != 403 {
		t.Errorf("a viewer by now: %d", w.Code)
	}
	if _, _, err := c.backend.PutUser(t.Context(), server.Write{RequestID: "no more"}, &wire.User{Name: "ann", Role: wire.Role_VIEWER, Disabled: true}); err != nil {
		t.Fatal(err)
	}
	if w := c.ask("GET", "/v1/nodes", "", auth...); w.Code != 401 || !strings.Contains(c.problem(w).Detail, "disabled") {
		t.Errorf("disabled: %d %s", w.Code, w.Body)
	}
}

// follower is a standin that does not know a token before it was waited for.
type follower struct {
	*standin.Backend
	behind         atomic.Bool
	waited, asked  atomic.Int64
	leaderIndex    uint64
	waitForever    bool
	lastWaitedUpTo atomic.Uint64
}

func (f *follower) Bearer(id string) (server.Bearer, bool) {
	if f.behind.Load() {
		return server.Bearer{}, false
	}
	return f.Backend.Bearer(id)
}

func (f *follower) ReadIndex(context.Context) (uint64, error) {
	f.asked.Add(1)
	return f.leaderIndex, nil
}

func (f *follower) WaitIndex(ctx context.Context, index uint64) error {
	if f.behind.Load() {
		f.waited.Add(1)
		f.lastWaitedUpTo.Store(index)
		if f.waitForever {
			<-ctx.Done()
			return fault.Wrap(ctx.Err(), fault.Timeout, "not yet")
		}
		f.behind.Store(false)
	}
	return nil
}

func TestR15_3_AFollowerWaitsForAFreshToken(t *testing.T) {
	for name, x := range map[string]struct {
		path        string
		asked, upTo uint64
		forever     bool
		status      int
	}{
		"for what the leader has": {"/v1/me", 1, 41, false, 200},
		"for the index given":     {"/v1/me?min_index=17", 0, 17, false, 200},
		"not for ever":            {"/v1/me?min_index=18", 0, 18, true, 401},
	} {
		f := &follower{Backend: standin.New(), leaderIndex: 41, waitForever: x.forever}
		f.Lead = server.Leader{HTTPAddress: "http://127.0.0.1:1"}
		f.behind.Store(true)
		c := newContract(t, server.Options{Tokens: someTokens})
		c.handler = server.New(server.Options{Backend: f, Logger: quiet, Tokens: someTokens}).Handler()
		began := time.Now()
		w := c.ask("GET", x.path, "", "Authorization", "Bearer "+standin.UserTokenText)
		if w.Code != x.status || f.asked.Load() != int64(x.asked) || f.waited.Load() != 1 || f.lastWaitedUpTo.Load() != x.upTo || time.Since(began) > 5*time.Second {
			t.Errorf("%s: %d %s; asked %d, waited %d up to %d for %v", name, w.Code, w.Body, f.asked.Load(), f.waited.Load(), f.lastWaitedUpTo.Load(), time.Since(began))
		}
	}
}

// Who goes on guessing is told to wait, and makes nobody wait or ask the leader.
func TestR15_3_FailuresAreLimited(t *testing.T) {
	f := &follower{Backend: standin.New()}
	f.Lead = server.Leader{HTTPAddress: "http://127.0.0.1:1"}
	h := server.New(server.Options{Backend: f, Logger: quiet, Tokens: someTokens, Rates: server.Rates{LoginsPerMinute: 3}}).Handler()
	codes := map[int]int{}
	try := func(from, auth string) int {
		r := httptest.NewRequest("GET", "/v1/me", nil)
		r.RemoteAddr = from
		r.Header.Set("Authorization", "Bearer "+auth)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code == 429 && w.Header().Get("Retry-After") != "20" {
			t.Errorf("wait %q", w.Header().Get("Retry-After"))
		}
		return w.Code
	}
	for range 20 {
		codes[try("192.0.2.7:1000", "bft_zz_guess")]++
	}
	if codes[401] != 3 || codes[429] != 17 || f.asked.Load() != 3 || len(f.Writes) != 0 {
		t.Errorf("%v, asked the leader %d times", codes, f.asked.Load())
	}
	if code := try("192.0.2.7:1001", standin.UserTokenText); code != 200 {
		t.Errorf("who has a good token, from the same address: %d", code)
	}
	if code := try("192.0.2.8:1000", "bft_zz_guess"); code != 401 {
		t.Errorf("another address: %d", code)
	}
	for host := range 4 { // one network of hosts
		codes[try("[2001:db8::"+string(rune('1'+host))+"]:1000", "wrong")]++
	}
	if codes[429] != 18 {
		t.Errorf("hosts of one network: %v", codes)
	}
}

func TestCallersAreLimited(t *testing.T) {
	c := newContract(t, server.Options{
		Tokens: tokens(server.Token{Name: "a", Secret: "s3cret-a", Role: wire.Role_ADMIN}, server.Token{Name: "b", Secret: "s3cret-b", Role: wire.Role_ADMIN}),
		Rates:  server.Rates{CallsPerSecond: 1},
	})
	var last *httptest.ResponseRecorder
	for range 30 {
		last = c.ask("GET", "/v1/regions", "", "Authorization", "Bearer s3cret-a")
	}
	if last.Code != 429 || last.Header().Get("Retry-After") != "1" || c.problem(last).Code != v1.ErrorCodeOverloaded {
		t.Errorf("%d %s", last.Code, last.Body)
	}
	if w := c.ask("POST", "/v1/backfills/b1/stop", "", "Authorization", "Bearer s3cret-a"); w.Code != 200 {
		t.Errorf("what relieves: %d", w.Code)
	}
	if w := c.ask("GET", "/v1/regions", "", "Authorization", "Bearer s3cret-b"); w.Code != 200 {
		t.Errorf("another: %d", w.Code)
	}
}

// Where nothing has to be shown, what is shown counts all the same.
func TestR15_3_TheOpenMode(t *testing.T) {
	c := newContract(t, server.Options{})
	for _, x := range []struct {
		headers []string
		name    string
		role    v1.Role
	}{
		{nil, "192.0.2.1", v1.RoleAdmin},
		{[]string{"Backfleet-Actor", "ann"}, "ann", v1.RoleAdmin},
		{[]string{"Authorization", "Bearer " + standin.UserTokenText}, "olga", v1.RoleOperator},
	} {
		me := read[v1.Me](t, c.ask("GET", "/v1/me", "", x.headers...))
		if me.Name != x.name || me.Role != x.role {
			t.Errorf("%v: %+v", x.headers, me)
		}
	}
	if w := c.ask("GET", "/v1/me", "", "Authorization", "Bearer bft_u0_wrong"); w.Code != 401 {
		t.Errorf("a token that is wrong: %d", w.Code)
	}
	h := server.New(server.Options{Backend: standin.New(), Logger: quiet, OnlyLoopback: true}).Handler()
	for url, status := range map[string]int{"http://rebound.example.com/v1/me": 403, "http://127.0.0.1:8470/v1/me": 200, "http://[::1]:8470/v1/me": 200, "http://localhost:1/v1/me": 200} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", url, nil))
		if w.Code != status {
			t.Errorf("%s: %d", url, w.Code)
		}
	}
}

// A browser's cookie is as good as a header, but not for what other sites send.
func TestR15_3_CookiesAndOtherSites(t *testing.T) {
	c := newContract(t, server.Options{Tokens: someTokens})
	cookie := "backfleet_session=" + standin.UserTokenText
	for name, x := range map[string]struct {
		headers []string
		status  int
	}{
		"its own page":              {[]string{"Cookie", cookie, "Sec-Fetch-Site", "same-origin"}, 200},
		"no browser":                {[]string{"Cookie", cookie}, 200},
		"an older browser's page":   {[]string{"Cookie", cookie, "Origin", "http://example.com"}, 200},
		"another site":              {[]string{"Cookie", cookie, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 403},
		"a site beside it":          {[]string{"Cookie", cookie, "Sec-Fetch-Site", "same-site"}, 403},
		"an older browser's other":  {[]string{"Cookie", cookie, "Origin", "https://evil.example"}, 403},
		"another site with a token": {[]string{"Authorization", "Bearer " + standin.UserTokenText, "Origin", "https://evil.example"}, 200},
		"a wrong cookie":            {[]string{"Cookie", cookie + "x"}, 401},
	} {
		if w := c.ask("POST", "/v1/backfills/b1/pause", "", x.headers...); x.status != w.Code {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	if w := c.ask("GET", "/v1/nodes", "", "Cookie", cookie, "Sec-Fetch-Site", "cross-site"); w.Code != 200 {
		t.Errorf("a read changes nothing: %d", w.Code)
	}
	w := c.ask("GET", "/v1/nodes", "", "Cookie", cookie)
	for header, says := range map[string]string{"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "frame-ancestors 'none'"} {
		if !strings.Contains(w.Header().Get(header), says) {
			t.Errorf("%s: %q", header, w.Header().Get(header))
		}
	}
}

// The address that is kept is believed from coordinators alone.
func TestR15_4_WhoIsBelievedWhereARequestIsFrom(t *testing.T) {
	certified := func(names ...string) *tls.ConnectionState {
		return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{DNSNames: names}}}
	}
	for name, x := range map[string]struct {
		remote string
		tls    *tls.ConnectionState
		said   string
		from   string
	}{
		"nobody says":                       {"192.0.2.7:1", nil, "", "192.0.2.7"},
		"a stranger":                        {"192.0.2.7:1", nil, "198.51.100.1", "192.0.2.7"},
		"a neighbour without TLS":           {"127.0.0.1:1", nil, "198.51.100.1", "198.51.100.1"},
		"a neighbour with TLS":              {"127.0.0.1:1", &tls.ConnectionState{}, "198.51.100.1", "127.0.0.1"},
		"a coordinator":                     {"192.0.2.7:1", certified("c1.coordinator.backfleet"), "198.51.100.1", "198.51.100.1"},
		"an agent":                          {"192.0.2.7:1", certified("a1.agent.backfleet"), "198.51.100.1", "192.0.2.7"},
		"a coordinator that knows none yet": {"192.0.2.7:1", certified("c1.coordinator.backfleet"), "1", "192.0.2.7"},
	} {
		b := standin.New()
		h := server.New(server.Options{Backend: b, Logger: quiet}).Handler()
		r := httptest.NewRequest("POST", "/v1/backfills/b1/stop", nil)
		r.RemoteAddr, r.TLS = x.remote, x.tls
		r.Header.Set("Backfleet-Forwarded", x.said)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusOK || len(b.Writes) != 1 || b.Writes[0].From != x.from {
			t.Errorf("%s: %d %s, %+v", name, w.Code, w.Body, b.Writes)
		}
	}
}

// Refusals reach the audit, so many a second; the rest are counted.
func TestR15_4_RefusalsAreRecorded(t *testing.T) {
	b := standin.New()
	s := server.New(server.Options{Backend: b, Logger: quiet, Tokens: tokens(server.Token{Name: "ann", Secret: "s3cret", Role: wire.Role_VIEWER})})
	began := time.Now()
	for range 25 {
		r := httptest.NewRequest("PUT", "/v1/regions/eu?why=x", strings.NewReader(`{"advancedMode":true}`))
		r.Header.Set("Authorization", "Bearer s3cret")
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code != 403 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	stranger := httptest.NewRequest("PUT", "/v1/regions/eu", nil)
	s.Handler().ServeHTTP(httptest.NewRecorder(), stranger)
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	records, _, err := b.Audit(t.Context(), server.AuditFilter{Ascending: true}, server.Page{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	records = slices.DeleteFunc(records, func(r v1.AuditRecord) bool { return r.Number <= 2 })
	each, counted := 0, 0
	for _, r := range records {
		if r.Operation != "" {
			each++
		} else {
			counted += int(r.Count)
		}
	}
	// A slow machine has time for more.
	if most := 10 + int(10*time.Since(began).Seconds()); each < 10 || each > most || each+counted != 25 {
		t.Fatalf("%d one by one (10 to %d expected), %d counted: %+v", each, most, counted, records)
	}
	r := records[0]
	if r.Actor != "ann" || r.Via != "file:ann" || r.From != "192.0.2.1" || r.Operation != "putRegion" || r.Target != "/v1/regions/eu" || r.Code != "denied" || r.RequestID == "" ||
		!strings.Contains(r.Message, "the role operator") {
		t.Errorf("%+v", r)
	}
}

// Who may no more follows no more.
func TestR15_3_StreamsEndWithTheRight(t *testing.T) {
	b := standin.New()
	text := user(t, b, &wire.User{Name: "ann", Role: wire.Role_VIEWER})
	site := httptest.NewServer(server.New(server.Options{Backend: b, Logger: quiet, Tokens: someTokens, Recheck: 10 * time.Millisecond, Heartbeat: time.Minute}).Handler())
	defer site.Close()
	r, err := http.NewRequestWithContext(t.Context(), "GET", site.URL+"/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+text)
	answer, err := http.DefaultClient.Do(r)
	if err != nil || answer.StatusCode != 200 {
		t.Fatalf("%v, %v", answer, err)
	}
	defer answer.Body.Close()
	if _, err := b.RemoveUser(t.Context(), server.Write{RequestID: "gone"}, "ann"); err != nil {
		t.Fatal(err)
	}
	rest := new(strings.Builder)
	buffer := make([]byte, 4096)
	for {
		n, err := answer.Body.Read(buffer)
		rest.Write(buffer[:n])
		if err != nil {
			break
		}
	}
	if !strings.Contains(rest.String(), "event: error") || !strings.Contains(rest.String(), "unauthenticated") {
		t.Errorf("it ended with %q", rest)
	}
}
