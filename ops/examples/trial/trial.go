// Package trial runs an example on a fleet of its own: real coordinators and
// agents as processes, driven by the commands that a person would give.
package trial

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"backfleet/api/client"
	v1 "backfleet/api/v1"
	"backfleet/ops/demo/fleet"
)

// Config says on what an example is tried.
type Config struct {
	Binary               string // the whole one, see fleet.Build
	Dir                  string // gets the folders and logs of all processes, and what the example writes
	Coordinators, Agents int
	Slots                int       // of each agent
	Out                  io.Writer // gets the commands and what they say
}

// Trial is an example's fleet.
type Trial struct {
	*fleet.Fleet
	API    *client.Client
	Out    io.Writer
	config Config
}

// Start starts the fleet. Stop ends it.
func Start(ctx context.Context, c Config) (*Trial, error) {
	starting, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	f, err := fleet.Start(starting, fleet.Config{Binary: c.Binary, Dir: c.Dir, Coordinators: c.Coordinators, Agents: c.Agents, Slots: c.Slots})
	if err != nil {
		return nil, err
	}
	t := &Trial{Fleet: f, Out: &shared{to: c.Out}, config: c}
	if t.API, err = f.Client(f.Servers...); err != nil {
		return nil, errors.Join(err, f.Stop(context.WithoutCancel(ctx)))
	}
	return t, nil
}

// shared is a writer for a command's both outputs at once.
type shared struct {
	mu sync.Mutex
	to io.Writer
}

func (s *shared) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.to.Write(text)
}

// Path is a path in the folder of the trial.
func (t *Trial) Path(name string) string { return filepath.Join(t.config.Dir, name) }

// Say tells what comes next.
func (t *Trial) Say(format string, args ...any) { fmt.Fprintf(t.Out, "\n"+format+"\n", args...) }

// Do gives a command to the fleet, as a person would, shows it with what it
// says, and gives what it printed as its answer.
func (t *Trial) Do(ctx context.Context, args ...string) (string, error) {
	fmt.Fprintln(t.Out, "$ backfleet", quoted(args))
	cmd := exec.CommandContext(ctx, t.config.Binary, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	cmd.Env = append(os.Environ(), "BACKFLEET_SERVER="+strings.Join(t.Servers, ","))
	var answer bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&answer, t.Out), t.Out
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("backfleet %s: %w", quoted(args), err)
	}
	return answer.String(), nil
}

// quoted writes arguments as a shell takes them.
func quoted(args []string) string {
	list := slices.Clone(args)
	for i, a := range list {
		if a == "" || strings.ContainsAny(a, " '\"$*?;&|<>()") {
			list[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(list, " ")
}

// Backfill submits a backfill, waits until it is quiet and gives its id. An
// instance that did not succeed is an error, with the logs of those that failed.
func (t *Trial) Backfill(ctx context.Context, args ...string) (string, error) {
	answer, err := t.Do(ctx, append([]string{"backfill", "submit", "--output", "name"}, args...)...)
	if err != nil {
		return "", err
	}
	id := strings.TrimSpace(answer)
	return id, t.finish(ctx, id)
}

// Rerun runs the instances of a node on some dates again, with all that follows
// from them, and gives the instances of the node, by date.
func (t *Trial) Rerun(ctx context.Context, id, node, from, to string) ([]v1.Instance, error) {
	page, err := t.instances(ctx, id, &v1.ListInstancesParams{Node: []string{node}, DateFrom: from, DateTo: to})
	if err != nil {
		return nil, err
	}
	args := []string{"backfill", "rerun", id, "--descendants", "--why", "the dates again"}
	for _, i := range page {
		args = append(args, i.ID)
	}
	if _, err := t.Do(ctx, args...); err != nil {
		return nil, err
	}
	return page, t.finish(ctx, id)
}

// finish waits until a backfill is quiet, and holds it to have succeeded.
func (t *Trial) finish(ctx context.Context, id string) error {
	began := time.Now()
	_, watch := t.Do(ctx, "backfill", "watch", id)
	fmt.Fprintf(t.Out, "%s took %s\n", id, time.Since(began).Round(100*time.Millisecond))
	receipt, err := t.API.Receipt(ctx, id, &v1.GetReceiptParams{By: v1.ReceiptByNode})
	if err != nil {
		return errors.Join(watch, err)
	}
	if n := receipt.Totals; watch == nil && n.Generated > 0 && n.Succeeded+n.DryRun == n.Generated {
		return nil
	}
	return errors.Join(fmt.Errorf("backfill %s has not succeeded", id), watch, t.tell(ctx, id))
}

// tell shows the logs of the first instances that failed.
func (t *Trial) tell(ctx context.Context, id string) error {
	const most = 3
	failed, err := t.instances(ctx, id, &v1.ListInstancesParams{State: []v1.State{v1.StateFailed}})
	for _, i := range failed[:min(len(failed), most)] {
		_, e := t.Do(ctx, "instance", "show", i.ID)
		_, e2 := t.Do(ctx, "instance", "logs", i.ID)
		err = errors.Join(err, e, e2)
	}
	return err
}

// instances are those of a backfill that agree with the parameters.
func (t *Trial) instances(ctx context.Context, id string, p *v1.ListInstancesParams) (list []v1.Instance, err error) {
	for p.Limit = 1000; ; {
		page, err := t.API.Instances(ctx, id, p)
		if err != nil {
			return nil, err
		}
		list = append(list, page.Items...)
		if p.Cursor = page.Next; p.Cursor == "" {
			return list, nil
		}
	}
}

// Instances are those of a node in a backfill.
func (t *Trial) Instances(ctx context.Context, id, node string) ([]v1.Instance, error) {
	return t.instances(ctx, id, &v1.ListInstancesParams{Node: []string{node}})
}

// Metrics are what the attempts of an instance reported, the first attempt
// first.
func (t *Trial) Metrics(ctx context.Context, instance string) ([]map[string]string, error) {
	detail, err := t.API.Instance(ctx, instance)
	if err != nil {
		return nil, err
	}
	var all []map[string]string
	for _, a := range detail.Attempts {
		metrics := map[string]string{}
		for _, m := range a.Metrics {
			metrics[m.Name] = m.Value
		}
		all = append(all, metrics)
	}
	return all, nil
}
