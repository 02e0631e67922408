package node_test

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"backfleet/pkg/fault"
	"backfleet/pkg/node"
	"backfleet/pkg/wire"
)

// folder makes a file system of name, text, name, text, ….
func folder(files ...string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for i := 0; i+1 < len(files); i += 2 {
		fsys[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return fsys
}

// findings are an error's details, a line each.
func findings(t *testing.T, err error) string {
	t.Helper()
	var e *fault.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want a *fault.Error", err)
	}
	if e.Code != fault.Invalid {
		t.Errorf("code %s, want %s", e.Code, fault.Invalid)
	}
	var lines []string
	for _, d := range e.Details {
		lines = append(lines, strings.TrimPrefix(d.Where+": "+d.Field+": "+d.Message, ": "))
	}
	return strings.Join(lines, "\n")
}

func TestReadEveryField(t *testing.T) {
	files, warnings, err := node.Read(folder("a.yaml", `
id: dwd_orders
name: Orders, cleaned
workspace: sales
owner: ana
type: shell
description: |
  Two
  lines
dialect: dataworks
params:
  bizdate: ${yyyymmdd}
  number: 007
  flag: true
schedule:
  hourly: {from: "01:00", to: 23:30, every: 2h}
  zone: Asia/Shanghai
  auto: true
baseline: {name: core, priority: 7}
resourceGroup: big
upstreams:
  - ods_orders
  - {node: dim_day, dates: -6..0}
  - node: rates
    dates: monthStart..0
  - {node: yesterday, dates: -1}
  - {node: before, previous: true}
dependsOnSelf: true
dependsOnChildren: true
mode: dryRun
timeout: 1h30m
retries: 3
retryDelay: 500ms
environment:
  MODE: fast
  FOLDER: {fromApply: WAREHOUSE}
requires: {os: linux, gpu: "true"}
slots: 2
user: etl
limits: {memory: 1.5GiB, cpu: 1.5, processes: 200, openFiles: 1024, core: 0, nice: 5}
exitCodes: {99: skip, 64: fail, 75: retry}
secrets: [DB_PASSWORD, API_KEY]
codeFile: sql/orders.sh
`, "sql/orders.sh", "echo $1\n"), ".", node.Options{Values: map[string]string{"WAREHOUSE": "/data"}})
	if err != nil || len(warnings) != 0 {
		t.Fatal(err, warnings)
	}
	var want wire.Node
	if err := prototext.Unmarshal([]byte(`
		id: "dwd_orders" name: "Orders, cleaned" workspace: "sales" owner: "ana" type: "shell"
		description: "Two\nlines\n" dialect: "dataworks"
		params: {name: "bizdate" value: "${yyyymmdd}"} params: {name: "number" value: "007"} params: {name: "flag" value: "true"}
		schedule: {kind: HOURLY from: 3600 to: 84600 every: 120 zone: "Asia/Shanghai"}
		baseline: "core" priority: 7 resource_group: "big"
		upstreams: {node: "ods_orders"}
		upstreams: {node: "dim_day" window: true from: -6}
		upstreams: {node: "rates" window: true from_month_start: true}
		upstreams: {node: "yesterday" window: true from: -1 to: -1}
		upstreams: {node: "before" previous: true}
		depends_on_self: true depends_on_children: true mode: DRY_RUN auto: true timeout_ms: 5400000 retries: 3 retry_delay_ms: 500
		environment: {name: "MODE" value: "fast"} environment: {name: "FOLDER" value: "/data"}
		requires: {name: "gpu" value: "true"} requires: {name: "os" value: "linux"} slots: 2 user: "etl"
		limits: {memory_bytes: 1610612736 cpu_milli: 1500 processes: 200 open_files: 1024 nice: 5}
		exit_codes: {code: 64 meaning: FAIL} exit_codes: {code: 75} exit_codes: {code: 99 meaning: SKIP}
		secrets: "API_KEY" secrets: "DB_PASSWORD"
		code: "echo $1\n"`), &want); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(files.Nodes[0], &want) {
		t.Errorf("got  %v\nwant %v", files.Nodes[0], &want)
	}
}

// TestR1_3_ReadSchedules: each form of a schedule, and what stands for what.
func TestR1_3_ReadSchedules(t *testing.T) {
	for text, want := range map[string]string{
		`{kind: daily}`:                                                     `schedule: {kind: DAILY}`,
		`{kind: daily, at: "02:00", zone: UTC}`:                             `schedule: {kind: DAILY at: 7200 zone: "UTC"}`,
		`{daily: "02:00", auto: true}`:                                      `schedule: {kind: DAILY at: 7200} auto: true`,
		`{kind: hourly, from: "00:00", to: "03:00", every: 1h}`:             `schedule: {kind: HOURLY to: 10800 every: 60}`,
		`{minutely: {from: "00:00", to: "03:00", every: 15m}, auto: false}`: `schedule: {kind: MINUTELY to: 10800 every: 15}`,
		`{kind: weekly, weekdays: [sun, mon], at: "02:00"}`:                 `schedule: {kind: WEEKLY at: 7200 weekdays: 65}`,
		`{kind: monthly, days: [1, 15, last]}`:                              `schedule: {kind: MONTHLY days: 32771}`,
		`{kind: monthly, days: [31]}`:                                       `schedule: {kind: MONTHLY days: 2147483648}`,
		`{kind: yearly, months: [1, 7, 12], days: [last], auto: true}`:      `schedule: {kind: YEARLY days: 1 months: 4226} auto: true`,
		`{kind: yearly, months: [2], days: [29]}`:                           `schedule: {kind: YEARLY days: 536870912 months: 4}`,
	} {
		files, _, err := node.Read(folder("a.yaml", "id: a\ncode: x\nschedule: "+text+"\n"), ".", node.Options{})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		var w wire.Node
		if err := prototext.Unmarshal([]byte(want), &w); err != nil {
			t.Fatal(err)
		}
		if got := files.Nodes[0]; !proto.Equal(got.Schedule, w.Schedule) || got.Auto != w.Auto {
			t.Errorf("%s: got %v, auto %v", text, got.Schedule, got.Auto)
		}
	}
}

func TestReadDefaults(t *testing.T) {
	files, _, err := node.Read(folder("a.yaml", "id: a\ncode: 'true'\n"), "a.yaml", node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := &wire.Node{
		Id: "a", Name: "a", Workspace: "default", Type: "shell", Dialect: "dataworks", Baseline: "default", Priority: 1,
		ResourceGroup: "default", Schedule: &wire.Schedule{Kind: wire.Schedule_DAILY}, Code: "true",
	}
	if !proto.Equal(files.Nodes[0], want) {
		t.Errorf("got  %v\nwant %v", files.Nodes[0], want)
	}
}

func TestReadWalksFoldersAndDocuments(t *testing.T) {
	files, _, err := node.Read(folder(
		"b/two.yml", "---\nid: c\ncode: x\n---\n---\n# nothing here\n---\nid: d\ncode: x\n",
		"a.yaml", "id: z\ncode: x\n",
		".git/x.yaml", "not: read\n",
		"b/readme.md", "not: read\n",
	), ".", node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, n := range files.Nodes {
		ids = append(ids, n.Id)
	}
	if got := strings.Join(ids, " "); got != "z c d" {
		t.Errorf("got %q, want %q", got, "z c d")
	}
}

func TestReadRefuses(t *testing.T) {
	const head = "id: a\ncode: x\n"
	for _, c := range []struct{ name, text, want string }{
		{"syntax", "id: a\n  b: [\n", `n/a.yaml:2:3: : it is not YAML: mapping values are not allowed in this context`},
		{"unknown field", head + "upstream: [b]\n", `n/a.yaml:3:1: upstream: there is no such field (did you mean "upstreams"?): expected id, name, workspace, owner, type, description, dialect, params, schedule, baseline, resourceGroup, upstreams, dependsOnSelf, dependsOnChildren, mode, timeout, retries, retryDelay, environment, requires, slots, user, limits, exitCodes, secrets, notify, source, code, codeFile, python, sql, http, check, integration or logical`},
		{"unknown field below", head + "baseline:\n  name: x\n  prio: 3\n", `n/a.yaml:5:3: baseline.prio: there is no such field: expected name or priority`},
		{"mode", head + "mode: pause\n", `n/a.yaml:3:7: mode: "pause" (did you mean "paused"?): expected normal, dryRun or paused`},
		{"cross cycle", head + "crossCycle: {children: true}\n", `n/a.yaml:3:1: crossCycle: it is not supported by this version: take it out`},
		{"weekly", head + "schedule: {weekly: [mon]}\n", `n/a.yaml:3:12: schedule.weekly: there is no such field`},
		{"cron", head + "schedule: {cron: '* * * * *'}\n", `n/a.yaml:3:12: schedule.cron: it is not supported by this version: take it out`},
		{"type", head + "type: sqll\n", `n/a.yaml:3:7: type: "sqll" is no type of a node (did you mean "sql"?): expected shell, python, sql, http, check, integration, logical_dimension, logical_fact, logical_aggregate or virtual`},
		{"twice", head + "id: b\n", `n/a.yaml:3:1: id: it is given twice: expected one value`},
		{"null", head + "owner:\n", `n/a.yaml:3:7: owner: it has no value: give one, or leave the field out ("" is the empty text)`},
		{"alias", head + "owner: &o x\nname: *o\n", "n/a.yaml:3:8: owner: anchors and aliases are not supported: write the value out\nn/a.yaml:4:7: name: anchors and aliases are not supported: write the value out"},
		{"tag", head + "owner: !!str x\n", `n/a.yaml:3:8: owner: tags such as !!str are not supported: take it out`},
		{"list for text", head + "owner: [x]\n", `n/a.yaml:3:8: owner: a list: expected one value`},
		{"text for list", head + "upstreams: b\n", `n/a.yaml:3:12: upstreams: "b": expected a list of node ids`},
		{"text for mapping", head + "schedule: daily\n", `n/a.yaml:3:11: schedule: "daily": expected a mapping (name: value)`},
		{"not a mapping", "- a\n", `n/a.yaml:1:1: : a list: expected a mapping (name: value)`},
		{"no id", "code: x\n", `n/a.yaml:1:1: id: "" is no node id: expected a to z, 0 to 9 and _, then also . and -, 1 to 128 characters`},
		{"bad id", "id: Über\ncode: x\n", `n/a.yaml:1:5: id: "Über" is no node id: expected a to z, 0 to 9 and _, then also . and -, 1 to 128 characters`},
		{"blanks", head + "owner: ' x'\n", `n/a.yaml:3:8: owner: " x": expected one line without blanks around it`},
		{"clock", head + "schedule: {daily: '24:00'}\n", `n/a.yaml:3:19: schedule.daily: time of day "24:00": expected 00:00 to 23:59:59`},
		{"kind", head + "schedule: {kind: week}\n", `n/a.yaml:3:18: schedule.kind: "week" (did you mean "weekly"?): expected daily, hourly, minutely, weekly, monthly or yearly`},
		{"kind twice", head + "schedule:\n  kind: weekly\n  daily: 00:30\n", `n/a.yaml:5:10: schedule.daily: a schedule has one kind: expected one of kind, daily, hourly and minutely`},
		{"short and long", head + "schedule: {daily: 00:30, at: 01:00}\n", `n/a.yaml:3:11: schedule: at beside daily: leave it out, or write kind: daily and its fields`},
		{"long without to", head + "schedule: {kind: hourly, from: 00:00, every: 1h}\n", `n/a.yaml:3:11: schedule: to is missing: expected from, to and every`},
		{"long to before from", head + "schedule:\n  kind: minutely\n  to: 00:00\n  from: 01:00\n  every: 5m\n", `n/a.yaml:5:7: schedule.to: 00:00 is before from (01:00): expected the same time or later`},
		{"weekday", head + "schedule: {kind: weekly, weekdays: [mon, tues]}\n", `n/a.yaml:3:42: schedule.weekdays[1]: "tues" (did you mean "tue"?): expected mon, tue, wed, thu, fri, sat or sun`},
		{"weekday twice", head + "schedule: {kind: weekly, weekdays: [mon, mon]}\n", `n/a.yaml:3:42: schedule.weekdays[1]: "mon" is listed twice: take one out`},
		{"no weekday", head + "schedule:\n  kind: weekly\n  weekdays: []\n", `n/a.yaml:5:13: schedule.weekdays: none is given: expected one or more of mon, tue, wed, thu, fri, sat and sun`},
		{"weekdays missing", head + "schedule:\n  kind: weekly\n", `n/a.yaml:4:3: schedule.weekdays: none is given: expected one or more of mon, tue, wed, thu, fri, sat and sun`},
		{"weekdays of a month", head + "schedule: {kind: monthly, days: [1], weekdays: [mon]}\n", `n/a.yaml:3:48: schedule.weekdays: a node that is monthly has none: leave weekdays out, or make it weekly`},
		{"weekdays, short form", head + "schedule: {daily: 00:00, weekdays: [mon]}\n", `n/a.yaml:3:36: schedule.weekdays: a node that is daily has none: leave weekdays out, or make it weekly`},
		{"days of a week", head + "schedule: {kind: weekly, days: [1], weekdays: [mon]}\n", `n/a.yaml:3:32: schedule.days: a node that is weekly has none: leave days out, or make it monthly or yearly`},
		{"months of a month", head + "schedule: {kind: monthly, days: [1], months: [1]}\n", `n/a.yaml:3:46: schedule.months: a node that is monthly has none: leave months out, or make it yearly`},
		{"at of an hourly", head + "schedule: {kind: hourly, at: 01:00, from: 00:00, to: 01:00, every: 1h}\n", `n/a.yaml:3:30: schedule.at: a node that is hourly has an interval: leave at out, or give from and to`},
		{"interval of a month", head + "schedule: {kind: monthly, days: [1], every: 1h}\n", `n/a.yaml:3:45: schedule.every: a node that is monthly has no interval: leave every out, or make it hourly or minutely`},
		{"day 0", head + "schedule: {kind: monthly, days: [0]}\n", `n/a.yaml:3:34: schedule.days[0]: "0": expected 1 to 31, or last`},
		{"day 32", head + "schedule: {kind: monthly, days: [1, 32]}\n", `n/a.yaml:3:37: schedule.days[1]: "32": expected 1 to 31, or last`},
		{"day word", head + "schedule: {kind: monthly, days: [first]}\n", `n/a.yaml:3:34: schedule.days[0]: "first": expected 1 to 31, or last`},
		{"day alone", head + "schedule: {kind: monthly, days: 1}\n", `n/a.yaml:3:33: schedule.days: "1": expected a list of days of the month`},
		{"day twice", head + "schedule: {kind: monthly, days: [last, last]}\n", `n/a.yaml:3:40: schedule.days[1]: "last" is listed twice: take one out`},
		{"no days", head + "schedule: {kind: monthly, days: []}\n", `n/a.yaml:3:33: schedule.days: none is given: expected one or more of 1 to 31 and last`},
		{"month 13", head + "schedule: {kind: yearly, months: [13], days: [1]}\n", `n/a.yaml:3:35: schedule.months[0]: "13": expected 1 (January) to 12`},
		{"no months", head + "schedule: {kind: yearly, months: [], days: [1]}\n", `n/a.yaml:3:34: schedule.months: none is given: expected one or more of 1 to 12`},
		{"the 30th of February", head + "schedule: {kind: yearly, months: [2], days: [1, 30]}\n", `n/a.yaml:3:45: schedule.days: none of the months ever has a day 30: take it out (last is the last day of any month)`},
		{"auto", head + "schedule: {daily: 00:00, auto: on}\n", `n/a.yaml:3:32: schedule.auto: "on": expected true or false`},
		{"auto alone", head + "schedule: {auto: true}\n", `n/a.yaml:3:11: schedule: it does not say when: expected kind, one of daily, hourly, minutely, weekly, monthly or yearly`},
		{"previous of itself", head + "upstreams: [{node: a, previous: true}]\n", `n/a.yaml:3:13: upstreams[0]: a node cannot be its own upstream: use dependsOnSelf: true to wait for its previous cycle`},
		{"previous with dates", head + "upstreams: [{node: b, dates: -1, previous: true}]\n", `n/a.yaml:3:44: upstreams[0].previous: it cannot be combined with dates: choose the previous cycle, or a window of dates such as -1`},
		{"previous twice", head + "upstreams: [b, {node: b, previous: true}]\n", `n/a.yaml:3:16: upstreams[1]: "b" is listed twice: one upstream has one window, or the previous cycle`},
		{"children", head + "dependsOnChildren: 1\n", `n/a.yaml:3:20: dependsOnChildren: "1": expected true or false`},
		{"two kinds", head + "schedule:\n  daily: 00:30\n  hourly: {from: 00:00, to: 01:00, every: 1h}\n", `n/a.yaml:5:11: schedule.hourly: a schedule has one kind: expected one of kind, daily, hourly and minutely`},
		{"no kind", head + "schedule: {zone: UTC}\n", `n/a.yaml:3:11: schedule: it does not say when: expected kind, one of daily, hourly, minutely, weekly, monthly or yearly`},
		{"no to", head + "schedule: {hourly: {from: 00:00, every: 1h}}\n", `n/a.yaml:3:20: schedule.hourly: to is missing: expected from, to and every`},
		{"to before from", head + "schedule: {hourly: {from: 02:00, to: 01:00, every: 1h}}\n", `n/a.yaml:3:38: schedule.hourly.to: 01:00 is before from (02:00): expected the same time or later`},
		{"half hours", head + "schedule: {hourly: {from: 00:00, to: 01:00, every: 30m}}\n", `n/a.yaml:3:52: schedule.hourly.every: 30 min is no whole number of hours: use minutely, or a step such as 60 min`},
		{"seconds", head + "schedule: {minutely: {from: 00:00, to: 01:00, every: 90s}}\n", `n/a.yaml:3:54: schedule.minutely.every: "90s": expected a whole number of minutes`},
		{"zone", head + "schedule: {daily: 00:00, zone: ../etc}\n", `n/a.yaml:3:32: schedule.zone: "../etc" is no time zone: expected a name such as Asia/Shanghai or UTC`},
		{"priority", head + "baseline: {name: x, priority: 2}\n", `n/a.yaml:3:31: baseline.priority: 2 is no priority: expected 1, 3, 5, 7 or 8 (larger is more urgent)`},
		{"no priority", head + "baseline: {name: x}\n", `n/a.yaml:3:11: baseline.priority: 0 is no priority: expected 1, 3, 5, 7 or 8 (larger is more urgent)`},
		{"own upstream", head + "upstreams: [a]\n", `n/a.yaml:3:13: upstreams[0]: a node cannot be its own upstream: use dependsOnSelf: true to wait for its previous cycle`},
		{"upstream twice", head + "upstreams: [b, c, b]\n", `n/a.yaml:3:19: upstreams[2]: "b" is listed twice: one upstream has one window, or the previous cycle`},
		{"window backwards", head + "upstreams: [{node: b, dates: 0..-6}]\n", `n/a.yaml:3:30: upstreams[0].dates: 0..-6 ends before it begins: expected the earlier day first`},
		{"window too wide", head + "upstreams: [{node: b, dates: -400..0}]\n", `n/a.yaml:3:30: upstreams[0].dates: -400..0: expected days from -366 to 0`},
		{"window form", head + "upstreams: [{node: b, dates: last week}]\n", `n/a.yaml:3:30: upstreams[0].dates: "last week": expected days relative to the data timestamp, such as -6..0, -1 or monthStart..0`},
		{"window ahead", head + "upstreams: [{node: b, dates: 0..1}]\n", `n/a.yaml:3:30: upstreams[0].dates: 0..1 reaches past D: a window looks back, expected days from -366 to 0`},
		{"month backwards", head + "upstreams: [{node: b, dates: monthStart..-1}]\n", `n/a.yaml:3:30: upstreams[0].dates: monthStart..-1: on the first of a month it ends before it begins: expected monthStart..0`},
		{"self word", head + "dependsOnSelf: yes\n", `n/a.yaml:3:16: dependsOnSelf: "yes": expected true or false`},
		{"timeout unit", head + "timeout: 10\n", `n/a.yaml:3:10: timeout: "10": expected a number and a unit, such as 90s, 10m or 1h30m`},
		{"timeout size", head + "timeout: 721h\n", `n/a.yaml:3:10: timeout: 2595600000 ms: expected up to 30 days (720h), or 0 for none`},
		{"retries", head + "retries: -1\n", `n/a.yaml:3:10: retries: -1: expected 0 to 100`},
		{"retries form", head + "retries: many\n", `n/a.yaml:3:10: retries: "many": expected a whole number`},
		{"delay", head + "retryDelay: 25h\n", `n/a.yaml:3:13: retryDelay: 90000000 ms: expected up to 24h`},
		{"variable", head + "environment: {A-B: x}\n", `n/a.yaml:3:20: environment.A-B: "A-B" is no name: expected a letter or _, then letters, digits and _, up to 128`},
		{"reserved", head + "environment: {BACKFLEET_FENCE: 1}\n", `n/a.yaml:3:32: environment.BACKFLEET_FENCE: names that begin with BACKFLEET_ are set by the agent: choose another`},
		{"from apply", head + "environment:\n  W: {fromApply: WAREHOUSE}\n", `n/a.yaml:4:18: environment.W.fromApply: no value was given for WAREHOUSE: apply the nodes with --env WAREHOUSE=…`},
		{"no code", "id: a\n", `n/a.yaml:1:1: code: it is empty: expected code, or codeFile with the name of a file`},
		{"both codes", head + "codeFile: x.sh\n", `n/a.yaml:3:11: codeFile: code and codeFile are both given: expected one of them`},
		{"no such file", "id: a\ncodeFile: x.sh\n", `n/a.yaml:2:11: codeFile: n/x.sh cannot be read: open n/x.sh: file does not exist`},
		{"file outside", "id: a\ncodeFile: ../../x.sh\n", `n/a.yaml:2:11: codeFile: "../../x.sh" leaves the folder that is applied: expected a path inside it, relative to this file`},
		{"dialect", head + "dialect: sql\n", `n/a.yaml:3:10: dialect: "sql" is not a dialect: expected dataworks or dataphin`},
		{"param", head + "params:\n  d: $[yyyymm-1]\n", `n/a.yaml:4:6: params.d: column`},
		{"param twice", head + "params: {d: x, d: y}\n", `n/a.yaml:3:16: params.d: it is given twice: expected one value`},
		{"several at once", "id: A\nowner: ''\nretries: x\nbogus: 1\n", "n/a.yaml:3:10: retries: \"x\": expected a whole number\nn/a.yaml:4:1: bogus: there is no such field: expected"},
		{"id twice", head + "---\nid: a\ncode: y\n", `n/a.yaml:4:5: id: node "a" is already defined at n/a.yaml:1:5: an id names one node`},
		{"in the code", "id: a\ncode: |\n  echo one\n  echo $[yyyymm-1]\n", `n/a.yaml:4:16: code: a whole number of days on a format without day or time: use add_months, as in $[add_months(yyyymm,-1)]; $$[…] is a literal $[…]`},
		{"in quoted code", "id: a\ncode: 'echo $[yyyymm-1]'\n", `n/a.yaml:2:7: code: line 1, column 14: a whole number of days on a format without day or time: use add_months, as in $[add_months(yyyymm,-1)]; $$[…] is a literal $[…]`},
		{"in a code file", "id: a\ncodeFile: ../bad.sh\n", `bad.sh:2:14: code: a whole number of days on a format without day or time: use add_months, as in $[add_months(yyyymm,-1)]; $$[…] is a literal $[…]`},
		{"binary", "id: a\ncode: \"a\\0b\"\n", `n/a.yaml:2:7: code: it has a NUL character: take it out`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := node.Read(folder("n/a.yaml", c.text, "x.sh", "exit", "bad.sh", "echo\necho $[yyyymm-1]\n"), ".", node.Options{})
			got := findings(t, err)
			if got != c.want && !((strings.HasSuffix(c.want, "expected") || strings.HasSuffix(c.want, "column") || strings.HasSuffix(c.want, "field")) && strings.HasPrefix(got, c.want)) {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestReadRefusesAnEmptyFolderAndLargeFiles(t *testing.T) {
	if _, _, err := node.Read(folder("a.txt", "x"), ".", node.Options{}); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "no node was found") {
		t.Errorf("empty folder: %v", err)
	}
	if _, _, err := node.Read(folder(), "absent", node.Options{}); !fault.Is(err, fault.Invalid) {
		t.Errorf("absent root: %v", err)
	}
	_, _, err := node.Read(folder("a.yaml", "id: a\ncode: "+strings.Repeat("x", node.MaxFile)), ".", node.Options{})
	if got, want := findings(t, err), "a.yaml: : the file has more than 1048576 bytes: make it smaller"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	_, _, err = node.Read(folder("a.yaml", "id: a\ncode: "+strings.Repeat("x", node.MaxCode+1)), ".", node.Options{})
	if got, want := findings(t, err), "a.yaml:2:7: code: 262145 bytes: expected at most 262144"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestReadWarnsOfAValueNobodyAsksFor(t *testing.T) {
	_, warnings, err := node.Read(folder("a.yaml", "id: a\ncode: x\n"), ".", node.Options{Values: map[string]string{"WAREHUSE": "/x"}})
	if err != nil || len(warnings) != 1 || warnings[0].Message != "a value for WAREHUSE was given, but no node has fromApply: WAREHUSE" {
		t.Errorf("got %v, %v", warnings, err)
	}
}

// FuzzRead: whatever the bytes, Read answers; every finding has a place, and
// what it takes compiles to itself.
func FuzzRead(f *testing.F) {
	f.Add("id: a\ncode: x\n")
	f.Add("id: a\ncode: |\n  echo ${yyyymmdd}\nupstreams: [b, {node: c, dates: -6..0}]\nschedule: {hourly: {from: 00:00, to: 03:00, every: 1h}}\n")
	f.Add("id: a\ncode: x\nschedule: {kind: yearly, months: [2], days: [29, last], at: '02:00', auto: true}\nmode: paused\n")
	f.Add("id: a\ncode: x\nschedule: {kind: weekly, weekdays: [mon]}\nupstreams: [{node: b, previous: true}]\ndependsOnChildren: true\n")
	f.Add("a: &x [*x]\n---\n? {}\n")
	f.Add("id: a\nenvironment: {A: {fromApply: B}}\nparams: {1: 2}\n")
	for _, c := range everyType {
		f.Add("id: a\n" + c.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		files, _, err := node.Read(folder("a.yaml", text), ".", node.Options{Values: map[string]string{"B": "x"}})
		if err != nil {
			var e *fault.Error
			if !errors.As(err, &e) {
				t.Fatalf("no coded error: %v", err)
			}
			for _, d := range e.Details {
				if !strings.HasPrefix(d.Where, "a.yaml") && !strings.HasPrefix(d.Message, "and ") {
					t.Fatalf("no place: %+v", d)
				}
			}
			return
		}
		for _, spec := range files.Nodes {
			again, _, err := node.Compile(spec)
			if err != nil || !proto.Equal(again.Spec, spec) {
				t.Fatalf("%v does not compile to itself: %v", spec, err)
			}
		}
	})
}
