package etcd

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"backfleet/pkg/fault"
	"backfleet/pkg/presence"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// gather is how long changes that come together are gathered into one list.
const gather = 50 * time.Millisecond

// List gives the members of a kind. When etcd does not answer within a few
// seconds the error is fault.Unavailable.
func (r *Registry) List(ctx context.Context, kind presence.Kind) ([]presence.Member, error) {
	found, _, err := r.read(ctx, kind)
	return listed(found), err
}

// read gives the members of a kind by key, and the revision of etcd's at which
// they are so.
func (r *Registry) read(ctx context.Context, kind presence.Kind) (found map[string]presence.Member, revision int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var got *clientv3.GetResponse
	client, err := r.connected()
	if err == nil {
		got, err = client.Get(ctx, r.folder(kind), clientv3.WithPrefix())
	}
	if err != nil {
		r.refused(err)
		return nil, 0, fault.Wrap(err, fault.Unavailable, "etcd at %s does not tell the %ss of the cluster", r.where, kind)
	}
	found = map[string]presence.Member{}
	for _, kv := range got.Kvs {
		r.take(found, string(kv.Key), kv.Value)
	}
	return found, got.Header.Revision, nil
}

// take puts a member into a map. Somebody else's key must not blind us to all
// the others.
func (r *Registry) take(found map[string]presence.Member, key string, value []byte) {
	var m presence.Member
	if err := json.Unmarshal(value, &m); err != nil || m.ID == "" || !strings.HasSuffix(key, "/"+m.ID) {
		r.cfg.Logger.Warn("not a member", "key", key, "error", err)
		delete(found, key)
		return
	}
	found[key] = m
}

// listed gives each member once, however many groups it stands under.
func listed(found map[string]presence.Member) []presence.Member {
	var list []presence.Member
	for _, key := range slices.Sorted(maps.Keys(found)) {
		list = append(list, found[key])
	}
	presence.Sort(list)
	return slices.CompactFunc(list, func(a, b presence.Member) bool { return a.Kind == b.Kind && a.ID == b.ID })
}

// watching is one watch: what it knows and what it sent last.
type watching struct {
	r     *Registry
	kind  presence.Kind
	out   chan []presence.Member
	found map[string]presence.Member
	last  []presence.Member
	sent  bool
}

// Watch sends the list as soon as etcd answers and after each change. It never
// fails: while etcd is away, or the watch breaks (etcd compacted past it), it
// tries again.
func (r *Registry) Watch(ctx context.Context, kind presence.Kind) (<-chan []presence.Member, error) {
	w := &watching{r: r, kind: kind, out: make(chan []presence.Member, 1)}
	go func() {
		defer close(w.out)
		w.run(ctx)
	}()
	return w.out, nil
}

func (w *watching) run(ctx context.Context) {
	away := outage{log: w.r.cfg.Logger.With("kind", w.kind), what: "watching etcd"}
	first := w.r.cfg.Retry / 16
	for pause := first; ctx.Err() == nil; {
		entered := w.r.whenEntered() // before the list is read: what comes later reads it again
		found, revision, err := w.r.read(ctx, w.kind)
		if err == nil {
			away.over()
			w.found = found
			w.offer()
			if err = w.follow(ctx, revision, entered); err == nil {
				pause = first
				continue
			}
		}
		if ctx.Err() != nil {
			return
		}
		away.failed(err)
		select {
		case <-time.After(pause/2 + rand.N(pause/2+1)):
		case <-ctx.Done():
			return
		}
		pause = min(2*pause, w.r.cfg.Retry)
	}
}

// follow takes in changes after a revision. It returns nil when the list should
// be read again, else why the watch broke.
func (w *watching) follow(ctx context.Context, revision int64, entered <-chan struct{}) error {
	client, err := w.r.connected()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	again := time.NewTimer(w.r.cfg.Relist/2 + rand.N(w.r.cfg.Relist/2+1))
	defer again.Stop()
	var due <-chan time.Time
	changes := client.Watch(ctx, w.r.folder(w.kind), clientv3.WithPrefix(), clientv3.WithRev(revision+1))
	for {
		select {
		case change, open := <-changes:
			if !open {
				return errors.New("the watch has ended")
			}
			if err := change.Err(); err != nil {
				w.r.refused(err)
				return err
			}
			for _, e := range change.Events {
				if e.Type == clientv3.EventTypeDelete {
					delete(w.found, string(e.Kv.Key))
				} else {
					w.r.take(w.found, string(e.Kv.Key), e.Kv.Value)
				}
			}
			if due == nil && len(change.Events) > 0 {
				due = time.After(gather)
			}
		case <-due:
			due = nil
			w.offer()
		case <-again.C:
			return nil
		case <-entered:
			return nil
		}
	}
}

// offer sends the list if it is another than the last.
func (w *watching) offer() {
	list := listed(w.found)
	if w.sent && slices.EqualFunc(list, w.last, presence.Member.Equal) {
		return
	}
	presence.Offer(w.out, list)
	w.last, w.sent = list, true
}
