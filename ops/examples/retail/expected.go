package retail

import (
	"strconv"

	"backfleet/ops/examples/verdict"
	"backfleet/pkg/calendar"
)

// bought is an order that was paid and could be read.
type bought struct {
	order
	n, cents int
	category string
}

// day is what a day's files say, read as the nodes should.
type day struct {
	customers []customer
	products  []product
	orders    []order // that could be read
	rejected  int
	bought    []bought
}

func (s Settings) day(d calendar.Date) day {
	y := day{customers: s.customers(d), products: s.products(d)}
	byID := map[int]product{}
	for _, p := range y.products {
		byID[p.id] = p
	}
	for _, o := range s.orders(d) {
		n, err := strconv.Atoi(o.quantity)
		if err != nil {
			y.rejected++
			continue
		}
		y.orders = append(y.orders, o)
		if o.status == "paid" {
			p := byID[o.product]
			y.bought = append(y.bought, bought{order: o, n: n, cents: n * p.cents, category: p.category})
		}
	}
	return y
}

// Expected are the tables as they must be after a backfill of all days, made
// from the shop itself: neither its files nor the code of any node is used.
func (s Settings) Expected() []*verdict.Table {
	odsCustomers := verdict.NewTable("ods_customers", "ds", "customer_id name city level joined")
	odsProducts := verdict.NewTable("ods_products", "ds", "product_id name category price_cents")
	odsOrders := verdict.NewTable("ods_orders", "ds", "order_id customer product quantity channel status")
	dimCustomer := verdict.NewTable("dim_customer", "ds", "customer_id name city level joined")
	dimProducts := verdict.NewTable("dim_products", "ds", "product_id name category price_cents price_band")
	fct := verdict.NewTable("fct_order_buy_di", "ds", "order_id customer_id product_id quantity channel category buy_cents")
	dws := verdict.NewTable("dws_all", "ds", "customer_id city buy_count_1d buy_cents_1d buy_count_7d buy_cents_7d last_buy_7d")
	days := map[calendar.Date]day{}
	for d := s.First; d <= s.Last(); d++ {
		y, ds := s.day(d), d.Compact()
		days[d] = y
		for _, c := range y.customers {
			odsCustomers.Add(ds, c.id, c.name, c.city, c.level, c.joined)
			dimCustomer.Add(ds, c.id, c.name, c.city, c.level, c.joined)
		}
		for _, p := range y.products {
			odsProducts.Add(ds, p.id, p.name, p.category, p.cents)
			dimProducts.Add(ds, p.id, p.name, p.category, p.cents, band(p.cents))
		}
		for _, o := range y.orders {
			odsOrders.Add(ds, o.id, o.customer, o.product, o.quantity, o.channel, o.status)
		}
		for _, b := range y.bought {
			fct.Add(ds, b.id, b.customer, b.product, b.n, b.channel, b.category, b.cents)
		}
		s.addDWS(dws, days, d)
	}
	return []*verdict.Table{odsCustomers, odsProducts, odsOrders, dimCustomer, dimProducts, fct, dws}
}

func band(cents int) string {
	switch {
	case cents < 1000:
		return "low"
	case cents < 2000:
		return "middle"
	}
	return "high"
}

// addDWS adds the partition of a day, for which those of the six days before are
// known.
func (s Settings) addDWS(dws *verdict.Table, days map[calendar.Date]day, d calendar.Date) {
	type sums struct{ count, cents int }
	today, week, last := map[int]sums{}, map[int]sums{}, map[int]any{}
	for before := max(s.First, d-6); before <= d; before++ {
		for _, b := range days[before].bought {
			week[b.customer] = sums{week[b.customer].count + 1, week[b.customer].cents + b.cents}
			last[b.customer] = before.Compact()
			if before == d {
				today[b.customer] = sums{today[b.customer].count + 1, today[b.customer].cents + b.cents}
			}
		}
	}
	for _, c := range days[d].customers {
		dws.Add(d.Compact(), c.id, c.city, today[c.id].count, today[c.id].cents, week[c.id].count, week[c.id].cents, last[c.id])
	}
}
