package stage

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/fstest"
)

// TestFront: the page is the one given, everything else the coordinator's own.
func TestFront(t *testing.T) {
	coordinator := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "coordinator "+r.URL.Path) }))
	defer coordinator.Close()
	fronts, err := front(fstest.MapFS{"index.html": {Data: []byte("the page")}}, []string{coordinator.URL})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/": "the page", "/backfills/b1": "the page", "/v1/me": "coordinator /v1/me", "/readyz": "coordinator /readyz"} {
		answer, err := http.Get(fronts[0] + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if string(body) != want {
			t.Errorf("%s: %q, expected %q", path, body, want)
		}
	}
}

func TestWhatToRunIsAsked(t *testing.T) {
	if status := Main(nil); status != 2 {
		t.Errorf("status %d, expected 2", status)
	}
	if status := Main([]string{"-slots", "many"}); status != 2 {
		t.Errorf("status %d, expected 2", status)
	}
}
