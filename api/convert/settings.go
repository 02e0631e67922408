package convert

import (
	"cmp"

	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// ResourceGroup writes what is set of a resource group; its use is for the
// caller to add.
func ResourceGroup(g *wire.PutResourceGroup) v1.ResourceGroup {
	return v1.ResourceGroup{
		Name: g.Name, Kind: groupKinds.word(g.Kind), ReserveForAuto: g.ReserveForAuto, BackfillMaxShare: g.BackfillMaxShare,
	}
}

// ReadResourceGroup reads what can be set of a resource group.
func ReadResourceGroup(name string, s v1.ResourceGroupSettings) (*wire.PutResourceGroup, error) {
	var f findings
	out := &wire.PutResourceGroup{
		Name: name, Kind: groupKinds.number(&f, "kind", s.Kind), ReserveForAuto: s.ReserveForAuto, BackfillMaxShare: s.BackfillMaxShare,
	}
	if s.BackfillMaxShare > 100 {
		f.add("backfillMaxShare", "%d: expected percent, 1 to 100, or 0 for all", s.BackfillMaxShare)
	}
	if err := cmp.Or(named("resourceGroup", name), f.err("the resource group")); err != nil {
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
	if err := named("workspace", id); err != nil {
		return nil, err
	}
	return &wire.PutWorkspace{Id: id, Name: s.Name, Region: cmp.Or(s.Region, DefaultRegion), AdvancedMode: s.AdvancedMode}, nil
}

// Region writes a region.
func Region(r *wire.PutRegion) v1.Region { return v1.Region{ID: r.Id, AdvancedMode: r.AdvancedMode} }

// ReadRegion reads what can be set of a region.
func ReadRegion(id string, s v1.RegionSettings) (*wire.PutRegion, error) {
	if err := named("region", id); err != nil {
		return nil, err
	}
	return &wire.PutRegion{Id: id, AdvancedMode: s.AdvancedMode == nil || *s.AdvancedMode}, nil
}

// named refuses a name that no one could type again.
func named(field, id string) error {
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
