package api

import (
	_ "embed" // the examples below
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
)

// examplesJSON is what a test asked a server, and what it was answered, of each
// operation once: go test ./api/server -run EveryOperation -examples.
//
//go:embed examples.json
var examplesJSON []byte

// Example is one request and its answer.
type Example struct {
	Method  string          `json:"method"`
	Path    string          `json:"path"` // with its query
	Body    json.RawMessage `json:"body,omitempty"`
	Status  int             `json:"status"`
	Type    string          `json:"type"`              // media type of the answer
	Answer  json.RawMessage `json:"answer,omitempty"`  // of JSON
	Text    string          `json:"text,omitempty"`    // of anything else
	Headers []string        `json:"headers,omitempty"` // of the request, as Name: value
}

// Examples gives one of each operation, by its operationId.
var Examples = sync.OnceValues(func() (map[string]Example, error) {
	out := map[string]Example{}
	return out, json.Unmarshal(examplesJSON, &out)
})

// Described is the document as it is served: what was written, and what is the same
// for all operations of a kind: what can go wrong, tags, fields=, and examples.
var Described = sync.OnceValues(func() (*yaml.Node, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(Document, &document); err != nil {
		return nil, err
	}
	examples, err := Examples()
	if err != nil {
		return nil, err
	}
	root := document.Content[0]
	for path, item := range Entries(Get(root, "paths")) {
		for method, operation := range Entries(item) {
			describe(root, path, method, operation, examples)
		}
	}
	return root, nil
})

// DescribedYAML and DescribedJSON are the texts of Described.
var (
	DescribedYAML = sync.OnceValues(func() ([]byte, error) {
		root, err := Described()
		if err != nil {
			return nil, err
		}
		return yaml.Marshal(root)
	})
	DescribedJSON = sync.OnceValues(func() ([]byte, error) {
		root, err := Described()
		if err != nil {
			return nil, err
		}
		var tree any
		if err := root.Decode(&tree); err != nil {
			return nil, err
		}
		return json.Marshal(tree)
	})
)

// statuses are what the codes of errors are answered with, and what they say.
var statuses = []ErrorCode{
	{"invalid", "the request is wrong as written; `field` says where", 400},
	{"unauthenticated", "who asks has not proved who they are", 401},
	{"denied", "who asks may not do this", 403},
	{"not_found", "there is no such thing", 404},
	{"conflict", "how things stand does not allow it, or the key was used for another request", 409},
	{"precondition", "the thing has not the tag that was named", 412},
	{"too_large", "it is more than one request may have", 413},
	{"overloaded", "too much is asked at the moment; nothing was done: wait for `Retry-After`", 429},
	{"internal", "a defect", 500},
	{"corrupt", "what is stored is damaged", 500},
	{"unavailable", "nothing was done: send it again, to any coordinator", 503},
	{"unknown_outcome", "it may have been done: send it again with the same key", 503},
	{"timeout", "it took too long", 504},
}

// codes are those of the errors that an operation can give.
func codes(path, method string, operation *yaml.Node) []string {
	out := map[string]bool{}
	add := func(list ...string) {
		for _, c := range list {
			out[c] = true
		}
	}
	versioned := strings.HasPrefix(path, "/v1/")
	if security := Get(operation, "security"); security == nil || len(security.Content) > 0 {
		add("unauthenticated", "denied", "internal")
	}
	if versioned {
		add("invalid", "overloaded", "unavailable", "timeout", "internal", "denied")
	}
	if strings.Contains(path, "{") || versioned && method != "get" {
		add("not_found")
	}
	if versioned && method != "get" {
		add("conflict", "too_large", "unknown_outcome")
	}
	if strings.Contains(path, "/logs") {
		add("corrupt", "not_found")
	}
	if path == "/readyz" {
		add("unavailable")
	}
	for _, p := range list(Get(operation, "parameters")) {
		if strings.HasSuffix(text(p, "$ref"), "/IfMatch") {
			add("precondition")
		}
	}
	for _, c := range list(Get(operation, "x-error-codes")) {
		add(c.Value)
	}
	var sorted []string
	for _, s := range statuses {
		if out[s.Code] {
			sorted = append(sorted, s.Code)
		}
	}
	return sorted
}

// describe adds to an operation what its kind has.
func describe(root *yaml.Node, path, method string, operation *yaml.Node, examples map[string]Example) {
	responses := Get(operation, "responses")
	possible := codes(path, method, operation)
	set(operation, "x-error-codes", of(possible))
	for _, status := range []int{400, 401, 403, 404, 409, 412, 413, 429, 500, 503, 504} {
		var says []string
		for _, s := range statuses {
			if s.Status == status && slices.Contains(possible, s.Code) {
				says = append(says, fmt.Sprintf("`%s`: %s.", s.Code, s.Says))
			}
		}
		if len(says) > 0 && Get(responses, strconv.Itoa(status)) == nil {
			response := of(map[string]any{"description": strings.Join(says, " "), "content": map[string]any{
				"application/problem+json": map[string]any{"schema": reference("schemas/Problem")}}})
			if status == 429 || status == 503 {
				set(response, "headers", of(map[string]any{"Retry-After": reference("headers/RetryAfter")}))
			}
			set(responses, strconv.Itoa(status), response)
		}
	}
	good := Get(responses, "200")
	if good != nil && text(good, "$ref") == "" && method == "get" && strings.HasPrefix(path, "/v1/") && Get(Get(good, "content"), "application/json") != nil {
		readable(operation, responses, good)
	}
	if e, ok := examples[text(operation, "operationId")]; ok {
		exemplify(root, operation, responses, e)
	}
}

// readable adds fields= and tags to a GET that is answered with JSON.
func readable(operation, responses, good *yaml.Node) {
	parameters := Get(operation, "parameters")
	if parameters == nil {
		parameters = &yaml.Node{Kind: yaml.SequenceNode}
		set(operation, "parameters", parameters)
	}
	parameters.Content = append(parameters.Content, of(reference("parameters/Fields")), of(reference("parameters/IfChanged")))
	headers := Get(good, "headers")
	if headers == nil {
		headers = &yaml.Node{Kind: yaml.MappingNode}
		set(good, "headers", headers)
	}
	set(headers, "ETag", of(reference("headers/Tag")))
	set(responses, "304", of(map[string]any{"description": "It is as `If-None-Match` says.", "headers": map[string]any{"ETag": reference("headers/Tag")}}))
}

// exemplify puts an example where the document has a place for one. A response
// that is shared by several operations is copied, so that each has its own.
func exemplify(root, operation, responses *yaml.Node, e Example) {
	if body := Get(Get(Get(operation, "requestBody"), "content"), "application/json"); body != nil && len(e.Body) > 0 {
		set(body, "example", ofJSON(e.Body))
	}
	key := strconv.Itoa(e.Status)
	response := Get(responses, key)
	if name, ok := strings.CutPrefix(text(response, "$ref"), "#/components/responses/"); ok {
		response = clone(Get(Get(Get(root, "components"), "responses"), name))
		set(responses, key, response)
	}
	content := Get(Get(response, "content"), e.Type)
	switch {
	case content == nil:
	case len(e.Answer) > 0:
		set(content, "example", ofJSON(e.Answer))
	case e.Text != "":
		set(content, "example", of(e.Text))
	}
}

// ErrorCode is a code of errors, the status that it is answered with, and what it
// says.
type ErrorCode struct {
	Code, Says string
	Status     int
}

// ErrorCodes lists all codes, by status.
func ErrorCodes() []ErrorCode { return slices.Clone(statuses) }
