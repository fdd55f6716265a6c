// The book's pages work without this; it adds the search, the copy buttons, and the list of pages on a phone.
const up = document.documentElement.dataset.up;
const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

// ---- The list of pages, where it does not stand beside the text -------------------------------------------------------

const menu = document.getElementById('menu');
const showPages = (shown) => {
  document.body.classList.toggle('pages-shown', shown);
  menu.setAttribute('aria-expanded', shown);
};
menu.addEventListener('click', () => showPages(!document.body.classList.contains('pages-shown')));
document.getElementById('main').addEventListener('click', () => showPages(false));
const current = document.querySelector('#pages [aria-current]');
const list = document.getElementById('pages');
if (current) list.scrollTop = current.offsetTop - list.clientHeight / 2;
if (matchMedia('(max-width: 1199px)').matches) document.querySelector('.toc')?.removeAttribute('open');

// ---- Code, and links to sections --------------------------------------------------------------------------------------

for (const pre of document.querySelectorAll('.code pre')) {
  const button = make('button', {type: 'button', className: 'copy', textContent: 'Copy'});
  button.addEventListener('click', async () => {
    await navigator.clipboard.writeText(pre.innerText.replace(/\n*$/, '\n'));
    button.textContent = 'Copied';
    setTimeout(() => button.textContent = 'Copy', 1500);
  });
  pre.parentElement.append(button);
}
for (const heading of document.querySelectorAll('article :is(h2, h3)[id]')) {
  const properties = {className: 'anchor', href: '#' + heading.id, textContent: '#', ariaLabel: 'Link to this section'};
  heading.append(make('a', properties));
}

// A widget says how high it is.
addEventListener('message', (event) => {
  const frame = [...document.querySelectorAll('.widget iframe')].find((f) => f.contentWindow === event.source);
  if (frame && event.data.height > 0) frame.style.height = `${event.data.height}px`;
});

// ---- Search -----------------------------------------------------------------------------------------------------------

const input = document.querySelector('#search input');
const found = document.getElementById('found');
const wordsOf = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);
const patternOf = (words) => new RegExp(words.map((w) => w.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('|'), 'gi');

let index;  // [address, page, section, text, all of these in lower case] of each section, once somebody searches
const loaded = () => index ??= new Promise((done) => {
  const script = make('script', {src: up + 'index.js'});
  script.addEventListener('load', () => done(window.bookIndex.map((s) => [...s, s.slice(1).join('\n').toLowerCase()])));
  document.head.append(script);
});

// A word in a heading counts more than one in the text, and there a whole word more than a part of one.
function score([, page, section, , all], words) {
  let sum = 0;
  for (const word of words) {
    const at = all.indexOf(word);
    if (at < 0) return 0;
    const first = all.search(new RegExp('(?<!\\w)' + word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')));
    sum += 1 + (first >= 0 ? 2 : 0) + Math.min(5, all.split(word).length - 2) / 5;
    if (section.toLowerCase().includes(word)) sum += 6;
    if (page.toLowerCase().includes(word)) sum += section ? 2 : 8;
  }
  return sum;
}

function marked(text, words) {
  const result = document.createDocumentFragment();
  let at = 0;
  for (const match of text.matchAll(patternOf(words))) {
    result.append(text.slice(at, match.index), make('mark', {textContent: match[0]}));
    at = match.index + match[0].length;
  }
  result.append(text.slice(at));
  return result;
}

function snippet(text, words) {
  const at = Math.max(0, text.search(patternOf(words)));
  const from = at < 60 ? 0 : text.indexOf(' ', at - 60) + 1;
  return marked((from ? '… ' : '') + text.slice(from, from + 170) + (from + 170 < text.length ? ' …' : ''), words);
}

async function search() {
  const words = wordsOf(input.value);
  const sections = words.length ? await loaded() : [];
  const best = sections.map((s) => [score(s, words), s]).filter(([points]) => points > 0).sort((a, b) => b[0] - a[0]);
  found.replaceChildren(...best.slice(0, 20).map(([, [address, page, section, text]]) => {
    const [path, fragment] = address.split('#');
    const href = up + path + '?q=' + encodeURIComponent(words.join(' ')) + (fragment ? '#' + fragment : '');
    return make('a', {href}, make('b', {}, page), section ? ' › ' + section : '', make('span', {}, snippet(text, words)));
  }));
  if (words.length && !best.length) found.append(make('p', {textContent: 'No page has all of these words.'}));
  found.hidden = !words.length;
}
input.addEventListener('focus', () => (loaded(), search()));
input.addEventListener('input', search);
document.addEventListener('keydown', (event) => {
  const links = [input, ...found.querySelectorAll('a')], at = links.indexOf(document.activeElement);
  if (event.key === '/' && !/^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName)) input.focus(), input.select();
  else if (event.key === 'Escape') found.hidden = true, showPages(false), unmark(), document.activeElement.blur();
  else if (at >= 0 && event.key === 'ArrowDown') links[Math.min(at + 1, links.length - 1)].focus();
  else if (at >= 0 && event.key === 'ArrowUp') links[Math.max(at - 1, 0)].focus();
  else if (at === 0 && event.key === 'Enter' && links[1]) links[1].click();
  else return;
  event.preventDefault();
});
document.addEventListener('click', (event) => found.hidden ||= !event.target.closest('#search'));

// ---- The words that led here ------------------------------------------------------------------------------------------

const asked = wordsOf(new URLSearchParams(location.search).get('q') ?? '');
if (asked.length) {
  const walker = document.createTreeWalker(document.querySelector('article'), NodeFilter.SHOW_TEXT), nodes = [];
  while (walker.nextNode()) if (walker.currentNode.data.search(patternOf(asked)) >= 0) nodes.push(walker.currentNode);
  for (const node of nodes) {
    node.parentElement.closest('details')?.setAttribute('open', '');
    node.replaceWith(marked(node.data, asked));
  }
}
const unmark = () => document.querySelectorAll('article mark').forEach((mark) => mark.replaceWith(mark.textContent));
