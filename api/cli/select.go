package cli

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
)

// selecting are the flags that choose nodes, and the modes in which they mean
// something (RULES R2).
var selecting = []struct {
	flag  string
	modes []v1.Mode
}{
	{"only", []v1.Mode{v1.ModeDescendants, v1.ModeAdvanced}},
	{"without-root", []v1.Mode{v1.ModeDescendants, v1.ModeMassive}},
	{"name-filter", []v1.Mode{v1.ModeDescendants}},
	{"max-level", []v1.Mode{v1.ModeDescendants}},
	{"workspace", []v1.Mode{v1.ModeMassive}},
	{"whitelist", []v1.Mode{v1.ModeMassive}},
	{"blacklist", []v1.Mode{v1.ModeMassive}},
	{"end", []v1.Mode{v1.ModeChain}},
	{"filter", []v1.Mode{v1.ModeAdvanced}},
}

// selection reads the mode and the flags that belong to it; a flag of another
// mode is refused, for it would not do what it says.
func (o *requestOptions) selection(r *v1.BackfillRequest, meant func(flag string) bool) error {
	switch {
	case o.mode != "":
		r.Mode = v1.Mode(o.mode)
	case meant("mode"):
		r.Mode = o.fitting()
	}
	if !r.Mode.Valid() {
		return fault.Field("--mode", "%q is not known: expected current, descendants, massive, advanced or chain", o.mode)
	}
	for _, s := range selecting {
		if o.changed(s.flag) && !slices.Contains(s.modes, r.Mode) {
			return fault.Field("--"+s.flag, "it has no meaning for mode %s: expected mode %s", r.Mode, modeList(s.modes))
		}
	}
	if meant("filter") {
		r.Filters = nil
	}
	for _, text := range o.filters {
		filter, err := readFilter(text)
		if err != nil {
			return err
		}
		r.Filters = append(r.Filters, filter)
	}
	return nil
}

// complete says what is missing in a request of flags alone.
func (o *requestOptions) complete(r v1.BackfillRequest) error {
	switch advanced := r.Mode == v1.ModeAdvanced; {
	case advanced && r.Root != "":
		return fault.Field("--node", "mode advanced has no root: name nodes with --only")
	case !advanced && r.Root == "":
		return fault.Field("--node", "it is missing: expected the id of a node (see backfleet node list), or a file with -f")
	case advanced && len(r.Nodes)+len(o.filters) == 0:
		return fault.Field("--only", "no node is chosen: expected --only, --filter or both")
	case r.Mode == v1.ModeChain && r.End == "":
		return fault.Field("--end", "it is missing: expected the id of the last node of the chain")
	}
	return nil
}

// fitting is the mode that the flags given belong to.
func (o *requestOptions) fitting() v1.Mode {
	if o.changed("only") && !o.changed("node") {
		return v1.ModeAdvanced
	}
	fits := v1.ModeCurrent
	for _, s := range selecting {
		if o.changed(s.flag) && (fits == v1.ModeCurrent || !slices.Contains(s.modes, fits)) {
			fits = s.modes[0]
		}
	}
	return fits
}

func modeList(modes []v1.Mode) string {
	var words []string
	for _, m := range modes {
		words = append(words, string(m))
	}
	return strings.Join(words, " or ")
}

// filterFields are the keys of --filter.
var filterFields = map[string]func(*v1.NodeSelector) *string{
	"workspace":      func(n *v1.NodeSelector) *string { return &n.Workspace },
	"owner":          func(n *v1.NodeSelector) *string { return &n.Owner },
	"name":           func(n *v1.NodeSelector) *string { return &n.Name },
	"id":             func(n *v1.NodeSelector) *string { return &n.ID },
	"type":           func(n *v1.NodeSelector) *string { return &n.Type },
	"resource-group": func(n *v1.NodeSelector) *string { return &n.ResourceGroup },
}

const filterPriority = "priority"

func filterKeys() []string {
	keys := []string{filterPriority}
	for key := range filterFields {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func readFilter(text string) (n v1.NodeSelector, err error) {
	for _, pair := range strings.Split(text, ",") {
		key, value, found := strings.Cut(pair, "=")
		field := filterFields[key]
		switch {
		case !found || value == "":
			return n, fault.Field("--filter", "%q is no filter: expected key=value, as owner=ada,type=shell", text)
		case field != nil:
			*field(&n) = value
		case key == filterPriority:
			p, err := strconv.ParseInt(value, 10, 32)
			if err != nil {
				return n, fault.Field("--filter", "%q is no priority: expected a whole number", value)
			}
			n.Priority = int32(p)
		default:
			return n, fault.Field("--filter", "there is no key %q: expected one of %s", key, strings.Join(filterKeys(), ", "))
		}
	}
	return n, nil
}

// filterText writes a filter as --filter takes it.
func filterText(n v1.NodeSelector) string {
	var parts []string
	for _, key := range filterKeys() {
		value := nonZero(n.Priority)
		if field := filterFields[key]; field != nil {
			value = *field(&n)
		}
		if value != "" {
			parts = append(parts, key+"="+value)
		}
	}
	return strings.Join(parts, ",")
}

// choices reads the fields of logical nodes, one flag each. Ids of nodes may
// have dots in them, names of fields have none.
func (o *requestOptions) choices(r *v1.BackfillRequest) error {
	for n, text := range o.fields {
		dot := strings.LastIndexByte(text, '.')
		if dot < 1 || dot == len(text)-1 {
			return fault.Field("--field", "%q is no field: expected NODE.FIELD, as dim_customer.level", text)
		}
		id, field := text[:dot], text[dot+1:]
		if n == 0 {
			r.Fields = nil // those of a file
		}
		i := slices.IndexFunc(r.Fields, func(c v1.FieldChoice) bool { return c.Node == id })
		if i < 0 {
			i, r.Fields = len(r.Fields), append(r.Fields, v1.FieldChoice{Node: id})
		}
		r.Fields[i].Fields = append(r.Fields[i].Fields, field)
	}
	return nil
}

// fieldsText writes choices of fields for people.
func fieldsText(all []v1.FieldChoice) string {
	var parts []string
	for _, c := range all {
		fields := "the entire table"
		if len(c.Fields) > 0 {
			fields = strings.Join(c.Fields, ", ")
		}
		parts = append(parts, c.Node+": "+fields)
	}
	return strings.Join(parts, "; ")
}

// periodOptions are the flags of an execution period (RULES R3.4).
type periodOptions struct{ cycle, from, to string }

func (o *periodOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.cycle, "period", "", "start instances only in a part of each day: `daily` or weekend; default at any time")
	f.StringVar(&o.from, "period-from", "", "the period begins at `hh:mm`")
	f.StringVar(&o.to, "period-to", "", "the period ends at `hh:mm`, on the day after where that is earlier; default midnight")
}

// build is nil without a period.
func (o *periodOptions) build() (*v1.Period, error) {
	switch {
	case o.cycle == "" && o.from == "" && o.to == "":
		return nil, nil
	case o.cycle == "":
		return nil, fault.Field("--period", "it is missing beside --period-from and --period-to: expected daily or weekend")
	case o.from == "":
		return nil, fault.Field("--period-from", "it is missing: expected the time of day at which the period begins")
	}
	return &v1.Period{Cycle: v1.PeriodCycle(o.cycle), Start: o.from, End: o.to}, nil
}

// over puts the flags that were given over a period that there is.
func (o *periodOptions) over(p *v1.Period) (*v1.Period, error) {
	if p == nil || o.cycle == "" && o.from == "" && o.to == "" {
		if period, err := o.build(); period != nil || err != nil {
			return period, err
		}
		return p, nil
	}
	return &v1.Period{Cycle: cmp.Or(v1.PeriodCycle(o.cycle), p.Cycle), Start: cmp.Or(o.from, p.Start), End: cmp.Or(o.to, p.End)}, nil
}

// fieldFlags names the flags of fields that are called otherwise.
var fieldFlags = map[string]string{
	"onFailure": "--on-failure", "onConflict": "--on-conflict", "pausedNodes": "--paused-nodes", "dryRunNodes": "--dry-run-nodes",
	"timeOfDay.from": "--time-of-day", "timeOfDay.to": "--time-of-day",
	"period.cycle": "--period", "period.start": "--period-from", "period.end": "--period-to",
	"order": "--order", "gate": "--gate", "overlap": "--overlap", "groups": "--groups", "priority": "--priority", "maxRunning": "--max-running",
	"anyTime": "--any-time",
}

// flagged tells what is wrong with fields by the flags that gave them.
func flagged(err error) error {
	var e *fault.Error
	if !errors.As(err, &e) {
		return err
	}
	byFlag := func(field string) string {
		if flag, ok := fieldFlags[field]; ok {
			return flag
		}
		return field
	}
	told := *e
	told.Field = byFlag(e.Field)
	told.Details = slices.Clone(e.Details)
	for i := range told.Details {
		told.Details[i].Field = byFlag(told.Details[i].Field)
	}
	return &told
}

// periodText writes a period for people.
func periodText(p *v1.Period, zone string) string {
	if p == nil {
		return ""
	}
	end := p.End
	if end == "" {
		end = "24:00"
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s-%s %s", p.Cycle, p.Start, end, zone))
}
