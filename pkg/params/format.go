package params

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"backfleet/pkg/calendar"
)

// unit is what a token of a format shows. The order is that of size, so the
// largest value in a format is its smallest unit.
type unit uint8

const (
	noUnit unit = iota // a separator
	year
	month
	day
	hour
	minute
	second
	monthOrMinute // "mm" of dataphin until its neighbours are known
)

func (u unit) String() string {
	return [...]string{"separator", "year", "month", "day", "hour", "minute", "second", "month or minute"}[u]
}

// token is one piece of a format: a date or time token, or a separator.
type token struct {
	text string
	unit unit
	pos  int // byte position in the source
}

// The tokens of a dialect, the longest of a beginning first.
var tokensOf = map[Dialect][]token{
	DataWorks: {
		{text: "yyyy", unit: year}, {text: "yy", unit: year}, {text: "mm", unit: month}, {text: "dd", unit: day},
		{text: "hh24", unit: hour}, {text: "hh12", unit: hour}, {text: "hh", unit: hour},
		{text: "mi", unit: minute}, {text: "ss", unit: second},
	},
	Dataphin: {
		{text: "yyyy", unit: year}, {text: "yy", unit: year}, {text: "MM", unit: month}, {text: "mm", unit: monthOrMinute},
		{text: "dd", unit: day}, {text: "HH", unit: hour}, {text: "hh24", unit: hour}, {text: "hh12", unit: hour},
		{text: "hh", unit: hour}, {text: "mi", unit: minute}, {text: "ss", unit: second},
	},
}

// expectedTokens tells a person what may stand in a format.
func (p *parser) expectedTokens() string {
	switch {
	case p.datesOnly:
		return "yyyy, yy, mm or dd in small letters"
	case p.dialect == DataWorks:
		return "yyyy, yy, mm, dd, hh24, hh12, hh, mi or ss in small letters"
	default:
		return "yyyy, yy, MM, mm, dd, HH, hh24, hh12, hh, mi or ss"
	}
}

// separators are the ASCII signs that stand for themselves in a format. Signs
// beyond ASCII do too, if they print (yyyy年mm月).
const separators = " -/:._"

// format is the parsed yyyymmdd of an expression.
type format []token

// smallest is the smallest unit that the format shows.
func (f format) smallest() unit {
	u := noUnit
	for _, t := range f {
		u = max(u, t.unit)
	}
	return u
}

// append writes a moment of the years 0001 to 9999 in the format.
func (f format) append(b []byte, w calendar.Wall) []byte {
	y, m, d := w.Date.YMD()
	h, mi, s := w.Clock.HMS()
	for i := range f {
		switch t := &f[i]; t.unit {
		case year:
			if t.text != "yy" {
				b = twoDigits(b, y/100)
			}
			b = twoDigits(b, y%100)
		case month:
			b = twoDigits(b, int(m))
		case day:
			b = twoDigits(b, d)
		case hour:
			shown := h
			if t.text == "hh" || t.text == "hh12" {
				shown = (h+11)%12 + 1 // 00 and 12 are both 12
			}
			b = twoDigits(b, shown)
		case minute:
			b = twoDigits(b, mi)
		case second:
			b = twoDigits(b, s)
		default:
			b = append(b, t.text...)
		}
	}
	return b
}

// twoDigits writes a number below 100.
func twoDigits(b []byte, n int) []byte { return append(b, byte('0'+n/10), byte('0'+n%10)) }

// format reads up to the offset or to a sign that no format holds. Blanks at
// either end are not part of it.
func (p *parser) format() (format, *syntaxError) {
	p.blanks()
	var f format
	for p.pos < p.end && !p.atOffset() {
		t, ok := p.token()
		if !ok {
			break
		}
		f = append(f, t)
		p.pos += len(t.text)
	}
	for len(f) > 0 && f[len(f)-1].text == " " {
		f = f[:len(f)-1]
	}
	if f.smallest() == noUnit {
		return nil, p.errorf(p.pos, "expected %s", p.expectedTokens())
	}
	f.settle()
	return f, nil
}

// token reads one token or separator, without moving on.
func (p *parser) token() (token, bool) {
	rest := p.src[p.pos:p.end]
	for _, t := range tokensOf[p.dialect] {
		if strings.HasPrefix(rest, t.text) {
			return token{t.text, t.unit, p.pos}, true
		}
	}
	r, size := utf8.DecodeRuneInString(rest)
	if strings.ContainsRune(separators, r) || (r > unicode.MaxASCII && r != utf8.RuneError && unicode.IsPrint(r)) {
		return token{rest[:size], noUnit, p.pos}, true
	}
	return token{}, false
}

// settle decides each "mm" of dataphin by its neighbouring tokens: minutes
// right after an hour or right before seconds; else a month next to a year or
// a day; else minutes right before an hour; else a month. So it is a month in
// a date-only format and minutes beside hours, and both in one format work.
func (f format) settle() {
	var tokens []*token
	for i := range f {
		if f[i].unit != noUnit {
			tokens = append(tokens, &f[i])
		}
	}
	for i, t := range tokens {
		if t.unit != monthOrMinute {
			continue
		}
		before, after := noUnit, noUnit
		if i > 0 {
			before = tokens[i-1].unit
		}
		if i+1 < len(tokens) {
			after = tokens[i+1].unit
		}
		t.unit = monthOrMinuteBeside(before, after)
	}
}

func monthOrMinuteBeside(before, after unit) unit {
	switch {
	case before == hour || after == second:
		return minute
	case before == year || before == day || after == year || after == day:
		return month
	case after == hour:
		return minute
	default:
		return month
	}
}
