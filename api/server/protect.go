package server

import (
	"net"
	"strings"

	"github.com/gin-gonic/gin"

	"backfleet/pkg/mtls"
)

// What browsers may do with what is answered: a page's own scripts and no others, in
// nobody's frame; data is not to be taken for a page at all.
const (
	policyOfPages = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
	policyOfData  = "default-src 'none'; frame-ancestors 'none'"
)

// protect sets the headers by which browsers protect their people, and refuses
// who was led here by a name that is not this host's.
func (s *Server) protect(c *gin.Context) {
	c.Header("X-Content-Type-Options", "nosniff")
	c.Header("Referrer-Policy", "same-origin")
	policy := policyOfPages
	if strings.HasPrefix(c.Request.URL.Path, "/v1/") {
		policy = policyOfData
	}
	c.Header("Content-Security-Policy", policy)
	if host, _, err := net.SplitHostPort(c.Request.Host); err == nil && c.Request.TLS != nil && !mtls.Loopback(net.JoinHostPort(host, "0")) {
		c.Header("Strict-Transport-Security", "max-age=31536000")
	}
	if s.OnlyLoopback {
		if err := onLoopback(c.Request); err != nil {
			s.fail(c, err)
		}
	}
}
