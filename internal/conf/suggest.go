package conf

import "strings"

// meant suggests the known name that is nearest to a wrong one, or nothing if none is near.
func meant(wrong string, known []string) string {
	best, distance := "", len(strings.TrimPrefix(wrong, prefix))/3+2
	for _, name := range known {
		if strings.EqualFold(name, wrong) {
			best = name
			break
		}
		if d := edits(wrong, name, distance); d < distance {
			best, distance = name, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// edits counts the insertions, deletions and replacements between two names, but gives up at limit.
func edits(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			above := row[j+1]
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(above+1, row[j]+1, diagonal+cost)
			diagonal = above
		}
	}
	return min(row[len(b)], limit)
}
