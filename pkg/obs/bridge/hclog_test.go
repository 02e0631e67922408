package bridge_test

import (
	"bytes"
	"strings"
	"testing"

	"backfleet/pkg/obs"
	"backfleet/pkg/obs/bridge"

	"github.com/hashicorp/go-hclog"
)

func TestBridge(t *testing.T) {
	var out bytes.Buffer
	l, err := obs.NewLogger(obs.LogConfig{Output: &out, Format: "text", Level: "info"})
	if err != nil {
		t.Fatal(err)
	}
	h := bridge.HCLog(l, "raft").Named("peer").With("id", "c2")
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
