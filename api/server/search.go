package server

import (
	"cmp"
	"context"
	"net/http"
	"regexp"
	"regexp/syntax"

	"github.com/gin-gonic/gin"

	v1 "backfleet/api/v1"
	"backfleet/pkg/cri"
	"backfleet/pkg/fault"
)

// Bounds of one search of a log.
const (
	searchBytes   = 8 << 20  // of the log that are looked at
	searchLine    = 64 << 10 // of a line that is searched in one go
	searchAnswer  = 4 << 20  // of text in the answer, about
	searchText    = 1000     // of what is searched for
	searchProgram = 5000     // steps of a regular expression
	matchLimit    = 100      // lines, when the caller does not say
	matchesMost   = 1000
	contextMost   = 100
)

func (h handlers) SearchLog(c *gin.Context, id v1.InstanceID, p v1.SearchLogParams) {
	ref, err := logRef(id, p.Attempt, p.Stream)
	switch {
	case err != nil:
	case p.Context < 0 || p.Context > contextMost:
		err = fault.Field("context", "%d lines were asked for: expected 0 to %d", p.Context, contextMost)
	case p.Limit < 0 || p.Limit > matchesMost:
		err = fault.Field("limit", "%d lines were asked for: expected 1 to %d", p.Limit, matchesMost)
	}
	if err != nil {
		h.fail(c, err)
		return
	}
	pattern, err := searchPattern(p.Text, p.Regex, p.IgnoreCase)
	if err != nil {
		h.fail(c, err)
		return
	}
	f := &finder{
		pattern: pattern, stream: p.Stream, context: p.Context, limit: cmp.Or(p.Limit, matchLimit), from: p.Offset, next: p.Offset,
		joiner: cri.NewJoiner(searchLine), begun: map[cri.Stream]uint64{},
	}
	result, err := h.search(c.Request.Context(), ref, f)
	h.reply(c, http.StatusOK, result, err)
}

// searchPattern compiles what is searched for. Go's expressions take time in
// proportion to the text and to their own length; the latter is bounded here.
func searchPattern(text string, isRegex, ignoreCase bool) (*regexp.Regexp, error) {
	switch {
	case text == "":
		return nil, fault.Field("text", "it is missing: expected what to search for")
	case len(text) > searchText:
		return nil, fault.Field("text", "it has %d bytes: expected at most %d", len(text), searchText)
	case !isRegex:
		text = regexp.QuoteMeta(text)
	}
	if ignoreCase {
		text = "(?i:" + text + ")"
	}
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, fault.Field("text", "it is not a regular expression: %s", err)
	}
	if program, err := syntax.Compile(tree.Simplify()); err != nil || len(program.Inst) > searchProgram {
		return nil, fault.Field("text", "the regular expression is too large when its repetitions are written out: expected a simpler one")
	}
	pattern, err := regexp.Compile(text)
	if err != nil {
		return nil, fault.Field("text", "it is not a regular expression: %s", err)
	}
	return pattern, nil
}

// search looks through a log from an offset until there are as many matches as
// wanted, a bounded part was looked at, or there is nothing more.
func (h handlers) search(ctx context.Context, ref LogRef, f *finder) (*v1.LogSearch, error) {
	offset := f.from
	if f.context > 0 { // lines before the first match
		offset -= min(offset, searchLine)
	}
	split := splitFrom(offset)
	for looked := 0; ; {
		got, err := h.Backend.ReadLog(ctx, ref, offset, logLimit)
		if err != nil {
			return nil, err
		}
		ref.Attempt = got.Attempt // a retry meanwhile must not mix two logs
		pieces := split.add(got)
		if got.Complete {
			pieces = append(pieces, split.rest()...)
		}
		for _, p := range ofStream(pieces, f.stream) {
			if f.add(p); f.done() {
				break
			}
		}
		offset = got.Offset + uint64(len(got.Data))
		looked += len(got.Data)
		atEnd := got.Complete || len(got.Data) == 0
		if atEnd && !f.full {
			f.rest()
		}
		bounded := looked >= searchBytes && (len(f.begun) == 0 || looked >= 2*searchBytes)
		if !f.done() && !atEnd && !bounded {
			continue
		}
		out := &f.out
		out.Attempt, out.Size = int(got.Attempt), got.Size
		if out.Next = f.next; !f.full {
			out.Next = max(out.Next, split.next) // behind what other streams wrote, too
		}
		out.Complete = got.Complete && out.Next >= offset
		out.Incomplete = !out.Complete && (f.full || !atEnd)
		return out, nil
	}
}

// finder takes the pieces of a log in their order, joins them to lines, and
// keeps those that match with the lines around them.
type finder struct {
	pattern *regexp.Regexp
	stream  v1.LogStream
	context int
	limit   int
	from    uint64 // what begins before is only there to be shown around a match

	joiner *cri.Joiner
	begun  map[cri.Stream]uint64 // lines whose last piece has not come: where they begin
	next   uint64                // behind the last line that was searched
	before []v1.LogLine          // the last lines that are in no passage
	apart  bool                  // there are others between them and the last passage
	after  int                   // lines still to be shown after the last match
	full   bool                  // no more matches are taken
	bytes  int                   // of text in the answer
	out    v1.LogSearch
}

// done says that no further line can change the answer.
func (f *finder) done() bool { return f.full && f.after == 0 }

func (f *finder) add(p piece) {
	if p.offset < f.from {
		f.show(logLine(p.offset, p.Line))
		return
	}
	if _, open := f.begun[p.Stream]; !open {
		f.begun[p.Stream] = p.offset
	}
	if line, whole := f.joiner.Add(p.Line); whole {
		f.line(line, p.end)
	}
}

// rest takes lines as they are whose last piece has not come.
func (f *finder) rest() {
	for _, s := range []cri.Stream{cri.Stdout, cri.Stderr} {
		if line, open := f.joiner.Rest(s); open {
			f.line(line, f.next)
		}
	}
}

func (f *finder) line(l cri.Line, end uint64) {
	offset := f.begun[l.Stream]
	delete(f.begun, l.Stream)
	if f.full {
		f.show(logLine(offset, l)) // the next search asks whether it matches
		return
	}
	f.next = max(f.next, end)
	switch {
	case f.pattern.Match(l.Text):
		f.found(logLine(offset, l))
	case f.context > 0:
		f.show(logLine(offset, l))
	default:
		f.apart = true
	}
}

func (f *finder) found(l v1.LogLine) {
	if f.apart || len(f.out.Passages) == 0 {
		f.out.Passages = append(f.out.Passages, v1.LogPassage{})
	}
	for _, b := range f.before {
		f.put(b)
	}
	l.Match = true
	f.put(l)
	f.before, f.apart, f.after = nil, false, f.context
	f.out.Matches++
	if f.full = f.out.Matches == f.limit || f.bytes >= searchAnswer; f.bytes >= searchAnswer {
		f.after = 0
	}
}

// show takes a line that is in the answer only if one near it matches.
func (f *finder) show(l v1.LogLine) {
	if f.after > 0 {
		f.put(l)
		f.after--
		return
	}
	if f.before = append(f.before, l); len(f.before) > f.context {
		f.before, f.apart = f.before[1:], true
	}
}

func (f *finder) put(l v1.LogLine) {
	last := &f.out.Passages[len(f.out.Passages)-1]
	last.Lines = append(last.Lines, l)
	f.bytes += len(l.Text)
}
