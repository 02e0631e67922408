package databases

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/go-sql-driver/mysql"

	"backfleet/pkg/wire"
)

// mariadb is the one server of this process.
var mariadb = sync.OnceValues(startMariaDB)

// MariaDB gives a fresh database of a real MariaDB server, which is started by
// the first call and ends with the process. Where the server is not installed
// the test fails and says which package has it.
func MariaDB(t testing.TB) *wire.OpenSource {
	t.Helper()
	s, err := mariadb()
	if err != nil {
		t.Fatal(err)
	}
	db, err := s.openMariaDB()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	name := fmt.Sprintf("backfleet_%d", databasesMade.Add(1))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := db.ExecContext(ctx, "CREATE DATABASE "+name); err != nil {
		t.Fatal(s.explain(err))
	}
	return s.source("mysql", name)
}

func startMariaDB() (*server, error) {
	program, err := lookFor("mariadbd", "mariadb-server", "/usr/sbin", "/usr/libexec")
	if err != nil {
		return nil, err
	}
	installer, err := lookFor("mariadb-install-db", "mariadb-server")
	if err != nil {
		return nil, err
	}
	s, err := newServer("mariadb", "mysql")
	if err != nil {
		return nil, err
	}
	if err := s.bringUpMariaDB(program, installer); err != nil {
		s.end()
		return nil, err
	}
	return s, nil
}

// bringUpMariaDB starts a server that knows one account, from this host.
func (s *server) bringUpMariaDB(program, installer string) (err error) {
	data := "--datadir=" + s.path("data")
	if err := s.prepare(installer, "--no-defaults", data, "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"); err != nil {
		return err
	}
	first := s.path("first.sql")
	account := fmt.Sprintf("CREATE USER '%s'@'127.0.0.1' IDENTIFIED BY '%s';\nGRANT ALL ON *.* TO '%s'@'127.0.0.1';\n", login, password, login)
	if err := os.WriteFile(first, []byte(account), 0o644); err != nil {
		return err
	}
	if s.port, err = freePort(); err != nil {
		return err
	}
	if err := s.run("TERM", program, "--no-defaults", data, "--bind-address=127.0.0.1", "--port="+strconv.Itoa(s.port), "--socket="+s.path("socket"),
		"--pid-file="+s.path("pid"), "--tmpdir="+s.folder, "--init-file="+first, "--skip-name-resolve", "--character-set-server=utf8mb4",
		"--innodb-flush-log-at-trx-commit=0", "--innodb-fast-shutdown=2", "--innodb-buffer-pool-size=64M"); err != nil {
		return err
	}
	db, err := s.openMariaDB()
	if err != nil {
		return err
	}
	defer db.Close()
	return s.ready(db)
}

func (s *server) openMariaDB() (*sql.DB, error) {
	config := mysql.NewConfig()
	config.User, config.Passwd = login, password
	config.Net, config.Addr = "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))
	config.Logger = &mysql.NopLogger{} // of a server that is not up yet
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}
