package deps

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	fileMost     = 700
	functionMost = 100
	scriptMost   = 150 // a test's, which may tell a long story
	mainMost     = 15
)

// source is a Go file written by hand.
type source struct {
	path string // within the module
	file *ast.File
	set  *token.FileSet
	text []byte
}

func (s source) lines(n ast.Node) int {
	return s.set.Position(n.End()).Line - s.set.Position(n.Pos()).Line + 1
}

func (s source) test() bool { return strings.HasSuffix(s.path, "_test.go") }

var generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

func sources(t *testing.T) []source {
	t.Helper()
	var list []source
	top := root(t)
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != top && (strings.HasPrefix(d.Name(), ".") || slices.Contains([]string{"bin", "testdata", "node_modules"}, d.Name())):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".go":
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil || generated.Match(text) {
			return err
		}
		s := source{path: strings.TrimPrefix(path, top+"/"), set: token.NewFileSet(), text: text}
		if s.file, err = parser.ParseFile(s.set, path, text, parser.ParseComments); err != nil {
			return err
		}
		list = append(list, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 50 {
		t.Fatalf("only %d files were found: expected all of the module's", len(list))
	}
	return list
}

func TestSizes(t *testing.T) {
	for _, s := range sources(t) {
		most := functionMost
		if s.test() {
			most = scriptMost
		}
		if n := bytes.Count(s.text, []byte("\n")); n > fileMost {
			t.Errorf("%s has %d lines: what is it that it does twice? At most %d", s.path, n, fileMost)
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && s.lines(f) > most {
				t.Errorf("%s: %s has %d lines: which part has a name of its own? At most %d", s.path, f.Name.Name, s.lines(f), most)
			}
		}
	}
}

// TestMains: a main only says which package begins.
func TestMains(t *testing.T) {
	for _, s := range sources(t) {
		if n := bytes.Count(s.text, []byte("\n")); s.file.Name.Name == "main" && !s.test() && n > mainMost {
			t.Errorf("%s has %d lines: a main has at most %d; the rest belongs to a package that can be tested", s.path, n, mainMost)
		}
	}
}

// TestCoreIsSequential: facts and decisions are functions; what runs beside
// them is elsewhere.
func TestCoreIsSequential(t *testing.T) {
	core := []string{"pkg/calendar", "pkg/params", "pkg/node", "pkg/plan", "coordinator/state", "coordinator/schedule"}
	for _, s := range sources(t) {
		if s.test() || !slices.ContainsFunc(core, func(c string) bool { return under(filepath.Dir(s.path), c) }) {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt, *ast.SelectStmt, *ast.ChanType:
				t.Errorf("%s: no goroutines and channels in the core", s.set.Position(n.Pos()))
			case *ast.SelectorExpr:
				x, ok := n.X.(*ast.Ident)
				if ok && x.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Sleep", "Local"}, n.Sel.Name) {
					t.Errorf("%s: time.%s in the core: the moment and the zone are given", s.set.Position(n.Pos()), n.Sel.Name)
				}
			}
			return true
		})
	}
}

// TestNoSleeps: a test waits for what it needs, not for time to pass.
func TestNoSleeps(t *testing.T) {
	for _, s := range sources(t) {
		if !s.test() {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, ok := sel.X.(*ast.Ident)
			switch {
			case ok && x.Name == "time" && sel.Sel.Name == "Sleep" && !strings.Contains(string(s.text), `"testing/synctest"`):
				t.Errorf("%s: wait for the event, or in virtual time (testing/synctest)", s.set.Position(n.Pos()))
			case ok && (sel.Sel.Name == "Skip" || sel.Sel.Name == "Skipf" || sel.Sel.Name == "SkipNow") && (x.Name == "t" || x.Name == "b"):
				t.Errorf("%s: a test that is skipped proves nothing", s.set.Position(n.Pos()))
			}
			return true
		})
	}
}
