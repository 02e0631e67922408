package channel

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"text/template/parse"

	"backfleet/pkg/fault"
	"backfleet/pkg/nearest"
	"backfleet/pkg/wire"
)

// Version is of the form of Data; it grows when a field changes its meaning.
const Version = 1

// Data is what a notification says: the document that a webhook gets, and what
// templates are made with.
type Data struct {
	Version  int      `json:"version"`
	Type     string   `json:"type"` // failure, success, finished, stuck or test
	ID       string   `json:"id"`   // the same for every delivery of it
	Time     string   `json:"time"` // when it was raised, RFC 3339 in UTC
	Channel  string   `json:"channel"`
	Text     string   `json:"text"` // one sentence
	Backfill Backfill `json:"backfill,omitzero"`
	Node     string   `json:"node,omitempty"`     // of a node's subscription
	Instance string   `json:"instance,omitempty"` // the first that it is about
	Count    uint64   `json:"count,omitempty"`    // of instances that it is about
}

// Backfill is how a backfill, or a plan of the schedule, stands when the
// notification is delivered.
type Backfill struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	State  string `json:"state"`
	Counts Counts `json:"counts"`
	URL    string `json:"url,omitempty"` // of its page, where the coordinators know their address
}

// Counts are of a backfill's instances, by state.
type Counts struct {
	Total     int64 `json:"total"`
	Running   int64 `json:"running"`
	Succeeded int64 `json:"succeeded"`
	Failed    int64 `json:"failed"`
	Frozen    int64 `json:"frozen"`
	Waiting   int64 `json:"waiting"`
}

// Sample is what templates are checked against.
func Sample() Data {
	return Data{
		Version: Version, Type: "failure", ID: "n12-mid3k2", Time: "2026-03-10T08:30:00Z", Channel: "ops",
		Text: `b12 "orders, March": 2 instances have failed, first dwd_orders of 2026-03-02`,
		Backfill: Backfill{
			ID: "b12", Name: `orders, March`, State: "failed", URL: "https://backfleet.example/backfills/b12",
			Counts: Counts{Total: 31, Succeeded: 27, Failed: 2, Waiting: 2},
		},
		Node: "dwd_orders", Instance: "b12.3", Count: 2,
	}
}

const (
	mostOutput  = 64 << 10 // bytes of what a template makes
	mostSubject = 250
)

// functions are all that a template may call. None of them, and none of what
// else a template may have, takes longer than what it is given is long, and none
// makes more than mostOutput: so no template is slow or large. That is why print
// and printf are not among them, and why there are no loops.
var functions = template.FuncMap{
	"json":  jsonText,
	"html":  func(s string) (string, error) { return bounded(html.EscapeString(s)) },
	"upper": func(s string) (string, error) { return bounded(strings.ToUpper(s)) },
	"lower": func(s string) (string, error) { return bounded(strings.ToLower(s)) },
}

var builtin = []string{"and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "len"}

var errLong = fmt.Errorf("it makes more than %d bytes", mostOutput)

func bounded(s string) (string, error) {
	if len(s) > mostOutput {
		return "", errLong
	}
	return s, nil
}

func jsonText(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "", err
	}
	return bounded(strings.TrimSuffix(b.String(), "\n"))
}

// Templates are a channel's, ready to be used; without one of its own, the
// standard one.
type Templates struct {
	subject, body *template.Template // nil: the standard one
}

// ParseTemplates reads a channel's templates and tries them on a sample. The
// error has a fault.Detail for each finding, with Where "line 1, column 9".
func ParseTemplates(c *wire.Channel) (*Templates, error) {
	t := &Templates{}
	var found []fault.Detail
	for _, one := range []struct {
		field, text string
		to          **template.Template
	}{{"subject", c.GetSubject(), &t.subject}, {"body", c.GetBody(), &t.body}} {
		if one.text == "" {
			continue
		}
		made, detail := compile(one.field, one.text)
		if detail != nil {
			found = append(found, *detail)
		}
		*one.to = made
	}
	if len(found) > 0 {
		return nil, problems(fmt.Sprintf("channel %q", clip(c.GetName())), found)
	}
	return t, nil
}

func compile(field, text string) (*template.Template, *fault.Detail) {
	tree := parse.New(field)
	tree.Mode = parse.SkipFuncCheck
	set := map[string]*parse.Tree{}
	if _, err := tree.Parse(text, "", "", set); err != nil {
		return nil, syntax(field, text, err)
	}
	if len(set) > 1 {
		return nil, &fault.Detail{Field: field, Where: "line 1, column 1", Message: "templates within it are not supported: take define and block out"}
	}
	w := &walker{tree: tree, field: field}
	w.list(tree.Root)
	if w.found != nil {
		return nil, w.found
	}
	t, err := template.New(field).Funcs(functions).AddParseTree(field, tree)
	if err != nil {
		return nil, &fault.Detail{Field: field, Where: "line 1, column 1", Message: err.Error()}
	}
	for _, sample := range []Data{Sample(), {}} {
		if _, err := render(t, &sample, mostOutput); err != nil {
			return nil, execution(field, err)
		}
	}
	return t, nil
}

var (
	lineOf   = regexp.MustCompile(`^template: [a-z]+:(\d+): (?s:(.*))$`)
	columnOf = regexp.MustCompile(`^template: [a-z]+:(\d+):(\d+): (?:executing "[a-z]+" at )?(?s:(.*))$`)
)

// syntax takes the line out of what the parser says; the column is that of the
// last action that begins there.
func syntax(field, text string, err error) *fault.Detail {
	d := &fault.Detail{Field: field, Where: "line 1, column 1", Message: err.Error()}
	if m := lineOf.FindStringSubmatch(d.Message); m != nil {
		line, _ := strconv.Atoi(m[1])
		lines := strings.Split(text, "\n")
		column := strings.LastIndex(lines[min(line, len(lines))-1], "{{")
		d.Where, d.Message = fmt.Sprintf("line %d, column %d", line, max(0, column)+1), m[2]
	}
	return d
}

func execution(field string, err error) *fault.Detail {
	d := &fault.Detail{Field: field, Where: "line 1, column 1", Message: err.Error()}
	if m := columnOf.FindStringSubmatch(d.Message); m != nil {
		column, _ := strconv.Atoi(m[2])
		d.Where, d.Message = fmt.Sprintf("line %s, column %d", m[1], column+1), m[3]
	}
	if errors.Is(err, errLong) {
		d.Message = errLong.Error() + ": expected less"
	}
	return d
}

// walker looks for the first thing in a template that none may have.
type walker struct {
	tree  *parse.Tree
	field string
	found *fault.Detail
}

func (w *walker) refuse(n parse.Node, format string, args ...any) {
	if w.found != nil {
		return
	}
	w.found = &fault.Detail{Field: w.field, Where: "line 1, column 1", Message: fmt.Sprintf(format, args...)}
	place, _ := w.tree.ErrorContext(n)
	if parts := strings.Split(place, ":"); len(parts) >= 3 {
		column, _ := strconv.Atoi(parts[2])
		w.found.Where = fmt.Sprintf("line %s, column %d", parts[1], column+1)
	}
}

func (w *walker) list(l *parse.ListNode) {
	if l == nil {
		return
	}
	for _, n := range l.Nodes {
		w.node(n)
	}
}

func (w *walker) node(n parse.Node) {
	switch n := n.(type) {
	case *parse.IfNode:
		w.branch(&n.BranchNode)
	case *parse.WithNode:
		w.branch(&n.BranchNode)
	case *parse.RangeNode:
		w.refuse(n, "there are no loops in templates: take range out")
	case *parse.TemplateNode:
		w.refuse(n, "templates within it are not supported: take template out")
	case *parse.ActionNode:
		w.node(n.Pipe)
	case *parse.PipeNode:
		for _, c := range n.Cmds {
			for _, a := range c.Args {
				w.node(a)
			}
		}
	case *parse.ChainNode:
		w.node(n.Node)
	case *parse.IdentifierNode:
		w.function(n)
	}
}

func (w *walker) branch(b *parse.BranchNode) {
	w.node(b.Pipe)
	w.list(b.List)
	w.list(b.ElseList)
}

func (w *walker) function(n *parse.IdentifierNode) {
	known := slices.Clone(builtin)
	for name := range functions {
		known = append(known, name)
	}
	slices.Sort(known)
	if !slices.Contains(known, n.Ident) {
		w.refuse(n, "there is no function %q%s: expected one of %s, or a field such as .Text", clip(n.Ident), nearest.Hint(n.Ident, known), strings.Join(known, ", "))
	}
}

// limited takes as much as is allowed.
type limited struct {
	bytes.Buffer
	most int
}

func (l *limited) Write(b []byte) (int, error) {
	if l.Len()+len(b) > l.most {
		return 0, errLong
	}
	return l.Buffer.Write(b)
}

func render(t *template.Template, d *Data, most int) (string, error) {
	out := &limited{most: most}
	if err := t.Execute(out, d); err != nil {
		return "", err
	}
	return out.String(), nil
}

// Subject is what an e-mail is about: one line, cut where it is long.
func (t *Templates) Subject(d *Data) (string, error) {
	text := "[backfleet] " + d.Text
	if t.subject != nil {
		var err error
		if text, err = render(t.subject, d, mostOutput); err != nil {
			return "", fault.Wrap(err, fault.Invalid, "the template of the subject cannot be used on this notification")
		}
	}
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }), " ")
	if len(text) > mostSubject {
		text = strings.ToValidUTF8(text[:mostSubject], "") + "…"
	}
	return text, nil
}

// Body is what is sent: of a webhook, without a template, the document Data.
func (t *Templates) Body(kind wire.Channel_Kind, d *Data) (string, error) {
	switch {
	case t.body != nil:
		text, err := render(t.body, d, mostOutput)
		if err != nil {
			return "", fault.Wrap(err, fault.Invalid, "the template of the body cannot be used on this notification")
		}
		return text, nil
	case kind == wire.Channel_WEBHOOK:
		return jsonText(d)
	}
	return standardText(d), nil
}

// standardText is an e-mail for people who write no template.
func standardText(d *Data) string {
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-10s%s\n", name, value)
		}
	}
	b.WriteString(d.Text + ".\n\n")
	line("Event", d.Type)
	if p := d.Backfill; p.ID != "" {
		line("Backfill", p.ID+" "+p.Name)
		line("State", p.State)
		line("Instances", fmt.Sprintf("%d: %d succeeded, %d failed, %d running, %d waiting, %d frozen",
			p.Counts.Total, p.Counts.Succeeded, p.Counts.Failed, p.Counts.Running, p.Counts.Waiting, p.Counts.Frozen))
	}
	line("Node", d.Node)
	line("Instance", d.Instance)
	line("Time", d.Time)
	line("Page", d.Backfill.URL)
	return b.String()
}
