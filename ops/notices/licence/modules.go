package licence

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// module is one that is linked.
type module struct {
	path, version string
	notices       []notice
	said          string // the licence that its own description names, of a package of the page
}

// licences are those of all its notices.
func (m *module) licences() (names []string) {
	for _, n := range m.notices {
		names = append(names, n.licences...)
	}
	if m.said != "" {
		names = append(names, m.said)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// linked asks the go command what programs link, by path. The standard library
// is one of them.
func linked(programs []string) ([]*module, error) {
	type listed struct {
		Dir      string
		Standard bool
		Module   *struct {
			Path, Version, Dir string
			Main               bool
		}
	}
	list := exec.Command("go", append([]string{"list", "-deps", "-json=Dir,Standard,Module"}, programs...)...)
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	about, err := exec.Command("go", "env", "GOROOT", "GOVERSION").Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	root, version, _ := strings.Cut(strings.TrimSpace(string(about)), "\n")
	std := &module{path: "the Go standard library", version: version}
	if std.notices, err = read(root, root); err != nil {
		return nil, err
	}
	byPath := map[string]*module{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		switch err := d.Decode(&p); {
		case errors.Is(err, io.EOF):
			return sorted(std, byPath), nil
		case err != nil:
			return nil, err
		}
		if p.Standard || p.Module == nil || p.Module.Main {
			continue
		}
		m := byPath[p.Module.Path]
		if m == nil {
			m = &module{path: p.Module.Path, version: p.Module.Version}
			byPath[m.path] = m
		}
		found, err := read(filepath.Clean(p.Module.Dir), filepath.Clean(p.Dir))
		if err != nil {
			return nil, fmt.Errorf("module %s: %w", m.path, err)
		}
		for _, n := range found {
			if !slices.ContainsFunc(m.notices, func(had notice) bool { return had.name == n.name }) {
				m.notices = append(m.notices, n)
			}
		}
	}
}

func sorted(first *module, byPath map[string]*module) []*module {
	var all []*module
	for _, m := range byPath {
		slices.SortFunc(m.notices, func(a, b notice) int { return strings.Compare(a.name, b.name) })
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b *module) int { return strings.Compare(a.path, b.path) })
	return append([]*module{first}, all...)
}

// bundled reads what a page was made of. Some packages have no text of their
// licence with them; each names it.
func bundled(file string) (all []*module, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("what the page is made of: %w: run `make web`", err)
	}
	var packages []struct{ Name, Version, Identifier, Text string }
	if err := json.Unmarshal(data, &packages); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for _, p := range packages {
		m := &module{path: "npm " + p.Name, version: p.Version, said: p.Identifier}
		if p.Text != "" {
			m.notices = []notice{{name: "its licence", text: []byte(p.Text)}}
		}
		all = append(all, m)
	}
	return all, nil
}
