// Package dial connects to coordinators: which addresses there are, how to
// prove who one is, and how long to wait before the next try.
package dial

import (
	"context"
	"crypto/tls"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

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
}

// NewPool makes a pool of rpc addresses ("host:port"). Config nil means no
// TLS, which only loopback addresses get. The token, when there is one, goes
// with every call.
func NewPool(addresses []string, config *tls.Config, token string) *Pool {
	transport := insecure.NewCredentials()
	if config != nil {
		transport = credentials.NewTLS(config)
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64 << 20)),
	}
	if token != "" {
		options = append(options, grpc.WithPerRPCCredentials(bearer(token)))
	}
	p := &Pool{configured: addresses, addresses: addresses, options: options, secure: config != nil}
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

type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

// RequireTransportSecurity: Connect sees to it, and lets loopback pass.
func (bearer) RequireTransportSecurity() bool { return false }

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
