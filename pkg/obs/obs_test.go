package obs_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"backfleet/pkg/fault"
	"backfleet/pkg/obs"
)

func TestFormatAndLevel(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	l, err := obs.NewLogger(obs.LogConfig{Output: file, Level: "warn"})
	if err != nil {
		t.Fatal(err)
	}
	l.Info("quiet")
	l.Warn("loud", "n", 1)
	out, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	var record map[string]any
	if err := json.Unmarshal(out, &record); err != nil || record["msg"] != "loud" || record["level"] != "WARN" {
		t.Errorf("a file, which is no terminal: %s (%v)", out, err)
	}
	var text bytes.Buffer
	if l, err = obs.NewLogger(obs.LogConfig{Output: &text, Format: "text", Level: "debug"}); err != nil {
		t.Fatal(err)
	}
	l.Debug("fine")
	if !strings.Contains(text.String(), "level=DEBUG msg=fine") {
		t.Errorf("text: %s", text.String())
	}
	for field, cfg := range map[string]obs.LogConfig{"log-level": {Level: "shout"}, "log-format": {Format: "xml"}} {
		if _, err := obs.NewLogger(cfg); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}
