package transfer

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"backfleet/pkg/wire"
)

// drawn is a row as it was made up, its cells as the first file has them.
type drawn struct{ cells []string }

const noValue = `\N`

var drawnColumns = []*wire.Column{
	{Name: "t", Type: "text"}, {Name: "i", Type: "integer"}, {Name: "d", Type: "decimal"}, {Name: "f", Type: "float"},
	{Name: "b", Type: "boolean"}, {Name: "day", Type: "date", Format: "dd.mm.yyyy"}, {Name: "at", Type: "timestamp"}, {Name: "j", Type: "json"},
}

func drawRow(t *rapid.T) drawn {
	draw := func(g *rapid.Generator[string], name string) string {
		if rapid.IntRange(0, 7).Draw(t, name+" is missing") == 0 {
			return noValue
		}
		return g.Draw(t, name)
	}
	moments := rapid.Map(rapid.Int64Range(int64(firstDate)*microsADay, int64(lastDate)*microsADay), func(m int64) time.Time { return moment(m).time() })
	return drawn{[]string{
		draw(rapid.StringOf(rapid.RuneFrom([]rune("ab ,;\"'\\\n\téß漢😀|{}"))), "t"),
		draw(rapid.Map(rapid.Int64(), func(i int64) string { return strconv.FormatInt(i, 10) }), "i"),
		draw(rapid.StringMatching(`-?[0-9]{0,8}[0-9](\.[0-9]{0,6})?`), "d"),
		draw(rapid.Map(rapid.Float64(), func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }), "f"),
		draw(rapid.SampledFrom([]string{"true", "false"}), "b"),
		draw(rapid.Map(moments, func(m time.Time) string { return m.Format("02.01.2006") }), "day"),
		draw(rapid.Map(moments, func(m time.Time) string { return m.Format("2006-01-02T15:04:05.000000Z") }), "at"),
		draw(rapid.SampledFrom([]string{`{"b": [1, 2.50, null], "a": "<é>"}`, `[]`, `"text"`, `true`, `-0.5`, `{"": {}}`}), "j"),
	}}
}

// told compares a row at the end of the way with how it was made up, by other
// means than those that carried it.
func (d drawn) told(line string) error {
	decoder := json.NewDecoder(strings.NewReader(line))
	decoder.UseNumber()
	var got map[string]any
	if err := decoder.Decode(&got); err != nil {
		return err
	}
	for i, c := range drawnColumns {
		was, is := d.cells[i], got[c.Name]
		if was == noValue {
			if is != nil {
				return fmt.Errorf("%s is %v; there was none", c.Name, is)
			}
			continue
		}
		var same bool
		switch c.Type {
		case "text":
			same = is == was
		case "integer":
			same = is == json.Number(was)
		case "decimal":
			a, okA := new(big.Rat).SetString(was)
			b, okB := new(big.Rat).SetString(fmt.Sprint(is))
			same = okA && okB && a.Cmp(b) == 0
		case "float":
			a, errA := strconv.ParseFloat(was, 64)
			b, errB := strconv.ParseFloat(fmt.Sprint(is), 64)
			same = errA == nil && errB == nil && a == b
		case "boolean":
			same = fmt.Sprint(is) == was
		case "date":
			same = is == was[6:]+"-"+was[3:5]+"-"+was[:2]
		case "timestamp":
			head, fraction, _ := strings.Cut(strings.TrimSuffix(strings.Replace(was, "T", " ", 1), "Z"), ".")
			if fraction = strings.TrimRight(fraction, "0"); fraction != "" {
				head += "." + fraction
			}
			same = is == head
		case "json":
			var a, b any
			text, err := json.Marshal(is)
			same = err == nil && json.Unmarshal([]byte(was), &a) == nil && json.Unmarshal(text, &b) == nil && reflect.DeepEqual(a, b)
		}
		if !same {
			return fmt.Errorf("%s was %q and is %v", c.Name, was, is)
		}
	}
	return nil
}

// TestR12_1_AllTheWayRound: CSV → Parquet → JSON lines → SQLite → JSON lines
// leaves every value what it was, and every stage has the same checksum.
func TestR12_1_AllTheWayRound(t *testing.T) {
	folder, s := t.TempDir(), sqliteIn(t, "warehouse")
	rapid.Check(t, func(rt *rapid.T) {
		rows := rapid.SliceOfN(rapid.Custom(drawRow), 0, 20).Draw(rt, "rows")
		var b bytes.Buffer
		w := csv.NewWriter(&b)
		var header []string
		for _, c := range drawnColumns {
			header = append(header, c.Name)
		}
		_ = w.Write(header)
		for _, r := range rows {
			_ = w.Write(r.cells)
		}
		w.Flush()
		file := write(t, folder, "a.csv", b.String())
		asParquet, asLines, back := filepath.Join(folder, "parquet"), filepath.Join(folder, "lines"), filepath.Join(folder, "back")
		typedColumns := make([]*wire.Column, len(drawnColumns))
		for i, c := range drawnColumns {
			typedColumns[i] = typed(c.Name, c.Type)
		}
		stages := []*rig{
			newRig(t, &wire.IntegrationSource{Files: file, NullText: noValue}, &wire.IntegrationTarget{Folder: asParquet, Format: "parquet"}, drawnColumns...),
			newRig(t, &wire.IntegrationSource{Files: asParquet + "/*"}, &wire.IntegrationTarget{Folder: asLines, Format: "jsonl"}),
			newRig(t, &wire.IntegrationSource{Files: asLines + "/*"}, &wire.IntegrationTarget{Source: "warehouse", Table: "x", Create: true}, typedColumns...),
			newRig(t, &wire.IntegrationSource{Source: "warehouse", Query: "SELECT * FROM x ORDER BY rowid"}, &wire.IntegrationTarget{Folder: back, Format: "jsonl"}),
		}
		sum := ""
		for i, r := range stages {
			r.task.Fence = uint64(time.Now().UnixNano())
			m := r.with(s).must()
			if sum == "" {
				sum = m["checksum"]
			}
			if m["rows_written"] != fmt.Sprint(len(rows)) || m["checksum"] != sum {
				rt.Fatalf("stage %d: %v; %d rows, checksum %s before", i, m, len(rows), sum)
			}
		}
		text, err := os.ReadFile(filepath.Join(back, "part-00000.jsonl"))
		if err != nil {
			rt.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		for i, r := range rows {
			if err := r.told(lines[i]); err != nil {
				rt.Fatalf("row %d: %v", i, err)
			}
		}
	})
}

// TestR12_1_ReadIsWrittenAndRejected: whatever is wrong with rows, those that
// are written and those that are rejected are those that were read, in any
// batches, and the target has the former.
func TestR12_1_ReadIsWrittenAndRejected(t *testing.T) {
	s := sqliteIn(t, "warehouse")
	execute(t, s, `CREATE TABLE x (id integer, n integer CHECK (n <> 7), ds text)`)
	folder := t.TempDir()
	fence := uint64(0)
	rapid.Check(t, func(rt *rapid.T) {
		lines := rapid.SliceOf(rapid.SampledFrom([]string{"1,1", "2,7", "x,1", "3", "4,4,4", `5,"5"`, `6,6"`, ",3", "8,"})).Draw(rt, "lines")
		good := 0
		for _, l := range lines {
			if l == "1,1" || l == `5,"5"` || l == "8," {
				good++
			}
		}
		file := write(t, folder, "a.csv", "id,n\n"+strings.Join(lines, "\n")+"\n")
		r := newRig(t, &wire.IntegrationSource{Files: file}, &wire.IntegrationTarget{Source: "warehouse", Table: "x", Partition: ds("a")},
			&wire.Column{Name: "id", Required: true}, &wire.Column{Name: "n"}).with(s)
		r.spec().Batch = rapid.Uint32Range(0, 5).Draw(rt, "batch")
		r.spec().MaxRejected = int64(len(lines))
		r.spec().RejectedFile = filepath.Join(folder, "rejected")
		r.task.Fence = fence
		m := r.must()
		fence = r.task.Fence
		expect(t, m, "rows_read", fmt.Sprint(len(lines)), "rows_written", fmt.Sprint(good), "rows_rejected", fmt.Sprint(len(lines)-good))
		same(t, "rows", rowsOf(t, s, "SELECT count(*) FROM x"), fmt.Sprint(good))
		b, err := os.ReadFile(filepath.Join(folder, "rejected"))
		if err != nil || bytes.Count(b, []byte("\n")) != len(lines)-good {
			rt.Fatalf("%v: the file of rejected rows is\n%s", err, b)
		}
		if t.Failed() {
			rt.Fatal("see above")
		}
	})
}
