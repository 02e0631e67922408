package node

import (
	"slices"
	"strconv"
	"time"

	"backfleet/pkg/calendar"
	"backfleet/pkg/wire"
)

// The schedule of the file format: a kind and its fields, or one of the short
// forms daily: "00:30", hourly: {…} and minutely: {…}.
var (
	scheduleShape = shape{
		fields: []field{
			{"kind", func(d *document, v value) {
				if i, ok := d.word(v, kinds); ok {
					d.occurs(v, wire.Schedule_Kind(i+1))
				}
			}},
			{"at", clockField("schedule.at", func(s *wire.Schedule) *int32 { return &s.At })},
			{"from", clockField("schedule.from", func(s *wire.Schedule) *int32 { return &s.From })},
			{"to", clockField("schedule.to", func(s *wire.Schedule) *int32 { return &s.To })},
			{"every", (*document).every},
			{"weekdays", func(d *document, v value) { d.node.Schedule.Weekdays = d.set(v, "weekdays", weekday) }},
			{"days", func(d *document, v value) { d.node.Schedule.Days = d.set(v, "days of the month", monthDay) }},
			{"months", func(d *document, v value) { d.node.Schedule.Months = d.set(v, "months", month) }},
			{"zone", textField(func(n *wire.Node) *string { return &n.Schedule.Zone })},
			{"auto", boolField(func(d *document) *bool { return &d.node.Auto })},
			{"daily", (*document).daily},
			{"hourly", func(d *document, v value) { d.interval(v, wire.Schedule_HOURLY) }},
			{"minutely", func(d *document, v value) { d.interval(v, wire.Schedule_MINUTELY) }},
		},
		later: []string{"cron"},
	}
	intervalShape = shape{fields: []field{
		{"from", clockField("schedule.from", func(s *wire.Schedule) *int32 { return &s.From })},
		{"to", clockField("schedule.to", func(s *wire.Schedule) *int32 { return &s.To })},
		{"every", (*document).every},
	}}
	// kinds are the words of wire.Schedule_Kind, in order of its numbers.
	kinds      = []string{"daily", "hourly", "minutely", "weekly", "monthly", "yearly"}
	shortForms = []string{"daily", "hourly", "minutely"}
	weekdays   = []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}
)

func (d *document) schedule(v value) {
	s := &wire.Schedule{}
	d.node.Schedule = s
	before := len(d.details)
	d.mapping(v, scheduleShape)
	if len(d.details) > before {
		return
	}
	short := slices.IndexFunc(shortForms, func(name string) bool { return d.given(v, name) })
	switch {
	case s.Kind == 0:
		d.refuse(v, "it does not say when: expected kind, one of %s", list(kinds))
	case short >= 0:
		for _, name := range []string{"at", "from", "to", "every"} {
			if d.given(v, name) {
				d.refuse(v, "%s beside %s: leave it out, or write kind: %s and its fields", name, shortForms[short], shortForms[short])
			}
		}
	case s.Kind == wire.Schedule_HOURLY || s.Kind == wire.Schedule_MINUTELY:
		d.complete(v)
	}
}

// given says whether a mapping has a key.
func (d *document) given(v value, key string) bool {
	for i := 0; i+1 < len(v.Content); i += 2 {
		if v.Content[i].Value == key {
			return true
		}
	}
	return false
}

// occurs sets the kind of the schedule, once.
func (d *document) occurs(v value, kind wire.Schedule_Kind) bool {
	if d.node.Schedule.Kind != 0 {
		d.refuse(v, "a schedule has one kind: expected one of kind, daily, hourly and minutely")
		return false
	}
	d.node.Schedule.Kind = kind
	return true
}

func (d *document) daily(v value) {
	if d.occurs(v, wire.Schedule_DAILY) {
		clockField("schedule.at", func(s *wire.Schedule) *int32 { return &s.At })(d, v)
	}
}

func (d *document) interval(v value, kind wire.Schedule_Kind) {
	if d.occurs(v, kind) {
		before := len(d.details)
		d.mapping(v, intervalShape)
		if len(d.details) == before {
			d.complete(v)
		}
	}
}

// complete refuses an interval of which a part is missing.
func (d *document) complete(v value) {
	for _, name := range intervalShape.names() {
		if !d.given(v, name) {
			d.refuse(v, "%s is missing: expected from, to and every", name)
		}
	}
}

func clockField(place string, of func(*wire.Schedule) *int32) func(*document, value) {
	return func(d *document, v value) {
		d.at(place, v)
		s, ok := d.text(v)
		if !ok {
			return
		}
		c, err := calendar.ParseClock(s)
		if err != nil {
			d.refuse(v, "%v", err)
			return
		}
		*of(d.node.Schedule) = int32(c)
	}
}

func (d *document) every(v value) {
	d.at("schedule.every", v)
	if t, ok := d.duration(v, time.Minute); ok {
		d.node.Schedule.Every = int32(min(max(t/time.Minute, -1), 1<<30))
	}
}

// set reads a list into the bits that wire.Schedule has for it.
func (d *document) set(v value, of string, bit func(d *document, item value) (int, bool)) uint32 {
	var bits uint32
	for _, item := range d.items(v, of) {
		i, ok := bit(d, item)
		if ok && bits&(1<<i) != 0 {
			d.refuse(item, "%q is listed twice: take one out", clip(item.Value))
		}
		if ok {
			bits |= 1 << i
		}
	}
	return bits
}

func weekday(d *document, item value) (int, bool) { return d.word(item, weekdays) }

func monthDay(d *document, item value) (int, bool) {
	if item.Value == "last" {
		return 0, d.plain(item) // calendar.LastDay
	}
	return d.between(item, 31, "1 to 31, or last")
}

func month(d *document, item value) (int, bool) { return d.between(item, 12, "1 (January) to 12") }

// between reads a number from 1 to a greatest.
func (d *document) between(item value, most int, expected string) (int, bool) {
	s, ok := d.text(item)
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > most {
		d.refuse(item, "%q: expected %s", clip(s), expected)
		return 0, false
	}
	return n, true
}
