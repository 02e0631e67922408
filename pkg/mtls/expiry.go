package mtls

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

const (
	// longestWarning is how long before its end a certificate that lives for
	// years is called near it.
	longestWarning = 30 * 24 * time.Hour
	watchEvery     = 10 * time.Second
	remindEvery    = 12 * time.Hour
)

// Soon reports whether a certificate has less than a fifth of its life before
// it, at most 30 days.
func Soon(cert *x509.Certificate, now time.Time) bool {
	return cert.NotAfter.Sub(now) < min(cert.NotAfter.Sub(cert.NotBefore)/5, longestWarning)
}

// inTime refuses a certificate outside its time, in words that follow a file's
// name.
func inTime(cert *x509.Certificate, now time.Time) error {
	switch {
	case now.After(cert.NotAfter):
		return fmt.Errorf("the certificate of %q expired at %s: issue a new one", cert.Subject.CommonName, when(cert.NotAfter))
	case now.Before(cert.NotBefore):
		return fmt.Errorf("the certificate of %q is not valid before %s: is this host's clock right?", cert.Subject.CommonName, when(cert.NotBefore))
	}
	return nil
}

func when(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 MST") }

// last is the authority that lasts longest: while authorities are changed, the
// old one may end beside it.
func last(authorities []*x509.Certificate) *x509.Certificate {
	return slices.MaxFunc(authorities, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
}

// Expiry gives when the own certificate ends (zero: there is none), and the
// last of the authorities.
func (m *Material) Expiry() (certificate, authority time.Time) {
	now := m.current()
	if now.pair != nil {
		certificate = now.pair.Leaf.NotAfter
	}
	return certificate, last(now.authorities).NotAfter
}

// Watch logs, until ctx ends, when other files are taken up, when newer ones
// cannot be, and, twice a day, that a certificate is near its end or past it.
func (m *Material) Watch(ctx context.Context, logger *slog.Logger) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	w := watch{m: m, log: logger}
	for {
		w.look(time.Now())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// watch is what was logged last.
type watch struct {
	m        *Material
	log      *slog.Logger
	seen     *loaded
	broken   string
	reminded map[string]reminder // by flag
}

// reminder is when something was said of a certificate, and whether it had
// expired by then.
type reminder struct {
	at      time.Time
	expired bool
}

func (w *watch) look(now time.Time) {
	current, broken := w.m.look()
	if current != w.seen {
		if w.seen != nil {
			w.about(current).Info("new certificate files are in use")
		}
		w.seen, w.reminded = current, map[string]reminder{}
	}
	text := ""
	if broken != nil {
		text = broken.Error()
	}
	if text != w.broken {
		if w.broken = text; text != "" {
			w.log.Warn("the certificate files have changed and cannot be used: those read before stay in use", "error", broken)
		}
	}
	if current.pair != nil {
		w.remind(current.pair.Leaf, w.m.flags.cert, w.m.files.Cert, now)
	}
	w.remind(last(current.authorities), w.m.flags.ca, w.m.files.CA, now)
}

// about is a log that says which files are in use, and until when they hold.
func (w *watch) about(l *loaded) *slog.Logger {
	log := w.log.With("authorities", len(l.authorities), "authority_ends", when(last(l.authorities).NotAfter))
	if l.pair != nil {
		log = log.With("file", w.m.files.Cert, "ends", when(l.pair.Leaf.NotAfter))
	}
	return log
}

func (w *watch) remind(cert *x509.Certificate, flag, file string, now time.Time) {
	expired := now.After(cert.NotAfter)
	if before := w.reminded[flag]; !expired && !Soon(cert, now) || expired == before.expired && now.Sub(before.at) < remindEvery {
		return
	}
	w.reminded[flag] = reminder{now, expired}
	log := w.log.With("flag", flag, "file", file, "subject", cert.Subject.CommonName, "ends", when(cert.NotAfter))
	if expired {
		log.Error("a certificate has expired: others refuse it; put a new one in its place, no restart is needed")
		return
	}
	log.Warn("a certificate expires soon: put a new one in its place, no restart is needed")
}
