package state

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"strings"
	"unicode/utf8"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// maxTokensOf is how many tokens that have not expired a user may have.
const maxTokensOf = 1000

// UserToken finds a token of a user that was not revoked; it may have expired,
// or its user be disabled.
func (s *State) UserToken(id string) (*wire.SnapshotToken, bool) {
	return s.userTokens.Get([]byte(id))
}

// UserTokens calls f for every token of users that was not revoked, by id.
func (s *State) UserTokens(f func(*wire.SnapshotToken)) {
	s.userTokens.Root().Walk(func(_ []byte, t *wire.SnapshotToken) bool { f(t); return false })
}

// UserTokensOf calls f for every token of one user, by id.
func (s *State) UserTokensOf(user string, f func(*wire.SnapshotToken)) {
	for _, id := range s.tokensOf(user) {
		if t, ok := s.UserToken(id); ok {
			f(t)
		}
	}
}

// ownKey lists a token under its user, whose name has no control character.
func ownKey(user, id string) []byte { return []byte(user + "\x00" + id) }

func (s *State) tokensOf(user string) (ids []string) {
	prefix := ownKey(user, "")
	s.ownTokens.Root().WalkPrefix(prefix, func(k []byte, _ struct{}) bool {
		ids = append(ids, string(k[len(prefix):]))
		return false
	})
	return ids
}

// putUserToken takes in a new token; with a login, its user too (RULES R15.3).
func (e *Edit) putUserToken(c *wire.Command, t *wire.PutToken) (*wire.Answer, error) {
	if err := checkUserToken(t, e.s.nowMs); err != nil {
		return nil, err
	}
	if old, ok := e.s.UserToken(t.Id); ok {
		if bytes.Equal(old.Token.SecretHash, t.SecretHash) {
			return &wire.Answer{}, nil
		}
		return nil, fault.New(fault.Conflict, "there is a token %q with another secret: take another id", t.Id)
	}
	if u := t.Login; u != nil {
		if u.Name != t.User || t.Kind != wire.PutToken_SESSION {
			return nil, fault.Field("login", "expected a session of the user who has logged in")
		}
		if err := e.login(c, u); err != nil {
			return nil, err
		}
		t.Login = nil // it is the user now
	}
	u, ok := e.s.User(t.User)
	switch {
	case !ok:
		return nil, noUser(t.User)
	case u.User.Disabled:
		return nil, errDisabled(t.User)
	case t.Role > u.User.Role:
		return nil, fault.Field("role", "user %q may less: their tokens have at most their own role", t.User)
	}
	if reach := RightsOf(u.User); reach.Restricted {
		for _, id := range t.Workspaces {
			if !slices.Contains(reach.Workspaces, id) {
				return nil, fault.Field("workspaces", "%q is no workspace of user %q: their tokens reach as far as they do", id, t.User)
			}
		}
	}
	if err := e.roomForToken(t.User); err != nil {
		return nil, err
	}
	e.s.userTokens, _, _ = e.s.userTokens.Insert([]byte(t.Id), &wire.SnapshotToken{Token: t, Actor: c.Actor, CreatedMs: e.s.nowMs})
	e.s.ownTokens, _, _ = e.s.ownTokens.Insert(ownKey(t.User, t.Id), struct{}{})
	e.changes = append(e.changes, Change{Kind: UsersChanged})
	return &wire.Answer{}, nil
}

// roomForToken refuses more tokens of a user than there may be. Those that have
// expired go first.
func (e *Edit) roomForToken(user string) error {
	ids := e.s.tokensOf(user)
	if len(ids) < maxTokensOf {
		return nil
	}
	left := len(ids)
	for _, id := range ids {
		if e.forget(id) {
			left--
		}
	}
	if left >= maxTokensOf {
		return fault.New(fault.Conflict, "user %q has %d tokens, as many as one may have: revoke some", user, left)
	}
	return nil
}

func checkUserToken(t *wire.PutToken, nowMs int64) error {
	odd := func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }
	_, role := wire.Role_name[int32(t.Role)]
	_, kind := wire.PutToken_Kind_name[int32(t.Kind)]
	switch {
	case t.Id == "" || len(t.Id) > maxTokenID || strings.ContainsFunc(t.Id, odd):
		return fault.Field("id", "%q: expected 1 to %d small letters and digits", clip(t.Id), maxTokenID)
	case len(t.SecretHash) != sha256.Size:
		return fault.Field("secretHash", "it has %d bytes: expected the %d of a SHA-256 of the whole token", len(t.SecretHash), sha256.Size)
	case !role:
		return fault.Field("role", "%d is none that this version knows", t.Role)
	case !kind:
		return fault.Field("kind", "%d is none that this version knows", t.Kind)
	case t.ExpiresMs < 0, t.ExpiresMs > 0 && t.ExpiresMs <= nowMs:
		return fault.Field("expires", "that moment is past: expected one to come, or none")
	case len(t.Description) > maxTokenText || !utf8.ValidString(t.Description):
		return fault.Field("description", "expected %d bytes of text at most", maxTokenText)
	}
	return checkWorkspaces(t.Role, t.Workspaces)
}

// revokeUserToken ends a token.
func (e *Edit) revokeUserToken(id string) (*wire.Answer, error) {
	if !e.dropToken(id) {
		return nil, fault.New(fault.NotFound, "there is no token %q: it was revoked or has expired, or never was", id)
	}
	return &wire.Answer{}, nil
}

// forgetTokens drops those of the tokens that have expired.
func (e *Edit) forgetTokens(f *wire.ForgetTokens) (*wire.Answer, error) {
	answer := &wire.Answer{}
	for _, id := range f.Ids {
		if e.forget(id) {
			answer.Instances++
		}
	}
	return answer, nil
}

// forget drops a token if it has expired.
func (e *Edit) forget(id string) bool {
	t, ok := e.s.UserToken(id)
	return ok && t.Token.ExpiresMs > 0 && t.Token.ExpiresMs <= e.s.nowMs && e.dropToken(id)
}

func (e *Edit) dropToken(id string) bool {
	t, ok := e.s.UserToken(id)
	if !ok {
		return false
	}
	e.s.userTokens, _, _ = e.s.userTokens.Delete([]byte(id))
	e.s.ownTokens, _, _ = e.s.ownTokens.Delete(ownKey(t.Token.User, id))
	e.changes = append(e.changes, Change{Kind: UsersChanged})
	return true
}
