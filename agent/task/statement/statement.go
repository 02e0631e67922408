// Package statement takes SQL scripts apart into statements, by their tokens: a
// semicolon in a text, a name, a comment, a function's body or a trigger ends
// nothing.
package statement

import (
	"slices"
	"strings"
	"unicode/utf8"

	"backfleet/pkg/datasource"
	"backfleet/pkg/fault"
)

// A Statement is one of a script.
type Statement struct {
	// Text is what a server gets: without the blanks and comments before it, and
	// without the semicolon.
	Text string
	// Raw is all of it: the script is the Raw texts of its statements, joined.
	Raw string
	// Offset, Line and Column are where Text begins in the script: its byte from
	// 0, its line and its character there from 1.
	Offset, Line, Column int
}

// Word is the n-th word of a statement, from 0, in capitals: SELECT. Empty: there
// is none there.
func (s Statement) Word(n int) string {
	words := strings.FieldsFunc(s.Text[:min(len(s.Text), 1<<10)], func(r rune) bool { return !('a' <= r|0x20 && r|0x20 <= 'z' || r == '_') })
	if n >= len(words) {
		return ""
	}
	return strings.ToUpper(words[n])
}

// Split takes a script for a type of database (datasource.Postgres and the like)
// apart. A script of blanks and comments has no statements. Commands of a client
// program, that no server knows, are refused, as is what is never closed.
func Split(dialect, script string) ([]Statement, error) {
	if at := strings.IndexByte(script, 0); at >= 0 {
		return nil, refuse(script, at, "there is a NUL character: expected text")
	}
	s := &splitter{scanner: newScanner(dialect, script)}
	s.begin(0)
	for {
		t, more, problem := s.scanner.next()
		switch {
		case problem != "":
			return nil, refuse(script, t.at, "%s", problem)
		case !more:
			return s.finish()
		case t.silent:
			continue
		}
		if why := s.take(t); why != "" {
			return nil, refuse(script, t.at, "%s", why)
		}
	}
}

// refuse names the line of a byte.
func refuse(script string, at int, format string, args ...any) error {
	line, _ := place(script, at)
	return fault.New(fault.Invalid, "line %d: "+format, append([]any{line}, args...)...)
}

// place is where a byte is, from 1.
func place(script string, at int) (line, column int) {
	before := script[:at]
	return 1 + strings.Count(before, "\n"), 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
}

// splitter reads a statement after the other.
type splitter struct {
	scanner *scanner
	done    []Statement

	raw         int      // where the present one begins with all that is before it
	first, last int      // its tokens, but for the semicolon; first < 0: none yet
	words       []string // its first, in capitals
	previous    token
	parentheses int
	open        []string // BEGIN and CASE of a body, as far as they are not closed
	popped      string   // what the END just before has closed
	loose       bool     // that END came after a semicolon, so it may be END FOR and not CASE … END FOR UPDATE
}

// begin begins a statement; raw is the end of the one before.
func (s *splitter) begin(raw int) {
	*s = splitter{scanner: s.scanner, done: s.done, raw: raw, first: -1}
}

// take takes a token that is neither blank nor comment; why says that it cannot be.
func (s *splitter) take(t token) (why string) {
	if t.text == ";" && len(s.open) == 0 && (s.parentheses <= 0 || s.scanner.dialect != datasource.Postgres) {
		return s.end(t)
	}
	if s.first < 0 {
		if why := s.client(t); why != "" {
			return why
		}
		s.first = t.at
	}
	s.last = t.end
	switch t.text {
	case "(":
		s.parentheses++
	case ")":
		s.parentheses--
	}
	s.body(t)
	s.previous = t
	if s.parentheses == 0 && len(s.words) < 64 {
		s.words = append(s.words, strings.ToUpper(t.text))
	}
	return ""
}

// client says why a statement cannot begin with a token: it is for a client.
func (s *splitter) client(t token) string {
	switch dialect := s.scanner.dialect; {
	case dialect == datasource.MySQL && t.is("DELIMITER"):
		return "DELIMITER is a command of the mysql program and not needed: leave it out, and end the body of a trigger or procedure with END;"
	case dialect == datasource.Postgres && t.text == `\`:
		return `commands that begin with \ are those of the psql program: write SQL instead`
	case dialect == datasource.SQLite && t.text == ".":
		return "commands that begin with . are those of the sqlite3 program: write SQL instead"
	}
	return ""
}

// body follows BEGIN … END, within which semicolons end statements of the body.
func (s *splitter) body(t token) {
	popped := s.popped
	s.popped = ""
	word := strings.ToUpper(t.text)
	if popped != "" && (slices.Contains([]string{"IF", "LOOP", "WHILE", "REPEAT"}, word) || word == "FOR" && s.loose) {
		s.open = append(s.open, popped) // END IF: it has closed what is not counted
		return
	}
	if len(s.open) == 0 {
		if s.opens(t) {
			s.open = append(s.open, "BEGIN")
		}
		return
	}
	switch word {
	case "BEGIN":
		s.open = append(s.open, word)
	case "CASE":
		if popped == "" { // not END CASE
			s.open = append(s.open, word)
		}
	case "END":
		s.popped, s.loose = s.open[len(s.open)-1], s.previous.text == ";"
		s.open = s.open[:len(s.open)-1]
	}
}

// opens says whether a body begins with a token.
func (s *splitter) opens(t token) bool {
	switch {
	case t.is("ATOMIC") && s.previous.is("BEGIN"): // PostgreSQL's functions in SQL
		return s.scanner.dialect == datasource.Postgres && s.object() != ""
	case t.is("ATOMIC"): // MariaDB's block outside of a procedure
		return slices.Equal(s.words, []string{"BEGIN", "NOT"})
	case t.is("BEGIN"):
		return s.scanner.dialect != datasource.Postgres && s.object() != ""
	}
	return false
}

// object is what a statement creates if that may have a body.
func (s *splitter) object() string {
	if len(s.words) == 0 || s.words[0] != "CREATE" {
		return ""
	}
	for _, w := range s.words {
		switch w {
		case "TRIGGER", "PROCEDURE", "FUNCTION", "EVENT":
			return w
		case "TABLE", "VIEW", "INDEX", "SEQUENCE", "SCHEMA", "DATABASE", "USER", "ROLE", "TYPE", "DOMAIN", "RULE", "AS", "SELECT":
			return ""
		}
	}
	return ""
}

// end ends a statement with its semicolon. One of nothing is passed over: its
// blanks are the next one's.
func (s *splitter) end(semicolon token) (why string) {
	if s.first < 0 {
		return ""
	}
	if s.scanner.dialect == datasource.Postgres && len(s.words) > 0 && s.words[0] == "COPY" {
		for i, w := range s.words[1:] {
			switch before := s.words[i]; {
			case w == "STDIN" && before == "FROM":
				return "COPY … FROM STDIN has no data here: use INSERT, or a node of type integration"
			case w == "STDOUT" && before == "TO":
				return "COPY … TO STDOUT has nobody to take the data: use SELECT, or a node of type integration"
			}
		}
	}
	s.add(semicolon.end)
	s.begin(semicolon.end)
	return ""
}

func (s *splitter) add(end int) {
	script := s.scanner.script
	line, column := place(script, s.first)
	s.done = append(s.done, Statement{Text: script[s.first:s.last], Raw: script[s.raw:end], Offset: s.first, Line: line, Column: column})
}

// finish ends the script.
func (s *splitter) finish() ([]Statement, error) {
	script := s.scanner.script
	switch n := len(s.done); {
	case len(s.open) > 0:
		return nil, refuse(script, s.first, "the statement that begins here has a %s without END", s.open[0])
	case s.first >= 0:
		if why := s.end(token{at: len(script), end: len(script)}); why != "" {
			return nil, refuse(script, s.first, "%s", why)
		}
	case n > 0:
		s.done[n-1].Raw += script[s.raw:]
	}
	return s.done, nil
}
