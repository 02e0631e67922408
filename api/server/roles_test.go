package server_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"backfleet/api"
	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/pkg/wire"
)

// tried is an operation of the contract, and a request for it.
type tried struct{ id, method, path string }

// everyOperation reads the contract.
func everyOperation(t *testing.T) []tried {
	t.Helper()
	document, err := openapi3.NewLoader().LoadFromData(api.Document)
	if err != nil {
		t.Fatal(err)
	}
	var all []tried
	for path, item := range document.Paths.Map() {
		for method, o := range item.Operations() {
			for _, p := range []string{"node", "backfill", "instance", "date", "attempt"} {
				path = strings.ReplaceAll(path, "{"+p+"}", map[string]string{"node": "orders", "backfill": "b1", "instance": "b1.1", "date": "2012-01-01", "attempt": "1"}[p])
			}
			for strings.Contains(path, "{") {
				before, rest, _ := strings.Cut(path, "{")
				_, after, _ := strings.Cut(rest, "}")
				path = before + "x" + after
			}
			all = append(all, tried{o.OperationID, method, path})
		}
	}
	slices.SortFunc(all, func(a, b tried) int { return strings.Compare(a.id, b.id) })
	return all
}

// rights is the whole table of RULES R15.1, as the book has it in words: the least
// role for each operation. It is written out a second time so that a change of the
// first is a decision.
var rights = map[string]string{
	"nobody": "health ready openapiYaml openapiJson docs getLogin createSession",
	"viewer": `getMe endSession getUser metrics listTokens getToken createToken revokeToken
		listNodes getNode renderNode listBaselines previewBackfill listBackfills getBackfill getReceipt listDates getDate listOperations
		listInstances searchInstances getInstance listUpstreams listDownstreams listAttempts getAttempt readLog followLog searchLog downloadLog
		listSchedule getScheduleDay streamEvents getCluster listAgents getAgent
		listResourceGroups getResourceGroup listWorkspaces getWorkspace listRegions getRegion listDataSources getDataSource
		listChannels getChannel listNotifications getNotification
		getGraph getMap getFailures getCoverage listRuns listNextRuns`,
	"developer": `applyNodes submitBackfill editBackfill stopBackfill pauseBackfill resumeBackfill rerunBackfill freezeBackfill unfreezeBackfill
		operateBackfills operateInstances`,
	"operator": `putResourceGroup putWorkspace putRegion putDataSource removeDataSource drainAgents resumeAgents forgetAgent
		createJoinToken listJoinTokens revokeJoinToken listAudit
		putChannel removeChannel testChannel retryNotification retryNotifications`,
	"admin": "listUsers putUser removeUser transferLeadership removeServer saveSnapshot",
}

// TestR15_1_EveryRoleAndOperation tries every cell: each role, and who shows
// nothing, at each operation.
func TestR15_1_EveryRoleAndOperation(t *testing.T) {
	ranks := []string{"nobody", "viewer", "developer", "operator", "admin"}
	least := map[string]int{}
	for rank, role := range ranks {
		for id := range strings.FieldsSeq(rights[role]) {
			least[id] = rank
		}
	}
	var list []server.Token
	for _, role := range ranks[1:] {
		list = append(list, server.Token{Name: role, Secret: "secret-of-" + role, Role: wire.Role(wire.Role_value[strings.ToUpper(role)])})
	}
	c := newContract(t, server.Options{Tokens: tokens(list...), Rates: server.Rates{CallsPerSecond: -1, LoginsPerMinute: -1}})
	c.backend.EndLog() // what follows it ends
	seen := map[string]bool{}
	for _, o := range everyOperation(t) {
		seen[o.id] = true
		needs, known := least[o.id]
		if !known {
			t.Errorf("%s: nobody has said who may call it", o.id)
			continue
		}
		path := o.path
		if o.id == "streamEvents" {
			path += "?backfill=wrong" // otherwise it has no end
		}
		for rank, role := range ranks {
			var show []string
			if rank > 0 {
				show = []string{"Authorization", "Bearer secret-of-" + role}
			}
			w := c.ask(o.method, path, "", show...)
			switch {
			case rank == 0 && needs > 0:
				if w.Code != http.StatusUnauthorized || c.problem(w).Code != v1.ErrorCodeUnauthenticated {
					t.Errorf("%s by nobody: %d %s", o.id, w.Code, w.Body)
				}
			case rank < needs:
				p := c.problem(w)
				if w.Code != http.StatusForbidden || !strings.Contains(p.Detail, "the role "+ranks[needs]) || !strings.Contains(p.Detail, role+" is a") {
					t.Errorf("%s by a %s: %d %s", o.id, role, w.Code, p.Detail)
				}
			case o.id == "getUser" && rank < len(ranks)-1: // one's own: TestR15_1_OneSeesOneself
				if p := c.problem(w); w.Code != http.StatusForbidden || strings.Contains(p.Detail, "this takes the role") {
					t.Errorf("%s of somebody else by a %s: %d %s", o.id, role, w.Code, w.Body)
				}
			case w.Code == http.StatusForbidden || w.Code == http.StatusUnauthorized || w.Code >= 500 && w.Code != http.StatusServiceUnavailable:
				t.Errorf("%s by a %s: %d %s", o.id, role, w.Code, w.Body)
			}
		}
	}
	for id := range least {
		if !seen[id] {
			t.Errorf("%s is not in the contract any more", id)
		}
	}
}

func TestR15_1_OneSeesOneself(t *testing.T) {
	c := newContract(t, server.Options{Tokens: someTokens})
	text := user(t, c.backend, &wire.User{Name: "vi", Role: wire.Role_VIEWER})
	for name, status := range map[string]int{"vi": 200, "olga": 403} {
		if w := c.ask("GET", "/v1/users/"+name, "", "Authorization", "Bearer "+text); w.Code != status {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

// What one may is told as it is.
func TestR15_1_MeTellsWhatOneMay(t *testing.T) {
	c := newContract(t, server.Options{Tokens: tokens(
		server.Token{Name: "ann", Secret: "s3cret", Role: wire.Role_DEVELOPER, Workspaces: []string{"shop"}},
		server.Token{Name: "w1", Secret: "s3cret-of-agents", Agent: true},
	)})
	me := read[v1.Me](t, c.ask("GET", "/v1/me", "", "Authorization", "Bearer s3cret"))
	if me.Name != "ann" || me.Role != v1.RoleDeveloper || !me.Restricted || !slices.Equal(me.Workspaces, []string{"shop"}) || me.Via != "file:ann" || me.Session || me.ExpiresAt != nil {
		t.Errorf("%+v", me)
	}
	for id, may := range map[string]bool{"submitBackfill": true, "listNodes": true, "getLogin": true, "putRegion": false, "putUser": false} {
		if slices.Contains(me.Operations, id) != may {
			t.Errorf("%s: %v in %v", id, !may, me.Operations)
		}
	}
	if w := c.ask("GET", "/v1/me", "", "Authorization", "Bearer s3cret-of-agents"); w.Code != 401 || !strings.Contains(c.problem(w).Detail, "lets agents in") {
		t.Errorf("an agent's secret: %d %s", w.Code, w.Body)
	}
	if w := c.ask("GET", "/v1/me", "", "Authorization", "Bearer bfj_t1_secret"); w.Code != 401 || !strings.Contains(c.problem(w).Detail, "lets agents in") {
		t.Errorf("a join token: %d %s", w.Code, w.Body)
	}
}
