package transfer

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"backfleet/agent/task/fence"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

func typed(name, kind string) *wire.Column { return &wire.Column{Name: name, Type: kind} }

func ds(value string) []*wire.Assignment {
	return []*wire.Assignment{{Name: "ds", Value: value}}
}

// TestR12_1_OverwritesThePartition: exactly that one; twice leaves the same rows.
func TestR12_1_OverwritesThePartition(t *testing.T) {
	in := t.TempDir()
	write(t, in, "b.csv", "id,price,day\n3,0.30,2001-01-03\n")
	write(t, in, "a.csv", "day,id,price\n2001-01-01,1,1.50\n2001-01-02,2,\n")
	s := sqliteIn(t, "warehouse")
	r := newRig(t, &wire.IntegrationSource{Files: in + "/*.csv"},
		&wire.IntegrationTarget{Source: "warehouse", Table: "orders", Partition: ds("20010101"), Create: true},
		typed("id", "integer"), &wire.Column{Name: "amount", From: "price", Type: "decimal"}, typed("day", "date")).with(s)
	first := r.must()
	expect(t, first, "rows_read", "3", "rows_written", "3", "rows_rejected", "0")
	execute(t, s, `INSERT INTO orders (id, ds) VALUES (7, '20010102')`)
	want := []string{"1|1.5|2001-01-01|20010101", "2|NULL|2001-01-02|20010101", "3|0.3|2001-01-03|20010101", "7|NULL|NULL|20010102"}
	const all = `SELECT id, amount, day, ds FROM orders ORDER BY id`
	same(t, "the first time", rowsOf(t, s, all), want...)
	second := r.must()
	same(t, "the second time", rowsOf(t, s, all), want...)
	if first["checksum"] != second["checksum"] || len(first["checksum"]) != 32 {
		t.Errorf("checksums %q and %q", first["checksum"], second["checksum"])
	}
	r.spec().To.Partition = ds("20010102")
	if other := r.must(); other["checksum"] != first["checksum"] {
		t.Errorf("the same rows have another checksum in another partition: %v", other)
	}
	same(t, "the other partition", rowsOf(t, s, `SELECT ds, count(*) FROM orders GROUP BY 1 ORDER BY 1`), "20010101|3", "20010102|3")
	write(t, in, "a.csv", "day,id,price\n")
	r.must()
	same(t, "fewer rows", rowsOf(t, s, `SELECT ds, count(*) FROM orders GROUP BY 1 ORDER BY 1`), "20010101|3", "20010102|1")
}

// TestWholeTable: without columns of a partition the table is one.
func TestWholeTable(t *testing.T) {
	s := sqliteIn(t, "warehouse")
	execute(t, s, `CREATE TABLE codes (code text PRIMARY KEY, more integer DEFAULT 5)`, `INSERT INTO codes VALUES ('old', 1)`)
	r := newRig(t, &wire.IntegrationSource{Files: write(t, t.TempDir(), "a.csv", "code\na\nb\n")},
		&wire.IntegrationTarget{Source: "warehouse", Table: "codes"}).with(s)
	r.must()
	same(t, "rows", rowsOf(t, s, `SELECT code, more FROM codes ORDER BY 1`), "a|5", "b|5")
}

// TestTypesOfTheTable: a column without a type takes that of the table where the
// source is text, so that what SQLite would keep as text is rejected.
func TestTypesOfTheTable(t *testing.T) {
	s := sqliteIn(t, "warehouse")
	execute(t, s, `CREATE TABLE x (n integer, d date)`)
	r := newRig(t, &wire.IntegrationSource{Files: write(t, t.TempDir(), "a.csv", "n,d\n1,2001-01-01\nfoo,2001-01-01\n")},
		&wire.IntegrationTarget{Source: "warehouse", Table: "x"}).with(s)
	r.fails(`line 3`, `column "n": "foo" is no whole number`)
	same(t, "rows", rowsOf(t, s, `SELECT * FROM x`))
}

func TestQueryToFolders(t *testing.T) {
	s := sqliteIn(t, "warehouse")
	execute(t, s, `CREATE TABLE x (id integer, name text, at timestamp, ok boolean, price numeric)`,
		`INSERT INTO x VALUES (1, 'a,b', '2001-01-01 10:00:00', true, 1.5), (2, '', NULL, false, NULL), (3, NULL, '2001-01-01 10:00:00.25', NULL, 3)`)
	for format, want := range map[string]string{
		"csv":   "id,name,at,ok,price,twice\n1,\"a,b\",2001-01-01 10:00:00,true,1.5,2\n2,\"\",,false,,4\n3,,2001-01-01 10:00:00.25,,3,6\n",
		"jsonl": `{"id":1,"name":"a,b","at":"2001-01-01 10:00:00","ok":true,"price":1.5,"twice":2}` + "\n" + `{"id":2,"name":"","at":null,"ok":false,"price":null,"twice":4}` + "\n" + `{"id":3,"name":null,"at":"2001-01-01 10:00:00.25","ok":null,"price":3,"twice":6}` + "\n",
	} {
		folder := filepath.Join(t.TempDir(), "ds=1")
		r := newRig(t, &wire.IntegrationSource{Source: "warehouse", Query: "SELECT *, id * 2 AS twice FROM x ORDER BY id"},
			&wire.IntegrationTarget{Folder: folder, Format: format}).with(s)
		m := r.must()
		b, err := os.ReadFile(filepath.Join(folder, "part-00000."+format))
		if err != nil || string(b) != want {
			t.Errorf("%s: got %v\n%s\nwant\n%s", format, err, b, want)
		}
		expect(t, m, "rows_read", "3", "rows_written", "3", "bytes", fmt.Sprint(len(want)))
	}
}

// TestFolderIsReplaced: all of it, with nothing left beside it but the fence.
func TestFolderIsReplaced(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "deep", "er", "ds=1")
	from := &wire.IntegrationSource{Files: write(t, t.TempDir(), "a.csv", "id\n1\n2\n")}
	r := newRig(t, from, &wire.IntegrationTarget{Folder: folder, Format: "parquet"}, typed("id", "integer"))
	first := r.must()
	same(t, "rows", contents(t, folder), "1", "2")
	write(t, folder, "part-00007.parquet", "left by something else")
	if err := os.Chmod(folder, 0o750); err != nil {
		t.Fatal(err)
	}
	// as killed attempts leave it
	write(t, filepath.Join(filepath.Dir(folder), ".ds=1.2.new"), "part-00000.parquet", "half")
	write(t, filepath.Join(filepath.Dir(folder), ".ds=1.3.old"), "part-00000.parquet", "old")
	write(t, filepath.Join(filepath.Dir(folder), ".ds=1.99.new"), "part-00000.parquet", "of a newer one")
	r.task.Fence = 10
	second := r.must()
	same(t, "rows", contents(t, folder), "1", "2")
	same(t, "hidden", hiddenBeside(t, folder), ".ds=1.99.new", ".ds=1.fence")
	if first["checksum"] != second["checksum"] || first["bytes"] != second["bytes"] {
		t.Errorf("%v, then %v", first, second)
	}
	if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	write(t, filepath.Join(folder, "ds=2"), "a", "b")
	r.fails("more than one partition")
	same(t, "what is there", contents(t, filepath.Join(folder, "nothing")))
	if b, err := os.ReadFile(filepath.Join(folder, "ds=2", "a")); err != nil || string(b) != "b" {
		t.Errorf("%q, %v", b, err)
	}
}

// TestWithoutExchange: file systems that cannot exchange two folders take two
// steps; who is killed between them leaves what the next one puts right.
func TestWithoutExchange(t *testing.T) {
	defer func(was func(int, string, int, string, uint) error) { renameat2 = was }(renameat2)
	renameat2 = func(int, string, int, string, uint) error { return unix.EINVAL }
	folder := filepath.Join(t.TempDir(), "p")
	path := write(t, t.TempDir(), "a.csv", "id\n1\n")
	r := newRig(t, &wire.IntegrationSource{Files: path}, &wire.IntegrationTarget{Folder: folder, Format: "csv"})
	r.must()
	write(t, filepath.Dir(path), "a.csv", "id\n2\n")
	r.must()
	same(t, "rows", contents(t, folder), "2")
	same(t, "hidden", hiddenBeside(t, folder), ".p.fence")
	if err := os.Rename(folder, beside(folder, r.task.Fence, setAside)); err != nil { // killed between the steps
		t.Fatal(err)
	}
	f, err := openFolder(r.spec().To, fence.By{Fence: r.task.Fence + 1})
	if err == nil {
		err = f.claimed(f.tidy)
	}
	if err != nil {
		t.Fatal(err)
	}
	same(t, "rows", contents(t, folder), "2")
	same(t, "hidden", hiddenBeside(t, folder), ".p.fence")
}

// TestNothingToRead: no file is no row, if that is said to be right.
func TestNothingToRead(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "p")
	r := newRig(t, &wire.IntegrationSource{Files: folder + "x*.csv"}, &wire.IntegrationTarget{Folder: folder, Format: "parquet"}, typed("id", "integer"))
	r.fails("no file matches")
	r.spec().From.MayBeEmpty = true
	expect(t, r.must(), "rows_read", "0", "rows_written", "0", "checksum", strings.Repeat("0", 32))
	same(t, "rows", contents(t, folder))
	r.spec().Columns = nil
	r.fails("integration.columns", "list them")
}

// TestSeveralFiles: a folder's files have a bound.
func TestSeveralFiles(t *testing.T) {
	for _, format := range []string{"csv", "jsonl", "parquet"} {
		f := &folder{path: filepath.Join(t.TempDir(), "p"), format: format, columns: []column{{name: "id", kind: integer}}, most: 100, by: fence.By{Fence: 1}}
		bytes, err := f.replace(t.Context(), func(s sink) error {
			for i := range 40 {
				rows := make([][]any, 100)
				for j := range rows {
					rows[j] = []any{int64(i*100 + j)}
				}
				if _, err := s.write(t.Context(), rows); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		paths, _ := filepath.Glob(f.path + "/part-*." + format)
		if len(paths) < 2 {
			t.Errorf("%s: %d files", format, len(paths))
		}
		size := int64(0)
		for _, p := range paths {
			info, err := os.Stat(p)
			if err != nil {
				t.Fatal(err)
			}
			size += info.Size()
		}
		if bytes != size {
			t.Errorf("%s: %d bytes are told, there are %d", format, bytes, size)
		}
		if got := contents(t, f.path); len(got) != 4000 || got[0] != "0" || got[3999] != "3999" {
			t.Errorf("%s: %d rows", format, len(got))
		}
	}
}

func TestRejectedRows(t *testing.T) {
	in := write(t, t.TempDir(), "a.csv", "id,n\n1,5\n2,x\n3\n4,6\n5,\n")
	rejected := filepath.Join(t.TempDir(), "made", "rejected.jsonl")
	s := sqliteIn(t, "warehouse")
	r := newRig(t, &wire.IntegrationSource{Files: in},
		&wire.IntegrationTarget{Source: "warehouse", Table: "x", Create: true},
		typed("id", "integer"), &wire.Column{Name: "n", Type: "integer", Required: true}).with(s)
	r.spec().RejectedFile = rejected
	r.spec().MaxRejected = 3
	expect(t, r.must(), "rows_read", "5", "rows_written", "2", "rows_rejected", "3")
	same(t, "rows", rowsOf(t, s, "SELECT * FROM x ORDER BY id"), "1|5", "4|6")
	want := []map[string]any{
		{"file": in, "line": 3.0, "why": `column "n": "x" is no whole number`, "values": map[string]any{"id": "2", "n": "x"}},
		{"file": in, "line": 4.0, "why": "it has 1 fields: expected 2, as many as the first line", "values": []any{"3"}},
		{"file": in, "line": 6.0, "why": `column "n": it is required and there is no value`, "values": map[string]any{"id": "5", "n": nil}},
	}
	compareLines(t, rejected, want)
	if !strings.Contains(r.log.String(), "rejected: "+in+", line 3: column \"n\": \"x\" is no whole number") {
		t.Errorf("the log: %s", r.log.String())
	}

	write(t, filepath.Dir(in), "a.csv", "id,n\n9,x\n8,x\n7,7\n")
	r.spec().MaxRejected = 1
	err := r.fails("2 rows were rejected and at most 1 may be (maxRejected)", "they are in "+rejected, "line 3")
	if fault.CodeOf(err) != fault.Invalid {
		t.Errorf("code %s", fault.CodeOf(err))
	}
	same(t, "rows stay", rowsOf(t, s, "SELECT * FROM x ORDER BY id"), "1|5", "4|6")
	compareLines(t, rejected, []map[string]any{
		{"file": in, "line": 2.0, "why": `column "n": "x" is no whole number`, "values": map[string]any{"id": "9", "n": "x"}},
		{"file": in, "line": 3.0, "why": `column "n": "x" is no whole number`, "values": map[string]any{"id": "8", "n": "x"}},
	})
	write(t, filepath.Dir(in), "a.csv", "id,n\n7,7\n")
	r.must()
	compareLines(t, rejected, nil)
	same(t, "nothing hidden stays", hiddenBeside(t, rejected))
}

func compareLines(t *testing.T, path string, want []map[string]any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got []map[string]any
	for line := range strings.Lines(string(b)) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		got = append(got, m)
	}
	g, _ := json.Marshal(got)
	w, _ := json.Marshal(want)
	if string(g) != string(w) {
		t.Errorf("got\n%s\nwant\n%s", g, w)
	}
}

// TestRowsThatTheDatabaseRefuses are rejected as those that we refuse, and the
// others of their batch are written.
func TestRowsThatTheDatabaseRefuses(t *testing.T) {
	s := sqliteIn(t, "warehouse")
	execute(t, s, `CREATE TABLE x (id integer PRIMARY KEY, n integer CHECK (n < 100))`)
	idOf := func(i int) int { // 150, 1150 and 2150 come as the row before
		if i%1000 == 150 {
			return i - 1
		}
		return i
	}
	var text strings.Builder
	text.WriteString("id,n\n")
	for i := range 2500 {
		fmt.Fprintf(&text, "%d,%d\n", idOf(i), i%700/2)
	}
	r := newRig(t, &wire.IntegrationSource{Files: write(t, t.TempDir(), "a.csv", text.String())},
		&wire.IntegrationTarget{Source: "warehouse", Table: "x"}).with(s)
	r.fails("at most 0 may be", "UNIQUE constraint failed", "line 152")
	same(t, "rows", rowsOf(t, s, "SELECT * FROM x"))
	r.spec().MaxRejected = 5000
	m := r.must()
	same(t, "rows", rowsOf(t, s, "SELECT count(*), min(n) >= 0, max(n) < 100, count(DISTINCT id) FROM x"), m["rows_written"]+"|1|1|"+m["rows_written"])
	wanted := map[int]bool{}
	for i := range 2500 {
		if i%700/2 < 100 {
			wanted[idOf(i)] = true
		}
	}
	expect(t, m, "rows_read", "2500", "rows_written", fmt.Sprint(len(wanted)), "rows_rejected", fmt.Sprint(2500-len(wanted)))
}

// TestDecimalsAreNotRounded: what the table cannot hold is rejected.
func TestDecimalsAreNotRounded(t *testing.T) {
	s := sqliteIn(t, "warehouse")
	path := write(t, t.TempDir(), "a.csv", "n\n1234567890.12345\n1234567890123456789\n1234567890.123456\n")
	r := newRig(t, &wire.IntegrationSource{Files: path},
		&wire.IntegrationTarget{Source: "warehouse", Table: "x", Create: true}, typed("n", "decimal")).with(s)
	r.spec().MaxRejected = 1
	expect(t, r.must(), "rows_written", "2", "rows_rejected", "1")
	if !strings.Contains(r.log.String(), "line 4") || !strings.Contains(r.log.String(), "the type text holds it") {
		t.Errorf("the log: %s", r.log.String())
	}
	same(t, "rows", rowsOf(t, s, "SELECT n FROM x ORDER BY n"), "1234567890.12345", "1234567890123456789")
}

func TestPartitionColumnOfTheSource(t *testing.T) {
	s := sqliteIn(t, "warehouse")
	path := write(t, t.TempDir(), "a.csv", "id,DS\n1,x\n")
	r := newRig(t, &wire.IntegrationSource{Files: path},
		&wire.IntegrationTarget{Source: "warehouse", Table: "x", Partition: ds("1"), Create: true}).with(s)
	r.must()
	same(t, "rows", rowsOf(t, s, "SELECT id, ds FROM x"), "1|1")
	if !strings.Contains(r.log.String(), `the source's column "DS" is not taken`) {
		t.Errorf("the log: %s", r.log.String())
	}
	r.spec().Columns = []*wire.Column{typed("id", ""), {Name: "ds", From: "DS"}}
	r.fails("integration.columns[1]", "a column of the partition")
}

// TestOneDatabaseToItself: reading goes on beside the transaction that writes.
func TestOneDatabaseToItself(t *testing.T) {
	s := sqliteIn(t, "warehouse")
	execute(t, s, `CREATE TABLE a (id integer, x text)`,
		`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO a SELECT i, 'row ' || i FROM n`)
	r := newRig(t, &wire.IntegrationSource{Source: "warehouse", Query: "SELECT * FROM a"},
		&wire.IntegrationTarget{Source: "warehouse", Table: "b", Create: true}).with(s)
	for range 2 {
		expect(t, r.must(), "rows_written", "20000")
	}
	same(t, "rows", rowsOf(t, s, "SELECT count(*), sum(a.id = b.id) FROM a JOIN b USING (x)"), "20000|20000")
}

func TestProgress(t *testing.T) {
	at := time.Unix(0, 0)
	r := newRig(t, &wire.IntegrationSource{Files: write(t, t.TempDir(), "a.csv", "id\n"+numbered(10*progressLook, "%d\n"))},
		&wire.IntegrationTarget{Folder: filepath.Join(t.TempDir(), "p"), Format: "csv"})
	r.now = func() time.Time { at = at.Add(2 * time.Second); return at }
	r.must()
	var got []string
	for line := range strings.Lines(r.log.String()) {
		before, after, _ := strings.Cut(line, " written")
		got = append(got, before+after[:1])
	}
	// The clock starts, and is looked at every 500 rows: 2, 4, 6 s, and so on.
	same(t, "lines", got, "1500 rows read, 1000,", "3000 rows read, 2000,", "4500 rows read, 4000,", "5000 rows read, 5000 ")
}

func TestWhatIsWrong(t *testing.T) {
	s := sqliteIn(t, "warehouse")
	execute(t, s, `CREATE TABLE x (id integer, name text)`)
	path := write(t, t.TempDir(), "a.csv", "id,name\n1,a\n")
	for name, c := range map[string]struct {
		change func(*wire.Integration)
		want   []string
	}{
		"a relative path":   {func(i *wire.Integration) { i.From.Files = "a.csv" }, []string{"integration.from.files", "absolute"}},
		"no file":           {func(i *wire.Integration) { i.From.Files = path + "x" }, []string{"no file matches", "mayBeEmpty"}},
		"a bad pattern":     {func(i *wire.Integration) { i.From.Files = "/[" }, []string{"is no pattern"}},
		"no such source":    {func(i *wire.Integration) { i.To.Source = "other" }, []string{`no data source "other"`}},
		"no such table":     {func(i *wire.Integration) { i.To.Table = "y" }, []string{"integration.to.table", "y"}},
		"no such column":    {func(i *wire.Integration) { i.Columns = []*wire.Column{{Name: "nam", From: "name"}} }, []string{`no column "nam"`, `did you mean "name"?`}},
		"not in the source": {func(i *wire.Integration) { i.Columns = []*wire.Column{{Name: "name", From: "nam"}} }, []string{`no column "nam"`, "id, name", path}},
		"twice":             {func(i *wire.Integration) { i.Columns = []*wire.Column{{Name: "id"}, {Name: "ID"}} }, []string{"integration.columns[1]", "twice"}},
		"a type":            {func(i *wire.Integration) { i.Columns = []*wire.Column{{Name: "id", Type: "int"}} }, []string{"integration.columns[0].type", "integer"}},
		"a format":          {func(i *wire.Integration) { i.Columns = []*wire.Column{{Name: "id", Type: "date", Format: "day"}} }, []string{"integration.columns[0].format", "yyyy"}},
		"a query": {func(i *wire.Integration) {
			i.From = &wire.IntegrationSource{Source: "warehouse", Query: "SELECT\nnothing FROM x"}
		}, []string{"integration.from.query", "line 2", "nothing"}},
		"a relative folder": {func(i *wire.Integration) { i.To = &wire.IntegrationTarget{Folder: "x", Format: "csv"} }, []string{"integration.to.folder", "absolute"}},
		"the root":          {func(i *wire.Integration) { i.To = &wire.IntegrationTarget{Folder: "/", Format: "csv"} }, []string{"integration.to.folder"}},
		"no format":         {func(i *wire.Integration) { i.To = &wire.IntegrationTarget{Folder: "/x/y"} }, []string{"integration.to.format"}},
		"a folder's values": {func(i *wire.Integration) {
			i.To = &wire.IntegrationTarget{Folder: "/x/y", Format: "csv", Partition: ds("1")}
		}, []string{"integration.to.partition"}},
		"a file as a folder": {func(i *wire.Integration) { i.To = &wire.IntegrationTarget{Folder: path, Format: "csv"} }, []string{"integration.to.folder"}},
		"no target":          {func(i *wire.Integration) { i.To = nil }, []string{"expected from and to"}},
		"no row for columns": {func(i *wire.Integration) {
			i.From = &wire.IntegrationSource{Files: path + "x", MayBeEmpty: true}
			i.To = &wire.IntegrationTarget{Source: "warehouse", Table: "new", Create: true}
		}, []string{"integration.columns", "list them"}},
		"a relative file of rejected rows": {func(i *wire.Integration) { i.RejectedFile = "x" }, []string{"integration.rejectedFile"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, &wire.IntegrationSource{Files: path}, &wire.IntegrationTarget{Source: "warehouse", Table: "x"}).with(s)
			c.change(r.spec())
			r.fails(c.want...)
			same(t, "tables", rowsOf(t, s, `SELECT name FROM sqlite_master WHERE name NOT LIKE 'backfleet%' AND type = 'table'`), "x")
		})
	}
}

// TestColumnsOfLaterFiles: they are found by name; what the first file has not is
// not dropped in silence.
func TestColumnsOfLaterFiles(t *testing.T) {
	in := t.TempDir()
	write(t, in, "0.csv", "")
	write(t, in, "1.csv", "a,b\n1,2\n")
	write(t, in, "2.csv", "b,c,a\n20,30,10\n")
	folder := filepath.Join(t.TempDir(), "p")
	r := newRig(t, &wire.IntegrationSource{Files: in + "/?.csv"}, &wire.IntegrationTarget{Folder: folder, Format: "csv"})
	r.fails(`there is a column "c" that the first of the files has not`, "2.csv")
	if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is there: %v", err)
	}
	r.spec().Columns = []*wire.Column{{Name: "a"}, {Name: "b"}, {Name: "again", From: "a"}}
	r.must()
	same(t, "rows", contents(t, folder), "1|2|1", "10|20|10")
	write(t, in, "3.csv", "a\n1\n")
	r.fails(`there is no column "b"`, "3.csv")
	write(t, in, "3.csv", "")
	r.spec().Columns = nil
	write(t, in, "2.csv", "b,a\n20,10\n")
	r.must()
	same(t, "rows", contents(t, folder), "1|2", "10|20")

	lines := write(t, t.TempDir(), "a.jsonl", numbered(sampleRows, `{"a":%d}`+"\n")+`{"a":1,"b":2}`+"\n")
	r = newRig(t, &wire.IntegrationSource{Files: lines}, &wire.IntegrationTarget{Folder: folder, Format: "csv"})
	r.task.Fence = 10
	r.fails(`the member "b" is not one of the first rows'`, fmt.Sprintf("line %d", sampleRows+1))
	r.spec().Columns = []*wire.Column{{Name: "a"}, {Name: "b"}}
	expect(t, r.must(), "rows_written", fmt.Sprint(sampleRows+1))
}
