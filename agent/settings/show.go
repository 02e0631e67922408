package settings

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Print writes what counts, a line each: the setting, its value and where that
// is from.
func (l *Loaded) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SETTING\tVALUE\tFROM")
	for _, e := range leaves(&l.Settings, l.whole) {
		origin, value := l.Origin(e.path), text(e.value)
		if value == "" {
			if value = "-"; origin == Default {
				value = cmp.Or(e.tag.Get("default"), "-")
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", e.path, value, origin)
	}
	return t.Flush()
}

// needed are the settings without which no agent runs; the example has them.
var needed = []string{"data", "coordinators", "groups"}

// Example writes a file with every setting. All but the needed ones are behind
// a "#" without a blank.
func Example(w io.Writer, whole bool) error {
	var b strings.Builder
	b.WriteString(`# Settings of a Backfleet agent: backfleet-agent --config FILE. Check them with
# backfleet-agent check-config --config FILE, which names what is wrong.
#
# Each can be given in the environment and by a flag as well, by the names that
# stand with it. A variable goes before this file, a flag before both; a list or
# a map takes the place of the whole one here. In variables, commas part the
# entries of lists and maps: a,b and name=value,name=value. Secrets are in files
# of their own, which are named here.
`)
	for _, e := range entries(&Settings{}, whole) {
		e.example(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (e entry) example(b *strings.Builder) {
	indent, off := strings.Repeat("  ", e.depth), "#"
	for _, name := range needed {
		if e.path == name {
			off = ""
		}
	}
	if e.depth == 0 {
		b.WriteString("\n")
	}
	for _, line := range wrapped(e.doc(), 76-len(indent)) {
		fmt.Fprintf(b, "%s# %s\n", indent, line)
	}
	if e.section() {
		fmt.Fprintf(b, "%s%s%s:\n", off, indent, e.name)
		return
	}
	if d := e.tag.Get("default"); d != "" {
		fmt.Fprintf(b, "%s# Default: %s.\n", indent, d)
	}
	fmt.Fprintf(b, "%s# %s, --%s\n", indent, e.variable(), e.flag())
	fmt.Fprintf(b, "%s%s%s: %s\n", off, indent, e.name, e.tag.Get("example"))
}

// wrapped breaks a text into lines.
func wrapped(text string, width int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return append(lines, line)
}
