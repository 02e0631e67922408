package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	agent "backfleet/agent/command"
	"backfleet/ops/backfleet/command"
)

const folder = "../../ops/deploy"

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// programs are the two binaries by the names that they are installed under.
func programs() map[string]*cobra.Command {
	slim := agent.Agent("test", nil)
	slim.Use = "backfleet-agent"
	all := map[string]*cobra.Command{"backfleet": command.Root(), "backfleet-agent": slim}
	for _, root := range all {
		root.InitDefaultVersionFlag()
		root.InitDefaultHelpCmd()
		root.InitDefaultCompletionCmd()
	}
	return all
}

// exists holds a command line to the program: the command is there, and each of
// its flags.
func exists(t *testing.T, where string, words []string) {
	t.Helper()
	root := programs()[filepath.Base(words[0])]
	c, _, err := root.Find(words[1:])
	if err != nil {
		t.Errorf("%s: %s: %v", where, strings.Join(words, " "), err)
		return
	}
	c.InitDefaultHelpFlag()
	if c.HasAvailableSubCommands() && c.Name() != "agent" && c.Name() != "backfleet-agent" {
		t.Errorf("%s: %s: names a group of commands and none of them", where, strings.Join(words, " "))
	}
	for _, word := range words[1:] {
		name, long := strings.CutPrefix(word, "--")
		name, _, _ = strings.Cut(name, "=")
		switch {
		case long && name != "" && c.Flags().Lookup(name) == nil && c.InheritedFlags().Lookup(name) == nil:
			t.Errorf("%s: %s: %s has no flag --%s", where, strings.Join(words, " "), c.CommandPath(), name)
		case !long && len(word) > 1 && word[0] == '-' && short(c, word[1:2]) == nil:
			t.Errorf("%s: %s: %s has no flag %s", where, strings.Join(words, " "), c.CommandPath(), word)
		}
	}
}

func short(c *cobra.Command, letter string) *pflag.Flag {
	if f := c.Flags().ShorthandLookup(letter); f != nil {
		return f
	}
	return c.InheritedFlags().ShorthandLookup(letter)
}

var (
	quoted = regexp.MustCompile(`'[^']*'|"[^"]*"`)
	single = regexp.MustCompile(`'[^']*'`)
	joints = regexp.MustCompile(`[;|&()<>]|\$\(|\b(do|then)\b`)
	before = regexp.MustCompile(`^(sudo |runuser .* -- )`)
)

// invocations finds the programs' command lines in shell code.
func invocations(code string) (lines [][]string) {
	for line := range strings.Lines(strings.ReplaceAll(code, "\\\n", " ")) {
		line, _, _ = strings.Cut(" "+line, " #")
		for _, part := range joints.Split(single.ReplaceAllString(line, "X"), -1) {
			words := strings.Fields(before.ReplaceAllString(strings.TrimSpace(part), ""))
			if len(words) > 0 && slices.Contains([]string{"backfleet", "backfleet-agent"}, words[0]) {
				lines = append(lines, words)
			}
		}
	}
	return lines
}

// blocks gives the shell code of a page.
func blocks(page string) (code []string) {
	for _, part := range strings.Split(page, "\n```sh\n")[1:] {
		text, _, _ := strings.Cut(part, "\n```")
		code = append(code, text)
	}
	return code
}

func TestInstallPage(t *testing.T) {
	page := read(t, "INSTALL.md")
	found := 0
	for _, code := range blocks(page) {
		if !strings.HasPrefix(code, "# ") {
			t.Errorf("INSTALL.md: a block does not say where it is typed:\n%s", code)
		}
		for _, words := range invocations(code) {
			found++
			exists(t, "INSTALL.md", words)
		}
	}
	if found < 25 {
		t.Errorf("INSTALL.md has %d commands of ours: expected at least 25", found)
	}
	for _, code := range regexp.MustCompile("`(backfleet(?:-agent)? [a-z][^`]*)`").FindAllStringSubmatch(page, -1) {
		exists(t, "INSTALL.md", strings.Fields(code[1]))
	}
}

// Headings are linked to by what GitHub makes of them.
func TestInstallPageLinks(t *testing.T) {
	page := read(t, "INSTALL.md")
	headings := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(page, -1) {
		headings[strings.ReplaceAll(regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
	}
	links := regexp.MustCompile(`\]\(#([^)]+)\)`).FindAllStringSubmatch(page, -1)
	for _, m := range links {
		if !headings[m[1]] {
			t.Errorf("INSTALL.md links to #%s, which is no heading of it", m[1])
		}
	}
	if len(links) == 0 {
		t.Error("INSTALL.md has no links to its own sections")
	}
}

// Metrics that operators are told to watch are those that there are.
func TestInstallPageFigures(t *testing.T) {
	design, err := os.ReadFile("../../coordinator/server/DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	figures := regexp.MustCompile("`(backfleet_[a-z_]+)").FindAllStringSubmatch(read(t, "INSTALL.md"), -1)
	for _, m := range figures {
		if !strings.Contains(string(design), "`"+m[1]) {
			t.Errorf("INSTALL.md names the figure %s, which coordinator/server/DESIGN.md does not", m[1])
		}
	}
	if len(figures) < 5 {
		t.Errorf("INSTALL.md names %d figures: expected at least 5", len(figures))
	}
}

var start = regexp.MustCompile(`(?m)^ExecStart=(.*)$`)

func TestUnits(t *testing.T) {
	for _, name := range []string{"systemd/backfleet-coordinator.service", "systemd/backfleet-agent.service"} {
		unit := read(t, name)
		m := start.FindStringSubmatch(unit)
		if m == nil {
			t.Fatalf("%s starts nothing", name)
		}
		exists(t, name, strings.Fields(strings.ReplaceAll(m[1], "$COORDINATOR_FLAGS", "")))
	}
	// Each way of starting a coordinator that the example shows.
	ways := 0
	text := strings.ReplaceAll(read(t, "config/coordinator.env"), "\n#  --", "\n  --")
	for _, m := range regexp.MustCompile(`COORDINATOR_FLAGS="([^"]*)"`).FindAllStringSubmatch(text, -1) {
		ways++
		exists(t, "config/coordinator.env", append([]string{"backfleet", "coordinator"}, strings.Fields(strings.ReplaceAll(m[1], "\\\n", " "))...))
	}
	if ways != 2 {
		t.Errorf("config/coordinator.env shows %d ways to start a coordinator: expected 2", ways)
	}
	_, further, _ := strings.Cut(text, "# Further flags")
	for _, m := range regexp.MustCompile(`--[a-z-]+`).FindAllString(further, -1) {
		exists(t, "config/coordinator.env", []string{"backfleet", "coordinator", m})
	}
}

func TestContainerfile(t *testing.T) {
	text := read(t, "container/Containerfile")
	images := 0
	for _, stage := range strings.Split(text, "\nFROM ")[2:] {
		images++
		words := list(t, stage, "ENTRYPOINT")
		if i := slices.Index(words, "--"); i >= 0 {
			words = words[i+1:]
		}
		exists(t, "Containerfile", append(words, list(t, stage, "CMD")...))
		exists(t, "Containerfile", list(t, stage, "HEALTHCHECK"))
	}
	if images != 2 {
		t.Errorf("the Containerfile makes %d images: expected 2", images)
	}
}

// list gives the words of an instruction in the form of a list.
func list(t *testing.T, stage, instruction string) (words []string) {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + instruction + `\b.*(\[.*\])$`).FindStringSubmatch(stage)
	if m == nil {
		t.Fatalf("the Containerfile has no %s in the form of a list in %q", instruction, strings.SplitN(stage, "\n", 2)[0])
	}
	for _, q := range quoted.FindAllString(m[1], -1) {
		words = append(words, strings.Trim(q, `"`))
	}
	return words
}
