package params

import (
	"fmt"
	"strings"

	"backfleet/pkg/calendar"
)

// Step explains one piece of a value to people.
type Step struct {
	Text    string   // the piece as written
	Rule    string   // its rule in words
	Moments []Moment // from the base moment to the one that is written
	Value   string   // what it gives; empty when Error is set
	Error   string   // why it has no value for this context
}

// Moment is a wall time on the way to a value.
type Moment struct {
	What string // "scheduled time", "-1 day"
	Wall calendar.Wall
}

// Explain gives each piece of the value with its rule, the moments it passes
// through and what it gives. In dataphin a $name is explained without the set
// it may belong to.
func (e *Expr) Explain(c Context) []Step {
	steps := make([]Step, 0, len(e.pieces))
	for _, p := range e.pieces {
		s := Step{Text: p.src, Rule: p.rule(e.dialect)}
		if date := p.moments(); date != nil {
			_, _ = date.moment(c, func(by step, to calendar.Wall) { // an error is shown below
				s.Moments = append(s.Moments, Moment{date.inWords(by), to})
			})
		}
		value, err := p.append(nil, c, nil)
		if err != nil {
			s.Error = err.Error()
		} else {
			s.Value = string(value)
		}
		steps = append(steps, s)
	}
	return steps
}

// moments is the date behind a piece, if any.
func (p piece) moments() *dateExpr {
	if p.kind == pieceName {
		if p.of == nil {
			return nil
		}
		return p.of.date
	}
	return p.date
}

// rule says in words how the piece gets its value.
func (p piece) rule(d Dialect) string {
	switch {
	case p.kind == pieceDate:
		return p.date.rule()
	case p.kind == pieceText && p.src != p.text:
		return "a literal: the first $ is dropped"
	case p.kind == pieceText:
		return "a constant"
	}
	if b, ok := builtins[systemName(p.text)]; ok {
		return b.rule
	}
	return "the value of the parameter " + p.text + ", if there is one; else as written"
}

func (e *dateExpr) rule() string {
	moves := []string{"the " + e.base.String()}
	if e.base == fromData {
		moves[0] += " at 00:00"
	}
	if e.months != 0 {
		moves = append(moves, monthsInWords(e.months)+" (at most to the month's last day)")
	}
	if e.seconds != 0 {
		moves = append(moves, secondsInWords(e.seconds))
	}
	var f strings.Builder
	for _, t := range e.format {
		f.WriteString(t.text)
	}
	return strings.Join(moves, ", ") + ", written as " + f.String()
}

func monthsInWords(n int) string {
	if n%12 == 0 {
		return count(int64(n/12), "year")
	}
	return count(int64(n), "month")
}

// secondsInWords uses the largest unit that is exact.
func secondsInWords(n int64) string {
	for _, u := range []unit{day, hour, minute} {
		if n%inSeconds[u] == 0 {
			return count(n/inSeconds[u], u.String())
		}
	}
	return count(n, second.String())
}

func count(n int64, what string) string {
	if n != 1 && n != -1 {
		what += "s"
	}
	return fmt.Sprintf("%+d %s", n, what)
}
