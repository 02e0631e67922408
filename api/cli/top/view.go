package top

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
	"github.com/jedib0t/go-pretty/v6/text"

	v1 "backfleet/api/v1"
)

var (
	bold     = lipgloss.NewStyle().Bold(true)
	faint    = lipgloss.NewStyle().Faint(true)
	chosen   = lipgloss.NewStyle().Reverse(true)
	alarming = lipgloss.NewStyle().Foreground(lipgloss.Color("1"))
	tints    = map[v1.State]lipgloss.Style{
		v1.StateWaitingTime: lipgloss.NewStyle().Foreground(lipgloss.Color("3")), v1.StateRunning: lipgloss.NewStyle().Foreground(lipgloss.Color("6")),
		v1.StateSucceeded: lipgloss.NewStyle().Foreground(lipgloss.Color("2")), v1.StateFailed: alarming,
		v1.StateFrozen: lipgloss.NewStyle().Foreground(lipgloss.Color("4")),
	}
)

const keysText = "enter: open  esc: back  tab: next table  /: filter  p: pause  r: resume  s: stop  ?: help  q: quit"

const helpText = `up, down, k, j    select; pgup, pgdown, home and end go further
tab, shift+tab    the next table, or the one before
enter, right, l   open: a backfill's dates, a date's instances,
                  an instance's reason; an agent's attempts;
                  a resource group's agents
esc, left, h      back; first takes the filter away
/                 filter: enter keeps it, esc takes it away
p, r, s           pause, resume or stop the backfill, once
                  that is confirmed
q, ctrl+c         quit; nothing of what runs ends

Any key goes back.`

// View implements tea.Model.
func (m *Model) View() tea.View {
	v := tea.NewView(strings.Join(m.lines(), "\n"))
	v.AltScreen = true
	v.WindowTitle = "backfleet top"
	return v
}

// lines are as many as the terminal has, none longer than it is wide.
func (m *Model) lines() []string {
	if m.width < 1 || m.height < 1 {
		return nil
	}
	s := m.screen()
	var out []string
	add := func(style lipgloss.Style, line string) {
		if len(out) < m.height-1 {
			out = append(out, m.paint(style, text.Trim(line, m.width)))
		}
	}
	for _, line := range s.page.Head {
		for _, part := range wrapped(line, m.width) {
			add(bold, part)
		}
	}
	switch {
	case m.mode == helping:
		add(faint, "")
		for line := range strings.Lines(helpText) {
			add(lipgloss.NewStyle(), strings.TrimRight(line, "\n"))
		}
	case !s.loaded && s.err == nil:
		add(faint, "Looking …")
	default:
		out = append(out, m.panels(s, m.height-1-len(out))...)
	}
	for len(out) < m.height-1 {
		out = append(out, "")
	}
	return append(out[:m.height-1], m.footer(s))
}

// wrapped breaks a line at blanks.
func wrapped(line string, width int) []string {
	if text.StringWidthWithoutEscSequences(line) <= width {
		return []string{line}
	}
	parts := strings.Split(text.WrapSoft(line, width), "\n")
	for k := range parts {
		parts[k] = strings.TrimRight(parts[k], " ")
	}
	return parts
}

func (m *Model) footer(s *screen) string {
	line, style := keysText, faint
	switch {
	case m.mode == filtering:
		line, style = "/"+s.filter+"▏", bold
	case m.mode == confirming:
		line, style = fmt.Sprintf("%s %s? [y/N]", m.asking, m.target), bold
	case m.status != "":
		line, style = m.status, bold
	case s.err != nil:
		line, style = "Cannot be looked at: "+firstLine(s.err), alarming
	case s.filter != "":
		line = "filter: " + s.filter + "  (esc takes it away)  " + keysText
	}
	return m.paint(style, text.Trim(line, m.width))
}

func (m *Model) paint(style lipgloss.Style, line string) string {
	if m.plain || line == "" {
		return line
	}
	return style.Render(line)
}

// panels draws the tables into so many lines. Where there is not enough room for
// all, it is for the one that has the focus.
func (m *Model) panels(s *screen, height int) []string {
	const least = 3 // lines: title, header, row
	n := len(s.page.Panels)
	if height < least*n+n-1 {
		if n == 0 || height < least {
			return nil
		}
		return m.table(s, s.focus, height)
	}
	sizes, left := make([]int, n), height-(n-1)
	for k := range n { // the last gets what the others leave
		need := len(s.rows(k)) + 2
		most := max(least, left/(n-k))
		if k < n-1 {
			most = max(least, left/4)
		}
		if sizes[k] = max(least, min(need, most)); k == n-1 {
			sizes[k] = left
		}
		left -= sizes[k]
	}
	var out []string
	for k := range n {
		if k > 0 {
			out = append(out, "")
		}
		out = append(out, m.table(s, k, sizes[k])...)
	}
	return out
}

// table draws one table with its title.
func (m *Model) table(s *screen, k, height int) []string {
	p, rows, at := s.page.Panels[k], s.rows(k), s.selected(k)
	focus := k == s.focus
	title := fmt.Sprintf("%s (%d)", p.Title, len(rows))
	if all := len(p.Rows); all != len(rows) {
		title = fmt.Sprintf("%s (%d of %d)", p.Title, len(rows), all)
	}
	style := faint
	if focus {
		title, style = "▸ "+title, bold
	}
	out := []string{m.paint(style, text.Trim(title, m.width))}
	if len(p.Header) == 0 {
		return append(out, prose(rows, at, m.width, height-len(out))...)
	}
	widths := widths(p, rows, m.width)
	out = append(out, m.paint(faint, text.Trim(cells(p.Header, widths), m.width)))
	room := height - len(out)
	from := max(0, min(at-room/2, len(rows)-room))
	for i := from; i < len(rows) && i < from+room; i++ {
		line := text.Trim(cells(rows[i].Cells, widths), m.width)
		switch style, ok := tints[rows[i].State]; {
		case focus && i == at:
			line = m.paint(chosen, text.Pad(line, m.width, ' '))
		case ok:
			line = m.paint(style, line)
		}
		out = append(out, line)
	}
	return out
}

// prose draws rows that are lines of text, from the one that is selected on; what
// is too long goes on below it, beside the branches of its tree.
func prose(rows []Row, at, width, height int) []string {
	var out []string
	from := 0
	for i, r := range rows {
		if i == at {
			from = len(out)
		}
		line := r.Cells[0]
		body := strings.TrimLeft(line, " │├└─→")
		first := strings.TrimSuffix(line, body)
		then := strings.NewReplacer("├", "│", "└", " ", "─", " ", "→", " ").Replace(first)
		room := width - text.StringWidthWithoutEscSequences(first)
		if room < 10 { // too narrow to go on below
			out = append(out, text.Trim(line, width))
			continue
		}
		for k, part := range wrapped(flat(body), room) {
			if k > 0 {
				first = then
			}
			out = append(out, first+text.Trim(part, room))
		}
	}
	if at == len(rows)-1 { // all of the last one
		from = len(out)
	}
	from = max(0, min(from, len(out)-height))
	return out[from:min(len(out), from+height)]
}

const gap = 2 // blanks between columns

// widths fits columns into a width: the widest gives way first.
func widths(p Panel, rows []Row, width int) []int {
	out := make([]int, len(p.Header))
	for k, h := range p.Header {
		out[k] = text.StringWidthWithoutEscSequences(h)
	}
	for _, r := range rows {
		for k, c := range r.Cells {
			out[k] = max(out[k], text.StringWidthWithoutEscSequences(flat(c)))
		}
	}
	for {
		sum, widest := gap*(len(out)-1), 0
		for k, w := range out {
			sum += w
			if w >= out[widest] {
				widest = k
			}
		}
		if sum <= width || out[widest] <= 4 {
			return out
		}
		out[widest]--
	}
}

func cells(list []string, widths []int) string {
	var b strings.Builder
	for k, c := range list {
		if k > 0 {
			b.WriteString(strings.Repeat(" ", gap))
		}
		b.WriteString(text.Pad(clip(c, widths[k]), widths[k], ' '))
	}
	return strings.TrimRight(b.String(), " ")
}

// flat takes out of a text what is no part of one line.
func flat(s string) string {
	return strings.Join(strings.FieldsFunc(text.StripEscape(s), func(r rune) bool { return r < ' ' || r == 0x7f }), " ")
}

// clip shortens a cell, in one line.
func clip(s string, width int) string {
	s = flat(s)
	if text.StringWidthWithoutEscSequences(s) <= width {
		return s
	}
	return text.Trim(s, max(0, width-1)) + "…"
}
