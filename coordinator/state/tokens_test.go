package state

import (
	"bytes"
	"strings"
	"testing"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

func putToken(x *wire.PutJoinToken) *wire.Command {
	return &wire.Command{Actor: "ann", Body: &wire.Command_PutJoinToken{PutJoinToken: x}}
}

func revoke(id string) *wire.Command {
	return &wire.Command{Actor: "ann", Body: &wire.Command_RevokeJoinToken{RevokeJoinToken: &wire.RevokeJoinToken{Id: id}}}
}

func slotsIn(groups ...string) (out []*wire.GroupSlots) {
	for _, g := range groups {
		out = append(out, &wire.GroupSlots{Group: g, Slots: 1})
	}
	return out
}

func TestR14_4_AJoinTokenLetsInAsFarAsItReaches(t *testing.T) {
	m := newMachine(t)
	hash := TokenHash("bfj_x_secret")
	created := m.now + 10
	m.must(putToken(&wire.PutJoinToken{Id: "x", SecretHash: hash, Groups: []string{"etl", "big"}, ExpiresMs: m.now + 1000, Description: "the east"}))
	m.s = restored(t, m.s)
	got, ok := m.s.JoinToken("x")
	if !ok || got.Actor != "ann" || got.CreatedMs != created || !bytes.Equal(got.Token.SecretHash, hash) || got.Token.Description != "the east" {
		t.Fatalf("it is %v", got)
	}
	for _, c := range []struct {
		id     string
		groups []*wire.GroupSlots
		at     int64
		code   fault.Code
		says   string
	}{
		{"x", nil, m.now, "", ""},
		{"x", slotsIn("etl"), m.now, "", ""},
		{"x", slotsIn("big", "etl"), m.now, "", ""},
		{"x", slotsIn("etl", "default"), m.now, fault.Denied, `not for resource group "default": it lets agents into etl, big`},
		{"x", slotsIn("etl"), got.Token.ExpiresMs - 1, "", ""},
		{"x", slotsIn("etl"), got.Token.ExpiresMs, fault.Unauthenticated, `"x" has expired`},
		{"y", slotsIn("etl"), m.now, fault.Unauthenticated, `"y" is not known`},
	} {
		err := m.s.Admits(c.id, c.groups, c.at)
		if fault.CodeOf(err) != c.code || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s with %v at %d: %v, expected %s %q", c.id, c.groups, c.at, err, c.code, c.says)
		}
	}
	m.must(putToken(&wire.PutJoinToken{Id: "x", SecretHash: hash})) // another reach, and no end
	if got, _ := m.s.JoinToken("x"); got.CreatedMs != created || m.s.Admits("x", slotsIn("default"), m.now+1_000_000) != nil {
		t.Errorf("changed, it is %v", got)
	}
	m.refused(fault.Conflict, putToken(&wire.PutJoinToken{Id: "x", SecretHash: TokenHash("another")}))
	if r := m.do(revoke("x")); r.Err != nil || len(r.Changes) != 1 || r.Changes[0].Kind != TokensChanged {
		t.Errorf("revoked: %+v", r)
	}
	if err := m.s.Admits("x", nil, m.now); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("after it was revoked: %v", err)
	}
	if err := m.refused(fault.NotFound, revoke("x")); !strings.Contains(err.Error(), `"x"`) {
		t.Errorf("revoked twice: %v", err)
	}
}

func TestR14_4_JoinTokensAreCheckedByField(t *testing.T) {
	m := newMachine(t)
	for field, change := range map[string]func(*wire.PutJoinToken){
		"id":          func(x *wire.PutJoinToken) { x.Id = "a_b" },
		"secretHash":  func(x *wire.PutJoinToken) { x.SecretHash = []byte("the secret itself") },
		"groups":      func(x *wire.PutJoinToken) { x.Groups = []string{"etl", ""} },
		"expires":     func(x *wire.PutJoinToken) { x.ExpiresMs = m.now },
		"description": func(x *wire.PutJoinToken) { x.Description = strings.Repeat("x", maxTokenText+1) },
	} {
		x := &wire.PutJoinToken{Id: "x", SecretHash: TokenHash("secret")}
		change(x)
		if err := m.refused(fault.Invalid, putToken(x)); err.Field != field || strings.Contains(err.Error(), "itself") {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestTokenIDs(t *testing.T) {
	for text, want := range map[string]string{
		"bfj_x_secret": "x", "bfj_x-1_se_cret": "x-1", "bfj__secret": "", "bfj_x_": "", "bfj_secret": "", "x_secret": "", "": "",
		"bfj_" + strings.Repeat("x", 65) + "_s": "",
	} {
		if id, ok := TokenID(text); ok != (want != "") || ok && id != want {
			t.Errorf("%q: %q %v", text, id, ok)
		}
	}
}
