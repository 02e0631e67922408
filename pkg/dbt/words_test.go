package dbt

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"backfleet/pkg/node"
)

func TestIDsAreValidAndUnique(t *testing.T) {
	names := rapid.SliceOfDistinct(rapid.OneOf(rapid.String(), rapid.StringMatching(`model\.[aAbB]{1,3}\.[xX]{1,2}`), rapid.StringMatching(`[mM]{125,135}`)), func(s string) string { return s })
	rapid.Check(t, func(t *rapid.T) {
		unique := names.Draw(t, "unique")
		of := map[string]string{}
		given := ids(unique)
		for _, u := range unique {
			id := given[u]
			if !node.ValidID(id) {
				t.Fatalf("%q became %q", u, id)
			}
			if other, twice := of[id]; twice {
				t.Fatalf("%q and %q both became %q", u, other, id)
			}
			of[id] = u
		}
		slices.Reverse(unique)
		for u, id := range ids(unique) {
			if given[u] != id {
				t.Fatalf("%q became %q and, in another order, %q", u, given[u], id)
			}
		}
	})
}

func TestIDsOfOrdinaryNames(t *testing.T) {
	given := ids([]string{"model.shop.orders", "test.shop.not_null_a.5fb22c2710", "model.shop.Größe", "model.Shop.x", "model.shop.x"})
	for unique, want := range map[string]string{
		"model.shop.orders": "model.shop.orders", "test.shop.not_null_a.5fb22c2710": "test.shop.not_null_a.5fb22c2710", "model.shop.Größe": "model.shop.gr__e",
	} {
		if given[unique] != want {
			t.Errorf("%s became %s, want %s", unique, given[unique], want)
		}
	}
	for _, unique := range []string{"model.Shop.x", "model.shop.x"} { // the same in small letters: neither has the plain name
		if !strings.HasPrefix(given[unique], "model.shop.x-") {
			t.Errorf("%s became %s", unique, given[unique])
		}
	}
}

func TestAShellReadsOneWord(t *testing.T) {
	for _, s := range []string{"", "a", "/srv/dbt", "/srv/my dbt", "it's", `"$(touch x)"`, "a;b", "a\nb", "`x`", "~/x", "*", "é", "#x", "-x", `\`} {
		out, err := exec.Command("sh", "-c", "set -- "+quote(s)+`; printf '%s:%s' $# "$1"`).Output()
		if err != nil || string(out) != "1:"+s {
			t.Errorf("%q was read as %q (%v)", s, out, err)
		}
	}
}

// TestPlainWordsMeanThemselves to a shell, bare and in quotes, and to dbt.
func TestPlainWordsMeanThemselves(t *testing.T) {
	for _, s := range []string{"orders", "_x", "2020_orders", "a.v2", "größe", "a-b"} {
		out, err := exec.Command("sh", "-c", "set -- "+s+` "`+s+`" '`+s+`'; printf '%s,' "$@"`).Output()
		if err != nil || string(out) != strings.Repeat(s+",", 3) || !plainWord(s) {
			t.Errorf("%q was read as %q (%v), plain: %v", s, out, err, plainWord(s))
		}
	}
	for _, s := range []string{"", "-x", ".x", "a b", "a+", "@a", "a:b", "a,b", "a*", "a/b", "a'b", `a"b`, "a$b", "a`b", "a;b", "a\nb", "a{b", "a\\b", "a#b"} {
		if plainWord(s) {
			t.Errorf("%q passes for a plain word", s)
		}
	}
}
