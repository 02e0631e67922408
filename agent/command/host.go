package command

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"backfleet/agent/settings"
	"backfleet/agent/worker"
	"backfleet/pkg/fault"
)

// dataFolder finds the agent on this host: by the settings, of which only the
// data folder counts.
func (a *agent) dataFolder(cmd *cobra.Command) (string, error) {
	l := settings.Load(cmd.Flags(), os.Environ(), a.whole())
	if l.Data == "" {
		if found := l.Findings(); len(found) > 0 {
			return "", wrong(found)
		}
		return "", fault.Field("data", "which agent? Give its --config, or its --data folder")
	}
	return l.Data, nil
}

// hostFlags adds the flags by which an agent on this host is found.
func (a *agent) hostFlags(cmd *cobra.Command) {
	settings.Flags(cmd.Flags(), a.whole())
	cmd.Flags().SortFlags = false
	for _, name := range settings.FlagNames(a.whole()) {
		if name != "data" {
			cmd.Flags().Lookup(name).Hidden = true
		}
	}
}

func (a *agent) status() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how the agent on this host is: what runs, for how long, and what waits to be shipped",
		Example: `  backfleet-agent status --config /etc/backfleet/agent.yaml
  backfleet-agent status --data /var/lib/backfleet-agent --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := a.dataFolder(cmd)
			if err != nil {
				return err
			}
			s, err := worker.AskStatus(cmd.Context(), dir)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(s)
			}
			return show(cmd.OutOrStdout(), s)
		},
	}
	a.hostFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "for programs")
	return cmd
}

func (a *agent) drain() *cobra.Command {
	var deadline time.Duration
	cmd := &cobra.Command{
		Use:   "drain",
		Short: "Have the agent on this host take nothing new, finish what runs, and end",
		Long: `Have the agent on this host take nothing new, finish what runs, and end.

The command returns at once; status shows what is left. What still runs after
the deadline is stopped and runs again on another agent, without using a retry;
without one here, drain.deadline of the agent's settings counts. To drain an
agent from afar, use backfleet agent drain.`,
		Example: `  backfleet-agent drain --config /etc/backfleet/agent.yaml --deadline 30m`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := a.dataFolder(cmd)
			if err != nil {
				return err
			}
			text := ""
			if cmd.Flags().Changed("deadline") {
				text = deadline.String()
			}
			s, err := worker.AskDrain(cmd.Context(), dir, text)
			if err != nil {
				return err
			}
			return show(cmd.OutOrStdout(), s)
		},
	}
	a.hostFlags(cmd)
	cmd.Flags().DurationVar(&deadline, "deadline", 0, "when to stop what still runs; 0: never (default: drain.deadline)")
	return cmd
}

// show writes a status for people.
func show(w io.Writer, s *worker.Status) error {
	state := "looking for the leader"
	if s.Connected {
		state = fmt.Sprintf("in session with %s, which answered to what was said %s ago", s.Coordinator, seconds(s.AnsweredMs))
	}
	if s.Draining {
		state += "; draining"
	}
	if s.StopsInMs > 0 {
		state += ", what runs is stopped in " + seconds(s.StopsInMs)
	}
	fmt.Fprintf(w, "agent %s  version %s  pid %d\n%s\n", s.ID, s.Version, s.Pid, state)
	switch k := s.Keeper; {
	case k == nil:
		fmt.Fprintln(w, "keeper: none at the moment")
	case k.Outdated != "":
		fmt.Fprintf(w, "keeper: version %s, pid %d; of another binary than the agent, replaced as soon as nothing runs (%s)\n", k.Version, k.Pid, k.Outdated)
	default:
		fmt.Fprintf(w, "keeper: version %s, pid %d\n", k.Version, k.Pid)
	}
	fmt.Fprintf(w, "logs: %d not safe yet, %d bytes to ship\n", s.Logs.Logs, s.Logs.Bytes)
	if len(s.Attempts) == 0 {
		_, err := fmt.Fprintln(w, "nothing runs")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nINSTANCE\tATTEMPT\tSTATE\tLEASE\tOUTCOME")
	for _, a := range s.Attempts {
		lease := "-"
		if a.LeaseMs > 0 {
			lease = seconds(a.LeaseMs)
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\n", a.Instance, a.Attempt, a.State, lease, a.Outcome)
	}
	return t.Flush()
}

func seconds(ms int64) string {
	return (time.Duration(ms) * time.Millisecond).Round(100 * time.Millisecond).String()
}
