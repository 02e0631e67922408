package server

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"backfleet/api/convert"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// mostAgents is how many agents one call may name, and how many resource groups
// a join token.
const mostAgents = 1000

func (h handlers) ListAgents(c *gin.Context, p v1.ListAgentsParams) {
	pg, errPage := page(p.Cursor, p.Limit)
	labels, errLabels := readLabels(p.Label)
	if err := cmp.Or(errPage, errLabels, word("state", p.State)); err != nil {
		h.fail(c, err)
		return
	}
	filter := AgentFilter{Contains: strings.ToLower(p.Contains), State: p.State, Group: p.Group, Labels: labels}
	items, next, err := h.Backend.Agents(c.Request.Context(), filter, pg)
	h.reply(c, http.StatusOK, &v1.AgentPage{Items: items, Next: next}, err)
}

func readLabels(list []string) (labels []*wire.Assignment, err error) {
	for _, text := range list {
		name, value, found := strings.Cut(text, "=")
		if !found || name == "" {
			return nil, fault.Field("label", "%q is no label: expected name=value", clip(text))
		}
		labels = append(labels, &wire.Assignment{Name: name, Value: value})
	}
	return labels, nil
}

func (h handlers) GetAgent(c *gin.Context, id string, _ v1.GetAgentParams) {
	result, err := h.Backend.Agent(c.Request.Context(), id)
	h.reply(c, http.StatusOK, result, err)
}

func (h handlers) DrainAgents(c *gin.Context, _ v1.DrainAgentsParams) {
	body, err := decode[v1.AgentsDrain](c)
	if err != nil {
		h.fail(c, err)
		return
	}
	within, err := seconds("deadlineSeconds", body.DeadlineSeconds)
	if err != nil {
		h.fail(c, err)
		return
	}
	h.operateAgents(c, body.Why, AgentsAct{Kind: wire.OperateAgents_DRAIN, Agents: body.Agents, Within: within})
}

func (h handlers) ResumeAgents(c *gin.Context, _ v1.ResumeAgentsParams) {
	body, err := decode[v1.AgentsOperation](c)
	if err != nil {
		h.fail(c, err)
		return
	}
	h.operateAgents(c, body.Why, AgentsAct{Kind: wire.OperateAgents_RESUME, Agents: body.Agents})
}

func (h handlers) operateAgents(c *gin.Context, why string, o AgentsAct) {
	if n := len(o.Agents); n == 0 || n > mostAgents {
		h.fail(c, fault.Field("agents", "%d agents are named: expected 1 to %d", n, mostAgents))
		return
	}
	seen := map[string]bool{}
	o.Agents = slices.DeleteFunc(o.Agents, func(id string) bool {
		known := seen[id]
		seen[id] = true
		return known
	})
	w, err := operatorsWrite(c, why, "what becomes of agents")
	if err != nil {
		h.fail(c, err)
		return
	}
	result, err := h.Backend.OperateAgents(c.Request.Context(), w, o)
	if err == nil {
		setIndex(c, result.Index)
	}
	h.reply(c, http.StatusOK, result, err)
}

func (h handlers) ForgetAgent(c *gin.Context, id string, p v1.ForgetAgentParams) {
	w, err := operatorsWrite(c, p.Why, "what becomes of agents")
	if err != nil {
		h.fail(c, err)
		return
	}
	result, err := h.Backend.OperateAgents(c.Request.Context(), w, AgentsAct{Kind: wire.OperateAgents_FORGET, Agents: []string{id}})
	if err != nil {
		h.fail(c, err)
		return
	}
	h.removed(c, id, result.Index)
}

// removed answers that something is there no more.
func (h handlers) removed(c *gin.Context, id string, index uint64) {
	h.written(c, index, &v1.Removal{ID: id, Index: index}, nil)
}

// operatorsWrite is writeFor for what only operators may.
func operatorsWrite(c *gin.Context, why, what string) (Write, error) {
	w, err := writeFor(c, why)
	if err == nil {
		err = w.operators("", what)
	}
	return w, err
}

// seconds reads a number of seconds; 0: not given. Ten years are the most,
// so that a moment so far ahead can be written.
func seconds(field string, n int64) (time.Duration, error) {
	const most = 10 * 366 * 24 * 3600
	if n < 0 || n > most {
		return 0, fault.Field(field, "%d seconds: expected 1 to %d, or 0 for none", n, most)
	}
	return time.Duration(n) * time.Second, nil
}

func (h handlers) CreateJoinToken(c *gin.Context, _ v1.CreateJoinTokenParams) {
	body, err := decode[v1.JoinTokenRequest](c)
	if err != nil {
		h.fail(c, err)
		return
	}
	token, err := readJoinToken(body)
	if err != nil {
		h.fail(c, err)
		return
	}
	w, err := operatorsWrite(c, "", "who may join the cluster")
	if err != nil {
		h.fail(c, err)
		return
	}
	result, err := h.Backend.CreateJoinToken(c.Request.Context(), w, token)
	if err == nil {
		c.Header("Cache-Control", "no-store") // it holds a secret
		setIndex(c, result.Index)
	}
	h.reply(c, http.StatusCreated, result, err)
}

func readJoinToken(body v1.JoinTokenRequest) (TokenToMake, error) {
	out := TokenToMake{Description: body.Description, Groups: slices.Compact(slices.Sorted(slices.Values(body.Groups)))}
	if n := len(body.Groups); n > mostAgents {
		return out, fault.Field("groups", "%d are named: expected at most %d, or none for all", n, mostAgents)
	}
	for i, g := range body.Groups {
		if err := convert.Named(fmt.Sprintf("groups[%d]", i), g); err != nil {
			return out, err
		}
	}
	var err error
	out.ExpiresIn, out.ExpiresAt, err = readToken(body.Description, body.ExpiresInSeconds, body.ExpiresAt)
	return out, err
}

func (h handlers) ListJoinTokens(c *gin.Context, p v1.ListJoinTokensParams) {
	if err := caller(c).operators("", "who may join the cluster"); err != nil {
		h.fail(c, err)
		return
	}
	named[v1.JoinTokenPage](h, c, p.Cursor, p.Limit, p.Contains, h.Backend.JoinTokens)
}

func (h handlers) RevokeJoinToken(c *gin.Context, id string, p v1.RevokeJoinTokenParams) {
	w, err := operatorsWrite(c, p.Why, "who may join the cluster")
	h.remove(c, w, err, id, h.Backend.RevokeJoinToken)
}
