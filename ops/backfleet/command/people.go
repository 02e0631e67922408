package command

import (
	"github.com/spf13/pflag"

	"backfleet/api/login"
	"backfleet/coordinator/server"
)

// addPeople adds how people prove who they are, and how much one may ask.
func addPeople(f *pflag.FlagSet, c *server.Config) {
	o := &c.OIDC
	f.StringVar(&c.Cluster, "cluster-name", "", "what people call the cluster; told to who logs in (default backfleet)")
	f.StringVar(&c.PublicURL, login.FlagPublicURL, "", "https://HOST where browsers find the cluster, for logins and links in notifications (default: what they asked for, and no links)")
	f.StringVar(&o.Issuer, login.FlagIssuer, "", "URL of the OpenID Connect provider at which people log in (default: none)")
	f.StringVar(&o.ClientID, login.FlagClientID, "", "id under which the provider knows this cluster")
	f.StringVar(&o.SecretFile, login.FlagSecret, "", "file with the secret of that client; every coordinator has the same")
	f.StringVar(&o.CLIClientID, login.FlagCLIClientID, "", "id of the provider's public client for command lines, which log in by a device code (default the other)")
	f.StringVar(&o.CAFile, login.FlagCA, "", "PEM file with authorities trusted for the provider, beside the system's")
	f.StringVar(&o.RoleClaim, login.FlagRoleClaim, "groups", "claim of the ID token by which roles are given")
	f.StringVar(&o.Roles, login.FlagRoles, "", "what its words are worth: data-eng=developer:shop+ads,platform=admin")
	f.StringVar(&o.DefaultRole, login.FlagDefaultRole, "", "role of who has none of these words (default: refused)")
	f.IntVar(&c.SessionHours, "session-hours", 12, "how long a login lasts")
	f.IntVar(&c.Rates.LoginsPerMinute, "login-rate", 60, "how many attempts a minute from one address may fail to prove who somebody is; -1: any number")
	f.IntVar(&c.Rates.CallsPerSecond, "call-rate", 200, "how many requests a second one token may make, over ten seconds; -1: any number")
}
