// Package trace names the traces and spans of attempts. Every id follows from
// the facts of what it is of, so leaders and agents agree on them without a word, and
// a leader that comes after another goes on in the same traces. The ids are those
// of W3C Trace Context; who makes spans of them is elsewhere.
package trace

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"strconv"
	"strings"

	"google.golang.org/grpc/metadata"

	"backfleet/pkg/calendar"
)

// ID names a trace.
type ID [16]byte

// SpanID names a span of a trace.
type SpanID [8]byte

// Kind is what a span is of. The numbers are in the ids and are never reused.
type Kind byte

// The spans of a backfill's own trace, of a date's, and of a change of leaders.
const (
	Submit   Kind = iota + 1 // a request, from its arrival to its commit
	Build                    // the plan of it
	Date                     // root of a date's trace
	Wait                     // an instance, from ready to granted
	Attempt                  // from its grant to its result
	Handover                 // from its grant to its process
	Process                  // what the parent of an attempt's own spans is
	Settle                   // from the end of its process to its result
	Failover                 // from the last sign of a leader to the next one
	Call                     // Submit as the caller's trace has it
)

// Cluster is what all ids of a cluster's traces begin with, and which part of
// its dates is traced. The zero Cluster traces nothing.
type Cluster struct {
	Generation uint64
	Ratio      float64 // 0 to 1
}

// On says whether anything is traced.
func (c Cluster) On() bool { return c.Ratio > 0 }

// Backfill is the trace of what is done once for a plan.
func (c Cluster) Backfill(plan uint64) ID { return c.id('b', plan, 0) }

// Date is the trace of all that a plan does for a data timestamp.
func (c Cluster) Date(plan uint64, d calendar.Date) ID { return c.id('d', plan, uint64(int64(d))) }

// Failover is the trace of the begin of a leadership.
func (c Cluster) Failover(term uint64) ID { return c.id('f', term, 0) }

func (c Cluster) id(of byte, a, b uint64) (id ID) {
	copy(id[:], digest([]byte("backfleet trace"), of, c.Generation, a, b))
	return id
}

// Span is a span of a trace. Instance and fence are those of an attempt, else 0.
func (id ID) Span(of Kind, instance, fence uint64) (s SpanID) {
	copy(s[:], digest(id[:], byte(of), instance, fence))
	return s
}

// digest never begins with so many zeros that an id of it were none.
func digest(begin []byte, of byte, numbers ...uint64) []byte {
	text := append(make([]byte, 0, 64), begin...)
	text = append(text, of)
	for _, n := range numbers {
		text = binary.BigEndian.AppendUint64(text, n)
	}
	sum := sha256.Sum256(text)
	sum[0] |= 1
	return sum[:]
}

// Takes says whether a date's trace is among those that are taken: as OpenTelemetry's
// samplers by ratio decide, so that others who sample by the same part keep the same.
func (c Cluster) Takes(id ID) bool {
	return c.Ratio >= 1 || binary.BigEndian.Uint64(id[8:])>>1 < uint64(max(0, c.Ratio)*(1<<63))
}

// Variable is where a process finds what its spans belong to.
const Variable = "TRACEPARENT"

// Parent is the value of Variable, and of a header traceparent, that makes a span the
// parent. A trace that is not taken is named all the same: who goes on with it knows
// not to take it either.
func (c Cluster) Parent(id ID, span SpanID) string {
	flags := "-00"
	if c.Takes(id) {
		flags = "-01"
	}
	return "00-" + hex.EncodeToString(id[:]) + "-" + hex.EncodeToString(span[:]) + flags
}

// header tells an agent, at the begin of its session, how the cluster traces. Without it
// nothing is traced.
const header = "backfleet-trace"

// Header is the header that tells it.
func (c Cluster) Header() metadata.MD {
	if !c.On() {
		return nil
	}
	return metadata.Pairs(header, strconv.FormatUint(c.Generation, 16)+"/"+strconv.FormatFloat(c.Ratio, 'g', -1, 64))
}

// Of reads it; the zero Cluster: there is none.
func Of(md metadata.MD) Cluster {
	for _, text := range md.Get(header) {
		generation, ratio, _ := strings.Cut(text, "/")
		g, err := strconv.ParseUint(generation, 16, 64)
		r, wrong := strconv.ParseFloat(ratio, 64)
		if err == nil && wrong == nil && r > 0 && !math.IsInf(r, 0) {
			return Cluster{g, min(r, 1)}
		}
	}
	return Cluster{}
}
