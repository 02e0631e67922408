package retail

import (
	"encoding/csv"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"backfleet/pkg/calendar"
)

// Write writes the exports of the shop's own system: for each day a file of all
// customers, one of all products and one of the day's orders, in dir.
func (s Settings) Write(dir string) error {
	if err := s.Validate(); err != nil {
		return err
	}
	for d := s.First; d <= s.Last(); d++ {
		customers := [][]string{{"customer_id", "name", "city", "level", "joined"}}
		for _, c := range s.customers(d) {
			customers = append(customers, []string{strconv.Itoa(c.id), c.name, c.city, c.level, c.joined.String()})
		}
		products := [][]string{{"product_id", "name", "category", "price_cents"}}
		for _, p := range s.products(d) {
			products = append(products, []string{strconv.Itoa(p.id), p.name, p.category, strconv.Itoa(p.cents)})
		}
		orders := [][]string{{"order_id", "customer_id", "product_id", "quantity", "channel", "status"}}
		for _, o := range s.orders(d) {
			orders = append(orders, []string{strconv.Itoa(o.id), strconv.Itoa(o.customer), strconv.Itoa(o.product), o.quantity, o.channel, o.status})
		}
		for kind, rows := range map[string][][]string{"customers": customers, "products": products, "orders": orders} {
			if err := writeCSV(export(dir, kind, d), rows); err != nil {
				return err
			}
		}
	}
	return nil
}

// export is the path of a file.
func export(dir, kind string, d calendar.Date) string {
	return filepath.Join(dir, kind, d.Compact()+".csv")
}

func writeCSV(path string, rows [][]string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := csv.NewWriter(f).WriteAll(rows); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// flags are the settings on a command line.
func (s *Settings) flags(f *flag.FlagSet) {
	f.Uint64Var(&s.Seed, "seed", s.Seed, "which shop; the same number gives the same files")
	f.Func("first", "the `date` on which the shop opens (default "+s.First.String()+")", func(text string) (err error) {
		s.First, err = calendar.ParseDate(text)
		return err
	})
	f.IntVar(&s.Days, "days", s.Days, "for how many days")
	f.IntVar(&s.Orders, "orders", s.Orders, "how many orders a day, give or take a third")
}

// GenerateMain is the command `generate`.
func GenerateMain(args []string, stdout, stderr io.Writer) int {
	s := DefaultSettings()
	f := flag.NewFlagSet("generate", flag.ContinueOnError)
	f.SetOutput(stderr)
	dir := f.String("dir", "", "the `folder` that gets the files")
	s.flags(f)
	if err := f.Parse(args); err != nil {
		return 2
	}
	if *dir == "" || f.NArg() > 0 {
		fmt.Fprintln(stderr, "generate: expected --dir FOLDER")
		return 2
	}
	if err := s.Write(*dir); err != nil {
		fmt.Fprintln(stderr, "generate:", err)
		return 1
	}
	fmt.Fprintf(stdout, "%s to %s: customers, products and orders of each day in %s\n", s.First, s.Last(), *dir)
	return 0
}
