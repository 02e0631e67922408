package state

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"backfleet/pkg/fault"
	"backfleet/pkg/node"
	"backfleet/pkg/wire"
)

func group(g *wire.PutResourceGroup) *wire.Command {
	return &wire.Command{Actor: "op", Body: &wire.Command_PutResourceGroup{PutResourceGroup: g}}
}

func TestR7_5_GroupsThatWouldLeaveNothingAreRefused(t *testing.T) {
	m := ready(t, daily("a")) // ten slots
	for _, c := range []struct {
		name  string
		g     *wire.PutResourceGroup
		field string // refused for; empty: taken
	}{
		{"no name", &wire.PutResourceGroup{}, "name"},
		{"no kind", &wire.PutResourceGroup{Name: "default", Kind: 7}, "kind"},
		{"all reserved", &wire.PutResourceGroup{Name: "default", ReserveForAuto: 10}, "reserveForAuto"},
		{"more than all reserved", &wire.PutResourceGroup{Name: "default", ReserveForAuto: 1<<32 - 1}, "reserveForAuto"},
		{"more than all shared", &wire.PutResourceGroup{Name: "default", BackfillMaxShare: 101}, "backfillMaxShare"},
		{"a share of no slot", &wire.PutResourceGroup{Name: "default", BackfillMaxShare: 9}, "backfillMaxShare"},
		{"a share of one slot", &wire.PutResourceGroup{Name: "default", BackfillMaxShare: 10}, ""},
		{"all but one reserved", &wire.PutResourceGroup{Name: "default", ReserveForAuto: 9, Kind: wire.PutResourceGroup_EXCLUSIVE}, ""},
		{"kept for an hour", &wire.PutResourceGroup{Name: "default", LogKeepMs: 3_600_000, Description: "für alle"}, ""},
		{"kept for ten years", &wire.PutResourceGroup{Name: "default", LogKeepMs: 3650 * 24 * 3_600_000}, ""},
		{"kept for less than an hour", &wire.PutResourceGroup{Name: "default", LogKeepMs: 3_599_999}, "logKeepMs"},
		{"kept for less than no time", &wire.PutResourceGroup{Name: "default", LogKeepMs: -1}, "logKeepMs"},
		{"kept for more than ten years", &wire.PutResourceGroup{Name: "default", LogKeepMs: 3650*24*3_600_000 + 1}, "logKeepMs"},
		{"a book", &wire.PutResourceGroup{Name: "default", Description: strings.Repeat("x", 4097)}, "description"},
		{"no agent known", &wire.PutResourceGroup{Name: "new", ReserveForAuto: 1000, BackfillMaxShare: 1}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m.t = t
			before := proto.CloneOf(m.s.ResourceGroup(c.g.Name))
			if c.field == "" {
				m.must(group(c.g))
				if got := restored(t, m.s).ResourceGroup(c.g.Name); !proto.Equal(got, c.g) {
					t.Errorf("it is %v", got)
				}
				return
			}
			if err := m.refused(fault.Invalid, group(c.g)); err.Field != c.field {
				t.Errorf("refused for %q: %v", err.Field, err)
			}
			if got := m.s.ResourceGroup(c.g.Name); !proto.Equal(got, before) {
				t.Errorf("it became %v", got)
			}
		})
	}
	if g := m.s.ResourceGroup("unheard of"); g.Name != "unheard of" || g.Kind != wire.PutResourceGroup_SHARED || g.ReserveForAuto+g.BackfillMaxShare > 0 {
		t.Errorf("one that nobody spoke of is %v", g)
	}
}

func TestR2_4_AdvancedModeOfWorkspaceRegionAndDefault(t *testing.T) {
	m := ready(t, daily("a"))
	workspace := func(id, region string, advanced *bool) *wire.Command {
		return &wire.Command{Body: &wire.Command_PutWorkspace{PutWorkspace: &wire.PutWorkspace{Id: id, Region: region, AdvancedMode: advanced}}}
	}
	region := func(id string, advanced bool) *wire.Command {
		return &wire.Command{Body: &wire.Command_PutRegion{PutRegion: &wire.PutRegion{Id: id, AdvancedMode: advanced}}}
	}
	m.refused(fault.Invalid, workspace("", "x", nil))
	m.refused(fault.Invalid, region("", true))
	m.must(region("off", false))
	m.must(workspace("by-region", "off", nil))
	m.must(workspace("on-in-off", "off", proto.Bool(true)))
	m.must(workspace("off-itself", "", proto.Bool(false)))
	m.must(workspace("plain", "elsewhere", nil))
	for _, s := range []*State{m.s, restored(t, m.s)} {
		for id, want := range map[string]node.Workspace{
			"by-region":  {Region: "off"},
			"on-in-off":  {Region: "off", Advanced: true},
			"off-itself": {Region: "default"},
			"plain":      {Region: "elsewhere", Advanced: true},
			"unknown":    {Region: "default", Advanced: true},
		} {
			if got := s.Workspace(id); got != want {
				t.Errorf("%s is %+v, expected %+v", id, got, want)
			}
		}
		n := 0
		s.Workspaces(func(*wire.PutWorkspace) { n++ })
		s.Regions(func(*wire.PutRegion) { n++ })
		if n != 5 {
			t.Errorf("%d workspaces and regions, expected 5", n)
		}
	}
	m.must(region("default", false))
	if m.s.Workspace("unknown").Advanced {
		t.Error("the default region has a default too")
	}
}

func TestR2_9_ARestrictedActorRunsOnlyTheirWorkspaces(t *testing.T) {
	mine, theirs := daily("mine"), daily("theirs")
	mine.Workspace, theirs.Workspace = "w1", "w2"
	m := ready(t, mine, theirs)
	as := func(r *wire.Request) *wire.Command {
		c := submit(r)
		c.GetSubmit().Restricted, c.GetSubmit().Workspaces = true, []string{"w1"}
		return c
	}
	m.must(as(current("mine", 1)))
	if r := m.do(as(current("theirs", 1))); r.Err == nil {
		t.Error("another's node was taken")
	}
}

func TestR4_1_TheCapOfGroupsIsASetting(t *testing.T) {
	m := ready(t, daily("a"))
	r := current("a", 20)
	r.Groups = 12
	m.refused(fault.Invalid, submit(r))
	c := submit(r)
	c.GetSubmit().MaxGroups = 12
	m.must(c)
}
