package prom_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"backfleet/pkg/obs/prom"
)

func TestMetrics(t *testing.T) {
	for range 2 { // two in one process
		w := httptest.NewRecorder()
		prom.Handler(prom.NewRegistry("v1")).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		for _, want := range []string{`backfleet_build_info{version="v1"} 1`, "go_goroutines", "process_resident_memory_bytes"} {
			if !strings.Contains(w.Body.String(), want) {
				t.Errorf("no %s", want)
			}
		}
	}
}
