// Package dbt makes nodes of a dbt project: of target/manifest.json, in which
// dbt writes down what it has read. DESIGN.md beside this file says what
// becomes of what.
package dbt

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"backfleet/pkg/fault"
	"backfleet/pkg/node"
)

// Schemas are the versions of the manifest that are read: those of dbt 1.5
// (9), 1.6 (10), 1.7 (11), of 1.8 and all later ones so far (12), and the
// number that early builds of the Fusion engine gave to what is 12.
var Schemas = []int{9, 10, 11, 12, 20}

// The kinds of resources that may become nodes, as dbt calls them.
const (
	Model    = "model"
	Seed     = "seed"
	Snapshot = "snapshot"
	Test     = "test"
	Source   = "source"
)

// Manifest is what of a manifest.json bears on nodes.
type Manifest struct {
	Schema    int
	DBT       string      // the version of dbt that wrote it
	Project   string      // the package of the project itself; "unnamed" where an old dbt does not say
	Resources []*Resource // sorted by unique id
}

// Resource is a model or one of the other things that dbt numbers among its
// graph, whether it becomes a node or not.
type Resource struct {
	UniqueID     string // model.shop.orders
	Kind         string // model
	Package      string // shop
	Name         string // orders; of a source the table with its source before it
	Version      string // of a model that has several
	Path         string // of its file in the package
	FQN          []string
	Tags         []string // sorted
	Description  string
	Owner        string
	Materialized string
	Disabled     bool
	DependsOn    []string // unique ids
}

// Read reads a manifest.json of any size: what is kept in memory is of the
// size of the graph, what is passed over of the size of one model.
func Read(r io.Reader) (*Manifest, error) {
	m := &Manifest{}
	d := &decoder{Decoder: json.NewDecoder(r), manifest: m, groups: map[string]string{}, seen: map[string]bool{}}
	if err := d.members(d.section); err != nil {
		return nil, d.explain(err)
	}
	if m.Schema == 0 {
		return nil, notOurs("it does not say of which version it is")
	}
	for _, e := range d.off { // one that is on goes before
		if !d.seen[e.UniqueID] {
			d.seen[e.UniqueID] = true
			d.entries = append(d.entries, e)
		}
	}
	for _, e := range d.entries {
		m.Resources = append(m.Resources, e.resource(d.groups))
	}
	slices.SortFunc(m.Resources, func(a, b *Resource) int { return cmp.Compare(a.UniqueID, b.UniqueID) })
	return m, nil
}

// decoder reads the manifest member by member.
type decoder struct {
	*json.Decoder
	manifest *Manifest
	entries  []*entry
	off      []*entry          // switched off
	groups   map[string]string // owners, by package.name
	seen     map[string]bool   // unique ids
}

// section reads or passes over a member of the manifest.
func (d *decoder) section(name string) error {
	switch name {
	case "metadata":
		return d.metadata()
	case "nodes", "sources", "metrics", "semantic_models", "saved_queries", "functions":
		return d.members(d.entry)
	case "groups":
		return d.members(func(string) error { return d.group() })
	case "disabled":
		return d.disabled()
	}
	return d.skip()
}

var schemaForm = regexp.MustCompile(`/([a-z-]+)/v(\d+)(?:\.json|/|$)`)

// metadata is the first member that dbt writes, so that a file of another
// version is refused before it is read.
func (d *decoder) metadata() error {
	var m struct {
		Schema  string `json:"dbt_schema_version"`
		DBT     string `json:"dbt_version"`
		Project string `json:"project_name"`
	}
	if err := d.Decode(&m); err != nil {
		return err
	}
	found := schemaForm.FindStringSubmatch(m.Schema)
	switch {
	case found == nil:
		return notOurs(fmt.Sprintf("its metadata.dbt_schema_version is %q", clip(m.Schema)))
	case found[1] != "manifest":
		return notOurs("it is a file of " + found[1])
	}
	version, _ := strconv.Atoi(found[2])
	if !slices.Contains(Schemas, version) {
		return notOurs(fmt.Sprintf("it has version %d, written by dbt %s", version, clip(m.DBT)))
	}
	d.manifest.Schema, d.manifest.DBT, d.manifest.Project = version, m.DBT, cmp.Or(m.Project, "unnamed")
	return nil
}

func notOurs(what string) error {
	return fault.New(fault.Invalid, "this is no manifest that can be read: %s; expected the target/manifest.json of dbt 1.5 or later (versions 9 to 12, or 20)", what)
}

func (d *decoder) entry(id string) error {
	e := &entry{}
	if err := d.Decode(e); err != nil {
		return fmt.Errorf("%s: %w", clip(id), err)
	}
	if d.seen[id] {
		return fault.New(fault.Invalid, "the manifest has %q twice: have dbt write it anew (`dbt parse`)", clip(id))
	}
	e.UniqueID, d.seen[id] = id, true
	d.entries = append(d.entries, e)
	return nil
}

// disabled reads what dbt has switched off: lists, as one name may be given
// several times while it is off.
func (d *decoder) disabled() error {
	return d.members(func(id string) error {
		var list []*entry
		if err := d.Decode(&list); err != nil {
			return fmt.Errorf("disabled %s: %w", clip(id), err)
		}
		if len(list) > 0 && list[0] != nil {
			list[0].UniqueID, list[0].disabled = id, true
			d.off = append(d.off, list[0])
		}
		return nil
	})
}

func (d *decoder) group() error {
	var g struct {
		Name    string `json:"name"`
		Package string `json:"package_name"`
		Owner   owner  `json:"owner"`
	}
	if err := d.Decode(&g); err != nil {
		return fmt.Errorf("group: %w", err)
	}
	d.groups[g.Package+"."+g.Name] = string(g.Owner)
	return nil
}

// members visits the members of an object, each of which visit consumes. What
// is null has none.
func (d *decoder) members(visit func(name string) error) error {
	open, err := d.Token()
	switch {
	case err != nil:
		return err
	case open == nil:
		return nil
	case open != json.Delim('{'):
		return fmt.Errorf("%v: expected an object", open)
	}
	for d.More() {
		name, err := d.Token()
		if err == nil {
			err = visit(fmt.Sprint(name))
		}
		if err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

// skip passes over a value without holding it.
func (d *decoder) skip() error {
	for depth := 0; ; {
		t, err := d.Token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

// explain says of an error where in the file it was met.
func (d *decoder) explain(err error) error {
	var coded *fault.Error
	if errors.As(err, &coded) {
		return err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fault.New(fault.Invalid, "the manifest ends in the middle, after %d bytes: have dbt write it anew (`dbt parse`)", d.InputOffset())
	}
	return fault.Wrap(err, fault.Invalid, "the manifest cannot be read, at byte %d: expected what dbt writes to target/manifest.json", d.InputOffset())
}

// entry is a resource as the file has it.
type entry struct {
	UniqueID    string      `json:"-"` // the name of the member
	Kind        string      `json:"resource_type"`
	Package     string      `json:"package_name"`
	Name        string      `json:"name"`
	SourceName  string      `json:"source_name"`
	Version     version     `json:"version"`
	Path        string      `json:"original_file_path"`
	FQN         []string    `json:"fqn"`
	Tags        texts       `json:"tags"`
	Description string      `json:"description"`
	Group       string      `json:"group"`
	Meta        meta        `json:"meta"`
	Config      entryConfig `json:"config"`
	DependsOn   struct {
		Nodes []string `json:"nodes"`
	} `json:"depends_on"`
	disabled bool
}

type entryConfig struct {
	Enabled      *bool  `json:"enabled"`
	Materialized string `json:"materialized"`
	Group        string `json:"group"`
	Tags         texts  `json:"tags"`
	Meta         meta   `json:"meta"`
}

type meta struct {
	Owner owner `json:"owner"`
}

// resource is the entry with its owner found: its own, else its group's.
func (e *entry) resource(groups map[string]string) *Resource {
	r := &Resource{
		UniqueID: e.UniqueID, Kind: e.Kind, Package: e.Package, Name: e.Name, Version: string(e.Version), Path: e.Path, FQN: e.FQN,
		Description: cut(strings.ReplaceAll(strings.TrimSpace(e.Description), "\x00", ""), node.MaxText),
		Owner:       cmp.Or(string(e.Config.Meta.Owner), string(e.Meta.Owner), groups[e.Package+"."+cmp.Or(e.Config.Group, e.Group)]),

		Materialized: e.Config.Materialized,
		Disabled:     e.disabled || e.Config.Enabled != nil && !*e.Config.Enabled,
		DependsOn:    e.DependsOn.Nodes,
	}
	if e.SourceName != "" {
		r.Name = e.SourceName + "." + e.Name
	}
	r.Tags = slices.Concat(e.Tags, e.Config.Tags)
	slices.Sort(r.Tags)
	r.Tags = slices.Compact(r.Tags)
	return r
}

// label is the name by which people and dbt tell a resource apart: orders, or
// orders.v2.
func (r *Resource) label() string {
	if r.Version == "" {
		return r.Name
	}
	return r.Name + ".v" + r.Version
}

// texts is a list of texts, or one.
type texts []string

// UnmarshalJSON takes what dbt has written in any version.
func (t *texts) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*t = nil
		if one != "" {
			*t = texts{one}
		}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(t))
}

// owner is a name, a list of names, or a mapping with a name or an address. It
// is whatever people have agreed on: what is of no such form is nobody.
type owner string

// UnmarshalJSON never fails.
func (o *owner) UnmarshalJSON(data []byte) error {
	var names texts
	if names.UnmarshalJSON(data) == nil {
		*o = owner(oneLine(strings.Join(names, ", "), node.MaxName))
		return nil
	}
	var who struct {
		Name  texts `json:"name"`
		Email texts `json:"email"`
	}
	if json.Unmarshal(data, &who) == nil {
		*o = owner(oneLine(cmp.Or(strings.Join(who.Name, ", "), strings.Join(who.Email, ", ")), node.MaxName))
	}
	return nil
}

// version is a number or a text; null is none.
type version string

// UnmarshalJSON takes both.
func (v *version) UnmarshalJSON(data []byte) error {
	if text := strings.Trim(string(data), `"`); text != "null" {
		*v = version(text)
	}
	return nil
}
