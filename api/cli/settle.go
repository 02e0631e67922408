package cli

import (
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"backfleet/pkg/fault"
)

// Where a value comes from; what is said nearer to the command goes before.
const (
	fromDefault = iota
	fromContext
	fromEnvironment
	fromFlag
)

// origin says where one setting of a command comes from.
type origin struct {
	level int
	name  string // the flag, variable or context
}

// settled is where a command's settings come from, by key of contextFields, and
// the context that is meant.
type settled struct {
	context string // its name; empty: none
	stored  contextSettings
	origins map[string]origin
}

const (
	variableContext = "BACKFLEET_CONTEXT"
	flagContext     = "context"
	flagOutput      = "output"
	// filled marks the flags that a context fills in. Others of the same
	// name mean other things.
	filled = "backfleet_context"
)

// fills marks flags as filled in by environment and context.
func fills(f *pflag.FlagSet, names ...string) {
	for _, name := range names {
		_ = f.SetAnnotation(name, filled, []string{}) // there is such a flag
	}
}

// filledIn says whether a context has anything to say of a command.
func filledIn(f *pflag.FlagSet) (found bool) {
	f.VisitAll(func(one *pflag.Flag) { found = found || one.Annotations[filled] != nil })
	return found
}

// settle gives a command's flags what environment and context say, where the
// command line does not: flag, environment, context, default. It does so once.
func (a *app) settle(c *cobra.Command) (*settled, error) {
	if s := a.settledOf[c]; s != nil {
		return s, nil
	}
	file, err := readContexts(contextPath(a.Getenv))
	if err != nil {
		return nil, err
	}
	s := &settled{origins: map[string]origin{}}
	if s.context, s.stored, err = a.chosen(c, file); err != nil {
		return nil, err
	}
	for _, field := range contextFields {
		if s.origins[field.key], err = a.fill(c, file, s, field); err != nil {
			return nil, err
		}
	}
	if a.settledOf == nil {
		a.settledOf = map[*cobra.Command]*settled{}
	}
	a.settledOf[c] = s
	return s, nil
}

// chosen is the context that is meant; an empty --context: none.
func (a *app) chosen(c *cobra.Command, file *contextFile) (string, contextSettings, error) {
	what, name := "current", file.current
	if set := a.Getenv(variableContext); set != "" {
		what, name = variableContext, set
	}
	if f := c.Flags().Lookup(flagContext); f != nil && f.Changed {
		what, name = "--"+flagContext, f.Value.String()
	}
	if name == "" {
		return "", nil, nil
	}
	settings, err := file.find(what, name)
	return name, settings, err
}

func (a *app) fill(c *cobra.Command, file *contextFile, s *settled, field contextField) (origin, error) {
	stored := s.stored[field.key]
	inContext := origin{fromContext, s.context}
	if field.flag == "" {
		if stored != "" {
			return inContext, nil
		}
		return origin{}, nil
	}
	f := c.Flags().Lookup(field.flag)
	if f == nil || f.Annotations[filled] == nil {
		return origin{}, nil
	}
	if f.Changed {
		return origin{fromFlag, "--" + f.Name}, nil
	}
	from, value := origin{fromEnvironment, field.variable()}, a.Getenv(field.variable())
	if value == "" {
		from, value = inContext, stored
		if field.file && value != "" && !filepath.IsAbs(value) {
			value = filepath.Join(filepath.Dir(file.path), value)
		}
	}
	if value == "" {
		return origin{}, nil
	}
	if err := f.Value.Set(value); err != nil {
		return from, fault.Wrap(err, fault.Invalid, "%s", from.name)
	}
	return from, nil
}

// token is what is shown to coordinators: the token of a file, or that of the
// context. What is said nearer to the command goes before.
func (s *settled) token(k *connection) (file, text string) {
	if k.tokenFile != "" && (s.origins["tokenFile"].level > fromContext || s.stored[keyToken] == "") {
		return k.tokenFile, ""
	}
	return "", s.stored[keyToken]
}

// place says where a value comes from, for people.
func (o origin) place() string {
	switch o.level {
	case fromFlag:
		return "flag " + o.name
	case fromEnvironment:
		return "environment " + o.name
	case fromContext:
		return "context " + o.name
	}
	return "default"
}

// flagText is what a flag says, as a context keeps it.
func flagText(f *pflag.Flag) string {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return strings.Join(list.GetSlice(), ",")
	}
	return f.Value.String()
}

// words splits a list of a context.
func words(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}
