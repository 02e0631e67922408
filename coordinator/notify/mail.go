package notify

import (
	"cmp"
	"context"
	"crypto/tls"
	"html"
	netmail "net/mail"
	"net/netip"
	"strings"

	"github.com/wneessen/go-mail"

	"backfleet/pkg/channel"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// How a connection to a mail server is protected.
const (
	StartTLS = "starttls" // begun in clear, and not used before it is encrypted
	TLS      = "tls"      // from the beginning
	NoTLS    = "none"     // of a server on this host
)

// Mail is the server that takes e-mail. Host is empty where there is none.
type Mail struct {
	Host     string
	Port     int // default 587 with StartTLS, 465 with TLS, 25 with NoTLS
	User     string
	Password *wire.Secret // needs User
	From     string       // an address, with a name perhaps
	TLS      string       // default StartTLS
}

// Complete checks the settings by the names of their flags, and fills in
// defaults.
func (m *Mail) Complete() error {
	if m.Host == "" {
		if *m != (Mail{}) {
			return fault.Field("smtp-host", "it is missing: expected the mail server, since other settings of it were given")
		}
		return nil
	}
	m.TLS = cmp.Or(m.TLS, StartTLS)
	ports := map[string]int{StartTLS: 587, TLS: 465, NoTLS: 25}
	if ports[m.TLS] == 0 {
		return fault.Field("smtp-tls", "%q: expected starttls, tls or none", m.TLS)
	}
	m.Port = cmp.Or(m.Port, ports[m.TLS])
	_, err := netmail.ParseAddress(m.From)
	switch {
	case strings.ContainsAny(m.Host, "/:@ ") && !isAddress(m.Host):
		return fault.Field("smtp-host", "%q: expected the name or address of a host alone", m.Host)
	case m.Port < 1 || m.Port > 65535:
		return fault.Field("smtp-port", "%d: expected 1 to 65535", m.Port)
	case err != nil:
		return fault.Field("smtp-from", "%q: expected the address that e-mail comes from, such as backfleet@example.org", m.From)
	case m.TLS == NoTLS && !loopback(m.Host):
		return fault.Field("smtp-tls", "none is for a mail server on this host, and %s is not: expected starttls or tls", m.Host)
	case (m.User == "") != (m.Password == nil):
		return fault.Field("smtp-password", "expected both a user and where the password is, or neither")
	case m.TLS == NoTLS && m.User != "":
		return fault.Field("smtp-user", "a password is not sent in clear: expected none, or starttls or tls")
	}
	return nil
}

func isAddress(host string) bool { _, err := netip.ParseAddr(host); return err == nil }

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// mail sends an e-mail, as text and as simple HTML.
func (p *Post) mail(ctx context.Context, c *wire.Channel, d *channel.Data, subject, body string) error {
	s := p.Mail
	if s.Host == "" {
		return fault.New(fault.Unavailable, "this coordinator has no mail server: start all of them with --smtp-host")
	}
	password := ""
	if s.Password != nil {
		var err error
		if password, err = p.Secrets.Read(s.Password); err != nil {
			return fault.Wrap(err, fault.CodeOf(err), "the password of the mail server")
		}
	}
	m := mail.NewMsg(mail.WithNoDefaultUserAgent())
	from, err := netmail.ParseAddress(s.From)
	if err == nil {
		err = m.From(s.From)
	}
	if err == nil {
		err = m.To(c.To...)
	}
	if err != nil {
		return refused{error: fault.New(fault.Invalid, "an address cannot be used: %v", err), never: true}
	}
	_, domain, _ := strings.Cut(from.Address, "@")
	m.SetMessageIDWithValue(d.ID + "@" + domain)
	m.SetDateWithValue(p.Now())
	m.SetGenHeader(mail.Header("Auto-Submitted"), "auto-generated")
	m.SetGenHeader(mail.Header("X-Backfleet-Type"), d.Type)
	m.Subject(subject)
	m.SetBodyString(mail.TypeTextPlain, body)
	m.AddAlternativeString(mail.TypeTextHTML, simpleHTML(subject, body, d.Backfill.URL))
	client, err := mail.NewClient(s.Host, p.dialing(password)...)
	if err != nil {
		return fault.New(fault.Invalid, "the mail server's settings: %v", err)
	}
	if err := client.DialAndSendWithContext(ctx, m); err != nil {
		message := err.Error()
		if password != "" {
			message = strings.ReplaceAll(message, password, "***")
		}
		return fault.New(fault.Unavailable, "mail server %s: %s", s.Host, clip(strings.Join(strings.Fields(message), " "), 500))
	}
	return nil
}

func (p *Post) dialing(password string) []mail.Option {
	s := p.Mail
	options := []mail.Option{mail.WithPort(s.Port), mail.WithTimeout(sendTime), mail.WithTLSPolicy(mail.TLSMandatory)}
	switch s.TLS {
	case TLS:
		options = append(options, mail.WithSSL())
	case NoTLS:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if p.TLS != nil {
		config = p.TLS.Clone()
	}
	config.ServerName = s.Host
	options = append(options, mail.WithTLSConfig(config))
	if s.User != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(s.User), mail.WithPassword(password))
	}
	return options
}

// simpleHTML is the text for readers that show nothing else, with the link.
func simpleHTML(subject, body, link string) string {
	var b strings.Builder
	b.WriteString("<!DOCTYPE html><html><head><meta charset=\"utf-8\"><title>" + html.EscapeString(subject) + "</title></head><body>")
	b.WriteString("<pre style=\"font-family:ui-monospace,monospace;white-space:pre-wrap\">" + html.EscapeString(body) + "</pre>")
	if strings.HasPrefix(link, "https://") || strings.HasPrefix(link, "http://") {
		b.WriteString("<p><a href=\"" + html.EscapeString(link) + "\">" + html.EscapeString(link) + "</a></p>")
	}
	b.WriteString("</body></html>\n")
	return b.String()
}
