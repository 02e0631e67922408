package state

import (
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// Bounds of what is said of a user.
const (
	maxUserName   = 100  // bytes
	maxUserText   = 4000 // bytes of each other text
	maxWorkspaces = 1000
)

// User finds a user; they may be disabled.
func (s *State) User(name string) (*wire.SnapshotUser, bool) { return s.users.Get([]byte(name)) }

// Users calls f for every user, by name.
func (s *State) Users(f func(*wire.SnapshotUser)) {
	s.users.Root().Walk(func(_ []byte, u *wire.SnapshotUser) bool { f(u); return false })
}

// What Command.via is of those who showed no user's token.
const (
	viaFile = "file:"
	viaOpen = "open"
)

// isUser says whether the actor of a command is a user of that name: a name in
// the coordinators' own file, and one that somebody merely says, is none.
func isUser(c *wire.Command, name string) bool {
	return c.Actor == name && c.Via != "" && c.Via != viaOpen && !strings.HasPrefix(c.Via, viaFile)
}

// putUser adds a user, or changes what they are and may.
func (e *Edit) putUser(c *wire.Command, u *wire.User) (*wire.Answer, error) {
	if err := checkUser("user", u); err != nil {
		return nil, err
	}
	next := &wire.SnapshotUser{User: u, Actor: c.Actor, CreatedMs: e.s.nowMs}
	if old, ok := e.s.User(u.Name); ok {
		next.Actor, next.CreatedMs, next.LoginMs = old.Actor, old.CreatedMs, old.LoginMs
		u.Issuer, u.Subject = old.User.Issuer, old.User.Subject
	} else if u.Issuer != "" || u.Subject != "" {
		return nil, fault.Field("issuer", "a login says it, and no person: leave it out")
	}
	if u.Role != wire.Role_ADMIN || u.Disabled {
		if err := e.keepsAdmin(c, u.Name); err != nil {
			return nil, err
		}
	}
	e.storeUser(next)
	return &wire.Answer{}, nil
}

// removeUser takes a user and all their tokens away.
func (e *Edit) removeUser(c *wire.Command, name string) (*wire.Answer, error) {
	if _, ok := e.s.User(name); !ok {
		return nil, noUser(name)
	}
	if err := e.keepsAdmin(c, name); err != nil {
		return nil, err
	}
	answer := &wire.Answer{}
	for _, id := range e.s.tokensOf(name) {
		e.dropToken(id)
		answer.Instances++
	}
	e.s.users, _, _ = e.s.users.Delete([]byte(name))
	e.changes = append(e.changes, Change{Kind: UsersChanged})
	return answer, nil
}

// keepsAdmin refuses to have admins lock themselves out by mistake: whoever is
// the last one cannot be less, by their own act. Somebody whom the coordinators'
// file lets in may do it: they have a way back.
func (e *Edit) keepsAdmin(c *wire.Command, name string) error {
	old, ok := e.s.User(name)
	if !ok || !isUser(c, name) || !isAdmin(old.User) {
		return nil
	}
	others := 0
	e.s.Users(func(u *wire.SnapshotUser) {
		if u.User.Name != name && isAdmin(u.User) {
			others++
		}
	})
	if others > 0 {
		return nil
	}
	return fault.New(fault.Conflict, "user %q is the last admin: make another one first, or do it with a secret of the coordinators' file", name)
}

func isAdmin(u *wire.User) bool { return u.Role == wire.Role_ADMIN && !u.Disabled }

func noUser(name string) error {
	return fault.New(fault.NotFound, "there is no user %q", name)
}

func (e *Edit) storeUser(u *wire.SnapshotUser) {
	e.s.users, _, _ = e.s.users.Insert([]byte(u.User.Name), u)
	e.changes = append(e.changes, Change{Kind: UsersChanged})
}

func checkUser(field string, u *wire.User) error {
	_, known := wire.Role_name[int32(u.GetRole())]
	odd := func(r rune) bool { return r <= ' ' || r == 0x7f || r == utf8.RuneError }
	switch {
	case u.GetName() == "" || len(u.Name) > maxUserName || strings.ContainsFunc(u.Name, odd):
		return fault.Field(field, "%q: expected a name of one word of 1 to %d bytes", clip(u.GetName()), maxUserName)
	case u.Role == wire.Role_ROLE_UNSPECIFIED || !known:
		return fault.Field("role", "%d is none that this version knows: expected viewer, developer, operator or admin", u.Role)
	}
	for _, text := range []struct{ field, value string }{
		{"displayName", u.DisplayName}, {"email", u.Email}, {"description", u.Description}, {"issuer", u.Issuer}, {"subject", u.Subject},
	} {
		if len(text.value) > maxUserText || !utf8.ValidString(text.value) {
			return fault.Field(text.field, "expected %d bytes of text at most", maxUserText)
		}
	}
	return checkWorkspaces(u.Role, u.Workspaces)
}

// checkWorkspaces refuses workspaces that would bind nothing: they are a
// developer's.
func checkWorkspaces(role wire.Role, workspaces []string) error {
	switch {
	case len(workspaces) == 0:
		return nil
	case role > wire.Role_DEVELOPER || role == wire.Role_VIEWER:
		return fault.Field("workspaces", "they are a developer's: leave them out, or make the role developer")
	case len(workspaces) > maxWorkspaces:
		return fault.Field("workspaces", "%d of them: expected %d at most, or none for all", len(workspaces), maxWorkspaces)
	case !sorted(workspaces) || workspaces[0] == "":
		return fault.Field("workspaces", "expected ids of workspaces in order, each once")
	}
	return nil
}

func sorted(list []string) bool {
	for i := range list {
		if i > 0 && list[i] <= list[i-1] {
			return false
		}
	}
	return true
}

// login puts a user as a provider describes them now. Who is disabled stays so,
// and a name that a person, or a provider, has given to somebody else is not taken over.
func (e *Edit) login(c *wire.Command, u *wire.User) error {
	if err := checkUser("login", u); err != nil {
		return err
	}
	if u.Issuer == "" || u.Subject == "" {
		return fault.Field("login.issuer", "it or the subject is empty: expected who vouches for the user, and what they call them")
	}
	next := &wire.SnapshotUser{User: u, Actor: c.Actor, CreatedMs: e.s.nowMs, LoginMs: e.s.nowMs}
	if old, ok := e.s.User(u.Name); ok {
		switch {
		case old.User.Issuer == "":
			return fault.New(fault.Denied, "user %q was made by a person here, so no login makes you them: ask an admin to remove that user, or for another name", u.Name)
		case old.User.Issuer != u.Issuer:
			return fault.New(fault.Denied, "user %q logs in at %s: the name is taken", u.Name, old.User.Issuer)
		case old.User.Subject != u.Subject:
			return fault.New(fault.Denied, "user %q is somebody else at %s: the name has been given to another since; ask an admin to remove that user", u.Name, u.Issuer)
		case old.User.Disabled:
			return errDisabled(u.Name)
		}
		next.Actor, next.CreatedMs, next.User.Description = old.Actor, old.CreatedMs, old.User.Description
		if !proto.Equal(old.User, next.User) {
			e.tag("user/" + u.Name)
		}
	} else {
		e.tag("user/" + u.Name)
	}
	e.storeUser(next)
	return nil
}

func errDisabled(name string) error {
	return fault.New(fault.Denied, "user %q is disabled: ask an admin", name)
}

// Rights is what somebody may (RULES R15.1).
type Rights struct {
	Role       wire.Role // unspecified: nothing
	Restricted bool      // a developer of Workspaces only, of which there may be none
	Workspaces []string  // sorted
}

// Rights is what the bearer of a token may at a moment (unix milliseconds): the
// lesser of the token and its user (RULES R15.3). With an error, fault.Unauthenticated
// for a token that has ended or fault.Denied for a user who has, nothing.
func (s *State) Rights(t *wire.PutToken, nowMs int64) (Rights, error) {
	u, ok := s.User(t.User)
	switch {
	case t.ExpiresMs > 0 && t.ExpiresMs <= nowMs:
		return Rights{}, fault.New(fault.Unauthenticated, "the token has expired: log in, or ask for a new one")
	case !ok:
		return Rights{}, noUser(t.User)
	case u.User.Disabled:
		return Rights{}, errDisabled(t.User)
	}
	return RightsOf(u.User).Within(t.Role, t.Workspaces), nil
}

// RightsOf is what a user may who is not disabled.
func RightsOf(u *wire.User) Rights {
	r := Rights{Role: u.Role}
	if u.Role == wire.Role_DEVELOPER && len(u.Workspaces) > 0 {
		r.Restricted, r.Workspaces = true, u.Workspaces
	}
	return r
}

// Within bounds rights: by a role (unspecified: by none), and by workspaces (none:
// by none), which make a developer of whoever may more.
func (r Rights) Within(role wire.Role, workspaces []string) Rights {
	if role != wire.Role_ROLE_UNSPECIFIED {
		r.Role = min(r.Role, role)
	}
	if len(workspaces) == 0 {
		return r
	}
	r.Role = min(r.Role, wire.Role_DEVELOPER)
	if !r.Restricted {
		r.Restricted, r.Workspaces = true, workspaces
		return r
	}
	both := []string{}
	for _, id := range r.Workspaces {
		if _, ok := slices.BinarySearch(workspaces, id); ok {
			both = append(both, id)
		}
	}
	r.Workspaces = both
	return r
}
