package runner

import (
	"bytes"
	"slices"
	"strings"
)

// leastLine is how long a line of a text of several lines must be to be masked
// by itself: programs print such texts line by line, and shorter ones, like a
// bracket, would mask what is no secret.
const leastLine = 8

// secrets makes of the texts that are to be masked what maskers look for.
func secrets(texts []string) (out [][]byte) {
	add := func(text string, least int) {
		if b := []byte(text); len(b) >= least && !slices.ContainsFunc(out, func(o []byte) bool { return bytes.Equal(o, b) }) {
			out = append(out, b)
		}
	}
	for _, text := range texts {
		add(text, 1)
		if strings.Contains(text, "\n") {
			for line := range strings.Lines(text) {
				add(strings.TrimSpace(line), leastLine)
			}
		}
	}
	return out
}

// masker replaces texts in one stream: each byte of each occurrence becomes an
// asterisk, but newlines stay, so that offsets and lines are what they were. It
// sees texts that come in pieces, because it holds back what may be the
// beginning of one.
type masker struct {
	texts   [][]byte
	held    []byte // the end of what came
	covered int    // so many of the held bytes are of a text that is complete
	room    []byte
	found   []span
}

// span is a range of bytes, from ≤ x < to.
type span struct{ from, to int }

// add takes what comes next in the stream and gives what is ready, until the
// next call. It may write into data.
func (m *masker) add(data []byte) []byte {
	if len(m.held) > 0 {
		m.room = append(append(m.room[:0], m.held...), data...)
		data = m.room
	}
	m.find(data)
	cut := len(data) - m.begun(data)
	m.held = append(m.held[:0], data[cut:]...)
	covered := max(m.covered-cut, 0)
	hide(data[:min(m.covered, cut)])
	for _, s := range m.found {
		if s.from < cut { // the others will be found again
			covered = max(covered, s.to-cut)
			hide(data[s.from:min(s.to, cut)])
		}
	}
	m.covered = covered
	return data[:cut]
}

// rest gives what is held back when the stream has ended.
func (m *masker) rest() []byte {
	m.find(m.held)
	hide(m.held[:m.covered])
	for _, s := range m.found {
		hide(m.held[s.from:s.to])
	}
	rest := m.held
	m.held, m.covered = nil, 0
	return rest
}

// find looks for all occurrences; those of one text that touch are one.
func (m *masker) find(data []byte) {
	m.found = m.found[:0]
	for _, text := range m.texts {
		first := len(m.found)
		for at := 0; ; at++ {
			n := bytes.Index(data[at:], text)
			if n < 0 {
				break
			}
			at += n
			if last := len(m.found) - 1; last >= first && m.found[last].to >= at {
				m.found[last].to = at + len(text)
			} else {
				m.found = append(m.found, span{at, at + len(text)})
			}
		}
	}
}

// begun is the length of the longest end of the data with which a text begins.
func (m *masker) begun(data []byte) (longest int) {
	for _, text := range m.texts {
		end := data[max(0, len(data)-len(text)+1):]
		for len(end) > longest {
			n := bytes.IndexByte(end, text[0])
			if n < 0 {
				break
			}
			if end = end[n:]; bytes.HasPrefix(text, end) {
				longest = max(longest, len(end))
				break
			}
			end = end[1:]
		}
	}
	return longest
}

func hide(b []byte) {
	for i, c := range b {
		if c != '\n' {
			b[i] = '*'
		}
	}
}
