// Package licence writes the licences of everything that the named programs
// link: each module with its version, what it is under and the texts. It ends
// with 1 where a licence is not one of those that this project accepts, or there
// is none.
//
//	go run ./ops/notices [-o FILE] [-page FILE] PACKAGE…
package licence

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	classifier "github.com/google/licenseclassifier/v2"
	"github.com/google/licenseclassifier/v2/assets"
)

// accepted are the licences that let a program be given away with what is under
// them, without its own sources.
var accepted = []string{"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "ISC", "MIT", "MPL-2.0", "Unlicense", "Zlib"}

// Main runs the command with its arguments, and gives its exit status.
func Main(args []string) int {
	f := flag.NewFlagSet("notices", flag.ContinueOnError)
	out := f.String("o", "", "file to write; none: only check")
	page := f.String("page", "", "what a page was bundled of, as Vite's build.license lists it")
	if f.Parse(args) != nil {
		return 2
	}
	if err := run(*out, *page, f.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "notices:", err)
		return 1
	}
	return 0
}

func run(out, page string, programs []string) error {
	modules, err := linked(programs)
	if err != nil {
		return err
	}
	if page != "" {
		packages, err := bundled(page)
		if err != nil {
			return err
		}
		modules = append(modules, packages...)
	}
	c, err := assets.DefaultClassifier()
	if err != nil {
		return fmt.Errorf("the known licences cannot be read: %w", err)
	}
	if err := classify(modules, func(text []byte) []string { return licences(c, text) }); err != nil {
		return err
	}
	fmt.Fprintf(os.Stdout, "%d modules and packages are linked, all under accepted licences\n", len(modules))
	if out == "" {
		return nil
	}
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	return errors.Join(write(f, modules), f.Close())
}

// notice is one file of a module that speaks of rights.
type notice struct {
	name     string // within the module
	text     []byte
	licences []string // none: it adds to a licence
}

// isNotice are names of such files.
var isNotice = regexp.MustCompile(`(?i)^(un)?(li[cs]en[cs]e|copying|notice|patents)`)

// read gives the notices from the folder of a package up to its module's.
func read(module, folder string) (found []notice, err error) {
	for {
		entries, err := os.ReadDir(folder)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if !e.Type().IsRegular() || !isNotice.MatchString(e.Name()) || filepath.Ext(e.Name()) == ".go" {
				continue
			}
			text, err := os.ReadFile(filepath.Join(folder, e.Name()))
			if err != nil {
				return nil, err
			}
			name, err := filepath.Rel(module, filepath.Join(folder, e.Name()))
			if err != nil {
				return nil, err
			}
			found = append(found, notice{name: name, text: text})
		}
		if folder == module || len(folder) <= len(module) {
			return found, nil
		}
		folder = filepath.Dir(folder)
	}
}

// classify finds what each notice is, and names every module that may not be
// linked.
func classify(modules []*module, licences func([]byte) []string) error {
	known := map[[32]byte][]string{} // many modules have the same text
	var errs []error
	check := func(m *module, file, l string) {
		if !slices.Contains(accepted, l) {
			errs = append(errs, fmt.Errorf("module %s: %s is under %s: expected one of %s", m.path, file, l, strings.Join(accepted, ", ")))
		}
	}
	for _, m := range modules {
		if m.said != "" {
			check(m, "what it says of itself", m.said)
		}
		for i := range m.notices {
			n := &m.notices[i]
			sum := sha256.Sum256(n.text)
			if _, ok := known[sum]; !ok {
				known[sum] = licences(n.text)
			}
			n.licences = known[sum]
			for _, l := range n.licences {
				check(m, n.name, l)
			}
		}
		if len(m.licences()) == 0 {
			errs = append(errs, fmt.Errorf("module %s: no file says its licence: leave it out, or ask its authors", m.path))
		}
	}
	return errors.Join(errs...)
}

// licences names the licences whose whole text is in a file.
func licences(c *classifier.Classifier, text []byte) (names []string) {
	for _, m := range c.Match(text).Matches {
		if m.MatchType == "License" {
			names = append(names, m.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// write lists the modules, then each text once.
func write(to io.Writer, modules []*module) error {
	w := bufio.NewWriter(to)
	fmt.Fprint(w, "The Backfleet programs contain the following software, each under its own licence. Its sources are those of the\nGo module, or of the npm package, of that name and version.\n\n")
	for _, m := range modules {
		fmt.Fprintf(w, "%s %s: %s\n", m.path, m.version, strings.Join(m.licences(), ", "))
	}
	said := map[[32]byte]bool{}
	for _, m := range modules {
		for _, n := range m.notices {
			sum := sha256.Sum256(n.text)
			if said[sum] {
				continue
			}
			said[sum] = true
			fmt.Fprintf(w, "\n%s\n%s %s, and others with the same text\n\n%s\n", strings.Repeat("=", 100), m.path, n.name, n.text)
		}
	}
	return w.Flush()
}
