// Package login asks an OpenID Connect provider who somebody is, and makes of its
// answer a user with a role (RULES R15.3). It keeps nobody: what it finds is for
// the caller to record.
package login

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// Config names a provider and says what its word is worth. An empty Issuer
// means: there is none. Errors name the flags of the coordinator's command line.
type Config struct {
	Issuer   string // its URL, as its tokens have it
	ClientID string // under which it knows this cluster
	// SecretFile holds the client's secret, alone. Without it the client is a
	// public one: its logins by browser are proven by PKCE only.
	SecretFile string
	// CLIClientID is the client of command lines, which cannot keep a secret.
	// Default: ClientID.
	CLIClientID string
	CAFile      string // PEM, trusted for the provider beside the system's authorities
	RoleClaim   string // claim of the ID token that decides; default "groups"
	Roles       string // "data-eng=developer:ws1+ws2,platform=admin"
	DefaultRole string // of who has none of those; empty: they are refused
	// PublicURL is what browsers call the cluster, "https://backfleet.example.com".
	// Default: what the request was sent to.
	PublicURL string
}

// Flags of the coordinator's command line, as errors name them.
const (
	FlagIssuer      = "oidc-issuer"
	FlagClientID    = "oidc-client-id"
	FlagSecret      = "oidc-client-secret-file"
	FlagCLIClientID = "oidc-cli-client-id"
	FlagCA          = "oidc-ca"
	FlagRoleClaim   = "oidc-role-claim"
	FlagRoles       = "oidc-roles"
	FlagDefaultRole = "oidc-default-role"
	FlagPublicURL   = "public-url"
)

// Configured reports whether there is a provider.
func (c Config) Configured() bool { return c.Issuer != "" }

// grant is what a word of the provider's is worth.
type grant struct {
	role       wire.Role
	workspaces []string // of a developer, sorted; none: all
}

// settings are what a Config says, read.
type settings struct {
	Config
	secret string
	roles  map[string]grant
	other  grant // of who has none of the roles
	client *http.Client
}

// read checks a Config and reads its files. Errors are fault.Invalid and name
// the flag.
func (c Config) read() (*settings, error) {
	s := &settings{Config: c}
	if err := checkURL(FlagIssuer, c.Issuer); err != nil {
		return nil, err
	}
	if c.ClientID == "" {
		return nil, fault.Field(FlagClientID, "missing: expected the id under which the provider knows this cluster")
	}
	if c.CLIClientID == "" {
		s.CLIClientID = c.ClientID
	}
	if c.RoleClaim == "" {
		s.RoleClaim = "groups"
	}
	if c.PublicURL != "" {
		if err := checkURL(FlagPublicURL, c.PublicURL); err != nil {
			return nil, err
		}
		s.PublicURL = strings.TrimSuffix(c.PublicURL, "/")
	}
	var err error
	if s.roles, err = readRoles(c.Roles); err != nil {
		return nil, err
	}
	if c.DefaultRole != "" {
		if s.other, err = readGrant(c.DefaultRole); err != nil {
			return nil, fault.Field(FlagDefaultRole, "%s", err)
		}
	}
	if len(s.roles) == 0 && c.DefaultRole == "" {
		return nil, fault.Field(FlagRoles, "missing, and so is --%s: nobody could log in. Give one of them, such as %s=developer:shop", FlagDefaultRole, "data-eng")
	}
	if s.secret, err = readSecret(c.SecretFile); err != nil {
		return nil, err
	}
	s.client, err = httpClient(c.CAFile)
	return s, err
}

// checkURL refuses what is no URL of a server that can be trusted with logins.
func checkURL(flag, text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return fault.Field(flag, "%q is no URL: expected https://host[/path]", text)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return fault.Field(flag, "%q has more than a scheme, a host and a path: leave the rest out", text)
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return fault.Field(flag, "%q is not https: whoever is on the way could log in as anybody", text)
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// readRoles reads "group=role,group=developer:ws1+ws2".
func readRoles(text string) (map[string]grant, error) {
	out := map[string]grant{}
	for _, one := range strings.Split(text, ",") {
		if one = strings.TrimSpace(one); one == "" {
			continue
		}
		at := strings.LastIndexByte(one, '=')
		if at <= 0 {
			return nil, fault.Field(FlagRoles, "%q: expected group=role, such as platform=admin or data-eng=developer:shop+ads", one)
		}
		g, err := readGrant(one[at+1:])
		if err != nil {
			return nil, fault.Field(FlagRoles, "%q: %s", one, err)
		}
		if _, twice := out[one[:at]]; twice {
			return nil, fault.Field(FlagRoles, "%q is there twice: write it once", one[:at])
		}
		out[one[:at]] = g
	}
	return out, nil
}

// readGrant reads "role" or "developer:ws1+ws2".
func readGrant(text string) (grant, error) {
	word, list, bound := strings.Cut(text, ":")
	role, ok := wire.Role_value[strings.ToUpper(word)]
	if !ok || role == 0 || word != strings.ToLower(word) {
		return grant{}, fault.New(fault.Invalid, "%q is no role: expected viewer, developer, operator or admin", word)
	}
	g := grant{role: wire.Role(role)}
	if !bound {
		return g, nil
	}
	g.workspaces = strings.Split(list, "+")
	slices.Sort(g.workspaces)
	if g.role != wire.Role_DEVELOPER || slices.Contains(g.workspaces, "") {
		return grant{}, fault.New(fault.Invalid, "workspaces are for developers: expected developer:ws1+ws2")
	}
	return g, nil
}

func readSecret(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fault.Wrap(err, fault.Invalid, "--%s cannot be read", FlagSecret)
	}
	secret := strings.TrimSpace(string(text))
	if secret == "" || strings.ContainsAny(secret, "\r\n") {
		return "", fault.Field(FlagSecret, "%s: expected the client's secret alone", file)
	}
	return secret, nil
}

// httpClient reaches the provider, which is not waited for long.
func httpClient(caFile string) (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool() // a host without authorities of its own
		}
		text, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "--%s cannot be read", FlagCA)
		}
		if !pool.AppendCertsFromPEM(text) {
			return nil, fault.Field(FlagCA, "%s holds no PEM certificate", caFile)
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}, nil
}
