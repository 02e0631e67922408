package command

import (
	"log/slog"

	agent "backfleet/agent/settings"
	"backfleet/pkg/presence"
	"backfleet/pkg/presence/etcd"
)

// agentDirectory is etcd for the agent, whose settings are in a file of their
// own form.
type agentDirectory struct{}

// Open implements the agent's Presence.
func (agentDirectory) Open(s agent.Etcd, logger *slog.Logger) (presence.Registry, func(), error) {
	p := etcdPresence{etcd.Options{Endpoints: s.Endpoints, CA: s.CA, Cert: s.Cert, Key: s.Key, Login: s.Login,
		Config: etcd.Config{Prefix: s.Prefix, Lease: s.Lease}}}
	return p.Open(logger)
}
