package server

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"

	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
)

// leaderReads are the reads that need what only the leader knows; false: what
// the facts alone say is an answer too, for who wants that.
var leaderReads = map[string]bool{
	"/v1/backfills/:backfill":            true,
	"/v1/instances/:instance":            true,
	"/v1/agents":                         false,
	"/v1/agents/:agent":                  false,
	"/v1/resource-groups":                false,
	"/v1/resource-groups/:resourceGroup": false,
	pathSnapshot:                         true,
}

// forAnyone says whether any coordinator may answer.
func forAnyone(c *gin.Context) bool {
	p := c.FullPath()
	if p == pathCallback {
		return false // it makes a session
	}
	if !strings.HasPrefix(p, "/v1/") || p == "/v1/backfills/preview" {
		return true
	}
	needs, asksLeader := leaderReads[p]
	stale := !needs && v1.Consistency(c.Query("consistency")) == v1.ConsistencyStale
	return c.Request.Method == http.MethodGet && (!asksLeader || stale)
}

// forward passes what only the leader can answer to it, once: a coordinator that
// is asked as the leader and is not refuses, so that two that disagree do not
// play ball with a request.
func (s *Server) forward(c *gin.Context) {
	denied, _ := c.Get(keyDenied)
	if denied == nil && forAnyone(c) {
		return
	}
	leader := s.Backend.Leader()
	if leader.Self {
		if denied != nil {
			s.fail(c, denied.(error))
		}
		return
	}
	if c.GetHeader(headerForwarded) != "" {
		s.fail(c, fault.New(fault.Unavailable, "this coordinator does not lead any more: send the request again"))
		return
	}
	if leader.HTTPAddress == "" {
		s.fail(c, fault.New(fault.Unavailable, "no coordinator leads at the moment: send the request again"))
		return
	}
	target, err := url.Parse(leader.HTTPAddress)
	if err != nil {
		s.fail(c, fault.Wrap(err, fault.Internal, "the leader's address %q is no URL", leader.HTTPAddress))
		return
	}
	proxy := httputil.ReverseProxy{
		Transport: s.Transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // the name by which browsers know the cluster
			r.Out.Header.Set(headerForwarded, s.from(c))
		},
		ModifyResponse: func(r *http.Response) error {
			for name := range r.Header { // the leader's say, not both
				c.Writer.Header().Del(name)
			}
			return nil
		},
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) { s.fail(c, forwardError(c, err)) },
	}
	proxy.ServeHTTP(c.Writer, c.Request)
	c.Abort()
}

// forwardError says whether the request can have taken effect.
func forwardError(c *gin.Context, err error) error {
	var op *net.OpError
	dialing := errors.As(err, &op) && op.Op == "dial"
	switch {
	case c.Request.Method != http.MethodGet && !dialing:
		return fault.Wrap(err, fault.Unknown, "the leader did not answer; the request may have taken effect: send it again with the same %s", headerKey)
	case errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap(err, fault.Timeout, "the leader did not answer in time")
	}
	return fault.Wrap(err, fault.Unavailable, "the leader cannot be reached: send the request again")
}
