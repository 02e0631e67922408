package service

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"slices"

	"backfleet/api/convert"
	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/coordinator/state"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// Tokens implements server.People.
func (s *Service) Tokens(_ context.Context, f server.TokenFilter, page server.Page) ([]v1.AccessToken, server.Next, error) {
	st, nowMs := s.Machine.State(), s.Now().UnixMilli()
	var all []string
	note := func(t *wire.SnapshotToken) { all = append(all, t.Token.Id) }
	if f.User == "" {
		st.UserTokens(note)
	} else {
		st.UserTokensOf(f.User, note)
	}
	shown, next, err := names(all, page, "token", func(id string) bool {
		t, _ := st.UserToken(id)
		return matches(f.Contains, id, t.Token.User, t.Token.Description) && (f.Kind == nil || *f.Kind == t.Token.Kind)
	})
	out := make([]v1.AccessToken, 0, len(shown))
	for _, id := range shown {
		t, _ := st.UserToken(id)
		out = append(out, convert.AccessToken(t, nowMs))
	}
	return out, next, err
}

// Token implements server.People.
func (s *Service) Token(_ context.Context, id string) (*v1.AccessToken, error) {
	t, ok := s.Machine.State().UserToken(id)
	if !ok {
		return nil, noToken(id)
	}
	out := convert.AccessToken(t, s.Now().UnixMilli())
	return &out, nil
}

func noToken(id string) error {
	return fault.New(fault.NotFound, "there is no token %q: it was revoked or has expired, or never was", id)
}

// userTokenID is the public part of the token that a request makes: the same for
// the same request, so that a retry knows of which it is one.
func userTokenID(requestID string) string {
	sum := sha256.Sum256([]byte("user token " + requestID))
	return encode(sum[:10])
}

// CreateToken implements server.People. As of a join token, the log gets the hash
// alone, so the text cannot be told twice.
func (s *Service) CreateToken(ctx context.Context, w server.Write, t server.UserToken) (*v1.NewToken, error) {
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the system gives no random numbers")
	}
	id := userTokenID(w.RequestID)
	text := "bft_" + id + "_" + encode(secret)
	hash := state.TokenHash(text)
	answer, err := s.once(ctx, w, func(st *state.State, c *wire.Command) error {
		body, err := s.userToken(st, w, t)
		if err != nil {
			return err
		}
		body.Id, body.SecretHash = id, hash
		c.Body = &wire.Command_PutToken{PutToken: body}
		return nil
	})
	if err != nil {
		return nil, err
	}
	made, ok := s.Machine.State().UserToken(id)
	if !ok || !bytes.Equal(made.Token.SecretHash, hash) {
		return nil, fault.New(fault.Conflict, "token %s was made by this request before, and its text is told only once: revoke it, and make another with a new idempotency key", id)
	}
	return &v1.NewToken{Token: text, Details: convert.AccessToken(made, s.Now().UnixMilli()), Index: answer.Index}, nil
}

// userToken is the token to be made, within what its maker may (RULES R15.3).
func (s *Service) userToken(st *state.State, w server.Write, t server.UserToken) (*wire.PutToken, error) {
	now := s.Now()
	out := &wire.PutToken{
		User: t.User, Kind: t.Kind, Description: t.Description, Role: t.Role, Workspaces: t.Workspaces, Login: t.Login,
	}
	switch {
	case t.ExpiresIn > 0:
		out.ExpiresMs = now.Add(t.ExpiresIn).UnixMilli()
	case !t.ExpiresAt.IsZero():
		if out.ExpiresMs = t.ExpiresAt.UnixMilli(); out.ExpiresMs <= now.UnixMilli() {
			return nil, fault.Field("expiresAt", "%s has passed: expected a moment to come", momentText(out.ExpiresMs))
		}
	}
	if t.Login != nil {
		return out, nil
	}
	u, ok := st.User(t.User)
	switch {
	case !owns(w, t.User) && w.Role < wire.Role_ADMIN:
		return nil, fault.New(fault.Denied, "you make tokens of your own: those of others are for admins")
	case !ok:
		return nil, fault.New(fault.NotFound, "there is no user %q: an admin makes them first", t.User)
	case !owns(w, t.User):
		return out, nil
	}
	return out, bindToMaker(st, w, state.RightsOf(u.User), out)
}

// owns says whether somebody showed a token of a user.
func owns(w server.Write, user string) bool { return w.User() == user && user != "" }

// bindToMaker binds a token to what the one that its maker showed may, in rights and in
// time, as far as that is less than the user.
func bindToMaker(st *state.State, w server.Write, user state.Rights, out *wire.PutToken) error {
	if out.Role > w.Role {
		return fault.Field("role", "what you showed may less: a token that it makes has at most its role, %s", convert.Role(w.Role))
	}
	if out.Role == wire.Role_ROLE_UNSPECIFIED && w.Role < user.Role {
		out.Role = w.Role
	}
	if w.Restricted {
		for _, id := range out.Workspaces {
			if !slices.Contains(w.Workspaces, id) {
				return fault.Field("workspaces", "%q is beyond what you showed: a token that it makes reaches as far as it does", id)
			}
		}
		if len(w.Workspaces) == 0 {
			return fault.New(fault.Denied, "what you showed reaches no workspace any more, and neither would a token that it makes")
		}
		if len(out.Workspaces) == 0 && !slices.Equal(w.Workspaces, user.Workspaces) {
			if out.Role == wire.Role_VIEWER {
				return nil // to whom workspaces are nothing
			}
			out.Workspaces = w.Workspaces
		}
	}
	shown, ok := st.UserToken(w.Via)
	if !ok || shown.Token.Kind != wire.PutToken_API || shown.Token.ExpiresMs == 0 {
		return nil
	}
	switch {
	case out.ExpiresMs == 0:
		out.ExpiresMs = shown.Token.ExpiresMs
	case out.ExpiresMs > shown.Token.ExpiresMs:
		return fault.Field("expiresAt", "the token that you showed expires at %s: one that it makes does not outlast it", momentText(shown.Token.ExpiresMs))
	}
	return nil
}

// RevokeToken implements server.People.
func (s *Service) RevokeToken(ctx context.Context, w server.Write, id string) (uint64, error) {
	answer, err := s.once(ctx, w, func(st *state.State, c *wire.Command) error {
		t, ok := st.UserToken(id)
		switch {
		case !ok:
			return noToken(id)
		case !owns(w, t.Token.User) && w.Role < wire.Role_ADMIN:
			return fault.New(fault.Denied, "token %s is another's: revoking it is for admins", id)
		}
		c.Body = &wire.Command_RevokeToken{RevokeToken: &wire.RevokeToken{Id: id}}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return answer.Index, nil
}
