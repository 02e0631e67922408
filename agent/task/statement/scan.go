package statement

import (
	"strings"
	"unicode/utf8"

	"github.com/DataDog/go-sqllexer"

	"backfleet/pkg/datasource"
)

// token is a piece of a script: a blank, a comment, or what a statement is made
// of.
type token struct {
	text    string
	at, end int
	silent  bool // blank or comment
}

// is says whether it is this word, in whatever case.
func (t token) is(word string) bool { return strings.EqualFold(t.text, word) }

// scanner reads a script by the lexer of a library. That one is made to take
// statements apart for statistics; where it reads on past the end of a token, or
// does not know a form of its dialect, the scanner decides, and begins anew behind
// it.
type scanner struct {
	script  string
	dialect string
	at      int
	lexer   *sqllexer.Lexer
}

func newScanner(dialect, script string) *scanner {
	s := &scanner{script: script, dialect: dialect}
	s.moveTo(0)
	return s
}

// moveTo makes the lexer begin here.
func (s *scanner) moveTo(at int) {
	as := sqllexer.DBMSPostgres // SQLite, too: quotes are doubled, nothing else
	if s.dialect == datasource.MySQL {
		as = sqllexer.DBMSMySQL
	}
	s.at, s.lexer = at, sqllexer.New(s.script[at:], sqllexer.WithDBMS(as))
}

// next gives the next token, and none at the end. What is never closed is a
// problem.
func (s *scanner) next() (t token, ok bool, problem string) {
	if s.at == len(s.script) {
		return token{}, false, ""
	}
	t = token{at: s.at}
	if length, silent, problem := s.own(s.script[s.at:]); length > 0 || problem != "" {
		t.end, t.silent = s.at+length, silent
		s.moveTo(t.end)
		t.text = s.script[t.at:t.end]
		return t, true, problem
	}
	found := s.lexer.Scan()
	whole := s.align(found.Value)
	text := s.script[s.at:whole]
	kind := found.Type
	if text == "" { // what it does not know at all
		kind, whole = sqllexer.UNKNOWN, s.at+1
		text = s.script[s.at:whole]
	}
	switch kind {
	case sqllexer.ERROR, sqllexer.INCOMPLETE_STRING:
		return t, true, unclosed(text)
	case sqllexer.SPACE, sqllexer.COMMENT:
		t.silent = true
	case sqllexer.MULTILINE_COMMENT:
		t.silent = !s.executed(text)
	case sqllexer.UNKNOWN:
		t.silent = strings.TrimSpace(text) == "" || text == "\ufeff"
	}
	t.end = s.at + s.cut(kind, text)
	t.text = s.script[t.at:t.end]
	if s.at = t.end; t.end-t.at != len(found.Value) { // it stands elsewhere
		s.moveTo(t.end)
	}
	return t, true, ""
}

// align finds where a token of the lexer ends: it leaves out blanks around the
// dots of MySQL's names.
func (s *scanner) align(value string) (end int) {
	end = s.at
	for i := 0; i < len(value) && end < len(s.script); end++ {
		if s.script[end] == value[i] {
			i++
		}
	}
	return end
}

// own are the tokens that the lexer does not have. length 0: it is for the lexer.
func (s *scanner) own(rest string) (length int, silent bool, problem string) {
	mysql, postgres, sqlite := s.dialect == datasource.MySQL, s.dialect == datasource.Postgres, s.dialect == datasource.SQLite
	switch {
	case rest[0] == '$':
		if tag := dollar(rest); postgres && tag != "" {
			return closed(rest, len(tag), tag)
		}
		return 1, false, ""
	case sqlite && rest[0] == '`':
		return closed(rest, 1, "`")
	case sqlite && rest[0] == '[':
		return closed(rest, 1, "]")
	case mysql && strings.HasPrefix(rest, "--") && !blankAt(rest, 2): // 5--3 is 8
		return 1, false, ""
	case postgres && strings.HasPrefix(rest, "/*"):
		length := nested(rest)
		if length < 0 {
			return 0, false, unclosed(rest)
		}
		return length, !s.executed(rest), ""
	}
	return 0, false, ""
}

// closed is a token up to the text that ends it.
func closed(rest string, from int, by string) (length int, silent bool, problem string) {
	end := strings.Index(rest[from:], by)
	if end < 0 {
		return 0, false, unclosed(rest)
	}
	return from + end + len(by), false, ""
}

// unclosed says what is.
func unclosed(text string) string {
	_, size := utf8.DecodeRuneInString(text)
	switch {
	case strings.HasPrefix(text, "/*"):
		size = 2
	case text[0] == '$':
		size = len(dollar(text))
	}
	return text[:size] + " is never closed"
}

// executed says whether a comment is more than one: MySQL runs /*! and MariaDB
// /*M!, and /*+ is a hint.
func (s *scanner) executed(comment string) bool {
	body := strings.TrimPrefix(comment, "/*")
	return strings.HasPrefix(body, "+") || s.dialect == datasource.MySQL && (strings.HasPrefix(body, "!") || strings.HasPrefix(body, "M!"))
}

// cut is how much of the lexer's token is one: names and operators that it reads
// together with the comment or the quote behind them are cut before that.
func (s *scanner) cut(kind sqllexer.TokenType, text string) int {
	switch kind {
	case sqllexer.IDENT, sqllexer.FUNCTION, sqllexer.QUOTED_IDENT:
		quoted := byte(0)
		for i := range len(text) {
			switch c := text[i]; {
			case quoted != 0:
				if c == quoted {
					quoted = 0
				}
			case c == '`', c == '"' && s.dialect != datasource.MySQL && kind == sqllexer.QUOTED_IDENT:
				quoted = c
			case i > 0 && strings.IndexByte(`"/?@!#`, c) >= 0:
				return i
			}
		}
	case sqllexer.OPERATOR, sqllexer.JSON_OP:
		end := len(text)
		marks := []string{"--", "/*"}
		if s.dialect == datasource.MySQL {
			marks = append(marks, "#")
		}
		for _, mark := range marks {
			// a mark may end just behind the token
			after := s.script[s.at:min(s.at+len(text)+1, len(s.script))]
			if i := strings.Index(after[1:], mark); i >= 0 {
				end = min(end, i+1)
			}
		}
		return end
	case sqllexer.NUMBER:
		if last := text[len(text)-1]; len(text) > 1 && (last == '-' || last == '+') { // 1e-
			return len(text) - 1
		}
	}
	return len(text)
}

// dollar is the tag that opens a dollar quote: $$ or $name$; empty: there is none.
func dollar(rest string) string {
	for i := 1; i < len(rest); i++ {
		c := rest[i]
		switch {
		case c == '$':
			return rest[:i+1]
		case c == '_', c >= 0x80, c|0x20 >= 'a' && c|0x20 <= 'z', i > 1 && c >= '0' && c <= '9':
		default:
			return ""
		}
	}
	return ""
}

// nested is the length of a comment in which comments may stand; -1: it does not
// end.
func nested(rest string) int {
	depth := 0
	for i := 0; i+1 < len(rest); i++ {
		switch rest[i : i+2] {
		case "/*":
			depth++
			i++
		case "*/":
			depth--
			i++
			if depth == 0 {
				return i + 1
			}
		}
	}
	return -1
}

func blankAt(text string, i int) bool { return i >= len(text) || text[i] <= ' ' }
