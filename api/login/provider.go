package login

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// Provider verifies what an OpenID Connect provider says of people. It looks the
// provider up when somebody logs in, not before: a coordinator starts without it.
// Safe for concurrent use.
type Provider struct {
	*settings
	now func() time.Time
	key []byte // seals what a browser keeps during a login

	mu      sync.Mutex
	found   *oidc.Provider
	failure error
	failed  time.Time
}

// New reads a configuration. now is the clock. Errors are fault.Invalid and
// name the flag.
func New(c Config, now func() time.Time) (*Provider, error) {
	s, err := c.read()
	if err != nil {
		return nil, err
	}
	p := &Provider{settings: s, now: now, key: make([]byte, 32)}
	if s.secret == "" {
		_, _ = rand.Read(p.key) // never fails
		return p, nil
	}
	// Any coordinator can end a login that another one began.
	p.key, err = hkdf.Key(sha256.New, []byte(s.secret), []byte(s.Issuer+" "+s.ClientID), "backfleet login", 32)
	return p, err
}

// Scopes that a login asks for.
func Scopes() []string { return []string{oidc.ScopeOpenID, "profile", "email"} }

const (
	// again is how long a provider that failed is left alone.
	again = 2 * time.Second
	// oldest is how long after its making an ID token is good for a login: one
	// that was found later is not.
	oldest = 10 * time.Minute
)

// find looks the provider up, once.
func (p *Provider) find(ctx context.Context) (*oidc.Provider, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found != nil {
		return p.found, nil
	}
	if p.failure != nil && p.now().Sub(p.failed) < again {
		return nil, p.failure
	}
	found, err := oidc.NewProvider(p.through(ctx), p.Issuer)
	if err != nil {
		p.failed, p.failure = p.now(), fault.Wrap(err, fault.Unavailable, "the login provider %s cannot be asked: try again; if it stays so, look into this coordinator's log", p.Issuer)
		return nil, p.failure
	}
	p.found, p.failure = found, nil
	return found, nil
}

// through has requests of the libraries sent by the client that trusts the
// provider's authority.
func (p *Provider) through(ctx context.Context) context.Context {
	return oidc.ClientContext(ctx, p.client)
}

// Check verifies an ID token and gives the user that it stands for, with the role
// that the provider's claims are worth. fault.Unauthenticated: it proves nothing;
// fault.Denied: it proves somebody who has no role here.
func (p *Provider) Check(ctx context.Context, idToken string) (*wire.User, error) {
	return p.check(ctx, idToken, "")
}

// check verifies an ID token that was asked for with a nonce, or without one.
func (p *Provider) check(ctx context.Context, idToken, nonce string) (*wire.User, error) {
	provider, err := p.find(ctx)
	if err != nil {
		return nil, err
	}
	// The audience is checked below: it may be either of two.
	verifier := provider.VerifierContext(p.through(ctx), &oidc.Config{SkipClientIDCheck: true, Now: p.now})
	token, err := verifier.Verify(p.through(ctx), idToken)
	var expired *oidc.TokenExpiredError
	switch {
	case errors.As(err, &expired):
		return nil, fault.New(fault.Unauthenticated, "the ID token expired at %s: log in again", expired.Expiry.UTC().Format(time.RFC3339))
	case err != nil:
		return nil, fault.Wrap(err, fault.Unauthenticated, "the ID token is not one that %s signed for this cluster: log in again", p.Issuer)
	case !slices.Contains(token.Audience, p.ClientID) && !slices.Contains(token.Audience, p.CLIClientID):
		return nil, fault.New(fault.Unauthenticated, "the ID token was made for another client than this cluster: log in again")
	case nonce != "" && token.Nonce != nonce:
		return nil, fault.New(fault.Unauthenticated, "the ID token was not made for this login: begin it again")
	case p.now().Sub(token.IssuedAt) > oldest:
		return nil, fault.New(fault.Unauthenticated, "the ID token is from %s, and one is good for a login for %v: log in again", token.IssuedAt.UTC().Format(time.RFC3339), oldest)
	}
	var claims map[string]any
	if err := token.Claims(&claims); err != nil {
		return nil, fault.Wrap(err, fault.Unauthenticated, "the ID token cannot be read")
	}
	return p.user(token.Subject, claims)
}

// exchange has a code of a browser's login turned into an ID token and checks it.
func (p *Provider) exchange(ctx context.Context, f flow, code string) (*wire.User, error) {
	provider, err := p.find(ctx)
	if err != nil {
		return nil, err
	}
	token, err := p.oauth(provider, f.Redirect).Exchange(p.through(ctx), code, oauth2.VerifierOption(f.Verifier))
	var refused *oauth2.RetrieveError
	switch {
	case errors.As(err, &refused):
		return nil, fault.Wrap(err, fault.Unauthenticated, "the login provider does not take the code that the browser brought: begin the login again")
	case err != nil:
		return nil, fault.Wrap(err, fault.Unavailable, "the login provider %s cannot be asked: try again", p.Issuer)
	}
	idToken, ok := token.Extra("id_token").(string)
	if !ok {
		return nil, fault.New(fault.Unauthenticated, "the login provider gave no ID token: its client %q must be allowed the scope openid", p.ClientID)
	}
	return p.check(ctx, idToken, f.Nonce)
}

func (p *Provider) oauth(provider *oidc.Provider, redirect string) *oauth2.Config {
	return &oauth2.Config{ClientID: p.ClientID, ClientSecret: p.secret, Endpoint: provider.Endpoint(), RedirectURL: redirect, Scopes: Scopes()}
}
