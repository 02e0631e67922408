package state

import (
	"crypto/sha256"
	"slices"
	"strings"
	"unicode/utf8"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// A join token is the text bfj_<id>_<secret>. The facts know its id and the
// SHA-256 of the whole; the secret is nowhere but with those who show it.
const tokenPrefix = "bfj_"

// Bounds of what is said of a join token.
const (
	maxTokenID     = 64
	maxTokenGroups = 1000
	maxTokenText   = 4000 // bytes of the description
)

// TokenID finds the public part of a join token; false for any other secret.
func TokenID(text string) (id string, ok bool) {
	rest, ok := strings.CutPrefix(text, tokenPrefix)
	if !ok {
		return "", false
	}
	id, secret, ok := strings.Cut(rest, "_")
	return id, ok && id != "" && len(id) <= maxTokenID && secret != ""
}

// TokenHash is what the facts keep of a join token. The text is long and drawn
// at random, so there is nothing to guess and a plain hash will do.
func TokenHash(text string) []byte {
	h := sha256.Sum256([]byte(text))
	return h[:]
}

// JoinToken finds a join token that was not revoked; it may have expired.
func (s *State) JoinToken(id string) (*wire.SnapshotJoinToken, bool) { return s.tokens.Get([]byte(id)) }

// JoinTokens calls f for every join token that was not revoked, by id.
func (s *State) JoinTokens(f func(*wire.SnapshotJoinToken)) {
	s.tokens.Root().Walk(func(_ []byte, t *wire.SnapshotJoinToken) bool { f(t); return false })
}

// Admits says why a join token does not, or does no longer, let an agent with
// these resource groups in at a moment (unix milliseconds): fault.Unauthenticated
// when it is none, fault.Denied when it does not reach that far; nil: it does.
func (s *State) Admits(id string, groups []*wire.GroupSlots, nowMs int64) error {
	t, ok := s.tokens.Get([]byte(id))
	switch {
	case !ok:
		return fault.New(fault.Unauthenticated, "join token %q is not known: it was revoked, or is of another cluster; ask for a new one", id)
	case t.Token.ExpiresMs > 0 && t.Token.ExpiresMs <= nowMs:
		return fault.New(fault.Unauthenticated, "join token %q has expired: ask for a new one", id)
	case len(t.Token.Groups) == 0:
		return nil
	}
	for _, g := range groups {
		if !slices.Contains(t.Token.Groups, g.Group) {
			return fault.New(fault.Denied, "join token %q is not for resource group %q: it lets agents into %s", id, g.Group, strings.Join(t.Token.Groups, ", "))
		}
	}
	return nil
}

// putJoinToken takes in a new token, or another reach of one that is known.
func (e *Edit) putJoinToken(c *wire.Command, t *wire.PutJoinToken) (*wire.Answer, error) {
	if err := checkToken(t, e.s.nowMs); err != nil {
		return nil, err
	}
	own := &wire.SnapshotJoinToken{Token: t, Actor: c.Actor, CreatedMs: e.s.nowMs}
	if old, ok := e.s.tokens.Get([]byte(t.Id)); ok {
		if !slices.Equal(old.Token.SecretHash, t.SecretHash) {
			return nil, fault.New(fault.Conflict, "there is a join token %q with another secret: revoke it first, or take another id", t.Id)
		}
		own.Actor, own.CreatedMs = old.Actor, old.CreatedMs
	}
	e.s.tokens, _, _ = e.s.tokens.Insert([]byte(t.Id), own)
	e.changes = append(e.changes, Change{Kind: TokensChanged})
	return &wire.Answer{}, nil
}

func checkToken(t *wire.PutJoinToken, nowMs int64) error {
	odd := func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' }
	switch {
	case t.Id == "" || len(t.Id) > maxTokenID || strings.ContainsFunc(t.Id, odd):
		return fault.Field("id", "%q: expected 1 to %d small letters, digits and dashes", t.Id, maxTokenID)
	case len(t.SecretHash) != sha256.Size:
		return fault.Field("secretHash", "it has %d bytes: expected the %d of a SHA-256 of the whole token", len(t.SecretHash), sha256.Size)
	case len(t.Groups) > maxTokenGroups:
		return fault.Field("groups", "%d of them: expected %d at most, or none for all", len(t.Groups), maxTokenGroups)
	case slices.Contains(t.Groups, ""):
		return fault.Field("groups", "one is empty: expected names of resource groups")
	case t.ExpiresMs < 0, t.ExpiresMs > 0 && t.ExpiresMs <= nowMs:
		return fault.Field("expires", "that moment is past: expected one to come, or none")
	case len(t.Description) > maxTokenText || !utf8.ValidString(t.Description):
		return fault.Field("description", "expected %d bytes of text at most", maxTokenText)
	}
	return nil
}

// revokeJoinToken forgets a token, and so ends the sessions that it let in.
func (e *Edit) revokeJoinToken(r *wire.RevokeJoinToken) (*wire.Answer, error) {
	tokens, _, ok := e.s.tokens.Delete([]byte(r.Id))
	if !ok {
		return nil, fault.New(fault.NotFound, "there is no join token %q: it was revoked before, or never was", r.Id)
	}
	e.s.tokens = tokens
	e.changes = append(e.changes, Change{Kind: TokensChanged})
	return &wire.Answer{}, nil
}
