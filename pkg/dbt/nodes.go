package dbt

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/nearest"
	"backfleet/pkg/node"
	"backfleet/pkg/wire"
)

// Options say what becomes a node, and what all of the nodes have in common.
type Options struct {
	Kinds   []string // of resources that become nodes; default models, seeds and snapshots
	Select  []string // of models, seeds and snapshots; default all
	Through []string // materializations of models that get no node, beside ephemeral

	Command    string // template, see Command; default DefaultCommand
	ProjectDir string // of the project on the agents; default: dbt finds it

	Environment   []string // NAME=VALUE, of the processes
	Workspace     string   // default: the package
	ResourceGroup string   // default: the nodes' own, as are the next four
	Baseline      string
	Priority      int32
	Retries       int32
	Daily         string // HH:MM
	Auto          bool   // the schedule runs them by itself
	DependsOnSelf bool   // of incremental models and snapshots: each date after the one before
}

// DefaultKinds are those that become nodes where nothing else is said.
var DefaultKinds = []string{Model, Seed, Snapshot}

// kinds are all that can, in the order in which they are told of.
var kinds = []string{Model, Seed, Snapshot, Test, Source}

// Import is the nodes of a project.
type Import struct {
	Nodes    []Node // sorted by id; they fit together
	Edges    int
	Counts   []Count // of each kind that the manifest has
	Warnings []node.Warning
}

// Node is one of them.
type Node struct {
	Spec    *wire.Node // complete, as node.Compile leaves it
	Package string
	Origin  string // what it was made of, for people
}

// Count says what became of the resources of a kind.
type Count struct {
	Kind  string
	Found int
	Taken int // that a node runs
	Nodes int
	Left  []Left // the others, most first
}

// Left is how many were left out for one reason.
type Left struct {
	Why   string
	Count int
}

// Why resources are left out.
const (
	whyDisabled   = "disabled"
	whyKind       = "of a kind not asked for"
	whyOther      = "nothing to run"
	whySelect     = "not selected"
	whyUnnameable = "with a name that dbt's --select cannot have"
	whyUnread     = "not read by any node"
	whyUntested   = "of what has no node"
)

// Nodes makes nodes of the project, all or none. The same manifest and options
// give the same nodes.
func (m *Manifest) Nodes(o Options) (*Import, error) {
	i, err := newImporter(m, o)
	if err != nil {
		return nil, err
	}
	i.choose()
	if err := i.connect(); err != nil {
		return nil, err
	}
	i.tests()
	specs, err := i.specs()
	if err != nil {
		return nil, err
	}
	if len(specs) == 0 {
		return nil, fault.New(fault.Invalid, "none of the project's %d resources becomes a node: %s", len(m.Resources), i.reasons())
	}
	change, err := node.Apply(nil, specs, nil)
	if err != nil {
		return nil, err
	}
	out := &Import{Counts: i.counts(), Warnings: append(i.warnings, change.Warnings...)}
	for _, n := range change.Nodes {
		from := i.origin[n.Spec.Id]
		out.Nodes = append(out.Nodes, Node{Spec: n.Spec, Package: from.Package, Origin: from.origin()})
		out.Edges += len(n.Spec.Upstreams)
	}
	return out, nil
}

// importer is one run of Nodes.
type importer struct {
	Options
	manifest  *Manifest
	selection selection
	selectors *selectors
	writer    *writer
	at        calendar.Clock
	variables []*wire.Assignment
	known     map[string]*Resource // by unique id
	ids       map[string]string    // of nodes, by unique id
	left      map[*Resource]string // why, of what has no node
	upstreams map[*Resource][]*Resource
	checks    []*check
	origin    map[string]*Resource // by the id of the node
	warnings  []node.Warning
}

// check is tests that are one node: all of one resource, or one over several.
type check struct {
	id        string // unique
	tests     []*Resource
	of        []*Resource // what must have run before; not empty
	selectors []string
}

func newImporter(m *Manifest, o Options) (i *importer, err error) {
	if len(o.Kinds) == 0 {
		o.Kinds = DefaultKinds
	}
	for _, k := range o.Kinds {
		if !slices.Contains(kinds, k) {
			return nil, fault.Field("kinds", "%q is no kind%s: expected %s", clip(k), nearest.Hint(k, kinds), strings.Join(kinds, ", "))
		}
	}
	i = &importer{
		Options: o, manifest: m, selectors: newSelectors(m.Resources), known: map[string]*Resource{}, left: map[*Resource]string{},
		upstreams: map[*Resource][]*Resource{}, origin: map[string]*Resource{},
	}
	if i.writer, err = newWriter(o); err != nil {
		return nil, err
	}
	if i.selection, err = readSelection(o.Select); err != nil {
		return nil, err
	}
	if o.Daily != "" {
		if i.at, err = calendar.ParseClock(o.Daily); err != nil {
			return nil, fault.Field("daily", "%v", err)
		}
	}
	for _, pair := range o.Environment {
		name, value, found := strings.Cut(pair, "=")
		if !found || name == "" {
			return nil, fault.Field("environment", "%q has no name and value: expected NAME=VALUE", clip(pair))
		}
		i.variables = append(i.variables, &wire.Assignment{Name: name, Value: value})
	}
	if err := i.index(); err != nil {
		return nil, err
	}
	return i, i.probe()
}

// index gives the resources their ids, and refuses a selection of nothing.
func (i *importer) index() error {
	var unique []string
	var choice []*Resource
	for _, r := range i.manifest.Resources {
		i.known[r.UniqueID] = r
		unique = append(unique, r.UniqueID, "test."+r.UniqueID)
		if slices.Contains(DefaultKinds, r.Kind) {
			choice = append(choice, r)
		}
	}
	i.ids = ids(unique)
	return i.selection.check(choice)
}

// probe tells once what would be wrong with every node.
func (i *importer) probe() error {
	n := i.spec(&Resource{UniqueID: "probe", Kind: Seed, Package: "probe"}, "probe")
	n.Code = "true"
	if _, _, err := node.Compile(n); err != nil {
		return fault.New(fault.Invalid, "the nodes cannot be made so").WithDetails(err.(*fault.Error).Details...)
	}
	return nil
}

// choose says of models, seeds, snapshots and sources which have no node.
// Those of tests follow from what they test.
func (i *importer) choose() {
	for _, r := range i.manifest.Resources {
		why := ""
		switch {
		case !slices.Contains(kinds, r.Kind):
			why = whyOther
		case r.Disabled:
			why = whyDisabled
		case !slices.Contains(i.Kinds, r.Kind):
			why = whyKind
		case r.Kind == Source || r.Kind == Test:
		case i.through(r):
			why = r.Materialized
		case !i.selection.takes(r):
			why = whySelect
		}
		if why == "" && r.Kind != Source && i.selectors.of(r) == "" {
			why = whyUnnameable
			i.warn(r, "its name has more than letters, digits, _, - and ., or begins with - or .: dbt's --select cannot be told to take it alone; rename it in dbt")
		}
		if why != "" {
			i.left[r] = why
		}
	}
}

// through says whether a model has no node because of how it is materialized:
// dbt writes the code of an ephemeral one into what reads it.
func (i *importer) through(r *Resource) bool {
	return r.Kind == Model && (r.Materialized == "ephemeral" || slices.Contains(i.Through, r.Materialized))
}

// warn tells something once.
func (i *importer) warn(r *Resource, format string, args ...any) {
	w := node.Warning{Field: r.UniqueID, Message: fmt.Sprintf(format, args...)}
	if !slices.Contains(i.warnings, w) {
		i.warnings = append(i.warnings, w)
	}
}

// connect finds the upstreams of what has a node, and leaves out sources that
// none of it reads.
func (i *importer) connect() error {
	read := map[*Resource]bool{}
	for _, r := range i.manifest.Resources {
		if i.left[r] != "" || r.Kind == Test || r.Kind == Source {
			continue
		}
		nearest, err := i.nearest(r)
		if err != nil {
			return err
		}
		i.upstreams[r] = nearest
		for _, u := range nearest {
			read[u] = true
		}
	}
	for _, r := range i.manifest.Resources {
		if r.Kind == Source && i.left[r] == "" && !read[r] {
			i.left[r] = whyUnread
		}
	}
	return nil
}

// nearest finds what a resource depends on and has a node, through all that
// has none: the order stays as it is in dbt, whatever is left out. A missing
// or disabled parent is told.
func (i *importer) nearest(r *Resource) ([]*Resource, error) {
	var found []*Resource
	seen := map[*Resource]bool{}
	for stack := []*Resource{r}; len(stack) > 0; {
		at := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for _, id := range at.DependsOn {
			parent := i.known[id]
			switch {
			case parent == nil:
				i.warn(at, "it depends on %s, which the manifest does not have: nothing waits for that", clip(id))
				continue
			case parent == r:
				return nil, fault.New(fault.Invalid, "%s depends on itself, through %s: have dbt write the manifest anew (`dbt parse`)", r.UniqueID, at.UniqueID)
			case seen[parent]:
				continue
			case parent.Disabled:
				i.warn(at, "it depends on %s, which is disabled: nothing waits for that", clip(id))
			}
			seen[parent] = true
			if i.left[parent] == "" {
				found = append(found, parent)
			} else {
				stack = append(stack, parent)
			}
		}
	}
	slices.SortFunc(found, func(a, b *Resource) int { return cmp.Compare(a.UniqueID, b.UniqueID) })
	return found, nil
}

// tests makes nodes of tests: those of one resource are one, a test over
// several is one of its own.
func (i *importer) tests() {
	of := map[*Resource]*check{}
	for _, t := range i.manifest.Resources {
		if t.Kind != Test || i.left[t] != "" {
			continue
		}
		tested := i.tested(t)
		if len(tested) == 0 {
			i.left[t] = whyUntested
			continue
		}
		c := &check{id: t.UniqueID, of: tested}
		if len(tested) == 1 {
			if of[tested[0]] == nil {
				c.id = "test." + tested[0].UniqueID
				of[tested[0]] = c
				i.checks = append(i.checks, c)
			}
			c = of[tested[0]]
		} else {
			i.checks = append(i.checks, c)
		}
		c.tests = append(c.tests, t)
		c.selectors = append(c.selectors, i.selectors.of(t))
	}
}

// tested is what must have run before a test; nothing where a part of what it
// tests has no node.
func (i *importer) tested(t *Resource) []*Resource {
	var all []*Resource
	for _, id := range t.DependsOn {
		parent := i.known[id]
		switch {
		case parent == nil:
			return nil
		case i.left[parent] == "":
			all = append(all, parent)
		case i.through(parent) && !parent.Disabled:
			nearest, err := i.nearest(parent)
			if err != nil {
				return nil
			}
			all = append(all, nearest...)
		default:
			return nil
		}
	}
	slices.SortFunc(all, func(a, b *Resource) int { return cmp.Compare(a.UniqueID, b.UniqueID) })
	return slices.Compact(all)
}
