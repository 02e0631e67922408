package server_test

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"

	"backfleet/api"
	"backfleet/api/server"
)

// The validator knows no pages; to it they are text.
func init() {
	openapi3filter.RegisterBodyDecoder("text/html", func(body io.Reader, _ http.Header, _ *openapi3.SchemaRef, _ openapi3filter.EncodingFn) (any, error) {
		text, err := io.ReadAll(body)
		return string(text), err
	})
}

// TestThePageHasEverything: each operation, each schema, each code of an error; no
// link into the page leads nowhere; nothing is loaded or run.
func TestThePageHasEverything(t *testing.T) {
	c := newContract(t, server.Options{})
	w := c.ask("GET", "/docs", "")
	page := w.Body.String()
	if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
		t.Fatalf("%d %s", w.Code, w.Header())
	}
	ids := map[string]bool{}
	for _, m := range regexp.MustCompile(` id="([^"]+)"`).FindAllStringSubmatch(page, -1) {
		if ids[m[1]] {
			t.Errorf("two things are called %s", m[1])
		}
		ids[m[1]] = true
	}
	for _, m := range regexp.MustCompile(`href="#([^"]+)"`).FindAllStringSubmatch(page, -1) {
		if !ids[m[1]] {
			t.Errorf("a link leads to %s, which is not there", m[1])
		}
	}
	document, err := openapi3.NewLoader().LoadFromData(api.Document)
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range document.Paths.Map() {
		for _, o := range item.Operations() {
			if !ids[o.OperationID] {
				t.Errorf("%s is not on the page", o.OperationID)
			}
		}
	}
	for name := range document.Components.Schemas {
		if !ids["schema-"+name] {
			t.Errorf("schema %s is not on the page", name)
		}
	}
	for _, code := range api.ErrorCodes() {
		if !ids["error-"+code.Code] {
			t.Errorf("code %s is not on the page", code.Code)
		}
	}
	for _, no := range []string{"<script", " onclick", "<img", "@import", "url("} {
		if strings.Contains(page, no) {
			t.Errorf("the page has %s", no)
		}
	}
}
