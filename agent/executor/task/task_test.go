package task_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"backfleet/agent/executor"
	"backfleet/agent/executor/task"
	"backfleet/agent/task/taskfile"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

func prepare(t *testing.T, d *wire.Definition) (*wire.StartAttempt, error) {
	t.Helper()
	folder := t.TempDir()
	for name, text := range map[string]string{"dw": "from a file\n", "ca.pem": "PEM\n"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	common := executor.New(executor.Settings{Set: map[string]string{"API_TOKEN": "bearer of news", "OTHER": "no secret"}})
	secrets := executor.Secrets{Folder: folder, Environ: []string{"BACKFLEET_SECRET_ODS=from the agent"}}
	w := &wire.Work{Ref: &wire.AttemptRef{Plan: 12, Instance: 345, Attempt: 2, Fence: 99}, DataTimestamp: 20_000, ScheduledDate: 20_001, ScheduledClock: 60, Values: []*wire.Assignment{{Name: "region", Value: "eu"}}}
	return task.New(common, secrets, []string{"/opt/backfleet-task"}).Prepare(d, w)
}

// given is the task that the program reads.
func given(t *testing.T, start *wire.StartAttempt) *wire.Task {
	t.Helper()
	path := filepath.Join(t.TempDir(), "task")
	if err := os.WriteFile(path, []byte(start.Script), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := taskfile.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func sources() []*wire.DataSource {
	return []*wire.DataSource{
		{Name: "dw", Type: "postgres", Password: &wire.Secret{File: "dw"}, Ca: &wire.Secret{File: "ca.pem"}, ResourceGroups: []string{"etl", "g"}},
		{Name: "ods", Type: "mysql", Password: &wire.Secret{Environment: "BACKFLEET_SECRET_ODS"}},
		{Name: "files", Type: "sqlite"},
	}
}

func TestWhatTheProgramIsGiven(t *testing.T) {
	d := &wire.Definition{ResourceGroup: "g", Units: []string{"u1"}, Sources: sources(), Node: &wire.Node{Id: "n", Type: "integration", TimeoutMs: 7, Secrets: []string{"OTHER"},
		Integration: &wire.Integration{
			From: &wire.IntegrationSource{Source: "ods", Query: "SELECT * FROM orders WHERE ds = '${yyyymmdd}' AND region = '${region}'"},
			To:   &wire.IntegrationTarget{Source: "dw", Table: "orders"},
		}}}
	start, err := prepare(t, d)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(start.Command, []string{"/opt/backfleet-task"}) || !slices.Equal(start.Arguments, []string{"eu"}) || start.TimeoutMs != 7 {
		t.Errorf("%v %v", start.Command, start.Arguments)
	}
	want := &wire.Task{Node: proto.CloneOf(d.Node), Units: []string{"u1"}, DataTimestamp: 20_000, ScheduledDate: 20_001, ScheduledClock: 60, Fence: 99, Instance: "b12.345",
		Sources: []*wire.OpenSource{{Source: d.Sources[0], Password: "from a file", Ca: []byte("PEM")}, {Source: d.Sources[1], Password: "from the agent"}}}
	want.Node.Integration.From.Query = "SELECT * FROM orders WHERE ds = '20241004' AND region = 'eu'"
	if got := given(t, start); !proto.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	if masked := []string{"from the agent", "from a file", "no secret"}; !slices.Equal(start.Masked, masked) {
		t.Errorf("masked are %q, want %q", start.Masked, masked)
	}
	for _, e := range start.Environment {
		if strings.Contains(e.Value, "from ") {
			t.Errorf("%s has a password", e.Name)
		}
	}
}

func TestSecretsOfARequestAreMasked(t *testing.T) {
	start, err := prepare(t, &wire.Definition{Node: &wire.Node{Type: "http", Http: &wire.Http{Url: "http://h", Headers: []*wire.Assignment{
		{Name: "Authorization", Value: "Bearer {secret:API_TOKEN}"}, {Name: "X", Value: "{secret:GONE}"}, {Name: "Y", Value: "{secret:API_TOKEN}"}}}}})
	if err != nil || !slices.Equal(start.Masked, []string{"bearer of news"}) {
		t.Fatalf("masked are %q (%v)", start.GetMasked(), err)
	}
	if got := given(t, start).Node.Http.Headers[0].Value; got != "Bearer {secret:API_TOKEN}" {
		t.Errorf("the header is %q: the program puts the secret in, of its own environment", got)
	}
}

func TestWhatFailsAnAttempt(t *testing.T) {
	for name, c := range map[string]struct {
		source string
		change func(*wire.DataSource)
		code   fault.Code
		want   string
	}{
		"no such data source":  {"gone", nil, fault.NotFound, `node "n": there is no data source "gone"; make it (backfleet source apply -f FILE) or name another`},
		"of other groups":      {"dw", func(s *wire.DataSource) { s.ResourceGroups = []string{"a", "b"} }, fault.Denied, `node "n": data source "dw" is for resource groups a, b and not for "g"; run the node`},
		"a secret is missing":  {"dw", func(s *wire.DataSource) { s.Password.File = "gone" }, fault.NotFound, `node "n": password of data source "dw": there is no file "gone"`},
		"and of the authority": {"dw", func(s *wire.DataSource) { s.Ca.File = "gone" }, fault.NotFound, `node "n": ca of data source "dw": there is no file "gone"`},
		"a forbidden variable": {"ods", func(s *wire.DataSource) { s.Password.Environment = "BACKFLEET_AGENT_ID" }, fault.Invalid, "BACKFLEET_AGENT_ID is not for secrets"},
		"a secret of nowhere":  {"ods", func(s *wire.DataSource) { s.Password.Environment = "" }, fault.Invalid, "expected a variable or a file"},
		"one without secrets":  {"files", nil, "", ""},
		"of all groups":        {"dw", func(s *wire.DataSource) { s.ResourceGroups = nil }, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := &wire.Definition{ResourceGroup: "g", Sources: sources(), Node: &wire.Node{Id: "n", Type: "sql", Source: c.source, Code: "SELECT 1"}}
			for _, s := range d.Sources {
				if s.Name == c.source && c.change != nil {
					c.change(s)
				}
			}
			_, err := prepare(t, d)
			if fault.CodeOf(err) != c.code || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}
