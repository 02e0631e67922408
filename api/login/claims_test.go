package login

import (
	"slices"
	"strings"
	"testing"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

func TestR15_3_RolesOfAClaim(t *testing.T) {
	for _, x := range []struct {
		roles, other string
		claim        any
		role         wire.Role
		workspaces   string
	}{
		{"a=viewer,b=operator", "", []any{"a", "b"}, wire.Role_OPERATOR, ""},
		{"a=developer:x,b=developer:y+x", "", []any{"a", "b", "c", 7}, wire.Role_DEVELOPER, "x y"},
		{"a=developer:x,b=developer", "", []any{"b", "a"}, wire.Role_DEVELOPER, ""},
		{"a=developer,b=developer:x", "", []any{"b", "a"}, wire.Role_DEVELOPER, ""},
		{"a=developer:x,b=viewer", "", []any{"a", "b"}, wire.Role_DEVELOPER, "x"},
		{"a=developer:x,b=admin", "", []any{"a", "b"}, wire.Role_ADMIN, ""},
		{"a=admin", "viewer", []any{"none", "of", "them"}, wire.Role_VIEWER, ""},
		{"a=admin", "", []any{"A", " a"}, wire.Role_ROLE_UNSPECIFIED, ""},
		{"a=admin", "", nil, wire.Role_ROLE_UNSPECIFIED, ""},
		{"a=admin", "", map[string]any{"a": true}, wire.Role_ROLE_UNSPECIFIED, ""},
		{"", "developer:x", nil, wire.Role_DEVELOPER, "x"},
		{"cn=ops=admin", "", "cn=ops", wire.Role_ADMIN, ""},
	} {
		s, err := Config{Issuer: "https://i", ClientID: "c", Roles: x.roles, DefaultRole: x.other}.read()
		if err != nil {
			t.Fatal(err)
		}
		p := &Provider{settings: s}
		for range 2 { // the second finds nothing changed by the first
			if g := p.grant(x.claim); g.role != x.role || strings.Join(g.workspaces, " ") != x.workspaces {
				t.Errorf("%q, %q, %v: %v", x.roles, x.other, x.claim, g)
			}
		}
	}
}

func TestR15_3_NamesOfAClaim(t *testing.T) {
	s, err := Config{Issuer: "https://i", ClientID: "c", Roles: "a=admin"}.read()
	if err != nil {
		t.Fatal(err)
	}
	p := &Provider{settings: s}
	for want, claims := range map[string]map[string]any{
		"ann":           {"preferred_username": "ann", "email": "a@example.com"},
		"a@example.com": {"email": "a@example.com", "email_verified": true},
		"b@example.com": {"email": "b@example.com"},
		"s1":            {"email": "c@example.com", "email_verified": false},
	} {
		claims["groups"] = []any{"a"}
		u, err := p.user("s1", claims)
		if err != nil || u.Name != want || u.Issuer != "https://i" {
			t.Errorf("%v: %+v, %v", claims, u, err)
		}
	}
	if _, err := p.user("s1", map[string]any{"groups": []any{"b"}}); fault.CodeOf(err) != fault.Denied || !strings.Contains(err.Error(), "s1") {
		t.Errorf("no role: %v", err)
	}
	if !slices.Contains(Scopes(), "openid") {
		t.Error("a login without an ID token")
	}
}
