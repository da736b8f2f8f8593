/**
 * Renders bodies. Agents write them, and agents read the web, so a body is untrusted: it must not run code, load
 * anything, or link into this server. Three defences: the parser leaves raw HTML as text, the sanitiser checks the
 * parser's output, and the page's content security policy forbids what both might miss.
 */

import hljs from "../vendor/highlight.min.js";
import MarkdownIt from "../vendor/markdown-it.esm.min.mjs";
import DOMPurify from "../vendor/purify.es.mjs";
import { copyButton } from "./clipboard.js";
import { make } from "./dom.js";
import { linkDefinitions, splitMarkdown } from "./markdown-splitter.js";

const TAGS = [
  "a",
  "blockquote",
  "br",
  "code",
  "del",
  "em",
  "h1",
  "h2",
  "h3",
  "h4",
  "h5",
  "h6",
  "hr",
  "li",
  "ol",
  "p",
  "pre",
  "s",
  "strong",
  "table",
  "tbody",
  "td",
  "th",
  "thead",
  "tr",
  "ul",
];
const SAFE_LINK = /^(?:https?:\/\/|mailto:)/i;
const MARKDOWN = {
  ALLOWED_TAGS: TAGS,
  ALLOWED_ATTR: ["href", "title", "start", "class"],
  ALLOWED_URI_REGEXP: SAFE_LINK,
};
const HIGHLIGHTING = { ALLOWED_TAGS: ["span"], ALLOWED_ATTR: ["class"] };
const MAX_HIGHLIGHTED = 20_000; // characters; longer code is not highlighted
const MAX_AT_ONCE = 20_000; // characters; a longer body is rendered chunk by chunk
const RETRY = 300; // milliseconds after which a refused chunk is offered again
const MAX_LINE = 40_000; // characters; a body with a longer line is shown as plain text
const LONG_LINE = new RegExp(`.{${MAX_LINE}}`);

const parser = new MarkdownIt({ html: false, linkify: true, breaks: true, maxNesting: 30 });
parser.validateLink = (url) => SAFE_LINK.test(url.trim());
// Loading an image would tell its server who reads the message, and when: it becomes a link.
parser.renderer.rules.image = (tokens, index) => {
  const { escapeHtml } = parser.utils;
  const url = tokens[index].attrGet("src") ?? "";
  return `<a href="${escapeHtml(url)}">${escapeHtml(`image: ${tokens[index].content || url}`)}</a>`;
};

/** @param {string} body @returns {Node} */
export function render(body) {
  return body.length > MAX_AT_ONCE ? renderWhileRead(body.replace(/\r\n?/g, "\n")) : renderNow(body);
}

/**
 * Renders the first chunk, and the next one whenever its end scrolls into view, so that the page stays responsive
 * however long the body is. Before each chunk it dispatches "grow", which the list may cancel to postpone it.
 * @param {string} body
 */
function renderWhileRead(body) {
  const env = linkDefinitions(parser, body);
  const chunks = splitMarkdown(parser, body);
  const element = make("div.chunks");
  const more = make("div.more", { "aria-hidden": "true" }, "…");
  const renderNext = () => {
    const { value: chunk } = chunks.next();
    if (!chunk) return more.remove();
    const isCode = chunk.language !== undefined;
    element.append(isCode ? codeBlock(chunk.text, chunk.language ?? "") : renderNow(chunk.text, env), more);
  };
  const observer = new IntersectionObserver((entries) => {
    if (!entries.at(-1)?.isIntersecting) return;
    const mayGrow = element.dispatchEvent(new Event("grow", { bubbles: true, cancelable: true }));
    if (mayGrow) renderNext();
    setTimeout(observeAgain, mayGrow ? 0 : RETRY);
  });
  const observeAgain = () => {
    observer.unobserve(more);
    if (more.parentNode) observer.observe(more); // reports again if it is still in view
  };
  renderNext();
  observer.observe(more);
  return element;
}

/** @param {string} body @param {object} [env] @returns {Node} */
function renderNow(body, env) {
  if (LONG_LINE.test(body)) return make("pre.plain", {}, body);
  const fragment = DOMPurify.sanitize(parser.render(body, env), { ...MARKDOWN, RETURN_DOM_FRAGMENT: true });
  for (const link of fragment.querySelectorAll("a")) {
    link.target = "_blank";
    link.rel = "noopener noreferrer";
  }
  for (const table of fragment.querySelectorAll("table")) {
    const frame = make("div.table", { tabindex: 0, role: "region", "aria-label": "Table" });
    table.replaceWith(frame);
    frame.append(table);
  }
  for (const code of fragment.querySelectorAll("pre > code")) decorateCode(/** @type {HTMLElement} */ (code));
  for (const element of fragment.querySelectorAll("[class]:not(.table, .code, .code *)"))
    element.removeAttribute("class");
  return fragment;
}

/** @param {HTMLElement} code */
function decorateCode(code) {
  const language = /^language-([\w+#-]{1,30})$/.exec(code.className)?.[1] ?? "";
  code.parentElement?.replaceWith(codeBlock(code.textContent ?? "", language));
}

/** A block of code, highlighted if its language is known, with a button to copy it. @param {string} text @param {string} language */
function codeBlock(text, language) {
  const code = make("code", {}, text);
  if (hljs.getLanguage(language) && text.length <= MAX_HIGHLIGHTED) {
    const { value } = hljs.highlight(text, { language, ignoreIllegals: true });
    code.replaceChildren(DOMPurify.sanitize(value, { ...HIGHLIGHTING, RETURN_DOM_FRAGMENT: true }));
  }
  const button = copyButton("button.copy", "Copy", () => text);
  const pre = make("pre", { tabindex: 0 }, code); // focusable: wide code must scroll without a mouse
  return make("div.code", {}, make("div.code-head", {}, make("span", {}, language), button), pre);
}

/** The first words of a body, without Markdown syntax. @param {string} body */
export function excerpt(body) {
  const line = body
    .slice(0, 400)
    .replace(/[#*_`>|~-]+/g, " ")
    .replace(/\s+/g, " ")
    .trim();
  return line.length > 120 ? `${line.slice(0, 119)}…` : line;
}
