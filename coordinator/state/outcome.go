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
	node    uint32 // slot
	took    uint32 // ms; of a success that ran
	cycle   int64
	version uint64
	kind    calendar.Kind
	outcome uint8
	ran     bool
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
			if r := &run[i]; r.node == n.slot && r.ran {
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

// settle puts everything noted into the blocks, node by node.
func (p *past) settle(m *mark) {
	all, ends := p.byNode()
	from := uint32(0)
	for slot, to := range ends {
		if from < to {
			cell := p.nodes.at(m, uint64(slot))
			*cell = (*cell).own(m)
			(*cell).settle(m, all[from:to])
		}
		from = to
	}
	p.noted, p.n = nil, 0
}

// byNode orders what is noted by node, and as it came for each; ends says where
// each node's end. Counting is many times faster than sorting.
func (p *past) byNode() (all []ended, ends []uint32) {
	last := uint32(0)
	for _, run := range p.noted {
		for i := range run {
			last = max(last, run[i].node)
		}
	}
	ends = make([]uint32, last+2)
	for _, run := range p.noted {
		for i := range run {
			ends[run[i].node+1]++
		}
	}
	for i := 1; i < len(ends); i++ {
		ends[i] += ends[i-1]
	}
	all = make([]ended, p.n)
	for _, run := range p.noted {
		for i := range run {
			at := &ends[run[i].node] // from where the node's begin it moves to where they end
			all[*at] = run[i]
			*at++
		}
	}
	return all, ends[:last+1]
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

// settle takes in the ends of one node, in the order in which they came.
func (np *nodePast) settle(m *mark, all []ended) {
	var cells outcomes
	var text *string // of the block in cells
	var at blockKey
	fresh := 0
	for i := range all {
		r := &all[i]
		if k := (blockKey{r.kind, r.cycle >> chunkBits}); text == nil || k != at {
			if text != nil {
				*text = cells.encode()
				cells = outcomes{}
			}
			at, text = k, np.block(m, k)
			cells.decode(*text)
		}
		cells[r.cycle&chunkMask] = outcome{r.outcome, r.version}
		if r.ran {
			fresh++
		}
	}
	*text = cells.encode()
	if fresh > 0 {
		np.took(all, fresh)
	}
}

// took takes in the durations.
func (np *nodePast) took(all []ended, fresh int) {
	keep := min(len(np.durations), max(0, maxDurations-fresh))
	next := append(make([]uint32, 0, min(maxDurations, keep+fresh)), np.durations[len(np.durations)-keep:]...)
	for i := range all {
		if all[i].ran {
			if fresh <= maxDurations {
				next = append(next, all[i].took)
			}
			fresh--
		}
	}
	np.durations = next
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
