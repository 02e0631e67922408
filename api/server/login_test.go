package server_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"backfleet/api/internal/standin"
	"backfleet/api/login"
	"backfleet/api/login/logintest"
	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/pkg/wire"
)

// office is a coordinator's API, and a follower that passes on to it, with a
// provider at which people log in.
type office struct {
	*logintest.Provider
	t              *testing.T
	backend        *standin.Backend
	site, follower *httptest.Server
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{t: t, backend: standin.New()}
	var handler, passing http.Handler
	o.site = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	o.follower = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { passing.ServeHTTP(w, r) }))
	t.Cleanup(o.site.Close)
	t.Cleanup(o.follower.Close)
	o.Provider = logintest.StartPlain(t, []string{o.site.URL + "/login/callback", o.follower.URL + "/login/callback"},
		logintest.Person{Name: "ann", Email: "ann@example.com", Groups: []string{"data-eng"}},
		logintest.Person{Name: "dan", Groups: []string{"data-eng"}}, // disabled here
		logintest.Person{Name: "eve", Groups: []string{"guests"}})
	provider := func() *login.Provider {
		p, err := login.New(login.Config{
			Issuer: o.Issuer, ClientID: o.ClientID, CLIClientID: o.CLIClientID, SecretFile: o.SecretFile, Roles: "data-eng=developer:shop",
		}, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "the page") })
	handler = server.New(server.Options{Backend: o.backend, Logger: quiet, Login: provider(), Page: page, SessionTime: time.Hour}).Handler()
	behind := &follower{Backend: standin.New()}
	behind.Lead = server.Leader{HTTPAddress: o.site.URL}
	passing = server.New(server.Options{Backend: behind, Logger: quiet, Login: provider(), Page: page}).Handler()
	return o
}

// me asks who the browser's person is.
func (o *office) me(b *logintest.Browser, site string) (*http.Response, v1.Me) {
	o.t.Helper()
	answer, err := b.Get(site + "/v1/me")
	if err != nil {
		o.t.Fatal(err)
	}
	defer answer.Body.Close()
	var me v1.Me
	if err := json.NewDecoder(answer.Body).Decode(&me); err != nil {
		o.t.Fatal(err)
	}
	return answer, me
}

// end logs the browser's person out, from a page of the given site.
func (o *office) end(b *logintest.Browser, from string) int {
	o.t.Helper()
	r, err := http.NewRequestWithContext(o.t.Context(), "DELETE", o.site.URL+"/v1/sessions/current", nil)
	if err != nil {
		o.t.Fatal(err)
	}
	r.Header.Set("Sec-Fetch-Site", from)
	answer, err := b.Do(r)
	if err != nil {
		o.t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

func TestR15_3_ABrowserLogsInAndOut(t *testing.T) {
	o := newOffice(t)
	b := o.Browser(t)
	got := b.Login(o.site.URL+"/login/oidc?next=/backfills", "ann")
	if text, _ := io.ReadAll(got.Body); got.Request.URL.String() != o.site.URL+"/backfills" || string(text) != "the page" {
		t.Fatalf("it ended at %s with %s %s", got.Request.URL, got.Status, text)
	}
	site, err := url.Parse(o.site.URL)
	if err != nil {
		t.Fatal(err)
	}
	if cookies := b.Jar.Cookies(site); len(cookies) != 1 || cookies[0].Name != "backfleet_session" || !strings.HasPrefix(cookies[0].Value, "bft_") {
		t.Errorf("cookies: %v", cookies)
	}
	_, me := o.me(b, o.site.URL)
	if me.Name != "ann" || me.Role != v1.RoleDeveloper || !slices.Equal(me.Workspaces, []string{"shop"}) || !me.Session || me.ExpiresAt == nil {
		t.Errorf("%+v", me)
	}
	user, err := o.backend.User(t.Context(), "ann")
	if err != nil || user.Email != "ann@example.com" || user.Issuer != o.Issuer {
		t.Errorf("%+v, %v", user, err)
	}
	token := o.backend.Writes[0]
	if token.Actor != "ann" || token.Via != "login" || token.From != "127.0.0.1" || token.Operation != "createSession" {
		t.Errorf("made by %+v", token)
	}
	if code := o.end(b, "cross-site"); code != http.StatusForbidden {
		t.Errorf("another site's page logs out: %d", code)
	}
	if code := o.end(b, "same-origin"); code != http.StatusOK || len(b.Jar.Cookies(site)) != 0 {
		t.Errorf("its own page: %d, %v", code, b.Jar.Cookies(site))
	}
	if _, ok := o.backend.Bearer(me.Via); ok {
		t.Error("the token goes on after the session's end")
	}
	if answer, _ := o.me(b, o.site.URL); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("logged out: %s", answer.Status)
	}
}

// A follower begins logins and has the leader end them.
func TestR15_3_ABrowserLogsInByAFollower(t *testing.T) {
	o := newOffice(t)
	b := o.Browser(t)
	got := b.Login(o.follower.URL+"/login/oidc", "ann")
	if got.Request.URL.String() != o.follower.URL+"/" || got.StatusCode != 200 {
		t.Fatalf("it ended at %s with %s", got.Request.URL, got.Status)
	}
	site, _ := url.Parse(o.follower.URL)
	if cookies := b.Jar.Cookies(site); len(cookies) != 1 || len(o.backend.Writes) != 1 {
		t.Errorf("%v, %d writes of the leader", cookies, len(o.backend.Writes))
	}
}

func TestR15_3_WhoIsNotLetIn(t *testing.T) {
	o := newOffice(t)
	for name, says := range map[string]string{"eve": "gives no role here", "dan": "is disabled"} {
		got := o.Browser(t).Login(o.site.URL+"/login/oidc", name)
		if text, _ := io.ReadAll(got.Body); got.StatusCode != http.StatusForbidden || !strings.Contains(string(text), says) || len(got.Cookies()) > 0 && got.Cookies()[0].Value != "" {
			t.Errorf("%s: %s %s", name, got.Status, text)
		}
	}
	if len(o.backend.Writes) != 0 {
		t.Errorf("%d writes", len(o.backend.Writes))
	}
}

// post asks for a session.
func (o *office) post(request v1.SessionRequest, headers ...string) *httptest.ResponseRecorder {
	o.t.Helper()
	body, err := json.Marshal(request)
	if err != nil {
		o.t.Fatal(err)
	}
	r := httptest.NewRequest("POST", "/v1/sessions", strings.NewReader(string(body)))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	o.site.Config.Handler.ServeHTTP(w, r)
	return w
}

func TestR15_3_ACommandLineLogsIn(t *testing.T) {
	o := newOffice(t)
	r := httptest.NewRecorder()
	o.site.Config.Handler.ServeHTTP(r, httptest.NewRequest("GET", "/v1/login", nil))
	ways := read[v1.LoginWays](t, r)
	if ways.Open || !ways.Token || ways.Oidc == nil || ways.Oidc.Issuer != o.Issuer || ways.Oidc.ClientID != o.CLIClientID || ways.Oidc.Page != "/login/oidc" {
		t.Fatalf("%+v", ways)
	}
	ctx := o.Browser(t).Context()
	c := oauth2.Config{ClientID: ways.Oidc.ClientID, Scopes: ways.Oidc.Scopes, Endpoint: oauth2.Endpoint{
		DeviceAuthURL: o.Issuer + "/device_authorization", TokenURL: o.Issuer + "/oauth/token", AuthStyle: oauth2.AuthStyleInParams,
	}}
	asked, err := c.DeviceAuth(ctx)
	if err != nil {
		t.Fatal(err)
	}
	o.Approve(t, asked.UserCode, "ann")
	asked.Interval = 1
	token, err := c.DeviceAccessToken(ctx, asked)
	if err != nil {
		t.Fatal(err)
	}
	idToken := token.Extra("id_token").(string)

	w := o.post(v1.SessionRequest{IDToken: idToken})
	session := read[v1.Session](t, w)
	if session.Name != "ann" || session.Role != v1.RoleDeveloper || session.Token == "" || session.ExpiresAt == nil || w.Code != 201 || len(w.Result().Cookies()) != 0 || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%d %+v", w.Code, session)
	}
	w = o.post(v1.SessionRequest{Token: session.Token, Cookie: true})
	if again := read[v1.Session](t, w); again.Token != "" || again.Name != "ann" {
		t.Errorf("%+v", again)
	}
	cookie := w.Result().Cookies()[0]
	if cookie.Name != "backfleet_session" || cookie.Value != session.Token || !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.MaxAge <= 0 || cookie.MaxAge > 3600 {
		t.Errorf("%+v", cookie)
	}
	for name, x := range map[string]struct {
		request v1.SessionRequest
		headers []string
		status  int
	}{
		"nothing":        {v1.SessionRequest{}, nil, 400},
		"both":           {v1.SessionRequest{Token: session.Token, IDToken: idToken}, nil, 400},
		"no token":       {v1.SessionRequest{Token: "bft_u9_wrong"}, nil, 401},
		"no ID token":    {v1.SessionRequest{IDToken: idToken + "x"}, nil, 401},
		"an agent's":     {v1.SessionRequest{Token: "bfj_t1_secret"}, nil, 401},
		"another's page": {v1.SessionRequest{Token: session.Token, Cookie: true}, []string{"Sec-Fetch-Site", "cross-site"}, 403},
	} {
		if w := o.post(x.request, x.headers...); w.Code != x.status || len(w.Result().Cookies()) != 0 || strings.Contains(w.Body.String(), idToken) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

func TestR15_3_RefusedLoginsAreLimitedByAddress(t *testing.T) {
	b := standin.New()
	h := server.New(server.Options{Backend: b, Logger: quiet, Tokens: tokens(server.Token{Name: "a", Secret: "s3cret-of-a", Role: wire.Role_ADMIN}), Rates: server.Rates{LoginsPerMinute: 2}}).Handler()
	codes := map[int]int{}
	for range 5 {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("POST", "/v1/sessions", strings.NewReader(`{"token":"guess"}`)))
		codes[w.Code]++
	}
	if codes[401] != 2 || codes[429] != 3 || len(b.Writes) != 0 {
		t.Errorf("%v, %d writes", codes, len(b.Writes))
	}
}
