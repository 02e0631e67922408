package cli

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/spf13/cobra"
	"golang.org/x/oauth2"

	"backfleet/api/client"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
	"backfleet/pkg/mtls"
)

// standardContext is what a login makes where there is no context.
const standardContext = "default"

type loginOptions struct {
	*app
	connection *connection
	output     *output
	token      string
	providerCA string
}

func (a *app) loginCommand() *cobra.Command {
	o := &loginOptions{app: a}
	c := &cobra.Command{
		Use: "login [flags]", Short: "Log in to the cluster, and keep the token in the context",
		Long: `Logs in at the OpenID Connect provider that the cluster names: open the address that
is printed in any browser, on any machine, and enter the code. The session's token
is kept in the context and ends after some hours. With --token - an access token
that was made for you (see backfleet token) is read from standard input, checked
and kept instead.

Where there is no context one is made, with the name "default", and used from
then on.`,
		Example: `  backfleet login
  backfleet login --context prod
  backfleet login --token - < token`,
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c) },
	}
	o.connection, o.output = a.connects(c), a.prints(c)
	c.Flags().StringVar(&o.token, keyToken, "", "`-`: keep the access token that is on standard input, once it is checked")
	c.Flags().StringVar(&o.providerCA, "provider-ca", "", "PEM `file` of the authority of the login provider, where the system does not know it")
	return c
}

// loginView is what `login` answers; the token is not in it.
type loginView struct {
	Name      string     `json:"name"`
	Role      v1.Role    `json:"role"`
	ExpiresAt *time.Time `json:"expiresAt,omitempty"`
	Context   string     `json:"context"`
}

func (o *loginOptions) run(c *cobra.Command) error {
	if err := o.output.check(); err != nil {
		return err
	}
	if o.token != "" && o.token != "-" {
		return fault.Field("--token", "expected - and the token on standard input: others can see what is on a command line")
	}
	name, err := o.target(c)
	if err != nil {
		return err
	}
	var token string
	view := &loginView{Context: name}
	if o.token == "-" {
		token, err = o.check(c.Context(), view)
	} else {
		token, err = o.session(c.Context(), view)
	}
	if err != nil {
		return err
	}
	if err := o.keep(name, token); err != nil {
		return err
	}
	return o.output.answer(view, []string{view.Name}, func(w io.Writer) {
		until := ""
		if view.ExpiresAt != nil {
			until = ", until " + moment(view.ExpiresAt) + " UTC"
		}
		fmt.Fprintf(w, "logged in as %s (%s)%s; the token is kept in the context %s\n", view.Name, view.Role, until, name)
	})
}

// target is the context that is to keep the token. It must be one of the cluster
// that is asked: a token is sent to no other.
func (o *loginOptions) target(c *cobra.Command) (string, error) {
	s, err := o.settle(c)
	if err != nil {
		return "", err
	}
	if s.context != "" {
		for _, field := range contextFields[:2] { // the places
			from := s.origins[field.key]
			if f := c.Flags().Lookup(field.flag); from.level > fromContext && f != nil && flagText(f) != s.stored[field.key] {
				return "", fault.New(fault.Conflict, "%s names coordinators that the context %s does not: make a context for them with `backfleet context set`, and log in with --context", from.name, s.context)
			}
		}
		return s.context, nil
	}
	file, err := o.contexts()
	if err != nil {
		return "", err
	}
	if file.contexts[standardContext] != nil {
		return "", fault.Field("--context", "expected which context is to keep the token: %s", file.known())
	}
	return standardContext, nil
}

// asking makes a client that shows a token, or nothing: what the context holds
// may have ended.
func (o *loginOptions) asking(token string) (*client.Client, error) {
	options, err := o.connection.options()
	if err != nil {
		return nil, err
	}
	options.Token = token
	o.connection.tell(&options)
	return client.New(options)
}

// check reads a token from standard input and asks whose it is.
func (o *loginOptions) check(ctx context.Context, view *loginView) (string, error) {
	token, err := o.readToken()
	if err != nil {
		return "", err
	}
	cl, err := o.asking(token)
	if err != nil {
		return "", err
	}
	me, err := cl.Me(ctx)
	if err != nil {
		return "", err
	}
	view.Name, view.Role, view.ExpiresAt = me.Name, me.Role, me.ExpiresAt
	return token, nil
}

// session has a person log in at the provider, and gives the token of the
// session that comes of it.
func (o *loginOptions) session(ctx context.Context, view *loginView) (string, error) {
	cl, err := o.asking("")
	if err != nil {
		return "", err
	}
	ways, err := cl.LoginWays(ctx)
	switch {
	case err != nil:
		return "", err
	case ways.Oidc == nil && ways.Open:
		return "", fault.New(fault.Conflict, "%s asks nobody who they are: there is nothing to log in to", ways.Cluster)
	case ways.Oidc == nil:
		return "", fault.New(fault.Conflict, "%s has no login provider: ask an admin for an access token, and give it to `backfleet login --token -`", ways.Cluster)
	}
	idToken, err := o.device(ctx, ways)
	if err != nil {
		return "", err
	}
	made, err := cl.CreateSession(ctx, v1.SessionRequest{IDToken: idToken})
	if err != nil {
		return "", err
	}
	view.Name, view.Role, view.ExpiresAt = made.Name, made.Role, made.ExpiresAt
	return made.Token, nil
}

// device gets an ID token by a code that a person enters in a browser (RFC 8628).
func (o *loginOptions) device(ctx context.Context, ways *v1.LoginWays) (string, error) {
	if u, err := url.Parse(ways.Oidc.Issuer); err != nil || u.Scheme != "https" && !mtls.Loopback(u.Host) {
		return "", fault.New(fault.Invalid, "the login provider %s is no https address: nobody should log in there", ways.Oidc.Issuer)
	}
	h, err := o.http()
	if err != nil {
		return "", err
	}
	ctx = oidc.ClientContext(ctx, h)
	provider, err := oidc.NewProvider(ctx, ways.Oidc.Issuer)
	if err != nil {
		return "", said(ctx, err, "the login provider %s cannot be asked", ways.Oidc.Issuer)
	}
	config := oauth2.Config{ClientID: ways.Oidc.ClientID, Endpoint: provider.Endpoint(), Scopes: ways.Oidc.Scopes}
	if config.Endpoint.DeviceAuthURL == "" {
		return "", fault.New(fault.Conflict, "the login provider %s has no login by device code: ask for an access token, and give it to `backfleet login --token -`", ways.Oidc.Issuer)
	}
	code, err := config.DeviceAuth(ctx)
	if err != nil {
		return "", said(ctx, err, "the login provider %s gives no code", ways.Oidc.Issuer)
	}
	fmt.Fprintf(o.Err, "To log in to %s, open %s\nand enter the code %s\n", ways.Cluster, cmp.Or(code.VerificationURIComplete, code.VerificationURI), code.UserCode)
	token, err := config.DeviceAccessToken(ctx, code)
	if err != nil {
		return "", said(ctx, err, "nobody was logged in")
	}
	idToken, ok := token.Extra("id_token").(string)
	if !ok {
		return "", fault.New(fault.Conflict, "the login provider %s gives no ID token: expected that the client %s may have the scope openid", ways.Oidc.Issuer, ways.Oidc.ClientID)
	}
	return idToken, nil
}

// said puts what a provider says into an error. Its answers are not repeated as
// they are: what is in them is the provider's choice.
func said(ctx context.Context, err error, format string, args ...any) error {
	var refused *oauth2.RetrieveError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &refused) && refused.ErrorCode == "expired_token":
		return fault.New(fault.Timeout, "%s: the code has expired", fmt.Sprintf(format, args...))
	case errors.As(err, &refused):
		return fault.New(fault.Unauthenticated, "%s: %s", fmt.Sprintf(format, args...), cmp.Or(refused.ErrorCode, refused.Response.Status))
	case errors.Is(err, context.DeadlineExceeded):
		return fault.New(fault.Timeout, "%s: the code has expired", fmt.Sprintf(format, args...))
	}
	return fault.Wrap(err, fault.Unavailable, format, args...)
}

// http reaches the provider.
func (o *loginOptions) http() (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if o.providerCA != "" {
		text, err := os.ReadFile(o.providerCA)
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "--provider-ca")
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(text) {
			return nil, fault.Field("--provider-ca", "%s holds no certificate: expected PEM", o.providerCA)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: transport, Timeout: 30 * time.Second}, nil
}

// keep writes the token into the context, which is made where there is none.
func (o *loginOptions) keep(name, token string) error {
	file, err := o.contexts() // a login takes its time
	if err != nil {
		return err
	}
	s := file.contexts[name]
	if s == nil {
		s = contextSettings{}
		file.contexts[name], file.current = s, name
		flags := o.connection.command.Flags()
		for _, field := range contextFields {
			f := flags.Lookup(field.flag)
			if f == nil || field.key == "output" || field.key == "tokenFile" {
				continue
			}
			if s[field.key], err = o.contextValue(field, flagText(f)); err != nil {
				return err
			}
		}
		if s["etcd"] != "" && o.settledOf[o.connection.command].origins["servers"].level == fromDefault {
			delete(s, "servers")
		}
	}
	s[keyToken] = token
	delete(s, "tokenFile")
	return file.write()
}

func (a *app) logoutCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "logout", Short: "End the session, and forget its token",
		Long: `Ends the session whose token the context holds, and takes the token out of the
context. An access token that was given to the login is forgotten here only; it is
revoked with backfleet token revoke.`,
		Example: "  backfleet logout",
		Args:    exactly(0),
	}
	k := a.connects(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := a.settle(c)
		if err != nil {
			return err
		}
		if s.stored[keyToken] == "" {
			return fault.New(fault.Conflict, "no token is kept here (context %s): there is nothing to log out of", cmp.Or(s.context, "none"))
		}
		o, err := k.options()
		if err != nil {
			return err
		}
		o.Token = s.stored[keyToken]
		k.tell(&o)
		cl, err := client.New(o)
		if err != nil {
			return err
		}
		_, told := cl.EndSession(c.Context())
		file, err := a.contexts()
		if err != nil {
			return err
		}
		delete(file.contexts[s.context], keyToken)
		if err := file.write(); err != nil {
			return err
		}
		if told != nil && !fault.Is(told, fault.Unauthenticated) { // which had ended
			return fault.Wrap(told, fault.Unavailable, "the token is forgotten here, but the session goes on until it expires")
		}
		_, err = fmt.Fprintf(a.Out, "logged out; the context %s holds no token any more\n", s.context)
		return err
	}
	return c
}

func (a *app) meCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "me", Aliases: []string{"whoami"}, Short: "Show who you are to the cluster, and what you may",
		Example: "  backfleet me\n  backfleet me -o wide",
		Args:    exactly(0),
	}
	k, out := a.connects(c), a.prints(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		cl, err := k.client()
		if err != nil {
			return err
		}
		me, err := cl.Me(c.Context())
		if err != nil {
			return err
		}
		return out.answer(me, []string{me.Name}, func(w io.Writer) {
			own := "all"
			if me.Restricted {
				own = cmp.Or(strings.Join(me.Workspaces, " "), "none")
			}
			shown := "a token of the coordinators' file, " + strings.TrimPrefix(me.Via, "file:")
			switch {
			case me.Via == "open":
				shown = "nothing: this cluster asks nobody who they are"
			case me.Session:
				shown = "the session " + me.Via
			case !strings.HasPrefix(me.Via, "file:"):
				shown = "the access token " + me.Via
			}
			sheet(w, "Name", me.Name, "Role", string(me.Role), "Own workspaces", own, "Shows", shown, "Until", moment(me.ExpiresAt))
			if a.wide {
				sheet(w, "May", strings.Join(me.Operations, " "))
			}
		})
	}
	return c
}
