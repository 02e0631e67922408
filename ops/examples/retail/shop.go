// Package retail is an example: a shop's customers, products and orders, made
// from a seed; what its nodes must make of them, computed without any of their
// code; and a run of all of it on a fleet of its own.
package retail

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"

	"backfleet/pkg/calendar"
	"backfleet/pkg/fault"
)

// Settings say which shop it is. The same settings give the same shop; a
// customer, a product or a day's orders do not depend on how many days there are.
type Settings struct {
	Seed  uint64
	First calendar.Date // the day on which the shop opens
	Days  int
	// Orders is how many there are on a day, give or take a third.
	Orders int
}

// DefaultSettings are two months of a small shop.
func DefaultSettings() Settings {
	return Settings{Seed: 1, First: calendar.DateOf(2024, 1, 1), Days: 60, Orders: 300}
}

// Bounds of a shop.
const (
	mostDays   = 3660
	mostOrders = 10_000
)

// Validate refuses settings of which no shop can be made.
func (s Settings) Validate() error {
	switch {
	case s.Days < 1 || s.Days > mostDays:
		return fault.Field("days", "%d: expected 1 to %d", s.Days, mostDays)
	case s.Orders < 1 || s.Orders > mostOrders:
		return fault.Field("orders", "%d: expected 1 to %d", s.Orders, mostOrders)
	}
	return nil
}

// Last is the last day of the data.
func (s Settings) Last() calendar.Date { return s.First + calendar.Date(s.Days-1) }

type customer struct {
	id                int
	name, city, level string
	joined            calendar.Date
}

type product struct {
	id             int
	name, category string
	cents          int // its price
}

type order struct {
	id, customer, product int
	quantity              string // as in the file, where it is not always a number
	channel, status       string
}

var (
	firstNames = []string{"Ana", "Bruno", "Chén", "Dalia", "Emre", "Femi", "Grace", "Håkon", "Inês", "Jürgen", "Kaya", "Lwazi"}
	lastNames  = []string{"Abel", "Brandt", "da Costa", "O'Neill", "Fraser, Jr.", "Lindqvist", "Mbeki", "Novák", "Petit", "Sato"}
	cities     = []string{"Bergen", "Hangzhou", "Lisbon", "Nairobi", "São Paulo", "Toronto", "Zürich"}
	levels     = []string{"bronze", "silver", "gold"}
	goods      = []string{"Tea", "Coffee", "Cocoa", "Mug", "Teapot", "Kettle", "Biscuits", `Poster "Tea"`}
	kinds      = []string{"small", "large", "organic", "gift; boxed", "on sale, final"}
	categories = map[string]string{"Tea": "drinks", "Coffee": "drinks", "Cocoa": "drinks", "Biscuits": "food"}
	channels   = []string{"web", "web", "web", "app", "app", "shop"}
)

const (
	customersAtFirst, customersADay = 120, 3
	productsAtFirst, weeksAProduct  = 30, 1
	// One order in so many is cancelled, and of one in so many the quantity is no
	// number, as it happens to exports.
	cancelled, broken = 12, 97
)

// dice are random numbers that depend on nothing but the seed and the words.
func (s Settings) dice(words ...any) *rand.Rand {
	h := fnv.New64a()
	fmt.Fprintln(h, words...)
	return rand.New(rand.NewPCG(s.Seed, h.Sum64()))
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// customers are those of a day: all who have joined by then, at the level they
// have by then.
func (s Settings) customers(d calendar.Date) []customer {
	list := make([]customer, customersAtFirst+customersADay*int(d-s.First))
	for i := range list {
		r := s.dice("customer", i)
		c := customer{id: 1001 + i, name: pick(r, firstNames) + " " + pick(r, lastNames), city: pick(r, cities), joined: s.First - calendar.Date(r.IntN(400))}
		if late := i - customersAtFirst; late >= 0 {
			c.joined = s.First + 1 + calendar.Date(late/customersADay)
		}
		promotion := 20 + r.IntN(60) // days between two levels
		c.level = levels[min(int(d-c.joined)/promotion, len(levels)-1)]
		list[i] = c
	}
	return list
}

// products are those of a day, at the prices of its week.
func (s Settings) products(d calendar.Date) []product {
	week := int(d-s.First) / 7
	list := make([]product, productsAtFirst+week/weeksAProduct)
	for i := range list {
		r := s.dice("product", i)
		what := goods[i%len(goods)]
		p := product{id: 501 + i, name: what + ", " + pick(r, kinds), category: categories[what], cents: 199 + r.IntN(3000)}
		if p.category == "" {
			p.category = "household"
		}
		p.cents += s.dice("price", i, week).IntN(p.cents / 5)
		list[i] = p
	}
	return list
}

// orders are those of a day, in the order of their ids.
func (s Settings) orders(d calendar.Date) []order {
	r := s.dice("orders", d)
	customers, products := s.customers(d), s.products(d)
	list := make([]order, max(1, s.Orders*2/3+r.IntN(s.Orders*2/3+1)))
	for i := range list {
		o := order{id: (int(d-s.First)+1)*mostOrders*2 + i, customer: pick(r, customers).id, product: pick(r, products).id,
			quantity: fmt.Sprint(1 + r.IntN(5)), channel: pick(r, channels), status: "paid"}
		if r.IntN(cancelled) == 0 {
			o.status = "cancelled"
		}
		if r.IntN(broken) == 0 {
			o.quantity = "n/a"
		}
		list[i] = o
	}
	return list
}
