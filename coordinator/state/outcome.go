package state

import (
	"cmp"
	"encoding/binary"
	"slices"

	"backfleet/pkg/calendar"
	"backfleet/pkg/wire"
)

// What a node's cycles last came to outlives the plans that ran them (RULES
// R2.7). Neighbouring cycles mostly share outcome and version, so 64 of them
// are a text of runs: length, outcome, version. Sixteen such blocks share a
// span, so that a write copies little however long the past is.
//
// Most ends are of a cycle next to one that has just ended. So ends are noted
// first, in order, and put into the blocks when there are many: what is noted
// belongs to the facts as much as what is in the blocks, and snapshots do not
// tell them apart.
type past struct {
	nodes column[*nodePast] // by the node's slot
	noted [][]ended         // not in nodes yet; the newest last
	n     int               // in noted
}

// nodePast is immutable unless it bears the edit's mark.
type nodePast struct {
	owner     *mark
	spans     []*span  // by key
	durations []uint32 // ms of the last successes, the oldest first; never written in place
}

const (
	blocksOfSpan = 16
	maxDurations = 8
	maxNoted     = 16 << 10
	maxNotedRuns = 256
)

// span is a stretch of a node's cycles, as one kind of schedule counts them.
type span struct {
	owner  *mark
	key    blockKey // of its first block
	blocks [blocksOfSpan]string
}

// blockKey is the kind of schedule that counts the cycles, and the number of
// the block.
type blockKey struct {
	kind  calendar.Kind
	block int64
}

func (a blockKey) compare(b blockKey) int {
	return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.block, b.block))
}

func (a blockKey) span() blockKey { return blockKey{a.kind, a.block &^ (blocksOfSpan - 1)} }

// ended is one end of an attempt, or a success by hand.
type ended struct {
	node     uint32 // slot
	outcome  uint8
	took     uint32 // ms; of a success that ran
	ran      bool
	kind     calendar.Kind
	cycle    int64
	version  uint64
	sequence int32 // its place among those noted
}

// cycleOf counts the cycles of a kind of schedule: days, hours or minutes.
func cycleOf(sc calendar.Schedule, d calendar.Date, unix int64) (calendar.Kind, int64) {
	switch sc.Kind {
	case calendar.Hourly:
		return sc.Kind, floorDiv(unix, 3600)
	case calendar.Minutely:
		return sc.Kind, floorDiv(unix, 60)
	default:
		return calendar.Daily, int64(d)
	}
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// LastOutcome is what a node's cycle last came to, in whatever plan, and the
// version of the code that ran; false when it never ran. A success by hand
// counts as one, of version 0; a dry run does not count (RULES R2.7).
func (s *State) LastOutcome(nodeID string, d calendar.Date, unix int64) (o wire.Outcome, version uint64, ok bool) {
	n, found := s.nodes.Get([]byte(nodeID))
	if !found {
		return 0, 0, false
	}
	kind, cycle := cycleOf(n.Schedule, d, unix)
	for i := len(s.past.noted) - 1; i >= 0; i-- {
		run := s.past.noted[i]
		for k := len(run) - 1; k >= 0; k-- {
			if r := &run[k]; r.node == n.slot && r.cycle == cycle && r.kind == kind {
				return wire.Outcome(r.outcome), r.version, true
			}
		}
	}
	var cells outcomes
	cells.decode(s.past.nodes.get(uint64(n.slot)).find(blockKey{kind, cycle >> chunkBits}))
	c := cells[cycle&chunkMask]
	return wire.Outcome(c.outcome), c.version, c.outcome != 0
}

// Durations is how long the last successful attempts of a node took, in
// milliseconds, the oldest first: eight at most.
func (s *State) Durations(nodeID string) []uint32 {
	n, found := s.nodes.Get([]byte(nodeID))
	if !found {
		return nil
	}
	var out []uint32
	if np := s.past.nodes.get(uint64(n.slot)); np != nil {
		out = slices.Clone(np.durations)
	}
	for _, run := range s.past.noted {
		for i := range run {
			if r := &run[i]; r.node == n.slot && r.ran && r.outcome == uint8(wire.Outcome_SUCCEEDED) {
				out = append(out, r.took)
			}
		}
	}
	return out[max(0, len(out)-maxDurations):]
}

// add takes over what an edit noted.
func (p *past) add(m *mark, noted []ended) {
	if len(noted) == 0 {
		return
	}
	p.noted = append(p.noted[:len(p.noted):len(p.noted)], noted)
	if p.n += len(noted); p.n >= maxNoted || len(p.noted) >= maxNotedRuns {
		p.settle(m)
	}
}

// settle puts everything noted into the blocks.
func (p *past) settle(m *mark) {
	all := make([]ended, 0, p.n)
	for _, run := range p.noted {
		all = append(all, run...)
	}
	for i := range all {
		all[i].sequence = int32(i)
	}
	slices.SortFunc(all, func(a, b ended) int {
		return cmp.Or(cmp.Compare(a.node, b.node), cmp.Compare(a.kind, b.kind), cmp.Compare(a.cycle>>chunkBits, b.cycle>>chunkBits),
			cmp.Compare(a.sequence, b.sequence))
	})
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].node == all[0].node {
			n++
		}
		cell := p.nodes.at(m, uint64(all[0].node))
		*cell = (*cell).own(m)
		(*cell).settle(m, all[:n])
		all = all[n:]
	}
	p.noted, p.n = nil, 0
}

// settled is the same past with nothing noted.
func (p past) settled() *past {
	if p.n > 0 {
		p.settle(new(mark))
	}
	return &p
}

func (np *nodePast) own(m *mark) *nodePast {
	switch {
	case np == nil:
		return &nodePast{owner: m}
	case np.owner == m:
		return np
	}
	return &nodePast{owner: m, spans: slices.Clone(np.spans), durations: np.durations}
}

// settle takes in the ends of one node, sorted by block.
func (np *nodePast) settle(m *mark, all []ended) {
	for from := 0; from < len(all); {
		k := blockKey{all[from].kind, all[from].cycle >> chunkBits}
		text := np.block(m, k)
		var cells outcomes
		cells.decode(*text)
		to := from
		for ; to < len(all) && (blockKey{all[to].kind, all[to].cycle >> chunkBits}) == k; to++ {
			cells[all[to].cycle&chunkMask] = outcome{all[to].outcome, all[to].version}
		}
		*text = cells.encode()
		from = to
	}
	np.took(all)
}

// took takes in the durations, in the order in which they came.
func (np *nodePast) took(all []ended) {
	var fresh []ended
	for _, r := range all {
		if r.ran && r.outcome == uint8(wire.Outcome_SUCCEEDED) {
			fresh = append(fresh, r)
		}
	}
	if len(fresh) == 0 {
		return
	}
	slices.SortFunc(fresh, func(a, b ended) int { return cmp.Compare(a.sequence, b.sequence) })
	next := slices.Clip(np.durations)
	for _, r := range fresh[max(0, len(fresh)-maxDurations):] {
		next = append(next, r.took)
	}
	np.durations = slices.Clone(next[max(0, len(next)-maxDurations):])
}

// find gives the text of a block; empty when there is none.
func (np *nodePast) find(k blockKey) string {
	if np == nil {
		return ""
	}
	if i, ok := np.search(k); ok {
		return np.spans[i].blocks[k.block&(blocksOfSpan-1)]
	}
	return ""
}

func (np *nodePast) search(k blockKey) (int, bool) {
	return slices.BinarySearchFunc(np.spans, k.span(), func(s *span, k blockKey) int { return s.key.compare(k) })
}

// block gives the text of a block to write.
func (np *nodePast) block(m *mark, k blockKey) *string {
	i, ok := np.search(k)
	switch {
	case !ok:
		np.spans = slices.Insert(np.spans, i, &span{owner: m, key: k.span()})
	case np.spans[i].owner != m:
		own := *np.spans[i]
		own.owner = m
		np.spans[i] = &own
	}
	return &np.spans[i].blocks[k.block&(blocksOfSpan-1)]
}

// outcome is what one cycle came to; the zero value when it never ran.
type outcome struct {
	outcome uint8
	version uint64
}

type outcomes [chunkSize]outcome

// decode reads what encode wrote.
func (cells *outcomes) decode(text string) {
	b := []byte(text)
	for at := 0; len(b) > 0; {
		n, o := int(b[0]), b[1]
		v, k := binary.Uvarint(b[2:])
		b = b[2+k:]
		for ; n > 0; n-- {
			cells[at] = outcome{o, v}
			at++
		}
	}
}

// encode writes runs of equal cells, without those at the end that never ran.
func (cells *outcomes) encode() string {
	end := chunkSize
	for end > 0 && cells[end-1].outcome == 0 {
		end--
	}
	var room [256]byte
	b := room[:0]
	for from := 0; from < end; {
		to := from + 1
		for to < end && cells[to] == cells[from] {
			to++
		}
		b = append(b, byte(to-from), cells[from].outcome)
		b = binary.AppendUvarint(b, cells[from].version)
		from = to
	}
	return string(b)
}

// soundOutcomes checks a block that came from a snapshot.
func soundOutcomes(b []byte) bool {
	at := 0
	for len(b) > 0 {
		if len(b) < 3 || b[0] == 0 {
			return false
		}
		at += int(b[0])
		_, k := binary.Uvarint(b[2:])
		if k <= 0 || at > chunkSize {
			return false
		}
		b = b[2+k:]
	}
	return true
}
