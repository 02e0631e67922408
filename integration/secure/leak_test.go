package secure

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// hound finds secrets in files, whatever they are called: as they are, in base64
// and hex, and within what is packed with zstd or gzip.
type hound struct {
	names   []string // of the secrets
	needles [][][]byte
}

func newHound(t *testing.T, secrets map[string]string) *hound {
	t.Helper()
	h := &hound{}
	for name, secret := range secrets {
		if len(secret) < 12 {
			t.Fatalf("secret %s is too short to be told from chance", name)
		}
		h.names, h.needles = append(h.names, name), append(h.needles, forms(secret))
	}
	return h
}

// forms are how a secret may be written. In base64 it depends on what stands
// before it: of each of the three ways what is the same whatever surrounds it.
func forms(secret string) [][]byte {
	all := [][]byte{[]byte(secret), []byte(hex.EncodeToString([]byte(secret))), []byte(strings.ToUpper(hex.EncodeToString([]byte(secret))))}
	for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 {
			text := e.EncodeToString(append(make([]byte, before), secret...))
			from := (before*8 + 5) / 6
			if before > 0 {
				from++
			}
			all = append(all, []byte(text[from:len(text)-2]))
		}
	}
	return all
}

// in names the secrets that a text gives away.
func (h *hound) in(text []byte, depth int) (found []string) {
	for i, needles := range h.needles {
		for _, n := range needles {
			if bytes.Contains(text, n) {
				found = append(found, h.names[i])
				break
			}
		}
	}
	if depth == 0 {
		return found
	}
	for _, at := range positions(text, "\x28\xb5\x2f\xfd") {
		r, err := zstd.NewReader(bytes.NewReader(text[at:]), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
		if err == nil {
			found = append(found, h.within(r, depth)...)
			r.Close()
		}
	}
	for _, at := range positions(text, "\x1f\x8b\x08") {
		if r, err := gzip.NewReader(bytes.NewReader(text[at:])); err == nil {
			found = append(found, h.within(r, depth)...)
		}
	}
	return found
}

// within looks at what a reader unpacks, as far as it can be.
func (h *hound) within(r io.Reader, depth int) []string {
	plain, _ := io.ReadAll(io.LimitReader(r, 64<<20))
	if len(plain) == 0 {
		return nil
	}
	return h.in(plain, depth-1)
}

func positions(text []byte, magic string) (all []int) {
	for from := 0; ; {
		at := bytes.Index(text[from:], []byte(magic))
		if at < 0 {
			return all
		}
		all = append(all, from+at)
		from += at + len(magic)
	}
}

// search goes through all files below a folder, the given ones excepted, and
// tells which secret is in which. files is how many it looked at.
func (h *hound) search(t *testing.T, folder string, except ...string) (leaks []string, files int) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		for _, x := range except {
			if path == x {
				return nil
			}
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		for _, name := range h.in(text, 2) {
			leaks = append(leaks, name+" in "+path)
		}
		for _, name := range h.in([]byte(path), 0) {
			leaks = append(leaks, name+" in the name "+path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return leaks, files
}

// TestThePlantedLeakIsFound: a search that finds nothing proves something only if
// it would find what is there.
func TestThePlantedLeakIsFound(t *testing.T) {
	const secret = "planted-Secret?of>the~test"
	h := newHound(t, map[string]string{"planted": secret})
	pack, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer pack.Close()
	var gzipped bytes.Buffer
	z := gzip.NewWriter(&gzipped)
	if _, err := io.WriteString(z, "…"+secret); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	around := func(middle string) []byte { return []byte("\x00some\xffthing " + middle + " and more") }
	texts := map[string][]byte{
		"raw": around(secret), "hex": around(hex.EncodeToString([]byte(secret))), "HEX": around(strings.ToUpper(hex.EncodeToString([]byte(secret)))),
		"zstd": append([]byte("head"), pack.EncodeAll(bytes.Repeat(around(secret), 50), nil)...), "gzip": around(gzipped.String()),
		"gzip in zstd": pack.EncodeAll(gzipped.Bytes(), nil),
	}
	for before := range 3 {
		for name, e := range map[string]*base64.Encoding{"std": base64.StdEncoding, "url": base64.URLEncoding} {
			texts[name+strings.Repeat("+", before)] = around(e.EncodeToString([]byte("xyz"[:before] + secret + "tail")))
		}
	}
	folder := t.TempDir()
	for name, text := range texts {
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
		if found := h.in(text, 2); len(found) == 0 {
			t.Errorf("%s: not found", name)
		}
	}
	if found := h.in(around(secret[1:]), 2); len(found) > 0 {
		t.Errorf("found %v where it is not", found)
	}
	leaks, files := h.search(t, folder, filepath.Join(folder, "raw"))
	if files != len(texts)-1 || len(leaks) < files {
		t.Errorf("%d files, leaks %v", files, leaks)
	}
}
