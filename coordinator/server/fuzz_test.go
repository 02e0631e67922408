package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	rpcpeer "google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"backfleet/coordinator/logstore"
	"backfleet/coordinator/state"
	"backfleet/pkg/mtls"
	"backfleet/pkg/wire"
)

// door is a gate with the facts behind it, and what is known of who may pass.
type door struct {
	t        *testing.T
	gate     *gate
	st       *state.State
	now      time.Time
	tokens   map[string]joinable // by id
	lines    []string            // secrets of the token file that are for agents
	visitors []*visitor
}

type joinable struct {
	text    string
	groups  []string
	expires time.Time
}

// visitor is who was let in.
type visitor struct {
	stream grpc.ServerStream
	next   proto.Message
	agent  string // that the certificate is of; empty: there is none
	secret string // that let it in; empty: none
	groups []string
}

// mouth is the stream of a visitor.
type mouth struct {
	grpc.ServerStream
	ctx context.Context
	v   *visitor
}

func (m mouth) Context() context.Context { return m.ctx }

func (m mouth) RecvMsg(into any) error {
	if m.v.next == nil {
		return io.EOF
	}
	proto.Merge(into.(proto.Message), m.v.next)
	return nil
}

// ran are the attempts that agents a1 and a2 ran, one of each over.
var ran = map[logstore.Key]string{}

// factsOfGate are nodes, a backfill, and who ran what of it.
func factsOfGate(f *testing.F) *state.State {
	st := state.New()
	apply := func(c *wire.Command) {
		next, r := st.Apply(st.Index()+1, c)
		if r.Err != nil || len(r.Refused) > 0 {
			f.Fatal(r.Err, r.Refused)
		}
		st = next
	}
	apply(&wire.Command{NowMs: 1, Actor: "ann", Body: &wire.Command_ApplyNodes{ApplyNodes: &wire.ApplyNodes{Nodes: []*wire.Node{{Id: "n", Code: "true", ResourceGroup: "etl"}}}}})
	apply(&wire.Command{NowMs: 1, Actor: "ann", Body: &wire.Command_Submit{Submit: &wire.Submit{
		Request: &wire.Request{Mode: wire.Request_CURRENT, Root: "n", Groups: 4, Dates: []*wire.DateRange{{From: 15000, To: 15003}}},
		Today:   15010, ClusterZone: "UTC", Zones: []*wire.Zone{{Name: "UTC"}},
	}}})
	enter := &wire.Turn{}
	for _, id := range []string{"a1", "a2"} {
		enter.Agents = append(enter.Agents, &wire.Agent{Id: id, Incarnation: "1", State: wire.Agent_READY, Groups: []*wire.GroupSlots{{Group: "etl", Slots: 9}}})
	}
	apply(turn(enter))
	var plan uint64
	st.Plans(0, func(p *state.Plan) bool { plan = p.ID; return false })
	grants := &wire.Turn{}
	for i, id := range []string{"a1", "a2", "a1", "a2"} {
		grants.Grants = append(grants.Grants, &wire.Grant{Plan: plan, Instance: uint64(i), Agent: id, ResourceGroup: "etl"})
		ran[logstore.Key{Plan: plan, Instance: uint64(i), Attempt: 1, Fence: st.Index() + 1}] = id
	}
	apply(turn(grants))
	ends := &wire.Turn{}
	for i := range uint64(2) {
		ends.Finishes = append(ends.Finishes, &wire.Finish{Plan: plan, Instance: i, Fence: st.Index(), Outcome: wire.Outcome_SUCCEEDED, StartedMs: 1, EndedMs: 2})
	}
	apply(turn(ends))
	return st
}

// words are what the fuzzer makes up: what to do, byte by byte.
type words []byte

func (s *words) byte() byte {
	if len(*s) == 0 {
		return 0
	}
	b := (*s)[0]
	*s = (*s)[1:]
	return b
}

func pick[T any](s *words, from ...T) T { return from[int(s.byte())%len(from)] }

func (s *words) groups() []string { return pick(s, nil, []string{"etl"}, []string{"etl", "big"}) }

func (s *words) raw() string {
	n := min(int(s.byte()), len(*s))
	text := string((*s)[:n])
	*s = (*s)[n:]
	return text
}

// write applies a command, and says whether it was taken.
func (d *door) write(c *wire.Command) bool {
	c.Actor, c.NowMs = "ann", d.now.UnixMilli()
	next, r := d.st.Apply(d.st.Index()+1, c)
	d.st = next
	return r.Err == nil
}

const otherSecret = "another-s3cret-for-agents"

// certificates that visitors come with, and the agent that each is of; "-": of nobody who may enter.
var certificates = []struct {
	agent string
	cert  *x509.Certificate
}{
	{"", nil},
	{"a1", &x509.Certificate{DNSNames: []string{mtls.AgentName("a1")}}},
	{"a2", &x509.Certificate{DNSNames: []string{"host.example", mtls.AgentName("a2")}}},
	{"a1", &x509.Certificate{Subject: pkix.Name{CommonName: "a1"}, DNSNames: []string{"host.example"}}},
	{"a2", &x509.Certificate{Subject: pkix.Name{CommonName: "a1"}, DNSNames: []string{mtls.AgentName("a2")}}},
	{"-", &x509.Certificate{Subject: pkix.Name{CommonName: "a1"}, DNSNames: []string{mtls.CoordinatorName("a1")}}},
	{"-", &x509.Certificate{Subject: pkix.Name{CommonName: "a1"}, DNSNames: []string{mtls.ClientName("a1")}}},
	{"-", &x509.Certificate{DNSNames: []string{mtls.AgentName("a1"), mtls.CoordinatorName("a1")}}},
}

// step does one thing to the door, or has somebody come or speak.
func (d *door) step(s *words) {
	switch s.byte() % 8 {
	case 0:
		id := pick(s, "t0", "t1")
		x := joinable{text: "bfj_" + id + "_" + pick(s, "s3cret", "s3cret-2"), groups: s.groups()}
		if b := s.byte(); b > 0 {
			x.expires = d.now.Add(time.Duration(b) * time.Second)
		}
		if d.write(joinToken(id, x.text, x.expires, x.groups...)) {
			d.tokens[id] = x
		}
	case 1:
		id := pick(s, "t0", "t1")
		d.write(revocation(id))
		delete(d.tokens, id)
	case 2:
		d.now = d.now.Add(time.Duration(s.byte()) * 700 * time.Millisecond)
	case 3:
		d.refile(pick(s, []string{fileSecret}, nil, []string{fileSecret, otherSecret}))
	case 4, 5:
		d.visit(s)
	default:
		if n := len(d.visitors); n > 0 {
			i := int(s.byte()) % n
			if v := d.visitors[i]; !d.speak(v, s) {
				d.visitors = slices.Delete(d.visitors, i, i+1)
			}
		}
	}
}

// refile gives the token file these lines for agents, and that of an admin.
func (d *door) refile(lines []string) {
	text := "ann:" + annsSecret + "\n"
	for _, secret := range lines {
		text += "agents:" + secret + " role=agent\n"
	}
	tokens, err := readTokens(text)
	if err != nil {
		d.t.Fatal(err)
	}
	d.gate.file.mu.Lock()
	defer d.gate.file.mu.Unlock()
	d.gate.file.tokens, d.lines = tokens, lines
}

// token is the one that a secret is, if it is good at this moment.
func (d *door) token(secret string) (joinable, bool) {
	id, _ := state.TokenID(secret)
	x, ok := d.tokens[id]
	return x, ok && x.text == secret && (x.expires.IsZero() || d.now.Before(x.expires))
}

// good says whether a secret lets in at this moment.
func (d *door) good(secret string) bool {
	_, ok := d.token(secret)
	return ok || slices.Contains(d.lines, secret)
}

// visit has somebody come.
func (d *door) visit(s *words) {
	who := pick(s, certificates...)
	md, decides := metadata.MD{}, ""
	for range s.byte() % 4 {
		secret := pick(s, "bfj_t0_s3cret", "bfj_t0_s3cret-2", "bfj_t1_s3cret", fileSecret, otherSecret, annsSecret, "", "bfj__", "bfj_t0_", "bft_u1_s3cret", "\x00")
		if secret == "\x00" {
			secret = s.raw()
		}
		scheme := pick(s, "Bearer ", "Bearer ", "bearer ", "Basic ", "")
		md.Append("authorization", scheme+secret)
		secret, ok := strings.CutPrefix(scheme+secret, "Bearer ")
		_, isToken := state.TokenID(secret)
		if ok && decides == "" && (isToken || secret == annsSecret || slices.Contains(d.lines, secret)) {
			decides = secret
		}
	}
	ctx := metadata.NewIncomingContext(d.t.Context(), md)
	if who.cert != nil {
		info := credentials.TLSInfo{State: tls.ConnectionState{PeerCertificates: []*x509.Certificate{who.cert}}}
		ctx = rpcpeer.NewContext(ctx, &rpcpeer.Peer{AuthInfo: info})
	}
	may := who.agent != "-" && (d.good(decides) || decides == "" && !d.gate.closed)
	guest, err := d.gate.enter(ctx)
	d.judge(err, may, "who came with %v and the certificate of %q", md, who.agent)
	if err == nil {
		v := &visitor{agent: who.agent, secret: decides}
		v.stream = guarded{mouth{ctx: ctx, v: v}, guest}
		d.visitors = append(d.visitors, v)
	}
}

// judge compares an answer with what is right.
func (d *door) judge(err error, may bool, what string, args ...any) {
	d.t.Helper()
	if (err == nil) != may {
		d.t.Fatalf("%v: may be %v, for "+what, append([]any{err, may}, args...)...)
	}
	if c := status.Code(err); err != nil && (c != codes.Unauthenticated && c != codes.PermissionDenied && c != codes.Unavailable || strings.Contains(err.Error(), "s3cret")) {
		d.t.Errorf("refused with %v", err)
	}
}

// speak has a visitor say something, and tells whether it was heard.
func (d *door) speak(v *visitor, s *words) bool {
	switch s.byte() % 4 {
	case 0:
		m := &wire.AgentMessage{}
		_ = proto.Unmarshal([]byte(s.raw()), m)
		return d.says(v, m)
	case 1:
		return d.says(v, &wire.AgentMessage{Body: &wire.AgentMessage_Report{Report: &wire.Report{Seq: 1}}})
	case 2:
		a := &wire.Agent{Id: pick(s, "a1", "a2", ""), StartedBy: "made-up"}
		for _, g := range s.groups() {
			a.Groups = append(a.Groups, &wire.GroupSlots{Group: g, Slots: 1})
		}
		return d.says(v, &wire.AgentMessage{Body: &wire.AgentMessage_Hello{Hello: &wire.Hello{Agent: a}}})
	default:
		return d.ships(v, s)
	}
}

// holds says whether what let a visitor in still lets it stay.
func (d *door) holds(v *visitor) bool {
	t, isToken := d.token(v.secret)
	if !isToken || len(t.groups) == 0 {
		return v.secret == "" || d.good(v.secret)
	}
	return !slices.ContainsFunc(v.groups, func(g string) bool { return !slices.Contains(t.groups, g) })
}

func (d *door) says(v *visitor, m *wire.AgentMessage) bool {
	may, a := true, m.GetHello().GetAgent()
	if a != nil {
		if may = v.agent == "" || v.agent == a.Id; may {
			v.groups = nil
			for _, g := range a.Groups {
				v.groups = append(v.groups, g.Group)
			}
		}
	}
	v.next = m
	heard := &wire.AgentMessage{}
	err := v.stream.RecvMsg(heard)
	d.judge(err, may && d.holds(v), "%v of the agent %q", m, v.agent)
	id, _ := state.TokenID(v.secret)
	if err == nil && a != nil && heard.GetHello().Agent.StartedBy != id {
		d.t.Errorf("let in by %q, it is heard as started by %q", id, heard.GetHello().Agent.StartedBy)
	}
	return err == nil
}

func (d *door) ships(v *visitor, s *words) bool {
	var keys []logstore.Key
	for key := range ran {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b logstore.Key) int { return int(a.Instance) - int(b.Instance) })
	may := true
	one := func() *wire.LogChunk {
		key := pick(s, keys...)
		switch s.byte() % 8 {
		case 0:
			key.Fence = d.st.Index() + 1 + uint64(s.byte())
			may = may && v.agent == "" // it is not known yet
		case 1:
			key = logstore.Key{Plan: uint64(s.byte()) * 100, Instance: uint64(s.byte()) << 56, Attempt: 1, Fence: 1}
		case 2:
			key.Fence--
		default:
			may = may && (v.agent == "" || v.agent == ran[key])
		}
		return &wire.LogChunk{Ref: key.Ref()}
	}
	c := one()
	for range s.byte() % 3 {
		c.More = append(c.More, one())
	}
	v.next = c
	err := v.stream.RecvMsg(&wire.LogChunk{})
	d.judge(err, may && d.holds(v), "%v of the agent %q", c, v.agent)
	return err == nil
}

// FuzzGate: however tokens come, change, expire and go, and whatever somebody shows
// and says, exactly they are let in and heard who may be, as whom they are, and no
// answer has a secret in it.
func FuzzGate(f *testing.F) {
	for _, s := range []string{
		"\x01\x00\x00\x00\x00\x01\x00\x04\x00\x01\x00\x00\x06\x00\x02\x00\x01\x06\x00\x02\x00\x02",
		"\x00\x00\x00\x00\x01\x09\x04\x01\x01\x00\x00\x06\x00\x02\x00\x01\x02\xff\x06\x00\x01",         // a token, and its end
		"\x01\x00\x00\x00\x00\x00\x04\x00\x01\x00\x00\x01\x00\x00\x00\x01\x00\x00\x06\x00\x01",         // its like comes after it
		"\x01\x04\x01\x01\x03\x00\x06\x00\x03\x00\x03\x00\x06\x00\x03\x01\x03\x00\x03\x01\x06\x00\x01", // logs, and a line that goes
		"\x00\x04\x05\x00\x04\x07\x00\x04\x02\x03\x03\x02\x00\x06\x00\x03\x02\x00\x02\x01\x01\x03\x01",
		"\x01\x04\x00\x01\x0a\x0cbfj_t0_s3cre\x00\x04\x00\x02\x05\x00\x03\x00",
	} {
		f.Add([]byte(s))
	}
	facts := factsOfGate(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		d := &door{t: t, st: facts, now: time.UnixMilli(1_800_000_000_000), tokens: map[string]joinable{}}
		s := words(text)
		d.gate = &gate{era: func() uint64 { return 0 },
			closed: s.byte()&1 == 1,
			// Nobody looks at the disk.
			file:  &tokenFile{log: slog.New(slog.DiscardHandler), checked: time.Now().Add(time.Hour)},
			state: func() *state.State { return d.st },
			reach: func(context.Context, uint64) error { return context.DeadlineExceeded },
			now:   func() time.Time { return d.now },
		}
		d.refile([]string{fileSecret})
		for len(s) > 0 {
			d.step(&s)
		}
	})
}
