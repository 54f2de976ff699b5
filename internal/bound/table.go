package bound

import (
	"fmt"
	"strings"
	"time"
)

// Table returns the bounds as the Markdown table of docs/bounds.md.
func Table(readings []Reading) string {
	var b strings.Builder
	b.WriteString("| bound | what is bounded | limit | one client's share | at the limit | setting |\n")
	b.WriteString("|---|---|---|---|---|---|\n")
	for _, r := range readings {
		share, setting := "", ""
		if r.PerOwner > 0 {
			share = amount(r.PerOwner, r.Spec)
		}
		if r.PerPart > 0 {
			share += ", " + amount(r.PerPart, r.Spec) + " for each " + r.PartIs
		}
		if r.Setting != "" {
			setting = "`" + r.Setting + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n",
			r.Name, r.Of, amount(r.Limit, r.Spec), share, r.AtLimit, setting)
	}
	return b.String()
}

// amount writes a limit as people do.
func amount(n int64, s Spec) string {
	switch {
	case s.Unit == Seconds:
		return short(s.Duration)
	case s.Unit == Places:
		return fmt.Sprint(n)
	case s.Unit == PerSecond:
		return fmt.Sprintf("%d/s", n)
	case s.Unit == Rate:
		return bytes(n) + "/s"
	}
	return bytes(n)
}

func bytes(n int64) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}

// short writes a duration without zero minutes and seconds, as "1h" for "1h0m0s".
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
