package node

import (
	"fmt"
	"slices"
	"strings"

	"backfleet/pkg/fault"
	"backfleet/pkg/params"
)

func knownDialect(name string) bool {
	return slices.Contains([]params.Dialect{params.DataWorks, params.Dataphin}, params.Dialect(name))
}

// texts compiles the parameters, and the code and all other texts in which they
// may stand. The code is nil for a node that has none.
func (c *checker) texts() (*params.Set, *params.Code) {
	s := c.spec
	if !knownDialect(s.Dialect) {
		c.refuse("dialect", "%q is not a dialect: expected %s or %s", clip(s.Dialect), params.DataWorks, params.Dataphin)
		return nil, nil
	}
	set := c.params(params.Dialect(s.Dialect))
	var code *params.Code
	total := 0
	for _, t := range Texts(s) {
		total += len(*t.Value)
		compiled := c.compileText(t, set)
		if t.Field == "code" {
			code = compiled
		}
	}
	if total > MaxTexts {
		c.refuse("logical.units", "their code has %d bytes: expected at most %d in all", total, MaxTexts)
	}
	return set, code
}

// hasCode checks that a node has code if, and only if, its type is of code.
func (c *checker) hasCode(k kind) {
	switch code := c.spec.Code; {
	case code == "" && k.noCode == "":
		c.refuse("code", "it is empty: expected code, or codeFile with the name of a file")
	case code != "" && k.noCode != "":
		c.refuse("code", "a node of type %s has none, %s: take it out", k.name, k.noCode)
	}
}

func (c *checker) params(dialect params.Dialect) *params.Set {
	s := c.spec
	if len(s.Params) > MaxAssignments {
		c.refuse("params", "%d values: expected at most %d", len(s.Params), MaxAssignments)
		return nil
	}
	before := len(c.details)
	assigned := make([]params.Assignment, len(s.Params))
	for i, a := range s.Params {
		c.text("params."+clip(a.Name), a.Value, MaxText)
		assigned[i] = params.Assignment{Name: a.Name, Value: a.Value}
	}
	if len(c.details) > before {
		return nil
	}
	set, err := params.CompileSet(dialect, assigned)
	if err != nil {
		c.adopt("params", err)
		return nil
	}
	return set
}

// compileText gives findings in a text a Where of "line 3, column 9", counted in
// the text; the reader turns it into a place in the file. Without a set of
// parameters only what the text is made of is checked.
func (c *checker) compileText(t Text, set *params.Set) *params.Code {
	if !c.text(t.Field, *t.Value, t.most) || set == nil {
		return nil
	}
	if t.Shell && c.spec.Type != Python && strings.Contains(*t.Value, "\r\n") {
		c.warnings = append(c.warnings, detail(t.Field, "its lines end in CR LF, which a shell does not take: save it with LF"))
	}
	code, warnings, err := t.Compile(params.Dialect(c.spec.Dialect), set.Names())
	for _, w := range warnings {
		c.warnings = append(c.warnings, Warning{Field: t.Field, Where: textPlace(w.Line, w.Column), Message: w.Text + ": " + w.Message})
	}
	if err == nil {
		return code
	}
	e, ok := err.(*fault.Error)
	if !ok || len(e.Details) == 0 {
		c.refuse(t.Field, "%v", err)
		return nil
	}
	for _, d := range e.Details {
		c.details = append(c.details, fault.Detail{Field: t.Field, Where: d.Where, Message: d.Message})
	}
	return nil
}

func textPlace(line, column int) string { return fmt.Sprintf("line %d, column %d", line, column) }
