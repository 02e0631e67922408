package convert

import (
	"fmt"

	v1 "backfleet/api/v1"
	"backfleet/pkg/wire"
)

var occasions = words[v1.Occasion, wire.Occasion]{
	v1.OccasionFailure: wire.Occasion_FAILURE, v1.OccasionSuccess: wire.Occasion_SUCCESS, v1.OccasionFinished: wire.Occasion_FINISHED,
	v1.OccasionStuck: wire.Occasion_STUCK, v1.OccasionTest: wire.Occasion_TEST,
}

func subscriptions(list []*wire.Subscription) []v1.Subscription {
	var out []v1.Subscription
	for _, s := range list {
		one := v1.Subscription{Channel: s.Channel}
		for _, o := range s.On {
			one.On = append(one.On, occasions.word(o))
		}
		out = append(out, one)
	}
	return out
}

func readSubscriptions(f *findings, path string, list []v1.Subscription) []*wire.Subscription {
	var out []*wire.Subscription
	for i, s := range list {
		one := &wire.Subscription{Channel: s.Channel}
		for k, o := range s.On {
			one.On = append(one.On, occasions.number(f, fmt.Sprintf("%s[%d].on[%d]", path, i, k), o))
		}
		out = append(out, one)
	}
	return out
}
