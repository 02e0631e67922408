package node_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"backfleet/pkg/calendar"
	"backfleet/pkg/node"
	"backfleet/pkg/wire"
)

// TestR1_3_CompileRefusesByField: a node that did not come from a file, and so
// may hold any number.
func TestR1_3_CompileRefusesByField(t *testing.T) {
	for _, c := range []struct {
		name string
		with *wire.Node
		want string
	}{
		{"kind 7", &wire.Node{Schedule: &wire.Schedule{Kind: 7}}, `schedule.kind: kind(7) is not a kind of schedule: expected daily, hourly, minutely, weekly, monthly or yearly`},
		{"kind 257", &wire.Node{Schedule: &wire.Schedule{Kind: 257}}, `schedule.kind: 257 is not a kind of schedule: expected daily, hourly, minutely, weekly, monthly or yearly`},
		{"kind -1", &wire.Node{Schedule: &wire.Schedule{Kind: -1}}, `schedule.kind: -1 is not a kind of schedule: expected daily, hourly, minutely, weekly, monthly or yearly`},
		{"no kind", &wire.Node{Schedule: &wire.Schedule{Weekdays: 1}}, `schedule.weekdays: a node that is daily has none: leave weekdays out, or make it weekly`},
		{"weekdays that would wrap", &wire.Node{Schedule: &wire.Schedule{Kind: wire.Schedule_WEEKLY, Weekdays: 257}}, `schedule.weekdays: 0x101 has a bit above Sunday's: expected bit 0 (Monday) to bit 6`},
		{"an eighth weekday", &wire.Node{Schedule: &wire.Schedule{Kind: wire.Schedule_WEEKLY, Weekdays: 128}}, `schedule.weekdays: 0x80 has a bit above Sunday's: expected bit 0 (Monday) to bit 6`},
		{"months that would wrap", &wire.Node{Schedule: &wire.Schedule{Kind: wire.Schedule_YEARLY, Days: 2, Months: 1<<16 + 2}},
			`schedule.months: 0x10002 has a bit that is no month's: expected bit 1 (January) to bit 12`},
		{"month 0", &wire.Node{Schedule: &wire.Schedule{Kind: wire.Schedule_YEARLY, Days: 2, Months: 3}}, `schedule.months: 0x3 has a bit that is no month's: expected bit 1 (January) to bit 12`},
		{"mode", &wire.Node{Mode: 3}, `mode: 3 is no mode of a node: expected normal, dryRun or paused`},
		{"previous with days", &wire.Node{Upstreams: []*wire.Upstream{{Node: "b", Previous: true, From: -1}}},
			`upstreams[0].previous: it cannot be combined with dates: choose the previous cycle, or a window of dates such as -1`},
	} {
		c.with.Id, c.with.Code = "a", "true"
		before := proto.CloneOf(c.with)
		_, _, err := node.Compile(c.with)
		if got := findings(t, err); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
		if !proto.Equal(before, c.with) {
			t.Errorf("%s: the spec was changed", c.name)
		}
	}
}

func TestR1_3_CompileGivesTheCalendarItsDays(t *testing.T) {
	s := spec("a")
	s.Schedule = &wire.Schedule{Kind: wire.Schedule_YEARLY, At: 7200, Days: 1<<31 | 1, Months: 1<<12 | 1<<2}
	n, _, err := node.Compile(s)
	if err != nil {
		t.Fatal(err)
	}
	if want := (calendar.Schedule{Kind: calendar.Yearly, At: 7200, Days: 1<<31 | calendar.LastDay, Months: 1<<12 | 1<<2}); n.Schedule != want {
		t.Errorf("got %+v, want %+v", n.Schedule, want)
	}
	s.Schedule = &wire.Schedule{Kind: wire.Schedule_WEEKLY, Weekdays: 1 << 6}
	if n, _, err = node.Compile(s); err != nil || n.Schedule != (calendar.Schedule{Kind: calendar.Weekly, Weekdays: 1 << 6}) {
		t.Errorf("got %+v, %v", n, err)
	}
}
