// Values as claims say them, figures as people read them.

/** A number with the digits it was written with. Arithmetic works on it, as far as floats go. */
export class Exact {
  constructor(text) {
    this.text = text;
  }
  valueOf() {
    return Number(this.text);
  }
  toString() {
    return this.text;
  }
  toJSON() {
    return Number(this.text);
  }
}

const isTyped = (value) =>
  typeof value === "object" && !Array.isArray(value) && Object.keys(value).sort().join() === "type,value";

/** What a claimed value says, and of which kind it is. */
export function read(value) {
  if (value === null || value === undefined) return { kind: "nothing", text: "—" };
  if (value instanceof Exact) return { kind: "number", text: value.text };
  if (typeof value === "string") return { kind: "text", text: value };
  if (typeof value === "boolean" || typeof value === "number") return { kind: typeof value, text: String(value) };
  if (isTyped(value)) {
    const inner = value.value;
    const plain = typeof inner === "string" || inner instanceof Exact;
    return { kind: String(value.type), text: plain ? String(inner) : JSON.stringify(inner) };
  }
  return { kind: "json", text: JSON.stringify(value) };
}

/** The same for equal values, as near as floats tell. */
export function identity(value) {
  const { kind, text } = read(value);
  return kind === "number" || kind === "integer" ? `#${Number(text)}` : `${kind}:${text}`;
}

/** The number that a value is, or NaN. */
export function numeric(value) {
  const { kind, text } = read(value);
  return kind === "number" || kind === "integer" ? Number(text) : NaN;
}

export const CLASSES = ["regulatory", "clinical", "observational", "expert", "community", "anecdotal"];

export const percent = (share) => `${(Number(share) * 100).toFixed(1)} %`;

/** A fraction with as many digits as it needs, three at least and nine at most. */
export function fraction(number, digits = 3) {
  const exact = Number(number);
  return Math.abs(exact - Number(exact.toFixed(digits))) < 5e-10 ? exact.toFixed(digits) : String(Number(exact.toFixed(9)));
}

export const short = (number, digits = 3) => Number(number).toFixed(digits);

export const whole = (number) => Number(number).toLocaleString("en");

export function bytes(number) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let [left, unit] = [Number(number), 0];
  while (left >= 1000 && unit < units.length - 1) [left, unit] = [left / 1000, unit + 1];
  return `${unit === 0 || left >= 100 ? left.toFixed(0) : left.toFixed(1)} ${units[unit]}`;
}

export function seconds(number) {
  const exact = Number(number);
  if (!Number.isFinite(exact)) return "—";
  if (exact < 1e-3) return `${(exact * 1e6).toFixed(0)} µs`;
  if (exact < 1) return `${(exact * 1e3).toFixed(exact < 0.01 ? 1 : 0)} ms`;
  return `${exact.toFixed(1)} s`;
}

/** An age in the unit that fits. */
export function age(number) {
  const days = Number(number) / 86_400;
  if (days >= 730) return `${(days / 365.25).toFixed(1)} years`;
  if (days >= 2) return `${days.toFixed(0)} days`;
  if (number >= 7200) return `${(number / 3600).toFixed(0)} hours`;
  if (number >= 120) return `${(number / 60).toFixed(0)} minutes`;
  return `${Number(number).toFixed(0)} s`;
}

/** A time to the second, or its day where nothing smaller is said. */
export function moment(rfc3339) {
  const time = String(rfc3339);
  if (/T00:00:00Z$/.test(time)) return time.slice(0, 10);
  return time.replace("T", " ").replace(/(\.\d+)?Z$/, " UTC");
}

export const plural = (number, one, many = `${one}s`) => `${whole(number)} ${Number(number) === 1 ? one : many}`;
