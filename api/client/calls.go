package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"

	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
)

// The calls of the API, one method each. Parameters may be nil; those about
// consistency are set by the client. A key makes a write repeatable by the
// caller also; without one the client makes its own for each call. Errors are
// *fault.Error with the code that the coordinator gave, or the context's.

// ApplyNodes adds, changes and removes nodes, all or nothing.
func (c *Client) ApplyNodes(ctx context.Context, a v1.NodeApplication) (*v1.NodeApplicationResult, error) {
	return read[v1.NodeApplicationResult](c.api.ApplyNodes(ctx, nil, a))
}

// Nodes lists nodes by id, without code.
func (c *Client) Nodes(ctx context.Context, p *v1.ListNodesParams) (*v1.NodePage, error) {
	return read[v1.NodePage](c.api.ListNodes(ctx, p))
}

// Node is one node with its code.
func (c *Client) Node(ctx context.Context, id string) (*v1.NodeDetail, error) {
	return read[v1.NodeDetail](c.api.GetNode(ctx, id, nil))
}

// Graph is nodes and what depends on what, in one answer.
func (c *Client) Graph(ctx context.Context, p *v1.GetGraphParams) (*v1.Graph, error) {
	return read[v1.Graph](c.api.GetGraph(ctx, p))
}

// Coverage tells what became of a node's data timestamps, over all plans.
func (c *Client) Coverage(ctx context.Context, node string, p *v1.GetCoverageParams) (*v1.Coverage, error) {
	return read[v1.Coverage](c.api.GetCoverage(ctx, node, p))
}

// Runs lists the runs of a node that have ended, those of the newest plan first.
func (c *Client) Runs(ctx context.Context, node string, p *v1.ListRunsParams) (*v1.RunPage, error) {
	return read[v1.RunPage](c.api.ListRuns(ctx, node, p))
}

// NextRuns tells when a node's schedule says that it runs next.
func (c *Client) NextRuns(ctx context.Context, node string, p *v1.ListNextRunsParams) (*v1.NextRuns, error) {
	return read[v1.NextRuns](c.api.ListNextRuns(ctx, node, p))
}

// Map is the states of a backfill as a picture, node by date.
func (c *Client) Map(ctx context.Context, id string, p *v1.GetMapParams) (*v1.BackfillMap, error) {
	return read[v1.BackfillMap](c.api.GetMap(ctx, id, p))
}

// Failures groups what failed in a backfill by what it has in common.
func (c *Client) Failures(ctx context.Context, id string, p *v1.GetFailuresParams) (*v1.Failures, error) {
	return read[v1.Failures](c.api.GetFailures(ctx, id, p))
}

// Preview tells what a request would run.
func (c *Client) Preview(ctx context.Context, r v1.BackfillRequest, p *v1.PreviewBackfillParams) (*v1.Preview, error) {
	return read[v1.Preview](c.api.PreviewBackfill(ctx, p, r))
}

// Submit accepts a backfill.
func (c *Client) Submit(ctx context.Context, r v1.BackfillRequest, key string) (*v1.Submission, error) {
	return read[v1.Submission](c.api.SubmitBackfill(ctx, &v1.SubmitBackfillParams{IdempotencyKey: key}, r))
}

// Backfills lists backfills, newest first.
func (c *Client) Backfills(ctx context.Context, p *v1.ListBackfillsParams) (*v1.BackfillPage, error) {
	return read[v1.BackfillPage](c.api.ListBackfills(ctx, p))
}

// Backfill is one backfill with its progress.
func (c *Client) Backfill(ctx context.Context, id string) (*v1.Backfill, error) {
	return read[v1.Backfill](c.api.GetBackfill(ctx, id, nil))
}

// Receipt is the account of a backfill's instances (RULES R13.6).
func (c *Client) Receipt(ctx context.Context, id string, p *v1.GetReceiptParams) (*v1.Receipt, error) {
	return read[v1.Receipt](c.api.GetReceipt(ctx, id, p))
}

// Dates lists a backfill's dates in the order in which they run.
func (c *Client) Dates(ctx context.Context, id string, p *v1.ListDatesParams) (*v1.DatePage, error) {
	return read[v1.DatePage](c.api.ListDates(ctx, id, p))
}

// Rerun runs instances again, all or nothing.
func (c *Client) Rerun(ctx context.Context, id string, r v1.RerunRequest) (*v1.Operation, error) {
	return read[v1.Operation](c.api.RerunBackfill(ctx, id, nil, r))
}

// Operate does one operation to several backfills, all or nothing.
func (c *Client) Operate(ctx context.Context, o v1.BackfillsOperation) (*v1.OperationBatch, error) {
	return read[v1.OperationBatch](c.api.OperateBackfills(ctx, nil, o))
}

// Freeze holds all that wait, of some dates or of the whole backfill.
func (c *Client) Freeze(ctx context.Context, id string, o v1.DatesOperation) (*v1.Operation, error) {
	return read[v1.Operation](c.api.FreezeBackfill(ctx, id, nil, o))
}

// Unfreeze lets frozen instances go on, of some dates or of the whole backfill.
func (c *Client) Unfreeze(ctx context.Context, id string, o v1.DatesOperation) (*v1.Operation, error) {
	return read[v1.Operation](c.api.UnfreezeBackfill(ctx, id, nil, o))
}

// Edit changes a backfill, or with dryRun tells what the change would do.
func (c *Client) Edit(ctx context.Context, id string, e v1.BackfillEdit, dryRun bool) (*v1.EditResult, error) {
	return read[v1.EditResult](c.api.EditBackfill(ctx, id, &v1.EditBackfillParams{DryRun: dryRun}, e))
}

// Operations lists what people did to a backfill, newest first.
func (c *Client) Operations(ctx context.Context, id string, p *v1.ListOperationsParams) (*v1.OperationPage, error) {
	return read[v1.OperationPage](c.api.ListOperations(ctx, id, p))
}

// Schedule lists the schedule's days, newest first.
func (c *Client) Schedule(ctx context.Context, p *v1.ListScheduleParams) (*v1.SchedulePage, error) {
	return read[v1.SchedulePage](c.api.ListSchedule(ctx, p))
}

// Instances lists instances of a backfill.
func (c *Client) Instances(ctx context.Context, id string, p *v1.ListInstancesParams) (*v1.InstancePage, error) {
	return read[v1.InstancePage](c.api.ListInstances(ctx, id, p))
}

// SearchInstances lists instances of many backfills and of the schedule.
func (c *Client) SearchInstances(ctx context.Context, p *v1.SearchInstancesParams) (*v1.InstancePage, error) {
	return read[v1.InstancePage](c.api.SearchInstances(ctx, p))
}

// Attempts lists the attempts of an instance, oldest first.
func (c *Client) Attempts(ctx context.Context, instance string, p *v1.ListAttemptsParams) (*v1.AttemptPage, error) {
	return read[v1.AttemptPage](c.api.ListAttempts(ctx, instance, p))
}

// Upstreams lists what an instance waits for, one step up.
func (c *Client) Upstreams(ctx context.Context, instance string, p *v1.ListUpstreamsParams) (*v1.RelativePage, error) {
	return read[v1.RelativePage](c.api.ListUpstreams(ctx, instance, p))
}

// Downstreams lists what waits for an instance, one step down.
func (c *Client) Downstreams(ctx context.Context, instance string, p *v1.ListDownstreamsParams) (*v1.RelativePage, error) {
	return read[v1.RelativePage](c.api.ListDownstreams(ctx, instance, p))
}

// Rendering shows a node in its cycles of a data timestamp.
func (c *Client) Rendering(ctx context.Context, node string, p *v1.RenderNodeParams) (*v1.NodeRenderingPage, error) {
	return read[v1.NodeRenderingPage](c.api.RenderNode(ctx, node, p))
}

// Instance is one instance with its reason and attempts.
func (c *Client) Instance(ctx context.Context, id string) (*v1.InstanceDetail, error) {
	return read[v1.InstanceDetail](c.api.GetInstance(ctx, id, nil))
}

// OperateInstances does one operation to instances, all or nothing.
func (c *Client) OperateInstances(ctx context.Context, o v1.InstancesOperation) (*v1.OperationBatch, error) {
	return read[v1.OperationBatch](c.api.OperateInstances(ctx, nil, o))
}

// Log reads a range of an attempt's log.
func (c *Client) Log(ctx context.Context, instance string, p *v1.ReadLogParams) (*v1.LogPage, error) {
	return read[v1.LogPage](c.api.ReadLog(ctx, instance, p))
}

// SearchLog looks for text in an attempt's log.
func (c *Client) SearchLog(ctx context.Context, instance string, p *v1.SearchLogParams) (*v1.LogSearch, error) {
	return read[v1.LogSearch](c.api.SearchLog(ctx, instance, p))
}

// LogText is a range of an attempt's log, the bytes as the process wrote them.
type LogText struct {
	Attempt  int
	Next     uint64 // offset at which to read on
	Complete bool   // the log ends there
	Text     []byte
}

// LogText reads a range of an attempt's log as text. The whole of it is read
// range by range, each from whichever coordinator answers: begin at 0 and go on
// at Next until Complete, or, of one that grows, until Next stays.
func (c *Client) LogText(ctx context.Context, instance string, p *v1.ReadLogParams) (*LogText, error) {
	r, err := c.api.ReadLog(ctx, instance, p, func(_ context.Context, r *http.Request) error {
		r.Header.Set("Accept", "text/plain")
		return nil
	})
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	out := &LogText{}
	var errs [4]error
	out.Attempt, errs[0] = strconv.Atoi(r.Header.Get("Backfleet-Log-Attempt"))
	out.Next, errs[1] = strconv.ParseUint(r.Header.Get("Backfleet-Log-Next"), 10, 64)
	out.Complete, errs[2] = strconv.ParseBool(r.Header.Get("Backfleet-Log-Complete"))
	out.Text, errs[3] = io.ReadAll(r.Body)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the answer cannot be read: is %s a Backfleet coordinator of this version?", r.Request.URL.Host)
	}
	return out, nil
}

// ResourceGroups lists resource groups by name.
func (c *Client) ResourceGroups(ctx context.Context, p *v1.ListResourceGroupsParams) (*v1.ResourceGroupPage, error) {
	return read[v1.ResourceGroupPage](c.api.ListResourceGroups(ctx, p))
}

// ResourceGroup is one resource group with its use.
func (c *Client) ResourceGroup(ctx context.Context, name string) (*v1.ResourceGroup, error) {
	return read[v1.ResourceGroup](c.api.GetResourceGroup(ctx, name, nil))
}

// PutResourceGroup sets all that can be set of a resource group.
func (c *Client) PutResourceGroup(ctx context.Context, name string, s v1.ResourceGroupSettings, why string) (*v1.ResourceGroup, error) {
	return read[v1.ResourceGroup](c.api.PutResourceGroup(ctx, name, &v1.PutResourceGroupParams{Why: why}, s))
}

// Workspaces lists workspaces by id.
func (c *Client) Workspaces(ctx context.Context, p *v1.ListWorkspacesParams) (*v1.WorkspacePage, error) {
	return read[v1.WorkspacePage](c.api.ListWorkspaces(ctx, p))
}

// Workspace is one workspace.
func (c *Client) Workspace(ctx context.Context, id string) (*v1.Workspace, error) {
	return read[v1.Workspace](c.api.GetWorkspace(ctx, id, nil))
}

// PutWorkspace sets all that can be set of a workspace.
func (c *Client) PutWorkspace(ctx context.Context, id string, s v1.WorkspaceSettings, why string) (*v1.Workspace, error) {
	return read[v1.Workspace](c.api.PutWorkspace(ctx, id, &v1.PutWorkspaceParams{Why: why}, s))
}

// Regions lists regions by id.
func (c *Client) Regions(ctx context.Context, p *v1.ListRegionsParams) (*v1.RegionPage, error) {
	return read[v1.RegionPage](c.api.ListRegions(ctx, p))
}

// Region is one region.
func (c *Client) Region(ctx context.Context, id string) (*v1.Region, error) {
	return read[v1.Region](c.api.GetRegion(ctx, id, nil))
}

// PutRegion sets all that can be set of a region.
func (c *Client) PutRegion(ctx context.Context, id string, s v1.RegionSettings, why string) (*v1.Region, error) {
	return read[v1.Region](c.api.PutRegion(ctx, id, &v1.PutRegionParams{Why: why}, s))
}

// DataSources lists data sources by name.
func (c *Client) DataSources(ctx context.Context, p *v1.ListDataSourcesParams) (*v1.DataSourcePage, error) {
	return read[v1.DataSourcePage](c.api.ListDataSources(ctx, p))
}

// DataSource is one data source.
func (c *Client) DataSource(ctx context.Context, name string) (*v1.DataSource, error) {
	return read[v1.DataSource](c.api.GetDataSource(ctx, name, nil))
}

// PutDataSource adds or replaces a data source.
func (c *Client) PutDataSource(ctx context.Context, name string, s v1.DataSourceSettings, why string) (*v1.DataSource, error) {
	return read[v1.DataSource](c.api.PutDataSource(ctx, name, &v1.PutDataSourceParams{Why: why}, s))
}

// RemoveDataSource removes a data source that no node names.
func (c *Client) RemoveDataSource(ctx context.Context, name, why string) (*v1.Removal, error) {
	return read[v1.Removal](c.api.RemoveDataSource(ctx, name, &v1.RemoveDataSourceParams{Why: why}))
}

// Agents lists agents by id.
func (c *Client) Agents(ctx context.Context, p *v1.ListAgentsParams) (*v1.AgentPage, error) {
	return read[v1.AgentPage](c.api.ListAgents(ctx, p))
}

// Agent is one agent with what it holds.
func (c *Client) Agent(ctx context.Context, id string) (*v1.AgentDetail, error) {
	return read[v1.AgentDetail](c.api.GetAgent(ctx, id, nil))
}

// DrainAgents has agents become empty, all or none.
func (c *Client) DrainAgents(ctx context.Context, d v1.AgentsDrain) (*v1.AgentBatch, error) {
	return read[v1.AgentBatch](c.api.DrainAgents(ctx, nil, d))
}

// ResumeAgents has drained agents take work again, all or none.
func (c *Client) ResumeAgents(ctx context.Context, o v1.AgentsOperation) (*v1.AgentBatch, error) {
	return read[v1.AgentBatch](c.api.ResumeAgents(ctx, nil, o))
}

// ForgetAgent forgets an agent that is lost or gone.
func (c *Client) ForgetAgent(ctx context.Context, id, why string) (*v1.Removal, error) {
	return read[v1.Removal](c.api.ForgetAgent(ctx, id, &v1.ForgetAgentParams{Why: why}))
}

// CreateJoinToken makes a token that lets agents in. When its answer is lost and
// the call repeated, the error is fault.Conflict and names the token to revoke.
func (c *Client) CreateJoinToken(ctx context.Context, r v1.JoinTokenRequest) (*v1.NewJoinToken, error) {
	return read[v1.NewJoinToken](c.api.CreateJoinToken(ctx, nil, r))
}

// JoinTokens lists join tokens by id, without their text.
func (c *Client) JoinTokens(ctx context.Context, p *v1.ListJoinTokensParams) (*v1.JoinTokenPage, error) {
	return read[v1.JoinTokenPage](c.api.ListJoinTokens(ctx, p))
}

// RevokeJoinToken ends what a join token lets in.
func (c *Client) RevokeJoinToken(ctx context.Context, id, why string) (*v1.Removal, error) {
	return read[v1.Removal](c.api.RevokeJoinToken(ctx, id, &v1.RevokeJoinTokenParams{Why: why}))
}

// Baselines lists baselines by name, as the nodes name them.
func (c *Client) Baselines(ctx context.Context, p *v1.ListBaselinesParams) (*v1.BaselinePage, error) {
	return read[v1.BaselinePage](c.api.ListBaselines(ctx, p))
}

// Users lists users by name.
func (c *Client) Users(ctx context.Context, p *v1.ListUsersParams) (*v1.UserPage, error) {
	return read[v1.UserPage](c.api.ListUsers(ctx, p))
}

// User is one user.
func (c *Client) User(ctx context.Context, name string) (*v1.User, error) {
	return read[v1.User](c.api.GetUser(ctx, name, nil))
}

// PutUser sets all that can be set of a user.
func (c *Client) PutUser(ctx context.Context, name string, s v1.UserSettings, why string) (*v1.User, error) {
	return read[v1.User](c.api.PutUser(ctx, name, &v1.PutUserParams{Why: why}, s))
}

// RemoveUser removes a user, and ends their tokens.
func (c *Client) RemoveUser(ctx context.Context, name, why string) (*v1.Removal, error) {
	return read[v1.Removal](c.api.RemoveUser(ctx, name, &v1.RemoveUserParams{Why: why}))
}

// Tokens lists tokens by id, one's own unless the parameters name a user.
func (c *Client) Tokens(ctx context.Context, p *v1.ListTokensParams) (*v1.TokenPage, error) {
	return read[v1.TokenPage](c.api.ListTokens(ctx, p))
}

// Token is one token, without its text.
func (c *Client) Token(ctx context.Context, id string) (*v1.AccessToken, error) {
	return read[v1.AccessToken](c.api.GetToken(ctx, id, nil))
}

// CreateToken makes a token. When its answer is lost and the call repeated, the
// error is fault.Conflict and names the token to revoke.
func (c *Client) CreateToken(ctx context.Context, r v1.TokenRequest) (*v1.NewToken, error) {
	return read[v1.NewToken](c.api.CreateToken(ctx, nil, r))
}

// RevokeToken ends a token at once.
func (c *Client) RevokeToken(ctx context.Context, id, why string) (*v1.Removal, error) {
	return read[v1.Removal](c.api.RevokeToken(ctx, id, &v1.RevokeTokenParams{Why: why}))
}

// Me is who one is, and what one may.
func (c *Client) Me(ctx context.Context) (*v1.Me, error) {
	return read[v1.Me](c.api.GetMe(ctx, nil))
}

// LoginWays tells how one can log in. Nothing has to be shown for it.
func (c *Client) LoginWays(ctx context.Context) (*v1.LoginWays, error) {
	return read[v1.LoginWays](c.api.GetLogin(ctx, nil))
}

// CreateSession logs in: with an ID token of the provider's it makes a session,
// whose token is told this once.
func (c *Client) CreateSession(ctx context.Context, r v1.SessionRequest) (*v1.Session, error) {
	return read[v1.Session](c.api.CreateSession(ctx, nil, r))
}

// EndSession ends the session whose token the client shows. A token that is no
// session's stays.
func (c *Client) EndSession(ctx context.Context) (*v1.Removal, error) {
	return read[v1.Removal](c.api.EndSession(ctx, nil))
}

// Audit lists what people did and were not let do, newest first.
func (c *Client) Audit(ctx context.Context, p *v1.ListAuditParams) (*v1.AuditPage, error) {
	return read[v1.AuditPage](c.api.ListAudit(ctx, p))
}

// ExportAudit gives every record that matches, a JSON object a line (v1.AuditRecord),
// as it comes. The caller closes it. A read that ends with another error than
// io.EOF did not give all of them.
func (c *Client) ExportAudit(ctx context.Context, p *v1.ListAuditParams) (io.ReadCloser, error) {
	r, err := c.api.ListAudit(ctx, p, func(_ context.Context, r *http.Request) error {
		r.Header.Set("Accept", "application/x-ndjson")
		return nil
	})
	if err != nil {
		return nil, err
	}
	return r.Body, nil
}

// Cluster tells of the coordinators.
func (c *Client) Cluster(ctx context.Context) (*v1.Cluster, error) {
	return read[v1.Cluster](c.api.GetCluster(ctx, nil))
}

// Standings tells of the coordinators, and what each says of its log and disk.
func (c *Client) Standings(ctx context.Context) (*v1.Cluster, error) {
	return read[v1.Cluster](c.api.GetCluster(ctx, &v1.GetClusterParams{Standing: true}))
}

// Transfer hands leadership to a coordinator, by id; empty: to the one that is
// furthest along.
func (c *Client) Transfer(ctx context.Context, to string) (*v1.Transfer, error) {
	return read[v1.Transfer](c.api.TransferLeadership(ctx, nil, v1.TransferRequest{To: to}))
}
