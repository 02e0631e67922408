package params

import (
	"strings"

	"backfleet/pkg/calendar"
)

// builtin is a value that the system gives: a date, the business month, or an
// id. Exactly one of date and append is set.
type builtin struct {
	rule   string
	date   *dateExpr
	append func([]byte, Context) ([]byte, error)
	id     bool // of the plan, the node or the instance
}

var (
	compactDate = format{{text: "yyyy", unit: year}, {text: "mm", unit: month}, {text: "dd", unit: day}}
	compactTime = append(compactDate[:3:3], token{text: "hh24", unit: hour}, token{text: "mi", unit: minute}, token{text: "ss", unit: second})
)

// builtins are the words of the language, by name. The list is the PARAMS one.
var builtins = map[string]*builtin{
	"bizdate":  {rule: "the data timestamp, yyyymmdd", date: &dateExpr{base: fromData, format: compactDate}},
	"cyctime":  {rule: "the scheduled time, yyyymmddhh24miss", date: &dateExpr{base: fromScheduled, format: compactTime}},
	"gmtdate":  {rule: "the day after the data timestamp, yyyymmdd", date: &dateExpr{base: fromData, format: compactDate, seconds: 86_400}},
	"bizmonth": {rule: "the month of the data timestamp, yyyymm; the month before it when the instance is generated in that same month", append: bizMonth},
	"jobid":    {rule: "the plan's id", id: true, append: func(b []byte, c Context) ([]byte, error) { return append(b, c.PlanID...), nil }},
	"nodeid":   {rule: "the node's id", id: true, append: func(b []byte, c Context) ([]byte, error) { return append(b, c.NodeID...), nil }},
	"taskid":   {rule: "the instance's id", id: true, append: func(b []byte, c Context) ([]byte, error) { return append(b, c.InstanceID...), nil }},
}

// systemPrefix begins the other names of bizdate and cyctime, as in
// ${bdp.system.bizdate}.
const systemPrefix = "bdp.system."

func (v *builtin) render(b []byte, c Context) ([]byte, error) {
	if v.date != nil {
		return v.date.append(b, c)
	}
	return v.append(b, c)
}

// bizMonth is the month of D or, when the instance is generated in that same
// month, the one before.
func bizMonth(b []byte, c Context) ([]byte, error) {
	d := c.Data
	if d.MonthStart() == c.Generated.MonthStart() {
		d = d.MonthStart() - 1
	}
	if err := checkYear(calendar.Wall{Date: d}); err != nil {
		return b, err
	}
	return compactDate[:2].append(b, calendar.Wall{Date: d}), nil
}

// isBuiltin reports whether $name is a builtin.
func isBuiltin(d Dialect, name string) bool {
	_, ok := builtins[d.key(name)]
	return ok
}

// isSystemName reports whether ${name} is a value of the system: two dotted
// names everywhere, and in dataphin the builtins' names too.
func isSystemName(d Dialect, name string) bool {
	if short, ok := strings.CutPrefix(d.key(name), systemPrefix); ok {
		return short == "bizdate" || short == "cyctime"
	}
	return d == Dataphin && isBuiltin(d, name)
}

// systemName is the builtin behind a name.
func systemName(key string) string { return strings.TrimPrefix(key, systemPrefix) }
