package retail

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"

	"backfleet/agent/task/database"
	"backfleet/ops/examples/verdict"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// Check compares every partition of every table in a database.
func (s Settings) Check(ctx context.Context, source *wire.OpenSource) ([]verdict.Report, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	db, err := database.Open(ctx, source)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	return verdict.Check(ctx, db, s.Expected())
}

// CheckMain is the command `check`: 0 when everything is right, 1 when something
// is wrong, 2 when it could not be checked.
func CheckMain(args []string, stdout, stderr io.Writer) int {
	s := DefaultSettings()
	f := flag.NewFlagSet("check", flag.ContinueOnError)
	f.SetOutput(stderr)
	where := f.String("database", "", "`path` of the SQLite database, or postgres://user@host:port/name; its password is in PGPASSWORD")
	s.flags(f)
	if err := f.Parse(args); err != nil {
		return 2
	}
	source, err := sourceOf(*where, os.Getenv("PGPASSWORD"))
	if err == nil && f.NArg() > 0 {
		err = fault.New(fault.Invalid, "%q: expected flags only", f.Arg(0))
	}
	var reports []verdict.Report
	if err == nil {
		reports, err = s.Check(context.Background(), source)
	}
	if err != nil {
		fmt.Fprintln(stderr, "check:", err)
		return 2
	}
	if !verdict.Print(stdout, reports) {
		return 1
	}
	return 0
}

// sourceOf reads the address of a database.
func sourceOf(address, password string) (*wire.OpenSource, error) {
	if !strings.Contains(address, "://") {
		if _, err := os.Stat(address); err != nil {
			return nil, fault.Field("database", "%q: expected the path of a SQLite database that is there, or postgres://user@host:port/name", address)
		}
		return &wire.OpenSource{Source: &wire.DataSource{Name: "shop", Type: database.SQLite, Database: address}}, nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "postgres" || u.Hostname() == "" || len(u.Path) < 2 {
		return nil, fault.Field("database", "expected postgres://user@host:port/name")
	}
	source := &wire.DataSource{Name: "shop", Type: database.Postgres, Host: u.Hostname(), Database: u.Path[1:], User: u.User.Username(), Port: 5432}
	if u.Port() != "" {
		port, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil {
			return nil, fault.Field("database", "%q is no port", u.Port())
		}
		source.Port = int32(port)
	}
	return &wire.OpenSource{Source: source, Password: password}, nil
}
