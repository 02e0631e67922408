package executor

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"backfleet/agent/attempt"
	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
	"backfleet/pkg/trace"
	"backfleet/pkg/wire"
)

// Settings are how attempts run here, as far as their nodes say nothing else.
type Settings struct {
	// Environ is the agent's own environment ("name=value", as os.Environ gives it).
	Environ []string
	// Inherit names the variables of Environ that attempts get, too; with a * at
	// its end all that begin so. Those of the agent itself, BACKFLEET_…, never
	// are among them. nil: DefaultInherit.
	Inherit []string
	// Set is set for every attempt, whatever it inherits.
	Set map[string]string
	// User has the rights with which attempts run whose node names nobody. Empty:
	// the agent's own.
	User string
	// AllowUsers are the users that nodes may name beside User; "*" is everybody
	// but root.
	AllowUsers []string
	// Limits of attempts whose nodes set none. nil: none.
	Limits *wire.Limits
	// Parent gives the span that an attempt's own are part of, as trace.Variable has it;
	// empty: nothing is traced. Default: nothing is.
	Parent func(*wire.Work) string
	// Logger is told, once, what a node may want to know and does not make its
	// attempts fail. Default: slog's default.
	Logger *slog.Logger
}

// DefaultInherit are the variables that attempts inherit unless told otherwise.
var DefaultInherit = []string{"PATH", "HOME", "LANG", "TZ"}

// DefaultPath is the PATH of attempts if nobody sets one.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// reserved begins the names of variables that agents set for attempts, and of
// those that configure an agent, secrets among them.
const reserved = "BACKFLEET_"

// leastSecret is the shortest value that is masked: a shorter one would hide half
// of the log, and be guessed by it.
const leastSecret = 4

// Common gives attempts what does not depend on the type of their node.
type Common struct {
	settings Settings
	base     []*wire.Assignment
	texts    compiled

	mu    sync.Mutex
	noted map[string]bool
}

// New makes it.
func New(s Settings) *Common {
	if s.Inherit == nil {
		s.Inherit = DefaultInherit
	}
	if s.Logger == nil {
		s.Logger = slog.Default()
	}
	base := []*wire.Assignment{{Name: "PATH", Value: DefaultPath}}
	for _, e := range s.Environ {
		if name, value, ok := strings.Cut(e, "="); ok && s.inherits(name) {
			base = append(base, &wire.Assignment{Name: name, Value: value})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Set)) {
		base = append(base, &wire.Assignment{Name: name, Value: s.Set[name]})
	}
	return &Common{settings: s, base: base, noted: map[string]bool{}}
}

// inherits says whether attempts get a variable of the agent. Those of its user
// are not for others: who runs as somebody else gets that one's from the keeper.
func (s *Settings) inherits(name string) bool {
	return !strings.HasPrefix(name, reserved) && slices.ContainsFunc(s.Inherit, func(pattern string) bool {
		begin, open := strings.CutSuffix(pattern, "*")
		return name == pattern || open && strings.HasPrefix(name, begin)
	})
}

// Complete fills in of an attempt what its node and the settings say: its
// environment, weight, timeout, user, limits, and what its log does not show. An
// error is the cause with which it fails.
func (c *Common) Complete(start *wire.StartAttempt, d *wire.Definition, w *wire.Work) error {
	user, err := c.user(d.Node)
	if err != nil {
		return err
	}
	start.Ref, start.TimeoutMs = w.Ref, d.Node.TimeoutMs
	start.User, start.Weight, start.Limits = user, d.Node.Slots, d.Node.Limits
	if start.Limits == nil {
		start.Limits = c.settings.Limits
	}
	start.Environment = c.environment(user, d, w)
	c.Mask(start, d.Node, variables(start, d.Node.Secrets)...)
	return nil
}

// variables are those of an attempt that are named, and that it has.
func variables(start *wire.StartAttempt, names []string) (list []*wire.Assignment) {
	for _, name := range names {
		if e := Variable(start, name); e != nil {
			list = append(list, e)
		}
	}
	return list
}

// Variable is one of an attempt's environment; nil: there is none of that name.
func Variable(start *wire.StartAttempt, name string) *wire.Assignment {
	i := slices.IndexFunc(start.Environment, func(e *wire.Assignment) bool { return e.Name == name })
	if i < 0 {
		return nil
	}
	return start.Environment[i]
}

// SetVariable gives a variable of an attempt another value.
func SetVariable(start *wire.StartAttempt, name, value string) {
	start.Environment = slices.DeleteFunc(start.Environment, func(e *wire.Assignment) bool { return e.Name == name })
	start.Environment = append(start.Environment, &wire.Assignment{Name: name, Value: value})
}

// Path is the PATH of attempts whose nodes set none.
func (c *Common) Path() (path string) {
	for _, e := range c.base {
		if e.Name == "PATH" {
			path = e.Value
		}
	}
	return path
}

// user is as whom a node's attempts run. Root is among those allowed only if it
// is named.
func (c *Common) user(node *wire.Node) (string, error) {
	s := &c.settings
	switch {
	case node.User == "" || node.User == s.User:
		return s.User, nil
	case slices.Contains(s.AllowUsers, node.User), node.User != "root" && slices.Contains(s.AllowUsers, "*"):
		return node.User, nil
	}
	return "", fault.New(fault.Invalid, "node %q: user %q is not allowed on this agent; have run.allowUsers name it there, or choose another", node.Id, node.User)
}

// environment is an attempt's, the later winning over the earlier: the base, the
// assigned values (PARAMS: `shell` code sees them as variables too), the span that
// it is part of, the node's own, and what identifies the attempt.
func (c *Common) environment(user string, d *wire.Definition, w *wire.Work) []*wire.Assignment {
	key := attempt.KeyOf(w.Ref)
	scheduled := calendar.Wall{Date: calendar.Date(w.ScheduledDate), Clock: calendar.Clock(w.ScheduledClock)}
	own := []*wire.Assignment{
		{Name: "BACKFLEET_FENCE", Value: fmt.Sprint(key.Fence)},
		{Name: "BACKFLEET_PLAN", Value: PlanName(key)},
		{Name: "BACKFLEET_INSTANCE", Value: InstanceName(key)},
		{Name: "BACKFLEET_ATTEMPT", Value: fmt.Sprint(key.Attempt)},
		{Name: "BACKFLEET_NODE", Value: d.Node.Id},
		{Name: "BACKFLEET_DATA_TIMESTAMP", Value: calendar.Date(w.DataTimestamp).String()},
		{Name: "BACKFLEET_SCHEDULED_TIME", Value: scheduled.String()},
		{Name: "BACKFLEET_RESOURCE_GROUP", Value: d.ResourceGroup},
	}
	all := slices.Concat(c.base, w.Values, c.parent(w), d.Node.Environment, own)
	last := make(map[string]int, len(all))
	for i, e := range all {
		last[e.Name] = i
	}
	kept := all[:0]
	for i, e := range all {
		if last[e.Name] == i && (user == "" || i >= len(c.base) || !c.personal(e.Name)) {
			kept = append(kept, e)
		}
	}
	return kept
}

func (c *Common) parent(w *wire.Work) []*wire.Assignment {
	if c.settings.Parent == nil {
		return nil
	}
	if p := c.settings.Parent(w); p != "" {
		return []*wire.Assignment{{Name: trace.Variable, Value: p}}
	}
	return nil
}

// personal tells what attempts inherit from the agent and is no other user's.
func (c *Common) personal(name string) bool {
	_, set := c.settings.Set[name]
	return !set && (name == "HOME" || name == "USER" || name == "LOGNAME")
}

// Mask has the log of an attempt not show the values of secrets, the longest
// first: one may be part of another.
func (c *Common) Mask(start *wire.StartAttempt, node *wire.Node, secrets ...*wire.Assignment) {
	for _, s := range secrets {
		switch {
		case s.Value == "":
		case len(s.Value) < leastSecret:
			c.note(node, s.Name)
		case !slices.Contains(start.Masked, s.Value):
			start.Masked = append(start.Masked, s.Value)
		}
	}
	slices.SortStableFunc(start.Masked, func(a, b string) int { return len(b) - len(a) })
}

// mostNoted bounds what is remembered of notes; then they come again.
const mostNoted = 1024

// note says once that a secret is not masked.
func (c *Common) note(node *wire.Node, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := node.Id + "\x00" + name
	if c.noted[key] {
		return
	}
	if len(c.noted) >= mostNoted {
		clear(c.noted)
	}
	c.noted[key] = true
	c.settings.Logger.Warn("a secret is too short to be masked in logs", "node", node.Id, "variable", name, "least", leastSecret)
}
