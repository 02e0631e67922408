package state

import (
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"backfleet/pkg/wire"
)

// Decode reads a command of the log. It gives what proto.Unmarshal gives, but
// reads the finishes and grants of a turn by hand: a busy cluster has little else
// in its log, and every coordinator reads all of it. Whatever is not as
// expected is left to proto.Unmarshal, errors and unknown fields too.
func Decode(data []byte) (*wire.Command, error) {
	if c := decodeTurn(data); c != nil {
		return c, nil
	}
	c := &wire.Command{}
	return c, proto.Unmarshal(data, c)
}

const (
	commandTurn  = 12
	turnFinishes = 1
	turnGrants   = 5
)

// decodeTurn reads a command whose body is a turn; nil when it is another one,
// or has something that is not expected.
func decodeTurn(data []byte) *wire.Command {
	var turn []byte
	rest, ok := split(data, func(field protowire.Number, value []byte) bool {
		if field != commandTurn || turn != nil {
			return false
		}
		turn = value
		return true
	})
	if !ok || turn == nil {
		return nil
	}
	c, t := &wire.Command{}, decodeParts(turn)
	if t == nil || proto.Unmarshal(rest, c) != nil || c.Body != nil {
		return nil
	}
	c.Body = &wire.Command_Turn{Turn: t}
	return c
}

func decodeParts(data []byte) *wire.Turn {
	guess := len(data) / 48 // a finish and a grant of one instance
	finishes, grants := make([][]byte, 0, guess), make([][]byte, 0, guess)
	rest, ok := split(data, func(field protowire.Number, value []byte) bool {
		switch field {
		case turnFinishes:
			finishes = append(finishes, value)
		case turnGrants:
			grants = append(grants, value)
		default:
			return false
		}
		return true
	})
	t := &wire.Turn{}
	if !ok || proto.Unmarshal(rest, t) != nil {
		return nil
	}
	if len(finishes) > 0 {
		all := make([]wire.Finish, len(finishes))
		t.Finishes = make([]*wire.Finish, len(finishes))
		for i, b := range finishes {
			if t.Finishes[i] = &all[i]; !decodeFinish(b, &all[i]) {
				return nil
			}
		}
	}
	if len(grants) > 0 {
		all := make([]wire.Grant, len(grants))
		t.Grants = make([]*wire.Grant, len(grants))
		for i, b := range grants {
			if t.Grants[i] = &all[i]; !decodeGrant(b, &all[i], &all[max(0, i-1)]) {
				return nil
			}
		}
	}
	return t
}

// split takes messages and texts out of a message and gives what is left of it;
// false when it cannot be read.
func split(data []byte, take func(field protowire.Number, value []byte) bool) (rest []byte, ok bool) {
	for len(data) > 0 {
		field, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return nil, false
		}
		m := protowire.ConsumeFieldValue(field, kind, data[n:])
		if m < 0 {
			return nil, false
		}
		taken := false
		if kind == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(data[n:])
			taken = take(field, value)
		}
		if !taken {
			rest = append(rest, data[:n+m]...)
		}
		data = data[n+m:]
	}
	return rest, true
}

func decodeFinish(b []byte, f *wire.Finish) bool {
	return numbersAndTexts(b, func(field protowire.Number, v uint64) bool {
		switch field {
		case 1:
			f.Plan = v
		case 2:
			f.Instance = v
		case 3:
			f.Fence = v
		case 4:
			f.Outcome = wire.Outcome(int32(v))
		case 5:
			f.ExitCode = int32(protowire.DecodeZigZag(v & (1<<32 - 1)))
		case 6:
			f.StartedMs = int64(v)
		case 7:
			f.EndedMs = int64(v)
		default:
			return false
		}
		return true
	}, func(field protowire.Number, v []byte) bool {
		switch field {
		case 8:
			f.Cause = string(v)
		case 9:
			m := &wire.Metric{}
			f.Metrics = append(f.Metrics, m)
			return decodeMetric(v, m)
		default:
			return false
		}
		return true
	})
}

func decodeMetric(b []byte, m *wire.Metric) bool {
	return numbersAndTexts(b, func(protowire.Number, uint64) bool { return false }, func(field protowire.Number, v []byte) bool {
		switch field {
		case 1:
			m.Name = string(v)
		case 2:
			m.Value = string(v)
		default:
			return false
		}
		return true
	})
}

// decodeGrant shares texts with the grant before it, which mostly has the same.
func decodeGrant(b []byte, g, before *wire.Grant) bool {
	return numbersAndTexts(b, func(field protowire.Number, v uint64) bool {
		switch field {
		case 1:
			g.Plan = v
		case 2:
			g.Instance = v
		case 5:
			g.Ahead = v != 0
		default:
			return false
		}
		return true
	}, func(field protowire.Number, v []byte) bool {
		switch field {
		case 3:
			g.Agent = same(before.Agent, v)
		case 4:
			g.ResourceGroup = same(before.ResourceGroup, v)
		default:
			return false
		}
		return true
	})
}

func same(before string, v []byte) string {
	if before == string(v) {
		return before
	}
	return string(v)
}

// numbersAndTexts reads a message that has nothing else; false when it does, or
// when a field is not accepted. A message in it is given as a text, if it happens
// to be one: short texts in short messages are.
func numbersAndTexts(b []byte, number func(protowire.Number, uint64) bool, text func(protowire.Number, []byte) bool) bool {
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return false
		}
		b = b[n:]
		switch kind {
		case protowire.VarintType:
			v, n := protowire.ConsumeVarint(b)
			if n < 0 || !number(field, v) {
				return false
			}
			b = b[n:]
		case protowire.BytesType:
			v, n := protowire.ConsumeBytes(b)
			if n < 0 || !utf8.Valid(v) || !text(field, v) {
				return false
			}
			b = b[n:]
		default:
			return false
		}
	}
	return true
}
