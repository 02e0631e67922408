package state

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// by has a command be a person's, who showed a token.
func by(actor, via string, c *wire.Command) *wire.Command {
	c.Actor, c.Via, c.From = actor, via, "10.0.0.7"
	return c
}

func putUser(u *wire.User) *wire.Command {
	return &wire.Command{Actor: "root", Body: &wire.Command_PutUser{PutUser: &wire.PutUser{User: u}}}
}

func removeUser(name string) *wire.Command {
	return &wire.Command{Actor: "root", Body: &wire.Command_RemoveUser{RemoveUser: &wire.RemoveUser{Name: name}}}
}

func putOwn(t *wire.PutToken) *wire.Command {
	return &wire.Command{Actor: t.User, Body: &wire.Command_PutToken{PutToken: t}}
}

func own(id, user string, change ...func(*wire.PutToken)) *wire.PutToken {
	t := &wire.PutToken{Id: id, User: user, SecretHash: TokenHash("bft_" + id + "_x")}
	for _, c := range change {
		c(t)
	}
	return t
}

func revokeOwn(id string) *wire.Command {
	return &wire.Command{Actor: "root", Body: &wire.Command_RevokeToken{RevokeToken: &wire.RevokeToken{Id: id}}}
}

func forget(ids ...string) *wire.Command {
	return &wire.Command{Body: &wire.Command_ForgetTokens{ForgetTokens: &wire.ForgetTokens{Ids: ids}}}
}

// login is a session of a user as a provider describes them.
func login(id string, u *wire.User) *wire.PutToken {
	return own(id, u.Name, func(t *wire.PutToken) { t.Kind, t.Login = wire.PutToken_SESSION, u })
}

func developer(name string, workspaces ...string) *wire.User {
	return &wire.User{Name: name, Role: wire.Role_DEVELOPER, Workspaces: workspaces}
}

func TestR15_3_UsersArePutAndTheirTokensEndWithThem(t *testing.T) {
	m := newMachine(t)
	ann := developer("ann", "ads", "shop")
	ann.DisplayName, ann.Email, ann.Description = "Ann Lee", "ann@example.org", "of the shop"
	if r := m.do(putUser(ann)); r.Err != nil || len(r.Changes) != 1 || r.Changes[0].Kind != UsersChanged {
		t.Fatalf("put: %+v", r)
	}
	created := m.now
	m.must(putOwn(own("t1", "ann", func(t *wire.PutToken) { t.ExpiresMs, t.Description = m.now+1000, "laptop" })))
	m.must(putUser(developer("bob")))
	m.must(putOwn(own("t2", "bob")))
	m.s = restored(t, m.s)
	u, ok := m.s.User("ann")
	if !ok || u.Actor != "root" || u.CreatedMs != created || !proto.Equal(u.User, ann) {
		t.Fatalf("it is %v", u)
	}
	token, ok := m.s.UserToken("t1")
	if !ok || token.Actor != "ann" || token.Token.Description != "laptop" {
		t.Fatalf("it is %v", token)
	}
	// Somebody else replaces the user: who made them stays.
	m.must(&wire.Command{Actor: "eve", Body: putUser(developer("ann", "shop")).Body})
	if u, _ := m.s.User("ann"); u.Actor != "root" || u.CreatedMs != created || len(u.User.Workspaces) != 1 {
		t.Errorf("replaced, it is %v", u)
	}
	var names, ids []string
	m.s.Users(func(u *wire.SnapshotUser) { names = append(names, u.User.Name) })
	m.s.UserTokens(func(t *wire.SnapshotToken) { ids = append(ids, t.Token.Id) })
	if !slices.Equal(names, []string{"ann", "bob"}) || !slices.Equal(ids, []string{"t1", "t2"}) {
		t.Errorf("%v, %v", names, ids)
	}
	if a := m.must(removeUser("ann")); a.Instances != 1 {
		t.Errorf("removed: %v", a)
	}
	if _, ok := m.s.UserToken("t1"); ok {
		t.Error("a token outlives its user")
	}
	m.must(putUser(developer("ann"))) // another one of that name has none of them
	m.s.UserTokensOf("ann", func(got *wire.SnapshotToken) { t.Errorf("there is %v", got) })
	m.refused(fault.NotFound, removeUser("carl"))
}

func TestR15_3_WhatIsNoUserIsRefused(t *testing.T) {
	m := newMachine(t)
	for says, change := range map[string]func(*wire.User){
		"user":        func(u *wire.User) { u.Name = "" },
		"one word":    func(u *wire.User) { u.Name = "ann lee" },
		"1 to 100":    func(u *wire.User) { u.Name = strings.Repeat("x", 101) },
		"role":        func(u *wire.User) { u.Role = 0 },
		"7 is none":   func(u *wire.User) { u.Role = 7 },
		"email":       func(u *wire.User) { u.Email = strings.Repeat("x", 5000) },
		"workspaces":  func(u *wire.User) { u.Role = wire.Role_OPERATOR },
		"in order":    func(u *wire.User) { u.Workspaces = []string{"b", "a"} },
		"each once":   func(u *wire.User) { u.Workspaces = []string{"a", "a"} },
		"ids of work": func(u *wire.User) { u.Workspaces = []string{""} },
		"issuer":      func(u *wire.User) { u.Issuer = "https://id.example.org" },
	} {
		u := developer("ann", "shop")
		change(u)
		if err := m.refused(fault.Invalid, putUser(u)); !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", says, err)
		}
	}
	m.refused(fault.Invalid, putUser(nil))
}

func TestR15_3_WhatIsNoTokenIsRefused(t *testing.T) {
	m := newMachine(t)
	m.must(putUser(developer("ann", "shop")))
	off := developer("off")
	off.Disabled = true
	m.must(putUser(off))
	m.must(putOwn(own("t1", "ann")))
	for says, c := range map[string]struct {
		code   fault.Code
		change func(*wire.PutToken)
	}{
		"id":              {fault.Invalid, func(t *wire.PutToken) { t.Id = "A" }},
		"secretHash":      {fault.Invalid, func(t *wire.PutToken) { t.SecretHash = t.SecretHash[1:] }},
		"9 is none":       {fault.Invalid, func(t *wire.PutToken) { t.Role = 9 }},
		"kind":            {fault.Invalid, func(t *wire.PutToken) { t.Kind = 9 }},
		"past":            {fault.Invalid, func(t *wire.PutToken) { t.ExpiresMs = epoch }},
		"description":     {fault.Invalid, func(t *wire.PutToken) { t.Description = strings.Repeat("x", 5000) }},
		"developer's":     {fault.Invalid, func(t *wire.PutToken) { t.Role, t.Workspaces = wire.Role_VIEWER, []string{"shop"} }},
		"may less":        {fault.Invalid, func(t *wire.PutToken) { t.Role = wire.Role_OPERATOR }},
		`"ads" is no`:     {fault.Invalid, func(t *wire.PutToken) { t.Workspaces = []string{"ads", "shop"} }},
		"no user":         {fault.NotFound, func(t *wire.PutToken) { t.User = "carl" }},
		"disabled":        {fault.Denied, func(t *wire.PutToken) { t.User = "off" }},
		"another secret":  {fault.Conflict, func(t *wire.PutToken) { t.Id = "t1" }},
		"has logged in":   {fault.Invalid, func(t *wire.PutToken) { t.Login = developer("ann") }},
		"login.issuer":    {fault.Invalid, func(t *wire.PutToken) { t.Kind, t.Login = wire.PutToken_SESSION, developer("ann") }},
		"login: \"a b\":": {fault.Invalid, func(t *wire.PutToken) { t.Kind, t.User, t.Login = wire.PutToken_SESSION, "a b", developer("a b") }},
	} {
		x := own("t9", "ann")
		c.change(x)
		if err := m.refused(c.code, putOwn(x)); !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", says, err)
		}
	}
	m.must(putOwn(own("t1", "ann"))) // again, as it is
	m.must(revokeOwn("t1"))
	m.refused(fault.NotFound, revokeOwn("t1"))
}

func TestR15_3_ATokenMayTheLesserOfItAndItsUser(t *testing.T) {
	const all, none = "*", "-"
	for _, c := range []struct {
		user, token   wire.Role
		ofUser, bound string // workspaces
		want          wire.Role
		reach         string // of a developer; all: not restricted
	}{
		{wire.Role_ADMIN, 0, "", "", wire.Role_ADMIN, all},
		{wire.Role_ADMIN, wire.Role_VIEWER, "", "", wire.Role_VIEWER, all},
		{wire.Role_OPERATOR, wire.Role_DEVELOPER, "", "", wire.Role_DEVELOPER, all},
		{wire.Role_OPERATOR, 0, "", "shop", wire.Role_DEVELOPER, "shop"},
		{wire.Role_ADMIN, wire.Role_DEVELOPER, "", "ads,shop", wire.Role_DEVELOPER, "ads,shop"},
		{wire.Role_VIEWER, 0, "", "", wire.Role_VIEWER, all},
		{wire.Role_DEVELOPER, 0, "", "", wire.Role_DEVELOPER, all},
		{wire.Role_DEVELOPER, 0, "ads,shop", "", wire.Role_DEVELOPER, "ads,shop"},
		{wire.Role_DEVELOPER, 0, "ads,shop", "shop", wire.Role_DEVELOPER, "shop"},
		{wire.Role_DEVELOPER, wire.Role_DEVELOPER, "", "shop", wire.Role_DEVELOPER, "shop"},
		{wire.Role_DEVELOPER, wire.Role_VIEWER, "shop", "", wire.Role_VIEWER, "shop"},
		// The user was changed after the token was made.
		{wire.Role_VIEWER, wire.Role_DEVELOPER, "", "shop", wire.Role_VIEWER, "shop"},
		{wire.Role_DEVELOPER, wire.Role_ADMIN, "", "", wire.Role_DEVELOPER, all},
		{wire.Role_DEVELOPER, 0, "ads", "shop", wire.Role_DEVELOPER, none},
	} {
		split := func(s string) []string {
			return slices.DeleteFunc(strings.Split(s, ","), func(s string) bool { return s == "" })
		}
		u := &wire.User{Name: "ann", Role: c.user, Workspaces: split(c.ofUser)}
		got := RightsOf(u).Within(c.token, split(c.bound))
		reach := strings.Join(got.Workspaces, ",")
		switch {
		case !got.Restricted:
			reach = all
		case reach == "":
			reach = none
		}
		if got.Role != c.want || reach != c.reach {
			t.Errorf("user %s of %q, token %s of %q: %s of %s, expected %s of %s", c.user, c.ofUser, c.token, c.bound, got.Role, reach, c.want, c.reach)
		}
	}
}

func TestR15_3_WhatEndsAUserEndsTheirTokens(t *testing.T) {
	m := newMachine(t)
	m.must(putUser(developer("ann", "shop")))
	m.must(putOwn(own("t1", "ann", func(t *wire.PutToken) { t.ExpiresMs = m.now + 1000 })))
	token, _ := m.s.UserToken("t1")
	may := func(atMs int64) (Rights, fault.Code) {
		r, err := m.s.Rights(token.Token, atMs)
		return r, fault.CodeOf(err)
	}
	if r, code := may(token.Token.ExpiresMs - 1); code != "" || r.Role != wire.Role_DEVELOPER || !slices.Equal(r.Workspaces, []string{"shop"}) {
		t.Errorf("before it expires: %v %v", r, code)
	}
	if r, code := may(token.Token.ExpiresMs); code != fault.Unauthenticated || r.Role != 0 {
		t.Errorf("when it has expired: %v %v", r, code)
	}
	m.must(putUser(&wire.User{Name: "ann", Role: wire.Role_VIEWER}))
	if r, code := may(0); code != "" || r.Role != wire.Role_VIEWER {
		t.Errorf("of a viewer: %v %v", r, code)
	}
	m.must(putUser(&wire.User{Name: "ann", Role: wire.Role_ADMIN, Disabled: true}))
	if r, code := may(0); code != fault.Denied || r.Role != 0 {
		t.Errorf("of one who is disabled: %v %v", r, code)
	}
	m.must(removeUser("ann"))
	if r, code := may(0); code != fault.NotFound || r.Role != 0 {
		t.Errorf("of one who is gone: %v %v", r, code)
	}
}

func TestR15_3_TokensThatHaveExpiredAreForgotten(t *testing.T) {
	m := newMachine(t)
	m.must(putUser(developer("ann")))
	m.must(putOwn(own("old", "ann", func(t *wire.PutToken) { t.ExpiresMs = m.now + 100 })))
	m.must(putOwn(own("ever", "ann")))
	if a := m.must(forget("old", "ever", "none")); a.Instances != 0 {
		t.Errorf("before it has expired, %d are forgotten", a.Instances)
	}
	m.now += 1000
	if a := m.must(forget("old", "ever", "none")); a.Instances != 1 {
		t.Errorf("%d are forgotten", a.Instances)
	}
	if _, ok := m.s.UserToken("ever"); !ok {
		t.Error("one that does not expire is forgotten")
	}
	m.s.Audit(0, func(r *wire.AuditRecord) bool { t.Errorf("nobody did that: %v", r); return true })
}

func TestR15_3_AUserHasAThousandTokens(t *testing.T) {
	m := newMachine(t)
	m.must(putUser(developer("ann")))
	m.must(putUser(developer("an")))
	for i := range maxTokensOf {
		m.must(putOwn(own(fmt.Sprint("s", i), "ann", func(t *wire.PutToken) {
			if i < 3 {
				t.ExpiresMs = m.now + 60_000
			}
		})))
	}
	m.must(putOwn(own("other", "an"))) // whose name begins alike
	if err := m.refused(fault.Conflict, putOwn(own("more", "ann"))); !strings.Contains(err.Error(), "1000 tokens") {
		t.Error(err)
	}
	m.now += 60_000
	m.must(putOwn(own("more", "ann")))
	n := 0
	m.s.UserTokensOf("ann", func(*wire.SnapshotToken) { n++ })
	if n != maxTokensOf-2 {
		t.Errorf("there are %d, expected those that have expired to be gone", n)
	}
}

func TestR15_3_ALoginPutsTheUser(t *testing.T) {
	m := newMachine(t)
	const issuer = "https://id.example.org"
	olga := &wire.User{Name: "olga", DisplayName: "Olga", Role: wire.Role_OPERATOR, Issuer: issuer, Subject: "7"}
	m.must(putOwn(login("s1", proto.CloneOf(olga))))
	u, ok := m.s.User("olga")
	if !ok || !proto.Equal(u.User, olga) || u.LoginMs != m.now || u.CreatedMs != m.now {
		t.Fatalf("it is %v", u)
	}
	token, _ := m.s.UserToken("s1")
	if token.Token.Login != nil || token.Token.Kind != wire.PutToken_SESSION {
		t.Errorf("the session is %v", token)
	}
	tag, created := m.s.Tag("user/olga"), m.now
	m.must(putOwn(login("s2", proto.CloneOf(olga))))
	if m.s.Tag("user/olga") != tag {
		t.Error("a login that changes nothing renews the tag")
	}
	// What people say of them stays, but for what the provider says anew.
	m.must(putUser(&wire.User{Name: "olga", Role: wire.Role_ADMIN, Description: "on call"}))
	olga.Role, olga.Workspaces = wire.Role_DEVELOPER, []string{"shop"}
	m.must(putOwn(login("s3", proto.CloneOf(olga))))
	u, _ = m.s.User("olga")
	if u.User.Role != wire.Role_DEVELOPER || u.User.Description != "on call" || u.User.Issuer != issuer || u.CreatedMs != created || u.LoginMs != m.now {
		t.Errorf("after another login it is %v", u)
	}
	if m.s.Tag("user/olga") == tag {
		t.Error("a login that changes the user keeps the tag")
	}
	off := proto.CloneOf(olga)
	off.Disabled, off.Issuer, off.Subject = true, "", ""
	m.must(putUser(off))
	if err := m.refused(fault.Denied, putOwn(login("s4", proto.CloneOf(olga)))); !strings.Contains(err.Error(), "disabled") {
		t.Error(err)
	}
	elsewhere := proto.CloneOf(olga)
	elsewhere.Issuer = "https://other.example.org"
	m.refused(fault.Denied, putOwn(login("s4", elsewhere)))
	renamed := proto.CloneOf(olga) // the provider gave the name to somebody else
	renamed.Subject = "8"
	if err := m.refused(fault.Denied, putOwn(login("s4", renamed))); !strings.Contains(err.Error(), "somebody else") {
		t.Error(err)
	}
	m.must(putUser(developer("ann")))
	if err := m.refused(fault.Denied, putOwn(login("s4", &wire.User{Name: "ann", Role: wire.Role_ADMIN, Issuer: issuer, Subject: "9"}))); !strings.Contains(err.Error(), "made by a person") {
		t.Errorf("a login takes over a user that a person made: %v", err)
	}
}

func TestR15_1_TheLastAdminDoesNotLockThemselvesOut(t *testing.T) {
	admin := func(name string) *wire.User { return &wire.User{Name: name, Role: wire.Role_ADMIN} }
	off := admin("ann")
	off.Disabled = true
	less := developer("ann")
	for name, c := range map[string]*wire.Command{"removed": removeUser("ann"), "disabled": putUser(off), "less": putUser(less)} {
		m := newMachine(t)
		m.must(putUser(admin("ann")))
		other := admin("bob")
		other.Disabled = true
		m.must(putUser(other)) // who is none
		err := m.do(by("ann", "t1", proto.CloneOf(c))).Err
		if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "last admin") {
			t.Errorf("%s: %v", name, err)
		}
		m.must(by("ann", "t1", putUser(admin("ann")))) // as they are
		second := newMachine(t)
		second.s = m.s
		second.index = m.index
		second.must(by("ann", "t1", putUser(admin("carl"))))
		second.must(by("ann", "t1", proto.CloneOf(c)))
		for _, via := range []string{"file:ann", "open"} { // who has a way back
			other := newMachine(t)
			other.s, other.index = m.s, m.index
			other.must(by("ann", via, proto.CloneOf(c)))
		}
		m.must(by("root", "t7", proto.CloneOf(c))) // on purpose, by somebody else
	}
}
