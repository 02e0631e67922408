package convert

import (
	"errors"
	"net/http"

	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
)

// Problem writes an error as a problem document (RFC 9457). The cause of a
// coded error, and the text of one without a code, stay here: they may hold
// what a remote caller must not see.
func Problem(err error, requestID string) v1.Problem {
	var e *fault.Error
	if !errors.As(err, &e) {
		e = fault.New(fault.Internal, "the coordinator failed at this; its log has the request id")
	}
	status := fault.HTTPStatus(e.Code)
	p := v1.Problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status,
		Code: v1.ErrorCode(e.Code), Detail: e.Message, Field: e.Field, RequestID: requestID,
	}
	for _, d := range e.Details {
		p.Errors = append(p.Errors, v1.ProblemDetail{Field: d.Field, Where: d.Where, Message: d.Message})
	}
	return p
}

// ReadProblem makes the error that Problem wrote. A code that this version
// does not know keeps its text and counts as internal.
func ReadProblem(p v1.Problem) *fault.Error {
	e := fault.New(fault.Code(p.Code), "%s", p.Detail)
	if !p.Code.Valid() {
		e.Code = fault.Internal
	}
	e.Field = p.Field
	for _, d := range p.Errors {
		e.Details = append(e.Details, fault.Detail{Field: d.Field, Where: d.Where, Message: d.Message})
	}
	return e
}
