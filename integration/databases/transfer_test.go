package databases

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"backfleet/agent/task/database"
	"backfleet/agent/task/metrics"
	"backfleet/agent/task/output"
	"backfleet/agent/task/transfer"
	"backfleet/pkg/wire"
)

var transferKills = flag.Int("databases.kills", drillKills, "how often a transfer is killed, over each database")

// transferTask names to this program, started again, the file of a task to run.
const transferTask = "BACKFLEET_TEST_TRANSFER"

func init() {
	path := os.Getenv(transferTask)
	if path == "" {
		return
	}
	if err := transferChild(path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func transferChild(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	task := &wire.Task{}
	if err := proto.Unmarshal(b, task); err != nil {
		return err
	}
	return transfer.Run(context.Background(), task, &output.Output{Log: os.Stdout, Metrics: &metrics.Report{}})
}

// moving is an integration node over a database.
type moving struct {
	t      *testing.T
	source *wire.OpenSource
	task   *wire.Task
	log    bytes.Buffer
}

// newMoving moves the rows of a CSV file to a partition of a table.
func newMoving(t *testing.T, source *wire.OpenSource, file, table string, columns ...*wire.Column) *moving {
	t.Helper()
	return &moving{t: t, source: source, task: &wire.Task{
		Instance: "b1.1", Sources: []*wire.OpenSource{source},
		Node: &wire.Node{Id: "n", Type: "integration", Integration: &wire.Integration{
			From:    &wire.IntegrationSource{Files: file},
			To:      &wire.IntegrationTarget{Source: source.Source.Name, Table: table, Partition: []*wire.Assignment{{Name: "ds", Value: "a"}}, Create: true},
			Columns: columns,
		}},
	}}
}

func (m *moving) spec() *wire.Integration { return m.task.Node.Integration }

func (m *moving) run() error {
	m.task.Fence++
	m.log.Reset()
	return transfer.Run(m.t.Context(), m.task, &output.Output{Log: &m.log})
}

func (m *moving) must() {
	m.t.Helper()
	if err := m.run(); err != nil {
		m.t.Fatalf("%v\n%s", err, m.log.String())
	}
}

// start runs it in a process of its own.
func (m *moving) start() (*exec.Cmd, *bytes.Buffer) {
	m.t.Helper()
	m.task.Fence++
	b, err := proto.Marshal(m.task)
	if err != nil {
		m.t.Fatal(err)
	}
	path := filepath.Join(m.t.TempDir(), "task")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		m.t.Fatal(err)
	}
	said := &bytes.Buffer{}
	cmd := exec.CommandContext(m.t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), transferTask+"="+path)
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	return cmd, said
}

// whole waits for a process's end; false: it was killed.
func whole(t *testing.T, cmd *exec.Cmd, said *bytes.Buffer) bool {
	t.Helper()
	err := cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signaled() {
		return false
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	return true
}

// told gives the rows of a query, the values joined by "|".
func (m *moving) told(query string) []string {
	m.t.Helper()
	db, err := database.Open(m.t.Context(), m.source)
	if err != nil {
		m.t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(m.t.Context(), query)
	if err != nil {
		m.t.Fatal(err)
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			m.t.Fatal(err)
		}
		var cells []string
		for i, v := range values {
			cells = append(cells, database.Format(v, rows.Columns[i]))
		}
		list = append(list, strings.Join(cells, "|"))
	}
	if err := rows.Err(); err != nil {
		m.t.Fatal(err)
	}
	return list
}

func (m *moving) wants(query string, want ...string) {
	m.t.Helper()
	if got := m.told(query); !slices.Equal(got, want) {
		m.t.Errorf("%s:\n%s\nwant\n%s", query, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func (m *moving) execute(statement string) {
	m.t.Helper()
	db, err := database.Open(m.t.Context(), m.source)
	if err != nil {
		m.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(m.t.Context(), statement); err != nil {
		m.t.Fatalf("%s: %v", statement, err)
	}
}

func textFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rows.csv")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func typed(name, kind string) *wire.Column { return &wire.Column{Name: name, Type: kind} }

func overServers(t *testing.T, test func(*testing.T, *wire.OpenSource)) {
	for product, give := range map[string]func(testing.TB) *wire.OpenSource{"PostgreSQL": Postgres, "MariaDB": MariaDB} {
		t.Run(product, func(t *testing.T) { test(t, give(t)) })
	}
}

// TestR12_1_Transfer: every type goes in and comes out as it was; twice leaves
// the same rows; the other partition is left alone.
func TestR12_1_Transfer(t *testing.T) {
	const rows = "i,d,f,b,day,at,j,t\n" +
		`-9223372036854775808,1234567890123456789.0123456789,0.1,true,0999-12-31,2001-01-31 12:34:56.789012,"{""b"": 1, ""a"": [""<é>""]}","a\b	c` + "\n" + `""😀'"` + "\n" +
		"7,-0.5,1e300,false,2024-02-29,2001-01-31T00:30:00+02:00,[],\\N\n" +
		",,,,,,,\n"
	const want = `{"i":-9223372036854775808,"d":1234567890123456789.0123456789,"f":0.1,"b":true,"day":"0999-12-31","at":"2001-01-31 12:34:56.789012","j":{"a":["<é>"],"b":1},"t":"a\\b\tc\n\"😀'"}
{"i":7,"d":-0.5,"f":1e+300,"b":false,"day":"2024-02-29","at":"2001-01-30 22:30:00","j":[],"t":"\\N"}
{"i":null,"d":null,"f":null,"b":null,"day":null,"at":null,"j":null,"t":null}
`
	columns := []*wire.Column{typed("i", "integer"), typed("d", "decimal"), typed("f", "float"), typed("b", "boolean"),
		typed("day", "date"), typed("at", "timestamp"), typed("j", "json"), typed("t", "text")}
	overServers(t, func(t *testing.T, source *wire.OpenSource) {
		in := newMoving(t, source, textFile(t, rows), "orders", columns...)
		in.must()
		in.execute("INSERT INTO orders (i, ds) VALUES (1, 'b'), (2, 'A')")
		in.must()
		in.wants("SELECT ds, count(*) FROM orders GROUP BY ds ORDER BY count(*) DESC, ds", "a|3", "A|1", "b|1")
		folder := filepath.Join(t.TempDir(), "p")
		out := newMoving(t, source, "", "", columns...)
		out.spec().From = &wire.IntegrationSource{Source: source.Source.Name, Query: "SELECT * FROM orders WHERE ds = 'a' ORDER BY i IS NULL, i"}
		out.spec().To = &wire.IntegrationTarget{Folder: folder, Format: "jsonl"}
		out.must()
		got, err := os.ReadFile(filepath.Join(folder, "part-00000.jsonl"))
		if err != nil || string(got) != want {
			t.Errorf("%v, got\n%s\nwant\n%s", err, got, want)
		}
		if sum := func(log string) string { return log[strings.Index(log, "checksum "):] }; sum(in.log.String()) != sum(out.log.String()) {
			t.Errorf("in: %sout: %s", in.log.String(), out.log.String())
		}
	})
}

// TestRowsThatAServerRefuses: each by itself, with the others of its batch
// written; a decimal is not rounded in silence.
func TestRowsThatAServerRefuses(t *testing.T) {
	overServers(t, func(t *testing.T, source *wire.OpenSource) {
		var text strings.Builder
		text.WriteString("id,n,price\n")
		for i := range 3000 {
			switch i % 1000 {
			case 10:
				fmt.Fprintf(&text, "%d,1,1\n", i-1) // is there
			case 20:
				fmt.Fprintf(&text, "%d,40000,1\n", i) // out of range
			case 30:
				fmt.Fprintf(&text, "%d,,1\n", i) // NOT NULL
			case 40:
				fmt.Fprintf(&text, "%d,1,1.255\n", i) // would be rounded
			default:
				fmt.Fprintf(&text, "%d,1,1.250\n", i)
			}
		}
		m := newMoving(t, source, textFile(t, text.String()), "x", typed("id", "integer"), typed("n", "integer"), typed("price", "decimal"))
		m.execute("CREATE TABLE x (id integer PRIMARY KEY, n smallint NOT NULL, price numeric(10,2), ds varchar(10))")
		m.spec().MaxRejected = 11
		if err := m.run(); err == nil || !strings.Contains(err.Error(), "12 rows were rejected and at most 11 may be") {
			t.Fatalf("got %v", err)
		}
		m.wants("SELECT count(*) FROM x", "0")
		m.spec().MaxRejected = 12
		m.must()
		m.wants("SELECT count(*), min(price), max(price) FROM x", "2988|1.25|1.25")
		for _, place := range []string{"line 12: ", "line 22: ", "line 32: ", "line 42: column \"price\": 1.255"} {
			if !strings.Contains(strings.ReplaceAll(m.log.String(), `"1.255"`, "1.255"), place) {
				t.Errorf("the log does not tell of %s:\n%s", place, m.log.String())
			}
		}
	})
}

// TestR12_1_KilledTransfer: killed at any moment, the partition has the rows of
// before or the new ones, and the next attempt gets through.
func TestR12_1_KilledTransfer(t *testing.T) {
	overServers(t, func(t *testing.T, source *wire.OpenSource) {
		path := textFile(t, "")
		m := newMoving(t, source, path, "x", typed("id", "integer"), typed("tag", "text"))
		m.execute("CREATE TABLE x (id bigint, tag varchar(10), ds varchar(10))")
		m.execute("CREATE INDEX of_ds ON x (ds)")
		m.execute("INSERT INTO x VALUES (1, 'other', 'b')")
		fill := func(tag string) (want string) {
			var text strings.Builder
			text.WriteString("id,tag\n")
			for i := range drillRows {
				fmt.Fprintf(&text, "%d,%s\n", i, tag)
			}
			if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
				t.Fatal(err)
			}
			return fmt.Sprintf("a|%s|%d|%d b|other|1|1", tag, drillRows, drillRows*(drillRows-1)/2)
		}
		state := func() string {
			return strings.Join(m.told("SELECT ds, tag, count(*), sum(id) FROM x GROUP BY ds, tag ORDER BY ds, tag"), " ")
		}
		now := fill("first")
		begin := time.Now()
		if cmd, said := m.start(); !whole(t, cmd, said) || state() != now {
			t.Fatalf("the first leaves %s; want %s", state(), now)
		}
		takes := time.Since(begin)
		killed := 0
		for i := range *transferKills {
			next := fill(fmt.Sprintf("t%d", i))
			cmd, said := m.start()
			after := time.Duration(rand.Int64N(int64(takes + takes/10)))
			kill := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
			if !whole(t, cmd, said) {
				killed++
			}
			kill.Stop()
			got := state()
			if got != now && got != next {
				t.Fatalf("killed after %v of %v there are %s; want %s or %s", after, takes, got, now, next)
			}
			now = got
		}
		t.Logf("%d of %d were killed before their end; one takes %v", killed, *transferKills, takes)
		if killed == 0 {
			t.Errorf("none of %d was killed before its end", *transferKills)
		}
		now = fill("last")
		if cmd, said := m.start(); !whole(t, cmd, said) || state() != now {
			t.Errorf("the last leaves %s; want %s", state(), now)
		}
	})
}

// feed writes rows into a pipe, once somebody reads it.
func feed(t *testing.T, path string) *os.File {
	t.Helper()
	for limit := time.Now().Add(time.Minute); ; {
		f, err := os.OpenFile(path, os.O_WRONLY|unix.O_NONBLOCK, 0)
		if err == nil {
			if _, err = f.WriteString("id\n" + strings.Repeat("1\n", 3000)); err != nil {
				t.Fatal(err)
			}
			return f
		}
		if !errors.Is(err, unix.ENXIO) || time.Now().After(limit) {
			t.Fatalf("nobody reads the source: %v", err)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// TestR13_3_LateTransfer: one that has begun, and goes on when a newer one has
// written, is refused. One that is killed with its transaction open holds up
// nobody.
func TestR13_3_LateTransfer(t *testing.T) {
	overServers(t, func(t *testing.T, source *wire.OpenSource) {
		pipe := filepath.Join(t.TempDir(), "rows.csv")
		if err := unix.Mkfifo(pipe, 0o600); err != nil {
			t.Fatal(err)
		}
		newer := newMoving(t, source, textFile(t, "id\n-1\n"), "x", typed("id", "integer"))
		newer.task.Fence = 10
		newer.must()
		late := newMoving(t, source, pipe, "x", typed("id", "integer"))
		late.task.Fence = 5
		cmd, said := late.start()
		if err := feed(t, pipe).Close(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil || !strings.Contains(said.String(), "a newer attempt (fence 11, instance b1.1) has written partition ds=a of x") {
			t.Errorf("the late one ends with %v:\n%s", err, said)
		}
		newer.wants("SELECT id, ds FROM x", "-1|a")

		stuck := newMoving(t, source, pipe, "x", typed("id", "integer"))
		stuck.task.Fence = 20
		cmd, said = stuck.start()
		defer feed(t, pipe).Close() // so that more rows may come
		locked := newMoving(t, source, textFile(t, "id\n-2\n"), "x", typed("id", "integer"))
		waiting := "SELECT count(*) FROM pg_locks WHERE relation = 'x'::regclass AND mode = 'RowExclusiveLock'"
		if source.Source.Type == "mysql" {
			waiting = "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_rows_modified > 1000"
		}
		for limit := time.Now().Add(time.Minute); locked.told(waiting)[0] == "0"; {
			if time.Now().After(limit) {
				t.Fatal("the transfer does not begin to write")
			}
			// MariaDB shows what it showed last to who asks again within 100 ms.
			<-time.After(200 * time.Millisecond)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if whole(t, cmd, said) {
			t.Fatal("it was not killed")
		}
		locked.task.Fence = 30
		locked.must()
		locked.wants("SELECT id, ds FROM x", "-2|a")
	})
}
