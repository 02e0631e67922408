package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	v1 "backfleet/api/v1"
	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
)

// decode reads the request's JSON strictly: an unknown field is refused by its
// path, never ignored, for a misspelt option would change what runs.
func decode[T any](c *gin.Context) (T, error) {
	var value T
	body := c.MustGet(keyBody).([]byte)
	if len(bytes.TrimSpace(body)) == 0 {
		return value, fault.New(fault.Invalid, "the request has no body: expected a JSON object")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(&value); err != nil {
		return value, jsonError(err)
	}
	if _, err := d.Token(); err != io.EOF {
		return value, fault.New(fault.Invalid, "expected the end of the request after its JSON object, at byte %d", d.InputOffset())
	}
	var tree any
	if err := json.Unmarshal(body, &tree); err != nil {
		return value, jsonError(err)
	}
	if unknown := unknownFields(nil, tree, reflect.TypeFor[T](), ""); len(unknown) > 0 {
		slices.SortFunc(unknown, func(a, b fault.Detail) int { return strings.Compare(a.Field, b.Field) })
		e := fault.Field(unknown[0].Field, "%s", unknown[0].Message)
		if len(unknown) > 1 {
			e = fault.New(fault.Invalid, "the request has %d fields that do not exist", len(unknown)).WithDetails(unknown...)
		}
		return value, e
	}
	return value, nil
}

// decodeOptional is decode for a body that may be left out.
func decodeOptional[T any](c *gin.Context) (value T, err error) {
	if len(bytes.TrimSpace(c.MustGet(keyBody).([]byte))) == 0 {
		return value, nil
	}
	return decode[T](c)
}

// messageOf is an error's text without the name of its field, for where the
// field has a longer name.
func messageOf(err error) string {
	var e *fault.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}

func jsonError(err error) error {
	var kind *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &kind):
		return fault.Field(kind.Field, "a JSON %s was given: expected %s", kind.Value, jsonKind(kind.Type))
	case errors.As(err, &syntax):
		return fault.New(fault.Invalid, "the request is not JSON: %s at byte %d", syntax.Error(), syntax.Offset)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fault.New(fault.Invalid, "the request is not JSON: it ends too early")
	}
	return fault.New(fault.Invalid, "the request cannot be read: %s", err)
}

// jsonKind names a Go type as someone who writes JSON would.
func jsonKind(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[v1.MonthDay]():
		return "a day of the month from 1 to 31, or \"last\""
	case reflect.TypeFor[v1.DescendantSet]():
		return "\"all\" or a list of ids of instances"
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	}
	return "a whole number"
}

// unknownFields appends every field of a decoded JSON value that t has no place
// for. Names must match in upper and lower case, which encoding/json does not ask.
func unknownFields(found []fault.Detail, value any, t reflect.Type, path string) []fault.Detail {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch value := value.(type) {
	case []any:
		if t.Kind() == reflect.Slice {
			for i, item := range value {
				found = unknownFields(found, item, t.Elem(), fmt.Sprintf("%s[%d]", path, i))
			}
		}
	case map[string]any:
		fields := jsonFields(t)
		for name, item := range value {
			inner := name
			if path != "" {
				inner = path + "." + name
			}
			if field, known := fields[name]; known {
				found = unknownFields(found, item, field, inner)
				continue
			}
			found = append(found, fault.Detail{Field: inner, Message: "there is no such field: expected " + names(fields)})
		}
	}
	return found
}

// jsonFields are the fields of a struct under their JSON names. Other types
// (a moment in time is a struct too) have none that JSON could give as an object.
func jsonFields(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	if t.Kind() != reflect.Struct {
		return fields
	}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name != "" {
			fields[name] = t.Field(i).Type
		}
	}
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

// page checks what a list was asked for.
func page(cursor string, limit int) (Page, error) {
	const standard, most = 100, 1000
	if limit < 0 || limit > most {
		return Page{}, fault.Field("limit", "%d items were asked for: expected 1 to %d", limit, most)
	}
	if limit == 0 {
		limit = standard
	}
	return Page{Cursor: cursor, Limit: limit}, nil
}

// dates reads the bounds of a filter.
func dates(from, to v1.Date) (first, last *calendar.Date, err error) {
	if first, err = date("date_from", from); err == nil {
		last, err = date("date_to", to)
	}
	return first, last, err
}

func date(field, text string) (*calendar.Date, error) {
	if text == "" {
		return nil, nil
	}
	d, err := calendar.ParseDate(text)
	if err != nil {
		return nil, fault.Field(field, "%s", err.Error())
	}
	return &d, nil
}

// word checks one of the contract's enumerations; empty stands for absent.
func word[T interface {
	~string
	Valid() bool
}](field string, value T) error {
	if value == "" || value.Valid() {
		return nil
	}
	return fault.Field(field, "%s is not known: see /openapi.yaml for the words", strconv.Quote(string(value)))
}
