package secure

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"backfleet/pkg/mtls"
)

// scraped asks an agent for its figures as Prometheus does: by its host's address,
// and with a certificate.
func (p *pki) scraped(files mtls.Files, url string) (text string, err error) {
	p.t.Helper()
	material, err := mtls.Load(files)
	if err != nil {
		p.t.Fatal(err)
	}
	host, _, err := net.SplitHostPort(strings.TrimPrefix(url, "https://"))
	if err != nil {
		p.t.Fatal(err)
	}
	return p.scrapedWith(material.Client(host), url)
}

func (p *pki) scrapedWith(config *tls.Config, url string) (text string, err error) {
	p.t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
	r, err := http.NewRequestWithContext(within(p.t), http.MethodGet, url+"/metrics", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	got, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer got.Body.Close()
	b, err := io.ReadAll(got.Body)
	return string(b), err
}

// TestAnAgentsFiguresAreForWhoIsCertified: beyond the loopback an agent shows its
// certificate to who asks for its figures, and wants to see one of its authority.
func TestAnAgentsFiguresAreForWhoIsCertified(t *testing.T) {
	t.Parallel()
	p, dir, port := newPKI(t), t.TempDir(), free(t, 1)[0]
	all, _ := p.cluster(dir, 1)
	_, number, err := net.SplitHostPort(port)
	if err != nil {
		t.Fatal(err)
	}
	everywhere := net.JoinHostPort("0.0.0.0", number)
	url := "https://127.0.0.1:" + number
	agent := p.issue(p.dir, "agent", "a1", "--host", "127.0.0.1")
	agentProcess(t, dir, append(agentFlags(t, all, agent), "--metrics", everywhere)...)
	prometheus := p.issue(p.dir, "client", "prometheus")
	until(t, "the agent tells its figures, and is connected", func() (bool, error) {
		text, err := p.scraped(prometheus, url)
		if err != nil && !strings.Contains(err.Error(), "connection refused") {
			return false, err
		}
		return strings.Contains(text, "\nbackfleet_agent_connected 1\n") && strings.Contains(text, `backfleet_certificate_expiry_timestamp_seconds{of="certificate"}`) &&
			strings.Contains(text, `backfleet_agent_log_lines_dropped_total{why="disk"} 0`), nil
	})

	trust, err := os.ReadFile(p.trust)
	if err != nil {
		t.Fatal(err)
	}
	bare := &tls.Config{RootCAs: x509.NewCertPool()}
	bare.RootCAs.AppendCertsFromPEM(trust)
	if text, err := p.scrapedWith(bare, url); err == nil || text != "" {
		t.Errorf("without a certificate one is told %q, %v", text, err)
	}
	stranger := newPKI(t)
	theirs := stranger.issue(stranger.dir, "client", "prometheus")
	theirs.CA = p.trust
	if text, err := p.scraped(theirs, url); err == nil || text != "" {
		t.Errorf("with a certificate of another authority one is told %q, %v", text, err)
	}
	if _, err := stranger.scraped(stranger.files("client", "prometheus"), url); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("who trusts another authority takes the agent for what it is not: %v", err)
	}
	plain, err := http.NewRequestWithContext(within(t), http.MethodGet, "http://127.0.0.1:"+number+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := http.DefaultClient.Do(plain); err == nil {
		got.Body.Close()
		if got.StatusCode != http.StatusBadRequest {
			t.Errorf("plain HTTP is answered with %s", got.Status)
		}
	}
	// An agent that has no certificate may tell only its own host.
	cli{t, nil}.refused(2, "TLS is needed", "agent", "--id", "a2", "--data", filepath.Join(dir, "a2"), "--coordinators", rpcs(all), "--metrics", everywhere)
}
