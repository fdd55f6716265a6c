// The views explorer's page. What a movement does is computed by teeny (views.cpp); this draws the answer.
'use strict';

const SVG = 'http://www.w3.org/2000/svg';
let teeny, state, chosen = 0;

// ---- Asking teeny ---------------------------------------------------------------------------------------------------

function ask(name, argument) {
  const answer = teeny.ccall(
      name, 'string', argument === undefined ? [] : ['string'],
      argument === undefined ? [] : [JSON.stringify(argument)]);
  state = JSON.parse(answer);
  chosen = Math.min(chosen, Math.max(state.cells.length - 1, 0));
  draw();
}
const begin = shape => {
  chosen = 0;
  ask('views_start', shape);
};
const move = (name, ...args) => ask('views_move', {move: name, args});

// ---- Small things ---------------------------------------------------------------------------------------------------

function element(name, attributes = {}, ...children) {
  const svg = ['svg', 'g', 'rect', 'text', 'path', 'defs', 'marker', 'title'].includes(name);
  const made = svg ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith('on')) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}
const tuple = list => '(' + list.join(', ') + (list.length === 1 ? ',)' : ')');
const product = list => list.reduce((a, b) => a * b, 1);

function indexOf(position, shape) {
  const index = [];
  for (let a = shape.length - 1; a >= 0; --a) {
    index[a] = position % shape[a];
    position = Math.floor(position / shape[a]);
  }
  return index;
}
const at = (coef, offset, index) => index.reduce((sum, i, a) => sum + coef[a] * i, offset);

/// `4*i + k - 1`: an affine form with a letter for each axis.
const LETTERS = 'ijklmnopqrstuvwx';
function formula(coef, offset, values) {
  const terms = coef.map((c, a) => [c, values ? values[a] : LETTERS[a]])
                    .filter(([c]) => c !== 0)
                    .map(([c, x]) => [c < 0 ? '-' : '+', Math.abs(c) === 1 && !values ? x : `${Math.abs(c)}*${x}`]);
  if (offset !== 0 || terms.length === 0) terms.push([offset < 0 ? '-' : '+', Math.abs(offset)]);
  return terms.map(([sign, term], t) => t === 0 ? (sign === '-' ? '-' : '') + term : ` ${sign} ${term}`).join('');
}

// ---- The picture ----------------------------------------------------------------------------------------------------

/// Where each element is drawn: the last axis runs to the right, the one before it down, and so on in turns.
function layout(shape, size) {
  let width = size, height = size;
  const steps = [];
  for (let k = 0; k < shape.length; ++k) {
    const a = shape.length - 1 - k, gap = k < 2 ? 0 : size * 0.45 * Math.floor(k / 2);
    const extent = k % 2 === 0 ? width : height;
    steps[a] = {right: k % 2 === 0, step: extent + gap};
    const whole = Math.max(shape[a], 1) * (extent + gap) - gap;
    if (k % 2 === 0) width = whole;
    else height = whole;
  }
  const place = index =>
      index.reduce(([x, y], i, a) => steps[a].right ? [x + i * steps[a].step, y] : [x, y + i * steps[a].step], [0, 0]);
  return {width, height, place};
}

const colour = (address, count) => `hsl(${Math.round(205 + 300 * address / count) % 360} 62% var(--cell))`;

function drawCell(x, y, size, address, count, attributes) {
  const cell = element('g', {...attributes, 'data-address': address});
  const inset = address < 0 ? 2 : 0;
  const rect = element('rect', {x: x + inset, y: y + inset, width: size - 2 * inset, height: size - 2 * inset, rx: 4});
  cell.append(rect);
  if (address < 0) {
    cell.classList.add('none');
  } else {
    rect.style.fill = colour(address, count);
    const text = element('text', {x: x + size / 2, y: y + size / 2});
    text.style.fontSize = Math.min(13, size * 0.45) + 'px';
    text.append(address);
    cell.append(text);
  }
  return cell;
}

function drawPicture() {
  const count = product(state.base), shape = state.shape, room = Math.max(byId('picture').clientWidth, 280);
  const units = layout(shape, 1);
  const size = Math.max(17, Math.min(40, (room - 40) / units.width, 640 / Math.max(units.height, 1)));
  const small = Math.max(20, Math.min(32, room / Math.min(count, 32) - 1));  // of a cell of the buffer
  const columns = Math.max(1, Math.floor(room / small));
  const view = layout(shape, size), top = 24, rows = Math.ceil(count / columns);
  const from = top + rows * small + 70, left = 16;
  const width = Math.max(room - 4, left + view.width + 24), height = from + view.height + 24;
  const svg = element('svg', {
    width,
    height,
    viewBox: `0 0 ${width} ${height}`,
    role: 'group',
    'aria-label': `A buffer of ${count} elements, and a view of shape ${tuple(shape)}`
  });
  svg.append(element(
      'defs', {},
      element(
          'marker', {id: 'head', viewBox: '0 0 8 8', refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: 'auto'},
          element('path', {d: 'M0 0L8 4L0 8z'}))));

  const title = (text, x, y) => {
    const t = element('text', {x, y});
    t.append(text);
    svg.append(t);
  };
  title(`the buffer: ${count} elements, by address`, 0, 14);
  const seen = new Set(state.cells), buffer = element('g', {id: 'buffer'});
  const bufferPlace = address => [(address % columns) * small, top + Math.floor(address / columns) * small];
  for (let address = 0; address < count; ++address)
    buffer.append(drawCell(
        ...bufferPlace(address), small, address, count, {class: 'cell' + (seen.has(address) ? '' : ' unseen')}));
  svg.append(buffer);

  const empty = state.cells.filter(address => address < 0).length;
  title(
      `the view ${tuple(shape)}${empty ? `: ${empty} of ${state.cells.length} are padding` : ''}`, 0,
      from - 22);
  const cells = element('g', {
    id: 'view',
    tabindex: 0,
    role: 'img',
    onkeydown: walk,
    'aria-label': 'The elements of the view. Arrow keys choose one; what it reads is said below.'
  });
  state.cells.forEach((address, n) => {
    const [x, y] = view.place(indexOf(n, shape));
    cells.append(drawCell(
        left + x, from + y, size, address, count,
        {class: 'cell', 'data-n': n, onpointerenter: () => choose(n), onclick: () => choose(n)}));
  });
  svg.append(cells, element('path', {class: 'arrow', d: ''}));
  byId('picture').replaceChildren(svg);
  drawHandles(svg, left, from, view, size);

  svg.arrow = () => {
    const address = state.cells[chosen], arrow = svg.querySelector('.arrow');
    svg.querySelectorAll('.chosen').forEach(cell => cell.classList.remove('chosen'));
    if (address === undefined) return arrow.setAttribute('d', '');
    cells.children[chosen].classList.add('chosen');
    if (address < 0) return arrow.setAttribute('d', '');
    buffer.children[address].classList.add('chosen');
    const [x, y] = view.place(indexOf(chosen, shape)), [toX, toY] = bufferPlace(address);
    const [x1, y1, x2, y2] = [left + x + size / 2, from + y + 3, toX + small / 2, toY + small + 1];
    const bend = Math.max(18, (y1 - y2) / 2.2);
    arrow.setAttribute('d', `M${x1} ${y1}C${x1} ${y1 - bend} ${x2} ${y2 + bend} ${x2} ${y2}`);
  };
}

/// Drag an edge of the view outward: pad. Inward: shrink.
function drawHandles(svg, left, from, view, size) {
  const rank = state.shape.length, edges = [];
  if (rank >= 1)
    edges.push(
        [rank - 1, 'before', left - 9, from + view.height / 2],
        [rank - 1, 'after', left + view.width + 9, from + view.height / 2]);
  if (rank >= 2)
    edges.push(
        [rank - 2, 'before', left + view.width / 2, from - 7],
        [rank - 2, 'after', left + view.width / 2, from + view.height + 9]);
  for (const [axis, end, x, y] of edges) {
    const along = axis === rank - 1, half = along ? [4, 13] : [13, 4];
    const handle = element('rect', {
      class: 'handle',
      'data-axis': axis,
      'data-end': end,
      x: x - half[0],
      y: y - half[1],
      width: 2 * half[0],
      height: 2 * half[1],
      rx: 4
    });
    handle.append(element('title', {}, `drag outward: pad axis ${axis}; inward: shrink it`));
    const ghost = element('rect', {class: 'ghost', rx: 4, visibility: 'hidden'});
    let startAt = null, steps = 0;
    const whole = () => {
      const grown = steps * size, before = end === 'before';
      ghost.setAttribute('x', left - (along && before ? grown : 0));
      ghost.setAttribute('y', from - (!along && before ? grown : 0));
      ghost.setAttribute('width', Math.max(0, view.width + (along ? grown : 0)));
      ghost.setAttribute('height', Math.max(0, view.height + (along ? 0 : grown)));
      ghost.setAttribute('visibility', steps ? 'visible' : 'hidden');
    };
    handle.addEventListener('pointerdown', event => {
      startAt = along ? event.clientX : event.clientY;
      handle.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    handle.addEventListener('pointermove', event => {
      if (startAt === null) return;
      const moved = (along ? event.clientX : event.clientY) - startAt;
      steps = Math.max(-state.shape[axis], Math.round((end === 'before' ? -moved : moved) / size));
      whole();
    });
    handle.addEventListener('pointerup', () => {
      startAt = null;
      if (steps > 0) pad(axis, end, steps);
      else if (steps < 0) cut(axis, end, -steps);
    });
    handle.addEventListener('pointercancel', () => {
      startAt = null, steps = 0;
      whole();
    });
    svg.append(handle, ghost);
  }
}

function choose(n) {
  chosen = n;
  byId('picture').firstChild.arrow();
  byId('explain').replaceChildren(...explain(n));
}

function walk(event) {
  const shape = state.shape, rank = shape.length;
  const ways = {
    ArrowRight: [rank - 1, 1],
    ArrowLeft: [rank - 1, -1],
    ArrowDown: [rank - 2, 1],
    ArrowUp: [rank - 2, -1]
  };
  const [axis, by] = ways[event.key] ?? [-1, 0];
  if (axis < 0 || !state.cells.length) return;
  event.preventDefault();
  const stride = product(shape.slice(axis + 1)), next = chosen + by * stride;
  if (next >= 0 && next < state.cells.length) choose(next);
}

/// From the index through each View, the last one first, to the buffer.
function explain(n) {
  if (state.cells.length === 0) return ['The view has no elements.'];
  let index = indexOf(n, state.shape);
  const lines = [`Element ${tuple(index)}: `];
  for (let v = state.views.length - 1; v >= 0; --v) {
    const view = state.views[v], several = state.views.length > 1;
    for (const guard of view.guards) {
      const position = at(guard.coef, guard.offset, index);
      if (position < 0 || position >= guard.size)
        return [
          ...lines,
          `a guard wants 0 <= ${formula(guard.coef, guard.offset, index)} < ${guard.size}, and it is ${position}. `,
          'Nothing is stored for it: it reads as 0.'
        ];
    }
    const position = at(view.strides, view.offset, index);
    lines.push(`${several ? `View ${v}: ` : 'address '}${formula(view.strides, view.offset, index)} = ${position}`);
    if (v > 0) {
      index = indexOf(position, state.views[v - 1].shape);
      lines.push(`, which in the shape ${tuple(state.views[v - 1].shape)} below is element ${tuple(index)}; `);
    } else lines.push('.');
  }
  return lines;
}

// ---- The movements --------------------------------------------------------------------------------------------------

const zeros = () => state.shape.map(() => 0);
function pad(axis, end, amount) {
  const before = zeros(), after = zeros();
  (end === 'before' ? before : after)[axis] = amount;
  move('pad', before, after);
}
function cut(axis, end, amount) {
  const first = zeros(), last = [...state.shape];
  if (end === 'before') first[axis] = amount;
  else last[axis] -= amount;
  move('shrink', first, last);
}

function axisRow(axis) {
  const size = state.shape[axis], view = state.views[state.views.length - 1];
  const does = (text, title, act) =>
      element('button', {title, 'aria-label': `${title}, axis ${axis}`, onclick: act}, text);
  const buttons = [
    does('flip', 'run backwards', () => move('flip', axis)),
    does('pad <', 'a zero before', () => pad(axis, 'before', 1)),
    does('pad >', 'a zero behind', () => pad(axis, 'after', 1)),
    does('cut <', 'without the first', () => cut(axis, 'before', 1)),
    does('cut >', 'without the last', () => cut(axis, 'after', 1)),
    does(
        'windows', 'unfold: windows of 2, or of 3 where there is room',
        () => move('unfold', axis, size > 3 ? 3 : 2, 1)),
  ];
  if (size === 1)
    buttons.push(
        does('expand', 'repeat it 3 times', () => move('expand', state.shape.map((n, a) => a === axis ? 3 : n))));
  if (axis + 1 < state.shape.length)
    buttons.push(does('swap', `transpose with axis ${axis + 1}`, () => {
      const order = state.shape.map((_, a) => a);
      [order[axis], order[axis + 1]] = [axis + 1, axis];
      move('permute', order);
    }));
  return element(
      'tr', {}, element('td', {class: 'number'}, `${axis} ${LETTERS[axis]}`),
      element('td', {class: 'number'}, String(size)), element('td', {class: 'number'}, String(view.strides[axis])),
      element('td', {}, element('div', {class: 'row'}, ...buttons)));
}

const RECIPES = [
  ['transpose, flatten', 'no stride fits: a second View', [3, 4], [['transpose', 0, 1], ['flatten']]],
  ['a window over padding', 'still one View', [6], [['pad', [1], [1]], ['unfold', 0, 3, 1]]],
  [
    '3 x 3 windows of an image', 'what a convolution reads', [4, 4],
    [['pad', [1, 1], [1, 1]], ['unfold', 0, 3, 1], ['unfold', 1, 3, 1]]
  ],
  ['broadcast a row', 'stride 0', [5], [['reshape', [1, 5]], ['expand', [4, 5]]]],
  [
    'the diagonal', 'rows of one element more begin on it', [4, 4],
    [['flatten'], ['pad', [0], [4]], ['reshape', [4, 5]], ['shrink', [0, 0], [4, 1]]]
  ],
  ['pad, flatten', 'a guard that does not fit', [3, 4], [['pad', [0, 1], [0, 1]], ['flatten']]],
  ['and back again', 'two Views become one', [3, 4], [['transpose', 0, 1], ['flatten'], ['reshape', [4, 3]]]],
];

// ---- The page -------------------------------------------------------------------------------------------------------

function drawViews() {
  const views = state.views.map((view, v) => {
    const list = element('dl');
    const say = (name, value) => list.append(element('dt', {}, name), element('dd', {class: 'number'}, value));
    say('shape', tuple(view.shape));
    say('strides', tuple(view.strides));
    say('offset', String(view.offset));
    say('address', formula(view.strides, view.offset));
    view.guards.forEach(guard => say('guard', `0 <= ${formula(guard.coef, guard.offset)} < ${guard.size}`));
    const several = state.views.length > 1;
    const where = !several ? ''
        : v === 0          ? ', which reads the buffer'
                           : `, which reads the elements of View ${v - 1} in row-major order`;
    return element(
        'div', {class: 'panel view'}, element('strong', {}, several ? `View ${v}` : 'One View'), where, list,
        element('code', {class: 'soft'}, view.text),
        ...(view.contiguous && !several
                ? [element('div', {class: 'soft'}, 'contiguous: the buffer from its first element on')]
                : []));
  });
  byId('views').replaceChildren(...views.reverse());  // the one nearest to the reader first
  const count = state.views.length;
  byId('why').textContent = count === 1 ? '' :
      `${state.why} So teeny keeps ${count} Views, one on top of the other. A kernel reads through one View: when ` +
          'the tensor is computed, the scheduler first copies the elements that the lower View sees.';
}

function drawExpression() {
  const parts = [`x = Tensor::from(buffer, {${state.base.join(', ')}})`];
  let before = 1;
  for (const call of state.calls) {
    parts.push('\n    ' + call.text);
    if (call.views > before) parts.push(element('span', {class: 'second'}, `   // ${call.views} Views`));
    else if (call.views < before) parts.push(`   // ${call.views === 1 ? 'one View' : call.views + ' Views'} again`);
    before = call.views;
  }
  byId('expression').replaceChildren(...parts);
}

function drawSizes() {
  if (byId('sizes').dataset.rank === String(state.base.length)) {
    state.base.forEach((size, a) => {
      const slider = byId('size' + a);
      slider.value = size;
      slider.nextElementSibling.value = size;
    });
    return;
  }
  byId('sizes').dataset.rank = state.base.length;
  const rank = element('select', {
    id: 'rank',
    'aria-label': 'How many axes the buffer has',
    onchange: event => begin([[12], [3, 4], [2, 3, 4], [2, 2, 3, 3]][event.target.value - 1])
  });
  for (let r = 1; r <= 4; ++r)
    rank.append(element(
        'option', {value: r, ...(r === state.base.length ? {selected: ''} : {})}, r === 1 ? '1 axis' : r + ' axes'));
  const most = [32, 10, 6, 4][state.base.length - 1];
  const sliders = state.base.map(
      (size, a) => element(
          'label', {class: 'size'}, `axis ${a}`,
          element('input', {type: 'range', id: 'size' + a, min: 1, max: most, value: size, oninput: resize}),
          element('output', {class: 'number'}, String(size))));
  byId('sizes').replaceChildren(rank, ...sliders);
}
function resize() { begin(state.base.map((_, a) => Number(byId('size' + a).value))); }

function draw() {
  byId('error').textContent = state.error;
  drawSizes();
  drawExpression();
  drawPicture();
  choose(chosen);
  byId('axes').replaceChildren(...state.shape.map((_, axis) => axisRow(axis)));
  drawViews();
  byId('undo').disabled = byId('reset').disabled = state.calls.length === 0;
  if (document.activeElement !== byId('to')) byId('to').value = state.shape.join(', ');
}

const typedShape = () => byId('to').value.split(/[^-\d]+/).filter(Boolean).map(Number);
byId('undo').onclick = () => ask('views_undo');
byId('reset').onclick = () => begin(state.base);
byId('flatten').onclick = () => move('flatten');
byId('unsqueeze').onclick = () => move('unsqueeze', 0);
byId('reshape').onsubmit = event => {
  event.preventDefault();
  move('reshape', typedShape());
};
byId('expand').onclick = () => move('expand', typedShape());
for (const [name, title, shape, moves] of RECIPES)
  byId('recipes').append(element('button', {title, onclick: () => follow(shape, moves)}, name));
function follow(shape, moves) {
  begin(shape);
  for (const step of moves) move(...step);
  choose(Math.max(0, state.cells.findIndex(address => address >= 0)));
}
let width = 0;
addEventListener('resize', () => {
  if (!state || innerWidth === width) return;
  width = innerWidth;
  drawPicture();
  choose(chosen);
});

startTeeny(teeny_views).then(started => {
  teeny = started;
  byId('status').hidden = true;
  byId('main').hidden = false;
  begin([3, 4]);
});
