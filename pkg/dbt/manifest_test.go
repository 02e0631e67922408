package dbt_test

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"backfleet/pkg/dbt"
	"backfleet/pkg/fault"
)

func head(version any) string {
	return fmt.Sprintf(`{"metadata": {"dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v%v.json", "dbt_version": "1.x", "project_name": "p"}`, version)
}

func TestVersions(t *testing.T) {
	for _, v := range dbt.Schemas {
		m, err := dbt.Read(strings.NewReader(head(v) + `, "nodes": {}}`))
		if err != nil || m.Schema != v || m.DBT != "1.x" || m.Project != "p" {
			t.Errorf("version %d: %+v %v", v, m, err)
		}
	}
	old, err := dbt.Read(strings.NewReader(`{"metadata": {"dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v9.json"}}`))
	if err != nil || old.Project != "unnamed" {
		t.Errorf("without a name: %+v %v", old, err)
	}
	for _, c := range []struct{ text, want string }{
		{head(8) + `}`, "it has version 8, written by dbt 1.x; expected the target/manifest.json of dbt 1.5 or later (versions 9 to 12, or 20)"},
		{head(13) + `}`, "it has version 13"},
		{head("x") + `}`, "its metadata.dbt_schema_version is"},
		{`{"metadata": {"dbt_schema_version": "https://schemas.getdbt.com/dbt/run-results/v5.json"}}`, "it is a file of run-results"},
		{`{"nodes": {}}`, "it does not say of which version it is"},
		{`{}`, "it does not say of which version it is"},
		{`[]`, "at byte 1: expected what dbt writes"},
		{`nodes:`, "cannot be read, at byte"},
		{``, "ends in the middle, after 0 bytes"},
		{head(12) + `, "nodes": {"model.p.a": {"na`, "ends in the middle, after"},
		{head(12) + `, "macros": {"x": [`, "ends in the middle, after"},
		{head(12) + `, "nodes": {"model.p.a": {"name": 7}}}`, "model.p.a: json: cannot unmarshal number"},
		{head(12) + `, "nodes": [1]}`, "expected an object"},
		{head(12) + `, "nodes": {"model.p.a": {}, "model.p.a": {}}}`, `has "model.p.a" twice`},
	} {
		if m, err := dbt.Read(strings.NewReader(c.text)); err == nil || !strings.Contains(err.Error(), c.want) || !fault.Is(err, fault.Invalid) || m != nil {
			t.Errorf("%s: got %v, want %s", c.text, err, c.want)
		}
	}
}

// TestOwners: what people write into meta.owner, and what they do not.
func TestOwners(t *testing.T) {
	for _, c := range []struct{ fields, want string }{
		{`"meta": {"owner": "ana"}`, "ana"},
		{`"meta": {"owner": ["ana", "bo"]}`, "ana, bo"},
		{`"meta": {"owner": {"name": "Ana", "email": "ana@x"}}`, "Ana"},
		{`"meta": {"owner": {"email": ["ana@x", "bo@x"]}}`, "ana@x, bo@x"},
		{`"meta": {"owner": 7}`, ""},
		{`"meta": {"owner": null}, "config": {"meta": null}`, ""},
		{`"meta": {"owner": "old"}, "config": {"meta": {"owner": "new"}}`, "new"},
		{`"group": "g"`, "Team"},
		{`"config": {"group": "g"}`, "Team"},
		{`"group": "h"`, ""},
		{`"meta": {"owner": "ana"}, "group": "g"`, "ana"},
	} {
		text := head(10) + `, "nodes": {"model.p.a": {"package_name": "p", ` + c.fields + `}},
			"groups": {"group.p.g": {"name": "g", "package_name": "p", "owner": {"name": "Team", "email": null}}}}`
		m, err := dbt.Read(strings.NewReader(text))
		if err != nil || len(m.Resources) != 1 || m.Resources[0].Owner != c.want {
			t.Errorf("%s: got %v %v, want %q", c.fields, m, err, c.want)
		}
	}
}

// large is a manifest that is made while it is read: models, and then macros,
// of which nothing is to be kept.
type large struct {
	parts    []string
	times    []int
	rest     string
	n        int
	peak     uint64
	measured int
}

func (l *large) Read(p []byte) (int, error) {
	for l.rest == "" {
		if len(l.parts) == 0 {
			return 0, io.EOF
		}
		if l.rest = l.parts[0]; strings.Contains(l.rest, "%d") {
			l.rest = fmt.Sprintf(l.rest, l.n)
		}
		l.n++
		if l.times[0]--; l.times[0] == 0 {
			l.parts, l.times = l.parts[1:], l.times[1:]
		}
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	if l.measured += n; l.measured > 4<<20 {
		l.measured = 0
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		l.peak = max(l.peak, m.HeapAlloc)
	}
	return n, nil
}

func TestMemoryIsBounded(t *testing.T) {
	code := strings.Repeat(`select '{\"a\": [1, 2]}' \n`, 2000) // 50 KB
	l := &large{
		parts: []string{
			head(12) + `, "nodes": {"model.p.first": {}`,
			`, "model.p.m%d": {"resource_type": "model", "package_name": "p", "name": "m", "fqn": ["p", "m"], "raw_code": "` + code + `", "depends_on": {"nodes": ["model.p.first"]}}`,
			`}, "macros": {"macro.p.first": {}`,
			`, "macro.p.m%d": {"macro_sql": "` + code + `", "arguments": [[], {"a": [null, true, 1.5]}]}`,
			`}}`,
		},
		times: []int{1, 400, 1, 400, 1},
	}
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	m, err := dbt.Read(l)
	if err != nil || len(m.Resources) != 401 {
		t.Fatal(m, err)
	}
	if most := before.HeapAlloc + 4<<20; l.peak > most || l.peak == 0 {
		t.Errorf("40 MB took %d bytes, at most %d were expected", l.peak, most)
	}
}
