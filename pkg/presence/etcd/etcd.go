// Package etcd is presence kept in etcd: a member is a key, or one in each of
// its resource groups, bound to a lease that the member renews, so it vanishes
// when its process does. A lease that is lost in etcd itself is noticed at the
// next renewal, within a third of it, and the member entered again.
package etcd

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"backfleet/pkg/fault"
	"backfleet/pkg/obs"
	"backfleet/pkg/presence"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
)

// Config says where members are kept.
type Config struct {
	// Prefix of all keys; default "/backfleet/presence". Two clusters on one
	// etcd need two prefixes. Below it lie coordinators/ID and agents/GROUP/ID.
	Prefix string
	// Lease is how long a dead member is still seen; whole seconds, default
	// 10 s, at least 1 s. It is renewed three times in that span.
	Lease time.Duration
	// Retry is the longest pause between tries to enter again; default 5 s.
	Retry time.Duration
	// Relist is how often a watch reads the whole list all the same: an etcd
	// that was set up anew counts its revisions from the beginning, and would
	// tell an old watch nothing until it has caught up. Default 1 min.
	Relist time.Duration
	Logger *slog.Logger // default: none
}

const (
	// within bounds each question to etcd; its client waits for ever otherwise.
	within = 3 * time.Second
	// farewell bounds the giving back of a lease.
	farewell = time.Second
	// atOnce is how many keys one transaction writes; etcd takes 128.
	atOnce = 100
)

// Registry is a presence.Directory and presence.Announcer on etcd.
type Registry struct {
	cfg   Config
	where string // etcd's addresses, for errors

	mu      sync.Mutex
	client  *clientv3.Client
	connect func() (*clientv3.Client, error) // nil: the client is the caller's
	closed  bool
	entered chan struct{} // closed, and another made, when a member was entered
}

var (
	_ presence.Directory = (*Registry)(nil)
	_ presence.Announcer = (*Registry)(nil)
)

// New makes a registry on a client, which stays the caller's to close.
func New(client *clientv3.Client, cfg Config) (*Registry, error) {
	if cfg.Prefix == "" {
		cfg.Prefix = "/backfleet/presence"
	}
	cfg.Prefix = strings.TrimRight(cfg.Prefix, "/")
	if cfg.Lease == 0 {
		cfg.Lease = 10 * time.Second
	}
	if cfg.Lease < time.Second || cfg.Lease%time.Second != 0 {
		return nil, fault.Field(FlagLease, "%s; expected whole seconds, at least 1s", cfg.Lease)
	}
	if cfg.Retry == 0 {
		cfg.Retry = 5 * time.Second
	}
	if cfg.Relist == 0 {
		cfg.Relist = time.Minute
	}
	if cfg.Logger == nil {
		cfg.Logger = obs.Discard()
	}
	r := &Registry{cfg: cfg, client: client, entered: make(chan struct{})}
	if client != nil {
		r.where = strings.Join(client.Endpoints(), ", ")
	}
	return r, nil
}

// connected gives the client, and makes it at first.
func (r *Registry) connected() (*clientv3.Client, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, errors.New("the registry is closed")
	}
	if r.client == nil {
		client, err := r.connect()
		if err != nil {
			return nil, err
		}
		r.client = client
	}
	return r.client, nil
}

// refused gives up a client of ours whose login etcd does not take any more:
// the next one reads the file again.
func (r *Registry) refused(err error) {
	var coded interface{ Code() codes.Code } // a wrong password is an invalid argument to etcd
	if !errors.As(err, &coded) || coded.Code() != codes.Unauthenticated && coded.Code() != codes.InvalidArgument {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.connect != nil && r.client != nil {
		_ = r.client.Close()
		r.client = nil
	}
}

// Close ends a registry that Open made. Twice is fine.
func (r *Registry) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed = true; r.connect != nil && r.client != nil {
		_ = r.client.Close()
		r.client = nil
	}
}

func (r *Registry) folder(kind presence.Kind) string { return r.cfg.Prefix + "/" + string(kind) + "s/" }

// keys are where a member stands: an agent in each of its resource groups.
func (r *Registry) keys(m presence.Member) []string {
	if m.Kind != presence.Agent {
		return []string{r.folder(m.Kind) + m.ID}
	}
	var keys []string
	for _, g := range m.Groups {
		keys = append(keys, r.folder(m.Kind)+url.PathEscape(g)+"/"+m.ID)
	}
	return keys
}

func check(m presence.Member) error {
	if m.Kind == "" || m.ID == "" || strings.Contains(m.ID, "/") {
		return fault.New(fault.Invalid, "a member needs a kind and an id without \"/\"; got %q and %q", m.Kind, m.ID)
	}
	if m.Kind == presence.Agent && len(m.Groups) == 0 {
		return fault.New(fault.Invalid, "agent %s: an agent stands in etcd under its resource groups; expected one at least", m.ID)
	}
	return nil
}

// Announce keeps m under a lease until ctx ends, and then revokes it so that
// others see the end at once. After a lost lease (a long partition, etcd
// restored from a backup or set up anew) it enters m again.
func (r *Registry) Announce(ctx context.Context, m presence.Member, changes <-chan presence.Member) error {
	if err := check(m); err != nil {
		return err
	}
	away := outage{log: r.cfg.Logger.With("kind", m.Kind, "member", m.ID), what: "being registered in etcd"}
	pause := r.cfg.Retry / 16
	for {
		began := time.Now()
		err := r.hold(ctx, &m, changes, &away)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > r.cfg.Lease+within {
			pause = r.cfg.Retry / 16 // it held for a while: this is a new trouble
		}
		away.failed(err)
		r.refused(err)
		select { // spread out, so that a fleet does not return in one instant
		case <-time.After(pause/2 + rand.N(pause/2+1)):
		case <-ctx.Done():
			return nil
		}
		pause = min(2*pause, r.cfg.Retry)
	}
}

// hold enters the member and returns when its lease is lost or ctx ends. m is
// what was entered last.
func (r *Registry) hold(ctx context.Context, m *presence.Member, changes <-chan presence.Member, away *outage) error {
	client, err := r.connected()
	if err != nil {
		return err
	}
	try, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	lease, err := client.Grant(try, int64(r.cfg.Lease/time.Second))
	if err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
		defer cancel()
		_, _ = client.Revoke(end, lease.ID) // else it ends by itself
	}()
	select { // what changed meanwhile is no news for others
	case newest, ok := <-changes:
		if ok && check(newest) == nil {
			*m = newest
		}
	default:
	}
	if err := r.enter(try, client, lease.ID, *m, nil); err != nil {
		return err
	}
	renewals, err := client.KeepAlive(ctx, lease.ID)
	if err != nil {
		return err
	}
	away.over()
	r.tellEntered()
	for {
		select {
		case _, open := <-renewals:
			if !open {
				return errors.New("the lease was lost")
			}
		case newest, open := <-changes:
			if !open {
				changes = nil
				continue
			}
			if err := r.change(ctx, client, lease.ID, m, newest); err != nil {
				return err
			}
		}
	}
}

// change enters another member in the place of m.
func (r *Registry) change(ctx context.Context, client *clientv3.Client, lease clientv3.LeaseID, m *presence.Member, newest presence.Member) error {
	if err := check(newest); err != nil {
		r.cfg.Logger.Error("a change of the registration is passed over", "error", err)
		return nil
	}
	before := r.keys(*m)
	*m = newest
	try, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return r.enter(try, client, lease, newest, before)
}

// enter writes a member's keys, and removes those that it had before and has no
// more.
func (r *Registry) enter(ctx context.Context, client *clientv3.Client, lease clientv3.LeaseID, m presence.Member, before []string) error {
	value, err := json.Marshal(m)
	if err != nil {
		return fault.Wrap(err, fault.Internal, "member %s", m.ID)
	}
	var ops []clientv3.Op
	keys := r.keys(m)
	for _, key := range keys {
		ops = append(ops, clientv3.OpPut(key, string(value), clientv3.WithLease(lease)))
	}
	for _, key := range before {
		if !slices.Contains(keys, key) {
			ops = append(ops, clientv3.OpDelete(key))
		}
	}
	for some := range slices.Chunk(ops, atOnce) {
		if _, err := client.Txn(ctx).Then(some...).Commit(); err != nil {
			return err
		}
	}
	return nil
}

// tellEntered has watches read their lists again: what took the lease away may
// have been the end of that etcd's data.
func (r *Registry) tellEntered() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.entered)
	r.entered = make(chan struct{})
}

func (r *Registry) whenEntered() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.entered
}

// outage logs the beginning and the end of a trouble, not each try in it.
type outage struct {
	log   *slog.Logger
	what  string
	since time.Time
}

func (o *outage) failed(err error) {
	if o.since.IsZero() {
		o.since = time.Now()
		o.log.Warn(o.what+" failed: nothing that runs needs it; trying again", "error", err)
	}
}

func (o *outage) over() {
	if !o.since.IsZero() {
		o.log.Info(o.what+" works again", "after", time.Since(o.since).Round(time.Millisecond))
		o.since = time.Time{}
	}
}
