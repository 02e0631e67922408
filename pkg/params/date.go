package params

import (
	"fmt"
	"math/big"
	"strings"

	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
)

// base is the moment that an expression starts from.
type base uint8

const (
	fromData      base = iota // D at 00:00
	fromScheduled             // T
)

func (b base) String() string {
	if b == fromData {
		return "data timestamp"
	}
	return "scheduled time"
}

// dateExpr is a moment, moved and written in a format. Both moves are on the
// local wall clock; the months come first.
type dateExpr struct {
	base    base
	format  format
	months  int   // clamped to the month's last day
	seconds int64 // exact days, cut to the second
}

// moment is the one that is written. Each on the way to it, from the base on,
// is passed, unless nobody asks. One outside the years 0001 to 9999 is an error
// of code Invalid.
func (e *dateExpr) moment(c Context, passed func(step, calendar.Wall)) (calendar.Wall, error) {
	at := c.Scheduled
	if e.base == fromData {
		at = calendar.Wall{Date: c.Data}
	}
	for s := fromBase; s <= bySeconds; s++ {
		switch {
		case s == fromBase:
		case s == byMonths && e.months != 0:
			at = at.AddMonths(e.months)
		case s == bySeconds && e.seconds != 0:
			at = at.AddSeconds(e.seconds)
		default:
			continue
		}
		if passed != nil {
			passed(s, at)
		}
		if err := checkYear(at); err != nil {
			return at, err
		}
	}
	return at, nil
}

// step is one of the ways by which a moment is reached.
type step uint8

const (
	fromBase step = iota
	byMonths
	bySeconds
)

// inWords says what a step does.
func (e *dateExpr) inWords(s step) string {
	switch s {
	case byMonths:
		return monthsInWords(e.months)
	case bySeconds:
		return secondsInWords(e.seconds)
	default:
		return e.base.String()
	}
}

func (e *dateExpr) append(b []byte, c Context) ([]byte, error) {
	at, err := e.moment(c, nil)
	if err != nil {
		return b, err
	}
	return e.format.append(b, at), nil
}

// The first and the last date that can be written.
var firstDate, lastDate = calendar.DateOf(1, 1, 1), calendar.DateOf(9999, 12, 31)

func checkYear(w calendar.Wall) error {
	if w.Date < firstDate || w.Date > lastDate {
		y, _, _ := w.Date.YMD()
		return fault.New(fault.Invalid, "the moment is in the year %d: expected years 0001 to 9999", y)
	}
	return nil
}

// parser reads what stands between the brackets of one expression:
// src[pos:end]. Positions are bytes of the whole source.
type parser struct {
	dialect   Dialect
	datesOnly bool // the ${…} of dataworks
	src       string
	pos, end  int
}

// syntaxError is a place in the source and what was expected there.
type syntaxError struct {
	pos     int
	message string
}

func (p *parser) errorf(pos int, format string, args ...any) *syntaxError {
	return &syntaxError{pos, fmt.Sprintf(format, args...) + p.found(pos)}
}

// found shows what stands at a place instead.
func (p *parser) found(pos int) string {
	if pos >= p.end {
		return ", found the end of the expression"
	}
	for _, r := range p.src[pos:p.end] {
		return fmt.Sprintf(", found %q", r)
	}
	return ""
}

func (p *parser) blanks() {
	for p.pos < p.end && p.src[p.pos] == ' ' {
		p.pos++
	}
}

// accept moves over a text if it stands here.
func (p *parser) accept(text string) bool {
	if !strings.HasPrefix(p.src[p.pos:p.end], text) {
		return false
	}
	p.pos += len(text)
	return true
}

// atOffset reports whether an offset begins here: blanks, a sign, blanks and a
// digit.
func (p *parser) atOffset() bool {
	rest := strings.TrimLeft(p.src[p.pos:p.end], " ")
	if rest == "" || (rest[0] != '+' && rest[0] != '-') {
		return false
	}
	rest = strings.TrimLeft(rest[1:], " ")
	return rest != "" && isDigit(rest[0])
}

// biz reads a ${…} expression.
func (p *parser) biz() (*dateExpr, *syntaxError) {
	f, err := p.format()
	if err != nil {
		return nil, err
	}
	for _, t := range f {
		if p.datesOnly && t.unit > day {
			return nil, &syntaxError{t.pos, fmt.Sprintf("%q is a time and ${…} knows only dates: expected $[…]", t.text)}
		}
	}
	var terms []term
	if p.dialect == Dataphin {
		terms, err = p.offsets()
	} else if p.atOffset() {
		terms, err = p.wholeOffset()
	}
	if err != nil {
		return nil, err
	}
	if err := p.finish("}"); err != nil {
		return nil, err
	}
	return p.assemble(fromData, f, terms)
}

func (p *parser) wholeOffset() ([]term, *syntaxError) {
	t, err := p.offset()
	if err == nil && t.fraction {
		err = &syntaxError{t.slash, `"/" in the offset of ${…}: expected a whole number, or $[…] for parts of a day`}
	}
	if err == nil && p.atOffset() {
		err = p.errorf(p.pos, `expected "}" after the one offset that ${…} takes`)
	}
	return []term{t}, err
}

// sched reads a $[…] expression.
func (p *parser) sched() (*dateExpr, *syntaxError) {
	p.blanks()
	if p.accept("add_months(") {
		return p.addMonths()
	}
	f, err := p.format()
	if err != nil {
		return nil, err
	}
	terms, err := p.offsets()
	if err != nil {
		return nil, err
	}
	if err := p.finish("]"); err != nil {
		return nil, err
	}
	if p.dialect == DataWorks && f.smallest() < day {
		for _, t := range terms {
			if t.value.IsInt() {
				return nil, &syntaxError{t.pos, "a whole number of days on a format without day or time: use add_months, as in $[add_months(yyyymm,-1)]"}
			}
		}
	}
	return p.assemble(fromScheduled, f, terms)
}

// addMonths reads the rest of an add_months expression: its number is months,
// every offset after it is days.
func (p *parser) addMonths() (*dateExpr, *syntaxError) {
	f, err := p.format()
	if err != nil {
		return nil, err
	}
	if !p.accept(",") {
		return nil, p.errorf(p.pos, `expected "," and a number of months`)
	}
	p.blanks()
	m, err := p.signed(true)
	if err != nil {
		return nil, err
	}
	if m.fraction {
		return nil, &syntaxError{m.slash, `"/" in a number of months: expected a whole number`}
	}
	p.blanks()
	if !p.accept(")") {
		return nil, p.errorf(p.pos, `expected ")"`)
	}
	terms, err := p.offsets()
	if err != nil {
		return nil, err
	}
	if err := p.finish("]"); err != nil {
		return nil, err
	}
	e := &dateExpr{base: fromScheduled, format: f}
	return e, e.shift(m.pos, m.value, month, sum(terms, everyTerm))
}

// finish checks that nothing is left but blanks.
func (p *parser) finish(closing string) *syntaxError {
	p.blanks()
	if p.pos < p.end {
		return p.errorf(p.pos, "expected a token, an offset such as -1, or %q; other text stands outside the brackets", closing)
	}
	return nil
}

// assemble turns the offsets into moves. A fraction is days; a whole number is
// days in the $[…] of dataworks and counts the smallest unit elsewhere.
func (p *parser) assemble(from base, f format, terms []term) (*dateExpr, *syntaxError) {
	e := &dateExpr{base: from, format: f}
	if len(terms) == 0 {
		return e, nil
	}
	if p.dialect == DataWorks && from == fromScheduled {
		return e, e.shift(terms[0].pos, new(big.Rat), day, sum(terms, everyTerm))
	}
	whole := sum(terms, func(t term) bool { return !t.fraction })
	parts := sum(terms, func(t term) bool { return t.fraction })
	return e, e.shift(terms[0].pos, whole, f.smallest(), parts)
}

// Bounds of a move: no two moments of the years 0001 to 9999 are further apart.
const (
	maxMonths  = 12 * 10_000
	maxSeconds = maxMonths * 31 * 86_400
)

// inMonths and inSeconds say what one of a unit moves by.
var (
	inMonths  = map[unit]int64{year: 12, month: 1}
	inSeconds = map[unit]int64{day: 86_400, hour: 3_600, minute: 60, second: 1}
)

// shift sets the moves to n units and then a number of days, cut to the second.
func (e *dateExpr) shift(pos int, n *big.Rat, u unit, days *big.Rat) *syntaxError {
	months := scaled(n, inMonths[u])
	seconds := scaled(n, inSeconds[u])
	seconds.Add(seconds, scaled(days, 86_400))
	if months.CmpAbs(big.NewInt(maxMonths)) > 0 || seconds.CmpAbs(big.NewInt(maxSeconds)) > 0 {
		return &syntaxError{pos, "the offset is too large: expected less than 10000 years"}
	}
	e.months, e.seconds = int(months.Int64()), seconds.Int64()
	return nil
}

// scaled is n × by, cut to a whole number.
func scaled(n *big.Rat, by int64) *big.Int {
	r := new(big.Rat).Mul(n, new(big.Rat).SetInt64(by))
	return new(big.Int).Quo(r.Num(), r.Denom())
}
