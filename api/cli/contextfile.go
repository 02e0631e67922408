package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"backfleet/pkg/fault"
	"backfleet/pkg/nearest"
)

// contextField is one thing that a context may say of the commands that use it.
type contextField struct {
	key  string // in the file
	flag string // that says the same for one command; empty: none does
	list bool   // of words separated by commas
	file bool   // a path; from the file's own folder on
}

// variable is the environment's default of a flag.
func (f contextField) variable() string { return flagVariable(f.flag) }

func flagVariable(flag string) string {
	return "BACKFLEET_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// contextFields in the order in which they are written and shown.
var contextFields = []contextField{
	{key: "servers", flag: "server", list: true},
	{key: "etcd", flag: DirectoryFlag, list: true},
	{key: "etcdCa", flag: DirectoryFlag + "-ca", file: true},
	{key: "etcdCert", flag: DirectoryFlag + "-cert", file: true},
	{key: "etcdKey", flag: DirectoryFlag + "-key", file: true},
	{key: "etcdLogin", flag: DirectoryFlag + "-login", file: true},
	{key: "etcdPrefix", flag: DirectoryFlag + "-prefix"},
	{key: "ca", flag: "ca", file: true},
	{key: "cert", flag: "cert", file: true},
	{key: "key", flag: "key", file: true},
	{key: "tokenFile", flag: "token-file", file: true},
	{key: keyToken},
	{key: "output", flag: flagOutput},
}

// keyToken is the one secret of a context.
const keyToken = "token"

func contextKeys() []string {
	var keys []string
	for _, f := range contextFields {
		keys = append(keys, f.key)
	}
	return keys
}

// contextSettings are what one context says, by key; lists with commas.
type contextSettings map[string]string

// contextFile is the command line's own configuration: clusters under names,
// and which of them is meant when none is named.
type contextFile struct {
	path     string
	current  string
	contexts map[string]contextSettings
}

// contextPath is where the configuration is; empty: nobody says.
func contextPath(getenv func(string) string) string {
	switch home := getenv("HOME"); {
	case getenv("BACKFLEET_CONFIG") != "":
		return getenv("BACKFLEET_CONFIG")
	case getenv("XDG_CONFIG_HOME") != "":
		return filepath.Join(getenv("XDG_CONFIG_HOME"), "backfleet", "config.yaml")
	case home != "":
		return filepath.Join(home, ".config", "backfleet", "config.yaml")
	}
	return ""
}

// maxContextFile bounds what is read, in bytes.
const maxContextFile = 1 << 20

// readContexts reads the file at path; none is as good as an empty one. Every
// mistake is told with its line and field. Others may not read one with a token.
func readContexts(path string) (*contextFile, error) {
	c := &contextFile{path: path, contexts: map[string]contextSettings{}}
	if path == "" {
		return c, nil
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxContextFile) {
		return nil, fault.New(fault.Invalid, "%s is no configuration: expected a file of at most %d bytes", path, maxContextFile)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "the configuration cannot be read")
	}
	if err := c.parse(text); err != nil {
		return nil, err
	}
	for _, settings := range c.contexts {
		if others := info.Mode().Perm() & 0o077; settings[keyToken] != "" && others != 0 {
			return nil, fault.New(fault.Denied, "%s holds a token and others may read it: `chmod 600 %s`, and think of the token as known", path, path)
		}
	}
	return c, nil
}

// contextReader gathers what is wrong with a file.
type contextReader struct {
	file  *contextFile
	wrong []contextMistake
}

type contextMistake struct {
	line   int
	detail fault.Detail
}

func (r *contextReader) refuse(at *yaml.Node, field, format string, args ...any) {
	r.wrong = append(r.wrong, contextMistake{at.Line, fault.Detail{
		Where: fmt.Sprintf("%s:%d", r.file.path, at.Line), Field: field, Message: fmt.Sprintf(format, args...),
	}})
}

func (c *contextFile) parse(text []byte) error {
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return fault.New(fault.Invalid, "%s is not YAML: %s", c.path, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	r := &contextReader{file: c}
	if len(root.Content) == 1 && root.Content[0].ShortTag() != "!!null" {
		r.document(root.Content[0])
	}
	if len(r.wrong) == 0 {
		return nil
	}
	slices.SortStableFunc(r.wrong, func(a, b contextMistake) int { return cmp.Compare(a.line, b.line) })
	told := fault.New(fault.Invalid, "the configuration is wrong")
	for _, m := range r.wrong {
		told.Details = append(told.Details, m.detail)
	}
	return told
}

func (r *contextReader) document(root *yaml.Node) {
	var current *yaml.Node
	r.mapping("", root, func(key string, name, value *yaml.Node) {
		switch key {
		case "current":
			current, r.file.current = value, r.word("current", value)
		case "contexts":
			r.mapping("contexts", value, func(name string, at, value *yaml.Node) {
				field := "contexts." + name
				if !validContext(name) {
					r.refuse(at, field, "%q is no name of a context: expected %s", name, contextNameForm)
				}
				r.context(field, name, value)
			})
		default:
			known := []string{"current", "contexts"}
			r.refuse(name, key, "there is no such field%s: expected %s", nearest.Hint(key, known), strings.Join(known, ", "))
		}
	})
	if at := r.file.current; at != "" && r.file.contexts[at] == nil {
		r.refuse(current, "current", "there is no context %q: expected %s", at, r.file.known())
	}
}

func (r *contextReader) context(field, name string, value *yaml.Node) {
	settings := contextSettings{}
	r.file.contexts[name] = settings
	r.mapping(field, value, func(key string, at, value *yaml.Node) {
		i := slices.IndexFunc(contextFields, func(f contextField) bool { return f.key == key })
		inner := field + "." + key
		switch {
		case i < 0:
			r.refuse(at, inner, "there is no such field%s: expected %s", nearest.Hint(key, contextKeys()), strings.Join(contextKeys(), ", "))
		case contextFields[i].list && value.Kind == yaml.SequenceNode:
			var words []string
			for k, one := range value.Content {
				words = append(words, r.word(fmt.Sprintf("%s[%d]", inner, k), one))
			}
			settings[key] = strings.Join(words, ",")
		default:
			settings[key] = r.word(inner, value)
		}
	})
	if settings[keyToken] != "" && settings["tokenFile"] != "" {
		r.refuse(value, field, "a token and a file of one: expected one of both")
	}
	if form := settings["output"]; form != "" && !slices.Contains(outputForms, form) {
		r.refuse(value, field+".output", "%q is not known: expected %s", form, formList())
	}
}

// mapping goes over names and values; what is no mapping, and a name that is
// there twice, is refused.
func (r *contextReader) mapping(field string, n *yaml.Node, each func(key string, name, value *yaml.Node)) {
	if n.ShortTag() == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.refuse(n, field, "expected names and values")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		if seen[name.Value] {
			r.refuse(name, strings.TrimPrefix(field+"."+name.Value, "."), "it is there twice")
			continue
		}
		seen[name.Value] = true
		each(name.Value, name, value)
	}
}

// word is a text of one line. Its text is not repeated in what is refused: it
// may be a secret.
func (r *contextReader) word(field string, n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" || strings.ContainsAny(n.Value, "\r\n\x00") {
		r.refuse(n, field, "expected a text of one line")
		return ""
	}
	return n.Value
}

var contextName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$`)

const contextNameForm = "letters, digits and . _ @ -, at most 64, a letter or digit first"

func validContext(name string) bool { return contextName.MatchString(name) }

func (c *contextFile) names() []string { return slices.Sorted(maps.Keys(c.contexts)) }

// known lists the contexts for who named another.
func (c *contextFile) known() string {
	if len(c.contexts) == 0 {
		return "one that `backfleet context set` has made; there is none yet"
	}
	return strings.Join(c.names(), ", ")
}

// find is a context by name; what says where the name is from.
func (c *contextFile) find(what, name string) (contextSettings, error) {
	if settings := c.contexts[name]; settings != nil {
		return settings, nil
	}
	return nil, &fault.Error{Code: fault.NotFound, Field: what, Message: fmt.Sprintf("there is no context %q%s: expected %s", name, nearest.Hint(name, c.names()), c.known())}
}

// write replaces the file, or leaves it as it was. Only its owner can read it.
func (c *contextFile) write() error {
	if c.path == "" {
		return fault.New(fault.Invalid, "nobody says where the configuration is: expected HOME, XDG_CONFIG_HOME or BACKFLEET_CONFIG in the environment")
	}
	text, err := c.text()
	if err != nil {
		return err
	}
	path := c.path
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // a link stays one
	}
	if err := writePrivate(path, text); err != nil {
		return fault.Wrap(err, fault.Invalid, "the configuration cannot be written")
	}
	return nil
}

func writePrivate(path string, text []byte) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // of mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// text writes the fields in their order.
func (c *contextFile) text() ([]byte, error) {
	scalar := func(s string) *yaml.Node { n := &yaml.Node{}; n.SetString(s); return n }
	contexts := &yaml.Node{Kind: yaml.MappingNode}
	for _, name := range c.names() {
		one := &yaml.Node{Kind: yaml.MappingNode}
		for _, f := range contextFields {
			value := c.contexts[name][f.key]
			switch {
			case value == "":
			case f.list:
				list := &yaml.Node{Kind: yaml.SequenceNode}
				for word := range strings.SplitSeq(value, ",") {
					list.Content = append(list.Content, scalar(word))
				}
				one.Content = append(one.Content, scalar(f.key), list)
			default:
				one.Content = append(one.Content, scalar(f.key), scalar(value))
			}
		}
		contexts.Content = append(contexts.Content, scalar(name), one)
	}
	root := &yaml.Node{Kind: yaml.MappingNode}
	if c.current != "" {
		root.Content = append(root.Content, scalar("current"), scalar(c.current))
	}
	root.Content = append(root.Content, scalar("contexts"), contexts)
	var out strings.Builder
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := e.Encode(root); err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the configuration cannot be written")
	}
	return []byte(out.String()), nil
}
