package state

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// modelPeople is users, their tokens, how much the audit has, and tags.
type modelPeople struct {
	users   map[string]*wire.User
	own     map[string]*wire.PutToken
	tagged  map[string]uint64
	nowMs   int64 // of the next command
	records int
	newest  *wire.AuditRecord // what it must say, as far as that is simple
}

var (
	userNames = []string{"ann", "bob", "eve"}
	groupIDs  = []string{"default", "big"}
)

// theUser says whether somebody acts as a user of that name.
func theUser(c *wire.Command, name string) bool {
	return c.Actor == name && c.Via == "token"
}

func (m *modelPeople) admins(except string) (n int) {
	for name, u := range m.users {
		if name != except && u.Role == wire.Role_ADMIN && !u.Disabled {
			n++
		}
	}
	return n
}

// locksOut says whether the last admin would be less by their own act.
func (m *modelPeople) locksOut(c *wire.Command, name string) bool {
	u := m.users[name]
	return u != nil && u.Role == wire.Role_ADMIN && !u.Disabled && theUser(c, name) && m.admins(name) == 0
}

// foresees says whether a command on users must be allowed.
func (m *modelPeople) foresees(c *wire.Command) (allowed, known bool) {
	if of := modelTagged(c); c.IfMatch != "" && !m.matches(of, c.IfMatch) {
		return false, true
	}
	switch b := c.Body.(type) {
	case *wire.Command_PutUser:
		u := b.PutUser.User
		less := u.Role != wire.Role_ADMIN || u.Disabled
		return u.Role != 0 && (len(u.Workspaces) == 0 || u.Role == wire.Role_DEVELOPER) && (u.Issuer == "" || m.users[u.Name] != nil) && !(less && m.locksOut(c, u.Name)), true
	case *wire.Command_RemoveUser:
		return m.users[b.RemoveUser.Name] != nil && !m.locksOut(c, b.RemoveUser.Name), true
	case *wire.Command_PutToken:
		return m.allowsToken(b.PutToken), true
	case *wire.Command_RevokeToken:
		return m.own[b.RevokeToken.Id] != nil, true
	case *wire.Command_ForgetTokens, *wire.Command_Refusals:
		return true, true
	}
	return false, false
}

func (m *modelPeople) allowsToken(t *wire.PutToken) bool {
	if t.ExpiresMs > 0 && t.ExpiresMs <= m.nowMs {
		return false
	}
	if old := m.own[t.Id]; old != nil {
		return slices.Equal(old.SecretHash, t.SecretHash)
	}
	u := m.users[t.User]
	if l := t.Login; l != nil {
		if u != nil && (u.Issuer != l.Issuer || u.Subject != l.Subject || u.Disabled) {
			return false
		}
		u = l
	}
	if u == nil || u.Disabled || t.Role > u.Role {
		return false
	}
	for _, id := range t.Workspaces {
		if u.Role == wire.Role_DEVELOPER && len(u.Workspaces) > 0 && !slices.Contains(u.Workspaces, id) {
			return false
		}
	}
	return true
}

// modelTagged is the one setting that a command is about.
func modelTagged(c *wire.Command) string {
	switch b := c.Body.(type) {
	case *wire.Command_PutUser:
		return "user/" + b.PutUser.User.Name
	case *wire.Command_RemoveUser:
		return "user/" + b.RemoveUser.Name
	case *wire.Command_PutResourceGroup:
		return "resourceGroup/" + b.PutResourceGroup.Name
	case *wire.Command_PutDataSource:
		return "dataSource/" + b.PutDataSource.Source.Name
	case *wire.Command_RemoveDataSource:
		return "dataSource/" + b.RemoveDataSource.Name
	}
	return ""
}

func (m *modelPeople) matches(of, want string) bool {
	index, there := m.tagged[of]
	switch want {
	case "none":
		return of != "" && !there
	case "*":
		return there
	}
	return there && strconv.FormatUint(index, 10) == want
}

func (m *modelPeople) apply(index uint64, nowMs int64, c *wire.Command) {
	if of := modelTagged(c); of != "" {
		m.tagged[of] = index
	}
	switch b := c.Body.(type) {
	case *wire.Command_PutUser:
		next := proto.CloneOf(b.PutUser.User)
		next.Issuer, next.Subject = m.users[next.Name].GetIssuer(), m.users[next.Name].GetSubject()
		m.users[next.Name] = next
	case *wire.Command_RemoveUser:
		delete(m.users, b.RemoveUser.Name)
		delete(m.tagged, "user/"+b.RemoveUser.Name)
		for id, t := range m.own {
			if t.User == b.RemoveUser.Name {
				delete(m.own, id)
			}
		}
	case *wire.Command_RemoveDataSource:
		delete(m.tagged, "dataSource/"+b.RemoveDataSource.Name)
	case *wire.Command_PutToken:
		if m.own[b.PutToken.Id] != nil {
			return
		}
		if l := b.PutToken.Login; l != nil {
			next := proto.CloneOf(l)
			next.Description = m.users[l.Name].GetDescription()
			if !proto.Equal(next, m.users[l.Name]) {
				m.tagged["user/"+l.Name] = index
			}
			m.users[l.Name] = next
		}
		m.own[b.PutToken.Id] = b.PutToken
	case *wire.Command_RevokeToken:
		delete(m.own, b.RevokeToken.Id)
	case *wire.Command_ForgetTokens:
		for _, id := range b.ForgetTokens.Ids {
			if t := m.own[id]; t != nil && t.ExpiresMs > 0 && t.ExpiresMs <= nowMs {
				delete(m.own, id)
			}
		}
	case *wire.Command_Refusals:
		m.records += len(b.Refusals.Refusals)
		if b.Refusals.Omitted > 0 {
			m.records++
		}
		m.newest = nil
	}
}

// audits follows what the audit must have of a command that was not answered before.
func (m *modelPeople) audits(index uint64, c *wire.Command, r Result) {
	if c.Via == "" || fault.Is(r.Err, fault.Denied) {
		return
	}
	m.records++
	m.newest = &wire.AuditRecord{Index: index, Actor: c.Actor, Via: c.Via, RequestId: c.RequestId, Code: string(fault.CodeOf(r.Err))}
}

func (m *modelPeople) check(t testing.TB, s *State) {
	t.Helper()
	n := 0
	s.Users(func(u *wire.SnapshotUser) {
		n++
		if want := m.users[u.User.Name]; !proto.Equal(want, u.User) {
			t.Fatalf("user %v, expected %v", u.User, want)
		}
	})
	if n != len(m.users) {
		t.Fatalf("%d users, expected %d", n, len(m.users))
	}
	n = 0
	s.UserTokens(func(x *wire.SnapshotToken) {
		n++
		want := m.own[x.Token.Id]
		if want == nil || want.User != x.Token.User || want.Role != x.Token.Role || !slices.Equal(want.Workspaces, x.Token.Workspaces) || want.ExpiresMs != x.Token.ExpiresMs {
			t.Fatalf("token %v, expected %v", x.Token, want)
		}
		if _, err := s.Rights(x.Token, s.NowMs()); (err == nil) != (!m.users[want.User].Disabled && (want.ExpiresMs == 0 || want.ExpiresMs > s.NowMs())) {
			t.Fatalf("token %v of %v: %v", want, m.users[want.User], err)
		}
	})
	for _, name := range userNames {
		s.UserTokensOf(name, func(x *wire.SnapshotToken) {
			if n--; m.own[x.Token.Id].GetUser() != name {
				t.Fatalf("token %v is listed under %s", x.Token, name)
			}
		})
	}
	if n != 0 {
		t.Fatalf("%d tokens are listed under nobody or twice; there are %d", n, len(m.own))
	}
	for _, of := range taggedNames {
		want := ""
		if index, ok := m.tagged[of]; ok {
			want = strconv.FormatUint(index, 10)
		}
		if got := s.Tag(of); got != want {
			t.Fatalf("R15.5: the tag of %s is %q, expected %q", of, got, want)
		}
	}
	m.checkAudit(t, s)
}

var taggedNames = func() (out []string) {
	for kind, names := range map[string][]string{"user": userNames, "resourceGroup": groupIDs, "dataSource": sourceNames} {
		for _, name := range names {
			out = append(out, kind+"/"+name)
		}
	}
	return out
}()

func (m *modelPeople) checkAudit(t testing.TB, s *State) {
	t.Helper()
	n := 0
	s.Audit(0, func(r *wire.AuditRecord) bool {
		if n == 0 && m.newest != nil && (r.Index != m.newest.Index || r.Actor != m.newest.Actor || r.Via != m.newest.Via || r.RequestId != m.newest.RequestId || r.Code != m.newest.Code) {
			t.Fatalf("R15.4: the newest record is %v, expected %v", r, m.newest)
		}
		if int(r.Number) != m.records-n || strings.Contains(r.Before+r.After, "secret") {
			t.Fatalf("R15.4: of %d records, the %d. newest is %v", m.records, n, r)
		}
		n++
		return true
	})
	if n != m.records {
		t.Fatalf("R15.4: %d records, expected %d", n, m.records)
	}
}

// person makes commands on users and tokens, some of them wrong.
func (g *generator) person(s *State) *wire.Command {
	name := pick(g, userNames)
	u := &wire.User{Name: name, Role: wire.Role(g.IntN(5)), Disabled: g.oneIn(6), Description: pick(g, []string{"", "x"})}
	if g.oneIn(3) {
		u.Workspaces = []string{"ads", "shop"}[g.IntN(2):]
	}
	id := fmt.Sprint("t", g.IntN(8))
	x := &wire.PutToken{Id: id, User: name, SecretHash: TokenHash(pick(g, []string{"1", "1", "1", "2"}))}
	if g.oneIn(3) {
		x.ExpiresMs = s.NowMs() + 20 + g.Int64N(200)
	}
	switch g.IntN(9) {
	case 0, 1, 2:
		if g.oneIn(8) {
			u.Issuer = "https://id.example.org"
		}
		return putUser(u)
	case 3:
		return removeUser(name)
	case 4, 5:
		if x.Role = wire.Role(g.IntN(5)); x.Role == wire.Role_DEVELOPER && g.oneIn(2) {
			x.Workspaces = []string{"shop"}
		}
		return putOwn(x)
	case 6:
		u.Role, u.Disabled, u.Issuer = max(u.Role, wire.Role_VIEWER), false, pick(g, []string{"https://id.example.org", "https://id.example.org", "https://other.example.org"})
		u.Subject = pick(g, []string{"7", "7", "7", "8"})
		if u.Role != wire.Role_DEVELOPER {
			u.Workspaces = nil
		}
		u.Description = ""
		x.Kind, x.Login = wire.PutToken_SESSION, u
		return putOwn(x)
	case 7:
		if g.oneIn(2) {
			return forget("t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "none")
		}
		return revokeOwn(id)
	default:
		c := &wire.Command_Refusals{Refusals: &wire.Refusals{Omitted: uint64(g.IntN(2))}}
		for range g.IntN(3) {
			c.Refusals.Refusals = append(c.Refusals.Refusals, &wire.Refusal{AtMs: s.NowMs(), Actor: name, Code: "denied"})
		}
		return &wire.Command{Body: c}
	}
}

// shown has a command be somebody's who showed something, and maybe be about a
// thing with a tag.
func (g *generator) shown(s *State, c *wire.Command) *wire.Command {
	if c.GetRefusals() == nil && g.oneIn(2) {
		c.Actor, c.Via = pick(g, userNames), pick(g, []string{"token", "file:ann", "open"})
	}
	if of := modelTagged(c); of != "" && g.oneIn(3) {
		c.IfMatch = pick(g, []string{s.Tag(of), s.Tag(of), "none", "*", "3"})
	}
	return c
}
