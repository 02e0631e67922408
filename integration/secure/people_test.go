package secure

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"backfleet/api/login/logintest"
	v1 "backfleet/api/v1"
	"backfleet/pkg/mtls"
	"backfleet/pkg/wire"
)

// town is a secured cluster with people in it.
type town struct {
	*site
	t        *testing.T
	provider *logintest.Provider
	http     *http.Client // without a certificate
	asAgent  *http.Client // with an agent's
	tokens   map[string]string
}

// person is who asks a coordinator.
type person struct {
	town   *town
	client *http.Client
	token  string
}

func (o *town) shows(token string) person { return person{o, o.http, token} }

// ask sends a request to one coordinator, and gives the status and the answer.
func (p person) ask(c coordinator, method, path, body string) (int, string) {
	p.town.t.Helper()
	r, err := http.NewRequestWithContext(within(p.town.t), method, "https://"+c.http+path, strings.NewReader(body))
	if err != nil {
		p.town.t.Fatal(err)
	}
	if p.token != "" {
		r.Header.Set("Authorization", "Bearer "+p.token)
	}
	answer, err := p.client.Do(r)
	if err != nil {
		p.town.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		p.town.t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// must asks for what has to succeed.
func must[T any](p person, c coordinator, method, path, body string) T {
	p.town.t.Helper()
	code, text := p.ask(c, method, path, body)
	var out T
	if err := json.Unmarshal([]byte(text), &out); err != nil || code >= 300 {
		p.town.t.Fatalf("%s %s: %d %s", method, path, code, text)
	}
	return out
}

// newTown starts three coordinators, adds a user of each role with a token, and a
// node of each of two workspaces.
func newTown(t *testing.T) *town {
	t.Helper()
	provider := logintest.Start(t, nil, logintest.Person{Name: "olga", Groups: []string{"ops"}})
	o := &town{t: t, provider: provider, tokens: map[string]string{}}
	o.site = secured(t, t.TempDir(), 3, "--oidc-issuer", provider.Issuer, "--oidc-client-id", provider.ClientID, "--oidc-client-secret-file", provider.SecretFile,
		"--oidc-cli-client-id", provider.CLIClientID, "--oidc-ca", provider.CAFile, "--oidc-roles", "ops=operator")
	material, err := mtls.Load(o.agentCert)
	if err != nil {
		t.Fatal(err)
	}
	bare := material.Client("")
	bare.GetClientCertificate = nil
	for client, config := range map[**http.Client]*tls.Config{&o.http: bare, &o.asAgent: material.Client("")} {
		*client = &http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}}
		t.Cleanup((*client).CloseIdleConnections)
	}
	root := o.shows(secret)
	for _, role := range []string{"viewer", "developer", "operator", "admin"} {
		settings := fmt.Sprintf(`{"role":%q}`, role)
		if role == "developer" {
			settings = `{"role":"developer","workspaces":["shop"]}`
		}
		must[v1.User](root, o.all[0], "PUT", "/v1/users/the-"+role, settings)
		o.tokens[role] = must[v1.NewToken](root, o.all[0], "POST", "/v1/tokens", fmt.Sprintf(`{"user":"the-%s"}`, role)).Token
	}
	o.tokens["agent"] = other
	o.tokens["join"] = must[v1.NewJoinToken](root, o.all[0], "POST", "/v1/join-tokens", `{"groups":["default"]}`).Token
	return o
}

func node(id, workspace string) string {
	return fmt.Sprintf(`{"nodes":[{"id":%q,"workspace":%q,"type":"shell","code":"true"}]}`, id, workspace)
}

// People and agents can do what is theirs, on each coordinator, and nothing else.
func TestR15_PeopleOfARealCluster(t *testing.T) {
	t.Parallel()
	o := newTown(t)
	leads := leader(t, o.all, "https://", o.client)
	follower := o.all[slices.IndexFunc(o.all, func(c coordinator) bool { return c.id != leads.id })]
	must[v1.NodeApplicationResult](o.shows(secret), leads, "PUT", "/v1/nodes", node("ads_orders", "ads"))

	t.Run("roles", func(t *testing.T) { o.roles(t, leads, follower) })
	t.Run("agents", func(t *testing.T) { o.agentsTokens(t, follower) })
	t.Run("tokens end", func(t *testing.T) { o.tokensEnd(t, leads, follower) })
	t.Run("refusals are told", func(t *testing.T) { o.refusals(t, follower) })
	t.Run("sessions outlive leaders", func(t *testing.T) { o.session(t, leads, follower) })
	for _, p := range o.processes {
		text := output(p)
		for _, token := range o.tokens {
			if strings.Contains(text, token) {
				t.Errorf("%s wrote a token", p.Name)
			}
		}
	}
}

// roles tries real operations, by the coordinator that leads and by another.
func (o *town) roles(t *testing.T, all ...coordinator) {
	ranks := []string{"viewer", "developer", "operator", "admin"}
	for _, x := range []struct {
		least              string
		method, path, body string
	}{
		{"viewer", "GET", "/v1/nodes", ""},
		{"viewer", "GET", "/v1/me", ""},
		{"developer", "PUT", "/v1/nodes", node("shop_orders", "shop")},
		{"developer", "POST", "/v1/backfills", `{"mode":"current","root":"shop_orders","dates":["2024-01-01"]}`},
		{"operator", "POST", "/v1/backfills", `{"mode":"current","root":"shop_orders","dates":["2024-01-01"],"priority":8}`},
		{"operator", "PUT", "/v1/nodes", node("ads_orders", "ads")}, // another's workspace
		{"operator", "POST", "/v1/backfills", `{"mode":"current","root":"ads_orders","dates":["2024-01-01"]}`},
		{"operator", "PUT", "/v1/regions/eu", `{"advancedMode":true}`},
		{"operator", "GET", "/v1/join-tokens", ""},
		{"operator", "GET", "/v1/audit", ""},
		{"admin", "GET", "/v1/users", ""},
		{"admin", "PUT", "/v1/users/somebody", `{"role":"viewer"}`},
		{"admin", "GET", "/v1/tokens?user=somebody", ""},
	} {
		for _, c := range all {
			for rank, role := range ranks {
				code, text := o.shows(o.tokens[role]).ask(c, x.method, x.path, x.body)
				if may := rank >= slices.Index(ranks, x.least); may && code >= 300 || !may && (code != http.StatusForbidden || !strings.Contains(text, `"denied"`)) {
					t.Errorf("%s %s %s by the %s, asked of %s: %d %s", x.method, x.path, x.body, role, c.id, code, text)
				}
			}
		}
	}
}

// agentsTokens: what lets agents in lets nobody do anything else, with an agent's
// certificate or without.
func (o *town) agentsTokens(t *testing.T, c coordinator) {
	for _, kind := range []string{"agent", "join"} {
		for name, client := range map[string]*http.Client{"no certificate": o.http, "an agent's certificate": o.asAgent} {
			for _, x := range [][3]string{
				{"GET", "/v1/nodes", ""}, {"GET", "/v1/me", ""}, {"GET", "/v1/instances/b1.0/logs", ""}, {"GET", "/v1/agents", ""}, {"GET", "/v1/cluster", ""}, {"GET", "/metrics", ""},
				{"PUT", "/v1/nodes", node("x", "shop")}, {"POST", "/v1/backfills/b1/stop", ""}, {"POST", "/v1/join-tokens", `{}`}, {"POST", "/v1/tokens", `{}`},
				{"POST", "/v1/sessions", fmt.Sprintf(`{"token":%q}`, o.tokens[kind])},
			} {
				if code, text := (person{o, client, o.tokens[kind]}).ask(c, x[0], x[1], x[2]); code != http.StatusUnauthorized || !strings.Contains(text, "lets agents in") {
					t.Errorf("%s's token with %s: %s %s: %d %s", kind, name, x[0], x[1], code, text)
				}
			}
		}
		o.agentsCalls(t, c, o.tokens[kind])
	}
	for role, token := range o.tokens { // and none of people's lets agents in
		if role == "agent" || role == "join" {
			continue
		}
		if err := o.hello(t, c, token, "a1"); status.Code(err) != codes.Unauthenticated {
			t.Errorf("an agent with the %s's token: %v", role, err)
		}
	}
}

// hello begins a session with a1's certificate as some agent.
func (o *town) hello(t *testing.T, c coordinator, token, id string) error {
	t.Helper()
	material, err := mtls.Load(o.agentCert)
	if err != nil {
		t.Fatal(err)
	}
	cc, err := grpc.NewClient("passthrough:///"+c.rpc, grpc.WithTransportCredentials(credentials.NewTLS(material.Client(""))), grpc.WithPerRPCCredentials(bearer(token)))
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	session, err := wire.NewAgentsClient(cc).Session(within(t))
	if err != nil {
		return err
	}
	_ = session.Send(&wire.AgentMessage{Body: &wire.AgentMessage_Hello{Hello: &wire.Hello{Agent: &wire.Agent{Id: id, Incarnation: "i", Groups: []*wire.GroupSlots{{Group: "default", Slots: 1}}}}}})
	_, err = session.Recv()
	return err
}

// agentsCalls: on the port for agents it is the agent of its certificate, and no
// coordinator.
func (o *town) agentsCalls(t *testing.T, c coordinator, token string) {
	t.Helper()
	if err := o.hello(t, c, token, "a2"); status.Code(err) != codes.PermissionDenied {
		t.Errorf("as another agent: %v", err)
	}
	material, err := mtls.Load(o.agentCert)
	if err != nil {
		t.Fatal(err)
	}
	cc, err := grpc.NewClient("passthrough:///"+c.rpc, grpc.WithTransportCredentials(credentials.NewTLS(material.Client(""))), grpc.WithPerRPCCredentials(bearer(token)))
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	read, err := wire.NewPeerClient(cc).ReadLog(within(t), &wire.ReadLogRequest{Ref: &wire.AttemptRef{Plan: 1, Attempt: 1, Fence: 1}})
	if err == nil {
		_, err = read.Recv()
	}
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("it reads logs: %v", err)
	}
}

// tokensEnd: by their time, by a word, and with their user; what follows ends too.
func (o *town) tokensEnd(t *testing.T, leads, follower coordinator) {
	root := o.shows(secret)
	short := must[v1.NewToken](root, leads, "POST", "/v1/tokens", `{"user":"the-viewer","expiresInSeconds":2}`).Token
	revoked := must[v1.NewToken](root, leads, "POST", "/v1/tokens", `{"user":"the-viewer","role":"viewer"}`)
	if code, text := o.shows(revoked.Token).ask(follower, "GET", "/v1/nodes", ""); code != 200 { // known there as soon as it is told
		t.Errorf("a new token, asked of a follower: %d %s", code, text)
	}
	must[v1.Removal](root, leads, "DELETE", "/v1/tokens/"+revoked.Details.ID, "")

	must[v1.User](root, leads, "PUT", "/v1/users/gone", `{"role":"viewer"}`)
	gone := must[v1.NewToken](root, leads, "POST", "/v1/tokens", `{"user":"gone"}`).Token
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", "https://"+follower.http+"/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+gone)
	stream, err := o.http.Do(r)
	if err != nil || stream.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", stream, err)
	}
	defer stream.Body.Close()
	must[v1.User](root, leads, "PUT", "/v1/users/gone", `{"role":"viewer","disabled":true}`)

	for name, x := range map[string]struct{ token, says string }{
		"expired": {short, "expired"}, "revoked": {revoked.Token, "revoked"}, "of a disabled user": {gone, "disabled"},
	} {
		for _, c := range []coordinator{leads, follower} {
			until(t, name+" ends", func() (bool, error) {
				code, text := o.shows(x.token).ask(c, "GET", "/v1/nodes", "")
				return code == http.StatusUnauthorized && strings.Contains(text, x.says), fmt.Errorf("%d %s", code, text)
			})
		}
	}
	var last string
	for lines := bufio.NewScanner(stream.Body); lines.Scan(); {
		if lines.Text() != "" {
			last = lines.Text()
		}
	}
	if ctx.Err() != nil || !strings.Contains(last, "unauthenticated") {
		t.Errorf("what a disabled user followed ended with %q, %v", last, ctx.Err())
	}
}

// refusals: the audit has what people were not let do, with where it came from
// although it was passed on.
func (o *town) refusals(t *testing.T, follower coordinator) {
	o.shows(o.tokens["viewer"]).ask(follower, "PUT", "/v1/regions/asia", `{}`)
	until(t, "the audit has it", func() (bool, error) {
		page := must[v1.AuditPage](o.shows(o.tokens["operator"]), follower, "GET", "/v1/audit?code=denied&operation=putRegion&contains=asia", "")
		if len(page.Items) == 0 {
			return false, nil
		}
		r := page.Items[0]
		if r.Actor != "the-viewer" || r.From != "127.0.0.1" || r.Target == "" || r.Via == "" {
			t.Errorf("%+v", r)
		}
		return true, nil
	})
}

// session logs somebody in, by a device code and a follower, and kills the leader.
func (o *town) session(t *testing.T, leads, follower coordinator) {
	ways := must[v1.LoginWays](o.shows(""), follower, "GET", "/v1/login", "")
	if ways.Open || ways.Oidc == nil || ways.Oidc.Issuer != o.provider.Issuer {
		t.Fatalf("%+v", ways)
	}
	ctx := o.provider.Browser(t).Context()
	c := oauth2.Config{ClientID: ways.Oidc.ClientID, Scopes: ways.Oidc.Scopes, Endpoint: oauth2.Endpoint{
		DeviceAuthURL: ways.Oidc.Issuer + "/device_authorization", TokenURL: ways.Oidc.Issuer + "/oauth/token", AuthStyle: oauth2.AuthStyleInParams,
	}}
	asked, err := c.DeviceAuth(ctx)
	if err != nil {
		t.Fatal(err)
	}
	o.provider.Approve(t, asked.UserCode, "olga")
	asked.Interval = 1
	token, err := c.DeviceAccessToken(ctx, asked)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(v1.SessionRequest{IDToken: token.Extra("id_token").(string)})
	if err != nil {
		t.Fatal(err)
	}
	session := must[v1.Session](o.shows(""), follower, "POST", "/v1/sessions", string(bytes.TrimSpace(body)))
	o.tokens["session"] = session.Token
	left := time.Until(*session.ExpiresAt)
	if session.Name != "olga" || session.Role != v1.RoleOperator || left < 11*time.Hour || left > 12*time.Hour {
		t.Errorf("%+v", session)
	}
	olga := o.shows(session.Token)
	must[v1.Region](olga, follower, "PUT", "/v1/regions/eu", `{"advancedMode":false}`)
	if err := leads.Kill(); err != nil {
		t.Fatal(err)
	}
	rest := slices.DeleteFunc(slices.Clone(o.all), func(c coordinator) bool { return c.id == leads.id })
	leader(t, rest, "https://", o.client)
	for _, c := range rest {
		until(t, "the session goes on at "+c.id, func() (bool, error) {
			code, text := olga.ask(c, "PUT", "/v1/regions/eu", `{"advancedMode":true}`)
			return code == http.StatusOK, fmt.Errorf("%d %s", code, text)
		})
	}
	must[v1.Removal](olga, follower, "DELETE", "/v1/sessions/current", "")
	until(t, "the session has ended", func() (bool, error) {
		code, text := olga.ask(follower, "GET", "/v1/me", "")
		return code == http.StatusUnauthorized, fmt.Errorf("%d %s", code, text)
	})
}
