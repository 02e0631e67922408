package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"backfleet/api/client"
	v1 "backfleet/api/v1"
)

func (a *app) agentCommand() *cobra.Command {
	return group("agent", "Look at agents", a.agentList())
}

func (a *app) agentList() *cobra.Command {
	c := &cobra.Command{
		Use: "list", Short: "List agents, their groups and slots",
		Example: "  backfleet agent list",
		Args:    exactly(0),
	}
	l := a.lists(c, true)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return listing(c.Context(), l, func(cl *client.Client, ctx context.Context, cursor string, limit int) ([]v1.Agent, string, error) {
			p, err := cl.Agents(ctx, &v1.ListAgentsParams{Contains: l.contains, Cursor: cursor, Limit: limit})
			if err != nil {
				return nil, "", err
			}
			return p.Items, p.Next, nil
		}, func(g v1.Agent) string { return g.ID }, []string{"ID", "STATE", "HOST", "SLOTS", "VERSION"},
			func(_ io.Writer, g v1.Agent) []string {
				var slots []string
				for _, s := range g.Groups {
					slots = append(slots, fmt.Sprintf("%s:%d/%d", s.Group, s.Used, s.Slots))
				}
				return []string{g.ID, string(g.State), g.Host, strings.Join(slots, " "), g.Version}
			})
	}
	return c
}

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
		rows = append(rows, []string{one.ID, string(one.Role), one.HTTPAddress, one.RPCAddress, one.RaftAddress, one.Version})
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
