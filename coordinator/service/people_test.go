package service

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/coordinator/state"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// user makes a user; of a developer, with these workspaces.
func (r *rig) user(name string, role wire.Role, workspaces ...string) {
	r.t.Helper()
	w := as("ada", wire.Role_ADMIN)
	w.RequestID = fmt.Sprint("user ", r.log.index)
	if _, _, err := r.PutUser(r.t.Context(), w, &wire.User{Name: name, DisplayName: strings.ToUpper(name), Role: role, Workspaces: workspaces}); err != nil {
		r.t.Fatal(err)
	}
}

// token makes a token of a user who shows w.
func (r *rig) token(w server.Write, t server.UserToken) (*v1.NewToken, error) {
	w.RequestID = fmt.Sprint("token ", r.log.index)
	return r.CreateToken(r.t.Context(), w, t)
}

func TestR15_3_UsersAreForAdmins(t *testing.T) {
	r := newRig(t)
	for _, role := range []wire.Role{wire.Role_ROLE_UNSPECIFIED, wire.Role_VIEWER, wire.Role_DEVELOPER, wire.Role_OPERATOR} {
		if _, _, err := r.PutUser(t.Context(), as("x", role), &wire.User{Name: "x", Role: wire.Role_ADMIN}); !fault.Is(err, fault.Denied) {
			t.Errorf("put by %s: %v", role, err)
		}
		if _, err := r.RemoveUser(t.Context(), as("x", role), "ann"); !fault.Is(err, fault.Denied) {
			t.Errorf("removed by %s: %v", role, err)
		}
	}
	r.user("ann", wire.Role_DEVELOPER, "shop")
	r.user("bob", wire.Role_DEVELOPER)
	r.user("vic", wire.Role_VIEWER)
	if _, err := r.token(as("ada", wire.Role_ADMIN), server.UserToken{User: "ann"}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.token(as("ada", wire.Role_ADMIN), server.UserToken{User: "ann", ExpiresIn: time.Minute}); err != nil {
		t.Fatal(err)
	}
	r.pass(time.Hour)
	u, err := r.User(t.Context(), "ann")
	if err != nil || u.Role != v1.RoleDeveloper || !slices.Equal(u.Workspaces, []string{"shop"}) || u.CreatedBy != "ada" || u.Origin != v1.UserOriginLocal || u.Tokens != 1 {
		t.Errorf("%+v %v", u, err)
	}
	if _, err := r.User(t.Context(), "none"); !fault.Is(err, fault.NotFound) {
		t.Error(err)
	}
	for _, c := range []struct {
		filter server.UserFilter
		want   string
	}{
		{server.UserFilter{}, "ann bob vic"}, {server.UserFilter{Contains: "nn"}, "ann"}, {server.UserFilter{Role: wire.Role_VIEWER}, "vic"},
		{server.UserFilter{Workspace: "shop"}, "ann bob"}, {server.UserFilter{Workspace: "ads"}, "bob"},
	} {
		var got []string
		page := server.Page{Limit: 1}
		for more := true; more; more = page.Cursor != "" {
			list, next, err := r.Users(t.Context(), c.filter, page)
			if err != nil || len(list) > 1 {
				t.Fatal(list, err)
			}
			for _, u := range list {
				got = append(got, u.Name)
			}
			page.Cursor = next
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%+v: %v, expected %s", c.filter, got, c.want)
		}
	}
}

func TestR15_3_ATokenIsToldOnceAndKeptAsAHash(t *testing.T) {
	r := newRig(t)
	r.user("ann", wire.Role_DEVELOPER, "shop")
	w := as("ann", wire.Role_DEVELOPER, "shop")
	made, err := r.CreateToken(t.Context(), w, server.UserToken{User: "ann", Description: "laptop", ExpiresIn: time.Hour})
	if err != nil || !strings.HasPrefix(made.Token, "bft_"+made.Details.ID+"_") || made.Details.Description != "laptop" || made.Details.User != "ann" || made.Details.ExpiresAt == nil {
		t.Fatalf("%+v %v", made, err)
	}
	if _, err := r.CreateToken(t.Context(), w, server.UserToken{User: "ann"}); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "told only once") {
		t.Errorf("again: %v", err)
	}
	b, ok := r.Bearer(made.Details.ID)
	if !ok || !slices.Equal(b.Hash, state.TokenHash(made.Token)) || b.User != "ann" || b.Role != wire.Role_DEVELOPER || !b.Restricted || b.Ended != "" || !b.ExpiresAt.Equal(*made.Details.ExpiresAt) {
		t.Errorf("its bearer is %+v", b)
	}
	if _, ok := r.Bearer("none"); ok {
		t.Error("a token that is not there has a bearer")
	}
	r.pass(time.Hour)
	if b, _ := r.Bearer(made.Details.ID); b.Role != 0 || !strings.Contains(b.Ended, "expired") {
		t.Errorf("after it has expired: %+v", b)
	}
	one, err := r.Token(t.Context(), made.Details.ID)
	if err != nil || !one.Expired {
		t.Errorf("%+v %v", one, err)
	}
	r.user("ann", wire.Role_VIEWER)
	forever, err := r.token(as("ada", wire.Role_ADMIN), server.UserToken{User: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := r.Bearer(forever.Details.ID); b.Role != wire.Role_VIEWER || b.Restricted || !b.ExpiresAt.IsZero() {
		t.Errorf("of a viewer: %+v", b)
	}
	off := as("ada", wire.Role_ADMIN)
	off.RequestID = "off"
	if _, _, err := r.PutUser(t.Context(), off, &wire.User{Name: "ann", Role: wire.Role_ADMIN, Disabled: true}); err != nil {
		t.Fatal(err)
	}
	if b, _ := r.Bearer(forever.Details.ID); b.Role != 0 || !strings.Contains(b.Ended, "disabled") {
		t.Errorf("of one who is disabled: %+v", b)
	}
	list, _, err := r.Tokens(t.Context(), server.TokenFilter{User: "ann", Contains: "lap"}, server.Page{Limit: 9})
	if err != nil || len(list) != 1 || list[0].ID != made.Details.ID {
		t.Errorf("%+v %v", list, err)
	}
	kind := wire.PutToken_SESSION
	if list, _, _ := r.Tokens(t.Context(), server.TokenFilter{Kind: &kind}, server.Page{Limit: 9}); len(list) > 0 {
		t.Errorf("sessions: %+v", list)
	}
	if list, _, _ := r.Tokens(t.Context(), server.TokenFilter{}, server.Page{Limit: 9}); len(list) != 2 {
		t.Errorf("everybody's: %+v", list)
	}
}

// TestR15_3_ATokenMadeByATokenMayNoMore: whoever has taken a lesser token cannot
// make a greater one of it.
func TestR15_3_ATokenMadeByATokenMayNoMore(t *testing.T) {
	r := newRig(t)
	r.user("olga", wire.Role_OPERATOR)
	r.user("ann", wire.Role_DEVELOPER, "ads", "shop")
	full, err := r.token(as("ada", wire.Role_ADMIN), server.UserToken{User: "ann", ExpiresIn: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	shown := func(user string, role wire.Role, via string, workspaces ...string) server.Write {
		w := as(user, role, workspaces...)
		w.Via = via
		return w
	}
	later := r.clock().Add(2 * time.Hour)
	for _, c := range []struct {
		name string
		w    server.Write
		ask  server.UserToken
		code fault.Code
		want string // role, workspaces, expires
	}{
		{"as the user", as("olga", wire.Role_OPERATOR), server.UserToken{User: "olga"}, "", " []"},
		{"a lesser one", as("olga", wire.Role_OPERATOR), server.UserToken{User: "olga", Role: wire.Role_VIEWER}, "", "viewer []"},
		{"by a viewer's", as("olga", wire.Role_VIEWER), server.UserToken{User: "olga"}, "", "viewer []"},
		{"more by a viewer's", as("olga", wire.Role_VIEWER), server.UserToken{User: "olga", Role: wire.Role_DEVELOPER}, fault.Invalid, "at most its role, viewer"},
		{"by one of a workspace", as("olga", wire.Role_DEVELOPER, "shop"), server.UserToken{User: "olga"}, "", "developer [shop]"},
		{"beyond it", as("olga", wire.Role_DEVELOPER, "shop"), server.UserToken{User: "olga", Workspaces: []string{"ads"}}, fault.Invalid, `"ads" is beyond what you showed`},
		{"a viewer's by it", as("olga", wire.Role_DEVELOPER, "shop"), server.UserToken{User: "olga", Role: wire.Role_VIEWER}, "", "viewer []"},
		{"by a developer", as("ann", wire.Role_DEVELOPER, "ads", "shop"), server.UserToken{User: "ann"}, "", " []"},
		{"by one of theirs", as("ann", wire.Role_DEVELOPER, "shop"), server.UserToken{User: "ann"}, "", " [shop]"},
		{"beyond theirs", as("ann", wire.Role_DEVELOPER, "ads", "shop"), server.UserToken{User: "ann", Workspaces: []string{"other"}}, fault.Invalid, `"other"`},
		{"of none left", server.Write{Actor: "ann", Via: "x", Role: wire.Role_DEVELOPER, Restricted: true}, server.UserToken{User: "ann"}, fault.Denied, "no workspace any more"},
		{"by one that expires", shown("ann", wire.Role_DEVELOPER, full.Details.ID, "ads", "shop"), server.UserToken{User: "ann"}, "", " [] expires with it"},
		{"to outlast it", shown("ann", wire.Role_DEVELOPER, full.Details.ID, "ads", "shop"), server.UserToken{User: "ann", ExpiresAt: later}, fault.Invalid, "does not outlast it"},
		{"in the past", as("olga", wire.Role_OPERATOR), server.UserToken{User: "olga", ExpiresAt: r.clock()}, fault.Invalid, "has passed"},
		{"of another", as("olga", wire.Role_OPERATOR), server.UserToken{User: "ann"}, fault.Denied, "for admins"},
		{"by a name in the file", shown("ann", wire.Role_OPERATOR, "file:ann"), server.UserToken{User: "ann"}, fault.Denied, "for admins"},
		{"of another by an admin", as("ada", wire.Role_ADMIN), server.UserToken{User: "ann", Role: wire.Role_VIEWER}, "", "viewer []"},
		{"more than the user by an admin", as("ada", wire.Role_ADMIN), server.UserToken{User: "ann", Role: wire.Role_ADMIN}, fault.Invalid, `user "ann" may less`},
		{"of nobody", as("ada", wire.Role_ADMIN), server.UserToken{User: "none"}, fault.NotFound, "no user"},
	} {
		made, err := r.token(c.w, c.ask)
		switch {
		case fault.CodeOf(err) != c.code:
			t.Errorf("%s: %v, expected %q", c.name, err, c.code)
		case err != nil && !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: %v, expected it to say %q", c.name, err, c.want)
		case err == nil:
			got := fmt.Sprint(made.Details.Role, " ", made.Details.Workspaces)
			if made.Details.ExpiresAt != nil && made.Details.ExpiresAt.Equal(*full.Details.ExpiresAt) {
				got += " expires with it"
			}
			if got != c.want {
				t.Errorf("%s: %s, expected %s", c.name, got, c.want)
			}
		}
	}
}

func TestR15_3_WhoRevokesWhoseToken(t *testing.T) {
	r := newRig(t)
	r.user("ann", wire.Role_DEVELOPER)
	made := func() string {
		n, err := r.token(as("ann", wire.Role_DEVELOPER), server.UserToken{User: "ann"})
		if err != nil {
			t.Fatal(err)
		}
		return n.Details.ID
	}
	revoke := func(w server.Write, id string) fault.Code {
		w.RequestID = fmt.Sprint("revoke ", r.log.index)
		_, err := r.RevokeToken(t.Context(), w, id)
		return fault.CodeOf(err)
	}
	for name, c := range map[string]struct {
		w    server.Write
		code fault.Code
	}{
		"own": {as("ann", wire.Role_VIEWER), ""}, "another's": {as("bob", wire.Role_OPERATOR), fault.Denied}, "by an admin": {as("ada", wire.Role_ADMIN), ""},
		"by the name in the file": {server.Write{Actor: "ann", Via: "file:ann", Role: wire.Role_OPERATOR, Hash: []byte("h")}, fault.Denied},
	} {
		if got := revoke(c.w, made()); got != c.code {
			t.Errorf("%s: %q, expected %q", name, got, c.code)
		}
	}
	if got := revoke(as("ann", wire.Role_VIEWER), "none"); got != fault.NotFound {
		t.Errorf("one that is not there: %q", got)
	}
	w := as("ann", wire.Role_DEVELOPER)
	id := made()
	first, err := r.RevokeToken(t.Context(), w, id)
	again, errAgain := r.RevokeToken(t.Context(), w, id)
	if err != nil || errAgain != nil || first != again {
		t.Errorf("repeated: %d %v, %d %v", first, err, again, errAgain)
	}
}

func TestR15_3_ALoginMakesASession(t *testing.T) {
	r := newRig(t)
	w := as("olga", wire.Role_OPERATOR)
	w.Via = "login"
	login := &wire.User{Name: "olga", Role: wire.Role_OPERATOR, Issuer: "https://id.example.org", Subject: "7"}
	made, err := r.token(w, server.UserToken{User: "olga", Kind: wire.PutToken_SESSION, ExpiresIn: 12 * time.Hour, Login: login})
	if err != nil || made.Details.Kind != v1.TokenKindSession {
		t.Fatalf("%+v %v", made, err)
	}
	u, err := r.User(t.Context(), "olga")
	if err != nil || u.Origin != v1.UserOriginOidc || u.LastLogin == nil || u.Tokens != 1 {
		t.Errorf("%+v %v", u, err)
	}
	// With a session one makes a token that lasts.
	w.Via = made.Details.ID
	lasting, err := r.token(w, server.UserToken{User: "olga"})
	if err != nil || lasting.Details.ExpiresAt != nil {
		t.Errorf("%+v %v", lasting, err)
	}
}

func TestR15_4_TheAuditIsFilteredAndPaged(t *testing.T) {
	r := newRig(t)
	begin := r.clock()
	act := func(actor, operation, name string) {
		t.Helper()
		w := as(actor, wire.Role_ADMIN)
		w.RequestID, w.Operation, w.Why = fmt.Sprint("act ", r.log.index), operation, "for "+name
		if _, _, err := r.PutResourceGroup(t.Context(), w, &wire.PutResourceGroup{Name: name, Description: "Of " + name}); err != nil {
			t.Fatal(err)
		}
		r.pass(time.Minute)
	}
	act("ann", "putResourceGroup", "etl")
	act("bob", "putResourceGroup", "big")
	act("ann", "other", "etl")
	w := as("ann", wire.Role_ADMIN)
	w.IfMatch = "7"
	if _, _, err := r.PutResourceGroup(t.Context(), w, &wire.PutResourceGroup{Name: "etl"}); !fault.Is(err, fault.Precondition) {
		t.Fatal(err)
	}
	if err := r.RecordRefusals(t.Context(), []*wire.Refusal{{AtMs: r.clock().UnixMilli(), Actor: "eve", Via: "t-eve", Operation: "putUser", Target: "/v1/users/eve", Code: "denied", Message: "no"}}, 0); err != nil {
		t.Fatal(err)
	}
	at := func(minutes int) *time.Time { m := begin.Add(time.Duration(minutes) * time.Minute); return &m }
	for _, c := range []struct {
		name   string
		filter server.AuditFilter
		want   string
	}{
		{"all", server.AuditFilter{}, "5 4 3 2 1"},
		{"oldest first", server.AuditFilter{Ascending: true}, "1 2 3 4 5"},
		{"by an actor", server.AuditFilter{Actor: "ann"}, "4 3 1"},
		{"by a token", server.AuditFilter{Via: "t-bob"}, "2"},
		{"of an operation", server.AuditFilter{Operation: "other"}, "3"},
		{"on a target", server.AuditFilter{Target: "group/etl"}, "4 3 1"},
		{"done", server.AuditFilter{Code: "ok"}, "3 2 1"},
		{"refused", server.AuditFilter{Code: "denied"}, "5"},
		{"with another tag", server.AuditFilter{Code: "precondition", Ascending: true}, "4"},
		{"since", server.AuditFilter{From: at(1)}, "5 4 3 2"},
		{"before", server.AuditFilter{To: at(1)}, "1"},
		{"with a text", server.AuditFilter{Contains: "of big"}, "2"},
		{"with a reason", server.AuditFilter{Contains: "for etl", Actor: "ann", Ascending: true}, "1 3"},
		{"with an address", server.AuditFilter{Contains: "10.0.0.7", Operation: "other"}, "3"},
		{"none", server.AuditFilter{Actor: "nobody"}, ""},
	} {
		for _, limit := range []int{1, 2, 9} {
			var got []string
			page := server.Page{Limit: limit}
			for more := true; more; more = page.Cursor != "" {
				list, next, err := r.Audit(t.Context(), c.filter, page)
				if err != nil || len(list) > limit {
					t.Fatal(list, err)
				}
				for _, one := range list {
					got = append(got, fmt.Sprint(one.Number))
				}
				page.Cursor = next
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%s, %d a page: %v, expected %s", c.name, limit, got, c.want)
			}
		}
	}
	_, next, err := r.Audit(t.Context(), server.AuditFilter{}, server.Page{Limit: 2})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Audit(t.Context(), server.AuditFilter{Ascending: true}, server.Page{Limit: 2, Cursor: next}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a cursor of the other order: %v", err)
	}
	list, _, _ := r.Audit(t.Context(), server.AuditFilter{Actor: "bob"}, server.Page{Limit: 1})
	if one := list[0]; one.Actor != "bob" || one.Via != "t-bob" || one.From != "10.0.0.7" || one.Operation != "putResourceGroup" || one.Target != "resourceGroup/big" ||
		one.Before != "" || one.After != `{"name":"big","description":"Of big"}` || one.Why != "for big" || one.RequestID == "" || !one.At.Equal(*at(1)) {
		t.Errorf("%+v", one)
	}
	r.log.lead("c2")
	if err := r.RecordRefusals(t.Context(), nil, 1); !fault.Is(err, fault.Unavailable) {
		t.Errorf("by one that does not lead: %v", err)
	}
}

func TestR15_4_ALongAuditIsReadInPieces(t *testing.T) {
	r := newRig(t)
	var many []*wire.Refusal
	for i := range auditLook + 10 {
		many = append(many, &wire.Refusal{Actor: fmt.Sprint("a", i)})
	}
	if err := r.RecordRefusals(t.Context(), many, 0); err != nil {
		t.Fatal(err)
	}
	list, next, err := r.Audit(t.Context(), server.AuditFilter{Actor: "a3"}, server.Page{Limit: 5})
	if err != nil || len(list) > 0 || next == "" {
		t.Fatalf("the first piece: %v %q %v", list, next, err)
	}
	list, next, err = r.Audit(t.Context(), server.AuditFilter{Actor: "a3"}, server.Page{Limit: 5, Cursor: next})
	if err != nil || len(list) != 1 || next != "" {
		t.Fatalf("the second piece: %v %q %v", list, next, err)
	}
}

func TestR15_4_WhoHandsLeadershipOverIsRecorded(t *testing.T) {
	r := newRig(t)
	w := as("ada", wire.Role_ADMIN)
	w.Operation = "transferLeadership"
	if _, err := r.TransferLeadership(t.Context(), as("olga", wire.Role_OPERATOR), "c2"); !fault.Is(err, fault.Denied) {
		t.Errorf("by an operator: %v", err)
	}
	if _, err := r.TransferLeadership(t.Context(), w, "c2"); err != nil {
		t.Fatal(err)
	}
	list, _, err := r.Audit(t.Context(), server.AuditFilter{}, server.Page{Limit: 9})
	if err != nil || len(list) != 1 || list[0].Actor != "ada" || list[0].Target != "server/c2" || list[0].Operation != "transferLeadership" || list[0].Code != "" {
		t.Errorf("%+v %v", list, err)
	}
}

func TestR15_5_TagsAreOfTheFacts(t *testing.T) {
	r := newRig(t, daily("a"))
	id := r.submit(backfill("a", "2021-01-01..2021-01-02"))
	w := write("group")
	w.IfMatch = server.IfNone
	_, index, err := r.PutResourceGroup(t.Context(), w, &wire.PutResourceGroup{Name: "etl"})
	if err != nil {
		t.Fatal(err)
	}
	for of, want := range map[string]string{
		"resourceGroup/etl": fmt.Sprint(index), "node/a": "1", fmt.Sprint("backfill/b", id): "0", "resourceGroup/none": "", "user/none": "",
	} {
		if got := r.Tag(of); got != want {
			t.Errorf("the tag of %s is %q, expected %q", of, got, want)
		}
	}
	two := int32(2)
	edit := write("edit")
	edit.IfMatch = "0"
	if _, err := r.Edit(t.Context(), edit, &wire.EditPlan{Plan: id, MaxRunning: &two}, false); err != nil {
		t.Fatal(err)
	}
	edit.RequestID = "another"
	three := int32(3)
	if _, err := r.Edit(t.Context(), edit, &wire.EditPlan{Plan: id, MaxRunning: &three}, false); !fault.Is(err, fault.Precondition) {
		t.Errorf("an edit of what was edited meanwhile: %v", err)
	}
	node := write("node")
	node.IfMatch = "9"
	if _, err := r.ApplyNodes(t.Context(), node, []*wire.Node{daily("a", self)}, nil, false); !fault.Is(err, fault.Precondition) {
		t.Errorf("a node of another version: %v", err)
	}
	if _, _, err := r.PutResourceGroup(t.Context(), w, &wire.PutResourceGroup{Name: "etl"}); err != nil {
		t.Errorf("asked again under its key: %v", err)
	}
}

func TestBaselinesAreWhatNodesName(t *testing.T) {
	of := func(baseline string, priority int32) option {
		return func(n *wire.Node) { n.Baseline, n.Priority = baseline, priority }
	}
	r := newRig(t, daily("a", of("gold", 8)), daily("b", of("gold", 8)), daily("c", of("silver", 5)), daily("d", of("bronze", 1)))
	list, next, err := r.Baselines(t.Context(), "o", server.Page{Limit: 1})
	if err != nil || len(list) != 1 || list[0].Name != "bronze" || next == "" {
		t.Fatalf("%+v %q %v", list, next, err)
	}
	list, next, err = r.Baselines(t.Context(), "o", server.Page{Limit: 1, Cursor: next})
	if err != nil || next != "" || len(list) != 1 || list[0] != (v1.Baseline{Name: "gold", Priority: 8, Nodes: 2}) {
		t.Fatalf("%+v %q %v", list, next, err)
	}
	if list, _, _ := r.Baselines(t.Context(), "none", server.Page{Limit: 9}); len(list) > 0 {
		t.Errorf("%+v", list)
	}
}
