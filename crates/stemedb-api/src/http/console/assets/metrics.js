// The Prometheus text format, as far as the panels need it.

/** Series by name: `{labels, value}[]`. */
export function parse(text) {
  const series = new Map();
  for (const line of text.split("\n")) {
    const match = /^([a-z_][a-z0-9_]*)(?:\{(.*)\})? (\S+)$/i.exec(line);
    if (match === null) continue;
    const labels = {};
    for (const [, name, value] of (match[2] ?? "").matchAll(/([a-z_][a-z0-9_]*)="((?:[^"\\]|\\.)*)"/gi)) labels[name] = value;
    const list = series.get(match[1]) ?? [];
    list.push({ labels, value: match[3] === "+Inf" ? Infinity : Number(match[3]) });
    series.set(match[1], list);
  }
  return series;
}

const matches = (labels, wanted) => Object.entries(wanted).every(([name, value]) => labels[name] === value);

/** The sum of a name's series with these labels; `undefined` where there is none. */
export function sum(series, name, wanted = {}) {
  const found = (series.get(name) ?? []).filter(({ labels }) => matches(labels, wanted));
  return found.length === 0 ? undefined : found.reduce((total, { value }) => total + value, 0);
}

/** The buckets of a histogram, each with its own count: `{below, count}[]`. Series that differ in other labels are added. */
export function buckets(series, name, wanted = {}) {
  const cumulative = new Map();
  for (const { labels, value } of series.get(`${name}_bucket`) ?? []) {
    if (!matches(labels, wanted)) continue;
    const below = labels.le === "+Inf" ? Infinity : Number(labels.le);
    cumulative.set(below, (cumulative.get(below) ?? 0) + value);
  }
  let before = 0;
  return [...cumulative]
    .sort(([a], [b]) => a - b)
    .map(([below, upTo]) => {
      const count = upTo - before;
      before = upTo;
      return { below, count };
    });
}

/** What came between two readings of a histogram. */
export const since = (now, then) => now.map(({ below, count }, at) => ({ below, count: Math.max(0, count - (then?.[at]?.count ?? 0)) }));

/** The bound below which a part of all lies; `undefined` without any. */
export function quantile(list, part) {
  const total = list.reduce((all, { count }) => all + count, 0);
  if (total === 0) return undefined;
  let left = total * part;
  for (const { below, count } of list) {
    left -= count;
    if (left <= 0) return below;
  }
  return Infinity;
}
