package dbt

import (
	"path"
	"slices"
	"strings"

	"backfleet/pkg/fault"
	"backfleet/pkg/nearest"
)

// selection is what --select says: any of its members chooses a resource.
type selection []criteria

// criteria choose what agrees with all of them.
type criteria struct {
	text string
	all  []func(*Resource) bool
}

var methods = map[string]func(pattern string) func(*Resource) bool{
	"tag": func(p string) func(*Resource) bool {
		return func(r *Resource) bool { return slices.ContainsFunc(r.Tags, func(t string) bool { return match(p, t) }) }
	},
	"path": func(p string) func(*Resource) bool {
		p = strings.TrimSuffix(p, "/")
		return func(r *Resource) bool { return inside(p, r.Path) }
	},
	"package": func(p string) func(*Resource) bool {
		return func(r *Resource) bool { return match(p, r.Package) }
	},
	"name": func(p string) func(*Resource) bool {
		return func(r *Resource) bool { return match(p, r.Name) || match(p, r.label()) }
	},
}

const selectForms = "expected tag:NAME, path:FOLDER, package:NAME or a model's name, each with * where anything may stand, joined by commas where all must hold"

func readSelection(texts []string) (selection, error) {
	var s selection
	for _, text := range texts {
		c := criteria{text: text}
		for one := range strings.SplitSeq(text, ",") {
			method, pattern, found := strings.Cut(one, ":")
			if !found {
				method, pattern = "name", one
			}
			of, known := methods[method]
			_, bad := path.Match(pattern, "")
			switch {
			case !known:
				return nil, fault.Field("select", "%q: there is no method %q%s; %s", clip(text), clip(method), nearest.Hint(method, []string{"tag", "path", "package"}), selectForms)
			case strings.HasPrefix(one, "@") || strings.HasPrefix(one, "+") || strings.HasSuffix(one, "+"):
				return nil, fault.Field("select", "%q: a graph's operators (+, @) are not for an import: name what is meant here, and choose what is below a node in the backfill", clip(text))
			case pattern == "" || bad != nil:
				return nil, fault.Field("select", "%q: %s", clip(text), selectForms)
			}
			c.all = append(c.all, of(pattern))
		}
		s = append(s, c)
	}
	return s, nil
}

// takes says whether a resource is chosen; without any criteria all are.
func (s selection) takes(r *Resource) bool {
	return len(s) == 0 || slices.ContainsFunc(s, func(c criteria) bool { return c.match(r) })
}

func (c criteria) match(r *Resource) bool {
	return !slices.ContainsFunc(c.all, func(holds func(*Resource) bool) bool { return !holds(r) })
}

// check refuses criteria that none of the resources agrees with: they were
// meant otherwise.
func (s selection) check(among []*Resource) error {
	for _, c := range s {
		if slices.ContainsFunc(among, c.match) {
			continue
		}
		var names []string
		for _, r := range among {
			names = append(names, r.Name)
			for _, t := range r.Tags {
				names = append(names, "tag:"+t)
			}
		}
		return fault.Field("select", "%q: nothing in the project agrees with it%s: %s", clip(c.text), nearest.Hint(c.text, names), selectForms)
	}
	return nil
}

// match holds a text against a pattern that is known to be one.
func match(pattern, text string) bool {
	ok, err := path.Match(pattern, text)
	return ok && err == nil
}

// inside says whether a file agrees with a pattern, or lies in a folder that
// does.
func inside(pattern, file string) bool {
	for ; file != "." && file != "/" && file != ""; file = path.Dir(file) {
		if match(pattern, file) {
			return true
		}
	}
	return false
}
