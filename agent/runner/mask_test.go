package runner

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// maskWhole is what masking means: of the whole stream at once, each byte that
// belongs to an occurrence of a text is an asterisk, unless it is a newline.
func maskWhole(stream []byte, texts [][]byte) []byte {
	out := bytes.Clone(stream)
	for _, text := range texts {
		for at := range stream {
			if bytes.HasPrefix(stream[at:], text) {
				for i := at; i < at+len(text); i++ {
					if stream[i] != '\n' {
						out[i] = '*'
					}
				}
			}
		}
	}
	return out
}

// inPieces masks a stream that comes in pieces of these lengths, over and over.
func inPieces(t interface{ Fatalf(string, ...any) }, stream []byte, texts [][]byte, lengths []byte) []byte {
	m, longest := masker{texts: texts}, 0
	for _, text := range texts {
		longest = max(longest, len(text))
	}
	var out []byte
	for i, rest := 0, bytes.Clone(stream); len(rest) > 0; i++ {
		n := len(rest)
		if len(lengths) > 0 {
			n = min(n, int(lengths[i%len(lengths)])+1)
		}
		out = append(out, m.add(rest[:n])...)
		if len(m.held) > max(longest-1, 0) {
			t.Fatalf("%d bytes are held back of texts of at most %d", len(m.held), longest)
		}
		rest = rest[n:]
	}
	return append(out, m.rest()...)
}

func FuzzMasksAgreeWithTheWhole(f *testing.F) {
	f.Add([]byte("the key is secret, secret!"), "secret", "key is s", []byte{3})
	f.Add([]byte("aaaaabaaab"), "aab", "aaaa", []byte{0})
	f.Add([]byte("abcdabce"), "abcd", "bc", []byte{1, 0, 2})
	f.Add([]byte("xabcy xab"), "xabcy", "abc", []byte{4, 0})
	f.Add([]byte("one\ntwo\nthree"), "e\nt", "two\nthree", []byte{5})
	f.Add([]byte("\xff\x00\xff\x00\xff"), "\xff\x00\xff", "\x00", []byte{})
	f.Fuzz(func(t *testing.T, stream []byte, one, other string, lengths []byte) {
		if len(stream) > 1<<12 || len(one) > 1<<8 || len(other) > 1<<8 {
			return
		}
		texts := secrets([]string{one, other})
		if got, want := inPieces(t, stream, texts, lengths), maskWhole(stream, texts); !bytes.Equal(got, want) {
			t.Errorf("%q without %q in pieces of %v: got %q, want %q", stream, texts, lengths, got, want)
		}
	})
}

// Few letters, so that texts overlap each other and themselves.
func TestMasksOfOverlappingTexts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		letters := rapid.SampledFrom([]byte("ab\n"))
		word := rapid.Custom(func(t *rapid.T) string { return string(rapid.SliceOfN(letters, 0, 6).Draw(t, "text")) })
		texts := secrets(rapid.SliceOfN(word, 0, 4).Draw(t, "texts"))
		stream := rapid.SliceOfN(letters, 0, 60).Draw(t, "stream")
		lengths := rapid.SliceOfN(rapid.ByteRange(0, 9), 0, 5).Draw(t, "lengths")
		if got, want := inPieces(t, stream, texts, lengths), maskWhole(stream, texts); !bytes.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}

func TestWhatIsMasked(t *testing.T) {
	pem := "-----BEGIN KEY-----\n  MIIEvQIBADANBg\n}\n-----END KEY-----\n"
	for name, c := range map[string]struct {
		texts        []string
		stream, want string
	}{
		"nothing":                      {nil, "secret", "secret"},
		"an empty value":               {[]string{""}, "secret", "secret"},
		"each occurrence":              {[]string{"pw"}, "pw:pw=pwd", "**:**=**d"},
		"the lines of a text of lines": {[]string{pem}, "key: MIIEvQIBADANBg\n}\n", "key: **************\n}\n"},
		"lines stay lines":             {[]string{pem}, pem, strings.Map(func(r rune) rune { return map[bool]rune{true: '\n', false: '*'}[r == '\n'] }, pem)},
		"what only begins like one":    {[]string{"secret"}, "the secr", "the secr"},
	} {
		if got := inPieces(t, []byte(c.stream), secrets(c.texts), nil); string(got) != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

// The log is the same as if all had been masked first, however the output came,
// was flushed, and was handed over to another program.
func TestALogIsMaskedAndHandedOverWhole(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		texts := []string{"hunter2", "hunter2hunter3", "two\nlines of it", strings.Repeat("long", 5000)}
		words := rapid.SampledFrom([]string{"hunter", "2", "hunter2", "hunter3", "\n", "two", "\nlines ", "of it", " and ", texts[3], texts[3][:9000], strings.Repeat("x", 17000)})
		base := filepath.Join(t.TempDir(), "log")
		w := newDirect(base, DefaultLogBytes, texts...)
		var printed [2][]byte
		for range rapid.IntRange(0, 40).Draw(rt, "steps") {
			switch stream := rapid.IntRange(0, 3).Draw(rt, "stream"); stream {
			case 2:
				w.flush(noon)
			case 3:
				w = overAgain(rt, w)
			default:
				word := []byte(words.Draw(rt, "word"))
				printed[stream] = append(printed[stream], word...)
				w.take(stream, word, noon)
			}
		}
		log := w.close(noon, true)
		if len(log) == 0 {
			_, log = readLog(t, base)
		}
		if int(w.files.written) != len(log) {
			rt.Fatalf("%d bytes are counted, %d are there", w.files.written, len(log))
		}
		got := plain(t, log)
		for i := range got {
			want := maskWhole(printed[i], secrets(texts))
			if !bytes.Equal(got[i].Bytes(), want) {
				rt.Fatalf("%s: %q, want %q", streams[i], got[i].Bytes(), want)
			}
		}
	})
}

// overAgain is a log writer that was written down and read again, as between
// two programs.
func overAgain(t interface{ Fatal(...any) }, w *direct) *direct {
	data, err := json.Marshal(w.state())
	if err != nil {
		t.Fatal(err)
	}
	var s LogState
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	w.files.rotate() // its program's descriptors are closed
	return &direct{resumeLog(s)}
}

// A log without secrets costs what it did, and one with some little more.
func BenchmarkMasked(b *testing.B) {
	line := []byte(strings.Repeat("2026-11-22 12:00:00 INFO table dwd_orders: 123456 rows written, 0 rejected\n", 800))
	for name, texts := range map[string][]string{"none": nil, "three": {"s3cr3t-Pa55w0rd", "AKIAIOSFODNN7EXAMPLE", strings.Repeat("MIIE", 400)}} {
		b.Run(name, func(b *testing.B) {
			w := newLog("", 0, texts)
			b.SetBytes(int64(len(line)))
			for b.Loop() {
				w.take(0, line, noon)
				w.handed(w.block)
			}
		})
	}
}

func TestTheSecretsOfAnAttemptAreNotInItsLog(t *testing.T) {
	r := newRunner(t, Config{})
	spec := script(t, `printf 'token=hun'; printf 'ter2 and hun'; printf 'ter2' >&2`)
	spec.Masked = []string{"hunter2"}
	_, log := run(t, r, spec)
	if got := plain(t, log); got[0].String() != "token=******* and hun" || got[1].String() != "ter2" {
		t.Errorf("the log is %q", log)
	}
}
