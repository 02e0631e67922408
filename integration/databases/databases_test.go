package databases

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"backfleet/ops/demo/fleet"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// asChild tells this program, started again, to start a server and say so.
const asChild = "BACKFLEET_TEST_SERVER"

func TestMain(m *testing.M) {
	start, has := map[string]func() (*server, error){"postgres": postgres, "mariadb": mariadb}[os.Getenv(asChild)]
	if !has {
		os.Exit(m.Run())
	}
	s, err := start()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(s.folder)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func openAs(t *testing.T, source *wire.OpenSource) *sql.DB {
	t.Helper()
	s := source.Source
	address := fmt.Sprintf("host=%s port=%d user=%s password='%s' dbname=%s sslmode=%s", s.Host, s.Port, s.User, source.Password, s.Database, s.Tls)
	if s.Type == "mysql" {
		config := mysql.NewConfig()
		config.User, config.Passwd, config.DBName, config.Net, config.Addr = s.User, source.Password, s.Database, "tcp", fmt.Sprintf("%s:%d", s.Host, s.Port)
		address = config.FormatDSN()
	}
	db, err := sql.Open(map[string]string{"postgres": "pgx", "mysql": "mysql"}[s.Type], address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestFreshDatabases(t *testing.T) {
	for product, give := range map[string]func(testing.TB) *wire.OpenSource{"PostgreSQL": Postgres, "MariaDB": MariaDB} {
		t.Run(product, func(t *testing.T) {
			one, two := give(t), give(t)
			if one.Source.Port != two.Source.Port || one.Source.Database == two.Source.Database {
				t.Fatalf("%v and %v: expected two databases of one server", one.Source, two.Source)
			}
			first, second := openAs(t, one), openAs(t, two)
			if _, err := first.ExecContext(t.Context(), "CREATE TABLE x (n integer)"); err != nil {
				t.Fatal(err)
			}
			if _, err := second.ExecContext(t.Context(), "SELECT n FROM x"); err == nil {
				t.Error("the second database has the table of the first")
			}
			var version string
			if err := first.QueryRowContext(t.Context(), "SELECT version()").Scan(&version); err != nil || !strings.Contains(version, "PostgreSQL") && !strings.Contains(version, "MariaDB") {
				t.Errorf("version %q, %v", version, err)
			}
			wrong := &wire.OpenSource{Source: one.Source, Password: "something else"}
			if err := openAs(t, wrong).PingContext(t.Context()); err == nil {
				t.Error("a wrong password is taken")
			}
		})
	}
}

// TestEndsWithTheProcess: a server is gone, and its folder, also when who
// started it is killed.
func TestEndsWithTheProcess(t *testing.T) {
	for product, pidFile := range map[string]string{"postgres": "data/postmaster.pid", "mariadb": "pid"} {
		t.Run(product, func(t *testing.T) {
			child := exec.CommandContext(t.Context(), os.Args[0])
			child.Env = append(os.Environ(), asChild+"="+product)
			child.Stderr = os.Stderr
			stdin, err := child.StdinPipe() // open until the test ends
			if err != nil {
				t.Fatal(err)
			}
			defer stdin.Close()
			stdout, err := child.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			folder, err := bufio.NewReader(stdout).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			folder = strings.TrimSpace(folder)
			text, err := os.ReadFile(filepath.Join(folder, pidFile))
			if err != nil {
				t.Fatal(err)
			}
			first, _, _ := strings.Cut(string(text), "\n")
			pid, err := strconv.Atoi(first)
			if err != nil || !fleet.Alive(pid) {
				t.Fatalf("the server with pid %q: %v, alive: %v", first, err, fleet.Alive(pid))
			}
			if err := child.Process.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			_ = child.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err = fleet.Until(ctx, "the server and its folder are gone", func(context.Context) (bool, error) {
				_, err := os.Stat(folder)
				return os.IsNotExist(err) && !fleet.Alive(pid), nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestMissingProgram(t *testing.T) {
	_, err := lookFor("no-such-server", "some-package", t.TempDir())
	if fault.CodeOf(err) != fault.NotFound || !strings.Contains(err.Error(), "install the package some-package") {
		t.Errorf("got %v", err)
	}
}

// TestServerThatCannotStart: the reason is in the error, and nothing stays.
func TestServerThatCannotStart(t *testing.T) {
	s, err := newServer("postgresql", "postgres")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.run("TERM", "/bin/sh", "-c", "echo the reason; exit 1"); err != nil {
		t.Fatal(err)
	}
	s.port = 1
	db, err := s.openPostgres()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := s.ready(db); err == nil || !strings.Contains(err.Error(), "the reason") {
		t.Errorf("got %v", err)
	}
	s.end()
	if _, err := os.Stat(s.folder); !os.IsNotExist(err) {
		t.Errorf("the folder stays: %v", err)
	}
}
