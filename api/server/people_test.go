package server_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"backfleet/api/internal/standin"
	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// people is a server that knows an admin and a viewer by its file, and olga, an
// operator, by her token.
func people(t *testing.T) (c *contract, ask func(who, method, path, body string) (*httptest.ResponseRecorder, v1.ErrorCode)) {
	c = newContract(t, server.Options{Rates: server.Rates{CallsPerSecond: -1, LoginsPerMinute: -1}, Tokens: tokens(
		server.Token{Name: "root", Secret: "root's", Role: wire.Role_ADMIN}, server.Token{Name: "olga", Secret: "namesake's", Role: wire.Role_OPERATOR},
	)})
	secrets := map[string]string{"root": "root's", "namesake": "namesake's", "olga": standin.UserTokenText}
	return c, func(who, method, path, body string) (*httptest.ResponseRecorder, v1.ErrorCode) {
		t.Helper()
		w := c.ask(method, path, body, "Authorization", "Bearer "+secrets[who])
		if w.Code < 300 {
			return w, ""
		}
		return w, c.problem(w).Code
	}
}

// TestR15_3_OnesOwnAndOthers: whoever is no admin sees and makes only what is
// their own; a name in the coordinators' file is no user of that name.
func TestR15_3_OnesOwnAndOthers(t *testing.T) {
	_, ask := people(t)
	if w, code := ask("root", "POST", "/v1/tokens", `{"user":"dan"}`); code != "" {
		t.Fatal(w.Body)
	}
	for _, one := range []struct {
		who, method, path, body string
		code                    v1.ErrorCode
		has                     string
	}{
		{"olga", "GET", "/v1/tokens", "", "", `"id":"u0"`},
		{"olga", "GET", "/v1/tokens?user=olga&contains=LAP", "", "", `"id":"u0"`},
		{"olga", "GET", "/v1/tokens?user=dan", "", "denied", "admins"},
		{"olga", "GET", "/v1/tokens?user=*", "", "denied", "admins"},
		{"olga", "GET", "/v1/tokens/u0", "", "", `"user":"olga"`},
		{"olga", "GET", "/v1/tokens/u1", "", "denied", "admins"},
		{"olga", "DELETE", "/v1/tokens/u1", "", "denied", "another's"},
		{"olga", "POST", "/v1/tokens", `{"user":"dan"}`, "denied", "admins"},
		{"olga", "POST", "/v1/tokens", `{"description":"mine"}`, "", `"token":"bft_`},
		{"olga", "GET", "/v1/users/olga", "", "", `"origin":"oidc"`},
		{"olga", "GET", "/v1/users/dan", "", "denied", "admins"},
		{"namesake", "GET", "/v1/tokens", "", "invalid", "name a user"},
		{"namesake", "GET", "/v1/tokens?user=olga", "", "denied", "admins"},
		{"namesake", "GET", "/v1/tokens/u0", "", "denied", "admins"},
		{"namesake", "POST", "/v1/tokens", `{}`, "invalid", "name a user"},
		{"namesake", "GET", "/v1/users/olga", "", "denied", "admins"},
		{"root", "GET", "/v1/tokens", "", "invalid", "name a user"},
		{"root", "GET", "/v1/tokens?user=*", "", "", `"user":"dan"`},
		{"root", "GET", "/v1/tokens/u1", "", "", `"user":"dan"`},
		{"root", "GET", "/v1/users/none", "", "not_found", "none"},
		{"root", "DELETE", "/v1/tokens/u1", "", "", `"id":"u1"`},
	} {
		w, code := ask(one.who, one.method, one.path, one.body)
		if code != one.code || !strings.Contains(w.Body.String(), one.has) {
			t.Errorf("%s %s %s: %q %s, expected %q and %q", one.who, one.method, one.path, code, w.Body, one.code, one.has)
		}
	}
}

func TestR15_3_WhatATokenIsAskedFor(t *testing.T) {
	c, ask := people(t)
	w, _ := ask("root", "POST", "/v1/tokens", `{"user":"olga","role":"developer","workspaces":["shop","ads","shop"]}`)
	if w.Header().Get("Cache-Control") != "no-store" || !strings.Contains(w.Body.String(), `"workspaces":["ads","shop"]`) {
		t.Errorf("%v %s", w.Header(), w.Body)
	}
	for body, field := range map[string]string{
		`{"user":"olga","role":"king"}`:                                            "role",
		`{"user":"olga","role":"operator","workspaces":["shop"]}`:                  "workspaces",
		`{"user":"olga","workspaces":["a b"]}`:                                     "workspaces[0]",
		`{"user":"olga","description":"` + strings.Repeat("x", 1001) + `"}`:        "description",
		`{"user":"olga","expiresInSeconds":-1}`:                                    "expiresInSeconds",
		`{"user":"olga","expiresInSeconds":60,"expiresAt":"2030-01-01T00:00:00Z"}`: "expiresAt",
		`{"user":"olga","workspaces":[` + strings.Repeat(`"x",`, 1000) + `"x"]}`:   "workspaces",
		`{"user":"olga","expiresAt":"tomorrow"}`:                                   "expiresAt",
	} {
		if w, code := ask("root", "POST", "/v1/tokens", body); code != "invalid" || !strings.Contains(w.Body.String(), field) {
			t.Errorf("%s: %q %s, expected it to name %s", body, code, w.Body, field)
		}
	}
	for body, field := range map[string]string{
		`{}`:                                  "role",
		`{"role":"king"}`:                     "role",
		`{"role":"admin","workspaces":["x"]}`: "workspaces",
		`{"role":"viewer","email":"` + strings.Repeat("x", 321) + `"}`: "email",
	} {
		if w, code := ask("root", "PUT", "/v1/users/ann", body); code != "invalid" || !strings.Contains(w.Body.String(), field) {
			t.Errorf("%s: %q %s, expected it to name %s", body, code, w.Body, field)
		}
	}
	if w, code := ask("root", "PUT", "/v1/users/a%20b", `{"role":"viewer"}`); code != "invalid" {
		t.Errorf("a name of two words: %s", w.Body)
	}
	if n := len(c.backend.Writes); n != 1 {
		t.Errorf("%d writes reached the facts, expected the first alone", n)
	}
}

// TestR15_4_TheAuditIsExportedAsLines: all of it, whatever the page's limit; what
// breaks off is seen to.
func TestR15_4_TheAuditIsExportedAsLines(t *testing.T) {
	c, ask := people(t)
	const more = 1500
	for i := range more {
		if err := c.backend.RecordRefusals(t.Context(), []*wire.Refusal{{Actor: fmt.Sprint("a<", i), Code: "denied"}}, 0); err != nil {
			t.Fatal(err)
		}
	}
	if w, code := ask("olga", "GET", "/v1/audit?limit=2", ""); code != "" || strings.Count(w.Body.String(), `"number"`) != 2 {
		t.Errorf("a page: %s", w.Body)
	}
	server := httptest.NewServer(c.handler)
	defer server.Close()
	export := func(query, secret string) (*http.Response, error) {
		r, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/v1/audit"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+secret)
		r.Header.Set("Accept", "application/x-ndjson")
		return server.Client().Do(r)
	}
	a, err := export("?sort=number&limit=2", standin.UserTokenText)
	if err != nil || a.StatusCode != 200 || a.Header.Get("Content-Type") != "application/x-ndjson" || a.Header.Get("Backfleet-Index") == "" {
		t.Fatal(a, err)
	}
	defer a.Body.Close()
	n := uint64(0)
	for lines := bufio.NewScanner(a.Body); lines.Scan(); {
		var one v1.AuditRecord
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil || one.Number != n+1 || strings.Contains(lines.Text(), `\u003c`) {
			t.Fatalf("line %d: %s: %v", n+1, lines.Text(), err)
		}
		n++
	}
	if n != more+2 {
		t.Errorf("%d lines, expected %d", n, more+2)
	}
	refused, err := export("?sort=name", standin.UserTokenText)
	if err != nil || refused.StatusCode != 400 || refused.Header.Get("Content-Type") != "application/problem+json" {
		t.Fatal(refused, err)
	}
	refused.Body.Close()
	calls := 0
	c.backend.Set(func(b *standin.Backend) {
		b.Fail = func(call string) error {
			if call == "Audit" {
				if calls++; calls > 1 {
					return fault.New(fault.Unavailable, "not now")
				}
			}
			return nil
		}
	})
	broken, err := export("", standin.UserTokenText)
	if err != nil {
		t.Fatal(err)
	}
	defer broken.Body.Close()
	if _, err := io.ReadAll(broken.Body); err == nil {
		t.Error("an export that breaks off looks whole")
	}
}
