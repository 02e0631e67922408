package obs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

// TestEachThingHasOneNameInLogs: DESIGN.md has the keys, and they are those that
// are used.
func TestEachThingHasOneNameInLogs(t *testing.T) {
	page, err := os.ReadFile("DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	unused := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*`) \\|").FindAllStringSubmatch(string(page), -1) {
		for _, k := range regexp.MustCompile("`([^`]*)`").FindAllStringSubmatch(row[1], -1) {
			unused[k[1]] = true
		}
	}
	listed := len(unused)
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && (name == "node_modules" || name == "testdata" || strings.HasPrefix(name, ".") && len(name) > 2):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		for _, l := range linesOf(t, path, nil) {
			for _, key := range l.keys {
				if _, known := unused[key]; !known {
					t.Errorf("%s: key %q is not in DESIGN.md: take the one that is there for this, or add it", l.at, key)
					continue
				}
				unused[key] = false
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for key, still := range unused {
		if still {
			t.Errorf("key %q of DESIGN.md is used nowhere", key)
		}
	}
	if listed < 20 {
		t.Errorf("DESIGN.md lists %d keys", listed)
	}
}

// TestKeysAreFound: the test above sees what is written in the ways that there are.
func TestKeysAreFound(t *testing.T) {
	const source = `package p
func f() {
	s.config.Logger.Warn("it is so", "one", 1, "two", err)
	log.With("three", id).Info("text", slog.Int("four", 4))
	logger.LogAttrs(ctx, level, "text", slog.String("five", x), slog.Any("six", y))
	s.Logger.ErrorContext(ctx, "text", "seven", 7)
	p.log.Debug(what+" works again", "eight", 8)
	err.Error()
	http.Error(w, "no key", 404)
	values.With("no key", 1)
}`
	var got []string
	for _, l := range linesOf(t, "p.go", source) {
		got = append(got, l.keys...)
	}
	slices.Sort(got)
	if want := "eight five four one seven six three two"; strings.Join(got, " ") != want {
		t.Errorf("found %q, expected %q", got, want)
	}
}

// line is a call that logs.
type line struct {
	at   string
	keys []string
}

// logger is what a logger is called, and attribute what makes a key and its value.
var (
	logger    = regexp.MustCompile(`^([lL]og|[lL]ogger)$`)
	attribute = regexp.MustCompile(`^(Any|Bool|Duration|Float64|Group|Int|Int64|String|Time|Uint64)$`)
)

// linesOf finds the calls of a file that log, or give a logger keys.
func linesOf(t *testing.T, path string, source any) (out []line) {
	t.Helper()
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, path, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		to, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		l := line{at: files.Position(call.Pos()).String()}
		switch name, first := to.Sel.Name, 1; {
		case isSlog(to.X) && attribute.MatchString(name):
			l.keys = keysIn(call.Args[:1])
		case !logs(to.X):
		case name == "With":
			l.keys = keysIn(call.Args)
		case name == "LogAttrs" || name == "Log":
		case strings.HasSuffix(name, "Context"):
			first = 2
			fallthrough
		case name == "Debug", name == "Info", name == "Warn", name == "Error":
			l.keys = keysIn(call.Args[min(first, len(call.Args)):])
		}
		if len(l.keys) > 0 {
			out = append(out, l)
		}
		return true
	})
	return out
}

// logs says whether an expression is a logger, by its name or that of what it was
// made of.
func logs(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.Ident:
		return logger.MatchString(x.Name)
	case *ast.SelectorExpr:
		return logger.MatchString(x.Sel.Name)
	case *ast.CallExpr:
		s, ok := x.Fun.(*ast.SelectorExpr)
		return ok && s.Sel.Name == "With" && logs(s.X)
	}
	return false
}

func isSlog(x ast.Expr) bool {
	id, ok := x.(*ast.Ident)
	return ok && id.Name == "slog"
}

// keysIn takes every second argument; attributes stand for themselves.
func keysIn(args []ast.Expr) (out []string) {
	for i := 0; i < len(args); i += 2 {
		switch a := args[i].(type) {
		case *ast.BasicLit:
			key, _ := strconv.Unquote(a.Value)
			out = append(out, key)
		case *ast.CallExpr:
			i-- // found by itself
		default:
			out = append(out, "(no literal)")
		}
	}
	return out
}
