package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"backfleet/api/client"
	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
)

func (a *app) clusterCommand() *cobra.Command {
	snapshot := group("snapshot", "Back the cluster up, and restore it", append([]*cobra.Command{a.snapshotSave()}, a.Snapshot...)...)
	below := []*cobra.Command{a.clusterStatus(), a.clusterTransfer(), a.clusterRemove(), snapshot}
	return group("cluster", "Look at the coordinators, and see to them", append(below, a.Cluster...)...)
}

func (a *app) clusterStatus() *cobra.Command {
	var wait bool
	var voters int
	var limit time.Duration
	c := &cobra.Command{
		Use: "status", Short: "Show the coordinators and who leads",
		Long: `Shows who leads, and what each coordinator says of its log and its disk: BEHIND is
how many entries it has not applied that the one that answers has, CONTACT how long
ago it heard the leader, RULES the newest version of the rules that it agrees to.

With --wait it stays until there is a leader and every member votes, answers and has
caught up; with --voters until there are as many. The exit status is 0 then, and 7
when --within has passed.`,
		Example: `  backfleet cluster status
  backfleet cluster status --wait --voters 3 --within 5m`,
		Args: exactly(0),
	}
	c.Flags().BoolVar(&wait, "wait", false, "stay until all members vote, answer and have caught up")
	c.Flags().IntVar(&voters, "voters", 0, "with --wait: and until there are so many `members`")
	c.Flags().DurationVar(&limit, "within", 0, "with --wait: give up after this `time`, as 5m")
	k, out := a.connects(c), a.prints(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if !wait && (voters != 0 || limit != 0) || voters < 0 || limit < 0 {
			return fault.Field("--voters", "it and --within go with --wait, and are not negative")
		}
		cl, err := k.client()
		if err != nil {
			return err
		}
		var s *v1.Cluster
		if wait {
			err = within(c.Context(), limit, "the cluster is not whole", func(ctx context.Context) error {
				s, err = a.whole(ctx, cl, voters)
				return err
			})
		} else {
			s, err = cl.Standings(c.Context())
		}
		if err != nil {
			return err
		}
		return out.answer(s, serverIDs(s), func(w io.Writer) { a.showCluster(w, s) })
	}
	return c
}

// whole waits until nothing ails the cluster, and tells on the way what does.
func (a *app) whole(ctx context.Context, cl *client.Client, voters int) (*v1.Cluster, error) {
	told := ""
	for {
		s, err := cl.Standings(ctx)
		if err != nil {
			return nil, err
		}
		why := ails(s, voters)
		if why == "" {
			return s, nil
		}
		if why != told {
			fmt.Fprintln(a.Err, why)
			told = why
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(watchRefresh):
		}
	}
}

// caughtUp is how many entries a coordinator may be behind that keeps up.
const caughtUp = 256

// ails says what keeps the cluster from being whole; empty: nothing.
func ails(s *v1.Cluster, voters int) string {
	if s.Leader == "" {
		return "nobody leads"
	}
	for _, one := range s.Servers {
		switch {
		case one.Role == v1.ServerRoleNonVoter:
			return one.ID + " does not vote yet"
		case one.Standing == nil:
			return one.ID + " does not answer: " + one.Silent
		case one.Standing.Behind > caughtUp:
			return fmt.Sprintf("%s is %s behind", one.ID, number(one.Standing.Behind, "entry"))
		}
	}
	if len(s.Servers) < voters {
		return fmt.Sprintf("%s, expected %d", number(len(s.Servers), "member"), voters)
	}
	return ""
}

func serverIDs(s *v1.Cluster) []string {
	var ids []string
	for _, one := range s.Servers {
		ids = append(ids, one.ID)
	}
	return ids
}

func (a *app) showCluster(w io.Writer, s *v1.Cluster) {
	leader := s.Leader
	if leader == "" {
		leader = "none at the moment"
	}
	sheet(w, "Leader", leader, "Answered by", s.Self, "Term", count(s.Term),
		"Log", fmt.Sprintf("committed %d, applied %d, snapshot %d", s.CommitIndex, s.AppliedIndex, s.SnapshotIndex),
		"Version", s.Version, "Rules", fmt.Sprintf("version %d is in force", s.Behaviour), "Generation", s.Generation, "Today", s.Today+" "+s.Zone)
	fmt.Fprintln(w)
	var rows [][]string
	for _, one := range s.Servers {
		row := []string{one.ID, a.word(w, string(one.Role))}
		if t := one.Standing; t != nil {
			contact, snapshot, free := "", "none", ""
			if t.LastContact != nil {
				contact = duration(max(0, a.Now().Sub(*t.LastContact)))
			}
			if t.SnapshotIndex > 0 {
				snapshot = roundSize(t.SnapshotBytes)
			}
			if t.DiskFree != nil {
				free = roundSize(*t.DiskFree)
			}
			row = append(row, count(t.Behind), contact, roundSize(t.LogBytes), snapshot, free, strconv.Itoa(t.Behaviour))
		} else {
			row = append(row, "?", "", "", "", "", "")
		}
		rows = append(rows, append(row, one.HTTPAddress, one.RPCAddress, one.RaftAddress, one.Version))
	}
	a.grid(w, []string{"ID", "ROLE", "BEHIND", "CONTACT", "LOG", "SNAPSHOT", "FREE", "RULES", "HTTP", "RPC", "RAFT", "VERSION"}, rows)
	for _, one := range s.Servers {
		if one.Standing == nil && one.Silent != "" {
			fmt.Fprintf(w, "%s does not answer: %s\n", one.ID, one.Silent)
		}
	}
}

// roundSize writes bytes for people.
func roundSize(n int64) string {
	const step = 1024
	switch {
	case n < step:
		return count(n) + " B"
	case n < step*step:
		return fmt.Sprintf("%.1f KiB", float64(n)/step)
	case n < step*step*step:
		return fmt.Sprintf("%.1f MiB", float64(n)/step/step)
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/step/step/step)
}

func (a *app) clusterTransfer() *cobra.Command {
	var to string
	c := &cobra.Command{
		Use: "transfer [--to ID]", Short: "Hand leadership to another coordinator",
		Example: "  backfleet cluster transfer --to c2",
		Args:    exactly(0),
	}
	c.Flags().StringVar(&to, "to", "", "`id` of the coordinator; default the one that is furthest along")
	k, out := a.connects(c), a.prints(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := out.check(); err != nil {
			return err
		}
		cl, err := k.client()
		if err != nil {
			return err
		}
		t, err := cl.Transfer(c.Context(), to)
		if err != nil {
			return err
		}
		return out.answer(t, []string{t.Leader}, func(w io.Writer) {
			if t.Leader == "" {
				fmt.Fprintln(w, "leadership was handed over; the new leader is not known yet")
				return
			}
			fmt.Fprintf(w, "%s leads\n", t.Leader)
		})
	}
	return c
}
