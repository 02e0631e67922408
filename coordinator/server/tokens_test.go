package server

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"backfleet/api/login"
	api "backfleet/api/server"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

func TestR15_3_LinesOfTheTokenFile(t *testing.T) {
	got, err := readTokens("# people\nada:0123456789abcdef\n\nbob:fedcba:9876543210  workspaces=shop,ads\nalone-0123456789\n" +
		"eve:0123456789-of-eve workspaces=shop role=developer\nvi:0123456789-of-vi role=viewer\nop:0123456789-of-op role=operator\nw:0123456789-of-ww role=agent\n")
	want := []api.Token{
		{Name: "ada", Secret: "0123456789abcdef", Role: wire.Role_ADMIN},
		{Name: "bob", Secret: "fedcba:9876543210", Role: wire.Role_DEVELOPER, Workspaces: []string{"shop", "ads"}},
		{Name: "token", Secret: "alone-0123456789", Role: wire.Role_ADMIN},
		{Name: "eve", Secret: "0123456789-of-eve", Role: wire.Role_DEVELOPER, Workspaces: []string{"shop"}},
		{Name: "vi", Secret: "0123456789-of-vi", Role: wire.Role_VIEWER},
		{Name: "op", Secret: "0123456789-of-op", Role: wire.Role_OPERATOR},
		{Name: "w", Secret: "0123456789-of-ww", Agent: true},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for text, says := range map[string]string{
		"ada:short": "line 1: expected a secret",
		"ada:0123456789abcdef\nbob:0123456789abcdeg shop":            "line 2: after the secret",
		"ada:0123456789abcdef\nbob:0123456789abcdef":                 "line 2: this secret is on a line before",
		"ada:0123456789abcdef workspaces=":                           "line 1: workspaces=",
		"ada:0123456789abcdef workspaces=a,,b":                       "line 1: workspaces=",
		"ada:0123456789abcdef workspaces=a workspaces=b":             "line 1: after the secret",
		"ada:0123456789abcdef role=boss":                             "line 1: role=",
		"ada:0123456789abcdef role=Admin":                            "line 1: role=",
		"ada:0123456789abcdef role=role_unspecified":                 "line 1: role=",
		"ada:0123456789abcdef role=operator workspaces=a":            "line 1: workspaces= is for developers",
		"ada:0123456789abcdef role=agent workspaces=a":               "line 1: workspaces= is for developers",
		"ada:0123456789abcdef rights=admin and-0123456789abcdef-too": "line 1: after the secret",
	} {
		if got, err := readTokens(text); fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "0123456789") {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}

func TestR15_3_TheTokenFileIsReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("# nobody\n")
	if _, err := (&Config{TokenFile: path}).openTokens(); fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), "holds no token") {
		t.Errorf("a file without any: %v", err)
	}
	if _, err := (&Config{TokenFile: path, OIDC: login.Config{Issuer: "https://i"}}).openTokens(); err != nil {
		t.Errorf("beside a provider it may have none: %v", err)
	}
	if _, err := (&Config{TokenFile: path + "x"}).openTokens(); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("no file: %v", err)
	}
	put("ada:0123456789abcdef\n")
	log := &bytes.Buffer{}
	f, err := (&Config{TokenFile: path, Logger: slog.New(slog.NewTextHandler(log, nil))}).openTokens()
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		text  string // empty: the file is gone
		holds string
		says  string
	}{
		{"ada:0123456789abcdef\n", "0123456789abcdef", ""},
		{"ada:0123456789abcdef\nbob:fedcba9876543210\n", "fedcba9876543210", "read again"},
		{"bob:short\n", "0123456789abcdef", "cannot be used"},
		{"", "fedcba9876543210", "cannot be used"},
		{"eve:00000000000000000\n", "00000000000000000", "read again"},
		{"# nobody any more\n", "", "read again"},
	} {
		if put(x.text); x.text == "" {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		log.Reset()
		for range 2 { // what is wrong is said once
			f.checked = time.Time{}
			if _, known := f.holder(x.holds); known != (x.holds != "") {
				t.Errorf("after %q: %q is known: %v", x.text, x.holds, known)
			}
		}
		if n := strings.Count(log.String(), "msg="); !strings.Contains(log.String(), x.says) || n > 1 || strings.Contains(log.String(), "0123456789") {
			t.Errorf("after %q the log has %s", x.text, log)
		}
	}
	if n := len(f.now()); n != 0 {
		t.Errorf("%d are left", n)
	}
}
