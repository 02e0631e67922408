package server_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"backfleet/api/internal/standin"
	"backfleet/api/server"
	"backfleet/pkg/wire"
)

// Profiles show what is in memory: they are for admins, and only where they were
// switched on.
func TestProfilesAreForAdmins(t *testing.T) {
	known := tokens(
		server.Token{Name: "root", Secret: "s3cret-of-root", Role: wire.Role_ADMIN},
		server.Token{Name: "ops", Secret: "s3cret-of-ops", Role: wire.Role_OPERATOR},
	)
	for name, x := range map[string]struct {
		off    bool
		secret string
		status int
		has    string
	}{
		"nobody":       {secret: "", status: http.StatusUnauthorized},
		"a stranger":   {secret: "guess", status: http.StatusUnauthorized},
		"an operator":  {secret: "s3cret-of-ops", status: http.StatusForbidden, has: "role admin"},
		"an admin":     {secret: "s3cret-of-root", status: http.StatusOK, has: "TestProfilesAreForAdmins"},
		"switched off": {off: true, secret: "s3cret-of-root", status: http.StatusNotFound},
	} {
		s := server.New(server.Options{Backend: standin.New(), Logger: quiet, Tokens: known, Profiles: !x.off})
		r := httptest.NewRequest(http.MethodGet, "/debug/pprof/goroutine?debug=1", nil)
		if x.secret != "" {
			r.Header.Set("Authorization", "Bearer "+x.secret)
		}
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code != x.status || !strings.Contains(w.Body.String(), x.has) {
			t.Errorf("%s: %d %.300s", name, w.Code, w.Body)
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
