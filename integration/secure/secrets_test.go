package secure

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestSecretsAreNowhere runs a whole story with known secrets wherever there may
// be one, and then looks for them in all that was written by it: the log and its
// snapshots, logs of attempts and of processes, answers, metrics, errors.
func TestSecretsAreNowhere(t *testing.T) {
	dir := t.TempDir()
	own := t.TempDir() // what people and hosts keep for themselves
	secrets := map[string]string{
		"the admin's line":   "admin-9f3kQz71mWbV-line",
		"the agents' line":   "agents-27XbLq0vRtYc-line",
		"a node's variable":  "variable-Kd83nZpW5sQa",
		"a source's, by env": "source-env-T6yHv2MxBq9e",
		"a source's, a file": "source-file-Lw4Jr8NcUz1k",
		"a channel's":        "whsec_Y2hhbm5lbC1zZWNyZXQtUHEzVjh0",
		"a wrong token":      "bft_guessed0_Zq81LmXw55TtRr",
	}
	keep := func(name, text string) string {
		path := filepath.Join(own, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Setenv("DB_PASSWORD", secrets["a node's variable"])
	t.Setenv("BACKFLEET_SECRET_DB", secrets["a source's, by env"])
	t.Setenv("BACKFLEET_SECRET_HOOK", secrets["a channel's"])
	keep("db", secrets["a source's, a file"])
	lines := keep("tokens", fmt.Sprintf("root:%s role=admin\nagents:%s role=agent\n", secrets["the admin's line"], secrets["the agents' line"]))
	root := keep("root", secrets["the admin's line"])

	person := cli{t: t, flags: []string{"--token-file", root}}
	c := members(t, dir, 1, "http://", person, func(id string) []string {
		return []string{"--data", filepath.Join(dir, id), "--token-file", lines, "--log-level", "debug", "--raft-snapshot-entries", "8", "--raft-trailing-entries", "4"}
	})[0]
	person.flags = append(person.flags, "--server", "http://"+c.http)
	said := &transcript{t: t, dir: filepath.Join(dir, "said"), person: person, token: secrets["the admin's line"], server: "http://" + c.http}

	// Tokens are told once, to who asked; from then on they are secrets too.
	const inFacts, inLogs = "this-is-no-secret-of-the-facts", "this-is-no-secret-of-the-logs"
	person.must("user", "set", "dora", "--role", "developer", "--display-name", inFacts)
	told := func(name string, args ...string) string {
		secrets[name] = strings.TrimSpace(person.must(append(args, "-o", "name")...))
		return keep(strings.ReplaceAll(name, " ", "-"), secrets[name])
	}
	doras := told("an access token", "token", "create", "--user", "dora", "--description", "laptop")
	joins := told("a join token", "agent", "token", "create", "--description", "rack 7")
	agentProcess(t, dir, "--coordinators", c.rpc, "--token-file", joins, "--secrets", own, "--environment-inherit", "PATH,DB_PASSWORD", "--log-level", "debug")
	agentNamed(t, dir, "a2", "--coordinators", c.rpc, "--token-file", keep("line", secrets["the agents' line"]), "--log-level", "debug", "--secrets", own, "--environment-inherit", "PATH,DB_PASSWORD")

	// Nodes that show what they know, and sources and a channel that nobody answers.
	closed := free(t, 1)[0]
	host, port, _ := strings.Cut(closed, ":")
	for name, place := range map[string]string{"by-env": `{"environment":"BACKFLEET_SECRET_DB"}`, "by-file": `{"file":"db"}`} {
		said.ask("PUT", "/v1/data-sources/"+name, fmt.Sprintf(`{"type":"mariadb","host":%q,"port":%s,"database":"shop","user":"etl","password":%s}`, host, port, place))
	}
	said.ask("PUT", "/v1/channels/hook", fmt.Sprintf(`{"kind":"webhook","url":"http://%s/in","secret":{"environment":"BACKFLEET_SECRET_HOOK"}}`, closed))
	nodes := t.TempDir()
	for name, text := range map[string]string{
		"shell":    "secrets: [DB_PASSWORD]\ncode: |\n  echo \"" + inLogs + " the password is $DB_PASSWORD\"; echo \"$DB_PASSWORD\" >&2; exit 3\n",
		"sql_env":  "type: sql\nsource: by-env\ncode: select 1\n",
		"sql_file": "type: sql\nsource: by-file\ncode: select 1\n",
	} {
		if err := os.WriteFile(filepath.Join(nodes, name+".yaml"), []byte("id: "+name+"\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	said.run("node", "apply", "-f", nodes)
	for i, name := range []string{"shell", "sql_env", "sql_file"} {
		said.run("backfill", "submit", "--node", name, "--dates", "2012-01-01..2012-01-02", "--wait")
		id := fmt.Sprintf("b%d", i+1)
		log := said.run("instance", "logs", id+".0")
		if name == "shell" && !strings.Contains(log, "the password is ") {
			t.Errorf("the node did not say what it knows: %s", log)
		}
		said.run("instance", "show", id+".0", "-o", "json")
		said.run("instance", "explain", id+".1")
		said.run("backfill", "show", id, "-o", "json")
	}
	said.ask("POST", "/v1/channels/hook/test", "")

	// Who shows what is wrong, or something of the wrong kind, is told so.
	said.as(keep("wrong", secrets["a wrong token"])).run("me")
	said.as(joins).run("me")
	said.as(doras).run("audit", "list")
	said.as(doras).run("me", "-o", "json")
	said.ask("POST", "/v1/sessions", `{"token":"`+secrets["a wrong token"]+`"}`)
	for _, what := range []string{"user", "token", "agent", "agent token", "source", "audit", "node", "backfill"} {
		said.run(append(strings.Fields(what), "list", "-o", "json")...)
	}
	for _, path := range []string{"/metrics", "/v1/events?backfill=b1", "/v1/data-sources", "/v1/channels", "/v1/notifications", "/v1/tokens?user=dora", "/v1/join-tokens", "/v1/audit", "/v1/nodes/shell", "/v1/cluster", "/v1/me"} {
		said.ask("GET", path, "")
	}
	// What may be found is: so the search sees into log, snapshots and logs of attempts.
	open, _ := newHound(t, map[string]string{inFacts: inFacts, inLogs: inLogs}).search(t, filepath.Join(dir, "c1"))
	for text, where := range map[string]string{inFacts + "1": ".wal", inFacts: "snapshots", inLogs: filepath.Join("c1", "logs")} {
		if !slices.ContainsFunc(open, func(l string) bool {
			return strings.HasPrefix(l, strings.TrimSuffix(text, "1")+" in ") && strings.Contains(l, where)
		}) {
			t.Errorf("%s is not found in %s: %q", text, where, open)
		}
	}
	h := newHound(t, secrets)
	leaks, files := h.search(t, dir)
	for _, leak := range leaks {
		t.Error(leak)
	}
	if files < 30 || len(secrets) != 9 {
		t.Errorf("%d files were looked at for %d secrets", files, len(secrets))
	}
}

// transcript keeps all that a person is told in files of their own.
type transcript struct {
	t             *testing.T
	dir           string
	person        cli
	token, server string
	n             int
}

// as is the same transcript for somebody else's commands.
func (s *transcript) as(tokenFile string) *transcript {
	other := *s
	other.dir = filepath.Join(s.dir, filepath.Base(tokenFile))
	other.person.flags = []string{"--token-file", tokenFile, "--server", s.server}
	return &other
}

func (s *transcript) keep(text string) {
	s.t.Helper()
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		s.t.Fatal(err)
	}
	s.n++
	if err := os.WriteFile(filepath.Join(s.dir, fmt.Sprintf("%03d", s.n)), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// run keeps what a command says, however it ends.
func (s *transcript) run(args ...string) string {
	s.t.Helper()
	got := s.person.run(args...)
	s.keep(strings.Join(args, " ") + "\n" + got.out + got.err)
	return got.out
}

// ask keeps what the API answers; of a stream its beginning.
func (s *transcript) ask(method, path, body string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(within(s.t), method, s.server+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	if strings.HasPrefix(answer.Header.Get("Content-Type"), "text/event-stream") {
		line := make([]byte, 64)
		n, _ := answer.Body.Read(line)
		s.keep(path + "\n" + string(line[:n]))
		return
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	s.keep(fmt.Sprintf("%s %s: %s\n%v\n%s", method, path, answer.Status, answer.Header, text))
	if answer.StatusCode >= 500 || answer.StatusCode != http.StatusOK && method != http.MethodPost {
		s.t.Errorf("%s %s: %s %s", method, path, answer.Status, text)
	}
}
