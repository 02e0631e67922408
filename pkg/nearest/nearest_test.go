package nearest

import (
	"strings"
	"testing"
)

func TestName(t *testing.T) {
	known := []string{"coordinators", "data", "groups", "tokenFile"}
	for wrong, want := range map[string]string{
		"coordinator": "coordinators", "dta": "data", "TOKENFILE": "tokenFile", "group": "groups", "labels": "", "": "", "x": "",
		strings.Repeat("data", 100): "",
	} {
		if got := Name(wrong, known); got != want {
			t.Errorf("%q: %q, want %q", wrong, got, want)
		}
	}
	if got := Hint("dat", known) + Hint("zzz", known); got != ` (did you mean "data"?)` {
		t.Errorf("hint %q", got)
	}
}
