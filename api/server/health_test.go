package server_test

import (
	"errors"
	"strings"
	"testing"

	v1 "backfleet/api/v1"

	"backfleet/api/server"
)

// TestReadyIsNotAlive: a coordinator that cannot serve says why, and is not to be
// restarted for it.
func TestReadyIsNotAlive(t *testing.T) {
	c := newContract(t, server.Options{})
	if w := c.ask("GET", "/readyz?verbose", ""); w.Code != 200 || w.Body.String() != "[+] log: ok\n[+] leader: ok\nready\n" || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
		t.Errorf("while all is well: %d %q %s", w.Code, w.Body, w.Header())
	}
	c.backend.Fail = func(string) error { return errors.New("the disk\nis broken") }
	if w := c.plain("GET", "/readyz?verbose"); w.Code != 503 || w.Body.String() != "[-] log: failed: the disk is broken\n[+] leader: ok\nnot ready\n" {
		t.Errorf("while it fails: %d %q", w.Code, w.Body)
	}
	if w := c.ask("GET", "/readyz", ""); w.Code != 503 || c.problem(w).Code != v1.ErrorCodeUnavailable || !strings.Contains(c.problem(w).Detail, "the disk") {
		t.Errorf("for machines: %d %s", w.Code, w.Body)
	}
	if w := c.ask("GET", "/healthz", ""); w.Code != 200 {
		t.Errorf("alive: %d %s", w.Code, w.Body)
	}
}
