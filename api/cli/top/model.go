package top

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	v1 "backfleet/api/v1"
)

// How often things are looked at: at most so often, however much happens, and
// at least so often, if no event comes.
const (
	shortest = 500 * time.Millisecond
	longest  = 2 * time.Second
)

// Changed is the message that something happened.
type Changed struct{}

// loaded is what a look found.
type loaded struct {
	screen int // its number, for others may be shown by then
	page   Page
	err    error
}

// rested comes when the shortest time after a look has passed, late when the
// longest has.
type (
	rested struct{ look int }
	late   struct{ look int }
)

// steered is the answer to an operation.
type steered struct {
	text string
	err  error
}

// screen is one step of the way down.
type screen struct {
	number   int
	backfill string // that is steered from here; empty: the selected one
	load     func(context.Context) (Page, error)
	page     Page
	err      error
	loaded   bool
	focus    int
	filter   string
	at       map[int]string // the selected row of each panel, by id
	name     string
}

type mode uint8

const (
	moving mode = iota
	filtering
	confirming
	helping
)

// Model is the state of the view.
type Model struct {
	ctx           context.Context
	source        Source
	now           func() time.Time
	width, height int
	plain         bool

	way     []*screen // the last is shown
	numbers int
	mode    mode
	looks   int // that were begun
	under   bool
	dirty   bool
	ready   bool // the shortest time has passed
	status  string
	asking  v1.BackfillOperation // that is to be confirmed
	target  string
}

// Options are what a model needs.
type Options struct {
	Source Source
	Now    func() time.Time
	Plain  bool // no colours
}

// New makes a model that shows everything.
func New(ctx context.Context, o Options) *Model {
	m := &Model{ctx: ctx, source: o.Source, now: o.Now, plain: o.Plain}
	m.push(&screen{name: "all", focus: 2, load: func(ctx context.Context) (Page, error) {
		s, err := Load(ctx, m.source, m.now())
		if err != nil {
			return Page{}, err
		}
		return s.Page(), nil
	}})
	return m
}

func (m *Model) push(s *screen) {
	m.numbers++
	s.number, s.at = m.numbers, map[int]string{}
	m.way = append(m.way, s)
}

func (m *Model) screen() *screen { return m.way[len(m.way)-1] }

// Init implements tea.Model.
func (m *Model) Init() tea.Cmd { return m.look() }

// look loads what is shown.
func (m *Model) look() tea.Cmd {
	s, ctx := m.screen(), m.ctx
	m.looks++
	m.under, m.dirty, m.ready = true, false, false
	return func() tea.Msg {
		p, err := s.load(ctx)
		return loaded{s.number, p, err}
	}
}

// Update implements tea.Model.
func (m *Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case loaded:
		return m, m.took(msg)
	case Changed:
		if m.dirty = true; m.ready && !m.under {
			return m, m.look()
		}
	case rested:
		if msg.look == m.looks && !m.under {
			if m.ready = true; m.dirty {
				return m, m.look()
			}
		}
	case late:
		if msg.look == m.looks && !m.under {
			return m, m.look()
		}
	case steered:
		m.status = msg.text
		if msg.err != nil {
			m.status = "Refused: " + firstLine(msg.err)
		}
		m.dirty = true
		if !m.under {
			return m, m.look()
		}
	case tea.KeyPressMsg:
		return m, m.key(msg.String())
	case tea.PasteMsg:
		if m.mode == filtering {
			m.screen().filter += strings.ReplaceAll(msg.Content, "\n", " ")
		}
	}
	return m, nil
}

// took keeps what a look found, and sees to the next.
func (m *Model) took(msg loaded) tea.Cmd {
	m.under = false
	s := m.screen()
	if msg.screen != s.number {
		return m.look()
	}
	if s.err = msg.err; msg.err == nil {
		s.page, s.loaded = msg.page, true
		s.focus = min(s.focus, max(0, len(s.page.Panels)-1))
	}
	look := m.looks
	return tea.Batch(
		tea.Tick(shortest, func(time.Time) tea.Msg { return rested{look} }),
		tea.Tick(longest, func(time.Time) tea.Msg { return late{look} }),
	)
}

func (m *Model) key(key string) tea.Cmd {
	if key == "ctrl+c" {
		return tea.Quit
	}
	switch m.mode {
	case filtering:
		m.filterKey(key)
		return nil
	case confirming:
		m.mode = moving
		if key == "y" || key == "Y" {
			return m.operate()
		}
		m.status = "Nothing was done."
		return nil
	case helping:
		m.mode = moving
		return nil
	}
	m.status = ""
	switch key {
	case "q":
		return tea.Quit
	case "?":
		m.mode = helping
	case "/":
		m.mode = filtering
	case "tab", "shift+tab":
		s := m.screen()
		if n := len(s.page.Panels); n > 0 {
			step := 1
			if key == "shift+tab" {
				step = n - 1
			}
			s.focus = (s.focus + step) % n
		}
	case "up", "k":
		m.move(-1)
	case "down", "j":
		m.move(1)
	case "pgup", "ctrl+b":
		m.move(-10)
	case "pgdown", "ctrl+f", "space":
		m.move(10)
	case "home", "g":
		m.move(-mostRows)
	case "end", "G":
		m.move(mostRows)
	case "enter", "right", "l":
		return m.down()
	case "esc", "alt+esc", "left", "h", "backspace":
		return m.up()
	case "p":
		m.ask(v1.BackfillOperationPause)
	case "r":
		m.ask(v1.BackfillOperationResume)
	case "s":
		m.ask(v1.BackfillOperationStop)
	}
	return nil
}

func (m *Model) filterKey(key string) {
	s := m.screen()
	switch key {
	case "enter":
		m.mode = moving
	case "esc":
		m.mode, s.filter = moving, ""
	case "backspace":
		if r := []rune(s.filter); len(r) > 0 {
			s.filter = string(r[:len(r)-1])
		}
	case "space":
		s.filter += " "
	default:
		if len([]rune(key)) == 1 {
			s.filter += key
		}
	}
}

// rows are those of a panel that the filter leaves.
func (s *screen) rows(panel int) []Row {
	if panel >= len(s.page.Panels) {
		return nil
	}
	all := s.page.Panels[panel].Rows
	if s.filter == "" || panel != s.focus {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(r Row) bool {
		return !strings.Contains(strings.ToLower(strings.Join(r.Cells, " ")), strings.ToLower(s.filter))
	})
}

// selected is the place of the selected row of a panel, -1 without any.
func (s *screen) selected(panel int) int {
	rows := s.rows(panel)
	if len(rows) == 0 {
		return -1
	}
	return max(0, slices.IndexFunc(rows, func(r Row) bool { return r.ID == s.at[panel] }))
}

func (m *Model) move(by int) {
	s := m.screen()
	if rows := s.rows(s.focus); len(rows) > 0 {
		s.at[s.focus] = rows[min(max(s.selected(s.focus)+by, 0), len(rows)-1)].ID
	}
}

// down goes on to what is selected.
func (m *Model) down() tea.Cmd {
	s := m.screen()
	k := s.selected(s.focus)
	if k < 0 {
		return nil
	}
	id := s.rows(s.focus)[k].ID
	next := m.next(s, id)
	if next == nil {
		return nil
	}
	m.push(next)
	if m.under {
		return nil // what is under way is followed by a look at this
	}
	return m.look()
}

func (m *Model) next(s *screen, id string) *screen {
	switch {
	case s.name == "all" && s.focus == 0:
		return &screen{name: "group", load: func(ctx context.Context) (Page, error) { return crew(ctx, m.source, id) }}
	case s.name == "all" && s.focus == 1, s.name == "group":
		return &screen{name: "agent", load: func(ctx context.Context) (Page, error) { return attempts(ctx, m.source, id) }}
	case s.name == "all":
		return &screen{name: "backfill", backfill: id, load: func(ctx context.Context) (Page, error) { return dates(ctx, m.source, id) }}
	case s.name == "backfill":
		return &screen{name: "date", backfill: s.backfill, load: func(ctx context.Context) (Page, error) { return instances(ctx, m.source, s.backfill, id) }}
	case s.name == "date", s.name == "agent":
		backfill, _, _ := strings.Cut(id, ".")
		return &screen{name: "instance", backfill: backfill, load: func(ctx context.Context) (Page, error) { return reason(ctx, m.source, id, m.now()) }}
	}
	return nil
}

// up goes back, and first takes the filter away.
func (m *Model) up() tea.Cmd {
	s := m.screen()
	if s.filter != "" {
		s.filter = ""
		return nil
	}
	if len(m.way) == 1 {
		return nil
	}
	m.way = m.way[:len(m.way)-1]
	if m.under {
		return nil
	}
	return m.look()
}

// ask wants an operation confirmed.
func (m *Model) ask(o v1.BackfillOperation) {
	s := m.screen()
	m.target = s.backfill
	if s.name == "all" && s.focus == 2 {
		if k := s.selected(2); k >= 0 {
			m.target = s.rows(2)[k].ID
		}
	}
	if m.target == "" {
		m.status = "Choose a backfill first (tab)."
		return
	}
	m.asking, m.mode = o, confirming
}

func (m *Model) operate() tea.Cmd {
	ctx, o, target := m.ctx, m.asking, m.target
	m.status = fmt.Sprintf("%s %s …", o, target)
	return func() tea.Msg {
		_, err := m.source.Operate(ctx, v1.BackfillsOperation{Operation: o, Backfills: []v1.BackfillID{target}})
		return steered{fmt.Sprintf("%s: %s", target, done[o]), err}
	}
}

var done = map[v1.BackfillOperation]string{
	v1.BackfillOperationPause: "paused", v1.BackfillOperationResume: "resumed", v1.BackfillOperationStop: "stopped",
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
