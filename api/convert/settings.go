package convert

import (
	"cmp"
	"unicode/utf8"

	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// ResourceGroup writes what is set of a resource group; its agents and its use
// are for the caller to add.
func ResourceGroup(g *wire.PutResourceGroup) v1.ResourceGroup {
	return v1.ResourceGroup{
		Name: g.Name, Kind: groupKinds.word(g.Kind), ReserveForAuto: g.ReserveForAuto, BackfillMaxShare: g.BackfillMaxShare,
		Description: g.Description, LogKeepMs: g.LogKeepMs,
	}
}

// ReadResourceGroup reads what can be set of a resource group.
func ReadResourceGroup(name string, s v1.ResourceGroupSettings) (*wire.PutResourceGroup, error) {
	var f findings
	out := &wire.PutResourceGroup{
		Name: name, Kind: groupKinds.number(&f, "kind", s.Kind), ReserveForAuto: s.ReserveForAuto, BackfillMaxShare: s.BackfillMaxShare,
		Description: s.Description, LogKeepMs: s.LogKeepMs,
	}
	if s.BackfillMaxShare > 100 {
		f.add("backfillMaxShare", "%d: expected percent, 1 to 100, or 0 for all", s.BackfillMaxShare)
	}
	if n := utf8.RuneCountInString(s.Description); n > 1000 {
		f.add("description", "%d characters were given: expected at most 1000", n)
	}
	if s.LogKeepMs < 0 {
		f.add("logKeepMs", "%d: expected milliseconds, or 0 for as long as its kind says", s.LogKeepMs)
	}
	if err := cmp.Or(Named("resourceGroup", name), f.err("the resource group")); err != nil {
		return nil, err
	}
	return out, nil
}

// Workspace writes what is set of a workspace. inForce is whether advanced
// mode is on there, by itself or by its region.
func Workspace(w *wire.PutWorkspace, inForce bool) v1.Workspace {
	return v1.Workspace{ID: w.Id, Name: w.Name, Region: w.Region, AdvancedMode: w.AdvancedMode, AdvancedModeInForce: inForce}
}

// DefaultRegion is that of workspaces that name none.
const DefaultRegion = "default"

// ReadWorkspace reads what can be set of a workspace.
func ReadWorkspace(id string, s v1.WorkspaceSettings) (*wire.PutWorkspace, error) {
	if err := Named("workspace", id); err != nil {
		return nil, err
	}
	return &wire.PutWorkspace{Id: id, Name: s.Name, Region: cmp.Or(s.Region, DefaultRegion), AdvancedMode: s.AdvancedMode}, nil
}

// Region writes a region.
func Region(r *wire.PutRegion) v1.Region { return v1.Region{ID: r.Id, AdvancedMode: r.AdvancedMode} }

// ReadRegion reads what can be set of a region.
func ReadRegion(id string, s v1.RegionSettings) (*wire.PutRegion, error) {
	if err := Named("region", id); err != nil {
		return nil, err
	}
	return &wire.PutRegion{Id: id, AdvancedMode: s.AdvancedMode == nil || *s.AdvancedMode}, nil
}

// Named refuses a name that no one could type again.
func Named(field, id string) error {
	const most = 100
	if id == "" || len(id) > most {
		return fault.Field(field, "%q: expected a name of 1 to %d bytes", clip(id), most)
	}
	for _, r := range id {
		if r <= ' ' || r == 0x7f {
			return fault.Field(field, "%q has a blank or a control character: expected a name of one word", clip(id))
		}
	}
	return nil
}
