// Package fault is the one error type that crosses layers: a code that
// machines act on, the field at fault, and a sentence for people. The code
// decides the HTTP status and the command line's exit code, so a condition is
// defined once, where it is detected, and only translated at the edges.
package fault

import (
	"errors"
	"fmt"
	"strings"
)

// Code classifies an error for machines. Codes are append-only: clients match
// on them.
type Code string

const (
	// Invalid: the request is wrong as written; sending it again cannot help.
	Invalid Code = "invalid"
	// NotFound: the named thing does not exist.
	NotFound Code = "not_found"
	// Conflict: the request is well-formed but the present state refuses it.
	Conflict Code = "conflict"
	// Precondition: the thing is not as the caller said it must be for the change
	// (its tag is another): nothing was changed; read it again and decide anew.
	Precondition Code = "precondition"
	// Denied: the caller may not do this.
	Denied Code = "denied"
	// Unauthenticated: the caller did not prove who they are.
	Unauthenticated Code = "unauthenticated"
	// TooLarge: an input exceeds a documented limit.
	TooLarge Code = "too_large"
	// Overloaded: bounded queues are full; retry after a pause.
	Overloaded Code = "overloaded"
	// Unavailable: not applied (no leader, shutting down); retry elsewhere.
	Unavailable Code = "unavailable"
	// Unknown: the write may or may not have been applied; retry with the
	// same request id.
	Unknown Code = "unknown_outcome"
	// Timeout: the caller's deadline passed.
	Timeout Code = "timeout"
	// Corrupt: stored data is broken or belongs to something else; stop.
	Corrupt Code = "corrupt"
	// Internal: a defect of ours.
	Internal Code = "internal"
)

// Detail is one finding about one field. An error may carry several, so that
// a person mends everything in one go.
type Detail struct {
	Field   string `json:"field,omitempty"` // path of the field, "spec.schedule.every"
	Where   string `json:"where,omitempty"` // "nodes/a.yaml:12:5", when it came from a file
	Message string `json:"message"`         // what was found, what was expected, what to do
}

// Error is a coded error. The zero value is not meaningful; use New or Wrap.
type Error struct {
	Code    Code
	Message string
	Field   string
	Details []Detail
	Err     error // cause, kept for errors.Is/As; never shown to remote callers
}

// New makes an error with a code and a formatted message.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Wrap keeps err as the cause of a coded error. If err already carries a code
// it wins over the given one, so that layers do not blur what happened.
func Wrap(err error, code Code, format string, args ...any) *Error {
	e := &Error{Code: code, Message: fmt.Sprintf(format, args...), Err: err}
	var inner *Error
	if errors.As(err, &inner) {
		e.Code, e.Field, e.Details = inner.Code, inner.Field, inner.Details
	}
	return e
}

// Field reports a wrong field: its path and what was expected.
func Field(field, format string, args ...any) *Error {
	return &Error{Code: Invalid, Field: field, Message: fmt.Sprintf(format, args...)}
}

// WithDetails appends findings and returns the error.
func (e *Error) WithDetails(d ...Detail) *Error {
	e.Details = append(e.Details, d...)
	return e
}

// Error gives the message, prefixed by the field when there is one, then the
// cause.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Field != "" {
		b.WriteString(e.Field + ": ")
	}
	b.WriteString(e.Message)
	for _, d := range e.Details {
		b.WriteString("\n  ")
		for _, s := range []string{d.Where, d.Field} {
			if s != "" {
				b.WriteString(s + ": ")
			}
		}
		b.WriteString(d.Message)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// CodeOf finds the code in err's chain: Internal for an uncoded error, empty
// for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Internal
}

// Is reports whether err carries the code.
func Is(err error, code Code) bool { return err != nil && CodeOf(err) == code }

// ExitCode maps a code to the command line's exit status. 0 is success and 1
// an uncoded failure; the numbers are documented in the README and stable.
func ExitCode(err error) int {
	switch CodeOf(err) {
	case "":
		return 0
	case Invalid, TooLarge:
		return 2
	case NotFound:
		return 3
	case Conflict, Precondition:
		return 4
	case Denied, Unauthenticated:
		return 5
	case Unavailable, Overloaded:
		return 6
	case Timeout, Unknown:
		return 7
	case Corrupt:
		return 8
	default:
		return 1
	}
}

// HTTPStatus maps a code to the HTTP status of its problem document.
func HTTPStatus(code Code) int {
	switch code {
	case Invalid:
		return 400
	case Unauthenticated:
		return 401
	case Denied:
		return 403
	case NotFound:
		return 404
	case Conflict:
		return 409
	case Precondition:
		return 412
	case TooLarge:
		return 413
	case Overloaded:
		return 429
	case Unavailable, Unknown:
		return 503
	case Timeout:
		return 504
	default:
		return 500
	}
}
