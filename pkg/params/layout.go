package params

import (
	"fmt"
	"time"

	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
)

// Layout is how a text writes dates and times: a format such as yyyy-mm-dd
// hh24:mi:ss by itself, without base and offset. It is immutable and safe for
// concurrent use.
type Layout struct {
	format format
	source string
}

// ParseLayout reads a format. What could not be read back is refused: hours
// from 01 to 12, which are two of a day, and a unit that stands twice. The
// *fault.Error has code Invalid and says the 1-based column, in characters.
func ParseLayout(d Dialect, src string) (*Layout, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	p := &parser{dialect: d, src: src, end: len(src)}
	if len(src) > maxInner {
		return nil, fault.New(fault.Invalid, "the format has %d bytes: expected at most %d", len(src), maxInner)
	}
	f, err := p.format()
	if err == nil && p.pos < p.end {
		err = p.errorf(p.pos, "expected %s, or a separator", p.expectedTokens())
	}
	if err == nil {
		err = f.readable()
	}
	if err != nil {
		return nil, fault.New(fault.Invalid, "column %d: %s", column(src, err.pos), err.message)
	}
	return &Layout{format: f, source: src}, nil
}

// readable refuses what cannot be read back.
func (f format) readable() *syntaxError {
	seen := map[unit]bool{}
	for _, t := range f {
		switch {
		case t.text == "hh" || t.text == "hh12":
			return &syntaxError{t.pos, fmt.Sprintf("%s is 01 to 12 and does not say which half of the day: expected hh24", t.text)}
		case t.unit != noUnit && seen[t.unit]:
			return &syntaxError{t.pos, fmt.Sprintf("the %s stands there already: expected it once", t.unit)}
		}
		seen[t.unit] = true
	}
	return nil
}

// Read gives the moment that a text says. Units that the layout does not show
// are the first (January, the 1st, 00:00:00; the year 1970); yy is 1969 to 2068. The
// error, of code Invalid, says what was expected where.
func (l *Layout) Read(text string) (calendar.Wall, error) {
	at := [...]int{year: 1970, month: 1, day: 1, second: 0}
	rest := text
	for _, t := range l.format {
		width := len(t.text)
		if t.text == "hh24" {
			width = 2
		}
		if len(rest) < width {
			return calendar.Wall{}, l.refuse(text, "it ends before %s", t.text)
		}
		piece := rest[:width]
		rest = rest[width:]
		if t.unit == noUnit {
			if piece != t.text {
				return calendar.Wall{}, l.refuse(text, "expected %q, found %q", t.text, piece)
			}
			continue
		}
		n := 0
		for i := range len(piece) {
			if !isDigit(piece[i]) {
				return calendar.Wall{}, l.refuse(text, "%q is no %s", piece, t.unit)
			}
			n = n*10 + int(piece[i]-'0')
		}
		if t.text == "yy" {
			n += 1900 + 100*btoi(n < 69)
		}
		at[t.unit] = n
	}
	if rest != "" {
		return calendar.Wall{}, l.refuse(text, "%q is too much", rest)
	}
	return l.moment(text, at)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// moment refuses dates and times that are none.
func (l *Layout) moment(text string, at [second + 1]int) (calendar.Wall, error) {
	date := calendar.DateOf(at[year], time.Month(at[month]), at[day])
	y, m, d := date.YMD()
	switch {
	case at[year] < 1 || y != at[year] || int(m) != at[month] || d != at[day]:
		return calendar.Wall{}, l.refuse(text, "there is no such day in the calendar")
	case at[hour] > 23 || at[minute] > 59 || at[second] > 59:
		return calendar.Wall{}, l.refuse(text, "there is no such time of day")
	}
	return calendar.Wall{Date: date, Clock: calendar.Clock(at[hour]*3600 + at[minute]*60 + at[second])}, nil
}

func (l *Layout) refuse(text, format string, args ...any) error {
	const most = 64 // of foreign text
	if len(text) > most {
		text = text[:most] + "…"
	}
	return fault.New(fault.Invalid, "%q is not written as %s: "+format, append([]any{text, l.source}, args...)...)
}

// Write is a moment of the years 0001 to 9999 in the layout.
func (l *Layout) Write(w calendar.Wall) string { return string(l.format.append(nil, w)) }
