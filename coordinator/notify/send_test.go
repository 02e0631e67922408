package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	netmail "net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"backfleet/pkg/channel"
	"backfleet/pkg/fault"
	"backfleet/pkg/secret"
	"backfleet/pkg/wire"
)

const secretText = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// posted is what a receiver was sent.
type posted struct {
	header http.Header
	body   []byte
	path   string
}

// listen is a real receiver that answers as it is told.
func listen(t *testing.T, secure bool, answer http.HandlerFunc) (server *httptest.Server, got chan posted) {
	got = make(chan posted, 100)
	server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- posted{r.Header, body, r.URL.String()}
		answer(w, r)
	}))
	if secure {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	return server, got
}

func ok(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

func poster(p Post) *Post {
	p.Secrets = secret.Places{Environ: []string{"BACKFLEET_SECRET_OPS=" + secretText, "BACKFLEET_SECRET_PLAIN=hunter2 and more", "BACKFLEET_SECRET_BAD=whsec_!"}, Whose: "coordinator"}
	p.Version = "test"
	return NewPost(p)
}

func TestR15_6_AWebhookIsSigned(t *testing.T) {
	server, got := listen(t, true, ok)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	p := poster(Post{TLS: &tls.Config{RootCAs: roots}})
	defer p.Close()
	d := channel.Sample()
	c := &wire.Channel{Name: "ops", Kind: wire.Channel_WEBHOOK, Url: server.URL + "/hooks/{secret}?k={secret}", Secret: &wire.Secret{Environment: "BACKFLEET_SECRET_OPS"},
		Headers: []*wire.Assignment{{Name: "Authorization", Value: "Bearer {secret}"}, {Name: "X-Team", Value: "data"}}}
	if err := p.Send(t.Context(), c, &d); err != nil {
		t.Fatal(err)
	}
	r := <-got
	verifier, err := webhooks.NewWebhook(secretText)
	if err != nil {
		t.Fatal(err)
	}
	if err := verifier.Verify(r.body, r.header); err != nil {
		t.Errorf("the signature: %v", err)
	}
	if err := verifier.Verify(append(r.body, ' '), r.header); err == nil {
		t.Error("a body that was changed is taken for signed")
	}
	var back channel.Data
	if err := json.Unmarshal(r.body, &back); err != nil || back != d {
		t.Errorf("it was sent %s, %v", r.body, err)
	}
	for name, want := range map[string]string{
		"webhook-id": d.ID, "Authorization": "Bearer " + secretText, "X-Team": "data", "Content-Type": "application/json", "User-Agent": "backfleet/test",
	} {
		if r.header.Get(name) != want {
			t.Errorf("header %s is %q, expected %q", name, r.header.Get(name), want)
		}
	}
	if r.path != "/hooks/"+secretText+"?k="+secretText {
		t.Errorf("it was sent to %s", r.path)
	}
	// Who is not who the authorities say is not told.
	other := poster(Post{})
	defer other.Close()
	if err := other.Send(t.Context(), c, &d); err == nil || len(got) > 0 {
		t.Errorf("to a stranger: %v", err)
	}
}

func TestR15_6_AnySecretAndTemplate(t *testing.T) {
	server, got := listen(t, false, ok)
	p := poster(Post{})
	defer p.Close()
	d := channel.Sample()
	c := &wire.Channel{Name: "ops", Kind: wire.Channel_WEBHOOK, Url: server.URL, Secret: &wire.Secret{Environment: "BACKFLEET_SECRET_PLAIN"}, Body: `{"text": {{json .Text}}}`}
	if err := p.Send(t.Context(), c, &d); err != nil {
		t.Fatal(err)
	}
	r := <-got
	verifier, _ := webhooks.NewWebhookRaw([]byte("hunter2 and more"))
	if err := verifier.Verify(r.body, r.header); err != nil || string(r.body) != `{"text": "b12 \"orders, March\": 2 instances have failed, first dwd_orders of 2026-03-02"}` {
		t.Errorf("%s: %v", r.body, err)
	}
	c.Secret = nil
	if err := p.Send(t.Context(), c, &d); err != nil {
		t.Fatal(err)
	}
	if r := <-got; r.header.Get("webhook-signature") != "" || r.header.Get("webhook-id") == "" {
		t.Errorf("without a secret: %v", r.header)
	}
}

// TestR15_6_WhatARefusalSays: what to do, and never a secret.
func TestR15_6_WhatARefusalSays(t *testing.T) {
	answer := func(status int, header, value, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if header != "" {
				w.Header().Set(header, value)
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	for _, one := range []struct {
		name   string
		answer http.HandlerFunc
		env    string
		says   string
		never  bool
		after  time.Duration
	}{
		{"an error", answer(500, "", "", "it knows hunter2 and more\n now"), "PLAIN", "answered 500 Internal Server Error it knows *** now", false, 0},
		{"a long one", answer(400, "", "", strings.Repeat("long ", 100_000)), "PLAIN", "answered 400 Bad Request long", false, 0},
		{"busy", answer(429, "Retry-After", "77", ""), "PLAIN", "429 Too Many Requests", false, 77 * time.Second},
		{"gone", answer(410, "", "", ""), "PLAIN", "410 Gone", true, 0},
		{"elsewhere", answer(302, "Location", "http://127.0.0.1:1/", ""), "PLAIN", "redirects are not followed", false, 0},
		{"a secret that is none", nil, "NONE", "this coordinator has no variable BACKFLEET_SECRET_NONE", false, 0},
		{"a secret in a wrong form", nil, "BAD", "begins with whsec_ but no base64", false, 0},
	} {
		t.Run(one.name, func(t *testing.T) {
			server, got := listen(t, false, func(w http.ResponseWriter, r *http.Request) { one.answer(w, r) })
			p := poster(Post{})
			defer p.Close()
			d := channel.Sample()
			err := p.Send(t.Context(), &wire.Channel{Name: "ops", Kind: wire.Channel_WEBHOOK, Url: server.URL + "/{secret}", Secret: &wire.Secret{Environment: "BACKFLEET_SECRET_" + one.env}}, &d)
			if err == nil || !strings.Contains(err.Error(), one.says) || len(err.Error()) > 800 {
				t.Fatalf("%v, expected %q", err, one.says)
			}
			for _, hidden := range []string{"hunter2", "whsec_!"} {
				if strings.Contains(err.Error(), hidden) {
					t.Errorf("it has a secret: %v", err)
				}
			}
			var why refused
			_ = errors.As(err, &why)
			if why.never != one.never || why.after != one.after {
				t.Errorf("never again %v, after %v; expected %v, %v", why.never, why.after, one.never, one.after)
			}
			if n := len(got); n > 1 || n == 0 && one.answer != nil {
				t.Errorf("it was sent %d times", n)
			}
		})
	}
	p := poster(Post{})
	defer p.Close()
	d := channel.Sample()
	c := &wire.Channel{Name: "ops", Kind: wire.Channel_WEBHOOK, Url: "http://127.0.0.1:1/{secret}", Secret: &wire.Secret{Environment: "BACKFLEET_SECRET_PLAIN"}}
	if err := p.Send(t.Context(), c, &d); err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("nobody listens: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Send(ctx, c, &d); err == nil {
		t.Error("it was sent although there was no time")
	}
}

// mailbox is a real mail server.
type mailbox struct {
	mu       sync.Mutex
	letters  []letter
	password string // empty: nobody signs in
	fail     error
}

type letter struct {
	from string
	to   []string
	text string
	user string
}

type smtpSession struct {
	box  *mailbox
	made letter
}

func (m *mailbox) NewSession(*smtp.Conn) (smtp.Session, error) { return &smtpSession{box: m}, nil }

func (s *smtpSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *smtpSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if password != s.box.password {
			return smtp.ErrAuthFailed
		}
		s.made.user = user
		return nil
	}), nil
}

func (s *smtpSession) Mail(from string, _ *smtp.MailOptions) error {
	if s.box.password != "" && s.made.user == "" {
		return smtp.ErrAuthRequired
	}
	s.made.from = from
	return s.box.fail
}

func (s *smtpSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.made.to = append(s.made.to, to)
	return nil
}

func (s *smtpSession) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	s.made.text = string(text)
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	s.box.letters = append(s.box.letters, s.made)
	return err
}
func (s *smtpSession) Reset()        { s.made = letter{user: s.made.user} }
func (s *smtpSession) Logout() error { return nil }

// serve starts a mail server; implicit: encrypted from the beginning.
func (m *mailbox) serve(t *testing.T, secure, implicit bool) (port int, roots *x509.CertPool) {
	server := smtp.NewServer(m)
	server.Domain = "localhost"
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port = listener.Addr().(*net.TCPAddr).Port
	if secure {
		own := httptest.NewUnstartedServer(http.NotFoundHandler()) // for its certificate
		own.StartTLS()
		t.Cleanup(own.Close)
		roots = x509.NewCertPool()
		roots.AddCert(own.Certificate())
		server.TLSConfig = &tls.Config{Certificates: own.TLS.Certificates}
		if implicit {
			listener = tls.NewListener(listener, server.TLSConfig)
		}
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return port, roots
}

func TestR15_6_EMail(t *testing.T) {
	for _, how := range []string{StartTLS, TLS, NoTLS} {
		t.Run(how, func(t *testing.T) {
			box := &mailbox{}
			m := Mail{Host: "127.0.0.1", From: "Backfleet <backfleet@example.org>", TLS: how}
			if how != NoTLS {
				box.password, m.User, m.Password = "hunter2 and more", "backfleet", &wire.Secret{Environment: "BACKFLEET_SECRET_PLAIN"}
			}
			port, roots := box.serve(t, how != NoTLS, how == TLS)
			m.Port = port
			if err := m.Complete(); err != nil {
				t.Fatal(err)
			}
			p := poster(Post{Mail: m, TLS: &tls.Config{RootCAs: roots}})
			defer p.Close()
			d := channel.Sample()
			c := &wire.Channel{Name: "mail", Kind: wire.Channel_EMAIL, To: []string{"ops@example.org", "ann@example.org"}, Subject: "{{.Type}}:\n{{.Backfill.Name}} <ü>"}
			if err := p.Send(t.Context(), c, &d); err != nil {
				t.Fatal(err)
			}
			if len(box.letters) != 1 {
				t.Fatalf("%d letters", len(box.letters))
			}
			l := box.letters[0]
			read, err := netmail.ReadMessage(strings.NewReader(l.text))
			if err != nil {
				t.Fatal(err)
			}
			if l.from != "backfleet@example.org" || fmt.Sprint(l.to) != "[ops@example.org ann@example.org]" || read.Header.Get("Message-ID") != "<"+d.ID+"@example.org>" {
				t.Errorf("it is from %s to %v, and has the id %s", l.from, l.to, read.Header.Get("Message-ID"))
			}
			if s := read.Header.Get("Subject"); !strings.Contains(s, "failure") || !strings.Contains(strings.ToUpper(s), "UTF-8") || !strings.HasPrefix(read.Header.Get("Content-Type"), "multipart/alternative") {
				t.Errorf("its header is %v", read.Header)
			}
			for _, want := range []string{"2 instances have failed", "text/html", "<pre", "Page"} {
				if !strings.Contains(l.text, want) {
					t.Errorf("it lacks %q:\n%s", want, l.text)
				}
			}
			box.fail = &smtp.SMTPError{Code: 550, Message: "no such hunter2 and more here"}
			if err := p.Send(t.Context(), c, &d); err == nil || !strings.Contains(err.Error(), "550") || how != NoTLS && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("refused: %v", err)
			}
		})
	}
}

func TestR15_6_MailIsNeverSentInClear(t *testing.T) {
	box := &mailbox{}
	port, _ := box.serve(t, false, false)
	p := poster(Post{Mail: Mail{Host: "127.0.0.1", Port: port, From: "a@example.org", TLS: StartTLS}})
	defer p.Close()
	d := channel.Sample()
	c := &wire.Channel{Name: "mail", Kind: wire.Channel_EMAIL, To: []string{"ops@example.org"}}
	if err := p.Send(t.Context(), c, &d); err == nil || len(box.letters) > 0 {
		t.Errorf("a server that knows no STARTTLS was sent it: %v", err)
	}
	none := poster(Post{})
	if err := none.Send(t.Context(), c, &d); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "--smtp-host") {
		t.Errorf("without a server: %v", err)
	}
	stranger := &mailbox{}
	port, _ = stranger.serve(t, true, false)
	p.Mail.Port = port
	if err := p.Send(t.Context(), c, &d); err == nil || len(stranger.letters) > 0 {
		t.Errorf("a server that proves nothing was sent it: %v", err)
	}
}

func TestMailSettings(t *testing.T) {
	good := Mail{Host: "mail.example.org", From: "a@example.org"}
	if m := good; m.Complete() != nil || m.Port != 587 || m.TLS != StartTLS {
		t.Errorf("defaults: %+v", m)
	}
	for field, change := range map[string]func(*Mail){
		"smtp-host":     func(m *Mail) { m.Host = "" },
		"smtp-port":     func(m *Mail) { m.Port = 70000 },
		"smtp-from":     func(m *Mail) { m.From = "nobody" },
		"smtp-tls":      func(m *Mail) { m.TLS = NoTLS },
		"smtp-password": func(m *Mail) { m.User = "u" },
		"smtp-user":     func(m *Mail) { m.Host, m.TLS, m.User, m.Password = "::1", NoTLS, "u", &wire.Secret{File: "x"} },
	} {
		m := good
		change(&m)
		var e *fault.Error
		if err := m.Complete(); !errors.As(err, &e) || !strings.Contains(err.Error(), field) && (len(e.Details) == 0 || e.Details[0].Field != field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	if none := (Mail{}); none.Complete() != nil {
		t.Error("no server is refused")
	}
}
