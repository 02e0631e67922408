package pages

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"backfleet/api/cli"
	"backfleet/ops/backfleet/command"
)

// TestTheReferenceIsNew: it is what the commands say.
func TestTheReferenceIsNew(t *testing.T) {
	there, err := os.ReadFile("../../../api/cli/REFERENCE.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(there) != cli.Reference(command.Root()) {
		t.Error("api/cli/REFERENCE.md is not what the commands say: run `make docs` and commit it")
	}
}

func TestEveryCommandHasAManPage(t *testing.T) {
	folder := t.TempDir()
	if err := run("", folder); err != nil {
		t.Fatal(err)
	}
	visit(command.Root(), func(c *cobra.Command) {
		page, err := os.ReadFile(filepath.Join(folder, strings.ReplaceAll(c.CommandPath(), " ", "-")+".1"))
		if err != nil || !strings.Contains(string(page), ".SH SYNOPSIS") {
			t.Errorf("%s: %v", c.CommandPath(), err)
		}
	})
}

func visit(c *cobra.Command, f func(*cobra.Command)) {
	f(c)
	for _, below := range c.Commands() {
		if below.IsAvailableCommand() {
			visit(below, f)
		}
	}
}

// TestExamplesCanBeRun as far as the command line goes: commands and flags are
// there, with as many arguments as are wanted.
func TestExamplesCanBeRun(t *testing.T) {
	checked := 0
	visit(command.Root(), func(c *cobra.Command) {
		for line := range strings.Lines(strings.ReplaceAll(c.Example, "\\\n", " ")) {
			for _, words := range simpleCommands(strings.TrimSpace(line)) {
				if len(words) == 0 || words[0] != "backfleet" {
					continue
				}
				checked++
				if err := parses(words[1:]); err != nil {
					t.Errorf("%s: example %q: %v", c.CommandPath(), strings.TrimSpace(line), err)
				}
			}
		}
	})
	if checked < 100 {
		t.Errorf("%d examples were found: expected more", checked)
	}
}

func parses(words []string) error {
	root := command.Root()
	c, rest, err := root.Find(words)
	if err != nil {
		return err
	}
	if err := c.ParseFlags(rest); err != nil {
		return err
	}
	if c.HasSubCommands() && c.Args == nil {
		return c.RunE(c, c.Flags().Args())
	}
	return c.ValidateArgs(c.Flags().Args())
}

// simpleCommands takes a line of a shell apart: commands between | && and ;,
// words between blanks, without redirections and comments.
func simpleCommands(line string) [][]string {
	var all [][]string
	var words []string
	var word strings.Builder
	inWord, redirected := false, false
	end := func() {
		if inWord && !redirected {
			words = append(words, word.String())
		}
		if inWord {
			redirected = false
		}
		word.Reset()
		inWord = false
	}
	var quote rune
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, inWord = r, true
		case r == ' ':
			end()
		case r == '#' && !inWord:
			return append(all, words)
		case strings.ContainsRune("|;&()", r):
			end()
			all, words = append(all, words), nil
		case r == '>' || r == '<':
			end()
			redirected = true
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	end()
	return append(all, words)
}

func TestSimpleCommands(t *testing.T) {
	got := simpleCommands(`a 'b c' --d="e f" | g - > out # words`)
	want := [][]string{{"a", "b c", "--d=e f"}, {"g", "-"}}
	if len(got) != len(want) || strings.Join(got[0], "/") != strings.Join(want[0], "/") || strings.Join(got[1], "/") != strings.Join(want[1], "/") {
		t.Errorf("%q", got)
	}
}
