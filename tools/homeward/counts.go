package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/homeward-care/homeward/tools/homeward/outcome"
)

// writeCounts prints counts, the largest first.
func writeCounts(out io.Writer, counts map[string]int) {
	for _, what := range slices.SortedFunc(maps.Keys(counts), func(a, b string) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b)) }) {
		fmt.Fprintf(out, "  %5d  %s\n", counts[what], what)
	}
}

func sortedDifferences(list []outcome.Difference) []outcome.Difference {
	return slices.SortedFunc(slices.Values(list), func(a, b outcome.Difference) int {
		return cmp.Or(cmp.Compare(a.After.DischargedOn, b.After.DischargedOn), cmp.Compare(a.After.Reference, b.After.Reference))
	})
}
