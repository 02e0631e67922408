package server

import (
	"bytes"
	"cmp"
	"context"
	"crypto/subtle"
	"crypto/x509"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	rpcpeer "google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"backfleet/coordinator/logstore"
	"backfleet/coordinator/state"
	"backfleet/pkg/fault"
	"backfleet/pkg/mtls"
	"backfleet/pkg/wire"
)

// gate decides who may begin a stream of wire.Agents, for which agent, and for
// how long.
type gate struct {
	closed bool       // a secret has to be shown
	file   *tokenFile // nil: there is none
	state  func() *state.State
	reach  func(ctx context.Context, index uint64) error // waits until the state knows an entry of the log
	now    func() time.Time
	era    func() uint64 // generation of the cluster
}

// guest is who began a stream.
type guest struct {
	gate   *gate
	cert   *x509.Certificate     // nil: there is no TLS
	token  string                // id of the join token that it showed; empty: another credential, or none is asked for
	hash   []byte                // of that token: another may come to have its id
	secret string                // of the token file's line that it showed; empty: likewise
	groups []*wire.GroupSlots    // that it has said its agent has
	own    map[logstore.Key]bool // logs that it ships and may
}

// enter lets in who shows a join token that is good, or a secret of the token
// file that is for agents. Where no secrets are set, none is asked for, but one that is
// shown counts.
func (g *gate) enter(ctx context.Context) (*guest, error) {
	who := &guest{gate: g, cert: certificate(ctx)}
	if who.cert != nil {
		if role, _ := mtls.Role(who.cert); role != "" && role != "agent" {
			return nil, status.Errorf(codes.PermissionDenied, "this is for agents, and the certificate is that of %s: expected one with a name %s", owner(who.cert), mtls.AgentName("ID"))
		}
	}
	for _, secret := range shown(ctx) {
		if t, known := g.file.holder(secret); known && !t.Agent {
			return nil, status.Errorf(codes.Unauthenticated, "the secret of %q lets people in and no agents: give the agent a join token (backfleet agent token create), or the secret of a line with role=%s", t.Name, roleAgent)
		} else if known {
			who.secret = secret
			return who, nil
		}
		id, ok := state.TokenID(secret)
		if !ok {
			continue
		}
		st := g.state()
		t, known := st.JoinToken(id)
		if !known || subtle.ConstantTimeCompare(state.TokenHash(secret), t.Token.SecretHash) != 1 {
			return nil, status.Errorf(codes.Unauthenticated, "join token %q is not known: it was revoked, is of another cluster, or was not copied as a whole; ask for a new one", id)
		}
		who.token, who.hash = id, t.Token.SecretHash
		return who, who.stays()
	}
	if g.closed {
		return nil, errNoToken()
	}
	return who, nil
}

// hears checks a message before it is taken in: whom its sender speaks for, and
// whether it still may.
func (w *guest) hears(ctx context.Context, message any) error {
	var err error
	switch m := message.(type) {
	case *wire.AgentMessage:
		if a := m.GetHello().GetAgent(); a != nil {
			err = cmp.Or(w.introduces(a), w.serves(m.GetHello().Generation))
		}
	case *wire.LogChunk:
		err = w.ships(ctx, m)
	}
	if err != nil {
		return err
	}
	return w.stays()
}

// introduces binds an agent to the credentials of its stream. What lets it in is
// not for the agent to say.
func (w *guest) introduces(a *wire.Agent) error {
	if w.cert != nil && !mtls.IsAgent(w.cert, a.Id) {
		return status.Errorf(codes.PermissionDenied, "agent %q came with the certificate of %s: expected one with the name %s, or with no name that ends in .backfleet and the common name %s",
			a.Id, owner(w.cert), mtls.AgentName(a.Id), a.Id)
	}
	a.StartedBy, w.groups = w.token, a.Groups
	return nil
}

// mostOwn bounds what a guest remembers of its logs, and grantWithin how long it
// waits until this coordinator knows of a grant.
const (
	mostOwn     = 4096
	grantWithin = 5 * time.Second
)

// ships refuses logs of attempts that another agent ran, as far as a certificate
// says who this one is: what was once acknowledged is part of the log for good.
// An attempt that nobody knows has no log that could be spoiled.
func (w *guest) ships(ctx context.Context, message *wire.LogChunk) error {
	if w.cert == nil {
		return nil
	}
	if err := w.owns(ctx, logstore.KeyOf(message.GetRef())); err != nil {
		return err
	}
	for _, c := range message.More {
		if err := w.owns(ctx, logstore.KeyOf(c.GetRef())); err != nil {
			return err
		}
	}
	return nil
}

// owns checks a log once.
func (w *guest) owns(ctx context.Context, key logstore.Key) error {
	if w.own[key] {
		return nil
	}
	agent, err := w.gate.ran(ctx, key)
	if err != nil {
		return status.Errorf(codes.Unavailable, "log of attempt %v: it is not known here yet who runs it: %v", key, err)
	}
	if agent != "" && !mtls.IsAgent(w.cert, agent) {
		return status.Errorf(codes.PermissionDenied, "the log of attempt %v came with the certificate of %s, but agent %q ran it", key, owner(w.cert), agent)
	}
	if w.own == nil || len(w.own) >= mostOwn {
		w.own = map[logstore.Key]bool{}
	}
	w.own[key] = true
	return nil
}

// ran tells which agent an attempt was leased to; empty: there is none such. Its
// fence is the index of the grant, which may not have come to this coordinator.
func (g *gate) ran(ctx context.Context, key logstore.Key) (agent string, err error) {
	ctx, cancel := context.WithTimeout(ctx, grantWithin)
	defer cancel()
	if key.Fence > g.state().Index() {
		if err := g.reach(ctx, key.Fence); err != nil {
			return "", err
		}
	}
	st := g.state()
	if l, ok := st.Lease(key.Plan, key.Instance); ok && l.Fence == key.Fence {
		return l.Agent, nil
	}
	p, ok := st.Plan(key.Plan)
	if !ok || key.Instance >= p.Size() {
		return "", nil
	}
	for _, a := range st.Attempts(p, key.Instance) {
		if a.Fence == key.Fence {
			return a.Agent, nil
		}
	}
	return "", nil
}

// stays says whether what was shown still holds the door open.
func (w *guest) stays() error {
	if w.secret != "" {
		if t, known := w.gate.file.holder(w.secret); !known || !t.Agent {
			return status.Error(codes.Unauthenticated, "the secret that let this agent in is not in the coordinators' token file any more: give it another")
		}
	}
	if w.token == "" {
		return nil
	}
	st := w.gate.state()
	if t, known := st.JoinToken(w.token); known && !bytes.Equal(t.Token.SecretHash, w.hash) {
		return status.Errorf(codes.Unauthenticated, "join token %q was revoked, and is another now: ask for it", w.token)
	}
	switch err := st.Admits(w.token, w.groups, w.gate.now().UnixMilli()); fault.CodeOf(err) {
	case "":
		return nil
	case fault.Denied:
		return status.Error(codes.PermissionDenied, err.Error())
	default:
		return status.Error(codes.Unauthenticated, err.Error())
	}
}

// serves refuses an agent that has served a newer generation of the cluster, or
// another cluster: what it runs is of that.
func (w *guest) serves(generation uint64) error {
	if own := w.gate.era(); generation != 0 && generation != own && !wire.Newer(own, generation) {
		return status.Errorf(codes.FailedPrecondition, "the agent has served generation %s, and this coordinator is of %s: it is of another cluster, or of one that was recovered or restored since", wire.GenerationText(generation), wire.GenerationText(own))
	}
	return nil
}

// SendMsg says with a welcome of which generation the cluster is.
func (s guarded) SendMsg(message any) error {
	if m, ok := message.(*wire.LeaderMessage); ok && m.GetWelcome() != nil {
		m.GetWelcome().Generation = s.who.gate.era()
	}
	return s.ServerStream.SendMsg(message)
}

// guarded has each message checked.
type guarded struct {
	grpc.ServerStream
	who *guest
}

// RecvMsg implements grpc.ServerStream.
func (s guarded) RecvMsg(message any) error {
	if err := s.ServerStream.RecvMsg(message); err != nil {
		return err
	}
	return s.who.hears(s.Context(), message)
}

// owner names whose a certificate is.
func owner(cert *x509.Certificate) string {
	if role, id := mtls.Role(cert); role != "" {
		return role + " " + id
	}
	return `"` + cert.Subject.CommonName + `"`
}

// certificate is the caller's, nil without TLS.
func certificate(ctx context.Context) *x509.Certificate {
	if p, ok := rpcpeer.FromContext(ctx); ok {
		if t, ok := p.AuthInfo.(credentials.TLSInfo); ok && len(t.State.PeerCertificates) > 0 {
			return t.State.PeerCertificates[0]
		}
	}
	return nil
}

// shown lists the secrets that came with a call.
func shown(ctx context.Context) (secrets []string) {
	md, _ := metadata.FromIncomingContext(ctx)
	for _, v := range md.Get("authorization") {
		if secret, ok := strings.CutPrefix(v, "Bearer "); ok {
			secrets = append(secrets, secret)
		}
	}
	return secrets
}

func errNoToken() error {
	return status.Error(codes.Unauthenticated, "expected a token of this cluster that is for agents: give "+mtls.FlagToken)
}
