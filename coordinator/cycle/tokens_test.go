package cycle

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"backfleet/coordinator/state"
	"backfleet/pkg/fault"
	"backfleet/pkg/wire"
)

// token adds a user's token that expires at a moment; the zero moment: never.
func (w *world) token(id string, expires time.Time) {
	w.t.Helper()
	t := &wire.PutToken{Id: id, User: "ann", SecretHash: state.TokenHash(id)}
	if !expires.IsZero() {
		t.ExpiresMs = expires.UnixMilli()
	}
	w.must(&wire.Command{Body: &wire.Command_PutToken{PutToken: t}})
}

func (w *world) tokens() (ids []string) {
	w.state().UserTokens(func(t *wire.SnapshotToken) { ids = append(ids, t.Token.Id) })
	return ids
}

func TestR15_3_TheLoopForgetsTokensThatHaveExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, time.Now)
		w.must(&wire.Command{Body: &wire.Command_PutUser{PutUser: &wire.PutUser{User: &wire.User{Name: "ann", Role: wire.Role_VIEWER}}}})
		begin := time.Now()
		w.token("ever", time.Time{})
		w.token("late", begin.Add(72*time.Hour))
		for i := range maxTokens + 1 {
			if i == maxTokens-2 { // as many as one may have
				w.must(&wire.Command{Body: &wire.Command_PutUser{PutUser: &wire.PutUser{User: &wire.User{Name: "bob", Role: wire.Role_VIEWER}}}})
			}
			id := fmt.Sprint("t", i)
			c := &wire.PutToken{Id: id, User: "ann", SecretHash: state.TokenHash(id), ExpiresMs: begin.Add(12 * time.Hour).UnixMilli()}
			if i >= maxTokens-2 {
				c.User = "bob"
			}
			w.must(&wire.Command{Body: &wire.Command_PutToken{PutToken: c}})
		}
		if got := Outlived(w.state(), begin.Add(36*time.Hour-time.Second)); len(got) > 0 {
			t.Errorf("before a day has passed: %v", got)
		}
		refusals := 0
		w.refuse = func(*wire.Command) error {
			if refusals++; refusals == 1 {
				return fault.New(fault.Unavailable, "not now")
			}
			return nil
		}
		l := New(Config{Log: w, State: w.state, Changed: make(chan struct{})})
		ctx, cancel := context.WithTimeout(t.Context(), 48*time.Hour)
		defer cancel()
		l.Lead(ctx)
		if got := w.tokens(); !slices.Equal(got, []string{"ever", "late"}) || len(w.commands) != 2 {
			t.Errorf("%d are left after %d commands", len(got), len(w.commands))
		}
	})
}
