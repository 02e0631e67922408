package server

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"backfleet/api/convert"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// People are the users, their tokens, and what they did (RULES R15). Reads are
// answered from the facts at hand, writes on the leader, like Reads and Writes.
type People interface {
	// Bearer is who shows the token with this public id; false: there is no such
	// token. It says nothing about the rest of the token: the caller
	// compares Hash, then looks at Ended, and only then lets somebody in.
	Bearer(id string) (Bearer, bool)
	// Users by name; User is fault.NotFound for one that is not there.
	Users(ctx context.Context, filter UserFilter, page Page) ([]v1.User, Next, error)
	User(ctx context.Context, name string) (*v1.User, error)
	// PutUser sets all that can be set of a user, and gives the log index.
	PutUser(ctx context.Context, w Write, u *wire.User) (*v1.User, uint64, error)
	// RemoveUser ends their tokens too. It gives the log index.
	RemoveUser(ctx context.Context, w Write, name string) (uint64, error)
	// Tokens by id.
	Tokens(ctx context.Context, filter TokenFilter, page Page) ([]v1.AccessToken, Next, error)
	Token(ctx context.Context, id string) (*v1.AccessToken, error)
	// CreateToken makes a token and gives its text, which nothing can give again:
	// a repeated RequestID is fault.Conflict and says so. What the token may is
	// bounded by what w may, and whoever is no admin makes only their own.
	CreateToken(ctx context.Context, w Write, t UserToken) (*v1.NewToken, error)
	// RevokeToken gives the log index. Whoever is no admin revokes only their own.
	RevokeToken(ctx context.Context, w Write, id string) (uint64, error)
	// Audit by number.
	Audit(ctx context.Context, filter AuditFilter, page Page) ([]v1.AuditRecord, Next, error)
	// RecordRefusals has the audit say that people were not let do something.
	// fault.Unavailable on a coordinator that does not lead.
	RecordRefusals(ctx context.Context, refusals []*wire.Refusal, omitted uint64) error
	// Baselines by name, as nodes name them; contains is as in Nodes.
	Baselines(ctx context.Context, contains string, page Page) ([]v1.Baseline, Next, error)
	// Tag of a thing that can be changed (RULES R15.5); empty: there is no
	// such thing. Things are named "node/ID", "backfill/b12", "resourceGroup/NAME",
	// "workspace/ID", "region/ID", "dataSource/NAME", "user/NAME" and
	// "channel/NAME". Whoever gives a tag together with the thing asks for
	// the tag first: so it is never newer than what it is given with.
	Tag(of string) string
}

// Bearer is who shows a token, and what they may at this moment: the lesser of
// token and user (RULES R15.3).
type Bearer struct {
	Hash       []byte // SHA-256 of the whole token
	User       string
	Kind       wire.PutToken_Kind
	Role       wire.Role
	Restricted bool     // a developer of Workspaces only
	Workspaces []string // sorted; may be none although Restricted
	ExpiresAt  time.Time
	Ended      string // why it lets nobody in any more: it has expired, its user is disabled; empty: it does
}

// UserFilter keeps what matches all that is set.
type UserFilter struct {
	Contains  string // lower case; name, display name or e-mail address
	Role      wire.Role
	Workspace string
}

// TokenFilter keeps what matches all that is set.
type TokenFilter struct {
	User     string // empty: everybody's
	Contains string // lower case; id, user or description
	Kind     *wire.PutToken_Kind
}

// UserToken is a token to be made.
type UserToken struct {
	User        string
	Kind        wire.PutToken_Kind
	Description string
	Role        wire.Role // bounds the user's; unspecified: as the user, or w if that may less
	Workspaces  []string  // bound the user's, sorted; none: as the user, or w
	// When it expires: at most one of them is set; none: never.
	ExpiresIn time.Duration
	ExpiresAt time.Time
	// Login, of a session that a provider vouched for, is the user as it is now: it
	// is put together with the session. fault.Denied if they are disabled, or if
	// another than their issuer made the user of that name.
	Login *wire.User
}

// AuditFilter keeps what matches all that is set.
type AuditFilter struct {
	Actor, Via, Operation string
	Target                string     // lower case; contained in the target
	Code                  string     // "ok": only what was done
	From, To              *time.Time // from the one on, and before the other
	Contains              string     // lower case; in any text of the record
	Ascending             bool       // oldest first
}

// caller is who asks, also of a read. Only who asks and what they may is set.
func caller(c *gin.Context) Write {
	if w, ok := c.Get(keyWrite); ok {
		return w.(Write)
	}
	return bearer(c)
}

// admins refuses what is for admins (RULES R15.1).
func (w Write) admins(what string) error {
	if w.Role >= wire.Role_ADMIN {
		return nil
	}
	return fault.New(fault.Denied, "%s is for admins, and you are %s: ask one", what, convert.WithArticle(w.Role))
}

// User is whose token the caller showed; empty: it is no user's.
func (w Write) User() string {
	if w.Via == "" || w.Via == ViaOpen || strings.HasPrefix(w.Via, ViaFile) {
		return ""
	}
	return w.Actor
}

func (h handlers) ListBaselines(c *gin.Context, p v1.ListBaselinesParams) {
	named[v1.BaselinePage](h, c, p.Cursor, p.Limit, p.Contains, h.Backend.Baselines)
}

func (h handlers) ListUsers(c *gin.Context, p v1.ListUsersParams) {
	pg, errPage := page(p.Cursor, p.Limit)
	if err := cmp.Or(errPage, word("role", p.Role), caller(c).admins("who the users are")); err != nil {
		h.fail(c, err)
		return
	}
	filter := UserFilter{Contains: strings.ToLower(p.Contains), Role: convert.ReadRole(p.Role), Workspace: p.Workspace}
	items, next, err := h.Backend.Users(c.Request.Context(), filter, pg)
	h.reply(c, http.StatusOK, &v1.UserPage{Items: items, Next: next}, err)
}

func (h handlers) GetUser(c *gin.Context, name string, _ v1.GetUserParams) {
	if w := caller(c); w.User() != name {
		if err := w.admins("who the users are"); err != nil {
			h.fail(c, err)
			return
		}
	}
	result, err := h.Backend.User(c.Request.Context(), name)
	h.reply(c, http.StatusOK, result, err)
}

func (h handlers) PutUser(c *gin.Context, name string, p v1.PutUserParams) {
	w, err := adminsWrite(c, p.Why)
	if err != nil {
		h.fail(c, err)
		return
	}
	body, err := decode[v1.UserSettings](c)
	if err != nil {
		h.fail(c, err)
		return
	}
	user, err := convert.ReadUser(name, body)
	if err != nil {
		h.fail(c, err)
		return
	}
	result, index, err := h.Backend.PutUser(c.Request.Context(), w, user)
	h.written(c, index, result, err)
}

func (h handlers) RemoveUser(c *gin.Context, name string, p v1.RemoveUserParams) {
	w, err := adminsWrite(c, p.Why)
	h.remove(c, w, err, name, h.Backend.RemoveUser)
}

// adminsWrite is writeFor for what only admins may.
func adminsWrite(c *gin.Context, why string) (Write, error) {
	w, err := writeFor(c, why)
	if err == nil {
		err = w.admins("who the users are, and what they may,")
	}
	return w, err
}

func (h handlers) ListTokens(c *gin.Context, p v1.ListTokensParams) {
	const everybody = "*"
	w := caller(c)
	pg, errPage := page(p.Cursor, p.Limit)
	user, errUser := w.ownerOf("user", p.User)
	if err := cmp.Or(errPage, errUser, word("kind", p.Kind)); err != nil {
		h.fail(c, err)
		return
	}
	filter := TokenFilter{User: user, Contains: strings.ToLower(p.Contains), Kind: convert.ReadTokenKind(p.Kind)}
	if filter.User == everybody {
		filter.User = ""
	}
	items, next, err := h.Backend.Tokens(c.Request.Context(), filter, pg)
	h.reply(c, http.StatusOK, &v1.TokenPage{Items: items, Next: next}, err)
}

// ownerOf is the user whose tokens are meant: the caller, unless an admin names
// another.
func (w Write) ownerOf(field, named string) (string, error) {
	own := w.User()
	switch {
	case named != "" && named == own:
	case named != "":
		return named, w.admins("what tokens others have")
	case own == "":
		return "", fault.Field(field, "what you showed is no user's token, so there is none of your own: name a user")
	}
	return own, nil
}

func (h handlers) GetToken(c *gin.Context, id string, _ v1.GetTokenParams) {
	result, err := h.Backend.Token(c.Request.Context(), id)
	if err == nil {
		_, err = caller(c).ownerOf("", result.User)
	}
	h.reply(c, http.StatusOK, result, err)
}

func (h handlers) CreateToken(c *gin.Context, _ v1.CreateTokenParams) {
	body, err := decode[v1.TokenRequest](c)
	if err != nil {
		h.fail(c, err)
		return
	}
	token, err := readUserToken(body)
	w := write(c)
	if err == nil {
		token.User, err = w.ownerOf("user", body.User)
	}
	if err != nil {
		h.fail(c, err)
		return
	}
	result, err := h.Backend.CreateToken(c.Request.Context(), w, token)
	if err == nil {
		c.Header("Cache-Control", "no-store") // it holds a secret
		setIndex(c, result.Index)
	}
	h.reply(c, http.StatusCreated, result, err)
}

func readUserToken(body v1.TokenRequest) (UserToken, error) {
	out := UserToken{Description: body.Description, Role: convert.ReadRole(body.Role), Workspaces: slices.Compact(slices.Sorted(slices.Values(body.Workspaces)))}
	err := cmp.Or(word("role", body.Role), convert.OfRole(out.Role, body.Workspaces))
	if err == nil {
		out.ExpiresIn, out.ExpiresAt, err = readToken(body.Description, body.ExpiresInSeconds, body.ExpiresAt)
	}
	return out, err
}

// readToken checks what every token has: a description, and perhaps an end.
func readToken(description string, inSeconds int64, at *time.Time) (in time.Duration, moment time.Time, err error) {
	const mostText = 1000
	if n := utf8.RuneCountInString(description); n > mostText {
		return 0, moment, fault.Field("description", "%d characters were given: expected at most %d", n, mostText)
	}
	if in, err = seconds("expiresInSeconds", inSeconds); err != nil || at == nil {
		return in, moment, err
	}
	if in > 0 {
		return 0, moment, fault.Field("expiresAt", "expiresInSeconds is given too: leave one of them out")
	}
	return 0, *at, nil
}

func (h handlers) RevokeToken(c *gin.Context, id string, p v1.RevokeTokenParams) {
	w, err := writeFor(c, p.Why)
	h.remove(c, w, err, id, h.Backend.RevokeToken)
}

func (h handlers) ListAudit(c *gin.Context, p v1.ListAuditParams) {
	pg, errPage := page(p.Cursor, p.Limit)
	if err := cmp.Or(errPage, word("sort", p.Sort), caller(c).operators("", "what people did")); err != nil {
		h.fail(c, err)
		return
	}
	filter := AuditFilter{
		Actor: p.Actor, Via: p.Via, Operation: p.Operation, Target: strings.ToLower(p.Target), Code: p.Code, From: p.AtFrom, To: p.AtTo,
		Contains: strings.ToLower(p.Contains), Ascending: p.Sort == v1.AuditSortNumber,
	}
	if exports(c) {
		h.exportAudit(c, filter, pg.Cursor)
		return
	}
	items, next, err := h.Backend.Audit(c.Request.Context(), filter, pg)
	h.reply(c, http.StatusOK, &v1.AuditPage{Items: items, Next: next, Incomplete: short(items, pg, next)}, err)
}

const typeLines = "application/x-ndjson"

// exports says that the answer is to be lines, as many as there are.
func exports(c *gin.Context) bool {
	return c.FullPath() == "/v1/audit" && strings.Contains(c.GetHeader("Accept"), typeLines)
}

// exportAudit writes every record that matches, a line each. It begins with the
// first page, so that an error at the start is an ordinary problem document; one
// later cuts the connection, which the client takes for what it is.
func (h handlers) exportAudit(c *gin.Context, filter AuditFilter, cursor string) {
	const records = 1000
	ctx, control := c.Request.Context(), http.NewResponseController(c.Writer)
	for begun := false; ; begun = true {
		items, next, err := h.Backend.Audit(ctx, filter, Page{Cursor: cursor, Limit: records})
		if err == nil {
			err = cmp.Or(ctx.Err(), h.streams.Err())
		}
		if err != nil {
			if begun {
				panic(http.ErrAbortHandler)
			}
			h.fail(c, err)
			return
		}
		c.Header("Content-Type", typeLines)
		_ = control.SetWriteDeadline(time.Now().Add(h.RequestTimeout))
		encoder := json.NewEncoder(c.Writer)
		encoder.SetEscapeHTML(false)
		for _, r := range items {
			if err := encoder.Encode(r); err != nil {
				panic(http.ErrAbortHandler)
			}
		}
		c.Writer.Flush()
		if cursor = next; next == "" {
			return
		}
	}
}
