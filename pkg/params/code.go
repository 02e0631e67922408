package params

import (
	"fmt"
	"slices"
	"strings"

	"backfleet/pkg/fault"
)

// Code is node code, cut into constant text, expressions and uses of assigned
// names. It is immutable and safe for concurrent use.
type Code struct {
	dialect  Dialect
	segments []segment
	names    []string
}

// segment is a piece of code: use is the key of an assigned name, or empty for
// a piece of the language.
type segment struct {
	use string
	piece
}

// Warning is something in code that is left as it is and may be a mistake.
type Warning struct {
	Line, Column int // 1-based, in characters
	Text         string
	Message      string
}

// maxFindings bounds the warnings, and the errors, of one piece of code.
const maxFindings = 100

// CompileCode reads node code. names are the assigned parameters' names, which
// win over every expression. In shell and python, ${…} that is neither a name
// nor an expression is the language's own: it stays, with a warning. Elsewhere
// it is refused, as is every $[…] that begins like an expression and is none:
// a *fault.Error of code Invalid with a Detail ("line 3, column 9") for each.
func CompileCode(d Dialect, nodeType, code string, names []string) (*Code, []Warning, error) {
	if err := d.check(); err != nil {
		return nil, nil, err
	}
	if len(code) > MaxCode {
		return nil, nil, fault.New(fault.TooLarge, "the code has %d bytes: expected at most %d", len(code), MaxCode)
	}
	c := &compiler{code: code, own: nodeType == "shell" || nodeType == "python", assigned: map[string]string{}}
	c.out.dialect = d
	for _, n := range names {
		c.assigned[d.key(n)] = n
	}
	c.run()
	if len(c.problems) > 0 {
		return nil, c.warnings, fault.New(fault.Invalid, "the code cannot be read").WithDetails(c.problems...)
	}
	return &c.out, c.warnings, nil
}

// compiler is one run of CompileCode.
type compiler struct {
	code     string
	own      bool              // the language has its own ${…}
	assigned map[string]string // names by key
	out      Code
	warnings []Warning
	problems []fault.Detail
}

func (c *compiler) run() {
	at, next := 0, 0
	for len(c.problems) < maxFindings {
		m, ok := nextMark(c.code, next)
		if !ok {
			break
		}
		next = m.end
		s, ok := c.segment(m)
		if !ok {
			if m.kind != markWord {
				next = m.start + openingLength // what stays may hold something that does not
			}
			continue
		}
		c.text(c.code[at:m.start])
		c.out.segments = append(c.out.segments, s)
		at = m.end
	}
	c.text(c.code[at:])
}

func (c *compiler) text(s string) {
	if s != "" {
		c.out.segments = append(c.out.segments, segment{piece: piece{kind: pieceText, src: s, text: s}})
	}
}

// segment reads one mark; false when it stays as it is or is refused.
func (c *compiler) segment(m mark) (segment, bool) {
	d := c.out.dialect
	if m.kind == markWord && !isBuiltin(d, m.inner) {
		return segment{}, false
	}
	if name, ok := c.assigned[d.key(m.inner)]; ok && (m.kind == markBrace || m.kind == markWord) {
		if !slices.Contains(c.out.names, name) {
			c.out.names = append(c.out.names, name)
		}
		return segment{use: d.key(name), piece: piece{src: c.code[m.start:m.end], text: name}}, true
	}
	p, err := parseMark(d, c.code, m)
	if err != nil {
		c.unread(m, err)
		return segment{}, false
	}
	return segment{piece: p}, true
}

// unread records a mark that is no expression: as a warning when it belongs to
// the language of the code, else as a problem.
func (c *compiler) unread(m mark, err *syntaxError) {
	line, col := lineColumn(c.code, err.pos)
	switch {
	case m.kind == markBrace && !c.own:
		c.problem(line, col, err.message+"; a name must be assigned, and $${…} is a literal ${…}")
	case m.kind == markBracket && beginsLikeExpression(c.code[m.start+openingLength:]):
		c.problem(line, col, err.message+"; $$[…] is a literal $[…]")
	case len(c.warnings) < maxFindings:
		line, col = lineColumn(c.code, m.start)
		c.warnings = append(c.warnings, Warning{line, col, c.code[m.start:m.end],
			"neither an assigned parameter nor an expression (" + err.message + "): it stays as it is"})
	}
}

func (c *compiler) problem(line, col int, message string) {
	c.problems = append(c.problems, fault.Detail{Where: fmt.Sprintf("line %d, column %d", line, col), Message: message})
}

// beginsLikeExpression tells $[yyyy… from what other languages write: $[0],
// $[*] and $["key"] are JSON paths, $[1+2] is arithmetic.
func beginsLikeExpression(inner string) bool {
	inner = strings.TrimLeft(inner, " ")
	return inner != "" && isLetter(inner[0])
}

// Names are the assigned names that the code uses, in order of first use.
func (c *Code) Names() []string { return slices.Clone(c.names) }

// Expand replaces names by values and expressions by what they give for one
// instance. It is textual and one level deep: what is put in is not read
// again. A name without a value is an error of code Invalid (R1.6), a result
// beyond MaxExpanded bytes one of code TooLarge.
func (c *Code) Expand(ctx Context, values []Assignment) (string, error) {
	given := make(map[string]string, len(values))
	for _, v := range values {
		given[c.dialect.key(v.Name)] = v.Value
	}
	var b strings.Builder
	for i := range c.segments {
		text, err := c.segments[i].expand(ctx, given)
		if err != nil {
			return "", err
		}
		if b.Len()+len(text) > MaxExpanded {
			return "", fault.New(fault.TooLarge, "the code grows beyond %d bytes", MaxExpanded)
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

func (s *segment) expand(ctx Context, given map[string]string) (string, error) {
	switch {
	case s.use != "":
	case s.kind == pieceText:
		return s.text, nil
	default:
		b, err := s.append(nil, ctx, nil)
		return string(b), err
	}
	v, ok := given[s.use]
	if !ok {
		return "", fault.New(fault.Invalid, "the code uses %s and the instance's parameters have no %s: assign it, or run a version of the code without it", s.src, s.text)
	}
	return v, nil
}
