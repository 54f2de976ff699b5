/** The editor of texts, CodeMirror. It is loaded when a value is opened. */
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { json } from "@codemirror/lang-json";
import { HighlightStyle, bracketMatching, syntaxHighlighting } from "@codemirror/language";
import { EditorState } from "@codemirror/state";
import { EditorView, highlightSpecialChars, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";

const colours = HighlightStyle.define([
  { tag: tags.propertyName, color: "light-dark(#1f4fc4, #8fb2ff)" },
  { tag: tags.string, color: "light-dark(#2b6a3a, #8fd19e)" },
  { tag: tags.number, color: "light-dark(#9a3412, #fdba74)" },
  { tag: [tags.bool, tags.null], color: "light-dark(#7a2a8c, #d9a5ea)" },
]);

const theme = EditorView.theme({
  "&": { color: "var(--ink)", backgroundColor: "var(--paper)", fontSize: "0.9rem",
    border: "1px solid var(--edge)", borderRadius: "8px", maxHeight: "60vh" },
  "&.cm-focused": { outline: "2px solid var(--link)", outlineOffset: "1px" },
  ".cm-scroller": { fontFamily: "var(--mono)", overflow: "auto" },
  ".cm-content": { caretColor: "var(--ink)" },
  ".cm-gutters": { backgroundColor: "var(--raised)", color: "var(--soft)", border: "none",
    borderRadius: "8px 0 0 8px" },
  "&.cm-focused .cm-matchingBracket": { backgroundColor: "var(--mark)" },
  ".cm-specialChar": { color: "var(--bad)" },
});

/**
 * Shows a text below `parent`, in a shadow tree: there styles made by script are allowed. Lines are
 * separated by \n alone, so that \r and all else comes back as it was.
 */
export function mount(parent, { text, isJSON, readOnly, label, onChange }) {
  const root = parent.shadowRoot ?? parent.attachShadow({ mode: "open" });
  root.replaceChildren();
  const view = new EditorView({
    root,
    parent: root,
    state: EditorState.create({
      doc: text,
      extensions: [
        EditorState.lineSeparator.of("\n"),
        lineNumbers(), highlightSpecialChars(), history(), bracketMatching(),
        keymap.of([...defaultKeymap, ...historyKeymap]),
        EditorView.lineWrapping, theme, syntaxHighlighting(colours),
        isJSON ? json() : [],
        EditorState.readOnly.of(readOnly),
        EditorView.contentAttributes.of({ "aria-label": label, tabindex: "0" }),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) onChange?.(update.state.sliceDoc());
        }),
      ],
    }),
  });
  return {
    set(next) {
      view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: next } });
    },
    focus: () => view.focus(),
    destroy: () => view.destroy(),
  };
}
