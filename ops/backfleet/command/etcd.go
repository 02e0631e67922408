package command

import (
	"log/slog"
	"strings"

	"github.com/spf13/pflag"

	"backfleet/pkg/presence"
	"backfleet/pkg/presence/etcd"
)

// etcdPresence is etcd as the directory of coordinators and agents, where a
// site has one.
type etcdPresence struct{ options etcd.Options }

// AddFlags adds --etcd and what belongs to it.
func (p *etcdPresence) AddFlags(f *pflag.FlagSet) {
	name := func(flag string) string { return strings.TrimPrefix(flag, "--") }
	f.StringSliceVar(&p.options.Endpoints, name(etcd.FlagEndpoints), nil, "addresses of etcd, host:port,…: coordinators and agents announce themselves and find each other there")
	f.StringVar(&p.options.CA, name(etcd.FlagCA), "", "PEM file with etcd's authority")
	f.StringVar(&p.options.Cert, name(etcd.FlagCert), "", "PEM file with the certificate for etcd, whose common name is the user there")
	f.StringVar(&p.options.Key, name(etcd.FlagKey), "", "PEM file with its private key")
	f.StringVar(&p.options.Prefix, "etcd-prefix", "", "of the keys in etcd; each cluster needs its own (default /backfleet/presence)")
}

// Open connects when --etcd is given; else there is no registry.
func (p *etcdPresence) Open(logger *slog.Logger) (r presence.Registry, end func(), err error) {
	if len(p.options.Endpoints) == 0 {
		return nil, func() {}, nil
	}
	p.options.Logger = logger
	registry, err := etcd.Open(p.options)
	if err != nil {
		return nil, nil, err
	}
	return registry, registry.Close, nil
}
