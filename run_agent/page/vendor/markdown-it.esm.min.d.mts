// Ours: what the page uses of it.
type Token = { content: string; attrGet(name: string): string | null };
export default class MarkdownIt {
  constructor(options: { html: boolean; linkify: boolean; breaks: boolean; maxNesting: number });
  validateLink: (url: string) => boolean;
  renderer: { rules: Record<string, (tokens: Token[], index: number) => string> };
  utils: { escapeHtml(text: string): string };
  render(text: string): string;
}
