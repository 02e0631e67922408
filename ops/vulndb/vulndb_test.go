package vulndb

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestKeep(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "copy")
	write := func(name, text string) string {
		path := filepath.Join(from, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	sum := write("go.sum", "example.org/used v1.0.0 h1:x\nexample.org/used v1.0.0/go.mod h1:x\n")
	write("index/db.json", "{}")
	write("index/modules.json", `[{"path":"example.org/used","vulns":[{"id":"GO-1","modified":"m"}]},{"path":"example.org/other","vulns":[{"id":"GO-2","modified":"m"}]},{"path":"stdlib","vulns":[{"id":"GO-3","modified":"m","fixed":"1.2"}]}]`)
	for _, id := range []string{"GO-1", "GO-2", "GO-3"} {
		write("ID/"+id+".json", `{"id":"`+id+`"}`)
	}
	for range 2 { // again, in place of the first
		if n, err := Keep(from, sum, to); n != 2 || err != nil {
			t.Fatalf("%d reports, %v", n, err)
		}
	}
	reports, _ := filepath.Glob(filepath.Join(to, "ID", "*"))
	index, err := os.ReadFile(filepath.Join(to, "index", "modules.json"))
	if len(reports) != 2 || err != nil || strings.Contains(string(index), "other") || !strings.Contains(string(index), `"fixed": "1.2"`) {
		t.Errorf("kept %v, %s, %v", reports, index, err)
	}
	if _, err := Keep(to+"-nowhere", sum, to); err == nil {
		t.Error("a folder that is not there was taken")
	}
}
