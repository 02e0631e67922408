package server

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"

	"backfleet/pkg/fault"
)

// selection is which fields of an answer are wanted, and of each which within it;
// none: all.
type selection map[string]selection

// selectFields reads fields=a,b.c against the type that is answered. In an answer
// with items the fields are those of an item, and everything else of the page
// stays.
func selectFields(text string, t reflect.Type) (selection, error) {
	wanted := selection{}
	for path := range strings.SplitSeq(text, ",") {
		if path = strings.TrimSpace(path); path == "" {
			continue
		}
		if err := wanted.add(path, t); err != nil {
			return nil, err
		}
	}
	return wanted, nil
}

func (s selection) add(path string, t reflect.Type) error {
	first, rest, deeper := strings.Cut(path, ".")
	fields := jsonFields(object(t))
	of, ok := fields[first]
	if !ok {
		return fault.Field("fields", "there is no field %q here: expected %s", clip(first), listOf(sortedKeys(fields), "none, it has no fields of its own"))
	}
	inner, known := s[first]
	switch {
	case !deeper:
		s[first] = nil // all of it
		return nil
	case known && inner == nil:
		return (selection{}).add(rest, of) // all of it is wanted already
	case inner == nil:
		inner = selection{}
		s[first] = inner
	}
	return inner.add(rest, of)
}

// object is what a list or pointer is of.
func object(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t
}

// prune leaves of an answer's JSON what is wanted.
func prune(body []byte, text string, t reflect.Type) ([]byte, error) {
	var out bytes.Buffer
	items, paged := jsonFields(object(t))["items"]
	if paged {
		t = items
	}
	wanted, err := selectFields(text, t)
	if err != nil || len(wanted) == 0 {
		return body, err
	}
	if paged {
		wanted = selection{"items": wanted, others: nil}
	}
	if err := wanted.copy(&out, body); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// others stands for all fields that are not named.
const others = ""

// copy writes what is wanted of a value.
func (s selection) copy(out *bytes.Buffer, value []byte) error {
	d := json.NewDecoder(bytes.NewReader(value))
	opening, err := d.Token()
	if err != nil {
		return err
	}
	switch opening {
	case json.Delim('['):
		return s.copyList(out, d)
	case json.Delim('{'):
		return s.copyObject(out, d)
	default:
		out.Write(value) // null
		return nil
	}
}

func (s selection) copyList(out *bytes.Buffer, d *json.Decoder) error {
	out.WriteByte('[')
	for n := 0; d.More(); n++ {
		if n > 0 {
			out.WriteByte(',')
		}
		var one json.RawMessage
		if err := d.Decode(&one); err != nil {
			return err
		}
		if err := s.copy(out, one); err != nil {
			return err
		}
	}
	out.WriteByte(']')
	return nil
}

func (s selection) copyObject(out *bytes.Buffer, d *json.Decoder) error {
	_, all := s[others]
	out.WriteByte('{')
	for n := 0; d.More(); {
		name, err := d.Token()
		if err != nil {
			return err
		}
		var one json.RawMessage
		if err := d.Decode(&one); err != nil {
			return err
		}
		inner, wanted := s[name.(string)]
		if !wanted && !all {
			continue
		}
		if n++; n > 1 {
			out.WriteByte(',')
		}
		quoted, _ := json.Marshal(name) // a name of the contract
		out.Write(quoted)
		out.WriteByte(':')
		if len(inner) == 0 {
			out.Write(one)
			continue
		}
		if err := inner.copy(out, one); err != nil {
			return err
		}
	}
	out.WriteByte('}')
	return nil
}
