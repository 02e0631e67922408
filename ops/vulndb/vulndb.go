// Package vulndb makes the project's own copy of Go's vulnerability database, for machines
// that cannot ask for it.
package vulndb

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Main makes the project's copy of the folder that it is given, which cmd/indexdb of
// github.com/golang/vulndb has written; it runs where go.sum is. It gives the exit status.
func Main(args []string, out, errs io.Writer) int {
	if len(args) != 1 {
		fmt.Fprintln(errs, "expected one folder, which indexdb has written")
		return 2
	}
	reports, err := Keep(args[0], "go.sum", "ops/vulndb/copy")
	if err != nil {
		fmt.Fprintln(errs, err)
		return 1
	}
	fmt.Fprintf(out, "%d reports are kept\n", reports)
	return 0
}

// module is an entry of the index.
type module struct {
	Path  string `json:"path"`
	Vulns []struct {
		ID       string `json:"id"`
		Modified string `json:"modified"`
		Fixed    string `json:"fixed,omitempty"`
	} `json:"vulns"`
}

// Keep copies the reports of a database's folder that are of modules in the file sum, and
// of Go itself, to a folder, in place of what was there. It gives how many they are.
func Keep(from, sum, to string) (reports int, err error) {
	used, err := modules(sum)
	if err != nil {
		return 0, err
	}
	text, err := os.ReadFile(filepath.Join(from, "index", "modules.json"))
	if err != nil {
		return 0, err
	}
	var all, kept []module
	if err := json.Unmarshal(text, &all); err != nil {
		return 0, err
	}
	ids := map[string]bool{}
	for _, m := range all {
		if !used[m.Path] {
			continue
		}
		kept = append(kept, m)
		for _, v := range m.Vulns {
			ids[v.ID] = true
		}
	}
	if err := os.RemoveAll(to); err != nil {
		return 0, err
	}
	for id := range ids {
		err = errors.Join(err, move(from, to, filepath.Join("ID", id+".json")))
	}
	index, wrong := json.MarshalIndent(kept, "", " ")
	return len(ids), errors.Join(err, wrong, move(from, to, filepath.Join("index", "db.json")), os.WriteFile(filepath.Join(to, "index", "modules.json"), index, 0o644))
}

// modules are those of go.sum, and Go's own.
func modules(sum string) (map[string]bool, error) {
	f, err := os.Open(sum)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	used := map[string]bool{"stdlib": true, "toolchain": true}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		path, _, _ := strings.Cut(lines.Text(), " ")
		used[path] = true
	}
	return used, nil
}

func move(from, into, name string) error {
	text, err := os.ReadFile(filepath.Join(from, name))
	if err != nil {
		return err
	}
	to := filepath.Join(into, name)
	return errors.Join(os.MkdirAll(filepath.Dir(to), fs.ModePerm), os.WriteFile(to, text, 0o644))
}
