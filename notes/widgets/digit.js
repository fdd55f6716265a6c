// The digit page. The layers are computed by teeny (digit.cpp); this makes 28 x 28 pixels of a drawing, and draws the
// layers.
'use strict';

const kSide = 28, kBox = 20;  // pixels of an image, and of the digit in it
let teeny, pixelsAt;          // where in teeny's memory the image is written
let strokes = [];             // each a list of points [x, y] from 0 to 1
let image = new Float32Array(kSide * kSide), sample = null, times = [];

// ---- From strokes to pixels -----------------------------------------------------------------------------------------

function paint(context, lines, width) {
  context.strokeStyle = context.fillStyle = '#fff';
  context.lineWidth = width;
  context.lineCap = context.lineJoin = 'round';
  for (const line of lines) {
    context.beginPath();
    context.moveTo(...line[0]);
    if (line.length === 1) context.lineTo(line[0][0] + 0.01, line[0][1]);
    for (let i = 1; i < line.length; ++i) {  // through the middles, so that a fast hand has no corners
      const [a, b] = [line[i - 1], line[i]];
      context.quadraticCurveTo(...a, (a[0] + b[0]) / 2, (a[1] + b[1]) / 2);
    }
    context.lineTo(...line[line.length - 1]);
    context.stroke();
  }
}

/// As MNIST's images were made: the digit fills a box of 20 pixels, and its centre of mass lies in the middle of 28.
function pixelsOf(lines) {
  const result = new Float32Array(kSide * kSide), points = lines.flat();
  if (points.length === 0) return result;
  const xs = points.map(p => p[0]), ys = points.map(p => p[1]);
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const pen = 2.1, size = Math.max(right - left, bottom - top, 0.12), scale = (kBox - pen) / size;
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = kSide;
  const context = canvas.getContext('2d', {willReadFrequently: true});
  let [dx, dy] = [kSide / 2 - scale * (left + right) / 2, kSide / 2 - scale * (top + bottom) / 2];
  for (let round = 0; round < 2; ++round) {
    context.clearRect(0, 0, kSide, kSide);
    paint(context, lines.map(line => line.map(([x, y]) => [scale * x + dx, scale * y + dy])), pen);
    const data = context.getImageData(0, 0, kSide, kSide).data;
    let mass = 0, massX = 0, massY = 0;
    for (let i = 0; i < result.length; ++i) {
      result[i] = data[4 * i + 3] / 255;
      mass += result[i], massX += result[i] * (i % kSide + 0.5), massY += result[i] * (Math.floor(i / kSide) + 0.5);
    }
    if (mass === 0) break;
    dx += kSide / 2 - massX / mass, dy += kSide / 2 - massY / mass;
  }
  return result;
}

// ---- Drawing values -------------------------------------------------------------------------------------------------

/// Grey from black (0 or less) to white (`most`).
function drawMap(canvas, values, most) {
  const context = canvas.getContext('2d'), data = context.createImageData(canvas.width, canvas.height);
  for (let i = 0; i < values.length; ++i) {
    data.data.fill(Math.max(0, Math.min(255, 255 * values[i] / most)), 4 * i, 4 * i + 3);
    data.data[4 * i + 3] = 255;
  }
  context.putImageData(data, 0, 0);
}

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function makeBars(list) {
  for (let digit = 0; digit < 10; ++digit)
    list.append(element(
        'li', {}, element('div', {class: 'box'}, element('div', {class: 'fill'})), String(digit),
        element('span', {class: 'value number'})));
}

/// Ten bars: of chances from 0 to 1, or of logits to both sides of a zero.
function drawBars(list, values, signed) {
  const best = values.indexOf(Math.max(...values));
  const low = signed ? Math.min(0, ...values) : 0, high = signed ? Math.max(0, ...values) : 1, range = high - low || 1;
  values.forEach((value, digit) => {
    const item = list.children[digit], fill = item.querySelector('.fill');
    item.className = (digit === best ? 'best ' : '') + (value < 0 ? 'below-zero' : '');
    fill.style.height = 100 * Math.abs(value) / range + '%';
    if (value < 0) fill.style.top = 100 * high / range + '%', fill.style.bottom = 'auto';
    else fill.style.top = 'auto', fill.style.bottom = 100 * -low / range + '%';
    item.dataset.value = value;
    item.querySelector('.value').textContent = signed || value > 0.0005 && value < 0.0995
        ? (signed ? value : 100 * value).toFixed(1)
        : (100 * value).toFixed(0);
    item.setAttribute('aria-label', `${digit}: ${signed ? value.toFixed(2) : (100 * value).toFixed(1) + ' %'}`);
  });
}

/// A row of little images for each layer, or of bars.
function layerOf(layer, n) {
  let part = byId('layers').children[n];
  if (part) return part;
  const [channels, height] = layer.shape;
  const title = element('h3', {}, element('code', {}, layer.name), ` \u2192 (${layer.shape.join(', ')})`);
  part = element('div', {class: 'layer'}, title);
  if (height === undefined) {
    const list = element('ul', {class: 'bars', 'aria-label': 'logits'});
    makeBars(list);
    part.append(list);
  } else {
    const label = `${channels} images of ${height} x ${height} values`;
    const maps = element('div', {class: 'maps', role: 'img', 'aria-label': label});
    const shown = Math.max(2, Math.round(48 / height)) * height;
    for (let c = 0; c < channels; ++c)
      maps.append(element('canvas', {width: height, height, style: `width:${shown}px;height:${shown}px`}));
    part.append(maps);
  }
  byId('layers').append(part);
  return part;
}

function run() {
  drawMap(byId('input'), image, 1);
  const begin = performance.now();
  teeny.HEAPF32.set(image, pixelsAt / 4);
  const answer = JSON.parse(teeny.ccall('digit_run', 'string', ['number'], [pixelsAt]));
  const time = performance.now() - begin;
  if (answer.error) throw new Error(answer.error);
  const from = answer.values / 4;
  answer.layers.forEach((layer, n) => {
    const count = layer.shape.reduce((a, b) => a * b), at = from + layer.from,
          values = teeny.HEAPF32.subarray(at, at + count);
    if (n === answer.layers.length - 1) return say([...values], time);
    const part = layerOf(layer, n);
    if (layer.shape.length === 1) return drawBars(part.querySelector('.bars'), [...values], true);
    const each = count / layer.shape[0], most = values.reduce((a, b) => Math.max(a, b), 1e-6);
    part.querySelectorAll('canvas').forEach(
        (canvas, c) => drawMap(canvas, values.subarray(c * each, (c + 1) * each), most));
  });
}

function say(chances, time) {
  drawBars(byId('chances'), chances, false);
  const best = chances.indexOf(Math.max(...chances)), empty = image.every(x => x === 0);
  byId('answer').replaceChildren(...(empty ? ['Draw a digit.'] : [
    'This is a ', element('strong', {}, String(best)), `, says the network: ${(100 * chances[best]).toFixed(1)} %`
  ]));
  times = [...times.slice(-8), time];
  const middle = [...times].sort((a, b) => a - b)[Math.floor(times.length / 2)];
  byId('time').dataset.ms = middle;
  byId('time').textContent =
      `All layers of an image take ${middle.toFixed(0)} ms here. Of the 10,000 images of the test set ` +
      `this network reads ${DIGIT.accuracy.toFixed(2)} % right.`;
}

// ---- The page -------------------------------------------------------------------------------------------------------

let waiting = false;
function later() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => setTimeout(() => {
                          waiting = false;
                          run();
                        }));
}

function show() {
  const pad = byId('pad'), context = pad.getContext('2d');
  context.fillStyle = '#000';
  context.fillRect(0, 0, pad.width, pad.height);
  if (sample) {
    context.imageSmoothingEnabled = false;
    const small = document.createElement('canvas');
    small.width = small.height = kSide;
    drawMap(small, image, 1);
    context.drawImage(small, 0, 0, pad.width, pad.height);
  }
  context.strokeStyle = '#ffffff1c';
  context.lineWidth = 1;
  for (let i = 1; i < kSide; ++i) {
    const at = i * pad.width / kSide;
    context.strokeRect(at, -1, 0, pad.height + 2);
    context.strokeRect(-1, at, pad.width + 2, 0);
  }
  paint(context, strokes.map(line => line.map(([x, y]) => [x * pad.width, y * pad.height])), pad.width / 13);
  byId('undo').disabled = strokes.length === 0;
}

function changed() {
  image = pixelsOf(strokes);
  sample = null;
  byId('from').textContent = '';
  show();
  later();
}

function load(chosen) {
  strokes = [];
  sample = chosen;
  image = Float32Array.from(bytesOf(chosen.pixels), value => value / 255);
  byId('from').textContent = `Image ${chosen.index} of the test set, a ${chosen.label}.`;
  show();
  run();
}

const pad = byId('pad');
const pointOf = event => {
  const box = pad.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
};
let drawing = null;
pad.onpointerdown = event => {
  drawing = event.pointerId;
  pad.setPointerCapture(drawing);
  strokes.push([pointOf(event)]);
  changed();
};
pad.onpointermove = event => {
  if (event.pointerId !== drawing) return;
  const all = event.getCoalescedEvents?.() ?? [];
  for (const part of all.length ? all : [event]) strokes[strokes.length - 1].push(pointOf(part));
  changed();
};
pad.onpointerup = pad.onpointercancel = () => { drawing = null; };
byId('clear').onclick = () => {
  strokes = [];
  changed();
};
byId('undo').onclick = () => {
  strokes.pop();
  changed();
};

const loaded = {};
function sampleButton(name, title, samples) {
  const button = element('button', {title, 'aria-label': title, 'data-sample': name}, name);
  button.onclick = () => {  // the next one each time
    load(samples[(loaded[name] = (loaded[name] ?? -1) + 1) % samples.length]);
  };
  byId('samples').append(button);
}
DIGIT.right.forEach((samples, digit) => sampleButton(String(digit), `an image of a ${digit}`, samples));
sampleButton('wrong', 'an image that the network reads wrongly', DIGIT.wrong);

makeBars(byId('chances'));
startTeeny(teeny_digit).then(started => {
  teeny = started;
  const weights = bytesOf(DIGIT.weights), at = teeny._malloc(weights.length);
  teeny.HEAPU8.set(weights, at);
  const read = teeny.ccall('digit_load', 'number', ['number'], [at]);
  if (read !== weights.length) throw new Error(`the network has read ${read} of ${weights.length} bytes of weights`);
  teeny._free(at);
  pixelsAt = teeny._malloc(4 * image.length);
  byId('status').hidden = true;
  byId('main').hidden = false;
  load(DIGIT.right[7][0]);
});
