package api

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

var release = flag.Bool("release", false, "write testdata/openapi-v1.golden anew, as what the next version is held to")

const golden = "testdata/openapi-v1.golden"

// mustSend begins what a caller has to send. It may become less, and nothing else
// may; of all other lines it is the other way round.
const mustSend = "send "

// TestTheContractOnlyGrows compares the document with what the last release
// promised: nothing that a caller may rely on goes or is narrowed, and nothing
// more has to be sent.
func TestTheContractOnlyGrows(t *testing.T) {
	now, err := promises(Document)
	if err != nil {
		t.Fatal(err)
	}
	if *release {
		if err := os.WriteFile(golden, []byte(strings.Join(now, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	for _, broken := range breaks(strings.Split(strings.TrimSpace(string(text)), "\n"), now) {
		t.Error(broken)
	}
}

// breaks lists what two lists of promises differ in that a caller would notice.
func breaks(before, now []string) (out []string) {
	known := map[string]bool{} // the things that there were, for which no more may be asked
	for _, line := range before {
		if thing, ok := strings.CutPrefix(line, "is "); ok {
			known[thing] = true
		}
		if !strings.HasPrefix(line, mustSend) && !slices.Contains(now, line) {
			out = append(out, "it is not so any more: "+line)
		}
	}
	for _, line := range now {
		rest, ok := strings.CutPrefix(line, mustSend)
		thing, _, _ := strings.Cut(rest, ": ")
		if ok && known[thing] && !slices.Contains(before, line) {
			out = append(out, "this had not to be there before: "+line)
		}
	}
	return out
}

// TestAChangeThatBreaksIsFound tries each kind of it.
func TestAChangeThatBreaksIsFound(t *testing.T) {
	text := string(Document)
	before, err := promises(Document)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"an operation renamed":   {"operationId: listNodes\n", "operationId: allNodes\n"},
		"a path moved":           {"  /v1/cluster:\n", "  /v1/clusters:\n"},
		"a word gone":            {"enum: [hold, continue]", "enum: [hold]"},
		"a field of an answer":   {"        codeVersion: {", "        versionOfCode: {"},
		"another type":           {"datesDone: {type: integer", "datesDone: {type: string"},
		"no longer always there": {"required: [node, codeVersion, downstreams]", "required: [node, codeVersion]"},
		"more to be sent":        {"required: [mode, dates]", "required: [mode, dates, name]"},
		"a parameter gone":       {"name: nodeContains\n", "name: containsNode\n"},
		"a parameter to be sent": {"{name: dryRun, in: query, description", "{name: dryRun, in: query, required: true, description"},
	} {
		if !strings.Contains(text, change[0]) {
			t.Fatalf("%s: the document has no %q", name, change[0])
		}
		now, err := promises([]byte(strings.Replace(text, change[0], change[1], 1)))
		if err != nil {
			t.Fatal(name, err)
		}
		if len(breaks(before, now)) == 0 {
			t.Errorf("%s was not found", name)
		}
	}
	if found := breaks(before, before); len(found) > 0 {
		t.Errorf("no change: %q", found)
	}
}

// promiser reads from a document what callers may rely on, a line each.
type promiser struct {
	root      *yaml.Node
	lines     []string
	sent, got map[string]bool // schemas that requests and that answers have
}

func promises(document []byte) ([]string, error) {
	var tree yaml.Node
	if err := yaml.Unmarshal(document, &tree); err != nil {
		return nil, err
	}
	p := &promiser{root: tree.Content[0], sent: map[string]bool{}, got: map[string]bool{}}
	for path, item := range Entries(Get(p.root, "paths")) {
		for method, o := range Entries(item) {
			p.operation(strings.ToUpper(method)+" "+path, o)
		}
	}
	for name, s := range Entries(Get(Get(p.root, "components"), "schemas")) {
		p.schema(name, s)
	}
	slices.Sort(p.lines)
	return slices.Compact(p.lines), nil
}

func (p *promiser) add(parts ...string) { p.lines = append(p.lines, strings.Join(parts, " ")) }

func (p *promiser) follow(n *yaml.Node) *yaml.Node {
	path, ok := strings.CutPrefix(text(n, "$ref"), "#/")
	if !ok {
		return n
	}
	out := p.root
	for step := range strings.SplitSeq(path, "/") {
		out = Get(out, step)
	}
	return out
}

func (p *promiser) operation(name string, o *yaml.Node) {
	p.add("is", name)
	p.add("called", name+":", text(o, "operationId"))
	for _, one := range list(Get(o, "parameters")) {
		one = p.follow(one)
		p.add("takes", name+":", text(one, "in"), text(one, "name"))
		if text(one, "required") == "true" && text(one, "in") != "path" {
			p.add("send", name+":", text(one, "in"), text(one, "name"))
		}
	}
	body := Get(o, "requestBody")
	if s := Get(Get(Get(body, "content"), "application/json"), "schema"); s != nil {
		p.add("takes", name+":", "body", p.kind(s, p.sent))
		if text(body, "required") == "true" {
			p.add("send", name+":", "body")
		}
	}
	for status, a := range Entries(Get(o, "responses")) {
		for media, content := range Entries(Get(p.follow(a), "content")) {
			p.add("answers", name+":", status, media, p.kind(Get(content, "schema"), p.got))
		}
	}
}

// kind is a schema in a word; those that it leads to are noted as used.
func (p *promiser) kind(s *yaml.Node, used map[string]bool) string {
	if name, ok := strings.CutPrefix(text(s, "$ref"), "#/components/schemas/"); ok {
		if !used[name] {
			used[name] = true
			p.within(p.follow(s), used)
		}
		return name
	}
	p.within(s, used)
	kind := text(s, "type")
	if kind == "array" {
		return "list of " + p.kind(Get(s, "items"), used)
	}
	if f := text(s, "format"); f != "" {
		kind += " " + f
	}
	return kind
}

func (p *promiser) within(s *yaml.Node, used map[string]bool) {
	for _, f := range Entries(Get(s, "properties")) {
		p.kind(f, used)
	}
	for _, one := range list(Get(s, "oneOf")) {
		p.kind(one, used)
	}
}

func (p *promiser) schema(name string, s *yaml.Node) {
	p.add("is", name)
	for _, w := range list(Get(s, "enum")) {
		p.add("word", name+":", w.Value)
	}
	if t := text(s, "type"); t != "object" {
		p.add("kind", name+":", t, text(s, "format"))
	}
	for field, f := range Entries(Get(s, "properties")) {
		p.add("field", name+":", field, p.kind(f, map[string]bool{}))
	}
	for _, f := range list(Get(s, "required")) {
		if p.got[name] {
			p.add("always", name+":", f.Value)
		}
		if p.sent[name] {
			p.add("send", name+":", f.Value)
		}
	}
}
