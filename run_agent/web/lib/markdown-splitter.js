/**
 * Splits a long Markdown body into chunks that can be rendered one by one. It cuts between blocks; within a block that
 * is too long for one chunk, it cuts between list items or lines. A code fence at the top level is never cut.
 */

/** @typedef {import("../vendor/markdown-it.esm.min.mjs").default} Parser */
/** @typedef {import("../vendor/markdown-it.esm.min.mjs").Token} Token */
/** @typedef {{text: string, language?: string}} Chunk  With a language, even an empty one, the text is code. */

const CHUNK_LENGTH = 8_000; // characters, extended to the end of the line
const DEFINITION = /^ {0,3}\[[^\]\n]+\]:[ \t]*\S.*$/gm;
const MAX_DEFINITIONS = 1_000;

/**
 * The targets of reference links like [this][name]. They apply to all chunks, wherever they are defined.
 * @param {Parser} parser
 * @param {string} body
 */
export function linkDefinitions(parser, body) {
  const env = {};
  const lines = (body.match(DEFINITION) ?? []).slice(0, MAX_DEFINITIONS);
  parser.block.parse(lines.join("\n\n"), parser, env, []);
  return env;
}

/** @param {Parser} parser @param {string} body with LF line ends @returns {Generator<Chunk, void>} */
export function* splitMarkdown(parser, body) {
  let tableHead = ""; // repeated in each chunk of a table that was cut
  for (let start = 0; start < body.length; ) {
    const end = nextLine(body, start + CHUNK_LENGTH);
    const text = tableHead + body.slice(start, end);
    const tokens = parseBlocks(parser, text);
    const blocks = tokens.filter(({ level, map }) => level === 0 && map);
    const [first] = blocks;
    if (blocks.length === 1 && first.type === "fence") {
      const fence = readFence(body, start + lineOffset(text, firstLine(first)), first);
      yield fence;
      start = fence.end;
    } else {
      const length = end === body.length ? text.length : lineOffset(text, cutLine(blocks, tokens)) || text.length;
      yield { text: text.slice(0, length) };
      start += length - tableHead.length;
      tableHead = length === text.length && first?.type === "table_open" ? headOfTable(text, first) : "";
    }
  }
}

/** @param {Parser} parser @param {string} text */
function parseBlocks(parser, text) {
  /** @type {Token[]} */
  const tokens = [];
  parser.block.parse(text, parser, {}, tokens);
  return tokens;
}

/**
 * The first line of the last block, or of the last list item if there is one block only. 0: there is no place to cut.
 * @param {Token[]} blocks
 * @param {Token[]} tokens
 */
function cutLine(blocks, tokens) {
  const items = tokens.filter(({ type, level }) => type === "list_item_open" && level === 1);
  const last = (blocks.length > 1 ? blocks : items).at(-1);
  return last ? firstLine(last) : 0;
}

/**
 * The code of a fence, to its closing line or the end of the body.
 * @param {string} body
 * @param {number} offset of its first line
 * @param {Token} fence
 */
function readFence(body, offset, { markup, info }) {
  const start = nextLine(body, offset);
  const closing = new RegExp(`^ {0,3}${markup[0]}{${markup.length},}[ \\t]*$`, "gm");
  closing.lastIndex = start;
  const match = closing.exec(body);
  const text = body.slice(start, match?.index);
  return { text, language: info.trim().split(/\s/)[0], end: match ? nextLine(body, match.index) : body.length };
}

/** The heading row and the delimiter row. @param {string} text @param {Token} table */
const headOfTable = (text, table) =>
  text.slice(lineOffset(text, firstLine(table)), lineOffset(text, firstLine(table) + 2));

/** @param {Token} token */
const firstLine = ({ map }) => map?.[0] ?? 0;

/** The offset at which a line begins. @param {string} text @param {number} line */
function lineOffset(text, line) {
  let offset = 0;
  for (let number = 0; number < line; number++) offset = nextLine(text, offset);
  return offset;
}

/** The offset of the line after the one that contains this offset. @param {string} text @param {number} offset */
function nextLine(text, offset) {
  const end = text.indexOf("\n", offset);
  return end < 0 ? text.length : end + 1;
}
