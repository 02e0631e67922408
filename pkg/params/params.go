// Package params is the language in which node code says "the date I am run
// for": values such as ${yyyymmdd-1} and $[hh24-1/24], the assignments of a
// node, and their replacement in code (PARAMS; DESIGN.md is the reference). It
// is pure: the moments come in a Context.
package params

import (
	"fmt"
	"slices"
	"strings"

	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
)

// Dialect is the set of habits that a node's expressions follow.
type Dialect string

const (
	// DataWorks is the default dialect.
	DataWorks Dialect = "dataworks"
	// Dataphin knows references between keys, Java-like letters, and the same
	// offsets in both kinds of brackets.
	Dataphin Dialect = "dataphin"
)

// Bounds of inputs and outputs, in bytes; beyond one the error's code is
// TooLarge (Invalid for an expression that is not closed within maxInner).
const (
	MaxSource   = 64 << 10 // a value as written, and as rendered
	MaxCode     = 1 << 20  // code as written
	MaxExpanded = 16 << 20 // code after replacement
	maxInner    = 1 << 10  // between the brackets of one expression
)

// check refuses an unknown dialect.
func (d Dialect) check() error {
	if d != DataWorks && d != Dataphin {
		return fault.Field("dialect", "%q is not a dialect: expected %s or %s", string(d), DataWorks, Dataphin)
	}
	return nil
}

// key is the form in which the dialect compares names: dataphin ignores case.
func (d Dialect) key(name string) string {
	if d == Dataphin {
		return strings.ToLower(name)
	}
	return name
}

// Context is what an expression can speak of: one instance.
type Context struct {
	Data       calendar.Date // D, the data timestamp
	Scheduled  calendar.Wall // T, in the node's zone
	Generated  calendar.Date // the day on which the instance was generated
	PlanID     string
	NodeID     string
	InstanceID string
}

// Expr is a value, parsed: pieces that are joined when it is rendered. It is
// immutable and safe for concurrent use.
type Expr struct {
	dialect Dialect
	pieces  []piece
	fixed   bool   // constant text alone,
	text    string // this
}

// piece is one part of a value.
type piece struct {
	kind pieceKind
	src  string    // as written
	text string    // pieceText: the text; pieceName: the name looked up
	date *dateExpr // pieceDate
	of   *builtin  // pieceName: the system's value of this name; nil when there is none
}

type pieceKind uint8

const (
	pieceText pieceKind = iota
	pieceDate           // ${…} or $[…]
	pieceName           // a builtin, or in dataphin another key of the set
)

// Parse reads a value. The *fault.Error of a wrong one has code Invalid and
// begins with the 1-based column, in characters, and says what was expected.
func Parse(d Dialect, src string) (*Expr, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	if len(src) > MaxSource {
		return nil, fault.New(fault.TooLarge, "column %d: the value has %d bytes: expected at most %d", column(src, MaxSource), len(src), MaxSource)
	}
	e := &Expr{dialect: d}
	at := 0
	for m, ok := nextMark(src, 0); ok; m, ok = nextMark(src, m.end) {
		e.constant(src[at:m.start])
		p, err := parseMark(d, src, m)
		if err != nil {
			return nil, fault.New(fault.Invalid, "column %d: %s", column(src, err.pos), err.message)
		}
		e.pieces = append(e.pieces, p)
		at = m.end
	}
	e.constant(src[at:])
	e.fixed = !slices.ContainsFunc(e.pieces, func(p piece) bool { return p.kind != pieceText })
	if e.fixed {
		for _, p := range e.pieces {
			e.text += p.text
		}
	}
	return e, nil
}

// constant adds constant text, if any.
func (e *Expr) constant(s string) {
	if s != "" {
		e.pieces = append(e.pieces, piece{kind: pieceText, src: s, text: s})
	}
}

// parseMark reads one mark of a value or of code.
func parseMark(d Dialect, src string, m mark) (piece, *syntaxError) {
	written := src[m.start:m.end]
	switch {
	case m.kind == markEscape:
		return piece{kind: pieceText, src: written, text: written[1:]}, nil
	case m.kind == markWord && (d == Dataphin || isBuiltin(d, m.inner)), m.kind == markBrace && !m.open && isSystemName(d, m.inner):
		key := d.key(m.inner)
		return piece{kind: pieceName, src: written, text: key, of: builtins[systemName(key)]}, nil
	case m.kind == markWord:
		return piece{kind: pieceText, src: written, text: written}, nil
	case m.open:
		opening, closing := m.signs()
		return piece{}, &syntaxError{m.start, fmt.Sprintf("expected %q to close %q within %d bytes", closing, opening, maxInner)}
	}
	p := &parser{dialect: d, datesOnly: d == DataWorks && m.kind == markBrace, src: src, pos: m.start + openingLength, end: m.end - 1}
	read := p.sched
	if m.kind == markBrace {
		read = p.biz
	}
	date, err := read()
	if err != nil {
		return piece{}, err
	}
	return piece{kind: pieceDate, src: written, date: date}, nil
}

// Render computes the value for one instance. It fails with code Invalid when
// a moment leaves the years 0001 to 9999, and TooLarge beyond MaxSource bytes.
// In dataphin a $name that is no builtin stays as written; within a Set it is
// the other key's value.
func (e *Expr) Render(c Context) (string, error) {
	if e.fixed {
		return e.text, nil
	}
	b, err := e.append(nil, c, nil)
	return string(b), err
}

// lookup gives the value of another key of the set; false when there is none.
type lookup func(key string) (string, bool, error)

// append writes the value behind b. keys may be nil.
func (e *Expr) append(b []byte, c Context, keys lookup) ([]byte, error) {
	from := len(b)
	for i := range e.pieces {
		var err error
		if b, err = e.pieces[i].append(b, c, keys); err != nil {
			return b[:from], err
		}
		if len(b)-from > MaxSource {
			return b[:from], fault.New(fault.TooLarge, "the value grows beyond %d bytes", MaxSource)
		}
	}
	return b, nil
}

func (p *piece) append(b []byte, c Context, keys lookup) ([]byte, error) {
	var err error
	switch p.kind {
	case pieceDate:
		b, err = p.date.append(b, c)
	case pieceName:
		b, err = p.named(b, c, keys)
	default:
		b = append(b, p.text...)
	}
	if err != nil {
		return b, fault.Wrap(err, fault.Invalid, "%s", p.src)
	}
	return b, nil
}

// named writes the value behind a name: a key of the set before a builtin, so
// that a user's value overrides the system's. A name that is neither is text.
func (p *piece) named(b []byte, c Context, keys lookup) ([]byte, error) {
	if keys != nil {
		if s, ok, err := keys(p.text); ok || err != nil {
			return append(b, s...), err
		}
	}
	if p.of != nil {
		return p.of.render(b, c)
	}
	return append(b, p.src...), nil
}
