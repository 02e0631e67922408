package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/jedib0t/go-pretty/v6/text"
	"pgregory.net/rapid"
)

func TestRowsFitTheWidth(t *testing.T) {
	header := []string{"ID", "NAME", "STATE", "AGENTS", "DESCRIPTION"}
	rows := [][]string{
		{"a-very-long-identifier", "a name that is long too", "\x1b[32mready\x1b[0m", "12", "words about it that nobody needs to read"},
		{"b", "short", "\x1b[31mlost\x1b[0m", "3", ""},
	}
	fit(header, rows, 80)
	if got := rows[0][4]; !strings.HasSuffix(got, "…") || rows[0][1] != "a name that is long too" {
		t.Errorf("%q: expected the description to be shortened first, and alone", rows[0])
	}
	fit(header, rows, 50)
	if got := rows[0]; got[0] != "a-very-long-identifier" || got[2] != "\x1b[32mready\x1b[0m" || !strings.HasSuffix(got[1], "…") {
		t.Errorf("%q: expected the name to be shortened, and neither id nor state", got)
	}
}

// TestTablesAreNoWiderThanTheTerminal, unless ids and headers alone are.
func TestTablesAreNoWiderThanTheTerminal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := &app{Options: Options{Getenv: func(string) string { return "" }}}
		header := []string{"ID", "NAME", "WHY", "OTHER"}
		rows := rapid.SliceOf(rapid.SliceOfN(rapid.StringMatching(`[a-zéü語 \t]{0,40}`), 4, 4)).Draw(t, "rows")
		width := rapid.IntRange(80, 200).Draw(t, "width")
		var b bytes.Buffer
		a.grid(&display{&b, width, 24}, header, rows)
		for line := range strings.Lines(b.String()) {
			// An id has at most 80 cells, every other column at least 8.
			if n := text.StringWidthWithoutEscSequences(strings.TrimRight(line, "\n")); n > max(width, 80+3*(leastColumn+columnGap)) {
				t.Fatalf("%d wide of %d: %q", n, width, line)
			}
		}
		if lines := bytes.Count(b.Bytes(), []byte("\n")); lines != len(rows)+1 {
			t.Fatalf("%d lines for %d rows", lines, len(rows))
		}
	})
}
