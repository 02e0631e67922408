package login_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"backfleet/api/login"
	"backfleet/api/login/logintest"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

var people = []logintest.Person{
	{Name: "ann", Email: "ann@example.com", Groups: []string{"data-eng", "staff"}},
	{Name: "olga", Groups: []string{"platform"}},
	{Name: "eve", Groups: []string{"guests"}},
}

// world is a provider, what trusts it, and a page to log in at.
type world struct {
	*logintest.Provider
	login *login.Provider
	page  *httptest.Server
	ahead atomic.Int64 // of the clock of what trusts it

	user *wire.User // of the newest login
	err  error
}

func newWorld(t *testing.T, change func(*login.Config)) *world {
	t.Helper()
	w := &world{}
	mux := http.NewServeMux()
	w.page = httptest.NewServer(mux)
	t.Cleanup(w.page.Close)
	back := w.page.URL + "/login/callback"
	w.Provider = logintest.Start(t, []string{back}, people...)
	c := login.Config{
		Issuer: w.Issuer, ClientID: w.ClientID, SecretFile: w.SecretFile, CLIClientID: w.CLIClientID, CAFile: w.CAFile,
		Roles: "data-eng=developer:shop+ads,platform=admin",
	}
	if change != nil {
		change(&c)
	}
	var err error
	if w.login, err = login.New(c, func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }); err != nil {
		t.Fatal(err)
	}
	mux.HandleFunc("/login/oidc", func(rw http.ResponseWriter, r *http.Request) {
		address, kept, err := w.login.Begin(r.Context(), back, r.FormValue("next"))
		if err != nil {
			t.Error(err)
			return
		}
		http.SetCookie(rw, &http.Cookie{Name: "kept", Value: kept, Path: "/", HttpOnly: true})
		http.Redirect(rw, r, address, http.StatusFound)
	})
	mux.HandleFunc("/login/callback", func(rw http.ResponseWriter, r *http.Request) {
		kept, next := "", ""
		if c, err := r.Cookie("kept"); err == nil {
			kept = c.Value
		}
		if w.user, next, w.err = w.login.Finish(r.Context(), kept, r.URL.Query()); w.err == nil {
			http.Redirect(rw, r, next, http.StatusFound)
		}
	})
	mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) {})
	return w
}

func TestR15_3_ALoginByBrowser(t *testing.T) {
	w := newWorld(t, nil)
	got := w.Browser(t).Login(w.page.URL+"/login/oidc?next=/backfills/b1%3Ftab%3D2", "ann")
	if w.err != nil {
		t.Fatal(w.err)
	}
	if at := got.Request.URL.String(); at != w.page.URL+"/backfills/b1?tab=2" {
		t.Errorf("it ended at %s", at)
	}
	u := w.user
	if u.Name != "ann" || u.Email != "ann@example.com" || u.DisplayName != "ann Doe" || u.Role != wire.Role_DEVELOPER ||
		!slices.Equal(u.Workspaces, []string{"ads", "shop"}) || u.Issuer != w.Issuer {
		t.Errorf("%+v", u)
	}

	w.Browser(t).Login(w.page.URL+"/login/oidc?next=https://evil.example.com/", "olga")
	if w.err != nil || w.user.Role != wire.Role_ADMIN {
		t.Errorf("%+v, %v", w.user, w.err)
	}
	w.Browser(t).Login(w.page.URL+"/login/oidc", "eve")
	if fault.CodeOf(w.err) != fault.Denied || !strings.Contains(w.err.Error(), "eve") {
		t.Errorf("who has no role: %v", w.err)
	}
}

// What another browser brings, or this one too late or changed, ends no login.
func TestR15_3_ALoginIsEndedByWhoBeganIt(t *testing.T) {
	w := newWorld(t, nil)
	mine, other := w.Browser(t), w.Browser(t)
	mine.Login(w.page.URL+"/login/oidc", "ann")
	if w.err != nil {
		t.Fatal(w.err)
	}
	for name, ask := range map[string]func() (*http.Response, error){
		"the same again":       func() (*http.Response, error) { return mine.Get(w.page.URL + "/login/callback?code=x&state=y") },
		"nothing was begun":    func() (*http.Response, error) { return other.Get(w.page.URL + "/login/callback?code=x&state=y") },
		"the provider refuses": func() (*http.Response, error) { return other.Get(w.page.URL + "/login/callback?error=access_denied") },
	} {
		w.user, w.err = nil, nil
		answer, err := ask()
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if fault.CodeOf(w.err) != fault.Unauthenticated || w.user != nil {
			t.Errorf("%s: %+v, %v", name, w.user, w.err)
		}
	}
	_, kept, err := w.login.Begin(t.Context(), w.page.URL+"/login/callback", "/")
	if err != nil {
		t.Fatal(err)
	}
	for _, broken := range []string{"", "x", kept + "x", kept[:len(kept)-2], strings.ToUpper(kept)} {
		if _, _, err := w.login.Finish(t.Context(), broken, nil); fault.CodeOf(err) != fault.Unauthenticated {
			t.Errorf("%q: %v", broken, err)
		}
	}
	if strings.Contains(kept, "callback") {
		t.Error("what the browser keeps is readable")
	}
}

// device logs a person in as a command line does, and gives the ID token.
func (w *world) device(t *testing.T, name string) string {
	t.Helper()
	ctx := w.Browser(t).Context()
	c := oauth2.Config{ClientID: w.CLIClientID, Scopes: login.Scopes(), Endpoint: oauth2.Endpoint{
		DeviceAuthURL: w.Issuer + "/device_authorization", TokenURL: w.Issuer + "/oauth/token", AuthStyle: oauth2.AuthStyleInParams,
	}}
	asked, err := c.DeviceAuth(ctx)
	if err != nil {
		t.Fatal(err)
	}
	w.Approve(t, asked.UserCode, name)
	asked.Interval = 1
	token, err := c.DeviceAccessToken(ctx, asked)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := token.Extra("id_token").(string)
	return text
}

func TestR15_3_ALoginByDevice(t *testing.T) {
	w := newWorld(t, nil)
	idToken := w.device(t, "ann")
	u, err := w.login.Check(t.Context(), idToken)
	if err != nil || u.Name != "ann" || u.Role != wire.Role_DEVELOPER {
		t.Fatalf("%+v, %v", u, err)
	}
	w.SetGroups("ann", "platform")
	if u, err = w.login.Check(t.Context(), w.device(t, "ann")); err != nil || u.Role != wire.Role_ADMIN || len(u.Workspaces) > 0 {
		t.Errorf("the provider's word has changed: %+v, %v", u, err)
	}

	for name, token := range map[string]string{"none": "", "no token": "a.b.c", "a changed one": idToken[:len(idToken)-4] + "AAAA"} {
		if _, err := w.login.Check(t.Context(), token); fault.CodeOf(err) != fault.Unauthenticated || strings.Contains(err.Error(), idToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.ahead.Store(int64(11 * time.Minute))
	if _, err := w.login.Check(t.Context(), idToken); fault.CodeOf(err) != fault.Unauthenticated || !strings.Contains(err.Error(), "log in again") {
		t.Errorf("one found later: %v", err)
	}
	w.ahead.Store(int64(2 * time.Hour))
	if _, err := w.login.Check(t.Context(), idToken); fault.CodeOf(err) != fault.Unauthenticated || !strings.Contains(err.Error(), "expired") {
		t.Errorf("one that expired: %v", err)
	}
}

// A token that the same provider made for another client lets nobody in here.
func TestR15_3_TheAudienceIsThisCluster(t *testing.T) {
	w := newWorld(t, func(c *login.Config) { c.CLIClientID = "" }) // the device's client is another one
	if _, err := w.login.Check(t.Context(), w.device(t, "ann")); fault.CodeOf(err) != fault.Unauthenticated || !strings.Contains(err.Error(), "another client") {
		t.Errorf("%v", err)
	}
}

// A coordinator starts without the provider, and finds it once it is there.
func TestR15_3_AProviderThatCannotBeAsked(t *testing.T) {
	w := newWorld(t, func(c *login.Config) { c.CAFile = "" }) // it is there, and not trusted
	_, _, err := w.login.Begin(t.Context(), "http://x/y", "/")
	if fault.CodeOf(err) != fault.Unavailable || !strings.Contains(err.Error(), w.Issuer) {
		t.Errorf("not trusted: %v", err)
	}
	w = newWorld(t, nil)
	idToken := w.device(t, "ann")
	w.Stop()
	if _, err := w.login.Check(t.Context(), idToken); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("gone: %v", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("two\nlines"), 0o600); err != nil {
		t.Fatal(err)
	}
	for says, change := range map[string]func(*login.Config){
		"oidc-issuer: ":                       func(c *login.Config) { c.Issuer = "example.com" },
		"is not https":                        func(c *login.Config) { c.Issuer = "http://example.com" },
		"more than a scheme":                  func(c *login.Config) { c.Issuer = "https://a:b@example.com" },
		"oidc-client-id: missing":             func(c *login.Config) { c.ClientID = "" },
		"oidc-roles: missing":                 func(c *login.Config) { c.Roles = "" },
		`"boss" is no role`:                   func(c *login.Config) { c.Roles = "a=boss" },
		`"ADMIN" is no role`:                  func(c *login.Config) { c.Roles = "a=ADMIN" },
		"workspaces are for developers":       func(c *login.Config) { c.Roles = "a=operator:x" },
		"twice":                               func(c *login.Config) { c.Roles = "a=admin,a=viewer" },
		"expected group=role":                 func(c *login.Config) { c.Roles = "admin" },
		"oidc-default-role: ":                 func(c *login.Config) { c.DefaultRole = "none" },
		"--oidc-client-secret-file cannot be": func(c *login.Config) { c.SecretFile = file + "x" },
		"the client's secret alone":           func(c *login.Config) { c.SecretFile = file },
		"holds no PEM certificate":            func(c *login.Config) { c.CAFile = file },
		"public-url: ":                        func(c *login.Config) { c.PublicURL = "backfleet" },
	} {
		c := login.Config{Issuer: "https://login.example.com", ClientID: "backfleet", Roles: "a=admin"}
		if _, err := login.New(c, time.Now); err != nil {
			t.Fatal(err)
		}
		change(&c)
		if _, err := login.New(c, time.Now); fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), says) {
			t.Errorf("expected %q: %v", says, err)
		}
	}
}

func TestOnlyPathsOfThisHost(t *testing.T) {
	for text, want := range map[string]string{
		"": "/", "/": "/", "/a/b?c=d#e": "/a/b?c=d#e", "a": "/", "//evil.com": "/", "/\\evil.com": "/", "https://evil.com": "/", "\\\\evil": "/",
		"/%2Fevil.com": "/", "javascript:alert(1)": "/", "/a\r\nb": "/", "/\t/evil.com": "/",
	} {
		if got := login.LocalPath(text); got != want {
			t.Errorf("%q: %q, expected %q", text, got, want)
		}
	}
}
