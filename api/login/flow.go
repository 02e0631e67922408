package login

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// FlowTime is how long a login by browser may take.
const FlowTime = 10 * time.Minute

// flow is what a browser keeps during its login, sealed: whoever ends the login
// must be the browser that began it.
type flow struct {
	State, Nonce, Verifier string
	Redirect               string // where the provider sends the browser back to
	Next                   string // path to go to then
	Ends                   int64  // Unix seconds
}

// Begin gives the address at the provider to send a browser to, and what the
// browser must keep until it comes back to redirect. next is where it goes then;
// what is no path of this host becomes "/".
func (p *Provider) Begin(ctx context.Context, redirect, next string) (address, kept string, err error) {
	provider, err := p.find(ctx)
	if err != nil {
		return "", "", err
	}
	f := flow{
		State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(),
		Redirect: redirect, Next: LocalPath(next), Ends: p.now().Add(FlowTime).Unix(),
	}
	if kept, err = p.seal(f); err != nil {
		return "", "", err
	}
	return p.oauth(provider, redirect).AuthCodeURL(f.State, oidc.Nonce(f.Nonce), oauth2.S256ChallengeOption(f.Verifier)), kept, nil
}

// Finish ends the login with what the provider sent the browser back with, and
// what the browser kept: the user, and the path to go to.
func (p *Provider) Finish(ctx context.Context, kept string, answer url.Values) (user *wire.User, next string, err error) {
	f, ok := p.open(kept)
	if !ok || p.now().Unix() > f.Ends || subtle.ConstantTimeCompare([]byte(answer.Get("state")), []byte(f.State)) != 1 {
		return nil, "", fault.New(fault.Unauthenticated, "this login was not begun by this browser, or more than %v ago: begin it again", FlowTime)
	}
	if word := answer.Get("error"); word != "" {
		return nil, "", fault.New(fault.Unauthenticated, "the login provider says %s: %s", clip(word), clip(answer.Get("error_description")))
	}
	user, err = p.exchange(ctx, f, answer.Get("code"))
	return user, f.Next, err
}

// clip cuts foreign text.
func clip(text string) string {
	const most = 200
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}

// LocalPath gives a path of this host, with its query, as it is, and "/" instead
// of everything else: a login must not send people on to somebody else's page.
func LocalPath(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Scheme != "", u.Host != "", u.User != nil, u.Opaque != "", !strings.HasPrefix(text, "/"), strings.HasPrefix(text, "//"),
		strings.ContainsAny(text, "\\\r\n\t"), strings.HasPrefix(u.Path, "//"):
		return "/"
	}
	return u.String()
}

func (p *Provider) aead() (cipher.AEAD, error) {
	block, err := aes.NewCipher(p.key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func (p *Provider) seal(f flow) (string, error) {
	text, err := json.Marshal(f)
	if err != nil {
		return "", err
	}
	box, err := p.aead()
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(box.Seal(nil, nil, text, nil)), nil
}

func (p *Provider) open(kept string) (f flow, ok bool) {
	sealed, err := base64.RawURLEncoding.DecodeString(kept)
	if err != nil {
		return f, false
	}
	box, err := p.aead()
	if err != nil {
		return f, false
	}
	text, err := box.Open(nil, nil, sealed, nil)
	return f, err == nil && json.Unmarshal(text, &f) == nil
}
