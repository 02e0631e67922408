package worker

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sys/unix"

	"backfleet/pkg/fault"
	"backfleet/pkg/mtls"
	"backfleet/pkg/obs/expose"
)

// checkMetrics refuses an address at which figures cannot be served.
func (c *Config) checkMetrics(add func(field, message string)) {
	if c.Metrics == "" {
		return
	}
	if _, port, err := net.SplitHostPort(c.Metrics); err != nil || port == "" {
		add("metrics", "expected host:port, like 127.0.0.1:9470, found "+c.Metrics)
	} else if c.TLS == nil && !mtls.Loopback(c.Metrics) {
		add("metrics", c.Metrics+" is not on the loopback, so TLS is needed; give the agent its certificates")
	}
}

// listenMetrics opens the port for figures; nil: there is to be none. Beyond the
// loopback who asks shows a certificate of the authority.
func (c *Config) listenMetrics() (net.Listener, error) {
	if c.Metrics == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", c.Metrics)
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "metrics %s: cannot be listened on; choose another port", c.Metrics)
	}
	if !mtls.Loopback(c.Metrics) {
		l = tls.NewListener(l, c.TLS.Server())
	}
	return l, nil
}

// serveMetrics answers at /metrics until ctx ends.
func (c control) serveMetrics(ctx context.Context, l net.Listener, logger *slog.Logger) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		status, err := c.status(r.Context())
		if err != nil {
			answer(w, nil, err)
			return
		}
		w.Header().Set("Content-Type", expose.ContentType)
		_, _ = w.Write([]byte(c.page(status).String()))
	})
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute, WriteTimeout: 2 * answerWithin,
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	logger.Info("figures are served", "address", l.Addr().String())
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		logger.Error("figures are not served any more", "error", err)
	}
}

// page is the agent's figures; ops/observe/METRICS.md lists them.
func (c control) page(s *Status) *expose.Page {
	p := &expose.Page{}
	p.Gauge("backfleet_build_info", "Always 1; the label says which version runs.", 1, "version", c.config.Version)
	for _, g := range c.config.Groups {
		p.Gauge("backfleet_agent_slots", "Slots of this agent, by resource group.", float64(g.Slots), "group", g.Group)
	}
	states := map[string]float64{}
	var least float64
	for _, a := range s.Attempts {
		states[a.State]++
		if left := float64(a.LeaseMs) / 1000; a.LeaseMs > 0 && (least == 0 || left < least) {
			least = left
		}
	}
	for _, state := range []string{"starting", "waiting", "running", "ended", "shipping"} {
		p.Gauge("backfleet_agent_attempts", "Attempts that are here, by state: starting, waiting (for a slot), running, ended (the leader does not know yet), shipping (only the log is on its way).",
			states[state], "state", state)
	}
	c.sessionFigures(p, s, least)
	p.Gauge("backfleet_agent_spool_logs", "Logs that the coordinators do not have to their end.", float64(s.Logs.Logs))
	p.Gauge("backfleet_agent_spool_bytes", "Bytes of logs that are written and not on a majority of coordinators.", float64(s.Logs.Bytes))
	p.Gauge("backfleet_agent_spool_oldest_seconds", "For how long a log with such bytes has made no progress, of all logs the longest time.", float64(s.Logs.OldestMs)/1000)
	var disk unix.Statfs_t
	if unix.Statfs(c.config.DataDir, &disk) == nil {
		p.Gauge("backfleet_agent_data_free_bytes", "Free bytes on the volume of the agent's data folder.", float64(disk.Bavail)*float64(disk.Bsize))
	}
	if c.config.TLS != nil {
		certificate, authority := c.config.TLS.Expiry()
		const help = "When the certificate in use ends, and the last of the authorities (of: certificate, authority), in Unix time."
		p.Gauge("backfleet_certificate_expiry_timestamp_seconds", help, float64(certificate.Unix()), "of", "certificate")
		p.Gauge("backfleet_certificate_expiry_timestamp_seconds", help, float64(authority.Unix()), "of", "authority")
	}
	p.Process()
	return p
}

// outcomes are those of results, so that each figure has its 0 from the begin.
var outcomes = []string{"succeeded", "failed", "timed_out", "stopped", "lost", "yielded", "recalled", "skipped", "drained"}

// sessionFigures are of the session with the leader, and of the keeper.
func (c control) sessionFigures(p *expose.Page, s *Status, least float64) {
	yes := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	n := s.Counts
	p.Gauge("backfleet_agent_connected", "1 while the leader answers this agent.", yes(s.Connected))
	p.Gauge("backfleet_agent_draining", "1 while it takes nothing new.", yes(s.Draining))
	if s.Connected {
		p.Gauge("backfleet_agent_answered_seconds", "How long ago the last report was sent that the leader has answered.", float64(s.AnsweredMs)/1000)
	}
	if least > 0 {
		p.Gauge("backfleet_agent_lease_left_seconds", "For how long the attempt with the shortest lease may run without a renewal.", least)
	}
	p.Counter("backfleet_agent_sessions_total", "Sessions with a leader since the agent's process started.", float64(n.Sessions))
	p.Gauge("backfleet_agent_keeper", "1 while the agent has its keeper, the parent of the attempts.", yes(s.Keeper != nil))
	p.Counter("backfleet_agent_keeper_restarts_total", "Keepers beyond the first since the agent's process started: those before died, or were of another binary.", float64(max(n.Keepers, 1)-1))
	if k := s.Keeper; k != nil {
		const help = "Lines that attempts wrote and that are in no log, since the keeper started, by why: limit (the log was as long as it may be), disk (it took nothing more)."
		p.Counter("backfleet_agent_log_lines_dropped_total", help, float64(k.Dropped.Limit), "why", "limit")
		p.Counter("backfleet_agent_log_lines_dropped_total", help, float64(k.Dropped.Disk), "why", "disk")
	}
	for _, o := range outcomes {
		p.Counter("backfleet_agent_results_total", "Results of attempts that became known here since the agent's process started, by outcome.", float64(n.Results[o]), "outcome", o)
	}
	if n.ClockKnown {
		p.Gauge("backfleet_agent_clock_offset_seconds", "How far this host's clock is ahead of the coordinator's, as measured when the agent last connected.", float64(n.ClockOffsetMs)/1000)
	}
}
