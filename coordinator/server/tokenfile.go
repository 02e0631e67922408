package server

import (
	"context"
	"crypto/subtle"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	api "backfleet/api/server"
	"backfleet/pkg/fault"
	"backfleet/pkg/mtls"
	"backfleet/pkg/wire"
)

// tokenFile holds the secrets of the coordinators' own file (RULES R15.3). It is read
// again when it changes, so that one that leaked ends without a restart; a file that
// cannot be read leaves those of before. Safe for concurrent use. The nil
// tokenFile has none.
type tokenFile struct {
	path string
	log  *slog.Logger

	mu      sync.Mutex
	tokens  []api.Token
	stamp   stamp
	checked time.Time
	broken  string // what was logged of it
}

// stamp tells versions of a file apart.
type stamp struct {
	modified time.Time
	size     int64
}

// rereadAfter bounds how often the file's time is looked at.
const rereadAfter = 2 * time.Second

// openTokens reads the token file; nil: there is none. Unless none is an answer
// too, it must hold one at least.
func (c *Config) openTokens() (*tokenFile, error) {
	if c.TokenFile == "" {
		return nil, nil
	}
	f := &tokenFile{path: c.TokenFile, log: c.Logger}
	if err := f.read(); err != nil {
		return nil, err
	}
	if len(f.tokens) == 0 && !c.OIDC.Configured() {
		return nil, fault.Field(mtls.FlagToken, "%s holds no token: expected one on each line, as name:secret", c.TokenFile)
	}
	return f, nil
}

func (f *tokenFile) read() error {
	f.checked, f.stamp = time.Now(), f.look()
	text, err := os.ReadFile(f.path)
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "%s cannot be read", mtls.FlagToken)
	}
	tokens, err := readTokens(string(text))
	if err == nil {
		f.tokens = tokens
	}
	return err
}

func (f *tokenFile) look() stamp {
	info, err := os.Stat(f.path)
	if err != nil {
		return stamp{}
	}
	return stamp{info.ModTime(), info.Size()}
}

// now gives the tokens that hold at this moment. They are not to be changed.
func (f *tokenFile) now() []api.Token {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.checked) < rereadAfter {
		return f.tokens
	}
	f.checked = time.Now()
	if f.look() == f.stamp {
		return f.tokens
	}
	switch err := f.read(); {
	case err == nil:
		f.broken = ""
		f.log.Info("the token file was read again", "tokens", len(f.tokens))
	case err.Error() != f.broken:
		f.broken = err.Error()
		f.log.Warn("the token file has changed and cannot be used: the tokens read before still hold", "error", err)
	}
	return f.tokens
}

// holder finds whose a secret is. It takes the same time whichever it is.
func (f *tokenFile) holder(secret string) (holder api.Token, known bool) {
	for _, t := range f.now() {
		if subtle.ConstantTimeCompare([]byte(secret), []byte(t.Secret)) == 1 {
			holder, known = t, true
		}
	}
	return holder, known
}

// admits says whether a secret is an admin's.
func (f *tokenFile) admits(secret string) bool {
	t, known := f.holder(secret)
	return known && t.Role == wire.Role_ADMIN
}

// peer is what coordinators without TLS know each other by: the secret of the
// file's first admin.
func (f *tokenFile) peer() (secret string) {
	for _, t := range f.now() {
		if t.Role == wire.Role_ADMIN {
			return t.Secret
		}
	}
	return ""
}

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (f *tokenFile) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	secret := f.peer()
	if secret == "" {
		return nil, nil
	}
	return map[string]string{"authorization": "Bearer " + secret}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (*tokenFile) RequireTransportSecurity() bool { return false }

// readTokens reads the text of a token file. Errors name the line, never a secret.
func readTokens(text string) ([]api.Token, error) {
	var out []api.Token
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		token, err := readToken(line)
		if err != nil {
			return nil, fault.Field(mtls.FlagToken, "line %d: %s", i+1, err)
		}
		if slices.ContainsFunc(out, func(t api.Token) bool { return t.Secret == token.Secret }) {
			return nil, fault.Field(mtls.FlagToken, "line %d: this secret is on a line before it: give each its own", i+1)
		}
		out = append(out, token)
	}
	return out, nil
}

// roleAgent is the word for who is no person.
const roleAgent = "agent"

// readToken reads a line: [name:]secret [role=ROLE] [workspaces=a,b].
func readToken(line string) (api.Token, error) {
	words := strings.Fields(line)
	name, secret, ok := strings.Cut(words[0], ":")
	if !ok {
		name, secret = "token", words[0]
	}
	if len(secret) < 16 {
		return api.Token{}, errors.New("expected a secret of at least 16 characters")
	}
	t := api.Token{Name: name, Secret: secret, Role: wire.Role_ADMIN}
	given := map[string]string{}
	for _, word := range words[1:] {
		key, value, _ := strings.Cut(word, "=")
		if _, twice := given[key]; twice || key != "role" && key != "workspaces" {
			return api.Token{}, errors.New("after the secret only role=ROLE and workspaces=a,b may stand, each once and without blanks")
		}
		given[key] = value
	}
	if list, ok := given["workspaces"]; ok {
		t.Role, t.Workspaces = wire.Role_DEVELOPER, strings.Split(list, ",")
		if slices.Contains(t.Workspaces, "") {
			return api.Token{}, errors.New("workspaces=: expected ids of workspaces, as in workspaces=a,b")
		}
	}
	role, ok := given["role"]
	if !ok {
		return t, nil
	}
	number := wire.Role(wire.Role_value[strings.ToUpper(role)])
	switch {
	case role == roleAgent:
		t.Role, t.Agent = wire.Role_ROLE_UNSPECIFIED, true
	case number == wire.Role_ROLE_UNSPECIFIED || role != strings.ToLower(role):
		return api.Token{}, errors.New("role=: expected admin, operator, developer, viewer or agent")
	default:
		t.Role = number
	}
	if len(t.Workspaces) > 0 && t.Role != wire.Role_DEVELOPER {
		return api.Token{}, errors.New("workspaces= is for developers: leave it out, or write role=developer")
	}
	return t, nil
}
