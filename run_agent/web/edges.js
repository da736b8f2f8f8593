/** What scrolls says so: it fades out at an edge beyond which there is more. */

/** @param {HTMLElement} element */
export function fadeEdges(element) {
  const look = () => {
    const { scrollLeft, scrollWidth, clientWidth, scrollTop, scrollHeight, clientHeight, classList } = element;
    classList.toggle("more-left", scrollLeft > 1);
    classList.toggle("more-right", scrollWidth - scrollLeft - clientWidth > 1);
    classList.toggle("more-above", scrollTop > 1);
    classList.toggle("more-below", scrollHeight - scrollTop - clientHeight > 1);
  };
  element.addEventListener("scroll", look, { passive: true });
  const sizes = new ResizeObserver(look);
  for (const one of [element, ...element.children]) sizes.observe(one);
  new MutationObserver(look).observe(element, { childList: true, subtree: true });
}
