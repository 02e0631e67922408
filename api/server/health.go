package server

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
)

// Health says that the process answers, whatever it can do: who restarts
// processes asks it.
func (h handlers) Health(c *gin.Context) {
	h.reply(c, http.StatusOK, v1.Health{Status: v1.HealthStatusOk}, nil)
}

// Ready says whether this coordinator can serve: who balances asks it. With
// verbose it lists all checks, for people.
func (h handlers) Ready(c *gin.Context, _ v1.ReadyParams) {
	checks := h.Backend.Checks()
	if c.Request.URL.Query().Has("verbose") {
		status, text := tell(checks)
		c.String(status, text)
		return
	}
	var err error
	for _, check := range checks {
		if check.Err != nil {
			err = fault.New(fault.Unavailable, "not ready: %s", check.Err) // 503, whatever the reason is called
			break
		}
	}
	h.reply(c, http.StatusOK, v1.Health{Status: v1.HealthStatusOk}, err)
}

// tell writes a line for each check, in the form that others have for it.
func tell(checks []Check) (status int, text string) {
	var b strings.Builder
	status, end := http.StatusOK, "ready\n"
	for _, check := range checks {
		if check.Err == nil {
			b.WriteString("[+] " + check.Name + ": ok\n")
			continue
		}
		status, end = http.StatusServiceUnavailable, "not ready\n"
		b.WriteString("[-] " + check.Name + ": failed: " + strings.Join(strings.Fields(check.Err.Error()), " ") + "\n")
	}
	return status, b.String() + end
}
