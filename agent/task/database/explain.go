package database

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// A Problem is what a server said of a statement.
type Problem struct {
	Code    string // PostgreSQL's SQLSTATE, MySQL's number, SQLite's result code; empty: no server said it
	Message string // one line
	Detail  string // what more was said; may be empty
	// Line and Column are the place in the statement, from 1, the column in
	// characters. 0: not said.
	Line, Column int
}

// String writes a problem on one line, without its place.
func (p Problem) String() string {
	text := p.Message
	switch len(p.Code) {
	case 0:
	case 5:
		text += " (SQLSTATE " + p.Code + ")"
	default:
		text += " (error " + p.Code + ")"
	}
	if p.Detail != "" {
		text += "; " + p.Detail
	}
	return text
}

// oneLine joins the lines of a text.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// at sets the place to a byte of the statement.
func (p *Problem) at(statement string, offset int) {
	before := statement[:min(max(offset, 0), len(statement))]
	p.Line = 1 + strings.Count(before, "\n")
	p.Column = 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
}

// atOnly sets the place to a word of the statement, if it is there just once.
func (p *Problem) atOnly(statement, word string) {
	if word == "" {
		return
	}
	found := regexp.MustCompile(edge(word[0])+regexp.QuoteMeta(word)+edge(word[len(word)-1])).FindAllStringIndex(statement, 2)
	if len(found) == 1 {
		p.at(statement, found[0][0])
	}
}

// edge is where a word that begins or ends with this byte does.
func edge(b byte) string {
	if b == '_' || b >= '0' && b <= '9' || b|0x20 >= 'a' && b|0x20 <= 'z' {
		return `\b`
	}
	return ""
}

// unknown is an error that no server said.
func unknown(err error) Problem {
	if err == nil {
		return Problem{}
	}
	return Problem{Message: oneLine(err.Error())}
}
