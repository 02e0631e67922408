package obs_test

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"backfleet/pkg/fault"
	"backfleet/pkg/obs"

	"github.com/hashicorp/go-hclog"
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

func TestBridge(t *testing.T) {
	var out bytes.Buffer
	l, err := obs.NewLogger(obs.LogConfig{Output: &out, Format: "text", Level: "info"})
	if err != nil {
		t.Fatal(err)
	}
	h := obs.HCLog(l, "raft").Named("peer").With("id", "c2")
	h.Debug("hidden")
	h.Error("no answer", "servers", hclog.Fmt("%d of %d", 1, 3))
	h.StandardLogger(nil).Print("from the standard logger")
	got := out.String()
	for _, want := range []string{`level=ERROR msg="no answer" component=raft.peer id=c2 servers="1 of 3"`, `level=INFO msg="from the standard logger"`} {
		if !strings.Contains(got, want) {
			t.Errorf("got %s; expected %s", got, want)
		}
	}
	if strings.Contains(got, "hidden") || h.IsDebug() || !h.IsInfo() || h.GetLevel() != hclog.Info {
		t.Errorf("levels: %s", got)
	}
}

func TestMetrics(t *testing.T) {
	for range 2 { // two in one process
		w := httptest.NewRecorder()
		obs.MetricsHandler(obs.NewRegistry("v1")).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		for _, want := range []string{`backfleet_build_info{version="v1"} 1`, "go_goroutines", "process_resident_memory_bytes"} {
			if !strings.Contains(w.Body.String(), want) {
				t.Errorf("no %s", want)
			}
		}
	}
}
