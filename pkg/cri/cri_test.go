package cri_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	"backfleet/pkg/cri"
)

var moment = time.Date(2026, 11, 22, 3, 14, 15, 123456789, time.UTC)

func TestAppendLineIsTheFormat(t *testing.T) {
	zone := time.FixedZone("east", 8*3600)
	got := cri.AppendLine(nil, moment.In(zone), cri.Stdout, false, []byte("text  with spaces"))
	got = cri.AppendLine(got, moment.Truncate(time.Second), cri.Stderr, true, nil)
	want := "2026-11-22T03:14:15.123456789Z stdout F text  with spaces\n2026-11-22T03:14:15.000000000Z stderr P \n"
	if string(got) != want {
		t.Fatalf("got  %q\nwant %q", got, want)
	}
}

func TestAppendLineDoesNotAllocate(t *testing.T) {
	dst, text := make([]byte, 0, 256), []byte("some text")
	if n := testing.AllocsPerRun(100, func() { dst = cri.AppendLine(dst[:0], moment, cri.Stderr, true, text) }); n != 0 {
		t.Fatalf("%v allocations a line, want 0", n)
	}
}

func TestMalformedLinesSayWhatWasExpected(t *testing.T) {
	for line, want := range map[string]string{
		"":        "a time, a stream, a tag",
		"no time": "a time like",
		"2026-11-22T03:14:15.123456789Z stdin F x":  "stdout or stderr",
		"2026-11-22T03:14:15.123456789Z stdout":     "the tag F or P",
		"2026-11-22T03:14:15.123456789Z stdout X x": "the tag F or P",
		"2026-11-22T03:14:15.123456789Z stdout Fx":  "the tag F or P",
		"0000-01-01T00:00:00+01:00 stdout F x":      "a year",
	} {
		if _, err := cri.ParseLine([]byte(line)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("line %q: error %v, want one with %q", line, err, want)
		}
	}
}

func TestReaderGoesOnAfterABadLineAndEndsClearly(t *testing.T) {
	good := string(cri.AppendLine(nil, moment, cri.Stdout, false, []byte("ok")))
	r := cri.NewReader(strings.NewReader("rubbish\n"+good+"2026-11"), 0)
	if _, err := r.Next(); err == nil {
		t.Fatal("the malformed line was taken")
	}
	if l, err := r.Next(); err != nil || string(l.Text) != "ok" {
		t.Fatalf("after it: %q, %v", l.Text, err)
	}
	if _, err := r.Next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("inside a line: %v, want io.ErrUnexpectedEOF", err)
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Fatalf("at the end: %v, want io.EOF", err)
	}
	r = cri.NewReader(strings.NewReader(strings.Repeat("x", 100000)), 5000)
	if _, err := r.Next(); !errors.Is(err, cri.ErrLineTooLong) {
		t.Fatalf("endless line: %v, want ErrLineTooLong", err)
	}
}

// Any lines, cut into pieces anywhere and the streams mixed, are read and
// joined to what they were, however the bytes arrive.
func TestLinesSurviveSplittingAndJoining(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		texts := map[cri.Stream][]string{}
		var log []byte
		n := rapid.IntRange(0, 20).Draw(t, "pieces")
		open := map[cri.Stream]string{}
		for i := range n {
			stream := rapid.SampledFrom([]cri.Stream{cri.Stdout, cri.Stderr}).Draw(t, "stream")
			text := strings.ReplaceAll(string(rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(t, "text")), "\n", "")
			partial := rapid.Bool().Draw(t, "partial")
			log = cri.AppendLine(log, moment.Add(time.Duration(i)), stream, partial, []byte(text))
			open[stream] += text
			if !partial {
				texts[stream] = append(texts[stream], open[stream])
				open[stream] = ""
			}
		}
		r, j := cri.NewReader(iotest.OneByteReader(bytes.NewReader(log)), 0), cri.NewJoiner(0)
		got := map[cri.Stream][]string{}
		for {
			l, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if whole, ok := j.Add(l); ok {
				got[whole.Stream] = append(got[whole.Stream], string(whole.Text))
			}
		}
		for _, s := range []cri.Stream{cri.Stdout, cri.Stderr} {
			if strings.Join(got[s], "\n") != strings.Join(texts[s], "\n") || len(got[s]) != len(texts[s]) {
				t.Fatalf("%s: got %q, want %q", s, got[s], texts[s])
			}
			if rest, _ := j.Rest(s); string(rest.Text) != open[s] {
				t.Fatalf("%s: unfinished %q, want %q", s, rest.Text, open[s])
			}
			if _, again := j.Rest(s); again {
				t.Fatalf("%s: the unfinished line was given twice", s)
			}
		}
	})
}

func TestJoinerHandsOutALineThatGrowsTooLong(t *testing.T) {
	j := cri.NewJoiner(4)
	piece := cri.Line{Time: moment, Stream: cri.Stdout, Partial: true, Text: []byte("abc")}
	if _, ok := j.Add(piece); ok {
		t.Fatal("handed out below the limit")
	}
	if l, ok := j.Add(piece); !ok || !l.Partial || string(l.Text) != "abcabc" {
		t.Fatalf("at the limit: %+v %v", l, ok)
	}
}

func FuzzParseLine(f *testing.F) {
	f.Add([]byte("2026-11-22T03:14:15.123456789Z stdout F text"))
	f.Add([]byte("2026-11-22T03:14:15+08:00 stderr P "))
	f.Add([]byte("9999-12-31T23:59:59-10:00 stdout F x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if bytes.IndexByte(b, '\n') >= 0 {
			return
		}
		l, err := cri.ParseLine(b)
		if err != nil {
			return
		}
		again := cri.AppendLine(nil, l.Time, l.Stream, l.Partial, l.Text)
		m, err := cri.NewReader(bytes.NewReader(again), len(again)).Next()
		if err != nil || !m.Time.Equal(l.Time) || m.Stream != l.Stream || m.Partial != l.Partial || !bytes.Equal(m.Text, l.Text) {
			t.Fatalf("%q parsed to %+v, written %q, parsed again to %+v, %v", b, l, again, m, err)
		}
	})
}
