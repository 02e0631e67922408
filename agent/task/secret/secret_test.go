package secret_test

import (
	"fmt"
	"strings"
	"testing"

	"backfleet/agent/task/secret"
	"backfleet/pkg/fault"
)

func TestNamesAndValues(t *testing.T) {
	values := map[string]string{"A": "one", "B_2": "{secret:A}", "EMPTY": ""}
	lookup := func(name string) (string, bool) { v, ok := values[name]; return v, ok }
	for text, want := range map[string]struct {
		names []string
		text  string // empty: refused
	}{
		"plain":                    {nil, "plain"},
		"Bearer {secret:A}":        {[]string{"A"}, "Bearer one"},
		"{secret:A}{secret:A}":     {[]string{"A"}, "oneone"},
		"{secret:B_2}":             {[]string{"B_2"}, "{secret:A}"}, // values are not read again
		"{secret:a b} {secret: A}": {nil, "{secret:a b} {secret: A}"},
		"{secret:EMPTY}":           {[]string{"EMPTY"}, ""},
		"{secret:A}{secret:GONE}":  {[]string{"A", "GONE"}, ""},
	} {
		if names := secret.Names(text); fmt.Sprint(names) != fmt.Sprint(want.names) {
			t.Errorf("%q names %v, want %v", text, names, want.names)
		}
		got, err := secret.Expand(text, lookup)
		switch {
		case want.text == "" && (fault.CodeOf(err) != fault.NotFound || !strings.Contains(err.Error(), want.names[len(want.names)-1]) || strings.Contains(err.Error(), "one")):
			t.Errorf("%q: %v, want the variable's name and no value", text, err)
		case want.text != "" && (err != nil || got != want.text):
			t.Errorf("%q: %q (%v), want %q", text, got, err, want.text)
		}
	}
}
