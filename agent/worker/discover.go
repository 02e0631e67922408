package worker

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"backfleet/agent/dial"
	"backfleet/pkg/presence"
)

// knownFile keeps the addresses found last, so that an agent that restarts
// while the directory is away still finds its cluster.
const knownFile = "coordinators"

// discovery keeps a pool in step with a directory, and the agent in it. The
// directory is a hint: while it is away, or empty, what was found last stays
// in use.
type discovery struct {
	config *Config
	pool   *dial.Pool
	log    *slog.Logger
}

// run ends with ctx, and then takes the agent out of the directory.
func (d discovery) run(ctx context.Context) {
	var wait sync.WaitGroup
	defer wait.Wait()
	if d.config.Announcer != nil {
		wait.Go(func() {
			if err := d.config.Announcer.Announce(ctx, d.member(), nil); err != nil {
				d.log.Error("the agent is not in the directory", "error", err)
			}
		})
	}
	if d.config.Directory != nil {
		d.pool.Know(d.remembered())
		wait.Go(func() { d.follow(ctx) })
	}
}

func (d discovery) member() presence.Member {
	a := d.config.registration()
	groups, slots := make([]string, len(a.Groups)), make([]string, len(a.Groups))
	for i, g := range a.Groups {
		groups[i], slots[i] = g.Group, g.Group+"="+strconv.Itoa(int(g.Slots))
	}
	return presence.Member{
		Kind: presence.Agent, ID: a.Id, Groups: groups,
		Meta: map[string]string{"host": a.Host, "version": a.Version, "groups": strings.Join(slots, ",")},
	}
}

func (d discovery) follow(ctx context.Context) {
	var backoff dial.Backoff
	for ctx.Err() == nil {
		lists, err := d.config.Directory.Watch(ctx, presence.Coordinator)
		if err != nil {
			if ctx.Err() == nil {
				d.log.Warn("the directory does not answer: the coordinators found last stay in use", "error", err)
			}
			backoff.Wait(ctx)
			continue
		}
		for list := range lists {
			d.learn(list)
		}
	}
}

func (d discovery) learn(list []presence.Member) {
	if leader, ok := presence.Leader(list); ok {
		d.pool.Led(leader.Address)
	}
	var found []string
	for _, m := range list {
		if m.Address != "" {
			found = append(found, m.Address)
		}
	}
	if len(found) == 0 || slices.Equal(found, d.remembered()) {
		return
	}
	d.pool.Know(found)
	d.log.Info("coordinators found", "addresses", found)
	path := filepath.Join(d.config.DataDir, knownFile)
	// No sync: a lost one is found again.
	if err := errors.Join(os.WriteFile(path+".new", []byte(strings.Join(found, "\n")), 0o600), os.Rename(path+".new", path)); err != nil {
		d.log.Warn("the coordinators found cannot be noted", "error", err)
	}
}

func (d discovery) remembered() []string {
	text, err := os.ReadFile(filepath.Join(d.config.DataDir, knownFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.log.Warn("the coordinators found before cannot be read", "error", err)
	}
	return strings.Fields(string(bytes.TrimSpace(text)))
}
