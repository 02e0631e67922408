package state

import (
	"testing"

	"backfleet/pkg/wire"
)

const golden7 = "testdata/snapshot-7.zst" // with channels, notifications and subscriptions

// toldStory is peopledStory with two channels and one that was removed, a node and a
// backfill that tell them, and a notification in each state: pending, tried,
// delivered, delivered and forgotten, dead, of a test, and told to nobody.
func toldStory(t testing.TB) *machine {
	m := peopledStory(t)
	signed := hook("ops")
	signed.Secret = &wire.Secret{Environment: "BACKFLEET_SECRET_OPS"}
	signed.Headers = []*wire.Assignment{{Name: "Authorization", Value: "Bearer {secret}"}}
	signed.Body = `{"text": {{json .Text}}}`
	m.must(putChannel(signed))
	m.must(putChannel(&wire.Channel{Name: "mail", Kind: wire.Channel_EMAIL, To: []string{"ops@example.org"}, Subject: "{{.Type}}", Disabled: true}))
	m.must(putChannel(hook("old")))
	n := daily("n")
	n.Notify = []*wire.Subscription{{Channel: "ops"}, {Channel: "mail", On: []wire.Occasion{wire.Occasion_STUCK, wire.Occasion_SUCCESS}}}
	m.must(apply(n))
	r := current("n", 2)
	r.Notify = []*wire.Subscription{{Channel: "ops", On: []wire.Occasion{wire.Occasion_FINISHED}}}
	id := m.must(submit(r)).Plan
	m.must(raise(failure(id, "ops", "a"), failure(id, "ops", "b"), failure(id, "ops", "c"), failure(id, "ops", "d"), failure(id, "ops", "e"),
		failure(id, "mail", "f"), failure(id, "old", "g")))
	m.must(raise(&wire.Notification{Channel: "mail", Key: "t", Occasion: wire.Occasion_TEST, AtMs: m.now, Text: "a test"}))
	m.must(delivery(&wire.Tried{Id: 2, NextMs: m.now + 10_000, Error: "not now", AtMs: m.now}, &wire.Tried{Id: 3, Delivered: true, AtMs: m.now},
		&wire.Tried{Id: 4, Delivered: true, AtMs: m.now}, &wire.Tried{Id: 5, Dead: true, Error: "never", AtMs: m.now}))
	m.must(&wire.Command{Body: &wire.Command_Delivery{Delivery: &wire.Delivery{Forget: []uint64{4}}}})
	m.must(removeChannel("old"))
	return m
}

func TestGoldenSnapshotOfTheSeventhForm(t *testing.T) {
	holds(t, golden7, toldStory(t), func(m *machine) {
		m.outbox("7 t PENDING 0", "6 g DEAD 0", "5 e DEAD 1", "3 c DELIVERED 1", "2 b PENDING 1", "1 a PENDING 0")
		id := m.s.nextPlan - 1
		for _, key := range []string{"a", "d", "f", "g"} {
			if !m.s.Told(id, key) {
				t.Errorf("%s is not known to be told", key)
			}
		}
		m.must(raise(failure(id, "ops", "d"), failure(id, "ops", "h")))
		m.must(retryAll(5))
		m.outbox("8 h PENDING 0", "7 t PENDING 0", "6 g DEAD 0", "5 e PENDING 0", "3 c DELIVERED 1", "2 b PENDING 1", "1 a PENDING 0")
		m.must(expire(id))
		m.s.EachTold(id, "", func(key string) { t.Errorf("%s is known still", key) })
		m.must(removeChannel("ops"))
		m.goOnLong()
	})
}
