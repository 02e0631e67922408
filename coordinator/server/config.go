// Package server puts a coordinator together: stores, the replicated log, the
// dispatcher, the services of agents and peers, and the HTTP API. It has no
// logic of its own beyond the order in which things begin and end.
package server

import (
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"backfleet/api/login"
	api "backfleet/api/server"
	"backfleet/coordinator/dispatch"
	"backfleet/coordinator/raftnode"
	"backfleet/coordinator/spans"
	"backfleet/pkg/fault"
	"backfleet/pkg/mtls"
	"backfleet/pkg/presence"
)

// Config says how a coordinator runs. ID and DataDir are required.
type Config struct {
	// ID names the coordinator, uniquely and for ever.
	ID string
	// DataDir holds everything it keeps; one coordinator per folder, on a
	// local disk.
	DataDir string
	// HTTP, RPC and Raft are the host:port listened on for the API, for agents
	// and peers, and for the replicated log. Port 0 takes any. Defaults:
	// 127.0.0.1:8470, :8471 and :8472.
	HTTP, RPC, Raft string
	// AdvertiseHost is what others dial instead of the listen hosts; needed
	// when those are 0.0.0.0. Default: the listen hosts.
	AdvertiseHost string
	// Bootstrap starts a new cluster of this one coordinator when the folder is
	// empty; otherwise it is ignored.
	Bootstrap bool
	// Join are rpc addresses of coordinators of the cluster to become a member
	// of. Given again at a restart, it makes new addresses known.
	Join []string
	// Profile is raftnode.ProfileLAN (default) or raftnode.ProfileWAN.
	Profile string
	// Compaction bounds the replicated log on disk. Default:
	// raftnode.DefaultCompaction.
	Compaction raftnode.Compaction
	// BehaviourMax is the newest version of the rules that this coordinator agrees
	// to. As long as one of them holds it down, the rules stay those that its former
	// binary knew, and going back to that is possible. Default: what its binary
	// knows.
	BehaviourMax uint32
	// BehaviourAfter is how long all must have agreed to newer rules before they
	// are put in force. Default: a minute.
	BehaviourAfter time.Duration
	// Reserve is how many bytes must be free on the volume of DataDir for new work to
	// be taken. Default, and the least: 64 MiB, below which it does not lead either
	// where another can.
	Reserve uint64
	// Zone is the cluster's time zone, an IANA name. Default: UTC.
	Zone string
	// TLS secures all three listeners.
	TLS mtls.Files
	// CertifyClients asks clients of the API for a certificate of the authority,
	// beside their token. It needs TLS.
	CertifyClients bool
	// TokenFile holds secrets that hold beside users' tokens, one on each line as
	// name:secret, or one secret alone. After it may stand role= with admin (the
	// default), operator, developer, viewer or agent, and workspaces=a,b of a
	// developer. Only role=agent lets agents in, and nothing else (RULES R15.3). It
	// is read again when it changes.
	TokenFile string
	// OIDC is the provider at which people log in. Default: none. With neither it
	// nor a TokenFile everybody who can connect is an admin.
	OIDC login.Config
	// Cluster is what its operators call the cluster, for people who log in.
	// Default: backfleet.
	Cluster string
	// SessionHours is how long a login lasts. Default: 12.
	SessionHours int
	// Rates bound what one caller may ask. What is 0 has its default.
	Rates api.Rates
	// Profiles serves Go's profiles of the process to admins, at /debug/pprof/ of the
	// API.
	Profiles bool
	// PublicURL is where people's browsers find the cluster, https://host: for links in
	// notifications, and to come back to from a login. Default: there are no
	// links, and a login comes back to what was asked for.
	PublicURL string
	// Notifications say how people are told of things.
	Notifications Notifications
	// Announcer makes the coordinator seen by agents that look for one there.
	// Its loss harms nothing. Default: none.
	Announcer presence.Announcer
	// Directory shows which agents live, for figures and the log; nothing is
	// decided by it. Default: none.
	Directory presence.Directory
	// Traces say where spans go (OpenTelemetry). Default: nowhere.
	Traces spans.Settings
	// AllowInsecure lets it listen beyond the loopback without TLS and tokens.
	AllowInsecure bool
	// Settings are what the rules leave to the operator; every coordinator of a
	// cluster should have the same. Default: DefaultSettings.
	Settings *Settings
	// Now is the clock, so that tests can move it. Default: time.Now.
	Now func() time.Time
	// Terms of leases; what is 0 follows from the lease, see
	// dispatch.Terms.Complete.
	Terms dispatch.Terms
	// Version is shown in lists.
	Version string
	// StopTimeout bounds a graceful end. Default: 10 s.
	StopTimeout time.Duration
	// Logger. Default: none.
	Logger *slog.Logger

	free func(dir string) (bytes uint64, ok bool) // replaced by tests
}

func (c *Config) complete() error {
	or := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	or(&c.HTTP, "127.0.0.1:8470")
	or(&c.RPC, "127.0.0.1:8471")
	or(&c.Raft, "127.0.0.1:8472")
	or(&c.Profile, raftnode.ProfileLAN)
	or(&c.Zone, "UTC")
	or(&c.Version, "dev")
	if c.BehaviourAfter <= 0 {
		c.BehaviourAfter = behaviourAfter
	}
	if c.StopTimeout == 0 {
		c.StopTimeout = 10 * time.Second
	}
	if c.SessionHours == 0 {
		c.SessionHours = 12
	}
	c.Terms.Complete()
	if c.Settings == nil {
		c.Settings = new(DefaultSettings())
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Reserve == 0 {
		c.Reserve = reserve
	}
	if c.free == nil {
		c.free = freeBytes
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	switch {
	case c.ID == "":
		return fault.Field("id", "it is empty: give each coordinator a name of its own, such as c1")
	case c.DataDir == "":
		return fault.Field("data", "it is empty: give the folder in which the coordinator keeps everything")
	case c.Bootstrap && len(c.Join) > 0:
		return fault.Field("join", "it cannot be combined with bootstrap: the first coordinator bootstraps, the others join it")
	case c.SessionHours < 1 || c.SessionHours > 24*366:
		return fault.Field("session-hours", "%d: expected 1 to %d", c.SessionHours, 24*366)
	case c.Reserve < reserve:
		return fault.Field("data-reserve-bytes", "%d: expected at least %d", c.Reserve, reserve)
	case c.CertifyClients && !c.TLS.Configured():
		return fault.Field("require-client-cert", "it needs TLS: give %s, %s and %s", mtls.FlagCert, mtls.FlagKey, mtls.FlagCA)
	}
	if err := c.Settings.check(); err != nil {
		return err
	}
	if err := c.Traces.Check(c.TLS.Configured(), c.AllowInsecure); err != nil {
		return err
	}
	if err := checkCompaction(c.Compaction); err != nil {
		return err
	}
	if c.PublicURL != "" {
		u, err := url.Parse(c.PublicURL)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return fault.Field(login.FlagPublicURL, "%q: expected where people find the cluster, such as https://backfleet.example.org", c.PublicURL)
		}
		c.PublicURL = strings.TrimRight(c.PublicURL, "/")
		c.OIDC.PublicURL = c.PublicURL
	}
	if err := c.Notifications.complete(); err != nil {
		return err
	}
	if _, err := time.LoadLocation(c.Zone); err != nil {
		return fault.Field("zone", "%q is not a time zone: expected an IANA name, such as Asia/Shanghai", c.Zone)
	}
	for field, addr := range map[string]string{"http": c.HTTP, "rpc": c.RPC, "raft": c.Raft} {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return fault.Field(field, "%q is not an address: expected host:port", addr)
		}
		if err := mtls.RequireSecure(addr, c.TLS.Configured(), c.closed(), c.AllowInsecure); err != nil {
			return err
		}
	}
	return nil
}

// closed says that people have to show who they are.
func (c *Config) closed() bool { return c.TokenFile != "" || c.OIDC.Configured() }

// checkCompaction refuses bounds of the log with which it could not work, by
// the name of the flag. 0 is the default.
func checkCompaction(c raftnode.Compaction) error {
	const mostEntries, mostBytes = 10_000_000, 64 << 30
	for _, b := range []struct {
		field       string
		value, most int64
	}{
		{"raft-snapshot-entries", int64(c.SnapshotEntries), mostEntries}, {"raft-trailing-entries", int64(c.TrailingEntries), mostEntries},
		{"raft-snapshot-bytes", c.SnapshotBytes, mostBytes}, {"raft-trailing-bytes", c.TrailingBytes, mostBytes},
	} {
		if b.value < 0 || b.value > b.most {
			return fault.Field(b.field, "%d: expected 1 to %d, or 0 for the default", b.value, b.most)
		}
	}
	return nil
}

// advertised is what others dial for a listener.
func (c *Config) advertised(l net.Addr) string {
	host, port, _ := net.SplitHostPort(l.String())
	if c.AdvertiseHost != "" {
		host = c.AdvertiseHost
	}
	return net.JoinHostPort(host, port)
}
