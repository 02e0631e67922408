// Package node is the definition of a node as people write it: the YAML
// reader, the checks, and what follows from many nodes together, their graph
// and which of them a backfill takes. It is pure: files come in through fs.FS.
// DESIGN.md beside this file is the reference of the file format.
package node

import (
	"fmt"
	"math"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/params"
	"backfleet/pkg/wire"
)

// Defaults of the fields that a node may leave out.
const (
	DefaultWorkspace     = "default"
	DefaultType          = Shell
	DefaultBaseline      = "default" // of priority 1
	DefaultPriority      = 1
	DefaultResourceGroup = "default"
)

// Limits of what a node may hold.
const (
	MaxCode        = 256 << 10 // bytes of one text of code
	MaxTexts       = 1 << 20   // bytes of all that parameters may stand in
	MaxText        = 4 << 10   // bytes of a description or of one value
	MaxName        = 256       // bytes
	MaxAssignments = 200       // parameters; also environment values
	MaxUpstreams   = 1000
	MaxWindowDays  = 366 // before D
	MaxRetries     = 100
	MaxTimeoutMs   = 30 * 24 * 3600 * 1000 // 30 days
	MaxDelayMs     = 24 * 3600 * 1000      // one day
)

// Warning is a finding that does not stand in the way.
type Warning = fault.Detail

// Node is a wire.Node checked and compiled once: immutable and shared by
// everything that reads it.
type Node struct {
	Spec     *wire.Node // complete: every default is filled in; never changed
	Schedule calendar.Schedule
	Params   *params.Set
	Code     *params.Code // nil for a node without
}

// Compile checks every field of a node, fills in the defaults and compiles its
// parameters and all texts in which they stand. It works on a copy. The same spec gives the same result
// on every machine, and the Spec of the result compiles to itself.
//
// The error has one fault.Detail for each finding, all at once; a Field is the
// path in the spec, such as `upstreams[2].dates`.
func Compile(spec *wire.Node) (*Node, []Warning, error) {
	n := &Node{Spec: proto.CloneOf(spec)}
	fillDefaults(n.Spec)
	c := &checker{spec: n.Spec}
	c.identity()
	kind, known := c.kind()
	n.Schedule = c.schedule()
	c.mode()
	c.priority()
	c.upstreams()
	c.attempts()
	c.environment()
	c.place()
	c.limits()
	c.exitCodes()
	c.secrets()
	c.notify()
	if known {
		c.hasCode(kind)
		n.Params, n.Code = c.texts()
	}
	if len(c.details) > 0 {
		return nil, nil, problems(fmt.Sprintf("node %q", clip(n.Spec.Id)), c.details)
	}
	inOrder(n.Spec)
	plainBlocks(n.Spec)
	return n, c.warnings, nil
}

// fillDefaults completes a spec. What it fills in must never change: nodes in
// the log were completed by it.
func fillDefaults(s *wire.Node) {
	or := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	or(&s.Name, s.Id)
	or(&s.Workspace, DefaultWorkspace)
	or(&s.Type, DefaultType)
	or(&s.Dialect, string(params.DataWorks))
	or(&s.ResourceGroup, DefaultResourceGroup)
	if s.Baseline == "" && s.Priority == 0 {
		s.Baseline, s.Priority = DefaultBaseline, DefaultPriority
	}
	if s.Schedule == nil {
		s.Schedule = &wire.Schedule{}
	}
	if s.Schedule.Kind == wire.Schedule_KIND_UNSPECIFIED && s.Schedule.Every == 0 {
		s.Schedule.Kind = wire.Schedule_DAILY // R1.4
	}
	if s.Http != nil {
		or(&s.Http.Method, DefaultMethod)
	}
	fillLogical(s)
}

// checker gathers the findings about one spec.
type checker struct {
	spec     *wire.Node
	details  []fault.Detail
	warnings []Warning
}

func (c *checker) refuse(field, format string, args ...any) {
	c.details = append(c.details, detail(field, format, args...))
}

var (
	idForm       = onUse(`^[a-z0-9_][a-z0-9_.-]{0,127}$`)
	variableForm = onUse(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)
)

// ValidID says whether s may be the id of a node, and so stand in a path or a
// command line as it is.
func ValidID(s string) bool { return idForm().MatchString(s) }

func (c *checker) identity() {
	s := c.spec
	if !ValidID(s.Id) {
		c.refuse("id", "%q is no node id: expected a to z, 0 to 9 and _, then also . and -, 1 to 128 characters", clip(s.Id))
	}
	for _, f := range []struct{ field, value string }{
		{"name", s.Name}, {"workspace", s.Workspace}, {"owner", s.Owner}, {"resourceGroup", s.ResourceGroup},
	} {
		c.label(f.field, f.value)
	}
	c.text("description", s.Description, MaxText)
}

// label checks a short text that stands in tables and lists.
func (c *checker) label(field, value string) {
	if !c.text(field, value, MaxName) {
		return
	}
	if strings.TrimSpace(value) != value || strings.ContainsFunc(value, unicode.IsControl) {
		c.refuse(field, "%q: expected one line without blanks around it", clip(value))
	}
}

// text checks what every text of a node must hold to: UTF-8, since the log
// carries nothing else, no NUL, since no process takes one, and a size.
func (c *checker) text(field, value string, most int) bool {
	switch {
	case len(value) > most:
		c.refuse(field, "%d bytes: expected at most %d", len(value), most)
	case !utf8.ValidString(value):
		c.refuse(field, "it is not UTF-8 text: save it as UTF-8")
	case strings.ContainsRune(value, 0):
		c.refuse(field, "it has a NUL character: take it out")
	default:
		return true
	}
	return false
}

func (c *checker) schedule() calendar.Schedule {
	w := c.spec.Schedule
	s := calendar.Schedule{
		Kind: calendar.Kind(w.Kind),
		At:   calendar.Clock(w.At), From: calendar.Clock(w.From), To: calendar.Clock(w.To), Every: w.Every,
		Weekdays: uint8(w.Weekdays), Days: w.Days, Months: uint16(w.Months),
	}
	switch {
	case w.Kind < 0 || w.Kind > math.MaxUint8:
		c.refuse("schedule.kind", "%d is not a kind of schedule: expected daily, hourly, minutely, weekly, monthly or yearly", w.Kind)
	case w.Weekdays > math.MaxUint8:
		c.refuse("schedule.weekdays", "%#x has a bit above Sunday's: expected bit 0 (Monday) to bit 6", w.Weekdays)
	case w.Months > math.MaxUint16:
		c.refuse("schedule.months", "%#x has a bit that is no month's: expected bit 1 (January) to bit 12", w.Months)
	default:
		if err := s.Validate(); err != nil {
			c.adopt("schedule", err)
		}
	}
	if w.Zone != "" && !zoneForm().MatchString(w.Zone) {
		c.refuse("schedule.zone", "%q is no time zone: expected a name such as Asia/Shanghai or UTC", clip(w.Zone))
	}
	return s
}

// mode checks the node's own mode (RULES R6).
func (c *checker) mode() {
	if _, known := wire.Node_Mode_name[int32(c.spec.Mode)]; !known {
		c.refuse("mode", "%d is no mode of a node: expected normal, dryRun or paused", c.spec.Mode)
	}
}

// zoneForm is the form of IANA names. Whether there is such a zone is the
// leader's to say, which resolves it: no machine's zone files count here.
var zoneForm = onUse(`^[A-Z][A-Za-z0-9_+-]{0,30}(/[A-Z][A-Za-z0-9_+-]{0,30}){0,2}$`)

// adopt takes over the findings of a deeper package, under a field.
func (c *checker) adopt(field string, err error) {
	e, ok := err.(*fault.Error)
	switch {
	case !ok:
		c.refuse(field, "%v", err)
	case len(e.Details) > 0:
		for _, d := range e.Details {
			c.refuse(join(field, d.Field), "%s", d.Message)
		}
	default:
		c.refuse(join(field, e.Field), "%s", e.Message)
	}
}

// join puts two parts of a field's path together; either may be empty.
func join(field, deeper string) string {
	switch {
	case deeper == "":
		return field
	case field == "" || strings.HasPrefix(deeper, "["):
		return field + deeper
	default:
		return field + "." + deeper
	}
}

func (c *checker) priority() {
	s := c.spec
	switch s.Priority {
	case 1, 3, 5, 7, 8:
	default:
		c.refuse("baseline.priority", "%d is no priority: expected 1, 3, 5, 7 or 8 (larger is more urgent)", s.Priority)
	}
	if s.Baseline == "" {
		c.refuse("baseline.name", "it is empty: expected the baseline's name")
	}
	c.label("baseline.name", s.Baseline)
}

func (c *checker) upstreams() {
	s := c.spec
	if len(s.Upstreams) > MaxUpstreams {
		c.refuse("upstreams", "%d upstreams: expected at most %d", len(s.Upstreams), MaxUpstreams)
		return
	}
	seen := make(map[string]bool, len(s.Upstreams))
	for k, u := range s.Upstreams {
		field := upstreamField(k)
		switch {
		case !ValidID(u.Node):
			c.refuse(field, "%q is no node id", clip(u.Node))
		case u.Node == s.Id:
			c.refuse(field, "a node cannot be its own upstream: use dependsOnSelf: true to wait for its previous cycle")
		case seen[u.Node]:
			c.refuse(field, "%q is listed twice: one upstream has one window, or the previous cycle", u.Node)
		}
		seen[u.Node] = true
		c.fields(field+".fields", u.Fields)
		if u.Previous && (u.Window || u.From != 0 || u.To != 0 || u.FromMonthStart) {
			c.refuse(field+".previous", "it cannot be combined with dates: choose the previous cycle, or a window of dates such as -1")
			continue
		}
		c.window(field+".dates", u)
	}
}

// fields checks the names of fields that are read of an upstream. Whether it has
// them is for Apply to say.
func (c *checker) fields(list string, names []string) {
	if !c.atMost(list, len(names), MaxFields, "fields") {
		return
	}
	seen := make(map[string]bool, len(names))
	for k, name := range names {
		switch {
		case !columnForm().MatchString(name):
			c.refuse(choice(list, k), "%q is no field: expected a letter or _, then letters, digits and _, at most %d", clip(name), maxTableName)
		case seen[name]:
			c.refuse(choice(list, k), "field %q is listed twice: take one out", name)
		}
		seen[name] = true
	}
}

// window checks the window of dates of an upstream (RULES R5.3).
func (c *checker) window(field string, u *wire.Upstream) {
	switch {
	case !u.Window && (u.From != 0 || u.To != 0 || u.FromMonthStart):
		c.refuse(field, "from and to need a window: set it, or leave them out")
	case u.FromMonthStart && u.From != 0:
		c.refuse(field, "a window has one beginning: monthStart or a number of days")
	case u.To > 0 || u.From > 0:
		c.refuse(field, "%s reaches past D: a window looks back, expected days from -%d to 0", windowText(u), MaxWindowDays)
	case u.To < -MaxWindowDays || u.From < -MaxWindowDays:
		c.refuse(field, "%s: expected days from -%d to 0", windowText(u), MaxWindowDays)
	case u.FromMonthStart && u.To < 0:
		c.refuse(field, "%s: on the first of a month it ends before it begins: expected monthStart..0", windowText(u))
	case !u.FromMonthStart && u.To < u.From:
		c.refuse(field, "%s ends before it begins: expected the earlier day first", windowText(u))
	}
}

// windowText is a window as the YAML file has it.
func windowText(u *wire.Upstream) string {
	if u.FromMonthStart {
		return fmt.Sprintf("monthStart..%d", u.To)
	}
	return fmt.Sprintf("%d..%d", u.From, u.To)
}

func (c *checker) attempts() {
	s := c.spec
	if s.TimeoutMs < 0 || s.TimeoutMs > MaxTimeoutMs {
		c.refuse("timeout", "%d ms: expected up to 30 days (720h), or 0 for none", s.TimeoutMs)
	}
	if s.Retries < 0 || s.Retries > MaxRetries {
		c.refuse("retries", "%d: expected 0 to %d", s.Retries, MaxRetries)
	}
	if s.RetryDelayMs < 0 || s.RetryDelayMs > MaxDelayMs {
		c.refuse("retryDelay", "%d ms: expected up to 24h", s.RetryDelayMs)
	}
}

// ReservedPrefix begins the names of the variables that the agent sets itself.
const ReservedPrefix = "BACKFLEET_"

func (c *checker) environment() {
	for _, a := range c.assignments("environment", c.spec.Environment) {
		if strings.HasPrefix(a.Name, ReservedPrefix) {
			c.refuse("environment."+a.Name, "names that begin with %s are set by the agent: choose another", ReservedPrefix)
		}
	}
}

// assignments checks what parameters and environment have in common, and gives
// those with a name that is right and new.
func (c *checker) assignments(field string, all []*wire.Assignment) []*wire.Assignment {
	if len(all) > MaxAssignments {
		c.refuse(field, "%d values: expected at most %d", len(all), MaxAssignments)
		return nil
	}
	var right []*wire.Assignment
	seen := make(map[string]bool, len(all))
	for _, a := range all {
		at := field + "." + clip(a.Name)
		switch {
		case !variableForm().MatchString(a.Name):
			c.refuse(at, "%q is no name: expected a letter or _, then letters, digits and _, up to 128", clip(a.Name))
		case seen[a.Name]:
			c.refuse(at, "it is given twice: expected one value")
		case c.text(at, a.Value, MaxText):
			right = append(right, a)
		}
		seen[a.Name] = true
	}
	return right
}
