package server

import (
	"context"
	"time"

	"backfleet/coordinator/dispatch"
	"backfleet/coordinator/spans"
	"backfleet/pkg/trace"
)

// openTraces makes what tells of spans, if any are wanted, and gives the facts as the
// log is to apply to them.
func (s *Server) openTraces(ctx context.Context) (facts measuredMachine, err error) {
	facts = measuredMachine{Machine: s.machine, k: s.metrics.keeping}
	if !s.cfg.Traces.On() {
		return facts, nil
	}
	if s.spans, err = s.cfg.Traces.Open(ctx, s.cfg.ID, s.cfg.Version, s.secure, s.metrics.spans, s.cfg.Logger); err != nil {
		return facts, err
	}
	s.tracer = spans.New(s.cfg.ID, s.traced, s.machine, s.cfg.Now, s.spans)
	facts.built = s.tracer.Built
	return facts, nil
}

// traced says what ids follow from and what is taken, for agents too.
func (s *Server) traced() trace.Cluster {
	if s.tracer == nil {
		return trace.Cluster{}
	}
	return trace.Cluster{Generation: s.node.Generation(), Ratio: s.cfg.Traces.Ratio}
}

func (s *Server) turned(t dispatch.Turned) {
	if s.tracer != nil {
		s.tracer.Turned(t)
	}
}

func (s *Server) submitted() func(planID uint64, traceparent string, began time.Time) {
	if s.tracer == nil {
		return nil
	}
	return s.tracer.Submitted
}
