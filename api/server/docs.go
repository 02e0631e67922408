package server

import (
	"bytes"
	_ "embed" // the template below
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/gin-gonic/gin"
	"go.yaml.in/yaml/v3"

	"backfleet/api"
	"backfleet/pkg/fault"
)

//go:embed docs.html
var docsHTML string

// docsPage is the contract as a page to read, made once from the document. It needs
// no script, and no more rights than to see that there is an API.
var docsPage = sync.OnceValues(func() ([]byte, error) {
	root, err := api.Described()
	if err != nil {
		return nil, err
	}
	t, err := template.New("docs").Parse(docsHTML)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = t.Execute(&out, readDocs(root))
	return out.Bytes(), err
})

// document answers with one of the forms of the contract.
func (s *Server) document(media string, read func() ([]byte, error)) gin.HandlerFunc {
	return func(c *gin.Context) {
		text, err := read()
		if err != nil {
			s.fail(c, fault.Wrap(err, fault.Internal, "the document cannot be made"))
			return
		}
		c.Header("Cache-Control", "no-cache")
		c.Data(http.StatusOK, media, text)
	}
}

// What the template is given.
type (
	docs struct {
		Title, Version string
		Intro          template.HTML
		Tags           []docsTag
		Schemas        []docsSchema
		Codes          []docsCode
	}
	docsTag struct {
		Name, Title, Description string
		Operations               []docsOperation
	}
	docsOperation struct {
		ID, Method, Path, Summary string
		Description               template.HTML
		Public                    bool
		Parameters                []docsParameter
		Body                      *docsType
		Answers                   []docsAnswer
		Errors                    []string
		Curl, Answer              string
	}
	docsParameter struct {
		Name, In    string
		Required    bool
		Deprecated  bool
		Type        docsType
		Description template.HTML
	}
	docsAnswer struct {
		Status      string
		Description template.HTML
		Type        *docsType
		Media       string
	}
	// docsType is how a type is written: text, and the schema that it leads to.
	docsType struct {
		Text, Link string
		List       bool
		Fields     []docsParameter // of a body or an answer
	}
	docsSchema struct {
		Name        string
		Description template.HTML
		Words       []string
		Text        string // of what is no object
		Fields      []docsParameter
	}
	docsCode struct {
		Code, Status string
		Says         template.HTML
	}
)

// docsReader reads the document.
type docsReader struct {
	root     *yaml.Node
	examples map[string]api.Example
}

func readDocs(root *yaml.Node) docs {
	examples, _ := api.Examples() // Described has read them
	r := docsReader{root, examples}
	info := api.Get(root, "info")
	out := docs{Title: value(info, "title"), Version: value(info, "version"), Intro: prose(value(info, "description"))}
	at := map[string]int{}
	if tags := api.Get(root, "tags"); tags != nil {
		for _, t := range tags.Content {
			name := value(t, "name")
			at[name] = len(out.Tags)
			out.Tags = append(out.Tags, docsTag{Name: name, Title: strings.ToUpper(name[:1]) + name[1:], Description: value(t, "description")})
		}
	}
	for path, item := range api.Entries(api.Get(root, "paths")) {
		for method, o := range api.Entries(item) {
			if tags := api.Get(o, "tags"); tags != nil && len(tags.Content) == 1 {
				if k, ok := at[tags.Content[0].Value]; ok {
					out.Tags[k].Operations = append(out.Tags[k].Operations, r.operation(path, method, o))
				}
			}
		}
	}
	for name, s := range api.Entries(api.Get(api.Get(root, "components"), "schemas")) {
		out.Schemas = append(out.Schemas, r.schema(name, s))
	}
	slices.SortFunc(out.Schemas, func(a, b docsSchema) int { return strings.Compare(a.Name, b.Name) })
	for _, c := range api.ErrorCodes() {
		out.Codes = append(out.Codes, docsCode{c.Code, fmt.Sprint(c.Status), prose(c.Says)})
	}
	return out
}

func (r docsReader) operation(path, method string, o *yaml.Node) docsOperation {
	out := docsOperation{
		ID: value(o, "operationId"), Method: strings.ToUpper(method), Path: path, Summary: value(o, "summary"),
		Description: prose(value(o, "description")),
	}
	if security := api.Get(o, "security"); security != nil && len(security.Content) == 0 {
		out.Public = true
	}
	for _, p := range children(api.Get(o, "parameters")) {
		p = r.follow(p)
		schema := api.Get(p, "schema")
		says := value(p, "description")
		if says == "" {
			says = value(r.follow(schema), "description")
		}
		out.Parameters = append(out.Parameters, docsParameter{
			Name: value(p, "name"), In: value(p, "in"), Required: value(p, "required") == "true", Deprecated: value(p, "deprecated") == "true",
			Type: typeOf(schema), Description: prose(says),
		})
	}
	if content := api.Get(api.Get(o, "requestBody"), "content"); content != nil {
		t := r.whole(api.Get(api.Get(content, "application/json"), "schema"))
		out.Body = &t
	}
	for status, a := range api.Entries(api.Get(o, "responses")) {
		if status[0] > '3' {
			continue // what goes wrong is told by its code
		}
		a = r.follow(a)
		one := docsAnswer{Status: status, Description: prose(value(a, "description"))}
		for media, content := range api.Entries(api.Get(a, "content")) {
			t := r.whole(api.Get(content, "schema"))
			one.Type, one.Media = &t, media
			break
		}
		out.Answers = append(out.Answers, one)
	}
	for _, c := range children(api.Get(o, "x-error-codes")) {
		out.Errors = append(out.Errors, c.Value)
	}
	if e, ok := r.examples[out.ID]; ok {
		out.Curl = curl(e)
		if out.Answer = indented(e.Answer); out.Answer == "" {
			out.Answer = e.Text
		}
	}
	return out
}

// whole is typeOf with the fields of what it leads to.
func (r docsReader) whole(s *yaml.Node) docsType {
	t := typeOf(s)
	t.Fields = r.schema(t.Text, r.follow(s)).Fields
	return t
}

func (r docsReader) schema(name string, s *yaml.Node) docsSchema {
	out := docsSchema{Name: name, Description: prose(value(s, "description"))}
	for _, w := range children(api.Get(s, "enum")) {
		out.Words = append(out.Words, w.Value)
	}
	required := map[string]bool{}
	for _, f := range children(api.Get(s, "required")) {
		required[f.Value] = true
	}
	properties := api.Get(s, "properties")
	if properties == nil {
		out.Text = typeOf(s).Text
		if p := value(s, "pattern"); p != "" {
			out.Text += " like " + p
		}
		return out
	}
	for field, f := range api.Entries(properties) {
		out.Fields = append(out.Fields, docsParameter{Name: field, Required: required[field], Type: typeOf(f), Description: prose(value(f, "description"))})
	}
	return out
}

// follow gives what a reference leads to, or the value itself.
func (r docsReader) follow(n *yaml.Node) *yaml.Node {
	path, ok := strings.CutPrefix(value(n, "$ref"), "#/")
	if !ok {
		return n
	}
	out := r.root
	for step := range strings.SplitSeq(path, "/") {
		out = api.Get(out, step)
	}
	return out
}

// typeOf writes a schema in a word, with its bounds.
func typeOf(s *yaml.Node) docsType {
	if s == nil {
		return docsType{Text: "text"}
	}
	if name, ok := strings.CutPrefix(value(s, "$ref"), "#/components/schemas/"); ok {
		return docsType{Text: name, Link: name}
	}
	if any := children(api.Get(s, "oneOf")); len(any) > 0 {
		var words []string
		for _, one := range any {
			t := typeOf(one)
			if t.List {
				t.Text = "list of " + t.Text
			}
			words = append(words, t.Text)
		}
		return docsType{Text: strings.Join(words, " or ")}
	}
	kind := value(s, "type")
	if kind == "array" {
		t := typeOf(api.Get(s, "items"))
		t.List = true
		return t
	}
	text := kind
	switch f := value(s, "format"); {
	case f == "date-time":
		text = "moment"
	case kind == "integer":
		text = "whole number"
	}
	if words := children(api.Get(s, "enum")); len(words) > 0 {
		var all []string
		for _, w := range words {
			all = append(all, w.Value)
		}
		text = strings.Join(all, " | ")
	}
	lo, hi := value(s, "minimum"), value(s, "maximum")
	switch {
	case lo != "" && hi != "":
		text += " " + lo + " … " + hi
	case lo != "":
		text += " ≥ " + lo
	}
	return docsType{Text: text}
}

func value(m *yaml.Node, key string) string {
	if v := api.Get(m, key); v != nil {
		return v.Value
	}
	return ""
}

func children(n *yaml.Node) []*yaml.Node {
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	return n.Content
}

// curl is an example as one would type it.
func curl(e api.Example) string {
	var b strings.Builder
	b.WriteString("curl")
	if e.Method != http.MethodGet {
		b.WriteString(" -X " + e.Method)
	}
	b.WriteString(` "$BACKFLEET` + e.Path + `" -H "Authorization: Bearer $TOKEN"`)
	for _, h := range e.Headers {
		fmt.Fprintf(&b, " \\\n  -H %q", h)
	}
	if len(e.Body) > 0 {
		var body bytes.Buffer
		_ = json.Compact(&body, e.Body) // it was read as JSON
		b.WriteString(" \\\n  -H 'Content-Type: application/json' -d '" + strings.ReplaceAll(body.String(), "'", `'\''`) + "'")
	}
	return b.String()
}

func indented(text json.RawMessage) string {
	var b bytes.Buffer
	if len(text) == 0 || json.Indent(&b, text, "", "  ") != nil {
		return ""
	}
	return b.String()
}

// prose is the document's Markdown as far as it is used there: paragraphs, **strong**
// and `code`.
func prose(text string) template.HTML {
	var b strings.Builder
	for paragraph := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		if paragraph = strings.TrimSpace(paragraph); paragraph == "" {
			continue
		}
		b.WriteString("<p>")
		for i, part := range strings.Split(paragraph, "`") {
			if i%2 == 1 {
				b.WriteString("<code>" + template.HTMLEscapeString(part) + "</code>")
				continue
			}
			for k, piece := range strings.Split(part, "**") {
				if k%2 == 1 {
					b.WriteString("<strong>" + template.HTMLEscapeString(piece) + "</strong>")
				} else {
					b.WriteString(template.HTMLEscapeString(piece))
				}
			}
		}
		b.WriteString("</p>")
	}
	return template.HTML(b.String()) // what is foreign was escaped
}
