package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"backfleet/api/client"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
)

// output is the form in which a command answers.
type output struct {
	app    *app
	format string
}

// prints adds the flag to a command.
func (a *app) prints(c *cobra.Command) *output {
	o := &output{app: a, format: "table"}
	c.Flags().StringVarP(&o.format, flagOutput, "o", o.format, "`form` of the answer: table, wide (all of a table), json, yaml or name (ids only)")
	fills(c.Flags(), flagOutput)
	return o
}

// showsOne has a command ask for the one thing that its argument names, and show it.
func showsOne[T any](a *app, c *cobra.Command, ask func(*client.Client, context.Context, string) (T, error), id func(T) string, show func(io.Writer, T)) *cobra.Command {
	c.Args = exactly(1)
	k, out := a.connects(c), a.prints(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		cl, err := k.client()
		if err != nil {
			return err
		}
		what, err := ask(cl, c.Context(), args[0])
		if err != nil {
			return err
		}
		return out.answer(what, []string{id(what)}, func(w io.Writer) { show(w, what) })
	}
	return c
}

// outputForms are those that --output takes.
var outputForms = []string{"table", "wide", "json", "yaml", "name"}

func formList() string {
	last := len(outputForms) - 1
	return strings.Join(outputForms[:last], ", ") + " or " + outputForms[last]
}

// answer writes a value as the flag says: the value itself for machines, or
// what people writes, or the names.
func (o *output) answer(value any, names []string, people func(io.Writer)) error {
	switch o.format {
	case "table", "wide":
		o.app.wide = o.format == "wide"
		o.app.page(people)
		return nil
	case "name":
		for _, n := range names {
			fmt.Fprintln(o.app.Out, n)
		}
		return nil
	case "json":
		e := json.NewEncoder(o.app.Out)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(value)
	case "yaml":
		return writeYAML(o.app.Out, value)
	}
	return o.check()
}

// check refuses an unknown form; commands that change something call it first.
func (o *output) check() error {
	if slices.Contains(outputForms, o.format) {
		return nil
	}
	return fault.Field("--output", "%q is not known: expected %s", o.format, formList())
}

// writeYAML writes a value under its JSON names, in their order.
func writeYAML(w io.Writer, value any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return err
	}
	var tree yaml.Node
	if err := yaml.Unmarshal(b.Bytes(), &tree); err != nil { // JSON is YAML
		return err
	}
	block(&tree)
	out := yaml.NewEncoder(w)
	out.SetIndent(2)
	return out.Encode(&tree)
}

// block takes away the style of JSON.
func block(n *yaml.Node) {
	if len(n.Content) > 0 || n.Kind == yaml.ScalarNode {
		n.Style = 0
	}
	if n.Kind == yaml.ScalarNode && strings.Contains(n.Value, "\n") {
		n.Style = yaml.LiteralStyle
	}
	for _, inner := range n.Content {
		block(inner)
	}
}

// sheet writes one thing: names and values; empty values are left out.
func sheet(w io.Writer, pairs ...string) {
	widest := 0
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			widest = max(widest, len(pairs[i]))
		}
	}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			fmt.Fprintf(w, "%-*s %s\n", widest+1, pairs[i]+":", pairs[i+1])
		}
	}
}

// stateNames are the states as people read them (RULES R8).
var stateNames = map[v1.State]string{
	v1.StateNotRunning: "Not Running", v1.StateWaitingTime: "Waiting time", v1.StateRunning: "Running",
	v1.StateSucceeded: "Succeeded", v1.StateFailed: "Run failed", v1.StateFrozen: "Freeze",
}

var stateColours = map[v1.State]text.Color{
	v1.StateWaitingTime: text.FgYellow, v1.StateRunning: text.FgCyan, v1.StateSucceeded: text.FgGreen,
	v1.StateFailed: text.FgRed, v1.StateFrozen: text.FgBlue,
}

// state names a state for w, in its colour where there are any.
func (a *app) state(w io.Writer, s v1.State) string {
	name := stateNames[s]
	if name == "" {
		name = string(s)
	}
	return a.paint(w, stateColours[s], name)
}

// readState reads a state in either spelling.
func readState(s string) (v1.State, error) {
	if s == "" {
		return "", nil
	}
	bare := func(s string) string { return strings.ToLower(strings.NewReplacer(" ", "", "-", "").Replace(s)) }
	for state, name := range stateNames {
		if bare(s) == bare(string(state)) || bare(s) == bare(name) {
			return state, nil
		}
	}
	return "", fault.Field("--state", "%q is not a state: expected notRunning, waitingTime, running, succeeded, failed or frozen", s)
}

// warn tells warnings beside the answer.
func (a *app) warn(list []v1.Warning) {
	for _, w := range list {
		parts := []string{"warning"}
		for _, p := range []string{w.Where, w.Field, w.Message} {
			if p != "" {
				parts = append(parts, p)
			}
		}
		fmt.Fprintln(a.Err, strings.Join(parts, ": "))
	}
}

func moment(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}

// number counts things: 1 instance, 2 instances.
func number[N int | int32 | int64 | uint64](n N, what string) string {
	if n != 1 {
		what += "s"
	}
	return count(n) + " " + what
}

func count[N int | int32 | int64 | uint64](n N) string { return strconv.FormatInt(int64(n), 10) }

// duration is short: 5s, 3m20s, 4h05m.
func duration(d time.Duration) string {
	d = d.Round(time.Second)
	switch {
	case d < time.Minute:
		return d.String()
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}
