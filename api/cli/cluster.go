package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	v1 "backfleet/api/v1"
)

func (a *app) clusterCommand() *cobra.Command {
	return group("cluster", "Look at the coordinators", a.clusterStatus(), a.clusterTransfer())
}

func (a *app) clusterStatus() *cobra.Command {
	c := &cobra.Command{
		Use: "status", Short: "Show the coordinators and who leads",
		Example: "  backfleet cluster status",
		Args:    exactly(0),
	}
	k, out := a.connects(c), a.prints(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		cl, err := k.client()
		if err != nil {
			return err
		}
		s, err := cl.Cluster(c.Context())
		if err != nil {
			return err
		}
		return out.answer(s, serverIDs(s), func(w io.Writer) { a.showCluster(w, s) })
	}
	return c
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
		"Version", s.Version, "Today", s.Today+" "+s.Zone)
	fmt.Fprintln(w)
	var rows [][]string
	for _, one := range s.Servers {
		rows = append(rows, []string{one.ID, a.word(w, string(one.Role)), one.HTTPAddress, one.RPCAddress, one.RaftAddress, one.Version})
	}
	a.grid(w, []string{"ID", "ROLE", "HTTP", "RPC", "RAFT", "VERSION"}, rows)
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
