package worker

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"backfleet/agent/executor/python"
	"backfleet/agent/runner"
	"backfleet/pkg/wire"
)

type preparing func() (*wire.StartAttempt, error)

func (p preparing) Prepare(*wire.Definition, *wire.Work) (*wire.StartAttempt, error) { return p() }

func TestR10_3_EachAttemptGetsTheBoundOfItsLog(t *testing.T) {
	b := bounded{preparing(func() (*wire.StartAttempt, error) { return &wire.StartAttempt{TimeoutMs: 5}, nil }), 70_000}
	start, err := b.Prepare(nil, nil)
	if err != nil || start.LogMaxBytes != 70_000 || start.TimeoutMs != 5 {
		t.Errorf("%v, %v", start, err)
	}
	broken := errors.New("no code")
	b.Executor = preparing(func() (*wire.StartAttempt, error) { return nil, broken })
	if _, err := b.Prepare(nil, nil); !errors.Is(err, broken) {
		t.Errorf("got %v, want the executor's error", err)
	}
}

func TestR10_3_TheBoundOfLogsIsASettingWithADefault(t *testing.T) {
	config := func(bytes int64) error {
		c := Config{ID: "a", DataDir: "x", Coordinators: []string{"127.0.0.1:1"}, Groups: []GroupSlots{{"default", 1}}, LogMaxBytes: bytes}
		err := c.Validate()
		if bytes == 0 && c.LogMaxBytes != runner.DefaultLogBytes {
			t.Errorf("the default is %d bytes, want 2 GiB", c.LogMaxBytes)
		}
		return err
	}
	for bytes, refused := range map[int64]bool{0: false, 64 << 10: false, 64<<10 - 1: true, -1: true} {
		if err := config(bytes); (err != nil) != refused || refused && !strings.Contains(err.Error(), "logs.maxBytes") {
			t.Errorf("%d bytes: %v", bytes, err)
		}
	}
}

func TestWhatAttemptsCannotBeGiven(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fine := func() Config {
		return Config{ID: "a", DataDir: "x", Coordinators: []string{"127.0.0.1:1"}, Groups: []GroupSlots{{"default", 1}}, TokenFile: token,
			Run: Running{Limits: &wire.Limits{Nice: 19, OpenFiles: 16, Processes: 1}}, Environment: map[string]string{"A_1": ""}}
	}
	c := fine()
	if err := c.Validate(); err != nil || c.Boot == "" {
		t.Fatalf("%v, boot %q", err, c.Boot)
	}
	for want, spoil := range map[string]func(*Config){
		"run.limits.nice: expected 0 to 19, found 20":               func(c *Config) { c.Run.Limits.Nice = 20 },
		"run.limits.openFiles: expected 16 to 1048576, found 3":     func(c *Config) { c.Run.Limits.OpenFiles = 3 },
		"run.limits.processes: expected 1 to 4194304, found -1":     func(c *Config) { c.Run.Limits.Processes = -1 },
		"environment.set.A-B: expected the name":                    func(c *Config) { c.Environment["A-B"] = "x" },
		"environment.set.BACKFLEET_FENCE: expected the name":        func(c *Config) { c.Environment["BACKFLEET_FENCE"] = "x" },
		"labels.backfleet/sql: expected a name that does not":       func(c *Config) { c.Labels = map[string]string{"backfleet/sql": "true"} },
		"python.venvs.b: expected one of the agent's resource gro":  func(c *Config) { c.Python.Venvs = map[string]string{"b": "/v"} },
		"python.interpreter: expected no interpreter beside":        func(c *Config) { c.Python = python.Settings{Interpreter: "x", Venv: "/v"} },
		"tokenFile: the file with the agent's token cannot be":      func(c *Config) { c.TokenFile += ".none" },
		"groups.b: expected 1 to 100000 slots for \"b\", found 0":   func(c *Config) { c.Groups = append(c.Groups, GroupSlots{"b", 0}) },
		"groups.default: \"default\" stands there twice":            func(c *Config) { c.Groups = append(c.Groups, GroupSlots{"default", 2}) },
		"groups: expected the resource group's name, found nothing": func(c *Config) { c.Groups = append(c.Groups, GroupSlots{"", 2}) },
	} {
		c := fine()
		spoil(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestAnAgentSaysWhichTypesItCanRun: by labels of its own, beside those that it
// was given.
func TestAnAgentSaysWhichTypesItCanRun(t *testing.T) {
	venv := t.TempDir()
	if err := os.MkdirAll(filepath.Join(venv, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(venv, "bin", "python"), nil, 0o700); err != nil {
		t.Fatal(err)
	}
	bare := map[string]string{"PATH": t.TempDir()}
	for want, c := range map[string]Config{
		"":                      {Environment: bare},
		"os=linux":              {Environment: bare, Labels: map[string]string{"os": "linux"}},
		"backfleet/python=true": {Environment: bare, Python: python.Settings{Venv: venv}},
		"backfleet/check=true backfleet/http=true backfleet/integration=true backfleet/logical_aggregate=true backfleet/logical_dimension=true backfleet/logical_fact=true backfleet/sql=true os=linux": {
			Environment: bare, Labels: map[string]string{"os": "linux"}, TaskCommand: []string{"/opt/backfleet-task"}},
	} {
		var got []string
		for _, l := range c.registration().Labels {
			got = append(got, l.Name+"="+l.Value)
		}
		if strings.Join(got, " ") != want || len(c.Labels) > 1 {
			t.Errorf("got %v, want %s", got, want)
		}
	}
}
