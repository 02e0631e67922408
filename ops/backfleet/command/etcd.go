package command

import (
	"context"
	"log/slog"
	"strings"

	"github.com/spf13/pflag"

	"backfleet/pkg/obs"
	"backfleet/pkg/presence"
	"backfleet/pkg/presence/etcd"
)

// etcdPresence is etcd as the directory of coordinators and agents, where a
// site has one.
type etcdPresence struct{ options etcd.Options }

// AddFlags adds --etcd and what belongs to it, for who announces itself.
func (p *etcdPresence) AddFlags(f *pflag.FlagSet) {
	p.addFlags(f, "addresses of etcd, host:port,…: coordinators and agents announce themselves and find each other there")
	f.DurationVar(&p.options.Lease, name(etcd.FlagLease), 0, "how long one that died is still seen in etcd, in whole seconds (default 10s)")
}

func (p *etcdPresence) addFlags(f *pflag.FlagSet, usage string) {
	f.StringSliceVar(&p.options.Endpoints, name(etcd.FlagEndpoints), nil, usage)
	f.StringVar(&p.options.CA, name(etcd.FlagCA), "", "PEM file with etcd's authority")
	f.StringVar(&p.options.Cert, name(etcd.FlagCert), "", "PEM file with the certificate for etcd, whose common name is the user there")
	f.StringVar(&p.options.Key, name(etcd.FlagKey), "", "PEM file with its private key")
	f.StringVar(&p.options.Login, name(etcd.FlagLogin), "", "file with user:password, where etcd asks for a password")
	f.StringVar(&p.options.Prefix, name(etcd.FlagPrefix), "", "of the keys in etcd; each cluster needs its own (default /backfleet/presence)")
}

func name(flag string) string { return strings.TrimPrefix(flag, "--") }

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

// etcdFinder finds coordinators in etcd for the commands of people.
type etcdFinder struct{ etcdPresence }

// AddFlags adds --etcd; what belongs to it is known by its usage, and does not
// fill the help of every command.
func (f *etcdFinder) AddFlags(set *pflag.FlagSet) {
	f.addFlags(set, "`addresses` of etcd, where coordinators are found, the leader first (with --etcd-ca, --etcd-cert, --etcd-key, --etcd-login, --etcd-prefix)")
	for _, flag := range []string{etcd.FlagCA, etcd.FlagCert, etcd.FlagKey, etcd.FlagLogin, etcd.FlagPrefix} {
		set.Lookup(name(flag)).Hidden = true
	}
}

// Coordinators asks etcd; without --etcd there is nothing to ask.
func (f *etcdFinder) Coordinators(ctx context.Context) (list []presence.Member, ok bool, err error) {
	registry, end, err := f.Open(obs.Discard())
	if err != nil || registry == nil {
		return nil, false, err
	}
	defer end()
	list, err = registry.List(ctx, presence.Coordinator)
	return list, true, err
}
