package service

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"strings"

	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/coordinator/state"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// base32 in lower case is easily typed and survives every shell.
func encode(b []byte) string {
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b))
}

// joinTokenID is the public part of the token that a request makes: the same for
// the same request, so that a retry knows of which it is one.
func joinTokenID(requestID string) string {
	sum := sha256.Sum256([]byte("join token " + requestID))
	return encode(sum[:10])
}

// CreateJoinToken implements server.Writes. The log gets the hash alone, so the
// text cannot be told twice: whoever asks again under the same key, or at the
// same time, finds a token there that has another secret than its own.
func (s *Service) CreateJoinToken(ctx context.Context, w server.Write, t server.TokenToMake) (*v1.NewJoinToken, error) {
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the system gives no random numbers")
	}
	id := joinTokenID(w.RequestID)
	text := "bfj_" + id + "_" + encode(secret) // as state.TokenID takes it apart
	hash := state.TokenHash(text)
	answer, err := s.once(ctx, w, func(_ *state.State, c *wire.Command) error {
		body := &wire.PutJoinToken{Id: id, SecretHash: hash, Groups: t.Groups, Description: t.Description}
		switch {
		case t.ExpiresIn > 0:
			body.ExpiresMs = s.Now().Add(t.ExpiresIn).UnixMilli()
		case !t.ExpiresAt.IsZero():
			if body.ExpiresMs = t.ExpiresAt.UnixMilli(); body.ExpiresMs <= s.Now().UnixMilli() {
				return fault.Field("expiresAt", "%s has passed: expected a moment to come", momentText(body.ExpiresMs))
			}
		}
		c.Body = &wire.Command_PutJoinToken{PutJoinToken: body}
		return nil
	})
	if err != nil {
		return nil, err
	}
	r := s.joiners()
	made, ok := r.st.JoinToken(id)
	if !ok || !bytes.Equal(made.Token.SecretHash, hash) {
		return nil, fault.New(fault.Conflict, "join token %s was made by this request before, and its text is told only once: revoke it, and make another with a new idempotency key", id)
	}
	return &v1.NewJoinToken{Token: text, JoinToken: r.show(made), Index: answer.Index}, nil
}

// joiners is one request's look at join tokens.
type joiners struct {
	st    *state.State
	nowMs int64
	in    map[string]int // agents by the token that let them in
}

func (s *Service) joiners() *joiners {
	r := &joiners{st: s.Machine.State(), nowMs: s.Now().UnixMilli(), in: map[string]int{}}
	r.st.Agents(func(a *state.Agent) { r.in[a.StartedBy]++ })
	return r
}

func (r *joiners) show(t *wire.SnapshotJoinToken) v1.JoinToken {
	return v1.JoinToken{
		ID: t.Token.Id, Description: t.Token.Description, Groups: t.Token.Groups, CreatedBy: t.Actor, CreatedAt: moment(t.CreatedMs),
		ExpiresAt: maybe(t.Token.ExpiresMs), Expired: t.Token.ExpiresMs > 0 && t.Token.ExpiresMs <= r.nowMs, Agents: r.in[t.Token.Id],
	}
}

// JoinTokens implements server.Fleet.
func (s *Service) JoinTokens(_ context.Context, contains string, page server.Page) ([]v1.JoinToken, server.Next, error) {
	r := s.joiners()
	var ids []string
	r.st.JoinTokens(func(t *wire.SnapshotJoinToken) { ids = append(ids, t.Token.Id) })
	shown, next, err := names(ids, page, "join token", func(id string) bool {
		t, _ := r.st.JoinToken(id)
		return matches(contains, id, t.Token.Description)
	})
	var out []v1.JoinToken
	for _, id := range shown {
		t, _ := r.st.JoinToken(id)
		out = append(out, r.show(t))
	}
	return out, next, err
}

// RevokeJoinToken implements server.Writes.
func (s *Service) RevokeJoinToken(ctx context.Context, w server.Write, id string) (uint64, error) {
	return s.put(ctx, w, &wire.Command{Body: &wire.Command_RevokeJoinToken{RevokeJoinToken: &wire.RevokeJoinToken{Id: id}}})
}
