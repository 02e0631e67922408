package cli

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"backfleet/api/client"
	"backfleet/pkg/fault"
	"backfleet/pkg/mtls"
)

// connection is the flags by which a command finds the cluster.
type connection struct {
	app       *app
	command   *cobra.Command
	servers   []string
	tokenFile string
	ca        string
	cert, key string
	timeout   time.Duration
}

const standardServer = "http://127.0.0.1:8470"

// connects adds the flags to a command.
func (a *app) connects(c *cobra.Command) *connection {
	k := &connection{app: a, command: c}
	standard := strings.Split(cmp.Or(a.Getenv("BACKFLEET_SERVER"), standardServer), ",")
	c.Flags().StringSliceVar(&k.servers, "server", standard, "coordinators, `URL`s separated by commas; the first that answers is used")
	c.Flags().StringVar(&k.tokenFile, "token-file", a.Getenv("BACKFLEET_TOKEN_FILE"), "`file` that holds the access token")
	c.Flags().StringVar(&k.ca, "ca", a.Getenv("BACKFLEET_CA"), "PEM `file` of the authority that signed the coordinators' certificates")
	c.Flags().StringVar(&k.cert, "cert", a.Getenv("BACKFLEET_CERT"), "PEM `file` of your certificate, where coordinators ask for one")
	c.Flags().StringVar(&k.key, "key", a.Getenv("BACKFLEET_KEY"), "PEM `file` of its private key")
	if a.Directory != nil {
		a.Directory.AddFlags(c.Flags())
	}
	c.Flags().DurationVar(&k.timeout, "timeout", 15*time.Second, "how long to go on trying while no coordinator answers")
	return k
}

// client makes the client that the flags ask for.
func (k *connection) client() (*client.Client, error) {
	servers, err := k.find()
	if err != nil {
		return nil, err
	}
	o := client.Options{Servers: servers, Patience: k.timeout, Actor: k.app.Getenv("USER")}
	if k.tokenFile != "" {
		text, err := os.ReadFile(k.tokenFile)
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "the token file cannot be read")
		}
		o.Token = strings.TrimSpace(string(text))
	}
	if o.TLS, err = k.tls(); err != nil {
		return nil, err
	}
	told := time.Time{}
	o.OnRetry = func(_ string, err error) { // now and then: a retry is not an error yet
		if now := k.app.Now(); now.Sub(told) > 2*time.Second {
			if !told.IsZero() {
				fmt.Fprintln(k.app.Err, "trying again:", firstLine(err))
			}
			told = now
		}
	}
	o.OnOverload = func(try, of int, wait time.Duration, err error) {
		fmt.Fprintf(k.app.Err, "overloaded: %s; try %d of %d in %s\n", firstLine(err), try, of, wait.Round(100*time.Millisecond))
	}
	return client.New(o)
}

// tls is how coordinators prove themselves, and the caller to them; nil: by the
// system's authorities, and not at all.
func (k *connection) tls() (*tls.Config, error) {
	files := mtls.Files{Cert: k.cert, Key: k.key, CA: k.ca}
	if !files.Configured() {
		return nil, nil
	}
	material, err := mtls.LoadFor("", files)
	if err != nil {
		return nil, err
	}
	return material.Client(""), nil
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// all gathers the pages of a list up to limit items; 0: all of them.
func all[T any](ctx context.Context, limit int, page func(ctx context.Context, cursor string, limit int) ([]T, string, error)) ([]T, error) {
	const most = 1000
	items, cursor := []T{}, ""
	for {
		size := most
		if limit > 0 {
			size = min(most, limit-len(items))
		}
		got, next, err := page(ctx, cursor, size)
		if err != nil {
			return nil, err
		}
		items = append(items, got...)
		if next == "" || limit > 0 && len(items) >= limit {
			return items, nil
		}
		cursor = next
	}
}
