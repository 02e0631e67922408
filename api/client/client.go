package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	v1 "backfleet/api/v1"
	"backfleet/pkg/fault"
)

// Options say whom to talk to and how long to try.
type Options struct {
	// Servers are coordinators' base URLs, tried in this order. At least one.
	Servers []string
	// Token is sent as a bearer token, if set.
	Token string
	// Actor is who asks, where the cluster has no tokens; one word.
	Actor string
	// TLS for https servers. Default: the system's roots.
	TLS *tls.Config
	// Patience is how long one call is repeated while no coordinator can answer
	// it. Default: until its context ends.
	Patience time.Duration
	// AttemptTimeout bounds one try that is no stream. Default 40 s, a little
	// more than coordinators give themselves.
	AttemptTimeout time.Duration
	// IdleTimeout ends a stream that shows no sign of life. Default 45 s, three
	// of a coordinator's heartbeats.
	IdleTimeout time.Duration
	// Backoff is the pause after the first failure; it doubles up to 20 times
	// that. Default 100 ms.
	Backoff time.Duration
	// Tries bounds how often a call is sent that coordinators refuse as
	// overloaded. Each of them waits as long as the refusal asks, and a little
	// more by chance. Default 8.
	Tries int
	// OnOverload is told before such a wait: which try comes after it, of how
	// many. Default: nobody.
	OnOverload func(try, of int, wait time.Duration, err error)
	// OnRetry is told what went wrong before a call is repeated. Default: nobody.
	OnRetry func(server string, err error)
	// OnAnswer is told of every answer, good or bad: how long it took, and by its
	// header X-Request-Id the request that a coordinator's log names. The body is
	// not for it. Default: nobody.
	OnAnswer func(r *http.Response, took time.Duration)
}

// Client is safe for concurrent use. Its reads see its earlier writes,
// whichever coordinator answers.
type Client struct {
	api v1.ClientInterface
	t   *transport
}

// New checks the options; it connects with the first call.
func New(o Options) (*Client, error) {
	o.AttemptTimeout = cmp.Or(o.AttemptTimeout, 40*time.Second)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, 45*time.Second)
	o.Backoff = cmp.Or(o.Backoff, 100*time.Millisecond)
	o.Tries = cmp.Or(o.Tries, 8)
	t := &transport{Options: o}
	for _, s := range o.Servers {
		u, err := url.Parse(strings.TrimRight(strings.TrimSpace(s), "/"))
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fault.Field("server", "%q is not the address of a coordinator: expected one like http://127.0.0.1:8470", s)
		}
		t.servers = append(t.servers, u)
	}
	if len(t.servers) == 0 {
		return nil, fault.Field("server", "no coordinator is named: expected addresses like http://127.0.0.1:8470")
	}
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.TLSClientConfig = o.TLS
	t.http = &http.Client{Transport: base}
	// The host is only a place for the transport to put a coordinator's.
	api, err := v1.NewClient("http://coordinator", v1.WithHTTPClient(t), v1.WithRequestEditorFn(leaveOutAbsent))
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the client cannot be made")
	}
	return &Client{api: api, t: t}, nil
}

// leaveOutAbsent removes parameters that have their zero value: in this API
// that always means the same as absent, but not always passes its schema. In
// those that take any text, 0 and false are words like others.
func leaveOutAbsent(_ context.Context, r *http.Request) error {
	query := r.URL.Query()
	for name, values := range query {
		text := name == "text" || name == "contains" || name == "node" || name == "label" || name == "root" ||
			name == "up" || name == "down" // of which 0 is not absent
		if v := values[0]; v == "" || !text && (v == "0" || v == "false") {
			query.Del(name)
		}
	}
	r.URL.RawQuery = query.Encode()
	for name, values := range r.Header {
		if values[0] == "" {
			r.Header.Del(name)
		}
	}
	return nil
}

// Index is the newest log index that an answer to this client carried.
func (c *Client) Index() uint64 { return c.t.index.Load() }

// read makes a value of an answer that the transport let through.
func read[T any](r *http.Response, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	value := new(T)
	if err := json.NewDecoder(r.Body).Decode(value); err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the answer of %s cannot be read: is it a Backfleet coordinator of this version?", r.Request.URL.Host)
	}
	return value, nil
}
