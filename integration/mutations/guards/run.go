package guards

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// patience is how long a test may look for one mutation.
const patience = 10 * time.Minute

// Run goes through the table, or through a part of it, and gives the exit code.
func Run(args []string, out io.Writer) (code int) {
	flags := flag.NewFlagSet("mutations", flag.ContinueOnError)
	only := flags.String("only", ".", "a regular expression: the names of the mutations to try")
	table := flags.String("o", "", "write the table of what was found to this file, as Markdown")
	if flags.Parse(args) != nil {
		return 2
	}
	match, err := regexp.Compile(*only)
	if err != nil {
		fmt.Fprintf(out, "-only: %v\n", err)
		return 2
	}
	var some []mutation
	for _, m := range guards {
		if match.MatchString(m.name) {
			some = append(some, m)
		}
	}
	found, err := try(".", some, out)
	if err != nil { // what was found before stays known
		fmt.Fprintln(out, err)
		code = 1
	}
	if *table != "" {
		before, err := os.ReadFile(*table)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			err = os.WriteFile(*table, []byte(page(found, string(before))), 0o644)
		}
		if err != nil {
			fmt.Fprintln(out, err)
			return 1
		}
	}
	missed := 0
	for _, f := range found {
		if f.line == "" {
			missed++
		}
	}
	fmt.Fprintf(out, "%d of %d mutations found\n", len(found)-missed, len(found))
	return max(code, min(missed, 1))
}

// finding is what became of a mutation.
type finding struct {
	mutation
	line string // what the test said; empty: it did not fail, or not so
	took time.Duration
}

// try builds the tests with all of some mutations in them, and switches these on one by one.
func try(root string, some []mutation, out io.Writer) ([]finding, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "mutations-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file, err := overlay(root, dir, some)
	if err != nil {
		return nil, err
	}
	some = slices.Clone(some)
	slices.SortStableFunc(some, func(a, b mutation) int { return cmp.Compare(a.found.pkg, b.found.pkg) })
	var all []finding
	binary, built := "", ""
	for _, m := range some {
		if t := m.found; t.pkg != built {
			built, binary = t.pkg, filepath.Join(dir, strings.ReplaceAll(t.pkg, "/", "_")+".test")
			fmt.Fprintf(out, "building the tests of %s\n", built)
			if text, err := command(root, "", cmp.Or(os.Getenv("GO"), "go"), "test", "-c", "-vet=off", "-overlay", file, "-o", binary, "./"+built); err != nil {
				return all, fmt.Errorf("the mutated tests of %s cannot be built: %w\n%s", built, err, text)
			}
			if text, err := command(filepath.Join(root, built), "", binary, append(slices.Clone(sound[built]), "-test.short")...); err != nil {
				return all, fmt.Errorf("the tests of %s fail while no mutation is switched on: %w\n%s", built, err, text)
			}
		}
		since := time.Now()
		text, failed := command(filepath.Join(root, m.found.pkg), m.name, binary, m.found.args...)
		f := finding{mutation: m, took: time.Since(since)}
		if failed != nil {
			f.line = m.found.line(text)
		}
		all = append(all, f)
		fmt.Fprintf(out, "%-34s %6.1fs  %s\n", m.name, f.took.Seconds(), cmp.Or(f.line, "NOT FOUND: "+tail(text, failed)))
	}
	return all, nil
}

// command runs a program in a folder, with a mutation switched on.
func command(dir, mutant, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	c.Dir, c.Env = dir, append(os.Environ(), variable+"="+mutant)
	b, err := c.CombinedOutput()
	return string(b), err
}

// line finds the line in which a test says what is to be found.
func (t test) line(output string) string {
	lines := bufio.NewScanner(strings.NewReader(output))
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		for _, s := range t.says {
			if at := lines.Text(); strings.Contains(at, s) {
				return clip(strings.TrimSpace(at))
			}
		}
	}
	return ""
}

func clip(s string) string {
	if r := []rune(s); len(r) > 150 {
		return string(r[:150]) + "…"
	}
	return s
}

// tail is the end of an output, for whoever is to mend the table.
func tail(text string, err error) string {
	if err == nil {
		return "the test passed"
	}
	b := bytes.TrimSpace([]byte(text))
	return fmt.Sprintf("%v: %s", err, b[max(0, len(b)-600):])
}

// page is what was found as a table. Of what was not tried now it keeps what was known before.
func page(all []finding, before string) string {
	var b strings.Builder
	b.WriteString("# Mutations\n\nMade by `make mutations`: each guard was taken out, one at a time, and the test named here was seen to fail as it says.\n\n" +
		"| guard | without it | test | what it said |\n|---|---|---|---|\n")
	for _, m := range guards {
		at := slices.IndexFunc(all, func(f finding) bool { return f.name == m.name })
		if at < 0 {
			for line := range strings.Lines(before) {
				if strings.HasPrefix(line, "| "+m.name+" |") {
					b.WriteString(line)
				}
			}
			continue
		}
		said := cmp.Or(pipes.Replace(all[at].line), "**not found**")
		fmt.Fprintf(&b, "| %s | %s | %s `%s` | %s |\n", m.name, m.breaks, m.found.pkg, m.found.args[0], said)
	}
	return b.String()
}

var pipes = strings.NewReplacer("|", "\\|", "<", "&lt;", "*", "\\*", "_", "\\_")
