package deps

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const (
	module = "backfleet/"

	raft   = "github.com/hashicorp/raft"
	badger = "github.com/dgraph-io/badger"
	gin    = "github.com/gin-gonic/gin"
	etcd   = "go.etcd.io/etcd"
	prom   = "github.com/prometheus"
	sqlite = "modernc.org/sqlite"
	pgx    = "github.com/jackc/pgx"
	mysql  = "github.com/go-sql-driver"
	lexer  = "github.com/DataDog/go-sqllexer"
	tables = "github.com/parquet-go"
	sql    = "database/sql"

	clock = "time" // the package; which of its functions are forbidden is the linter's matter
)

// pkg is what the go command says of a package.
type pkg struct {
	ImportPath  string
	Name        string
	Dir         string
	GoFiles     []string
	TestGoFiles []string
	Imports     []string
	Deps        []string // everything that it links, itself excluded
}

// short is the path within the module.
func (p pkg) short() string { return strings.TrimPrefix(p.ImportPath, module) }

var all = sync.OnceValues(func() ([]pkg, error) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Name,Dir,GoFiles,TestGoFiles,Imports,Deps", module+"...").Output()
	if err != nil {
		return nil, err
	}
	var list []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		switch err := d.Decode(&p); {
		case errors.Is(err, io.EOF):
			return list, nil
		case err != nil:
			return nil, err
		}
		list = append(list, p)
	}
})

func packages(t *testing.T) []pkg {
	t.Helper()
	list, err := all()
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 20 {
		t.Fatalf("the module has only %d packages: expected all of them", len(list))
	}
	return list
}

// under says whether a package is at a path or below it.
func under(p, root string) bool { return p == root || strings.HasPrefix(p, root+"/") }

// rule forbids packages what may not be among their imports.
type rule struct {
	of     string   // a folder of this module; everything below it is meant too
	not    []string // forbidden import paths, and everything below them
	except []string // of those, what is allowed all the same
	direct bool     // only what it imports itself, not what comes along
	why    string
}

const ours = "backfleet"

// server is what runs on a server; libraries and clients stand without it.
var server = []string{"backfleet/coordinator", "backfleet/agent", "backfleet/api/server", raft, badger, gin}

var rules = []rule{
	{of: "pkg", not: []string{"backfleet/coordinator", "backfleet/agent", "backfleet/api", "backfleet/ops", "backfleet/integration", raft, badger, gin},
		why: "libraries stand alone"},
	{of: "pkg/fault", not: []string{ours}, why: "every layer imports it"},
	{of: "pkg/calendar", not: []string{ours}, except: []string{"backfleet/pkg/fault"}, why: "dates are below everything"},
	{of: "pkg/params", not: []string{ours}, except: []string{"backfleet/pkg/fault", "backfleet/pkg/calendar"}, why: "a language of its own"},
	{of: "pkg/wire", not: []string{ours}, except: []string{"backfleet/pkg"}, why: "the wire knows nobody"},
	{of: "pkg/node", not: server, why: "the command line reads nodes too"},
	{of: "pkg/plan", not: server, why: "a plan is arithmetic"},
	{of: "coordinator/state", not: []string{raft, badger, gin, "os", "log", "log/slog", "math/rand", "math/rand/v2", "crypto/rand", "net"}, direct: true,
		why: "the facts are a pure function of the log"},
	{of: "coordinator/state", not: []string{raft, badger, gin, "backfleet/agent", "backfleet/api"}, why: "the facts know no engine"},
	{of: "coordinator/schedule", not: []string{raft, badger, gin, "backfleet/agent", "backfleet/api"}, why: "decisions know no engine"},
	{of: "coordinator/schedule", not: []string{clock, "os", "log", "log/slog", "math/rand", "math/rand/v2", "net", "sync"}, direct: true,
		why: "the same decisions everywhere: the moment is given"},
	{of: "coordinator/state", not: []string{clock, "sync"}, direct: true, why: "no clock and no goroutines in the facts"},
	{of: "coordinator/raftnode", not: []string{gin, "backfleet/coordinator/schedule", "backfleet/coordinator/state"}, why: "the log does not know what it carries"},
	{of: "coordinator/dispatch", not: []string{raft, badger, gin}, direct: true, why: "it takes a log, not Raft"},
	{of: "coordinator/dispatch", not: []string{badger, gin, "backfleet/api", "backfleet/agent"}, why: "it takes a log, not the engine"},
	{of: "coordinator/cycle", not: []string{raft, gin}, direct: true, why: "it submits like anyone"},
	{of: "coordinator/logstore", not: []string{raft, gin}, why: "logs are replicated without Raft"},
	{of: "coordinator", not: []string{"backfleet/agent", "backfleet/ops", "backfleet/integration"}, why: "a coordinator is no agent"},
	{of: "agent", not: []string{"backfleet/coordinator", "backfleet/api", "backfleet/ops", "backfleet/integration", raft, badger, gin},
		why: "an agent's host has no use for it"},
	{of: "api", not: []string{"backfleet/coordinator", "backfleet/agent", "backfleet/ops", "backfleet/integration", raft, badger},
		why: "the server takes a Backend"},
	{of: "api/client", not: []string{gin, "backfleet/api/server"}, why: "others embed the client"},
	{of: "api/cli", not: []string{gin, "backfleet/api/server"}, why: "the command line is a client"},
}

func TestImportRules(t *testing.T) {
	for _, r := range rules {
		for _, p := range packages(t) {
			if !under(p.short(), r.of) {
				continue
			}
			imports := p.Deps
			if r.direct {
				imports = p.Imports
			}
			for _, i := range imports {
				if r.forbids(p, i) {
					t.Errorf("%s imports %s%s, which %s may not: %s", p.short(), i, r.by(t, p, i), r.of, r.why)
				}
			}
		}
	}
}

func (r rule) forbids(p pkg, imported string) bool {
	is := func(root string) bool {
		if root == "net" || root == "log" { // log/slog and net/netip are other matters
			return imported == root
		}
		return under(imported, root)
	}
	return slices.ContainsFunc(r.not, is) && !slices.ContainsFunc(r.except, is) && !under(imported, module+r.of)
}

// by names the import that brings along a forbidden one.
func (r rule) by(t *testing.T, p pkg, imported string) string {
	if slices.Contains(p.Imports, imported) {
		return ""
	}
	for _, other := range packages(t) {
		if slices.Contains(p.Imports, other.ImportPath) && slices.Contains(other.Deps, imported) {
			return " through " + other.short()
		}
	}
	return ""
}

// databases are what only the program for tasks links.
var databases = []string{sql, sqlite, pgx, mysql, lexer, tables}

// TestTasksAreAPlaceOfTheirOwn: of the agent only the program that it starts for
// tasks knows databases; what both share is small.
func TestTasksAreAPlaceOfTheirOwn(t *testing.T) {
	shared := []string{"agent/task/metrics", "agent/task/secret", "agent/task/taskfile"}
	for _, p := range packages(t) {
		task := under(p.short(), "agent/task")
		if task && !slices.Contains(shared, p.short()) || !under(p.short(), "agent") {
			continue
		}
		for _, d := range p.Deps {
			other, inside := strings.CutPrefix(d, module)
			switch {
			case slices.ContainsFunc(databases, func(engine string) bool { return under(d, engine) }):
				t.Errorf("%s links %s: only tasks may", p.short(), d)
			case inside && under(other, "agent/task") && !slices.Contains(shared, other):
				t.Errorf("%s links %s: that is for the program that is started for tasks", p.short(), d)
			}
		}
	}
}

// TestOneOwner: an engine has one package that knows it.
func TestOneOwner(t *testing.T) {
	for engine, owner := range map[string]string{
		raft:                                "coordinator/raftnode",
		"github.com/hashicorp/raft-wal":     "coordinator/raftnode",
		badger:                              "coordinator/logstore",
		gin:                                 "api/server",
		etcd:                                "pkg/presence/etcd",
		sqlite:                              "agent/task/database",
		pgx:                                 "agent/task/database",
		mysql:                               "agent/task/database",
		lexer:                               "agent/task/statement",
		tables:                              "agent/task/transfer",
		"github.com/schollz/progressbar/v3": "api/cli",
	} {
		for _, p := range packages(t) {
			owns := under(p.short(), owner) || under(p.short(), "integration") || under(p.short(), "ops/bench") || under(p.short(), "ops/examples")
			for _, i := range p.Imports {
				if under(i, engine) && !owns {
					t.Errorf("%s imports %s: only %s may", p.short(), i, owner)
				}
			}
		}
	}
}

// TestSlimAgent: the binary of worker hosts links no engine of the coordinators,
// and no database.
func TestSlimAgent(t *testing.T) {
	found := false
	for _, p := range packages(t) {
		if p.short() != "agent" {
			continue
		}
		found = true
		for _, d := range p.Deps {
			for _, engine := range append([]string{raft, badger, gin, etcd, prom}, databases...) {
				if under(d, engine) {
					t.Errorf("the agent links %s: it has no use for it", d)
				}
			}
		}
	}
	if !found {
		t.Error("there is no package agent")
	}
}

func TestPackageNames(t *testing.T) {
	banned := []string{"util", "utils", "common", "helper", "helpers", "model", "models", "types", "base", "misc", "shared", "lib"}
	for _, p := range packages(t) {
		for _, name := range []string{p.Name, path.Base(p.ImportPath)} {
			if slices.Contains(banned, name) {
				t.Errorf("%s: %q says nothing of what it is: name it by what it does", p.short(), name)
			}
		}
	}
}

func TestRooms(t *testing.T) {
	rooms := []string{"coordinator", "agent", "api", "pkg", "ops", "integration"}
	for _, p := range packages(t) {
		if room, _, _ := strings.Cut(p.short(), "/"); !slices.Contains(rooms, room) {
			t.Errorf("%s: the top-level folders are %s", p.short(), strings.Join(rooms, ", "))
		}
	}
}

// root is the module's folder.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
