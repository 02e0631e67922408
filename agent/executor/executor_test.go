package executor_test

import (
	"bytes"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"backfleet/agent/executor"
	"backfleet/agent/executor/shell"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// prepare makes an attempt of a node under settings.
func prepare(t *testing.T, s executor.Settings, node *wire.Node, values ...string) (*wire.StartAttempt, error) {
	t.Helper()
	node.Id, node.Type = "n", shell.Type
	w := &wire.Work{Ref: &wire.AttemptRef{Plan: 1, Instance: 2, Attempt: 3, Fence: 4}, DataTimestamp: 20_000, ScheduledDate: 20_001}
	for _, v := range values {
		name, value, _ := strings.Cut(v, "=")
		w.Values = append(w.Values, &wire.Assignment{Name: name, Value: value})
	}
	return executor.ByType{shell.Type: shell.New(executor.New(s))}.Prepare(&wire.Definition{Node: node, ResourceGroup: "g"}, w)
}

// environment gives an attempt's variables by name; each may be there once.
func environment(t *testing.T, start *wire.StartAttempt) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, e := range start.Environment {
		if _, twice := all[e.Name]; twice {
			t.Errorf("%s is set twice", e.Name)
		}
		all[e.Name] = e.Value
	}
	return all
}

func assigned(texts ...string) (list []*wire.Assignment) {
	for _, text := range texts {
		name, value, _ := strings.Cut(text, "=")
		list = append(list, &wire.Assignment{Name: name, Value: value})
	}
	return list
}

func TestAnAttemptInheritsWhatIsAllowedAndNoMore(t *testing.T) {
	agents := []string{"PATH=/bin", "HOME=/root", "LANG=C", "TZ=UTC", "AWS_KEY=k", "AWS_ID=i", "OTHER=o", "BACKFLEET_TOKEN=secret", "malformed"}
	for name, c := range map[string]struct {
		inherit []string
		set     map[string]string
		want    string // beside the agent's own BACKFLEET_…
	}{
		"by default":            {nil, nil, "HOME=/root LANG=C PATH=/bin TZ=UTC"},
		"nothing":               {[]string{}, nil, "PATH=" + executor.DefaultPath},
		"by name and beginning": {[]string{"AWS_*", "TZ"}, nil, "AWS_ID=i AWS_KEY=k PATH=" + executor.DefaultPath + " TZ=UTC"},
		"all but the agent's":   {[]string{"*"}, nil, "AWS_ID=i AWS_KEY=k HOME=/root LANG=C OTHER=o PATH=/bin TZ=UTC"},
		"not even by name":      {[]string{"BACKFLEET_TOKEN"}, nil, "PATH=" + executor.DefaultPath},
		"what is set wins":      {[]string{"TZ"}, map[string]string{"TZ": "Asia/Shanghai", "PATH": "/opt"}, "PATH=/opt TZ=Asia/Shanghai"},
	} {
		t.Run(name, func(t *testing.T) {
			start, err := prepare(t, executor.Settings{Environ: agents, Inherit: c.inherit, Set: c.set}, &wire.Node{})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for name, value := range environment(t, start) {
				if !strings.HasPrefix(name, "BACKFLEET_") || value == "secret" {
					got = append(got, name+"="+value)
				}
			}
			slices.Sort(got)
			if strings.Join(got, " ") != c.want {
				t.Errorf("got %v, want %s", got, c.want)
			}
		})
	}
}

func TestTheNodesVariablesWinAndTheAgentsOwnWinOverAll(t *testing.T) {
	node := &wire.Node{Environment: assigned("TZ=node", "BACKFLEET_FENCE=forged")}
	start, err := prepare(t, executor.Settings{Environ: []string{"TZ=agent"}, Set: map[string]string{"TZ": "set"}}, node, "TZ=value", "day=1")
	if err != nil {
		t.Fatal(err)
	}
	all := environment(t, start)
	for name, want := range map[string]string{"TZ": "node", "day": "1", "BACKFLEET_FENCE": "4", "BACKFLEET_INSTANCE": "b1.2", "BACKFLEET_RESOURCE_GROUP": "g"} {
		if all[name] != want {
			t.Errorf("%s is %q, want %q", name, all[name], want)
		}
	}
}

func TestWhoANodeMayRunAs(t *testing.T) {
	for name, c := range map[string]struct {
		node, own string
		allowed   []string
		want      string // "-": refused
	}{
		"nobody asks":                       {"", "", nil, ""},
		"the agent's choice":                {"", "etl", nil, "etl"},
		"the same by name":                  {"etl", "etl", nil, "etl"},
		"another":                           {"dba", "etl", nil, "-"},
		"another that is allowed":           {"dba", "etl", []string{"x", "dba"}, "dba"},
		"anybody":                           {"dba", "", []string{"*"}, "dba"},
		"root is not anybody":               {"root", "", []string{"*"}, "-"},
		"root by name":                      {"root", "", []string{"*", "root"}, "root"},
		"a part of a name is none":          {"db", "", []string{"dba"}, "-"},
		"root although the agent may be it": {"root", "", nil, "-"},
	} {
		t.Run(name, func(t *testing.T) {
			start, err := prepare(t, executor.Settings{User: c.own, AllowUsers: c.allowed}, &wire.Node{User: c.node})
			if c.want == "-" {
				if fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), c.node) || !strings.Contains(err.Error(), "run.allowUsers") {
					t.Errorf("got %v (%v), want it refused by name, with what to do", start, err)
				}
				return
			}
			if err != nil || start.User != c.want {
				t.Errorf("got user %q (%v), want %q", start.GetUser(), err, c.want)
			}
		})
	}
}

func TestAUserDoesNotGetTheAgentsHome(t *testing.T) {
	agents := executor.Settings{Environ: []string{"HOME=/root", "USER=root", "LANG=C"}, Inherit: []string{"*"}, User: "etl"}
	start, err := prepare(t, agents, &wire.Node{})
	if err != nil {
		t.Fatal(err)
	}
	all := environment(t, start)
	if _, home := all["HOME"]; home || all["USER"] != "" || all["LANG"] != "C" {
		t.Errorf("got %v, want neither HOME nor USER of the agent", all)
	}
	agents.Set = map[string]string{"HOME": "/srv/etl"}
	if start, err = prepare(t, agents, &wire.Node{Environment: assigned("USER=node")}); err != nil {
		t.Fatal(err)
	}
	if all = environment(t, start); all["HOME"] != "/srv/etl" || all["USER"] != "node" {
		t.Errorf("got %v, want what was set", all)
	}
}

func TestTheNodesLimitsOrTheAgents(t *testing.T) {
	agents, own := &wire.Limits{MemoryBytes: 1 << 30, Nice: 5}, &wire.Limits{OpenFiles: 100}
	for _, c := range []struct{ node, want *wire.Limits }{{nil, agents}, {own, own}} {
		start, err := prepare(t, executor.Settings{Limits: agents}, &wire.Node{Limits: c.node, Slots: 3})
		if err != nil || !proto.Equal(start.Limits, c.want) || start.Weight != 3 {
			t.Errorf("got %v and weight %d (%v), want %v and 3", start.GetLimits(), start.GetWeight(), err, c.want)
		}
	}
}

func TestSecretsAreMaskedTheLongestFirst(t *testing.T) {
	var log bytes.Buffer
	s := executor.Settings{Set: map[string]string{"A": "word", "B": "password", "C": "abc", "D": "word", "E": ""}, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	common := shell.New(executor.New(s))
	node := &wire.Node{Id: "n", Secrets: []string{"A", "B", "C", "D", "E", "F", "key"}, Environment: assigned("key=from the node")}
	for range 3 {
		start, err := common.Prepare(&wire.Definition{Node: node}, &wire.Work{Ref: &wire.AttemptRef{}})
		if want := []string{"from the node", "password", "word"}; err != nil || !slices.Equal(start.Masked, want) {
			t.Fatalf("got %q (%v), want %q", start.GetMasked(), err, want)
		}
	}
	if text := log.String(); strings.Count(text, "too short") != 1 || !strings.Contains(text, "variable=C") || strings.Contains(text, "abc") {
		t.Errorf("the agent's log is %q, want one line that names the variable and not its value", text)
	}
}

func TestATypeThatIsNotKnownHereIsRefused(t *testing.T) {
	_, err := executor.ByType{shell.Type: nil}.Prepare(&wire.Definition{Node: &wire.Node{Id: "n", Type: "spark"}}, &wire.Work{})
	if fault.CodeOf(err) != fault.Invalid || !strings.Contains(err.Error(), "spark") || !strings.Contains(err.Error(), "shell") {
		t.Errorf("%v: want the type, and those that there are", err)
	}
}

// A node's code goes on with the trace of its attempt, unless the node says
// otherwise; what the agent itself is part of is not for it.
func TestAnAttemptKnowsItsSpan(t *testing.T) {
	common := executor.New(executor.Settings{
		Environ: []string{"TRACEPARENT=the agent's"}, Inherit: []string{"*"},
		Parent: func(w *wire.Work) string { return "of attempt " + strconv.FormatUint(w.Ref.Plan, 10) },
	})
	for _, x := range []struct {
		own  []*wire.Assignment
		want string
	}{{nil, "of attempt 1"}, {assigned("TRACEPARENT=the node's"), "the node's"}} {
		start := &wire.StartAttempt{}
		d := &wire.Definition{Node: &wire.Node{Id: "n", Environment: x.own}}
		if err := common.Complete(start, d, &wire.Work{Ref: &wire.AttemptRef{Plan: 1}}); err != nil {
			t.Fatal(err)
		}
		if got := environment(t, start)["TRACEPARENT"]; got != x.want {
			t.Errorf("got %q, want %q", got, x.want)
		}
	}
}
