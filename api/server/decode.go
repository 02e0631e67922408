package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strconv"

	"github.com/gin-gonic/gin"

	v1 "backfleet/api/v1"
	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
)

// decode reads the request's JSON strictly: an unknown field is refused by its
// path, never ignored, for a misspelt option would change what runs. It is first
// gone through as it stands, word by word, so that what is wrong with the node
// 7,312 of ten thousand is told with its place and without a second copy of
// the whole in memory.
func decode[T any](c *gin.Context) (T, error) {
	var value T
	body := c.MustGet(keyBody).([]byte)
	if len(bytes.TrimSpace(body)) == 0 {
		return value, fault.New(fault.Invalid, "the request has no body: expected a JSON object")
	}
	if err := checkJSON(body, reflect.TypeFor[T]()); err != nil {
		return value, err
	}
	if err := json.Unmarshal(body, &value); err != nil {
		return value, jsonError(err)
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
	var coded *fault.Error
	switch {
	case errors.As(err, &coded):
		return coded
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
