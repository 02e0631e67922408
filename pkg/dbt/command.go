package dbt

import (
	"strings"
	"text/template"

	"backfleet/pkg/fault"
)

// DefaultCommand is the template of the code of nodes that run dbt. Each
// attempt has a target folder and logs of its own: two runs of dbt that share
// them write over each other's.
const DefaultCommand = `exec dbt {{.Verb}}{{with .ProjectDir}} --project-dir {{.}}{{end}} --select {{.Select}}` +
	` --vars '{"ds": "${ds}"}' --target-path "$PWD/target" --log-path "$PWD/logs"`

// Command is what a template of code may use. All of it is plain words, which
// mean themselves to a shell, bare or within quotes of any kind; the folder is
// one word, quoted where it must be.
type Command struct {
	Kind       string // model, seed, snapshot or test
	Verb       string // what dbt does with it: run, seed, snapshot or test
	Name       string // orders; of a node of tests that of what is tested
	Package    string // shop
	Select     string // that and nothing else, for --select: fqn:shop.marts.orders; several tests with blanks between them
	ProjectDir string // as it was given
}

var verbs = map[string]string{Model: "run", Seed: "seed", Snapshot: "snapshot", Test: "test"}

// writer fills the template.
type writer struct {
	*template.Template
	projectDir string
}

func newWriter(o Options) (*writer, error) {
	text := o.Command
	if text == "" {
		text = DefaultCommand
	}
	t, err := template.New("command").Parse(text)
	if err != nil {
		return nil, fault.Field("command", "%v: expected a template such as `dbt {{.Verb}} --select {{.Select}}`", err)
	}
	w := &writer{Template: t}
	if o.ProjectDir != "" {
		w.projectDir = quote(o.ProjectDir)
	}
	if _, err := w.code(Command{Kind: Model, Name: "x", Package: "x", Select: "fqn:x"}); err != nil {
		return nil, err
	}
	return w, nil
}

func (w *writer) code(c Command) (string, error) {
	c.Verb, c.ProjectDir = verbs[c.Kind], w.projectDir
	var b strings.Builder
	if err := w.Execute(&b, c); err != nil {
		return "", fault.Field("command", "%v: expected of .Kind, .Verb, .Name, .Package, .Select and .ProjectDir", err)
	}
	code := strings.TrimSpace(b.String())
	if code == "" {
		return "", fault.Field("command", "it gives no code for a %s: expected a command", c.Kind)
	}
	return code + "\n", nil
}

// selectors finds for each resource what dbt's --select takes for it alone.
type selectors struct {
	prefixes map[string]bool // of the dotted names: folders, and models with a folder of their name beside them
}

func newSelectors(all []*Resource) *selectors {
	s := &selectors{prefixes: map[string]bool{}}
	for _, r := range all {
		dotted := strings.Join(r.FQN, ".")
		for i, c := range dotted {
			if c == '.' {
				s.prefixes[dotted[:i]] = true
			}
		}
	}
	return s
}

// of gives the selector; empty where dbt has none for such names. The name by
// packages and folders is the exact one, unless something lies in a folder of
// that name, or a folder has a blank in its own: then the name of the file
// tells it apart.
func (s *selectors) of(r *Resource) string {
	dotted := strings.Join(r.FQN, ".")
	exact := plainWord(dotted)
	switch {
	case !plainWord(r.Package) || !plainWord(r.label()):
		return ""
	case !exact:
		dotted = r.label()
	}
	file := r.Path[strings.LastIndexByte(r.Path, '/')+1:]
	if r.Kind != Test && (!exact || s.prefixes[dotted]) && plainWord(file) {
		return "fqn:" + dotted + ",file:" + file
	}
	return "fqn:" + dotted
}
