package settings

import (
	"reflect"
	"strings"
	"unicode"
)

// entry is one setting, or a section of them.
type entry struct {
	path  string // "run.limits.memory"
	depth int
	name  string // the last part of the path
	tag   reflect.StructTag
	value reflect.Value // the field
}

func (e entry) section() bool { return e.value.Kind() == reflect.Struct }
func (e entry) doc() string   { return e.tag.Get("doc") }

// list says that it takes several values.
func (e entry) list() bool { return e.value.Kind() == reflect.Slice }
func (e entry) dict() bool { return e.value.Kind() == reflect.Map }

// flag is its name on the command line.
func (e entry) flag() string {
	if name := e.tag.Get("flag"); name != "" {
		return name
	}
	return parted(e.path, '-')
}

// variable is its name in the environment.
func (e entry) variable() string { return prefix + strings.ToUpper(parted(e.path, '_')) }

// prefix is what the names of all variables begin with.
const prefix = "BACKFLEET_AGENT_"

// parted writes a path in small letters, with its words parted.
func parted(path string, by rune) string {
	var b strings.Builder
	for _, r := range path {
		switch {
		case r == '.':
			b.WriteRune(by)
		case unicode.IsUpper(r):
			b.WriteRune(by)
			b.WriteRune(unicode.ToLower(r))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// entries lists the settings in their order, each section before its parts.
// Whole says whether those that only the whole binary has are among them.
func entries(s *Settings, whole bool) []entry {
	var list []entry
	var walk func(v reflect.Value, path string, depth int)
	walk = func(v reflect.Value, path string, depth int) {
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !whole && f.Tag.Get("whole") != "" {
				continue
			}
			name := f.Tag.Get("name")
			e := entry{path: path + name, depth: depth, name: name, tag: f.Tag, value: v.Field(i)}
			if list = append(list, e); e.section() {
				walk(e.value, e.path+".", depth+1)
			}
		}
	}
	walk(reflect.ValueOf(s).Elem(), "", 0)
	return list
}

// leaves are the settings without the sections.
func leaves(s *Settings, whole bool) (list []entry) {
	for _, e := range entries(s, whole) {
		if !e.section() {
			list = append(list, e)
		}
	}
	return list
}
