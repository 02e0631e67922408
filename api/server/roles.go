package server

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"backfleet/api/convert"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// Roles, from the least, and who needs none.
const (
	public    = wire.Role(-1)
	viewer    = wire.Role_VIEWER
	developer = wire.Role_DEVELOPER
	operator  = wire.Role_OPERATOR
	admin     = wire.Role_ADMIN
)

// leastRole is who may call what (RULES R15.1): every operation of the contract, by
// its name. What of it they may do it to, and single fields that take more, is
// for the handlers and the Backend: a developer's own workspaces (R15.2), a
// viewer's own tokens (R15.3), a priority (R7.6). What is not here is nobody's.
var leastRole = map[string]wire.Role{
	"health": public, "ready": public, "openapiYaml": public, "openapiJson": public, "docs": public, "getLogin": public, "createSession": public,

	"getMe": viewer, "endSession": viewer, "getUser": viewer, "metrics": viewer,
	"listTokens": viewer, "getToken": viewer, "createToken": viewer, "revokeToken": viewer,
	"listNodes": viewer, "getNode": viewer, "renderNode": viewer, "listBaselines": viewer,
	"previewBackfill": viewer, "listBackfills": viewer, "getBackfill": viewer, "getReceipt": viewer, "listDates": viewer, "getDate": viewer, "listOperations": viewer,
	"listInstances": viewer, "searchInstances": viewer, "getInstance": viewer, "listUpstreams": viewer, "listDownstreams": viewer,
	"listAttempts": viewer, "getAttempt": viewer, "readLog": viewer, "followLog": viewer, "searchLog": viewer, "downloadLog": viewer,
	"listSchedule": viewer, "getScheduleDay": viewer, "streamEvents": viewer, "getCluster": viewer, "listAgents": viewer, "getAgent": viewer,
	"listResourceGroups": viewer, "getResourceGroup": viewer, "listWorkspaces": viewer, "getWorkspace": viewer,
	"listRegions": viewer, "getRegion": viewer, "listDataSources": viewer, "getDataSource": viewer,
	"getGraph": viewer, "getMap": viewer, "getFailures": viewer, "getCoverage": viewer, "listRuns": viewer, "listNextRuns": viewer,
	"listChannels": viewer, "getChannel": viewer, "listNotifications": viewer, "getNotification": viewer,

	"applyNodes": developer, "submitBackfill": developer, "editBackfill": developer,
	"stopBackfill": developer, "pauseBackfill": developer, "resumeBackfill": developer, "rerunBackfill": developer,
	"freezeBackfill": developer, "unfreezeBackfill": developer, "operateBackfills": developer, "operateInstances": developer,

	"putResourceGroup": operator, "putWorkspace": operator, "putRegion": operator, "putDataSource": operator, "removeDataSource": operator,
	"putChannel": operator, "removeChannel": operator, "testChannel": operator, "retryNotification": operator, "retryNotifications": operator,
	"drainAgents": operator, "resumeAgents": operator, "forgetAgent": operator,
	"createJoinToken": operator, "listJoinTokens": operator, "revokeJoinToken": operator, "listAudit": operator,

	"listUsers": admin, "putUser": admin, "removeUser": admin, "transferLeadership": admin, "removeServer": admin, "saveSnapshot": admin,
}

// mayCall lists what a role may call, sorted.
func mayCall(role wire.Role) []string {
	var out []string
	for operation, least := range leastRole {
		if role >= least {
			out = append(out, operation)
		}
	}
	slices.Sort(out)
	return out
}

// authorize refuses who lacks the role for what they ask, before anything of the
// request's body is read, and who asks too much.
func (s *Server) authorize(c *gin.Context) {
	who := asker(c)
	least, known := leastRole[who.Operation]
	if !known {
		s.fail(c, fault.New(fault.Internal, "nobody has said who may call %s %s", c.Request.Method, c.FullPath()))
		return
	}
	if least == public {
		return
	}
	if who.Via != ViaOpen && s.gates.of(c) != s.gates.relief {
		if err := s.callers.take(who.Via + " " + who.Actor); err != nil {
			c.Header(headerRetryAfter, strconv.Itoa(s.callers.after()))
			s.fail(c, err)
			return
		}
	}
	if who.Role >= least {
		return
	}
	err := s.lacks(who.Write, least)
	if c.Request.Method != http.MethodGet && !s.Backend.Leader().Self && c.GetHeader(headerForwarded) == "" {
		c.Set(keyDenied, err) // whoever leads says so, and has the audit know it
		return
	}
	s.fail(c, err)
}

// lacks says which role is needed, and which one has.
func (s *Server) lacks(who Write, least wire.Role) error {
	return fault.New(fault.Denied, "this takes the role %s, and %s is %s here: ask one to do it, or an admin for the role",
		strings.ToLower(least.String()), who.Actor, convert.WithArticle(who.Role))
}
