package databases

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver pgx

	"backfleet/pkg/wire"
)

// login is the account of all databases here, with every right.
const login, password = "backfleet", "open sesame"

// databasesMade counts, so that each gets a name of its own.
var databasesMade atomic.Int64

// postgres is the one server of this process.
var postgres = sync.OnceValues(startPostgres)

// Postgres gives a fresh database of a real PostgreSQL server, which is started
// by the first call and ends with the process. Where the server is not
// installed the test fails and says which package has it.
func Postgres(t testing.TB) *wire.OpenSource {
	t.Helper()
	source, err := NewPostgres()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := dropPostgres(source.Source.Database); err != nil {
			t.Error(err)
		}
	})
	return source
}

// NewPostgres is Postgres for programs that are no tests.
func NewPostgres() (*wire.OpenSource, error) {
	s, err := postgres()
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("backfleet_%d", databasesMade.Add(1))
	if err := s.asPostgres("CREATE DATABASE " + name); err != nil {
		return nil, err
	}
	return s.source("postgres", name), nil
}

// dropPostgres removes a database, with whoever still is in it.
func dropPostgres(name string) error {
	s, err := postgres()
	if err != nil {
		return err
	}
	return s.asPostgres("DROP DATABASE IF EXISTS " + name + " WITH (FORCE)")
}

func startPostgres() (*server, error) {
	program, err := lookFor("postgres", "postgresql", "/usr/lib/postgresql/*/bin")
	if err != nil {
		return nil, err
	}
	s, err := newServer("postgresql", "postgres")
	if err != nil {
		return nil, err
	}
	if err := s.bringUpPostgres(program); err != nil {
		s.end()
		return nil, err
	}
	return s, nil
}

// bringUpPostgres starts a server that survives no power failure, which no test
// has, and is the faster for it.
func (s *server) bringUpPostgres(program string) (err error) {
	secret := s.path("secret")
	if err := os.WriteFile(secret, []byte(password+"\n"), 0o644); err != nil {
		return err
	}
	if err := s.prepare(filepath.Join(filepath.Dir(program), "initdb"), "--pgdata", s.path("data"), "--username", login, "--pwfile", secret,
		"--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync"); err != nil {
		return err
	}
	if s.port, err = freePort(); err != nil {
		return err
	}
	if err := s.run("INT", program, "-D", s.path("data"), "-c", "listen_addresses=127.0.0.1", "-c", "port="+strconv.Itoa(s.port),
		"-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=200"); err != nil {
		return err
	}
	db, err := s.openPostgres()
	if err != nil {
		return err
	}
	defer db.Close()
	return s.ready(db)
}

func (s *server) openPostgres() (*sql.DB, error) {
	address := url.URL{Scheme: "postgres", User: url.UserPassword(login, password), Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)),
		Path: "postgres", RawQuery: "sslmode=disable"}
	return sql.Open("pgx", address.String())
}

// asPostgres runs a statement outside the databases that tests use.
func (s *server) asPostgres(statement string) error {
	db, err := s.openPostgres()
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := db.ExecContext(ctx, statement); err != nil {
		return s.explain(fmt.Errorf("%s: %w", statement, err))
	}
	return nil
}

// source is what an agent would be given to open a database.
func (s *server) source(kind, database string) *wire.OpenSource {
	return &wire.OpenSource{
		Source: &wire.DataSource{Name: kind, Type: kind, Host: "127.0.0.1", Port: int32(s.port), Database: database, User: login, Tls: "disable",
			Password: &wire.Secret{Environment: "BACKFLEET_SECRET_TEST"}},
		Password: password,
	}
}
