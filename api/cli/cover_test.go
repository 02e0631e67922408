package cli_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"backfleet/api/cli"
)

// scripted are the command lines of all scripts, those that are to fail apart.
func scripted(t *testing.T) (good, bad []string) {
	t.Helper()
	for _, dir := range []string{"testdata/script", "../../integration/script/testdata"} {
		names, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
		if err != nil || len(names) == 0 {
			t.Fatalf("%s holds no script: %v", dir, err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(text)) {
				if strings.HasPrefix(line, "-- ") {
					break // the files
				}
				before, command, found := strings.Cut(line, "backfleet ")
				if !found || strings.Contains(before, "#") || strings.Contains(before, "stdout") || strings.Contains(before, "stderr") {
					continue
				}
				if strings.Contains(before, "!") || regexp.MustCompile(`exits [1-9]`).MatchString(before) {
					bad = append(bad, command)
				} else {
					good = append(good, command)
				}
			}
		}
	}
	return good, bad
}

// inGo are the commands that need more than a script has: a provider of logins.
// A test in that file runs them.
var inGo = map[string]string{"login": "login_test.go", "logout": "login_test.go"}

// TestEveryCommandIsInAScript: with good input and with bad.
func TestEveryCommandIsInAScript(t *testing.T) {
	good, bad := scripted(t)
	has := func(list []string, path string) bool {
		form := regexp.MustCompile(`^(-\S+ )*` + regexp.QuoteMeta(path) + `(\s|$)`)
		for _, line := range list {
			if form.MatchString(line) {
				return true
			}
		}
		return false
	}
	var visit func(*cobra.Command)
	visit = func(c *cobra.Command) {
		for _, below := range c.Commands() {
			visit(below)
		}
		if c.HasSubCommands() || !c.HasParent() {
			return
		}
		path := strings.TrimPrefix(c.CommandPath(), "backfleet ")
		if file := inGo[path]; file != "" {
			if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), strconv.Quote(path)) {
				t.Errorf("%s does not run `backfleet %s`: %v", file, path, err)
			}
			return
		}
		if !has(good, path) {
			t.Errorf("no script runs `backfleet %s`", path)
		}
		if !has(bad, path) {
			t.Errorf("no script runs `backfleet %s` with input that is refused", path)
		}
	}
	visit(cli.NewRoot(cli.Options{}))
}
