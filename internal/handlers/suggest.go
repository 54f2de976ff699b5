package handlers

import (
	"fmt"
	"strings"
)

// maxMisspelt bounds the names for which something near is looked for. No name of the contract is
// as long, and the work for a name grows with its length.
const maxMisspelt = 64

// nearest returns the name that a text was probably meant to be, "" if none is near. A third of its
// characters may be wrong, missing, too many, or swapped with their neighbours, but if that is more
// than one, then not the first, which people hardly ever get wrong. The case, and whether words are
// joined by a hyphen, an underscore or nothing, do not matter. The beginning of a name is near,
// too.
func nearest(text string, names []string) string {
	found, least := "", maxMisspelt
	plain := plainName(text)
	if len(plain) == 0 || len(text) > maxMisspelt {
		return ""
	}
	for _, name := range names {
		other := plainName(name)
		if other == "" {
			continue
		}
		d := distance(plain, other)
		if len(plain) >= 3 && strings.HasPrefix(other, plain) {
			d = min(d, 1)
		}
		if d > 1 && plain[0] != other[0] {
			continue
		}
		if d < least && d <= max(1, len(plain)/3) && d < len(plain) {
			found, least = name, d
		}
	}
	return found
}

// plainName returns a name without what does not matter for its spelling.
func plainName(name string) string {
	return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(name))
}

// distance returns how many bytes must be inserted, removed, replaced, or swapped with the next one
// to make b of a (the optimal string alignment distance). It is maxMisspelt if b is too long.
func distance(a, b string) int {
	if len(a) > maxMisspelt || len(b) > maxMisspelt {
		return maxMisspelt
	}
	var rows [3][maxMisspelt + 1]int // the distances of the beginnings of a; the last three rows
	before, last, row := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			replaced := last[j]
			if a[i] != b[j] {
				replaced++
			}
			row[j+1] = min(replaced, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// didYouMean returns a question about what is near to a text, to be appended to a reason; "" if
// nothing is.
func didYouMean(text string, names []string) string {
	if near := nearest(text, names); near != "" {
		return fmt.Sprintf(" (did you mean %s?)", near)
	}
	return ""
}
