package cli

import (
	"context"
	"fmt"
	"net/url"
	"slices"

	"github.com/spf13/pflag"

	"backfleet/pkg/fault"
	"backfleet/pkg/mtls"
	"backfleet/pkg/presence"
)

// Directory knows where coordinators are, for commands that were not told.
type Directory interface {
	// AddFlags adds the flags that name the directory, all with the prefix of
	// DirectoryFlag.
	AddFlags(f *pflag.FlagSet)
	// Coordinators lists them; ok is false when the flags name no directory.
	Coordinators(ctx context.Context) (list []presence.Member, ok bool, err error)
}

// DirectoryFlag begins the names of a directory's flags. Each has a default in
// the environment: that of --etcd-ca is BACKFLEET_ETCD_CA.
const DirectoryFlag = "etcd"

// find gives the addresses of coordinators, in the order in which they are
// tried: those of the directory, the leader's first, then those of --server. A
// --server goes before a directory that is said farther from the command: in the
// environment, or in a context.
func (k *connection) find() ([]string, error) {
	s, err := k.app.settle(k.command)
	if err != nil {
		return nil, err
	}
	named, directory := s.origins["servers"].level, s.origins["etcd"].level
	if k.app.Directory == nil || named > directory {
		return k.servers, nil
	}
	ctx, cancel := context.WithTimeout(k.command.Context(), k.timeout)
	defer cancel()
	members, ok, err := k.app.Directory.Coordinators(ctx)
	if err != nil && !fault.Is(err, fault.Unavailable) {
		return nil, err
	}
	if !ok {
		return k.servers, nil
	}
	file, token := s.token(k)
	found := addresses(members, file != "" || token != "")
	if err == nil && len(found) == 0 {
		err = fault.New(fault.Unavailable, "the directory knows no coordinator: is one running with --%s and the same prefix? With a token only https addresses count", DirectoryFlag)
	}
	// A context's servers are no help to a directory of another place.
	if named == fromDefault || named == fromContext && directory > fromContext {
		return found, err
	}
	if err != nil {
		fmt.Fprintln(k.app.Err, "going on with --server:", firstLine(err))
	}
	return append(found, slices.DeleteFunc(slices.Clone(k.servers), func(s string) bool { return slices.Contains(found, s) })...), nil
}

// addresses are those of the API, the leader's first. A token is shown only to
// who proves to be the host it was sent to: who can write into a directory must
// not be able to collect tokens.
func addresses(members []presence.Member, token bool) []string {
	leader, _ := presence.Leader(members)
	var found []string
	for _, m := range members {
		address := m.Meta["http"]
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || token && u.Scheme != "https" && !mtls.Loopback(u.Host) {
			continue
		}
		if m.ID == leader.ID {
			found = slices.Insert(found, 0, address)
		} else {
			found = append(found, address)
		}
	}
	return found
}
