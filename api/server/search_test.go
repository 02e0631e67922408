package server_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"backfleet/api/internal/standin"
	"backfleet/api/server"
	v1 "backfleet/api/v1"
	"backfleet/pkg/cri"
	"backfleet/pkg/fault"
)

func (c *contract) search(query string) v1.LogSearch {
	c.t.Helper()
	w := c.ask("GET", "/v1/instances/b1.1/logs/search?"+query, "")
	var out v1.LogSearch
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || w.Code != 200 {
		c.t.Fatalf("%s: %d %s", query, w.Code, w.Body)
	}
	return out
}

// texts writes passages as lines with a bar between, matches with a star.
func texts(s v1.LogSearch) string {
	var passages []string
	for _, p := range s.Passages {
		var lines []string
		for _, l := range p.Lines {
			if l.Match {
				l.Text = "*" + l.Text
			}
			lines = append(lines, l.Text)
		}
		passages = append(passages, strings.Join(lines, ","))
	}
	return strings.Join(passages, "|")
}

func TestSearchFindsLinesWithThoseAround(t *testing.T) {
	c := newContract(t, server.Options{})
	for i := range 30 {
		stream, text := cri.Stdout, fmt.Sprintf("line %02d", i)
		if i%10 == 5 {
			stream, text = cri.Stderr, fmt.Sprintf("Error %02d", i)
		}
		c.backend.WriteLog(stream, false, text)
	}
	c.backend.EndLog()
	for query, want := range map[string]string{
		"text=Error":                                     "*Error 05|*Error 15|*Error 25",
		"text=error":                                     "",
		"text=error&ignoreCase=true&limit=2":             "*Error 05|*Error 15",
		"text=Error&context=1":                           "line 04,*Error 05,line 06|line 14,*Error 15,line 16|line 24,*Error 25,line 26",
		"text=Error 05&context=2":                        "line 03,line 04,*Error 05,line 06,line 07",
		"text=line 0[2-4]&regex=true":                    "*line 02,*line 03,*line 04",
		"text=line 0[24]&regex=true&context=1":           "line 01,*line 02,line 03,*line 04,Error 05",
		"text=line 0[16]&regex=true&context=2":           "line 00,*line 01,line 02,line 03,line 04,Error 05,*line 06,line 07,line 08",
		"text=line 00&context=3":                         "*line 00,line 01,line 02,line 03",
		"text=line 29&context=3":                         "line 26,line 27,line 28,*line 29",
		"text=line .[46]&regex=true&stream=stderr":       "",
		"text=Error&stream=stderr&context=1":             "*Error 05,*Error 15,*Error 25",
		"text=^line 1&regex=true&limit=1&context=1":      "line 09,*line 10,line 11",
		"text=line.29":                                   "",
		"text=.":                                         "",
		"text=Error 25&limit=1":                          "*Error 25",
		"text=0&stream=stderr":                           "*Error 05",
		"text=line 0[1-3]&regex=true&limit=2&context=10": "line 00,*line 01,*line 02,line 03,line 04,Error 05,line 06,line 07,line 08,line 09,line 10,line 11,line 12",
	} {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		got := c.search(q.Encode())
		if texts(got) != want || got.Matches != strings.Count(want, "*") {
			t.Errorf("%s: %d matches, %s\nwanted %s", query, got.Matches, texts(got), want)
		}
		if !got.Complete && !got.Incomplete {
			t.Errorf("%s: neither complete nor incomplete: %+v", query, got)
		}
	}
}

// TestSearchGoesOn: pages of matches together are what one large page has,
// wherever they are cut.
func TestSearchGoesOn(t *testing.T) {
	c := newContract(t, server.Options{})
	for i := range 200 {
		c.backend.WriteLog(cri.Stdout, false, fmt.Sprintf("%03d", i))
	}
	c.backend.EndLog()
	for limit := 1; limit < 9; limit++ {
		var found []string
		offset := uint64(0)
		for {
			page := c.search(fmt.Sprintf("text=7&context=1&limit=%d&offset=%d", limit, offset))
			if page.Matches > limit {
				t.Fatalf("%d matches, at most %d were wanted", page.Matches, limit)
			}
			for _, p := range page.Passages {
				for i, l := range p.Lines {
					if !l.Match {
						continue
					}
					found = append(found, l.Text)
					if i == 0 {
						t.Errorf("limit %d: nothing before %s", limit, l.Text)
					}
				}
			}
			if offset = page.Next; !page.Incomplete {
				break
			}
		}
		if all := strings.Join(found, " "); len(found) != 38 || found[0] != "007" || found[37] != "197" {
			t.Errorf("limit %d: %d found: %s", limit, len(found), all)
		}
	}
}

func TestSearchJoinsLinesThatCameInPieces(t *testing.T) {
	c := newContract(t, server.Options{})
	c.backend.WriteLog(cri.Stdout, true, "permission ")
	c.backend.WriteLog(cri.Stderr, true, "a warning be")
	c.backend.WriteLog(cri.Stdout, false, "denied")
	c.backend.WriteLog(cri.Stderr, false, "side it")
	c.backend.WriteLog(cri.Stdout, true, "never end")
	if got := c.search("text=ion+denied"); texts(got) != "*permission denied" || got.Incomplete || got.Complete {
		t.Errorf("%+v", got)
	}
	if got := c.search("text=beside"); texts(got) != "*a warning beside it" {
		t.Errorf("%+v", got)
	}
	got := c.search("text=never")
	if texts(got) != "*never end" || !got.Passages[0].Lines[0].Partial {
		t.Errorf("%+v", got)
	}
	if more := c.search(fmt.Sprintf("text=never&offset=%d", got.Next)); more.Matches != 0 || more.Next != got.Next {
		t.Errorf("from the end on: %+v", more)
	}
}

// TestSearchIsBounded: a log larger than one call looks at takes several.
func TestSearchIsBounded(t *testing.T) {
	c := newContract(t, server.Options{})
	line := strings.Repeat("x", 60<<10)
	for range 200 { // 12 MB
		c.backend.WriteLog(cri.Stdout, false, line)
	}
	c.backend.WriteLog(cri.Stdout, false, "needle")
	c.backend.EndLog()
	c.backend.Set(func(b *standin.Backend) { b.Piece = 1 << 20 })
	first := c.search("text=needle")
	if !first.Incomplete || first.Complete || first.Matches != 0 || first.Next == 0 || first.Next > 10<<20 {
		t.Fatalf("%+v", first)
	}
	second := c.search(fmt.Sprintf("text=needle&offset=%d", first.Next))
	if second.Incomplete || !second.Complete || second.Matches != 1 {
		t.Errorf("%+v", second)
	}
}

// TestADownloadIsTheBytesThatWereWritten, also those that are no UTF-8, in one
// piece, compressed for who takes that.
func TestADownloadIsTheBytesThatWereWritten(t *testing.T) {
	c := newContract(t, server.Options{})
	var want bytes.Buffer
	for i := range 500 {
		text := fmt.Sprintf("line %d \xff\x00\xfe end", i)
		want.WriteString(text)
		c.backend.WriteLog(cri.Stdout, i%7 == 0, text)
		if i%7 != 0 {
			want.WriteByte('\n')
		}
	}
	c.backend.WriteLog(cri.Stderr, false, "only here")
	c.backend.EndLog()
	const path = "/v1/instances/b1.1/logs/download"
	w := c.ask("GET", path+"?stream=stdout", "")
	if !bytes.Equal(w.Body.Bytes(), want.Bytes()) {
		t.Errorf("got %d bytes, %d were written", w.Body.Len(), want.Len())
	}
	if got := w.Header().Get("Content-Disposition"); got != `attachment; filename="b1.1-attempt-1.log"` {
		t.Errorf("as %s", got)
	}
	packed := c.ask("GET", path+"?stream=stdout", "", "Accept-Encoding", "gzip")
	if packed.Header().Get("Content-Encoding") != "gzip" || packed.Body.Len() >= want.Len()/2 {
		t.Errorf("%d bytes, packed as %q", packed.Body.Len(), packed.Header().Get("Content-Encoding"))
	}
	r, err := gzip.NewReader(packed.Body)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(r); err != nil || !bytes.Equal(text, want.Bytes()) {
		t.Errorf("unpacked %d bytes: %v", len(text), err)
	}
	if text := c.ask("GET", "/v1/instances/b1.1/logs?stream=stdout&limit=4194304", "", "Accept", "text/plain").Body.String(); text != want.String() {
		t.Errorf("a range as text has %d bytes", len(text))
	}
	if w := c.ask("GET", path+"?stream=stderr&timestamps=true", ""); w.Body.String() != "2026-11-22T03:14:15.123456789Z stderr only here\n" {
		t.Errorf("with its time: %q", w.Body)
	}
	if w := c.ask("GET", "/v1/instances/b1.2/logs/download", ""); w.Code != 404 {
		t.Errorf("of no attempt: %d", w.Code)
	}
}

// TestADownloadThatFailsBreaksOff: nobody takes a part for the whole.
func TestADownloadThatFailsBreaksOff(t *testing.T) {
	c := newContract(t, server.Options{})
	for range 1000 {
		c.backend.WriteLog(cri.Stdout, false, "some line of the log")
	}
	reads := 0
	c.backend.Fail = func(call string) error {
		if call == "ReadLog" {
			if reads++; reads > 20 {
				return fault.New(fault.Unavailable, "too few coordinators answer")
			}
		}
		return nil
	}
	h := httptest.NewServer(c.handler)
	defer h.Close()
	r, err := http.Get(h.URL + "/v1/instances/b1.1/logs/download")
	if err != nil {
		return // it broke off before its first bytes had left
	}
	defer r.Body.Close()
	if text, err := io.ReadAll(r.Body); err == nil {
		t.Errorf("%d bytes were taken for the log", len(text))
	}
}
