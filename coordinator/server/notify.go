package server

import (
	"context"
	"os"
	"strings"
	"sync"

	"backfleet/coordinator/notify"
	"backfleet/pkg/channel"
	"backfleet/pkg/fault"
	"backfleet/pkg/secret"
	"backfleet/pkg/wire"
)

// Notifications say how people are told of things (RULES R15.6).
type Notifications struct {
	// Secrets is the folder with the files that channels may name. Default: none.
	Secrets string
	// Mail is the server for channels of kind email. Default: none.
	Mail notify.Mail
}

// complete checks the settings by the names of their flags.
func (n *Notifications) complete() error {
	if n.Secrets != "" {
		if info, err := os.Stat(n.Secrets); err != nil || !info.IsDir() {
			return fault.Field("secrets", "%q is no folder that can be read: expected one with a file for each secret that channels name", n.Secrets)
		}
	}
	return n.Mail.Complete()
}

// places are where this coordinator finds secrets.
func (n *Notifications) places() secret.Places {
	return secret.Places{Folder: n.Secrets, Environ: os.Environ(), Whose: "coordinator"}
}

// SecretPlace reads where a secret is, as a flag says it: the name of a variable
// that begins with BACKFLEET_SECRET_, or else of a file in the folder of secrets.
func SecretPlace(text string) *wire.Secret {
	switch {
	case text == "":
		return nil
	case strings.HasPrefix(text, secret.Prefix):
		return &wire.Secret{Environment: text}
	}
	return &wire.Secret{File: text}
}

// tell raises and delivers notifications while this coordinator leads.
func (s *Server) tell(ctx context.Context) {
	settings, n := s.cfg.Settings.notify(), s.cfg.Notifications
	post := notify.NewPost(notify.Post{Secrets: n.places(), Mail: n.Mail, Version: s.cfg.Version})
	defer post.Close()
	raiser := &notify.Raiser{Settings: settings, Log: clusterLog{s}, Machine: s.machine, Now: s.cfg.Now, Logger: s.cfg.Logger}
	deliverer := &notify.Deliverer{
		Settings: settings, Log: clusterLog{s}, Machine: s.machine, Sender: post, Now: s.cfg.Now, Logger: s.cfg.Logger,
		Told: func(outcome string) { s.metrics.told.WithLabelValues(outcome).Inc() },
		Standing: func(planID uint64) (channel.Backfill, bool) {
			b, ok := s.service.Told(planID)
			if url := s.cfg.PublicURL; url != "" {
				b.URL = url + "/backfills/" + b.ID
			}
			return b, ok
		},
	}
	var both sync.WaitGroup
	both.Go(func() { raiser.Lead(ctx) })
	both.Go(func() { deliverer.Lead(ctx) })
	both.Wait()
}

// notifications tells how many are to be delivered and since when, and how many
// were given up.
func (c standing) notifications(put put) {
	st := c.s.machine.State()
	pending, dead, oldest := 0, 0, int64(0)
	st.Notifications(0, func(n *wire.SnapshotNotification) bool {
		switch n.State {
		case wire.SnapshotNotification_PENDING:
			pending++
			oldest = n.Notification.AtMs
		case wire.SnapshotNotification_DEAD:
			dead++
		}
		return true
	})
	age := 0.0
	if pending > 0 {
		age = max(0, float64(c.s.cfg.Now().UnixMilli()-oldest)/1000)
	}
	put(notifyCount, float64(pending), "pending")
	put(notifyCount, float64(dead), "dead")
	put(notifyAge, age)
}
