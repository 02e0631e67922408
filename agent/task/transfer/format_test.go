package transfer

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"backfleet/pkg/wire"
)

// TestR12_1_Formats: what is read of files as people have them. A row that cannot
// be read is told with its place, and those after it are read.
func TestR12_1_Formats(t *testing.T) {
	for name, c := range map[string]struct {
		file, text string
		from       *wire.IntegrationSource
		columns    string
		rows       string // a line each; "! place: why" for what is refused
	}{
		"csv": {file: "a.csv", text: "id,name\n1,a\n2,\"b,\"\"c\"\"\nd\"\n3,\n", columns: "id:text name:text",
			rows: "1|a\n2|b,\"c\"\nd\n3|NULL"},
		"a mark at the beginning, and lines of Windows": {file: "a.csv", text: "\ufeffid,name\r\n1,a\r\n", columns: "id:text name:text", rows: "1|a"},
		"no header": {file: "a.csv", text: "1;a\n2;b\n", from: &wire.IntegrationSource{Delimiter: ";", NoHeader: true}, columns: "1:text 2:text", rows: "1|a\n2|b"},
		"tabs":      {file: "a.tsv", text: "id\tname\n1\ta\n", columns: "id:text name:text", rows: "1|a"},
		"tabs as people write them": {file: "a.txt", text: "id\tname\n1\ta\n", from: &wire.IntegrationSource{Format: "csv", Delimiter: `\t`},
			columns: "id:text name:text", rows: "1|a"},
		"a text that is no value": {file: "a.csv", text: "id,name\n1,\nNA,NA\n", from: &wire.IntegrationSource{NullText: "NA"}, columns: "id:text name:text", rows: "1|\nNULL|NULL"},
		"bad rows": {file: "a.csv", text: "id,name\n1,a\n2\n3,b,c\n4,x\"y\n5,e\n", columns: "id:text name:text",
			rows: "1|a\n! line 3: it has 1 fields: expected 2\n! line 4: it has 3 fields: expected 2\n! line 5: line 5, column 4: bare \"\n5|e"},
		"a quote that is never closed": {file: "a.csv", text: "id,name\n1,\"a\n2,b\n", columns: "id:text name:text", rows: "! line 2: line 3, column 5: extraneous or missing \""},
		"an empty csv file":            {file: "a.csv", text: ""},
		"a header alone":               {file: "a.csv", text: "id,name\n", columns: "id:text name:text"},
		"json lines": {file: "a.jsonl", text: "\ufeff{\"id\":1,\"x\":null,\"d\":1.50}\n\n{\"id\":2,\"o\":{\"a\": [1]},\"d\":2}\n", columns: "id:integer x:text d:decimal o:json",
			rows: "1|null|1.50|NULL\n2|NULL|2|{\"a\": [1]}"},
		"an array": {file: "a.json", text: " [ {\"b\":true},\n{\"b\":false, \"e\":1e5} ] ", columns: "b:boolean e:float", rows: "true|NULL\nfalse|1e5"},
		"bad json lines": {file: "a.ndjson", text: "{\"id\":1}\n{\"id\":\n[1]\n{\"id\":1,\"id\":2}\n{\"id\":3} x\n{\"id\":4}", columns: "id:integer",
			rows: "1\n! line 2: it ends within the object\n! line 3: it is no JSON object\n! line 4: the member \"id\" is there twice\n! line 5: there is more after the object\n4"},
		"types that grow": {file: "a.jsonl", text: `{"a":1,"b":1,"c":"x","d":1,"e":{}}` + "\n" + `{"a":9223372036854775808,"b":1e3,"c":1,"d":true,"e":"x"}` + "\n",
			columns: "a:decimal b:float c:text d:text e:json", rows: "1|1|\"x\"|1|{}\n9223372036854775808|1e3|1|true|\"x\""},
		"an empty file of lines": {file: "a.jsonl", text: "\n \n"},
	} {
		t.Run(name, func(t *testing.T) {
			from := cmp.Or(c.from, &wire.IntegrationSource{})
			from.Files = write(t, t.TempDir(), c.file, c.text)
			reads(t, from, c.columns, c.rows)
		})
	}
}

// reads reads a file and compares.
func reads(t *testing.T, from *wire.IntegrationSource, columns, rows string) {
	t.Helper()
	r, err := openFile(from.Files, from)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	var names, fields []string
	for _, f := range r.fields() {
		names, fields = append(names, f.name), append(fields, f.name+":"+string(f.kind))
	}
	if got := strings.Join(fields, " "); got != columns {
		t.Errorf("columns are %q; want %q", got, columns)
	}
	if err := r.bind(names, nil); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for {
		rec, err := r.next()
		var why refusal
		switch {
		case errors.Is(err, io.EOF):
			got := strings.Split(strings.Join(lines, "\n"), "\n! ")
			want := strings.Split(rows, "\n! ")
			if len(got) != len(want) {
				t.Fatalf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), rows)
			}
			for i := range got {
				if !agrees(got[i], want[i]) {
					t.Errorf("got\n%s\nwant\n%s", got[i], want[i])
				}
			}
			return
		case errors.As(err, &why):
			lines = append(lines, "! "+strings.TrimPrefix(rec.where(), from.Files+", ")+": "+string(why))
		case err != nil:
			t.Fatal(err)
		default:
			lines = append(lines, joined(rec.cells))
		}
	}
}

// agrees compares texts of which the first line, a reason, may go on longer.
func agrees(got, want string) bool {
	gotFirst, gotRest, _ := strings.Cut(got, "\n")
	wantFirst, wantRest, _ := strings.Cut(want, "\n")
	if strings.Contains(wantFirst, ": ") {
		return strings.HasPrefix(gotFirst, wantFirst) && gotRest == wantRest
	}
	return got == want
}

func TestPackedFiles(t *testing.T) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte("id\n1\n")); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	path := write(t, t.TempDir(), "a.CSV.gz", b.String())
	reads(t, &wire.IntegrationSource{Files: path}, "id:text", "1")
	broken := write(t, t.TempDir(), "a.csv.gz", "id\n1\n")
	if _, err := openFile(broken, &wire.IntegrationSource{}); err == nil || !strings.Contains(err.Error(), "not packed as its name says") {
		t.Errorf("got %v", err)
	}
	cut := write(t, t.TempDir(), "a.csv.gz", b.String()[:b.Len()-6])
	if r, err := openFile(cut, &wire.IntegrationSource{}); err == nil {
		_ = r.bind([]string{"id"}, nil)
		for err == nil {
			_, err = r.next()
		}
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("a file that was cut ends like a whole one: %v", err)
		}
	}
}

func TestFilesThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		file, text string
		from       *wire.IntegrationSource
		want       string
	}{
		"UTF-16":                {file: "a.csv", text: "\xff\xfei\x00d\x00", want: "expected UTF-8"},
		"an unknown name":       {file: "a.txt", text: "x", want: "integration.from.format"},
		"no parquet":            {file: "a.parquet", text: "PAR1 this is none PAR1", want: "no Parquet file"},
		"an empty parquet":      {file: "a.parquet", text: "", want: "no Parquet file"},
		"a long delimiter":      {file: "a.csv", text: "x", from: &wire.IntegrationSource{Delimiter: "::"}, want: "expected one character"},
		"an unknown format":     {file: "a.csv", text: "x", from: &wire.IntegrationSource{Format: "xml"}, want: "csv, jsonl or parquet"},
		"a header that is none": {file: "a.csv", text: "a\"b\n", want: "first line cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, t.TempDir(), c.file, c.text)
			if _, err := openFile(path, cmp.Or(c.from, &wire.IntegrationSource{})); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) && c.file != "a.txt" {
				t.Errorf("got %v; want %q and the path", err, c.want)
			}
		})
	}
}

// TestARowHasAnEnd: a quote that is never closed does not take the file into
// memory.
func TestARowHasAnEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.csv")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("id,name\n1,\""); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(2 * maxRecord); err != nil { // the rest is zeros
		t.Fatal(err)
	}
	r, err := openFile(path, &wire.IntegrationSource{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	if err := r.bind([]string{"id"}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err = r.next(); err == nil || !strings.Contains(err.Error(), "is a quote") {
		t.Errorf("got %v", err)
	}
}

// TestParquetOfOthers: types that we do not write ourselves.
func TestParquetOfOthers(t *testing.T) {
	type inner struct{ A int64 }
	type row struct {
		I8    int8      `parquet:"i8"`
		U32   uint32    `parquet:"u32"`
		U64   uint64    `parquet:"u64"`
		F32   float32   `parquet:"f32"`
		Raw   []byte    `parquet:"raw"`
		Price int64     `parquet:"price,decimal(2:18)"`
		Small int32     `parquet:"small,decimal(3:9)"`
		Ms    time.Time `parquet:"ms,timestamp(millisecond)"`
		Ns    time.Time `parquet:"ns,timestamp(nanosecond)"`
		Day   int32     `parquet:"day,date"`
		ID    [16]byte  `parquet:"id,uuid"`
		Opt   *string   `parquet:"opt,optional"`
		List  []int64   `parquet:"list,list"`
		Group inner     `parquet:"group"`
	}
	path := filepath.Join(t.TempDir(), "a.parquet")
	at := time.Date(1969, 12, 31, 23, 59, 59, 123456789, time.UTC)
	some := "x"
	rows := []row{
		{I8: -1, U32: 4_000_000_000, U64: 18_000_000_000_000_000_000, F32: 0.5, Raw: []byte("b"), Price: -1250, Small: 5, Ms: at, Ns: at, Day: -1, ID: [16]byte{15: 1}, Opt: &some, List: []int64{1, 2}},
		{ID: [16]byte{}, Ms: at, Ns: at},
	}
	if err := parquet.WriteFile(path, rows); err != nil {
		t.Fatal(err)
	}
	r, err := openFile(path, &wire.IntegrationSource{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	names := strings.Fields("i8 u32 u64 f32 raw price small ms ns day id opt")
	if err := r.bind(names, nil); err != nil {
		t.Fatal(err)
	}
	var got []string
	for {
		rec, err := r.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, joined(rec.cells))
	}
	same(t, "rows", got,
		"-1|4000000000|18000000000000000000|0.5|b|-12.5|0.005|1969-12-31 23:59:59.123|1969-12-31 23:59:59.123456|1969-12-31|00000000-0000-0000-0000-000000000001|x",
		"0|0|0|0||0|0|1969-12-31 23:59:59.123|1969-12-31 23:59:59.123456|1970-01-01|00000000-0000-0000-0000-000000000000|NULL")
	for _, name := range []string{"list", "group"} {
		if err := r.bind([]string{name}, nil); err == nil || !strings.Contains(err.Error(), "no type holds") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestParquetHasTheColumnsInOrder and several row groups.
func TestParquetWriter(t *testing.T) {
	columns := []column{{name: "z", kind: integer}, {name: "a", kind: decimal}, {name: "m", kind: text}}
	var b bytes.Buffer
	w, err := newParquetWriter(columns, &b)
	if err != nil {
		t.Fatal(err)
	}
	const rows = 1000
	for i := range rows {
		if i == rows/2 {
			w.held = rowGroupBytes // as if so much had come
		}
		if err := w.add([]any{int64(i), number("-0.5"), nil}); err != nil {
			t.Fatal(err)
		}
	}
	var why refusal
	if err := w.add([]any{int64(1), number("0.0000000000000000001"), nil}); !errors.As(err, &why) || !strings.Contains(string(why), `column "a"`) {
		t.Errorf("a decimal that has no room: got %v", err)
	}
	if err := w.add([]any{int64(1), number("100000000000000000000"), nil}); !errors.As(err, &why) {
		t.Errorf("a decimal that is too large: got %v", err)
	}
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	f, err := parquet.OpenFile(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if f.NumRows() != rows || len(f.RowGroups()) != 2 {
		t.Errorf("%d rows in %d groups; want %d in 2", f.NumRows(), len(f.RowGroups()), rows)
	}
	var names []string
	for _, c := range f.Root().Columns() {
		names = append(names, c.Name())
	}
	same(t, "columns", names, "z", "a", "m")
	path := write(t, t.TempDir(), "a.parquet", b.String())
	got := contents(t, filepath.Dir(path))
	if len(got) != rows || got[0] != "0|-0.5|NULL" || got[rows-1] != "999|-0.5|NULL" {
		t.Errorf("got %d rows, %s to %s", len(got), got[0], got[len(got)-1])
	}
}

// TestDamagedParquet: whatever is wrong in a file, it is an error and no crash.
func TestDamagedParquet(t *testing.T) {
	var b bytes.Buffer
	w, err := newParquetWriter([]column{{name: "a", kind: text}, {name: "b", kind: decimal}}, &b)
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if err := w.add([]any{"text", number("1.5")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	refused := 0
	for at := range b.Len() {
		damaged := bytes.Clone(b.Bytes())
		damaged[at] ^= 0xff
		path := write(t, folder, "a.parquet", string(damaged))
		r, err := openFile(path, &wire.IntegrationSource{})
		if err == nil {
			if err = r.bind([]string{"a", "b"}, nil); err == nil {
				for n := 0; err == nil && n < 1000; n++ {
					_, err = r.next()
				}
			}
			_ = r.close()
		}
		if err != nil && !errors.Is(err, io.EOF) {
			refused++
		}
	}
	if refused < b.Len()/10 {
		t.Errorf("only %d of %d damages were noticed", refused, b.Len())
	}
}
