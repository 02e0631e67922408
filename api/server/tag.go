package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"backfleet/pkg/fault"
)

const (
	headerTag     = "ETag"
	headerIfMatch = "If-Match"
	headerIfNone  = "If-None-Match"
)

// keyTag of the gin context is the tag that a thing had before it was read.
const keyTag = "tag"

// taggedThings are the paths of things that have a tag, with the kind by which the
// backend knows them and the parameter that names them.
var taggedThings = map[string]struct{ kind, parameter string }{
	"/v1/nodes/:node":                    {"node", "node"},
	"/v1/backfills/:backfill":            {"backfill", "backfill"},
	"/v1/resource-groups/:resourceGroup": {"resourceGroup", "resourceGroup"},
	"/v1/workspaces/:workspace":          {"workspace", "workspace"},
	"/v1/regions/:region":                {"region", "region"},
	"/v1/data-sources/:dataSource":       {"dataSource", "dataSource"},
	"/v1/users/:user":                    {"user", "user"},
	"/v1/channels/:channel":              {"channel", "channel"},
}

// condition reads what a request says of tags. Of a read it takes the thing's tag
// before the thing, so that the tag is never newer; of a write it notes which tag
// the thing must have (RULES R15.5).
func (s *Server) condition(c *gin.Context) {
	if c.Request.Method == http.MethodGet {
		if t, ok := taggedThings[c.FullPath()]; ok {
			c.Set(keyTag, s.Backend.Tag(t.kind+"/"+c.Param(t.parameter)))
		}
		return
	}
	match, err := ifMatch(c.Request.Header)
	switch {
	case err == nil && match == "":
		return
	case err == nil && !describedOf(c).tagged:
		err = fault.Field(headerIfMatch, "this operation is not on one thing that has a tag: leave it out")
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	w := write(c)
	w.IfMatch = match
	c.Set(keyWrite, w)
}

// ifMatch reads the condition of a write; empty: there is none. A tag is told with
// a hash of what was read behind it, which a condition may have too.
func ifMatch(h http.Header) (string, error) {
	match, none := h.Values(headerIfMatch), h.Values(headerIfNone)
	switch {
	case len(match)+len(none) == 0:
		return "", nil
	case len(match)+len(none) > 1:
		return "", fault.Field(headerIfMatch, "several conditions are given: expected one tag, or If-None-Match: *")
	case len(none) == 1 && strings.TrimSpace(none[0]) != "*":
		return "", fault.Field(headerIfNone, "expected *, so that nothing is changed that is there already")
	case len(none) == 1:
		return IfNone, nil
	}
	text := strings.TrimSpace(match[0])
	if text == "*" {
		return text, nil
	}
	tag, _, _ := strings.Cut(strings.Trim(strings.TrimPrefix(text, "W/"), `"`), "-")
	if _, err := strconv.ParseUint(tag, 10, 64); err != nil {
		return "", fault.Field(headerIfMatch, "%q is no tag: expected one ETag as it was told, or *", clip(text))
	}
	return tag, nil
}

// answer sends what a read found: as much of it as is wanted, with its tag, or
// only word that it is what the caller has.
func (s *Server) answer(c *gin.Context, status int, value any) {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		s.fail(c, fault.Wrap(err, fault.Internal, "the answer cannot be written"))
		return
	}
	whole := body.Bytes()
	if fields := c.Query("fields"); fields != "" {
		pruned, err := prune(whole, fields, reflect.TypeOf(value))
		if err != nil {
			s.fail(c, err)
			return
		}
		whole = pruned
	}
	if !strings.HasPrefix(c.FullPath(), "/v1/") {
		c.Data(status, "application/json; charset=utf-8", whole)
		return
	}
	sum := sha256.Sum256(whole)
	tag := base64.RawURLEncoding.EncodeToString(sum[:12])
	if t := c.GetString(keyTag); t != "" {
		tag = t + "-" + tag
	}
	c.Header(headerTag, strconv.Quote(tag))
	if c.Writer.Header().Get("Cache-Control") == "" {
		c.Header("Cache-Control", "private, no-cache") // ask again, with the tag
	}
	if has(c.Request.Header.Values(headerIfNone), tag) {
		c.Status(http.StatusNotModified)
		c.Writer.WriteHeaderNow()
		return
	}
	c.Data(status, "application/json; charset=utf-8", whole)
}

// has says whether one of the tags of If-None-Match is this one.
func has(headers []string, tag string) bool {
	for _, h := range headers {
		for one := range strings.SplitSeq(h, ",") {
			one = strings.TrimSpace(one)
			if one == "*" || strings.Trim(strings.TrimPrefix(one, "W/"), `"`) == tag {
				return true
			}
		}
	}
	return false
}
