package bound

import (
	"fmt"
	"strings"
	"time"
)

// Table returns the bounds as the Markdown table of docs/bounds.md.
func Table(readings []Reading) string {
	var b strings.Builder
	b.WriteString("| bound | what is bounded | limit | one client's share | at the limit | " +
		"setting |\n")
	b.WriteString("|---|---|---|---|---|---|\n")
	for _, r := range readings {
		share, setting := "", ""
		if r.PerOwner > 0 {
			share = formatLimit(r.PerOwner, r.Spec)
		}
		if r.OwnerIs != "" {
			share += " for each " + r.OwnerIs
		}
		if r.PerPart > 0 {
			share += ", " + formatLimit(r.PerPart, r.Spec) + " for each " + r.PartIs
		}
		if r.Setting != "" {
			setting = "`" + r.Setting + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n",
			r.Name, r.Of, formatLimit(r.Limit, r.Spec), share, r.AtLimit, setting)
	}
	return b.String()
}

// formatLimit formats a limit for people, with its unit.
func formatLimit(n int64, s Spec) string {
	switch {
	case s.Unit == Seconds:
		return formatDuration(s.Duration)
	case s.Unit == Places:
		return fmt.Sprint(n)
	case s.Unit == PerSecond:
		return fmt.Sprintf("%d/s", n)
	case s.Unit == Rate:
		return formatBytes(n) + "/s"
	}
	return formatBytes(n)
}

// formatBytes formats a number of bytes in the largest unit of which it is a multiple.
func formatBytes(n int64) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}

// formatDuration formats a duration without zero minutes and seconds: "1h" for "1h0m0s".
func formatDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
