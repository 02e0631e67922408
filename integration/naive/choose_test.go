package naive

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"backfleet/pkg/wire"
)

// R2: which nodes.

type choice struct {
	w       *world
	sub     *wire.Submit
	req     *wire.Request
	chosen  map[string]bool
	dry     map[string]wire.DryRun // left out, and yet in the plan
	invalid error
}

// after says whether node b is below node a, however far: through dependencies
// on the same D or on a window of dates.
func (w *world) after(b, a string) bool {
	for _, u := range w.nodes[b].Upstreams {
		if !u.Previous && (u.Node == a || w.after(u.Node, a)) {
			return true
		}
	}
	return false
}

// level is the shortest distance of a node below a root, -1 when it is not.
func (w *world) level(node, root string) int {
	if node == root {
		return 0
	}
	best := -1
	for _, u := range w.nodes[node].Upstreams {
		if u.Previous {
			continue
		}
		if l := w.level(u.Node, root); l >= 0 && (best < 0 || l+1 < best) {
			best = l + 1
		}
	}
	return best
}

func (w *world) region(workspace string) string {
	if s := w.workspaces[workspace]; s != nil && s.Region != "" {
		return s.Region
	}
	return "default"
}

func (w *world) advanced(workspace string) bool {
	if s := w.workspaces[workspace]; s != nil && s.AdvancedMode != nil {
		return *s.AdvancedMode
	}
	if r := w.regions[w.region(workspace)]; r != nil {
		return r.AdvancedMode
	}
	return true
}

// choose finds the nodes of a backfill: each with why it is a dry run, if it is.
func (w *world) choose(sub *wire.Submit) (map[string]wire.DryRun, error) {
	c := &choice{w: w, sub: sub, req: sub.Request, chosen: map[string]bool{}, dry: map[string]wire.DryRun{}}
	if c.req.Mode != wire.Request_ADVANCED && w.nodes[c.req.Root] == nil {
		return nil, fmt.Errorf("no root %q", c.req.Root)
	}
	if c.req.Mode != wire.Request_ADVANCED {
		c.mustRun(c.req.Root)
	}
	switch c.req.Mode {
	case wire.Request_CURRENT:
		c.chosen[c.req.Root] = true
	case wire.Request_DESCENDANTS:
		c.descendants()
	case wire.Request_MASSIVE:
		c.massive()
	case wire.Request_ADVANCED:
		c.advanced()
	case wire.Request_CHAIN:
		c.chain()
	}
	c.permissions()
	for _, n := range c.req.Nodes {
		c.mustRun(n)
	}
	for _, n := range c.req.Whitelist {
		c.mustRun(n)
	}
	if c.invalid == nil && len(c.chosen) == 0 {
		c.refuse("nothing is chosen")
	}
	return c.result(), c.invalid
}

func (c *choice) refuse(format string, args ...any) { c.invalid = fmt.Errorf(format, args...) }

func (c *choice) descendants() {
	r := c.req
	for id, n := range c.w.nodes {
		level := c.w.level(id, r.Root)
		switch {
		case level < 0:
			if slices.Contains(r.Nodes, id) {
				c.refuse("%s is no descendant", id)
			}
		case level == 0:
			c.chosen[id] = !r.WithoutRoot
		case len(r.Nodes) > 0:
			c.chosen[id] = slices.Contains(r.Nodes, id)
		default:
			c.chosen[id] = strings.Contains(strings.ToLower(n.Name), strings.ToLower(r.NameFilter)) && (r.MaxLevel == 0 || level <= int(r.MaxLevel))
		}
		if !c.chosen[id] {
			delete(c.chosen, id)
		}
	}
}

func (c *choice) massive() {
	r, home := c.req, c.w.nodes[c.req.Root].Workspace
	spaces := r.Workspaces
	if len(spaces) == 0 {
		spaces = []string{home}
	}
	for _, s := range spaces {
		if !slices.ContainsFunc(slices.Collect(maps.Values(c.w.nodes)), func(n *wire.Node) bool { return n.Workspace == s }) {
			c.refuse("no node is in workspace %s", s)
		}
		if c.w.region(s) != c.w.region(home) {
			c.refuse("workspace %s is of another region", s)
		}
		if len(r.Workspaces) > 0 && c.sub.Restricted && !slices.Contains(c.sub.Workspaces, s) {
			c.refuse("workspace %s is not permitted", s)
		}
	}
	for _, id := range append(slices.Clone(r.Whitelist), r.Blacklist...) {
		if c.w.nodes[id] == nil || c.w.level(id, r.Root) < 0 {
			c.refuse("%s is no descendant", id)
			return
		}
		inside := slices.Contains(spaces, c.w.nodes[id].Workspace)
		switch white, black := slices.Contains(r.Whitelist, id), slices.Contains(r.Blacklist, id); {
		case white && black:
			c.refuse("%s is in both lists", id)
		case white && (inside || id == r.Root), black && !inside && id != r.Root:
			c.refuse("%s is on the wrong side", id)
		}
	}
	for id, n := range c.w.nodes {
		if c.w.level(id, r.Root) < 0 {
			continue
		}
		black := slices.Contains(r.Blacklist, id)
		switch {
		case id == r.Root && (black || r.WithoutRoot):
			c.dry[id] = wire.DryRun_CURRENT_NODE_CLEARED
		case black:
			c.dry[id] = wire.DryRun_BLACKLISTED
		case id == r.Root || slices.Contains(spaces, n.Workspace) || slices.Contains(r.Whitelist, id):
			c.chosen[id] = true
		}
	}
}

func (c *choice) advanced() {
	for _, id := range c.req.Nodes {
		if c.w.nodes[id] == nil {
			c.refuse("no node %s", id)
			return
		}
		c.chosen[id] = true
	}
	for _, f := range c.req.Filters {
		some := false
		for id, n := range c.w.nodes {
			if (f.Workspace == "" || f.Workspace == n.Workspace) && (f.Owner == "" || f.Owner == n.Owner) &&
				(f.Priority == 0 || f.Priority == n.Priority) && (f.Type == "" || f.Type == n.Type) &&
				(f.ResourceGroup == "" || f.ResourceGroup == n.ResourceGroup) &&
				strings.Contains(strings.ToLower(n.Name), strings.ToLower(f.Name)) && strings.Contains(strings.ToLower(id), strings.ToLower(f.Id)) {
				c.chosen[id], some = true, true
			}
		}
		if !some {
			c.refuse("a filter matches nothing")
		}
	}
	for id := range c.chosen {
		if !c.w.advanced(c.w.nodes[id].Workspace) {
			c.refuse("workspace of %s has the mode switched off", id)
		}
	}
}

func (c *choice) chain() {
	from, to := c.req.Root, c.req.End
	if c.w.nodes[to] == nil || !c.w.after(to, from) {
		c.refuse("no way from %s to %s", from, to)
		return
	}
	c.mustRun(to)
	for id := range c.w.nodes {
		if (id == from || c.w.after(id, from)) && (id == to || c.w.after(to, id)) {
			c.chosen[id] = true
		}
	}
}

// mustRun refuses a node that was named and is not permitted (RULES R2.9).
func (c *choice) mustRun(id string) {
	if !c.permitted(id) {
		c.refuse("%s is not permitted", id)
	}
}

// permissions makes dry runs of nodes that came with others and are not
// permitted (RULES R2.9).
func (c *choice) permissions() {
	for id := range c.chosen {
		if !c.permitted(id) {
			delete(c.chosen, id)
			c.dry[id] = wire.DryRun_NOT_PERMITTED
		}
	}
}

func (c *choice) permitted(id string) bool {
	return !c.sub.Restricted || slices.Contains(c.sub.Workspaces, c.w.nodes[id].Workspace)
}

// result adds the bridges (RULES R2.6).
func (c *choice) result() map[string]wire.DryRun {
	out := map[string]wire.DryRun{}
	for id, why := range c.dry {
		out[id] = why
	}
	for id := range c.chosen {
		out[id] = wire.DryRun_DRY_RUN_NONE
	}
	for id := range c.w.nodes {
		if _, in := out[id]; in {
			continue
		}
		above, below := false, false
		for other := range c.chosen {
			above = above || c.w.after(id, other)
			below = below || c.w.after(other, id)
		}
		if above && below {
			out[id] = wire.DryRun_NOT_CHOSEN
			if !c.permitted(id) {
				out[id] = wire.DryRun_NOT_PERMITTED
			}
		}
	}
	return out
}
