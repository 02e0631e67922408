package api

import (
	"context"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// TestWhatIsServedIsADocument validates the document as it is served, examples
// included.
func TestWhatIsServedIsADocument(t *testing.T) {
	for name, read := range map[string]func() ([]byte, error){"yaml": DescribedYAML, "json": DescribedJSON} {
		text, err := read()
		if err != nil {
			t.Fatal(err)
		}
		document, err := openapi3.NewLoader().LoadFromData(text)
		if err != nil {
			t.Fatal(name, err)
		}
		if err := document.Validate(context.Background(), openapi3.EnableExamplesValidation()); err != nil {
			t.Error(name, err)
		}
		for path, item := range document.Paths.Map() {
			for method, o := range item.Operations() {
				if o.Summary == "" || len(o.Tags) != 1 || document.Tags.Get(o.Tags[0]) == nil || document.Tags.Get(o.Tags[0]).Description == "" {
					t.Errorf("%s %s: expected a summary and one tag that is described", method, path)
				}
			}
		}
	}
}
