// Ours: what the page uses of it.
type Options = { ALLOWED_TAGS: string[]; ALLOWED_ATTR: string[]; ALLOWED_URI_REGEXP?: RegExp; RETURN_DOM_FRAGMENT: true };
declare const DOMPurify: { sanitize(html: string, options: Options): DocumentFragment };
export default DOMPurify;
