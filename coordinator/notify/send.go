package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"backfleet/pkg/channel"
	"backfleet/pkg/fault"
	"backfleet/pkg/node"
	"backfleet/pkg/secret"
	"backfleet/pkg/wire"
)

// Post sends to webhooks and by e-mail.
type Post struct {
	Secrets secret.Places
	Mail    Mail
	Version string           // of this binary, for the user agent
	Now     func() time.Time // default time.Now
	// TLS is for webhooks and mail servers of tests. Default: the system's
	// authorities.
	TLS *tls.Config

	client *http.Client
}

const (
	webhookTime = 10 * time.Second
	mostReply   = 4 << 10 // bytes of a receiver's answer that are read
	mostShown   = 200     // of it, in an error
)

// NewPost makes what sends. It keeps connections for a while.
func NewPost(p Post) *Post {
	if p.Now == nil {
		p.Now = time.Now
	}
	p.client = &http.Client{
		Timeout: webhookTime,
		// Whoever answers with another address is not who was meant.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: p.TLS, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: perChannel,
			IdleConnTimeout: time.Minute, TLSHandshakeTimeout: webhookTime, MaxResponseHeaderBytes: 64 << 10,
			DialContext: (&net.Dialer{Timeout: webhookTime}).DialContext,
		},
	}
	return &p
}

// Close ends connections that are kept.
func (p *Post) Close() { p.client.CloseIdleConnections() }

// Send implements Sender.
func (p *Post) Send(ctx context.Context, c *wire.Channel, d *channel.Data) error {
	t, err := channel.ParseTemplates(c)
	if err != nil {
		return refused{error: err, never: true}
	}
	body, err := t.Body(c.Kind, d)
	if err != nil {
		return refused{error: err, never: true}
	}
	switch c.Kind {
	case wire.Channel_WEBHOOK:
		return p.webhook(ctx, c, d, body)
	case wire.Channel_EMAIL:
		subject, err := t.Subject(d)
		if err != nil {
			return refused{error: err, never: true}
		}
		return p.mail(ctx, c, d, subject, body)
	}
	return refused{error: fault.New(fault.Invalid, "a channel of kind %d is not known to this version", c.Kind), never: true}
}

// webhook posts a document, signed as the Standard Webhooks say.
func (p *Post) webhook(ctx context.Context, c *wire.Channel, d *channel.Data, body string) error {
	text := ""
	if c.Secret != nil {
		var err error
		if text, err = p.Secrets.Read(c.Secret); err != nil {
			return fault.Wrap(err, fault.CodeOf(err), "the channel's secret")
		}
	}
	r, err := p.request(ctx, c, d, body, text)
	if err != nil {
		return withoutSecret(err, c, text)
	}
	reply, err := p.client.Do(r)
	if err != nil {
		return withoutSecret(err, c, text)
	}
	defer reply.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(reply.Body, mostReply))
	if reply.StatusCode >= 200 && reply.StatusCode < 300 {
		return nil
	}
	shown := clip(strings.Join(strings.Fields(string(said)), " "), mostShown)
	why := fault.New(fault.Unavailable, "%s answered %d %s", channel.Where(c), reply.StatusCode, strings.TrimSpace(http.StatusText(reply.StatusCode)+" "+shown))
	if reply.StatusCode >= 300 && reply.StatusCode < 400 {
		why = fault.New(fault.Unavailable, "%s answered %d, and redirects are not followed: give the channel the new URL", channel.Where(c), reply.StatusCode)
	}
	after, _ := strconv.Atoi(reply.Header.Get("Retry-After"))
	return refused{error: withoutSecret(why, c, text), never: reply.StatusCode == http.StatusGone, after: time.Duration(min(max(after, 0), 86400)) * time.Second}
}

func (p *Post) request(ctx context.Context, c *wire.Channel, d *channel.Data, body, text string) (*http.Request, error) {
	address := strings.ReplaceAll(c.Url, channel.Placeholder, text)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader([]byte(body)))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "backfleet/"+p.Version)
	for _, h := range c.Headers {
		r.Header.Set(h.Name, strings.ReplaceAll(h.Value, channel.Placeholder, text))
	}
	now := p.Now()
	r.Header.Set(webhooks.HeaderWebhookID, d.ID)
	r.Header.Set(webhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	if text == "" {
		return r, nil
	}
	signer, err := signerOf(text)
	if err != nil {
		return nil, err
	}
	signature, err := signer.Sign(d.ID, now, []byte(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set(webhooks.HeaderWebhookSignature, signature)
	return r, nil
}

// signerOf takes a secret as the Standard Webhooks write it, whsec_ and base64,
// or else any text as it is.
func signerOf(text string) (*webhooks.Webhook, error) {
	if !strings.HasPrefix(text, "whsec_") {
		return webhooks.NewWebhookRaw([]byte(text))
	}
	s, err := webhooks.NewWebhook(text)
	if err != nil {
		return nil, fault.New(fault.Invalid, "the channel's secret begins with whsec_ but no base64 follows: expected a secret of the Standard Webhooks, or any other text")
	}
	return s, nil
}

// withoutSecret makes an error that has neither the secret nor the rest of the
// URL in it.
func withoutSecret(err error, c *wire.Channel, text string) error {
	var u *url.Error
	if errors.As(err, &u) {
		if err = u.Err; u.Timeout() {
			return fault.New(fault.Timeout, "%s did not answer within %v", channel.Where(c), webhookTime)
		}
	}
	message := err.Error()
	for _, hidden := range []string{text, url.PathEscape(text), url.QueryEscape(text), strconv.Quote(text)} {
		if hidden != "" && hidden != `""` {
			message = strings.ReplaceAll(message, hidden, "***")
		}
	}
	if !strings.Contains(message, channel.Where(c)) {
		message = channel.Where(c) + ": " + message
	}
	return fault.New(fault.Unavailable, "%s", clip(message, 500))
}

// word is an occasion as people write it.
func word(o wire.Occasion) string {
	if o >= wire.Occasion_FAILURE && o <= wire.Occasion_STUCK {
		return node.Occasions[o-wire.Occasion_FAILURE]
	}
	return strings.ToLower(o.String())
}
