package peers

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write PEERS.md")

// TestEachRowHasItsTest: the tests that the table names are there.
func TestEachRowHasItsTest(t *testing.T) {
	address := regexp.MustCompile(`^https://github\.com/[^/]+/[^/]+/(issues|pull)/\d+$`)
	there, seen := map[string]map[string]bool{}, map[string]bool{}
	for _, r := range Rows {
		pkg, name, _ := strings.Cut(r.Test, " ")
		if there[pkg] == nil {
			there[pkg] = testsOf(t, filepath.Join("../..", pkg))
		}
		if !there[pkg][name] {
			t.Errorf("%s: there is no test %s in %s", r.Address, name, pkg)
		}
		if !address.MatchString(r.Address) || seen[r.Address] || r.System == "" || r.Wrong == "" || r.Here == "" {
			t.Errorf("%q is no row, or there twice", r.Address)
		}
		seen[r.Address] = true
	}
}

func testsOf(t *testing.T, folder string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				out[f.Name.Name] = true
			}
		}
	}
	return out
}

// TestThePageIsOfTheTable: PEERS.md says what the table says.
func TestThePageIsOfTheTable(t *testing.T) {
	if *update {
		if err := os.WriteFile("PEERS.md", []byte(Page()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile("PEERS.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(b) != Page() {
		t.Error("PEERS.md is not what the table gives: run go test ./integration/peers -update")
	}
}
