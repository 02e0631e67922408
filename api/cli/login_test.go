package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"backfleet/api/cli"
	"backfleet/api/internal/standin"
	"backfleet/api/login"
	"backfleet/api/login/logintest"
	"backfleet/api/server"
	"backfleet/pkg/fault"
)

// loginRig is a cluster with a login provider, and a person's machine.
type loginRig struct {
	t        *testing.T
	provider *logintest.Provider
	url      string
	config   string
}

func newLoginRig(t *testing.T) *loginRig {
	t.Helper()
	provider := logintest.Start(t, nil, logintest.Person{Name: "dora", Groups: []string{"data-eng"}}, logintest.Person{Name: "eve"})
	l, err := login.New(login.Config{
		Issuer: provider.Issuer, ClientID: provider.ClientID, SecretFile: provider.SecretFile, CLIClientID: provider.CLIClientID, CAFile: provider.CAFile,
		Roles: "data-eng=developer:shop",
	}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	s := server.New(server.Options{
		Backend: standin.New(), Logger: slog.New(slog.DiscardHandler), Login: l, Tokens: func() []server.Token { return nil },
	})
	h := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		h.Close()
	})
	return &loginRig{t: t, provider: provider, url: h.URL, config: filepath.Join(t.TempDir(), "config.yaml")}
}

// run runs a command line; said gets what goes to standard error as it comes.
func (r *loginRig) run(in string, said io.Writer, args ...string) (string, error) {
	var out bytes.Buffer
	root := cli.NewRoot(cli.Options{
		In: strings.NewReader(in), Out: &out, Err: said, Getenv: environment("BACKFLEET_CONFIG="+r.config, "BACKFLEET_SERVER="+r.url),
	})
	root.SetArgs(args)
	err := root.ExecuteContext(r.t.Context())
	return out.String(), err
}

var userCode = regexp.MustCompile(`enter the code (\S+)\n`)

// login logs in as a person who enters the code that is printed.
func (r *loginRig) login(name string) (string, error) {
	pipe, said := io.Pipe()
	approved := make(chan struct{})
	go func() {
		defer close(approved)
		var text strings.Builder
		buffer := make([]byte, 4096)
		done := false
		for {
			n, err := pipe.Read(buffer)
			text.Write(buffer[:n])
			if code := userCode.FindStringSubmatch(text.String()); code != nil && !done {
				done = true
				r.provider.Approve(r.t, code[1], name)
			}
			if err != nil {
				return
			}
		}
	}()
	out, err := r.run("", said, "login", "--provider-ca", r.provider.CAFile)
	said.Close()
	<-approved
	return out, err
}

func (r *loginRig) me() (name, role string) {
	r.t.Helper()
	out, err := r.run("", io.Discard, "me", "-o", "json")
	if err != nil {
		r.t.Fatal(err)
	}
	var me struct{ Name, Role string }
	if err := json.Unmarshal([]byte(out), &me); err != nil {
		r.t.Fatal(err)
	}
	return me.Name, me.Role
}

// TestLoginByDeviceCode: the session's token is kept where only its owner reads
// it, used from then on, and ended.
func TestLoginByDeviceCode(t *testing.T) {
	r := newLoginRig(t)
	if _, err := r.run("", io.Discard, "me"); !fault.Is(err, fault.Unauthenticated) {
		t.Fatalf("%v: expected that one has to log in", err)
	}
	out, err := r.login("dora")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, "logged in as dora (developer)") || !strings.Contains(out, "the context default") || strings.Contains(out, "bft_") {
		t.Errorf("%q", out)
	}
	info, err := os.Stat(r.config)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v: expected a file of mode 0600", info, err)
	}
	if name, role := r.me(); name != "dora" || role != "developer" {
		t.Errorf("%s is %s", name, role)
	}
	if out, err := r.run("", io.Discard, "logout"); err != nil || !strings.Contains(out, "logged out") {
		t.Errorf("%q %v", out, err)
	}
	if text, err := os.ReadFile(r.config); err != nil || bytes.Contains(text, []byte("bft_")) {
		t.Errorf("%s %v: expected no token any more", text, err)
	}
	if _, err := r.run("", io.Discard, "me"); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("%v: expected that the session has ended", err)
	}
}

// TestLoginWithoutARole: who the cluster gives nothing is told so, and nothing is
// kept.
func TestLoginWithoutARole(t *testing.T) {
	r := newLoginRig(t)
	if _, err := r.login("eve"); !fault.Is(err, fault.Denied) {
		t.Errorf("%v: expected a refusal", err)
	}
	if _, err := os.Stat(r.config); err == nil {
		t.Error("a refused login left a context")
	}
}

// TestLoginWithAToken checks a token before it is kept, and sends it to no other
// cluster.
func TestLoginWithAToken(t *testing.T) {
	r := newLoginRig(t)
	if _, err := r.run("bft_u0_wrong\n", io.Discard, "login", "--token", "-"); !fault.Is(err, fault.Unauthenticated) {
		t.Fatalf("%v: expected that the token is none", err)
	}
	if _, err := os.Stat(r.config); err == nil {
		t.Error("a token that is none was kept")
	}
	out, err := r.run(standin.UserTokenText+"\n", io.Discard, "login", "--token", "-")
	if err != nil || !strings.Contains(out, "logged in as olga (operator)") || strings.Contains(out, standin.UserTokenText) {
		t.Fatalf("%q %v", out, err)
	}
	if name, role := r.me(); name != "olga" || role != "operator" {
		t.Errorf("%s is %s", name, role)
	}
	_, err = r.run(standin.UserTokenText, io.Discard, "login", "--token", "-", "--server", "http://127.0.0.1:1")
	if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "--server names coordinators that the context default does not") {
		t.Errorf("%v: expected that the context is of another cluster", err)
	}
	// The token is no session: it is forgotten here, and goes on.
	if _, err := r.run("", io.Discard, "logout"); err != nil {
		t.Error(err)
	}
	if _, err := r.run(standin.UserTokenText, io.Discard, "login", "--token", "-"); err != nil {
		t.Error(err)
	}
}

// TestLogoutWithoutTheCluster forgets the token, and says that the session goes on.
func TestLogoutWithoutTheCluster(t *testing.T) {
	r := newLoginRig(t)
	if _, err := r.run(standin.UserTokenText, io.Discard, "login", "--token", "-"); err != nil {
		t.Fatal(err)
	}
	_, err := r.run("", io.Discard, "logout", "--server", "http://127.0.0.1:1", "--timeout", (10 * time.Millisecond).String())
	if err == nil || !strings.Contains(err.Error(), "the token is forgotten here, but the session goes on") {
		t.Errorf("%v", err)
	}
	if text, err := os.ReadFile(r.config); err != nil || bytes.Contains(text, []byte("bft_")) {
		t.Errorf("%s %v", text, err)
	}
}
