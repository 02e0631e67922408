package service

import (
	"slices"
	"strconv"
	"strings"

	"backfleet/api/server"
	"backfleet/pkg/fault"
)

// A cursor is the name of the last item shown, after the name of its list: what
// comes and goes meanwhile does not move it.

func cursor(list, last string) server.Next { return list + ":" + last }

func numberCursor(list string, last uint64) server.Next {
	return cursor(list, strconv.FormatUint(last, 10))
}

// after gives the name in a page's cursor; empty: from the start.
func after(page server.Page, list string) (string, error) {
	if page.Cursor == "" {
		return "", nil
	}
	name, ok := strings.CutPrefix(page.Cursor, list+":")
	if !ok || name == "" {
		return "", badCursor()
	}
	return name, nil
}

// afterNumber gives the number after the one in a page's cursor; 0: from the
// start.
func afterNumber(page server.Page, list string) (uint64, error) {
	name, err := after(page, list)
	if err != nil || name == "" {
		return 0, err
	}
	n, err := strconv.ParseUint(name, 10, 63)
	if err != nil {
		return 0, badCursor()
	}
	return n + 1, nil
}

func badCursor() error {
	return fault.Field("cursor", "it is not of this list: expected the next of an earlier page, or none")
}

// names pages through sorted names: those after the page's cursor that match,
// and the cursor of the page after.
func names(sorted []string, page server.Page, list string, match func(string) bool) ([]string, server.Next, error) {
	last, err := after(page, list)
	if err != nil {
		return nil, "", err
	}
	var out []string
	first, found := slices.BinarySearch(sorted, last)
	if found {
		first++
	}
	for _, id := range sorted[first:] {
		if !match(id) {
			continue
		}
		if len(out) == page.Limit {
			return out, cursor(list, out[len(out)-1]), nil
		}
		out = append(out, id)
	}
	return out, "", nil
}
