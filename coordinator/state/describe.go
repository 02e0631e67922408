package state

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"backfleet/pkg/calendar"
	"backfleet/pkg/wire"
)

// told is how what a command is about stands in a State, as JSON: a setting as
// it is, nodes by their versions. Empty: there is nothing, or it is not
// kept for the audit.
func (s *State) told(c *wire.Command, what subject) string {
	if b, ok := c.Body.(*wire.Command_ApplyNodes); ok {
		return s.versions(b.ApplyNodes)
	}
	if m := s.setting(what.single()); m != nil {
		return jsonText(m)
	}
	return ""
}

// toldAfter is told, of the State after the command. Of what people do to plans
// and agents it is what they asked for.
func (s *State) toldAfter(c *wire.Command, what subject) string {
	switch b := c.Body.(type) {
	case *wire.Command_Submit:
		return jsonText(b.Submit.Request)
	case *wire.Command_Operate:
		return jsonText(&wire.Operate{Kind: b.Operate.Kind, Upstream: b.Operate.Upstream, Priority: b.Operate.Priority})
	case *wire.Command_OperateAgents:
		return jsonText(&wire.OperateAgents{Kind: b.OperateAgents.Kind, DeadlineMs: b.OperateAgents.DeadlineMs})
	case *wire.Command_EditPlan:
		if p, ok := s.Plan(b.EditPlan.Plan); ok {
			_, line, _ := p.log.Root().Maximum()
			return jsonText(&wire.Operation{Detail: line.GetDetail()})
		}
	}
	return s.told(c, what)
}

// versions lists nodes as id@version, as many as are likely to be shown.
func (s *State) versions(a *wire.ApplyNodes) string {
	var list []string
	size := 0
	add := func(id string) {
		n, ok := s.Node(id)
		if !ok || size > maxAuditText {
			return
		}
		text := id + "@" + strconv.FormatUint(n.Version, 10)
		list, size = append(list, text), size+len(text)
	}
	for _, n := range a.Nodes {
		add(n.Id)
	}
	for _, id := range a.Remove {
		add(id)
	}
	if len(list) == 0 {
		return ""
	}
	return string(quoted(list))
}

// hidden are fields that are not written out: they may hold secrets. No field of
// bytes is either: those are hashes of secrets.
var hidden = map[protoreflect.FullName]bool{"backfleet.v1.Channel.headers": true}

// jsonText writes a message as JSON, what is set of it, in the order of its
// fields: the same text on every coordinator, which protojson does not promise.
func jsonText(m proto.Message) string {
	var b bytes.Buffer
	writeMessage(&b, m.ProtoReflect())
	return b.String()
}

func writeMessage(b *bytes.Buffer, m protoreflect.Message) {
	if r, ok := m.Interface().(*wire.DateRange); ok {
		b.Write(quoted(rangeText(r)))
		return
	}
	b.WriteByte('{')
	first := true
	for i, fields := 0, m.Descriptor().Fields(); i < fields.Len(); i++ {
		f := fields.Get(i)
		if !m.Has(f) || hidden[f.FullName()] || f.Kind() == protoreflect.BytesKind || f.IsMap() {
			continue
		}
		if !first {
			b.WriteByte(',')
		}
		first = false
		b.WriteString(`"` + f.JSONName() + `":`)
		if !f.IsList() {
			writeValue(b, f, m.Get(f))
			continue
		}
		b.WriteByte('[')
		for k, list := 0, m.Get(f).List(); k < list.Len(); k++ {
			if k > 0 {
				b.WriteByte(',')
			}
			writeValue(b, f, list.Get(k))
		}
		b.WriteByte(']')
	}
	b.WriteByte('}')
}

func writeValue(b *bytes.Buffer, f protoreflect.FieldDescriptor, v protoreflect.Value) {
	switch f.Kind() {
	case protoreflect.MessageKind:
		writeMessage(b, v.Message())
	case protoreflect.EnumKind:
		name := strconv.Itoa(int(v.Enum()))
		if d := f.Enum().Values().ByNumber(v.Enum()); d != nil {
			name = camel(string(d.Name()))
		}
		b.Write(quoted(name))
	default:
		b.Write(quoted(v.Interface()))
	}
}

func rangeText(r *wire.DateRange) string {
	text := calendar.Date(r.From).String()
	if r.To != r.From {
		text += ".." + calendar.Date(r.To).String()
	}
	return text
}

// camel turns the name of an enumeration's value into the API's form of words:
// SET_TO_SUCCESS is setToSuccess.
func camel(name string) string {
	words := strings.Split(strings.ToLower(name), "_")
	for i, w := range words[1:] {
		if w != "" {
			words[i+1] = strings.ToUpper(w[:1]) + w[1:]
		}
	}
	return strings.Join(words, "")
}

func quoted(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(v) != nil {
		return []byte("null") // no text, number or list of texts
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// cut shortens a text to so many bytes, and makes it UTF-8.
func cut(text string, most int) string {
	const dots = "…"
	if len(text) <= most && utf8.ValidString(text) {
		return text
	}
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= most {
		return text
	}
	end := most - len(dots)
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + dots
}
