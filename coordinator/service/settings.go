package service

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"backfleet/api/convert"
	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/coordinator/schedule"
	"backfleet/coordinator/state"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// Resource groups, workspaces and regions exist as soon as anything names
// them; what an operator has said of them is laid over their defaults.

// settings pages through what is known of one kind.
func settings[S, A any](known map[string]S, contains string, page server.Page, list string, show func(id string, s S) A) ([]A, server.Next, error) {
	shown, next, err := names(slices.Sorted(maps.Keys(known)), page, list, func(id string) bool { return matches(contains, id) })
	out := make([]A, 0, len(shown))
	for _, id := range shown {
		out = append(out, show(id, known[id]))
	}
	return out, next, err
}

// setting shows one that is known.
func setting[S, A any](known map[string]S, list, id string, show func(id string, s S) A) (*A, error) {
	s, ok := known[id]
	if !ok {
		return nil, fault.New(fault.NotFound, "there is no %s %q: it was never set, and nothing names it", list, id)
	}
	out := show(id, s)
	return &out, nil
}

const groupList, workspaceList, regionList = "resource group", "workspace", "region"

// groupsView is one request's look at resource groups.
type groupsView struct {
	*fleet
	known   map[string]*wire.PutResourceGroup
	wanted  map[string]bool          // nodes or unfinished plans name it
	waiting map[string]map[int32]int // by priority; nil: this coordinator does not lead
}

func (s *Service) groups(ctx context.Context) *groupsView {
	v := &groupsView{fleet: s.fleet(ctx), wanted: map[string]bool{}}
	st := v.st
	eachSpec(st, func(n *wire.Node) { v.wanted[n.ResourceGroup] = true })
	st.Plans(0, func(p *state.Plan) bool {
		if p.Unfinished() {
			v.wanted[p.Request.ResourceGroup] = true
		}
		return true
	})
	v.known = resourceGroups(st, v.wanted)
	var waiting map[string]map[int32]int
	if err := s.Inspect(ctx, func(sch *schedule.Scheduler) { waiting = sch.ReadyBy() }); err == nil {
		v.waiting = waiting
	}
	return v
}

// resourceGroups are those that were set, those of agents, and others that are
// named.
func resourceGroups(st *state.State, named map[string]bool) map[string]*wire.PutResourceGroup {
	known := map[string]*wire.PutResourceGroup{}
	add := func(name string) { known[name] = st.ResourceGroup(name) }
	for name := range named {
		add(name)
	}
	st.Agents(func(a *state.Agent) {
		for _, g := range a.Groups {
			add(g.Group)
		}
	})
	st.ResourceGroups(func(g *wire.PutResourceGroup) { add(g.Name) })
	delete(known, "")
	return known
}

func (v *groupsView) show(name string, g *wire.PutResourceGroup) v1.ResourceGroup {
	out, use := convert.ResourceGroup(g), v.st.GroupUse(name)
	out.AgentStates = v.agentsOf(name)
	out.Agents, out.Slots, out.Used, out.Backfills = out.AgentStates.Ready, use.Slots, use.Used, use.Backfills
	out.Unserved = v.wanted[name] && out.Agents == 0
	if v.waiting != nil {
		n := 0
		for priority, instances := range v.waiting[name] {
			n += instances
			out.Queue = append(out.Queue, v1.PriorityCount{Priority: int(priority), Instances: int64(instances)})
		}
		slices.SortFunc(out.Queue, func(a, b v1.PriorityCount) int { return cmp.Compare(b.Priority, a.Priority) })
		out.Waiting = &n
	}
	return out
}

// ResourceGroups implements server.Settings.
func (s *Service) ResourceGroups(ctx context.Context, contains string, page server.Page) ([]v1.ResourceGroup, server.Next, error) {
	v := s.groups(ctx)
	return settings(v.known, contains, page, groupList, v.show)
}

// ResourceGroup implements server.Settings.
func (s *Service) ResourceGroup(ctx context.Context, name string) (*v1.ResourceGroup, error) {
	v := s.groups(ctx)
	return setting(v.known, groupList, name, v.show)
}

// PutResourceGroup implements server.Writes.
func (s *Service) PutResourceGroup(ctx context.Context, w server.Write, g *wire.PutResourceGroup) (*v1.ResourceGroup, uint64, error) {
	index, err := s.put(ctx, w, &wire.Command{Body: &wire.Command_PutResourceGroup{PutResourceGroup: g}})
	if err != nil {
		return nil, 0, err
	}
	out, err := s.ResourceGroup(ctx, g.Name)
	return out, index, err
}

// put proposes a setting.
func (s *Service) put(ctx context.Context, w server.Write, body *wire.Command) (uint64, error) {
	answer, err := s.once(ctx, w, func(_ *state.State, c *wire.Command) error {
		c.Body = body.Body
		return nil
	})
	if err != nil {
		return 0, err
	}
	return answer.Index, nil
}

func workspaces(st *state.State) map[string]*wire.PutWorkspace {
	known := map[string]*wire.PutWorkspace{}
	eachSpec(st, func(n *wire.Node) { known[n.Workspace] = &wire.PutWorkspace{Id: n.Workspace} })
	st.Workspaces(func(w *wire.PutWorkspace) { known[w.Id] = w })
	delete(known, "")
	return known
}

func showWorkspace(st *state.State) func(string, *wire.PutWorkspace) v1.Workspace {
	return func(id string, w *wire.PutWorkspace) v1.Workspace {
		inForce := st.Workspace(id)
		out := convert.Workspace(w, inForce.Advanced)
		out.Region = inForce.Region
		return out
	}
}

// Workspaces implements server.Settings.
func (s *Service) Workspaces(_ context.Context, contains string, page server.Page) ([]v1.Workspace, server.Next, error) {
	st := s.Machine.State()
	return settings(workspaces(st), contains, page, workspaceList, showWorkspace(st))
}

// Workspace implements server.Settings.
func (s *Service) Workspace(_ context.Context, id string) (*v1.Workspace, error) {
	st := s.Machine.State()
	return setting(workspaces(st), workspaceList, id, showWorkspace(st))
}

// PutWorkspace implements server.Writes.
func (s *Service) PutWorkspace(ctx context.Context, w server.Write, put *wire.PutWorkspace) (*v1.Workspace, uint64, error) {
	index, err := s.put(ctx, w, &wire.Command{Body: &wire.Command_PutWorkspace{PutWorkspace: put}})
	if err != nil {
		return nil, 0, err
	}
	out, err := s.Workspace(ctx, put.Id)
	return out, index, err
}

// regions are those that were set, and those that workspaces are in.
func regions(st *state.State) map[string]*wire.PutRegion {
	known := map[string]*wire.PutRegion{}
	for id := range workspaces(st) {
		r := st.Workspace(id).Region
		known[r] = &wire.PutRegion{Id: r, AdvancedMode: true}
	}
	st.Regions(func(r *wire.PutRegion) { known[r.Id] = r })
	return known
}

func showRegion(_ string, r *wire.PutRegion) v1.Region { return convert.Region(r) }

// Regions implements server.Settings.
func (s *Service) Regions(_ context.Context, contains string, page server.Page) ([]v1.Region, server.Next, error) {
	return settings(regions(s.Machine.State()), contains, page, regionList, showRegion)
}

// Region implements server.Settings.
func (s *Service) Region(_ context.Context, id string) (*v1.Region, error) {
	return setting(regions(s.Machine.State()), regionList, id, showRegion)
}

// PutRegion implements server.Writes.
func (s *Service) PutRegion(ctx context.Context, w server.Write, put *wire.PutRegion) (*v1.Region, uint64, error) {
	index, err := s.put(ctx, w, &wire.Command{Body: &wire.Command_PutRegion{PutRegion: put}})
	if err != nil {
		return nil, 0, err
	}
	out, err := s.Region(ctx, put.Id)
	return out, index, err
}

func eachSpec(st *state.State, f func(*wire.Node)) {
	g := st.Graph()
	for i := range g.Len() {
		f(g.Node(i).Spec)
	}
}
