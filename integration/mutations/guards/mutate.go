// Package guards takes one guard at a time out of Backfleet and wants the test that is there for it to fail, by the rule
// that is then broken. table.go has the guards.
package guards

import (
	"cmp"
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mutation is a guard, and what shows that it is needed.
type mutation struct {
	name   string
	breaks string // what is so without it
	edits  []edit
	found  test
}

// edit takes the guard out: old must stand exactly once in the file, and becomes fresh. MUTANT in it is a condition that
// holds when this mutation is switched on: all mutations are built at once and run one by one.
type edit struct{ file, old, fresh string }

// test is what must fail: the binary of a package's tests with some arguments, and what it says then, one of several.
type test struct {
	pkg  string
	args []string
	says []string
}

// switches is the file that every package with a mutation gets. The variable names the one that is switched on.
const (
	variable = "BACKFLEET_MUTANT"
	switches = "package %s\n\nimport \"os\"\n\nvar mutant = os.Getenv(%q)\n"
)

// overlay writes the mutated files into a folder, and for `go build -overlay` which ones they stand for. A mutation that
// does not fit the source any more is an error: the table must not rot.
func overlay(root, dir string, all []mutation) (file string, err error) {
	replace := map[string]string{}
	for _, source := range filesOf(all) {
		text, err := mutated(filepath.Join(root, source), source, all)
		if err != nil {
			return "", err
		}
		to := filepath.Join(dir, strings.ReplaceAll(source, "/", "_"))
		if err := os.WriteFile(to, []byte(text), 0o644); err != nil {
			return "", err
		}
		replace[filepath.Join(root, source)] = to
		parsed, err := parser.ParseFile(token.NewFileSet(), source, text, parser.SkipObjectResolution)
		if err != nil {
			return "", fmt.Errorf("the mutations of %s are no Go: %w", source, err)
		}
		folder := filepath.Dir(source)
		to = filepath.Join(dir, strings.ReplaceAll(folder, "/", "_")+"_mutant.go")
		if err := os.WriteFile(to, fmt.Appendf(nil, switches, parsed.Name.Name, variable), 0o644); err != nil {
			return "", err
		}
		replace[filepath.Join(root, folder, "mutant.go")] = to
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	file = filepath.Join(dir, "overlay.json")
	return file, os.WriteFile(file, b, 0o644)
}

func filesOf(all []mutation) (out []string) {
	for _, m := range all {
		for _, e := range m.edits {
			out = append(out, e.file)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// mutated is a file with all its mutations, each off until it is named.
func mutated(path, source string, all []mutation) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	type change struct {
		at   int
		old  string
		to   string
		name string
	}
	text := string(b)
	var changes []change
	for _, m := range all {
		for _, e := range m.edits {
			if e.file != source {
				continue
			}
			if n := strings.Count(text, e.old); n != 1 {
				return "", fmt.Errorf("mutation %q: expected its text once in %s, and it stands there %d times; mend the table:\n%s", m.name, source, n, e.old)
			}
			on := fmt.Sprintf("(mutant == %q)", m.name)
			changes = append(changes, change{strings.Index(text, e.old), e.old, strings.ReplaceAll(e.fresh, "MUTANT", on), m.name})
		}
	}
	slices.SortFunc(changes, func(a, b change) int { return cmp.Compare(b.at, a.at) })
	for i, c := range changes {
		if i > 0 && c.at+len(c.old) > changes[i-1].at {
			return "", fmt.Errorf("mutations %q and %q change the same text of %s: make one of them smaller", c.name, changes[i-1].name, source)
		}
		text = text[:c.at] + c.to + text[c.at+len(c.old):]
	}
	return text, nil
}
