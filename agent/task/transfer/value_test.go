package transfer

import (
	"encoding/json"
	"math"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"backfleet/pkg/calendar"
	"backfleet/pkg/params"
)

func layoutOf(t *testing.T, dialect params.Dialect, format string) *params.Layout {
	t.Helper()
	if format == "" {
		return nil
	}
	l, err := params.ParseLayout(dialect, format)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestR12_1_Types: what a source gives, and what it becomes in each type.
func TestR12_1_Types(t *testing.T) {
	day := calendar.DateOf(2001, 1, 31)
	for _, c := range []struct {
		kind   kind
		format string
		raw    any
		want   string // "-": no value; "! …": refused, and why
	}{
		{text, "", " a ", " a "},
		{text, "", "", ""},
		{text, "", int64(-7), "-7"},
		{text, "", 1.5, "1.5"},
		{text, "", true, "true"},
		{text, "", number("1.5"), "1.5"},
		{text, "", day, "2001-01-31"},
		{text, "", moment(1_500_000), "1970-01-01 00:00:01.5"},
		{text, "", moment(0), "1970-01-01 00:00:00"},
		{text, "", []byte("abc"), "abc"},
		{text, "", "a\xffb", "! is not UTF-8"},
		{text, "", "a\x00b", "! zero byte"},
		{text, "", json.RawMessage(`"a\n\u00e9"`), "a\né"},
		{text, "", json.RawMessage(`1.50`), "1.50"},
		{text, "", json.RawMessage(`{"a": 1}`), `{"a": 1}`},
		{text, "", json.RawMessage(`null`), "-"},
		{integer, "", "42", "42"},
		{integer, "", " +042 ", "42"},
		{integer, "", "1e3", "1000"},
		{integer, "", "5.0", "5"},
		{integer, "", "-9223372036854775808", "-9223372036854775808"},
		{integer, "", "9223372036854775808", "! no integer of 64 bits"},
		{integer, "", "5.5", "! no whole number"},
		{integer, "", "1,000", "! no whole number"},
		{integer, "", "0x10", "! no whole number"},
		{integer, "", "", "-"},
		{integer, "", true, "! no whole number"},
		{integer, "", 3.0, "3"},
		{integer, "", json.RawMessage(`12`), "12"},
		{decimal, "", "0.10", "0.1"},
		{decimal, "", "-0.00", "0"},
		{decimal, "", ".5", "0.5"},
		{decimal, "", "5.", "5"},
		{decimal, "", "123456789012345678901234567890.123456789", "123456789012345678901234567890.123456789"},
		{decimal, "", "1.25e-3", "0.00125"},
		{decimal, "", "1e999999", "! no decimal"},
		{decimal, "", "1_000", "! no decimal"},
		{decimal, "", "e5", "! no decimal"},
		{decimal, "", "-", "! no decimal"},
		{decimal, "", ".", "! no decimal"},
		{decimal, "", 0.1, "0.1"},
		{decimal, "", int64(7), "7"},
		{float, "", "1e300", "1e+300"},
		{float, "", "-0", "0"},
		{float, "", "1e400", "! no float of 64 bits"},
		{float, "", "NaN", "! no finite number"},
		{float, "", math.Inf(1), "! no finite number"},
		{float, "", int64(3), "3"},
		{boolean, "", "YES", "true"},
		{boolean, "", "0", "false"},
		{boolean, "", "2", "! no boolean"},
		{boolean, "", int64(1), "true"},
		{boolean, "", json.RawMessage(`false`), "false"},
		{date, "", "2024-02-29", "2024-02-29"},
		{date, "", "2023-02-29", "! no such day"},
		{date, "", "20240229", "! expected YYYY-MM-DD"},
		{date, "yyyymmdd", "20240229", "2024-02-29"},
		{date, "yyyymmdd", int64(20240229), "2024-02-29"},
		{date, "yyyy/mm/dd hh24:mi", "2001/01/31 23:59", "2001-01-31"},
		{date, "", day, "2001-01-31"},
		{date, "", moment(-1), "1969-12-31"},
		{date, "", moment(math.MaxInt64), "! 0001 to 9999"},
		{timestamp, "", "2001-01-31 12:34:56.7890001", "2001-01-31 12:34:56.789"},
		{timestamp, "", "2001-01-31T12:34Z", "2001-01-31 12:34:00"},
		{timestamp, "", "2001-01-31 00:30:00 +02:00", "2001-01-30 22:30:00"},
		{timestamp, "", "2001-01-31 00:30:00-0130", "2001-01-31 02:00:00"},
		{timestamp, "", "2001-01-31", "2001-01-31 00:00:00"},
		{timestamp, "", "2001-01-31 24:00:00", "! no timestamp"},
		{timestamp, "", "2001-01-31 12:34:56.", "! no timestamp"},
		{timestamp, "", "2001-01-31 12:34:56+2", "! no timestamp"},
		{timestamp, "", "31.1.2001", "! no timestamp"},
		{timestamp, "yyyy/mm/dd hh24:mi", "2001/01/01 00:47", "2001-01-01 00:47:00"},
		{timestamp, "yyyy/mm/dd hh24:mi", "2001/01/01", "! not written as"},
		{timestamp, "", day, "2001-01-31 00:00:00"},
		{document, "", `{"b": 1.0, "a": [1, "<é>"]}`, `{"a":[1,"<é>"],"b":1.0}`},
		{document, "", json.RawMessage(`"text"`), `"text"`},
		{document, "", json.RawMessage(`null`), "-"},
		{document, "", `{"a"`, "! is no JSON"},
		{document, "", `1 2`, "! more than one"},
		{document, "", int64(5), "5"},
	} {
		col := column{name: "c", kind: c.kind, layout: layoutOf(t, params.DataWorks, c.format)}
		v, why := col.value(c.raw)
		switch wantWhy, refused := strings.CutPrefix(c.want, "! "); {
		case refused:
			if v != nil || !strings.Contains(string(why), wantWhy) {
				t.Errorf("%v as %s: got %v, %q; want it refused with %q", c.raw, c.kind, v, why, wantWhy)
			}
		case why != "":
			t.Errorf("%v as %s is refused: %s", c.raw, c.kind, why)
		case c.want == "-":
			if v != nil {
				t.Errorf("%v as %s: got %v; want no value", c.raw, c.kind, v)
			}
		default:
			if got := string(appendText(nil, v)); v == nil || got != c.want {
				t.Errorf("%v as %s: got %q; want %q", c.raw, c.kind, got, c.want)
			}
		}
	}
}

func TestRequired(t *testing.T) {
	for _, raw := range []any{nil, "", " ", json.RawMessage("null")} {
		c := column{name: "c", kind: integer, required: true}
		if v, why := c.value(raw); v != nil || !strings.Contains(string(why), "required") {
			t.Errorf("%v: got %v, %q", raw, v, why)
		}
	}
	c := column{name: "c", kind: text, required: true}
	if v, why := c.value(""); v != "" || why != "" {
		t.Errorf("an empty text: got %v, %q", v, why)
	}
}

// TestNumbersAreExact: every way of writing a number is the same number, in one
// form, through Parquet's bytes and back.
func TestNumbersAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringMatching(`[+-]?([0-9]{1,20}(\.[0-9]{0,18})?|\.[0-9]{1,18})([eE][+-]?[0-9])?`).Draw(t, "number")
		n, ok := parseNumber(s)
		want, known := new(big.Rat).SetString(s)
		if !ok || !known {
			t.Fatalf("%s is not read: %v, %v", s, ok, known)
		}
		got, _ := new(big.Rat).SetString(string(n))
		if got.Cmp(want) != 0 {
			t.Fatalf("%s is read as %s", s, n)
		}
		if again, ok := parseNumber(string(n)); !ok || again != n {
			t.Fatalf("%s has another form: %s", n, again)
		}
		u, ok := n.unscaled(27)
		if !ok {
			t.Fatalf("%s has no 27 decimals and is refused", n)
		}
		b := appendTwosComplement(nil, u, 24)
		if back := scaled(twosComplement(b), 27); back != n {
			t.Fatalf("%s comes back as %s", n, back)
		}
	})
}

// TestMomentsReadWhatTheyWrite: with a zone too.
func TestMomentsReadWhatTheyWrite(t *testing.T) {
	first, last := int64(firstDate)*microsADay, (int64(lastDate)+1)*microsADay-1
	rapid.Check(t, func(t *rapid.T) {
		m := moment(rapid.Int64Range(first, last).Draw(t, "moment"))
		for _, s := range []string{m.String(), m.String() + "Z", m.time().Format("2006-01-02T15:04:05.000000+00:00")} {
			if back, ok := parseMoment(s); !ok || back != m {
				t.Fatalf("%s comes back as %s, %v", s, back, ok)
			}
		}
	})
}

func TestChecksumIsOfASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOfN(rapid.SliceOfN(rapid.OneOf(rapid.Just[any](nil), rapid.Map(rapid.StringN(0, 3, -1), func(s string) any { return s })), 2, 2), 1, 8).Draw(t, "rows")
		total := func(rows [][]any) (c checksum) {
			for _, r := range rows {
				s, _ := sumOf(r)
				c.add(s)
			}
			return c
		}
		want := total(rows)
		if got := total(rapid.Permutation(rows).Draw(t, "order")); got != want {
			t.Fatalf("another order has another checksum")
		}
		if twice := total(append(rows[:len(rows):len(rows)], rows[0])); twice == want {
			t.Fatalf("a row that comes twice has the same checksum")
		}
	})
	apart := [][]any{{"a", ""}, {"", "a"}, {"a", nil}, {nil, "a"}, {"", nil}, {nil, nil}, {"", ""}, {"\x01", nil}}
	seen := map[checksum]int{}
	for i, r := range apart {
		s, _ := sumOf(r)
		if j, there := seen[s]; there {
			t.Errorf("%v and %v have one checksum", apart[i], apart[j])
		}
		seen[s] = i
	}
}
