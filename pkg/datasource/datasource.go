// Package datasource is the definition of a data source as people write it: a
// database that nodes name, and where an agent finds its secrets. Nothing here
// ever holds a secret. DESIGN.md beside this file is the reference of the format.
package datasource

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"backfleet/pkg/fault"
	"backfleet/pkg/nearest"
	"backfleet/pkg/wire"
)

// The types of data sources.
const (
	Postgres = "postgres"
	MySQL    = "mysql" // MariaDB, too
	SQLite   = "sqlite"
)

// How a connection is protected.
const (
	TLSDisable = "disable"
	TLSRequire = "require" // encrypted, whoever answers
	TLSVerify  = "verify"  // the server proves that it is the host
)

// SecretPrefix begins the names of an agent's variables that hold secrets. No
// attempt inherits them.
const SecretPrefix = "BACKFLEET_SECRET_"

// Limits of what is said of a data source.
const (
	MaxDescription = 4 << 10 // bytes
	MaxName        = 256     // bytes of a database or a user
	MaxPath        = 4 << 10 // bytes
	MaxGroups      = 1000
)

var (
	types = []string{Postgres, MySQL, SQLite}
	// ports are those of the types that are servers.
	ports    = map[string]int32{Postgres: 5432, MySQL: 3306}
	tlsWords = []string{TLSDisable, TLSRequire, TLSVerify}

	nameForm        = regexp.MustCompile(`^[a-z0-9_][a-z0-9_.-]{0,127}$`)
	hostForm        = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?$`)
	environmentForm = regexp.MustCompile(`^` + SecretPrefix + `[A-Z0-9_]{1,100}$`)
	fileForm        = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
)

// ValidName says whether a data source may have a name.
func ValidName(name string) bool { return nameForm.MatchString(name) }

// Compile checks every field of a data source and fills in the defaults. It works
// on a copy; what it gives compiles to itself, on every machine.
//
// The error has a fault.Detail for each finding, all at once. None of them
// repeats a value that could be a secret in the wrong place.
func Compile(source *wire.DataSource) (*wire.DataSource, error) {
	s := &wire.DataSource{}
	if source != nil {
		s = proto.CloneOf(source)
	}
	complete(s)
	c := &checker{s: s}
	c.identity()
	switch {
	case !slices.Contains(types, s.Type):
		c.refuse("type", "%q is no type of data source%s: expected %s", clip(s.Type), nearest.Hint(s.Type, types), list(types))
	case s.Type == SQLite:
		c.file()
		c.options()
	default:
		c.server()
		c.options()
	}
	c.groups()
	if len(c.details) > 0 {
		return nil, problems(fmt.Sprintf("data source %q", clip(s.Name)), c.details)
	}
	return s, nil
}

// complete fills in defaults and gives what has no order of its own one. What it
// fills in must never change: data sources in the log were completed by it.
func complete(s *wire.DataSource) {
	if s.Type == "mariadb" {
		s.Type = MySQL
	}
	s.Port = cmp.Or(s.Port, ports[s.Type])
	if _, server := ports[s.Type]; server && s.Tls == "" {
		s.Tls = TLSVerify
		if Local(s.Host) {
			s.Tls = TLSDisable
		}
	}
	slices.SortStableFunc(s.Options, func(a, b *wire.Assignment) int { return cmp.Compare(a.Name, b.Name) })
	s.ResourceGroups = slices.Compact(slices.Sorted(slices.Values(s.ResourceGroups)))
}

// Local says whether a host is the agent's own: a loopback address, or the path
// of a socket.
func Local(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || path.IsAbs(host) || err == nil && address.IsLoopback()
}

// checker gathers findings.
type checker struct {
	s       *wire.DataSource
	details []fault.Detail
}

func (c *checker) refuse(field, format string, args ...any) {
	c.details = append(c.details, fault.Detail{Field: field, Message: fmt.Sprintf(format, args...)})
}

func (c *checker) identity() {
	if !ValidName(c.s.Name) {
		c.refuse("name", "%q: expected 1 to 128 of a-z, 0-9, _, . and -, not beginning with . or -", clip(c.s.Name))
	}
	if d := c.s.Description; len(d) > MaxDescription || !utf8.ValidString(d) {
		c.refuse("description", "expected text of at most %d bytes, in UTF-8", MaxDescription)
	}
}

// file checks what a database in a file needs.
func (c *checker) file() {
	s := c.s
	if p := s.Database; !path.IsAbs(p) || path.Clean(p) != p || p == "/" || len(p) > MaxPath || !oneLine(p) || strings.ContainsAny(p, "?#%") {
		c.refuse("database", "%q: expected the absolute path of the file on the agent, without .., ?, #, %% and double slashes", clip(p))
	}
	for field, given := range map[string]bool{
		"host": s.Host != "", "port": s.Port != 0, "user": s.User != "", "password": s.Password != nil, "tls": s.Tls != "", "ca": s.Ca != nil,
	} {
		if given {
			c.refuse(field, "a database of type %s is a file: leave it out", SQLite)
		}
	}
	slices.SortFunc(c.details, func(a, b fault.Detail) int { return cmp.Compare(a.Field, b.Field) })
}

// server checks what a connection over a network needs.
func (c *checker) server() {
	s := c.s
	c.host()
	if s.Port < 1 || s.Port > 65535 {
		c.refuse("port", "%d: expected 1 to 65535, or none for %d", s.Port, ports[s.Type])
	}
	for _, f := range []struct{ field, value, of string }{{"database", s.Database, "the database"}, {"user", s.User, "who signs in there"}} {
		if f.value == "" || len(f.value) > MaxName || !oneLine(f.value) {
			c.refuse(f.field, "expected the name of %s, of 1 to %d bytes", f.of, MaxName)
		}
	}
	if !slices.Contains(tlsWords, s.Tls) {
		c.refuse("tls", "%q%s: expected %s", clip(s.Tls), nearest.Hint(s.Tls, tlsWords), list(tlsWords))
	}
	if s.Ca != nil && s.Tls != TLSVerify {
		c.refuse("ca", "it is used with tls: %s alone, and tls is %s: change that, or take it out", TLSVerify, clip(s.Tls))
	}
	c.secret("password", s.Password)
	c.secret("ca", s.Ca)
}

// host does not repeat what may be a whole address with its password.
func (c *checker) host() {
	h := c.s.Host
	address, err := netip.ParseAddr(h)
	switch {
	case h == "":
		c.refuse("host", "it is missing: expected the name or address of the server")
	case strings.ContainsAny(h, "@?=") || strings.Contains(h, "://"):
		c.refuse("host", "expected a host alone: user, password, port and database have fields of their own")
	case path.IsAbs(h):
		if path.Clean(h) != h || len(h) > MaxPath || !oneLine(h) {
			c.refuse("host", "%q: expected the absolute path of a socket, or of the folder that holds it, without .. and double slashes", clip(h))
		}
	case err == nil && address.Zone() == "" || hostForm.MatchString(h):
	default:
		c.refuse("host", "%q: expected the name or address of the server; its port has a field of its own", clip(h))
	}
}

// secret checks where a secret is. It repeats nothing of it: people mistake the
// place for the secret.
func (c *checker) secret(field string, s *wire.Secret) {
	switch {
	case s == nil:
	case (s.Environment == "") == (s.File == ""):
		c.refuse(field, "expected either environment, the name of a variable of the agent, or file, a name in the agent's folder of secrets")
	case s.File != "" && !fileForm.MatchString(s.File):
		c.refuse(field+".file", "expected the plain name of a file in the agent's folder of secrets: letters, digits, _, . and -, no path")
	case s.Environment != "" && !environmentForm.MatchString(s.Environment):
		c.refuse(field+".environment", "expected the name of a variable of the agent that begins with %s, then capitals, digits and _: the secret itself never stands here", SecretPrefix)
	}
}

func (c *checker) groups() {
	if n := len(c.s.ResourceGroups); n > MaxGroups {
		c.refuse("resourceGroups", "%d of them: expected at most %d, or none for all", n, MaxGroups)
	}
	for i, g := range c.s.ResourceGroups {
		if g == "" || len(g) > MaxName || !oneLine(g) {
			c.refuse(fmt.Sprintf("resourceGroups[%d]", i), "%q: expected the name of a resource group", clip(g))
		}
	}
}

// oneLine says whether a text is UTF-8 without control characters.
func oneLine(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// maxFindings is the most findings that one error tells.
const maxFindings = 100

// problems makes one error of findings.
func problems(what string, details []fault.Detail) error {
	n := len(details)
	if n == 1 {
		return fault.New(fault.Invalid, "%s: 1 problem", what).WithDetails(details...)
	}
	if n > maxFindings {
		details = append(details[:maxFindings:maxFindings], fault.Detail{Message: fmt.Sprintf("and %d more", n-maxFindings)})
	}
	return fault.New(fault.Invalid, "%s: %d problems", what, n).WithDetails(details...)
}

// clip cuts foreign text, so that it cannot flood a message.
func clip(s string) string {
	const most = 128
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// list writes words for people: "a, b or c".
func list(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// Where says for people which database a data source is: postgres
// etl@db.example:5432/shop.
func Where(s *wire.DataSource) string {
	if s.Type == SQLite {
		return s.Type + " " + s.Database
	}
	host := s.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return s.Type + " " + s.User + "@" + host + ":" + strconv.Itoa(int(s.Port)) + "/" + s.Database
}

// optionsOf are the options that a type has, sorted.
func optionsOf(kind string) []string { return slices.Sorted(maps.Keys(options[kind])) }
