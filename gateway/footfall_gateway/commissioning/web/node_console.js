// Talking with a node over its USB console: lines `<leaf> <json>*<CRC-32 of all before the *, 8 hex digits>` (docs/wire.md).
// Used by page.js in the browser; without a browser by tests/unit/test_web_flasher.py.

const TABLE = new Uint32Array(256).map((_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? (byte >>> 1) ^ 0xedb88320 : byte >>> 1;
  return byte;
});

// UTF-8 bytes of a text.
export function utf8(text) {
  const bytes = [];
  for (const character of text) {
    const code = character.codePointAt(0);
    if (code < 0x80) bytes.push(code);
    else if (code < 0x800) bytes.push(0xc0 | (code >> 6), 0x80 | (code & 63));
    else if (code < 0x10000) bytes.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
    else
      bytes.push(0xf0 | (code >> 18), 0x80 | ((code >> 12) & 63), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
  }
  return new Uint8Array(bytes);
}

// CRC-32 of a text's UTF-8 bytes, as 8 hex digits.
export function crc32(text) {
  let crc = 0xffffffff;
  for (const byte of utf8(text)) crc = (crc >>> 8) ^ TABLE[(crc ^ byte) & 255];
  return ((crc ^ 0xffffffff) >>> 0).toString(16).padStart(8, "0");
}

// A line for the node, with its line feed.
export function line(leaf, values) {
  const body = `${leaf} ${JSON.stringify(values)}`;
  return `${body}*${crc32(body)}\n`;
}

// [leaf, values] of a line from the node; null for what the node prints for people, and for a damaged line.
export function message(text) {
  text = text.replace(/\r$/, "");
  const body = text.slice(0, -9);
  if (text.slice(-9, -8) !== "*" || text.slice(-8) !== crc32(body)) return null;
  const space = body.indexOf(" ");
  try {
    return [body.slice(0, space), JSON.parse(body.slice(space + 1))];
  } catch {
    return null;
  }
}

// The command for a new connection from what stands in the form (all texts). Throws a word that names the field that is wrong.
export function connectCommand(form, id) {
  const ssid = form.ssid.trim();
  const host = form.host.trim();
  if (!ssid || utf8(ssid).length > 32) throw new FieldError("ssid");
  if (form.wifiPassword && utf8(form.wifiPassword).length < 8) throw new FieldError("wifiPassword");
  if (!/^[A-Za-z0-9.:-]+$/.test(host)) throw new FieldError("host");
  const port = Number(form.port || "1883");
  if (!Number.isInteger(port) || port < 1 || port > 65535) throw new FieldError("port");
  const wifi = { ssid, password: form.wifiPassword };
  const mqtt = { host, port };
  if (form.user.trim()) Object.assign(mqtt, { user: form.user.trim(), password: form.password });
  return { v: 1, do: "connect", id, wifi, mqtt };
}

export class FieldError extends Error {
  constructor(field) {
    super(field);
    this.field = field;
  }
}

// Cuts what arrives into lines.
export class Lines {
  #rest = "";
  feed(text) {
    const parts = (this.#rest + text).split("\n");
    this.#rest = parts.pop().slice(-4096);
    return parts;
  }
}
