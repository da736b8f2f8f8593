/**
 * Bodies to elements. They come from agents, which read web pages: nothing in them may run, load or lead astray.
 * Raw HTML stays text; what the parser makes is sanitised all the same; the page's policy is the third wall.
 */

import { copy, make } from "./dom.js";
import { definitions, slices } from "./slices.js";
import hljs from "./vendor/highlight.min.js";
import MarkdownIt from "./vendor/markdown-it.esm.min.mjs";
import DOMPurify from "./vendor/purify.es.mjs";

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
const HIGHLIGHTED = { ALLOWED_TAGS: ["span"], ALLOWED_ATTR: ["class"] };
const LONGEST_CODE = 20_000; // characters that are highlighted
const LONGEST_AT_ONCE = 20_000; // characters of a body; more is shown a slice at a time
const LATER = 300; // milliseconds until it is asked again whether a body is read
const LONGEST_LINE = 40_000; // characters; more is shown as text
const LONG_LINE = new RegExp(`.{${LONGEST_LINE}}`);

const parser = new MarkdownIt({ html: false, linkify: true, breaks: true, maxNesting: 30 });
parser.validateLink = (url) => SAFE_LINK.test(url.trim());
// An image would tell a stranger that, when and where it is looked at: it becomes a link.
parser.renderer.rules.image = (tokens, index) => {
  const { escapeHtml } = parser.utils;
  const url = tokens[index].attrGet("src") ?? "";
  return `<a href="${escapeHtml(url)}">${escapeHtml(`image: ${tokens[index].content || url}`)}</a>`;
};

/** @param {string} body @returns {Node} */
export function render(body) {
  return body.length > LONGEST_AT_ONCE ? renderAsSeen(body.replace(/\r\n?/g, "\n")) : renderNow(body);
}

/** As far as it is seen, and the next slice where the reader comes near its end: the page answers however long it is. @param {string} body */
function renderAsSeen(body) {
  const env = definitions(parser, body);
  const rest = slices(parser, body);
  const element = make("div.slices");
  const more = make("div.more", { "aria-hidden": "true" }, "…");
  const next = () => {
    const { value: slice } = rest.next();
    if (!slice) return more.remove();
    const isCode = slice.language !== undefined;
    element.append(isCode ? codeBlock(slice.text, slice.language ?? "") : renderNow(slice.text, env), more);
  };
  const seen = new IntersectionObserver((entries) => {
    if (!entries.at(-1)?.isIntersecting) return;
    const isRead = element.dispatchEvent(new Event("grow", { bubbles: true, cancelable: true }));
    if (isRead) next();
    setTimeout(again, isRead ? 0 : LATER);
  });
  const again = () => {
    seen.unobserve(more);
    if (more.parentNode) seen.observe(more); // it may be seen still
  };
  next();
  seen.observe(more);
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
  for (const code of fragment.querySelectorAll("pre > code")) dress(/** @type {HTMLElement} */ (code));
  for (const element of fragment.querySelectorAll("[class]:not(.table, .code, .code *)"))
    element.removeAttribute("class");
  return fragment;
}

/** @param {HTMLElement} code */
function dress(code) {
  const language = /^language-([\w+#-]{1,30})$/.exec(code.className)?.[1] ?? "";
  code.parentElement?.replaceWith(codeBlock(code.textContent ?? "", language));
}

/** A block of code: highlighted where its language is known, with a button to copy it. @param {string} text @param {string} language */
function codeBlock(text, language) {
  const code = make("code", {}, text);
  if (hljs.getLanguage(language) && text.length <= LONGEST_CODE) {
    const { value } = hljs.highlight(text, { language, ignoreIllegals: true });
    code.replaceChildren(DOMPurify.sanitize(value, { ...HIGHLIGHTED, RETURN_DOM_FRAGMENT: true }));
  }
  const button = make("button.copy", { type: "button", onclick: () => copied(button, text) }, "Copy");
  const pre = make("pre", { tabindex: 0 }, code); // it may be wider than the page, and must scroll without a mouse
  return make("div.code", {}, make("div.code-head", {}, make("span", {}, language), button), pre);
}

/** @param {HTMLElement} button @param {string} text */
async function copied(button, text) {
  button.textContent = (await copy(text)) ? "Copied" : "Not copied";
  setTimeout(() => {
    button.textContent = "Copy";
  }, 1500);
}

/** The first words of a body, without marks. @param {string} body */
export function excerpt(body) {
  const line = body
    .slice(0, 400)
    .replace(/[#*_`>|~-]+/g, " ")
    .replace(/\s+/g, " ")
    .trim();
  return line.length > 120 ? `${line.slice(0, 119)}…` : line;
}
