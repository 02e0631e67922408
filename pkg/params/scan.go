package params

import (
	"strings"
	"unicode/utf8"
)

// markKind says what a "$" in a value or in code may begin.
type markKind uint8

const (
	markEscape  markKind = iota // $${…} or $$[…]: written for the literal without the first $
	markBrace                   // ${…}
	markBracket                 // $[…]
	markWord                    // $word
)

// mark is one such place, src[start:end]. inner is what stands between the
// brackets, or the word; open says that the closing bracket is missing, and
// then end is just after the opening one.
type mark struct {
	kind       markKind
	start, end int
	inner      string
	open       bool
}

// openingLength is the length of the "${" or "$[" that opens a mark.
const openingLength = 2

// signs are what opens and closes a bracketed mark.
func (m mark) signs() (opening, closing string) {
	if m.kind == markBrace {
		return "${", "}"
	}
	return "$[", "]"
}

// nextMark finds the first mark at or after from. A "$" that begins none of
// them ("$1", "$(…)", a lone "$") is ordinary text.
func nextMark(src string, from int) (mark, bool) {
	for {
		i := strings.IndexByte(src[from:], '$')
		if i < 0 || from+i+1 == len(src) {
			return mark{}, false
		}
		from += i
		if m, ok := markAt(src, from); ok {
			return m, true
		}
		from++
	}
}

func markAt(src string, at int) (mark, bool) {
	switch next := src[at+1]; {
	case next == '{':
		return bracketed(src, at, markBrace, '}'), true
	case next == '[':
		return bracketed(src, at, markBracket, ']'), true
	case next == '$' && strings.HasPrefix(src[at+2:], "{"):
		return escape(bracketed(src, at+1, markBrace, '}')), true
	case next == '$' && strings.HasPrefix(src[at+2:], "["):
		return escape(bracketed(src, at+1, markBracket, ']')), true
	case isWord(next) && !isDigit(next):
		end := at + 1
		for end < len(src) && isWord(src[end]) {
			end++
		}
		return mark{kind: markWord, start: at, end: end, inner: src[at+1 : end]}, true
	}
	return mark{}, false
}

// bracketed reads up to the first closing sign. The search is bounded, which
// keeps the scan of a long text linear.
func bracketed(src string, at int, kind markKind, closing byte) mark {
	inner := src[at+openingLength:]
	end := strings.IndexByte(inner[:min(len(inner), maxInner+1)], closing)
	if end < 0 {
		return mark{kind: kind, start: at, end: at + openingLength, open: true}
	}
	return mark{kind: kind, start: at, end: at + openingLength + end + 1, inner: inner[:end]}
}

// escape turns the mark after a "$" into the literal it stands for.
func escape(m mark) mark { return mark{kind: markEscape, start: m.start - 1, end: m.end} }

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

func isLetter(b byte) bool { return 'a' <= b|0x20 && b|0x20 <= 'z' }

// isWord reports the signs that words and names are made of.
func isWord(b byte) bool { return isLetter(b) || isDigit(b) || b == '_' }

// column is the 1-based column, in characters, of a byte position in a line.
func column(line string, pos int) int { return utf8.RuneCountInString(line[:pos]) + 1 }

// lineColumn is the 1-based line and column of a byte position in a text.
func lineColumn(text string, pos int) (line, col int) {
	start := strings.LastIndexByte(text[:pos], '\n') + 1
	return strings.Count(text[:start], "\n") + 1, column(text[start:], pos-start)
}
