package channel

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

func hook(change ...func(*wire.Channel)) *wire.Channel {
	c := &wire.Channel{
		Name: "ops", Kind: wire.Channel_WEBHOOK, Url: "https://hooks.example.org/a?b=c", Secret: &wire.Secret{Environment: "BACKFLEET_SECRET_OPS"},
		Headers: []*wire.Assignment{{Name: "X-Team", Value: "data"}, {Name: "Authorization", Value: "Bearer {secret}"}},
	}
	for _, f := range change {
		f(c)
	}
	return c
}

func mail(change ...func(*wire.Channel)) *wire.Channel {
	c := &wire.Channel{Name: "mail", Kind: wire.Channel_EMAIL, To: []string{"ops@example.org"}}
	for _, f := range change {
		f(c)
	}
	return c
}

// fields lists what an error is about.
func fields(err error) string {
	var e *fault.Error
	if !errors.As(err, &e) {
		return ""
	}
	var out []string
	for _, d := range e.Details {
		out = append(out, d.Field)
	}
	return strings.Join(out, " ")
}

func TestR15_6_ChannelsAreChecked(t *testing.T) {
	for _, c := range []*wire.Channel{hook(), mail(), hook(func(c *wire.Channel) { c.Url = "http://[::1]:8080/x/{secret}" })} {
		got, err := Compile(c)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := Compile(got); err != nil || !proto.Equal(got, again) {
			t.Errorf("it does not compile to itself: %v, %v", again, err)
		}
	}
	for want, c := range map[string]*wire.Channel{
		"name kind":             nil,
		"name":                  hook(func(c *wire.Channel) { c.Name = "Ops!" }),
		"url":                   hook(func(c *wire.Channel) { c.Url = "https://ann:hunter2@hooks.example.org/" }),
		"url ":                  hook(func(c *wire.Channel) { c.Url = "ftp://hunter2.example.org" }),
		"url  ":                 hook(func(c *wire.Channel) { c.Url = "https://a.example/" + strings.Repeat("hunter2", 500) }),
		"url   ":                hook(func(c *wire.Channel) { c.Url = "" }),
		"secret":                hook(func(c *wire.Channel) { c.Secret = nil }),
		"secret.environment":    hook(func(c *wire.Channel) { c.Secret = &wire.Secret{Environment: "hunter2"} }),
		"secret.file":           hook(func(c *wire.Channel) { c.Secret = &wire.Secret{File: "../hunter2"} }),
		"secret ":               hook(func(c *wire.Channel) { c.Secret = &wire.Secret{} }),
		"headers.Authorization": hook(func(c *wire.Channel) { c.Headers[1].Value = "Bearer hunter2" }),
		"headers.X-Team":        hook(func(c *wire.Channel) { c.Headers[0].Value = "a\nb" }),
		"headers.x-team":        hook(func(c *wire.Channel) { c.Headers = append(c.Headers, &wire.Assignment{Name: "x-team"}) }),
		"headers.Webhook-Id":    hook(func(c *wire.Channel) { c.Headers = append(c.Headers, &wire.Assignment{Name: "Webhook-Id"}) }),
		"headers.a b":           hook(func(c *wire.Channel) { c.Headers = append(c.Headers, &wire.Assignment{Name: "a b"}) }),
		"to subject":            hook(func(c *wire.Channel) { c.To, c.Subject = []string{"a@b.c"}, "x" }),
		"to":                    mail(func(c *wire.Channel) { c.To = nil }),
		"to[0]":                 mail(func(c *wire.Channel) { c.To = []string{"Ann <ann@example.org>"} }),
		"to[1]":                 mail(func(c *wire.Channel) { c.To = append(c.To, c.To[0]) }),
		"url secret headers":    mail(func(c *wire.Channel) { h := hook(); c.Url, c.Secret, c.Headers = h.Url, h.Secret, h.Headers }),
		"description":           mail(func(c *wire.Channel) { c.Description = strings.Repeat("x", 5000) }),
		"body":                  mail(func(c *wire.Channel) { c.Body = strings.Repeat("x", 20_000) }),
	} {
		_, err := Compile(c)
		if got := fields(err); got != strings.TrimRight(want, " ") || !fault.Is(err, fault.Invalid) {
			t.Errorf("%v: about %q, expected %q", c, got, want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("it repeats a secret: %v", err)
		}
	}
}

func TestWhereTellsNoSecret(t *testing.T) {
	for want, c := range map[string]*wire.Channel{
		"https://hooks.example.org": hook(), "http://h:1": hook(func(c *wire.Channel) { c.Url = "http://h:1?k=hunter2" }), "ops@example.org": mail(),
	} {
		if got := Where(c); got != want {
			t.Errorf("%s, expected %s", got, want)
		}
	}
}

func TestR15_6_TemplatesAreChecked(t *testing.T) {
	for text, want := range map[string]string{
		"{{.Text}":                            `line 1, column 1`,
		"a\nb {{if .Node}}x":                  `line 2, column 3`,
		"{{.Txet}}":                           `line 1, column 3: <.Txet>: can't evaluate field Txet`,
		"a\n  {{.Backfill.Nme}}":              `line 2, column 14`,
		"{{jsn .Text}}":                       `line 1, column 3: there is no function "jsn" (did you mean "json"?)`,
		"{{if eq .Type `x`}}{{jsn .}}{{end}}": `line 1, column 22: there is no function "jsn"`,
		"{{range 1000000000}}{{end}}":         `there are no loops`,
		`{{printf "%999999999d" 1}}`:          `there is no function "printf"`,
		`{{define "x"}}{{end}}`:               `templates within it`,
		`{{template "x"}}`:                    `templates within it`,
		`{{html .Count}}`:                     `line 1, column 8`,
		"{{$a := json .}}" + strings.Repeat("{{$a = json $a}}", 40): "it makes more than 65536 bytes",
		strings.Repeat("{{json .}}", 200):                           "it makes more than 65536 bytes",
	} {
		c := hook(func(c *wire.Channel) { c.Body = text })
		_, err := ParseTemplates(c)
		var e *fault.Error
		if !errors.As(err, &e) || len(e.Details) != 1 || e.Details[0].Field != "body" {
			t.Errorf("%s: %v", clip(text), err)
			continue
		}
		if got := e.Details[0].Where + ": " + e.Details[0].Message; !strings.Contains(got, want) || !strings.HasPrefix(got, "line ") {
			t.Errorf("%s:\n%s\nexpected\n%s", clip(text), got, want)
		}
	}
}

func TestR15_6_WhatTemplatesMake(t *testing.T) {
	d := Sample()
	for text, want := range map[string]string{
		`{"t": {{json .Text}}}`: `{"t": "b12 \"orders, March\": 2 instances have failed, first dwd_orders of 2026-03-02"}`,
		`{{with .Backfill}}{{.Name}} {{.Counts.Failed}}/{{.Counts.Total}}{{end}}{{if gt .Count 1}} many{{else}} one{{end}}`: `orders, March 2/31 many`,
		`{{html "<a>"}} {{upper .Type}} {{len .Node}} {{and .Node .Instance}}`:                                              `&lt;a&gt; FAILURE 10 b12.3`,
	} {
		tt, err := ParseTemplates(hook(func(c *wire.Channel) { c.Body = text }))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := tt.Body(wire.Channel_WEBHOOK, &d); err != nil || got != want {
			t.Errorf("%s makes %s, %v", text, got, err)
		}
	}
	tt, err := ParseTemplates(mail(func(c *wire.Channel) { c.Subject = "a\n{{.Text}}" + strings.Repeat("x", 500) }))
	if err != nil {
		t.Fatal(err)
	}
	if s, err := tt.Subject(&d); err != nil || !strings.HasPrefix(s, "a b12") || len(s) > mostSubject+5 {
		t.Errorf("subject %q, %v", s, err)
	}
	plain, _ := ParseTemplates(mail())
	if s, _ := plain.Subject(&d); !strings.HasPrefix(s, "[backfleet] b12") {
		t.Errorf("subject %q", s)
	}
	text, _ := plain.Body(wire.Channel_EMAIL, &d)
	for _, part := range []string{"Backfill  b12 orders, March\n", "Instances 31: 27 succeeded, 2 failed", "Page      https://backfleet.example/backfills/b12\n"} {
		if !strings.Contains(text, part) {
			t.Errorf("%s\nlacks %q", text, part)
		}
	}
	document, _ := plain.Body(wire.Channel_WEBHOOK, &d)
	var back Data
	if err := json.Unmarshal([]byte(document), &back); err != nil || back != d {
		t.Errorf("%s, %v", document, err)
	}
	test := Data{Version: Version, Type: "test", ID: "n1-x"}
	if document, _ := plain.Body(wire.Channel_WEBHOOK, &test); strings.Contains(document, "backfill") {
		t.Errorf("a test has a backfill: %s", document)
	}
}

// FuzzTemplates: whatever a stranger writes, it is refused or small.
func FuzzTemplates(f *testing.F) {
	for _, s := range []string{"{{.Text}}", "{{if .Node}}{{json .}}{{end}}", "{{$a := upper .Text}}{{$a}}", "{{range .}}", "{{(html .Text | lower).X}}", "{{/* x */}}", "{{1e9}}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tt, err := ParseTemplates(&wire.Channel{Body: text, Subject: text})
		if err != nil {
			return
		}
		d := Sample()
		if out, err := tt.Body(wire.Channel_WEBHOOK, &d); err == nil && len(out) > mostOutput {
			t.Errorf("it makes %d bytes", len(out))
		}
		if s, err := tt.Subject(&d); err == nil && strings.ContainsAny(s, "\r\n") {
			t.Errorf("the subject has lines: %q", s)
		}
	})
}

// FuzzRead: whatever a file holds, it is refused with places, or compiles.
func FuzzRead(f *testing.F) {
	f.Add("name: ops\nkind: webhook\nurl: https://a.example\nsecret: {file: x}\nheaders: {A: b}\n---\nname: m\nkind: email\nto: [a@b.c]\ndisabled: true\n")
	f.Add("secret: hunter2")
	f.Add("a: &x [*x]")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := Read("f.yaml", []byte(text))
		for _, c := range list {
			if again, err := Compile(c); err != nil || !proto.Equal(again, c) {
				t.Errorf("%v: %v", c, err)
			}
		}
		if err == nil && len(list) == 0 {
			t.Error("nothing was read, and nothing is wrong")
		}
	})
}
