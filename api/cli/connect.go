package cli

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

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
	made      *client.Client
}

const standardServer = "http://127.0.0.1:8470"

// connects adds the flags to a command.
func (a *app) connects(c *cobra.Command) *connection {
	k := &connection{app: a, command: c}
	if a.connections == nil {
		a.connections = map[*cobra.Command]*connection{}
	}
	a.connections[c] = k
	f := c.Flags()
	f.StringSliceVar(&k.servers, "server", []string{standardServer}, "coordinators, `URL`s separated by commas; the first that answers is used")
	f.StringVar(&k.tokenFile, "token-file", "", "`file` that holds the access token")
	f.StringVar(&k.ca, "ca", "", "PEM `file` of the authority that signed the coordinators' certificates")
	f.StringVar(&k.cert, "cert", "", "PEM `file` of your certificate, where coordinators ask for one")
	f.StringVar(&k.key, "key", "", "PEM `file` of its private key")
	fills(f, "server", "token-file", "ca", "cert", "key")
	if a.Directory != nil {
		a.Directory.AddFlags(f)
		f.VisitAll(func(one *pflag.Flag) {
			if one.Name == DirectoryFlag || strings.HasPrefix(one.Name, DirectoryFlag+"-") {
				fills(f, one.Name)
			}
		})
	}
	f.DurationVar(&k.timeout, "timeout", 15*time.Second, "how `long` to go on trying while no coordinator answers")
	_ = f.SetAnnotation("timeout", everywhere, []string{}) // there is such a flag
	return k
}

// client makes the client that flags, environment and context ask for; it is the
// same for all that a command asks.
func (k *connection) client() (*client.Client, error) {
	if k.made != nil {
		return k.made, nil
	}
	o, err := k.options()
	if err != nil {
		return nil, err
	}
	k.tell(&o)
	k.made, err = client.New(o)
	return k.made, err
}

// options are those of the client, but for what it tells.
func (k *connection) options() (o client.Options, err error) {
	s, err := k.app.settle(k.command)
	if err != nil {
		return o, err
	}
	o = client.Options{Patience: k.timeout, Actor: k.app.Getenv("USER")}
	file := ""
	if file, o.Token = s.token(k); file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return o, fault.Wrap(err, fault.Invalid, "the token file cannot be read")
		}
		if o.Token = strings.TrimSpace(string(text)); !oneWord(o.Token) {
			return o, fault.Field("--token-file", "%s holds no token: expected one word", file)
		}
	}
	if o.Servers, err = k.find(); err != nil {
		return o, err
	}
	o.TLS, err = k.tls()
	return o, err
}

// oneWord says whether a text can be a token: one that can be sent.
func oneWord(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// tell has a client say on standard error why it takes its time.
func (k *connection) tell(o *client.Options) {
	if k.app.verbose {
		o.OnAnswer = func(r *http.Response, took time.Duration) {
			fmt.Fprintf(k.app.Err, "%s %s: %s in %s, request %s\n", r.Request.Method, r.Request.URL.Redacted(), r.Status,
				took.Round(time.Millisecond), r.Header.Get("X-Request-Id"))
		}
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

// hide leaves flags out of a command's help.
func hide(f *pflag.FlagSet, names ...string) {
	for _, name := range names {
		f.Lookup(name).Hidden = true
	}
}
