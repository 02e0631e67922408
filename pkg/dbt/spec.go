package dbt

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"backfleet/pkg/node"
	"backfleet/pkg/wire"
)

// specs writes the nodes.
func (i *importer) specs() ([]*wire.Node, error) {
	waits := i.gates()
	var all []*wire.Node
	for _, r := range i.manifest.Resources {
		if i.left[r] != "" || r.Kind == Test {
			continue
		}
		n := i.spec(r, r.UniqueID)
		n.Name, n.Description = named(r.label(), r.Tags), r.Description
		n.Upstreams = i.upstreamsOf(i.upstreams[r], waits[r])
		n.DependsOnSelf = i.DependsOnSelf && (r.Kind == Snapshot || r.Materialized == "incremental")
		if r.Kind == Source {
			n.Type, n.Params, n.Environment = node.Virtual, nil, nil
		} else if err := i.code(n, Command{Kind: r.Kind, Name: r.label(), Package: r.Package, Select: i.selectors.of(r)}); err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	for _, c := range i.checks {
		first := c.tests[0]
		about, name := first, first.label() // of a test over several
		if c.id != first.UniqueID {
			about = c.of[0]
			name = "tests of " + about.label()
		}
		n := i.spec(about, c.id)
		n.Name = named(name, about.Tags)
		n.Upstreams = i.upstreamsOf(c.of, nil)
		if err := i.code(n, Command{Kind: Test, Name: about.label(), Package: first.Package, Select: strings.Join(c.selectors, " ")}); err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, nil
}

// spec is what all nodes have in common.
func (i *importer) spec(r *Resource, unique string) *wire.Node {
	id := cmp.Or(i.ids[unique], unique)
	i.origin[id] = r
	return &wire.Node{
		Id: id, Workspace: cmp.Or(i.Workspace, oneLine(r.Package, node.MaxName)), Owner: r.Owner,
		Params:        []*wire.Assignment{{Name: "ds", Value: "${yyyy-mm-dd}"}},
		Environment:   i.variables,
		Schedule:      &wire.Schedule{Kind: wire.Schedule_DAILY, At: int32(i.at)},
		Auto:          i.Auto,
		ResourceGroup: i.ResourceGroup, Baseline: i.Baseline, Priority: i.Priority, Retries: i.Retries,
	}
}

func (i *importer) code(n *wire.Node, c Command) (err error) {
	n.Code, err = i.writer.code(c)
	return err
}

// gates says which checks a resource waits for: those whose every part is
// among its upstreams, so that what fails a test is not built upon.
func (i *importer) gates() map[*Resource][]*check {
	below := map[*Resource][]*Resource{}
	for _, r := range i.manifest.Resources {
		for _, u := range i.upstreams[r] {
			below[u] = append(below[u], r)
		}
	}
	waits := map[*Resource][]*check{}
	for _, c := range i.checks {
		for _, r := range below[c.of[0]] {
			missing := slices.ContainsFunc(c.of, func(p *Resource) bool { return !slices.Contains(i.upstreams[r], p) })
			if !missing {
				waits[r] = append(waits[r], c)
			}
		}
	}
	return waits
}

func (i *importer) upstreamsOf(resources []*Resource, checks []*check) []*wire.Upstream {
	var ids []string
	for _, r := range resources {
		ids = append(ids, i.ids[r.UniqueID])
	}
	for _, c := range checks {
		ids = append(ids, i.ids[c.id])
	}
	slices.Sort(ids)
	var all []*wire.Upstream
	for _, id := range ids {
		all = append(all, &wire.Upstream{Node: id})
	}
	return all
}

// named puts tags behind a name, as #nightly, where searches and the filters of
// backfills find them; those that have no room are left out.
func named(name string, tags []string) string {
	name = oneLine(name, node.MaxName)
	for _, t := range tags {
		tag := strings.ReplaceAll(oneLine(t, node.MaxName), " ", "_")
		if tag != "" && len(name)+len(" #"+tag) <= node.MaxName {
			name += " #" + tag
		}
	}
	return name
}

// origin says for people what a node was made of.
func (r *Resource) origin() string {
	if r.Path == "" {
		return r.UniqueID
	}
	return oneLine(r.UniqueID+", "+r.Path, 4*node.MaxName)
}

// counts says what became of all resources.
func (i *importer) counts() []Count {
	by := map[string]*Count{}
	why := map[string]map[string]int{}
	for _, r := range i.manifest.Resources {
		c := by[r.Kind]
		if c == nil {
			c = &Count{Kind: r.Kind}
			by[r.Kind], why[r.Kind] = c, map[string]int{}
		}
		c.Found++
		if reason := i.left[r]; reason != "" {
			why[r.Kind][reason]++
			continue
		}
		c.Taken++
		if r.Kind != Test {
			c.Nodes++
		}
	}
	if c := by[Test]; c != nil {
		c.Nodes = len(i.checks)
	}
	var all []Count
	for kind, c := range by {
		for reason, n := range why[kind] {
			c.Left = append(c.Left, Left{reason, n})
		}
		slices.SortFunc(c.Left, func(a, b Left) int { return cmp.Or(b.Count-a.Count, cmp.Compare(a.Why, b.Why)) })
		all = append(all, *c)
	}
	place := func(kind string) int { // those that are no nodes come last
		if p := slices.Index(kinds, kind); p >= 0 {
			return p
		}
		return len(kinds)
	}
	slices.SortFunc(all, func(a, b Count) int { return cmp.Or(place(a.Kind)-place(b.Kind), cmp.Compare(a.Kind, b.Kind)) })
	return all
}

// reasons says why nothing is left.
func (i *importer) reasons() string {
	var all []string
	for _, c := range i.counts() {
		for _, l := range c.Left {
			all = append(all, fmt.Sprintf("%s: %d %s", c.Kind, l.Count, l.Why))
		}
	}
	return strings.Join(all, ", ")
}
