package standin

import (
	"context"
	"crypto/sha256"
	"slices"
	"strconv"
	"strings"
	"time"

	"backfleet/api/convert"
	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// newUsers are an operator and a developer who is disabled.
func newUsers() map[string]*wire.SnapshotUser {
	return map[string]*wire.SnapshotUser{
		"olga": {User: &wire.User{Name: "olga", DisplayName: "Olga", Role: wire.Role_OPERATOR, Issuer: "https://id.example.org"}, Actor: "root", CreatedMs: At.UnixMilli(), LoginMs: At.UnixMilli()},
		"dan":  {User: &wire.User{Name: "dan", Role: wire.Role_DEVELOPER, Workspaces: []string{"shop"}, Disabled: true}, Actor: "root", CreatedMs: At.UnixMilli()},
	}
}

// UserTokenText is the text of olga's token, u0.
const UserTokenText = "bft_u0_secret"

func hashOf(text string) []byte { sum := sha256.Sum256([]byte(text)); return sum[:] }

func newUserTokens() map[string]*wire.SnapshotToken {
	return map[string]*wire.SnapshotToken{
		"u0": {Token: &wire.PutToken{Id: "u0", SecretHash: hashOf(UserTokenText), User: "olga", Description: "laptop"}, Actor: "olga", CreatedMs: At.UnixMilli()},
	}
}

func newAudit() []*wire.AuditRecord {
	return []*wire.AuditRecord{
		{Number: 1, Index: 5, AtMs: At.UnixMilli(), Actor: "root", Via: "file:root", From: "127.0.0.1", Operation: "putUser", Target: "user/olga", After: `{"role":"OPERATOR"}`, RequestId: "k1"},
		{Number: 2, Index: 6, AtMs: At.UnixMilli(), Actor: "dan", Via: "u1", From: "10.0.0.7", Operation: "putRegion", Target: "/v1/regions/eu", Code: "denied", Message: "what is set for all is for operators", RequestId: "k2"},
	}
}

// Bearer knows the tokens that are there, with the rights of their users.
func (b *Backend) Bearer(id string) (server.Bearer, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t, ok := b.mine[id]
	if !ok {
		return server.Bearer{}, false
	}
	out := server.Bearer{Hash: t.Token.SecretHash, User: t.Token.User, Kind: t.Token.Kind}
	if t.Token.ExpiresMs > 0 {
		out.ExpiresAt = time.UnixMilli(t.Token.ExpiresMs)
	}
	u, ok := b.users[t.Token.User]
	if !ok || u.User.Disabled {
		out.Ended = "user " + t.Token.User + " is disabled"
		return out, true
	}
	out.Role, out.Workspaces, out.Restricted = u.User.Role, u.User.Workspaces, len(u.User.Workspaces) > 0
	if t.Token.Role != wire.Role_ROLE_UNSPECIFIED {
		out.Role = min(out.Role, t.Token.Role)
	}
	if len(t.Token.Workspaces) > 0 {
		out.Role, out.Workspaces, out.Restricted = min(out.Role, wire.Role_DEVELOPER), t.Token.Workspaces, true
	}
	return out, true
}

func (b *Backend) showUser(u *wire.SnapshotUser) v1.User {
	out := convert.User(u)
	for _, t := range b.mine {
		if t.Token.User == u.User.Name {
			out.Tokens++
		}
	}
	return out
}

func (b *Backend) Users(_ context.Context, f server.UserFilter, _ server.Page) ([]v1.User, server.Next, error) {
	items, next, err := gather(b, b.users, "Users", b.showUser)
	return slices.DeleteFunc(items, func(u v1.User) bool {
		return !strings.Contains(strings.ToLower(u.Name+" "+u.DisplayName+" "+u.Email), f.Contains) || f.Role != 0 && convert.Role(f.Role) != u.Role ||
			f.Workspace != "" && !slices.Contains(u.Workspaces, f.Workspace)
	}), next, err
}

func (b *Backend) User(_ context.Context, name string) (*v1.User, error) {
	return one(b, b.users, "user", name, b.showUser)
}

func (b *Backend) PutUser(_ context.Context, w server.Write, u *wire.User) (*v1.User, uint64, error) {
	return set(b, w, b.users, "PutUser", u.Name, &wire.SnapshotUser{User: u, Actor: w.Actor, CreatedMs: At.UnixMilli()}, b.showUser)
}

func (b *Backend) RemoveUser(_ context.Context, w server.Write, name string) (uint64, error) {
	return remove(b, w, b.users, "RemoveUser", "user", name)
}

func showToken(t *wire.SnapshotToken) v1.AccessToken { return convert.AccessToken(t, At.UnixMilli()) }

func (b *Backend) Tokens(_ context.Context, f server.TokenFilter, _ server.Page) ([]v1.AccessToken, server.Next, error) {
	items, next, err := gather(b, b.mine, "Tokens", showToken)
	return slices.DeleteFunc(items, func(t v1.AccessToken) bool {
		return f.User != "" && t.User != f.User || f.Kind != nil && convert.TokenKind(*f.Kind) != t.Kind || !strings.Contains(t.ID+" "+t.User+" "+t.Description, f.Contains)
	}), next, err
}

func (b *Backend) Token(_ context.Context, id string) (*v1.AccessToken, error) {
	return one(b, b.mine, "token", id, showToken)
}

// CreateToken makes u1, u2 and so on, whose text is "bft_ID_secret".
func (b *Backend) CreateToken(_ context.Context, w server.Write, t server.UserToken) (*v1.NewToken, error) {
	if err := b.fails("CreateToken"); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.keys[w.RequestID]; ok {
		return nil, fault.New(fault.Conflict, "it was made before, and its text is told only once")
	}
	if t.Login != nil {
		if u, ok := b.users[t.User]; ok && u.User.Disabled {
			return nil, fault.New(fault.Denied, "user %s is disabled: ask an admin", t.User)
		}
		b.users[t.User] = &wire.SnapshotUser{User: t.Login, Actor: w.Actor, CreatedMs: At.UnixMilli(), LoginMs: At.UnixMilli()}
	}
	if _, ok := b.users[t.User]; !ok {
		return nil, fault.New(fault.NotFound, "there is no user %q", t.User)
	}
	b.index++
	b.Writes = append(b.Writes, w)
	b.keys[w.RequestID] = accepted{hash: w.Hash}
	id := "u" + strconv.Itoa(len(b.mine))
	text := "bft_" + id + "_secret"
	made := &wire.SnapshotToken{Actor: w.Actor, CreatedMs: At.UnixMilli(), Token: &wire.PutToken{
		Id: id, SecretHash: hashOf(text), User: t.User, Kind: t.Kind, Description: t.Description, Role: t.Role, Workspaces: t.Workspaces,
	}}
	switch {
	case t.ExpiresIn > 0:
		made.Token.ExpiresMs = At.Add(t.ExpiresIn).UnixMilli()
	case !t.ExpiresAt.IsZero():
		made.Token.ExpiresMs = t.ExpiresAt.UnixMilli()
	}
	b.mine[id] = made
	return &v1.NewToken{Token: text, Details: showToken(made), Index: b.index}, nil
}

func (b *Backend) RevokeToken(_ context.Context, w server.Write, id string) (uint64, error) {
	b.mu.Lock()
	t, ok := b.mine[id]
	b.mu.Unlock()
	if ok && w.Role < wire.Role_ADMIN && t.Token.User != w.Actor {
		return 0, fault.New(fault.Denied, "token %s is another's", id)
	}
	return remove(b, w, b.mine, "RevokeToken", "token", id)
}

// Audit has two records, of something done and of something refused, and those
// that were recorded since.
func (b *Backend) Audit(_ context.Context, f server.AuditFilter, page server.Page) ([]v1.AuditRecord, server.Next, error) {
	if err := b.fails("Audit"); err != nil {
		return nil, "", err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var found []v1.AuditRecord
	for _, r := range b.audit {
		code := r.Code
		if code == "" {
			code = "ok"
		}
		if f.Actor != "" && r.Actor != f.Actor || f.Operation != "" && r.Operation != f.Operation || f.Code != "" && f.Code != code || f.Via != "" && r.Via != f.Via ||
			!strings.Contains(strings.ToLower(r.Target), f.Target) || !strings.Contains(strings.ToLower(r.Actor+r.Target+r.After+r.Message), f.Contains) {
			continue
		}
		found = append(found, convert.AuditRecord(r))
	}
	if !f.Ascending {
		slices.Reverse(found)
	}
	from, _ := strconv.Atoi(page.Cursor)
	found = found[min(from, len(found)):]
	if len(found) > page.Limit {
		return found[:page.Limit], strconv.Itoa(from + page.Limit), nil
	}
	return found, "", nil
}

func (b *Backend) RecordRefusals(_ context.Context, refusals []*wire.Refusal, omitted uint64) error {
	if err := b.fails("RecordRefusals"); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range refusals {
		b.index++
		b.audit = append(b.audit, &wire.AuditRecord{
			Number: uint64(len(b.audit)) + 1, Index: b.index, AtMs: r.AtMs, Actor: r.Actor, Via: r.Via, From: r.From, Operation: r.Operation,
			Target: r.Target, Code: r.Code, Message: r.Message, RequestId: r.RequestId,
		})
	}
	if omitted > 0 {
		b.index++
		b.audit = append(b.audit, &wire.AuditRecord{Number: uint64(len(b.audit)) + 1, Index: b.index, AtMs: At.UnixMilli(), Code: "denied", Count: omitted})
	}
	return nil
}

func (b *Backend) Baselines(_ context.Context, contains string, _ server.Page) ([]v1.Baseline, server.Next, error) {
	if !strings.Contains("standard", contains) {
		return nil, "", b.fails("Baselines")
	}
	return []v1.Baseline{{Name: "standard", Priority: 5, Nodes: 3}}, "", b.fails("Baselines")
}

// Tag of everything is the newest index, of what there is.
func (b *Backend) Tag(of string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	kind, name, _ := strings.Cut(of, "/")
	there := map[string]bool{"node": b.nodes[name] != nil, "backfill": name == "b1", "resourceGroup": b.groups[name] != nil, "workspace": b.workspaces[name] != nil,
		"region": b.regions[name] != nil, "dataSource": b.sources[name] != nil, "user": b.users[name] != nil}
	if !there[kind] {
		return ""
	}
	return strconv.FormatUint(b.index, 10)
}

// remove takes one out.
func remove[W any](b *Backend, w server.Write, from map[string]W, call, what, id string) (uint64, error) {
	if err := b.fails(call); err != nil {
		return 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := from[id]; !ok {
		return 0, fault.New(fault.NotFound, "there is no %s %q", what, id)
	}
	b.index++
	b.Writes = append(b.Writes, w)
	delete(from, id)
	return b.index, nil
}
