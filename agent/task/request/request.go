// Package request runs http nodes: one request, repeated as the node says until
// it is answered as the node expects.
package request

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"backfleet/agent/task/output"
	"backfleet/agent/task/secret"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

const (
	// defaultTimeout is that of one try.
	defaultTimeout = time.Minute
	// defaultShown is how much of a response the log shows, in bytes.
	defaultShown = 64 << 10
)

// Run sends the request. Metrics: status, of the last answer; bytes, of its body;
// tries.
func Run(ctx context.Context, t *wire.Task, out *output.Output) error {
	return run(ctx, t, out, realWait)
}

// run is Run with another way to wait.
func run(ctx context.Context, t *wire.Task, out *output.Output, wait waiting) error {
	s, err := newSender(t, out)
	if err != nil {
		return err
	}
	defer s.client.CloseIdleConnections()
	for try := 0; ; try++ {
		out.Metrics.Set("tries", try+1)
		a, err := s.send(ctx)
		switch {
		case ctx.Err() != nil:
			return fault.Wrap(ctx.Err(), fault.Unavailable, "%s %s: stopped", s.method, s.shown)
		case err == nil && s.expects(a.status):
			return nil
		case err == nil && !repeatable(a.status):
			return fault.New(fault.Invalid, "%s %s: answered %s, expected %s", s.method, s.shown, a.text, s.expected())
		case err == nil:
			err = fault.New(fault.Unavailable, "%s %s: answered %s, expected %s", s.method, s.shown, a.text, s.expected())
		}
		if try >= int(s.spec.Retries) {
			return tried(err, try+1)
		}
		if a.after > mostPause {
			return fault.Wrap(err, fault.Unavailable, "the server asks for a pause of %s, more than the %s that are waited for here; give the node retries with a retryDelay", a.after, mostPause)
		}
		pause := pauseBefore(try, time.Duration(s.spec.BackoffMs)*time.Millisecond, a.after)
		out.Line("try %d of %d: %s; the next in %s", try+1, s.spec.Retries+1, err, pause.Round(time.Millisecond))
		if err := wait(ctx, pause); err != nil {
			return fault.Wrap(err, fault.Unavailable, "%s %s: stopped", s.method, s.shown)
		}
	}
}

// tried adds how often it was.
func tried(err error, tries int) error {
	if tries == 1 {
		return err
	}
	return fault.Wrap(err, fault.Unavailable, "after %d tries", tries)
}

// sender sends a node's request.
type sender struct {
	spec    *wire.Http
	out     *output.Output
	client  *http.Client
	method  string
	shown   string // the URL without a password
	headers http.Header
	secrets []string // names of the headers that have one
}

func newSender(t *wire.Task, out *output.Output) (*sender, error) {
	spec := t.Node.GetHttp()
	if spec == nil {
		return nil, fault.Field("http", "node %q: expected a request, found none", t.Node.GetId())
	}
	s := &sender{spec: spec, out: out, method: cmp.Or(spec.Method, http.MethodGet), headers: http.Header{}}
	for _, h := range spec.Headers {
		value, err := secret.Expand(h.Value, os.LookupEnv)
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "http.headers.%s", h.Name)
		}
		if strings.ContainsAny(value, "\r\n\x00") {
			return nil, fault.Field("http.headers."+h.Name, "expected one line, found several")
		}
		s.headers.Add(h.Name, value)
		if value != h.Value {
			s.secrets = append(s.secrets, h.Name)
		}
	}
	if s.headers.Get("User-Agent") == "" {
		s.headers.Set("User-Agent", "backfleet")
	}
	request, err := s.request(context.Background())
	if err != nil {
		return nil, err
	}
	if scheme := request.URL.Scheme; scheme != "http" && scheme != "https" || request.URL.Host == "" {
		return nil, fault.Field("http.url", "expected http://… or https://…, found %q", request.URL.Redacted())
	}
	s.shown = request.URL.Redacted()
	s.client = &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone(), CheckRedirect: s.redirected}
	return s, nil
}

// request makes it anew: a body is read only once.
func (s *sender) request(ctx context.Context) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, s.method, s.spec.Url, strings.NewReader(s.spec.Body))
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the URL, in which a password may be
		}
		return nil, fault.Wrap(err, fault.Invalid, "the request cannot be made; look at http.method and http.url")
	}
	r.Header = s.headers.Clone()
	r.Host = r.Header.Get("Host") // empty: the URL's
	return r, nil
}

// mostRedirects is how many are followed.
const mostRedirects = 10

// redirected has secrets reach only whom the node names: no header that has one
// goes to another host, or on without the encryption that it began with.
func (s *sender) redirected(next *http.Request, before []*http.Request) error {
	if len(s.spec.Expect) > 0 && s.expects(next.Response.StatusCode) {
		return http.ErrUseLastResponse // the redirect itself is what the node wants
	}
	if len(before) >= mostRedirects {
		return fmt.Errorf("more than %d redirects", mostRedirects)
	}
	first := before[0].URL
	for _, r := range append(before[1:len(before):len(before)], next) {
		if r.URL.Host != first.Host || first.Scheme == "https" && r.URL.Scheme != "https" {
			for _, name := range append(slices.Clone(s.secrets), "Authorization", "Cookie", "Proxy-Authorization") {
				next.Header.Del(name)
			}
		}
	}
	return nil
}

// expects says whether a status is what the node wants.
func (s *sender) expects(status int) bool {
	if len(s.spec.Expect) == 0 {
		return status/100 == 2
	}
	return slices.Contains(s.spec.Expect, int32(status))
}

// expected is that in words.
func (s *sender) expected() string {
	if len(s.spec.Expect) == 0 {
		return "200 to 299"
	}
	var list []string
	for _, code := range s.spec.Expect {
		list = append(list, fmt.Sprint(code))
	}
	return strings.Join(list, " or ")
}

// repeatable says that another try may be answered otherwise.
func repeatable(status int) bool {
	return status == http.StatusRequestTimeout || status == http.StatusTooManyRequests || status >= 500
}
