package node_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"backfleet/pkg/fault"
	"backfleet/pkg/node"
	"backfleet/pkg/params"
	"backfleet/pkg/wire"
)

// everyType is a node of each type, with every field that only it has: as a file
// after its id, and as what the reader makes of it.
var everyType = []struct{ name, text, want string }{
	{"shell", "code: echo ${HOME}\n", `type: "shell" code: "echo ${HOME}"`},
	{"python", `
type: python
python: {interpreter: python3.12, arguments: [--day, "${yyyy-mm-dd}", 7]}
code: |
  print("${ds}")
params: {ds: "${yyyymmdd}"}
`, `type: "python" python: {interpreter: "python3.12" arguments: "--day" arguments: "${yyyy-mm-dd}" arguments: "7"}
	code: "print(\"${ds}\")\n" params: {name: "ds" value: "${yyyymmdd}"}`},
	{"a virtual environment", "type: python\npython: {venv: /opt/venv}\ncode: print()\n", `type: "python" python: {venv: "/opt/venv"} code: "print()"`},
	{"sql", `
type: sql
source: warehouse
sql: {transaction: true, maxRows: 20}
code: DELETE FROM t WHERE ds = '${yyyymmdd}'; SELECT 1
`, `type: "sql" source: "warehouse" sql: {transaction: true max_rows: 20} code: "DELETE FROM t WHERE ds = '${yyyymmdd}'; SELECT 1"`},
	{"http", `
type: http
http:
  method: POST
  url: https://host:8443/days/${yyyymmdd}?full=true
  headers: {Content-Type: application/json, Authorization: "Bearer {secret:TOKEN}"}
  body: |
    {"day": "${yyyy-mm-dd}"}
  expect: [202, 200]
  retries: 3
  backoff: 2s
  timeout: 1m
  maxResponse: 64KiB
secrets: [TOKEN]
`, `type: "http" secrets: "TOKEN" http: {method: "POST" url: "https://host:8443/days/${yyyymmdd}?full=true"
	headers: {name: "Authorization" value: "Bearer {secret:TOKEN}"} headers: {name: "Content-Type" value: "application/json"}
	body: "{\"day\": \"${yyyy-mm-dd}\"}\n" expect: 200 expect: 202 retries: 3 backoff_ms: 2000 timeout_ms: 60000 max_response_bytes: 65536}`},
	{"http with defaults", "type: http\nhttp: {url: \"${base}/x\"}\nparams: {base: {fromApply: B}}\n", `type: "http" http: {method: "GET" url: "${base}/x"} params: {name: "base" value: "x"}`},
	{"check", `
type: check
source: warehouse
check: {rows: 1, value: "0", min: -0.5, max: "${top}"}
code: SELECT count(*) FROM t
params: {top: 7}
`, `type: "check" source: "warehouse" check: {rows: 1 value: "0" min: "-0.5" max: "${top}"} code: "SELECT count(*) FROM t" params: {name: "top" value: "7"}`},
	{"a count", "type: check\nsource: s\ncheck: {minRows: 0, maxRows: 10}\ncode: SELECT 1\n", `type: "check" source: "s" check: {min_rows: 0 max_rows: 10} code: "SELECT 1"`},
	{"a check by script", "type: check\ncheck: {value: ''}\ncode: ls ${HOME:-/}\n", `type: "check" check: {value: ""} code: "ls ${HOME:-/}"`},
	{"a check of the exit status", "type: check\ncheck: {}\ncode: 'true'\n", `type: "check" code: "true"`},
	{"files to a table", `
type: integration
integration:
  from: {files: "/data/${yyyymmdd}/*.csv", format: csv, delimiter: ";", noHeader: true, mayBeEmpty: true, nullText: "NULL"}
  to: {source: warehouse, table: "ods.orders_${yyyy}", partition: {ds: "${yyyymmdd}"}, create: true}
  columns:
    - id
    - {name: amount, from: "2", type: decimal, required: true}
    - {name: day, type: date, format: dd.mm.yyyy}
  batch: 500
  maxRejected: 10
  rejectedFile: /data/rejected/${yyyymmdd}.jsonl
`, `type: "integration" integration: {
	from: {files: "/data/${yyyymmdd}/*.csv" format: "csv" delimiter: ";" no_header: true may_be_empty: true null_text: "NULL"}
	to: {source: "warehouse" table: "ods.orders_${yyyy}" partition: {name: "ds" value: "${yyyymmdd}"} create: true}
	columns: {name: "id"} columns: {name: "amount" from: "2" type: "decimal" required: true} columns: {name: "day" type: "date" format: "dd.mm.yyyy"}
	batch: 500 max_rejected: 10 rejected_file: "/data/rejected/${yyyymmdd}.jsonl"}`},
	{"a query to files", `
type: integration
integration:
  from: {source: shop, query: "SELECT * FROM orders WHERE day = '${yyyy-mm-dd}'"}
  to: {folder: "${lake}/orders/ds=${yyyymmdd}", format: parquet}
params: {lake: /lake}
`, `type: "integration" integration: {
	from: {source: "shop" query: "SELECT * FROM orders WHERE day = '${yyyy-mm-dd}'"} to: {folder: "${lake}/orders/ds=${yyyymmdd}" format: "parquet"}}
	params: {name: "lake" value: "/lake"}`},
	{"logical", `
type: logical_fact
source: warehouse
upstreams: [{node: ods_orders, dates: -1}, {node: dim_day, fields: [day, week]}]
logical:
  table: dwd.fct_orders
  sourceTable: ods.orders
  fields:
    - {name: order_id, type: integer, primaryKey: true}
    - {name: amount, type: decimal, description: With tax.}
    - {name: late, type: boolean}
  units:
    - id: base
      code: SELECT order_id, amount FROM ods.orders WHERE ds = '${yyyymmdd}'
      fields: [amount]
      upstreams: [ods_orders]
    - {id: late, code: SELECT 1, fields: [late], upstreams: [dim_late, ods_orders]}
`, `type: "logical_fact" source: "warehouse"
	upstreams: {node: "ods_orders" window: true from: -1 to: -1} upstreams: {node: "dim_day" fields: "day" fields: "week"} upstreams: {node: "dim_late"}
	logical: {table: "dwd.fct_orders" source_table: "ods.orders" partition: "ds" partition_value: "${yyyymmdd}"
		fields: {name: "order_id" type: "integer" primary_key: true} fields: {name: "amount" type: "decimal" description: "With tax."} fields: {name: "late" type: "boolean"}
		units: {id: "base" code: "SELECT order_id, amount FROM ods.orders WHERE ds = '${yyyymmdd}'" fields: "amount" upstreams: "ods_orders"}
		units: {id: "late" code: "SELECT 1" fields: "late" upstreams: "dim_late" upstreams: "ods_orders"}}`},
	{"logical with a partition of its own", `
type: logical_dimension
source: s
logical: {table: t, partition: day, partitionValue: "${yyyy-mm-dd}", fields: [{name: k, type: text, primaryKey: true}], units: [{id: u, code: SELECT k FROM r}]}
`, `type: "logical_dimension" source: "s" logical: {table: "t" partition: "day" partition_value: "${yyyy-mm-dd}"
	fields: {name: "k" type: "text" primary_key: true} units: {id: "u" code: "SELECT k FROM r"}}`},
	{"virtual", "type: virtual\nupstreams: [b, c]\n", `type: "virtual" upstreams: {node: "b"} upstreams: {node: "c"}`},
}

// TestR12_ReadEveryType: what a file says, in the message; and that compiles to
// itself.
func TestR12_ReadEveryType(t *testing.T) {
	for _, c := range everyType {
		files, warnings, err := node.Read(folder("a.yaml", "id: a\n"+c.text), ".", node.Options{Values: map[string]string{"B": "x"}})
		warnings = slices.DeleteFunc(warnings, func(w node.Warning) bool { return strings.Contains(w.Message, "HOME") || w.Field == "environment" })
		if err != nil || len(warnings) > 0 {
			t.Errorf("%s: %v %v", c.name, err, warnings)
			continue
		}
		var want wire.Node
		if err := prototext.Unmarshal([]byte(`id: "a" name: "a" workspace: "default" dialect: "dataworks" baseline: "default" priority: 1
			resource_group: "default" schedule: {kind: DAILY} `+c.want), &want); err != nil {
			t.Fatal(c.name, err)
		}
		if got := files.Nodes[0]; !proto.Equal(got, &want) {
			t.Errorf("%s:\ngot  %v\nwant %v", c.name, got, &want)
		}
		again, _, err := node.Compile(files.Nodes[0])
		if err != nil || !proto.Equal(again.Spec, &want) {
			t.Errorf("%s compiles to %v, %v", c.name, again, err)
		}
	}
}

// TestR12_WhatBelongsToAType: no type takes what is another's, and each needs
// what is its own.
func TestR12_WhatBelongsToAType(t *testing.T) {
	const (
		script = "code: x\n"
		http   = "type: http\nhttp: {url: 'http://h/'}\n"
		move   = "type: integration\nintegration: {from: {files: /a}, to: {folder: /b/c, format: csv}}\n"
		table  = "type: logical_fact\nlogical: {table: t, fields: [{name: k, type: text, primaryKey: true}], units: [{id: u, code: SELECT 1}]}\n"
	)
	for text, want := range map[string]string{
		script + "http: {url: 'http://h/'}\n":              `a.yaml:3:7: http: a node of type shell has none: take it out, or make it type: http`,
		script + "type: python\nsql: {}\n":                 `a.yaml:4:6: sql: a node of type python has none: take it out, or make it type: sql`,
		script + "logical: {table: t}\n":                   `a.yaml:3:10: logical: a node of type shell has none: take it out, or make it type: logical_dimension, logical_fact or logical_aggregate`,
		script + "source: s\n":                             `a.yaml:3:9: source: a node of type shell has none: take it out, or make it type: sql, check, logical_dimension, logical_fact or logical_aggregate`,
		http + "source: s\n":                               `a.yaml:4:9: source: a node of type http has none: take it out, or make it type: sql, check, logical_dimension, logical_fact or logical_aggregate`,
		move + "source: s\n":                               `a.yaml:4:9: source: a node of type integration names it where it is used: write integration.from.source or integration.to.source`,
		http + script:                                      `a.yaml:4:7: code: a node of type http has none, what it sends is in http: take it out`,
		http + "codeFile: x.sh\n":                          `a.yaml:4:11: codeFile: a node of type http has none, what it sends is in http: take it out`,
		move + script:                                      `a.yaml:4:7: code: a node of type integration has none, what it moves is in integration: take it out`,
		table + "source: s\n" + script:                     `a.yaml:5:7: code: a node of type logical_fact has none, its units have code of their own: take it out`,
		"type: virtual\n" + script:                         `a.yaml:3:7: code: a node of type virtual has none, nothing of it runs, it is there for the order: take it out`,
		"type: virtual\ncheck: {value: 1}\n":               `a.yaml:3:8: check: a node of type virtual has none: take it out, or make it type: check`,
		table:                                              `a.yaml:1:1: source: it is missing: expected the name of the data source that a node of type logical_fact works on`,
		"type: sql\n" + script:                             `a.yaml:1:1: source: it is missing: expected the name of the data source that a node of type sql works on`,
		"type: sql\nsource: s\n":                           `a.yaml:1:1: code: it is empty: expected code, or codeFile with the name of a file`,
		"type: http\n":                                     `a.yaml:1:1: http: it is missing: a node of type http says there what it does`,
		"type: integration\n":                              `a.yaml:1:1: integration: it is missing: a node of type integration says there what it does`,
		"type: logical_aggregate\nsource: s\n":             `a.yaml:1:1: logical: it is missing: a node of type logical_aggregate says there what it does`,
		"type: check\nsource: s\n" + script:                `a.yaml:1:1: check: it expects nothing of its query: give rows, minRows, maxRows, value, min or max`,
		"type: Shell\n" + script:                           `a.yaml:2:7: type: "Shell" is no type of a node (did you mean "shell"?): expected shell, python, sql, http, check, integration, logical_dimension, logical_fact, logical_aggregate or virtual`,
		"type: sql\nsource: My DB\n" + script:              `a.yaml:3:9: source: "My DB" is no name of a data source: expected a to z, 0 to 9 and _, then also . and -, 1 to 128 characters`,
		"type: sql\nsource: s\nsql: {tx: true}\n" + script: `a.yaml:4:7: sql.tx: there is no such field: expected transaction or maxRows`,
	} {
		_, _, err := node.Read(folder("a.yaml", "id: a\n"+text, "x.sh", "exit"), ".", node.Options{})
		if err == nil {
			t.Errorf("%s is taken", text)
		} else if got := findings(t, err); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", text, got, want)
		}
	}
}

// TestR12_BlocksAreChecked: each line is a block of a node that is right beside
// it, and what is said of it.
func TestR12_BlocksAreChecked(t *testing.T) {
	for name, head := range map[string]string{
		"python":      "type: python\ncode: x\n",
		"sql":         "type: sql\ncode: x\nsource: s\n",
		"http":        "type: http\nsecrets: [TOKEN]\n",
		"check":       "type: check\ncode: x\nsource: s\n",
		"script":      "type: check\ncode: x\n",
		"integration": "type: integration\n",
	} {
		block := name
		if name == "script" {
			block = "check"
		}
		for _, c := range refusedBlocks[name] {
			_, _, err := node.Read(folder("a.yaml", "id: a\n"+head+block+": "+c.text+"\n"), ".", node.Options{})
			if err == nil {
				t.Errorf("%s: %s is taken", name, c.text)
				continue
			}
			got := findings(t, err)
			if !strings.HasPrefix(got, "a.yaml:"+fmt.Sprint(strings.Count(head, "\n")+2)+":") {
				t.Errorf("%s: %s: %q does not name its line", name, c.text, got)
			}
			if _, got, _ = strings.Cut(got, ": "); got != c.want {
				t.Errorf("%s: %s:\ngot  %s\nwant %s", name, c.text, got, c.want)
			}
		}
	}
}

var refusedBlocks = map[string][]struct{ text, want string }{
	"python": {
		{`{interpreter: bin/python}`, `python.interpreter: "bin/python": expected the name of a program, such as python3.12, or an absolute path`},
		{`{interpreter: python3, venv: /opt/v}`, `python.interpreter: a virtual environment has one of its own: take interpreter or venv out`},
		{`{venv: venv}`, `python.venv: "venv": expected the absolute path of a folder on the agent`},
		{`{arguments: x}`, `python.arguments: "x": expected a list of texts`},
		{`{arguments: [a, "${HOME}"]}`, `python.arguments[1]: line 1, column 3: expected yyyy, yy, mm or dd in small letters, found 'H'; a name must be assigned, and $${…} is a literal ${…}`},
		{`{args: [a]}`, `python.args: there is no such field: expected interpreter, venv or arguments`},
	},
	"sql": {
		{`{transaction: yes}`, `sql.transaction: "yes": expected true or false`},
		{`{maxRows: -1}`, `sql.maxRows: "-1": expected a whole number`},
		{`{maxRows: 10001}`, `sql.maxRows: 10001: expected 1 to 10000, or 0 for the default`},
	},
	"http": {
		{`{method: POST}`, `http.url: it is empty: expected an address, such as https://host/path?day=${yyyymmdd}`},
		{`{url: host/path}`, `http.url: "host/path": expected http:// or https:// and a host`},
		{`{url: 'ftp://host/'}`, `http.url: "ftp://host/": expected http:// or https:// and a host`},
		{`{url: 'http:///path'}`, `http.url: "http:///path": expected http:// or https:// and a host`},
		{`{url: 'http://a b/'}`, `http.url: "http://a b/" is no address: expected one such as https://host/path, blanks written as %20`},
		{`{url: 'http://h/%zz'}`, `http.url: "http://h/%zz" is no address: expected one such as https://host/path, blanks written as %20`},
		{`{url: 'https://me:secret@h/'}`, `http.url: it has a user or a password in it, which everybody can read: use a header with {secret:NAME}`},
		{`{url: 'https://h/?key={secret:TOKEN}'}`, `http.url: {secret:TOKEN}: a secret can only stand in a header`},
		{`{url: 'https://h/${nothing}'}`, `http.url: line 1, column 13: expected yyyy, yy, mm or dd in small letters, found 'n'; a name must be assigned, and $${…} is a literal ${…}`},
		{`{url: 'http://h/', method: post}`, `http.method: "post" is no method (did you mean "POST"?): expected GET, HEAD, POST, PUT, PATCH or DELETE`},
		{`{url: 'http://h/', body: x}`, `http.body: a request with GET has none: take it out, or say method: POST`},
		{`{url: 'http://h/', method: PUT, body: 'a {secret:TOKEN}'}`, `http.body: {secret:TOKEN}: a secret can only stand in a header`},
		{`{url: 'http://h/', headers: {A B: x}}`, `http.headers.A B: "A B" is no name of a header: expected letters, digits and -, up to 128`},
		{`{url: 'http://h/', headers: {A: x, a: y}}`, `http.headers.a: it is given twice, upper and lower case alike: expected one value`},
		{`{url: 'http://h/', headers: {Host: x}}`, `http.headers.Host: it is set by whoever sends the request: take it out`},
		{`{url: 'http://h/', headers: {A: "x\ny"}}`, `http.headers.A: it has several lines: expected one`},
		{`{url: 'http://h/', headers: {A: "{secret:OTHER}"}}`, `http.headers.A: {secret:OTHER}: list "OTHER" under secrets, so that logs mask it`},
		{`{url: 'http://h/', expect: 200}`, `http.expect: "200": expected a list of status codes`},
		{`{url: 'http://h/', expect: [ok]}`, `http.expect[0]: "ok": expected a whole number`},
		{`{url: 'http://h/', expect: [200, 100]}`, `http.expect[1]: 100 is no status of an answer: expected 200 to 599`},
		{`{url: 'http://h/', expect: [200, 200]}`, `http.expect[1]: 200 is listed twice: take one out`},
		{`{url: 'http://h/', retries: 21}`, `http.retries: 21: expected 0 to 20`},
		{`{url: 'http://h/', backoff: 3}`, `http.backoff: "3": expected a number and a unit, such as 90s, 10m or 1h30m`},
		{`{url: 'http://h/', backoff: 2h}`, `http.backoff: 7200000 ms: expected 0 to 3600000 ms`},
		{`{url: 'http://h/', timeout: -1s}`, `http.timeout: -1000 ms: expected 0 to 86400000 ms`},
		{`{url: 'http://h/', maxResponse: 64}`, `http.maxResponse: "64": expected a number and a unit, such as 512MiB or 2GiB (B, KiB, MiB, GiB, TiB)`},
		{`{url: 'http://h/', maxResponse: 1GiB}`, `http.maxResponse: 1073741824 bytes: expected 0 to 16777216 bytes`},
	},
	"check": {
		{`{}`, `check: it expects nothing of its query: give rows, minRows, maxRows, value, min or max`},
		{`{rows: -1}`, `check.rows: -1: expected 0 to 1000000000000`},
		{`{rows: many}`, `check.rows: "many": expected a whole number`},
		{`{rows: 1, minRows: 1}`, `check.rows: it is exact: take it out, or minRows and maxRows`},
		{`{minRows: 2, maxRows: 1}`, `check.maxRows: 1 is less than minRows (2): expected the larger one`},
		{`{rows: 2, value: x}`, `check: value, min and max look at the only row of the result: take out what allows no single row`},
		{`{minRows: 2, min: 1}`, `check: value, min and max look at the only row of the result: take out what allows no single row`},
		{`{maxRows: 0, max: 1}`, `check: value, min and max look at the only row of the result: take out what allows no single row`},
		{`{min: low}`, `check.min: "low" is no number: expected one such as 0, -1.5 or 2e6`},
		{`{min: 2e1, max: 19.99}`, `check.max: 19.99 is less than min (2e1): expected the larger one`},
		{`{value: "${x}"}`, `check.value: line 1, column 3: expected yyyy, yy, mm or dd in small letters, found 'x'; a name must be assigned, and $${…} is a literal ${…}`},
		{`{minrows: 1}`, `check.minrows: there is no such field (did you mean "minRows"?): expected rows, minRows, maxRows, value, min or max`},
	},
	"script": {
		{`{rows: 1}`, `check: a script has no rows: take rows, minRows and maxRows out, or give the source that a query asks`},
	},
	"integration": {
		{`{}`, "integration.from: it does not say where the rows come from: expected source and query, or files\na.yaml:3:14: integration.to: it does not say where the rows go to: expected source and table, or folder"},
		{`{from: {query: SELECT 1}, to: {folder: /b/c, format: csv}}`, `integration.from.source: it is missing: expected the data source that the query asks`},
		{`{from: {source: s}, to: {folder: /b/c, format: csv}}`, `integration.from.query: it is empty: expected query, or queryFile with the name of a file`},
		{`{from: {source: s, query: SELECT 1, files: /a}, to: {folder: /b/c, format: csv}}`, `integration.from.files: a query is no file: take it out`},
		{`{from: {source: S, query: SELECT 1}, to: {folder: /b/c, format: csv}}`, `integration.from.source: "S" is no name of a data source: expected a to z, 0 to 9 and _, then also . and -, 1 to 128 characters`},
		{`{from: {files: a.csv}, to: {folder: /b/c, format: csv}}`, `integration.from.files: "a.csv": expected an absolute path on the agent`},
		{`{from: {files: /a, format: json}, to: {folder: /b/c, format: csv}}`, `integration.from.format: "json" is no format of files (did you mean "jsonl"?): expected csv, jsonl or parquet`},
		{`{from: {files: /a, format: jsonl, delimiter: ;}, to: {folder: /b/c, format: csv}}`, `integration.from.delimiter: only csv has it: take it out`},
		{`{from: {files: /a, delimiter: ;;}, to: {folder: /b/c, format: csv}}`, `integration.from.delimiter: ";;": expected one character that is no quote and no end of a line, such as ";" or "\t"`},
		{`{from: {files: /a, delimiter: '"'}, to: {folder: /b/c, format: csv}}`, `integration.from.delimiter: "\"": expected one character that is no quote and no end of a line, such as ";" or "\t"`},
		{`{from: {files: /a}, to: {table: t}}`, `integration.to.source: it is missing: expected the data source that has the table`},
		{`{from: {files: /a}, to: {source: s}}`, `integration.to.table: "": expected the name of a table, or schema.table`},
		{`{from: {files: /a}, to: {source: s, table: a.b.c}}`, `integration.to.table: "a.b.c": expected the name of a table, or schema.table`},
		{`{from: {files: /a}, to: {source: s, table: a., partition: {d: 1}}}`, `integration.to.table: "a.": expected the name of a table, or schema.table`},
		{`{from: {files: /a}, to: {source: s, table: t, folder: /b}}`, `integration.to.folder: a table is no folder of files: take it out`},
		{`{from: {files: /a}, to: {source: s, table: t, partition: {ds: ''}}}`, `integration.to.partition.ds: it is empty: expected the value of the partition, such as ${yyyymmdd}`},
		{`{from: {files: /a}, to: {source: s, table: t, partition: {ds: 1, DS: 2}}}`, `integration.to.partition.DS: it is given twice, upper and lower case alike: expected one value`},
		{`{from: {files: /a}, to: {folder: /b/c}}`, `integration.to.format: it is missing: expected csv, jsonl or parquet`},
		{`{from: {files: /a}, to: {folder: b/c, format: csv}}`, `integration.to.folder: "b/c": expected an absolute path on the agent`},
		{`{from: {files: "/a\nb"}, to: {folder: /b/c, format: csv}}`, `integration.from.files: it has several lines: expected one path`},
		{`{from: {files: /a}, to: {folder: /b, format: csv}}`, `integration.to.folder: "/b" would be replaced as a whole: expected a folder of its own, two or more below /, without ..`},
		{`{from: {files: /a}, to: {folder: /b/../c, format: csv}}`, `integration.to.folder: "/b/../c" would be replaced as a whole: expected a folder of its own, two or more below /, without ..`},
		{`{from: {files: /a}, to: {folder: /b/c, format: csv, partition: {ds: 1}}}`, `integration.to.partition: a folder is one partition, whose value stands in its name: take it out`},
		{`{from: {files: /a}, to: {folder: /b/c, format: csv, create: true}}`, `integration.to.create: a folder is made by itself: take it out`},
		{`{from: {files: /a}, to: {folder: /b/c, format: csv}, columns: id}`, `integration.columns: "id": expected a list of columns`},
		{`{from: {files: /a}, to: {folder: /b/c, format: csv}, columns: [a, {from: b}]}`, `integration.columns[1].name: it is empty: expected the name of a column`},
		{`{from: {files: /a}, to: {folder: /b/c, format: csv}, columns: [a, A]}`, `integration.columns[1].name: column "A" is there already, upper and lower case alike: expected it once`},
		{`{from: {files: /a}, to: {source: s, table: t, partition: {ds: 1}}, columns: [Ds]}`, `integration.columns[0].name: "Ds" is a column of the partition, whose value is the partition's: take it out`},
		{`{from: {files: /a}, to: {folder: /b/c, format: csv}, columns: [{name: a, type: int}]}`, `integration.columns[0].type: "int" is no type: expected text, integer, decimal, float, boolean, date, timestamp or json`},
		{`{from: {files: /a}, to: {folder: /b/c, format: csv}, columns: [{name: a, format: yyyy}]}`, `integration.columns[0].format: only dates and times have one: take it out, or say type: date or type: timestamp`},
		{`{from: {files: /a}, to: {folder: /b/c, format: csv}, columns: [{name: a, type: date, format: yyyy-xx}]}`, `integration.columns[0].format: column 6: expected yyyy, yy, mm, dd, hh24, hh12, hh, mi or ss in small letters, or a separator, found 'x'`},
		{`{from: {files: /a}, to: {folder: /b/c, format: csv}, batch: 100001}`, `integration.batch: 100001 rows: expected 1 to 100000, or 0 for the default`},
		{`{from: {files: /a}, to: {folder: /b/c, format: csv}, maxRejected: -1}`, `integration.maxRejected: -1 rows: expected 0 to 1000000000 rows`},
		{`{from: {files: /a}, to: {folder: /b/c, format: csv}, rejectedFile: x}`, `integration.rejectedFile: "x": expected an absolute path on the agent`},
	},
}

// TestR12_FindingsInTextsHaveTheirLine: in the YAML file where they stand in it,
// else in the file that holds them.
func TestR12_FindingsInTextsHaveTheirLine(t *testing.T) {
	const message = "expected yyyy, yy, mm or dd in small letters, found 'x'; a name must be assigned, and $${…} is a literal ${…}"
	for _, c := range []struct{ name, text, want string }{
		{"a unit's file", `id: a
type: logical_fact
source: s
logical:
  table: t
  fields: [{name: k, type: text, primaryKey: true}, {name: v, type: text}]
  units:
    - {id: first, code: SELECT 1}
    - {id: second, codeFile: unit.sql, fields: [v]}
`, "unit.sql:2:8: logical.units[1].code: " + message},
		{"a unit in the file", `id: a
type: logical_fact
source: s
logical:
  table: t
  fields: [{name: k, type: text, primaryKey: true}]
  units:
    - id: first
      code: |
        SELECT k
        FROM t_${x}
`, "a.yaml:11:18: logical.units[0].code: " + message},
		{"a query's file", "id: a\ntype: integration\nintegration:\n  from: {source: s, queryFile: unit.sql}\n  to: {folder: /b/c, format: csv}\n",
			"unit.sql:2:8: integration.from.query: " + message},
		{"a body", "id: a\ntype: http\nhttp:\n  url: http://h/\n  method: POST\n  body: |-\n    {\n    ${x}\n", "a.yaml:8:7: http.body: " + message},
		{"a header", "id: a\ntype: http\nhttp:\n  url: http://h/\n  headers:\n    X-Day: ${x}\n", "a.yaml:6:12: http.headers.X-Day: line 1, column 3: " + message},
		{"both", "id: a\ntype: http\nhttp: {url: 'http://h/', bodyFile: unit.sql, body: x}\n", "a.yaml:3:52: http.body: body and bodyFile are both given: expected one of them"},
	} {
		_, _, err := node.Read(folder("a.yaml", c.text, "unit.sql", "SELECT\n  AB ${x}\n"), ".", node.Options{})
		if err == nil {
			t.Errorf("%s is taken", c.name)
		} else if got := findings(t, err); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
	}
}

// TestR12_UpstreamsOfUnitsHaveAPlace: they are the node's, and what is wrong
// with them is told where they stand.
func TestR12_UpstreamsOfUnitsHaveAPlace(t *testing.T) {
	files, _, err := node.Read(folder("a.yaml", `id: a
type: logical_fact
source: s
logical:
  table: t
  fields: [{name: k, type: text, primaryKey: true}]
  units:
    - {id: u, code: SELECT 1, upstreams: [b, nowhere]}
---
id: b
type: virtual
`), ".", node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = node.Apply(nil, files.Nodes, nil)
	if err == nil {
		t.Fatal("an upstream that is nowhere is taken")
	}
	got := files.Locate(err.(*fault.Error).Details)
	if len(got) != 1 || got[0].Where != "a.yaml:8:46" || got[0].Field != "logical.units[0].upstreams[1]" {
		t.Errorf("got %+v", got)
	}
}

// full is a node with every field set that a message of this version has.
func full(t *testing.T, m protoreflect.Message) {
	t.Helper()
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		scalar := func() protoreflect.Value {
			switch f.Kind() {
			case protoreflect.StringKind:
				return protoreflect.ValueOfString(string(m.Descriptor().Name()) + "." + string(f.Name()))
			case protoreflect.BoolKind:
				return protoreflect.ValueOfBool(true)
			case protoreflect.EnumKind:
				return protoreflect.ValueOfEnum(1)
			case protoreflect.Uint32Kind:
				return protoreflect.ValueOfUint32(7)
			case protoreflect.Int64Kind:
				return protoreflect.ValueOfInt64(7)
			case protoreflect.Int32Kind, protoreflect.Sint32Kind:
				return protoreflect.ValueOfInt32(7)
			}
			t.Fatalf("%s: no value for a field of kind %s", f.FullName(), f.Kind())
			return protoreflect.Value{}
		}
		switch {
		case f.IsList() && f.Message() != nil:
			full(t, m.Mutable(f).List().AppendMutable().Message())
		case f.IsList():
			m.Mutable(f).List().Append(scalar())
		case f.Message() != nil:
			full(t, m.Mutable(f).Message())
		default:
			m.Set(f, scalar())
		}
	}
}

// TestR12_Texts: all in which parameters stand, under the names by which
// findings call them, at their place in the spec.
func TestR12_Texts(t *testing.T) {
	spec := &wire.Node{}
	full(t, spec.ProtoReflect())
	var got []string
	for _, text := range node.Texts(spec) {
		got = append(got, text.Field)
		*text.Value = "expanded"
	}
	want := []string{
		"code", "python.arguments[0]", "http.url", "http.headers.Assignment.name", "http.body", "check.value", "check.min", "check.max",
		"integration.from.query", "integration.from.files", "integration.to.table", "integration.to.partition.Assignment.name", "integration.to.folder",
		"integration.rejectedFile", "logical.partitionValue", "logical.units[0].code",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if n := strings.Count(prototext.Format(spec), `"expanded"`); n != len(want) {
		t.Errorf("%d of %d were changed in the spec", n, len(want))
	}
	if texts := node.Texts(&wire.Node{Check: &wire.Check{Value: proto.String("")}, Http: &wire.Http{}}); len(texts) > 0 {
		t.Errorf("empty ones are listed: %v", texts)
	}
}

// TestR12_BracesOfTheLanguage stay in scripts, and nowhere else.
func TestR12_BracesOfTheLanguage(t *testing.T) {
	for _, c := range []struct {
		spec *wire.Node
		want bool
	}{
		{&wire.Node{Type: "shell"}, true},
		{&wire.Node{Type: "python"}, true},
		{&wire.Node{Type: "check"}, true},
		{&wire.Node{Type: "check", Source: "s"}, false},
		{&wire.Node{Type: "sql", Source: "s"}, false},
	} {
		c.spec.Code = "${HOME}"
		text := node.Texts(c.spec)[0]
		code, _, err := text.Compile("", nil)
		if text.Shell != c.want || (err == nil) != c.want {
			t.Errorf("%v: %v %v", c.spec, text.Shell, err)
			continue
		}
		if err != nil {
			continue
		}
		if got, err := code.Expand(params.Context{}, nil); err != nil || got != "${HOME}" {
			t.Errorf("%v: %q %v", c.spec, got, err)
		}
	}
}

func TestR12_Sources(t *testing.T) {
	both := &wire.Node{Integration: &wire.Integration{From: &wire.IntegrationSource{Source: "shop"}, To: &wire.IntegrationTarget{Source: "lake"}}}
	same := &wire.Node{Integration: &wire.Integration{From: &wire.IntegrationSource{Source: "lake"}, To: &wire.IntegrationTarget{Source: "lake"}}}
	for _, c := range []struct {
		spec *wire.Node
		want string
	}{
		{&wire.Node{}, ""}, {&wire.Node{Source: "lake"}, "lake"}, {both, "lake shop"}, {same, "lake"},
	} {
		if got := strings.Join(node.Sources(c.spec), " "); got != c.want {
			t.Errorf("%v: got %q, want %q", c.spec, got, c.want)
		}
	}
}

// TestR7_7_R12_Requires: an agent must be able to run the type.
func TestR7_7_R12_Requires(t *testing.T) {
	own := []*wire.Assignment{{Name: "gpu", Value: "true"}}
	want := map[string]string{"": "gpu=true", "shell": "gpu=true", "virtual": "gpu=true"}
	for _, kind := range append(node.Types(), "") {
		if _, plain := want[kind]; !plain {
			want[kind] = "gpu=true, backfleet/" + kind + "=true"
		}
		spec := &wire.Node{Type: kind, Requires: own}
		if got := node.LabelText(node.Requires(spec)); got != want[kind] {
			t.Errorf("%s: got %s, want %s", kind, got, want[kind])
		}
		if len(spec.Requires) != 1 {
			t.Errorf("%s: the spec was changed to %v", kind, spec.Requires)
		}
	}
}

// TestR12_AllCodeOfANodeIsBounded, beside each of its texts.
func TestR12_AllCodeOfANodeIsBounded(t *testing.T) {
	spec := &wire.Node{Id: "a", Type: "logical_fact", Source: "s", Logical: &wire.Logical{
		Table: "t", Fields: []*wire.LogicalField{{Name: "k", Type: "text", PrimaryKey: true}},
	}}
	for i := range 5 {
		name := fmt.Sprint("f", i)
		spec.Logical.Fields = append(spec.Logical.Fields, &wire.LogicalField{Name: name, Type: "text"})
		spec.Logical.Units = append(spec.Logical.Units, &wire.Unit{Id: name, Fields: []string{name}, Code: strings.Repeat("x", node.MaxCode-i)})
	}
	_, _, err := node.Compile(spec)
	if err == nil {
		t.Fatal("it is taken")
	}
	if got, want := findings(t, err), "logical.units: their code has 1310721 bytes: expected at most 1048576 in all"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	spec.Logical.Units[0].Code += "x"
	_, _, err = node.Compile(spec)
	if got := findings(t, err); !strings.Contains(got, "logical.units[0].code: 262145 bytes: expected at most 262144") {
		t.Errorf("got %q", got)
	}
}

// TestR12_FieldsOfAnUpstream are checked by form here, and against the upstream
// by Apply.
func TestR12_FieldsOfAnUpstream(t *testing.T) {
	for text, want := range map[string]string{
		"[1a]":   `upstreams[0].fields[0]: "1a" is no field: expected a letter or _, then letters, digits and _, at most 63`,
		"[a, a]": `upstreams[0].fields[1]: field "a" is listed twice: take one out`,
		"a":      `upstreams[0].fields: "a": expected a list of names of fields`,
	} {
		_, _, err := node.Read(folder("a.yaml", "id: a\ncode: x\nupstreams: [{node: b, fields: "+text+"}]\n"), ".", node.Options{})
		if err == nil {
			t.Errorf("%s is taken", text)
			continue
		}
		if _, got, _ := strings.Cut(findings(t, err), ": "); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", text, got, want)
		}
	}
}

// TestParamsMayBeGivenWhenNodesAreApplied, like variables of the environment.
func TestParamsMayBeGivenWhenNodesAreApplied(t *testing.T) {
	fsys := folder("a.yaml", "id: a\ntype: check\ncode: x\nparams: {root: {fromApply: ROOT}, other: {fromApply: OTHER, default: y}}\n")
	files, _, err := node.Read(fsys, ".", node.Options{Values: map[string]string{"ROOT": "/data"}})
	if err != nil || node.LabelText(files.Nodes[0].Params) != "root=/data, other=y" {
		t.Errorf("got %v, %v", files, err)
	}
	_, _, err = node.Read(fsys, ".", node.Options{})
	if want := "a.yaml:4:28: params.root.fromApply: no value was given for ROOT: apply the nodes with --env ROOT=…"; err == nil || findings(t, err) != want {
		t.Errorf("got %v", err)
	}
}

// TestR12_MuchIsRefused: more than a node may hold, by field.
func TestR12_MuchIsRefused(t *testing.T) {
	const long = 4097
	assigned := func(n int) (out []*wire.Assignment) {
		for i := range n {
			out = append(out, &wire.Assignment{Name: fmt.Sprint("n", i), Value: "x"})
		}
		return out
	}
	columns := make([]*wire.Column, 1001)
	for i := range columns {
		columns[i] = &wire.Column{Name: fmt.Sprint("c", i)}
	}
	from, to := &wire.IntegrationSource{Files: "/a"}, &wire.IntegrationTarget{Folder: "/b/c", Format: "csv"}
	for want, spec := range map[string]*wire.Node{
		"python.arguments: 201 arguments: expected at most 200":                  {Type: "python", Code: "x", Python: &wire.Python{Arguments: slices.Repeat([]string{"x"}, 201)}},
		"python.arguments[0]: 4097 bytes: expected at most 4096":                 {Type: "python", Code: "x", Python: &wire.Python{Arguments: []string{strings.Repeat("x", long)}}},
		"http.url: 4097 bytes: expected at most 4096":                            {Type: "http", Http: &wire.Http{Url: "http://h/" + strings.Repeat("x", long-9)}},
		"http.headers: 101 headers: expected at most 100":                        {Type: "http", Http: &wire.Http{Url: "http://h/", Headers: assigned(101)}},
		"http.expect: 33 status codes: expected at most 32":                      {Type: "http", Http: &wire.Http{Url: "http://h/", Expect: make([]int32, 33)}},
		"http.body: it is not UTF-8 text: save it as UTF-8":                      {Type: "http", Http: &wire.Http{Url: "http://h/", Method: "POST", Body: "\xff"}},
		"integration.columns: 1001 columns: expected at most 1000":               {Type: "integration", Integration: &wire.Integration{From: from, To: to, Columns: columns}},
		"integration.to.partition: 17 columns: expected at most 16":              {Type: "integration", Integration: &wire.Integration{From: from, To: &wire.IntegrationTarget{Source: "s", Table: "t", Partition: assigned(17)}}},
		"upstreams[0].fields: 1001 fields: expected at most 1000":                {Code: "x", Upstreams: []*wire.Upstream{{Node: "b", Fields: make([]string, 1001)}}},
		"logical.partitionValue: it has a NUL character: take it out":            {Type: "logical_fact", Source: "s", Logical: &wire.Logical{Table: "t", PartitionValue: "\x00", Fields: []*wire.LogicalField{{Name: "k", Type: "text", PrimaryKey: true}}, Units: []*wire.Unit{{Id: "u", Code: "x"}}}},
		"params: 201 values: expected at most 200":                               {Code: "x", Params: assigned(201)},
		"params.p: 4097 bytes: expected at most 4096":                            {Code: "x", Params: []*wire.Assignment{{Name: "p", Value: strings.Repeat("x", long)}}},
		"integration.from.nullText: 257 bytes: expected at most 256":             {Type: "integration", Integration: &wire.Integration{From: &wire.IntegrationSource{Files: "/a", NullText: strings.Repeat("x", 257)}, To: to}},
		"integration.columns[0].from: 257 bytes: expected at most 256":           {Type: "integration", Integration: &wire.Integration{From: from, To: to, Columns: []*wire.Column{{Name: "a", From: strings.Repeat("x", 257)}}}},
		"integration.to.table: 257 bytes: expected at most 256":                  {Type: "integration", Integration: &wire.Integration{From: from, To: &wire.IntegrationTarget{Source: "s", Table: strings.Repeat("x", 257)}}},
		"python.interpreter: \" x\": expected one line without blanks around it": {Type: "python", Code: "x", Python: &wire.Python{Interpreter: " x"}},
	} {
		spec.Id = "a"
		if _, _, err := node.Compile(spec); err == nil {
			t.Errorf("%s: it is taken", want)
		} else if got := findings(t, err); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// TestR12_EndsOfLinesOfScripts: a shell does not take those of another system,
// the others do.
func TestR12_EndsOfLinesOfScripts(t *testing.T) {
	for kind, want := range map[string]int{"shell": 1, "check": 1, "python": 0} {
		_, warnings, err := node.Compile(&wire.Node{Id: "a", Type: kind, Code: "x\r\ny\r\n"})
		if err != nil || len(warnings) != want {
			t.Errorf("%s: %v %v", kind, warnings, err)
		}
	}
}
