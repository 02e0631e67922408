package service

import (
	"context"
	"slices"

	"backfleet/api/convert"
	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/coordinator/state"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// userView is one request's look at users.
type userView struct {
	st     *state.State
	tokens map[string]int // that have not expired, by user
}

func (s *Service) userView() *userView {
	v := &userView{st: s.Machine.State(), tokens: map[string]int{}}
	nowMs := s.Now().UnixMilli()
	v.st.UserTokens(func(t *wire.SnapshotToken) {
		if t.Token.ExpiresMs == 0 || t.Token.ExpiresMs > nowMs {
			v.tokens[t.Token.User]++
		}
	})
	return v
}

func (v *userView) show(u *wire.SnapshotUser) v1.User {
	out := convert.User(u)
	out.Tokens = v.tokens[u.User.Name]
	return out
}

// Users implements server.People.
func (s *Service) Users(_ context.Context, f server.UserFilter, page server.Page) ([]v1.User, server.Next, error) {
	v := s.userView()
	var all []string
	v.st.Users(func(u *wire.SnapshotUser) { all = append(all, u.User.Name) })
	shown, next, err := names(all, page, "user", func(name string) bool {
		u, _ := v.st.User(name)
		return matches(f.Contains, name, u.User.DisplayName, u.User.Email) && (f.Role == wire.Role_ROLE_UNSPECIFIED || f.Role == u.User.Role) &&
			(f.Workspace == "" || worksIn(u.User, f.Workspace))
	})
	out := make([]v1.User, 0, len(shown))
	for _, name := range shown {
		u, _ := v.st.User(name)
		out = append(out, v.show(u))
	}
	return out, next, err
}

// worksIn says whether a workspace is a developer's own.
func worksIn(u *wire.User, workspace string) bool {
	return u.Role == wire.Role_DEVELOPER && (len(u.Workspaces) == 0 || slices.Contains(u.Workspaces, workspace))
}

// User implements server.People.
func (s *Service) User(_ context.Context, name string) (*v1.User, error) {
	v := s.userView()
	u, ok := v.st.User(name)
	if !ok {
		return nil, fault.New(fault.NotFound, "there is no user %q", name)
	}
	out := v.show(u)
	return &out, nil
}

// PutUser implements server.People.
func (s *Service) PutUser(ctx context.Context, w server.Write, u *wire.User) (*v1.User, uint64, error) {
	index, err := s.byAdmin(ctx, w, &wire.Command{Body: &wire.Command_PutUser{PutUser: &wire.PutUser{User: u}}})
	if err != nil {
		return nil, 0, err
	}
	out, err := s.User(ctx, u.Name)
	return out, index, err
}

// RemoveUser implements server.People.
func (s *Service) RemoveUser(ctx context.Context, w server.Write, name string) (uint64, error) {
	return s.byAdmin(ctx, w, &wire.Command{Body: &wire.Command_RemoveUser{RemoveUser: &wire.RemoveUser{Name: name}}})
}

// byAdmin is put for what is for admins.
func (s *Service) byAdmin(ctx context.Context, w server.Write, body *wire.Command) (uint64, error) {
	if err := least(w, wire.Role_ADMIN, "who the users are, and what they may,"); err != nil {
		return 0, err
	}
	return s.put(ctx, w, body)
}

// Bearer implements server.People.
func (s *Service) Bearer(id string) (server.Bearer, bool) {
	st := s.Machine.State()
	t, ok := st.UserToken(id)
	if !ok {
		return server.Bearer{}, false
	}
	out := server.Bearer{Hash: t.Token.SecretHash, User: t.Token.User, Kind: t.Token.Kind}
	if t.Token.ExpiresMs > 0 {
		out.ExpiresAt = moment(t.Token.ExpiresMs)
	}
	may, err := st.Rights(t.Token, s.Now().UnixMilli())
	if err != nil {
		out.Ended = err.Error()
	}
	out.Role, out.Restricted, out.Workspaces = may.Role, may.Restricted, may.Workspaces
	return out, true
}

// Tag implements server.People.
func (s *Service) Tag(of string) string { return s.Machine.State().Tag(of) }
