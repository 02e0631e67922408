package server

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/gin-gonic/gin"
	"go.yaml.in/yaml/v3"

	"backfleet/api"
	"backfleet/pkg/fault"
)

// parameter is what the document says of one in the query.
type parameter struct {
	many  bool     // several values, repeated
	split bool     // or with commas between them
	words []string // that it may be; none: any
}

// operation is what the document says of one.
type operation struct {
	id         string
	parameters map[string]parameter
	json       bool // a GET that is answered with JSON
	tagged     bool // writes to one thing that has a tag
}

// everywhere are parameters that every request to the API may have: the client
// says with all of them what it has seen.
var everywhere = []string{"min_index", "consistency"}

// operations reads from the document what the server checks before a handler is
// asked: by method and path as Gin writes it.
var operations = sync.OnceValue(func() map[string]operation {
	var document struct {
		Paths      map[string]map[string]documented
		Components struct {
			Parameters map[string]documentedParameter
			Schemas    map[string]documentedSchema
		}
	}
	if err := yaml.Unmarshal(api.Document, &document); err != nil {
		panic(err) // it is embedded, and generated code was made from it
	}
	out := map[string]operation{}
	inBraces := regexp.MustCompile(`\{([^}]*)\}`)
	for path, item := range document.Paths {
		for method, described := range item {
			o := operation{id: described.OperationID, parameters: map[string]parameter{}}
			for _, p := range described.Parameters {
				if name, ok := strings.CutPrefix(p.Ref, "#/components/parameters/"); ok {
					p = document.Components.Parameters[name]
				}
				if p.In == "header" && p.Name == "If-Match" {
					o.tagged = true
				}
				if p.In != "query" {
					continue
				}
				schema := p.Schema
				set := schema.Type == "array"
				if set {
					schema = *schema.Items
				}
				if name, ok := strings.CutPrefix(schema.Ref, "#/components/schemas/"); ok {
					schema = document.Components.Schemas[name]
				}
				o.parameters[p.Name] = parameter{many: set, split: set && p.Explode == nil && !p.Whole, words: schema.Enum}
			}
			for _, r := range described.Responses {
				_, isJSON := r.Content["application/json"]
				o.json = o.json || method == "get" && isJSON
			}
			out[strings.ToUpper(method)+" "+inBraces.ReplaceAllString(path, ":$1")] = o
		}
	}
	return out
})

// documented and what follows is as much of OpenAPI as is asked for here.
type documented struct {
	OperationID string `yaml:"operationId"`
	Parameters  []documentedParameter
	Responses   map[string]struct{ Content map[string]any }
}

type documentedParameter struct {
	Ref     string `yaml:"$ref"`
	Name    string
	In      string
	Explode *bool
	Whole   bool `yaml:"x-commas"` // a comma is part of a value
	Schema  documentedSchema
}

type documentedSchema struct {
	Ref   string `yaml:"$ref"`
	Type  string
	Enum  []string
	Items *documentedSchema
}

func describedOf(c *gin.Context) operation { return operations()[c.Request.Method+" "+c.FullPath()] }

// inquire checks the query of a request against the document: what it does not
// have is refused rather than passed over, since a misspelt filter would show, or
// a misspelt option change, something else. Sets that were written with commas
// are taken apart for the generated code.
func (s *Server) inquire(c *gin.Context) {
	if !strings.HasPrefix(c.FullPath(), "/v1/") {
		return
	}
	known := describedOf(c).parameters
	given, err := url.ParseQuery(c.Request.URL.RawQuery)
	if err != nil {
		s.fail(c, fault.New(fault.Invalid, "the query of the address cannot be read: %s", err))
		return
	}
	split := false
	for _, name := range sortedKeys(given) {
		p, ok := known[name]
		switch {
		case !ok && (slices.Contains(everywhere, name) || name == "fields" && describedOf(c).json):
			continue
		case !ok:
			s.fail(c, fault.Field(clip(name), "there is no such parameter: expected %s", listOf(sortedKeys(known), "none")))
			return
		case !p.many && len(given[name]) > 1:
			s.fail(c, fault.Field(name, "it is given %d times: expected once", len(given[name])))
			return
		case p.split:
			var parts []string
			for _, v := range given[name] {
				parts = append(parts, strings.Split(v, ",")...)
			}
			parts = slices.DeleteFunc(parts, func(v string) bool { return v == "" })
			split = split || !slices.Equal(parts, given[name])
			given[name] = parts
		}
		for _, v := range given[name] {
			if v != "" && len(p.words) > 0 && !slices.Contains(p.words, v) {
				s.fail(c, fault.Field(name, "%q is not known: expected %s", clip(v), listOf(p.words, "none")))
				return
			}
		}
	}
	if split {
		c.Request.URL.RawQuery = given.Encode()
	}
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// listOf writes words for a sentence: a, b or c.
func listOf(words []string, none string) string {
	switch n := len(words); n {
	case 0:
		return none
	case 1:
		return words[0]
	default:
		return strings.Join(words[:n-1], ", ") + " or " + words[n-1]
	}
}
