package transfer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"backfleet/pkg/calendar"
)

type (
	// moment is a timestamp: microseconds since 1970 on a clock without a zone,
	// or, of one that had a zone, in UTC.
	moment int64
	// number is an exact decimal in its one form: no plus, no leading zero but
	// before the point, no zero at the end of a fraction.
	number string
	// jsonText is a JSON value without blanks, with the keys of objects in order.
	jsonText string
)

// refusal is why a row, or a value, is not taken; empty: it is.
type refusal string

// Error implements error, for sources whose row cannot be read.
func (r refusal) Error() string { return string(r) }

func refuse(format string, args ...any) refusal { return refusal(fmt.Sprintf(format, args...)) }

// value makes a value of the column's kind of what a source gives: nil, string,
// bool, int64, float64, number, calendar.Date, moment, []byte or json.RawMessage.
func (c *column) value(raw any) (any, refusal) {
	if raw, ok := raw.(json.RawMessage); ok && c.kind != document {
		return c.value(scalar(raw))
	}
	v, why := c.convert(raw)
	if why == "" && v == nil && c.required {
		return nil, "it is required and there is no value"
	}
	return v, why
}

func (c *column) convert(raw any) (any, refusal) {
	switch r := raw.(type) {
	case nil:
		return nil, ""
	case string:
		return c.fromText(r)
	case []byte:
		return c.fromText(string(r))
	case json.RawMessage:
		return documentOf(r)
	case bool:
		if c.kind == boolean {
			return r, ""
		}
		return c.fromText(strconv.FormatBool(r))
	case int64:
		if c.kind == integer {
			return r, ""
		}
		return c.fromText(strconv.FormatInt(r, 10))
	case float64:
		return c.fromFloat(r)
	case number:
		return c.fromText(string(r))
	case calendar.Date:
		return c.fromWall(calendar.Wall{Date: r}, moment(r)*microsADay, r)
	case moment:
		return c.fromWall(r.wall(), r, r)
	default:
		return nil, refuse("a value of type %T cannot be moved: convert it in the query", raw)
	}
}

func (c *column) fromFloat(f float64) (any, refusal) {
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return nil, refuse("%v is no finite number", f)
	case c.kind == float:
		return positive(f), ""
	default:
		return c.fromText(strconv.FormatFloat(f, 'g', -1, 64))
	}
}

// fromWall takes a date or a timestamp, which is written as iso if nothing else
// is said. A date of a timestamp is its day.
func (c *column) fromWall(w calendar.Wall, m moment, iso fmt.Stringer) (any, refusal) {
	switch {
	case w.Date < firstDate || w.Date > lastDate:
		return nil, "it is not in the years 0001 to 9999"
	case c.kind == date:
		return w.Date, ""
	case c.kind == timestamp:
		return m, ""
	default:
		return c.fromText(iso.String())
	}
}

// fromText reads a text. Of all kinds but text, blanks around it mean nothing,
// and nothing between them is no value.
func (c *column) fromText(s string) (any, refusal) {
	if !utf8.ValidString(s) {
		return nil, refuse("%s is not UTF-8", quote(s))
	}
	if strings.IndexByte(s, 0) >= 0 {
		return nil, refuse("%s has a zero byte, which databases do not take", quote(s))
	}
	if c.kind == text {
		return s, ""
	}
	if s = strings.TrimSpace(s); s == "" {
		return nil, ""
	}
	switch c.kind {
	case integer:
		return toInteger(s)
	case decimal:
		if n, ok := parseNumber(s); ok {
			return n, ""
		}
		return nil, refuse("%s is no decimal number", quote(s))
	case float:
		return toFloat(s)
	case boolean:
		return toBoolean(s)
	case date, timestamp:
		return c.toMoment(s)
	default:
		return documentOf(json.RawMessage(s))
	}
}

func toInteger(s string) (any, refusal) {
	n, ok := parseNumber(s)
	if !ok || strings.Contains(string(n), ".") {
		return nil, refuse("%s is no whole number", quote(s))
	}
	v, err := strconv.ParseInt(string(n), 10, 64)
	if err != nil {
		return nil, refuse("%s is no integer of 64 bits: the type decimal holds it", quote(s))
	}
	return v, ""
}

func toFloat(s string) (any, refusal) {
	if _, ok := parseNumber(s); !ok {
		return nil, refuse("%s is no finite number", quote(s))
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return nil, refuse("%s is no float of 64 bits: the type decimal holds it", quote(s))
	}
	return positive(f), ""
}

// positive makes one zero of the two, for not every target has both.
func positive(f float64) float64 {
	if f == 0 {
		return 0
	}
	return f
}

var booleans = map[string]bool{
	"true": true, "t": true, "yes": true, "y": true, "1": true,
	"false": false, "f": false, "no": false, "n": false, "0": false,
}

func toBoolean(s string) (any, refusal) {
	b, ok := booleans[strings.ToLower(s)]
	if !ok {
		return nil, refuse("%s is no boolean: expected true or false, yes or no, 1 or 0", quote(s))
	}
	return b, ""
}

func (c *column) toMoment(s string) (any, refusal) {
	if c.layout != nil {
		w, err := c.layout.Read(s)
		if err != nil {
			return nil, refusal(err.Error())
		}
		m := momentOf(w)
		return c.fromWall(w, m, m)
	}
	if c.kind == date {
		d, err := calendar.ParseDate(s)
		if err != nil {
			return nil, refuse("%v, or a format for another form", err)
		}
		return d, ""
	}
	m, ok := parseMoment(s)
	if !ok {
		return nil, refuse("%s is no timestamp: expected YYYY-MM-DD HH:MM:SS, with a fraction and a zone if liked, or a format for another form", quote(s))
	}
	return c.fromWall(m.wall(), m, m)
}

// scalar is the value of JSON that is no object and no array, whose text it
// leaves as it is.
func scalar(raw json.RawMessage) any {
	if len(raw) == 0 {
		return nil
	}
	switch raw[0] {
	case 'n':
		return nil
	case 't':
		return true
	case 'f':
		return false
	case '"':
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return string(raw)
		}
		return s
	default:
		return string(raw)
	}
}

// documentOf gives JSON its one form. Numbers stay as they are written.
func documentOf(raw json.RawMessage) (any, refusal) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, refuse("%s is no JSON: %v", quote(string(raw)), err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, refuse("%s is more than one JSON value", quote(string(raw)))
	}
	if v == nil {
		return nil, ""
	}
	return jsonText(compact(v)), ""
}

// compact writes JSON without blanks and without escaping what need not be.
func compact(v any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "null" // of what was decoded, never
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// appendText writes a value in the one form of its kind.
func appendText(b []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return append(b, v...)
	case number:
		return append(b, v...)
	case jsonText:
		return append(b, v...)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case float64:
		return strconv.AppendFloat(b, v, 'g', -1, 64)
	case bool:
		return strconv.AppendBool(b, v)
	case calendar.Date:
		return append(b, v.String()...)
	case moment:
		return append(b, v.String()...)
	default:
		return b
	}
}

var firstDate, lastDate = calendar.DateOf(1, time.January, 1), calendar.DateOf(9999, time.December, 31)

const (
	microsASecond = 1_000_000
	microsADay    = 86_400 * microsASecond
)

func momentOf(w calendar.Wall) moment {
	return moment(w.Date)*microsADay + moment(w.Clock)*microsASecond
}

func (m moment) time() time.Time { return time.UnixMicro(int64(m)).UTC() }

// wall is the moment, cut to the second.
func (m moment) wall() calendar.Wall {
	t := m.time()
	y, mo, d := t.Date()
	return calendar.Wall{Date: calendar.DateOf(y, mo, d), Clock: calendar.Clock(t.Hour()*3600 + t.Minute()*60 + t.Second())}
}

// String gives "2006-01-02 15:04:05", with a fraction if there is one.
func (m moment) String() string { return m.time().Format("2006-01-02 15:04:05.999999") }

// parseMoment reads ISO 8601: a date, a time down to minutes or finer, a zone.
// What is finer than a microsecond is cut.
func parseMoment(s string) (moment, bool) {
	if len(s) == len("2006-01-02") {
		d, err := calendar.ParseDate(s)
		return moment(d) * microsADay, err == nil
	}
	if len(s) < len("2006-01-02 15:04") {
		return 0, false
	}
	head, zone := s, ""
	if at := strings.IndexAny(s[11:], "Zz+-"); at >= 0 {
		head, zone = s[:11+at], s[11+at:]
	}
	head, fraction, has := strings.Cut(strings.TrimRight(head, " "), ".")
	w, err := calendar.ParseWall(head)
	micros, okFraction := parseFraction(fraction, has)
	offset, okZone := parseZone(zone)
	return momentOf(w) + moment(micros) - moment(offset)*microsASecond, err == nil && okFraction && okZone
}

func parseFraction(digits string, has bool) (micros int64, ok bool) {
	if !has {
		return 0, true
	}
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	micros, err := strconv.ParseInt((digits + "000000")[:6], 10, 64)
	return micros, err == nil
}

// parseZone reads "", "Z", "+02", "+0200" or "+02:00" as seconds east.
func parseZone(s string) (seconds int, ok bool) {
	if s == "" || s == "Z" || s == "z" {
		return 0, true
	}
	digits := strings.Replace(s[1:], ":", "", 1)
	if len(digits) == 2 {
		digits += "00"
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || len(digits) != 4 || n/100 > 15 || n%100 > 59 {
		return 0, false
	}
	if seconds = int(n/100*3600 + n%100*60); s[0] == '-' {
		seconds = -seconds
	}
	return seconds, true
}

// quote shows foreign text, cut so that it cannot flood a log.
func quote(s string) string {
	const most = 60
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}
