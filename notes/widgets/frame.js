// Inside of a chapter a page has no title of its own, and tells the chapter how high it is.
'use strict';

if (top !== self) {
  document.documentElement.className = 'inside';
  addEventListener('load', () => new ResizeObserver(() => {
    parent.postMessage({height: document.body.scrollHeight + 2}, '*');
  }).observe(document.body));
}
