package service

import (
	"reflect"
	"testing"

	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

func TestSettingsAreListedWithWhatIsOnlyNamed(t *testing.T) {
	a, b := daily("a"), daily("b")
	a.Workspace, b.Workspace, b.ResourceGroup = "shop", "bank", "heavy"
	r := newRig(t, a, b)
	r.agent("a1", "default", 4, wire.Agent_READY)
	r.agent("a2", "default", 4, wire.Agent_DRAINING)
	id := r.submit(backfill("a", "2021-01-01"))
	r.start(id, 0)
	off, none := false, 0
	if got, index, err := r.PutRegion(t.Context(), write("region"), &wire.PutRegion{Id: "eu"}); err != nil || index != r.log.index || got.AdvancedMode || got.ID != "eu" {
		t.Fatal(got, index, err)
	}
	for _, w := range []*wire.PutWorkspace{{Id: "bank", Name: "The Bank", Region: "eu"}, {Id: "new", AdvancedMode: &off}} {
		if _, _, err := r.PutWorkspace(t.Context(), write("workspace "+w.Id), w); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := r.PutResourceGroup(t.Context(), write("group"), &wire.PutResourceGroup{
		Name: "spare", Kind: wire.PutResourceGroup_EXCLUSIVE, ReserveForAuto: 1, BackfillMaxShare: 30, Description: "for later", LogKeepMs: 86_400_000,
	}); err != nil {
		t.Fatal(err)
	}

	groups, next, err := r.ResourceGroups(t.Context(), "", server.Page{Limit: 9})
	if want := []v1.ResourceGroup{
		{
			Name: "default", Kind: v1.ResourceGroupKindShared, Agents: 1, AgentStates: v1.AgentCounts{Ready: 1, Draining: 1},
			Slots: 4, Used: 1, Backfills: 1, Waiting: &none,
		},
		{Name: "heavy", Kind: v1.ResourceGroupKindShared, Unserved: true, Waiting: &none},
		{
			Name: "spare", Kind: v1.ResourceGroupKindExclusive, ReserveForAuto: 1, BackfillMaxShare: 30, Description: "for later",
			LogKeepMs: 86_400_000, Waiting: &none,
		},
	}; err != nil || next != "" || !reflect.DeepEqual(groups, want) {
		t.Errorf("groups: %+v %v", groups, err)
	}
	workspaces, _, err := r.Workspaces(t.Context(), "", server.Page{Limit: 9})
	if want := []v1.Workspace{
		{ID: "bank", Name: "The Bank", Region: "eu"}, {ID: "new", Region: "default", AdvancedMode: &off}, {ID: "shop", Region: "default", AdvancedModeInForce: true},
	}; err != nil || !reflect.DeepEqual(workspaces, want) {
		t.Errorf("workspaces: %+v %v", workspaces, err)
	}
	regions, _, err := r.Regions(t.Context(), "", server.Page{Limit: 9})
	if want := []v1.Region{{ID: "default", AdvancedMode: true}, {ID: "eu"}}; err != nil || !reflect.DeepEqual(regions, want) {
		t.Errorf("regions: %+v %v", regions, err)
	}

	page, next, err := r.Workspaces(t.Context(), "", server.Page{Limit: 1})
	if err != nil || len(page) != 1 || next == "" {
		t.Fatal(page, next, err)
	}
	if page, _, err = r.Workspaces(t.Context(), "", server.Page{Limit: 9, Cursor: next}); err != nil || len(page) != 2 || page[0].ID != "new" {
		t.Errorf("the next page: %+v %v", page, err)
	}
	if some, _, _ := r.ResourceGroups(t.Context(), "ea", server.Page{Limit: 9}); len(some) != 1 || some[0].Name != "heavy" {
		t.Errorf("those with ea: %+v", some)
	}
	for what, get := range map[string]func(string) error{
		"group":     func(id string) error { _, err := r.ResourceGroup(t.Context(), id); return err },
		"workspace": func(id string) error { _, err := r.Workspace(t.Context(), id); return err },
		"region":    func(id string) error { _, err := r.Region(t.Context(), id); return err },
	} {
		if err := get("nobody"); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// Advanced mode is off where its region has it off (RULES R2.4).
	if _, err := r.Submit(t.Context(), write("advanced"), &wire.Request{Mode: wire.Request_ADVANCED, Nodes: []string{"a", "b"}, Dates: dates("2021-01-01")}); err == nil {
		t.Error("a node of a workspace without advanced mode was chosen")
	} else {
		has(t, err.Error(), "bank")
	}
}

func TestR7_5_SettingsThatLeaveNoSlotAreRefused(t *testing.T) {
	r := newRig(t, daily("a"))
	r.agent("a1", "default", 4, wire.Agent_READY)
	index := r.log.index
	for field, g := range map[string]*wire.PutResourceGroup{
		"reserveForAuto":   {Name: "default", ReserveForAuto: 4},
		"backfillMaxShare": {Name: "default", BackfillMaxShare: 20},
		"name":             {},
	} {
		_, _, err := r.PutResourceGroup(t.Context(), write(field), g)
		if e, ok := err.(*fault.Error); !ok || e.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	if g, err := r.ResourceGroup(t.Context(), "default"); err != nil || g.ReserveForAuto != 0 || g.BackfillMaxShare != 0 {
		t.Errorf("after %d refused entries: %+v %v", r.log.index-index, g, err)
	}
	set := &wire.PutResourceGroup{Name: "default", ReserveForAuto: 3}
	first, at, err := r.PutResourceGroup(t.Context(), write("set"), set)
	if err != nil {
		t.Fatal(err)
	}
	if again, index, err := r.PutResourceGroup(t.Context(), write("set"), set); err != nil || index != at || !reflect.DeepEqual(again, first) || r.log.index != at {
		t.Errorf("sent again: %+v %d %v", again, index, err)
	}
}
