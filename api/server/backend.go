package server

import (
	"context"
	"io"
	"time"

	v1 "backfleet/api/v1"
	"backfleet/pkg/wire"
)

// Backend is what the HTTP API needs of a coordinator. The server has decoded
// and checked the shape of every argument (ids parsed, words known, dates
// real); whether a request makes sense is the backend's to say.
//
// Errors are *fault.Error; an uncoded one is answered as internal, and its text
// is logged, not sent. Every method may be called from many goroutines and must
// return soon after ctx ends. A result handed over is the server's: it is
// marshalled after the call, so it must not change any more. Lists in results
// may be nil.
type Backend interface {
	Position
	Reads
	LeaderReads
	Writes
	People
	Notifications
	Logs

	// Events sends what happens from now on, or from the place after, an id
	// that was sent earlier; when that place is no longer known, the first event
	// is of type reset. send blocks while the client is slow: a backend
	// with a bounded buffer ends such a stream with fault.Overloaded, and the client
	// resumes. It returns send's error, or ctx's when that ends.
	Events(ctx context.Context, filter EventFilter, after string, send func(*v1.Event) error) error
}

// Position tells where this coordinator stands in the log, and who leads.
type Position interface {
	// AppliedIndex is the newest index whose effects reads on this
	// coordinator see. The server takes it before a read and puts it into
	// Backfleet-Index.
	AppliedIndex() uint64
	// WaitIndex returns when AppliedIndex is at least index: at once if it is
	// already. fault.Timeout when ctx ends first; fault.Unavailable
	// when it is shutting down.
	WaitIndex(ctx context.Context, index uint64) error
	// ReadIndex gives an index such that a read at it sees every write that was
	// answered anywhere before the call. A follower asks the leader.
	// fault.Unavailable without one. The server then calls WaitIndex.
	ReadIndex(ctx context.Context) (uint64, error)
	// Leader is who leads as far as is known here.
	Leader() Leader
	// Checks is what must be so for the coordinator to serve, in the order in which
	// it is told by /readyz.
	Checks() []Check
}

// Check is one thing that must be so. Err is nil while it is, otherwise why not,
// for people.
type Check struct {
	Name string // a word
	Err  error
}

// Leader says who leads.
type Leader struct {
	Self        bool   // this coordinator, and its leadership is established
	HTTPAddress string // the leader's "http://host:port"; empty: not known
}

// Reads are answered from the state at hand, on any coordinator.
type Reads interface {
	// Node with its code, the index of the write that gave it its code, and
	// the nodes that name it as upstream, by id.
	Node(ctx context.Context, id string) (NodeRecord, error)
	// Nodes in an order (empty: by id). Code may be left in; the server leaves it
	// out.
	Nodes(ctx context.Context, filter NodeQuery, sort v1.NodeSort, page Page) ([]*wire.Node, Next, error)
	// Preview expands a request as if w submitted it now. instances chooses
	// the page of instances that comes with it, by node and date only. A
	// forecast comes with the first page only.
	Preview(ctx context.Context, w Write, request *wire.Request, instances InstanceFilter, page Page) (*v1.Preview, error)
	// Backfills, newest first unless sorted otherwise.
	Backfills(ctx context.Context, filter PlanQuery, page Page) ([]v1.BackfillSummary, Next, error)
	// Receipt rows are ordered by node, by date, or by date and then node.
	Receipt(ctx context.Context, plan uint64, by v1.ReceiptBy, filter InstanceFilter, page Page) (*v1.Receipt, error)
	// Dates in the order of groups, and in a group in that in which they run.
	Dates(ctx context.Context, plan uint64, filter DateFilter, page Page) ([]v1.DateProgress, Next, error)
	// Instances by number. A page must cost what it shows, not what the plan
	// holds: like every page it may be short, even empty, and have a Next, when
	// so much was looked at. The server then calls it incomplete.
	Instances(ctx context.Context, plan uint64, filter InstanceFilter, page Page) ([]v1.Instance, Next, error)
	// Operations that people did to a plan, newest first.
	Operations(ctx context.Context, plan uint64, page Page) ([]v1.OperationRecord, Next, error)
	// Schedule is the plans of the schedule's days, newest first. The filter's Kind
	// and Sort are never set.
	Schedule(ctx context.Context, filter PlanQuery, page Page) (*v1.SchedulePage, error)
	Explorer
	Overview
	Settings
	Fleet
	// Cluster as this coordinator sees it; with standing the others are asked what
	// they say of themselves, for a short time.
	Cluster(ctx context.Context, standing bool) (*v1.Cluster, error)
}

// Settings are what operators set beside the nodes. Each list is by id and
// holds those that were set and those that are named somewhere; contains is as
// in Nodes. One that is neither set nor named is fault.NotFound.
type Settings interface {
	ResourceGroups(ctx context.Context, contains string, page Page) ([]v1.ResourceGroup, Next, error)
	ResourceGroup(ctx context.Context, name string) (*v1.ResourceGroup, error)
	Workspaces(ctx context.Context, contains string, page Page) ([]v1.Workspace, Next, error)
	Workspace(ctx context.Context, id string) (*v1.Workspace, error)
	Regions(ctx context.Context, contains string, page Page) ([]v1.Region, Next, error)
	Region(ctx context.Context, id string) (*v1.Region, error)
	// DataSources are those that were set; what is only named is none.
	DataSources(ctx context.Context, contains string, page Page) ([]v1.DataSource, Next, error)
	DataSource(ctx context.Context, name string) (*v1.DataSource, error)
}

// Fleet tells of agents and of who may let them in. Of agents and resource groups
// the server asks the leader, unless the caller wants what is here (consistency
// stale); whatever only the leader knows, who is connected and what waits, is left
// out elsewhere.
type Fleet interface {
	// Agents by id.
	Agents(ctx context.Context, filter AgentFilter, page Page) ([]v1.Agent, Next, error)
	// Agent and what it holds, the first 1,000 by instance.
	Agent(ctx context.Context, id string) (*v1.AgentDetail, error)
	// JoinTokens by id; contains matches id or description.
	JoinTokens(ctx context.Context, contains string, page Page) ([]v1.JoinToken, Next, error)
}

// LeaderReads need what only the leader's scheduler knows. The server calls
// them on the leader only (Leader().Self was true a moment ago); one that finds
// itself no longer leading answers fault.Unavailable.
type LeaderReads interface {
	// Backfill with its progress and its rate.
	Backfill(ctx context.Context, plan uint64) (*v1.Backfill, error)
	// Instance with its exact reason (RULES R8), values and attempts.
	Instance(ctx context.Context, plan, number uint64) (*v1.InstanceDetail, error)
	// SaveSnapshot writes a backup of all facts that were answered before the call
	// (pkg/backup). Before anything is written, errors are as everywhere.
	SaveSnapshot(ctx context.Context, w Write, out io.Writer) error
}

// Writes are called on the leader only, like LeaderReads. Each returns once its
// effect is committed and visible to reads on this coordinator, with the log
// index in the result (index 0 with an error). A repeated RequestID with the
// same Hash returns the first result; with another Hash, fault.Conflict. Not
// applied is fault.Unavailable, perhaps applied fault.Unknown.
type Writes interface {
	// ApplyNodes adds, replaces and removes, all or nothing; every finding is
	// in the error's Details with the Field that pkg/node's Apply gives it. With
	// dryRun it checks and tells what would change, and writes nothing.
	ApplyNodes(ctx context.Context, w Write, nodes []*wire.Node, remove []string, dryRun bool) (*v1.NodeApplicationResult, error)
	// Submit accepts a backfill.
	Submit(ctx context.Context, w Write, request *wire.Request) (*v1.Submission, error)
	// Operate does one operation of RULES R9 to all its targets, or to none: the
	// error's Details then name each one that stood in the way. The answer has a
	// line for every plan of a target, by id.
	Operate(ctx context.Context, w Write, o BatchOperation) (*v1.OperationBatch, error)
	// Edit changes a plan; with dryRun it tells the difference and writes
	// nothing. Of the edit, what only the leader knows (zones, today, the most
	// groups) and who may run what is the backend's to fill in.
	Edit(ctx context.Context, w Write, edit *wire.EditPlan, dryRun bool) (*v1.EditResult, error)
	// PutResourceGroup, PutWorkspace, PutRegion and PutDataSource set all that
	// can be set of one, and give it as it is then, and the log index.
	PutResourceGroup(ctx context.Context, w Write, g *wire.PutResourceGroup) (*v1.ResourceGroup, uint64, error)
	PutWorkspace(ctx context.Context, w Write, s *wire.PutWorkspace) (*v1.Workspace, uint64, error)
	PutRegion(ctx context.Context, w Write, r *wire.PutRegion) (*v1.Region, uint64, error)
	PutDataSource(ctx context.Context, w Write, d *wire.DataSource) (*v1.DataSource, uint64, error)
	// RemoveDataSource gives the log index. While nodes name the data source it is
	// fault.Conflict, and the error's Details name the first of them.
	RemoveDataSource(ctx context.Context, w Write, name string) (uint64, error)
	// OperateAgents does it to all agents named or to none: the error's Details
	// then name each one that stood in the way. It gives the agents that are
	// left, as they are then.
	OperateAgents(ctx context.Context, w Write, o AgentsAct) (*v1.AgentBatch, error)
	// CreateJoinToken makes a token and gives its text, which nothing can give
	// again: a repeated RequestID is fault.Conflict and says so.
	CreateJoinToken(ctx context.Context, w Write, t TokenToMake) (*v1.NewJoinToken, error)
	// RevokeJoinToken gives the log index.
	RevokeJoinToken(ctx context.Context, w Write, id string) (uint64, error)
	// TransferLeadership to the server of that id, empty: the most up to date.
	// It returns the new leader's id once it is known, or an empty one.
	TransferLeadership(ctx context.Context, w Write, to string) (leader string, err error)
	// RemoveServer takes a coordinator out of the cluster and gives the log index.
	// fault.NotFound: it is no member; fault.Conflict: it is the only voter or, unless
	// forced, too few of those that are left can be reached. Of the leader itself it
	// hands leadership over, and is fault.Unavailable: the next leader removes it.
	RemoveServer(ctx context.Context, w Write, id string, force bool) (uint64, error)
}

// Write says who asked for a write and makes it repeatable.
type Write struct {
	Actor     string // the token's name, or what the caller says of itself
	RequestID string // idempotency key, never empty
	Hash      []byte // SHA-256 of method, path and body under that key
	Why       string // in the words of who asked; may be empty

	// Role is what the actor may at this moment (RULES R15.1); unspecified: nothing.
	Role wire.Role
	// Restricted: the actor is a developer of these workspaces only: they run no
	// nodes of others (RULES R2.9), and change none (R15.2).
	Restricted bool
	Workspaces []string

	// For the audit (RULES R15.4).
	Via       string // what the actor showed: the id of a token, ViaFile+NAME or ViaOpen
	From      string // address that the request came from
	Operation string // the request's operationId

	// IfMatch is the tag that the thing must have for the write to take effect
	// (RULES R15.5), IfNone: there must be no such thing yet; empty: whatever it is.
	// When it is another, the error is fault.Precondition.
	IfMatch string

	// Traceparent is the header of that name: the span that the request is part of,
	// as its caller says. It may be anything.
	Traceparent string
}

// What Write.Via is of those who show no user's token.
const (
	ViaOpen = "open"  // nothing has to be shown
	ViaFile = "file:" // before the name in the coordinators' own file
)

// IfNone as Write.IfMatch lets the write only make something new.
const IfNone = "none"

// BatchOperation is what a person does to instances, dates or plans (RULES R9). The
// server has seen to it that the kind fits the form of the targets.
type BatchOperation struct {
	*wire.Operate
	// AllDescendants, of a rerun: all descendants in the plan of each target
	// run again too.
	AllDescendants bool
	// Descendants, of a rerun: these run again too. One that is no descendant
	// of an instance named in its plan is refused by name.
	Descendants []*wire.Target
	// Failure is the id of a group of failures of the one target: what has failed
	// of it is meant, as far as one entry takes it.
	Failure string
}

// AgentsAct is what a person does to agents.
type AgentsAct struct {
	Kind   wire.OperateAgents_Kind
	Agents []string      // each once
	Within time.Duration // of a drain: when from now on what still runs is stopped; 0: never
}

// TokenToMake is a join token to be made.
type TokenToMake struct {
	Description string
	Groups      []string // resource groups that its agents may join, sorted; none: all
	// When it expires: at most one of them is set; none: never.
	ExpiresIn time.Duration
	ExpiresAt time.Time
}

// Logs reads attempts' logs: the stored stream of CRI lines, bytes as they are.
// Any coordinator answers; one that lacks a range asks its peers.
type Logs interface {
	// ReadLog gives up to limit bytes from offset; fewer, or none, at the end
	// of what is stored. It need not end on a line. An offset past the end
	// is fault.Invalid; an attempt that does not exist, fault.NotFound.
	ReadLog(ctx context.Context, ref LogRef, offset uint64, limit int) (LogRange, error)
	// FollowLog sends ranges, in order and without a gap, as they are stored,
	// beginning at offset, and returns nil after one with Complete. Without any
	// attempt yet (and ref.Attempt 0) it waits for the first. It returns
	// send's error, or ctx's.
	FollowLog(ctx context.Context, ref LogRef, offset uint64, send func(LogRange) error) error
}

// LogRef names an attempt's log.
type LogRef struct {
	Plan, Instance uint64
	Attempt        uint32 // 0: the newest
}

// LogRange is a piece of a log.
type LogRange struct {
	Attempt  uint32 // the one meant
	Offset   uint64 // of Data's first byte
	Data     []byte
	Size     uint64 // bytes stored so far
	Complete bool   // the log ends at Offset+len(Data), for good
}

// NodeRecord is a node and what belongs to it.
type NodeRecord struct {
	Node        *wire.Node
	CodeVersion uint64
	Downstreams []string
}

// Page asks for a part of a list.
type Page struct {
	Cursor string // a Next that the same list gave; empty: from the start. Refuse others as fault.Invalid, field "cursor".
	Limit  int    // 1 to 1000
}

// Next is the cursor of the page after; empty: there is none. It is opaque to
// clients and should name the last item, not its place, so that what comes and
// goes meanwhile neither repeats nor hides others.
type Next = string

// AgentFilter keeps what matches all that is set.
type AgentFilter struct {
	Contains string // as in Nodes; matches id or host
	State    v1.AgentState
	Group    string             // resource group
	Labels   []*wire.Assignment // all of them, with these values
}

// EventFilter keeps what matches all that is set; reset always passes.
type EventFilter struct {
	Plan  uint64         // 0: all; otherwise also those of type cluster
	Types []v1.EventType // empty: all
}
