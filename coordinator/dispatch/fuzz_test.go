package dispatch

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"backfleet/coordinator/state"
	"backfleet/pkg/calendar"
	"backfleet/pkg/plan"
	"backfleet/pkg/wire"
)

// hostile is a coordinator that leads, an honest agent with work, and another
// that says what a script has it say.
type hostile struct {
	t       *testing.T
	d       *Server
	log     *alone
	ctx     context.Context
	honest  *talker
	streams []*talker
	names   map[string]bool // that the hostile one gave itself
	seq     uint64
}

// talker is an agent's stream from the agent's end. What it is told is read at
// once, unless it is deaf.
type talker struct {
	line *line
	hang context.CancelFunc
	over chan error
	work []*wire.AttemptRef
}

func (h *hostile) connect(deaf bool) *talker {
	ctx, cancel := context.WithCancel(h.ctx)
	x := &talker{line: &line{ctx: ctx, in: make(chan *wire.AgentMessage), out: make(chan *wire.LeaderMessage)}, hang: cancel, over: make(chan error, 1)}
	go func() {
		err := h.d.Session(x.line)
		cancel() // as gRPC does
		x.over <- err
	}()
	if !deaf {
		go func() {
			for {
				select {
				case m := <-x.line.out:
					for _, w := range m.GetAssign().GetWork() {
						x.work = append(x.work, w.Ref)
					}
				case <-ctx.Done():
					return
				}
			}
		}()
	}
	return x
}

// say sends a message as it comes over a wire, and waits until all of it is
// done that is done at once.
func (x *talker) say(m *wire.AgentMessage) {
	x.put(m)
	synctest.Wait()
}

// put sends a message, unless nobody takes it in any more.
func (x *talker) put(m *wire.AgentMessage) {
	select {
	case x.line.in <- proto.CloneOf(m):
	case <-x.line.ctx.Done():
	case <-time.After(10 * time.Millisecond):
	}
}

func helloOf(a *wire.Agent, held ...*wire.AttemptRef) *wire.AgentMessage {
	return &wire.AgentMessage{Body: &wire.AgentMessage_Hello{Hello: &wire.Hello{Agent: a, Held: held, Ahead: true, Weights: true}}}
}

func reportOf(r *wire.Report) *wire.AgentMessage {
	return &wire.AgentMessage{Body: &wire.AgentMessage_Report{Report: r}}
}

func agentOf(id string, slots uint32) *wire.Agent {
	return &wire.Agent{Id: id, Incarnation: "i", Host: "h-" + id, Groups: []*wire.GroupSlots{{Group: "default", Slots: slots}}}
}

// begin gives the honest agent four of twenty instances.
func (h *hostile) begin() {
	write := func(c *wire.Command) {
		if _, _, err := h.log.Propose(h.ctx, c); err != nil {
			h.t.Fatal(err)
		}
	}
	write(&wire.Command{Body: &wire.Command_ApplyNodes{ApplyNodes: &wire.ApplyNodes{Nodes: []*wire.Node{{Id: "a", Code: "x"}}}}})
	today := calendar.Date(time.Now().Unix() / 86400)
	zone := plan.WireZone(calendar.ResolveZone(time.UTC, today-100, today+10))
	zone.Name = "UTC"
	write(&wire.Command{Actor: "ann", Body: &wire.Command_Submit{Submit: &wire.Submit{
		Request: &wire.Request{Mode: wire.Request_CURRENT, Root: "a", Groups: 10, Dates: []*wire.DateRange{{From: int32(today) - 20, To: int32(today) - 1}}},
		Today:   int32(today), ClusterZone: "UTC", Zones: []*wire.Zone{zone},
	}}})
	h.honest = h.connect(false)
	h.honest.say(helloOf(agentOf("honest", 4)))
	h.renew()
	if len(h.honest.work) < 4 {
		h.t.Fatalf("the honest agent has %d attempts", len(h.honest.work))
	}
}

// renew keeps the honest agent's leases.
func (h *hostile) renew() {
	h.seq++
	h.honest.say(reportOf(&wire.Report{Seq: h.seq, Renews: true, Held: h.honest.work}))
}

// script is what the fuzzer makes up: what to do, byte by byte.
type script []byte

func (s *script) byte() byte {
	if len(*s) == 0 {
		return 0
	}
	b := (*s)[0]
	*s = (*s)[1:]
	return b
}

func (s *script) bytes(n int) []byte {
	n = min(n, len(*s))
	b := (*s)[:n]
	*s = (*s)[n:]
	return b
}

// ref names an attempt: the honest agent's, an own one, or a made-up one.
func (s *script) ref(h *hostile) *wire.AttemptRef {
	kind := s.byte()
	pool := h.honest.work
	if kind&1 == 1 {
		pool = nil
		for _, x := range h.streams {
			pool = append(pool, x.work...)
		}
	}
	if kind&2 == 2 || len(pool) == 0 {
		return &wire.AttemptRef{Plan: uint64(kind >> 2 & 3), Instance: uint64(s.byte()), Attempt: uint32(s.byte()), Fence: uint64(s.byte())}
	}
	r := proto.CloneOf(pool[int(s.byte())%len(pool)])
	if kind&4 == 4 {
		r.Fence += uint64(kind>>3) - 15
	}
	return r
}

func (s *script) refs(h *hostile, n byte) (out []*wire.AttemptRef) {
	for range n {
		out = append(out, s.ref(h))
	}
	return out
}

// report makes up a report.
func (s *script) report(h *hostile) *wire.Report {
	flags := s.byte()
	r := &wire.Report{Seq: uint64(s.byte()), Renews: flags&1 == 1, Draining: flags&2 == 2, Leaving: flags&4 == 4}
	n := flags >> 3 & 3
	r.Held, r.Started = s.refs(h, n), s.refs(h, n)
	for range flags >> 5 {
		x := &wire.AttemptResult{
			Ref: s.ref(h), Outcome: wire.Outcome(s.byte() % 12), StartedMs: int64(s.byte()) << s.byte(), EndedMs: int64(s.byte()) << s.byte(), SlotMs: int64(s.byte()) << s.byte(),
			Cause: strings.Repeat("é", int(s.byte())*8), Metrics: []*wire.Metric{{Name: string(rune(s.byte()%128)) + "x", Value: "1"}},
		}
		if s.byte() == 7 {
			x.Ref = nil
		}
		r.Results = append(r.Results, x)
	}
	return r
}

// step has the hostile agent do one thing. Only its own names are said: the
// coordinator lets no other through to here (coordinator/server's gate).
func (h *hostile) step(s *script) {
	what := s.byte()
	if what%8 == 0 || len(h.streams) == 0 {
		if len(h.streams) < 4 {
			h.streams = append(h.streams, h.connect(what&8 == 8))
		}
		return
	}
	x := h.streams[int(what>>3)%len(h.streams)]
	switch what % 8 {
	case 1: // whatever protobuf reads
		m := &wire.AgentMessage{}
		if proto.Unmarshal(s.bytes(int(s.byte())<<2), m) != nil {
			return
		}
		if a := m.GetHello().GetAgent(); a != nil {
			if a.Id == "honest" {
				a.Id = "mallory"
			}
			h.names[a.Id] = true
		}
		x.say(m)
	case 2:
		a := agentOf("mallory"+strings.Repeat("y", int(s.byte()%2)), uint32(s.byte())<<(s.byte()%16))
		a.Incarnation, a.Boot, a.State = string('a'+rune(s.byte()%4)), string('a'+rune(s.byte()%2)), wire.Agent_State(s.byte()%6)
		h.names[a.Id] = true
		x.say(helloOf(a, s.refs(h, s.byte()%8)...))
	case 3:
		<-time.After(time.Duration(s.byte()) * 10 * time.Millisecond)
		h.renew()
	case 4:
		x.hang()
		synctest.Wait()
	case 5: // a flood
		r := s.report(h)
		for range s.byte() {
			r.Results = append(r.Results, r.Results...)
			if len(r.Results) == 0 || len(r.Results) > 4*maxFinishes {
				break
			}
		}
		x.say(reportOf(r))
	default:
		x.say(reportOf(s.report(h)))
	}
}

// untouched says that the honest agent is as it was, whatever another said, and
// that nothing of the other's remains in memory.
func (h *hostile) untouched() {
	select {
	case err := <-h.honest.over:
		h.t.Fatalf("the honest agent's stream ended: %v", err)
	default:
	}
	st := h.log.State()
	for _, ref := range h.honest.work {
		if l, ok := st.Lease(ref.Plan, ref.Instance); !ok || l.Fence != ref.Fence || l.Agent != "honest" || l.Stopping {
			h.t.Errorf("the honest agent's lease of %v is now %+v", ref, l)
		}
	}
	st.Agents(func(a *state.Agent) {
		if a.Id == "honest" && (a.Incarnation != "i" || a.State != wire.Agent_READY) {
			h.t.Errorf("the honest agent is now %v", a.Agent)
		}
		if a.Id != "honest" && !h.names[a.Id] {
			h.t.Errorf("nobody said that there is an agent %q", a.Id)
		}
	})
	for _, x := range h.streams {
		x.hang()
	}
	synctest.Wait()
	h.renew()
	<-time.After(100 * time.Millisecond)
	if err := h.d.ask(h.ctx, func(c *Core) {
		if len(c.sessions) != 1 || len(c.inbox.results)+len(c.inbox.started) > 0 {
			h.t.Errorf("%d sessions, %d results and %d starts are left", len(c.sessions), len(c.inbox.results), len(c.inbox.started))
		}
	}); err != nil {
		h.t.Error(err)
	}
}

// finish has the honest agent end what it holds: it is believed.
func (h *hostile) finish() {
	h.seq++
	r := &wire.Report{Seq: h.seq}
	held := h.honest.work
	for _, ref := range held {
		r.Results = append(r.Results, &wire.AttemptResult{Ref: ref, Outcome: wire.Outcome_SUCCEEDED, StartedMs: 1, EndedMs: 2})
	}
	h.honest.say(reportOf(r))
	st := h.log.State()
	for _, ref := range held {
		p, _ := st.Plan(ref.Plan)
		all := st.Attempts(p, ref.Instance)
		if len(all) != int(ref.Attempt) || all[len(all)-1].Fence != ref.Fence || all[len(all)-1].Outcome != wire.Outcome_SUCCEEDED {
			h.t.Errorf("what the honest agent ended as %v is known as %+v", ref, all)
		}
	}
}

// FuzzAgentProtocol: whatever an agent says, on as many streams as it likes,
// another agent's leases, stream and results stay as they are, nothing of what it
// made up stays in memory, and nothing panics.
func FuzzAgentProtocol(f *testing.F) {
	for _, s := range []string{
		"\x00\x02\x00\x08\x00\x00\x00\x00\x00\x06\x09\x01\x00\x00\x00\x00\x00\x00",
		// The results, starts and holdings of another.
		"\x00\x02\x00\x02\x00\x00\x00\x00\x00\x06\xff\x01\x00\x00\x00\x01\x00\x02\x00\x03\x00\x00\x00\x01\x00\x02\x00\x00\x01\x01\x01\x01\x01\x01\x01\x01\x05",
		"\x00\x02\x00\x02\x00\x00\x00\x00\x02\x00\x00\x00\x01\x03\xff\x06\x21\x01\x00\x00\x01",
		"\x08\x02\x01\xff\x08\x01\x01\x01\x00\x05\x39\x07\x01\x00\x01\x01\x01\x02\x01\x00\x01\x01\x01\x02\x02\x00\x00\x04\x00\x00\x02",
		"\x00\x02\x00\x02\x00\x00\x00\x00\x06\x06\x01\x00\x02\x00\x02\x01\x00\x00\x00\x03\x10\x04\x03\xff",
		"\x00\x01\x08\x0a\x10\x0a\x0e\x0a\x06honest\x12\x01i\x2a\x01x",
	} {
		f.Add([]byte(s))
	}
	raw, err := proto.Marshal(helloOf(agentOf("honest", 3), &wire.AttemptRef{Plan: 1}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append([]byte{0, 1, byte(len(raw)/4 + 1)}, append(raw, 3, 3, 3)...))
	f.Fuzz(func(t *testing.T, text []byte) {
		synctest.Test(t, func(t *testing.T) {
			d, log, ctx := leading(t)
			h := &hostile{t: t, d: d, log: log, ctx: ctx, names: map[string]bool{}}
			h.begin()
			for s, steps := script(text), 0; len(s) > 0 && steps < 64; steps++ {
				h.step(&s)
			}
			h.untouched()
			h.finish()
		})
	})
}

// TestAnAgentMakesUpMoreThanItCanHave: a message of more attempts than any agent
// has is refused, and many messages are not kept.
func TestAnAgentMakesUpMoreThanItCanHave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, log, ctx := leading(t)
		h := &hostile{t: t, d: d, log: log, ctx: ctx, names: map[string]bool{"mallory": true}}
		h.begin()
		many := make([]*wire.AttemptRef, maxSaid+1)
		for i := range many {
			many[i] = &wire.AttemptRef{Plan: 7}
		}
		for _, one := range []struct {
			message *wire.AgentMessage
			says    string
		}{
			{helloOf(agentOf("mallory", 1), many...), "holds 100001 attempts: expected 100000 at most"},
			{reportOf(&wire.Report{Renews: true, Held: many}), "a report on 100001 attempts: expected 100000 at most"},
			{reportOf(&wire.Report{Started: many}), "a report on 100001 attempts: expected 100000 at most"},
		} {
			x := h.connect(false)
			if one.message.GetHello() == nil {
				x.say(helloOf(agentOf("mallory", 1)))
			}
			x.say(one.message)
			if err := <-x.over; err == nil || !strings.Contains(err.Error(), one.says) {
				t.Errorf("ended with %v, expected it to say %q", err, one.says)
			}
		}
		// What whoever does not read is told does not fill the memory, and what it
		// says is not heard any more.
		deaf := h.connect(true)
		deaf.say(helloOf(agentOf("mallory", 1)))
		for range 2 * outgoingRefs / maxSaid {
			go deaf.put(reportOf(&wire.Report{Renews: true, Held: many[1:]}))
			<-time.After(verifyEvery)
		}
		h.d.scope.Load().mu.Lock()
		for _, st := range h.d.scope.Load().streams {
			if st.refs > outgoingRefs+maxSaid {
				t.Errorf("%d attempts wait to be told", st.refs)
			}
		}
		h.d.scope.Load().mu.Unlock()
		h.streams = append(h.streams, deaf)
		h.untouched()
		h.finish()
	})
}
