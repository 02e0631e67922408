package web

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func get(t *testing.T, method, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	h, err := Handler()
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestEveryAddressIsThePage: views have addresses of their own, which only the
// page knows.
func TestEveryAddressIsThePage(t *testing.T) {
	index := get(t, "GET", "/").Body.String()
	script := regexp.MustCompile(`src="(/assets/[^"]+\.js)"`).FindStringSubmatch(index)
	if script == nil {
		t.Fatalf("the page loads no script:\n%s", index)
	}
	for _, c := range []struct {
		method, path string
		status       int
		cache, is    string
	}{
		{"GET", "/backfills/b12?tab=map", 200, "no-cache", "text/html"},
		{"GET", "/nodes/..%2f..%2fweb.go", 200, "no-cache", "text/html"},
		{"HEAD", "/", 200, "no-cache", "text/html"},
		{"GET", "/icon.svg", 200, "no-cache", "image/svg"},
		{"GET", script[1], 200, "public, max-age=31536000, immutable", "javascript"},
		{"GET", "/assets/of-last-year.js", 404, "", "text/plain"},
		{"POST", "/", 405, "", "text/plain"},
	} {
		w := get(t, c.method, c.path)
		if w.Code != c.status || w.Header().Get("Cache-Control") != c.cache || !strings.Contains(w.Header().Get("Content-Type"), c.is) {
			t.Errorf("%s %s: %d %v", c.method, c.path, w.Code, w.Header())
		}
		if c.status == 200 && !strings.Contains(w.Header().Get("Content-Security-Policy"), "default-src 'self'") {
			t.Errorf("%s %s: it may load what it likes", c.method, c.path)
		}
	}
	plain, packed := get(t, "GET", script[1]), get(t, "GET", script[1], "Accept-Encoding", "gzip, deflate, br")
	if got := packed.Header().Get("Content-Encoding"); got != "br" || packed.Body.Len() >= plain.Body.Len()/2 || packed.Header().Get("ETag") == plain.Header().Get("ETag") {
		t.Errorf("encoding %q, %d bytes of %d", got, packed.Body.Len(), plain.Body.Len())
	}
	if w := get(t, "GET", script[1], "Accept-Encoding", "br;q=0, gzip"); w.Header().Get("Content-Encoding") != "" || !strings.Contains(w.Header().Get("Vary"), "Accept-Encoding") {
		t.Errorf("brotli for one who does not take it: %v", w.Header())
	}
	tag := get(t, "GET", "/").Header().Get("ETag")
	if w := get(t, "GET", "/graph", "If-None-Match", tag); w.Code != http.StatusNotModified {
		t.Errorf("unchanged: %d", w.Code)
	}
}
