package cli

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"
)

// display stands for a terminal while what is written goes another way there:
// through a pager, or drawn again and again.
type display struct {
	io.Writer
	width, height int
}

// onTerminal says whether a person sees what w gets.
func onTerminal(w io.Writer) bool {
	if _, ok := w.(*display); ok {
		return true
	}
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// size is the terminal's behind w, in characters; where it does not say, that
// of COLUMNS and LINES, or of terminals of old.
func (a *app) size(w io.Writer) (width, height int) {
	if d, ok := w.(*display); ok {
		return d.width, d.height
	}
	if f, ok := w.(*os.File); ok {
		width, height, _ = term.GetSize(int(f.Fd())) // zeros where it fails
	}
	said := func(variable string) int { n, _ := strconv.Atoi(a.Getenv(variable)); return max(0, n) }
	return cmp.Or(width, said("COLUMNS"), 80), cmp.Or(height, said("LINES"), 24)
}

var colourWords = []string{"auto", "always", "never"}

// colours says whether w may get any: as --color says, else only on a terminal
// and without NO_COLOR (no-color.org).
func (a *app) colours(w io.Writer) bool {
	switch a.color {
	case "always":
		return true
	case "never":
		return false
	}
	return onTerminal(w) && a.Getenv("NO_COLOR") == "" && a.Getenv("TERM") != "dumb"
}

// paint writes a text for w, in a colour where there are any; 0 is none.
func (a *app) paint(w io.Writer, c text.Color, s string) string {
	if s == "" || c == 0 || !a.colours(w) {
		return s
	}
	// Not the library's own switch: that one looks at the process, and not at w.
	return c.EscapeSeq() + s + text.Reset.EscapeSeq()
}

// wordColours are those of words that say how something is, other than the
// states of instances.
var wordColours = map[string]text.Color{
	"ready": text.FgGreen, "leader": text.FgGreen, "ok": text.FgGreen, "added": text.FgGreen,
	"draining": text.FgYellow, "changed": text.FgYellow, "expired": text.FgYellow, "revoked": text.FgYellow,
	"silent": text.FgRed, "lost": text.FgRed, "removed": text.FgRed, "denied": text.FgRed, "dead": text.FgRed, "disabled": text.FgRed,
}

// word writes such a word in its colour.
func (a *app) word(w io.Writer, s string) string { return a.paint(w, wordColours[s], s) }

// shortenFirst are the columns of a table that may lose their ends, in the order
// in which they do. Others follow, the rightmost first; never ids.
var shortenFirst = []string{
	"DESCRIPTION", "WHY", "NOTE", "DETAIL", "VALUES", "METRICS", "LABELS", "CAUSE", "HELD BY", "MESSAGE", "AFTER", "BEFORE", "UPSTREAMS", "OF",
	"COORDINATORS", "WHERE", "SLOTS", "EMAIL", "OWNER", "SCHEDULE", "HOST", "NAME",
}

// neverShort are columns by which things are named in other commands.
var neverShort = []string{"ID", "INSTANCE", "NODE", "BACKFILL", "AGENT", "USER", "TOKEN", "DATE", "STATE"}

const (
	leastColumn = 8 // of a column that was shortened
	columnGap   = 2
)

// fit shortens cells until rows fit the width.
func fit(header []string, rows [][]string, width int) {
	widths := make([]int, len(header))
	for i, h := range header {
		widths[i] = text.StringWidthWithoutEscSequences(h)
		for _, r := range rows {
			widths[i] = max(widths[i], text.StringWidthWithoutEscSequences(r[i]))
		}
	}
	total := columnGap * (len(header) - 1)
	for _, w := range widths {
		total += w
	}
	for _, i := range shortenOrder(header) {
		if total <= width {
			return
		}
		to := max(leastColumn, len(header[i]), widths[i]-(total-width))
		if to >= widths[i] {
			continue
		}
		total -= widths[i] - to
		for _, r := range rows {
			r[i] = text.Snip(r[i], to, "…")
		}
	}
}

func shortenOrder(header []string) []int {
	var order []int
	for _, name := range shortenFirst {
		if i := slices.Index(header, name); i > 0 {
			order = append(order, i)
		}
	}
	for i := len(header) - 1; i > 0; i-- { // the first says which row it is
		if !slices.Contains(order, i) && !slices.Contains(neverShort, header[i]) {
			order = append(order, i)
		}
	}
	return order
}

// grid writes rows below a header: aligned and as wide as the terminal for
// people, separated by tabs for a pipe.
func (a *app) grid(w io.Writer, header []string, rows [][]string) {
	oneLine := strings.NewReplacer("\t", " ", "\r", " ", "\n", " ")
	cells := make([][]string, len(rows))
	for i, r := range rows {
		cells[i] = make([]string, len(header))
		for k := range header {
			cells[i][k] = oneLine.Replace(r[k])
		}
	}
	if !onTerminal(w) {
		fmt.Fprintln(w, strings.Join(header, "\t"))
		for _, r := range cells {
			fmt.Fprintln(w, strings.Join(r, "\t"))
		}
		return
	}
	if !a.wide {
		width, _ := a.size(w)
		fit(header, cells, width)
	}
	widths := make([]int, len(header))
	for _, r := range append([][]string{header}, cells...) {
		for i, cell := range r {
			widths[i] = max(widths[i], text.StringWidthWithoutEscSequences(cell))
		}
	}
	line := func(r []string, c text.Color) {
		var b strings.Builder
		for i, cell := range r {
			b.WriteString(a.paint(w, c, cell))
			if i < len(r)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-text.StringWidthWithoutEscSequences(cell)+columnGap))
			}
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
	line(header, text.Bold)
	for _, r := range cells {
		line(r, 0)
	}
}

// page writes for people, through a pager where a person sees it and it is
// longer than the screen.
func (a *app) page(write func(io.Writer)) {
	out, isFile := a.Out.(*os.File)
	if !isFile || !onTerminal(out) || a.noPager {
		write(a.Out)
		return
	}
	var b bytes.Buffer
	width, height := a.size(out)
	write(&display{&b, width, height})
	if bytes.Count(b.Bytes(), []byte("\n")) < height || !a.pager(b.Bytes(), out) {
		_, _ = out.Write(b.Bytes())
	}
}

// pager shows a text with $PAGER, or else less; false: there is none.
func (a *app) pager(shown []byte, out *os.File) bool {
	command := a.Getenv("PAGER")
	if command == "" {
		if _, err := exec.LookPath("less"); err != nil {
			return false
		}
		command = "less"
	}
	if command == "cat" {
		return false
	}
	p := exec.Command("sh", "-c", command)
	p.Stdin, p.Stdout, p.Stderr = bytes.NewReader(shown), out, a.Err
	p.Env = os.Environ()
	if a.Getenv("LESS") == "" {
		p.Env = append(p.Env, "LESS=FRX") // ends at once where all fits, keeps colours, leaves the text on the screen
	}
	if p.Start() != nil {
		return false
	}
	_ = p.Wait() // whoever leaves the pager early has seen enough
	return true
}
