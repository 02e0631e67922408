package server

import (
	"cmp"
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"

	"backfleet/pkg/fault"
)

// Places bound how many requests of each class are answered at the same time.
// As many again may wait, for a short time; whatever comes beyond is refused at
// once as fault.Overloaded, and nothing of it is done. What is 0 has its
// default. Health, metrics, the contract and how the cluster stands are never
// refused.
type Places struct {
	Reads   int // default 128
	Heavy   int // previews, receipts, searches, graphs, maps and failures, which may take a core for a while; default 4
	Writes  int // default 32, so that the log's own queue always has room for a turn
	Relief  int // stop, pause, freeze, drain, transfer: places of their own; default 16
	Streams int // followers of events and logs, and downloads, who do not wait; default 1000
	Large   int // bodies of more than 1 MiB; default 2
	Logins  int // of people who have shown nothing yet; default 8
}

// Load is how busy a class of requests is.
type Load struct {
	Class    string
	Limit    int
	Active   int
	Waiting  int
	Refused  uint64 // since the start
	Admitted uint64
}

// Load tells how busy each class is.
func (s *Server) Load() []Load {
	var out []Load
	for _, g := range s.gates.all() {
		out = append(out, Load{
			Class: g.class, Limit: cap(g.places), Active: len(g.places), Waiting: int(g.waiting.Load()),
			Refused: g.refused.Load(), Admitted: g.admitted.Load(),
		})
	}
	return out
}

// gate is a bounded number of places, before which a bounded number waits for a
// bounded time.
type gate struct {
	class    string
	what     string // in words
	patience time.Duration
	after    int // seconds that who is refused should wait
	places   chan struct{}
	queue    int32
	waiting  atomic.Int32
	refused  atomic.Uint64
	admitted atomic.Uint64
}

func newGate(class, what string, places int, patience time.Duration, after int) *gate {
	g := &gate{class: class, what: what, patience: patience, after: after, places: make(chan struct{}, places), queue: int32(places)}
	if patience == 0 {
		g.queue = 0
	}
	return g
}

// enter takes a place, waiting for one if need be; false: there was none, or
// ctx ended.
func (g *gate) enter(ctx context.Context) bool {
	select {
	case g.places <- struct{}{}:
		g.admitted.Add(1)
		return true
	default:
	}
	if g.waiting.Add(1) > g.queue {
		g.waiting.Add(-1)
		g.refused.Add(1)
		return false
	}
	defer g.waiting.Add(-1)
	timer := time.NewTimer(g.patience)
	defer timer.Stop()
	select {
	case g.places <- struct{}{}:
		g.admitted.Add(1)
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	g.refused.Add(1)
	return false
}

func (g *gate) leave() { <-g.places }

func (g *gate) err() error {
	return fault.New(fault.Overloaded, "this coordinator answers %d %s at a time and cannot take more now; nothing was done: send the request again after %d s, with the same %s if it is a write",
		cap(g.places), g.what, g.after, headerKey)
}

// gates are the classes of requests.
type gates struct{ reads, heavy, writes, relief, streams, large, logins *gate }

func newGates(l Places) *gates {
	const short, long = time.Second, 5 * time.Second
	return &gates{
		reads:   newGate("read", "reads", cmp.Or(l.Reads, 128), short, 1),
		heavy:   newGate("heavy", "previews, receipts, searches, graphs, maps and failures", cmp.Or(l.Heavy, 4), long, 3),
		writes:  newGate("write", "writes", cmp.Or(l.Writes, 32), long, 2),
		relief:  newGate("relief", "stops, pauses, freezes and drains", cmp.Or(l.Relief, 16), long, 1),
		streams: newGate("stream", "streams", cmp.Or(l.Streams, 1000), 0, 5),
		large:   newGate("large", "requests of more than 1 MiB", cmp.Or(l.Large, 2), long, 5),
		logins:  newGate("login", "logins", cmp.Or(l.Logins, 8), long, 5),
	}
}

func (g *gates) all() []*gate {
	return []*gate{g.reads, g.heavy, g.writes, g.relief, g.streams, g.large, g.logins}
}

// relieving are the operations that make less work, and must get through when
// there is too much of it.
var relieving = map[string]bool{"stop": true, "pause": true, "freeze": true, "drain": true}

// of is the gate of a request; nil: it passes.
func (g *gates) of(c *gin.Context) *gate {
	p := c.FullPath()
	read := c.Request.Method == "GET"
	switch {
	case !strings.HasPrefix(p, "/v1/"), read && (p == "/v1/cluster" || p == "/v1/login"):
		return nil
	case p == "/v1/sessions":
		return g.logins
	case isStream(c):
		return g.streams
	case p == "/v1/backfills/preview", strings.HasSuffix(p, "/receipt"), strings.HasSuffix(p, "/logs/search"),
		p == "/v1/graph", strings.HasSuffix(p, "/map"), strings.HasSuffix(p, "/failures"):
		return g.heavy
	case read:
		return g.reads
	case p == "/v1/cluster/transfer", operates(p), relieving[p[strings.LastIndexByte(p, '/')+1:]]:
		return g.relief
	default:
		return g.writes
	}
}

// operates says that the body tells what is to be done.
func operates(path string) bool { return strings.HasSuffix(path, "/operate") }

// admit lets a request in, or refuses it while there are too many of its class.
func (s *Server) admit(c *gin.Context) {
	g := s.gates.of(c)
	if g == nil {
		return
	}
	if !s.enter(c, g) {
		return
	}
	held := g
	defer func() {
		if held != nil {
			held.leave()
		}
	}()
	if operates(c.FullPath()) {
		// Who only wants to stop something keeps the place in the reserve. What
		// else is wanted changes to the writes once it has been read.
		c.Set(keySorted, func(body []byte) bool {
			var asked struct{ Operation string }
			if json.Unmarshal(body, &asked) != nil || relieving[asked.Operation] {
				return true
			}
			held.leave()
			held = nil
			if !s.enter(c, s.gates.writes) {
				return false
			}
			held = s.gates.writes
			return true
		})
	}
	c.Next()
}

// admitLogin takes one of the places of logins, for a page that is not of the
// contract.
func (s *Server) admitLogin(c *gin.Context) {
	c.Set(keyIdentity, identity{Write: Write{From: s.from(c)}})
	if !s.enter(c, s.gates.logins) {
		return
	}
	defer s.gates.logins.leave()
	c.Next()
}

// enter takes a place at a gate or refuses the request.
func (s *Server) enter(c *gin.Context, g *gate) bool {
	if g.enter(c.Request.Context()) {
		return true
	}
	c.Header(headerRetryAfter, strconv.Itoa(g.after))
	s.fail(c, g.err())
	return false
}
