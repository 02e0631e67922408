package state

import (
	"unicode/utf8"

	"backfleet/pkg/fault"
	"backfleet/pkg/node"
	"backfleet/pkg/wire"
)

// defaultRegion is where workspaces are of which nobody has said otherwise.
const defaultRegion = "default"

// Bounds of what an operator may say of a resource group.
const (
	maxGroupText = 4 << 10   // bytes of its description
	minLogKeepMs = 3_600_000 // an hour
	maxLogKeepMs = 3650 * dayKeepMs
	dayKeepMs    = 24 * 3_600_000 // a day
)

// ResourceGroup is what an operator has said of a group: of one that nobody
// has spoken of, that it is shared, reserves nothing and bounds nothing (RULES
// R7.5).
func (s *State) ResourceGroup(name string) *wire.PutResourceGroup {
	if g, ok := s.groups.Get([]byte(name)); ok {
		return g
	}
	return &wire.PutResourceGroup{Name: name}
}

// ResourceGroups calls f for every group that an operator has spoken of, by
// name.
func (s *State) ResourceGroups(f func(*wire.PutResourceGroup)) {
	s.groups.Root().Walk(func(_ []byte, g *wire.PutResourceGroup) bool { f(g); return false })
}

// GroupUse is the slots of a resource group at its ready agents. An attempt
// counts for as many as it takes (RULES R7.8).
type GroupUse struct {
	Slots     int // of all ready agents
	Used      int // of them
	Backfills int // of those used, by instances that are not the schedule's own
	Ahead     int // that what is held ahead will take: none is used by it yet
}

// GroupUse counts a group's slots. It looks at every agent.
func (s *State) GroupUse(name string) GroupUse {
	var u GroupUse
	s.Agents(func(a *Agent) {
		if a.State != wire.Agent_READY {
			return
		}
		for i, g := range a.Groups {
			if g.Group == name {
				u.Slots += int(g.Slots)
				u.Used += int(min(a.Used[i], g.Slots)) // it may have fewer now than it uses
				u.Backfills += int(a.Backfills[i])
				u.Ahead += int(a.Ahead[i])
			}
		}
	})
	return u
}

// putResourceGroup refuses what would leave a kind of work without any slot
// for ever (RULES R7.5). Slots are compared as far as agents are known.
func (e *Edit) putResourceGroup(g *wire.PutResourceGroup) (*wire.Answer, error) {
	slots := 0
	e.s.Agents(func(a *Agent) {
		for _, own := range a.Groups {
			if own.Group == g.Name && a.Lives() {
				slots += int(own.Slots)
			}
		}
	})
	switch _, known := wire.PutResourceGroup_Kind_name[int32(g.Kind)]; {
	case g.Name == "":
		return nil, fault.Field("name", "it is empty: expected the name of a resource group")
	case !known:
		return nil, fault.Field("kind", "%d is not a kind this version knows: expected shared or exclusive", g.Kind)
	case g.BackfillMaxShare > 100:
		return nil, fault.Field("backfillMaxShare", "%d %%: expected 1 to 100, or 0 for no bound", g.BackfillMaxShare)
	case len(g.Description) > maxGroupText || !utf8.ValidString(g.Description):
		return nil, fault.Field("description", "expected text of at most %d bytes, in UTF-8", maxGroupText)
	case g.LogKeepMs != 0 && (g.LogKeepMs < minLogKeepMs || g.LogKeepMs > maxLogKeepMs):
		return nil, fault.Field("logKeepMs", "%d ms: expected an hour (%d) to 3,650 days (%d), or 0 for what its kind has", g.LogKeepMs, minLogKeepMs, int64(maxLogKeepMs))
	case slots > 0 && int64(g.ReserveForAuto) >= int64(slots):
		return nil, fault.Field("reserveForAuto", "%d slots, but group %q has %d: backfills could never start; reserve at most %d",
			g.ReserveForAuto, g.Name, slots, slots-1)
	case slots > 0 && g.BackfillMaxShare > 0 && slots*int(g.BackfillMaxShare) < 100:
		return nil, fault.Field("backfillMaxShare", "%d %% of the %d slots of group %q is no slot: backfills could never start; expected at least %d",
			g.BackfillMaxShare, slots, g.Name, (100+slots-1)/slots)
	}
	e.s.groups, _, _ = e.s.groups.Insert([]byte(g.Name), g)
	e.changes = append(e.changes, Change{Kind: SettingsChanged})
	return &wire.Answer{}, nil
}

// Workspace is what a selection has to know of a workspace (RULES R2.3, R2.4):
// advanced mode is on unless it, or else its region, says otherwise.
func (s *State) Workspace(id string) node.Workspace {
	w, _ := s.workspaces.Get([]byte(id))
	out := node.Workspace{Region: w.GetRegion(), Advanced: true}
	if out.Region == "" {
		out.Region = defaultRegion
	}
	if r, ok := s.regions.Get([]byte(out.Region)); ok {
		out.Advanced = r.AdvancedMode
	}
	if w != nil && w.AdvancedMode != nil {
		out.Advanced = *w.AdvancedMode
	}
	return out
}

// Workspaces calls f for every workspace that an operator has spoken of, by
// id.
func (s *State) Workspaces(f func(*wire.PutWorkspace)) {
	s.workspaces.Root().Walk(func(_ []byte, w *wire.PutWorkspace) bool { f(w); return false })
}

// Regions calls f for every region that an operator has spoken of, by id.
func (s *State) Regions(f func(*wire.PutRegion)) {
	s.regions.Root().Walk(func(_ []byte, r *wire.PutRegion) bool { f(r); return false })
}

func (e *Edit) putWorkspace(w *wire.PutWorkspace) (*wire.Answer, error) {
	if w.Id == "" {
		return nil, fault.Field("id", "it is empty: expected the id of a workspace")
	}
	e.s.workspaces, _, _ = e.s.workspaces.Insert([]byte(w.Id), w)
	e.changes = append(e.changes, Change{Kind: SettingsChanged})
	return &wire.Answer{}, nil
}

func (e *Edit) putRegion(r *wire.PutRegion) (*wire.Answer, error) {
	if r.Id == "" {
		return nil, fault.Field("id", "it is empty: expected the id of a region")
	}
	e.s.regions, _, _ = e.s.regions.Insert([]byte(r.Id), r)
	e.changes = append(e.changes, Change{Kind: SettingsChanged})
	return &wire.Answer{}, nil
}
