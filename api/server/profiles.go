package server

import (
	"github.com/gin-gonic/gin"

	"backfleet/pkg/obs"
)

// pathProfiles is where Go's profiles are, if they are served at all. They are no
// part of the contract: they change with Go.
const pathProfiles = "/debug/pprof/"

// serveProfiles lets admins, and nobody else, look at profiles of this process,
// which show what is in memory.
func (s *Server) serveProfiles(e *gin.Engine) {
	if s.Profiles {
		e.GET(pathProfiles+"*name", s.authenticate, s.adminsOnly, gin.WrapH(obs.Profiles()))
	}
}

func (s *Server) adminsOnly(c *gin.Context) {
	if who := asker(c); who.Role < admin {
		s.fail(c, s.lacks(who.Write, admin))
	}
}
