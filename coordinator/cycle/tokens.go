package cycle

import (
	"context"
	"time"

	"backfleet/coordinator/state"
	"backfleet/pkg/wire"
)

const (
	// keepTokens is how long a user's token that has expired is still listed, so
	// that who shows it is told why it is not taken.
	keepTokens = 24 * time.Hour
	// maxTokens bounds the tokens in a command.
	maxTokens = 1000
)

// Outlived lists tokens of users that have expired a day ago or earlier, by id, a
// thousand at most.
func Outlived(st *state.State, now time.Time) (ids []string) {
	before := now.Add(-keepTokens).UnixMilli()
	st.UserTokens(func(t *wire.SnapshotToken) {
		if at := t.Token.ExpiresMs; at > 0 && at <= before && len(ids) < maxTokens {
			ids = append(ids, t.Token.Id)
		}
	})
	return ids
}

// forgetTokens forgets tokens that have expired.
func (l *Loop) forgetTokens(ctx context.Context, now time.Time) (next time.Time, err error) {
	if now.Before(l.tokensAt) {
		return l.tokensAt, nil
	}
	l.tokensAt = now.Add(expireEvery)
	ids := Outlived(l.cfg.State(), now)
	if len(ids) == 0 {
		return l.tokensAt, nil
	}
	if _, _, err := l.cfg.Log.Propose(ctx, &wire.Command{Body: &wire.Command_ForgetTokens{ForgetTokens: &wire.ForgetTokens{Ids: ids}}}); err != nil {
		l.tokensAt = time.Time{}
		return now, err
	}
	l.cfg.Logger.Info("tokens forgotten that have expired", "tokens", len(ids))
	if len(ids) == maxTokens {
		l.tokensAt = now
	}
	return l.tokensAt, nil
}
