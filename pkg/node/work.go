package node

import (
	"fmt"
	"math/big"
	"net/url"
	"path"
	"slices"
	"strings"

	"backfleet/pkg/wire"
)

// What nodes of type python, sql, http and check say beside their code.

// Limits of these.
const (
	MaxArguments  = 200
	MaxShownRows  = 10_000 // of one result of a statement, in the log
	MaxHeaders    = 100
	MaxExpect     = 32
	MaxTries      = 20                // of a request, after the first
	MaxBackoffMs  = 3600 * 1000       // one hour
	MaxTryMs      = 24 * 3600 * 1000  // one day
	MaxShownBytes = 16 << 20          // of a response, in the log
	MaxRows       = 1_000_000_000_000 // that a check can expect
)

// DefaultMethod is that of a request which names none.
const DefaultMethod = "GET"

// methods are those of requests, and whether they have a body.
var (
	methods     = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}
	withoutBody = []string{"GET", "HEAD"}
)

var (
	headerForm = onUse("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$")
	// transportHeaders are for whoever sends a request to set.
	transportHeaders = []string{"connection", "content-length", "host", "transfer-encoding"}
	secretForm       = onUse(`\{secret:([^}]*)\}`)
	decimalForm      = onUse(`^[+-]?([0-9]{1,100}(\.[0-9]{0,100})?|\.[0-9]{1,100})([eE][+-]?[0-9]{1,3})?$`)
	// markForm is where parameters stand, as far as it matters around them.
	markForm = onUse(`\$\{[^}]*\}|\$\[[^\]]*\]|\$[A-Za-z_][A-Za-z0-9_]*`)
)

// around is a text with its parameters replaced by a digit, for checks of what
// stands around them.
func around(s string) string { return markForm().ReplaceAllString(s, "0") }

func (c *checker) python() {
	p := c.spec.Python
	if p == nil {
		return
	}
	c.label("python.interpreter", p.Interpreter)
	c.label("python.venv", p.Venv)
	switch {
	case p.Interpreter != "" && p.Venv != "":
		c.refuse("python.interpreter", "a virtual environment has one of its own: take interpreter or venv out")
	case strings.Contains(p.Interpreter, "/") && !path.IsAbs(p.Interpreter):
		c.refuse("python.interpreter", "%q: expected the name of a program, such as python3.12, or an absolute path", clip(p.Interpreter))
	case p.Venv != "" && !path.IsAbs(p.Venv):
		c.refuse("python.venv", "%q: expected the absolute path of a folder on the agent", clip(p.Venv))
	}
	c.atMost("python.arguments", len(p.Arguments), MaxArguments, "arguments")
}

func (c *checker) sql() {
	if n := c.spec.Sql.GetMaxRows(); n > MaxShownRows {
		c.refuse("sql.maxRows", "%d: expected 1 to %d, or 0 for the default", n, MaxShownRows)
	}
}

func (c *checker) atMost(field string, n, most int, what string) bool {
	if n > most {
		c.refuse(field, "%d %s: expected at most %d", n, what, most)
	}
	return n <= most
}

// span checks a number that may be 0 for the default.
func (c *checker) span(field string, n, most int64, unit string) {
	if n < 0 || n > most {
		c.refuse(field, "%d%s: expected 0 to %d%s", n, unit, most, unit)
	}
}

func (c *checker) http() {
	h := c.spec.Http
	if !slices.Contains(methods, h.Method) {
		c.refuse("http.method", "%q is no method%s: expected %s", clip(h.Method), didYouMean(h.Method, methods), list(methods))
	}
	c.url("http.url", h.Url)
	c.headers(h.Headers)
	if h.Body != "" && slices.Contains(withoutBody, h.Method) {
		c.refuse("http.body", "a request with %s has none: take it out, or say method: POST", h.Method)
	}
	c.noSecret("http.body", h.Body)
	if c.atMost("http.expect", len(h.Expect), MaxExpect, "status codes") {
		seen := map[int32]bool{}
		for k, status := range h.Expect {
			at := fmt.Sprintf("http.expect[%d]", k)
			switch {
			case status < 200 || status > 599:
				c.refuse(at, "%d is no status of an answer: expected 200 to 599", status)
			case seen[status]:
				c.refuse(at, "%d is listed twice: take one out", status)
			}
			seen[status] = true
		}
	}
	c.span("http.retries", int64(h.Retries), MaxTries, "")
	c.span("http.backoff", h.BackoffMs, MaxBackoffMs, " ms")
	c.span("http.timeout", h.TimeoutMs, MaxTryMs, " ms")
	c.span("http.maxResponse", h.MaxResponseBytes, MaxShownBytes, " bytes")
}

// url checks an address as far as parameters leave it open. Those that begin
// with one are looked at when it is known.
func (c *checker) url(field, text string) {
	switch {
	case text == "":
		c.refuse(field, "it is empty: expected an address, such as https://host/path?day=${yyyymmdd}")
		return
	case len(text) > MaxText: // said elsewhere
		return
	}
	c.noSecret(field, text)
	u, err := url.Parse(around(text))
	switch {
	case err != nil || strings.ContainsAny(around(text), " \t\r\n"):
		c.refuse(field, "%q is no address: expected one such as https://host/path, blanks written as %%20", clip(text))
	case u.User != nil:
		c.refuse(field, "it has a user or a password in it, which everybody can read: use a header with {secret:NAME}")
	case strings.HasPrefix(text, "$"):
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		c.refuse(field, "%q: expected http:// or https:// and a host", clip(text))
	}
}

func (c *checker) headers(headers []*wire.Assignment) {
	if !c.atMost("http.headers", len(headers), MaxHeaders, "headers") {
		return
	}
	seen := map[string]bool{}
	for _, h := range headers {
		at := "http.headers." + clip(h.Name)
		folded := strings.ToLower(h.Name)
		switch {
		case !headerForm().MatchString(h.Name):
			c.refuse(at, "%q is no name of a header: expected letters, digits and -, up to 128", clip(h.Name))
		case slices.Contains(transportHeaders, folded):
			c.refuse(at, "it is set by whoever sends the request: take it out")
		case seen[folded]:
			c.refuse(at, "it is given twice, upper and lower case alike: expected one value")
		case strings.ContainsAny(h.Value, "\r\n"):
			c.refuse(at, "it has several lines: expected one")
		}
		seen[folded] = true
		for _, m := range secretForm().FindAllStringSubmatch(h.Value, -1) {
			if !slices.Contains(c.spec.Secrets, m[1]) {
				c.refuse(at, "%s: list %q under secrets, so that logs mask it", clip(m[0]), clip(m[1]))
			}
		}
	}
}

// noSecret refuses secrets where they would stay as they are written.
func (c *checker) noSecret(field, text string) {
	if m := secretForm().FindString(text); m != "" {
		c.refuse(field, "%s: a secret can only stand in a header", clip(m))
	}
}

// expectation checks what a check node expects.
func (c *checker) expectation() {
	e := c.spec.Check
	if e == nil {
		e = &wire.Check{}
	}
	counted := e.Rows != nil || e.MinRows != nil || e.MaxRows != nil
	one := e.Value != nil || e.Min != nil || e.Max != nil
	switch {
	case c.spec.Source != "" && !counted && !one:
		c.refuse("check", "it expects nothing of its query: give rows, minRows, maxRows, value, min or max")
	case c.spec.Source == "" && counted:
		c.refuse("check", "a script has no rows: take rows, minRows and maxRows out, or give the source that a query asks")
	}
	c.rows(e)
	if one && (e.Rows != nil && *e.Rows != 1 || e.GetMinRows() > 1 || e.MaxRows != nil && *e.MaxRows < 1) {
		c.refuse("check", "value, min and max look at the only row of the result: take out what allows no single row")
	}
	low, high := c.bound("check.min", e.Min), c.bound("check.max", e.Max)
	if low != nil && high != nil && low.Cmp(high) > 0 {
		c.refuse("check.max", "%s is less than min (%s): expected the larger one", *e.Max, *e.Min)
	}
}

func (c *checker) rows(e *wire.Check) {
	for _, f := range []struct {
		name  string
		value *int64
	}{{"rows", e.Rows}, {"minRows", e.MinRows}, {"maxRows", e.MaxRows}} {
		if f.value != nil {
			c.span("check."+f.name, *f.value, MaxRows, "")
		}
	}
	switch {
	case e.Rows != nil && (e.MinRows != nil || e.MaxRows != nil):
		c.refuse("check.rows", "it is exact: take it out, or minRows and maxRows")
	case e.MinRows != nil && e.MaxRows != nil && *e.MinRows > *e.MaxRows:
		c.refuse("check.maxRows", "%d is less than minRows (%d): expected the larger one", *e.MaxRows, *e.MinRows)
	}
}

// bound is a number to compare with; nil when it is none, or not known yet.
func (c *checker) bound(field string, text *string) *big.Rat {
	if text == nil || strings.Contains(*text, "$") {
		return nil
	}
	if !decimalForm().MatchString(*text) {
		c.refuse(field, "%q is no number: expected one such as 0, -1.5 or 2e6", clip(*text))
		return nil
	}
	n, _ := new(big.Rat).SetString(*text)
	return n
}
