"use strict";
// Runs a network that mnist-arch has written. A value is a map of shape [channels, height, width],
// one number after the other. A picture becomes what the network was trained on by the same steps
// as in `mnist-arch predict`.

const SIDE = 28, MIDDLE = 14, SEEN = 16, FAINT = 0.15;

/** The network with its tensors as numbers; `network` is as it stands in the file. */
function decoded(network) {
  const bytes = Uint8Array.from(atob(network.weights), (letter) => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  const tensors = network.sizes.map((size) => {
    const values = new Float64Array(size);
    for (let index = 0; index < size; index++, at += 4) values[index] = view.getFloat32(at, true);
    return values;
  });
  return { ...network, tensors };
}

/** Every value of a decoded network, from the image on: 28×28 bytes, light on black. */
function valuesOf(network, pixels) {
  const found = [{ values: Float64Array.from(pixels), shape: [1, SIDE, SIDE] }];
  for (const operation of network.operations) {
    const inputs = operation.inputs.map((number) => found[number]);
    const values = OPERATIONS[operation.op](operation, inputs, (index) => network.tensors[index]);
    found.push({ values, shape: operation.shape });
  }
  return found;
}

/** A number for each class. */
function logitsOf(network, pixels) {
  return valuesOf(network, pixels).at(-1).values;
}

/** A share for each class. */
function softmax(logits) {
  const most = largest(logits);
  const powers = Array.from(logits, (value) => Math.exp(value - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((value) => value / sum);
}

// ------------------------------------------------------------------------------------- operations

const OPERATIONS = {
  Pixels({ mean, std }, [{ values }]) {
    return values.map((value) => (value / 255 - mean) / std);
  },

  Convolution(operation, [map], tensor) {
    const { stride, groups, shape } = operation, [outs, height, width] = shape;
    const weight = tensor(operation.weight), bias = tensor(operation.bias);
    const { values, shape: [channels, rows, columns] } = padded(map, operation);
    const inputs = channels / groups, [high, wide] = operation.kernel;
    const found = new Float64Array(outs * height * width);
    for (let out = 0; out < outs; out++) {
      const first = Math.floor(out / (outs / groups)) * inputs, start = out * height * width;
      found.fill(bias[out], start, start + height * width);
      for (let input = 0; input < inputs; input++) {
        const at = (out * inputs + input) * high * wide, from = (first + input) * rows * columns;
        const target = { found, start, height, width }, source = { values, from, columns };
        if (high === 3 && wide === 3 && stride === 1) addThreeByThree(target, source, weight, at);
        else addConvolved(target, source, weight, at, operation);
      }
    }
    return found;
  },

  Scale(operation, [map], tensor) {
    const scale = tensor(operation.scale), shift = tensor(operation.shift);
    return byChannel(map, (value, channel) => value * scale[channel] + shift[channel]);
  },

  GroupNorm(operation, [map], tensor) {
    const { groups, eps } = operation, size = map.values.length / groups;
    const norms = Array.from({ length: groups }, (_, group) => {
      const part = map.values.subarray(group * size, (group + 1) * size);
      const mean = part.reduce((a, b) => a + b, 0) / size;
      const variance = part.reduce((a, b) => a + (b - mean) ** 2, 0) / size;
      return [mean, 1 / Math.sqrt(variance + eps)];
    });
    const scale = tensor(operation.scale), shift = tensor(operation.shift);
    const each = map.values.length / scale.length; // values with one scale
    return map.values.map((value, at) => {
      const [mean, factor] = norms[Math.floor(at / size)], place = Math.floor(at / each);
      return (value - mean) * factor * scale[place] + shift[place];
    });
  },

  Relu(operation, [map], tensor) {
    if (operation.floor === null) return map.values.map((value) => Math.max(value, 0));
    const floor = tensor(operation.floor);
    return byChannel(map, (value, channel) => Math.max(value, floor[channel]));
  },

  LeakyRelu(operation, [map], tensor) {
    const slope = tensor(operation.slope), each = map.values.length / slope.length;
    return map.values.map((value, at) => (value < 0 ? value * slope[Math.floor(at / each)] : value));
  },

  Curve({ kind }, [{ values }]) {
    return values.map(CURVES[kind]);
  },

  Pool({ kind, size: [high, wide], stride, sides, shape }, [map]) {
    const [channels, height, width] = shape;
    const { values, shape: [, rows, columns] } = padded(map, { sides, fill: FILLS[kind] });
    const found = new Float64Array(channels * height * width);
    let to = 0;
    for (let channel = 0; channel < channels; channel++) {
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          let sum = 0, most = -Infinity;
          for (let row = 0; row < high; row++) {
            const from = (channel * rows + y * stride + row) * columns + x * stride;
            for (let at = from; at < from + wide; at++) {
              sum += values[at];
              most = Math.max(most, values[at]);
            }
          }
          found[to++] = kind === "max" ? most : sum / (high * wide);
        }
      }
    }
    return found;
  },

  Add(operation, [one, other]) {
    return one.values.map((value, at) => value + other.values[at]);
  },

  Concat(operation, maps) {
    const found = new Float64Array(maps.reduce((sum, { values }) => sum + values.length, 0));
    let at = 0;
    for (const { values } of maps) {
      found.set(values, at);
      at += values.length;
    }
    return found;
  },

  Multiply(operation, [map, factors]) {
    return byChannel(map, (value, channel) => value * factors.values[channel]);
  },
};

const FILLS = { average: 0, max: -Infinity };

const CURVES = {
  sigmoid,
  silu: (value) => value * sigmoid(value),
  hardswish: (value) => (value * Math.min(Math.max(value + 3, 0), 6)) / 6,
  gelu: (value) => 0.5 * value * (1 + errorFunction(value * Math.SQRT1_2)),
};

function sigmoid(value) {
  return 1 / (1 + Math.exp(-value));
}

/** To 15 digits: a series of terms of one sign (Abramowitz and Stegun, 7.1.6). */
function errorFunction(value) {
  if (Math.abs(value) > 6) return Math.sign(value);
  let term = value, sum = value;
  for (let odd = 3; Math.abs(term) > 1e-17 * Math.abs(sum); odd += 2) {
    term *= (2 * value * value) / odd;
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-value * value) * sum;
}

function byChannel({ values, shape: [channels] }, change) {
  const size = values.length / channels;
  return values.map((value, at) => change(value, Math.floor(at / size)));
}

/** Adds to one channel of the result what another channel gives to it; `at` is its first weight. */
function addConvolved({ found, start, height, width }, source, weight, at, { kernel, stride }) {
  const { values, from, columns } = source, [high, wide] = kernel;
  for (let row = 0; row < high; row++) {
    for (let column = 0; column < wide; column++) {
      const factor = weight[at + row * wide + column];
      for (let y = 0; y < height; y++) {
        let to = start + y * width, next = from + (y * stride + row) * columns + column;
        for (const end = to + width; to < end; to++, next += stride) {
          found[to] += factor * values[next];
        }
      }
    }
  }
}

/** The same for kernels of 3×3, most of all work: each number of the map is read once a row. */
function addThreeByThree({ found, start, height, width }, { values, from, columns }, weight, at) {
  const [a, b, c, d, e, f, g, h, i] = weight.subarray(at, at + 9);
  for (let y = 0; y < height; y++) {
    let to = start + y * width, top = from + y * columns;
    let middle = top + columns, low = middle + columns;
    let top0 = values[top++], top1 = values[top++];
    let middle0 = values[middle++], middle1 = values[middle++];
    let low0 = values[low++], low1 = values[low++];
    for (const end = to + width; to < end; to++) {
      const top2 = values[top++], middle2 = values[middle++], low2 = values[low++];
      found[to] += a * top0 + b * top1 + c * top2 + d * middle0 + e * middle1 + f * middle2
        + g * low0 + h * low1 + i * low2;
      top0 = top1; top1 = top2;
      middle0 = middle1; middle1 = middle2;
      low0 = low1; low1 = low2;
    }
  }
}

/** The map with a border of one value, or of the nearest ones. */
function padded(map, { sides: [top, bottom, left, right], repeats_border: repeats, fill = 0 }) {
  if (!(top || bottom || left || right)) return map;
  const [channels, height, width] = map.shape;
  const rows = height + top + bottom, columns = width + left + right;
  const values = new Float64Array(channels * rows * columns).fill(fill);
  const within = (at, size) => Math.min(Math.max(at, 0), size - 1);
  for (let channel = 0; channel < channels; channel++) {
    for (let row = 0; row < rows; row++) {
      const y = within(row - top, height);
      if (!repeats && y !== row - top) continue;
      for (let column = 0; column < columns; column++) {
        const x = within(column - left, width);
        if (!repeats && x !== column - left) continue;
        const to = (channel * rows + row) * columns + column;
        values[to] = map.values[(channel * height + y) * width + x];
      }
    }
  }
  return { values, shape: [channels, rows, columns] };
}

// ---------------------------------------------------------------------------------------- framing

/**
 * A grey picture as 28×28 bytes, light on black, scaled and placed as the images that the network
 * was trained on; null where there is nothing to be seen on it. `framing` is that of a network.
 */
function framed(picture, width, height, framing) {
  const grey = Float64Array.from(picture);
  let background = backgroundOf(grey, width, height);
  if (background > 127) {
    grey.forEach((value, at) => (grey[at] = 255 - value));
    background = 255 - background;
  }
  if (fits(grey, width, height, framing, background)) return Uint8Array.from(grey);
  let ink = grey, box = { top: 0, bottom: height, left: 0, right: width };
  if (!framing.whole) {
    const most = largest(grey);
    if (most - background < SEEN) return null;
    const isClean = background === 0 && Math.max(width, height) <= 2 * SIDE;
    ink = grey.map((value) => {
      const share = Math.min(Math.max((value - background) / (most - background), 0), 1);
      return share < FAINT && !isClean ? 0 : rounded(255 * share);
    });
    box = boxOf(ink, width, height);
  }
  const small = scaled(ink, width, box, framing.box), most = largest(small.values);
  if (!framing.whole && most) {
    small.values.forEach((value, at) => (small.values[at] = rounded(value * (255 / most))));
  }
  const sides = [small.height, small.width];
  const middle = framing.byMass ? massOf(small) : sides.map((side) => (side - 1) / 2);
  const wanted = framing.byMass ? MIDDLE : (SIDE - 1) / 2;
  const [top, left] = middle.map((at, axis) =>
    Math.min(Math.max(rounded(wanted - at), 0), SIDE - sides[axis]),
  );
  const pixels = new Uint8Array(SIDE * SIDE);
  for (let y = 0; y < small.height; y++) {
    for (let x = 0; x < small.width; x++) {
      pixels[(top + y) * SIDE + left + x] = small.values[y * small.width + x];
    }
  }
  return pixels;
}

/** To the nearest whole number, of two as near to the even one, as NumPy and Python round. */
function rounded(value) {
  const near = Math.round(value);
  return near - value === 0.5 && near % 2 ? near - 1 : near;
}

function largest(values) {
  return values.reduce((a, b) => Math.max(a, b));
}

/** The median of the outermost pixels; a corner counts twice. */
function backgroundOf(grey, width, height) {
  const ring = [];
  for (let x = 0; x < width; x++) ring.push(grey[x], grey[(height - 1) * width + x]);
  for (let y = 0; y < height; y++) ring.push(grey[y * width], grey[(y + 1) * width - 1]);
  ring.sort((a, b) => a - b);
  return (ring[ring.length / 2 - 1] + ring[ring.length / 2]) / 2;
}

function fits(grey, width, height, framing, background) {
  if (width !== SIDE || height !== SIDE) return false;
  if (!framing.byMass) return true;
  if (largest(grey) < 200 || background > 0) return false;
  const { top, bottom, left, right } = boxOf(grey, width, height);
  const longer = Math.max(bottom - top, right - left);
  const mass = massOf({ values: grey, width, height });
  return (longer === 19 || longer === 20) && mass.every((at) => Math.abs(at - MIDDLE) < 0.6);
}

function boxOf(ink, width, height) {
  const box = { top: height, bottom: 0, left: width, right: 0 };
  ink.forEach((value, at) => {
    if (!value) return;
    const y = Math.floor(at / width), x = at % width;
    box.top = Math.min(box.top, y);
    box.bottom = Math.max(box.bottom, y + 1);
    box.left = Math.min(box.left, x);
    box.right = Math.max(box.right, x + 1);
  });
  return box;
}

/** Row and column of the centre of mass, from 0. */
function massOf({ values, width }) {
  let total = 0, rows = 0, columns = 0;
  values.forEach((value, at) => {
    total += value;
    rows += value * Math.floor(at / width);
    columns += value * (at % width);
  });
  return [rows / total, columns / total];
}

/** What is in the box, its longer side as long as `longest`: means, or between few pixels lines. */
function scaled(ink, columns, { top, bottom, left, right }, longest) {
  const height = bottom - top, width = right - left, longer = Math.max(height, width);
  const cut = new Float64Array(height * width);
  for (let y = 0; y < height; y++) {
    const from = (top + y) * columns + left;
    cut.set(ink.subarray(from, from + width), y * width);
  }
  if (longer === longest) return { values: cut, width, height };
  const [toWidth, toHeight] = [width, height].map((side) =>
    Math.max(1, rounded((side * longest) / longer)),
  );
  const isSmaller = longer > longest;
  const across = resampling(width, toWidth, isSmaller);
  const down = resampling(height, toHeight, isSmaller);
  const rows = new Float32Array(height * toWidth), values = new Float32Array(toHeight * toWidth);
  for (let y = 0; y < height; y++) {
    across.forEach(({ first, shares }, x) => {
      const from = y * width + first;
      rows[y * toWidth + x] = shares.reduce((sum, share, at) => sum + cut[from + at] * share, 0);
    });
  }
  down.forEach(({ first, shares }, y) => {
    for (let x = 0; x < toWidth; x++) {
      values[y * toWidth + x] = shares.reduce(
        (sum, share, at) => sum + rows[(first + at) * toWidth + x] * share, 0,
      );
    }
  });
  const whole = Float64Array.from(values, (value) => rounded(Math.min(Math.max(value, 0), 255)));
  return { values: whole, width: toWidth, height: toHeight };
}

/** For each place of the result the first place that it is made of, and shares, as Pillow has it. */
function resampling(from, to, isSmaller) {
  const scale = from / to, wide = Math.max(scale, 1), support = (isSmaller ? 0.5 : 1) * wide;
  const weight = isSmaller
    ? (at) => (at > -0.5 && at <= 0.5 ? 1 : 0)
    : (at) => Math.max(0, 1 - Math.abs(at));
  return Array.from({ length: to }, (_, place) => {
    const centre = (place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const end = Math.min(from, Math.trunc(centre + support + 0.5));
    const weights = Array.from({ length: end - first }, (_, at) =>
      weight((at + first - centre + 0.5) / wide),
    );
    const sum = weights.reduce((a, b) => a + b, 0);
    return { first, shares: weights.map((value) => value / sum) };
  });
}
