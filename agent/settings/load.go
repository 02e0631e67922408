package settings

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"backfleet/pkg/fault"
	"backfleet/pkg/nearest"
)

// FlagConfig and VariableConfig name the file.
const (
	FlagConfig     = "config"
	VariableConfig = prefix + "CONFIG"
)

// Default is the origin of a value that nobody gave.
const Default = "default"

// Loaded is a configuration as it was read.
type Loaded struct {
	Settings
	File  string // empty: none was read
	whole bool
	// origins say where a value is from, by the setting's path, and for lists and
	// maps in the file by that of each part: "file:line", a variable or a flag.
	origins map[string]string
	found   []fault.Detail
}

// Flags adds a flag for each setting, and --config. Whole says whether the
// settings that only the whole binary has are among them.
func Flags(f *pflag.FlagSet, whole bool) {
	f.String(FlagConfig, "", "YAML file with the settings; see example-config ("+VariableConfig+")")
	for _, e := range leaves(&Settings{}, whole) {
		f.Var(&flagValue{entry: e}, e.flag(), e.usage())
	}
}

// flagValue collects what a flag is given. It is read with the rest.
type flagValue struct {
	entry
	texts []string
}

// Set implements pflag.Value.
func (v *flagValue) Set(text string) error {
	parts := []string{text}
	if v.list() {
		parts = strings.Split(text, ",")
	}
	v.texts = append(v.texts, parts...)
	return nil
}

// String implements pflag.Value.
func (v *flagValue) String() string { return strings.Join(v.texts, ",") }

// Type implements pflag.Value: what the help says after the flag's name.
func (v *flagValue) Type() string {
	switch {
	case v.list():
		return "a,b"
	case v.dict():
		return "name=value"
	}
	return "value"
}

// usage is the flag's help.
func (e entry) usage() string {
	text := strings.TrimSuffix(e.doc(), ".")
	if e.dict() {
		text += " (repeatable)"
	}
	if d := e.tag.Get("default"); d != "" {
		text += " (default " + d + ")"
	}
	return text
}

// Load reads the file that the flags or the environment name, then the
// environment ("name=value", as os.Environ gives it), then the flags, which
// Flags has added and which are parsed. What is wrong is among Findings, and
// has no effect.
func Load(f *pflag.FlagSet, environ []string, whole bool) *Loaded {
	l := &Loaded{whole: whole, origins: map[string]string{}}
	variables := map[string]string{}
	for _, e := range environ {
		if name, value, _ := strings.Cut(e, "="); strings.HasPrefix(name, prefix) && value != "" {
			variables[name] = value
		}
	}
	given, _ := f.GetString(FlagConfig) // Flags has added it
	if l.File = cmp.Or(given, variables[VariableConfig]); l.File != "" {
		delete(variables, VariableConfig)
		l.readFile()
	}
	l.readVariables(variables)
	for _, e := range leaves(&l.Settings, whole) {
		flag := f.Lookup(e.flag())
		if v, ok := flag.Value.(*flagValue); ok && flag.Changed {
			l.set(e, "--"+flag.Name, v.texts)
		}
	}
	if l.ID == "" {
		l.ID, _ = os.Hostname() // who has none must be told what it is called
	}
	return l
}

// Findings are what is wrong with what was read, each with its place.
func (l *Loaded) Findings() []fault.Detail { return l.found }

// Origin tells where a setting, or a part of one, is from; of a section, its
// first setting that was given.
func (l *Loaded) Origin(field string) string {
	for at := field; at != ""; at = at[:max(strings.LastIndexAny(at, ".["), 0)] {
		if origin, ok := l.origins[at]; ok {
			return origin
		}
	}
	for _, e := range leaves(&l.Settings, l.whole) {
		if origin, ok := l.origins[e.path]; ok && strings.HasPrefix(e.path, field+".") {
			return origin
		}
	}
	return Default
}

// Finding is what is wrong with a setting, with its place. The field may be a
// flag's name.
func (l *Loaded) Finding(field, message string) fault.Detail {
	for _, e := range leaves(&l.Settings, l.whole) {
		if e.flag() == strings.TrimPrefix(field, "--") {
			field = e.path
		}
	}
	d := fault.Detail{Where: l.Origin(field), Field: field, Message: message}
	if d.Where == Default {
		d.Where = ""
	}
	return d
}

func (l *Loaded) wrong(where, field, format string, args ...any) {
	l.found = append(l.found, fault.Detail{Where: where, Field: field, Message: fmt.Sprintf(format, args...)})
}

// set takes texts from the environment or from a flag.
func (l *Loaded) set(e entry, origin string, texts []string) {
	if err := setTexts(e.value, texts); err != nil {
		l.wrong(origin, e.path, "%s", err)
		return
	}
	l.replaced(e, origin)
}

// replaced notes the origin of a value, and forgets those of the parts of the
// one before.
func (l *Loaded) replaced(e entry, origin string) {
	for field := range l.origins {
		if strings.HasPrefix(field, e.path+".") || strings.HasPrefix(field, e.path+"[") {
			delete(l.origins, field)
		}
	}
	l.origins[e.path] = origin
}

func (l *Loaded) readVariables(variables map[string]string) {
	var known []string
	for _, e := range leaves(&l.Settings, l.whole) {
		name := e.variable()
		known = append(known, name)
		value, ok := variables[name]
		if !ok {
			continue
		}
		delete(variables, name)
		texts := []string{value}
		if e.list() || e.dict() {
			if texts = strings.Split(value, ","); e.list() {
				for i := range texts {
					texts[i] = strings.TrimSpace(texts[i])
				}
			}
		}
		l.set(e, name, texts)
	}
	for name := range variables {
		l.wrong("the environment", name, "there is no such setting%s", nearest.Hint(name, known))
	}
}

func (l *Loaded) readFile() {
	data, err := os.ReadFile(l.File)
	if err != nil {
		l.wrong("", FlagConfig, "%s cannot be read: %s", l.File, cause(err))
		return
	}
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		l.wrong(l.File, "", "it is not YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
		return
	}
	if len(document.Content) == 0 {
		return // nothing but comments
	}
	l.readSection(document.Content[0], "", entries(&l.Settings, true))
}

// cause is an error without the path that is named already.
func cause(err error) error {
	if p, ok := err.(*os.PathError); ok {
		return p.Err
	}
	return err
}

func (l *Loaded) at(n *yaml.Node) string { return fmt.Sprintf("%s:%d", l.File, n.Line) }

// readSection reads a mapping of settings, those whose paths begin with path.
func (l *Loaded) readSection(n *yaml.Node, path string, all []entry) {
	if isNull(n) {
		return // all of it is in comments
	}
	if n.Kind != yaml.MappingNode {
		l.wrong(l.at(n), strings.TrimSuffix(path, "."), "expected settings, name: value on a line each, found %s", found(n))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], resolve(n.Content[i+1])
		at := slices.IndexFunc(all, func(e entry) bool { return e.path == path+key.Value })
		switch {
		case at < 0:
			l.unknown(key, path, all)
		case seen[key.Value]:
			l.wrong(l.at(key), all[at].path, "it stands there twice")
		case all[at].tag.Get("whole") != "" && !l.whole:
			l.wrong(l.at(key), all[at].path, "this binary has no client of it: run the whole one, `backfleet agent`")
		case all[at].section():
			l.readSection(value, all[at].path+".", all)
		default:
			l.readValue(all[at], key, value)
		}
		seen[key.Value] = true
	}
}

// unknown refuses a name, with the nearest one there is, and says where secrets
// belong.
func (l *Loaded) unknown(key *yaml.Node, path string, all []entry) {
	var known []string
	for _, e := range all {
		if strings.HasPrefix(e.path, path) && !strings.Contains(e.path[len(path):], ".") {
			known = append(known, e.name)
		}
	}
	hint := nearest.Hint(key.Value, known)
	for _, word := range []string{"token", "password", "secret"} {
		if strings.Contains(strings.ToLower(key.Value), word) {
			hint = ": secrets are read from files of their own; name the file in tokenFile, or their folder in secrets"
		}
	}
	l.wrong(l.at(key), path+key.Value, "there is no such setting%s", hint)
}

func (l *Loaded) readValue(e entry, key, n *yaml.Node) {
	want := yaml.ScalarNode
	switch {
	case e.list():
		want = yaml.SequenceNode
	case e.dict():
		want = yaml.MappingNode
	}
	if n.Kind != want || isNull(n) {
		l.wrong(l.at(n), e.path, "expected %s, found %s", e.form(), found(n))
		return
	}
	origins := map[string]string{e.path: l.at(key)}
	var err error
	switch want {
	case yaml.SequenceNode:
		err = l.readList(e, n, origins)
	case yaml.MappingNode:
		err = l.readMap(e, n, origins)
	default:
		err = setScalar(e.value, n.Value)
	}
	if err != nil {
		l.wrong(l.at(n), e.path, "%s", err)
		return
	}
	for field, origin := range origins {
		l.origins[field] = origin
	}
}

func (l *Loaded) readList(e entry, n *yaml.Node, origins map[string]string) error {
	var texts []string
	for i, item := range n.Content {
		item = resolve(item)
		if item.Kind != yaml.ScalarNode || isNull(item) {
			return fmt.Errorf("expected %s, found %s in it", e.form(), found(item))
		}
		texts = append(texts, item.Value)
		origins[fmt.Sprintf("%s[%d]", e.path, i)] = l.at(item)
	}
	return setTexts(e.value, texts)
}

func (l *Loaded) readMap(e entry, n *yaml.Node, origins map[string]string) error {
	if err := setTexts(e.value, nil); err != nil {
		return err
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, item := n.Content[i], resolve(n.Content[i+1])
		if item.Kind != yaml.ScalarNode || isNull(item) {
			return fmt.Errorf("%q: expected a value, found %s", key.Value, found(item))
		}
		if err := setEntry(e.value, key.Value, item.Value); err != nil {
			return err
		}
		origins[e.path+"."+key.Value] = l.at(key)
	}
	return nil
}

// form is what is expected of a setting in a file.
func (e entry) form() string {
	kind := "a value"
	switch {
	case e.list():
		kind = "a list"
	case e.dict():
		kind = "names with values"
	}
	return kind + ", like " + e.tag.Get("example")
}

func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// found says in words what stands there.
func found(n *yaml.Node) string {
	switch {
	case isNull(n):
		return "nothing"
	case n.Kind == yaml.MappingNode:
		return "names with values"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	}
	return fmt.Sprintf("%q", n.Value)
}

// FlagNames are the names of the flags, without --config.
func FlagNames(whole bool) (names []string) {
	for _, e := range leaves(&Settings{}, whole) {
		names = append(names, e.flag())
	}
	return names
}
