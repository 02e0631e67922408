package params

import (
	"slices"
	"strings"

	"backfleet/pkg/fault"
)

// Assignment gives a parameter its value: as written, or rendered.
type Assignment struct{ Name, Value string }

// WorkspacePrefix begins the name under which a workspace's parameter is used:
// ${workspace.region}.
const WorkspacePrefix = "workspace."

// Bounds of a set.
const (
	maxAssignments = 1000
	maxName        = 128
)

// Set is the compiled assignments of a node: the node's own in their order,
// then its workspace's. It is immutable and safe for concurrent use.
type Set struct {
	dialect Dialect
	entries []entry
	own     int            // the first own entries are the node's
	index   map[string]int // by key
	ids     bool           // whether a value speaks of the plan's, the node's or the instance's id
}

type entry struct {
	name string // as written
	key  string
	expr *Expr
}

// CompileSet reads a node's assignments, in order, over those of its workspace.
// The workspace's are given by their bare names and used as "workspace.name";
// a node that assigns "workspace.name" itself wins. Errors have code Invalid
// and one Detail for each wrong assignment: a wrong or doubled name, a value
// that Parse refuses, or in dataphin a circle of references, named in order.
func CompileSet(d Dialect, node []Assignment, workspace ...Assignment) (*Set, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	s := &Set{dialect: d}
	problems := s.add(node)
	s.own = len(s.entries)
	under := &Set{dialect: d}
	prefixed := make([]Assignment, 0, len(workspace))
	for _, a := range workspace {
		prefixed = append(prefixed, Assignment{WorkspacePrefix + a.Name, a.Value})
	}
	problems = append(problems, under.add(prefixed)...)
	for _, e := range under.entries {
		if _, ok := s.index[e.key]; !ok {
			s.append(e)
		}
	}
	return s.checked(problems)
}

// With is the set after overrides (R2.8): each replaces the parameter of its
// name, where it stands, or is added after the node's own. Values of overrides
// are read like assigned ones.
func (s *Set) With(overrides []Assignment) (*Set, error) {
	if len(overrides) == 0 {
		return s, nil
	}
	over := &Set{dialect: s.dialect}
	problems := over.add(overrides)
	merged := &Set{dialect: s.dialect}
	for i, e := range s.entries {
		if i == s.own {
			merged.adopt(over, s)
		}
		if j, ok := over.index[e.key]; ok {
			e.expr = over.entries[j].expr
		}
		merged.append(e)
	}
	if s.own == len(s.entries) {
		merged.adopt(over, s)
	}
	return merged.checked(problems)
}

// adopt ends the node's own entries with those of over that base lacks.
func (s *Set) adopt(over, base *Set) {
	for _, e := range over.entries {
		if _, ok := base.index[e.key]; !ok {
			s.append(e)
		}
	}
	s.own = len(s.entries)
}

// Values renders the assignments for one instance, after overrides (R2.8), in
// order. Errors name the parameter.
func (s *Set) Values(c Context, overrides []Assignment) ([]Assignment, error) {
	s, err := s.With(overrides)
	if err != nil {
		return nil, err
	}
	if s.dialect != Dataphin {
		return s.plain(c)
	}
	r := rendering{set: s, context: c, done: map[string]string{}}
	values := make([]Assignment, 0, len(s.entries))
	for _, e := range s.entries {
		v, err := r.value(e)
		if err != nil {
			return nil, err
		}
		values = append(values, Assignment{e.name, v})
	}
	return values, nil
}

// plain renders assignments that refer to none of each other. All of the text
// lies in one piece of memory: this is done for every attempt that starts.
func (s *Set) plain(c Context) ([]Assignment, error) {
	values := make([]Assignment, len(s.entries))
	var few [16]int
	var room [64]byte
	ends, b := few[:0], room[:0]
	for i := range s.entries {
		e := &s.entries[i]
		values[i] = Assignment{e.name, e.expr.text}
		if !e.expr.fixed {
			var err error
			if b, err = e.expr.append(b, c, nil); err != nil {
				return nil, fault.Wrap(err, fault.Invalid, "parameter %s", e.name)
			}
		}
		ends = append(ends, len(b))
	}
	text, from := string(b), 0
	for i, to := range ends {
		if !s.entries[i].expr.fixed {
			values[i].Value = text[from:to]
		}
		from = to
	}
	return values, nil
}

// UsesIDs says whether some value speaks of the id of the plan, the node or the
// instance; the Context may go without them else.
func (s *Set) UsesIDs() bool { return s.ids }

// Names are the parameters' names, as written and in order.
func (s *Set) Names() []string {
	names := make([]string, 0, len(s.entries))
	for _, e := range s.entries {
		names = append(names, e.name)
	}
	return names
}

// add compiles assignments to the end and says what is wrong with them.
func (s *Set) add(all []Assignment) (problems []fault.Detail) {
	for _, a := range all {
		if message := s.wrongName(a.Name); message != "" {
			problems = append(problems, fault.Detail{Field: a.Name, Message: message})
			continue
		}
		expr, err := Parse(s.dialect, a.Value)
		if err != nil {
			problems = append(problems, fault.Detail{Field: a.Name, Message: err.Error()})
		}
		s.append(entry{a.Name, s.dialect.key(a.Name), expr})
	}
	return problems
}

func (s *Set) append(e entry) {
	if s.index == nil {
		s.index = map[string]int{}
	}
	s.index[e.key] = len(s.entries)
	s.entries = append(s.entries, e)
	s.ids = s.ids || e.expr != nil && slices.ContainsFunc(e.expr.pieces, func(p piece) bool { return p.of != nil && p.of.id })
}

// wrongName says what is wrong with a name; empty when nothing is.
func (s *Set) wrongName(name string) string {
	if len(s.entries) == maxAssignments {
		return "more than 1000 parameters: expected fewer"
	}
	if !isName(name) {
		return "not a parameter name: expected a letter or _, then letters, digits, _ or single dots, at most 128 in all"
	}
	if _, ok := s.index[s.dialect.key(name)]; ok {
		return "assigned twice: expected one value for each name"
	}
	return ""
}

// isName reports whether a name can be assigned and used as ${name}.
func isName(name string) bool {
	if len(name) > maxName {
		return false
	}
	for part := range strings.SplitSeq(name, ".") {
		if part == "" {
			return false
		}
		for i := range len(part) {
			if !isWord(part[i]) {
				return false
			}
		}
	}
	return !isDigit(name[0])
}

// checked gives the set, or an error for the problems and, if there are none,
// for a circle.
func (s *Set) checked(problems []fault.Detail) (*Set, error) {
	if len(problems) == 0 {
		circle := s.circle()
		if circle == nil {
			return s, nil
		}
		problems = []fault.Detail{{Field: circle[0], Message: "refers to itself: " + strings.Join(circle, " → ")}}
	}
	return nil, fault.New(fault.Invalid, "the parameters cannot be read").WithDetails(problems...)
}

// circle finds keys that refer to each other in a ring, the first one again
// at the end; nil when there is none.
func (s *Set) circle() []string {
	const onPath, clear = 1, 2
	state := make([]uint8, len(s.entries))
	var path []string
	var visit func(i int) []string
	visit = func(i int) []string {
		if path = append(path, s.entries[i].name); state[i] == onPath {
			return path[slices.Index(path, s.entries[i].name):]
		}
		if state[i] != clear {
			state[i] = onPath
			for _, next := range s.references(i) {
				if found := visit(next); found != nil {
					return found
				}
			}
			state[i] = clear
		}
		path = path[:len(path)-1]
		return nil
	}
	for i := range s.entries {
		if found := visit(i); found != nil {
			return found
		}
	}
	return nil
}

// references are the entries that entry i refers to.
func (s *Set) references(i int) []int {
	var refs []int
	for _, p := range s.entries[i].expr.pieces {
		if p.kind != pieceName {
			continue
		}
		if j, ok := s.refers(s.entries[i], p.text); ok {
			refs = append(refs, j)
		}
	}
	return refs
}

// refers finds the entry that a name in from's value means. Only dataphin has
// references; there bizdate=$bizdate means the system's value, not itself.
func (s *Set) refers(from entry, key string) (int, bool) {
	if s.dialect != Dataphin {
		return 0, false
	}
	if _, ok := builtins[systemName(key)]; ok && key == from.key {
		return 0, false
	}
	i, ok := s.index[key]
	return i, ok
}

// rendering computes each value of a set once.
type rendering struct {
	set     *Set
	context Context
	done    map[string]string
}

func (r rendering) value(e entry) (string, error) {
	if v, ok := r.done[e.key]; ok {
		return v, nil
	}
	b, err := e.expr.append(nil, r.context, func(key string) (string, bool, error) {
		i, ok := r.set.refers(e, key)
		if !ok {
			return "", false, nil
		}
		v, err := r.value(r.set.entries[i])
		return v, true, err
	})
	if err != nil {
		return "", fault.Wrap(err, fault.Invalid, "parameter %s", e.name)
	}
	v := string(b)
	r.done[e.key] = v
	return v, nil
}
