// The fusion explorer's page: two pictures of one program, as GRAPH= draws them, whose kernels can be chosen.
'use strict';

const byId = id => document.getElementById(id);
const ways = {  // of each: its picture, and what is chosen in it
  fused: {},
  unfused: {}
};

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/// 1234567 as `1.23 MB`.
function bytes(value) {
  const units = ['B', 'kB', 'MB', 'GB'];
  let unit = 0;
  for (; value >= 999.5 && unit < 3; ++unit) value /= 1000;
  return `${value >= 99.5 || unit === 0 ? value.toFixed(0) : value.toPrecision(3)} ${units[unit]}`;
}
const total = (graph, what) => graph.kernels.reduce((sum, kernel) => sum + kernel[what], 0);

/// Takes the picture of a way, and finds its kernels and arrows: Graphviz writes k3 and i0->k3 as titles.
function place(name, graph) {
  const way = ways[name], section = byId(name), frame = section.querySelector('.graph');
  frame.innerHTML = graph.svg;
  Object.assign(way, {section, frame, graph, svg: frame.querySelector('svg'), nodes: {}, arrows: [], chosen: null});
  way.svg.setAttribute('role', 'group');
  way.svg.setAttribute('aria-label', `${graph.kernels.length} kernels`);
  way.natural = way.svg.viewBox.baseVal.width * 1.25;
  for (const part of way.svg.querySelectorAll('.node, .edge')) {
    const title = part.querySelector('title').textContent;
    part.querySelector('title').remove();
    if (part.classList.contains('edge')) {
      const [from, to] = title.split('->');
      way.arrows.push({from, to, part});
      continue;
    }
    way.nodes[title] = part;
    if (title[0] !== 'k') continue;
    const number = Number(title.slice(1)), label = graph.kernels[number].listing.split('\n')[0];
    part.classList.add('kernel');
    part.setAttribute('role', 'button');
    part.setAttribute('aria-label', `kernel ${number}: ${label}`);
    part.setAttribute('tabindex', number === 0 ? 0 : -1);
    part.addEventListener('click', () => choose(name, number));
    part.addEventListener('focus', () => choose(name, number));
    part.addEventListener('keydown', event => step(event, name, number));
  }
  zoom(name, Math.max(0.55, Math.min(1, (frame.clientWidth - 20) / way.natural)));
  choose(name, null);
}

function zoom(name, scale) {
  const way = ways[name], box = way.svg.viewBox.baseVal;
  way.scale = Math.max(0.1, Math.min(3, scale));
  way.svg.setAttribute('width', way.natural * way.scale);
  way.svg.setAttribute('height', way.natural * way.scale * box.height / box.width);
}

function step(event, name, number) {
  const by = {ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1}[event.key];
  const last = ways[name].graph.kernels.length - 1;
  const next = by ? number + by : {Home: 0, End: last, Enter: number, ' ': number}[event.key] ?? -1;
  if (next < 0 || next > last) return;
  event.preventDefault();
  ways[name].nodes['k' + next].focus();
  choose(name, next);
}

function choose(name, number) {
  const way = ways[name], panel = way.section.querySelector('.listing');
  if (number !== null && way.chosen === number) return;
  way.chosen = number;
  way.svg.querySelectorAll('.chosen, .reads, .writes')
      .forEach(part => part.classList.remove('chosen', 'reads', 'writes'));
  if (number === null) {
    panel.replaceChildren(element('span', {class: 'soft'}, 'Choose a kernel: here is what it computes.'));
    return;
  }
  const id = 'k' + number, kernel = way.graph.kernels[number];
  way.nodes[id].classList.add('chosen');
  for (const {from, to, part} of way.arrows) {
    if (to === id) part.classList.add('reads'), way.nodes[from].classList.add('reads');
    if (from === id) part.classList.add('writes'), way.nodes[to].classList.add('writes');
  }
  for (const node of Object.values(way.nodes))
    if (node.hasAttribute('tabindex')) node.setAttribute('tabindex', -1);
  way.nodes[id].setAttribute('tabindex', 0);
  panel.replaceChildren(
      element(
          'p', {}, element('strong', {}, `Kernel ${number}`),
          `: moves ${bytes(kernel.bytes)}, ${kernel.flops.toLocaleString('en')} operations`),
      element('pre', {tabindex: 0, 'aria-label': 'its program'}, kernel.listing));
}

function show(program) {
  for (const button of byId('programs').children)
    button.setAttribute('aria-pressed', button.dataset.name === program.name);
  byId('code').textContent = program.code.trimEnd();
  place('fused', program.fused);
  place('unfused', program.unfused);
  const row = (title, what) => element(
      'tr', {}, element('th', {scope: 'row'}, title),
      ...['fused', 'unfused'].map(
          name => element(
              'td', {class: 'number', id: `${what}-${name}`},
              what === 'kernels'     ? String(program[name].kernels.length)
                  : what === 'bytes' ? bytes(total(program[name], 'bytes'))
                                     : total(program[name], 'flops').toLocaleString('en'))));
  byId('table').replaceChildren(
      element(
          'tr', {}, element('th', {scope: 'col'}, ''), element('th', {scope: 'col'}, 'fused'),
          element('th', {scope: 'col'}, 'FUSE=0')),
      row('kernels', 'kernels'), row('bytes read and written', 'bytes'), row('operations', 'flops'));
}

for (const name of Object.keys(ways)) {
  const button = kind => byId(name).querySelector(kind);
  button('.smaller').onclick = () => zoom(name, ways[name].scale / 1.4);
  button('.larger').onclick = () => zoom(name, ways[name].scale * 1.4);
  button('.fit').onclick = () => zoom(name, (ways[name].frame.clientWidth - 20) / ways[name].natural);
}
for (const program of PROGRAMS) {
  const button = element('button', {'data-name': program.name}, program.title);
  button.onclick = () => show(program);
  byId('programs').append(button);
}
show(PROGRAMS.find(program => program.name === 'softmax'));
