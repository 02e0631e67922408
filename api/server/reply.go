package server

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"strings"

	"github.com/gin-gonic/gin"

	"backfleet/api/convert"
	"backfleet/pkg/fault"
)

// reply answers with a value, or with err when that is set.
func (s *Server) reply(c *gin.Context, status int, value any, err error) {
	if err != nil {
		s.fail(c, err)
		return
	}
	fillLists(reflect.ValueOf(value))
	if c.Request.Method == http.MethodGet {
		s.answer(c, status, value)
		return
	}
	c.PureJSON(status, value)
}

// fail answers with a problem document and ends the request. What an error
// wraps goes into the log, not to the caller.
func (s *Server) fail(c *gin.Context, err error) {
	err = coded(c.Request.Context(), err)
	s.refused(c, err)
	p := convert.Problem(err, requestID(c))
	if p.Status >= http.StatusInternalServerError {
		s.Logger.Warn("a request failed", "request_id", p.RequestID, "path", c.Request.URL.Path, "error", err)
	}
	c.Abort()
	if c.Writer.Written() {
		return // a stream that broke: its end is all that can be said
	}
	if (p.Status == http.StatusServiceUnavailable || p.Status == http.StatusTooManyRequests) && c.Writer.Header().Get(headerRetryAfter) == "" {
		c.Header(headerRetryAfter, "1")
	}
	c.Header("Content-Type", "application/problem+json")
	c.PureJSON(p.Status, p)
}

// coded gives an uncoded end of the request's time its code.
func coded(ctx context.Context, err error) error {
	var e *fault.Error
	if !errors.As(err, &e) && errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
		return fault.Wrap(err, fault.Timeout, "the request took too long")
	}
	return err
}

// badParameter answers what the generated code could not read.
func (s *Server) badParameter(c *gin.Context, err error, _ int) {
	text := err.Error()
	if _, rest, found := strings.Cut(text, "parameter "); found {
		name, _, _ := strings.Cut(rest, ":")
		s.fail(c, fault.Field(name, "the value cannot be read: %s", lastPart(text)))
		return
	}
	s.fail(c, fault.New(fault.Invalid, "%s", text))
}

func lastPart(text string) string { return text[strings.LastIndex(text, ": ")+2:] }

// fillLists makes every list that the contract requires an empty one rather
// than null.
func fillLists(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			fillLists(v.Elem())
		}
	case reflect.Slice:
		if k := v.Type().Elem().Kind(); k == reflect.Struct || k == reflect.Pointer {
			for i := range v.Len() {
				fillLists(v.Index(i))
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Field(i)
			required := !strings.Contains(v.Type().Field(i).Tag.Get("json"), "omitempty")
			if field.Kind() == reflect.Slice && field.IsNil() && required && field.CanSet() {
				field.Set(reflect.MakeSlice(field.Type(), 0, 0))
			}
			fillLists(field)
		}
	}
}
