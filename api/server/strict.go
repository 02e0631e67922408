package server

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"backfleet/pkg/fault"
)

// mostFindings is how many mistakes one answer names.
const mostFindings = 100

// deepest is how deep a request may be nested.
const deepest = 32

// checkJSON compares JSON with the type that it is to become: every field must
// be one of the type's, in upper and lower case alike, which encoding/json does
// not ask, and every value of its kind. All mistakes are told, each with its
// path.
func checkJSON(body []byte, t reflect.Type) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	k := &checker{d: d}
	switch err := k.value(t); {
	case err == io.EOF: // within a value
		return jsonError(io.ErrUnexpectedEOF)
	case err != nil:
		return jsonError(err)
	}
	if _, err := d.Token(); err != io.EOF {
		return fault.New(fault.Invalid, "expected the end of the request after its JSON object, at byte %d", d.InputOffset())
	}
	switch {
	case k.count == 0:
		return nil
	case k.count == 1:
		return fault.Field(k.found[0].Field, "%s", k.found[0].Message)
	}
	slices.SortStableFunc(k.found, func(a, b fault.Detail) int { return strings.Compare(a.Field, b.Field) })
	if k.count > len(k.found) {
		k.found = append(k.found, fault.Detail{Message: "and " + strconv.Itoa(k.count-len(k.found)) + " more"})
	}
	return fault.New(fault.Invalid, "the request has %d fields that do not exist or hold what they cannot", k.count).WithDetails(k.found...)
}

// checker goes through JSON once. An error of its methods is one of syntax.
type checker struct {
	d     *json.Decoder
	path  []byte
	depth int
	found []fault.Detail
	count int
}

func (k *checker) add(message string) {
	k.count++
	if len(k.found) < mostFindings {
		k.found = append(k.found, fault.Detail{Field: string(k.path), Message: message})
	}
}

// within checks the next value under a longer path.
func (k *checker) within(step string, t reflect.Type) error {
	if k.depth++; k.depth > deepest {
		return fault.New(fault.Invalid, "the request is nested more than %d deep: nothing in the API is", deepest)
	}
	n := len(k.path)
	if n > 0 && step[0] != '[' {
		k.path = append(k.path, '.')
	}
	k.path = append(k.path, step...)
	err := k.value(t)
	k.path = k.path[:n]
	k.depth--
	return err
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

// value checks the next value; nil: it has no place, and is passed over.
func (k *checker) value(t reflect.Type) error {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t != nil && reflect.PointerTo(t).Implements(unmarshaler) {
		return k.own(t)
	}
	token, err := k.d.Token()
	if err != nil {
		return err
	}
	switch token := token.(type) {
	case json.Delim:
		if token == '[' {
			return k.list(t)
		}
		return k.object(t)
	case string:
		k.kind(t, "string", t == nil || t.Kind() == reflect.String)
	case bool:
		k.kind(t, "bool", t == nil || t.Kind() == reflect.Bool)
	case json.Number:
		k.kind(t, "number "+clip(token.String()), t == nil || fits(token, t))
	}
	return nil
}

// own lets a type that reads its JSON itself do so.
func (k *checker) own(t reflect.Type) error {
	var raw json.RawMessage
	if err := k.d.Decode(&raw); err != nil {
		return err
	}
	if err := json.Unmarshal(raw, reflect.New(t).Interface()); err != nil {
		k.add(messageOf(jsonError(err)))
	}
	return nil
}

func (k *checker) kind(t reflect.Type, given string, fits bool) {
	if !fits {
		k.add("a JSON " + given + " was given: expected " + jsonKind(t))
	}
}

func fits(n json.Number, t reflect.Type) bool {
	var err error
	switch t.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		_, err = strconv.ParseInt(n.String(), 10, t.Bits())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		_, err = strconv.ParseUint(n.String(), 10, t.Bits())
	case reflect.Float32, reflect.Float64:
		_, err = strconv.ParseFloat(n.String(), t.Bits())
	default:
		return false
	}
	return err == nil
}

func (k *checker) list(t reflect.Type) error {
	var of reflect.Type
	if t != nil && t.Kind() == reflect.Slice {
		of = t.Elem()
	} else {
		k.kind(t, "array", t == nil)
	}
	for i := 0; k.d.More(); i++ {
		if err := k.within("["+strconv.Itoa(i)+"]", of); err != nil {
			return err
		}
	}
	_, err := k.d.Token()
	return err
}

func (k *checker) object(t reflect.Type) error {
	fields := jsonFields(t)
	if t != nil && t.Kind() != reflect.Struct {
		k.kind(t, "object", false)
		t = nil
	}
	for k.d.More() {
		token, err := k.d.Token()
		if err != nil {
			return err
		}
		name := token.(string) // the decoder lets nothing else be a name
		of := fields[name]
		if step := cmp.Or(clip(name), `""`); t != nil && of == nil {
			n := len(k.path)
			if n > 0 {
				step = "." + step
			}
			k.path = append(k.path, step...)
			k.add("there is no such field: expected " + names(fields))
			k.path = k.path[:n]
		}
		if err := k.within(cmp.Or(name, `""`), of); err != nil {
			return err
		}
	}
	_, err := k.d.Token()
	return err
}

var knownFields sync.Map // of each type: what jsonFields found

// jsonFields are the fields of a struct under their JSON names. Other types have
// none that JSON could give as an object.
func jsonFields(t reflect.Type) map[string]reflect.Type {
	if t == nil || t.Kind() != reflect.Struct {
		return nil
	}
	if known, ok := knownFields.Load(t); ok {
		return known.(map[string]reflect.Type)
	}
	fields := map[string]reflect.Type{}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name != "" {
			fields[name] = t.Field(i).Type
		}
	}
	knownFields.Store(t, fields)
	return fields
}

func names(fields map[string]reflect.Type) string {
	var all []string
	for name := range fields {
		all = append(all, name)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}
