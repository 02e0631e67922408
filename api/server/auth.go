package server

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"backfleet/pkg/fault"
	"backfleet/pkg/mtls"
	"backfleet/pkg/wire"
)

// Token of the coordinators' own file lets its bearer in under a name (RULES R15.3).
type Token struct {
	Name       string // the actor of its writes
	Secret     string
	Role       wire.Role
	Workspaces []string // of a developer; empty: all
	Agent      bool     // it lets agents in, and nobody else: Role is unspecified
}

// identity is who a request is from, and what they may at this moment.
type identity struct {
	Write            // of it what is known before there is a body
	secret    string // what they showed
	tokenID   string // of a user's token
	kind      wire.PutToken_Kind
	expiresAt time.Time // zero: never
}

const (
	bearerPrefix    = "Bearer "
	tokenPrefix     = "bft_" // of users' tokens
	joinTokenPrefix = "bfj_" // of agents' tokens
)

// cookieSession holds a browser's token.
const cookieSession = "backfleet_session"

// credential is what a request shows, and whether the browser did so by itself.
func credential(r *http.Request) (secret string, byCookie bool) {
	if text, ok := strings.CutPrefix(r.Header.Get("Authorization"), bearerPrefix); ok {
		return text, false
	}
	if cookie, err := r.Cookie(cookieSession); err == nil {
		return cookie.Value, true
	}
	return "", false
}

// authenticate finds out who asks. Nobody has to show anything for what is
// public, nor, where neither a token file nor a provider is set up, for anything.
func (s *Server) authenticate(c *gin.Context) {
	operation := describedOf(c).id
	from := s.from(c)
	if leastRole[operation] == public {
		c.Set(keyIdentity, identity{Write: Write{From: from, Operation: operation}})
		return
	}
	secret, byCookie := credential(c.Request)
	who, err := s.identityOf(c, secret, from)
	if err == nil && (byCookie || who.Via == ViaOpen) {
		err = s.sameOrigin(c.Request)
	}
	if err != nil {
		s.failIdentity(c, err)
		return
	}
	who.From, who.Operation, who.Traceparent = from, operation, c.GetHeader("traceparent")
	c.Set(keyActor, who.Actor)
	c.Set(keyIdentity, who)
}

// failIdentity answers who is not let in.
func (s *Server) failIdentity(c *gin.Context, err error) {
	if fault.Is(err, fault.Unauthenticated) {
		c.Header("WWW-Authenticate", "Bearer")
	}
	s.fail(c, err)
}

// sameOrigin refuses writes that another site has a browser send, which adds
// cookies, and reaches the loopback, for whoever asks.
func (s *Server) sameOrigin(r *http.Request) error {
	if s.origins.Check(r) == nil {
		return nil
	}
	return fault.New(fault.Denied, "another site (%s) has your browser send this: expected it from this cluster's own pages", clip(r.Header.Get("Origin")))
}

// from is the address that a request came from: for one that a coordinator passes
// on, what that one says.
func (s *Server) from(c *gin.Context) string {
	if said, err := netip.ParseAddr(c.GetHeader(headerForwarded)); err == nil && fromCoordinator(c.Request) {
		return said.String()
	}
	return c.RemoteIP()
}

// fromCoordinator says whether the connection is a coordinator's. Without TLS there is
// nothing to know one by but that it is on this machine.
func fromCoordinator(r *http.Request) bool {
	if r.TLS != nil {
		return len(r.TLS.PeerCertificates) > 0 && mtls.IsCoordinator(r.TLS.PeerCertificates[0])
	}
	return mtls.Loopback(r.RemoteAddr)
}

// identityOf finds whose a secret is. Who fails too often is told to wait, and
// costs no more than that.
func (s *Server) identityOf(c *gin.Context, secret, from string) (identity, error) {
	if secret == "" && s.open() {
		actor := c.GetHeader(headerActor)
		if !visible(actor, 200) {
			actor = from
		}
		c.Request.Header.Set(headerActor, actor) // for the leader, if it is passed on
		return identity{Write: Write{Actor: actor, Role: wire.Role_ADMIN, Via: ViaOpen}}, nil
	}
	who, err := s.known(secret)
	if !fault.Is(err, fault.Unauthenticated) {
		return who, err
	}
	if err := s.failures.admits(from); err != nil {
		c.Header(headerRetryAfter, strconv.Itoa(s.failures.after()))
		return identity{}, err
	}
	if s.mayBeNew(secret) && s.catchUp(c) {
		who, err = s.known(secret)
	}
	if err != nil {
		s.failures.count(from)
	}
	return who, err
}

// open says that nobody has to show anything.
func (s *Server) open() bool { return s.Tokens == nil && s.Login == nil }

// known finds whose a secret is among what is known here.
func (s *Server) known(secret string) (identity, error) {
	given := sha256.Sum256([]byte(secret))
	if id, _, ok := strings.Cut(strings.TrimPrefix(secret, tokenPrefix), "_"); ok && strings.HasPrefix(secret, tokenPrefix) {
		return s.knownUser(secret, id, given[:])
	}
	var found Token
	matches := 0
	for _, t := range s.fileTokens() { // all of them: the time taken must not tell which
		want := sha256.Sum256([]byte(t.Secret))
		if subtle.ConstantTimeCompare(given[:], want[:]) == 1 && t.Secret != "" {
			found, matches = t, 1
		}
	}
	switch {
	case matches == 1 && found.Agent, strings.HasPrefix(secret, joinTokenPrefix):
		return identity{}, fault.New(fault.Unauthenticated, "this token lets agents in and nobody else: show a user's token (%s…)", tokenPrefix)
	case matches == 1:
		return identity{secret: secret, Write: Write{
			Actor: found.Name, Role: found.Role, Via: ViaFile + found.Name, Restricted: len(found.Workspaces) > 0, Workspaces: found.Workspaces,
		}}, nil
	case s.open(): // nothing is asked for, and this is none of what would count
		return identity{Write: Write{Actor: "unknown", Role: wire.Role_ADMIN, Via: ViaOpen}}, nil
	}
	return identity{}, fault.New(fault.Unauthenticated, "expected a header \"Authorization: Bearer <token>\" with a valid token: log in, or ask an admin for one")
}

// knownUser finds the user whose token it is.
func (s *Server) knownUser(secret, id string, hash []byte) (identity, error) {
	b, ok := s.Backend.Bearer(id)
	if !ok || subtle.ConstantTimeCompare(hash, b.Hash) != 1 {
		return identity{}, fault.New(fault.Unauthenticated, "the token is not valid: it was revoked, is another cluster's, or was not copied as a whole; log in again, or ask an admin for one")
	}
	if b.Ended != "" {
		return identity{}, fault.New(fault.Unauthenticated, "%s: log in again, or ask an admin", b.Ended)
	}
	return identity{secret: secret, tokenID: id, kind: b.Kind, expiresAt: b.ExpiresAt, Write: Write{
		Actor: b.User, Role: b.Role, Restricted: b.Restricted, Workspaces: b.Workspaces, Via: id,
	}}, nil
}

func (s *Server) fileTokens() []Token {
	if s.Tokens == nil {
		return nil
	}
	return s.Tokens()
}

// newWithin is how long a token that is not known here is waited for.
const newWithin = time.Second

// mayBeNew says whether a token may be known to the leader already and not here.
func (s *Server) mayBeNew(secret string) bool {
	return strings.HasPrefix(secret, tokenPrefix) && !s.Backend.Leader().Self
}

// catchUp waits, for a moment, until what is known here is as new as the request
// says it must be, or else as what the leader knows.
func (s *Server) catchUp(c *gin.Context) bool {
	ctx, cancel := context.WithTimeout(c.Request.Context(), newWithin)
	defer cancel()
	index, err := strconv.ParseUint(c.Query("min_index"), 10, 64)
	if err != nil {
		if index, err = s.Backend.ReadIndex(ctx); err != nil {
			return false
		}
	}
	return s.Backend.WaitIndex(ctx, index) == nil
}

// guardRights ends what lasts when whoever asked for it may no more: it calls
// end with why, and stops with ctx.
func (s *Server) guardRights(ctx context.Context, c *gin.Context, end context.CancelCauseFunc) {
	who := asker(c)
	if who.secret == "" {
		return
	}
	least, tick := leastRole[who.Operation], time.NewTicker(s.Recheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now, err := s.known(who.secret)
		if err == nil && now.Role < least {
			err = s.lacks(now.Write, least)
		}
		if err != nil {
			end(err)
			return
		}
	}
}

// asker is what authenticate found.
func asker(c *gin.Context) identity { return c.MustGet(keyIdentity).(identity) }

// bearer is who asks, and what they may.
func bearer(c *gin.Context) Write { return asker(c).Write }

// network is what attempts of an address are counted under: an IPv6 host has
// 2^64 of them.
func network(from string) string {
	ip, err := netip.ParseAddr(from)
	if err != nil || ip.Is4() || ip.Is4In6() {
		return from
	}
	prefix, _ := ip.Prefix(64)
	return prefix.String()
}

// onLoopback refuses requests that name this host otherwise than as itself: where
// nothing has to be shown, a page whose name leads here could ask for everything.
func onLoopback(r *http.Request) error {
	host := r.Host
	if _, _, err := net.SplitHostPort(host); err != nil {
		host = net.JoinHostPort(host, "0")
	}
	if mtls.Loopback(host) {
		return nil
	}
	return fault.New(fault.Denied, "%q is not this host's own name: where nothing has to be shown, ask http://127.0.0.1 or http://localhost", clip(r.Host))
}
