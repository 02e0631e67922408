package node

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"go.yaml.in/yaml/v3"
)

func schema(t *testing.T) *openapi3.Schema {
	t.Helper()
	var s openapi3.Schema
	if err := json.Unmarshal(Schema, &s); err != nil {
		t.Fatal(err)
	}
	return &s
}

// TestSchemaHasTheReadersFields walks the reader's tables and the schema side
// by side.
func TestSchemaHasTheReadersFields(t *testing.T) {
	root := schema(t)
	schedule, integration, logical := root.Properties["schedule"].Value, root.Properties["integration"].Value, root.Properties["logical"].Value
	for _, c := range []struct {
		path   string
		names  []string
		schema *openapi3.Schema
	}{
		{"node", nodeShape.names(), root},
		{"baseline", baselineShape.names(), root.Properties["baseline"].Value},
		{"schedule", scheduleShape.names(), schedule},
		{"hourly", intervalShape.names(), schedule.Properties["hourly"].Value},
		{"minutely", intervalShape.names(), schedule.Properties["minutely"].Value},
		{"upstream", upstreamShape.names(), root.Properties["upstreams"].Value.Items.Value.AnyOf[1].Value},
		{"limits", limitsShape.names(), root.Properties["limits"].Value},
		{"environment", valueFields, root.Properties["environment"].Value.AdditionalProperties.Schema.Value.AnyOf[3].Value},
		{"params", valueFields, root.Properties["params"].Value.AdditionalProperties.Schema.Value.AnyOf[3].Value},
		{"python", pythonShape.names(), root.Properties["python"].Value},
		{"sql", sqlShape.names(), root.Properties["sql"].Value},
		{"http", httpShape.names(), root.Properties["http"].Value},
		{"check", checkShape.names(), root.Properties["check"].Value},
		{"integration", integrationShape.names(), integration},
		{"from", fromShape.names(), integration.Properties["from"].Value},
		{"to", toShape.names(), integration.Properties["to"].Value},
		{"column", columnShape.names(), integration.Properties["columns"].Value.Items.Value.AnyOf[1].Value},
		{"logical", logicalShape.names(), logical},
		{"field", logicalFieldShape.names(), logical.Properties["fields"].Value.Items.Value},
		{"notify", subscriptionShape.names(), root.Properties["notify"].Value.Items.Value.AnyOf[1].Value},
		{"unit", unitShape.names(), logical.Properties["units"].Value.Items.Value},
	} {
		var inSchema []string
		for name := range c.schema.Properties {
			inSchema = append(inSchema, name)
		}
		slices.Sort(inSchema)
		inReader := slices.Clone(c.names)
		slices.Sort(inReader)
		if !slices.Equal(inReader, inSchema) {
			t.Errorf("%s: the reader takes %v, the schema %v", c.path, inReader, inSchema)
		}
		if has := c.schema.AdditionalProperties.Has; has == nil || *has {
			t.Errorf("%s: the schema takes fields that the reader refuses", c.path)
		}
	}
}

func valid(t *testing.T, text []byte) error {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(asJSON, &v); err != nil {
		t.Fatal(err)
	}
	return schema(t).VisitJSON(v)
}

func TestSchemaTakesTheExamples(t *testing.T) {
	seen := 0
	err := filepath.WalkDir("../../ops/examples", func(name string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(name) != ".yaml" || filepath.Base(filepath.Dir(name)) == "sources" { // those are of data sources
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if err := valid(t, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		seen++
		return nil
	})
	if err != nil || seen == 0 {
		t.Errorf("%d example files, %v", seen, err)
	}
}

func TestSchemaTellsRightFromWrong(t *testing.T) {
	for text, right := range map[string]bool{
		"{id: a, code: x}": true,
		"{id: a, codeFile: x.sh, schedule: {hourly: {from: '00:00', to: '03:00', every: 1h}}, timeout: 10m}":                                            true,
		"{id: a, code: x, upstreams: [b, {node: c, dates: -6..0}, {node: d, dates: monthStart..0}]}":                                                    true,
		"{id: a, code: x, environment: {A: b, C: {fromApply: D}, E: 1}, params: {p: '${yyyymmdd}', q: 7}}":                                              true,
		"{id: a, code: x, baseline: {name: core, priority: 8}, retries: 3, dependsOnSelf: true}":                                                        true,
		"{id: a, code: x, schedule: {kind: weekly, weekdays: [mon, sun], at: '02:00', auto: true}}":                                                     true,
		"{id: a, code: x, schedule: {kind: monthly, days: [1, 15, last]}, mode: paused}":                                                                true,
		"{id: a, code: x, schedule: {kind: yearly, months: [1, 7], days: [last]}, dependsOnChildren: true}":                                             true,
		"{id: a, code: x, schedule: {kind: minutely, from: '00:00', to: '03:00', every: 15m}, mode: dryRun}":                                            true,
		"{id: a, code: x, upstreams: [{node: b, previous: true}]}":                                                                                      true,
		"{id: a, code: x, requires: {gpu: 'true', zone: 7}, slots: 2, user: etl, secrets: [DB_PASSWORD]}":                                               true,
		"{id: a, code: x, limits: {memory: 2GiB, cpu: 1.5, processes: 200, openFiles: 1024, core: 0, nice: 5}, exitCodes: {'75': retry, '99': skip}}":   true,
		"{id: a, type: virtual, upstreams: [b, {node: c, fields: [amount]}]}":                                                                           true,
		"{id: a, code: x, params: {d: {fromApply: D, default: x}}}":                                                                                     true,
		"{id: a, type: python, codeFile: x.py, python: {arguments: [1, a, true]}}":                                                                      true,
		"{id: a, type: sql, source: s, code: select 1, sql: {transaction: true}}":                                                                       true,
		"{id: a, type: http, http: {url: 'https://h/', headers: {A: b}, retries: 3}}":                                                                   true,
		"{id: a, type: check, source: s, code: select 1, check: {value: 1, min: 0.5}}":                                                                  true,
		"{id: a, type: check, code: 'true'}":                                                                                                            true,
		"{id: a, type: integration, integration: {from: {files: /a}, to: {folder: /b/c, format: csv}, columns: [a, {name: b, type: date}]}}":            true,
		"{id: a, type: logical_fact, source: s, logical: {table: t, fields: [{name: a, type: text}], units: [{id: u, code: select 1, fields: [a]}]}}":   true,
		"{id: a, type: logical_table, source: s, logical: {table: t, fields: [{name: a, type: text}], units: [{id: u, code: select 1, fields: [a]}]}}":  false,
		"{id: a, type: logical_fact, logical: {table: t, fields: [{name: a, type: text}], units: [{id: u, code: select 1, fields: [a]}]}}":              false,
		"{id: a, type: logical_fact, source: s, logical: {table: t, fields: [{name: a, type: string}], units: [{id: u, code: select 1, fields: [a]}]}}": false,
		"{id: a, type: logical_fact, source: s, logical: {table: t, fields: [{name: a, type: text}], units: [{id: u, fields: [a]}]}}":                   false,
		"{id: a, type: http, code: curl}":                                     false,
		"{id: a, type: http, http: {url: 'https://h/', method: post}}":        false,
		"{id: a, type: integration, integration: {from: {files: /a}}}":        false,
		"{id: a, type: check, source: s, code: select 1, check: {rows: -1}}":  false,
		"{id: a, type: python}":                                               false,
		"{id: a, code: x, slots: 0}":                                          false,
		"{id: a, code: x, slots: 1001}":                                       false,
		"{id: a, code: x, limits: {memory: 2GB}}":                             false,
		"{id: a, code: x, limits: {disk: 1GiB}}":                              false,
		"{id: a, code: x, exitCodes: {'1': ok}}":                              false,
		"{id: a, code: x, secrets: [A, A]}":                                   false,
		"{id: a, code: x, requires: [gpu]}":                                   false,
		"{id: a}":                                                             false,
		"{code: x}":                                                           false,
		"{id: a, code: x, codeFile: y}":                                       false,
		"{id: a, code: x, mode: asleep}":                                      false,
		"{id: a, code: x, schedule: {weekly: [mon]}}":                         false,
		"{id: a, code: x, schedule: {kind: weekly, weekdays: [mon, mon]}}":    false,
		"{id: a, code: x, schedule: {kind: weekly, weekdays: []}}":            false,
		"{id: a, code: x, schedule: {kind: monthly, days: [0]}}":              false,
		"{id: a, code: x, schedule: {kind: monthly, days: [32]}}":             false,
		"{id: a, code: x, schedule: {kind: yearly, months: [13], days: [1]}}": false,
		"{id: a, code: x, schedule: {auto: true}}":                            false,
		"{id: a, code: x, schedule: {kind: daily, daily: '00:00'}}":           false,
		"{id: a, code: x, type: sql}":                                         false,
		"{id: a, code: x, upstreams: [{dates: -1..0}]}":                       false,
		"{id: a, code: x, baseline: {name: core, priority: 2}}":               false,
		"{id: A, code: x}":                                                    false,
	} {
		if err := valid(t, []byte(text)); (err == nil) != right {
			t.Errorf("%s: %v", text, err)
		}
	}
}
