package obs_test

import (
	"bytes"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"backfleet/pkg/fault"
	"backfleet/pkg/obs"
)

func TestProfiles(t *testing.T) {
	var out bytes.Buffer
	l, err := obs.NewLogger(obs.LogConfig{Output: &out, Format: obs.FormatText})
	if err != nil {
		t.Fatal(err)
	}
	stop, err := obs.StartProfiles("127.0.0.1:0", l)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	url := regexp.MustCompile(`http://\S+/debug/pprof/`).FindString(out.String())
	got, err := http.Get(url + "goroutine?debug=1")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(got.Body)
	_ = got.Body.Close()
	if err != nil || !strings.Contains(string(body), "TestProfiles") {
		t.Errorf("the goroutines: %v\n%s", err, body)
	}
	http.DefaultClient.CloseIdleConnections()
	stop()
	stop()
	if _, err := http.Get(url); err == nil {
		t.Error("served after the stop")
	}
	if stop, err := obs.StartProfiles("", l); err != nil {
		t.Errorf("none asked for: %v", err)
	} else {
		stop()
	}
	for addr, code := range map[string]fault.Code{"0.0.0.0:0": fault.Denied, ":6060": fault.Denied, "10.1.2.3:6060": fault.Denied, "6060": fault.Invalid} {
		if _, err := obs.StartProfiles(addr, l); !fault.Is(err, code) || !strings.Contains(err.Error(), obs.FlagProfiles) {
			t.Errorf("%s: %v", addr, err)
		}
	}
}
