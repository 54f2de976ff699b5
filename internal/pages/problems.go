package pages

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"

	"kvgateway/internal/handlers/problem"
)

// problemsMark is where the page of the errors has the list of all problems.
const problemsMark = "<!-- problems -->\n"

// problems returns the list of all problems as Markdown, in the order of the table.
func (s *Site) problems() []byte {
	var out bytes.Buffer
	for i := range problem.Kinds() {
		kind := problem.Kinds()[i].Below(s.basePath)
		status := strconv.Itoa(kind.Status)
		if text := http.StatusText(kind.Status); text != "" {
			status += " " + text
		}
		out.WriteString("### `" + string(kind.Code) + "`\n\n")
		out.WriteString("**" + escapeMarkdown(kind.Title) + "** (" + status + "). " +
			escapeMarkdown(kind.Meaning) + "\n\n")
		out.WriteString("*To fix it:* " + escapeMarkdown(kind.Fix) + "\n\n")
		out.WriteString("*The same request again:* " + again(&kind) + "\n\n")
	}
	return out.Bytes()
}

// again says what becomes of the same request if it is sent again.
func again(kind *problem.Kind) string {
	switch {
	case kind.Retry == problem.Soon:
		return "may succeed after the time in `Retry-After`."
	case kind.Retry == problem.Later:
		return "may succeed later."
	case kind.Status < http.StatusInternalServerError:
		return "fails again."
	}
	return "fails again, or does twice what it does: find out first."
}

// escapeMarkdown returns a text in which only `code` is Markdown.
func escapeMarkdown(text string) string {
	parts := strings.Split(text, "`")
	for i := 0; i < len(parts); i += 2 {
		parts[i] = markdownEscaper.Replace(parts[i])
	}
	return strings.Join(parts, "`")
}

// markdownEscaper escapes what means something in a paragraph of Markdown.
var markdownEscaper = strings.NewReplacer("*", `\*`, "_", `\_`, "<", `\<`, "[", `\[`, `\`, `\\`)
