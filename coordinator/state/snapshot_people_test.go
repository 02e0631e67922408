package state

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

const golden6 = "testdata/snapshot-6.zst" // with users, their tokens, the audit and tags

// peopledStory is sourcedStory with people: an admin, a developer of two
// workspaces with a token that expires, an operator whom a provider vouches for, and
// somebody who was removed; what they did and were not let do.
func peopledStory(t testing.TB) *machine {
	m := sourcedStory(t)
	ann := developer("ann", "ads", "shop")
	ann.DisplayName, ann.Email, ann.Description = "Ann Lee", "ann@example.org", "of the shop"
	for i, c := range []*wire.Command{
		by("root", "file:root", putUser(&wire.User{Name: "ada", Role: wire.Role_ADMIN})),
		by("ada", "t0", putUser(ann)),
		by("ada", "t0", putUser(developer("bob"))),
		by("bob", "t0", putOwn(own("b1", "bob"))),
		by("ada", "t0", removeUser("bob")),
		by("ann", "t0", putOwn(own("a1", "ann", func(x *wire.PutToken) {
			x.ExpiresMs, x.Description, x.Role, x.Workspaces = m.now+60_000, "laptop", wire.Role_DEVELOPER, []string{"shop"}
		}))),
		by("olga", "login", putOwn(login("o1", &wire.User{Name: "olga", Role: wire.Role_OPERATOR, Issuer: "https://id.example.org", Subject: "7"}))),
		by("olga", "o1", group(&wire.PutResourceGroup{Name: "big", ReserveForAuto: 1})),
		by("ann", "a1", submit(current("a", 1))), // plan 10
	} {
		c.Operation, c.Why, c.RequestId, c.RequestHash = "op", "so", string(rune('A'+i)), []byte("h")
		m.must(c)
	}
	if r := m.do(by("ann", "a1", operate(99, wire.Operate_STOP))); !fault.Is(r.Err, fault.NotFound) {
		t.Fatal(r.Err)
	}
	m.must(&wire.Command{Body: &wire.Command_Refusals{Refusals: &wire.Refusals{Omitted: 2, Refusals: []*wire.Refusal{
		{AtMs: m.now, Actor: "ann", Via: "a1", From: "10.0.0.7", Operation: "putRegion", Target: "/v1/regions/eu", Code: "denied", Message: "no", RequestId: "r"},
	}}}})
	return m
}

func TestGoldenSnapshotOfTheSixthForm(t *testing.T) {
	holds(t, golden6, peopledStory(t), func(m *machine) {
		if u, ok := m.s.User("olga"); !ok || u.LoginMs == 0 || u.User.Issuer == "" {
			t.Errorf("the operator is %v", u)
		}
		token, _ := m.s.UserToken("a1")
		if r, err := m.s.Rights(token.GetToken(), m.now); err != nil || r.Role != wire.Role_DEVELOPER || len(r.Workspaces) != 1 {
			t.Errorf("the token may %v: %v", r, err)
		}
		if newest := m.newestRecord(); newest.Number != 12 || newest.Count != 2 {
			t.Errorf("the newest record is %v", newest)
		}
		changed := putUser(developer("ann"))
		m.must(ifMatch(m.s.Tag("user/ann"), proto.CloneOf(changed)))
		m.must(by("ada", "t0", changed))
		m.now += 60_000
		m.must(forget("a1", "o1"))
		m.must(by("ada", "t0", removeUser("ann")))
		m.goOnLong()
	})
}
