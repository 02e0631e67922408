package executor_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"backfleet/agent/executor"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// work is of 2024-10-04, and of b1.2.
func work(values ...string) *wire.Work {
	return &wire.Work{Ref: &wire.AttemptRef{Plan: 1, Instance: 2, Attempt: 3, Fence: 4}, DataTimestamp: 20_000, ScheduledDate: 20_001, Values: assigned(values...)}
}

func TestEveryTextOfANodeIsExpanded(t *testing.T) {
	common := executor.New(executor.Settings{})
	d := &wire.Definition{Node: &wire.Node{Id: "n", Type: "integration", Integration: &wire.Integration{
		From: &wire.IntegrationSource{Files: "/in/${yyyymmdd}/${region}.csv"},
		To:   &wire.IntegrationTarget{Source: "dw", Table: "orders", Partition: assigned("ds=${yyyy-mm-dd}")},
	}}}
	before := proto.CloneOf(d.Node)
	for region, day := range map[string]int32{"eu": 20_000, "us": 20_031} {
		w := work("region=" + region)
		w.DataTimestamp = day
		node, err := common.Node(d, w)
		if err != nil {
			t.Fatal(err)
		}
		date := map[int32]string{20_000: "2024-10-04", 20_031: "2024-11-04"}[day]
		want := fmt.Sprintf("/in/%s/%s.csv", strings.ReplaceAll(date, "-", ""), region)
		if node.Integration.From.Files != want || node.Integration.To.Partition[0].Value != date || node.Integration.To.Table != "orders" {
			t.Errorf("got %v, want files %s and partition %s", node.Integration, want, date)
		}
	}
	if !proto.Equal(d.Node, before) {
		t.Errorf("the definition, which is for all attempts, has become %v", d.Node)
	}
}

// TestWhatIsRememberedOfTextsIsKeptApart: the same text means other things with
// other names, in another dialect and in another language.
func TestWhatIsRememberedOfTextsIsKeptApart(t *testing.T) {
	common := executor.New(executor.Settings{})
	code := func(node *wire.Node, values ...string) string {
		text, err := common.Code(&wire.Definition{Node: node}, work(values...))
		if err != nil {
			return "refused"
		}
		return text
	}
	for range 2 {
		for want, got := range map[string]string{
			"${HOME}":  code(&wire.Node{Type: "shell", Code: "${HOME}"}),
			"/srv":     code(&wire.Node{Type: "shell", Code: "${HOME}"}, "HOME=/srv"),
			"/srv2":    code(&wire.Node{Type: "shell", Code: "${HOME}"}, "HOME=/srv2"),
			"refused":  code(&wire.Node{Type: "sql", Code: "${HOME}"}),
			"20241004": code(&wire.Node{Type: "sql", Code: "${yyyymmdd}"}),
			"":         code(&wire.Node{Type: "shell"}),
		} {
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	}
	for i := range 3000 { // more than are remembered
		if got := code(&wire.Node{Type: "sql", Code: fmt.Sprint(i, " ${yyyymmdd}")}); got == "refused" {
			t.Fatal("a text after many others is refused")
		}
	}
}

func TestATextThatCannotBeReadIsNamed(t *testing.T) {
	node := &wire.Node{Id: "n", Type: "http", Http: &wire.Http{Url: "http://h/${nowhere}"}}
	_, err := executor.New(executor.Settings{}).Node(&wire.Definition{Node: node}, work())
	if fault.CodeOf(err) != fault.Invalid || !strings.HasPrefix(err.Error(), `node "n": http.url: the code cannot be read`) || strings.Count(err.Error(), "line 1, column 12") != 1 {
		t.Errorf("%v, want the node, the field and the place", err)
	}
}

func BenchmarkTexts(b *testing.B) {
	common := executor.New(executor.Settings{})
	d := &wire.Definition{Node: &wire.Node{Id: "n", Type: "shell", Code: "echo ${bizdate} on ${HOME}"}}
	w := work("bizdate=20241004")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := common.Code(d, w); err != nil {
			b.Fatal(err)
		}
	}
}
