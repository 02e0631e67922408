package server_test

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"backfleet/api/server"
	v1 "backfleet/api/v1"
)

// TestAJoinTokenIsToldOnce: neither a retry nor the list tells it again.
func TestAJoinTokenIsToldOnce(t *testing.T) {
	c := newContract(t, server.Options{})
	const ask = `{"description":"rack 7"}`
	first := c.ask("POST", "/v1/join-tokens", ask, "Idempotency-Key", "k1")
	var made v1.NewJoinToken
	if err := json.Unmarshal(first.Body.Bytes(), &made); err != nil || made.Token == "" || first.Header().Get("Cache-Control") != "no-store" {
		t.Fatalf("%v: %d %s", err, first.Code, first.Body)
	}
	again := c.ask("POST", "/v1/join-tokens", ask, "Idempotency-Key", "k1")
	list := c.ask("GET", "/v1/join-tokens", "")
	if again.Code != 409 || !strings.Contains(list.Body.String(), made.JoinToken.ID) {
		t.Errorf("again: %d; list: %s", again.Code, list.Body)
	}
	for what, w := range map[string]*httptest.ResponseRecorder{"again": again, "list": list} {
		if strings.Contains(w.Body.String(), made.Token) {
			t.Errorf("%s tells the secret: %s", what, w.Body)
		}
	}
}

// TestOnlyTheLeaderKnowsWhoIsConnected: a follower passes the question on,
// unless the facts alone are asked for.
func TestOnlyTheLeaderKnowsWhoIsConnected(t *testing.T) {
	c := newContract(t, server.Options{})
	c.backend.Lead = server.Leader{}
	for path, facts := range map[string]bool{
		"/v1/agents": true, "/v1/agents/a1": true, "/v1/resource-groups": true, "/v1/resource-groups/default": true, "/v1/backfills/b1": false, "/v1/join-tokens": true,
	} {
		if w := c.ask("GET", path, ""); w.Code != 503 && path != "/v1/join-tokens" {
			t.Errorf("%s without a leader: %d %s", path, w.Code, w.Body)
		}
		if w := c.ask("GET", path+"?consistency=stale", ""); (w.Code == 200) != facts {
			t.Errorf("%s from the facts: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestAgentsAreOperatedAllOrNone(t *testing.T) {
	c := newContract(t, server.Options{})
	p := c.problem(c.ask("POST", "/v1/agents/drain", `{"agents":["a1","a3","a1","a4"]}`))
	if p.Code != v1.ErrorCodeConflict || len(p.Errors) != 2 || p.Errors[0].Field != "a3" {
		t.Errorf("%+v", p)
	}
	w := c.ask("POST", "/v1/agents/drain", `{"agents":["a1","a1"],"deadlineSeconds":60,"why":"new kernel"}`, "Backfleet-Actor", "ada")
	var batch v1.AgentBatch
	if err := json.Unmarshal(w.Body.Bytes(), &batch); err != nil || len(batch.Agents) != 1 {
		t.Fatalf("%v: %s", err, w.Body)
	}
	d := batch.Agents[0].Drain
	if d == nil || d.By != "ada" || d.Why != "new kernel" || d.Remaining != 2 || d.Deadline == nil || d.Deadline.Sub(d.Since).Seconds() != 60 {
		t.Errorf("%+v", d)
	}
	if w := c.ask("DELETE", "/v1/agents/a1", ""); w.Code != 200 { // the stand-in only keeps those that are ready
		t.Errorf("forget: %d %s", w.Code, w.Body)
	}
}
