package cli

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

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
// tried: those of the directory, the leader's first, then those of --server and
// BACKFLEET_SERVER. A --server goes before a directory of the environment.
func (k *connection) find() ([]string, error) {
	flags := k.command.Flags()
	named := flags.Changed("server")
	if k.app.Directory == nil || named && !flags.Changed(DirectoryFlag) {
		return k.servers, nil
	}
	if err := k.directoryDefaults(); err != nil {
		return nil, err
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
	found := k.addresses(members)
	if err == nil && len(found) == 0 {
		err = fault.New(fault.Unavailable, "the directory knows no coordinator: is one running with --%s and the same prefix? With a token only https addresses count", DirectoryFlag)
	}
	if !named && k.app.Getenv("BACKFLEET_SERVER") == "" {
		return found, err
	}
	if err != nil {
		fmt.Fprintln(k.app.Err, "going on with --server:", firstLine(err))
	}
	return append(found, slices.DeleteFunc(slices.Clone(k.servers), func(s string) bool { return slices.Contains(found, s) })...), nil
}

// directoryDefaults takes what the flags leave open from the environment.
func (k *connection) directoryDefaults() (err error) {
	k.command.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Changed || f.Name != DirectoryFlag && !strings.HasPrefix(f.Name, DirectoryFlag+"-") {
			return
		}
		variable := "BACKFLEET_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if value := k.app.Getenv(variable); value != "" {
			if e := f.Value.Set(value); e != nil && err == nil {
				err = fault.Wrap(e, fault.Invalid, "%s", variable)
			}
		}
	})
	return err
}

// addresses are those of the API, the leader's first. A token is shown only to
// who proves to be the host it was sent to: who can write into a directory must
// not be able to collect tokens.
func (k *connection) addresses(members []presence.Member) []string {
	leader, _ := presence.Leader(members)
	var found []string
	for _, m := range members {
		address := m.Meta["http"]
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || k.tokenFile != "" && u.Scheme != "https" && !mtls.Loopback(u.Host) {
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
