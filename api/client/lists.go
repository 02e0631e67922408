package client

import (
	"context"
	"iter"

	v1 "backfleet/api/v1"
)

// The lists of the API as loops over all that they have, page after page. Parameters
// say what is wanted and how much is asked for at once (Limit); they may be nil.
// An error comes once, as the last. A loop may be left at any time, and begun again.

// all asks for page after page.
func all[T, P any](p *P, cursor func(*P) *string, page func(*P) ([]T, string, error)) iter.Seq2[T, error] {
	var from P
	if p != nil {
		from = *p
	}
	return func(yield func(T, error) bool) {
		for p := from; ; {
			items, next, err := page(&p)
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			if err != nil {
				var none T
				yield(none, err)
			}
			if err != nil || next == "" {
				return
			}
			*cursor(&p) = next
		}
	}
}

// AllNodes goes through nodes by id, without code.
func (c *Client) AllNodes(ctx context.Context, p *v1.ListNodesParams) iter.Seq2[v1.Node, error] {
	return all(p, func(p *v1.ListNodesParams) *string { return &p.Cursor }, func(p *v1.ListNodesParams) ([]v1.Node, string, error) {
		page, err := c.Nodes(ctx, p)
		if err != nil {
			return nil, "", err
		}
		return page.Items, page.Next, nil
	})
}

// AllBackfills goes through backfills, newest first.
func (c *Client) AllBackfills(ctx context.Context, p *v1.ListBackfillsParams) iter.Seq2[v1.BackfillSummary, error] {
	return all(p, func(p *v1.ListBackfillsParams) *string { return &p.Cursor }, func(p *v1.ListBackfillsParams) ([]v1.BackfillSummary, string, error) {
		page, err := c.Backfills(ctx, p)
		if err != nil {
			return nil, "", err
		}
		return page.Items, page.Next, nil
	})
}

// AllDates goes through dates of a backfill.
func (c *Client) AllDates(ctx context.Context, id string, p *v1.ListDatesParams) iter.Seq2[v1.DateProgress, error] {
	return all(p, func(p *v1.ListDatesParams) *string { return &p.Cursor }, func(p *v1.ListDatesParams) ([]v1.DateProgress, string, error) {
		page, err := c.Dates(ctx, id, p)
		if err != nil {
			return nil, "", err
		}
		return page.Items, page.Next, nil
	})
}

// AllOperations goes through what people did to a backfill, newest first.
func (c *Client) AllOperations(ctx context.Context, id string, p *v1.ListOperationsParams) iter.Seq2[v1.OperationRecord, error] {
	return all(p, func(p *v1.ListOperationsParams) *string { return &p.Cursor }, func(p *v1.ListOperationsParams) ([]v1.OperationRecord, string, error) {
		page, err := c.Operations(ctx, id, p)
		if err != nil {
			return nil, "", err
		}
		return page.Items, page.Next, nil
	})
}

// AllSchedule goes through the schedule's days, newest first.
func (c *Client) AllSchedule(ctx context.Context, p *v1.ListScheduleParams) iter.Seq2[v1.ScheduleDay, error] {
	return all(p, func(p *v1.ListScheduleParams) *string { return &p.Cursor }, func(p *v1.ListScheduleParams) ([]v1.ScheduleDay, string, error) {
		page, err := c.Schedule(ctx, p)
		if err != nil {
			return nil, "", err
		}
		return page.Items, page.Next, nil
	})
}

// AllInstances goes through instances of a backfill.
func (c *Client) AllInstances(ctx context.Context, id string, p *v1.ListInstancesParams) iter.Seq2[v1.Instance, error] {
	return all(p, func(p *v1.ListInstancesParams) *string { return &p.Cursor }, func(p *v1.ListInstancesParams) ([]v1.Instance, string, error) {
		page, err := c.Instances(ctx, id, p)
		if err != nil {
			return nil, "", err
		}
		return page.Items, page.Next, nil
	})
}

// AllResourceGroups goes through resource groups by name.
func (c *Client) AllResourceGroups(ctx context.Context, p *v1.ListResourceGroupsParams) iter.Seq2[v1.ResourceGroup, error] {
	return all(p, func(p *v1.ListResourceGroupsParams) *string { return &p.Cursor }, func(p *v1.ListResourceGroupsParams) ([]v1.ResourceGroup, string, error) {
		page, err := c.ResourceGroups(ctx, p)
		if err != nil {
			return nil, "", err
		}
		return page.Items, page.Next, nil
	})
}

// AllWorkspaces goes through workspaces by id.
func (c *Client) AllWorkspaces(ctx context.Context, p *v1.ListWorkspacesParams) iter.Seq2[v1.Workspace, error] {
	return all(p, func(p *v1.ListWorkspacesParams) *string { return &p.Cursor }, func(p *v1.ListWorkspacesParams) ([]v1.Workspace, string, error) {
		page, err := c.Workspaces(ctx, p)
		if err != nil {
			return nil, "", err
		}
		return page.Items, page.Next, nil
	})
}

// AllRegions goes through regions by id.
func (c *Client) AllRegions(ctx context.Context, p *v1.ListRegionsParams) iter.Seq2[v1.Region, error] {
	return all(p, func(p *v1.ListRegionsParams) *string { return &p.Cursor }, func(p *v1.ListRegionsParams) ([]v1.Region, string, error) {
		page, err := c.Regions(ctx, p)
		if err != nil {
			return nil, "", err
		}
		return page.Items, page.Next, nil
	})
}

// AllDataSources goes through data sources by name.
func (c *Client) AllDataSources(ctx context.Context, p *v1.ListDataSourcesParams) iter.Seq2[v1.DataSource, error] {
	return all(p, func(p *v1.ListDataSourcesParams) *string { return &p.Cursor }, func(p *v1.ListDataSourcesParams) ([]v1.DataSource, string, error) {
		page, err := c.DataSources(ctx, p)
		if err != nil {
			return nil, "", err
		}
		return page.Items, page.Next, nil
	})
}

// AllAgents goes through agents by id.
func (c *Client) AllAgents(ctx context.Context, p *v1.ListAgentsParams) iter.Seq2[v1.Agent, error] {
	return all(p, func(p *v1.ListAgentsParams) *string { return &p.Cursor }, func(p *v1.ListAgentsParams) ([]v1.Agent, string, error) {
		page, err := c.Agents(ctx, p)
		if err != nil {
			return nil, "", err
		}
		return page.Items, page.Next, nil
	})
}

// AllJoinTokens goes through join tokens by id.
func (c *Client) AllJoinTokens(ctx context.Context, p *v1.ListJoinTokensParams) iter.Seq2[v1.JoinToken, error] {
	return all(p, func(p *v1.ListJoinTokensParams) *string { return &p.Cursor }, func(p *v1.ListJoinTokensParams) ([]v1.JoinToken, string, error) {
		page, err := c.JoinTokens(ctx, p)
		if err != nil {
			return nil, "", err
		}
		return page.Items, page.Next, nil
	})
}

// AllBaselines goes through baselines.
func (c *Client) AllBaselines(ctx context.Context, p *v1.ListBaselinesParams) iter.Seq2[v1.Baseline, error] {
	return all(p, func(p *v1.ListBaselinesParams) *string { return &p.Cursor }, func(p *v1.ListBaselinesParams) ([]v1.Baseline, string, error) {
		page, err := c.Baselines(ctx, p)
		if err != nil {
			return nil, "", err
		}
		return page.Items, page.Next, nil
	})
}

// AllUsers goes through users by name.
func (c *Client) AllUsers(ctx context.Context, p *v1.ListUsersParams) iter.Seq2[v1.User, error] {
	return all(p, func(p *v1.ListUsersParams) *string { return &p.Cursor }, func(p *v1.ListUsersParams) ([]v1.User, string, error) {
		page, err := c.Users(ctx, p)
		if err != nil {
			return nil, "", err
		}
		return page.Items, page.Next, nil
	})
}

// AllTokens goes through tokens.
func (c *Client) AllTokens(ctx context.Context, p *v1.ListTokensParams) iter.Seq2[v1.AccessToken, error] {
	return all(p, func(p *v1.ListTokensParams) *string { return &p.Cursor }, func(p *v1.ListTokensParams) ([]v1.AccessToken, string, error) {
		page, err := c.Tokens(ctx, p)
		if err != nil {
			return nil, "", err
		}
		return page.Items, page.Next, nil
	})
}

// AllAudit goes through records of the audit.
func (c *Client) AllAudit(ctx context.Context, p *v1.ListAuditParams) iter.Seq2[v1.AuditRecord, error] {
	return all(p, func(p *v1.ListAuditParams) *string { return &p.Cursor }, func(p *v1.ListAuditParams) ([]v1.AuditRecord, string, error) {
		page, err := c.Audit(ctx, p)
		if err != nil {
			return nil, "", err
		}
		return page.Items, page.Next, nil
	})
}

// AllChannels goes through channels by name.
func (c *Client) AllChannels(ctx context.Context, p *v1.ListChannelsParams) iter.Seq2[v1.Channel, error] {
	return all(p, func(p *v1.ListChannelsParams) *string { return &p.Cursor }, func(p *v1.ListChannelsParams) ([]v1.Channel, string, error) {
		page, err := c.Channels(ctx, p)
		if err != nil {
			return nil, "", err
		}
		return page.Items, page.Next, nil
	})
}

// AllNotifications goes through notifications.
func (c *Client) AllNotifications(ctx context.Context, p *v1.ListNotificationsParams) iter.Seq2[v1.Notification, error] {
	return all(p, func(p *v1.ListNotificationsParams) *string { return &p.Cursor }, func(p *v1.ListNotificationsParams) ([]v1.Notification, string, error) {
		page, err := c.Notifications(ctx, p)
		if err != nil {
			return nil, "", err
		}
		return page.Items, page.Next, nil
	})
}

// AllRuns goes through the runs of a node that have ended, those of the newest plan
// first.
func (c *Client) AllRuns(ctx context.Context, node string, p *v1.ListRunsParams) iter.Seq2[v1.Run, error] {
	return all(p, func(p *v1.ListRunsParams) *string { return &p.Cursor }, func(p *v1.ListRunsParams) ([]v1.Run, string, error) {
		page, err := c.Runs(ctx, node, p)
		if err != nil {
			return nil, "", err
		}
		return page.Items, page.Next, nil
	})
}
