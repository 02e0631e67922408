// Package logintest runs a real OpenID Connect provider in the test's process, and
// the browser of a person who logs in at it.
package logintest

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"html/template"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// Person is who can log in. Subject is Name with "sub-" before it.
type Person struct {
	Name   string // preferred_username
	Email  string
	Groups []string // claim "groups"
}

// Provider knows the client ClientID, whose secret is in SecretFile, and the
// public client CLIClientID for devices.
type Provider struct {
	Issuer, ClientID, CLIClientID, SecretFile string
	CAFile                                    string // of its certificate; empty: it speaks plain HTTP

	server *httptest.Server
	store  *store
}

const (
	clientID, cliClientID = "backfleet", "backfleet-cli"
	clientSecret          = "secret-of-the-client-0123456789"
	password              = "correct horse battery staple"
)

// Start runs a provider over TLS that sends browsers back to nothing but the
// given addresses. It ends with the test.
func Start(t testing.TB, redirects []string, people ...Person) *Provider {
	t.Helper()
	return start(t, httptest.NewTLSServer, redirects, people)
}

// StartPlain is Start over plain HTTP.
func StartPlain(t testing.TB, redirects []string, people ...Person) *Provider {
	t.Helper()
	return start(t, httptest.NewServer, redirects, people)
}

func start(t testing.TB, listen func(http.Handler) *httptest.Server, redirects []string, people []Person) *Provider {
	t.Helper()
	p := &Provider{ClientID: clientID, CLIClientID: cliClientID, SecretFile: write(t, "client-secret", []byte(clientSecret+"\n"))}
	mux := http.NewServeMux()
	p.server = listen(mux)
	t.Cleanup(p.server.Close)
	p.Issuer = p.server.URL
	if leaf := p.server.Certificate(); leaf != nil {
		p.CAFile = write(t, "provider-ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}))
	}
	p.store = newStore(t, redirects, people)
	key := sha256.Sum256([]byte(p.Issuer))
	provider, err := op.NewProvider(&op.Config{
		CryptoKey: key, CryptoKeyId: "key1", CodeMethodS256: true, AuthMethodPost: true,
		DeviceAuthorization: op.DeviceAuthorizationConfig{Lifetime: time.Minute, PollInterval: time.Second, UserFormPath: "/device", UserCode: op.UserCodeBase20},
	}, p.store, op.StaticIssuer(p.Issuer), op.WithAllowInsecure())
	if err != nil {
		t.Fatal(err)
	}
	mux.Handle("GET /login/username", http.HandlerFunc(form))
	mux.Handle("POST /login/username", op.NewIssuerInterceptor(provider.IssuerFromRequest).HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.FormValue("id")
		if err := p.store.CheckUsernamePassword(r.FormValue("username"), r.FormValue("password"), id); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		http.Redirect(w, r, op.AuthCallbackURL(provider)(r.Context(), id), http.StatusFound)
	}))
	mux.Handle("/", provider)
	return p
}

var page = template.Must(template.New("login").Parse(`<form method="post"><input name="username"><input name="password" type="password"><input name="id" value="{{.}}"></form>`))

func form(w http.ResponseWriter, r *http.Request) { _ = page.Execute(w, r.FormValue("authRequestID")) }

// Approve is what a person does who was told a code by a device: log in at the
// provider and allow it.
func (p *Provider) Approve(t testing.TB, userCode, name string) {
	t.Helper()
	if err := p.store.CompleteDeviceAuthorization(context.Background(), userCode, subject(name)); err != nil {
		t.Fatal(err)
	}
}

// SetGroups changes what the provider says of a person from the next login on.
func (p *Provider) SetGroups(name string, groups ...string) {
	p.store.mu.Lock()
	defer p.store.mu.Unlock()
	p.store.groups[subject(name)] = groups
}

// Stop ends it before the test does.
func (p *Provider) Stop() { p.server.Close() }

func subject(name string) string { return "sub-" + name }

// store is the example's, with groups and with claims in ID tokens, where
// providers have them.
type store struct {
	*storage.Storage
	mu     sync.Mutex
	groups map[string][]string
}

func newStore(t testing.TB, redirects []string, people []Person) *store {
	t.Helper()
	users := map[string]*storage.User{}
	s := &store{groups: map[string][]string{}}
	for _, p := range people {
		id := subject(p.Name)
		users[id] = &storage.User{ID: id, Username: p.Name, Password: password, FirstName: p.Name, LastName: "Doe", Email: p.Email, EmailVerified: true}
		s.groups[id] = p.Groups
	}
	text, err := json.Marshal(users)
	if err != nil {
		t.Fatal(err)
	}
	known, err := storage.StoreFromFile(write(t, "people.json", text))
	if err != nil {
		t.Fatal(err)
	}
	s.Storage = storage.NewStorageWithClients(known, map[string]*storage.Client{
		clientID:    storage.WebClient(clientID, clientSecret, redirects...),
		cliClientID: storage.NativeClient(cliClientID),
	})
	return s
}

// client lets a client of the example log in from devices.
type client struct{ op.Client }

func (c client) IDTokenUserinfoClaimsAssertion() bool { return true }

func (c client) GrantTypes() []oidc.GrantType {
	return append(c.Client.GrantTypes(), oidc.GrantTypeDeviceCode)
}

// GetClientByClientID implements op.Storage.
func (s *store) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	c, err := s.Storage.GetClientByClientID(ctx, id)
	if err != nil {
		return nil, err
	}
	return client{c}, nil
}

// SetUserinfoFromRequest implements op.CanSetUserinfoFromRequest.
func (s *store) SetUserinfoFromRequest(ctx context.Context, info *oidc.UserInfo, r op.IDTokenRequest, scopes []string) error {
	if err := s.Storage.SetUserinfoFromRequest(ctx, info, r, scopes); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	info.AppendClaims("groups", s.groups[r.GetSubject()])
	return nil
}

func write(t testing.TB, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(fmt.Errorf("a file of the provider: %w", err))
	}
	return path
}
