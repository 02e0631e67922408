// Package dial connects to coordinators: which addresses there are, how to
// prove who one is, and how long to wait before the next try.
package dial

import (
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"backfleet/pkg/fault"
	"backfleet/pkg/mtls"
)

// Pool knows the coordinators.
type Pool struct {
	configured []string
	options    []grpc.DialOption
	secure     bool

	mu        sync.Mutex
	addresses []string // all that are tried
	next      int
	leader    string // said to lead, and not tried yet
}

// NewPool makes a pool of rpc addresses ("host:port"). Secure nil means no
// TLS, which only loopback addresses get. The token, when there is one, goes
// with every call.
func NewPool(addresses []string, secure credentials.TransportCredentials, token TokenFile) *Pool {
	transport := secure
	if transport == nil {
		transport = insecure.NewCredentials()
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64 << 20)),
	}
	if token != "" {
		options = append(options, grpc.WithPerRPCCredentials(token))
	}
	p := &Pool{configured: addresses, addresses: addresses, options: options, secure: secure != nil}
	if len(addresses) > 0 {
		p.next = rand.IntN(len(addresses)) // a fleet must not fall on one coordinator
	}
	return p
}

// Know tells the pool where coordinators are besides the configured addresses,
// in place of what it was told before.
func (p *Pool) Know(found []string) {
	all := slices.Clone(p.configured)
	for _, a := range found {
		if !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.addresses = all
}

// Next goes round the addresses. It is empty as long as none is known.
func (p *Pool) Next() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.addresses) == 0 {
		return ""
	}
	p.next = (p.next + 1) % len(p.addresses)
	return p.addresses[p.next]
}

// Led tells the pool who is said to lead.
func (p *Pool) Led(address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leader = address
}

// Leader is where the leader may be: the address told last, once, for it may be
// old; then those that Next goes round.
func (p *Pool) Leader() string {
	p.mu.Lock()
	address := p.leader
	p.leader = ""
	p.mu.Unlock()
	if address == "" {
		return p.Next()
	}
	return address
}

// Connect makes a connection, which is tried at its first call.
func (p *Pool) Connect(address string) (*grpc.ClientConn, error) {
	if address == "" {
		return nil, fault.New(fault.Unavailable, "no coordinator is known yet: expected one in --coordinators or in the directory")
	}
	if !p.secure && !mtls.Loopback(address) {
		return nil, fault.New(fault.Invalid, "coordinator %s: not a loopback address, so TLS is needed; give the agent its certificates", address)
	}
	return grpc.NewClient("passthrough:///"+address, p.options...)
}

// TokenFile is a file with a token. It is read at every call, of which a stream
// is one, so a new token needs no restart.
type TokenFile string

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (t TokenFile) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	token, err := ReadToken(string(t))
	if err != nil {
		return nil, status.Error(codes.Unauthenticated, err.Error())
	}
	return map[string]string{"authorization": "Bearer " + token}, nil
}

// RequireTransportSecurity: Connect sees to it, and lets loopback pass.
func (TokenFile) RequireTransportSecurity() bool { return false }

// ReadToken reads the token in a file, which has nothing else in it.
func ReadToken(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fault.Wrap(err, fault.Invalid, "the file with the agent's token cannot be read")
	}
	token := strings.TrimSpace(string(text))
	if token == "" || strings.ContainsAny(token, " \t\r\n") {
		return "", fault.New(fault.Invalid, "%s: expected a token alone, on one line", path)
	}
	return token, nil
}

const (
	firstPause = 50 * time.Millisecond
	longest    = time.Second
)

// Backoff is the pause between tries: from 50 ms up to 1 s by halves, each
// shortened by up to a half at random. An election takes about half a second;
// the first tries must lie close enough to notice its end.
type Backoff struct{ pause time.Duration }

// Next gives the next pause.
func (b *Backoff) Next() time.Duration {
	b.pause = min(max(b.pause+b.pause/2, firstPause), longest)
	return b.pause/2 + rand.N(b.pause/2)
}

// Reset begins anew, after a success.
func (b *Backoff) Reset() { b.pause = 0 }

// Wait pauses; false when ctx ended first.
func (b *Backoff) Wait(ctx context.Context) bool {
	t := time.NewTimer(b.Next())
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
