package settings_test

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/proto"

	"backfleet/agent/executor/python"
	"backfleet/agent/settings"
	"backfleet/agent/worker"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// load reads settings of the whole binary.
func load(t *testing.T, file string, environ, args []string) *settings.Loaded {
	t.Helper()
	return loadAs(t, true, file, environ, args)
}

// loadAs reads a file of this text, which is called agent.yaml in findings.
func loadAs(t *testing.T, whole bool, file string, environ, args []string) *settings.Loaded {
	t.Helper()
	t.Chdir(t.TempDir())
	if file != "" {
		if err := os.WriteFile("agent.yaml", []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append([]string{"--config", "agent.yaml"}, args...)
	}
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	settings.Flags(f, whole)
	if err := f.Parse(args); err != nil {
		t.Fatal(err)
	}
	return settings.Load(f, environ, whole)
}

func TestPrecedence(t *testing.T) {
	l := load(t, `
id: of-file
data: /file
coordinators: [a:1, b:2]
groups: {x: 1, y: 2}
run:
  user: of-file
  limits: {nice: 3}
`, []string{"BACKFLEET_AGENT_ID=of-variable", "BACKFLEET_AGENT_DATA=/variable", "BACKFLEET_AGENT_GROUPS=z=3", "BACKFLEET_AGENT_LABELS=",
		"BACKFLEET_AGENT_RUN_LIMITS_OPEN_FILES=64", "OTHER=1"},
		[]string{"--id", "of-flag", "--coordinators", "c:3,d:4", "--coordinators", "e:5"})
	if found := l.Findings(); len(found) > 0 {
		t.Fatal(found)
	}
	if l.ID != "of-flag" || l.Data != "/variable" || l.Run.User != "of-file" || l.Run.Limits.Nice != 3 || l.Run.Limits.OpenFiles != 64 ||
		!reflect.DeepEqual(l.Coordinators, []string{"c:3", "d:4", "e:5"}) || !reflect.DeepEqual(l.Groups, map[string]int{"z": 3}) || l.Labels != nil {
		t.Errorf("%+v", l.Settings)
	}
	for field, want := range map[string]string{
		"id": "--id", "data": "BACKFLEET_AGENT_DATA", "run.user": "agent.yaml:7", "run.limits.nice": "agent.yaml:8", "groups.z": "BACKFLEET_AGENT_GROUPS",
		"groups.x": "BACKFLEET_AGENT_GROUPS", "coordinators[1]": "--coordinators", "tls.ca": settings.Default, "labels": settings.Default,
	} {
		if got := l.Origin(field); got != want {
			t.Errorf("%s is from %s, want %s", field, got, want)
		}
	}
	var b bytes.Buffer
	if err := l.Print(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"id +of-flag +--id", "groups +{z: 3} +BACKFLEET_AGENT_GROUPS", `run.limits.openFiles +64 +BACKFLEET_`, "logs.maxBytes +2GiB +default", "run.user +of-file +agent.yaml:7"} {
		if !regexp.MustCompile(`(?m)^` + want).MatchString(b.String()) {
			t.Errorf("want a line %q in\n%s", want, b.String())
		}
	}
}

func TestTheFileCanBeNamedInTheEnvironment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "here.yaml")
	if err := os.WriteFile(path, []byte("id: a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := load(t, "", []string{"BACKFLEET_AGENT_CONFIG=" + path}, nil)
	if len(l.Findings()) > 0 || l.ID != "a" || l.Origin("id") != path+":1" {
		t.Errorf("%+v, %v", l.Settings, l.Findings())
	}
	l = load(t, "id: b\n", []string{"BACKFLEET_AGENT_CONFIG=" + path}, nil)
	if len(l.Findings()) > 0 || l.ID != "b" {
		t.Errorf("%+v, %v: a flag goes before a variable", l.Settings, l.Findings())
	}
}

func TestRefuses(t *testing.T) {
	for _, c := range []struct {
		name, file string
		environ    []string
		args       []string
		want       string
	}{
		{"unknown", "id: a\ncoordinator: [x:1]\n", nil, nil, `agent.yaml:2: coordinator: there is no such setting (did you mean "coordinators"?)`},
		{"unknown below", "run:\n  limits:\n    openfile: 3\n", nil, nil, `agent.yaml:3: run.limits.openfile: there is no such setting (did you mean "openFiles"?)`},
		{"a secret", "token: bfj_x_y\n", nil, nil, `agent.yaml:1: token: there is no such setting: secrets are read from files of their own; name the file in tokenFile`},
		{"twice", "id: a\nid: b\n", nil, nil, `agent.yaml:2: id: it stands there twice`},
		{"nothing", "id:\n", nil, nil, `agent.yaml:1: id: expected a value, like worker-1, found nothing`},
		{"no list", "coordinators: c1:8471\n", nil, nil, `agent.yaml:1: coordinators: expected a list, like [c1.example.com:8471, c2.example.com:8471, c3.example.com:8471], found "c1:8471"`},
		{"nothing in a list", "coordinators: [a:1, ]\nrun: {allowUsers: [x, ~]}\n", nil, nil, `agent.yaml:2: run.allowUsers: expected a list, like [etl, reports], found nothing in it`},
		{"no names", "groups: [a, b]\n", nil, nil, `agent.yaml:1: groups: expected names with values, like {default: 8}, found a list`},
		{"no number", "groups:\n  a: many\n", nil, nil, `agent.yaml:2: groups: "a": expected a whole number, found "many"`},
		{"a group twice", "groups: {a: 1, a: 2}\n", nil, nil, `agent.yaml:1: groups: "a" stands there twice`},
		{"no section", "run: fast\n", nil, nil, `agent.yaml:1: run: expected settings, name: value on a line each, found "fast"`},
		{"a list for all", "- a\n", nil, nil, `agent.yaml:1: expected settings, name: value on a line each, found a list`},
		{"no size", "logs: {maxBytes: lots}\n", nil, nil, `agent.yaml:1: logs.maxBytes: expected a number of bytes up to 1024TiB, like 512MiB or 1048576, found "lots"`},
		{"no cores", "run: {limits: {cpu: -1}}\n", nil, nil, `agent.yaml:1: run.limits.cpu: expected a number of cores up to 1024, like 1.5, found "-1"`},
		{"no duration", "drain: {deadline: 30}\n", nil, nil, `agent.yaml:1: drain.deadline: expected a duration like 90s, 30m or 8h, found "30"`},
		{"no choice", "drain: {onStop: kill}\n", nil, nil, `agent.yaml:1: drain.onStop: expected leave or wait, found "kill"`},
		{"no YAML", "id: [\n", nil, nil, `agent.yaml: it is not YAML`},
		{"no file", "", nil, []string{"--config", "gone.yaml"}, `config: gone.yaml cannot be read: no such file or directory`},
		{"a variable", "", []string{"BACKFLEET_AGENT_COORDINATOR=x"}, nil, `the environment: BACKFLEET_AGENT_COORDINATOR: there is no such setting (did you mean "BACKFLEET_AGENT_COORDINATORS"?)`},
		{"a value in a variable", "", []string{"BACKFLEET_AGENT_GROUPS=a=1,b"}, nil, `BACKFLEET_AGENT_GROUPS: groups: expected name=slots with a whole number, like default=8, found "b"`},
		{"a value in a flag", "", nil, []string{"--label", "gpu"}, `--label: labels: expected name=value, found "gpu"`},
		{"twice in flags", "", nil, []string{"--group", "a=1", "--group", "a=2"}, `--group: groups: "a" stands there twice`},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := fault.New(fault.Invalid, "wrong").WithDetails(load(t, c.file, c.environ, c.args).Findings()...)
			if len(err.Details) != 1 || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %s\nwant %s", err, c.want)
			}
		})
	}
}

func TestEtcdIsOfTheWholeBinary(t *testing.T) {
	file := "etcd:\n  endpoints: [127.0.0.1:2379]\n  lease: 20s\n"
	if l := load(t, file, nil, nil); len(l.Findings()) > 0 || l.Etcd.Lease != 20*time.Second || len(l.Etcd.Endpoints) != 1 {
		t.Errorf("%+v, %v", l.Etcd, l.Findings())
	}
	found := loadAs(t, false, file, nil, nil).Findings()
	if len(found) != 1 || found[0].Where != "agent.yaml:1" || !strings.Contains(found[0].Message, "backfleet agent") {
		t.Errorf("%v, want the slim binary to say which one can", found)
	}
}

// TestTheExample: it is right as it is, and with all that is in comments.
func TestTheExample(t *testing.T) {
	for _, whole := range []bool{false, true} {
		var b bytes.Buffer
		if err := settings.Example(&b, whole); err != nil {
			t.Fatal(err)
		}
		l := loadAs(t, whole, b.String(), nil, nil)
		if found := l.Findings(); len(found) > 0 || l.Data == "" || len(l.Coordinators) == 0 || len(l.Groups) == 0 {
			t.Errorf("%v, %+v", found, l.Settings)
		}
		all := regexp.MustCompile(`(?m)^#((?:  )*[a-zA-Z]+:)`).ReplaceAllString(b.String(), "$1")
		l = loadAs(t, whole, all, nil, nil)
		if found := l.Findings(); len(found) > 0 {
			t.Errorf("with everything: %v\n%s", found, all)
		}
		for _, name := range settings.FlagNames(whole) {
			if !strings.Contains(b.String(), "--"+name+"\n") {
				t.Errorf("the example does not name --%s", name)
			}
		}
		if zero := unset(reflect.ValueOf(l.Settings), "", whole); len(zero) > 0 {
			t.Errorf("the example gives no value to %v", zero)
		}
	}
}

// unset lists the fields without a value.
func unset(v reflect.Value, path string, whole bool) (list []string) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		switch {
		case !whole && f.Tag.Get("whole") != "":
		case f.Type.Kind() == reflect.Struct:
			list = append(list, unset(v.Field(i), path+f.Name+".", whole)...)
		case v.Field(i).IsZero() || f.Tag.Get("doc") == "" || f.Tag.Get("name") == "":
			list = append(list, path+f.Name)
		}
	}
	return list
}

func TestTheAgentGetsThem(t *testing.T) {
	l := load(t, `
id: a
data: /d
coordinators: [c:1]
groups: {y: 2, x: 1}
labels: {os: linux}
tokenFile: /t
logs: {maxBytes: 1MiB}
environment: {inherit: [PATH], set: {A: b}}
run: {user: nodes, allowUsers: [etl], cgroup: "off", limits: {memory: 1.5GiB, cpu: 1.5, processes: 7, openFiles: 64, core: 1KiB, nice: 5}}
drain: {onStop: wait, deadline: 30m}
python: {interpreter: pypy3, venvs: {x: /v}}
taskProgram: /opt/backfleet-task
secrets: /s
`, nil, nil)
	if found := l.Findings(); len(found) > 0 {
		t.Fatal(found)
	}
	got := l.Worker()
	limits := &wire.Limits{MemoryBytes: 3 << 29, CpuMilli: 1500, Processes: 7, OpenFiles: 64, CoreBytes: 1024, Nice: 5}
	if !proto.Equal(got.Run.Limits, limits) {
		t.Errorf("limits %v, want %v", got.Run.Limits, limits)
	}
	got.Run.Limits = nil
	want := worker.Config{ID: "a", DataDir: "/d", Coordinators: []string{"c:1"}, Groups: []worker.GroupSlots{{Group: "x", Slots: 1}, {Group: "y", Slots: 2}},
		Labels: map[string]string{"os": "linux"}, TokenFile: "/t", LogMaxBytes: 1 << 20, Inherit: []string{"PATH"}, Environment: map[string]string{"A": "b"},
		Run: worker.Running{User: "nodes", AllowUsers: []string{"etl"}, Cgroup: "off"}, Drain: worker.Drain{Wait: true, Deadline: 30 * time.Minute},
		Python: python.Settings{Interpreter: "pypy3", Venvs: map[string]string{"x": "/v"}}, TaskCommand: []string{"/opt/backfleet-task"}, Secrets: "/s"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if host, err := os.Hostname(); err != nil || load(t, "", nil, nil).ID != host {
		t.Errorf("the id is not the host's name %s (%v)", host, err)
	}
	if none := load(t, "id: a\n", nil, nil).Worker(); none.Run.Limits != nil || none.Inherit != nil {
		t.Errorf("%+v: what nobody set has a value", none)
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]string{"0": "0", "1": "1", "1024": "1KiB", "512MiB": "512MiB", "1.5GiB": "1536MiB", "3 TiB": "3TiB", "100B": "100"} {
		l := load(t, "logs: {maxBytes: "+text+"}\n", nil, nil)
		if got := l.Logs.MaxBytes.String(); len(l.Findings()) > 0 || got != want {
			t.Errorf("%s: %s, want %s (%v)", text, got, want, l.Findings())
		}
	}
}
