// Ours: what the page uses of it.
export type Token = {
  type: string;
  level: number;
  map: [number, number] | null;
  info: string;
  markup: string;
  content: string;
  attrGet(name: string): string | null;
};
export default class MarkdownIt {
  constructor(options: { html: boolean; linkify: boolean; breaks: boolean; maxNesting: number });
  validateLink: (url: string) => boolean;
  renderer: { rules: Record<string, (tokens: Token[], index: number) => string> };
  utils: { escapeHtml(text: string): string };
  block: { parse(text: string, parser: MarkdownIt, env: object, tokens: Token[]): void };
  render(text: string, env?: object): string;
}
