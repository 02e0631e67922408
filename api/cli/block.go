package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	v1 "backfleet/api/v1"
)

// What a node of some type says beside the fields that all have, for people.

// typePairs are its names and values.
func typePairs(n v1.Node) []string {
	pairs := []string{"Data source", n.Source}
	add := func(more ...string) { pairs = append(pairs, more...) }
	if p := n.Python; p != nil {
		add("Interpreter", p.Interpreter, "Virtual environment", p.Venv, "Arguments", strings.Join(p.Arguments, " "))
	}
	if s := n.SQL; s != nil {
		add("In one transaction", yes(s.Transaction), "Rows shown", unlessZero(s.MaxRows))
	}
	if c := n.Check; c != nil {
		add("Expects", expectationText(c))
	}
	if h := n.HTTP; h != nil {
		add(requestPairs(h)...)
	}
	if i := n.Integration; i != nil {
		add(integrationPairs(i)...)
	}
	if l := n.Logical; l != nil {
		add("Table", l.Table, "Made from", l.SourceTable, "Partition", l.Partition+"="+l.PartitionValue)
	}
	return pairs
}

// showTexts writes what needs more than a line.
func (a *app) showTexts(w io.Writer, n v1.Node) {
	if h := n.HTTP; h != nil {
		for _, header := range h.Headers {
			fmt.Fprintf(w, "Header: %s: %s\n", header.Name, header.Value)
		}
		passage(w, "Body", h.Body)
	}
	if i := n.Integration; i != nil {
		if len(i.Columns) > 0 {
			var rows [][]string
			for _, c := range i.Columns {
				rows = append(rows, []string{c.Name, c.From, c.Type, c.Format, yes(c.Required)})
			}
			a.grid(w, []string{"COLUMN", "FROM", "TYPE", "FORMAT", "REQUIRED"}, rows)
		}
		if i.From != nil {
			passage(w, "Query", i.From.Query)
		}
	}
	if l := n.Logical; l != nil {
		a.showUnits(w, l)
	}
	passage(w, "Code", n.Code)
}

// unlessZero is a number; empty for 0.
func unlessZero[N int32 | int64 | uint32](n N) string {
	if n == 0 {
		return ""
	}
	return count(int64(n))
}

// span is a time of the protocol; empty for none.
func span(ms int64) string {
	if ms == 0 {
		return ""
	}
	return (time.Duration(ms) * time.Millisecond).String()
}

// passage writes a text of several lines below its name.
func passage(w io.Writer, name, text string) {
	if text != "" {
		fmt.Fprintf(w, "%s:\n%s\n", name, strings.TrimRight(text, "\n"))
	}
}

func expectationText(c *v1.Expectation) string {
	var all []string
	number := func(name string, n *int64) {
		if n != nil {
			all = append(all, name+" "+count(*n))
		}
	}
	text := func(name string, s *string) {
		if s != nil {
			all = append(all, fmt.Sprintf("%s %q", name, *s))
		}
	}
	number("rows", c.Rows)
	number("minRows", c.MinRows)
	number("maxRows", c.MaxRows)
	text("value", c.Value)
	text("min", c.Min)
	text("max", c.Max)
	return strings.Join(all, ", ")
}

func requestPairs(h *v1.HTTPRequest) []string {
	var expected []string
	for _, status := range h.Expect {
		expected = append(expected, count(status))
	}
	shown := ""
	if h.MaxResponseBytes > 0 {
		shown = sizeText(h.MaxResponseBytes)
	}
	return []string{"Request", h.Method + " " + h.URL, "Expects", strings.Join(expected, ", "), "Further tries", unlessZero(h.Retries),
		"First one after", span(h.BackoffMs), "Time of a try", span(h.TimeoutMs), "Response shown", shown}
}

func integrationPairs(i *v1.Integration) []string {
	from, to := i.From, i.To
	if from == nil {
		from = &v1.IntegrationSource{}
	}
	if to == nil {
		to = &v1.IntegrationTarget{}
	}
	rejected := ""
	if i.MaxRejected > 0 || i.RejectedFile != "" {
		rejected = strings.TrimSpace(count(i.MaxRejected) + " " + i.RejectedFile)
	}
	return []string{"From", fromText(from), "To", toText(to), "Partition", labelText(to.Partition), "Batch", unlessZero(i.Batch), "May be rejected", rejected}
}

func fromText(f *v1.IntegrationSource) string {
	if f.Source != "" {
		return "a query on " + f.Source
	}
	return f.Files + inBrackets(f.Format, quotedText("delimiter", f.Delimiter), word("no header", f.NoHeader), word("may be empty", f.MayBeEmpty), quotedText("null", f.NullText))
}

func toText(t *v1.IntegrationTarget) string {
	if t.Source != "" {
		return fmt.Sprintf("table %s on %s%s", t.Table, t.Source, inBrackets(word("made if it is not there", t.Create)))
	}
	return t.Folder + inBrackets(t.Format)
}

// word is a name for what is switched on.
func word(name string, on bool) string {
	if on {
		return name
	}
	return ""
}

func quotedText(name, s string) string {
	if s == "" {
		return ""
	}
	return fmt.Sprintf("%s %q", name, s)
}

// inBrackets lists what is not empty, behind a blank; nothing for nothing.
func inBrackets(words ...string) string {
	words = slices.DeleteFunc(words, func(s string) bool { return s == "" })
	if len(words) == 0 {
		return ""
	}
	return " (" + strings.Join(words, ", ") + ")"
}

func (a *app) showUnits(w io.Writer, l *v1.LogicalTable) {
	var rows [][]string
	for _, f := range l.Fields {
		units := []string{"all"} // the primary key
		if !f.PrimaryKey {
			units = units[:0]
			for _, u := range l.Units {
				if slices.Contains(u.Fields, f.Name) {
					units = append(units, u.ID)
				}
			}
		}
		rows = append(rows, []string{f.Name, f.Type, word("key", f.PrimaryKey), strings.Join(units, " "), f.Description})
	}
	a.grid(w, []string{"FIELD", "TYPE", "KEY", "UNITS", "DESCRIPTION"}, rows)
	for _, u := range l.Units {
		reads := ""
		if len(u.Upstreams) > 0 {
			reads = ", reads " + strings.Join(u.Upstreams, " ")
		}
		passage(w, "Unit "+u.ID+reads, u.Code)
	}
}
