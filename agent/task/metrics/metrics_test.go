package metrics_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"backfleet/agent/task/metrics"
	"backfleet/pkg/wire"
)

// told writes metrics as people read them.
func told(list []*wire.Metric) string {
	var parts []string
	for _, m := range list {
		parts = append(parts, m.Name+"="+m.Value)
	}
	return strings.Join(parts, " ")
}

func TestWhatIsRead(t *testing.T) {
	long := strings.Repeat("n", 64)
	for name, c := range map[string]struct{ text, want, note string }{
		"nothing":                   {"", "", ""},
		"lines":                     {"rows=1\nchecksum=ab c\n", "rows=1 checksum=ab c", ""},
		"no newline at the end":     {"rows=1", "rows=1", ""},
		"of another system":         {"rows= 1 \r\n\r\n  b=2\r\n", "rows=1 b=2", ""},
		"the last one counts":       {"a=1\nb=2\na=3\n", "a=3 b=2", ""},
		"a value with =":            {"a=b=c\n", "a=b=c", ""},
		"the longest name":          {long + "=1\n", long + "=1", ""},
		"a name that is longer":     {long + "n=1\nb=2\n", "b=2", "1 of the lines are left out, the first is line 1: expected a name"},
		"no value":                  {"a=\n", "", "line 1: a: expected a value"},
		"no name":                   {"=1\n", "", "line 1: expected a name"},
		"no metric":                 {"a=1\n\nhello\n1a=2\n", "a=1", "2 of the lines are left out, the first is line 3: expected name=value"},
		"a blank in the name":       {"a b=1\n", "", "line 1: expected a name"},
		"letters of other scripts":  {"größe=1\n", "", "line 1: expected a name"},
		"control characters":        {"a=1\x1b[2J\n", "", "line 1: a: expected a number or a short text"},
		"bytes that are no text":    {"a=\xff\n", "", "line 1: a: expected a number or a short text"},
		"the last is malformed":     {"a=1\na=\n", "a=1", "line 2: a: expected a value"},
		"a value beyond all bounds": {"a=1\nb=" + strings.Repeat("x", 2<<10) + "\nc=3\n", "a=1 c=3", "1 are left out, b the first of them: at most 32, of 2048 bytes together"},
	} {
		t.Run(name, func(t *testing.T) {
			list, notes := metrics.Read([]byte(c.text))
			if got := told(list); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if note := strings.Join(notes, "; "); !strings.Contains(note, c.note) || (c.note == "") != (note == "") {
				t.Errorf("noted %q, want %q", note, c.note)
			}
		})
	}
}

func TestThirtyTwoAreKept(t *testing.T) {
	var b strings.Builder
	for i := range 40 {
		fmt.Fprintf(&b, "m%d=%d\n", i, i)
	}
	b.WriteString("m3=last\nm39=last\n")
	list, notes := metrics.Read([]byte(b.String()))
	if len(list) != metrics.MostNames || list[3].Value != "last" || len(notes) != 1 || !strings.Contains(notes[0], "8 are left out, m32 the first") {
		t.Errorf("%d kept, %v, %v", len(list), told(list), notes)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("a=1\nb=2\na=3\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, notes := metrics.Read(text)
		bytes, seen := 0, map[string]bool{}
		for _, m := range list {
			again, _ := metrics.Read([]byte(m.Name + "=" + m.Value))
			if seen[m.Name] || told(again) != m.Name+"="+m.Value {
				t.Fatalf("%q is no metric, or is there twice", m)
			}
			seen[m.Name] = true
			bytes += len(m.Name) + len(m.Value)
		}
		if len(list) > metrics.MostNames || bytes > metrics.MostBytes || len(notes) > 2 {
			t.Fatalf("%d metrics of %d bytes, %d notes", len(list), bytes, len(notes))
		}
	})
}

func TestAReport(t *testing.T) {
	path := filepath.Join(t.TempDir(), metrics.File)
	var r metrics.Report
	if err := r.Write(); err != nil { // without the variable
		t.Fatal(err)
	}
	t.Setenv(metrics.Variable, path)
	if err := r.Write(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("nothing was reported, and there is a file")
	}
	r.Set("rows", 3)
	r.Set("share", 12345678.5)
	r.Set("note", "two\nlines")
	r.Set("rows", int64(4))
	if err := r.Write(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	list, notes := metrics.Read(text)
	if want := "rows=4 share=12345678.5 note=two lines"; told(list) != want || len(notes) > 0 {
		t.Errorf("got %q, %v, want %q", told(list), notes, want)
	}
	t.Setenv(metrics.Variable, filepath.Join(path, "below a file"))
	if err := r.Write(); err == nil || !strings.Contains(err.Error(), metrics.Variable) {
		t.Errorf("got %v, want the variable's name", err)
	}
	var none *metrics.Report
	none.Set("a", 1)
	if err := none.Write(); err != nil {
		t.Error(err)
	}
}
