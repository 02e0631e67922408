package node

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

func TestR15_6_ReadNotify(t *testing.T) {
	files, _, err := Read(fstest.MapFS{"a.yaml": {Data: []byte(`id: a
code: "true"
notify:
  - ops
  - {channel: team, on: [stuck, failure]}
`)}}, ".", Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := files.Nodes[0].Notify
	if len(got) != 2 || got[0].Channel != "ops" || len(got[0].On) != 0 || got[1].Channel != "team" ||
		!slices.Equal(got[1].On, []wire.Occasion{wire.Occasion_STUCK, wire.Occasion_FAILURE}) {
		t.Fatalf("it reads %v", got)
	}
	for _, c := range []struct {
		s        *wire.Subscription
		backfill bool
		want     string
	}{
		{got[0], false, "[FAILURE]"}, {got[0], true, "[FAILURE FINISHED]"}, {got[1], true, "[STUCK FAILURE]"}, {got[1], false, "[STUCK FAILURE]"},
	} {
		if on := fmt.Sprint(OccasionsOf(c.s, c.backfill)); on != c.want {
			t.Errorf("of %v, a backfill's %v: %s, expected %s", c.s, c.backfill, on, c.want)
		}
	}
}

func TestR15_6_NotifyIsChecked(t *testing.T) {
	for text, want := range map[string]string{
		"notify: ops":                                 "a.yaml:3:9: notify: \"ops\": expected a list of channels",
		"notify: [Ops!]":                              "a.yaml:3:10: notify[0].channel: \"Ops!\" is no name of a channel",
		"notify: [ops, ops]":                          "a.yaml:3:15: notify[1].channel: \"ops\" is named twice",
		"notify: [{on: [failure]}]":                   "a.yaml:3:10: notify[0].channel: \"\" is no name of a channel",
		"notify: [{channel: a, on: [failur]}]":        "a.yaml:3:28: notify[0].on[0]: \"failur\" (did you mean \"failure\"?): expected failure, success, finished or stuck",
		"notify: [{channel: a, on: [stuck, stuck]}]":  "a.yaml:3:35: notify[0].on[1]: stuck is named twice",
		"notify: [{channel: a, when: [stuck]}]":       "a.yaml:3:23: notify[0].when: there is no such field",
		"notify: [" + strings.Repeat("a,", 20) + "b]": "a.yaml:3:9: notify: 21 channels: expected at most 20",
	} {
		_, _, err := Read(fstest.MapFS{"a.yaml": {Data: []byte("id: a\ncode: \"true\"\n" + text + "\n")}}, ".", Options{})
		e, ok := err.(*fault.Error)
		if !ok || len(e.Details) != 1 {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := e.Details[0].Where + ": " + e.Details[0].Field + ": " + e.Details[0].Message; !strings.HasPrefix(got, want) {
			t.Errorf("%s:\n%s\nexpected\n%s", text, got, want)
		}
	}
	for _, o := range []wire.Occasion{0, wire.Occasion_TEST, 99} {
		if found := CheckSubscriptions("notify", []*wire.Subscription{{Channel: "a", On: []wire.Occasion{o}}}); len(found) != 1 {
			t.Errorf("occasion %d: %v", o, found)
		}
	}
}
