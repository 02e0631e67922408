package command

import (
	"github.com/spf13/pflag"

	"backfleet/coordinator/server"
)

// addNotifications adds what says how people are told of things. The password is
// never among the flags: password says where it is.
func addNotifications(f *pflag.FlagSet, n *server.Notifications, password *string) {
	f.StringVar(&n.Secrets, "secrets", "", "folder with the files of secrets that channels name (default: variables only)")
	m := &n.Mail
	f.StringVar(&m.Host, "smtp-host", "", "mail server for channels of kind email (default: none)")
	f.IntVar(&m.Port, "smtp-port", 0, "its port (default 587, with --smtp-tls tls 465, with none 25)")
	f.StringVar(&m.User, "smtp-user", "", "who signs in there (default: nobody)")
	f.StringVar(password, "smtp-password", "", "where the password is: a variable that begins with BACKFLEET_SECRET_, or a file in the folder of secrets")
	f.StringVar(&m.From, "smtp-from", "", "address that e-mail comes from")
	f.StringVar(&m.TLS, "smtp-tls", "", "starttls, tls, or none for a server on this host (default starttls)")
}
