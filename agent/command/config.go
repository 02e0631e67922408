package command

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"backfleet/agent/account"
	"backfleet/agent/cgroup"
	"backfleet/agent/program"
	"backfleet/agent/settings"
	"backfleet/agent/worker"
	"backfleet/pkg/fault"
	"backfleet/pkg/mtls"
	"backfleet/pkg/obs"
	"backfleet/pkg/presence"
)

// prepare makes the agent's configuration of what was read, as far as nothing
// is opened that lasts. All that is wrong comes at once.
func (a *agent) prepare(l *settings.Loaded) (worker.Config, []fault.Detail) {
	found := l.Findings()
	add := func(field string, err error) {
		for _, d := range findings(field, err) {
			if !doubted(found, d.Field) {
				found = append(found, l.Finding(d.Field, d.Message))
			}
		}
	}
	config := l.Worker()
	config.Version, config.Boot = a.version, boot()
	if len(config.TaskCommand) == 0 {
		config.TaskCommand = a.taskProgram()
	}
	var err error
	if l.TLS.Files().Configured() {
		config.TLS, err = mtls.Load(l.TLS.Files())
		add("tls", err)
	}
	config.Logger, err = obs.NewLogger(l.Log.Config())
	add("log", err)
	add("pprof", checkProfiles(l.Pprof))
	check := config // with a stand-in, for the directory is opened later
	if len(l.Etcd.Endpoints) > 0 {
		check.Directory = noDirectory{}
	}
	for _, d := range findings("", check.Validate()) {
		if config.TLS != nil || !l.TLS.Files().Configured() || !strings.Contains(d.Message, "TLS is needed") { // else that it is broken was said
			add(d.Field, errors.New(d.Message))
		}
	}
	return config, found
}

// findings are those of an error about a field, unless it names fields itself.
func findings(field string, err error) []fault.Detail {
	var e *fault.Error
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &e):
		return []fault.Detail{{Field: field, Message: err.Error()}}
	case len(e.Details) > 0:
		return e.Details
	case e.Field != "":
		bare := *e
		bare.Field = ""
		return []fault.Detail{{Field: e.Field, Message: bare.Error()}}
	}
	return []fault.Detail{{Field: field, Message: e.Error()}}
}

// doubted says whether something is wrong with a setting already: what follows
// from that need not be said.
func doubted(found []fault.Detail, field string) bool {
	return slices.ContainsFunc(found, func(d fault.Detail) bool { return d.Field == field })
}

// wrong is the error that lists findings.
func wrong(found []fault.Detail) error {
	return fault.New(fault.Invalid, "the agent's settings are wrong").WithDetails(found...)
}

func checkProfiles(address string) error {
	if address == "" {
		return nil
	}
	if _, _, err := net.SplitHostPort(address); err != nil || !mtls.Loopback(address) {
		return fmt.Errorf("expected host:port on the loopback, like 127.0.0.1:6060, found %q", address)
	}
	return nil
}

func (a *agent) checkConfig() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check-config",
		Short: "Check the settings and what they name, and show what counts",
		Long: `Check the settings and what they name, and show what counts.

It takes the same file, variables and flags as the agent, and starts and changes
nothing. It prints each setting with its value and where that is from, and what
this host lets attempts be limited by. With anything wrong, it lists all of it
and ends with status 2. Run it as the agent's user.`,
		Example: `  backfleet-agent check-config --config /etc/backfleet/agent.yaml`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l := settings.Load(cmd.Flags(), os.Environ(), a.whole())
			if err := l.Print(cmd.OutOrStdout()); err != nil {
				return err
			}
			config, found := a.prepare(l)
			found = append(found, checkHost(l)...)
			fmt.Fprintf(cmd.OutOrStdout(), "\n%s\n", cgroup.Probe(where(l.Run.Cgroup)))
			fmt.Fprintf(cmd.OutOrStdout(), "types of nodes: %s\n", strings.Join(config.Types(), ", "))
			if len(found) > 0 {
				return wrong(found)
			}
			fmt.Fprintln(cmd.OutOrStdout(), "\nThe settings are fine.")
			return nil
		},
	}
	settings.Flags(cmd.Flags(), a.whole())
	return cmd
}

// where is where cgroups are looked for.
func where(text string) string {
	if text == "" {
		return cgroup.Auto
	}
	return text
}

// checkHost finds what is wrong with what the settings name on this host.
func checkHost(l *settings.Loaded) (found []fault.Detail) {
	add := func(field string, err error) {
		if err != nil {
			found = append(found, l.Finding(field, err.Error()))
		}
	}
	if l.Data != "" {
		add("data", checkFolder(l.Data))
	}
	if l.TaskProgram != "" && !program.Executable(l.TaskProgram) {
		add("taskProgram", fmt.Errorf("expected a program, found none at %s", l.TaskProgram))
	}
	if l.Secrets != "" {
		add("secrets", checkSecrets(l.Secrets))
	}
	for field, path := range map[string]string{"etcd.ca": l.Etcd.CA, "etcd.cert": l.Etcd.Cert, "etcd.key": l.Etcd.Key, "etcd.login": l.Etcd.Login} {
		if path != "" {
			add(field, readable(path))
		}
	}
	if l.Run.User != "" {
		add("run.user", checkUser(l.Run.User))
	}
	for i, user := range l.Run.AllowUsers {
		if user != "*" {
			add(fmt.Sprintf("run.allowUsers[%d]", i), checkUser(user))
		}
	}
	slices.SortStableFunc(found, func(a, b fault.Detail) int { return strings.Compare(a.Field, b.Field) })
	return found
}

// checkSecrets says whether a folder is one that others cannot look into.
func checkSecrets(path string) error {
	switch info, err := os.Stat(path); {
	case err != nil:
		return fmt.Errorf("the folder cannot be used: %w", err)
	case !info.IsDir():
		return fmt.Errorf("expected a folder, found a file at %s", path)
	case info.Mode()&0o007 != 0:
		return fmt.Errorf("every user of this host can get at what is in %s; take that away (chmod o= %s)", path, path)
	}
	if err := unix.Access(path, unix.R_OK|unix.X_OK); err != nil {
		return fmt.Errorf("this user cannot read in %s: %w", path, err)
	}
	return nil
}

func readable(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("the file cannot be read: %w", err)
	}
	return file.Close()
}

func checkUser(name string) error {
	var accounts account.Cache
	found, err := accounts.Find(name)
	if err != nil {
		return err
	}
	_, err = found.Credential()
	return err
}

// remote are file systems on which locks and sockets are not the host's own.
var remote = map[int64]string{unix.NFS_SUPER_MAGIC: "NFS", unix.SMB_SUPER_MAGIC: "SMB", unix.SMB2_SUPER_MAGIC: "SMB", unix.CIFS_SUPER_MAGIC: "CIFS", unix.AFS_SUPER_MAGIC: "AFS", unix.CEPH_SUPER_MAGIC: "Ceph"}

// checkFolder says whether the agent could keep its data in a folder, which it
// makes if it is not there.
func checkFolder(path string) error {
	info, err := os.Stat(path)
	for (errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR)) && path != filepath.Dir(path) {
		path = filepath.Dir(path)
		info, err = os.Stat(path)
	}
	if err != nil {
		return fmt.Errorf("the folder cannot be used: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("expected a folder, found a file at %s", path)
	}
	if err := unix.Access(path, unix.R_OK|unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("this user cannot write in %s: %w", path, err)
	}
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return fmt.Errorf("the folder cannot be used: %w", err)
	}
	if name := remote[int64(s.Type)]; name != "" { //nolint:unconvert // it is an int32 elsewhere
		return fmt.Errorf("expected a local disk, found one on %s", name)
	}
	return nil
}

func (a *agent) exampleConfig() *cobra.Command {
	return &cobra.Command{
		Use:   "example-config",
		Short: "Print a file with every setting, explained",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return settings.Example(cmd.OutOrStdout(), a.whole()) },
	}
}

// noDirectory stands for one while the settings are checked.
type noDirectory struct{ presence.Directory }
