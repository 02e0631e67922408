package convert

import (
	"cmp"
	"fmt"
	"slices"
	"unicode/utf8"

	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

var roles = words[v1.Role, wire.Role]{
	v1.RoleViewer: wire.Role_VIEWER, v1.RoleDeveloper: wire.Role_DEVELOPER, v1.RoleOperator: wire.Role_OPERATOR, v1.RoleAdmin: wire.Role_ADMIN,
}

// Role writes a role; unspecified: empty.
func Role(r wire.Role) v1.Role { return roles.word(r) }

// ReadRole reads a role whose word is known; empty: unspecified.
func ReadRole(r v1.Role) wire.Role { return roles[r] }

// WithArticle is a role in a sentence: "an operator".
func WithArticle(r wire.Role) string {
	switch r {
	case wire.Role_OPERATOR, wire.Role_ADMIN:
		return "an " + string(Role(r))
	case wire.Role_ROLE_UNSPECIFIED:
		return "nobody here"
	}
	return "a " + string(Role(r))
}

var tokenKinds = words[v1.TokenKind, wire.PutToken_Kind]{v1.TokenKindAPI: wire.PutToken_API, v1.TokenKindSession: wire.PutToken_SESSION}

// TokenKind writes what a token is for.
func TokenKind(k wire.PutToken_Kind) v1.TokenKind { return tokenKinds.word(k) }

// ReadTokenKind reads a kind whose word is known; empty: nil.
func ReadTokenKind(k v1.TokenKind) *wire.PutToken_Kind {
	if n, ok := tokenKinds[k]; ok {
		return &n
	}
	return nil
}

// ReadUser reads what can be set of a user.
func ReadUser(name string, s v1.UserSettings) (*wire.User, error) {
	var f findings
	out := &wire.User{
		Name: name, DisplayName: s.DisplayName, Email: s.Email, Description: s.Description, Role: roles.number(&f, "role", s.Role),
		Workspaces: slices.Compact(slices.Sorted(slices.Values(s.Workspaces))), Disabled: s.Disabled,
	}
	for _, text := range []struct {
		field, value string
		most         int
	}{{"displayName", s.DisplayName, 200}, {"email", s.Email, 320}, {"description", s.Description, 1000}} {
		if n := utf8.RuneCountInString(text.value); n > text.most {
			f.add(text.field, "%d characters were given: expected at most %d", n, text.most)
		}
	}
	if err := cmp.Or(Named("user", name), f.err("the user"), OfRole(out.Role, s.Workspaces)); err != nil {
		return nil, err
	}
	return out, nil
}

// OfRole refuses workspaces that are named of another role than developer: they
// would bind nothing. Without a role, whoever it is of becomes a developer of these.
func OfRole(role wire.Role, workspaces []string) error {
	const most = 1000
	switch {
	case len(workspaces) == 0:
		return nil
	case role != wire.Role_DEVELOPER && role != wire.Role_ROLE_UNSPECIFIED:
		return fault.Field("workspaces", "workspaces are a developer's, and the role is %s: leave them out, or make it developer", Role(role))
	case len(workspaces) > most:
		return fault.Field("workspaces", "%d are named: expected at most %d, or none for all", len(workspaces), most)
	}
	for i, id := range workspaces {
		if err := Named(fmt.Sprintf("workspaces[%d]", i), id); err != nil {
			return err
		}
	}
	return nil
}

// User writes what is set of a user; how many tokens they have is for the caller
// to add.
func User(u *wire.SnapshotUser) v1.User {
	out := v1.User{
		Name: u.User.Name, DisplayName: u.User.DisplayName, Email: u.User.Email, Description: u.User.Description,
		Role: Role(u.User.Role), Workspaces: u.User.Workspaces, Disabled: u.User.Disabled,
		Origin: v1.UserOriginLocal, Issuer: u.User.Issuer, CreatedBy: u.Actor, CreatedAt: moment(u.CreatedMs),
	}
	if u.User.Issuer != "" {
		out.Origin = v1.UserOriginOidc
	}
	if u.LoginMs > 0 {
		at := moment(u.LoginMs)
		out.LastLogin = &at
	}
	return out
}

// AccessToken writes a token as it is at a moment, without its hash.
func AccessToken(t *wire.SnapshotToken, nowMs int64) v1.AccessToken {
	out := v1.AccessToken{
		ID: t.Token.Id, User: t.Token.User, Kind: TokenKind(t.Token.Kind), Description: t.Token.Description,
		Role: Role(t.Token.Role), Workspaces: t.Token.Workspaces, CreatedBy: t.Actor, CreatedAt: moment(t.CreatedMs),
		Expired: t.Token.ExpiresMs > 0 && t.Token.ExpiresMs <= nowMs,
	}
	if t.Token.ExpiresMs > 0 {
		at := moment(t.Token.ExpiresMs)
		out.ExpiresAt = &at
	}
	return out
}

// AuditRecord writes what somebody did, or was not let.
func AuditRecord(r *wire.AuditRecord) v1.AuditRecord {
	return v1.AuditRecord{
		Number: r.Number, Index: r.Index, At: moment(r.AtMs), Actor: r.Actor, Via: r.Via, From: r.From, Operation: r.Operation, Target: r.Target,
		Before: r.Before, After: r.After, Why: r.Why, Code: r.Code, Message: r.Message, RequestID: r.RequestId, Count: r.Count,
	}
}
