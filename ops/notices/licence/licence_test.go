package licence

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/licenseclassifier/v2/assets"
)

// text is a licence as its authors published it.
func text(t *testing.T, name string) []byte {
	t.Helper()
	b, err := assets.ReadLicenseFile("License/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWhatMayBeLinked(t *testing.T) {
	c, err := assets.DefaultClassifier()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	inner := filepath.Join(folder, "inner", "deep")
	if err := os.MkdirAll(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	mit, gpl := text(t, "MIT/pristine.txt"), text(t, "GPL-2.0/license.txt")
	for name, content := range map[string][]byte{"LICENSE": mit, "main.go": gpl, "inner/NOTICE": []byte("by somebody"), "inner/deep/LICENSE.txt": mit} {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files, err := read(folder, inner)
	if err != nil || len(files) != 3 {
		t.Fatalf("found %v, %v", files, err)
	}
	for name, one := range map[string]struct {
		notices []notice
		says    string
	}{
		"its own and those of its folders": {files, ""},
		"none":                             {nil, "module x/y: no file says its licence"},
		"a notice alone":                   {[]notice{{name: "NOTICE", text: []byte("by somebody")}}, "no file says its licence"},
		"one beside another":               {[]notice{{name: "LICENSE", text: mit}, {name: "sub/COPYING", text: gpl}}, "module x/y: sub/COPYING is under GPL-2.0: expected one of"},
	} {
		m := &module{path: "x/y", version: "v1", notices: one.notices}
		err := classify([]*module{m}, func(b []byte) []string { return licences(c, b) })
		if (err == nil) != (one.says == "") || err != nil && !strings.Contains(err.Error(), one.says) {
			t.Errorf("%s: %v, expected %q", name, err, one.says)
		}
	}
	var out bytes.Buffer
	m := &module{path: "x/y", version: "v1", notices: files}
	if err := classify([]*module{m}, func(b []byte) []string { return licences(c, b) }); err != nil {
		t.Fatal(err)
	}
	if err := write(&out, []*module{m}); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.Contains(got, "\nx/y v1: MIT\n") || strings.Count(got, string(mit)) != 1 || !strings.Contains(got, "by somebody") {
		t.Errorf("wrote %s", got)
	}
}

func TestWhatThePageMayHave(t *testing.T) {
	c, err := assets.DefaultClassifier()
	if err != nil {
		t.Fatal(err)
	}
	for content, says := range map[string]string{
		`[{"name":"a","version":"1.0.0","identifier":"MIT"}]`:              "",
		`[{"name":"a","version":"1.0.0","identifier":"GPL-3.0-or-later"}]`: "module npm a: what it says of itself is under GPL-3.0-or-later",
		`[{"name":"a","version":"1.0.0"}]`:                                 "no file says its licence",
	} {
		file := filepath.Join(t.TempDir(), "licenses.json")
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		packages, err := bundled(file)
		if err != nil {
			t.Fatal(err)
		}
		err = classify(packages, func(b []byte) []string { return licences(c, b) })
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, expected %q", content, err, says)
		}
	}
}
