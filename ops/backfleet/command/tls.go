package command

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"backfleet/pkg/fault"
	"backfleet/pkg/mtls"
	"backfleet/pkg/mtls/authority"
)

// tlsCommand makes the certificates of a cluster. It works on files alone.
func tlsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "tls",
		Short: "Make and look at the certificates of coordinators, agents and people",
		Long: `Make and look at the certificates of coordinators, agents and people.

The authority is a folder with two files: ca.pem, which everybody gets, and ca.key,
which stays where it is, with few eyes on it. Nothing here talks to a cluster.`,
		Example: "  backfleet tls init --dir pki",
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fault.New(fault.Invalid, "unknown command %q for %q: expected init, issue, show or check", args[0], c.CommandPath())
			}
			return c.Help()
		},
	}
	c.AddCommand(tlsInit(), tlsIssue(), tlsShow(), tlsCheck())
	return c
}

func tlsInit() *cobra.Command {
	var dir string
	var domains []string
	c := &cobra.Command{
		Use:   "init",
		Short: "Make an authority, which lives for ten years",
		Long: `Make an authority, which lives for ten years.

With --domain it can vouch only for names in these domains, beside the cluster's
own; addresses are not bounded. To change authorities without a restart: make
the new one in a folder of its own, give everybody a ca.pem with both, one after
the other in the file, issue all certificates anew from the new folder, and when
all are in use take the old authority out of the file.`,
		Example: "  backfleet tls init --dir pki\n  backfleet tls init --dir pki --domain example.org",
		Args:    arguments("", 0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			a, err := authority.Create(dir, domains, time.Now())
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: %s, until %s; give it to everybody\n%s: its key; keep it here, and a copy in a safe place\n",
				filepath.Join(dir, authority.CertFile), a.Certificate().Subject.CommonName, date(a.Certificate().NotAfter), filepath.Join(dir, authority.KeyFile))
			return nil
		},
	}
	c.Flags().StringVar(&dir, "dir", "pki", "folder of the authority")
	c.Flags().StringSliceVar(&domains, "domain", nil, "vouch for hosts in these domains alone")
	return c
}

func tlsIssue() *cobra.Command {
	var r authority.Request
	var dir, out, csr string
	var renew bool
	c := &cobra.Command{
		Use:   "issue coordinator|agent|client ID",
		Short: "Issue a certificate, and make its key",
		Long: `Issue a certificate, and make its key: ROLE-ID.pem and ROLE-ID.key.

A coordinator's names each host and address at which it is reached; an agent's
needs none. The id is that of --id, to the letter: coordinators take an agent
only with the certificate of its own id. Running coordinators and agents take up
renewed files (--renew) by themselves.

With --csr the key stays on its host, where this makes the request:
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
      -keyout agent-a1.key -out agent-a1.csr -subj /CN=a1`,
		Example: `  backfleet tls issue coordinator c1 --host host1.example.org --host 10.0.0.1
  backfleet tls issue agent a1
  backfleet tls issue agent a1 --csr agent-a1.csr
  backfleet tls issue client ada --days 30 --renew`,
		Args: arguments("the role and the id", 2, 2),
		RunE: func(c *cobra.Command, args []string) error {
			r.Role, r.ID = authority.Role(args[0]), args[1]
			switch r.Role {
			case authority.Coordinator, authority.Agent, authority.Client:
			default:
				return fault.Field("role", "%q: expected coordinator, agent or client", args[0])
			}
			now := time.Now()
			a, err := authority.Open(dir)
			if err != nil {
				return err
			}
			issued, err := a.Issue(r, cmp.Or(out, dir), csr, renew, now)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: %s %s, until %s\n", issued.Cert, r.Role, r.ID, date(issued.Certificate.NotAfter))
			if issued.Key != "" {
				fmt.Fprintf(c.OutOrStdout(), "%s: its key; only its bearer may read it\n", issued.Key)
			}
			warn(c.ErrOrStderr(), "the authority", a.Certificate(), now)
			return nil
		},
	}
	f := c.Flags()
	f.StringSliceVar(&r.Hosts, "host", nil, "name or address at which the bearer is reached (repeatable)")
	f.IntVar(&r.Days, "days", 90, "how long it is valid")
	f.StringVar(&dir, "dir", "pki", "folder of the authority")
	f.StringVar(&out, "out", "", "folder for the new files (default: that of the authority)")
	f.StringVar(&csr, "csr", "", "certify the key of this request (PEM) instead of making one")
	f.BoolVar(&renew, "renew", false, "replace the files that are there")
	return c
}

func tlsShow() *cobra.Command {
	return &cobra.Command{
		Use:     "show FILE...",
		Short:   "Show whose certificates a file holds, for what, and until when",
		Example: "  backfleet tls show pki/coordinator-c1.pem pki/ca.pem",
		Args:    arguments("the files", 1, 1000),
		RunE: func(c *cobra.Command, args []string) error {
			now := time.Now()
			for _, path := range args {
				certs, err := mtls.ReadCertificates(path)
				if err != nil {
					return fault.Wrap(err, fault.Invalid, "%s", path)
				}
				for _, cert := range certs {
					if err := describe(c.OutOrStdout(), path, cert, now); err != nil {
						return err
					}
					warn(c.ErrOrStderr(), path, cert, now)
				}
			}
			return nil
		},
	}
}

func tlsCheck() *cobra.Command {
	var files mtls.Files
	c := &cobra.Command{
		Use:   "check",
		Short: "Check that a certificate, its key and the authorities work together",
		Long: `Check that a certificate, its key and the authorities work together, as the one
who is to use them would find out. The exit status is 2 when they do not.`,
		Example: "  backfleet tls check --cert agent-a1.pem --key agent-a1.key --ca ca.pem",
		Args:    arguments("", 0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			if files.Cert == "" || files.Key == "" || files.CA == "" {
				return fault.New(fault.Invalid, "expected all of --cert, --key and --ca")
			}
			now := time.Now()
			cert, err := authority.Check(files, now)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "good: %s, until %s\n", whose(cert), date(cert.NotAfter))
			warn(c.ErrOrStderr(), files.Cert, cert, now)
			if info, err := os.Stat(files.Key); err == nil && info.Mode().Perm()&0o077 != 0 {
				fmt.Fprintf(c.ErrOrStderr(), "warning: %s can be read by others: chmod 600 it\n", files.Key)
			}
			return nil
		},
	}
	c.Flags().StringVar(&files.Cert, "cert", "", "PEM file with the certificate")
	c.Flags().StringVar(&files.Key, "key", "", "PEM file with its private key")
	c.Flags().StringVar(&files.CA, "ca", "", "PEM file with the authorities of the others")
	return c
}

// arguments asks for a number of them.
func arguments(what string, least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch n := len(args); {
		case n < least:
			return fault.New(fault.Invalid, "expected %s: %s", what, c.UseLine())
		case n > most:
			return fault.New(fault.Invalid, "unexpected %q: %s", args[most], c.UseLine())
		}
		return nil
	}
}

// describe writes what a person asks of a certificate.
func describe(out io.Writer, path string, cert *x509.Certificate, now time.Time) error {
	names := cert.DNSNames
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	var uses []string
	for _, u := range cert.ExtKeyUsage {
		switch u {
		case x509.ExtKeyUsageServerAuth:
			uses = append(uses, "as a server")
		case x509.ExtKeyUsageClientAuth:
			uses = append(uses, "as a client")
		}
	}
	if cert.IsCA {
		names, uses = cert.PermittedDNSDomains, []string{"to vouch for others"}
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%s\n  of\t%s\n", path, whose(cert))
	fmt.Fprintf(w, "  names\t%s\n  use\t%s\n", cmp.Or(strings.Join(names, ", "), "any"), cmp.Or(strings.Join(uses, ", "), "any"))
	fmt.Fprintf(w, "  from\t%s\n  until\t%s (%s)\n", date(cert.NotBefore), date(cert.NotAfter), left(cert.NotAfter.Sub(now)))
	fmt.Fprintf(w, "  by\t%s\n  key\t%s\n  serial\t%x\n", cmp.Or(cert.Issuer.CommonName, cert.Issuer.String()), cert.PublicKeyAlgorithm, cert.SerialNumber)
	return w.Flush()
}

// whose names the bearer by role, or else by the subject.
func whose(cert *x509.Certificate) string {
	if cert.IsCA {
		return "authority " + cert.Subject.CommonName
	}
	if role, id := mtls.Role(cert); role != "" {
		return role + " " + id
	}
	return cert.Subject.String()
}

func warn(out io.Writer, what string, cert *x509.Certificate, now time.Time) {
	switch {
	case now.After(cert.NotAfter):
		fmt.Fprintf(out, "warning: %s has expired: issue a new one\n", what)
	case now.Before(cert.NotBefore):
		fmt.Fprintf(out, "warning: %s is not valid yet: is the clock right?\n", what)
	case mtls.Soon(cert, now):
		fmt.Fprintf(out, "warning: %s expires soon, in %s: issue a new one\n", what, left(cert.NotAfter.Sub(now)))
	}
}

func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

// left tells a time to come in the unit that people count it in.
func left(d time.Duration) string {
	switch days := int((d + day/2) / day); {
	case d < 0:
		return "over"
	case days >= 2:
		return fmt.Sprintf("%d days", days)
	default:
		return d.Round(time.Minute).String()
	}
}
