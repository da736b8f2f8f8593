/**
 * A long body in slices, each of which is Markdown of its own. It is cut between blocks; and a block that is too long
 * for one slice, between its items or its lines. A fence is never cut, unless it is within another block.
 */

/** @typedef {import("./vendor/markdown-it.esm.min.mjs").default} Parser */
/** @typedef {import("./vendor/markdown-it.esm.min.mjs").Token} Token */
/** @typedef {{text: string, language?: string}} Slice  With a language, be it "": the text is code. */

const LENGTH = 8_000; // characters, to the next end of a line
const DEFINITION = /^ {0,3}\[[^\]\n]+\]:[ \t]*\S.*$/gm;
const MOST_DEFINITIONS = 1_000;

/** Where links like [this][name] lead may be said in any slice. @param {Parser} parser @param {string} body */
export function definitions(parser, body) {
  const env = {};
  const lines = (body.match(DEFINITION) ?? []).slice(0, MOST_DEFINITIONS);
  parser.block.parse(lines.join("\n\n"), parser, env, []);
  return env;
}

/** @param {Parser} parser @param {string} body with plain line ends @returns {Generator<Slice, void>} */
export function* slices(parser, body) {
  let head = ""; // of the table in whose middle it was cut
  for (let at = 0; at < body.length; ) {
    const end = lineEnd(body, at + LENGTH);
    const text = head + body.slice(at, end);
    const tokens = parse(parser, text);
    const blocks = tokens.filter(({ level, map }) => level === 0 && map);
    const [first] = blocks;
    if (blocks.length === 1 && first.type === "fence") {
      const fence = wholeFence(body, at + lineStart(text, firstLine(first)), first);
      yield fence;
      at = fence.end;
    } else {
      const length = end === body.length ? text.length : lineStart(text, lastPart(blocks, tokens)) || text.length;
      yield { text: text.slice(0, length) };
      at += length - head.length;
      head = length === text.length && first?.type === "table_open" ? headOf(text, first) : "";
    }
  }
}

/** @param {Parser} parser @param {string} text */
function parse(parser, text) {
  /** @type {Token[]} */
  const tokens = [];
  parser.block.parse(text, parser, {}, tokens);
  return tokens;
}

/** The line at which the last block begins, or the last item of the only one; 0 where there is one thing alone. @param {Token[]} blocks @param {Token[]} tokens */
function lastPart(blocks, tokens) {
  const items = tokens.filter(({ type, level }) => type === "list_item_open" && level === 1);
  const last = (blocks.length > 1 ? blocks : items).at(-1);
  return last ? firstLine(last) : 0;
}

/** From its first line to the one that closes it, if any. @param {string} body @param {number} at @param {Token} fence */
function wholeFence(body, at, { markup, info }) {
  const start = lineEnd(body, at);
  const closing = new RegExp(`^ {0,3}${markup[0]}{${markup.length},}[ \\t]*$`, "gm");
  closing.lastIndex = start;
  const found = closing.exec(body);
  const text = body.slice(start, found?.index);
  return { text, language: info.trim().split(/\s/)[0], end: found ? lineEnd(body, found.index) : body.length };
}

/** @param {string} text @param {Token} table */
const headOf = (text, table) => text.slice(lineStart(text, firstLine(table)), lineStart(text, firstLine(table) + 2));

/** @param {Token} token */
const firstLine = ({ map }) => map?.[0] ?? 0;

/** Where a line begins. @param {string} text @param {number} line */
function lineStart(text, line) {
  let at = 0;
  for (let number = 0; number < line; number++) at = lineEnd(text, at);
  return at;
}

/** Where the line after the one with this character begins. @param {string} text @param {number} at */
function lineEnd(text, at) {
  const end = text.indexOf("\n", at);
  return end < 0 ? text.length : end + 1;
}
