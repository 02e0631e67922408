package server

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	api "backfleet/api/server"
	"backfleet/pkg/fault"
)

func TestR2_9_ATokenMayNameWorkspaces(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	read := func(text string) ([]api.Token, error) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return (&Config{TokenFile: file}).tokens()
	}
	got, err := read("# people\nada:0123456789abcdef\n\nbob:fedcba:9876543210  workspaces=shop,ads\nalone-0123456789\n")
	want := []api.Token{
		{Name: "ada", Secret: "0123456789abcdef"}, {Name: "bob", Secret: "fedcba:9876543210", Workspaces: []string{"shop", "ads"}},
		{Name: "token", Secret: "alone-0123456789"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for text, says := range map[string]string{
		"ada:short": "line 1: expected a secret",
		"ada:0123456789abcdef\nbob:0123456789abcdef shop": "line 2: after the secret",
		"ada:0123456789abcdef workspaces=":                "line 1: after the secret",
		"ada:0123456789abcdef workspaces=a,,b":            "line 1: after the secret",
		"ada:0123456789abcdef workspaces=a workspaces=b":  "line 1: after the secret",
		"# nobody": "holds no token",
	} {
		if got, err := read(text); fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}
