package state

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// newestRecord is the last thing that the audit has.
func (m *machine) newestRecord() (out *wire.AuditRecord) {
	m.t.Helper()
	m.s.Audit(0, func(r *wire.AuditRecord) bool { out = r; return false })
	if out == nil {
		m.t.Fatal("the audit is empty")
	}
	return out
}

func TestR15_4_WhatAPersonDoesIsRecorded(t *testing.T) {
	m := ready(t, daily("a"), daily("b", "a"))
	m.s.Audit(0, func(r *wire.AuditRecord) bool { t.Errorf("the system's own is recorded: %v", r); return true })
	edit := &wire.EditPlan{Plan: 1, Groups: proto.Int32(2)}
	priority := op(wire.Operate_SET_PRIORITY, of(1, 0, 1))
	priority.GetOperate().Priority = 8
	many := op(wire.Operate_FREEZE, of(1, 0, 1, 2, 3), of(2, 0, 1, 2, 3, 4, 5, 6, 7))
	b2 := daily("b", "a")
	b2.Code = "echo 2"
	remove := &wire.Command{Body: &wire.Command_ApplyNodes{ApplyNodes: &wire.ApplyNodes{Nodes: []*wire.Node{b2}, Remove: []string{"c"}}}}
	for i, c := range []struct {
		c                     *wire.Command
		target, before, after string
		count                 uint64
		code                  fault.Code
	}{
		{submit(current("a", 4)), "backfill/b1", "", `{"mode":"current","root":"a","dates":["2021-08-19..2021-08-22"]}`, 4, ""},
		{submit(current("a", 8)), "backfill/b2", "", `{"mode":"current","root":"a","dates":["2021-08-15..2021-08-22"]}`, 8, ""},
		{submit(current("nowhere", 1)), "node/nowhere", "", "", 0, fault.NotFound},
		{apply(daily("a"), daily("c")), "node/a node/c", `["a@1"]`, `["a@1","c@1"]`, 1, ""},
		{remove, "node/b node/c", `["b@1","c@1"]`, `["b@2"]`, 2, ""},
		{operate(1, wire.Operate_PAUSE), "backfill/b1", "", `{"kind":"pause"}`, 0, ""},
		{editPlan(edit), "backfill/b1", "", `{"detail":"groups: 1 → 2"}`, 0, ""},
		{priority, "instance/b1.0 instance/b1.1", "", `{"kind":"setPriority","priority":8}`, 2, ""},
		{many, "instance/b1.0 instance/b1.1 instance/b1.2 instance/b1.3 instance/b2.0 instance/b2.1 instance/b2.2 instance/b2.3 instance/b2.4 instance/b2.5 and 2 more", "", `{"kind":"freeze"}`, 12, ""},
		{operate(7, wire.Operate_STOP), "backfill/b7", "", "", 0, fault.NotFound},
		{onAgents(wire.OperateAgents_DRAIN, "a1"), "agent/a1", "", `{"kind":"drain"}`, 1, ""},
		{group(&wire.PutResourceGroup{Name: "etl", ReserveForAuto: 1}), "resourceGroup/etl", "", `{"name":"etl","reserveForAuto":1}`, 0, ""},
		{group(&wire.PutResourceGroup{Name: "etl", Kind: wire.PutResourceGroup_EXCLUSIVE}), "resourceGroup/etl", `{"name":"etl","reserveForAuto":1}`, `{"name":"etl","kind":"exclusive"}`, 0, ""},
		{group(&wire.PutResourceGroup{Name: "etl", BackfillMaxShare: 101}), "resourceGroup/etl", "", "", 0, fault.Invalid},
		{&wire.Command{Body: &wire.Command_PutWorkspace{PutWorkspace: &wire.PutWorkspace{Id: "w", AdvancedMode: proto.Bool(false)}}}, "workspace/w", "", `{"id":"w","advancedMode":false}`, 0, ""},
		{&wire.Command{Body: &wire.Command_PutRegion{PutRegion: &wire.PutRegion{Id: "eu"}}}, "region/eu", "", `{"id":"eu"}`, 0, ""},
		{putSource(&wire.DataSource{Name: "local", Type: "sqlite", Database: "/srv/<a>"}), "dataSource/local", "", `{"name":"local","type":"sqlite","database":"/srv/<a>"}`, 0, ""},
		{removeSource("local"), "dataSource/local", `{"name":"local","type":"sqlite","database":"/srv/<a>"}`, "", 0, ""},
		{putToken(&wire.PutJoinToken{Id: "j", SecretHash: TokenHash("j"), Groups: []string{"etl"}}), "joinToken/j", "", `{"id":"j","groups":["etl"]}`, 0, ""},
		{revoke("j"), "joinToken/j", `{"id":"j","groups":["etl"]}`, "", 0, ""},
		{putUser(developer("dan", "shop")), "user/dan", "", `{"name":"dan","role":"developer","workspaces":["shop"]}`, 0, ""},
		{putOwn(own("t1", "dan")), "token/t1", "", `{"id":"t1","user":"dan"}`, 0, ""},
		{revokeOwn("t1"), "token/t1", `{"id":"t1","user":"dan"}`, "", 0, ""},
		{removeUser("dan"), "user/dan", `{"name":"dan","role":"developer","workspaces":["shop"]}`, "", 0, ""},
		{&wire.Command{Body: &wire.Command_RemoveServer{RemoveServer: &wire.RemoveServer{Id: "c3"}}}, "server/c3", "", "", 0, ""},
	} {
		by("ann", "t0", c.c)
		c.c.Operation, c.c.Why, c.c.RequestId, c.c.RequestHash = "op", "because", fmt.Sprint("key", i), []byte("h")
		r := m.do(c.c)
		if fault.CodeOf(r.Err) != c.code {
			t.Fatalf("%s: %v", c.target, r.Err)
		}
		want := &wire.AuditRecord{
			Number: uint64(i + 1), Index: m.index, AtMs: m.now, Actor: "ann", Via: "t0", From: "10.0.0.7", Operation: "op", Why: "because", RequestId: fmt.Sprint("key", i),
			Target: c.target, Before: c.before, After: c.after, Count: c.count, Code: string(c.code),
		}
		if r.Err != nil {
			want.Message = r.Err.Error()
		}
		if got := m.newestRecord(); !proto.Equal(got, want) {
			t.Errorf("recorded:\n%v\nexpected:\n%v", got, want)
		}
	}
	before := m.newestRecord()
	m.must(turn(&wire.Turn{}))
	again := by("ann", "t0", group(&wire.PutResourceGroup{Name: "x"}))
	again.RequestId, again.RequestHash = "k", []byte("h")
	m.must(proto.CloneOf(again))
	m.must(proto.CloneOf(again)) // answered before: nothing was done
	if got := m.newestRecord(); got.Number != before.Number+1 {
		t.Errorf("one thing was done, and %d are recorded", got.Number-before.Number)
	}
	if got := restored(t, m.s); got.Hash() != m.s.Hash() || got.audit.bytes != m.s.audit.bytes || got.audit.newest != m.s.audit.newest {
		t.Error("restored, the audit is another")
	}
}

func TestR15_4_WhatIsNotPermittedIsRecordedByWhoTellsIt(t *testing.T) {
	m := ready(t, daily("a"))
	foreign := by("ann", "t0", submit(current("a", 1)))
	foreign.GetSubmit().Restricted = true
	if r := m.do(foreign); !fault.Is(r.Err, fault.Denied) {
		t.Fatal(r.Err)
	}
	m.s.Audit(0, func(r *wire.AuditRecord) bool { t.Errorf("recorded twice: %v", r); return true })
	m.must(&wire.Command{Body: &wire.Command_Refusals{Refusals: &wire.Refusals{Omitted: 3, Refusals: []*wire.Refusal{
		{AtMs: m.now - 7, Actor: "ann", Via: "t0", From: "10.0.0.7", Operation: "putRegion", Target: "/v1/regions/eu", Code: "denied", Message: "no", RequestId: "k"},
		{AtMs: m.now + 1_000_000, Actor: strings.Repeat("x", 5000), Target: strings.Repeat("y", 5000), Code: "denied"},
	}}}})
	var got []*wire.AuditRecord
	m.s.AuditFrom(0, func(r *wire.AuditRecord) bool { got = append(got, r); return true })
	if len(got) != 3 || got[0].Actor != "ann" || got[0].Target != "/v1/regions/eu" || got[0].Code != "denied" || got[0].Message != "no" || got[0].Index != m.index ||
		got[1].AtMs != m.now || len(got[1].Actor) > maxAuditWord || len(got[1].Target) > maxAuditText || got[2].Count != 3 || got[2].Code != "denied" {
		t.Errorf("recorded: %v", got)
	}
}

func TestR15_4_TheOldestRecordsGo(t *testing.T) {
	var a auditLog
	a.records = New().audit.records
	for range maxAudit + 5 {
		a.add(&wire.AuditRecord{Actor: "ann"})
	}
	k, first, _ := a.records.Root().Minimum()
	if a.records.Len() != maxAudit || first.Number != 6 || string(k) != string(key1(6)) || a.newest != maxAudit+5 {
		t.Errorf("%d records from %d to %d", a.records.Len(), first.Number, a.newest)
	}
	a = auditLog{records: New().audit.records}
	large := strings.Repeat("x", 1<<20)
	for range 100 {
		a.add(&wire.AuditRecord{Message: large})
	}
	sum := 0
	for it, n := a.records.Root().Iterator(), 0; n < a.records.Len(); n++ {
		_, r, _ := it.Next()
		sum += proto.Size(r)
	}
	if a.records.Len() != 63 || a.bytes != sum || sum > maxAuditBytes {
		t.Errorf("%d records of %d bytes, counted %d", a.records.Len(), sum, a.bytes)
	}
}

func TestR15_4_RecordsAreReadFromBothEnds(t *testing.T) {
	m := newMachine(t)
	for i := range 5 {
		m.must(by("ann", "t0", group(&wire.PutResourceGroup{Name: fmt.Sprint("g", i)})))
	}
	list := func(read func(uint64, func(*wire.AuditRecord) bool), from uint64, most int) (out []uint64) {
		read(from, func(r *wire.AuditRecord) bool {
			out = append(out, r.Number)
			return len(out) < most
		})
		return out
	}
	for _, c := range []struct{ got, want []uint64 }{
		{list(m.s.Audit, 0, 9), []uint64{5, 4, 3, 2, 1}},
		{list(m.s.Audit, 4, 2), []uint64{3, 2}},
		{list(m.s.Audit, 1, 2), nil},
		{list(m.s.AuditFrom, 0, 2), []uint64{1, 2}},
		{list(m.s.AuditFrom, 4, 9), []uint64{4, 5}},
		{list(m.s.AuditFrom, 6, 9), nil},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%v, expected %v", c.got, c.want)
		}
	}
}

func TestR15_4_WhatIsToldIsBoundedAndHasNoSecrets(t *testing.T) {
	m := newMachine(t)
	m.must(by("ann", "t0", group(&wire.PutResourceGroup{Name: "g", Description: strings.Repeat("ä", 2047)})))
	if got := m.newestRecord().After; len(got) > maxAuditText || len(got) < maxAuditText-3 || !utf8.ValidString(got) || !strings.HasSuffix(got, "…") {
		t.Errorf("%d bytes: %s", len(got), got)
	}
	text := jsonText(&wire.Channel{
		Name: "ops", Kind: wire.Channel_WEBHOOK, Url: "https://example.org", To: []string{"a", "b"},
		Secret: &wire.Secret{Environment: "X"}, Headers: []*wire.Assignment{{Name: "Authorization", Value: "hunter2"}},
	})
	if want := `{"name":"ops","kind":"webhook","url":"https://example.org","secret":{"environment":"X"},"to":["a","b"]}`; text != want {
		t.Errorf("%s, expected %s", text, want)
	}
	if text := jsonText(&wire.PutToken{Id: "x", SecretHash: []byte("hash")}); text != `{"id":"x"}` {
		t.Error(text)
	}
	for text, want := range map[string]string{"abc": "abc", "a\xffb": "a\uFFFDb", "aäääää": "aää…", "abcdefgh": "abcdefgh", "abcdefghi": "abcde…"} {
		if got := cut(text, 8); got != want {
			t.Errorf("%q: %q, expected %q", text, got, want)
		}
	}
}
