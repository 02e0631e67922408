package logintest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"testing"

	"golang.org/x/oauth2"
)

// Browser is a person's: it keeps cookies and follows redirects.
type Browser struct {
	*http.Client
	t        testing.TB
	provider *Provider
}

// Browser makes one that trusts the provider, and the authorities in more PEM
// files.
func (p *Provider) Browser(t testing.TB, caFiles ...string) *Browser {
	t.Helper()
	pool := x509.NewCertPool()
	for _, file := range append(caFiles, p.CAFile) {
		if file == "" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil || !pool.AppendCertsFromPEM(text) {
			t.Fatalf("%s: %v", file, err)
		}
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	return &Browser{&http.Client{Jar: jar, Transport: transport}, t, p}
}

// Login opens a page that sends to the provider, fills in its form as the person,
// and gives the answer at which the redirects end.
func (b *Browser) Login(address, name string) *http.Response {
	b.t.Helper()
	form, err := b.Get(address)
	if err != nil {
		b.t.Fatal(err)
	}
	at := form.Request.URL
	if text := body(b.t, form); at.Path != "/login/username" {
		b.t.Fatalf("%s led to %s and not to the provider's form: %s\n%s", address, at, form.Status, text)
	}
	answer, err := b.PostForm(b.provider.Issuer+at.Path, url.Values{
		"username": {name}, "password": {password}, "id": {at.Query().Get("authRequestID")},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = answer.Body.Close() })
	return answer
}

func body(t testing.TB, r *http.Response) string {
	t.Helper()
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Context has requests of golang.org/x/oauth2 sent by this browser's client.
func (b *Browser) Context() context.Context {
	return context.WithValue(b.t.Context(), oauth2.HTTPClient, b.Client)
}
