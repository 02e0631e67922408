package dial

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestATokenIsReadAtEachCall(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	token := TokenFile(path)
	for _, text := range []string{"bfj_a_1\n", " bfj_b_2 "} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		head, err := token.GetRequestMetadata(t.Context())
		if want := "Bearer " + strings.TrimSpace(text); err != nil || head["authorization"] != want {
			t.Errorf("%v, %v, want %s", head, err, want)
		}
	}
	for _, text := range []string{"", "\n", "two words", "two\nlines"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if head, err := token.GetRequestMetadata(t.Context()); err == nil || !strings.Contains(err.Error(), path) || text != "\n" && strings.Contains(err.Error(), "two words") {
			t.Errorf("%q: %v, %v: want the file named, and not its text", text, head, err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := token.GetRequestMetadata(t.Context()); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("without the file: %v", err)
	}
}
