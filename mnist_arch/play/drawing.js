// The board, and what each network says of what is drawn on it. Nothing is sent anywhere.

const BRUSH = 18, STEP = 8, SHARES = 10, MAPS = 16, MAPS_IN_ROW = 8;

const networks = JSON.parse(document.getElementById("networks").textContent).map(decoded);
const panels = [...document.querySelectorAll(".network")];
const board = document.getElementById("board"), pen = document.getElementById("pen");
const ink = board.getContext("2d", { willReadFrequently: true });
const percent = new Intl.NumberFormat("en", { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });

let strokes = [], isAsked = false;

// ---------------------------------------------------------------------------------------- drawing

function drawn() {
  ink.fillStyle = "#000";
  ink.fillRect(0, 0, board.width, board.height);
  ink.strokeStyle = "#fff";
  ink.lineWidth = BRUSH;
  ink.lineCap = ink.lineJoin = "round";
  for (const [start, ...points] of strokes) {
    ink.beginPath();
    ink.moveTo(...start);
    for (const point of points.length ? points : [[start[0] + 0.01, start[1]]]) ink.lineTo(...point);
    ink.stroke();
  }
}

/** Draws and asks the networks, once for all that happens until the next picture of the screen. */
function changed() {
  if (isAsked) return;
  isAsked = true;
  requestAnimationFrame(() => {
    isAsked = false;
    drawn();
    const { data } = ink.getImageData(0, 0, board.width, board.height);
    const grey = Uint8Array.from({ length: data.length / 4 }, (_, at) => data[4 * at]);
    networks.forEach((network, index) => show(network, panels[index], grey));
  });
}

function place({ clientX, clientY }) {
  const box = board.getBoundingClientRect(), scale = board.width / box.width;
  return [(clientX - box.left) * scale, (clientY - box.top) * scale];
}

let pointer = null;

// Beside `touch-action: none`, which not every browser has, and none has before the first picture.
board.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });

board.addEventListener("pointerdown", (event) => {
  if (pointer !== null || event.button !== 0) return; // a second finger draws nothing
  pointer = event.pointerId;
  board.setPointerCapture(pointer);
  board.focus({ preventScroll: true });
  event.preventDefault();
  pen.hidden = true;
  lift();
  strokes.push([place(event)]);
  changed();
});

board.addEventListener("pointermove", (event) => {
  if (event.pointerId !== pointer) return;
  const between = event.getCoalescedEvents?.() ?? [];
  strokes.at(-1).push(...(between.length ? between : [event]).map(place));
  changed();
});

for (const end of ["pointerup", "pointercancel"]) {
  board.addEventListener(end, (event) => {
    if (event.pointerId === pointer) pointer = null;
  });
}

/** Ends the line that is being drawn, by a pointer or by keys. */
function letGo() {
  pointer = null;
  lift();
}

function undo() {
  letGo();
  strokes.pop();
  changed();
}

function clear() {
  letGo();
  strokes = [];
  changed();
}

document.getElementById("undo").addEventListener("click", undo);
document.getElementById("clear").addEventListener("click", clear);

// --------------------------------------------------------------------------------------- the keys

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const held = new Set();
let at = [board.width / 2, board.height / 2], isDown = false;

function lift() {
  isDown = false;
  pen.classList.remove("down");
}

function showPen() {
  pen.hidden = false;
  pen.style.left = `${(100 * at[0]) / board.width}%`;
  pen.style.top = `${(100 * at[1]) / board.height}%`;
}

/** One step by all arrows that are held, so that two of them draw a slope. */
function movePen() {
  const within = (value) => Math.min(Math.max(value, 0), board.width);
  for (const key of held) at = at.map((value, axis) => within(value + STEP * ARROWS[key][axis]));
  if (isDown) {
    strokes.at(-1).push([...at]);
    changed();
  }
  showPen();
}

function turnPen() {
  isDown = !isDown;
  pen.classList.toggle("down", isDown);
  if (isDown) strokes.push([[...at]]);
  document.getElementById("pen-said").textContent = isDown ? "The pen is down." : "The pen is up.";
  changed();
  showPen();
}

board.addEventListener("keydown", (event) => {
  if (event.key in ARROWS && !event.ctrlKey && !event.altKey && !event.metaKey) {
    held.add(event.key);
    movePen();
  } else if (event.key === " " || event.key === "Enter") {
    if (!event.repeat) turnPen();
  } else if (event.key === "Backspace" || (event.key === "z" && (event.ctrlKey || event.metaKey))) {
    undo();
  } else if (event.key === "Delete") {
    clear();
  } else {
    return;
  }
  event.preventDefault();
});
board.addEventListener("keyup", (event) => held.delete(event.key));
board.addEventListener("blur", () => {
  held.clear();
  pen.hidden = true;
});

// ------------------------------------------------------------------------------ what networks say

function show(network, panel, grey) {
  const pixels = framed(grey, board.width, board.height, network.framing);
  const values = pixels && valuesOf(network, pixels);
  const shares = values ? softmax(values.at(-1).values) : network.classes.map(() => 0);
  const order = network.classes.map((_, label) => label);
  order.sort((a, b) => shares[b] - shares[a] || a - b);
  const said = values ? [network.classes[order[0]], ` ${percent.format(shares[order[0]])}`] : ["", "–"];
  const answer = panel.querySelector(".answer");
  if (answer.textContent !== said.join("")) answer.replaceChildren(strong(said[0]), said[1]);
  const shown = network.classes.length > SHARES ? order.slice(0, SHARES) : [...order].sort((a, b) => a - b);
  showShares(panel.querySelector("tbody"), shown, (label) => [
    network.classes[label], shares[label], values !== null && label === order[0],
  ]);
  showPixels(panel.querySelector(".seen"), pixels);
  showBlocks(panel.querySelector(".maps"), network, values);
}

function strong(text) {
  const found = document.createElement("strong");
  found.textContent = text;
  return found;
}

function showShares(body, labels, what) {
  while (body.rows.length < labels.length) {
    const row = body.insertRow(), heading = document.createElement("th");
    heading.scope = "row";
    row.append(heading);
    const bar = document.createElement("div");
    bar.className = "bar";
    bar.append(document.createElement("div"));
    row.insertCell().append(bar);
    row.insertCell();
  }
  labels.forEach((label, index) => {
    const row = body.rows[index], [name, share, isMost] = what(label);
    row.className = isMost ? "most" : "";
    row.cells[0].textContent = name;
    row.cells[1].firstElementChild.firstElementChild.style.width = `${100 * share}%`;
    row.cells[2].textContent = percent.format(share);
  });
}

function showPixels(canvas, pixels) {
  paint(canvas, [{ values: pixels ?? new Uint8Array(SIDE * SIDE), width: SIDE, low: 0, high: 255 }], 1);
  canvas.setAttribute("aria-label", pixels ? "the drawing, scaled and centred" : "nothing yet");
}

/** The last value of each block: its first maps, each from its least value, black, to its most. */
function showBlocks(place, network, values) {
  place.hidden = values === null;
  if (values === null) return;
  const blocks = new Map();
  network.operations.forEach((operation, index) => {
    const block = operation.place.split(".")[0];
    if (operation.op !== "Pixels") blocks.set(block, values[index + 1]);
  });
  let index = 0;
  for (const [block, { values: numbers, shape: [channels, height, width] }] of blocks) {
    const figure = place.children[index++] ?? place.appendChild(figureOf());
    const [canvas, caption] = figure.children, shown = Math.min(channels, MAPS);
    caption.textContent = `${inWords(block)}: ${shown < channels ? `${shown} of ` : ""}${channels} maps of ${height}×${width}`;
    canvas.setAttribute("aria-label", `activations of ${inWords(block)}`);
    const size = height * width, least = size === 1 ? numbers : null; // of single numbers all have one scale
    const maps = Array.from({ length: shown }, (_, channel) => {
      const part = numbers.subarray(channel * size, (channel + 1) * size);
      const scaledBy = least ?? part;
      return { values: part, width, low: -largest(scaledBy.map((value) => -value)), high: largest(scaledBy) };
    });
    paint(canvas, maps, MAPS_IN_ROW);
    canvas.style.width = `min(100%, ${Math.min(Math.max(4 * width, 24), 72) * Math.min(shown, MAPS_IN_ROW)}px)`;
  }
}

/** `blocks[0]` of the spec is the first block for a person. */
function inWords(block) {
  const found = /^blocks\[(\d+)\]$/.exec(block);
  return found ? `block ${Number(found[1]) + 1}` : block;
}

function figureOf() {
  const figure = document.createElement("figure"), canvas = document.createElement("canvas");
  canvas.className = "map";
  canvas.setAttribute("role", "img");
  figure.append(canvas, document.createElement("figcaption"));
  return figure;
}

/** Maps beside each other, with a line of one pixel between them. */
function paint(canvas, maps, inRow) {
  const side = maps[0].width, across = side + 1, down = maps[0].values.length / side + 1;
  const columns = Math.min(inRow, maps.length), width = columns * across - 1;
  const height = Math.ceil(maps.length / columns) * down - 1;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const image = context.createImageData(width, height);
  maps.forEach(({ values, low, high }, index) => {
    const left = (index % columns) * across, top = Math.floor(index / columns) * down;
    values.forEach((value, pixel) => {
      const x = left + (pixel % side), y = top + Math.floor(pixel / side);
      image.data.fill(((value - low) * 255) / (high - low || 1), 4 * (y * width + x), 4 * (y * width + x) + 3);
      image.data[4 * (y * width + x) + 3] = 255;
    });
  });
  context.putImageData(image, 0, 0);
}

changed();
