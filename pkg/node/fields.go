package node

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// shape is what a mapping of the file format may hold. The reader, the JSON
// Schema (held to it by a test) and the messages all follow these tables.
type shape struct {
	fields []field
	later  []string // fields of the rules that are not built yet
}

type field struct {
	name string
	read func(d *document, v value)
}

var (
	nodeShape = shape{
		fields: []field{
			{"id", textField(func(n *wire.Node) *string { return &n.Id })},
			{"name", textField(func(n *wire.Node) *string { return &n.Name })},
			{"workspace", textField(func(n *wire.Node) *string { return &n.Workspace })},
			{"owner", textField(func(n *wire.Node) *string { return &n.Owner })},
			{"type", textField(func(n *wire.Node) *string { return &n.Type })},
			{"description", textField(func(n *wire.Node) *string { return &n.Description })},
			{"dialect", textField(func(n *wire.Node) *string { return &n.Dialect })},
			{"params", openField(func(n *wire.Node) *[]*wire.Assignment { return &n.Params })},
			{"schedule", (*document).schedule},
			{"baseline", func(d *document, v value) { d.mapping(v, baselineShape) }},
			{"resourceGroup", textField(func(n *wire.Node) *string { return &n.ResourceGroup })},
			{"upstreams", (*document).upstreams},
			{"dependsOnSelf", boolField(func(d *document) *bool { return &d.node.DependsOnSelf })},
			{"dependsOnChildren", boolField(func(d *document) *bool { return &d.node.DependsOnChildren })},
			{"mode", (*document).mode},
			{"timeout", durationField(func(n *wire.Node) *int64 { return &n.TimeoutMs })},
			{"retries", numberField(func(n *wire.Node) *int32 { return &n.Retries })},
			{"retryDelay", durationField(func(n *wire.Node) *int64 { return &n.RetryDelayMs })},
			{"environment", openField(func(n *wire.Node) *[]*wire.Assignment { return &n.Environment })},
			{"requires", valuesField(func(n *wire.Node) *[]*wire.Assignment { return &n.Requires })},
			{"slots", (*document).slots},
			{"user", textField(func(n *wire.Node) *string { return &n.User })},
			{"limits", (*document).limits},
			{"exitCodes", (*document).exitCodes},
			{"secrets", listField("names of variables", func(n *wire.Node) *[]string { return &n.Secrets })},
			{"notify", (*document).notify},
			{"source", textField(func(n *wire.Node) *string { return &n.Source })},
			{"code", inlineField(func(n *wire.Node) *string { return &n.Code })},
			{"codeFile", fileField(func(n *wire.Node) *string { return &n.Code })},
			{"python", blockField(func(n *wire.Node) { n.Python = &wire.Python{} }, pythonShape)},
			{"sql", blockField(func(n *wire.Node) { n.Sql = &wire.Sql{} }, sqlShape)},
			{"http", blockField(func(n *wire.Node) { n.Http = &wire.Http{} }, httpShape)},
			{"check", blockField(func(n *wire.Node) { n.Check = &wire.Check{} }, checkShape)},
			{"integration", blockField(func(n *wire.Node) { n.Integration = &wire.Integration{} }, integrationShape)},
			{"logical", blockField(func(n *wire.Node) { n.Logical = &wire.Logical{} }, logicalShape)},
		},
		later: []string{"crossCycle", "labels", "validFrom", "validTo"},
	}
	baselineShape = shape{fields: []field{
		{"name", textField(func(n *wire.Node) *string { return &n.Baseline })},
		{"priority", numberField(func(n *wire.Node) *int32 { return &n.Priority })},
	}}
	upstreamShape = shape{
		fields: []field{
			{"node", func(d *document, v value) { d.lastUpstream().Node, _ = d.text(v) }},
			{"dates", (*document).dates},
			{"previous", boolField(func(d *document) *bool { return &d.lastUpstream().Previous })},
			{"fields", listField("names of fields", func(n *wire.Node) *[]string { return &last(n.Upstreams).Fields })},
		},
		later: []string{"cycle"},
	}
	// valueFields are those of a value that is given when nodes are applied.
	valueFields = []string{"fromApply", "default"}
)

// document is one YAML document while it is read into a node.
type document struct {
	reader  *reader
	file    string
	node    *wire.Node
	places  map[string]place // by path in the spec
	details []fault.Detail
	data    []byte               // of the file
	texts   map[string]textStart // by path in the spec: those that are written line by line
}

// textStart is where a text of several lines begins.
type textStart struct {
	file         string
	line, indent int // before its first line, before its first column
}

// value is a YAML value and its path in the file.
type value struct {
	*yaml.Node
	path string
}

func (d *document) where(n *yaml.Node) string {
	return fmt.Sprintf("%s:%d:%d", d.file, n.Line, n.Column)
}

func (d *document) refuse(v value, format string, args ...any) {
	d.details = append(d.details, fault.Detail{Where: d.where(v.Node), Field: v.path, Message: fmt.Sprintf(format, args...)})
}

// at notes where a field of the spec was given and, of a text that is written
// line by line, where it begins.
func (d *document) at(field string, v value) {
	d.places[field] = place{where: d.where(v.Node), path: v.path}
	if v.Style&yaml.LiteralStyle == 0 {
		return
	}
	start := textStart{file: d.file, line: v.Line}
	lines := bytes.SplitN(d.data, []byte("\n"), v.Line+2)
	if first, _, _ := strings.Cut(v.Value, "\n"); v.Line < len(lines) {
		start.indent = max(0, len(strings.TrimSuffix(string(lines[v.Line]), "\r"))-len(first))
	}
	d.texts[field] = start
}

// mapping reads the fields of a mapping in the order of the file.
func (d *document) mapping(v value, s shape) {
	d.each(v, func(key string, at, v value) {
		i := slices.IndexFunc(s.fields, func(f field) bool { return f.name == key })
		switch {
		case i >= 0:
			d.at(v.path, v)
			s.fields[i].read(d, v)
		case slices.Contains(s.later, key):
			d.refuse(at, "it is not supported by this version: take it out")
		default:
			d.unknown(key, at, s.names())
		}
	})
}

func (d *document) unknown(key string, at value, known []string) {
	d.refuse(at, "there is no such field%s: expected %s", didYouMean(key, known), list(known))
}

func (s shape) names() []string {
	names := make([]string, len(s.fields))
	for i, f := range s.fields {
		names[i] = f.name
	}
	return names
}

// each walks over a mapping's keys and values.
func (d *document) each(v value, visit func(key string, at, v value)) {
	if v.Kind != yaml.MappingNode {
		d.refuse(v, "%s: expected a mapping (name: value)", d.kind(v))
		return
	}
	if !d.plain(v) {
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(v.Content); i += 2 {
		at := value{v.Content[i], v.path}
		key, ok := d.text(at)
		if !ok {
			continue
		}
		at.path = join(v.path, clip(key))
		if seen[key] {
			d.refuse(at, "it is given twice: expected one value")
			continue
		}
		seen[key] = true
		visit(key, at, value{v.Content[i+1], at.path})
	}
}

// kind says for people what stands at a place.
func (d *document) kind(v value) string {
	switch v.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	if v.ShortTag() == "!!null" {
		return "it has no value"
	}
	return strconv.Quote(clip(v.Value))
}

// plain refuses what makes a YAML file say something other than it seems to.
func (d *document) plain(v value) bool {
	switch {
	case v.Kind == yaml.AliasNode || v.Anchor != "":
		d.refuse(v, "anchors and aliases are not supported: write the value out")
	case v.Style&yaml.TaggedStyle != 0:
		d.refuse(v, "tags such as %s are not supported: take it out", clip(v.Tag))
	default:
		return true
	}
	return false
}

// text is the text of a scalar as it was written, so that 007 stays 007.
func (d *document) text(v value) (string, bool) {
	switch {
	case !d.plain(v):
	case v.Kind != yaml.ScalarNode:
		d.refuse(v, "%s: expected one value", d.kind(v))
	case v.ShortTag() == "!!null":
		d.refuse(v, `it has no value: give one, or leave the field out ("" is the empty text)`)
	default:
		return v.Value, true
	}
	return "", false
}

func textField(of func(*wire.Node) *string) func(*document, value) {
	return func(d *document, v value) {
		if s, ok := d.text(v); ok {
			*of(d.node) = s
		}
	}
}

func numberField[T int32 | int64 | uint32](of func(*wire.Node) *T) func(*document, value) {
	return func(d *document, v value) {
		if n, ok := wholeNumber[T](d, v); ok {
			*of(d.node) = n
		}
	}
}

func wholeNumber[T int32 | int64 | uint32](d *document, v value) (T, bool) {
	s, ok := d.text(v)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || int64(T(n)) != n {
		d.refuse(v, "%q: expected a whole number", clip(s))
		return 0, false
	}
	return T(n), true
}

func durationField(of func(*wire.Node) *int64) func(*document, value) {
	return func(d *document, v value) {
		if t, ok := d.duration(v, time.Millisecond); ok {
			*of(d.node) = t.Milliseconds()
		}
	}
}

// duration reads 90s, 10m or 1h30m, in whole units.
func (d *document) duration(v value, unit time.Duration) (time.Duration, bool) {
	s, ok := d.text(v)
	if !ok {
		return 0, false
	}
	t, err := time.ParseDuration(s)
	switch {
	case err != nil:
		d.refuse(v, "%q: expected a number and a unit, such as 90s, 10m or 1h30m", clip(s))
	case t%unit != 0:
		d.refuse(v, "%q: expected a whole number of %s", clip(s), map[time.Duration]string{time.Minute: "minutes", time.Millisecond: "milliseconds"}[unit])
	default:
		return t, true
	}
	return 0, false
}

func boolField(of func(*document) *bool) func(*document, value) {
	return func(d *document, v value) {
		s, ok := d.text(v)
		switch {
		case !ok:
		case s == "true" || s == "false":
			*of(d) = s == "true"
		default:
			d.refuse(v, "%q: expected true or false", clip(s))
		}
	}
}

// word reads one of some words; the number of the word in the list, from 0.
func (d *document) word(v value, words []string) (int, bool) {
	s, ok := d.text(v)
	if !ok {
		return 0, false
	}
	i := slices.Index(words, s)
	if i < 0 {
		d.refuse(v, "%q%s: expected %s", clip(s), didYouMean(s, words), list(words))
	}
	return i, i >= 0
}

// modes are the words of wire.Node_Mode, in order of its numbers.
var modes = []string{"normal", "dryRun", "paused"}

func (d *document) mode(v value) {
	if i, ok := d.word(v, modes); ok {
		d.node.Mode = wire.Node_Mode(i)
	}
}

func (d *document) upstreams(v value) {
	for _, u := range d.items(v, "node ids") {
		d.at(u.path, u)
		d.node.Upstreams = append(d.node.Upstreams, &wire.Upstream{})
		if u.Kind == yaml.MappingNode {
			d.mapping(u, upstreamShape)
		} else {
			d.lastUpstream().Node, _ = d.text(u)
		}
	}
}

// items gives the items of a list.
func (d *document) items(v value, of string) []value {
	if !d.plain(v) {
		return nil
	}
	if v.Kind != yaml.SequenceNode {
		d.refuse(v, "%s: expected a list of %s", d.kind(v), of)
		return nil
	}
	items := make([]value, len(v.Content))
	for k, item := range v.Content {
		items[k] = value{item, fmt.Sprintf("%s[%d]", v.path, k)}
	}
	return items
}

func (d *document) lastUpstream() *wire.Upstream { return last(d.node.Upstreams) }

func last[T any](list []T) T { return list[len(list)-1] }

// dates reads a window: -6..0, -1 or monthStart..0 (RULES R5.3).
func (d *document) dates(v value) {
	s, ok := d.text(v)
	if !ok {
		return
	}
	from, to, isRange := strings.Cut(s, "..")
	if !isRange {
		to = from
	}
	u := d.lastUpstream()
	u.Window, u.FromMonthStart = true, from == "monthStart"
	var errFrom error
	if !u.FromMonthStart {
		u.From, errFrom = days(from)
	}
	var errTo error
	if u.To, errTo = days(to); errFrom != nil || errTo != nil {
		d.refuse(v, "%q: expected days relative to the data timestamp, such as -6..0, -1 or monthStart..0", clip(s))
	}
}

func days(s string) (int32, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 32)
	return int32(n), err
}

// valuesField reads a mapping of names to values.
func valuesField(of func(*wire.Node) *[]*wire.Assignment) func(*document, value) {
	return assignField(of, func(d *document, v value) string {
		s, _ := d.text(v)
		return s
	})
}

// openField is valuesField for values that may also be given when the nodes are
// applied.
func openField(of func(*wire.Node) *[]*wire.Assignment) func(*document, value) {
	return assignField(of, func(d *document, v value) string {
		if v.Kind == yaml.MappingNode {
			return d.fromApply(v)
		}
		s, _ := d.text(v)
		return s
	})
}

func assignField(of func(*wire.Node) *[]*wire.Assignment, read func(*document, value) string) func(*document, value) {
	return func(d *document, v value) {
		d.each(v, func(key string, _, v value) {
			d.at(v.path, v)
			list := of(d.node)
			*list = append(*list, &wire.Assignment{Name: key, Value: read(d, v)})
		})
	}
}

// listField reads a list of texts.
func listField(what string, of func(*wire.Node) *[]string) func(*document, value) {
	return func(d *document, v value) {
		for _, item := range d.items(v, what) {
			d.at(item.path, item)
			s, _ := d.text(item)
			list := of(d.node)
			*list = append(*list, s)
		}
	}
}

// fromApply takes a value that is given when the nodes are applied, for what
// differs from place to place, such as folders: {fromApply: NAME, default: x}.
func (d *document) fromApply(v value) string {
	before := len(d.details)
	read := map[string]value{}
	d.each(v, func(key string, at, v value) {
		if !slices.Contains(valueFields, key) {
			d.unknown(key, at, valueFields)
			return
		}
		d.text(v)
		read[key] = v
	})
	asked, has := read["fromApply"]
	switch {
	case len(d.details) > before:
		return ""
	case !has:
		d.refuse(v, "fromApply is missing: expected the name of a value that is given when the nodes are applied")
		return ""
	}
	d.reader.asked[asked.Value] = true
	value, given := d.reader.values[asked.Value]
	if fallback, has := read["default"]; has && !given {
		value, given = fallback.Value, true
	}
	if !given {
		d.refuse(asked, "no value was given for %s: apply the nodes with --env %s=…", clip(asked.Value), clip(asked.Value))
	}
	return value
}

// fileEnd follows the name of a field that may be in a file of its own: code and
// codeFile.
const fileEnd = "File"

// inlineField reads a text that stands in the YAML file.
func inlineField(of func(*wire.Node) *string) func(*document, value) {
	return func(d *document, v value) {
		if d.once(v, v.path, v.path+fileEnd) {
			*of(d.node), _ = d.text(v)
		}
	}
}

// once refuses a text and its file together.
func (d *document) once(v value, text, other string) bool {
	if _, both := d.places[other]; !both {
		return true
	}
	name := text[strings.LastIndexByte(text, '.')+1:]
	d.refuse(v, "%s and %s are both given: expected one of them", name, name+fileEnd)
	return false
}

// fileField reads a text from a file beside the YAML file.
func fileField(of func(*wire.Node) *string) func(*document, value) {
	return func(d *document, v value) {
		text := strings.TrimSuffix(v.path, fileEnd)
		if !d.once(v, text, text) {
			return
		}
		s, ok := d.text(v)
		if !ok {
			return
		}
		name := path.Join(path.Dir(d.file), s)
		if path.IsAbs(s) || !fs.ValidPath(name) {
			d.refuse(v, "%q leaves the folder that is applied: expected a path inside it, relative to this file", clip(s))
			return
		}
		data, err := readLimited(d.reader.fsys, name, MaxCode)
		if err != nil {
			d.refuse(v, "%s cannot be read: %v", clip(name), err)
			return
		}
		d.at(text, v)
		*of(d.node), d.texts[text] = string(data), textStart{file: name}
	}
}
