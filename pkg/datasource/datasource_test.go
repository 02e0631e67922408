package datasource

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"google.golang.org/protobuf/proto"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

func postgres(change ...func(*wire.DataSource)) *wire.DataSource {
	s := &wire.DataSource{
		Name: "warehouse", Type: "postgres", Host: "db.example", Database: "shop", User: "etl",
		Password: &wire.Secret{Environment: "BACKFLEET_SECRET_WAREHOUSE"},
	}
	for _, c := range change {
		c(s)
	}
	return s
}

func sqlite(change ...func(*wire.DataSource)) *wire.DataSource {
	s := &wire.DataSource{Name: "local", Type: "sqlite", Database: "/srv/shop.db"}
	for _, c := range change {
		c(s)
	}
	return s
}

func TestDefaults(t *testing.T) {
	for _, c := range []struct {
		name string
		s    *wire.DataSource
		port int32
		kind string
		tls  string
	}{
		{"postgres", postgres(), 5432, "postgres", "verify"},
		{"mysql", postgres(func(s *wire.DataSource) { s.Type = "mysql" }), 3306, "mysql", "verify"},
		{"mariadb is mysql", postgres(func(s *wire.DataSource) { s.Type = "mariadb" }), 3306, "mysql", "verify"},
		{"what is given stays", postgres(func(s *wire.DataSource) { s.Port, s.Tls = 6432, "require" }), 6432, "postgres", "require"},
		{"loopback", postgres(func(s *wire.DataSource) { s.Host = "127.8.0.1" }), 5432, "postgres", "disable"},
		{"loopback, IPv6", postgres(func(s *wire.DataSource) { s.Host = "::1" }), 5432, "postgres", "disable"},
		{"localhost", postgres(func(s *wire.DataSource) { s.Host = "localhost" }), 5432, "postgres", "disable"},
		{"a socket", postgres(func(s *wire.DataSource) { s.Host = "/run/postgresql" }), 5432, "postgres", "disable"},
		{"a name that only begins like it", postgres(func(s *wire.DataSource) { s.Host = "localhost.example" }), 5432, "postgres", "verify"},
		{"a file", sqlite(), 0, "sqlite", ""},
	} {
		before := proto.CloneOf(c.s)
		got, err := Compile(c.s)
		if err != nil || got.Port != c.port || got.Type != c.kind || got.Tls != c.tls {
			t.Errorf("%s: %v, %v", c.name, got, err)
			continue
		}
		if !proto.Equal(c.s, before) {
			t.Errorf("%s: what was given became %v", c.name, c.s)
		}
		if again, err := Compile(got); err != nil || !proto.Equal(again, got) {
			t.Errorf("%s: compiled again it is %v, %v", c.name, again, err)
		}
	}
}

func TestWhatMeansTheSameIsTheSame(t *testing.T) {
	one := postgres(func(s *wire.DataSource) {
		s.Options = []*wire.Assignment{{Name: "work_mem", Value: "64MB"}, {Name: "lock_timeout", Value: "500"}}
		s.ResourceGroups = []string{"etl", "bi", "etl"}
	})
	other := postgres(func(s *wire.DataSource) {
		s.Options = []*wire.Assignment{{Name: "lock_timeout", Value: "500"}, {Name: "work_mem", Value: "64MB"}}
		s.ResourceGroups, s.Port, s.Tls = []string{"bi", "etl"}, 5432, "verify"
	})
	a, errA := Compile(one)
	b, errB := Compile(other)
	if errA != nil || errB != nil || !proto.Equal(a, b) {
		t.Errorf("%v %v\n%v %v", a, errA, b, errB)
	}
}

// hidden is a secret that somebody has put into the wrong place.
const hidden = "hunter2"

func TestEachFieldIsChecked(t *testing.T) {
	option := func(name, value string) func(*wire.DataSource) {
		return func(s *wire.DataSource) { s.Options = append(s.Options, &wire.Assignment{Name: name, Value: value}) }
	}
	for _, c := range []struct {
		s     *wire.DataSource
		field string
		says  string
	}{
		{nil, "name", "a-z"},
		{postgres(func(s *wire.DataSource) { s.Name = "Ware House" }), "name", "a-z"},
		{postgres(func(s *wire.DataSource) { s.Name = strings.Repeat("x", 129) }), "name", "128"},
		{postgres(func(s *wire.DataSource) { s.Type = "postgre" }), "type", `did you mean "postgres"`},
		{postgres(func(s *wire.DataSource) { s.Type = "oracle" }), "type", "postgres, mysql or sqlite"},
		{postgres(func(s *wire.DataSource) { s.Description = strings.Repeat("x", MaxDescription+1) }), "description", "4096"},
		{postgres(func(s *wire.DataSource) { s.Host = "" }), "host", "missing"},
		{postgres(func(s *wire.DataSource) { s.Host = "postgres://etl:" + hidden + "@db/shop" }), "host", "fields of their own"},
		{postgres(func(s *wire.DataSource) { s.Host = "db.example:5432" }), "host", "port"},
		{postgres(func(s *wire.DataSource) { s.Host = "/run/../etc" }), "host", "socket"},
		{postgres(func(s *wire.DataSource) { s.Port = 65536 }), "port", "65535"},
		{postgres(func(s *wire.DataSource) { s.Port = -1 }), "port", "65535"},
		{postgres(func(s *wire.DataSource) { s.Database = "" }), "database", "1 to 256"},
		{postgres(func(s *wire.DataSource) { s.User = "a\nb" }), "user", "who signs in"},
		{postgres(func(s *wire.DataSource) { s.Tls = "verfy" }), "tls", `did you mean "verify"`},
		{postgres(func(s *wire.DataSource) { s.Tls, s.Ca = "require", &wire.Secret{File: "ca.pem"} }), "ca", "verify"},
		{postgres(func(s *wire.DataSource) { s.Password = &wire.Secret{} }), "password", "either environment"},
		{postgres(func(s *wire.DataSource) { s.Password.File = "x" }), "password", "either environment"},
		{postgres(func(s *wire.DataSource) { s.Password.Environment = hidden }), "password.environment", SecretPrefix},
		{postgres(func(s *wire.DataSource) { s.Password.Environment = "BACKFLEET_SECRET_" }), "password.environment", SecretPrefix},
		{postgres(func(s *wire.DataSource) { s.Password.Environment = "PGPASSWORD" }), "password.environment", SecretPrefix},
		{postgres(func(s *wire.DataSource) { s.Password = &wire.Secret{File: "../" + hidden} }), "password.file", "no path"},
		{postgres(func(s *wire.DataSource) { s.Password = &wire.Secret{File: ".hidden"} }), "password.file", "no path"},
		{postgres(func(s *wire.DataSource) { s.Ca = &wire.Secret{File: "/etc/ca.pem"} }), "ca.file", "no path"},
		{postgres(func(s *wire.DataSource) { s.ResourceGroups = []string{"etl", ""} }), "resourceGroups[0]", "resource group"},
		{postgres(option("passfile", "/etc/passwd")), "options.passfile", "no such option"},
		{postgres(option("statement_timeoutt", "5")), "options.statement_timeoutt", `did you mean "statement_timeout"`},
		{postgres(option("statement_timeout", "5 minutes")), "options.statement_timeout", "milliseconds"},
		{postgres(option("password", hidden)), "options.password", "no option"},
		{postgres(option("lock_timeout", "5"), option("lock_timeout", "6")), "options.lock_timeout", "twice"},
		{postgres(func(s *wire.DataSource) { s.Type = "mysql" }, option("allowAllFiles", "true")), "options.allowAllFiles", "no such option"},
		{postgres(func(s *wire.DataSource) { s.Type = "mysql" }, option("readTimeout", "5")), "options.readTimeout", "500ms"},
		{sqlite(func(s *wire.DataSource) { s.Database = "shop.db" }), "database", "absolute"},
		{sqlite(func(s *wire.DataSource) { s.Database = "/srv/../etc/shop.db" }), "database", "absolute"},
		{sqlite(func(s *wire.DataSource) { s.Database = "/srv/shop.db?mode=memory" }), "database", "absolute"},
		{sqlite(func(s *wire.DataSource) { s.Host = "db" }), "host", "is a file"},
		{sqlite(func(s *wire.DataSource) { s.Port = 1 }), "port", "is a file"},
		{sqlite(func(s *wire.DataSource) { s.User = "etl" }), "user", "is a file"},
		{sqlite(func(s *wire.DataSource) { s.Tls = "disable" }), "tls", "is a file"},
		{sqlite(func(s *wire.DataSource) { s.Password = &wire.Secret{File: "x"} }), "password", "is a file"},
		{sqlite(option("journal_mode", "fast")), "options.journal_mode", "wal"},
	} {
		_, err := Compile(c.s)
		var e *fault.Error
		if !errors.As(err, &e) || e.Code != fault.Invalid || len(e.Details) == 0 {
			t.Errorf("%s of %v: got %v", c.field, c.s, err)
			continue
		}
		if e.Details[0].Field != c.field || !strings.Contains(e.Details[0].Message, c.says) {
			t.Errorf("%v: got %v, expected %s: …%s…", c.s, err, c.field, c.says)
		}
		if strings.Contains(err.Error(), hidden) {
			t.Errorf("the secret is told on: %v", err)
		}
	}
}

func TestEachOptionCanBeSet(t *testing.T) {
	values := map[string]string{
		"application_name": "backfleet", "connect_timeout": "5", "search_path": `"Shop", public`, "work_mem": "64MB",
		"target_session_attrs": "read-write", "default_query_exec_mode": "exec", "charset": "utf8mb4", "collation": "utf8mb4_bin",
		"timeout": "5s", "readTimeout": "5m", "writeTimeout": "500ms", "foreign_keys": "on", "journal_mode": "wal", "synchronous": "normal",
	}
	for kind, known := range options {
		s := postgres(func(s *wire.DataSource) { s.Type = kind })
		if kind == SQLite {
			s = sqlite()
		}
		for name := range known {
			value := values[name]
			if value == "" {
				value = "500"
			}
			s.Options = append(s.Options, &wire.Assignment{Name: name, Value: value})
		}
		got, err := Compile(s)
		if err != nil || len(got.Options) != len(known) || !slices.IsSortedFunc(got.Options, func(a, b *wire.Assignment) int { return strings.Compare(a.Name, b.Name) }) {
			t.Errorf("%s: %v %v", kind, got, err)
		}
	}
}

func read(t *testing.T, files map[string]string) ([]*wire.DataSource, error) {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	root := "."
	if len(files) == 1 {
		root = slices.Collect(maps.Keys(files))[0]
	}
	return Read(fsys, root)
}

func TestReadTheWholeFormat(t *testing.T) {
	got, err := read(t, map[string]string{
		"a.yaml": `
# The warehouse.
name: warehouse
type: mariadb
description: Where reports come from
host: db.example
port: 3307
database: shop
user: etl
password: {environment: BACKFLEET_SECRET_WAREHOUSE}
tls: verify
ca:
  file: warehouse-ca.pem
options:
  timeout: 5s
  charset: utf8mb4
resourceGroups: [etl, bi]
---
name: local
type: sqlite
database: /srv/shop.db
---
`,
		"below/b.yml": "{name: plain, type: postgres, host: \"::1\", database: d, user: u}",
		".hidden.yml": "name: [",
		"notes.txt":   "no source",
	})
	want := []*wire.DataSource{
		{
			Name: "warehouse", Type: "mysql", Description: "Where reports come from", Host: "db.example", Port: 3307, Database: "shop", User: "etl",
			Password: &wire.Secret{Environment: "BACKFLEET_SECRET_WAREHOUSE"}, Tls: "verify", Ca: &wire.Secret{File: "warehouse-ca.pem"},
			Options:        []*wire.Assignment{{Name: "charset", Value: "utf8mb4"}, {Name: "timeout", Value: "5s"}},
			ResourceGroups: []string{"bi", "etl"},
		},
		{Name: "local", Type: "sqlite", Database: "/srv/shop.db"},
		{Name: "plain", Type: "postgres", Host: "::1", Port: 5432, Database: "d", User: "u", Tls: "disable"},
	}
	if err != nil || !slices.EqualFunc(got, want, func(a, b *wire.DataSource) bool { return proto.Equal(a, b) }) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestReadTellsEachFindingWithItsPlace(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"several": {"name: a\ntype: postgres\nhst: db\ndatabase: d\nuser: u\nport: many\n", []string{
			"s.yaml:3:1: hst: there is no such field (did you mean \"host\"?)", "s.yaml:6:7: port: \"many\": expected a whole number",
		}},
		"a password":          {"name: a\npassword: " + hidden + "\n", []string{"s.yaml:2:11: password: a secret is never written here"}},
		"a number":            {"name: a\npassword: 12345\n", []string{"s.yaml:2:11: password: a secret is never written here"}},
		"another form of it":  {"name: a\npassword: {value: " + hidden + "}\n", []string{"s.yaml:2:12: password.value: there is no such field"}},
		"missing":             {"# nothing\nname: a\ntype: postgres\ndatabase: d\nuser: u\n", []string{"s.yaml:2:1: host: it is missing"}},
		"checked":             {"name: a\ntype: postgres\nhost: h\ndatabase: d\nuser: u\npassword:\n  environment: X\n", []string{"s.yaml:7:16: password.environment: expected the name"}},
		"an option":           {"name: a\ntype: sqlite\ndatabase: /d\noptions: {journal_mode: wal, fast: on}\n", []string{"s.yaml:4:36: options.fast: sqlite has no such option"}},
		"twice in a document": {"name: a\nname: b\n", []string{"s.yaml:2:1: name: it is given twice"}},
		"twice": {"name: a\ntype: sqlite\ndatabase: /d\n---\nname: a\ntype: sqlite\ndatabase: /e\n", []string{
			"s.yaml:5:7: name: \"a\" is already defined at s.yaml:1:7",
		}},
		"an alias":   {"name: &n a\nuser: *n\n", []string{"s.yaml:1:7: name: expected one value", "s.yaml:2:7: user: expected one value"}},
		"no value":   {"name:\n", []string{"s.yaml:1:6: name: expected one value"}},
		"a list":     {"- a\n", []string{"s.yaml:1:1: expected a mapping"}},
		"no list":    {"name: a\nresourceGroups: etl\n", []string{"s.yaml:2:17: resourceGroups: expected a list"}},
		"not YAML":   {"name: a\n  type: [\n", []string{"s.yaml:", "it is not YAML"}},
		"nothing":    {"# nothing\n", []string{"no data source was found"}},
		"a document": {"hello", []string{"s.yaml:1:1: expected a mapping"}},
	} {
		got, err := read(t, map[string]string{"s.yaml": c.text})
		if !fault.Is(err, fault.Invalid) || got != nil {
			t.Errorf("%s: got %v %v", name, got, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got\n%v\nexpected %s", name, err, want)
			}
		}
		if strings.Contains(err.Error(), hidden) || strings.Contains(err.Error(), "12345") {
			t.Errorf("%s: the secret is told on: %v", name, err)
		}
	}
	if _, err := Read(fstest.MapFS{}, "missing.yaml"); !fault.Is(err, fault.Invalid) {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestWhere(t *testing.T) {
	for want, s := range map[string]*wire.DataSource{
		"postgres etl@db.example:5432/shop": postgres(), "sqlite /srv/shop.db": sqlite(),
		"mysql etl@[::1]:3306/shop": postgres(func(s *wire.DataSource) { s.Type, s.Host = "mysql", "::1" }),
	} {
		s, err := Compile(s)
		if err != nil || Where(s) != want {
			t.Errorf("%s, expected %s: %v", Where(s), want, err)
		}
	}
}

// TestNoFieldIsForgotten: a field that the message grows is read and
// checked too.
func TestNoFieldIsForgotten(t *testing.T) {
	if n := (&wire.DataSource{}).ProtoReflect().Descriptor().Fields().Len(); n != len(fields) {
		t.Errorf("a data source has %d fields, and %d are read", n, len(fields))
	}
}

func FuzzRead(f *testing.F) {
	f.Add("name: a\ntype: sqlite\ndatabase: /d\noptions: {journal_mode: wal}\n")
	f.Add("password: {environment: BACKFLEET_SECRET_A}\nca: {file: a}\nresourceGroups: [a]\n---\n- a")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := Read(fstest.MapFS{"s.yaml": &fstest.MapFile{Data: []byte(text)}}, "s.yaml")
		if err != nil {
			return
		}
		for _, s := range got {
			if again, err := Compile(s); err != nil || !proto.Equal(again, s) {
				t.Errorf("%v compiles to %v, %v", s, again, err)
			}
		}
	})
}
