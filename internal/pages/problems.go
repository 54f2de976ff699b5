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
		out.WriteString("*The same request again:* " + retries[kind.Retry] + "\n\n")
	}
	return out.Bytes()
}

// retries says whether the same request may succeed later.
var retries = map[problem.Retry]string{
	problem.Never: "fails again, or might do twice what it does.",
	problem.Later: "may succeed later.",
	problem.Soon:  "may succeed after the time in `Retry-After`.",
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
