package check

import (
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"

	"backfleet/agent/task/output"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// mostQuoted is how much of a value is repeated, in characters.
const mostQuoted = 100

// expectation is one thing that must hold.
type expectation struct {
	field    string
	expected string
	found    string
	holds    bool
}

// compare holds what was found against what is expected, all of it.
func (f *found) compare(c *wire.Check, out *output.Output) error {
	if c == nil {
		return nil // a script that ended well
	}
	list, err := f.expectations(c)
	if err != nil {
		return err
	}
	var failed []string
	for _, e := range list {
		word := "holds"
		if !e.holds {
			word = "DOES NOT HOLD"
			failed = append(failed, fmt.Sprintf("%s: expected %s, found %s", e.field, e.expected, e.found))
		}
		out.Line("%s: expected %s, found %s: %s", e.field, e.expected, e.found, word)
	}
	if len(failed) > 0 {
		return fault.New(fault.Conflict, "%d of %d expectations do not hold: %s", len(failed), len(list), strings.Join(failed, "; "))
	}
	return nil
}

func (f *found) expectations(c *wire.Check) (list []expectation, err error) {
	for _, r := range []struct {
		field, words string
		bound        *int64
		holds        func(bound int64) bool
	}{
		{"rows", "%d", c.Rows, func(b int64) bool { return f.rows == b }},
		{"minRows", "at least %d", c.MinRows, func(b int64) bool { return f.rows >= b }},
		{"maxRows", "at most %d", c.MaxRows, func(b int64) bool { return f.rows <= b }},
	} {
		if r.bound != nil {
			list = append(list, expectation{r.field, fmt.Sprintf(r.words, *r.bound), strconv.FormatInt(f.rows, 10), r.holds(*r.bound)})
		}
	}
	if c.Value != nil {
		list = append(list, expectation{"value", quoted(*c.Value), f.String(), f.one && same(f.value, *c.Value)})
	}
	for _, b := range []struct {
		field, words string
		bound        *string
		sign         int
	}{{"min", "at least ", c.Min, -1}, {"max", "at most ", c.Max, 1}} {
		if b.bound == nil {
			continue
		}
		bound := number(*b.bound)
		if bound == nil {
			return nil, fault.Field("check."+b.field, "%s is no number: expected one such as 0, -1.5 or 2e6", quoted(*b.bound))
		}
		e := expectation{field: b.field, expected: b.words + *b.bound, found: f.String()}
		switch v := number(f.value); {
		case !f.one:
		case v == nil:
			e.found += ", which is no number"
		default:
			e.holds = v.Cmp(bound) != b.sign
		}
		list = append(list, e)
	}
	return list, nil
}

// String says what was found in place of a value, too.
func (f *found) String() string {
	if !f.one {
		return f.none
	}
	return quoted(f.value)
}

// same compares numbers as numbers, exactly – 12 is 12.00 – and all else as text.
func same(a, b string) bool {
	x, y := number(a), number(b)
	if x != nil && y != nil {
		return x.Cmp(y) == 0
	}
	return strings.TrimSpace(a) == strings.TrimSpace(b)
}

// decimal is what counts as a number. Its exponent is bounded: an exact number has
// all its digits.
var decimal = regexp.MustCompile(`^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})?$`)

// number reads one; nil: it is none.
func number(text string) *big.Rat {
	if text = strings.TrimSpace(text); !decimal.MatchString(text) {
		return nil
	}
	n, ok := new(big.Rat).SetString(text)
	if !ok {
		return nil
	}
	return n
}

// quoted writes a value so that its ends are seen: numbers as they are.
func quoted(value string) string {
	if number(value) != nil {
		return strings.TrimSpace(value)
	}
	runes := []rune(value)
	if len(runes) > mostQuoted {
		return strconv.Quote(string(runes[:mostQuoted])) + fmt.Sprintf("… (%d characters)", len(runes))
	}
	return strconv.Quote(value)
}
