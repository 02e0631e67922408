package node

import (
	"fmt"
	"strings"

	"backfleet/pkg/fault"
	"backfleet/pkg/params"
)

// code compiles the parameters and the code.
func (c *checker) code() (*params.Set, *params.Code) {
	s := c.spec
	dialect := params.Dialect(s.Dialect)
	if dialect != params.DataWorks && dialect != params.Dataphin {
		c.refuse("dialect", "%q is not a dialect: expected %s or %s", clip(s.Dialect), params.DataWorks, params.Dataphin)
		return nil, nil
	}
	set := c.params(dialect)
	switch {
	case s.Code == "":
		c.refuse("code", "it is empty: expected code, or codeFile with the name of a file")
	case c.text("code", s.Code, MaxCode) && set != nil:
		if strings.Contains(s.Code, "\r\n") {
			c.warnings = append(c.warnings, detail("code", "its lines end in CR LF, which a shell does not take: save it with LF"))
		}
		return set, c.compileCode(dialect, set)
	}
	return nil, nil
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

// compileCode gives findings in the code a Where of "line 3, column 9", counted
// in the code; the reader turns it into a place in the file.
func (c *checker) compileCode(dialect params.Dialect, set *params.Set) *params.Code {
	code, warnings, err := params.CompileCode(dialect, c.spec.Type, c.spec.Code, set.Names())
	for _, w := range warnings {
		c.warnings = append(c.warnings, Warning{Field: "code", Where: codePlace(w.Line, w.Column), Message: w.Text + ": " + w.Message})
	}
	if err == nil {
		return code
	}
	e, ok := err.(*fault.Error)
	if !ok || len(e.Details) == 0 {
		c.refuse("code", "%v", err)
		return nil
	}
	for _, d := range e.Details {
		c.details = append(c.details, fault.Detail{Field: "code", Where: d.Where, Message: d.Message})
	}
	return nil
}

func codePlace(line, column int) string { return fmt.Sprintf("line %d, column %d", line, column) }
