// Package etcd is presence kept in etcd: a member is a key bound to a lease
// that the member renews, so it vanishes when its process does. A lease that
// is lost in etcd itself is noticed at the next renewal, within a third of it,
// and the member entered again.
package etcd

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"backfleet/pkg/fault"
	"backfleet/pkg/obs"
	"backfleet/pkg/presence"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Config says where members are kept.
type Config struct {
	// Prefix of all keys; default "/backfleet/presence". Two clusters on one
	// etcd need two prefixes.
	Prefix string
	// Lease is how long a dead member is still seen; whole seconds, default
	// 10 s, at least 1 s. It is renewed three times in that span.
	Lease time.Duration
	// Retry is the longest pause between tries to enter again; default 5 s.
	Retry  time.Duration
	Logger *slog.Logger // default: none
}

// Registry is a presence.Directory and presence.Announcer on etcd.
type Registry struct {
	client *clientv3.Client
	cfg    Config
	owned  bool // the client is ours to close
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
		return nil, fault.Field("presence.lease", "%s; expected whole seconds, at least 1s", cfg.Lease)
	}
	if cfg.Retry == 0 {
		cfg.Retry = 5 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = obs.Discard()
	}
	return &Registry{client: client, cfg: cfg}, nil
}

func (r *Registry) folder(kind presence.Kind) string { return r.cfg.Prefix + "/" + string(kind) + "/" }

// Announce keeps m under a lease until ctx ends, and then revokes it so that
// others see the end at once. After a lost lease (a long partition, etcd
// restored from a backup) it enters m again.
func (r *Registry) Announce(ctx context.Context, m presence.Member) error {
	if m.Kind == "" || m.ID == "" || strings.Contains(m.ID, "/") {
		return fault.New(fault.Invalid, "a member needs a kind and an id without \"/\"; got %q and %q", m.Kind, m.ID)
	}
	value, err := json.Marshal(m)
	if err != nil {
		return fault.Wrap(err, fault.Internal, "member %s", m.ID)
	}
	pause := r.cfg.Retry / 16
	for {
		began := time.Now()
		err := r.hold(ctx, r.folder(m.Kind)+m.ID, string(value))
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > r.cfg.Lease {
			pause = r.cfg.Retry / 16 // it held for a while: this is a new trouble
		}
		r.cfg.Logger.Warn("no longer registered in etcd; trying again", "kind", m.Kind, "id", m.ID, "error", err)
		select { // spread out, so that a fleet does not return in one instant
		case <-time.After(pause/2 + rand.N(pause/2+1)):
		case <-ctx.Done():
			return nil
		}
		pause = min(2*pause, r.cfg.Retry)
	}
}

// hold enters the key and returns when its lease is lost or ctx ends.
func (r *Registry) hold(ctx context.Context, key, value string) error {
	try, cancel := context.WithTimeout(ctx, r.cfg.Lease)
	defer cancel()
	lease, err := r.client.Grant(try, int64(r.cfg.Lease/time.Second))
	if err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_, _ = r.client.Revoke(end, lease.ID) // else it ends by itself
	}()
	if _, err := r.client.Put(try, key, value, clientv3.WithLease(lease.ID)); err != nil {
		return err
	}
	renewals, err := r.client.KeepAlive(ctx, lease.ID)
	if err != nil {
		return err
	}
	for range renewals {
	}
	return errors.New("the lease was lost")
}

// List gives the members of a kind.
func (r *Registry) List(ctx context.Context, kind presence.Kind) ([]presence.Member, error) {
	list, _, err := r.list(ctx, kind)
	return list, err
}

func (r *Registry) list(ctx context.Context, kind presence.Kind) (list []presence.Member, revision int64, err error) {
	got, err := r.client.Get(ctx, r.folder(kind), clientv3.WithPrefix())
	if err != nil {
		return nil, 0, fault.Wrap(err, fault.Unavailable, "etcd at %s does not answer", strings.Join(r.client.Endpoints(), ", "))
	}
	for _, kv := range got.Kvs {
		var m presence.Member
		if err := json.Unmarshal(kv.Value, &m); err != nil {
			// Somebody else's key must not blind us to all the others.
			r.cfg.Logger.Warn("not a member", "key", string(kv.Key), "error", err)
			continue
		}
		list = append(list, m)
	}
	presence.Sort(list)
	return list, got.Header.Revision, nil
}

// Watch sends the list at once and after each change. When the watch breaks
// (etcd compacted past it, or was away) it lists anew.
func (r *Registry) Watch(ctx context.Context, kind presence.Kind) (<-chan []presence.Member, error) {
	list, revision, err := r.list(ctx, kind)
	if err != nil {
		return nil, err
	}
	ch := make(chan []presence.Member, 1)
	ch <- list
	go func() {
		defer close(ch)
		for ctx.Err() == nil {
			r.follow(ctx, kind, revision, ch)
			select {
			case <-time.After(r.cfg.Retry / 16):
			case <-ctx.Done():
				return
			}
			if list, newest, err := r.list(ctx, kind); err == nil {
				revision = newest
				presence.Offer(ch, list)
			}
		}
	}()
	return ch, nil
}

func (r *Registry) follow(ctx context.Context, kind presence.Kind, revision int64, ch chan []presence.Member) {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	for change := range r.client.Watch(ctx, r.folder(kind), clientv3.WithPrefix(), clientv3.WithRev(revision+1)) {
		if change.Err() != nil {
			r.cfg.Logger.Warn("watching etcd was interrupted", "error", change.Err())
			return
		}
		if len(change.Events) == 0 {
			continue
		}
		list, _, err := r.list(ctx, kind)
		if err != nil {
			return
		}
		presence.Offer(ch, list)
	}
}
