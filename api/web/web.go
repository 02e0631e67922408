// Package web is the Operation Center: the page that each coordinator serves. Its
// source is beside this file, what is built of it (`make web`) in dist, committed,
// so that Go alone builds the whole product.
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed all:dist
var built embed.FS

// policy lets the page load what came with it and nothing else. Its components
// write style elements, hence the one exception.
const policy = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; worker-src 'self' blob:; " +
	"object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// Handler serves the page: its files by their names, and for each other address
// the page itself, which finds the view that the address names. Files with a hash
// in their names are kept by browsers for good, the page is asked for again.
func Handler() (http.Handler, error) {
	dist, err := fs.Sub(built, "dist")
	if err != nil {
		return nil, err
	}
	return Of(dist)
}

// Of serves another build of the page in the same way.
func Of(dist fs.FS) (http.Handler, error) {
	files := map[string]file{}
	err := fs.WalkDir(dist, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(dist, name)
		if err != nil {
			return err
		}
		if plain, ok := strings.CutSuffix(name, ".br"); ok {
			f := files["/"+plain]
			f.brotli = data
			files["/"+plain] = f
			return nil
		}
		sum := sha256.Sum256(data)
		f := files["/"+name]
		f.data, f.tag = data, `"`+hex.EncodeToString(sum[:12])+`"`
		files["/"+name] = f
		return nil
	})
	if err != nil {
		return nil, err
	}
	return handler(files), nil
}

type file struct {
	data, brotli []byte // brotli may be nil
	tag          string
}

type handler map[string]file

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "the page can only be read; the API is described at /docs", http.StatusMethodNotAllowed)
		return
	}
	name, header := path.Clean(r.URL.Path), w.Header()
	f, ok := h[name]
	switch {
	case strings.HasPrefix(name, "/assets/") && ok:
		header.Set("Cache-Control", "public, max-age=31536000, immutable")
	case strings.HasPrefix(name, "/assets/"):
		// Of an older build, asked for by a page that is still open: it reloads.
		http.Error(w, "not a part of this version of the page: load the page again", http.StatusNotFound)
		return
	default:
		if !ok {
			name, f = "/index.html", h["/index.html"]
		}
		header.Set("Cache-Control", "no-cache")
	}
	header.Set("ETag", f.tag)
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "same-origin")
	data := f.data
	if f.brotli != nil {
		header.Add("Vary", "Accept-Encoding")
		if takesBrotli(r) {
			header.Set("Content-Encoding", "br")
			header.Set("ETag", strings.TrimSuffix(f.tag, `"`)+`-br"`)
			data = f.brotli
		}
	}
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(data))
}

// takesBrotli says whether a browser unpacks it; they say so where the connection
// is private.
func takesBrotli(r *http.Request) bool {
	for _, part := range strings.Split(r.Header.Get("Accept-Encoding"), ",") {
		name, quality, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.TrimSpace(name) == "br" {
			return strings.TrimSpace(quality) != "q=0"
		}
	}
	return false
}
