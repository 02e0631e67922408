// Package channel is where notifications go, as people write it: a webhook or
// addresses of e-mail, and templates of what is said there (RULES R15.6).
// Nothing here ever holds a secret. DESIGN.md beside this file is the reference.
package channel

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"backfleet/pkg/fault"
	"backfleet/pkg/nearest"
	"backfleet/pkg/node"
	"backfleet/pkg/wire"
)

// SecretPrefix begins the names of a coordinator's variables that hold secrets.
const SecretPrefix = "BACKFLEET_SECRET_"

// Placeholder stands in a URL or a header for the channel's secret, for services
// whose address or authorization is one.
const Placeholder = "{secret}"

// Limits of what is said of a channel, in bytes where nothing else is said.
const (
	MaxDescription = 4 << 10
	MaxURL         = 2 << 10
	MaxHeaders     = 20
	MaxHeader      = 1 << 10
	MaxTo          = 50 // addresses
	MaxSubject     = 1 << 10
	MaxBody        = 16 << 10
)

// Kinds are the words of wire.Channel_Kind, in order of its numbers, from
// WEBHOOK.
var Kinds = []string{"webhook", "email"}

var (
	// urlForm leaves no place for a user and a password.
	urlForm         = regexp.MustCompile(`^https?://([A-Za-z0-9_.{}-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?([/?][!-~]*)?$`)
	headerForm      = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,63}$`)
	addressForm     = regexp.MustCompile(`^[A-Za-z0-9.!#$%&'*+/=?^_{|}~-]{1,64}@[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$`)
	environmentForm = regexp.MustCompile(`^` + SecretPrefix + `[A-Z0-9_]{1,100}$`)
	fileForm        = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
)

// Headers that are the sender's own, and those that hold secrets.
var (
	ownHeaders    = []string{"host", "content-length", "connection", "transfer-encoding", "upgrade", "trailer", "te"}
	secretHeaders = []string{"authorization", "proxy-authorization", "cookie", "x-api-key"}
)

// Compile checks every field of a channel but the templates' language. It works
// on a copy; what it gives compiles to itself, on every machine.
//
// The error has a fault.Detail for each finding, all at once. None of them
// repeats a value that could be a secret in the wrong place.
func Compile(channel *wire.Channel) (*wire.Channel, error) {
	c := &checker{c: &wire.Channel{}}
	if channel != nil {
		c.c = proto.CloneOf(channel)
	}
	slices.SortStableFunc(c.c.Headers, func(a, b *wire.Assignment) int {
		return cmp.Compare(strings.ToLower(a.GetName()), strings.ToLower(b.GetName()))
	})
	c.identity()
	switch c.c.Kind {
	case wire.Channel_WEBHOOK:
		c.webhook()
	case wire.Channel_EMAIL:
		c.email()
	default:
		c.refuse("kind", "it is missing, or not known to this version: expected %s", strings.Join(Kinds, " or "))
	}
	c.text("subject", c.c.Subject, MaxSubject)
	c.text("body", c.c.Body, MaxBody)
	if len(c.details) > 0 {
		return nil, problems(fmt.Sprintf("channel %q", clip(c.c.Name)), c.details)
	}
	return c.c, nil
}

// checker gathers findings.
type checker struct {
	c       *wire.Channel
	details []fault.Detail
}

func (c *checker) refuse(field, format string, args ...any) {
	c.details = append(c.details, fault.Detail{Field: field, Message: fmt.Sprintf(format, args...)})
}

func (c *checker) identity() {
	if !node.ValidChannel(c.c.Name) {
		c.refuse("name", "%q: expected 1 to 128 of a-z, 0-9, _, . and -, not beginning with . or -", clip(c.c.Name))
	}
	c.text("description", c.c.Description, MaxDescription)
}

func (c *checker) text(field, value string, most int) {
	if len(value) > most || !utf8.ValidString(value) {
		c.refuse(field, "expected text of at most %d bytes, in UTF-8", most)
	}
}

// webhook does not repeat the URL: its path may be a secret.
func (c *checker) webhook() {
	w := c.c
	switch {
	case w.Url == "":
		c.refuse("url", "it is missing: expected where to post to, as https://host/path")
	case strings.Contains(strings.SplitN(w.Url+"//", "/", 4)[2], "@"):
		c.refuse("url", "it has a user or a password, which never stand here: use a header with %s and say where the secret is", Placeholder)
	case len(w.Url) > MaxURL || !urlForm.MatchString(w.Url) || strings.Contains(w.Url, "#"):
		c.refuse("url", "expected http://host/path or https://host/path, of at most %d bytes, with %s where its secret part is", MaxURL, Placeholder)
	}
	uses := strings.Contains(w.Url, Placeholder)
	if len(w.Headers) > MaxHeaders {
		c.refuse("headers", "%d of them: expected at most %d", len(w.Headers), MaxHeaders)
	}
	for i, h := range w.Headers {
		uses = c.header(h, i > 0 && strings.EqualFold(w.Headers[i-1].GetName(), h.GetName())) || uses
	}
	c.secret("secret", w.Secret)
	if uses && w.Secret == nil {
		c.refuse("secret", "it is missing, but %s stands in the URL or a header: say where the coordinators find it", Placeholder)
	}
	c.absent(map[string]bool{"to": len(w.To) > 0, "subject": w.Subject != ""}, "webhook")
}

func (c *checker) header(h *wire.Assignment, twice bool) (uses bool) {
	name := strings.ToLower(h.GetName())
	at := "headers." + clip(h.GetName())
	uses = strings.Contains(h.GetValue(), Placeholder)
	switch {
	case !headerForm.MatchString(name):
		c.refuse(at, "expected the name of a header: letters, digits and -, up to 64")
	case slices.Contains(ownHeaders, name) || strings.HasPrefix(name, "webhook-"):
		c.refuse(at, "it is set by who sends: take it out")
	case twice:
		c.refuse(at, "it is given twice: expected one value")
	case slices.Contains(secretHeaders, name) && !uses:
		c.refuse(at, "it holds a secret, which never stands here: write %s in its place, and say with secret where the coordinators find it", Placeholder)
	case len(h.GetValue()) > MaxHeader || !oneLine(h.GetValue()):
		c.refuse(at, "expected one line of at most %d bytes", MaxHeader)
	}
	return uses
}

func (c *checker) email() {
	e := c.c
	if len(e.To) == 0 || len(e.To) > MaxTo {
		c.refuse("to", "%d addresses: expected 1 to %d", len(e.To), MaxTo)
	}
	for i, to := range e.To {
		switch {
		case !addressForm.MatchString(to):
			c.refuse(fmt.Sprintf("to[%d]", i), "%q: expected an address alone, such as ops@example.org", clip(to))
		case slices.Contains(e.To[:i], to):
			c.refuse(fmt.Sprintf("to[%d]", i), "%q is named twice", to)
		}
	}
	c.absent(map[string]bool{"url": e.Url != "", "secret": e.Secret != nil, "headers": len(e.Headers) > 0}, "email")
}

// absent refuses fields of the other kind.
func (c *checker) absent(given map[string]bool, kind string) {
	for _, field := range []string{"url", "secret", "headers", "to", "subject"} {
		if given[field] {
			c.refuse(field, "a channel of kind %s has none: leave it out", kind)
		}
	}
}

// secret checks where a secret is. It repeats nothing of it: people mistake the
// place for the secret.
func (c *checker) secret(field string, s *wire.Secret) {
	switch {
	case s == nil:
	case (s.Environment == "") == (s.File == ""):
		c.refuse(field, "expected either environment, the name of a variable of the coordinators, or file, a name in their folder of secrets")
	case s.File != "" && !fileForm.MatchString(s.File):
		c.refuse(field+".file", "expected the plain name of a file in the coordinators' folder of secrets: letters, digits, _, . and -, no path")
	case s.Environment != "" && !environmentForm.MatchString(s.Environment):
		c.refuse(field+".environment", "expected the name of a variable of the coordinators that begins with %s, then capitals, digits and _: the secret itself never stands here", SecretPrefix)
	}
}

// oneLine says whether a text is UTF-8 without control characters.
func oneLine(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

func problems(what string, details []fault.Detail) error {
	count := fmt.Sprintf("%d problems", len(details))
	if len(details) == 1 {
		count = "1 problem"
	}
	return fault.New(fault.Invalid, "%s: %s", what, count).WithDetails(details...)
}

// clip cuts foreign text, so that it cannot flood a message.
func clip(s string) string {
	const most = 128
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// KindOf reads the word of a kind; the error says which there are.
func KindOf(word string) (wire.Channel_Kind, error) {
	if i := slices.Index(Kinds, word); i >= 0 {
		return wire.Channel_WEBHOOK + wire.Channel_Kind(i), nil
	}
	return 0, fault.Field("kind", "%q%s: expected %s", clip(word), nearest.Hint(word, Kinds), strings.Join(Kinds, " or "))
}

// Where says for people where a channel leads: the host of a webhook, since the
// rest of its URL may be nobody's business, or the addresses.
func Where(c *wire.Channel) string {
	if c.Kind == wire.Channel_EMAIL {
		return strings.Join(c.To, ", ")
	}
	scheme, rest, _ := strings.Cut(c.Url, "://")
	host := rest
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		host = rest[:i]
	}
	return scheme + "://" + host
}
